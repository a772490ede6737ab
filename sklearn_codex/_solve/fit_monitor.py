"""What is recorded and told of each iteration of a reward fit."""

import numpy as np


def describe_pairs(losses, margins, target, weight):
    """Return weighted means over pairs of what ``history_`` has of them.

    Parameters
    ----------
    losses, margins, target, weight : ndarray of shape (n_pairs,)
        Of each pair its loss, its margin, the probability that A is preferred, its weight.
    """
    agreement = 0.5 + (target - 0.5) * np.sign(margins)
    return {
        "loss": float(np.average(losses, weights=weight)),
        "accuracy": float(np.average(agreement, weights=weight)),
        "margin": float(np.average((2 * target - 1) * margins, weights=weight)),
    }


class FitMonitor:
    """Keeps the history of a fit and tells callbacks: of one task an iteration.

    A task begins before its iteration and ends after it.

    Parameters
    ----------
    estimator : estimator
        The one being fitted.
    loss : loss with ``describe``
        What it minimises.
    root : CallbackContext or None
        The task of the whole fit; None where there are no callbacks to tell.
    attributes_of : callable
        Turns weights into the attributes that make a copy of the estimator a fitted one.

    Attributes
    ----------
    history : list of dict
        One record per iteration, the first before any step.
    stopped : bool
        Whether a callback has ended the fit.
    """

    def __init__(self, estimator, loss, root, attributes_of):
        self._estimator = estimator
        self._loss = loss
        self._root = root
        self._attributes_of = attributes_of
        self._task = None
        self.history = []
        self.stopped = False

    def __call__(self, state):
        """Record the iteration that led here, end its task, begin the next; return if to stop."""
        self.history.append(
            {
                "iteration": state.iteration,
                "objective": state.point.value,
                "gradient_norm": state.gradient_norm,
                **self._loss.describe(state.point),
            }
        )
        if self._root is None:
            return False
        if self._task is not None:
            self.stopped = bool(
                self._task.call_on_fit_task_end(
                    estimator=self._estimator,
                    reconstruction_attributes=self._attributes_of(state.point.weights),
                )
            )
        max_iter = self._estimator.max_iter
        if not (self.stopped or state.converged or state.iteration >= max_iter):
            self._task = self._root.subcontext(task_name="iteration")
            self._task.call_on_fit_task_begin(estimator=self._estimator)
        return self.stopped
