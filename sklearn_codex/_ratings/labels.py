"""Which of two models was preferred, as votes are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from sklearn_codex._categorical import BoolArray, FloatArray
from sklearn_codex._labels.sides import read_sides
from sklearn_codex._labels.words import read_words, says_both_bad
from sklearn_codex._reward.targets import (
    PreferenceLabels,
    check_both_preferred,
    check_labels,
    check_no_label_missing,
    check_stream_classes,
    credit,
    is_soft,
)
from sklearn_codex._reward.tie_losses import TIE, A, B
from sklearn_codex._reward.tie_models import HALVES, check_outcomes, check_two_outcomes

HALF, BOTH_BAD = "half", "both-bad"
BAD = 3
_SIDES = read_sides("model_a", "model_b")
KIND_OF_WORD = {"a": A, "b": B, "tie": TIE, "both_bad": BAD}
# "Both bad" is a tie where it is no outcome.
KIND_WITHOUT_BAD = {**KIND_OF_WORD, "both_bad": TIE}
CLASSES_IN_WORDS = {
    HALF: {"a": A, "b": B},
    "davidson": {"a": A, "b": B, "tie": TIE},
    "rao-kupper": {"a": A, "b": B, "tie": TIE},
    BOTH_BAD: KIND_OF_WORD,
}


@dataclass(frozen=True)
class Outcomes:
    """Votes as numbers.

    Attributes
    ----------
    target : ndarray of shape (n,)
        1 where A is preferred, 0 where B, 0.5 for a tie, or between for soft labels.
    bad : ndarray of bool of shape (n,)
        Which ties say that both are bad, where that is an outcome.
    meaning : mapping
        The labels as classes, each with B, TIE, A or BAD.
    """

    target: FloatArray
    bad: BoolArray
    meaning: Mapping[Any, int]


def read_vote(label: Any) -> str | None:
    """Return a vote in words as one of ``KIND_OF_WORD``, None where it is something else."""
    verdict = read_words(label, _SIDES) if isinstance(label, str) else None
    if verdict is None or verdict.probability is None:
        return None
    if verdict.probability == 0.5:
        return "both_bad" if says_both_bad(label) else "tie"
    return "a" if verdict.probability else "b"


def _in_words(y):
    """Return votes in words as those of ``KIND_OF_WORD``, None where they are something else."""
    if y.dtype.kind not in "OUT":
        return None
    votes = {label: read_vote(label) for label in dict.fromkeys(y.tolist())}
    if None in votes.values():
        return None
    return np.array([votes[label] for label in y.tolist()], dtype=object)


def read_outcomes(
    y: Any,
    ties: str,
    *,
    subject: str,
    known: Mapping[Any, int] | None = None,
    given: Any = None,
) -> Outcomes:
    """Return the votes y (n,) as numbers.

    Parameters
    ----------
    y : array-like of shape (n,)
    ties : {"half", "davidson", "rao-kupper", "both-bad"}
        Whether soft labels are votes, and ties and "both bad" classes.
    subject : str
        Who asks.
    known : mapping, default=None
        The classes of the batches before.
    given : array-like, default=None
        The classes that the caller names for all batches.
    """
    y = check_no_label_missing(y, subject=subject)
    if not len(y):
        raise ValueError(f"{subject} needs votes in y, got none. Pass the vote of each comparison.")
    words = _in_words(y)
    if words is not None:
        _check_known(known, CLASSES_IN_WORDS[ties], subject)
        bad = (words == "both_bad") & (ties == BOTH_BAD)
        return Outcomes(_targets(words), bad, CLASSES_IN_WORDS[ties])
    if ties == BOTH_BAD:
        raise ValueError(
            f"{subject} with ties='both-bad' needs votes in words, 'a', 'b', 'tie' and 'both_bad', "
            f"since no number says the last, got {y.tolist()[0]!r:.40}. Write them so, or choose "
            "other ties."
        )
    if known is None and given is None:
        _refuse_one_label(y, subject)
    if ties == HALF:
        return _read_half(y, subject, known, given)
    outcome, meaning = check_outcomes(y, subject=subject)
    if set(meaning) < {0.0, 1.0}:
        meaning = {0.0: B, 1.0: A}
    if given is not None:
        meaning = check_outcomes(given, subject=f"{subject}, as classes,")[1]
    if known is not None or given is not None:
        meaning = _joined(known or {}, meaning, y, subject)
        outcome = np.array([meaning[label] for label in y.tolist()])
    return _without_bad(outcome / 2, meaning)


def _refuse_one_label(y, subject):
    """Raise where all votes are one label that does not say by itself which side it is for."""
    labels = list(dict.fromkeys(y.tolist()))
    if len(labels) != 1 or isinstance(labels[0], bool):
        return
    if isinstance(labels[0], str) or not 0 <= labels[0] <= 1:
        raise ValueError(
            f"{subject} got one label in y, {labels[0]!r:.60}, which does not say which of two "
            "models was preferred. Write votes as 1 (A), 0 (B) and 0.5 (tie), or as 'a', 'b' and "
            "'tie'; sklearn_codex.labels.convert_labels does so."
        )


def _targets(words):
    """Return the credit of A (n,) of votes in words."""
    return np.array([KIND_WITHOUT_BAD[word] for word in words.tolist()]) / 2


def _without_bad(target, meaning):
    return Outcomes(target, np.zeros(len(target), dtype=bool), meaning)


def _read_half(y, subject, known, given):
    labels = check_labels(y, subject=subject)
    if known is None and given is None:
        classes, target = labels.classes, labels.target
        if len(classes) == 1 and classes[0] in (0, 1):  # as of rows (winner, loser)
            target = np.full(len(target), float(classes[0]))
            classes = np.array([0, 1], dtype=classes.dtype)
        kinds = (B, A) if len(classes) > 1 else (B,)
        return _without_bad(target, dict(zip(classes.tolist(), kinds, strict=True)))
    before = None if known is None else np.array(sorted(known))
    target, classes = check_stream_classes(labels, given, before, subject=subject)
    return _without_bad(target, dict(zip(np.asarray(classes).tolist(), (B, A), strict=True)))


def _joined(known, meaning, y, subject):
    """Return the classes of all batches, to which numbers may add the tie."""
    both = set(known) | set(meaning)
    if both <= set(HALVES):
        return HALVES if 0.5 in both else {label: HALVES[label] for label in both}
    new = set(y.tolist()) - set(known)
    if known and new:
        raise ValueError(
            f"{subject} got the labels {sorted(new, key=str)} in y, which are not among the "
            f"classes {sorted(known, key=str)} of the batches before. Write labels as there."
        )
    return known or meaning


def _check_known(known, meaning, subject):
    if known is not None and dict(known) != dict(meaning):
        raise ValueError(
            f"{subject} got votes in words, while those of the batches before had the classes "
            f"{sorted(known, key=str)}. Write labels as there."
        )


def check_several(
    outcomes: Outcomes, weight: FloatArray, ties: str, *, symmetric: bool, subject: str
) -> None:
    """Raise where all votes of positive weight say the same, and that leaves nothing to fit.

    Of named models votes may all be for A, as in rows (winner, loser), where ``symmetric`` says
    that no bias to a side is fitted.
    """
    if ties != HALF:
        outcome = np.rint(2 * outcomes.target).astype(np.intp)
        if symmetric and (outcome[weight > 0] != TIE).any():
            return
        if (outcome[weight > 0] == TIE).all():
            found = "ties and both bad" if ties == BOTH_BAD else "ties"
            raise ValueError(
                f"{subject} needs votes that prefer one of two models in y, got {found} only. "
                "Nothing tells which model is better: collect votes that do, or choose "
                "ties='half', by which all are equal."
            )
        check_two_outcomes(outcome, weight, subject=subject)
    elif not symmetric:
        classes = np.array(sorted(outcomes.meaning, key=lambda label: outcomes.meaning[label]))
        labels = PreferenceLabels(outcomes.target, classes, soft=False)
        check_both_preferred(labels, weight, subject=subject)


def credit_of(y: Any, meaning: Mapping[Any, int], ties: str, margin: FloatArray, *, subject: str):
    """Return the points of each vote (n,): 1 where a margin is on its side, half for a tie."""
    y = check_no_label_missing(y, subject=subject)
    check_consistent_length(margin, y)
    words = _in_words(y)
    if words is None and ties == HALF:
        if not is_soft(y):
            _check_labels_known(y, meaning, subject)
        return credit(y, np.array(sorted(meaning)), margin)
    if words is not None:
        target = _targets(words)
    else:
        table = HALVES if set(meaning) <= set(HALVES) else meaning
        _check_labels_known(y, table, subject)
        target = np.array([table[label] for label in y.tolist()]) / 2
    return 0.5 + (target - 0.5) * np.sign(margin)


def _check_labels_known(y, meaning, subject):
    unknown = [label for label in dict.fromkeys(y.tolist()) if label not in meaning]
    if unknown:
        raise ValueError(
            f"{subject} got the labels {sorted(unknown, key=str)!r:.60} in y, which are none of "
            f"its classes {sorted(meaning, key=str)}. Write labels as in fit."
        )
