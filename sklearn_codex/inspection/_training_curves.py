"""Training curves: any quantity of ``history_`` against the iteration."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_codex.inspection._plotting import (
    check_axes,
    check_matplotlib,
    finish,
    line_style,
    mark_line,
    merge_style,
)

# Label, unit, and whether the quantity falls by orders of magnitude.
_QUANTITIES = {
    "objective/expected_reward": ("Expected reward", "per document", False),
    "objective/kl_exact": ("KL to reference", "nats per document", False),
    "objective/optimality_gap": ("Gap to optimum", "J* less J", True),
    "policy/clipfrac_avg": ("Clip fraction", "share of tokens", False),
    "objective/value": ("Objective J", "per document", False),
    "objective/entropy_exact": ("Entropy", "nats per document", False),
    "objective/kl": ("KL, sampled", "nats per document", False),
    "objective/kl_coef": ("KL coefficient", "per nat", False),
    "objective/length": ("Length", "tokens", False),
    "objective/penalty": ("Rule penalty", "nats per document", False),
    "objective/scores": ("Reward, sampled", "per document", False),
    "objective/sft_loss": ("SFT loss", "nats per token", False),
    "policy/approxkl_avg": ("KL of a step", "nats per document", False),
    "policy/entropy_avg": ("Entropy", "nats per token", False),
    "gold/score": ("Gold reward", "per document", False),
    "eval/score": ("Held-out score", "nats per token", False),
    "loss": ("Loss", "nats per pair", False),
    "accuracy": ("Accuracy", "share of pairs", False),
    "margin": ("Margin", "nats", False),
    "gradient_norm": ("Gradient norm", "relative", True),
}
_DEFAULT_KEYS = (
    "objective/expected_reward",
    "objective/kl_exact",
    "objective/optimality_gap",
    "policy/clipfrac_avg",
    "loss",
    "accuracy",
    "gradient_norm",
)


def history_arrays(estimator, subject):
    """Return the quantities of ``history_`` as arrays (n_records,), NaN where not recorded."""
    if not hasattr(estimator, "history_"):
        check_is_fitted(estimator)
        raise ValueError(
            f"{subject} needs an estimator with history_, got a {type(estimator).__name__}. Of a "
            "pipeline or a search, pass the stage that was trained, such as pipeline['policy']."
        )
    keys = dict.fromkeys(key for record in estimator.history_ for key in record)
    return {
        key: np.array([record.get(key, np.nan) for record in estimator.history_], dtype=np.float64)
        for key in keys
    }


class TrainingCurveDisplay:
    """Training curves: one panel for each quantity that a fit recorded.

    Quantities that fall by orders of magnitude, as the gap to the optimum, have a logarithmic axis.
    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    iteration : array-like of shape (n_records,)
        Updates so far.
    values : mapping of str to array-like of shape (n_records,)
        Quantities by their key in ``history_``; NaN where an iteration has none.
    name : str, default=None
        Name of the run, for the legend.

    Attributes
    ----------
    axes_ : ndarray of Axes of shape (n_keys,)
        One for each quantity.
    ax_ : Axes
        The first of them.
    figure_ : Figure
        The figure of the axes.
    lines_ : ndarray of Line2D of shape (n_keys,)
        The curves.

    See Also
    --------
    OveroptimizationDisplay : Proxy and gold reward against the KL.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_codex import PPOPolicyOptimizer
    >>> from sklearn_codex.inspection import TrainingCurveDisplay
    >>> policy = PPOPolicyOptimizer(random_state=0).fit(["good bad", "good good"], [0.0, 1.0])
    >>> display = TrainingCurveDisplay.from_estimator(policy, name="PPO")
    >>> [ax.get_ylabel().splitlines()[0] for ax in display.axes_]
    ['Expected reward', 'KL to reference', 'Gap to optimum', 'Clip fraction']
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, iteration, values, name=None):
        self.iteration = iteration
        self.values = values
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, keys=None, ax=None, name=None, line_kw=None):
        """Draw what an estimator recorded in ``history_``.

        Parameters
        ----------
        estimator : fitted estimator
            A policy optimizer, reward model or other estimator with ``history_``.
        keys : str or list of str, default=None
            Quantities to draw; None means expected reward, KL, gap to the optimum and clip
            fraction, or loss, accuracy and gradient norm, as far as they were recorded.
        ax : Axes or list of Axes, default=None
            Where to draw, one for each key; None means a new figure.
        name : str, default=None
            Name of the run, for the legend; None means the name of the class.
        line_kw : dict, default=None
            Keywords of the lines.

        Returns
        -------
        display : TrainingCurveDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        values = history_arrays(estimator, f"{cls.__name__}.from_estimator")
        iteration = values.pop("iteration", np.arange(len(estimator.history_), dtype=np.float64))
        name = type(estimator).__name__ if name is None else name
        display = cls(iteration=iteration, values=values, name=name)
        return display.plot(ax, keys=keys, line_kw=line_kw)

    def plot(self, ax=None, *, keys=None, name=None, line_kw=None):
        """Draw the curves.

        Parameters
        ----------
        ax : Axes or list of Axes, default=None
            Where to draw, one for each key, such as ``axes_`` of another run; None means a new
            figure with one panel below the other.
        keys : str or list of str, default=None
            Quantities to draw; None as in :meth:`from_estimator`.
        name : str, default=None
            Name of the run; None means that of ``__init__``.
        line_kw : dict, default=None
            Keywords of the lines.

        Returns
        -------
        display : TrainingCurveDisplay

        Raises
        ------
        ValueError
            If a key was not recorded, or there is not one Axes for each.
        """
        keys = self._check_keys(keys)
        self.axes_ = _check_panels(ax, len(keys), f"{type(self).__name__}.plot")
        name = self.name if name is None else name
        lines = [
            self._draw(panel, key, name, line_kw)
            for panel, key in zip(self.axes_, keys, strict=True)
        ]
        self.lines_ = np.array(lines, dtype=object)
        for panel in self.axes_:
            shares = len(panel.get_shared_x_axes().get_siblings(panel)) > 1
            if panel is self.axes_[-1] or not shares:
                panel.set_xlabel("Iteration")
                _count_in_whole_numbers(panel.xaxis)
        if name is not None:
            self.axes_[0].legend(fontsize="small")
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        return self

    def _check_keys(self, keys):
        if isinstance(keys, str):
            keys = [keys]
        if keys is None:
            keys = [key for key in _DEFAULT_KEYS if key in self.values] or list(self.values)
        if not isinstance(keys, (list, tuple)) or not all(isinstance(key, str) for key in keys):
            raise TypeError(
                f"{type(self).__name__} needs keys, a list of str, got a {type(keys).__name__}: "
                f"{keys!r:.60}."
            )
        unknown = [key for key in keys if key not in self.values]
        if unknown or not keys:
            raise ValueError(
                f"{type(self).__name__} cannot draw keys={unknown}: recorded are "
                f"{list(self.values)}."
            )
        return keys

    def _draw(self, ax, key, name, line_kw):
        label, unit, is_log = _QUANTITIES.get(key, (key, None, False))
        values = np.asarray(self.values[key], dtype=np.float64)
        if is_log:
            values = np.where(values > 0, values, np.nan)
        style = merge_style(line_style(ax, label=name), line_kw)
        (line,) = ax.plot(self.iteration, values, **style)
        if is_log and np.isfinite(values).any():
            ax.set_yscale("log")
        finish(ax, legend=False, ylabel=label if unit is None else f"{label}\n({unit})")
        return mark_line(line)


def _count_in_whole_numbers(axis):
    """Let an axis have no tick between two iterations, unless the user chose the ticks."""
    from matplotlib.ticker import MaxNLocator

    locator = axis.get_major_locator()
    if isinstance(locator, MaxNLocator):
        locator.set_params(integer=True)


def _check_panels(ax, n_panels, caller):
    """Return axes (n_panels,), those given or those of a new figure."""
    check_matplotlib(caller)
    if ax is None:
        import matplotlib.pyplot as plt

        if n_panels == 1:
            return np.array([check_axes(None, caller)], dtype=object)
        size = (plt.rcParams["figure.figsize"][0], 0.6 + 1.4 * n_panels)
        grid = plt.subplots(
            n_panels, sharex=True, squeeze=False, figsize=size, layout="constrained"
        )[1]
        grid[0, 0].figure.align_ylabels()
        return grid[:, 0]
    panels = np.ravel(np.array(ax, dtype=object))
    if len(panels) != n_panels:
        raise ValueError(f"{caller} needs one Axes for each of {n_panels} keys, got {len(panels)}.")
    return panels
