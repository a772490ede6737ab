"""Rewards of n-grams as values of what a policy over n-grams is made of, where they add over it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._ngrams.lookup import find_ngrams
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.exact._ngram_rollouts import NGramRollouts

# A weight of so small a share of the greatest is rounding.
_ROUNDING = 1e-13
# Documents that show n-grams with a weight, those with the greatest.
_N_SHOWN = 512
# Stands for a token in no n-gram.
_NOWHERE = -3


class Linear(NamedTuple):
    """A function of counts that is linear, as far as single ones tell.

    Attributes
    ----------
    weights : ndarray of shape (n_columns,)
        What one count of each column adds.
    offset : float
        What no count has.
    """

    weights: FloatArray
    offset: float


def trie_of_rollouts(rollouts: Rollouts) -> Trie | None:
    """Return the trie of documents drawn from a policy that looks back; None of other policies."""
    trie: Trie | None = getattr(rollouts, "trie", None)
    return None if trie is None or trie.n_contexts == 1 else trie


def are_same(trie: Trie, other: Trie) -> bool:
    """Return whether two tries have the same n-grams, and so the same events."""
    return trie is other or all(
        np.array_equal(getattr(trie, name), getattr(other, name))
        for name in Trie.__dataclass_fields__
    )


def linear(score: Callable, rows: Any) -> Linear:
    """Return the weights of a function of counts by its values of rows (n_columns, n), one each."""
    single, twice = score(rows), score(2.0 * rows[[0]])
    # The reward of one event is offset + w; of the same event twice, offset + 2 w.
    offset = float(2 * single[0] - twice[0])
    weights = single - offset
    scale = float(np.abs(single).max())
    return Linear(np.where(np.abs(weights) <= _ROUNDING * scale, 0.0, weights), offset)


def adds(weights: FloatArray, trie: Trie) -> bool:
    """Return whether weights (E,) of events leave out the contexts that documents end in."""
    return not weights[trie.n_arcs + trie.n_contexts - 1 :].any()


def own_weights(weights: FloatArray, trie: Trie) -> FloatArray | None:
    """Return what each n-gram (A,) adds to those that it ends with; None if more than they count.

    Parameters
    ----------
    weights : ndarray of shape (E,)
        Of events, of which a token has one arc.
    trie : Trie
        Its n-grams.
    """
    of_arcs = weights[: trie.n_arcs]
    if weights[trie.n_arcs :].any():
        return None
    own = of_arcs.copy()
    longer = trie.lower >= 0
    own[longer] -= of_arcs[trie.lower[longer]]
    return np.where(np.abs(own) <= _ROUNDING * np.abs(of_arcs).max(), 0.0, own)


def longer_than_tokens(own: FloatArray, trie: Trie) -> bool:
    """Return whether an n-gram of two tokens or more has a weight of its own (A,)."""
    return bool(own[trie.n_tokens :].any())


def translate(
    own: Linear, counter: Any, probe: Any, *, goes_on: bool, is_cut: bool
) -> Linear | None:
    """Return the reward of each event (E,) of a policy by weights of the n-grams of a counter.

    A token has the n-grams that its arc, the longest n-gram of the policy that ends there, ends
    with. So each n-gram with a weight has to be one of the policy, in all spellings of it that the
    policy has; None where that is not so.

    Parameters
    ----------
    own : Linear
        Weight of each n-gram (A',) of the counter, beside those that it ends with.
    counter : NGramCounter, fitted
        Counts the text of documents.
    probe : NGramRollouts
        Documents of the policy, with names.
    goes_on : bool
        Whether documents go on from prompts: their text does not have what begins there.
    is_cut : bool
        Whether documents may be cut: to the counter they end there.
    """
    trie, other = probe.trie, counter.trie_
    weights, offset = own
    weighted = np.flatnonzero(weights[other.n_tokens :]) + other.n_tokens
    columns = counter._columns_of_tokens(probe.names)
    if trie.eos >= 0:
        columns[trie.eos] = other.eos if other.eos >= 0 else _NOWHERE
    rows = other.ngrams(weighted)
    needs_end = other.eos >= 0 and bool((rows[:, -1] == other.eos).any())
    if goes_on or (columns == -1).any() or (needs_end and (is_cut or trie.eos < 0)):
        return None
    spelled = trie.ngrams(np.arange(trie.n_arcs))
    found = find_ngrams(other, np.where(spelled >= 0, columns[spelled], spelled))
    is_one = found >= 0
    n_spellings = np.bincount(columns[columns >= 0], minlength=other.n_tokens)
    n_needed = np.where(rows >= 0, n_spellings[rows], 1.0).prod(axis=1)  # beyond integers
    n_found = np.bincount(found[is_one], minlength=other.n_arcs)[weighted]
    if not np.array_equal(n_found, n_needed):
        return None
    values = np.zeros(trie.n_arcs)
    values[is_one] = weights[found[is_one]]
    if other.eos >= 0:  # each text has one
        offset += float(weights[other.eos])
        values[: trie.n_tokens][columns == other.eos] = 0.0
    return Linear(np.asarray(trie.cumulative @ values), offset)


def explain_misfit(own: Linear, counter: Any, probe: Any, *, goes_on: bool) -> str:
    """Return why weights of n-grams are not those of what a policy is made of, and what helps.

    Parameters
    ----------
    own, counter, probe, goes_on
        As of :func:`translate`.
    """
    trie, other = probe.trie, counter.trie_
    weighted = np.flatnonzero(own.weights[other.n_tokens :]) + other.n_tokens
    weighted = weighted[np.argsort(-np.abs(own.weights[weighted]), kind="stable")]
    rows = other.ngrams(weighted)
    lengths = (rows != -1).sum(axis=1)
    is_known = find_ngrams(trie, _in_tokens_of(trie, rows, counter, probe.names)) >= 0

    def spell(place):
        row = rows[place][rows[place] != -1].tolist()
        return repr(" ".join("<s>" if token < 0 else str(counter._names[token]) for token in row))

    k = int(lengths.max())
    if k > trie.order:
        return (
            f"it weighs n-grams of {k} tokens, as {spell(int(np.argmax(lengths)))}, and the policy "
            f"is of order {trie.order}. Give all one order, NGramLM(order={k}) and NGramCounter("
            f"order={k}), in a pipeline pretrain__order and vectorizer__order"
        )
    what = "its n-grams are not those of the policy"
    if not is_known.all():
        what = (
            f"it adds over n-grams, of which {spell(int(np.argmin(is_known)))} is none of the "
            "policy's, written by backing off"
        )
    elif goes_on:
        what = "documents go on from prompts, of which a model of n-grams of its own sees nothing"
    return (
        f"{what}. Fit it on the policy's n-grams: PreferenceRewardModel(vectorizer="
        "FrozenEstimator(policy.vectorizer_))"
    )


def _in_tokens_of(trie, rows, counter, names):
    """Return n-grams (n, k) of a counter in the tokens of a policy, -3 for those it has not."""
    columns = counter._columns_of_tokens(names)
    own = np.full(counter.trie_.n_tokens, _NOWHERE)
    known = np.flatnonzero(columns >= 0)
    own[columns[known]] = known
    if trie.eos >= 0 and counter.trie_.eos >= 0:
        own[counter.trie_.eos] = trie.eos
    return np.where(rows >= 0, own[rows], rows)


def documents_of_ngrams(values: FloatArray, probe: Any) -> list[NGramRollouts]:
    """Return a batch with the n-grams of a policy of the greatest values (E,), or no batch.

    Random documents hardly ever have the few that a model knows.
    """
    trie = probe.trie
    of_arcs = np.abs(values[trie.n_tokens : trie.n_arcs])
    arcs = np.flatnonzero(of_arcs)
    if not len(arcs):
        return []
    arcs = arcs[np.argsort(-of_arcs[arcs], kind="stable")[:_N_SHOWN]] + trie.n_tokens
    rows = [row[row >= 0] for row in trie.ngrams(arcs)]
    if trie.eos >= 0:
        rows = [row if row[-1] == trie.eos else np.append(row, trie.eos) for row in rows]
    return [as_rollouts(rows, probe)]


def as_rollouts(documents: list, probe: Any, contexts: Any = None) -> NGramRollouts:
    """Return documents, each an array of tokens, as they are drawn where ``probe`` was.

    They go on from contexts (n_documents,), None means the start of a document.
    """
    trie = probe.trie
    lengths = np.array([len(row) for row in documents])
    tokens = np.concatenate(documents).astype(np.intp)
    walk = trie.walk(tokens, np.append(0, np.cumsum(lengths)), contexts)
    return NGramRollouts(
        tokens, lengths, trie.n_tokens, probe.names, probe.eos, trie, walk.arcs, walk.contexts
    )


def documents_of(rollouts: Any, mask: np.ndarray) -> NGramRollouts:
    """Return some of the documents drawn, by a mask (n_documents,)."""
    of_tokens = np.repeat(mask, rollouts.lengths)
    names = ("tokens", "arcs", "contexts")
    kept = {name: getattr(rollouts, name)[of_tokens] for name in names}
    return replace(rollouts, lengths=rollouts.lengths[mask], **kept)
