"""Data files, records and command lines that are broken, odd or hostile.

Files go through ``read_preferences``, ``read_batches``, ``check_preferences``, ``RLHFPipeline`` and
the commands. Of a command, what it shows to a terminal, its exit status, the one line of an error
and what it leaves on the disk are looked at as well.
"""

import io
import json
import os
import re
import tempfile
import unicodedata
import warnings
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from fuzz.hostile_files import (
    HOSTILE_TEXT,
    PAIRS,
    TEXTS,
    change_bytes,
    change_records,
    make_records,
    write_records,
)
from fuzz.outcomes import Outcomes
from sklearn_codex import (
    PreferenceRewardModel,
    TokenCounter,
    UnigramLM,
    check_preferences,
    make_rlhf_pipeline,
    read_preferences,
)
from sklearn_codex.cli import main
from sklearn_codex.datasets import read_batches

_COLUMNS = [None, None, "text", "prompt", ("chosen", "rejected"), ["completion"], "", ("text",) * 2]
# A file with half of a character is refused.
_WHOLE_TEXT = [text for text in HOSTILE_TEXT if not re.search("[\ud800-\udfff]", text)]
_NAMES = ["data.jsonl", "data", "d\x1b[31ma.csv", "d\u202etxt.gz", "=1+1.json", "a b"]
_OF_PAIRS = (0, 2, 10, 11, 12, 13)
_OPTIONS = ["--out", "--figures", "--column", "--stage", "-n", "--points", "--seed", "--groups"]


def run(n_cases: int, seed: int) -> Outcomes:
    """Try files and command lines; few of them are whole audits, which take a second each."""
    outcomes = Outcomes()
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ, {"TERM": "dumb"}):
        place = _Place(Path(name))
        for i in range(n_cases):
            place.clear()
            case = rng.choice(len(_CASES), p=_SHARES)
            what, call = _CASES[case](rng, place)
            outcomes.try_case(f"case {i}, {what}", call)
        place.clear()
        if n_cases >= 100:
            outcomes.try_case("a whole audit", partial(_audit_whole, place))
    return outcomes


class _Place:
    """A folder with a model file, in which each case finds nothing of the others."""

    def __init__(self, folder: Path):
        self.kept = folder / "kept"
        self.kept.mkdir()
        self.folder = folder / "case"
        self.folder.mkdir()
        rows = [{"text": f"the cat sat {word}"} for word in _WHOLE_TEXT if word.strip()]
        rows += [
            {"chosen": f"a b {i % 3}", "rejected": f"c\x1b[31m \u202ed {i % 2}"} for i in range(9)
        ]
        records = self.kept / "records.jsonl"
        records.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.model = str(self.kept / "model.skops")
        words = ["fit", str(records), "--out", self.model, "--min-count", "1", "--test-size", "0"]
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            assert main(words) == 0

    def clear(self) -> None:
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()

    def snapshot(self) -> dict[str, bytes | None]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes() if path.is_file() else None
            for path in self.folder.rglob("*")
        }

    def make_file(self, rng: np.random.Generator, kinds: tuple[int, ...]) -> tuple[str, Path]:
        """Return the path of a changed file, or of what is none, and what it is."""
        path = self.folder / f"{len(list(self.folder.iterdir()))}{rng.choice(_NAMES)}"
        what = rng.integers(60)
        if what == 0:
            path.mkdir()
            return "a folder", path
        if what == 1:
            return "no file", path
        if what == 2:
            return "a device", Path(str(rng.choice([os.devnull, "/dev/zero", "/dev/full"])))
        if what == 3:
            path.symlink_to(path.name)
            return "a link to itself", path
        if what == 4:
            return "a model file", Path(self.model)
        data = write_records(rng, change_records(rng, make_records(rng, kinds)))
        path.write_bytes(change_bytes(rng, data))
        return repr(path.read_bytes()[:300]), path


def _read_preferences(rng, place) -> tuple[str, Callable]:
    what, path = place.make_file(rng, PAIRS)
    options: dict[str, Any] = {}
    for role in ("prompt", "chosen", "label", "groups"):
        if rng.integers(12) == 0:
            options[role] = str(rng.choice(["prompt", "label", "split", "", "no\x1b"]))
    if rng.integers(8) == 0:
        options["convention"] = "one_two"
    return f"read_preferences({options}) of {what}", lambda: read_preferences(path, **options)


def _read_table(rng, place) -> tuple[str, Callable]:
    records = change_records(rng, make_records(rng, PAIRS))
    return f"read_preferences({records!r:.300})", lambda: read_preferences(records)


def _read_frame(rng, place) -> tuple[str, Callable]:
    records = change_records(rng, make_records(rng, PAIRS))
    rows = [record for record in records if isinstance(record, dict)]
    try:
        frame = pd.DataFrame(rows)
    except UnicodeEncodeError:  # halves of characters, which strings of Arrow do not hold
        frame = pd.DataFrame(rows, dtype=object)
    if len(frame.columns) and rng.integers(3) == 0:  # as a join of tables leaves it
        twice = frame.columns[rng.integers(len(frame.columns), size=2)]
        frame = pd.concat([frame, frame[twice]], axis=1)
    if rng.integers(4) == 0:
        with suppress(TypeError, ValueError):  # what pandas cannot do itself
            frame = frame.astype(str(rng.choice(["string", "category", "object"])))
    if len(frame.columns) and rng.integers(8) == 0:
        frame.columns = pd.MultiIndex.from_tuples([("a", name) for name in frame.columns])
    loop = make_rlhf_pipeline(PreferenceRewardModel())
    call = [lambda: read_preferences(frame), lambda: loop.fit(frame)][rng.integers(2)]
    return f"a frame of {list(frame.columns)}, {records!r:.300}", call


def _check_preferences(rng, place) -> tuple[str, Callable]:
    what, path = place.make_file(rng, PAIRS)

    def call():
        data = read_preferences(path)
        return str(check_preferences(data.X, data.y, random_state=0))

    return f"check_preferences of {what}", call


def _read_batches(rng, place) -> tuple[str, Callable]:
    files = [place.make_file(rng, TEXTS) for _ in range(int(rng.integers(1, 3)))]
    columns = _COLUMNS[rng.integers(len(_COLUMNS))]
    options = {
        "document": "file" if columns is None and rng.integers(2) else "line",
        "batch_chars": int(rng.choice([1, 50, 2**22])),
    }

    def call():
        counter = TokenCounter()
        for batch in read_batches([path for _, path in files], columns, **options):
            if isinstance(columns, str | None):
                counter = counter.partial_fit(batch)

    return f"read_batches({columns}, {options}) of {' and '.join(w for w, _ in files)}", call


def _fit_pipeline(rng, place) -> tuple[str, Callable]:
    records = make_records(rng, PAIRS) + make_records(rng, (2,))
    records = change_records(rng, records)
    kinds = [UnigramLM(), PreferenceRewardModel()]
    loop = make_rlhf_pipeline(*[kinds[i] for i in rng.permutation(2)[: int(rng.integers(1, 3))]])

    def call():
        loop.fit(records)
        if hasattr(loop, "score"):
            loop.score(records)

    return f"fit of a pipeline on {records!r:.300}", call


def _command(rng, place) -> tuple[str, Callable]:
    command = rng.integers(14)
    _, path = place.make_file(rng, PAIRS if command in _OF_PAIRS else TEXTS)
    file, out = str(path), str(place.folder / str(rng.choice(["out", "o\x1b[2Jut", "data", "n/o"])))
    small = ["--min-count", "1", "--test-size", str(rng.choice(["0", "0.5", "nan", "-1"]))]
    words = [
        ["fit", file, "--out", out, *small],
        ["fit", f"--{rng.choice(['corpus', 'demonstrations', 'preferences'])}", file, "--out", out,
         *small],
        ["score", place.model, file],
        ["score", place.model, f"--{rng.choice(['texts', 'preferences'])}", file],
        ["reward", place.model, file],
        ["reward", place.model, file, "--out", out],
        ["sample", place.model, "-n", str(rng.choice(["1", "3", "0", "x"]))],
        ["info", place.model],
        ["info", file],
        ["frontier", place.model, "--points", "3"],
        ["audit", file, "--out", out, "--no-progress"],
        ["audit", file, "--json", "--no-progress", "--split",
         str(rng.choice([file, "split", "no\x1b[31m"]))],
        ["convert", file, "--to", str(rng.choice(["trl", "pairs"])), "--out", out],
        ["convert", file, "--to", "parquet", "--out", out, "--label", "label"],
    ][command]  # fmt: skip
    for _ in range(int(rng.integers(3))):
        if rng.integers(4) == 0:
            words += [str(rng.choice(_OPTIONS)), str(rng.choice([*_NAMES, file, out, "-1", "nan"]))]
    words += ["--json"] * int(rng.integers(8) == 0) + ["--force"] * int(rng.integers(3) == 0)
    for option in ("-", "--figures"):  # what goes to standard output, or comes from there
        words = [word for word in words if word != option]
    what = f"command {words}, file {file!r}: {_content(path)}"
    return what, partial(_run_command_there, words, place)


def _content(path: Path) -> str:
    return repr(path.read_bytes()[:300]) if path.is_file() else "none"


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def _run_command_there(words: list[str], place: "_Place") -> None:
    with chdir(place.folder):  # so that a name without a folder is one in there
        _run_command(words, place)


def _run_command(words: list[str], place: "_Place") -> None:
    before, out, err = place.snapshot(), _Terminal(), _Terminal()
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main(words)
    shown, told = out.getvalue(), err.getvalue()
    after = place.snapshot()
    _require(code in (0, 1, 2), f"exit status {code}")
    _require(not (odd := _controls(shown + told)), f"a terminal got {odd!r}")
    left = [name for name in after if ".sklearn-codex-" in name]
    _require(not left, f"left {left}")
    if code == 0:
        _require(before.items() <= after.items() or "--force" in words, "replaced without --force")
        return
    _require(after == before, f"changed {set(after.items()) ^ set(before.items())!r:.200}")
    if code == 1:
        _require(
            told.startswith("sklearn-codex: ") and told.count("\n") == 1, f"told {told!r:.300}"
        )
        with redirect_stdout(_Terminal()), redirect_stderr(_Terminal()):
            main([*words, "--debug"])  # raises what was told, to be judged
        raise AssertionError("no error the second time")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _controls(text: str) -> set[str]:
    """Return what acts on a terminal, by the categories of Unicode."""
    return {
        char
        for char in set(text) - set("\n\t\u200c\u200d")
        if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    }


def _audit_whole(place: "_Place") -> None:
    """Audit pairs in which hostile text is everywhere, enough of them for every section."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(120):
        odd = [_WHOLE_TEXT[j] for j in rng.integers(len(_WHOLE_TEXT), size=3)]
        texts = [
            f"{'please ' * int(rng.integers(4))}{odd[j]} word{rng.integers(9)}" for j in (0, 1)
        ]
        rows.append({
            "prompt": f"p{i % 40} {odd[2]}", "response_a": texts[0], "response_b": texts[1],
            "label": int(rng.integers(2)), "split": ["tr\x1b[31m\u202e", "=te"][i % 2],
        })  # fmt: skip
    path = place.folder / "prefs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = place.folder / "out"
    _run_command(["audit", str(path), "--out", str(out), "--no-progress"], place)
    html = (out / "report.html").read_text(encoding="utf-8")
    _require(not (odd := _controls(html)), f"the page holds {odd!r}")
    _require(html.count("<script") == 1, "the page holds markup of the data")
    json.loads((out / "audit.json").read_text(encoding="utf-8"))


_CASES = (
    _read_preferences, _read_table, _read_frame, _check_preferences, _read_batches, _fit_pipeline,
    _command,
)  # fmt: skip
_SHARES = (0.2, 0.1, 0.05, 0.05, 0.15, 0.1, 0.35)
