"""The tree of a model file, read as data: which types it would make, and whether these are trusted.

A node says what it is by ``__loader__``, ``__class__`` and ``__module__``, as skops writes it. Each
kind of node has one function here, that checks its form and returns its children; a kind without
one, and a type that is not listed, is foreign. Nothing is imported, made or called.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

from sklearn_codex._persistence.archive import Archive, check_array, check_size
from sklearn_codex._persistence.trust import (
    DICTS,
    NUMPY_SCALARS,
    PLAIN_TYPES,
    Trust,
)

Node = dict[str, Any]
# What skops can make without running out of stack; a model of ten stages takes a third of it.
MAX_DEPTH = 160

_WORDS = ("__loader__", "__module__", "__class__")
_WITH_MEMORY = {"Pipeline", "RLHFPipeline"}
_NULL = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "null"}


class ForeignTypesError(ValueError):
    """A file holds types that are not trusted: ``names``."""

    def __init__(self, names: set[str]):
        super().__init__(f"types that are not trusted: {sorted(names)}")
        self.names = names


def audit(archive: Archive, trusted: Trust, *, max_size: int) -> None:
    """Check every node of a tree that names classes by their places.

    Parameters
    ----------
    archive : Archive
    trusted : Trust
    max_size : int
        Bytes that the members which nodes refer to may have, those of one that is referred to
        twice counted twice.

    Raises
    ------
    ForeignTypesError
        If a type is not trusted.
    ValueError
        If a node has not the form of its kind.
    """
    foreign: set[str] = set()
    total = 0
    parents: list[int] = []
    nodes: list[Node] = []
    for node, parent, depth in _walk(archive.schema, trusted, foreign):
        if depth > MAX_DEPTH:
            raise ValueError(f"it nests objects more than {MAX_DEPTH} deep")
        if "file" in node:
            total += _check_member(node, archive.members)
            check_size(total, "its arrays take", max_size)
        nodes.append(node)
        parents.append(parent)
    _check_identities(nodes, parents, archive.members)
    if foreign:
        raise ForeignTypesError(foreign)


def _check_identities(nodes: list[Node], parents: list[int], members: dict[str, bytes]) -> None:
    """Check that nodes of one id, of which skops makes the first for all, say the same.

    Otherwise a part that was checked in one place would be made in another, where other things are
    allowed, and a short file could refer to one object from many places, in many levels: a tree
    without end. Ids of what is in them may differ: skops gives new ones to what it makes meanwhile.
    """
    counts = Counter(node["__id__"] for node in nodes if node.get("__id__") is not None)
    repeated = {identity for identity, count in counts.items() if count > 1}
    is_compared: list[bool] = []
    for index, (node, parent) in enumerate(zip(nodes, parents, strict=True)):
        is_compared.append(node.get("__id__") in repeated or (index > 0 and is_compared[parent]))
    numbers: dict[Any, int] = {}  # of what nodes say
    said: dict[int, int] = {}  # by id(node)
    known: dict[Any, int] = {}
    for node, compare in zip(reversed(nodes), reversed(is_compared), strict=True):
        if not compare:  # children come after their parents, so theirs are known
            continue
        number = said[id(node)] = numbers.setdefault(_meaning(node, said, members), len(numbers))
        identity = node.get("__id__")
        if identity is not None and known.setdefault(identity, number) != number:
            raise ValueError(f"it gives one id, {identity!r}, to different objects")


def _meaning(node: Node, said: dict[int, int], members: dict[str, bytes]) -> Any:
    """Return what a node says apart from its id, of nodes in it the numbers of what they say."""

    def read(value: Any) -> Any:
        if id(value) in said:
            return said[id(value)]
        if isinstance(value, dict):
            return dict, tuple((key, read(inner)) for key, inner in value.items())
        if isinstance(value, list):
            return list, tuple(map(read, value))
        return type(value), value

    parts = [(key, read(value)) for key, value in node.items() if key not in ("__id__", "file")]
    if "file" in node:
        parts.append(("file", blake2b(members[node["file"]]).digest()))
    return tuple(parts)


def rename(schema: Node, name_of: Callable[[str, str], tuple[str, str]]) -> None:
    """Give all classes in a tree other names, in place: those of ``name_of(module, name)``."""
    stack: list[Any] = [schema]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            module, name = value.get("__module__"), value.get("__class__")
            if isinstance(module, str) and isinstance(name, str):
                value["__module__"], value["__class__"] = name_of(module, name)
            stack += value.values()
        elif isinstance(value, list):
            stack += value


def drop_memory(schema: Node) -> None:
    """Set the ``memory`` of pipelines to None, in place: it is a folder of pickles."""
    stack: list[Any] = [schema]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            content = value.get("content")
            attributes = content.get("content") if isinstance(content, dict) else None
            is_pipeline = str(value.get("__class__")) in _WITH_MEMORY
            if is_pipeline and isinstance(attributes, dict) and "memory" in attributes:
                attributes["memory"] = dict(_NULL)
            stack += value.values()


def _walk(root: Node, trusted: Trust, foreign: set[str]) -> Iterator[tuple[Node, int, int]]:
    """Yield nodes, the index of the node that each is in, and how deep it is."""
    stack = [(root, 0, 0)]
    index = -1
    while stack:
        node, parent, depth = stack.pop()
        index += 1
        children = _children(node, trusted, foreign)
        yield node, parent, depth
        stack += [(child, index, depth + 1) for child in children]


def _children(node: Any, trusted: Trust, foreign: set[str]) -> list[Node]:
    """Check a node by itself and return the nodes in it."""
    words = [node.get(key) if _is(node) else None for key in _WORDS]
    if not all(isinstance(word, str) for word in words):
        raise ValueError("a part of it does not say what it is")
    loader, name = words[0], f"{words[1]}.{words[2]}"
    if loader in _KINDS:
        is_trusted, read = _KINDS[loader]
        if is_trusted(name, trusted):
            return read(node)
    if name not in trusted.users:
        foreign.add(name)
    return [value for value in _inside(node) if "__loader__" in value]


def _is(node: Any) -> bool:
    return isinstance(node, dict)


def _inside(node: Node) -> Iterator[Node]:
    """Yield the nodes in a node of any kind, the outermost of each branch."""
    stack = list(node.values())
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            if "__loader__" in value:
                yield value
            else:
                stack += value.values()


def _check_member(node: Node, members: dict[str, bytes]) -> int:
    name = node["file"]
    if not isinstance(name, str) or name not in members:
        raise ValueError(f"it lacks its member {name!r}")
    if node["__loader__"] == "NdArrayNode":
        check_array(members[name])
    return len(members[name])


def _content(node: Node, kind: type, key: str = "content") -> Any:
    if not isinstance(node.get(key), kind):
        raise ValueError(f"a {node['__class__']} in it has no {key} of its kind")
    return node[key]


def _read_json(node: Node) -> list[Node]:
    json.loads(_content(node, str))
    return []


def _read_sequence(node: Node) -> list[Node]:
    return _content(node, list)


def _read_dict(node: Node) -> list[Node]:
    content = _content(node, dict)
    keys = _content(node, dict, "key_types")
    types = keys.get("content") if keys.get("__loader__") == "ListNode" else None
    if not isinstance(types, list) or len(types) != len(content):
        raise ValueError("a dict in it has other keys than it says")
    if any(not _is(key) or key.get("__loader__") != "TypeNode" for key in types):
        raise ValueError("a dict in it makes its keys by something other than a type")
    # bool("False") is True.
    if any(key.get("__class__") in ("bool", "bool_") for key in types):
        raise ValueError("a dict in it has keys of bool, which no model file keeps")
    return [keys, *content.values()]


def _read_object(node: Node) -> list[Node]:
    if node.get("content") is None:
        return []
    content = _content(node, dict)
    if content.get("__loader__") != "DictNode" or content.get("__class__") != "dict":
        raise ValueError(f"the attributes of a {node['__class__']} in it are no dict")
    names = _content(content, dict)
    if any(name.startswith("__") or not name.isidentifier() for name in names):
        raise ValueError(f"a {node['__class__']} in it has an attribute with no name of one")
    return [content]


def _read_array(node: Node) -> list[Node]:
    if node.get("type") == "json" and node["__class__"] == "ndarray":
        return [*_content(node, list), _content(node, dict, "shape")]
    if node.get("type") != "numpy":
        raise ValueError("an array in it is held in no known way")
    _content(node, str, "file")
    return []


def _read_masked_array(node: Node) -> list[Node]:
    parts = [_content(node, dict).get(key) for key in ("data", "mask")]
    if any(not _is(part) or part.get("__loader__") != "NdArrayNode" for part in parts):
        raise ValueError("a masked array in it is not made of arrays")
    return parts


def _read_one(node: Node) -> list[Node]:
    return [_content(node, dict)]


def _read_slice(node: Node) -> list[Node]:
    content = _content(node, dict)
    if any(type(content.get(key)) not in (int, type(None)) for key in ("start", "stop", "step")):
        raise ValueError("a slice in it is not made of numbers")
    return []


def _nothing(node: Node) -> list[Node]:
    return []


def _one_of(names: set[str]) -> Callable[[str, Trust], bool]:
    return lambda name, trusted: name in names


# Where the class says it stands depends on the version of numpy that wrote the file.
_MASKED = {"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"}
_KINDS: dict[str, tuple[Callable[[str, Trust], bool], Callable[[Node], list[Node]]]] = {
    "JsonNode": (_one_of({"builtins.str"}), _read_json),
    "DictNode": (_one_of(DICTS), _read_dict),
    "ListNode": (_one_of({"builtins.list"}), _read_sequence),
    "TupleNode": (_one_of({"builtins.tuple"}), _read_sequence),
    "SetNode": (_one_of({"builtins.set"}), _read_sequence),
    "ConstructorFromReduceNode": (_one_of({"builtins.frozenset"}), _read_one),
    "SliceNode": (_one_of({"builtins.slice"}), _read_slice),
    "TypeNode": (_one_of(PLAIN_TYPES), _nothing),
    "NdArrayNode": (_one_of(NUMPY_SCALARS | {"numpy.ndarray"}), _read_array),
    "MaskedArrayNode": (_one_of(_MASKED), _read_masked_array),
    "DTypeNode": (_one_of({"numpy.dtype"}), _read_one),
    "RandomStateNode": (_one_of({"numpy.random.mtrand.RandomState"}), _read_one),
    "FunctionNode": (lambda name, trusted: name in trusted.functions, _nothing),
    "ObjectNode": (lambda name, trusted: name in trusted.objects, _read_object),
}
