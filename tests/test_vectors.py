"""Pairs of vectors: arrays, ids into a table, data frames, lookups; lengths and references."""

import pickle
import tracemalloc

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score

import sklearn_codex
from sklearn_codex import (
    BootstrapRewardEnsemble,
    PairsWithLength,
    PairVectorizer,
    PlackettLuceModel,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    ResponseIds,
    RewardUncertainty,
    TokenCounter,
    balance_positions,
)
from sklearn_codex._data.designs import DifferenceDesign, NuisanceDesign, PairDesign
from sklearn_codex._data.rows import DenseRows
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss, fit_weights
from sklearn_codex._reward.pair_classifier import PairClassifierMixin
from sklearn_codex._solve.precision import toarray
from sklearn_codex.exceptions import LeakageWarning

N_RESPONSES, N_FEATURES, N_PAIRS = 40, 4, 150
RNG = np.random.RandomState(0)
EMBEDDINGS = RNG.randn(N_RESPONSES, N_FEATURES)
IDS = RNG.randint(N_RESPONSES, size=(N_PAIRS, 2))
PROMPTS = RNG.randint(25, size=N_PAIRS)
VECTORS = EMBEDDINGS[IDS]
DIFFERENCES = VECTORS[:, 0] - VECTORS[:, 1]
Y = (RNG.rand(N_PAIRS) < expit(DIFFERENCES @ [1.0, -0.5, 0.0, 0.3])).astype(int)
WEIGHT = RNG.exponential(size=N_PAIRS)


class Lookup(TransformerMixin, BaseEstimator):
    """A vectorizer of texts that are ids: what an embedder is to a reward model."""

    def fit(self, texts, y=None):
        return self

    def transform(self, texts):
        return EMBEDDINGS[[int(text) for text in texts]]

    def __sklearn_is_fitted__(self):
        return True


TEXTS = [(str(a), str(b)) for a, b in IDS]
FORMS = {
    "array": VECTORS,
    "lists": VECTORS.tolist(),
    "rows of arrays": [tuple(pair) for pair in VECTORS],
    "objects": pd.DataFrame({"a": list(VECTORS[:, 0]), "b": list(VECTORS[:, 1])}).to_numpy(),
    "float64 in Fortran's order": np.asfortranarray(VECTORS),
    "ids": ResponseIds(IDS, EMBEDDINGS),
    "ids, sparse": ResponseIds(IDS, sparse.csr_array(EMBEDDINGS)),
    "ids, a part of a large table": ResponseIds(
        IDS + 500, np.vstack([RNG.randn(500, N_FEATURES), EMBEDDINGS, RNG.randn(900, N_FEATURES)])
    ),
    "pandas": pd.DataFrame({"response_b": list(VECTORS[:, 1]), "response_a": list(VECTORS[:, 0])}),
    "polars": pl.DataFrame({"response_a": VECTORS[:, 0], "response_b": VECTORS[:, 1]}),
    "polars, lists": pl.DataFrame(
        {"response_a": VECTORS[:, 0].tolist(), "response_b": VECTORS[:, 1].tolist()}
    ),
    "pyarrow": pl.DataFrame({"response_a": VECTORS[:, 0], "response_b": VECTORS[:, 1]}).to_arrow(),
    "with length": PairsWithLength(VECTORS, IDS),
}
SETTINGS = {
    "BootstrapRewardEnsemble": {"n_estimators": 3, "random_state": 0},
    "PreferenceRewardModelCV": {"Cs": [0.1, 1.0], "cv": 3},
}
# Takes counts, not vectors that may be negative.
OF_TOKENS = {"DPOPolicyOptimizer"}
MODELS = [
    value
    for name in sklearn_codex.__all__
    if isinstance(value := getattr(sklearn_codex, name), type)
    and (issubclass(value, PairClassifierMixin) or name == "TiePreferenceModel")
    and name not in OF_TOKENS
]


def make(model, **options):
    return model(**SETTINGS.get(model.__name__, {}), **options)


# Responses are in several pairs here, and the search for C is not told of which prompts they are.
SHARES_RESPONSES = pytest.mark.filterwarnings("ignore::sklearn_codex.exceptions.LeakageWarning")


def test_models_are_found():
    assert {model.__name__ for model in MODELS} == {
        "AnnotatorRewardModel",
        "BootstrapRewardEnsemble",
        "PreferenceRewardModel",
        "PreferenceRewardModelCV",
        "RewardUncertainty",
        "TiePreferenceModel",
    }


@SHARES_RESPONSES
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_form_of_pairs_is_the_same_data(model, form):
    X = FORMS[form]
    expected = make(model).fit(DIFFERENCES, Y, sample_weight=WEIGHT)
    fitted = make(model).fit(X, Y, sample_weight=WEIGHT)
    assert_allclose(fitted.coef_, expected.coef_, rtol=0, atol=1e-10)
    assert fitted.n_features_in_ == N_FEATURES
    assert fitted.vectorizer_ is None
    assert_allclose(fitted.predict_proba(X), expected.predict_proba(DIFFERENCES), atol=1e-10)
    assert fitted.score(X, Y) == pytest.approx(expected.score(DIFFERENCES, Y))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_lookup_of_texts_is_the_same_data(model):
    expected = make(model).fit(DIFFERENCES, Y, sample_weight=WEIGHT)
    if "vectorizer" in model().get_params(deep=False):
        fitted = make(model, vectorizer=Lookup())
    else:
        fitted = make(model, estimator=PreferenceRewardModel(vectorizer=Lookup()))
    fitted.fit(TEXTS, Y, sample_weight=WEIGHT)
    assert_allclose(fitted.coef_, expected.coef_, rtol=0, atol=1e-10)
    texts = [str(place) for place in range(N_RESPONSES)]
    assert_allclose(fitted.reward(texts), expected.reward(EMBEDDINGS), atol=1e-10)


@SHARES_RESPONSES
@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_narrow_floats_are_their_values(model, kind):
    narrow = VECTORS.astype(kind)
    wide = narrow.astype(np.float64)
    expected = make(model).fit(wide[:, 0] - wide[:, 1], Y)
    for X in (narrow, ResponseIds(IDS, EMBEDDINGS.astype(kind))):
        fitted = make(model).fit(X, Y)
        assert_allclose(fitted.coef_, expected.coef_, rtol=0, atol=1e-10)
        assert fitted.coef_.dtype == np.float64


@SHARES_RESPONSES
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@pytest.mark.parametrize("form", ["differences", "array", "ids"])
def test_what_is_given_is_read_and_not_written(model, form):
    arrays = [np.ascontiguousarray(a) for a in (DIFFERENCES, VECTORS, EMBEDDINGS)]
    for array in arrays:
        array.flags.writeable = False
    X = {"differences": arrays[0], "array": arrays[1], "ids": ResponseIds(IDS, arrays[2])}[form]
    fitted = make(model).fit(X, Y, sample_weight=WEIGHT)
    other = make(model).fit(FORMS["ids"], Y, sample_weight=WEIGHT)
    assert_allclose(fitted.predict_proba(X), other.predict_proba(FORMS["ids"]), atol=1e-8)
    assert_allclose(fitted.reward(arrays[2]), other.reward(EMBEDDINGS), atol=1e-8)


def test_the_optimum_is_that_of_logistic_regression():
    fitted = PreferenceRewardModel(C=0.7).fit(FORMS["ids"], Y, sample_weight=WEIGHT)
    other = LogisticRegression(C=0.7, fit_intercept=False, tol=1e-12, max_iter=10_000)
    assert_allclose(fitted.coef_, other.fit(DIFFERENCES, Y, WEIGHT).coef_, atol=1e-6)


@SHARES_RESPONSES
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_rewards_of_responses_candidates_and_ids(model):
    fitted = make(model).fit(FORMS["ids"], Y)
    reward = fitted.reward(EMBEDDINGS)
    assert reward.shape == (N_RESPONSES,)
    candidates = RNG.randint(N_RESPONSES, size=(6, 5))
    for X in (EMBEDDINGS[candidates], ResponseIds(candidates, EMBEDDINGS)):
        assert_allclose(fitted.reward(X), reward[candidates], rtol=1e-12)
    some = [3, 3, 0]
    assert_allclose(fitted.reward(ResponseIds(some, EMBEDDINGS)), reward[some], rtol=1e-12)
    assert_allclose(fitted.reward(pd.Series(list(EMBEDDINGS))), reward, rtol=1e-12)
    narrow = EMBEDDINGS.astype(np.float32)
    assert_allclose(fitted.reward(narrow), fitted.reward(narrow.astype(float)), rtol=1e-12)


def test_a_column_of_a_pandas_frame_of_one_vector_is_told_from_texts():
    model = PreferenceRewardModel().fit(VECTORS, Y)
    with pytest.raises(TypeError, match="every document must be a str"):
        model.reward(pd.Series([None, "a"], dtype=object))


def test_rankings_take_ids_and_narrow_floats():
    rows = RNG.randint(N_RESPONSES, size=60)
    groups, y = np.arange(60) // 4, RNG.rand(60)
    expected = PlackettLuceModel().fit(EMBEDDINGS[rows], y, groups=groups)
    ids = ResponseIds(rows, EMBEDDINGS)
    fitted = PlackettLuceModel().fit(ids, y, groups=groups)
    assert_allclose(fitted.coef_, expected.coef_, atol=1e-10)
    assert fitted.score(ids, y, groups=groups) == pytest.approx(
        expected.score(EMBEDDINGS[rows], y, groups=groups)
    )
    assert_allclose(fitted.predict_choice(ids, groups=groups).sum(), 15)
    narrow = EMBEDDINGS.astype(np.float16)
    assert_allclose(
        PlackettLuceModel().fit(narrow[rows], y, groups=groups).coef_,
        PlackettLuceModel().fit(narrow[rows].astype(float), y, groups=groups).coef_,
        atol=1e-10,
    )
    assert fitted.reward(ResponseIds([[0, 1]], EMBEDDINGS)).shape == (1, 2)
    with pytest.raises(ValueError, match="responses, one a row, got 2 a row"):
        fitted.fit(FORMS["ids"], Y)


def test_differences_of_vectors_are_transformed():
    reader = PairVectorizer()
    assert_allclose(reader.fit_transform(FORMS["ids"]), DIFFERENCES)
    assert_allclose(reader.transform(VECTORS[:5]), DIFFERENCES[:5])
    narrow = reader.fit_transform(VECTORS.astype(np.float16))
    assert narrow.dtype == np.float32
    assert_allclose(narrow, DIFFERENCES, atol=5e-3)


@pytest.mark.parametrize("form", FORMS)
def test_half_of_the_pairs_are_turned(form):
    if isinstance(X := FORMS[form], (pd.DataFrame, pl.DataFrame)):
        names = {"response_a": "chosen", "response_b": "rejected"}
        X = X.rename(columns=names) if isinstance(X, pd.DataFrame) else X.rename(names)
    elif form == "pyarrow":
        X = X.rename_columns(["chosen", "rejected"])
    balanced, y = balance_positions(X, random_state=0)
    assert y.sum() == N_PAIRS - N_PAIRS // 2
    vectors = np.asarray(balanced)
    assert_allclose(vectors[y == 1], VECTORS[y == 1])
    assert_allclose(vectors[y == 0], VECTORS[y == 0][:, ::-1])
    if form == "with length":
        gap = IDS[:, 0] - IDS[:, 1]
        assert_array_equal(balanced.length, np.where(y == 1, gap, -gap))


def test_turned_pairs_share_the_memory_of_those_given():
    narrow = VECTORS.astype(np.float32)
    assert np.shares_memory(balance_positions(narrow)[0].features, narrow)
    given = FORMS["ids"]
    assert balance_positions(given)[0].features is given.features
    turned, y = balance_positions(DIFFERENCES.astype(np.float32), random_state=0)
    assert turned.dtype == np.float32
    assert_array_equal(turned, np.where(y == 1, 1, -1)[:, None] * DIFFERENCES.astype(np.float32))


@pytest.mark.parametrize("X", [VECTORS, FORMS["ids"]], ids=["array", "ids"])
def test_searches_split_pairs_and_share_the_table(X):
    splits = {"groups": PROMPTS, "cv": GroupKFold(4)}
    model = PreferenceRewardModel()
    for scoring in (None, "neg_log_loss", "accuracy"):
        expected = cross_val_score(model, DIFFERENCES, Y, params={}, scoring=scoring, **splits)
        assert_allclose(cross_val_score(model, X, Y, scoring=scoring, **splits), expected)
    search = GridSearchCV(model, {"C": [0.01, 1.0]}, cv=GroupKFold(4), scoring="neg_log_loss")
    assert_allclose(
        search.fit(X, Y, groups=PROMPTS).cv_results_["mean_test_score"],
        clone(search).fit(DIFFERENCES, Y, groups=PROMPTS).cv_results_["mean_test_score"],
    )


def test_a_table_of_as_many_rows_as_pairs_is_not_split():
    square = RNG.randn(N_PAIRS, N_FEATURES)
    X = ResponseIds(IDS, square)
    expected = cross_val_score(PreferenceRewardModel(), square[IDS[:, 0]] - square[IDS[:, 1]], Y)
    assert_allclose(cross_val_score(PreferenceRewardModel(), X, Y), expected)


def test_ids_are_an_array_that_is_never_made():
    X = FORMS["ids"]
    assert X.shape == (N_PAIRS, 2, N_FEATURES)
    assert (len(X), X.ndim, X.dtype) == (N_PAIRS, 3, np.float64)
    assert_array_equal(np.asarray(X), VECTORS)
    assert_array_equal(np.asarray(X, dtype=np.float32), VECTORS.astype(np.float32))
    for key in (slice(3, 7), [1, 0], np.arange(N_PAIRS) % 2 == 0, (slice(2), 0), ([1], ...)):
        part = X[key]
        assert part.features is X.features
        assert_array_equal(np.asarray(part), VECTORS[key])
    assert_array_equal(np.asarray(X[0]), VECTORS[0])
    assert_array_equal(X[0, 1], VECTORS[0, 1])
    assert repr(X) == "ResponseIds(ids of shape (150, 2), features of shape (40, 4), float64)"
    again = pickle.loads(pickle.dumps(X))
    assert_array_equal(np.asarray(again), VECTORS)
    assert joblib.hash(again) == joblib.hash(X)


MODEL = PreferenceRewardModel().fit(VECTORS, Y)


@pytest.mark.parametrize(("call", "error", "match"), [
    (lambda: MODEL.fit(VECTORS[:, :1], Y), ValueError,
     r"\(n_pairs, 2, n_features\), got \(150, 1, 4\). Single responses and candidates are for rew"),
    (lambda: MODEL.fit(ResponseIds(IDS[:, 0], EMBEDDINGS), Y), ValueError,
     r"\(n_pairs, 2, n_features\), got \(150, 4\)"),
    (lambda: MODEL.predict(VECTORS[:, :, :3]), ValueError, "X has 3 features.*expecting 4"),
    (lambda: MODEL.reward(ResponseIds([0], EMBEDDINGS[:, :3])), ValueError, "X has 3 features"),
    (lambda: MODEL.fit(np.where(VECTORS > 2, np.nan, VECTORS), Y), ValueError, "contains NaN"),
    (lambda: MODEL.fit([*VECTORS.tolist(), [1.0, 2.0]], [*Y, 1]), ValueError,
     r"X\[150\] is \[1.0, 2.0\]"),
    (lambda: MODEL.fit([([1.0, 2.0], [1.0, None])], [1]), ValueError, r"numbers in X\[0\].*None"),
    (lambda: MODEL.fit(np.empty((0, 2, 4)), []), ValueError, r"shape \(0, 2, 4\).*at least one"),
    (lambda: MODEL.fit([(EMBEDDINGS[0], EMBEDDINGS[1]), (EMBEDDINGS[0], [1.0])], [0, 1]),
     ValueError, r"2 vectors of 4 numbers.*X\[1\] is .*array"),
    (lambda: MODEL.fit([(EMBEDDINGS[0], EMBEDDINGS[1]), (EMBEDDINGS[0],)], [0, 1]),
     ValueError, r"2 vectors of 4 numbers, as the first, but X\[1\] is"),
    (lambda: ResponseIds(IDS * 1.0, EMBEDDINGS), TypeError, "ids of integers.*got float64"),
    (lambda: ResponseIds(IDS, EMBEDDINGS[:10]), ValueError, r"rows 0 to 9. Count ids from 0"),
    (lambda: ResponseIds(-IDS - 1, EMBEDDINGS), ValueError, r"got the id -\d+, but"),
    (lambda: ResponseIds([[[0]]], EMBEDDINGS), ValueError, r"got \(1, 1, 1\)"),
    (lambda: ResponseIds([], EMBEDDINGS), TypeError, "ids of integers"),
    (lambda: ResponseIds([0], np.full((3, 2), np.inf)), ValueError, "features contains"),
    (lambda: PairsWithLength(VECTORS, IDS[1:]), ValueError, r"n_pairs = 150, got \(149, 2\)"),
    (lambda: PairsWithLength(VECTORS, np.zeros((N_PAIRS, 3))), ValueError, r"got \(150, 3\)"),
    (lambda: PairsWithLength(VECTORS, np.full(N_PAIRS, np.nan)), ValueError, "length contains NaN"),
    (lambda: balance_positions(VECTORS[:1]), ValueError, "at least 2 pairs"),
])  # fmt: skip
def test_errors_name_the_rule_and_the_value(call, error, match):
    with pytest.raises(error, match=match):
        call()


# Operators, against the matrix written out.


def make_designs():
    features = RNG.randn(30, 7)
    a, b = RNG.randint(30, size=(2, 50))
    rows = features[a] - features[b]
    columns = RNG.randn(50, 2)
    narrow = np.round(features, 1).astype(np.float16)
    return {
        "pairs": (PairDesign(features, a, b), rows),
        "narrow pairs": (PairDesign(narrow, a, b), (narrow[a].astype(float) - narrow[b])),
        "differences": (DifferenceDesign(rows), rows),
        "narrow differences": (DifferenceDesign(narrow), narrow.astype(float)),
        "nuisances": (
            NuisanceDesign(PairDesign(features, a, b), columns), np.hstack([rows, columns]),
        ),
        "some rows": (DifferenceDesign(DenseRows(rows, np.array([4, 4, 0]))), rows[[4, 4, 0]]),
    }  # fmt: skip


@pytest.mark.parametrize("name", make_designs())
@pytest.mark.parametrize("size", [2**18, 16])
def test_products_in_blocks_are_those_of_the_matrix(name, size, monkeypatch):
    monkeypatch.setattr("sklearn_codex._data.rows.BLOCK_NUMBERS", size)
    monkeypatch.setattr("sklearn_codex._data.rows.LEAST_BLOCK", 3)
    whole, matrix = make_designs()[name]
    n = len(matrix)
    parts = [slice(None), np.arange(n - 1, -1, -1), np.arange(n) % 3 == 0, np.array([1, 0, 2])]
    for part in parts:
        design, D = whole.take(part), matrix[part]
        w, r, h = RNG.randn(D.shape[1]), RNG.randn(len(D)), RNG.rand(len(D))
        assert design.shape == D.shape
        assert_allclose(toarray(design[:]), D, atol=1e-12)
        assert_allclose(design.matvec(w), D @ w, atol=1e-12)
        both = np.column_stack([w, 2 * w])
        assert_allclose(design.matvec(both), D @ both, atol=1e-12)
        assert_allclose(design.rmatvec(r), D.T @ r, atol=1e-12)
        assert_allclose(design.column_squares(h), h @ D**2, rtol=1e-12)
        assert_allclose(design.gram(h), D.T @ (h[:, None] * D), atol=1e-12)
        columns = np.array([D.shape[1] - 1, 0])
        assert_allclose(design.dense_columns(columns), D[:, columns], atol=1e-12)
        # Few rows: the sample is all of those of the whole.
        assert_allclose(design.mean_gram(), whole.mean_gram())
    assert_allclose(whole.mean_gram(), matrix.T @ matrix / n, atol=1e-12)


@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("bias", [False, True])
def test_the_gram_matrix_decides_the_way_and_not_the_optimum(C, bias):
    rng = np.random.RandomState(1)
    X = rng.randn(1500, 300) * np.arange(1, 301) ** -1.0
    y = (rng.rand(1500) < expit(5 * X[:, 0] + 0.3)).astype(float)
    design = DifferenceDesign(X)
    penalty = np.ones(300 + bias)
    if bias:
        design, penalty[300] = NuisanceDesign(design, np.ones((1500, 1))), 0.0
    loss = BradleyTerryLoss(design, y, C=C, penalty=penalty)
    assert loss.uses_gram()
    fast = fit_weights(loss, tol=1e-9)
    other = BradleyTerryLoss(design, y, C=C, penalty=penalty)
    other.uses_gram = lambda: False
    slow = fit_weights(other, tol=1e-9)
    assert_allclose(fast.point.weights, slow.point.weights, atol=1e-6)
    assert fast.converged
    assert slow.converged
    # Judged by a sample, here by all rows, the fit ends near the same place.
    rough = fit_weights(BradleyTerryLoss(design, y, C=C, penalty=penalty, rough=True), tol=1e-9)
    assert_allclose(rough.point.weights, slow.point.weights, atol=1e-6)


def test_what_a_path_shares_is_what_each_loss_has():
    weight = RNG.exponential(size=N_PAIRS)
    every = BradleyTerryLoss(DifferenceDesign(DIFFERENCES), Y, weight, penalty=[1, 2, 0, 1.0])
    for C in (0.1, 10.0):
        alone = BradleyTerryLoss(
            DifferenceDesign(DIFFERENCES), Y, weight, C=C, penalty=[1, 2, 0, 1.0]
        )
        shared = every.with_C(C)
        w = RNG.randn(N_FEATURES)
        assert shared.at(w).value == pytest.approx(alone.at(w).value)
        gradient, curvature = alone.derivatives(alone.at(np.zeros(N_FEATURES)))
        norm = np.sqrt(np.sum(gradient**2 / curvature.diagonal()))
        assert shared.norm_at_zero() == pytest.approx(norm)


def test_a_cross_validated_path_of_dense_vectors_has_the_scores_of_separate_fits():
    rng = np.random.RandomState(2)
    X = rng.randn(900, 2, 300) * np.arange(1, 301) ** -0.5
    D = X[:, 0] - X[:, 1]
    y = (rng.rand(900) < expit(D @ rng.randn(300))).astype(int)
    Cs, splits = [1e-3, 1e-2, 0.3, 1.0], [*GroupKFold(3).split(D, groups=np.arange(900) // 3)]
    model = PreferenceRewardModelCV(Cs, cv=splits).fit(X, y)
    for place, C in enumerate(Cs):
        scores = cross_val_score(PreferenceRewardModel(C), D, y, cv=splits, scoring="neg_log_loss")
        assert_allclose(model.scores_[:, place], scores, atol=2e-4)


# Memory: what is held beside the data does not grow with their width.


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("chosen", [None, np.arange(0, 50, 3), np.arange(1, 50)])
def test_a_bend_is_two_products(dtype, chosen):
    rng = np.random.RandomState(0)
    vectors = rng.standard_normal((100, 7)).astype(dtype)
    shuffled = rng.permutation(100).reshape(-1, 2)
    designs = [
        PairDesign(vectors, np.arange(0, 100, 2), np.arange(1, 100, 2)),
        PairDesign(vectors, *shuffled.T),
        PairDesign(vectors, *rng.randint(100, size=(2, 50))),
        PairDesign(sparse.csr_array(vectors.astype(np.float64)), *shuffled.T),
        DifferenceDesign(vectors[:50]),
        NuisanceDesign(DifferenceDesign(vectors[:50]), np.ones((50, 1))),
    ]
    for design in designs:
        part = design if chosen is None else design.take(chosen)
        whole = part[:]
        rows = whole.toarray() if sparse.issparse(whole) else whole
        curvature, weights = rng.uniform(size=len(rows)), rng.standard_normal(rows.shape[1])
        bent, moved = part.bend(curvature, weights)
        assert_allclose(moved, rows @ weights, rtol=1e-12, atol=1e-12)
        assert_allclose(bent, rows.T @ (curvature * (rows @ weights)), rtol=1e-10, atol=1e-10)


def test_ids_of_float64_are_solved_by_their_differences_where_these_take_half_the_room():
    rng = np.random.RandomState(0)
    table = rng.standard_normal((40, 3))
    a, b = rng.permutation(40).reshape(-1, 2).T
    solved = PairDesign(table, a, b).to_solve()
    assert isinstance(solved, DifferenceDesign)
    assert_array_equal(solved.differences, table[a] - table[b])
    for design in (
        PairDesign(table, np.append(a, 0), np.append(b, 1)),  # more than half
        PairDesign(table.astype(np.float32), a, b),
    ):
        assert design.to_solve() is design


def peak_of(run):
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def make_large(kind, folder):
    n, d = 6000, 300
    labels = np.arange(n) % 2
    vectors = (
        np.random.RandomState(0)
        .standard_normal((n, 2, d))
        .astype(np.float32 if kind == "memmap" else kind)
    )
    if kind == "memmap":
        np.save(folder / "vectors.npy", vectors)
        vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    return vectors, labels


USES = {
    "fit": lambda X, y: PreferenceRewardModel(C=0.01).fit(X, y),
    "predict": lambda X, y: LARGE.predict_proba(X),
    "reward": lambda X, y: LARGE.reward(X),
    "turn": lambda X, y: balance_positions(X),
    "ids": lambda X, y: PreferenceRewardModel(C=0.01).fit(
        ResponseIds(np.arange(2 * len(X)).reshape(-1, 2), X.reshape(2 * len(X), -1)), y
    ),
    "CV": lambda X, y: PreferenceRewardModelCV([1e-3, 1e-2], cv=3).fit(X, y),
    "ensemble": lambda X, y: BootstrapRewardEnsemble(
        PreferenceRewardModel(C=0.01), 2, random_state=0
    ).fit(X, y).predict_margin(X, return_std=True),
}  # fmt: skip
LARGE = PreferenceRewardModel().fit(np.eye(300)[:20], np.arange(20) % 2)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, "memmap"], ids=str)
def test_no_copy_of_the_vectors_is_held(kind, use, tmp_path):
    X, y = make_large(kind, tmp_path)
    # Blocks, the Gram matrix of 300 columns with its factor, and vectors as long as the pairs.
    least = 16e6
    if kind is np.float64 and use in ("fit", "ids", "CV", "ensemble"):
        least += X.nbytes / 2  # the differences
    assert peak_of(lambda: USES[use](X, y)) < least
    assert X.nbytes / 2 < 16e6 < X.size * 8 / 1.7


def test_uncertainty_holds_the_differences_once():
    X = np.random.RandomState(0).standard_normal((3000, 400))
    y = np.arange(3000) % 2
    model = PreferenceRewardModel(C=0.01).fit(X, y)
    used = peak_of(lambda: RewardUncertainty(FrozenEstimator(model)).fit(X, y))
    assert used < 1.3 * X.nbytes + 6 * 400**2 * 8


@pytest.mark.parametrize("make_frame", [pd.DataFrame, pl.DataFrame])
def test_prompts_beside_vectors_are_kept_together(make_frame):
    columns = {"response_a": list(VECTORS[:, 0]), "response_b": list(VECTORS[:, 1])}
    frame = make_frame({"prompt": [f"prompt {place}" for place in PROMPTS], **columns})
    chosen = PreferenceRewardModelCV([0.1, 1.0], cv=4).fit(frame, Y)
    expected = PreferenceRewardModelCV([0.1, 1.0], cv=4).fit(VECTORS, Y, groups=PROMPTS)
    assert_allclose(chosen.scores_.mean(axis=0), expected.scores_.mean(axis=0), atol=0.02)
    with pytest.warns(LeakageWarning, match="same prompts"):
        PreferenceRewardModelCV([0.1, 1.0], cv=KFold(4)).fit(frame, Y)
    for name in ("PreferenceRewardModel", "TiePreferenceModel"):
        model = getattr(sklearn_codex, name)().fit(frame[:100], Y[:100])
        model.score(frame[:100], Y[:100])
        with pytest.warns(LeakageWarning, match="measures memory"):
            model.score(frame[100:], Y[100:])


# Lengths.


def make_lengths(n=3000):
    rng = np.random.RandomState(3)
    X, gap = rng.randn(n, 2, 3), rng.randint(-200, 200, size=n)
    difference = X[:, 0] - X[:, 1]
    y = (rng.rand(n) < expit(difference @ [1.0, -1.0, 0.5] + gap / 100)).astype(int)
    return X, gap, y


def test_lengths_given_with_vectors_are_those_of_the_formula():
    X, gap, y = make_lengths()
    two = np.column_stack([gap + 300, np.full(len(gap), 300)])
    fitted = [
        PreferenceRewardModel(control_length=True).fit(PairsWithLength(X, length), y)
        for length in (gap, two)
    ]
    assert_array_equal(fitted[0].coef_, fitted[1].coef_)
    model = fitted[0]
    assert model.length_scale_ == pytest.approx(np.sqrt(np.mean(gap**2)))
    d = gap / model.length_scale_
    expected = model.reward_margin(X) + model.length_coef_ @ [d, np.tanh(d)]
    assert_allclose(model.decision_function(PairsWithLength(X, gap)), expected)
    assert_allclose(model.coef_[0], [1.0, -1.0, 0.5], atol=0.15)
    plain = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000)
    columns = np.column_stack([X[:, 0] - X[:, 1], d, np.tanh(d)])
    weak = PreferenceRewardModel(C=1e8, control_length=True).fit(PairsWithLength(X, gap), y)
    expected = plain.fit(columns, y).coef_[0]
    assert_allclose(np.append(weak.coef_[0], weak.length_coef_), expected, atol=1e-4)


@pytest.mark.parametrize("X", [VECTORS, DIFFERENCES, sparse.csr_array(DIFFERENCES), FORMS["ids"]],
                         ids=["vectors", "differences", "sparse", "ids"])  # fmt: skip
def test_numbers_have_no_length_of_their_own(X):
    for model in (PreferenceRewardModel, PreferenceRewardModelCV):
        with pytest.raises(ValueError, match=r"numbers do not tell.*PairsWithLength\(X, length\)"):
            model(control_length=True).fit(X, Y)
    model = PreferenceRewardModel(control_length=True).fit(PairsWithLength(X, IDS), Y)
    with pytest.raises(ValueError, match="numbers do not tell"):
        model.predict(X)
    assert model.reward_margin(X).shape == (N_PAIRS,)


def test_counts_of_tokens_have_a_length_and_it_is_not_the_one_given():
    texts = [("a b c", "a"), ("a", "b c"), ("c c", "a b b"), ("b", "c"), ("a a a", "b c")]
    y = [1, 0, 1, 0, 1]
    reader = PairVectorizer(TokenCounter()).fit(texts)
    counts, named = reader.transform(texts), FrozenEstimator(reader.vectorizer_)
    model = PreferenceRewardModel(vectorizer=named, control_length=True).fit(counts, y)
    gap = np.array([2.0, -1, -1, 0, 1])
    given = PreferenceRewardModel(control_length=True).fit(PairsWithLength(counts, gap), y)
    assert model.length_scale_ == given.length_scale_ == pytest.approx(np.sqrt(7 / 5))
    assert_allclose(model.coef_, given.coef_)
    with pytest.raises(ValueError, match=r"fitted on counts and got given lengths.*Pass counts"):
        model.predict(PairsWithLength(counts, gap))
    tokens = PreferenceRewardModel(control_length=True).fit(PairsWithLength(texts, gap), y)
    assert tokens.length_scale_ == pytest.approx(np.sqrt(7 / 5))
    with pytest.raises(ValueError, match="fitted on given lengths and got text"):
        tokens.predict(texts)


def test_lengths_go_along_in_a_cross_validation():
    X, gap, y = make_lengths(400)
    given = PairsWithLength(X, gap)
    part = given[np.array([5, 2])]
    assert_array_equal(part.length, gap[[5, 2]])
    assert_array_equal(np.asarray(part), X[[5, 2]])
    assert_array_equal(given[3:5].length, gap[3:5])
    model = PreferenceRewardModel(control_length=True)
    scores = cross_val_score(model, given, y, scoring="neg_log_loss", cv=3)
    assert scores.mean() > cross_val_score(PreferenceRewardModel(), X, y,
                                           scoring="neg_log_loss", cv=3).mean()  # fmt: skip
    chosen = PreferenceRewardModelCV(
        [0.1, 1.0], cv=3, control_length=True, scoring=lambda model, X, y: model.score(X, y)
    )
    assert np.isfinite(chosen.fit(given, y).scores_).all()


# What a reward is compared to.


@pytest.mark.parametrize("make_model", [
    lambda: RewardUncertainty(), lambda: RewardUncertainty(kind="sandwich"),
    lambda: BootstrapRewardEnsemble(n_estimators=5, random_state=0),
    lambda: RewardUncertainty(PreferenceRewardModel(position_bias=True), method="dual"),
], ids=["laplace", "sandwich", "bootstrap", "bias, dual"])  # fmt: skip
def test_the_reference_of_rewards(make_model):
    model = make_model().fit(VECTORS, Y)
    some = EMBEDDINGS[:10]
    plain, origin = model.reward(some, return_std=True)
    for alias in ("origin", None, np.zeros((1, N_FEATURES))):
        assert_allclose(model.reward(some, return_std=True, reference=alias), (plain, origin))
    other = EMBEDDINGS[20:30]
    reward, std = model.reward(some, return_std=True, reference=other)
    assert_allclose(reward, plain - model.reward(other).mean())
    assert_allclose(model.reward(some, reference=other), reward)
    # The same as the margin of a pair of the response and the mean of the reference.
    pairs = np.stack([some, np.broadcast_to(other.mean(axis=0), some.shape)], axis=1)
    if not model.estimator_.position_bias:
        expected = model.predict_margin(pairs, return_std=True)
        assert_allclose((reward, std), expected, rtol=1e-9)
    centered, of_mean = model.reward(some, return_std=True, reference="mean")
    assert_allclose(centered, plain - plain.mean(), atol=1e-12)
    # Another origin of the embeddings changes what is compared to it, and nothing else.
    moved = make_model().fit(VECTORS + 100.0, Y)
    again = moved.reward(some + 100.0, return_std=True, reference="mean")
    assert_allclose(again, (centered, of_mean), rtol=1e-5, atol=1e-8)
    assert (moved.reward(some + 100.0, return_std=True)[1] > 10 * origin).all()


def test_rewards_of_candidates_have_standard_errors_and_a_reference():
    model = RewardUncertainty().fit(FORMS["ids"], Y)
    candidates = ResponseIds([[0, 1, 2], [3, 4, 5]], EMBEDDINGS)
    reward, std = model.reward(candidates, return_std=True, reference=ResponseIds([7], EMBEDDINGS))
    assert reward.shape == std.shape == (2, 3)
    expected = model.reward(EMBEDDINGS[:6], return_std=True, reference=EMBEDDINGS[7:8])
    assert_allclose((reward.ravel(), std.ravel()), expected)
    careful = model.conservative_reward(2.0, reference=EMBEDDINGS[7:8])
    assert_allclose(careful.reward(candidates), reward - 2 * std)
    assert_allclose(
        model.conservative_reward(2.0).reward(EMBEDDINGS[:3]),
        model.conservative_reward(2.0, reference=None).reward(EMBEDDINGS[:3]),
    )


@pytest.mark.parametrize("reference", ["median", "a b"])
def test_a_reference_that_is_not_known_is_named(reference):
    model = RewardUncertainty().fit(VECTORS, Y)
    with pytest.raises(ValueError, match=f"reference={reference!r}, which is not known"):
        model.reward(EMBEDDINGS, reference=reference)
    with pytest.raises(ValueError, match="reference='mean', which is not known"):
        model.conservative_reward(reference="mean")


def test_streams_of_vectors():
    model = PreferenceRewardModel()
    for rows in np.array_split(np.arange(N_PAIRS), 3):
        model.partial_fit(FORMS["ids"][rows], Y[rows], classes=[0, 1])
    other = PreferenceRewardModel()
    for rows in np.array_split(np.arange(N_PAIRS), 3):
        other.partial_fit(DIFFERENCES[rows], Y[rows], classes=[0, 1])
    assert_allclose(model.coef_, other.coef_, atol=1e-10)
