"""Back-off models: probabilities of arcs, and what a context gives to tokens it has no arc for."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_tokens_drawn
from sklearn_codex._ngrams.table import Ints
from sklearn_codex._ngrams.trie import Trie, Walk
from sklearn_codex._plain import show_fields

__all__ = ["BackoffModel", "Drawn", "ModelByPosition", "is_part_of"]

# What is left of a shorter context that is rounding.
_ROUNDING = 1e-13
# Draws of tokens that are arcs, where none may be, after which a row is written out.
_MOST_DRAWS = 20
# Documents from which on a few tell first how long they are, and standard errors of that.
_MANY, _FEW, _SURE = 1 << 20, 1024, 4.0


class Drawn(NamedTuple):
    """Documents drawn from a model, and how each token was.

    Attributes
    ----------
    tokens : ndarray of int (n_tokens,)
        Of all documents, one document after the other.
    lengths : ndarray of int (n_documents,)
    arcs, contexts : ndarray of int (n_tokens,)
        As of a :class:`Walk`.
    """

    tokens: Ints
    lengths: Ints
    arcs: Ints
    contexts: Ints


@dataclass(frozen=True, repr=False)
class BackoffModel:
    """The distribution of the next token after every context.

    With h' the context h without its first token,

        p(w | h) = exp(arc_log_prob of (h, w))                     where (h, w) is an arc,
                   exp(backoff_log_weight of h) p(w | h')          elsewhere,

    which is what ARPA files hold. A model of order 1 is its root, a categorical distribution.

    Attributes
    ----------
    trie : Trie
    arc_log_prob : ndarray of shape (A,)
    backoff_log_weight : ndarray of shape (C,)
        That of the root, which is never backed off from, is 0.
    """

    trie: Trie
    arc_log_prob: FloatArray
    backoff_log_weight: FloatArray

    def __repr__(self):
        return show_fields(self)

    @classmethod
    def uniform(cls, trie: Trie) -> "BackoffModel":
        """Return the model that gives all tokens the same probability in every context."""
        return cls(trie, np.full(trie.n_arcs, -np.log(trie.n_tokens)), np.zeros(trie.n_contexts))

    @classmethod
    def of_tokens(cls, log_prob: FloatArray) -> "BackoffModel":
        """Return the model of order 1 of a distribution (V,) of tokens."""
        return cls(Trie.of_root(len(log_prob)), np.asarray(log_prob), np.zeros(1))

    @classmethod
    def of_events(cls, trie: Trie, log_prob: FloatArray) -> "BackoffModel":
        """Return the model whose :attr:`event_log_prob` is given (E,)."""
        backoffs = log_prob[trie.n_arcs : trie.n_arcs + trie.n_contexts - 1]
        return cls(trie, log_prob[: trie.n_arcs], np.append(0.0, backoffs))

    def on(self, trie: Trie) -> "BackoffModel":
        """Return the same distributions as a model of a trie with more and longer n-grams.

        The n-grams up to the order of this one have to be those of its own trie.
        """
        if trie.order == self.trie.order:
            return self
        log_prob = np.append(self.arc_log_prob, np.zeros(trie.n_arcs - self.trie.n_arcs))
        for start, stop in trie.levels()[self.trie.order :]:
            log_prob[start:stop] = log_prob[trie.lower[start:stop]]
        n_more = trie.n_contexts - self.trie.n_contexts
        return BackoffModel(trie, log_prob, np.append(self.backoff_log_weight, np.zeros(n_more)))

    @property
    def event_log_prob(self) -> FloatArray:
        """What each event (E,) adds to the log-likelihood of a document."""
        ends = np.zeros(self.trie.n_contexts - 1)
        return np.concatenate([self.arc_log_prob, self.backoff_log_weight[1:], ends])

    @property
    def root_log_prob(self) -> FloatArray:
        """The distribution (V,) after the empty context."""
        return self.arc_log_prob[: self.trie.n_tokens]

    def log_prob_of(self, contexts: Ints, tokens: Ints) -> FloatArray:
        """Return log p(token | context) of contexts and tokens (n,)."""
        contexts, tokens = np.broadcast_arrays(contexts, tokens)
        shape = contexts.shape
        contexts, tokens = contexts.ravel().copy(), tokens.ravel()
        log_prob = np.zeros(len(contexts))
        at = np.arange(len(contexts))
        while len(at):
            arcs = self.trie.find(contexts[at], tokens[at])
            is_arc = arcs >= 0
            log_prob[at[is_arc]] += self.arc_log_prob[arcs[is_arc]]
            at = at[~is_arc]
            log_prob[at] += self.backoff_log_weight[contexts[at]]
            contexts[at] = self.trie.suffix[contexts[at]]
        return log_prob.reshape(shape)

    def log_prob_of_walk(self, walk: Walk) -> FloatArray:
        """Return the log-probability (n,) of each token of documents that were followed."""
        log_prob = self.arc_log_prob[walk.arcs]
        for at, passed in self.trie.backed_off(walk):
            log_prob[at] += self.backoff_log_weight[passed]
        return log_prob

    def next_log_prob(self, contexts: Ints) -> FloatArray:
        """Return the log-probabilities (n, V) of the token after each of some contexts (n,)."""
        contexts, inverse = np.unique(contexts, return_inverse=True)
        rows = np.tile(self.root_log_prob, (len(contexts), 1))
        for length in range(1, int(self.trie.context_length[contexts].max(initial=0)) + 1):
            inner = self.trie.shorten(contexts, length)
            at = np.flatnonzero(inner >= 0)
            inner = inner[at]
            rows[at] += self.backoff_log_weight[inner][:, None]
            arcs, sizes = self.arcs_of(inner)
            rows[np.repeat(at, sizes), self.trie.arc_token[arcs]] = self.arc_log_prob[arcs]
        return rows if len(inverse) == len(contexts) and _is_range(inverse) else rows[inverse]

    def arcs_of(self, contexts: Ints) -> tuple[Ints, Ints]:
        """Return the arcs of contexts (n,), joined, and how many each has (n,)."""
        starts = self.trie.indptr[contexts].astype(np.int64)
        sizes = self.trie.indptr[contexts + 1] - starts
        ends = np.cumsum(sizes)
        arcs = np.arange(ends[-1] if len(ends) else 0)
        arcs += np.repeat(starts - (ends - sizes), sizes)
        return arcs, sizes

    @cached_property
    def arc_mass(self) -> FloatArray:
        """The probability (C,) that the next token is an arc of the context."""
        return self.trie.sum_by_context(np.exp(self.arc_log_prob))

    @cached_property
    def lower_mass(self) -> FloatArray:
        """The probability (C,) of the arcs of a context after the shorter one; of the root 0."""
        prob = np.exp(self.arc_log_prob)
        lower = np.where(self.trie.lower >= 0, prob[self.trie.lower], 0.0)
        return self.trie.sum_by_context(lower)

    def total_prob(self) -> FloatArray:
        """Return the sum over all tokens (C,) of the distribution after each context."""
        total = np.array(self.arc_mass)
        # The shorter context first: what is not its arcs' is its own sum less that.
        weight = np.exp(self.backoff_log_weight)
        for length in range(1, self.trie.order):
            at = np.flatnonzero(self.trie.context_length == length)
            rest = total[self.trie.suffix[at]] - self.lower_mass[at]
            total[at] += weight[at] * rest
        return total

    def at_position(self, position: int) -> "BackoffModel":
        """Return the model that draws the token at a position: the same at all of them."""
        return self

    def sample(self, contexts: Ints, rng: np.random.RandomState, *, max_length: int) -> Drawn:
        """Draw documents side by side, each until it ends or has ``max_length`` tokens.

        Parameters
        ----------
        contexts : ndarray of int (n_documents,)
            The context at the start of each.
        rng : RandomState
            Source of all draws.
        max_length : int
            At least 1.

        Raises
        ------
        ValueError
            If they have more than 2**27 tokens; before many are drawn, if a few of them say so.
        """
        n_documents, n_tokens = len(contexts), 0
        if n_documents > _MANY:
            self._check_size(contexts, rng, max_length)
        active, contexts = np.arange(n_documents), np.array(contexts)
        documents, arcs, before = [], [], []
        for position in range(max_length):
            n_tokens += len(active)
            check_tokens_drawn(n_documents, n_tokens)
            drawn = self.at_position(position).draw(contexts, rng)
            documents.append(active)
            arcs.append(drawn)
            before.append(contexts)
            contexts = self.trie.next[drawn]
            goes_on = contexts >= 0
            active, contexts = active[goes_on], contexts[goes_on]
            if not len(active):
                break
        owner = np.concatenate(documents)
        order = np.argsort(owner, kind="stable")
        arcs_in_order = np.concatenate(arcs)[order]
        return Drawn(
            self.trie.arc_token[arcs_in_order],
            np.bincount(owner, minlength=n_documents),
            arcs_in_order,
            np.concatenate(before)[order],
        )

    def _check_size(self, contexts, rng, max_length):
        """Check by a few of many documents that they hold no more tokens than memory does."""
        some = np.linspace(0, len(contexts) - 1, _FEW).astype(np.int64)
        # A copy: what is drawn afterwards does not depend on it.
        lengths = self.sample(contexts[some], deepcopy(rng), max_length=max_length).lengths
        error = lengths.std() / np.sqrt(_FEW)
        least = max(1.0, lengths.mean() - _SURE * error)
        check_tokens_drawn(len(contexts), int(len(contexts) * least))

    def draw(self, contexts: Ints, rng: np.random.RandomState) -> Ints:
        """Draw the next token after each of some contexts (n,); return the arcs used (n,)."""
        arcs = np.full(len(contexts), -1, np.int64)
        contexts = np.array(contexts)
        # What was backed off from: a token that is its arc is drawn again.
        left = np.full(len(contexts), -1)
        at = np.arange(len(contexts))
        n_draws = np.zeros(len(contexts), np.int64)
        while len(at):
            at = self._draw_once(at, contexts, left, arcs, rng)
            n_draws[at] += 1
            slow = n_draws[at] > _MOST_DRAWS
            if slow.any():
                arcs[at[slow]] = self._draw_from_rows(left[at[slow]], rng)
                at = at[~slow]
        return arcs

    def _draw_once(self, at, contexts, left, arcs, rng):
        """Draw for those that wait, in order; return those that wait on."""
        here = contexts[at]
        uniform = rng.random_sample(len(at)) * self._drawn_mass[here]
        is_arc = uniform < self.arc_mass[here]
        found = self._arc_at(here[is_arc], uniform[is_arc])
        drawn, waits = at[is_arc], ~is_arc
        from_left = left[drawn]
        if (was_left := np.flatnonzero(from_left >= 0)).size:
            tokens = self.trie.arc_token[found[was_left]]
            banned = self.trie.find(from_left[was_left], tokens) >= 0
            waits[np.flatnonzero(is_arc)[was_left]] = banned
        arcs[drawn] = found  # Of those that wait on, it is not final.
        down = at[~is_arc]
        left[down] = contexts[down]
        contexts[down] = self.trie.suffix[contexts[down]]
        return at[waits]

    @cached_property
    def _is_closed(self):
        """Whether (C,) nothing but rounding is left to back off for; the root never backs off."""
        closed = np.isneginf(self.backoff_log_weight) | (1.0 - self.lower_mass < _ROUNDING)
        closed[0] = True
        return closed

    @cached_property
    def _drawn_mass(self):
        """The mass (C,) of what is drawn from: all, or arcs alone where nothing else is left."""
        return np.where(self._is_closed, self.arc_mass, 1.0)

    @cached_property
    def _cumulative(self):
        return np.cumsum(np.exp(self.arc_log_prob))

    @cached_property
    def _cumulative_before(self):
        first = self.trie.indptr[:-1]
        return np.where(first > 0, self._cumulative[first - 1], 0.0)

    def _arc_at(self, contexts, uniform):
        """Return the arcs (n,) where uniforms, below the mass of all arcs, fall."""
        indptr = self.trie.indptr
        arcs = self._cumulative.searchsorted(self._cumulative_before[contexts] + uniform, "right")
        return np.minimum(np.maximum(arcs, indptr[contexts]), indptr[contexts + 1] - 1)

    def _draw_from_rows(self, left, rng):
        """Draw from what contexts (n,) have no arcs for, row by row: return the arcs used."""
        rows = self.next_log_prob(self.trie.suffix[left])
        arcs, sizes = self.arcs_of(left)
        rows[np.repeat(np.arange(len(left)), sizes), self.trie.arc_token[arcs]] = -np.inf
        weights = np.exp(rows - rows.max(axis=1, keepdims=True))
        ends = np.cumsum(weights, axis=1)
        uniform = rng.random_sample(len(left)) * ends[:, -1]
        tokens = (ends <= uniform[:, None]).sum(axis=1)
        found, contexts = np.full(len(left), -1, np.int64), self.trie.suffix[left]
        while (at := np.flatnonzero(found < 0)).size:
            found[at] = self.trie.find(contexts[at], tokens[at])
            missing = at[found[at] < 0]
            contexts[missing] = self.trie.suffix[contexts[missing]]
        return found


@dataclass(frozen=True, repr=False)
class ModelByPosition(BackoffModel):
    """The model of the first token of documents, and the models of those that follow.

    Attributes
    ----------
    later : tuple of BackoffModel
        Of tokens 2, 3, ...; documents have no more tokens than there are models.
    """

    later: tuple[BackoffModel, ...] = ()

    def at_position(self, position: int) -> BackoffModel:
        """Return the model that draws the token at a position, counted from 0."""
        return self.later[position - 1] if position else self


def is_part_of(smaller: Trie, larger: Trie) -> bool:
    """Return whether a trie holds the n-grams of a larger one up to some order, as it does.

    A trie of order 1 may not know the end-of-sequence token.
    """
    if smaller.order == 1:
        return smaller.n_tokens == larger.n_tokens
    if smaller.order > larger.order:
        return False
    part = larger if smaller.order == larger.order else larger.truncate(smaller.order)
    return all(
        np.array_equal(getattr(part, name), getattr(smaller, name))
        for name in Trie.__dataclass_fields__
    )


def _is_range(numbers):
    return bool(np.array_equal(numbers, np.arange(len(numbers))))
