"""How far an audit is, and how long it will still take."""

import time

# Seconds of each step on two cores for each pair of the data, and for each that models learn from.
# Only their ratios count: a slower machine shows as the audit goes on.
RATES = {
    "read": (5e-5, 0.0),
    "health": (1.5e-4, 0.0),
    "choose the penalty": (0.0, 5e-5),
    "length only": (0.0, 2e-6),
    "words": (0.0, 1e-5),
    "features": (0.0, 2e-3),
    "preset": (0.0, 8e-4),
    "learning curve": (0.0, 2e-4),
    "reward net of length": (0.0, 2e-5),
    "what is preferred": (0.0, 5e-4),
    "slices": (0.0, 2e-4),
    "halves of the data": (0.0, 5e-5),
    "policy": (0.0, 2e-5),
    "pairs to label": (0.0, 2e-4),
    "what to drop": (0.0, 4e-4),
}
STEPS = tuple(RATES)
# Seconds after which the speed of this machine is known well enough to be told by.
FIRST = 2.0


class Steps:
    """Hears of an audit as it goes on, and tells one function of the steps as they begin.

    Parameters
    ----------
    begin : callable
        Called with the name of each step.
    """

    def __init__(self, begin):
        self._begin = begin

    def __call__(self, name):
        """Begin a step."""
        self._begin(name)

    def advance(self, share):
        """Hear that a share of the step is done."""

    def know_size(self, n_pairs, n_learned):
        """Hear of how many pairs the data are, and of how many models learn."""


def as_steps(step):
    """Return what hears of an audit, of a function of the names of steps, or of None."""
    return step if isinstance(step, Steps) else Steps(step or (lambda name: None))


class Estimate(Steps):
    """How much of an audit is done, and when it will be.

    Parameters
    ----------
    clock : callable
        Gives seconds.

    Attributes
    ----------
    changed : callable
        Called without an argument when there is something new.
    name : str
        The step that is going on.
    share : float
        What is done of all, as far as the size of the data is known.
    end : float or None
        What the clock will show in the end; None where that cannot be told yet.
    """

    def __init__(self, clock=time.monotonic):
        self.changed, self._clock = lambda: None, clock
        self._start = clock()
        self._sizes: tuple[int, int] | None = None
        self._of_step = 0.0
        self.name, self.share, self.end = STEPS[0], 0.0, None

    def __call__(self, name):
        """Begin a step."""
        self.name, self._of_step = name, 0.0
        self._update()

    def advance(self, share):
        """Hear that a share of the step is done."""
        self._of_step = min(max(float(share), self._of_step), 1.0)
        self._update()

    def know_size(self, n_pairs, n_learned):
        """Hear of how many pairs the data are, and of how many models learn."""
        self._sizes = n_pairs, n_learned
        self._update()

    def say_time_left(self):
        """Return how long it will take, "" where that cannot be told yet."""
        return "" if self.end is None else f"about {show_seconds(self.end - self._clock())} left"

    def _update(self):
        if self._sizes is not None:
            costs = {name: rate[0] * self._sizes[0] + rate[1] * self._sizes[1]
                     for name, rate in RATES.items()}  # fmt: skip
            total = sum(costs.values())
            before = sum(costs[name] for name in STEPS[: STEPS.index(self.name)])
            # No step goes back, though each counts from 0 anew.
            self.share = max(self.share, (before + self._of_step * costs[self.name]) / total)
            now = self._clock()
            elapsed = now - self._start
            if elapsed >= FIRST and self.share > 0:
                self.end = now + elapsed * (1 - self.share) / self.share
        self.changed()


def show_seconds(seconds):
    """Return seconds as minutes and seconds, or hours, minutes and seconds."""
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def within(advance, start, end):
    """Return what tells of a part of a step, from one share of it to another."""
    return lambda share: advance(start + (end - start) * share)
