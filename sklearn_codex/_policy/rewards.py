"""What a reward model is to a policy: one number for each document the policy draws."""

import warnings
from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.fitted_models import check_fitted_model, unwrap
from sklearn_codex._data.vectorizers import column_names
from sklearn_codex._policy.ngram_rewards import (
    Linear,
    adds,
    are_same,
    documents_of_ngrams,
    explain_misfit,
    linear,
    longer_than_tokens,
    own_weights,
    translate,
    trie_of_rollouts,
)
from sklearn_codex._rollouts import Rollouts

# Numbers of a dense matrix that is given to a model at once, 64 MB.
_DENSE_NUMBERS = 8_000_000
# Difference that is rounding, as a share of the largest values.
_SAME = 1e-8


class DocumentReward:
    """The reward of documents, whatever gives it, and its token weights where it adds over tokens.

    Parameters
    ----------
    source : fitted estimator or callable
        A model with ``reward(documents)``, a regressor with ``predict(documents)``, or a callable
        ``documents -> (n_documents,)``. A model fitted on the columns of the vocabulary, or on
        those of the policy's n-grams, is given counts; everything else is given text where words
        are known, else counts.
    probe : Rollouts
        Documents of the reference policy, on which a linear model must prove that it is additive.
    subject : str
        The estimator that asks, for messages.
    objective : Objective, default=None
        What documents are drawn for; None has the probe tell how they begin and end.

    Attributes
    ----------
    token_reward : ndarray of shape (V,) or (E,), or None
        Reward of each token, of policies over n-grams of each event, where the reward of a document
        is their sum plus ``offset``.
    offset : float
        Reward of the empty document, where ``token_reward`` is known.
    is_tested : bool
        Whether ``token_reward`` was found by trying documents: others may contradict it.
    misfit : str or None
        Why a reward that adds over n-grams does not over those of the policy, and what helps.

    Notes
    -----
    A document that goes on from a prompt is, to a model of the columns of the policy's n-grams,
    what ``NGramCounter.transform_after`` counts: an n-gram that begins in the prompt has its
    reward. To any other model it is its own text, from whose start n-grams begin; the reward of
    n-grams then does not add over those of the policy.
    """

    token_reward: FloatArray | None = None
    offset: float = 0.0
    is_tested: bool = False
    misfit: str | None = None

    def __init__(self, source: Any, probe: Rollouts, *, subject: str, objective: Any = None):
        self.subject = subject
        self.source = source
        self._method, self._columns = _interface(source, probe, subject=subject)
        if hasattr(unwrap(source), "coef_"):
            found = self._find_token_reward(probe, objective)
            if found is not None:
                self.token_reward, self.offset = found

    def __call__(self, rollouts: Rollouts) -> FloatArray:
        """Return the reward (n_documents,) of each document."""
        model = unwrap(self.source)
        function = model if self._method is None else getattr(model, self._method)
        if self._columns is None:
            rewards = function(rollouts.texts)
        elif self._method is None:
            rewards = function(rollouts.counts)
        else:
            return self._score_counts(_COUNTS[self._columns](rollouts))
        return check_rewards(rewards, len(rollouts), model, self.subject)

    def _score_counts(self, counts):
        """Return what the model says of a matrix of counts in its columns."""
        model = unwrap(self.source)
        function = getattr(model, self._method)
        with warnings.catch_warnings():
            # A model fitted on a data frame; _columns_taken compared the names.
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            parts = [function(matrix) for matrix in _matrices(counts, model)]
        rewards = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return check_rewards(rewards, counts.shape[0], model, self.subject)

    def as_tested(self, found: Linear | None) -> "DocumentReward":
        """Return the reward with what documents tell of its token weights, None for none."""
        reward = copy(self)
        reward.token_reward, reward.offset = (None, 0.0) if found is None else found
        reward.is_tested = found is not None
        return reward

    def explains(self, rollouts: Rollouts) -> bool:
        """Return whether the rewards of documents are those of what they are made of."""
        assert self.token_reward is not None
        return self._agrees(Linear(self.token_reward, self.offset), [rollouts])

    def _agrees(self, found, batches):
        predicted = [batch.sum_over_tokens(found.weights) + found.offset for batch in batches]
        actual = np.concatenate([self(batch) for batch in batches])
        scale = 1.0 + float(np.abs(actual).max())
        return np.allclose(np.concatenate(predicted), actual, rtol=0.0, atol=_SAME * scale)

    def _find_token_reward(self, probe, objective):
        """Return the rewards of what documents are made of, if they explain the probe."""
        trie = trie_of_rollouts(probe)
        if trie is None:
            return self._find_by_single_tokens(probe)
        if self._columns in ("events", "ngrams"):
            rows = sparse.eye_array(trie.n_events, format="csr")
            rows = rows if self._columns == "events" else trie.cumulative
            found = linear(self._score_counts, rows)
            return found if adds(found.weights, trie) and self._agrees(found, [probe]) else None
        counter = unwrap(_vectorizer_of(unwrap(self.source)))
        other = getattr(counter, "trie_", None)
        if self._columns is None and self._method is not None and other is not None:
            rows = sparse.eye_array(other.n_events, format="csr")
            of_events = linear(self._score_counts, rows)
            own = own_weights(of_events.weights, other)
            if own is None:
                return None
            if longer_than_tokens(own, other):
                weighted = Linear(own, of_events.offset)
                return self._find_by_ngrams(weighted, counter, probe, objective)
        plain = Rollouts(probe.tokens, probe.lengths, probe.n_columns, probe.names, probe.eos)
        found = self._find_by_single_tokens(plain)
        return None if found is None else Linear(trie.token_map @ found.weights, found.offset)

    def _find_by_ngrams(self, own, counter, probe, objective):
        """Return the rewards of events by weights of n-grams of the text, None for none."""
        if probe.names is None:
            return None
        begins = np.unique(probe.contexts[probe.starts])
        is_cut = not probe.ended.all()
        if objective is not None:
            begins, is_cut = np.flatnonzero(objective.initial), objective.max_length is not None
        goes_on = bool((begins != probe.trie.first_context).any())
        found = translate(own, counter, probe, goes_on=goes_on, is_cut=is_cut)
        if found is None:
            self.misfit = explain_misfit(own, counter, probe, goes_on=goes_on)
            return None
        batches = [probe, *documents_of_ngrams(found.weights, probe)]
        return found if self._agrees(found, batches) else None

    def _find_by_single_tokens(self, probe):
        """Return the rewards of one-token documents as weights, if they explain the probe."""
        n_columns, eos = probe.n_columns, probe.eos
        probes = [probe]
        if self._columns is None:
            probes += _documents_of_features(unwrap(self.source), probe)
        first = 1 if eos == 0 and n_columns > 1 else 0
        twice = Rollouts(np.full(2, first), np.array([2]), n_columns, probe.names, eos)
        singles = Rollouts(
            np.arange(n_columns), np.ones(n_columns, dtype=np.intp), n_columns, probe.names, eos
        )
        single = self(singles)
        # The reward of one token is offset + w; of the same token twice, offset + 2 w.
        offset = float(2 * single[first] - self(twice)[0])
        found = Linear(single - offset, offset)
        return found if self._agrees(found, probes) else None


def same_values(
    actual: FloatArray, predicted: FloatArray, values: FloatArray, rollouts: Rollouts
) -> bool:
    """Tell whether the values (V,) of tokens explain those (n_documents,) of documents."""
    scale = float(np.abs(values).max() * rollouts.lengths.max() + np.abs(actual).max())
    return bool(np.all(np.abs(actual - predicted) <= _SAME * scale))


def reward_method(source: Any, *, subject: str) -> str | None:
    """Return the method of a model that gives rewards: "reward", "predict", or None for a call.

    Raises
    ------
    TypeError
        If it has none, or is a classifier.
    NotFittedError
        If it is not fitted.
    """
    model = unwrap(source)
    if hasattr(model, "reward"):
        method = "reward"
    elif hasattr(model, "predict"):
        method = "predict"
        # Models of other libraries may have no tags.
        if hasattr(model, "__sklearn_tags__") and is_classifier(model):
            raise TypeError(
                f"{subject} needs a reward_model that gives each document a number, got the "
                f"classifier {type(model).__name__}. Pass a fitted PreferenceRewardModel, a fitted "
                "regressor, or a callable such as lambda docs: clf.predict_proba(docs)[:, 1]."
            )
    elif callable(model):
        return None
    else:
        raise TypeError(
            f"{subject} needs a reward_model with reward(documents) or predict(documents), or a "
            f"callable, got {type(model).__name__}."
        )
    if hasattr(model, "fit"):
        check_fitted_model(source, parameter="reward_model", subject=subject)
    return method


def _interface(source, probe, *, subject):
    """Return the method that scores documents (None: a call), and what it takes; see _COUNTS."""
    method = reward_method(source, subject=subject)
    if method is None:
        return None, "tokens" if probe.names is None else None
    return method, _columns_taken(unwrap(source), probe, subject=subject)


def _columns_taken(model, probe, *, subject):
    """Return which columns of the policy's the model has; None where it has to take text."""
    n_columns = getattr(model, "n_features_in_", None)
    vectorizer = _vectorizer_of(model)
    if trie_of_rollouts(probe) is not None:
        taken = _ngrams_taken(model, n_columns, unwrap(vectorizer), probe)
        if taken is not None:
            return taken
    if vectorizer is None:
        names = getattr(model, "feature_names_in_", None)
        agree = names is None or probe.names is None or np.array_equal(names, probe.names)
    else:
        names = column_names(vectorizer)
        agree = probe.names is None or np.array_equal(names, probe.names)
    if n_columns == probe.n_columns and agree:
        return "tokens"
    if n_columns is not None and vectorizer is None:
        differ = "named otherwise" if n_columns == probe.n_columns else f"{n_columns} in number"
        raise ValueError(
            f"{subject} has a policy of {probe.n_columns} columns, but its reward_model "
            f"({type(model).__name__}) was fitted on counts whose columns are {differ}. Fit it on "
            "counts from the policy's vectorizer, or on text in a Pipeline with its own."
        )
    return None


def _ngrams_taken(model, n_columns, counter, probe):
    """Return whether the columns are the policy's events or n-grams, None for neither."""
    trie = probe.trie
    if counter is not None:
        other = getattr(counter, "trie_", None)
        if other is None or not are_same(other, trie):
            return None
        is_same = probe.names is None or np.array_equal(counter._names, probe.names)
        return "events" if is_same else None
    names = getattr(model, "feature_names_in_", None)
    if names is not None and probe.names is not None:
        known = np.array(trie.spell(probe.names)[0], dtype=object)
        if not np.array_equal(names[: trie.n_arcs], known):
            return None
    return {trie.n_events: "events", trie.n_arcs: "ngrams"}.get(n_columns)


# Counts of documents in the columns of the policy that a model was fitted on.
_COUNTS: dict[str, Callable] = {
    "tokens": lambda rollouts: rollouts.counts,
    "events": lambda rollouts: rollouts.events,
    "ngrams": lambda rollouts: rollouts.events @ rollouts.trie.cumulative,
}


def _vectorizer_of(model):
    """Return what turns the model's text into counts, or None where it takes counts only."""
    if isinstance(model, Pipeline):
        model = unwrap(model.steps[0][1])
        return model if getattr(model, "vocabulary_", None) is not None else None
    return getattr(model, "vectorizer_", None)


def _documents_of_features(model, probe):
    """Return a batch that holds each feature of several words, such as a bigram, or no batch.

    Random documents hardly ever have the few bigrams that a model knows.
    """
    vectorizer = _vectorizer_of(model)
    names = None if vectorizer is None else column_names(vectorizer)
    if names is None:
        return []
    column = {name: position for position, name in enumerate(probe.names)}
    features = [name.split() for name in names]
    rows = [
        [column[word] for word in words]
        for words in features
        if len(words) > 1 and all(word in column for word in words)
    ]
    if not rows:
        return []
    tokens, lengths = np.concatenate(rows), np.array([len(row) for row in rows])
    return [Rollouts(tokens, lengths, probe.n_columns, probe.names, probe.eos)]


def _matrices(counts, model):
    """Yield counts in the form the model takes: CSR, or dense parts where it refuses sparse input.

    A part has so many documents that it fits into memory whatever the size of the vocabulary.
    """
    tags = getattr(model, "__sklearn_tags__", None)
    if tags is None or tags().input_tags.sparse:
        yield sparse.csr_matrix(counts)
        return
    n_rows = max(1, _DENSE_NUMBERS // counts.shape[1])
    for start in range(0, counts.shape[0], n_rows):
        yield counts[start : start + n_rows].toarray()


def check_rewards(rewards: Any, n_documents: int, source: Any, subject: str) -> FloatArray:
    """Return rewards as floats (n,) or say what is wrong with them."""
    name = type(unwrap(source)).__name__
    try:
        rewards = np.asarray(rewards, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{subject} needs one number for each document; its reward_model ({name}) returned "
            f"a {type(rewards).__name__} that is not numeric: {error}."
        ) from error
    if rewards.shape != (n_documents,):
        raise ValueError(
            f"{subject} needs one reward for each document, an array of shape ({n_documents},); "
            f"its reward_model ({name}) returned shape {rewards.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(rewards))
    if bad.size:
        raise ValueError(
            f"{subject} needs finite rewards; its reward_model ({name}) returned {rewards[bad[0]]} "
            f"for {bad.size} of {n_documents} documents."
        )
    return rewards
