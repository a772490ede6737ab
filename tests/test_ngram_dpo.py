"""DPO of policies over n-grams: its minimum, what it is in the limit, prompts, files, pipelines."""

import copy
import pickle

import contract
import numpy as np
import pytest
from ngram_policy_problems import TEXTS, frozen, language_model
from ngram_problems import EOS, Documents, random_problem, random_trie
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from walked_policies import WalkedPolicy

from sklearn_codex import (
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    NGramCounter,
    NGramLM,
    RLHFPipeline,
    SFTRefiner,
    UnigramLM,
    load_model,
    save_model,
)
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._persistence.fitted import check_fitted
from sklearn_codex._policy.dpo_loss import ImplicitRewardLoss, sigmoid_loss
from sklearn_codex._policy.ngram_tilt import NGramTilt
from sklearn_codex.exact._ngram_search import moved

PAIRS = [
    ("a b", "b a"),
    ("c a b d", "a c"),
    ("b b", "a b"),
    ("a a b", "a c d"),
    ("d a", "a b a"),
    ("c", "a b c b"),
]
LABELS = [1, 1, 0, 1, 0, 0]
PROMPTS = ["a", "c a", "", "b", "d d d", "a"]
PROMPTED = [(prompt, *pair) for prompt, pair in zip(PROMPTS, PAIRS, strict=True)]


def model_on(trie, event_log_prob, length=4):
    """A fitted language model without words that has these probabilities."""
    counts = sparse.csr_array(np.ones((1, trie.n_events)))
    model = NGramLM(trie.order)
    model.vectorizer_, model._read_trie, model.order_ = None, trie, trie.order
    model._backoff = BackoffModel.of_events(trie, event_log_prob)
    model.n_features_in_, model.document_length_ = trie.n_events, length
    model.event_count_, model.n_tokens_, model.n_documents_ = counts.sum(axis=0), 1.0, 1.0
    return FrozenEstimator(model)


def assert_same_bits(one, other):
    for name in ("token_reward_", "reference_log_prob_", "arc_log_prob_", "backoff_log_weight_"):
        assert_array_equal(getattr(one, name), getattr(other, name))
    assert_array_equal(one._initial, other._initial)
    assert one.kl_ == other.kl_


def differences(trie, pairs):
    sides = []
    for side in (0, 1):
        ids = np.array([token for pair in pairs for token in pair[side]])
        starts = np.cumsum([0, *(len(pair[side]) for pair in pairs)])
        sides.append(trie.events(ids, starts))
    return sparse.csr_array(sides[0] - sides[1])


# What it minimises


def naive_loss(trie, reference, weights, pairs, targets, shares, *, kl_coef, C):
    """The loss by its definition, walking from token to token."""
    policy = WalkedPolicy(trie, reference, weights, kl_coef)
    total = 0.5 / C * float(np.dot(weights, weights))
    for (a, b), p, share in zip(pairs, targets, shares, strict=True):
        margin = policy.reward(a) - policy.reward(b)
        total -= share * (p * np.log(expit(margin)) + (1 - p) * np.log(expit(-margin)))
    return total


def random_pairs(trie, seed, n=8):
    rng = np.random.default_rng([seed, 1])
    end = [trie.eos] if trie.eos >= 0 else []
    body = [token for token in range(trie.n_tokens) if token != trie.eos]
    return [
        tuple([*rng.choice(body, rng.integers(1, 6)).tolist(), *end] for _ in "ab")
        for _ in range(n)
    ]


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


# What it is given


def test_text_equals_differences():
    by_text = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS)
    counter = language_model().vectorizer_
    a, b = (counter.transform([pair[side] for pair in PAIRS]) for side in (0, 1))
    by_counts = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(a - b, LABELS)
    assert_allclose(by_counts.token_reward_, by_text.token_reward_, atol=1e-9)
    assert_allclose(by_counts.margin(a - b), by_text.margin(PAIRS), atol=1e-9)
    assert by_counts.score(a - b, LABELS) == pytest.approx(by_text.score(PAIRS, LABELS))
    vectors = np.stack([a.toarray(), b.toarray()], axis=1)
    by_vectors = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(vectors, LABELS)
    assert_allclose(by_vectors.token_reward_, by_text.token_reward_, atol=1e-9)


def test_responses_are_read_after_their_prompts():
    in_rows = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PROMPTED, LABELS)
    counter = language_model().vectorizer_
    a, b = (counter.transform_after(PROMPTS, [pair[side] for pair in PAIRS]) for side in (0, 1))
    beside = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS, prompts=PROMPTS)
    counted = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(a - b, LABELS, prompts=PROMPTS)
    assert_same_bits(beside, in_rows)
    assert_allclose(counted.token_reward_, in_rows.token_reward_, atol=1e-9)
    assert counted.kl_ == pytest.approx(in_rows.kl_, rel=1e-8)
    assert_array_equal(counted._initial, in_rows._initial)
    assert counted.sample(5, random_state=0) == in_rows.sample(5, random_state=0)
    assert_allclose(in_rows.margin(PROMPTED), counted.margin(a - b), atol=1e-9)
    after = in_rows.reward([a for a, _ in PAIRS], prompts=PROMPTS)
    after -= in_rows.reward([b for _, b in PAIRS], prompts=PROMPTS)
    assert_allclose(after, in_rows.margin(PROMPTED), atol=1e-9)
    alone = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS)
    assert np.abs(alone.token_reward_ - in_rows.token_reward_).max() > 0.01
    # A prompt without words is the start of a document.
    empty = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS, prompts=[""] * 6)
    assert_allclose(empty.token_reward_, alone.token_reward_, atol=1e-12)


def test_margins_and_scores_are_read_after_prompts_given_beside():
    fitted = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS, prompts=PROMPTS)
    weight = np.array([1.0, 2.0, 0.5, 3.0, 1.0, 0.2])
    margin = fitted.margin(PAIRS, prompts=PROMPTS)
    assert_allclose(margin, fitted.margin(PROMPTED), atol=1e-12)
    by_hand = fitted.reward([a for a, _ in PAIRS], prompts=PROMPTS)
    by_hand -= fitted.reward([b for _, b in PAIRS], prompts=PROMPTS)
    assert_allclose(margin, by_hand, atol=1e-9)
    lean = 2 * np.array(LABELS) - 1
    assert fitted.history_[-1]["margin"] == pytest.approx(np.mean(lean * margin))
    score = fitted.score(PAIRS, LABELS, sample_weight=weight, prompts=PROMPTS)
    by_hand = np.average(np.log(expit(lean * margin)), weights=weight)
    assert score == pytest.approx(by_hand)
    assert score == pytest.approx(fitted.score(PROMPTED, LABELS, sample_weight=weight))
    with pytest.warns(UserWarning, match="was fitted with prompts, but .* got 6 pairs without"):
        forgotten = fitted.score(PAIRS, LABELS)
    assert forgotten == fitted.score(PAIRS, LABELS, prompts=[""] * 6)
    assert abs(forgotten - fitted.score(PROMPTED, LABELS)) > 1e-3
    with pytest.raises(ValueError, match="got prompts twice"):
        fitted.margin(PROMPTED, prompts=PROMPTS)


def test_cross_validation_hands_prompts_to_fit_and_score():
    search = {"cv": 2, "error_score": "raise"}
    plain = DPOPolicyOptimizer(frozen(), kl_coef=0.5)
    expected = cross_val_score(plain, PROMPTED * 2, LABELS * 2, **search)
    with config_context(enable_metadata_routing=True):
        asking = plain.set_fit_request(prompts=True).set_score_request(prompts=True)
        params = {"prompts": PROMPTS * 2}
        found = cross_val_score(asking, PAIRS * 2, LABELS * 2, params=params, **search)
    assert_allclose(found, expected, rtol=1e-9)


def test_prompts_make_no_difference_to_single_tokens():
    policy = FrozenEstimator(UnigramLM().fit(TEXTS))
    plain = DPOPolicyOptimizer(policy).fit(PAIRS, LABELS)
    for given in (
        DPOPolicyOptimizer(policy).fit(PROMPTED, LABELS),
        DPOPolicyOptimizer(policy).fit(PAIRS, LABELS, prompts=PROMPTS),
    ):
        assert_array_equal(given.token_log_prob_, plain.token_log_prob_)
        rewards = given.reward(["a b", "c"], prompts=["d", ""])
        assert_array_equal(rewards, plain.reward(["a b", "c"]))


def test_of_order_one_it_is_that_of_single_tokens():
    tokens = UnigramLM(vectorizer=NGramCounter(1)).fit(TEXTS)
    ngrams = NGramLM(1, smoothing=1.0, vectorizer=NGramCounter(1)).fit(TEXTS)
    one, other = (
        DPOPolicyOptimizer(FrozenEstimator(m)).fit(PAIRS, LABELS) for m in (tokens, ngrams)
    )
    assert_allclose(other.token_log_prob_, one.token_log_prob_, rtol=1e-10)
    assert other.kl_ == pytest.approx(one.kl_, rel=1e-9)
    # Counted in n-grams of a higher order, it is reduced to tokens.
    counted = DPOPolicyOptimizer(frozen(1, eos=None, counted=3)).fit(PAIRS, LABELS)
    plain = DPOPolicyOptimizer(FrozenEstimator(
        NGramLM(1, vectorizer=NGramCounter(1)).fit(TEXTS))).fit(PAIRS, LABELS)  # fmt: skip
    assert_allclose(counted.arc_log_prob_, plain.token_log_prob_, rtol=1e-8)
    assert_allclose(counted.margin(PAIRS), plain.margin(PAIRS), rtol=1e-8)


def test_a_policy_of_lower_order_than_its_counts():
    lower = DPOPolicyOptimizer(frozen(2, counted=3), kl_coef=0.5).fit(PROMPTED, LABELS)
    plain = DPOPolicyOptimizer(frozen(2), kl_coef=0.5).fit(PROMPTED, LABELS)
    assert lower.trie_.order == 2
    assert_allclose(lower.arc_log_prob_, plain.arc_log_prob_, rtol=1e-7)
    assert_allclose(lower.margin(PROMPTED), plain.margin(PROMPTED), rtol=1e-7)
    assert_allclose(lower.kl_, plain.kl_, rtol=1e-7)
    assert_allclose(lower.reward(TEXTS), plain.reward(TEXTS), atol=1e-8)
    assert lower.coef_.shape == (1, lower.n_features_in_)


def test_without_a_policy_it_starts_from_the_uniform_one():
    fitted = DPOPolicyOptimizer(vectorizer=NGramCounter(2), kl_coef=0.5).fit(PROMPTED, LABELS)
    uniform = BackoffModel.uniform(fitted.trie_).event_log_prob
    assert_array_equal(fitted.reference_log_prob_, uniform)
    lengths = [len(text.split()) for pair in PAIRS for text in pair]
    assert fitted.document_length_ == round(np.mean(lengths))
    margin = fitted.margin(PROMPTED)
    assert_array_equal(margin > 0, np.array(LABELS) == 1)


def test_weights_are_repetitions():
    weight = np.array([1.0, 2.0, 1.0, 3.0, 1.0, 1.0])
    rows = np.repeat(np.arange(6), weight.astype(int))
    weighed = DPOPolicyOptimizer(frozen()).fit(PAIRS, LABELS, sample_weight=weight)
    again = DPOPolicyOptimizer(frozen()).fit([PAIRS[i] for i in rows], [LABELS[i] for i in rows])
    assert_allclose(weighed.token_reward_, again.token_reward_, atol=1e-9)


def test_what_is_learned_of_a_token_holds_where_it_was_never_seen():
    # b is better after a: so it is after d, though less.
    fitted = DPOPolicyOptimizer(frozen(2), C=10.0).fit([("a b", "a c"), ("a c", "a b")], [1, 0])
    b = fitted.vectorizer_.vocabulary_["b"]
    gain = fitted.predict_log_proba(["a", "d"])[:, b]
    gain -= language_model(2).predict_log_proba(["a", "d"])[:, b]
    assert gain[0] > gain[1] > 0.05


# As a model among models


def test_it_is_a_model_of_n_grams(tmp_path):
    fitted = DPOPolicyOptimizer(frozen(), kl_coef=0.5).fit(PAIRS, LABELS)
    assert_allclose(np.exp(fitted.predict_log_proba(["a b", ""])).sum(axis=1), 1.0)
    read = NGramLM.from_arpa(fitted.to_arpa(tmp_path / "m.arpa") and tmp_path / "m.arpa")
    assert_allclose(read.score_samples(TEXTS), fitted.score_samples(TEXTS), atol=1e-6)
    again = DPOPolicyOptimizer(FrozenEstimator(fitted)).fit(PAIRS, LABELS)
    assert_array_equal(again.reference_log_prob_, fitted.backoff_model_.event_log_prob)
    refined = SFTRefiner(FrozenEstimator(fitted), prior_strength=5).fit(["a b"] * 9)
    assert refined.perplexity(["a b"]) < fitted.perplexity(["a b"])
    assert fitted.perplexity(["a b"], prompts=["c"]) > 1
    # Of either kind, one after the other.
    kind = clone(fitted).set_params(policy=FrozenEstimator(UnigramLM().fit(TEXTS)))
    kind.fit(PAIRS, LABELS)
    assert not hasattr(kind, "_backoff")
    assert_array_equal(kind.set_params(policy=frozen()).fit(PAIRS, LABELS).coef_, fitted.coef_)
    assert not hasattr(kind, "token_log_prob_")


def test_pickles_and_model_files(tmp_path):
    fitted = DPOPolicyOptimizer(frozen(2, counted=3), kl_coef=0.5).fit(PROMPTED, LABELS)
    assert_same_bits(pickle.loads(pickle.dumps(fitted)), fitted)
    save_model(fitted, tmp_path / "dpo.skops")
    loaded = load_model(tmp_path / "dpo.skops")
    assert_same_bits(loaded, fitted)
    assert loaded.sample(3, random_state=0) == fitted.sample(3, random_state=0)
    for name, value, message in [
        ("token_reward_", fitted.token_reward_[1:], "token_reward_ of its DPOPolicyOptimizer"),
        ("_trie", language_model().trie_, "has not the n-grams of its policy"),
        ("_initial", np.ones(3), "do not start in its contexts"),
    ]:
        broken = copy.copy(fitted)
        setattr(broken, name, value)
        with pytest.raises(ValueError, match=message):
            check_fitted(broken)
    broken = copy.copy(fitted)
    del broken.token_reward_
    with pytest.raises(ValueError, match="has no attribute token_reward_"):
        check_fitted(broken)


def test_callbacks_see_models_of_n_grams():
    callback = contract.RecordingCallback()
    DPOPolicyOptimizer(frozen()).set_callbacks(callback).fit(PAIRS, LABELS)
    contract.assert_balanced(callback)


RECORDS = [
    *({"text": text} for text in TEXTS),
    *({"prompt": "a", "completion": text} for text in TEXTS[:5]),
    *(
        {"prompt": prompt, "chosen": pair[1 - label], "rejected": pair[label]}
        for prompt, pair, label in zip(PROMPTS, PAIRS, LABELS, strict=True)
    ),
]


def make_loop(**params):
    stages = [("pretrain", NGramLM()), ("sft", SFTRefiner(prior_strength=20.0))]
    stages.append(("policy", DPOPolicyOptimizer(kl_coef=0.5)))
    return RLHFPipeline(stages, vectorizer=NGramCounter(3, eos_token="</s>"), **params)


def test_a_stage_of_the_loop_at_order_three():
    loop = make_loop().fit(RECORDS)
    policy = loop["policy"]
    assert policy.trie_.order == 3
    by_hand = DPOPolicyOptimizer(FrozenEstimator(loop["sft"]), kl_coef=0.5)
    chosen = [(row["prompt"], row["chosen"], row["rejected"]) for row in RECORDS if "chosen" in row]
    turned = [row if i % 2 else (row[0], row[2], row[1]) for i, row in enumerate(chosen)]
    by_hand.fit(turned, [i % 2 for i in range(len(turned))])
    assert_allclose(policy.arc_log_prob_, by_hand.arc_log_prob_, atol=1e-7)
    assert policy.kl_ == pytest.approx(by_hand.kl_, rel=1e-7)
    assert len(loop.sample(2, 0, prompts=["a", "b a"])) == 4
    assert loop.sample(4, 0) == policy.sample(4, 0)
    assert np.isfinite(loop.score(RECORDS))


def test_a_search_over_the_loop():
    grid = {"policy__kl_coef": [0.3, 3.0], "pretrain__order": [1, 3]}
    search = GridSearchCV(make_loop(), grid, cv=2, error_score="raise").fit(RECORDS * 2)
    assert len(set(search.cv_results_["mean_test_score"])) == 4


# What it refuses


def test_errors():
    optimizer = DPOPolicyOptimizer(frozen())
    with pytest.raises(ValueError, match="got prompts twice"):
        optimizer.fit(PROMPTED, LABELS, prompts=PROMPTS)
    with pytest.raises(ValueError, match="a prompt, a str, for each of 6 pairs, got 5"):
        optimizer.fit(PAIRS, LABELS, prompts=PROMPTS[1:])
    with pytest.raises(ValueError, match="got counts of 4 columns, but its frozen"):
        optimizer.fit(np.eye(4), [1, 0, 1, 0])
    with pytest.raises(ValueError, match="response_length=3, but the vocabulary has an end"):
        clone(optimizer).set_params(response_length=3).fit(PAIRS, LABELS)
    others = FrozenEstimator(NGramCounter(2).fit(TEXTS[:4]))
    with pytest.raises(ValueError, match="Count them with the vectorizer of the policy"):
        clone(optimizer).set_params(vectorizer=others).fit(PAIRS, LABELS)


def test_n_grams_that_the_reference_cannot_produce_are_named():
    model = copy.deepcopy(language_model(2))
    names = model.vectorizer_.get_feature_names_out().tolist()
    trie, arc = model.trie_, names.index("a b")
    log_prob = model.backoff_model_.event_log_prob
    change = np.zeros(trie.n_events)
    change[arc] = -np.inf
    model._backoff = BackoffModel.of_events(trie, moved(trie, log_prob, change))
    with pytest.raises(ValueError, match=r"in 1 n-gram\(s\) which .* such as 'a b', so"):
        DPOPolicyOptimizer(FrozenEstimator(model)).fit(PAIRS, LABELS)
    fine = [("b a", "c a"), ("c", "b a")]
    fitted = DPOPolicyOptimizer(FrozenEstimator(model)).fit(fine, [1, 0])
    assert np.isneginf(fitted.arc_log_prob_[arc])
    assert fitted.token_reward_[arc] == 0.0


def test_a_policy_that_hardly_ends_has_no_length():
    trie = random_trie(0)
    change = np.where(trie.arc_token == trie.eos, -40.0, 0.0)
    change = np.append(change, np.zeros(trie.n_events - trie.n_arcs))
    reference = moved(trie, BackoffModel.uniform(trie).event_log_prob, change)
    fitted = DPOPolicyOptimizer(model_on(trie, reference)).fit(
        differences(trie, random_pairs(trie, 0)), [0, 1] * 4
    )
    assert fitted.expected_length_ == fitted.kl_ == fitted.optimality_gap_ == np.inf
    assert fitted.document_length_ == 10_000
    assert fitted.sample(2, random_state=0, max_length=50).shape == (2, trie.n_tokens)


@pytest.mark.parametrize("loss", ["hinge", "simpo", "cpo", "orpo"])
def test_its_relatives_learn_policies_of_n_grams(loss):
    fitted = DPOPolicyOptimizer(frozen(), loss=loss, kl_coef=0.6, C=2.0).fit(PROMPTED, LABELS)
    assert_allclose(np.exp(fitted.predict_log_proba(["a", "c b"])).sum(axis=1), 1.0)
    likelihoods, lengths = (
        np.array([measure(side) for side in (0, 1)])
        for measure in (
            lambda side: fitted.score_samples([pair[side] for pair in PAIRS], prompts=PROMPTS),
            lambda side: [len(pair[side].split()) + 1 for pair in PAIRS],
        )
    )
    before = [
        language_model().score_samples([pair[side] for pair in PAIRS], prompts=PROMPTS)
        for side in (0, 1)
    ]
    means = likelihoods / lengths
    odds = means - np.log1p(-np.exp(means))
    margins = {
        "hinge": 0.6 * (likelihoods - before),
        "simpo": 0.6 * means,
        "cpo": 0.6 * likelihoods,
        "orpo": odds,
    }[loss]
    found = fitted.margin(PROMPTED)
    assert_allclose(found, margins[0] - margins[1], atol=1e-8)
    assert ((found > 0) == np.array(LABELS, bool)).mean() > 0.6
