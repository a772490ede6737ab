"""Ratings from few groups, or from votes that all say the same: no surer than they can be."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_codex import ModelRatings
from sklearn_codex._few_groups import FEWEST_GROUPS

AB = [("a", "b")]


def fitted(y, groups=None, models=AB, **parameters):
    model = ModelRatings(alpha=1e-6, random_state=0, **parameters)
    return model.fit(models * (len(y) // len(models)), y, groups=groups)


def test_groups_that_agree_by_chance_are_no_surer_than_their_votes():
    # Both have two wins of three: p = 2/3, and the information of six votes is 6 * 2/9.
    model = fitted([1, 1, 0, 1, 1, 0], groups=[0, 0, 0, 1, 1, 1])
    found = model.compare("a", "b")
    assert found.std == pytest.approx(np.sqrt(3 / 4), rel=1e-4)
    assert found.low < 0 < found.high
    assert_allclose(model.covariance_, [[3 / 16, -3 / 16], [-3 / 16, 3 / 16]], rtol=1e-4)
    assert_array_equal(model.rank_sets_, [[1, 2], [1, 2]])


@pytest.mark.parametrize("n_groups", [2, 3, 12])
def test_ties_only_leave_the_chance_of_as_many_halves(n_groups):
    model = fitted([0.5] * 24, groups=np.arange(24) % n_groups)
    assert model.compare("a", "b").std == pytest.approx(np.sqrt(4 / 24), rel=1e-4)
    table = model.table()
    assert (table.low < -0.1).all()
    assert (table.high > 0.1).all()


def test_equal_soft_labels_leave_the_chance_of_votes():
    found = fitted([0.7] * 10).compare("a", "b")
    assert found.std == pytest.approx(1 / np.sqrt(10 * 0.7 * 0.3), rel=1e-4)


@pytest.mark.parametrize("n_groups", [2, 3])
@pytest.mark.filterwarnings("ignore::sklearn_codex.exceptions.SeparationWarning")
def test_coins_of_few_groups_are_seldom_ranked(n_groups):
    rng = np.random.default_rng(0)
    n, told = 60, 0
    for _ in range(n):
        y = rng.integers(2, size=3 * n_groups).astype(float)
        model = fitted(y, np.repeat(np.arange(n_groups), 3))
        told += not np.array_equal(model.rank_sets_, [[1, 2], [1, 2]])
    assert told <= 0.05 * n


def test_clear_votes_of_few_groups_are_told_apart():
    groups = np.repeat(np.arange(4), 60)
    y = (np.arange(240) % 12 > 0).astype(float)  # 11 of 12 for a
    assert_array_equal(fitted(y, groups).rank_sets_, [[1, 1], [2, 2]])


def test_enough_groups_that_differ_are_what_they_were():
    # Votes of a group balance out more than chance has it: this is known of five groups.
    wins = np.array([1, 1, 0, 0, 1, 0] * 4 + [1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1], dtype=float)
    groups = np.repeat(np.arange(FEWEST_GROUPS + 1), 6)
    model = fitted(wins, groups)
    share = wins.reshape(-1, 6).mean(axis=1)
    p = share.mean()
    without = (share.sum() - share) / FEWEST_GROUPS
    moves = (without - p) / (p * (1 - p))  # by one Newton step, each group a sixth of all
    expected = np.sqrt(FEWEST_GROUPS / (FEWEST_GROUPS + 1) * np.sum(moves**2))
    assert model.compare("a", "b").std == pytest.approx(expected, rel=1e-3)
    assert expected < 0.5 / np.sqrt(len(wins) * p * (1 - p))


@pytest.mark.parametrize("ties", ["davidson", "rao-kupper", "both-bad"])
def test_outcomes_of_ties_are_no_surer_either(ties):
    votes = ["a", "b", "tie"] * 2
    model = fitted(votes, groups=np.repeat([0, 1], 3), ties=ties)
    assert model.compare("a", "b").std > 0.5
    assert np.linalg.eigvalsh(model.covariance_).min() > -1e-12
    # A third model, seen by two of many groups only, is as unsure among models that are sure.
    rows = AB * 60 + [("a", "c"), ("c", "a"), ("a", "c")] * 2
    y = ["a", "b", "tie"] * 20 + ["a", "a", "b"] * 2
    groups = np.concatenate([np.arange(60) % 20, np.repeat([0, 1], 3)])
    model = ModelRatings(ties, random_state=0).fit(rows, y, groups=groups)
    assert model.compare("a", "c").std > 0.5 > model.compare("a", "b").std


@pytest.mark.filterwarnings("ignore::sklearn_codex.exceptions.SeparationWarning")
def test_an_anchor_has_a_finite_rating():
    X, y = [["a", "b"], ["b", "a"], ["a", "c"], ["b", "c"]], [1, 1, 1, 1]
    model = ModelRatings(alpha=0).fit(X, y)
    assert model.ratings_[2] == -np.inf
    said = r"anchor must be a model whose rating is finite.*'c' is -inf.*one like 'a', or fit with"
    with pytest.raises(ValueError, match=said):
        model.table(anchor=("c", 1000))
    table = model.table(scale="elo", anchor=("a", 1000))
    assert table["rating"][list(table["model"]).index("b")] == pytest.approx(1000)
    lone = ModelRatings(alpha=0).fit([["a", "b"], ["a", "b"]], [1, 1])
    with pytest.raises(ValueError, match=r"'a' is .*relative to it\. Fit with alpha above 0\."):
        lone.table(anchor=("a", 1000))


@pytest.mark.parametrize(
    "anchor", ["a", ("a",), 5, ("a", np.nan), ("a", np.inf), ("a", "x"), ("a", None), ("a", 1, 2)]
)
def test_an_anchor_is_a_model_and_a_finite_rating(anchor):
    with pytest.raises(ValueError, match=r"anchor must be a model and its rating, a finite number"):
        fitted([1, 0, 1, 0]).table(anchor=anchor)


@pytest.mark.parametrize("level", [2, -1, 0, 1, np.nan, "x"])
def test_a_level_of_intervals_is_between_0_and_1(level):
    with pytest.raises(ValueError, match=r"confidence_level must be between 0 and 1, such as"):
        fitted([1, 0, 1, 0]).rating_interval(level)


@pytest.mark.parametrize("ties", ["half", "davidson"])
def test_labels_that_are_none_of_the_classes_are_not_scored(ties):
    model = fitted([1, 0, 1, 0.5, 0], ties=ties)
    with pytest.raises(ValueError, match=r"the labels \['zz'\] in y, which are none of its class"):
        model.score(AB * 2, ["zz", "zz"])
    assert model.score(AB * 2, ["a", "b"]) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        model.score(AB * 2, [1, 0], sample_weight=[2, -1])
