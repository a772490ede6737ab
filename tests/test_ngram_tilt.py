"""Tilted policies of n-grams: against walks of documents, and differences of their rewards."""

import numpy as np
import pytest
from ngram_problems import random_model, random_trie
from walked_policies import WalkedPolicy

from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.trie import Trie, build_trie
from sklearn_codex._policy.ngram_tilt import NGramTilt
from sklearn_codex._policy.tilts import TokenTilt

STEP = 1e-5
# Order, the end-of-sequence token, size of the weights.
KINDS = [(1, 3, 1.0), (2, 3, 1.0), (2, None, 1.0), (3, 3, 1.0), (4, 3, 0.5), (3, 3, 8.0)]


def random_tilt(kind, seed):
    order, eos, scale = kind
    trie = random_trie(seed, order=order, eos=eos)
    model = random_model(trie, seed)
    rng = np.random.default_rng([seed, 3])
    tilt = NGramTilt(trie, model.event_log_prob, float(rng.uniform(0.2, 0.9)))
    weights, direction = rng.normal(size=(2, trie.n_arcs))
    return tilt, scale * tilt.kl_coef * weights, rng.normal(size=trie.n_events), direction


@pytest.fixture(params=[(kind, seed) for kind in KINDS for seed in range(3)], ids=str)
def case(request):
    """A tilt, weights, slopes and a direction."""
    return random_tilt(*request.param)


def random_documents(trie, seed, n=20):
    rng = np.random.default_rng([seed, 5])
    body = [token for token in range(trie.n_tokens) if token != trie.eos]
    end = [] if trie.eos < 0 else [trie.eos]
    return [[*rng.choice(body, rng.integers(0, 9)).tolist(), *end] for _ in range(n)]


def events_of(trie, documents, before=None):
    ids = np.array([token for document in documents for token in document], int)
    starts = np.cumsum([0, *map(len, documents)])
    contexts = None
    if before is not None:
        joined = np.array([token for prompt in before for token in prompt], int)
        contexts = trie.walk(joined, np.cumsum([0, *map(len, before)])).ends
    return trie.events(ids, starts, contexts)


def test_a_bigram_policy_by_hand():
    # After the start a or b, after a only a is known: b is backed off to.
    log_prob = np.log([0.5, 0.5, 0.25, 0.5, 0.5])  # a, b, "a a", "<s> a", "<s> b"
    trie = build_trie(np.array([0, 0, 1]), np.array([0, 2, 3]), 2, order=2)  # of "a a" and "b"
    arcs, contexts = trie.spell(np.array(["a", "b"], object))
    assert (arcs, contexts) == (["a", "b", "a a", "<s> a", "<s> b"], ["", "a", "<s>"])
    model = BackoffModel(trie, log_prob, np.log([1.0, 1.5, 1.0]))
    b = 0.5
    # "a" gains log 2 nats wherever it is, "a a" log 3 more, so that after a: 6 / 4 to 3 / 4.
    weights = b * np.log([2.0, 1.0, 3.0, 1.0, 1.0])
    point = NGramTilt(trie, model.event_log_prob, b).at(weights)
    assert np.exp(point.log_prob[:5]) == pytest.approx([2 / 3, 1 / 3, 2 / 3, 2 / 3, 1 / 3])
    assert np.exp(point.log_prob[5:7]) == pytest.approx([1.0, 1.0])  # (3 / 4) / (9 / 4) of 1 / 3
    # What tokens cost, the logarithm of Z: 3 / 2 after nothing and the start, 9 / 4 after a.
    arcs = b * np.log([2 / 1.5, 1 / 1.5, 6 / 2.25, 2 / 1.5, 1 / 1.5])
    assert point.reward == pytest.approx([*arcs, b * np.log(1.5 / 2.25), 0.0, 0.0, 0.0])


def test_policies_are_distributions(case):
    tilt, weights, _, _ = case
    point = tilt.at(weights)
    model = BackoffModel.of_events(tilt.trie, point.log_prob)
    rows = model.next_log_prob(np.arange(tilt.trie.n_contexts))
    assert np.exp(rows).sum(axis=1) == pytest.approx(1.0, rel=1e-11)
    assert not point.log_prob[tilt.trie.n_arcs + tilt.trie.n_contexts - 1 :].any()


def test_it_is_the_reference_at_no_weights(case):
    tilt, weights, _, _ = case
    point = tilt.at(np.zeros_like(weights))
    assert point.log_prob == pytest.approx(tilt.reference_log_prob, abs=1e-12)
    assert point.reward == pytest.approx(0.0, abs=1e-12)


def test_rewards_of_documents_are_those_of_a_walk(case):
    tilt, weights, _, _ = case
    documents = random_documents(tilt.trie, 0)
    walked = WalkedPolicy(tilt.trie, tilt.reference_log_prob, weights, tilt.kl_coef)
    found = events_of(tilt.trie, documents) @ tilt.at(weights).reward
    assert found == pytest.approx([walked.reward(each) for each in documents], rel=1e-10, abs=1e-11)


def test_rewards_after_prompts_are_those_of_a_walk(case):
    tilt, weights, _, _ = case
    documents = random_documents(tilt.trie, 1)
    prompts = [[t for t in each if t != tilt.trie.eos] for each in random_documents(tilt.trie, 2)]
    walked = WalkedPolicy(tilt.trie, tilt.reference_log_prob, weights, tilt.kl_coef)
    found = events_of(tilt.trie, documents, prompts) @ tilt.at(weights).reward
    own = [walked.reward(*pair) for pair in zip(documents, prompts, strict=True)]
    assert found == pytest.approx(own, rel=1e-10, abs=1e-11)


def test_the_policy_is_what_the_reward_says(case):
    tilt, weights, _, _ = case
    point = tilt.at(weights)
    ratio = point.log_prob - tilt.reference_log_prob
    assert point.reward == pytest.approx(tilt.kl_coef * ratio, rel=1e-10, abs=1e-11)


def test_first_derivatives_are_those_of_rewards(case):
    tilt, weights, slopes, direction = case
    difference = tilt.at(weights + STEP * direction).reward
    difference = (difference - tilt.at(weights - STEP * direction).reward) / (2 * STEP)
    point = tilt.at(weights)
    assert point.jvp(direction) == pytest.approx(difference, rel=1e-6, abs=1e-7)
    scale = np.abs(slopes) @ np.abs(difference)
    assert point.vjp(slopes) @ direction == pytest.approx(slopes @ difference, abs=1e-7 * scale)
    # One is the transpose of the other, to rounding.
    assert point.vjp(slopes) @ direction == pytest.approx(
        slopes @ point.jvp(direction), abs=1e-11 * scale
    )


def test_second_derivatives_are_those_of_first(case):
    tilt, weights, slopes, direction = case
    difference = tilt.at(weights + STEP * direction).vjp(slopes)
    difference = (difference - tilt.at(weights - STEP * direction).vjp(slopes)) / (2 * STEP)
    found = tilt.at(weights).hvp(slopes, direction)
    assert found == pytest.approx(difference, abs=1e-7 * (1 + np.abs(difference).max()))


def test_second_derivatives_are_symmetric(case):
    tilt, weights, slopes, direction = case
    other = np.random.default_rng(4).normal(size=direction.shape)
    point = tilt.at(weights)
    found = [point.hvp(slopes, direction) @ other, point.hvp(slopes, other) @ direction]
    assert found[0] == pytest.approx(found[1], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_of_order_one_it_is_a_tilt_of_tokens(seed):
    rng = np.random.default_rng(seed)
    reference = np.log(rng.dirichlet(np.ones(6)))
    weights, slopes, direction = rng.normal(size=(3, 6))
    own = NGramTilt(Trie.of_root(6), reference, 0.4).at(weights)
    tokens = TokenTilt(reference, 0.4).at(weights)
    assert own.log_prob == pytest.approx(tokens.log_prob, rel=1e-12)
    assert own.reward == pytest.approx(tokens.reward, rel=1e-12)
    assert own.jvp(direction) == pytest.approx(tokens.jvp(direction), rel=1e-12)
    assert own.vjp(slopes) == pytest.approx(tokens.vjp(slopes), rel=1e-12)
    hvps = [point.hvp(slopes, direction) for point in (own, tokens)]
    assert hvps[0] == pytest.approx(hvps[1], rel=1e-10, abs=1e-13)


def test_contexts_that_give_nearly_all_to_others_are_exact():
    # One token is nearly all of the shorter contexts, and pushed out of those that know it.
    tilt, _, slopes, direction = random_tilt((3, 3, 1.0), 0)
    weights = np.zeros(tilt.n_weights)
    weights[0], weights[tilt.trie.n_tokens :] = 10 * tilt.kl_coef, -24 * tilt.kl_coef
    point = tilt.at(weights)
    assert len(tilt._kernel.written)
    documents = random_documents(tilt.trie, 3)
    walked = WalkedPolicy(tilt.trie, tilt.reference_log_prob, weights, tilt.kl_coef)
    found = events_of(tilt.trie, documents) @ point.reward
    assert found == pytest.approx([walked.reward(each) for each in documents], rel=1e-9)
    difference = tilt.at(weights + STEP * direction).reward
    difference = (difference - tilt.at(weights - STEP * direction).reward) / (2 * STEP)
    assert point.jvp(direction) == pytest.approx(difference, rel=1e-6, abs=1e-6)
    second = tilt.at(weights + STEP * direction).vjp(slopes)
    second = (second - tilt.at(weights - STEP * direction).vjp(slopes)) / (2 * STEP)
    assert point.hvp(slopes, direction) == pytest.approx(second, rel=1e-5, abs=1e-5)


def test_what_the_reference_cannot_use_has_no_reward_and_no_slope():
    tilt, weights, slopes, direction = random_tilt((2, 3, 1.0), 1)
    trie = tilt.trie
    reference = tilt.reference_log_prob.copy()
    lost = trie.n_arcs - 1
    owner = trie.arc_context[lost]
    arcs = slice(trie.indptr[owner], trie.indptr[owner + 1])
    reference[lost] = -np.inf
    reference[arcs] -= np.log(np.exp(reference[arcs]).sum())
    reference[trie.n_arcs + owner - 1] = -np.inf
    closed = NGramTilt(trie, reference, tilt.kl_coef)
    point = closed.at(weights)
    assert np.isneginf(point.log_prob[[lost, trie.n_arcs + owner - 1]]).all()
    unseen = np.zeros(trie.n_events)
    unseen[[lost, trie.n_arcs + owner - 1]] = 1.0
    assert point.reward @ unseen == 0.0
    assert not point.vjp(unseen).any()
    assert not point.hvp(unseen, direction).any()
    assert point.jvp(direction) @ unseen == 0.0
    assert np.isfinite(point.vjp(slopes)).all()
