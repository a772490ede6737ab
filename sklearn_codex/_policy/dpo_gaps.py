"""How far a policy learned from preferences is from its own optimum, and from that of RLHF."""

from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.designs import DifferenceDesign, PairDesign
from sklearn_codex._policy.dpo_loss import HingeRewardLoss, ImplicitRewardLoss
from sklearn_codex._policy.separation import has_best_weights, other_best
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights
from sklearn_codex._solve.conjugate_gradients import Preconditioner, conjugate_gradients
from sklearn_codex.exact._objective import Objective

_LINEAR = 1e-9
_MOST_STEPS = 1000
# Steps after which a fit whose loss falls no more, for rounding, goes nowhere.
_PATIENCE = 10
# Gaps for two rewards that are the same are as near as that.
_SAME = 1e-6


def has_linear_margins(loss: ImplicitRewardLoss) -> bool:
    """Return whether margins are linear in the weights, but for a constant.

    They are where normalisers cancel from every pair; whether they do is seen from the sum of two
    moves, as those that are not linear have no reason to add up.
    """
    moves = np.random.RandomState(0).standard_normal((2, loss.tilt.n_weights))
    moves *= loss.tilt.kl_coef  # so that policies move
    start, one, other, both = (
        loss.margins(weights) for weights in (0 * moves[0], *moves, moves.sum(axis=0))
    )
    size = max(np.abs(one).max(), np.abs(other).max(), np.abs(start).max())
    return bool(np.abs(both - one - other + start).max() <= _LINEAR * size)


def fixed_point_gap(loss: ImplicitRewardLoss, weights: FloatArray) -> float | None:
    r"""Return how much the penalised loss is above its minimum, None where that is not known.

    Known where the loss is convex, as it is where margins are linear in the weights.

    Notes
    -----
    With the slopes s of pairs as the dual point, the gap between primal and dual is

    .. math:: \sum_i s_i (\ell(m_i) + \ell^*(s_i) - m_i s_i) + \tfrac{C}{2} \|\nabla f\|^2,

    with :math:`\ell^*` the convex conjugate. The sum is 0 but where kinks are rounded, and the rest
    is that of a strongly convex function. Without a penalty half the Newton decrement squared
    stands for it, :math:`g' H^{-1} g / 2`, which is no bound but tells to second order.
    """
    if not has_linear_margins(loss):
        return None
    point = loss.at(weights)
    excess = loss.excess(point) if isinstance(loss, HingeRewardLoss) else 0.0
    if loss.penalty > 0:
        return excess + float(point.gradient @ point.gradient) / (2 * loss.penalty)
    scale = loss.scale()
    gradient = point.gradient / scale
    step, _ = conjugate_gradients(
        lambda p: (loss.hessian_product(weights, p / scale) / scale, p),
        Preconditioner(np.ones_like(gradient)),
        gradient,
        tol=1e-6,
    )
    return excess + max(0.0, 0.5 * float(gradient @ step))


def optimality_gap(
    estimator: Any, design: Any, loss: ImplicitRewardLoss, weights: FloatArray
) -> float:
    """Return J* - J of the policy of a fitted estimator, see :func:`bradley_terry_gap`."""
    family = estimator._family
    objective = family.objective(
        estimator.reference_log_prob_,
        length=estimator.document_length_,
        eos=estimator._eos_column(),
        max_length=None,
        subject=type(estimator).__name__,
        initial=estimator._initial,
        kl_coef=estimator.kl_coef,
        reward_coef=1.0,
    )
    return bradley_terry_gap(
        design,
        loss,
        C=estimator.C,
        start=weights,
        features=family.reward_features,
        objective=objective,
        log_prob=loss.policy(weights),
    )


def bradley_terry_gap(
    design: Any,
    given: ImplicitRewardLoss,
    *,
    C: float,
    start: FloatArray,
    features: Any,
    objective: Objective,
    log_prob: FloatArray,
) -> float:
    r"""Return J* - J of a policy, for the Bradley-Terry reward of the same pairs.

    Parameters
    ----------
    design : PairDesign or DifferenceDesign of shape (n_pairs, n_columns)
        The pairs.
    given : ImplicitRewardLoss
        Whose targets and weights the pairs have.
    C : float
        Inverse strength of the penalty on the weights of the reward.
    start : ndarray of shape (n_weights,)
        Where the fit of these starts.
    features : csr_array of shape (n_columns, n_weights) or None
        What columns have of each weight; None where each has its own.
    objective : Objective
        Expected reward less KL; the reward is filled in.
    log_prob : ndarray of shape (n_columns,)
        The policy.

    Returns
    -------
    gap : float
        Infinite where no reward or no policy is best: preferences that some reward gets all right
        in part or all, without a penalty, or documents that grow without bound, or hardly ever
        end. NaN where, without a penalty, other rewards fit as well and have other best policies,
        as where there are fewer pairs than tokens, or where no best reward was found.
    """
    target, weight, bounded = given.target, given.sample_weight, bool(np.isfinite(C))
    design = project(design, features).to_solve()
    penalty = np.ones(design.shape[1]) if bounded else np.zeros(design.shape[1])
    loss = BradleyTerryLoss(design, target, weight, C=C if bounded else 1.0, penalty=penalty)
    if not bounded and has_best_weights(design, target, weight) is False:
        return float("inf")
    state = _fit_reward(loss, start)
    if not bounded and is_separated(target, weight, state.point.margins):
        return float("inf")
    if not state.converged:
        return float("nan")

    def gap_by(weights):
        reward = weights if features is None else features @ weights
        problem = objective.having(token_reward=reward)
        try:
            return float("inf") if problem.length_explodes else float(problem.gap(log_prob))
        except ValueError:  # documents of n-grams hardly ever end
            return float("inf")

    gap, best = gap_by(state.point.weights), state.point.weights
    other = None if bounded else other_best(design, weight)
    if other is None or not np.isfinite(gap):
        return gap
    size = objective.kl_coef
    # Those without the direction, and with more of it: where it is far along, a step is too small.
    without = best - other * (best @ other) / (other @ other)
    gaps = [gap_by(without), gap_by(without + size * other), gap_by(best + size * other)]
    is_same = np.abs(np.array(gaps) - gap) <= _SAME * (gap + size)
    return gap if is_same.all() else float("nan")


def _fit_reward(loss, start):
    """Return the state at the best reward, from where a policy is if that is better than none.

    Weights of a policy by another loss may be so far off that Newton steps lead nowhere.
    """
    zero = np.zeros_like(start)
    if not loss.at(start).value < loss.at(zero).value:
        return _fit_from(loss, zero)
    state = _fit_from(loss, start)
    return state if state.converged else _fit_from(loss, zero)


def _fit_from(loss, start):
    least, found_at = np.inf, 0

    def is_stuck(state):
        nonlocal least, found_at
        if state.point.value < least:
            least, found_at = state.point.value, state.iteration
        return state.iteration - found_at >= _PATIENCE

    return fit_weights(loss, start, max_iter=_MOST_STEPS, callback=is_stuck)


def project(design: Any, features: Any) -> Any:
    """Return the design (n_pairs, n_weights) of weights that columns have by their features.

    Features are of shape (n_columns, n_weights), or None where each column has its own weight.
    """
    if features is None:
        return design
    if isinstance(design, PairDesign):
        return PairDesign(sparse.csr_array(design.features) @ features, design.a, design.b)
    return DifferenceDesign(sparse.csr_array(design.differences) @ features)


def is_separated(target: FloatArray, weight: FloatArray, margins: FloatArray) -> bool:
    """Return whether all pairs that count have a sure label, and margins of its sign."""
    counted = weight > 0
    hard = np.isin(target[counted], (0.0, 1.0)).all()
    return bool(hard and ((2 * target - 1) * margins > 0)[counted].all())
