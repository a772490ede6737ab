"""Policies by the hinge loss, SimPO, CPO and ORPO, and how far each is from its own optimum."""

import warnings
from dataclasses import replace

import contract
import numpy as np
import pytest
from additive_problems import random_policy
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import check_grad, minimize
from scipy.special import expit, log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from sklearn_codex import (
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    NGramCounter,
    NGramLM,
    PreferenceRewardModel,
    TokenCounter,
    UnigramLM,
    lab,
)
from sklearn_codex._data.designs import PairDesign
from sklearn_codex._policy.dpo_loss import HingeRewardLoss, hinge_loss, round_kinks
from sklearn_codex._policy.dpo_problem import DirectLoss
from sklearn_codex._policy.tilts import TokenTilt
from sklearn_codex.lab import PreferenceAlgorithm, problems, rest_point

RESPONSE_LOSSES = ["simpo", "cpo", "orpo"]


def language_model(log_prob, length=1):
    model = UnigramLM(smoothing=0).fit(np.exp(log_prob)[np.newaxis])
    model.token_log_prob_, model.document_length_ = np.asarray(log_prob), length
    return FrozenEstimator(model)


def counted_pairs(seed, *, n_pairs=50, n_columns=5, lengths=(2, 7)):
    """Counts (n_pairs, 2, V) of random documents, labels with noise, and a reference."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(*lengths, (n_pairs, 2))
    X = np.array([[rng.multinomial(n, np.full(n_columns, 1 / n_columns)) for n in pair]
                  for pair in tokens]).astype(float)  # fmt: skip
    worth = rng.standard_normal(n_columns)
    y = (rng.random(n_pairs) < expit((X[:, 0] - X[:, 1]) @ worth)).astype(int)
    return X, y, random_policy(n_columns, rng)


# The hinge loss


def test_the_hinge_loss_by_hand():
    margin, target = np.array([0.25, 2.0, -3.0, 0.5]), np.array([1.0, 1.0, 0.0, 0.25])
    value, slope, curvature = hinge_loss(margin, target)
    assert_allclose(value, [0.75, 0.0, 0.0, 0.25 * 0.5 + 0.75 * 1.5])
    assert_allclose(slope, [-1.0, 0.0, 0.0, -0.25 + 0.75])
    assert_allclose(curvature, 0.0)


def test_rounded_kinks_by_their_definition():
    rng = np.random.default_rng(0)
    z, a, width = rng.standard_normal(50), rng.random(50), 0.7
    value, slope, curvature = round_kinks(z, width, a)
    s = np.linspace(0, 1, 100_001)[:, np.newaxis]
    assert_allclose(value, (s * z - width / 2 * (s - a) ** 2).max(axis=0), atol=1e-9)
    assert (value <= np.maximum(z, 0)).all()
    ahead, behind = (round_kinks(z + step, width, a) for step in (1e-7, -1e-7))
    assert_allclose(slope, (ahead[0] - behind[0]) / 2e-7, atol=1e-6)
    assert_allclose(curvature, (ahead[1] - behind[1]) / 2e-7, rtol=1e-6)


@pytest.mark.parametrize("C", [0.3, 30.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_hinge_with_equal_lengths_is_a_support_vector_machine(seed, C):
    X, y, reference = counted_pairs(seed, lengths=(6, 7))
    weight = np.random.default_rng(seed).exponential(size=len(y))
    differences = X[:, 0] - X[:, 1]
    fitted = DPOPolicyOptimizer(language_model(reference, 6), loss="hinge", kl_coef=0.6, C=C).fit(
        X, y, weight
    )
    machine = LinearSVC(loss="hinge", C=C, fit_intercept=False, tol=1e-10, max_iter=1_000_000)
    machine.fit(differences, y, weight)
    assert_allclose(fitted.margin(X), differences @ machine.coef_[0], atol=1e-5)
    expected = log_softmax(reference + machine.coef_[0] / 0.6)
    assert_allclose(fitted.token_log_prob_, expected, atol=1e-5)
    w = machine.coef_[0]
    value = weight @ np.maximum(0, 1 - (2 * y - 1) * (differences @ w)) + w @ w / (2 * C)
    objective = fitted.history_[-1]["objective"]
    assert objective <= value + 1e-7
    # The gap is a bound: what the machine leaves, which is at least the minimum, shows it.
    assert objective - fitted.fixed_point_gap_ <= value
    assert 0 <= fitted.fixed_point_gap_ <= 1e-6 * objective


def test_the_gap_of_the_hinge_loss_bounds_what_an_early_stop_misses():
    X, y, reference = counted_pairs(2, lengths=(6, 7))
    settings = {"loss": "hinge", "kl_coef": 0.6}
    best = DPOPolicyOptimizer(language_model(reference, 6), **settings).fit(X, y)
    for max_iter in (1, 3, 6):
        with pytest.warns(ConvergenceWarning, match="did not converge"):
            early = DPOPolicyOptimizer(
                language_model(reference, 6), max_iter=max_iter, **settings
            ).fit(X, y)
        missed = early.history_[-1]["objective"] - best.history_[-1]["objective"]
        assert missed > 1e-6
        assert early.fixed_point_gap_ >= missed


def test_sharper_hinge_losses_have_the_same_optimum_once_slopes_are_right():
    X, y, reference = counted_pairs(3, lengths=(6, 7))
    fitted = DPOPolicyOptimizer(language_model(reference, 6), loss="hinge", kl_coef=0.6).fit(X, y)
    design = PairDesign(np.concatenate([X[:, 0], X[:, 1]]), np.arange(50), np.arange(50, 100))
    loss = HingeRewardLoss(design, y.astype(float), np.ones(50), TokenTilt(reference, 0.6), C=1.0)
    weights = 0.6 * (fitted.token_log_prob_ - reference)
    weights -= weights.mean()  # as the penalty has them
    while loss is not None:
        last, found = loss, minimize(loss.value, weights, jac=loss.gradient, method="BFGS")
        weights = found.x
        loss = loss.sharpened(loss.at(weights)) if last.width > 1e-3 else None
    assert_allclose(last.margins(weights), fitted.margin(X), atol=1e-5)


def test_hinge_with_unequal_lengths_is_stationary():
    X, y, reference = counted_pairs(4)
    fitted = DPOPolicyOptimizer(language_model(reference), loss="hinge", kl_coef=0.6).fit(X, y)
    assert fitted.fixed_point_gap_ is None
    assert fitted.history_[-1]["gradient_norm"] <= 1e-8
    margins, lean = fitted.margin(X), 2 * y - 1
    # No small change of the policy does better: 1,000 are tried.
    rng = np.random.default_rng(0)
    w = 0.6 * (fitted.token_log_prob_ - reference)
    w = w - w.mean()

    def value(weights):
        reward = TokenTilt(reference, 0.6).at(weights).reward
        return (
            np.maximum(0, 1 - lean * ((X[:, 0] - X[:, 1]) @ reward)).sum() + weights @ weights / 2
        )

    assert_allclose(margins, (X[:, 0] - X[:, 1]) @ fitted.token_reward_, atol=1e-12)
    best = minimize(value, w, method="Nelder-Mead", options={"xatol": 1e-9, "maxiter": 5000})
    objective = fitted.history_[-1]["objective"]
    assert objective <= best.fun + 1e-6
    assert all(objective < value(best.x + 1e-2 * rng.standard_normal(5)) for _ in range(1000))


@pytest.mark.parametrize("tol", [1e-6, 1e-14])
def test_callbacks_of_the_hinge_loss_begin_and_end(tol):
    X, y, _ = counted_pairs(5)
    callback = contract.RecordingCallback()
    fitted = DPOPolicyOptimizer(loss="hinge", tol=tol).set_callbacks(callback).fit(X, y)
    contract.assert_balanced(callback)
    begun = [names[1] for names in callback.named("begin")]
    assert begun.count("iteration") in (fitted.n_iter_, fitted.n_iter_ + 1)
    iterations = [record["iteration"] for record in fitted.history_]
    assert iterations == sorted(set(iterations))


# Losses without a reference


def direct_loss(name, X, target, weight, reference, *, kl_coef=0.7, C=2.0, **options):
    n = len(X)
    design = PairDesign(np.concatenate([X[:, 0], X[:, 1]]), np.arange(n), np.arange(n, 2 * n))
    return DirectLoss(name, kl_coef, options, "The test").on(
        design, target, weight, TokenTilt(reference, kl_coef),
        reference_log_prob=reference, is_token=np.ones(X.shape[2]), C=C,
    )  # fmt: skip


@pytest.mark.parametrize("name", RESPONSE_LOSSES)
@pytest.mark.parametrize("seed", range(3))
def test_gradient_and_hessian_by_finite_differences(name, seed):
    X, _, reference = counted_pairs(seed)
    rng = np.random.default_rng(seed)
    loss = direct_loss(name, X, rng.random(50), rng.exponential(size=50), reference)
    weights, direction = rng.standard_normal((2, 5))
    scale = np.linalg.norm(loss.gradient(weights))
    assert check_grad(loss.value, loss.gradient, weights) < 1e-6 * scale
    ahead, behind = (loss.gradient(weights + sign * 1e-6 * direction) for sign in (1, -1))
    product = loss.hessian_product(weights, direction)
    assert_allclose(product, (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-7 * scale)


LABORATORY = {"simpo": lab.simpo_loss, "cpo": lab.cpo_loss, "orpo": lab.orpo_loss}


@pytest.mark.parametrize(
    ("name", "options"),
    [("simpo", {}), ("simpo", {"simpo_gamma": 0.0}), ("cpo", {"cpo_alpha": 0.3}), ("orpo", {})],
)
@pytest.mark.parametrize("C", [0.5, np.inf])
def test_the_fit_is_the_least_loss_of_the_laboratory_over_logits(name, options, C):
    X, y, reference = counted_pairs(6)
    weight = np.random.default_rng(6).exponential(size=len(y))
    lengths, beta = X.sum(axis=2), 0.8

    def value(logits):
        log_prob = log_softmax(logits)
        chosen = np.where(y == 1, X[:, 0] @ log_prob, X[:, 1] @ log_prob)
        rejected = np.where(y == 1, X[:, 1] @ log_prob, X[:, 0] @ log_prob)
        n_chosen = np.where(y == 1, lengths[:, 0], lengths[:, 1])
        n_rejected = np.where(y == 1, lengths[:, 1], lengths[:, 0])
        loss = LABORATORY[name](chosen, rejected, n_chosen, n_rejected, beta=beta, **options)[0]
        tilt = beta * (logits - reference)
        return weight @ loss + tilt @ tilt / (2 * C)

    found = minimize(value, reference, method="BFGS", options={"gtol": 1e-7})
    fitted = DPOPolicyOptimizer(
        language_model(reference), loss=name, kl_coef=beta, C=C, **options
    ).fit(X, y, weight)
    assert_allclose(fitted.token_log_prob_, log_softmax(found.x), atol=1e-4)
    assert fitted.history_[-1]["objective"] <= found.fun + 1e-8


def test_simpo_of_tokens_is_bradley_terry_of_frequencies():
    X, y, reference = counted_pairs(7)
    fitted = DPOPolicyOptimizer(
        language_model(reference), loss="simpo", simpo_gamma=0.0, kl_coef=1.5, C=np.inf, tol=1e-10
    ).fit(X, y)
    frequencies = X / X.sum(axis=2, keepdims=True)
    bradley_terry = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=10_000)
    bradley_terry.fit(frequencies[:, 0] - frequencies[:, 1], y)
    assert_allclose(fitted.token_log_prob_, log_softmax(bradley_terry.coef_[0] / 1.5), atol=1e-5)


def test_simpo_does_not_know_the_reference():
    X, y, reference = counted_pairs(8)
    settings = {"loss": "simpo", "C": np.inf, "tol": 1e-10}
    one = DPOPolicyOptimizer(language_model(reference), **settings).fit(X, y)
    other = DPOPolicyOptimizer(**settings).fit(X, y)
    assert_allclose(one.token_log_prob_, other.token_log_prob_, atol=1e-6)


CASES = [
    ("dpo", 0.5, {}), ("ipo", 0.5, {}), ("hinge", 0.5, {}), ("simpo", 2.0, {"simpo_gamma": 0.0}),
    ("simpo", 2.0, {"simpo_gamma": 0.5}), ("cpo", 0.5, {"cpo_alpha": 0.3}), ("orpo", 0.5, {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "beta", "options"), CASES)
@pytest.mark.parametrize("problem", ["two-sided", "unpaired"])
def test_estimators_reach_their_fixed_points(problem, name, beta, options):
    problem = problems[problem]()
    problem = replace(problem, lengths=np.ones_like(problem.lengths))
    rest = rest_point(PreferenceAlgorithm(name, beta=beta, options=options), problem)
    rows = np.argwhere(problem.wins > 0)
    one_token = np.eye(len(rest))[rows]  # (n_pairs, 2, V)
    X, y = np.concatenate([one_token, one_token[:, ::-1]]), np.repeat([1, 0], len(rows))
    weight = np.tile(problem.wins[problem.wins > 0], 2)
    fitted = DPOPolicyOptimizer(
        language_model(problem.reference), loss="sigmoid" if name == "dpo" else name,
        kl_coef=beta, C=np.inf, **options,
    ).fit(X, y, weight)  # fmt: skip
    off = 0.5 * np.abs(np.exp(fitted.token_log_prob_) - np.exp(rest)).sum()
    start = 0.5 * np.abs(np.exp(problem.reference) - np.exp(rest)).sum()
    assert off < 1e-3 * start
    assert fitted.fixed_point_gap_ is None or 0 <= fitted.fixed_point_gap_ < 1e-8


@pytest.mark.parametrize("loss", RESPONSE_LOSSES)
def test_margins_are_what_the_loss_compares(loss):
    X, y, reference = counted_pairs(9)
    fitted = DPOPolicyOptimizer(language_model(reference), loss=loss, kl_coef=0.5).fit(X, y)
    logps, lengths = X @ fitted.token_log_prob_, X.sum(axis=2)
    mean = logps / lengths
    score = {
        "simpo": 0.5 * mean,
        "cpo": 0.5 * logps,
        "orpo": np.log(np.exp(mean) / (1 - np.exp(mean))),
    }[loss]
    assert_allclose(fitted.margin(X), score[:, 0] - score[:, 1])
    likelihood = np.where(y == 1, expit(fitted.margin(X)), expit(-fitted.margin(X)))
    assert_allclose(fitted.score(X, y), np.mean(np.log(likelihood)))
    assert_allclose(fitted.reward(X[:, 0]), 0.5 * X[:, 0] @ (fitted.token_log_prob_ - reference))


def test_label_smoothing_of_a_loss_without_reference_is_soft_labels():
    X, y, _ = counted_pairs(10)
    smooth = DPOPolicyOptimizer(loss="orpo", label_smoothing=0.2).fit(X, y)
    soft = DPOPolicyOptimizer(loss="orpo").fit(X, np.where(y == 1, 0.8, 0.2))
    assert_allclose(smooth.token_log_prob_, soft.token_log_prob_, atol=1e-9)


def test_policies_of_ngrams_have_lengths_and_likelihoods_of_their_own():
    texts = ["a b a", "b b", "a c b", "c a b a", "b", "c c a"]
    counter = NGramCounter(2, eos_token="</s>").fit(texts)
    model = NGramLM(smoothing="dirichlet", vectorizer=FrozenEstimator(counter)).fit(texts)
    pairs, y = list(zip(texts[::2], texts[1::2], strict=True)), [1, 0, 1]
    fitted = DPOPolicyOptimizer(FrozenEstimator(model), loss="simpo", kl_coef=2.0).fit(pairs, y)
    lengths = np.array([len(text.split()) + 1 for text in texts])  # </s> counts
    mean = fitted.score_samples(texts) / lengths
    assert_allclose(fitted.margin(pairs), 2.0 * (mean[::2] - mean[1::2]))
    assert fitted.optimality_gap_ > 0


# What is refused


def test_a_parameter_of_another_loss_is_an_error():
    X, y, _ = counted_pairs(11)
    with pytest.raises(ValueError, match=r'got simpo_gamma=0\.5 with loss="sigmoid", which has no'):
        DPOPolicyOptimizer(simpo_gamma=0.5).fit(X, y)
    with pytest.raises(ValueError, match=r'cpo_alpha=1 with loss="orpo".*set loss="cpo"'):
        DPOPolicyOptimizer(loss="orpo", cpo_alpha=1.0).fit(X, y)


@pytest.mark.parametrize("loss", RESPONSE_LOSSES)
def test_differences_and_empty_responses_are_refused(loss):
    X, y, reference = counted_pairs(12)
    with pytest.raises(ValueError, match=r"got differences of 5 .* counts of shape \(n_pairs, 2,"):
        DPOPolicyOptimizer(loss=loss).fit(X[:, 0] - X[:, 1], y)
    fitted = DPOPolicyOptimizer(loss=loss).fit(X, y)
    with pytest.raises(ValueError, match="needs each response of a pair"):
        fitted.margin(sparse.csr_array(X[:, 0] - X[:, 1]))
    X[3, 1] = 0
    with pytest.raises(ValueError, match=r"at least one token, got an empty one in 1 .* number 3"):
        DPOPolicyOptimizer(loss=loss).fit(X, y)
    # Both responses have it as often, so that the difference has it not.
    X, y, reference = counted_pairs(13)
    X[:, :, 2] = 1
    reference[2] = -np.inf
    reference -= np.log(np.exp(reference).sum())
    with pytest.raises(ValueError, match=r"responses with 1 token\(s\) which the reference policy"):
        DPOPolicyOptimizer(language_model(reference), loss=loss).fit(X, y)
    DPOPolicyOptimizer(language_model(reference)).fit(X, y)


@pytest.mark.parametrize("loss", ["cpo", "orpo"])
def test_tokens_that_no_preferred_response_has_have_no_optimum_without_penalty(loss):
    X, y, _ = counted_pairs(14)
    X[np.arange(50), 1 - y, 4] = 0  # the winner never has it
    X[:, :, 0] += 1
    with pytest.warns(ConvergenceWarning, match=r"C=inf and 1 token\(s\) that no preferred"):
        DPOPolicyOptimizer(loss=loss, C=np.inf).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DPOPolicyOptimizer(loss=loss).fit(X, y)


def test_simpo_on_separable_pairs_without_penalty_warns():
    X = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [1.0, 1.0]]])
    with pytest.warns(ConvergenceWarning, match="C=inf on pairs that some policy all gets right"):
        fitted = DPOPolicyOptimizer(loss="simpo", C=np.inf).fit(X, [1, 0])
    assert fitted.optimality_gap_ == np.inf


def test_a_warning_names_the_line_that_asked_for_the_fit():
    X, y, _ = counted_pairs(19)
    with pytest.warns(ConvergenceWarning, match="after 1 steps") as warned:
        DPOPolicyOptimizer(loss="orpo", max_iter=1).fit(X, y)
    assert warned[0].filename == __file__


# Gaps


@pytest.mark.parametrize(("loss", "label_smoothing"), [("sigmoid", 0.1), ("robust", 0.1)])
def test_dpo_of_equal_lengths_misses_nothing_of_rlhf(loss, label_smoothing):
    X, y, reference = counted_pairs(15, lengths=(6, 7))
    fitted = DPOPolicyOptimizer(
        language_model(reference, 6), loss=loss, label_smoothing=label_smoothing, kl_coef=0.4
    ).fit(X, y)
    assert 0 <= fitted.optimality_gap_ < 1e-9
    assert 0 <= fitted.fixed_point_gap_ < 1e-9


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "hinge", "simpo", "cpo", "orpo"])
def test_the_optimality_gap_is_what_the_best_policy_of_the_reward_model_has_more(loss):
    X, y, reference = counted_pairs(16)
    policy = language_model(reference, 4)
    fitted = DPOPolicyOptimizer(policy, loss=loss, kl_coef=0.4, C=3.0).fit(X, y)
    reward = PreferenceRewardModel(C=3.0, tol=1e-12).fit(X, y)
    best = ExactPolicyOptimizer(policy, FrozenEstimator(reward), kl_coef=0.4)
    best.fit(np.full((1, 5), 1.0))

    def value(log_prob):
        kl = np.exp(log_prob) @ (log_prob - reference)
        return 4 * (np.exp(log_prob) @ reward.coef_[0] - 0.4 * kl)

    gap = value(best.token_log_prob_) - value(fitted.token_log_prob_)
    assert gap > 1e-4
    assert_allclose(fitted.optimality_gap_, gap, rtol=1e-6)


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "simpo", "cpo"])
@pytest.mark.parametrize("C", [0.5, np.inf])
def test_the_gap_to_the_own_optimum_is_that_of_the_objective(loss, C):
    X, y, reference = counted_pairs(17, lengths=(6, 7))
    settings = {"loss": loss, "kl_coef": 0.4, "C": C, "tol": 1e-12}
    best = DPOPolicyOptimizer(language_model(reference, 6), **settings).fit(X, y)
    assert best.fixed_point_gap_ < 1e-12
    # Without a penalty the gap is an estimate, good where a fit has nearly arrived.
    max_iter = 1 if np.isfinite(C) else max(1, best.n_iter_ - 2)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        early = DPOPolicyOptimizer(
            language_model(reference, 6), max_iter=max_iter, **settings | {"tol": 0.0}
        ).fit(X, y)
    missed = early.history_[-1]["objective"] - best.history_[-1]["objective"]
    if np.isfinite(C):
        assert early.fixed_point_gap_ >= missed - 1e-12
    else:
        assert_allclose(early.fixed_point_gap_, missed, rtol=0.05, atol=1e-12)


def test_a_length_that_explodes_has_no_optimum():
    pairs = [("a a a a", "a"), ("b", "a a b"), ("b a a", "a"), ("b", "b b a a a")]
    counter = TokenCounter(eos_token="<eos>").fit([text for pair in pairs for text in pair])
    reference = UnigramLM(vectorizer=FrozenEstimator(counter)).fit([a for a, _ in pairs])
    fitted = DPOPolicyOptimizer(FrozenEstimator(reference), kl_coef=0.05, C=10.0)
    assert fitted.fit(pairs, [1, 0, 1, 0]).optimality_gap_ == np.inf
    calm = DPOPolicyOptimizer(FrozenEstimator(reference), kl_coef=50.0).fit(pairs, [1, 0, 1, 0])
    assert 0 < calm.optimality_gap_ < 1


def test_same_fit_twice_is_the_same_bits():
    X, y, _ = counted_pairs(18)
    for loss in ("hinge", "orpo"):
        one, other = (DPOPolicyOptimizer(loss=loss).fit(X, y) for _ in range(2))
        assert_array_equal(one.token_log_prob_, other.token_log_prob_)
