"""What linear reward models of pairs do alike: read pairs, solve, tell margins and features."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._data.designs import NuisanceDesign, length_columns, length_scale
from sklearn_codex._data.pairs import read_pairs
from sklearn_codex._data.rounded import to_fit
from sklearn_codex._data.text_pairs import TextPairs
from sklearn_codex._partitions import lazy_on_dask
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights
from sklearn_codex._reward.lengths import check_source, keep_source, lengths_of
from sklearn_codex._reward.pair_classifier import PairClassifierMixin
from sklearn_codex._reward.presets import choose_vectorizer, is_preset
from sklearn_codex._reward.targets import (
    PreferenceLabels,
    check_both_preferred,
    check_labels,
    warn_of_order,
)
from sklearn_codex._solve.fit_monitor import FitMonitor
from sklearn_codex._solve.newton import FitState
from sklearn_codex._solve.precision import MatrixPrecision, WeightCovariance, settle_free
from sklearn_codex.exceptions import SeparationWarning


@dataclass(frozen=True)
class TrainingProblem:
    """Validated training data: what the loss is made of.

    Attributes
    ----------
    design : MarginOperator of shape (n_pairs, V + k)
        Columns of rewards, then those of nuisances.
    pairs : TextPairs or None
        The pairs as they are known again, where they are.
    labels : PreferenceLabels
        One a pair.
    weight : ndarray of shape (n_pairs,)
        Sample weights.
    penalty : ndarray of shape (V + k,)
        1 for weights of the reward, 0 for nuisances.
    """

    design: Any
    pairs: TextPairs | None
    labels: PreferenceLabels
    weight: FloatArray
    penalty: FloatArray

    def make_loss(self, C: float, penalty: FloatArray | None = None) -> BradleyTerryLoss:
        """Return the loss of the pairs, with another penalty (V + k,) where it is given."""
        return BradleyTerryLoss(
            self.design,
            self.labels.target,
            self.weight,
            C=C,
            penalty=self.penalty if penalty is None else penalty,
        )

    def is_told_by(self, biases: FloatArray) -> bool:
        """Return whether what nuisances (k,) add to the margins has the side of all labels."""
        counted = self.weight > 0
        side = 2 * self.labels.target[counted] - 1
        by_bias = self.design.columns[counted] @ biases
        return bool(np.all(np.abs(side) == 1) and np.all(side * by_bias > 0))


class RewardModelBase(CallbackSupportMixin, PairClassifierMixin, BaseEstimator):
    """Reading, solving and margins of a linear reward of pairs. Fits decide what is solved.

    Derived classes have the parameters ``vectorizer``, ``position_bias``, ``control_length``,
    ``tol`` and ``max_iter``. Keep new ideas out of here: this class is what they all share.
    """

    vectorizer: Any
    position_bias: bool
    control_length: bool
    tol: float
    max_iter: int
    coef_: FloatArray
    position_bias_: float
    length_coef_: Any
    length_scale_: Any
    n_features_in_: int
    history_: list[dict]

    def _read(self, X, y, sample_weight, *, reset=True) -> TrainingProblem:
        """Validate training data and set all that is learned from pairs before any weight."""
        subject = type(self).__name__
        vectorizer = choose_vectorizer(self.vectorizer)
        read = read_pairs(self, X, reset=reset, vectorizer=vectorizer)
        labels = check_labels(y, subject=subject)
        check_consistent_length(read.design, labels.target)
        if reset and read.text is not None:
            warn_of_order(labels.classes, subject=subject)
        weight = check_weight(sample_weight, labels.target)
        if reset:
            self.length_scale_ = None
            if self.control_length:
                lengths = lengths_of(self, read)
                self.length_scale_ = length_scale(lengths.difference, weight)
                keep_source(self, lengths.source)
        design = self._add_nuisances(read, to_fit(read.design, self.tol))
        penalty = np.ones(design.shape[1])
        penalty[self.n_features_in_ :] = 0.0
        return TrainingProblem(design, read.known, labels, weight, penalty)

    def _has_preset(self):
        return is_preset(self.vectorizer)

    def _require_both_preferred(self, problem):
        """Raise where labels are of one class, unless they are soft and the model symmetric."""
        if not problem.labels.soft or self.position_bias:
            check_both_preferred(problem.labels, problem.weight, subject=type(self).__name__)

    def _warn_if_biases_separate(self, problem):
        """Warn where position and length alone tell all labels, so that no weight is enough."""
        if not (self.position_bias or self.control_length):
            return
        if problem.is_told_by(self._weights()[self.n_features_in_ :]):
            warnings.warn(
                f"{type(self).__name__} found that position and length alone tell every label of "
                "the training pairs. Their weights have no penalty, so they have no finite "
                "optimum; they are as large as tol made them, and the reward has nothing left to "
                "explain. Look at the data, or leave position_bias and control_length out.",
                SeparationWarning,
                stacklevel=3,
            )

    def _design(self, X):
        return self._add_nuisances(read_pairs(self, X, reset=False))

    def _add_nuisances(self, read, design=None):
        """Return the design of pairs with columns of position and length, where asked for."""
        design, columns = read.design if design is None else design, []
        if self.position_bias:
            columns.append(np.ones((design.shape[0], 1)))
        if self.control_length:
            lengths = lengths_of(self, read)
            check_source(self, lengths.source)
            columns.append(length_columns(lengths.difference, self.length_scale_))
        return NuisanceDesign(design, np.hstack(columns)) if columns else design

    def _minimise(self, loss, start=None, context=None) -> FitState:
        """Minimise a loss, keep its history, report its iterations, set the weights."""
        monitor = FitMonitor(self, loss, context, self._attributes_of)
        self.history_ = monitor.history
        state = fit_weights(loss, start, tol=self.tol, max_iter=self.max_iter, callback=monitor)
        self.__dict__.update(self._attributes_of(state.point.weights))
        self.loss_ = self.history_[-1]["loss"]
        self.n_iter_ = state.iteration
        if not (state.converged or monitor.stopped):
            warnings.warn(
                f"{type(self).__name__} did not converge in max_iter={self.max_iter} steps: the "
                f"norm of the gradient is {state.gradient_norm:.1e} of that at zero weights, not "
                f"tol={self.tol:g}. Increase max_iter, decrease C, or scale the features.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return state

    def _attributes_of(self, weights):
        """Return the fitted attributes that weights (V + k,) of rewards and nuisances are.

        Other weights may follow.
        """
        n = self.n_features_in_
        position = float(weights[n]) if self.position_bias else 0.0
        start = n + bool(self.position_bias)
        length = weights[start : start + 2] if self.control_length else np.zeros(2)
        return {
            "coef_": weights[np.newaxis, :n],
            "position_bias_": position,
            "length_coef_": length,
        }

    def _weights(self):
        """Return the weights (V + k,) of rewards and nuisances, as the solver has them."""
        nuisances = [[self.position_bias_]] if self.position_bias else []
        if self.control_length:
            nuisances.append(self.length_coef_)
        return np.concatenate([self.coef_[0], *nuisances])

    @lazy_on_dask()
    def reward_margin(self, X):
        """Return r(A) - r(B) of each pair: the margin without position and length.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        margin : ndarray of shape (n_pairs,)
            Log-odds that A is preferred where the order of the two does not matter and, with
            ``control_length=True``, both are of one length. The same as ``decision_function`` where
            neither is modelled.
        """
        check_is_fitted(self)
        return read_pairs(self, X, reset=False).design.matvec(self.coef_[0])

    def predict_margin(self, X, return_std=False):
        r"""Return the margin of each pair, as ``decision_function``, and its standard error.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.
        return_std : bool, default=False
            Whether to return standard errors too.

        Returns
        -------
        margin : ndarray of shape (n_pairs,)
            Log-odds that A is preferred, in nats.
        std : ndarray of shape (n_pairs,)
            Their standard errors; only with ``return_std=True``.

        Raises
        ------
        ValueError
            If standard errors are asked for, and the model keeps no curvature matrix: it does up
            to 128 weights, after ``fit`` or ``partial_fit`` of a ``PreferenceRewardModel``.

        See Also
        --------
        RewardUncertainty : Standard errors for any number of weights, robust ones, and intervals.

        Notes
        -----
        Those of the Laplace approximation, :math:`\sqrt{C\, x' Q^{-1} x}` with Q the penalty and
        the curvature of the loss: after ``fit`` what ``RewardUncertainty(kind="laplace")`` has,
        after a stream from the curvatures of its batches. They take pairs as independent, and a
        weight of 2 as two of them.
        """
        return self._margin(X, return_std)

    def _deviation(self, rows):
        return np.sqrt(self._covariance().variance(rows))

    def _covariance(self) -> WeightCovariance:
        """Return the covariance of the weights (V + k, V + k) by the curvature that is kept."""
        precision = getattr(self, "_precision", None)
        if precision is None or precision.ndim == 1:
            raise ValueError(
                "Standard errors need the curvature of the loss, which PreferenceRewardModel keeps "
                f"up to 128 weights; this {type(self).__name__} has {len(self._weights())} and no "
                "curvature. Use RewardUncertainty(FrozenEstimator(model)).fit(X, y), with the "
                "pairs of the fit: its predict_margin has return_std for any model."
            )
        free = np.arange(len(precision)) >= self.n_features_in_
        return WeightCovariance(MatrixPrecision(settle_free(precision / self._fitted_C, free)))
