"""KTO: its loss by hand, where it rests by other computations, and what is refused."""

import pickle
import warnings

import contract
import numpy as np
import pandas as pd
import pytest
from additive_problems import random_policy
from assertions import assert_is_log_distribution, assert_same_distribution
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import check_grad, minimize
from scipy.special import expit, log_softmax
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from sklearn_codex import (
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    KTOPolicyOptimizer,
    NGramCounter,
    NGramLM,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    lab,
)
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._policy.kto_loss import DesirabilityLoss, kto_loss
from sklearn_codex._policy.kto_points import DocumentPoint, NoPoint
from sklearn_codex._policy.kto_rest import find_rest
from sklearn_codex._policy.tilts import TokenTilt
from sklearn_codex.lab import algorithms, problems, rest_point
from sklearn_codex.model_selection import RecordKFold, policy_scorers, record_train_test_split

ANSWERS = ["good answer here", "bad", "a good one", "bad one", "answer", "good", "answer bad"]
THUMBS = [True, False, True, False, True, True, False]


def language_model(log_prob, length=1):
    model = UnigramLM(smoothing=0).fit(np.exp(log_prob)[np.newaxis])
    model.token_log_prob_, model.document_length_ = np.asarray(log_prob), length
    return FrozenEstimator(model)


def random_documents(seed, *, n_documents=80, n_columns=5, scale=1.0):
    """Counts of random documents, labels that a reward makes, weights, and a reference."""
    rng = np.random.default_rng(seed)
    reference = random_policy(n_columns, rng)
    lengths = rng.integers(1, 7, n_documents)
    X = np.array([rng.multinomial(n, np.exp(reference)) for n in lengths]).astype(float)
    reward = X @ (scale * rng.standard_normal(n_columns))
    y = (rng.random(n_documents) < expit(reward - np.median(reward))).astype(int)
    return X, y, rng.exponential(size=n_documents), reference


def random_loss(seed, *, reference_point=0.3):
    X, y, weight, reference = random_documents(seed)
    target = np.where(np.arange(len(y)) % 3 == 0, 0.8 * y + 0.1, y)
    return DesirabilityLoss(
        DifferenceDesign(X), target, weight, TokenTilt(reference, 0.6), C=2.0,
        desirable_weight=1.5, undesirable_weight=0.7, reference_point=reference_point,
    )  # fmt: skip


def descend(X, target, weight, reference, *, b, C, D=1.0, U=1.0, length=1):
    """The policy at which plain gradient descent rests, z being that of the policy at each step."""
    w = np.zeros(X.shape[1])
    rate = 1.0 / (0.25 * weight * X.sum(axis=1)).sum()
    for _ in range(20_000):
        log_prob = log_softmax(reference + w / b)
        prob, ratio = np.exp(log_prob), log_prob - reference
        z = b * length * (prob @ ratio)
        u = b * (X @ ratio) - z
        slope = weight * (U * (1 - target) - D * target) * expit(u) * expit(-u)
        pull = slope @ X
        step = rate * (pull - pull.sum() * prob + w / C)
        w = w - step
        if np.abs(step).max() < 1e-11:
            break
    return log_softmax(reference + w / b)


# The loss


def test_the_loss_by_hand():
    up, down = np.array([2.0, 0.0, 1.0]), np.array([0.0, 0.5, 1.0])
    margin = np.log([3.0, 3.0, 3.0])  # sigma is 3/4
    value, slope, curvature = kto_loss(margin, up, down)
    assert_allclose(value, [2 / 4, 0.5 * 3 / 4, 1.0])
    assert_allclose(slope, [-2 * 3 / 16, 0.5 * 3 / 16, 0.0])
    assert_allclose(curvature, slope * (1 / 4 - 3 / 4))


def test_the_loss_is_that_of_the_laboratory():
    log_ratio, z = np.array([0.4, -1.2]), 0.3
    lab_loss, *slopes = lab.kto_loss(
        log_ratio[:1], log_ratio[1:], [0.0], [0.0], z,
        beta=0.7, desirable_weight=1.3, undesirable_weight=0.6,
    )  # fmt: skip
    margin = 0.7 * (log_ratio - z)
    value, slope, _ = kto_loss(margin, np.array([1.3, 0.0]), np.array([0.0, 0.6]))
    assert_allclose(value.sum(), lab_loss[0])
    assert_allclose(0.7 * slope, np.concatenate(slopes))


@pytest.mark.parametrize("seed", range(4))
def test_derivatives_by_finite_differences(seed):
    loss, rng = random_loss(seed), np.random.default_rng(seed)
    weights, direction = rng.standard_normal((2, 5))
    scale = np.linalg.norm(loss.gradient(weights))
    assert check_grad(loss.value, loss.gradient, weights) < 1e-5 * max(scale, 1)
    step = 1e-6
    ahead, behind = (loss.gradient(weights + sign * step * direction) for sign in (1, -1))
    product = loss.hessian_product(weights, direction)
    assert_allclose(product, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6 * scale)


def test_a_point_moved_is_one_at_that_reference_point():
    loss, weights = random_loss(1), np.array([0.5, -1.0, 0.0, 2.0, 0.3])
    there = random_loss(1, reference_point=1.1)
    moved = loss.point(weights, loss.tilt.at(weights), 1.1)
    assert_allclose(moved.value, there.value(weights))
    assert_allclose(moved.gradient, there.gradient(weights))
    assert_allclose(moved.margins, there.at(weights).margins)
    # Of each document its own.
    points = np.linspace(-1.0, 1.0, 80)
    each = loss.point(weights, loss.tilt.at(weights), points)
    assert_allclose(each.margins, loss.at(weights).margins + 0.3 - points)


# Where it rests


@pytest.mark.parametrize(("b", "C", "seed"), [(0.5, 1.0, 0), (1.0, 0.3, 1), (2.0, 0.1, 2)])
def test_it_rests_where_gradient_descent_rests(b, C, seed):
    X, y, weight, reference = random_documents(seed)
    fitted = KTOPolicyOptimizer(
        language_model(reference, 3), kl_coef=b, C=C, desirable_weight=1.4, undesirable_weight=0.8
    ).fit(X, y, weight)
    expected = descend(X, y, weight, reference, b=b, C=C, D=1.4, U=0.8, length=3)
    assert_allclose(fitted.token_log_prob_, expected, atol=1e-6)
    assert fitted.fixed_point_gap_ <= 1e-8
    ratio = fitted.token_log_prob_ - reference
    assert_allclose(fitted.kl_, 3 * np.exp(fitted.token_log_prob_) @ ratio)
    assert_allclose(fitted.reference_point_, b * fitted.kl_)
    assert_allclose(fitted.reward(X), b * X @ ratio)
    assert_allclose(fitted.margin(X), b * X @ ratio - fitted.reference_point_)


def test_both_conditions_of_the_rest_point_hold():
    X, y, weight, reference = random_documents(5)
    fitted = KTOPolicyOptimizer(language_model(reference, 4), kl_coef=0.7, C=3.0)
    fitted.fit(X, y, weight)
    # The gradient in w = r + a constant of any size, by hand: the constant is where sum w = 0.
    u, prob = fitted.margin(X), np.exp(fitted.token_log_prob_)
    pull = (weight * (1 - 2 * y) * expit(u) * expit(-u)) @ X
    w = -3.0 * (pull - pull.sum() * prob)
    assert_allclose(w - w.mean(), fitted.token_reward_ - fitted.token_reward_.mean(), atol=1e-6)


def test_the_gap_is_that_of_the_field():
    X, y, weight, reference = random_documents(6)
    with pytest.warns(ConvergenceWarning, match=r"fixed_point_gap_ is .*, not tol=1e-08, after 4"):
        early = KTOPolicyOptimizer(language_model(reference), max_iter=4).fit(X, y, weight)
    assert early.fixed_point_gap_ == early.history_[-1]["fixed_point_gap"]
    loss, states = random_loss(6, reference_point=0.0), []

    def kl(policy):
        return 2 * (np.exp(policy.log_prob) @ (policy.log_prob - reference))

    def kl_gradient(policy):
        return 2 * policy.vjp(np.exp(policy.log_prob) * (policy.log_prob - reference)) / 0.6

    own = DocumentPoint(0.6, kl, kl_gradient)
    find_rest(loss, own, tol=1e-8, max_iter=4, callback=states.append)
    assert len(states) == 5

    def norm(state):
        at = state.point.weights
        z = own.at(state.point.policy)
        return np.linalg.norm(random_loss(6, reference_point=z).gradient(at) / loss.scale())

    for state in states:
        assert_allclose(state.fixed_point_gap, norm(state) / norm(states[0]), rtol=1e-9)


def test_a_small_push_brings_back_what_is_rare_where_the_kl_is_cheap():
    share, p, reference = np.ones(3), np.array([0.9, 0.55, 0.8]), np.log([0.45, 0.1, 0.45])
    cheap, dear = (
        KTOPolicyOptimizer(language_model(reference), kl_coef=b, C=np.inf) for b in (0.5, 3.0)
    )
    assert np.exp(cheap.fit(np.eye(3), p, share).token_log_prob_[1]) > 1e-4
    with pytest.warns(ConvergenceWarning, match="such as 1, whose probability tends to 0"):
        dear.fit(np.eye(3), p, share)


@pytest.mark.parametrize("beta", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("weights", [{}, {"desirable_weight": 1.3, "undesirable_weight": 0.8}])
def test_it_reaches_the_rest_point_of_the_laboratory(beta, weights):
    problem = problems["unpaired"]()
    algorithm = algorithms["kto"].having(beta=beta, options=weights)
    expected = np.exp(rest_point(algorithm, problem))
    responses = np.eye(len(expected))
    X, y = np.vstack([responses, responses]), np.repeat([1, 0], len(expected))
    counts = np.concatenate([problem.wins.sum(axis=1), problem.wins.sum(axis=0)])
    fitted = KTOPolicyOptimizer(
        language_model(problem.reference), kl_coef=beta, C=np.inf, tol=1e-10, **weights
    )
    with pytest.warns(ConvergenceWarning, match="C=inf, and nothing holds"):
        fitted.fit(X, y, counts)
    found = np.exp(fitted.token_log_prob_)
    assert np.minimum(found, expected).sum() > 0.999
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("b", "seed"), [(0.5, 0), (1.0, 1), (1.5, 2)])
def test_without_a_penalty_undesirable_responses_lose_all_mass(b, seed):
    """By ascent in the probabilities themselves, which knows nothing of weights or of Newton."""
    rng = np.random.default_rng(seed)
    p = np.array([0.9, 0.8, 0.6, 0.7, 0.2])  # U / (D + U) is 0.5 / (1 + 0.5) = 1/3, and 0.2 below
    share = rng.uniform(1, 1.5, 5)
    prob = rng.dirichlet(np.full(5, 20.0))
    reference = np.log(prob)
    c = share * (p - 0.5 * (1 - p))
    for _ in range(20_000):
        ratio = np.log(prob) - reference
        u = b * (ratio - prob @ ratio)
        push = c * expit(u) * expit(-u)
        prob = np.maximum(prob * np.exp(0.05 * (push / prob - push.sum())), 1e-200)
        prob /= prob.sum()
        if prob[4] < 1e-9 and np.abs(push[:4] / prob[:4] - push.sum()).max() < 1e-9:
            break
    assert (prob[:4] > 1e-3).all()
    fitted = KTOPolicyOptimizer(
        language_model(reference), kl_coef=b, C=np.inf, undesirable_weight=0.5, tol=1e-10
    )
    with pytest.warns(ConvergenceWarning, match="such as 4, whose probability tends to 0"):
        fitted.fit(np.eye(5), p, share)
    assert_allclose(np.exp(fitted.token_log_prob_), prob, atol=1e-5)


def test_tokens_of_no_document_lose_all_mass_too():
    X = np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    with pytest.warns(ConvergenceWarning, match=r"holds 2 token\(s\) or more, such as 2"):
        fitted = KTOPolicyOptimizer(C=np.inf).fit(X, [0.9, 0.8, 0.1])
    assert np.exp(fitted.token_log_prob_[2:]).max() < 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held = KTOPolicyOptimizer(C=10.0).fit(X, [0.9, 0.8, 0.1])
        # All of three kinds and desirable in most cases: nothing has to fall.
        KTOPolicyOptimizer(C=np.inf).fit(X[:, :3], [0.9, 0.8, 0.7])
    assert np.exp(held.token_log_prob_).min() > 1e-3


def test_a_policy_known_beforehand_is_found_from_labels_that_it_explains():
    """With c sigma'(r - z) in proportion to the policy it is the rest point, so labels make it."""
    policy = np.array([0.45, 0.3, 0.15, 0.1])
    reference, b = np.full(4, 0.25), 0.8
    r = b * np.log(policy / reference)
    u = r - policy @ r
    c = policy / (expit(u) * expit(-u))
    share = np.ones(4)
    p = 0.5 + 0.5 * c / (1.3 * c.max())  # so that 2 p - 1 is in proportion to c
    exact = KTOPolicyOptimizer(language_model(np.log(reference)), kl_coef=b, C=np.inf)
    exact.fit(np.eye(4), p, share)
    assert_allclose(np.exp(exact.token_log_prob_), policy, atol=1e-7)
    rng = np.random.default_rng(0)
    drawn = rng.integers(4, size=40_000)
    y = rng.random(len(drawn)) < p[drawn]
    found = KTOPolicyOptimizer(language_model(np.log(reference)), kl_coef=b, C=np.inf)
    found.fit(np.eye(4)[drawn], y)
    assert_allclose(np.exp(found.token_log_prob_), policy, atol=0.03)


def test_labels_of_a_known_reward_are_predicted_and_its_order_is_learned():
    rng = np.random.default_rng(1)
    n, V = 4000, 6
    reference = np.log(rng.dirichlet(np.full(V, 10.0)))
    true = np.linspace(-1.0, 1.0, V)[rng.permutation(V)]
    X = rng.multinomial(5, np.exp(reference), size=n).astype(float)
    log_odds = X @ true - 5 * np.exp(reference) @ true
    y = rng.random(n) < expit(log_odds)
    fitted = KTOPolicyOptimizer(language_model(reference, 5), kl_coef=1.0, C=1.0)
    fitted.fit(X[:2000], y[:2000])
    assert np.corrcoef(fitted.token_reward_, true)[0, 1] > 0.95
    held_out = roc_auc_score(y[2000:], fitted.margin(X[2000:]))
    assert held_out > roc_auc_score(y[2000:], log_odds[2000:]) - 0.01
    assert fitted.score(X[2000:], y[2000:]) > 0.6


def test_apo_zero_is_least_at_its_policy_from_zero():
    X, y, weight, reference = random_documents(8)
    fitted = KTOPolicyOptimizer(
        language_model(reference, 3), loss="apo_zero_unpaired", kl_coef=0.6, C=0.5,
        desirable_weight=0.9,
    ).fit(X, y, weight)  # fmt: skip
    assert fitted.reference_point_ == 0.0

    def value(w):
        r = 0.6 * X @ (log_softmax(reference + w / 0.6) - reference)
        losses = np.where(y == 1, 0.9 * (1 - expit(r)), expit(r))
        return weight @ losses + 0.5 / 0.5 * w @ w

    least = minimize(value, np.zeros(5), method="BFGS", options={"gtol": 1e-9})
    assert_allclose(fitted.token_log_prob_, log_softmax(reference + least.x / 0.6), atol=1e-5)
    assert_allclose(fitted.margin(X), fitted.reward(X))
    assert fitted.kl_ > 0.01


def test_the_policy_is_optimal_for_its_implicit_reward():
    X, y, weight, reference = random_documents(9)
    policy = language_model(reference, length=4)
    direct = KTOPolicyOptimizer(policy, kl_coef=0.5).fit(X, y, weight)
    again = ExactPolicyOptimizer(policy, FrozenEstimator(direct), kl_coef=0.5)
    again.fit(np.full((1, 5), 2.0))
    assert_allclose(again.token_log_prob_, direct.token_log_prob_, atol=1e-9)


def test_more_kl_goes_with_less_kl_coef():
    X, y, weight, reference = random_documents(10)
    kls = [
        KTOPolicyOptimizer(language_model(reference, 3), kl_coef=b).fit(X, y, weight).kl_
        for b in (0.1, 1.0, 10.0, 1000.0)
    ]
    assert kls == sorted(kls, reverse=True)
    assert kls[-1] < 1e-4


def test_a_weight_of_a_kind_is_a_weight_of_its_documents():
    X, y, weight, _ = random_documents(11)
    kinds = KTOPolicyOptimizer(desirable_weight=2.0, undesirable_weight=0.5).fit(X, y, weight)
    rows = KTOPolicyOptimizer(tol=1e-9).fit(X, y, weight * np.where(y == 1, 2.0, 0.5))
    assert_allclose(kinds.token_log_prob_, rows.token_log_prob_, atol=1e-7)


def test_weights_are_repetitions_and_soft_labels_are_both():
    X, y, _, _ = random_documents(12)
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    # A document of no weight has no say in the mean length either.
    settings = {"response_length": 3, "tol": 1e-10}
    weighted = KTOPolicyOptimizer(**settings).fit(X, y, sample_weight=weight)
    repeated = KTOPolicyOptimizer(**settings)
    repeated.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_allclose(weighted.token_log_prob_, repeated.token_log_prob_, atol=1e-8)
    soft = KTOPolicyOptimizer(**settings).fit(X, np.where(y == 1, 0.75, 0.0))
    twice = KTOPolicyOptimizer(**settings).fit(
        np.vstack([X, X]), np.concatenate([y, 0 * y]), np.repeat([0.75, 0.25], len(y)) +
        np.concatenate([0.25 * (1 - y), -0.25 * (1 - y)]),
    )  # fmt: skip
    assert_allclose(soft.token_log_prob_, twice.token_log_prob_, atol=1e-7)
    assert_array_equal(soft.classes_, [0, 1])


# As an estimator


def test_text_equals_counts():
    counter = FrozenEstimator(TokenCounter().fit(ANSWERS))
    counts = counter.transform(ANSWERS)
    text = KTOPolicyOptimizer(vectorizer=counter).fit(ANSWERS, THUMBS)
    for X in (counts, counts.toarray(), sparse.csc_array(counts)):
        fitted = KTOPolicyOptimizer(vectorizer=counter).fit(X, THUMBS)
        assert_allclose(fitted.token_log_prob_, text.token_log_prob_, atol=1e-9)
        assert_allclose(fitted.margin(ANSWERS), text.margin(X), atol=1e-8)
    assert text.document_length_ == 2
    good, bad, empty = text.reward(["good", "bad", ""])
    assert good > empty == 0 > bad


def test_score_is_the_mean_probability_of_labels():
    X, y, weight, reference = random_documents(13)
    fitted = KTOPolicyOptimizer(language_model(reference), kl_coef=0.5).fit(X, y, weight)
    u, u0 = fitted.margin(X), -fitted.reference_point_
    by_hand = np.where(y == 1, expit(u), expit(-u))
    assert_allclose(fitted.score(X, y), by_hand.mean())
    assert_allclose(fitted.score(X, y, weight), np.average(by_hand, weights=weight))
    soft = 0.3 * expit(u) + 0.7 * expit(-u)
    assert_allclose(fitted.score(X, np.full(len(y), 0.3)), soft.mean())
    with pytest.raises(ValueError, match=r"score got the labels \[7\] in y, which are not among"):
        fitted.score(X[:2], [7, 7])
    assert_allclose(
        fitted.score(0 * X, y),
        np.where(y == 1, 1, 0).mean() * expit(u0) + (1 - y).mean() * expit(-u0),
    )  # an empty document
    assert_allclose(fitted.score_samples(X), X @ fitted.token_log_prob_)


def test_history_tells_the_fit():
    X, y, weight, _ = random_documents(14)
    fitted = KTOPolicyOptimizer(kl_coef=0.7, desirable_weight=1.2).fit(X, y, weight)
    first, last = fitted.history_[0], fitted.history_[-1]
    assert [record["iteration"] for record in fitted.history_] == list(range(fitted.n_iter_ + 1))
    assert [first["margin"], first["accuracy"], first["reference_point"]] == [0, 0.5, 0]
    assert_allclose(first["loss"], np.average(np.where(y == 1, 0.6, 0.5), weights=weight))
    assert last["fixed_point_gap"] <= 1e-8
    assert_allclose(last["reference_point"], fitted.reference_point_, atol=1e-6)
    assert last["loss"] == fitted.loss_ < first["loss"]
    u = fitted.margin(X)
    losses = np.where(y == 1, 1.2 * expit(-u), expit(u))
    assert_allclose(fitted.loss_, np.average(losses, weights=weight), atol=1e-7)
    signed = np.where(y == 1, u, -u)
    assert_allclose(last["margin"], np.average(signed, weights=weight), atol=1e-6)
    assert_allclose(last["accuracy"], np.average(signed > 0, weights=weight))


@pytest.mark.parametrize("tol", [1e-8, 0.0])
def test_callbacks_begin_and_end(tol):
    X, y, weight, _ = random_documents(15)
    callback = contract.RecordingCallback()
    fitted = KTOPolicyOptimizer(tol=tol).set_callbacks(callback).fit(X, y, weight)
    contract.assert_balanced(callback)
    begun = [names[1] for names in callback.named("begin")]
    assert begun.count("iteration") in (fitted.n_iter_, fitted.n_iter_ + 1)
    assert fitted.fixed_point_gap_ < 1e-7


def test_a_callback_stops_the_fit():
    callback = contract.StopAtOnce()
    fitted = KTOPolicyOptimizer().set_callbacks(callback).fit(ANSWERS, THUMBS)
    assert fitted.n_iter_ == 1
    contract.assert_balanced(callback)


def test_documents_that_end_by_themselves():
    counter = FrozenEstimator(TokenCounter(eos_token="<eos>").fit(ANSWERS))
    reference = FrozenEstimator(UnigramLM(vectorizer=counter).fit(ANSWERS))
    fitted = KTOPolicyOptimizer(reference, kl_coef=0.6).fit(ANSWERS, THUMBS)
    length = np.exp(-fitted.token_log_prob_[counter.eos_index_])
    assert_allclose(fitted.expected_length_, length)
    ratio = fitted.token_log_prob_ - fitted.reference_log_prob_
    assert_allclose(fitted.kl_, length * (np.exp(fitted.token_log_prob_) @ ratio))
    assert_allclose(fitted.reference_point_, 0.6 * fitted.kl_)
    with pytest.raises(ValueError, match="response_length=3, but the vocabulary has an end"):
        KTOPolicyOptimizer(reference, response_length=3).fit(ANSWERS, THUMBS)


def test_length_is_of_the_policy_else_of_documents():
    X, y, weight, reference = random_documents(16)
    assert KTOPolicyOptimizer().fit(X, y).document_length_ == round(X.sum() / len(X))
    policy = language_model(reference, 7)
    assert KTOPolicyOptimizer(policy).fit(X, y).document_length_ == 7
    longer = KTOPolicyOptimizer(policy, response_length=9).fit(X, y, weight)
    expected = descend(X, y, weight, reference, b=1.0, C=1.0, length=9)
    assert_allclose(longer.token_log_prob_, expected, atol=1e-6)


def test_tokens_the_reference_cannot_produce_stay_out():
    X, y, _, reference = random_documents(17)
    reference[2] = -np.inf
    reference -= np.log(np.exp(reference).sum())
    with pytest.raises(ValueError, match=r"1 token\(s\) which the reference policy cannot .* 2,"):
        KTOPolicyOptimizer(language_model(reference)).fit(X, y)
    X[:, 2] = 0
    fitted = KTOPolicyOptimizer(language_model(reference)).fit(X, y)
    assert_is_log_distribution(fitted.token_log_prob_)
    assert fitted.token_log_prob_[2] == -np.inf
    assert fitted.token_reward_[2] == 0


@pytest.mark.parametrize(
    "labels",
    [
        np.where(THUMBS, 1, -1),
        np.where(THUMBS, 2, 1),
        np.where(THUMBS, "good", "bad"),
        np.where(THUMBS, "thumbs up", "thumbs down"),
        np.where(THUMBS, "yes", "no").astype(object),
        pd.Series(THUMBS, dtype="boolean"),
        np.array(THUMBS, dtype=float),
    ],
    ids=["sign", "1 and 2", "good", "thumbs", "object", "pandas", "float"],
)
def test_two_classes_by_their_order(labels):
    plain = KTOPolicyOptimizer().fit(ANSWERS, THUMBS)
    fitted = KTOPolicyOptimizer().fit(ANSWERS, labels)
    assert_array_equal(fitted.token_log_prob_, plain.token_log_prob_)
    assert fitted.score(ANSWERS, labels) == plain.score(ANSWERS, THUMBS)


def spelled(good, bad):
    return [good if up else bad for up in THUMBS]


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (spelled("desirable", "undesirable"), "'desirable' seems to be the desirable one"),
        (spelled("chosen", "rejected"), r"labels == 'chosen'\), true where a document"),
        (spelled("correct", "wrong"), "the greater one, 'wrong', would be"),
        (spelled("accepted", "zzz"), "'accepted' seems to be"),
        ([1] * 7, "needs desirable and undesirable documents in y, got one class: 1"),
        ([0.0] * 7, "got one class: 0.0. Add documents"),
        ([1, 2, 3, 4, 5, 4, 3], r"5 different labels in y, such as 1, 2, 3.*as y >= 4"),
        ([0.5, 1.5, 0, 1, 0, 1, 0], "4 different labels in y"),
        ([True, None, False, True, False, True, False], r"1 document\(s\) without a label.* 1\."),
        (
            np.array([1, "0", 1, 0, 1, 0, 1], dtype=object),
            "of one kind in y, numbers or text, got 1",
        ),
        (np.array([1, 0, [1], 0, 1, 0, 1], dtype=object), r"got 1 at .* and \[1\] at position 2"),
        ([1, 0, np.nan, 0, 1, 0, 1], "NaN"),
        (None, "requires y to be passed"),
        ([1, 0], "inconsistent numbers of samples"),
        ([[1, 0]] * 7, "1d array"),
    ],
    ids=str,
)
def test_labels_that_are_refused(labels, match):
    with pytest.raises(ValueError, match=match):
        KTOPolicyOptimizer().fit(ANSWERS, labels)


@pytest.mark.parametrize(
    ("good", "bad"),
    [("helpful", "unhelpful"), ("approve", "reject"), ("10", "9"), ("relaxed", "unrelaxed"),
     ("nice", "not nice")],
)  # fmt: skip
def test_words_whose_order_is_not_their_meaning_are_refused(good, bad):
    with pytest.raises(ValueError, match=f"'{good}' seems to be the desirable one"):
        KTOPolicyOptimizer().fit(ANSWERS, spelled(good, bad))


def test_words_of_no_known_meaning_are_taken_by_order_with_a_warning():
    with pytest.warns(UserWarning, match=r"takes 'sad', which is .* y = \(labels == 'happy'\)"):
        KTOPolicyOptimizer().fit(ANSWERS, spelled("sad", "happy"))


def test_a_weight_is_a_repetition_in_the_length_too_and_none_is_no_document():
    docs = ["good good good good good good", "bad", "good", "bad good", "meh"]
    y, weight = [1, 0, 1, 0, 0], [3, 1, 1, 1, 0]
    lm = FrozenEstimator(UnigramLM(smoothing=0).fit(docs[:4]))
    for settings in ({}, {"policy": lm}, {"vectorizer": NGramCounter(order=2)}):
        weighted = KTOPolicyOptimizer(kl_coef=0.7, **settings).fit(docs[:4], y[:4], weight[:4])
        repeated = KTOPolicyOptimizer(kl_coef=0.7, **settings)
        repeated.fit(docs[:1] * 2 + docs[:4], [1, 1, *y[:4]])
        assert weighted.document_length_ == repeated.document_length_
        assert_allclose(weighted.margin(docs[:4]), repeated.margin(docs[:4]), atol=1e-8)
    # A document of no weight changes nothing, not even where the reference has no such token.
    settings = {"policy": lm, "response_length": 2}
    with_it = KTOPolicyOptimizer(**settings).fit([*docs[:4], "bad"], y, weight)
    assert_allclose(
        with_it.margin(docs[:4]),
        KTOPolicyOptimizer(**settings).fit(docs[:4], y[:4], weight[:4]).margin(docs[:4]),
    )
    longer = KTOPolicyOptimizer().fit(np.vstack([np.eye(2), [[9, 9]]]), [1, 0, 1], [1, 1, 0])
    assert longer.document_length_ == 1


def test_where_documents_start_is_weighted():
    lm = FrozenEstimator(NGramLM(order=2).fit(["who the cat", "what a dog ran", "the dog"]))
    docs, y, prompts = ["the cat", "the dog", "a dog"], [1, 0, 1], ["who", "what", "the"]
    fitted = KTOPolicyOptimizer(lm, kl_coef=0.5).fit(docs, y, [3, 1, 0], prompts=prompts)
    repeated = KTOPolicyOptimizer(lm, kl_coef=0.5).fit(
        docs[:1] * 3 + docs[1:2], [1, 1, 1, 0], prompts=["who"] * 3 + ["what"]
    )
    assert_allclose(fitted.reference_point_, repeated.reference_point_, rtol=1e-7)


def test_a_weight_of_pairs_is_a_repetition_in_the_length_too():
    pairs = [("good good good good", "bad"), ("bad", "good")]
    weighted = DPOPolicyOptimizer(kl_coef=0.7).fit(pairs, [1, 0], sample_weight=[5, 1])
    repeated = DPOPolicyOptimizer(kl_coef=0.7).fit(pairs[:1] * 4 + pairs, [1, 1, 1, 1, 1, 0])
    assert weighted.document_length_ == repeated.document_length_
    assert_allclose(weighted.kl_, repeated.kl_, rtol=1e-6)


@pytest.mark.parametrize(
    ("X", "y", "b"),
    [([[3, 2, 0, 2], [5, 0, 2, 1], [1, 2, 0, 1]], [0, 1, 0], 2.0)],
)
def test_a_rest_point_is_found_where_the_best_weights_jump_over_it(X, y, b):
    X, y = np.array(X, dtype=float), np.array(y, dtype=float)
    fitted = KTOPolicyOptimizer(kl_coef=b, C=10.0, response_length=20).fit(X, y)
    assert fitted.fixed_point_gap_ <= 1e-8
    # The field by hand, at the weights that sum to 0.
    prob = np.exp(fitted.token_log_prob_)
    w = fitted.token_reward_ - fitted.token_reward_.mean()
    u = X @ fitted.token_reward_ - b * 20 * (prob @ (np.log(prob) + np.log(4)))
    pull = ((1 - 2 * y) * expit(u) * expit(-u)) @ X
    assert_allclose(pull - pull.sum() * prob + w / 10, 0, atol=1e-7)


def test_a_label_that_is_missing_beside_judged_completions_is_asked_for():
    rows = [*RECORDS, {"completion": "good", "label": None}]
    with pytest.raises(
        ValueError, match=r"no value as label.* judgement is missing.* leave the key"
    ):
        make_loop().fit(rows)
    with pytest.warns(UserWarning, match="takes completions without a label for demonstrations"):
        make_loop().fit(pd.DataFrame(rows))


def test_scorers_of_policies_look_at_labels():
    judged = [row for row in RECORDS if "label" in row]
    loop = RLHFPipeline([("policy", KTOPolicyOptimizer(kl_coef=0.7))]).fit(judged)
    weighed = [row | {"sample_weight": 1.0 + number} for number, row in enumerate(judged)]
    expected = loop["policy"].score(
        [row["completion"] for row in judged], [row["label"] for row in judged],
        np.arange(1.0, 1.0 + len(judged)),
    )  # fmt: skip
    assert policy_scorers["unpaired_score"](loop, weighed) == pytest.approx(expected)
    pairs = [{"chosen": "good", "rejected": "bad", "sample_weight": 3.0},
             {"response_a": "bad one", "response_b": "answer", "label": 1}]  # fmt: skip
    good, bad, one, answer = loop["policy"].reward(["good", "bad", "bad one", "answer"])
    loss = (3 * np.logaddexp(0, bad - good) + np.logaddexp(0, answer - one)) / 4
    assert policy_scorers["neg_policy_log_loss"](loop, pairs) == pytest.approx(-loss)
    with pytest.raises(TypeError, match="such as KTOPolicyOptimizer"):
        policy_scorers["unpaired_score"](RLHFPipeline([("lm", UnigramLM())]).fit(RECORDS), judged)


def test_errors():
    X, y, _, reference = random_documents(18)
    policy = language_model(reference)
    with pytest.raises(NotFittedError, match="needs a fitted policy"):
        KTOPolicyOptimizer(UnigramLM()).fit(X, y)
    with pytest.raises(ValueError, match="fitted on counts and knows columns, no words"):
        KTOPolicyOptimizer(policy).fit(ANSWERS, THUMBS)
    with pytest.raises(ValueError, match=r"documents of 4 columns, but its policy"):
        KTOPolicyOptimizer(policy).fit(X[:, :4], y)
    with pytest.raises(ValueError, match="Negative values"):
        KTOPolicyOptimizer().fit(-X, y)
    for name in ("kl_coef", "desirable_weight", "undesirable_weight", "C"):
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            KTOPolicyOptimizer(**{name: 0.0}).fit(X, y)
    with pytest.raises(ValueError, match="'loss' parameter"):
        KTOPolicyOptimizer(loss="bco").fit(X, y)
    with pytest.raises(ValueError, match="sample_weight"):
        KTOPolicyOptimizer().fit(X, y, -np.ones(len(y)))


def test_documents_without_a_token_teach_nothing():
    fitted = KTOPolicyOptimizer().fit(np.zeros((2, 3)), [0, 1])
    assert_allclose(fitted.token_log_prob_, -np.log(3))
    assert fitted.fixed_point_gap_ == 0


def test_pickles():
    fitted = KTOPolicyOptimizer().fit(ANSWERS, THUMBS)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_same_distribution(loaded.token_log_prob_, fitted.token_log_prob_)
    assert_array_equal(loaded.margin(ANSWERS), fitted.margin(ANSWERS))


def test_the_search_without_a_reference_point_is_one_minimum():
    loss = random_loss(3, reference_point=0.0)
    state = find_rest(loss, NoPoint(), tol=1e-9, max_iter=100, callback=lambda state: None)
    assert state.converged
    assert_allclose(loss.gradient(state.point.weights), 0, atol=1e-8)


# In pipelines

RECORDS = [{"text": text} for text in ANSWERS] + [
    {"prompt": f"question {number % 7}", "completion": text, "label": up}
    for number, (text, up) in enumerate(zip(3 * ANSWERS, 3 * THUMBS, strict=True))
]


def make_loop(**settings):
    return RLHFPipeline(
        [
            ("pretrain", UnigramLM()),
            ("sft", SFTRefiner(prior_strength=20.0)),
            ("policy", KTOPolicyOptimizer(kl_coef=0.5, **settings)),
        ]
    )


@pytest.mark.parametrize("as_given", [list, pd.DataFrame], ids=["list", "frame"])
def test_a_pipeline_of_unpaired_records(as_given):
    good = [{"completion": text} for text, up in zip(ANSWERS, THUMBS, strict=True) if up]
    if as_given is list:
        loop = make_loop().fit(RECORDS + good)
    else:
        with pytest.warns(UserWarning, match="completions without a label"):
            loop = make_loop().fit(as_given(RECORDS + good))
    by_hand = KTOPolicyOptimizer(FrozenEstimator(loop["sft"]), kl_coef=0.5)
    by_hand.fit(3 * ANSWERS, 3 * THUMBS)
    assert_allclose(loop["policy"].token_log_prob_, by_hand.token_log_prob_, atol=1e-9)
    assert_array_equal(loop["policy"].reference_log_prob_, loop["sft"].token_log_prob_)
    good, bad = loop["policy"].reward(["good", "bad"])
    assert good > 0 > bad
    assert np.isfinite(loop.score(as_given(RECORDS)))


def test_weights_and_soft_labels_of_records():
    rows = [
        {"completion": text, "label": 0.9 if up else 0.2, "sample_weight": 1.0 + number}
        for number, (text, up) in enumerate(zip(ANSWERS, THUMBS, strict=True))
    ]
    loop = RLHFPipeline([("policy", KTOPolicyOptimizer())]).fit(rows)
    by_hand = KTOPolicyOptimizer().fit(ANSWERS, np.where(THUMBS, 0.9, 0.2), np.arange(1.0, 8.0))
    assert_allclose(loop["policy"].token_log_prob_, by_hand.token_log_prob_, atol=1e-9)


def test_a_pipeline_is_searched_and_split_by_prompt():
    loop = RLHFPipeline([("pretrain", UnigramLM()), ("policy", KTOPolicyOptimizer())])
    scores = cross_val_score(loop, RECORDS, cv=RecordKFold(3))
    assert np.isfinite(scores).all()
    search = GridSearchCV(loop, {"policy__kl_coef": [0.5, 50.0]}, cv=RecordKFold(3))
    search.fit(RECORDS)
    assert search.best_params_["policy__kl_coef"] in (0.5, 50.0)
    for train, test in RecordKFold(3).split(RECORDS):
        prompts = [{RECORDS[row].get("prompt") for row in rows} - {None} for rows in (train, test)]
        assert all(prompts)
        assert not prompts[0] & prompts[1]
    train, test = record_train_test_split(RECORDS, test_size=0.3, random_state=0)
    assert {row.get("prompt") for row in train} & {row.get("prompt") for row in test} == {None}


def test_a_search_over_documents():
    X, y, _, reference = random_documents(19, n_documents=200)
    search = GridSearchCV(
        KTOPolicyOptimizer(language_model(reference, 3)), {"C": [1e-5, 0.3]}, cv=3
    ).fit(X, y)
    assert search.best_params_["C"] == 0.3
    assert search.best_score_ > 0.55


def test_a_pipeline_without_unpaired_records_says_what_it_needs():
    rows = [{"text": "a"}, {"completion": "b"}]
    with pytest.raises(ValueError, match=r"needs unpaired records, .*completion, label \(and"):
        make_loop().fit(rows)
