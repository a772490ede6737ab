"""Labels of pairs as the reward models take them: two classes, or probabilities."""

import warnings
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_y

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.frames import is_frame, is_missing
from sklearn_codex._checks.matrices import refuse_masked
from sklearn_codex._checks.probabilities import as_array
from sklearn_codex._labels.order import Order, guess_meanings, read_order


@dataclass(frozen=True)
class PreferenceLabels:
    """Labels of pairs, or of single documents.

    Attributes
    ----------
    target : ndarray of shape (n,)
        Probability that A is preferred, or that a document is desirable.
    classes : ndarray of shape (1,) or (2,)
        The labels that occur; 0 and 1 where they are soft.
    soft : bool
        Whether labels are probabilities, not classes.
    """

    target: FloatArray
    classes: np.ndarray
    soft: bool

    def target_by(self, classes: np.ndarray, *, subject: str) -> FloatArray:
        """Return the target (n,) where labels mean what the classes (2,) of a fit do.

        Raises
        ------
        ValueError
            If a label is not among these.
        """
        if self.soft:
            return self.target
        unknown = sorted(set(self.classes.tolist()) - set(classes.tolist()), key=str)
        if unknown:
            raise ValueError(
                f"{subject} got the labels {unknown} in y, which are not among the classes "
                f"{classes.tolist()} of the fit."
            )
        given = self.classes[self.target.astype(np.intp)]
        return (given == classes[1]).astype(np.float64)


def check_labels(y: Any, *, subject: str) -> PreferenceLabels:
    """Tell classes from probabilities, and return both as probabilities.

    Numbers in [0, 1], some of them neither 0 nor 1, are probabilities that A is preferred; 0.5 is a
    tie. Such labels are no classes in scikit-learn either, so there is no doubt which is meant.

    Raises
    ------
    ValueError
        If y is None, is missing a label, has numbers outside [0, 1] that are not whole, more than
        two classes, or two words that say which response is better other than by their order,
        such as "a" and "b", or "chosen" and "rejected".
    """
    y = check_no_label_missing(y, subject=subject)
    if is_soft(y):
        return PreferenceLabels(y.astype(np.float64), np.array([0, 1]), soft=True)
    if y.dtype.kind not in "biu":  # whole numbers are classes
        try:
            check_classification_targets(y)
        except ValueError as error:
            raise ValueError(f"{error} {_describe_unusable(y, subject)}") from None
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) > 2:
        raise ValueError(
            "Only binary classification is supported. The type of the target is "
            f"{type_of_target(y)}: {subject} got {len(classes)} classes. The greater of two "
            "classes means that response A is preferred; a tie is the probability 0.5 among "
            "probabilities in [0, 1], see sklearn_codex.labels.convert_labels."
        )
    refuse_names_of_responses(classes, subject)
    return PreferenceLabels(codes.astype(np.float64), classes, soft=False)


def check_no_label_missing(y: Any, *, subject: str) -> np.ndarray:
    """Return y as an array (n_pairs,), or say which label is None or NaN."""
    if y is None:
        raise ValueError(f"{subject} requires y to be passed, but the target y is None.")
    refuse_masked(y, subject, name="y")
    values = as_array(y, name="y")
    if values.dtype.kind == "O":
        labels = values.ravel().tolist()
        missing = [row for row, label in enumerate(labels) if is_missing(label)]
        if missing:
            raise ValueError(
                f"{subject} got {len(missing)} pair(s) without a label, the first at position "
                f"{missing[0]}. Drop them; a tie is 0.5."
            )
        _refuse_mixed_labels(labels, subject)
    # Of a data frame whose columns have one name scikit-learn would ask for these.
    return _check_y(values if is_frame(y) else y, estimator=subject)


def _refuse_mixed_labels(labels, subject):
    """Raise where labels are not all text, or all numbers, and so have no order."""
    kinds = [
        "numbers"
        if isinstance(label, (Number, np.bool_))
        else "text"
        if isinstance(label, str)
        else type(label).__name__
        for label in labels
    ]
    odd = next((row for row, kind in enumerate(kinds) if kind != kinds[0]), None)
    if odd is not None:
        raise ValueError(
            f"{subject} needs labels of one kind in y, numbers or text, got {labels[0]!r:.60} at "
            f"position 0 and {labels[odd]!r:.60} at position {odd}."
        )


def _describe_unusable(y, subject):
    """Say what labels should be, and which one is not."""
    rule = (
        f"{subject} takes two classes, or the probability, in [0, 1], that A is preferred (0.5 for "
        "a tie); for grades see sklearn_codex.labels.grades_to_soft_labels."
    )
    if y.dtype.kind != "f":
        return rule
    row = int(np.flatnonzero(~((y >= 0) & (y <= 1)))[0])
    return f"{rule} Got {y[row]} at position {row}."


def refuse_names_of_responses(classes, subject):
    """Raise where two classes of text say which response is better, other than by their order."""
    labels = classes.tolist()
    if len(labels) != 2 or not all(isinstance(label, str) for label in labels):
        return
    order = read_order(*labels)
    if order in (Order.PLAIN, Order.UNKNOWN):
        return
    lesser, greater = guess_meanings(*labels)
    says = {1.0: "A is preferred", 0.0: "B is preferred", 0.5: "there is a tie"}
    seem = "name the better response" if order is Order.NAMES else "say how A did"
    raise ValueError(
        f"{subject} got the labels {labels}, which seem to {seem}: {labels[0]!r} that "
        f"{says[lesser]}, {labels[1]!r} that {says[greater]}. As classes, the greater one, "
        f"{labels[1]!r}, would mean that A is preferred, and {labels[0]!r} that B is. Pass "
        f"probabilities: y = sklearn_codex.labels.convert_labels(y, {{{labels[0]!r}: {lesser:g}, "
        f"{labels[1]!r}: {greater:g}}}), also for score."
    )


def warn_of_order(classes: np.ndarray, *, subject: str) -> None:
    """Warn where classes of pairs are 1 and 2, which may name responses as well."""
    if classes.tolist() == [1, 2]:
        warnings.warn(
            f"{subject} takes label 2, the greater one, to mean that A is preferred, and 1 that B "
            "is. Where 1 and 2 are the better response, pass y = "
            'sklearn_codex.labels.convert_labels(y, "one_two").',
            UserWarning,
            stacklevel=3,
        )


def is_soft(y: np.ndarray) -> bool:
    """Return whether labels are numbers in [0, 1] of which some are neither 0 nor 1."""
    if y.dtype.kind != "f" or not ((y >= 0) & (y <= 1)).all():
        return False
    return bool(((y > 0) & (y < 1)).any())


def check_both_preferred(labels: PreferenceLabels, weight: FloatArray, *, subject: str) -> None:
    """Raise where all pairs of positive weight are certain to prefer one and the same response."""
    target = labels.target[weight > 0]
    # A soft label says that either response may be preferred.
    if (target > 0).any() and (target < 1).any():
        return
    value = labels.classes.tolist()[int(target[0] > 0) if len(labels.classes) > 1 else 0]
    raise ValueError(
        f"{subject} needs pairs of two classes in y, response A preferred and response B "
        f"preferred, got one class: {value!r}. If the pairs are (chosen, rejected), so that all "
        "labels are the same, swap half of them with X, y = balance_positions(X); that does not "
        "change what is learned."
    )


def credit(y: Any, classes: np.ndarray, margin: FloatArray) -> FloatArray:
    """Return the points of each pair (n_pairs,) in [0, 1]: 1 where a margin is on the right side.

    A margin of 0 gives half a point, and so does a tie; a soft label gives the probability that a
    label drawn with it agrees with the margin.
    """
    y = check_no_label_missing(y, subject="score")
    if y.dtype.kind == "f" and (y != np.round(y)).any() and not is_soft(y):
        raise ValueError(f"y cannot be scored. {_describe_unusable(y, 'score')}")
    if is_soft(y):
        target = y.astype(np.float64)
    else:
        target = np.where(y == classes[1], 1.0, 0.0)
        unknown = ~np.isin(y, classes)
        if unknown.any():
            return np.where(unknown, 0.0, points_of(target, margin))
    return points_of(target, margin)


def points_of(target: FloatArray, margin: FloatArray) -> FloatArray:
    """Return the points (n_pairs,) in [0, 1] of margins, by the probability that A is preferred."""
    return 0.5 + (target - 0.5) * np.sign(margin)


def check_stream_classes(
    labels: PreferenceLabels, given: Any, known: np.ndarray | None, *, subject: str
) -> tuple[FloatArray, np.ndarray]:
    """Return the targets of a batch and the two classes of its stream.

    Parameters
    ----------
    labels : PreferenceLabels
        Of the batch, which may have one class.
    given : array-like of shape (2,) or None
        Classes passed with the batch.
    known : ndarray of shape (2,) or None
        Classes of the batches before; None for the first.
    """
    if given is not None:
        given = np.unique(check_no_label_missing(given, subject=f"{subject}, as classes,"))
        if known is not None and not np.array_equal(given, known):
            raise ValueError(
                f"{subject} got classes {given.tolist()}, but the stream began with "
                f"{known.tolist()}. Leave classes out after the first batch."
            )
        if len(given) != 2:
            raise ValueError(f"{subject} needs two classes, got classes={given.tolist()}.")
    classes = given if known is None else known
    if classes is None:
        classes = labels.classes
        if len(classes) < 2:
            raise ValueError(
                f"{subject} got one class in the first batch: {classes.tolist()[0]!r}. Pass both "
                "as classes."
            )
    refuse_names_of_responses(np.asarray(classes), subject)
    if labels.soft:
        return labels.target, classes
    unknown = sorted(set(labels.classes.tolist()) - set(np.asarray(classes).tolist()), key=str)
    if unknown:
        raise ValueError(
            f"{subject} got the labels {unknown} in y, which are not among the classes "
            f"{np.asarray(classes).tolist()} of the stream."
        )
    codes = labels.target.astype(np.intp)
    return (labels.classes[codes] == classes[1]).astype(np.float64), classes
