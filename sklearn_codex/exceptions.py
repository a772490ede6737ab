"""Warnings of this package, to be told apart and silenced by class."""

from sklearn.exceptions import ConvergenceWarning

__all__ = ["LeakageWarning", "SeparationWarning"]


class LeakageWarning(UserWarning):
    """Pairs that share a prompt stand on both sides of a split, so a score measures memory.

    Split by prompt, with ``groups=`` and ``GroupKFold``. Where the overlap is meant, silence it
    with ``warnings.filterwarnings("ignore", category=LeakageWarning)``.
    """


class SeparationWarning(ConvergenceWarning):
    """What has no penalty tells every label, so that its weights have no finite optimum."""
