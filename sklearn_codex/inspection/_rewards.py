"""Reward models: calibration of P(A preferred), and the rewards of chosen and rejected."""

import numpy as np

from sklearn_codex._checks.numbers import check_sample_weight, check_values
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex.inspection._pairs_data import preference_target, response_rewards
from sklearn_codex.inspection._plotting import (
    BLUE,
    GREY,
    ORANGE,
    check_axes,
    check_matplotlib,
    finish,
    line_style,
    mark_line,
    merge_style,
)
from sklearn_codex.metrics import reliability_table
from sklearn_codex.metrics._checks import check_probability
from sklearn_codex.metrics._intervals import share_interval


class RewardCalibrationDisplay:
    """Reliability of P(A preferred): predicted against observed, with intervals and bin counts.

    Parameters
    ----------
    predicted, observed : array-like of shape (n_bins,)
        Mean prediction and share of pairs of which A is preferred.
    low, high : array-like of shape (n_bins,)
        Ends of the intervals of ``observed``.
    n : array-like of int of shape (n_bins,)
        Pairs in each bin.
    edges : array-like of shape (n_bins, 2)
        Borders of the bins.
    name : str, default=None
        Name of the model, for the legend.

    Attributes
    ----------
    ax_ : Axes
        Axes with the curve.
    counts_ax_ : Axes or None
        Axes above it, with the pairs of each bin.
    figure_ : Figure
        The figure of the axes.
    line_ : Line2D
        The reliability curve.
    errorbar_ : ErrorbarContainer
        The intervals.
    bars_ : BarContainer or None
        The pairs of each bin.

    See Also
    --------
    sklearn_codex.metrics.reliability_table : The bins as numbers.
    sklearn.calibration.CalibrationDisplay : The curve alone, for hard labels.

    Notes
    -----
    Intervals are those of :func:`sklearn_codex.metrics.win_rate` for the labels of a bin, which
    take pairs as independent.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_codex.inspection import RewardCalibrationDisplay
    >>> display = RewardCalibrationDisplay.from_predictions(
    ...     [0, 0, 1, 0, 1, 1], [0.2, 0.2, 0.2, 0.8, 0.8, 0.8], n_bins=2
    ... )
    >>> display.observed.round(2), display.n
    (array([0.33, 0.67]), array([3, 3]))
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, predicted, observed, low, high, n, edges, name=None):
        self.predicted = predicted
        self.observed = observed
        self.low = low
        self.high = high
        self.n = n
        self.edges = edges
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        n_bins=10,
        strategy="uniform",
        sample_weight=None,
        confidence_level=0.95,
        ax=None,
        name=None,
        show_counts=True,
        line_kw=None,
    ):
        """Draw how well the probabilities of a reward model hold on pairs, best held-out ones.

        Parameters
        ----------
        estimator : fitted classifier of pairs
            With ``predict_proba``.
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, V)
            Pairs, as the estimator takes them.
        y : array-like of shape (n_pairs,)
            Labels of its classes, or probabilities that A is preferred.
        n_bins, strategy
            As in :func:`sklearn_codex.metrics.reliability_table`.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs.
        confidence_level : float, default=0.95
            Coverage of the intervals.
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the model; None means the name of its class.
        show_counts : bool, default=True
            As in :meth:`plot`.
        line_kw : dict, default=None
            Keywords of the curve.

        Returns
        -------
        display : RewardCalibrationDisplay
        """
        caller = f"{cls.__name__}.from_estimator"
        check_matplotlib(caller)
        return cls.from_predictions(
            preference_target(estimator, y, caller),
            estimator.predict_proba(X)[:, 1],
            n_bins=n_bins,
            strategy=strategy,
            sample_weight=sample_weight,
            confidence_level=confidence_level,
            ax=ax,
            name=type(estimator).__name__ if name is None else name,
            show_counts=show_counts,
            line_kw=line_kw,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_prob,
        *,
        n_bins=10,
        strategy="uniform",
        sample_weight=None,
        pos_label=None,
        confidence_level=0.95,
        ax=None,
        name=None,
        show_counts=True,
        line_kw=None,
    ):
        """Draw how well predictions hold.

        Parameters
        ----------
        y_true, y_prob, n_bins, strategy, sample_weight, pos_label
            As in :func:`sklearn_codex.metrics.reliability_table`.
        confidence_level : float, default=0.95
            Coverage of the intervals.
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the model, for the legend.
        show_counts : bool, default=True
            As in :meth:`plot`.
        line_kw : dict, default=None
            Keywords of the curve.

        Returns
        -------
        display : RewardCalibrationDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        table = reliability_table(
            y_true,
            y_prob,
            n_bins=n_bins,
            strategy=strategy,
            sample_weight=sample_weight,
            pos_label=pos_label,
        )
        intervals = _intervals_of_bins(
            table, y_true, y_prob, sample_weight, pos_label, confidence_level=confidence_level
        )
        low, high = np.array(intervals).T
        display = cls(
            predicted=table.predicted,
            observed=table.observed,
            low=low,
            high=high,
            n=table.n,
            edges=np.column_stack([table.low, table.high]),
            name=name,
        )
        return display.plot(ax, show_counts=show_counts, line_kw=line_kw)

    def plot(self, ax=None, *, name=None, show_counts=True, line_kw=None):
        """Draw the curve.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw, such as ``ax_`` of another model; None means a new figure.
        name : str, default=None
            Name of the model; None means that of ``__init__``.
        show_counts : bool, default=True
            Whether to draw the number of pairs of each bin above the axes. Not drawn a second time
            on the same axes.
        line_kw : dict, default=None
            Keywords of the curve.

        Returns
        -------
        display : RewardCalibrationDisplay
        """
        ax = check_axes(ax, f"{type(self).__name__}.plot")
        name = self.name if name is None else name
        if "calibrated" not in ax.get_legend_handles_labels()[1]:
            ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="calibrated")
        style = merge_style(line_style(ax, marker=True, label=name), line_kw)
        predicted, observed = np.asarray(self.predicted), np.asarray(self.observed)
        # An end at 0 or 1 can be off by a rounding error, and a length below 0 is an error.
        lengths = np.maximum([observed - self.low, self.high - observed], 0.0)
        self.errorbar_ = ax.errorbar(predicted, observed, yerr=lengths, capsize=2, **style)
        self.line_ = mark_line(self.errorbar_.lines[0])
        self.counts_ax_ = self.bars_ = None
        if show_counts and not any(child.get_label() == "counts" for child in ax.child_axes):
            self._draw_counts(ax, style["color"])
        finish(
            ax,
            xlabel="Predicted P(A preferred)",
            ylabel="Observed share of A",
            xlim=(-0.03, 1.03),
            ylim=(-0.03, 1.03),
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw_counts(self, ax, color):
        """Draw the pairs of each bin above the axes."""
        above = ax.inset_axes((0, 1.04, 1, 0.16), sharex=ax, label="counts")
        left, right = np.asarray(self.edges, dtype=np.float64).T
        self.bars_ = above.bar(
            left, self.n, width=right - left, align="edge", color=color, alpha=0.5,
            edgecolor="white",
        )  # fmt: skip
        above.tick_params(labelbottom=False, labelsize="x-small")
        above.locator_params(axis="y", nbins=2, integer=True)
        above.set_ylabel("pairs", fontsize="small")
        self.counts_ax_ = above


def _intervals_of_bins(table, y_true, y_prob, sample_weight, pos_label, *, confidence_level):
    """Return the ends (n_bins, 2) of the intervals of the observed shares of a table."""
    label = check_soft_labels(y_true, name="y_true", pos_label=pos_label)
    probability = check_probability(y_prob, len(label))
    weight = check_sample_weight(sample_weight, probability, dtype=np.float64)
    # A pair of weight 0 may lie where no bin is.
    bins = np.searchsorted(table.high, probability)
    return [
        share_interval(label[inside], weight[inside], confidence_level=confidence_level)[1:]
        for inside in (bins == row for row in range(len(table.n)))
    ]


class RewardDistributionDisplay:
    """Rewards of chosen and of rejected responses, as two histograms.

    Rewards of a Bradley-Terry model compare responses to one prompt. That the histograms overlap is
    no fault, if within pairs the chosen is above the rejected; the title says how often it is.
    Vertical lines are at the means.

    Parameters
    ----------
    chosen, rejected : array-like of shape (n_pairs,)
        Rewards of the two responses of each pair.
    name : str, default=None
        Name of the model, for the title.

    Attributes
    ----------
    accuracy_ : float
        Share of pairs whose chosen response has the greater reward, ties half.
    ax_ : Axes
        Axes with the histograms.
    figure_ : Figure
        The figure of the axes.
    histograms_ : list of artist
        Of the chosen and of the rejected.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_codex import PreferenceRewardModel
    >>> from sklearn_codex.inspection import RewardDistributionDisplay
    >>> pairs, y = [("good", "bad"), ("bad", "fine"), ("bad", "good")], [1, 0, 0]
    >>> model = PreferenceRewardModel().fit(pairs, y)
    >>> display = RewardDistributionDisplay.from_estimator(model, pairs, y)
    >>> display.accuracy_
    1.0
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, chosen, rejected, name=None):
        self.chosen = chosen
        self.rejected = rejected
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y, *, bins=30, ax=None, name=None, hist_kw=None):
        """Draw the rewards that a model gives to the responses of pairs.

        Parameters
        ----------
        estimator : fitted reward model
            With ``reward(documents)`` and ``classes_``.
        X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3)
            Pairs of texts.
        y : array-like of shape (n_pairs,)
            Labels of its classes, or probabilities that A is preferred; ties are left out.
        bins : int or sequence, default=30
            As in :meth:`plot`.
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the model, for the title.
        hist_kw : dict, default=None
            Keywords of the histograms.

        Returns
        -------
        display : RewardDistributionDisplay
        """
        caller = f"{cls.__name__}.from_estimator"
        check_matplotlib(caller)
        label = preference_target(estimator, y, caller)
        reward_a, reward_b = response_rewards(estimator, X, caller)
        return cls.from_predictions(
            label, reward_a, reward_b, bins=bins, ax=ax, name=name, hist_kw=hist_kw
        )

    @classmethod
    def from_predictions(
        cls, y_true, reward_a, reward_b, *, bins=30, ax=None, name=None, hist_kw=None
    ):
        """Draw rewards that are known.

        Parameters
        ----------
        y_true : array-like of shape (n_pairs,)
            Probability that A is preferred; ties, 0.5, are left out.
        reward_a, reward_b : array-like of shape (n_pairs,)
            Rewards of the two responses.
        bins : int or sequence, default=30
            As in :meth:`plot`.
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the model, for the title.
        hist_kw : dict, default=None
            Keywords of the histograms.

        Returns
        -------
        display : RewardDistributionDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        label = check_soft_labels(y_true, name="y_true")
        subject = cls.__name__
        rewards = np.column_stack(
            [
                check_values(reward_a, "rewards of A", subject=subject, shape=label.shape),
                check_values(reward_b, "rewards of B", subject=subject, shape=label.shape),
            ]
        )
        decided = label != 0.5
        if not decided.any():
            raise ValueError(f"All {len(label)} pairs are ties: no response was chosen.")
        rewards = np.where((label > 0.5)[:, np.newaxis], rewards, rewards[:, ::-1])[decided]
        display = cls(chosen=rewards[:, 0], rejected=rewards[:, 1], name=name)
        return display.plot(ax, bins=bins, hist_kw=hist_kw)

    def plot(self, ax=None, *, name=None, bins=30, hist_kw=None):
        """Draw both histograms over the same bins.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the model, for the title; None means that of ``__init__``.
        bins : int or sequence, default=30
            Number of bins, or their borders.
        hist_kw : dict, default=None
            Keywords of both histograms.

        Returns
        -------
        display : RewardDistributionDisplay
        """
        ax = check_axes(ax, f"{type(self).__name__}.plot")
        sides = [np.asarray(side, dtype=np.float64) for side in (self.chosen, self.rejected)]
        try:
            edges = np.histogram_bin_edges(np.concatenate(sides), bins)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"{type(self).__name__} needs bins, a number of them or their borders, got "
                f"{bins!r:.60}: {error}"
            ) from None
        styles = (
            {"label": "chosen", "facecolor": BLUE, "alpha": 0.45},
            {"label": "rejected", "facecolor": "none", "edgecolor": ORANGE, "linewidth": 1.5},
        )
        self.histograms_ = [
            ax.hist(side, edges, histtype="stepfilled", **merge_style(style, hist_kw, "Patch"))[2]
            for style, side in zip(styles, sides, strict=True)
        ]
        for side, color, dash in zip(sides, (BLUE, ORANGE), ("-", "--"), strict=True):
            ax.axvline(side.mean(), color=color, linestyle=dash, linewidth=1.2)
        self.accuracy_ = float(np.mean(0.5 + 0.5 * np.sign(sides[0] - sides[1])))
        finish(ax, legend=False, xlabel="Reward (nats of log-odds)", ylabel="Responses")
        # Room for the legend, which has two columns, above the bars.
        ax.set_ylim(0, 1.2 * ax.get_ylim()[1])
        ax.legend(fontsize="small", loc="upper center", ncols=2)
        name = self.name if name is None else name
        title = f"chosen above rejected in {self.accuracy_:.1%} of pairs"
        ax.set_title(title if name is None else f"{name}\n{title}", fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self
