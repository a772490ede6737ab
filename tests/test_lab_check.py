"""Checks of algorithms: right ones pass, wrong ones are caught, numbers mean what is said."""

import re

import numpy as np
import pytest
from lab_iteration import jacobian
from numpy.testing import assert_allclose
from scipy.special import log_softmax

from sklearn_codex import lab
from sklearn_codex.exact import CandidateObjective
from sklearn_codex.lab import (
    PreferenceAlgorithm,
    algorithms,
    check_algorithm,
    make_candidates,
    mistakes,
    problems,
    rest_point,
)
from sklearn_codex.lab._expected import Sampling, expected_move, find_rest, is_natural
from sklearn_codex.lab._table import Groups

QUICK = {"group_sizes": (), "learning_rates": (), "more_epochs": ()}
FEW = {"group_sizes": (), "more_epochs": ()}
FEWER = {"learning_rates": (), "more_epochs": ()}
# What rests at the RLHF optimum.
RIGHT = [
    "reinforce", "remax", "rloo", "reinforce_plus_plus_baseline", "ppo", "grpo_kl_in_reward",
    "dr_grpo_kl_in_reward", "dapo_kl_in_reward", "gspo_kl_in_reward", "cispo_kl_in_reward", "dpo",
    "online_dpo",
]  # fmt: skip


def problem_of(algorithm):
    return "two-sided" if isinstance(algorithm, PreferenceAlgorithm) else "standard"


def rloo(log_prob, batch):
    """Return the gradient of leave-one-out with the KL in the reward, for a single batch."""
    cost = batch.kl_coef * (batch.old_log_prob - batch.ref_log_prob)
    score = np.where(batch.response_mask, batch.token_level_rewards - cost, 0).sum(axis=1)
    worth = score - (score.sum() - score) / (len(score) - 1)
    return -worth[:, np.newaxis] * batch.response_mask / len(score)


class Stepped:
    """Take the step of a gradient, plain or natural, and return the policy it leads to."""

    takes_stacks = True

    def __init__(self, update, problem, rate, natural):
        self.update, self.problem, self.rate, self.natural = update, problem, rate, natural

    def __call__(self, log_prob, batch):
        policy, out = batch.policy_log_prob, self.update(log_prob, batch)
        ascent = -self.problem.logit_gradient(
            Groups(batch.rows, np.ones(len(batch.rows)), True),
            policy,
            out[1] if isinstance(out, tuple) else out,
        )
        return policy + self.rate * (ascent / np.exp(policy) if self.natural else ascent)


class TestVerdicts:
    def test_counts(self):
        assert len(mistakes) == 15
        assert len(algorithms) == 32
        assert len(RIGHT) == 12
        assert set(RIGHT) < set(algorithms)

    @pytest.mark.parametrize("problem", ["standard", "lengths"])
    @pytest.mark.parametrize("name", mistakes)
    def test_all_mistakes_are_caught(self, name, problem):
        check = check_algorithm(mistakes[name], problem, **QUICK)
        assert not check.passed
        assert check.distance > 0.03
        assert check.gradient_error > 0.01
        with pytest.raises(AssertionError, match="The update is biased"):
            check.assert_unbiased()

    def test_without_their_fault_they_pass(self):
        in_loss = algorithms["rloo"].having(kl_in="loss", kl_estimator="k2")
        for update in (algorithms["rloo"], in_loss):
            check = check_algorithm(update, "lengths", **QUICK)
            check.assert_unbiased(1e-9)
            assert check.gradient_error < 1e-9

    @pytest.mark.parametrize("name", algorithms)
    def test_right_ones_pass_and_only_they(self, name):
        algorithm = algorithms[name]
        check = check_algorithm(algorithm, problem_of(algorithm), **QUICK)
        assert check.passed == (name in RIGHT)
        assert check.distance < 1e-6 if check.passed else check.distance > 0.01

    @pytest.mark.parametrize("name", algorithms)
    def test_each_passes_at_its_own_rest_point(self, name):
        algorithm = algorithms[name]
        problem = problem_of(algorithm)
        target = rest_point(algorithm, problem)
        check = check_algorithm(algorithm, problem, target=target, **QUICK)
        check.assert_unbiased()
        assert ("by a way of its own" in check.verdict) == (
            name in RIGHT and check.gradient_error > 1e-3
        )

    @pytest.mark.parametrize("kl_coef", [0.05, 10.0, 100.0])
    def test_a_weight_of_the_kl_out_of_the_ordinary_hides_nothing(self, kl_coef):
        # All mass is on one response whatever the KL does, or all is near the reference.
        problem = make_candidates(kl_coef=kl_coef)
        small = 0
        for name in ("kl_sign", "k1_in_loss", "kl_to_old_policy", "k3_in_loss"):
            check = check_algorithm(mistakes[name], problem, **QUICK)
            assert not check.passed
            small += check.distance < 1e-3
        assert small > 0
        for name in ("rloo", "ppo", "grpo_kl_in_reward"):
            check_algorithm(name, problem, **QUICK).assert_unbiased()

    @pytest.mark.parametrize("random_state", [1, 2, 4, 6])
    @pytest.mark.parametrize("kl_coef", [0.005, 0.03, 0.05])
    def test_a_small_weight_of_the_kl_is_told_or_refused(self, kl_coef, random_state):
        problem = make_candidates(kl_coef=kl_coef, random_state=random_state)
        half = algorithms["rloo"].having(kl_coef=kl_coef / 2)
        wrong = [half, *map(mistakes.get, ("kl_to_old_policy", "reward_by_length", "k3_in_loss"))]
        wrong.append(mistakes["mask_off_by_one"])
        try:
            check_algorithm("rloo", problem, **QUICK).assert_unbiased()
        except ValueError as refusal:
            for update in wrong:
                with pytest.raises(ValueError, match=f"with kl_coef={kl_coef:g}, whose best"):
                    check_algorithm(update, problem, **QUICK)
            # What it says would do does.
            enough = float(re.search(r"a kl_coef of (\S+) or", str(refusal))[1])
            problem = make_candidates(kl_coef=enough, random_state=random_state)
            check_algorithm("rloo", problem, **QUICK).assert_unbiased()
        for update in wrong:
            assert not check_algorithm(update, problem, **QUICK).passed

    def test_what_a_small_weight_of_the_kl_hides(self):
        def refused(reward, tokens, log_reference=(-1.0, -1.0, -1.0), kl_coef=0.01):
            objective = CandidateObjective(
                log_softmax(log_reference), np.array(reward), np.zeros(3, int), kl_coef=kl_coef
            )
            problem = lab.CandidateProblem(objective, np.array(tokens))
            return pytest.raises(ValueError, match="at which wrong algorithms"), problem

        one, long = [[1], [2], [3]], [[1, -1], [2, -1], [3, 4]]
        for reward, tokens, why in (
            # Two of equal reward are as they were whatever the KL weighs.
            ([1.0, 1.0, 0.0], one, "leaves 2 responses of one reward of prompt 0"),
            ([1.0, 0.0, 0.0], one, "leaves one response of prompt 0"),
            ([0.0, 0.1, 1.0], long, "leaves one response"),
            ([1.0, 0.9, 0.0], long, "leaves responses of 2 tokens, but for one that takes all"),
            ([0.0, 0.9, 1.0], [[1, -1, -1], [2, 2, -1], [3, 4, 5]], "leaves responses of 3 tokens"),
        ):
            raises, problem = refused(reward, tokens)
            with raises as caught:
                check_algorithm("rloo", problem, **QUICK)
            assert why in str(caught.value)
            # A target of one's own says what is to be told.
            check_algorithm("rloo", problem, target=problem.objective.optimum(), **QUICK)
        raises, problem = refused([1.0, 0.0, 0.0], one, [0.0, -40.0, -40.0], kl_coef=1.0)
        with raises as caught:
            check_algorithm("rloo", problem, **QUICK)
        assert "No other kl_coef does" in str(caught.value)

    @pytest.mark.parametrize("name", ["reinforce", "rloo", "ppo"])
    def test_what_all_but_takes_all_holds_no_other_back(self, name):
        # A response is to rest 27 nats below the best, whose force is rounding: no step is due.
        problem = make_candidates(kl_coef=0.02, random_state=6)
        rest = find_rest(algorithms[name], problem, Sampling())
        assert rest.is_found
        assert_allclose(np.exp(rest.log_prob), np.exp(problem.objective.optimum()), atol=1e-9)

    def test_the_error_of_log_ratios_by_hand(self):
        problem = make_candidates([1, 1, 1], n_prompts=2, random_state=3)
        target = problem.normalize(problem.reference + np.array([0.0, 1.0, -2.0, 0.0, 0.5, 0.0]))
        rested = problem.normalize(target + np.array([0.1, 0.0, -0.3, 0.0, 0.0, 0.0]))
        best = np.argmax(target[:3])
        off = np.array([0.1, 0.0, -0.3]) - [0.1, 0.0, -0.3][best]
        tilt = np.array([0.0, 1.0, -2.0]) - [0.0, 1.0, -2.0][best]
        expected = np.abs(off).max() / np.abs(tilt).max()
        assert_allclose(lab._check._tilt_error(problem, rested, target), expected)

    @pytest.mark.parametrize("scale", [1e-12, 1e-7, 1e7])
    def test_the_size_of_an_update_is_free(self, scale):
        check = check_algorithm(lambda x, batch: scale * rloo(x, batch), **QUICK)
        check.assert_unbiased(1e-9)
        in_large = make_candidates(reward_scale=1e6, kl_coef=5e5)
        check_algorithm("reinforce", in_large, **QUICK).assert_unbiased()

    def test_a_target_that_repels(self):
        check = check_algorithm("rloo", "one-token", learning_rate=1e3, **QUICK)
        assert check.passed
        assert check.verdict.endswith(f"its radius is {check.spectral_radius:.3g}.")
        jumps = check_algorithm("dr_grpo_kl_in_reward", "one-token", **QUICK)
        assert ("jumps" in jumps.verdict) == np.isinf(jumps.spectral_radius)

    def test_a_default_that_is_not_the_smallest_problem(self):
        problem = problems["standard"]()
        assert not problem.first_token_decides
        assert len(set(problem.lengths)) == 4
        assert problem.kl_coef != 1


class TestMeasures:
    def test_the_effective_weight_of_the_kl(self):
        check = check_algorithm(algorithms["dr_grpo"], "lengths", group_sizes=(2, 8))
        sizes = [s for s in check.settings if s.epochs == 1]
        for setting in sizes:
            G = setting.group_size
            assert_allclose(setting.kl_coef, 0.5 * G / (G - 1), rtol=1e-6)
            assert_allclose(setting.length_bias, 0, atol=1e-7)
        assert [s.group_size for s in check.settings] == [4, 2, 8, 4, 4, 4]
        assert [s.learning_rate for s in check.settings] == [1, 1, 1, 0.1, 10, 1]
        assert [s.epochs for s in check.settings] == [1, 1, 1, 1, 1, 4]

    def test_the_price_of_a_token(self):
        problem = problems["lengths"]()
        check = check_algorithm(algorithms["grpo_no_std"], problem, **QUICK)
        worth, _ = lab.expected_advantage(problem, check.log_prob, 4, norm_adv_by_std_in_grpo=False)
        price = (worth - 0.5 * (check.log_prob - problem.reference)) / problem.lengths
        assert_allclose(check.length_bias, -price[0] / 0.5, rtol=1e-5)
        assert_allclose(check.kl_coef, 0.5 * 4 / 3, rtol=1e-5)

    @pytest.mark.parametrize("name", ["grpo", "dr_grpo", "rloo", "grpo_kl_in_reward"])
    def test_no_price_of_a_token(self, name):
        # Of GRPO's classic form, too: with k3 the sum of the probabilities leaves no price.
        check = check_algorithm(algorithms[name], "lengths", **QUICK)
        assert_allclose(check.length_bias, 0, atol=1e-6)
        assert np.isnan(check_algorithm(algorithms[name], "one-token", **QUICK).length_bias)

    def test_the_price_of_a_token_in_preferences(self):
        of_simpo = check_algorithm(algorithms["simpo"], "two-sided", **QUICK).length_bias
        assert of_simpo < -0.2
        assert_allclose(check_algorithm(algorithms["dpo"], "two-sided", **QUICK).length_bias, 0)

    def test_no_weight_of_the_kl_where_it_cannot_be_told_from_the_length(self):
        check = check_algorithm("rloo", make_candidates([1, 2]), **QUICK)
        assert check.passed
        assert np.isnan(check.kl_coef)
        assert np.isnan(check.length_bias)

    def test_rare_responses(self):
        check = check_algorithm(algorithms["dr_grpo"], "lengths", **QUICK)
        problem = check.problem
        rarest = np.argmin(problem.reference)
        assert_allclose(check.rare_response, check.log_prob[rarest] - check.target[rarest])
        assert check.rare_response < -0.1

    def test_radius_falls_with_the_learning_rate(self):
        check = check_algorithm(rloo, "one-token", group_sizes=(), more_epochs=())
        slow, fast = (s.spectral_radius for s in check.settings[1:])
        assert_allclose((1 - slow) / 0.1, (1 - check.spectral_radius), rtol=1e-4)
        assert_allclose((1 - fast) / 10, (1 - check.spectral_radius), rtol=1e-4)

    def test_what_jumps_does_not_stand_still(self):
        assert check_algorithm(algorithms["grpo_kl_in_reward"], **QUICK).spectral_radius > 100

    def test_noise_falls_with_the_group_size(self):
        check = check_algorithm(
            algorithms["rloo"], "one-token", group_sizes=(8, 16), learning_rates=(), more_epochs=()
        )
        noise = [s.noise for s in check.settings]
        assert noise[0] > 1.8 * noise[1] > 3.2 * noise[2]

    def test_noise_by_hand(self):
        # REINFORCE of two rewards, a group of one: the move is -pi_k r g with g = (1 - p, p - 1).
        problem = make_candidates([1, 1], kl_coef=1.0, random_state=5)
        check = check_algorithm(algorithms["reinforce"], problem, group_size=1, **QUICK)
        p, r = np.exp(problem.reference), problem.rewards
        moves = np.array([r[0] * p[1], -r[1] * p[0]])[:, np.newaxis] * [1, -1]
        mean = p @ moves
        variance = p @ ((moves - mean) ** 2).sum(axis=1)
        assert_allclose(check.noise, variance / (mean @ mean))

    def test_clipping_is_seen_with_more_epochs_alone(self):
        check = check_algorithm(algorithms["dapo_kl_in_reward"], group_sizes=(), learning_rates=())
        assert check.clipped == 0
        assert 0.2 < check.settings[1].clipped < 1
        never = check_algorithm(algorithms["cispo_kl_in_reward"], group_sizes=())
        assert never.settings[-1].clipped == 0

    def test_the_angle_of_gradients_by_hand(self):
        problem = problems["one-token"]()

        def askew(log_prob, batch):
            # Half of the KL: at the reference it is right, elsewhere it is not.
            half = problem.kl_coef / 2
            cost = half * (batch.old_log_prob - batch.ref_log_prob)
            score = (batch.token_level_rewards - cost).sum(axis=1)
            worth = score - (score.sum() - score) / (len(score) - 1)
            return -worth[:, np.newaxis] / len(score) * np.ones(log_prob.shape)

        check = check_algorithm(askew, problem, **QUICK)
        rng_policies = lab._check._policies(problem, np.random.RandomState(0).randint(2**31 - 1))
        exact = np.concatenate([problem.exact_gradient(p) for p in rng_policies])
        half = type(problem)(problem.objective.having(kl_coef=0.25), problem.tokens)
        found = np.concatenate([half.exact_gradient(p) for p in rng_policies])
        cosine = found @ exact / np.linalg.norm(found) / np.linalg.norm(exact)
        assert_allclose(check.gradient_error, np.sqrt(1 - cosine**2), rtol=1e-8)
        assert_allclose(check.kl_coef, 0.25)


class TestCalls:
    def test_a_plain_function_and_one_of_stacks_agree(self):
        plain = check_algorithm(rloo, **QUICK)
        stacked = check_algorithm(algorithms["rloo"], **QUICK)
        for name in ("distance", "noise", "spectral_radius", "kl_coef"):
            assert_allclose(getattr(plain, name), getattr(stacked, name), rtol=1e-6, atol=1e-9)
        assert plain.passed

    def test_loss_and_gradient(self):
        check = check_algorithm(lambda x, batch: (0.0, rloo(x, batch)), **QUICK)
        assert check.passed

    def test_functions_of_others_are_called_by_the_names_of_their_arguments(self):
        seen = []

        def advantage(token_level_rewards, values, response_mask, gamma=1.0, lam=0.5):
            seen.append((response_mask.dtype, token_level_rewards.ndim))
            return lab.gae_advantage(token_level_rewards, values, response_mask, gamma, lam)

        def loss(old, new, advantages, response_mask, loss_agg_mode, clip=0.1):
            seen.append((clip, loss_agg_mode))
            return lab.ppo_loss(old, new, advantages, response_mask, loss_agg_mode, clip_ratio=clip)

        algorithm = lab.RewardAlgorithm(advantage, loss, loss_options={"clip": 0.3})
        check = check_algorithm(algorithm, "one-token", **QUICK)
        assert check.passed
        assert set(seen) == {(np.dtype(float), 2), (0.3, "seq-mean-token-sum")}
        found = rest_point(algorithm, "one-token")
        assert_allclose(found, check.target, atol=1e-6)

    @pytest.mark.parametrize("natural", [False, True])
    def test_a_new_policy(self, natural):
        problem = problems["lengths"]()

        def step(log_prob, batch):
            policy, by_tokens = batch.policy_log_prob, rloo(log_prob, batch)
            rows = np.zeros((len(policy), log_prob.shape[1]))
            np.add.at(rows, batch.rows, by_tokens)
            ascent = -problem.pull_back(policy, rows)
            return log_softmax(policy + 0.01 * (ascent / np.exp(policy) if natural else ascent))

        check = check_algorithm(step, problem, **QUICK)
        assert check.distance < 1e-6
        assert check.gradient_error < (0.02 if natural else 0.01)

    @pytest.mark.parametrize("name", ["reinforce", "rloo", "remax", "dr_grpo"])
    @pytest.mark.parametrize(("natural", "rate"), [(False, 0.1), (True, 0.01), (True, 1.0)])
    def test_a_new_policy_rests_where_the_gradient_does(self, name, natural, rate):
        problem = make_candidates([1, 2, 2], kl_coef=0.7, random_state=11)
        step = Stepped(algorithms[name], problem, rate, natural)
        check = check_algorithm(step, problem, group_size=2, **QUICK)
        by_gradient = check_algorithm(name, problem, group_size=2, **QUICK)
        assert check.passed == by_gradient.passed == (name in RIGHT)
        assert_allclose(np.exp(check.log_prob), np.exp(by_gradient.log_prob), atol=1e-6)
        assert is_natural(step, problem, Sampling(2)) == natural

    @pytest.mark.parametrize("name", ["kl_sign", "k3_in_loss", "own_reward_in_baseline"])
    @pytest.mark.parametrize("natural", [False, True])
    def test_a_new_policy_hides_no_mistake(self, name, natural):
        problem = make_candidates([1, 2, 2], kl_coef=0.7, random_state=11)
        step = Stepped(mistakes[name], problem, 0.1, natural)
        assert not check_algorithm(step, problem, group_size=2, **QUICK).passed

    def test_a_new_policy_has_its_own_rate_and_no_scale(self):
        problem = problems["one-token"]()
        radius = {}
        for place, logits in (("new", 0.0), ("in place", 0.0), ("logits", 5.0)):

            def step(log_prob, batch, place=place, logits=logits):
                policy = batch.policy_log_prob
                rows = np.zeros((3, 1))
                np.add.at(rows, batch.rows, rloo(log_prob, batch))
                moved = log_softmax(policy - 0.1 * problem.pull_back(policy, rows)) + logits
                if place == "in place":
                    batch.policy_log_prob[:] = moved
                    return batch.policy_log_prob
                return moved

            check = check_algorithm(step, problem, learning_rates=(10.0,), **FEW)
            check.assert_unbiased(1e-9)
            assert check.settings[1].spectral_radius == check.spectral_radius
            radius[place] = check.spectral_radius
        of_gradient = check_algorithm(rloo, problem, learning_rate=0.1, **QUICK).spectral_radius
        assert_allclose(list(radius.values()), of_gradient, atol=1e-4)

    def test_the_source_of_a_problem_is_kept(self):
        online = problems["two-sided"]().drawn_from("online", 0.25)

        def update(log_prob, batch):
            return np.stack(lab.dpo_loss(
                log_prob[:, 0], log_prob[:, 1], batch.ref_log_prob[:, 0], batch.ref_log_prob[:, 1],
                beta=batch.kl_coef,
            )[1:], axis=-1)  # fmt: skip

        check = check_algorithm(update, online, **QUICK)
        assert check.passed
        assert (check.problem.source, check.problem.mixture_coef) == ("online", 0.25)
        assert "group" not in str(check).split()

    def test_batches_are_what_they_say(self):
        problem = problems["standard"]()
        seen = []

        def record(log_prob, batch):
            seen.append(batch)
            assert log_prob.shape == (len(batch), 4) == batch.values.shape
            assert_allclose(
                batch.ref_log_prob, problem.token_log_prob(problem.reference)[batch.rows]
            )
            assert_allclose(batch.token_level_rewards.sum(axis=1), problem.rewards[batch.rows])
            last = np.take_along_axis(
                batch.token_level_rewards,
                batch.response_mask.sum(axis=1)[:, np.newaxis] - 1,
                axis=1,
            )
            assert_allclose(last[:, 0], problem.rewards[batch.rows])
            in_response = np.where(batch.response_mask, log_prob, 0.0).sum(axis=1)
            assert_allclose(in_response, batch.policy_log_prob[batch.rows])
            assert_allclose(log_prob[~batch.response_mask].shape, (~batch.response_mask).sum())
            return np.zeros(log_prob.shape)

        policy = problem.normalize(np.random.RandomState(2).standard_normal(5))
        expected_move(record, problem, policy, Sampling(2))
        assert len(seen) == 15  # pairs of five responses, in any order

    def test_padding_that_is_trained_does_not_pass(self):
        def everywhere(log_prob, batch):
            return rloo(log_prob, batch)[:, :1] * np.ones(log_prob.shape)

        problem = make_candidates([1, 3])
        check = check_algorithm(everywhere, problem, group_size=2, **QUICK)
        assert check.distance < 1e-6
        assert not check.passed
        # Of two responses drawn, one each: the gradients are as great, 2 of 6 places are padding.
        assert_allclose(check.on_padding, 2 / 6)
        assert "Padding is trained: it has 0.333 of the gradient." in check.verdict
        drawn = check_algorithm(everywhere, problem, group_size=2, n_samples=100, **QUICK)
        assert not drawn.passed

    def test_what_scales_advantages_fails_by_its_gradient_alone(self):
        def by_length(log_prob, batch):
            return rloo(log_prob, batch) / batch.response_mask.sum(axis=1, keepdims=True)

        problem = make_candidates([1, 2, 3])
        check = check_algorithm(by_length, problem, group_size=2, **QUICK)
        check.assert_unbiased()
        with pytest.raises(AssertionError, match="The update is biased"):
            check.assert_unbiased(gradient=True)
        right = check_algorithm("rloo", problem, group_size=2, **QUICK)
        right.assert_unbiased(gradient=True)
        pairs = check_algorithm("dpo", "two-sided", **QUICK)
        with pytest.raises(ValueError, match="needs gradient=False on preferences"):
            pairs.assert_unbiased(gradient=True)

    def test_a_search_that_goes_round_ends(self):
        calls = []

        def forward(log_prob, batch):
            calls.append(1)
            d = batch.ref_log_prob - batch.old_log_prob
            d = np.where(batch.response_mask, d, 0.0).sum(axis=1)
            score = batch.token_level_rewards.sum(axis=1) - batch.kl_coef * np.exp(d) * d
            worth = score - (score.sum() - score) / (len(score) - 1)
            return -worth[:, np.newaxis] * batch.response_mask / len(score)

        problem = problems["standard"]()
        rest = find_rest(forward, problem, Sampling(2))
        assert not rest.is_found
        # Of 600 steps with 15 batches each it takes the fewest.
        assert len(calls) < 300 * 15

    def test_updates_of_another_kind_of_problem(self):
        with pytest.raises(AttributeError, match=r"'token_level_rewards': .* such as \"standard\""):
            check_algorithm(lambda x, batch: batch.token_level_rewards, "two-sided", **QUICK)
        with pytest.raises(AttributeError, match=r"'preference': .* such as \"two-sided\""):
            check_algorithm(lambda x, batch: batch.preference, **QUICK)
        with pytest.raises(AttributeError, match=r"'Batch' object has no attribute 'x'$"):
            check_algorithm(lambda x, batch: batch.x, **QUICK)

    def test_a_group_of_one_that_is_compared(self):
        def alone(log_prob, batch):
            return np.full(log_prob.shape, np.nan)

        with pytest.raises(ValueError, match="has one response"):
            check_algorithm(alone, group_size=1, **QUICK)

    def test_what_never_moves(self):
        check = check_algorithm(lambda log_prob, batch: 0 * log_prob, **QUICK)
        assert check.distance > 0.1
        assert check.gradient_error == 1
        assert check.noise == np.inf

    def test_padding_shows_the_first_token_once_more(self):
        problem = problems["lengths"]()
        tokens = problem.token_log_prob(problem.reference)
        assert_allclose(tokens[0], tokens[0, 0])
        derivatives = jacobian(problem, problem.reference)
        weights = np.random.RandomState(0).standard_normal(tokens.shape)
        assert_allclose(
            problem.pull_back(problem.reference, weights),
            np.einsum("kit,it->k", derivatives, weights), atol=1e-8,
        )  # fmt: skip

    def test_drawn_batches(self):
        many = make_candidates(np.ones(30, dtype=int), random_state=9)
        with pytest.raises(ValueError, match="Pass n_samples to draw groups"):
            check_algorithm(algorithms["rloo"], many)
        check = check_algorithm(algorithms["rloo"], many, n_samples=2000, **QUICK)
        assert check.log_prob is None
        assert check.passed
        assert 0 < check.gradient_error_se < 0.2
        assert "may be right" in check.verdict
        wrong = check_algorithm(mistakes["kl_sign"], many, n_samples=2000, **QUICK)
        assert not wrong.passed
        assert "is not the exact one" in wrong.verdict
        again = check_algorithm(algorithms["rloo"], many, n_samples=2000, **QUICK)
        assert again.gradient_error == check.gradient_error

    def test_standard_errors_are_those_of_repetition(self):
        errors, claimed = [], []
        for seed in range(30):
            check = check_algorithm(
                algorithms["rloo"], "lengths", n_samples=400, random_state=seed, **QUICK
            )
            errors.append(check.gradient_error)
            claimed.append(check.gradient_error_se)
        # The error is a length, of which noise is nearly all.
        assert 0.7 < np.sqrt(np.mean(np.square(errors))) / np.mean(claimed) < 1.1
        assert max(np.array(errors) / claimed) < 4

    @pytest.mark.parametrize("lengths", [[1, 1], [1, 1, 1], [1, 2, 2, 3]])
    def test_chance_seldom_exceeds_the_limit(self, lengths):
        problem = make_candidates(lengths)
        checks = [
            check_algorithm("rloo", problem, n_samples=200, random_state=seed, **QUICK)
            for seed in range(60)
        ]
        share = [check.gradient_error / check.gradient_error_limit for check in checks]
        assert max(share) < 1.1
        assert max(share) > 0.5

    def test_drawn_batches_tell_mistakes(self):
        for name, n_samples in (("own_reward_in_baseline", 1000), ("k3_in_loss", 5000)):
            for seed in range(3):
                check = check_algorithm(
                    mistakes[name], n_samples=n_samples, random_state=seed, **QUICK
                )
                assert "is not the exact one" in check.verdict

    def test_too_few_batches_tell_nothing(self):
        passed = [
            check_algorithm(update, n_samples=10, random_state=seed, **QUICK).passed
            for update in ("rloo", mistakes["kl_sign"])
            for seed in range(20)
        ]
        assert not any(passed)
        check = check_algorithm("rloo", n_samples=10, **QUICK)
        assert "cannot tell" in check.verdict
        with pytest.raises(AssertionError, match="which these batches cannot tell"):
            check.assert_unbiased()

    def test_drawn_batches_tell_what_goes_wrong_near_the_optimum_alone(self):
        def clipped(log_prob, batch):
            log_ratio = (batch.old_log_prob - batch.ref_log_prob) * batch.response_mask
            score = batch.token_level_rewards - batch.kl_coef * np.clip(log_ratio, -1.5, 1.5)
            score = score.sum(axis=-1)
            worth = score - (score.sum(axis=-1, keepdims=True) - score) / (score.shape[-1] - 1)
            return -worth[..., np.newaxis] * batch.response_mask / score.shape[-1]

        clipped.takes_stacks = True
        for seed in range(3):
            check = check_algorithm(clipped, n_samples=500, random_state=seed, **QUICK)
            assert "is not the exact one" in check.verdict

    def test_policies_from_the_reference_to_beyond_the_optimum(self):
        problem = problems["standard"]()
        policies = lab._check._policies(problem, 0)
        best = problem.objective.optimum()
        assert_allclose(policies[0], problem.reference)
        assert_allclose(policies[2], best)
        assert_allclose(problem.exact_gradient(policies[2]), 0, atol=1e-12)
        assert_allclose(policies[4], problem.tilt(2 * (best - problem.reference)))
        # Where the optimum is hundreds of nats away, all are in the floats.
        far = make_candidates([1, 1, 2], kl_coef=1e-4)
        assert min(row.min() for row in lab._check._policies(far, 0)) > -30
