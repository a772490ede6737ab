"""What an objective has to know for constraints on expected costs."""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._categorical import FloatArray
from sklearn_codex.exact._objective import Objective


class PricedObjective(Objective):
    """An objective whose best policy within a budget of expected cost is the best at some price."""

    @property
    @abstractmethod
    def possible(self) -> NDArray[np.bool_]:
        """Which tokens (V,) a policy of finite value can produce."""

    @abstractmethod
    def cost_floor(self, cost: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the least expected costs of a document, and what each token costs beyond them.

        Parameters
        ----------
        cost : ndarray of shape (n_constraints, V)
            Costs of each token.

        Returns
        -------
        floor : ndarray of shape (n_constraints,)
            The least that any policy can expect to pay.
        extra : ndarray of shape (n_constraints, V)
            Costs, not negative for possible tokens, of which a document expects to pay what it pays
            beyond the floor.
        """

    def check_costs(self, cost: FloatArray) -> None:
        """Raise ValueError where the dual of these costs (n_constraints, V) is not exact."""

    def check_free(self, extra: FloatArray) -> None:
        """Raise LengthExplosionError where length explodes at any price of these costs."""
