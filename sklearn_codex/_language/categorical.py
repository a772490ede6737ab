"""What every language model of the package shares: one categorical distribution over V tokens."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import FloatArray, cross_entropy
from sklearn_codex._checks.numbers import MOST_TOKENS
from sklearn_codex._data.corpora import Corpus, read_corpus
from sklearn_codex._data.documents import read_documents
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.vectorizers import token_names
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._partitions import lazy_on_dask
from sklearn_codex._rollouts import sample_counts, sample_rollouts


def _no_tokens(model):
    names = token_names(model)
    column = int(np.argmax(model.token_log_prob_))
    return np.full(0, column if names is None else names[column])


def _no_rows(model):
    return np.empty((0, len(model.token_log_prob_)))


@link_estimators
class CategoricalLanguageModelMixin:
    """Methods of a model whose whole state is ``token_log_prob_`` (V,), natural log.

    A document is the vector n of its token counts; its log-likelihood is ``n @ token_log_prob_``,
    the probability of one sequence with these counts (no multinomial coefficient), so that
    perplexities are those of the field.

    ``fit`` of the class sets what is declared here.
    """

    token_log_prob_: FloatArray
    document_length_: int
    vectorizer_: Any

    @lazy_on_dask(_no_tokens)
    def predict(self, X):
        """Return the most probable next token for each document.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents. A unigram model predicts the same token after each of them.

        Returns
        -------
        tokens : ndarray of shape (n_documents,)
            Names of tokens where they are known, else columns. The first of equally probable
            tokens is taken.
        """
        check_is_fitted(self)
        n_documents = read_documents(self, X, reset=False).shape[0]
        column = int(np.argmax(self.token_log_prob_))
        names = token_names(self)
        return np.full(n_documents, column if names is None else names[column])

    @lazy_on_dask(_no_rows)
    def predict_log_proba(self, X):
        """Return the log-probability of each next token after each document.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents.

        Returns
        -------
        log_proba : ndarray of shape (n_documents, V)
            Natural logarithms; a read-only view that repeats one row.
        """
        check_is_fitted(self)
        n_documents = read_documents(self, X, reset=False).shape[0]
        return np.broadcast_to(self.token_log_prob_, (n_documents, len(self.token_log_prob_)))

    @lazy_on_dask()
    def score_samples(self, X):
        """Return the log-likelihood of each document, in nats.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents.

        Returns
        -------
        log_likelihood : ndarray of shape (n_documents,)
        """
        check_is_fitted(self)
        return read_documents(self, X, reset=False) @ self.token_log_prob_

    def score(self, X, y=None, sample_weight=None):
        """Return the mean log-likelihood per token, in nats; greater is better.

        Per token, so that folds and corpora of different sizes compare.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
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
        X : sequence of str or array-like of shape (n_documents, V)
            Documents.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of documents.

        Returns
        -------
        perplexity : float
            At least 1; ``inf`` where a token of probability zero occurs.
        """
        with np.errstate(over="ignore"):
            return float(np.exp(-self._mean_log_likelihood(X, sample_weight)))

    def _mean_log_likelihood(self, X, sample_weight):
        """Return the log-likelihood per token, in nats; ``score`` of a subclass may be another."""
        check_is_fitted(self)
        subject = type(self).__name__
        token_count, n_documents = read_corpus(self, X, sample_weight, reset=False).sum()  # (V,)
        check_total(token_count, subject=subject)
        n_tokens = token_count.sum()
        if not n_tokens > 0:
            raise ValueError(
                f"{subject} needs at least one token of positive weight, got {n_documents:g} "
                "document(s) with none. Leave out empty documents."
            )
        return -cross_entropy(token_count / n_tokens, self.token_log_prob_)

    def sample(self, n_samples=1, random_state=None, *, max_length=10_000):
        """Draw documents from the model.

        Tokens are independent. Where the vocabulary has an end-of-sequence token, a document ends
        at its first one and its length is a result; else each document has ``document_length_``
        tokens.

        Parameters
        ----------
        n_samples : int, default=1
            How many documents.
        random_state : int, RandomState instance or None, default=None
            Source of all draws.
        max_length : int, default=10_000
            Tokens at which a document is cut where the model has an end-of-sequence token.

        Returns
        -------
        documents : list of str or csr_array of shape (n_samples, V)
            Text (tokens joined by a space, without the end-of-sequence token) where words are
            known, else counts.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or there would be more than 2**27 tokens of text.
        """
        check_is_fitted(self)
        for name, value in (("n_samples", n_samples), ("max_length", max_length)):
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} should be an integer of at least 1, got {value!r}.")
        n_samples, max_length = int(n_samples), int(max_length)
        eos, names = self._eos_column(), token_names(self)
        rng, length = check_random_state(random_state), self.document_length_
        has_words = self.vectorizer_ is not None and names is not None
        if not has_words and eos is None and int(n_samples) * int(length) > MOST_TOKENS:
            return sample_counts(self.token_log_prob_, n_samples, rng, length=length)
        rollouts = sample_rollouts(
            self.token_log_prob_,
            n_samples,
            rng,
            length=length if eos is None else max_length,
            eos=eos,
            names=names,
        )
        return rollouts.texts if has_words else rollouts.counts

    def _eos_column(self):
        """Return the column of the end-of-sequence token, or None."""
        return getattr(unwrap(self.vectorizer_), "eos_index_", None)


def forget_counts(model: Any) -> None:
    """Take away the sufficient statistic, so that the next documents define the columns."""
    for name in ("token_count_", "n_tokens_", "n_documents_"):
        vars(model).pop(name, None)


def add_counts(model: Any, corpus: Corpus) -> None:
    """Add a corpus to the sufficient statistic ``token_count_``, and to what follows from it.

    To go on with a fit is an addition, so it is equal to one fit on everything.
    """
    # First what may fail: columns are fixed by counts that were added.
    token_count, n_documents = corpus.sum()
    with np.errstate(over="ignore"):
        total = token_count + getattr(model, "token_count_", 0.0)
    check_total(total, subject=type(model).__name__)
    model.token_count_ = total
    model.n_documents_ = getattr(model, "n_documents_", 0.0) + n_documents
    model.n_tokens_ = float(total.sum())
    model.document_length_ = max(1, round(model.n_tokens_ / model.n_documents_))


def check_total(token_count: FloatArray, *, subject: str) -> None:
    """Check that counts (V,) add to a number that is a float."""
    with np.errstate(over="ignore"):
        total = float(np.sum(token_count))
    if not total < np.inf:
        raise ValueError(
            f"{subject} got counts of {np.max(token_count):.3g} for one token, whose sum is beyond "
            "the range of floats. Divide the counts, or the sample weights, by a constant."
        )
