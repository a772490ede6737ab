"""What all models of two preferences answer alike: the class of a pair, and their accuracy."""

from collections.abc import Callable

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.numbers import check_sample_weight
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._partitions import is_collection
from sklearn_codex._reward.targets import credit


@link_estimators
class PairClassifierMixin(ClassifierMixin):
    """Classes and accuracy by margins. It does this and nothing more.

    A class has ``classes_``, ``decision_function(X)`` and ``_margin(X, scored=False)``, which with
    ``scored`` warns of pairs that share prompts with those of the fit.
    """

    classes_: np.ndarray
    decision_function: Callable
    _margin: Callable
    # Where pairs in a dask collection can be scored: (X, y, sample_weight) -> score.
    _score_partitions: Callable | None = None

    def predict(self, X):
        """Return the more probable class of each pair.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs, as in ``fit``.

        Returns
        -------
        y : ndarray of shape (n_pairs,)
            ``classes_[1]`` where A has the greater margin, else ``classes_[0]``.
        """
        margin = self.decision_function(X)
        return self.classes_[(margin > 0).astype(np.intp)]

    def score(self, X, y, sample_weight=None):
        """Return the accuracy on pairs, ties and margins of 0 giving half a point.

        Parameters
        ----------
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
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
            processes). Scorers of scikit-learn, such as "neg_log_loss", warn as well.
        """
        check_is_fitted(self)
        if self._score_partitions is not None and is_collection(X):
            return self._score_partitions(X, y, sample_weight)
        margin = self._margin(X, scored=True)
        check_consistent_length(margin, y)
        points = credit(y, self.classes_, margin)
        weight = check_sample_weight(sample_weight, margin, dtype=np.float64)
        return float(np.average(points, weights=weight))
