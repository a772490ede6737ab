"""What used to be an IndexError, a KeyError or numpy's own words names the value and the remedy."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    AnnotatorRewardModel,
    BootstrapRewardEnsemble,
    CandidatePolicy,
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    KTOPolicyOptimizer,
    ModelRatings,
    PlackettLuceModel,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RewardUncertainty,
    TiePreferenceModel,
    TokenCounter,
    UnigramLM,
    check_preferences,
    lab,
    length_controlled_win_rate,
    preference_path,
    stack_rankings,
)
from sklearn_codex._checks.numbers import (
    LOG_TOLERANCE,
    MOST_TOKENS,
    check_log_prob,
    check_sample_weight,
    check_tokens_at_once,
)
from sklearn_codex.datasets import make_preferences
from sklearn_codex.exact import (
    AdditiveObjective,
    CandidateObjective,
    EnumeratedObjective,
    EosObjective,
    NGramObjective,
    best_of_n_frontier,
    bigram_model,
    constrained_optimum,
    kl_reward_frontier,
)
from sklearn_codex.features import CachedEmbedder
from sklearn_codex.labels import convert_labels, expand_soft_labels, orient_pairs
from sklearn_codex.metrics import (
    annotator_accuracy,
    best_of_n_accuracy,
    fleiss_kappa,
    get_preference_scorer,
    pairwise_agreement,
    preference_accuracy,
    quantile_slices,
    sectioned_accuracy,
    spearman_correlation,
    win_rate,
)
from sklearn_codex.overoptimization import ConservativeReward, overoptimization_curve
from sklearn_codex.rules import BannedNGrams, BannedTokens, Pattern, TokenBudget

X = np.random.RandomState(0).normal(size=(8, 3)).round(1)
Y = np.array([1, 0, 1, 1, 0, 0, 1, 0])
LOG_P = np.log([0.5, 0.3, 0.2])
MIXED = [0, "a", 0, 1, 1, "b", "b", "a"]
TWICE = pd.DataFrame(np.ones((8, 2)), columns=["a", "a"])
LM = UnigramLM().fit([[1, 2, 1], [2, 1, 1]])
MODEL = PreferenceRewardModel().fit(X, Y)
VOTES = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "c")]
RATED = ModelRatings().fit(VOTES, [1, 1, 1, 0])
CANDIDATES = CandidateObjective(np.log([0.5, 0.5]), np.zeros(2), np.zeros(2, int))
BIGRAMS = bigram_model(np.full((3, 3), 1 / 3), np.full(3, 1 / 3))


def labels_of(model, **changes):
    y = Y.astype(object)
    for row, label in changes.items():
        y[int(row[1:])] = label
    return lambda: model().fit(X, y)


CASES = {
    "labels that are dates": (
        lambda: expand_soft_labels([("a", "b")], [datetime.date(2020, 1, 1)]),
        "y should be the probability.* got a date, such as datetime.date",
    ),
    "complex labels": (lambda: win_rate([1 + 2j, 0]), "got a complex, such as"),
    "a list as label": (
        lambda: preference_accuracy(np.array([1, [0], 1], object), [1, 2, 3]),
        r"y_true .* got a list, such as \[0\]",
    ),
    "ragged labels": (
        lambda: preference_accuracy([[1], [1, 0]], [1, 2]),
        "y_true should be an array, with one value for each row, got a list",
    ),
    "a missing label": (labels_of(PreferenceRewardModel, r4=pd.NA), "1 pair.* at position 4"),
    "a missing label of ties": (labels_of(TiePreferenceModel, r4=pd.NA), "1 pair.* at position 4"),
    "labels of two kinds": (
        labels_of(PreferenceRewardModel, r2="a"), "one kind in y, .*got 1 at position 0 and 'a'",
    ),
    "labels in a table": (lambda: PreferenceRewardModel().fit(X, TWICE), "should be a 1d array"),
    "grades in a table": (
        lambda: PlackettLuceModel().fit(X, TWICE), "columns have names of their own, got several",
    ),
    "weights in a table": (
        lambda: PreferenceRewardModel().fit(X, Y, sample_weight=TWICE),
        "sample_weight should be one column of numbers, got a DataFrame",
    ),
    "classes of two kinds": (
        lambda: PreferenceRewardModel().partial_fit(X, Y, classes=[0, "a"]), "not among the",
    ),
    "groups that are lists": (
        lambda: win_rate([1, 0], np.array([[1], {}, 0], object)[:2]),
        r"groups should hold names or numbers, but groups\[0\] is a list",
    ),
    "annotators that are missing": (
        lambda: AnnotatorRewardModel().fit(X, Y, annotators=["a", None] * 4),
        "annotators should name the annotator of each pair, but 4 of 8 are missing",
    ),
    "a part that is missing": (
        lambda: check_preferences(X, Y, Y, split=["train", None] * 4), "split should name",
    ),
    "votes that are lists": (
        lambda: pairwise_agreement(np.array([[1, []], [0, 1]], object)), r"votes\[1\] is a list",
    ),
    "labels that are arrays": (
        lambda: convert_labels(["A", np.ones(2)]), r"labels\[1\] is a ndarray",
    ),
    "names in a dict": (
        lambda: annotator_accuracy([[1, 1], [0, 0]], names={0: "x"}), r"2 annotators, got 1 in",
    ),
    "counts of unlike rows": (lambda: fleiss_kappa([[1], [1, 2]]), "counts should be an array"),
    "scores that are text": (
        lambda: spearman_correlation(["x", "y"], [1, 2]), "needs gold, an array of numbers, got",
    ),
    "scores that are bytes": (
        lambda: best_of_n_accuracy([[b"a", b"b"]]), "needs scores, an array of numbers",
    ),
    "no values": (lambda: quantile_slices([]), "quantile_slices got no values"),
    "too many bins": (lambda: quantile_slices([1, 2], 10**30), "more than 1,048,576"),
    "too many draws": (lambda: win_rate([1, 0], n_resamples=10**30), "n_resamples"),
    "subsets that are lists": (
        lambda: sectioned_accuracy([1, 0], np.array([["x"], 1, 2], object)[:2], {"s": ["x"]}),
        r"subset\[0\] is a list",
    ),
    "a section that is a number": (
        lambda: sectioned_accuracy([1], ["x"], {"s": 3}), "that of 's' is a int: 3",
    ),
    "infinite lengths": (
        lambda: length_controlled_win_rate([1, 0], [np.inf, 1.0]), "length_difference .* finite",
    ),
    "lengths that are missing": (
        lambda: length_controlled_win_rate([1, 0], [np.nan, 1.0]), "1 are NaN, the first at",
    ),
    "rows of unlike length": (
        lambda: orient_pairs([np.ones((2, 2)), np.ones((2, 3))], [0, 1]), "X should have rows",
    ),
    "a level that is a word": (
        lambda: RewardUncertainty().fit(X, Y).coef_interval("x"), r"in \(0, 1\), got 'x'",
    ),
    "a level of 2": (
        lambda: AnnotatorRewardModel(flip_rate="auto").fit(X, Y).flip_rate_interval(2),
        "needs confidence_level from 0 to 1, got 2",
    ),
    "many values of C": (lambda: preference_path(X, Y, Cs=10**30), "at most 10000 values"),
    "C that are words": (lambda: preference_path(X, Y, Cs=["x"]), "positive numbers, got"),
    "features to show": (lambda: MODEL.top_features("x"), "top_features needs n >= 1, an int"),
    "a reward that is none": (
        lambda: ConservativeReward([FrozenEstimator(TokenCounter().fit(["a"]))] * 2).reward(X),
        "models with reward.documents. or coef_, got a TokenCounter",
    ),
    "an infinite price of doubt": (
        lambda: ConservativeReward([MODEL, MODEL], k=np.inf).reward(X), "k >= 0 and by=",
    ),
    "rankings that are a number": (lambda: stack_rankings(3), "a list of rankings"),
    "a pattern that is a number": (lambda: Pattern(3)(["a"]), "'pattern' parameter of Pattern"),
    "a budget that is NaN": (lambda: TokenBudget(["a"], budget=np.nan)(["a"]), "'budget' param"),
    "tokens that are a number": (lambda: BannedTokens(3)(["a"]), "needs a list of tokens, got a"),
    "a model of another kind": (
        lambda: NGramObjective.of_model(LM), "needs a fitted model of n-grams, such as NGramLM",
    ),
    "a policy of text": (
        lambda: NGramObjective.of_model(BIGRAMS, max_length=2).kl("x"), "needs log_prob, an array",
    ),
    "rows of text": (lambda: bigram_model(["a"], [1.0]), "bigram_model needs probabilities, an a"),
    "a reward that is no function": (
        lambda: EnumeratedObjective(LOG_P, 3, 2), "needs reward, a function of counts",
    ),
    "no reward": (lambda: AdditiveObjective(LOG_P, None), "needs token_reward"),
    "half a start": (
        lambda: EnumeratedObjective(LOG_P, lambda n: n[:, 0], 2).optimum(n_starts=0.5),
        "optimum needs n_starts",
    ),
    "costs of text": (
        lambda: constrained_optimum(AdditiveObjective(LOG_P, np.ones(3)), ["x"], 1.0),
        "needs costs, an array of numbers",
    ),
    "no draws": (lambda: best_of_n_frontier([1.0, 2.0], []), "needs ns of shape"),
    "no points": (lambda: kl_reward_frontier(LOG_P, np.ones(3), kl_coefs=[]), "at least one"),
    "infinite points": (
        lambda: overoptimization_curve(LM, MODEL, MODEL, kl_coefs=[np.inf]), "finite kl_coefs",
    ),
    "weights that are NaN": (
        lambda: PreferenceRewardModel().fit(X, Y, sample_weight=Decimal("NaN")), "sample_weight",
    ),
    "too many documents": (
        lambda: make_preferences(10**30), "tokens in memory|n_pairs",
    ),
    "votes of other comparisons": (
        lambda: RATED.score(VOTES, [1, 0, 1]), r"inconsistent numbers of samples: \[4, 3\]",
    ),
    "no labels of pairs": (
        lambda: DPOPolicyOptimizer().fit([("a", "b")], []), "needs labels in y, got none",
    ),
    "no labels of documents": (
        lambda: KTOPolicyOptimizer().fit(["a", "b"], []), "needs labels in y, got none",
    ),
    "no votes": (lambda: ModelRatings().partial_fit(VOTES, []), "needs votes in y, got none"),
    "lists in a column": (
        lambda: PreferenceRewardModel().fit(pd.Series(list(np.ones((8, 2, 3)))), Y),
        r"needs a matrix, .* got Series of rows that differ .* numpy.stack\(list\(X\)\) makes",
    ),
    "a table as embedder": (
        lambda: CachedEmbedder(TWICE).fit(["a", "b"]), "needs an embedder, .*got a DataFrame",
    ),
    "vectors in columns of one name": (
        lambda: CachedEmbedder(np.ones).fit(TWICE), "columns have names of their own",
    ),
    "a series as token": (
        lambda: BannedNGrams([[pl.Series([1, 2])]])(["a b"]), "(?s)BannedNGrams has .*Give names",
    ),
    "vast features of candidates": (
        lambda: CandidatePolicy().fit(1e300 * X, Y, groups=[0, 0, 1, 1, 2, 2, 3, 3]),
        "leaves the range of floats.* too great. Scale the features",
    ),
    "a ragged mask": (
        lambda: lab.grpo_advantage(np.ones((2, 2)), [[1], [1, 1]], [0, 0]),
        r"grpo_advantage needs response_mask, an array whose rows have one length, got \[\[1\], ",
    ),
    "ragged responses": (
        lambda: lab.CandidateProblem(CANDIDATES, [[0, 1], [1]]), "CandidateProblem needs tokens",
    ),
    "ragged groups of responses": (
        lambda: lab.rloo_advantage(np.ones((2, 2)), np.ones((2, 2)), [[0], [0, 1]]), "needs index",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_message(case):
    call, message = CASES[case]
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_what_was_an_error_and_is_none():
    assert convert_labels([[]]).shape == (1, 0)
    assert lab.run_algorithm("rloo", "one-token", n_documents=8, n_groups=True).gaps.shape == (3,)
    # The share of ties is 0 and 1, as far as floats tell.
    for weight in (1e-90, 1e90):
        outcome, weights = np.array([1, 0, 0.5, 0.5]), np.array([1, 1, weight, weight])
        model = TiePreferenceModel().fit(X[:4], outcome, sample_weight=weights)
        assert np.isfinite(model.predict_proba(X[:4])).all()


@pytest.mark.parametrize("objective", [
    AdditiveObjective(LOG_P, np.ones(3), length=2),
    EosObjective(LOG_P, -np.ones(3), eos=2, max_length=3),
    EnumeratedObjective(LOG_P, lambda counts: counts[:, 0], length=2),
], ids=lambda objective: type(objective).__name__)  # fmt: skip
@pytest.mark.parametrize(("policy", "message"), [
    (LOG_P[:2], r"needs log_prob, a policy's .* shape \(3,\) without nan, got shape \(2,\)"),
    (LOG_P[:, None], r"got shape \(3, 1\)"),
    ([np.nan, -1, -1], "without nan, got nan"),
    (["a", "b", "c"], "needs log_prob, an array of numbers"),
    (None, "needs log_prob"),
])  # fmt: skip
def test_objectives_say_what_is_wrong_with_a_policy(objective, policy, message):
    for method in ("kl", "value", "expected_reward"):
        with pytest.raises((ValueError, TypeError), match=message):
            getattr(objective, method)(policy)


def test_groups_of_names_and_numbers_are_as_their_codes():
    codes = [0, 1, 0, 2, 2, 3, 3, 1]
    for fit in (
        lambda groups: PreferenceRewardModelCV(Cs=3).fit(X, Y, groups=groups).scores_,
        lambda groups: (
            BootstrapRewardEnsemble(n_estimators=2, random_state=0)
            .fit(X, Y, groups=groups)
            .predict_margin(X)
        ),
        lambda groups: RewardUncertainty(kind="sandwich").fit(X, Y, groups=groups).n_groups_,
        lambda groups: AnnotatorRewardModel().fit(X, Y, annotators=groups).coef_,
    ):
        assert_allclose(fit(MIXED), fit(codes))
    model = AnnotatorRewardModel().fit(X, Y, annotators=np.array(MIXED, object))
    assert model.annotators_.tolist() == [0, "a", 1, "b"]


def test_a_tie_of_no_weight_does_not_count():
    model = TiePreferenceModel().fit(X, Y)
    y = np.array([1, 0, 0.5, 1, 0, 0.5, 1, 0])
    counted = y != 0.5
    score = get_preference_scorer("neg_outcome_log_loss")
    assert score(model, X, y) == -np.inf
    assert score(model, X, y, counted.astype(float)) == score(model, X[counted], y[counted])
    assert model.score(X, y, counted.astype(float)) == model.score(X[counted], y[counted])


def test_whole_numbers_may_be_bool():
    assert len(LM.sample(True, random_state=0).indptr) == 2
    assert make_preferences(True, n_features=2, random_state=0).X.shape == (1, 2)
    assert_array_equal(make_preferences(4, n_prompts=10**30, random_state=0).groups, [0, 1, 2, 3])


def test_a_policy_evaluates_and_compares_what_can_be_counted():
    policy = ExactPolicyOptimizer(FrozenEstimator(LM), FrozenEstimator(MODEL)).fit([[1, 2, 1]])
    for call, message in (
        (lambda: policy.evaluate(n_samples=np.ones((2, 2))), "evaluate needs n_samples >= 1"),
        (lambda: policy.token_shift(0), "token_shift needs n >= 1, an integer, got 0"),
        (lambda: policy.frontier([]), "frontier needs"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_limits_of_sizes_weights_and_logarithms_are_where_they_say():
    check_tokens_at_once(1, MOST_TOKENS, remedy="")
    with pytest.raises(ValueError, match=f"limit of {MOST_TOKENS:,}"):
        check_tokens_at_once(1, MOST_TOKENS + 1, remedy="")
    for largest in (1e-100, 1e100):
        assert check_sample_weight([0.0, largest], [[0], [0]]).max() == largest
    for largest in (9e-101, 2e100):
        with pytest.raises(ValueError, match="a greatest value from 1e-100 to"):
            check_sample_weight([0.0, largest], [[0], [0]])
    assert check_log_prob([LOG_TOLERANCE, -1.0], subject="S")[0] == LOG_TOLERANCE == 1e-3
    with pytest.raises(ValueError, match=r"at most 0, got 0\.0011 at position 1"):
        check_log_prob([-1.0, 1.1e-3], subject="S")
