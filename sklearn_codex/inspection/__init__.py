"""Pictures: training, frontiers, over-optimisation, rewards, what they are worth and prefer.

Displays in scikit-learn's form: a class method computes what is to be seen, ``__init__`` keeps it
as arrays, ``plot`` draws it, on Axes of your own where they are given. Colours are safe for
colour-blind readers, and no figure tells lines apart by colour alone. Drawing needs matplotlib,
``pip install 'sklearn-codex[plot]'``; importing this module does not.
"""

from sklearn_codex.inspection._explain import explain_reward
from sklearn_codex.inspection._explanation import RewardExplanation
from sklearn_codex.inspection._frontier import FrontierDisplay
from sklearn_codex.inspection._learning_curve import PromptLearningCurveDisplay
from sklearn_codex.inspection._length import LengthBiasDisplay
from sklearn_codex.inspection._overoptimization import OveroptimizationDisplay
from sklearn_codex.inspection._rewards import RewardCalibrationDisplay, RewardDistributionDisplay
from sklearn_codex.inspection._tokens import TokenShiftDisplay
from sklearn_codex.inspection._training_curves import TrainingCurveDisplay

__all__ = [
    "FrontierDisplay",
    "LengthBiasDisplay",
    "OveroptimizationDisplay",
    "PromptLearningCurveDisplay",
    "RewardCalibrationDisplay",
    "RewardDistributionDisplay",
    "RewardExplanation",
    "TokenShiftDisplay",
    "TrainingCurveDisplay",
    "explain_reward",
]
