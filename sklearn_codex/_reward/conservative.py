"""A reward that trusts several reward models as far as they agree."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_codex._data.fitted_models import check_fitted_model, unwrap
from sklearn_codex._data.pairs import read_responses
from sklearn_codex._data.vectorizers import token_names


class ConservativeReward(BaseEstimator):
    r"""The mean reward of several models less a multiple of their standard deviation.

    A remedy against over-optimisation: where models fitted on other samples of the preferences
    disagree, none of them can be trusted, and the policy had better not go there.

    Parameters
    ----------
    models : list of fitted reward models
        At least two models with ``reward(documents)``, such as ``PreferenceRewardModel`` fitted on
        bootstrap samples of the pairs.
    k : float, default=1.0
        Standard deviations to subtract, at least 0.
    by : {"document", "token"}, default="document"
        "document" subtracts the standard deviation of the reward of each document. "token"
        subtracts that of each token's weight, summed over the document, which is never less; it
        needs models of one vocabulary with ``coef_``, and its reward adds over tokens, so the exact
        optimum and the exact frontier are those of any linear reward.

    Attributes
    ----------
    coef_ : ndarray of shape (1, V)
        Reward of each token, where the reward adds over tokens: with ``by="token"``, or k = 0.
    n_features_in_ : int or None
        Columns of the models, where all have the same.
    vectorizer_ : transformer or None
        That of the models, where all have the same columns.

    See Also
    --------
    BootstrapRewardEnsemble : Fits such models, and has a conservative reward of its own.

    Notes
    -----
    .. math::

        r(y) = \bar r(y) - k\, sd_m(r_m(y)), \qquad
        r(y) = \sum_t n_t \big(\bar w_t - k\, sd_m(w_{mt})\big)

    for "document" and "token", with the standard deviation over the M models, divisor M - 1. The
    second is at most the first, by the triangle inequality. It helps where models err differently,
    not against what all of them miss. A Bradley-Terry model says nothing of a
    constant; models whose penalty pulls weights to zero, as all of this package, agree on it.
    There is no ``fit``: the models come fitted. As a parameter of an estimator that is cloned, wrap
    each in ``FrozenEstimator``.

    References
    ----------
    .. [1] Coste, T. et al. (2023). "Reward model ensembles help mitigate overoptimization."
       arXiv:2310.02743.

    Examples
    --------
    >>> from sklearn_codex import PreferenceRewardModel
    >>> from sklearn_codex.overoptimization import ConservativeReward
    >>> pairs = [("good", "bad"), ("bad", "good"), ("fine", "bad"), ("good", "fine")]
    >>> models = [PreferenceRewardModel(C=C).fit(pairs, [1, 0, 1, 0]) for C in (0.1, 10.0)]
    >>> careful = ConservativeReward(models, k=1.0)
    >>> bool(careful.reward(["good"]) < ConservativeReward(models, k=0.0).reward(["good"]))
    True
    """

    def __init__(self, models, k=1.0, *, by="document"):
        self.models = models
        self.k = k
        self.by = by

    def _check(self):
        """Return the models inside wrappers, or say what is wrong with a parameter."""
        subject = type(self).__name__
        given = self.models if isinstance(self.models, (list, tuple)) else []
        models = [check_fitted_model(m, parameter="models", subject=subject) for m in given]
        without = [
            type(m).__name__ for m in models if not hasattr(m, "reward") and not hasattr(m, "coef_")
        ]
        if without:
            raise TypeError(
                f"{subject} needs models with reward(documents) or coef_, got a {without[0]}."
            )
        is_known = isinstance(self.by, str) and self.by in ("document", "token")
        is_finite = isinstance(self.k, Real) and 0 <= float(self.k) < np.inf
        if len(models) < 2 or not is_finite or not is_known:
            raise ValueError(
                f"{subject} needs at least two models, k >= 0 and by='document' or 'token', got "
                f"{len(models)} model(s), k={self.k!r:.60} and by={self.by!r:.60}."
            )
        return models

    @property
    def n_features_in_(self):
        """Columns of the models, where all have the same; else None."""
        models = self._check()
        columns = {getattr(model, "n_features_in_", None) for model in models}
        names = [token_names(model) for model in models]
        first = names[0]
        same = len(columns) == 1 and all(
            (name is None and first is None) or np.array_equal(name, first) for name in names
        )
        return columns.pop() if same else None

    @property
    def vectorizer_(self):
        """The vectorizer of the models, where all have the same columns; else None."""
        same = self.n_features_in_ is not None
        return getattr(unwrap(self.models[0]), "vectorizer_", None) if same else None

    @property
    def coef_(self):
        """Reward of each token (1, V); there only where the reward adds over tokens."""
        models = self._check()
        adds = self.by == "token" or self.k == 0
        if not adds or self.n_features_in_ is None or not all(hasattr(m, "coef_") for m in models):
            raise AttributeError(
                f"{type(self).__name__} has coef_ with by='token' or k=0, for models with coef_ of "
                "the same columns."
            )
        weights = np.array([np.ravel(model.coef_) for model in models])  # (n_models, V)
        return (weights.mean(axis=0) - self.k * weights.std(axis=0, ddof=1))[np.newaxis]

    def reward(self, X):
        """Return the conservative reward of documents.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents, as the models take them.

        Returns
        -------
        reward : ndarray of shape (n_documents,)
        """
        models = self._check()
        if self.by == "token":
            weights = self.coef_[0]
            if not hasattr(models[0], "vectorizer_"):
                return X @ weights
            return read_responses(models[0], X).reward(weights)
        rewards = np.array([model.reward(X) for model in models])  # (n_models, n_documents)
        return rewards.mean(axis=0) - self.k * rewards.std(axis=0, ddof=1)
