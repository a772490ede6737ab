"""Counts back to tokens and text, and the names of columns."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from sklearn_codex._text.tokenizers import build_splitter, split_texts
from sklearn_codex._text.vocabulary import repeat_names
from sklearn_codex._text.writing import Writing, find_writing, writing_of_rule


class DecodingMixin:
    """Turns counts back into what was counted, by the tokens of columns. Nothing more.

    A counter has the tokens in ``_names``, None where it was fitted on counts, and reads counts by
    ``_check_counts(X, reset=False)``.
    """

    _names: Any
    _check_counts: Callable
    _special_literals: Callable
    tokenizer: Any
    lowercase: Any
    unk_token: str | None
    eos_token: str | None
    eos_index_: int | None
    n_features_in_: int

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
        subject = f"{type(self).__name__}.inverse_transform"
        counts = self._token_counts(counts)
        return repeat_names(counts, self._names, without=self.eos_index_, subject=subject)

    def _token_counts(self, counts):
        """Return the counts of tokens (n, V) from those of all columns."""
        return counts

    def decode(self, X) -> list[str]:
        """Turn counts back into text: the tokens of `inverse_transform`, joined.

        Parameters
        ----------
        X : array-like or sparse of shape (n_documents, n_columns)
            Counts: non-negative integers, of any dtype.

        Returns
        -------
        texts : list of str
            One per document. With a built-in tokenizer, tokens joined by a space split into the
            same tokens again, so `transform(decode(counts))` equals `counts` from `transform`; an
            `NGramCounter` whose tokenizer knows scripts without blanks puts none between theirs.
            Those of a callable are joined by nothing, as the characters of ``list``, or by a space,
            whichever it splits into the same tokens: the first that gives back those of the
            vocabulary in a row. An `unk_token` that it would split is written as U+FFFD.

        Warns
        -----
        UserWarning
            The first time, if the tokenizer gives its tokens back in neither way.
        """
        documents = self.inverse_transform(X)
        if not isinstance(documents, list):
            raise ValueError(
                f"{type(self).__name__} was fitted on counts of {self.n_features_in_} columns and "
                "has no vocabulary to decode with. Fit it on text."
            )
        return self._writing.write(documents)

    def __getstate__(self):
        state: Any = super().__getstate__()
        state = dict(state)
        state.pop("_writing", None)  # found anew when it is asked for
        return state

    @property
    def _rule(self) -> Any:
        """The rule that text is split by, or a function."""
        return self.tokenizer

    @property
    def _splitter(self) -> Callable[[str], list[str]]:
        """What splits a text into a list of tokens."""
        split = self._rule
        if isinstance(split, str):
            split = build_splitter(split, self._special_literals())
        options = {"lowercase": self.lowercase, "subject": type(self).__name__}

        def tokens_of(text):
            return [
                token for tokens, _ in split_texts([text], split, **options) for token in tokens
            ]

        return tokens_of

    @cached_property
    def _writing(self) -> Writing:
        """How tokens are joined to text; found when first asked for, and once."""
        if isinstance(self.tokenizer, str):
            return writing_of_rule(self._rule, self._names, self._special_literals())
        return find_writing(
            self._names,
            self._splitter,
            unk=self.unk_token,
            eos=self.eos_token,
            subject=type(self).__name__,
        )

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
        return self._names.copy()
