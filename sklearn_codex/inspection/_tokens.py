"""Tokens that rose and fell."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.numbers import COUNT, as_floats, check_number
from sklearn_codex._checks.options import check_option
from sklearn_codex._data.vectorizers import token_names
from sklearn_codex.inspection._plotting import (
    BLUE,
    GREY,
    ORANGE,
    check_axes,
    check_matplotlib,
    finish,
    merge_style,
)

_LONGEST_NAME = 20


class TokenShiftDisplay:
    """Tokens whose probability rose and fell most, as bars.

    Parameters
    ----------
    tokens : array-like of shape (n_tokens,)
        Names of tokens, or columns; those that rose most first, those that fell most last.
    change : array-like of shape (n_tokens,)
        Change of the probability.
    log_ratio : array-like of shape (n_tokens,)
        log(policy / reference), in nats; -inf where the token is gone.
    name : str, default=None
        Name of the policy, for the title.

    Attributes
    ----------
    ax_ : Axes
        Axes with the bars.
    figure_ : Figure
        The figure of the axes.
    bars_ : BarContainer
        One bar a token, the first on top.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_codex import PPOPolicyOptimizer
    >>> from sklearn_codex.inspection import TokenShiftDisplay
    >>> policy = PPOPolicyOptimizer(random_state=0).fit(["good bad", "good good"], [0.0, 1.0])
    >>> display = TokenShiftDisplay.from_estimator(policy, n=1)
    >>> display.tokens.tolist()
    ['good', 'bad']
    >>> plt.close(display.figure_)
    """

    _change_label = "Change of probability\n(percentage points)"

    def __init__(self, *, tokens, change, log_ratio, name=None):
        self.tokens = tokens
        self.change = change
        self.log_ratio = log_ratio
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, n=10, ax=None, name=None, quantity="change", bar_kw=None):
        """Draw how a policy optimizer moved the tokens.

        Parameters
        ----------
        estimator : fitted policy optimizer
            Of policies of n-grams, bars are of what :meth:`PPOPolicyOptimizer.token_shift` counts:
            the tokens of a document that are expected to be drawn by each n-gram.
        n : int, default=10
            At most this many of each kind.
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the policy, for the title.
        quantity : {"change", "log_ratio"}, default="change"
            What the bars show, see :meth:`plot`.
        bar_kw : dict, default=None
            Keywords of the bars.

        Returns
        -------
        display : TokenShiftDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        if not hasattr(estimator, "reference_log_prob_"):
            raise TypeError(
                f"{cls.__name__}.from_estimator needs a fitted policy optimizer, got a "
                f"{type(estimator).__name__}. Of other models, use from_predictions."
            )
        if hasattr(estimator, "backoff_model_"):
            shift = estimator.token_shift(n)
            rows = [*shift.risen, *reversed(shift.fallen)]
            names, log_ratio, change = zip(*rows, strict=True) if rows else ((), (), ())
            display = cls(
                tokens=np.array(names),
                change=np.array(change),
                log_ratio=np.array(log_ratio),
                name=name,
            )
            display._change_label = "Change of expected tokens\n(per 100 documents)"
            return display.plot(ax, quantity=quantity, bar_kw=bar_kw)
        return cls.from_predictions(
            estimator.reference_log_prob_,
            estimator.token_log_prob_,
            tokens=token_names(estimator),
            n=n,
            ax=ax,
            name=name,
            quantity=quantity,
            bar_kw=bar_kw,
        )

    @classmethod
    def from_predictions(
        cls,
        reference_log_prob,
        token_log_prob,
        *,
        tokens=None,
        n=10,
        ax=None,
        name=None,
        quantity="change",
        bar_kw=None,
    ):
        """Draw the difference of two models over one vocabulary.

        Parameters
        ----------
        reference_log_prob : array-like of shape (V,)
            Log-probabilities of the model before.
        token_log_prob : array-like of shape (V,)
            Log-probabilities of the model after.
        tokens : array-like of shape (V,), default=None
            Names of tokens; None means their columns.
        n : int, default=10
            At most this many that rose, and as many that fell.
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the model after, for the title.
        quantity : {"change", "log_ratio"}, default="change"
            What the bars show, see :meth:`plot`.
        bar_kw : dict, default=None
            Keywords of the bars.

        Returns
        -------
        display : TokenShiftDisplay
        """
        check_matplotlib(f"{cls.__name__}.from_predictions")
        shift = _largest_shifts(reference_log_prob, token_log_prob, tokens, n)
        return cls(**shift, name=name).plot(ax, quantity=quantity, bar_kw=bar_kw)

    def plot(self, ax=None, *, name=None, quantity="change", bar_kw=None):
        """Draw one bar a token, those that rose on top.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw; None means a new figure, as high as the tokens need.
        name : str, default=None
            Name of the policy, for the title; None means that of ``__init__``.
        quantity : {"change", "log_ratio"}, default="change"
            "change" draws the change of the probability in percentage points, in which common
            tokens count most; "log_ratio" the logarithm of the ratio, in nats. A token that is gone
            has a hatched bar, as long as the longest.
        bar_kw : dict, default=None
            Keywords of the bars.

        Returns
        -------
        display : TokenShiftDisplay
        """
        check_option(
            quantity, ("change", "log_ratio"), "quantity", subject=f"{type(self).__name__}.plot"
        )
        n_tokens = len(self.tokens)
        ax = check_axes(ax, f"{type(self).__name__}.plot", height=1.0 + 0.22 * max(n_tokens, 4))
        change = np.asarray(self.change, dtype=np.float64)
        values = 100.0 * change if quantity == "change" else np.asarray(self.log_ratio, dtype=float)
        gone = np.isinf(values)
        longest = float(np.abs(values[~gone]).max(initial=0.0)) or 1.0
        values = np.where(gone, np.sign(change) * longest, values)
        style = {"color": np.where(change > 0, BLUE, ORANGE).tolist(), "height": 0.7}
        self.bars_ = ax.barh(
            np.arange(n_tokens), values, **{**style, **merge_style({}, bar_kw, "Patch")}
        )
        for position in np.flatnonzero(gone):
            self.bars_[position].set(hatch="////", fill=False, edgecolor=ORANGE)
            ax.text(
                values[position] / 2, position, "gone", ha="center", va="center",
                fontsize="x-small", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )  # fmt: skip
        ax.set_yticks(np.arange(n_tokens), [_shorten(token) for token in self.tokens])
        for label in ax.get_yticklabels():
            label.set(parse_math=False, fontsize="small")
        ax.set_ylim(n_tokens - 0.4, -0.6)
        ax.axvline(0, color=GREY, linewidth=0.8)
        labels = {
            "change": self._change_label,
            "log_ratio": "log(policy / reference)\n(nats)",
        }
        finish(ax, legend=False, xlabel=labels[quantity])
        ax.grid(visible=False, axis="y")
        name = self.name if name is None else name
        if name is not None:
            ax.set_title(name, fontsize="medium")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _largest_shifts(reference_log_prob, token_log_prob, tokens, n):
    """Return names, changes and log-ratios of the tokens that rose and fell most."""
    before = as_floats(reference_log_prob, "reference_log_prob", subject="TokenShiftDisplay")
    after = as_floats(token_log_prob, "token_log_prob", subject="TokenShiftDisplay")
    if before.shape != after.shape or before.ndim != 1:
        raise ValueError(
            "TokenShiftDisplay needs two models over one vocabulary, got log-probabilities of "
            f"shapes {before.shape} and {after.shape}."
        )
    n = check_number(n, "n", subject="TokenShiftDisplay", interval=COUNT)
    if tokens is not None and np.shape(tokens) != before.shape:
        raise ValueError(
            f"TokenShiftDisplay needs tokens, one name for each of {len(before)} columns, got "
            f"shape {np.shape(tokens)}."
        )
    change = np.exp(after) - np.exp(before)
    order = np.argsort(-change, kind="stable")
    risen = [column for column in order[:n] if change[column] > 0]
    fallen = [column for column in order[max(0, len(order) - n) :] if change[column] < 0]
    kept = np.array([*risen, *fallen], dtype=np.intp)
    names = np.arange(len(before)) if tokens is None else np.asarray(tokens)
    return {
        "tokens": names[kept],
        "change": change[kept],
        "log_ratio": after[kept] - before[kept],
    }


def _shorten(token):
    """Return a name as it can be printed on an axis: on one line, visible, not too long."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(token)) or "''"
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"
