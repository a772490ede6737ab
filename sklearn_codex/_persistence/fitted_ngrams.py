"""Whether n-grams and back-off models that a file held fit together."""

from typing import Any

import numpy as np

from sklearn_codex._persistence.values import is_array, is_finite

__all__ = ["check_ngram_model", "check_ngrams", "check_objective"]

_MAX_MASS_ERROR = 1e-6
# What rounding may leave of a sum of probabilities, and rows that are summed one by one.
_ROUNDING, _MOST_NUMBERS = 1e-12, 1 << 24
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
    if "_trie" in vars(model):
        _check_policy(model, name, model._trie)


def _check_policy(model, name, trie):
    """Check what an optimised policy keeps beside its model, in columns of the same trie."""
    if trie is None or not _are_equal(trie, getattr(model._backoff, "trie", None)):
        raise ValueError(f"its {name} has not the n-grams of its policy")
    for attribute in ("reference_log_prob_", "optimal_log_prob_", "token_reward_", "frequencies_"):
        value: Any = getattr(model, attribute, None)
        if attribute == "reference_log_prob_" or value is not None:
            if not is_array(value, "f") or value.shape != (trie.n_events,):
                raise ValueError(
                    f"the attribute {attribute} of its {name} has to be {trie.n_events} numbers"
                )
            if attribute.endswith("_log_prob_"):
                _check_backoff(type(model._backoff).of_events(trie, value), trie)
            elif not is_finite(value):
                raise ValueError(f"the attribute {attribute} of its {name} has to be finite")
    initial = getattr(model, "_initial", None)
    if initial is not None and not (
        is_finite(initial)
        and initial.shape == (trie.n_contexts,)
        and (initial >= 0).all()
        and abs(initial.sum() - 1.0) <= _MAX_MASS_ERROR
    ):
        raise ValueError(f"the documents of its {name} do not start in its contexts")


def check_objective(objective: Any) -> None:
    """Check the parameters of an objective over n-grams, as making it does."""
    try:
        _check_trie(objective.trie)
        type(objective)(**{name: getattr(objective, name) for name in objective.__getstate__()})
    except _ERRORS as error:
        raise ValueError(f"an objective in it is none: {error}") from None


def _are_equal(trie, other):
    names = type(trie).__dataclass_fields__
    return other is trie or all(
        np.array_equal(getattr(trie, name), getattr(other, name, np.nan)) for name in names
    )


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
        and _sums_to_one(model)
        and trie.order <= read.order
        and trie.n_tokens == read.n_tokens
    )
    if not is_right:
        raise ValueError("the probabilities of a back-off model in it are none")


def _sums_to_one(model):
    """Return whether probabilities sum to one after each context, as far as rounding tells.

    After contexts that give a shorter one far more than it has left, sums are of whole rows, of as
    many as there is room for.
    """
    trie = model.trie
    with np.errstate(over="ignore", invalid="ignore"):
        total, weight = model.total_prob(), np.exp(model.backoff_log_weight)
        error = np.full(trie.n_contexts, _ROUNDING)
        for length in range(1, trie.order):
            at = np.flatnonzero(trie.context_length == length)
            error[at] += weight[at] * error[trie.suffix[at]]
    steep = np.flatnonzero(~(error <= _MAX_MASS_ERROR))
    total[steep] = 1.0
    size = max(1, _MOST_NUMBERS // (8 * trie.n_tokens))
    for start in range(0, min(len(steep), 8 * size), size):
        rows = model.next_log_prob(steep[start : start + size])
        with np.errstate(over="ignore"):
            total[steep[start : start + size]] = np.exp(rows).sum(axis=1)
    return bool((np.abs(total - 1.0) <= _MAX_MASS_ERROR).all())
