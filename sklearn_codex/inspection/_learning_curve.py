"""Learning curve by prompts, which tells whether more labels would help."""

import warnings
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.model_selection import GroupKFold, check_cv, cross_validate
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import _num_samples

from sklearn_codex._checks.groups import encode_groups
from sklearn_codex._checks.matrices import check_sparse
from sklearn_codex._checks.numbers import as_floats
from sklearn_codex._checks.options import check_option
from sklearn_codex._checks.probabilities import as_array
from sklearn_codex._data.text_pairs import check_text_pairs
from sklearn_codex.inspection._plotting import (
    check_axes,
    check_matplotlib,
    finish,
    line_style,
    mark_line,
    merge_style,
)

# Sizes further apart than this, as a ratio, are read better on a logarithmic axis.
_LOG_RATIO = 20


class PromptLearningCurveDisplay:
    """Score on prompts never seen, against the number of prompts that were labelled.

    Unlike scikit-learn's ``LearningCurveDisplay`` it grows the training set by whole prompts, in
    random order, and never tests on a prompt that was trained on.

    Parameters
    ----------
    n_prompts : array-like of int of shape (n_sizes,)
        Prompts in the training set.
    train_scores, test_scores : array-like of shape (n_sizes, n_splits)
        Scores on the prompts trained on, and on those held out.
    score_name : str, default=None
        Name of the score; None means "Score".
    name : str, default=None
        Name of the model, for the legend.

    Attributes
    ----------
    ax_ : Axes
        Axes with the curves.
    figure_ : Figure
        The figure of the axes.
    lines_ : list of Line2D
        Mean scores.
    fill_between_ : list of artist
        One standard deviation over the splits to each side.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : The curve by rows.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_codex import PreferenceRewardModel
    >>> from sklearn_codex.inspection import PromptLearningCurveDisplay
    >>> pairs = [(f"prompt {i // 2}", "good", "bad") for i in range(20)]
    >>> pairs = [(p, a, b) if i % 2 else (p, b, a) for i, (p, a, b) in enumerate(pairs)]
    >>> y = [i % 2 for i in range(20)]
    >>> display = PromptLearningCurveDisplay.from_estimator(
    ...     PreferenceRewardModel(), pairs, y, train_sizes=[2, 4, 8], random_state=0
    ... )
    >>> display.n_prompts, display.test_scores.mean(axis=1)
    (array([2, 4, 8]), array([1., 1., 1.]))
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, n_prompts, train_scores, test_scores, score_name=None, name=None):
        self.n_prompts = n_prompts
        self.train_scores = train_scores
        self.test_scores = test_scores
        self.score_name = score_name
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        groups=None,
        train_sizes=None,
        cv=5,
        scoring=None,
        n_jobs=None,
        error_score=np.nan,
        params=None,
        random_state=None,
        ax=None,
        name=None,
        score_name=None,
        score_type="both",
        line_kw=None,
    ):
        """Fit on more and more prompts, and draw the scores.

        Parameters
        ----------
        estimator : estimator
            Cloned for each fit.
        X : array-like of length n_pairs
            Pairs, as the estimator takes them.
        y : array-like of shape (n_pairs,)
            Labels.
        groups : array-like of shape (n_pairs,), default=None
            Prompt of each pair; None means the prompts of X.
        train_sizes : array-like of shape (n_sizes,), default=None
            Numbers of prompts (int), or shares of those there are to train on (float); None means
            10, 20, 40, 70 and 100 %.
        cv : int, splitter or iterable, default=5
            Folds of whole prompts, in random order, a splitter by groups, or splits (train, test).
        scoring : str, callable or None, default=None
            Score; None means that of the estimator.
        n_jobs : int, default=None
            Fits at a time.
        error_score : float or "raise", default=np.nan
            Score of a fit that fails.
        params : dict, default=None
            Parameters of ``fit`` and of the scorer.
        random_state : int, RandomState instance or None, default=None
            Source of the order of prompts; the same seed gives the same curve.
        ax : Axes, default=None
            Where to draw; None means a new figure.
        name : str, default=None
            Name of the model, for the legend.
        score_name : str, default=None
            Name of the score; None means that of ``scoring``, or of the estimator's own.
        score_type : {"test", "train", "both"}, default="both"
            What to draw.
        line_kw : dict, default=None
            Keywords of the lines.

        Returns
        -------
        display : PromptLearningCurveDisplay

        Raises
        ------
        ValueError
            If prompts are not known, are too few, or ``cv`` puts one on both sides.
        """
        caller = f"{cls.__name__}.from_estimator"
        check_matplotlib(caller)
        n_prompts, train_scores, test_scores = _learning_curve(
            estimator,
            X,
            y,
            _check_prompts(X, groups, caller),
            train_sizes=train_sizes,
            cv=cv,
            random_state=random_state,
            scoring=scoring,
            n_jobs=n_jobs,
            error_score=error_score,
            params=params,
        )
        display = cls(
            n_prompts=n_prompts,
            train_scores=train_scores,
            test_scores=test_scores,
            score_name=_score_name(scoring, estimator) if score_name is None else score_name,
            name=name,
        )
        return display.plot(ax, score_type=score_type, line_kw=line_kw)

    def plot(
        self, ax=None, *, name=None, score_name=None, score_type="both", line_kw=None,
        fill_between_kw=None,
    ):  # fmt: skip
        """Draw mean scores, and one standard deviation over splits to each side.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw, such as ``ax_`` of another model; None means a new figure.
        name : str, default=None
            Name of the model; None means that of ``__init__``.
        score_name : str, default=None
            Name of the score; None means that of ``__init__``.
        score_type : {"test", "train", "both"}, default="both"
            What to draw.
        line_kw : dict, default=None
            Keywords of the lines.
        fill_between_kw : dict, default=None
            Keywords of the bands.

        Returns
        -------
        display : PromptLearningCurveDisplay
        """
        curves = {"test": ("held-out prompts", self.test_scores),
                  "train": ("training prompts", self.train_scores)}  # fmt: skip
        check_option(
            score_type, (*curves, "both"), "score_type", subject=f"{type(self).__name__}.plot"
        )
        ax = check_axes(ax, f"{type(self).__name__}.plot")
        name = self.name if name is None else name
        self.lines_, self.fill_between_ = [], []
        for label, scores in curves.values() if score_type == "both" else [curves[score_type]]:
            scores = np.asarray(scores, dtype=np.float64)
            mean, deviation = scores.mean(axis=1), scores.std(axis=1)
            label = label if name is None else f"{name}, {label}"
            style = merge_style(line_style(ax, marker=True, label=label), line_kw)
            band = {"color": style["color"], "alpha": 0.2, "linewidth": 0}
            band |= fill_between_kw or {}
            self.lines_.append(mark_line(ax.plot(self.n_prompts, mean, **style)[0]))
            self.fill_between_.append(
                ax.fill_between(self.n_prompts, mean - deviation, mean + deviation, **band)
            )
        if max(self.n_prompts) >= _LOG_RATIO * min(self.n_prompts):
            ax.set_xscale("log")
        score_name = next(s for s in (score_name, self.score_name, "Score") if s is not None)
        finish(ax, xlabel="Prompts in the training set", ylabel=score_name)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _score_name(scoring, estimator):
    """Return a scorer's name as a label; None where it is unknown."""
    if scoring is None:
        return "Accuracy" if is_classifier(estimator) else None
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
    return name.replace("neg_", "negative ").replace("_", " ").strip().capitalize()


def _check_prompts(X, groups, caller):
    """Return the prompt (n_pairs,) of each pair as an index."""
    if groups is None:
        pairs = check_text_pairs(X, subject=caller)
        if pairs is None or pairs.prompts is None:
            raise ValueError(
                f"{caller} holds out whole prompts, but X has none. Pass groups=, the prompt of "
                "each pair."
            )
        groups = [" ".join(prompt.split()) for prompt in pairs.prompts]
    return encode_groups(groups, _num_samples(X))


def _learning_curve(estimator, X, y, prompt, *, train_sizes, cv, random_state, **options):
    """Return numbers of prompts (n_sizes,), and the train and test scores (n_sizes, n_splits)."""
    if sparse.issparse(X):  # before scikit-learn takes rows of it
        X = check_sparse(X, subject="PromptLearningCurveDisplay")
    check_consistent_length(prompt, y)
    rng = check_random_state(random_state)
    if isinstance(cv, Integral):
        cv = GroupKFold(int(cv), shuffle=True, random_state=rng.randint(2**31))
    cv = check_cv(cv)
    rows = np.zeros((len(prompt), 1))
    with warnings.catch_warnings():
        # A splitter that ignores groups is refused below, unless it keeps prompts together anyway.
        warnings.filterwarnings("ignore", "The groups parameter is ignored")
        splits = list(cv.split(rows, y, prompt))
    orders = []
    for train, test in splits:
        if np.isin(prompt[train], prompt[test]).any():
            raise ValueError(
                f"cv={cv!r} puts a prompt on both sides, so its scores would measure memory. Use "
                "GroupKFold or GroupShuffleSplit."
            )
        orders.append(rng.permutation(np.unique(prompt[train])))
    sizes = _check_sizes(train_sizes, min(map(len, orders)))
    nested = [
        (train[np.isin(prompt[train], order[:size])], test)
        for size in sizes
        for (train, test), order in zip(splits, orders, strict=True)
    ]
    scores = cross_validate(estimator, X, y, cv=nested, return_train_score=True, **options)
    shape = (len(sizes), len(splits))
    return sizes, scores["train_score"].reshape(shape), scores["test_score"].reshape(shape)


def _check_sizes(train_sizes, n_prompts):
    """Return numbers of prompts (n_sizes,), rising, each once."""
    sizes = as_array(
        [0.1, 0.2, 0.4, 0.7, 1.0] if train_sizes is None else train_sizes, name="train_sizes"
    )
    if sizes.dtype.kind not in "iu":
        sizes = as_floats(sizes, "train_sizes", subject="PromptLearningCurveDisplay")
    whole = sizes.dtype.kind in "iu"
    wrong = sizes[~((sizes > 0) & (sizes <= (n_prompts if whole else 1)))]
    if sizes.ndim != 1 or len(sizes) == 0 or len(wrong):
        raise ValueError(
            f"train_sizes should be numbers of prompts from 1 to {n_prompts}, those there are to "
            f"train on, or shares in (0, 1], got {sizes.tolist()}."
        )
    if not whole:
        sizes = np.maximum(np.round(sizes * n_prompts), 1).astype(np.intp)
    return np.unique(sizes)
