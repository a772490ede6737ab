"""Sentences of the audit on data that make them true, and on data that make them false."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.utils import Bunch

from sklearn_codex._verdicts import CROSS_FITTED, judge_share
from sklearn_codex.datasets import read_preferences
from sklearn_codex.health._check import run_checks
from sklearn_codex.report import _audit_predict as predict
from sklearn_codex.report._audit_data import LARGE, MOST_DRAWS, AuditData, cross_fit_draws
from sklearn_codex.report._audit_run import finite
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report._audit_sections_policy import _length, learned_section
from sklearn_codex.report.audit import compute_audit

_spec = importlib.util.spec_from_file_location(
    "verdicts_benchmark", Path(__file__).parents[1] / "benchmarks" / "verdicts.py"
)
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)


def audit_of(kind, n_prompts=60, n_each=5, seed=0):
    return finite(compute_audit(benchmark.make_rows(kind, n_prompts, n_each, seed)))


def words_of(section):
    parts = [section.answer]
    for block in section.blocks:
        parts += [getattr(block, name, "") for name in ("text", "meaning")]
    return "\n".join(parts)


# What a policy would learn.


def test_a_reward_that_saturates_is_not_promised_to_be_real():
    audit = audit_of("saturating")
    assert audit["verdicts"]["words predict"]["verdict"] == "yes"
    # At 20 nats the truth, 4 where there is a "good" in a document, has hardly a gain left.
    budget, length = audit["policy"]["budgets"][-1], audit["policy"]["length"]
    (good,) = (row for row in budget["risen"] if row["token"] == "good")
    before, after = (1 - (1 - good[name] / length) ** length for name in ("before", "after"))
    assert 4 * (after - before) < 0.15 * budget["gain"]
    text = words_of(learned_section(audit))
    assert "of what this class of model can see" in text
    assert "that the true one saturates, say, neither half can tell" in text
    assert "how much of the gain is real is not known" in text
    for never in ("100 %", "the true one.", "every half of the prompts wants"):
        assert never not in text


@pytest.mark.parametrize(("share", "said"), [(1.0, "nearly all"), (1.2, "nearly all"), (0.4, "40")])
def test_no_share_of_the_gain_is_called_all_of_it(share, said):
    audit = audit_of_words()
    gold = audit["policy"]["gold"] | {"cautious_share": share, "cautious_gold": 1.0}
    for is_interior in (False, True):
        policy = audit["policy"] | {"gold": gold | {"is_cautious_interior": is_interior}}
        text = words_of(learned_section(audit | {"policy": policy}))
        assert f"confirm {said}" in text
        assert "nothing of what such a reward cannot see" in text
        assert ("Go no farther than" in text) == is_interior


def test_no_kl_coef_is_advised_where_halves_do_not_agree():
    advised = _length({"safe_kl_coef": 0.2, "gold": {"cautious_gold": 0.1}}).text
    assert "start above it, at 0.4 say" in advised
    for gold in (None, {"cautious_gold": 0.0}):
        said = _length({"safe_kl_coef": 0.2, "gold": gold}).text
        assert "start" not in said
        assert "that any above it is safe is not shown" in said
    assert "safe" not in _length({"safe_kl_coef": 0, "gold": None}).text


@pytest.mark.slow
def test_labels_by_coin_are_rarely_promised_a_kl():
    n_sets = 24
    rates = benchmark.measure("coin", (15, 8), n_sets)
    assert rates.get(("a KL", "promised"), 0) * n_sets <= binom.ppf(1 - 1e-3, n_sets, 0.05)


_WORDS: dict = {}


def audit_of_words():
    """Return one audit of labels by words, made once."""
    if not _WORDS:
        _WORDS.update(audit_of("words"))
    return dict(_WORDS)


def test_where_words_predict_a_kl_is_told():
    assert benchmark.promises(audit_of_words())["a KL"]["verdict"] == "promised"


# Folds.


def data_of(kind, n_prompts=40, n_each=5, seed=0, of_folds=0):
    pairs = read_preferences(benchmark.make_rows(kind, n_prompts, n_each, seed))
    return AuditData(pairs, pairs.groups, of_folds)


@pytest.mark.parametrize(
    ("n_pairs", "n_draws"),
    [(50, MOST_DRAWS), (1000, 5), (2000, 2), (LARGE, 2), (LARGE + 1, 1)],
)
def test_folds_are_drawn_as_often_as_they_are_cheap(n_pairs, n_draws):
    data = Bunch(y=np.zeros(n_pairs), seed=0, n_groups=20, groups=np.arange(n_pairs) % 20)
    draws = AuditData.draws_of_folds.func(data)
    assert len(draws) == n_draws
    for folds in draws:
        tested = np.sort(np.concatenate([test for _, test in folds]))
        assert tested.tolist() == list(range(n_pairs))
        for train, test in folds:
            assert not set(data.groups[train]) & set(data.groups[test])


def test_noise_of_folds_by_hand():
    data = Bunch(y=np.ones(5))
    credit = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [0, 0, 1, 1, 1]], dtype=float)
    # Of the last four: means .5, .75 and .75, of variance 1/48, a third of that for their mean.
    found = predict.noise_of_folds(data, credit, np.arange(5) > 0)
    assert found == pytest.approx(1 / 144)
    assert predict.noise_of_folds(data, credit[:1], np.arange(5) > 0) == 0


def test_intervals_hold_the_noise_of_the_folds_and_draws_lessen_it():
    shares, single = [], []
    for seed in range(8):
        data = data_of("words", of_folds=seed)
        draws = cross_fit_draws(data, data.words, C=0.01)
        found = predict.accuracy(data, draws)
        credit = predict.credits(data.y, draws)
        without = judge_share(
            credit[data.decided], data.groups[data.decided], inflation=CROSS_FITTED
        )
        assert found["high"] - found["low"] > without.high - without.low
        shares.append(found["value"])
        single.append([predict.accuracy(data, draw)["value"] for draw in draws])
        assert found["value"] == pytest.approx(np.mean(single[-1]))
    assert np.std(shares) < 0.8 * np.std(single)


def test_the_measure_of_the_verdict_is_said():
    text = words_of(audit_sections(audit_of_words())[1])
    assert "The verdict is by accuracy, and by nothing else" in text
    assert "averaged over 5 draws of the folds" in text


# Length.


def test_checks_and_the_section_on_length_have_one_test():
    pairs = read_preferences(benchmark.make_rows("length", 30, 4, 0))
    rng = np.random.RandomState(0)
    pairs.sample_weight = rng.choice([0.0, 0.5, 1.0], len(pairs.y))
    audit = compute_audit(pairs)
    test = audit["length"]["longer_wins_test"]
    report = run_checks(
        pairs.X, pairs.y, oriented=pairs.oriented, random_state=0, sample_weight=pairs.sample_weight
    )
    found = report.length
    assert (found.share, found.low, found.high, found.p_value, found.n_pairs) == tuple(
        test[name] for name in ("value", "low", "high", "p_value", "n_pairs")
    )
    (said,) = (f["text"] for f in audit["health"] if f["text"].startswith("The longer response"))
    assert f"{100 * test['value']:.0f}% of {test['n_pairs']:,} pairs" in said


def test_given_groups_are_those_of_both_tests_of_length():
    rows = benchmark.make_rows("length", 30, 4, 0)
    question = "please write one long and winding story about all the things that a {} may do today"
    for i, row in enumerate(rows):  # prompts alike, which the checks would join
        row |= {"prompt": question.format(f"number{i // 8}"), "pack": f"pack {i // 4}"}
    audit = compute_audit(rows, groups="pack")
    (said,) = (f["text"] for f in audit["health"] if f["text"].startswith("The longer response"))
    test = audit["length"]["longer_wins_test"]
    assert test["n_groups"] == 30
    assert f"{100 * test['low']:.0f}% to {100 * test['high']:.0f}%)" in said


def test_a_model_that_follows_length_is_said_to():
    rng = np.random.RandomState(0)
    rows = benchmark.make_rows("coin", 60, 5, 0)
    for row in rows:
        is_longer = len(row["response_a"]) > len(row["response_b"])
        row["label"] = int(is_longer == (rng.uniform() < 0.75))
    audit = finite(compute_audit(rows))
    assert audit["verdicts"]["treats length"]["verdict"] == "padding"
    answer = audit_sections(audit)[2].answer
    assert answer.startswith("Largely: the longer response wins 7")
    assert "follows length: it is right on" in answer
    assert "sees more than length" not in words_of(audit_sections(audit)[2])


def test_length_that_is_good_in_one_half_and_bad_in_the_other_is_no_part_of_it():
    audit = audit_of("opposite")
    found = audit["verdicts"]
    assert found["longer wins"]["verdict"] in ("not shown", "too few")
    assert found["predictable"]["verdict"] in ("not shown", "too few")
    text = words_of(audit_sections(audit)[2])
    for never in ("Length is part of it", "would reward", "sees more than length", "Largely"):
        assert never not in text


def test_the_price_of_a_reward_net_of_length_is_told():
    audit = audit_of_words()
    net, words = (
        audit["length"]["words_net_of_length"],
        audit["prediction"]["models"]["words"]["accuracy"],
    )
    assert audit["verdicts"]["net of length"]["verdict"] == "yes"
    text = words_of(audit_sections(audit)[2])
    assert f"is an accuracy of {net['value']:.3f} instead of {words['value']:.3f}" in text


# One refusal, chosen everywhere.


def test_one_refusal_that_is_chosen_everywhere_is_told():
    audit = audit_of("refusal")
    assert audit["verdicts"]["predictable"]["verdict"] == "yes"
    (told,) = (f for f in audit["health"] if f["text"].startswith("One response stands in"))
    assert told["status"] == "look"
    assert "100% of their labels are for it" in told["text"]
    assert not any(
        f["text"].startswith("One response stands in") for f in audit_of_words()["health"]
    )
