"""A laboratory: RLHF algorithms held against their own fixed points, exactly."""

from sklearn_codex.lab._advantages._gae import gae_advantage
from sklearn_codex.lab._advantages._groups import grpo_advantage, rloo_advantage
from sklearn_codex.lab._advantages._kl import shape_rewards
from sklearn_codex.lab._advantages._reinforce import reinforce_advantage, remax_advantage
from sklearn_codex.lab._advantages._reinforce_plus_plus import (
    reinforce_plus_plus_advantage,
    reinforce_plus_plus_baseline_advantage,
)
from sklearn_codex.lab._algorithms import PreferenceAlgorithm, RewardAlgorithm, algorithms
from sklearn_codex.lab._batch import Batch
from sklearn_codex.lab._check import check_algorithm
from sklearn_codex.lab._losses._clipped import (
    cispo_loss,
    gspo_loss,
    policy_gradient_loss,
    ppo_loss,
)
from sklearn_codex.lab._losses._dpo import dpo_loss, hinge_loss, ipo_loss
from sklearn_codex.lab._losses._kl import kl_penalty
from sklearn_codex.lab._losses._kto import kto_loss
from sklearn_codex.lab._losses._nash import nash_md_loss
from sklearn_codex.lab._losses._reference_free import cpo_loss, orpo_loss, simpo_loss
from sklearn_codex.lab._mistakes import Mistake, mistakes
from sklearn_codex.lab._preferences import PreferenceBatch, PreferenceProblem
from sklearn_codex.lab._problem import CandidateProblem
from sklearn_codex.lab._problems import make_candidates, make_documents, make_preferences, problems
from sklearn_codex.lab._registry import advantages, losses
from sklearn_codex.lab._rest import rest_point
from sklearn_codex.lab._rest_preferences import bradley_terry_scores
from sklearn_codex.lab._rest_rewards import expected_advantage
from sklearn_codex.lab._result import AlgorithmCheck, Setting
from sklearn_codex.lab._run import AlgorithmRun, run_algorithm

__all__ = [
    "AlgorithmCheck",
    "AlgorithmRun",
    "Batch",
    "CandidateProblem",
    "Mistake",
    "PreferenceAlgorithm",
    "PreferenceBatch",
    "PreferenceProblem",
    "RewardAlgorithm",
    "Setting",
    "advantages",
    "algorithms",
    "bradley_terry_scores",
    "check_algorithm",
    "cispo_loss",
    "cpo_loss",
    "dpo_loss",
    "expected_advantage",
    "gae_advantage",
    "grpo_advantage",
    "gspo_loss",
    "hinge_loss",
    "ipo_loss",
    "kl_penalty",
    "kto_loss",
    "losses",
    "make_candidates",
    "make_documents",
    "make_preferences",
    "mistakes",
    "nash_md_loss",
    "orpo_loss",
    "policy_gradient_loss",
    "ppo_loss",
    "problems",
    "reinforce_advantage",
    "reinforce_plus_plus_advantage",
    "reinforce_plus_plus_baseline_advantage",
    "remax_advantage",
    "rest_point",
    "rloo_advantage",
    "run_algorithm",
    "shape_rewards",
    "simpo_loss",
]
