import gzip
import json
import pickle
from pathlib import Path

import choix
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reward_pairs import (
    TRUTH,
    WORDS,
    assert_same_weights,
    make_differences,
    make_soft_labels,
    make_text_pairs,
)
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_codex._data.pairs import balance_positions
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex.exceptions import LeakageWarning
from sklearn_codex.labels import expand_soft_labels
from sklearn_codex.metrics import preference_accuracy
from sklearn_codex.text import TokenCounter

DATA = Path(__file__).parents[2] / "shared" / "data"


@parametrize_with_checks([PreferenceRewardModel()])
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def count_differences(pairs, vectorizer):
    texts_a, texts_b = zip(*pairs, strict=True)
    return vectorizer.transform(list(texts_a)) - vectorizer.transform(list(texts_b))


def logistic_regression(C=1.0):
    return LogisticRegression(C=C, fit_intercept=False, tol=1e-12, max_iter=10_000)


def load_pairs(name):
    path = DATA / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"real preference data are not beside the repository: {name}.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        frame = pd.DataFrame(map(json.loads, lines))
    return frame[frame["label"] != 0.5].reset_index(drop=True)


@pytest.mark.parametrize("C", [1e-4, 1.0, 1e3])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csr_matrix])
def test_equals_logistic_regression_on_differences(container, C):
    X, y = make_differences()
    X[np.abs(X) < 0.5] = 0
    X, weight = container(X), np.random.RandomState(1).exponential(size=len(y))
    expected = logistic_regression(C).fit(X, y, sample_weight=weight)
    model = PreferenceRewardModel(C=C).fit(X, y, sample_weight=weight)
    assert_same_weights(model.coef_, expected.coef_)
    assert_allclose(model.predict_proba(X), expected.predict_proba(X), rtol=1e-4)
    assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.parametrize("vectorizer", [None, TfidfVectorizer(token_pattern=r"\S+")])
def test_text_equals_logistic_regression_and_differences(vectorizer):
    pairs, y = make_text_pairs()
    model = PreferenceRewardModel(vectorizer=vectorizer).fit(pairs, y)
    X = count_differences(pairs, model.vectorizer_)
    assert_same_weights(model.coef_, logistic_regression().fit(X, y).coef_)
    on_differences = PreferenceRewardModel().fit(X, y)
    assert_same_weights(model.coef_, on_differences.coef_, rtol=1e-8)
    assert model.n_iter_ == on_differences.n_iter_
    assert_allclose(model.decision_function(pairs), model.decision_function(X), atol=1e-12)
    assert_allclose(model.decision_function(pairs), on_differences.decision_function(X), atol=1e-8)


@pytest.mark.parametrize("name", ["pandalm", "rmbench_code"])
@pytest.mark.parametrize("C", [1e-3, 1.0])
def test_real_text_equals_logistic_regression(name, C):
    data = load_pairs(name)[:300]  # lbfgs takes its time to arrive
    y = (data["label"] > 0.5).astype(int)
    model = PreferenceRewardModel(C=C).fit(data, y)
    X = count_differences(
        list(zip(data["response_a"], data["response_b"], strict=True)), model.vectorizer_
    )
    assert_same_weights(model.coef_, logistic_regression(C).fit(X, y).coef_)


def test_item_only_reward_is_that_of_choix():
    rng = np.random.RandomState(0)
    items, alpha = list("abcdefg"), 0.3
    wins = [tuple(rng.permutation(len(items))[:2]) for _ in range(150)]
    expected = choix.opt_pairwise(len(items), wins, alpha=alpha, tol=1e-12)
    chosen = [(items[winner], items[loser]) for winner, loser in wins]
    X, y = balance_positions(chosen, random_state=0)
    counter = TokenCounter(unk_token=None)
    model = PreferenceRewardModel(C=1 / (2 * alpha), vectorizer=counter).fit(X, y)
    assert_same_weights(model.reward(items), expected)


def test_exchanging_responses_turns_the_margin():
    pairs, y = make_text_pairs()
    model = PreferenceRewardModel().fit(pairs, y)
    turned = [(b, a) for a, b in pairs]
    assert_array_equal(model.decision_function(turned), -model.decision_function(pairs))
    assert_allclose(model.predict_proba(turned), model.predict_proba(pairs)[:, ::-1], rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_which_pairs_are_swapped_does_not_change_the_fit(seed):
    pairs, y = make_text_pairs()
    chosen = [(a, b) if label else (b, a) for (a, b), label in zip(pairs, y, strict=True)]
    X, labels = balance_positions(chosen, random_state=seed)
    expected = PreferenceRewardModel().fit(pairs, y)
    assert_same_weights(PreferenceRewardModel().fit(X, labels).coef_, expected.coef_, rtol=1e-8)


def test_margin_is_the_difference_of_rewards_and_the_log_odds():
    pairs, y = make_text_pairs()
    model = PreferenceRewardModel().fit(pairs, y)
    texts_a, texts_b = zip(*pairs, strict=True)
    margin = model.decision_function(pairs)
    assert_allclose(model.reward(list(texts_a)) - model.reward(list(texts_b)), margin, atol=1e-12)
    log_proba = model.predict_log_proba(pairs)
    assert_allclose(log_proba[:, 1] - log_proba[:, 0], margin, atol=1e-12)
    assert_allclose(np.exp(log_proba), model.predict_proba(pairs), rtol=1e-12)
    assert_allclose(model.reward(model.vectorizer_.transform(texts_a)), model.reward(texts_a))
    assert_array_equal(model.reward([""]), [0])


def test_weights_are_recovered_as_pairs_grow():
    errors = []
    for n_pairs in (300, 3_000, 30_000):
        pairs, y = make_text_pairs(n_pairs, n_responses=n_pairs)
        model = PreferenceRewardModel(vectorizer=TokenCounter(vocabulary=WORDS, unk_token=None))
        errors.append(np.abs(model.fit(pairs, y).coef_[0] - TRUTH).max())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05


def test_ties_as_half_weighted_pairs_of_both_classes_pull_the_margin_to_zero():
    tied = [("a", "b"), ("a", "b"), ("a", "c"), ("b", "c")]
    y, weight = [0, 1, 1, 1], [0.5, 0.5, 1, 1]
    model = PreferenceRewardModel().fit([*tied, ("c", "d")], [*y, 0], [*weight, 0])
    reward = model.reward(["a", "b", "c"])
    assert reward[0] == pytest.approx(reward[1], abs=1e-9)
    assert reward[0] > reward[2]


@pytest.mark.parametrize("weighted", [False, True])
def test_soft_labels_equal_weighted_rows_of_two_classes(weighted):
    X, y = make_soft_labels()
    weight = np.random.RandomState(2).exponential(size=len(y)) if weighted else None
    rows = expand_soft_labels(X, y, sample_weight=weight)
    expected = logistic_regression().fit(rows.X, rows.y, sample_weight=rows.sample_weight)
    model = PreferenceRewardModel().fit(X, y, sample_weight=weight)
    assert_same_weights(model.coef_, expected.coef_)
    assert_array_equal(model.classes_, [0, 1])
    on_rows = PreferenceRewardModel().fit(rows.X, rows.y, rows.sample_weight)
    assert_same_weights(model.coef_, on_rows.coef_, rtol=1e-8)
    assert model.loss_ == pytest.approx(on_rows.loss_)
    assert model.score(X, y, weight) == pytest.approx(
        on_rows.score(rows.X, rows.y, rows.sample_weight)
    )


def test_soft_labels_of_text_and_of_one_side():
    pairs, y = make_text_pairs()
    soft = np.where(y == 1, 0.9, 0.2)
    model = PreferenceRewardModel().fit(pairs, soft)
    differences = count_differences(pairs, model.vectorizer_)
    assert_same_weights(model.coef_, PreferenceRewardModel().fit(differences, soft).coef_, 1e-8)
    # A symmetric model learns from pairs of which all first ones are preferred.
    X, _ = make_differences()
    chosen = PreferenceRewardModel().fit(np.abs(X), np.linspace(0.9, 1.0, len(X)))
    assert (chosen.coef_ > 0).all()
    tied = PreferenceRewardModel().fit(X, np.full(len(X), 0.5))
    assert_array_equal(tied.coef_, 0)


def test_numbers_0_and_1_are_classes_and_probabilities_alike():
    X, y = make_differences()
    expected = PreferenceRewardModel().fit(X, y)
    model = PreferenceRewardModel().fit(X, y.astype(float))
    assert_array_equal(model.coef_, expected.coef_)
    almost = PreferenceRewardModel().fit(X, np.where(y == 1, 1 - 1e-12, 0.0))
    assert_same_weights(almost.coef_, expected.coef_, rtol=1e-9)


def test_score_gives_half_a_point_for_ties():
    X, y = make_differences()
    model = PreferenceRewardModel().fit(X, y)
    margin = model.decision_function(X)
    assert model.score(X, y) == np.mean(model.predict(X) == y)
    labels = np.where(np.arange(len(y)) % 3 == 0, 0.5, y)
    assert model.score(X, labels) == pytest.approx(preference_accuracy(labels, margin))
    assert model.score(X[:2], [0.5, 0.5]) == 0.5
    assert model.score(np.zeros((4, 8)), [0, 1, 1, 1]) == 0.5
    assert model.score(X[margin > 0], np.full((margin > 0).sum(), 0.8)) == pytest.approx(0.8)
    named = PreferenceRewardModel().fit(X, np.where(y == 1, "yes", "no"))
    assert named.score(X, np.where(y == 1, "yes", "no")) == model.score(X, y)
    assert named.score(X, np.full(len(y), "other")) == 0
    assert named.score(X, y, sample_weight=None) == 0
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.score(X, y[:-1])


def test_history_tells_what_it_says():
    pairs, y = make_text_pairs()
    weight = np.random.RandomState(0).exponential(size=len(y))
    model = PreferenceRewardModel(C=0.3).fit(pairs, y, sample_weight=weight)
    first, last = model.history_[0], model.history_[-1]
    margin, sign = model.decision_function(pairs), 2 * y - 1
    losses = np.logaddexp(0, -sign * margin)
    tied_is_half = np.where(margin == 0, 0.5, model.predict(pairs) == y)
    assert last["accuracy"] == pytest.approx(np.average(tied_is_half, weights=weight))
    assert last["margin"] == pytest.approx(np.average(sign * margin, weights=weight))
    assert last["loss"] == model.loss_ == pytest.approx(np.average(losses, weights=weight))
    assert last["objective"] == pytest.approx(0.3 * weight @ losses + 0.5 * np.sum(model.coef_**2))
    assert last["gradient_norm"] <= model.tol
    assert first["loss"] == pytest.approx(np.log(2))
    assert (first["accuracy"], first["margin"], first["gradient_norm"]) == (0.5, 0, 1)
    assert [record["iteration"] for record in model.history_] == list(range(model.n_iter_ + 1))


def test_top_features_are_named_and_sorted():
    pairs, y = make_text_pairs(3_000)
    model = PreferenceRewardModel().fit(pairs, y)
    top = model.top_features(3)
    assert [name for name, _ in top.in_favor] == ["kappa", "iota", "theta"]
    assert [name for name, _ in top.against] == ["alpha", "beta", "gamma"]
    weights = dict(zip(model.vectorizer_.get_feature_names_out(), model.coef_[0], strict=True))
    assert all(weights[name] == weight for name, weight in top.in_favor + top.against)
    everything = model.top_features(100)
    assert len(everything.in_favor) + len(everything.against) == len(WORDS)  # <unk> has weight 0
    X, y = make_differences()
    assert PreferenceRewardModel().fit(X, y).top_features(1).in_favor[0][0] == "x7"
    with pytest.raises(ValueError, match="top_features needs n >= 1, an integer, got 0"):
        model.top_features(0)


def test_columns_of_a_frame_are_named():
    X, y = make_differences(n_features=3)
    X = pd.DataFrame(X, columns=["words", "lines", "code"])
    model = PreferenceRewardModel().fit(X, y)
    assert list(model.feature_names_in_) == ["words", "lines", "code"]
    assert model.top_features(1).in_favor[0][0] == "code"
    assert_allclose(model.reward(X), model.decision_function(X))
    with pytest.raises(ValueError, match="feature names should match"):
        model.decision_function(X[["lines", "words", "code"]])


def test_frozen_vectorizer_carries_words_to_a_fit_on_counts():
    pairs, y = make_text_pairs()
    counter = TokenCounter().fit([" ".join(WORDS)])
    frozen = FrozenEstimator(counter)
    on_counts = PreferenceRewardModel(vectorizer=frozen).fit(count_differences(pairs, counter), y)
    on_text = PreferenceRewardModel(vectorizer=frozen).fit(pairs, y)
    assert_same_weights(on_counts.coef_, on_text.coef_, rtol=1e-8)
    assert_allclose(on_counts.reward(["alpha beta"]), on_text.reward(["alpha beta"]), atol=1e-8)


def test_prompt_and_labels_of_any_type():
    pairs, y = make_text_pairs()
    expected = PreferenceRewardModel().fit(pairs, y)
    frame = pd.DataFrame(pairs, columns=["response_a", "response_b"])
    frame.insert(0, "prompt", "say it")
    model = PreferenceRewardModel().fit(frame, np.where(y == 1, "a wins", "Z loses"))
    assert list(model.classes_) == ["Z loses", "a wins"]
    assert_array_equal(model.coef_, expected.coef_)
    assert_array_equal(model.predict(frame) == "a wins", expected.predict(pairs) == 1)
    assert_array_equal(PreferenceRewardModel().fit(pairs, y == 1).coef_, expected.coef_)


def test_cross_validation_by_prompt_from_raw_text():
    data = load_pairs("pandalm")
    y = (data["label"] > 0.5).astype(int)
    pairs = data[["prompt", "response_a", "response_b"]]
    model = PreferenceRewardModel()
    grouped = cross_val_score(model, pairs, y, groups=data["prompt"], cv=GroupKFold(5))
    assert grouped.shape == (5,)
    assert 0.55 < grouped.mean() < 0.75
    shuffled = StratifiedKFold(5, shuffle=True, random_state=0)
    with pytest.warns(LeakageWarning, match="Split by prompt"):
        mixed = cross_val_score(model, pairs.to_numpy(), y, cv=shuffled)
    assert mixed.mean() > grouped.mean() + 0.1  # prompts on both sides: leakage


@pytest.mark.filterwarnings("ignore::sklearn_codex.exceptions.LeakageWarning")
def test_grid_search_over_text_pairs():
    pairs, y = make_text_pairs()
    search = GridSearchCV(
        PreferenceRewardModel(vectorizer=TokenCounter()),
        {"C": [1e-5, 0.1, 1.0], "vectorizer__min_count": [1, 2]},
        scoring="neg_log_loss",
        cv=3,
    ).fit(pairs, y)
    assert search.best_params_["C"] > 1e-5
    assert search.predict(pairs).shape == y.shape


@pytest.mark.parametrize("frozen", [False, True])
def test_calibration(frozen):
    X, y = make_differences(600)
    model = PreferenceRewardModel()
    if frozen:
        model = FrozenEstimator(model.fit(X, y))
    calibrated = CalibratedClassifierCV(model, cv=3).fit(X, y)
    assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    assert calibrated.score(X, y) > 0.7


def test_calibration_of_text_pairs():
    pairs, y = make_text_pairs()
    calibrated = CalibratedClassifierCV(PreferenceRewardModel(), cv=3).fit(pairs, y)
    assert calibrated.score(pairs, y) > 0.6


def test_pickle_and_same_bits_when_fitted_again():
    pairs, y = make_text_pairs()
    model = PreferenceRewardModel().fit(pairs, y)
    loaded = pickle.loads(pickle.dumps(model))
    assert_array_equal(loaded.decision_function(pairs), model.decision_function(pairs))
    again = clone(model).fit(pairs, y)
    assert_array_equal(again.coef_, model.coef_)
    assert again.history_ == model.history_


def test_refit_on_other_data_forgets_the_first():
    pairs, y = make_text_pairs()
    X, labels = make_differences()
    model = PreferenceRewardModel().fit(pairs, y).fit(pd.DataFrame(X).add_prefix("f"), labels)
    assert (model.vectorizer_, model.n_features_in_) == (None, 8)
    assert not hasattr(model.fit(pairs, y), "feature_names_in_")


def test_warm_start_where_the_columns_are_the_same():
    pairs, y = make_text_pairs()
    model = PreferenceRewardModel(C=1.0, warm_start=True).fit(pairs, y)
    cold = clone(model).set_params(C=2.0).fit(pairs, y)
    model.set_params(C=2.0).fit(pairs, y)
    assert model.history_[0]["margin"] > 0
    assert_same_weights(model.coef_, cold.coef_, rtol=1e-7)
    assert model.fit(pairs, y).n_iter_ == 0
    renamed = [(a.upper(), b.upper()) for a, b in pairs]
    assert model.fit(renamed, y).history_[0]["margin"] == 0
    X, labels = make_differences()
    assert model.fit(X, labels).history_[0]["margin"] == 0


class Recorder:
    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events = []
        self.scores = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        if context.task_name == "iteration":
            self.scores.append(fitted_estimator.decision_function([("kappa", "alpha")])[0])
            return len(self.scores) == self.stop_after

    def teardown(self, estimator, context):
        self.events.append("teardown")


def test_callbacks_see_every_iteration():
    pairs, y = make_text_pairs()
    recorder = Recorder()
    model = PreferenceRewardModel().set_callbacks(recorder).fit(pairs, y)
    steps = ["begin iteration", "end iteration"] * model.n_iter_
    assert recorder.events == ["setup", "begin fit", *steps, "end fit", "teardown"]
    assert recorder.scores[-1] == model.decision_function([("kappa", "alpha")])[0]
    assert len(set(recorder.scores)) == model.n_iter_


def test_callback_stops_the_fit_without_a_warning():
    pairs, y = make_text_pairs()
    recorder = Recorder(stop_after=2)
    model = PreferenceRewardModel().set_callbacks(recorder).fit(pairs, y)
    assert model.n_iter_ == 2
    assert len(model.history_) == 3
    assert recorder.events[-3:] == ["end iteration", "end fit", "teardown"]


def test_callbacks_are_torn_down_when_fit_fails():
    class Failing(Recorder):
        def on_fit_task_end(self, estimator, context):
            raise RuntimeError("broken callback")

    recorder = Failing()
    pairs, y = make_text_pairs()
    with pytest.raises(RuntimeError, match="broken callback"):
        PreferenceRewardModel().set_callbacks(recorder).fit(pairs, y)
    assert recorder.events[-1] == "teardown"


@pytest.mark.parametrize("C", [1e-6, 1.0, 1e6])
def test_separable_data_are_finite(C):
    X = np.random.RandomState(0).randn(30, 60)
    model = PreferenceRewardModel(C=C).fit(X, X[:, 0] > 0)
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.predict_log_proba(X)).all()
    assert model.score(X, X[:, 0] > 0) > 0.9


def test_one_step_is_not_enough_and_says_so():
    X, y = make_differences()
    with pytest.warns(ConvergenceWarning, match=r"max_iter=1 steps.*not tol=1e-08.*Increase"):
        model = PreferenceRewardModel(max_iter=1).fit(X, y)
    assert model.n_iter_ == 1
