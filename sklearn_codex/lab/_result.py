"""The result of a check: a table, a picture, and what tests assert."""

from dataclasses import dataclass
from html import escape
from numbers import Real
from textwrap import fill
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_number
from sklearn_codex._plain import show_controls
from sklearn_codex.lab._preferences import PreferenceProblem

TOLERANCE = 1e-3
# Up to which share of a gradient from drawn batches chance may hide a fault.
_TOO_MUCH_CHANCE = 0.1
# How much greater an error has to be than what chance may hide, as chance may be against it.
_APART = 1.5
# Letters of labels that go beside each other in a picture.
_MOST_LETTERS = 56
# Letters in a line of its title.
_LINE = 60
_NAN = float("nan")
_VAST = 1e9
_BELOW_ONE = Interval(Real, 0, 1, closed="neither")


@dataclass(frozen=True)
class Setting:
    """What an update does at one group size, learning rate and number of epochs.

    Attributes
    ----------
    group_size, epochs : int
    learning_rate : float
    gradient_error : float
        Sine of the angle between the expected move and the exact gradient, 0 to 1; nan where there
        is no exact one, as for preferences.
    gradient_error_se : float
        Its standard error; 0 where all batches were listed.
    gradient_error_limit : float
        What chance alone exceeds in one of a thousand cases, by the covariance of the move; 0 where
        all batches were listed. A fault that is smaller stays unseen.
    half_kl_error : float
        What ``gradient_error`` would be with half the KL; nan where all batches were listed.
    noise : float
        Variance of the move of one batch at the reference, over the squared expected move.
    clipped : float
        Share of the tokens drawn from the reference that have lost their gradient by the last
        epoch.
    on_padding : float
        Share of the gradient that is at padding, at the reference; it should be 0.
    untrained : float
        Share of the tokens that are not sure which have no gradient in any batch, at any of several
        policies, or in any whose longest response has some length, though others of their response
        have one there. Of the first setting, and 0 where batches were drawn, a ``target`` was given
        or new policies are returned.
    is_inside : bool
        Whether it rests at a policy that leaves every response possible.
    is_found : bool
        Whether it came to rest at all.
    distance : float
        Total variation between where it rests and where it should, 0 to 1; nan where not sought.
    tilt_error : float
        Greatest error of a log-ratio to the reference where it rests, over the greatest that it
        should have; among responses of a prompt that should be there, against its most probable
        one.
    kl_coef : float
        Effective weight of the KL where it rests; nan where rewards are a line in the lengths, as
        of two responses of unequal lengths.
    length_bias : float
        What a token more adds to the log-probability there, in nats, because of the length alone;
        nan likewise.
    rare_response : float
        Log-probability of the response that is rarest in the reference, less what it should be, in
        nats.
    spectral_radius : float
        Of one expected step at the rest point; infinite where the update jumps there, nan where it
        is rounded.
    rounding : float
        How far the expected force on a logit, its move per probability, is from what it would be
        with more digits, over the greatest at the start; 0 where it does not show at the rest. Many
        jumps close to each other, as of ratios at their clips, look like it.
    """

    group_size: int
    learning_rate: float
    epochs: int
    gradient_error: float = _NAN
    gradient_error_se: float = _NAN
    gradient_error_limit: float = _NAN
    half_kl_error: float = _NAN
    noise: float = _NAN
    clipped: float = _NAN
    on_padding: float = 0.0
    untrained: float = 0.0
    is_inside: bool = False
    is_found: bool = False
    distance: float = _NAN
    tilt_error: float = _NAN
    kl_coef: float = _NAN
    length_bias: float = _NAN
    rare_response: float = _NAN
    spectral_radius: float = _NAN
    rounding: float = 0.0


# Heading, attribute, format.
_COLUMNS = (
    ("group", "group_size", "d"),
    ("rate", "learning_rate", "g"),
    ("epochs", "epochs", "d"),
    ("distance", "distance", ".4f"),
    ("gradient", "gradient_error", ".4f"),
    ("kl_coef", "kl_coef", ".3f"),
    ("nats/token", "length_bias", "+.3f"),
    ("rare", "rare_response", "+.3f"),
    ("tilt", "tilt_error", ".4f"),
    ("radius", "spectral_radius", ".3f"),
    ("noise", "noise", ".1f"),
    ("clipped", "clipped", ".0%"),
)


def _cells(setting: Setting, columns: Any) -> list[str]:
    values = [(getattr(setting, name), form) for _, name, form in columns]
    # What is vast is shown by its power of ten.
    return [
        "-" if np.isnan(value) else format(value, form if abs(value) < _VAST else ".3g")
        for value, form in values
    ]


@dataclass(frozen=True, eq=False)
class AlgorithmCheck:
    """What an algorithm does on a problem, see :func:`check_algorithm`.

    The measures of the first setting are attributes of this, too.

    Attributes
    ----------
    problem : CandidateProblem or PreferenceProblem
    target : ndarray of shape (n_rows,)
        Log-probabilities at which it should rest.
    log_prob : ndarray of shape (n_rows,) or None
        Log-probabilities at which it rests, or to which it ran; None where batches were drawn.
    settings : tuple of Setting
        The setting asked for, then others.
    algorithm : str
        What it is called: its name in ``algorithms``, or of the function.
    """

    problem: Any
    target: FloatArray
    log_prob: FloatArray | None
    settings: tuple[Setting, ...]
    algorithm: str = "update"

    def __getattr__(self, name: str) -> Any:
        if name in Setting.__dataclass_fields__:
            return getattr(self.settings[0], name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def passed(self) -> bool:
        """Whether it rests where it should: a ``distance`` and a ``tilt_error`` of 0.001 at most.

        And whether padding has no more of the gradient than that, and each token that is not sure
        has some, unless the gradient is the exact one. Where batches were drawn, whether the
        expected gradient may be the exact one, and chance hides no more than a tenth of it, nor
        that half the KL is missing.
        """
        return self._is_right(TOLERANCE)

    def _is_right(self, tol: float, *, gradient: bool = False) -> bool:
        is_exact = gradient or self.untrained > 0
        if self.on_padding > tol or (is_exact and not self._may_be_right(tol)):
            return False
        if self.log_prob is None:
            return not self._cannot_tell(tol) and self._may_be_right(tol)
        return bool(self.is_found and self.distance <= tol and self.tilt_error <= tol)

    def _may_be_right(self, tol: float) -> bool:
        return bool(self.gradient_error <= tol + self.gradient_error_limit)

    def _cannot_tell(self, tol: float) -> bool:
        """Whether a fault that would matter could be chance."""
        too_much = max(tol, min(_TOO_MUCH_CHANCE, (self.half_kl_error - tol) / _APART))
        return self._may_be_right(tol) and bool(self.gradient_error_limit > too_much)

    @property
    def verdict(self) -> str:
        """One sentence that says how it went."""
        if self.log_prob is None:
            return self._verdict_of_gradient()
        words = self._verdict_of_rest()
        if self.on_padding > TOLERANCE:
            words += f" Padding is trained: it has {self.on_padding:.3f} of the gradient."
        if self.untrained > 0 and not self._may_be_right(TOLERANCE):
            words += (
                f" But tokens are left out: {self.untrained:.0%} of those that are not sure never "
                "have a gradient, be it in all batches or in those whose longest response has one "
                "length."
            )
        if self.rounding > 0:
            words += (
                f" It is rounded, by about {self.rounding:.1g} of its greatest force, or jumps "
                "by that all about, as at clips, which moves where it rests: compute it in "
                "float64 to see which."
            )
        if self.passed and self.spectral_radius > 1:
            leaves = f"steps of this size leave it: its radius is {self.spectral_radius:.3g}."
            jumps = "it jumps there, so that a run hovers."
            words += f" But {leaves if np.isfinite(self.spectral_radius) else jumps}"
        return words

    def _verdict_of_gradient(self) -> str:
        right = "may be right" if self._may_be_right(TOLERANCE) else "is not the exact one"
        words = (
            f"Its expected gradient {right}: {self.gradient_error:.4f} of it points elsewhere, "
            f"standard error {self.gradient_error_se:.4f}. Up to {self.gradient_error_limit:.4f} "
            "may be chance."
        )
        if self._cannot_tell(TOLERANCE):
            words = (
                "These batches cannot tell whether its expected gradient is right: chance alone "
                f"may be up to {self.gradient_error_limit:.3f} of it, and half the KL would be "
                f"{self.half_kl_error:.3f}. Draw more, by n_samples."
            )
        return words

    def _verdict_of_rest(self) -> str:
        best = self.problem.objective.optimum()
        is_optimum = np.allclose(np.exp(self.target), np.exp(best))
        is_right = self.is_found and max(self.distance, self.tilt_error) <= TOLERANCE
        if is_right and is_optimum and self.gradient_error > TOLERANCE:
            return (
                f"It rests where it should, by a way of its own: {self.gradient_error:.3f} of the "
                "gradient points elsewhere."
            )
        if is_right:
            return "It rests where it should."
        if not self.is_found:
            return f"It came to no rest, and was {self.distance:.3f} off in the end."
        if not self.is_inside:
            return (
                f"It does not rest where it should, but loses responses: {self.distance:.3f} off."
            )
        if self.distance <= TOLERANCE:
            return (
                f"It rests elsewhere: log-ratios to the reference are {self.tilt_error:.3f} off, "
                "of the greatest there should be."
            )
        return f"It rests elsewhere: {self.distance:.3f} of the probability is on other responses."

    def assert_unbiased(self, tol: float = TOLERANCE, *, gradient: bool = False) -> None:
        """Raise AssertionError unless it rests where it should.

        Parameters
        ----------
        tol : float, default=1e-3
            ``distance`` and ``tilt_error`` that are allowed, above 0 and below 1. Where batches
            were drawn, the share of the gradient that may point elsewhere, beyond
            ``gradient_error_limit``.
        gradient : bool, default=False
            Whether the expected gradient should be the exact one as well, with a ``gradient_error``
            of ``tol`` at most. What scales advantages rests where it should and fails then.

        Raises
        ------
        AssertionError
            With the whole table; also where the batches drawn cannot tell.
        ValueError
            If ``tol`` is out of range.
        """
        tol = check_number(tol, "tol", subject="assert_unbiased", interval=_BELOW_ONE)
        if gradient and np.isnan(self.gradient_error):
            raise ValueError(
                "assert_unbiased needs gradient=False on preferences, got True: no exact gradient "
                "is known there."
            )
        if not self._is_right(tol, gradient=gradient):
            is_open = self.log_prob is None and self._cannot_tell(tol)
            verdict = "may be biased, which these batches cannot tell" if is_open else "is biased"
            raise AssertionError(f"The update {verdict} (tol={tol:g}).\n{self}")

    def _responses(self) -> tuple[list[str], list[list[str]]]:
        """Return headings and rows of the table of responses."""
        problem = self.problem
        rested = np.full(len(self.target), np.nan) if self.log_prob is None else self.log_prob
        columns = {
            "prompt": [str(x) for x in problem.prompts],
            "tokens": [str(x) for x in problem.lengths],
            "reward": [f"{x:+.3f}" for x in problem.objective.token_reward],
            "reference": [f"{x:.4f}" for x in np.exp(problem.reference)],
            "rests at": ["-" if np.isnan(x) else f"{np.exp(x):.4f}" for x in rested],
            "should be": [f"{x:.4f}" for x in np.exp(self.target)],
        }
        return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]

    def _settings(self) -> tuple[list[str], list[list[str]]]:
        # A batch of preferences is a pair.
        columns = _COLUMNS[isinstance(self.problem, PreferenceProblem) :]
        return [name for name, _, _ in columns], [_cells(s, columns) for s in self.settings]

    def __repr__(self) -> str:
        what = " ".join(show_controls(f"{self.algorithm} on {self.problem.name}").split())
        return f"AlgorithmCheck({what}, passed={self.passed}: {self.verdict})"

    def __str__(self) -> str:
        title = f"AlgorithmCheck on {show_controls(str(self.problem.name))}. {self.verdict}"
        tables = [_plain(*self._responses()), _plain(*self._settings())]
        return "\n\n".join([title, *tables])

    def _repr_html_(self) -> str:
        name = escape(show_controls(str(self.problem.name)))
        tables = [_html(*self._responses()), _html(*self._settings())]
        return f"<p><b>{name}</b>: {escape(self.verdict)}</p>" + "".join(tables)

    def plot(self, ax: Any = None) -> Any:
        """Draw where it rests beside where it should, a pair of bars for each response.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        ax : matplotlib axes
        """
        import matplotlib.pyplot as plt

        is_new = ax is None
        if is_new:
            _, ax = plt.subplots()
        places = np.arange(len(self.target))
        bars = {"reference": self.problem.reference, "should be": self.target}
        if self.log_prob is not None:
            bars["rests at"] = self.log_prob
        width = 0.8 / len(bars)
        for i, (label, log_prob) in enumerate(bars.items()):
            ax.bar(places + (i - (len(bars) - 1) / 2) * width, np.exp(log_prob), width, label=label)
        labels = self._labels()
        is_wide = sum(max(map(len, label)) for label in labels) > _MOST_LETTERS
        between, turned = (", ", 90) if is_wide else ("\n", 0)
        ax.set_xticks(places, [between.join(label) for label in labels], rotation=turned)
        ax.set(xlabel="response", ylabel="probability")
        ax.set_title(fill(self.verdict, _LINE), fontsize="medium")
        ax.legend()
        if is_new:
            # Long labels and titles of several lines stay in the picture.
            ax.figure.set_layout_engine("constrained")
        return ax

    def _labels(self) -> list[list[str]]:
        """Return what responses are called in a picture, with the prompt where there are more."""
        problem = self.problem
        pairs = zip(problem.prompts, problem.lengths, strict=True)
        return [[f"prompt {x}", f"{n} tok."][len(problem.shares) == 1 :] for x, n in pairs]


def _plain(heads: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [heads, *rows]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _html(heads: list[str], rows: list[list[str]]) -> str:
    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table>{line(heads, 'th')}{body}</table>"
