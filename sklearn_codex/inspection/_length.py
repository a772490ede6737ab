"""Length bias: accuracy and margin by how much longer the preferred response is."""

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._checks.matrices import check_numbers
from sklearn_codex._checks.options import check_option
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._data.text_pairs import check_text_pairs
from sklearn_codex.inspection._pairs_data import preference_target
from sklearn_codex.inspection._plotting import (
    GREY,
    check_axes,
    check_equal_lengths,
    check_matplotlib,
    finish,
    line_style,
    mark_line,
    merge_style,
)
from sklearn_codex.metrics import accuracy_by_slice, quantile_slices
from sklearn_codex.metrics._checks import check_groups
from sklearn_codex.metrics._grouped_mean import GroupedMean
from sklearn_codex.metrics._intervals import warn_without_effect


class LengthBiasDisplay:
    """Accuracy, or margin, by how much longer the preferred response is than the other.

    A model that does not look at length is as good on the left, where the shorter response is
    preferred, as on the right. One that likes length is right there, and wrong on the left.

    Parameters
    ----------
    length_difference : array-like of shape (n_bins,)
        Median length of the preferred response less that of the other, rising.
    accuracy, accuracy_low, accuracy_high : array-like of shape (n_bins,)
        Share of pairs that the model gets right, and its interval.
    margin, margin_low, margin_high : array-like of shape (n_bins,)
        Mean reward of the preferred response less that of the other, and its interval.
    n : array-like of int of shape (n_bins,)
        Pairs in each bin.
    overall_accuracy : float
        Accuracy on all pairs.
    unit : str, default="characters"
        Unit of length.
    name : str, default=None
        Name of the model, for the legend.

    Attributes
    ----------
    ax_ : Axes
        Axes with the curve.
    figure_ : Figure
        The figure of the axes.
    line_ : Line2D
        The curve.
    errorbar_ : ErrorbarContainer
        The intervals.

    See Also
    --------
    sklearn_codex.metrics.length_audit : The same in numbers.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_codex.inspection import LengthBiasDisplay
    >>> display = LengthBiasDisplay.from_predictions(
    ...     [1, 1, 0, 0], [2.0, 1.0, -1.0, 0.5], [30, 10, -20, 10], n_bins=2
    ... )
    >>> display.length_difference, display.accuracy
    (array([ 0., 25.]), array([0.5, 1. ]))
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        length_difference,
        accuracy,
        accuracy_low,
        accuracy_high,
        margin,
        margin_low,
        margin_high,
        n,
        overall_accuracy,
        unit="characters",
        name=None,
    ):
        self.length_difference = length_difference
        self.accuracy = accuracy
        self.accuracy_low = accuracy_low
        self.accuracy_high = accuracy_high
        self.margin = margin
        self.margin_low = margin_low
        self.margin_high = margin_high
        self.n = n
        self.overall_accuracy = overall_accuracy
        self.unit = unit
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y, *, groups=None, name=None, **options):
        """Draw how a reward model depends on length, on pairs, best held-out ones.

        Parameters
        ----------
        estimator : fitted reward model
            With ``decision_function``.
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs, as the estimator takes them. Lengths are characters of text; the sum of a row of
            numbers, which is tokens where these are differences of counts.
        y : array-like of shape (n_pairs,)
            Labels of its classes, or probabilities that A is preferred.
        groups : array-like of shape (n_pairs,), default=None
            Prompt of each pair, for the intervals.
        name : str, default=None
            Name of the model; None means the name of its class.
        **options
            Other parameters of :meth:`from_predictions`.

        Returns
        -------
        display : LengthBiasDisplay
        """
        caller = f"{cls.__name__}.from_estimator"
        check_matplotlib(caller)
        label = preference_target(estimator, y, caller)
        pairs = check_text_pairs(X, subject=caller)
        unit = "tokens" if pairs is None else "characters"
        difference = _row_sums(X) if pairs is None else pairs.length_difference()
        return cls.from_predictions(
            label,
            estimator.decision_function(X),
            difference,
            groups=groups,
            name=type(estimator).__name__ if name is None else name,
            **{"unit": unit, **options},
        )

    @classmethod
    def from_predictions(
        cls,
        y_true,
        margin,
        length_difference,
        *,
        groups=None,
        n_bins=6,
        confidence_level=0.95,
        random_state="deprecated",
        unit="characters",
        ax=None,
        name=None,
        quantity="accuracy",
        line_kw=None,
    ):
        """Draw how margins depend on length.

        Parameters
        ----------
        y_true : array-like of shape (n_pairs,)
            Probability that A is preferred. A soft label counts as its majority; ties are left out.
        margin : array-like of shape (n_pairs,)
            Reward margins r(A) - r(B), best cross-fitted.
        length_difference : array-like of shape (n_pairs,)
            Length of A less length of B.
        groups : array-like of shape (n_pairs,), default=None
            Prompt of each pair; None means that pairs are independent.
        n_bins : int, default=6
            Bins of equally many pairs.
        confidence_level : float, default=0.95
            Coverage of the intervals.
        random_state : object
            Has no effect, as intervals are formulas.

            .. deprecated:: 0.2
                Leave it out; it will be removed.
        unit : str, default="characters"
            Unit of length, for the label.
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the model, for the legend.
        quantity : {"accuracy", "margin"}, default="accuracy"
            What to draw.
        line_kw : dict, default=None
            Keywords of the line.

        Returns
        -------
        display : LengthBiasDisplay
        """
        subject = f"{cls.__name__}.from_predictions"
        warn_without_effect(subject, stacklevel=3, random_state=random_state)
        check_matplotlib(subject)
        bins = _bins_by_length(
            check_soft_labels(y_true, name="y_true"),
            margin,
            length_difference,
            groups,
            n_bins=n_bins,
            confidence_level=confidence_level,
        )
        return cls(**bins, unit=unit, name=name).plot(ax, quantity=quantity, line_kw=line_kw)

    def plot(self, ax=None, *, name=None, quantity="accuracy", line_kw=None):
        """Draw accuracy or margin against the difference of lengths.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw, such as ``ax_`` of another model; None means a new figure.
        name : str, default=None
            Name of the model; None means that of ``__init__``.
        quantity : {"accuracy", "margin"}, default="accuracy"
            What to draw.
        line_kw : dict, default=None
            Keywords of the line.

        Returns
        -------
        display : LengthBiasDisplay
        """
        check_option(
            quantity, ("accuracy", "margin"), "quantity", subject=f"{type(self).__name__}.plot"
        )
        ax = check_axes(ax, f"{type(self).__name__}.plot")
        is_accuracy = quantity == "accuracy"
        values, low, high = (
            np.asarray(getattr(self, quantity + end), dtype=np.float64)
            for end in ("", "_low", "_high")
        )
        name = self.name if name is None else name
        if is_accuracy:
            overall = f"all pairs: {self.overall_accuracy:.3f}"
            name = overall if name is None else f"{name}\n({overall})"
        style = merge_style(line_style(ax, marker=True, label=name), line_kw)
        self.errorbar_ = ax.errorbar(
            self.length_difference,
            values,
            yerr=np.maximum([values - low, high - values], 0.0),
            capsize=2,
            **style,
        )
        self.line_ = mark_line(self.errorbar_.lines[0])
        if is_accuracy:
            ax.axhline(self.overall_accuracy, color=style["color"], linewidth=0.8, alpha=0.6)
        ax.axhline(0.5 if is_accuracy else 0.0, color=GREY, linestyle=":")
        ax.axvline(0.0, color=GREY, linewidth=0.8)
        finish(
            ax,
            xlabel=f"Preferred longer by ({self.unit})",
            ylabel="Accuracy" if is_accuracy else "Margin (nats)",
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _row_sums(X):
    """Return the sum (n_pairs,) of each row of a matrix, dense, sparse or a data frame."""
    matrix = check_numbers(X, subject="LengthBiasDisplay")
    return np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()


def _bins_by_length(label, margin, length_difference, groups, *, n_bins, confidence_level):
    """Return what the display holds, from pairs turned so that the preferred response is first."""
    label, margin, length = check_equal_lengths(
        "LengthBiasDisplay", y_true=label, margin=margin, length_difference=length_difference
    )
    decided = label != 0.5
    if not decided.any():
        raise ValueError(f"All {len(label)} pairs are ties: no response is preferred.")
    sign = np.where(label > 0.5, 1.0, -1.0)[decided]
    margin, length = sign * margin[decided], sign * length[decided]
    codes = check_groups(groups, len(label))[0][decided]
    slices = quantile_slices(length, n_bins, name="length")
    table = accuracy_by_slice(
        np.ones(len(margin)),
        margin,
        slices,
        groups=None if groups is None else codes,
        confidence_level=confidence_level,
    )
    masks = [mask for mask in slices.values() if mask.any()]
    rows = [i for i, mask in enumerate(slices.values(), start=1) if mask.any()]
    means = [_mean_and_half_width(margin[m], codes[m], confidence_level) for m in masks]
    mean, half_width = np.array(means).T
    return Bunch(
        length_difference=np.array([np.median(length[mask]) for mask in masks]),
        accuracy=table.accuracy[rows],
        accuracy_low=table.low[rows],
        accuracy_high=table.high[rows],
        margin=mean,
        margin_low=mean - half_width,
        margin_high=mean + half_width,
        n=table.n[rows],
        overall_accuracy=float(table.accuracy[0]),
    )


def _mean_and_half_width(values, codes, confidence_level):
    """Return the mean and half the width of its interval, robust to clusters; NaN for a single."""
    result = GroupedMean(values, np.ones(len(values)), np.unique(codes, return_inverse=True)[1])
    low, high = result.interval(confidence_level)
    return result.mean, (high - low) / 2
