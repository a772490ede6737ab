"""Pretraining: a unigram language model with additive smoothing."""

from numbers import Real

from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin

from sklearn_codex._categorical import FloatArray, normalize_log, safe_log
from sklearn_codex._checks.numbers import Amount
from sklearn_codex._data.corpora import read_corpus
from sklearn_codex._data.vectorizers import COUNTER
from sklearn_codex._fits import whole_fit
from sklearn_codex._language.categorical import CategoricalLanguageModelMixin
from sklearn_codex._language.model import add_counts, forget_counts
from sklearn_codex._stage import Stage


class UnigramLM(
    CallbackSupportMixin,
    CategoricalLanguageModelMixin,
    DensityMixin,
    BaseEstimator,
):
    """Unigram language model with additive (Lidstone) smoothing.

    The pretrained model M0 of the RLHF loop: one categorical distribution over the vocabulary,
    estimated from token counts.

    Parameters
    ----------
    smoothing : float, default=1.0
        Count added to each token of the vocabulary: 1 is Laplace smoothing, 0 the maximum
        likelihood estimate (tokens never seen then have probability zero).
    vectorizer : transformer, default=None
        Turns text into counts; None means ``TokenCounter()``. Wrapped in ``FrozenEstimator`` it is
        used as it is, and names the columns of counts.

    Attributes
    ----------
    token_log_prob_ : ndarray of shape (V,)
        Natural logarithm of each token's probability.
    token_count_ : ndarray of shape (V,)
        Weighted number of occurrences of each token, the sufficient statistic.
    n_tokens_ : float
        Their sum.
    n_documents_ : float
        Weighted number of documents seen.
    document_length_ : int
        Mean tokens per document, rounded, at least 1; the length of sampled documents.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the model was fitted on unnamed counts.
    n_features_in_ : int
        V, the number of tokens in the vocabulary.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where counts came as a data frame with string column names.

    See Also
    --------
    SFTRefiner : Updates such a model on demonstrations.
    PPOPolicyOptimizer : Optimises such a model against a reward.

    Notes
    -----
    With :math:`n_t` occurrences of token t, N in all and smoothing a,

    .. math:: p(t) = (n_t + a) / (N + a V),

    the posterior mean under a symmetric Dirichlet prior of concentration a.

    References
    ----------
    .. [1] Chen, S. F. and Goodman, J. (1999). "An empirical study of smoothing techniques for
       language modeling." Computer Speech & Language 13(4), 359-394.

    Examples
    --------
    >>> from sklearn_codex import UnigramLM
    >>> model = UnigramLM().fit(["the cat sat", "the dog sat on the cat"])
    >>> model.predict(["a new document"])
    array(['the'], dtype=...)
    >>> round(model.perplexity(["the bird sat"]), 2)
    6.55
    """

    _parameter_constraints: dict = {
        "smoothing": [Amount(Real, 0, None, closed="left")],
        "vectorizer": [COUNTER, None],
    }

    rlhf_stage = Stage(reads=("corpus",), provides="policy")

    token_log_prob_: FloatArray

    def __init__(self, smoothing=1.0, *, vectorizer=None):
        self.smoothing = smoothing
        self.vectorizer = vectorizer

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Estimate the token probabilities.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents, raw text or counts; also a dask bag of texts or array of counts, which are
            counted where they are.
        y : None
            Ignored, present for the scikit-learn API.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of documents: a weight of 2 is the document twice. For dask documents also a
            dask bag or array with the same partitions.

        Returns
        -------
        self : UnigramLM
        """
        forget_counts(self)
        return self._update(X, sample_weight, task_name="fit")

    @whole_fit(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Add documents to those seen so far.

        A sequence of calls equals one ``fit`` on all documents, where the columns are the same: the
        first call fixes them. With text, give a fitted vectorizer in ``FrozenEstimator`` (or a
        ``TokenCounter`` with a fixed vocabulary); else the vocabulary is that of the first call and
        later new tokens count as unknown.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents, raw text or counts.
        y : None
            Ignored, present for the scikit-learn API.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of documents.

        Returns
        -------
        self : UnigramLM
        """
        return self._update(X, sample_weight, task_name="partial_fit")

    def _update(self, X, sample_weight, *, task_name):
        first = not hasattr(self, "token_count_")
        corpus = read_corpus(self, X, sample_weight, reset=first, vectorizer=self.vectorizer)
        context = self._init_callback_context(task_name=task_name)
        context.call_on_fit_task_begin(estimator=self, X=X)
        add_counts(self, corpus)
        self._set_probabilities()
        context.call_on_fit_task_end(estimator=self, X=X)
        return self

    def _set_probabilities(self):
        """Derive the probabilities from the sufficient statistic."""
        smoothed = self.token_count_ + self.smoothing
        if not smoothed.sum() > 0:
            raise ValueError(
                "UnigramLM with smoothing=0 needs at least one token, got documents with none. Set "
                "smoothing above 0 or leave out empty documents."
            )
        self.token_log_prob_ = normalize_log(safe_log(smoothed))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        return tags
