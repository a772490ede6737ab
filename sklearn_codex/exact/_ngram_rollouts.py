"""Documents drawn from a policy over n-grams, with what they use of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.numbers import check_tokens_at_once
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.table import Ints
from sklearn_codex._ngrams.trie import Trie, Walk
from sklearn_codex._rollouts import Rollouts

_REMEDY = "Set a smaller max_length, or draw fewer documents (n_rollouts, n_samples)."


@dataclass(frozen=True)
class NGramRollouts(Rollouts):
    """A batch of documents drawn from one policy over n-grams.

    Tokens, counts and texts are those of the vocabulary; values of events add up, too.

    Parameters
    ----------
    trie : Trie
        What the policy is made of.
    arcs : ndarray of int of shape (n_tokens,)
        The arc that each token was drawn by.
    contexts : ndarray of int of shape (n_tokens,)
        The longest context before each token.
    """

    trie: Any = None
    arcs: Any = None
    contexts: Any = None

    @cached_property
    def after(self) -> Ints:
        """The longest context (n_tokens,) after each token, -1 after the end of a document."""
        return np.asarray(self.trie.next[self.arcs])

    @cached_property
    def walk(self) -> Walk:
        """What documents use of the trie, token by token."""
        last = self.starts + self.lengths - 1
        ends = np.where(self.after[last] < 0, self.contexts[last], self.after[last])
        return Walk(self.arcs, self.contexts, ends)

    @cached_property
    def events(self) -> sparse.csr_array:
        """Event counts (n_documents, E), canonical CSR."""
        trie: Trie = self.trie
        return trie.count_events(self.walk, np.append(self.starts, len(self.tokens)))

    @cached_property
    def occurrences(self) -> FloatArray:
        """How often (E,) each event occurs in the batch."""
        return np.asarray(self.events.sum(axis=0), dtype=np.float64).ravel()

    # Draws: the ratio of two policies for a token depends on its context

    knows_places = True

    @cached_property
    def drawn(self) -> tuple[Any, FloatArray]:
        """All tokens, and how often a document has each."""
        return slice(None), np.full(len(self.tokens), 1.0 / len(self))

    def of_draws(self, values: FloatArray) -> FloatArray:
        """Return :meth:`of_tokens`."""
        return self.of_tokens(values)

    def collect(self, weights: FloatArray) -> FloatArray:
        """Return the weights (n_tokens,) themselves."""
        return weights

    def of_tokens(self, values: FloatArray) -> FloatArray:
        """Return the sum (n_tokens,) of values (E,) of the events of each token, ends apart."""
        trie: Trie = self.trie
        total = values[self.arcs]
        backoffs = values[trie.n_arcs : trie.n_arcs + trie.n_contexts - 1]
        if backoffs.any():
            for at, passed in trie.backed_off(self.walk):
                total[at] += backoffs[passed - 1]
        return total

    def sum_of_events(self, weights: FloatArray) -> FloatArray:
        """Return the sum (E,) of weights (n_tokens,) of tokens over their events, ends apart."""
        trie: Trie = self.trie
        total = np.zeros(trie.n_events)
        total[: trie.n_arcs] = np.bincount(self.arcs, weights, trie.n_arcs)
        backoffs = np.zeros(trie.n_contexts)
        for at, passed in trie.backed_off(self.walk):
            backoffs += np.bincount(passed, weights[at], trie.n_contexts)
        total[trie.n_arcs : trie.n_arcs + trie.n_contexts - 1] = backoffs[1:]
        return total

    def before(self, width: int) -> IntArray:
        """Return the tokens (n_documents, width) before each that its first token is drawn after.

        Behind -1 where there are fewer; -2 is the start of a document.
        """
        trie: Trie = self.trie
        if trie.start < 0:
            return super().before(width)
        contexts = self.contexts[self.starts]
        arcs = trie.arc_of_context[contexts]
        tokens = np.full((len(self), max(width, trie.order)), -1)
        tokens[arcs >= 0, tokens.shape[1] - trie.order :] = trie.ngrams(arcs[arcs >= 0])
        tokens[contexts == trie.start, -1] = -2
        return tokens[:, tokens.shape[1] - width :]

    @property
    def features(self) -> tuple[IntArray, IntArray]:
        """Arcs of all n-grams, document by document, and how many each has.

        A token counts for the n-gram of its arc and for those that this ends with.
        """
        trie: Trie = self.trie
        arcs: Ints = np.asarray(self.arcs)
        owners: Ints = np.repeat(np.arange(len(self)), self.lengths)
        columns, of_columns = [], []
        while len(arcs):
            columns.append(arcs)
            of_columns.append(owners)
            shorter = trie.lower[arcs]
            arcs, owners = shorter[shorter >= 0], owners[shorter >= 0]
        owner = np.concatenate(of_columns)
        order = np.argsort(owner, kind="stable")
        return np.concatenate(columns)[order].astype(np.intp), np.bincount(owner)

    def sum_over_tokens(self, values: FloatArray) -> FloatArray:
        """Return the sum (n_documents,) of values (E,) of events, or of those (V,) of tokens."""
        if len(values) == self.n_columns:
            return super().sum_over_tokens(values)
        total = np.add.reduceat(self.of_tokens(values), self.starts)
        of_ends = np.append(0.0, values[self.trie.n_arcs + self.trie.n_contexts - 1 :])
        return total + of_ends[self.walk.ends] if of_ends.any() else total


def sample_ngrams(
    model: BackoffModel,
    contexts: Ints,
    rng: np.random.RandomState,
    *,
    max_length: int,
    names: np.ndarray | None = None,
) -> NGramRollouts:
    """Draw documents of a policy, one from each context (n_documents,).

    Parameters
    ----------
    model : BackoffModel
        The policy.
    contexts : ndarray of int (n_documents,)
        The context at the start of each.
    rng : RandomState
        Source of all draws.
    max_length : int
        Tokens at which a document is cut.
    names : ndarray of str of shape (V,), default=None
        Names of the tokens.

    Raises
    ------
    ValueError
        If all of them being cut is certain, and would hold more than 2**27 tokens.
    """
    trie = model.trie
    check_tokens_at_once(len(contexts), 1 if trie.eos >= 0 else max_length, remedy=_REMEDY)
    drawn = model.sample(contexts, rng, max_length=max_length)
    eos = None if trie.eos < 0 else trie.eos
    return NGramRollouts(
        drawn.tokens.astype(np.intp),
        drawn.lengths.astype(np.intp),
        trie.n_tokens,
        names,
        eos,
        trie,
        drawn.arcs,
        drawn.contexts,
    )
