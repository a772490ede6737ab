"""Containers that are cut off, damaged, too large, or of a kind that holds no rows."""

import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from data_files import COMPRESSIONS, CONTAINERS, container_bytes

from sklearn_codex._files.rows import read_rows
from sklearn_codex._files.unpack import MAX_UNPACKED, VARIABLE, max_unpacked
from sklearn_codex.cli import main
from sklearn_codex.cli._inputs import read_texts
from sklearn_codex.datasets import read_preferences

# Digits that pack badly, so that a cut leaves some whole lines.
RNG = np.random.default_rng(0)
ROWS = [
    {"chosen": RNG.bytes(40).hex(), "rejected": RNG.bytes(40).hex(), "n": i} for i in range(3000)
]
PACKED = [name for name in COMPRESSIONS if name not in ("none",)]


@cache
def packed_rows(container, compression):
    return container_bytes(ROWS, container, compression)


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.999])
@pytest.mark.parametrize("container", ["json lines", "json list", "csv"])
def test_packed_data_that_are_cut_off_are_told(container, compression, share, tmp_path):
    path = tmp_path / "data"
    content = packed_rows(container, compression)
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"^It.* data are cut off or damaged \(.*Get the file a"):
        list(read_rows(path, "It"))


@pytest.mark.parametrize("compression", ["gzip", "xz", "lzma", "zstandard"])
def test_errors_of_packed_data_say_after_which_line(compression, tmp_path):
    path = tmp_path / "data"
    content = packed_rows("json lines", compression)
    path.write_bytes(content[: len(content) // 2])
    seen = 0
    with pytest.raises(ValueError, match=r"^It, after line \d+: the .* data are cut") as caught:
        for seen, _ in enumerate(read_rows(path, "It"), start=1):  # noqa: B007
            pass
    assert seen > 1000
    assert f"after line {seen}:" in str(caught.value)


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstandard", "zip"])
def test_packed_data_with_other_bytes_are_told_or_read_as_they_were(compression, tmp_path):
    path = tmp_path / "data"
    rng = np.random.default_rng(1)
    content = container_bytes(ROWS[:200], "csv", compression)
    written = [{name: str(value) for name, value in row.items()} for row in ROWS[:200]]
    n_told = 0
    for _ in range(30):
        changed = bytearray(content)
        changed[rng.integers(20, len(content))] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            rows = [row for _, row in read_rows(path, "It")]
        except ValueError as error:
            n_told += str(error).startswith("It")
        else:  # the sums that all these formats have tell of other data
            assert rows == written
    assert n_told > 10


@pytest.mark.parametrize("container", ["parquet", "arrow file", "arrow stream", "feather"])
def test_tables_that_are_cut_off_are_told(container, tmp_path):
    path = tmp_path / "data"
    content = container_bytes(ROWS, container)
    for share in (0.05, 0.5, 0.999):
        path.write_bytes(content[: int(len(content) * share)])
        if (container, share) == ("arrow stream", 0.999):
            continue  # a stream may end without its mark
        with pytest.raises(ValueError, match=r"^It.* data are cut off or damaged") as caught:
            list(read_rows(path, "It"))
        assert "\n" not in str(caught.value)


def test_an_index_that_leads_nowhere_is_told(tmp_path):
    column = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 0], type=pa.int8()), pa.array(["a", "b"])
    )
    table = pa.table({"chosen": column, "rejected": ["x", "y", "z"]})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    content = sink.getvalue()
    indices = b"\0\1\0\0\0\0\0\0"
    assert content.count(indices) >= 1
    (tmp_path / "data").write_bytes(content.replace(indices, b"\0\x60\0\0\0\0\0\0"))
    with pytest.raises(ValueError, match="It: the Arrow file data are cut off or dam"):
        list(read_rows(tmp_path / "data", "It"))


def test_dictionaries_and_views_are_text(tmp_path):
    table = pa.table({
        "chosen": pa.array(["a", "b", "a"]).dictionary_encode(),
        "rejected": pa.array(["x", None, "a text that is longer than a view"], pa.string_view()),
        "large": pa.array(["x", "y", "z"], pa.large_string()),
    })  # fmt: skip
    with pa.ipc.new_file(tmp_path / "data", table.schema) as writer:
        writer.write_table(table)
    assert [row for _, row in read_rows(tmp_path / "data", "It")] == table.to_pylist()


def _sqlite(path):
    with sqlite3.connect(path) as base:
        base.execute("create table pairs (chosen, rejected)")
    base.close()
    return path.read_bytes()


def _tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("data.jsonl"), io.BytesIO())
    return file.getvalue()


def _zip(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


def _npy():
    file = io.BytesIO()
    np.save(file, np.arange(3))
    return file.getvalue()


KINDS = {
    "pickle": (lambda path: pickle.dumps([{"a": 1}], 4), "a pickle, which could run any code"),
    "sqlite": (_sqlite, r"an SQLite database, .* sqlite3 -header -csv"),
    "pdf": (lambda path: b"%PDF-1.7\n%\xe2\xe3\n", "a PDF document"),
    "elf": (lambda path: b"\x7fELF\2\1\1" + bytes(9), "a program"),
    "numpy": (lambda path: _npy(), "an array of numpy"),
    "tar": (lambda path: _tar(), "a tar archive, .* tar xf FILE"),
    "hdf": (lambda path: b"\x89HDF\r\n\x1a\n" + bytes(9), "an HDF5 file"),
    "excel": (lambda path: _zip("xl/workbook.xml"), "an Excel workbook, .* save the sheet as CSV"),
    "binary excel": (lambda path: _zip("xl/workbook.bin"), "an Excel workbook, .* sheet as CSV"),
    "numbers": (lambda path: _zip("Index/Document.iwa"), "a document of Numbers .* sheet as CSV"),
    "calc": (lambda path: _zip("mimetype", "content.xml"), "an OpenDocument .* sheet as CSV"),
    "pickle 0": (lambda path: pickle.dumps([{"a": 1}], 0), "a pickle, which could run any code"),
    "pickle 1": (lambda path: pickle.dumps([{"a": 1}], 1), "a pickle, which could run any code"),
    "duckdb": (lambda path: bytes(range(1, 9)) + b"DUCK" + bytes(9), "a DuckDB database"),
    "annex": (lambda path: b"/annex/objects/SHA256E-s12--abc.jsonl\n", "git annex get FILE"),
    "old excel": (lambda path: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9), "an old Excel"),
    "torch": (lambda path: _zip("a/data.pkl"), "a file of PyTorch, which could run any code"),
    "npz": (lambda path: _zip("a.npy"), "holds arrays of numpy"),
    "model": (lambda path: _zip("schema.json"), "a model file of skops"),
    "no member": (lambda path: _zip("README.md"), "a zip archive without a file of data"),
    "member twice": (lambda path: _zip_twice(), "holds the file a twice"),
    "lfs": (lambda path: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
    "png": (lambda path: b"\x89PNG\r\n\x1a\n" + bytes(9), "a picture"),
    "safetensors": (lambda path: b"\x40" + bytes(7) + b'{"a":1}', "a safetensors file"),
    "7z": (lambda path: b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive, .* 7z x FILE"),
    "lz4": (lambda path: b"\x04\x22\x4d\x18\x64\x40\xa7\0", "packed by lz4"),
    "other": (lambda path: bytes(range(256)), "of a kind that is not known: byte 0 is 0"),
    "utf-16": (lambda path: '{"a": 1}\n'.encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8"),
    "feather 1": (lambda path: b"FEA1" + bytes(9), r"Feather of version 1, .*write_feather\("),
    "encrypted": (lambda path: b"PARE" + bytes(9), "encrypted Parquet"),
    "thrice": (
        lambda path: lzma.compress(lzma.compress(lzma.compress(b'{"a": 1}'))),
        "is packed more than 2 times, by xz at last",
    ),
}  # fmt: skip


def _zip_twice():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "x")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a", "y")
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_files_of_other_kinds_are_told(kind, compression, tmp_path, capsys):
    make, message = KINDS[kind]
    path = tmp_path / "data.jsonl"
    content = make(tmp_path / "made")
    path.write_bytes(COMPRESSIONS[compression](content))
    for read in (read_preferences, lambda path: read_texts(str(path))):
        with pytest.raises(ValueError, match=rf"data\.jsonl.*{message}") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    assert main(["audit", str(path), "--json", "--no-progress"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


BROKEN = {
    "byte 0": (b'{"a": "x"}\n{"a": "\0"}\n', r"It, line 2 has a byte 0 at position 7"),
    "byte 0 in csv": (b"a,b\nx\0y,z\n", r"It, line 2 has a byte 0 at position 1"),
    "half": (b'{"a": 1}\n{"a": [{"b": "x\\ud83d"}]}\n', r"It, line 2 .*\\ud83d is half of a char"),
    "half name": (b'{"a": 1}\n{"\\uDE00": 1}\n', r"It, line 2 .*\\ude00 is half of a character"),
    "half in list": (b'[{"a": 1},\n{"a": "\\udfff"}]', r"It, line 2 is not JSON: .*\\udfff is h"),
    "digits": (b'{"a": 1}\n{"a": ' + b"9" * 5000 + b"}", "It, line 2 .*more than 4300 digits"),
    "digits in list": (b'[{},\n{"a": ' + b"9" * 5000 + b"}]", "It, line 2 .*more than 4300 digits"),
    "twice": (b'{"a": 1}\n{"a": {"b": [{"c": 1, "c": 2}]}}', "It, line 2 .*'c' stands twice in"),
    "twice in list": (b'[{},\n{"a": {"c": 1, "c": 2}}]', "It, line 2 is not JSON: the name 'c' st"),
    "twice in object": (b'{\n"a": [1],\n"a": [2]\n}', "It, line 1 is not JSON: the name 'a'"),
    "number": (b'{"a": 1}\n3\n', "It, line 2 should be a JSON record with named columns, got 3"),
    "list": (b'{"a": 1}\n[1, 2]\n', r"It, line 2 should be a JSON record .*, got \[1, 2\]"),
    "lists": (b"[1, 2]\n[3, 4]\n", r"It, record 0 should be a JSON record .*, got 1"),
    "after a list": (b'[{"a": 1}]\n[{"a": 1}]\n', "It, line 2 is not JSON: Extra data after"),
    "comma": (b'[{"a": 1},\n]', "It, line 2 is not JSON: Illegal trailing comma"),
    "no comma": (b'[{"a": 1}\n{"a": 1}]', "It, line 2 is not JSON: Expecting ',' delimiter"),
    "open list": (b'[{"a": 1}\n', "It, line 2 is not JSON: the list is not closed"),
    "open record": (b'[{"a": 1},\n\n{"a": ', "It, line 3 is not JSON: Expecting value"),
    "open object": (b'{\n"a": [\n1,\n', "It, line 4 is not JSON: Expecting value"),
    "bare": (b"[{},\nnope]", "It, line 2 is not JSON: Expecting value"),
    "deep": (b'[{"a": ' + b"[" * 100_000, "It, line 1 is not JSON: .*recursion"),
    "returns": (b"a,b\rx,y\r", "It, line 1 has 2 carriage returns and the file no newline"),
    "returns in json": (b'{"a": 1}\r{"a": 2}\r', "It, line 1 is .* carriage returns, with"),
    "latin": (b'[{"a": 1},\n{"a": "\xe9"}]', "It, line 2 is not UTF-8: byte 0xe9. Save .* iconv"),
    "unnamed": (b"a,,\n1,,\n1,,2\n", r"It, line 3 has '2' in column 3, which has no name"),
    "fields": (b"a,b\n1,2\n1,2,3\n", r"It, line 3 should have 2 fields"),
    "field": (b"a,b\n1,2\n1\n", r"It, line 3 should have 2 fields"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("compression", ["none", "zstandard"])
def test_what_is_broken_is_told_with_its_line(case, compression, tmp_path):
    content, message = BROKEN[case]
    path = tmp_path / "data"
    path.write_bytes(COMPRESSIONS[compression](content))
    with pytest.raises(ValueError, match=message):
        list(read_rows(path, "It"))


def test_a_long_blank_is_skipped_at_once(tmp_path):
    (tmp_path / "data").write_text('[{"a": 1},' + " \n" * 5_000_000 + '{"a": 2}]')
    assert [row["a"] for _, row in read_rows(tmp_path / "data", "It")] == [1, 2]


def test_whole_characters_in_escapes_are_read(tmp_path):
    rows = [{"a": "\U0001f469\u200d\U0001f4bb"}, {"a": "\\ud83d"}]
    (tmp_path / "data").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "\\ud83d" in (tmp_path / "data").read_text()
    assert [row for _, row in read_rows(tmp_path / "data", "It")] == rows


@pytest.mark.parametrize("compression", PACKED)
def test_what_comes_out_of_a_file_has_a_limit(compression, tmp_path, monkeypatch):
    path = tmp_path / "data"
    row = json.dumps({"chosen": "a " * 1000, "rejected": "b"}).encode() + b"\n"
    path.write_bytes(COMPRESSIONS[compression](row * 2000))
    monkeypatch.setenv(VARIABLE, "1M")
    with pytest.raises(ValueError, match=rf"data.*: more than 1,048,576 bytes .* {VARIABLE}=1G of"):
        read_preferences(path)
    monkeypatch.setenv(VARIABLE, "5MB")
    assert read_preferences(path).n == 2000


def test_what_is_not_packed_has_no_limit(tmp_path, monkeypatch):
    path = tmp_path / "data"
    monkeypatch.setenv(VARIABLE, "20K")
    for container in CONTAINERS:
        path.write_bytes(container_bytes(ROWS[:300], container))
        if not container.startswith(("parquet", "feather", "json under", "json by", "json split")):
            assert len(list(read_rows(path, "It"))) == 300


@pytest.mark.parametrize("container", ["parquet", "arrow file"])
def test_what_comes_out_of_tables_has_a_limit(container, tmp_path, monkeypatch):
    table = pa.table({"chosen": ["a " * 1000] * 2000, "rejected": ["b"] * 2000})
    if container == "parquet":
        pa.parquet.write_table(table, tmp_path / "data", compression="zstd")
    else:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(tmp_path / "data", table.schema, options=options) as writer:
            writer.write_table(table)
    assert len(list(read_rows(tmp_path / "data", "It"))) == 2000
    monkeypatch.setenv(VARIABLE, "1M")
    with pytest.raises(ValueError, match=f"It: more than 1,048,576 bytes come .* {VARIABLE}=1G of"):
        list(read_rows(tmp_path / "data", "It"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": "' + b"x" * 10**7 + b'"}', "It, after line 0: the next one is longer than 2,6"),
        (b'[{"a": "' + b"x" * 10**7 + b'"}]', "It, line 1 begins a record of more than 2,621,440"),
        (b'{\n"a": "' + b"x" * 10**7 + b'"}', "It, after line 1: the next one is longer than 2,6"),
    ],
)
def test_one_record_has_a_limit(content, message, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "10M")
    (tmp_path / "data").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_rows(tmp_path / "data", "It"))


def test_the_limit_is_a_number_of_bytes(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert max_unpacked() == MAX_UNPACKED == 2**31
    for word, n in (("100", 100), ("2k", 2048), ("1.5 MiB", 1572864), ("3GB", 3 * 2**30)):
        monkeypatch.setenv(VARIABLE, word)
        assert max_unpacked() == n
    for word in ("0", "-1", "x", "G", "nan", "inf", "1e400"):
        monkeypatch.setenv(VARIABLE, word)
        with pytest.raises(
            ValueError, match=f"{VARIABLE} of the environment should be a number of"
        ):
            max_unpacked()


def test_a_protected_archive_is_told(tmp_path):
    content = bytearray(_zip("data.jsonl"))
    for start in (content.find(b"PK\3\4") + 6, content.find(b"PK\1\2") + 8):
        content[start] |= 1  # the mark of encryption
    (tmp_path / "data").write_bytes(content)
    with pytest.raises(ValueError, match=r"data: it is encrypted\. Unpack it first"):
        read_preferences(tmp_path / "data")
