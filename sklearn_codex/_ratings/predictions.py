"""What fitted ratings say of comparisons: margins, probabilities, classes, accuracy."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.frames import as_arrays
from sklearn_codex._checks.matrices import check_numbers
from sklearn_codex._checks.numbers import check_sample_weight
from sklearn_codex._ratings.inputs import read_comparisons, to_dense
from sklearn_codex._ratings.labels import credit_of
from sklearn_codex._ratings.vote_models import OutcomeParameters, log_prob


class VotePredictions:
    """Predictions of a model of votes, from its design and weights. Nothing that fits."""

    ties: str
    classes_: np.ndarray
    _meaning: dict
    _weights: FloatArray
    ratings_: FloatArray
    topic_mean_: FloatArray
    topic_coef_: FloatArray
    topic_vectorizer_: Any
    _log_tie: Any
    _log_bad: Any
    _design: Any
    _level: Any

    def decision_function(self, X):
        """Return the margin of each comparison.

        Parameters
        ----------
        X : array-like of shape (n, 2 + k), or numeric (n, n_models)
            Comparisons, as in ``fit``.

        Returns
        -------
        margin : ndarray of shape (n,)
            In nats: the log-odds of A against B, but in Rao and Kupper's model less what makes a
            tie. Models of infinite ratings have what ``alpha``, or 1e-8 if it is 0, makes of them.
        """
        check_is_fitted(self)
        return self._design(read_comparisons(self, X, reset=False)) @ self._weights

    def predict_log_proba(self, X):
        """Return the log-probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, 2 + k), or numeric (n, n_models)
            Comparisons, as in ``fit``.

        Returns
        -------
        log_proba : ndarray of shape (n, n_classes)
            Natural logarithms, in the order of ``classes_``.
        """
        check_is_fitted(self)
        rows = read_comparisons(self, X, reset=False)
        level = self._level(rows)
        found = log_prob(
            self.ties,
            self._design(rows) @ self._weights,
            np.zeros(rows.n_rows) if level is None else level @ self._weights,
            OutcomeParameters(self._log_tie, self._log_bad),
        )
        return found[:, [self._meaning[label] for label in self.classes_.tolist()]]

    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, 2 + k), or numeric (n, n_models)
            Comparisons, as in ``fit``.

        Returns
        -------
        proba : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """
        return np.exp(self.predict_log_proba(X))

    def predict(self, X):
        """Return the most probable class of each comparison.

        Parameters
        ----------
        X : array-like of shape (n, 2 + k), or numeric (n, n_models)
            Comparisons, as in ``fit``.

        Returns
        -------
        y : ndarray of shape (n,)
            A label of ``classes_``; that of B where A and B are level and nothing else is likelier.
        """
        log_proba = self.predict_log_proba(X)
        order = np.argsort([self._meaning[label] for label in self.classes_.tolist()])
        return self.classes_[order[np.argmax(log_proba[:, order], axis=1)]]

    def score(self, X, y, sample_weight=None):
        """Return the accuracy on comparisons, ties and margins of 0 giving half a point.

        Parameters
        ----------
        X : array-like of shape (n, 2 + k), or numeric (n, n_models)
            Comparisons, as in ``fit``.
        y : array-like of shape (n,)
            Labels, as in ``fit``.
        sample_weight : array-like of shape (n,), default=None
            Weights of votes.

        Returns
        -------
        score : float
            In [0, 1], as :func:`sklearn_codex.metrics.preference_accuracy`, whatever ``ties`` are.
            For held-out log-loss pass ``preference_scorers["neg_preference_log_loss"]`` of
            :mod:`sklearn_codex.metrics` as ``scoring``.
        """
        margin = self.decision_function(X)
        points = credit_of(y, self._meaning, self.ties, margin, subject=type(self).__name__)
        weight = check_sample_weight(sample_weight, margin, ensure_non_negative=True)
        return float(np.average(points, weights=weight))

    @as_arrays
    def topic_ratings(self, topics):
        """Return the rating of each model for prompts.

        Parameters
        ----------
        topics : array-like of shape (m, q), or of str of shape (m,)
            Features of prompts, in the order of ``topics``, or their texts where there is a
            ``topic_vectorizer``.

        Returns
        -------
        ratings : ndarray of shape (m, n_models)
            In nats.
        """
        check_is_fitted(self)
        subject = f"{type(self).__name__}.topic_ratings"
        if not len(self.topic_mean_):
            raise ValueError(f"{subject} needs a model with topics. Name their columns in topics.")
        features = topics
        if self.topic_vectorizer_ is not None:
            features = to_dense(self.topic_vectorizer_.transform(topics))
        features = check_numbers(features, subject=subject, name="topics")
        if features.shape[1] != len(self.topic_mean_):
            raise ValueError(
                f"{subject} needs {len(self.topic_mean_)} features a prompt, got "
                f"{features.shape[1]}."
            )
        finite = self._weights[: len(self.ratings_)]
        return finite + (features - self.topic_mean_) @ self.topic_coef_.T
