"""Warnings of this package, to be told apart and silenced by class."""

from sklearn.exceptions import ConvergenceWarning

__all__ = ["LeakageWarning", "OverlapWarning", "RareTokensWarning", "SeparationWarning"]


class LeakageWarning(UserWarning):
    """Pairs that share a prompt stand on both sides of a split, so a score measures memory.

    Split by prompt, with ``groups=`` and ``GroupKFold``. Where the overlap is meant, silence it
    with ``warnings.filterwarnings("ignore", category=LeakageWarning)``.

    It comes with a score that a model of this package gives: by its ``score``, and so by
    ``scoring=None`` in a cross-validation or search, or by a scorer of
    :mod:`sklearn_codex.metrics`. A scorer of scikit-learn, such as "neg_log_loss", asks for
    predictions, and to predict for a known prompt is no mistake, so it gets no warning: pass
    ``preference_scorers["neg_preference_log_loss"]`` instead.
    """


class OverlapWarning(UserWarning):
    """A log does not tell the value of a policy: it has too little of what the policy chooses.

    It comes with a value that is NaN.
    """


class RareTokensWarning(UserWarning):
    """Most tokens of a corpus occur once, so its counts have next to nothing in common.

    As where Chinese is split at blanks. It comes when a vocabulary is learned from 300 tokens or
    more, of which more than two thirds occur once; single punctuation marks are not counted.
    """


class SeparationWarning(ConvergenceWarning):
    """What has no penalty tells every label, so that its weights have no finite optimum."""
