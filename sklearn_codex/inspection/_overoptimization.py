"""Proxy and gold reward against the KL: where the learned reward stops being the true one."""

import reprlib
from collections.abc import Mapping

import numpy as np

from sklearn_codex._checks.options import check_option
from sklearn_codex.inspection._plotting import (
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    check_axes,
    check_equal_lengths,
    check_matplotlib,
    count_marked,
    finish,
    mark_line,
    merge_style,
)
from sklearn_codex.inspection._training_curves import history_arrays

# Proxy and gold of the first display on the axes, and of the next.
_COLORS = ((ORANGE, BLUE), (PINK, GREEN))


class OveroptimizationDisplay:
    """Proxy and gold reward against the KL, with the peak of the gold reward.

    The *proxy* is what is optimised, the *gold* reward what is meant. Both are drawn as the gain
    over the first point, since a reward learned from comparisons knows no constant.

    Parameters
    ----------
    kl : array-like of shape (n_points,)
        KL(policy || reference) of a document, in nats; the first point is the reference, or near.
    proxy_reward : array-like of shape (n_points,)
        Expected proxy reward of a document.
    gold_reward : array-like of shape (n_points,)
        Expected gold reward of a document.
    gold_interval : array-like of shape (2, n_points), default=None
        Lower and upper ends of intervals of the gold reward; NaN where there is none.
    peak_kl : float, default=None
        KL at which the gold reward is greatest; None means that of the best point.
    name : str, default=None
        Name of the proxy, for the legend.

    Attributes
    ----------
    ax_ : Axes
        Axes with the curves.
    figure_ : Figure
        The figure of the axes.
    lines_ : list of Line2D
        Proxy and gold.
    peak_line_ : Line2D or None
        At the peak of the gold reward; None where it never falls.
    fill_between_ : artist or None
        The intervals.

    See Also
    --------
    sklearn_codex.overoptimization : The curves along the exact frontier, or along training.
    FrontierDisplay : The best reward at each KL.

    References
    ----------
    .. [1] Gao, L., Schulman, J. and Hilton, J. (2023). "Scaling laws for reward model
       overoptimization." ICML. arXiv:2210.10760.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_codex.inspection import OveroptimizationDisplay
    >>> display = OveroptimizationDisplay(
    ...     kl=[0.0, 1.0, 2.0], proxy_reward=[0.0, 1.0, 1.5], gold_reward=[0.0, 0.8, 0.3]
    ... ).plot()
    >>> display.peak_line_.get_label()
    'gold peaks at 1 nats'
    >>> plt.close(display.figure_)
    """

    def __init__(
        self, *, kl, proxy_reward, gold_reward, gold_interval=None, peak_kl=None, name=None
    ):
        self.kl = kl
        self.proxy_reward = proxy_reward
        self.gold_reward = gold_reward
        self.gold_interval = gold_interval
        self.peak_kl = peak_kl
        self.name = name

    @classmethod
    def from_curve(cls, curve, *, ax=None, name=None, kl_scale="linear", line_kw=None):
        """Draw a curve of :mod:`sklearn_codex.overoptimization`.

        Parameters
        ----------
        curve : Bunch
            With ``kl``, ``proxy_reward`` and ``gold_reward``, and perhaps ``peak`` and
            ``bootstrap``, as from ``overoptimization_curve`` or ``training_curve``.
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the proxy, for the legend.
        kl_scale : {"linear", "sqrt"}, default="linear"
            Scale of the KL axis.
        line_kw : dict, default=None
            Keywords of the lines.

        Returns
        -------
        display : OveroptimizationDisplay
        """
        needed = {"kl", "proxy_reward", "gold_reward"}
        if not isinstance(curve, Mapping) or not needed <= set(curve):
            raise ValueError(
                f"{cls.__name__}.from_curve needs a curve with {', '.join(sorted(needed))}, as "
                "overoptimization_curve or training_curve returns, got a "
                f"{type(curve).__name__}: {reprlib.repr(curve)}."
            )
        bootstrap, peak = (
            part if isinstance(part, Mapping) and key in part else None
            for part, key in ((curve.get("bootstrap"), "gold_interval"), (curve.get("peak"), "kl"))
        )
        display = cls(
            kl=curve["kl"],
            proxy_reward=curve["proxy_reward"],
            gold_reward=curve["gold_reward"],
            gold_interval=None if bootstrap is None else bootstrap["gold_interval"],
            peak_kl=None if peak is None else peak["kl"],
            name=name,
        )
        return display.plot(ax, kl_scale=kl_scale, line_kw=line_kw)

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, name=None, kl_scale="linear", line_kw=None):
        """Draw the training of a policy optimizer that was given a ``gold_reward``.

        Parameters
        ----------
        estimator : fitted policy optimizer
            With ``gold/score`` in ``history_``; its reward is the proxy.
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the proxy, for the legend.
        kl_scale : {"linear", "sqrt"}, default="linear"
            Scale of the KL axis.
        line_kw : dict, default=None
            Keywords of the lines.

        Returns
        -------
        display : OveroptimizationDisplay

        Raises
        ------
        ValueError
            If no gold reward was recorded.
        """
        caller = f"{cls.__name__}.from_estimator"
        check_matplotlib(caller)
        values = history_arrays(estimator, caller)
        if "gold/score" not in values:
            raise ValueError(
                f"{caller} needs 'gold/score' in history_. Fit the {type(estimator).__name__} with "
                "gold_reward=..., the reward that is meant."
            )
        display = cls(
            kl=values["objective/kl_exact"],
            proxy_reward=values["objective/expected_reward"],
            gold_reward=values["gold/score"],
            name=name,
        )
        return display.plot(ax, kl_scale=kl_scale, line_kw=line_kw)

    def plot(self, ax=None, *, name=None, kl_scale="linear", line_kw=None, fill_between_kw=None):
        """Draw both rewards.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the proxy; None means that of ``__init__``.
        kl_scale : {"linear", "sqrt"}, default="linear"
            Scale of the KL axis: near the reference the proxy rises with the root of the KL.
        line_kw : dict, default=None
            Keywords of both lines.
        fill_between_kw : dict, default=None
            Keywords of the band of intervals.

        Returns
        -------
        display : OveroptimizationDisplay
        """
        check_option(
            kl_scale, ("linear", "sqrt"), "kl_scale", subject=f"{type(self).__name__}.plot"
        )
        ax = check_axes(ax, f"{type(self).__name__}.plot")
        kl, proxy, gold = check_equal_lengths(
            type(self).__name__,
            kl=self.kl,
            proxy_reward=self.proxy_reward,
            gold_reward=self.gold_reward,
        )
        name = self.name if name is None else name
        suffix = "" if name is None else f" ({name})"
        colors = _COLORS[count_marked(ax) // 2 % len(_COLORS)]
        styles = (
            {"color": colors[0], "linestyle": "--", "label": f"proxy, optimised{suffix}"},
            {"color": colors[1], "linestyle": "-", "label": f"gold, meant{suffix}"},
        )
        self.lines_ = [
            mark_line(ax.plot(kl, reward - reward[0], **merge_style(style, line_kw))[0])
            for style, reward in zip(styles, (proxy, gold), strict=True)
        ]
        self.fill_between_ = None
        if self.gold_interval is not None:
            low, high = np.asarray(self.gold_interval, dtype=np.float64) - gold[0]
            style = {"color": colors[1], "alpha": 0.2, "linewidth": 0, **(fill_between_kw or {})}
            self.fill_between_ = ax.fill_between(kl, low, high, **style)
        self.peak_line_ = self._mark_peak(ax, kl, gold, colors[1])
        if kl_scale == "sqrt":
            _root_scale(ax, kl.max())
        finish(
            ax,
            xlabel="KL to the reference (nats per document)",
            ylabel="Gain in expected reward\n(per document)",
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _mark_peak(self, ax, kl, gold, color):
        """Draw a vertical line where the gold reward is greatest, if it falls after that."""
        best = int(np.argmax(gold))
        peak_kl = kl[best] if self.peak_kl is None else self.peak_kl
        if not gold[best] > gold[-1]:
            return None
        label = f"gold peaks at {peak_kl:.3g} nats"
        return ax.axvline(peak_kl, color=color, linestyle=":", label=label)


def _root_scale(ax, largest):
    """Give the axis of the KL a square-root scale from 0, with few ticks at round numbers."""
    from matplotlib.ticker import MaxNLocator

    ax.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    ax.set_xlim(0, 1.04 * largest)
    # Evenly spaced on the scale, so crowded nowhere.
    ticks = np.square(MaxNLocator(5).tick_values(0, np.sqrt(largest)))
    ax.set_xticks([tick for tick in ticks if tick <= largest])
