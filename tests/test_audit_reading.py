"""What the audit says of how a file was read: layout, columns, places, positions, scores."""

import csv
import re

import numpy as np
import pytest
from audit_pairs import figures_of, labelled, make_pairs, oriented, run, words_of, write

from sklearn_codex._layouts.given import Given
from sklearn_codex.datasets import read_preferences
from sklearn_codex.health import check_preferences
from sklearn_codex.report._audit_places import first_number, name_places, unit_of
from sklearn_codex.report._audit_run import run_audit
from sklearn_codex.report.audit import compute_audit

# As what a file was read.


def test_the_report_begins_with_what_the_file_was_read_as(tmp_path, capsys):
    rows = [row | {"source": "web", "n": 1} for row in labelled()]
    shown = run(write(tmp_path / "prefs.jsonl", rows), capsys)
    figures = figures_of(shown)
    assert list(figures)[:3] == ["source", "read", "prompts"]
    read = figures["read"]
    assert (read["n_rows"], read["n_pairs"], read["unit"], read["first"]) == (180, 180, "line", 1)
    assert read["columns"]["prompt"] == ["prompt"]
    assert read["columns"]["responses"] == ["response_a", "response_b"]
    assert read["columns"]["label"] == ["winner"]
    assert read["unused"] == ["source", "n"]
    said = f"Read as: {read['layout']}; 180 lines, 180 pairs. Prompt: prompt Responses: "
    assert shown["printed"].index(said) < shown["printed"].index("Is it clean?")
    assert "Not used: source, n " in shown["printed"]
    page = shown["report.html"]
    assert page.index("Read as: ") < page.index("Is it clean?")


def test_what_the_reader_notes_is_shown(tmp_path, capsys):
    rows = [{**row, "winner": {"a": 1, "b": 2}[row["winner"]]} for row in labelled(n_prompts=3)]
    shown = run(write(tmp_path / "prefs.jsonl", rows), capsys)
    notes = figures_of(shown)["read"]["notes"]
    assert notes
    assert "Note: " in shown["printed"] or "Notes: " in shown["printed"]
    for note in notes:
        assert " ".join(note.split()) in shown["printed"]


def test_columns_that_the_audit_looks_at_are_not_called_unused():
    rows = oriented(n_prompts=4)
    for i, row in enumerate(rows):
        row |= {"votes": [1, 1, i % 2], "split": "ab"[i % 2], "score_chosen": 2, "task": i % 3}
        row |= {"score_rejected": 1, "note": "x"}
    audit = compute_audit(rows, given=Given(groups="task"))
    read = audit["read"]
    assert set(read["looked_at"]) == {"votes", "split", "score_chosen", "score_rejected", "task"}
    assert read["unused"] == ["note"]
    assert "Looked at: votes" in " ".join(words_of(audit).split())


def test_names_of_columns_are_shown_as_text(tmp_path, capsys):
    rows = [row | {"<b>\x1b[31m\nx": "y"} for row in oriented(n_prompts=2)]
    shown = run(write(tmp_path / "prefs.jsonl", rows), capsys)
    assert "<b>\x1b" not in shown["report.html"]
    assert "\x1b[31m" not in shown["printed"]
    assert "&lt;b&gt;␛[31m x" in shown["report.html"]


def test_an_audit_of_what_was_read_is_that_of_the_file(tmp_path):
    path = write(tmp_path / "prefs.jsonl", oriented(n_prompts=3))
    assert compute_audit(read_preferences(path)) == compute_audit(path)


def test_the_caller_says_what_the_columns_are():
    rows = [
        {"ask": p, "better_text": a, "worse_text": b, "why": "x"} for p, a, b in make_pairs(4, 3)
    ]
    given = Given(prompt="ask", chosen="better_text", rejected="worse_text")
    audit = compute_audit(rows, given=given)
    assert audit["read"]["columns"]["responses"] == ["better_text", "worse_text"]
    assert audit["prompts"]["kept_together"] == "prompt"


def test_errors_begin_with_the_name_of_the_file(tmp_path):
    path = tmp_path / "prefs.jsonl"
    path.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n{"prompt": "p"}\n')
    with pytest.raises(ValueError, match=r"\A\S*prefs\.jsonl, line 2 "):
        compute_audit(path)
    write(path, oriented(n_prompts=2))
    with pytest.raises(ValueError, match=r"\A\S*prefs\.jsonl: --split part is neither"):
        run_audit(path, split="part", progress=False)


def test_columns_are_told_by_what_they_hold():
    rows = [
        {"instruction": p, "input": "of it", "output_1": a, "output_2": b, "preference": 1}
        for p, a, b in make_pairs(2, 2)
    ]
    roles = read_preferences(rows).roles
    assert set(roles["prompt"]) == {"instruction", "input"}
    assert roles["responses"] == ["output_1", "output_2"]
    assert roles["label"] == ["preference"]
    assert roles["others"] == []


# Where pairs stand.


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (["line 3"], "Line 3"),
        (["line 3", "line 3"], "Line 3"),
        (["line 3", "line 17"], "Lines 3, 17"),
        ([f"line {i}" for i in range(1, 11)], "Lines 1, 2, 3, 4, 5, 6, 7, 8, …"),
        (["record 0", "record 16"], "Records 0, 16"),
        (["a.jsonl, line 3", "a.jsonl, line 4"], "a.jsonl, lines 3, 4"),
        (["a.jsonl, line 3", "b.jsonl, line 3"], "a.jsonl, line 3; b.jsonl, line 3"),
        (["somewhere", "line 2"], "Somewhere; line 2"),
    ],
)
def test_places_in_words(places, said):
    assert name_places(places) == said


@pytest.mark.parametrize(
    ("places", "unit", "first"),
    [
        (["line 2", "line 3"], "line", 1),
        (["record 3"], "record", 0),
        (["x.csv, line 2", "y.csv, line 2"], "line", 1),
        (["entry 0", "entry 1"], "entry", 0),
        (["entry 4"], "entry", None),
        (["line 1", "record 1"], "row", None),
        (["somewhere"], "row", None),
    ],
)
def test_the_unit_of_places(places, unit, first):
    assert (unit_of(places), first_number(places)) == (unit, first)


def plant(rows):
    """Return rows of which the 17th repeats the 4th with the other label."""
    rows[16] = rows[3] | {"winner": "b" if rows[3]["winner"] == "a" else "a"}
    return rows


def test_pairs_are_named_by_their_line_everywhere(tmp_path, capsys):
    shown = run(write(tmp_path / "prefs.jsonl", plant(labelled())), capsys)
    for text in (shown["printed"], shown["report.html"]):
        assert "2 pairs have opposite labels on 1 comparison that occurs more than once" in text
        assert "Lines 4, 17." in text
        assert "Line 4: 2 pairs have opposite labels" in text
        assert text.count("counted from 1") == 1
        assert not re.search(r"\b[Rr]ow \d", text)
    figures = figures_of(shown)
    (found,) = (f for f in figures["health"] if "opposite labels" in f["text"])
    assert found["where"] == ["line 4", "line 17"]
    assert [row["where"] for row in found["worst"]] == ["line 4", "line 17"]
    assert figures["examples"][0]["where"] == f"line {figures['examples'][0]['row'] + 1}"
    listed = list(csv.DictReader(shown["labels_to_check.csv"].splitlines()))
    assert {row["where"] for row in listed} & {"line 4", "line 17"}
    assert "row" not in listed[0]


def test_lines_of_csv_are_those_of_the_file(tmp_path):
    rows = plant(labelled(n_prompts=5))
    path = tmp_path / "prefs.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    found = [f for f in compute_audit(path)["health"] if "opposite labels" in f["text"]]
    assert found[0]["where"] == ["line 5", "line 18"]


def test_records_of_a_table_are_counted_from_0():
    audit = compute_audit(plant(labelled(n_prompts=5)))
    found = [f for f in audit["health"] if "opposite labels" in f["text"]]
    assert found[0]["where"] == ["record 3", "record 16"]
    assert "Records 3, 16." in words_of(audit)
    assert "counted from 0" in words_of(audit)


def test_leaks_of_a_split_are_named_by_their_files(tmp_path, capsys):
    rows = oriented(n_prompts=3)
    train, test = write(tmp_path / "train.jsonl", rows[:12]), rows[12:] + rows[3:4]
    shown = run(train, capsys, "--split", str(write(tmp_path / "test.jsonl", test)))
    (leak,) = csv.DictReader(shown["split_leaks.csv"].splitlines())
    assert (leak["where"], leak["other_where"]) == ("line 7", "line 4")
    assert (leak["chosen"], leak["other_chosen"]) == (rows[3]["chosen"],) * 2
    assert "response_a" not in leak
    assert "Line 7 of test.jsonl: the same pair is line 4 of train.jsonl" in shown["printed"]


# Chosen and rejected.


def test_chosen_and_rejected_have_no_position_and_keep_their_names(tmp_path, capsys):
    rows = oriented()
    rows[20]["rejected"] = rows[20]["chosen"]
    shown = run(write(tmp_path / "prefs.jsonl", rows), capsys)
    figures = figures_of(shown)
    found = [f for f in figures["health"] if "shown first" in f["text"]]
    assert [f["status"] for f in found] == ["skipped"]
    assert found[0]["text"].startswith("The file does not tell which response was shown first")
    assert figures["verdicts"]["position"] == {"verdict": "not asked"}
    for text in (shown["printed"], shown["report.html"]):
        assert "A is preferred" not in text
        assert "A preferred" not in text
        assert not re.search(r"\b[AB] better", text)
        assert "A and B" not in text
    known = {(row["chosen"], row["rejected"]) for row in rows}
    worst = [row for finding in figures["health"] for row in finding["worst"]]
    assert len(worst) > 0
    assert len(figures["labels_to_check"]["rows"]) > 0
    for row in (*worst, *figures["labels_to_check"]["rows"], *figures["examples"]):
        assert (row["chosen"], row["rejected"]) in known
        assert row.get("label", 1.0) == 1.0
        assert "response_a" not in row
    # A label to check is one that the model gives less than one half.
    assert all(row["probability"] <= 0.5 for row in figures["labels_to_check"]["rows"])
    listed = csv.DictReader(shown["labels_to_check.csv"].splitlines())
    assert {"chosen", "rejected"} <= set(listed.fieldnames)


def test_pairs_that_repeat_are_not_said_to_be_exchanged_where_the_reader_did_it():
    rows = oriented(n_prompts=4)
    rows[5] = rows[2]
    audit = compute_audit(rows)
    (found,) = (f["text"] for f in audit["health"] if "repeats an earlier one" in f["text"])
    assert "A and B" not in found


def test_positions_are_tested_where_there_are_some():
    rng = np.random.RandomState(0)
    X = np.array([["p", f"a{i}", f"b{i}"] for i in range(80)], dtype=object)
    y = rng.randint(2, size=80)
    known = np.arange(80) < 50
    y[known] = np.arange(50) < 45  # A wins 9 times of 10 where there is a position
    report = check_preferences(X, y, np.arange(80), oriented=~known)
    assert report.position.n_pairs == 50
    assert report.position.share == 0.9
    kinds = {finding.kind: finding for finding in report.findings}
    assert kinds["position"].status == "look"
    assert kinds["no positions"].status == "skipped"
    assert "Of 30 pairs which response was shown first is not known" in kinds["no positions"].text
    assert "the other 50 only" in kinds["no positions"].text
    assert check_preferences(X, y, oriented=np.ones(80, bool)).position is None
    assert check_preferences(X, y).position.n_pairs == 80


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (["yes"], "oriented should hold True or False for each pair, got"),
        ([2.0], "oriented should hold True or False for each pair, got"),
        ([True, False], "inconsistent numbers of samples"),
    ],
)
def test_oriented_is_one_truth_a_pair(given, match):
    with pytest.raises(ValueError, match=match):
        check_preferences([("p", "a", "b")], [1], oriented=given)


# Scores.


def scored(wrong=0.25, turns=False):
    rng = np.random.RandomState(0)
    rows = labelled() if turns else oriented()
    lines = np.flatnonzero(rng.uniform(size=len(rows)) < wrong) + 1
    for line, row in enumerate(rows, start=1):
        high, low = (1, 5) if line in lines else (5, 1)
        if not turns:
            row |= {"score_chosen": high, "score_rejected": low}
        elif row["winner"] == "a":
            row |= {"score_a": high, "score_b": low}
        else:
            row |= {"score_a": low, "score_b": high}
    return rows, [f"line {line}" for line in lines]


@pytest.mark.parametrize("turns", [False, True])
def test_scores_that_contradict_labels_are_told_with_their_lines(turns, tmp_path, capsys):
    rows, lines = scored(turns=turns)
    shown = run(write(tmp_path / "prefs.jsonl", rows), capsys)
    (found,) = (f for f in figures_of(shown)["health"] if "contradict each other" in f["text"])
    assert found["status"] == "look"
    assert found["where"] == lines
    assert f"in {len(lines)} of 180 pairs ({100 * len(lines) / 180:.0f} %)" in found["text"]
    assert name_places(lines) in shown["printed"]
    assert found["worst"][0]["where"] == lines[0]
    said = "The preferred response has the lower of" if turns else "is lower than"
    assert said in found["text"]


def test_scores_that_agree_are_fine():
    audit = compute_audit(scored(wrong=0)[0])
    (found,) = (f for f in audit["health"] if "score_chosen" in f["text"])
    assert found["status"] == "ok"
    assert found["text"] == "score_chosen is lower than score_rejected in none of 180 pairs."


def test_most_scores_against_the_label_ask_which_is_the_wrong_way_round():
    audit = compute_audit(scored(wrong=0.9)[0])
    (found,) = (f for f in audit["health"] if "score_chosen" in f["text"])
    assert "read the wrong way round?" in found["text"]
