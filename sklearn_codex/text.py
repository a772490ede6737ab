"""Text to token counts: what a document is, and how it becomes a row of a document-term matrix."""

import reprlib
from collections.abc import Mapping
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_codex._checks.frames import column_names, is_frame
from sklearn_codex._checks.matrices import as_csr, check_numbers, validate_numbers
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._fits import whole_fit
from sklearn_codex._partitions import (
    holds_text,
    lazy_on_dask,
    on_dask,
    reader_of,
    reduce_partitions,
    split,
    stand_in,
)
from sklearn_codex._text.decoding import DecodingMixin
from sklearn_codex._text.inputs import check_texts
from sklearn_codex._text.tokenizers import BUILT_IN, count_tokens
from sklearn_codex._text.vocabulary import (
    TypeTotals,
    check_special_tokens,
    check_vocabulary,
    find_types,
    join_totals,
    name_columns,
    pack_tokens,
    unpack_tokens,
    warn_of_rare_tokens,
)

__all__ = ["TokenCounter", "check_texts"]


def _empty_counts(counter):
    return sp.csr_array((0, counter.n_features_in_))


def _fit_and_transform_lazily(counter, X, y=None):
    return counter.fit(X).transform(X)


@link_estimators
class TokenCounter(DecodingMixin, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    r"""Convert documents to a document-term matrix of token counts.

    Documents are a 1-D sequence of `str`, or a 2-D matrix of counts, which passes through as
    validated CSR. Every token of a text is counted: the ones outside the vocabulary as
    `unk_token`, so a model of the counts gives any held-out text a finite likelihood.

    Parameters
    ----------
    tokenizer : str or callable, default="script"
        How a text is split into tokens.

        - `"script"`: as `"whitespace"`, and scripts that put no blanks between words (Chinese,
          Japanese, Thai, Lao, Khmer, Burmese, Tibetan and more) into characters and pairs of them,
          see Notes.
        - `"script-word"`: as `"word"`, and these scripts in the same way.
        - `"whitespace"`: exactly `str.split()`.
        - `"code"`: identifiers (`[^\W\d]\w*`), numbers (`0xff`, `1_000`, `1.5e-3`), Python's
          operators (the longest that matches: `**=`, `->`, `:=`, `...`), and any other character
          that is not blank, quotes and combining marks included, by itself.
        - `"word"`: `\w+|[^\w\s]`.
        - a callable: str -> iterable of str. It can be pickled if it is a module-level function.

    lowercase : bool, default=False
        Lowercase a text (`str.lower`) before it is split. Special tokens are then recognised in
        any case, and keep theirs in the vocabulary.
    min_count : int, default=1
        A token counted fewer times than this in the whole corpus gets no column.
    max_features : int, default=None
        Keep only this many tokens, the most frequent of the corpus; of two equally frequent, the
        first by code point. Special tokens come on top.
    unk_token : str or None, default="<unk>"
        Counts the tokens that have no column. None drops them instead.
    eos_token : str or None, default=None
        End of document: a column that is exactly one in every row of a text, so that a model of
        the counts also models length.
    vocabulary : mapping of str to int, or array-like of str, default=None
        A fixed vocabulary: token -> column (each of 0, ..., n - 1 once), or the tokens in the
        order of their columns. One the tokenizer never returns has its column all the same.

    Attributes
    ----------
    vocabulary_ : dict of str to int, or None
        token -> column, in the order of the columns. None if fitted on counts.
    unk_index_ : int or None
        Column of `unk_token`. None without one, or if fitted on counts.
    eos_index_ : int or None
        Column of `eos_token`. None without one, or if fitted on counts.
    n_features_in_ : int
        Number of columns, the width a count matrix must have.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if fitted on a DataFrame of counts whose names are all str.

    See Also
    --------
    sklearn.feature_extraction.text.CountVectorizer : Drops unseen tokens; n-grams, stop words.

    Notes
    -----
    **Order of the columns.** A learned vocabulary has `unk_token` first, then `eos_token`, then
    the tokens by code point. A fixed vocabulary keeps the columns given; a special token that is
    not in it is appended, `unk_token` before `eos_token`.

    **Special tokens in a text.** A special token is one token to the built-in tokenizers, too,
    wherever a token may start; if its last character may belong to a word (`\w`), none may
    follow. `"whitespace"` remains `str.split()`: there it stands between blanks. `unk_token` in a
    text counts as itself. `eos_token` in a text counts as `unk_token`, or is dropped without one:
    the column of `eos_token` counts documents.

    **Scripts without blanks.** To `"script"` and `"script-word"` a text without a letter of such a
    script is what it is to `"whitespace"` and `"word"`. Letters of such scripts in a row give each
    character and each pair of neighbours, "我们吃" 我, 我们, 们, 们吃, 吃; two alone only the pair,
    so that tokens joined by a space split into the same tokens again. A character keeps its
    combining marks and what is stacked below it, and is in composed form (NFC); in Tibetan it is a
    syllable. Half-width kana become full-width; variation selectors and joiners are left out.
    Punctuation of these scripts and of full width is one token a mark; a zero-width space parts
    words. What stands between, such as Latin letters, digits and emoji, is split as in any other
    text. A character may be counted three times, so likelihoods are those of counts, not of texts.

    A :class:`~sklearn_codex.exceptions.RareTokensWarning` tells where more than two thirds of 300
    tokens or more occur once, as in Chinese that is split at blanks.

    Options that choose columns (`min_count`, `max_features`, `eos_token`, `vocabulary`) have
    nothing to act on in a count matrix: fitting one with them is an error.

    Examples
    --------
    >>> from sklearn_codex.text import TokenCounter
    >>> counter = TokenCounter(eos_token="<eos>").fit(["the cat sat", "the cat"])
    >>> counter.get_feature_names_out().tolist()
    ['<unk>', '<eos>', 'cat', 'sat', 'the']
    >>> counts = counter.transform(["the dog sat down", ""])
    >>> counts.toarray()
    array([[2., 1., 0., 1., 1.],
           [0., 1., 0., 0., 0.]])
    >>> counter.decode(counts)
    ['<unk> <unk> sat the', '']

    >>> TokenCounter(unk_token=None).fit(["我们吃pizza"]).get_feature_names_out().tolist()
    ['pizza', '们', '们吃', '吃', '我', '我们']

    >>> code = TokenCounter("code", unk_token=None).fit(["x **= 1.5e-3"])
    >>> code.get_feature_names_out().tolist()
    ['**=', '1.5e-3', 'x']
    """

    _parameter_constraints: dict = {
        "tokenizer": [StrOptions(set(BUILT_IN)), callable],
        "lowercase": ["boolean"],
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "max_features": [Interval(Integral, 1, None, closed="left"), None],
        "unk_token": [str, None],
        "eos_token": [str, None],
        "vocabulary": [Mapping, "array-like", None],
    }

    _in_order = False  # whether it counts more than tokens
    _join_totals = staticmethod(join_totals)

    _names: Any
    _stream_types: np.ndarray
    _stream_totals: np.ndarray

    def __init__(
        self,
        tokenizer="script",
        *,
        lowercase=False,
        min_count=1,
        max_features=None,
        unk_token="<unk>",
        eos_token=None,
        vocabulary=None,
    ):
        self.tokenizer = tokenizer
        self.lowercase = lowercase
        self.min_count = min_count
        self.max_features = max_features
        self.unk_token = unk_token
        self.eos_token = eos_token
        self.vocabulary = vocabulary

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the columns.

        Parameters
        ----------
        X : sequence of str (n_documents,), or array-like or sparse (n_documents, n_columns)
            Documents, as text or as counts; also a dask bag of texts or array of counts.
        y : None
            Ignored.

        Returns
        -------
        self : TokenCounter
            The fitted transformer.
        """
        self._fit(X)
        return self

    @whole_fit(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Learn the columns from one batch of a stream after another.

        After each call the columns are those of one `fit` on all documents seen so far, so new
        tokens move them: count with the counter when the stream has ended. Memory grows with the
        number of distinct tokens, not of documents.

        Parameters
        ----------
        X : sequence of str (n_documents,), or array-like or sparse (n_documents, n_columns)
            Documents, as text or as counts.
        y : None
            Ignored.

        Returns
        -------
        self : TokenCounter
            The transformer, fitted on the stream so far.

        Raises
        ------
        ValueError
            If `fit` came first, which keeps no totals to add to; or as in `fit`.
        """
        special = (self.unk_token, self.eos_token)
        check_special_tokens(*special, lowercase=self.lowercase, subject=type(self).__name__)
        is_first = not hasattr(self, "n_features_in_")
        texts = check_texts(X, subject=type(self).__name__)
        if texts is None:
            self._check_no_text_options()
            self._check_counts(X, reset=is_first)
            return self._know_no_names() if is_first else self
        if not is_first and not hasattr(self, "_stream_types"):
            raise ValueError(
                f"{type(self).__name__}.partial_fit got text after a fit that did not keep how "
                "often each token occurs. Give partial_fit all batches, the first one included."
            )
        totals = self._total_types(texts)
        if not is_first:
            totals = self._join_totals([self._stream(), totals])
        self._learn(totals, n_documents=len(texts))
        self._keep_stream(totals)
        return self

    def _stream(self):
        return TypeTotals(self._stream_types, self._stream_totals)

    def _keep_stream(self, totals):
        self._stream_types, self._stream_totals = totals

    @whole_fit(prefer_skip_nested_validation=True)
    @on_dask(_fit_and_transform_lazily)
    def fit_transform(self, X, y=None) -> sp.csr_array:
        """Learn the columns and return the counts: `fit(X).transform(X)`, splitting X only once.

        Parameters
        ----------
        X : sequence of str (n_documents,), or array-like or sparse (n_documents, n_columns)
            Documents, as text or as counts.
        y : None
            Ignored.

        Returns
        -------
        counts : csr_array of shape (n_documents, n_columns)
            As `transform` returns them.
        """
        return self._fit(X)

    def _fit(self, X):
        special = (self.unk_token, self.eos_token)
        check_special_tokens(*special, lowercase=self.lowercase, subject=type(self).__name__)
        for name in [name for name in vars(self) if name.startswith("_stream")]:
            del self.__dict__[name]
        return self._fit_rows(X)

    def _fit_partitions(self, X):
        """Learn the columns from a dask bag or array; what it gathers is the distinct tokens."""
        subject = type(self).__name__
        parts = split(X, subject=subject)
        if not holds_text(X):
            self._check_no_text_options()
            self._check_counts(stand_in(X, subject=subject), reset=True)
            reader = reader_of(self._know_no_names(), "n_features_in_", "_names")
            totals = reduce_partitions(reader._check_block, parts, combine=any)
        else:
            reader = reader_of(self)
            totals = reduce_partitions(reader._total_types, parts, combine=self._join_totals)
        if totals is None:
            raise ValueError(f"{subject} got 0 documents in X. Pass at least one document.")
        if holds_text(X):
            self._learn(totals, n_documents=f"{len(parts)} partitions of")

    @on_dask(_fit_partitions)
    def _fit_rows(self, X):
        """Learn the columns from documents in memory; return their counts (n, V)."""
        texts = check_texts(X, subject=type(self).__name__)
        if texts is None:
            self._check_no_text_options()
            counts = self._check_counts(X, reset=True)
            self._know_no_names()
            return counts
        counted = self._count_types(texts)
        kept = self._learn(counted, n_documents=len(texts))
        return self._count_learned(counted, self._columns_of_types(counted, kept))

    def _check_block(self, X) -> bool:
        """Validate the counts of a partition, as ``transform`` will again when it is asked for."""
        self._check_counts(X, reset=False)
        return True

    def _total_types(self, X) -> TypeTotals:
        """Count the types of texts."""
        subject = type(self).__name__
        texts = check_texts(X, subject=subject)
        if texts is None:
            raise TypeError(
                f"{subject} expected a dask bag to hold str, got {reprlib.repr(X[0])}. Pass "
                "counts as a dask array of shape (n_documents, n_columns)."
            )
        return self._totals_of(self._count_types(texts))

    def _totals_of(self, counted):
        return TypeTotals(counted.types, counted.totals)

    def _know_no_names(self):
        """Be a transformer of counts, whose columns may have no names."""
        self._names = self.vocabulary_ = self.unk_index_ = self.eos_index_ = None
        return self

    def _learn(self, counted, *, n_documents):
        """Set the columns from counted types; return the types that got one, None if fixed."""
        if not len(counted.types):
            raise ValueError(
                f"{type(self).__name__} found no tokens in X: {n_documents} documents, all empty "
                f"or blank to tokenizer={self.tokenizer!r}. Pass at least one with a token."
            )
        first = special = self._special_tokens()
        options = {"min_count": self.min_count, "max_features": self.max_features}
        options["subject"] = type(self).__name__
        if self.vocabulary is None:
            warn_of_rare_tokens(counted, subject=options["subject"])
            literals, has_unk = self._special_literals(), self.unk_token is not None
            names, kept = name_columns(
                counted, special, **options, without=literals, may_be_empty=has_unk
            )
        else:
            first = check_vocabulary(self.vocabulary, special, **options)
            names, kept = np.array(first, dtype=object), None
        for name in ("vocabulary_", "_token_numbers", "_writing", "feature_names_in_"):
            self.__dict__.pop(name, None)
        self._names = names
        self.unk_index_ = None if self.unk_token is None else first.index(self.unk_token)
        self.eos_index_ = None if self.eos_token is None else first.index(self.eos_token)
        self.n_features_in_ = len(names)
        return kept

    @cached_property
    def vocabulary_(self):
        """Map tokens to columns; made when first asked for, as a large one takes its time."""
        names = self._names
        return None if names is None else {name: at for at, name in enumerate(names.tolist())}

    def _check_no_text_options(self):
        options = (self.max_features, self.eos_token, self.vocabulary)
        if self.min_count != 1 or any(option is not None for option in options):
            raise ValueError(
                f"{type(self).__name__} was given counts as X and options that act on text only: "
                f"min_count={self.min_count}, max_features={self.max_features}, eos_token="
                f"{self.eos_token!r}, vocabulary={reprlib.repr(self.vocabulary)}. Pass the "
                "documents as text, or leave these options at 1 and None."
            )

    def _special_tokens(self) -> list[str]:
        return [token for token in (self.unk_token, self.eos_token) if token is not None]

    def _special_literals(self) -> set[str]:
        """All spellings of the special tokens in a text."""
        tokens = self._special_tokens()
        return {*tokens, *(token.lower() for token in tokens if self.lowercase)}

    def _count_types(self, texts: list[str]):
        return count_tokens(
            texts,
            self._rule,
            literals=self._special_literals(),
            lowercase=self.lowercase,
            in_order=self._in_order,
            subject=type(self).__name__,
        )

    def _columns_of_types(self, counted, kept=None) -> np.ndarray:
        """Return the columns (n_types,), -1 for none; a learned vocabulary is the types kept."""
        rest = -1 if self.unk_index_ is None else self.unk_index_
        if kept is None:
            columns = np.array([self.vocabulary_.get(name, rest) for name in counted.types], int)
            columns[find_types(counted.types, self._special_literals())] = rest
        else:
            columns = np.full(len(counted.types), rest)
            columns[kept] = np.arange(len(self._names) - len(kept), len(self._names))
        return columns

    def _count_columns(self, counted, columns) -> sp.csr_array:
        """Bring counts by type to the columns (n, V)."""
        return counted.assign(columns, self.n_features_in_, end_column=self.eos_index_)

    def _count_learned(self, counted, columns):
        """Do `_count_columns` for the texts that the columns were learned from."""
        return self._count_columns(counted, columns)

    def _check_counts(self, X, *, reset: bool) -> sp.csr_array:
        """Validate a count matrix; the result is canonical and may share the memory of X."""
        if reset or self._names is None:
            X = validate_numbers(self, X, reset=reset, ensure_non_negative=True)
        else:
            # Told the names of the columns at fit, scikit-learn would miss them in plain matrices.
            given = column_names(X) if is_frame(X) else []
            X = check_numbers(X, subject=type(self).__name__, ensure_non_negative=True)
            validate_data(self, X, reset=False, skip_check_array=True)
            is_named = any(isinstance(name, str) for name in given)
            names = self.get_feature_names_out().tolist() if is_named else given
            if given != names:
                raise ValueError(
                    f"{type(self).__name__} needs the columns of a DataFrame of counts in the "
                    f"order of get_feature_names_out(), {reprlib.repr(names)}, got "
                    f"{reprlib.repr(given)}. Reorder them."
                )
        return as_csr(X)

    @lazy_on_dask(_empty_counts)
    def transform(self, X) -> sp.csr_array:
        """Count the tokens of each document.

        Parameters
        ----------
        X : sequence of str (n_documents,), or array-like or sparse (n_documents, n_columns)
            Documents, as text or as counts. Counts are validated and pass through. A document
            without a token is a row of zeros (one at `eos_index_`). A dask bag of texts or array of
            counts gives a dask array, computed when it is asked for, of such blocks.

        Returns
        -------
        counts : csr_array of shape (n_documents, n_columns)
            Float64 counts, indices sorted, without duplicates or stored zeros. May share memory
            with X where X is such a matrix already. No data frame, whatever ``transform_output``
            of ``sklearn.set_config`` says: those are dense.
        """
        check_is_fitted(self)
        texts = check_texts(X, subject=type(self).__name__)
        if texts is None:
            return self._check_counts(X, reset=False)
        if self._names is None:
            raise ValueError(
                f"{type(self).__name__} was fitted on counts and has no vocabulary, got text: "
                f"{reprlib.repr(texts[0])}. Fit it on text, or pass counts of "
                f"{self.n_features_in_} columns."
            )
        return self._count_texts(texts)

    def _count_texts(self, texts) -> sp.csr_array:
        counted = self._count_types(texts)
        return self._count_columns(counted, self._columns_of_types(counted))

    def __getstate__(self):
        # One string instead of a list and a dict of all tokens: model files stay small.
        state = dict(super().__getstate__())
        if state.get("_names") is not None:
            state.pop("vocabulary_", None)
            for name in {"_names", "_stream_types"} & state.keys():
                state[name] = pack_tokens(state[name].tolist())
        return state

    def __setstate__(self, state):
        state = dict(state)
        for name in ("_names", "_stream_types"):
            if isinstance(state.get(name), str):
                state[name] = np.array(unpack_tokens(state[name]), dtype=object)
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        return tags
