"""Text to token counts: what a document is, and how it becomes a row of a document-term matrix."""

import json
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from functools import cached_property, partial
from itertools import pairwise
from numbers import Integral

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from sklearn_codex._fast_counts import FastCounts
from sklearn_codex._texts import check_texts
from sklearn_codex._tokenizers import BUILT_IN, DictCounts, build_splitter, call_tokenizer

__all__ = ["TokenCounter", "check_texts"]

# Texts of fewer characters are counted faster by a dict.
_MIN_FAST_SIZE = {"whitespace": 32_000, "word": 10_000, "code": 10_000}


class TokenCounter(TransformerMixin, BaseEstimator):
    r"""Convert documents to a document-term matrix of token counts.

    Documents are a 1-D sequence of `str`, or a 2-D matrix of counts, which passes through as
    validated CSR. Every token of a text is counted: the ones outside the vocabulary as
    `unk_token`, so a model of the counts gives any held-out text a finite likelihood.

    Parameters
    ----------
    tokenizer : {"whitespace", "code", "word"} or callable, default="whitespace"
        How a text is split into tokens.

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

    def __init__(
        self,
        tokenizer="whitespace",
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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the columns.

        Parameters
        ----------
        X : sequence of str (n_documents,), or array-like or sparse (n_documents, n_columns)
            Documents, as text or as counts.
        y : None
            Ignored.

        Returns
        -------
        self : TokenCounter
            The fitted transformer.
        """
        self._fit(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
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
        self._check_special_tokens()
        texts = check_texts(X, subject=type(self).__name__)
        if texts is None:
            self._check_no_text_options()
            counts = self._check_counts(X, reset=True)
            self._names = self.vocabulary_ = self.unk_index_ = self.eos_index_ = None
            return counts
        counted = self._count_types(texts)
        if not len(counted.types):
            raise ValueError(
                f"{type(self).__name__} found no tokens in X: {len(texts)} documents, all empty "
                f"or blank to tokenizer={self.tokenizer!r}. Pass at least one with a token."
            )
        if self.vocabulary is None:
            kept = self._choose_types(counted)
            names = [*self._special_tokens(), *counted.types[kept].tolist()]
        else:
            kept, names = None, self._check_vocabulary()
        vars(self).pop("vocabulary_", None)
        self._names = names
        self.unk_index_ = None if self.unk_token is None else names.index(self.unk_token)
        self.eos_index_ = None if self.eos_token is None else names.index(self.eos_token)
        self.n_features_in_ = len(names)
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self._assign_columns(counted, kept)

    @cached_property
    def vocabulary_(self):
        """Map tokens to columns; made when first asked for, as a large one takes its time."""
        return {name: column for column, name in enumerate(self._names)}

    def _check_special_tokens(self):
        tokens = self._special_tokens()
        if any(token.split() != [token] for token in tokens):
            rule = "not be empty or hold blanks"
        elif len({self._fold(token) for token in tokens}) < len(tokens):
            rule = "differ from each other" + " in lower case" * self.lowercase
        else:
            return
        raise ValueError(
            f"The special tokens of {type(self).__name__} must {rule}, got unk_token="
            f"{self.unk_token!r} and eos_token={self.eos_token!r}. Rename one, or set it to None."
        )

    def _check_no_text_options(self):
        options = (self.max_features, self.eos_token, self.vocabulary)
        if self.min_count != 1 or any(option is not None for option in options):
            raise ValueError(
                f"{type(self).__name__} was given counts as X and options that act on text only: "
                f"min_count={self.min_count}, max_features={self.max_features}, eos_token="
                f"{self.eos_token!r}, vocabulary={reprlib.repr(self.vocabulary)}. Pass the "
                "documents as text, or leave these options at 1 and None."
            )

    def _fold(self, text: str) -> str:
        return text.lower() if self.lowercase else text

    def _special_tokens(self) -> list[str]:
        return [token for token in (self.unk_token, self.eos_token) if token is not None]

    def _special_literals(self) -> set[str]:
        """All spellings of the special tokens in a text."""
        return {*self._special_tokens(), *map(self._fold, self._special_tokens())}

    def _build_splitter(self) -> Callable[[str], Iterable[str]]:
        if isinstance(self.tokenizer, str):
            return build_splitter(self.tokenizer, self._special_literals())
        return partial(call_tokenizer, self.tokenizer, subject=type(self).__name__)

    def _count_types(self, texts: list[str]) -> FastCounts | DictCounts:
        split, lowercase = self._build_splitter(), self.lowercase
        rule, literals = self.tokenizer, self._special_literals()
        if isinstance(rule, str) and sum(map(len, texts)) >= _MIN_FAST_SIZE[rule]:
            return FastCounts(texts, rule, split, literals=literals, lowercase=lowercase)
        return DictCounts(texts, split, lowercase=lowercase)

    def _choose_types(self, counted) -> np.ndarray:
        """Choose the types that get a column of their own, by ascending index."""
        is_kept = counted.totals >= self.min_count
        is_kept[self._find_literals(counted.types)] = False
        kept = np.flatnonzero(is_kept)
        if self.max_features is not None:
            most_frequent = np.argsort(-counted.totals[kept], kind="stable")
            kept = np.sort(kept[most_frequent[: self.max_features]])
        if not len(kept) and self.unk_token is None:
            raise ValueError(
                f"{type(self).__name__} has no tokens left: of {len(counted.types)} distinct "
                f"tokens none is counted min_count={self.min_count} times. Lower min_count, or "
                "set unk_token."
            )
        return kept

    def _find_literals(self, types: np.ndarray) -> list[int]:
        """Find the special tokens among sorted types."""
        literals = self._special_literals()
        found = [int(np.searchsorted(types, literal)) for literal in literals]
        return [
            index
            for index, literal in zip(found, literals, strict=True)
            if index < len(types) and types[index] == literal
        ]

    def _check_vocabulary(self) -> list[str]:
        """Names of the columns, from the fixed vocabulary."""
        given, name = self.vocabulary, f"The vocabulary of {type(self).__name__}"
        if self.min_count != 1 or self.max_features is not None:
            raise ValueError(
                f"{name} is fixed, so min_count={self.min_count} and max_features="
                f"{self.max_features} have nothing to choose. Leave them at 1 and None."
            )
        if isinstance(given, Set):
            raise TypeError(
                f"{name} must have an order, got a {type(given).__name__}. Pass a sorted list."
            )
        tokens = list(given)
        for token in tokens:
            if not isinstance(token, str):
                raise TypeError(f"{name} must hold str only, got the token {token!r}.")
        if isinstance(given, Mapping):
            if set(given.values()) != set(range(len(tokens))):
                raise ValueError(
                    f"{name} must map its {len(tokens)} tokens to the columns 0 to "
                    f"{len(tokens) - 1}, each once, got {reprlib.repr(list(given.values()))}. "
                    "Pass the tokens alone, in order, to have them numbered."
                )
            tokens.sort(key=given.__getitem__)
        if not tokens:
            raise ValueError(f"{name} is empty. Pass at least one token, or None to learn it.")
        token, n_times = Counter(tokens).most_common(1)[0]
        if n_times > 1:
            raise ValueError(f"{name} must hold each token once, got {token!r} {n_times} times.")
        return list(dict.fromkeys([*map(str, tokens), *self._special_tokens()]))

    def _assign_columns(self, counted, kept=None) -> sp.csr_array:
        """Bring counts by type to the columns (n, V), a learned vocabulary being the types kept."""
        rest = -1 if self.unk_index_ is None else self.unk_index_
        if kept is None:
            columns = np.array([self.vocabulary_.get(name, rest) for name in counted.types], int)
            columns[self._find_literals(counted.types)] = rest
        else:
            columns = np.full(len(counted.types), rest)
            columns[kept] = np.arange(len(self._names) - len(kept), len(self._names))
        return counted.assign(columns, len(self._names), end_column=self.eos_index_)

    def _check_counts(self, X, *, reset: bool) -> sp.csr_array:
        """Validate a count matrix; the result is canonical and may share the memory of X."""
        checks = {"accept_sparse": "csr", "dtype": np.float64, "ensure_non_negative": True}
        if reset or self._names is None:
            X = validate_data(self, X, reset=reset, **checks)
        else:
            # Told the names of the columns at fit, scikit-learn would miss them in plain matrices.
            given, names = list(getattr(X, "columns", ())), self._names
            X = check_array(X, input_name="X", estimator=self, **checks)
            validate_data(self, X, reset=False, skip_check_array=True)
            if given != names and any(isinstance(name, str) for name in given):
                raise ValueError(
                    f"{type(self).__name__} needs the columns of a DataFrame of counts in the "
                    f"order of get_feature_names_out(), {reprlib.repr(names)}, got "
                    f"{reprlib.repr(given)}. Reorder them."
                )
        counts = sp.csr_array(X)  # (n, V)
        if not counts.has_canonical_format or not counts.data.all():
            counts = counts.copy()
            counts.sum_duplicates()
            counts.eliminate_zeros()
        return counts

    def transform(self, X) -> sp.csr_array:
        """Count the tokens of each document.

        Parameters
        ----------
        X : sequence of str (n_documents,), or array-like or sparse (n_documents, n_columns)
            Documents, as text or as counts. Counts are validated and pass through. A document
            without a token is a row of zeros (one at `eos_index_`).

        Returns
        -------
        counts : csr_array of shape (n_documents, n_columns)
            Float64 counts, indices sorted, without duplicates or stored zeros. May share memory
            with X where X is such a matrix already.
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
        return self._assign_columns(self._count_types(texts))

    def inverse_transform(self, X) -> list[list[str]] | sp.csr_array:
        """Turn counts back into tokens, whose order in the text is lost.

        Parameters
        ----------
        X : array-like or sparse of shape (n_documents, n_columns)
            Counts: non-negative integers, of any dtype.

        Returns
        -------
        tokens : list of list of str
            For each document its tokens in the order of the columns, each as often as counted.
            `eos_token` is left out, since `transform` adds it. If fitted on counts: those of X,
            as from `transform`.
        """
        check_is_fitted(self)
        counts = self._check_counts(X, reset=False)
        if self._names is None:
            return counts
        names = self.get_feature_names_out()
        broken = np.flatnonzero(counts.data != np.floor(counts.data))
        if len(broken):
            row = np.searchsorted(counts.indptr, broken[0], side="right") - 1
            raise ValueError(
                f"{type(self).__name__}.inverse_transform needs non-negative integers, got "
                f"{counts.data[broken[0]]} in row {row}, column "
                f"{names[counts.indices[broken[0]]]!r}. Round the counts first."
            )
        repeats = counts.data.astype(np.intp)
        if self.eos_index_ is not None:
            repeats[counts.indices == self.eos_index_] = 0
        tokens = np.repeat(names[counts.indices], repeats).tolist()
        ends = np.concatenate([[0], np.cumsum(repeats)])[counts.indptr].tolist()  # (n + 1,)
        return [tokens[start:end] for start, end in pairwise(ends)]

    def decode(self, X) -> list[str]:
        """Turn counts back into text: the tokens of `inverse_transform`, joined by a space.

        Parameters
        ----------
        X : array-like or sparse of shape (n_documents, n_columns)
            Counts: non-negative integers, of any dtype.

        Returns
        -------
        texts : list of str
            One per document. With a built-in tokenizer, tokens joined by a space split into the
            same tokens again, so `transform(decode(counts))` equals `counts` from `transform`.
        """
        documents = self.inverse_transform(X)
        if not isinstance(documents, list):
            raise ValueError(
                f"{type(self).__name__} was fitted on counts of {self.n_features_in_} columns and "
                "has no vocabulary to decode with. Fit it on text."
            )
        return [" ".join(tokens) for tokens in documents]

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Name the columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names for the columns of a count matrix; ignored if fitted on text.

        Returns
        -------
        names : ndarray of str objects of shape (n_columns,)
            The tokens; if fitted on counts, the names of the DataFrame's columns or `x0`, `x1`...
        """
        check_is_fitted(self)
        if self._names is None:
            return _check_feature_names_in(self, input_features)
        return np.array(self._names, dtype=object)

    def __getstate__(self):
        # One string instead of a list and a dict of all tokens: model files stay small.
        state = dict(super().__getstate__())
        if state.get("_names") is not None:
            state.pop("vocabulary_", None)
            # As bytes in latin-1: JSON, here and in model files, would join two lone surrogates.
            names = json.dumps(state["_names"], ensure_ascii=False)
            state["_names"] = names.encode("utf-8", "surrogatepass").decode("latin-1")
        return state

    def __setstate__(self, state):
        if isinstance(state.get("_names"), str):
            names = state["_names"].encode("latin-1").decode("utf-8", "surrogatepass")
            state = {**state, "_names": json.loads(names)}
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        return tags
