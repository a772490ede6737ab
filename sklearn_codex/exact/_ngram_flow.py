"""What documents of a policy over contexts use: visits, arcs, back-offs, and divergences."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from sklearn_codex._categorical import FloatArray, exp_rest
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex.exact._ngram_kernel import LOG_STEEP, ContextKernel, ContextOperator
from sklearn_codex.exact._ngram_rest import Stretch, stretches
from sklearn_codex.exact._ngram_solve import ContextEquation

# A share of documents, or of a row, that is rounding.
_ROUNDING = 1e-12
# How far from 1 a row of a policy may sum, by its logarithm.
_ROW_TOLERANCE = 1e-3


def check_rows(
    kernel: ContextKernel, log_sums: FloatArray, begins: np.ndarray, *, further: bool = True
) -> None:
    """Check that the rows (C,) of a policy sum to one where documents that begin so (C,) come.

    Those of one token come no further than where they begin.
    """
    wrong = ~(np.abs(log_sums) <= _ROW_TOLERANCE)
    if wrong.any():
        wrong &= kernel.can_reach(begins) if further else begins
    if wrong.any():
        context = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            "A policy over n-grams needs probabilities of the next token that sum to 1 after "
            f"each context, got {np.exp(log_sums[context]):.6g} after context {context}. Divide "
            "them by their sum, as NGramObjective.moved does."
        )


class PolicyFlow:
    r"""How often documents of a policy are in each context, and what they use of it.

    With :math:`\alpha` what a context multiplies by when it backs off, the flow F through a context
    is the visits to it and :math:`\alpha F` of the longer ones that back off to it, and arc a is
    used :math:`\pi_a (F(h) - \sum_{b: lower(b) = a} \alpha F)` times, since what backs off from an
    arc's own context does not use its token. Visits d follow from arcs: a linear equation, the
    transpose of that of values.

    Parameters
    ----------
    trie : Trie
    log_prob : ndarray of shape (E,)
        The policy.
    initial : ndarray of shape (C,)
        How often documents start in each context.
    max_length : int or None
        Tokens at which documents are cut.

    Attributes
    ----------
    visits : ndarray of shape (C,)
        Expected tokens of a document before which each context is the longest one.
    cut : ndarray of shape (C,)
        How often documents are cut in each.
    is_endless : bool
        Whether more than 1e-12 of them never end, so that visits are without bound; they are those
        before that then. Fewer count nowhere, neither for a length nor for a divergence.

    Raises
    ------
    ValueError
        If a row does not sum to one, or the equation is not solved to a relative residual of
        1e-10, as happens where documents have far more than a million tokens.
    """

    def __init__(
        self, trie: Trie, log_prob: FloatArray, initial: FloatArray, max_length: int | None
    ):
        self.trie, self.log_prob = trie, log_prob
        self.kernel = kernel = ContextKernel(trie, log_prob)
        self._initial = initial
        self.row_log_sums = kernel.log_sums()
        check_rows(kernel, self.row_log_sums, initial > 0, further=max_length != 1)
        self.cut, self.is_endless = np.zeros(trie.n_contexts), False
        # Arcs (A,) that lead to an end, None where all do.
        self._goes_on: np.ndarray | None = None
        if max_length is None:
            self._follow_to_the_end()
        else:
            self.visits = np.zeros(trie.n_contexts)
            for stretch in self.stretches(max_length):
                self.visits += stretch.total()

    @cached_property
    def operator(self) -> ContextOperator:
        """The steps of the policy from context to context."""
        return self.kernel.operator(np.zeros(self.trie.n_contexts))

    def _follow_to_the_end(self):
        """Solve for the visits; contexts that no document ends from take all that comes there."""
        alive, visited = self.kernel.can_end(), self.kernel.can_visit(self._initial > 0)
        # How long documents are that nobody draws is no part of it.
        inside = alive & visited
        operator = self.kernel.operator(np.where(inside, 0.0, -np.inf))
        visits = ContextEquation(operator).solve_transposed(np.where(inside, self._initial, 0.0))
        if visits is None or visits.min() < -1e-6 * np.abs(visits).max():
            raise ValueError(
                "The expected n-grams of a document were not found to a relative residual of "
                "1e-10: documents of this policy hardly ever end. Set max_length."
            )
        self.visits = np.where(inside, np.maximum(visits, 0.0), 0.0)
        if (visited & ~alive).any():
            goes_on = np.append(alive, True)[self.trie.next]
            lost = self._initial[~alive].sum() + self.arcs[~goes_on].sum()
            self.is_endless, self._goes_on = bool(lost > _ROUNDING), goes_on

    def stretches(self, max_length: int) -> Iterator[Stretch]:
        """Yield the shares of documents in each context before token 1, 2, ... of them.

        Leaves the shares that are cut after the last.
        """
        stretch = Stretch(self._initial, 0)
        for stretch in stretches(self._step, self._initial, max_length):
            yield stretch
        self.cut = self._step(stretch.visits) if stretch.length == 1 else stretch.last

    def _step(self, visits):
        """Return the share (C,) of documents in each context a token later."""
        return np.maximum(self.operator.transposed_dot(visits), 0.0)

    def ended_at(self, visits: FloatArray) -> float:
        """Return the share of documents that end by the token after visits (C,)."""
        return float(visits @ self.operator.ends)

    def steps(self, max_length: int) -> Iterator["PolicyFlow"]:
        """Yield what documents use at token 1, 2, ... of them, as documents of one token."""
        for stretch in self.stretches(max_length):
            for weight in stretch.weights():
                yield self.step_at(stretch.visits * weight)

    def step_at(self, visits: FloatArray) -> "PolicyFlow":
        """Return what documents use at tokens before which contexts are visited so often (C,)."""
        step = self.at_visits(visits)
        # The policy is the same at all of them.
        vars(step).update(operator=self.operator, rest=self.rest)
        return step

    # What is used

    def flow_of(self, visits: FloatArray) -> FloatArray:
        """Return the flow F (C,) through contexts with these visits (C,)."""
        return self.kernel.drop(visits, self.kernel.backoff())

    @cached_property
    def flow(self) -> FloatArray:
        """The flow F (C,)."""
        return self.flow_of(self.visits)

    @cached_property
    def usage(self) -> FloatArray:
        """How often arcs (A,) could be used, in the contexts that are not written out."""
        passed = self.kernel.backoff() * self.flow
        usage = np.maximum(self.kernel.not_passed(self.flow, passed), 0.0)
        return np.where(self.kernel.can_use(self.visits > 0), usage, 0.0)

    @cached_property
    def _entries(self):
        """How often each written entry is used."""
        kernel = self.kernel
        log_prob = kernel.entry_log_weight + kernel.arc_log_weight[kernel.entry_arc]
        return np.exp(log_prob) * self.flow[kernel.entry_row]

    @cached_property
    def arcs(self) -> FloatArray:
        """Expected uses (A,) of each arc."""
        arcs = np.exp(self.kernel.arc_log_weight) * self.usage
        return arcs + np.bincount(self.kernel.entry_arc, self._entries, len(arcs))

    @cached_property
    def rest(self) -> FloatArray:
        """The probability (C,) in the shorter context of what is no arc of the longer one."""
        prob = np.exp(self.kernel.arc_log_weight)
        lower = self.trie.sum_by_context(prob[self.kernel.lower])
        rest = np.exp(self.row_log_sums)[self.trie.suffix] - lower
        rest[0] = 0.0
        return np.where(rest < _ROUNDING / 100, 0.0, rest)

    @cached_property
    def backoffs(self) -> FloatArray:
        """Expected times (C,) that each context is backed off from."""
        return self.kernel.backoff() * self.rest * self.flow + self.kernel.passed(self._entries)

    @cached_property
    def ends(self) -> FloatArray:
        """The share (C,) of documents that end, or are cut, in each context."""
        trie = self.trie
        if trie.eos < 0:
            return self.cut
        weights = np.append(0.0, self.kernel.backoff_log_weight[1:])
        model = BackoffModel(trie, self.kernel.arc_log_weight, weights)
        contexts = np.flatnonzero(self.visits)
        ends = self.cut.copy()
        ends[contexts] += self.visits[contexts] * np.exp(
            model.log_prob_of(contexts, np.full(len(contexts), trie.eos))
        )
        return ends

    @property
    def length(self) -> float:
        """Expected tokens of a document."""
        return float("inf") if self.is_endless else float(self.visits.sum())

    def expected(self, values: FloatArray) -> float:
        """Return the expected sum over a document of values (E,) of its events.

        Infinite where documents may never end, and nan where values of both signs meet there.
        """
        n_arcs, n_contexts = self.trie.n_arcs, self.trie.n_contexts
        total = _dot(self.arcs, values[:n_arcs])
        of_backoffs, of_ends = np.split(values[n_arcs:], [n_contexts - 1])
        if of_backoffs.any():
            total += _dot(self.backoffs[1:], of_backoffs)
        if of_ends.any():
            total += _dot(self.ends[1:], of_ends)
        if self.is_endless and values.any():
            signs = {1.0} if values.min() >= 0 else {-1.0} if values.max() <= 0 else {np.nan}
            return float(signs.pop() * np.inf)
        return total

    def entropy(self) -> float:
        """Return the entropy of a document, in nats."""
        return -self.expected(self.log_prob)

    @cached_property
    def events(self) -> FloatArray:
        """Expected events (E,) of a document."""
        return np.concatenate([self.arcs, self.backoffs[1:], self.ends[1:]])

    @classmethod
    def of_one_token(cls, trie: Trie, log_prob: FloatArray, visits: FloatArray) -> "PolicyFlow":
        """Return the flow of documents of one token, after contexts visited so often (C,).

        Nothing is solved for, and rows are not checked.
        """
        flow = object.__new__(cls)
        flow.trie, flow.log_prob = trie, log_prob
        flow.kernel = ContextKernel(trie, log_prob)
        flow.row_log_sums = flow.kernel.log_sums()
        flow._initial = flow.visits = visits
        flow._goes_on = None
        flow.cut, flow.is_endless = np.zeros(len(visits)), False
        return flow

    def at_visits(self, visits: FloatArray) -> "PolicyFlow":
        """Return the flow of documents of one token, after contexts visited so often (C,)."""
        flow = object.__new__(PolicyFlow)
        for name in ("trie", "log_prob", "kernel", "row_log_sums", "_initial", "_goes_on"):
            setattr(flow, name, getattr(self, name))
        flow.visits, flow.cut, flow.is_endless = visits, np.zeros(len(visits)), False
        return flow

    # Divergences

    def kl(self, other: FloatArray, log_sums: FloatArray | None = None) -> float:
        """Return KL(policy || other) of a document in nats, without cancellation where tiny.

        Parameters
        ----------
        other : ndarray of shape (E,)
            Log-probabilities.
        log_sums : ndarray of shape (C,) or None, default=None
            Logarithms of the sums of its rows; None where they are 0.
        """
        kernel, trie = self.kernel, self.trie
        if self.is_endless:  # a difference in what goes on for ever has no end
            return 0.0 if np.array_equal(self.log_prob, other) else float("inf")
        log_q, log_backoff = split_events(trie, other)
        steep = (log_backoff > LOG_STEEP) & ~kernel.is_written & (self.flow > 0)
        steep &= kernel.backoff_log_weight > -np.inf  # else there is nothing to write out
        if steep.any():
            return self._written_out(np.flatnonzero(steep)).kl(other, log_sums)
        terms = divergence_terms(kernel.arc_log_weight, log_q)
        if self._goes_on is not None:
            terms[~self._goes_on & np.isposinf(terms)] = 0.0
        total = _dot(self.usage, terms)
        total += self._kl_of_backing_off(log_q, log_backoff, log_sums)
        if len(kernel.written):
            along = kernel.along(log_backoff)
            own = kernel.entry_log_weight + kernel.arc_log_weight[kernel.entry_arc]
            entries = divergence_terms(own, along + log_q[kernel.entry_arc])
            if self._goes_on is not None:
                entries[~self._goes_on[kernel.entry_arc] & np.isposinf(entries)] = 0.0
            total += _dot(self.flow[kernel.entry_row], entries)
        if log_sums is not None:
            total += _dot(self.visits, -np.expm1(log_sums))
        return max(total, 0.0)

    def _written_out(self, contexts):
        """Return the same with more contexts written out."""
        flow = self.at_visits(self.visits)  # with an operator of its own
        flow.kernel = ContextKernel(self.trie, self.log_prob)
        flow.kernel.write_out(np.concatenate([self.kernel.written, contexts]))
        return flow

    def _kl_of_backing_off(self, log_q, log_backoff, log_sums):
        r"""Return what back-off weights add.

        With rests m of both and weights a of both, :math:`m_p (a_p \log(a_p / a_q) - a_p + a_q) +
        (a_p - a_q) (m_p - m_q)`, each of them of second order.
        """
        kernel, trie = self.kernel, self.trie
        own_low, other_low = kernel.arc_log_weight[kernel.lower], log_q[kernel.lower]
        more = -trie.sum_by_context(_difference(own_low, other_low))
        if log_sums is not None:
            more -= np.expm1(log_sums)[trie.suffix]
        at = np.flatnonzero((self.flow > 0) & ~kernel.is_written)
        at = at[at > 0]  # the root never backs off
        own, other, rest = kernel.backoff_log_weight[at], log_backoff[at], self.rest[at]
        terms = _difference(own, other) * more[at]
        left = rest > 0
        terms[left] += rest[left] * divergence_terms(own[left], other[left])
        if self._goes_on is not None:
            possible = (kernel.arc_log_weight > -np.inf) & self._goes_on
            terms[np.isposinf(terms) & ~kernel.backs_off_for(possible)[at]] = 0.0
        return float(self.flow[at] @ terms)


class PositionFlow(PolicyFlow):
    """What documents of a policy do that has probabilities of its own at each position.

    Parameters
    ----------
    trie : Trie
    log_prob : ndarray of shape (max_length, E)
        The policy of each position.
    initial : ndarray of shape (C,)
        How often documents start in each context.
    """

    def __init__(self, trie: Trie, log_prob: FloatArray, initial: FloatArray):
        self.trie, self.log_prob, self._initial = trie, log_prob, initial
        self.is_endless = False
        self.visits, self.backoffs = np.zeros(trie.n_contexts), np.zeros(trie.n_contexts)
        self.arcs, self.ends = np.zeros(trie.n_arcs), np.zeros(trie.n_contexts)
        for step in self.steps(len(log_prob)):
            self.visits += step.visits
            self.arcs += step.arcs
            self.backoffs += step.backoffs
            self.ends += step.ends
        self.ends += self.cut

    def steps(self, max_length: int) -> Iterator[PolicyFlow]:
        """Yield what documents use at token 1, 2, ... of them, as documents of one token.

        Leaves the shares that are cut after the last.
        """
        visits = self._initial
        for log_prob in self.log_prob[:max_length]:
            step = PolicyFlow(self.trie, log_prob, visits, 1)
            visits, step.cut = step.cut, np.zeros(len(visits))
            yield step
        self.cut = visits

    def entropy(self) -> float:
        """Return the entropy of a document, in nats."""
        return sum(step.entropy() for step in self.steps(len(self.log_prob)))

    def kl(self, other: FloatArray, log_sums: FloatArray | None = None) -> float:
        """Return KL(policy || other) of a document in nats, without cancellation where tiny.

        Parameters
        ----------
        other : ndarray of shape (E,) or (max_length, E)
            Log-probabilities.
        log_sums : ndarray of shape (C,) or None, default=None
            Logarithms of the sums of its rows; None where they are 0.
        """
        others = np.broadcast_to(other, self.log_prob.shape)
        steps = zip(self.steps(len(others)), others, strict=True)
        return sum(step.kl(one, log_sums) for step, one in steps)


def split_events(trie: Trie, events: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the logarithms of arcs (A,) and of backing off (C,), -inf for the root."""
    n_arcs = trie.n_arcs
    return events[:n_arcs], np.append(-np.inf, events[n_arcs : n_arcs + trie.n_contexts - 1])


def divergence_terms(log_p: FloatArray, log_q: FloatArray) -> FloatArray:
    """Return p log(p / q) - p + q (n,), to a small relative error; none is negative."""
    prob = np.exp(log_p)
    terms = np.exp(log_q)
    with np.errstate(invalid="ignore"):
        difference = log_q - log_p
    both = (prob > 0) & (difference > -np.inf)
    near = both & (difference <= 1.0)
    terms[near] = prob[near] * exp_rest(difference[near])
    above = both & (difference > 1.0)
    terms[above] -= prob[above] * (1.0 + difference[above])
    terms[(prob > 0) & np.isneginf(log_q)] = np.inf
    return terms


def _difference(log_p, log_q):
    """Return p - q, exact to the last digits of both."""
    high, low = np.maximum(log_p, log_q), np.minimum(log_p, log_q)
    with np.errstate(invalid="ignore"):
        gap = np.where(np.isneginf(low), -np.inf, low - high)
    return np.sign(_minus(log_p, log_q)) * np.exp(high) * -np.expm1(gap)


def _minus(log_p, log_q):
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(log_p - log_q, nan=0.0, posinf=1.0, neginf=-1.0)


def _dot(weight, values):
    """Return the sum of weights times values, where weight 0 makes 0 also of infinite values."""
    used = weight != 0
    if used.all():
        return float(weight @ values)
    return float(weight[used] @ values[used])
