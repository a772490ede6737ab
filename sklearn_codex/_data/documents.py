"""The one place where raw text becomes document-term counts.

Every estimator that takes documents calls :func:`read_documents`, so text and counts are the same
thing everywhere else.
"""

import reprlib
import warnings
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import get_tags
from sklearn.utils.validation import _get_feature_names

from sklearn_codex._checks.matrices import (
    as_csr,
    check_frame,
    check_numbers,
    check_sparse,
    validate_numbers,
)
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.vectorizers import (
    apply_vectorizer,
    column_names,
    first_difference,
    fit_vectorizer,
    keep_vectorizer_of_numbers,
    trie_of,
)
from sklearn_codex._fits import caller_level
from sklearn_codex._partitions import is_collection
from sklearn_codex._text.inputs import check_texts
from sklearn_codex._text.vocabulary import find_types


def read_documents(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    vectorizer: Any = None,
    default: Any = None,
    may_be_empty: bool = False,
) -> sparse.csr_array:
    """Return the counts (n, V) of documents given as text or as counts.

    Sets ``vectorizer_``, ``n_features_in_`` and, for data frames of counts, ``feature_names_in_``
    of the estimator when ``reset`` is true; otherwise checks X against them.

    Parameters
    ----------
    estimator : estimator
        Who reads. Counts may be negative, as differences are, if its tags do not say
        ``positive_only``.
    X : sequence of str or array-like of shape (n_documents, V)
        Documents.
    reset : bool
        Whether this call defines the columns (in ``fit``) or has to meet them.
    vectorizer : estimator, default=None
        Counts the text when ``reset`` is true; None means the default. One wrapped in
        ``FrozenEstimator`` is used as it is, also to name the columns of counts.
    default : estimator, default=None
        What counts text where there is no vectorizer; None means a ``TokenCounter()``.
    may_be_empty : bool, default=False
        Whether texts may have no token, as where it is only asked what comes after them.

    Returns
    -------
    counts : csr_array of shape (n_documents, V), float64
    """
    subject = type(estimator).__name__
    texts = check_texts(X, subject=subject)
    if texts is None:
        return _read_counts(estimator, X, reset=reset, vectorizer=vectorizer)
    if reset:
        vectorizer = default if vectorizer is None else vectorizer
        estimator.vectorizer_, counts = fit_vectorizer(vectorizer, texts, subject=subject)
        check_order(estimator)
        counts = check_counted(counts, subject=subject)
        estimator.n_features_in_ = counts.shape[1]
        vars(estimator).pop("feature_names_in_", None)
    elif estimator.vectorizer_ is None:
        raise ValueError(
            f"{subject} was fitted on counts, so it knows columns and no words, but got text. "
            f"Pass a count matrix of {estimator.n_features_in_} columns, or fit it on text, or "
            "give it vectorizer=FrozenEstimator(fitted TokenCounter)."
        )
    else:
        counts = count_texts(estimator.vectorizer_, texts, subject=subject)
    _check_counted_texts(counts, texts, estimator, may_be_empty=may_be_empty)
    return counts


def read_prompts(estimator: Any, X: Any) -> sparse.csr_array:
    """Return the counts (n, V) of prompts, which unlike documents may be empty.

    Parameters
    ----------
    estimator : fitted estimator
    X : sequence of str or array-like of shape (n_prompts, V)
    """
    subject = f"prompts of {type(estimator).__name__}"
    texts = check_texts(X, subject=subject)
    if texts is None and not sparse.issparse(X) and np.asarray(X, dtype=object).ndim == 1:
        raise ValueError(
            f"{subject} should be texts, a sequence of str, or counts of shape (n_prompts, "
            f"{estimator.n_features_in_}), got {reprlib.repr(X)}. Pass a list of str."
        )
    if texts is None or estimator.vectorizer_ is None:
        return read_documents(estimator, X, reset=False)
    return count_texts(estimator.vectorizer_, texts, subject=subject)


def check_prompts(estimator: Any, X: Any, prompts: Any) -> list[str]:
    """Return prompts (n_documents,) as text, one for each document that is text, too."""
    subject = type(estimator).__name__
    texts = None if is_collection(X) else check_texts(X, subject=subject)
    if texts is None:
        raise ValueError(
            f"{subject} got prompts, which come before documents that are text in memory, but X "
            "is counts or a dask collection. Count with NGramCounter.transform_after(prompts, "
            "texts), and leave prompts=None."
        )
    prompts = check_texts(prompts, subject=f"prompts of {subject}")
    if prompts is None or len(prompts) != len(texts):
        raise ValueError(
            f"{subject} needs a prompt, a str, for each of {len(texts)} documents, got "
            f'{"no text" if prompts is None else len(prompts)}. Use "" where there is none.'
        )
    return prompts


def warn_without_prompts(subject: str, scored: str, what: str, remedy: str) -> None:
    """Warn that what is scored has no prompts, where what an estimator was fitted on had some."""
    warnings.warn(
        f"{subject} was fitted with prompts, but its score got {scored} without, so that {what} "
        f"count as the start of a document. Pass {remedy}. In cross-validation set "
        "enable_metadata_routing=True and ask for them: "
        "set_fit_request(prompts=True).set_score_request(prompts=True).",
        UserWarning,
        stacklevel=caller_level(),
    )


def warn_of_completions(subject: str, X: Any) -> None:
    """Warn, as :func:`warn_without_prompts`, of completions that are scored as text."""
    texts = None if is_collection(X) else check_texts(X, subject=subject)
    if texts is not None:
        warn_without_prompts(subject, f"{len(texts)} completions", "these", "prompts")


def warn_of_dropped(subject: str, counter: Any, texts: Any, why: str) -> None:
    """Warn of tokens of texts that a fitted counter without an unknown token leaves out.

    Nothing is said of special tokens, which are left out wherever they stand in a text.
    """
    is_closed = getattr(counter, "unk_index_", 0) is None and counter._names is not None
    if not is_closed or is_collection(texts):
        return
    texts = check_texts(texts, subject=subject)
    if texts is None:
        return
    counted = counter._count_types(texts)
    is_dropped = counter._columns_of_types(counted) < 0
    is_dropped[find_types(counted.types, counter._special_literals())] = False
    if is_dropped.any():
        n, total = int(counted.totals[is_dropped].sum()), int(counted.totals.sum())
        warnings.warn(
            f"{subject} leaves out {n} of {total} tokens of the text, {n / total:.1%}, as "
            f"{counted.types[is_dropped][0]!r}: {why}",
            UserWarning,
            stacklevel=caller_level(),
        )


def count_after(estimator: Any, prompts: Any, X: Any, counts: Any) -> sparse.csr_array:
    """Return documents (n, E) of n-grams counted after as many prompts, where both are text."""
    given = [check_texts(part, subject=type(estimator).__name__) for part in (prompts, X)]
    if any(texts is None for texts in given):
        return counts
    return unwrap(estimator.vectorizer_).transform_after(*given)


def check_order(estimator: Any) -> None:
    """Raise where the columns of an estimator are n-grams, and it takes each for a token."""
    trie = trie_of(estimator.vectorizer_)
    if trie is None or trie.order == 1 or getattr(estimator, "_reads_ngrams", False):
        return
    raise ValueError(
        f"{type(estimator).__name__} is a model of single tokens, got a vectorizer "
        f"({type(unwrap(estimator.vectorizer_)).__name__}) that counts n-grams of {trie.order} "
        "tokens. Pass a TokenCounter, or an NGramCounter of order=1, or use NGramLM."
    )


def count_texts(vectorizer: Any, texts: Any, *, subject: str) -> sparse.csr_array:
    """Return the counts (n, V) of texts by a fitted vectorizer, as a canonical csr_array."""
    return check_counted(apply_vectorizer(vectorizer, texts, subject=subject), subject=subject)


def check_counted(counts: Any, *, subject: str) -> sparse.csr_array:
    """Return what a vectorizer made of texts (n, V) as a canonical csr_array."""
    if sparse.issparse(counts):
        counts = check_sparse(counts, subject=subject, name="the counts of its vectorizer")
    return as_csr(counts)


def _check_counted_texts(counts, texts, estimator, *, may_be_empty):
    """Raise where a vectorizer does not count, or a document has no token, if it is to have one."""
    subject, counter = type(estimator).__name__, unwrap(estimator.vectorizer_)
    invalid = counts.data[~((counts.data > 0) & np.isfinite(counts.data))]
    if invalid.size:
        raise ValueError(
            f"{subject} got {invalid[0]} as a count from its vectorizer "
            f"({type(counter).__name__}). Use one whose counts are finite and not negative, such "
            "as TokenCounter."
        )
    if may_be_empty:
        return
    trie = trie_of(estimator.vectorizer_)
    tokens = counts if trie is None else counts[:, : trie.n_arcs]
    check_some_tokens(estimator, texts, tokens.sum(axis=1))


def check_some_tokens(estimator: Any, texts: Any, n_tokens: Any) -> None:
    """Raise where one of some texts (n,) has no token, by how many (n,) each has."""
    empty = np.flatnonzero(n_tokens == 0)
    if empty.size:
        subject, counter = type(estimator).__name__, unwrap(estimator.vectorizer_)
        first = texts[empty[0]]
        # What has no token at all has none that is unknown.
        has_unknown = first.strip() and getattr(counter, "unk_token", None) is None
        option = "unk_token or eos_token" if has_unknown else "eos_token"
        raise ValueError(
            f"{subject} got {empty.size} document(s) without a token, the first at position "
            f"{empty[0]}: {first!r:.60}. Leave out such documents, or count with {option} set, so "
            "that each has at least one token."
        )


def _read_counts(estimator, X, *, reset, vectorizer):
    """Validate a count matrix; the names of its columns, if any, have to be those known."""
    subject = type(estimator).__name__
    checks = {"ensure_non_negative": get_tags(estimator).input_tags.positive_only}
    given = _get_feature_names(check_frame(X, subject))
    if not reset and estimator.vectorizer_ is not None and given is not None:
        _check_names_of_counts(estimator, given)
        if not hasattr(estimator, "feature_names_in_"):
            # Names were checked; scikit-learn would warn that it knows none.
            X = check_numbers(X, subject=subject, **checks)
    counts = validate_numbers(estimator, X, reset=reset, **checks)
    if reset:
        keep_vectorizer_of_numbers(estimator, vectorizer)
        check_order(estimator)
        if estimator.vectorizer_ is not None and given is not None:
            _check_names_of_counts(estimator, given)
    return as_csr(counts)


def _check_names_of_counts(estimator, given):
    """Check the names of a data frame's columns against the tokens of the vectorizer."""
    names = column_names(estimator.vectorizer_)
    if names is None or len(given) != len(names):
        return
    if not np.array_equal(given, names):
        raise ValueError(
            f"{type(estimator).__name__} got counts whose columns are named otherwise than the "
            f"tokens of its vectorizer: the first difference is {first_difference(given, names)}. "
            "Reorder the columns as vectorizer_.get_feature_names_out()."
        )
