"""How sure ratings are: the sandwich by group, comparisons of all models at once, sets of ranks."""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import expit
from scipy.stats import norm, t

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._few_groups import check_several_groups, critical_value
from sklearn_codex._reward.jackknife import GroupMoves, sort_by_group
from sklearn_codex._reward.tie_losses import TIE_LOSSES
from sklearn_codex._solve.precision import make_precision

# Above 0, so that the residual of a vote that the model is sure of has a unit.
LEAST_CURVATURE = 1e-300
# Part of the mean information of a rating that stands for a penalty where there is none, since
# what is the same for all models is not determined. It leaves differences as they are.
LEAST_PENALTY = 1e-9
# Votes times weights beyond which a group is not left out to find what it does to the fit.
MOST_LEFT_OUT = 2 * 10**7
# Differences drawn to find the greatest of all, and draws at one time.
MOST_DRAWN, CHUNK_DRAWN = 4 * 10**8, 500


class Moments(NamedTuple):
    """Rows times the root of their curvature, and what is left of them over it.

    Parameters
    ----------
    rows : csr_array of shape (n, n_params)
        Z, with Z' Z the information.
    residual : ndarray of shape (n,)
        r, with Z' r the score.
    code : ndarray of int of shape (n,)
        Group of each row.
    """

    rows: Any
    residual: FloatArray
    code: IntArray


def half_moments(design, margin, target, weight, code) -> Moments:
    """Return the moments of the Bradley-Terry model."""
    curvature = np.maximum(weight * expit(margin) * expit(-margin), LEAST_CURVATURE)
    root = np.sqrt(curvature)
    against = (1 - target) * expit(margin) - target * expit(-margin)
    rows = sparse.csr_array(sparse.diags_array(root) @ sparse.csr_array(design))
    return Moments(rows, -weight * against / root, code)


def tie_moments(design, margin, target, weight, code, *, tie_model, log_tie) -> Moments:
    """Return the moments of a model of ties, whose parameter is the last column.

    A vote is two rows, by the Cholesky factor of its second derivatives by margin and parameter.
    """
    loss = TIE_LOSSES[tie_model](design, np.rint(2 * target).astype(np.intp), weight)
    by_margin, by_tie = (weight * first for first in loss.first_derivatives(margin, log_tie))
    second = (weight * part for part in loss.second_derivatives(margin, log_tie))
    margins, cross, ties = second
    first = np.sqrt(np.maximum(margins, LEAST_CURVATURE))
    across = cross / first
    rest = np.maximum(ties - across**2, 0.0)
    # Where the parameter enters as the margin does nothing is left but rounding.
    last = np.sqrt(np.where(rest > 1e-12 * ties, rest, 0.0))
    upper = -by_margin / first
    lower = np.divide(-by_tie - across * upper, last, out=np.zeros_like(last), where=last > 0)
    scaled = sparse.diags_array(first) @ sparse.csr_array(design)
    upper_rows = sparse.hstack([scaled, sparse.csr_array(across[:, np.newaxis])])
    empty = sparse.csr_array(design.shape)
    lower_rows = sparse.hstack([empty, sparse.csr_array(last[:, np.newaxis])])
    rows = sparse.csr_array(sparse.vstack([upper_rows, lower_rows]))
    return Moments(rows, np.concatenate([upper, lower]), np.concatenate([code, code]))


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
    def _parts(self) -> tuple[Any, GroupMoves]:
        """What solves for the parameters, and how leaving out groups moves them."""
        order, sizes = sort_by_group(self._moments.code)
        check_several_groups(len(sizes), subject="Standard errors of ratings")
        rows, residual = self._moments.rows[order], self._moments.residual[order]
        penalty = self._penalty.copy()
        n_models = len(self.ratings)
        squares = np.asarray(rows.power(2).sum(axis=0)).ravel()
        least = LEAST_PENALTY * max(float(np.mean(squares[:n_models])), LEAST_CURVATURE)
        penalty[:n_models] = np.maximum(penalty[:n_models], least)
        precision = make_precision(rows, penalty, method="dense")
        leave_out = rows.shape[0] * rows.shape[1] <= MOST_LEFT_OUT
        return precision, GroupMoves(precision, rows, residual, sizes, leave_out=leave_out)

    @property
    def n_groups(self) -> int:
        """Groups of the sandwich."""
        return self._parts[1].n_groups

    @cached_property
    def _solved(self) -> FloatArray:
        """A^-1 C (n_params, n_models) of ratings C' w."""
        return self._parts[0].solve(self.contrasts.T)

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance (n_models, n_models) of ratings; infinite on the diagonal of infinite ones."""
        groups = self._parts[1]
        moves = groups.move(self._solved)  # (n_groups, n_models)
        covariance = groups.factor * (moves.T @ moves)
        lost = ~self.is_finite
        covariance[lost] = 0.0
        covariance[:, lost] = 0.0
        covariance[lost, lost] = np.inf
        return covariance

    @cached_property
    def n_effective(self) -> FloatArray:
        """Effective number of groups (n_models,) that tell of each rating."""
        return self._parts[1].n_effective(self._solved)

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
        finite = np.flatnonzero(self.is_finite)
        covariance = self.covariance[np.ix_(finite, finite)]
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))  # (m, m)
        if len(finite) < 2:
            return np.zeros(1)
        variance = np.diag(covariance)
        std = np.sqrt(np.maximum(variance[:, np.newaxis] + variance - 2 * covariance, 0.0))
        scale = np.divide(1.0, std, out=np.zeros_like(std), where=std > 0)
        n_draws = int(np.clip(MOST_DRAWN // len(finite) ** 2, 1_000, 10_000))
        random = np.random.RandomState(self._seed)
        found = []
        for start in range(0, n_draws, CHUNK_DRAWN):
            n_here = min(CHUNK_DRAWN, n_draws - start)
            drawn = root @ random.standard_normal((len(finite), n_here))
            greatest = np.zeros(n_here)
            for i in range(len(finite) - 1):
                apart = np.abs(drawn[i + 1 :] - drawn[i]) * scale[i + 1 :, [i]]
                np.maximum(greatest, apart.max(axis=0), out=greatest)
            found.append(greatest)
        return np.sort(np.concatenate(found))

    def adjusted(self, p_value: FloatArray, method: str) -> FloatArray:
        """Return p-values (n_models, n_models) that hold for all differences together.

        Parameters
        ----------
        p_value : ndarray of shape (n_models, n_models)
            Those of single differences.
        method : {"max-t", "holm"}
            See ``ModelRatings.comparisons``.
        """
        one, other = np.triu_indices(len(p_value), 1)
        single = p_value[one, other]
        if method == "holm":
            found = holm(single)
        else:
            # As far out as a normal variable of that p-value, whatever the degrees of freedom.
            distance = norm.isf(single / 2)
            below = np.searchsorted(self.greatest, distance, side="left")
            found = (1 + len(self.greatest) - below) / (1 + len(self.greatest))
            found = np.maximum(np.minimum(found, 1.0), single)
        result = np.ones_like(p_value)
        result[one, other] = result[other, one] = found
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
