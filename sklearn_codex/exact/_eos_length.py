"""When documents that end by themselves stay finite, and how long they are."""

from abc import abstractmethod
from functools import cached_property
from numbers import Integral
from typing import Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval

from sklearn_codex._categorical import FloatArray, log_mass
from sklearn_codex._checks.numbers import check_log_prob, check_number, check_values
from sklearn_codex.exact._priced_objective import PricedObjective

# Sums over the positions of a document are taken one by one.
MAX_LENGTH = Interval(Integral, 1, 10_000_000, closed="both")
# Of documents that are cut: sums of squares have to stay within floats.
MOST_PENALTY = 1e100
_EPS = np.finfo(np.float64).eps
_HIGHEST = 1e307
_NEAR_ONE = 1e-2
# Times as long as they may be that documents would be where practically all are cut.
_FAR_TOO_LONG = 10


class LengthExplosionError(ValueError):
    """There is no optimum: every policy is beaten by one with longer documents."""


class LengthExplosionWarning(UserWarning):
    """The reward pays for length without end; only a maximal length keeps documents finite."""


class EndingObjective(PricedObjective):
    """An objective over documents that end by themselves, or are cut at ``max_length``."""

    @property
    def is_noisy(self) -> bool:
        """Whether documents are cut: else the optimum is the tilted reference."""
        return self.max_length is not None

    def _check_max_length(self):
        """Check the length that documents are cut at, and that only it has a price."""
        subject = type(self).__name__
        if self.max_length is not None:
            max_length = check_number(
                self.max_length,
                "max_length",
                subject=subject,
                interval=MAX_LENGTH,
                remedy="None means that documents are never cut.",
            )
            object.__setattr__(self, "max_length", max_length)
            if self.missing_eos_penalty > MOST_PENALTY:
                raise ValueError(
                    f"{subject} needs a missing_eos_penalty of at most {MOST_PENALTY:g}, got "
                    f"{self.missing_eos_penalty:g}. Divide it, rewards and kl_coef by the same."
                )
        elif self.missing_eos_penalty != 0:
            raise ValueError(
                f"{subject} needs max_length for a missing_eos_penalty, got missing_eos_penalty="
                f"{self.missing_eos_penalty} with max_length=None: no document is ever cut. Set "
                "max_length, or leave the penalty at 0."
            )

    @abstractmethod
    def _safe_kl_coef(self) -> float:
        """Return the ``kl_coef`` above which documents that are never cut stay finite."""

    def _smallest_kl_coef(self) -> float:
        """Return the ``kl_coef`` above which there is an optimum."""
        return self._safe_kl_coef() if self.max_length is None else 0.0

    def outgrows(self, longest: int) -> bool:
        """Return whether the best documents, cut nowhere, are endless or ten times so long."""
        return self.length_if_not_cut > _FAR_TOO_LONG * longest

    @cached_property
    def length_if_not_cut(self) -> float:
        """Tokens of the best documents, cut nowhere and without demonstrations; 0 if unknown."""
        if self.length_explodes:
            return np.inf
        if self._never_cut is None:
            return 0.0
        free = self._never_cut.having(sft_coef=0.0)
        return float(free.expected_length(free.optimum()))

    @property
    def _never_cut(self) -> Self | None:
        """The same where documents are never cut; None where no policy is best for these."""
        if self.length_explodes:
            return None
        return self.having(max_length=None, missing_eos_penalty=0.0)

    @abstractmethod
    def _what_explodes(self) -> str:
        """Return in words what gains more than it costs where length explodes."""

    def explain_explosion(self, subject: str) -> str:
        """Return in words why no document is long enough where length explodes, and what helps."""
        begins, ends = f"{subject} has no optimum", "so length explodes."
        if self.max_length is not None:
            begins = subject
            ends = f"so only max_length={self.max_length} keeps documents finite."
        safe = self._safe_kl_coef()
        remedy = f"Set kl_coef above {safe:.6g}, the smallest safe value, or price length in it."
        if safe == np.inf:
            remedy = "No kl_coef helps, as the reference itself hardly ends: set max_length."
        return f"{begins} at kl_coef={self.kl_coef:g}: {self._what_explodes()}, {ends} {remedy}"

    def time_dependent_optimum(self) -> Bunch:
        """Return the best policy that may look at the position, by backward recursion.

        Returns
        -------
        best : Bunch
            ``log_prob`` (max_length, V), the policy at each position; ``value``, its objective,
            which no policy exceeds; ``expected_length``, in tokens.

        Raises
        ------
        ValueError
            If there is no maximal length, or there are demonstrations.
        """
        if self.max_length is None:
            raise ValueError(
                "time_dependent_optimum needs max_length, got None: without it the best policy is "
                "the same at all positions. Use optimum(), or set max_length."
            )
        if self.sft_coef > 0:
            raise ValueError(
                "time_dependent_optimum knows no demonstrations, whose cross-entropy is that of "
                f"one policy for all positions, got sft_coef={self.sft_coef}. Set sft_coef=0."
            )
        return self._best_by_position()

    @abstractmethod
    def _best_by_position(self) -> Bunch:
        """Return what :meth:`time_dependent_optimum` does, where there is one."""

    def check_costs(self, cost: FloatArray) -> None:
        """Check that the dual of costs (n_constraints, V) is exact."""
        name = type(self).__name__
        if self.max_length is not None or self.sft_coef > 0:
            raise ValueError(
                f"constrained_optimum takes an {name} without max_length and sft_coef, got "
                f"max_length={self.max_length} and sft_coef={self.sft_coef}: its stationary "
                "policies have no convex dual then. Leave them out."
            )
        if len(cost) > 1 or cost.min() < 0:
            raise ValueError(
                f"constrained_optimum takes one constraint with costs >= 0 for an {name}, got "
                f"{len(cost)} with smallest cost {cost.min():.6g}."
            )


def smallest_safe_kl_coef(
    reference_log_prob: FloatArray,
    token_reward: FloatArray,
    eos: int,
    *,
    reward_coef: float = 1.0,
    penalty: FloatArray | None = None,
) -> float:
    r"""Return the ``kl_coef`` above which documents that end by themselves stay finite.

    The best policy continues a document with the total weight
    :math:`S(b) = \sum_{t \ne eos} ref_t \exp(\rho w_t / b - c_t)`, and it exists where S < 1. As
    log S is convex in 1 / b and negative at 1 / b = 0, S = 1 has at most one root, found in one
    dimension.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (V,)
        Log-probabilities of the reference policy.
    token_reward : ndarray of shape (V,)
        Reward w_t of each token.
    eos : int
        Column of the end-of-sequence token.
    reward_coef : float, default=1.0
        Weight of the reward.
    penalty : ndarray of shape (V,), default=None
        Rule penalty c_t >= 0 of each token, in nats of KL; None means 0.

    Returns
    -------
    kl_coef : float
        Every ``kl_coef`` strictly above it is safe; at it and below, length explodes. 0 where no
        token but ``eos`` that the reference can produce has a positive weighted reward: then every
        ``kl_coef`` is safe. Infinite where the reference never produces ``eos``: then none is.

    Raises
    ------
    ValueError
        If a shape does not fit, or a number is NaN, infinite or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import smallest_safe_kl_coef
    >>> reference = np.log([0.7, 0.2, 0.1])
    >>> round(smallest_safe_kl_coef(reference, np.array([0.1, 0.2, 5.0]), eos=2), 4)
    1.1672
    >>> smallest_safe_kl_coef(reference, np.array([-0.1, -0.2, 5.0]), eos=2)
    0.0
    """
    subject = "smallest_safe_kl_coef"
    reference = check_log_prob(reference_log_prob, subject=subject)
    reward = check_values(token_reward, "token_reward", subject=subject, shape=reference.shape)
    reward_coef = check_number(reward_coef, "reward_coef", subject=subject)
    columns = Interval(Integral, 0, len(reference), closed="left")
    eos = check_number(eos, "eos, a column", subject=subject, interval=columns)
    cost = np.zeros_like(reference)
    if penalty is not None:
        cost = check_values(
            penalty,
            "penalties",
            subject=subject,
            shape=reference.shape,
            low=0.0,
            allow_inf=True,
            remedy="Give what should be preferred a positive token_reward instead.",
        )
    if np.isneginf(reference[eos]):
        return float("inf")
    body = np.isfinite(reference - cost)
    body[eos] = False
    start = reference[body] - cost[body]
    # In units of the greatest, so that no ratio below leaves the range of floats.
    unit = float(np.abs(reward[body]).max(initial=0.0))
    gain = np.sign(reward_coef) * reward[body] / (unit or 1.0)
    pays = gain > 0
    if not pays.any() or reward_coef == 0:
        return 0.0
    # At this 1 / b one paying token alone weighs one; twice it leaves room for rounding, and the
    # probability of eos is room for a logarithm that was rounded to 0.
    with np.errstate(over="ignore"):
        needed = (np.exp(reference[eos]) - start[pays]) / gain[pays]
        highest = min(2.0 * float(np.min(needed)), _HIGHEST)
    own, mass = reference[body], log_mass(reference)

    def log_weight(inverse):
        return log_sum_of_body(own, inverse * gain - cost[body], reference[eos], mass)

    if not log_weight(0.0) < 0 < highest:
        return float("inf")  # eos is rarer than floats tell
    inverse = brentq(log_weight, 0.0, highest, xtol=1e-300, rtol=4 * _EPS, maxiter=5000)
    with np.errstate(over="ignore"):
        return float(unit / inverse * abs(reward_coef))


def log_sum_of_body(reference: FloatArray, nats: FloatArray, log_stop: float, mass: float) -> float:
    """Return the logarithm of the sum of ref_t exp(x_t) over tokens that do not end a document.

    Near 1, where it decides whether length explodes, from what it lacks, which has digits that the
    sum itself has lost.

    Parameters
    ----------
    reference : ndarray of shape (k,)
        Log-probabilities of these tokens.
    nats : ndarray of shape (k,)
        x.
    log_stop : float
        Log-probability of the end.
    mass : float
        Logarithm of the sum of the whole reference.
    """
    total = float(logsumexp(reference + nats))
    if mass != 0 or not abs(total) < _NEAR_ONE:
        return total
    near = np.abs(nats) < 1.0
    gained = np.exp(reference[near]) @ np.expm1(nats[near])
    gained += np.sum(np.exp(reference[~near] + nats[~near]) - np.exp(reference[~near]))
    return float(np.log1p(gained - np.exp(log_stop)))


def log_stop_go(log_prob: FloatArray, eos: int) -> tuple[float, float]:
    """Return the log-probabilities that a token ends the document and that it does not."""
    log_stop = float(log_prob[eos])
    if log_stop < -1.0:
        return log_stop, float(np.log1p(-np.exp(log_stop)))
    return log_stop, float(logsumexp(np.delete(log_prob, eos)))


def truncated_length(log_stop: float, log_go: float, max_length: int | None) -> float:
    """Return E[min(N, max_length)] of a geometric length N, in tokens; ``inf`` where it never ends.

    Parameters
    ----------
    log_stop, log_go : float
        Logarithms of the probabilities that a token ends the document, p, and that it does not.
    max_length : int or None
        Tokens at which the document is cut; None means never.
    """
    if max_length is None:
        with np.errstate(over="ignore"):
            return float(np.exp(-log_stop))
    stop = np.exp(log_stop)
    if stop == 0:
        return float(max_length)
    return float(-np.expm1(max_length * log_go) / stop) if log_go > -np.inf else 1.0


def survival(log_go: float, max_length: int) -> FloatArray:
    """Return the probabilities (max_length,) that a document has more than 0, 1, ... tokens."""
    survival = np.zeros(max_length)
    survival[0] = 1.0
    if log_go > -np.inf:
        survival[1:] = np.exp(np.arange(1, max_length) * log_go)
    return survival


def survival_difference(log_go: float, other_log_go: float, max_length: int) -> FloatArray:
    """Return the difference (max_length,) of two survivals, exact to the last digits of both."""
    if np.isneginf(log_go) or np.isneginf(other_log_go):
        return survival(log_go, max_length) - survival(other_log_go, max_length)
    steps = np.arange(max_length)
    low, high = sorted((log_go, other_log_go))
    difference = np.exp(steps * high) * -np.expm1(steps * (low - high))
    return difference if log_go == high else -difference
