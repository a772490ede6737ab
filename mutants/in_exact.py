"""Faults in optima that are known, of every family of policies."""

from mutants.plant import faults_in as _in

FAULTS = [
    *_in(
        "exact/_candidates.py",
        (
            "scores of candidates keep what their prompt has in common",
            "        scores -= mean[self.prompts]\n",
            "",
            "test_objectives.py::test_an_objective_says_of_documents_what_documents_say[candidates]",
        ),
        (
            "the entropy of prompts counts as one of responses",
            "entropy(log_prob) - entropy(safe_log(self.prompt_prob))",
            "entropy(log_prob)",
            "test_candidates.py::test_the_value_by_hand",
        ),
        (
            "penalties dropped from the tilt of candidates",
            "gain[possible] -= self.penalty[possible]",
            "pass",
            "test_candidates.py::test_a_penalty_divides_the_odds_by_its_exponential",
        ),
    ),
    *_in(
        "exact/_ngram_terms.py",
        (
            "a banned n-gram is not banned in longer ones",
            "np.asarray(self.trie.cumulative @ of_arcs)",
            "np.append(of_arcs, np.zeros(self.trie.n_events - self.trie.n_arcs))",
            "test_ngram_rules.py::test_price_of_each_arc_by_hand",
        ),
        (
            "how documents end is marked in vain",
            "if trie.eos >= 0 and arcs[trie.eos]:",
            "if trie.eos >= 0:",
            "test_exact_ngram.py::test_numbers_of_a_policy_are_those_of_all_its_documents",
        ),
    ),
    *_in(
        "exact/_additive.py",
        (
            "the whole penalty beside an entropy bonus",
            "-= share * self.penalty[possible]",
            "-= self.penalty[possible]",
            "test_exact.py::test_penalty_beside_an_entropy_bonus_by_hand",
        ),
        (
            "length dropped from the pull of demonstrations",
            "self.sft_coef / self.length * pull",
            "self.sft_coef * pull",
            "test_exact.py::test_value_gap_and_scores_of_random_policies",
        ),
        (
            "entropy with the wrong sign in the value",
            "value += self.entropy_coef * self.entropy(log_prob)",
            "value -= self.entropy_coef * self.entropy(log_prob)",
            "test_exact.py::test_penalty_beside_an_entropy_bonus_by_hand",
        ),
    ),
    *_in(
        "exact/_best_of_n.py",
        (
            "(n - 1) / n dropped from the jackknife of expected_max",
            "variance = (n_samples - 1) / n_samples * np.sum(",
            "variance = np.sum(",
            "test_best_of_n.py::test_expected_max_is_the_mean_over_all_subsets",
        ),
    ),
    *_in(
        "exact/_eos_length.py",
        (
            "one token less until a document is cut",
            "-np.expm1(max_length * log_go)",
            "-np.expm1((max_length - 1) * log_go)",
            "test_exact_eos.py::test_optimum_is_that_of_a_general_purpose_optimiser",
        ),
        (
            "sign of reward_coef dropped from the smallest safe kl_coef",
            "gain = np.sign(reward_coef) * reward[body]",
            "gain = reward[body]",
            "test_exact_eos_length.py::test_smallest_safe_kl_coef_at_its_edges",
        ),
        (
            "penalty dropped from the smallest safe kl_coef",
            "inverse * gain - cost[body], reference",
            "inverse * gain, reference",
            "test_exact_eos_length.py::test_length_explodes_below_the_smallest_safe_kl_coef_and_not_above",
        ),
    ),
    *_in(
        "exact/_eos_search.py",
        (
            "max_length dropped from the slope of the missing end",
            "self._missing / unit * max_length * reach[-1]",
            "self._missing / unit * reach[-1]",
            "test_exact_eos.py::test_optimum_is_that_of_a_general_purpose_optimiser",
        ),
        (
            "kl_coef dropped from the worth of a cut document",
            "-objective.missing_eos_penalty / objective.kl_coef",
            "-objective.missing_eos_penalty",
            "test_exact_eos.py::test_time_dependent_optimum_is_that_of_a_general_purpose_optimiser",
        ),
    ),
    *_in(
        "exact/_ngram_models.py",
        (
            "back-off dropped from the pairs of bigrams",
            "entries.data[pairs] + share[row] * unigram[column]",
            "entries.data[pairs]",
            "test_exact_ngram_positions.py::test_a_bigram_model_has_the_probabilities_given",
        ),
    ),
    *_in(
        "exact/_ngram_positions.py",
        (
            "the price of a cut dropped from what is to come",
            "values[-1] = -self.missing_eos_penalty",
            "values[-1] = 0.0",
            "test_exact_ngram_positions.py::test_state_values_are_what_is_still_to_come",
        ),
    ),
    *_in(
        "exact/_ngram_ascent.py",
        (
            "curvature does not enter steps",
            "step += (share - change @ step / (move @ change)) * move",
            "pass",
            "test_exact_ngram.py::test_few_gradients_find_one_policy_for_all_positions",
        ),
    ),
    *_in(
        "exact/_ngram_search.py",
        (
            "the end is not weighed against what was taken out",
            "worth[left - 1], -taken_out[left - 1])",
            "worth[left - 1], 0.0)",
            "test_exact_ngram.py::test_optimum_by_position_is_the_tilt_of_all_documents",
        ),
        (
            "the reward of one token not taken out",
            "taken_out[left - 1] + of_token + top",
            "taken_out[left - 1] + top",
            "test_exact_ngram.py::test_optimum_by_position_is_the_tilt_of_all_documents",
        ),
        (
            "digits of a weight of nearly one",
            "_SLIGHT = 1e-2",
            "_SLIGHT = 0.0",
            "test_exact_ngram_numbers.py::test_the_optimum_next_to_the_reference_is_worth_what_it_gains",
        ),
    ),
    *_in(
        "exact/_ngram_flow.py",
        (
            "documents that are cut end nowhere",
            "self.ends += self.cut",
            "self.ends += 0.0",
            "test_exact_ngram_positions.py::test_numbers_of_a_policy_by_position_are_those_of_all_its_documents",
        ),
    ),
    *_in(
        "exact/_multipliers.py",
        (
            "multipliers of costs without their spread",
            "multipliers[binds] = prices / spread[binds]",
            "multipliers[binds] = prices",
            "test_exact_constrained.py::test_optimum_is_that_of_a_general_purpose_optimiser",
        ),
    ),
    *_in(
        "exact/_unigram.py",
        (
            "sft_coef dropped from the gap",
            "return self.sft_coef * float(self.frequencies[shown] @ exp_rest",
            "return float(self.frequencies[shown] @ exp_rest",
            "test_exact.py::test_value_gap_and_scores_of_random_policies",
        ),
    ),
    *_in(
        "exact/_chance.py",
        (
            "length dropped from the budget of a chance",
            "float(-length * np.expm1(",
            "float(-np.expm1(",
            "test_exact_constrained.py::test_chance_constraint_rescales_the_set",
        ),
    ),
    *_in(
        "exact/_settings.py",
        (
            "half the deviation is the spread of rewards",
            "(deviation / largest) ** 2)) * 2.0 or 1.0",
            "(deviation / largest) ** 2)) or 1.0",
            "test_exact.py::test_default_frontier_begins_and_ends_at_shares_of_the_spread",
        ),
    ),
    *_in(
        "exact/_ngram_training.py",
        (
            "arcs are not shrunk to shorter ones",
            "step[low:high] += damping * shorter / (drawn[low:high] + damping)",
            "step[low:high] += 0.0 * shorter / (drawn[low:high] + damping)",
            "test_ngram_ppo.py::test_a_natural_step_token_by_token",
        ),
        (
            "tokens backed off to a context are visits to it",
            "visits -= np.bincount(trie.suffix[1:], backed[1:], trie.n_contexts)",
            "visits -= 0.0",
            "test_ngram_ppo.py::test_demonstrations_gradient_by_finite_differences",
        ),
        (
            "what is expected in contexts is left in the gradient",
            "return rollouts.sum_of_events(weight) - self.events_after(log_prob, of_contexts)",
            "return rollouts.sum_of_events(weight)",
            "test_ngram_ppo.py::test_gradient_of_the_clipped_surrogate_by_finite_differences",
        ),
    ),
    *_in(
        "exact/_trust_region.py",
        (
            "the trust region is twice as wide",
            "kl = 0.5 * length * float(",
            "kl = 0.25 * length * float(",
            "test_ppo.py::test_trust_region_holds_the_exact_kl_of_small_steps",
        ),
    ),
    *_in(
        "exact/_candidates.py",
        (
            "candidates of a group to prompts of their own",
            "np.repeat(rng.choice(len(shares), n_groups, p=shares / shares.sum()), size)",
            "rng.choice(len(shares), n_groups * size, p=shares / shares.sum())",
            "test_grpo.py::test_candidates_of_a_group_answer_one_prompt_as_often_as_they_should",
        ),
    ),
    *_in(
        "exact/_additive.py",
        (
            "length, not its root, scales a normalized reward",
            "self.length * mean, deviation * float(np.sqrt(self.length))",
            "self.length * mean, deviation * float(self.length)",
            "test_policy_controls.py::test_rewards_are_normalized_by_their_moments_under_the_reference",
        ),
    ),
    *_in(
        "exact/_eos.py",
        (
            "cut documents dropped from the values to go",
            "mean = (value - alive[-1] * cut) / tokens[-1]",
            "mean = value / tokens[-1]",
            "test_policy_eos.py::test_reaches_the_exact_optimum",
        ),
    ),
    *_in(
        "exact/_eos.py",
        (
            "stop probability dropped from the covariance of lengths",
            "go / stop**2 * float(",
            "go / stop * float(",
            "test_overoptimization.py::test_covariance_where_documents_end_by_themselves",
        ),
    ),
]
