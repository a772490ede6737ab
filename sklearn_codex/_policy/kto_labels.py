"""Labels of single documents: desirable or not, or how probable it is that one is."""

import warnings
from numbers import Number
from typing import Any

import numpy as np
from sklearn.utils.validation import _check_y

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.frames import is_frame, is_missing
from sklearn_codex._checks.matrices import refuse_masked
from sklearn_codex._checks.probabilities import as_array
from sklearn_codex._labels.desirable import says_desirable
from sklearn_codex._reward.targets import PreferenceLabels, is_soft


def check_desirable(y: Any, *, subject: str) -> PreferenceLabels:
    """Return labels of documents as the probability that each is desirable.

    Numbers in [0, 1], some of them neither 0 nor 1, are probabilities; else there are two classes,
    of which the greater one is desirable.

    Warns
    -----
    UserWarning
        If two words have an order, but no meaning that is known.

    Raises
    ------
    ValueError
        If y is None, lacks a label, has more than two classes or numbers that are neither classes
        nor probabilities, or two words of which the lesser one says that a document is desirable.
    """
    y = _check_no_label_missing(y, subject)
    if is_soft(y):
        return PreferenceLabels(y.astype(np.float64), np.array([0, 1]), soft=True)
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.flatnonzero(~np.isfinite(y))[0])
        raise ValueError(f"{subject} got {y[row]} as a label in y, at position {row}. {_RULE}")
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) > 2:
        shown = ", ".join(repr(label) for label in classes[:3].tolist())
        raise ValueError(
            f"{subject} got {len(classes)} different labels in y, such as {shown}. {_RULE} Of "
            "ratings say which are good, as y >= 4."
        )
    _check_words(classes, subject)
    return PreferenceLabels(codes.astype(np.float64), classes, soft=False)


_RULE = (
    "It takes two classes, of which the greater one is desirable, or probabilities in [0, 1] that "
    "a document is."
)


def _check_no_label_missing(y, subject):
    """Return y as an array (n_documents,), or say which label is None or NaN."""
    if y is None:
        raise ValueError(f"{subject} requires y to be passed, but the target y is None.")
    refuse_masked(y, subject, name="y")
    values = as_array(y, name="y")
    if values.dtype.kind == "O":
        labels = values.ravel().tolist()
        missing = [row for row, label in enumerate(labels) if is_missing(label)]
        if missing:
            raise ValueError(
                f"{subject} got {len(missing)} document(s) without a label, the first at position "
                f"{missing[0]}. Drop them."
            )
        kinds = [_kind_of(label) for label in labels]
        odd = next((row for row, kind in enumerate(kinds) if kind in ("", *_OTHER[kinds[0]])), None)
        if odd is not None:
            raise ValueError(
                f"{subject} needs labels of one kind in y, numbers or text, got {labels[0]!r:.60} "
                f"at position 0 and {labels[odd]!r:.60} at position {odd}."
            )
    # Of a data frame whose columns have one name scikit-learn would ask for these.
    return _check_y(values if is_frame(y) else y, estimator=subject)


_OTHER = {"number": ("text",), "text": ("number",), "": ()}


def _kind_of(label):
    """Return what a label is, "" where it is neither a number nor text."""
    if isinstance(label, str):
        return "text"
    return "number" if isinstance(label, (Number, np.bool_)) else ""


def _check_words(classes, subject):
    """Raise where two words say which is desirable, other than by order; warn if they may."""
    labels = classes.tolist()
    if len(labels) != 2 or not all(isinstance(label, str) for label in labels):
        return
    lesser, greater = _meanings(*labels)
    if (lesser, greater) == (False, True):
        return
    if lesser is None and greater is None:
        warnings.warn(
            f"{subject} takes {labels[1]!r}, which is the greater one of the labels {labels} in y "
            f"by the alphabet, to mean that a document is desirable. Pass y = (labels == "
            f"{labels[1]!r}) where it does, and y = (labels == {labels[0]!r}) where it is the "
            "other one, also for score.",
            UserWarning,
            stacklevel=4,
        )
    if lesser or (greater is False):
        raise ValueError(
            f"{subject} got the labels {labels} in y, of which {labels[0]!r} seems to be the "
            f"desirable one. As classes, the greater one, {labels[1]!r}, would be. Pass y = "
            f"(labels == {labels[0]!r}), true where a document is desirable, also for score."
        )


def _meanings(lesser, greater):
    """Return whether each of two words means desirable, None where it says neither."""
    numbers = [_as_number(word) for word in (lesser, greater)]
    if None not in numbers and numbers[0] != numbers[1]:
        return numbers[0] > numbers[1], numbers[1] > numbers[0]
    folded = ["".join(filter(str.isalnum, word.casefold())) for word in (lesser, greater)]
    for word, other, negated in ((0, 1, (True, False)), (1, 0, (False, True))):
        if folded[word] and folded[other] in {no + folded[word] for no in _NEGATIONS}:
            # A word that is bad by itself is good where it is negated: "harmful", "not harmful".
            is_bad = says_desirable((lesser, greater)[word]) is False or folded[word] in _BAD
            return negated[::-1] if is_bad else negated
    return says_desirable(lesser), says_desirable(greater)


_NEGATIONS = ("un", "in", "im", "ir", "dis", "non", "not", "no")
_BAD = {"harmful", "toxic", "offensive", "biased", "spam", "flagged", "hate", "hateful"}


def _as_number(word):
    try:
        return float(word)
    except ValueError:
        return None


def check_both_kinds(labels: PreferenceLabels, weight: FloatArray, *, subject: str) -> None:
    """Raise where all documents of positive weight are desirable for sure, or none is."""
    target = labels.target[weight > 0]
    # A soft label says that it may be either.
    if (target > 0).any() and (target < 1).any():
        return
    value = labels.classes.tolist()[int(target[0] > 0) if len(labels.classes) > 1 else 0]
    raise ValueError(
        f"{subject} needs desirable and undesirable documents in y, got one class: {value!r}. Add "
        "documents of the other one; to learn from good ones alone, use SFTRefiner."
    )
