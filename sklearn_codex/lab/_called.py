"""What an update gives for batches, read and checked."""

from copy import deepcopy
from numbers import Real
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
        f"{_described(out)}. Metrics, and lists in place of a pair, are to be left out, and masked "
        "arrays filled."
        f"{_ALONE if isinstance(batch, Batch) and len(batch) == 1 else ''}"
    )


def _kind_of(part: Any) -> str:
    """Return what an array is that holds no plain numbers, else nothing."""
    if np.ma.is_masked(part):
        return "masked"
    if isinstance(part, np.ndarray) and part.dtype.kind in "USOmMV":
        return str(part.dtype)
    return "complex" if np.iscomplexobj(part) else ""


def _described(out: Any) -> str:
    """Return what an update gave as messages show it, with shapes of its parts."""
    if isinstance(out, tuple | list) and len(out) <= 5:
        parts = [
            f"{_kind_of(part)} {np.shape(part)}"
            if _kind_of(part)
            else getattr(part, "shape", type(part).__name__)
            for part in out
        ]
        return f"a {type(out).__name__} of {', '.join(map(str, parts)) or 'nothing'}"
    if isinstance(out, np.ndarray):
        if np.ma.is_masked(out):
            return f"a masked array of shape {out.shape}"
        if _kind_of(out):
            return f"an array of shape {out.shape} of dtype {out.dtype}"
        bad = out[~np.isfinite(out)] if out.dtype.kind == "f" else out[:0]
        return f"an array of shape {out.shape}{f' with {bad[0]} in it' if bad.size else ''}"
    return f"{type(out).__name__} {shown(out)}"


def _check_plain(array: Any) -> None:
    """Raise TypeError where floats would drop a mask or an imaginary part, or read strings."""
    parts = array if isinstance(array, tuple | list) else (array,)
    plain = np.asarray(array)
    is_real = plain.dtype.kind in "biuf" or (
        plain.dtype.kind == "O" and all(isinstance(item, Real) for item in plain.flat)
    )
    if not is_real or any(map(np.ma.is_masked, parts)):
        raise TypeError


def _read(out: Any, batch: Any) -> tuple[FloatArray, bool]:
    """Return what an update gave as an array, and whether it is a new policy."""
    array = out[1] if isinstance(out, tuple) and len(out) == 2 else out
    try:
        _check_plain(array)
        # A copy, as an update may write the next batch's into the same array.
        array = np.array(array, dtype=np.float64)
    except (TypeError, ValueError):
        _refuse(out, batch)
    is_policy = not isinstance(out, tuple) and array.shape == batch.policy_log_prob.shape
    if (not is_policy and array.shape != batch.log_prob.shape) or not np.isfinite(array).all():
        _refuse(out, batch)
    return array, is_policy


def call_update(update: Update, batch: Any) -> tuple[FloatArray, bool]:
    """Return what an update gives for each of the batches held at once.

    It is given copies, as it may change what it is shown.
    """
    given = deepcopy(batch)
    if getattr(update, "takes_stacks", False):
        return _read(update(batch.log_prob.copy(), given), batch)
    parts = []
    for place in range(len(batch.policy_log_prob)):
        one = given.at(place)
        parts.append(_read(update(one.log_prob.copy(), one), one))
    is_policy = parts[0][1]
    if any(part[1] != is_policy for part in parts):
        raise ValueError(
            "An update should return the same kind of thing for every batch, but gave a gradient "
            "for some and a new policy for others."
        )
    return np.stack([array for array, _ in parts]), is_policy
