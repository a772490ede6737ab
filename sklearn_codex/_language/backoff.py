"""What language models of n-grams share beside what all language models do."""

import gzip
import io
from os import fspath
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._data.documents import (
    check_prompts,
    check_some_tokens,
    warn_of_dropped,
)
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.vectorizers import token_names
from sklearn_codex._files.lines import place_of, read_lines
from sklearn_codex._language.distributions import BackoffDistribution, CategoricalDistribution
from sklearn_codex._language.model import (
    SCALE,
    LanguageModelMixin,
    mean_likelihood,
    sum_likelihoods,
)
from sklearn_codex._ngram_counter import NGramCounter
from sklearn_codex._ngrams.arpa import (
    ALSO_UNKNOWN,
    END,
    START,
    UNKNOWN,
    read_arpa,
    split_fields,
    write_arpa,
)
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.scoring import score_documents
from sklearn_codex._output import new_file
from sklearn_codex._partitions import is_collection
from sklearn_codex._text.inputs import check_texts

__all__ = ["BackoffLanguageModelMixin", "read_model"]

_SPECIAL = (UNKNOWN, END)  # What files call the unknown token and the end of a document.


class BackoffLanguageModelMixin(LanguageModelMixin):
    """Methods of a model that may be one of n-grams: prompts, and ARPA files."""

    _backoff: BackoffModel
    vectorizer: Any
    # Files of older versions hold neither. Where documents start is what a policy was fitted for.
    _read_trie: Any = None
    _initial: Any = None

    @property
    def _distribution(self):
        if self._read_trie is None:
            return CategoricalDistribution(self.token_log_prob_)  # type: ignore[attr-defined]
        return BackoffDistribution(self._backoff, self._read_trie, self._initial)

    def _eos_column(self):
        trie = self._read_trie
        if self.vectorizer_ is not None or trie is None:
            return super()._eos_column()
        return None if trie.eos < 0 else trie.eos

    @property
    def backoff_model_(self):
        """The model as arrays: probabilities after any context, and drawing from them."""
        return self._backoff

    @property
    def trie_(self):
        """The n-grams of the model and their contexts."""
        return self._backoff.trie

    @property
    def arc_log_prob_(self):
        """Log-probabilities (n_ngrams,) of the last tokens of n-grams."""
        return self._backoff.arc_log_prob

    @property
    def backoff_log_weight_(self):
        """Logarithms (n_contexts,) of what contexts give to shorter ones."""
        return self._backoff.backoff_log_weight

    def predict(self, X, *, prompts=None):
        """Return the most probable next token for each document.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents. A model of single tokens predicts the same token after each of them, others
            what comes after the last tokens of each, `eos_token` aside; after an empty or
            blank text, what a document begins with.
        prompts : sequence of str (n_documents,), default=None
            What each document goes on from, where they are text. They make no difference to a
            model of single tokens.

        Returns
        -------
        tokens : ndarray of shape (n_documents,)
            Names of tokens where they are known, else columns. The first of equally probable
            tokens is taken.

        Raises
        ------
        ValueError
            If prompts come with other than as many texts.
        """
        return super().predict(self._after(prompts, X, is_asked=True))

    def predict_log_proba(self, X, *, prompts=None):
        """Return the log-probability of each next token after each document.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents; after an empty or blank text comes what a document begins with.
        prompts : sequence of str (n_documents,), default=None
            What each document goes on from, as in ``predict``.

        Returns
        -------
        log_proba : ndarray of shape (n_documents, V)
            Natural logarithms; of a model of single tokens a read-only view that repeats one row.
        """
        return super().predict_log_proba(self._after(prompts, X, is_asked=True))

    def score_samples(self, X, *, prompts=None):
        """Return the log-likelihood of each document, in nats.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents.
        prompts : sequence of str (n_documents,), default=None
            What each document goes on from, as in ``predict``: its likelihood after that, without
            that of the prompt.

        Returns
        -------
        log_likelihood : ndarray of shape (n_documents,)
        """
        scored = self._score_texts(X, prompts)
        if scored is not None:
            return scored[0]
        return super().score_samples(self._after(prompts, X))

    def score(self, X, y=None, sample_weight=None, *, prompts=None):
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
        prompts : sequence of str (n_documents,), default=None
            What each document goes on from, as in ``score_samples``.

        Returns
        -------
        score : float

        Raises
        ------
        ValueError
            If the documents hold no token at all, or prompts come with other than as many texts.
        """
        return self._mean_log_likelihood(X, sample_weight, prompts)

    def perplexity(self, X, sample_weight=None, *, prompts=None):
        """Return the perplexity: the size of the uniform vocabulary that is as uncertain.

        It is ``exp(-a)`` with a the mean log-likelihood per token, in nats.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, n_columns)
            Documents.
        sample_weight : array-like of shape (n_documents,), default=None
            Weights of documents.
        prompts : sequence of str (n_documents,), default=None
            What each document goes on from, as in ``score_samples``.

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
            return float(np.exp(-self._mean_log_likelihood(X, sample_weight, prompts)))

    def _mean_log_likelihood(self, X, sample_weight, prompts=None):
        scored = self._score_texts(X, prompts)
        if scored is None:
            return super()._mean_log_likelihood(self._after(prompts, X), sample_weight)
        log_likelihood, n_tokens = scored
        weight = check_weight(sample_weight, n_tokens)
        sums = sum_likelihoods(SCALE * log_likelihood, n_tokens, weight)
        return mean_likelihood(self, *sums, float(weight.sum()))

    def _score_texts(self, X, prompts):
        """Return log-likelihoods (n,) and numbers of tokens (n,) without counting any event.

        None where documents are not text that this counts in n-grams.
        """
        check_is_fitted(self)
        counter = unwrap(self.vectorizer_)
        if type(counter) is not NGramCounter or is_collection(X):
            return None
        distribution = self._distribution
        texts = check_texts(X, subject=type(self).__name__)
        if texts is None or not isinstance(distribution, BackoffDistribution):
            return None
        contexts = None
        if prompts is not None:
            prompts = check_prompts(self, X, prompts)
            *before, n_dropped = counter._number(prompts)
            if n_dropped:
                self._warn_of_unknown(prompts)
            contexts = distribution.model.trie.walk(*before).ends
        ids, starts, n_dropped = counter._number(texts)
        n_tokens = np.diff(starts)
        if prompts is None:
            check_some_tokens(self, texts, n_tokens)
        if n_dropped:
            self._warn_of_unknown(texts)
        return score_documents(distribution.model, ids, starts, contexts), n_tokens

    def _after(self, prompts, X, *, is_asked=False):
        """Return documents, counted after their prompts where that makes a difference."""
        check_is_fitted(self)
        looks_back = self._read_trie is not None and self._read_trie.order > 1
        # Documents that stay text are told of where they are scored.
        if looks_back and (is_asked or prompts is not None):
            self._warn_of_unknown(X)
        if prompts is not None:
            prompts = check_prompts(self, X, prompts)
            if looks_back:
                self._warn_of_unknown(prompts)
                return unwrap(self.vectorizer_).transform_after(prompts, X)
        return X

    def sample(self, n_samples=1, random_state=None, *, max_length=10_000, prompts=None):
        """Draw documents from the model.

        Where the vocabulary has an end-of-sequence token, a document ends at its first one and its
        length is a result; else each document has ``document_length_`` tokens.

        Parameters
        ----------
        n_samples : int, default=1
            How many documents; with prompts, how many for each.
        random_state : int, RandomState instance or None, default=None
            Source of all draws.
        max_length : int, default=10_000
            Tokens at which a document is cut where the model has an end-of-sequence token. Text
            does not say that it was cut: what counts it again has an end behind it.
        prompts : sequence of str or array-like of shape (n_prompts, n_columns), default=None
            What documents go on from, without being part of them; their last tokens count, as many
            as the model looks back. They make no difference to a model of single tokens.

        Returns
        -------
        documents : list of str or csr_array of shape (n_samples, V)
            Text (tokens joined as by `TokenCounter.decode`, without the end-of-sequence token),
            else counts where words are not known. With prompts there are n_prompts * n_samples,
            those of the first prompt first.

        Raises
        ------
        ValueError
            If a parameter is out of its range, or there would be more than 2**27 tokens of text.
        """
        return self._sample(n_samples, random_state, max_length, prompts)

    def _warn_of_dropped(self, X):
        """Warn of tokens that a vectorizer which learns nothing leaves out."""
        counter = unwrap(self.vectorizer)
        if counter is not self.vectorizer and isinstance(counter, NGramCounter):
            warn_of_dropped(
                type(self).__name__,
                counter,
                X,
                "its frozen vectorizer, as of a model read from a file, keeps its own tokens and "
                "n-grams and has no unk_token. Fit NGramLM with a vectorizer of its own, as "
                "NGramCounter(order), or use a file with <unk>.",
            )

    def to_arpa(self, path, *, overwrite=False):
        """Write the model as an ARPA file, which KenLM, SRILM and others read.

        Parameters
        ----------
        path : str or path-like
            Where to; packed by gzip if the name ends with ``.gz``. Logarithms have ten digits.
            The vectorizer's ``unk_token`` is written as ``<unk>``, its ``eos_token`` as ``</s>``;
            how it splits a text is not written, nor what prompts the documents of a policy start
            after: a model that is read starts at the start of a document.
        overwrite : bool, default=False
            Whether to replace a file that is there.

        Returns
        -------
        self : language model

        Raises
        ------
        FileExistsError
            If the file is there, and not to be replaced.
        ValueError
            If it is no model of n-grams, its tokens are not known, or one of them cannot stand in
            such a file.
        """
        check_is_fitted(self)
        subject = f"{type(self).__name__}.to_arpa"
        if not hasattr(self, "_backoff") or token_names(self) is None:
            raise ValueError(
                f"{subject} writes models of n-grams whose tokens are known, and this one is of "
                "counts without names, or of single tokens. Fit it on text, by an NGramCounter."
            )
        names = _arpa_names(self, self._backoff.trie.n_tokens, subject)
        with new_file(path, overwrite=overwrite, subject=subject) as file:
            is_packed = fspath(path).endswith(".gz")
            # Without a time, equal models give equal files.
            packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if is_packed else None
            text = io.TextIOWrapper(packed or file, encoding="utf-8", newline="\n")
            text.writelines(write_arpa(self._backoff, names))
            text.flush()
            text.detach()
            if packed is not None:
                packed.close()
        return self


def _arpa_names(model, n_tokens, subject):
    """Return the names (V,) of tokens in an ARPA file."""
    names = np.array(token_names(model)[:n_tokens], dtype=object)
    counter = unwrap(model.vectorizer_)
    special = [getattr(counter, f"{name}_index_", None) for name in ("unk", "eos")]
    for column, written in zip(special, _SPECIAL, strict=True):
        if column is not None:
            names[column] = written
    listed = names.tolist()
    wrong = [name for name in listed if name == START or not _is_field(name)]
    taken = (*_SPECIAL, ALSO_UNKNOWN)
    own = [name for column, name in enumerate(listed) if name in taken and column not in special]
    if wrong or own:
        what = repr(wrong[0]) if wrong else f"a token of its own called {own[0]}"
        raise ValueError(
            f"{subject} cannot write {what}: an ARPA file has tokens of UTF-8, without a character "
            f"0, between blanks, and {START}, {UNKNOWN} and {END} mean "
            "what they do. Use another tokenizer or vocabulary."
        )
    return names


def _is_field(name):
    """Return whether a token is one field of a file, and can be read again."""
    is_text = "\0" not in name and not any("\ud800" <= letter <= "\udfff" for letter in name)
    return is_text and split_fields(name) == [name]


def read_model(path: Any, *, tokenizer: Any, lowercase: bool) -> tuple[Any, BackoffModel]:
    """Return the frozen vectorizer and the model that an ARPA file makes."""
    place = place_of(path, "NGramLM.from_arpa")
    if Path(path).is_dir():
        raise IsADirectoryError(f"{place} is a folder. Name an ARPA file in it.")
    # Before a long file is read, what was said of it.
    NGramCounter(tokenizer=tokenizer, lowercase=lowercase)._validate_params()
    names, model = read_arpa(read_lines(path, place), place)
    counter = NGramCounter(
        model.trie.order,
        tokenizer=tokenizer,
        lowercase=lowercase,
        unk_token=UNKNOWN if UNKNOWN in names else None,
        eos_token=END if END in names else None,
        vocabulary=names,
    )
    return FrozenEstimator(counter._know(names, model.trie)), model
