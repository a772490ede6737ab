"""Vectorizers that have a name, for all models of responses."""

from sklearn.utils._param_validation import HasMethods, StrOptions

from sklearn_codex._data.vectorizers import as_ngram_features
from sklearn_codex.features import preference_features


class _Transformer(HasMethods):
    """A transformer of texts; an error says how a function becomes one."""

    def __init__(self):
        super().__init__(["fit", "transform"])

    def __str__(self):
        return (
            f"{super().__str__()} (a function or model that embeds texts as "
            "sklearn_codex.features.CachedEmbedder(function))"
        )


VECTORIZER_CONSTRAINTS = [_Transformer(), StrOptions({"preference"}), None]
"""What a parameter ``vectorizer`` may be."""


def is_preset(vectorizer) -> bool:
    """Return whether a vectorizer is given by its name."""
    return isinstance(vectorizer, str) and vectorizer == "preference"


def choose_vectorizer(vectorizer):
    """Return the transformer that a parameter ``vectorizer`` means; None stays None.

    An ``NGramCounter`` means the features of its n-grams.
    """
    return preference_features() if is_preset(vectorizer) else as_ngram_features(vectorizer)
