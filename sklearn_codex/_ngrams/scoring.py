"""Log-likelihoods of documents: from token to token, many side by side, or from counts of events.

Both are the same numbers to the last bit, though they add up in another order: the logarithms are
parted into two, whose sums over up to four million tokens are exact.
"""

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray
from sklearn_codex._fast_counts import joined_ranges
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.table import Ints, part_documents

__all__ = ["score_documents", "score_events"]

_BLOCK = 1 << 19  # Tokens of documents to go through side by side.
_FEWEST = 1 << 10  # Documents up to which it is quicker to go through all tokens by length.
# What the parts of a logarithm are whole numbers of: sums below 2**53 of these are exact.
_COARSE, _FINE = 2.0**-20, 2.0**-52


def score_events(model: BackoffModel, events: sparse.csr_array) -> FloatArray:
    """Return the log-likelihood (n_documents,) of documents given by their events (n, E)."""
    log_prob = model.event_log_prob
    if events.nnz > len(log_prob):
        high, low = _part(log_prob)
        found: FloatArray = events @ high + events @ low
        return found
    rows = np.repeat(np.arange(events.shape[0]), np.diff(events.indptr))
    high, low = (
        np.bincount(rows, events.data * part, events.shape[0]).astype(np.float64)
        for part in _part(log_prob.take(events.indices))
    )
    return high + low


def score_documents(
    model: BackoffModel, ids: Ints, starts: Ints, contexts: Ints | None = None
) -> FloatArray:
    """Return the log-likelihood (n_documents,) of each document, counting nothing.

    Each token is looked up after the longest context before it alone, which the arc of the token
    before tells; after shorter ones only where that context does not know the token.

    Parameters
    ----------
    model : BackoffModel
    ids, starts, contexts
        As of :meth:`Trie.walk`.
    """
    trie = model.trie
    trie.prepare(len(ids))
    if contexts is None:
        contexts = np.full(len(starts) - 1, trie.first_context, np.int32)
    scores = np.zeros(len(starts) - 1)
    for first, end in part_documents(starts, _BLOCK):
        scores[first:end] = _score_block(model, ids, starts[first : end + 1], contexts[first:end])
    return scores


def _part(log_prob):
    """Return two arrays that add up to logarithms, up to rounding, and whose sums are exact."""
    high = log_prob / _COARSE
    np.rint(high, out=high)
    high *= _COARSE
    with np.errstate(invalid="ignore"):
        low = log_prob - high
    low /= _FINE
    np.rint(low, out=low)
    low *= _FINE
    low[np.isneginf(high)] = 0.0
    return high, low


def _score_block(model, ids, starts, contexts):
    """Do :func:`score_documents` for some: while they are many, token after token."""
    lengths = np.diff(starts)
    order = np.argsort(-lengths, kind="stable")
    at, contexts = starts[:-1].take(order), contexts.take(order)
    high, low = np.zeros((2, len(lengths)))
    # How many documents have more tokens than so many; they are the first ones.
    n_left = (len(lengths) - np.cumsum(np.bincount(lengths))).tolist()
    n_done = 0
    while n_left[n_done] >= _FEWEST:
        n = n_left[n_done]
        arcs, passed = _step(model.trie, contexts[:n], ids.take(at[:n]))
        _add(model, arcs, passed, high[:n], low[:n])
        # After the end of a document there is no context.
        contexts = np.maximum(model.trie.next.take(arcs), 0)
        at[:n] += 1
        n_done += 1
    n = n_left[n_done]
    if n:
        rest = lengths[order[:n]] - n_done
        _add_rest(model, ids.take(joined_ranges(at[:n], rest)), rest, contexts[:n], high, low)
    scores = np.empty_like(high)
    scores[order] = high + low
    return scores


def _step(trie, contexts, tokens):
    """Return the arcs (n,) of tokens after contexts (n,), and what was backed off from.

    That is as :meth:`Trie.backed_off` yields it.
    """
    arcs = trie.find(contexts, tokens)
    at = np.flatnonzero(arcs < 0)
    left, passed = contexts.take(at), []
    while len(at):
        passed.append((at, left))
        left = trie.suffix.take(left)
        found = trie.find(left, tokens.take(at))
        arcs[at] = found
        on = np.flatnonzero(found < 0)
        at, left = at[on], left[on]
    return arcs, passed


def _add(model, arcs, backed_off, high, low):
    """Add the parts of the log-probabilities of tokens (n,) in place."""
    of_arcs = _part(model.arc_log_prob.take(arcs))
    for total, more in zip((high, low), of_arcs, strict=True):
        total += more
    for at, passed in backed_off:
        of_weights = _part(model.backoff_log_weight.take(passed))
        for total, more in zip((high, low), of_weights, strict=True):
            total[at] += more


def _add_rest(model, ids, lengths, contexts, high, low):
    """Add what is left of documents, one token or more of each of the first ones, in place."""
    starts, first = np.append(0, np.cumsum(lengths)), 0
    for walk, own in model.trie.walk_in_chunks(ids, starts, contexts):
        of_tokens = np.zeros((2, len(walk.arcs)))
        _add(model, walk.arcs, model.trie.backed_off(walk), *of_tokens)
        some = slice(first, first + len(own) - 1)
        for total, more in zip((high, low), of_tokens, strict=True):
            total[some] += np.add.reduceat(more, own[:-1])
        first = some.stop
