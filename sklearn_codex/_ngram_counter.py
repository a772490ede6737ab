"""Text to counts of n-grams: what a document uses of a trie of contexts."""

import reprlib
from collections.abc import Iterable
from functools import cached_property
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._doc_links import link_estimators
from sklearn_codex._fast_counts import TokenNumbers
from sklearn_codex._ngrams.arpa import LONGEST
from sklearn_codex._ngrams.table import Level, NGramTable, count_ngrams, join_tables
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex._text.inputs import check_texts
from sklearn_codex._text.scripts import has_unspaced
from sklearn_codex._text.tokenizers import is_in_a_row, number_tokens, rule_in_a_row
from sklearn_codex._text.vocabulary import TypeTotals, find_types, join_totals
from sklearn_codex.text import TokenCounter

__all__ = ["NGramCounter"]

# Characters of texts, for each name of a vocabulary, from which on a table of the names pays.
_WORTH_A_NAME = 16


class NGramTotals(NamedTuple):
    """Types, their totals and n-grams of them, a statistic that adds up over parts of a corpus.

    Attributes
    ----------
    types, totals
        As of `TypeTotals`.
    table : NGramTable
        Token t is type t; the one behind all types is the end of a document.
    """

    types: np.ndarray
    totals: np.ndarray
    table: NGramTable


def join_ngram_totals(parts: Iterable[NGramTotals]) -> NGramTotals:
    """Return the totals of a corpus from those of its parts."""
    parts = list(parts)
    types, totals = join_totals(TypeTotals(part.types, part.totals) for part in parts)
    number_of = {name: number for number, name in enumerate(types.tolist())}
    columns = [
        np.array([*(number_of[name] for name in part.types.tolist()), len(types)]) for part in parts
    ]
    tables = [part.table for part in parts]
    return NGramTotals(types, totals, join_tables(tables, columns=columns, n_tokens=len(types) + 1))


@link_estimators
class NGramCounter(TokenCounter):
    r"""Convert documents to counts of the n-grams that a back-off language model uses of them.

    A document becomes *events*: the n-grams that predict its tokens, each being the longest known
    one that ends there; the contexts that a token had to back off from, because nothing with it in
    that context is known; and the context that the document ends in. So the likelihood of a
    document under any back-off model is linear in its counts, and text and counts are the same to
    :class:`NGramLM`. Of order 1 they are the token counts of a :class:`TokenCounter`.

    Parameters
    ----------
    order : int, default=3
        Tokens of the longest n-grams: a token is predicted from ``order - 1`` tokens before it.
    tokenizer : str or callable, default="script"
        How a text is split into tokens, as of :class:`TokenCounter`; but from order 2 on "script"
        and "script-word" give the characters of scripts without blanks alone, not pairs of them.
    min_ngram_count : int, default=1
        An n-gram of two tokens or more that occurs fewer times than this in the corpus gets no
        column. Those that are part of others occur as often, so they stay.
    max_ngrams : int, default=None
        Keep only this many n-grams of two tokens or more, the most frequent; of equally frequent
        ones the shorter, then the first by their tokens.
    lowercase : bool, default=False
        Lowercase a text before it is split.
    min_count : int, default=1
        A token counted fewer times than this in the whole corpus counts as `unk_token`, also in
        n-grams.
    max_features : int, default=None
        Keep only this many tokens, the most frequent of the corpus.
    unk_token : str or None, default="<unk>"
        Stands for tokens that have no column, also in n-grams. None drops them, and their
        neighbours become neighbours.
    eos_token : str or None, default=None
        End of document: a token behind the last one of every text, predicted as any other.
    vocabulary : mapping of str to int, or array-like of str, default=None
        A fixed vocabulary, as of :class:`TokenCounter`; n-grams of it are learned.

    Attributes
    ----------
    order_ : int
        Tokens of the longest n-grams that are counted; 1 if fitted on counts.
    trie_ : Trie or None
        Contexts and the tokens known after them, of which there is a column each. None if fitted
        on counts.
    vocabulary_ : dict of str to int, or None
        token -> column, in the order of the columns; they are the first ones. None if fitted on
        counts.
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
    TokenCounter : Counts of tokens alone.
    NGramFeatures : Counts of all n-grams, for models that are linear in them.
    NGramLM : A language model of these counts.

    Notes
    -----
    **Columns.** First the tokens, in the order of :class:`TokenCounter`; then the n-grams of two
    tokens, of three, and so on, each by its tokens; then a column for each known context (the
    empty one aside) that counts how often it was backed off from; and one for each that is 1
    where a document ends in it, before its `eos_token`. A token of the text is counted in exactly
    one of the n-grams, so their sum is its length. The start of a document is a context, and is
    never predicted.

    **Backing off.** After "the big", where "the big dog" is not known, "dog" is counted as "big
    dog", and "the big" as backed off from; where that is not known either, as "dog", with "big",
    too, as backed off from. ARPA files are read in the same way [1]_.

    **Fitted on counts** it knows no order of tokens: such columns are tokens, of order 1.

    References
    ----------
    .. [1] Stolcke, A. (2002). "SRILM - an extensible language modeling toolkit." Proc. ICSLP,
       901-904.

    Examples
    --------
    >>> from sklearn_codex import NGramCounter
    >>> counter = NGramCounter(order=2, unk_token=None).fit(["a b", "a a"])
    >>> counter.get_feature_names_out().tolist()
    ['a', 'b', 'a a', 'a b', '<s> a', 'a  (backed off)', '<s>  (backed off)', 'a  (end)',
     '<s>  (end)']
    >>> counter.transform(["b a b"]).toarray()
    array([[1., 1., 0., 1., 0., 0., 1., 0., 0.]])
    """

    _parameter_constraints: dict = {
        **TokenCounter._parameter_constraints,
        "order": [Interval(Integral, 1, LONGEST, closed="both")],
        "min_ngram_count": [Interval(Integral, 1, None, closed="left")],
        "max_ngrams": [Interval(Integral, 1, None, closed="left"), None],
    }

    _in_order = True
    _join_totals = staticmethod(join_ngram_totals)  # type: ignore[assignment]

    _stream_ngrams: list
    trie_: Any

    def __init__(
        self,
        order=3,
        *,
        tokenizer="script",
        min_ngram_count=1,
        max_ngrams=None,
        lowercase=False,
        min_count=1,
        max_features=None,
        unk_token="<unk>",
        eos_token=None,
        vocabulary=None,
    ):
        super().__init__(
            tokenizer,
            lowercase=lowercase,
            min_count=min_count,
            max_features=max_features,
            unk_token=unk_token,
            eos_token=eos_token,
            vocabulary=vocabulary,
        )
        self.order = order
        self.min_ngram_count = min_ngram_count
        self.max_ngrams = max_ngrams

    @property
    def _rule(self):
        # Pairs of characters between these are no sequence; of order 1 tokens have none anyway.
        return self.tokenizer if self.order == 1 else rule_in_a_row(self.tokenizer)

    def _find_pair(self):
        """Return a learned token that is two now, as earlier versions learned; None for none."""
        if self._names is None or self.vocabulary is not None or not is_in_a_row(self._rule):
            return None
        split = self._splitter
        unspaced = filter(has_unspaced, self._names)
        return next((token for token in unspaced if len(split(token)) > 1), None)

    def _know(self, names, trie):
        """Have the columns of a trie, of tokens (V,) that special ones may be among."""
        self._names = np.array(names, dtype=object)
        special = (self.unk_token, self.eos_token)
        self.unk_index_, self.eos_index_ = (
            None if token is None else names.index(token) for token in special
        )
        self._keep_trie(trie)
        return self

    def _check_no_text_options(self):
        super()._check_no_text_options()
        if self.min_ngram_count != 1 or self.max_ngrams is not None:
            raise ValueError(
                f"{type(self).__name__} was given counts as X and options that act on text only: "
                f"min_ngram_count={self.min_ngram_count}, max_ngrams={self.max_ngrams}. Pass the "
                "documents as text, or leave these options at 1 and None."
            )

    def _know_no_names(self):
        self.trie_, self.order_ = None, 1
        return super()._know_no_names()

    def _totals_of(self, counted):
        types, totals = super()._totals_of(counted)
        is_token = np.ones(len(types), bool)
        if self.unk_token is None:
            is_token[find_types(types, self._special_literals())] = False
        types, totals = types[is_token], totals[is_token]
        columns = np.where(is_token, np.cumsum(is_token) - 1, -1)
        end = None if self.eos_token is None else len(types)
        ids, starts = counted.line_up(columns, end_column=end)
        return NGramTotals(types, totals, count_ngrams(ids, starts, len(types) + 1, self.order)[0])

    def _stream(self):
        levels = tuple(Level(keys, counts) for keys, counts in self._stream_ngrams)
        table = NGramTable(len(self._stream_types) + 1, levels)
        return NGramTotals(self._stream_types, self._stream_totals, table)

    def _keep_stream(self, totals):
        self._stream_types, self._stream_totals, table = totals
        self._stream_ngrams = [(level.keys, level.counts) for level in table.levels]

    def _learn(self, counted, *, n_documents):
        kept = super()._learn(counted, n_documents=n_documents)
        if isinstance(counted, NGramTotals):
            columns = self._columns_of_types(counted, kept)
            if columns.min() < 0:
                raise ValueError(
                    f"{type(self).__name__} with unk_token=None drops tokens, whose neighbours "
                    "become neighbours, and which these are is not known before the last batch "
                    "or partition. Set unk_token, or fit on all documents in memory."
                )
            columns = np.append(columns, -1 if self.eos_index_ is None else self.eos_index_)
            table = join_tables([counted.table], columns=[columns], n_tokens=len(self._names))
            self._keep_trie(Trie.of_table(table.select(self._frequent(table)), eos=columns[-1]))
        return kept

    def _frequent(self, table):
        return table.frequent(min_count=self.min_ngram_count, max_ngrams=self.max_ngrams)

    def _keep_trie(self, trie):
        self.trie_, self.order_, self.n_features_in_ = trie, trie.order, trie.n_events

    def _line_up(self, counted, columns):
        return counted.line_up(columns, end_column=self.eos_index_)

    def _count_texts(self, texts) -> sp.csr_array:
        return self.trie_.events(*self._ids_of(texts))

    def _count_learned(self, counted, columns):
        ids, starts = self._line_up(counted, columns)
        table, arcs = count_ngrams(ids, starts, len(self._names), self.order)
        eos = -1 if self.eos_index_ is None else self.eos_index_
        trie = Trie.of_table(table, eos=eos)
        events = trie.events_of_arcs(ids, starts, arcs)
        kept = self._frequent(table)
        if all(mask.all() for mask in kept):
            self._keep_trie(trie)
            return events
        mask = np.concatenate([np.ones(trie.n_tokens, bool), *kept])
        self._keep_trie(Trie.of_table(table.select(kept), eos=eos))
        numbers = np.where(mask, np.cumsum(mask) - 1, -1)
        events = sp.csr_array(events @ trie.projection(self.trie_, numbers))
        events.sort_indices()
        return events

    def transform_after(self, prompts, X) -> sp.csr_array:
        """Count documents that go on from prompts, which themselves are not counted.

        Parameters
        ----------
        prompts : sequence of str (n_documents,)
            What comes before each document; its first tokens are counted in the context of the
            last ones of the prompt.
        X : sequence of str (n_documents,)
            Documents.

        Returns
        -------
        counts : csr_array of shape (n_documents, n_columns)
            As `transform` returns them.

        Raises
        ------
        ValueError
            If it was fitted on counts, or there is not a prompt for each document.
        """
        check_is_fitted(self)
        subject = type(self).__name__
        before, texts = (check_texts(given, subject=subject) for given in (prompts, X))
        if before is None or texts is None or len(before) != len(texts) or self.trie_ is None:
            raise ValueError(
                f"{subject}.transform_after needs a fit on text, and as many prompts as texts, got "
                f"{reprlib.repr(prompts)} and {reprlib.repr(X)}. Pass lists of str, equally long."
            )
        *_, ends = self.trie_.walk(*self._ids_of(before))
        return self.trie_.events(*self._ids_of(texts), ends)

    def _columns_of_tokens(self, tokens) -> np.ndarray:
        """Return the columns (n,) that texts (n,) are as single tokens; -1 for any that is none."""
        counted = self._count_types(list(tokens))
        ids, starts = counted.line_up(self._columns_of_types(counted))
        is_one = np.diff(starts) == 1
        columns = np.full(len(is_one), -1)
        columns[is_one] = ids[starts[:-1][is_one]]
        return columns

    def _ids_of(self, texts):
        """Return the columns of the tokens of texts in their order, and where each text starts."""
        return self._number(texts)[:2]

    def _number(self, texts):
        """Return what `_ids_of` does, and how many tokens were dropped for want of a column."""
        ids, starts = self._marked_ids_of(texts)
        if self.unk_index_ is not None:
            return ids, starts, 0
        is_known = ids < len(self._names)
        n_dropped = len(ids) - int(np.count_nonzero(is_known))
        if n_dropped:
            ids, starts = ids[is_known], np.append(0, np.cumsum(is_known))[starts]
        return ids, starts, n_dropped

    def _marked_ids_of(self, texts):
        """Return columns and starts; what is to be dropped has the column behind the last."""
        is_made = "_token_numbers" in vars(self)
        found = number_tokens(
            texts,
            self._rule,
            lambda: self._token_numbers,
            end=self.eos_index_,
            least=0 if is_made else _WORTH_A_NAME * len(self._names),
            literals=self._special_literals(),
            lowercase=self.lowercase,
        )
        if found is not None:
            return found
        counted = self._count_types(texts)
        columns = self._columns_of_types(counted)
        return self._line_up(counted, np.where(columns < 0, len(self._names), columns))

    @cached_property
    def _token_numbers(self):
        """What finds the columns of tokens; made when text that is long enough asks for it."""
        special = self._special_literals()
        names = self._names.tolist()
        columns = [column for column, name in enumerate(names) if name not in special]
        rest = len(names) if self.unk_index_ is None else self.unk_index_
        return TokenNumbers([names[column] for column in columns], np.array(columns, int), rest)

    def __getstate__(self):
        state = super().__getstate__()
        state.pop("_token_numbers", None)  # made anew when it is asked for
        return state

    def _token_counts(self, counts):
        tokens = sp.csr_array(counts @ self.trie_.token_map)
        tokens.sort_indices()
        return tokens

    def decode(self, X) -> list[str]:
        """Turn counts back into text, of order 1; counts of n-grams do not say what comes first.

        Parameters
        ----------
        X : array-like or sparse of shape (n_documents, n_columns)
            Counts: non-negative integers, of any dtype.

        Returns
        -------
        texts : list of str
            One per document, as of :class:`TokenCounter`.

        Raises
        ------
        ValueError
            If it counts n-grams of more than one token.
        """
        check_is_fitted(self)
        if self.order_ > 1:
            raise ValueError(
                f"{type(self).__name__} of order {self.order_} cannot decode counts: texts with "
                "equal counts of n-grams may differ. Take the tokens alone by inverse_transform."
            )
        return super().decode(X)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Name the columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names for the columns of a count matrix; ignored if fitted on text.

        Returns
        -------
        names : ndarray of str objects of shape (n_columns,)
            N-grams as their tokens, joined by a space, the start of a document being ``<s>``, or
            ``(<s>)`` where that is a token. What counts a context has two spaces behind it, and
            ``(backed off)`` or ``(end)``. If fitted on counts, as of :class:`TokenCounter`.
        """
        names = super().get_feature_names_out(input_features)
        if self.trie_ is None:
            return names
        arcs, contexts = self.trie_.spell(names)
        backed_off = [f"{name}  (backed off)" for name in contexts[1:]]
        ends = [f"{name}  (end)" for name in contexts[1:]]
        return np.array([*arcs, *backed_off, *ends], dtype=object)
