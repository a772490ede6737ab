"""PPO and its relatives on policies over n-grams, against the exact optimum and exact gradients."""

import pickle
import warnings

import numpy as np
import pytest
from ngram_problems import (
    dense_rows,
    random_model,
    random_policy,
    random_trie,
    random_values,
    safe_problem,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch

from sklearn_codex import PPOPolicyOptimizer, RLOOPolicyOptimizer
from sklearn_codex._policy.context_credit import JudgedBatch, advantages_in_contexts
from sklearn_codex._policy.critic import ContextCritic, discounted_sums, shrunk_means, signal_share
from sklearn_codex._policy.ppo import Clipping, PlacedAdvantages, probability_ratio
from sklearn_codex._policy.problem import PolicyProblem
from sklearn_codex.exact import NGramObjective, arc_reward
from sklearn_codex.kl_control import AdaptiveKLController


def text_problem(seed, *, order=3, n_tokens=20, kl_coef=1.0, **settings):
    """Many n-grams, three in ten of them with a reward, and a price of tokens that keeps length."""
    rng = np.random.default_rng([seed, 17])
    trie = random_trie(seed, order=order, n_tokens=n_tokens, eos=n_tokens - 1, n_documents=150)
    rewards = rng.normal(size=trie.n_arcs) * (rng.random(trie.n_arcs) < 0.3)
    model = random_model(trie, seed, stop=2.0)
    for price in (0.5, 1.0, 2.0, 4.0):
        rewards[: n_tokens - 1] -= price
        problem = NGramObjective.of_model(model, arc_reward(trie, rewards), kl_coef=kl_coef)
        if not problem.length_explodes and problem.expected_length(problem.optimum()) < 40:
            return problem.having(**settings)
    raise AssertionError("no price keeps documents short")


def share_of_the_way(problem, policy):
    return 1.0 - problem.gap(policy.backoff_model_.event_log_prob) / problem.gap(problem.start)


def drawn_from(problem, policy, n_documents=200, seed=0):
    return problem.sample(policy, n_documents, np.random.RandomState(seed))


# The optimum is reached, and never passed


@pytest.mark.parametrize("gae_lambda", [0.0, 0.9, 1.0])
@pytest.mark.parametrize(("order", "kl_coef"), [(2, 0.3), (2, 1.0), (3, 3.0)])
def test_ppo_reaches_the_optimum(order, kl_coef, gae_lambda):
    problem = text_problem(order, order=order, kl_coef=kl_coef)
    policy = PPOPolicyOptimizer(gae_lambda=gae_lambda, random_state=0).fit_objective(problem)
    assert share_of_the_way(problem, policy) >= 0.999
    best = problem.optimal_value()
    assert all(row["objective/value"] <= best + 1e-9 for row in policy.history_)
    assert_allclose(policy.objective_, best - policy.optimality_gap_, atol=1e-9)


@pytest.mark.parametrize(
    "optimizer",
    [
        PPOPolicyOptimizer(critic=False),
        PPOPolicyOptimizer(credit="sequence"),
        PPOPolicyOptimizer(credit="sequence", critic=False, n_minibatches=1, n_epochs=1),
        PPOPolicyOptimizer(whiten_advantages=True, learning_rate=0.1, max_iter=60, tol=0),
        PPOPolicyOptimizer(optimizer="adam", max_iter=60, tol=0),
        RLOOPolicyOptimizer(),
        RLOOPolicyOptimizer(optimizer="adam", max_iter=150, tol=0),
    ],
    ids=str,
)
def test_relatives_reach_the_optimum(optimizer):
    problem = text_problem(1, order=2)
    policy = optimizer.set_params(random_state=0).fit_objective(problem)
    assert share_of_the_way(problem, policy) >= (0.999 if optimizer.tol else 0.99)


def test_a_large_vocabulary():
    problem = text_problem(0, order=2, n_tokens=200)
    policy = PPOPolicyOptimizer(random_state=0, max_iter=30).fit_objective(problem)
    assert share_of_the_way(problem, policy) >= 0.995


@pytest.mark.parametrize("gae_lambda", [0.95, 1.0])
@pytest.mark.parametrize("eos", [3, None])
def test_documents_that_are_cut(eos, gae_lambda):
    """Training ends by what documents tell, as the exact gap bounds policies that see time."""
    problem = safe_problem(3, eos=eos, max_length=6, kl_coef=1.0, penalty=None) if eos else None
    if problem is None:
        trie = random_trie(3, eos=None, n_tokens=5, n_documents=40)
        reward = arc_reward(trie, np.random.default_rng(3).normal(size=trie.n_arcs))
        problem = NGramObjective.of_model(random_model(trie, 3), reward, max_length=8)
    problem = problem.having(missing_eos_penalty=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        policy = PPOPolicyOptimizer(gae_lambda=gae_lambda, random_state=0).fit_objective(problem)
    assert problem.gap_is_bound
    start, best = problem.value(problem.start), problem.value(problem.optimum())
    assert policy.objective_ - start >= 0.995 * (best - start)
    gap = problem.gap(policy.backoff_model_.event_log_prob)
    assert policy.optimality_gap_ == pytest.approx(gap)
    assert "critic/error" not in policy.history_[-1]


def test_demonstrations_pull_as_they_do_in_the_objective():
    problem = safe_problem(2, penalty=None)
    shown = drawn_from(problem, random_policy(problem, 2), 300)
    frequencies = shown.sum_of_events(np.ones(len(shown.tokens))) / len(shown.tokens)
    problem = problem.having(sft_coef=2.0, frequencies=frequencies)
    best = problem.start
    for _ in range(300):  # exact ascent
        slope = problem.gradient(best) + problem.demonstrations_gradient(best)
        curvature = np.maximum(problem.curvature(best), 1e-9)
        best = problem.moved(best, 0.5 * slope / curvature)
    policy = PPOPolicyOptimizer(random_state=0).fit_objective(problem)
    start, value = problem.value(problem.start), problem.value(best)
    assert (policy.objective_ - start) / (value - start) == pytest.approx(1.0, abs=2e-3)
    assert policy.optimal_log_prob_ is None


LINEAR = np.linspace(-1.0, 0.5, 20)


def hardly_adding(counts):
    """A reward that adds, but for so little that nothing else changes."""
    return counts @ LINEAR + 1e-6 * (counts[:, [1]].toarray().ravel() > 1)


def judged_by(judge, **settings):
    """Return PPO whose documents are judged by a function of their counts, not as stated."""

    class Judged(PPOPolicyOptimizer):
        def _prepare(self, X, y, **given):
            prepared = super()._prepare(X, y, **given)
            self.reward_model_ = judge
            return prepared

    return Judged(random_state=0, **settings)


@pytest.mark.parametrize("critic", [True, False])
def test_a_reward_that_hardly_adds_is_learned_from_documents(critic):
    problem = text_problem(1, order=2)
    events = np.zeros(problem.trie.n_events)
    judged = judged_by(hardly_adding, critic=critic)
    policy = judged.fit_objective(problem.having(token_reward=events))
    events[: problem.trie.n_arcs] = LINEAR[problem.trie.arc_token]
    known = problem.having(token_reward=events)
    assert policy.token_reward_ is None
    assert share_of_the_way(known, policy) >= 0.999
    assert policy.optimality_gap_ <= 3 * policy.optimality_gap_se_


def test_a_reward_that_does_not_add_brings_what_documents_show():
    problem = text_problem(1, order=2)
    problem = problem.having(token_reward=np.zeros(problem.trie.n_events))

    def judge(counts):
        has = counts.toarray() > 0
        return (has[:, 1] & has[:, 2]).astype(float)

    policy = judged_by(judge, max_iter=30, tol=0).fit_objective(problem)
    first, last = (policy.history_[at]["objective/value"] for at in (0, -1))
    log_prob = policy.backoff_model_.event_log_prob
    rollouts = problem.sample(log_prob, 20_000, np.random.RandomState(1))
    value = judge(rollouts.counts).mean() - problem.kl_coef * problem.kl(log_prob)
    assert value > 1.1 * first
    assert value == pytest.approx(last, abs=0.02)
    assert "critic/error" not in policy.history_[-1]


@pytest.mark.parametrize("gae_lambda", [0.0, 0.95, 1.0])
def test_documents_that_are_hardly_ever_drawn_are_found(gae_lambda):
    """Where a low price of the KL soon leaves but a few documents, not the best of all."""
    problem = text_problem(2, order=3, kl_coef=0.1)
    policy = PPOPolicyOptimizer(gae_lambda=gae_lambda, random_state=0, max_iter=40)
    assert share_of_the_way(problem, policy.fit_objective(problem)) >= 0.999


@pytest.mark.parametrize("seed", [4, 11, 19])
def test_a_better_document_is_found_after_all_others_are_gone(seed):
    """The policy is all but one short document long before it finds the best ones."""
    problem = text_problem(seed, order=3, kl_coef=0.1)
    policy = PPOPolicyOptimizer(random_state=0, max_iter=50).fit_objective(problem)
    assert min(row["objective/length"] for row in policy.history_) < 1.25
    assert policy.expected_length_ > 2.0
    assert share_of_the_way(problem, policy) >= 0.999
    assert policy.n_sequences_ < 8_000


def long_problem(seed, n_tokens):
    """Documents of 20 to 30 tokens; with many of these most n-grams of a batch come once."""
    rng = np.random.default_rng([seed, 29])
    settings = {"order": 2, "eos": n_tokens - 1, "longest": 40}
    trie = random_trie(seed, n_tokens=n_tokens, n_documents=max(20, 2 * n_tokens // 3), **settings)
    rewards = rng.normal(size=trie.n_arcs) * (rng.random(trie.n_arcs) < 0.5)
    rewards[: n_tokens - 1] -= 0.1
    reward = arc_reward(trie, rewards)
    problem = NGramObjective.of_model(random_model(trie, seed), reward, kl_coef=3.0)
    assert 20 < problem.expected_length(problem.optimum()) < 30
    return problem


@pytest.mark.parametrize(
    ("seed", "n_tokens", "gae_lambda", "n_documents"),
    [(1, 20, 0.0, 1200), (0, 300, 0.0, 1200), (0, 300, 1.0, 4000)],
)
def test_long_documents_need_no_more(seed, n_tokens, gae_lambda, n_documents):
    """However far values have to come, and however much noise tokens have of those that follow."""
    problem = long_problem(seed, n_tokens)
    policy = PPOPolicyOptimizer(gae_lambda=gae_lambda, random_state=0, max_iter=20)
    assert share_of_the_way(problem, policy.fit_objective(problem)) >= 0.999
    assert policy.n_sequences_ < n_documents


# Values of all contexts from the scores of all tokens


def ending_at_once(problem):
    """Return a policy whose documents all end at once."""
    trie = problem.trie
    tilt = np.zeros(trie.n_events)
    goes_on = np.isin(trie.arc_context, [0, trie.first_context]) & (trie.arc_token != trie.eos)
    tilt[: trie.n_arcs][goes_on] = -40.0
    policy = problem.moved(problem.start, tilt)
    assert problem.expected_length(policy) == pytest.approx(1.0)
    return policy


def learn_from_all(critic, problem, policy, rollouts):
    """Show documents to a critic as training does; return the advantages of their tokens."""
    scores = problem.token_scores(policy)
    judged = Bunch(token_score=scores, shaped=rollouts.sum_over_tokens(scores))
    batch = JudgedBatch(PolicyProblem(problem, None), policy, rollouts, judged)
    return advantages_in_contexts(critic, batch, credit="token", takes_known=True)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_values_are_known_where_the_policy_does_not_come(seed, gae_lambda):
    """All of a policy's documents end at once, and what would come after others is known."""
    problem = safe_problem(seed)
    policy = ending_at_once(problem)
    critic, exact = ContextCritic(problem.trie, gae_lambda), problem.values(policy)
    for at in range(12):
        rollouts = drawn_from(problem, policy, 400, at)
        assert len(learn_from_all(critic, problem, policy, rollouts)) == len(rollouts.tokens)
    assert_allclose(critic.values, exact, atol=1e-3 * np.abs(exact).max())


def steps_between_contexts(problem, policy):
    """Return how likely (C, C) each context follows each."""
    prob, following = (dense_rows(problem.trie, policy)[at] for at in (0, 1))
    steps = np.zeros((problem.trie.n_contexts, problem.trie.n_contexts))
    context, token = np.nonzero(following >= 0)
    np.add.at(steps, (context, following[context, token]), np.exp(prob[context, token]))
    return steps


@pytest.mark.parametrize("most_spans", [np.inf, 0.0])
@pytest.mark.parametrize("gae_lambda", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_values_are_what_is_expected_and_the_rest_of_advantages(
    monkeypatch, seed, gae_lambda, most_spans
):
    monkeypatch.setattr("sklearn_codex._policy.critic._MAX_SWEEPS", 1)
    monkeypatch.setattr("sklearn_codex._policy.critic._MOST_SPANS", most_spans)
    problem = safe_problem(seed)
    trie, policy = problem.trie, random_policy(problem, seed)
    before = np.random.default_rng(seed).normal(size=trie.n_contexts)
    critic, rollouts = ContextCritic(trie, gae_lambda), drawn_from(problem, policy, 50, seed)
    critic.restore({"values": before, "position_values": np.zeros(0), "has_learned": True})
    learn_from_all(critic, problem, policy, rollouts)
    scores, following = dense_rows(trie, problem.token_scores(policy))
    own = scores + np.where(following >= 0, before[following], 0.0) - before[:, np.newaxis]
    change = np.sum(np.exp(dense_rows(trie, policy)[0]) * own, axis=1)
    rest, visits, values = np.zeros(trie.n_contexts), np.zeros(trie.n_contexts), []
    for start, length in zip(rollouts.starts, rollouts.lengths, strict=True):
        advantage = 0.0
        for at in range(start + length - 1, start - 1, -1):
            context = rollouts.contexts[at]
            rest[context] += gae_lambda * advantage
            values.append(gae_lambda * advantage)
            visits[context] += 1
            advantage = own[context, rollouts.tokens[at]] + gae_lambda * advantage
    share = signal_share(np.array(values), rest, visits)
    assert (0.0 < share < 1.0) or gae_lambda == 0.0
    change += share * rest / (visits + 1)
    if most_spans == 0.0 and gae_lambda < 1.0:  # all that is to come of it, but what is carried
        steps, carried = steps_between_contexts(problem, policy), share * gae_lambda
        whole = np.linalg.solve(np.eye(len(steps)) - steps, change)
        change = (1.0 - carried) * whole + carried * change
    assert_allclose(critic.values, before + change, atol=1e-9)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.3, 0.6])
def test_values_of_long_documents_are_found_at_once(gae_lambda):
    """A few sweeps carry them by a few tokens, of 15 that documents have here."""
    problem = long_problem(1, 20)
    policy = problem.moved(problem.start, 0.3 * problem.token_reward)
    exact, before = problem.values(policy), np.zeros(problem.trie.n_contexts)
    critic = ContextCritic(problem.trie, gae_lambda)
    critic.restore({"values": before, "position_values": np.zeros(0), "has_learned": True})
    rollouts = drawn_from(problem, policy, 400)
    assert rollouts.lengths.mean() > 15
    learn_from_all(critic, problem, policy, rollouts)
    assert_allclose(critic.values, exact, atol=1e-3 * np.abs(exact).max())


def test_a_solved_sweep_that_leads_away_is_taken_back(monkeypatch):
    """Plain ones follow from where it began; it took the place of one of them."""
    problem = safe_problem(0)
    policy, found = random_policy(problem, 0), []
    rollouts = drawn_from(problem, policy, 50, 0)
    before = np.random.default_rng(0).normal(size=problem.trie.n_contexts)
    monkeypatch.setattr(type(problem), "sum_to_come", lambda self, policy, values: -100 * values)
    for most_spans, sweeps in [(-1.0, 8), (np.inf, 7)]:
        monkeypatch.setattr("sklearn_codex._policy.critic._MOST_SPANS", most_spans)
        monkeypatch.setattr("sklearn_codex._policy.critic._MAX_SWEEPS", sweeps)
        critic = ContextCritic(problem.trie, 0.6)
        critic.restore({"values": before, "position_values": np.zeros(0), "has_learned": True})
        learn_from_all(critic, problem, policy, rollouts)
        found.append(critic.values)
    assert_array_equal(*found)


def test_share_of_means_that_is_no_noise_by_hand():
    """Means 2 and 1 of two and two values that are 1 off: 1 - 2 / 2 * 4 / 10."""
    values, visits = np.array([1.0, 3.0, 0.0, 2.0]), np.array([2.0, 0.0, 2.0])
    assert signal_share(values, np.array([4.0, 0.0, 2.0]), visits) == pytest.approx(0.6)
    assert signal_share(values - 1.5, np.array([1.0, 0.0, -1.0]), visits) == 0.0
    once = np.ones(4)
    assert signal_share(values, values, once) == signal_share(0 * values, 0 * once, once) == 0.0


def test_noise_has_no_signal():
    rng = np.random.default_rng(0)
    contexts = rng.integers(0, 200, 2000)
    visits = np.bincount(contexts, minlength=200).astype(float)
    for size, low, high in [(0.0, 0.0, 0.25), (1.0, 0.85, 0.95)]:  # of 10 visits: 10 / 11
        values = rng.normal(size=2000) + size * rng.normal(size=200)[contexts]
        total = np.bincount(contexts, values, 200)
        assert low <= signal_share(values, total, visits) <= high


def test_batches_grow_where_a_step_led_down():
    problem = text_problem(19, order=3, kl_coef=0.1)
    sizes = []

    class Recorded(PPOPolicyOptimizer):
        def _make_schedule(self, trainer):
            schedule = super()._make_schedule(trainer)

            def see():
                sizes.append(trainer.settings.n_rollouts)
                return schedule()

            return see

    policy = Recorded(random_state=0, max_iter=50).fit_objective(problem)
    values = [row["objective/value"] for row in policy.history_]
    expected, n = [], sizes[0]
    steps = zip([-np.inf, *values], values[:-1], strict=False)
    for step, (before, after) in enumerate(steps, start=1):
        n = min(2 * n, 4096) if after <= before or step % 8 == 0 else n
        expected.append(n)
    assert sizes == expected
    recorded = Recorded(random_state=0, max_iter=3, tol=0, n_rollouts=64)
    sizes.clear()
    recorded.fit_objective(problem)
    assert sizes == [64, 64, 64]


# The loop: seeds, going on, what is recorded


def test_two_halves_are_one_run_bit_for_bit():
    problem = text_problem(1, order=2)
    settings = {"tol": 0, "random_state": 5, "credit": "sequence"}
    whole = PPOPolicyOptimizer(max_iter=6, **settings).fit_objective(problem)
    half = PPOPolicyOptimizer(max_iter=3, warm_start=True, **settings).fit_objective(problem)
    half = pickle.loads(pickle.dumps(half)).fit_objective(problem)
    assert_array_equal(half.backoff_model_.event_log_prob, whole.backoff_model_.event_log_prob)
    assert half.history_ == whole.history_
    again = PPOPolicyOptimizer(max_iter=6, **settings).fit_objective(problem)
    assert again.history_ == whole.history_


def test_values_of_the_critic_are_held_against_the_exact_ones():
    problem = text_problem(1, order=2)
    policy = PPOPolicyOptimizer(random_state=0).fit_objective(problem)
    # Nothing is known of values before the first update.
    exact, visits = problem.context_values(problem.start)
    share = visits / visits.sum()
    assert_allclose(policy.history_[0]["critic/error"], np.sqrt(share @ exact**2))
    assert policy.history_[-1]["critic/error"] < 0.1 * policy.history_[0]["critic/error"]
    assert policy.history_[-1]["critic/explained_variance"] > 0.9
    without = PPOPolicyOptimizer(random_state=0, max_iter=2, tol=0, critic=False)
    assert "critic/error" not in without.fit_objective(problem).history_[-1]


def test_sampled_figures_agree_with_exact_ones():
    problem = text_problem(2, order=3)
    policy = PPOPolicyOptimizer(random_state=0, max_iter=4, tol=0, n_rollouts=20_000)
    for row in policy.fit_objective(problem).history_[1:]:
        assert_allclose(row["objective/kl"], row["objective/kl_exact"], rtol=0.1)
        assert_allclose(row["objective/kl_k3"], row["objective/kl_exact"], rtol=0.05)
        assert_allclose(row["objective/entropy"], row["objective/entropy_exact"], rtol=0.1)


def test_controllers_selection_and_stated_penalties():
    problem = text_problem(1, order=2)
    policy = PPOPolicyOptimizer(
        random_state=0,
        max_iter=30,
        tol=0,
        kl_controller=AdaptiveKLController(target=0.1, horizon=20_000),
        select_by="objective/value",
    ).fit_objective(problem)
    assert policy.kl_coef_ != problem.kl_coef
    assert policy.objective_ <= max(row["objective/value"] for row in policy.history_) + 1e-9
    penalty = np.zeros(problem.trie.n_events)
    penalty[3] = 1.5
    charged = PPOPolicyOptimizer(random_state=0).fit_objective(problem.having(penalty=penalty))
    assert share_of_the_way(problem.having(penalty=penalty), charged) >= 0.999
    penalty[3] = np.inf
    banned = PPOPolicyOptimizer(random_state=0).fit_objective(problem.having(penalty=penalty))
    assert banned.backoff_model_.event_log_prob[3] == -np.inf
    assert banned.optimality_gap_ <= 1e-3 * banned.history_[0]["objective/optimality_gap"] + 1e-9


def test_a_controller_stays_where_length_is_finite():
    problem = text_problem(1, order=2)
    safe = problem.smallest_safe_kl_coef()
    assert safe > 0.1 * problem.kl_coef
    controller = AdaptiveKLController(target=1e6, horizon=1_000)
    policy = PPOPolicyOptimizer(random_state=0, max_iter=25, tol=0, kl_controller=controller)
    policy.fit_objective(problem)
    assert 1.04 * safe < policy.kl_coef_ < 1.5 * safe
    assert np.isfinite(policy.optimality_gap_)


def test_batches_go_with_the_ngrams_that_are_used():
    problem = text_problem(0, order=2, n_tokens=200)
    arcs = problem.flow(problem.start).arcs
    share = arcs / arcs.sum()
    used = np.exp(-np.sum(share * np.log(share)))
    assert problem.n_parameters == round(used) < 0.8 * problem.trie.n_arcs
    policy = PPOPolicyOptimizer(random_state=0, max_iter=1, tol=0).fit_objective(problem)
    length = problem.expected_length(problem.start)
    n_documents = max(256, np.ceil(problem.n_parameters / length))
    # Of the policy before and after the one update, and two of the result.
    assert policy.n_sequences_ == 2 + 2 * n_documents
    # Where documents have to tell what n-grams are worth, many more.
    policy = PPOPolicyOptimizer(random_state=0, max_iter=1, tol=0, critic=False)
    n_documents = np.ceil(max(4096 * length, 10 * problem.n_parameters) / length)
    assert policy.fit_objective(problem).n_sequences_ == 2 + 2 * n_documents


# Gradients and steps


@pytest.mark.parametrize("clipping", [None, Clipping(0.2), Clipping((0.1, 0.3), dual_clip=1.5)])
@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_the_clipped_surrogate_by_finite_differences(seed, clipping):
    problem = safe_problem(seed)
    old, new = problem.start, random_policy(problem, seed, 0.5)
    rollouts, rng = drawn_from(problem, old), np.random.default_rng(seed)
    chosen = rng.random(len(rollouts.tokens)) < 0.6
    batch = PlacedAdvantages(chosen, rng.normal(size=len(rollouts.tokens)))

    def surrogate(policy):
        ratio = probability_ratio(rollouts.of_draws(policy), rollouts.of_draws(old))
        return batch.surrogate(ratio, clipping)

    ratio = probability_ratio(rollouts.of_draws(new), rollouts.of_draws(old))
    gradient = problem.policy_gradient(new, rollouts, batch.slopes(ratio, clipping))
    assert batch.n_tokens == chosen.sum()
    n_weights = problem.trie.n_arcs + problem.trie.n_contexts - 1
    for event in rng.choice(n_weights, 8, replace=False):
        change = np.zeros(problem.trie.n_events)
        change[event] = 1e-7
        ahead, behind = (surrogate(problem.moved(new, sign * change)) for sign in (1.0, -1.0))
        assert gradient[event] == pytest.approx((ahead - behind) / 2e-7, rel=1e-3, abs=1e-4)


def test_clipped_share_of_chosen_tokens_by_hand():
    batch = PlacedAdvantages(np.array([True, True, True, False]), np.array([1.0, -1.0, 2.0, 1.0]))
    ratio = np.array([1.5, 0.5, 1.0, 9.0])
    assert_allclose(batch.clip_fraction(ratio, Clipping(0.2)), 2 / 3)
    assert_allclose(batch.surrogate(ratio, Clipping(0.2)), 1.2 - 0.8 + 2.0)
    assert_allclose(batch.slopes(ratio, Clipping(0.2)), [0.0, 0.0, 2.0, 0.0])


@pytest.mark.parametrize("seed", range(4))
def test_demonstrations_gradient_by_finite_differences(seed):
    problem = safe_problem(seed, penalty=None)
    shown = drawn_from(problem, random_policy(problem, seed), 50)
    frequencies = shown.sum_of_events(np.ones(len(shown.tokens))) / len(shown.tokens)
    assert problem.demonstrations_gradient(problem.start) is None
    problem = problem.having(sft_coef=1.7, frequencies=frequencies)
    policy = random_policy(problem, seed + 1)
    gradient = problem.demonstrations_gradient(policy)
    for event in range(problem.trie.n_arcs + problem.trie.n_contexts - 1):
        change = np.zeros(problem.trie.n_events)
        change[event] = 1e-6
        loss = [problem.sft_loss(problem.moved(policy, sign * change)) for sign in (1.0, -1.0)]
        assert gradient[event] == pytest.approx(-1.7 * (loss[0] - loss[1]) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("damping", [0.5, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_natural_step_token_by_token(seed, damping):
    """The stages of the step, from token to token and event to event, as its notes say."""
    problem = safe_problem(seed)
    trie, policy = problem.trie, random_policy(problem, seed)
    rollouts = drawn_from(problem, policy, 40, seed)
    gradient = random_values(trie, seed)
    occurrences = problem.occurrences(policy, 40)
    step = problem.natural_step(
        gradient, policy, rollouts, occurrences=occurrences, damping=damping
    )
    total, drawn = np.zeros(trie.n_arcs), np.zeros(trie.n_arcs)
    for arc in range(trie.n_arcs):
        times, at = max(np.sum(rollouts.arcs == arc), occurrences[arc]), arc
        while at >= 0:
            total[at] += gradient[arc]
            drawn[at] += times
            at = trie.lower[at]
    expected = np.zeros(trie.n_events)
    for arc in range(trie.n_arcs):
        shorter = expected[trie.lower[arc]] if trie.lower[arc] >= 0 else 0.0
        expected[arc] = (total[arc] + damping * shorter) / (drawn[arc] + damping)
    for length in range(1, trie.order):
        before = expected.copy()
        for context in np.flatnonzero(trie.context_length == length):
            event, passing = trie.n_arcs + context - 1, np.zeros(trie.n_events)
            passing[event] = 1.0
            passes = rollouts.of_tokens(passing)
            explained = 0.0
            for place, own in enumerate(rollouts.of_tokens(before)):
                here = np.zeros(trie.n_contexts)
                here[rollouts.contexts[place]] = 1.0
                share = problem.events_after(policy, here)[event]
                explained += own * (passes[place] - share)
            times = max(passes.sum(), occurrences[event])
            expected[event] = (gradient[event] - explained) / (times + damping)
    assert_allclose(step, expected, atol=1e-10)
    # Minibatches share a step.
    half = 0.5 * problem.natural_step(
        2 * gradient, policy, rollouts, occurrences=occurrences, damping=damping
    )
    assert_allclose(half, step)


@pytest.mark.parametrize("seed", range(3))
def test_a_trust_region_is_exact(seed):
    problem = safe_problem(seed)
    policy, step = random_policy(problem, seed), 5.0 * random_values(problem.trie, seed)
    for target in (1e-4, 0.1, 0.5):
        share = problem.trust_region_scale(policy, step, target)
        moved = problem.moved(policy, share * step)
        assert 0.8 * target <= problem.flow(policy).kl(moved) <= target
    assert problem.trust_region_scale(policy, 1e-9 * step, 0.1) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_a_step_makes_documents_eight_times_as_long_at_most(seed):
    """By documents that end after all, the nats of those drawn before do not tell."""
    problem = safe_problem(seed)
    step, length = np.zeros(problem.trie.n_events), problem.expected_length(problem.start)
    step[: problem.trie.n_arcs][problem.trie.arc_token == problem.trie.eos] = -30.0
    assert problem.flow(problem.start).kl(problem.moved(problem.start, step)) < 50.0
    share = problem.trust_region_scale(problem.start, step, 50.0)
    longest = max(8.0 * length, 64.0)
    assert problem.expected_length(problem.moved(problem.start, share * step)) <= longest
    assert problem.expected_length(problem.moved(problem.start, 2.0 * share * step)) > longest


def test_demonstrations_are_stiff_where_the_policy_hardly_comes():
    problem = safe_problem(1, penalty=None)
    frequencies = random_values(problem.trie, 1) ** 2
    frequencies /= frequencies[: problem.trie.n_arcs].sum()
    policy = random_policy(problem, 1)
    policy[0] = -40.0
    policy = problem.moved(policy, np.zeros_like(policy))
    stiffness = problem.having(sft_coef=1.7, frequencies=frequencies).stiffness(policy)
    used = np.maximum(problem.occurrences(policy), 1e-6)
    assert_allclose(stiffness, problem.kl_coef + 1.7 * frequencies / used)
    assert_allclose(problem.stiffness(policy), problem.kl_coef)


def test_documents_of_a_group_begin_alike():
    problem = safe_problem(2)
    initial = np.zeros(problem.trie.n_contexts)
    initial[[0, 2]] = [0.2, 0.8]
    problem = problem.having(initial=initial)
    rollouts = problem.sample_groups(problem.start, 2000, 3, np.random.RandomState(0))
    begun = rollouts.contexts[rollouts.starts].reshape(2000, 3)
    assert np.array_equal(begun, np.repeat(begun[:, :1], 3, axis=1))
    assert np.mean(begun == 2) == pytest.approx(0.8, abs=5 * 0.4 / np.sqrt(2000))


# The critic


def test_discounted_sums_are_their_definition():
    rng = np.random.default_rng(0)
    lengths = np.array([3, 1, 5, 2, 5])
    starts = np.cumsum(lengths) - lengths
    values = rng.normal(size=lengths.sum())
    for decay in (0.0, 0.7, 1.0):
        expected = [
            sum(decay**k * value for k, value in enumerate(values[at : start + length]))
            for start, length in zip(starts, lengths, strict=True)
            for at in range(start, start + length)
        ]
        assert_allclose(discounted_sums(values, starts, lengths, decay), expected)


@pytest.mark.parametrize("seed", range(3))
def test_means_of_contexts_are_shrunk_to_shorter_ones(seed):
    trie, rng = random_trie(seed, order=4), np.random.default_rng(seed)
    total, visits = rng.normal(size=trie.n_contexts), rng.integers(0, 4, trie.n_contexts)
    all_total, all_visits = np.zeros(trie.n_contexts), np.zeros(trie.n_contexts)
    for context in range(trie.n_contexts):
        at = context
        while at >= 0:
            all_total[at] += total[context]
            all_visits[at] += visits[context]
            at = trie.suffix[at]
    means = shrunk_means(trie, total, visits.astype(float))
    assert_allclose(means[0], all_total[0] / (all_visits[0] + 1))
    for context in range(1, trie.n_contexts):
        shorter = means[trie.suffix[context]]
        assert_allclose(means[context], (all_total[context] + shorter) / (all_visits[context] + 1))


def scored(problem, policy, rollouts):
    return rollouts.of_tokens(problem.token_scores(policy))


@pytest.mark.parametrize("gae_lambda", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_at_the_optimum_right_values_leave_no_advantage_for_any_lambda(seed, gae_lambda):
    problem = safe_problem(seed)
    optimum = problem.optimum()
    rollouts, critic = drawn_from(problem, optimum), ContextCritic(problem.trie, gae_lambda)
    values = problem.values(optimum)
    critic.restore({"values": values, "position_values": np.zeros(0), "has_learned": True})
    advantages = critic.advantages(rollouts, scored(problem, optimum, rollouts))
    assert_allclose(advantages, 0.0, atol=1e-9)
    assert_allclose(critic.values, values, atol=1e-9)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_known_of_all_tokens_is_the_step_of_policy_iteration(seed, gae_lambda):
    problem = safe_problem(seed)
    trie, policy = problem.trie, random_policy(problem, seed)
    critic = ContextCritic(trie, gae_lambda)
    values = np.random.default_rng(seed).normal(size=trie.n_contexts)
    critic.restore({"values": values, "position_values": np.zeros(0), "has_learned": True})
    scores = problem.token_scores(policy)
    worth = critic.worth_of_events(scores)
    # Token by token, back-offs included: its own score, and the value of the context after it.
    expected, following = dense_rows(trie, scores)
    expected += np.where(following >= 0, values[following], 0.0)
    assert_allclose(dense_rows(trie, worth)[0], expected)
    # To tilt by it takes the best next token of all, with these values after it.
    tilted = dense_rows(trie, problem.moved(policy, worth / problem.temperature))[0]
    logits = dense_rows(trie, policy)[0] + expected / problem.temperature
    assert_allclose(tilted, logits - logsumexp(logits, axis=1, keepdims=True), atol=1e-9)
    assert ContextCritic(trie, gae_lambda, sees_positions=True).worth_of_events(scores) is None


def test_only_what_is_not_known_has_a_slope_by_hand():
    advantages, known = np.array([1.0, -2.0, 3.0]), np.array([0.5, -2.5, 1.0])
    batch = PlacedAdvantages(np.array([True, True, False]), advantages, known)
    ratio = np.array([1.1, 0.9, 1.0])
    assert_allclose(batch.slopes(ratio, None), [0.55, 0.45, 0.0])
    assert batch.surrogate(ratio, None) == pytest.approx(1.1 - 1.8)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.95, 1.0])
def test_it_learns_the_exact_values_of_a_policy(gae_lambda):
    problem = safe_problem(1)
    policy = random_policy(problem, 1)
    critic = ContextCritic(problem.trie, gae_lambda)
    exact, visits = problem.context_values(policy)
    errors = []
    for seed in range(20):
        rollouts = drawn_from(problem, policy, 2000, seed)
        critic.advantages(rollouts, scored(problem, policy, rollouts))
        errors.append(critic.quality(exact, visits)["critic/error"])
    assert np.mean(errors[-10:]) < 0.1 * np.sqrt(visits @ exact**2 / visits.sum())


def test_advantages_of_the_first_batch_by_hand():
    """One document of two tokens, without a context but the root: V = (r1 + 2 r2) / 3."""
    trie = random_trie(0, order=1)
    problem = NGramObjective.of_model(random_model(trie, 0))
    rollouts = drawn_from(problem, problem.start, 50)
    rollouts = problem.sample(problem.start, 1, np.random.RandomState(0))
    while len(rollouts.tokens) != 2:
        rollouts = problem.sample(problem.start, 1, np.random.RandomState(rollouts.tokens[0] + 7))
    rewards = np.array([1.0, 4.0])
    critic = ContextCritic(trie, 1.0)
    advantages = critic.advantages(rollouts, rewards)
    assert_allclose(critic.values, [(5.0 + 4.0) / 3])
    assert_allclose(advantages, [5.0 - 3.0, 4.0 - 3.0])


def test_positions_are_worth_something_where_documents_are_cut():
    trie = random_trie(3, eos=None, n_tokens=5, n_documents=40)
    problem = NGramObjective.of_model(random_model(trie, 3), max_length=7)
    critic = ContextCritic(trie, 1.0, sees_positions=True)
    for seed in range(30):
        rollouts = drawn_from(problem, problem.start, 500, seed)
        advantages = critic.advantages(rollouts, np.ones(len(rollouts.tokens)))
    # Every token earns 1, so that what is to come is known to the position alone.
    assert_allclose(advantages, 0.0, atol=0.05)


def test_a_context_has_a_value_beside_those_of_longer_ones_by_hand():
    """Of 8 tokens after a long context and 1 after its suffix alone, which is worth 9."""
    trie = random_trie(0, order=3)
    long = int(np.flatnonzero(trie.context_length == 2)[0])
    inner = int(trie.suffix[long])
    rollouts = Bunch(contexts=np.array([long] * 8 + [inner]), positions=np.zeros(9, int))
    critic = ContextCritic(trie, 1.0)
    critic._learn(rollouts, (critic.values, critic.position_values), np.array([0.0] * 8 + [9.0]))
    root = 9.0 / 10  # of 9 tokens and one more visit, worth 0
    shared = (9.0 + root) / 10
    assert critic.values[0] == pytest.approx(root)
    assert critic.values[inner] == pytest.approx((9.0 + shared) / 2)
    assert critic.values[long] == pytest.approx(shared / 9)


@pytest.mark.parametrize("seed", range(3))
def test_features_of_documents_are_their_ngrams(seed):
    problem = safe_problem(seed)
    rollouts = drawn_from(problem, problem.start, 30, seed)
    columns, sizes = rollouts.features
    counts = np.zeros((30, problem.n_features))
    np.add.at(counts, (np.repeat(np.arange(30), sizes), columns), 1.0)
    assert_allclose(counts, (rollouts.events @ problem.trie.cumulative).toarray())
    values = np.random.default_rng(seed).normal(size=problem.n_features)
    expected = rollouts.sum_over_tokens(problem.of_features(values))
    assert_allclose(counts @ values, expected)
