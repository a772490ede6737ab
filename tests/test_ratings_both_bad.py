"""Both bad as an outcome of its own: the formula by hand, derivatives, coverage, what connects."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import approx_fprime, minimize
from scipy.special import logsumexp

from sklearn_codex import ModelRatings
from sklearn_codex._ratings.both_bad import BothBadLoss
from sklearn_codex.exceptions import SeparationWarning

NAMES = np.array(["ant", "bee", "cat", "dog"], dtype=object)
WORDS = np.array(["b", "tie", "a", "both_bad"], dtype=object)


def draw(seed, n=400, *, spread=0.0, log_tie=-0.5, log_bad=-0.3, theta=(-0.9, -0.2, 0.3, 0.8)):
    """Names, votes and voters, who move all ratings of models in ways of their own."""
    rng = np.random.default_rng(seed)
    voter = rng.integers(40, size=n)
    own = np.asarray(theta) + spread * rng.normal(size=(40, 4))
    a = rng.integers(4, size=n)
    b = (a + rng.integers(1, 4, size=n)) % 4
    one, other = own[voter, a], own[voter, b]
    # As among two models, a tie of both, and one competitor more.
    utility = np.column_stack([other, log_tie + (one + other) / 2, one, np.full(n, log_bad)])
    drawn = (utility + rng.gumbel(size=(n, 4))).argmax(axis=1)
    return np.column_stack([NAMES[a], NAMES[b]]), WORDS[drawn], voter


def test_two_models_have_the_shares_of_outcomes():
    won, tied, lost, bad = 6.0, 3.0, 2.0, 4.0
    X, y = [("a", "b")] * 4, ["a", "tie", "b", "tie (bothbad)"]
    model = ModelRatings("both-bad", alpha=0).fit(X, y, sample_weight=[won, tied, lost, bad])
    assert model.classes_.tolist() == ["a", "b", "both_bad", "tie"]
    assert_allclose(
        model.predict_proba([("a", "b")])[0], np.array([won, lost, bad, tied]) / 15, rtol=1e-6
    )
    assert_allclose(model.ratings_ @ [1, -1], np.log(won / lost), rtol=1e-6)
    assert model.tie_parameter_ == pytest.approx(tied / np.sqrt(won * lost))
    assert model.both_bad_odds_ == pytest.approx(bad / np.sqrt(won * lost))
    assert model.predict([("a", "b"), ("b", "a")]).tolist() == ["a", "b"]
    assert model.score(X, y) == 0.5 * 0.5 + 0.25  # half a point of a tie and of both bad


def test_derivatives_are_those_of_finite_differences():
    rng = np.random.default_rng(0)
    design = rng.normal(size=(30, 3))
    level = rng.normal(size=(30, 3))
    weight, outcome = rng.uniform(0.5, 2, size=30), rng.integers(4, size=30)
    matrices = sparse.csr_array(design), sparse.csr_array(level)
    loss = BothBadLoss(*matrices, outcome, weight, penalty=np.array([0.3, 0.0, 2.0]))
    at = rng.normal(size=5)

    def by_hand(w):
        m, low = design @ w[:3], level @ w[:3]
        utility = np.array([-m / 2, np.full(30, w[3]), m / 2, w[4] - low])
        chosen = utility[outcome, np.arange(30)] - logsumexp(utility, axis=0)
        return -weight @ chosen + 0.5 * (0.3 * w[0] ** 2 + 2 * w[2] ** 2)

    assert loss.at(at).value == pytest.approx(by_hand(at))
    gradient, curvature = loss.derivatives(loss.at(at))
    assert_allclose(gradient, approx_fprime(at, by_hand, 1e-6), rtol=1e-4, atol=1e-4)
    hessian = approx_fprime(at, lambda w: loss.derivatives(loss.at(w))[0], 1e-6)
    assert_allclose(
        [curvature.product(unit)[0] for unit in np.eye(5)], hessian, rtol=1e-4, atol=1e-4
    )
    assert_allclose(curvature.diagonal(), np.diag(hessian), rtol=1e-4, atol=1e-4)
    assert_allclose(curvature.product(at)[1], loss.predictors(at))


def test_the_loss_of_the_docstring_is_what_is_least():
    X, y, _ = draw(1, 120)
    rng = np.random.default_rng(2)
    style, topic, weight = rng.normal(size=120), rng.normal(size=120), rng.uniform(0.5, 2, 120)
    rows = np.column_stack([X, style, topic]).astype(object)
    model = ModelRatings(
        "both-bad", alpha=0.4, topics=3, topic_alpha=0.7, position_bias=True, tol=1e-10
    ).fit(rows, y, sample_weight=weight)
    a, b = (np.searchsorted(NAMES.astype(str), side.astype(str)) for side in X.T)
    centred = topic - np.average(topic, weights=weight)
    outcome = np.array([WORDS.tolist().index(word) for word in y])

    def loss(w):
        own = w[:4] + np.outer(centred, w[4:8])
        one, other = own[np.arange(120), a], own[np.arange(120), b]
        margin = one - other + w[8] * style + w[9]
        low = (one + other) / 2
        utility = np.array([-margin / 2, np.full(120, w[10]), margin / 2, w[11] - low])
        chosen = utility[outcome, np.arange(120)] - logsumexp(utility, axis=0)
        return -weight @ chosen + 0.2 * w[:4] @ w[:4] + 0.35 * w[4:8] @ w[4:8]

    best = minimize(loss, np.zeros(12), options={"gtol": 1e-8}).x
    assert_allclose(model.ratings_, best[:4], atol=1e-5)
    assert_allclose(model.topic_coef_[:, 0], best[4:8], atol=1e-5)
    assert_allclose([model.style_coef_[0], model.position_bias_], best[8:10], atol=1e-5)
    assert_allclose([model.tie_parameter_, model.both_bad_odds_], np.exp(best[10:]), rtol=1e-4)
    assert_allclose(model.predict_proba(rows).sum(axis=1), 1)


def test_what_no_vote_says_has_no_part():
    X, y, voter = draw(3)
    davidson, both = ModelRatings("davidson"), ModelRatings("both-bad")
    for without, y_here in (("bad", np.where(y == "both_bad", "tie", y)), ("ties", y)):
        keep = y_here != "tie" if without == "ties" else np.ones(len(y), dtype=bool)
        both.fit(X[keep], y_here[keep], groups=voter[keep])
        if without == "bad":
            davidson.fit(X, y_here, groups=voter)
            assert_allclose(both.ratings_, davidson.ratings_, atol=1e-6)
            assert_allclose(both.covariance_, davidson.covariance_, atol=1e-8)
            assert both.both_bad_odds_ == 0
            assert_allclose(both.predict_proba(X[:5])[:, [0, 1, 3]], davidson.predict_proba(X[:5]))
        else:
            assert both.tie_parameter_ == 0
            assert_array_equal(both.predict_proba(X[:5])[:, 3], 0)
            assert np.isfinite(both.rating_std_).all()


def test_both_bad_is_a_tie_to_other_models_of_ties():
    X, y, _ = draw(4)
    model = ModelRatings("rao-kupper").fit(X, y)
    same = ModelRatings("rao-kupper").fit(X, np.where(y == "both_bad", "tie", y))
    assert_allclose(model.ratings_, same.ratings_)
    assert model.both_bad_odds_ is None


def test_the_covariance_is_that_of_fits_without_each_voter():
    X, y, voter = draw(5, 800, spread=0.7)
    model = ModelRatings("both-bad", random_state=0).fit(X, y, groups=voter)
    left = [
        ModelRatings("both-bad").fit(X[voter != g], y[voter != g]).ratings_ - model.ratings_
        for g in np.unique(voter)
    ]
    exact = (1 - 1 / len(left)) * np.transpose(left) @ left
    assert_allclose(model.covariance_, exact, rtol=0.1, atol=0.03 * np.diag(exact).mean())


def test_intervals_by_voter_hold_as_often_as_they_say():
    # Ratings of one size for all, so that tastes leave the truth at 0.
    held = []
    for seed in range(50):
        X, y, voter = draw(seed, 500, spread=0.8, theta=np.zeros(4))
        low, high = ModelRatings("both-bad").fit(X, y, groups=voter).rating_interval().T
        held.append((low <= 0) & (high >= 0))
    assert 0.88 <= np.mean(held) <= 0.99  # four standard errors below .95


def test_ratings_are_nearer_to_the_truth_by_what_is_bad():
    truth = np.array([-0.9, -0.2, 0.3, 0.8])
    errors = {"both-bad": [], "davidson": []}
    for seed in range(20):
        X, y, _ = draw(seed, 300, log_bad=1.5)
        for ties, rows in (("both-bad", slice(None)), ("davidson", y != "both_bad")):
            ratings = ModelRatings(ties).fit(X[rows], y[rows]).ratings_
            errors[ties].append(((ratings - truth) ** 2).mean())
    assert np.mean(errors["both-bad"]) < 0.8 * np.mean(errors["davidson"])


def test_what_is_bad_connects_models_that_never_meet():
    X = [("a", "b"), ("b", "a"), ("y", "z"), ("z", "y"), ("a", "b"), ("y", "z"), ("z", "y")]
    y = ["a", "a", "a", "a", "both_bad", "both_bad", "both_bad"]
    with pytest.raises(ValueError, match="2 sets of models"):
        ModelRatings("davidson", alpha=0).fit(X, y)
    model = ModelRatings("both-bad", alpha=0).fit(X, y)
    assert not model.separated_.any()
    # 2 of 4 against 1 of 3 bad: those of whom more are bad are rated lower, by the odds.
    odds = {"a": 1 / 2, "y": 2 / 2}
    level = np.log(odds["y"] / odds["a"])
    assert_allclose(model.ratings_, np.array([1, 1, -1, -1]) * level / 2, atol=1e-6)
    with pytest.warns(SeparationWarning, match="'w' has won nothing against the others"):
        model = ModelRatings("both-bad", alpha=0).fit([*X, ("w", "a")], [*y, "both_bad"])
    assert model.ratings_[model.models_ == "w"] == -np.inf


def test_batches_give_what_all_at_once_gives():
    X, y, voter = draw(6, 200)
    whole = ModelRatings("both-bad").fit(X, y, groups=voter)
    model = ModelRatings("both-bad")
    for part in np.array_split(np.arange(200), 3):
        model.partial_fit(X[part], y[part], groups=voter[part])
    assert_allclose(model.ratings_, whole.ratings_, atol=1e-6)
    assert_allclose(model.covariance_, whole.covariance_, atol=1e-8)
    assert model.both_bad_odds_ == pytest.approx(whole.both_bad_odds_)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([("a", "b")] * 2, [1, 0], "votes in words, 'a', 'b', 'tie' and 'both_bad'.* got 1"),
        (np.eye(3), ["a", "b", "both_bad"], "needs names of models in X"),
        ([("a", "b")] * 2, ["tie", "both_bad"], "ties and both bad only"),
    ],
)
def test_what_is_no_vote_is_told(X, y, message):
    with pytest.raises(ValueError, match=message):
        ModelRatings("both-bad").fit(X, y)
