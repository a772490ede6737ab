"""Policies over n-grams that look at the position, against all documents, and in the long run."""

import numpy as np
import pytest
import scipy.sparse as sp
from assertions import assert_frequencies_agree
from ngram_problems import (
    Documents,
    dense_matrix,
    dense_rows,
    random_policy,
    random_problem,
    random_values,
    safe_problem,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex.exact import NGramObjective, arc_reward, bigram_model

SEEDS = range(8)
LENGTHS = [1, 2, 4]
ends = pytest.mark.parametrize("eos", [3, None])


def cut_problem(seed, length, **settings):
    return random_problem(seed, **{"max_length": length, "missing_eos_penalty": 1.5} | settings)


def random_policies(problem, seed, spread=1.0):
    """A policy (max_length, E), another one at each position."""
    positions = range(problem.max_length)
    return np.array([random_policy(problem, 100 * seed + h, spread) for h in positions])


def follow(problem, policy):
    """All documents, their log-probabilities (n,), and the context before each of their tokens."""
    documents, tables = (
        Documents(problem.trie, problem.max_length),
        [dense_rows(problem.trie, row) for row in policy],
    )
    log_prob, contexts = np.zeros(len(documents.tokens)), []
    for number, document in enumerate(documents.tokens):
        passed = [problem.trie.first_context]
        for (rows, following), token in zip(tables, document, strict=False):
            log_prob[number] += rows[passed[-1], token]
            passed.append(int(following[passed[-1], token]))
        contexts.append(passed[:-1])
    return documents, log_prob, contexts


def shaped(problem, documents, log_prob):
    """Reward less prices (n,) of documents, that of their own probability included."""
    sums = documents.sums
    gain = problem.reward_coef * sums(problem.token_reward)
    gain -= problem.kl_coef * (log_prob - sums(problem.reference_log_prob))
    gain -= problem.kl_coef * sums(problem.penalty) + problem.entropy_coef * log_prob
    return gain - problem.missing_eos_penalty * ~documents.ended


@ends
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_of_a_policy_by_position_are_those_of_all_its_documents(seed, length, eos):
    problem = cut_problem(seed, length, eos=eos, entropy_coef=0.2 * (seed % 2))
    policy = random_policies(problem, seed, 2.0)
    documents, log_prob, _ = follow(problem, policy)
    prob = np.exp(log_prob)
    assert prob.sum() == pytest.approx(1.0, abs=1e-12)
    assert_allclose(problem.occurrences(policy, 3), 3 * prob @ documents.events, atol=1e-11)
    expected = prob @ shaped(problem, documents, log_prob)
    assert problem.value(policy) == pytest.approx(expected, abs=1e-11)
    reference = documents.log_prob(problem.reference_log_prob)
    assert problem.kl(policy) == pytest.approx(prob @ (log_prob - reference), abs=1e-11)
    assert problem.entropy(policy) == pytest.approx(-prob @ log_prob, abs=1e-11)
    assert problem.expected_length(policy) == pytest.approx(prob @ documents.lengths, abs=1e-12)
    cut = prob[documents.n_ended :].sum()
    assert problem.missing_eos_rate(policy) == pytest.approx(cut, abs=1e-12)
    values = np.random.default_rng(seed).normal(size=problem.trie.n_events)
    expected = prob @ documents.sums(values)
    assert problem.expected_sum(policy, values) == pytest.approx(expected, abs=1e-11)
    marginals = np.zeros((length, problem.trie.n_tokens))
    for share, document in zip(prob, documents.tokens, strict=True):
        marginals[np.arange(len(document)), list(document)] += share
    assert_allclose(problem.marginals(policy), marginals, atol=1e-12)


@ends
@pytest.mark.parametrize("seed", SEEDS)
def test_gap_by_position_is_what_the_best_of_all_documents_gain_more(seed, eos):
    problem = cut_problem(seed, 4, eos=eos)
    policy = random_policies(problem, seed, 0.1 + 0.25 * seed)
    documents, log_prob, _ = follow(problem, policy)
    gap = documents.best_value(problem) - np.exp(log_prob) @ shaped(problem, documents, log_prob)
    assert problem.gap(policy) == pytest.approx(gap, abs=1e-11)
    best = problem.time_dependent_optimum()
    assert problem.value(best.log_prob) == pytest.approx(best.value, abs=1e-12)
    assert problem.gap(best.log_prob) <= 1e-15
    assert problem.expected_length(best.log_prob) == pytest.approx(best.expected_length, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_gap_by_position_does_not_cancel_next_to_the_optimum(seed):
    problem = cut_problem(seed, 5)
    best, direction = problem.time_dependent_optimum().log_prob, random_values(problem.trie, seed)
    gaps = [
        problem.gap(np.array([problem.moved(row, step * direction) for row in best]))
        for step in (1e-3, 1e-7)
    ]
    assert_allclose(gaps[1] / gaps[0], 1e-8, rtol=0.02)


@ends
@pytest.mark.parametrize("order", [1, 3])
def test_one_policy_is_that_of_every_position(order, eos):
    problem = cut_problem(2, 5, order=order, eos=eos)
    policy = random_policy(problem, 5)
    everywhere = np.tile(policy, (5, 1))
    for name in ("value", "kl", "entropy", "expected_length", "expected_reward", "occurrences"):
        expected = getattr(problem, name)(policy)
        assert_allclose(getattr(problem, name)(everywhere), expected, rtol=1e-12, err_msg=name)
    for name in ("marginals", "state_values", "gradient_by_position"):
        expected = getattr(problem, name)(policy)
        assert_allclose(getattr(problem, name)(everywhere), expected, atol=1e-13, err_msg=name)
    # To the best of all, also for one context, where the best that is one for all is known.
    expected = problem.optimal_value() - problem.value(policy)
    assert problem.gap(everywhere) == pytest.approx(expected, abs=1e-12)


@ends
@pytest.mark.parametrize("seed", SEEDS)
def test_state_values_are_what_is_still_to_come(seed, eos):
    problem = cut_problem(seed, 4, eos=eos, entropy_coef=0.1)
    policy = random_policies(problem, seed)
    values = problem.state_values(policy)
    start = problem.trie.first_context
    assert values[0, start] == pytest.approx(problem.value(policy), abs=1e-12)
    # Documents that begin in a context are what is left of those that came to it.
    for context in range(problem.trie.n_contexts):
        initial = np.eye(problem.trie.n_contexts)[context]
        rest = problem.having(max_length=3, initial=initial)
        assert values[1, context] == pytest.approx(rest.value(policy[1:]), abs=1e-12)


@ends
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("of_backoff", [False, True])
def test_state_values_are_infinite_where_a_policy_may_do_the_impossible(seed, eos, of_backoff):
    problem = cut_problem(seed, 3, eos=eos)
    trie, rng = problem.trie, np.random.default_rng(seed)
    policy = random_policies(problem, seed)
    penalty = problem.penalty.copy()
    if of_backoff:
        banned = trie.n_arcs + int(rng.integers(trie.n_contexts - 1))
    else:
        banned = int(rng.integers(trie.n_tokens, trie.n_arcs))
    penalty[banned] = np.inf
    priced = problem.having(penalty=penalty)
    policy[2, banned] += 0.0 if seed % 2 else -np.inf  # a ban of the policy's own at the end
    policy[2] = problem.moved(policy[2], np.zeros(trie.n_events))
    values, before = priced.state_values(policy), problem.state_values(policy)
    # By the rows, token by token.
    impossible = np.where(np.isinf(penalty), -np.inf, 0.0)
    is_well = dense_rows(trie, impossible)[0] > -np.inf
    lost = np.zeros((4, trie.n_contexts), bool)
    for position in (2, 1, 0):
        rows, following = dense_rows(trie, policy[position])
        leads = np.append(lost[position + 1], False)[following]
        lost[position] = ((rows > -np.inf) & (~is_well | leads)).any(axis=1)
    assert lost.any()
    assert_array_equal(np.isneginf(values), lost[:3])
    assert_allclose(values[~lost[:3]], before[~lost[:3]], atol=1e-13)
    assert np.isneginf(priced.value(policy)) == lost[0, trie.first_context]


@ends
@pytest.mark.parametrize("seed", SEEDS)
def test_gradient_by_position_is_that_of_differences(seed, eos):
    problem = cut_problem(seed, 3, eos=eos, entropy_coef=0.1)
    policy, rng, step = random_policies(problem, seed), np.random.default_rng(seed), 1e-5
    gradient = problem.gradient_by_position(policy)
    for _ in range(5):
        direction = np.array([random_values(problem.trie, rng.integers(99)) for _ in policy])
        ends = [
            problem.value(np.array(list(map(problem.moved, policy, sign * step * direction))))
            for sign in (1, -1)
        ]
        assert np.sum(gradient * direction) == pytest.approx(
            (ends[0] - ends[1]) / (2 * step), abs=1e-8
        )
    best = problem.time_dependent_optimum().log_prob
    assert_allclose(problem.gradient_by_position(best), 0.0, atol=1e-13)
    one = policy[0]
    total = problem.gradient_by_position(one).sum(axis=0)
    assert_allclose(total, problem.gradient(one), atol=1e-13)


@ends
def test_samples_have_the_probabilities_of_the_policy(eos):
    problem = cut_problem(1, 3, eos=eos)
    policy = random_policies(problem, 1, 0.5)
    documents, log_prob, _ = follow(problem, policy)
    drawn = problem.sample(policy, 20_000, np.random.RandomState(0))
    number = {document: i for i, document in enumerate(documents.tokens)}
    split = np.split(drawn.tokens, drawn.starts[1:])
    observed = np.bincount([number[tuple(tokens.tolist())] for tokens in split])
    observed = np.append(observed, np.zeros(len(number) - len(observed), int))
    rare = np.exp(log_prob) * len(split) < 10
    merged = np.append(observed[~rare], observed[rare].sum())
    assert_frequencies_agree(
        merged, np.append(np.exp(log_prob[~rare]), np.exp(log_prob[rare]).sum())
    )
    # Cut earlier, they are the beginnings of the same documents.
    shorter = problem.sample(policy, 20_000, np.random.RandomState(0), max_length=1)
    assert_array_equal(shorter.tokens, drawn.tokens[drawn.starts])


def test_what_a_policy_by_position_has_to_be():
    problem = cut_problem(0, 3)
    policy = random_policies(problem, 0)
    with pytest.raises(ValueError, match=r"or \(3, \d+\) by position, without nan, got shape \(2,"):
        problem.value(policy[:2])
    policy[1, : problem.trie.n_arcs] = -np.inf
    with pytest.raises(ValueError, match="an arc that can be used"):
        problem.kl(policy)
    endless = safe_problem(0)
    with pytest.raises(ValueError, match=r"of shape \(\d+,\) = A \+ 2 \(C - 1\) without nan, got"):
        endless.value(policy)
    for name in ("marginals", "state_values", "gradient_by_position"):
        with pytest.raises(ValueError, match=f"{name} needs max_length, got None"):
            getattr(endless, name)(endless.start)
    shown = np.zeros(problem.trie.n_events)
    shown[: problem.trie.n_tokens] = 1 / problem.trie.n_tokens
    shown = problem.having(sft_coef=0.1, frequencies=shown)
    with pytest.raises(ValueError, match="for one policy of all positions, got one of 3"):
        shown.value(random_policies(problem, 0))


# In the long run


def test_the_long_run_of_documents_that_end_is_the_optimum_that_is_never_cut():
    problem = safe_problem(3).having(max_length=200)
    never_cut = problem.having(max_length=None)
    found = problem.infinite_horizon_optimum()
    assert_array_equal(found, never_cut.optimum())
    assert_allclose(problem.time_dependent_optimum().log_prob[0], found, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@ends
def test_the_long_run_is_that_of_the_greatest_eigenvalue(seed, eos):
    problem = cut_problem(seed, 300, eos=eos)
    if eos is not None:
        # Each token pays, and is cheap, so that length explodes.
        each = problem.of_tokens(np.ones(problem.trie.n_tokens))
        problem = problem.having(token_reward=problem.token_reward + each)
        problem = problem.having(kl_coef=0.7 * problem.smallest_safe_kl_coef())
        assert problem.length_explodes
    steps, _ = dense_matrix(problem.trie, problem.exponent)
    eigenvalues, vectors = np.linalg.eig(steps)
    largest = np.argmax(eigenvalues.real)
    radius, vector = eigenvalues[largest].real, np.abs(vectors[:, largest].real)
    assert problem.spectral_radius() == pytest.approx(radius, rel=1e-9)
    # No token ends a document; else each weighs as much as the context that it leads to.
    weights, following = dense_rows(problem.trie, problem.exponent)
    expected = np.where(following < 0, 0.0, np.exp(weights) * vector[following])
    found = problem.infinite_horizon_optimum()
    visited = problem.flow(found).visits > 0
    expected = expected[visited] / (radius * vector[visited, np.newaxis])
    assert_allclose(np.exp(dense_rows(problem.trie, found)[0])[visited], expected, atol=1e-9)
    assert problem.gap(found) < problem.gap(problem.start)
    # Far from the end it is the best of all, unless that swings between positions for long.
    if np.sort(np.abs(eigenvalues))[-2] < 0.9 * radius:
        best = problem.time_dependent_optimum().log_prob[1]
        best = np.exp(dense_rows(problem.trie, best)[0])
        assert_allclose(best[visited], expected, atol=1e-9)
        growth = problem.having(max_length=301).optimal_value() - problem.optimal_value()
        assert growth == pytest.approx(problem.temperature * np.log(radius), abs=1e-9)


def test_no_long_run_where_the_best_tokens_are_left_for_good():
    model = bigram_model([[0.5, 0.5], [0.0, 1.0]], [1.0, 0.0])
    reward = arc_reward(model, [3.0, 0.0])
    problem = NGramObjective.of_model(model, reward, max_length=5)
    with pytest.warns(ConvergenceWarning, match=r"infinitely long .* use time_dependent_optimum"):
        problem.infinite_horizon_optimum()


def test_the_best_policy_of_all_positions_without_an_end():
    problem = cut_problem(4, 6, eos=None)
    best = problem.optimum()
    assert 1e-6 < problem.gap(best) <= problem.gap(problem.infinite_horizon_optimum())
    assert_allclose(problem.gradient(best), 0.0, atol=1e-5)


# Models of bigrams


def rows_of(model, n_tokens):
    contexts = np.maximum(model.trie.context_of_arc[:n_tokens], 0)
    first = np.array([model.trie.first_context])
    return [np.exp(model.next_log_prob(at)) for at in (contexts, first)]


@pytest.mark.parametrize("as_matrix", [np.asarray, sp.csr_array, sp.coo_array])
def test_a_bigram_model_has_the_probabilities_given(as_matrix):
    rng = np.random.default_rng(0)
    share = np.array([0.3, 1.0, 0.0, 0.6])
    own = np.zeros((4, 4))
    own[0, [1, 3]] = own[2, [0, 2]] = own[3, [1, 2]] = 0.5
    own *= (1 - share)[:, np.newaxis]
    unigram, initial = rng.dirichlet(np.ones(4)), np.array([0.0, 0.25, 0.75, 0.0])
    model = bigram_model(as_matrix(own), initial, backoff=share, unigram=unigram)
    rows, first = rows_of(model, 4)
    assert_allclose(rows, own + np.outer(share, unigram), atol=1e-15)
    assert_allclose(first[0], initial, atol=1e-15)
    assert model.trie.n_arcs == 4 + 6 + 2
    assert_allclose(model.total_prob(), 1.0, atol=1e-14)


def test_documents_of_a_bigram_model_end_with_eos():
    rows = np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 0.0], [0.1, 0.9, 0.0]])
    model = bigram_model(rows, [0.5, 0.0, 0.5], eos=1)
    problem = NGramObjective.of_model(model)
    # From the last token, n = 1 + P n of the two that go on.
    length = np.linalg.solve(np.eye(2) - rows[np.ix_([0, 2], [0, 2])], np.ones(2))
    assert problem.expected_length(problem.start) == pytest.approx(1 + length.mean())
    assert_array_equal(model.trie.next[model.trie.arc_token == 1], -1)


ROWS, HALF = np.full((2, 2), 0.5), np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"transition": ROWS[:1]}, r"transition of shape \(2, 2\).*got shape \(1, 2\)"),
        ({"initial": []}, "at least 1, got shape"),
        ({"initial": [0.5, 0.4]}, "initial to sum to 1, got 0.9. Divide it by its sum"),
        ({"transition": [[0.5, 0.5], [0.5, 0.6]]}, "row 1 of transition to sum to 1, got 1.1"),
        ({"transition": np.log(ROWS)}, "none negative or NaN, got -0.69.* in transition. Pass exp"),
        ({"transition": sp.csr_array([[2.0, -1.0], [0, 1]])}, "got -1 in transition"),
        ({"initial": [0.5, np.nan]}, "got nan in initial"),
        ({"backoff": HALF}, "backoff and unigram together, got backoff and unigram=None"),
        ({"unigram": HALF}, "together, got unigram and backoff=None"),
        ({"backoff": HALF, "unigram": HALF}, "row 0 of transition, its backoff included, .*1.5"),
        ({"backoff": HALF, "unigram": [1.0]}, r"unigram of shape \(2,\).*got shape \(1,\)"),
        ({"backoff": HALF, "unigram": [0.5, 0.6]}, "unigram to sum to 1, got 1.1"),
        ({"eos": 2}, "eos, a column from 0 to 1, got 2"),
    ],
)
def test_what_a_bigram_model_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        bigram_model(**({"transition": ROWS, "initial": HALF} | arguments))


def test_rows_of_single_precision_have_a_remedy():
    rows = np.random.default_rng(0).random((300, 300)).astype(np.float32)
    rows /= rows.sum(axis=1, keepdims=True)
    initial = np.full(300, 1 / 300)
    with pytest.raises(ValueError, match=r"Divide it by its sum, in float64"):
        bigram_model(rows, initial)
    rows = rows.astype(np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    assert_allclose(rows_of(bigram_model(rows, initial), 300)[0], rows)


def test_the_best_policy_by_position_never_comes_where_all_is_banned():
    # After "b", which nothing else follows than "b", that is banned: only the last token is "b".
    model = bigram_model([[0.5, 0.5], [0.0, 1.0]], initial=[0.6, 0.4])
    trie = model.trie
    penalty = np.zeros(trie.n_events)
    after_b = (trie.arc_context == trie.context_of_arc[1]) & (trie.arc_token == 1)
    penalty[np.flatnonzero(after_b)] = np.inf
    problem = NGramObjective.of_model(
        model, arc_reward(model, [0.0, 0.3]), penalty=penalty, max_length=2
    )
    best = problem.time_dependent_optimum()
    # "a a" and "a b" are left.
    value = np.log(0.6 * 0.5 + 0.6 * 0.5 * np.exp(0.3))
    assert best.value == pytest.approx(value, rel=1e-12)
    assert problem.value(best.log_prob) == pytest.approx(value, rel=1e-12)
    assert problem.gap(best.log_prob) == pytest.approx(0.0, abs=1e-12)
