"""The optimum under constraints: expected costs, chances of a violation, banned tokens."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import as_floats, check_log_prob
from sklearn_codex._checks.probabilities import as_array
from sklearn_codex.exact._additive import AdditiveObjective
from sklearn_codex.exact._chance import chance_budget
from sklearn_codex.exact._eos_length import LengthExplosionError
from sklearn_codex.exact._multipliers import priced, solve_dual
from sklearn_codex.exact._priced_objective import PricedObjective

_EPS = np.finfo(np.float64).eps
_LARGEST_COST = 1e100


def constrained_optimum(objective: PricedObjective, costs: ArrayLike, budgets: ArrayLike) -> Bunch:
    r"""Return the policy that maximises an objective within budgets of expected cost.

    Parameters
    ----------
    objective : AdditiveObjective, EosObjective or NGramObjective
        What is maximised. The latter two take one constraint with costs >= 0, and neither
        ``max_length`` nor ``sft_coef``; a cost of 1 for every token bounds the expected length.
    costs : array-like of shape (V,) or (n_constraints, V)
        Cost of each token, of an ``NGramObjective`` of each event; the cost of a document is the
        sum over them.
    budgets : float or array-like of shape (n_constraints,)
        Largest expected cost of a document, d.

    Returns
    -------
    result : Bunch
        ``log_prob`` (V,), the policy; ``multipliers`` (n_constraints,), what one unit of each
        budget is worth to the objective: 0 where the budget has no effect, infinite where only a
        ban keeps it; ``costs`` (n_constraints,), the expected costs of a document; ``value``, the
        objective; ``loss``, what the constraints cost it, infinite where it has no optimum
        without them; ``kl``, nats from the reference, per document.

    Raises
    ------
    ValueError
        If no policy inside the support of the reference keeps the budgets; the message names the
        smallest feasible ones.

    Notes
    -----
    By Lagrange duality the solution is the optimum for the token reward
    :math:`\rho w - \sum_j \lambda_j c_j`, that is, without demonstrations,
    :math:`\pi_t \propto ref_t \exp((\rho w_t - \sum_j \lambda_j c_{jt}) / b - pen_t)`, with
    multipliers :math:`\lambda \ge 0` that minimise the convex dual
    :math:`\max_\pi J(\pi) - \lambda \cdot (E[c] - d)`: one root for one constraint, else L-BFGS-B,
    polished by the equations of the budgets that bind.

    References
    ----------
    .. [1] Boyd, S. and Vandenberghe, L. (2004). "Convex Optimization", chapter 5.
    .. [2] Altman, E. (1999). "Constrained Markov Decision Processes."

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import AdditiveObjective, constrained_optimum
    >>> problem = AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), length=4)
    >>> result = constrained_optimum(problem, costs=[0.0, 0.0, 1.0], budgets=1.0)
    >>> np.exp(result.log_prob).round(3), result.multipliers.round(3)
    (array([0.285, 0.465, 0.25 ]), array([1.215]))
    """
    if not isinstance(objective, PricedObjective):
        raise TypeError(
            "constrained_optimum needs an AdditiveObjective, an EosObjective or an NGramObjective, "
            f"got {type(objective).__name__}."
        )
    cost = np.atleast_2d(
        as_floats(costs, "costs", subject="constrained_optimum")
    )  # (n_constraints, V)
    budget = np.atleast_1d(
        as_floats(budgets, "budgets", subject="constrained_optimum")
    )  # (n_constraints,)
    _check_constraints(objective, cost, budget)
    problem, free, multipliers = _ban_at_floor(objective, cost, budget)
    if free.any():
        multipliers[free] = solve_dual(problem, cost[free], budget[free])
    log_prob = priced(problem, cost[free], multipliers[free]).optimum()
    return Bunch(
        log_prob=log_prob,
        multipliers=multipliers,
        costs=np.array([objective.expected_sum(log_prob, row) for row in cost]),
        value=objective.value(log_prob),
        loss=_loss(objective, log_prob),
        kl=objective.kl(log_prob),
    )


def chance_constrained_optimum(
    objective: AdditiveObjective, tokens: ArrayLike, max_probability: float
) -> Bunch:
    """Return the best policy whose documents have any of some tokens with bounded probability.

    Parameters
    ----------
    objective : AdditiveObjective
        What is maximised; its documents have a fixed length.
    tokens : array-like of int of shape (n_tokens,) or of bool of shape (V,)
        Columns of the tokens, or a mask.
    max_probability : float
        Largest share of documents with any of them, from 0 (a ban) to 1 (no constraint).

    Returns
    -------
    result : Bunch
        As of :func:`constrained_optimum`, and ``probability``, the share of documents with any of
        the tokens.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import AdditiveObjective, chance_constrained_optimum
    >>> problem = AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), length=4)
    >>> result = chance_constrained_optimum(problem, [2], 0.1)
    >>> np.exp(result.log_prob).round(4), round(result.probability, 6)
    (array([0.3702, 0.6038, 0.026 ]), 0.1)
    """
    if not isinstance(objective, PricedObjective) or objective.length is None:
        raise TypeError(
            "chance_constrained_optimum needs an AdditiveObjective, whose documents have a fixed "
            f"length, got {type(objective).__name__}. See constrained_optimum."
        )
    mask = _token_mask(tokens, len(objective.reference_log_prob), "chance_constrained_optimum")
    budget = chance_budget(max_probability, objective.length)
    result = constrained_optimum(objective, mask.astype(np.float64), budget)
    result.probability = objective.rate_of_any(result.log_prob, mask)
    return result


def ban_tokens(reference_log_prob: FloatArray, banned: ArrayLike) -> Bunch:
    """Return the policy nearest to a reference that never produces some tokens, and its price.

    It is the reference given that the token is safe, and no safe policy has a smaller KL: exactly
    -log P_ref(safe) for each token of a document.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (V,)
        Log-probabilities of the reference policy.
    banned : array-like of int of shape (n_banned,) or of bool of shape (V,)
        Columns of the banned tokens, or a mask.

    Returns
    -------
    result : Bunch
        ``log_prob`` (V,), ``-inf`` at banned tokens; ``nats_per_token``, the KL from the
        reference.

    Raises
    ------
    ValueError
        If the reference can produce banned tokens only.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import ban_tokens
    >>> result = ban_tokens(np.log([0.5, 0.3, 0.2]), [2])
    >>> np.exp(result.log_prob), round(result.nats_per_token, 6)
    (array([0.625, 0.375, 0.   ]), 0.223144)
    """
    reference_log_prob = check_log_prob(reference_log_prob, subject="ban_tokens")
    mask = _token_mask(banned, len(reference_log_prob), "ban_tokens")
    if not np.any(np.isfinite(reference_log_prob[~mask])):
        raise ValueError(
            f"ban_tokens leaves nothing: all {np.isfinite(reference_log_prob).sum()} tokens that "
            f"the reference can produce are among the {mask.sum()} banned ones. Ban fewer, or "
            "smooth the reference."
        )
    log_prob = np.where(mask, -np.inf, reference_log_prob)
    unsafe = float(np.exp(reference_log_prob[mask]).sum())
    log_safe = float(np.log1p(-unsafe)) if unsafe < 0.5 else float(logsumexp(log_prob))
    return Bunch(log_prob=log_prob - log_safe, nats_per_token=max(0.0, -log_safe))


def _token_mask(tokens, n_columns, subject):
    """Return a mask (V,) from a mask or columns."""
    tokens = as_array(tokens, name="tokens")
    if tokens.size == 0:
        return np.zeros(n_columns, dtype=bool)
    if tokens.dtype == bool and tokens.shape == (n_columns,):
        return tokens
    if not np.issubdtype(tokens.dtype, np.integer) or tokens.min() < 0 or tokens.max() >= n_columns:
        raise ValueError(
            f"{subject} needs columns, integers from 0 to {n_columns - 1}, or a boolean mask of "
            f"shape ({n_columns},), got {np.array2string(tokens, threshold=6)}."
        )
    mask = np.zeros(n_columns, dtype=bool)
    mask[tokens] = True
    return mask


def _check_constraints(objective, cost, budget):
    """Check shapes and values, and that the dual of the objective is exact."""
    n_columns = len(objective.reference_log_prob)
    if cost.shape != (len(budget), n_columns) or budget.ndim != 1:
        raise ValueError(
            "constrained_optimum needs costs of shape (n_constraints, V) and one budget for each "
            f"constraint, got shapes {cost.shape} and {budget.shape} with V={n_columns}."
        )
    if not np.isfinite(cost).all() or not np.all(budget > -np.inf):
        raise ValueError(
            "constrained_optimum needs finite costs and no budget that is nan or -inf. To forbid a "
            "token, use ban_tokens."
        )
    largest = np.abs(cost).max(initial=0.0)
    if largest > _LARGEST_COST or 0 < largest < 1 / _LARGEST_COST:
        raise ValueError(
            f"constrained_optimum needs costs whose greatest is between {1 / _LARGEST_COST:g} and "
            f"{_LARGEST_COST:g}, got {largest:.3g}. Scale costs and budgets alike."
        )
    objective.check_costs(cost)


def _ban_at_floor(objective, cost, budget):
    """Ban what a budget equal to the least possible cost leaves no room for.

    Returns
    -------
    problem : PricedObjective
        The objective over the tokens that are left.
    free : ndarray of bool of shape (n_constraints,)
        Budgets above their floors.
    multipliers : ndarray of shape (n_constraints,)
        Infinite for budgets that banned something, else 0.
    """
    finite = np.isfinite(budget)
    problem, free, multipliers = objective, finite.copy(), np.zeros(len(cost))
    while True:
        floor = problem.cost_floor(cost)[0]
        rounding = 8 * _EPS * np.maximum(np.abs(np.where(finite, budget, 0.0)), np.abs(floor))
        # Also those that were at their floor, which a ban for another may have raised.
        missed = np.flatnonzero(finite & (budget < floor - rounding))
        if missed.size:
            raise ValueError(
                f"constrained_optimum: no policy keeps budget {missed[0]}, "
                f"{budget[missed[0]]:.6g}: the smallest feasible expected cost of a document is "
                f"{floor[missed[0]]:.6g}. Raise the budget to at least that."
            )
        exhausted = np.flatnonzero(free & (budget <= floor + rounding))
        if not exhausted.size:
            return problem, free, multipliers
        free[exhausted] = False
        for row in exhausted:
            # Of the problem as the rows before have left it.
            costly = problem.possible & (problem.cost_floor(cost)[1][row] > 0)
            if costly.any():
                multipliers[row] = np.inf
                reference = np.where(costly, -np.inf, problem.reference_log_prob)
                problem = problem.having(reference_log_prob=reference)


def _loss(objective, log_prob):
    """Return how much worse the policy is than the best without constraints."""
    try:
        return objective.gap(log_prob)
    except LengthExplosionError:
        return float("inf")
