"""How much of a reward is who wrote the response."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.utils import Bunch, _safe_indexing, check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval, validate_params

from sklearn_codex._categorical import root_mean_square
from sklearn_codex._checks.groups import encode_groups
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._few_groups import check_several_groups, jackknife_variance
from sklearn_codex._reward.author_terms import author_columns
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights, pair_losses

# Strength of the penalty of the ratings of authors, and of the weight of the reward.
PENALTY = 1.0


@validate_params(
    {
        "estimator": [HasMethods(["fit", "decision_function"])],
        "authors": ["array-like"],
        "y": ["array-like"],
        "groups": ["array-like", None],
        "cv": [Interval(Integral, 2, None, closed="left")],
    },
    prefer_skip_nested_validation=False,
)
def author_share(estimator, X, y, authors, *, groups=None, cv=5):
    r"""Return how much of what a reward model predicts the authors of responses tell as well.

    Parameters
    ----------
    estimator : PreferenceRewardModel
        Or another model of pairs with ``decision_function``, not fitted.
    X : array-like of shape (n_pairs, n_columns)
        Pairs, as it takes them.
    y : array-like of shape (n_pairs,)
        Probability that A is preferred: 1, 0, 0.5 for a tie, or between.
    authors : array-like of shape (n_pairs, 2)
        Names of who, such as which model, wrote A and B.
    groups : array-like of shape (n_pairs,), default=None
        Prompt of each pair, all pairs of which are held out together. None: each pair is its own.
    cv : int, default=5
        Folds.

    Returns
    -------
    result : Bunch
        ``share``, NaN with a warning where the reward predicts nothing, and ``share_std``, its
        standard error by group for models as they are, NaN where the reward predicts nothing
        without one;
        ``gain_reward``, ``gain_authors``, ``gain_both``: by how many nats a pair each predicts
        held-out labels better than a coin.

    Notes
    -----
    A reward that is net of its authors is learned by ``PreferenceRewardModel().fit(X, y,
    authors=authors)``.

    The margins of the reward are cross-fitted: each is of a model that saw none of its group. They
    enter by one weight, and authors by a rating each, as in :class:`ModelRatings`.
    With the held-out gains g over a coin of the reward, of ratings of authors and of both,

    .. math::
        \text{share} = 1 - \frac{g_\text{both} - g_\text{authors}}{g_\text{reward}},

    is the part of the gain of the reward that is nothing new to whom the authors are told. It is 0
    where authors tell nothing that the reward does, 1 where the reward tells nothing beyond them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex import PreferenceRewardModel, author_share
    >>> rng = np.random.default_rng(0)
    >>> authors = np.array([("ann", "bob"), ("bob", "ann")])[rng.integers(2, size=400)]
    >>> is_ann = np.where(authors[:, 0] == "ann", 1.0, -1.0)
    >>> y = (rng.uniform(size=400) < np.where(is_ann > 0, 0.8, 0.2)).astype(float)
    >>> found = author_share(PreferenceRewardModel(), is_ann[:, np.newaxis], y, authors)
    >>> round(found.share, 1)
    1.0
    """
    target = check_soft_labels(y, name="y")
    n = len(target)
    check_consistent_length(X, target)
    _, who = author_columns(authors, n, subject="author_share")
    codes = np.arange(n) if groups is None else encode_groups(groups, n)
    n_groups = len(np.unique(codes))
    check_several_groups(n_groups, subject="author_share")
    splits = list(GroupKFold(min(cv, n_groups)).split(target, groups=codes))
    margin = np.empty(n)
    for train, test in splits:
        model = clone(estimator).fit(_safe_indexing(X, train), target[train])
        margin[test] = model.decision_function(_safe_indexing(X, test))
    of_reward = margin[:, np.newaxis] / (root_mean_square(margin, np.ones(n)) or 1.0)
    gains = np.column_stack(
        [
            _held_out_gain(splits, target, design)
            for design in (of_reward, who, np.hstack([who, of_reward]))
        ]
    )
    sums = np.array([np.bincount(codes, gain) for gain in gains.T]).T  # (n_groups, 3)
    total = sums.sum(axis=0)
    share = _share(total)
    moves = np.array([[_share(total - part) - share] for part in sums])
    reward, author, both = (float(value) for value in total / n)
    if not reward > 0:
        warnings.warn(
            f"author_share has no share, NaN: on held-out groups the reward predicts labels no "
            f"better than a coin (by {reward:.3g} nats a pair), so there is nothing to share. Pass "
            "a better estimator, or more pairs.",
            UserWarning,
            stacklevel=3,
        )
    return Bunch(
        share=share,
        share_std=float(np.sqrt(jackknife_variance(moves)[0])),
        gain_reward=reward,
        gain_authors=author,
        gain_both=both,
    )


def _share(gains):
    """Return the share of gains of the reward, of authors and of both."""
    reward, authors, both = gains
    return float(1 - (both - authors) / reward) if reward > 0 else float("nan")


def _held_out_gain(splits, target, design):
    """Return by how many nats labels (n,) of each fold are told better than by a coin."""
    gain = np.empty(len(target))
    for train, test in splits:
        penalty = np.full(design.shape[1], PENALTY)
        loss = BradleyTerryLoss(DifferenceDesign(design[train]), target[train], penalty=penalty)
        margin = design[test] @ fit_weights(loss).point.weights
        gain[test] = np.log(2) - pair_losses(margin, target[test])
    return gain
