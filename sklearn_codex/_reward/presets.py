"""Vectorizers that have a name, for all models of responses."""

from sklearn.utils._param_validation import StrOptions

from sklearn_codex._data.vectorizers import FEATURES, as_ngram_features
from sklearn_codex.features import preference_features

VECTORIZER_CONSTRAINTS = [FEATURES, StrOptions({"preference"}), None]
"""What a parameter ``vectorizer`` may be."""


def is_preset(vectorizer) -> bool:
    """Return whether a vectorizer is given by its name."""
    return isinstance(vectorizer, str) and vectorizer == "preference"


def choose_vectorizer(vectorizer):
    """Return the transformer that a parameter ``vectorizer`` means; None stays None.

    An ``NGramCounter`` means the features of its n-grams.
    """
    return preference_features() if is_preset(vectorizer) else as_ngram_features(vectorizer)
