"""Fitted models that come into other estimators: wrapped, unwrapped, told from unfitted ones."""

from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import NotFittedError, check_is_fitted

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.vectorizers import first_difference, token_names, unwrap
from sklearn_codex._renames import take_renamed


def freeze(estimator: Any) -> FrozenEstimator:
    """Wrap a fitted estimator in ``FrozenEstimator``, once."""
    return estimator if isinstance(estimator, FrozenEstimator) else FrozenEstimator(estimator)


def check_fitted_model(model: Any, *, parameter: str, subject: str) -> Any:
    """Return the fitted model inside ``model`` or say that a fit was lost.

    Parameters
    ----------
    model : estimator
        A fitted estimator, wrapped in ``FrozenEstimator`` or not.
    parameter : str
        The constructor parameter that holds it, for the message.
    subject : str
        The estimator that was given it, for the message.

    Raises
    ------
    NotFittedError
        If the model is not fitted. ``clone`` (so also cross-validation) forgets the fit of a plain
        estimator, hence the remedy.
    """
    inner = unwrap(model)
    try:
        check_is_fitted(inner)
    except NotFittedError:
        raise NotFittedError(
            f"{subject} needs a fitted {parameter}, got an unfitted {type(inner).__name__}. Fit it "
            f"first and pass {parameter}=FrozenEstimator(fitted) (sklearn.frozen), so that clone, "
            "cross_val_score and GridSearchCV keep the fit."
        ) from None
    return inner


class IncomingModel:
    """The language model in a parameter of an estimator, or that there is none.

    Documents are read by its ``vectorizer``; then its probabilities are theirs.

    Attributes
    ----------
    model : fitted language model or None
        Without its wrappers.
    vectorizer : transformer or None
        What documents are to be counted by: the estimator's own vectorizer, else the model's.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If it is no language model.
    """

    def __init__(self, estimator: Any, parameter: str):
        self.estimator, self.parameter = estimator, parameter
        self.vectorizer = estimator.vectorizer
        self.model = take_renamed(estimator, parameter)
        if self.model is None:
            return
        subject = type(estimator).__name__
        self.model = check_fitted_model(self.model, parameter=parameter, subject=subject)
        if not hasattr(self.model, "token_log_prob_"):
            raise TypeError(
                f"{subject} needs a language model as {parameter}, one with token_log_prob_, got "
                f"{type(self.model).__name__}. Pass a fitted UnigramLM, SFTRefiner or "
                "PPOPolicyOptimizer."
            )
        if self.vectorizer is None and self.model.vectorizer_ is not None:
            self.vectorizer = freeze(self.model.vectorizer_)

    def log_prob(self) -> FloatArray | None:
        """Return the probabilities (V,) of the model, once the documents have been read.

        Raises
        ------
        ValueError
            If the columns of the documents are not the model's.
        """
        model, estimator, parameter = self.model, self.estimator, self.parameter
        if model is None:
            return None
        subject, n_columns = type(estimator).__name__, estimator.n_features_in_
        if self.vectorizer is None and estimator.vectorizer_ is not None:
            raise ValueError(
                f"{subject} got text, but its {parameter} was fitted on counts and knows columns, "
                f"no words. Pass counts of {model.n_features_in_} columns, or fit the {parameter} "
                "on text, or give vectorizer=FrozenEstimator(fitted TokenCounter)."
            )
        log_prob = np.array(model.token_log_prob_)
        if n_columns != len(log_prob):
            raise ValueError(
                f"{subject} got documents of {n_columns} columns, but its {parameter} "
                f"({type(model).__name__}) has {len(log_prob)}. Count them with the vectorizer of "
                f"the {parameter}."
            )
        names, base_names = token_names(estimator), token_names(model)
        if names is not None and base_names is not None and not np.array_equal(names, base_names):
            raise ValueError(
                f"{subject} got documents whose columns are named otherwise than those of its "
                f"{parameter}: the first difference is {first_difference(names, base_names)}. "
                f"Count them with the vectorizer of the {parameter}."
            )
        return log_prob
