"""SimPO, CPO and ORPO as losses of two responses: against the laboratory's forms, by hand."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sklearn_codex import lab
from sklearn_codex._data.designs import PairDesign
from sklearn_codex._policy.response_losses import (
    LogLikelihoods,
    cpo,
    log_likelihoods,
    orpo,
    response_lengths,
    simpo,
)

LOSSES = {
    "simpo": (simpo(0.7), partial(lab.simpo_loss, beta=0.7)),
    "simpo without margin": (
        simpo(2.0, simpo_gamma=0.0),
        partial(lab.simpo_loss, beta=2.0, simpo_gamma=0.0),
    ),
    "cpo": (cpo(0.3), partial(lab.cpo_loss, beta=0.3)),
    "cpo with little likelihood": (
        cpo(1.5, cpo_alpha=0.2),
        partial(lab.cpo_loss, beta=1.5, cpo_alpha=0.2),
    ),
    "orpo": (orpo(0.6), partial(lab.orpo_loss, beta=0.6)),
}


@pytest.fixture(params=range(3))
def responses(request):
    """Log-likelihoods (2, n_pairs), lengths (2, n_pairs) and targets (n_pairs,) of pairs."""
    rng = np.random.default_rng(100 + request.param)
    lengths = rng.integers(1, 6, (2, 9)).astype(float)
    return -lengths * rng.exponential(size=(2, 9)), lengths, rng.random(9)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_slopes_are_those_of_the_laboratory(name, responses):
    loss, by_definition = LOSSES[name]
    logps, lengths, target = responses
    value, slopes, _ = loss.of_pair(logps, target, lengths=lengths)
    ahead = by_definition(logps[0], logps[1], lengths[0], lengths[1])
    behind = by_definition(logps[1], logps[0], lengths[1], lengths[0])
    assert_allclose(value, target * ahead[0] + (1 - target) * behind[0], rtol=1e-12)
    assert_allclose(slopes[0], target * ahead[1] + (1 - target) * behind[2], rtol=1e-12)
    assert_allclose(slopes[1], target * ahead[2] + (1 - target) * behind[1], rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_curvatures_are_differences_of_slopes(name, responses):
    loss, _ = LOSSES[name]
    logps, lengths, target = responses
    _, _, curvature = loss.of_pair(logps, target, lengths=lengths)
    for side in (0, 1):
        step = np.zeros_like(logps)
        step[side] = 1e-6
        ahead, behind = (
            loss.of_pair(logps + sign * step, target, lengths=lengths)[1] for sign in (1, -1)
        )
        assert_allclose(curvature[side], (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-8)


def test_losses_by_hand():
    logps, lengths, sure = np.array([[-2.0], [-6.0]]), np.array([[2.0], [3.0]]), np.ones(1)
    value = simpo(1.0, simpo_gamma=0.25).of_pair(logps, sure, lengths=lengths)[0]
    assert_allclose(value, np.log1p(np.exp(-(-1 + 2 - 0.25))))
    value = cpo(0.5, cpo_alpha=0.1).of_pair(logps, sure, lengths=lengths)[0]
    assert_allclose(value, np.log1p(np.exp(-2.0)) + 0.1)
    odds = [np.exp(-1) / (1 - np.exp(-1)), np.exp(-2) / (1 - np.exp(-2))]
    value = orpo(0.5).of_pair(logps, sure, lengths=lengths)[0]
    assert_allclose(value, 1 + 0.5 * np.log1p(odds[1] / odds[0]))
    assert_allclose(orpo(0.5).margin(logps, lengths), np.log(odds[0] / odds[1]))


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_log_likelihoods_of_pairs(form):
    counts = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [3.0, 0.0, 1.0]])
    pairs = PairDesign(form(counts), np.array([0, 2, 0]), np.array([1, 1, 2]))
    log_prob = np.log([0.5, 0.2, 0.3])
    expected = np.stack([counts[[0, 2, 0]] @ log_prob, counts[[1, 1, 2]] @ log_prob])
    assert_allclose(log_likelihoods(pairs, log_prob), expected)
    assert_allclose(response_lengths(pairs, np.ones(3)), [[3, 4, 3], [1, 1, 4]])
    operator = LogLikelihoods(pairs, 0.5)
    assert_allclose(operator.matvec(log_prob), 2 * expected)
    slopes = np.array([[1.0, -2.0, 0.5], [0.3, 4.0, -1.0]])
    assert_allclose(operator.rmatvec(slopes) @ log_prob, np.sum(slopes * 2 * expected))
    curvature = np.abs(np.einsum("ai,bi->abi", slopes, slopes))
    by_hand = sum(
        4 * (curvature[i, i][:, np.newaxis] * counts[side] ** 2).sum(axis=0)
        for i, side in enumerate(([0, 2, 0], [1, 1, 2]))
    )
    assert_allclose(operator.column_squares(curvature), by_hand)
