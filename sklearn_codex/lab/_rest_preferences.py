"""Where algorithms of preferences come to rest, from equations of the rest point itself."""

from contextlib import suppress

import numpy as np
from scipy.optimize import brentq, linprog, minimize, root
from scipy.special import expit

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import PROBABILITY, check_number, shown
from sklearn_codex.lab._algorithms import PreferenceAlgorithm
from sklearn_codex.lab._continuation import NoSolution, solve_from_reference
from sklearn_codex.lab._expected import Sampling
from sklearn_codex.lab._followed import rest_of
from sklearn_codex.lab._preferences import PreferenceProblem

_MOST_STEPS = 200


def bradley_terry_scores(problem: PreferenceProblem, label_smoothing: float = 0.0) -> FloatArray:
    """Return the maximum likelihood scores (n_rows,) of Bradley and Terry, mean 0 in each prompt.

    Parameters
    ----------
    problem : PreferenceProblem
    label_smoothing : float, default=0.0
        Share of each label that is turned round.

    Raises
    ------
    ValueError
        If they are infinite, or an argument is none of those said.

    Examples
    --------
    >>> from sklearn_codex.lab import bradley_terry_scores, problems
    >>> problem = problems["two-sided"]()
    >>> reward = problem.objective.token_reward
    >>> bool(abs(bradley_terry_scores(problem) - reward + reward.mean()).max() < 1e-9)
    True
    """
    if not isinstance(problem, PreferenceProblem):
        raise ValueError(
            "bradley_terry_scores needs a PreferenceProblem, one of make_preferences or of "
            f"problems, got {shown(problem)}."
        )
    label_smoothing = check_number(
        label_smoothing, "label_smoothing", subject="bradley_terry_scores", interval=PROBABILITY
    )
    if label_smoothing == 0:
        _check_undecided(problem)
    _check_connected(problem)
    wins = (1 - label_smoothing) * problem.wins + label_smoothing * problem.wins.T
    met = wins + wins.T
    scores = np.zeros(len(wins))
    for _ in range(_MOST_STEPS):
        chance = expit(scores[:, np.newaxis] - scores)
        gradient = (wins - met * chance).sum(axis=1)
        curvature = met * chance * (1 - chance)
        hessian = np.diag(curvature.sum(axis=1)) - curvature
        step = problem.centred(np.linalg.pinv(hessian, hermitian=True) @ gradient)
        scores = scores + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-13 * max(1.0, np.abs(scores).max()):
            break
    return scores


def _check_undecided(problem: PreferenceProblem) -> None:
    """Raise ValueError where scores that explain the preferences are infinite."""
    if problem.is_decided:
        raise ValueError(
            "Scores of Bradley and Terry are infinite for these preferences: some responses never "
            "lose against others, so DPO and SimPO rest nowhere. Add label_smoothing, or use IPO."
        )


def _check_connected(problem: PreferenceProblem) -> None:
    """Raise ValueError where pairs leave the scores of some responses open."""
    if not problem.is_connected:
        raise ValueError(
            "These preferences compare some responses of a prompt by no chain of pairs, so that "
            "where a policy rests depends on where it began. Add pairs between them."
        )


def ipo_scores(problem: PreferenceProblem) -> FloatArray:
    """Return least squares scores (n_rows,) of margins of 1/2 in favour of what won."""
    _check_connected(problem)
    met = problem.wins + problem.wins.T
    laplacian = np.diag(met.sum(axis=1)) - met
    lean = 0.5 * (problem.wins - problem.wins.T).sum(axis=1)
    return problem.centred(np.linalg.pinv(laplacian, hermitian=True) @ lean)


def hinge_scores(problem: PreferenceProblem) -> FloatArray:
    """Return scores (n_rows,) of least expected hinge loss, one of them where there are more."""
    _check_connected(problem)
    first, second = np.nonzero(problem.wins)
    n_pairs, n_rows = len(first), len(problem.wins)
    margins = np.zeros((n_pairs, n_rows + n_pairs))
    margins[np.arange(n_pairs), first] = -1.0
    margins[np.arange(n_pairs), second] = 1.0
    margins[np.arange(n_pairs), n_rows + np.arange(n_pairs)] = -1.0
    cost = np.concatenate([np.zeros(n_rows), problem.wins[first, second]])
    bounds = [(None, None)] * n_rows + [(0, None)] * n_pairs
    found = linprog(cost, A_ub=margins, b_ub=-np.ones(n_pairs), bounds=bounds)
    return problem.centred(np.asarray(found.x)[:n_rows])


def _simpo(problem: PreferenceProblem, beta: float) -> FloatArray:
    """Return exp(|y| (r + c) / beta) as log-probabilities (n_rows,)."""
    scores, out = bradley_terry_scores(problem), np.empty(len(problem.wins))
    for prompt, share in enumerate(problem.shares):
        rows = problem.prompts == prompt
        lengths, score = problem.lengths[rows], scores[rows]

        def policy(c, lengths=lengths, score=score):
            return lengths * (score + c) / beta

        low, high = -1.0 - score.max(), -score.min() + 1.0
        while np.exp(policy(low)).sum() > 1:
            low *= 2
        c = brentq(lambda c, p=policy: np.exp(p(c)).sum() - 1, low, high, xtol=1e-14)
        out[rows] = policy(c) + np.log(share)
    return out


def _least_loss(algorithm: PreferenceAlgorithm, problem: PreferenceProblem) -> FloatArray:
    """Return the policy of least expected loss, from values and gradients of it.

    A likelihood, as CPO and ORPO have, leaves no mass to what never wins.
    """
    if algorithm.loss == "simpo":
        _check_undecided(problem)
        _check_connected(problem)
    groups = problem.groups(problem.reference)

    def loss(logits):
        policies = np.tile(problem.normalize(logits), (len(groups.weights), 1))
        batch = problem.batch(groups, policies, policies[0])
        value, gradient = algorithm(batch.log_prob, batch)
        by_logits = problem.logit_gradient(groups, policies, gradient)
        return groups.weights @ value, groups.weights @ by_logits

    found = minimize(
        loss, problem.reference, jac=True, method="BFGS", options={"gtol": 1e-12, "maxiter": 2000}
    )
    wins = problem.wins.sum(axis=1)
    of_prompt = np.bincount(problem.prompts, wins)[problem.prompts]
    is_lost = (wins == 0) & (of_prompt > 0) & (algorithm.loss != "simpo")
    return problem.normalize(np.where(is_lost, -np.inf, found.x))


def kto_scores(
    problem: PreferenceProblem, desirable_weight: float = 1.0, undesirable_weight: float = 1.0
) -> FloatArray:
    """Return what KTO makes of each response (n_rows,): pushed up above 0, to no mass below."""
    wins = problem.wins
    return desirable_weight * wins.sum(axis=1) - undesirable_weight * wins.sum(axis=0)


def _kto(problem: PreferenceProblem, beta: float, **weights: float) -> FloatArray:
    """Return where KTO rests (n_rows,): -inf for what it gives no mass.

    Raises
    ------
    NoSolution
        If no response of a prompt is pushed up, or what solves the equation repels.
    """
    worth, out = kto_scores(problem, **weights), np.full(len(problem.wins), -np.inf)
    for prompt, share in enumerate(problem.shares):
        rows = np.flatnonzero((problem.prompts == prompt) & (worth > 0))
        if not len(rows):
            raise NoSolution("KTO pushes no response of a prompt up.")
        reference = problem.reference[rows] - np.log(share)
        out[rows] = np.log(share) + _kto_of_prompt(reference, worth[rows], beta)
    return out


def _kto_of_prompt(reference, worth, beta):
    """Solve c b s'(b (log(p / ref) - z0)) = lambda p with z0 the KL, as a root in log-weights."""
    if len(worth) == 1:
        return np.zeros(1)

    def log_pushes(logits):
        log_prob = logits - np.logaddexp.reduce(logits)
        ratio = log_prob - reference
        s = expit(beta * (ratio - np.exp(log_prob) @ ratio))
        return np.log(worth) + np.log(s) + np.log1p(-s), log_prob

    def force(logits):
        log_push = np.subtract(*log_pushes(logits))
        # Equal pushes per probability; the last equation fixes the scale of the logits.
        return np.append(log_push[1:] - log_push[0], np.logaddexp.reduce(logits))

    start = reference - np.logaddexp.reduce(reference)
    found = root(force, start, tol=1e-13)
    if not np.abs(found.fun).max() <= 1e-8 or not _is_stable(log_pushes, found.x):
        raise NoSolution("The equation of KTO has no solution that attracts.")
    return found.x - np.logaddexp.reduce(found.x)


def _is_stable(log_pushes, logits, step=1e-5):
    """Whether ascent by pushes, each (k,) a logarithm, comes back to logits where it is 0."""

    def ascent(at):
        log_push, log_prob = log_pushes(at)
        push = np.exp(log_push)
        return push - np.exp(log_prob) * push.sum()

    eye = step * np.eye(len(logits))
    jacobian = [(ascent(logits + row) - ascent(logits - row)) / (2 * step) for row in eye]
    values = np.linalg.eigvals(np.column_stack(jacobian))
    # One is 0, of what moves all logits.
    return bool(np.real(values).max() <= 1e-6 * np.abs(values).max())


def _self_play(problem: PreferenceProblem, tau: float, mixture_coef: float) -> FloatArray:
    """Return ref exp(P(y > opponent) / tau), normalised, solved for the policy."""
    probability = np.where(np.isnan(problem.probability), 0.5, problem.probability)
    game = problem.drawn_from("self-play", mixture_coef)
    same = problem.prompts[:, np.newaxis] == problem.prompts

    def solve(log_prob, coef):
        other = np.exp(game.opponent(log_prob)) / problem.shares[problem.prompts]
        return problem.tilt(np.where(same, probability * other, 0.0).sum(axis=1) / coef)

    return solve_from_reference(solve, problem, tau)


def preference_rest(algorithm: PreferenceAlgorithm, problem: PreferenceProblem) -> FloatArray:
    """Return where an algorithm of preferences rests (n_rows,)."""
    beta, options = algorithm.weight(problem.kl_coef), dict(algorithm.options)
    smoothing = options.get("label_smoothing", 0.0)
    game = problem.drawn_from(algorithm.source, algorithm.mixture_coef)
    if algorithm.loss == "nash_md" and algorithm.source == "self-play":
        return _self_play(problem, beta, algorithm.mixture_coef)
    explains = algorithm.loss == "dpo" and algorithm.source == "online"
    if explains and is_bradley_terry(problem, smoothing):
        return problem.tilt(bradley_terry_scores(problem, smoothing) / beta)
    if algorithm.source != "data" or algorithm.loss == "nash_md":
        return rest_of(algorithm, game, Sampling())
    if algorithm.loss == "dpo":
        return problem.tilt(bradley_terry_scores(problem, smoothing) / beta)
    if algorithm.loss == "ipo":
        return problem.tilt(ipo_scores(problem) / beta)
    if algorithm.loss == "hinge":
        return problem.tilt(hinge_scores(problem) / beta)
    if algorithm.loss == "simpo" and options.get("simpo_gamma", 0.5) == 0:
        return _simpo(problem, beta)
    if algorithm.loss == "kto":
        with suppress(NoSolution):
            return _kto(problem, beta, **options)
        return rest_of(algorithm, game, Sampling())
    return _least_loss(algorithm, game)


def is_bradley_terry(problem: PreferenceProblem, smoothing: float) -> bool:
    """Whether scores explain every preference, after smoothing, and so those of any pairs."""
    if smoothing == 0 and problem.is_decided:
        return False
    scores = bradley_terry_scores(problem, smoothing)
    smooth = (1 - smoothing) * problem.probability + smoothing * problem.probability.T
    apart = smooth - expit(scores[:, np.newaxis] - scores)
    return bool(np.nanmax(np.abs(np.where(problem.wins > 0, apart, 0.0))) < 1e-9)
