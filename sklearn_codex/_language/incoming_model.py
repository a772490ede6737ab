"""A language model that comes into another estimator, which takes its columns and probabilities."""

from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.columns import first_difference, token_names
from sklearn_codex._data.fitted_models import check_fitted_model, freeze


class IncomingModel:
    """The language model in a parameter of an estimator, if there is one.

    Documents are read with ``vectorizer`` in between the two questions asked of it.

    Parameters
    ----------
    estimator : estimator
        Has the parameter, and ``vectorizer``.
    parameter : str
        The name of the parameter; it may be None.

    Attributes
    ----------
    model : fitted language model or None
        Without its wrappers.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If it is no language model.
    """

    def __init__(self, estimator: Any, parameter: str):
        self.estimator, self.parameter = estimator, parameter
        self.model = getattr(estimator, parameter)
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

    @property
    def vectorizer(self) -> Any:
        """What documents are counted by: the estimator's own vectorizer, else the model's."""
        own, words = self.estimator.vectorizer, getattr(self.model, "vectorizer_", None)
        return freeze(words) if own is None and words is not None else own

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
