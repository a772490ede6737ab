"""Margins of held-out pairs on one design are those of models fitted without them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex import PreferenceRewardModel
from sklearn_codex._data import designs
from sklearn_codex._data.designs import DifferenceDesign, PairDesign, as_columns
from sklearn_codex._reward.held_out import as_design, margins_without


def draw(seed, n_pairs=90, n_responses=40, n_columns=300):
    """Features of responses, some of which stand in many pairs, and labels, some of them soft."""
    rng = np.random.RandomState(seed)
    features = sparse.random_array((n_responses, n_columns), density=0.1, rng=rng, format="csr")
    a, b = rng.randint(n_responses, size=(2, n_pairs))
    y = rng.choice([0.0, 0.2, 0.5, 1.0], n_pairs)
    return features, a, b, y, rng.choice([0.0, 0.5, 1.0, 3.0], n_pairs)


@pytest.mark.parametrize("kind", ["pairs", "differences", "dense"])
@pytest.mark.parametrize("n_train", [20, 70])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_margins_are_those_of_a_model_of_the_training_pairs(kind, n_train, is_weighted):
    for seed in range(3):
        features, a, b, y, weight = draw(seed)
        weight = weight if is_weighted else None
        D = features[a] - features[b]
        if kind == "pairs":
            design = as_columns(PairDesign(features, a, b))
        else:
            design = as_design(D.toarray() if kind == "dense" else sparse.csr_array(D))
        order = np.random.RandomState(seed).permutation(len(y))
        train, test = np.sort(order[:n_train]), order[n_train:]
        margins = margins_without(design, y, train, test, C=2.0, tol=1e-8, weight=weight)
        model = PreferenceRewardModel(C=2.0, tol=1e-8)
        model.fit(D[train], y[train], sample_weight=None if weight is None else weight[train])
        assert_allclose(margins, model.decision_function(D[test]), atol=1e-7)


def test_held_out_labels_change_nothing():
    features, a, b, y, _ = draw(0)
    design = as_columns(PairDesign(features, a, b))
    train, test = np.arange(60), np.arange(60, 90)
    other = np.where(np.arange(90) < 60, y, 1 - y)
    margins = [margins_without(design, each, train, test, C=1.0, tol=1e-3) for each in (y, other)]
    assert_array_equal(*margins)


@pytest.mark.parametrize("most", [0, 10**9])
def test_features_by_columns_are_the_same_design(most, monkeypatch):
    monkeypatch.setattr(designs, "MAX_PRODUCTS", most)
    monkeypatch.setattr("sklearn_codex._data.rows.BLOCK_ENTRIES", 50)
    features, a, b, _, weight = draw(1)
    by_rows = PairDesign(features, a, b)
    by_differences = DifferenceDesign(by_rows.differences)
    rng = np.random.RandomState(0)
    w, rows = rng.normal(size=features.shape[1]), rng.permutation(90)[:30]
    for plain, is_used in ((by_rows, False), (by_rows, True), (by_differences, False)):
        columns = as_columns(plain)
        if is_used:  # so that parts take over what it has multiplied
            columns.column_squares(weight)
        assert columns.shape == plain.shape
        for one, other in ((plain, columns), (plain.take(rows), columns.take(rows))):
            h = weight[: one.shape[0]]
            assert_allclose(other.matvec(w), one.matvec(w), atol=1e-12)
            assert_allclose(other.rmatvec(h), one.rmatvec(h), atol=1e-12)
            squares = h @ one.differences.toarray() ** 2
            assert_allclose(other.column_squares(h), squares, atol=1e-12)
            assert_allclose(one.column_squares(h), squares, atol=1e-12)
            assert_allclose(other.dense_columns(rows), one.dense_columns(rows), atol=1e-12)
            assert abs(other.differences - one.differences).max() < 1e-12


def test_a_fit_that_does_not_arrive_is_told(monkeypatch):
    monkeypatch.setattr("sklearn_codex._reward.held_out.MAX_ITER", 1)
    features, a, b, y, _ = draw(2)
    design = as_columns(PairDesign(features, a, b))
    with pytest.warns(ConvergenceWarning, match="A model of the other pairs did not converge in 1"):
        margins_without(design, y, np.arange(60), np.arange(60, 90), C=100.0, tol=1e-8)
