"""What the audit says of pairs with prompts, with groups, with neither, and with weights."""

import re

import numpy as np
import pytest
from audit_pairs import WORDS, figures_of, make_pairs, oriented, run, words_of, write
from scipy.stats import norm

from sklearn_codex._layouts.given import Given
from sklearn_codex._verdicts import judge_mean, judge_slope
from sklearn_codex.datasets import read_preferences
from sklearn_codex.health import check_preferences
from sklearn_codex.report._audit_run import finite, run_audit
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report._audit_sections_reading import reading_blocks
from sklearn_codex.report._blocks import Box
from sklearn_codex.report.audit import compute_audit

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
    assert (
        page.index("No prompt was found")
        < page.index("Read as: ")
        < page.index('<nav class="answers"')
    )
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
    with_prompts = finite(compute_audit(rows))
    assert with_prompts["sizes"]["n_groups"] < 31
    assert with_prompts["verdicts"]["predictable"]["verdict"] in ("not shown", "too few")
    bare = [{name: row[name] for name in ("chosen", "rejected")} for row in rows]
    without = finite(compute_audit(bare))
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
        full=True,
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
    audit = finite(compute_audit(rows))
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
    audit = compute_audit(oriented(n_prompts=3))
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
    assert said in compute_audit(rows)["prompts"]["warning"]


def test_python_is_told_what_to_say_in_python():
    rows = [{"chosen": f"a {i}", "rejected": "b", "topic": f"the {i % 2}"} for i in range(4)]
    warning = compute_audit(rows, given=Given())["prompts"]["warning"]
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
    even = finite(compute_audit(rows))
    audit = finite(compute_audit(rows, given=Given(weight="w")))
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
    audit = compute_audit(rows, given=Given(weight="w"))
    assert audit["length"]["longer_wins"] == pytest.approx(30 / 120)


def test_pairs_that_weigh_nothing_are_not_judged():
    rows = [row | {"w": 1.0} for row in oriented()]
    with_more = rows + [row | {"w": 0.0, "prompt": "none"} for row in oriented(n_prompts=2)]
    audit = compute_audit(with_more, given=Given(weight="w"))
    test = audit["prediction"]["models"]["words"]["accuracy"]
    assert test["n_pairs"] == len(rows)
    assert audit["length"]["longer_wins"] == pytest.approx(
        compute_audit(rows)["length"]["longer_wins"]
    )


def test_no_pair_that_weighs_anything_is_told_from_ties():
    rows = [row | {"w": 0} for row in oriented(n_prompts=2)]
    audit = compute_audit(rows, given=Given(weight="w"))
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


@pytest.mark.parametrize("end", ["\nA:", "\n\nTL;DR:"])
@pytest.mark.parametrize("n", [2, 3, 7, 8, 9])
def test_prompts_within_responses_are_never_taken_out_or_left_without_a_word(end, n):
    """Whether that is done depends on how many pairs there are, so it is said what was done."""
    starts = [f"Q: What is {i} and {7 * i}?{end}" for i in range(n)]
    rows = [
        {"chosen": f"{q} It is {i}.", "rejected": f"{q} Who knows {i}"}
        for i, q in enumerate(starts)
    ]
    data = read_preferences(rows)
    mark = end.split()[-1]
    if n < 8:
        assert not any(data.X[:, 0])
        note = f"Both responses begin with the same text up to '{mark}'"
    else:
        assert data.X[:, 0].tolist() == starts
        note = (
            f"What both responses begin with, up to '{mark}', was read as the prompt in {n} of {n}"
        )
    assert sum(said.startswith(note) for said in data.notes) == 1
