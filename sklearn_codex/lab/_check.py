"""What an algorithm does, measured against what is exact."""

from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.stats import chi2
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import COUNT, POSITIVE, check_log_prob, check_number
from sklearn_codex.lab._algorithms import PreferenceAlgorithm, RewardAlgorithm, algorithms
from sklearn_codex.lab._expected import (
    GONE,
    ROUNDINGS,
    Move,
    Rest,
    Sampling,
    expected_move,
    find_rest,
    force_of,
    spectral_radius,
)
from sklearn_codex.lab._followed import check_repeats, in_units
from sklearn_codex.lab._named import names_arguments
from sklearn_codex.lab._order import as_it_is_listed
from sklearn_codex.lab._precision import rounding_of
from sklearn_codex.lab._preferences import PreferenceProblem
from sklearn_codex.lab._problem import CandidateProblem, Update
from sklearn_codex.lab._problems import find_problem
from sklearn_codex.lab._rest_preferences import bradley_terry_scores, is_bradley_terry
from sklearn_codex.lab._result import TOLERANCE, AlgorithmCheck, Setting
from sklearn_codex.lab._table import kept_within
from sklearn_codex.lab._told import (
    SMALLEST_TILT,
    check_told,
    check_told_by_gradient,
    error_of_half_kl,
    kept_rows,
)
from sklearn_codex.lab._untrained import share_untrained

# Where gradients are compared, in ways from the reference to the optimum, and how far beside it, in
# nats. What goes wrong far from the reference alone, as a log-ratio that is clipped, shows there.
_WAYS, _SPREAD = (0.0, 1.0, 2.0), 0.7
# What moves by more than this at its rest point jumps there.
_JUMPS = 1e-5
# Steps of a difference quotient, and which growth of it from the second to the first is a jump.
_STEPS, _GROWS = (1e-5, 1e-4), 3.0
# How often chance alone may exceed the limit of an error.
_CHANCE = 1e-3
# Errors that may be those of rounding.
_NEAR = 0.1
_POSITIVE = Interval(Real, 0, None, closed="neither")
_SIZES = Interval(Integral, 1, None, closed="left")


@names_arguments
@validate_params(
    {
        "update": [callable, StrOptions(algorithms.keys())],
        "group_size": [_SIZES],
        "learning_rate": [_POSITIVE],
        "epochs": [_SIZES],
        "target": ["array-like", None],
        "group_sizes": ["array-like"],
        "learning_rates": ["array-like"],
        "more_epochs": ["array-like"],
        "n_samples": [Interval(Integral, 2, None, closed="left"), None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def check_algorithm(
    update: Update | str,
    problem: Any = "standard",
    *,
    group_size: int = 4,
    learning_rate: float = 1.0,
    epochs: int = 1,
    target: Any = None,
    group_sizes: Any = (2, 6),
    learning_rates: Any = (0.1, 10.0),
    more_epochs: Any = (4,),
    n_samples: int | None = None,
    random_state: Any = 0,
) -> AlgorithmCheck:
    r"""Measure what an algorithm does on a problem whose answer is known.

    Parameters
    ----------
    update : callable or str
        A name in ``algorithms``, or ``update(log_prob, batch)``, with log-probabilities of the
        tokens of a batch, an array (n_responses, n_tokens), and a :class:`Batch`. It returns the
        gradient of its loss by them, a pair of loss and gradient, or the log-probabilities
        (n_rows,) of a new policy, made from ``batch.policy_log_prob``. On preferences the batch is
        a :class:`PreferenceBatch` of pairs, and log-probabilities are (n_pairs, 2). It is called
        once for every batch that can be drawn, so it should keep nothing from call to call; one
        that has an attribute ``takes_stacks = True`` gets all at once, with one more axis in front.
    problem : str, CandidateProblem or PreferenceProblem, default="standard"
        A name in ``problems``, or one made.
    group_size : int, default=4
        Responses to one prompt in a batch; a batch is one group.
    learning_rate : float, default=1.0
        Size of a plain gradient step in logits of whole responses.
    epochs : int, default=1
        Steps on one batch. More than one let clipping act.
    target : array-like of shape (n_rows,), default=None
        Log-probabilities at which it should rest; None means the RLHF optimum, of the reward or of
        the scores of Bradley and Terry. For others see :func:`rest_point`.
    group_sizes, learning_rates, more_epochs : array-like, default=(2, 6), (0.1, 10.0), (4,)
        Further settings, one changed at a time. A group size with more groups than can be listed
        has a row without measures, and so have all of them where the first setting has no rest.
    n_samples : int, default=None
        Batches drawn at each policy, where there are too many to list them. Only the gradient is
        measured then, with its standard error, and no rest point. Not for preferences, whose pairs
        are listed.
    random_state : int, RandomState instance or None, default=0
        Source of the policies at which gradients are compared, and of batches drawn.

    Returns
    -------
    check : AlgorithmCheck
        ``print(check)`` shows it, ``check.assert_unbiased()`` is for tests.

    Raises
    ------
    ValueError
        If the update returns what it should not, or not the same for the same batch, or there is no
        RLHF optimum and no ``target``, or no prompt has two responses, or ``kl_coef`` is so small
        or so great that wrong algorithms rest at the optimum as well or, with ``n_samples``, that
        half of it leaves the gradient as it is.

    Notes
    -----
    All batches that can be drawn are listed, as multisets with their probabilities, so the expected
    gradient is a sum; where it matters to the update which response comes first, each order of them
    is listed, as far as these are 2,000 in all. It is compared with the exact one at the reference,
    at the optimum, as far again beyond it and near each of these, up to one positive factor, as a
    learning rate is free. The rest point is sought from the reference by the expected move. What is
    measured there:

    - the effective kl_coef is one over the slope on R in the least squares fit of
      :math:`\log(\pi / ref)` on rewards and lengths, weighted by the reference
    - the length bias is the slope on the length, in such a fit, of what changes in
      :math:`\log \pi` against the same problem with all responses made equally long
    - the spectral radius is that of one step of the expected update, by its Jacobian: below 1 a
      small distance from the rest point shrinks

    It passes where probabilities and log-ratios to the reference are right, and padding has no
    gradient. Both, since with a small ``kl_coef`` all mass is on one response whatever the KL does,
    and with a great one all is near the reference. Nor does it pass where a token that is not sure
    never has a gradient, or has none in batches whose longest response has some length while others
    of its response have one, unless the expected gradient is exact all the same, as with a baseline
    that is the score of one response.

    Where the KL is in the reward and the advantage is centred in its group, all advantages are 0 at
    the optimum. So what multiplies them leaves it where it is and passes: a deviation, a length,
    a ratio that is stale. Its gradient is another, see ``gradient_error`` and
    ``assert_unbiased(gradient=True)``. With ``n_samples`` there is the gradient alone, and such
    algorithms do not pass, GRPO with the KL in the reward among them.

    It does not show what acts in later steps on a batch alone: with ``epochs=1`` every ratio to the
    policy that drew is 1, so that a missing or inverted ratio, or a clip of the wrong side, passes.
    With more ``epochs`` it shows in the measures, but a right clip moves the rest point as well.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.lab import check_algorithm
    >>> def my_loss(log_prob, batch):  # leave-one-out, the KL in the reward
    ...     log_ratio = (batch.old_log_prob - batch.ref_log_prob) * batch.response_mask
    ...     score = (batch.token_level_rewards - batch.kl_coef * log_ratio).sum(axis=1)
    ...     advantage = score - (score.sum() - score) / (len(score) - 1)
    ...     return -advantage[:, np.newaxis] * batch.response_mask / len(score)
    >>> check = check_algorithm(my_loss)
    >>> check.passed
    True
    >>> round(check.kl_coef, 6), check.problem.kl_coef
    (0.5, 0.5)
    """
    problem = find_problem(problem)
    called = str(getattr(update, "__name__", type(update).__name__))
    if isinstance(update, str):
        called, update = update, algorithms[update]
    kinds = ((PreferenceAlgorithm, CandidateProblem), (RewardAlgorithm, PreferenceProblem))
    if any(isinstance(update, a) and isinstance(problem, p) for a, p in kinds):
        raise ValueError(
            "check_algorithm needs a problem of rewards for an algorithm of rewards, and one of "
            f'preferences, such as "two-sided", for one of those, got {type(update).__name__} and '
            f"{type(problem).__name__}."
        )
    if isinstance(update, PreferenceAlgorithm):
        problem = problem.drawn_from(update.source, update.mixture_coef)
    _check_problem(problem, n_samples)
    wanted = _target(problem, target)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    if n_samples is not None:
        check_told_by_gradient(problem, _policies(problem, seed), TOLERANCE)
    elif target is None:
        check_told(problem, wanted, TOLERANCE)
    base = Sampling(int(group_size), float(learning_rate), int(epochs), n_samples, seed)
    base = in_units(update, problem, base)
    others = list(_others(problem, base, group_sizes, learning_rates, more_epochs))
    check_repeats(update, problem, base)
    problem = as_it_is_listed(update, problem, base)
    first, rest = _measure(update, problem, wanted, base, None)
    if target is None and n_samples is None:
        near = _policies(problem, seed)
        first = replace(first, untrained=share_untrained(update, problem, base, near))
    settings = [first]
    start = rest.log_prob if rest is not None and rest.is_inside else None
    # What has no rest is followed for long, and would be at each of them.
    is_followed = rest is None or rest.is_found
    for other in others:
        if is_followed and _is_listed(problem, other):
            settings.append(_measure(update, problem, wanted, other, start)[0])
        else:
            settings.append(Setting(other.group_size, other.learning_rate, other.epochs))
    policy = None if rest is None else rest.log_prob
    return AlgorithmCheck(problem, wanted, policy, tuple(settings), called)


def _check_problem(problem: Any, n_samples: int | None) -> None:
    """Raise ValueError where there is nothing to check, or batches are drawn that are listed."""
    if (np.bincount(problem.prompts) < 2).all():
        raise ValueError(
            "check_algorithm needs a problem with two responses to a prompt, got one to each: "
            "there is only one policy."
        )
    if n_samples is not None and isinstance(problem, PreferenceProblem):
        raise ValueError(
            f"check_algorithm needs n_samples=None on preferences, got {n_samples}: it measures "
            "the gradient alone, which is known of rewards, and pairs are always listed."
        )


def _is_listed(problem: Any, sampling: Sampling) -> bool:
    """Whether all groups can be listed, or none has to be."""
    drawn = sampling.n_samples is not None or isinstance(problem, PreferenceProblem)
    return drawn or problem.n_groups(sampling.group_size) <= problem.most_groups


def _others(problem, base, group_sizes, learning_rates, more_epochs):
    """Return further settings, each value checked."""
    # A batch of preferences is one pair.
    sizes = group_sizes if isinstance(problem, CandidateProblem) else ()
    for name, field, values, interval in (
        ("group_sizes", "group_size", sizes, COUNT),
        ("learning_rates", "learning_rate", learning_rates, POSITIVE),
        ("more_epochs", "epochs", more_epochs, COUNT),
    ):
        for value in values:
            checked = check_number(
                value, f"each of {name}", subject="check_algorithm", interval=interval
            )
            yield replace(base, **{field: checked})


def _target(problem, target) -> FloatArray:
    """Return the policy (n_rows,) that an algorithm should rest at."""
    if target is not None:
        wanted = check_log_prob(target, "target", subject="check_algorithm")
        if wanted.shape != problem.reference.shape:
            raise ValueError(
                f"check_algorithm needs target, log-probabilities of shape "
                f"{problem.reference.shape}, got shape {wanted.shape}."
            )
        return problem.normalize(wanted)
    if isinstance(problem, CandidateProblem):
        return problem.objective.optimum()
    if not is_bradley_terry(problem, 0.0):
        raise ValueError(
            "check_algorithm needs target, the policy to rest at, where no scores of Bradley and "
            "Terry explain the preferences. Pass rest_point(algorithm, problem)."
        )
    return problem.tilt(bradley_terry_scores(problem) / problem.kl_coef)


def _measure(
    update: Update, problem: Any, wanted: FloatArray, sampling: Sampling, start: Any
) -> tuple[Setting, Rest | None]:
    """Return what an update does at one setting, and where it rests."""
    move = expected_move(update, problem, problem.reference, sampling)
    signal = float(move.mean @ move.mean)
    error, error_se, limit = _gradient_error(update, problem, sampling)
    measured: dict[str, Any] = {
        "group_size": sampling.group_size,
        "learning_rate": sampling.learning_rate,
        "epochs": sampling.epochs,
        "gradient_error": error,
        "gradient_error_se": error_se,
        "gradient_error_limit": limit,
        "noise": move.variance / signal if signal > 0 else np.inf,
        "clipped": move.clipped,
        "on_padding": move.on_padding,
    }
    if sampling.n_samples is not None:
        near = _policies(problem, sampling.random_state)
        return Setting(**measured, half_kl_error=error_of_half_kl(problem, near)), None
    rest = find_rest(update, problem, sampling, start)
    prob, best = np.exp(rest.log_prob), np.exp(wanted)
    measured |= {"is_inside": rest.is_inside, "is_found": rest.is_found}
    measured |= {"distance": 0.5 * float(np.abs(prob - best).sum())}
    measured["tilt_error"] = _tilt_error(problem, rest.log_prob, wanted)
    measured["rounding"] = _rounding(update, problem, rest, sampling, measured)
    rarest = int(np.argmin(problem.reference))
    with np.errstate(invalid="ignore"):
        measured["rare_response"] = float(rest.log_prob[rarest] - wanted[rarest])
    if rest.is_inside:
        by_reward = fit_tilt(problem, rest.log_prob - problem.reference)[0]
        measured["kl_coef"] = 1 / by_reward if by_reward else np.inf
        measured["length_bias"] = _length_bias(update, problem, rest, sampling)
        measured["spectral_radius"] = _radius(update, problem, rest, sampling)
    return Setting(**measured), rest


def _rounding(
    update: Update, problem: Any, rest: Rest, sampling: Sampling, measured: dict[str, Any]
) -> float:
    """Return what a force is rounded by, looked for where an error may come from it."""
    error = max(measured["distance"], measured["tilt_error"])
    if rest.rounding or not TOLERANCE < error <= _NEAR:
        return rest.rounding
    force_at = force_of(update, problem, sampling)
    return 0.0 if force_at is None else rounding_of(force_at, problem, rest.log_prob)


def _radius(update: Update, problem: Any, rest: Rest, sampling: Sampling) -> float:
    """Return the spectral radius where an update rests, infinite where it jumps there.

    It is nan where rounding is more than a difference quotient.
    """
    if rest.residual > max(_JUMPS, ROUNDINGS * rest.rounding):
        return np.inf
    if rest.rounding > 0:
        return np.nan
    near, far = (
        spectral_radius(update, problem, rest.log_prob, sampling, step=step) for step in _STEPS
    )
    # The difference quotient of a jump grows as the step falls, and so it does not go by the rate.
    return np.inf if near > 1 and near > _GROWS * far else near


def _tilt_error(problem: Any, log_prob: FloatArray, wanted: FloatArray) -> float:
    """Return the greatest error of a log-ratio to the reference, over the greatest that is wanted.

    Among responses of a prompt that the target leaves, against its most probable one.
    """
    error = size = 0.0
    for prompt in range(len(problem.shares)):
        kept, best = kept_rows(problem, wanted, prompt)
        with np.errstate(invalid="ignore"):
            off = (log_prob - wanted)[kept] - (log_prob - wanted)[best]
        tilt = (wanted - problem.reference)[kept] - (wanted - problem.reference)[best]
        error = max(error, float(np.abs(off).max()))
        size = max(size, float(np.abs(tilt).max()))
    return error / max(size, SMALLEST_TILT)


def fit_tilt(problem: Any, tilt: FloatArray) -> tuple[float, float]:
    """Return what a unit of reward and what a token add to log-weights (n_rows,), nearly.

    By least squares, weighted by the reference; nan where rewards, or lengths, do not vary, and
    both where one is a line in the other, as of any two responses, and cannot be told from it.
    """
    reward = getattr(problem, "rewards", problem.objective.token_reward)
    weight = np.exp(problem.reference)
    given = (np.asarray(x, dtype=np.float64) for x in (reward, problem.lengths))
    columns = [problem.centred(x, weight) for x in given]
    varies = [bool(np.abs(column).max() > 1e-12) for column in columns]
    root = np.sqrt(weight)
    used = [root * column for column, v in zip(columns, varies, strict=True) if v]
    if not used:
        return float("nan"), float("nan")
    scaled = np.column_stack([column / np.linalg.norm(column) for column in used])
    if np.linalg.matrix_rank(scaled, tol=1e-9) < len(used):
        return float("nan"), float("nan")
    centred = problem.centred(tilt, weight)
    found = iter(np.linalg.lstsq(np.column_stack(used), root * centred, rcond=None)[0])
    by_reward, by_token = (float(next(found)) if v else float("nan") for v in varies)
    return by_reward, by_token


def _length_bias(update: Update, problem: Any, rest: Rest, sampling: Sampling) -> float:
    """Return what a token more adds to the log-probability, nan where that is not known."""
    if np.ptp(problem.lengths) == 0:
        return float("nan")
    equal = find_rest(update, problem.of_equal_lengths(), sampling, rest.log_prob)
    if not equal.is_inside:
        return float("nan")
    return fit_tilt(problem, rest.log_prob - equal.log_prob)[1]


def _policies(problem, seed) -> list[FloatArray]:
    """Return the reference, the optimum, what is as far beyond it, and a policy near each."""
    tilt = problem.objective.optimum() - problem.reference
    rng = check_random_state(seed)
    near = _SPREAD * rng.standard_normal((len(_WAYS), len(tilt)))
    found = []
    for way, row in zip(_WAYS, near, strict=True):
        logits = problem.reference + way * tilt
        # What is lost for good has no gradient that floats would hold.
        found += [
            kept_within(problem, x, GONE) if way else problem.normalize(x)
            for x in (logits, logits + row)
        ]
    return found


def _gradient_error(update: Update, problem: Any, sampling: Sampling) -> tuple[float, float, float]:
    """Return the sine of the angle to the exact gradient, its standard error and its limit.

    Over several policies at once; nan for preferences, which have no reward.
    """
    if not isinstance(problem, CandidateProblem):
        return float("nan"), float("nan"), float("nan")
    policies = _policies(problem, sampling.random_state)
    # Batches of their own for each, so that their errors have nothing to do with each other.
    seeds = [(sampling.random_state + i) % 2**32 for i in range(len(policies))]
    moves = [
        expected_move(update, problem, policy, replace(sampling, random_state=seed))
        for policy, seed in zip(policies, seeds, strict=True)
    ]
    exact = [problem.exact_gradient(policy) for policy in policies]
    errors = [_sine(problem, moves, exact)]
    if moves[0].is_policy:
        # A step may be one of the natural gradient.
        natural = [g / np.exp(p) for g, p in zip(exact, policies, strict=True)]
        errors.append(_sine(problem, moves, natural))
    return min(errors)


def _sine(problem: Any, moves: list[Move], exact: list[FloatArray]) -> tuple[float, float, float]:
    # What moves all logits of a prompt moves no policy.
    found = np.concatenate([problem.centred(move.mean) for move in moves])
    right = np.concatenate([problem.centred(gradient) for gradient in exact])
    size = float(np.linalg.norm(found))
    if size == 0:
        return 1.0, 0.0, 0.0
    factor = max(float(found @ right) / float(right @ right), 0.0)
    error = float(np.linalg.norm(found - factor * right)) / size
    # The squared length of noise is a sum of squares, nearly a chi-square of as many degrees of
    # freedom as its first two moments say (Satterthwaite).
    spread = sum(float(np.trace(move.covariance)) for move in moves)
    if spread == 0:
        return error, 0.0, 0.0
    freedom = spread**2 / sum(float((move.covariance**2).sum()) for move in moves)
    error_se = np.sqrt(spread) / size
    return error, error_se, error_se * float(np.sqrt(chi2.isf(_CHANCE, freedom) / freedom))
