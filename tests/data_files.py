"""The same rows in every container and compression, and in every kind of table in memory."""

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import zstandard


def _lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def _columns(rows):
    return {name: [row.get(name) for row in rows] for name in rows[0]}


def _indexed(rows):
    return {name: dict(enumerate(cells)) for name, cells in _columns(rows).items()}


def _split(rows):
    return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}


def _csv(rows, delimiter=","):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return file.getvalue()


def _table(rows):
    return pa.table({name: pa.array(cells) for name, cells in _columns(rows).items()})


def _stream(rows):
    sink, table = io.BytesIO(), _table(rows)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def _file(rows, **options):
    sink, table = io.BytesIO(), _table(rows)
    with pa.ipc.new_file(sink, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def _parquet(rows):
    sink = io.BytesIO()
    pa.parquet.write_table(_table(rows), sink, row_group_size=2)
    return sink.getvalue()


def _feather(rows):
    sink = io.BytesIO()
    pa.feather.write_feather(_table(rows), sink)
    return sink.getvalue()


CONTAINERS = {
    "json lines": _lines,
    "json lines, crlf": lambda rows: _lines(rows).replace("\n", "\r\n"),
    "json lines, no last end": lambda rows: _lines(rows).rstrip("\n"),
    "json lines, bom": lambda rows: "\ufeff" + _lines(rows),
    "json lines, utf-16": lambda rows: _lines(rows).encode("utf-16"),
    "json lines, utf-32": lambda rows: _lines(rows).encode("utf-32"),
    "json list": json.dumps,
    "json list, indented": lambda rows: json.dumps(rows, indent=2),
    "json list, a line each": lambda rows: "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n",
    "json list, bom": lambda rows: "\ufeff" + json.dumps(rows),
    "json list, utf-16": lambda rows: json.dumps(rows).encode("utf-16"),
    "json objects, indented": lambda rows: "\n".join(json.dumps(row, indent=1) for row in rows),
    "json under a key": lambda rows: json.dumps({"data": rows}),
    "json under a key, indented": lambda rows: json.dumps(
        {"version": 1, "battles": rows}, indent=1
    ),
    "json by column": lambda rows: json.dumps(_columns(rows)),
    "json by column, indented": lambda rows: json.dumps(_columns(rows), indent=4),
    "json by column and row": lambda rows: json.dumps(_indexed(rows)),
    "json by row and column": lambda rows: json.dumps(dict(enumerate(rows))),
    "json split": lambda rows: json.dumps(_split(rows)),
    "csv": _csv,
    "csv, bom": lambda rows: "\ufeff" + _csv(rows),
    "csv, utf-16": lambda rows: _csv(rows).encode("utf-16"),
    "tsv": lambda rows: _csv(rows, "\t"),
    "semicolons": lambda rows: _csv(rows, ";"),
    "bars": lambda rows: _csv(rows, "|"),
    "parquet": _parquet,
    "arrow file": _file,
    "arrow stream": _stream,
    "feather": _feather,
}
"""Files, by how they hold rows: a function of the rows to str or bytes."""

TEXT_ONLY = {name for name in CONTAINERS if name.startswith(("csv", "tsv", "semi", "bars"))}
"""Containers whose values are all str."""


def _zip(data, name="rows"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.md", "What the file holds.")
        archive.writestr(f"folder/{name}", data)
        archive.writestr("__MACOSX/folder/._rows", b"\0\5\x16\7")
    return file.getvalue()


COMPRESSIONS = {
    "none": bytes,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "gzip, members": lambda data: (
        gzip.compress(data[:9], mtime=0) + gzip.compress(data[9:], mtime=0)
    ),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstandard": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "zstandard, frames": lambda data: (
        b"\x50\x2a\x4d\x18\1\0\0\0x"  # a frame to be skipped
        + zstandard.ZstdCompressor().compress(data[:9])
        + zstandard.ZstdCompressor(write_content_size=False).compress(data[9:])
    ),
    "zip": _zip,
    "gzip in zip": lambda data: _zip(gzip.compress(data)),
    "zip in zstandard": lambda data: zstandard.ZstdCompressor().compress(_zip(data)),
}
"""What packs bytes: a function of the bytes to bytes."""


def container_bytes(rows, container, compression="none"):
    """Return the bytes of a file of rows."""
    data = CONTAINERS[container](rows)
    return COMPRESSIONS[compression](data.encode() if isinstance(data, str) else data)


FOLDERS = ("folder", "folders", "dataset", "dataset dict", "pattern", "zip of shards")


def write_container(rows, path, container="json lines", compression="none"):
    """Write rows, and return what a reader is to be given.

    Parameters
    ----------
    rows : list of dict
        Rows with the same names in the same order.
    path : Path
        File; for the containers of ``FOLDERS`` a folder, which is made.
    container : str
        Of ``CONTAINERS``, or one of ``FOLDERS``: shards of JSON lines, or what ``datasets`` saves.
    compression : str
        Of ``COMPRESSIONS``; that of each shard; none for what ``datasets`` saves.
    """
    if container not in FOLDERS:
        path.write_bytes(container_bytes(rows, container, compression))
        return path
    if container == "zip of shards":
        with zipfile.ZipFile(path, "w") as archive:
            for number, shard in enumerate(_shards(rows)):
                archive.writestr(
                    f"part-{number}.jsonl", container_bytes(shard, "json lines", compression)
                )
        return path
    path.mkdir()
    if container.startswith("dataset"):
        folder = path
        if container == "dataset dict":
            (path / "dataset_dict.json").write_text(json.dumps({"splits": ["train"]}))
            folder = path / "train"
            folder.mkdir()
        _save_dataset(rows, folder)
        return path
    (path / "README.md").write_text("What the files hold.\n")
    (path / ".hidden").write_text("not data\n")
    (path / "dataset_info.json").write_text("{}\n")
    for number, shard in enumerate(_shards(rows)):
        folder = path / f"b{number}" if container == "folders" else path
        folder.mkdir(exist_ok=True)
        (folder / f"part-{number}.jsonl").write_bytes(
            container_bytes(shard, "json lines", compression)
        )
    return str(path / "part-*") if container == "pattern" else path


def _shards(rows):
    cut = (len(rows) + 1) // 2
    return [shard for shard in (rows[:cut], rows[cut:]) if shard]


def _save_dataset(rows, folder):
    """Write what ``datasets.Dataset.save_to_disk`` writes."""
    names = []
    for number, shard in enumerate(_shards(rows)):
        names.append(f"data-{number:05}-of-00002.arrow")
        (folder / names[-1]).write_bytes(_stream(shard))
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0"}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")


TABLES = {
    "list": list,
    "tuple": tuple,
    "generator": lambda rows: (row for row in rows),
    "dict of columns": _columns,
    "pandas": lambda rows: pd.DataFrame(rows),
    "polars": lambda rows: pl.DataFrame(rows, strict=False),
    "polars query": lambda rows: pl.LazyFrame(rows, strict=False),
    "pyarrow": _table,
    "pyarrow batch": lambda rows: _table(rows).combine_chunks().to_batches()[0],
    "pyarrow reader": lambda rows: pa.RecordBatchReader.from_batches(
        _table(rows).schema, _table(rows).to_batches()
    ),
    "dict of one frame": lambda rows: {"train": pd.DataFrame(rows)},
}
"""Tables in memory: a function of the rows to one."""
