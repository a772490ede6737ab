"""Designs turned into fewer columns predict the same, and the choice of C knows no difference."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer

from sklearn_codex import PreferenceRewardModelCV
from sklearn_codex._data import turned
from sklearn_codex._data.designs import DifferenceDesign, NuisanceDesign, PairDesign
from sklearn_codex._data.turned import turn
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights

BLOCKS = [np.arange(200), np.arange(200, 230), np.arange(230, 300)]
PENALTY = np.repeat([1.0, 4.0, 25.0], [200, 30, 70])


def make_design(kind, rng):
    """Return a sparse design of 40 pairs and 300 columns, and the penalty of its columns."""
    features = sparse.random_array((60, 300), density=0.2, rng=rng, format="csr")
    if kind == "differences":
        return DifferenceDesign(features[:40]), PENALTY
    a, b = rng.randint(60, size=(2, 40))
    design = PairDesign(features, a, b)
    if kind == "pairs":
        return design, PENALTY
    columns = np.column_stack([np.ones(40), rng.standard_normal(40)])
    return NuisanceDesign(design, columns), np.append(PENALTY, [0.0, 0.0])


@pytest.mark.parametrize("kind", ["differences", "pairs", "nuisances"])
def test_a_turned_design_predicts_the_same(kind):
    rng = np.random.RandomState(0)
    design, penalty = make_design(kind, rng)
    other, source = turn(design, BLOCKS)
    n_rows = 40 if kind == "differences" else 60
    assert other.is_dense
    # One block has fewer columns than there are rows, and stays as it is.
    assert other.shape[1] == len(source) <= 2 * n_rows + 30 + 2 * (kind == "nuisances")
    train, test = np.arange(30), np.arange(30, 40)
    target = rng.uniform(size=30)
    margins = []
    for each, of_columns in ((design, penalty), (other, penalty[source])):
        loss = BradleyTerryLoss(each.take(train), target, C=5.0, penalty=of_columns)
        weights = fit_weights(loss, tol=1e-12).point.weights
        margins.append(each.take(test).matvec(weights))
    assert_allclose(margins[1], margins[0], rtol=1e-7, atol=1e-9)
    assert np.ptp(margins[0]) > 0.1
    # With penalties that are not those of the columns' own, it does not.
    loss = BradleyTerryLoss(other.take(train), target, C=5.0, penalty=np.ones(other.shape[1]))
    wrong = other.take(test).matvec(fit_weights(loss, tol=1e-12).point.weights)
    assert abs(wrong - margins[0]).max() > 0.01


@pytest.mark.parametrize("why", ["dense", "few columns", "many rows"])
def test_others_stay_as_they_are(why, monkeypatch):
    design, _ = make_design("pairs", np.random.RandomState(0))
    if why == "dense":
        design = PairDesign(design.features.toarray(), design.a, design.b)
    if why == "few columns":
        design = PairDesign(design.features[:, :200], design.a, design.b)
    if why == "many rows":
        monkeypatch.setattr(turned, "MAX_ROWS", 59)
    same, source = turn(design, [np.arange(design.shape[1])])
    assert same is design
    assert (source == np.arange(design.shape[1])).all()


def test_features_that_are_all_zero_keep_a_column():
    design, source = turn(DifferenceDesign(sparse.csr_array((5, 50))), [np.arange(50)])
    assert design.shape == (5, len(source))
    assert not design.differences.any()


@pytest.mark.parametrize("position_bias", [False, True])
def test_scores_are_those_of_the_features_themselves(position_bias, monkeypatch):
    rng = np.random.RandomState(0)
    texts = np.array([" ".join(rng.choice(list("abcdefgh"), 9)) for _ in range(120)])
    pairs = np.column_stack([[f"prompt {i % 15}" for i in range(60)], texts[:60], texts[60:]])
    y = (np.char.count(pairs[:, 1], "a") >= np.char.count(pairs[:, 2], "a")).astype(int)
    runs = CountVectorizer(analyzer="char", ngram_range=(2, 9))
    letters = CountVectorizer(analyzer="char")
    model = PreferenceRewardModelCV(
        Cs=[0.01, 0.1, 1.0],
        vectorizer=ColumnTransformer([("runs", runs, 1), ("letters", letters, 1)]),
        block_scales={"runs": [0.3, 1.0], "letters": [0.3]},
        position_bias=position_bias,
    ).fit(pairs, y)
    assert model.n_features_in_ > turned.LEAST_COLUMNS * 120
    monkeypatch.setattr("sklearn_codex._reward.model_cv.FOLD_TOL", 1e-10)
    model.fit(pairs, y)
    scores, C, coef = model.scores_, model.C_, model.coef_
    monkeypatch.setattr(turned, "MAX_ROWS", 0)
    model.fit(pairs, y)
    assert_allclose(scores, model.scores_, rtol=1e-6)
    assert_allclose(C, model.C_, rtol=1e-5)
    assert_allclose(coef, model.coef_, rtol=1e-4, atol=1e-7)
