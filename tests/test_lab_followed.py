"""Where algorithms rest that no equation is of, and what has no rest point that could be told."""

import numpy as np
import pytest
from lab_iteration import check_log_prob, iterate
from numpy.testing import assert_allclose

from sklearn_codex import lab
from sklearn_codex.exact import CandidateObjective
from sklearn_codex.lab import (
    PreferenceAlgorithm,
    RewardAlgorithm,
    algorithms,
    make_candidates,
    make_preferences,
    problems,
    rest_point,
    run_algorithm,
)
from sklearn_codex.lab._expected import find_rest
from sklearn_codex.lab._rest_rewards import reward_rest
from sklearn_codex.lab._table import kept_within


def own_loss(old, new, advantages, mask, mode):
    """Plain policy gradient, but for its name, at twice the rate."""
    return lab.policy_gradient_loss(old, new, 2 * advantages, mask, mode)


def one_token_each(reference, rewards, kl_coef=0.5):
    objective = CandidateObjective(
        np.log(reference), np.array(rewards), np.zeros(len(rewards), dtype=int), kl_coef=kl_coef
    )
    return lab.CandidateProblem(objective, np.arange(len(rewards))[:, np.newaxis])


class TestWithoutAnEquation:
    @pytest.mark.parametrize(
        ("algorithm", "rate"),
        [
            (RewardAlgorithm("grpo", own_loss, kl_in="loss", kl_estimator="k2"), 0.3),
            (RewardAlgorithm("reinforce", own_loss, kl_in="loss", kl_estimator="k2"), 0.3),
            (RewardAlgorithm("reinforce", kl_in="loss", kl_estimator="k2",
                             advantage_options={"gamma": 0.3}), 0.3),
            (RewardAlgorithm("reinforce", advantage_options={"gamma": 0.3}), 0.3),
            (RewardAlgorithm("reinforce", "gspo"), 0.5),
            (RewardAlgorithm("remax", "gspo"), 0.5),
            (RewardAlgorithm("grpo", "cispo", "token-mean", "loss", "k3", True,
                             loss_options={"clip_ratio_high": -0.8}), 1.0),
        ],
    )  # fmt: skip
    def test_rewards(self, algorithm, rate):
        problem = make_candidates([1, 2, 4], random_state=7)
        found = iterate(algorithm, problem, 2, rate=rate, n_steps=2000, tol=1e-9)
        rest = rest_point(algorithm, problem, group_size=2)
        check_log_prob(rest, found, atol=1e-6)

    def test_the_equation_would_be_wrong(self):
        # So that the cases above prove something.
        problem = make_candidates([1, 2, 4], random_state=7)
        plain = reward_rest(algorithms["reinforce"], problem, 2)
        for other in (
            RewardAlgorithm("reinforce", "gspo"),
            RewardAlgorithm("reinforce", advantage_options={"gamma": 0.3}),
            RewardAlgorithm("reinforce", own_loss, kl_in="loss", kl_estimator="k2"),
        ):
            assert np.abs(np.exp(rest_point(other, problem)) - np.exp(plain)).max() > 0.01

    @pytest.mark.parametrize(
        ("algorithm", "rate"),
        [
            (PreferenceAlgorithm("dpo", "self-play"), 0.3),
            (PreferenceAlgorithm("nash_md", "data"), 0.3),
            (PreferenceAlgorithm("nash_md", "online"), 0.3),
        ],
    )
    def test_preferences(self, algorithm, rate):
        problem = problems["intransitive"]()
        game = problem.drawn_from(algorithm.source)
        found = iterate(algorithm, game, rate=rate)
        check_log_prob(rest_point(algorithm, problem), found, atol=1e-6)

    def test_dpo_against_itself_stays_where_it_is(self):
        # Undecided pairs in both orders as often.
        problem = problems["two-sided"]()
        rest = rest_point(PreferenceAlgorithm("dpo", "self-play"), problem)
        check_log_prob(rest, problem.reference)

    @pytest.mark.parametrize("rarest", [1e-8, 1e-12, 1e-15])
    def test_grpo_with_a_best_response_that_is_rare(self, rarest):
        problem = one_token_each([rarest, 0.4, 0.6 - rarest], [2.0, 1.0, 0.0])
        rest = rest_point("grpo", problem)
        worth, _ = lab.expected_advantage(problem, rest, 4)
        gain = worth - 0.5 * (1 - np.exp(problem.reference - rest))
        assert np.abs(gain - np.exp(rest) @ gain).max() < 1e-5
        assert np.exp(rest[0]) > 0.5

    def test_a_response_that_counts_as_gone_at_the_start_comes_back(self):
        problem = one_token_each([1e-13, 1 - 1e-13], [33.0, 0.0], kl_coef=1.0)
        found = find_rest(algorithms["rloo"], problem)
        assert problem.objective.optimum()[0] > -0.1
        check_log_prob(found.log_prob, problem.objective.optimum())


class TestKTO:
    @pytest.mark.parametrize("beta", [1.2, 3.0, 5.0])
    def test_where_mass_gathers_on_one_response(self, beta):
        problem = problems["two-sided"]()
        algorithm = PreferenceAlgorithm("kto", beta=beta)
        found = iterate(algorithm, problem, rate=0.2, n_steps=1000)
        assert np.exp(found[1]) > 0.999
        assert np.exp(rest_point(algorithm, problem)).round(6).tolist() == [0, 1, 0, 0, 0]

    def test_where_no_response_is_pushed_up(self):
        algorithm = PreferenceAlgorithm("kto", options={"undesirable_weight": 10.0})
        assert np.exp(rest_point(algorithm, "unpaired")).round(6).tolist() == [1, 0, 0, 0]
        equal = make_preferences(3, flip_rate=0.5)
        check_log_prob(rest_point("kto", equal), equal.reference)


class TestNotUnique:
    def test_ties_without_a_kl(self):
        problem = one_token_each([0.1, 0.3, 0.6], [1.0, 1.0, 0.0])
        with pytest.raises(ValueError, match=r"2 responses of 1 prompts have it.* not unique"):
            rest_point("dr_grpo_k1_in_loss", problem)

    def test_pairs_that_compare_too_little(self):
        apart = np.zeros((4, 4))
        apart[0, 1] = apart[1, 0] = apart[2, 3] = apart[3, 2] = 1
        islands = lab.PreferenceProblem(make_preferences(4).objective, apart, np.ones(4))
        for name in ("hinge", "simpo_margin"):
            with pytest.raises(ValueError, match=r"no chain of pairs|infinite"):
                rest_point(name, islands)


class TestLostMass:
    @pytest.mark.parametrize("name", ["cpo", "orpo"])
    def test_what_never_wins(self, name):
        wins = np.array([[0, 3, 2], [1, 0, 2], [0, 0, 0]])
        problem = lab.PreferenceProblem(make_preferences(3).objective, wins, np.ones(3))
        rest = rest_point(name, problem)
        assert rest[2] == -np.inf
        assert np.isfinite(rest[:2]).all()
        found = find_rest(algorithms[name], problem)
        assert not found.is_inside
        check_log_prob(rest, found.log_prob)

    def test_margins_without_end(self):
        with pytest.raises(ValueError, match="DPO and SimPO rest nowhere"):
            rest_point("simpo_margin", "one-sided")


def test_a_function_of_ones_own_is_followed():
    def in_loss(log_prob, batch):
        score = batch.token_level_rewards.sum(axis=1)
        by_token = -(score - score.mean())[:, np.newaxis] + batch.kl_coef * (
            log_prob - batch.ref_log_prob
        )
        return by_token * batch.response_mask / len(score)

    algorithm = algorithms["dr_grpo"].having(kl_estimator="k2", kl_corrected=False)
    for size in (2, 4):
        found = rest_point(in_loss, "lengths", group_size=size)
        assert_allclose(found, rest_point(algorithm, "lengths", group_size=size), atol=1e-6)
    dpo = algorithms["dpo"]
    found = rest_point(lambda x, batch: dpo(x, batch), "two-sided")
    assert_allclose(found, rest_point(dpo, "two-sided"), atol=1e-6)
    with pytest.raises(ValueError, match=r"or a function of log-probabilities and a batch .* int"):
        rest_point(3, "lengths")


class TestRefusals:
    @pytest.mark.parametrize(
        ("make", "match"),
        [
            (lambda: PreferenceAlgorithm("dpo", beta=-1.0), "needs a finite beta >= 0, got -1"),
            (lambda: PreferenceAlgorithm("simpo", beta=-1.0), "needs a finite beta >= 0, got -1"),
            (lambda: PreferenceAlgorithm("dpo", beta=0.0), "dpo_loss needs a finite beta > 0"),
            (lambda: PreferenceAlgorithm("dpo", "onlin"), "'online', 'self-play', got 'onlin'"),
            (lambda: PreferenceAlgorithm("dpo", options={"beta": 2.0}), "options .* got 'beta'"),
            (lambda: PreferenceAlgorithm("dpo", options={"label": 0.1}), "options .* got 'label'"),
            (lambda: PreferenceAlgorithm("dpo", options={"label_smoothing": 0.7}), "got 0.7"),
            (lambda: PreferenceAlgorithm("nash_md", mixture_coef=1.5), "mixture_coef from 0 to 1"),
            (lambda: RewardAlgorithm("rloo", loss_agg_mode="x"), "loss_agg_mode, .* got 'x'"),
            (lambda: RewardAlgorithm("rloo", kl_coef=-1.0), "needs a finite kl_coef >= 0, got -1"),
            (lambda: RewardAlgorithm("rloo", advantage_options={"a": 1}), "none here, got 'a'"),
            (lambda: RewardAlgorithm("rloo", "ppo", loss_options={"clip": 1}), "got 'clip'"),
            (lambda: rest_point("grpo_kl_in_reward", "lengths", group_size=1), "group_size >= 2"),
            (lambda: rest_point("rloo", "lengths", group_size=1), "group_size >= 2"),
            (lambda: rest_point("grpo", "one-token", group_size=200), "there are 20,301 of 200"),
            (lambda: make_candidates([1, 10**9]), "at most 100,000,000, .* got 4,000,000,000"),
            (lambda: lab.PreferenceProblem(make_preferences(2).objective, [[0, 1], [1, 0]],
                                           [1.5, 1.5]), r"whole numbers, got \[1.5, 1.5\]"),
            (lambda: lab.expected_advantage(problems["lengths"](), np.zeros(5), 2, advantage="x"),
             "one of reinforce, rloo, grpo, got 'x'"),
        ],
    )  # fmt: skip
    def test_algorithms_and_problems(self, make, match):
        with pytest.raises(ValueError, match=match):
            make()

    def test_a_fine_tuning_has_no_odds(self):
        assert PreferenceAlgorithm("orpo", beta=0.0).weight(0.5) == 0


class TestVastSteps:
    @pytest.mark.parametrize("learning_rate", [1e18, 1e30, 1e300])
    def test_they_leave_one_response(self, learning_rate):
        # The one step of a batch goes all the way to what it likes best.
        run = run_algorithm("rloo", n_documents=64, random_state=0, learning_rate=learning_rate)
        assert np.sort(np.exp(run.log_prob))[-1] == pytest.approx(1.0, abs=1e-9)

    def test_those_of_one_prompt_do_not_level_another(self):
        problem = problems["prompts"]()
        logits = problem.reference.copy()
        logits[0] += 100.0
        policy = kept_within(problem, logits, 25.0)
        others = problem.prompts != problem.prompts[0]
        check_log_prob(policy[others], problem.reference[others], atol=1e-12)
        own = policy[~others] - np.log(problem.shares[problem.prompts[0]])
        np.testing.assert_allclose(own, np.append(0.0, np.full(len(own) - 1, -25.0)), atol=1e-9)
