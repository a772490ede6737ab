"""Gradients of policies over n-grams, and the ascent along them where there is no formula."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_tokens_at_once
from sklearn_codex._ngrams.table import Ints
from sklearn_codex.exact._ngram_flow import PolicyFlow
from sklearn_codex.exact._ngram_rest import extended
from sklearn_codex.exact._ngram_search import moved
from sklearn_codex.exact._ngram_terms import NGramTerms, mean_of_next

# Numbers of positions that are gathered at a time, in the cache of a core.
_GATHERED = 1 << 17
# Steps of an ascent, and how many of the last ones tell its curvature.
_MOST_STEPS, _MEMORY = 200, 12
# Gain that ends an ascent, as a share of that of the best policy over the start, and of J itself.
_NO_GAIN, _ROUNDING = 1e-10, 1e-14
# Share of the expected gain that a step has, and the least share of it that is tried.
_ENOUGH, _SHORTEST = 1e-4, 1e-6
# The most that a logit moves in a step: curvature says nothing of what is further.
_FARTHEST = 20.0


def gradient_at(
    flow: PolicyFlow, visits: FloatArray, scores: FloatArray, values: FloatArray, after: FloatArray
) -> FloatArray:
    """Return what visits to contexts add to the derivative (E,) of J by the tilt of each event.

    Parameters
    ----------
    flow : PolicyFlow
        The policy.
    visits : ndarray of shape (C, n_positions)
    scores : ndarray of shape (E,)
        Shaped rewards of events.
    values : ndarray of shape (C, n_positions)
        Shaped rewards that are expected of the next token and after it.
    after : ndarray of shape (C, n_positions)
        Those to come from each context after the next token.
    """
    kernel, trie = flow.kernel, flow.trie
    n_arcs, backoff, owner = trie.n_arcs, kernel.backoff(), trie.arc_context
    of_backoff = np.append(0.0, scores[n_arcs : n_arcs + trie.n_contexts - 1])
    by_position = np.empty(visits.shape)
    for column, visited in zip(by_position.T, visits.T, strict=True):
        column[:] = flow.flow_of(visited)
    through = by_position.sum(axis=1)
    # What documents in a flow have gained on their way down, less what they were worth.
    gained = -np.einsum("ij,ij->i", visits, values)
    for low, high, _, _ in reversed(kernel.levels[1:]):
        passed = backoff[low:high] * (gained[low:high] + through[low:high] * of_backoff[low:high])
        gained[:low] += np.bincount(trie.suffix[low:high], passed, low)
    gained_after = gained + through * of_backoff
    prob = np.exp(kernel.arc_log_weight)
    own = np.where(prob > 0, prob * scores[:n_arcs], 0.0)
    following = np.vstack([after, np.zeros(after.shape[1])])  # nothing after the end
    longer = slice(trie.n_tokens, None)
    of_lower = np.zeros(n_arcs)
    of_lower[longer] = _matched(
        by_position, owner[longer], following, trie.next[kernel.lower[longer]]
    )
    to_come = _matched(by_position, owner, following, trie.next)
    to_come -= np.bincount(kernel.lower, backoff[owner] * of_lower, n_arcs)
    arcs = prob * (kernel.not_passed(gained, backoff * gained_after) + to_come)
    arcs += own * kernel.not_passed(through, backoff * through)
    # Of what backs off: its share, and the worth of what it comes to.
    left = np.einsum("ij,ij->i", by_position, values[trie.suffix])
    left -= trie.sum_by_context(own[kernel.lower] * through[owner] + prob[kernel.lower] * of_lower)
    backed = backoff * (gained_after * flow.rest + left)
    backed[0] = 0.0
    if len(kernel.written):
        entries, rows = kernel.entry_arc, kernel.entry_row
        share = gained[rows] + through[rows] * (scores[entries] + kernel.along(of_backoff))
        share += _matched(by_position, rows, following, trie.next[entries])
        share *= np.exp(kernel.entry_log_weight + kernel.arc_log_weight[entries])
        arcs += np.bincount(entries, share, n_arcs)
        backed += kernel.passed(share)
    return np.concatenate([arcs, backed[1:], np.zeros(trie.n_contexts - 1)])


def _matched(left: FloatArray, rows: Ints, right: FloatArray, others: Ints) -> FloatArray:
    """Return the sums over positions of products of some rows of one array and some of another."""
    found, size = np.empty(len(rows)), max(1, _GATHERED // left.shape[1])
    for low in range(0, len(rows), size):
        some = slice(low, low + size)
        found[some] = np.einsum("ij,ij->i", left[rows[some]], right[others[some]])
    return found


def gradient(objective: NGramTerms, log_prob: FloatArray) -> FloatArray:
    """Return the derivative (E,) of J without demonstrations by the tilt of each event."""
    flow, scores = objective.flow(log_prob), objective.token_scores(log_prob)
    n_arcs = objective.trie.n_arcs
    if objective.max_length is None:
        after = objective.values_of(log_prob, scores)
        worth = scores.copy()
        worth[:n_arcs] += flow.kernel.after(after)
        values = mean_of_next(flow, worth)
        columns = (column[:, np.newaxis] for column in (flow.visits, values, after))
    else:
        columns = _by_position(objective, flow, scores)
    visits, values, after = map(np.ascontiguousarray, columns)
    return gradient_at(flow, visits, scores, values, after)


def _by_position(objective, flow, scores):
    """Return visits, values and values after (C, n), a column a position.

    Positions at which visits are the same but for a factor are one, with the means of values: all
    that they add is linear in these.
    """
    values = values_by_position(objective, flow, scores)[::-1]
    rows, position = [], 0
    for stretch in flow.stretches(objective.max_length):
        weights, stop = stretch.weights(), position + stretch.length
        share = weights / weights.sum()
        here, after = share @ values[position:stop], share @ values[position + 1 : stop + 1]
        rows.append((stretch.total(), here, after))
        position = stop
    return (np.array(column).T for column in zip(*rows, strict=True))


def values_by_position(objective: NGramTerms, flow: PolicyFlow, scores: FloatArray) -> FloatArray:
    """Return the shaped reward to come (max_length + 1, C) with 0, 1, ... tokens left."""
    assert objective.max_length is not None
    n_contexts = objective.trie.n_contexts
    check_tokens_at_once(objective.max_length, n_contexts, remedy="Set a smaller max_length.")
    step, operator = mean_of_next(flow, scores), flow.operator
    last = np.full(n_contexts, -objective.missing_eos_penalty)
    return extended(lambda values: step + operator.dot(values), last, objective.max_length)


def stationary_optimum(
    objective: NGramTerms,
    starts: list[FloatArray],
    best_value: float,
    followed: FloatArray | None = None,
) -> "Ascent":
    """Return the best policy found of those that are the same at all positions.

    By L-BFGS on the tilts of events, from the best of some starts until a step gains no more than
    1e-10 of what the best policy of all is ahead of the worst start: a local maximum. Where another
    start was followed from an easier objective, the better of what it and the best lead to.

    Parameters
    ----------
    objective : NGramTerms
    starts : list of ndarray of shape (E,)
    best_value : float
        A value that none exceeds, as J* of policies that may look at the position.
    followed : ndarray of shape (E,), default=None

    References
    ----------
    .. [1] Nocedal, J. and Wright, S. J. (2006). "Numerical Optimization", 2nd ed. Springer.
       Algorithms 3.1, 7.4.
    """
    found = [objective.value(start) for start in starts]
    first = starts[int(np.argmax(found))]
    no_gain = _NO_GAIN * (best_value - min(value for value in found if value > -np.inf))
    ends = [climb(objective, first, no_gain)]
    if followed is not None:
        ends.append(climb(objective, followed, no_gain))
    return max(ends, key=lambda end: objective.value(end.policy))


@dataclass(frozen=True)
class Ascent:
    """Where an ascent ended.

    Parameters
    ----------
    policy : ndarray of shape (E,)
    left : float, default=0.0
        What the next step was to gain, to first order, where the steps ran out.
    """

    policy: FloatArray
    left: float = 0.0


def climb(objective: NGramTerms, policy: FloatArray, no_gain: float) -> Ascent:
    """Return the local maximum above a policy, up to steps that gain so little."""
    value = objective.value(policy)
    tol = max(no_gain, _ROUNDING * max(abs(value), objective.temperature))
    pairs: deque[tuple[FloatArray, FloatArray]] = deque(maxlen=_MEMORY)
    slope = _slope(objective, policy)
    for _ in range(_MOST_STEPS):
        step = _quasi_newton_step(objective, policy, slope, pairs)
        if slope @ step <= tol:
            # Curvature of a few steps may be that of elsewhere.
            pairs.clear()
            step = _quasi_newton_step(objective, policy, slope, pairs)
            if slope @ step <= tol:
                return Ascent(policy)
        step *= min(1.0, _FARTHEST / float(np.abs(step).max()))
        share, trial, reached = _line_search(objective, policy, value, step, slope @ step)
        if share == 0.0:
            if not pairs:
                return Ascent(policy)
            pairs.clear()
            continue
        before, slope = slope, _slope(objective, trial)
        if (step @ (before - slope)) > 0:
            pairs.append((share * step, before - slope))
        gained, policy, value = reached - value, trial, reached
        if gained <= tol:
            return Ascent(policy)
    return Ascent(policy, float(slope @ _quasi_newton_step(objective, policy, slope, pairs)))


def _slope(objective, policy):
    """Return the derivative (E,) of J, demonstrations included, by the tilt of each event."""
    pull = objective.demonstrations_gradient(policy)
    slope = gradient(objective, policy)
    return slope if pull is None else slope + pull


def _quasi_newton_step(objective, policy, slope, pairs):
    """Return the step (E,) of L-BFGS, from the natural gradient of each event by itself.

    Its metric is what a unit of a logit costs: the temperature, times how often the event is used,
    and what demonstrations pull.
    """
    used = objective.curvature(policy)
    step, shares = slope.copy(), []
    for move, change in reversed(pairs):
        shares.append(move @ step / (move @ change))
        step -= shares[-1] * change
    with np.errstate(over="ignore"):
        step = np.divide(step, used, out=np.zeros_like(step), where=used > 0)
    step = np.clip(step, -_FARTHEST, _FARTHEST)
    for (move, change), share in zip(pairs, reversed(shares), strict=True):
        step += (share - change @ step / (move @ change)) * move
    return step


def _line_search(objective, policy, value, step, expected):
    """Return the share of a step that gains enough, the policy and its value; 0 where none does."""
    share = 1.0
    while share > _SHORTEST:
        trial = moved(objective.trie, policy, share * step)
        reached = objective.value(trial)
        if reached > value and reached >= value + _ENOUGH * share * expected:
            return share, trial, reached
        share *= 0.5
    return 0.0, policy, value
