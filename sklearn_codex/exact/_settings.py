"""What all objectives are made of: checked numbers, and rewards in nats without overflow."""

from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from inspect import signature
from threading import local
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import (
    COUNT,
    FINITE,
    LOG_TOLERANCE,
    NOT_NEGATIVE,
    POSITIVE,
    as_floats,
    check_log_prob,
    check_number,
    check_values,
)

Objective = TypeVar("Objective")
Method = TypeVar("Method", bound=Callable[..., Any])

_INTERVALS = {
    "length": (COUNT, "It is the number of tokens of a document."),
    "kl_coef": (
        POSITIVE,
        "Without the KL term the optimum is a single token; make kl_coef small instead.",
    ),
    "reward_coef": (FINITE, ""),
    "sft_coef": (NOT_NEGATIVE, ""),
    "entropy_coef": (NOT_NEGATIVE, ""),
    "missing_eos_penalty": (NOT_NEGATIVE, "It is what a document that was cut loses."),
}
_VALUES: dict[str, dict[str, Any]] = {
    "token_reward": {
        "name": "token_reward",
        "remedy": "To ban a token, set its reference_log_prob to -inf.",
    },
    "penalty": {
        "name": "penalties",
        "low": 0.0,
        "allow_inf": True,
        "remedy": "Give what should be preferred a positive token_reward instead.",
    },
    "frequencies": {"name": "frequencies", "low": 0.0},
}
_FREQUENCY_TOLERANCE = 1e-6
# Where an objective that is made of another one has the names of what is new, until it is checked.
_GIVEN_ANEW = "_given_anew"
_DECIDE_SHAPE = {"reference_log_prob", "trie"}


def keep_checked(objective: Any, check_reference: Callable[..., Any] = check_log_prob) -> None:
    """Check the parameters of a frozen objective by their names; keep them as floats and ints.

    The reference, which all others have the shape of, by a function of it and of who asks. Of one
    that was made of another, those that are new.

    Raises
    ------
    ValueError
        If a shape or a value does not fit.
    """
    subject, given = type(objective).__name__, {field.name for field in fields(objective)}
    anew = vars(objective).pop(_GIVEN_ANEW, given)
    checked: dict[str, Any] = {}
    reference = objective.reference_log_prob
    if anew & _DECIDE_SHAPE:
        checked["reference_log_prob"] = reference = check_reference(reference, subject=subject)
        anew = given
    for name, (interval, remedy) in _INTERVALS.items():
        if name in anew:
            checked[name] = check_number(
                getattr(objective, name), name, subject=subject, interval=interval, remedy=remedy
            )
    for name, rule in _VALUES.items():
        values: Any = getattr(objective, name, None)
        is_needed = name == "token_reward" and name in given
        if name in anew and (values is not None or is_needed):
            checked[name] = check_values(values, subject=subject, shape=reference.shape, **rule)
    for name, value in checked.items():
        # Frozen: what was given is replaced once, by what was checked.
        object.__setattr__(objective, name, value)


def changed(objective: Objective, values: dict[str, Any]) -> Objective:
    """Return a frozen objective with other values of some fields, which alone are checked."""
    names = [field.name for field in fields(cast(Any, objective))]
    if unknown := values.keys() - set(names):
        raise TypeError(
            f"{type(objective).__name__} has no {sorted(unknown)[0]!r}, only {', '.join(names)}."
        )
    made = object.__new__(type(objective))
    # Frozen, and what was computed stays behind.
    vars(made).update({name: getattr(objective, name) for name in names} | values)
    vars(made)[_GIVEN_ANEW] = values.keys()
    cast(Any, made).__post_init__()
    return made


def check_demonstrations(objective: Any, possible: Any, tokens: slice = slice(None)) -> None:
    """Check that demonstrations are there where they weigh, and use possible tokens (V,) only.

    Those of a slice are shares of all tokens.
    """
    subject, frequencies = type(objective).__name__, objective.frequencies
    if not objective.sft_coef > 0:
        return
    if frequencies is None:
        raise ValueError(
            f"{subject} with sft_coef={objective.sft_coef:g} needs the token frequencies of the "
            "demonstrations, got frequencies=None."
        )
    in_nats(objective.sft_coef, 1.0, objective.kl_coef, subject=f"{subject} (sft_coef)")
    total = float(frequencies[tokens].sum())
    if not abs(total - 1.0) <= _FREQUENCY_TOLERANCE:
        raise ValueError(
            f"{subject} needs frequencies that sum to 1, got {total:.6g}. Divide counts by their "
            "sum."
        )
    lost = np.flatnonzero((frequencies > 0) & ~possible)
    if lost.size:
        raise ValueError(
            f"{subject} with sft_coef={objective.sft_coef:g} has no finite value: demonstrations "
            f"use token {lost[0]}, which the reference policy cannot produce. Smooth the "
            "reference, or leave these tokens out."
        )


class _Decorator(Protocol):
    def __call__(self, method: Method, /) -> Method: ...


class _Seen(local):
    """What a method on its way has checked: the objective, the policy and the check."""

    last: tuple[Any, ...] = (None, None, None)


_SEEN = _Seen()


def checking(
    check: Callable[[Any, Any], FloatArray], shape_of: Callable[[Any, str], tuple[int, ...]]
) -> _Decorator:
    """Return a decorator of methods of an objective that are given a policy, and other values.

    Methods that such a method calls with the same policy do not check it again.

    Parameters
    ----------
    check : callable
        Takes an objective and a policy, returns the policy as floats.
    shape_of : callable
        Takes an objective and the name of other values, returns their shape.
    """

    def decorate(method):
        names = [*signature(method).parameters][2:]

        @wraps(method)
        def checked(self, log_prob, *args, **kwargs):
            before = last = _SEEN.last
            if not (last[0] is self and last[1] is log_prob and last[2] is check):
                log_prob = check(self, log_prob)
                last = (self, log_prob, check)
            if names:
                given = dict(zip(names, args, strict=False)) | kwargs
                for name in given.keys() & set(names):
                    given[name] = check_values(
                        given[name], name, subject=type(self).__name__, shape=shape_of(self, name)
                    )
                args, kwargs = args[len(names) :], given
            _SEEN.last = last
            try:
                return method(self, log_prob, *args, **kwargs)
            finally:
                _SEEN.last = before

        return checked

    return decorate


def _check_policy(objective, log_prob):
    """Return the policy (V,) that a method of an objective is given as floats."""
    subject, shape = type(objective).__name__, objective.reference_log_prob.shape
    policy = as_floats(log_prob, "log_prob", subject=subject)
    # One look at all values: where there is nan, so is the largest.
    largest = policy.max(initial=-np.inf)
    if policy.shape != shape or np.isnan(largest):
        wrong = "nan" if policy.shape == shape else f"shape {policy.shape}"
        raise ValueError(
            f"{subject} needs log_prob, a policy's log-probabilities of shape {shape} without "
            f"nan, got {wrong}."
        )
    if largest > LOG_TOLERANCE:
        raise ValueError(
            f"{subject} needs log_prob, natural logarithms of probabilities, which are at most "
            f"0, got {largest:.6g}. Normalise them: log_prob - logsumexp(log_prob)."
        )
    return policy


takes_policy = checking(_check_policy, lambda objective, name: objective.reference_log_prob.shape)
"""Check what a method of an objective is given: a policy, and other values of tokens (V,)."""


def below_best(reward: FloatArray, weight: float, possible: Any) -> tuple[FloatArray, float]:
    """Return rewards (V,) less that of the best possible token, and the latter.

    Best is what a weighted reward is greatest for. The differences are exact where they are small,
    so that tokens that are equally good stay so however small ``kl_coef`` is.
    """
    own = reward[possible]
    best = float(own.max() if weight >= 0 else own.min())
    with np.errstate(over="ignore"):
        return reward - best, best


def reward_spread(reference_log_prob: FloatArray, token_reward: FloatArray) -> float:
    """Return the standard deviation of the reward of a token of the reference; 1 where it is 0."""
    prob = np.exp(reference_log_prob - np.max(reference_log_prob))
    possible = prob > 0
    prob, reward = prob[possible] / prob.sum(), token_reward[possible]
    deviation = 0.5 * reward - prob @ (0.5 * reward)
    largest = float(np.abs(deviation).max())
    if largest == 0:
        return 1.0
    return largest * float(np.sqrt(prob @ (deviation / largest) ** 2)) * 2.0 or 1.0


def in_nats(reward: Any, weight: float, temperature: float, *, subject: str) -> Any:
    """Return weight * reward / temperature, of which no step leaves the range of floats.

    Raises
    ------
    ValueError
        If the result does.
    """
    mantissa, exponent = np.frexp(reward)
    (first, up), (second, down) = np.frexp(weight), np.frexp(temperature)
    with np.errstate(over="ignore", under="ignore"):
        nats = np.ldexp(mantissa * (first / second), exponent + (up - down))
    if not np.isfinite(nats).all():
        raise ValueError(
            f"{subject} cannot weigh {np.abs(reward).max():.3g}, times {weight:.3g}, against "
            f"kl_coef={temperature:.3g}: the ratio is beyond the range of floats. Raise kl_coef, "
            "or scale what it is weighed against down."
        )
    return nats
