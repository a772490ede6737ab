"""What any policy over candidates can be asked of them: how probable each is, and draws."""

from collections.abc import Callable
from inspect import cleandoc

import numpy as np
from sklearn.utils import check_random_state

from sklearn_codex._categorical import FloatArray, IntArray, normalize_log_within
from sklearn_codex._checks.numbers import COUNT, check_number

_ROWS = """\
X : rows (prompt, response), sequence of str, or array-like of shape (n_rows, n_features)
    Candidates, as in ``fit``; their prompts may be new."""
_OF_ROWS = """\
groups : array-like of shape (n_rows,), default=None
    The prompt of each row, as in ``fit``.
reference_log_prob : array-like of shape (n_rows,), default=None
    Log-probabilities under the reference, as in ``fit``."""


def takes_candidates(method: Callable) -> Callable:
    """Say in the docstring, in the places of {rows} and {of_rows}, which candidates are taken."""
    if method.__doc__ is not None:  # as it is where docstrings are stripped
        doc = cleandoc(method.__doc__)
        method.__doc__ = doc.replace("{rows}", _ROWS).replace("{of_rows}", _OF_ROWS)
    return method


class CandidateChoicesMixin:
    """Probabilities, ranks and draws of candidates.

    Derived classes say, in ``_read(X, groups, reference_log_prob)``, which rows there are and the
    objective whose optimum the policy is.
    """

    _read: Callable

    @takes_candidates
    def predict_choice(self, X, groups=None, reference_log_prob=None):
        """Return the probability of each candidate among those of its prompt.

        Parameters
        ----------
        {rows}
        {of_rows}

        Returns
        -------
        probability : ndarray of shape (n_rows,)
            Adds up to 1 over the rows of each prompt.
        """
        rows, objective = self._read(X, groups, reference_log_prob)
        return np.exp(normalize_log_within(objective.optimum(), rows.prompts))

    @takes_candidates
    def predict_proba(self, X, groups=None, reference_log_prob=None):
        """Return the probabilities that a candidate is not chosen, and that it is.

        Parameters
        ----------
        {rows}
        {of_rows}

        Returns
        -------
        proba : ndarray of shape (n_rows, 2)
            In the order of ``classes_``, False and True; the second is :meth:`predict_choice`.
        """
        return np.exp(self.predict_log_proba(X, groups, reference_log_prob))

    @takes_candidates
    def predict_log_proba(self, X, groups=None, reference_log_prob=None):
        """Return the logarithms of :meth:`predict_proba`, also where that rounds to 0.

        Parameters
        ----------
        {rows}
        {of_rows}

        Returns
        -------
        log_proba : ndarray of shape (n_rows, 2)
            Natural logarithms, in the order of ``classes_``, False and True.
        """
        rows, objective = self._read(X, groups, reference_log_prob)
        return np.column_stack(log_odds_within(objective.optimum(), rows.prompts))

    @takes_candidates
    def rank(self, X, groups=None, reference_log_prob=None):
        """Return the place of each candidate among those of its prompt, by their probability.

        Parameters
        ----------
        {rows}
        {of_rows}

        Returns
        -------
        rank : ndarray of int of shape (n_rows,)
            1 for the best. Equal candidates share the better place.
        """
        rows, objective = self._read(X, groups, reference_log_prob)
        return rank_within(objective.optimum(), rows.prompts)

    @takes_candidates
    def predict(self, X, groups=None, reference_log_prob=None):
        """Tell the best candidate of each prompt, that of the greatest probability.

        Parameters
        ----------
        {rows}
        {of_rows}

        Returns
        -------
        is_best : ndarray of bool of shape (n_rows,)
            A mask of one row a prompt; of equal ones the first.
        """
        rows, objective = self._read(X, groups, reference_log_prob)
        best = np.flatnonzero(rank_within(objective.optimum(), rows.prompts) == 1)
        is_best = np.zeros(len(rows), dtype=bool)
        is_best[best[np.unique(rows.prompts[best], return_index=True)[1]]] = True
        return is_best

    @takes_candidates
    def sample(self, X, groups=None, reference_log_prob=None, *, n_samples=1, random_state=None):
        """Draw candidates of each prompt from the policy.

        Parameters
        ----------
        {rows}
        {of_rows}
        n_samples : int, default=1
            Draws for each prompt, independent of each other.
        random_state : int, RandomState instance or None, default=None
            Source of all draws.

        Returns
        -------
        rows : ndarray of int of shape (n_prompts, n_samples)
            Positions in X of the rows drawn; prompts by their first row.
        """
        n_samples = check_number(
            n_samples, "n_samples", subject=f"{type(self).__name__}.sample", interval=COUNT
        )
        rows, objective = self._read(X, groups, reference_log_prob)
        rng = check_random_state(random_state)
        return sample_within(objective.optimum(), rows.prompts, n_samples, rng)


def log_odds_within(log_prob: FloatArray, codes: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return log(1 - p) and log p (n,) of each row within its group, each with its digits near 0.

    The most probable row of a group is known from what the others have.
    """
    chosen = normalize_log_within(log_prob, codes)
    ends = np.cumsum(np.bincount(codes))
    best = np.lexsort((-chosen, codes))[np.concatenate([[0], ends[:-1]])]
    prob = np.exp(chosen)
    prob[best] = 0.0
    others = np.bincount(codes, prob)
    with np.errstate(divide="ignore"):
        rest = np.log1p(-prob)
        rest[best], chosen[best] = np.log(others), np.log1p(-others)
    return rest, chosen


def rank_within(log_prob: FloatArray, codes: IntArray) -> IntArray:
    """Return the place (n,) of each row in its group, 1 for the most probable; equal ones share."""
    order = np.lexsort((-log_prob, codes))
    sorted_codes, values = codes[order], log_prob[order]
    starts = np.searchsorted(sorted_codes, sorted_codes)
    same = np.zeros(len(order), dtype=bool)
    same[1:] = (sorted_codes[1:] == sorted_codes[:-1]) & (values[1:] == values[:-1])
    places = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    ranks = np.empty(len(order), dtype=np.intp)
    ranks[order] = places - starts + 1
    return ranks


def sample_within(
    log_prob: FloatArray, codes: IntArray, n_samples: int, rng: np.random.RandomState
) -> IntArray:
    """Return positions (n_groups, n_samples) of rows, each drawn among those of its group."""
    order = np.argsort(codes, kind="stable")
    prob = np.exp(normalize_log_within(log_prob, codes))[order]
    sizes = np.bincount(codes)
    ends = np.cumsum(sizes)
    total = np.cumsum(prob)
    before = np.repeat(np.concatenate([[0.0], total[ends[:-1] - 1]]), sizes)
    # The last row that can be drawn, and those after it, end the unit interval of their group.
    share = np.minimum(total - before, 1.0)
    last = np.maximum.reduceat(np.where(prob > 0, np.arange(len(prob)), -1), ends - sizes)
    share[np.arange(len(prob)) >= np.repeat(last, sizes)] = 1.0
    uniform = rng.random_sample((len(sizes), n_samples)) + np.arange(len(sizes))[:, np.newaxis]
    drawn = np.searchsorted(share + codes[order], uniform, side="right")
    return order[np.minimum(drawn, np.repeat(last, n_samples).reshape(drawn.shape))]
