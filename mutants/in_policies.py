"""Faults in how policies are optimised: problems, settings, updates, what is told of the rest."""

from mutants.plant import faults_in as _in

FAULTS = [
    *_in(
        "_policy/stated_objective.py",
        (
            "penalties of a stated objective are free",
            'stated["rules"] = StatedPenalty(np.where(np.isfinite(penalty), penalty, 0.0))',
            'stated["rules"] = StatedPenalty(np.zeros_like(penalty))',
            "test_candidates.py::test_optimisers_take_weights_and_penalties_from_the_objective",
        ),
    ),
    *_in(
        "_policy/additivity.py",
        (
            "an added value is shared by nobody",
            "values[possible] += (own - values[document].sum()) / length",
            "values[possible] += own - values[document].sum()",
            "test_policy_local_gap.py::test_values_of_tokens_are_found_where_they_explain_all_documents",
        ),
    ),
    *_in(
        "_policy/best_of_n_sampler.py",
        (
            "number of draws dropped from the counts of winners",
            "weight *= len(rewards) / self.n",
            "weight *= len(rewards)",
            "test_baselines.py::test_refit_beside_a_prior_by_hand",
        ),
        (
            "winners of each context count alike",
            "share * _chances(own, self.n)",
            "_chances(own, self.n)",
            "test_ngram_policy_uses.py::test_winners_of_contexts_count_as_often_as_these_by_hand",
        ),
    ),
    *_in(
        "_policy/candidate_choices.py",
        (
            "the chance not to be chosen is rounded to 0",
            "rest[best], chosen[best] = np.log(others), np.log1p(-others)",
            "rest[best] = np.log1p(-np.exp(chosen[best]))",
            "test_candidates.py::test_probabilities_near_0_and_1_keep_their_digits",
        ),
    ),
    *_in(
        "_policy/candidate_log.py",
        (
            "what can never be logged is not missed",
            "missed = logged & (log.propensity == 0)",
            "missed = logged & (log.propensity < 0)",
            "test_off_policy.py::test_what_is_never_logged_is_known_exactly_and_refused",
        ),
    ),
    *_in(
        "_policy/candidate_rows.py",
        (
            "the error of a reward depends on an arbitrary origin",
            "inputs = center_within(features, rows.prompts, np.exp(rows.reference_within))",
            "inputs = features",
            "test_candidates.py::test_conservative_rewards_are_lower_by_the_error_against_the_mean_of_the_prompt",
        ),
    ),
    *_in(
        "_policy/certificate.py",
        (
            "root dropped from the error of the tilt",
            "own.std(ddof=1) / np.sqrt(len(own))",
            "own.std(ddof=1) / len(own)",
            "test_policy_local_gap.py::test_certificate_against_the_tilt_by_hand",
        ),
        (
            "number of policies dropped from the mixture",
            "logsumexp(densities, axis=0) - np.log(len(policies))",
            "logsumexp(densities, axis=0)",
            "test_policy_local_gap.py::test_certificate_against_the_tilt_by_enumeration",
        ),
        (
            "half dropped from the error of a gain",
            "/ n_documents) / 2.0",
            "/ n_documents)",
            "test_policy_local_gap.py::test_gain_over_another_policy_by_hand",
        ),
    ),
    *_in(
        "_policy/critic.py",
        (
            "nothing is known of what follows tokens that are not drawn",
            "np.append(self.values, 0.0)[self._trie.next]",
            "0.0",
            "test_ngram_ppo.py::test_what_is_known_of_all_tokens_is_the_step_of_policy_iteration",
        ),
        (
            "documents do not tell what comes after the next token",
            "known.mean_of_next(worth) + share * total / (visits + 1.0)",
            "known.mean_of_next(worth)",
            "test_ngram_ppo.py::test_values_are_what_is_expected_and_the_rest_of_advantages",
        ),
        (
            "what documents carry of a change is to come as well",
            "(1.0 - carried) * known.sum_to_come(change)",
            "known.sum_to_come(change)",
            "test_ngram_ppo.py::test_values_are_what_is_expected_and_the_rest_of_advantages",
        ),
        (
            "noise within contexts is not counted as noise of their means",
            "1.0 - n_seen * noise_variance(",
            "1.0 - noise_variance(",
            "test_ngram_ppo.py::test_share_of_means_that_is_no_noise_by_hand",
        ),
        (
            "trust in the critic may exceed 1",
            "np.clip(deviation @ actual / energy, 0.0, 1.0)",
            "np.clip(deviation @ actual / energy, 0.0, None)",
            "test_critic.py::test_trust_is_the_share_of_a_forecast_that_leaves_the_least_variance",
        ),
        (
            "what follows is not decayed",
            "sums[at] += decay * sums[at + 1]",
            "sums[at] += sums[at + 1]",
            "test_ngram_ppo.py::test_discounted_sums_are_their_definition",
        ),
        (
            "a context is shrunk as by two visits",
            "means[low:high] += means[suffix[low:high]] / (visits[low:high] + 1.0)",
            "means[low:high] += means[suffix[low:high]] / (visits[low:high] + 2.0)",
            "test_ngram_ppo.py::test_means_of_contexts_are_shrunk_to_shorter_ones",
        ),
        (
            "the end of a document has the value of a context",
            "following[rollouts.starts + rollouts.lengths - 1] = 0.0",
            "following[rollouts.starts + rollouts.lengths - 1] += 0.0",
            "test_ngram_ppo.py::test_at_the_optimum_right_values_leave_no_advantage_for_any_lambda",
        ),
    ),
    *_in(
        "_policy/dpo_loss.py",
        (
            "labels of robust DPO corrected half as far",
            "(target - rate) / (1 - 2 * rate)",
            "(target - rate) / (1 - rate)",
            "test_dpo.py::test_the_robust_loss_is_that_of_its_paper",
        ),
        (
            "curvature of the policy dropped from DPO's",
            "product + bent + self.penalty * direction",
            "product + self.penalty * direction",
            "test_dpo.py::test_gradient_and_hessian_by_finite_differences",
        ),
        (
            "curvatures of other pairs than those at their kinks",
            "point, design, point.curvature[bent]",
            "point, design, point.curvature[: len(bent)]",
            "test_dpo_forms.py::test_products_of_the_pairs_at_their_kinks_are_those_of_all",
        ),
        (
            "bend dropped from slopes along a line",
            "+ pull + length * bend",
            "+ pull",
            "test_dpo_forms.py::test_slopes_along_a_line",
        ),
        (
            "IPO's constant dropped",
            "lean * margin + 0.25,",
            "lean * margin,",
            "test_dpo.py::test_ipo_loss_is_the_square_of_its_distance_to_half_the_lean",
        ),
    ),
    *_in(
        "_policy/exact_optimizer.py",
        (
            "mean of the reward dropped from the frontier",
            "(problem.reward.offset - problem.reward_mean)",
            "problem.reward.offset",
            "test_baselines.py::test_each_point_of_the_frontier_is_a_fit",
        ),
    ),
    *_in(
        "_policy/family.py",
        (
            "ends of documents count as tokens",
            "float(documents[:, : self.trie.n_arcs].sum())",
            "float(documents.sum())",
            "test_ngram_policies.py::test_documents_without_an_end_have_a_length",
        ),
        (
            "an n-gram earns nothing for those that it ends with",
            "self.trie.cumulative @ ridge.coef_, self",
            "np.append(ridge.coef_, np.zeros(self.trie.n_events - self.trie.n_arcs)), self",
            "test_ngram_policies.py::test_logged_rewards_are_learned_on_cumulative_counts",
        ),
    ),
    *_in(
        "_policy/gold_scorer.py",
        (
            "price of the KL dropped from the gold score",
            " - self.kl_coef * policy.kl_\n",
            "\n",
            "test_gold_scorer.py::test_it_is_expected_gold_less_the_price_of_the_kl",
        ),
    ),
    *_in(
        "_policy/iteration_record.py",
        (
            "reward_mean dropped from objective/rlhf_reward",
            "* (score - problem.reward_mean) + non_score",
            "* score + non_score",
            "test_policy_value.py::test_rewards_and_penalties_of_three_documents_by_hand",
        ),
    ),
    *_in(
        "_policy/ngram_rewards.py",
        (
            "an n-gram with a reward may be unknown in some spelling",
            "np.array_equal(n_found, n_needed)",
            "n_found.all()",
            "test_ngram_rewards.py::test_all_spellings_of_an_ngram_have_to_be_known",
        ),
        (
            "the end that every text has is no part of the reward",
            "offset += float(weights[other.eos])",
            "offset += 0.0",
            "test_ngram_rewards.py::test_documents_that_are_cut_do_not_end",
        ),
    ),
    *_in(
        "_policy/local_gap.py",
        (
            "deviation of gains is of n",
            "gains.std(axis=1, ddof=1)",
            "gains.std(axis=1)",
            "test_policy_local_gap.py::test_what_a_token_is_worth_in_two_documents_by_hand",
        ),
    ),
    *_in(
        "_policy/noise_schedule.py",
        (
            "1 / (2 - rate) dropped where the step hovers",
            "rate / (2.0 - rate) * effective",
            "rate * effective",
            "test_noise_schedule.py::test_where_a_step_hovers_by_hand",
        ),
        (
            "twice the tolerance is enough",
            "is_close = left <= 0.5 * enough",
            "is_close = left <= 2.0 * enough",
            "test_noise_schedule.py::test_training_ends_where_what_is_left_is_half_of_enough",
        ),
        (
            "variance of batches is biased",
            "float(np.mean(values)) * n / (n - 1)",
            "float(np.mean(values))",
            "test_noise_schedule.py::test_where_a_step_hovers_by_hand",
        ),
    ),
    *_in(
        "_policy/ppo.py",
        (
            "a fall is not clipped",
            "(ratio >= clipping.low) & (ratio <= clipping.ceiling)",
            "(ratio <= clipping.ceiling)",
            "test_ppo.py::test_dual_clip_by_hand",
        ),
    ),
    *_in(
        "_policy/priced_rule.py",
        (
            "a document of one token more is priced",
            "max(1.0 - p, least) ** (length - 1)",
            "max(1.0 - p, least) ** length",
            "test_policy_local_gap.py::test_price_of_a_document_by_hand",
        ),
    ),
    *_in(
        "_policy/prices.py",
        (
            "no root in the step of a learned price",
            "/ np.sqrt(1.0 + self._n_batches / _SHRINKS_AFTER)",
            "/ (1.0 + self._n_batches / _SHRINKS_AFTER)",
            "test_policy_local_gap.py::test_second_step_of_a_learned_price_by_hand",
        ),
        (
            "a learned price rests where it moved by a nat",
            "_REST_SHARE, _REST_NATS = 0.1, 0.05",
            "_REST_SHARE, _REST_NATS = 0.1, 1.0",
            "test_policy_local_gap.py::test_a_price_rests_where_it_moved_by_a_tenth_or_by_little",
        ),
        (
            "a settled price is that of the last batches",
            "self._trail[len(self._trail) // 2 :]",
            "self._trail[-1:]",
            "test_policy_local_gap.py::test_a_settled_price_is_the_mean_of_the_later_half",
        ),
        (
            "half a document is whole",
            "half = 0.5 * weight / n",
            "half = weight / n",
            "test_policy_local_gap.py::test_learned_price_by_hand",
        ),
    ),
    *_in(
        "_policy/problem.py",
        (
            "kl_coef dropped before the penalty of rules that do not add",
            "rest -= objective.kl_coef * priced.cost(amounts)",
            "rest -= priced.cost(amounts)",
            "test_policy_value.py::test_rewards_and_penalties_of_three_documents_by_hand",
        ),
        (
            "kl_coef dropped in the influence behind optimality_gap_se_",
            "influence = kl_coef * weight / weight_mean - shifted",
            "influence = weight / weight_mean - shifted",
            "test_policy_value.py::test_certificate_of_three_documents_by_hand",
        ),
    ),
    *_in(
        "_policy/rewards.py",
        (
            "offset of a reward is that of one token",
            "float(2 * single[first] - self(twice)[0])",
            "float(single[first])",
            "test_rewards.py::test_linear_regression_on_counts_adds_over_tokens",
        ),
    ),
    *_in(
        "_policy/training.py",
        (
            "error of a value without a root",
            "assessed.rest.std(ddof=1) / np.sqrt(n_documents)",
            "assessed.rest.std(ddof=1) / n_documents",
            "test_policy_training.py::test_a_value_from_three_documents_by_hand",
        ),
        (
            "mean of all, not of the others",
            "shaped = shaped * (len(shaped) / (len(shaped) - 1))",
            "shaped = shaped * 1.0",
            "test_baselines.py::test_rloo_advantage_is_that_of_the_mean_baseline_times_g_over_g_minus_one",
        ),
    ),
    *_in(
        "_policy/groups.py",
        (
            "deviation of the batch with n in the place of n - 1",
            "(scores.std(ddof=1) + EPSILON)",
            "(scores.std() + EPSILON)",
            "test_grpo.py::test_advantages_by_hand",
        ),
        (
            "a penalty that is paid to what breaks a rule",
            "scores = scores - objective.kl_coef * priced",
            "scores = scores + objective.kl_coef * priced",
            "test_grpo.py::test_scores_leave_the_kl_out_and_take_penalties_off",
        ),
        (
            "the length of documents forgotten in the loss",
            "return expected_length / lengths",
            "return np.full(len(lengths), expected_length / lengths.mean())",
            "test_grpo.py::test_weights_of_tokens_by_hand",
        ),
        (
            "a KL in the loss that is never corrected",
            "old = old_log_prob if self.is_corrected else None",
            "old = None",
            "test_grpo.py::test_the_slope_of_the_kl_is_its_derivative",
        ),
    ),
    *_in(
        "_policy/group_rest.py",
        (
            "a mean of the group without the document itself",
            "share = (self._groups.size - 1) / self._groups.size",
            "share = 1.0",
            "test_grpo.py::test_without_a_deviation_it_is_the_optimum_at_another_weight_of_the_kl",
        ),
        (
            "other tokens of a document in one order only",
            "np.exp(self._orders + log_prob[self._others].sum(axis=1))",
            "np.exp(log_prob[self._others].sum(axis=1))",
            "test_grpo.py::test_nothing_moves_documents_where_they_rest",
        ),
        (
            "others of a group in one order only",
            "np.exp(self._peer_orders + log_rewards[self._peers].sum(axis=1))",
            "np.exp(log_rewards[self._peers].sum(axis=1))",
            "test_grpo.py::test_nothing_moves_documents_where_they_rest",
        ),
    ),
    *_in(
        "_policy/updates.py",
        (
            "stiffness of demonstrations dropped from the trust region",
            "self._n_minibatches * move / self._stiffness",
            "self._n_minibatches * move / _temperature(self.objective)",
            "test_policy_updates.py::test_trust_region_beside_demonstrations_by_hand",
        ),
        (
            "damping by length dropped",
            "self._damping[0] + self._damping[1] * length",
            "self._damping[0] + self._damping[1]",
            "test_policy_updates.py::test_damping_in_proportion_to_the_length_of_documents",
        ),
        (
            "no bias correction of Adam's square",
            "square = self._square / (1.0 - 0.999**self._t)",
            "square = self._square",
            "test_policy_updates.py::test_adam_is_its_definition",
        ),
    ),
    *_in(
        "_policy/tilts.py",
        (
            "curvature of a tilt's normaliser off by the KL's weight",
            "-slopes.sum() / self.kl_coef * spread",
            "-slopes.sum() * spread",
            "test_tilts.py::test_second_derivatives_are_those_of_first",
        ),
    ),
]
