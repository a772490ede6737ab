"""Property assertions, named for the object they are about."""

import numpy as np
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from scipy.stats import chi2

# A simulated test fails by chance once in a million runs of one seed.
CHANCE = 1e-6


def assert_is_log_distribution(log_prob, n_columns=None):
    """Natural-log probabilities (..., V): float64, none above 0, none NaN, summing to one."""
    log_prob = np.asarray(log_prob)
    assert log_prob.dtype == np.float64
    assert n_columns is None or log_prob.shape[-1] == n_columns
    assert not np.isnan(log_prob).any()
    assert log_prob.max() <= 1e-12
    assert_allclose(np.exp(log_prob).sum(axis=-1), 1.0, rtol=0, atol=1e-12)


def assert_same_distribution(actual, desired, rtol=1e-12):
    """Two arrays of log-probabilities, ``-inf`` included, that give equal probabilities."""
    assert_is_log_distribution(actual)
    assert_is_log_distribution(desired)
    assert_allclose(np.exp(actual), np.exp(desired), rtol=rtol, atol=0)


def assert_is_document_term_matrix(counts, shape):
    """Canonical CSR of float64 with no stored zero and nothing negative."""
    assert isinstance(counts, csr_array)
    assert counts.shape == shape
    assert counts.dtype == np.float64
    assert counts.has_canonical_format
    assert (counts.data > 0).all()


def assert_frequencies_agree(observed, probabilities):
    """Counts (k,) of independent draws agree with probabilities (k,), by Pearson's chi-square."""
    observed, probabilities = np.asarray(observed), np.asarray(probabilities)
    assert observed[probabilities == 0].sum() == 0
    observed, probabilities = observed[probabilities > 0], probabilities[probabilities > 0]
    expected = observed.sum() * probabilities
    assert expected.min() >= 5, "too few draws for the approximation; merge the rare ones"
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert statistic <= chi2.isf(CHANCE, max(len(expected) - 1, 1))
