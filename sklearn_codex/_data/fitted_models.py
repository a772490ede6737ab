"""Fitted models that come into other estimators: wrapped, unwrapped, told from unfitted ones."""

from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import NotFittedError, check_is_fitted

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.vectorizers import first_difference, token_names, trie_of, unwrap
from sklearn_codex._ngrams.backoff import is_part_of
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

    Parameters
    ----------
    estimator : estimator
        Whose parameter it is.
    parameter : str
        Its name.

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
        if not hasattr(self.model, "token_log_prob_") and self.backoff is None:
            raise TypeError(
                f"{subject} needs a language model as {parameter}, one with token_log_prob_, got "
                f"{type(self.model).__name__}. Pass a fitted UnigramLM, SFTRefiner or "
                "PPOPolicyOptimizer."
            )
        if self.vectorizer is None and self.model.vectorizer_ is not None:
            self.vectorizer = freeze(self.model.vectorizer_)

    @property
    def backoff(self) -> Any:
        """The back-off model of a model of n-grams; None of others."""
        return getattr(self.model, "_backoff", None)

    def log_prob(self) -> FloatArray | None:
        """Return the probabilities (V,) of the model, once the documents have been read.

        Raises
        ------
        ValueError
            If the columns of the documents are not the model's.
        """
        self.check_columns()
        if self.model is None:
            return None
        if not hasattr(self.model, "token_log_prob_"):
            return np.array(self.backoff.root_log_prob)
        return np.array(self.model.token_log_prob_)

    @property
    def read_trie(self) -> Any:
        """The trie whose events documents, which have been read, are counted in; None of tokens."""
        if self.estimator.vectorizer_ is None:
            return _ngrams_of(self.model)
        trie = trie_of(self.estimator.vectorizer_)
        return None if trie is None or trie.order == 1 else trie

    def check_columns(self) -> None:
        """Raise where the columns of the documents, which have been read, are not the model's."""
        model, estimator, parameter = self.model, self.estimator, self.parameter
        if model is None:
            return
        subject, n_columns = type(estimator).__name__, estimator.n_features_in_
        if self.vectorizer is None and estimator.vectorizer_ is not None:
            raise ValueError(
                f"{subject} got text, but its {parameter} was fitted on counts and knows columns, "
                f"no words. Pass counts of {model.n_features_in_} columns, or fit the {parameter} "
                "on text, or give vectorizer=FrozenEstimator(fitted TokenCounter)."
            )
        if n_columns != model.n_features_in_:
            raise ValueError(
                f"{subject} got documents of {n_columns} columns, but its {parameter} "
                f"({type(model).__name__}) has {model.n_features_in_}. Count them with the "
                f"vectorizer of the {parameter}."
            )
        own, read = _ngrams_of(model), self.read_trie
        if (own is None) != (read is None):
            kinds = ("single tokens", "n-grams") if own is None else ("n-grams", "single tokens")
            raise ValueError(
                f"{subject} got documents counted in {kinds[1]}, but its {parameter} "
                f"({type(model).__name__}) is of {kinds[0]}. Count them with the vectorizer of "
                f"the {parameter}."
            )
        if unwrap(estimator.vectorizer_) is unwrap(model.vectorizer_) is not None:
            return  # so are the names, of which there may be millions
        names, base_names = token_names(estimator), token_names(model)
        if names is not None and base_names is not None and not np.array_equal(names, base_names):
            raise ValueError(
                f"{subject} got documents whose columns are named otherwise than those of its "
                f"{parameter}: the first difference is {first_difference(names, base_names)}. "
                f"Count them with the vectorizer of the {parameter}."
            )
        if read is not None and not is_part_of(self.backoff.trie, read):
            raise ValueError(
                f"{subject} got documents counted in other n-grams than those of its {parameter} "
                f"({type(model).__name__}). Count them with the vectorizer of the {parameter}."
            )


def _ngrams_of(model):
    """Return the trie whose events a model reads, None where it reads tokens."""
    trie = getattr(model, "_read_trie", None)
    return None if trie is None or trie.order == 1 else trie
