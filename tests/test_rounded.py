"""Fits of vectors of float32 by products of float32: what they change, and what they do not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from sklearn_codex import PreferenceRewardModel, PreferenceRewardModelCV, ResponseIds
from sklearn_codex._data import rounded
from sklearn_codex._data.designs import DifferenceDesign, PairDesign
from sklearn_codex._data.rounded import RoundedDesign, RoundedRows, to_fit
from sklearn_codex._data.rows import DenseRows
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights

N, D = 900, 300
RNG = np.random.RandomState(0)
# Embeddings have columns of very different size.
VECTORS = (RNG.standard_normal((N, 2, D)) * np.logspace(0, -3, D)).astype(np.float32)
DIFFERENCES = VECTORS[:, 0].astype(np.float64) - VECTORS[:, 1]
Y = (RNG.uniform(size=N) < expit(2 * DIFFERENCES @ RNG.standard_normal(D))).astype(int)
WEIGHT = RNG.exponential(size=N)
ORDER = RNG.permutation(2 * N)
TABLE = np.empty((2 * N, D), dtype=np.float32)
TABLE[ORDER] = VECTORS.reshape(2 * N, D)
FORMS = {
    "(n, 2, d)": VECTORS,
    "Fortran's order": np.asfortranarray(VECTORS),
    "ids": ResponseIds(ORDER.reshape(N, 2), TABLE),
}


@pytest.fixture(autouse=True)
def _small_data_are_rounded_too(monkeypatch):
    monkeypatch.setattr(rounded, "LEAST_NUMBERS", 0)


def design_of(X):
    if isinstance(X, ResponseIds):
        return PairDesign(X.features, *X.ids.T)
    return PairDesign(X.reshape(2 * N, D), np.arange(0, 2 * N, 2), np.arange(1, 2 * N, 2))


@pytest.mark.parametrize("form", FORMS)
def test_differences_are_the_nearest_of_float32(form):
    design = to_fit(design_of(FORMS[form]), 1e-3)
    assert isinstance(design, DifferenceDesign)
    assert design.differences.dtype == np.float32
    assert_array_equal(design.differences, DIFFERENCES.astype(np.float32))


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("chosen", [None, np.arange(0, N, 3), np.arange(1, N)])
def test_products_are_those_of_the_rows_to_six_digits_at_any_scale(scale, chosen):
    array = DIFFERENCES.astype(np.float32)
    narrow, exact = RoundedRows(array), DenseRows(array)
    if chosen is not None:
        narrow, exact = narrow.take(chosen), exact.take(chosen)
    assert isinstance(narrow, RoundedRows)
    by_row = scale * RNG.uniform(size=narrow.shape[0])
    weights = RNG.standard_normal(D) / scale
    size = np.abs(exact[:]).sum() / scale
    assert_allclose(narrow.times(weights), exact.times(weights), rtol=1e-6, atol=1e-6 * size)
    for got, expected in zip(
        narrow.bend(by_row, weights), exact.bend(by_row, weights), strict=True
    ):
        assert got.dtype == np.float64
        assert_allclose(got, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    for name in ("transposed_times", "column_squares"):
        got, expected = getattr(narrow, name)(by_row), getattr(exact, name)(by_row)
        assert_allclose(got, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    assert_array_equal(narrow.gram(by_row / scale), exact.gram(by_row / scale))
    assert_array_equal(narrow[:5], exact[:5])


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("form", FORMS)
def test_a_fit_at_a_small_tolerance_is_the_exact_one(form, C):
    assert isinstance(to_fit(design_of(FORMS[form]), 1e-8), RoundedDesign)
    expected = PreferenceRewardModel(C, tol=1e-10).fit(DIFFERENCES, Y, sample_weight=WEIGHT)
    fitted = PreferenceRewardModel(C, tol=1e-10).fit(FORMS[form], Y, sample_weight=WEIGHT)
    size = np.abs(expected.coef_).max()
    assert_allclose(fitted.coef_, expected.coef_, rtol=0, atol=1e-9 * size)
    assert fitted.n_iter_ <= expected.n_iter_ + 1
    # Rounded differences move the optimum by more than that, so they are not what was minimised.
    other = PreferenceRewardModel(C, tol=1e-10).fit(DIFFERENCES.astype(np.float32), Y, WEIGHT)
    assert np.abs(other.coef_ - expected.coef_).max() > 2e-9 * size


@pytest.mark.parametrize("tol", [1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_a_rough_fit_arrives_where_an_exact_one_does(C, tol):
    expected = PreferenceRewardModel(C, tol=tol).fit(DIFFERENCES, Y, sample_weight=WEIGHT)
    fitted = PreferenceRewardModel(C, tol=tol).fit(VECTORS, Y, sample_weight=WEIGHT)
    assert fitted.n_iter_ == expected.n_iter_
    size = np.abs(expected.coef_).max()
    assert_allclose(fitted.coef_, expected.coef_, rtol=0, atol=tol * size)
    # The norm of the stop criterion, by exact products at the weights that were found.
    loss = BradleyTerryLoss(DifferenceDesign(DIFFERENCES), Y, WEIGHT, C=C)
    there = fit_weights(loss, fitted.coef_[0], callback=lambda state: True)
    assert there.gradient_norm <= 1.01 * tol
    assert fitted.loss_ == pytest.approx(expected.loss_, rel=tol)


@pytest.mark.parametrize("tol", [1e-3, 1e-8])
def test_folds_and_other_terms_are_rounded_alike(tol):
    options = {"cv": 3, "tol": tol}
    expected = PreferenceRewardModelCV([0.01, 1.0], **options).fit(DIFFERENCES, Y)
    fitted = PreferenceRewardModelCV([0.01, 1.0], **options).fit(VECTORS, Y)
    assert_allclose(fitted.scores_, expected.scores_, rtol=1e-5)
    assert_allclose(fitted.coef_, expected.coef_, atol=1e-2 * tol)
    authors = np.where(RNG.uniform(size=(N, 2)) < 0.5, "a", "b")
    models = [
        PreferenceRewardModel(position_bias=True, tol=tol).fit(X, Y, authors=authors)
        for X in (DIFFERENCES, VECTORS)
    ]
    for name in ("coef_", "position_bias_", "author_coef_"):
        assert_allclose(*(getattr(model, name) for model in models), atol=1e-2 * tol)


@pytest.mark.parametrize("scale", [1e-30, 1e15])
def test_columns_that_are_too_small_or_too_great_are_not_rounded(scale):
    vectors = VECTORS.copy()
    vectors[:, :, 3] *= np.float32(scale)
    design = design_of(vectors)
    assert to_fit(design, 1e-3) is design
    vectors[:, :, 3] = 0.0
    assert to_fit(design_of(vectors), 1e-3) is not design
    vectors[0] = [[3e38], [-3e38]]  # a difference beyond float32
    assert to_fit(design := design_of(vectors), 1e-3) is design


def test_only_many_numbers_of_float32_in_memory_are_rounded(monkeypatch, tmp_path):
    np.save(tmp_path / "vectors.npy", VECTORS)
    on_disk = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    for vectors in (VECTORS.astype(np.float16), on_disk):
        assert to_fit(design := design_of(vectors), 1e-3) is design
    wide = to_fit(design_of(VECTORS.astype(np.float64)), 1e-3)
    assert wide.differences.dtype == np.float64
    few = PairDesign(TABLE[:40], *RNG.randint(40, size=(2, N)))  # their differences take more room
    assert to_fit(few, 1e-3) is few
    monkeypatch.setattr(rounded, "LEAST_NUMBERS", N * D + 1)
    assert to_fit(design := design_of(VECTORS), 1e-3) is design
