"""KL controllers: how ``kl_coef`` changes while a policy is trained."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from sklearn_codex._checks.numbers import COUNT, NOT_NEGATIVE, POSITIVE, check_number

__all__ = ["AdaptiveKLController", "FixedKLController", "KLController"]

_LARGEST_ERROR = 0.2


class KLController(BaseEstimator):
    """Base of KL controllers: cloneable, without state of their own."""

    _parameter_constraints: dict = {}

    def next_coef(self, kl_coef: float, kl: float, n_documents: int) -> float:
        """Return the weight of the KL for the next iteration.

        Parameters
        ----------
        kl_coef : float
            The weight in the iteration that ended.
        kl : float
            KL(policy || reference) of a document after it, in nats.
        n_documents : int
            Documents drawn in it.

        Raises
        ------
        ValueError
            If a parameter, or what is passed, is NaN or out of its range.
        """
        raise TypeError(f"{type(self).__name__} defines no next_coef(kl_coef, kl, n_documents).")


class FixedKLController(KLController):
    """Keeps ``kl_coef`` as it is.

    Examples
    --------
    >>> from sklearn_codex.kl_control import FixedKLController
    >>> FixedKLController().next_coef(0.2, kl=50.0, n_documents=256)
    0.2
    """

    def next_coef(self, kl_coef, kl, n_documents):
        """Return ``kl_coef``."""
        subject = f"{type(self).__name__}.next_coef"
        return check_number(kl_coef, "kl_coef", subject=subject, interval=POSITIVE)


class AdaptiveKLController(KLController):
    r"""Moves ``kl_coef`` until the policy is ``target`` nats a document from the reference.

    Parameters
    ----------
    target : float, default=6.0
        KL(policy || reference) of a document to keep, in nats.
    horizon : float, default=10_000
        Documents over which an error of 20% or more changes ``kl_coef`` by a factor of about
        exp(0.2). Smaller is faster; a few times the documents of an iteration is the fastest that
        is stable.

    Notes
    -----
    After each iteration of n documents, b becomes
    :math:`b\,(1 + \mathrm{clip}(KL / target - 1, -0.2, 0.2)\, n / horizon)`, and the factor is kept
    above 0.2, so that b stays positive for any n.

    References
    ----------
    .. [1] Ziegler, D. M. et al. (2019). "Fine-tuning language models from human preferences."
       arXiv:1909.08593, section 2.2.

    Examples
    --------
    >>> from sklearn_codex.kl_control import AdaptiveKLController
    >>> AdaptiveKLController(target=5.0, horizon=1000).next_coef(1.0, kl=10.0, n_documents=100)
    1.02
    """

    _parameter_constraints: dict = {
        "target": [Interval(Real, 0, None, closed="neither")],
        "horizon": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, target=6.0, *, horizon=10_000):
        self.target = target
        self.horizon = horizon

    def next_coef(self, kl_coef, kl, n_documents):
        """Return ``kl_coef``, greater where the KL is above the target and smaller where below."""
        subject = type(self).__name__
        target, horizon = (
            check_number(getattr(self, name), name, subject=subject, interval=POSITIVE)
            for name in ("target", "horizon")
        )
        subject = f"{subject}.next_coef"
        kl_coef = check_number(kl_coef, "kl_coef", subject=subject, interval=POSITIVE)
        n_documents = check_number(n_documents, "n_documents", subject=subject, interval=COUNT)
        # An infinite KL is one far above the target, of a policy that left the reference's support.
        if not (isinstance(kl, Real) and kl == np.inf):
            kl = check_number(
                kl, "kl", subject=subject, interval=NOT_NEGATIVE, remedy="It is in nats."
            )
        error = float(np.clip(kl / target - 1.0, -_LARGEST_ERROR, _LARGEST_ERROR))
        factor = max(1.0 + error * n_documents / horizon, _LARGEST_ERROR)
        largest = np.finfo(np.float64).max
        return float(min(max(kl_coef * factor, np.nextafter(0.0, 1.0)), largest))
