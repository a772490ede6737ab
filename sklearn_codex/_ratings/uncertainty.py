"""How sure ratings are: the sandwich by group, comparisons of all models at once, sets of ranks."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.stats import norm, t

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._few_groups import FEWEST_GROUPS, check_several_groups, critical_value
from sklearn_codex._reward.jackknife import GroupMoves, sort_by_group
from sklearn_codex._solve.precision import make_precision

# Above 0, so that the residual of a vote that the model is sure of has a unit.
LEAST_CURVATURE = 1e-300
# Part of the mean information of a rating that stands for a penalty where there is none, since
# what is the same for all models is not determined. It leaves differences as they are.
LEAST_PENALTY = 1e-9
# Part of the variance that independent votes would have, below which groups show none.
LEAST_SPREAD = 1e-9
# Votes times weights beyond which a group is not left out to find what it does to the fit.
MOST_LEFT_OUT = 2 * 10**7
# Differences drawn to find the greatest of all, and at one time.
MOST_DRAWN, CHUNK_DRAWN = 4 * 10**8, 2 * 10**6


class Moments(NamedTuple):
    """Rows times the root of their curvature, and what is left of them over it.

    Parameters
    ----------
    rows : csr_array of shape (n, n_params)
        Z, with Z' Z the information.
    residual : ndarray of shape (n,)
        r, with Z' r the score.
    code : ndarray of int of shape (n,) or (n, 2)
        Group of each row, or its groups of two ways.
    """

    rows: Any
    residual: FloatArray
    code: IntArray


def make_moments(designs, first: FloatArray, second: FloatArray, code: IntArray) -> Moments:
    """Return the moments of votes whose losses depend on k predictors that are linear.

    A vote is k rows, by the Cholesky factor of its second derivatives.

    Parameters
    ----------
    designs : list of csr_array of shape (n, n_params)
        What makes the k predictors of parameters.
    first : ndarray of shape (k, n)
        Derivatives of weighted losses by predictors.
    second : ndarray of shape (k, k, n)
        Their second derivatives.
    code : ndarray of int of shape (n,) or (n, 2)
        Group of each vote.
    """
    k = len(designs)
    factor, residual, rows = np.zeros_like(second), np.zeros_like(first), []
    for j in range(k):
        rest = second[j, j] - (factor[j, :j] ** 2).sum(axis=0)
        # Where a predictor enters as others do nothing is left but rounding.
        rest = np.where(rest > 1e-12 * second[j, j], rest, LEAST_CURVATURE if j == 0 else 0.0)
        factor[j, j] = np.sqrt(rest)
        for i in range(j + 1, k):
            across = second[i, j] - (factor[i, :j] * factor[j, :j]).sum(axis=0)
            np.divide(across, factor[j, j], out=factor[i, j], where=rest > 0)
        left = -first[j] - (factor[j, :j] * residual[:j]).sum(axis=0)
        np.divide(left, factor[j, j], out=residual[j], where=rest > 0)
    for j in range(k):
        parts = [sparse.diags_array(factor[i, j]) @ designs[i] for i in range(j, k)]
        rows.append(sum(parts[1:], start=parts[0]))
    stacked = sparse.csr_array(sparse.vstack(rows))
    return Moments(stacked, residual.ravel(), np.concatenate([code] * k))


class RatingUncertainty:
    r"""Covariance of ratings by the jackknife of groups, and what follows for their order.

    Parameters
    ----------
    moments : Moments
        Of all votes.
    penalty : ndarray of shape (n_params,)
        Factors of the penalty.
    contrasts : ndarray of shape (n_models, n_params)
        Ratings as functions of the parameters.
    ratings : ndarray of shape (n_models,)
        Them.
    is_finite : ndarray of bool of shape (n_models,)
        Which ratings the data determine.
    seed : int
        Of the draws of the greatest difference.
    """

    def __init__(self, moments, penalty, contrasts, ratings, is_finite, seed):
        self._moments = moments
        self._penalty = penalty
        self.contrasts = contrasts
        self.ratings = ratings
        self.is_finite = is_finite
        self._seed = seed

    @cached_property
    def _solved_penalty(self) -> FloatArray:
        """Factors of the penalty (n_params,), none of a rating 0."""
        rows, penalty = self._moments.rows, self._penalty.copy()
        n_models = len(self.ratings)
        squares = np.asarray(rows.power(2).sum(axis=0)).ravel()
        least = LEAST_PENALTY * max(float(np.mean(squares[:n_models])), LEAST_CURVATURE)
        penalty[:n_models] = np.maximum(penalty[:n_models], least)
        return penalty

    @cached_property
    def _precision(self) -> Any:
        """What solves for the parameters."""
        return make_precision(self._moments.rows, self._solved_penalty, method="dense")

    @cached_property
    def _ways(self) -> list[GroupMoves]:
        """How leaving out groups moves the parameters: of one way, or of two and of both at once.

        Of two ways the third has votes in one group that are of one group in both.
        """
        code = self._moments.code
        if code.ndim == 1:
            return [self._leave_out(code)]
        one, other = code.T.astype(np.int64)
        return [self._leave_out(way) for way in (one, other, one * (other.max() + 1) + other)]

    def _leave_out(self, code) -> GroupMoves:
        order, sizes = sort_by_group(code)
        check_several_groups(len(sizes), subject="Standard errors of ratings")
        rows, residual = self._moments.rows[order], self._moments.residual[order]
        leave_out = rows.shape[0] * rows.shape[1] <= MOST_LEFT_OUT
        return GroupMoves(self._precision, rows, residual, sizes, leave_out=leave_out)

    @property
    def n_groups(self) -> int:
        """Groups of the sandwich, of two ways of that with fewer."""
        return min(way.n_groups for way in self._ways[:2])

    @cached_property
    def _solved(self) -> FloatArray:
        """A^-1 C (n_params, n_models) of ratings C' w."""
        return self._precision.solve(self.contrasts.T)

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance (n_models, n_models) of ratings; infinite on the diagonal of infinite ones."""
        covariance, *others = map(self._spread, self._ways)
        if others:
            covariance = positive_part(covariance + others[0] - others[1])
        covariance = self._with_least(covariance)
        lost = ~self.is_finite
        covariance[lost] = 0.0
        covariance[:, lost] = 0.0
        covariance[lost, lost] = np.inf
        return covariance

    def _with_least(self, covariance: FloatArray) -> FloatArray:
        """Return a covariance (n_models, n_models) no smaller than that of independent votes.

        So where fewer than ``FEWEST_GROUPS`` groups in effect tell of a rating, which may agree by
        chance, or where what all groups say is the same, as of ties only: that they show no
        variance does not mean that there is none.
        """
        penalty = self._solved_penalty[:, np.newaxis]
        least = self.contrasts @ self._solved - self._solved.T @ (penalty * self._solved)
        is_few = self.n_effective < FEWEST_GROUPS
        shows_none = np.diag(covariance) <= LEAST_SPREAD * np.diag(least)
        known = np.flatnonzero((is_few | shows_none) & self.is_finite)
        if not len(known):
            return covariance
        within = np.ix_(known, known)
        lacking = least[within] - covariance[within]
        covariance = covariance.copy()
        covariance[within] += positive_part((lacking + lacking.T) / 2)
        return covariance

    def _spread(self, groups) -> FloatArray:
        """Return the covariance (n_models, n_models) by groups of one way."""
        moves = groups.move(self._solved)  # (n_groups, n_models)
        return groups.factor * (moves.T @ moves)

    @cached_property
    def n_effective(self) -> FloatArray:
        """Effective number of groups (n_models,) that tell of each rating, the least of two."""
        return np.min([way.n_effective(self._solved) for way in self._ways[:2]], axis=0)

    def half_width(self, confidence_level: float) -> FloatArray:
        """Return how far intervals (n_models,) of single ratings go to each side."""
        std = np.sqrt(np.diag(self.covariance))
        return critical_value(confidence_level, self.n_effective, self.n_groups) * std

    def differences(self) -> "Differences":
        """Return what is known of each rating less each other."""
        variance = np.diag(self.covariance)
        finite = np.where(np.isfinite(variance), variance, 0.0)
        covariance = np.where(np.isfinite(self.covariance), self.covariance, 0.0)
        square = np.maximum(finite[:, np.newaxis] + finite - 2 * covariance, 0.0)
        std = np.sqrt(square)
        both = self.is_finite[:, np.newaxis] & self.is_finite
        std[~both] = np.inf
        np.fill_diagonal(std, 0.0)
        n_effective = np.minimum(self.n_effective[:, np.newaxis], self.n_effective)
        # An interval of few groups is wider than its standard error and Student's t alone say.
        widened = std * np.sqrt((1 - 1 / n_effective) / (1 - 1 / self.n_groups))
        with np.errstate(invalid="ignore"):
            difference = self.ratings[:, np.newaxis] - self.ratings
        ratio = np.divide(
            np.abs(np.where(both, difference, 0.0)),
            widened,
            out=np.zeros_like(widened),
            where=(widened > 0) & both,
        )
        p_value = 2 * t.sf(ratio, n_effective - 1)
        return Differences(difference, std, np.minimum(p_value, 1.0), n_effective)

    @cached_property
    def greatest(self) -> FloatArray:
        r"""Draws, sorted, of the greatest :math:`|Z_i - Z_j| / s_{ij}`, Z as ratings vary."""
        one, other = np.triu_indices(int(self.is_finite.sum()), 1)
        if not len(one):
            return np.zeros(1)
        found = [np.abs(ratio).max(axis=0) for ratio in self._draw(one, other)]
        return np.sort(np.concatenate(found))

    def _draw(self, one, other) -> Iterator[FloatArray]:
        """Yield draws (n_pairs, n_here) of the ratios of differences of models with finite ratings.

        The same draws each time.
        """
        finite = np.flatnonzero(self.is_finite)
        covariance = self.covariance[np.ix_(finite, finite)]
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))  # (m, m)
        variance = np.diag(covariance)
        std = np.sqrt(np.maximum(variance[one] + variance[other] - 2 * covariance[one, other], 0.0))
        scale = np.divide(1.0, std, out=np.zeros_like(std), where=std > 0)[:, np.newaxis]
        n_draws = int(np.clip(MOST_DRAWN // len(finite) ** 2, 1_000, 10_000))
        n_here = max(1, CHUNK_DRAWN // len(one))
        random = np.random.RandomState(self._seed)
        for start in range(0, n_draws, n_here):
            size = min(n_here, n_draws - start)
            drawn = root @ random.standard_normal((len(finite), size))
            yield (drawn[one] - drawn[other]) * scale

    def adjusted(self, p_value: FloatArray, method: str) -> FloatArray:
        """Return p-values (n_models, n_models) that hold for all differences together.

        Parameters
        ----------
        p_value : ndarray of shape (n_models, n_models)
            Those of single differences.
        method : {"max-t", "holm"}
            See ``ModelRatings.comparisons``.
        """
        if method == "max-t":
            return self._stepped_down
        one, other = np.triu_indices(len(p_value), 1)
        result = np.ones_like(p_value)
        result[one, other] = result[other, one] = holm(p_value[one, other])
        return result

    @cached_property
    def _stepped_down(self) -> FloatArray:
        """P-values (n_models, n_models) of differences by the greatest ratio, stepping down."""
        known = self.differences()
        finite = np.flatnonzero(self.is_finite)
        one, other = np.triu_indices(len(finite), 1)
        result = np.ones_like(known.p_value)
        if not len(one):
            return result
        single = known.p_value[finite[one], finite[other]]
        turned = known.value[finite[one], finite[other]] < 0
        one, other = np.where(turned, other, one), np.where(turned, one, other)
        order = np.argsort(single, kind="stable")
        # As far out as a normal variable of that p-value, whatever the degrees of freedom.
        distance = norm.isf(single / 2)[order]
        found = step_down(distance, self._draw(one[order], other[order]))
        adjusted = np.empty_like(single)
        adjusted[order] = np.maximum(found, single[order])
        one, other = finite[one], finite[other]
        result[one, other] = result[other, one] = adjusted
        return result

    def rank_sets(self, level: float) -> IntArray:
        """Return the best and the worst rank (n_models, 2) of each model, from 1, all together."""
        differences = self.differences()
        told = self.adjusted(differences.p_value, "max-t") < level
        with np.errstate(invalid="ignore"):
            worse = (told & (differences.value < 0)).sum(axis=1)  # models that are better
            better = (told & (differences.value > 0)).sum(axis=1)
        return np.column_stack([1 + worse, len(self.ratings) - better])


class Differences(NamedTuple):
    """Ratings less each other.

    Parameters
    ----------
    value, std, p_value, n_effective : ndarray of shape (n_models, n_models)
        Of row less column: the difference, its standard error, the two-sided p-value of no
        difference, and how many groups in effect tell of it.
    """

    value: FloatArray
    std: FloatArray
    p_value: FloatArray
    n_effective: FloatArray


def positive_part(matrix: FloatArray) -> FloatArray:
    """Return a symmetric matrix (n, n) with 0 for its eigenvalues that are negative.

    Examples
    --------
    >>> positive_part(np.array([[1.0, 2.0], [2.0, 1.0]])).round(6).tolist()
    [[1.5, 1.5], [1.5, 1.5]]
    """
    values, vectors = np.linalg.eigh(matrix)
    if values[0] >= 0:
        return matrix
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return root @ root.T


def step_down(distance: FloatArray, draws: Iterable[FloatArray]) -> FloatArray:
    r"""Return p-values (n,) of one-sided hypotheses that step down, which hold together.

    Parameters
    ----------
    distance : ndarray of shape (n,)
        Ratios, falling, none of them negative: how far each difference is to its side.
    draws : iterable of ndarray of shape (n, n_here)
        Ratios under the hypotheses that differences are 0, in the same order and orientation.

    Notes
    -----
    Hypotheses are of both sides of each difference: not greater, and not less. Of the n that are
    not on the side that is seen none is ever rejected. The p-value of the j-th of the others is

    .. math:: p_j = \max_{i \le j} P\Big(\max\big(\max_{k \ge i} T_k,
        \max_k (-T_k)\big) \ge t_i\Big),

    so what has been rejected is no longer compared on its side, and the first p-value is that of
    the greatest of all :math:`|T_k|`.
    """
    at_least, n_draws = np.ones(len(distance)), 1
    for ratio in draws:
        against = -ratio.min(axis=0)
        rest = np.maximum.accumulate(ratio[::-1], axis=0)[::-1]
        np.maximum(rest, against, out=rest)
        at_least += (rest >= distance[:, np.newaxis]).sum(axis=1)
        n_draws += ratio.shape[1]
    return np.maximum.accumulate(at_least / n_draws)


def holm(p_value: FloatArray) -> FloatArray:
    """Return the p-values (n,) of Holm's method, valid whatever the dependence.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    n = len(p_value)
    order = np.argsort(p_value, kind="stable")
    stepped = np.maximum.accumulate((n - np.arange(n)) * p_value[order])
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
