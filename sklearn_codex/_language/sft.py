"""Supervised fine-tuning: demonstrations update a language model as a Dirichlet prior."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import HasMethods, Interval

from sklearn_codex._categorical import FloatArray, normalize_log, safe_log
from sklearn_codex._data.corpora import read_corpus
from sklearn_codex._data.fitted_models import IncomingModel
from sklearn_codex._fits import whole_fit
from sklearn_codex._language.categorical import CategoricalLanguageModelMixin
from sklearn_codex._language.model import add_counts, forget_counts
from sklearn_codex._stage import Stage


class SFTRefiner(
    CallbackSupportMixin,
    CategoricalLanguageModelMixin,
    DensityMixin,
    BaseEstimator,
):
    r"""Supervised fine-tuning of a unigram language model on demonstrations.

    The refined model M1 of the RLHF loop: the base model M0 enters as a Dirichlet prior, worth
    ``prior_strength`` tokens, and the demonstrations (completions only) update it.

    Parameters
    ----------
    base : fitted language model, default=None
        The model to refine; pass it as ``FrozenEstimator(model)``, so that ``clone`` and
        cross-validation keep its fit. None means the uniform distribution.
    prior_strength : float, default=1000.0
        Weight of the base model, in tokens: demonstrations of as many tokens weigh as much as the
        base. With the number of pretraining tokens, this is "add the demonstration counts to the
        pretraining counts"; 0 forgets the base.
    vectorizer : transformer, default=None
        Turns text into counts; None means the base's, or ``TokenCounter()`` without a base.

    Attributes
    ----------
    token_log_prob_ : ndarray of shape (V,)
        Natural logarithm of each token's probability.
    base_log_prob_ : ndarray of shape (V,)
        The same of the base model.
    token_count_ : ndarray of shape (V,)
        Weighted number of occurrences of each token in the demonstrations.
    n_tokens_ : float
        Their sum.
    n_documents_ : float
        Weighted number of demonstrations seen.
    document_length_ : int
        Mean tokens per demonstration, rounded, at least 1; the length of sampled documents.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the model was fitted on unnamed counts.
    n_features_in_ : int
        V, the number of tokens in the vocabulary.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where counts came as a data frame with string column names.

    See Also
    --------
    UnigramLM : The pretrained model.
    PPOPolicyOptimizer : The next stage of the loop.

    Notes
    -----
    With n_t occurrences of token t among N demonstration tokens, base p0 and prior strength kappa,

    .. math:: p_1(t) = (n_t + \kappa p_0(t)) / (N + \kappa).

    It is the exact minimiser of :math:`N \, CE(f, p) + \kappa \, CE(p_0, p)` with f = n / N, which
    is, up to a constant and a factor, :math:`CE(f, p) + (\kappa / N) KL(p_0 \| p)`: maximum
    likelihood with a forward-KL penalty towards the base, and the posterior mean under a
    Dirichlet(:math:`\kappa p_0`) prior [1]_.

    References
    ----------
    .. [1] MacKay, D. J. C. and Bauman Peto, L. C. (1995). "A hierarchical Dirichlet language
       model." Natural Language Engineering 1(3), 289-308.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn_codex import SFTRefiner, UnigramLM
    >>> base = UnigramLM().fit(["the cat sat", "the dog sat on the cat"])
    >>> refined = SFTRefiner(FrozenEstimator(base), prior_strength=5).fit(["on the dog", "on on"])
    >>> refined.predict(["anything"])
    array(['on'], dtype=...)
    >>> bool(refined.score(["on the dog"]) > base.score(["on the dog"]))
    True
    """

    _parameter_constraints: dict = {
        "base": [HasMethods(["predict_log_proba"]), None],
        "prior_strength": [Interval(Real, 0, None, closed="left")],
        "vectorizer": [HasMethods(["fit", "transform"]), None],
    }

    rlhf_stage = Stage(reads=("demonstration",), provides="policy", fills={"base": "policy"})

    token_log_prob_: FloatArray

    def __init__(self, base=None, *, prior_strength=1000.0, vectorizer=None):
        self.base = base
        self.prior_strength = prior_strength
        self.vectorizer = vectorizer

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Refine the base model on demonstrations.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Completions of the demonstrations, raw text or counts in the base's columns; also a dask
            bag of texts or array of counts, which are counted where they are.
        y : None
            Ignored, present for the scikit-learn API.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of demonstrations: a weight of 2 is the demonstration twice. For dask documents
            also a dask bag or array with the same partitions.

        Returns
        -------
        self : SFTRefiner

        Raises
        ------
        NotFittedError
            If ``base`` is not fitted.
        ValueError
            If the columns are not the base's.
        """
        forget_counts(self)
        return self._update(X, sample_weight, task_name="fit")

    @whole_fit(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Add demonstrations to those seen so far; a sequence of calls equals one ``fit`` on all.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Completions of the demonstrations. Without a base, text of the first call fixes the
            vocabulary.
        y : None
            Ignored, present for the scikit-learn API.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of demonstrations.

        Returns
        -------
        self : SFTRefiner
        """
        return self._update(X, sample_weight, task_name="partial_fit")

    def _update(self, X, sample_weight, *, task_name):
        corpus = self._read(X, sample_weight)
        context = self._init_callback_context(task_name=task_name)
        context.call_on_fit_task_begin(estimator=self, X=X)
        add_counts(self, corpus)
        self._set_probabilities()
        context.call_on_fit_task_end(estimator=self, X=X)
        return self

    def _read(self, X, sample_weight):
        """Return the demonstrations; the first ones define the columns, which are the base's."""
        if hasattr(self, "token_count_"):
            return read_corpus(self, X, sample_weight, reset=False)
        base = IncomingModel(self, "base")
        corpus = read_corpus(self, X, sample_weight, reset=True, vectorizer=base.vectorizer)
        log_prob = base.log_prob()
        if log_prob is None:
            log_prob = np.full(self.n_features_in_, -np.log(self.n_features_in_))
        self.base_log_prob_ = log_prob
        return corpus

    def _set_probabilities(self):
        """Derive the probabilities from the sufficient statistic and the prior."""
        # In logs, where a base probability below the smallest float is still not zero.
        posterior = np.logaddexp(
            safe_log(self.token_count_), safe_log(self.prior_strength) + self.base_log_prob_
        )
        if np.all(np.isneginf(posterior)):
            raise ValueError(
                "SFTRefiner with prior_strength=0 needs at least one token, got demonstrations "
                "with none. Set prior_strength above 0 or leave out empty demonstrations."
            )
        self.token_log_prob_ = normalize_log(posterior)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        return tags
