"""Which models comparisons connect, and which ratings have no finite estimate."""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components

from sklearn_codex._categorical import FloatArray, IntArray


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
        never beats it, NaN where nothing tells.
    """

    component: IntArray
    n_components: int
    infinite: FloatArray

    @property
    def is_core(self):
        """Which ratings are finite (n_models,)."""
        return self.infinite == 0


def find_connections(
    a: IntArray, b: IntArray, target: FloatArray, weight: FloatArray, n_models: int
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

    Notes
    -----
    Without a penalty the ratings have finite estimates if and only if the models cannot be parted
    in two sets such that no one of the first has won anything against one of the second [1]_: if
    the graph of wins is strongly connected. A tie is something won for both.

    References
    ----------
    .. [1] Ford, L. R. (1957). "Solution of a ranking problem from binary comparisons." American
       Mathematical Monthly 64(8), 28-33.
    """
    won = (target > 0) & (weight > 0)  # by A
    lost = (target < 1) & (weight > 0)
    winners = np.concatenate([a[won], b[lost]])
    losers = np.concatenate([b[won], a[lost]])
    # From each to whom it has won something against.
    wins = sparse.csr_array((np.ones(len(winners)), (winners, losers)), shape=(n_models, n_models))
    n_components, component = connected_components(wins, connection="weak")
    _, strong = connected_components(wins, connection="strong")
    core = np.flatnonzero(strong == np.argmax(np.bincount(strong)))
    below = np.zeros(n_models, dtype=bool)
    above = np.zeros(n_models, dtype=bool)
    below[breadth_first_order(wins, core[0], return_predecessors=False)] = True
    above[breadth_first_order(wins.T.tocsr(), core[0], return_predecessors=False)] = True
    infinite = np.full(n_models, np.nan)
    infinite[above] = np.inf
    infinite[below] = -np.inf
    infinite[core] = 0.0
    return Connections(component, int(n_components), infinite)


def list_names(names, most: int = 5) -> str:
    """Return the first names of some, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
