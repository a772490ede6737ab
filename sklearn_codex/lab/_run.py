"""An algorithm on documents that are drawn, held against the optimum after each step."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex.lab._algorithms import algorithms
from sklearn_codex.lab._called import call_update
from sklearn_codex.lab._named import names_arguments
from sklearn_codex.lab._problem import CandidateProblem, Update
from sklearn_codex.lab._problems import find_problem
from sklearn_codex.lab._table import Groups, kept_within

# The longest natural step of a logit: what is rare and was drawn has a great one.
_LONGEST = 0.5
# Nats below the most probable response at which logits stay, so that steps stay in the floats.
_GONE = 75.0
_POSITIVE = Interval(Real, 0, None, closed="neither")
_SIZES = Interval(Integral, 1, None, closed="left")


@dataclass(frozen=True, eq=False)
class AlgorithmRun:
    """What became of a policy while an algorithm drew documents, see :func:`run_algorithm`.

    Attributes
    ----------
    documents : ndarray of int of shape (n_steps + 1,)
        Responses drawn so far, 0 at the start.
    gaps : ndarray of shape (n_steps + 1,)
        How much the RLHF objective of the policy is below its optimum then, exact, in the unit of
        the reward.
    log_prob : ndarray of shape (n_rows,)
        The policy at the end.
    """

    documents: IntArray
    gaps: FloatArray
    log_prob: FloatArray

    def __repr__(self) -> str:
        return (
            f"AlgorithmRun({len(self.gaps) - 1} steps, {self.documents[-1]:,} documents, gap "
            f"{self.gaps[0]:.3g} to {self.gaps[-1]:.3g})"
        )


@names_arguments
@validate_params(
    {
        "update": [callable, StrOptions(algorithms.keys())],
        "n_documents": [_SIZES],
        "group_size": [_SIZES],
        "n_groups": [_SIZES],
        "learning_rate": [_POSITIVE],
        "epochs": [_SIZES],
        "natural": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def run_algorithm(
    update: Update | str,
    problem: Any = "standard",
    *,
    n_documents: int = 10_000,
    group_size: int = 4,
    n_groups: int = 16,
    learning_rate: float = 1.0,
    epochs: int = 1,
    natural: bool = False,
    random_state: Any = None,
) -> AlgorithmRun:
    r"""Train a policy with an algorithm on drawn responses, and measure it after each step.

    Parameters
    ----------
    update : callable or str
        A name in ``algorithms``, or an update as :func:`check_algorithm` takes it. It is called for
        each group, and a step goes along the mean.
    problem : str or CandidateProblem, default="standard"
        A name in ``problems``, or one made; of rewards.
    n_documents : int, default=10_000
        Responses drawn in all, at least one batch.
    group_size : int, default=4
        Responses to one prompt in a group.
    n_groups : int, default=16
        Groups in a batch.
    learning_rate : float, default=1.0
        Size of a step in logits of whole responses.
    epochs : int, default=1
        Steps on one batch.
    natural : bool, default=False
        Whether a step is divided by the probabilities, which for a table is the natural gradient.
        A logit goes by 0.5 at most then.
    random_state : int, RandomState instance or None, default=None
        Source of the responses.

    Returns
    -------
    run : AlgorithmRun
        With ``documents``, ``gaps`` and ``log_prob``.

    Raises
    ------
    ValueError
        If the problem is none of rewards, or the update returns what it should not.

    Notes
    -----
    Only responses are drawn: the gap of a policy is a sum over all of them. Where the gap ends in
    the long run is the question of :func:`rest_point`, and how it gets there that of the noise.

    Examples
    --------
    >>> from sklearn_codex.lab import run_algorithm
    >>> run = run_algorithm("rloo", "lengths", n_documents=6_400, random_state=0)
    >>> run.documents[[0, 1, -1]]
    array([   0,   64, 6400])
    >>> bool(run.gaps[-1] < 0.01 * run.gaps[0])
    True
    """
    problem = find_problem(problem)
    if not isinstance(problem, CandidateProblem):
        raise ValueError(
            "run_algorithm needs a problem of rewards, whose responses are drawn, such as "
            f'"standard" or "lengths", got the preferences of {problem.name!r}.'
        )
    update = algorithms[update] if isinstance(update, str) else update
    rng = check_random_state(random_state)
    group_size, n_groups = int(group_size), int(n_groups)  # True is one
    log_prob, size = problem.reference, group_size * n_groups
    n_steps = max(n_documents // size, 1)
    gaps = [problem.objective.gap(log_prob)]
    for _ in range(n_steps):
        groups = problem.groups(log_prob, group_size, n_groups, rng)
        log_prob = _trained(update, problem, groups, log_prob, learning_rate, epochs, natural)
        gaps.append(problem.objective.gap(log_prob))
    return AlgorithmRun(size * np.arange(n_steps + 1), np.array(gaps), log_prob)


def _trained(
    update: Update,
    problem: CandidateProblem,
    groups: Groups,
    drew: FloatArray,
    learning_rate: float,
    epochs: int,
    natural: bool,
) -> FloatArray:
    """Return the policy (n_rows,) after some steps on one batch of groups."""
    log_prob = drew
    for _ in range(epochs):
        policies = np.tile(log_prob, (len(groups.rows), 1))
        batch = problem.batch(groups, policies, drew)
        out, is_policy = call_update(update, batch)
        if is_policy:
            log_prob = problem.normalize(groups.weights @ out)
            continue
        step = -groups.weights @ problem.logit_gradient(groups, policies, out)
        if natural:
            step = step / np.exp(log_prob)
        step = learning_rate * step
        logits = log_prob + (np.clip(step, -_LONGEST, _LONGEST) if natural else step)
        log_prob = kept_within(problem, logits, _GONE)
    return log_prob
