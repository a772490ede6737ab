"""What DPO says where, without a penalty, no policy or more than one reward is best."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_expit
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex import DPOPolicyOptimizer
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._policy import separation
from sklearn_codex._policy.separation import has_best_weights, other_best

# One pair against another, and one that nothing is against.
PARTLY = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("c", "d")]
PARTLY_LABELS = [1, 0, 1, 1, 0]
COUNTS = np.array([[[1, 1, 0], [0, 1, 1]], [[0, 1, 0], [0, 0, 1]], [[1, 0, 1], [1, 0, 0]]])
SOFT = np.array([0.7, 0.4, 0.6])


@pytest.mark.parametrize(
    ("differences", "target", "expected"),
    [
        ([[1, -1]], [1.0], False),
        ([[1, -1]], [0.9], True),
        ([[1, -1], [1, -1]], [1.0, 0.0], True),
        ([[1, -1, 0], [0, 1, -1]], [0.6, 1.0], False),
        ([[1, -1, 0], [0, 1, -1], [-1, 0, 1]], [1.0, 1.0, 1.0], True),  # a circle
        ([[0, 0]], [1.0], True),  # nothing to learn
        ([[1, -1], [0, 0]], [1.0, 0.0], False),
        ([[1, -1]], [1.25], False),  # falls without bound
        ([[1, -1], [1, -1]], [1.25, -0.25], True),
        ([[1, -1], [1, -1]], [1.25, 0.8], False),
    ],
)
def test_whether_there_is_a_best_reward_by_hand(differences, target, expected):
    weight = np.full(len(target), 2.5)
    design, target = DifferenceDesign(np.array(differences, dtype=float)), np.array(target)
    assert has_best_weights(design, target, weight) is expected
    lame = DifferenceDesign(np.vstack([design.differences, np.ones((1, design.shape[1]))]))
    with_nothing = np.append(target, 1.0), np.append(weight, 0.0)
    assert has_best_weights(lame, *with_nothing) is expected


def test_too_many_entries_are_not_examined(monkeypatch):
    monkeypatch.setattr(separation, "MOST_ENTRIES", 1)
    design = DifferenceDesign(np.array([[1.0, -1.0]]))
    assert has_best_weights(design, np.ones(1), np.ones(1)) is None


def test_other_rewards_change_no_margin():
    design = DifferenceDesign(np.array([[1.0, -1.0, 0.0], [2.0, 0.0, -1.0]]))
    left = other_best(design, np.array([1.0, 2.0]))
    np.testing.assert_allclose(np.abs(left), [0.5, 0.5, 1.0], atol=1e-9)
    assert other_best(DifferenceDesign(np.eye(3)), np.ones(3)) is None


@pytest.mark.parametrize(
    ("pairs", "labels", "options"),
    [
        ([("a", "b"), ("c", "c")], [1, 0], {}),
        (PARTLY, PARTLY_LABELS, {}),
        (PARTLY, PARTLY_LABELS, {"loss": "simpo"}),
        ([("a", "b"), ("b", "a")], [1, 0], {"loss": "robust"}),
        ([("a", "b"), ("b", "c")], [1, 0], {"loss": "robust", "label_smoothing": 0.1}),
        ([("a", "b"), ("b", "a")], [1, 0], {"loss": "cpo", "cpo_alpha": 0.0}),
    ],
)
def test_pairs_that_are_separable_in_part_warn(pairs, labels, options):
    counted = [tuple(pair) for pair in pairs]
    with pytest.warns(ConvergenceWarning, match="or some of them at no cost to the others, so no"):
        fitted = DPOPolicyOptimizer(C=np.inf, **options).fit(counted, labels)
    assert fitted.optimality_gap_ == np.inf
    assert fitted.fixed_point_gap_ == np.inf


@pytest.mark.parametrize("loss", ["ipo", "hinge"])
def test_a_loss_with_an_optimum_where_its_reward_model_has_none(loss):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = DPOPolicyOptimizer(C=np.inf, loss=loss).fit(PARTLY, PARTLY_LABELS)
    assert fitted.optimality_gap_ == np.inf
    assert fitted.fixed_point_gap_ < 1e-6


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["cpo", "orpo", "simpo"])
@pytest.mark.parametrize("kl_coef", [0.5, 50.0])
def test_the_optimality_gap_does_not_depend_on_how_far_off_the_policy_is(loss, kl_coef):
    fitted = DPOPolicyOptimizer(loss=loss, kl_coef=kl_coef, C=np.inf, response_length=1)
    fitted.fit(COUNTS, SOFT)
    differences = COUNTS[:, 0] - COUNTS[:, 1]

    def log_loss(reward):
        margin = differences @ reward
        return -(SOFT @ log_expit(margin) + (1 - SOFT) @ log_expit(-margin))

    reward = minimize(log_loss, np.zeros(3), tol=1e-12).x

    def value(prob):
        return prob @ reward - kl_coef * prob @ np.log(np.maximum(prob, 1e-300) * 3)

    best = np.exp(reward / kl_coef)
    gap = value(best / best.sum()) - value(np.exp(fitted.token_log_prob_))
    assert fitted.optimality_gap_ == pytest.approx(gap, rel=1e-3, abs=1e-8)


def test_where_several_rewards_fit_best_no_gap_is_told():
    pairs = [("a a", "b"), ("a", "c")]
    assert np.isnan(DPOPolicyOptimizer(C=np.inf).fit(pairs, [0.7, 0.6]).optimality_gap_)
    assert np.isfinite(DPOPolicyOptimizer(C=1e4).fit(pairs, [0.7, 0.6]).optimality_gap_)
    # A constant that all rewards of equally long responses may have changes no policy.
    X = np.array([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]])
    assert DPOPolicyOptimizer(C=np.inf).fit(X, [0.7, 0.6]).optimality_gap_ < 1e-9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["sigmoid", "robust", "simpo", "cpo", "orpo"])
@pytest.mark.parametrize("kl_coef", [0.01, 100.0])
def test_fits_far_beyond_the_curve_of_the_loss_end(loss, kl_coef):
    rng = np.random.RandomState(5)
    X = rng.poisson(1.5, (6, 2, 4)).astype(float)
    X[:, :, 0] += 1
    smoothing = 0.1 if loss == "robust" else 0.0
    fitted = DPOPolicyOptimizer(
        loss=loss, kl_coef=kl_coef, C=np.inf, label_smoothing=smoothing, max_iter=50
    ).fit(X, [0, 1, 0, 1, 1, 0])
    assert np.exp(fitted.token_log_prob_).sum() == pytest.approx(1.0)


def test_a_loss_that_falls_without_bound_along_a_straight_line_ends():
    # Curvature of the corrected loss vanishes on the way, and steps by it would be infinite.
    A = [[0, 0, 2, 1], [3, 0, 0, 0], [0, 3, 0, 0], [0, 1, 2, 0], [1, 1, 1, 0], [3, 0, 0, 0]]
    B = [[0, 2, 0, 1], [0, 1, 1, 1], [0, 2, 0, 1], [2, 0, 1, 0], [1, 1, 0, 1], [0, 0, 2, 1]]
    X = np.stack([A, B], axis=1).astype(float)
    with pytest.warns(ConvergenceWarning, match="C=inf on pairs .* or label_smoothing, or set"):
        fitted = DPOPolicyOptimizer(
            kl_coef=0.01, loss="robust", label_smoothing=0.4, C=np.inf, response_length=1
        ).fit(X, [0, 1, 1, 0, 0, 0])
    assert fitted.optimality_gap_ == np.inf
    assert np.exp(fitted.token_log_prob_).sum() == pytest.approx(1.0)
