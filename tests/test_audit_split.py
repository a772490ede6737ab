"""Leakage across a split: a column of the data, or a second file."""

import csv
import json

import pytest

from sklearn_codex.cli import main
from sklearn_codex.report._audit_run import finite, render
from sklearn_codex.report.audit import compute_audit

LONG = "An answer of more than forty characters, word for word the same."


def row(prompt, a, b, **more):
    return {"prompt": prompt, "response_a": a, "response_b": b, "label": 1, **more}


TRAIN = [
    row("how do I boil an egg so that the yolk stays soft and the white is firm", "boil it", "no"),
    row("which way is north", "up", "down"),
    row("what is the capital of France", LONG, "London"),
    row("name a colour", "red", "blue"),
]
HELD_OUT = [
    row("name a fruit", "pear", "stone"),
    row("tell me of Italy", "Rome", LONG),
    row("how do I boil an egg so that the yolk stays soft and the white is hard", "simmer", "fry"),
    row("which  way is north", "left", "right"),
    row("name a colour", "blue", "red"),
    row("another short one", "up", "sideways"),
]
KINDS = {"same pair": 1, "same prompt": 1, "similar prompt": 1, "same response": 1}


def write(path, rows):
    path.write_text("".join(json.dumps(record) + "\n" for record in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "train.jsonl", TRAIN), write(tmp_path / "test.jsonl", HELD_OUT)


def check(leaks, rows):
    assert leaks["kinds"] == KINDS
    assert (leaks["n_held_out"], leaks["n_leaking"]) == (6, 4)
    assert [found["kind"] for found in leaks["rows"]] == list(KINDS)
    assert [found["row"] for found in leaks["rows"]] == rows
    assert [found["other_row"] for found in leaks["rows"]] == [3, 1, 0, 2]


def test_leaks_into_a_file_are_found_the_worst_first(files):
    train, test = files
    leaks = compute_audit(train, split=test)["leakage"]
    check(leaks, [4, 3, 2, 1])
    assert leaks["parts"] == [
        {"name": "test.jsonl", "n_pairs": 6, "n_leaking": 4},
        {"name": "train.jsonl", "n_pairs": 4, "n_leaking": 4},
    ]


def test_a_column_of_parts_finds_the_same():
    # The larger part is what is learned from.
    filler = [row(f"filler {i}", f"a{i}", f"b{i}") for i in range(3)]
    rows = [record | {"fold": 0} for record in TRAIN + filler]
    rows += [record | {"fold": 1} for record in HELD_OUT]
    leaks = compute_audit(rows, split="fold")["leakage"]
    check(leaks, [11, 10, 9, 8])
    assert [part["name"] for part in leaks["parts"]] == ["0", "1"]


def test_a_column_called_split_needs_no_option():
    rows = [record | {"split": "train"} for record in TRAIN + HELD_OUT[:1]]
    rows += [record | {"split": "test"} for record in HELD_OUT[1:4]]
    audit = compute_audit(rows)
    assert audit["leakage"]["n_leaking"] == 3
    assert compute_audit(TRAIN)["leakage"] is None
    assert not any("split=" in finding["text"] for finding in audit["health"])


def test_rows_of_one_group_leak_where_groups_are_given():
    rows = [
        row(f"question {i}", f"a{i}", f"b{i}", task=i // 3, part="test" if i == 8 else "train")
        for i in range(9)
    ]
    leaks = compute_audit(rows, groups="task", split="part")["leakage"]
    assert leaks["kinds"] == {
        "same pair": 0, "same prompt": 0, "same group": 1, "same response": 0,
    }  # fmt: skip
    assert [found["kind"] for found in leaks["rows"]] == ["same group"]
    assert leaks["rows"][0]["row"] == 8


def test_a_clean_split_is_called_clean():
    rows = [record | {"split": "train"} for record in TRAIN]
    rows += [record | {"split": "test"} for record in (HELD_OUT[0], HELD_OUT[5])]
    audit = finite(compute_audit(rows))
    assert audit["leakage"]["n_leaking"] == 0
    page = render(audit)
    assert "no memory of these kinds helps" in page
    assert "The split leaks" not in page


def test_the_command_shows_leaks_everywhere(files, tmp_path, capsys):
    train, test = files
    out = tmp_path / "out"
    words = ["audit", train, "--split", test, "--out", str(out), "--no-progress", "--full"]
    assert main(words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    page = (out / "report.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    for place in (printed, page):
        assert "The split leaks" in place
        assert "4 of the 6 held-out pairs (67 %)" in place
        assert "Line 5 of test.jsonl: the same pair is line 4 of train.jsonl" in place
    figures = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    with open(out / "split_leaks.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [record["kind"] for record in rows] == [
        record["kind"] for record in figures["leakage"]["rows"]
    ]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("nowhere", "neither a column of the data nor a file"),
        ("gaps", "record 1: the column 'gaps' of the split has no value"),
        ("constant", "one part only, 'all'"),
    ],
)
def test_a_split_that_is_none_is_refused(split, message, tmp_path):
    rows = [record | {"constant": "all", "gaps": "x"} for record in TRAIN]
    rows[1]["gaps"] = None
    with pytest.raises(ValueError, match=message):
        compute_audit(rows, split=split)
