"""Where algorithms of rewards come to rest, from equations of the rest point itself."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
from scipy.optimize import brentq

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import COUNT, check_log_prob, check_number, shown
from sklearn_codex.lab._algorithms import RewardAlgorithm
from sklearn_codex.lab._batch import token_weights
from sklearn_codex.lab._continuation import NoSolution, solve_from_reference
from sklearn_codex.lab._expected import Sampling
from sklearn_codex.lab._followed import rest_of
from sklearn_codex.lab._problem import MOST_GROUPS, CandidateProblem, multisets
from sklearn_codex.lab._registry import advantages, call_by_names

# Advantages whose expected policy gradient is exact, and those that are 0 for every response where
# all shaped rewards of a prompt are equal.
_EXACT = ("reinforce", "remax", "rloo")
_OF_REWARDS = ("reinforce", "rloo", "grpo")
_CENTRED = ("grpo", "reinforce_plus_plus_baseline")
_PLAIN = ("seq-mean-token-sum", "seq-mean-token-sum-norm")
# Options that the equations know; a width of a clip, not below 0, does nothing in the first step.
_ADVANTAGE_OPTIONS = ("norm_adv_by_std_in_grpo", "epsilon", "lam", "baseline")
_WIDTHS = ("clip_ratio", "clip_ratio_low", "clip_ratio_high")


def expected_advantage(
    problem: CandidateProblem,
    log_prob: FloatArray,
    group_size: int,
    *,
    advantage: str = "grpo",
    loss_agg_mode: str = "seq-mean-token-sum",
    **options: object,
) -> tuple[FloatArray, FloatArray]:
    r"""Return the expected advantage of each response in a group that holds it.

    Parameters
    ----------
    problem : CandidateProblem
    log_prob : ndarray of shape (n_rows,)
        The policy that draws the others of the group.
    group_size : int
        Responses of a group, G.
    advantage : str, default="grpo"
        Name in ``advantages``; of rewards without a KL.
    loss_agg_mode : str, default="seq-mean-token-sum"
        Whose weight of a token, times G, multiplies the advantage.
    **options
        Further arguments of the advantage.

    Returns
    -------
    worth : ndarray of shape (n_rows,)
        :math:`a(y; \pi)`, weighted.
    weight : ndarray of shape (n_rows,)
        The expected weight itself, which a KL in the loss has; 1 for sums over tokens.

    Raises
    ------
    ValueError
        If an argument is none of those said, there is no such advantage, it needs more than
        rewards, or there are more groups than can be listed.

    Examples
    --------
    >>> from sklearn_codex.lab import expected_advantage, problems
    >>> problem = problems["one-token"]()
    >>> worth, _ = expected_advantage(problem, problem.reference, 4)
    >>> bool(abs(np.exp(problem.reference) @ worth) < 1e-12)
    True
    """
    subject = "expected_advantage"
    if not isinstance(problem, CandidateProblem):
        raise ValueError(
            f"{subject} needs a CandidateProblem, one of make_candidates or of problems, got "
            f"{shown(problem)}."
        )
    group_size = check_number(group_size, "group_size", subject=subject, interval=COUNT)
    groups = _worth_of_groups(problem, group_size, advantage, loss_agg_mode, options)
    log_prob = check_log_prob(log_prob, "log_prob", subject=subject)
    if log_prob.shape != problem.reference.shape:
        raise ValueError(
            f"{subject} needs log_prob of shape {problem.reference.shape}, got {log_prob.shape}."
        )
    return _expectation(problem, log_prob, groups)


def _expectation(problem, log_prob, groups):
    """Return means (n_rows,) of what groups that hold a response are worth, and weigh."""
    found = np.zeros((2, len(log_prob)))
    for prompt, (others, orders, worth, weight) in enumerate(groups):
        within = log_prob - np.log(problem.shares[prompt])
        prob = np.exp(orders + within[others].sum(axis=1))
        rows = problem.prompts == prompt
        found[:, rows] = worth @ prob, weight @ prob
    return found[0], found[1]


def _worth_of_groups(problem, group_size, advantage, loss_agg_mode, options):
    """Return for each prompt the others (m, G - 1) of a group and the logarithm of their orders.

    And for each response (k, m) its advantage among them, weighted, and the weight. No policy is in
    these.
    """
    if advantage not in _OF_REWARDS:
        raise ValueError(
            f"expected_advantage needs advantage, one of {', '.join(_OF_REWARDS)}, got "
            f"{advantage!r}."
        )
    total = problem.n_groups(group_size)
    if total > MOST_GROUPS:
        raise ValueError(
            f"expected_advantage lists at most {MOST_GROUPS:,} groups, but there are {total:,} of "
            f"{group_size} responses. Use a smaller group_size."
        )
    groups = []
    for prompt in range(len(problem.shares)):
        of_prompt = np.flatnonzero(problem.prompts == prompt)
        others, orders = multisets(len(of_prompt), group_size - 1)
        others = of_prompt[others]
        worth, weight = np.zeros((2, len(of_prompt), len(others)))
        for place, row in enumerate(of_prompt):
            rows = np.column_stack([np.full(len(others), row), others])
            mask = problem.mask[rows]
            rewards = np.where(np.arange(mask.shape[-1]) == 0, problem.rewards[rows][..., None], 0)
            source = {
                "token_level_rewards": rewards,
                "response_mask": mask,
                "index": np.zeros(group_size, dtype=int),
            }
            found, _ = call_by_names(advantages[advantage], source, options)
            of_token = group_size * token_weights(mask, loss_agg_mode)[:, 0, 0]
            worth[place], weight[place] = found[:, 0, 0] * of_token, of_token
        groups.append((others, orders, worth, weight))
    return groups


def implicit_rest(
    problem: CandidateProblem,
    terms: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    kl_coef: float,
    divergence: str = "reverse",
    offset: float = 0.0,
) -> FloatArray:
    r"""Return the policy that solves the equation of a KL in the loss, one uncertain token each.

    Parameters
    ----------
    problem : CandidateProblem
    terms : callable
        Policy (n_rows,) to advantages :math:`a` and weights :math:`w` of the KL, each (n_rows,).
    kl_coef : float
        Weight b.
    divergence : {"reverse", "forward"}, default="reverse"
        What the KL in the loss descends: KL(policy || reference), or KL(reference || policy).
    offset : float, default=0.0
        What its gradient is more than the log-ratio, 1 for a weighted k1. It is a price of the
        weight.

    Returns
    -------
    log_prob : ndarray of shape (n_rows,)
        With c from the sum of the probabilities of each prompt, :math:`\pi = ref\, \exp((a - c) /
        (b w) - o)`, or :math:`\pi = ref / (1 - (a - c) / (b w))`, with the offset o.

    Raises
    ------
    NoSolution
        If none is found.
    """
    firsts = np.unique(problem.prompts, return_index=True)[1]

    def solve(log_prob, coef):
        worth, weight = terms(log_prob)
        out = np.empty_like(log_prob)
        for prompt in range(len(firsts)):
            rows = problem.prompts == prompt
            target = problem.shares[prompt]
            scale = coef * weight[rows]
            gain = worth[rows] - offset * scale
            out[rows] = tilt_to(problem.reference[rows], gain, scale, target, divergence)
        return out

    return solve_from_reference(solve, problem, kl_coef)


def tilt_to(
    reference: FloatArray,
    worth: FloatArray,
    scale: FloatArray,
    target: float,
    divergence: str = "reverse",
) -> FloatArray:
    r"""Return log-probabilities (n,) that sum to a target, by the constant c that makes them do so.

    Parameters
    ----------
    reference : ndarray of shape (n,)
        Log-probabilities of the reference.
    worth : ndarray of shape (n,)
        Advantages a.
    scale : ndarray of shape (n,)
        What a nat costs, s.
    target : float
        The sum of the probabilities.
    divergence : {"reverse", "forward"}, default="reverse"
        Whether :math:`\pi = ref\, e^{(a - c) / s}` or :math:`\pi = ref / (1 - (a - c) / s)`.
    """

    def policy(c):
        tilt = (worth - c) / scale
        return reference + tilt if divergence == "reverse" else reference - np.log1p(-tilt)

    def excess(c):
        with np.errstate(over="ignore"):
            return np.exp(policy(c)).sum() - target

    low, high = worth.min() - 1e-3, worth.max() + 1e-3
    if divergence == "forward":
        # Where the first probability becomes infinite.
        low = float((worth - scale).max())
        low += 1e-14 * max(1.0, abs(low))
        high = max(high, low + 1.0)
        if excess(low) < 0:
            raise NoSolution("The greatest probability is too near infinity for floats.")
    else:
        while excess(low) < 0:
            low -= 1.0
    while excess(high) > 0:
        high += 1.0
    return policy(brentq(excess, low, high, xtol=1e-15))


def token_kl_rest(problem: CandidateProblem, gain: float) -> FloatArray:
    r"""Return where a centred reward and a reverse KL at each token, in the loss, come to rest.

    Parameters
    ----------
    problem : CandidateProblem
    gain : float
        Weight of the reward over that of the KL, (G - 1) / (G b) for Dr. GRPO.

    Returns
    -------
    log_prob : ndarray of shape (n_rows,)

    Notes
    -----
    A token pays for its own KL alone, not for that of the tokens it leads to. So fork by fork, from
    the last to the first, :math:`\pi(t | s) \propto ref(t | s)\, \exp(g\, E_\pi[R | s, t])`. At the
    RLHF optimum :math:`E_\pi[R | s, t]` less the KL to come, over g, stands in the exponent. The
    two are equal where one token alone is uncertain.
    """
    n_places = problem.begins.shape[1]
    log_prob = problem.token_log_prob(problem.reference)
    worth = problem.rewards.astype(np.float64)
    for t in range(n_places - 2, -1, -1):
        logits = np.where(problem.mask[:, t], log_prob[:, t] + gain * worth, -np.inf)
        new_worth = worth.copy()
        for row in np.flatnonzero(problem.mask[:, t]):
            fork = np.flatnonzero(problem.begins[row, t] & problem.mask[:, t])
            # One row stands for each token that can follow.
            _, one = np.unique(problem.tokens[fork, t], return_index=True)
            token = fork[one]
            top = logits[token].max()
            prob = np.exp(logits[token] - top)
            log_prob[row, t] = logits[row] - top - np.log(prob.sum())
            new_worth[row] = prob @ worth[token] / prob.sum()
        worth = new_worth
    within = np.where(problem.mask, log_prob, 0.0).sum(axis=1)
    return problem.normalize(within)


def _of_kl_in_loss(algorithm, problem, group_size):
    """Return the rest point with the KL in the loss, None where it has no equation here."""
    coef = algorithm.weight_of_kl(problem.kl_coef)
    estimator, corrected = algorithm.kl_estimator, algorithm.kl_corrected
    mode, options = algorithm.loss_agg_mode, dict(algorithm.advantage_options)
    plain, unbiased = mode in _PLAIN, algorithm.advantage in _EXACT
    if algorithm.advantage not in (*_EXACT, "grpo") or (unbiased and not plain):
        return None
    if coef == 0 or (estimator == "k1" and not corrected):
        # Divided by the length, not even its expected gradient is 0.
        return greedy(problem) if plain else None
    if estimator == "k2" and corrected:
        return None
    divergence = "forward" if estimator == "k3" and not corrected else "reverse"
    if not problem.first_token_decides:
        is_centred = not options.get("norm_adv_by_std_in_grpo", algorithm.advantage != "grpo")
        if not (is_centred and plain and divergence == "reverse"):
            return None
        held = 1 / group_size if algorithm.advantage == "grpo" else 0.0
        return token_kl_rest(problem, (1 - held) / coef)

    groups = None
    if not unbiased:
        groups = _worth_of_groups(problem, group_size, algorithm.advantage, mode, options)

    def terms(log_prob):
        if groups is None:
            return problem.centred(problem.rewards), np.ones(len(log_prob))
        return _expectation(problem, log_prob, groups)

    offset = 1.0 if estimator == "k1" else 0.0
    return implicit_rest(problem, terms, coef, divergence, offset)


def greedy(problem: CandidateProblem) -> FloatArray:
    """Return the policy (n_rows,) that gives only the response of the greatest reward.

    Raises
    ------
    ValueError
        If several have it: any mixture of them is at rest.
    """
    best = np.full(len(problem.shares), -np.inf)
    np.maximum.at(best, problem.prompts, problem.rewards)
    is_best = problem.rewards == best[problem.prompts]
    if is_best.sum() > len(best):
        raise ValueError(
            "Without a KL an algorithm rests at any mixture of the responses of the greatest "
            f"reward, and {int(is_best.sum())} responses of {len(best)} prompts have it, so that "
            "the rest point is not unique. Give them rewards that differ."
        )
    return problem.normalize(np.where(is_best, problem.reference, -np.inf))


def _has_equation(algorithm):
    """Whether equations hold for what an algorithm is made of: all else is followed."""
    if not (isinstance(algorithm.advantage, str) and isinstance(algorithm.loss, str)):
        return False
    if algorithm.loss == "gspo" and algorithm.advantage != "grpo":
        # The ratio of a response mixes advantages of its tokens.
        return False
    return (
        set(algorithm.advantage_options) <= set(_ADVANTAGE_OPTIONS)
        and set(algorithm.loss_options) <= set(_WIDTHS)
        and all(w is None or w >= 0 for w in algorithm.loss_options.values())
    )


def _rests_at_optimum(algorithm, problem):
    """Whether an algorithm with the KL in the reward rests at the RLHF optimum."""
    options = algorithm.advantage_options
    if algorithm.kl_estimator != "k1" or algorithm.weight_of_kl(problem.kl_coef) == 0:
        return False
    if algorithm.advantage == "gae" and algorithm.loss_agg_mode in _PLAIN:
        # The critic knows the problem's weight of the KL.
        knows = algorithm.weight_of_kl(problem.kl_coef) == problem.kl_coef
        return knows or options.get("lam", 1.0) == 1.0
    exact = algorithm.advantage in _EXACT and algorithm.loss_agg_mode in _PLAIN
    return exact or algorithm.advantage in _CENTRED


def reward_rest(
    algorithm: RewardAlgorithm, problem: CandidateProblem, group_size: int
) -> FloatArray:
    """Return where an algorithm of rewards rests (n_rows,)."""
    rest = None
    if not _has_equation(algorithm):
        pass
    elif algorithm.kl_in == "loss":
        with suppress(NoSolution):
            rest = _of_kl_in_loss(algorithm, problem, group_size)
    elif _rests_at_optimum(algorithm, problem):
        coef = algorithm.weight_of_kl(problem.kl_coef)
        rest = problem.objective.having(kl_coef=coef).optimum()
    if rest is None:
        rest = rest_of(algorithm, problem, Sampling(group_size))
    return rest
