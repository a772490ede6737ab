"""A score by which policies of different ``kl_coef`` can be compared."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._policy.rewards import DocumentReward

# What all scorers by a gold reward have in common.
GOLD_SCORE_CONSTRAINTS: dict = {
    "kl_coef": [Interval(Real, 0, np.inf, closed="left")],
    "n_samples": [Interval(Integral, 1, None, closed="left")],
    "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both"), None],
}


class GoldRewardScorer:
    r"""Scores a policy by a second reward, less a fixed price of its KL; greater is better.

    A policy optimiser's own ``score`` is the objective it was trained for, in which ``kl_coef`` is
    the price of the KL: the smaller it is, the greater the score, so a search over ``kl_coef``
    always takes the smallest. Here reward and price are the same for all policies, and not those
    they were trained with.

    Parameters
    ----------
    gold_reward : fitted estimator or callable
        The reward that is meant, as far as known: a reward model fitted on preferences held out, or
        anything else that scores documents, as the ``reward_model`` of a policy optimiser.
    kl_coef : float, default=0.0
        What a nat of KL(policy || reference) of a document is charged with, in units of
        ``gold_reward``.
    n_samples : int, default=4096
        Documents drawn where the gold reward does not add over tokens; else the score is exact.
    random_state : int or None, default=0
        Source of these draws; with a number all policies share their random numbers.

    Raises
    ------
    ValueError
        If one of these is of another type or out of its range.

    See Also
    --------
    sklearn_codex.model_selection.HeldOutRewardScorer : The same for a whole loop, with a gold
        reward fitted on the preferences held out.

    Notes
    -----
    The score is :math:`E_\pi[G(y)] - b\, KL(\pi \| ref)` with ``gold_reward`` G and ``kl_coef`` b.

    References
    ----------
    .. [1] Gao, L., Schulman, J. and Hilton, J. (2023). "Scaling laws for reward model
       overoptimization." ICML.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_codex import PPOPolicyOptimizer
    >>> from sklearn_codex.overoptimization import GoldRewardScorer
    >>> texts = ["good good bad", "bad fine", "good fine fine", "fine good"]
    >>> def praise(documents):
    ...     return [text.split().count("good") for text in documents]
    >>> def variety(documents):
    ...     return [len(set(text.split())) + ("good" in text) for text in documents]
    >>> search = GridSearchCV(
    ...     PPOPolicyOptimizer(reward_model=praise, random_state=0),
    ...     {"kl_coef": [0.1, 3.0]}, cv=2, scoring=GoldRewardScorer(variety),
    ... ).fit(texts)
    >>> search.best_params_
    {'kl_coef': 3.0}
    """

    _constraints: dict = {
        "gold_reward": [HasMethods(["reward"]), HasMethods(["predict"]), callable],
        **GOLD_SCORE_CONSTRAINTS,
    }

    def __init__(
        self,
        gold_reward: Any,
        *,
        kl_coef: float = 0.0,
        n_samples: int = 4096,
        random_state: int | None = 0,
    ):
        self.gold_reward = gold_reward
        self.kl_coef = kl_coef
        self.n_samples = n_samples
        self.random_state = random_state
        # Now, and not when the first candidate of a search has been fitted.
        validate_parameter_constraints(self._constraints, vars(self), type(self).__name__)

    def __repr__(self):
        return f"{type(self).__name__}({self.gold_reward!r}, kl_coef={self.kl_coef!r})"

    def __call__(self, estimator: Any, X: Any = None, y: Any = None) -> float:
        """Return the score of a fitted policy optimiser.

        Parameters
        ----------
        estimator : fitted policy optimiser
            Such as a ``PPOPolicyOptimizer``.
        X, y : ignored
            Only there because a scorer is called with them.

        Returns
        -------
        score : float
            In units of ``gold_reward``.
        """
        policy = unwrap(estimator)
        if not hasattr(policy, "_build_problem"):
            raise TypeError(
                f"{type(self).__name__} scores policy optimisers such as PPOPolicyOptimizer, got "
                f"{type(policy).__name__}. For an RLHFPipeline there is "
                "model_selection.HeldOutRewardScorer."
            )
        check_is_fitted(policy)
        return self._expected_gold(policy) - self.kl_coef * policy.kl_

    def _expected_gold(self, policy):
        problem = policy._build_problem(warn=False)
        rng = np.random.RandomState(check_random_state(self.random_state).randint(2**31))
        probe = problem.sample(problem.start, 64, rng)
        gold = DocumentReward(
            self.gold_reward, probe, subject=type(self).__name__, objective=problem.objective
        )
        log_prob = policy._policy_log_prob
        if gold.token_reward is None:
            return float(gold(problem.sample(log_prob, self.n_samples, rng)).mean())
        return gold.offset + problem.objective.expected_sum(log_prob, gold.token_reward)
