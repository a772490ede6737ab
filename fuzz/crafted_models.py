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
    parts = (_calls, _functions, _reached, _pickles, _shapes_of_trees, _archives, _lies)
    return [case for part in parts for case in part(flag)]


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
        yield f"call of {name}", pack(unigram(note_=call(name, argument)))
        yield f"object of {name}", pack(object_of(name, args=argument))
        loss = node("LossNode", name, content=mapping({}))
        loss["__reduce__"] = {"args": sequence("tuple", argument)}
        yield f"loss made by {name}", pack(unigram(note_=loss))
    # As the type of a key, which is called with the key.
    for name in ("builtins.exec", "builtins.eval", "os.system"):
        keys = sequence("list", node("FunctionNode", name))
        key = f"touch {flag}" if name == "os.system" else code
        yield f"keys made by {name}", pack(unigram(note_=mapping({key: plain(1)}, keys)))
        types = sequence("list", type_of(name))
        yield f"keys of type {name}", pack(unigram(note_=mapping({key: plain(1)}, types)))
    inner = call("functools.partial", node("FunctionNode", "builtins.exec"), plain(code))
    yield (
        "keys made by a partial",
        pack(unigram(note_=mapping({"key": plain(1)}, sequence("list", inner)))),
    )
    for module in (
        "types",
        "sklearn_codex._pipeline.code_hash",
        "sklearn_codex._persistence.trust",
    ):
        members = Members()
        function = rebuilt_function(flag, members, module)
        root = unigram(note_=mapping({"key": plain(1)}, sequence("list", function)))
        yield f"function of bytecode by {module}", pack(root, members.content)
    members = Members()
    function = rebuilt_function(flag, members, "types")
    root = node(
        "ObjectNode",
        _LM,
        content=mapping({"smoothing": plain(1.0)}, sequence("list", function)),
    )
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
        yield f"type {name}", pack(unigram(note_=type_of(name)))
        yield f"method {name}", pack(unigram(predict=function))
        parts = {"func": function, "args": sequence("tuple"), "kwds": mapping({})}
        partial = node(
            "PartialNode", "functools.partial", content={**parts, "namespace": plain(None)}
        )
        yield f"partial of {name}", pack(unigram(note_=partial))
        scorer = object_of("sklearn.metrics._scorer._Scorer", _score_func=function)
        yield f"scorer of {name}", pack(scorer)
    arguments = sequence("tuple", plain("system"), plain(f"touch {flag}"))
    caller = node("OperatorFuncNode", "operator.methodcaller", attrs=arguments)
    yield "methodcaller", pack(unigram(note_=caller))
    for func in ("set_params", "__reduce__", "fit"):
        method = node(
            "MethodNode", "sklearn_codex.UnigramLM", content={"func": func, "obj": unigram()}
        )
        yield f"bound method {func}", pack(unigram(note_=method))
    factory = {"main": mapping({}), "default_factory": node("FunctionNode", "os.getcwd")}
    yield (
        "default factory",
        pack(unigram(note_=node("DefaultDictNode", "collections.defaultdict", content=factory))),
    )
    bits = mapping({"bit_generator": plain("seed")})
    generator = {"bit_generator": bits, "seed_seq": mapping({})}
    yield (
        "bit generator that is no type",
        pack(
            unigram(
                smoothing=node(
                    "RandomGeneratorNode", "numpy.random._generator.Generator", content=generator
                )
            )
        ),
    )
    tree = node("TreeNode", "sklearn.tree._tree.Tree", content=mapping({}))
    tree["__reduce__"] = {"args": sequence("tuple", plain(1), plain([1]), plain(1))}
    yield "tree", pack(unigram(note_=tree))


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
                    yield f"call of {place}", pack(unigram(note_=call(place, plain(flag))))
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
        yield f"call of {place}", pack(unigram(note_=call(place, plain(flag))))
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
        yield f"{name} as a sparse array", pack(unigram(note_=sparse), members.content)
        members = Members()
        stage = object_of(
            "sklearn_codex._pipeline.stored_stage.StoredStage", data=members.raw(content)
        )
        yield f"{name} in a stored stage", pack(stage, members.content)
        members = Members()
        yield f"{name} as bytes", pack(unigram(note_=members.raw(content)), members.content)
    yield "a pickle alone", data


def _shapes_of_trees(flag: str) -> Iterator[tuple[str, bytes]]:
    """Trees that are too deep, endless or not what they say."""
    deep = plain(1)
    for _ in range(5_000):
        deep = sequence("list", deep)
    text = f'{{"__loader__": "ListNode", "content": {"[" * 100_000}{"]" * 100_000}}}'
    yield "schema of brackets", pack(text)
    yield (
        "json of brackets",
        pack(unigram(note_=node("JsonNode", "builtins.str", content="[" * 10**5))),
    )
    text = "1" * 10_000
    yield "json of digits", pack(unigram(note_=node("JsonNode", "builtins.str", content=text)))
    many = node("JsonNode", "builtins.str", content="[" + "[]," * 2_000_000 + "0]")
    yield "two million lists in 6 kB", pack(unigram(note_=many))
    yield "300 levels", pack(_nested(300))
    yield (
        "a node in itself",
        pack({**sequence("list", {**sequence("list"), "__id__": 1}), "__id__": 1}),
    )
    level = {**plain(0), "__id__": 100}
    for number in range(60):
        level = {
            **sequence("list", level, {**sequence("list"), "__id__": level["__id__"]}),
            "__id__": number,
        }
    yield "60 levels that each hold the next one twice", pack(level)
    yield "cached node", pack(unigram(note_={**node("CachedNode", "x.y"), "__id__": 5}))
    yield "unknown loader", pack(node("EvalNode", "builtins.eval", content="1"))
    yield "no loader", pack({"__class__": "UnigramLM", "__module__": "sklearn_codex"})
    yield "loader of a list", pack({**unigram(), "__loader__": ["ObjectNode"]})
    yield "a list as schema", pack("[]")
    yield "no JSON", pack("hello")
    yield "no UTF-8", pack(b"\xff\xfe{}")
    yield "dunder attribute", pack(unigram(__class__=plain("x")))
    yield (
        "attributes of other keys",
        pack(
            node(
                "ObjectNode",
                _LM,
                content=mapping({"1": plain(1)}, sequence("list", type_of("builtins.int"))),
            )
        ),
    )
    yield (
        "more keys than types",
        pack(unigram(note_=mapping({"a": plain(1)}, sequence("list")))),
    )
    yield (
        "keys of bool",
        pack(
            unigram(
                smoothing=mapping({"False": plain(1)}, sequence("list", type_of("builtins.bool")))
            )
        ),
    )
    for protocol in (True, None, "2", -1, 0, 1, 99, 1e300):
        yield f"protocol {protocol}", pack(unigram(), protocol=protocol)
    for written in (2, 10**9, -1, "1", None, True, [1]):
        yield f"format {written}", pack(unigram(), sklearn_codex_format=written)
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
    for name, header in [
        ("shape of 8 TB", "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"),
        ("shape below 0", "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
        ("type without size", "{'descr': '|S0', 'fortran_order': False, 'shape': (10**18,)}"),
        ("type of objects", "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"),
        ("type of parts", "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}"),
        ("header that is code", f"{write_flag(flag)}"),
        (
            "header of 60 kB",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 30_000 + ")}",
        ),
    ]:
        members = Members()
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(8)
        yield name, pack(unigram(token_log_prob_=members.array(data)), members.content)
    missing = node("NdArrayNode", "numpy.ndarray", type="numpy", file="none.npy")
    yield "missing member", pack(unigram(token_log_prob_=missing))
    upwards = node("NdArrayNode", "numpy.ndarray", type="numpy", file="../../etc/passwd")
    yield "member of another folder", pack(unigram(token_log_prob_=upwards))
    members = Members()
    big = members.array(npy(np.zeros(2**24)))
    yield (
        "one array from many places",
        pack(unigram(note_=sequence("list", *[dict(big) for _ in range(20)])), members.content),
    )


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


def _lies(flag: str) -> Iterator[tuple[str, bytes]]:
    """Models whose parts do not fit together."""
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
    for parameter, value in [("tokenizer", "eval"), ("lowercase", "yes"), ("min_count", 0)]:
        yield f"counter with {parameter} = {value!r}", pack(_counter(**{parameter: plain(value)}))
    yield (
        "token twice",
        pack(_counter(_names=plain(json.dumps(["a", "a"])), n_features_in_=plain(2))),
    )
    yield "fewer tokens", pack(_counter(_names=plain(json.dumps(["a"])), n_features_in_=plain(2)))
    state = mapping({"key": plain(list(range(624))), "pos": plain(10**6)})
    twister = mapping(
        {
            "bit_generator": plain("MT19937"),
            "state": state,
            "has_gauss": plain(0),
            "gauss": plain(0.0),
        }
    )
    random = node("RandomStateNode", "numpy.random.mtrand.RandomState", content=twister)
    yield "random state beyond its words", pack(unigram(note_=random))
    members = Members()
    parts = [npy(np.ones(1)), npy(np.array([10**8], np.int32)), npy(np.array([0, 1], np.int32))]
    rows = object_of(
        "sklearn_codex.HeldRows",
        _shape=sequence("tuple", plain(1), plain(2)),
        _is_sparse=plain(True),
        _parts=sequence("tuple", *map(members.array, parts)),
    )
    yield "rows with an index outside", pack(unigram(note_=rows), members.content)


def _counter(**parameters: Node) -> Node:
    rest = {
        "tokenizer": plain("whitespace"),
        "lowercase": plain(False),
        "min_count": plain(1),
        "unk_token": plain("<unk>"),
        **dict.fromkeys(("max_features", "eos_token", "vocabulary"), plain(None)),
    }
    return object_of("sklearn_codex.TokenCounter", **rest | parameters)
