"""The best policies over n-grams by what follows, and position by position."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.numbers import check_tokens_at_once
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex.exact._ngram_flow import PolicyFlow
from sklearn_codex.exact._ngram_kernel import ContextKernel
from sklearn_codex.exact._ngram_rest import is_looked_at, is_same
from sklearn_codex.exact._ngram_terms import NGramTerms

# Nats of which floats keep less than three digits of a logarithm's fraction.
_UNRESOLVED = 1e12
# Nats below which the logarithm of a sum of weights has lost digits.
_SLIGHT = 1e-2
# Nats of a token, or share of them, that are rounding.
_AT_REST = 1e-14


def best_events(kernel: ContextKernel, log_after: FloatArray, other: FloatArray) -> FloatArray:
    """Return the policy (E,) that draws tokens by their weight and that of what follows.

    Parameters
    ----------
    kernel : ContextKernel
        Weights of tokens.
    log_after : ndarray of shape (A,)
        Logarithms of the weight of what follows each arc.
    other : ndarray of shape (E,)
        A policy, taken in contexts that no document gets on from.
    """
    trie = kernel.trie
    top, rest = kernel.log_sum_parts(log_after)
    lost = np.isneginf(top + rest)
    owner = trie.arc_context
    events = np.zeros(trie.n_events)
    with np.errstate(invalid="ignore"):
        weights = kernel.arc_log_weight + log_after
        events[: trie.n_arcs] = weights - top[owner] - rest[owner]
    of_backoff = slice(trie.n_arcs, trie.n_arcs + trie.n_contexts - 1)
    events[of_backoff] = kernel.log_backoff_share(top, rest)[1:]
    if lost.any():
        of_lost = np.concatenate([lost[owner], lost[1:], np.zeros(len(lost) - 1, bool)])
        events[of_lost] = other[of_lost]
    return events


def moved(trie: Trie, log_prob: FloatArray, change: FloatArray) -> FloatArray:
    """Return a policy (E,) whose events are tilted by changes (E,) of their logits."""
    kernel = ContextKernel(trie, log_prob + change)
    return best_events(kernel, np.zeros(trie.n_arcs), log_prob)


# Position by position


@dataclass(frozen=True)
class Worth:
    """What documents weigh that begin in each context, by how many tokens are left.

    What is the same for all of them is taken out, so that where kl_coef is small the logarithms
    keep the digits of the reference.

    Parameters
    ----------
    kernel : ContextKernel
        Weights of tokens, the greatest reward of an arc taken out of each.
    log_worth : ndarray of shape (n, C)
        Logarithms with 0, 1, ... tokens left, less the greatest of each row; with more than n - 1
        as with these, where that is less than the maximal length.
    taken_out : ndarray of shape (max_length + 1,)
        What they lack, in nats.
    """

    kernel: ContextKernel
    log_worth: FloatArray
    taken_out: FloatArray

    @classmethod
    def of(cls, objective: NGramTerms) -> "Worth":
        """Return that of an objective with a maximal length, by backward recursion."""
        max_length, n_contexts = objective.max_length, objective.trie.n_contexts
        assert max_length is not None
        check_tokens_at_once(max_length, n_contexts, remedy="Set a smaller max_length.")
        kernel, of_token = objective.relative_kernel
        worth, taken_out = [np.zeros(n_contexts)], np.empty(max_length + 1)
        rises: list[float] = []
        taken_out[0] = -objective.missing_eos_penalty / objective.temperature
        for left in range(1, max_length + 1):
            before = kernel.after(worth[left - 1], -taken_out[left - 1])
            sums = kernel.log_sums(before)
            finite = sums[np.isfinite(sums)]
            top = finite.max(initial=-np.inf) if len(finite) else 0.0
            _check_resolved(objective, finite)
            worth.append(sums - top)
            taken_out[left] = taken_out[left - 1] + of_token + top
            rises.append(of_token + top)
            if is_looked_at(left) and cls._is_at_rest(worth, rises, kernel):
                rise = float(np.mean(rises[left // 2 :]))
                taken_out[left:] = taken_out[left] + rise * np.arange(max_length + 1 - left)
                break
        return cls(kernel, np.array(worth), taken_out)

    @staticmethod
    def _is_at_rest(worth, rises, kernel):
        """Tell whether contexts weigh as at the last step and half the way, and all gain alike.

        Were the end of any weight, a token would gain the less the more are left, or gain nothing;
        where it loses, the end will be of weight.
        """
        left = len(worth) - 1
        if not all(is_same(worth[left], worth[place]) for place in (left - 1, left // 2)):
            return False
        later = np.array(rises[left // 2 :])
        loses = later[-1] < -10 * _AT_REST and np.isfinite(kernel.arc_log_weight[kernel.ends]).any()
        gains_alike = np.ptp(later) <= _AT_REST * max(1.0, float(np.abs(later).max()))
        return bool(gains_alike and not loses)

    @property
    def n_kept(self) -> int:
        """With how many tokens left, and more, contexts weigh alike."""
        return len(self.log_worth) - 1

    def best(self, left: int, other: FloatArray) -> FloatArray:
        """Return the best policy (E,) of the token before which so many are left, itself included.

        Another (E,) in contexts that no document gets on from.
        """
        return self._best(left - 1, float(self.taken_out[left - 1]), other)

    def best_on_average(self, left: IntArray, ended: FloatArray, other: FloatArray) -> FloatArray:
        """Return the policy (E,) whose logarithms are the means of the best of some tokens.

        Before them more than :attr:`n_kept` are left (n,). They differ in the end alone, of so many
        documents (n,) each: it weighs less than rounding then, unless it is the same.
        """
        taken_out = self.taken_out[left - 1]
        total = float(ended.sum())
        mean = float(ended @ taken_out) / total if total > 0 else float(taken_out.mean())
        return self._best(self.n_kept, mean, other)

    def _best(self, after, taken_out, other):
        log_worth = self.log_worth[min(after, self.n_kept)]
        return best_events(self.kernel, self.kernel.after(log_worth, -taken_out), other)

    def total(self, initial: FloatArray) -> float:
        """Return the mean logarithm of whole documents that start in contexts so often (C,)."""
        return weighted(initial, self.log_worth[-1]) + float(self.taken_out[-1])


def _check_resolved(objective, log_worth):
    if len(log_worth) and np.ptp(log_worth) > _UNRESOLVED:
        raise ValueError(
            f"{type(objective).__name__} with kl_coef={objective.kl_coef:g} has contexts whose "
            f"values differ by {np.ptp(log_worth):.3g} nats at reward_coef="
            f"{objective.reward_coef:g}, as they cannot reach the same tokens: floats would lose "
            "the reference. Raise kl_coef, lower reward_coef, or smooth the reference."
        )


def time_dependent_optimum(objective: NGramTerms) -> Bunch:
    """Return the best policy of all where documents are cut, see ``NGramObjective``."""
    max_length = objective.max_length
    assert max_length is not None
    check_tokens_at_once(
        max_length,
        objective.trie.n_events,
        remedy="Set a smaller max_length; optimal_value() needs no policy written out.",
    )
    worth = Worth.of(objective)
    log_prob = np.empty((max_length, objective.trie.n_events))
    assert objective.initial is not None
    visits, length = objective.initial, 0.0
    for position in range(max_length):
        log_prob[position] = worth.best(max_length - position, objective.start)
        length += float(visits.sum())
        here = ContextKernel(objective.trie, log_prob[position])
        here.log_sums()
        operator = here.operator(np.zeros(len(visits)))
        visits = np.maximum(operator.transposed_dot(visits), 0.0)
    return Bunch(
        log_prob=log_prob,
        value=value_by_position(objective, worth),
        expected_length=length,
    )


def best_value(objective: NGramTerms, nats: float, gap: Callable[[PolicyFlow], float]) -> float:
    """Return J*, which is in nats the logarithm of the weight of all documents.

    Parameters
    ----------
    objective : NGramTerms
    nats : float
    gap : callable
        Returns what the best policy is better by than another, given its flow. Where the weight is
        nearly one, its logarithm has lost digits that the distance from the reference has.
    """
    if abs(nats) >= _SLIGHT or (flow := objective.flow(objective.start)).is_endless:
        return objective.temperature * nats
    return objective.value(objective.start) + gap(flow)


def value_by_position(objective: NGramTerms, worth: Worth) -> float:
    """Return J* of policies that may look at the position."""
    assert objective.initial is not None
    nats = worth.total(objective.initial)
    return best_value(objective, nats, lambda flow: gap_by_position(objective, flow, worth))


def gap_by_position(objective: NGramTerms, flow: PolicyFlow, worth: Worth | None = None) -> float:
    """Return what the best policy of all is better by, which may look at the position."""
    assert objective.max_length is not None
    if objective.is_at_reference:
        return objective.gap_to_reference(flow)
    worth, total = worth or Worth.of(objective), 0.0
    if flow.log_prob.ndim == 1:
        return objective.temperature * _gap_of_one(objective, flow, worth)
    for position, step in enumerate(flow.steps(objective.max_length)):
        best = worth.best(objective.max_length - position, objective.start)
        total += step.kl(best)
    return objective.temperature * total


def _gap_of_one(objective, flow, worth):
    """Return KL(policy || the best of all), in nats, of a policy that is one for all positions.

    Positions before which the best one is the same but for the end are taken together.
    """
    left, total = objective.max_length, 0.0
    early, lefts, ended = np.zeros(objective.trie.n_contexts), [np.zeros(0, int)], [np.zeros(0)]
    for stretch in flow.stretches(objective.max_length):
        n_early = min(stretch.length, max(0, left - worth.n_kept))
        first, others = stretch.split(n_early)
        if n_early:
            early += first.total()
            lefts.append(left - np.arange(n_early))
            ended.append(first.weights() * flow.ended_at(first.visits))
        for place, weight in enumerate(others.weights()):
            best = worth.best(left - n_early - place, objective.start)
            total += flow.step_at(others.visits * weight).kl(best)
        left -= stretch.length
    if early.any():
        at = np.concatenate(lefts)
        best = worth.best_on_average(at, np.concatenate(ended), objective.start)
        total += flow.step_at(early).kl(best)
    return total


def weighted(initial: FloatArray, values: FloatArray) -> float:
    """Return the mean of values (C,) where documents start."""
    begins = initial > 0
    return float(initial[begins] @ values[begins])
