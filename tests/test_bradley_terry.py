import choix
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import approx_fprime, check_grad, minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from smooth_losses import curvature_of, gradient_of, matrix_of, value_and_gradient_of, value_of

from sklearn_codex._data.designs import NuisanceDesign
from sklearn_codex._data.pairs import DifferenceDesign, PairDesign
from sklearn_codex._reward import bradley_terry as _bradley_terry
from sklearn_codex._reward.bradley_terry import (
    BradleyTerryLoss,
    PairCurvature,
    fit_weights,
    pair_losses,
)
from sklearn_codex._solve.precision import toarray

N_PAIRS, N_FEATURES = 80, 6


@pytest.fixture
def rng():
    return np.random.RandomState(0)


def make_loss(rng, *, C=2.0, penalty=None, n_pairs=N_PAIRS, n_features=N_FEATURES, soft=True):
    differences = rng.randn(n_pairs, n_features)
    target = rng.rand(n_pairs)
    if not soft:
        target = (target < expit(differences.sum(axis=1))).astype(float)
    weight = rng.exponential(size=n_pairs)
    design = DifferenceDesign(differences)
    return BradleyTerryLoss(design, target, weight, C=C, penalty=penalty)


def logistic_regression(C):
    return LogisticRegression(C=C, fit_intercept=False, tol=1e-12, max_iter=10_000)


def assert_same_weights(weights, expected, rtol=1e-5):
    """Coefficients agree relative to the largest of them."""
    assert np.abs(weights - expected).max() <= rtol * np.abs(expected).max()


def test_value_is_the_documented_formula(rng):
    penalty = np.array([1.0, 0.0, 2.0, 1.0, 1.0, 0.5])
    loss = make_loss(rng, penalty=penalty)
    w = rng.randn(N_FEATURES)
    m = loss.design.differences @ w
    p, s = loss.target, loss.pair_weight / 2.0
    expected = 2.0 * np.sum(s * (-p * np.log(expit(m)) - (1 - p) * np.log(expit(-m))))
    expected += 0.5 * np.sum(penalty * w**2)
    assert loss.at(w).value == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("penalty", [None, np.array([1.0, 0.0, 2.0, 1.0, 1.0, 0.5])])
def test_gradient_matches_finite_differences(rng, penalty):
    loss = make_loss(rng, penalty=penalty)
    for w in rng.randn(3, N_FEATURES):
        error = check_grad(value_of(loss), gradient_of(loss), w)
        assert error < 1e-4


def test_hessian_matches_finite_differences_and_its_diagonal(rng):
    loss = make_loss(rng)
    w = rng.randn(N_FEATURES)
    numeric = approx_fprime(w, gradient_of(loss), 1e-6)
    curvature = curvature_of(loss, w)
    products = matrix_of(curvature, N_FEATURES)
    assert_allclose(products, numeric, atol=1e-3)
    assert_allclose(curvature.diagonal(), np.diag(products), rtol=1e-12)


def test_pair_losses_are_exact_in_both_tails():
    margins, target = np.array([50.0, -60.0, -1000.0, 800.0]), np.array([1, 0, 1, 0.5])
    assert_allclose(pair_losses(margins, target), [np.exp(-50), np.exp(-60), 1000, 400], rtol=1e-12)


def test_gradient_bounds_the_distance_to_the_optimum(rng):
    loss = make_loss(rng, C=10.0)
    best = fit_weights(loss)
    for w in best.point.weights + rng.randn(20, N_FEATURES):
        value, gradient = value_and_gradient_of(loss)(w)
        norm = np.linalg.norm(gradient)
        assert np.linalg.norm(w - best.point.weights) <= norm
        assert 0 <= value - best.point.value <= norm**2 / 2


@pytest.mark.parametrize("C", [1e-6, 1e-2, 1.0, 1e2, 1e4])
def test_optimum_is_that_of_logistic_regression(rng, C):
    loss = make_loss(rng, C=C, n_pairs=300, soft=False)
    X, s = loss.design.differences, loss.pair_weight / C
    expected = logistic_regression(C).fit(X, loss.target, sample_weight=s).coef_[0]
    state = fit_weights(loss)
    assert state.converged
    assert state.point.value <= loss.at(expected).value * (1 + 1e-12)
    assert_same_weights(state.point.weights, expected)


def test_iterations_do_not_depend_on_the_scale_of_columns(rng):
    scale = np.logspace(-3, 3, 20)
    X = rng.randn(400, 20)
    target = (rng.rand(400) < expit(X.sum(axis=1))).astype(float)
    plain = fit_weights(BradleyTerryLoss(DifferenceDesign(X), target, C=10.0))
    scaled = fit_weights(
        BradleyTerryLoss(DifferenceDesign(X * scale), target, C=10.0, penalty=scale**2)
    )
    assert scaled.converged
    assert scaled.iteration == plain.iteration
    assert_allclose(scaled.point.weights * scale, plain.point.weights, rtol=1e-8)


def test_soft_targets_equal_duplicated_weighted_rows(rng):
    loss = make_loss(rng)
    X, p, s = loss.design.differences, loss.target, loss.pair_weight
    doubled = BradleyTerryLoss(
        DifferenceDesign(np.vstack([X, X])),
        np.repeat([1.0, 0.0], N_PAIRS),
        np.concatenate([s * p, s * (1 - p)]),
    )
    w = rng.randn(N_FEATURES)
    assert_allclose(gradient_of(loss)(w), gradient_of(doubled)(w), rtol=1e-10)
    assert_allclose(fit_weights(loss).point.weights, fit_weights(doubled).point.weights, rtol=1e-8)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 5.0])
def test_item_only_optimum_is_that_of_choix(rng, alpha):
    n_items = 8
    wins = [tuple(rng.permutation(n_items)[:2]) for _ in range(200)]
    expected = choix.opt_pairwise(n_items, wins, alpha=alpha, tol=1e-12)
    winners, losers = np.array(wins).T
    design = PairDesign(sparse.eye_array(n_items, format="csr"), winners, losers)
    # choix penalises alpha |theta|^2, which is |theta|^2 / (2 C).
    state = fit_weights(BradleyTerryLoss(design, np.ones(200), C=1 / (2 * alpha)))
    assert_same_weights(state.point.weights, expected)


def test_free_coefficient_is_the_intercept(rng):
    X = rng.randn(200, 3)
    target = (rng.rand(200) < expit(X[:, 0] + 1)).astype(float)
    expected = LogisticRegression(C=0.1, tol=1e-12, max_iter=10_000).fit(X, target)
    design = DifferenceDesign(np.hstack([X, np.ones((200, 1))]))
    state = fit_weights(BradleyTerryLoss(design, target, C=0.1, penalty=[1, 1, 1, 0]))
    assert_same_weights(state.point.weights, np.append(expected.coef_, expected.intercept_))


def test_free_coefficient_without_data_stays_at_zero(rng):
    X = np.hstack([rng.randn(50, 2), np.zeros((50, 1))])
    loss = BradleyTerryLoss(DifferenceDesign(X), rng.rand(50), penalty=[1, 1, 0])
    state = fit_weights(loss)
    assert state.converged
    assert state.point.weights[2] == 0


@pytest.mark.parametrize("C", [1e-6, 1.0, 1e6])
def test_separable_data_and_constant_columns_have_a_finite_optimum(rng, C):
    X = np.hstack([rng.randn(40, 90), np.ones((40, 1)), np.zeros((40, 1))])
    target = (rng.rand(40) < 0.5).astype(float)
    loss = BradleyTerryLoss(DifferenceDesign(X), target, C=C)
    state = fit_weights(loss)
    assert state.converged
    assert np.isfinite(state.point.weights).all()
    assert state.point.weights[-1] == 0
    reference = minimize(
        value_and_gradient_of(loss),
        np.zeros(92),
        jac=True,
        options={"maxiter": 10_000, "gtol": 1e-12},
    )
    assert state.point.value <= reference.fun * (1 + 1e-9)


def test_stops_at_the_rounding_error_without_a_tolerance(rng):
    state = fit_weights(make_loss(rng), tol=0)
    assert state.converged
    assert state.iteration < 15


def test_no_data_to_learn_from_converges_at_zero():
    loss = BradleyTerryLoss(DifferenceDesign(np.zeros((5, 3))), np.ones(5))
    state = fit_weights(loss)
    assert (state.converged, state.iteration) == (True, 0)
    assert_array_equal(state.point.weights, np.zeros(3))


def test_objective_never_rises_and_the_first_state_is_before_any_step(rng):
    states = []
    fit_weights(make_loss(rng, C=100.0), callback=lambda state: states.append(state))
    assert [state.iteration for state in states] == list(range(len(states)))
    assert_array_equal(states[0].point.weights, np.zeros(N_FEATURES))
    assert states[0].gradient_norm == 1.0
    assert np.all(np.diff([state.point.value for state in states]) <= 1e-12)
    assert [state.converged for state in states] == [False] * (len(states) - 1) + [True]


def test_callback_and_max_iter_stop(rng):
    loss = make_loss(rng, C=100.0)
    state = fit_weights(loss, callback=lambda state: state.iteration == 2)
    assert (state.iteration, state.converged) == (2, False)
    state = fit_weights(loss, max_iter=1)
    assert (state.iteration, state.converged) == (1, False)


def test_warm_start_at_the_optimum_takes_no_step_and_far_away_arrives_at_the_same(rng):
    loss = make_loss(rng, C=100.0)
    best = fit_weights(loss)
    assert fit_weights(loss, best.point.weights).iteration == 0
    far = fit_weights(loss, 30 * rng.randn(N_FEATURES))
    assert far.converged
    assert_allclose(far.point.weights, best.point.weights, rtol=1e-6)


@pytest.mark.parametrize("free", [False, True])
def test_a_block_of_frequent_columns_saves_products_and_changes_no_optimum(rng, monkeypatch, free):
    monkeypatch.setattr(_bradley_terry, "MIN_FEATURES", 0)
    # Zipf's words: every response has the frequent ones, in numbers that go with its length.
    length = rng.randint(20, 200, size=(300, 1))
    counts = rng.poisson(length / np.arange(3, 203)).astype(float)
    a, b = np.arange(300), rng.permutation(300)
    design = PairDesign(sparse.csr_array(counts), a, b)
    if free:
        design = NuisanceDesign(design, 50.0 + rng.randn(300, 1))
    penalty = np.ones(design.shape[1])
    penalty[200:] = 0.0
    target = rng.rand(300)

    def make():
        return BradleyTerryLoss(design, target, C=0.001, penalty=penalty)

    loss = make()
    columns = loss.choose_block(curvature_of(loss, np.zeros(len(penalty))).diagonal())
    assert 10 <= len(columns) < 200
    dense = toarray(design[:])
    assert_allclose(design.dense_columns(columns), dense[:, columns])
    curvature = PairCurvature(loss, rng.rand(300))
    block = curvature.block(columns, design.dense_columns(columns))
    hessian = matrix_of(curvature, len(penalty))
    assert_allclose(block, hessian[np.ix_(columns, columns)], rtol=1e-10)

    n_products, optima = [], []
    for size in (0, len(columns)):
        with monkeypatch.context() as patch:
            patch.setattr(_bradley_terry, "MAX_BLOCK", size)
            patch.setattr(PairCurvature, "product", count_calls(PairCurvature.product, n_products))
            optima.append(fit_weights(make(), tol=1e-10).point.weights)
    assert n_products[1] < 0.7 * n_products[0]
    assert_allclose(optima[1], optima[0], rtol=1e-6, atol=1e-8)


def test_a_block_of_columns_that_depend_on_each_other(rng, monkeypatch):
    monkeypatch.setattr(_bradley_terry, "MIN_FEATURES", 0)
    counts = rng.poisson(3.0, size=(60, 5)).astype(float)
    counts = np.hstack([counts, counts, np.ones((60, 1))])
    design = PairDesign(sparse.csr_array(counts), *rng.randint(60, size=(2, 80)))
    target = rng.rand(80)
    loss = BradleyTerryLoss(design, target, C=1e8)
    assert len(loss.choose_block(np.ones(11))) > 2
    found = fit_weights(loss, tol=1e-9)
    monkeypatch.setattr(_bradley_terry, "MAX_BLOCK", 0)
    expected = fit_weights(BradleyTerryLoss(design, target, C=1e8), tol=1e-9)
    assert found.converged
    assert_allclose(found.point.value, expected.point.value, rtol=1e-12)
    assert_allclose(found.point.weights[10], 0, atol=1e-7)


def count_calls(function, counts):
    """Return a function that adds its calls to a new entry of ``counts``."""
    place = len(counts)
    counts.append(0)

    def counted(*args):
        counts[place] += 1
        return function(*args)

    return counted
