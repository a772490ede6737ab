"""A mean over groups of pairs: its standard error by the jackknife, its interval and p-value."""

import numpy as np
from scipy.stats import t
from sklearn.utils import check_random_state

from sklearn_codex._few_groups import critical_value, effective_groups, jackknife_variance

# Signs drawn at a time by the bootstrap: 32 MB.
CHUNK_DRAWS = 2**22


class GroupedMean:
    """The weighted mean of values, and what leaving out each group does to it.

    Parameters
    ----------
    values, weight : ndarray of shape (n_pairs,)
        Values and their weights, which are positive.
    codes : ndarray of int of shape (n_pairs,)
        The group of each, from 0, each of them there.

    Attributes
    ----------
    mean : float
        The mean.
    n_groups : int
        Groups.
    weight, deviation : ndarray of shape (n_groups,)
        Sums of the weights and of the weighted deviations from the mean.
    n_effective : float
        Effective number of groups: of a mean, groups tell in the parts sum of squared weights.
    standard_error : float
        By the jackknife; NaN for one group.
    """

    def __init__(self, values, weight, codes):
        self.mean = float(np.average(values, weights=weight))
        self.weight = np.bincount(codes, weight)
        self.n_groups = len(self.weight)
        # Deviations from the mean, so that equal values have exactly none.
        self.deviation = np.bincount(codes, weight * (values - self.mean))
        self.n_effective, self.standard_error = 1.0, np.nan
        if self.n_groups > 1:
            parts = np.bincount(codes, weight**2)[:, np.newaxis]
            self.n_effective = float(effective_groups(parts)[0])
            self.standard_error = float(np.sqrt(jackknife_variance(self._moves())))

    def _moves(self):
        """Return by how much leaving out each group moves the mean (n_groups,)."""
        rest, deviation = self.weight.sum() - self.weight, self.deviation.copy()
        # Of a group that outweighs all others, what is left is less than its rounding error.
        greatest = np.argmax(self.weight)
        rest[greatest] = np.delete(self.weight, greatest).sum()
        deviation[greatest] = -np.delete(deviation, greatest).sum()
        return deviation / rest

    def critical_value(self, confidence_level):
        """Return by how many standard errors an interval goes to each side."""
        return float(critical_value(confidence_level, self.n_effective, self.n_groups))

    def interval(self, confidence_level):
        """Return the ends of the interval of Student's t; NaN for one group."""
        if self.n_groups < 2:
            return np.nan, np.nan
        half = self.critical_value(confidence_level) * self.standard_error
        return self.mean - half, self.mean + half

    def p_value(self):
        """Return the level at which that interval begins to contain 0."""
        if self.standard_error == 0:
            return 1.0 if self.mean == 0 else 2.0 ** (1 - self.n_groups)
        share = np.sqrt((1 - 1 / self.n_effective) / (1 - 1 / self.n_groups))
        ratio = abs(self.mean) / (share * self.standard_error)
        return float(2 * t.sf(ratio, self.n_effective - 1))

    def subset_means(self, n_resamples, random_state):
        """Return the means (n_subsets,) of subsets of the groups: of all, or of some at random."""
        rng = check_random_state(random_state)
        n_resamples = int(n_resamples)  # bool is an int, but no shape
        is_few = self.n_groups < 32 and 2**self.n_groups - 1 <= n_resamples
        n_subsets = 2**self.n_groups - 1 if is_few else n_resamples
        means = np.empty(n_subsets)
        chunk = max(1, CHUNK_DRAWS // self.n_groups)
        for start in range(0, n_subsets, chunk):
            rows = means[start : start + chunk]
            if is_few:
                number = np.arange(start + 1, start + 1 + len(rows))[:, np.newaxis]
                drawn = (number >> np.arange(self.n_groups)) & 1
            else:
                drawn = rng.randint(2, size=(len(rows), self.n_groups))
            total = drawn @ self.weight
            rows[:] = self.mean + drawn @ self.deviation / np.where(total > 0, total, 1.0)
        return means


def interval_and_p_value(result, confidence_level, means):
    """Return low, high and p-value of a mean, from the means (n_subsets,) of subsets of groups."""
    low, high = result.interval(confidence_level)
    p_value = result.p_value()
    n_signs = len(means) + 1  # no negative sign is one of the draws
    rank = int((1 - confidence_level) / 2 * n_signs + 1e-9)
    if rank >= 1:
        places = [rank - 1, len(means) - rank]
        least, greatest = np.partition(means, places)[places]
        low, high = min(low, float(least)), max(high, float(greatest))
        n_beyond = min(np.sum(means <= 0), np.sum(means >= 0))
        p_value = max(p_value, min(1.0, float(2 * (n_beyond + 1) / n_signs)))
    return low, high, p_value
