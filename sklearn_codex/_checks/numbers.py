"""Checks of numbers that functions and objectives are given; estimators declare theirs.

scikit-learn's intervals decide, and say, what is valid; NaN is in none of them.
"""

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, InvalidParameterError
from sklearn.utils.validation import _check_sample_weight

from sklearn_codex._checks.frames import is_frame
from sklearn_codex._checks.matrices import refuse_masked


class Amount(Interval):
    """A constraint: a number in an interval, and not True or False, which are numbers to Python."""

    def is_satisfied_by(self, val):
        """Return whether a value is such a number."""
        return not isinstance(val, (bool, np.bool_)) and super().is_satisfied_by(val)


POSITIVE = Interval(Real, 0, None, closed="neither")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
FINITE = Interval(Real, None, None, closed="neither")
PROBABILITY = Interval(Real, 0, 1, closed="both")
COUNT = Interval(Integral, 1, None, closed="left")
# Tokens of a document, which integers of numpy hold.
LENGTH = Interval(Integral, 1, 2**63 - 1, closed="both")

# Tokens drawn at one time, 1 GiB of columns.
MOST_TOKENS = 2**27
# Sums and squares of weights beyond these leave the range of floats, or its precision.
_WEIGHT_RANGE = (1e-100, 1e100)
_LARGEST = float(np.finfo(np.float64).max)
# By how much the logarithm of a probability may be above 0.
LOG_TOLERANCE = 1e-3


def check_number(
    value: Any, name: str, *, subject: str, interval: Interval = FINITE, remedy: str = ""
) -> Any:
    """Return a number as float, or as int where the interval is one of integers.

    Parameters
    ----------
    value : int, float, any other real number, or array of shape ()
    name : str
        What it is called.
    subject : str
        Who asks.
    interval : Interval
        What is valid.
    remedy : str
        A sentence of what to do instead.

    Raises
    ------
    InvalidParameterError
        If it is no such number; both a ValueError and a TypeError.
    """
    number = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    is_count = interval.type is Integral
    if isinstance(number, Integral if is_count else Real):
        try:
            as_float = float(number)
        except OverflowError:
            as_float = np.inf
        if np.isfinite(as_float) and as_float in interval:
            return int(value) if is_count else as_float
    raise InvalidParameterError(
        f"{subject} needs {_rule(name, interval)}, got {shown(value)}.{' ' * bool(remedy)}{remedy}"
    )


def shown(value: Any) -> str:
    """Return a value as messages show it: a number plainly, anything else as code, and short."""
    return f"{value!s:.60}" if isinstance(value, Real) else f"{value!r:.60}"


def _rule(name, interval):
    """Return an interval in words."""
    left, right, closed = interval.left, interval.right, interval.closed
    is_count = interval.type is Integral
    kind = ", an integer" if is_count and "integer" not in name else ""
    if right is not None:
        # An open end of integers is one more than the last.
        return f"{name} from {left} to {right - (is_count and closed == 'left')}"
    if left is None:
        return f"a finite {name}"
    sign = ">=" if closed in ("left", "both") else ">"
    return f"{name} {sign} {left}{kind}" if is_count else f"a finite {name} {sign} {left}"


def as_floats(values: Any, name: str, *, subject: str) -> NDArray[np.float64]:
    """Return values as an array of floats, of any shape.

    Raises
    ------
    InvalidParameterError
        If they are no numbers; both a ValueError and a TypeError.
    """
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidParameterError(
            f"{subject} needs {name}, an array of numbers, got {type(values).__name__}: {error}."
        ) from None


def as_array(values: Any, name: str, *, subject: str) -> np.ndarray:
    """Return values as an array of the type they have, of any shape.

    Raises
    ------
    InvalidParameterError
        If rows differ in length; both a ValueError and a TypeError.
    """
    try:
        return np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidParameterError(
            f"{subject} needs {name}, an array whose rows have one length, got "
            f"{shown(values)}: {str(error).splitlines()[0].rstrip('.')}."
        ) from None


def check_values(
    values: ArrayLike,
    name: str,
    *,
    subject: str,
    shape: tuple[int, ...] | None = None,
    low: float = -np.inf,
    allow_inf: bool = False,
    remedy: str = "",
) -> NDArray[np.float64]:
    """Return numbers as an array of floats, none NaN, infinite or below ``low``.

    Parameters
    ----------
    values : array-like
    name, subject, remedy : str
        See :func:`check_number`.
    shape : tuple of int, default=None
        The shape that is needed; None means any of one dimension.
    low : float, default=-inf
        The smallest valid value.
    allow_inf : bool, default=False
        Whether ``inf`` is valid.

    Raises
    ------
    ValueError
        If a value or the shape is not valid.
    """
    array = as_floats(values, name, subject=subject)
    if array.shape != shape if shape is not None else array.ndim != 1:
        raise ValueError(
            f"{subject} needs {name} of shape {shape or '(n,)'}, got shape {array.shape}."
        )
    largest = np.inf if allow_inf else _LARGEST
    smallest = max(low, -_LARGEST)
    # Both are nan where a value is.
    if array.size and not (array.min() >= smallest and array.max() <= largest):
        place = np.flatnonzero(~((array >= smallest) & (array <= largest)))[0]
        if np.isfinite(array.ravel()[place]):
            raise ValueError(
                f"{subject} needs {name} >= {low:g}, got a smallest one of "
                f"{np.nanmin(array):.6g}.{' ' * bool(remedy)}{remedy}"
            )
        raise ValueError(
            f"{subject} needs {'' if allow_inf else 'finite '}{name}"
            f"{'' if low == -np.inf else f' >= {low:g}'}, got {array.ravel()[place]} at position "
            f"{place}.{' ' * bool(remedy)}{remedy}"
        )
    return array


def check_log_prob(
    log_prob: ArrayLike, name: str = "reference_log_prob", *, subject: str
) -> NDArray[np.float64]:
    """Return log-probabilities (V,) as floats: none NaN or above 0, not all of them ``-inf``."""
    array = as_floats(log_prob, name, subject=subject)
    if array.ndim != 1 or not array.size:
        raise ValueError(
            f"{subject} needs {name} of shape (V,), one for each token, got shape {array.shape}."
        )
    valid = array <= LOG_TOLERANCE
    if not valid.all():
        place = np.flatnonzero(~valid)[0]
        raise ValueError(
            f"{subject} needs {name}, natural logarithms of probabilities, which are at most 0, "
            f"got {array[place]} at position {place}. Pass np.log of probabilities that sum to 1."
        )
    if not np.isfinite(array).any():
        raise ValueError(
            f"{subject} needs {name} with a token that can be produced, got -inf for each of "
            f"{len(array)} tokens."
        )
    return array


def check_tokens_at_once(n_documents: Any, length: Any, *, remedy: str) -> None:
    """Check that documents of some mean length fit into memory, before they are drawn.

    Raises
    ------
    ValueError
        If there are more than 2**27 tokens in them.
    """
    n_documents, length = int(n_documents), int(length)
    n_tokens = n_documents * max(length, 1)
    if n_tokens > MOST_TOKENS:
        sizes = [f"{n:,}" if n < 10**18 else f"1e{len(str(n)) - 1}" for n in (n_documents, length)]
        raise ValueError(
            f"Drawing {sizes[0]} documents of {sizes[1]} tokens would hold more tokens in memory "
            f"at once than the limit of {MOST_TOKENS:,}. {remedy}"
        )


def check_tokens_drawn(n_documents: int, n_tokens: int) -> None:
    """Check that documents that end by themselves fit into memory, while they are drawn.

    Raises
    ------
    ValueError
        If they have more than 2**27 tokens by now.
    """
    if n_tokens > MOST_TOKENS:
        raise ValueError(
            f"Drawing {n_documents:,} documents until they end would hold at least {n_tokens:,} "
            f"tokens in memory at once, more than the limit of {MOST_TOKENS:,}. Draw fewer of them "
            "at a time (n_samples, n_rollouts), or set a smaller max_length."
        )


def check_sample_weight(sample_weight: Any, X: Any, **kwargs: Any) -> NDArray[np.float64]:
    """Return sample weights as scikit-learn checks them, if floats can add and square them.

    Raises
    ------
    ValueError
        If the greatest of them is above 1e100, or below 1e-100 and not 0, or one is masked or no
        number.
    """
    kwargs.setdefault("dtype", np.float64)
    if is_frame(sample_weight):
        raise ValueError(
            f"sample_weight should be one column of numbers, got a {type(sample_weight).__name__}. "
            "Pass one of its columns."
        )
    refuse_masked(sample_weight, None, name="sample_weight")
    try:
        weight = _check_sample_weight(sample_weight, X, **kwargs)
    except (TypeError, ValueError):
        _refuse_what_is_no_number(sample_weight)
        raise
    largest = float(np.max(np.abs(weight), initial=0.0))
    low, high = _WEIGHT_RANGE
    if not (largest == 0 or low <= largest <= high):  # nor where it is NaN
        raise ValueError(
            f"sample_weight should have a greatest value from {low:g} to {high:g}, so that floats "
            f"can hold sums and squares, got {largest:g}. Divide the weights by their mean."
        )
    return weight


def check_weight(sample_weight: Any, values: Any) -> NDArray[np.float64]:
    """Return one weight for each of the values: none below 0, and not all of them 0."""
    return check_sample_weight(
        sample_weight, values, ensure_non_negative=True, allow_all_zero_weights=False
    )


def _refuse_what_is_no_number(sample_weight):
    """Raise where weights have something that is no number, which scikit-learn says of no place."""
    values = np.asarray(sample_weight, dtype=object)
    if values.ndim > 1:
        return
    for position, value in enumerate(values.ravel()):
        try:
            float(value)
        except (TypeError, ValueError):
            where = f" at position {position}" if values.ndim else ""
            raise InvalidParameterError(
                f"sample_weight should be one number for each row, got {shown(value)}{where}. Pass "
                "numbers, or None for weights of 1."
            ) from None
