"""What an update gives for batches, read and checked."""

from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import shown
from sklearn_codex.lab._batch import Batch
from sklearn_codex.lab._problem import Update

_ALONE = (
    " The batch has one response, and no other to compare it with: what is left out or divided by "
    "a deviation needs a group_size of 2 or more."
)


def _refuse(out: Any, batch: Any) -> None:
    raise ValueError(
        "An update should return the gradient of its loss by the log-probabilities it is given, of "
        f"shape {batch.log_prob.shape}, a pair (loss, gradient), or the log-probabilities "
        f"{batch.policy_log_prob.shape} of a new policy, finite numbers, got "
        f"{_described(out)}. Metrics, and lists in place of a pair, are to be left out."
        f"{_ALONE if isinstance(batch, Batch) and len(batch) == 1 else ''}"
    )


def _described(out: Any) -> str:
    """Return what an update gave as messages show it, with shapes of its parts."""
    if isinstance(out, tuple | list) and len(out) <= 5:
        parts = [
            f"complex {np.shape(part)}"
            if np.iscomplexobj(part)
            else getattr(part, "shape", type(part).__name__)
            for part in out
        ]
        return f"a {type(out).__name__} of {', '.join(map(str, parts)) or 'nothing'}"
    if isinstance(out, np.ndarray):
        if out.dtype.kind == "c":
            return f"an array of shape {out.shape} of dtype {out.dtype}"
        bad = out[~np.isfinite(out)] if out.dtype.kind == "f" else out[:0]
        return f"an array of shape {out.shape}{f' with {bad[0]} in it' if bad.size else ''}"
    return f"{type(out).__name__} {shown(out)}"


def _read(out: Any, batch: Any) -> tuple[FloatArray, bool]:
    """Return what an update gave as an array, and whether it is a new policy."""
    array = out[1] if isinstance(out, tuple) and len(out) == 2 else out
    try:
        # An imaginary part is dropped with no more than a warning.
        if np.iscomplexobj(array):
            raise TypeError
        array = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError):
        _refuse(out, batch)
    is_policy = not isinstance(out, tuple) and array.shape == batch.policy_log_prob.shape
    if (not is_policy and array.shape != batch.log_prob.shape) or not np.isfinite(array).all():
        _refuse(out, batch)
    return array, is_policy


def call_update(update: Update, batch: Any) -> tuple[FloatArray, bool]:
    """Return what an update gives for each of the batches held at once."""
    if getattr(update, "takes_stacks", False):
        return _read(update(batch.log_prob, batch), batch)
    parts = []
    for place in range(len(batch.policy_log_prob)):
        one = batch.at(place)
        parts.append(_read(update(one.log_prob.copy(), one), one))
    is_policy = parts[0][1]
    if any(part[1] != is_policy for part in parts):
        raise ValueError(
            "An update should return the same kind of thing for every batch, but gave a gradient "
            "for some and a new policy for others."
        )
    return np.stack([array for array, _ in parts]), is_policy
