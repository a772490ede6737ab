"""Who wrote a response, as a nuisance of the reward: the objective, what is left, what is told."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    BootstrapRewardEnsemble,
    PairsWithLength,
    PreferenceRewardModel,
    RewardUncertainty,
)
from sklearn_codex._reward.author_terms import without_last

NAMES = np.array(["ann", "bob", "cid"])
LIKED = np.array([0.9, 0.0, -0.9])


def draw(n=600, seed=0):
    """Pairs with what a response says, and a habit of words that tells nothing but its author."""
    rng = np.random.default_rng(seed)
    a = rng.integers(3, size=n)
    b = (a + rng.integers(1, 3, size=n)) % 3
    content, noise = rng.normal(size=n), 0.3 * rng.normal(size=n)
    habit = LIKED[a] - LIKED[b] + noise
    y = (rng.uniform(size=n) < expit(LIKED[a] - LIKED[b] + content)).astype(float)
    return np.column_stack([content, habit]), y, NAMES[np.column_stack([a, b])]


def indicators(authors):
    return (authors[:, :1] == NAMES).astype(float) - (authors[:, 1:] == NAMES)


def test_the_objective_of_the_docstring_is_what_is_least():
    X, y, authors = draw(80)
    weight = np.random.default_rng(1).uniform(0.5, 2, size=80)
    model = PreferenceRewardModel(0.7, author_C=2.5, position_bias=True, control_length=True)
    pairs = PairsWithLength(X, X.sum(axis=1))
    model.fit(pairs, y, sample_weight=weight, authors=authors)
    d = X.sum(axis=1) / model.length_scale_
    who = indicators(authors)

    def loss(w):
        m = X @ w[:2] + w[2] + w[3] * d + w[4] * np.tanh(d) + who @ w[5:]
        fit = -0.7 * weight @ (y * log_expit(m) + (1 - y) * log_expit(-m))
        return fit + 0.5 * w[:2] @ w[:2] + 0.5 * 0.7 / 2.5 * w[5:] @ w[5:]

    best = minimize(loss, np.zeros(8), options={"gtol": 1e-9}).x
    assert_allclose(model.coef_[0], best[:2], atol=1e-5)
    assert_allclose([model.position_bias_, *model.length_coef_], best[2:5], atol=1e-4)
    assert_allclose(model.author_coef_, best[5:], atol=1e-5)
    assert_array_equal(model.authors_, NAMES)
    margin = X @ best[:2] + best[2] + best[3] * d + best[4] * np.tanh(d)
    assert_allclose(model.decision_function(pairs), margin, atol=1e-4)  # without who wrote it
    assert_allclose(model.reward(X), X @ best[:2], atol=1e-4)


def test_what_only_tells_the_author_leaves_the_reward():
    X, y, authors = draw(4000)
    plain = PreferenceRewardModel(C=10).fit(X, y)
    net = PreferenceRewardModel(C=10, author_C=10).fit(X, y, authors=authors)
    assert plain.coef_[0, 1] > 0.7
    assert abs(net.coef_[0, 1]) < 0.3
    assert_allclose(net.coef_[0, 0], 1, atol=0.15)
    assert_allclose(net.author_coef_, LIKED, atol=0.3)
    assert not len(plain.authors_)
    # Weak terms tell little, so that the reward is as without them.
    weak = PreferenceRewardModel(C=10, author_C=1e-9).fit(X, y, authors=authors)
    assert_allclose(weak.coef_, plain.coef_, atol=1e-4)


def test_standard_errors_know_that_authors_are_unknown():
    X, y, authors = draw(300)
    model = PreferenceRewardModel(2.0, author_C=3.0).fit(X, y, authors=authors)
    whole = np.hstack([X, indicators(authors)])
    p = expit(whole @ np.append(model.coef_[0], model.author_coef_))
    information = whole.T @ ((p * (1 - p))[:, None] * whole)
    information += np.diag([1 / 2.0, 1 / 2.0, 1 / 3.0, 1 / 3.0, 1 / 3.0])
    expected = np.sqrt(np.diag(np.linalg.inv(information)))[:2]
    _, std = model.predict_margin(np.eye(2), return_std=True)
    assert_allclose(std, expected, rtol=1e-6)
    assert_allclose(without_last(information, 3), np.linalg.inv(np.linalg.inv(information)[:2, :2]))


@pytest.mark.parametrize("uncertain", [RewardUncertainty, BootstrapRewardEnsemble])
def test_uncertainty_from_pairs_alone_is_refused(uncertain):
    X, y, authors = draw(100)
    model = FrozenEstimator(PreferenceRewardModel().fit(X, y, authors=authors))
    with pytest.raises(ValueError, match="fitted with authors of responses, which pairs alone"):
        uncertain(model).fit(X, y)


def test_later_fits_start_from_the_reward_and_forget_authors():
    X, y, authors = draw(300)
    model = PreferenceRewardModel(warm_start=True).fit(X, y, authors=authors)
    before = model.coef_.copy()
    assert_allclose(model.fit(X, y, authors=authors).coef_, before, atol=1e-6)
    model.fit(X, y)
    assert not len(model.author_coef_)
    assert_allclose(model.coef_, PreferenceRewardModel().fit(X, y).coef_, atol=1e-6)
    stream = PreferenceRewardModel().partial_fit(X, y)
    assert not len(stream.authors_)


def test_text_and_names_of_authors_in_frames():
    pd = pytest.importorskip("pandas")
    pairs = [("good one", "bad"), ("bad", "good"), ("good", "bad two"), ("bad", "one")]
    authors = pd.DataFrame({"a": ["x", "y", "x", "y"], "b": ["y", "x", "z", "z"]})
    model = PreferenceRewardModel().fit(pairs, [1, 0, 1, 0], authors=authors)
    assert model.authors_.tolist() == ["x", "y", "z"]
    assert abs(model.author_coef_.sum()) < 1e-6


@pytest.mark.parametrize(
    ("authors", "message"),
    [
        ([["a"], ["b"]], r"authors of shape \(2, 2\).*got \(2, 1\)"),
        ([["a", "b"], ["a", None]], "1 of 2 lack one, the first at position 1"),
    ],
)
def test_authors_of_both_are_needed(authors, message):
    with pytest.raises(ValueError, match=message):
        PreferenceRewardModel().fit(np.eye(2), [0, 1], authors=authors)
