"""Recursions over many positions that come to rest, against all of their steps."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_codex import NGramCounter, NGramLM
from sklearn_codex.exact import NGramObjective, arc_reward, bigram_model
from sklearn_codex.exact import _ngram_rest as rest

END = "</s>"


def texts_of(seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(list("abcd"), rng.integers(1, 9))) for _ in range(80)]


def problem_of(*, eos, seed=5, drift=0.0, **settings):
    counter = NGramCounter(3, unk_token=None, eos_token=END if eos else None)
    model = NGramLM(smoothing="dirichlet", vectorizer=counter).fit(texts_of(seed))
    rng = np.random.default_rng(seed)
    reward = arc_reward(model, rng.normal(drift, 0.4, model.trie_.n_arcs))
    return NGramObjective.of_model(model, reward, kl_coef=0.8, reward_coef=0.6, **settings)


PROBLEMS = {
    "fixed length": {"eos": False},
    "ends": {"eos": True},
    "explodes": {"eos": True, "drift": 0.9},
    "hardly ends": {"eos": True, "drift": -0.9, "missing_eos_penalty": 40.0},
    "loses by each token": {"eos": False, "drift": -0.5},
}


def answers(problem, seed=0):
    rng = np.random.default_rng(seed)
    policy = problem.moved(problem.start, rng.normal(0.0, 0.5, problem.trie.n_events))
    marked = np.zeros(problem.trie.n_events)
    marked[[2, 5, 9]] = 1.0
    return {
        "value": problem.value(policy),
        "best value": problem.optimal_value(),
        "gap": problem.gap(policy),
        "gap of the reference": problem.gap(problem.start),
        "kl": problem.kl(policy),
        "events": problem.occurrences(policy),
        "cut": problem.missing_eos_rate(policy),
        "length": problem.expected_length(policy),
        "rate": problem.rate_of_any(policy, marked),
        "gradient": problem.gradient(policy),
        "entropy": problem.entropy(policy),
    }


@pytest.mark.parametrize("max_length", [9, 65, 300])
@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_at_rest_adds_what_all_steps_do(monkeypatch, name, max_length):
    problem = problem_of(max_length=max_length, **PROBLEMS[name])
    found = answers(problem)
    monkeypatch.setattr(rest, "_FIRST", 10**9)
    whole = answers(problem.having())
    for what, expected in whole.items():
        size = np.abs(expected).max()
        assert_allclose(found[what], expected, rtol=2e-11, atol=1e-12 * size, err_msg=what)
    assert_allclose(found["gap"], found["best value"] - found["value"], rtol=1e-9)


def test_long_documents_take_few_steps(monkeypatch):
    problem = problem_of(eos=False, max_length=100_000)
    flow = problem.flow(problem.start)
    pieces = list(flow.stretches(problem.max_length))
    assert len(pieces) < 200
    assert sum(piece.length for piece in pieces) == 100_000
    assert flow.visits.sum() == pytest.approx(100_000, rel=1e-12)
    assert problem._worth_by_position.n_kept < 200
    # Far from both ends each token gains the same: twice the length, twice as much.
    longer = problem.having(max_length=200_000)
    gained = longer.optimal_value() - problem.optimal_value()
    radius = np.log(problem.spectral_radius())
    assert gained == pytest.approx(problem.temperature * radius * 100_000, rel=1e-11)


def test_cycles_never_come_to_rest():
    # "a" and "b" in turn: what comes next depends on the position for ever.
    model = bigram_model([[0.0, 1.0], [1.0, 0.0]], initial=[0.75, 0.25])
    problem = NGramObjective.of_model(model, arc_reward(model, [1.0, 0.0]), max_length=301)
    assert all(piece.length == 1 for piece in problem.flow(problem.start).stretches(301))
    # By hand: 151 of 301 are "a" where it is the first, 150 where it is not.
    assert problem.expected_reward(problem.start) == pytest.approx(150.75, rel=1e-13)
    # All that can be chosen is the first token.
    best = np.log(0.75 * np.exp(151) + 0.25 * np.exp(150))
    assert problem.optimal_value() == pytest.approx(best, rel=1e-13)
    assert problem.gap(problem.start) == pytest.approx(best - 150.75, rel=1e-10)


def test_a_step_that_adds_the_same_is_taken_at_once():
    taken = []

    def step(values):
        taken.append(values)
        return np.array([0.25, 0.5]) + values[::-1] * np.array([1.0, 1.0])

    values = rest.extended(step, np.array([-1.0, -1.0]), 5)
    assert_allclose(values[:3], [[-1.0, -1.0], [-0.75, -0.5], [-0.25, -0.25]])
    n_steps = len(taken)
    swinging = rest.extended(step, np.array([-1.0, -1.0]), 50)
    assert len(taken) == n_steps + 50
    assert_allclose(swinging[50], np.full(2, -1.0 + 25 * 0.75))
    taken.clear()

    def mix(values):
        taken.append(values)
        return values.mean() + np.array([1.0, 3.0])

    values = rest.extended(mix, np.zeros(2), 99)
    assert len(taken) == 8
    assert_allclose(values[99], 2.0 * 98 + np.array([1.0, 3.0]))


def test_directions_are_the_same_to_rounding():
    one = np.array([0.3, 0.7, 1e-40])
    assert rest.is_same_direction(one * 3, one)
    assert rest.is_same_direction(one * [1, 1, 0.5], one)  # what fades
    assert not rest.is_same_direction(one * [1, 1, 2.0], one)  # what grows from nothing
    assert not rest.is_same_direction(one * [1, 1 + 1e-11, 1], one)
    assert rest.is_same(np.array([5.0, -np.inf]), np.array([5.0, -np.inf]))
    assert not rest.is_same(np.array([5.0, -np.inf]), np.array([5.0, -700.0]))
    assert not rest.is_same(np.array([5.0]), np.array([5.0 + 1e-11]))
    piece = rest.Stretch(np.array([0.5, 1.5]), 4, np.log(0.5))
    assert_allclose(piece.total(), np.array([0.5, 1.5]) * 1.875)
    assert_allclose(piece.last, np.array([0.5, 1.5]) / 16)
    first, others = piece.split(1)
    assert_allclose(others.visits, [0.25, 0.75])
    assert_allclose(first.total() + others.total(), piece.total())
