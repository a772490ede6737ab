"""Estimates of back-off models from events: Kneser-Ney, Witten-Bell, Dirichlet, additive.

All of them interpolate: with shares ``s`` of what a context has seen and ``gamma`` of what the next
shorter one h' says,

    p(w | h) = s(h, w) + gamma(h) p(w | h'),

the shorter one of the root being the uniform distribution. In the form of ARPA files an arc has
this probability, and every other token ``gamma(h) p(w | h')``. All are functions of one vector (E,)
of summed events, so of weighted documents, too. What backed off in them, since the trie does not
hold it, counts as n-grams seen once each.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import FloatArray, safe_log
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.trie import Trie

__all__ = ["Discounts", "additive", "dirichlet", "kneser_ney", "refine", "witten_bell"]

# What is taken off counts of 1, 2, and 3 or more where counts of counts do not tell: KenLM's.
_FALLBACK = (0.5, 1.0, 1.5)
# A share of all tokens that is rounding.
_ROUNDING = 1e-9


class Discounts(NamedTuple):
    """What Kneser-Ney estimates take off counts.

    Attributes
    ----------
    values : ndarray of shape (order, 3)
        By the tokens of the n-gram, off counts of 1, 2, and 3 or more.
    is_fallback : ndarray of bool of shape (order,)
        Where counts of counts do not tell, so that they are 0.5, 1 and 1.5.
    """

    values: FloatArray
    is_fallback: np.ndarray


def additive(trie: Trie, events: FloatArray, count: float) -> BackoffModel:
    """Add a count to that of each token, spread after a context as the shorter one says.

    Parameters
    ----------
    trie : Trie
    events : ndarray of shape (E,)
        Summed events.
    count : float
        At least 0; 1 is Laplace smoothing. Of order 1 it is exactly (n + a) / (N + a V).
    """
    return dirichlet(trie, events, count * trie.n_tokens)


def dirichlet(trie: Trie, events: FloatArray, strength: float) -> BackoffModel:
    """Take the shorter context for a Dirichlet prior that is worth ``strength`` tokens."""
    counts = trie.raw_counts(events)
    rest = backed_off(trie, events) + strength
    return _of_counts(trie, safe_log(counts), rest)


def witten_bell(trie: Trie, events: FloatArray) -> BackoffModel:
    """Give what was never seen the share of types among types and tokens."""
    counts, other = trie.raw_counts(events), backed_off(trie, events)
    types = trie.sum_by_context(np.minimum(counts, 1.0)) + other
    return _of_counts(trie, safe_log(counts), other + types)


def kneser_ney(
    trie: Trie, events: FloatArray, discounts: ArrayLike | None = None
) -> tuple[BackoffModel, Discounts]:
    """Return the interpolated modified Kneser-Ney estimate, and its discounts.

    An n-gram that is part of longer ones counts once for each token that it follows, and as often
    as it occurs where it follows none that is known, as at the start of a document. A fractional
    count lies between two whole ones: it takes its discount, and its part in the counts of counts,
    linearly from both; a longer n-gram that occurs less than once counts for so much of one.

    Parameters
    ----------
    trie : Trie
    events : ndarray of shape (E,)
        Summed events.
    discounts : array-like of shape (order, 3) or None, default=None
        As of :class:`Discounts`; None to have them from counts of counts.
    """
    raw = trie.raw_counts(events)
    longer = np.flatnonzero(trie.lower >= 0)
    follows = np.bincount(trie.lower[longer], np.minimum(raw[longer], 1.0), trie.n_arcs)
    counts = events[: trie.n_arcs] + follows
    if discounts is None:
        found = _find_discounts(trie, counts, count_unknown(trie, events, raw))
    else:
        found = Discounts(np.asarray(discounts, np.float64), np.zeros(trie.order, bool))
    taken = np.empty(trie.n_arcs)
    for (start, stop), off in zip(trie.levels(), found.values, strict=True):
        taken[start:stop] = np.interp(counts[start:stop], np.arange(4), [0.0, *off])
    rest = trie.sum_by_context(taken) + backed_off(trie, events)
    # A fraction less all of itself is rounding, of either sign.
    return _of_counts(trie, safe_log(np.maximum(counts - taken, 0.0)), rest), found


def _find_discounts(trie, counts, unknown):
    """Return the discounts by how many n-grams have counts of 1, 2, 3 and 4."""
    values, is_fallback = np.empty((trie.order, 3)), np.zeros(trie.order, bool)
    whole = np.arange(1.0, 5.0)
    for length, (start, stop) in enumerate(trie.levels()):
        near = counts[start:stop]
        near = near[near < whole[-1] + 1]
        n = np.array([np.maximum(1.0 - np.abs(near - count), 0.0).sum() for count in whole])
        n[0] += unknown[length]
        off = np.full(3, -1.0)
        if n.min() > 0:
            off = whole[:3] - whole[1:] * (n[0] / (n[0] + 2 * n[1])) * n[1:] / n[:-1]
        is_fallback[length] = not np.all((off >= 0) & (off <= whole[:3]))
        values[length] = _FALLBACK if is_fallback[length] else off
    return Discounts(values, is_fallback)


def count_unknown(trie: Trie, events: FloatArray, raw: FloatArray) -> FloatArray:
    """Return by length (order,) how often n-grams occur that the trie does not hold.

    At the start of a document n-grams are short; of those of four tokens and more that the trie
    does not hold some are taken for long ones.

    Parameters
    ----------
    trie : Trie
    events : ndarray of shape (E,)
        Summed events.
    raw : ndarray of shape (A,)
        As from :meth:`Trie.raw_counts`.
    """
    unknown = np.zeros(trie.order)
    if trie.start < 0:  # then those cut short by the start cannot be told
        return unknown
    begins = np.zeros(trie.n_contexts, bool)
    begins[trie.start] = True
    context_of = trie.spread(np.arange(trie.n_contexts, dtype=np.int32))
    n_passed = trie.sum_by_context(raw) + backed_off(trie, events)
    n_short = 0.0
    for length, (start, stop) in enumerate(trie.levels()):
        own = np.flatnonzero(trie.context_length == length)
        if length > 1:
            begins[own] = begins[context_of[trie.arc_of_context[own]]]
        missing = n_passed[0] - raw[start:stop].sum() - n_short
        unknown[length] = missing if missing > _ROUNDING * n_passed[0] else 0.0
        n_short += n_passed[own[begins[own]]].sum()
    return unknown


def refine(base: BackoffModel, events: FloatArray, strength: float) -> BackoffModel:
    """Return the posterior mean of a base model that is worth ``strength`` tokens in each context.

    The shorter contexts are refined first, and the base stands on them as it did: with its
    shares s0 and gamma0, arcs and, together, all tokens that are no arcs of h have

        p(w | h) = (n(h, w) + k (s0(h, w) + gamma0(h) p(w | h'))) / (n(h) + k),
        p(no arc | h) = (b(h) + k gamma0(h) p(no arc of h | h')) / (n(h) + k),

    the latter shared as p(w | h') says, for demonstrations that pass h n(h) times, b(h) of them
    backing off. Where an arc of the base is below its back-off, so that it interpolates nothing,
    arcs and all other tokens are refined as they are.

    Parameters
    ----------
    base : BackoffModel
    events : ndarray of shape (E,)
        Summed events of the demonstrations.
    strength : float
        At least 0.
    """
    trie = base.trie
    counts, other = trie.raw_counts(events), backed_off(trie, events)
    prob = np.exp(base.arc_log_prob)
    weight = np.exp(base.backoff_log_weight)
    weight[0] = 0.0
    shorter = np.where(trie.lower >= 0, prob[trie.lower], 0.0)
    own = prob - trie.spread(weight) * shorter
    below = np.minimum.reduceat(own + _ROUNDING * prob, trie.indptr[:-1]) < 0
    as_they_are = trie.spread(below)
    as_they_are[: trie.n_tokens] = True
    log_own = np.where(as_they_are, base.arc_log_prob, safe_log(np.maximum(own, 0.0)))
    log_counts = np.logaddexp(safe_log(counts), safe_log(strength) + log_own)
    unknown = other + strength * np.where(below, np.maximum(1.0 - base.arc_mass, 0.0), 0.0)
    return _of_counts(trie, log_counts, strength * np.where(below, 0.0, weight), unknown)


def backed_off(trie: Trie, events: FloatArray) -> FloatArray:
    """Return how often each context (C,) was backed off from."""
    return np.append(0.0, events[trie.n_arcs : trie.n_arcs + trie.n_contexts - 1])


def _of_counts(trie, log_counts, rest, unknown=None):
    """Return the model whose contexts keep counts (A,), and give the rest (C,) to shorter ones.

    The rest goes to all tokens, what is unknown (C,) to those that are no arcs of the context.
    """
    unknown = np.zeros(trie.n_contexts) if unknown is None else unknown
    total = trie.sum_by_context(np.exp(log_counts)) + rest + unknown
    is_empty = total == 0
    log_total = safe_log(np.where(is_empty, 1.0, total))
    log_gamma = safe_log(np.where(is_empty, 1.0, rest)) - log_total
    log_prob = log_counts - trie.spread(log_total)
    log_weight = log_gamma.copy()
    for length, (start, stop) in enumerate(trie.levels()):
        of_level, at = slice(start, stop), np.flatnonzero(trie.context_length == length)
        lower = log_prob[trie.lower[of_level]] if start else -np.log(trie.n_tokens)
        if start and unknown[at].any():
            left = 1.0 - np.add.reduceat(np.exp(lower), trie.indptr[at] - start)
            # Where shorter contexts know no other tokens either, it goes to these.
            share = unknown[at] / np.where(left > _ROUNDING, left, 1.0)
            share = safe_log(share) - log_total[at]
            log_gamma[at] = np.where(
                left > _ROUNDING, log_gamma[at], np.logaddexp(log_gamma[at], share)
            )
            log_weight[at] = np.logaddexp(log_weight[at], share)
        given = trie.spread(log_gamma)[of_level] + lower
        log_prob[of_level] = np.logaddexp(log_prob[of_level], given)
    return BackoffModel(trie, log_prob, np.append(0.0, log_weight[1:]))
