import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit, logsumexp
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks
from smooth_losses import curvature_of, gradient_of, matrix_of, value_and_gradient_of, value_of

from sklearn_codex._data.pairs import DifferenceDesign
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex._reward.tie_losses import DavidsonLoss, RaoKupperLoss
from sklearn_codex._reward.tie_models import TiePreferenceModel
from sklearn_codex._solve.newton import minimise, solve
from sklearn_codex.labels import convert_labels
from sklearn_codex.metrics import get_preference_scorer, preference_accuracy

MODELS = ["davidson", "rao-kupper"]
LOSSES = [DavidsonLoss, RaoKupperLoss]
COEF = np.linspace(-1, 1, 5)
log_likelihood = get_preference_scorer("neg_outcome_log_loss")


@parametrize_with_checks([TiePreferenceModel(tie_model=tie_model) for tie_model in MODELS])
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def probabilities(tie_model, margin, parameter):
    """P of B, tie and A by the formulas of the two papers."""
    pi_a, pi_b = np.exp(margin), np.ones_like(margin)
    if tie_model == "davidson":
        total = pi_a + pi_b + parameter * np.sqrt(pi_a * pi_b)
        return np.column_stack([pi_b, parameter * np.sqrt(pi_a * pi_b), pi_a]) / total[:, None]
    prefers_a, prefers_b = pi_a / (pi_a + parameter * pi_b), pi_b / (pi_b + parameter * pi_a)
    tie = (parameter**2 - 1) * pi_a * pi_b
    tie /= (pi_a + parameter * pi_b) * (parameter * pi_a + pi_b)
    return np.column_stack([prefers_b, tie, prefers_a])


def draw_pairs(tie_model, parameter, n_pairs, rng):
    X = rng.randn(n_pairs, len(COEF))
    proba = probabilities(tie_model, X @ COEF, parameter)
    return X, (rng.uniform(size=(n_pairs, 1)) > proba.cumsum(axis=1)).sum(axis=1) / 2


def make_loss(loss_class, rng, n_pairs=60):
    design = DifferenceDesign(rng.randn(n_pairs, 3))
    return loss_class(design, rng.randint(3, size=n_pairs), rng.exponential(size=n_pairs), C=1.7)


@pytest.mark.parametrize("tie_model", MODELS)
def test_probabilities_are_those_of_the_paper(tie_model):
    X, y = draw_pairs(tie_model, 2.0, 400, np.random.RandomState(0))
    model = TiePreferenceModel(tie_model=tie_model).fit(X, y)
    expected = probabilities(tie_model, X @ model.coef_[0], model.tie_parameter_)
    assert_allclose(model.predict_proba(X), expected, rtol=1e-9)
    assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)
    assert_array_equal(model.predict(X), np.argmax(expected, axis=1) / 2)
    chosen = expected[np.arange(400), (2 * y).astype(int)]
    assert log_likelihood(model, X, y) == pytest.approx(np.mean(np.log(chosen)))


@pytest.mark.parametrize("loss_class", LOSSES)
def test_probabilities_sum_to_one_in_both_tails(loss_class):
    margin = np.array([-800.0, -30.0, 0.0, 1e-9, 40.0, 900.0])
    for t in (1e-8, 0.5, 5.0):
        log_prob = loss_class.log_prob(margin, t)
        assert_allclose(np.exp(log_prob).sum(axis=1), 1.0, rtol=1e-12)
        assert np.isfinite(log_prob).all()


@pytest.mark.parametrize("loss_class", LOSSES)
def test_derivatives_match_finite_differences(loss_class):
    rng = np.random.RandomState(0)
    loss = make_loss(loss_class, rng)
    for params in (np.append(rng.randn(3), t) for t in (0.1, 0.7, 2.0)):
        numeric = approx_fprime(params, value_of(loss), 1e-7)
        assert_allclose(gradient_of(loss)(params), numeric, rtol=1e-4, atol=1e-3)
        hessian = approx_fprime(params, gradient_of(loss), 1e-6)
        curvature = curvature_of(loss, params)
        products = matrix_of(curvature, 4)
        assert_allclose(products, hessian, rtol=1e-3, atol=1e-3)
        assert_allclose(curvature.diagonal(), np.diag(products), rtol=1e-12)
        assert np.linalg.eigvalsh(products).min() > 0
        assert_allclose(
            solve(curvature, np.eye(4)[3]), np.linalg.solve(products, np.eye(4)[3]), rtol=1e-7
        )


@pytest.mark.parametrize("loss_class", LOSSES)
def test_minimum_is_that_of_scipy(loss_class):
    loss = make_loss(loss_class, np.random.RandomState(1))
    start = np.array([0.0, 0.0, 0.0, 0.5])
    found = minimise(loss, start, tol=1e-10, max_iter=50)
    expected = minimize(value_and_gradient_of(loss), start, jac=True, method="BFGS", tol=1e-9)
    assert found.converged
    assert found.point.value <= expected.fun + 1e-9
    assert_allclose(found.point.weights, expected.x, atol=1e-6)


def test_rao_kupper_has_no_value_without_threshold():
    loss = make_loss(RaoKupperLoss, np.random.RandomState(0))
    assert loss.at(np.array([0.0, 0.0, 0.0, -0.1])).value == np.inf


@pytest.mark.parametrize("tie_model", MODELS)
def test_without_ties_it_is_the_bradley_terry_model(tie_model):
    rng = np.random.RandomState(0)
    X = rng.randn(200, 5)
    y = (rng.uniform(size=200) < expit(X @ COEF)).astype(int)
    model, plain = (
        TiePreferenceModel(tie_model=tie_model, C=0.5).fit(X, y),
        PreferenceRewardModel(C=0.5),
    )
    assert_allclose(model.coef_, plain.fit(X, y).coef_)
    assert_allclose(model.predict_proba(X), plain.predict_proba(X))
    assert model.classes_.tolist() == [0, 1]
    assert model.tie_parameter_ == (0.0 if tie_model == "davidson" else 1.0)
    assert np.isnan(model.tie_parameter_interval()).all()
    assert log_likelihood(model, X[:2], [0.5, 1]) == -np.inf


def test_davidson_margins_do_not_change_when_ties_are_dropped():
    X, y = draw_pairs("davidson", 1.0, 20_000, np.random.RandomState(0))
    model = TiePreferenceModel(C=1e4).fit(X, y)
    plain = PreferenceRewardModel(C=1e4).fit(X[y != 0.5], y[y != 0.5])
    assert_allclose(model.coef_, plain.coef_, atol=0.05)


@pytest.mark.parametrize("tie_model", MODELS)
def test_exchanging_responses_exchanges_probabilities(tie_model):
    X, y = draw_pairs(tie_model, 1.5, 200, np.random.RandomState(0))
    model, mirrored = (
        TiePreferenceModel(tie_model=tie_model).fit(*data) for data in ((X, y), (-X, 1 - y))
    )
    assert_allclose(model.coef_, mirrored.coef_, rtol=1e-6)
    assert_allclose(model.predict_proba(-X), model.predict_proba(X)[:, ::-1], rtol=1e-9)


@pytest.mark.parametrize("tie_model", MODELS)
def test_names_are_the_labels_they_stand_for(tie_model):
    X, y = draw_pairs(tie_model, 1.5, 200, np.random.RandomState(0))
    names = np.array(["b", "tie", "a"])[(2 * y).astype(int)]
    numbers, named = (
        TiePreferenceModel(tie_model=tie_model).fit(X, labels) for labels in (y, names)
    )
    assert named.classes_.tolist() == ["a", "b", "tie"]
    assert_allclose(named.predict_proba(X), numbers.predict_proba(X)[:, [2, 0, 1]])
    assert_array_equal(convert_labels(named.predict(X)), numbers.predict(X))
    assert (
        named.score(X, names) == numbers.score(X, y) == preference_accuracy(y, X @ named.coef_[0])
    )
    assert log_likelihood(named, X, names) == log_likelihood(numbers, X, y)
    two = TiePreferenceModel(tie_model=tie_model).fit(X[y != 0.5], names[y != 0.5])
    assert_allclose(
        two.coef_, TiePreferenceModel(tie_model=tie_model).fit(X[y != 0.5], y[y != 0.5]).coef_
    )


def test_chosen_pairs_and_ties_need_no_other_class():
    X, y = draw_pairs("davidson", 1.5, 300, np.random.RandomState(0))
    turned = np.where(y == 0, -1.0, 1.0)[:, None] * X
    model = TiePreferenceModel().fit(turned, np.maximum(y, 1 - y))
    assert_allclose(model.coef_, TiePreferenceModel().fit(X, y).coef_, rtol=1e-6)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, 2], "write labels as 1"),
        (["x", "y", "z"], "write labels as 1"),
        ([0.1, 0.5, 1.0], "continuous"),
        ([0.5, 0.5, 0.5], "one class: in all, a tie"),
        ([1, 1, 1], "one class"),
        (None, "requires y"),
    ],
)
def test_labels_that_do_not_say_which_is_the_tie_are_errors(y, message):
    with pytest.raises(ValueError, match=message):
        TiePreferenceModel().fit(np.eye(3), y)


def test_unknown_label_in_score_is_an_error():
    X, y = draw_pairs("davidson", 1.0, 50, np.random.RandomState(0))
    with pytest.raises(ValueError, match="got the labels"):
        TiePreferenceModel().fit(X, y).score(X[:2], [2, 0])


def test_weight_of_two_is_the_pair_twice_and_of_zero_no_pair():
    X, y = draw_pairs("rao-kupper", 2.0, 80, np.random.RandomState(0))
    weight = np.random.RandomState(1).randint(3, size=80)
    weighted = TiePreferenceModel(tie_model="rao-kupper").fit(X, y, sample_weight=weight)
    repeated = TiePreferenceModel(tie_model="rao-kupper").fit(
        np.repeat(X, weight, 0), np.repeat(y, weight)
    )
    assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-6)
    assert weighted.tie_parameter_ == pytest.approx(repeated.tie_parameter_)
    assert weighted.log_tie_parameter_std_ == pytest.approx(repeated.log_tie_parameter_std_)


def test_text_search_and_rewards():
    rng = np.random.RandomState(0)
    words = np.array(["good", "fine", "poor", "bad"])
    value = np.array([2.0, 1.0, -1.0, -2.0])
    a, b = rng.randint(4, size=(2, 300))
    proba = probabilities("davidson", value[a] - value[b], 1.0)
    y = (rng.uniform(size=(300, 1)) > proba.cumsum(axis=1)).sum(axis=1) / 2
    frame = pd.DataFrame({"response_a": words[a], "response_b": words[b]})
    grid = {"C": [0.1, 10.0], "tie_model": MODELS}
    search = GridSearchCV(TiePreferenceModel(), grid, cv=3, scoring=log_likelihood)
    search.fit(frame, y)
    rewards = search.best_estimator_.reward(words.tolist())
    assert (np.diff(rewards) < 0).all()
    assert search.best_score_ > np.log(1 / 3)


def test_too_few_steps_are_warned_of():
    X, y = draw_pairs("davidson", 1.0, 100, np.random.RandomState(0))
    with pytest.warns(ConvergenceWarning, match="did not converge in 1 steps"):
        TiePreferenceModel(max_iter=1, tol=1e-12).fit(X, y)


def test_interval_of_davidsons_tie_is_that_of_the_curvature_by_differences():
    rng = np.random.default_rng(0)
    x, C = rng.normal(size=(60, 1)), 0.3
    y = rng.choice([0.0, 0.5, 1.0], size=60, p=[0.3, 0.4, 0.3])
    model = TiePreferenceModel(tie_model="davidson", C=C, tol=1e-10).fit(x, y)

    def loss(w, log_tie):
        utility = np.column_stack([-w * x[:, 0] / 2, np.full(60, log_tie), w * x[:, 0] / 2])
        log_prob = utility - logsumexp(utility, axis=1, keepdims=True)
        return w**2 / (2 * C) - log_prob[np.arange(60), (2 * y).astype(int)].sum()

    at, step = np.array([model.coef_[0, 0], np.log(model.tie_parameter_)]), 1e-4 * np.eye(2)
    curvature = [
        [
            sum(s * r * loss(*(at + s * a + r * b)) for s in (1, -1) for r in (1, -1)) / 4e-8
            for a in step
        ]
        for b in step
    ]
    std = np.sqrt(np.linalg.inv(curvature)[1, 1])
    assert model.log_tie_parameter_std_ == pytest.approx(std, rel=1e-4)
    interval = np.log(model.tie_parameter_interval(0.8))
    assert interval == pytest.approx(at[1] + norm.ppf(0.9) * std * np.array([-1, 1]), rel=1e-3)
