"""What speaks for and against a response, by the weights of a linear reward."""

from typing import Any

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import COUNT, check_number
from sklearn_codex._data.vectorizers import token_names


class TopFeaturesMixin:
    """Tells what the weights ``coef_`` (1, V) of the reward of a model say. Nothing more."""

    coef_: Any

    @property
    def intercept_(self) -> FloatArray:
        """What a margin has beside ``coef_`` (1,), 0, for tools that explain linear models."""
        if not hasattr(self, "coef_"):
            raise AttributeError(f"This {type(self).__name__} is not fitted: it has no intercept_.")
        return np.zeros(1)

    def top_features(self, n=10):
        """Return the features that speak most for and most against a response.

        Parameters
        ----------
        n : int, default=10
            At most this many of each.

        Returns
        -------
        features : Bunch
            ``in_favor`` and ``against``: lists of (name, weight), the strongest first; features of
            weight 0 are left out. Columns without names are called x0, x1, and so on.
        """
        check_is_fitted(self)
        n = check_number(n, "n", subject=f"{type(self).__name__}.top_features", interval=COUNT)
        # Of an ensemble, the model on all pairs, whose reward it has.
        weights, names = getattr(self, "estimator_", self).coef_[0], token_names(self)
        order = np.argsort(weights, kind="stable")

        def describe_columns(columns):
            return [
                (f"x{j}" if names is None else str(names[j]), float(weights[j])) for j in columns
            ]

        return Bunch(
            in_favor=describe_columns(j for j in order[::-1][:n] if weights[j] > 0),
            against=describe_columns(j for j in order[:n] if weights[j] < 0),
        )
