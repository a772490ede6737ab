"""What objectives over n-grams are about: models, and rewards of n-grams."""

from collections import Counter
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils._param_validation import Interval

from sklearn_codex._categorical import FloatArray, safe_log
from sklearn_codex._checks.matrices import check_sparse
from sklearn_codex._checks.numbers import as_floats, check_number, check_values
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.table import Level, NGramTable
from sklearn_codex._ngrams.trie import Trie

# What rows may differ from one by.
_SUM_TOLERANCE = 1e-8


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
            f"tokens at most. Take n-grams of model.vectorizer_.get_feature_names_out()"
            f"[:{trie.n_arcs}]; names behind these are of contexts, which have no reward."
        )
    _check_unambiguous(names, rewards)
    reward = np.zeros(trie.n_arcs)
    for name, value in rewards.items():
        reward[arcs[name]] = check_number(value, f"reward of {name!r}", subject="arc_reward")
    return reward


def _check_unambiguous(names, rewards):
    """Raise where a name is that of two n-grams, as tokens may have blanks or be "<s>"."""
    again = {name for name, n in Counter(names).items() if n > 1}
    ambiguous = [name for name in rewards if name in again]
    if ambiguous:
        columns = [column for column, name in enumerate(names) if name == ambiguous[0]]
        raise ValueError(
            f"arc_reward got {ambiguous[0]!r}, which is the name of several n-grams of the model, "
            f"columns {columns}: tokens with blanks, or a token called '<s>', make it so. Pass "
            "rewards as an array, in the order of the columns."
        )


def bigram_model(
    transition: Any,
    initial: ArrayLike,
    *,
    backoff: ArrayLike | None = None,
    unigram: ArrayLike | None = None,
    eos: int | None = None,
) -> BackoffModel:
    r"""Return the n-gram model of order 2 that has these probabilities of the next token.

    Parameters
    ----------
    transition : array-like or sparse array of shape (V, V)
        Row s holds the probabilities of the tokens that follow token s; with ``backoff`` only the
        part of them that is not backed off.
    initial : array-like of shape (V,)
        Probabilities of the first token of a document.
    backoff : array-like of shape (V,), default=None
        Share of each row that comes from ``unigram``, so that
        :math:`P(t|s) = S_{st} + a_s u_t`: a sparse matrix and a product of two vectors.
    unigram : array-like of shape (V,), default=None
        Probabilities u that rows back off to; given with ``backoff``.
    eos : int, default=None
        Column of an end-of-sequence token, whose row makes no difference; None means that there is
        none, and documents have the ``max_length`` of an objective.

    Returns
    -------
    model : back-off model
        For :meth:`NGramObjective.of_model` and :func:`arc_reward`. Its arcs are the V tokens, then
        the pairs of tokens that S has an entry for, then the first tokens. What is neither an entry
        nor backed off has probability 0.

    Raises
    ------
    ValueError
        If shapes do not fit, or if a row is no distribution.

    See Also
    --------
    NGramLM : Such a model from texts.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import NGramObjective, arc_reward, bigram_model
    >>> model = bigram_model([[0.2, 0.8], [0.6, 0.4]], initial=[0.5, 0.5])
    >>> reward = arc_reward(model, [1.0, 0.0])
    >>> problem = NGramObjective.of_model(model, reward, max_length=3)
    >>> problem.marginals(problem.optimum()).round(2)
    array([[0.68, 0.32],
           [0.48, 0.52],
           [0.57, 0.43]])
    """
    first = _probabilities(initial, "initial")
    n_tokens = len(first) if first.ndim else 0
    if (backoff is None) != (unigram is None):
        given, missing = ("backoff", "unigram")[:: 1 if unigram is None else -1]
        raise ValueError(
            f"bigram_model needs backoff and unigram together, got {given} and {missing}=None. "
            "Rows that need no back-off have backoff 0."
        )
    share = np.zeros(n_tokens) if backoff is None else _probabilities(backoff, "backoff")
    if unigram is None:
        unigram = np.full(n_tokens, 1.0 / max(n_tokens, 1))
    shared = _probabilities(unigram, "unigram")
    for name, values in (("initial", first), ("backoff", share), ("unigram", shared)):
        _check_shape(name, values, (n_tokens,))
    if sparse.issparse(transition):
        matrix = check_sparse(transition, subject="bigram_model", name="transition")
    else:
        matrix = _probabilities(transition, "transition")
    _check_shape("transition", matrix, (n_tokens, n_tokens))
    rows = sparse.csr_array(matrix)
    _check_not_negative("transition", rows.data)
    _check_sum("initial", first.sum())
    _check_sum("unigram", shared.sum())
    totals = rows.sum(axis=1) + share
    if eos is not None:
        columns = Interval(Integral, 0, n_tokens, closed="left")
        eos = check_number(eos, "eos, a column", subject="bigram_model", interval=columns)
        totals[eos] = 1.0
    worst = int(np.argmax(np.abs(totals - 1.0)))
    part = "" if not share.any() else ", its backoff included,"
    _check_sum(f"row {worst} of transition{part}", totals[worst])
    return _of_rows(rows, share, shared, first, -1 if eos is None else eos)


def _of_rows(rows, share, unigram, initial, eos):
    """Return the model of checked rows (V, V); a token is a context where its row has entries."""
    n_tokens, entries = len(initial), rows.tocoo()
    pairs = (entries.data > 0) & (entries.row != eos)
    begins = np.flatnonzero(initial)
    row, column = entries.row[pairs].astype(np.int64), entries.col[pairs]
    keys = np.concatenate([row * n_tokens + column, n_tokens**2 + begins])
    prob = np.concatenate([entries.data[pairs] + share[row] * unigram[column], initial[begins]])
    order = np.argsort(keys)
    level = Level(keys[order], np.ones(len(keys), np.int64))
    trie = Trie.of_table(NGramTable(n_tokens, (level,)), eos=eos)
    # The arc that a context is, is that of its token; the start, which backs off nowhere, has -1.
    backed = np.append(share, 0.0)[trie.arc_of_context]
    backed[0] = 1.0
    return BackoffModel(trie, safe_log(np.concatenate([unigram, prob[order]])), safe_log(backed))


def _probabilities(values, name):
    array = as_floats(values, "probabilities", subject="bigram_model")
    _check_not_negative(name, array)
    return array


def _check_shape(name, values, shape):
    if values.shape != shape or not shape[0]:
        raise ValueError(
            f"bigram_model needs {name} of shape {shape}, V being the length of initial and at "
            f"least 1, got shape {values.shape}."
        )


def _check_not_negative(name, values):
    if not np.all(values >= 0):
        raise ValueError(
            f"bigram_model needs probabilities, none negative or NaN, got {np.min(values):.6g} "
            f"in {name}. Pass exp of log-probabilities."
        )


def _check_sum(name, total):
    if not abs(total - 1.0) <= _SUM_TOLERANCE:
        raise ValueError(
            f"bigram_model needs {name} to sum to 1, got {total:.10g}. Divide it by its sum, in "
            "float64: the rounding of float32 would be taken for a gap to the optimum."
        )
