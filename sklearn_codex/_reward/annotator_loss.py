"""Maths of pairs labelled by annotators who are not equally reliable.

Parameters are the weights w (V,) of the reward, the log-precision l (K,) of each annotator, of
which the mean is taken off, and z with the flip rate e = sigmoid(z) / 2, left out where e is given.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import expit, log_expit

from sklearn_codex._categorical import FloatArray
from sklearn_codex._solve.newton import Point, SmoothLoss


@dataclass(frozen=True)
class AnnotatorPrior:
    """Gaussian priors of what is not a weight.

    Attributes
    ----------
    temperature_scale : float
        Standard deviation of l.
    flip_center, flip_scale : float
        Mean and standard deviation of z.
    """

    temperature_scale: float
    flip_center: float
    flip_scale: float


@dataclass(frozen=True)
class _Labels:
    """What the loss needs of each pair at some parameters, (n_pairs,) each.

    ``slope`` is dP / d eta and ``by_flip`` is dP / dz, both over the root of P (1 - P); ``score``
    is the derivative of the loss by P times that root, and ``bend`` the second one times P (1 - P),
    of which the expectation is 1.
    """

    precision: FloatArray
    margin: FloatArray
    slope: FloatArray
    by_flip: FloatArray
    score: FloatArray
    bend: FloatArray


@dataclass(frozen=True)
class AnnotatorHessian:
    """Hessian of the loss at the labels there are, with that of the priors; it may be indefinite.

    Attributes
    ----------
    loss : AnnotatorLoss
        Of which.
    labels : _Labels
        At some parameters.
    rate : float
        The flip rate e there.
    """

    loss: Any
    labels: _Labels
    rate: float

    @cached_property
    def _second_derivatives(self):
        """Weighted second derivatives by eta, by eta and z, and by z, (n_pairs,) each."""
        at, weight = self.labels, self.loss.weight
        by_eta = at.bend * at.slope - at.score * np.tanh(at.precision * at.margin / 2)
        by_both = at.bend * at.by_flip - 2 * self.rate * at.score
        by_flip = at.bend * at.by_flip + at.score * (1 - 4 * self.rate)
        return (
            weight * at.slope * by_eta,
            weight * at.slope * by_both,
            weight * at.by_flip * by_flip,
        )

    def product(self, direction):
        """Return H d and, computed on the way, D d (n_pairs,)."""
        loss, at = self.loss, self.labels
        by_eta, by_both, by_flip = self._second_derivatives
        weights, log_precision, flip = loss.split(direction)
        log_factor = (log_precision - log_precision.mean())[loss.annotator]
        image = loss.design.matvec(weights)
        moved = at.precision * image
        eta, gradient = at.precision * at.margin, loss.weight * at.slope * at.score
        along = moved + eta * log_factor
        change = by_eta * along + by_both * np.sum(flip)
        by_annotator = np.bincount(
            loss.annotator, eta * change + gradient * along, minlength=loss.n_annotators
        )
        rest = [np.sum(by_both * along) + np.sum(by_flip) * flip[0]] if len(flip) else []
        data = [
            loss.design.rmatvec(at.precision * (change + gradient * log_factor)),
            by_annotator - by_annotator.mean(),
            rest,
        ]
        return np.concatenate(data) + loss.prior_precision * direction, image

    def diagonal(self):
        """Return the diagonal of Fisher's information, which is positive."""
        return AnnotatorCurvature(self.loss, self.labels).diagonal()


@dataclass(frozen=True)
class AnnotatorCurvature:
    """Fisher information of the parameters, with that of the priors."""

    loss: Any
    labels: _Labels

    def product(self, direction):
        """Return H d and, computed on the way, D d (n_pairs,)."""
        loss, at = self.loss, self.labels
        weights, log_precision, flip = loss.split(direction)
        by_annotator = log_precision - log_precision.mean()
        image = loss.design.matvec(weights)
        moved = at.precision * (image + at.margin * by_annotator[loss.annotator])
        moved = loss.weight * (at.slope * moved + at.by_flip * np.sum(flip))
        return loss.pull_back(at, moved) + loss.prior_precision * direction, image

    def diagonal(self):
        """Return the diagonal of H, that of annotators without their mean."""
        loss, at = self.loss, self.labels
        slope = loss.weight * (at.slope * at.precision) ** 2
        by_annotator = np.bincount(
            loss.annotator, slope * at.margin**2, minlength=loss.n_annotators
        )
        flip = [np.sum(loss.weight * at.by_flip**2)] if loss.flip_rate is None else []
        data = np.concatenate([loss.design.column_squares(slope), by_annotator, flip])
        return data + loss.prior_precision


class AnnotatorLoss(SmoothLoss):
    r"""Penalised log-loss of labels of annotators.

    Parameters
    ----------
    design : MarginOperator of shape (n_pairs, V)
        D.
    target : ndarray of shape (n_pairs,)
        Probability that A is recorded as preferred.
    annotator : ndarray of int of shape (n_pairs,)
        Who labelled each pair, from 0.
    sample_weight : ndarray of shape (n_pairs,)
        Weights of pairs.
    C : float
        Prior variance of the weights.
    prior : AnnotatorPrior
        Priors of the others.
    flip_rate : float or None
        e where it is given.

    Notes
    -----
    .. math::
        P_i = (1 - e)\, \sigma(\eta_i) + e\, \sigma(-\eta_i), \quad
        \eta_i = e^{l_{a(i)} - \bar l}\, (D w)_i,

    and f is minus the log-likelihood of the targets under P, plus the priors. It is not convex; the
    Fisher information stands in for the Hessian, unless ``is_near`` says that a minimum is so near
    that the Hessian itself is positive definite, and Newton's steps are the better ones.
    """

    is_near = False

    def __init__(self, design, target, annotator, sample_weight, *, C, prior, flip_rate):
        self.design = design
        self.target = target
        self.annotator = annotator
        self.weight = sample_weight
        self.flip_rate = flip_rate
        self.n_annotators = int(annotator.max()) + 1
        n_features = design.shape[1]
        self.center = np.zeros(n_features + self.n_annotators + (flip_rate is None))
        self.prior_precision = np.ones_like(self.center)
        self.prior_precision[:n_features] = 1 / C
        self.prior_precision[n_features:] = 1 / prior.temperature_scale**2
        if flip_rate is None:
            self.center[-1] = prior.flip_center
            self.prior_precision[-1] = 1 / prior.flip_scale**2

    def split(self, params):
        """Return w (V,), l (K,) and z (1,), or (0,) where the flip rate is given."""
        first = self.design.shape[1]
        last = first + self.n_annotators
        return params[:first], params[first:last], params[last:]

    def rate(self, z):
        """Return the flip rate e."""
        return self.flip_rate if self.flip_rate is not None else float(expit(z[0])) / 2

    def _log_prob(self, eta, rate):
        """Return log P and log(1 - P) (n_pairs,)."""
        log_rate = np.log(rate) if rate > 0 else -np.inf
        kept = np.log1p(-2 * rate)
        return tuple(np.logaddexp(log_rate, kept + log_expit(sign * eta)) for sign in (1, -1))

    def at(self, weights, margins=None):
        """Return f at parameters."""
        w, log_precision, z = self.split(weights)
        if margins is None:
            margins = self.design.matvec(w)
        precision = np.exp(log_precision - log_precision.mean())[self.annotator]
        log_prob = self._log_prob(precision * margins, self.rate(z))
        data = -np.sum(self.weight * _mix(self.target, *log_prob))
        prior = 0.5 * np.sum(self.prior_precision * (weights - self.center) ** 2)
        return Point(weights, margins, float(data + prior), kept=(precision, log_prob))

    def _labels(self, point, rate) -> _Labels:
        precision, (log_a, log_b) = point.kept
        eta = precision * point.margins
        half = (log_a + log_b) / 2
        slope = np.exp(np.log1p(-2 * rate) + log_expit(eta) + log_expit(-eta) - half)
        by_flip = np.zeros_like(eta)
        if self.flip_rate is None:
            by_flip = -rate * (1 - 2 * rate) * np.tanh(eta / 2) * np.exp(-half)
        root_odds = np.exp(np.clip((log_a - log_b) / 2, -350, 350))
        score = (1 - self.target) * root_odds - self.target / root_odds
        bend = (1 - self.target) * root_odds**2 + self.target / root_odds**2
        return _Labels(precision, point.margins, slope, by_flip, score, bend)

    def pull_back(self, at: _Labels, values: FloatArray) -> FloatArray:
        """Return the derivative by the parameters of the inner product of values with P."""
        by_eta = at.slope * at.precision * values
        by_annotator = np.bincount(self.annotator, at.margin * by_eta, self.n_annotators)
        flip = [np.sum(at.by_flip * values)] if self.flip_rate is None else []
        return np.concatenate(
            [self.design.rmatvec(by_eta), by_annotator - by_annotator.mean(), flip]
        )

    def derivatives(self, point):
        """Return the gradient, and the Fisher information for the Hessian or, if near, that."""
        rate = self.rate(self.split(point.weights)[2])
        at = self._labels(point, rate)
        prior = self.prior_precision * (point.weights - self.center)
        gradient = self.pull_back(at, self.weight * at.score) + prior
        if self.is_near:
            return gradient, AnnotatorHessian(self, at, rate)
        return gradient, AnnotatorCurvature(self, at)


def _mix(target, log_a, log_b):
    """Return p log P + (1 - p) log(1 - P), with 0 log 0 = 0."""
    return np.where(target > 0, target * log_a, 0.0) + np.where(
        target < 1, (1 - target) * log_b, 0.0
    )
