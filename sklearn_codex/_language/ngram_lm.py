"""Pretraining with word order: a back-off n-gram language model from documents."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_codex._checks.numbers import Amount
from sklearn_codex._data.corpora import read_corpus
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.vectorizers import COUNTER, token_names, trie_of
from sklearn_codex._fits import caller_level, whole_fit
from sklearn_codex._language.backoff import BackoffLanguageModelMixin, read_model
from sklearn_codex._language.distributions import BackoffDistribution, CategoricalDistribution
from sklearn_codex._language.model import NarrowCounts, add_counts, forget_counts
from sklearn_codex._ngram_counter import NGramCounter
from sklearn_codex._ngrams.arpa import LONGEST
from sklearn_codex._ngrams.smoothing import dirichlet, kneser_ney, witten_bell
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex._stage import Stage
from sklearn_codex.exact._ngram_flow import PolicyFlow

_ORDER = 3  # where nobody says which
# What a vectorizer does that knows no order.
_COUNTS = "does not tell in which order it finds what it counts, each column being a token"
# Tokens of a mean document up to which floats tell when it ends.
_LONGEST_MEAN = 1e6


class NGramLM(
    CallbackSupportMixin,
    BackoffLanguageModelMixin,
    DensityMixin,
    BaseEstimator,
):
    r"""Back-off n-gram language model: each token is predicted from the ones before it.

    The pretrained model M0 of the RLHF loop, as :class:`UnigramLM`, but one that sees up to
    ``order - 1`` tokens of what is already written. In a context that was never seen a shorter
    one is asked, so that every distribution sums to one and no document is impossible.

    Parameters
    ----------
    order : int, default=3
        Tokens of the longest n-grams, the one predicted included. Counts without a vectorizer know
        no order of tokens: then it is 1, as in ``order_``.
    smoothing : {"kneser-ney", "witten-bell", "dirichlet"} or float, default="kneser-ney"
        How much of a distribution comes from the shorter context, see Notes. A float is a count
        added to each token, as the ``smoothing`` of :class:`UnigramLM`, which a model of order 1
        then is; in longer contexts what is added is spread as the shorter context says.
    prior_strength : float, default=4.0
        With "dirichlet" the weight of the shorter context, in tokens.
    vectorizer : transformer, default=None
        Turns text into counts; None means ``NGramCounter(order)``. One of lower order makes the
        model one of that order, with a warning where ``order`` is above 3, which somebody has set;
        one that knows no order of tokens, with a warning, a model of order 1. Counts of a higher
        order are reduced to those of ``order``. Wrapped in ``FrozenEstimator`` it is used as it is.

    Attributes
    ----------
    order_ : int
        Tokens of the longest n-grams of the model.
    arc_log_prob_ : ndarray of shape (n_ngrams,)
        Natural logarithm of the probability of the last token of each n-gram after the others; the
        first V are those of single tokens, after nothing. In the order of the vectorizer's columns.
    backoff_log_weight_ : ndarray of shape (n_contexts,)
        Natural logarithm of what the probability in the shorter context is multiplied by where a
        token is not known after a context; 0 for the empty one, which is the first.
    token_log_prob_ : ndarray of shape (V,)
        The distribution of tokens, of a model of order 1; other models do not have it.
    discounts_ : ndarray of shape (order, 3) or None
        What was taken off counts of 1, of 2, and of 3 or more, by the length of n-grams. None
        without "kneser-ney".
    is_fallback_ : ndarray of bool of shape (order,) or None
        Whether there are too few n-grams of a length to estimate discounts, as where none has a
        count of 1, 2, 3 or 4, so that they are 0.5, 1 and 1.5.
    event_count_ : ndarray of shape (n_columns,)
        Weighted sum of the documents' counts, the sufficient statistic.
    n_tokens_ : float
        Weighted number of tokens.
    n_documents_ : float
        Weighted number of documents seen.
    document_length_ : int
        Mean tokens per document, rounded, at least 1; the length of sampled documents where there
        is no end-of-sequence token.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the model was fitted on unnamed counts.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_columns,)
        Names of columns, where counts came as a data frame with string column names.

    See Also
    --------
    NGramCounter : Counts of n-grams from text.
    UnigramLM : A model that sees no order of tokens.
    SFTRefiner : Updates such a model on demonstrations.

    Notes
    -----
    All estimates interpolate with the context h' that is one token shorter, in the last place with
    1 / V. With n(h, w) how often w follows h, and N(h) the sum over w,

    .. math:: p(w | h) = s(h, w) + \gamma(h) \, p(w | h'), \qquad \sum_w s(h, w) + \gamma(h) = 1.

    - "kneser-ney": :math:`s = (c(h, w) - D(c(h, w))) / \sum_w c(h, w)`, modified Kneser-Ney [1]_.
      c is n for the longest n-grams and for those at the start of a document; for others it is the
      number of different tokens before h w. With :math:`t_j` n-grams of a length whose c is j and
      :math:`Y = t_1 / (t_1 + 2 t_2)`, :math:`D(j) = j - (j + 1) Y t_{j+1} / t_j` for j up to 3,
      and D(3) beyond, where none of :math:`t_1` to :math:`t_4` is 0, so that D(j) is below j, and
      no D(j) is below 0; else they are 0.5, 1 and 1.5.
    - "witten-bell": :math:`s = n(h, w) / (N(h) + T(h))`, T being the number of different tokens
      after h [1]_.
    - "dirichlet": :math:`s = n(h, w) / (N(h) + \kappa)`, the posterior mean under a Dirichlet
      prior of strength :math:`\kappa` around the shorter context [2]_.

    Tokens that backed off, because the vectorizer does not know the n-gram (as after pruning),
    count in N(h) and are given to the shorter context, as n-grams seen once each. Weighted counts
    may be fractions: D and t are linear between whole ones, and a token before counts for
    min(n, 1).

    In the form of ARPA files, a known n-gram has its probability, and any other token
    :math:`\gamma(h) \, p(w | h')`.

    References
    ----------
    .. [1] Chen, S. F. and Goodman, J. (1999). "An empirical study of smoothing techniques for
       language modeling." Computer Speech & Language 13(4), 359-394.
    .. [2] MacKay, D. J. C. and Bauman Peto, L. C. (1995). "A hierarchical Dirichlet language
       model." Natural Language Engineering 1(3), 289-308.

    Examples
    --------
    >>> from sklearn_codex import NGramLM
    >>> model = NGramLM(order=2).fit(["the cat sat", "the dog sat on the cat"])
    >>> model.predict(["the", "a dog"])
    array(['cat', 'sat'], dtype='<U3')
    >>> round(model.perplexity(["the dog sat"]), 2)
    2.22
    """

    _parameter_constraints: dict = {
        "order": [Interval(Integral, 1, LONGEST, closed="both")],
        "smoothing": [
            StrOptions({"kneser-ney", "witten-bell", "dirichlet"}),
            Amount(Real, 0, None, closed="left"),
        ],
        "prior_strength": [Amount(Real, 0, None, closed="left")],
        "vectorizer": [COUNTER, None],
    }

    rlhf_stage = Stage(reads=("corpus",), provides="policy")
    _reads_ngrams = True

    event_count_ = NarrowCounts()

    def __init__(
        self, order=_ORDER, *, smoothing="kneser-ney", prior_strength=4.0, vectorizer=None
    ):
        self.order = order
        self.smoothing = smoothing
        self.prior_strength = prior_strength
        self.vectorizer = vectorizer

    @classmethod
    def from_arpa(cls, path, *, tokenizer="whitespace", lowercase=False):
        """Read a model from an ARPA file, as KenLM and SRILM write them.

        Probabilities are scaled in each context to sum to one, which rounding in the file keeps
        them from. Such a model has no counts to go on with by ``partial_fit``; refine it by
        :class:`SFTRefiner`.

        Parameters
        ----------
        path : str or path-like
            The file, as it is or packed, by gzip or otherwise.
        tokenizer : str or callable, default="whitespace"
            How texts are split, as of :class:`NGramCounter`; files do not say.
        lowercase : bool, default=False
            Whether texts are to be in lower case.

        Returns
        -------
        model : NGramLM
            Fitted. Its ``vectorizer`` knows the tokens of the file, with ``<unk>`` and ``</s>`` as
            ``unk_token`` and ``eos_token`` where these are listed. ``document_length_`` is the mean
            length of the documents that the model draws, rounded; 1 where they have no end, or
            hardly ever one: more than a million tokens. Without ``</s>`` set it before ``sample``,
            which warns else.

        Raises
        ------
        OSError
            If the file cannot be opened.
        ValueError
            If it is no ARPA file, or damaged.
        """
        vectorizer, backoff = read_model(path, tokenizer=tokenizer, lowercase=lowercase)
        model = cls(backoff.trie.order, vectorizer=vectorizer)
        model.vectorizer_, model._backoff = vectorizer, backoff
        model._read_trie, model.order_ = backoff.trie, backoff.trie.order
        model.n_features_in_ = backoff.trie.n_events
        model.discounts_ = model.is_fallback_ = None
        model.document_length_ = _mean_length(backoff)
        return model

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Estimate the probabilities.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents, raw text or counts; also a dask bag of texts or array of counts, which are
            counted where they are.
        y : None
            Ignored, present for the scikit-learn API.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of documents: a weight of 2 is the document twice; one of weight 0 counts for
            nothing, but the vocabulary knows its tokens and n-grams. For dask documents also a
            dask bag or array with the same partitions.

        Returns
        -------
        self : NGramLM

        Warns
        -----
        UserWarning
            If the vectorizer is frozen, as that of a model which was read from a file, without an
            `unk_token`, and does not know tokens of the text, which it drops.
        """
        forget_counts(self)
        self._warn_of_dropped(X)
        return self._update(X, sample_weight, task_name="fit")

    @whole_fit(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Add documents to those seen so far.

        A sequence of calls equals one ``fit`` on all documents, where the columns are the same: the
        first call fixes them. With text, give a fitted vectorizer in ``FrozenEstimator``; else
        tokens and n-grams are those of the first call, and later new ones are backed off from.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents, raw text or counts.
        y : None
            Ignored, present for the scikit-learn API.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of documents.

        Returns
        -------
        self : NGramLM
        """
        return self._update(X, sample_weight, task_name="partial_fit")

    def _update(self, X, sample_weight, *, task_name):
        first = not hasattr(self, "event_count_")
        if first and task_name == "partial_fit" and hasattr(self, "_backoff"):
            raise ValueError(
                "NGramLM.partial_fit adds to the counts of documents, and a model that was read "
                "from an ARPA file has none. Refine it by SFTRefiner(FrozenEstimator(model))."
            )
        corpus = read_corpus(
            self,
            X,
            sample_weight,
            reset=first,
            vectorizer=self.vectorizer,
            default=self._default_counter(),
        )
        context = self._init_callback_context(task_name=task_name)
        context.call_on_fit_task_begin(estimator=self, X=X)
        if first:
            self._read_trie = self._trie_of_columns()
        add_counts(self, corpus, name="event_count_", n_arcs=self._read_trie.n_arcs)
        self._estimate()
        context.call_on_fit_task_end(estimator=self, X=X)
        return self

    def _draw(self, n_samples, rng, max_length, prompts):
        is_read = not hasattr(self, "event_count_")
        if is_read and self._eos_column() is None and self.document_length_ == 1:
            warnings.warn(
                "NGramLM was read from an ARPA file without </s>, which does not say how long "
                "documents are, so each one drawn is of one token. Set document_length_ of the "
                "model to the tokens of a document, or read a file with </s>.",
                UserWarning,
                stacklevel=caller_level(),
            )
        return super()._draw(n_samples, rng, max_length, prompts)

    def _default_counter(self):
        """Return what counts text where there is no vectorizer, in a pipeline too."""
        return NGramCounter(self.order)

    def _trie_of_columns(self):
        trie, counter = trie_of(self.vectorizer_), unwrap(self.vectorizer_)
        found = 1 if trie is None else getattr(counter, "order", trie.order)
        # A search over orders of the vectorizer has the usual order here, and means what it says.
        if (
            self.order > (1 if trie is None else max(found, _ORDER))
            and token_names(self) is not None
            and counter is not None
        ):
            warnings.warn(
                f"NGramLM(order={self.order}) is a model of order {found}, as its vectorizer, "
                f"{type(counter).__name__}, {_COUNTS if trie is None else f'has order={found}'}. "
                f"Pass NGramCounter({self.order}) instead, to a pipeline too, or set "
                f"order={found}; where orders are searched, set vectorizer__order along with it.",
                UserWarning,
                stacklevel=caller_level(),
            )
        if trie is not None:
            return trie
        eos = self._eos_column()
        return Trie.of_root(self.n_features_in_, eos=-1 if eos is None else eos)

    def _estimate(self):
        """Derive the probabilities from the sufficient statistic."""
        own = self._read_trie
        trie = own if own.order <= self.order else own.truncate(self.order)
        counts = self.event_count_
        if trie is not own:
            counts = counts @ own.projection(trie)
        self.discounts_ = self.is_fallback_ = None
        if self.smoothing == "kneser-ney":
            self._backoff, found = kneser_ney(trie, counts)
            self.discounts_, self.is_fallback_ = found
        elif self.smoothing == "witten-bell":
            self._backoff = witten_bell(trie, counts)
        else:
            strength = self.prior_strength
            if self.smoothing != "dirichlet":
                strength = self.smoothing * trie.n_tokens
            self._check_some(strength)
            self._backoff = dirichlet(trie, counts, strength)
        self.order_ = trie.order

    def _check_some(self, strength):
        if not self.n_tokens_ + strength > 0:
            raise ValueError(
                "NGramLM without smoothing needs at least one token, got documents with none. Set "
                "smoothing or prior_strength above 0, or leave out empty documents."
            )
        if not np.isfinite(self.n_tokens_ + strength):
            raise ValueError(
                f"NGramLM cannot add smoothing={self.smoothing!r} to the count of each token: the "
                "sum is beyond the range of floats. Lower it; above 1e20 models hardly differ."
            )

    @property
    def token_log_prob_(self):
        """The distribution (V,) of a model of order 1."""
        model = self._backoff
        if model.trie.order > 1:
            raise AttributeError(
                f"An NGramLM of order {model.trie.order} has no one distribution of tokens. Use "
                "predict_log_proba for the one after a document."
            )
        return model.root_log_prob

    @property
    def _distribution(self):
        model = self._backoff
        if self._read_trie.order == 1:
            return CategoricalDistribution(model.root_log_prob)
        return BackoffDistribution(model, self._read_trie)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        return tags


def _mean_length(model):
    """Return the mean tokens of a document of a back-off model, rounded; 1 where not known."""
    trie = model.trie
    if trie.eos < 0:
        return 1
    initial = np.zeros(trie.n_contexts)
    initial[trie.first_context] = 1.0
    try:
        length = PolicyFlow(trie, model.event_log_prob, initial, max_length=None).length
    except ValueError:  # documents hardly ever end
        return 1
    return max(1, round(length)) if length <= _LONGEST_MEAN else 1
