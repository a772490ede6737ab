"""The reference policy: which token follows which, estimated from texts or given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils._param_validation import Interval

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.matrices import check_sparse
from sklearn_codex._checks.numbers import MOST_TOKENS, NOT_NEGATIVE, as_floats, check_number
from sklearn_codex._checks.probabilities import as_array
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._text.tokenizers import build_splitter, split_texts
from sklearn_codex.sequential._kernel import Kernel
from sklearn_codex.text import TokenCounter, check_texts

# What rows may differ from one by.
_SUM_TOLERANCE = 1e-8
_COLUMNS = Interval(Integral, 1, MOST_TOKENS, closed="both")


@dataclass(frozen=True)
class BigramReference:
    r"""A bigram language model: the probabilities of the next token given the last one.

    Parameters
    ----------
    transition : ndarray or sparse array of shape (V, V)
        Row s holds the probabilities of the tokens that follow token s; with ``backoff`` only the
        part of them that is not backed off.
    initial : ndarray of shape (V,)
        Probabilities of the first token of a document.
    backoff : ndarray of shape (V,), default=None
        Share of each row that comes from ``unigram``, so that
        :math:`P(t|s) = S_{st} + a_s u_t`: a sparse matrix and a product of two vectors.
    unigram : ndarray of shape (V,), default=None
        Probabilities u that rows back off to; given with ``backoff``.
    vectorizer : fitted TokenCounter, default=None
        Knows the tokens behind the columns, where they came from texts.

    Raises
    ------
    ValueError
        If shapes do not fit, or if a row is no distribution.

    See Also
    --------
    UnigramLM : The model in which no token depends on another.

    Notes
    -----
    A row that holds itself alone never leaves: a token s with P(s|s) = 1 ends the document, and
    what follows it is padding. Documents that end by themselves, cut at a length H, are documents
    of length H of such a reference, if that token has reward 0.

    References
    ----------
    .. [1] MacKay, D. J. C. and Peto, L. C. B. (1995). "A hierarchical Dirichlet language model."
       Natural Language Engineering 1(3), 289-308.

    Examples
    --------
    >>> from sklearn_codex.sequential import BigramReference
    >>> texts = ["the cat sat", "the dog sat", "the cat ran"]
    >>> reference = BigramReference.from_texts(texts, prior_strength=0.5)
    >>> reference.names.tolist()
    ['<unk>', 'cat', 'dog', 'ran', 'sat', 'the']
    >>> reference.toarray()[5].round(2)
    array([0.01, 0.6 , 0.3 , 0.02, 0.03, 0.04])
    """

    transition: FloatArray | sp.csr_array
    initial: FloatArray
    backoff: FloatArray | None = None
    unigram: FloatArray | None = None
    vectorizer: TokenCounter | None = None

    def __post_init__(self):
        matrix = self.transition
        if sp.issparse(matrix):
            matrix = check_sparse(matrix, subject="BigramReference", name="transition")
        else:
            matrix = _floats(matrix)
        # Frozen: what was given is replaced once, by what was checked.
        object.__setattr__(self, "transition", matrix)
        object.__setattr__(self, "initial", _floats(self.initial))
        n_columns = len(self.initial) if self.initial.ndim else 0
        if (self.backoff is None) != (self.unigram is None):
            given, missing = ("backoff", "unigram")[:: 1 if self.unigram is None else -1]
            raise ValueError(
                f"BigramReference needs backoff and unigram together, got {given} and "
                f"{missing}=None. Rows that need no back-off have backoff 0."
            )
        for name in ("initial", "backoff", "unigram"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, _floats(values))
                _check_shape(name, getattr(self, name), (n_columns,))
                _check_not_negative(name, getattr(self, name))
        _check_shape("transition", matrix, (n_columns, n_columns))
        _check_not_negative("transition", matrix.data if sp.issparse(matrix) else matrix)
        _check_sum("initial", self.initial.sum())
        if self.unigram is not None:
            _check_sum("unigram", self.unigram.sum())
        totals = self.kernel.dot(np.ones(n_columns))
        worst = np.argmax(np.abs(totals - 1.0))
        part = "" if self.backoff is None else ", its backoff included,"
        _check_sum(f"row {worst} of transition{part}", totals[worst])

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        *,
        prior_strength: float = 10.0,
        smoothing: float = 1.0,
        vectorizer: TokenCounter | None = None,
    ) -> BigramReference:
        r"""Estimate a reference from raw texts.

        Parameters
        ----------
        texts : sequence of str (n_documents,)
            Documents. Counts will not do: they have no order.
        prior_strength : float, default=10.0
            Weight of the unigram model in each row, in tokens.
        smoothing : float, default=1.0
            Count added to each token in the unigram model.
        vectorizer : TokenCounter, default=None
            Splits the texts and knows the columns; None means ``TokenCounter()``. It is cloned and
            fitted, in ``FrozenEstimator`` it is used as it is. With an ``eos_token`` each text
            ends with it, and nothing but it follows.

        Returns
        -------
        reference : BigramReference
            See :meth:`from_sequences`.

        Raises
        ------
        TypeError
            If ``texts`` are counts, or the vectorizer is no TokenCounter.
        """
        subject = f"{cls.__name__}.from_texts"
        documents = check_texts(texts, subject=subject)
        if documents is None:
            raise TypeError(
                f"{subject} needs the texts themselves, got counts: they do not tell which token "
                "follows which. Pass a list of str, or columns to from_sequences."
            )
        vectorizer = TokenCounter() if vectorizer is None else vectorizer
        if not isinstance(unwrap(vectorizer), TokenCounter):
            raise TypeError(
                f"{subject} needs a TokenCounter as vectorizer, got "
                f"{type(unwrap(vectorizer)).__name__}: only it tells which token follows which."
            )
        counter = unwrap(clone(vectorizer).fit(documents, None))
        return cls.from_sequences(
            list(token_sequences(counter, documents, subject=subject)),
            counter.n_features_in_,
            prior_strength=prior_strength,
            smoothing=smoothing,
            eos=counter.eos_index_,
            vectorizer=counter,
        )

    @classmethod
    def from_sequences(
        cls,
        sequences: Iterable[ArrayLike],
        n_columns: int,
        *,
        prior_strength: float = 10.0,
        smoothing: float = 1.0,
        eos: int | None = None,
        vectorizer: TokenCounter | None = None,
    ) -> BigramReference:
        r"""Estimate a reference from documents given as columns of their tokens.

        Parameters
        ----------
        sequences : iterable of array-like of int (n_tokens,)
            The tokens of each document, in order.
        n_columns : int
            V, the size of the vocabulary.
        prior_strength : float, default=10.0
            Weight of the unigram model in each row, in tokens.
        smoothing : float, default=1.0
            Count added to each token in the unigram model.
        eos : int, default=None
            Column of an end-of-sequence token; nothing but it follows it.
        vectorizer : fitted TokenCounter, default=None
            Kept with the reference.

        Returns
        -------
        reference : BigramReference

        Raises
        ------
        ValueError
            If there is no token, a column does not exist, or a parameter is negative.

        Notes
        -----
        With :math:`n_{st}` occurrences of t right after s, :math:`n_s = \sum_t n_{st}` and prior
        strength :math:`\kappa`,

        .. math::

            P(t|s) = \frac{n_{st} + \kappa u_t}{n_s + \kappa}, \qquad
            u_t = \frac{n_t + \text{smoothing}}{N + \text{smoothing} \cdot V},

        the posterior mean under a Dirichlet(:math:`\kappa u`) prior of each row [1]_: a sparse
        matrix and the back-off weights :math:`a_s = \kappa / (n_s + \kappa)`. The first tokens of
        documents are a row of their own. A token without followers is followed by u.

        References
        ----------
        .. [1] MacKay, D. J. C. and Peto, L. C. B. (1995). "A hierarchical Dirichlet language
           model." Natural Language Engineering 1(3), 289-308.

        Examples
        --------
        >>> from sklearn_codex.sequential import BigramReference
        >>> BigramReference.from_sequences(
        ...     [[0, 1, 0], [0, 1]], n_columns=2, prior_strength=0, smoothing=0
        ... ).toarray()
        array([[0., 1.],
               [1., 0.]])
        """
        subject = f"{cls.__name__}.from_sequences"
        prior_strength = check_number(
            prior_strength, "prior_strength", subject=subject, interval=NOT_NEGATIVE
        )
        smoothing = check_number(smoothing, "smoothing", subject=subject, interval=NOT_NEGATIVE)
        n_columns = check_number(n_columns, "n_columns", subject=subject, interval=_COLUMNS)
        if eos is not None:
            columns = Interval(Integral, 0, n_columns, closed="left")
            eos = check_number(
                eos, "eos, a column", subject=subject, interval=columns, remedy="None means no end."
            )
        if not isinstance(sequences, Iterable) or getattr(sequences, "ndim", 1) == 0:
            raise TypeError(
                f"{subject} needs a list of sequences of columns, got a "
                f"{type(sequences).__name__}: {sequences!r:.60}."
            )
        documents = [as_array(one, name="each sequence").ravel() for one in sequences]
        documents = [document for document in documents if document.size]
        other = [document for document in documents if document.dtype.kind not in "iu"]
        if other:
            raise ValueError(
                f"{subject} needs columns, which are integers, got {other[0][0]!r} of type "
                f"{other[0].dtype}. Use from_texts for texts."
            )
        documents = [document.astype(np.intp) for document in documents]
        if not documents:
            raise ValueError(f"{subject} needs at least one token, got only empty documents.")
        tokens = np.concatenate(documents)
        wrong = tokens[(tokens < 0) | (tokens >= n_columns)]
        if wrong.size:
            raise ValueError(
                f"{subject} needs columns from 0 to n_columns - 1 = {n_columns - 1}, got "
                f"{wrong[0]}. Leave unknown tokens out, or give them a column."
            )
        firsts, pairs = _count_pairs(tokens, [len(document) for document in documents], n_columns)
        weights = np.bincount(tokens, minlength=n_columns) + float(smoothing)
        unigram = weights / weights.sum()
        initial, share = _shrink(firsts, prior_strength)
        matrix, backoff = _shrink(pairs, prior_strength)
        if eos is not None:
            matrix, backoff[eos] = _absorb(matrix, eos), 0.0
        initial = initial.toarray()[0] + share[0] * unigram
        return cls(matrix, initial, backoff, unigram, vectorizer)

    @property
    def n_columns(self) -> int:
        """V, the size of the vocabulary."""
        return len(self.initial)

    @property
    def names(self) -> np.ndarray | None:
        """Names (V,) of the tokens, None where they are unknown."""
        return None if self.vectorizer is None else self.vectorizer.get_feature_names_out()

    @property
    def kernel(self) -> Kernel:
        """The probabilities of a token given the last one, V states."""
        if self.backoff is None or self.unigram is None:
            return Kernel.of_rows(self.transition)
        return Kernel(self.transition, self.backoff, self.unigram)

    @property
    def first(self) -> Kernel:
        """The probabilities of the first token, one state."""
        return Kernel.of_rows(self.initial[np.newaxis])

    def toarray(self) -> FloatArray:
        """Return P (V, V), for vocabularies of teaching size."""
        return self.kernel.toarray()


def token_sequences(
    counter: TokenCounter, texts: list[str], *, subject: str
) -> Iterator[np.ndarray]:
    """Yield the columns (n_tokens,) of each text's tokens in their order, as ``transform`` counts.

    Parameters
    ----------
    counter : TokenCounter
        Fitted on text.
    texts : list of str (n_documents,)
    subject : str
        Who asks, for messages.
    """
    special = [token for token in (counter.unk_token, counter.eos_token) if token is not None]
    literals = {*special, *(token.lower() for token in special if counter.lowercase)}
    vocabulary = dict(counter.vocabulary_)
    rest = -1 if counter.unk_index_ is None else counter.unk_index_
    for literal in literals:
        vocabulary[literal] = rest
    rule = counter.tokenizer
    split = build_splitter(rule, literals) if isinstance(rule, str) else rule
    end = [] if counter.eos_index_ is None else [counter.eos_index_]
    for tokens, ends in split_texts(texts, split, lowercase=counter.lowercase, subject=subject):
        columns = np.array([vocabulary.get(token, rest) for token in tokens], dtype=np.intp)
        for document in np.split(columns, ends[:-1]):
            yield np.append(document[document >= 0], end).astype(np.intp)


def _count_pairs(tokens, lengths, n_columns):
    """Count first tokens (1, V) and which token follows which (V, V), in joined documents."""
    ends = np.cumsum(lengths)
    firsts = sp.csr_array(np.bincount(tokens[ends - lengths], minlength=n_columns)[None] * 1.0)
    inside = np.ones(len(tokens), dtype=bool)
    inside[ends - 1] = False
    before = np.flatnonzero(inside)
    pairs = (np.ones(len(before)), (tokens[before], tokens[before + 1]))
    return firsts, sp.coo_array(pairs, shape=(n_columns, n_columns)).tocsr()


def _absorb(matrix, eos):
    """Return rows (V, V) in which nothing but ``eos`` follows it."""
    kept = np.ones(matrix.shape[0])
    kept[eos] = 0.0
    return sp.csr_array(sp.diags_array(kept) @ matrix + sp.diags_array(1.0 - kept))


def _shrink(counts, prior_strength):
    """Return the rows of counts as a part of probabilities, and the share (n,) of the prior."""
    total = counts.sum(axis=1) + prior_strength
    seen = total > 0
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=seen)
    # A row without counts is all prior, however weak.
    backoff = np.where(seen, prior_strength * inverse, 1.0)
    return sp.csr_array(sp.diags_array(inverse) @ counts), backoff


def _floats(values):
    return as_floats(values, "probabilities", subject="BigramReference")


def _check_shape(name, values, shape):
    if values.shape != shape or not shape[0]:
        raise ValueError(
            f"BigramReference needs {name} of shape {shape}, V being the length of initial and at "
            f"least 1, got shape {values.shape}."
        )


def _check_not_negative(name, values):
    if not np.all(values >= 0):
        raise ValueError(
            f"BigramReference needs probabilities, none negative or NaN, got {np.min(values):.6g} "
            f"in {name}. Pass exp of log-probabilities."
        )


def _check_sum(name, total):
    if not abs(total - 1.0) <= _SUM_TOLERANCE:
        raise ValueError(
            f"BigramReference needs {name} to sum to 1, got {total:.10g}. Divide it by its sum, in "
            "float64: the rounding of float32 would be taken for a gap to the optimum."
        )
