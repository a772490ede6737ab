"""``convert`` writes what was read, and what it wrote is read as the same."""

import io
import json
import sys

import numpy as np
import pandas as pd
import pytest

from sklearn_codex.cli import main
from sklearn_codex.cli._preferences import read_pairs
from sklearn_codex.cli._written import as_parquet
from sklearn_codex.datasets import read_preferences

CHOSEN = [
    {"prompt": f"q {i // 2}", "chosen": f"good {i}", "rejected": f"bad {i}", "source": "web"}
    for i in range(5)
]
SOFT = [
    {"prompt": "q", "response_a": "x", "response_b": "y", "label": 0.25, "n": 3},
    {"prompt": "q", "response_a": "u", "response_b": "v", "label": 0.5, "n": None},
    {"prompt": "r", "response_a": "s", "response_b": "t", "label": 1, "n": 5},
]
TALK = [
    {
        "chosen": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"q {i}"},
            {"role": "assistant", "content": "Which?"},
            {"role": "user", "content": "This one\nhere."},
            {"role": "assistant", "content": f"good {i}"},
        ],
        "rejected": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"q {i}"},
            {"role": "assistant", "content": "Which?"},
            {"role": "user", "content": "This one\nhere."},
            {"role": "assistant", "content": f"bad {i}"},
        ],
    }
    for i in range(3)
]
BARE = [{"chosen": f"a {i}", "rejected": f"b {i}"} for i in range(3)]
MIXED = [*CHOSEN, *SOFT[:1], *BARE]
NAMED = [
    {"frage": "q", "links": "x", "rechts": "y", "wahl": wahl, "w": w, "wer": wer, "thema": thema}
    for wahl, w, wer, thema in ((1, 2, "ann", "s"), (2, 1, "ben", "t"), (0, 0.5, "ann", "s"))
]
NAMED_OPTIONS = ["--prompt", "frage", "--response-a", "links", "--response-b", "rechts"]
NAMED_OPTIONS += ["--label", "wahl", "--convention", "one_two"]
FILES = {"chosen": CHOSEN, "soft": SOFT, "talk": TALK, "bare": BARE, "mixed": MIXED}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def convert(*words):
    assert main(["convert", *map(str, words)]) == 0


def error_of(capsys, *words):
    assert main(["convert", *map(str, words)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def assert_same(one, other, *, columns=True):
    np.testing.assert_array_equal(one.X, other.X)
    for name in ("y", "groups", "sample_weight", "annotator", "oriented"):
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    if columns:
        for name, values in one.columns.items():
            assert list(values) == list(other.columns[name])


@pytest.mark.parametrize("form", ["pairs", "parquet"])
@pytest.mark.parametrize("name", FILES)
def test_what_was_written_is_read_as_the_same(name, form, tmp_path, capsys):
    path, out = write(tmp_path / "p.jsonl", FILES[name]), tmp_path / "out"
    convert(path, "--to", form, "--out", out)
    told = capsys.readouterr().err.splitlines()
    assert f"{path} read as: " in told[0]
    assert told[1] == f"sklearn-codex: wrote {len(FILES[name])} pairs."
    again = read_table(out) if form == "parquet" else read_preferences(out)
    assert_same(read_preferences(path), again)


def read_table(path):
    """Read Parquet by another library."""
    rows = pd.read_parquet(path).astype(object).to_dict("records")
    clean = [{k: v for k, v in row.items() if v == v and v is not None} for row in rows]
    return read_preferences(clean)


def test_weights_annotators_and_columns_come_along(tmp_path, capsys):
    path, out = write(tmp_path / "p.jsonl", NAMED), tmp_path / "out.jsonl"
    words = [*NAMED_OPTIONS, "--weight", "w", "--annotator", "wer", "--by", "thema"]
    convert(path, "--to", "pairs", "--out", out, *words)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[0] == {
        "prompt": "q", "response_a": "x", "response_b": "y", "label": 1.0, "oriented": False,
        "sample_weight": 2.0, "annotator": "ann", "w": 2, "wer": "ann", "thema": "s",
    }  # fmt: skip
    data = read_preferences(
        path, prompt="frage", response_a="links", response_b="rechts", label="wahl",
        convention="one_two", weight="w", annotator="wer", groups="thema",
    )  # fmt: skip
    assert data.groups.tolist() == [0, 1, 0]
    assert_same(data, read_preferences(out, groups="thema"))
    # A weight that is named is not counted twice.
    assert read_preferences(out, weight="sample_weight").sample_weight.tolist() == [2, 1, 0.5]
    assert read_preferences(out, weight="w").sample_weight.tolist() == [2, 1, 0.5]
    convert(out, "--to", "pairs", "--pairs-only", "--out", tmp_path / "only")
    row = json.loads((tmp_path / "only").read_text().splitlines()[0])
    assert list(row) == [*list(rows[0])[:7]]
    capsys.readouterr()


def test_trl_has_chosen_and_rejected(tmp_path, capsys):
    path, out = write(tmp_path / "p.jsonl", CHOSEN), tmp_path / "out.jsonl"
    convert(path, "--to", "trl", "--out", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows == [{k: v for k, v in row.items() if k != "source"} for row in CHOSEN]
    assert "Columns that trl does not have: source." in capsys.readouterr().err
    assert_same(read_preferences(path), read_preferences(out), columns=False)


def test_trl_of_labels_keeps_what_is_preferred(tmp_path, capsys):
    labels = [1, 0, 0, 1]
    rows = [
        {"prompt": "q", "response_a": f"a{i}", "response_b": f"b{i}", "label": label}
        for i, label in enumerate(labels)
    ]
    convert(write(tmp_path / "p.jsonl", rows), "--to", "trl")
    captured = capsys.readouterr()
    chosen = [json.loads(line)["chosen"] for line in captured.out.splitlines()]
    assert chosen == ["a0", "b1", "b2", "a3"]
    assert "read back with other texts" not in captured.err


def test_trl_has_no_place_for_ties_and_soft_labels(tmp_path, capsys):
    path = write(tmp_path / "p.jsonl", SOFT)
    error = error_of(capsys, path, "--to", "trl", "--out", tmp_path / "out")
    assert f"{path}, line 2 has the label 0.5, one of 1 ties, for which" in error
    assert "--drop-ties to leave them out, or --to pairs" in error
    error = error_of(capsys, path, "--to", "trl", "--drop-ties", "--out", tmp_path / "out")
    assert f"{path}, line 1 has the label 0.25, one of 1 soft labels" in error
    assert not (tmp_path / "out").exists()
    convert(path, "--to", "trl", "--drop-ties", "--harden")
    captured = capsys.readouterr()
    rows = [json.loads(line) for line in captured.out.splitlines()]
    assert [row["chosen"] for row in rows] == ["y", "s"]
    assert "wrote 2 pairs. 1 ties were left out. 1 soft labels were rounded." in captured.err
    assert "read back with other texts" not in captured.err


def test_trl_keeps_weights(tmp_path, capsys):
    path, out = write(tmp_path / "p.jsonl", NAMED[:2]), tmp_path / "out.jsonl"
    convert(path, "--to", "trl", *NAMED_OPTIONS, "--weight", "w", "--out", out)
    assert read_preferences(out).sample_weight.tolist() == [2, 1]
    assert read_preferences(out).oriented.all()
    capsys.readouterr()


def test_ties_alone_leave_nothing(tmp_path, capsys):
    path = write(tmp_path / "p.jsonl", SOFT[1:2])
    error = error_of(capsys, path, "--to", "trl", "--drop-ties")
    assert f"{path} has ties only" in error


@pytest.mark.parametrize("form", ["pairs", "parquet"])
@pytest.mark.parametrize("flag", ["--drop-ties", "--harden"])
def test_flags_that_do_nothing_are_an_error(flag, form, tmp_path, capsys):
    error = error_of(capsys, write(tmp_path / "p", SOFT), "--to", form, flag)
    assert f"{flag} is for --to trl: {form} keeps ties and soft labels." in error


def test_columns_that_would_be_read_are_renamed(tmp_path, capsys):
    other = {"label": 7, "prompt": "other", "Oriented": "x", "k": 1}
    rows = [{**row, **other} for row in NAMED]
    path, out = write(tmp_path / "p.jsonl", rows), tmp_path / "out.jsonl"
    convert(path, "--to", "pairs", *NAMED_OPTIONS, "--out", out)
    told = capsys.readouterr().err
    for name in other:
        renamed = f"The column {name} is written as other_{name}, since it would be read as part"
        assert (renamed in told) == (name in ("label", "prompt", "Oriented")), name
    data = read_preferences(
        path, prompt="frage", response_a="links", response_b="rechts", label="wahl",
        convention="one_two",
    )  # fmt: skip
    again = read_preferences(out)
    assert_same(data, again, columns=False)
    assert again.columns["other_label"].tolist() == [7, 7, 7]
    assert again.columns["other_Oriented"].tolist() == ["x", "x", "x"]
    convert(out, "--to", "pairs")
    assert capsys.readouterr().out == out.read_text()


def test_columns_that_are_another_preference_together_are_renamed(tmp_path, capsys):
    rows = [{**row, "chosen": "c", "rejected": "r"} for row in NAMED]
    path, out = write(tmp_path / "p.jsonl", rows), tmp_path / "out.jsonl"
    convert(path, "--to", "pairs", *NAMED_OPTIONS, "--out", out)
    assert "is written as other_" in capsys.readouterr().err
    again = read_preferences(out)
    assert again.X.tolist() == [["q", "x", "y"]] * 3
    assert again.y.tolist() == [1, 0, 0.5]


def test_standard_input_and_output(tmp_path, capsys, monkeypatch):
    path = write(tmp_path / "p.jsonl", CHOSEN)
    convert(path, "--to", "pairs")
    printed = capsys.readouterr().out
    content = (tmp_path / "p.jsonl").read_bytes()
    monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": io.BytesIO(content)}))
    convert("-", "--to", "pairs", "--out", "-")
    captured = capsys.readouterr()
    assert captured.out == printed
    assert "standard input read as: " in captured.err


def test_parquet_goes_to_a_pipe(tmp_path, monkeypatch, capsysbinary):
    path = write(tmp_path / "p.jsonl", CHOSEN)
    convert(path, "--to", "parquet")
    content = capsysbinary.readouterr().out
    (tmp_path / "piped").write_bytes(content)
    assert_same(read_preferences(path), read_table(tmp_path / "piped"))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["convert", path, "--to", "parquet"]) == 1
    assert b"Parquet cannot go to a terminal. Name a file" in capsysbinary.readouterr().err


def test_files_are_replaced_only_by_force(tmp_path, capsys):
    path, out = write(tmp_path / "p.jsonl", CHOSEN), tmp_path / "out"
    for form in ("trl", "pairs", "parquet"):
        out.write_text("old")
        assert "--out does not replace" in error_of(capsys, path, "--to", form, "--out", out)
        assert out.read_text() == "old"
        convert(path, "--to", form, "--out", out, "--force")
        assert out.read_bytes() != b"old"
        capsys.readouterr()
    error = error_of(capsys, path, "--to", "trl", "--out", path, "--force")
    assert "which is the file of FILE too" in error
    assert read_preferences(path).n == len(CHOSEN)


def test_values_of_all_types_are_written(tmp_path, capsys):
    values = [{"a": [1, 2]}, 1, "x", None, True]
    rows = [{**row, "odd": value} for row, value in zip(CHOSEN, values, strict=True)]
    path, out = write(tmp_path / "p.jsonl", rows), tmp_path / "out"
    convert(path, "--to", "pairs", "--out", out)
    assert read_preferences(out).columns["odd"].tolist() == values
    convert(path, "--to", "parquet", "--out", out, "--force")
    assert "The column odd is written as JSON." in capsys.readouterr().err
    odd = pd.read_parquet(out)["odd"]
    assert [json.loads(v) if isinstance(v, str) else None for v in odd] == values


def test_half_a_character_has_no_place_in_parquet():
    with pytest.raises(ValueError, match="The column prompt has a text with half a surrogate pair"):
        as_parquet([{"prompt": "a \ud83d"}])


def test_what_is_read_back_otherwise_is_counted(tmp_path, capsys):
    # What is left of the first response begins with the prompt once more.
    rows = [*CHOSEN, {"prompt": "Why?", "chosen": "Why? Why? So.", "rejected": "Why? Why? No."}]
    path = write(tmp_path / "p.jsonl", rows)
    for form in ("trl", "pairs"):
        convert(path, "--to", form)
        captured = capsys.readouterr()
        (tmp_path / "back.jsonl").write_text(captured.out)
        data, again = read_preferences(path), read_preferences(tmp_path / "back.jsonl")
        assert (data.X != again.X).any(axis=1).sum() == 1
        assert "1 of them are read back with other texts, the first that of line 6" in captured.err


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    error = error_of(capsys, write(tmp_path / "p.jsonl", CHOSEN), "--to", "parquet")
    assert "--to parquet needs pyarrow" in error
    assert 'pip install "sklearn-codex[io]"' in error


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"label": 2, "oriented": True}, "has label = 2. It is a number from 0 to 1"),
        ({"oriented": "maybe"}, "has oriented = 'maybe'. It is true or false"),
        ({"sample_weight": -1}, "has sample_weight = -1. It is a number of at least 0"),
        ({"sample_weight": "x"}, "has sample_weight = 'x'. It is a number of at least 0"),
        ({"sample_weight": float("inf")}, "has sample_weight = inf"),
    ],
)
def test_edited_files_are_checked(row, message, tmp_path, capsys):
    pair = {"response_a": "a", "response_b": "b", "label": 1}
    path = write(tmp_path / "p.jsonl", [{**pair, **row}])
    assert f"{path}, line 1 {message}" in error_of(capsys, path, "--to", "pairs")


def test_converted_tables_survive_csv(tmp_path):
    from sklearn_codex._layouts.given import Given

    rows = [{**row, "sample_weight": 2.0} for row in CHOSEN]
    path = write(tmp_path / "p.jsonl", rows)
    convert(path, "--to", "pairs", "--out", tmp_path / "out.jsonl")
    table = pd.read_json(tmp_path / "out.jsonl", lines=True)
    table.to_csv(tmp_path / "out.csv", index=False)
    again = read_pairs(str(tmp_path / "out.csv"), Given(command=True))
    assert_same(read_preferences(path), again)


@pytest.mark.parametrize("named", ["", "*.jsonl"])
def test_no_output_replaces_a_file_of_the_folder_that_is_read(tmp_path, capsys, named):
    """A folder and a pattern are the files that they stand for."""
    for number in range(2):
        write(tmp_path / f"part-{number}.jsonl", CHOSEN)
    before = (tmp_path / "part-1.jsonl").read_bytes()
    out = str(tmp_path / "part-1.jsonl")
    source = str(tmp_path / named) if named else str(tmp_path)
    assert main(["convert", source, "--to", "trl", "--out", out, "--force"]) == 1
    assert "part-1.jsonl" in capsys.readouterr().err
    assert (tmp_path / "part-1.jsonl").read_bytes() == before


@pytest.mark.parametrize("value", [{}, {"a": {}}, [{}], [[{"a": [{}]}]]])
def test_objects_without_a_name_are_json_in_parquet(value, tmp_path, capsys):
    path = write(tmp_path / "prefs.jsonl", [{**row, "metadata": value} for row in CHOSEN])
    out = tmp_path / "pairs.parquet"
    convert(path, "--to", "parquet", "--out", str(out))
    assert "The column metadata is written as JSON" in capsys.readouterr().err
    assert [json.loads(cell) for cell in read_table(out).columns["metadata"]] == [value] * len(
        CHOSEN
    )


@pytest.mark.parametrize(("depth", "is_json"), [(5, False), (60, True), (98, True)])
def test_what_is_deep_is_json_in_parquet_and_can_be_read_back(depth, is_json, tmp_path, capsys):
    value = json.loads('{"a": [' * (depth // 2) + "1" + "]}" * (depth // 2))
    path = write(tmp_path / "prefs.jsonl", [{**row, "deep": value} for row in CHOSEN])
    out = str(tmp_path / "pairs.parquet")
    convert(path, "--to", "parquet", "--out", out)
    assert ("The column deep is written as JSON" in capsys.readouterr().err) == is_json
    assert read_preferences(out).n == len(CHOSEN)


@pytest.mark.parametrize("form", ["trl", "pairs", "parquet"])
@pytest.mark.parametrize("deep", ["[" * 900 + "]" * 900, '{"a": ' * 900 + "1" + "}" * 900])
def test_what_is_far_too_deep_is_refused_with_its_line(form, deep, tmp_path, capsys):
    path = tmp_path / "prefs.jsonl"
    path.write_text(f'{{"chosen": "x", "rejected": "y", "deep": {deep}}}\n' * 2)
    error = error_of(capsys, str(path), "--to", form, "--out", str(tmp_path / "out"))
    assert "line 1 is not one JSON record: lists or objects stand more than 100 deep" in error
    path.write_text(f'[{{"chosen": "x", "rejected": "y", "deep": {deep}}}]')
    error = error_of(capsys, str(path), "--to", form, "--out", str(tmp_path / "out"))
    assert "line 1 is not JSON: lists or objects stand more than 100 deep" in error


def test_what_is_far_too_deep_in_memory_is_refused():
    deep = json.loads("[" * 900 + "]" * 900)
    with pytest.raises(ValueError, match="list has values that are nested too deeply"):
        read_preferences([{"chosen": "x", "rejected": "y", "deep": deep}])
