"""How sure ratings are: the sandwich by its formula, coverage, sets of ranks, p-values."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from scipy.stats import t

from sklearn_codex import ModelRatings, PreferenceRewardModel, RewardUncertainty
from sklearn_codex._ratings.uncertainty import holm

NAMES = np.array([f"m{i}" for i in range(8)], dtype=object)


def draw_clustered(rng, theta, n_voters=40, n_each=15, spread=1.0):
    """Votes of people with a taste of their own, which all their votes share."""
    voter = np.repeat(np.arange(n_voters), n_each)
    taste = spread * rng.normal(size=(n_voters, len(theta)))
    a = rng.integers(len(theta), size=len(voter))
    b = (a + rng.integers(1, len(theta), size=len(voter))) % len(theta)
    margin = theta[a] - theta[b] + taste[voter, a] - taste[voter, b]
    y = (rng.uniform(size=len(voter)) < expit(margin)).astype(float)
    return np.column_stack([NAMES[a], NAMES[b]]), y, voter


def indicators(X, models):
    codes = np.searchsorted(models.astype(str), X.astype(str))
    return np.eye(len(models))[codes[:, 0]] - np.eye(len(models))[codes[:, 1]]


@pytest.fixture(scope="module")
def votes():
    return draw_clustered(np.random.default_rng(0), np.linspace(-1, 1, 5))


def test_the_covariance_is_what_leaving_out_each_voter_does_by_one_newton_step(votes):
    X, y, voter = votes
    model = ModelRatings(alpha=0.1, random_state=0).fit(X, y, groups=voter)
    design = indicators(X, model.models_)
    p = expit(design @ model.ratings_)
    information = design.T @ ((p * (1 - p))[:, None] * design) + 0.1 * np.eye(5)
    moves = []
    for group in np.unique(voter):
        here = voter == group
        part = design[here].T @ ((p * (1 - p))[here, None] * design[here])
        moves.append(np.linalg.solve(information - part, design[here].T @ (y - p)[here]))
    moves = np.array(moves) - np.mean(moves, axis=1)[:, None]
    assert_allclose(model.covariance_, (39 / 40) * moves.T @ moves, rtol=1e-6, atol=1e-12)
    assert_allclose(model.rating_std_**2, np.diag(model.covariance_))
    assert model.n_groups_ == 40
    assert_allclose(model.covariance_.sum(axis=0), 0, atol=1e-10)


def test_differences_are_as_sure_as_margins_of_the_reward_model(votes):
    X, y, voter = votes
    model = ModelRatings(alpha=0.1, random_state=0).fit(X, y, groups=voter)
    same = RewardUncertainty(PreferenceRewardModel(C=10, tol=1e-10), kind="sandwich")
    same.fit(indicators(X, model.models_), y, groups=voter)
    contrast = np.array([[1.0, -1, 0, 0, 0]])
    margin, std = same.predict_margin(contrast, return_std=True)
    found = model.compare("m0", "m1")
    assert found.difference == pytest.approx(margin[0], abs=1e-6)
    assert found.std == pytest.approx(std[0], rel=1e-5)
    assert found.probability == pytest.approx(expit(margin[0]), abs=1e-6)


@pytest.mark.parametrize("ties", ["davidson", "rao-kupper"])
def test_with_ties_the_covariance_is_that_of_fits_without_each_voter(ties):
    rng = np.random.default_rng(1)
    X, y, voter = draw_clustered(rng, np.linspace(-1, 1, 4), n_voters=60)
    y[rng.uniform(size=len(y)) < 0.25] = 0.5
    model = ModelRatings(ties, random_state=0).fit(X, y, groups=voter)
    left = [
        ModelRatings(ties).fit(X[voter != g], y[voter != g]).ratings_ - model.ratings_
        for g in range(60)
    ]
    exact = (59 / 60) * np.transpose(left) @ left
    assert_allclose(model.covariance_, exact, rtol=0.06, atol=0.03 * np.diag(exact).mean())


def test_votes_of_few_voters_are_less_sure_than_they_seem(votes):
    X, y, voter = votes
    by_voter = ModelRatings(random_state=0).fit(X, y, groups=voter).rating_std_
    alone = ModelRatings(random_state=0).fit(X, y).rating_std_
    assert by_voter.mean() > 1.1 * alone.mean()


def coverage(theta, truth, n, *, by_voter):
    held = []
    for seed in range(n):
        X, y, voter = draw_clustered(np.random.default_rng(seed), theta)
        model = ModelRatings(random_state=0).fit(X, y, groups=voter if by_voter else None)
        low, high = model.rating_interval().T
        held.append((low <= truth) & (truth <= high))
    return np.mean(held)


def test_intervals_by_voter_hold_as_often_as_they_say_and_others_do_not():
    # 60 draws of 4 ratings: less than .90 would be four standard errors below .95.
    theta = np.zeros(4)
    assert 0.90 <= coverage(theta, theta, 60, by_voter=True) <= 0.99
    assert coverage(theta, theta, 60, by_voter=False) < 0.88


def test_sets_of_ranks_hold_for_all_models_together_and_are_not_empty_words():
    theta = np.array([1.5, 0, 0, 0, -1.5])
    held, widths = [], []
    for seed in range(60):
        X, y, voter = draw_clustered(np.random.default_rng(seed), theta, spread=0.7)
        model = ModelRatings(random_state=0).fit(X, y, groups=voter)
        low, high = model.rank_sets_.T
        # Those that are level have the ranks 2 to 4, all of which have to be there.
        held.append((low <= [1, 2, 2, 2, 5]).all() and (high >= [1, 4, 4, 4, 5]).all())
        widths.append(high - low)
    assert np.mean(held) >= 0.9
    assert np.mean(widths, axis=0)[[0, 4]].max() < 0.5


def test_a_false_difference_is_told_in_few_data_sets():
    for correction in ("max-t", "holm"):
        told = []
        for seed in range(60):
            X, y, voter = draw_clustered(np.random.default_rng(seed), np.zeros(5))
            model = ModelRatings(random_state=0).fit(X, y, groups=voter)
            told.append(model.comparisons(correction)["p_adjusted"].min() < 0.05)
        # Four standard errors of a level of .05.
        assert np.mean(told) <= 0.16, correction
    singly = model.comparisons(None)
    assert_array_equal(singly["p_value"], singly["p_adjusted"])


def test_sets_of_ranks_follow_from_the_comparisons(votes):
    X, y, voter = votes
    model = ModelRatings(random_state=0).fit(X, y, groups=voter)
    table = model.comparisons()
    told = table["p_adjusted"] < 0.05
    assert told.any()
    assert not told.all()
    for name, (low, high) in zip(model.models_, model.rank_sets_, strict=True):
        assert low == 1 + np.sum(told & (table["model_b"] == name))
        assert high == 5 - np.sum(told & (table["model_a"] == name))
    assert_array_equal(table["low"] > 0, told)
    assert (np.diff(table["p_value"]) >= 0).all()
    assert (table["p_adjusted"] >= table["p_value"]).all()


def test_two_models_need_no_correction():
    X, y, voter = draw_clustered(np.random.default_rng(3), np.array([0.3, -0.3]))
    model = ModelRatings(random_state=0).fit(X, y, groups=voter)
    found = model.compare("m0", "m1")
    assert found.p_adjusted == pytest.approx(found.p_value, abs=0.01)
    half = found.high - found.difference
    low, high = model.comparisons()["low"][0], model.comparisons()["high"][0]
    assert (high - low) / 2 == pytest.approx(half, rel=0.02)
    uncertainty = model._find_uncertainty()
    effective = uncertainty.n_effective.min()
    wider = found.std * np.sqrt((1 - 1 / effective) / (1 - 1 / model.n_groups_))
    assert found.p_value == pytest.approx(2 * t.sf(abs(found.difference) / wider, effective - 1))
    assert half == pytest.approx(t.ppf(0.975, effective - 1) * wider)


def test_holm_by_hand():
    assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.5])), [0.04, 0.09, 0.09, 0.5])


def test_a_table_is_sorted_and_anchored(votes):
    X, y, voter = votes
    model = ModelRatings(random_state=0).fit(X, y, groups=voter)
    table = model.table()
    assert (np.diff(table["rating"]) <= 0).all()
    assert_allclose(table["rating"].mean(), 0, atol=1e-9)
    elo = model.table(scale="elo", anchor=("m2", 1200))
    at = elo["model"].tolist().index("m2")
    assert elo["rating"][at] == elo["low"][at] == elo["high"][at] == 1200
    # Odds of 10 to 1 are 400.
    assert_allclose(
        elo["rating"] - 1200, (table["rating"] - model.ratings_[2]) * 400 / np.log(10), atol=1e-9
    )
    first = elo["model"].tolist().index("m4")
    assert elo["std"][first] == pytest.approx(model.compare("m4", "m2").std * 400 / np.log(10))
    frame = model.to_frame(scale="elo")
    assert frame["model"].tolist() == table["model"].tolist()
    assert frame["rating"].mean() == pytest.approx(1000)
    with pytest.raises(ValueError, match=r"needs scale, one of 'nats', 'elo', got "):
        model.table(scale="points")
    with pytest.raises(ValueError, match="knows no model 'm9'"):
        model.table(anchor=("m9", 0))
    with pytest.raises(ValueError, match="needs correction, one of 'max-t', 'holm', None, got"):
        model.comparisons("bonferroni")


def test_the_same_seed_gives_the_same_sets_and_a_new_fit_forgets(votes):
    X, y, voter = votes
    one, other = (ModelRatings(random_state=7).fit(X, y, groups=voter) for _ in "ab")
    assert_array_equal(one.comparisons()["p_adjusted"], other.comparisons()["p_adjusted"])
    before = one.rating_std_
    one.fit(X[::2], y[::2], groups=voter[::2])
    assert (one.rating_std_ > before).all()


def test_one_voter_says_nothing_of_how_voters_differ():
    X, y, _ = draw_clustered(np.random.default_rng(4), np.zeros(3), n_voters=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ModelRatings().fit(X, y, groups=np.zeros(len(y)))
    with pytest.raises(ValueError, match="at least 2 of them, got 1"):
        model.rating_std_  # noqa: B018
