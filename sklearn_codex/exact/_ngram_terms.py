"""What is known of policies over n-grams before the best one is searched."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.numbers import COUNT, LOG_TOLERANCE, check_number, check_values
from sklearn_codex._ngrams.backoff import BackoffModel, ModelByPosition
from sklearn_codex._ngrams.lookup import find_ngrams
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex.exact._eos_length import EndingObjective
from sklearn_codex.exact._ngram_events import check_events, takes_events, takes_policies
from sklearn_codex.exact._ngram_flow import PolicyFlow, PositionFlow
from sklearn_codex.exact._ngram_kernel import ContextKernel
from sklearn_codex.exact._ngram_rest import stretches
from sklearn_codex.exact._ngram_solve import ContextEquation
from sklearn_codex.exact._settings import (
    below_best,
    check_demonstrations,
    in_nats,
    keep_checked,
    reward_spread,
)

# Logarithms of sums of rows of a reference that are rounding.
_MASS_ROUNDING = 1e-8
# Policies whose flows are kept.
_KEPT = 3
_SHARES_TOLERANCE = 1e-6
_ROUNDING = 1e-12
# Nats of a reward that logarithms of probabilities do not show.
_NO_NATS = 1e-13


@dataclass(frozen=True, repr=False)
class NGramTerms(EndingObjective):
    """Parameters, weights and value of an ``NGramObjective``, see there."""

    reference_log_prob: FloatArray
    token_reward: FloatArray
    trie: Trie
    kl_coef: float = 1.0
    reward_coef: float = 1.0
    penalty: FloatArray | None = None
    sft_coef: float = 0.0
    frequencies: FloatArray | None = None
    max_length: int | None = None
    missing_eos_penalty: float = 0.0
    entropy_coef: float = 0.0
    initial: FloatArray | None = None

    def __post_init__(self):
        subject, trie = type(self).__name__, self.trie
        if not isinstance(trie, Trie):
            raise TypeError(
                f"{subject} needs the trie of a back-off model, got a {type(trie).__name__}. Use "
                f"{subject}.of_model."
            )
        keep_checked(
            self,
            lambda values, subject: check_events(
                values, "reference_log_prob", subject=subject, trie=trie
            ),
        )
        self._check_ends_are_free(subject)
        self._check_length(subject)
        self._check_initial(subject)
        if not self.temperature < np.inf:
            raise ValueError(
                f"{subject} needs a finite kl_coef + entropy_coef, got {self.kl_coef} + "
                f"{self.entropy_coef}. Scale all coefficients down."
            )
        self._check_rows(subject)
        self._check_can_begin(subject)
        check_demonstrations(self, self.possible, slice(trie.n_arcs))
        object.__setattr__(self, "_flows", [])

    def _check_ends_are_free(self, subject):
        trie = self.trie
        for name in ("token_reward", "penalty"):
            values = getattr(self, name)
            if values is not None and values[trie.n_arcs + trie.n_contexts - 1 :].any():
                raise ValueError(
                    f"{subject} needs {name} of 0 for the context that a document ends in: no "
                    "back-off model has the best policy for any other. Use arc_reward."
                )

    def _check_length(self, subject):
        self._check_max_length()
        if self.max_length is None and self.trie.eos < 0:
            raise ValueError(
                f"{subject} without max_length needs a trie with an end-of-sequence token, got "
                "none: documents would never end. Set max_length."
            )

    def _check_initial(self, subject):
        n_contexts = self.trie.n_contexts
        initial: Any = self.initial
        if initial is None:
            initial = np.zeros(n_contexts)
            initial[self.trie.first_context] = 1.0
        shares = check_values(initial, "initial", subject=subject, shape=(n_contexts,), low=0.0)
        if abs(shares.sum() - 1.0) > _SHARES_TOLERANCE:
            raise ValueError(
                f"{subject} needs initial, how often documents start in each context, that sums "
                f"to 1, got {shares.sum():.6g}. Divide counts by their sum."
            )
        object.__setattr__(self, "initial", shares)

    def _check_rows(self, subject):
        sums = self._reference_mass
        if sums is not None and (sums > LOG_TOLERANCE).any():
            context = int(np.argmax(sums))
            raise ValueError(
                f"{subject} needs probabilities of the next token that sum to 1 after each "
                f"context, got {np.exp(sums[context]):.6g} after context {context}. Divide them "
                "by their sum."
            )

    def _check_can_begin(self, subject):
        """Check that documents of possible arcs come to an end."""
        assert self.initial is not None
        if self.max_length is not None:
            stuck = (self.initial > 0) & np.isneginf(self.kernel.log_sums())
            what, remedy = "go on", "Ban fewer, or smooth the reference."
        else:
            stuck = (self.initial > 0) & ~self.kernel.can_end()
            what, remedy = "end", "Ban fewer, smooth the reference, or set max_length."
        if stuck.any():
            raise ValueError(
                f"{subject} needs a reference whose documents can {what} from where they start, "
                f"but from context {int(np.flatnonzero(stuck)[0])} none can with what is possible "
                f"at a finite penalty. {remedy}"
            )

    def having(self, **values: Any) -> Self:
        """Return the same objective with other values of some fields."""
        changed = super().having(**values)
        if not values.keys() & {"trie", "initial", "max_length"}:
            # What a policy does has nothing to do with what it is wanted for.
            object.__setattr__(changed, "_flows", vars(self)["_flows"])
        return changed

    def __getstate__(self):
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state):
        vars(self).update(state, _flows=[])

    @property
    def temperature(self) -> float:
        """What a nat of the policy's own log-probability costs, b + h."""
        return self.kl_coef + self.entropy_coef

    @property
    def _n_weights(self) -> int:
        """Events that have a probability: all but the ends."""
        return self.trie.n_arcs + self.trie.n_contexts - 1

    @cached_property
    def possible(self) -> NDArray[np.bool_]:
        """Which events (E,) a policy of finite value can have."""
        possible = np.isfinite(self.reference_log_prob)
        return possible if self.penalty is None else possible & np.isfinite(self.penalty)

    @cached_property
    def exponent(self) -> FloatArray:
        """Unnormalised log-weights x (E,) of the tilted reference."""
        return self._exponent_of(self.token_reward)

    def _exponent_of(self, reward):
        possible = self.possible
        share = self.kl_coef / self.temperature
        exponent = np.full_like(self.reference_log_prob, -np.inf)
        exponent[possible] = share * self.reference_log_prob[possible] + self._nats(
            reward[possible]
        )
        if self.penalty is not None:
            exponent[possible] -= share * self.penalty[possible]
        return exponent

    def _nats(self, reward):
        return in_nats(reward, self.reward_coef, self.temperature, subject=type(self).__name__)

    @cached_property
    def relative_kernel(self) -> tuple[ContextKernel, float]:
        """:attr:`kernel` less the greatest reward of an arc, which each token has one of.

        And this reward, in nats.
        """
        arcs = slice(self.trie.n_arcs)
        reward = self.token_reward.copy()
        reward[arcs], best = below_best(reward[arcs], self.reward_coef, self.possible[arcs])
        return ContextKernel(self.trie, self._exponent_of(reward)), float(self._nats(best))

    @cached_property
    def kernel(self) -> ContextKernel:
        """The weights of tokens whose documents the best policy draws."""
        return ContextKernel(self.trie, self.exponent)

    @cached_property
    def _reference_mass(self) -> FloatArray | None:
        """Logarithms (C,) of the sums of the reference's rows, None where they are all 0."""
        sums = ContextKernel(self.trie, self.reference_log_prob).log_sums()
        sums[np.abs(sums) <= _MASS_ROUNDING] = 0.0
        return sums if sums.any() else None

    @cached_property
    def is_at_reference(self) -> bool:
        """Whether the best policy is the reference but for rounding, as rewards are no nats."""
        is_bare = self.entropy_coef == 0 and not (self.penalty is not None and self.penalty.any())
        if not is_bare or self._reference_mass is not None:
            return False
        nats = np.abs(self._nats(self.token_reward[self.possible]))
        return bool(max(nats.max(), self.missing_eos_penalty / self.temperature) < _NO_NATS)

    def gap_to_reference(self, flow: PolicyFlow) -> float:
        """Return what the reference is better by than a policy, given its flow."""
        start = self.flow(self.reference_log_prob)
        worse = start.expected(self.token_reward) - flow.expected(self.token_reward)
        lost = float(flow.cut.sum()) - float(start.cut.sum())
        gap = self.reward_coef * worse + self.missing_eos_penalty * lost
        return max(0.0, gap + self.kl_coef * flow.kl(self.reference_log_prob))

    # What documents of a policy do

    def of_tokens(self, values: FloatArray) -> FloatArray:
        """Return the values (E,) of events by those of tokens (n_tokens,): of arcs their last."""
        return np.asarray(self.trie.token_map @ values)

    def knows(self, ngrams: IntArray) -> NDArray[np.bool_]:
        """Return which n-grams (n,) are arcs."""
        return find_ngrams(self.trie, ngrams) >= 0

    def of_ngrams(self, ngrams: IntArray, amounts: FloatArray) -> FloatArray:
        """Return the amounts (E,) of events by those (n,) of n-grams: of arcs all they end with."""
        of_arcs = np.bincount(find_ngrams(self.trie, ngrams), amounts, self.trie.n_arcs)
        return np.asarray(self.trie.cumulative @ of_arcs)

    def can_avoid(self, marked: NDArray[np.bool_]) -> bool:
        """Return whether the reference draws documents without any marked event, a mask (E,)."""
        kernel = ContextKernel(self.trie, np.where(marked, -np.inf, self.reference_log_prob))
        assert self.initial is not None
        goes_on = kernel.can_end() if self.max_length is None else kernel.log_sums() > -np.inf
        return bool(goes_on[self.initial > 0].any())

    def flow(self, log_prob: FloatArray) -> PolicyFlow:
        """Return what documents of a policy do; that of the last few policies is kept."""
        flows: list[PolicyFlow] = vars(self)["_flows"]
        for flow in flows:
            if flow.log_prob is log_prob or np.array_equal(flow.log_prob, log_prob):
                return flow
        assert self.initial is not None
        if log_prob.ndim == 1:
            flow = PolicyFlow(self.trie, log_prob.copy(), self.initial, self.max_length)
        else:
            flow = PositionFlow(self.trie, log_prob.copy(), self.initial)
        flows.insert(0, flow)
        del flows[_KEPT:]
        return flow

    def one_token(self, log_prob: FloatArray, visits: FloatArray) -> PolicyFlow:
        """Return what one token of a policy does after contexts visited so often (C,).

        Nothing of the policy is computed again where :meth:`flow` has kept it.
        """
        for flow in vars(self)["_flows"]:
            if np.array_equal(flow.log_prob, log_prob):
                here = flow.at_visits(visits)
                vars(here)["rest"] = flow.rest
                return here
        return PolicyFlow.of_one_token(self.trie, log_prob, visits)

    @takes_policies
    def policy_model(self, log_prob: FloatArray) -> BackoffModel:
        """Return a policy as a back-off model.

        One that looks at the position is that of the first token, with which ``sample`` goes on by
        the others.
        """
        models = (BackoffModel.of_events(self.trie, events) for events in np.atleast_2d(log_prob))
        first, *later = models
        if log_prob.ndim == 1:
            return first
        model = first.trie, first.arc_log_prob, first.backoff_log_weight
        return ModelByPosition(*model, tuple(later))

    def occurrences(self, log_prob: FloatArray, n_documents: float = 1.0) -> FloatArray:
        """Return the expected events (E,) of so many documents."""
        return n_documents * self._events(log_prob)

    @takes_policies
    def _events(self, log_prob):
        return self.flow(log_prob).events

    @takes_policies
    def expected_length(self, log_prob: FloatArray) -> float:
        """Return the expected tokens of a document, ``eos`` included."""
        return self.flow(log_prob).length

    @takes_policies
    def expected_reward(self, log_prob: FloatArray) -> float:
        """Return E[R], the unweighted expected reward of a document."""
        return self.flow(log_prob).expected(self.token_reward)

    @takes_policies
    def expected_penalty(self, log_prob: FloatArray) -> float:
        """Return the expected rule penalty of a document, in nats."""
        return 0.0 if self.penalty is None else self.flow(log_prob).expected(self.penalty)

    @takes_policies
    def expected_sum(self, log_prob: FloatArray, values: FloatArray) -> float:
        """Return the expected sum over a document of values (E,) of its events."""
        return self.flow(log_prob).expected(values)

    @takes_policies
    def kl(self, log_prob: FloatArray) -> float:
        """Return KL(policy || reference) of a document, in nats."""
        return self.flow(log_prob).kl(self.reference_log_prob, self._reference_mass)

    @takes_policies
    def entropy(self, log_prob: FloatArray) -> float:
        """Return the entropy of a document, in nats."""
        return self.flow(log_prob).entropy()

    @takes_policies
    def sft_loss(self, log_prob: FloatArray) -> float:
        """Return CE(demonstrations, policy) in nats per token; 0 without demonstrations."""
        if self.frequencies is None:
            return 0.0
        if log_prob.ndim > 1:
            raise ValueError(
                f"{type(self).__name__} knows the cross-entropy of demonstrations for one policy "
                f"of all positions, got one of {len(log_prob)}. Set sft_coef=0, frequencies=None."
            )
        shown = self.frequencies != 0
        return -float(self.frequencies[shown] @ log_prob[shown])

    @property
    def can_end(self) -> bool:
        """Whether a token ends documents; else all have the maximal length."""
        return self.trie.eos >= 0

    @takes_policies
    def missing_eos_rate(self, log_prob: FloatArray) -> float:
        """Return the share of documents that are cut before they end; 0 without maximal length."""
        return 0.0 if self.max_length is None else float(self.flow(log_prob).cut.sum())

    @takes_policies
    def value(self, log_prob: FloatArray) -> float:
        """Return the objective J of a policy; ``-inf`` where documents may never end."""
        if self.flow(log_prob).is_endless:
            return -np.inf
        value = self.reward_coef * self.expected_reward(log_prob)
        value -= self.kl_coef * (self.kl(log_prob) + self.expected_penalty(log_prob))
        value -= self.missing_eos_penalty * self.missing_eos_rate(log_prob)
        if self.sft_coef > 0:
            value -= self.sft_coef * self.sft_loss(log_prob)
        if self.entropy_coef > 0:
            value += self.entropy_coef * self.entropy(log_prob)
        return value

    @takes_events
    def rate_of_any(self, log_prob: FloatArray, marked: np.ndarray) -> float:
        """Return the share of documents that use any of the marked events (E,), also where tiny.

        Where the end-of-sequence token is marked, arcs that end a document count as none of them,
        as they do for tokens; else they say how documents end, and count.

        Raises
        ------
        ValueError
            If anything but arcs is marked.
        """
        trie, is_marked = self.trie, np.array(marked > 0)
        if is_marked[trie.n_arcs :].any():
            raise ValueError(
                f"{type(self).__name__}.rate_of_any takes marks of arcs, the first {trie.n_arcs} "
                "events, got one of backing off or ending."
            )
        arcs = is_marked[: trie.n_arcs]
        if trie.eos >= 0 and arcs[trie.eos]:
            arcs &= trie.next >= 0
        kernel = ContextKernel(trie, log_prob)
        kernel.log_sums()
        hits = np.exp(kernel.log_sums(np.where(arcs, 0.0, -np.inf)))
        others = log_prob.copy()
        others[: trie.n_arcs][arcs] = -np.inf
        spared = ContextKernel(trie, others)
        spared.write_out(kernel.written)
        assert self.initial is not None
        alive = kernel.can_visit(self.initial > 0)
        if self.max_length is None:
            alive &= kernel.can_end()
        operator = spared.operator(np.where(alive, 0.0, -np.inf))
        if self.max_length is None:
            rates = ContextEquation(operator).solve(hits)
            if rates is None:
                raise ValueError(
                    f"{type(self).__name__}.rate_of_any: documents of this policy hardly ever end."
                )
        else:
            spared_at = stretches(
                lambda visits: np.maximum(operator.transposed_dot(visits), 0.0),
                self.initial,
                self.max_length,
            )
            return float(np.clip(sum(float(at.total() @ hits) for at in spared_at), 0.0, 1.0))
        return float(np.clip(self.initial @ rates, 0.0, 1.0))

    @takes_events
    def values(self, log_prob: FloatArray) -> FloatArray:
        r"""Return the expected shaped reward (C,) that is still to come from each context.

        Without a maximal length: it is what an exact critic knows. At the optimum it is
        :math:`\tau \log z`.
        """
        return self.values_of(log_prob, self.token_scores(log_prob))

    @takes_events
    def values_of(self, log_prob: FloatArray, values: FloatArray) -> FloatArray:
        """Return the expected sum (C,) of values (E,) of events that are to come, never cut."""
        return self.sum_to_come(log_prob, self.mean_of_next(log_prob, values))

    @takes_events
    def sum_to_come(self, log_prob: FloatArray, of_contexts: FloatArray) -> FloatArray:
        """Return the expected sum (C,) of values (C,) of contexts that are to come, never cut.

        Each counts before the token that is drawn after it. 0 for contexts that documents of no
        possible policy get to: theirs need not end.
        """
        assert self.initial is not None
        kernel, reached = self.flow(log_prob).kernel, self.kernel.can_reach(self.initial > 0)
        alive = np.where(kernel.can_end() & reached, 0.0, -np.inf)
        found = ContextEquation(kernel.operator(alive)).solve(np.where(reached, of_contexts, 0.0))
        if found is None:
            raise ValueError(
                f"{type(self).__name__}: values to come were not found to a relative residual of "
                "1e-10: documents of this policy hardly ever end."
            )
        return np.where(reached, found, 0.0)

    @takes_events
    def mean_of_next(self, log_prob: FloatArray, values: FloatArray) -> FloatArray:
        """Return the expected sum (C,) of values (E,) of the events of the next token."""
        return mean_of_next(self.flow(log_prob), values)

    # Settings of searches

    def kl_coef_grid(self, n_points: int = 50) -> FloatArray:
        """Return falling ``kl_coef`` (n_points,) that cover the frontier, from near the reference.

        They go from 100 to 0.01 times the standard deviation of a token's weighted reward under
        the reference, and no further down than there is an optimum.
        """
        n_points = check_number(n_points, "n_points", subject=type(self).__name__, interval=COUNT)
        scale = self._reward_scale()
        lowest = max(0.01 * scale, 1.01 * self._smallest_kl_coef())
        return np.geomspace(max(100.0 * scale, 10.0 * lowest), lowest, n_points)

    def _reward_scale(self) -> float:
        """Return the standard deviation of the weighted reward of a token of the reference."""
        with np.errstate(divide="ignore"):
            log_used = np.log(self.flow(self.start).arcs)
        return reward_spread(log_used, self.reward_coef * self.token_reward[: self.trie.n_arcs])


def mean_of_next(flow: PolicyFlow, values: FloatArray) -> FloatArray:
    """Return the expected sum (C,) of values (E,) of the events of the next token."""
    kernel, trie = flow.kernel, flow.trie
    prob = np.exp(kernel.arc_log_weight)
    own = np.where(prob > 0, prob * values[: trie.n_arcs], 0.0)
    of_backoff = np.append(0.0, values[trie.n_arcs : trie.n_arcs + trie.n_contexts - 1])
    total = trie.sum_by_context(own)
    lower = trie.sum_by_context(own[kernel.lower])
    backoff = kernel.backoff()
    rest = np.where(flow.rest > 0, flow.rest * of_backoff, 0.0)
    entries = np.exp(kernel.entry_log_weight + kernel.arc_log_weight[kernel.entry_arc])
    worth = values[kernel.entry_arc] + kernel.along(of_backoff)
    total += np.bincount(kernel.entry_row, entries * worth, len(total))
    for low, high, _, _ in kernel.levels[1:]:
        left = total[trie.suffix[low:high]] - lower[low:high] + rest[low:high]
        total[low:high] += backoff[low:high] * left
    return total
