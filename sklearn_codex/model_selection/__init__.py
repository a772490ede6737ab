"""Splitters and scorers that know records: a prompt on one side only, every part of the loop."""

from sklearn_codex.model_selection._budget import label_budget
from sklearn_codex.model_selection._scorers import (
    HeldOutRewardScorer,
    policy_scorers,
    record_scorers,
)
from sklearn_codex.model_selection._splitters import RecordKFold, record_train_test_split

__all__ = [
    "HeldOutRewardScorer",
    "RecordKFold",
    "label_budget",
    "policy_scorers",
    "record_scorers",
    "record_train_test_split",
]
