"""What DPO and KTO of policies over candidates have in common: what they read and keep."""

import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from candidates import JUDGED, JUDGEMENTS, PAIRS, PREFERRED, PROMPTS, stated
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, log_softmax
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex import DPOPolicyOptimizer, KTOPolicyOptimizer, load_model, save_model
from sklearn_codex.exact import NGramObjective, bigram_model

DIRECT = {
    "dpo": (DPOPolicyOptimizer, PAIRS, PREFERRED),
    "kto": (KTOPolicyOptimizer, JUDGED, JUDGEMENTS),
}
TEXTS = {"dpo": [("a b", "b"), ("b", "a")], "kto": ["a b", "b"]}
direct = pytest.mark.parametrize("name", DIRECT)


def without(given, candidate):
    """Which pairs or judgements are of others."""
    return (given != candidate).reshape(len(given), -1).all(axis=1)


@direct
def test_penalties_and_bans_are_those_of_the_objective(name):
    make, given, labels = DIRECT[name]
    penalty = np.zeros(9)
    penalty[[4, 6]] = 0.8, np.inf
    problem, fine = stated(5, penalty=penalty), without(given, 6)
    fitted = make(kl_coef=0.6).fit_objective(problem, given[fine], labels[fine])
    assert np.isneginf(fitted.token_log_prob_[6])
    within = log_softmax(problem.reference_log_prob[3:5] - penalty[3:5])
    assert_allclose(log_softmax(fitted.reference_log_prob_[3:5]), within)
    with pytest.raises(ValueError, match=r"1 candidate\(s\) which the reference .* such as 6, so"):
        fitted.fit_objective(problem, given, labels)


def test_dpo_finds_the_optimum_with_penalties_and_bans():
    penalty = np.zeros(9)
    penalty[[4, 6]] = 0.8, np.inf
    problem, pairs = stated(4, penalty=penalty), PAIRS[without(PAIRS, 6)]
    reward = problem.token_reward
    fitted = DPOPolicyOptimizer(kl_coef=0.6, C=1e7, tol=1e-12)
    fitted.fit_objective(problem, pairs, expit(reward[pairs[:, 0]] - reward[pairs[:, 1]]))
    assert_allclose(fitted.token_log_prob_, problem.optimum(), atol=1e-5)


@direct
def test_it_forgets_an_objective(name):
    make, given, labels = DIRECT[name]
    fitted = make(kl_coef=0.6).fit_objective(stated(), given, labels)
    assert fitted.token_log_prob_.shape == (9,)
    assert np.exp(fitted.token_log_prob_).sum() == pytest.approx(1.0)
    ratio = fitted.token_log_prob_ - fitted.reference_log_prob_
    assert_allclose(fitted.token_reward_, 0.6 * ratio)
    by_objective, texts = fitted.optimality_gap_, TEXTS[name]
    again, plain = fitted.fit(texts, [1, 0]), make(kl_coef=0.6).fit(texts, [1, 0])
    assert_array_equal(again.token_log_prob_, plain.token_log_prob_)
    assert_array_equal(again.margin(texts), plain.margin(texts))
    assert getattr(again, "optimality_gap_", None) != by_objective
    assert hasattr(again, "optimality_gap_") == hasattr(plain, "optimality_gap_")


@direct
def test_a_file_keeps_it(name, tmp_path):
    pytest.importorskip("skops")
    make, given, labels = DIRECT[name]
    problem = stated(8, log_linear=True, penalty=np.linspace(0, 1, 9))
    fitted = make(kl_coef=0.6).fit_objective(problem, given, labels)
    save_model(fitted, tmp_path / "policy.skops")
    again = load_model(tmp_path / "policy.skops")
    documents = np.eye(9) if name == "kto" else np.eye(9)[PAIRS]
    assert_array_equal(again.token_log_prob_, fitted.token_log_prob_)
    assert_array_equal(again.margin(documents), fitted.margin(documents))
    assert again._stated.gap(again.token_log_prob_) == fitted.optimality_gap_
    fitted.reference_log_prob_ = problem.reference_log_prob  # without what penalties make of it
    with pytest.raises(ValueError, match=r"reference_log_prob_ .* not that of its objective"):
        save_model(fitted, tmp_path / "bad.skops")


# What comes in

NO_ROWS = {
    "a number": (3, "got 3\\."),
    "none": (None, "got None\\."),
    "text": ("abc", "got 'abc'\\."),
    "a dict": ({"a": 1}, "got a dict\\."),
    "a generator": ((row for row in [0, 1]), "got a generator\\."),
    "no item": ([], "got none\\."),
    "three axes": (np.zeros((2, 2, 2), int), r"got an array of shape \(2, 2, 2\)\."),
    "ragged": ([[0], [1, 2]], "got lists of different lengths"),
}
NO_ROW = {  # in the place of one
    "beyond": (9, "got 9 at position 1"),
    "below": (-1, "got -1 at position 1"),
    "a float": (0.5, r"got 0\.5 at position 1"),
    "a word": ("a", "got 'a' at position 1"),
    "nan": (np.nan, "got nan at position 1"),
    "missing": (None, "got None at position 1"),
    "no row": (True, "got True at position 1"),
    "a fraction": (Fraction(1, 2), "got 1/2 at position 1"),
    "vast": (10**30, "got 1000000000000000000000000000000 at position 1"),
}
REMEDY = {
    "dpo": r"pairs \(n_pairs, 2\) .*Pass the rows of the two candidates of each pair\.$",
    "kto": r"rows \(n_judged,\) .*Pass the row of the candidate of each judgement\.$",
}


def refuses(name, given, match):
    make, _, _ = DIRECT[name]
    rule = r"\.fit_objective needs .* of rows of the objective, whole numbers from 0 to 8, "
    with pytest.raises(ValueError, match=make.__name__ + rule + match) as caught:
        make(kl_coef=0.6).fit_objective(stated(), given, [1, 0])
    caught.match(REMEDY[name])


@direct
@pytest.mark.parametrize("case", NO_ROWS)
def test_what_are_no_rows_at_all_is_said(name, case):
    given, match = NO_ROWS[case]
    refuses(name, given, match)


@direct
@pytest.mark.parametrize("case", NO_ROW)
def test_what_is_no_row_is_said(name, case):
    value, match = NO_ROW[case]
    rows = [0, value] if name == "kto" else [[1, 0], [0, value]]
    refuses(name, np.array(rows, dtype=object), match)
    if case != "no row":  # which numpy takes for the number 1 beside others
        refuses(name, rows, "got .* at position")


def test_pairs_of_another_number_are_no_pairs():
    for wrong in ([[0, 1, 2]], [0, 1], [[0], [1]]):
        refuses("dpo", wrong, "got an array of shape")
    refuses("kto", [[0, 1], [1, 2]], r"got an array of shape \(2, 2\)")


@direct
def test_rows_come_in_any_container_of_whole_numbers(name):
    make, given, labels = DIRECT[name]
    plain = make(kl_coef=0.6).fit_objective(stated(), given, labels).token_log_prob_
    frame = pd.Series(given, dtype="Int64") if name == "kto" else pd.DataFrame(given)
    for rows in (given.tolist(), given.astype(np.uint8), given.astype(object), frame):
        fitted = make(kl_coef=0.6).fit_objective(stated(), rows, labels)
        assert_array_equal(fitted.token_log_prob_, plain)


@direct
def test_masked_rows_are_refused(name):
    make, given, labels = DIRECT[name]
    masked = np.ma.masked_array(given, mask=given == 2)
    with pytest.raises(ValueError, match=r"fit_objective got a masked array as (rows|pairs) with"):
        make(kl_coef=0.6).fit_objective(stated(), masked, labels)


@direct
@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (["a"] * 2, "got 'a' at position 0"),
        ([1.0, None], "got None at position 1"),
        ([1.0, [2.0]], r"got \[2\.0\] at position 1"),
        ([1.0, 2j], "got 2j at position 1"),
        ({"a": 1}, r"got \{'a': 1\}\."),
        ("heavy", "got 'heavy'"),
    ],
)
def test_weights_that_are_no_numbers_are_said(name, weight, match):
    make, given, _ = DIRECT[name]
    rule = "sample_weight should be one number for each row, "
    with pytest.raises(ValueError, match=rule + match + ".* Pass numbers, or None for weights"):
        make(kl_coef=0.6).fit_objective(stated(), given[:2], [1, 0], sample_weight=weight)


@direct
def test_errors(name):
    make, given, labels = DIRECT[name]
    fitted = make(kl_coef=0.6)
    with pytest.raises(ValueError, match=r"got kl_coef=0\.6, but the objective has 0\.5"):
        fitted.fit_objective(stated(kl_coef=0.5), given, labels)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fitted.fit_objective(stated(), given[:3], [1, 0])
    model = bigram_model([[0.5, 0.5], [0.5, 0.5]], initial=[0.5, 0.5])
    other = NGramObjective.of_model(model, np.zeros(model.trie.n_events), max_length=2)
    with pytest.raises(TypeError, match=r"needs a CandidateObjective, such as .* got a NGramObj"):
        fitted.fit_objective(other, given, labels)


def test_errors_of_one():
    with pytest.raises(ValueError, match="pair 0 has candidates of the prompts 0 and 1"):
        DPOPolicyOptimizer(kl_coef=0.6).fit_objective(stated(), [(0, 3), (1, 2)], [1, 0])
    with pytest.raises(ValueError, match="needs desirable and undesirable documents in y, got one"):
        KTOPolicyOptimizer(kl_coef=0.6).fit_objective(stated(), [0, 1], [1, 1])


# Extremes


@direct
@pytest.mark.parametrize("log_linear", [False, True])
@pytest.mark.parametrize("settings", [{"C": 1e100}, {"C": 1e-100}, {"C": np.inf}], ids=str)
def test_the_ends_of_the_penalty(name, settings, log_linear):
    make, given, labels = DIRECT[name]
    fitted = make(kl_coef=0.6, **settings)
    problem = stated(9, log_linear=log_linear)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted.fit_objective(problem, given, labels)
    sums = np.bincount(PROMPTS, np.exp(fitted.token_log_prob_))
    assert_allclose(sums, problem.prompt_prob, rtol=1e-12)
    assert name == "dpo" or fitted.fixed_point_gap_ <= 1e-8
    assert settings["C"] > 1 or fitted.kl_ < 1e-4


def fit_at(name, log_linear, *strengths):
    """What is learned at each kl_coef, and the problem at the first."""
    make, given, labels = DIRECT[name]
    stating = [stated(9, log_linear=log_linear, kl_coef=b) for b in strengths]
    fits = [
        make(kl_coef=problem.kl_coef, tol=1e-10).fit_objective(problem, given, labels)
        for problem in stating
    ]
    sums = np.bincount(PROMPTS, np.exp(fits[0].token_log_prob_))
    assert_allclose(sums, stating[0].prompt_prob, rtol=1e-12)
    assert np.isfinite([fits[0].kl_, fits[0].optimality_gap_]).all()
    return stating[0], *fits


@direct
@pytest.mark.parametrize("log_linear", [False, True])
@pytest.mark.parametrize("kl_coef", [1e-100, 1e-20, 1e-11, 1e-9])
def test_next_to_no_kl_coef_leaves_the_best_candidate_of_each_prompt(name, kl_coef, log_linear):
    _, fitted, known = fit_at(name, log_linear, kl_coef, 1e-7)
    # One that is judged both ways keeps a probability of about kl_coef.
    assert_allclose(np.exp(fitted.token_log_prob_), np.exp(known.token_log_prob_), atol=1e-5)
    assert_allclose(fitted.token_reward_, known.token_reward_, atol=1e-5)
    assert name == "dpo" or fitted.fixed_point_gap_ <= 1e-8


@direct
@pytest.mark.parametrize("log_linear", [False, True])
@pytest.mark.parametrize("kl_coef", [1e8, 1e12, 1e100])
def test_a_vast_kl_coef_leaves_the_reference_and_its_reward(name, kl_coef, log_linear):
    problem, fitted, known = fit_at(name, log_linear, kl_coef, 1e6)
    assert_allclose(fitted.token_log_prob_, problem.start, atol=1e-7)
    assert_allclose(fitted.token_reward_, known.token_reward_, atol=1e-5)
    # The reward tends to one of mean 0 under the reference of each prompt.
    means = np.bincount(PROMPTS, np.exp(problem.start) * fitted.token_reward_)
    assert_allclose(means, 0.0, atol=1e-7)
