"""What the audit says of how a file was read: layout, prompts, positions, places, weights."""

import csv
import json
import re

import numpy as np
import pytest
from scipy.stats import norm

from sklearn_codex._layouts.given import Given
from sklearn_codex._verdicts import judge_mean, judge_slope
from sklearn_codex.cli import main
from sklearn_codex.datasets import read_preferences
from sklearn_codex.health import check_preferences
from sklearn_codex.report._audit_places import first_number, name_places, unit_of
from sklearn_codex.report._audit_run import finite, render, run_audit
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report._audit_sections_reading import reading_blocks
from sklearn_codex.report._blocks import Box
from sklearn_codex.report.audit import audit_preferences

WORDS = ["alpha", "beta", "gamma", "delta", "zeta", "eta", "theta", "iota", "kappa"]
# What only data with prompts can say.
FORBIDDEN = (
    "prompts never seen",
    "independent prompt",
    "by prompt",
    "held-out prompts",
    "new prompts",
    "other prompts",
    "halves of the prompts",
    "half of the prompts",
    "doubling of prompts",
    "prompts learned from",
    "whole prompts",
    "each two prompts",
    "prompts it was not fitted on",
    "confirmed by prompts",
    "similar ones joined",
    "number of prompts",
    "to one prompt",
    "pairs share prompts",
)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def make_pairs(n_prompts=30, n_each=6, noise=0.1, seed=0):
    """Return (prompt, better, worse): "good" is preferred to "bad"."""
    rng = np.random.RandomState(seed)
    pairs = []
    for prompt in range(n_prompts):
        for _ in range(n_each):
            one, other = (
                " ".join([*rng.choice(WORDS, 9), *[word] * rng.randint(1, 4)])
                for word in ("good", "bad")
            )
            if rng.uniform() < noise:
                one, other = other, one
            pairs.append((f"question {prompt} {WORDS[prompt % 9]}", one, other))
    return pairs


def oriented(with_prompt=True, **more):
    rows = [{"prompt": p, "chosen": a, "rejected": b} for p, a, b in make_pairs(**more)]
    if not with_prompt:
        for row in rows:
            del row["prompt"]
    return rows


def labelled(seed=0, **more):
    rng = np.random.RandomState(seed)
    rows = []
    for prompt, a, b in make_pairs(**more):
        is_a = rng.uniform() < 0.5
        one, other = (a, b) if is_a else (b, a)
        label = "a" if is_a else "b"
        rows.append({"prompt": prompt, "response_a": one, "response_b": other, "winner": label})
    return rows


def run(path, capsys, *options):
    """Return what the command prints, the page, the figures and the lists, as text."""
    out = path.parent / "out"
    assert main(["audit", str(path), "--out", str(out), "--force", "--no-progress", *options]) == 0
    shown = {"printed": " ".join(capsys.readouterr().out.split())}
    for file in out.iterdir():
        shown[file.name] = file.read_text(encoding="utf-8")
    return shown


def figures_of(shown):
    return json.loads(shown["audit.json"])


def words_of(audit):
    """Return all sentences of a report."""
    return re.sub("<[^>]*>", " ", render(finite(audit)))


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
    assert shown["printed"].startswith(said)
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
    audit = audit_preferences(rows, given=Given(groups="task"))
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
    assert audit_preferences(read_preferences(path)) == audit_preferences(path)


def test_the_caller_says_what_the_columns_are():
    rows = [
        {"ask": p, "better_text": a, "worse_text": b, "why": "x"} for p, a, b in make_pairs(4, 3)
    ]
    given = Given(prompt="ask", chosen="better_text", rejected="worse_text")
    audit = audit_preferences(rows, given=given)
    assert audit["read"]["columns"]["responses"] == ["better_text", "worse_text"]
    assert audit["prompts"]["kept_together"] == "prompt"


def test_errors_begin_with_the_name_of_the_file(tmp_path):
    path = tmp_path / "prefs.jsonl"
    path.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n{"prompt": "p"}\n')
    with pytest.raises(ValueError, match=r"\A\S*prefs\.jsonl, line 2 "):
        audit_preferences(path)
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
        assert "opposite labels in different rows (2 rows)" in text
        assert "Lines 4, 17." in text
        assert "Line 4: 1 pair has opposite labels" in text
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
    found = [f for f in audit_preferences(path)["health"] if "opposite labels" in f["text"]]
    assert found[0]["where"] == ["line 5", "line 18"]


def test_records_of_a_table_are_counted_from_0():
    audit = audit_preferences(plant(labelled(n_prompts=5)))
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
    audit = audit_preferences(rows)
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


# Prompts.


def assert_speaks_of_no_prompts(shown):
    for name, text in shown.items():
        folded = " ".join(re.sub("<[^>]*>", " ", text).split()).casefold()
        for phrase in FORBIDDEN:
            assert phrase not in folded, (name, phrase)


@pytest.mark.parametrize("n_prompts", [2, 30])
def test_a_file_without_prompts_is_not_said_to_have_any(n_prompts, tmp_path, capsys):
    rows = oriented(with_prompt=False, n_prompts=n_prompts)
    rows = [row | {"topic": f"topic {i // 6}", "id": i} for i, row in enumerate(rows)]
    shown = run(write(tmp_path / "prefs.jsonl", rows), capsys)
    assert_speaks_of_no_prompts(shown)
    figures = figures_of(shown)
    prompts = figures["prompts"]
    assert prompts["n_pairs_without"] == len(rows)
    assert prompts["kept_together"] == "pair"
    assert prompts["text_columns"] == ["topic"]
    assert prompts["warning"].startswith("No prompt was found")
    assert "--prompt topic" in prompts["warning"]
    assert "--by topic" in prompts["warning"]
    page = shown["report.html"]
    assert page.index("No prompt was found") < page.index("Read as: ") < page.index("<nav")
    assert shown["printed"].index("No prompt was found") < shown["printed"].index("Read as: ")
    assert "to look at before training" in shown["printed"]


def test_the_answer_without_prompts_is_no_yes(tmp_path, capsys):
    rows = oriented(with_prompt=False)
    shown = run(write(tmp_path / "prefs.jsonl", rows), capsys)
    verdicts = figures_of(shown)["verdicts"]
    assert verdicts["predictable"]["verdict"] == "of pairs only"
    answer = re.search(
        r"Is it predictable on pairs never seen\? Within this file only: a model of .*? pairs of "
        r"one prompt may stand on both sides, so this can be far too high\. ",
        shown["printed"],
    )
    assert answer
    assert len(answer[0]) < 400
    assert not re.search(r"\bYes\b", shown["printed"])


def learned_by_heart(n_prompts=30, n_each=10):
    """Pairs of which the words that win within one prompt say nothing of any other."""
    rng = np.random.RandomState(0)
    rows = []
    for prompt in range(n_prompts):
        sides = rng.permutation(["left", "near"])
        for _ in range(n_each):
            one, other = (" ".join([*rng.choice(WORDS, 6), f"{side}{prompt}"]) for side in sides)
            rows.append({"what": f"the question number {prompt}", "chosen": one, "rejected": other})
    return rows


def test_what_is_learned_by_heart_is_no_yes_with_prompts_and_no_claim_without():
    rows = [{**row, "prompt": row["what"]} for row in learned_by_heart()]
    with_prompts = finite(audit_preferences(rows))
    assert with_prompts["sizes"]["n_groups"] < 31
    assert with_prompts["verdicts"]["predictable"]["verdict"] in ("not shown", "too few")
    bare = [{name: row[name] for name in ("chosen", "rejected")} for row in rows]
    without = finite(audit_preferences(bare))
    assert without["prediction"]["models"]["words"]["accuracy"]["value"] > 0.9
    answer = audit_sections(without)[1].answer
    assert answer.startswith("Within this file only")
    assert "can be far too high" in answer


def test_without_prompts_a_split_is_not_said_to_be_clean_of_them(tmp_path, capsys):
    rows = oriented(with_prompt=False, n_prompts=4)
    for i, row in enumerate(rows):
        row["split"] = "train" if i < 18 else "test"
    shown = run(write(tmp_path / "prefs.jsonl", rows), capsys)
    assert_speaks_of_no_prompts(shown)
    assert "Whether prompts stand on both sides is not known" in shown["printed"]


def test_groups_are_called_groups(tmp_path, capsys):
    rows = oriented(with_prompt=False, n_prompts=50, n_each=4)
    rows = [row | {"batch": f"batch {i // 4}"} for i, row in enumerate(rows)]
    path = write(tmp_path / "prefs.jsonl", rows)
    run_audit(
        path,
        given=Given(groups="batch", command=True),
        out=tmp_path / "out",
        progress=False,
    )
    shown = {"printed": " ".join(capsys.readouterr().out.split())}
    shown |= {file.name: file.read_text() for file in (tmp_path / "out").iterdir()}
    assert_speaks_of_no_prompts(shown)
    figures = figures_of(shown)
    assert figures["prompts"]["kept_together"] == "group"
    assert figures["verdicts"]["predictable"]["verdict"] == "yes"
    assert "Is it predictable on groups never seen?" in shown["printed"]
    assert "200 preference pairs, 50 groups" in shown["report.html"]
    assert "groups (batch)" in shown["report.html"]
    assert "pairs with one value of 'batch' are kept together" in shown["printed"]


def test_prompts_that_some_pairs_lack_are_counted():
    rows = oriented()
    for row in rows[:7]:
        del row["prompt"]
    audit = finite(audit_preferences(rows))
    assert audit["prompts"]["n_pairs_without"] == 7
    assert audit["prompts"]["warning"].startswith("7 pairs of 180 have no prompt")
    assert audit["sizes"]["n_groups"] == 7 + 29  # the six pairs of one prompt, and one more
    answer = audit_sections(audit)[1].answer
    assert answer.startswith("Yes: a model of")
    assert answer.endswith(
        "7 of 180 pairs have no prompt and count as one each, which can make this too high."
    )
    (found,) = (f for f in audit["health"] if "have no prompt" in f["text"])
    assert (found["status"], len(found["rows"])) == ("look", 7)
    assert not any("same as another but for case" in f["text"] for f in audit["health"])


def test_all_prompts_that_there_are_need_no_warning():
    audit = audit_preferences(oriented(n_prompts=3))
    assert audit["prompts"]["warning"] is None
    assert not any(isinstance(block, Box) for block in reading_blocks(audit))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "Every column is in use: add one with the prompt"),
        ({"task": [1, 1, 2, 2]}, "No unused column holds text. If one says which pairs belong"),
        ({"task": [1, 1, 2, 2]}, "say --by task."),
        ({"ask": ["one thing", "two"] * 2}, "say --prompt ask; if one says which pairs belong"),
        ({"a b": ["one thing", "two"] * 2}, "say --prompt 'a b'"),
        ({"short": list("abcd"), "ask": ["a longer text"] * 4}, "say --prompt ask"),
        ({"ask": ["one thing", "two"] * 2, "kind": ["x", "x", "y", "y"]}, "say --by kind"),
        ({"number": ["1.5", "2", "3", "4"]}, "Every column is in use"),
    ],
)
def test_what_makes_a_file_without_prompts_work_is_said(columns, said):
    rows = [
        {"chosen": f"a {i}", "rejected": f"b {i}"}
        | {name: values[i] for name, values in columns.items()}
        for i in range(4)
    ]
    assert said in audit_preferences(rows)["prompts"]["warning"]


def test_python_is_told_what_to_say_in_python():
    rows = [{"chosen": f"a {i}", "rejected": "b", "topic": f"the {i % 2}"} for i in range(4)]
    warning = audit_preferences(rows, given=Given())["prompts"]["warning"]
    assert 'prompt="topic"' in warning
    assert "--" not in warning


def test_checks_of_python_speak_of_pairs_without_prompts():
    pairs = make_pairs()
    X = np.array([(a, b) for _, a, b in pairs], dtype=object)
    y = np.tile([1, 0], len(X) // 2)
    X[1::2] = X[1::2, ::-1]
    report = check_preferences(X, y, random_state=0)
    text = " ".join(str(report).split())
    assert "pass groups=" in text
    for phrase in FORBIDDEN:
        assert phrase not in text
    assert "labels of pairs it was not fitted on" in text


# Weights.


def make_rankings(n=40, size=4):
    """Return prompts with answers ranked by a word, which noise turns in part."""
    rng = np.random.RandomState(0)
    pairs = []
    for prompt in range(n):
        answers = [
            " ".join([*rng.choice(WORDS, 9), *["good"] * (size - k), *["bad"] * k])
            for k in range(size)
        ]
        pairs.append((f"question {prompt} {WORDS[prompt % 9]}", answers))
    return pairs


def rows_of_rankings(rankings, *, n_of_first=1):
    rows = []
    for position, (prompt, answers) in enumerate(rankings):
        pairs = [(a, b) for i, a in enumerate(answers) for b in answers[i + 1 :]]
        for a, b in pairs:
            weight = (n_of_first if position == 0 else 1) / len(pairs)
            rows.append({"prompt": prompt, "chosen": a, "rejected": b, "w": weight})
    return rows


def test_weights_are_used_and_told():
    rows = rows_of_rankings(make_rankings())
    even = finite(audit_preferences(rows))
    audit = finite(audit_preferences(rows, given=Given(weight="w")))
    assert even["read"]["weight"] is None
    assert audit["read"]["weight"] == pytest.approx(40)
    said = words_of(audit)
    assert "Pairs have weights, 40 together: models and shares go by them" in said
    assert "Pairs have weights" not in words_of(even)
    # Equal weights are no other data to shares, but to penalties of models.
    name = "longer_wins_test"
    for part in ("value", "low", "high", "p_value", "n_pairs"):
        assert audit["length"][name][part] == pytest.approx(even["length"][name][part])
    assert audit["tokens"]["for"][0]["weight"] < even["tokens"]["for"][0]["weight"]


def test_a_prompt_of_great_weight_decides_shares():
    rows = [
        {"prompt": f"q {i} {WORDS[i % 9]}", "chosen": "so it is", "rejected": "no", "w": 1}
        for i in range(60)
    ]
    for row in rows[:30]:
        row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
        row["w"] = 3
    audit = audit_preferences(rows, given=Given(weight="w"))
    assert audit["length"]["longer_wins"] == pytest.approx(30 / 120)


def test_pairs_that_weigh_nothing_are_not_judged():
    rows = [row | {"w": 1.0} for row in oriented()]
    with_more = rows + [row | {"w": 0.0, "prompt": "none"} for row in oriented(n_prompts=2)]
    audit = audit_preferences(with_more, given=Given(weight="w"))
    test = audit["prediction"]["models"]["words"]["accuracy"]
    assert test["n_pairs"] == len(rows)
    assert audit["length"]["longer_wins"] == pytest.approx(
        audit_preferences(rows)["length"]["longer_wins"]
    )


def test_no_pair_that_weighs_anything_is_told_from_ties():
    rows = [row | {"w": 0} for row in oriented(n_prompts=2)]
    audit = audit_preferences(rows, given=Given(weight="w"))
    assert audit["too_small"].startswith("All weights are 0, so there is no preference")


def test_weighted_means_are_those_of_the_formula():
    rng = np.random.RandomState(0)
    v, w, groups = rng.uniform(size=60), rng.uniform(0.2, 2, 60), np.repeat(np.arange(20), 3)
    test = judge_mean(v, groups, null=0.4, weights=w)
    assert test.value == pytest.approx(w @ v / w.sum())
    u = np.array([(w * (v - 0.4))[groups == g].sum() for g in range(20)])
    T = u.sum() / np.sqrt(max(u @ u, ((w * (v - 0.4)) ** 2).sum()))
    assert test.p_value == pytest.approx(2 * norm.sf(abs(T)))
    at_end = judge_mean(v, groups, null=test.high, weights=w)
    assert at_end.p_value == pytest.approx(0.05, abs=1e-6)
    for scale in (1.0, 7.0):
        assert judge_mean(v, groups, weights=np.full(60, scale)) == judge_mean(v, groups)


def test_weighted_slopes_are_those_of_pairs_that_occur_so_often():
    rng = np.random.RandomState(0)
    margin, groups = rng.normal(size=90), np.repeat(np.arange(30), 3)
    y = (rng.uniform(size=90) < 1 / (1 + np.exp(-2 * margin))).astype(float)
    times = rng.randint(1, 4, 30)[groups]
    # Groups that err together, so that their sums are the greater variance either way.
    weighted = judge_slope(margin, y, groups, weights=times.astype(float))
    repeated = judge_slope(*(np.repeat(part, times) for part in (margin, y, groups)))
    assert weighted.value == pytest.approx(repeated.value)


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
    audit = audit_preferences(scored(wrong=0)[0])
    (found,) = (f for f in audit["health"] if "score_chosen" in f["text"])
    assert found["status"] == "ok"
    assert found["text"] == "score_chosen is lower than score_rejected in none of 180 pairs."


def test_most_scores_against_the_label_ask_which_is_the_wrong_way_round():
    audit = audit_preferences(scored(wrong=0.9)[0])
    (found,) = (f for f in audit["health"] if "score_chosen" in f["text"])
    assert "read the wrong way round?" in found["text"]
