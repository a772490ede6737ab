"""Is preference data fit to learn a reward from? Asked before any fit."""

from sklearn_codex.health._check import check_preferences
from sklearn_codex.health._report import Finding, PreferenceReport

__all__ = ["Finding", "PreferenceReport", "check_preferences"]
