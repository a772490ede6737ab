"""The exact optimum over n-gram policies where numbers are hard: explosions, vast rewards, size."""

import numpy as np
import pytest
from ngram_problems import (
    Documents,
    dense_matrix,
    dense_rows,
    random_model,
    random_policy,
    random_problem,
    random_trie,
    random_values,
    safe_problem,
)

from sklearn_codex._ngrams.smoothing import kneser_ney
from sklearn_codex._ngrams.trie import Trie, build_trie
from sklearn_codex.exact import (
    LengthExplosionError,
    NGramObjective,
    _ngram_kernel,
    _ngram_solve,
    arc_reward,
    bigram_model,
)
from sklearn_codex.exact._ngram_solve import ContextEquation


def rows_sum(problem, log_prob):
    return np.exp(dense_rows(problem.trie, log_prob)[0]).sum(axis=1)


# Whether length explodes


@pytest.mark.parametrize("seed", range(30))
def test_length_explodes_where_the_spectral_radius_is_one(seed):
    problem = random_problem(seed, scale=1.0)
    safe = problem.smallest_safe_kl_coef()
    for factor in (0.3, 0.9, 0.99999, 1.00001, 1.1, 3.0):
        changed = problem.having(kl_coef=(safe or 1.0) * factor)
        steps, ends = dense_matrix(changed.trie, changed.exponent)
        radius = np.abs(np.linalg.eigvals(steps)).max()
        assert changed.length_explodes == (radius >= 1)
        assert changed.spectral_radius() == pytest.approx(radius, rel=1e-8)
        if safe:
            assert changed.length_explodes == (factor < 1)
        if radius < 1:
            worth = np.linalg.solve(np.eye(len(steps)) - steps, ends)
            found = changed.optimal_value() / changed.temperature
            expected = np.log(worth[changed.trie.first_context])
            assert found == pytest.approx(expected, abs=1e-10 / (1 - radius) * 1e-2)
            np.testing.assert_allclose(rows_sum(changed, changed.optimum()), 1.0, atol=1e-11)


def test_an_explosion_is_explained():
    problem = next(
        problem for problem in map(random_problem, range(50)) if problem.smallest_safe_kl_coef()
    )
    safe = problem.smallest_safe_kl_coef()
    problem = problem.having(kl_coef=0.5 * safe)
    said = rf"spectral radius .* >= 1.*Set kl_coef above {safe:.6g}"
    for ask in (problem.optimum, problem.optimal_value, lambda: problem.gap(problem.start)):
        with pytest.raises(LengthExplosionError, match=said):
            ask()
    cut = problem.having(max_length=4)
    assert cut.length_explodes
    assert np.isfinite(cut.optimal_value())
    assert "only max_length=4 keeps" in cut.explain_explosion("It")
    assert problem.having(kl_coef=1.01 * safe).kl_coef_grid()[-1] >= safe


def test_what_documents_never_get_to_does_not_explode():
    """Only a document that starts elsewhere gets to the n-gram that pays for length."""
    ids, starts = np.array([0, 1, 2, 1, 0, 0, 2]), np.array([0, 3, 7])
    trie = build_trie(ids, starts, 3, order=2, eos=2)
    model = random_model(trie, 0)
    reference = model.event_log_prob.copy()
    a = int(trie.next[0])
    # Nothing but the end follows the start, and "a" pays for itself.
    reference[trie.indptr[trie.start] : trie.indptr[trie.start + 1]] = -np.inf
    reference[:3] = [-np.inf, -np.inf, 0.0]
    reference[trie.n_arcs + trie.start - 1] = 0.0
    reward = np.zeros(trie.n_arcs)
    reward[trie.find(np.array([a]), np.array([0]))] = 20.0
    problem = NGramObjective(reference, arc_reward(trie, reward), trie)
    assert not problem.length_explodes
    assert problem.optimal_value() == pytest.approx(problem.value(problem.optimum()), abs=1e-12)
    initial = np.zeros(trie.n_contexts)
    initial[a] = 1.0
    assert problem.having(initial=initial).length_explodes


# Vast and tiny numbers


@pytest.mark.parametrize("kind", ["paid", "costs", "ends pay", "ties"])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("scale", "kl_coef"),
    [(1e6, 1.0), (1e6, 1e-6), (1.0, 1e-6), (1e-6, 1e6), (1.0, 1e8), (3.0, 1e-3)],
)
def test_vast_rewards(scale, kl_coef, seed, kind):
    problem = random_problem(seed, penalty=None, reward_coef=1.0)
    trie = problem.trie
    reward = np.random.default_rng(seed).normal(size=trie.n_arcs)
    if kind == "costs":
        reward = -np.abs(reward)
    elif kind == "ends pay":
        reward = np.where(trie.next < 0, np.abs(reward), -0.1)
    elif kind == "ties":
        reward = np.where(trie.next < 0, 0.0, -1.0)
    values = np.zeros(trie.n_events)
    values[: trie.n_arcs] = scale * reward
    problem = problem.having(token_reward=values, kl_coef=kl_coef)
    if problem.length_explodes:
        assert kind == "paid"
        assert kl_coef <= problem.smallest_safe_kl_coef() * (1 + 1e-9)
        return
    optimum = problem.optimum()
    # A token that is backed off to has a sum of logarithms, which floats hold so well.
    largest = np.abs(optimum[np.isfinite(optimum)]).max()
    np.testing.assert_allclose(rows_sum(problem, optimum), 1.0, atol=1e-12 + 1e-15 * largest)
    best = problem.optimal_value()
    assert problem.value(optimum) == pytest.approx(best, rel=1e-10, abs=1e-10 * kl_coef)
    assert 0 <= problem.gap(optimum) <= 1e-10 * max(abs(best), kl_coef)
    gap = best - problem.value(problem.start)
    assert problem.gap(problem.start) == pytest.approx(gap, rel=1e-8, abs=1e-9 * kl_coef)


@pytest.mark.parametrize("seed", range(6))
def test_a_steep_back_off_keeps_its_digits(seed):
    """All arcs of a context but those it backs off for are worth next to nothing."""
    problem = random_problem(seed, penalty=None)
    trie = problem.trie
    reward = np.zeros(trie.n_events)
    reward[: trie.n_arcs] = -30.0
    reward[: trie.n_tokens] = np.where(np.arange(trie.n_tokens) == trie.eos, 0.0, -12.0)
    reward *= problem.kl_coef / problem.reward_coef
    problem = problem.having(token_reward=reward)
    steps, ends = dense_matrix(trie, problem.exponent)
    worth = np.linalg.solve(np.eye(len(steps)) - steps, ends)
    table, following = dense_rows(trie, problem.exponent)
    best = np.exp(table) * np.append(worth, 1.0)[following] / worth[:, np.newaxis]
    optimum = problem.optimum()
    assert problem.kernel.written.size
    np.testing.assert_allclose(np.exp(dense_rows(trie, optimum)[0]), best, rtol=1e-9, atol=1e-13)
    policy = random_policy(problem, seed)
    gap = problem.optimal_value() - problem.value(policy)
    assert problem.gap(policy) == pytest.approx(gap, rel=1e-9)
    gradient, step = problem.gradient(optimum), 1e-5
    assert np.abs(gradient).max() < 1e-10 * problem.expected_length(optimum)
    policy = problem.moved(optimum, random_values(trie, seed))
    gradient = problem.gradient(policy)
    for event in range(0, trie.n_arcs + trie.n_contexts - 1, 3):
        change = np.zeros(trie.n_events)
        change[event] = step
        high, low = (problem.value(problem.moved(policy, sign * change)) for sign in (1.0, -1.0))
        slope = (high - low) / (2 * step)
        assert gradient[event] == pytest.approx(slope, abs=1e-6 * max(1, np.abs(gradient).max()))


@pytest.mark.parametrize("seed", range(4))
def test_everything_written_out_is_the_same(seed, monkeypatch):
    problem = safe_problem(seed)
    policy = random_policy(problem, seed)
    names = ("value", "gap", "kl", "entropy", "expected_length", "gradient", "occurrences")
    plain = {name: getattr(problem, name)(policy) for name in names}
    monkeypatch.setattr(_ngram_kernel, "LOG_STEEP", -np.inf)
    written = safe_problem(seed)
    for name in names:
        np.testing.assert_allclose(getattr(written, name)(policy), plain[name], atol=1e-10)
    np.testing.assert_allclose(written.optimum(), problem.optimum(), atol=1e-12)
    assert len(written.kernel.written) == problem.trie.n_contexts - 1


def test_a_policy_that_never_ends_is_worth_nothing():
    problem = safe_problem(0)
    policy = problem.start.copy()
    policy[: problem.trie.n_arcs][problem.trie.next < 0] = -np.inf
    policy = problem.having(reference_log_prob=policy, max_length=5).start
    assert problem.expected_length(policy) == np.inf
    assert problem.value(policy) == -np.inf
    assert problem.gap(policy) == np.inf
    cut = problem.having(max_length=5)
    assert cut.expected_length(policy) == pytest.approx(5.0)
    assert np.isfinite(cut.value(policy))
    assert cut.missing_eos_rate(policy) == pytest.approx(1.0)


# Many contexts


@pytest.fixture(scope="module")
def large():
    """A problem of some ten thousand contexts, solved by iterations."""
    rng = np.random.default_rng(0)
    n_tokens, documents = 300, []
    prob = 1.0 / np.arange(1, n_tokens)
    prob /= prob.sum()
    for length in rng.integers(5, 60, 800):
        documents.append(np.append(1 + rng.choice(n_tokens - 1, length, p=prob), 0))
    ids = np.concatenate(documents)
    starts = np.cumsum([0, *map(len, documents)])
    trie = build_trie(ids, starts, n_tokens, order=3, eos=0)
    model, _ = kneser_ney(trie, trie.events(ids, starts).sum(axis=0))
    reward = arc_reward(trie, 0.2 * rng.normal(size=trie.n_arcs) - 0.01)
    problem = NGramObjective.of_model(model, reward)
    return problem.having(kl_coef=max(1.0, 1.2 * problem.smallest_safe_kl_coef()))


def test_iterations_solve_what_they_say(large):
    assert large.trie.n_contexts > 5 * _ngram_solve._FEW_CONTEXTS
    optimum, best = large.optimum(), large.optimal_value()
    np.testing.assert_allclose(large.policy_model(optimum).total_prob(), 1.0, atol=1e-12)
    assert large.value(optimum) == pytest.approx(best, abs=1e-10)
    assert large.gap(optimum) < 1e-12
    gap = best - large.value(large.start)
    assert large.gap(large.start) == pytest.approx(gap, rel=1e-9)
    assert np.abs(large.gradient(optimum)).max() < 1e-9
    # Documents of a token each: what comes in goes out.
    occurrences = large.occurrences(large.start)
    ended = occurrences[: large.trie.n_arcs][large.trie.next < 0].sum()
    assert ended == pytest.approx(1.0, abs=1e-10)


def test_iterations_find_the_edge_of_an_explosion(large):
    safe = large.smallest_safe_kl_coef()
    near = large.having(kl_coef=safe)
    assert near.spectral_radius() == pytest.approx(1.0, abs=1e-8)
    assert large.having(kl_coef=0.99 * safe).length_explodes
    longer = large.having(kl_coef=1.01 * safe)
    assert not longer.length_explodes
    assert longer.value(longer.optimum()) == pytest.approx(longer.optimal_value(), rel=1e-8)


def test_iterations_that_find_nothing_do_not_say_that_length_explodes(large, monkeypatch):
    problem, solve, calls = large.having(kl_coef=2.0 * large.kl_coef), ContextEquation.solve, []

    def solve_once(self, right, **settings):
        calls.append(1)
        return solve(self, right, **settings) if len(calls) == 1 else None

    monkeypatch.setattr(ContextEquation, "solve", solve_once)
    with pytest.raises(ValueError, match="were not found to a relative residual"):
        problem.optimum()
    assert len(calls) == 2


@pytest.mark.parametrize("seed", range(4))
def test_iterations_agree_with_factors(seed, monkeypatch):
    problem = safe_problem(seed, n_tokens=12, scale=0.3)
    policy = problem.moved(problem.start, 0.3 * random_values(problem.trie, seed))
    names = ("value", "gap", "rate_of_any", "gradient", "values")
    marked = (np.arange(problem.trie.n_events) == 3).astype(float)

    def all_of(problem):
        given = {"rate_of_any": [marked]}
        return [getattr(problem, name)(policy, *given.get(name, ())) for name in names] + [
            problem.optimum(),
            problem.smallest_safe_kl_coef(),
        ]

    factored = all_of(problem)
    monkeypatch.setattr(_ngram_solve, "_FEW_CONTEXTS", 0)
    monkeypatch.setattr(_ngram_solve, "_FEW_EIGENVALUES", 0)
    for one, other in zip(all_of(problem.having(kl_coef=problem.kl_coef)), factored, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


# What is refused


def test_errors_say_what_is_wrong():
    trie = random_trie(0)
    model = random_model(trie, 0)
    reference, none = model.event_log_prob, np.zeros(trie.n_events)

    def build(log_prob=reference, reward=none, **settings):
        return NGramObjective(log_prob, reward, trie, **settings)

    wrong = {
        "logarithms of the events of its trie": {"log_prob": reference[:-1]},
        "Only what backing off multiplies by": {"log_prob": reference + 1.0},
        "0 for the context that a document ends in, which": {"log_prob": reference - 1.0},
        "token_reward of 0 for the context": {"reward": none + 1.0},
        "needs max_length for a missing_eos_penalty": {"missing_eos_penalty": 1.0},
        "needs initial": {"initial": np.ones(trie.n_contexts)},
        "kl_coef > 0": {"kl_coef": 0.0},
        "needs max_length from 1": {"max_length": 0},
        "frequencies that sum to 1": {"sft_coef": 1.0, "frequencies": none},
        "none can with what is possible": {
            "penalty": np.where(np.arange(trie.n_events) < trie.n_arcs, np.inf, 0.0)
        },
    }
    for message, settings in wrong.items():
        with pytest.raises(ValueError, match=message):
            build(**settings)
    with pytest.raises(TypeError, match="needs the trie of a back-off model"):
        NGramObjective(reference, none, model)
    with pytest.raises(ValueError, match="without max_length needs a trie with an end"):
        NGramObjective(np.log([0.5, 0.5]), np.zeros(2), Trie.of_root(2))
    double = reference.copy()
    double[: trie.n_arcs] = np.minimum(double[: trie.n_arcs] + 0.5, 0.0)
    with pytest.raises(ValueError, match="sum to 1 after each context"):
        build(double)
    problem = build()
    half = reference.copy()
    half[: trie.n_arcs] -= 1.0
    with pytest.raises(ValueError, match="sum to 1 after each context"):
        problem.value(half)
    with pytest.raises(ValueError, match="takes marks of arcs"):
        problem.rate_of_any(reference, none + 1.0)
    with pytest.raises(ValueError, match="time_dependent_optimum needs max_length"):
        problem.time_dependent_optimum()
    with pytest.raises(ValueError, match=r"weight of shape \(12,\)"):
        problem.events_after(reference, np.zeros(3))


@pytest.mark.parametrize("max_length", [None, 5])
@pytest.mark.parametrize("kl_coef", [1e6, 1e12, 1e18])
def test_the_optimum_next_to_the_reference_is_worth_what_it_gains(kl_coef, max_length):
    # Far above all rewards, it is half their variance over kl_coef more than they are on average.
    problem = random_problem(1, penalty=None, kl_coef=kl_coef, max_length=max_length)
    expected = problem.reward_coef * problem.expected_reward(problem.start)
    assert abs(problem.optimal_value() - expected) < 10 / kl_coef + 1e-11
    assert problem.optimal_value() >= problem.value(problem.start)


@pytest.mark.parametrize("kl_coef", [1e12, 1e15, 1e100, 1e300])
def test_vast_kl_coef_leaves_no_rounding_times_itself(kl_coef):
    model = bigram_model([[0.3, 0.7], [0.6, 0.4]], initial=[0.5, 0.5])
    reward = arc_reward(model, [1.0, -0.5])
    problem = NGramObjective.of_model(model, reward, reward_coef=0.6, max_length=5, kl_coef=kl_coef)
    start = problem.start
    # J* - J(ref) = variance of the reward / (2 kl_coef), and more of higher order.
    prob = np.exp(start[: problem.trie.n_arcs])
    assert prob.max() < 1
    value = 0.6 * problem.expected_reward(start)
    assert problem.optimal_value() == pytest.approx(value, rel=1e-12)
    assert 0.0 <= problem.gap(start) < 10.0 / kl_coef
    assert 0.0 <= problem.gap(problem.optimum()) < 10.0 / kl_coef
    other = problem.moved(start, np.linspace(-1.0, 1.0, problem.trie.n_events))
    gap = kl_coef * problem.kl(other) + value - 0.6 * problem.expected_reward(other)
    assert problem.gap(other) == pytest.approx(gap, rel=1e-9)


def test_a_spectral_radius_beyond_floats_is_not_0():
    # "a" after "b" and "b" after "a" gain 3 and -1 a token: a cycle of two gains 1 a token.
    model = bigram_model([[0.0, 0.9, 0.1], [0.9, 0.0, 0.1], [0, 0, 1.0]], [0.5, 0.5, 0.0], eos=2)
    for gain, radius in ((1.0, np.inf), (-1.0, 0.0)):
        reward = arc_reward(model, [gain * 3.0, gain * -1.0, 0.0])
        problem = NGramObjective.of_model(model, reward, kl_coef=1e-5)
        assert problem.spectral_radius() == radius
        assert problem.length_explodes == (gain > 0)


# Divergences from what others give to tokens that a policy bans


@pytest.mark.parametrize("share", [0.3, 1e-6])
def test_a_divergence_counts_what_is_banned_after_contexts_that_are_written_out(share):
    # Tokens a, b, c and the end. After "a" nearly all goes to what single tokens hardly have.
    trie = build_trie(np.array([0, 0, 3]), np.array([0, 3]), 4, order=2, eos=3)
    rare = 1e-5
    policy, other = np.zeros(trie.n_events), np.zeros(trie.n_events)
    with np.errstate(divide="ignore"):
        policy[:4] = np.log([1 - 2 * rare, rare, 0.0, rare])
        other[:4] = np.log([0.5 * (1 - share), 0.3 * (1 - share), share, 0.2 * (1 - share)])
    for arc in range(4, trie.n_arcs):
        context = trie.arc_context[arc]
        n_arcs = np.count_nonzero(trie.arc_context == context)
        policy[arc], other[arc] = np.log(0.2 / n_arcs), np.log(0.4 / n_arcs)
        for events, own in ((policy, 0.8), (other, 0.6)):
            left = 1.0 - np.exp(events[trie.lower[trie.arc_context == context]]).sum()
            events[trie.n_arcs + context - 1] = np.log(own / left)
    problem = NGramObjective(other, np.zeros(trie.n_events), trie, max_length=3)
    assert problem.flow(policy).kernel.is_written.any()
    documents = Documents(trie, 3)
    own, others = documents.log_prob(policy), documents.log_prob(other)
    drawn = own > -np.inf
    expected = np.exp(own[drawn]) @ (own - others)[drawn]
    assert problem.kl(policy) == pytest.approx(expected, rel=1e-10)
