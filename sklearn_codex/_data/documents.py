"""The one place where raw text becomes document-term counts.

Every estimator that takes documents derives from :class:`DocumentsMixin` and calls
:meth:`DocumentsMixin._check_documents`, so text and counts are the same thing everywhere else.
"""

from functools import partial

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils.validation import (
    NotFittedError,
    _get_feature_names,
    check_is_fitted,
)

from sklearn_codex._checks.matrices import (
    as_csr,
    check_frame,
    check_numbers,
    check_sparse,
    validate_numbers,
)
from sklearn_codex._checks.numbers import check_sample_weight
from sklearn_codex._partitions import (
    holds_text,
    is_collection,
    map_partitions,
    reader_of,
    reduce_partitions,
    split,
    split_rows,
    stand_in,
)
from sklearn_codex.text import TokenCounter, check_texts


def unwrap(estimator):
    """Return the estimator inside any number of ``FrozenEstimator`` wrappers."""
    while isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return estimator


def freeze(estimator):
    """Wrap a fitted estimator in ``FrozenEstimator``, once."""
    return estimator if isinstance(estimator, FrozenEstimator) else FrozenEstimator(estimator)


def column_names(vectorizer):
    """Return the names (V,) of a fitted vectorizer's columns; None where it has none, as a hash."""
    try:
        return vectorizer.get_feature_names_out()
    except AttributeError:
        return None


def check_fitted_model(model, *, parameter, subject):
    """Return the fitted model inside ``model`` or say that a fit was lost.

    Parameters
    ----------
    model : estimator
        A fitted estimator, wrapped in ``FrozenEstimator`` or not.
    parameter : str
        The constructor parameter that holds it, for the message.
    subject : str
        The estimator that was given it, for the message.

    Raises
    ------
    NotFittedError
        If the model is not fitted. ``clone`` (so also cross-validation) forgets the fit of a plain
        estimator, hence the remedy.
    """
    inner = unwrap(model)
    try:
        check_is_fitted(inner)
    except NotFittedError:
        raise NotFittedError(
            f"{subject} needs a fitted {parameter}, got an unfitted {type(inner).__name__}. Fit it "
            f"first and pass {parameter}=FrozenEstimator(fitted) (sklearn.frozen), so that clone, "
            "cross_val_score and GridSearchCV keep the fit."
        ) from None
    return inner


def count_texts(vectorizer, texts, *, subject):
    """Return the counts (n, V) of texts by a fitted vectorizer, as a canonical csr_array."""
    return check_counted(vectorizer.transform(texts), subject=subject)


def check_counted(counts, *, subject):
    """Return what a vectorizer made of texts (n, V) as a canonical csr_array."""
    if sparse.issparse(counts):
        counts = check_sparse(counts, subject=subject, name="the counts of its vectorizer")
    return as_csr(counts)


def fit_on_texts(vectorizer, texts, *, subject):
    """Fit a vectorizer on a dask bag of texts, or say why it cannot be.

    Raises
    ------
    ValueError
        If it is neither a ``TokenCounter`` nor one that has nothing to learn.
    """
    if isinstance(vectorizer, TokenCounter):
        vectorizer.fit(texts)
    elif not isinstance(vectorizer, FrozenEstimator) and get_tags(vectorizer).requires_fit:
        raise ValueError(
            f"{subject} cannot fit the vectorizer {type(vectorizer).__name__} on a dask "
            "collection, only a TokenCounter, whose counts add up over partitions. Fit it on a "
            "sample in memory and pass vectorizer=FrozenEstimator(fitted)."
        )


def count_columns(vectorizer, documents=("a",)):
    """Return the number of columns of a fitted vectorizer: of its names, or of any documents."""
    names = column_names(vectorizer)
    return vectorizer.transform(documents).shape[1] if names is None else len(names)


def check_document_weights(sample_weight, X, counts, *, subject):
    """Return the weights of documents (n,); for a dask collection X, those of each partition."""
    if is_collection(X):
        return split_rows(X, subject=subject, sample_weight=sample_weight)[1]
    return check_sample_weight(
        sample_weight,
        counts,
        dtype=np.float64,
        ensure_non_negative=True,
        allow_all_zero_weights=False,
    )


def sum_documents(counts, weight, *, subject):
    """Return the weighted sum of documents (V,) and of their weights.

    Parameters
    ----------
    counts : csr_array of shape (n, V), or dask array of such blocks
    weight : ndarray of shape (n,), or what belongs to each block
    subject : str
        Who asks, for messages.
    """
    if not is_collection(counts):
        token_count = counts.T @ weight
        check_total(token_count, subject=subject)
        return token_count, float(weight.sum())
    sums = reduce_partitions(_sum_block, split(counts, subject=subject), weight)
    if sums is None:
        raise ValueError(f"{subject} got 0 documents in X. Pass at least one document.")
    if not sums[1] > 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")
    check_total(sums[0], subject=subject)
    return sums


def check_total(token_count, *, subject):
    """Check that counts (V,) add to a number that is a float."""
    with np.errstate(over="ignore"):
        total = float(np.sum(token_count))
    if not total < np.inf:
        raise ValueError(
            f"{subject} got counts of {np.max(token_count):.3g} for one token, whose sum is beyond "
            "the range of floats. Divide the counts, or the sample weights, by a constant."
        )


def _sum_block(counts, weight):
    weight = check_sample_weight(
        weight,
        counts,
        dtype=np.float64,
        ensure_non_negative=True,
        allow_all_zero_weights=True,  # of a partition
    )
    return counts.T @ weight, float(weight.sum())


class DocumentsMixin:
    """Turns documents, raw text or counts, into CSR counts. It does this and nothing more."""

    # Whether a difference of counts, which can be negative, is taken where counts are.
    _takes_differences = False
    # Whether a fit is a sum over documents, so that it takes those of a dask collection.
    _takes_partitions = False

    def _check_documents(self, X, *, reset, vectorizer=None):
        """Return the counts (n, V) of documents given as text or as counts.

        Sets ``vectorizer_``, ``n_features_in_`` and, for data frames of counts,
        ``feature_names_in_`` when ``reset`` is true; otherwise checks X against them.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents.
        reset : bool
            Whether this call defines the columns (in ``fit``) or has to meet them.
        vectorizer : estimator, default=None
            Counts the text when ``reset`` is true; None means a ``TokenCounter()``. One wrapped in
            ``FrozenEstimator`` is used as it is, also to name the columns of counts.

        Returns
        -------
        counts : csr_array of shape (n_documents, V), float64
        """
        subject = type(self).__name__
        texts = check_texts(X, subject=subject)
        if texts is None:
            return self._check_counts(X, reset=reset, vectorizer=vectorizer)
        if reset:
            self.vectorizer_ = clone(TokenCounter() if vectorizer is None else vectorizer)
            self.vectorizer_.fit(texts, None)
        elif self.vectorizer_ is None:
            raise ValueError(
                f"{subject} was fitted on counts, so it knows columns and no words, but got text. "
                f"Pass a count matrix of {self.n_features_in_} columns, or fit it on text, or give "
                "it vectorizer=FrozenEstimator(fitted TokenCounter)."
            )
        return self._count(texts, reset=reset)

    def _check_document_partitions(self, X, *, reset, vectorizer=None):
        """Return the counts of a dask bag of texts or array of counts, as a dask array.

        The same as :meth:`_check_documents`, done to each partition once the columns are known. To
        learn a vocabulary is a pass over the data; counting waits until it is asked for.

        Returns
        -------
        counts : dask array of shape (n_documents, V)
            Of csr_array blocks. How many rows they have is not known for texts.
        """
        subject = type(self).__name__
        if reset and holds_text(X):
            self.vectorizer_ = clone(TokenCounter() if vectorizer is None else vectorizer)
            fit_on_texts(self.vectorizer_, X, subject=subject)
            self.n_features_in_ = count_columns(self.vectorizer_)
            self.__dict__.pop("feature_names_in_", None)
        elif reset:
            self._check_counts(stand_in(X, subject=subject), reset=True, vectorizer=vectorizer)
        reader = reader_of(self, "vectorizer_", "n_features_in_", "feature_names_in_")
        return map_partitions(
            partial(reader._check_documents, reset=False),
            X,
            empty=sparse.csr_array((0, self.n_features_in_)),
            subject=subject,
        )

    def _check_counts(self, X, *, reset, vectorizer):
        """Validate a count matrix; the names of its columns, if any, have to be those known."""
        not_negative = not self._takes_differences
        given = _get_feature_names(check_frame(X, type(self).__name__))
        if not reset and self.vectorizer_ is not None and given is not None:
            self._check_column_names(given)
            if not hasattr(self, "feature_names_in_"):
                # Names were checked; scikit-learn would warn that it knows none.
                X = check_numbers(X, subject=type(self).__name__, ensure_non_negative=not_negative)
        counts = validate_numbers(self, X, reset=reset, ensure_non_negative=not_negative)
        if reset:
            self._name_columns_of_counts(vectorizer)
            if self.vectorizer_ is not None and given is not None:
                self._check_column_names(given)
        return as_csr(counts)

    def _check_column_names(self, given):
        """Check the names of a data frame's columns against the tokens of the vectorizer."""
        names = column_names(self.vectorizer_)
        if names is None or len(given) != len(names):
            return
        if not np.array_equal(given, names):
            raise ValueError(
                f"{type(self).__name__} got counts whose columns are named otherwise than the "
                f"tokens of its vectorizer: the first difference is "
                f"{_first_difference(given, names)}. Reorder the columns as "
                "vectorizer_.get_feature_names_out()."
            )

    def _name_columns_of_counts(self, vectorizer):
        """Keep a frozen vectorizer beside counts if it has as many columns as they have."""
        self.vectorizer_ = None
        if not isinstance(vectorizer, FrozenEstimator):
            return
        names = column_names(vectorizer)
        if names is None:
            return
        if len(names) != self.n_features_in_:
            raise ValueError(
                f"{type(self).__name__} got counts of {self.n_features_in_} columns, but its "
                f"frozen vectorizer knows {len(names)} tokens. Count with that vectorizer, or "
                "leave vectorizer=None to have unnamed columns."
            )
        self.vectorizer_ = vectorizer

    def _count(self, texts, *, reset):
        """Count texts with the fitted vectorizer; a document without a token is an error."""
        counts = count_texts(self.vectorizer_, texts, subject=type(self).__name__)
        if reset:
            self.n_features_in_ = counts.shape[1]
            self.__dict__.pop("feature_names_in_", None)
        invalid = counts.data[~((counts.data > 0) & np.isfinite(counts.data))]
        if invalid.size:
            raise ValueError(
                f"{type(self).__name__} got {invalid[0]} as a count from its vectorizer "
                f"({type(unwrap(self.vectorizer_)).__name__}). Use one whose counts are finite and "
                "not negative, such as TokenCounter."
            )
        empty = np.flatnonzero(counts.sum(axis=1) == 0)
        if empty.size:
            raise ValueError(
                f"{type(self).__name__} got {empty.size} document(s) without a token, the first at "
                f"position {empty[0]}: {texts[empty[0]]!r:.60}. Leave out such documents, or count "
                "with unk_token or eos_token set, so that each has at least one token."
            )
        return counts

    def _token_names(self):
        """Return the names (V,) of the columns, or None where only columns are known."""
        if self.vectorizer_ is not None:
            return column_names(self.vectorizer_)
        return getattr(self, "feature_names_in_", None)


def check_base_model(estimator, X, *, model, parameter, vectorizer):
    """Return the counts of X in the columns of an incoming language model, and its probabilities.

    Parameters
    ----------
    estimator : DocumentsMixin
        The estimator being fitted; its columns are defined here.
    X : sequence of str or array-like of shape (n_documents, V)
        Documents.
    model : fitted language model or None
        The incoming model, in ``FrozenEstimator`` or not. None: the columns are those of X.
    parameter : str
        The constructor parameter that holds it, for messages.
    vectorizer : transformer or None
        The estimator's own vectorizer; None means the model's.

    Returns
    -------
    counts : csr_array of shape (n_documents, V)
    log_prob : ndarray of shape (V,) or None
        The model's ``token_log_prob_``; None without a model.
    """
    in_partitions = is_collection(X) and estimator._takes_partitions
    check = estimator._check_documents
    if in_partitions:
        check = estimator._check_document_partitions
    if model is None:
        return check(X, reset=True, vectorizer=vectorizer), None
    subject = type(estimator).__name__
    inner = check_fitted_model(model, parameter=parameter, subject=subject)
    if not hasattr(inner, "token_log_prob_"):
        raise TypeError(
            f"{subject} needs a language model as {parameter}, one with token_log_prob_, got "
            f"{type(inner).__name__}. Pass a fitted UnigramLM, SFTRefiner or PPOPolicyOptimizer."
        )
    if vectorizer is None and inner.vectorizer_ is not None:
        vectorizer = freeze(inner.vectorizer_)
    if in_partitions:
        is_text = holds_text(X)
    else:
        is_text = check_texts(X, subject=subject) is not None
    if is_text and vectorizer is None:
        raise ValueError(
            f"{subject} got text, but its {parameter} was fitted on counts and knows columns, no "
            f"words. Pass counts of {inner.n_features_in_} columns, or fit the {parameter} on "
            "text, or give vectorizer=FrozenEstimator(fitted TokenCounter)."
        )
    counts = check(X, reset=True, vectorizer=vectorizer)
    log_prob = np.array(inner.token_log_prob_)
    if counts.shape[1] != len(log_prob):
        raise ValueError(
            f"{subject} got documents of {counts.shape[1]} columns, but its {parameter} "
            f"({type(inner).__name__}) has {len(log_prob)}. Count them with the vectorizer of the "
            f"{parameter}."
        )
    names, base_names = estimator._token_names(), inner._token_names()
    if names is not None and base_names is not None and not np.array_equal(names, base_names):
        raise ValueError(
            f"{subject} got documents whose columns are named otherwise than those of its "
            f"{parameter}: the first difference is {_first_difference(names, base_names)}. Count "
            f"them with the vectorizer of the {parameter}."
        )
    return counts, log_prob


def _first_difference(names, others):
    """Describe the first place where two equally long arrays of names differ."""
    place = int(np.flatnonzero(np.asarray(names) != np.asarray(others))[0])
    return f"column {place}, {names[place]!r} and {others[place]!r}"
