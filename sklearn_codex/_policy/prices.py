"""How the price of a chance constraint is learned where nobody can compute it."""

from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray

# Largest change of a multiplier in the first iterations, in nats or as a share of it, and the
# iterations after which it begins to shrink.
_STEP, _SHRINKS_AFTER = 0.25, 10.0
# Violating documents that a rate is taken from, as long as it is near the largest allowed.
_ENOUGH_VIOLATIONS = 20.0
# Documents without a violation below which the price falls on each violation.
_FEWEST_CLEAN = 8.0
# Change of the multiplier from one quarter of training to the next within which it has come to
# rest: a share of it, and nats.
_REST_SHARE, _REST_NATS = 0.1, 0.05


class LearnedPrice:
    r"""The price of a chance constraint, raised where too many documents violate it.

    Attributes
    ----------
    multiplier : float
        m, what it costs to keep documents without a violation, see Notes.
    price, amount_price : float
        Nats that a violating document costs, and each violation besides.

    Notes
    -----
    The rate r of documents with a violation is no concave function of the policy: near 1 hardly a
    document is without, and a price P of violating documents has no effect until it is so high that
    the policy falls far below the rate that is allowed. The logarithm of the share of documents
    without, :math:`\log (1 - r)`, is concave for a set of tokens, :math:`L \log(1 - p)`, and a
    multiplier m of it moves the policy as smoothly as a price of tokens. Its gradient is that of
    the price

    .. math:: P = m / (1 - r).

    After a batch, m rises by a step times :math:`\log(r / \delta)`, at most 1, with the largest
    rate :math:`\delta`; steps are in proportion to m, and shrink like :math:`1 / \sqrt k` [1]_. P
    follows by no more than a quarter of it, or of a nat, so that the policy can.
    Where fewer than 8 documents of a batch are without a violation, part of the price is laid on
    each violation, so that fewer violations count before there are none.

    References
    ----------
    .. [1] Nedic, A. and Ozdaglar, A. (2009). "Subgradient methods for saddle-point problems."
       Journal of Optimization Theory and Applications 142.
    """

    def __init__(self, max_rate: float):
        self._max_rate = max_rate
        self.multiplier = self.price = self.amount_price = self._whole = 0.0
        self._rate: float | None = None
        self._n_batches = 0
        self._trail: list[float] = []
        self.settled = False

    def see(self, violations: FloatArray) -> None:
        """Learn from the violations (n_documents,) in a batch of documents of the policy."""
        n, max_rate = len(violations), self._max_rate
        drawn = float((violations > 0).mean())
        weight = min(1.0, max(n * max_rate / _ENOUGH_VIOLATIONS, 1.0 / (1 + self._n_batches)))
        self._rate = drawn if self._rate is None else (1 - weight) * self._rate + weight * drawn
        half = 0.5 * weight / n
        error = float(np.clip(np.log((self._rate + half) / (max_rate + half)), -1.0, 1.0))
        step = _STEP * min(1.0, 3.0 * weight) / np.sqrt(1.0 + self._n_batches / _SHRINKS_AFTER)
        change = step * max(1.0, self.multiplier) * error
        self.multiplier = max(0.0, float(self.multiplier + change))
        self._n_batches += 1
        self._trail.append(self.multiplier)
        clean = n * (1.0 - drawn)
        wanted = self.multiplier / max(1.0 - self._rate, 1.0 / n)
        most = _STEP * max(1.0, self._whole)
        self._whole = float(np.clip(wanted, self._whole - most, self._whole + most))
        on_amounts = max(0.0, 1.0 - clean / _FEWEST_CLEAN)
        self.price = (1.0 - on_amounts) * self._whole
        mean = float(violations.mean())
        self.amount_price = on_amounts * self.multiplier / mean if mean > 0 else 0.0

    def settle(self) -> None:
        """Take the mean of the later half of what was learned, and learn no more."""
        if self.settled:
            return
        self.settled = True
        if self._trail and self._rate is not None:
            self.multiplier = float(np.mean(self._trail[len(self._trail) // 2 :]))
            self.price, self.amount_price = self.multiplier / max(1.0 - self._max_rate, 1e-9), 0.0

    def has_come_to_rest(self) -> bool:
        """Tell whether the multiplier moved no more in the last quarter of training."""
        quarter = len(self._trail) // 4
        if quarter == 0:
            return False
        before = float(np.mean(self._trail[-2 * quarter : -quarter]))
        after = float(np.mean(self._trail[-quarter:]))
        return bool(abs(after - before) <= max(_REST_SHARE * max(before, after), _REST_NATS))

    def state(self) -> dict[str, Any]:
        """Return all it knows, as numbers and lists."""
        return vars(self) | {"_trail": list(self._trail)}

    @classmethod
    def of(cls, state: dict[str, Any]) -> "LearnedPrice":
        """Return the price of a state of :meth:`state`."""
        price = cls(state["_max_rate"])
        vars(price).update(state | {"_trail": list(state["_trail"])})
        return price
