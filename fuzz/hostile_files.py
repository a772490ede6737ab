"""Data files as they should not be: values, records and bytes changed at random."""

import csv
import gzip
import io
import json
from typing import Any

import numpy as np

HOSTILE_TEXT = [
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b2J", "\u202egnp.exe", "\u2066a\u2069", "\u061c",
    "\u200f", "a\u2028b", "\u200b", "\ufeff", "\x00", "\x7f", "\r", "\n", "\t", "=1+1", "@x", "-2",
    "\uff1dA1", "<script>alert(1)</script>", "&amp;", "{{x}}", "%s%n", "../../x", "\ud800", "1e999",
    "\udfff\ud83d", "\U0001f469\u200d\U0001f4bb", "\u05e9\u05dc\u05d5\u05dd", "", " ", "\u3000",
    "x" * 5000, "a " * 3000, "'", '"', '""', "\\", "NaN", "null", "\n\nAssistant:",
]  # fmt: skip
ODD_VALUES: list[Any] = [
    None, True, False, 0, 1, 2, -1, 0.5, 1.5, -0.0, 1e308, float("nan"), float("inf"), -1e999,
    10**30, 10**400, -(10**400), [], {}, [[]], [{}], [None], {"a": {"b": []}}, ["a", "b"], "1",
    [{"role": "user", "content": "hi"}], [{"role": "user"}], [{"role": 1, "content": 2}], "0.5",
    [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a b"}], "a", "b", "tie",
    "model_a", "A", "1.0", "\uff11", "1_0", "inf", "-inf", "0x1",
]  # fmt: skip
_NAMES = [
    "prompt", "chosen", "rejected", "response_a", "response_b", "label", "text", "completion",
    "instruction", "output_a", "output_b", "winner", "split", "group", "response", "output", "",
    "__class__", "0", "row", "\x1b[31mname", "\u202ename", "a,b", "label\n",
]  # fmt: skip
_WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "mat", "please", "never", "sorry", "yes"]


PAIRS = (0, 1, 4)
TEXTS = (2, 3)


def make_records(rng: np.random.Generator, kinds: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return a few good records of one kind, one of these for the most part, or of several."""
    kind = rng.choice(kinds) if rng.integers(10) else rng.integers(6)
    return [_make_record(rng, int(kind) if kind < 5 else int(rng.integers(5)), i) for i in
            range(int(rng.integers(1, 9)))]  # fmt: skip


def _make_record(rng: np.random.Generator, kind: int, i: int) -> dict[str, Any]:
    one, other = _words(rng), _words(rng)
    if kind == 0:
        return {"prompt": f"p{i // 2}", "chosen": one, "rejected": other}
    if kind == 1:
        label = [0, 1, 0.5, 0.25, "a", "tie"][rng.integers(6)]
        return {"prompt": f"p{i}", "response_a": one, "response_b": other, "label": label}
    if kind == 2:
        return {"text": one}
    if kind == 3:
        return {"prompt": f"p{i}", "completion": one, "split": ["train", "test"][i % 2]}
    asked = {"role": "user", "content": "hi"}
    answers = [{"role": "assistant", "content": text} for text in (one, other)]
    return {"chosen": [asked, answers[0]], "rejected": [asked, answers[1]]}


def _words(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(_WORDS, size=int(rng.integers(1, 7))))


def change_records(rng: np.random.Generator, records: list[Any]) -> list[Any]:
    """Return records of which some values, names or whole rows are odd."""
    records = [dict(record) for record in records]
    for _ in range(int(rng.choice([0, 0, 0, 1, 1, 2, 4]))):
        row = records[rng.integers(len(records))]
        if not isinstance(row, dict):
            continue
        name = _pick(rng, list(row) or _NAMES)
        change = rng.integers(7)
        if change == 0:
            row[name] = _pick(rng, ODD_VALUES)
        elif change == 1:
            row[name] = str(row.get(name, "")) + _pick(rng, HOSTILE_TEXT)
        elif change == 2:
            row[_pick(rng, _NAMES)] = row.pop(name, "x")
        elif change == 3:
            row.pop(name, None)
        elif change == 4:
            row[_pick(rng, _NAMES)] = _pick(rng, [*ODD_VALUES, *HOSTILE_TEXT])
        elif change == 5:
            records[rng.integers(len(records))] = _pick(rng, [{}, *ODD_VALUES[:20]])
        else:
            value = _pick(rng, [*ODD_VALUES, *HOSTILE_TEXT])
            records = [{**r, name: value} if isinstance(r, dict) else r for r in records]
    return records


def write_records(rng: np.random.Generator, records: list[Any]) -> bytes:
    """Return a file of records in a layout drawn at random, nearly right or not."""
    layout = rng.integers(8)
    rows = [record for record in records if isinstance(record, dict)]
    if layout <= 2:
        text = "".join(json.dumps(record, ensure_ascii=bool(layout)) + "\n" for record in records)
    elif layout == 3:
        text = json.dumps(records, indent=None if rng.integers(2) else 1)
    elif layout == 4:
        text = "\n".join(str(value) for record in rows for value in record.values())
    else:
        text = _as_table(rows, ",\t;"[layout - 5])
    text = _change_text(rng, text)
    codecs = ["utf-8"] * 24 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"]
    codec = _pick(rng, codecs)
    return text.encode(codec, errors=_pick(rng, ["surrogatepass", "replace", "ignore"]) if
                       codec.startswith("utf") else "replace")  # fmt: skip


def _as_table(rows: list[dict[str, Any]], delimiter: str) -> str:
    file = io.StringIO(newline="")
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(names)
    for row in rows:
        by_name = {str(name): value for name, value in row.items()}
        writer.writerow([by_name.get(name, "") for name in names])
    return file.getvalue()


def _change_text(rng: np.random.Generator, text: str) -> str:
    change = rng.integers(30)
    depth = int(rng.choice([10, 1000, 50_000]))
    deep = {0: "[" * depth, 1: '{"a":' * depth, 2: "[" * depth + "]" * depth}
    if change in deep:
        return deep[change] if rng.integers(2) else text + '{"text": ' + deep[change] + "}\n"
    cut = int(rng.integers(len(text) + 1))
    odd = {
        3: lambda: text[:cut],
        4: lambda: text[:cut] + '"' + text[cut:],
        5: lambda: text.replace("\n", "\r\n"),
        6: lambda: text.replace("\n", "\r"),
        7: lambda: text[:cut] + _pick(rng, HOSTILE_TEXT) + text[cut:],
        8: lambda: text.replace('"label": 1', '"label": 1e999').replace("0.5", "-Infinity"),
        9: lambda: text.replace('{"', '{"prompt": 1, "', 1) + text,
        10: lambda: text.partition("\n")[0] + "\n" * int(rng.integers(2)),
        11: lambda: "",
        12: lambda: text.replace(",", ",,", 1) + "9" * 5000,
    }
    return odd.get(int(change), lambda: text)()


def change_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Return bytes packed, damaged, or both."""
    changed = data if rng.integers(6) else _damage(rng, data)
    if rng.integers(4):
        return changed
    packed = gzip.compress(changed, mtime=0)
    damage = rng.integers(6)
    if damage == 0:
        return packed + rng.bytes(int(rng.integers(1, 20)))
    if damage == 1:
        return b"\x1f\x8b" + rng.bytes(30)
    if damage == 2:
        return packed * 2
    return packed[:2] + _damage(rng, packed[2:]) if damage < 5 else packed


def _damage(rng: np.random.Generator, data: bytes) -> bytes:
    place = int(rng.integers(len(data) + 1))
    flipped = bytearray(data)
    for flip in rng.integers(max(len(data), 1), size=int(rng.integers(1, 6))):
        flipped[flip : flip + 1] = rng.bytes(1)
    return [
        bytes(flipped),
        data[:place],
        data[:place] + rng.bytes(int(rng.integers(1, 40))) + data[place:],
        rng.bytes(int(rng.integers(0, 60))),
        data * int(rng.integers(2, 20)),
    ][rng.integers(5)]


def _pick(rng: np.random.Generator, values):
    return values[int(rng.integers(len(values)))]
