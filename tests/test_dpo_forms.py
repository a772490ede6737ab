"""Preferences in every form they may have give one policy: text, counts and differences of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.frozen import FrozenEstimator

from sklearn_codex import DPOPolicyOptimizer, TokenCounter
from sklearn_codex._data.designs import DifferenceDesign, PairDesign, thinned
from sklearn_codex._policy import dpo_loss
from sklearn_codex._policy.dpo_problem import LOSSES, DirectLoss
from sklearn_codex._policy.tilts import TokenTilt

WITH_REFERENCE = ["sigmoid", "robust", "ipo", "hinge"]


def text_pairs(n_words, *, n_pairs=20, seed=0):
    """Pairs of texts of some of these words, the vectorizer of all of them, and noisy labels."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{i}" for i in range(n_words)])
    pairs = [
        tuple(" ".join(rng.choice(words, rng.integers(2, 7))) for _ in range(2))
        for _ in range(n_pairs)
    ]
    counter = TokenCounter().fit([" ".join(words)])
    sides = [counter.transform(list(side)).toarray() for side in zip(*pairs, strict=True)]
    counts = np.stack(sides, axis=1)
    return pairs, FrozenEstimator(counter), counts.astype(float), rng.integers(0, 2, n_pairs)


# Of five words counts are many that are not 0, of sixty few.
@pytest.mark.parametrize("n_words", [5, 60])
@pytest.mark.parametrize("loss", LOSSES)
def test_all_forms_give_the_same_policy(loss, n_words):
    pairs, words, counts, y = text_pairs(n_words)
    weight = np.random.default_rng(1).exponential(size=len(y))
    settings = {"loss": loss, "kl_coef": 0.5, "vectorizer": words, "response_length": 4}
    settings["tol"] = 1e-10  # so that the hinge loss, too, is at its minimum
    if loss == "robust":
        settings["label_smoothing"] = 0.1
    from_text = DPOPolicyOptimizer(**settings).fit(pairs, y, weight)
    differences = counts[:, 0] - counts[:, 1]
    forms = [counts, counts.astype(np.float32), counts.astype(int), counts.tolist()]
    if loss in WITH_REFERENCE:
        forms += [differences, sparse.csr_array(differences), sparse.csc_matrix(differences)]
    for form in forms:
        other = DPOPolicyOptimizer(**settings).fit(form, y, weight)
        assert_allclose(other.token_log_prob_, from_text.token_log_prob_, atol=1e-9)
        assert_allclose(other.margin(form), from_text.margin(pairs), atol=1e-8)
        assert_allclose(other.loss_, from_text.loss_, rtol=1e-9, atol=1e-10)
        assert_allclose(other.optimality_gap_, from_text.optimality_gap_, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("form", ["pairs", "differences"])
def test_dense_counts_that_are_mostly_zero_are_held_sparse(form):
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.05, (30, 50)).astype(np.float32)
    a, b = rng.integers(0, 30, (2, 20))
    design = PairDesign(counts, a, b) if form == "pairs" else DifferenceDesign(counts)
    thin = thinned(design)
    assert not thin.is_dense
    assert thin.shape == design.shape
    assert thinned(thin) is thin
    weights = rng.standard_normal(50)
    assert_allclose(thin.matvec(weights), design.matvec(weights))
    full = DifferenceDesign(1 + counts)
    assert thinned(full) is full


# Products and slopes that leave out what does not count


def hinge(equal_lengths, width):
    rng = np.random.default_rng(3)
    counts = rng.multinomial(6, np.full(8, 1 / 8), (40, 2)).astype(float)
    if not equal_lengths:
        counts += rng.poisson(0.5, counts.shape)
    design = DifferenceDesign(counts[:, 0] - counts[:, 1])
    loss = DirectLoss("hinge", 0.7, {}, "The test").on(
        design, rng.integers(0, 2, 40).astype(float), rng.exponential(size=40),
        TokenTilt(np.full(8, -np.log(8)), 0.7),
        reference_log_prob=np.full(8, -np.log(8)), is_token=np.ones(8), C=2.0,
    )  # fmt: skip
    sharp = dpo_loss.HingeRewardLoss(*loss._data, C=2.0, width=width, shares=loss.shares)
    return sharp, rng.standard_normal((2, 8))


def test_products_of_the_pairs_at_their_kinks_are_those_of_all(monkeypatch):
    loss, (weights, direction) = hinge(equal_lengths=False, width=0.5)
    bent = np.count_nonzero(loss.at(weights).curvature)
    assert 0 < bent < 20
    of_few = loss.hessian_product(weights, direction)
    monkeypatch.setattr(dpo_loss, "MOST_BENT", -1.0)
    of_all = hinge(equal_lengths=False, width=0.5)[0].hessian_product(weights, direction)
    assert_allclose(of_few, of_all, rtol=1e-12)


@pytest.mark.parametrize("equal_lengths", [True, False])
def test_slopes_along_a_line(equal_lengths):
    loss, (weights, direction) = hinge(equal_lengths, width=0.5)
    slope_at = loss.slope_along(weights, direction)
    for length in (0.0, 0.3, 1.0) if equal_lengths else (0.0, 1e-6):
        slope = loss.gradient(weights + length * direction) @ direction
        assert_allclose(slope_at(length), slope, rtol=1e-9 if equal_lengths else 1e-6)
