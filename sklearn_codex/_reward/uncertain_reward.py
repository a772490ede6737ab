"""What reward models that know how sure they are do alike, and what a policy makes of it."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from sklearn_codex._checks.groups import encode_groups
from sklearn_codex._data.designs import NuisanceDesign, mean_row
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.pairs import read_responses
from sklearn_codex._data.vectorizers import token_names
from sklearn_codex._renames import rename_state, renamed_attribute
from sklearn_codex._reward.linear_reward import RewardModelBase
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex._reward.pair_classifier import PairClassifierMixin, responses_after
from sklearn_codex._tables import Table


def fit_reward_model(estimator, X, y, sample_weight, groups, *, subject):
    """Return a fitted reward model: a frozen one as it is, any other as a clone fitted here."""
    model = unwrap(estimator)
    if estimator is not None and not isinstance(model, RewardModelBase):
        raise TypeError(
            f"{subject} needs a PreferenceRewardModel as estimator, got {type(model).__name__}. "
            "Its uncertainty is that of a linear reward of pairs."
        )
    if isinstance(estimator, FrozenEstimator):
        try:
            check_is_fitted(model)
        except NotFittedError:
            raise NotFittedError(
                f"{subject} got an unfitted {type(model).__name__} in FrozenEstimator. Fit it "
                "first, or pass it without FrozenEstimator to have it fitted."
            ) from None
        return model
    model = PreferenceRewardModel() if estimator is None else clone(estimator)
    more = {"groups": groups} if has_fit_parameter(model, "groups") else {}
    return model.fit(X, y, sample_weight=sample_weight, **more)


def penalty_of_fit(model, problem):
    """Return the penalty (V + k,) of the weights of a fit in nats of the pairs, so with C = 1.

    Raises
    ------
    ValueError
        If the fit had authors, which pairs alone do not tell.
    """
    if len(getattr(model, "authors_", ())):
        raise ValueError(
            f"This {type(model).__name__} was fitted with authors of responses, which pairs alone "
            "do not tell, so that nothing can be said of its uncertainty from them. Fit it without "
            "authors; or up to 128 weights ask it for predict_margin(X, return_std=True)."
        )
    if not hasattr(model, "C_"):
        # C may have been set anew since, or the model be of another kind, whose fit keeps no C.
        return problem.penalty / getattr(model, "_fitted_C", model.C)
    scales = model._column_scales(model.block_scales_, len(problem.penalty))
    return problem.penalty / (model.C_ * scales**2)


def group_codes(groups, n_pairs):
    """Return the code (n_pairs,) of each group, from 0; every pair is its own where None."""
    return np.arange(n_pairs) if groups is None else encode_groups(groups, n_pairs)


class UncertainRewardMixin(PairClassifierMixin):
    """Predictions of the fitted reward model in ``estimator_``, with what is not known of them.

    Derived classes say, in ``_deviation(rows)``, the standard errors (m,) of linear functions of
    all weights, rows (m, V + k), and in ``_half_width(rows, confidence_level)`` the same and
    half the widths of intervals; in ``_deviation(rows, center)`` those of rows less a center
    (V + k,). Rows are a design, or a csr_array.
    """

    estimator_: Any
    n_features_in_: int
    _deviation: Callable
    _half_width: Callable

    model_ = renamed_attribute("model_", "estimator_")

    def __setstate__(self, state):
        super().__setstate__(rename_state(state, {"model_": "estimator_"}))

    def _take_columns(self):
        """Say of columns and classes what the model says."""
        for name in ("classes_", "n_features_in_", "feature_names_in_", "vectorizer_"):
            self.__dict__.pop(name, None)
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        self._training_pairs = getattr(self.estimator_, "_training_pairs", None)

    def _design(self, X):
        return self.estimator_._design(X)

    def _weights(self):
        return self.estimator_._weights()

    def predict_margin(self, X, return_std=False):
        """Return the margin of each pair, and its standard error.

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
        """
        return self._margin(X, return_std)

    def reward(self, X, return_std=False, *, reference="origin", prompts=None):
        r"""Return the reward of single responses, compared to that of a reference.

        Parameters
        ----------
        X : sequence of str, array-like of shape (n_documents, V) or (n, k, V), or ResponseIds
            Responses, as text, as features or as ids, or k candidates a row.
        return_std : bool, default=False
            Whether to return standard errors too.
        reference : {"origin", "mean"} or responses, default="origin"
            What a reward is compared to. "origin": a response without any feature, whose reward is
            0. Counts have such a response, the empty one; embeddings have none, and the standard
            error is then mostly of how far all of them are from 0. "mean": the mean of the
            responses given as X. Or other responses, such as those of the reference policy: their
            mean.
        prompts : sequence of str (n_documents,), default=None
            What each response goes on from, as of the model.

        Returns
        -------
        reward : ndarray of shape (n_documents,) or (n, k)
            :math:`w \cdot (\phi(y) - \bar\phi)`, in nats of log-odds, with
            :math:`\bar\phi` of the reference.
        std : ndarray of shape (n_documents,) or (n, k)
            Its standard error; only with ``return_std=True``. That of a comparison of two responses
            is in ``predict_margin``.
        """
        check_is_fitted(self)
        read = read_responses(self.estimator_, responses_after(self.estimator_, X, prompts))
        return self._reward_less(read, self._center_of(reference, read), return_std)

    def _center_of(self, reference, read=None):
        """Return the mean features (V,) of a reference; None for the origin."""
        if reference is None or (isinstance(reference, str) and reference == "origin"):
            return None
        if isinstance(reference, str):
            if reference != "mean" or read is None:
                raise ValueError(
                    f"{type(self).__name__} got reference={reference!r:.60}, which is not known. "
                    "Pass 'origin', responses, or, to reward, 'mean'; a response in a list."
                )
            return mean_row(read.design)
        return mean_row(read_responses(self.estimator_, reference).design)

    def _reward_less(self, read, center, return_std):
        """Return rewards less that of a center (V,), with standard errors if asked for."""
        weights = self.estimator_.coef_[0]
        reward = read.reward(weights) - (0.0 if center is None else center @ weights)
        if not return_std:
            return reward
        n_biases = len(self.estimator_._weights()) - len(weights)
        rows: Any = read.design
        if n_biases:
            rows = NuisanceDesign(read.design, np.zeros((rows.shape[0], n_biases)))
            center = None if center is None else np.append(center, np.zeros(n_biases))
        return reward, self._deviation(rows, center).reshape(read.shape)

    def margin_interval(self, X, confidence_level=0.95):
        """Return an interval of the margin of each pair.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.
        confidence_level : float, default=0.95
            Of the two-sided interval.

        Returns
        -------
        table : Table
            Columns ``margin``, ``std``, ``low`` and ``high``, one row a pair.
        """
        check_is_fitted(self)
        design = self._design(X)
        margin = design.matvec(self.estimator_._weights())
        std, half = self._checked_half_width(design, confidence_level)
        return Table(margin=margin, std=std, low=margin - half, high=margin + half)

    def coef_interval(self, confidence_level=0.95):
        """Return an interval of each weight of the reward.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Of the two-sided interval.

        Returns
        -------
        table : Table
            Columns ``feature``, ``coef``, ``std``, ``low`` and ``high``, one row a feature.
        """
        check_is_fitted(self)
        names = token_names(self.estimator_)
        if names is None:
            names = [f"x{j}" for j in range(self.n_features_in_)]
        return self._interval_of_weights(names, slice(0, self.n_features_in_), confidence_level)

    def bias_interval(self, confidence_level=0.95):
        """Return an interval of what position and length add to the margin.

        Parameters
        ----------
        confidence_level : float, default=0.95
            Of the two-sided interval.

        Returns
        -------
        table : Table
            Columns ``feature``, ``coef``, ``std``, ``low`` and ``high``; rows ``position``, the
            intercept, with ``position_bias=True``, and ``length`` and ``tanh length``, as in
            ``length_coef_``, with ``control_length=True``.

        Raises
        ------
        ValueError
            If the model has neither.
        """
        check_is_fitted(self)
        model = self.estimator_
        names = ["position"] if model.position_bias else []
        names += ["length", "tanh length"] if model.control_length else []
        if not names:
            raise ValueError(
                f"The model of {type(self).__name__} has no bias terms. Give it position_bias=True "
                "or control_length=True."
            )
        return self._interval_of_weights(names, slice(-len(names), None), confidence_level)

    def _interval_of_weights(self, names, places, confidence_level):
        """Return the table of some of the weights (V + k,) of rewards and nuisances."""
        weights = self._weights()
        rows = sparse.eye_array(len(weights), format="csr")[places]
        std, half = self._checked_half_width(rows, confidence_level)
        coef = weights[places]
        return Table(
            feature=np.asarray(names), coef=coef, std=std, low=coef - half, high=coef + half
        )

    def _checked_half_width(self, rows, confidence_level):
        if not (isinstance(confidence_level, Real) and 0 < float(confidence_level) < 1):
            raise ValueError(f"confidence_level should be in (0, 1), got {confidence_level!r:.60}.")
        return self._half_width(rows, confidence_level)
