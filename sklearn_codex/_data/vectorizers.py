"""Vectorizers of estimators: what they are given, how they are fitted, which columns they name.

An estimator that reads text or numbers has its columns as ``vectorizer_`` (None where numbers have
no vectorizer), ``n_features_in_`` and, for data frames, ``feature_names_in_``.
"""

import warnings
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils._param_validation import HasMethods

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.frames import as_arrays
from sklearn_codex._ngram_counter import NGramCounter
from sklearn_codex._ngram_features import NGramFeatures
from sklearn_codex._text.tokenizers import is_in_a_row
from sklearn_codex._text.writing import TokenNames, find_writing
from sklearn_codex.text import TokenCounter


class Transformer(HasMethods):
    """A constraint: a transformer of texts; an error says how a function or a class becomes one.

    Parameters
    ----------
    wrapped : str
        How a function becomes one.
    """

    def __init__(self, wrapped):
        super().__init__(["fit", "transform"])
        self.wrapped = wrapped

    def is_satisfied_by(self, val):
        """Return whether a value is an object with the methods, and not a class of such objects."""
        return not isinstance(val, type) and super().is_satisfied_by(val)

    def __str__(self):
        return (
            f"{super().__str__()} ({self.wrapped}, a class as an instance of it: TokenCounter() "
            "and not TokenCounter)"
        )


COUNTER = Transformer(
    "a function that counts texts as sklearn.preprocessing.FunctionTransformer(function)"
)
FEATURES = Transformer(
    "a function or model that embeds texts as sklearn_codex.features.CachedEmbedder(function), any "
    "other function as sklearn.preprocessing.FunctionTransformer(function)"
)


def unwrap(estimator: Any) -> Any:
    """Return the estimator inside any number of ``FrozenEstimator`` wrappers."""
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return estimator


def wants_prompt(vectorizer: Any) -> bool:
    """Return whether a vectorizer is to be given rows (prompt, response), not responses alone.

    It is if it says so by an attribute ``wants_prompt = True``. A ``ColumnTransformer`` reads
    columns, so it always is; a ``Pipeline`` if its first step is; a ``FeatureUnion`` if all its
    parts are.

    Raises
    ------
    ValueError
        If parts of a ``FeatureUnion`` differ, since all of them are given the same.
    """
    vectorizer = unwrap(vectorizer)
    if hasattr(vectorizer, "wants_prompt"):
        return bool(vectorizer.wants_prompt)
    if isinstance(vectorizer, ColumnTransformer):
        return True
    if isinstance(vectorizer, Pipeline):
        return wants_prompt(vectorizer.steps[0][1])
    if isinstance(vectorizer, FeatureUnion):
        parts = [
            part for _, part in vectorizer.transformer_list if part not in ("drop", "passthrough")
        ]
        wanting = [type(part).__name__ for part in parts if wants_prompt(part)]
        if 0 < len(wanting) < len(parts):
            raise ValueError(
                f"The FeatureUnion given as vectorizer has parts that want the prompt, {wanting}, "
                "and others that read the response alone, but gives all the same. Use a "
                "ColumnTransformer of the columns 0, the prompt, and 1, the response: "
                "ColumnTransformer([('words', TfidfVectorizer(), 1), "
                "('form', ResponseFeatures(), [0, 1])])."
            )
        return bool(wanting)
    return False


# What scikit-learn says of texts without terms that are common enough, or of no terms at all.
_NO_TERMS = ("After pruning, no terms remain", "empty vocabulary")


@as_arrays
def fit_vectorizer(vectorizer: Any, texts: Any, *, subject: str) -> tuple[Any, Any]:
    """Fit a clone of a vectorizer; return it, and what it makes of the texts (n, V).

    Parameters
    ----------
    vectorizer : transformer or None
        None means ``TokenCounter()``. One in ``FrozenEstimator`` is used as it is, fitted or with
        nothing to fit.
    texts : list of str (n,), or ndarray of object of shape (n, 2)
        Texts, or rows (prompt, response).
    subject : str
        Who reads; error messages start with it.
    """
    vectorizer = clone(TokenCounter() if vectorizer is None else vectorizer)
    if isinstance(vectorizer, FrozenEstimator):
        return vectorizer, apply_vectorizer(vectorizer, texts, subject=subject)
    try:
        if hasattr(vectorizer, "fit_transform"):
            features = vectorizer.fit_transform(texts, None)
        else:
            features = vectorizer.fit(texts, None).transform(texts)
    except ValueError as error:
        if not str(error).startswith(_NO_TERMS):
            raise
        raise ValueError(
            f"{subject} gave {len(texts)} distinct texts to its vectorizer, "
            f"{type(vectorizer).__name__}, which found no term in as many of them as it asks for: "
            f"{error} Pass more pairs, or texts with words, or have terms of one text count, as "
            "preference_features().set_params(words__min_df=1, characters__min_df=1)."
        ) from None
    return vectorizer, _check_one_each(features, vectorizer, texts, subject)


@as_arrays
def apply_vectorizer(vectorizer: Any, texts: Any, *, subject: str) -> Any:
    """Return what a fitted vectorizer makes of texts (n, V), as :func:`fit_vectorizer`."""
    return _check_one_each(vectorizer.transform(texts), vectorizer, texts, subject)


def _check_one_each(features, vectorizer, texts, subject):
    """Return features if there is a row for each text: else each would be another text's."""
    shape = getattr(features, "shape", None)
    n_rows = len(features) if shape is None else shape[0] if len(shape) else 0
    if n_rows != len(texts):
        raise ValueError(
            f"{subject} gave {len(texts)} distinct texts to its vectorizer, "
            f"{type(unwrap(vectorizer)).__name__}, and got {n_rows} rows. transform has to return "
            "a row of features for each text, in order."
        )
    return features


def trie_of(vectorizer: Any) -> Any:
    """Return the trie whose events a fitted vectorizer counts; None where it counts no n-grams."""
    counter = unwrap(vectorizer)
    return getattr(counter, "trie_", None) if getattr(counter, "_counts_events", True) else None


def looks_back(vectorizer: Any) -> bool:
    """Return whether a fitted vectorizer counts tokens by what is before them."""
    trie = trie_of(vectorizer)
    return trie is not None and trie.order > 1


def as_ngram_features(vectorizer: Any) -> Any:
    """Return a vectorizer, one that counts events of n-grams as one that counts the n-grams.

    A reward has no use for events: what is backed off from, and where a document ends, is a matter
    of a language model, and a weight of the longest n-gram alone would not be shared with others.
    """
    counter = unwrap(vectorizer)
    if not isinstance(counter, NGramCounter) or isinstance(counter, NGramFeatures):
        return vectorizer
    if getattr(counter, "order_", counter.order) == 1:
        return vectorizer
    features = NGramFeatures.of_counter(counter)
    return FrozenEstimator(features) if isinstance(vectorizer, FrozenEstimator) else features


def count_ngrams(vectorizer: Any, X: Any) -> Any:
    """Return numbers X in the columns of a vectorizer, where they are events of its n-grams."""
    counter = unwrap(vectorizer)
    return counter.count_ngrams(X) if isinstance(counter, NGramFeatures) else X


def token_columns(vectorizer: Any, n_columns: int) -> FloatArray:
    """Return 1 for columns (n_columns,) that count tokens, each once, and 0 for other n-grams."""
    counter = unwrap(vectorizer)
    counts = np.ones(n_columns)
    if isinstance(counter, NGramFeatures) and counter.trie_ is not None:
        counts[counter.trie_.n_tokens :] = 0.0
    return counts


def column_names(vectorizer: Any) -> Any:
    """Return the names (V,) of a fitted vectorizer's columns; None where it has none, as a hash."""
    try:
        return vectorizer.get_feature_names_out()
    except AttributeError:
        return None


def token_names(estimator: Any) -> Any:
    """Return the names (V,) of a fitted estimator's columns; None where only columns are known."""
    vectorizer = getattr(estimator, "vectorizer_", None)
    if vectorizer is not None:
        return column_names(vectorizer)
    return getattr(estimator, "feature_names_in_", None)


def splitter_of(vectorizer: Any) -> Any:
    """Return how a vectorizer splits a text into a list of tokens; None where it does not say."""
    counter = unwrap(vectorizer)
    if not isinstance(counter, TokenCounter):
        build = getattr(counter, "build_analyzer", None)
        return None if build is None else build()
    return counter._splitter


def written_names(estimator: Any) -> Any:
    """Return `token_names` that know how they are written as text (`TokenNames`), or None.

    Those of a built-in tokenizer, and of what does not say how it splits, are joined by a space,
    but for what :func:`~sklearn_codex._text.writing.writing_of_rule` writes without.
    """
    names, counter = token_names(estimator), unwrap(getattr(estimator, "vectorizer_", None))
    if names is None or counter is None:
        return names
    if isinstance(counter, TokenCounter):
        is_plain = counter._names is None or (
            isinstance(counter.tokenizer, str) and not is_in_a_row(counter._rule)
        )
        return names if is_plain else TokenNames.of(names, lambda: counter._writing)
    split = splitter_of(counter)
    return (
        names
        if split is None
        else TokenNames.of(names, lambda: find_writing(names.tolist(), split))
    )


def keep_vectorizer_of_numbers(estimator: Any, vectorizer: Any) -> None:
    """Keep a frozen vectorizer beside numbers, if it can have made them; warn of any other.

    One without names, as a hash or an embedder, does not say how many columns it has: that is
    checked when it is given text.
    """
    estimator.vectorizer_ = None
    if vectorizer is None:
        return
    if not isinstance(vectorizer, FrozenEstimator):
        name = repr(vectorizer) if isinstance(vectorizer, str) else type(vectorizer).__name__
        warnings.warn(
            f"{type(estimator).__name__} got numbers as X, so vectorizer={name} has nothing to "
            "read and is not used. If it made them, pass it fitted, as "
            "vectorizer=FrozenEstimator(fitted), to have text read by it too; else leave it out.",
            UserWarning,
            stacklevel=2,
        )
        return
    names = column_names(vectorizer)
    if names is not None and len(names) != estimator.n_features_in_:
        raise ValueError(
            f"{type(estimator).__name__} got counts of {estimator.n_features_in_} columns, but its "
            f"frozen vectorizer knows {len(names)} tokens. Count with that vectorizer, or "
            "leave vectorizer=None to have unnamed columns."
        )
    estimator.vectorizer_ = vectorizer


def first_difference(names: Any, others: Any) -> str:
    """Describe the first place where two equally long arrays of names differ."""
    place = int(np.flatnonzero(np.asarray(names) != np.asarray(others))[0])
    return f"column {place}, {names[place]!r} and {others[place]!r}"
