import pickle
import warnings

import contract
import numpy as np
import pytest
from additive_problems import random_policy
from assertions import assert_is_log_distribution, assert_same_distribution
from loops import RECORDS
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import check_grad, minimize
from scipy.special import expit, log_softmax, logit
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from sklearn_codex import (
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    PreferenceRewardModel,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    balance_positions,
)
from sklearn_codex._categorical import kl_divergence
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._policy.dpo_loss import PREFERENCE_LOSSES, ImplicitRewardLoss
from sklearn_codex._policy.tilts import TokenTilt

PAIRS = [
    ("good answer here", "bad answer"),
    ("bad", "good good"),
    ("a good one", "bad"),
    ("bad one", "good answer"),
    ("answer", "good"),
    ("good", "answer bad"),
]
LABELS = [1, 0, 1, 0, 1, 0]


def language_model(log_prob, length=1):
    model = UnigramLM(smoothing=0).fit(np.exp(log_prob)[np.newaxis])
    model.token_log_prob_, model.document_length_ = np.asarray(log_prob), length
    return FrozenEstimator(model)


def random_pairs(seed, *, n_pairs=60, n_columns=6, equal_lengths=False):
    """Count differences of random documents, labels with some noise, and a reference."""
    rng = np.random.RandomState(seed)
    lengths = np.full((2, n_pairs), 5) if equal_lengths else rng.randint(1, 9, (2, n_pairs))
    a, b = (
        np.array([np.bincount(rng.randint(n_columns, size=n), minlength=n_columns) for n in row])
        for row in lengths
    )
    weights = rng.standard_normal(n_columns)
    y = (rng.random_sample(n_pairs) < expit((a - b) @ weights)).astype(int)
    return (a - b).astype(float), y, random_policy(n_columns, np.random.default_rng(seed))


def random_loss(seed, name, *, C=2.0, kl_coef=0.7):
    X, y, reference = random_pairs(seed)
    rng = np.random.RandomState(seed)
    target = np.where(rng.random_sample(len(y)) < 0.3, rng.random_sample(len(y)), y)
    weight = rng.exponential(size=len(y))
    return ImplicitRewardLoss(
        DifferenceDesign(X), target, weight, TokenTilt(reference, kl_coef),
        C=C, pair_loss=PREFERENCE_LOSSES[name].of_pair,
    )  # fmt: skip


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
@pytest.mark.parametrize("seed", range(5))
def test_gradient_and_hessian_by_finite_differences(name, seed):
    loss = random_loss(seed, name)
    rng = np.random.RandomState(seed)
    weights, direction = rng.standard_normal((2, 6))
    scale = np.linalg.norm(loss.gradient(weights))
    assert check_grad(loss.value, loss.gradient, weights) < 1e-6 * scale
    step = 1e-6
    ahead, behind = (loss.gradient(weights + sign * step * direction) for sign in (1, -1))
    product = loss.hessian_product(weights, direction)
    assert_allclose(product, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-7 * scale)


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_margins_are_differences_of_log_ratios(name):
    loss = random_loss(0, name)
    weights = np.random.RandomState(1).standard_normal(6)
    log_ratio = loss.policy(weights) - loss.tilt.reference_log_prob
    assert_allclose(loss.margins(weights), 0.7 * loss.design.differences @ log_ratio, rtol=1e-10)
    assert_allclose(loss.token_reward(weights), 0.7 * log_ratio, rtol=1e-10)


def tabular_pairs(probability):
    """All pairs of distinct one-token documents, and the probability that the first is better."""
    n = len(probability)
    a, b = np.array([(i, j) for i in range(n) for j in range(n) if i < j]).T
    return np.eye(n)[a] - np.eye(n)[b], probability[a, b]


@pytest.mark.parametrize("kl_coef", [0.3, 1.0, 4.0])
def test_tabular_optimum_is_the_tilt_by_the_bradley_terry_maximum_likelihood_reward(kl_coef):
    rng = np.random.RandomState(0)
    upper = np.triu(rng.uniform(0.1, 0.9, (5, 5)), 1)
    X, p = tabular_pairs(upper)
    reference = random_policy(5, np.random.default_rng(0))
    fitted = DPOPolicyOptimizer(
        language_model(reference), kl_coef=kl_coef, C=np.inf, tol=1e-12
    ).fit(X, p)
    rows, labels = np.vstack([X, X]), np.repeat([1, 0], len(p))
    bradley_terry = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=10_000)
    bradley_terry.fit(rows, labels, sample_weight=np.concatenate([p, 1 - p]))
    tilt = log_softmax(reference + bradley_terry.coef_[0] / kl_coef)
    assert_allclose(fitted.token_log_prob_, tilt, atol=1e-5)
    # And by its own equations: expected wins are wins.
    r = fitted.token_reward_
    assert_allclose(X.T @ (expit(X @ r) - p), 0, atol=1e-10)


@pytest.mark.parametrize("C", [0.1, 10.0])
def test_with_equal_lengths_it_is_the_exact_policy_of_the_reward_model(C):
    X, y, reference = random_pairs(0, equal_lengths=True)
    policy = language_model(reference, length=5)
    direct = DPOPolicyOptimizer(policy, kl_coef=0.6, C=C, tol=1e-12).fit(X, y)
    reward = PreferenceRewardModel(C=C, tol=1e-12).fit(X, y)
    detour = ExactPolicyOptimizer(policy, FrozenEstimator(reward), kl_coef=0.6)
    detour.fit(np.full((1, 6), 1.0))
    assert_allclose(direct.token_log_prob_, detour.token_log_prob_, atol=1e-9)
    assert_allclose(direct.kl_, 5 * kl_divergence(direct.token_log_prob_, reference))
    assert_allclose(direct.margin(X), reward.decision_function(X), atol=1e-8)


@pytest.mark.parametrize("loss", PREFERENCE_LOSSES)
def test_the_policy_is_optimal_for_its_implicit_reward(loss):
    X, y, reference = random_pairs(1)
    policy = language_model(reference, length=4)
    direct = DPOPolicyOptimizer(policy, loss=loss, kl_coef=0.5).fit(X, y)
    again = ExactPolicyOptimizer(policy, FrozenEstimator(direct), kl_coef=0.5)
    again.fit(np.full((1, 6), 2.0))
    assert_allclose(again.token_log_prob_, direct.token_log_prob_, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("loss", PREFERENCE_LOSSES)
def test_no_search_from_elsewhere_does_better(seed, loss):
    X, y, reference = random_pairs(seed)
    fitted = DPOPolicyOptimizer(language_model(reference), loss=loss, kl_coef=0.5).fit(X, y)
    problem = ImplicitRewardLoss(
        DifferenceDesign(X), y.astype(float), np.ones(len(y)), TokenTilt(reference, 0.5),
        C=1.0, pair_loss=PREFERENCE_LOSSES[loss].of_pair,
    )  # fmt: skip
    for start in (np.zeros(6), 2 * np.random.RandomState(seed).standard_normal(6)):
        other = minimize(problem.value, start, jac=problem.gradient, method="BFGS")
        assert fitted.history_[-1]["objective"] <= other.fun + 1e-8


@pytest.mark.parametrize("b", [0.25, 1.0, 3.0])
def test_ipo_gap_is_the_probability_above_a_half_over_b(b):
    gaps = np.array([0.3, 0.1, -0.05, -0.2])
    X, p = tabular_pairs(0.5 + gaps[:, np.newaxis] - gaps)
    reference = random_policy(4, np.random.default_rng(0))
    fitted = DPOPolicyOptimizer(
        language_model(reference), loss="ipo", kl_coef=b, C=np.inf, tol=1e-12
    ).fit(X, p)
    log_ratio = fitted.token_log_prob_ - reference
    assert_allclose(X @ log_ratio, (p - 0.5) / b, atol=1e-9)


def test_ipo_loss_is_the_square_of_its_distance_to_half_the_lean():
    margin, target = np.array([0.5, 1.0, -2.0, 0.3]), np.array([1.0, 1.0, 0.0, 0.0])
    value, slope, curvature = PREFERENCE_LOSSES["ipo"].of_pair(margin, target)
    distance = margin - np.array([0.5, 0.5, -0.5, -0.5])
    assert_allclose(value, distance**2, atol=1e-15)
    assert_allclose(slope, 2 * distance, atol=1e-15)
    assert_allclose(curvature, 2.0)


def test_ipo_is_finite_where_all_agree():
    X = np.array([[1.0, -1.0], [-1.0, 1.0]])
    fitted = DPOPolicyOptimizer(loss="ipo", C=np.inf, kl_coef=0.5).fit(X, [1, 0])
    assert_allclose(fitted.token_log_prob_[0] - fitted.token_log_prob_[1], 0.5 / 0.5)


def test_separable_pairs_without_penalty_warn_and_stay_finite():
    X = np.array([[1.0, -1.0, 0.0], [0.0, -1.0, 1.0], [-1.0, 1.0, 0.0]])
    with pytest.warns(ConvergenceWarning, match="C=inf on pairs that some policy all gets right"):
        fitted = DPOPolicyOptimizer(C=np.inf).fit(X, [1, 1, 0])
    assert_is_log_distribution(fitted.token_log_prob_)
    assert np.isfinite(fitted.token_log_prob_).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DPOPolicyOptimizer(C=1e4).fit(X, [1, 1, 0])
        DPOPolicyOptimizer(C=np.inf, label_smoothing=0.1).fit(X, [1, 1, 0])


def test_too_few_steps_warn():
    with pytest.warns(ConvergenceWarning, match=r"did not converge: the norm of the gradient"):
        DPOPolicyOptimizer(max_iter=1).fit(PAIRS, LABELS)


def test_text_equals_differences():
    counter = TokenCounter().fit([text for pair in PAIRS for text in pair])
    X = counter.transform([a for a, _ in PAIRS]) - counter.transform([b for _, b in PAIRS])
    words = FrozenEstimator(counter)
    from_text = DPOPolicyOptimizer(vectorizer=words).fit(PAIRS, LABELS)
    for differences in (X, X.toarray()):
        from_counts = DPOPolicyOptimizer(vectorizer=words).fit(differences, LABELS)
        assert_allclose(from_counts.token_log_prob_, from_text.token_log_prob_, atol=1e-9)
        assert_allclose(from_counts.margin(PAIRS), from_text.margin(X), atol=1e-8)
    assert from_text.document_length_ == 2
    assert from_counts.document_length_ == 1
    good, bad = from_text.reward(["good", "bad"])
    assert good > bad


def test_label_smoothing_is_soft_labels():
    X, y, _ = random_pairs(2)
    smooth = DPOPolicyOptimizer(label_smoothing=0.2).fit(X, y)
    soft = DPOPolicyOptimizer().fit(X, np.where(y == 1, 0.8, 0.2))
    assert_allclose(smooth.token_log_prob_, soft.token_log_prob_, atol=1e-10)
    assert_array_equal(soft.classes_, [0, 1])


def test_weights_are_repetitions():
    X, y, _ = random_pairs(3)
    weight = np.random.RandomState(0).randint(0, 4, len(y))
    weighted = DPOPolicyOptimizer().fit(X, y, sample_weight=weight)
    repeated = DPOPolicyOptimizer().fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_allclose(weighted.token_log_prob_, repeated.token_log_prob_, atol=1e-9)


def test_exchanging_responses_and_labels_changes_nothing():
    X, y, _ = random_pairs(4)
    one, other = (DPOPolicyOptimizer().fit(sign * X, y if sign == 1 else 1 - y) for sign in (1, -1))
    assert_allclose(one.token_log_prob_, other.token_log_prob_, atol=1e-10)


def test_smaller_kl_coef_goes_further_and_a_large_one_stays():
    X, y, reference = random_pairs(5)
    kls = [
        DPOPolicyOptimizer(language_model(reference), kl_coef=b).fit(X, y).kl_
        for b in (0.1, 1.0, 10.0, 1000.0)
    ]
    assert kls == sorted(kls, reverse=True)
    assert kls[-1] < 1e-5


def test_score_is_the_likelihood_of_preferences():
    X, y, reference = random_pairs(6)
    fitted = DPOPolicyOptimizer(language_model(reference), kl_coef=0.5).fit(X, y)
    expected = np.mean(np.log(np.where(y == 1, expit(fitted.margin(X)), expit(-fitted.margin(X)))))
    assert_allclose(fitted.score(X, y), expected)
    assert_allclose(fitted.score(X, y), -fitted.loss_)
    assert_allclose(fitted.score(X[y == 1], y[y == 1]), -fitted_losses(fitted, X)[y == 1].mean())
    assert fitted.score(X, y) > -np.log(2)
    assert_allclose(fitted.score(0 * X, y), -np.log(2))
    with pytest.raises(ValueError, match=r"score got the labels \[7\] in y, which are not among"):
        fitted.score(X[:2], [7, 7])


def fitted_losses(fitted, X):
    return np.log1p(np.exp(-fitted.margin(X)))


def test_history_tells_the_fit():
    X, y, _ = random_pairs(7)
    fitted = DPOPolicyOptimizer().fit(X, y)
    first, last = fitted.history_[0], fitted.history_[-1]
    assert [record["iteration"] for record in fitted.history_] == list(range(fitted.n_iter_ + 1))
    assert_allclose([first["loss"], first["margin"], first["accuracy"]], [np.log(2), 0, 0.5])
    assert last["gradient_norm"] <= 1e-8
    assert last["loss"] == fitted.loss_ < first["loss"]
    agrees = np.sign(fitted.margin(X)) == 2 * y - 1
    assert_allclose(last["accuracy"], agrees.mean())


@pytest.mark.parametrize("tol", [1e-8, 1e-14])
def test_callbacks_begin_and_end(tol):
    X, y, _ = random_pairs(8)
    callback = contract.RecordingCallback()
    fitted = DPOPolicyOptimizer(tol=tol).set_callbacks(callback).fit(X, y)
    contract.assert_balanced(callback)
    begun = [names[1] for names in callback.named("begin")]
    assert begun.count("iteration") in (fitted.n_iter_, fitted.n_iter_ + 1)


def test_a_callback_stops_the_fit():
    callback = contract.StopAtOnce()
    fitted = DPOPolicyOptimizer().set_callbacks(callback).fit(PAIRS, LABELS)
    assert fitted.n_iter_ == 1
    contract.assert_balanced(callback)


def test_document_methods_take_documents_and_their_differences():
    X, y, reference = random_pairs(9)
    fitted = DPOPolicyOptimizer(language_model(reference)).fit(sparse.csr_array(X), y)
    a = np.arange(6.0)[np.newaxis]
    b = np.ones((1, 6))
    likelihood = fitted.score_samples(a)
    assert_allclose(fitted.score_samples(a - b), likelihood - fitted.score_samples(b))
    assert_allclose(fitted.perplexity(b), np.exp(-fitted.token_log_prob_.mean()))
    assert_allclose(fitted.reward(a), 1.0 * (likelihood - a @ reference))
    assert fitted.sample(3, random_state=0).shape == (3, 6)
    assert_array_equal(fitted.coef_, [fitted.token_reward_])


def test_pipeline_without_a_reward_model():
    loop = RLHFPipeline(
        [
            ("pretrain", UnigramLM()),
            ("sft", SFTRefiner(prior_strength=20.0)),
            ("policy", DPOPolicyOptimizer(kl_coef=0.5)),
        ]
    ).fit(RECORDS)
    pairs = RECORDS[2::3]
    chosen, rejected = ([pair[side] for pair in pairs] for side in ("chosen", "rejected"))
    m1, m2 = loop["sft"], loop["policy"]
    by_hand = DPOPolicyOptimizer(FrozenEstimator(m1), kl_coef=0.5)
    by_hand.fit(*balance_positions(list(zip(chosen, rejected, strict=True)), random_state=0))
    assert_allclose(m2.token_log_prob_, by_hand.token_log_prob_, atol=1e-9)
    assert_array_equal(m2.reference_log_prob_, m1.token_log_prob_)
    assert m2.document_length_ == m1.document_length_
    good, bad = m2.reward(["good", "bad"])
    assert good > 0 > bad
    assert (m2.margin(list(zip(chosen, rejected, strict=True))) > 0).mean() > 0.9
    assert loop.predict(["x"])[0] in loop.vectorizer_.vocabulary_
    assert len(loop.sample(2, random_state=0)) == 2
    assert loop.perplexity(["good cat"]) < loop[:2].perplexity(["good cat"])
    assert np.isfinite(loop.score(RECORDS))


def test_a_pipeline_with_it_keeps_the_promises_of_pipelines():
    steps = [("pretrain", UnigramLM()), ("policy", DPOPolicyOptimizer())]
    for promise in (contract.check_pickles, contract.check_seeded, contract.check_clone):
        promise(lambda: RLHFPipeline(steps), RECORDS)


def test_it_stands_below_a_policy_stage_of_its_own():
    first, second = DPOPolicyOptimizer(kl_coef=0.5), DPOPolicyOptimizer(kl_coef=2.0, loss="ipo")
    loop = RLHFPipeline([("pretrain", UnigramLM()), ("policy", first), ("again", second)])
    loop.fit(RECORDS)
    alone = RLHFPipeline(loop.steps[:2]).fit(RECORDS)
    below, above = loop["policy"], loop["again"]
    assert_allclose(below.token_log_prob_, alone["policy"].token_log_prob_, atol=1e-12)
    assert_allclose(below.reference_log_prob_, loop["pretrain"].token_log_prob_, atol=1e-12)
    assert_allclose(above.reference_log_prob_, below.token_log_prob_, atol=1e-12)
    assert np.abs(above.token_log_prob_ - below.token_log_prob_).max() > 0.01
    assert_allclose(loop.perplexity(["good cat"]), above.perplexity(["good cat"]))


def test_grid_search_over_pairs():
    X, y, reference = random_pairs(10, n_pairs=200)
    search = GridSearchCV(
        DPOPolicyOptimizer(language_model(reference)), {"C": [1e-4, 0.1, 10.0]}, cv=3
    ).fit(X, y)
    assert search.best_params_["C"] > 1e-4
    assert search.best_score_ > -np.log(2)


def test_documents_that_end_by_themselves():
    counter = TokenCounter(eos_token="<eos>").fit([text for pair in PAIRS for text in pair])
    reference = UnigramLM(vectorizer=FrozenEstimator(counter)).fit([a for a, _ in PAIRS])
    fitted = DPOPolicyOptimizer(FrozenEstimator(reference)).fit(PAIRS, LABELS)
    eos = counter.eos_index_
    assert_allclose(fitted.expected_length_, np.exp(-fitted.token_log_prob_[eos]))
    kl = kl_divergence(fitted.token_log_prob_, fitted.reference_log_prob_)
    assert_allclose(fitted.kl_, fitted.expected_length_ * kl)
    with pytest.raises(ValueError, match="response_length=3, but the vocabulary has an end"):
        DPOPolicyOptimizer(FrozenEstimator(reference), response_length=3).fit(PAIRS, LABELS)


def test_tokens_the_reference_cannot_produce_stay_out():
    X, y, reference = random_pairs(11)
    reference[2] = -np.inf
    reference -= np.log(np.exp(reference).sum())
    with pytest.raises(ValueError, match=r"1 token\(s\) which the reference policy cannot .* 2,"):
        DPOPolicyOptimizer(language_model(reference)).fit(X, y)
    X[:, 2] = 0
    fitted = DPOPolicyOptimizer(language_model(reference)).fit(X, y)
    assert_is_log_distribution(fitted.token_log_prob_)
    assert fitted.token_log_prob_[2] == -np.inf
    assert fitted.token_reward_[2] == 0


def test_pickles():
    fitted = DPOPolicyOptimizer().fit(PAIRS, LABELS)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_same_distribution(loaded.token_log_prob_, fitted.token_log_prob_)
    assert_array_equal(loaded.margin(PAIRS), fitted.margin(PAIRS))


def test_errors():
    X, y, reference = random_pairs(12)
    policy = language_model(reference)
    with pytest.raises(NotFittedError, match="needs a fitted policy"):
        DPOPolicyOptimizer(UnigramLM()).fit(X, y)
    with pytest.raises(ValueError, match="fitted on counts and knows columns, no words"):
        DPOPolicyOptimizer(policy).fit(PAIRS, LABELS)
    with pytest.raises(ValueError, match=r"counted in 5 columns that are not the 6 of its policy"):
        DPOPolicyOptimizer(policy).fit(X[:, :5], y)
    with pytest.raises(ValueError, match="swap half of them with X, y = balance_positions"):
        DPOPolicyOptimizer().fit(X, np.ones(len(y)))
    with pytest.raises(ValueError, match="requires y to be passed"):
        DPOPolicyOptimizer().fit(X, None)
    with pytest.raises(ValueError, match="label_smoothing"):
        DPOPolicyOptimizer(label_smoothing=0.5).fit(X, y)


def test_logit_of_the_probability_is_the_margin_of_a_single_pair_kind():
    X = np.array([[1.0, -1.0]] * 4)
    fitted = DPOPolicyOptimizer(C=np.inf, tol=1e-12).fit(X, [0.7, 0.7, 0.7, 0.7])
    assert_allclose(fitted.margin(X), logit(0.7), atol=1e-9)


# Labels that are wrong


def test_targets_of_labels_that_may_be_wrong_by_hand():
    labels = np.array([0.0, 1.0, 0.5, 0.25])
    smoothed = PREFERENCE_LOSSES["sigmoid"].target(labels, 0.2)
    assert_allclose(smoothed, [0.2, 0.8, 0.5, 0.35])
    corrected = PREFERENCE_LOSSES["robust"].target(labels, 0.2)
    assert_allclose(corrected, [-1 / 3, 4 / 3, 0.5, 1 / 12])
    assert_allclose(PREFERENCE_LOSSES["robust"].target(smoothed, 0.2), labels, atol=1e-15)


def test_the_robust_loss_is_that_of_its_paper():
    """((1 - e) l(m) - e l(-m)) / (1 - 2 e), l being the log-loss of a label that is 1."""
    loss, e, margin = PREFERENCE_LOSSES["robust"], 0.3, np.array([-2.0, 0.1, 3.0])
    target = loss.target(np.ones(3), e)
    right, wrong = -np.log(expit(margin)), -np.log(expit(-margin))
    assert_allclose(loss.of_pair(margin, target)[0], ((1 - e) * right - e * wrong) / (1 - 2 * e))


def test_robust_expects_on_wrong_labels_what_dpo_finds_on_right_ones():
    X, y, _ = random_pairs(3)
    clean = DPOPolicyOptimizer(C=2.0).fit(X, y)
    # Each pair four times, one of them the wrong way round: all labels that can be seen, as often.
    noisy = np.tile(X, (4, 1)), np.concatenate([y, y, y, 1 - y])
    weight = np.full(4 * len(y), 0.25)
    settings = {"C": 2.0, "label_smoothing": 0.25}
    robust = DPOPolicyOptimizer(loss="robust", **settings).fit(*noisy, weight)
    assert_allclose(robust.token_log_prob_, clean.token_log_prob_, atol=1e-7)
    plain = DPOPolicyOptimizer(C=2.0).fit(*noisy, weight)
    assert plain.kl_ < 0.7 * clean.kl_
    # Smoothing goes the other way: it takes pairs for less sure than they look.
    smoothed = DPOPolicyOptimizer(**settings).fit(*noisy, weight)
    assert smoothed.kl_ < plain.kl_
