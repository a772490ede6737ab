"""The whole RLHF loop as scikit-learn estimators.

Pretraining, supervised fine-tuning, a Bradley-Terry reward model and policy optimisation with PPO,
on count models small enough that KL, entropy, expected reward and the optimum itself are exact.
"""

from sklearn_codex._pairs import balance_positions
from sklearn_codex._persistence import load_model, save_model
from sklearn_codex._pipeline import RLHFPipeline, make_rlhf_pipeline
from sklearn_codex._policy import PPOPolicyOptimizer
from sklearn_codex._reward_model import PreferenceRewardModel
from sklearn_codex._sft import SFTRefiner
from sklearn_codex._unigram_lm import UnigramLM
from sklearn_codex.text import TokenCounter

__all__ = [
    "PPOPolicyOptimizer",
    "PreferenceRewardModel",
    "RLHFPipeline",
    "SFTRefiner",
    "TokenCounter",
    "UnigramLM",
    "balance_positions",
    "load_model",
    "make_rlhf_pipeline",
    "save_model",
]

__version__ = "0.1.0"
