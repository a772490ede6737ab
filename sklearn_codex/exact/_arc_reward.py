"""Rewards of n-grams as rewards of the events of a model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_number, check_values
from sklearn_codex._ngrams.trie import Trie


def trie_of_model(model: Any, *, subject: str) -> Trie:
    """Return the trie of a fitted model of n-grams, or of a back-off model; or the trie itself."""
    for name in ("trie_", "trie"):
        if isinstance(found := getattr(model, name, model), Trie):
            return found
    raise TypeError(
        f"{subject} needs a fitted model of n-grams, such as NGramLM, got a {type(model).__name__}."
    )


def arc_reward(model: Any, ngram_reward: ArrayLike | Mapping[str, float]) -> FloatArray:
    """Return the reward of each event (E,) of an n-gram model from that of each n-gram.

    An n-gram that ends at a token counts, and so do those that it ends with: a trigram for its
    bigram and its token.

    Parameters
    ----------
    model : NGramLM or SFTRefiner, fitted, or Trie
        Its arcs, as n-grams, are those that have a reward.
    ngram_reward : array-like of shape (A,), or (k,) of the first k arcs, or mapping of str to float
        Reward of each; what is left out, as all but V tokens may be, is 0. A mapping has n-grams as
        the model's vectorizer names them, tokens joined by a blank.

    Returns
    -------
    reward : ndarray of shape (E,)
        ``token_reward`` of :class:`NGramObjective`.

    Raises
    ------
    ValueError
        If there are more rewards than arcs, one is not finite, or an n-gram is not known.

    Examples
    --------
    >>> from sklearn_codex import NGramLM
    >>> from sklearn_codex.exact import arc_reward
    >>> model = NGramLM(order=2).fit(["a b a", "b b"])
    >>> reward = arc_reward(model, {"b": 1.0, "a b": 0.5})
    >>> names = model.vectorizer_.get_feature_names_out()
    >>> {name: float(r) for name, r in zip(names, reward, strict=True) if r}
    {'b': 1.0, 'a b': 1.5, 'b b': 1.0, '<s> b': 1.0}
    """
    trie: Trie = trie_of_model(model, subject="arc_reward")
    if isinstance(ngram_reward, Mapping):
        reward = _by_names(model, trie, ngram_reward)
    else:
        reward = check_values(ngram_reward, "ngram_reward", subject="arc_reward")
    if len(reward) > trie.n_arcs:
        raise ValueError(
            f"arc_reward needs at most one reward for each of {trie.n_arcs} arcs, got "
            f"{len(reward)}."
        )
    total = np.zeros(trie.n_events)
    total[: len(reward)] = reward
    for start, stop in trie.levels()[1:]:
        total[start:stop] += total[trie.lower[start:stop]]
    return total


def _by_names(model, trie, rewards):
    """Return the reward (A,) of each arc from those of n-grams by their names."""
    if getattr(model, "vectorizer_", None) is None:
        raise ValueError(
            "arc_reward got n-grams by name, but the model was fitted on counts without names. "
            "Pass rewards in the order of its columns, or fit it on text."
        )
    names = model.vectorizer_.get_feature_names_out()[: trie.n_arcs].tolist()
    arcs = {name: arc for arc, name in enumerate(names)}
    unknown = [name for name in rewards if name not in arcs]
    if unknown:
        raise ValueError(
            f"arc_reward got {unknown[0]!r}, which is no n-gram of the model, of {trie.order} "
            "tokens at most. Take n-grams of model.vectorizer_.get_feature_names_out()."
        )
    reward = np.zeros(trie.n_arcs)
    for name, value in rewards.items():
        reward[arcs[name]] = check_number(value, f"reward of {name!r}", subject="arc_reward")
    return reward
