import codecs
import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklearn_codex._data.records import check_records
from sklearn_codex.datasets import read_preferences

SHARED = Path(__file__).parents[2] / "shared" / "data"

ROWS = [
    {"prompt": "p", "response_a": "x", "response_b": "y", "label": 1, "source": "web"},
    {"prompt": "p", "response_a": "x", "response_b": "z, \n“z”", "label": 0.0, "source": "book"},
    {"prompt": "q", "response_a": "", "response_b": "v", "label": 0.5, "source": None},
    {"prompt": "p ", "response_a": "u", "response_b": "v", "label": 0.25, "source": "web"},
]
X = [[row["prompt"], row["response_a"], row["response_b"]] for row in ROWS]
Y = [1.0, 0.0, 0.5, 0.25]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path, rows, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def pack(path):
    packed = path.with_name("packed")  # no suffix that would tell
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


def with_bom(path):
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    return path


def spread(path):
    path.write_text("\n \n" + path.read_text("utf-8").replace("\n", "\n\n"), encoding="utf-8")
    return path


SOURCES = {
    "jsonl": lambda path: write_jsonl(path, ROWS),
    "jsonl.gz": lambda path: pack(write_jsonl(path, ROWS)),
    "jsonl-bom": lambda path: with_bom(write_jsonl(path, ROWS)),
    "jsonl-blank": lambda path: spread(write_jsonl(path, ROWS)),
    "jsonl-str": lambda path: str(write_jsonl(path, ROWS)),
    "json": lambda path: path.write_text(json.dumps(ROWS, indent=2)) and path,
    "csv": lambda path: write_csv(path, ROWS),
    "csv.gz": lambda path: pack(write_csv(path, ROWS)),
    "csv-bom": lambda path: with_bom(write_csv(path, ROWS)),
    "tsv": lambda path: write_csv(path, ROWS, "\t"),
    "csv;": lambda path: write_csv(path, ROWS, ";"),
    "pandas": lambda path: pd.DataFrame(ROWS, index=range(7, 11)),
    "pandas-NA": lambda path: pd.DataFrame(ROWS).convert_dtypes(),
    "polars": lambda path: pl.DataFrame(ROWS, strict=False),
    "dicts": lambda path: ROWS,
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_every_source_gives_the_same(make, tmp_path):
    data = read_preferences(make(tmp_path / "data"))
    assert data.X.dtype == object
    assert data.X.tolist() == X
    assert data.y.tolist() == Y
    assert data.groups.tolist() == [0, 0, 1, 0]  # "p " is "p"
    assert data.n == 4
    assert list(data.columns) == ["source"]
    assert data.columns["source"].tolist() in (
        ["web", "book", None, "web"],
        ["web", "book", "", "web"],
    )


def test_chosen_is_oriented_as_in_records(tmp_path):
    rows = [{"prompt": p, "chosen": f"good {p}", "rejected": f"bad {p}"} for p in "abcd"]
    rows.insert(1, ROWS[0])
    data = read_preferences(write_jsonl(tmp_path / "data", rows))
    records = check_records(
        [{k: r[k] for k in r if k != "source"} for r in rows], subject="records"
    )
    assert data.X[:, 1].tolist() == records.text
    assert data.X[:, 2].tolist() == records.other
    assert data.y.tolist() == records.label.tolist() == [1, 1, 0, 1, 0]


def test_implicit_prompt_of_transcripts():
    start = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: A joke?\n\nAssistant:"
    rows = [
        {"chosen": start + " Sure. Knock", "rejected": start + " Sure. Who"},
        {"chosen": start + " No.", "rejected": start + " No."},  # equal to the end
        {"chosen": start + " No.", "rejected": start + "\n\nHuman: ?\n\nAssistant: No."},
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: b"},
    ]
    data = read_preferences(rows)
    asked = "User: Hi\n\nAssistant: Hello!\n\nUser: A joke?"
    assert data.X[:3, 0].tolist() == [asked] * 3
    assert data.X[:2, 1:].tolist() == [["Sure. Knock", "Sure. Who"], ["No.", "No."]]
    assert data.X[2, 1:].tolist() == ["No.", "User: ?\n\nAssistant: No."]
    assert data.X[3, 0] == ""
    assert data.groups.tolist() == [0, 0, 0, 1]
    labelled = read_preferences(
        [{"response_a": rows[0]["chosen"], "response_b": rows[0]["rejected"], "label": 1}]
    )
    assert labelled.X.tolist() == data.X[:1].tolist()


def test_turns_that_do_not_repeat_the_prompt_are_the_answer():
    text = "\n\nHuman: Hi\n\nAssistant: "
    rows = [{"prompt": p, "chosen": text + "a", "rejected": text + "b"} for p in ("p", " Hi\n")]
    assert read_preferences(rows).X.tolist() == [
        ["p", text + "a", text + "b"],
        ["Hi", "b", "a"],
    ]


def test_conversations():
    system, user = {"role": "system", "content": "s"}, {"role": "user", "content": "u"}
    good, bad = ({"role": "assistant", "content": text} for text in ("good", "bad"))
    alone = {"chosen": [system, user, good], "rejected": [system, user, bad]}
    apart = {"prompt": [system, user], "chosen": [good], "rejected": [bad]}
    repeated = {"prompt": "u", **alone}  # the prompt stands in the responses as well
    data = read_preferences([alone, apart, repeated])
    assert data.X.tolist() == [
        ["System: s\n\nUser: u", "good", "bad"],
        ["System: s\n\nUser: u", "bad", "good"],
        ["System: s\n\nUser: u", "good", "bad"],
    ]
    frame = pl.DataFrame([alone, {**alone, "prompt": None}], infer_schema_length=None)
    assert read_preferences(frame).X.tolist() == data.X[:2].tolist()


def test_pairs_without_prompt_are_groups_of_their_own():
    data = read_preferences([{"chosen": "a", "rejected": "b"}, {"chosen": "c", "rejected": "d"}])
    assert data.X[:, 0].tolist() == ["", ""]
    assert data.groups.tolist() == [0, 1]


def test_aliases_and_given_names():
    rows = [{"question": "q", "answer_a": "x", "answer_b": "y", "winner": "model_b", "id": 3}]
    data = read_preferences(rows)
    assert data.X.tolist() == [["q", "x", "y"]]
    assert data.y.tolist() == [0.0]
    assert data.columns["id"].dtype.kind == "i"
    rows = [{"ask": "q", "good": "x", "bad": "y", "label": "spam", "winner": "gpt"}]
    data = read_preferences(rows, prompt="ask", chosen="good", rejected="bad")
    assert data.X.tolist() == [["q", "x", "y"]]
    assert list(data.columns) == ["label", "winner"]


def test_groups_column():
    rows = [{"chosen": "a", "rejected": "b", "task": t} for t in ("sort", "search", "sort")]
    assert read_preferences(rows, groups="task").groups.tolist() == [0, 1, 0]
    rows[1]["task"] = None
    with pytest.raises(
        ValueError, match="record 1 has no value in the column of the groups, 'task'"
    ):
        read_preferences(rows, groups="task")


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        *[(label, 1.0) for label in (1, True, np.True_, "1", "1.0", "A", " model_a", "response_a")],
        *[(label, 0.0) for label in (0, "b", "MODEL_B", "response_b")],
        *[(label, 0.5) for label in (0.5, "0.5", "tie", "Tie (bothbad)", "both_bad")],
        ("0.75", 0.75),
    ],
)
def test_labels(label, expected):
    rows = [{"response_a": "a", "response_b": "b", "label": label}]
    assert read_preferences(rows).y.tolist() == [expected]


@pytest.mark.parametrize(
    ("convention", "labels", "expected"),
    [
        ("one_two", [1, 2, "2", 0], [1.0, 0.0, 0.0, 0.5]),
        ("index", [0, 1], [1.0, 0.0]),
        ({"left": 1, "Right": 0, "same": 0.5}, ["LEFT", "right", "same"], [1.0, 0.0, 0.5]),
    ],
)
def test_conventions(convention, labels, expected):
    rows = [{"response_a": "a", "response_b": "b", "label": label} for label in labels]
    assert read_preferences(rows, convention=convention).y.tolist() == expected
    rows[0]["label"] = "other"
    with pytest.raises(ValueError, match=r"record 0: label = 'other' is not in the convention"):
        read_preferences(rows, convention=convention)


def test_ragged_columns():
    pair = {"chosen": "a", "rejected": "b"}
    data = read_preferences([pair, {**pair, "n": 1}, {**pair, "tags": ["x"], "n": None}])
    assert data.columns["n"].tolist() == [None, 1, None]
    assert data.columns["tags"].tolist() == [None, None, ["x"]]


def test_long_lines(tmp_path):
    rows = [{"chosen": "a" * 3_000_000, "rejected": "b"}]
    for path in (write_jsonl(tmp_path / "j", rows), write_csv(tmp_path / "c", rows)):
        assert len(read_preferences(path).X[0, 1]) == 3_000_000
    assert csv.field_size_limit() < 3_000_000  # as it was


def test_equal_texts_are_one_object(tmp_path):
    rows = [{"prompt": "long prompt", "chosen": f"{i}", "rejected": "no way"} for i in range(4)]
    data = read_preferences(write_jsonl(tmp_path / "data", rows))
    assert data.X[0, 0] is data.X[3, 0]
    assert data.X[0, 2] is data.X[1, 1]


GOOD = '{"chosen": "a", "rejected": "b"}\n'
BROKEN_FILES = {
    "empty": (b"", "data is empty"),
    "blank": (b"\n \n", "data is empty"),
    "empty.gz": (gzip.compress(b"", mtime=0), "data is empty"),
    "header": (b"chosen,rejected\n", "has a header and no record"),
    "half": (GOOD + '\n{"chosen": "a", ', "line 3 is not one JSON record"),
    "two": (GOOD + GOOD.strip() * 2, "line 2 is not one JSON record: Extra data"),
    "number": (GOOD + "3\n", "line 2 should be a JSON record with named columns, got 3"),
    "twice": (GOOD + '{"chosen": "a", "chosen": "b"}', "line 2 .*'chosen' stands twice"),
    "latin": (
        GOOD.encode() + '{"chosen": "é"}'.encode("latin-1"),
        "line 2 is not UTF-8: byte 0xe9",
    ),
    "utf16": (GOOD.encode("utf-16-le"), "data is UTF-16LE without a byte order mark"),
    "utf16-cut": (GOOD.encode("utf-16")[:-1], "what begins as UTF-16 is not"),
    "cut.gz": (gzip.compress(GOOD.encode() * 9)[:-12], "gzipped data are cut off or damaged"),
    "absent": (GOOD + '{"chosen": "a"}', r"line 2 has chosen and no rejected. It has \['chosen'\]"),
    "null": (GOOD + '{"chosen": "a", "rejected": null}', "line 2 has no rejected"),
    "none": (GOOD + '{"text": "a"}', r"line 2 has no preference. It has \['text'\]"),
    "both": (
        GOOD + '{"chosen": "a", "rejected": "b", "response_a": "a", "response_b": "b", "label": 1}',
        "line 2 has two kinds of preference",
    ),
    "list": ('[{"chosen": "a", "rejected": "b"},\n]', "line 2 is not JSON"),
    "list-row": ('[{"chosen": "a", "rejected": "b"}, 3]', "record 1 should be a JSON record"),
    "list-rows": ('[{"chosen": "a", "rejected": "b"}, {}]', "record 1 has no preference"),
    "fields": ("chosen,rejected\na,b\n\na,b,c\n", "line 4 should have 2 fields"),
    "quote": ('chosen,rejected\n"a\nb",c\n"a,b\nc,d\n', "line 4 begins a row that is not CSV"),
    "header-twice": ("chosen,chosen\na,b\n", "name each column once, got 'chosen' 2 times"),
    "aliases": (
        "question,query,chosen,rejected\na,b,c,d\n",
        "line 2 has several columns that could be the prompt: question, query",
    ),
    "label": (
        "response_a,response_b,label\na,b,a\na,b,perhaps\n",
        "line 3: label = 'perhaps' .*convention",
    ),
    "no-label": ("response_a,response_b,label\na,b,1\na,b,\n", "line 3: label is missing"),
}


@pytest.mark.parametrize(("content", "match"), BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_broken_files_say_where(content, match, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"(?s)read_preferences: .*{match}"):
        read_preferences(path)


def test_text_that_is_none_says_where(tmp_path):
    path = write_jsonl(
        tmp_path / "data", [{"chosen": "a", "rejected": "b"}, {"chosen": 3, "rejected": "b"}]
    )
    with pytest.raises(
        TypeError, match=r"data, line 2 should have text or messages .* got a int: 3"
    ):
        read_preferences(path)


@pytest.mark.parametrize(
    ("table", "error", "match"),
    [
        ([], ValueError, "got 0 records"),
        (pd.DataFrame({"chosen": []}), ValueError, "got 0 records"),
        ({"chosen": "a"}, TypeError, "expected X to be records"),
        (["a"], TypeError, r"X\[0\] is a str"),
        (3, TypeError, "expected X to be records"),
    ],
)
def test_other_tables_are_an_error(table, error, match):
    with pytest.raises(error, match=match):
        read_preferences(table)


def test_names_that_are_not_there():
    with pytest.raises(
        ValueError, match=r"no column 'ask', which prompt=\"ask\" names. It has \['chosen', 'rejec"
    ):
        read_preferences([{"chosen": "a", "rejected": "b"}], prompt="ask")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_preferences("nowhere.jsonl")
    with pytest.raises(ValueError, match="meaning of a label in convention should be"):
        read_preferences(ROWS, convention={1: 2})


@pytest.mark.parametrize(
    ("name", "n_pairs", "n_prompts"),
    [("pandalm", 999, 170), ("rmbench_code", 2052, 228), ("alpaca_eval", 8050, 805)],
)
def test_published_preferences(name, n_pairs, n_prompts):
    path = SHARED / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not on this machine")
    data = read_preferences(path)
    assert data.n == n_pairs
    assert data.groups.max() + 1 == n_prompts
