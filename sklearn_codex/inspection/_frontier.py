"""The KL-reward frontier, with policies as points."""

from collections.abc import Mapping

import numpy as np
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._checks.numbers import COUNT, check_number
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._rollouts import sample_rollouts
from sklearn_codex.exact import best_of_n_frontier, kl_reward_frontier
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

_N_POINTS = 200


class FrontierDisplay:
    """The best expected reward at each KL, and where policies are below it.

    Parameters
    ----------
    kl : array-like of shape (n_points,)
        KL(policy || reference) of a document along the frontier, in nats, rising.
    expected_reward : array-like of shape (n_points,)
        The best expected reward of a document at that KL.
    policies : mapping of str to tuple of two floats, default=None
        KL and expected reward of policies, by name.
    best_of_n : Bunch, default=None
        Best-of-n sampling as from :func:`sklearn_codex.exact.best_of_n_frontier`: ``n``, ``kl``,
        ``expected_reward``, ``standard_error``, arrays of one length.
    name : str, default=None
        Name of the frontier, for the legend; None means "best possible".

    Attributes
    ----------
    ax_ : Axes
        Axes with the frontier.
    figure_ : Figure
        The figure of the axes.
    line_ : Line2D
        The frontier.
    points_ : dict of str to Line2D
        The policies.
    errorbar_ : ErrorbarContainer or None
        Best-of-n, with intervals of 1.96 standard errors.

    See Also
    --------
    sklearn_codex.exact.kl_reward_frontier : The frontier as numbers.
    OveroptimizationDisplay : What becomes of another reward on the way.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_codex import PPOPolicyOptimizer
    >>> from sklearn_codex.inspection import FrontierDisplay
    >>> policy = PPOPolicyOptimizer(random_state=0).fit(["good bad", "good good"], [0.0, 1.0])
    >>> display = FrontierDisplay.from_estimator(policy, best_of_n=[2, 4], random_state=0)
    >>> list(display.points_)
    ['PPOPolicyOptimizer']
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, kl, expected_reward, policies=None, best_of_n=None, name=None):
        self.kl = kl
        self.expected_reward = expected_reward
        self.policies = policies
        self.best_of_n = best_of_n
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        policies=None,
        best_of_n=None,
        kl_coefs=None,
        n_samples=4096,
        random_state=None,
        ax=None,
        name=None,
        policy_name=None,
        line_kw=None,
    ):
        """Draw the frontier of a fitted policy optimizer, and its policy on it.

        Parameters
        ----------
        estimator : fitted policy optimizer
            A ``PPOPolicyOptimizer``, ``ExactPolicyOptimizer`` or other whose reward adds over
            tokens. With documents that end by themselves, or a policy of n-grams, an
            ``ExactPolicyOptimizer``.
        policies : mapping of str to fitted language model, default=None
            Other policies over the same vocabulary, such as of DPO; the reward is that of
            ``estimator``, whose own policy is drawn in any case.
        best_of_n : list of int, default=None
            Draws of which the best is kept; the points are estimated from documents of the
            reference. Their KL is too small where n is not far below ``n_samples``. For documents
            of fixed length and single tokens.
        kl_coefs : array-like of shape (n_points,), default=None
            Weights of the KL; None means 200 that cover the frontier.
        n_samples : int, default=4096
            Documents drawn for ``best_of_n``.
        random_state : int, RandomState instance or None, default=None
            Source of these draws.
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the frontier, for the legend.
        policy_name : str, default=None
            Name of the policy of ``estimator``; None means the name of its class.
        line_kw : dict, default=None
            Keywords of the line.

        Returns
        -------
        display : FrontierDisplay

        Raises
        ------
        ValueError
            If the frontier is not known, since the reward does not add over tokens.

        Notes
        -----
        For documents of fixed length it is the frontier of the reward alone, which no policy
        exceeds, whatever its rules and demonstrations.
        """
        caller = f"{cls.__name__}.from_estimator"
        check_matplotlib(caller)
        check_is_fitted(estimator)
        estimator = unwrap(estimator)
        frontier = _frontier(estimator, kl_coefs, caller)
        own_name = type(estimator).__name__ if policy_name is None else policy_name
        if not isinstance(policies, Mapping | None):
            raise TypeError(
                f"{caller} needs policies, a dict of fitted language models by name, got a "
                f"{type(policies).__name__}."
            )
        models = {own_name: estimator, **(policies or {})}
        points = {}
        for label, model in models.items():
            result = estimator.evaluate(_policy_of(model, estimator))
            points[label] = (result.kl, result.expected_reward)
        sampled = None
        if best_of_n is not None:
            rng = check_random_state(random_state)
            n_samples = check_number(n_samples, "n_samples", subject=caller, interval=COUNT)
            sampled = best_of_n_frontier(_rewards(estimator, n_samples, rng, caller), best_of_n)
        display = cls(
            kl=frontier.kl,
            expected_reward=frontier.expected_reward,
            policies=points,
            best_of_n=sampled,
            name=name,
        )
        return display.plot(ax, line_kw=line_kw)

    def plot(self, ax=None, *, name=None, line_kw=None, point_kw=None):
        """Draw the frontier.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the frontier; None means that of ``__init__``.
        line_kw : dict, default=None
            Keywords of the line.
        point_kw : dict, default=None
            Keywords of the points of policies.

        Returns
        -------
        display : FrontierDisplay
        """
        ax = check_axes(ax, f"{type(self).__name__}.plot")
        kl, reward = check_equal_lengths(
            type(self).__name__, kl=self.kl, expected_reward=self.expected_reward
        )
        name = next(label for label in (name, self.name, "best possible") if label is not None)
        style = merge_style(line_style(ax, label=name), line_kw)
        self.line_ = mark_line(ax.plot(kl, reward, **style)[0])
        policies = self.policies or {}
        self.points_ = {
            label: _draw_point(ax, label, point, point_kw) for label, point in policies.items()
        }
        self.errorbar_ = None if self.best_of_n is None else _draw_best_of_n(ax, self.best_of_n)
        shown = [point[0] for point in policies.values()]
        shown += [] if self.best_of_n is None else list(self.best_of_n["kl"])
        if shown and 0 < 1.5 * max(shown) < kl.max():
            # The frontier goes on to where one token is left; look where the policies are.
            ax.set_xlim(-0.05 * max(shown), 1.5 * max(shown))
            _fit_height(ax, kl, reward, policies, 1.5 * max(shown))
        finish(
            ax,
            xlabel="KL to the reference (nats per document)",
            ylabel="Expected reward\n(per document)",
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _frontier(estimator, kl_coefs, caller):
    """Return ``kl`` and ``expected_reward`` of the frontier of a policy optimizer."""
    kind = type(estimator).__name__
    if getattr(estimator, "token_reward_", None) is None or not hasattr(estimator, "evaluate"):
        raise ValueError(
            f"{caller} knows the frontier of a policy optimizer whose reward adds over tokens, "
            f"which this {kind} is not. Pass arrays: FrontierDisplay(kl=..., expected_reward=...)."
        )
    is_simple = estimator.response_length_ is not None and not _is_of_ngrams(estimator)
    if not is_simple and not hasattr(estimator, "frontier"):
        what = "policy is of n-grams" if _is_of_ngrams(estimator) else "documents end by themselves"
        raise ValueError(
            f"{caller} got a {kind} whose {what}. Pass an ExactPolicyOptimizer of the same "
            f"problem, and this one as policies={{{kind!r}: ...}}."
        )

    def at(kl_coefs):
        if not is_simple:
            return estimator.frontier(kl_coefs)
        frontier = kl_reward_frontier(
            estimator.reference_log_prob_,
            estimator.token_reward_,
            length=estimator.response_length_,
            kl_coefs=kl_coefs,
        )
        return Bunch(
            **{**frontier, "expected_reward": frontier.expected_reward + _offset(estimator)}
        )

    if kl_coefs is None:
        # The default is for a table; a curve is smooth with more points over the same range.
        coarse = at(None).kl_coef
        kl_coefs = np.geomspace(coarse[0], coarse[-1], _N_POINTS)
    return at(kl_coefs)


def _is_of_ngrams(estimator):
    return hasattr(estimator, "backoff_model_")


def _policy_of(model, estimator):
    """Return a model as ``evaluate`` of an estimator takes it: checked where there are n-grams."""
    return model if _is_of_ngrams(estimator) else getattr(model, "token_log_prob_", model)


def _offset(estimator):
    """Return what the reward of a document has beside the sum of its tokens, as an intercept."""
    prob, reward = np.exp(estimator.token_log_prob_), estimator.token_reward_
    possible = prob > 0
    tokens = estimator.response_length_ * (prob[possible] @ reward[possible])
    return estimator.expected_reward_ - tokens


def _rewards(estimator, n_samples, rng, caller):
    """Return the rewards (n_samples,) of documents drawn from the reference."""
    if estimator.response_length_ is None or _is_of_ngrams(estimator):
        raise ValueError(
            f"{caller} draws best_of_n for documents of fixed length only, and single tokens. Fit "
            "a BestOfNSampler of the same problem and pass it as one of policies."
        )
    rollouts = sample_rollouts(
        estimator.reference_log_prob_, n_samples, rng, length=estimator.response_length_
    )
    return rollouts.sum_over_tokens(estimator.token_reward_) + _offset(estimator)


def _draw_point(ax, label, point, point_kw):
    style = line_style(ax, marker=True, linestyle="none", label=label, zorder=3)
    style |= {"markersize": 7.0, "markeredgecolor": "white"}
    (line,) = ax.plot(*([value] for value in point), **merge_style(style, point_kw))
    return mark_line(line)


def _draw_best_of_n(ax, result):
    """Draw best-of-n as small points, each with its n."""
    bars = ax.errorbar(
        result["kl"],
        result["expected_reward"],
        yerr=1.96 * np.nan_to_num(result["standard_error"]),
        color=GREY,
        marker="o",
        markersize=3.5,
        linestyle=":",
        label="best of n",
    )
    for n, kl, reward in zip(result["n"], result["kl"], result["expected_reward"], strict=True):
        ax.annotate(
            str(n), (kl, reward), xytext=(3, -3), textcoords="offset points",
            va="top", fontsize="x-small", color=GREY,
        )  # fmt: skip
    return bars


def _fit_height(ax, kl, reward, policies, largest):
    """Fit the y axis to what is seen up to a KL."""
    seen = np.append(reward[kl <= largest], np.interp(largest, kl, reward))
    seen = np.append(seen, [point[1] for point in policies.values()])
    margin = 0.05 * (np.ptp(seen) or 1.0)
    ax.set_ylim(seen.min() - margin, seen.max() + margin)
