"""Supervised fine-tuning: demonstrations update a language model as a Dirichlet prior."""

from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import HasMethods, Hidden, StrOptions

from sklearn_codex._categorical import FloatArray, normalize_log, safe_log
from sklearn_codex._checks.numbers import Amount
from sklearn_codex._data.corpora import CorpusInMemory, read_corpus
from sklearn_codex._data.documents import check_prompts, warn_of_completions
from sklearn_codex._data.fitted_models import IncomingModel, unwrap
from sklearn_codex._data.vectorizers import COUNTER, trie_of
from sklearn_codex._fits import whole_fit
from sklearn_codex._language.backoff import BackoffLanguageModelMixin
from sklearn_codex._language.model import NarrowCounts, add_counts, forget_counts
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.smoothing import refine
from sklearn_codex._renames import DEPRECATED, refuse_old_nested, rename_state
from sklearn_codex._stage import Stage


class SFTRefiner(
    CallbackSupportMixin,
    BackoffLanguageModelMixin,
    DensityMixin,
    BaseEstimator,
):
    r"""Supervised fine-tuning of a language model on demonstrations.

    The refined model M1 of the RLHF loop: the base model M0 enters as a Dirichlet prior, worth
    ``prior_strength`` tokens, and the demonstrations (completions only) update it.

    Parameters
    ----------
    policy : fitted language model, default=None
        The base model, which is refined; pass it as ``FrozenEstimator(model)``, so that ``clone``
        and cross-validation keep its fit. None means the uniform distribution. Of a policy that
        was fitted with prompts, documents of what is refined start at the start again.
    prior_strength : float, default=1000.0
        Weight of the base model, in tokens: demonstrations of as many tokens weigh as much as the
        base, in each context by itself where the base is a model of n-grams: there demonstrations
        count little after contexts that they have few times, as they should unless they say the
        same often. With the number of pretraining tokens, of a model of single tokens, this is "add
        the demonstration counts to the pretraining counts"; 0 forgets the base.
    vectorizer : transformer, default=None
        Turns text into counts; None means the base's, or ``TokenCounter()`` without a base.
    base : fitted language model, default="deprecated"
        The old name of ``policy``.

        .. deprecated:: 0.1
           Use ``policy``.

    Attributes
    ----------
    token_log_prob_ : ndarray of shape (V,)
        Natural logarithm of each token's probability. Only of models of single tokens.
    base_log_prob_ : ndarray of shape (V,)
        The same of the base model.
    arc_log_prob_ : ndarray of shape (n_ngrams,)
        Of models of n-grams, as that of :class:`NGramLM`.
    backoff_log_weight_ : ndarray of shape (n_contexts,)
        The same.
    event_count_ : ndarray of shape (n_columns,)
        Weighted sum of the demonstrations' counts, of models of n-grams.
    token_count_ : ndarray of shape (V,)
        Weighted number of occurrences of each token in the demonstrations. Only of models of single
        tokens.
    n_tokens_ : float
        Their sum.
    n_documents_ : float
        Weighted number of demonstrations seen.
    document_length_ : int
        Mean tokens per demonstration, rounded, at least 1; the length of sampled documents.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the model was fitted on unnamed counts.
    n_features_in_ : int
        Number of columns; V, the number of tokens in the vocabulary, of models of single tokens.
    feature_names_in_ : ndarray of shape (n_columns,)
        Names of columns, where counts came as a data frame with string column names.

    See Also
    --------
    UnigramLM : The pretrained model.
    NGramLM : One that sees the order of tokens.
    PPOPolicyOptimizer : The next stage of the loop.

    Notes
    -----
    With n_t occurrences of token t among N demonstration tokens, base p0 and prior strength kappa,

    .. math:: p_1(t) = (n_t + \kappa p_0(t)) / (N + \kappa).

    It is the exact minimiser of :math:`N \, CE(f, p) + \kappa \, CE(p_0, p)` with f = n / N, which
    is, up to a constant and a factor, :math:`CE(f, p) + (\kappa / N) KL(p_0 \| p)`: maximum
    likelihood with a forward-KL penalty towards the base, and the posterior mean under a
    Dirichlet(:math:`\kappa p_0`) prior [1]_.

    A model of n-grams is refined in each context h, shorter contexts first. The base takes
    :math:`s_0(h, w)` from what it saw in h and :math:`\gamma_0(h)` from the shorter context h', and
    the refined model stands on its own h' so. With n(h, w) occurrences of w among n(h) tokens after
    h, those with an n-gram of the base have

    .. math::

        p_1(w | h) = \frac{n(h, w) + \kappa \bigl(s_0(h, w) + \gamma_0(h) \, p_1(w | h')\bigr)}
        {n(h) + \kappa},

    and the other tokens, b(h) of which occurred, together
    :math:`(b(h) + \kappa \gamma_0(h) \, q(h)) / (n(h) + \kappa)`, which they share as
    :math:`p_1(w | h')` says; q(h) is what that gives to all of them.

    It is the posterior mean under a Dirichlet prior around the base in which the shorter context is
    refined already, and the other tokens are one. A shorter context counts all that comes after it,
    not only what a longer one does not know: after many documents of a Kneser-Ney model itself,
    whose shorter contexts tell what comes after unknown ones, the refined model is near it, not the
    same.
    Contexts in which a base that was read from a file does not interpolate, so that some
    :math:`s_0` would be negative, are refined as the first formula says, the other tokens as one.

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
        "policy": [HasMethods(["predict_log_proba"]), None],
        "base": [HasMethods(["predict_log_proba"]), None, Hidden(StrOptions({DEPRECATED}))],
        "prior_strength": [Amount(Real, 0, None, closed="left")],
        "vectorizer": [COUNTER, None],
    }

    rlhf_stage = Stage(reads=("demonstration",), provides="policy", fills={"policy": "policy"})

    event_count_ = NarrowCounts()

    _renamed_parameters = {"base": "policy"}
    _reads_ngrams = True

    _follows_prompts = False  # Whether the completions of the fit came after prompts.

    token_log_prob_: FloatArray
    _base: Any

    def __init__(self, policy=None, *, prior_strength=1000.0, vectorizer=None, base=DEPRECATED):
        self.policy = policy
        self.prior_strength = prior_strength
        self.vectorizer = vectorizer
        self.base = base

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, prompts=None):
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
        prompts : sequence of str (n_documents,), default=None
            What each completion follows, where completions are text: a model of n-grams predicts
            their first tokens from the last ones of the prompts, not from the start of a document.
            Then ``score`` and ``perplexity`` need those of their completions, too, and warn
            without. The prompts themselves are not learned. They make no difference to a unigram
            model.

        Returns
        -------
        self : SFTRefiner

        Raises
        ------
        NotFittedError
            If ``policy`` is not fitted.
        ValueError
            If the columns are not the base's, or prompts come with other than as many texts.
        """
        forget_counts(self)
        self._follows_prompts = False
        return self._update(X, sample_weight, prompts, task_name="fit")

    @whole_fit(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None, prompts=None):
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
        prompts : sequence of str (n_documents,), default=None
            As in ``fit``.

        Returns
        -------
        self : SFTRefiner
        """
        return self._update(X, sample_weight, prompts, task_name="partial_fit")

    def _update(self, X, sample_weight, prompts, *, task_name):
        corpus = self._read(X, sample_weight, prompts)
        context = self._init_callback_context(task_name=task_name)
        context.call_on_fit_task_begin(estimator=self, X=X)
        if self._read_trie is None:
            add_counts(self, corpus)
            self._set_probabilities()
        else:
            add_counts(self, corpus, name="event_count_", n_arcs=self._read_trie.n_arcs)
            self._set_backoff()
        context.call_on_fit_task_end(estimator=self, X=X)
        return self

    def _read(self, X, sample_weight, prompts):
        """Return the demonstrations; the first ones define the columns, which are the base's."""
        if hasattr(self, "n_documents_"):
            corpus = read_corpus(self, X, sample_weight, reset=False)
        else:
            base = IncomingModel(self, "policy")
            corpus = read_corpus(self, X, sample_weight, reset=True, vectorizer=base.vectorizer)
            self._set_base(base)
        if prompts is None:
            return corpus
        prompts = check_prompts(self, X, prompts)
        if self._read_trie is None:
            return corpus
        self._follows_prompts = True
        counts = unwrap(self.vectorizer_).transform_after(prompts, X)
        return CorpusInMemory(counts, corpus.weight)  # type: ignore[union-attr]

    def _mean_log_likelihood(self, X, sample_weight, prompts=None):
        if prompts is None and self._follows_prompts:
            warn_of_completions(type(self).__name__, X)
        return super()._mean_log_likelihood(X, sample_weight, prompts)

    def _set_base(self, base):
        """Keep the base model in the columns of the demonstrations."""
        base.check_columns()
        trie = trie_of(self.vectorizer_)
        for name in ("token_log_prob_", "base_log_prob_", "_backoff"):
            self.__dict__.pop(name, None)
        self._base = self._read_trie = None
        if trie is not None and trie.order > 1:
            self._read_trie = trie
            self._base = BackoffModel.uniform(trie) if base.model is None else base.backoff
            return
        n_columns = self.n_features_in_
        uniform = np.full(n_columns, -np.log(n_columns))
        self.base_log_prob_ = uniform if base.model is None else base.log_prob()

    def _set_probabilities(self):
        """Derive the probabilities from the sufficient statistic and the prior."""
        # In logs, where a base probability below the smallest float is still not zero.
        posterior = np.logaddexp(
            safe_log(self.token_count_), safe_log(self.prior_strength) + self.base_log_prob_
        )
        self._check_some(not np.all(np.isneginf(posterior)))
        self.token_log_prob_ = normalize_log(posterior)

    def _set_backoff(self):
        """Derive the probabilities of n-grams from the sufficient statistic and the prior."""
        self._check_some(self.n_tokens_ > 0 or self.prior_strength > 0)
        trie, counts = self._base.trie, self.event_count_
        if trie.order < self._read_trie.order:
            counts = counts @ self._read_trie.projection(trie)
        self._backoff = refine(self._base, counts, self.prior_strength)

    def _check_some(self, is_some):
        if not is_some:
            raise ValueError(
                "SFTRefiner with prior_strength=0 needs at least one token, got demonstrations "
                "with none. Set prior_strength above 0 or leave out empty demonstrations."
            )

    def set_params(self, **params):
        """Set parameters; see :meth:`sklearn.base.BaseEstimator.set_params`.

        Parameters
        ----------
        **params : dict
            Parameters, those of the policy as ``policy__<parameter>``.

        Returns
        -------
        self : SFTRefiner
        """
        refuse_old_nested(self, params)
        return super().set_params(**params)

    def __setstate__(self, state):
        if "policy" not in state:  # as files of the first versions have it
            state = rename_state(state, self._renamed_parameters) | {"base": DEPRECATED}
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        return tags
