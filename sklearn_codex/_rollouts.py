"""Documents drawn from a policy: tokens, lengths, and their forms as counts and as text."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray, IntArray, TokenSampler
from sklearn_codex._checks.numbers import MOST_TOKENS, check_tokens_at_once

_LONGEST = 2**53  # whole numbers that floats hold
_REMEDY = (
    "Set a smaller response_length, where documents end by themselves a smaller max_length, or "
    "draw fewer documents (n_rollouts, n_samples)."
)


@dataclass(frozen=True)
class Rollouts:
    """A batch of documents drawn from one policy.

    Parameters
    ----------
    tokens : ndarray of int of shape (n_tokens,)
        Tokens of all documents, one document after the other.
    lengths : ndarray of int of shape (n_documents,)
        Tokens of each document, at least 1.
    n_columns : int
        V, the size of the vocabulary.
    names : ndarray of str of shape (V,) or None
        Names of the tokens, where they are known; `TokenNames` know how they are written as text.
    eos : int or None
        Column of the end-of-sequence token; text leaves it out.
    """

    tokens: IntArray
    lengths: IntArray
    n_columns: int
    names: np.ndarray | None = None
    eos: int | None = None

    def __len__(self):
        return len(self.lengths)

    @cached_property
    def starts(self) -> IntArray:
        """Position (n_documents,) of each document's first token."""
        return np.concatenate([[0], np.cumsum(self.lengths)[:-1]])

    @cached_property
    def positions(self) -> IntArray:
        """Tokens (n_tokens,) of its document before each token."""
        return np.arange(len(self.tokens)) - np.repeat(self.starts, self.lengths)

    @property
    def ended(self) -> np.ndarray:
        """Whether (n_documents,) each document ends with the end-of-sequence token."""
        if self.eos is None:
            return np.ones(len(self), dtype=bool)
        return self.tokens[self.starts + self.lengths - 1] == self.eos

    @cached_property
    def counts(self) -> sparse.csr_array:
        """Token counts (n_documents, V), canonical CSR."""
        # Solvers that take 32-bit indices only refuse any other, however small the matrix.
        dtype = sparse.get_index_dtype(maxval=max(len(self.tokens), self.n_columns))
        indptr = np.append(self.starts, len(self.tokens)).astype(dtype)
        counts = sparse.csr_array(
            (np.ones(len(self.tokens)), self.tokens.astype(dtype), indptr),
            shape=(len(self.lengths), self.n_columns),
        )
        counts.sum_duplicates()
        return counts

    @cached_property
    def texts(self) -> list[str]:
        """Texts (n_documents,): tokens in the order drawn, joined as names say, or by a space."""
        if self.names is None:
            raise ValueError(
                "Documents drawn from a policy fitted on counts have no text, since the names of "
                "its columns are unknown. Fit the policy on text, or give it "
                "vectorizer=FrozenEstimator(fitted TokenCounter)."
            )
        words = np.asarray(self.names, dtype=object)[self.tokens].tolist()
        ends = self.starts + self.lengths
        if self.eos is not None:
            ends = ends - self.ended
        documents = (words[i:j] for i, j in zip(self.starts, ends, strict=True))
        writing = getattr(self.names, "writing", None)
        return list(map(" ".join, documents)) if writing is None else writing.write(documents)

    @cached_property
    def occurrences(self) -> FloatArray:
        """How often (V,) each token occurs in the batch."""
        return np.bincount(self.tokens, minlength=self.n_columns).astype(np.float64)

    # Draws: what a policy gives one probability to, here a kind of token, (n_draws,) = (V,)

    knows_places = False
    """Whether a draw is a token in its place, and not a kind of token."""

    @cached_property
    def drawn(self) -> tuple[Any, FloatArray]:
        """Draws (n_drawn,) that occur in the batch, and how often a document has each."""
        tokens = np.flatnonzero(self.occurrences)
        return tokens, self.occurrences[tokens] / len(self)

    def before(self, width: int) -> IntArray:
        """Return the tokens (n_documents, width) before each document that are known.

        Behind -1 where there are fewer; -2 is the start of a document.
        """
        tokens = np.full((len(self), width), -1)
        tokens[:, width - 1 :] = -2
        return tokens

    def of_draws(self, values: FloatArray) -> FloatArray:
        """Return the values (n_draws,) of draws by those of a policy's columns."""
        return values

    def collect(self, weights: FloatArray) -> FloatArray:
        """Return the sum (n_draws,) of weights (n_tokens,) over the tokens of each draw."""
        return np.bincount(self.tokens, weights, self.n_columns).astype(np.float64)

    @property
    def features(self) -> tuple[IntArray, IntArray]:
        """Columns of what a linear forecast counts, document by document, and how many each has.

        A column is there as often as it counts: that of each token.
        """
        return self.tokens, self.lengths

    def sum_over_tokens(self, values: FloatArray) -> FloatArray:
        """Return the sum (n_documents,) over each document of a value (V,) of its tokens."""
        return np.add.reduceat(values[self.tokens], self.starts)


def sample_rollouts(
    log_prob: FloatArray,
    n_documents: int,
    rng: np.random.RandomState,
    *,
    length: int,
    eos: int | None = None,
    names: np.ndarray | None = None,
) -> Rollouts:
    """Draw documents of independent tokens.

    Parameters
    ----------
    log_prob : ndarray of shape (V,)
        Log-probabilities of the policy.
    n_documents : int
        How many documents.
    rng : RandomState
        Source of all draws.
    length : int
        Tokens of each document; with ``eos``, tokens at which a document is cut.
    eos : int, default=None
        Column of the end-of-sequence token. A document ends with its first one, so its length is
        geometric; None means that every document has ``length`` tokens.
    names : ndarray of str of shape (V,), default=None
        Names of the tokens.

    Raises
    ------
    ValueError
        If there would be more than 2**27 tokens.
    """
    n_columns = len(log_prob)
    n_documents, length = int(n_documents), int(length)  # small integer types overflow
    check_tokens_at_once(n_documents, length if eos is None else 1, remedy=_REMEDY)
    if eos is None:
        tokens = TokenSampler(log_prob).sample(n_documents * length, rng)
        return Rollouts(tokens, np.full(n_documents, length), n_columns, names)
    lengths, ended = _geometric_lengths(float(np.exp(log_prob[eos])), n_documents, length, rng)
    check_tokens_at_once(n_documents, -(-int(lengths.sum()) // n_documents), remedy=_REMEDY)
    tokens = np.full(int(lengths.sum()), eos)
    is_body = np.ones(len(tokens), dtype=bool)
    is_body[(np.cumsum(lengths) - 1)[ended]] = False
    if is_body.any():
        body = log_prob.copy()
        body[eos] = -np.inf
        tokens[is_body] = TokenSampler(body).sample(int(is_body.sum()), rng)
    return Rollouts(tokens, lengths, n_columns, names, eos)


def sample_counts(
    log_prob: FloatArray, n_documents: int, rng: np.random.RandomState, *, length: int
) -> sparse.csr_array:
    """Draw the token counts (n_documents, V) of documents of ``length`` independent tokens.

    At a cost that does not depend on their length: the tokens themselves are never written out.

    Raises
    ------
    ValueError
        If there are more than 2**27 counts.
    """
    check_tokens_at_once(n_documents, len(log_prob), remedy="Draw fewer documents (n_samples).")
    prob = np.exp(log_prob)
    if length > _LONGEST:
        raise ValueError(
            f"Documents of {length:,} tokens cannot be counted, the limit is {_LONGEST:,}. "
            f"{_REMEDY}"
        )
    return sparse.csr_array(
        rng.multinomial(length, prob / prob.sum(), size=n_documents).astype(np.float64)
    )


def _geometric_lengths(p_eos, n_documents, max_length, rng):
    """Return lengths (n,), the end token included, and whether (n,) each document ended."""
    # Longer documents are refused before they are drawn; their lengths have to be integers first.
    max_length = min(int(max_length), 2 * MOST_TOKENS)
    if p_eos <= 0:
        return np.full(n_documents, max_length), np.zeros(n_documents, dtype=bool)
    # rng.geometric overflows to a negative number where p_eos is tiny; inverse CDF by hand is safe.
    with np.errstate(divide="ignore"):
        drawn = np.ceil(np.log1p(-rng.random_sample(n_documents)) / np.log1p(-min(p_eos, 1.0)))
    drawn = np.maximum(drawn, 1.0)
    return np.minimum(drawn, max_length).astype(np.intp), drawn <= max_length
