"""The zip archive of a model file: a schema and the members it names, within stated limits."""

import io
import json
import math
import struct
import zipfile
from typing import Any, NamedTuple

import numpy as np

SCHEMA = "schema.json"
MAX_MEMBERS = 50_000
# Bytes of a file and of all that it unpacks to.
MAX_SIZE = 2**30
# Lists, dicts and values of a schema: a few bytes could unpack to billions of them, of 50 bytes
# each. Those of true models take a byte or more of the file.
MAX_PARTS = 10**6
MAX_PARTS_PER_BYTE = 8
# Of a member in the directory of an archive; names are short.
_MAX_DIRECTORY_BYTES = 512 * MAX_MEMBERS
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a limit
_DIRECTORY_END, _DIRECTORY_END_64 = b"PK\x05\x06", b"PK\x06\x07"
_ARRAY_KINDS = "biufcSU"


class Archive(NamedTuple):
    """A schema, and members by their names."""

    schema: dict[str, Any]
    members: dict[str, bytes]


def read_archive(data: bytes, *, max_size: int) -> Archive:
    """Unpack an archive whose directory and sizes are within the limits."""
    check_size(len(data), "it has", max_size)
    _check_directory(data)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        infos = file.infolist()
        if len(infos) > MAX_MEMBERS:
            raise ValueError(f"it has {len(infos)} members, more than {MAX_MEMBERS}")
        check_size(sum(info.file_size for info in infos), "it unpacks to", max_size)
        if any(info.compress_type not in _METHODS for info in infos):
            raise ValueError("its members are compressed by a method that save_model does not use")
        members = {info.filename: file.read(info) for info in infos}
    if SCHEMA not in members:
        raise ValueError(f"it has no {SCHEMA}")
    text = members.pop(SCHEMA)
    n_parts = sum(text.count(part) for part in (b"[", b"{", b","))
    if n_parts > MAX_PARTS + MAX_PARTS_PER_BYTE * len(data):
        raise ValueError(f"its {SCHEMA} has {n_parts:,} parts, far more than a model of its size")
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise ValueError(f"its {SCHEMA} is no JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ValueError(f"its {SCHEMA} holds no object")
    return Archive(schema, members)


def write_archive(archive: Archive, file, *, compression: int = zipfile.ZIP_DEFLATED) -> None:
    """Pack an archive into a binary file."""
    with zipfile.ZipFile(file, "w", compression=compression) as packed:
        for name, content in archive.members.items():
            packed.writestr(name, content)
        packed.writestr(SCHEMA, json.dumps(archive.schema, separators=(",", ":")))


def check_size(n_bytes: int, what: str, max_size: int) -> None:
    """Raise where something is larger than allowed."""
    if n_bytes > max_size:
        raise ValueError(
            f"{what} {n_bytes:,} bytes, more than max_size={max_size:,}; pass a larger one if you "
            "know who made it"
        )


def check_array(data: bytes) -> None:
    """Check that a member is an array of plain numbers or strings, of just the size it claims."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"it holds an array of format {version}")
    if dtype.kind not in _ARRAY_KINDS or not dtype.itemsize:
        raise ValueError(f"it holds an array of type {dtype}")
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise ValueError(f"it holds an array of shape {shape}")
    claimed, held = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if claimed != held:
        raise ValueError(f"it holds {held} bytes for an array of shape {shape} and type {dtype}")


def _check_directory(data: bytes) -> None:
    """Check what an archive says of its directory, before anything is made of each entry."""
    end = data.rfind(_DIRECTORY_END, max(0, len(data) - 2**16 - 22))
    if end < 0 or len(data) < end + 22:
        raise ValueError("it is no zip archive, or cut short")
    n_members, n_bytes = struct.unpack_from("<HI", data, end + 10)
    if data[max(0, end - 20) : max(0, end - 16)] == _DIRECTORY_END_64 and end >= 76:
        n_members, n_bytes = struct.unpack_from("<QQ", data, end - 76 + 32)
    if n_members > MAX_MEMBERS or n_bytes > _MAX_DIRECTORY_BYTES:
        raise ValueError(f"its directory claims {n_members} members, more than {MAX_MEMBERS}")
