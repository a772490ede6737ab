"""What all models of two preferences answer alike: margins, probabilities, classes, accuracy."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, log_expit
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_sample_weight
from sklearn_codex._data.documents import check_prompts
from sklearn_codex._data.pairs import known_pairs, read_pairs, read_responses
from sklearn_codex._data.vectorizers import unwrap, wants_prompt
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._partitions import lazy_on_dask, on_dask
from sklearn_codex._reward.leakage import warn_of_scored_rows
from sklearn_codex._reward.partitioned_pairs import score_partitions
from sklearn_codex._reward.targets import credit
from sklearn_codex._reward.top_features import TopFeaturesMixin


def no_columns(_):
    """Return the probabilities (0, 2) of no pairs."""
    return np.empty((0, 2))


def _no_classes(model):
    return model.classes_[:0]


def _say_nothing(_model, _X):
    """Do not warn of pairs in partitions, which no model remembers."""


def responses_after(model: Any, X: Any, prompts: Any) -> Any:
    """Return responses (n_documents,), as counts after their prompts where these are n-grams.

    Parameters
    ----------
    model : fitted reward model
    X : responses
        Text, where there are prompts.
    prompts : sequence of str (n_documents,) or None
        What each goes on from.
    """
    if prompts is None:
        return X
    if wants_prompt(model.vectorizer_):
        raise ValueError(
            f"{type(model).__name__}.reward got prompts, but its vectorizer reads rows (prompt, "
            "response). Pass these as X, and leave prompts=None."
        )
    prompts, counter = check_prompts(model, X, prompts), unwrap(model.vectorizer_)
    knows_order = getattr(counter, "trie_", None) is not None
    return counter.transform_after(prompts, X) if knows_order else X


@link_estimators
class PairClassifierMixin(TopFeaturesMixin, ClassifierMixin):
    """Answers of a model whose margins are linear in the features of pairs. Nothing more.

    A model says in ``_design(X)`` and ``_weights()`` what is multiplied: pairs without nuisances
    and ``coef_`` if it does not. One that knows how sure it is says, in ``_deviation(rows)``, the
    standard errors (m,) of linear functions of all weights, rows (m, V + k).
    """

    classes_: np.ndarray
    coef_: FloatArray
    _deviation: Callable

    @property
    def intercept_(self) -> FloatArray:
        """What a margin has beside ``coef_`` and length (1,), for tools that explain linear models.

        The log-odds of A where both responses are equal: 0 unless there is a position bias.
        """
        model = getattr(self, "estimator_", self)
        if not hasattr(model, "coef_"):
            raise AttributeError(f"This {type(self).__name__} is not fitted: it has no intercept_.")
        return np.array([float(getattr(model, "position_bias_", 0.0))])

    def _design(self, X) -> Any:
        """Return the operator (n_pairs, V + k) of pairs, with the columns of nuisances if any."""
        return read_pairs(self, X, reset=False).design

    def _weights(self) -> FloatArray:
        """Return the weights (V + k,) of rewards and nuisances."""
        return self.coef_[0]

    def _margin(self, X, return_std=False):
        """Return the margins (n_pairs,) of pairs, with their standard errors if asked for."""
        check_is_fitted(self)
        design = self._design(X)
        margin = design.matvec(self._weights())
        return (margin, self._deviation(design)) if return_std else margin

    @on_dask(_say_nothing)
    def _warn_if_scored(self, X):
        """Warn where a score of pairs measures memory. The scorers of ``metrics`` ask for it."""
        subject = type(self).__name__
        warn_of_scored_rows(self, lambda: known_pairs(X, subject=subject), stacklevel=5)

    @lazy_on_dask()
    def decision_function(self, X):
        """Return the margin of each pair: r(A) - r(B), with the part of position and length if any.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        margin : ndarray of shape (n_pairs,)
            Log-odds that A is preferred, in nats.
        """
        return self._margin(X)

    @lazy_on_dask(no_columns)
    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        proba : ndarray of shape (n_pairs, 2)
            P(B preferred) and P(A preferred), in the order of ``classes_``.
        """
        margin = self.decision_function(X)
        return np.column_stack([expit(-margin), expit(margin)])

    @lazy_on_dask(no_columns)
    def predict_log_proba(self, X):
        """Return the log-probability of each class, exact where ``predict_proba`` rounds to 0.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        log_proba : ndarray of shape (n_pairs, 2)
            Natural logarithms, in the order of ``classes_``.
        """
        margin = self.decision_function(X)
        return np.column_stack([log_expit(-margin), log_expit(margin)])

    @lazy_on_dask(_no_classes)
    def predict(self, X):
        """Return the more probable class of each pair.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        y : ndarray of shape (n_pairs,)
            ``classes_[1]`` where A has the greater margin, else ``classes_[0]``.
        """
        margin = self.decision_function(X)
        return self.classes_[(margin > 0).astype(np.intp)]

    @on_dask(score_partitions)
    def score(self, X, y, sample_weight=None):
        """Return the accuracy on pairs, ties and margins of 0 giving half a point.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in ``fit``.
        y : array-like of shape (n_pairs,)
            Labels as in ``fit``. A soft label gives the probability that a label drawn with it
            agrees with the model, a tie half a point.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs.

        Returns
        -------
        score : float
            In [0, 1], as :func:`sklearn_codex.metrics.preference_accuracy`.

        Warns
        -----
        LeakageWarning
            If there are pairs that were not in the fit, but whose prompts were; for pairs without
            prompts, if more than a quarter of their responses of at least 40 characters were. Once
            for a fitted model, and for all folds of a cross-validation or search (in each of its
            processes). So do the scorers of :mod:`sklearn_codex.metrics`. Those of scikit-learn,
            such as "neg_log_loss", ask for predictions only and cannot warn: leave ``scoring`` out,
            or take ``preference_scorers["neg_preference_log_loss"]``.
        """
        margin = self._margin(X)
        self._warn_if_scored(X)
        check_consistent_length(margin, y)
        points = credit(y, self.classes_, margin)
        weight = check_sample_weight(sample_weight, margin, dtype=np.float64)
        return float(np.average(points, weights=weight))

    def reward(self, X, *, prompts=None):
        """Return the reward of single responses.

        Parameters
        ----------
        X : sequence of str, array-like of shape (n_documents, V) or (n, k, V), or ResponseIds
            Responses, as text, as features phi (token counts by default) or as ids, or k candidates
            a row. For a vectorizer that reads prompts, such as ``"preference"``, also rows
            ``(prompt, response)``; a response alone then has no prompt, and no overlap with it.
        prompts : sequence of str (n_documents,), default=None
            What each response goes on from, where they are text and features are n-grams of an
            :class:`NGramCounter`: those that begin in the prompt count, as they do where a policy
            of n-grams is optimised. None is the start of a document. They make no difference to
            other features.

        Returns
        -------
        reward : ndarray of shape (n_documents,) or (n, k)
            w . phi(y), in nats of log-odds, without position and length. Only differences have a
            meaning: the model knows nothing of a constant.
        """
        check_is_fitted(self)
        return self._reward(responses_after(self, X, prompts))

    @lazy_on_dask(of_each_vector=True)
    def _reward(self, X):
        return read_responses(self, X).reward(self.coef_[0])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.sparse = True
        return tags
