"""Streams of pairs: what ``partial_fit`` promises."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reward_pairs import (
    WORDS,
    assert_same_weights,
    make_differences,
    make_soft_labels,
    make_text_pairs,
    with_length,
)
from scipy.special import expit
from sklearn.base import clone
from smooth_losses import curvature_of, gradient_of, matrix_of, value_of

from sklearn_codex._data.pairs import DifferenceDesign
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex.exceptions import LeakageWarning
from sklearn_codex.text import TokenCounter


@pytest.mark.parametrize("n_features", [8, 200])
@pytest.mark.parametrize("bias", [False, True])
def test_one_batch_of_a_stream_is_a_fit(n_features, bias):
    X, y = make_differences(n_features=n_features)
    X = with_length(X)
    options = {"position_bias": bias, "control_length": bias}
    fitted = PreferenceRewardModel(**options).fit(X, y)
    streamed = PreferenceRewardModel(**options).partial_fit(X, y)
    assert_same_weights(streamed.coef_, fitted.coef_, rtol=1e-8)
    assert_allclose(streamed.position_bias_, fitted.position_bias_, atol=1e-8)
    more, labels = make_differences(50, n_features, seed=1)
    more = with_length(more)
    fitted.partial_fit(more, labels)
    streamed.partial_fit(more, labels)
    assert_same_weights(streamed.coef_, fitted.coef_, rtol=1e-7)


@pytest.mark.parametrize("dense", [False, True])
def test_loss_of_a_stream_has_its_derivatives(dense):
    rng = np.random.RandomState(0)
    X, y = make_soft_labels(40, 5)
    root = rng.randn(5, 5)
    precision = root @ root.T + np.eye(5) if dense else rng.rand(5) + 0.5
    mean, w, d = rng.randn(3, 5)
    loss = BradleyTerryLoss(
        DifferenceDesign(X), y, rng.rand(40), C=0.7, mean=mean, penalty=precision
    )
    Q = precision if dense else np.diag(precision)
    prior = 0.5 * (w - mean) @ Q @ (w - mean)
    margins = X @ w
    losses = np.logaddexp(0, -margins) * y + np.logaddexp(0, margins) * (1 - y)
    assert loss.at(w).value == pytest.approx(loss.pair_weight @ losses + prior)
    value, gradient = value_of(loss), gradient_of(loss)
    step = 1e-5
    numeric = [(value(w + step * e) - value(w - step * e)) / (2 * step) for e in np.eye(5)]
    assert_allclose(gradient(w), numeric, rtol=1e-6, atol=1e-6)
    curvature = curvature_of(loss, w)
    numeric = (gradient(w + step * d) - gradient(w - step * d)) / (2 * step)
    assert_allclose(curvature.product(d)[0], numeric, rtol=1e-6)
    assert_allclose(curvature.diagonal(), np.diag(matrix_of(curvature, 5)))


def test_a_stream_comes_close_to_a_fit_on_all_of_it():
    rng = np.random.RandomState(0)
    mixing = rng.randn(8, 8)  # correlated features
    X, y = make_differences(8_000)
    X = X @ mixing
    whole = PreferenceRewardModel().fit(X, y)
    proba = whole.predict_proba(X)[:, 1]
    hessian = (X.T * (proba * (1 - proba))) @ X

    def distance(n_batches, order=1):
        model = PreferenceRewardModel()
        for rows in np.array_split(np.arange(len(y)), n_batches)[::order]:
            model.partial_fit(X[rows], y[rows], classes=[0, 1])
        away = (model.coef_ - whole.coef_)[0]
        return np.sqrt(away @ hessian @ away)  # in standard errors of all weights together

    assert distance(8) < 0.5  # the sampling error is sqrt(8) = 2.8
    assert distance(2) < distance(8) < distance(80) < 2.8
    assert distance(8, order=-1) < 0.5


def test_a_stream_of_many_weights_goes_to_those_of_its_source():
    truth = np.linspace(-1, 1, 150)
    rng = np.random.RandomState(0)
    model, errors = PreferenceRewardModel(), []
    for _ in range(3):
        for _ in range(8):
            X = rng.randn(500, 150) / 5
            y = (rng.rand(500) < expit(X @ truth)).astype(int)
            model.partial_fit(X, y)
        errors.append(np.abs(model.coef_[0] - truth).mean())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.2


def test_classes_and_columns_of_a_stream():
    pairs, y = make_text_pairs()
    model = PreferenceRewardModel(vectorizer=TokenCounter(vocabulary=WORDS))
    with pytest.raises(ValueError, match=r"one class in the first batch.*Pass both as classes"):
        clone(model).partial_fit(pairs[:2], ["no", "no"])
    model.partial_fit(pairs[:20], ["yes"] * 20, classes=["yes", "no"])
    model.partial_fit(pairs[20:], np.where(y[20:] == 1, "yes", "no"))
    assert list(model.classes_) == ["no", "yes"]
    model.partial_fit(pairs, np.where(y == 1, 0.9, 0.1))  # soft labels have the same meaning
    with pytest.raises(ValueError, match=r"got the labels \['other'\]"):
        model.partial_fit(pairs[:2], ["no", "other"])
    with pytest.raises(ValueError, match="the stream began with"):
        model.partial_fit(pairs[:2], ["no", "yes"], classes=["no", "other"])
    with pytest.raises(ValueError, match="seem to name the better response"):
        clone(model).partial_fit(pairs[:2], ["a", "a"], classes=["a", "b"])
    with pytest.raises(ValueError, match="needs two classes, got classes"):
        clone(model).partial_fit(pairs[:2], ["no", "no"], classes=["no"])
    with pytest.raises(ValueError, match="two classes"):
        PreferenceRewardModel(position_bias=True).partial_fit(pairs[:2], [1, 1], classes=[0, 1])


def test_a_stream_remembers_its_prompts():
    pairs, _ = make_text_pairs()
    one, other = ([(prompt, a, b) for a, b in pairs[:4]] for prompt in ("one", "another"))
    model = PreferenceRewardModel().partial_fit(one[:2], [0, 1]).partial_fit(other, [0, 1, 0, 1])
    with pytest.warns(LeakageWarning, match="stood in its training pairs"):
        model.score(one[2:], [0, 1])


@pytest.mark.parametrize("n_features", [8, 200])
def test_memory_does_not_grow_with_pairs_but_for_their_hashes(n_features):
    vocabulary = [f"w{i}" for i in range(n_features)]
    rng = np.random.RandomState(0)

    def batch(n_pairs):
        texts = [" ".join(rng.choice(vocabulary, size=20)) for _ in range(3 * n_pairs)]
        return np.array(texts, dtype=object).reshape(-1, 3), rng.randint(2, size=n_pairs)

    model = PreferenceRewardModel(vectorizer=TokenCounter(vocabulary=vocabulary))
    sizes = []
    for _ in range(4):
        model.partial_fit(*batch(300), classes=[0, 1])
        model.history_ = []  # of the last batch, as long as that took
        sizes.append(len(pickle.dumps(model)))
    # Each pair and each prompt is a hash of 8 bytes.
    assert_allclose(np.diff(sizes), 300 * 2 * 8, atol=100)
    differences = PreferenceRewardModel()
    sizes = []
    for _ in range(3):
        differences.partial_fit(*make_differences(300, n_features, seed=len(sizes)))
        differences.history_ = []
        sizes.append(len(pickle.dumps(differences)))
    assert_allclose(np.diff(sizes), 0, atol=100)


def test_pairs_may_be_forgotten():
    """A batch depends on those before by the weights and the precision alone."""
    X, y = make_differences(600)
    model = PreferenceRewardModel().partial_fit(X[:300], y[:300])
    revived = pickle.loads(pickle.dumps(model))
    X[:300], y[:300] = 0, 0
    model.partial_fit(X[300:], y[300:])
    revived.partial_fit(X[300:], y[300:])
    assert_array_equal(revived.coef_, model.coef_)
