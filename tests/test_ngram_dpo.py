"""DPO of policies over n-grams: its minimum, and what it is in the limit."""

import numpy as np
import pytest
from ngram_pairs import LABELS, PAIRS, PROMPTED, PROMPTS, differences, model_on, random_pairs
from ngram_policy_problems import TEXTS, frozen, language_model
from ngram_problems import EOS, Documents, random_problem, random_trie
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.frozen import FrozenEstimator
from walked_policies import WalkedPolicy

from sklearn_codex import DPOPolicyOptimizer, ExactPolicyOptimizer, NGramCounter, NGramLM
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._policy.dpo_loss import ImplicitRewardLoss, sigmoid_loss
from sklearn_codex._policy.ngram_tilt import NGramTilt
from sklearn_codex.exact import LengthExplosionWarning

ENDLESS = [("a b", "b"), ("b a", "b b"), ("a", "b")]


@pytest.mark.parametrize("kl_coef", [1e-2, 1e-8])
def test_a_policy_that_hardly_ever_ends_is_told_of(kl_coef):
    vectorizer = NGramCounter(2, eos_token="</s>", unk_token=None)
    base = FrozenEstimator(NGramLM(2, vectorizer=vectorizer).fit(["a b", "b a a", "b"]))
    with pytest.warns(LengthExplosionWarning, match=r"hardly ever end: expected_length_=.* Raise"):
        model = DPOPolicyOptimizer(base, kl_coef=kl_coef).fit(ENDLESS, [1, 1, 0])
    assert model.expected_length_ > 1e9
    # Documents that are long, and end, are not.
    assert 10 < DPOPolicyOptimizer(base, kl_coef=0.1).fit(ENDLESS, [1, 1, 0]).expected_length_ < 20


# What it minimises


def naive_loss(trie, reference, weights, pairs, targets, shares, *, kl_coef, C):
    """The loss by its definition, walking from token to token."""
    policy = WalkedPolicy(trie, reference, weights, kl_coef)
    total = 0.5 / C * float(np.dot(weights, weights))
    for (a, b), p, share in zip(pairs, targets, shares, strict=True):
        margin = policy.reward(a) - policy.reward(b)
        total -= share * (p * np.log(expit(margin)) + (1 - p) * np.log(expit(-margin)))
    return total


@pytest.mark.parametrize(("order", "eos"), [(2, EOS), (2, None), (3, EOS)])
def test_it_finds_the_minimum_of_the_loss_by_its_definition(order, eos):
    trie = random_trie(order, order=order, eos=eos, n_documents=4, longest=5)
    rng = np.random.default_rng(order)
    reference = np.log(rng.dirichlet(np.ones(4)))
    reference = BackoffModel.of_tokens(reference).on(trie)
    # Not the same after every context: moved by random tilts.
    reference = NGramTilt(trie, reference.event_log_prob, 1.0)
    reference = reference.at(rng.normal(size=trie.n_arcs)).log_prob
    pairs = random_pairs(trie, order)
    targets, shares = rng.choice([0.0, 0.3, 1.0], len(pairs)), rng.exponential(size=len(pairs))
    given = {"kl_coef": 0.6, "C": 1.7}
    fitted = DPOPolicyOptimizer(model_on(trie, reference), tol=1e-12, **given)
    fitted.fit(differences(trie, pairs), targets, sample_weight=shares)

    def loss(weights):
        return naive_loss(trie, reference, weights, pairs, targets, shares, **given)

    found = minimize(loss, np.zeros(trie.n_arcs), method="BFGS", options={"gtol": 1e-7}).x
    walked = WalkedPolicy(trie, reference, found, 0.6)
    margins = [walked.reward(a) - walked.reward(b) for a, b in pairs]
    assert_allclose(fitted.margin(differences(trie, pairs)), margins, atol=1e-5)
    rows = [walked.row(context) for context in walked.number]
    own = fitted.backoff_model_.next_log_prob(np.array([*walked.number.values()]))
    assert_allclose(own, rows, atol=1e-5)
    assert fitted.history_[-1]["objective"] == pytest.approx(loss(found), rel=1e-9)


@pytest.mark.parametrize("order", [2, 3])
def test_the_gradient_of_the_loss_by_its_definition_is_zero_where_it_rests(order, monkeypatch):
    weights = []
    at = NGramTilt.at
    monkeypatch.setattr(NGramTilt, "at", lambda tilt, w: weights.append(w) or at(tilt, w))
    trie = random_trie(order + 5, order=order)
    reference = random_problem(order + 5, order=order).reference_log_prob
    pairs = random_pairs(trie, order)
    targets, shares = np.tile([1.0, 0.0, 0.4, 1.0], 2), np.linspace(0.5, 2.0, 8)
    given = {"kl_coef": 0.4, "C": 3.0}
    fitted = DPOPolicyOptimizer(model_on(trie, reference), tol=1e-13, **given)
    fitted.fit(differences(trie, pairs), targets, sample_weight=shares)
    rest = next(w for w in weights[::-1] if np.allclose(at(NGramTilt(trie, reference, 0.4), w)
                .reward, fitted.token_reward_, rtol=0, atol=1e-14))  # fmt: skip

    def loss(w):
        return naive_loss(trie, reference, w, pairs, targets, shares, **given)

    step = 1e-5 * np.eye(trie.n_arcs)
    gradient = [(loss(rest + move) - loss(rest - move)) / 2e-5 for move in step]
    first = [(loss(move) - loss(-move)) / 2e-5 for move in step]
    assert np.linalg.norm(gradient) < 1e-8 * np.linalg.norm(first) + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_of_the_loss(seed):
    trie = random_trie(seed)
    rng = np.random.default_rng(seed)
    tilt = NGramTilt(trie, random_problem(seed).reference_log_prob, 0.5)
    loss = ImplicitRewardLoss(
        DifferenceDesign(differences(trie, random_pairs(trie, seed))),
        rng.uniform(size=8), rng.exponential(size=8), tilt, C=2.0, pair_loss=sigmoid_loss,
    )  # fmt: skip
    weights, direction = rng.normal(size=(2, trie.n_arcs))
    ahead, behind = (weights + sign * 1e-6 * direction for sign in (1, -1))
    slope = (loss.value(ahead) - loss.value(behind)) / 2e-6
    assert loss.gradient(weights) @ direction == pytest.approx(slope, rel=1e-6)
    bend = (loss.gradient(ahead) - loss.gradient(behind)) / 2e-6
    assert_allclose(loss.hessian_product(weights, direction), bend, rtol=1e-5, atol=1e-6)


# What it is


@pytest.mark.parametrize("loss", ["sigmoid", "robust", "ipo"])
def test_the_policy_is_optimal_for_its_implicit_reward(loss):
    direct = DPOPolicyOptimizer(frozen(), kl_coef=0.5, loss=loss).fit(PAIRS, LABELS)
    again = ExactPolicyOptimizer(frozen(), FrozenEstimator(direct), kl_coef=0.5).fit(TEXTS)
    # Where nothing leads, as after <unk>, there may be any reward.
    assert_allclose(again.arc_log_prob_, direct.arc_log_prob_, atol=1e-9)
    assert_allclose(again.kl_, direct.kl_, rtol=1e-9)
    assert_allclose(again.expected_length_, direct.expected_length_, rtol=1e-9)
    ratio = direct.score_samples(TEXTS) - language_model().score_samples(TEXTS)
    assert_allclose(direct.reward(TEXTS), 0.5 * ratio, atol=1e-10)


@pytest.mark.parametrize("kl_coef", [0.7, 2.0])
@pytest.mark.parametrize("order", [2, 3])
def test_where_all_is_known_it_is_the_optimum_of_the_true_reward(order, kl_coef):
    # Every document is compared to one of them, by annotators without number: what is learned is
    # the reward itself, which adds over n-grams, so the policy is the best one for it.
    problem = random_problem(
        order, order=order, kl_coef=kl_coef, reward_coef=1.0, penalty=None, scale=0.3
    )
    trie, documents = problem.trie, Documents(problem.trie, 6)
    events = documents.events[documents.ended]
    true = events @ problem.token_reward
    X = sparse.csr_array(events[1:] - events[0])
    fitted = DPOPolicyOptimizer(
        model_on(trie, problem.reference_log_prob), kl_coef=kl_coef, C=1e7, tol=1e-12
    ).fit(X, expit(true[1:] - true[0]))
    assert problem.value(problem.optimum()) - problem.value(problem.start) > 0.01
    gap = problem.gap(fitted.backoff_model_.event_log_prob)
    assert gap < 1e-6 * problem.gap(problem.start)
    assert_allclose(fitted.kl_, problem.kl(problem.optimum()), rtol=1e-3)


def test_with_more_pairs_it_comes_nearer_to_the_optimum_of_the_true_reward():
    # Pairs drawn from the reference and labelled by Bradley and Terry: the gap falls as 1 / n.
    problem = random_problem(3, kl_coef=1.0, reward_coef=1.0, penalty=None, scale=0.4)
    trie, reference = problem.trie, problem.reference_log_prob
    gaps = {}
    for n in (500, 8000):
        for seed in range(6):
            rng = np.random.RandomState(seed)
            drawn = [problem.sample(reference, n, rng, max_length=200) for _ in "ab"]
            X = sparse.csr_array(drawn[0].events - drawn[1].events)
            y = rng.random_sample(n) < expit(X @ problem.token_reward)
            fitted = DPOPolicyOptimizer(model_on(trie, reference), C=10.0)
            fitted.fit(X, y.astype(int))
            gaps.setdefault(n, []).append(problem.gap(fitted.backoff_model_.event_log_prob))
    start = problem.gap(reference)
    few, many = (np.median(gaps[n]) for n in (500, 8000))
    assert many < few / 8
    assert max(gaps[8000]) < 0.15 * start


def test_kl_and_length_are_those_of_documents_drawn():
    fitted = DPOPolicyOptimizer(frozen(), kl_coef=0.3).fit(PROMPTED, LABELS)
    drawn = fitted.sample(40_000, random_state=0)
    lengths = np.array([len(text.split()) + 1 for text in drawn])
    assert lengths.mean() == pytest.approx(fitted.expected_length_, abs=5 * lengths.std() / 200)
    assert fitted.document_length_ == round(fitted.expected_length_)
    # Half of all prompts start no document of their own: the start, and four contexts, count.
    prompts = np.repeat(PROMPTS, 4000).tolist()
    drawn = fitted.sample(4000, prompts=PROMPTS, random_state=1)
    kept = [row for row, text in enumerate(drawn) if text]
    ratio = fitted.reward([drawn[row] for row in kept], prompts=[prompts[row] for row in kept])
    ratio = np.append(ratio / 0.3, np.zeros(0))
    empty = len(drawn) - len(kept)
    if empty:
        counts = fitted.vectorizer_.transform_after(
            [prompts[row] for row, text in enumerate(drawn) if not text], [""] * empty
        )
        ratio = np.append(ratio, fitted.reward(counts) / 0.3)
    error = ratio.std() / np.sqrt(len(ratio))
    assert ratio.mean() == pytest.approx(fitted.kl_, abs=5 * error)


def test_documents_of_fixed_length():
    fitted = DPOPolicyOptimizer(frozen(eos=None), kl_coef=0.4, response_length=5)
    fitted.fit(PAIRS, LABELS)
    assert fitted.document_length_ == fitted.expected_length_ == 5
    assert {len(text.split()) for text in fitted.sample(50, random_state=0)} == {5}
    drawn = fitted.sample(20_000, random_state=0)
    ratio = fitted.reward(drawn) / 0.4
    assert ratio.mean() == pytest.approx(fitted.kl_, abs=5 * ratio.std() / np.sqrt(20_000))
    by_itself = DPOPolicyOptimizer(frozen(eos=None), kl_coef=0.4).fit(PAIRS, LABELS)
    assert by_itself.document_length_ == language_model(eos=None).document_length_
