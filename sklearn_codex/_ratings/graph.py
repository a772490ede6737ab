"""Which models comparisons connect, and which ratings have no finite estimate."""

import warnings
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components

from sklearn_codex._categorical import BoolArray, FloatArray, IntArray
from sklearn_codex.exceptions import SeparationWarning

# Frames between the caller of a fit and the warning.
_DEPTH = 8


class Connections(NamedTuple):
    """What comparisons say of the order of models, however strong.

    Parameters
    ----------
    component : ndarray of int of shape (n_models,)
        Models of one number are connected by comparisons.
    n_components : int
        How many there are.
    infinite : ndarray of shape (n_models,)
        0 for models of the core, the greatest set in which each has beaten, or been level with,
        each other in a chain; ``inf`` for one that is never beaten by it, ``-inf`` for one that
        never beats it, NaN where nothing tells. A single model is no such set: if none has two,
        ``inf`` for one that has lost nothing, ``-inf`` for one that has won nothing.
    """

    component: IntArray
    n_components: int
    infinite: FloatArray


def find_connections(
    a: IntArray,
    b: IntArray,
    target: FloatArray,
    weight: FloatArray,
    n_models: int,
    bad: BoolArray | None = None,
) -> Connections:
    r"""Return the connections of models by comparisons.

    Parameters
    ----------
    a, b : ndarray of int of shape (n,)
        Models compared.
    target : ndarray of shape (n,)
        In [0, 1]: 1 where only A was preferred, 0 where only B was; between, both won something.
    weight : ndarray of shape (n,)
        Rows of weight 0 are none.
    n_models : int
        How many there are.
    bad : ndarray of bool of shape (n,), default=None
        Which votes say that both are bad, where that is an outcome.

    Notes
    -----
    Without a penalty the ratings have finite estimates if and only if the models cannot be parted
    in two sets such that no one of the first has won anything against one of the second [1]_: if
    the graph of wins is strongly connected. A tie is something won for both. Where votes say that
    both are bad, what they are measured by is one more of the set: it has won against both, and
    lost to who wins, or is level with another, in other votes.

    References
    ----------
    .. [1] Ford, L. R. (1957). "Solution of a ranking problem from binary comparisons." American
       Mathematical Monthly 64(8), 28-33.
    """
    bad = np.zeros(len(a), dtype=bool) if bad is None else bad & (weight > 0)
    won = (target > 0) & (weight > 0) & ~bad  # by A
    lost = (target < 1) & (weight > 0) & ~bad
    winners = np.concatenate([a[won], b[lost]])
    losers = np.concatenate([b[won], a[lost]])
    n_named = n_models
    if bad.any():
        measure = np.full(len(winners), n_models)
        found_bad = np.concatenate([a[bad], b[bad]])
        losers = np.concatenate([losers, measure, found_bad])
        winners = np.concatenate([winners, winners, np.full(len(found_bad), n_models)])
        n_models += 1
    # From each to whom it has won something against.
    wins = sparse.csr_array((np.ones(len(winners)), (winners, losers)), shape=(n_models, n_models))
    n_components, component = connected_components(wins, connection="weak")
    _, strong = connected_components(wins, connection="strong")
    core = np.flatnonzero(strong == np.argmax(np.bincount(strong)))
    if (core < n_named).sum() <= 1 < n_named:
        infinite = _place_without_core(winners, losers, n_models)[:n_named]
        return Connections(component[:n_named].astype(np.intp), int(n_components), infinite)
    below = np.zeros(n_models, dtype=bool)
    above = np.zeros(n_models, dtype=bool)
    below[breadth_first_order(wins, core[0], return_predecessors=False)] = True
    above[breadth_first_order(wins.T.tocsr(), core[0], return_predecessors=False)] = True
    infinite = np.full(n_models, np.nan)
    infinite[above] = np.inf
    infinite[below] = -np.inf
    infinite[core] = 0.0
    return Connections(component[:n_named].astype(np.intp), int(n_components), infinite[:n_named])


def _place_without_core(winners, losers, n_models) -> FloatArray:
    """Return where models stand (n_models,) of which no two have won against each other."""
    has_won = np.bincount(winners, minlength=n_models) > 0
    has_lost = np.bincount(losers, minlength=n_models) > 0
    infinite = np.full(n_models, np.nan)
    infinite[has_won & ~has_lost] = np.inf
    infinite[has_lost & ~has_won] = -np.inf
    return infinite


def list_names(names, most: int = 5) -> str:
    """Return the first names of some, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def tell_connections(found: Connections, names: np.ndarray, alpha: float, *, subject: str) -> None:
    """Say which models comparisons do not connect, or do not give a finite rating.

    Raises
    ------
    ValueError
        If there are several sets of models without a comparison between, and no penalty.
    """
    if found.n_components > 1:
        _tell_components(found, names, alpha, subject)
    elif (found.infinite != 0).any():
        _tell_separated(found, names, alpha, subject)


def _tell_components(found, names, alpha, subject):
    sizes = np.bincount(found.component)
    parts = np.argsort(-sizes, kind="stable")
    shown = "; ".join(list_names(names[found.component == part], 3) for part in parts[:4])
    shown += f"; and {len(parts) - 4} more" if len(parts) > 4 else ""
    said = (
        f"{subject} has {found.n_components} sets of models without a comparison between them: "
        f"{shown}."
    )
    if alpha == 0:
        raise ValueError(
            f"{said} Their ratings have no common scale. Rate each set alone, collect comparisons "
            "between them, or set alpha above 0, which gives each set the mean 0."
        )
    warnings.warn(
        f"{said} That the mean rating of each is 0 comes from alpha={alpha:g}, not from votes. "
        "Rate each set alone, or collect comparisons between them.",
        UserWarning,
        stacklevel=_DEPTH,
    )


def _tell_separated(found, names, alpha, subject):
    words = []
    for value, what in ((np.inf, "lost nothing to"), (-np.inf, "won nothing against")):
        those = names[found.infinite == value]
        if len(those):
            have = "has" if len(those) == 1 else "have"
            words.append(f"{list_names(those)} {have} {what} the others")
    those = names[np.isnan(found.infinite)]
    if len(those):
        what = "whether they are better or worse"
        if not (found.infinite == 0).any():
            what = "by how much they are better or worse"
        words.append(f"of {list_names(those)} nothing tells {what}")
    made = "infinite" if alpha == 0 else f"finite by alpha={alpha:g} only"
    warnings.warn(
        f"{subject} found that {'; '.join(words)}. Votes give no finite estimate of such ratings: "
        f"they are {made}, with infinite standard errors, see separated_. Collect more comparisons "
        "of these models.",
        SeparationWarning,
        stacklevel=_DEPTH,
    )
