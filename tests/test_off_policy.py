"""The value of a policy from what others chose: what it is, how sure, and when there is none."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, softmax
from scipy.stats import binom, t

from sklearn_codex import CandidatePolicy
from sklearn_codex.exceptions import OverlapWarning
from sklearn_codex.metrics import off_policy_value

METHODS = ("ips", "snips", "dr")
N_CANDIDATES = 4


def problem(n_prompts, rng, tilt=1.0):
    """Logging policy, policy and expected outcome of the candidates of prompts."""
    quality, habit = rng.standard_normal((2, n_prompts, N_CANDIDATES))
    logging = softmax(0.7 * habit, axis=1)
    policy = softmax(tilt * quality + 0.3 * habit, axis=1)
    return logging, policy, quality + rng.standard_normal((n_prompts, 1))


def choose(probability, rng):
    """Draw a candidate of each row of probabilities."""
    below = np.cumsum(probability, axis=1) < rng.random((len(probability), 1))
    return np.minimum(below.sum(axis=1), N_CANDIDATES - 1)


def logged_value(method, n_prompts, each, rng):
    """The estimate from outcomes of so many choices of each prompt, by a wrong model for dr."""
    logging, policy, mean = problem(n_prompts, rng)
    groups = np.repeat(np.arange(n_prompts), each)
    chosen = choose(logging[groups], rng)
    outcome = mean[groups, chosen] + rng.standard_normal(len(groups))
    more = {}
    if method == "dr":
        model = mean + 0.5 * np.sin(3 * mean)
        more = {
            "predicted": model[groups, chosen],
            "predicted_value": (policy * model).sum(axis=1)[groups],
        }
    return off_policy_value(
        outcome, policy[groups, chosen], logging[groups, chosen], groups, method=method, **more
    )


# Weights 2, .5, 1, 1, in three groups.
OUTCOMES = np.array([1.0, 0.0, 3.0, 2.0])
POLICY = np.array([0.8, 0.1, 0.3, 0.5])
LOGGED = np.array([0.4, 0.2, 0.3, 0.5])
GROUPS = np.array(["a", "a", "b", "c"])


def test_values_by_hand():
    weight = np.array([2.0, 0.5, 1.0, 1.0])
    settings = {"groups": GROUPS, "min_effective_size": 2}
    ips = off_policy_value(OUTCOMES, POLICY, LOGGED, method="ips", **settings)
    assert_allclose(ips.value, (2 + 0 + 3 + 2) / 4)
    snips = off_policy_value(OUTCOMES, POLICY, LOGGED, **settings)
    assert_allclose(snips.value, 7 / 4.5)
    predicted, expected = np.array([1.0, 1.0, 2.0, 2.0]), np.array([1.5, 1.5, 2.0, 1.0])
    dr = off_policy_value(
        OUTCOMES, POLICY, LOGGED, method="dr", predicted=predicted, predicted_value=expected,
        **settings,
    )  # fmt: skip
    assert_allclose(dr.value, (1.5 + (1.5 - 0.5) + (2.0 + 1.0) + 1.0) / 4)
    for estimate in (ips, snips, dr):
        assert_allclose(estimate.effective_sample_size, 4.5**2 / (2.5**2 + 1 + 1))
        assert_allclose(estimate.mean_weight, 4.5 / 4)
        assert_allclose(estimate.max_weight_share, 2.5 / 4.5)
        assert (estimate.n_rows, estimate.n_groups, estimate.refused) == (4, 3, "")
    # The jackknife over groups, each left out by hand, of the ratio.
    left = np.array([(3 + 2) / 2, (2 + 0 + 2) / 3.5, (2 + 0 + 3) / 3.5])
    error = np.sqrt(2 / 3 * np.sum((left - 7 / 4.5) ** 2))
    assert_allclose(snips.standard_error, error)
    parts = np.array([4.25, 1.0, 1.0])
    effective = max(2.0, parts.sum() ** 2 / (parts @ parts))
    assert effective == 2.0
    factor = np.sqrt((1 - 1 / effective) / (1 - 1 / 3))
    assert_allclose(snips.high - snips.value, t.ppf(0.975, effective - 1) * factor * error)
    assert weight.sum() == 4.5


def test_a_policy_that_is_the_logging_one_has_the_mean():
    rng = np.random.default_rng(0)
    outcome, probability = rng.random(60), rng.uniform(0.1, 0.9, 60)
    for method in ("ips", "snips"):
        estimate = off_policy_value(outcome, probability, probability, method=method)
        assert_allclose(estimate.value, outcome.mean())
        assert_allclose(estimate.standard_error, outcome.std(ddof=1) / np.sqrt(60))


def test_rows_twice_in_one_group_are_no_more_sure():
    rng = np.random.default_rng(1)
    outcome, policy, logged = rng.random(80), rng.uniform(0.3, 0.6, 80), np.full(80, 0.45)
    one = off_policy_value(outcome, policy, logged)
    groups = np.tile(np.arange(80), 2)
    twice = off_policy_value(np.tile(outcome, 2), np.tile(policy, 2), np.tile(logged, 2), groups)
    for name in ("value", "low", "high", "effective_sample_size"):
        assert_allclose(twice[name], one[name])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n_prompts", "each"), [(60, 4), (250, 1)])
def test_intervals_cover(method, n_prompts, each):
    _, policy, mean = problem(200_000, np.random.default_rng(99))
    truth, n_draws = (policy * mean).sum(axis=1).mean(), 400
    rng = np.random.default_rng(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverlapWarning)
        drawn = [logged_value(method, n_prompts, each, rng) for _ in range(n_draws)]
    given = [estimate for estimate in drawn if not estimate.refused]
    assert len(given) >= 0.9 * n_draws
    covered = sum(estimate.low <= truth <= estimate.high for estimate in given)
    assert binom.cdf(covered, len(given), 0.93) > 1e-3
    assert binom.sf(covered - 1, len(given), 0.97) > 1e-3


def test_doubly_robust_estimates_vary_less():
    rng = np.random.default_rng(3)
    errors = {method: logged_value(method, 300, 1, rng).standard_error for method in METHODS}
    assert errors["dr"] < errors["snips"] < errors["ips"]


# When there is no value


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"logged_prob": None}, "needs logged_prob, the propensities, got None"),
        ({"logged_prob": np.array([0.5, 0.0, 0.5, 0.5])}, r"logged_prob\[1\] is 0"),
        ({"logged_prob": np.array([0.5, 0.5, 2.0, 0.5])}, r"logged_prob\[2\] is 2"),
        ({"logged_prob": np.array([0.5, 0.5])}, "there are 4 pairs, got 2"),
        ({"policy_prob": np.array([0.5, -0.1, 0.5, 0.5])}, r"policy_prob\[1\] is -0.1"),
        ({"outcomes": np.array([0.5, np.nan, 0.5, 0.5])}, "1 are NaN"),
        ({"outcomes": np.array([0.5, np.inf, 0.5, 0.5])}, "1 are infinite"),
        (
            dict.fromkeys(["outcomes", "policy_prob", "logged_prob"], np.empty(0)),
            "off_policy_value needs outcomes .*got none",
        ),
        ({"method": "dr"}, "needs predicted and predicted_value"),
        ({"predicted": np.ones(4)}, "got predicted, which method='snips' does not use"),
    ],
)
def test_what_is_no_log_is_an_error(changed, words):
    given = {"outcomes": OUTCOMES, "policy_prob": POLICY, "logged_prob": LOGGED, **changed}
    with pytest.raises(ValueError, match=words):
        off_policy_value(**given)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (np.zeros(200), "can choose none of the logged responses"),
        (np.where(np.arange(200) < 10, 0.9, 1e-6), "as good as 10 groups"),
        (np.full(200, 0.2), "about 60% of what the policy chooses is never logged"),
        (np.full(200, 0.9), "propensities are too small"),
    ],
)
def test_a_value_is_refused_where_weights_cannot_give_one(policy, words):
    with pytest.warns(OverlapWarning, match=words):
        estimate = off_policy_value(np.ones(200), policy, np.full(200, 0.5))
    assert np.isnan([estimate.value, estimate.low, estimate.high, estimate.standard_error]).all()
    assert words in estimate.refused


def test_estimated_propensities_look_healthy_and_are_wrong():
    # What was shown depends on a quality that the log does not have.
    rng = np.random.default_rng(4)
    quality = rng.standard_normal(5000)
    shown = rng.random(5000) < expit(2 * quality)  # the longer of two responses
    outcome = np.where(shown, quality, -quality)
    policy = np.full(5000, 0.5)
    right = off_policy_value(
        outcome, policy, np.where(shown, expit(2 * quality), expit(-2 * quality))
    )
    rates = np.where(shown, shown.mean(), 1 - shown.mean())
    wrong = off_policy_value(outcome, policy, rates)
    assert wrong.refused == ""
    assert abs(wrong.mean_weight - 1) < 0.01
    assert wrong.effective_sample_size > 4900
    assert wrong.low > 0.5  # the truth is 0
    assert abs(right.value) < 4 * right.standard_error


# With all candidates known


def rows_of(n_prompts, rng):
    """Rows of all candidates with features, propensities and outcomes of the chosen."""
    X = rng.standard_normal((n_prompts * N_CANDIDATES, 2))
    logging = softmax(X[:, 1].reshape(n_prompts, -1) / 2, axis=1)
    chosen = choose(logging, rng)
    y = np.full(len(X), np.nan)
    position = np.arange(n_prompts) * N_CANDIDATES + chosen
    y[position] = X[position, 0] + rng.standard_normal(n_prompts)
    return X, np.repeat(np.arange(n_prompts), N_CANDIDATES), logging.ravel(), y


class First:
    """A reward that is the first feature."""

    def __call__(self, X):
        return X[:, 0]


@pytest.mark.parametrize("method", METHODS)
def test_a_candidate_policy_is_valued_by_its_own_probabilities(method):
    X, groups, logging, y = rows_of(300, np.random.default_rng(5))
    policy = CandidatePolicy(First(), kl_coef=1.5).fit(X, groups=groups)
    model = 0.8 * X[:, 0] if method == "dr" else None
    estimate = policy.off_policy_value(X, y, logging, groups, method=method, predicted=model)
    choice, chosen = policy.predict_choice(X, groups=groups), ~np.isnan(y)
    more = {}
    if method == "dr":
        more = {"predicted": model[chosen], "predicted_value": np.bincount(groups, choice * model)}
    same = off_policy_value(y[chosen], choice[chosen], logging[chosen], method=method, **more)
    for name in ("value", "low", "high", "effective_sample_size"):
        assert_allclose(estimate[name], same[name])
    truth = policy.score(X, X[:, 0], groups=groups)
    assert abs(estimate.value - truth) < 4 * estimate.standard_error
    assert estimate.never_logged == 0
    clustered = policy.off_policy_value(
        X, y, logging, groups, method=method, predicted=model, clusters=groups // 2
    )
    assert clustered.n_groups == 150


def test_what_is_never_logged_is_known_exactly_and_refused():
    X, groups, logging, y = rows_of(100, np.random.default_rng(6))
    policy = CandidatePolicy(First()).fit(X, groups=groups)
    # The first candidate of each prompt is never shown, the others as often as before.
    first = np.arange(len(X)) % N_CANDIDATES == 0
    logging = np.where(first, 0.0, logging)
    logging /= np.bincount(groups, logging)[groups]
    kept = np.isin(groups, groups[~np.isnan(y) & ~first])
    X, y, logging, groups = X[kept], y[kept], logging[kept], groups[kept]
    with pytest.warns(OverlapWarning, match="that the logging policy never does"):
        estimate = policy.off_policy_value(X, y, logging, groups)
    choice = policy.predict_choice(X, groups=groups)
    assert_allclose(estimate.never_logged, choice[logging == 0].sum() / len(np.unique(groups)))
    assert np.isnan(estimate.value)
    # A policy that does not choose them has a value.
    banned = np.where(logging == 0, -np.inf, 0.0)
    allowed = policy.off_policy_value(X, y, logging, groups, banned)
    assert np.isfinite(allowed.value)


def test_logs_that_do_not_fit_together_are_errors():
    X, groups, logging, y = rows_of(50, np.random.default_rng(7))
    policy = CandidatePolicy(First()).fit(X, groups=groups)
    with pytest.raises(ValueError, match=r"add up to 1 in each choice, got 2 for that of row 0"):
        policy.off_policy_value(X, y, 2 * logging, groups)
    with pytest.raises(ValueError, match="several for the group of row 0"):
        policy.off_policy_value(X, np.ones(len(X)), logging, groups)
    with pytest.raises(ValueError, match="rows of NaN"):
        policy.off_policy_value(X, np.full(len(X), np.nan), logging, groups)
    with pytest.raises(ValueError, match="needs logged_prob, the propensities, got None"):
        policy.off_policy_value(X, y, None, groups)
    with pytest.raises(ValueError, match="shape"):
        policy.off_policy_value(X, y[:5], logging, groups)
    chosen = int(np.flatnonzero(~np.isnan(y))[0])
    never = logging.copy()
    other = chosen + 1 if groups[chosen + 1] == groups[chosen] else chosen - 1
    never[other] += never[chosen]
    never[chosen] = 0.0
    with pytest.raises(ValueError, match="whose logged_prob is 0"):
        policy.off_policy_value(X, y, never, groups)
