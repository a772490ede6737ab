"""Vectors of texts on disk: an SQLite file for each embedder, numbers only, never a pickle."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing, contextmanager
from hashlib import blake2b
from os import PathLike
from pathlib import Path

import numpy as np

SECONDS_TO_WAIT = 60.0
"""For another process that writes."""
KEYS_AT_ONCE = 500
FLOATS = ("float16", "float32", "float64")
_TABLES = """
CREATE TABLE IF NOT EXISTS embedder (name TEXT, n_features INTEGER, dtype TEXT);
CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB NOT NULL);
"""


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).digest()


class VectorStore:
    """The vectors that one embedder has made, found by a digest of their texts.

    Parameters
    ----------
    folder : str or path-like
        Where the file is, or is made.
    name : str
        Identity of the embedder; another name is another file.
    subject : str
        Who asks; error messages start with it.
    """

    def __init__(self, folder: str | PathLike, name: str, *, subject: str):
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        self.path = Path(folder) / f"embeddings-{digest}.sqlite3"
        self.name = name
        self.subject = subject

    @contextmanager
    def _open(self):
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT)) as connection:
                with connection:
                    connection.executescript(_TABLES)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise ValueError(
                f"{self.subject} cannot use {self.path} as its memory of vectors: {error}. Name "
                "another folder, or delete the file if it is damaged."
            ) from error

    def get(self, texts: list[str]) -> dict[str, np.ndarray]:
        """Return the vectors (d,) that are known, by their texts."""
        by_digest = {_digest(text): text for text in texts}
        found: dict[str, np.ndarray] = {}
        keys = list(by_digest)
        with self._open() as connection:
            form = self._form(connection)
            if form is None:
                return found
            for start in range(0, len(keys), KEYS_AT_ONCE):
                some = keys[start : start + KEYS_AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT text, vector FROM vectors WHERE text IN ({marks})"
                for key, vector in connection.execute(query, some):
                    found[by_digest[key]] = self._read(vector, *form)
        return found

    def put(self, texts: Iterable[str], vectors: np.ndarray) -> None:
        """Keep the vectors (n, d) of texts."""
        mine = (vectors.shape[1], vectors.dtype.name)
        with self._open() as connection, connection:
            # Another process that begins at the same time waits here.
            connection.execute("BEGIN IMMEDIATE")
            form = self._form(connection)
            if form is None:
                connection.execute("INSERT INTO embedder VALUES (?, ?, ?)", (self.name, *mine))
            elif form != mine:
                raise ValueError(
                    f"{self.subject} has vectors of {form[0]} numbers, {form[1]}, in {self.path}, "
                    f"but the embedder called {self.name!r} now makes {mine[0]}, {mine[1]}. Give "
                    "another embedder another name."
                )
            rows = (
                (_digest(text), row.tobytes()) for text, row in zip(texts, vectors, strict=True)
            )
            connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    def _form(self, connection) -> tuple[int, str] | None:
        """Return the length and the type of the vectors; None where there are none yet."""
        rows = connection.execute("SELECT name, n_features, dtype FROM embedder").fetchall()
        if not rows:
            return None
        name, n_features, dtype = rows[0]
        is_known = isinstance(n_features, int) and n_features > 0 and dtype in FLOATS
        if len(rows) > 1 or name != self.name or not is_known:
            raise ValueError(
                f"{self.subject} found {self.path} to be of {rows[0]}, which is not what it writes "
                f"for {self.name!r}. Delete the file, or name another folder."
            )
        return n_features, dtype

    def _read(self, vector, n_features, dtype):
        if not isinstance(vector, bytes) or len(vector) != n_features * np.dtype(dtype).itemsize:
            raise ValueError(
                f"{self.subject} found a vector in {self.path} that is not {n_features} numbers of "
                f"{dtype}. Delete the file."
            )
        return np.frombuffer(vector, dtype=dtype)
