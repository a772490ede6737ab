"""What the audit works on: pairs, groups kept together, and the features of responses."""

import warnings
from functools import cached_property

import numpy as np
from scipy import sparse
from sklearn.model_selection import GroupKFold
from sklearn.utils import Bunch, check_random_state

from sklearn_codex import TokenCounter
from sklearn_codex._reward.held_out import as_design, margins_without
from sklearn_codex._reward.preset_design import preset_design
from sklearn_codex.exceptions import RareTokensWarning
from sklearn_codex.report._audit_progress import within

MIN_GROUPS = 10
MIN_PAIRS = 50
N_FOLDS = 5
N_FOLDS_LARGE = 3
LARGE = 5000  # pairs
MOST_DRAWS = 5
"""Of the folds; as many as make up LARGE pairs, and at least two, where data are not large."""
# As many as have an exact covariance at little cost; more predict no better on held-out prompts.
MAX_TOKENS = 1999
# Enough to tell models from each other.
TOL = 1e-3
PER_PAIR = ("X", "y", "where", "oriented", "sample_weight")


class AuditData:
    """Pairs with the differences of their features, each kind computed once and when asked for.

    Parameters
    ----------
    data : Bunch
        As from :func:`sklearn_codex.datasets.read_preferences`, perhaps with ``vectors`` (n_pairs,
        2, d) by their ids.
    groups : ndarray of shape (n_pairs,)
        What must not be torn apart by a split.
    seed : int
        Source of all draws.
    row_numbers : ndarray of shape (n_pairs,), default=None
        Rows of the file, where these pairs are a sample; None means all rows in order.
    """

    def __init__(self, data, groups, seed, row_numbers=None):
        self.X, self.y = data.X, data.y
        self.where, self.oriented = data.where, data.oriented
        self.sample_weight = data.sample_weight
        self.weight = None if np.all(data.sample_weight == 1) else data.sample_weight
        self.row_numbers = np.arange(len(data.y)) if row_numbers is None else row_numbers
        self.groups = np.unique(groups, return_inverse=True)[1].reshape(-1)
        self.n_groups = int(self.groups.max()) + 1
        self.decided = (self.y != 0.5) & (self.sample_weight > 0)
        self.seed = seed
        self.advance = lambda share: None
        self.vectors = data.get("vectors")
        rows: dict[tuple[str, str], int] = {}
        self.a, self.b = (
            np.array([rows.setdefault((row[0], row[side]), len(rows)) for row in data.X])
            for side in (1, 2)
        )
        self.responses = np.array(list(rows), dtype=object)  # (n_responses, 2)
        self.compared_pairs = self.a, self.b

    def take(self, rows):
        """Return some of the pairs, which know what all of them compare."""
        sample = AuditData(
            Bunch(
                **{name: getattr(self, name)[rows] for name in PER_PAIR},
                vectors=None if self.vectors is None else self.vectors[rows],
            ),
            self.groups[rows],
            self.seed,
            self.row_numbers[rows],
        )
        code = np.full(len(self.responses), -1)
        code[self.a[rows]], code[self.b[rows]] = sample.a, sample.b
        a, b = code[self.a], code[self.b]
        known = (a >= 0) & (b >= 0)
        sample.compared_pairs = a[known], b[known]
        return sample

    @property
    def is_large_enough(self):
        """Whether there is enough to say anything about prompts never seen."""
        n_groups = len(np.unique(self.groups[self.tells]))
        return n_groups >= MIN_GROUPS and int(self.tells.sum()) >= MIN_PAIRS

    def pair(self, row):
        """Return where a row stands in the file, its texts and its label.

        A chosen and a rejected response keep these names; the label is then the probability that
        the chosen one is preferred.
        """
        return {
            "where": self.where[row],
            "row": int(self.row_numbers[row]),
            **name_texts(self, row),
            "label": self.named_probability(row, self.y[row]),
        }

    def named_probability(self, row, probability):
        """Return the probability that the first of the two that ``pair`` names is preferred."""
        return float(1 - probability if is_turned(self, row) else probability)

    @cached_property
    def tells(self):
        """Whether a pair is no tie and has two responses that differ."""
        stripped = [text.strip() for text in self.responses[:, 1]]
        differ = np.array([stripped[a] != stripped[b] for a, b in zip(self.a, self.b, strict=True)])
        return self.decided & differ

    @cached_property
    def decided_groups(self):
        """Groups that have a pair that is no tie."""
        return np.unique(self.groups[self.decided])

    @cached_property
    def counts(self):
        """Token counts (n_responses, V), and their names."""
        options = {"lowercase": True, "min_count": 3, "max_features": MAX_TOKENS}
        counter = TokenCounter("script-word", **options)
        with warnings.catch_warnings():  # the report says what words can tell
            warnings.simplefilter("ignore", RareTokensWarning)
            counts = counter.fit_transform(self.responses[:, 1].tolist())
        self.counter = counter
        return sparse.csr_array(counts)

    @property
    def tokens(self):
        """Names of the columns of ``counts``."""
        return np.asarray(self.counter_of_counts().get_feature_names_out(), dtype=object)

    def counter_of_counts(self):
        """Return the fitted counter of ``counts``."""
        _ = self.counts
        return self.counter

    @cached_property
    def words(self):
        """Differences of token counts (n_pairs, V)."""
        return self.differences(self.counts)

    @cached_property
    def preset(self):
        """Design of the preset of features (n_pairs, n_columns)."""
        design, self._form, self._form_names = preset_design(
            self.responses, self.a, self.b, self.advance
        )
        return design

    def with_preset_of(self, other):
        """Take the preset of the same pairs from where it was made, if it was."""
        if "preset" in vars(other):
            self.preset = other.preset
            self._form, self._form_names = other.form
        return self

    @property
    def form(self):
        """Differences of the form of responses (n_pairs, n_columns), and the names."""
        _ = self.preset
        return self._form, self._form_names

    @cached_property
    def length(self):
        """Differences of length in characters, raw and in logarithms, scaled (n_pairs, 2)."""
        characters = np.array([len(text) for text in self.responses[:, 1]], dtype=float)
        both = np.column_stack([characters, np.log1p(characters)])
        difference = both[self.a] - both[self.b]
        return difference / np.maximum(np.sqrt((difference**2).mean(axis=0)), 1e-12)

    @cached_property
    def length_difference(self):
        """Characters of A less those of B."""
        return np.array([len(a) - len(b) for _, a, b in self.X], dtype=float)

    def differences(self, features):
        """Return features of A less features of B (n_pairs, n_columns)."""
        return sparse.csr_array(features[self.a] - features[self.b])

    @property
    def folds(self):
        """Train and test rows, groups kept together."""
        return self.draws_of_folds[0]

    @cached_property
    def draws_of_folds(self):
        """Folds, drawn several times."""
        n_pairs, rng = len(self.y), check_random_state(self.seed)
        n_folds = min(N_FOLDS if n_pairs <= LARGE else N_FOLDS_LARGE, self.n_groups)
        n_draws = 1 if n_pairs > LARGE else int(np.clip(LARGE // n_pairs, 2, MOST_DRAWS))
        seeds = [self.seed, *rng.randint(2**31 - 1, size=n_draws - 1).tolist()]
        splitters = [GroupKFold(n_folds, shuffle=True, random_state=seed) for seed in seeds]
        return [list(splitter.split(self.y, groups=self.groups)) for splitter in splitters]


def is_turned(pairs, row):
    """Whether the reader made response B of the chosen one."""
    return bool(pairs.oriented[row] and pairs.y[row] < 0.5)


def name_texts(pairs, row):
    """Return the texts of a row of pairs under their names: chosen and rejected keep theirs."""
    prompt, a, b = pairs.X[row]
    if not pairs.oriented[row]:
        return {"prompt": prompt, "response_a": a, "response_b": b}
    chosen, rejected = (b, a) if is_turned(pairs, row) else (a, b)
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def weights_of(data, rows=None):
    """Return the weights of some rows of pairs, all for None; None where each pair weighs 1."""
    weight = getattr(data, "weight", None)
    return weight if weight is None or rows is None else weight[rows]


def turn_pairs(D, y):
    """Exchange A and B in some pairs so that both classes occur.

    The Bradley-Terry model is antisymmetric, so this changes nothing of what is learned.
    """
    decided = np.flatnonzero(y != 0.5)
    wanted = np.arange(len(decided)) % 2 == 0
    turned = np.zeros(len(y), dtype=bool)
    turned[decided] = (y[decided] > 0.5) != wanted
    sign = np.where(turned, -1.0, 1.0)
    if isinstance(D, sparse.csr_array):  # of a large matrix the values are copied, nothing else
        data = np.repeat(sign, np.diff(D.indptr))
        data *= D.data
        D = sparse.csr_array((data, D.indices, D.indptr), shape=D.shape)
    else:
        D = D * sign[:, np.newaxis]
    return D, np.where(turned, 1 - y, y)


def fit_differences(model, data, D, rows=None, **params):
    """Fit an antisymmetric model to some rows of differences, however its pairs are turned."""
    y = data.y
    if rows is not None:
        D, y = D[rows], y[rows]
    turned = turn_pairs(D, y)
    del D  # which may be as large as all that is held beside it
    return model.fit(*turned, sample_weight=weights_of(data, rows), **params)


def cross_fit(data, D, *, C=1.0, folds=None, choose=None, advance=lambda share: None):
    """Return margins (n_pairs,) of models that never saw the group, NaN outside the folds.

    Parameters
    ----------
    data : AuditData
        The pairs.
    D : PairDesign, ndarray or sparse array of shape (n_pairs, n_columns)
        Their feature differences.
    C : float, default=1.0
        That of ``PreferenceRewardModel``.
    folds : list of (train, test), default=None
        None is ``data.folds``.
    choose : callable, default=None
        Takes the rows of a training side and returns those to fit on.
    advance : callable, default=None
        Called with the share of the folds that are done.
    """
    margins = np.full(len(data.y), np.nan)
    folds, design = data.folds if folds is None else folds, as_design(D)
    options = {"C": C, "tol": TOL, "weight": weights_of(data)}
    for n_done, (train, test) in enumerate(folds):
        advance(n_done / len(folds))
        rows = train if choose is None else choose(train)
        margins[test] = margins_without(design, data.y, rows, test, **options)
    return margins


def cross_fit_draws(data, D, *, C=1.0, advance=lambda share: None):
    """Return margins (n_draws, n_pairs) as of ``cross_fit``, one row for each draw of the folds."""
    draws, design = data.draws_of_folds, as_design(D)
    return np.array(
        [
            cross_fit(
                data, design, C=C, folds=folds,
                advance=within(advance, n_done / len(draws), (n_done + 1) / len(draws)),
            )
            for n_done, folds in enumerate(draws)
        ]
    )  # fmt: skip
