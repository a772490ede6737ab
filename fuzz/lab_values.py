"""Good arguments of the laboratory: batches of tokens, pairs, problems, algorithms, updates."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from sklearn_codex import lab
from sklearn_codex.exact import CandidateObjective

Draw = Callable[[np.random.RandomState], Any]
# Responses of 2, 1, 3 and 3 tokens, in two groups.
MASK = np.arange(3) < np.array([2, 1, 3, 3])[:, np.newaxis]
QUICK: dict[str, Draw] = {
    "group_sizes": lambda rng: (), "learning_rates": lambda rng: (), "more_epochs": lambda rng: (),
}  # fmt: skip
# Steps, groups and documents of which more take for ever.
ENDLESS = {"group_size", "epochs", "more_epochs", "n_documents", "n_groups", "n_samples"}


def _log_prob(rng):
    return -rng.exponential(size=MASK.shape)


def _numbers(rng):
    return rng.normal(size=MASK.shape)


def _update(rng):
    """Return a name of an algorithm, or a function that is one."""
    return ("rloo", "reinforce", _leave_one_out)[rng.randint(3)]


def _leave_one_out(log_prob, batch):
    score = batch.token_level_rewards.sum(axis=1)
    return -(score - score.mean())[:, np.newaxis] * batch.response_mask / len(score)


@cache
def _objective(n_rows):
    reference = np.log(np.full(n_rows, 1 / n_rows))
    return CandidateObjective(reference, np.arange(n_rows) - 1.0, np.zeros(n_rows, int))


OF_TOKENS: dict[str, Draw | None] = {
    "token_level_rewards": lambda rng: np.where(MASK, rng.normal(size=MASK.shape), 0.0),
    "response_mask": lambda rng: MASK.copy(), "index": lambda rng: np.array([0, 0, 1, 1]),
    "values": _numbers, "reward_baselines": lambda rng: rng.normal(size=4),
    "log_prob": _log_prob, "old_log_prob": _log_prob, "ref_log_prob": _log_prob,
    "advantages": _numbers, "estimator": lambda rng: ("k1", "k2", "k3")[rng.randint(3)],
    "gamma": lambda rng: 0.9, "lam": lambda rng: 0.95, "kl_coef": lambda rng: 0.5,
}  # fmt: skip
_OF_PAIRS = (
    *("policy_chosen_logps", "policy_rejected_logps", "ref_chosen_logps", "ref_rejected_logps"),
    *("policy_logps", "ref_logps"),
)
OF_PAIRS: dict[str, Draw | None] = {
    **dict.fromkeys(_OF_PAIRS, lambda rng: -rng.exponential(size=5)),
    "chosen_lengths": lambda rng: np.array([1, 2, 1, 4, 3]),
    "rejected_lengths": lambda rng: np.array([2, 2, 1, 1, 5]),
    "kl": lambda rng: 0.3 if rng.rand() < 0.5 else np.full(5, 0.3),
    "preference": lambda rng: rng.rand(5),
}
OF_RUNS: dict[str, Draw | None] = {
    "update": _update, "problem": lambda rng: "one-token", "algorithm": lambda rng: "grpo",
    "target": None, "group_size": lambda rng: 2, "n_documents": lambda rng: 8,
    "n_groups": lambda rng: 2, "n_samples": None, **QUICK,
}  # fmt: skip
OF_SUBJECT: dict[str, dict[str, Draw | None]] = {
    **{function.__name__: OF_TOKENS for function in lab.advantages.values()},
    **{
        function.__name__: OF_TOKENS if name in ("policy_gradient", "ppo", "gspo", "cispo")
        else OF_PAIRS
        for name, function in lab.losses.items()
    },
    **dict.fromkeys(("shape_rewards", "kl_penalty"), OF_TOKENS),
    **dict.fromkeys(("check_algorithm", "run_algorithm", "rest_point"), OF_RUNS),
    "expected_advantage": {
        "problem": lambda rng: lab.problems["one-token"](), "group_size": lambda rng: 2,
        "log_prob": lambda rng: lab.problems["one-token"]().reference,
        "advantage": lambda rng: "rloo",
        "loss_agg_mode": lambda rng: "seq-mean-token-sum",
    },
    "bradley_terry_scores": {"problem": lambda rng: lab.problems["two-sided"]()},
    "make_candidates": {
        "lengths": lambda rng: [1, 2, 2], "n_prompts": lambda rng: 2,
        "prompt_prob": lambda rng: None,
    },
    "make_documents": {
        "token_log_prob": lambda rng: np.log([0.6, 0.4]), "token_reward": lambda rng: [0.0, 1.0],
        "length": lambda rng: 3, "first_log_prob": lambda rng: np.log([0.5, 0.5]),
    },
    # Another one is in datasets; they share no argument but for the seed.
    "make_preferences": {
        "n_responses": lambda rng: 5, "lengths": lambda rng: [1, 2, 1, 3, 1],
        "n_prompts": lambda rng: 2, "weights": lambda rng: [1.0, 2.0, 0.5, 1.0, 1.0],
    },
    "RewardAlgorithm": {
        "advantage": lambda rng: "rloo", "loss": lambda rng: "ppo", "kl_coef": lambda rng: 0.3,
    },
    "PreferenceAlgorithm": {"loss": lambda rng: "ipo", "beta": lambda rng: 0.3},
    "CandidateProblem": {
        "objective": lambda rng: _objective(3), "tokens": lambda rng: [[1, -1], [0, 2], [0, 3]],
    },
    "PreferenceProblem": {
        "objective": lambda rng: _objective(3), "lengths": lambda rng: np.array([1, 2, 2]),
        "wins": lambda rng: np.array([[0.0, 2, 1], [1, 0, 3], [1, 1, 0]]),
    },
}  # fmt: skip
