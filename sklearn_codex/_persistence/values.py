"""What a value of a file is."""

from numbers import Integral, Real

import numpy as np


def is_array(value, kinds="fiu") -> bool:
    """Return whether a value is an array of numbers, or of some kinds of dtype."""
    return isinstance(value, np.ndarray) and value.dtype.kind in kinds


def is_finite(value) -> bool:
    """Return whether a value is an array of finite numbers."""
    return is_array(value) and bool(np.isfinite(value).all())


def is_number(value) -> bool:
    """Return whether a value is a real number, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))


def is_whole(value) -> bool:
    """Return whether a value is a whole number of at least 0."""
    return (
        isinstance(value, Integral) and not isinstance(value, (bool, np.bool_)) and int(value) >= 0
    )
