import warnings

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from reward_pairs import with_length
from scipy import sparse, stats
from scipy.special import expit
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_codex import PPOPolicyOptimizer, load_model, save_model
from sklearn_codex._data.pairs import read_pairs
from sklearn_codex._reward import uncertainty as uncertainty_room
from sklearn_codex._reward.ensemble import BootstrapRewardEnsemble, most_informative_pairs
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex._reward.model_cv import PreferenceRewardModelCV
from sklearn_codex._reward.uncertainty import RewardUncertainty
from sklearn_codex._solve.precision import (
    BorderedPrecision,
    DualPrecision,
    make_precision,
    toarray,
)
from sklearn_codex.datasets import make_preferences
from sklearn_codex.features import ResponseFeatures
from sklearn_codex.text import TokenCounter

EXACT = ("dense", "dual")


@parametrize_with_checks(
    [
        RewardUncertainty(),
        RewardUncertainty(kind="sandwich"),
        RewardUncertainty(method="dual"),
        BootstrapRewardEnsemble(n_estimators=3),
    ]
)
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def draw_pairs(rng, n_groups=60, group_size=4, n_features=6):
    """Pairs of a prompt look alike, and a shared draw decides all their labels.

    Each label has its Bradley-Terry probability, so the weights are true, but labels of a prompt
    depend on each other.
    """
    center = np.repeat(rng.randn(n_groups, n_features), group_size, axis=0)
    X = center + 0.3 * rng.randn(*center.shape)
    coef = np.linspace(-0.8, 0.8, n_features)
    draw = np.repeat(rng.uniform(size=n_groups), group_size)
    y = (draw < expit(X @ coef)).astype(int)
    return X, y, np.repeat(np.arange(n_groups), group_size), coef


@pytest.fixture
def pairs():
    return draw_pairs(np.random.RandomState(0))


def posterior_covariance(X, coef, C, weight):
    p = expit(X @ coef)
    information = (X.T * (weight * p * (1 - p))) @ X + np.eye(X.shape[1]) / C
    return np.linalg.inv(information)


@pytest.mark.parametrize("method", EXACT)
def test_laplace_is_the_documented_formula(pairs, method):
    X, y, _, _ = pairs
    weight = np.random.RandomState(1).exponential(size=len(y))
    model = RewardUncertainty(PreferenceRewardModel(C=0.7), method=method)
    model.fit(X, y, sample_weight=weight)
    expected = posterior_covariance(X, model.coef_[0], 0.7, weight)
    margin, std = model.predict_margin(X, return_std=True)
    assert_allclose(margin, X @ model.coef_[0])
    assert_allclose(std, np.sqrt(np.einsum("ij,jk,ik->i", X, expected, X)), rtol=1e-9)
    assert_allclose(model.coef_interval().std, np.sqrt(np.diag(expected)), rtol=1e-9)


@pytest.mark.parametrize("method", EXACT)
def test_sandwich_is_the_documented_formula(pairs, method):
    X, y, groups, _ = pairs
    model = RewardUncertainty(PreferenceRewardModel(C=0.7), kind="sandwich", method=method)
    model.fit(X, y, groups=groups)
    p = expit(X @ model.coef_[0])
    everything = np.linalg.inv(posterior_covariance(X, model.coef_[0], 0.7, np.ones(len(y))))
    parts = [
        (X[here].T * (p * (1 - p))[here]) @ X[here] for here in (groups == g for g in range(60))
    ]
    scores = [X[here].T @ (y - p)[here] for here in (groups == g for g in range(60))]
    moves = [np.linalg.solve(everything - A, u) for A, u in zip(parts, scores, strict=True)]
    expected = 59 / 60 * np.transpose(moves) @ moves
    table = model.coef_interval(0.9)
    assert_allclose(table.std, np.sqrt(np.diag(expected)), rtol=1e-8)
    _, std = model.predict_margin(X, return_std=True)
    assert_allclose(std, np.sqrt(np.einsum("ij,jk,ik->i", X, expected, X)), rtol=1e-8)
    solved = np.linalg.inv(everything)
    gamma = np.array([np.diag(solved @ A @ solved) for A in parts])  # (60, 6)
    n_effective = gamma.sum(axis=0) ** 2 / (gamma**2).sum(axis=0)
    assert (n_effective < 60).all()
    quantile = stats.t.ppf(0.95, n_effective - 1) * np.sqrt((1 - 1 / n_effective) / (59 / 60))
    assert_allclose(table.high - table.coef, quantile * table.std, rtol=1e-8)
    if method == "dense":
        assert_allclose(model.covariance_, expected, rtol=1e-7, atol=1e-12)


def test_penalised_information_is_the_hessian_that_scikit_learn_minimises(pairs):
    X, y, _, _ = pairs
    model = RewardUncertainty(PreferenceRewardModel(C=2.0)).fit(X, y)
    regression = LogisticRegression(C=2.0, fit_intercept=False, tol=1e-10).fit(X, y)
    expected = posterior_covariance(X, regression.coef_[0], 2.0, np.ones(len(y)))
    assert_allclose(model.covariance_, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", ["laplace", "sandwich"])
@pytest.mark.parametrize("bias", [{"position_bias": True}, {"control_length": True}])
def test_methods_agree_where_some_weights_have_no_penalty(pairs, kind, bias):
    X, y, groups, _ = pairs
    features, X = X, with_length(X)
    estimator = PreferenceRewardModel(C=0.5, **bias)
    dense, dual = (
        RewardUncertainty(estimator, kind=kind, method=method).fit(X, y, groups=groups)
        for method in EXACT
    )
    for model in (dense, dual):
        assert model.method_ in EXACT
        assert_allclose(model.predict_margin(X), model.estimator_.decision_function(X))
    assert_allclose(
        dual.predict_margin(X, return_std=True)[1],
        dense.predict_margin(X, return_std=True)[1],
        rtol=1e-7,
    )
    assert_allclose(dual.coef_interval().std, dense.coef_interval().std, rtol=1e-7)
    ours, theirs = (model.reward(features, return_std=True)[1] for model in (dual, dense))
    assert_allclose(ours, theirs)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_precisions_solve_their_system(make):
    rng = np.random.RandomState(0)
    Z, penalty = rng.randn(12, 30), rng.exponential(size=30)
    right = rng.randn(30, 4)
    expected = np.linalg.solve(Z.T @ Z + np.diag(penalty), right)
    for method in EXACT:
        assert_allclose(make_precision(make(Z), penalty, method=method).solve(right), expected)
    penalty[[3, 17]] = 0.0
    bordered = make_precision(make(Z), penalty, method="dual")
    assert isinstance(bordered, BorderedPrecision)
    expected = np.linalg.solve(Z.T @ Z + np.diag(penalty), right)
    assert_allclose(bordered.solve(right), expected, rtol=1e-6)


def test_low_rank_never_understates_and_is_exact_at_full_rank():
    rng = np.random.RandomState(0)
    Z, penalty = rng.randn(40, 30) * np.logspace(0, -2, 30), rng.exponential(size=30)
    exact = np.diag(DualPrecision(Z, penalty).solve(np.eye(30)))
    bounds = [
        np.diag(make_precision(Z, penalty, method="low_rank", rank=rank).solve(np.eye(30)))
        for rank in (2, 8, 29, 30)
    ]
    for bound, closer in zip(bounds, [*bounds[1:], exact], strict=True):
        assert (bound >= closer * (1 - 1e-9)).all()
    assert_allclose(bounds[-1], exact)


def test_auto_takes_the_exact_method_that_is_cheap_and_warns_without_one(pairs, monkeypatch):
    X, y, _, _ = pairs
    assert RewardUncertainty().fit(X, y).method_ == "dense"
    monkeypatch.setattr(uncertainty_room, "MAX_FEATURES", 3)
    assert RewardUncertainty().fit(X, y).method_ == "dual"
    monkeypatch.setattr(uncertainty_room, "MAX_PAIRS", 3)
    with pytest.warns(UserWarning, match="bounds from the 4 directions"):
        bound = RewardUncertainty(rank=4).fit(X, y)
    assert bound.method_ == "low_rank"
    assert bound.covariance_ is None
    explicit = RewardUncertainty(method="low_rank", rank=4).fit(X, y)
    _, std = explicit.predict_margin(X, return_std=True)
    exact = RewardUncertainty(method="dense").fit(X, y)
    assert (std >= exact.predict_margin(X, return_std=True)[1] * (1 - 1e-9)).all()


def test_frozen_model_is_used_and_any_other_is_cloned(pairs):
    X, y, _, _ = pairs
    fitted = PreferenceRewardModel(C=3.0).fit(X, y)
    assert RewardUncertainty(FrozenEstimator(fitted)).fit(X, y).estimator_ is fitted
    refitted = RewardUncertainty(fitted).fit(X, y).estimator_
    assert refitted is not fitted
    assert_array_equal(refitted.coef_, fitted.coef_)
    with pytest.raises(NotFittedError, match="unfitted PreferenceRewardModel"):
        RewardUncertainty(FrozenEstimator(PreferenceRewardModel())).fit(X, y)
    for meta in (RewardUncertainty(Ridge()), BootstrapRewardEnsemble(Ridge())):
        with pytest.raises(TypeError, match="needs a PreferenceRewardModel as estimator"):
            meta.fit(X, y)


def test_model_chosen_by_cross_validation_keeps_its_penalty(texts):
    vectorizer = ColumnTransformer([("words", TokenCounter(), 1), ("form", ResponseFeatures(), 1)])
    model = PreferenceRewardModelCV([0.01, 1.0], vectorizer=vectorizer, block_scales={"form": 0.1})
    model.fit(texts.X, texts.y, groups=texts.groups)
    factors = np.full(model.n_features_in_, model.C_)
    factors[model.vectorizer_.output_indices_["form"]] *= 0.1**2
    uncertainty = RewardUncertainty(FrozenEstimator(model)).fit(texts.X, texts.y)
    rows = toarray(read_pairs(model, texts.X, reset=False).design[:])
    p = expit(rows @ model.coef_[0])
    information = (rows.T * (p * (1 - p))) @ rows + np.diag(1 / factors)
    assert_allclose(uncertainty.covariance_, np.linalg.inv(information), rtol=1e-5, atol=1e-9)
    fitted = RewardUncertainty(model).fit(texts.X, texts.y, groups=texts.groups)
    assert_allclose(fitted.covariance_, uncertainty.covariance_)


def test_sandwich_of_one_group_is_an_error(pairs):
    X, y, _, _ = pairs
    with pytest.raises(ValueError, match="at least 2 groups"):
        RewardUncertainty(kind="sandwich").fit(X, y, groups=np.zeros(len(y)))


@pytest.mark.parametrize("method", EXACT)
def test_model_files_keep_standard_errors(pairs, method, tmp_path):
    X, y, groups, _ = pairs
    model = RewardUncertainty(
        PreferenceRewardModel(position_bias=True), kind="sandwich", method=method
    ).fit(sparse.csr_array(X), y, groups=groups)
    save_model(model, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    for found, expected in zip(
        loaded.predict_margin(X, return_std=True),
        model.predict_margin(X, return_std=True),
        strict=True,
    ):
        assert_array_equal(found, expected)


def test_confidence_level_is_checked(pairs):
    model = RewardUncertainty().fit(*pairs[:2])
    with pytest.raises(ValueError, match="confidence_level"):
        model.coef_interval(95)
    wide, narrow = model.margin_interval(pairs[0], 0.99), model.margin_interval(pairs[0], 0.5)
    assert (wide.high > narrow.high).all()


def test_soft_labels_count_as_their_weighted_rows(pairs):
    X, y, _, _ = pairs
    soft = np.where(y == 1, 0.75, 0.25)
    model = RewardUncertainty().fit(X, soft)
    rows = RewardUncertainty().fit(
        np.vstack([X, X]),
        np.repeat([1, 0], len(y)),
        sample_weight=np.concatenate([soft, 1 - soft]),
    )
    assert_allclose(model.covariance_, rows.covariance_, rtol=1e-6)
    assert model.score(X, soft) == pytest.approx(model.estimator_.score(X, soft))


def coverage(kind, n_repeats, seed, n_groups=250):
    """Parts of true weights, and of true margins of new pairs, in their 95% intervals."""
    rng = np.random.RandomState(seed)
    hits = []
    for _ in range(n_repeats):
        X, y, groups, coef = draw_pairs(rng, n_groups=n_groups)
        model = RewardUncertainty(PreferenceRewardModel(C=1e4), kind=kind)
        model.fit(X, y, groups=groups)
        new = rng.randn(10, len(coef))
        for table, truth in (
            (model.coef_interval(), coef),
            (model.margin_interval(new), new @ coef),
        ):
            hits.append(np.mean((table.low <= truth) & (truth <= table.high)))
    return np.mean(hits[::2]), np.mean(hits[1::2])


@pytest.mark.slow
def test_sandwich_intervals_cover_under_clustering_and_laplace_do_not():
    sandwich = coverage("sandwich", 500, seed=0)
    assert all(0.93 <= part <= 0.97 for part in sandwich)
    assert max(coverage("laplace", 100, seed=1)) < 0.85


@pytest.fixture(scope="module")
def texts():
    return make_preferences(400, n_features=12, n_prompts=80, text=True, random_state=0)


def test_reward_of_text_is_that_of_the_model_with_a_standard_error(texts):
    model = RewardUncertainty().fit(texts.X, texts.y, groups=texts.groups)
    documents = ["t00 t01", "t02", ""]
    reward, std = model.reward(documents, return_std=True)
    assert_allclose(reward, model.estimator_.reward(documents))
    assert_array_equal(std > 0, [True, True, False])
    pair, pair_std = model.predict_margin([("t00 t01", "")], return_std=True)
    assert_allclose((pair, pair_std), (reward[:1], std[:1]))
    names = model.coef_interval().feature.tolist()
    assert names == model.vectorizer_.get_feature_names_out().tolist()


def test_conservative_reward_takes_deviations_off(texts):
    model = RewardUncertainty().fit(texts.X, texts.y)
    documents = ["t00 t01", "t02", "t05 t05 t05"]
    reward, std = model.reward(documents, return_std=True)
    assert_allclose(model.conservative_reward(2.0).reward(documents), reward - 2 * std)
    assert_allclose(model.conservative_reward(0.0).reward(documents), reward)
    compared = model.conservative_reward(2.0, reference=["t02"]).reward(["t02", "t00"])
    margin, margin_std = model.predict_margin([("t00", "t02")], return_std=True)
    assert_allclose(compared, [0.0, margin[0] - 2 * margin_std[0]], atol=1e-12)


def test_conservative_reward_of_an_ensemble_is_of_its_refits(texts):
    model = BootstrapRewardEnsemble(n_estimators=4, random_state=0)
    model.fit(texts.X, texts.y, groups=texts.groups)
    documents = ["t00 t01", "t02", "t05 t05 t05"]
    rewards = np.array([member.reward(documents) for member in model.estimators_])
    std = rewards.std(axis=0, ddof=1)
    assert model.n_groups_ == 80
    assert_allclose(model.reward(documents, return_std=True)[1], np.sqrt(80 / 79) * std)
    assert_allclose(
        model.conservative_reward(2.0).reward(documents), rewards.mean(axis=0) - 2 * std
    )
    assert (
        model.conservative_reward(2.0, by="token").reward(documents)
        <= 1e-12 + (model.conservative_reward(2.0).reward(documents))
    ).all()


@pytest.mark.parametrize("by", [None, "document", "token"])
def test_policy_optimizer_takes_a_conservative_reward(texts, by):
    if by is None:
        reward = RewardUncertainty().fit(texts.X, texts.y).conservative_reward(1.0)
    else:
        model = BootstrapRewardEnsemble(n_estimators=4, random_state=0).fit(texts.X, texts.y)
        reward = model.conservative_reward(1.0, by=by)
    policy = PPOPolicyOptimizer(reward_model=reward, max_iter=2, tol=0, random_state=0)
    policy.fit([response for _, response, _ in texts.X[:50]])
    assert np.isfinite(policy.expected_reward_)


def test_bootstrap_deviation_is_that_of_the_sandwich(pairs):
    X, y, groups, _ = draw_pairs(np.random.RandomState(3), n_groups=400)
    estimator = PreferenceRewardModel(C=100.0)
    ensemble = BootstrapRewardEnsemble(estimator, 150, random_state=0).fit(X, y, groups=groups)
    sandwich = RewardUncertainty(estimator, kind="sandwich").fit(X, y, groups=groups)
    ratio = ensemble.coef_.std(axis=0, ddof=1) / sandwich.coef_interval().std
    assert_allclose(ratio, 1.0, atol=0.25)
    assert_allclose(ensemble.predict_margin(X), sandwich.predict_margin(X))


def test_a_group_without_weight_is_as_none_to_the_bootstrap(pairs):
    X, y, groups, _ = pairs
    weight = np.where(groups % 2, 1.0, 0.0)
    kept = weight > 0
    model = BootstrapRewardEnsemble(n_estimators=4, random_state=0)
    alone = clone(model).fit(X[kept], y[kept], groups=groups[kept])
    whole = model.fit(X, y, sample_weight=weight, groups=groups)
    assert_allclose(whole.coef_, alone.coef_, atol=1e-7)


def test_ensemble_member_is_a_fit_with_the_weights_of_its_sample(pairs):
    X, y, groups, _ = pairs
    ensemble = BootstrapRewardEnsemble(n_estimators=2, random_state=5).fit(X, y, groups=groups)
    random_state = np.random.RandomState(5)
    for coef in ensemble.coef_:
        counts = np.bincount(random_state.randint(60, size=60), minlength=60)
        member = PreferenceRewardModel().fit(X, y, sample_weight=counts[groups])
        assert_allclose(coef, member.coef_[0], rtol=1e-6)


def test_ensemble_is_seeded_for_any_number_of_jobs(pairs):
    X, y, groups, _ = pairs
    ensemble = BootstrapRewardEnsemble(n_estimators=3, random_state=0)
    one = clone(ensemble).fit(X, y, groups=groups).coef_
    with parallel_config("threading"):
        two = clone(ensemble).set_params(n_jobs=2).fit(X, y, groups=groups).coef_
    assert_array_equal(one, two)
    assert not np.array_equal(one[0], one[1])


def test_ensemble_warns_once_where_a_sample_did_not_converge(pairs):
    X, y, _, _ = pairs
    estimator = PreferenceRewardModel(C=1e6, tol=0.0)
    fitted = FrozenEstimator(estimator.fit(X, y).set_params(max_iter=1))
    with pytest.warns(ConvergenceWarning, match="bootstrap sample") as record:
        BootstrapRewardEnsemble(fitted, 4, random_state=0).fit(X, y)
    assert len(record) == 1


def test_ensemble_with_position_bias_needs_both_classes():
    X, y = np.random.RandomState(0).randn(2, 2), [0, 1]
    estimator = PreferenceRewardModel(position_bias=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        ensemble = BootstrapRewardEnsemble(estimator, 5, random_state=0).fit(X, y)
    assert np.isfinite(ensemble.coef_).all()


@pytest.mark.parametrize("criterion", ["information", "variance"])
def test_first_informative_pair_has_the_greatest_criterion(pairs, criterion):
    X, y, _, _ = pairs
    model = RewardUncertainty().fit(X, y)
    candidates = np.random.RandomState(1).randn(50, X.shape[1])
    margin, std = model.predict_margin(candidates, return_std=True)
    p = expit(margin)
    value = std**2 * (p * (1 - p) if criterion == "information" else 1.0)
    chosen = most_informative_pairs(model, candidates, 5, criterion=criterion)
    assert chosen[0] == np.argmax(value)
    plain = most_informative_pairs(model, candidates, 5, criterion=criterion, diverse=False)
    assert_array_equal(plain, np.argsort(-value)[:5])


@pytest.mark.parametrize("method", EXACT)
def test_informative_pairs_are_chosen_as_if_the_others_were_labelled(pairs, method):
    X, y, _, _ = pairs
    model = RewardUncertainty(method=method).fit(X, y)
    candidates = 3 * np.random.RandomState(1).randn(30, X.shape[1])
    chosen = most_informative_pairs(model, candidates, 6)
    covariance = posterior_covariance(X, model.coef_[0], 1.0, np.ones(len(y)))
    p = expit(candidates @ model.coef_[0])
    left = list(range(30))
    for best in chosen:
        gain = p * (1 - p) * np.einsum("ij,jk,ik->i", candidates, covariance, candidates)
        assert best == max(left, key=lambda i, gain=gain: gain[i])
        left.remove(best)
        row = candidates[best]
        covariance = np.linalg.inv(
            np.linalg.inv(covariance) + p[best] * (1 - p[best]) * np.outer(row, row)
        )


def test_diversity_keeps_repeats_apart():
    model = RewardUncertainty().fit([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]], [1, 0])
    candidates = [[0.0, 4.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 3.0]]
    assert most_informative_pairs(model, candidates, 2, diverse=False).tolist() == [0, 1]
    assert most_informative_pairs(model, candidates, 2).tolist() == [0, 2]


def test_informative_pairs_of_an_ensemble(pairs):
    X, y, groups, _ = pairs
    model = BootstrapRewardEnsemble(n_estimators=8, random_state=0).fit(X, y, groups=groups)
    chosen = most_informative_pairs(model, X, 12)
    assert len(set(chosen.tolist())) == 12
    assert len(most_informative_pairs(model, X[:3], 12)) == 3


def test_informative_pairs_need_a_model_that_knows_how_sure_it_is(pairs):
    plain = PreferenceRewardModel().fit(*pairs[:2])
    with pytest.raises(TypeError, match=r"got PreferenceRewardModel.*RewardUncertainty\("):
        most_informative_pairs(plain, pairs[0])


def test_labels_chosen_for_information_teach_more_than_labels_at_random():
    """Active choice lowers the variance of margins further than a random choice, on average."""
    rng = np.random.RandomState(0)
    coef = np.linspace(-1, 1, 8)
    scale = np.logspace(0, -1, 8)
    X, pool = (scale * rng.randn(n, 8) for n in (20, 300))
    labels = {
        name: (rng.uniform(size=len(rows)) < expit(rows @ coef)).astype(int)
        for name, rows in (("X", X), ("pool", pool))
    }
    start = RewardUncertainty().fit(X, labels["X"])

    def variance_after(chosen):
        model = RewardUncertainty().fit(
            np.vstack([X, pool[chosen]]), np.concatenate([labels["X"], labels["pool"][chosen]])
        )
        return np.linalg.slogdet(model.covariance_)[1]

    active = variance_after(most_informative_pairs(start, pool, 30))
    random = [variance_after(rng.choice(300, 30, replace=False)) for _ in range(20)]
    assert active < min(random)
