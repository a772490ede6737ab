"""Where algorithms of preferences come to rest: the expected update against the equation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab_iteration import check_log_prob, iterate, tilted
from numpy.testing import assert_allclose
from scipy.special import expit
from text_corpora import quick

from sklearn_codex import lab
from sklearn_codex.lab import algorithms, make_preferences, rest_point
from sklearn_codex.lab._expected import find_rest
from sklearn_codex.lab._rest_preferences import kto_scores


class TestPreferences:
    @pytest.mark.parametrize(
        "name", ["dpo", "dpo_label_smoothing", "ipo", "simpo", "simpo_margin", "cpo", "orpo"]
    )
    def test_equations_and_iteration_agree(self, name):
        problem = make_preferences(4, lengths=[1, 2, 2, 4], reward_scale=0.5, random_state=40)
        found = iterate(algorithms[name], problem, rate=0.05, n_steps=20_000)
        check_log_prob(rest_point(name, problem), found, atol=1e-6)

    def test_dpo_rests_at_the_rlhf_optimum_of_bradley_terry(self):
        problem = make_preferences(5, n_prompts=2, random_state=41, weights=[1, 2, 3, 4, 5])
        check_log_prob(rest_point("dpo", problem), problem.objective.optimum())
        check_log_prob(rest_point("online_dpo", problem), problem.objective.optimum())
        online = problem.drawn_from("online")
        check_log_prob(find_rest(algorithms["online_dpo"], online).log_prob,
                       problem.objective.optimum())  # fmt: skip

    def test_maximum_likelihood_scores_where_bradley_terry_does_not_hold(self):
        problem = lab.problems["unpaired"]()
        scores = lab.bradley_terry_scores(problem)
        chance = expit(scores[:, np.newaxis] - scores)
        expected = (problem.wins + problem.wins.T) * chance
        # As many wins are expected of each response as it has.
        assert_allclose(expected.sum(axis=1), problem.wins.sum(axis=1), atol=1e-12)
        check_log_prob(rest_point("dpo", problem), tilted(problem, scores / 0.5))

    def test_dpo_has_no_rest_where_pairs_are_decided_one_way(self):
        problem = lab.problems["one-sided"]()
        with pytest.raises(ValueError, match=r"infinite .* Add label_smoothing, or use IPO"):
            rest_point("dpo", problem)
        found = find_rest(algorithms["dpo"], problem)
        assert np.exp(found.log_prob[0]) > 1 - 1e-6
        assert np.isfinite(rest_point("dpo_label_smoothing", problem)).all()
        assert np.exp(rest_point("ipo", problem)).min() > 0.05

    def test_smoothing_of_noise_that_is_known(self):
        # Labels turned round once more at rate e have the odds of e + (1 - 2 e) p.
        problem = make_preferences(2, random_state=42)
        share = problem.probability[0, 1]
        smooth = 0.1 + 0.8 * share
        gain = np.array([np.log(smooth / (1 - smooth)), 0.0]) / 0.5
        check_log_prob(rest_point("dpo_label_smoothing", problem), tilted(problem, gain))

    def test_ipo_needs_no_bradley_terry(self):
        rng = np.random.RandomState(43)
        share = rng.uniform(size=(4, 4))
        share = np.triu(share, 1) + np.tril(1 - share.T, -1) + 0.5 * np.eye(4)
        often = np.array([0.1, 0.2, 0.3, 0.4])
        wins = share * np.outer(often, often)
        np.fill_diagonal(wins, 0)  # a response against itself says nothing
        base = make_preferences(4, random_state=43).objective
        problem = lab.PreferenceProblem(base, wins, np.ones(4, dtype=int))
        expected = tilted(problem, share @ often / 0.5)
        check_log_prob(rest_point("ipo", problem), expected)
        check_log_prob(iterate(algorithms["ipo"], problem, rate=0.1, n_steps=20_000), expected)

    def test_simpo_has_the_length_in_the_exponent(self):
        problem = make_preferences(4, lengths=[1, 2, 3, 5], random_state=44)
        found = rest_point("simpo", problem)
        constant = 2.0 * found / problem.lengths - problem.objective.token_reward
        assert np.ptp(constant) < 1e-9
        assert_allclose(np.exp(found).sum(), 1)

    def test_orpo_without_odds_is_fine_tuning(self):
        problem = make_preferences(4, lengths=[1, 2, 3, 5], random_state=45)
        algorithm = algorithms["orpo"].having(beta=0.0)
        often = problem.wins.sum(axis=1) / problem.lengths
        check_log_prob(rest_point(algorithm, problem), np.log(often / often.sum()), atol=1e-6)

    def test_hinge_of_two_responses_forgets_how_sure_they_are(self):
        for seed in (46, 47):
            problem = make_preferences(2, random_state=seed)
            sign = 1 if problem.probability[0, 1] > 0.5 else -1
            found = rest_point("hinge", problem)
            check_log_prob(found, tilted(problem, np.array([sign, 0]) / 0.5))
            check_log_prob(find_rest(algorithms["hinge"], problem).log_prob, found, atol=1e-6)

    @pytest.mark.parametrize("seed", [48, 49])
    def test_hinge_rests_where_the_loss_is_least(self, seed):
        problem = make_preferences(4, random_state=seed)
        margins = find_rest(algorithms["hinge"], problem).log_prob, rest_point("hinge", problem)
        values = []
        for log_prob in margins:
            h = 0.5 * (log_prob - problem.reference)
            values.append((problem.wins * np.maximum(0, 1 - h[:, np.newaxis] + h)).sum())
        assert_allclose(*values, atol=1e-7)

    def test_hinge_where_logits_block_each_other(self):
        # The last two only gain together, at a margin of 1 between them.
        problem = make_preferences(4, weights=[1, 2, 3, 1], kl_coef=0.4, random_state=402)
        found = find_rest(algorithms["hinge"], problem).log_prob
        check_log_prob(found, rest_point("hinge", problem), atol=1e-6)

    @pytest.mark.parametrize(("good", "bad"), [(1.0, 1.0), (1.0, 0.6), (0.7, 1.0)])
    @pytest.mark.parametrize("beta", [0.5, 1.0])
    def test_kto_takes_all_mass_from_what_is_undesirable(self, good, bad, beta):
        problem = lab.problems["unpaired"]()
        wins = problem.wins
        desirable = wins.sum(axis=1) / (wins.sum(axis=1) + wins.sum(axis=0))
        keeps = desirable > bad / (good + bad)
        assert 0 < keeps.sum() < 4
        assert_allclose(kto_scores(problem, good, bad) > 0, keeps)
        options = {"desirable_weight": good, "undesirable_weight": bad}
        algorithm = algorithms["kto"].having(beta=beta, options=options)
        found, rest = find_rest(algorithm, problem).log_prob, rest_point(algorithm, problem)
        assert (rest[~keeps] == -np.inf).all()
        check_log_prob(rest, found, atol=1e-5)
        ratio = (rest - problem.reference)[keeps]
        s = expit(beta * (ratio - np.exp(rest[keeps]) @ ratio))
        push = kto_scores(problem, good, bad)[keeps] * s * (1 - s) / np.exp(rest[keeps])
        assert_allclose(push, push[0])

    def test_kto_depends_on_its_estimate_of_the_kl(self):
        problem = lab.problems["unpaired"]()

        def with_z0(log_prob, batch):
            pairs = [log_prob[..., 0], log_prob[..., 1]]
            ref = [batch.ref_log_prob[..., 0], batch.ref_log_prob[..., 1]]
            _, *slopes = lab.kto_loss(*pairs, *ref, 0 * batch.kl, beta=0.5)
            return np.stack(slopes, axis=-1)

        with_z0.takes_stacks = True
        apart = np.exp(find_rest(with_z0, problem).log_prob) - np.exp(rest_point("kto", problem))
        assert np.abs(apart).max() > 0.01

    @pytest.mark.parametrize("mixture_coef", [0.0, 0.3])
    def test_self_play_in_an_intransitive_game(self, mixture_coef):
        problem = lab.problems["intransitive"]()
        algorithm = algorithms["self_play"].having(mixture_coef=mixture_coef)
        found = iterate(algorithm, problem.drawn_from("self-play", mixture_coef), rate=0.5)
        check_log_prob(rest_point(algorithm, problem), found)
        other = problem.normalize((1 - mixture_coef) * found + mixture_coef * problem.reference)
        check_log_prob(found, tilted(problem, problem.probability @ np.exp(other) / 0.5))

    def test_self_play_rests_at_the_equilibrium(self):
        problem = lab.problems["intransitive"]()
        prob = np.exp(rest_point("self_play", problem))

        def payoff(mine, other):
            kls = [p @ (np.log(p) - problem.reference) for p in (mine, other)]
            return mine @ problem.probability @ other - 0.5 * (kls[0] - kls[1])

        rng = np.random.RandomState(50)
        for rival in [*rng.dirichlet(np.ones(4), 200), *(0.99 * prob + 0.01 * np.eye(4))]:
            assert payoff(rival, prob) <= payoff(prob, prob) + 1e-12

    def test_online_pairs_are_as_often_as_the_policy_draws_them(self):
        problem = make_preferences(3, n_prompts=2, random_state=51)
        policy = problem.normalize(np.random.RandomState(3).standard_normal(6))
        groups = problem.drawn_from("online").groups(policy)
        assert_allclose(groups.weights.sum(), 1)
        within = np.exp(policy) / 0.5
        for (won, lost), weight in zip(groups.rows, groups.weights, strict=True):
            times = 1 if won == lost else 2 * problem.probability[won, lost]
            assert_allclose(weight, 0.5 * within[won] * within[lost] * times)

    @given(st.integers(0, 2**31 - 1), st.sampled_from(["self_play", "nash_md"]))
    @quick
    def test_self_play_solves_its_equation_in_any_game(self, seed, name):
        rng = np.random.RandomState(seed)
        wins = rng.uniform(size=(4, 4)) + 0.01
        np.fill_diagonal(wins, 0)
        base = make_preferences(4, random_state=seed, kl_coef=0.2).objective
        problem = lab.PreferenceProblem(base, wins, np.ones(4))
        found = rest_point(name, problem)
        mix = algorithms[name].mixture_coef
        other = np.exp(problem.normalize((1 - mix) * found + mix * problem.reference))
        check_log_prob(found, tilted(problem, problem.probability @ other / 0.2))

    @given(st.integers(0, 2**31 - 1))
    @quick
    def test_scores_expect_as_many_wins_as_there_are(self, seed):
        rng = np.random.RandomState(seed)
        wins = rng.uniform(size=(5, 5)) ** 4 + 1e-4
        np.fill_diagonal(wins, 0)
        base = make_preferences(5, random_state=seed).objective
        problem = lab.PreferenceProblem(base, wins, np.ones(5))
        scores = lab.bradley_terry_scores(problem)
        chance = expit(scores[:, np.newaxis] - scores)
        expected = ((problem.wins + problem.wins.T) * chance).sum(axis=1)
        assert_allclose(expected, problem.wins.sum(axis=1), atol=1e-10)
