"""Model files that an attacker would write, each with a name that says what it tries."""

import copy
import importlib
import inspect
import io
import json
import pickle
import pkgutil
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

import sklearn_codex
from fuzz.nodes import (
    Members,
    Node,
    call,
    mapping,
    node,
    npy,
    object_of,
    pack,
    plain,
    sequence,
    type_of,
    unigram,
)

_LM = "sklearn_codex.UnigramLM"


def crafted_files(flag: str) -> list[tuple[str, bytes]]:
    """Return files, by name, that try to write the file ``flag``, to exhaust or to lie."""
    parts = (
        *(_calls, _keys, _bytecode, _functions, _methods, _made, _reached, _pickles),
        *(_schemas, _shapes_of_trees, _key_types, _archives, _headers, _members),
        *(_distributions, _attributes, _counters, _rows),
    )
    return [case for part in parts for case in part(flag)]


def noted(part: Node, members: Members | None = None) -> bytes:
    """Return the bytes of a UnigramLM with a further attribute."""
    return pack(unigram(note_=part), members.content if members else None)


def write_flag(flag: str) -> str:
    """Return Python code that leaves the flag."""
    return f"__import__('pathlib').Path({flag!r}).touch()"


def rebuilt_function(flag: str, members: Members, module: str) -> Node:
    """Return a function rebuilt from bytecode by types reached through a module."""
    scope: dict[str, Any] = {}
    exec(f"def run(*key):\n    {write_flag(flag)}\n    return 'key'\n", scope)
    code = scope["run"].__code__
    numbers = [plain(n) for n in (0, 0, 0, code.co_nlocals, code.co_stacksize, code.co_flags)]
    names = [
        sequence("tuple", *map(plain, values))
        for values in (code.co_consts, code.co_names, code.co_varnames)
    ]
    places = [plain("x"), plain("run"), plain("run"), plain(1)]
    tables = [members.raw(code.co_linetable), members.raw(code.co_exceptiontable)]
    made = call(f"{module}.CodeType", *numbers, members.raw(code.co_code), *names, *places, *tables)
    return call(f"{module}.FunctionType", made, mapping({}))


def _calls(flag: str) -> Iterator[tuple[str, bytes]]:
    """Chains of calls that run code where they are made."""
    code = write_flag(flag)
    shell = plain(f"touch {flag}")
    for name, argument in [
        ("builtins.exec", plain(code)),
        ("builtins.eval", plain(code)),
        ("os.system", shell),
        ("posix.system", shell),
        ("subprocess.getoutput", shell),
        ("subprocess.Popen", plain(["touch", flag])),
        ("code.InteractiveInterpreter.runsource", plain(code)),
        ("timeit.timeit", plain(code)),
        ("sklearn_codex.exec", plain(code)),
    ]:
        yield f"call of {name}", noted(call(name, argument))
        yield f"object of {name}", pack(object_of(name, args=argument))
        loss = node("LossNode", name, content=mapping({}))
        loss["__reduce__"] = {"args": sequence("tuple", argument)}
        yield f"loss made by {name}", noted(loss)


def _keys(flag: str) -> Iterator[tuple[str, bytes]]:
    """Types of keys, which are called with the keys."""
    code = write_flag(flag)
    for name in ("builtins.exec", "builtins.eval", "os.system"):
        keys = sequence("list", node("FunctionNode", name))
        key = f"touch {flag}" if name == "os.system" else code
        yield f"keys made by {name}", noted(mapping({key: plain(1)}, keys))
        types = sequence("list", type_of(name))
        yield f"keys of type {name}", noted(mapping({key: plain(1)}, types))
    inner = call("functools.partial", node("FunctionNode", "builtins.exec"), plain(code))
    yield "keys made by a partial", noted(mapping({"key": plain(1)}, sequence("list", inner)))


def _bytecode(flag: str) -> Iterator[tuple[str, bytes]]:
    """Types of keys that are functions rebuilt from bytecode."""
    for module in (
        "types",
        "sklearn_codex._pipeline.code_hash",
        "sklearn_codex._persistence.trust",
    ):
        members = Members()
        function = rebuilt_function(flag, members, module)
        keys = mapping({"key": plain(1)}, sequence("list", function))
        yield f"function of bytecode by {module}", noted(keys, members)
    members = Members()
    function = rebuilt_function(flag, members, "types")
    content = mapping({"smoothing": plain(1.0)}, sequence("list", function))
    root = node("ObjectNode", _LM, content=content)
    yield "attributes named by a function of bytecode", pack(root, members.content)


def _functions(flag: str) -> Iterator[tuple[str, bytes]]:
    """Functions that a model would call once it is used."""
    for name in (
        "builtins.eval",
        "builtins.exec",
        "os.system",
        "builtins.__import__",
        "numpy.load",
    ):
        function = node("FunctionNode", name)
        counter = {"tokenizer": function, "lowercase": plain(False)}
        yield f"tokenizer {name}", pack(object_of("sklearn_codex.TokenCounter", **counter))
        yield f"type {name}", noted(type_of(name))
        yield f"method {name}", pack(unigram(predict=function))
        parts = {"func": function, "args": sequence("tuple"), "kwds": mapping({})}
        partial = node(
            "PartialNode", "functools.partial", content={**parts, "namespace": plain(None)}
        )
        yield f"partial of {name}", noted(partial)
        scorer = object_of("sklearn.metrics._scorer._Scorer", _score_func=function)
        yield f"scorer of {name}", pack(scorer)


def _methods(flag: str) -> Iterator[tuple[str, bytes]]:
    """Methods that a model would call once it is used."""
    arguments = sequence("tuple", plain("system"), plain(f"touch {flag}"))
    caller = node("OperatorFuncNode", "operator.methodcaller", attrs=arguments)
    yield "methodcaller", noted(caller)
    for func in ("set_params", "__reduce__", "fit"):
        method = node("MethodNode", _LM, content={"func": func, "obj": unigram()})
        yield f"bound method {func}", noted(method)


def _made(flag: str) -> Iterator[tuple[str, bytes]]:
    """Objects whose loader calls what the file names."""
    factory = {"main": mapping({}), "default_factory": node("FunctionNode", "os.getcwd")}
    default = node("DefaultDictNode", "collections.defaultdict", content=factory)
    yield "default factory", noted(default)
    bits = mapping({"bit_generator": plain("seed")})
    content = {"bit_generator": bits, "seed_seq": mapping({})}
    generator = node("RandomGeneratorNode", "numpy.random._generator.Generator", content=content)
    yield "bit generator that is no type", pack(unigram(smoothing=generator))
    tree = node("TreeNode", "sklearn.tree._tree.Tree", content=mapping({}))
    tree["__reduce__"] = {"args": sequence("tuple", plain(1), plain([1]), plain(1))}
    yield "tree", noted(tree)


def _reached(flag: str) -> Iterator[tuple[str, bytes]]:
    """Types that stand in modules of trusted packages without being theirs."""
    seen = set()
    for package in (sklearn_codex,):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith("__main__"):
                continue
            try:
                module = importlib.import_module(info.name)
            except ImportError:  # what needs an extra that is not here
                continue
            for name, value in vars(module).items():
                is_foreign = (
                    str(getattr(value, "__module__", "")).partition(".")[0] != package.__name__
                )
                if inspect.isclass(value) and is_foreign and value not in seen:
                    seen.add(value)
                    place = f"{info.name}.{name}"
                    yield f"call of {place}", noted(call(place, plain(flag)))
                    yield f"object of {place}", pack(object_of(place, data=plain(flag)))
    for place in (
        "sklearn.base.warnings",
        "sklearn.utils._joblib.joblib",
        "sklearn.utils.parallel.Parallel",
        "sklearn.utils.Memory",
        "joblib.memory.Memory",
        "joblib.numpy_pickle.NumpyUnpickler",
        "sklearn.externals.array_api_compat.common._helpers.sys",
        "sklearn.preprocessing._function_transformer.FunctionTransformer",
        "sklearn.datasets._base.Path",
        "sklearn.svm._classes.SVC",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    ):
        yield f"call of {place}", noted(call(place, plain(flag)))
        yield f"object of {place}", pack(object_of(place, data=plain(flag)))


class _Pickled:
    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


def _pickles(flag: str) -> Iterator[tuple[str, bytes]]:
    """Pickles where arrays or bytes should be."""
    data = pickle.dumps(_Pickled(write_flag(flag)))
    array = npy(np.array([_Pickled(write_flag(flag))], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.npy", array)
    for name, content in [
        ("pickle", data),
        ("array of objects", array),
        ("npz", archive.getvalue()),
    ]:
        members = Members()
        root = unigram(token_log_prob_=members.array(content))
        yield f"{name} as an array", pack(root, members.content)
        members = Members()
        sparse = node("SparseMatrixNode", "scipy.sparse._csr.csr_array", type="scipy")
        sparse["file"] = members.add(content, "npz")
        yield f"{name} as a sparse array", noted(sparse, members)
        members = Members()
        stage = object_of(
            "sklearn_codex._pipeline.stored_stage.StoredStage", data=members.raw(content)
        )
        yield f"{name} in a stored stage", pack(stage, members.content)
        members = Members()
        yield f"{name} as bytes", noted(members.raw(content), members)
    yield "a pickle alone", data


def _schemas(flag: str) -> Iterator[tuple[str, bytes]]:
    """Schemas that are endless."""
    text = f'{{"__loader__": "ListNode", "content": {"[" * 100_000}{"]" * 100_000}}}'
    yield "schema of brackets", pack(text)
    yield "json of brackets", noted(node("JsonNode", "builtins.str", content="[" * 10**5))
    yield "json of digits", noted(node("JsonNode", "builtins.str", content="1" * 10_000))
    many = node("JsonNode", "builtins.str", content="[" + "[]," * 2_000_000 + "0]")
    yield "two million lists in 6 kB", noted(many)


def _shapes_of_trees(flag: str) -> Iterator[tuple[str, bytes]]:
    """Trees that are too deep, endless or not what they say."""
    yield "300 levels", pack(_nested(300))
    itself = {**sequence("list", {**sequence("list"), "__id__": 1}), "__id__": 1}
    yield "a node in itself", pack(itself)
    level = {**plain(0), "__id__": 100}
    for number in range(60):
        level = {
            **sequence("list", level, {**sequence("list"), "__id__": level["__id__"]}),
            "__id__": number,
        }
    yield "60 levels that each hold the next one twice", pack(level)
    yield "cached node", noted({**node("CachedNode", "x.y"), "__id__": 5})
    yield "unknown loader", pack(node("EvalNode", "builtins.eval", content="1"))
    yield "no loader", pack({"__class__": "UnigramLM", "__module__": "sklearn_codex"})
    yield "loader of a list", pack({**unigram(), "__loader__": ["ObjectNode"]})
    yield "a list as schema", pack("[]")
    yield "no JSON", pack("hello")
    yield "no UTF-8", pack(b"\xff\xfe{}")
    for protocol in (True, None, "2", -1, 0, 1, 99, 1e300):
        yield f"protocol {protocol}", pack(unigram(), protocol=protocol)
    for written in (2, 10**9, -1, "1", None, True, [1]):
        yield f"format {written}", pack(unigram(), sklearn_codex_format=written)


def _key_types(flag: str) -> Iterator[tuple[str, bytes]]:
    """Names that are none, and keys of other types than they say."""
    yield "dunder attribute", pack(unigram(__class__=plain("x")))
    content = mapping({"1": plain(1)}, sequence("list", type_of("builtins.int")))
    yield "attributes of other keys", pack(node("ObjectNode", _LM, content=content))
    yield "more keys than types", noted(mapping({"a": plain(1)}, sequence("list")))
    keys = mapping({"False": plain(1)}, sequence("list", type_of("builtins.bool")))
    yield "keys of bool", pack(unigram(smoothing=keys))
    yield "escape sequences in names", pack(object_of("os\x1b[2J.\u202esystem\n", x=plain(1)))


def _nested(depth: int) -> Node:
    value = plain(1)
    for _ in range(depth):
        value = sequence("list", value)
    return unigram(note_=value)


def _archives(flag: str) -> Iterator[tuple[str, bytes]]:
    """Yield archives that are none, or that grow when they are unpacked."""
    good = pack(unigram())
    yield "nothing", b""
    yield "text", b"hello"
    yield "half an archive", good[: len(good) // 2]
    yield "without its end", good[:-22]
    yield "end alone", good[-22:]
    yield "no schema", pack_members({"other.json": b"{}"})
    yield "schema that unpacks to 1.3 GB", _bomb("schema.json")
    yield "member that unpacks to 1.3 GB", _bomb("big.npy")
    yield "60,000 members", pack_members({str(n): b"" for n in range(60_000)})
    yield "other compression", pack(unigram(), method=zipfile.ZIP_BZIP2)
    end = good.rfind(b"PK\x05\x06")
    claimed = bytearray(good)
    struct.pack_into("<HHI", claimed, end + 8, 65_000, 65_000, 2**31)
    yield "directory that claims too much", bytes(claimed)
    encrypted = bytearray(good)
    start = good.rfind(b"PK\x01\x02")
    encrypted[start + 8] |= 1
    yield "encrypted", bytes(encrypted)


def _headers(flag: str) -> Iterator[tuple[str, bytes]]:
    """Arrays whose headers lie about what follows."""
    many = "1," * 30_000
    for name, header in [
        ("shape of 8 TB", "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"),
        ("shape below 0", "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
        ("type without size", "{'descr': '|S0', 'fortran_order': False, 'shape': (10**18,)}"),
        ("type of objects", "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
        ("type of parts", "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}"),
        ("header that is code", f"{write_flag(flag)}"),
        ("header of 60 kB", f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({many})}}"),
    ]:
        members = Members()
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(8)
        yield name, pack(unigram(token_log_prob_=members.array(data)), members.content)


def _members(flag: str) -> Iterator[tuple[str, bytes]]:
    """Arrays whose members are elsewhere, nowhere or the same."""
    missing = node("NdArrayNode", "numpy.ndarray", type="numpy", file="none.npy")
    yield "missing member", pack(unigram(token_log_prob_=missing))
    upwards = node("NdArrayNode", "numpy.ndarray", type="numpy", file="../../etc/passwd")
    yield "member of another folder", pack(unigram(token_log_prob_=upwards))
    members = Members()
    big = members.array(npy(np.zeros(2**24)))
    many = sequence("list", *[dict(big) for _ in range(20)])
    yield "one array from many places", noted(many, members)


def pack_members(members: dict[str, bytes]) -> bytes:
    """Return an archive without a schema."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def _bomb(name: str) -> bytes:
    """Return an archive of a few kB whose one member stands in it 80 times, 1.3 GB in all."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, bytes(2**24))
        for number in range(80):
            again = copy.copy(archive.filelist[0])
            again.filename = f"{number}.npy"
            archive.filelist.append(again)
        if name != "schema.json":
            archive.writestr("schema.json", json.dumps(unigram()))
    return file.getvalue()


def _distributions(flag: str) -> Iterator[tuple[str, bytes]]:
    """Models whose probabilities are none, or not as many as they say."""
    half = np.log([0.5, 0.5])
    for name, array in [
        ("not finite", np.array([np.nan, 0.0])),
        ("too short", half[:1]),
        ("too long", np.log([0.5, 0.25, 0.25])),
        ("no distribution", np.array([0.0, 0.0])),
        ("of two axes", half[None]),
        ("of integers", np.array([0, -1])),
        ("of text", np.array(["a", "b"])),
    ]:
        members = Members()
        state = {"token_log_prob_": members.array(npy(array)), "n_features_in_": plain(2)}
        yield f"probabilities: {name}", pack(unigram(**state), members.content)


def _attributes(flag: str) -> Iterator[tuple[str, bytes]]:
    """Models with an attribute or a parameter that it cannot be, or without one."""
    for attribute, value in [
        ("n_features_in_", -1),
        ("n_features_in_", 2.5),
        ("n_features_in_", "2"),
        ("document_length_", float("nan")),
        ("n_tokens_", -5),
        ("vectorizer_", 3),
        ("score", 1),
        ("smoothing", "much"),
        ("smoothing", -1),
    ]:
        yield f"{attribute} = {value!r}", pack(unigram(**{attribute: plain(value)}))
    yield "no parameter", pack(object_of(_LM, smoothing=plain(1.0)))


def _counters(flag: str) -> Iterator[tuple[str, bytes]]:
    """Vectorizers whose vocabulary does not fit together."""
    for parameter, value in [("tokenizer", "eval"), ("lowercase", "yes"), ("min_count", 0)]:
        yield f"counter with {parameter} = {value!r}", pack(_counter(**{parameter: plain(value)}))
    for name, tokens in [("token twice", ["a", "a"]), ("fewer tokens", ["a"])]:
        yield name, pack(_counter(_names=plain(json.dumps(tokens)), n_features_in_=plain(2)))


def _rows(flag: str) -> Iterator[tuple[str, bytes]]:
    """States and rows that point outside of what they hold."""
    state = mapping({"key": plain(list(range(624))), "pos": plain(10**6)})
    twister = {"bit_generator": plain("MT19937"), "state": state}
    twister |= {"has_gauss": plain(0), "gauss": plain(0.0)}
    random = node("RandomStateNode", "numpy.random.mtrand.RandomState", content=mapping(twister))
    yield "random state beyond its words", noted(random)
    members = Members()
    parts = [npy(np.ones(1)), npy(np.array([10**8], np.int32)), npy(np.array([0, 1], np.int32))]
    rows = object_of(
        "sklearn_codex.HeldRows",
        _shape=sequence("tuple", plain(1), plain(2)),
        _is_sparse=plain(True),
        _parts=sequence("tuple", *map(members.array, parts)),
    )
    yield "rows with an index outside", noted(rows, members)


def _counter(**parameters: Node) -> Node:
    rest = {
        "tokenizer": plain("whitespace"),
        "lowercase": plain(False),
        "min_count": plain(1),
        "unk_token": plain("<unk>"),
        **dict.fromkeys(("max_features", "eos_token", "vocabulary"), plain(None)),
    }
    return object_of("sklearn_codex.TokenCounter", **rest | parameters)
