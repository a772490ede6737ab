"""How much more labels would bring, before they are paid for."""

from numbers import Integral, Real

import numpy as np
from sklearn.model_selection import GroupKFold
from sklearn.utils import Bunch, check_consistent_length, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, validate_params

from sklearn_codex._checks.groups import check_groups
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._data.text_pairs import check_text_pairs
from sklearn_codex._verdicts import CROSS_FITTED, judge_share
from sklearn_codex.model_selection._budget_curve import CurveErrors, predict_errors
from sklearn_codex.model_selection._budget_informative import compare_choices, fit_margins

FARTHEST = 4
"""Times the prompts there are: no prediction goes past it."""
FEWEST_PROMPTS = 40
SHARES = (0.125, 0.25, 0.5, 1.0)
N_FOLDS = 5


@validate_params(
    {
        "estimator": [HasMethods(["fit", "decision_function"])],
        "X": "no_validation",
        "y": ["array-like"],
        "groups": ["array-like", None],
        "factors": ["array-like"],
        "ceiling": [Interval(Real, 0.5, 1, closed="right"), None],
        "n_repeats": [Interval(Integral, 2, None, closed="left")],
        "informative": ["boolean"],
        "n_test": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def label_budget(
    estimator,
    X,
    y,
    groups=None,
    *,
    factors=(1.5, 2, 3, 4),
    ceiling=None,
    n_repeats=4,
    informative=False,
    n_test=None,
    random_state=None,
):
    r"""Predict what more labelled prompts would bring to a reward model.

    Parameters
    ----------
    estimator : estimator
        A model of preferences with ``decision_function``, the log-odds that A is preferred; clones
        of it are fitted.
    X : array-like of shape (n_pairs, 2 or 3) or (n_pairs, V)
        Pairs, as the estimator takes them.
    y : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or between. Ties count in the
        log-loss only.
    groups : array-like of shape (n_pairs,), default=None
        What belongs together. None means the prompts of text pairs.
    factors : array-like of float, default=(1.5, 2, 3, 4)
        Times the prompts there are, more than 1 and at most 4: nothing is said past it.
    ceiling : float, default=None
        Accuracy that the agreement of annotators allows, which no prediction exceeds.
    n_repeats : int, default=4
        Cross-validations that are averaged, each with folds and parts of its own.
    informative : bool, default=False
        Whether to try out as well what :func:`~sklearn_codex.most_informative_pairs` would bring
        over pairs at random; the estimator has to be one that
        :class:`~sklearn_codex.RewardUncertainty` takes.
    n_test : int, default=None
        Number of other prompts on which the prediction is going to be checked, whose chance is
        added to the intervals; None means the error in the long run.
    random_state : int, RandomState instance or None, default=None
        Draws folds, parts and the bootstrap.

    Returns
    -------
    budget : Bunch
        ``n_prompts``, ``pairs_per_prompt``; ``is_predictable``, whether the accuracy of the model
        is told from a coin, and ``skill``, that test; ``measured``, a list of dict, one for each
        size: ``n_prompts`` learned from, ``accuracy``, ``log_loss`` in nats; ``now``, a dict of
        what is predicted of all prompts there are; and ``predicted``, a list of such, one for each
        factor, both None where nothing is predictable: ``factor``, ``n_prompts``,
        ``n_new_pairs``, for both measures the value, ``accuracy_low`` and ``accuracy_high`` (95%)
        and so on, the ``gain`` in accuracy over ``now`` with ``gain_low`` and ``gain_high``, that
        in ``nats``, and ``pairs_per_point``, new labels for each point of accuracy gained, None
        where none is. ``informative`` (None if not asked for) has what pairs chosen for their
        information, ``n_new_pairs`` of them, brought over as many at random: tests by prompt of
        the gain in ``accuracy`` and in ``nats``, each with ``value``, ``low``, ``high`` (95%) and
        ``p_value``.

    Raises
    ------
    ValueError
        If there are fewer than 40 prompts with a preference, or a factor is out of range.

    Notes
    -----
    Models of an eighth, a quarter, a half and all prompts of a training side are judged on the
    prompts of the other side, in five folds. Their error is taken to be :math:`a + b n^{-c}` [1]_,
    with c between 0.15 and 1 and a at least 1 - ``ceiling``, and whole prompts and repeats are
    drawn with replacement for the interval.

    References
    ----------
    .. [1] C. Cortes et al., "Learning Curves: Asymptotic Values and Rate of Convergence", NIPS 6,
       1994.

    Examples
    --------
    >>> from sklearn_codex import PreferenceRewardModel
    >>> from sklearn_codex.datasets import make_preferences
    >>> from sklearn_codex.model_selection import label_budget
    >>> data = make_preferences(400, n_prompts=100, random_state=0)
    >>> budget = label_budget(PreferenceRewardModel(), data.X, data.y, data.groups, random_state=0)
    >>> double = budget.predicted[1]
    >>> double["n_prompts"], double["n_new_pairs"]
    (200, 400)
    >>> budget.measured[-1]["accuracy"] < double["accuracy"] < double["accuracy_high"]
    True
    """
    y = check_soft_labels(y, name="y")
    X, groups = _check_pairs(X, y, groups)
    factors = _check_factors(factors)
    rng = check_random_state(random_state)
    runs = [_cross_validate(estimator, X, y, groups, rng) for _ in range(n_repeats)]
    margins = np.array([margins for margins, _ in runs])
    sizes = np.mean([sizes for _, sizes in runs], axis=0)
    budget = summarise(
        margins, sizes, y, groups, factors=factors, ceiling=ceiling, n_test=n_test, rng=rng
    )
    budget.informative = None
    if informative:
        options = {"n_folds": N_FOLDS, "n_repeats": n_repeats, "rng": rng}
        budget.informative = compare_choices(estimator, X, y, groups, **options)
    return budget


def summarise(
    margins,
    sizes,
    y,
    groups,
    *,
    factors,
    ceiling=None,
    n_test=None,
    rng,
    weight=None,
    n_prompts=None,
):
    """Return the budget of margins (n_repeats, n_sizes, n_pairs) of prompts not learned from.

    ``n_prompts`` is of all data, where these pairs are a part of them.
    """
    groups = np.unique(groups, return_inverse=True)[1].reshape(-1)
    decided, weight = y != 0.5, np.ones(len(y)) if weight is None else weight
    n_here = int(groups.max()) + 1
    errors = {"accuracy": _wrong(margins, y), "log_loss": _losses(margins, y)}
    right = 1 - errors["accuracy"][:, -1].mean(axis=0)
    skill = judge_share(
        right[decided], groups[decided], inflation=CROSS_FITTED, weights=weight[decided]
    )
    curves = {
        "accuracy": _sum(errors["accuracy"], sizes, groups, weight * decided),
        "log_loss": _sum(errors["log_loss"], sizes, groups, weight),
    }
    wrong, loss = curves["accuracy"].mean(), curves["log_loss"].mean()
    budget = Bunch(
        n_prompts=n_here if n_prompts is None else n_prompts,
        pairs_per_prompt=len(y) / n_here,
        is_predictable=skill.is_above,
        skill=skill._asdict(),
        measured=[
            {
                "n_prompts": round(float(size)),
                "accuracy": float(1 - wrong[i]),
                "log_loss": float(loss[i]),
            }
            for i, size in enumerate(sizes)
        ],
        predicted=None,
        now=None,
    )
    if skill.is_above:
        floor = 0.0 if ceiling is None else 1 - ceiling
        budget.now, *budget.predicted = _predict(budget, curves, factors, floor, n_test, rng)
    return budget


def _predict(budget, curves, factors, floor, n_test, rng):
    """Return what is predicted of the prompts there are and of each factor."""
    factors = np.concatenate([[1.0], factors])
    targets = factors * budget.n_prompts
    options = {"n_test": n_test, "rng": rng}
    wrong = predict_errors(curves["accuracy"], targets, floor=floor, **options)
    loss = predict_errors(curves["log_loss"], targets, floor=0.0, **options)
    return [
        {
            "factor": float(factor),
            "n_prompts": round(float(targets[i])),
            "n_new_pairs": (n_new := round((factor - 1) * _n_pairs(budget))),
            "accuracy": float(1 - wrong.value[i]),
            "accuracy_low": max(float(1 - wrong.high[i]), 0.0),
            "accuracy_high": float(1 - wrong.low[i]),
            "log_loss": float(loss.value[i]),
            "log_loss_low": float(loss.low[i]),
            "log_loss_high": float(loss.high[i]),
            "gain": (gain := float(wrong.gain[i])),
            "gain_low": float(wrong.gain_low[i]),
            "gain_high": float(wrong.gain_high[i]),
            "nats": float(loss.gain[i]),
            "pairs_per_point": n_new / (100 * gain) if gain > 5e-5 else None,
        }
        for i, factor in enumerate(factors)
    ]


def _n_pairs(budget):
    return budget.n_prompts * budget.pairs_per_prompt


def _check_pairs(X, y, groups):
    pairs = check_text_pairs(X, subject="label_budget")
    if groups is None:
        if pairs is None or pairs.prompts is None:
            raise ValueError(
                "label_budget counts prompts, and X has none. Pass groups=, what belongs together."
            )
        groups = pairs.prompts
    groups = check_groups(groups, len(y))
    codes = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1].reshape(-1)
    n_prompts = len(np.unique(codes[y != 0.5]))
    if n_prompts < FEWEST_PROMPTS:
        raise ValueError(
            f"label_budget needs {FEWEST_PROMPTS} prompts with a preference to see how errors fall "
            f"with their number, got {n_prompts}."
        )
    X = np.asarray(X, dtype=object) if pairs is not None else X
    check_consistent_length(X if hasattr(X, "shape") else np.asarray(X), y)
    return X if hasattr(X, "shape") else np.asarray(X), codes


def _check_factors(factors):
    factors = np.asarray(factors, dtype=float).reshape(-1)
    if not factors.size or not np.all((factors > 1) & (factors <= FARTHEST)):
        raise ValueError(
            f"factors of label_budget should be more than 1 and at most {FARTHEST} times the "
            f"prompts there are, got {factors.tolist()}: errors farther off are not foreseen."
        )
    return factors


def _cross_validate(estimator, X, y, groups, rng):
    """Return margins (n_sizes, n_pairs) of prompts not learned from, and the sizes (n_sizes,)."""
    margins = np.zeros((len(SHARES), len(y)))
    sizes = np.zeros(len(SHARES))
    folds = GroupKFold(N_FOLDS, shuffle=True, random_state=rng.randint(2**31 - 1))
    for train, test in folds.split(y, groups=groups):
        order = rng.permutation(np.unique(groups[train]))
        for i, share in enumerate(SHARES):
            kept = order[: max(2, round(share * len(order)))]
            rows = train[np.isin(groups[train], kept)]
            sizes[i] += len(kept) / N_FOLDS
            margins[i, test] = fit_margins(estimator, X, y, rows, test)
    return margins, sizes


def _wrong(margins, y):
    return 0.5 - 0.5 * np.sign(margins) * np.sign(y - 0.5)


def _losses(margins, y):
    return y * np.logaddexp(0, -margins) + (1 - y) * np.logaddexp(0, margins)


def _sum(values, sizes, groups, weight):
    """Return the errors, weighted and added up by prompt."""
    n_prompts = int(groups.max()) + 1
    totals = np.apply_along_axis(
        lambda row: np.bincount(groups, row * weight, n_prompts), 2, values
    )
    return CurveErrors(sizes, totals, np.bincount(groups, weight, n_prompts).astype(float))
