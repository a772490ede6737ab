"""Over-optimisation: where the reward that is optimised stops standing for the one that is meant.

A policy is optimised against a *proxy*, a reward model learned from preferences; what is meant is a
*gold* reward, known in simulations, or better known than the proxy (a larger model, a second one
fitted on preferences held out). Along the KL from the reference the proxy always rises; the gold
reward rises and, where the proxy misses something, falls.
"""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, validate_params

from sklearn_codex._checks.numbers import LENGTH, check_values
from sklearn_codex._data.fitted_models import check_fitted_model, unwrap
from sklearn_codex._data.vectorizers import written_names
from sklearn_codex._policy.family import family_of
from sklearn_codex._policy.gold_scorer import GoldRewardScorer
from sklearn_codex._policy.problem import PolicyProblem, build_problem
from sklearn_codex._policy.rewards import DocumentReward
from sklearn_codex._reward.conservative import ConservativeReward
from sklearn_codex.exact._objective import Objective

__all__ = [
    "ConservativeReward",
    "GoldRewardScorer",
    "overoptimization_curve",
    "training_curve",
]

_SUBJECT = "overoptimization_curve"


@validate_params(
    {
        "reference": [HasMethods(["predict_log_proba"])],
        "kl_coefs": ["array-like", None],
        "bootstrap": [list, tuple],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "response_length": [LENGTH, None],
        "max_length": [LENGTH, None],
        "n_samples": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def overoptimization_curve(
    reference: Any,
    proxy: Any,
    gold: Any,
    *,
    kl_coefs: Any = None,
    bootstrap: Any = (),
    confidence: float = 0.95,
    response_length: int | None = None,
    max_length: int | None = None,
    n_samples: int = 4096,
    random_state: Any = None,
) -> Bunch:
    r"""Return proxy and gold reward along the exact frontier of the proxy.

    Parameters
    ----------
    reference : fitted language model
        The policy that optimisation starts from, and the reference of the KL.
    proxy : fitted estimator or callable
        The reward that is optimised; it adds over tokens, as a ``PreferenceRewardModel`` of token
        counts does. For any other, see :func:`training_curve`.
    gold : fitted estimator or callable
        The reward that is meant: anything that scores documents, as the ``reward_model`` of a
        policy optimiser. Where it adds over tokens its expectation is exact. So it is where it has
        a method ``expected_reward(log_prob, length)``, a closed form for documents of ``length``
        independent tokens. Else it is the mean over documents drawn.
    kl_coefs : array-like of shape (n_points,), default=None
        Weights of the KL; None means 50 that cover the frontier.
    bootstrap : list of fitted estimators, default=()
        Proxies fitted on bootstrap samples of the preferences of ``proxy``, for the intervals.
    confidence : float, default=0.95
        Coverage of the intervals, by quantiles over ``bootstrap``: the number of models below which
        the least and the greatest are taken is 2 / (1 - confidence), 40 for 0.95. From few prompts
        they are too short, as percentiles of the bootstrap are.
    response_length : int, default=None
        Tokens of a document; None means those of the reference. Not with an end-of-sequence token.
    max_length : int, default=None
        Tokens at which a document is cut, with an end-of-sequence token.
    n_samples : int, default=4096
        Documents drawn at each point where the gold reward has no closed form; all points share
        their random numbers, so the curve is smooth.
    random_state : int, RandomState instance or None, default=None
        Source of all draws.

    Returns
    -------
    curve : Bunch
        Arrays of shape (n_points,), by rising KL:

        - kl_coef : weight of the KL at which the point is optimal
        - kl : KL(policy || reference) of a document, in nats, exact
        - proxy_reward : expected proxy reward of a document, exact
        - gold_reward, gold_reward_se : expected gold reward and its standard error, 0 where exact
        - covariance : of proxy and gold reward over documents of the policy, which is the slope of
          the gold reward in 1 / kl_coef; nan where documents are cut at ``max_length``

        and

        - peak : Bunch of ``kl_coef``, ``kl``, ``proxy_reward``, ``gold_reward`` where gold is
          greatest, and ``is_interior``, whether it falls after that. Exact, between points, where
          the gold reward is; else the best point
        - fall, fall_se : gold at the peak less gold at the last point, and its standard error
        - bootstrap : Bunch of ``peak_kl`` (n_models,), ``peak_kl_interval`` (2,), ``gold_reward``
          (n_models, n_points) at the KLs of the curve (nan beyond a model's own frontier) and
          ``gold_interval`` (2, n_points); None without ``bootstrap``

    Raises
    ------
    ValueError
        If a proxy does not add over tokens, a parameter is out of its range, or documents of a
        model of n-grams do not end by themselves.

    See Also
    --------
    training_curve : The same along a training run, for any reward.

    Notes
    -----
    On the frontier the policy is the reference tilted by the proxy R over ``kl_coef``, so for every
    gold reward G

    .. math:: \frac{d\, E_\pi[G]}{d (1 / b)} = Cov_\pi(G, R),

    and the exact rule of early stopping is: gold peaks where this covariance is zero.

    References
    ----------
    .. [1] Gao, L., Schulman, J. and Hilton, J. (2023). "Scaling laws for reward model
       overoptimization." ICML. arXiv:2210.10760.

    Examples
    --------
    The proxy likes a token that is worthless in truth:

    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn_codex import UnigramLM
    >>> from sklearn_codex.overoptimization import overoptimization_curve
    >>> reference = UnigramLM(smoothing=0).fit(np.array([[8.0, 4.0, 1.0]]))
    >>> proxy, gold = (
    ...     LinearRegression(fit_intercept=False).fit(np.eye(3), weights)
    ...     for weights in ([0.0, 1.0, 2.0], [0.0, 1.0, -1.0])
    ... )
    >>> curve = overoptimization_curve(reference, proxy, gold, response_length=10)
    >>> round(curve.peak.kl, 2), round(curve.peak.gold_reward, 2), round(curve.fall, 2)
    (0.1, 2.36, 12.36)
    """
    setting = _Setting.of(reference, response_length, max_length, n_samples, random_state)
    curve = _curve(setting, proxy, gold, kl_coefs)
    curve.bootstrap = None
    if len(bootstrap):
        others = [_curve(setting, other, gold, kl_coefs) for other in bootstrap]
        tails = [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0]
        peaks = np.array([other.peak.kl for other in others])
        golds = np.array(
            [
                np.interp(curve.kl, other.kl, other.gold_reward, left=np.nan, right=np.nan)
                for other in others
            ]
        )
        known = ~np.isnan(golds).all(axis=0)
        interval = np.full((2, len(curve.kl)), np.nan)
        interval[:, known] = np.nanquantile(golds[:, known], tails, axis=0, method="weibull")
        curve.bootstrap = Bunch(
            peak_kl=peaks,
            peak_kl_interval=np.quantile(peaks, tails, method="weibull"),
            gold_reward=golds,
            gold_interval=interval,
        )
    return curve


def training_curve(optimizer: Any) -> Bunch:
    """Return proxy and gold reward along the training of a policy optimiser.

    Parameters
    ----------
    optimizer : fitted PPOPolicyOptimizer, RLOOPolicyOptimizer or GRPOPolicyOptimizer
        Fitted with ``gold_reward``. Its reward is the proxy and may be any.

    Returns
    -------
    curve : Bunch
        As of :func:`overoptimization_curve`, one point an iteration, the first the reference:
        ``kl_coef``, ``kl``, ``proxy_reward``, ``gold_reward``, ``peak`` and ``fall``. Rewards that
        do not add over tokens are means over the rollouts of the iteration, with their noise.

    Raises
    ------
    ValueError
        If the history of the optimiser has no gold reward.

    Examples
    --------
    >>> from sklearn_codex import PPOPolicyOptimizer
    >>> from sklearn_codex.overoptimization import training_curve
    >>> policy = PPOPolicyOptimizer(
    ...     reward_model=lambda documents: [text.split().count("good") for text in documents],
    ...     gold_reward=lambda documents: [len(set(text.split())) for text in documents],
    ...     max_iter=20, tol=0, random_state=0,
    ... ).fit(["good good bad", "bad fine", "good fine fine"])
    >>> curve = training_curve(policy)
    >>> curve.kl.shape, bool(curve.fall > 0)
    ((21,), True)
    """
    check_fitted_model(optimizer, parameter="optimizer", subject="training_curve")
    history = getattr(unwrap(optimizer), "history_", [{}])
    if "gold/score" not in history[0]:
        raise ValueError(
            "training_curve needs an optimizer whose history_ has 'gold/score', got a "
            f"{type(unwrap(optimizer)).__name__} without. Fit a PPOPolicyOptimizer or "
            "RLOOPolicyOptimizer with gold_reward=..."
        )
    keys = {
        "kl_coef": "objective/kl_coef",
        "kl": "objective/kl_exact",
        "proxy_reward": "objective/expected_reward",
        "gold_reward": "gold/score",
    }
    curve = Bunch(
        **{name: np.array([record[key] for record in history]) for name, key in keys.items()}
    )
    best = int(np.argmax(curve.gold_reward))
    curve.peak = Bunch(**{name: float(curve[name][best]) for name in keys})
    curve.fall = float(curve.gold_reward[best] - curve.gold_reward[-1])
    curve.peak.is_interior = curve.fall > 0
    return curve


@dataclass(frozen=True)
class _Setting:
    """What all curves of one call share."""

    objective: Objective
    names: np.ndarray | None
    n_samples: int
    seed: int

    @classmethod
    def of(cls, reference, response_length, max_length, n_samples, random_state):
        model = check_fitted_model(reference, parameter="reference", subject=_SUBJECT)
        eos = model._eos_column()
        if (response_length if eos is not None else max_length) is not None:
            raise ValueError(
                f"{_SUBJECT} takes response_length where the vocabulary has no end-of-sequence "
                f"token, and max_length where it has one; got response_length={response_length} "
                f"and max_length={max_length} with eos column {eos}. Leave the other at None."
            )
        length = None if eos is not None else (response_length or model.document_length_)
        family, log_prob = family_of(model)
        objective = family.objective(
            log_prob, length=length, eos=eos, max_length=max_length, subject=_SUBJECT
        )
        if objective.gap_is_bound:
            raise ValueError(
                f"{_SUBJECT} knows the frontier of a model of n-grams where documents end by "
                f"themselves, got {type(model).__name__} with eos column {eos} and max_length="
                f"{max_length}. Count with eos_token, and leave max_length at None."
            )
        seed = int(check_random_state(random_state).randint(2**31))
        return cls(objective, family.names(written_names(model)), n_samples, seed)

    def problem(self, proxy) -> PolicyProblem:
        """Return the problem of optimising a proxy, at any ``kl_coef``."""
        problem = build_problem(
            self.objective,
            proxy,
            np.random.RandomState([self.seed, 0]),
            names=self.names,
            rules=None,
            normalize_reward=False,
            subject=_SUBJECT,
        )
        if not problem.adds_reward:
            raise ValueError(
                f"{_SUBJECT} needs a proxy that adds over tokens, whose frontier is exact; the "
                f"reward of {type(unwrap(proxy)).__name__} does not, or is no linear model with "
                "coef_. Fit PPOPolicyOptimizer(reward_model=proxy, gold_reward=gold) and pass it "
                "to training_curve."
            )
        return problem


class _Gold:
    """The expected gold reward of a policy, by the best way there is."""

    def __init__(self, source, setting, problem):
        self._setting, self._problem = setting, problem
        self._closed_form: Any = getattr(unwrap(source), "expected_reward", None)
        self._reward: DocumentReward | None = None
        if self._closed_form is None or problem.objective.length is None:
            probe = problem.sample(problem.start, 64, np.random.RandomState([setting.seed, 1]))
            self._reward = DocumentReward(
                source, probe, subject=_SUBJECT, objective=problem.objective
            )

    @property
    def is_exact(self):
        return self._reward is None or self._reward.token_reward is not None

    def __call__(self, objective, log_prob):
        """Return the expected gold reward, its standard error and its covariance with the proxy."""
        if self._reward is None:
            value = float(self._closed_form(log_prob, objective.length))
            return value, 0.0, _slope(objective, self._closed_form)
        weights = self._reward.token_reward
        if weights is not None:
            value = objective.expected_sum(log_prob, weights)
            covariance = objective.covariance(log_prob, objective.token_reward, weights)
            return value + self._reward.offset, 0.0, covariance
        rng = np.random.RandomState([self._setting.seed, 2])
        rollouts = self._problem.sample(log_prob, self._setting.n_samples, rng)
        rewards = self._reward(rollouts)
        error = float(rewards.std(ddof=1) / np.sqrt(len(rewards)))
        proxy = rollouts.sum_over_tokens(objective.token_reward)
        covariance = float(np.cov(rewards, proxy)[0, 1])
        if objective.is_noisy:
            covariance = float("nan")
        return float(rewards.mean()), error, covariance


def _slope(objective, closed_form):
    """Return d gold / d (1 / b) at the optimum of an objective, by central differences."""
    step = 1e-4
    ends = []
    for sign in (1.0, -1.0):
        moved = objective.having(kl_coef=objective.kl_coef / (1.0 + sign * step))
        ends.append(closed_form(moved.optimum(), objective.length))
    return float((ends[0] - ends[1]) / (2.0 * step / objective.kl_coef))


def _curve(setting, proxy, gold, kl_coefs):
    """Return the curve of one proxy, without intervals."""
    problem = setting.problem(proxy)
    objective, offset = problem.objective, problem.reward.offset
    measure = _Gold(gold, setting, problem)
    if kl_coefs is None:
        kl_coefs = objective.kl_coef_grid()

    def point(kl_coef):
        current = objective.having(kl_coef=float(kl_coef))
        best = current.optimum()
        expected = current.expected_reward(best) + offset
        return (float(kl_coef), current.kl(best), expected, *measure(current, best))

    checked = check_values(kl_coefs, "kl_coefs", subject=_SUBJECT)
    if not checked.size:
        raise ValueError(f"{_SUBJECT} needs kl_coefs, at least one, got none.")
    grid = np.sort(checked)[::-1]
    names = (
        "kl_coef", "kl", "proxy_reward", "gold_reward", "gold_reward_se", "covariance",
    )  # fmt: skip
    curve = Bunch(**dict(zip(names, np.array([point(b) for b in grid]).T, strict=True)))
    best = int(np.argmax(curve.gold_reward))
    interior = 0 < best < len(grid) - 1
    peak = tuple(curve[name][best] for name in names)
    if interior and measure.is_exact:
        peak = point(_peak_kl_coef(point, curve, best))
    curve.peak = Bunch(**{name: float(value) for name, value in zip(names[:4], peak, strict=False)})
    curve.peak.is_interior = bool(curve.gold_reward[best] > curve.gold_reward[-1])
    curve.fall = curve.peak.gold_reward - float(curve.gold_reward[-1])
    curve.fall_se = float(np.hypot(peak[4], curve.gold_reward_se[-1]))
    return curve


def _peak_kl_coef(point, curve, best):
    """Return the ``kl_coef`` at which an exact gold reward is greatest, near the best point."""
    low, high = np.log(curve.kl_coef[best + 1]), np.log(curve.kl_coef[best - 1])
    slopes = [point(np.exp(end))[5] for end in (low, high)]
    if slopes[0] < 0 < slopes[1]:
        return np.exp(brentq(lambda x: point(np.exp(x))[5], low, high, xtol=1e-12))
    found = minimize_scalar(
        lambda x: -point(np.exp(x))[3], bounds=(low, high), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    return np.exp(found.x)
