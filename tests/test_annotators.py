import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from smooth_losses import curvature_of, gradient_of, matrix_of, value_and_gradient_of, value_of

from sklearn_codex import BootstrapRewardEnsemble, PreferenceRewardModelCV, RewardUncertainty
from sklearn_codex._data.pairs import DifferenceDesign
from sklearn_codex._reward.annotator_loss import AnnotatorLoss, AnnotatorPrior
from sklearn_codex._reward.annotators import AnnotatorRewardModel
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex._solve.newton import minimise
from sklearn_codex.datasets import make_preferences

COEF = np.linspace(-2, 2, 5)
TEMPERATURES = np.array([0.5, 0.8, 1.0, 1.25, 2.0])
PRIOR = AnnotatorPrior(temperature_scale=0.5, flip_center=-2.0, flip_scale=1.5)


@parametrize_with_checks([AnnotatorRewardModel(), AnnotatorRewardModel(flip_rate=0.0)])
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def draw_labels(rng, n_labels=3000, flip_rate=0.08):
    X = rng.randn(n_labels, len(COEF))
    annotators = rng.randint(len(TEMPERATURES), size=n_labels)
    clean = rng.uniform(size=n_labels) < expit(X @ COEF / TEMPERATURES[annotators])
    flipped = rng.uniform(size=n_labels) < flip_rate
    return X, np.where(flipped, ~clean, clean).astype(int), annotators


def make_loss(rng, flip_rate=None, n_labels=60):
    return AnnotatorLoss(
        DifferenceDesign(rng.randn(n_labels, 3)),
        rng.uniform(size=n_labels),
        rng.randint(4, size=n_labels),
        rng.exponential(size=n_labels),
        C=2.0,
        prior=PRIOR,
        flip_rate=flip_rate,
    )


@pytest.mark.parametrize("flip_rate", [None, 0.1, 0.0])
def test_value_is_the_documented_formula_and_its_gradient_the_derivative(flip_rate):
    rng = np.random.RandomState(0)
    loss = make_loss(rng, flip_rate)
    params = rng.randn(len(loss.center))
    w, log_precision, z = params[:3], params[3:7], params[7:]
    e = expit(z[0]) / 2 if flip_rate is None else flip_rate
    precision = np.exp(log_precision - log_precision.mean())[loss.annotator]
    clean = expit(precision * (loss.design.differences @ w))
    p = (1 - e) * clean + e * (1 - clean)
    expected = -np.sum(loss.weight * (loss.target * np.log(p) + (1 - loss.target) * np.log(1 - p)))
    expected += w @ w / 4 + log_precision @ log_precision / (2 * 0.5**2)
    expected += np.sum((z + 2.0) ** 2) / (2 * 1.5**2)
    assert loss.at(params).value == pytest.approx(expected, rel=1e-12)
    numeric = approx_fprime(params, value_of(loss), 1e-7)
    assert_allclose(gradient_of(loss)(params), numeric, atol=1e-4)


@pytest.mark.parametrize("flip_rate", [None, 0.1])
def test_curvature_is_the_mean_of_squared_gradients(flip_rate):
    """Fisher's information by its definition: over labels drawn from the model itself."""
    rng = np.random.RandomState(0)
    loss = make_loss(rng, flip_rate, n_labels=8)
    params = 0.5 * rng.randn(len(loss.center))
    found = matrix_of(curvature_of(loss, params), len(params))
    p = np.exp(loss.at(params).kept[1][0])
    expected = np.diag(loss.prior_precision)
    for i in range(8):
        one = AnnotatorLoss(
            loss.design,
            loss.target,
            loss.annotator,
            np.eye(8)[i],
            C=2.0,
            prior=PRIOR,
            flip_rate=flip_rate,
        )
        for label, probability in ((1.0, p[i]), (0.0, 1 - p[i])):
            one.target = np.full(8, label)
            score = gradient_of(one)(params) - loss.prior_precision * (params - loss.center)
            expected = expected + loss.weight[i] * probability * np.outer(score, score)
    assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


def test_minimum_is_that_of_scipy():
    loss = make_loss(np.random.RandomState(1))
    found = minimise(loss, loss.center, tol=1e-9, max_iter=200)
    expected = minimize(value_and_gradient_of(loss), loss.center, jac=True, method="BFGS", tol=1e-9)
    assert found.converged
    assert found.point.value <= expected.fun + 1e-9
    assert_allclose(found.point.weights, expected.x, atol=1e-4)


@pytest.mark.parametrize("flip_rate", [0.0, 0.1])
def test_values_are_finite_at_extreme_margins(flip_rate):
    design = DifferenceDesign(np.array([[3000.0], [-3000.0], [3000.0]]))
    target, who = np.array([1.0, 0.0, 0.0]), np.zeros(3, dtype=int)
    loss = AnnotatorLoss(design, target, who, np.ones(3), C=1.0, prior=PRIOR, flip_rate=flip_rate)
    params = np.array([1.0, 0.0])
    assert loss.at(params).value == pytest.approx(
        0.5 + (3000 if flip_rate == 0 else -np.log(0.1 * 0.9**2))
    )
    assert np.isfinite(gradient_of(loss)(params)).all()


def test_one_annotator_without_flips_is_the_bradley_terry_model():
    X, y, _ = draw_labels(np.random.RandomState(0), n_labels=300)
    model = AnnotatorRewardModel(C=0.5, flip_rate=0.0, tol=1e-10).fit(X, y)
    plain = PreferenceRewardModel(C=0.5).fit(X, y)
    assert_allclose(model.coef_, plain.coef_, rtol=1e-5)
    assert_allclose(model.predict_proba(X), plain.predict_proba(X), rtol=1e-5)
    assert model.temperatures_.tolist() == [1.0]
    assert model.log_temperature_std_.tolist() == [0.0]
    assert model.flip_rate_interval() == (0.0, 0.0)


@pytest.mark.parametrize("coin", [False, True])
@pytest.mark.parametrize("C", [0.1, 1.0, 1e4])
def test_it_converges_where_labels_are_against_great_margins(C, coin):
    """Fisher scoring alone takes thousands of steps; a warning would be an error here."""
    data = make_preferences(400, n_features=12, n_prompts=80, text=True, random_state=0)
    rng = np.random.RandomState(0)
    for rows in np.array_split(rng.permutation(400), 3):
        kept = np.setdiff1d(np.arange(400), rows)
        y = rng.permutation(data.y[kept]) if coin else data.y[kept]
        model = AnnotatorRewardModel(C).fit(data.X[kept], y, annotators=rng.randint(3, size=len(y)))
        assert model.n_iter_ < 200
        stricter = clone(model).set_params(tol=1e-9, max_iter=5000)
        stricter.fit(data.X[kept], y)
        again = clone(model).fit(data.X[kept], y)
        assert_allclose(again.coef_, stricter.coef_, atol=1e-4)


def test_temperatures_have_geometric_mean_one_and_their_names():
    X, y, annotators = draw_labels(np.random.RandomState(0))
    names = np.array([f"annotator {code}" for code in annotators])
    model = AnnotatorRewardModel().fit(X, y, annotators=names)
    assert np.log(model.temperatures_).mean() == pytest.approx(0.0, abs=1e-12)
    assert model.annotators_.tolist() == [f"annotator {k}" for k in range(5)]
    assert (np.diff(model.temperatures_) > 0).all()
    table = model.temperature_interval()
    assert ((table.low < table.temperature) & (table.temperature < table.high)).all()
    low, high = model.flip_rate_interval()
    assert 0 < low < model.flip_rate_ < high < 0.5


def test_the_smaller_the_scale_the_more_alike_annotators_are():
    X, y, annotators = draw_labels(np.random.RandomState(0))
    spread = [
        np.log(
            AnnotatorRewardModel(temperature_scale=scale)
            .fit(X, y, annotators=annotators)
            .temperatures_
        ).std()
        for scale in (1e-3, 0.1, 2.0)
    ]
    assert spread[0] < 1e-3 < spread[1] < spread[2]


def test_weight_of_two_is_the_label_twice():
    X, y, annotators = draw_labels(np.random.RandomState(0), n_labels=300)
    weight = np.random.RandomState(1).randint(3, size=300)
    weighted = AnnotatorRewardModel(tol=1e-9).fit(X, y, weight, annotators)
    repeated = AnnotatorRewardModel(tol=1e-9).fit(
        *(np.repeat(values, weight, axis=0) for values in (X, y)),
        annotators=np.repeat(annotators, weight),
    )
    assert_allclose(weighted.temperatures_, repeated.temperatures_, rtol=1e-4)
    assert_allclose(weighted.log_temperature_std_, repeated.log_temperature_std_, rtol=1e-4)
    assert weighted.flip_rate_ == pytest.approx(repeated.flip_rate_, rel=1e-4)


def test_it_predicts_as_a_classifier_and_scores_soft_labels():
    X, y, annotators = draw_labels(np.random.RandomState(0), n_labels=600)
    model = AnnotatorRewardModel().fit(X, y, annotators=annotators)
    proba = model.predict_proba(X)
    assert_allclose(proba.sum(axis=1), 1.0)
    assert (proba >= model.flip_rate_ * (1 - 1e-12)).all()
    assert_array_equal(model.predict(X), (proba[:, 1] > 0.5).astype(int))
    assert roc_auc_score(y, model.decision_function(X)) > 0.8
    assert model.score(X, y) == pytest.approx(np.mean(model.predict(X) == y))
    assert model.score(X, np.full(600, 0.5)) == 0.5
    assert_allclose(model.reward(X[:3]), X[:3] @ model.coef_[0])
    scores = cross_val_score(AnnotatorRewardModel(), X, y, params={"annotators": annotators}, cv=3)
    assert scores.min() > 0.7


def test_text_pairs():
    pairs = [("good", "bad"), ("bad", "good"), ("good day", "bad day"), ("bad", "day")]
    model = AnnotatorRewardModel().fit(pairs, [1, 0, 1, 0], annotators=["x", "y", "x", "y"])
    assert model.reward(["good"]) > model.reward(["bad"])


def test_lengths_have_to_agree():
    X, y, annotators = draw_labels(np.random.RandomState(0), n_labels=50)
    with pytest.raises(
        ValueError, match="annotators should have one value a pair: there are 50 pairs, got 49"
    ):
        AnnotatorRewardModel().fit(X, y, annotators=annotators[:-1])


def test_too_few_steps_are_warned_of():
    X, y, annotators = draw_labels(np.random.RandomState(0), n_labels=200)
    with pytest.warns(ConvergenceWarning, match="AnnotatorRewardModel did not converge"):
        AnnotatorRewardModel(max_iter=1, tol=1e-12).fit(X, y, annotators=annotators)


def test_classes_and_accuracy_are_those_of_all_models_of_pairs():
    models = (PreferenceRewardModel, PreferenceRewardModelCV, RewardUncertainty)
    for model in (*models, BootstrapRewardEnsemble):
        assert AnnotatorRewardModel.score is model.score
        assert AnnotatorRewardModel.predict is model.predict


def test_an_annotator_whose_rows_weigh_nothing_is_left_out():
    X, y, annotators = draw_labels(np.random.RandomState(3), 400)
    weight = np.where(annotators == 2, 0.0, 1.0)
    weight[:5] = 0.0
    rows = weight > 0
    model = AnnotatorRewardModel().fit(X, y, sample_weight=weight, annotators=annotators)
    part = AnnotatorRewardModel().fit(X[rows], y[rows], annotators=annotators[rows])
    assert_array_equal(model.annotators_, [0, 1, 3, 4])
    for name in ("coef_", "temperatures_", "log_temperature_std_", "flip_rate_"):
        assert_allclose(getattr(model, name), getattr(part, name), rtol=1e-6)
    texts = np.array([[f"a {i % 7}", f"b {i % 5}"] for i in range(400)], dtype=object)
    model = AnnotatorRewardModel().fit(texts, y, sample_weight=weight, annotators=annotators)
    part = AnnotatorRewardModel().fit(texts[rows], y[rows], annotators=annotators[rows])
    assert_allclose(model.coef_, part.coef_, atol=1e-6)
