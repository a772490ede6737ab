"""The choice of C: paths, folds by prompt, and scikit-learn's tools around the models."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from reward_pairs import with_length
from scipy.special import expit, logsumexp
from scipy.stats import norm
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LearningCurveDisplay,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_score,
    learning_curve,
)

from sklearn_codex import PreferenceRewardModel, PreferenceRewardModelCV, preference_path
from sklearn_codex._data.pairs import read_pairs
from sklearn_codex._reward.bradley_terry import pair_losses
from sklearn_codex._reward.strength import climb
from sklearn_codex.datasets import make_preferences
from sklearn_codex.exceptions import LeakageWarning
from sklearn_codex.features import ResponseFeatures
from sklearn_codex.metrics import get_preference_scorer

CS = np.logspace(-3, 2, 6)


class CountingVectorizer(CountVectorizer):
    """Counts how many texts it was ever given."""

    n_texts = 0

    def fit_transform(self, X, y=None):
        CountingVectorizer.n_texts += len(X)
        return super().fit_transform(X, y)

    def transform(self, X):
        CountingVectorizer.n_texts += len(X)
        return super().transform(X)


# The words of a prompt's responses that leak are in few others.
RARE_TOKENS = pytest.mark.filterwarnings("ignore::sklearn_codex.exceptions.RareTokensWarning")


def make_leaking_pairs(n_prompts=40, seed=0):
    """Pairs whose responses are random words: nothing but memory of responses predicts them."""
    rng = np.random.RandomState(seed)
    pairs, y = [], []
    for prompt in range(n_prompts):
        responses = [" ".join(f"w{i}" for i in rng.randint(3_000, size=20)) for _ in range(5)]
        quality = rng.randn(5)
        for i in range(5):
            for j in range(i):
                pairs.append((f"prompt {prompt}", responses[i], responses[j]))
                y.append(int(quality[i] > quality[j]))
    return np.array(pairs, dtype=object), np.array(y)


def make_data(n_pairs=400, **options):
    return make_preferences(n_pairs, n_features=12, n_prompts=40, random_state=0, **options)


@pytest.mark.parametrize("options", [{}, {"position_bias": True, "control_length": True}])
@pytest.mark.parametrize("text", [True, False])
def test_path_is_that_of_separate_fits(text, options):
    data = make_data(text=text)
    X = data.X if text else with_length(data.X)
    path = preference_path(X, data.y, Cs=CS[::-1], **options)
    assert_array_equal(path.Cs, CS)
    assert path.converged.all()
    for i, C in enumerate(CS):
        model = PreferenceRewardModel(C=C, **options).fit(X, data.y)
        assert_allclose(path.coefs[i], model.coef_[0], atol=1e-6 * np.abs(model.coef_).max())
        assert path.loss[i] == pytest.approx(model.loss_, rel=1e-9)
        assert path.position_bias[i] == pytest.approx(model.position_bias_, abs=1e-6)
        assert_allclose(path.length_coef[i], model.length_coef_, atol=1e-5)
    assert (path.vectorizer is None) is not text
    assert (np.diff(path.loss) < 0).all()


def test_path_takes_weights_soft_labels_and_a_number_of_values():
    data = make_data()
    weight = np.random.RandomState(0).rand(400)
    path = preference_path(data.X, data.probability, Cs=4, sample_weight=weight)
    assert_allclose(path.Cs, [1e-4, 1e-2, 1, 100])
    model = PreferenceRewardModel(C=path.Cs[2]).fit(data.X, data.probability, weight)
    assert_allclose(path.coefs[2], model.coef_[0], atol=1e-7)
    assert not preference_path(data.X, data.y, Cs=2, max_iter=1, tol=0).converged.any()


@pytest.mark.parametrize("Cs", [[], [0.0, 1.0], [np.nan], [[1.0, -1.0]]])
def test_values_of_C_are_positive(Cs):
    data = make_data(40)
    with pytest.raises(ValueError, match="Cs should be a number of values or positive"):
        preference_path(data.X, data.y, Cs=Cs)
    with pytest.raises(ValueError, match="Cs should be a number of values or positive"):
        PreferenceRewardModelCV(Cs=Cs).fit(data.X, data.y)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy", "neg_brier_score", "roc_auc"])
def test_choice_is_that_of_a_grid_search_by_group(scoring):
    data = make_data()
    weight = None
    model = PreferenceRewardModelCV(Cs=CS, scoring=scoring, prior_scale=None)
    model.fit(data.X, data.y, weight, data.groups)
    search = GridSearchCV(
        PreferenceRewardModel(tol=1e-3), {"C": CS}, scoring=scoring, cv=GroupKFold(5)
    ).fit(data.X, data.y, groups=data.groups)
    folds = [search.cv_results_[f"split{i}_test_score"] for i in range(5)]
    assert_allclose(model.scores_, folds, atol=2e-3 if scoring != "accuracy" else 0.03)
    assert_array_equal(model.Cs_, CS)
    if scoring == "neg_log_loss":
        assert search.best_params_["C"] == model.C_
    final = PreferenceRewardModel(C=model.C_).fit(data.X, data.y)
    assert_allclose(model.coef_, final.coef_, atol=1e-8)
    assert model.score(data.X, data.y) == final.score(data.X, data.y)


@pytest.mark.parametrize("prior_scale", [None, 0.01, 0.1, 0.3, 3.0])
def test_C_is_the_mean_by_score_and_prior(prior_scale):
    data = make_data(60)
    rng = np.random.RandomState(1)
    y, weight = rng.permutation(data.y), rng.exponential(size=60)  # there is nothing to learn
    Cs = np.logspace(-3, 3, 13)
    model = PreferenceRewardModelCV(Cs=Cs, prior_scale=prior_scale, position_bias=True)
    model.fit(data.X, y, weight, data.groups)
    folds = [test for _, test in GroupKFold(5).split(data.X, groups=data.groups)]
    total = sum(
        weight[test].sum() * score for test, score in zip(folds, model.scores_, strict=True)
    )
    if prior_scale is None:
        assert Cs[total.argmax()] == model.C_
        return
    mean_square = np.average((data.X**2).sum(axis=1), weights=weight)
    prior = norm.pdf(np.log10(Cs), np.log10(4 / mean_square), prior_scale)
    by_hand = np.average(np.log10(Cs), weights=np.exp(total - total.max()) * prior)
    assert_allclose(np.log10(model.C_), by_hand, rtol=1e-9)
    if prior_scale == 0.01:
        assert abs(np.log10(model.C_ * mean_square / 4)) <= 0.25
        assert abs(by_hand - np.log10(Cs[total.argmax()])) > 1


def test_a_factor_of_a_block_has_the_same_prior():
    pairs, y = make_form_pairs(use_form=True, n=40)
    blocks = [("words", CountVectorizer(binary=True), 1), ("form", ResponseFeatures(), [0, 1])]
    model = PreferenceRewardModelCV(
        Cs=np.logspace(-3, 3, 13), prior_scale=0.2, vectorizer=ColumnTransformer(blocks)
    )
    n_held_out = [
        len(test) for _, test in GroupKFold(5).split(pairs, groups=[p for p, *_ in pairs])
    ]
    evidence, chosen = {}, {}
    for factor in (0.5, 1.0):
        model.set_params(block_scales={"form": [factor]}).fit(pairs, y)
        rows = np.array(read_pairs(model, pairs, reset=False).design[:])
        rows[:, model.vectorizer_.output_indices_["form"]] *= factor
        centre = np.log10(4 / (rows**2).sum(axis=1).mean())
        prior = norm.logpdf(np.log10(model.Cs_), centre, 0.2)
        evidence[factor] = logsumexp(n_held_out @ model.scores_ + prior)
        chosen[factor] = model.C_
    assert evidence[0.5] > evidence[1.0]  # but by less than the factor costs
    assert evidence[0.5] - 0.5 * (np.log10(0.5) / 0.2) ** 2 < evidence[1.0]
    model.set_params(block_scales={"form": [0.5, 1.0]}).fit(pairs, y)
    assert model.block_scales_ == {"form": 1.0}
    assert chosen[1.0] == model.C_


def test_the_prior_knows_no_units_and_the_scales_of_blocks():
    data = make_data(60)
    Cs = np.logspace(-3, 3, 13)
    model = PreferenceRewardModelCV(Cs=Cs, prior_scale=0.1).fit(data.X, data.y, None, data.groups)
    other = PreferenceRewardModelCV(Cs=Cs / 100, prior_scale=0.1)
    other.fit(10 * data.X, data.y, None, data.groups)
    assert_allclose(other.C_, model.C_ / 100)
    assert_allclose(10 * other.coef_, model.coef_, rtol=1e-6, atol=1e-8)
    pairs, y = make_form_pairs(use_form=True, n=60)

    def columns(weight):
        return ColumnTransformer(
            [("words", CountVectorizer(binary=True), 1), ("form", ResponseFeatures(), [0, 1])],
            transformer_weights={"form": weight},
        )

    scaled = PreferenceRewardModelCV(vectorizer=columns(1.0), block_scales={"form": [0.1]})
    by_hand = PreferenceRewardModelCV(vectorizer=columns(0.1))
    assert scaled.fit(pairs, y).C_ == by_hand.fit(pairs, y).C_


def test_on_few_pairs_the_choice_is_hardly_worse_than_one_C_and_no_worse_than_a_coin():
    # The truth is known, so the loss of each fit is exact but for the pairs it is taken over.
    Cs = np.logspace(-4, 2, 10)
    losses = {"prior": [], "score": [], "fixed": []}
    for seed in range(20):
        rng = np.random.RandomState(seed)
        X = rng.standard_normal((100, 60)) * 2 / np.sqrt(60)
        X_test = rng.standard_normal((2000, 60)) * 2 / np.sqrt(60)
        truth = rng.standard_normal(60) * 0.8
        y = (rng.uniform(size=100) < expit(X @ truth)).astype(int)
        groups = np.arange(100) // 4
        models = {
            "prior": PreferenceRewardModelCV(Cs=Cs).fit(X, y, groups=groups),
            "score": PreferenceRewardModelCV(Cs=Cs, prior_scale=None).fit(X, y, groups=groups),
            "fixed": PreferenceRewardModel(C=1.0).fit(X, y),
        }
        p = expit(X_test @ truth)
        for name, model in models.items():
            losses[name].append(pair_losses(model.decision_function(X_test), p).mean())
    mean = {name: np.mean(values) for name, values in losses.items()}
    assert mean["prior"] < mean["fixed"] + 0.003
    assert mean["prior"] < np.log(2)
    assert mean["score"] > mean["prior"]


def test_on_many_pairs_the_prior_fades():
    # Pairs that each stand for many, at a C that is less by as much, have the same scores.
    rng = np.random.RandomState(0)
    X = rng.standard_normal((120, 40))
    y = (rng.uniform(size=120) < expit(X @ np.full(40, 0.05))).astype(int)
    away = []
    for times in (1, 1000):
        options = {"Cs": np.logspace(-4, 2, 10) / times, "tol": 1e-4}
        weight, groups = np.full(120, times), np.arange(120) // 4
        by_score = PreferenceRewardModelCV(prior_scale=None, **options).fit(X, y, weight, groups)
        model = PreferenceRewardModelCV(prior_scale=0.4, **options).fit(X, y, weight, groups)
        away.append(abs(np.log10(model.C_ / by_score.C_)))
    assert away[0] > 1 / 3 > away[1]  # half a step


@pytest.mark.parametrize("scoring", ["accuracy", "neg_brier_score"])
def test_other_scores_have_no_prior(scoring):
    data = make_data(60)
    model = PreferenceRewardModelCV(scoring=scoring, prior_scale=0.01)
    model.fit(data.X, data.y, None, data.groups)
    assert model.Cs_[model.scores_.mean(axis=0).argmax()] == model.C_


def test_a_path_ends_after_as_many_worse_values_as_its_patience():
    data = make_data()
    Cs = np.logspace(-5, 4, 19)
    whole = PreferenceRewardModelCV(Cs=Cs, patience=None).fit(data.X, data.y, groups=data.groups)
    mean = whole.scores_.mean(axis=0)
    best = int(mean.argmax())
    for patience in (1, 2, 4):
        model = PreferenceRewardModelCV(Cs=Cs, patience=patience)
        model.fit(data.X, data.y, groups=data.groups)
        end = best + patience + 1
        assert end < len(Cs)
        assert np.isnan(model.scores_[:, end:]).all()
        assert_array_equal(model.scores_[:, :end], whole.scores_[:, :end])
        tried = PreferenceRewardModelCV(Cs=Cs[:end]).fit(data.X, data.y, groups=data.groups)
        assert_allclose(model.C_, tried.C_, rtol=1e-9)
        assert_allclose(model.coef_, tried.coef_, rtol=1e-7)
        assert_allclose(model.C_, whole.C_, rtol=0.05 if patience == 1 else 0.005)


@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc", lambda m, X, y: m.score(X, y)])
def test_scores_of_the_order_alone_are_not_given_up_where_they_are_flat(scoring):
    # Of small features every C on the grid is small but the last: before it scores are but noise.
    data = make_preferences(1500, n_features=40, n_prompts=150, random_state=2)
    X = 0.03 * data.X
    model = PreferenceRewardModelCV(scoring=scoring, patience=1).fit(X, data.y, groups=data.groups)
    assert not np.isnan(model.scores_).any()
    assert model.C_ == model.Cs_[model.scores_.mean(axis=0).argmax()] > 1


def test_a_path_that_falls_at_first_is_not_given_up():
    # Columns of noise on a greater scale are learned before those that tell the labels.
    rng = np.random.RandomState(0)
    X = np.column_stack([10 * rng.randn(300, 3), 0.1 * rng.randn(300, 6)])
    y = (rng.uniform(size=300) < expit(12 * X[:, 3:].sum(axis=1))).astype(int)
    model = PreferenceRewardModelCV(patience=3).fit(X, y, groups=np.arange(300) // 5)
    mean = model.scores_.mean(axis=0)
    assert (mean[1:4] < mean[0]).all()
    assert model.C_ > 1


def test_a_value_of_C_without_a_score_on_every_fold_is_not_chosen():
    data = make_data()

    def score(model, X, y):
        return model.score(X, y) if np.abs(model.coef_).max() > 0.2 else np.nan

    model = PreferenceRewardModelCV(Cs=CS, scoring=score).fit(data.X, data.y, groups=data.groups)
    mean = model.scores_.mean(axis=0)
    assert np.isnan(mean[0])
    assert CS[np.nanargmax(mean)] == model.C_


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_a_fold_of_one_class_has_no_area_and_leaves_nothing_to_choose_by():
    data = make_data()
    groups = np.where(data.y == 1, data.groups, -1)
    with pytest.raises(ValueError, match=r"'roc_auc' is NaN on some fold.*fewer folds"):
        PreferenceRewardModelCV(Cs=CS, scoring="roc_auc").fit(data.X, data.y, groups=groups)


def test_folds_keep_the_prompts_of_text_together():
    pairs, y = make_leaking_pairs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grouped = PreferenceRewardModelCV(Cs=CS, scoring="accuracy").fit(pairs, y)
    _, prompts = np.unique(pairs[:, 0], return_inverse=True)
    by_hand = PreferenceRewardModelCV(Cs=CS, scoring="accuracy").fit(pairs, y, groups=prompts)
    assert grouped.scores_.shape == by_hand.scores_.shape == (5, len(CS))
    with pytest.warns(LeakageWarning, match="chooses C on splits with the same prompts"):
        leaking = PreferenceRewardModelCV(
            Cs=CS, scoring="accuracy", cv=KFold(5, shuffle=True, random_state=0)
        ).fit(pairs, y)
    assert grouped.scores_.max() < 0.65
    assert leaking.scores_.mean(axis=0).max() > 0.75


def test_pairs_without_prompts_warn_once_and_are_silenced_by_class():
    pairs, y = make_leaking_pairs()
    model = PreferenceRewardModelCV(Cs=CS)
    with pytest.warns(LeakageWarning, match="Split by prompt") as caught:
        model.fit(pairs[:, 1:], y)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(pairs[:, 1:], y, groups=pairs[:, 0])
        warnings.filterwarnings("ignore", category=LeakageWarning)
        model.fit(pairs[:, 1:], y)


def test_every_response_is_vectorized_once():
    pairs, y = make_leaking_pairs(20)
    CountingVectorizer.n_texts = 0
    PreferenceRewardModelCV(Cs=CS, vectorizer=CountingVectorizer()).fit(pairs, y)
    assert CountingVectorizer.n_texts == len(set(pairs[:, 1]) | set(pairs[:, 2]))


def test_soft_labels_and_weights_in_folds():
    data = make_data()
    weight = np.random.RandomState(0).rand(400)
    weight[data.groups < 8] = 0
    model = PreferenceRewardModelCV(Cs=CS, cv=3)
    model.fit(data.X, data.probability, sample_weight=weight, groups=data.groups)
    assert model.scores_.shape == (3, len(CS))
    assert_array_equal(model.classes_, [0, 1])
    kept = weight > 0
    again = clone(model).fit(
        data.X[kept], data.probability[kept], weight[kept], groups=data.groups[kept]
    )
    assert_allclose(model.predict_proba(data.X), again.predict_proba(data.X), atol=0.05)
    fold = data.groups % 4
    splits = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(4)]
    zero = np.where(fold == 0, 0.0, 1.0)
    model = PreferenceRewardModelCV(Cs=CS, cv=splits).fit(data.X, data.y, zero)
    assert np.isnan(model.scores_[0]).all()
    assert np.isfinite(model.scores_[1:]).all()


@RARE_TOKENS
def test_scoring_by_a_callable_gets_a_fitted_model():
    pairs, y = make_leaking_pairs(12)
    scorer = get_preference_scorer("neg_preference_log_loss")
    model = PreferenceRewardModelCV(Cs=CS, scoring=scorer).fit(pairs, y)
    named = PreferenceRewardModelCV(Cs=CS, prior_scale=None).fit(pairs, y)
    assert_allclose(model.scores_, named.scores_, atol=1e-9)
    assert model.C_ == named.C_


def test_few_groups_or_pairs_have_fewer_folds():
    data = make_data(60)
    two = PreferenceRewardModelCV(Cs=CS).fit(data.X, data.y, groups=data.groups % 2)
    assert two.scores_.shape[0] == 2
    few = PreferenceRewardModelCV(Cs=CS).fit(data.X[:6], [0, 1, 0, 1, 0, 1])
    assert few.scores_.shape[0] == 3
    one = PreferenceRewardModelCV(Cs=CS).fit(data.X[:4], [0, 1, 1, 1])
    assert one.scores_.shape[0] == 4
    same = [("q", "good text", "bad"), ("q", "bad", "good one"), ("q", "good", "bad text")] * 2
    assert PreferenceRewardModelCV(Cs=CS).fit(same, [1, 0, 1] * 2).scores_.shape[0] == 2


def make_form_pairs(use_form, n=200, seed=0):
    """Pairs that a list, or one word, decides; lists and other words vary at random."""
    rng = np.random.RandomState(seed)
    pairs, margin = [], []
    for i in range(n):
        texts, rewards = [], []
        for _ in range(2):
            words = list(rng.choice([f"w{j}" for j in range(30)], size=10))
            good, listed = rng.randint(2), rng.randint(2)
            words += ["good"] * good
            texts.append("\n- ".join(["", *words]) if listed else " ".join(words))
            rewards.append(listed if use_form else good)
        pairs.append((f"prompt {i % 50}", *texts))
        margin.append(2 * (rewards[0] - rewards[1]))
    return pairs, (rng.rand(n) < expit(margin)).astype(int)


def test_scales_of_blocks_are_chosen():
    def vectorizer():
        return ColumnTransformer(
            [("words", CountVectorizer(binary=True), 1), ("form", ResponseFeatures(), [0, 1])]
        )

    pairs, y = make_form_pairs(use_form=True)
    model = PreferenceRewardModelCV(Cs=CS, vectorizer=vectorizer())
    best = {
        scale: clone(model).set_params(block_scales={"form": [scale]}).fit(pairs, y)
        for scale in (0.01, 0.3, 1.0)
    }
    means = {scale: fitted.scores_.mean(axis=0).max() for scale, fitted in best.items()}
    model.set_params(block_scales={"form": list(best)}).fit(pairs, y)
    chosen = max(means, key=means.get)
    assert model.block_scales_ == {"form": chosen}
    assert chosen > 0.01
    assert_array_equal(model.scores_, best[chosen].scores_)
    # A factor of a block is a factor of its columns.
    model.set_params(block_scales={"form": [0.3]}).fit(pairs, y)
    columns = vectorizer().set_params(transformer_weights={"form": 0.3})
    by_hand = PreferenceRewardModel(C=model.C_, vectorizer=columns).fit(pairs, y)
    assert_allclose(model.decision_function(pairs), by_hand.decision_function(pairs), atol=1e-6)


@pytest.mark.parametrize("which", range(4))
def test_a_union_is_hardly_worse_than_the_part_that_decides(which):
    # The truth is known, so that losses are exact but for the pairs they are taken over.
    names, width = ["words", "form", "embedding", "products"], 40
    here = slice(which * width, (which + 1) * width)
    blocks = [(name, "passthrough", slice(40 * i, 40 * i + 40)) for i, name in enumerate(names)]
    losses = {"chosen": [], "fixed": [], "part": []}
    for seed in range(4):
        rng = np.random.RandomState(seed)
        X = rng.standard_normal((2300, 4 * width)) * np.sqrt(2 / width)
        margin = X[:, here] @ rng.standard_normal(width)
        p = expit(2 * margin / margin.std())
        y = (rng.uniform(size=2300) < p).astype(int)
        vectorizer = FrozenEstimator(ColumnTransformer(blocks).fit(X))
        for name in losses:
            part = X[:, here] if name == "part" else X
            model = PreferenceRewardModelCV(Cs=np.logspace(-2, 2, 5), cv=3, tol=1e-5)
            if name != "part":
                model.vectorizer = vectorizer
            if name == "chosen":
                model.block_scales = {block: [0.2, 1.0] for block in names}
            model.fit(part[:300], y[:300], groups=np.arange(300) // 3)
            losses[name].append(pair_losses(model.decision_function(part[300:]), p[300:]).mean())
    mean = {name: np.mean(values) for name, values in losses.items()}
    assert mean["part"] - 0.01 < mean["chosen"] < mean["part"] + 0.03
    assert mean["fixed"] > mean["part"] + 0.07


def test_scales_are_changed_one_at_a_time_as_long_as_any_is_better():
    heights = {(1, 1): 0, (2, 1): 1, (1, 2): -1, (2, 2): 2, (1, 3): 5, (2, 3): 1}
    seen = []

    def value_of(point):
        seen.append((point["a"], point["b"]))
        return heights[seen[-1]], sum(seen[-1])

    assert climb(value_of, {"a": (1, 2), "b": (1, 2)}) == (2, 4)
    assert len(seen) == len(set(seen)) == 4
    assert climb(value_of, {"a": (1, 2), "b": (1, 3)}) == (1, 3)  # the 5 is two steps away
    assert climb(lambda point: (7.0, point), {}) == (7.0, {})
    assert climb(lambda point: (-np.inf, point), {"a": (1, 2)}) == (-np.inf, {"a": 1})


def test_preset_tries_two_scales_and_says_which():
    pairs, y = make_form_pairs(True, n=100)
    model = PreferenceRewardModelCV(Cs=[0.1, 1.0], vectorizer="preference").fit(pairs, y)
    assert model.block_scales_["form"] in (0.2, 1.0)
    fixed = clone(model).set_params(block_scales=None).fit(pairs, y)
    assert fixed.block_scales_ is None
    with pytest.raises(ValueError, match=r"block_scales of \['nothing'\].*'characters', 'form'"):
        model.set_params(block_scales={"nothing": [1]}).fit(pairs, y)
    with pytest.raises(ValueError, match=r"block_scales\['form'\] should be positive"):
        model.set_params(block_scales={"form": [0]}).fit(pairs, y)
    with pytest.raises(ValueError, match="its vectorizer has the blocks"):
        PreferenceRewardModelCV(block_scales={"form": [1]}).fit(pairs, y)


@pytest.mark.parametrize("cv", [4, GroupKFold(4), StratifiedKFold(4), None])
def test_splitters(cv):
    data = make_data(200)
    groups = None if isinstance(cv, StratifiedKFold) else data.groups
    model = PreferenceRewardModelCV(Cs=CS, cv=cv).fit(data.X, data.y, groups=groups)
    assert model.scores_.shape[0] == (5 if cv is None else 4)


def test_groups_are_routed():
    data = make_data(200)
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            PreferenceRewardModelCV(Cs=CS), {"position_bias": [False, True]}, cv=GroupKFold(4)
        )
        search.fit(data.X, data.y, groups=data.groups)
    assert search.best_estimator_.scores_.shape == (5, len(CS))


def test_extreme_values_of_C_are_finite():
    X = np.random.RandomState(0).randn(40, 80)
    model = PreferenceRewardModelCV(Cs=[1e-12, 1e12]).fit(X, X[:, 0] > 0)
    assert np.isfinite(model.scores_).all()
    assert np.isfinite(model.predict_log_proba(X)).all()
    constant = PreferenceRewardModelCV(Cs=CS).fit(np.zeros((8, 2)), [0, 1] * 4)
    assert_array_equal(constant.coef_, 0)
    assert_array_equal(constant.C_, CS[0])  # of equals the smallest


def test_model_is_pickled_and_named():
    pairs, y = make_leaking_pairs(10)
    model = PreferenceRewardModelCV(Cs=CS, vectorizer="preference").fit(pairs, y)
    loaded = pickle.loads(pickle.dumps(model))
    assert_array_equal(loaded.decision_function(pairs), model.decision_function(pairs))
    frame = pd.DataFrame(pairs, columns=["prompt", "response_a", "response_b"])
    assert_array_equal(clone(model).fit(frame, y).coef_, model.coef_)


# scikit-learn's tools around both models


@pytest.mark.parametrize("model", [PreferenceRewardModel(), PreferenceRewardModelCV(Cs=CS)])
def test_calibration_and_permutation_importance(model):
    data = make_data()
    calibrated = CalibratedClassifierCV(model, cv=3).fit(data.X, data.y)
    assert log_loss(data.y, calibrated.predict_proba(data.X)) < np.log(2)
    fitted = clone(model).fit(data.X, data.y)
    importance = permutation_importance(
        fitted, data.X, data.y, scoring="neg_log_loss", n_repeats=3, random_state=0
    )
    strongest = np.argmax(np.abs(data.coef) * data.X.std(axis=0))
    assert importance.importances_mean[strongest] > 0.01
    assert_allclose(calibrated.predict_proba(data.X).sum(axis=1), 1)


@RARE_TOKENS
def test_learning_curve_and_its_display():
    pytest.importorskip("matplotlib").use("Agg")
    pairs, y = make_leaking_pairs(20)
    _, train, test = learning_curve(
        PreferenceRewardModel(C=0.1),
        pairs,
        y,
        groups=pairs[:, 0],
        cv=GroupKFold(3),
        train_sizes=[0.4, 1.0],
    )
    assert train.shape == test.shape == (2, 3)
    assert (train.mean(axis=1) > test.mean(axis=1)).all()
    data = make_data(200)
    display = LearningCurveDisplay.from_estimator(
        PreferenceRewardModel(), data.X, data.y, groups=data.groups, cv=GroupKFold(3)
    )
    assert display.lines_ is not None


def test_randomized_search_over_text():
    pairs, y = make_form_pairs(True, n=100)
    groups = [prompt for prompt, _, _ in pairs]
    search = RandomizedSearchCV(
        PreferenceRewardModel(vectorizer=ColumnTransformer([("form", ResponseFeatures(), [0, 1])])),
        {"C": CS, "vectorizer__form__clip": [2.0, 3.0], "position_bias": [False, True]},
        n_iter=4,
        cv=GroupKFold(3),
        random_state=0,
    ).fit(pairs, y, groups=groups)
    assert search.best_score_ > 0.5
    assert search.predict(pairs).shape == (100,)


# Leakage, noticed by score


def test_cross_val_score_without_groups_warns_and_with_groups_does_not():
    pairs, y = make_leaking_pairs()
    model = PreferenceRewardModel(C=0.1)
    for X in (pairs, pairs[:, 1:]):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            leaking = cross_val_score(model, X, y, cv=KFold(5, shuffle=True, random_state=0))
        assert [w.category for w in caught] == [LeakageWarning]  # once, not once a fold
        assert "groups=prompts" in str(caught[0].message)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            honest = cross_val_score(model, X, y, groups=pairs[:, 0], cv=GroupKFold(5))
        assert leaking.mean() > honest.mean() + 0.15


def test_score_warns_once_a_model_and_not_of_training_pairs():
    pairs, y = make_leaking_pairs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = PreferenceRewardModel(C=0.1).fit(pairs[::2], y[::2])
        model.score(pairs[::2], y[::2])
        model.score(pairs[:10:2], y[:10:2])
        turned = pairs[::2][:, [0, 2, 1]]
        model.score(turned, 1 - y[::2])
        others = [("another prompt", a, b) for _, a, b in pairs]
        model.score(others, y)
        model.predict_proba(pairs)
    with pytest.warns(LeakageWarning, match="stood in its training pairs"):
        model.score(pairs, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.score(pairs, y)
    again = pickle.loads(pickle.dumps(clone(model).fit(pairs[::2], y[::2])))
    with pytest.warns(LeakageWarning, match="stood in its training pairs"):
        again.score(pairs[1::2], y[1::2])


@pytest.mark.parametrize(
    "pairs",
    [
        [("", "a b", "c d"), ("", "c d", "e f"), ("", "a b", "e f"), ("", "e f", "a a")],
        [("one", "a b", "c d"), ("one", "c d", "e f"), ("one", "a b", "e f"), ("one", "a", "b")],
        [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")],
    ],
    ids=["empty prompts", "one prompt for all", "short responses"],
)
def test_no_warning_where_prompts_say_nothing(pairs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = PreferenceRewardModel().fit(pairs[:2], [0, 1])
        model.score(pairs[2:], [1, 0])


def test_differences_have_no_identity():
    data = make_data(100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PreferenceRewardModel().fit(data.X, data.y).score(data.X, data.y)
        cross_val_score(PreferenceRewardModel(), data.X, data.y)
