"""Recursions over many positions: when they have come to rest, and what the rest of them adds.

Powers of a positive operator come to one direction, from which on a step is a factor. It is looked
for at positions 8, 16, 32, ..., by what changed in the last step and in the later half of all: what
changes so slowly has less to come than what rounding adds on the way.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sklearn_codex._categorical import FloatArray

# The first position that is looked at.
_FIRST = 8
# Relative change that is rounding, of sums some of whose terms cancel to three digits.
_ROUNDING = 1e-13
# Share of the greatest entry below which one that falls makes no difference.
_VANISHING = 1e-30


def is_looked_at(position: int) -> bool:
    """Return whether rest is looked for at a position."""
    return position >= _FIRST and position & (position - 1) == 0


def is_same(later: FloatArray, before: FloatArray) -> bool:
    """Return whether logarithms, or values, differ by rounding only."""
    if np.array_equal(later, before):
        return True
    finite = np.isfinite(later)
    if not np.array_equal(finite, np.isfinite(before)):
        return False
    size = max(1.0, float(np.abs(later[finite]).max(initial=0.0)))
    return bool(np.abs(later[finite] - before[finite]).max(initial=0.0) <= _ROUNDING * size)


def is_same_direction(later: FloatArray, before: FloatArray) -> bool:
    """Return whether two vectors without negative entries differ by a factor and rounding only."""
    own, other = later / later.sum(), before / before.sum()
    change = np.abs(own - other)
    fades = (own <= _VANISHING * own.max()) & (own <= other)
    return bool(((change <= _ROUNDING * own) | fades).all())


@dataclass(frozen=True)
class Stretch:
    """Positions one after the other, at each of which visits are those before, times a factor.

    Parameters
    ----------
    visits : ndarray of shape (C,)
        The share of documents in each context before the first.
    length : int
        How many positions.
    log_factor : float
        At most 0, but for rounding.
    """

    visits: FloatArray
    length: int = 1
    log_factor: float = 0.0

    def weights(self) -> FloatArray:
        """Return what visits are multiplied by (length,) at each."""
        return np.exp(self.log_factor * np.arange(self.length))

    @property
    def last(self) -> FloatArray:
        """Visits (C,) before what follows the last position."""
        return self.visits * np.exp(self.log_factor * self.length)

    def total(self) -> FloatArray:
        """Return the sum of visits (C,)."""
        return self.visits * float(self.weights().sum())

    def split(self, length: int) -> tuple["Stretch", "Stretch"]:
        """Return the first so many positions, and those after."""
        first = Stretch(self.visits, length, self.log_factor)
        return first, Stretch(first.last, self.length - length, self.log_factor)


def stretches(
    step: Callable[[FloatArray], FloatArray], visits: FloatArray, max_length: int
) -> Iterator[Stretch]:
    """Yield visits position by position, and the rest of them at once where a step is a factor.

    Parameters
    ----------
    step : callable
        Takes and returns visits (C,), by one position.
    visits : ndarray of shape (C,)
        Those before the first.
    max_length : int
        Positions; fewer where no document is left.
    """
    marked = before = visits
    for position in range(max_length):
        if is_looked_at(position):
            # What goes round in cycles is the same after many steps, but not after one.
            if is_same_direction(visits, before) and is_same_direction(visits, marked):
                steps = position // 2
                factor = float(np.log(visits.sum() / marked.sum())) / steps
                yield Stretch(visits, max_length - position, factor)
                return
            marked = visits
        elif position == _FIRST // 2:
            marked = visits
        yield Stretch(visits)
        before, visits = visits, step(visits)
        if not visits.any():
            return


def extended(
    step: Callable[[FloatArray], FloatArray], last: FloatArray, max_length: int
) -> FloatArray:
    """Return values (max_length + 1, C) with 0, 1, ... tokens left, those with none given.

    From where a step adds the same as half as many steps before, they rise by that.
    """
    values = np.empty((max_length + 1, len(last)))
    values[0] = last
    for left in range(1, max_length + 1):
        values[left] = step(values[left - 1])
        if is_looked_at(left) and left < max_length:
            half = left // 2
            rise = (values[left] - values[half]) / half
            size = float(np.abs(values[left]).max())
            changes = (values[left] - values[left - 1], values[half] - values[half - 1])
            if all(np.abs(change - rise).max() <= 4e-16 * size for change in changes):
                more = np.arange(1, max_length - left + 1)[:, np.newaxis]
                values[left + 1 :] = values[left] + more * rise
                break
    return values
