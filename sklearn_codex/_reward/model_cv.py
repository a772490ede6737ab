"""The strength of the penalty of a reward model, chosen by cross-validation."""

import reprlib
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, check_cv
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_codex._checks.groups import check_groups, encode_groups
from sklearn_codex._checks.matrices import as_csr
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.turned import turn
from sklearn_codex._fits import whole_fit
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights
from sklearn_codex._reward.leakage import (
    TrainingPairs,
    shared_prompts,
    vectors_as_pairs,
    warn_of_leakage,
)
from sklearn_codex._reward.linear_reward import RewardModelBase
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex._reward.penalty_path import check_Cs
from sklearn_codex._reward.strength import (
    SCORES,
    average_C,
    climb,
    log_prior_of_C,
    log_prior_of_factors,
)
from sklearn_codex._stage import Stage

# Enough to tell one C from another; the final fit goes to the tolerance asked for.
FOLD_TOL = 1e-3
N_FOLDS = 5
SCALES = (0.2, 1.0)
UNION_BLOCKS = ("form", "embedding", "products", "words", "characters")


class PreferenceRewardModelCV(RewardModelBase):
    r"""Bradley-Terry reward model whose penalty is chosen by cross-validation by prompt.

    As :class:`PreferenceRewardModel`, with C chosen on folds that keep prompts together. Each
    distinct response is vectorized once for all folds, and each fold is one warm-started path.

    Parameters
    ----------
    Cs : int or array-like of float, default=10
        Values of C; a number of them means as many from 1e-4 to 100, evenly in their logarithm.
    cv : int, splitter, iterable or None, default=None
        How to split. None and numbers split by ``groups`` if there are any, by the prompts of text
        pairs that have them, and else pair by pair, in 5 folds, or fewer for few groups. A
        scikit-learn splitter or an iterable of (train, test) is used as it is.
    scoring : str or callable, default="neg_log_loss"
        What is to be greatest on the held-out pairs: "neg_log_loss", "accuracy", "neg_brier_score"
        or "roc_auc", where soft labels and ties count as in :mod:`sklearn_codex.metrics`; or a
        callable ``scorer(model, X, y)``, for which pairs are vectorized again.
    prior_scale : float or None, default=0.4
        How far C may be from where its prior is greatest: one standard deviation of its decimal
        logarithm, and of that of a factor of a block from 1. It decides on few pairs, where
        held-out scores of all C are much the same, and fades as there are more; see Notes. Only for
        "neg_log_loss". None chooses by the score alone.
    patience : int or None, default=None
        The path over ascending C ends after this many values in a row that are no better, by what
        chooses C, than the best before, once that is not the first: weak penalties take
        longest to fit and seldom come back, unless scales of columns differ by orders of magnitude.
        Only for "neg_log_loss" and "neg_brier_score": where C is small, the order of margins does
        not depend on it, and other scores are flat before they rise. None tries all values.
    vectorizer : transformer, "preference" or None, default=None
        As in :class:`PreferenceRewardModel`. It is fitted on the responses of all folds, without
        their labels. ``preference_features(embedder, product_weight=1.0)`` takes all that is there:
        words, form, embeddings, and what response and prompt have in common.
    block_scales : dict, "auto" or None, default="auto"
        Factors by which to scale blocks of columns of a ``ColumnTransformer``, a list for each
        name. The greatest are tried first, with all C, then those of one block at a time, as long
        as any is better. "auto" is ``{"form": [0.2, 1]}`` for the vectorizer "preference"; the
        same for every block of one of ``preference_features(embedder)``, so that whatever does
        not help counts little; and None for any other.
    position_bias : bool, default=False
        As in :class:`PreferenceRewardModel`.
    control_length : bool, default=False
        As in :class:`PreferenceRewardModel`.
    tol : float, default=1e-8
        Tolerance of the final fit; those of folds stop at 1e-3.
    max_iter : int, default=100
        At most this many Newton steps in each fit.

    Attributes
    ----------
    C_ : float
        By the score and the prior a mean of ``Cs_``; without a prior the best of them, of equals
        the smallest.
    Cs_ : ndarray of shape (n_Cs,)
        Values of C, ascending.
    scores_ : ndarray of shape (n_folds, n_Cs)
        Scores of held-out pairs, with the chosen scales; NaN where a fold has no weight and for
        values of C that ``patience`` left out.
    block_scales_ : dict or None
        The chosen factor of each block.
    coef_ : ndarray of shape (1, V)
        Weights w of the reward, fitted on all pairs.
    classes_ : ndarray of shape (2,)
        The two labels; the second, greater one means that A is preferred.
    position_bias_ : float
        The intercept, in nats of log-odds; 0 unless ``position_bias=True``.
    length_coef_ : ndarray of shape (2,)
        As in :class:`PreferenceRewardModel`.
    length_scale_ : float or None
        As in :class:`PreferenceRewardModel`.
    loss_ : float
        Weighted mean log-loss on the training pairs, in nats per pair.
    n_iter_ : int
        Newton steps of the final fit.
    history_ : list of dict
        One record per iteration of the final fit, as in :class:`PreferenceRewardModel`.
    vectorizer_ : transformer or None
        The fitted vectorizer, None where the model was fitted on unnamed differences.
    n_features_in_ : int
        V, the number of features of a response.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where differences came as a data frame with string column names.

    See Also
    --------
    PreferenceRewardModel : With a C that is given; formulas and references.
    preference_path : The path over C.

    Notes
    -----
    The score of a C is the mean over folds, weighted by the weight of their held-out pairs. With
    the mean held-out log-likelihood :math:`\bar\ell(C)` of n pairs, every C of ``Cs_`` weighs

    .. math::
        v(C) = \exp\left(n \bar\ell(C) - \frac{1}{2 s^2} \log_{10}^2 \frac{C}{C_0}
               - \frac{1}{2 s^2} \sum_b \log_{10}^2 f_b\right),
        \qquad C_0 = 4 / \overline{\|d\|^2},

    with s the ``prior_scale``, :math:`\overline{\|d\|^2}` the mean squared norm of the differences
    of features, and :math:`f_b` the factors of blocks, if any. The factors chosen are those whose
    v(C) have the greatest sum, and the logarithm of ``C_`` is the mean of that of C, weighted by
    v(C): on few pairs that predicts better than the best C. Before any label is seen coefficients
    are Gaussian of variance C, so margins have the variance 4 at :math:`C_0`, whatever the units
    of the features; for the preset :math:`C_0` is near 1. On 100 to 200 pairs, C by the score alone
    may be any from 1 to 100, and predicts worse than C = 1 on some data;
    ``benchmarks/choose_c.py`` compares them.

    A factor d for a block divides the penalty of its weights by :math:`d^2`, which is the same as
    multiplying its columns by d.

    A splitter around this model is given ``groups``, and by default does not hand them on; ``fit``
    then splits pairs of numbers one by one, and chooses a C that is too large where prompts recur.
    It warns where responses recur, too; of differences nothing is known. Pairs of text, or of
    vectors in a data frame, with their prompts need nothing. For others
    ``sklearn.set_config(enable_metadata_routing=True)`` and
    ``cross_val_score(model, X, y, params={"groups": prompts}, cv=GroupKFold())``.

    Examples
    --------
    >>> from sklearn_codex import PreferenceRewardModelCV
    >>> from sklearn_codex.datasets import make_preferences
    >>> data = make_preferences(500, n_features=10, n_prompts=50, random_state=0)
    >>> model = PreferenceRewardModelCV().fit(data.X, data.y, groups=data.groups)
    >>> model.scores_.shape, bool(model.C_ > 0.01)
    ((5, 10), True)
    """

    _parameter_constraints: dict = {
        **PreferenceRewardModel._parameter_constraints,
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(SCORES)), callable],
        "prior_scale": [Interval(Real, 0, None, closed="neither"), None],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "block_scales": [dict, StrOptions({"auto"}), None],
    }
    for parameter in ("C", "warm_start"):
        _parameter_constraints.pop(parameter)

    rlhf_stage = Stage(reads=("preference",), provides="reward", soft_labels=True)

    # Which pairs belong together has to reach every fit, so groups are always asked for.
    __metadata_request__fit = {"groups": True}

    def __init__(
        self,
        Cs=10,
        *,
        cv=None,
        scoring="neg_log_loss",
        prior_scale=0.4,
        patience=None,
        vectorizer=None,
        block_scales="auto",
        position_bias=False,
        control_length=False,
        tol=1e-8,
        max_iter=100,
    ):
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.prior_scale = prior_scale
        self.patience = patience
        self.vectorizer = vectorizer
        self.block_scales = block_scales
        self.position_bias = position_bias
        self.control_length = control_length
        self.tol = tol
        self.max_iter = max_iter

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, groups=None):
        """Choose C on held-out prompts and learn the reward from all pairs.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in :meth:`PreferenceRewardModel.fit`.
        y : array-like of shape (n_pairs,)
            Two classes, or probabilities that A is preferred, as there.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of pairs, in fits and in scores.
        groups : array-like of shape (n_pairs,), default=None
            Prompt of each pair. None: the prompts of X, where it is text with three columns.

        Returns
        -------
        self : PreferenceRewardModelCV

        Raises
        ------
        ValueError
            As in :meth:`PreferenceRewardModel.fit`; or if blocks are unknown, or no C has a score
            on every fold.

        Warns
        -----
        LeakageWarning
            If pairs of one prompt stand on both sides of a split; for pairs without prompts, if
            more than a quarter of the responses of at least 40 characters, or of the vectors, do.
        ConvergenceWarning
            If ``max_iter`` steps were not enough for the final fit.
        """
        problem = self._read(X, y, sample_weight)
        self._require_both_preferred(problem)
        self.classes_ = problem.labels.classes
        if groups is not None:
            groups = check_groups(groups, len(problem.weight))
        self.Cs_ = check_Cs(self.Cs)
        splits = self._split(X, y, problem, groups)
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        penalty = self._search(X, y, problem, splits)
        self._minimise(problem.make_loss(self.C_, penalty), context=context)
        self._training_pairs = TrainingPairs(problem.pairs)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _split(self, X, y, problem, groups):
        """Return the splits, after a warning where they do not keep prompts together."""
        given = groups is not None
        if not given and problem.pairs is not None and problem.pairs.prompts is not None:
            groups = shared_prompts(problem.pairs)
            if len(np.unique(groups)) < 2:
                groups = None
        if groups is not None:
            groups = encode_groups(groups, len(problem.weight))
        splitter = self._splitter(problem.labels, groups)
        if not (given or isinstance(splitter, GroupsConsumerMixin)):
            groups = None
        n_pairs = len(problem.weight)
        splits = list(splitter.split(np.zeros((n_pairs, 1)), y, groups))
        splits = _check_splits(splits, n_pairs, subject=type(self).__name__)
        pairs = problem.pairs
        if pairs is None and not given:
            pairs = vectors_as_pairs(X, subject=type(self).__name__)
        if pairs is not None and _leaks(pairs, splits):
            warn_of_leakage(
                f"{type(self).__name__} chooses C on splits with the same prompts, or responses, "
                "on both sides, so it will choose one that is too large.",
                stacklevel=3,
            )
        return splits

    def _splitter(self, labels, groups):
        """Return what splits: by group where there are groups, unless ``cv`` says otherwise."""
        if self.cv is not None and not isinstance(self.cv, Integral):
            return check_cv(self.cv)
        most = N_FOLDS if self.cv is None else self.cv
        if groups is not None:
            n_groups = len(np.unique(groups))
            if n_groups < 2:
                raise ValueError(
                    f"{type(self).__name__} chooses C on groups that are held out, got one group "
                    f"for all {len(groups)} pairs. Pass pairs of at least two prompts, leave "
                    "groups out to split pair by pair, or fit PreferenceRewardModel with a C."
                )
            return GroupKFold(max(2, min(most, n_groups)))
        if labels.soft:
            return KFold(max(2, min(most, len(labels.target))))
        rarest = int(min(labels.target.sum(), (1 - labels.target).sum()))
        # A class of one pair cannot be on both sides, wherever it goes.
        splitter = StratifiedKFold if rarest > 1 else KFold
        return splitter(max(2, min(most, rarest if rarest > 1 else len(labels.target))))

    def _search(self, X, y, problem, splits):
        """Set what was chosen and the scores; return the penalty factors (V + k,)."""
        choices = self._scales_to_try()
        design, source = self._design_of_folds(problem, choices)
        has_weight = [problem.weight[test].any() for _, test in splits]
        folds = [
            (train, test, design.take(train), design.take(test))
            for (train, test), counts in zip(splits, has_weight, strict=True)
            if counts
        ]

        def try_scales(scales):
            penalty = problem.penalty / self._column_scales(scales, len(problem.penalty)) ** 2
            # Paths of all folds go side by side, so that they can end together.
            paths = [self._score_path(X, y, problem, fold, penalty[source]) for fold in folds]
            prior = self._log_prior(problem, penalty, scales)
            return *self._choose_C(problem, folds, paths, prior), scales, penalty

        highest, C, scores, scales, penalty = climb(try_scales, choices)
        if highest == -np.inf:
            raise ValueError(
                f"{type(self).__name__} has no score to choose C by: with every C the score "
                f"{self.scoring!r} is NaN on some fold, as 'roc_auc' is where all held-out pairs "
                "have one class. Take fewer folds, or another score."
            )
        self.C_, self.block_scales_ = float(C), scales or None
        self.scores_ = np.full((len(splits), len(self.Cs_)), np.nan)
        self.scores_[has_weight] = scores
        return penalty

    def _choose_C(self, problem, folds, paths, prior):
        """Return how good the best is, the C, and the scores (n_folds, n_Cs), of paths of folds."""
        rises_first = self.scoring in ("neg_log_loss", "neg_brier_score")
        patience = self.patience if rises_first and self.patience is not None else np.inf
        fold_weight = [problem.weight[test].sum() for _, test, *_ in folds]
        n_pairs = problem.weight.sum()
        scores = np.full((len(folds), len(self.Cs_)), np.nan)
        mean = np.full(len(self.Cs_), -np.inf)
        for position, column in enumerate(zip(*paths, strict=True)):
            scores[:, position] = column
            if not np.isnan(column).any():
                mean[position] = np.average(column, weights=fold_weight)
                mean[position] += 0.0 if prior is None else prior[position] / n_pairs
            if 0 < mean.argmax() <= position - patience:
                break
        if prior is None:
            return mean.max(), self.Cs_[mean.argmax()], scores
        return *average_C(n_pairs * mean, self.Cs_), scores

    def _design_of_folds(self, problem, choices):
        """Return the design by which folds are quickest, and whose penalties its columns have."""
        # To turn it takes about as long as one path; callables ask for the weights of features.
        if not any(len(values) > 1 for values in choices.values()) or callable(self.scoring):
            return problem.design, np.arange(len(problem.penalty))
        known = unwrap(self.vectorizer_).output_indices_
        every = np.arange(self.n_features_in_)
        blocks = [every[known[name]] for name in choices]
        others = np.setdiff1d(every, np.concatenate(blocks))
        return turn(problem.design, [block for block in (others, *blocks) if len(block)])

    def _log_prior(self, problem, penalty, scales):
        """Return the log-density of each C with these factors (n_Cs,), None where there is none."""
        if self.prior_scale is None or self.scoring != "neg_log_loss":
            return None
        n = self.n_features_in_
        squares = problem.design.column_squares(problem.weight)[:n]
        size = squares @ (1 / penalty[:n]) / problem.weight.sum()
        if not size > 0:
            return None
        factors = np.array(list(scales.values()))
        of_factors = log_prior_of_factors(factors, self.prior_scale)
        return log_prior_of_C(self.Cs_, size, self.prior_scale) + of_factors

    def _score_path(self, X, y, problem, fold, penalty):
        """Yield the score of each C, ascending, on the held-out pairs of a fold."""
        train, test, train_design, test_design = fold
        target, weight = problem.labels.target[train], problem.weight[train]
        tol, start = max(self.tol, FOLD_TOL), None
        loss = BradleyTerryLoss(train_design, target, weight, penalty=penalty, rough=True)
        before, logs = None, np.log(self.Cs_)
        for place, C in enumerate(self.Cs_):
            ahead = start
            if before is not None:  # weights go on about as they went, in the logarithm of C
                stretch = (logs[place] - logs[place - 1]) / (logs[place - 1] - logs[place - 2])
                ahead = start + stretch * (start - before)
            state = fit_weights(loss.with_C(C), ahead, tol=tol, max_iter=self.max_iter)
            before, start = start, state.point.weights
            yield self._score_fold(X, y, problem, test, test_design, start)

    def _score_fold(self, X, y, problem, test, design, weights):
        """Return the score of weights on the held-out pairs of a fold."""
        if callable(self.scoring):
            self.__dict__.update(self._attributes_of(weights))
            self._training_pairs = TrainingPairs(None)
            rows = as_csr(X) if sparse.issparse(X) else X  # of any format; checked when read
            return self.scoring(self, _safe_indexing(rows, test), _safe_indexing(y, test))
        score = SCORES[self.scoring]
        return score(problem.labels.target[test], design.matvec(weights), problem.weight[test])

    def _scales_to_try(self):
        """Return the factors to try of each block by its name, the greatest first."""
        blocks = self.block_scales
        known = getattr(unwrap(self.vectorizer_), "output_indices_", {})
        if isinstance(blocks, str):
            blocks = {}
            if {"words", "characters", "form", "embedding"} <= set(known):
                blocks = {name: SCALES for name in UNION_BLOCKS if name in known}
            elif self._has_preset() and self.vectorizer_ is not None:
                blocks = {"form": SCALES}
        if not blocks:
            return {}
        if not isinstance(unwrap(self.vectorizer_), ColumnTransformer) or not set(blocks) <= set(
            known
        ):
            raise ValueError(
                f"{type(self).__name__} got block_scales of {sorted(blocks)}, but its vectorizer "
                f"has the blocks {sorted(set(known) - {'remainder'})}. Blocks are those of a "
                "ColumnTransformer."
            )
        return {name: _check_scales(name, scales) for name, scales in blocks.items()}

    def _column_scales(self, scales, n_weights):
        """Return the factor of each column (V + k,)."""
        factors = np.ones(n_weights)
        for name, scale in (scales or {}).items():
            factors[unwrap(self.vectorizer_).output_indices_[name]] = scale
        return factors


def _check_scales(name, scales):
    values = np.asarray(scales, dtype=np.float64).ravel()
    if len(values) == 0 or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"block_scales[{name!r}] should be positive numbers, got {scales!r}.")
    return sorted(values.tolist(), reverse=True)


def _check_splits(splits, n_pairs, *, subject):
    """Return splits as rows (train, test), each of them some of the pairs."""
    if not splits:
        raise ValueError(
            f"{subject} chooses C on held-out pairs, and cv has no split. Pass at least one "
            "(train, test), or a number of folds."
        )
    return [
        tuple(
            _check_side(side, n_pairs, f"the {name} side of split {place} of cv", subject)
            for name, side in zip(("train", "test"), split, strict=True)
        )
        for place, split in enumerate(splits)
    ]


def _check_side(rows, n_pairs, name, subject):
    """Return the rows of one side of a split, given as rows or as a mask."""
    rows = np.asarray(rows)
    if rows.dtype == bool and rows.shape == (n_pairs,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or not len(rows):
        raise ValueError(
            f"{subject} needs pairs on both sides of each split, but {name} has shape "
            f"{rows.shape}. Leave the split out."
        )
    if rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= n_pairs:
        outside = rows[(rows < 0) | (rows >= n_pairs)] if rows.dtype.kind in "iu" else rows
        raise ValueError(
            f"{subject} needs rows of its {n_pairs} pairs, integers from 0 to {n_pairs - 1}, but "
            f"{name} has {reprlib.repr(outside.tolist())}. Make cv of these pairs."
        )
    return rows


def _leaks(pairs, splits):
    """Return whether a prompt, or a response where there are none, is on both sides of a split."""
    return any(
        TrainingPairs(pairs.take(train)).shares_prompts(pairs.take(test)) for train, test in splits
    )
