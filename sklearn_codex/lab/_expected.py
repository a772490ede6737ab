"""The expectation of an update over all batches that can be drawn, and where it is at rest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls, root
from sklearn.utils import check_random_state

from sklearn_codex._categorical import FloatArray
from sklearn_codex.lab._batch import Batch
from sklearn_codex.lab._called import call_update
from sklearn_codex.lab._precision import rounding_of
from sklearn_codex.lab._problem import Update
from sklearn_codex.lab._table import beside, kept_within

# Steps of a logit: the first, the longest, those too short to matter, and how many there are.
_FIRST_STEP, _LONGEST_STEP, _SMALLEST_STEP = 0.2, 1.0, 1e-9
MOST_STEPS = 600
_SAME_DIGITS = 10
_NEWTON_AT = (0, 10, 20, 40, 80, 160, 320)
# Where the update jumps: radii of points nearby, moves at each, and what is no direction.
_N_RADII, _MOST_MOVES, _BLOCKED = 13, 40, 1e-3
# Rates beyond leave the floats with what they multiply.
_GREATEST_RATE = 1e300
# How far Newton's method may go, in nats, and what counts as no growth.
_FARTHEST = 8.0
_STABLE = 1e-6
# Nats below the most probable response at which one counts as gone, and a probability below that.
GONE = 25.0
_RAREST = np.exp(-2 * GONE)
# Nats by which a response is made rare, to see what an update does to it then.
_RARE = 12.0
# What counts as no force, of that at the start, which moves no logit, and which is rounding.
_AT_REST, _AS_GOOD_AS_NONE = 1e-7, 1e-9
_NO_FORCE = 1e-14
# How much of what is rounded there is at a rest, at most.
ROUNDINGS = 30.0
# With which force one that counts as gone comes back.
_RISES = 1e-3


@dataclass(frozen=True)
class Sampling:
    """How an algorithm is run: responses a group, steps a batch, their size, and which batches.

    Attributes
    ----------
    group_size : int
        Responses to one prompt in a batch.
    learning_rate : float
        Size of a step in logits of responses, a plain gradient step.
    epochs : int
        Steps on one batch.
    n_samples : int or None
        Batches drawn; None for all that there are, each as often as it comes.
    random_state : int
        Seed of the batches drawn, the same for each policy.
    unit : float
        What a gradient is divided by before anything is done with it, and steps are multiplied by;
        a power of 2, so that no digit is lost.
    """

    group_size: int = 4
    learning_rate: float = 1.0
    epochs: int = 1
    n_samples: int | None = None
    random_state: Any = 0
    unit: float = 1.0

    @property
    def rate(self) -> float:
        """Size of a step along a gradient that is divided by the unit."""
        return min(self.learning_rate * self.unit, _GREATEST_RATE)


@dataclass(frozen=True)
class Move:
    """How far an update moves the logits of a policy.

    Attributes
    ----------
    mean : ndarray of shape (n_rows,)
        Expected ascent, per unit of the gradient and epoch; for an update that returns a new policy
        its change, less the mean over each prompt.
    standard_error : ndarray of shape (n_rows,)
        Its standard error, 0 where all batches were held.
    covariance : ndarray of shape (n_rows, n_rows)
        Of the mean, 0 where all batches were held.
    variance : float
        Expected squared distance of the move of one batch from the mean.
    clipped : float
        Share of the tokens drawn whose gradient is 0 in the last epoch and was not in the first.
    is_policy : bool
        Whether the update returned a new policy.
    on_padding : float
        Share of the gradient, in absolute values over all batches, that is at padding.
    """

    mean: FloatArray
    standard_error: FloatArray
    covariance: FloatArray
    variance: float
    clipped: float
    is_policy: bool = False
    on_padding: float = 0.0


def expected_move(update: Update, problem: Any, log_prob: FloatArray, sampling: Sampling) -> Move:
    """Return the expectation of what an update does to a policy.

    Parameters
    ----------
    update : callable
        ``(log_prob, batch)`` to a gradient, a pair of loss and gradient, or a new policy.
    problem : CandidateProblem or PreferenceProblem
    log_prob : ndarray of shape (n_rows,)
        The policy that draws.
    sampling : Sampling
    """
    groups = problem.groups(
        log_prob,
        sampling.group_size,
        sampling.n_samples,
        check_random_state(sampling.random_state) if sampling.n_samples else None,
    )
    policies = np.tile(log_prob, (len(groups.weights), 1))
    moves = np.zeros_like(policies)
    first = last = None
    on_padding = 0.0
    is_policy = False
    for _ in range(sampling.epochs):
        batch = problem.batch(groups, policies, log_prob)
        out, is_policy = call_update(update, batch)
        if is_policy:
            step, rate = problem.normalize(out) - policies, 1.0
        else:
            last = out = out / sampling.unit
            first = out if first is None else first
            on_padding = max(on_padding, _on_padding(out, batch))
            step, rate = -problem.logit_gradient(groups, policies, out), sampling.rate
        moves = moves + step
        # Steps that go too far stay in the floats.
        policies = kept_within(problem, log_prob + rate * moves, 3 * GONE)
    if is_policy:
        # What normalises a policy moves all logits of a prompt alike, which is no move.
        moves = np.stack([problem.centred(row) for row in moves])
    else:
        moves = moves / sampling.epochs
    weights = groups.weights[:, np.newaxis]
    mean = (weights * moves).sum(axis=0)
    apart = moves - mean
    spread = (weights * apart).T @ apart
    covariance = np.zeros_like(spread) if groups.is_exact else spread / len(moves)
    clipped = _clipped(first, last, groups.weights)
    error, variance = np.sqrt(np.diag(covariance)), float(np.trace(spread))
    return Move(mean, error, covariance, variance, clipped, is_policy, on_padding)


def _on_padding(gradient, batch):
    size = np.abs(gradient).sum()
    if not isinstance(batch, Batch) or size == 0:
        return 0.0
    return float(np.abs(gradient)[~batch.response_mask].sum() / size)


def _clipped(first, last, weights):
    if first is None:
        return 0.0
    was = first != 0
    share = (was & (last == 0)).reshape(len(was), -1).sum(axis=1)
    return float(weights @ (share / np.maximum(was.reshape(len(was), -1).sum(axis=1), 1)))


@dataclass(frozen=True)
class Rest:
    """Where an update comes to rest.

    Attributes
    ----------
    log_prob : ndarray of shape (n_rows,)
        The policy; where there is no rest, as far as the search went.
    is_inside : bool
        Whether it rests at a policy that leaves every response possible.
    is_found : bool
        Whether the search ended, at a rest or where responses are lost for good.
    residual : float
        Greatest expected move of a logit per probability that is left there, over that at the
        start. It is not small where the update jumps at the rest point, as advantages do that are
        divided by their deviation.
    rounding : float
        How far a force is from what it would be with more digits, over the greatest at the start;
        0 where it is no more than the rounding of floats.
    """

    log_prob: FloatArray
    is_inside: bool
    is_found: bool
    residual: float
    rounding: float = 0.0


def drift(
    update: Update,
    problem: Any,
    log_prob: FloatArray,
    sampling: Sampling,
    scale: float = 1.0,
    *,
    natural: bool = False,
) -> FloatArray:
    """Return the expected move (n_rows,) of each logit per probability, less their mean.

    Where it is 0 nothing moves, and unlike the move it is not small for rare responses only
    because they are rare. It is divided by a scale. A natural step is per probability as it is.
    """
    move = expected_move(update, problem, log_prob, sampling).mean
    prob = np.exp(log_prob)
    force = move if natural else move / np.maximum(prob, _RAREST)
    return problem.centred(force, prob) / scale


def is_natural(update: Update, problem: Any, sampling: Sampling) -> bool:
    """Return whether an update returns policies by steps that do not get small with a probability.

    Each response is made rare in turn; a plain step then moves it, against the others, by no more
    than its probability. Gradients are plain.
    """
    if not expected_move(update, problem, problem.reference, sampling).is_policy:
        return False
    shares = []
    for row in range(len(problem.reference)):
        rare = problem.reference - np.where(np.arange(len(problem.reference)) == row, _RARE, 0.0)
        move = np.abs(expected_move(update, problem, problem.normalize(rare), sampling).mean)
        shares.append(move[row] / max(float(move.max()), _NO_FORCE))
    return bool(np.median(shares) > np.exp(-0.5 * _RARE))


def _scale(update: Update, problem: Any, sampling: Sampling, natural: bool) -> float:
    """Return the greatest drift at the reference and beside it, the unit of all others.

    A learning rate is free, so that a force is small only against others of the update.
    """
    forces = [
        drift(update, problem, at, sampling, natural=natural)
        for at in (problem.reference, beside(problem))
    ]
    return float(np.abs(forces).max())


def force_of(
    update: Update, problem: Any, sampling: Sampling
) -> Callable[[FloatArray], FloatArray] | None:
    """Return the drift (n_rows,) at a policy, in units of its size; None where there is none."""
    natural = is_natural(update, problem, sampling)
    scale = _scale(update, problem, sampling, natural)
    if scale <= _NO_FORCE:
        return None

    def force_at(at: FloatArray) -> FloatArray:
        return drift(update, problem, at, sampling, scale, natural=natural)

    return force_at


def find_rest(
    update: Update,
    problem: Any,
    sampling: Sampling | None = None,
    start: FloatArray | None = None,
) -> Rest:
    """Return where the expected update rests that starts at the reference.

    Each logit moves in its direction, by a step that grows while that stays and halves when it
    turns, with Newton's method tried on the way. Where the update jumps, gradient sampling ends it.

    Parameters
    ----------
    update : callable
    problem : CandidateProblem or PreferenceProblem
    sampling : Sampling, default=None
    start : ndarray of shape (n_rows,), default=None
        Where to begin; None means at the reference.
    """
    sampling = Sampling() if sampling is None else sampling
    log_prob = problem.reference if start is None else start
    force_at = force_of(update, problem, sampling)
    if force_at is None:
        return Rest(log_prob, True, True, 0.0)
    steps = np.full(len(log_prob), _FIRST_STEP)
    before = np.zeros(len(log_prob))
    size = np.inf
    seen: set[bytes] = set()
    for step in range(MOST_STEPS):
        left = log_prob >= greatest_within(problem, log_prob) - GONE
        force = force_at(log_prob)
        size = _size(problem, force, log_prob, left)
        if size <= _AT_REST and not (force[~left] > _RISES).any():
            return Rest(log_prob, bool(left.all()), True, size)
        if steps[left].max() <= _SMALLEST_STEP:
            return _rounded(force_at, problem, log_prob, left, size)
        if step in _NEWTON_AT:
            found = _newton(force_at, update, problem, sampling, log_prob, left)
            if found is not None:
                return found
        steps = np.minimum(steps * np.where(force * before >= 0, 1.2, 0.5), _LONGEST_STEP)
        # What all but takes all has a force that is rounding, and a step of it would move the rest.
        moving = np.where(np.abs(force) > _AS_GOOD_AS_NONE, np.sign(force), 0.0)
        moved = log_prob + steps * moving
        floor = greatest_within(problem, moved) - GONE - 5.0
        log_prob, before = problem.normalize(np.maximum(moved, floor)), force
        # What was here before with the same steps goes round for good.
        state = np.round(np.concatenate([log_prob, steps]), _SAME_DIGITS).tobytes()
        if state in seen:
            break
        seen.add(state)
    return Rest(log_prob, False, False, size)


def _size(problem, force, log_prob, left):
    """Return the greatest force on a response that is left, against others that are."""
    weights = np.where(left, np.exp(log_prob), 0.0)
    return float(np.abs(problem.centred(force, weights)[left]).max())


def _rounded(force_at, problem, log_prob, left, size):
    """Return where an update rests that is rounded, or jumps there, from near it.

    What is rounded jumps everywhere, and by no search is it known to more digits than it has.
    """
    rounding = rounding_of(lambda at: force_at(at)[left], problem, log_prob)
    if size <= ROUNDINGS * rounding:
        return Rest(log_prob, bool(left.all()), True, size, rounding)
    return _settled(force_at, problem, log_prob, left, rounding)


def _settled(force_at, problem, log_prob, left, rounding):
    """Return where an update rests that jumps there, from near it.

    Where the force jumps, logits may block each other that could move together. So the direction is
    the shortest mean of the forces at points nearby, as in gradient sampling: it is 0 at a rest.
    """
    rng = np.random.RandomState(0)
    n_points = 2 * int(left.sum()) + 4
    radii = _FIRST_STEP * 0.25 ** np.arange(_N_RADII)
    for radius in radii[radii > rounding]:
        for _ in range(_MOST_MOVES):
            scale = np.sqrt(np.exp(log_prob))
            near = rng.uniform(-radius, radius, (n_points, len(log_prob)))
            points = [problem.normalize(log_prob + np.where(left, row, 0.0)) for row in near]
            forces = [force_at(point) for point in points]
            scaled = np.where(left, np.stack(forces) * scale, 0.0)
            direction = _shortest_mean(scaled)
            if np.linalg.norm(direction) <= _BLOCKED * np.abs(scaled).max():
                break
            step = direction / scale
            log_prob = problem.normalize(log_prob + radius * step / np.abs(step).max())
    size = _size(problem, force_at(log_prob), log_prob, left)
    return Rest(log_prob, bool(left.all()), True, size, rounding)


def _shortest_mean(vectors):
    """Return the shortest weighted mean (k,) of vectors (n, k)."""
    heavy = 1e3 * np.abs(vectors).max()
    system = np.vstack([vectors.T, np.full(len(vectors), heavy)])
    weights, _ = nnls(system, np.append(np.zeros(vectors.shape[1]), heavy), maxiter=1000)
    return weights @ vectors / weights.sum()


def greatest_within(problem: Any, log_prob: FloatArray) -> FloatArray:
    """Return for each row the greatest log-probability (n_rows,) of its prompt."""
    greatest = np.full(len(problem.shares), -np.inf)
    np.maximum.at(greatest, problem.prompts, log_prob)
    return greatest[problem.prompts]


def _newton(force_at, update, problem, sampling, log_prob, left):
    """Return the rest that Newton's method finds near a policy, None where it finds none."""
    free = np.setdiff1d(np.flatnonzero(left), _anchors(problem, log_prob))
    if not len(free):
        return None

    def policy(change):
        moved = log_prob.copy()
        moved[free] += np.clip(change, -_FARTHEST, _FARTHEST)
        return problem.normalize(moved)

    def force(change):
        return force_at(policy(change))[free]

    options: Any = {"xtol": 1e-11, "maxfev": 20 * len(free) + 20}
    found = root(force, np.zeros(len(free)), options=options)
    rest = policy(found.x)
    force_there = force_at(rest)
    size = _size(problem, force_there, rest, left)
    if size > _AT_REST or np.abs(found.x).max() >= _FARTHEST:
        return None
    # Newton finds what repels as well, and the algorithm would never be there.
    values = eigenvalues(update, problem, rest, sampling, free=free)
    if np.real(values).max() > _STABLE * np.abs(values).max():
        return None
    gone = rest < greatest_within(problem, rest) - GONE
    if (force_there[~left] > 0).any() or (gone & left).any():
        return None
    return Rest(rest, bool(left.all()), True, size)


def _anchors(problem, log_prob):
    """Return the most probable row of each prompt, against which the logits of others move."""
    rows = [np.flatnonzero(problem.prompts == x) for x in range(len(problem.shares))]
    return np.array([own[np.argmax(log_prob[own])] for own in rows])


def eigenvalues(
    update: Update,
    problem: Any,
    log_prob: FloatArray,
    sampling: Sampling,
    *,
    free: Any = None,
    step: float = 1e-5,
) -> NDArray[np.complex128]:
    """Return the eigenvalues of the Jacobian of the expected move by logits, within prompts.

    A rest is stable where the real parts of all are below 0.
    """
    anchors = _anchors(problem, log_prob)
    if free is None:
        free = np.setdiff1d(np.arange(len(log_prob)), anchors)

    def move(change):
        moved = log_prob.copy()
        moved[free] += change
        ascent = expected_move(update, problem, problem.normalize(moved), sampling).mean
        return (ascent - ascent[anchors[problem.prompts]])[free]

    eye = step * np.eye(len(free))
    jacobian = np.column_stack([(move(row) - move(-row)) / (2 * step) for row in eye])
    return np.linalg.eigvals(jacobian).astype(np.complex128)


def spectral_radius(
    update: Update, problem: Any, log_prob: FloatArray, sampling: Sampling, *, step: float = 1e-5
) -> float:
    """Return the spectral radius of one step of the expected update at a policy.

    Below 1 it comes back from a small distance, by that factor a step. What returns a policy has
    its own learning rate.
    """
    values = eigenvalues(update, problem, log_prob, sampling, step=step)
    if not expected_move(update, problem, log_prob, sampling).is_policy:
        values = sampling.rate * sampling.epochs * values
    return float(np.abs(1.0 + values).max())
