"""The whole RLHF loop as scikit-learn estimators.

Pretraining, supervised fine-tuning, a Bradley-Terry reward model and policy optimisation with PPO,
on count models small enough that KL, entropy, expected reward and the optimum itself are exact.
"""

from sklearn_codex._annotators import AnnotatorRewardModel
from sklearn_codex._best_of_n_sampler import BestOfNSampler
from sklearn_codex._doc_links import link_estimator
from sklearn_codex._dpo import DPOPolicyOptimizer
from sklearn_codex._exact_policy import ExactPolicyOptimizer
from sklearn_codex._pair_vectorizer import PairVectorizer
from sklearn_codex._pairs import balance_positions
from sklearn_codex._persistence import load_model, save_model
from sklearn_codex._pipeline import RLHFPipeline, make_rlhf_pipeline
from sklearn_codex._policy import PPOPolicyOptimizer
from sklearn_codex._rankings import PlackettLuceModel, stack_rankings
from sklearn_codex._reward_ensemble import BootstrapRewardEnsemble, most_informative_pairs
from sklearn_codex._reward_model import PreferenceRewardModel
from sklearn_codex._reward_model_cv import PreferenceRewardModelCV, preference_path
from sklearn_codex._rloo import RLOOPolicyOptimizer
from sklearn_codex._sft import SFTRefiner
from sklearn_codex._tie_models import TiePreferenceModel
from sklearn_codex._uncertainty import RewardUncertainty
from sklearn_codex._unigram_lm import UnigramLM
from sklearn_codex._win_rate import length_controlled_win_rate
from sklearn_codex.datasets import read_preferences
from sklearn_codex.health import check_preferences
from sklearn_codex.text import TokenCounter

__all__ = [
    "AnnotatorRewardModel",
    "BestOfNSampler",
    "BootstrapRewardEnsemble",
    "DPOPolicyOptimizer",
    "ExactPolicyOptimizer",
    "PPOPolicyOptimizer",
    "PairVectorizer",
    "PlackettLuceModel",
    "PreferenceRewardModel",
    "PreferenceRewardModelCV",
    "RLHFPipeline",
    "RLOOPolicyOptimizer",
    "RewardUncertainty",
    "SFTRefiner",
    "TiePreferenceModel",
    "TokenCounter",
    "UnigramLM",
    "balance_positions",
    "check_preferences",
    "length_controlled_win_rate",
    "load_model",
    "make_rlhf_pipeline",
    "most_informative_pairs",
    "preference_path",
    "read_preferences",
    "save_model",
    "stack_rankings",
]

__version__ = "0.1.0"

for _public in [globals()[_name] for _name in __all__]:
    if isinstance(_public, type):
        link_estimator(_public)
