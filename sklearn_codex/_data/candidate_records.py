"""Records of candidates: the responses of one prompt, and what is known of each of them."""

import reprlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.messages import as_messages
from sklearn_codex._conversations.split import split_pair

RESPONSES, SCORES, LOG_PROBS = "responses", "scores", "logprobs"


class Candidates(NamedTuple):
    """The candidates of one record.

    Attributes
    ----------
    responses : tuple of str
        One text or more.
    scores, log_probs : tuple of float, or None
        The reward of each, and its log-probability under the reference, where the record has them.
    """

    responses: tuple[str, ...]
    scores: tuple[float, ...] | None
    log_probs: tuple[float, ...] | None


class CandidateArrays(NamedTuple):
    """The candidates of several records as rows, as ``CandidatePolicy`` takes them.

    Attributes
    ----------
    X : ndarray of str of shape (n_rows, 2)
        Prompt, "" where there is none, and response.
    y : ndarray of shape (n_rows,) or None
        Scores.
    groups : ndarray of int of shape (n_rows,)
        The record of each row, from 0: each is a prompt of its own.
    reference_log_prob : ndarray of shape (n_rows,) or None
        Log-probabilities under the reference, up to a constant of the record.
    """

    X: NDArray[Any]
    y: FloatArray | None
    groups: IntArray
    reference_log_prob: FloatArray | None


def read_candidates(present: Mapping[str, Any], where: str) -> tuple[str | None, Candidates]:
    """Return the prompt, or None, and the candidates of what a record holds.

    Raises
    ------
    TypeError
        If the responses are no list, or one of them is neither text nor messages.
    ValueError
        If there are none, they answer different prompts, or a list beside them does not fit.
    """
    values = _check_list(present[RESPONSES], where)
    prompts, responses = set(), []
    for position, value in enumerate(values):
        name = f"{RESPONSES}[{position}]"
        if is_missing(value):
            raise ValueError(f"{where} has no text as {name}. Leave it out of the list.")
        split = split_pair(present.get("prompt"), value, value, ("prompt", name, name), where)
        prompts.add(split.prompt)
        responses.append(split.first)
    if len(prompts) > 1:
        raise ValueError(
            f"{where} has {RESPONSES} to {len(prompts)} different prompts. Candidates have one "
            "prompt: make a record of each."
        )
    scores = _read_numbers(present, SCORES, len(responses), where)
    log_probs = _read_numbers(present, LOG_PROBS, len(responses), where, lowest=-np.inf)
    if log_probs is not None and max(log_probs) == -np.inf:
        raise ValueError(
            f"{where} has {LOG_PROBS} of -inf alone, so that none of its {RESPONSES} can be "
            "chosen. Leave the record out."
        )
    return prompts.pop(), Candidates(tuple(responses), scores, log_probs)


def _check_list(value, where) -> Sequence:
    """Return the responses as a list, of which there is one at least."""
    is_list = isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim)
    if (
        is_list
        and len(value)
        and not (isinstance(value[0], Mapping) and as_messages(value, RESPONSES, where))
    ):
        return value
    if is_list and len(value) == 0:
        raise ValueError(f"{where} has an empty list of {RESPONSES}. Leave the record out.")
    what = "one conversation" if is_list else f"a {type(value).__name__}"
    raise TypeError(
        f"{where} should have a list of {RESPONSES}, each of them text or messages, got {what}: "
        f"{reprlib.repr(value)}. Put it into a list, or name it completion where it is the one to "
        "learn from."
    )


def _read_numbers(present, name, n_responses, where, *, lowest=None) -> tuple[float, ...] | None:
    """Return the numbers beside the responses, None where the record has none."""
    if name not in present:
        return None
    values = present[name]
    if not isinstance(values, (list, tuple, np.ndarray)) or len(values) != n_responses:
        raise ValueError(
            f"{where} should have a list of {n_responses} {name}, one for each of its {RESPONSES}, "
            f"got {reprlib.repr(values)}."
        )
    numbers = tuple(map(as_float, values))
    for position, (value, number) in enumerate(zip(values, numbers, strict=True)):
        if not (np.isfinite(number) or number == lowest):
            raise ValueError(
                f"{where} should have a finite number as {name}[{position}], got "
                f"{reprlib.repr(value)}. Fill it in, or leave {name} out of all records."
            )
    return numbers


def as_float(value: Any) -> float:
    """Return a number as it is, NaN for anything else."""
    if isinstance(value, (Real, np.bool_)):
        with suppress(OverflowError):  # no float is as large as an int can be
            return float(value)
    return np.nan


def stack_candidates(
    prompts: Sequence[str | None],
    candidates: Sequence[Candidates],
    positions: IntArray,
    *,
    subject: str,
) -> CandidateArrays:
    """Return the candidates of records as rows.

    Parameters
    ----------
    prompts : sequence of str or None of length n_records
        Their prompts.
    candidates : sequence of Candidates of length n_records
        Their candidates.
    positions : ndarray of int of shape (n_records,)
        Where they stand, for messages of errors.
    subject : str
        Who asks.

    Raises
    ------
    ValueError
        If some records have scores, or log-probabilities, and others do not.
    """
    sizes = [len(own.responses) for own in candidates]
    X = np.empty((sum(sizes), 2), dtype=object)
    X[:, 0] = np.repeat(np.array([prompt or "" for prompt in prompts], dtype=object), sizes)
    X[:, 1] = [response for own in candidates for response in own.responses]
    return CandidateArrays(
        X,
        _stack_numbers([own.scores for own in candidates], SCORES, positions, subject),
        np.repeat(np.arange(len(sizes)), sizes),
        _stack_numbers([own.log_probs for own in candidates], LOG_PROBS, positions, subject),
    )


def _stack_numbers(values, name, positions, subject) -> FloatArray | None:
    """Return the numbers of all records (n_rows,), None where none of them has any."""
    has = np.array([own is not None for own in values])
    if not has.any():
        return None
    if not has.all():
        have, lack = positions[has][0], positions[~has][0]
        raise ValueError(
            f"{subject}: candidates record {have} has {name}, and record {lack} has none. Give all "
            f"records of candidates {name}, or none of them."
        )
    return np.array([number for own in values for number in own])
