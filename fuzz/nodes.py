"""Parts of a skops file, written by hand: what an attacker starts from."""

import io
import json
import zipfile
from typing import Any

import numpy as np

Node = dict[str, Any]
PROTOCOL = 2


def node(loader: str, name: str, **parts: Any) -> Node:
    """Return a node of a type named ``module.class``."""
    module, _, class_name = name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": class_name, **parts}


def plain(value: Any) -> Node:
    """Return the node of what JSON holds."""
    return node("JsonNode", "builtins.str", content=json.dumps(value), is_json=True)


def type_of(name: str) -> Node:
    """Return the node of a type itself."""
    return node("TypeNode", name)


def sequence(kind: str, *items: Node) -> Node:
    """Return the node of a tuple, list or set."""
    loader = {"tuple": "TupleNode", "list": "ListNode", "set": "SetNode"}[kind]
    return node(loader, f"builtins.{kind}", content=list(items))


def mapping(content: dict[str, Node], key_types: Node | None = None) -> Node:
    """Return the node of a dict whose keys are str, or made by other types."""
    keys = key_types or sequence("list", *[type_of("builtins.str") for _ in content])
    return node("DictNode", "builtins.dict", content=content, key_types=keys)


def call(name: str, *arguments: Node) -> Node:
    """Return the node that calls something with arguments."""
    return node("ConstructorFromReduceNode", name, content=sequence("tuple", *arguments))


def object_of(name: str, **attributes: Node) -> Node:
    """Return the node of an object with attributes."""
    return node("ObjectNode", name, content=mapping(attributes))


def unigram(**attributes: Node) -> Node:
    """Return the node of a UnigramLM with further attributes."""
    rest = {"smoothing": plain(1.0), "vectorizer": plain(None)} | attributes
    return object_of("sklearn_codex.UnigramLM", **rest)


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    """Return an array as a file of numpy."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


class Members:
    """Members of an archive, and the nodes that refer to them."""

    def __init__(self):
        self.content: dict[str, bytes] = {}

    def add(self, data: bytes, suffix: str) -> str:
        """Hold bytes and return the name of their member."""
        name = f"{len(self.content)}.{suffix}"
        self.content[name] = data
        return name

    def array(self, data: bytes) -> Node:
        """Return the node of an array, of the bytes that shall be one."""
        return node("NdArrayNode", "numpy.ndarray", type="numpy", file=self.add(data, "npy"))

    def raw(self, data: bytes) -> Node:
        """Return the node of bytes."""
        return node("BytesNode", "builtins.bytes", file=self.add(data, "bin"))


def pack(
    root: Any,
    members: dict[str, bytes] | None = None,
    *,
    method=zipfile.ZIP_DEFLATED,
    **header: Any,
) -> bytes:
    """Return the bytes of a model file."""
    file = io.BytesIO()
    if isinstance(root, dict):
        root = {**root, "protocol": PROTOCOL, "_skops_version": "0.16.0", **header}
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in (members or {}).items():
            archive.writestr(name, data)
        archive.writestr(
            "schema.json", root if isinstance(root, (str, bytes)) else json.dumps(root)
        )
    return file.getvalue()
