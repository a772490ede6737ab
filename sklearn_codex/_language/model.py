"""What every language model of the package shares, of any order."""

import sys
from fractions import Fraction
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import Exact, FloatArray, exact_sum
from sklearn_codex._checks.numbers import MOST_TOKENS
from sklearn_codex._data.corpora import Corpus, read_corpus
from sklearn_codex._data.documents import read_documents, read_prompts, warn_of_dropped
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.vectorizers import token_names, written_names
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._language.distributions import CategoricalDistribution, Distribution
from sklearn_codex._partitions import lazy_on_dask
from sklearn_codex._rollouts import sample_counts

_WIDEST = 2.0**32  # What is beyond takes as much room as a float.
# Likelihoods are added in this unit: those of as many tokens as a float can count are floats, too.
SCALE = 2.0**-16
_BEYOND = (
    "{} got counts of {} whose sum is beyond the range of floats. Divide the counts, or the sample "
    "weights, by a constant."
)


class NarrowCounts:
    """An attribute of float64 counts, kept as integers where they are whole, as narrow as can be.

    Most counts of n-grams are 0 or small. Nothing is lost, so what reads it cannot tell. The array
    is read-only: where it is no more than a copy, what is written to it would be lost.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: Any, owner: Any = None) -> Any:
        if model is None:
            return self
        kept = vars(model).get(self._name)
        if kept is None:
            raise AttributeError(f"{type(model).__name__!r} object has no attribute {self._name!r}")
        counts = np.asarray(kept, np.float64).view()
        counts.flags.writeable = False
        return counts

    def __set__(self, model: Any, counts: FloatArray) -> None:
        vars(model)[self._name] = _narrow(counts)

    def __delete__(self, model: Any) -> None:
        del vars(model)[self._name]


def _narrow(counts):
    """Return counts as the narrowest integers that are equal to all of them, else as they are."""
    low, high = counts.min(initial=0.0), counts.max(initial=0.0)
    if not (low >= 0 and high < _WIDEST):  # nor where there is NaN
        return counts
    whole = counts.astype(np.min_scalar_type(int(high)))
    return whole if np.array_equal(whole, counts) else counts


def _no_tokens(model):
    return model._name_tokens(np.zeros(1, int))[:0]


def _no_rows(model):
    return np.empty((0, model._distribution.n_tokens))


@link_estimators
class LanguageModelMixin:
    """Methods of a model that has a ``_distribution``.

    A document is a row of counts n, of tokens or of events; its log-likelihood is linear in them,
    and the probability of one sequence with these counts (no multinomial coefficient), so that
    perplexities are those of the field.

    ``fit`` of the class sets what is declared here.
    """

    document_length_: int
    vectorizer_: Any

    @property
    def _distribution(self) -> Distribution:
        raise NotImplementedError

    @lazy_on_dask(_no_tokens)
    def predict(self, X):
        """Return the most probable next token for each document.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents. A unigram model predicts the same token after each of them, others what
            comes after the last tokens of each, `eos_token` aside; a text may be empty or blank.

        Returns
        -------
        tokens : ndarray of shape (n_documents,)
            Names of tokens where they are known, else columns. The first of equally probable
            tokens is taken.
        """
        check_is_fitted(self)
        documents = read_documents(self, X, reset=False, may_be_empty=True)
        return self._name_tokens(self._distribution.next_token(documents))

    def _warn_of_unknown(self, X):
        """Warn of tokens of text that no token of the model stands for."""
        warn_of_dropped(
            type(self).__name__,
            unwrap(self.vectorizer_),
            X,
            "its vocabulary has no unknown token, so what is said is of the rest. Fit with "
            "unk_token set, or read a file with <unk>.",
        )

    def _name_tokens(self, tokens):
        names = token_names(self)
        return tokens if names is None else np.asarray(names)[tokens].astype(str)

    @lazy_on_dask(_no_rows)
    def predict_log_proba(self, X):
        """Return the log-probability of each next token after each document.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents.

        Returns
        -------
        log_proba : ndarray of shape (n_documents, V)
            Natural logarithms; of a unigram model a read-only view that repeats one row.
        """
        check_is_fitted(self)
        documents = read_documents(self, X, reset=False, may_be_empty=True)
        return self._distribution.next_log_prob(documents)

    @lazy_on_dask()
    def score_samples(self, X):
        """Return the log-likelihood of each document, in nats.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents.

        Returns
        -------
        log_likelihood : ndarray of shape (n_documents,)
        """
        check_is_fitted(self)
        documents = read_documents(self, X, reset=False)
        self._warn_of_unknown(X)
        return self._distribution.log_likelihood(documents)

    def score(self, X, y=None, sample_weight=None):
        """Return the mean log-likelihood per token, in nats; greater is better.

        Per token, so that folds and corpora of different sizes compare.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents.
        y : None
            Ignored, present for the scikit-learn API.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of documents.

        Returns
        -------
        score : float

        Raises
        ------
        ValueError
            If the documents hold no token at all.
        """
        return self._mean_log_likelihood(X, sample_weight)

    def perplexity(self, X, sample_weight=None):
        """Return the perplexity: the size of the uniform vocabulary that is as uncertain.

        It is ``exp(-a)`` with a the mean log-likelihood per token, in nats.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of documents.

        Returns
        -------
        perplexity : float
            At least 1; ``inf`` where a token of probability zero occurs.

        Warns
        -----
        UserWarning
            If the vocabulary has no unknown token and the text has tokens that are not in it:
            they are left out, and the perplexity is that of the rest.
        """
        with np.errstate(over="ignore"):
            return float(np.exp(-self._mean_log_likelihood(X, sample_weight)))

    def _mean_log_likelihood(self, X, sample_weight):
        """Return the log-likelihood per token, in nats; ``score`` of a subclass may be another."""
        check_is_fitted(self)
        corpus = read_corpus(self, X, sample_weight, reset=False)
        self._warn_of_unknown(X)
        return mean_likelihood(self, *corpus.sum(partial(_sum_likelihoods, self._distribution)))

    def sample(self, n_samples=1, random_state=None, *, max_length=10_000):
        """Draw documents from the model.

        Where the vocabulary has an end-of-sequence token, a document ends at its first one and its
        length is a result; else each document has ``document_length_`` tokens.

        Parameters
        ----------
        n_samples : int, default=1
            How many documents.
        random_state : int, RandomState instance or None, default=None
            Source of all draws.
        max_length : int, default=10_000
            Tokens at which a document is cut where the model has an end-of-sequence token. Text
            does not say that it was cut: what counts it again has an end behind it.

        Returns
        -------
        documents : list of str or csr_array of shape (n_samples, V)
            Text (tokens joined as by `TokenCounter.decode`, without the end-of-sequence token),
            else counts where words are not known.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or there would be more than 2**27 tokens of text.
        """
        return self._sample(n_samples, random_state, max_length)

    def _sample(self, n_samples, random_state, max_length, prompts=None):
        """Draw documents, so many for each prompt if there are prompts."""
        check_is_fitted(self)
        for name, value in (("n_samples", n_samples), ("max_length", max_length)):
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} should be an integer of at least 1, got {value!r}.")
        n_samples, max_length = int(n_samples), int(max_length)
        if prompts is not None:
            self._warn_of_unknown(prompts)
            prompts = read_prompts(self, prompts)
            prompts = prompts[np.repeat(np.arange(prompts.shape[0]), n_samples)]
            n_samples = prompts.shape[0]
        return self._draw(n_samples, check_random_state(random_state), max_length, prompts)

    def _draw(self, n_samples, rng, max_length, prompts):
        eos, names = self._eos_column(), written_names(self)
        length, distribution = self.document_length_, self._distribution
        has_words = self.vectorizer_ is not None and names is not None
        is_simple = isinstance(distribution, CategoricalDistribution) and eos is None
        if not has_words and is_simple and int(n_samples) * int(length) > MOST_TOKENS:
            return sample_counts(distribution.event_log_prob, n_samples, rng, length=length)
        rollouts = distribution.sample(
            n_samples,
            rng,
            length=length if eos is None else max_length,
            eos=eos,
            names=names,
            prompts=prompts,
        )
        return rollouts.texts if has_words else rollouts.counts

    def _eos_column(self):
        """Return the column of the end-of-sequence token, or None."""
        return getattr(unwrap(self.vectorizer_), "eos_index_", None)


def _sum_likelihoods(distribution, documents, weight):
    log_likelihood = distribution.log_likelihood(SCALE * documents)
    return sum_likelihoods(log_likelihood, distribution.tokens_of(documents), weight)


def sum_likelihoods(
    log_likelihood: FloatArray, n_tokens: FloatArray, weight: FloatArray
) -> tuple[Exact, Exact]:
    """Return weighted sums that are the same in any order, of documents in any number of parts.

    Parameters
    ----------
    log_likelihood : ndarray of shape (n_documents,)
        Times `SCALE`.
    n_tokens, weight : ndarrays of shape (n_documents,)

    Returns
    -------
    log_likelihood, n_tokens : Fraction, or float where it is infinite
        What has no weight may have no likelihood.
    """
    counted = np.flatnonzero(weight)
    with np.errstate(over="ignore"):
        products = [weight[counted] * values[counted] for values in (log_likelihood, n_tokens)]
    return exact_sum(products[0]), exact_sum(products[1])


def mean_likelihood(
    model: Any, log_likelihood: Exact, n_tokens: Exact, n_documents: float
) -> float:
    """Return the log-likelihood per token, in nats, by what :func:`sum_likelihoods` returns."""
    if not n_tokens <= sys.float_info.max:
        raise ValueError(_BEYOND.format(type(model).__name__, "documents"))
    check_some_weight(model, n_tokens, n_documents)
    return float(log_likelihood / n_tokens / Fraction(SCALE))


def forget_counts(model: Any) -> None:
    """Take away the sufficient statistic, so that the next documents define the columns."""
    for name in ("token_count_", "event_count_", "n_tokens_", "n_documents_"):
        vars(model).pop(name, None)


def add_counts(
    model: Any, corpus: Corpus, *, name: str = "token_count_", n_arcs: Any = None
) -> None:
    """Add a corpus to the sufficient statistic, and to what follows from it.

    To go on with a fit is an addition, so it is equal to one fit on everything.

    Parameters
    ----------
    model : language model
    corpus : Corpus
    name : str, default="token_count_"
        The attribute that holds the statistic.
    n_arcs : int or None, default=None
        Of how many columns the sum is the number of tokens, None of all.
    """
    # First what may fail: columns are fixed by counts that were added.
    total, n_documents = corpus.sum()
    with np.errstate(over="ignore"):
        total = total + getattr(model, name, 0.0)
    check_total(total, subject=type(model).__name__)
    setattr(model, name, total)
    model.n_documents_ = getattr(model, "n_documents_", 0.0) + n_documents
    model.n_tokens_ = float(total[:n_arcs].sum())
    model.document_length_ = max(1, round(model.n_tokens_ / model.n_documents_))


def check_some_weight(model: Any, n_tokens: Exact, n_documents: float) -> None:
    """Raise where documents, both numbers being weighted, have no token."""
    if not n_tokens > 0:
        raise ValueError(
            f"{type(model).__name__} needs at least one token of positive weight, got "
            f"{n_documents:g} document(s) with none. Leave out empty documents."
        )


def check_total(counts: FloatArray, *, subject: str) -> None:
    """Check that counts (n_columns,) add to a number that is a float."""
    with np.errstate(over="ignore"):
        total = float(np.sum(counts))
    if not total < np.inf:
        raise ValueError(_BEYOND.format(subject, f"{np.max(counts):.3g} for one token,"))
