"""How the best policy is found where documents end by themselves and no closed form exists."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp, wrightomega
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray, expectation, normalize_log, safe_log
from sklearn_codex._checks.numbers import check_tokens_at_once
from sklearn_codex.exact._additive import AdditiveObjective, log_ratio_to_omega
from sklearn_codex.exact._eos_length import (
    log_stop_go,
    survival,
    survival_difference,
    truncated_length,
)
from sklearn_codex.exact._eos_terms import EosTerms
from sklearn_codex.exact._settings import in_nats

_EPS = np.finfo(np.float64).eps
_BEYOND, _VAST = 1e-9, 1e290
# Share of demonstrations' weight at which another has no effect.
_NO_WEIGHT = 1e-280


def falling_roots(slope: Callable[[float], float], grid: FloatArray) -> list[float]:
    """Return the points where a slope falls through zero, local maxima, between grid points."""
    slopes = np.array([slope(point) for point in grid])
    falls = np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0))
    return [
        brentq(slope, grid[i], grid[i + 1], xtol=1e-15, rtol=4 * _EPS, maxiter=5000) for i in falls
    ]


def demonstrated_optimum(objective: EosTerms) -> FloatArray:
    """Return the optimum (V,) with demonstrations, without a maximal length.

    For a given probability p of ``eos`` the other tokens are known; p is where they sum to 1 - p.
    """
    assert objective.frequencies is not None
    log_weight = np.log(objective.sft_coef) - np.log(objective.kl_coef)
    log_k = safe_log(objective.frequencies) + log_weight

    def policy_at(log_stop):
        z = objective.exponent - np.exp(log_weight + log_stop)
        x = log_stop + log_k - np.where(np.isneginf(z), 0.0, z)
        policy = log_ratio_to_omega(log_stop + log_k, z, wrightomega(x))
        policy[objective.eos] = log_stop
        return policy

    # The sum rises through one at local maxima; near S = 1 there can be two of them. Strong
    # demonstrations without eos leave little for it.
    low = -60.0 - max(0.0, np.ceil(log_weight))
    roots = falling_roots(
        lambda log_stop: -float(logsumexp(policy_at(log_stop))),
        np.linspace(low, 0.0, int(-2 * low) + 1),
    )
    if not roots:
        raise ValueError(
            "EosObjective found no optimum with demonstrations: the reference has eos with "
            f"log-probability {objective.reference_log_prob[objective.eos]:.6g}, too rare against "
            f"sft_coef / kl_coef = {np.exp(log_weight):.3g}. Set max_length."
        )
    return max((normalize_log(policy_at(root)) for root in roots), key=objective.value)


def _weight_in_nats(objective, name):
    """Return a coefficient in units of kl_coef, which has to be a float too."""
    value = getattr(objective, name)
    return float(in_nats(value, 1.0, objective.kl_coef, subject=f"EosObjective ({name})"))


class _TruncatedProfile:
    """The objective of the best policy among those with given odds of ``eos``, and its slope."""

    def __init__(self, objective: EosTerms, max_length: int):
        self._objective = objective
        self._max_length = max_length
        self._steps = np.arange(1, max_length)
        self._tilt = objective.body_shares
        # What a cut document and the demonstrations weigh, in nats.
        self._missing = _weight_in_nats(objective, "missing_eos_penalty")
        self._weight = _weight_in_nats(objective, "sft_coef")
        largest = self._missing + self._weight + abs(objective.log_continuation)
        largest = min(largest + abs(objective.exponent[objective.eos]), _VAST)
        if np.isneginf(objective.exponent[objective.eos]):
            largest = 0.0
        if largest * max_length > _VAST:
            raise ValueError(
                f"EosObjective with max_length={max_length} knows no optimum where rewards or "
                f"penalties are {largest:.3g} times kl_coef={objective.kl_coef:.3g}. Raise kl_coef."
            )
        self._unit = 2.0 ** np.floor(np.log2(max(largest, 1.0)))
        self._demonstrations = None
        if objective.frequencies is not None and objective.sft_coef > 0:
            body = objective.frequencies.copy()
            body[objective.eos] = 0.0
            if body.sum() > 0:
                self._demonstrations = body

    def _shape(self, log_stop, log_go):
        """Return the distribution (V,) of the tokens that do not end the document."""
        if self._demonstrations is None:
            return self._tilt
        length = truncated_length(log_stop, log_go, self._max_length)
        return AdditiveObjective(
            self._tilt,
            np.zeros_like(self._tilt),
            # Where documents hardly go on, demonstrations alone decide.
            kl_coef=max(
                self._objective.kl_coef * length * np.exp(log_go),
                _NO_WEIGHT * self._objective.sft_coef,
                np.finfo(np.float64).tiny,
            ),
            sft_coef=self._objective.sft_coef * self._demonstrations.sum(),
            frequencies=self._demonstrations / self._demonstrations.sum(),
        ).optimum()

    def policy(self, log_odds):
        """Return the best policy (V,) with the given log-odds of ``eos``."""
        log_stop, log_go = -np.logaddexp(0.0, -log_odds), -np.logaddexp(0.0, log_odds)
        policy = self._shape(log_stop, log_go) + log_go
        policy[self._objective.eos] = log_stop
        return policy

    def slope(self, log_odds):
        """Return the derivative of the best objective with respect to the probability of eos.

        It is in a unit that keeps it within floats, a power of two. The shape is the best one at
        each point, so it adds nothing (envelope theorem).
        """
        objective, max_length, unit = self._objective, self._max_length, self._unit
        log_stop, log_go = -np.logaddexp(0.0, -log_odds), -np.logaddexp(0.0, log_odds)
        stop, go = np.exp(log_stop), np.exp(log_go)
        content = objective.log_continuation / unit
        if self._demonstrations is not None:
            shape = self._shape(log_stop, log_go)
            content += (expectation(shape, self._tilt) - expectation(shape, shape)) / unit
        reach = survival(log_go, max_length)
        length, length_slope = reach.sum(), -float(self._steps @ reach[:-1])
        end = objective.exponent[objective.eos] / unit - log_stop / unit
        rest = content - log_go / unit
        slope = length_slope * (go * rest + stop * end) + length * (end - rest)
        slope += self._missing / unit * max_length * reach[-1]
        if objective.sft_coef > 0 and objective.frequencies is not None:
            share = objective.frequencies[objective.eos]
            log_weight = np.log(objective.sft_coef) - np.log(objective.kl_coef) - np.log(unit)
            with np.errstate(over="ignore", divide="ignore"):
                slope += np.exp(log_weight + np.log(share) - log_stop)
                slope -= np.exp(log_weight + np.log1p(-min(share, 1.0)) - log_go)
        return slope

    def grid(self):
        """Return log-odds between which every local maximum lies, in steps small against them."""
        objective = self._objective
        content, end = objective.log_continuation, objective.exponent[objective.eos]
        max_length = self._max_length
        step = 0.25 if self._demonstrations is None else 1.0
        # Where the slope vanishes next to "never end" and, at the other side, to "end at once".
        rare = end - (max_length + 1) / 2 * content + self._missing
        rare -= self._weight / max_length
        surest = max(0.0, end) - content + self._missing + self._weight
        # Beyond the rounding of either.
        low = min(-40.0, rare - 10.0 - _BEYOND * abs(rare))
        high = max(40.0, surest + 10.0 + _BEYOND * abs(surest))
        middle = np.arange(-40.0, 40.0 + step, step)
        return np.unique(
            np.concatenate(
                [
                    -np.geomspace(-low, 40.0, 60),
                    np.clip(rare + np.arange(-9.0, 10.0), low, high),
                    middle,
                    np.geomspace(40.0, high, 60),
                ]
            )
        )


def truncated_optimum(objective: EosTerms) -> FloatArray:
    """Return the best stationary policy (V,) where documents are cut at a maximal length.

    The tokens that do not end the document have a known shape for each probability of ``eos``; that
    is the best of all local maxima of a function in one dimension.
    """
    assert objective.max_length is not None
    profile = _TruncatedProfile(objective, objective.max_length)
    if np.isneginf(objective.exponent[objective.eos]):
        return profile.policy(-np.inf)
    grid = profile.grid()
    # Where rounding hides a maximum near an end, the end itself is as good.
    places = falling_roots(profile.slope, grid) or [grid[0], grid[-1]]
    return max((profile.policy(place) for place in places), key=objective.value)


def time_dependent_optimum(objective: EosTerms) -> Bunch:
    """Return the best policy of all where documents are cut, see ``EosObjective``."""
    max_length = objective.max_length
    assert max_length is not None
    check_tokens_at_once(
        max_length, len(objective.exponent), remedy="Set a smaller max_length, or use optimum()."
    )
    end, content = objective.exponent[objective.eos], objective.log_continuation
    # Value / kl_coef with 0, 1, ..., max_length tokens left.
    worth = np.empty(max_length + 1)
    worth[0] = -objective.missing_eos_penalty / objective.kl_coef
    for left in range(1, max_length + 1):
        worth[left] = np.logaddexp(end, content + worth[left - 1])
    after = worth[-2::-1]
    odds = end - content - after  # logarithms of those of ending
    log_go = -np.logaddexp(0.0, odds)
    log_prob = objective.body_shares + log_go[:, np.newaxis]  # (max_length, V)
    log_prob[:, objective.eos] = -np.logaddexp(0.0, -odds)
    return Bunch(
        log_prob=log_prob,
        value=float(objective.kl_coef * worth[-1]),
        expected_length=1.0 + float(np.exp(np.cumsum(log_go[:-1])).sum()),
    )


def survival_gain(objective: EosTerms, log_prob: FloatArray, best: FloatArray) -> float:
    """Return the last sum of the gap in ``EosObjective``: what other lengths alone would gain."""
    log_stop, log_go = log_stop_go(log_prob, objective.eos)
    best_stop, best_go = log_stop_go(best, objective.eos)
    if np.isneginf(best_stop):
        return 0.0  # all policies inside the support never end
    support = np.isfinite(best)
    own = objective.kl_coef * (objective.exponent[support] - best[support])
    drift = float(_probability_difference(log_prob[support], best[support]) @ own)
    per_token = expectation(best[support], own)
    stop_difference = float(_probability_difference(best_stop, log_stop))
    if objective.max_length is None:
        # Sum of the differences of survival, and the same value at every position.
        longer = stop_difference / np.exp(log_stop) / np.exp(best_stop)
        return float(longer * (drift + stop_difference * per_token / np.exp(best_stop)))
    left = np.arange(objective.max_length)[::-1]
    reach = survival(best_go, objective.max_length)
    lengths = np.append(0.0, np.cumsum(reach))[left]
    cut = np.exp(left * best_go) if best_go > -np.inf else (left == 0).astype(float)
    worth = per_token * lengths - objective.missing_eos_penalty * cut
    longer = survival_difference(log_go, best_go, objective.max_length)
    return float(longer @ (drift + stop_difference * worth))


def _probability_difference(log_p, log_q):
    """Return p - q, exact to the last digits of both; at least one of each pair is not 0."""
    high, low = np.maximum(log_p, log_q), np.minimum(log_p, log_q)
    return np.sign(log_p - log_q) * np.exp(high) * -np.expm1(low - high)
