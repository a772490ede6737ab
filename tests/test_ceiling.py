"""How far a model can agree with majorities of votes."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binom

from sklearn_codex.report._audit_ceiling import (
    _bound,
    bound_agreement,
    greatest_of,
    human_ceiling,
)
from sklearn_codex.report._audit_predict import _budget
from sklearn_codex.report._audit_sections_predict import _ceiling, _foreseen


def ends(for_one, for_other):
    found = bound_agreement(np.array(for_one), np.array(for_other))
    return found["least"], found["greatest"]


def test_ceiling_by_hand():
    # Unanimous votes: the majority is certain.
    assert ends([3] * 40, [0] * 40) == (1.0, 1.0)
    # Three coins are split 2 to 1 in three of four cases, and two of them disagree in half.
    assert ends([3, 2, 2, 1, 1, 0, 2, 1], [0, 1, 1, 2, 2, 3, 1, 2]) == pytest.approx((0.5, 0.5))
    # Two disagree in a quarter of cases: half of the pairs certain and half coins, or all with
    # p = 1/2 + sqrt(1/8) = .8536, of which a majority of three has p^3 + 3 p^2 (1 - p) = .9419.
    p = 0.5 + np.sqrt(1 / 8)
    assert _bound(0.25, [3], [1.0]) == pytest.approx((0.75, p**3 + 3 * p**2 * (1 - p)))
    # Of one vote it is p; of two, given that they agree, p^2 / (p^2 + (1 - p)^2).
    assert _bound(0.25, [1], [1.0]) == pytest.approx((0.75, p))
    of_two = p**2 / (p**2 + (1 - p) ** 2)
    assert _bound(0.25, [2], [1.0]) == pytest.approx((0.5 / 0.75 + 0.25 / 0.75 / 2, of_two))


SHAPES = {
    "beta": lambda rng, n: rng.beta(0.6, 0.6, n),
    "doubtful": lambda rng, n: np.where(rng.uniform(size=n) < 0.5, 0.3, 0.7),
    "clear or a coin": lambda rng, n: rng.choice([0.0, 0.5, 1.0], n),
    "coins": lambda rng, n: np.full(n, 0.5),
}


def true_ceiling(p, k):
    """Return the agreement with majorities of a model that knows p."""
    best = np.maximum(p, 1 - p)
    right, none = binom.sf(k // 2, k, best), binom.pmf(k / 2, k, p)
    return right.sum() / (1 - none).sum()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_interval_has_the_true_ceiling(shape, k):
    rng = np.random.RandomState(0)
    truth = true_ceiling(SHAPES[shape](rng, 200_000), k)
    n_sets, missed = 40, 0
    for _ in range(n_sets):
        votes = rng.binomial(k, SHAPES[shape](rng, 150))
        found = bound_agreement(votes, k - votes, np.arange(150) // 3)
        missed += not found["low"] - 1e-3 <= truth <= found["high"] + 1e-3
    assert missed <= binom.ppf(1 - 1e-4, n_sets, 0.05)


def test_a_model_of_majorities_can_beat_one_annotator():
    rng = np.random.RandomState(0)
    votes = (rng.uniform(size=(600, 5)) < 0.7).astype(int)
    ceiling = human_ceiling({"text": ["a"] * 600, "votes": votes.tolist()})
    # The best model knows that all are for A: P(Bin(5, .7) > 2) = .837.
    assert ceiling["agreement"] < 0.75
    assert ceiling["of_majority"]["low"] < 0.837 < ceiling["of_majority"]["high"]
    said = _ceiling({"human_ceiling": ceiling}).text
    assert "the best model there can be agrees with" in said
    assert "It is no limit for a model of majorities" in said


@pytest.mark.parametrize(
    ("votes", "disagreement"),
    [
        ([["a", "a", "tie"], ["A", "b", "b"]], 1 / 3),
        ([[1.0, 1.0], [1.0, 0.0, 0.5, 0.0]], 1 / 3),
        ([[1, None, 1], [0, 0, 1]], 1 / 3),
    ],
)
def test_votes_of_every_kind_are_counted(votes, disagreement):
    ceiling = human_ceiling({"votes": votes})
    assert ceiling["of_majority"]["disagreement"] == pytest.approx(disagreement)
    if len(votes[0]) != len(votes[1]):
        assert ceiling["agreement"] is None
        assert "One of the" not in _ceiling({"human_ceiling": ceiling}).text


@pytest.mark.parametrize(
    "values", [[[1], [0]], [["w1", "w2"], ["w3"]], [[], []], [["tie"], ["tie"]], ["a", "b"]]
)
def test_lists_that_are_no_votes_give_no_ceiling(values):
    assert human_ceiling({"column": values}) is None


def curve_of(right, n=300):
    """Margins (1, 4, n) of models of four sizes that are right so often, and their labels."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=n).astype(float)
    is_right = rng.uniform(size=n) < np.asarray(right)[:, np.newaxis]
    margins = np.where(is_right, 1.0, -1.0) * (2 * y - 1)
    data = SimpleNamespace(
        y=y, groups=np.arange(n), n_groups=n, seed=0, weight=np.ones(n), decided=y != 0.5
    )
    return data, margins[np.newaxis]


def test_what_votes_allow_bounds_what_is_foreseen():
    data, margins = curve_of([0.6, 0.66, 0.72, 0.78])
    args = (data, margins, np.array([30.0, 60, 120, 240]), np.ones(300, dtype=bool))
    free, bound, contradicted = (_budget(*args, ceiling) for ceiling in (None, 0.79, 0.6))
    assert free["predicted"][-1]["accuracy"] > 0.79
    assert bound["ceiling"] == 0.79
    assert max(step["accuracy_high"] for step in bound["predicted"]) <= 0.79
    # Who is above what votes allow already is not of these votes.
    assert contradicted == free
    units = SimpleNamespace(many="prompts")
    assert "none above 79.0 %, the most votes allow" in _foreseen(bound, units)
    assert "votes" not in _foreseen(free, units)
    assert _foreseen({**bound, "predicted": None}, units) == ""
    votes = human_ceiling({"votes": [[1, 1, 0], [0, 0, 0]] * 20})
    assert greatest_of(votes) == votes["of_majority"]["high"]
    assert greatest_of(None) is greatest_of({"of_majority": None}) is None
