"""What a file is, told by its first bytes and never by its name."""

import re
from typing import NamedTuple

HEAD = 4096
"""Bytes that are looked at; a file may have fewer."""

TEXT = "text"
PARQUET = "Parquet"
ARROW_FILE = "an Arrow file"
ARROW_STREAM = "an Arrow stream"
TABLES = {PARQUET: "Parquet", ARROW_FILE: "Arrow", ARROW_STREAM: "Arrow"}
"""What pyarrow reads, and what of it is one kind where a folder holds several files."""

PACKINGS = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"\x5d\x00\x00": "lzma",
    b"\x28\xb5\x2f\xfd": "zstandard",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")  # with which a zstandard file may begin
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")  # a text may begin with the first three

_TABLE_MAGIC = {b"PAR1": PARQUET, b"ARROW1\x00\x00": ARROW_FILE}
_BOMS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
UTF8_BOM = b"\xef\xbb\xbf"


class _Other(NamedTuple):
    """A kind of file that is not read, and the way to make of it one that is."""

    begins: bytes
    name: str
    remedy: str
    is_binary: bool = True  # a text may begin so too, and has no byte 0


_RECORDS = "write its rows as JSON lines, Parquet or CSV"
_NO_DATA = "name the file of the data"
_FRAME = "df.to_json('data.jsonl', orient='records', lines=True) of pandas writes JSON lines"
_OTHERS = (
    # Its reader in pyarrow is going away, and a damaged file ends the process.
    _Other(b"FEA1", "Feather of version 1, which is given up",
           "write it anew where it is trusted: pyarrow.feather.write_feather("
           "pyarrow.feather.read_table(FILE), NEW)"),
    _Other(b"PARE", "encrypted Parquet", "decrypt it first"),
    _Other(b"SQLite format 3\x00", "an SQLite database",
           "write the table as CSV: sqlite3 -header -csv FILE 'select * from TABLE' > data.csv"),
    _Other(b"%PDF-", "a PDF document", _NO_DATA, False),
    _Other(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file", "save it as CSV"),
    _Other(b"\x7fELF", "a program", _NO_DATA),
    _Other(b"MZ", "a program", _NO_DATA),
    _Other(b"\xcf\xfa\xed\xfe", "a program", _NO_DATA),
    _Other(b"\xca\xfe\xba\xbe", "a program", _NO_DATA),
    _Other(b"\x00asm", "a program", _NO_DATA),
    _Other(b"\x89HDF\r\n\x1a\n", "an HDF5 file", f"{_RECORDS}; {_FRAME}"),
    _Other(b"\x93NUMPY", "an array of numpy", f"{_RECORDS} after numpy.load"),
    _Other(b"Obj\x01", "an Avro file", _RECORDS),
    _Other(b"ORC", "an ORC file", f"{_RECORDS}; {_FRAME}"),
    _Other(b"\x89PNG", "a picture", _NO_DATA),
    _Other(b"\xff\xd8\xff", "a picture", _NO_DATA),
    _Other(b"GIF8", "a picture", _NO_DATA),
    _Other(b"GGUF", "a model file", _NO_DATA),
    _Other(b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first: 7z x FILE"),
    _Other(b"Rar!\x1a\x07", "a RAR archive", "unpack it first: unrar x FILE"),
    _Other(b"\x04\x22\x4d\x18", "packed by lz4", "unpack it first: lz4 -d FILE"),
    _Other(b"\xff\x06\x00\x00sNaPpY", "packed by snappy", "unpack it first"),
    _Other(b"LZIP", "packed by lzip", "unpack it first: lzip -d FILE"),
    _Other(b"\x1f\x9d", "packed by compress", "unpack it first: uncompress FILE"),
    _Other(b"version https://git-lfs.github.com/spec/", "a pointer of Git LFS and not the data",
           "get the data: git lfs pull", False),
    _Other(b"/annex/objects/", "a pointer of git-annex and not the data",
           "get the data: git annex get FILE", False),
    _Other(b"$FL2@(#)", "an SPSS file", "save it as CSV", False),
    _Other(b"bplist00", "a property list of a Mac", _RECORDS),
)  # fmt: skip
# Of the first protocols it begins with a list, a dict or the name of a class.
_PICKLE = re.compile(
    rb"\x80[\x02-\x05]|[\]}]q\0|\([ld]p\d+\n|c(?:copy_reg|copyreg|pandas|numpy|__builtin__)[\w.]*\n"
)
_CONTROLS = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")
_LATER = (
    (b"ustar", 257, "a tar archive", "unpack it first, tar xf FILE, and name a file or the folder"),
    (b"DUCK", 8, "a DuckDB database",
     "write the table as Parquet: COPY (SELECT * FROM TABLE) TO 'data.parquet'"),
)  # fmt: skip
"""Kinds that are told by bytes after the first ones."""
_SAFETENSORS = re.compile(rb"(?s).{5}\0\0\0\{\"")


def packing_of(head: bytes) -> str | None:
    """Return what a file is packed by, None where it is not."""
    if _SKIPPABLE.match(head):
        return "zstandard"
    if _BZIP2.match(head):
        return "bzip2"
    return next((name for magic, name in PACKINGS.items() if head.startswith(magic)), None)


def encoding_of(head: bytes) -> str | None:
    """Return the encoding that a byte order mark tells, but for UTF-8."""
    return next((name for bom, name in _BOMS.items() if head.startswith(bom)), None)


def kind_of(head: bytes, place: str) -> str:
    """Return what an unpacked file is: ``TEXT``, or one of ``TABLES``.

    Raises
    ------
    ValueError
        If it is something else, of which rows cannot be read.
    """
    for magic, kind in _TABLE_MAGIC.items():
        if head.startswith(magic) and b"\0" in head:  # a text may begin with these letters
            return kind
    # A message of a stream has its length after four bytes of ones.
    if head[:4] == b"\xff\xff\xff\xff" and 0 < int.from_bytes(head[4:8], "little") < 2**31:
        return ARROW_STREAM
    other = _find_other(head)
    if other is not None:
        raise ValueError(f"{place} is {other[0]}, no file of records or texts: {other[1]}.")
    return TEXT


def _find_other(head: bytes) -> tuple[str, str] | None:
    """Return what is no text and the remedy, None for text."""
    has_zero = b"\0" in head
    for other in _OTHERS:
        if head.startswith(other.begins) and (has_zero or not other.is_binary or _is_odd(head)):
            return other.name, other.remedy
    for magic, start, name, remedy in _LATER:
        if has_zero and head[start : start + len(magic)] == magic:
            return name, remedy
    if _PICKLE.match(head):
        return (
            "a pickle, which could run any code when it is read",
            f"{_RECORDS} where it was made; {_FRAME}",
        )
    if _SAFETENSORS.match(head):
        return "a safetensors file of a model", _NO_DATA
    if has_zero and _is_odd(head):
        return _of_zeros(head)
    return None


def _is_odd(head: bytes) -> bool:
    """Whether bytes are no text in UTF-8, but for a byte 0 here and there.

    The last letter may be cut off. Of a text with few zeros its reader tells the line.
    """
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return True
    return len(_CONTROLS.findall(head)) > max(len(head) // 10, 3) or head.startswith(b"\0")


def _of_zeros(head: bytes) -> tuple[str, str]:
    """Return what bytes with zeros among them are."""
    for start, name in ((1, "UTF-16LE"), (0, "UTF-16BE")):
        every_other = head[start : 256 + start : 2]
        if len(head) >= 4 and every_other.count(0) > 0.6 * len(every_other):
            if head[1 - start : 256 : 2].count(0):
                break
            return (
                f"{name} without a byte order mark",
                f"save it as UTF-8, e.g. iconv -f {name} -t UTF-8 FILE > NEW",
            )
    return (
        f"of a kind that is not known: byte {head.index(0)} is 0, which no text has",
        "save it as JSON lines, CSV or Parquet; text in UTF-8",
    )
