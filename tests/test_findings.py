"""Findings as data: the words that follow from their facts, for users of Python and of files."""

import json

import numpy as np
import pytest
from sklearn.utils import Bunch

from sklearn_codex.cli import main
from sklearn_codex.datasets import make_preferences
from sklearn_codex.health import _comparisons, check_preferences
from sklearn_codex.health._report import find
from sklearn_codex.health._words import SECTIONS
from sklearn_codex.report._audit_ceiling import human_ceiling
from sklearn_codex.report._audit_findings import FIGURES
from sklearn_codex.report._audit_run import finite, render
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report.audit import compute_audit

ARGUMENTS = ("report.", "groups=", "model=", "split=", "read_preferences", "X ")
QUESTION = "write a function that returns the sum of all even numbers in a list of numbers"
MEASURED = Bunch(
    n_pairs=80, n_groups=40, share=0.6, low=0.48, high=0.71, p_value=0.0123, detectable=0.15
)


@pytest.mark.parametrize(
    ("kind", "facts", "text"),
    [
        ("spelling", {"n": 0}, "No two prompts differ in case, spaces or punctuation only."),
        ("contradictions", {"n_pairs": 0, "n_rows": 0}, "No pair has both labels."),
        ("empty", {"n": 1}, "1 response is empty. Was an answer lost?"),
        ("empty", {"n": 1200}, "1,200 responses are empty. Was an answer lost?"),
        (
            "repeats",
            {"n": 1, "share": 0.002, "n_swapped": 0, "is_text": False},
            "1 row of X (0.2%) repeats an earlier one, not with A and B exchanged. "
            "Different texts can have the same feature difference.",
        ),
        (
            "repeats",
            {"n": 1, "share": 0.002, "n_swapped": 1, "is_text": False},
            "1 row of X (0.2%) repeats an earlier one, with A and B exchanged. "
            "Different texts can have the same feature difference.",
        ),
        (
            "repeats",
            {"n": 3, "share": 0.006, "n_swapped": 0, "is_text": False},
            "3 rows of X (0.6%) repeat an earlier one, none of them with A and B exchanged. "
            "Different texts can have the same feature difference.",
        ),
        (
            "identical",
            {"n": 1, "share": 0.5, "n_decided": 1, "is_text": True},
            "1 pair (50%) has two identical responses, with a preference, which can only be noise. "
            "They teach nothing: drop them.",
        ),
        (
            "identical",
            {"n": 2, "share": 0.5, "n_decided": 0, "is_text": True},
            "2 pairs (50%) have two identical responses. They teach nothing: drop them.",
        ),
        (
            "truncated",
            {"n": 3, "share": 0.015, "reasons": {"within a sentence": 2, "with a bang": 1}},
            "3 responses (1.5%) may be cut off, ending within a sentence (2), with a bang (1). A "
            "model may learn the cut instead of the preference.",
        ),
        (
            "precision",
            {"n_groups": 1, "unit": "prompt", "low": 0.1, "high": 0.98, "are_few": True},
            "How a model does elsewhere cannot be measured: 1 prompt can say little about others.",
        ),
        (
            "precision",
            {"n_groups": 12, "unit": "group", "low": 0.1, "high": 0.28, "are_few": True},
            "Cross-validated on all of it, an accuracy is known to about ±10 to 28 points (95%); "
            "smaller differences between models may be chance. 12 groups can say little about "
            "others.",
        ),
        (
            "cycles",
            {"n_prompts": 1, "n_triples": 8, "n_circular": 1, "rare": 0.05, "are_many": False},
            "1 prompt has a circle of preferences (a > b > c > a), which no reward can follow: 1 "
            "of 8 triples of responses (12%; labels by coin would give 25%). A few are noise: more "
            "than 5.0% are not shown.",
        ),
        (
            "components",
            {"n_apart": 1, "n_contexts": 2, "n_parts": 3, "unit": "prompt"},
            "In 1 of 2 prompts the responses fall apart into parts that are not compared with each "
            "other. Over all prompts there are 3 parts. A ranking of the responses is then "
            "undetermined; a reward of features is not.",
        ),
        (
            "components",
            {"n_apart": 0, "n_contexts": 1, "n_parts": 1, "unit": None},
            "All responses are connected by comparisons.",
        ),
        (
            "ties",
            {"n_pairs": 40, "n_ties": 1, "n_soft": 2},
            "1 tie (2.5%), 2 soft labels.",
        ),
        (
            "position",
            {"measured": MEASURED, "verdict": "too few", "unit": "prompt"},
            "A is preferred in 60% of 80 pairs (95%: 48% to 71%): too few of 40 prompts to tell it "
            "from one half.",
        ),
        (
            "position",
            {"measured": MEASURED, "verdict": "not shown", "unit": "prompt"},
            "A is preferred in 60% of 80 pairs (95%: 48% to 71%), not told from one half (p = "
            "0.012); 65% would be, in four of five data sets of this kind.",
        ),
        (
            "length",
            {"measured": MEASURED, "verdict": "longer", "unit": "prompt"},
            "The longer response is preferred in 60% of 80 pairs (95%: 48% to 71%), not in half of "
            "them (p = 0.01). A reward model has to beat 60% to have learned more than 'the longer "
            "one wins'.",
        ),
        (
            "unlikely labels",
            {"n_labels": 500, "flip_rate": 0.04, "low": 0.0, "high": 0.09, "p_value": 0.02}
            | {"level": 0.01},
            "No label is shown to be wrong: honest doubt explains the unlikely ones as well (p = "
            "0.02, tested at the level of 0.01). At most 45 of 500 labels are wrong (95%). The "
            "least likely ones, a ranking and no proof:",
        ),
        (
            "unlikely labels",
            {"n_labels": 600, "flip_rate": 0.21, "low": 0.0, "high": 0.3, "p_value": 0.5}
            | {"level": 0.01},
            "No label is shown to be wrong: honest doubt explains the unlikely ones as well (p = "
            "0.5, tested at the level of 0.01). How many are wrong is not told: 180 of 600 labels, "
            "or more, may be (95%). The least likely ones, a ranking and no proof:",
        ),
        (
            "unlikely labels",
            {"n_labels": 500, "flip_rate": 0.04, "low": 0.01, "high": 0.09, "p_value": 0.002}
            | {"level": 0.01},
            "In all, about 20 of 500 labels are estimated to be wrong (95%: 5 to 45), none of them "
            "more likely than not (p = 0.002, tested at the level of 0.01). The labels the model "
            "finds least likely:",
        ),
        (
            "labels not judged",
            {"p_value": 0.0028, "level": 0.01},
            "Single labels are not judged: the errors of the model do not follow its margins (p = "
            "0.0028, tested at the level of 0.01). Pass a better model=, or read those it finds "
            "least likely, a ranking and no proof:",
        ),
    ],
)
def test_words_follow_from_facts(kind, facts, text):
    finding = find(kind, "note", **facts)
    assert finding.text == text
    assert text.startswith(finding.found)
    assert (finding.kind, finding.facts) == (kind, facts)
    assert kind in SECTIONS[finding.section]


def pairs_of(prompts=None, n_pairs=200, **params):
    data = make_preferences(n_pairs, n_prompts=40, text=True, random_state=0, **params)
    if prompts is not None:
        data.X[:, 0] = prompts(data)
    return data


def alike(data):
    """Give three prompts one wording, two of them in another spelling."""
    prompts = data.X[:, 0].copy()
    prompts[data.groups == 3] = QUESTION
    prompts[data.groups == 5] = QUESTION.capitalize() + "?"
    prompts[data.groups == 9] = QUESTION + " please, in Python"
    return prompts


def of_one_side():
    return pairs_of() | {"y": np.ones(200)}


def by_coin():
    return pairs_of() | {"y": np.random.RandomState(1).randint(2, size=200)}


def as_records(data, task=None):
    keys = ("prompt", "response_a", "response_b")
    rows = [dict(zip(keys, row, strict=True)) for row in data["X"]]
    for i, row in enumerate(rows):
        row["label"] = float(data["y"][i])
        if task is not None:
            row["task"] = task[i]
    return rows


def test_the_text_of_a_report_is_what_was_found_and_what_it_means():
    data = pairs_of(alike, flip_rate=0.1)
    report = check_preferences(data.X, data.y, split=data.groups % 2, random_state=0)
    for finding in report.findings:
        assert not finding.found.endswith(".")
        meaning = finding.text.removeprefix(f"{finding.found}.")
        assert meaning != finding.text
        assert meaning == "" or meaning[0] == " "
        assert finding.leads_to_rows == finding.text.endswith(":")
        assert not (finding.table and report[finding.table] is None)


def test_circles_are_looked_for_where_their_triples_are_too_many_to_be_counted(monkeypatch):
    monkeypatch.setattr(_comparisons, "MAX_STEPS", 0)
    report = check_preferences([("p", "a", "b"), ("p", "c", "d")], [1, 0])
    assert "No circle of preferences." in [finding.text for finding in report.findings]
    report = check_preferences([("p", "a", "b"), ("p", "b", "c"), ("p", "c", "a")], [1, 1, 1])
    assert report.cycles.n_in_cycle.tolist() == [3]
    (text,) = [finding.text for finding in report.findings if finding.kind == "cycles"]
    assert "which no reward can follow. A few" in text


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: pairs_of(alike), "puts the two on different sides: they are joined here."),
        (lambda: pairs_of(alike), "too easy on a model: they are joined here, 40 groups into 38."),
        (lambda: pairs_of(lambda data: ""), "not looked for: no pair has a prompt."),
        (of_one_side, "A classifier needs both classes: columns chosen"),
        (
            by_coin,
            "the linear reward model that would judge them cannot be told from a coin.",
        ),
    ],
    ids=["spelling", "wording", "no prompts", "one side", "no skill"],
)
def test_the_audit_speaks_of_files_and_not_of_arguments(make, sentence):
    audit = finite(compute_audit(as_records(make())))
    texts = [finding["text"] for finding in audit["health"]]
    assert sentence in " ".join(texts)
    for shown in (*texts, *(line for _, line in audit_sections(audit)[0].blocks[1].items)):
        assert not any(word in shown for word in ARGUMENTS)


def test_prompts_are_not_said_to_be_joined_where_groups_are_given():
    data = pairs_of(alike, n_pairs=80)
    rows = as_records(data, task=[f"task {group}" for group in data.groups])
    page = render(finite(compute_audit(rows, groups="task")))
    assert "give them one group, as here the given ones are kept." in page
    assert "joined here" not in page


def test_figures_of_a_finding_are_those_of_its_sentence(tmp_path, capsys):
    prefs = tmp_path / "prefs.jsonl"
    rows = as_records(pairs_of(alike, n_pairs=80))
    prefs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["audit", str(prefs), "--json", "--no-progress"]) == 0
    health = json.loads(capsys.readouterr().out)["health"]
    assert {tuple(finding) for finding in health} == {FIGURES}


def test_annotators_whom_no_majority_of_others_judges_are_left_out():
    # The two others never agree on any row of the first and the second column.
    ceiling = human_ceiling({"votes": [[1, 1, 0]] * 3})
    assert ceiling["agreement"] == 0.0  # of the third, against the first two
    assert human_ceiling({"votes": [["a", "b", "c"]] * 3}) is None
