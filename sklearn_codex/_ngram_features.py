"""Text to counts of all n-grams of a trie, the features of models that are linear in them."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from sklearn_codex._checks.frames import is_frame
from sklearn_codex._checks.matrices import as_csr, check_numbers
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._ngram_counter import NGramCounter

__all__ = ["NGramFeatures"]


@link_estimators
class NGramFeatures(NGramCounter):
    r"""Convert documents to counts of n-grams, the features of models that are linear in them.

    Each n-gram is counted wherever it occurs, so also in longer ones: in "the big dog" that are
    "the big dog", "big dog" and "dog". The :class:`NGramCounter` counts only the longest, beside
    what a back-off model has to know of a document; a weight of its "big dog" would say nothing of
    "the big dog". Here a rare n-gram has a small weight of its own beside those of the n-grams that
    it ends with, which it shares with others.

    Parameters
    ----------
    order : int, default=3
        Tokens of the longest n-grams.
    tokenizer : str or callable, default="script"
        How a text is split into tokens, as of :class:`NGramCounter`.
    min_ngram_count : int, default=1
        An n-gram of two tokens or more that occurs fewer times than this in the corpus gets no
        column.
    max_ngrams : int, default=None
        Keep only this many n-grams of two tokens or more, the most frequent.
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
        End of document: a token behind the last one of every text, so that an n-gram may say how
        documents end.
    vocabulary : mapping of str to int, or array-like of str, default=None
        A fixed vocabulary, as of :class:`TokenCounter`; n-grams of it are learned.

    Attributes
    ----------
    order_ : int
        Tokens of the longest n-grams that are counted; 1 if fitted on counts.
    trie_ : Trie or None
        The n-grams. None if fitted on counts.
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
    NGramCounter : What back-off models count.
    PreferenceRewardModel : Makes these features of an ``NGramCounter`` that it is given.

    Notes
    -----
    **Columns.** The tokens, then the n-grams of two tokens, of three, and so on, those of the
    :class:`NGramCounter` with the same parameters. One that begins with ``<s>`` occurs at the start
    of a document only.

    **Counts of an** :class:`NGramCounter` of the same n-grams, which have more columns, are taken
    too, and become counts of n-grams: the sum over the n-grams that end with each. Differences of
    such counts are features of pairs, so that models of preferences take them as well.

    Examples
    --------
    >>> from sklearn_codex import NGramFeatures
    >>> features = NGramFeatures(order=2, unk_token=None).fit(["a b", "a a"])
    >>> features.get_feature_names_out().tolist()
    ['a', 'b', 'a a', 'a b', '<s> a']
    >>> features.transform(["b a b"]).toarray()
    array([[1., 2., 0., 1., 0.]])
    """

    _counts_events = False

    @classmethod
    def of_counter(cls, counter: NGramCounter) -> "NGramFeatures":
        """Return the features of the n-grams of a counter, fitted if it is.

        Parameters
        ----------
        counter : NGramCounter
            Its parameters and its n-grams are those of the features.

        Returns
        -------
        features : NGramFeatures
        """
        features = cls()
        features.__dict__.update(counter.__dict__)
        if getattr(counter, "trie_", None) is not None:
            features._keep_trie(counter.trie_)
        return features

    def _keep_trie(self, trie):
        super()._keep_trie(trie)
        self.n_features_in_ = trie.n_arcs

    def count_ngrams(self, X, *, ensure_non_negative=False) -> Any:
        """Return numbers in the columns of the counter of the same n-grams in the own ones.

        Parameters
        ----------
        X : array-like or sparse of shape (n, E) or (n, n_columns)
            Counts of an `NGramCounter`, or their differences; what has not as many columns, and is
            no matrix of numbers, is returned as it is.
        ensure_non_negative : bool, default=False
            Whether none of them may be negative.

        Returns
        -------
        counts : ndarray or csr_array of shape (n, n_columns)
        """
        trie = getattr(self, "trie_", None)
        if trie is None or trie.order == 1 or is_frame(X, type(self).__name__):
            return X
        if np.shape(X)[1:] != (trie.n_events,):
            return X
        subject = type(self).__name__
        events = check_numbers(X, subject=subject, ensure_non_negative=ensure_non_negative)
        counts = events @ trie.cumulative
        return as_csr(counts) if sp.issparse(counts) else counts

    def _count_texts(self, texts) -> sp.csr_array:
        return self.count_ngrams(super()._count_texts(texts))

    def _count_learned(self, counted, columns):
        return self.count_ngrams(super()._count_learned(counted, columns))

    def _check_counts(self, X, *, reset: bool) -> sp.csr_array:
        if not reset:
            X = self.count_ngrams(X, ensure_non_negative=True)
        return super()._check_counts(X, reset=reset)

    def transform_after(self, prompts, X) -> sp.csr_array:
        """Count documents that go on from prompts, which themselves are not counted.

        Parameters
        ----------
        prompts : sequence of str (n_documents,)
            What comes before each document. An n-gram that begins in it counts.
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
        return self.count_ngrams(super().transform_after(prompts, X))

    def _token_counts(self, counts):
        return counts[:, : self.trie_.n_tokens] if self.trie_ is not None else counts

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
            ``(<s>)`` where that is a token. If fitted on counts, as of :class:`TokenCounter`.
        """
        return super().get_feature_names_out(input_features)[: self.n_features_in_]
