"""The two families of language models behind one interface: what documents are to them.

A *document* is a row of counts in the columns the model was fitted on: tokens, or events of a trie.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_tokens_at_once
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.scoring import score_events
from sklearn_codex._ngrams.table import Ints
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex._rollouts import Rollouts, sample_rollouts

__all__ = ["BackoffDistribution", "CategoricalDistribution", "Distribution"]

_ROWS = 1 << 22  # Numbers of dense rows to hold at a time.


@dataclass(frozen=True)
class CategoricalDistribution:
    """Tokens that are independent of each other.

    Parameters
    ----------
    log_prob : ndarray of shape (V,)
    """

    log_prob: FloatArray

    @property
    def n_tokens(self) -> int:
        """V, the size of the vocabulary."""
        return len(self.log_prob)

    @property
    def event_log_prob(self) -> FloatArray:
        """What each column of a document (V,) adds to its log-likelihood."""
        return self.log_prob

    def log_likelihood(self, documents: sparse.csr_array) -> FloatArray:
        """Return the log-likelihood (n,) of each document."""
        return documents @ self.event_log_prob

    def tokens_of(self, documents: sparse.csr_array) -> FloatArray:
        """Return how many tokens (n,) each document has."""
        return documents @ np.ones(self.n_tokens)

    def count_tokens(self, total: FloatArray) -> float:
        """Return how many tokens there are in a sum of documents (V,)."""
        return float(total.sum())

    def next_log_prob(self, documents: sparse.csr_array) -> FloatArray:
        """Return the log-probabilities (n, V) of the token after each document."""
        return np.broadcast_to(self.log_prob, (documents.shape[0], self.n_tokens))

    def next_token(self, documents: sparse.csr_array) -> Ints:
        """Return the most probable token (n,) after each document, the first of equal ones."""
        return np.full(documents.shape[0], int(np.argmax(self.log_prob)))

    def sample(
        self,
        n_documents: int,
        rng: np.random.RandomState,
        *,
        length: int,
        eos: int | None,
        names: Any,
        prompts: sparse.csr_array | None = None,
    ) -> Rollouts:
        """Draw documents, behind prompts (n_documents, V), which make no difference."""
        return sample_rollouts(self.log_prob, n_documents, rng, length=length, eos=eos, names=names)


@dataclass(frozen=True)
class BackoffDistribution:
    """Tokens that depend on those before them.

    Parameters
    ----------
    model : BackoffModel
    trie : Trie
        Whose events the columns of documents are: that of the model, or one of a higher order.
    initial : ndarray of shape (C,) or None, default=None
        How often documents start in each context of the model; None means at the start.
    """

    model: BackoffModel
    trie: Trie
    initial: FloatArray | None = None

    @property
    def n_tokens(self) -> int:
        """V, the size of the vocabulary."""
        return self.trie.n_tokens

    @cached_property
    def event_log_prob(self) -> FloatArray:
        """What each column of a document (E,) adds to its log-likelihood."""
        of_model = self.model.event_log_prob
        if self.model.trie.order == self.trie.order:
            return of_model
        return self.trie.projection(self.model.trie) @ of_model

    def log_likelihood(self, documents: sparse.csr_array) -> FloatArray:
        """Return the log-likelihood (n,) of each document, as :func:`score_documents` does."""
        if self.model.trie.order < self.trie.order:
            documents = sparse.csr_array(documents @ self.trie.projection(self.model.trie))
        return score_events(self.model, documents)

    def tokens_of(self, documents: sparse.csr_array) -> FloatArray:
        """Return how many tokens (n,) each document has."""
        return documents @ (np.arange(self.trie.n_events) < self.trie.n_arcs).astype(np.float64)

    def count_tokens(self, total: FloatArray) -> float:
        """Return how many tokens there are in a sum of documents (E,)."""
        return float(total[: self.trie.n_arcs].sum())

    def contexts_after(self, documents: sparse.csr_array) -> Ints:
        """Return the contexts of the model (n,) that documents end in."""
        first = self.trie.n_arcs + self.trie.n_contexts - 1
        ends = documents[:, first:]
        several = np.flatnonzero(np.diff(ends.indptr) > 1)
        if several.size:
            raise ValueError(
                f"Row {several[0]} of the counts ends in {ends.indptr[several[0] + 1]} contexts, "
                "so it is no document, and no token comes next. Count documents one by one."
            )
        contexts = np.zeros(documents.shape[0], np.int64)
        contexts[np.flatnonzero(np.diff(ends.indptr))] = ends.indices + 1
        while (long := np.flatnonzero(contexts >= self.model.trie.n_contexts)).size:
            contexts[long] = self.trie.suffix[contexts[long]]
        return contexts

    def next_log_prob(self, documents: sparse.csr_array) -> FloatArray:
        """Return the log-probabilities (n, V) of the token after each document."""
        return self.model.next_log_prob(self.contexts_after(documents))

    def next_token(self, documents: sparse.csr_array) -> Ints:
        """Return the most probable token (n,) after each document, the first of equal ones."""
        contexts, inverse = np.unique(self.contexts_after(documents), return_inverse=True)
        size = max(1, _ROWS // self.n_tokens)
        parts = (contexts[start : start + size] for start in range(0, len(contexts), size))
        best = [self.model.next_log_prob(part).argmax(axis=1) for part in parts]
        return np.concatenate(best)[inverse]

    def sample(
        self,
        n_documents: int,
        rng: np.random.RandomState,
        *,
        length: int,
        eos: int | None,
        names: Any,
        prompts: sparse.csr_array | None = None,
    ) -> Rollouts:
        """Draw documents, each behind one of the prompts (n_documents, E) if there are some."""
        check_tokens_at_once(n_documents, 1 if eos is not None else length, remedy=_REMEDY)
        if prompts is not None:
            contexts = self.contexts_after(prompts)
        elif self.initial is not None:
            contexts = rng.choice(len(self.initial), n_documents, p=self.initial)
        else:
            contexts = np.full(n_documents, self.model.trie.first_context)
        drawn = self.model.sample(contexts, rng, max_length=length)
        tokens, lengths = drawn.tokens.astype(np.intp), drawn.lengths.astype(np.intp)
        return Rollouts(tokens, lengths, self.n_tokens, names, eos)


Distribution = CategoricalDistribution | BackoffDistribution

_REMEDY = "Draw fewer documents (n_samples) or set a smaller max_length."
