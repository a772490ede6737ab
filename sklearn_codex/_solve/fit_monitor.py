"""What is recorded and told of each iteration of a reward fit."""

import numpy as np


def describe(state, target, weight, mean_loss):
    """Return the record of one iteration for ``history_``."""
    margins = state.margins
    agreement = 0.5 + (target - 0.5) * np.sign(margins)
    return {
        "iteration": state.iteration,
        "objective": state.objective,
        "gradient_norm": state.gradient_norm,
        "loss": mean_loss,
        "accuracy": float(np.average(agreement, weights=weight)),
        "margin": float(np.average((2 * target - 1) * margins, weights=weight)),
    }


class IterationTasks:
    """Tells callbacks of solver iterations: one task each, begun before it and ended after it.

    Parameters
    ----------
    estimator : estimator
        The one being fitted.
    root : CallbackContext or None
        The task of the whole fit; None where there are no callbacks to tell.
    max_iter : int
        After this many iterations none begins.
    attributes_of : callable
        Turns weights into the attributes that make a copy of the estimator a fitted one.
    """

    def __init__(self, estimator, root, max_iter, attributes_of):
        self._estimator = estimator
        self._root = root
        self._max_iter = max_iter
        self._attributes_of = attributes_of
        self._task = None
        self.stopped = False

    def __call__(self, state):
        """End the task of the iteration that led here, begin the next; return whether to stop."""
        if self._root is None:
            return False
        if self._task is not None:
            self.stopped = bool(
                self._task.call_on_fit_task_end(
                    estimator=self._estimator,
                    reconstruction_attributes=self._attributes_of(state.weights),
                )
            )
        if not (self.stopped or state.converged or state.iteration >= self._max_iter):
            self._task = self._root.subcontext(task_name="iteration")
            self._task.call_on_fit_task_begin(estimator=self._estimator)
        return self.stopped
