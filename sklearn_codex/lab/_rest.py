"""Where an algorithm comes to rest, by its name."""

from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import COUNT, check_number
from sklearn_codex.lab._algorithms import (
    PreferenceAlgorithm,
    RewardAlgorithm,
    algorithms,
)
from sklearn_codex.lab._expected import Sampling
from sklearn_codex.lab._followed import rest_of
from sklearn_codex.lab._preferences import PreferenceProblem
from sklearn_codex.lab._problem import CandidateProblem
from sklearn_codex.lab._problems import find_problem
from sklearn_codex.lab._rest_preferences import preference_rest
from sklearn_codex.lab._rest_rewards import reward_rest


def rest_point(algorithm: Any, problem: Any, *, group_size: int = 4) -> FloatArray:
    r"""Return the policy at which an algorithm comes to rest, with exact expectations.

    Parameters
    ----------
    algorithm : str, RewardAlgorithm, PreferenceAlgorithm or callable
        A name in ``algorithms``, or one put together, or an update of your own, as
        :func:`check_algorithm` takes.
    problem : str, CandidateProblem or PreferenceProblem
        A name in ``problems``, or one made; of rewards or preferences as the algorithm needs.
    group_size : int, default=4
        Responses of a group, G, for what compares them.

    Returns
    -------
    log_prob : ndarray of shape (n_rows,)
        Log-probabilities of prompt and response; ``-inf`` where all mass is lost.

    Raises
    ------
    ValueError
        If there is no such algorithm or problem, they do not go together, or it rests nowhere, or
        at more than one policy.

    Notes
    -----
    From the equation of the rest point where there is one, else from the expected update itself,
    followed from the reference. Equations are of the advantages and losses here by their own names;
    what has a function of yours, or an option that changes the equation, is followed:

    ==================================================  ============================================
    algorithm                                           rests at
    ==================================================  ============================================
    KL in the reward: REINFORCE, RLOO, ReMax, PPO,      :math:`ref\, e^{r/b} / Z`
    and GRPO in all its forms
    GRPO, k3 in the loss                                :math:`ref / (1 - a(\pi) / b)`
    GRPO, weighted KL or k2 in the loss                 :math:`ref\, e^{(a(\pi) - c w) / (b w)}`
    Dr. GRPO                                            :math:`ref\, e^{r (G - 1) / (G b)} / Z`
    k1 in the loss                                      the greatest reward alone
    REINFORCE++                                         no formula; to the optimum as G grows
    DPO, online DPO                                     :math:`ref\, e^{\hat r / b} / Z`
    IPO                                                 :math:`ref\, e^{P(y > \mu) / b} / Z`
    hinge                                               a solution of a linear programme
    SimPO without margin                                :math:`e^{|y| (\hat r + c) / \beta}`
    SimPO with margin, CPO, ORPO                        no formula; the least expected loss
    KTO                                                 no mass where :math:`d \le U / (D + U)`
    self-play, Nash-MD                                  :math:`ref\, e^{P(y > \pi') / b} / Z`
    ==================================================  ============================================

    with :math:`a(\pi)` of :func:`expected_advantage` and its weight w, 1 or :math:`1 / |y|`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.lab import rest_point
    >>> np.exp(rest_point("rloo", "one-token")).round(3)
    array([0.891, 0.108, 0.001])
    >>> np.exp(rest_point("grpo", "one-token")).round(3)
    array([0.88 , 0.048, 0.071])
    """
    if isinstance(algorithm, str):
        if algorithm not in algorithms:
            raise ValueError(
                f"rest_point needs an algorithm, one of {', '.join(algorithms)}, got {algorithm!r}."
            )
        algorithm = algorithms[algorithm]
    problem = find_problem(problem)
    group_size = check_number(group_size, "group_size", subject="rest_point", interval=COUNT)
    compares = ("rloo", "grpo", "reinforce_plus_plus_baseline")
    if group_size == 1 and getattr(algorithm, "advantage", None) in compares:
        raise ValueError(
            f'rest_point needs group_size >= 2 for advantage "{algorithm.advantage}", which '
            "compares the responses of a group, got 1."
        )
    if isinstance(algorithm, RewardAlgorithm) and isinstance(problem, CandidateProblem):
        return np.asarray(reward_rest(algorithm, problem, group_size))
    if isinstance(algorithm, PreferenceAlgorithm) and isinstance(problem, PreferenceProblem):
        return np.asarray(preference_rest(algorithm, problem))
    if callable(algorithm) and not isinstance(algorithm, RewardAlgorithm | PreferenceAlgorithm):
        return rest_of(algorithm, problem, Sampling(group_size))
    raise ValueError(
        "rest_point needs a RewardAlgorithm with a CandidateProblem, a PreferenceAlgorithm with a "
        "PreferenceProblem, or a function of log-probabilities and a batch with either, got "
        f"{type(algorithm).__name__} and {type(problem).__name__}."
    )
