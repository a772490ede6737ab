"""Where algorithms come to rest: the expected update, iterated, against the equation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab_iteration import (
    centred,
    check_log_prob,
    iterate,
    mean_advantages,
    ordered_move,
    standardised,
    tilted,
)
from numpy.testing import assert_allclose
from text_corpora import quick

from sklearn_codex import lab
from sklearn_codex.exact import (
    AdditiveObjective,
    CandidateObjective,
    NGramObjective,
    arc_reward,
    bigram_model,
)
from sklearn_codex.lab import algorithms, make_candidates, make_preferences, rest_point
from sklearn_codex.lab._expected import Sampling, drift, expected_move, find_rest, spectral_radius
from sklearn_codex.lab._rest_rewards import token_kl_rest

SIZES = [2, 3, 8]
CENTRED = {"norm_adv_by_std_in_grpo": False}
IN_REWARD = [name for name in algorithms if name.endswith("_in_reward")]


def candidates(seed, lengths=(1, 2, 2, 4), **options):
    return make_candidates(lengths, random_state=100 + seed, **{"kl_coef": 0.6} | options)


class TestExpectation:
    @pytest.mark.parametrize("group_size", [2, 3])
    @pytest.mark.parametrize("shared", [False, True])
    @pytest.mark.parametrize("name", ["grpo", "dapo", "ppo", "rloo", "gspo", "reinforce_plus_plus"])
    def test_multisets_are_all_ordered_groups(self, name, shared, group_size):
        problem = make_candidates(
            [1, 2, 3], n_prompts=2, prompt_prob=[0.3, 0.7], shared_first=shared, random_state=11
        )
        policy = problem.normalize(np.random.RandomState(0).standard_normal(6))
        found = expected_move(algorithms[name], problem, policy, Sampling(group_size)).mean
        assert_allclose(
            found, ordered_move(algorithms[name], problem, policy, group_size), atol=1e-8
        )

    @pytest.mark.parametrize("name", ["reinforce", "remax", "rloo", "ppo"])
    @pytest.mark.parametrize("group_size", SIZES)
    def test_exact_gradients(self, name, group_size):
        problem = make_candidates(
            [1, 2, 3], n_prompts=2, prompt_prob=[0.3, 0.7], shared_first=True, random_state=12
        )
        policy = problem.normalize(np.random.RandomState(1).standard_normal(6))
        found = expected_move(algorithms[name], problem, policy, Sampling(group_size)).mean
        assert_allclose(found, problem.exact_gradient(policy), atol=1e-12)

    def test_the_exact_gradient_is_that_of_the_objective(self):
        problem = make_candidates([1, 2], n_prompts=2, prompt_prob=[0.4, 0.6], random_state=13)
        logits = np.random.RandomState(2).standard_normal(4)
        found = [
            (problem.objective.value(problem.normalize(logits + row))
             - problem.objective.value(problem.normalize(logits - row))) / 2e-5
            for row in 1e-5 * np.eye(4)
        ]  # fmt: skip
        assert_allclose(problem.exact_gradient(problem.normalize(logits)), found, atol=1e-9)

    def test_values_of_the_perfect_critic_by_hand(self):
        tokens = np.array([[0, 1], [0, 2], [3, -1]])
        objective = CandidateObjective(
            np.log([0.2, 0.3, 0.5]), np.array([1.0, 2.0, 4.0]), np.zeros(3, dtype=int), kl_coef=0.5
        )
        problem = lab.CandidateProblem(objective, tokens)
        policy = np.log([0.3, 0.3, 0.4])
        first, second = np.log(0.6 / 0.5), np.log(0.5 / np.array([0.4, 0.6]))
        after = 0.5 * (1 - 0.5 * second[0]) + 0.5 * (2 - 0.5 * second[1])
        before = 0.6 * (after - 0.5 * first) + 0.4 * (4 - 0.5 * np.log(0.4 / 0.5))
        assert_allclose(
            problem.token_values(policy), [[before, after], [before, after], [before, 0]]
        )

    def test_drawn_batches_agree_within_their_error(self):
        problem = candidates(0)
        policy = problem.normalize(np.array([0.3, -0.2, 0.1, 0.0]))
        exact = expected_move(algorithms["grpo"], problem, policy, Sampling(4))
        drawn = expected_move(algorithms["grpo"], problem, policy, Sampling(4, n_samples=20_000))
        assert (exact.standard_error == 0).all()
        assert (drawn.standard_error > 0).all()
        assert np.abs((drawn.mean - exact.mean) / drawn.standard_error).max() < 4
        assert_allclose(drawn.variance, exact.variance, rtol=0.05)


class TestRewardInTheKL:
    @pytest.mark.parametrize("group_size", SIZES)
    @pytest.mark.parametrize("name", ["reinforce", "remax", "rloo", "ppo", "dr_grpo_kl_in_reward"])
    def test_rlhf_optimum(self, name, group_size):
        for seed, problem in enumerate([candidates(1), candidates(2, shared_first=True)]):
            gain = problem.rewards / 0.6
            found = iterate(
                algorithms[name], problem, group_size, rate=0.5 + 2.0 * (name[0] == "d")
            )
            check_log_prob(found, tilted(problem, gain))
            check_log_prob(rest_point(name, problem, group_size=group_size), tilted(problem, gain))
            assert seed < 2

    @pytest.mark.parametrize("group_size", SIZES)
    @pytest.mark.parametrize("name", [*IN_REWARD, "reinforce_plus_plus_baseline"])
    def test_advantages_that_are_0_at_the_optimum(self, name, group_size):
        problem = candidates(3, shared_first=True)
        best = problem.objective.optimum()
        # Also one half of 1/|o|: the whole shaped reward is centred, so no token has a price.
        assert np.abs(drift(algorithms[name], problem, best, Sampling(group_size))).max() < 1e-6
        found = find_rest(algorithms[name], problem, Sampling(group_size))
        check_log_prob(found.log_prob, best, atol=1e-6)

    def test_reinforce_plus_plus_goes_to_the_optimum_as_batches_grow(self):
        problem = candidates(4)
        gaps = [
            problem.objective.gap(rest_point("reinforce_plus_plus", problem, group_size=size))
            for size in (2, 4, 8, 16)
        ]
        assert gaps[0] > 1e-3
        assert (np.diff(np.log(gaps)) < -0.5).all()

    @pytest.mark.parametrize("estimator", ["k2", "k3"])
    def test_k2_and_k3_in_the_reward_give_up_bad_responses(self, estimator):
        # Both are least at the reference, and grow with the distance on either side: a response
        # that falls below it is pushed on.
        problem = candidates(5)
        algorithm = algorithms["rloo"].having(kl_estimator=estimator, kl_coef=1.0)
        found = find_rest(algorithm, problem, Sampling(3))
        assert not found.is_inside
        assert np.exp(found.log_prob[np.argmin(problem.rewards)]) < 1e-9


class TestKLInTheLoss:
    @pytest.mark.parametrize("group_size", [2, 3, 4])
    def test_grpo_classic(self, group_size):
        problem = candidates(6, kl_coef=0.9)
        found = iterate(algorithms["grpo"], problem, group_size, rate=0.3)
        worth = mean_advantages(problem, found, group_size, standardised)
        assert_allclose(np.exp(found) @ worth, 0, atol=1e-9)
        # No price per token, although both terms are divided by the length.
        check_log_prob(found, problem.reference - np.log1p(-worth / 0.9))
        check_log_prob(rest_point("grpo", problem, group_size=group_size), found)

    @pytest.mark.parametrize("group_size", SIZES)
    @pytest.mark.parametrize("name", ["grpo", "grpo_corrected", "grpo_no_std", "grpo_k2_in_loss",
                                      "dapo", "gspo", "cispo", "dr_grpo"])  # fmt: skip
    def test_equations_and_iteration_agree(self, name, group_size):
        problem = candidates(7, kl_coef=0.8)
        found = iterate(algorithms[name], problem, group_size, rate=0.3)
        check_log_prob(rest_point(name, problem, group_size=group_size), found, atol=1e-6)
        check_log_prob(find_rest(algorithms[name], problem, Sampling(group_size)).log_prob, found)

    @pytest.mark.parametrize("shared", [False, True])
    @pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
    @pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean"])
    def test_all_kinds_of_kl(self, mode, estimator, shared):
        problem = candidates(0, kl_coef=1.0, shared_first=shared)
        for corrected, deviation in itertools.product([False, True], [False, True]):
            options = {"norm_adv_by_std_in_grpo": deviation}
            algorithm = lab.RewardAlgorithm(
                "grpo", "ppo", mode, "loss", estimator, corrected, advantage_options=options
            )
            found = find_rest(algorithm, problem, Sampling(3))
            check_log_prob(rest_point(algorithm, problem, group_size=3), found.log_prob, 1e-6)

    @pytest.mark.parametrize("group_size", [2, 3, 4])
    def test_corrected_kl_and_deviation(self, group_size):
        problem = candidates(8)
        algorithm = algorithms["grpo_corrected"].having(loss_agg_mode="seq-mean-token-sum")
        found = rest_point(algorithm, problem, group_size=group_size)
        worth = mean_advantages(problem, found, group_size, standardised)
        check_log_prob(found, tilted(problem, worth / 0.6))

    @pytest.mark.parametrize("group_size", SIZES)
    def test_dr_grpo_is_rlhf_of_another_weight(self, group_size):
        problem = candidates(9)
        gain = problem.rewards * (group_size - 1) / (group_size * 0.6)
        check_log_prob(
            iterate(algorithms["dr_grpo"], problem, group_size, rate=2), tilted(problem, gain)
        )
        check_log_prob(rest_point("dr_grpo", problem, group_size=group_size), tilted(problem, gain))

    @pytest.mark.parametrize("group_size", [2, 3, 4])
    def test_a_mean_over_tokens_is_a_price_per_token(self, group_size):
        problem = candidates(10)
        found = rest_point("grpo_no_std", problem, group_size=group_size)
        worth = mean_advantages(problem, found, group_size, centred)
        price = (worth - 0.6 * (found - problem.reference)) / problem.lengths
        assert_allclose(price, price[0], atol=1e-9)
        kl = np.exp(found) @ (found - problem.reference)
        assert_allclose(price[0], -0.6 * kl / (np.exp(found) @ problem.lengths))
        assert abs(price[0]) > 1e-3
        assert_allclose(found, problem.reference + (worth - price[0] * problem.lengths) / 0.6)

    @pytest.mark.parametrize("group_size", SIZES)
    def test_k1_in_the_loss_maximises_the_reward_alone(self, group_size):
        problem = candidates(11)
        algorithm = algorithms["dr_grpo_k1_in_loss"]
        found = find_rest(algorithm, problem, Sampling(group_size))
        assert not found.is_inside
        best = np.argmax(problem.rewards)
        assert np.exp(found.log_prob[best]) > 1 - 1e-6
        assert np.exp(rest_point(algorithm, problem)[best]) == 1
        without = algorithm.having(kl_coef=0.0)
        policy = problem.normalize(np.array([0.5, 0.0, 0.2, -1.0]))
        moves = [
            expected_move(update, problem, policy, Sampling(group_size)).mean
            for update in (algorithm, without)
        ]
        assert_allclose(*moves, atol=1e-12)

    def test_k1_over_the_length_favours_long_responses(self):
        problem = candidates(12, reward_scale=0.0)
        algorithm = algorithms["grpo"].having(kl_estimator="k1", advantage_options=CENTRED)
        move = drift(algorithm, problem, problem.reference, Sampling(2))
        assert_allclose(np.argsort(move), np.argsort(problem.lengths))
        assert np.ptp(move) > 0.1

    @pytest.mark.parametrize("name", ["grpo_corrected", "grpo"])
    def test_the_scale_of_the_reward_is_lost(self, name):
        problem = candidates(13, kl_coef=1.0)
        double = make_candidates([1, 2, 2, 4], random_state=113, kl_coef=1.0, reward_scale=2.0)
        check_log_prob(rest_point(name, problem), rest_point(name, double), atol=1e-5)
        apart = rest_point("rloo", problem) - rest_point("rloo", double)
        assert np.abs(apart).max() > 0.1

    @pytest.mark.parametrize("group_size", SIZES)
    def test_a_token_does_not_pay_for_later_tokens(self, group_size):
        problem = candidates(14, lengths=(1, 2, 2, 3), shared_first=True)
        found = iterate(algorithms["dr_grpo"], problem, group_size, rate=1.0)
        check_log_prob(rest_point("dr_grpo", problem, group_size=group_size), found)
        gain = (group_size - 1) / (group_size * 0.6)
        check_log_prob(token_kl_rest(problem, gain), found)
        assert np.abs(np.exp(found) - np.exp(tilted(problem, gain * problem.rewards))).max() > 0.01

    def test_that_recursion_is_the_tilt_where_the_first_token_decides(self):
        problem = candidates(15)
        check_log_prob(token_kl_rest(problem, 1.3), tilted(problem, 1.3 * problem.rewards))

    @pytest.mark.parametrize("name", ["grpo", "grpo_no_std", "dr_grpo", "rloo"])
    def test_prompts_rest_each_on_its_own(self, name):
        problem = make_candidates(
            [1, 2, 3], n_prompts=2, prompt_prob=[0.2, 0.8], kl_coef=0.9, random_state=31
        )
        whole = rest_point(name, problem, group_size=3)
        check_log_prob(find_rest(algorithms[name], problem, Sampling(3)).log_prob, whole)
        rows = problem.prompts == 1
        objective = CandidateObjective(
            problem.reference[rows] - np.log(0.8), problem.rewards[rows], np.zeros(3, dtype=int),
            kl_coef=0.9,
        )  # fmt: skip
        alone = lab.CandidateProblem(objective, problem.tokens[rows])
        check_log_prob(rest_point(name, alone, group_size=3), whole[rows] - np.log(0.8))


class TestAnyProblem:
    @given(st.integers(0, 2**31 - 1), st.integers(2, 4), st.booleans())
    @quick
    def test_leave_one_out_is_exact(self, seed, group_size, shared):
        problem = make_candidates([1, 2, 3, 3], shared_first=shared, random_state=seed)
        policy = problem.normalize(2 * np.random.RandomState(seed).standard_normal(4))
        for name in ("rloo", "ppo"):
            found = expected_move(algorithms[name], problem, policy, Sampling(group_size)).mean
            assert_allclose(found, problem.exact_gradient(policy), atol=1e-10)

    @given(st.integers(0, 2**31 - 1), st.sampled_from(["grpo", "dapo", "grpo_no_std"]))
    @settings(quick, max_examples=30)
    def test_equations_hold_at_their_solution(self, seed, name):
        problem = make_candidates([1, 2, 4], random_state=seed, kl_coef=1.5)
        rest = rest_point(name, problem, group_size=3)
        assert np.abs(drift(algorithms[name], problem, rest, Sampling(3))).max() < 1e-6


class TestDocuments:
    def test_the_optimum_of_unigram_documents_is_that_of_tokens(self):
        token, reward = np.log([0.5, 0.3, 0.2]), np.array([1.0, -0.5, 0.2])
        problem = lab.make_documents(token, reward, 3, kl_coef=0.7)
        by_token = AdditiveObjective(token, reward, length=3, kl_coef=0.7).optimum()
        check_log_prob(rest_point("ppo", problem), by_token[problem.tokens].sum(axis=1))

    def test_the_optimum_of_bigram_documents_is_that_of_the_chain(self):
        model = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
        first, reward = np.array([0.5, 0.2, 0.3]), np.array([1.0, -0.5, 0.2])
        reference = bigram_model(model, first)
        of_arcs = arc_reward(reference, reward)
        chain = NGramObjective.of_model(reference, of_arcs, max_length=3, kl_coef=0.7)
        problem = lab.make_documents(
            np.log(model), reward, 3, first_log_prob=np.log(first), kl_coef=0.7
        )
        best = rest_point("rloo", problem)
        assert_allclose(problem.objective.value(best), chain.optimal_value())
        by_position = chain.policy_model(chain.time_dependent_optimum().log_prob)
        contexts = chain.trie.context_of_arc[np.arange(3)]
        policy = by_position.at_position(2).next_log_prob(contexts)
        tokens = problem.token_log_prob(best)[:, 2]
        assert_allclose(tokens, policy[problem.tokens[:, 1], problem.tokens[:, 2]])

    def test_ppo_iterated_over_documents(self):
        problem = lab.problems["bigram"]()
        found = iterate(algorithms["ppo"], problem, 2, rate=0.5)
        check_log_prob(found, problem.objective.optimum())

    def test_what_is_refused(self):
        with pytest.raises(ValueError, match=r"shape \(V,\) or \(V, V\), got \(2,\) and \(3,\)"):
            lab.make_documents(np.log([0.5, 0.5]), np.zeros(3), 2)
        with pytest.raises(ValueError, match=r"at most 4,096 documents, but there are 2\*\*13"):
            lab.make_documents(np.log([0.5, 0.5]), np.zeros(2), 13)
        with pytest.raises(
            ValueError, match=r"at most 4,096 documents, but there are 2\*\*1000000"
        ):
            lab.make_documents(np.log([0.5, 0.5]), np.zeros(2), 10**30)
        with pytest.raises(ValueError, match="1 documents of 1e30 tokens would hold more tokens"):
            lab.make_documents([0.0], [1.0], 10**30)


class TestStability:
    def test_the_spectral_radius_is_the_rate_of_return(self):
        problem = candidates(16)
        best, sampling = problem.objective.optimum(), Sampling(3, learning_rate=1.5)
        radius = spectral_radius(algorithms["rloo"], problem, best, sampling)
        log_prob = problem.normalize(best + 0.1 * np.arange(4))
        sizes = []
        for _ in range(900):
            move = expected_move(algorithms["rloo"], problem, log_prob, sampling).mean
            log_prob = problem.normalize(log_prob + 1.5 * move)
            sizes.append(np.abs(log_prob - best).max())
        assert_allclose(sizes[-1] / sizes[-2], radius, rtol=1e-4)

    def test_the_jacobian_at_the_optimum_by_hand(self):
        # Of pi (s - mean), where s is constant: -b (diag(pi) - pi pi'), less that of the anchor.
        problem = make_candidates([1, 1], random_state=7, kl_coef=0.6)
        best = problem.objective.optimum()
        prob = np.exp(best)
        radius = spectral_radius(algorithms["rloo"], problem, best, Sampling(2))
        assert_allclose(radius, 1 - 2 * 0.6 * prob[0] * prob[1], rtol=1e-6)


class TestRefusals:
    def test_what_does_not_go_together(self):
        with pytest.raises(ValueError, match=r"one of reinforce, .* got 'ppo2'"):
            rest_point("ppo2", "lengths")
        with pytest.raises(ValueError, match=r"one of standard, .* got 'long'"):
            rest_point("ppo", "long")
        with pytest.raises(ValueError, match="got RewardAlgorithm and PreferenceProblem"):
            rest_point("ppo", "two-sided")
        with pytest.raises(ValueError, match="needs kl_in, one of reward, loss, got 'both'"):
            lab.RewardAlgorithm("rloo", kl_in="both")
        with pytest.raises(ValueError, match=r"needs loss, one of 'dpo', .* got 'ppo'"):
            lab.PreferenceAlgorithm("ppo")

    def test_problems(self):
        base = make_candidates([1, 2])
        with pytest.raises(ValueError, match=r"none is the beginning of another .* row 0 is"):
            lab.CandidateProblem(base.objective, np.array([[1, -1], [1, 2]]))
        with pytest.raises(ValueError, match="begin in the first column and go on without a gap"):
            lab.CandidateProblem(base.objective, np.array([[-1, 1], [1, 2]]))
        with pytest.raises(ValueError, match=r"shape \(2, n_tokens\).* got shape \(3, 1\)"):
            lab.CandidateProblem(base.objective, np.ones((3, 1), dtype=int))
        with pytest.raises(ValueError, match="lists at most 20,000 groups, but there are"):
            make_candidates(np.ones(20, dtype=int)).groups(np.full(20, -np.log(20)), 8)
        pairs = make_preferences(2)
        with pytest.raises(ValueError, match="some of a response against itself"):
            lab.PreferenceProblem(pairs.objective, np.ones((2, 2)), np.ones(2))
        with pytest.raises(ValueError, match=r"needs source, one of .* got 'offline'"):
            pairs.drawn_from("offline")
        with pytest.raises(ValueError, match=r"needs lengths.*shape \(2,\)"):
            lab.PreferenceProblem(pairs.objective, [[0, 1], [1, 0]], np.ones(3))
        apart = np.zeros((4, 4))
        apart[0, 1] = apart[1, 0] = apart[2, 3] = apart[3, 2] = 1
        islands = lab.PreferenceProblem(make_preferences(4).objective, apart, np.ones(4))
        for name in ("ipo", "dpo_label_smoothing"):
            with pytest.raises(ValueError, match="by no chain of pairs"):
                rest_point(name, islands)
        never = lab.PreferenceProblem(
            make_preferences(3).objective, [[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.ones(3)
        )
        with pytest.raises(ValueError, match="rows 0 and 2 never did"):
            never.drawn_from("online")

    @pytest.mark.parametrize("name", lab.problems)
    def test_problems_say_what_they_are_for(self, name):
        problem = lab.problems[name]()
        assert problem.name == name
        assert len(problem.reason) > 30

    @pytest.mark.parametrize(
        ("make", "options", "match"),
        [
            (make_candidates, {"lengths": []}, r"needs lengths, .* got \[\]"),
            (make_candidates, {"lengths": [1, 0]}, "lengths"),
            (make_candidates, {"lengths": [1, 1.5]}, r"whole numbers from 1, got \[1, 1.5\]"),
            (make_candidates, {"kl_coef": 0}, "kl_coef > 0"),
            (make_candidates, {"n_prompts": 0}, "n_prompts"),
            (make_candidates, {"n_prompts": 2, "prompt_prob": [1.0]}, "prompt_prob"),
            (make_candidates, {"reward_scale": np.nan}, "reward_scale"),
            (make_preferences, {"n_responses": 1}, "n_responses"),
            (make_preferences, {"flip_rate": 1.5}, "flip_rate"),
            (make_preferences, {"lengths": [1, 2]}, "lengths"),
            (make_preferences, {"weights": [1, 2]}, "weights"),
        ],
    )
    def test_makers(self, make, options, match):
        with pytest.raises(ValueError, match=match) as caught:
            make(**options)
        assert str(caught.value).startswith(make.__name__)
