"""Whether n-grams and back-off models that a file held fit together."""

from typing import Any

import numpy as np

from sklearn_codex._persistence.values import is_array

__all__ = ["check_ngram_model", "check_ngrams"]

_MAX_MASS_ERROR = 1e-6
# What numpy says to arrays that have not the shapes and numbers of a trie.
_ERRORS = (AttributeError, IndexError, MemoryError, OverflowError, TypeError, ValueError)


def check_ngrams(counter: Any) -> None:
    """Check the trie of a counter of n-grams, and those that it has of a stream."""
    name, trie = type(counter).__name__, getattr(counter, "trie_", None)
    if trie is not None:
        _check_trie(trie)
        counts_events = getattr(counter, "_counts_events", True)
        n_columns = trie.n_events if counts_events else trie.n_arcs
        if counter.n_features_in_ != n_columns or counter.order_ != trie.order:
            raise ValueError(f"its {name} has not the columns of its trie")
    if not all(_are_ngrams(getattr(counter, "_stream_types", ()), *_levels(counter))):
        raise ValueError(f"the n-grams of a stream of its {name} are none")


def _levels(counter):
    levels = getattr(counter, "_stream_ngrams", [])
    if not all(isinstance(level, (list, tuple)) and len(level) == 2 for level in levels):
        return [(None, None)]
    return levels


def _are_ngrams(types, *levels):
    """Yield for each level whether it is one of n-grams of types and the end of a document."""
    n_tokens = len(types) + 1
    n_below = n_tokens + 1
    for keys, counts in levels:
        yield (
            is_array(keys, "i")
            and is_array(counts, "i")
            and keys.ndim == 1
            and counts.shape == keys.shape
            and bool(((keys >= 0) & (keys < n_below * n_tokens)).all())
        )
        n_below = len(keys)


def check_ngram_model(model: Any) -> None:
    """Check the back-off models of a language model, and the trie whose events it reads."""
    trie = getattr(model, "_read_trie", None)
    if trie is None:
        return
    name = type(model).__name__
    _check_trie(trie)
    if trie.n_events != model.n_features_in_:
        raise ValueError(f"its {name} has not the columns of its trie")
    for part in ("_backoff", "_base"):
        inner = getattr(model, part, None)
        if inner is not None:
            _check_backoff(inner, trie)


def _check_trie(trie):
    try:
        is_sound = trie.is_sound()
    except _ERRORS:
        is_sound = False
    if not is_sound:
        raise ValueError("the contexts and n-grams of a trie in it do not fit together")


def _check_backoff(model, read):
    trie: Any = getattr(model, "trie", None)
    if trie is not read:
        _check_trie(trie)
    arcs: Any = getattr(model, "arc_log_prob", None)
    weights: Any = getattr(model, "backoff_log_weight", None)
    is_right = (
        is_array(arcs, "f")
        and is_array(weights, "f")
        and arcs.shape == (trie.n_arcs,)
        and weights.shape == (trie.n_contexts,)
        and not np.isnan(arcs).any()
        and bool((arcs <= _MAX_MASS_ERROR).all() and (weights < np.inf).all())
        and bool(np.abs(model.total_prob() - 1.0).max() <= _MAX_MASS_ERROR)
        and trie.order <= read.order
        and trie.n_tokens == read.n_tokens
    )
    if not is_right:
        raise ValueError("the probabilities of a back-off model in it are none")
