"""The whole RLHF loop as scikit-learn estimators.

Pretraining, supervised fine-tuning, a Bradley-Terry reward model and policy optimisation with PPO,
on count models small enough that KL, entropy, expected reward and the optimum itself are exact.
"""

from importlib import import_module

TYPE_CHECKING = False  # to those who run this; the module that has it takes longer than all of this
if TYPE_CHECKING:
    from typing import Any

    from sklearn_codex._data.lengths import PairsWithLength
    from sklearn_codex._data.pairs import balance_positions
    from sklearn_codex._data.vectors import ResponseIds
    from sklearn_codex._language.ngram_lm import NGramLM
    from sklearn_codex._language.sft import SFTRefiner
    from sklearn_codex._language.unigram_lm import UnigramLM
    from sklearn_codex._ngram_counter import NGramCounter
    from sklearn_codex._ngram_features import NGramFeatures
    from sklearn_codex._persistence.files import load_model, save_model
    from sklearn_codex._persistence.trust import trusted_types
    from sklearn_codex._pipeline.pipeline import RLHFPipeline, make_rlhf_pipeline
    from sklearn_codex._policy.best_of_n_sampler import BestOfNSampler
    from sklearn_codex._policy.candidates import CandidatePolicy
    from sklearn_codex._policy.dpo import DPOPolicyOptimizer
    from sklearn_codex._policy.exact_optimizer import ExactPolicyOptimizer
    from sklearn_codex._policy.grpo import GRPOPolicyOptimizer
    from sklearn_codex._policy.kto import KTOPolicyOptimizer
    from sklearn_codex._policy.ppo_optimizer import PPOPolicyOptimizer
    from sklearn_codex._policy.rloo import RLOOPolicyOptimizer
    from sklearn_codex._ratings.authors import author_share
    from sklearn_codex._ratings.model import ModelRatings
    from sklearn_codex._reward.annotators import AnnotatorRewardModel
    from sklearn_codex._reward.ensemble import BootstrapRewardEnsemble, most_informative_pairs
    from sklearn_codex._reward.model import PreferenceRewardModel
    from sklearn_codex._reward.model_cv import PreferenceRewardModelCV
    from sklearn_codex._reward.pair_vectorizer import PairVectorizer
    from sklearn_codex._reward.penalty_path import preference_path
    from sklearn_codex._reward.rankings import PlackettLuceModel, stack_rankings
    from sklearn_codex._reward.tie_models import TiePreferenceModel
    from sklearn_codex._reward.uncertainty import RewardUncertainty
    from sklearn_codex._reward.win_rate import length_controlled_win_rate
    from sklearn_codex.datasets import read_preferences
    from sklearn_codex.health import check_preferences
    from sklearn_codex.report.preferences import audit_preferences
    from sklearn_codex.text import TokenCounter

__all__ = [
    "AnnotatorRewardModel",
    "BestOfNSampler",
    "BootstrapRewardEnsemble",
    "CandidatePolicy",
    "DPOPolicyOptimizer",
    "ExactPolicyOptimizer",
    "GRPOPolicyOptimizer",
    "KTOPolicyOptimizer",
    "ModelRatings",
    "NGramCounter",
    "NGramFeatures",
    "NGramLM",
    "PPOPolicyOptimizer",
    "PairVectorizer",
    "PairsWithLength",
    "PlackettLuceModel",
    "PreferenceRewardModel",
    "PreferenceRewardModelCV",
    "RLHFPipeline",
    "RLOOPolicyOptimizer",
    "ResponseIds",
    "RewardUncertainty",
    "SFTRefiner",
    "TiePreferenceModel",
    "TokenCounter",
    "UnigramLM",
    "audit_preferences",
    "author_share",
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
    "trusted_types",
]

__version__ = "0.1.0"

# Where each public name comes from. It is imported when it is asked for: the command line answers
# before scikit-learn is there.
_HOMES = {
    "AnnotatorRewardModel": "_reward.annotators",
    "BestOfNSampler": "_policy.best_of_n_sampler",
    "BootstrapRewardEnsemble": "_reward.ensemble",
    "CandidatePolicy": "_policy.candidates",
    "DPOPolicyOptimizer": "_policy.dpo",
    "ExactPolicyOptimizer": "_policy.exact_optimizer",
    "GRPOPolicyOptimizer": "_policy.grpo",
    "KTOPolicyOptimizer": "_policy.kto",
    "ModelRatings": "_ratings.model",
    "NGramCounter": "_ngram_counter",
    "NGramFeatures": "_ngram_features",
    "NGramLM": "_language.ngram_lm",
    "PPOPolicyOptimizer": "_policy.ppo_optimizer",
    "PairVectorizer": "_reward.pair_vectorizer",
    "PairsWithLength": "_data.lengths",
    "PlackettLuceModel": "_reward.rankings",
    "PreferenceRewardModel": "_reward.model",
    "PreferenceRewardModelCV": "_reward.model_cv",
    "RLHFPipeline": "_pipeline.pipeline",
    "RLOOPolicyOptimizer": "_policy.rloo",
    "ResponseIds": "_data.vectors",
    "RewardUncertainty": "_reward.uncertainty",
    "SFTRefiner": "_language.sft",
    "TiePreferenceModel": "_reward.tie_models",
    "TokenCounter": "text",
    "UnigramLM": "_language.unigram_lm",
    "audit_preferences": "report.preferences",
    "author_share": "_ratings.authors",
    "balance_positions": "_data.pairs",
    "check_preferences": "health",
    "length_controlled_win_rate": "_reward.win_rate",
    "load_model": "_persistence.files",
    "make_rlhf_pipeline": "_pipeline.pipeline",
    "most_informative_pairs": "_reward.ensemble",
    "preference_path": "_reward.penalty_path",
    "read_preferences": "datasets",
    "save_model": "_persistence.files",
    "stack_rankings": "_reward.rankings",
    "trusted_types": "_persistence.trust",
}
_MODULES = {
    "datasets", "exact", "exceptions", "features", "health", "inspection", "kl_control", "lab",
    "labels", "metrics", "model_selection", "overoptimization", "rules", "text",
}  # fmt: skip


def __getattr__(name: str) -> "Any":
    if name in _MODULES:
        return import_module(f"sklearn_codex.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'sklearn_codex' has no attribute {name!r}")
    value = getattr(import_module(f"sklearn_codex.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
