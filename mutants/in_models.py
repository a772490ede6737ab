"""Faults in language models, reward models, policies and what is asked of them."""

from mutants.plant import faults_in as _in

FAULTS = [
    *_in(
        "_language/model.py",
        (
            "likelihood of a document, not of a token",
            "cross_entropy(total / n_tokens, self",
            "cross_entropy(total, self",
            "test_unigram_lm.py::test_likelihood_is_that_of_the_sequence_of_tokens",
        ),
    ),
    *_in(
        "_language/distributions.py",
        (
            "documents start at the start, whatever a policy was fitted for",
            "elif self.initial is not None:",
            "elif False:",
            "test_ngram_policies.py::test_samples_start_as_those_of_the_fit",
        ),
    ),
    *_in(
        "_language/sft.py",
        (
            "strength of the prior dropped",
            "safe_log(self.prior_strength) + self.base_log_prob_",
            "self.base_log_prob_",
            "test_sft.py::test_is_the_documented_formula",
        ),
        (
            "completions begin as documents do",
            "transform_after(prompts, X)",
            "transform(X)",
            "test_ngram_lm.py::test_refining_uses_the_prompt_as_context",
        ),
    ),
    *_in(
        "_language/unigram_lm.py",
        (
            "smoothing is shared by all tokens",
            "self.token_count_ + self.smoothing",
            "self.token_count_ + self.smoothing / len(self.token_count_)",
            "test_unigram_lm.py::test_equals_multinomial_naive_bayes_of_one_class",
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
            "counts = len(rewards) / self.n * winners",
            "counts = len(rewards) * winners",
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
            "IPO's constant dropped",
            "lean * margin + 0.25,",
            "lean * margin,",
            "test_dpo.py::test_ipo_loss_is_the_square_of_its_distance_to_half_the_lean",
        ),
    ),
    *_in(
        "_policy/response_losses.py",
        (
            "SimPO asks for its margin where A is preferred only",
            "margin - self.gamma, -margin - self.gamma",
            "margin - self.gamma, -margin",
            "test_response_losses.py::test_losses_and_slopes_are_those_of_the_laboratory",
        ),
        (
            "curvature of ORPO's odds forgets the length",
            "np.exp(mean) / (rest * lengths) ** 2",
            "np.exp(mean) / rest**2",
            "test_response_losses.py::test_curvatures_are_differences_of_slopes",
        ),
    ),
    *_in(
        "_policy/dpo_gaps.py",
        (
            "gap of the hinge loss forgets its kinks",
            "return excess + float(",
            "return float(",
            "test_dpo_relatives.py::test_the_gap_of_the_hinge_loss_bounds_what_an_early_stop_misses",
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
    *_in(
        "_policy/ngram_tilt.py",
        (
            "what backs off pays for its own context alone",
            "(of_contexts[trie.suffix] - of_contexts)[1:]",
            "-of_contexts[1:]",
            "test_ngram_tilt.py::test_rewards_of_documents_are_those_of_a_walk",
        ),
        (
            "tokens that a context knows counted again where it backs off",
            "-self._backoff[trie.arc_context] * prob[kernel.lower]",
            "0.0 * prob[kernel.lower]",
            "test_ngram_tilt.py::test_first_derivatives_are_those_of_rewards",
        ),
        (
            "covariance of n-grams off by the KL's weight",
            "-self.tilt.sum_over_tilts(spread) / self.tilt.kl_coef",
            "-self.tilt.sum_over_tilts(spread)",
            "test_ngram_tilt.py::test_second_derivatives_are_those_of_first",
        ),
    ),
    *_in(
        "_policy/candidate_tilt.py",
        (
            "covariance of candidates off by the KL's weight",
            "-self.tilt.sum_over_tilts(spread) / self.tilt.kl_coef",
            "-self.tilt.sum_over_tilts(spread)",
            "test_candidate_tilt.py::test_second_derivatives_are_those_of_first",
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
        "exact/_candidates.py",
        (
            "candidates of a group to prompts of their own",
            "np.repeat(rng.choice(len(shares), n_groups, p=shares / shares.sum()), size)",
            "rng.choice(len(shares), n_groups * size, p=shares / shares.sum())",
            "test_grpo.py::test_candidates_of_a_group_answer_one_prompt_as_often_as_they_should",
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
        "_reward/conservative.py",
        (
            "deviation of rewards of n - 1 models is of n",
            "rewards.std(axis=0, ddof=1)",
            "rewards.std(axis=0)",
            "test_overoptimization.py::test_conservative_rewards_by_their_formulas",
        ),
    ),
    *_in(
        "_reward/ensemble.py",
        (
            "groups dropped from the widening of refits",
            "np.sqrt(self.n_groups_ / (self.n_groups_ - 1))",
            "1.0",
            "test_jackknife.py::test_intervals_of_an_ensemble_are_of_groups_and_refits",
        ),
        (
            "a label takes too much off the covariance",
            "(1 + curvature[best] * variance[best])",
            "(curvature[best] * variance[best])",
            "test_uncertainty.py::test_informative_pairs_are_chosen_as_if_the_others_were_labelled",
        ),
        (
            "one degree of freedom more for refits",
            "1 / (len(self._all_weights) - 1))",
            "1 / len(self._all_weights))",
            "test_jackknife.py::test_intervals_of_an_ensemble_are_of_groups_and_refits",
        ),
    ),
    *_in(
        "_reward/jackknife.py",
        (
            "(G - 1) / G dropped where groups are left out of a fit",
            "self.factor = 1 - 1 / n_groups if",
            "self.factor = 1.0 if",
            "test_jackknife.py::test_length_controlled_win_rate_of_three_groups_by_hand",
        ),
        (
            "G / (G - 1) dropped where nobody is left out",
            "else 1 / (1 - 1 / n_groups)",
            "else 1.0",
            "test_jackknife.py::test_moves_that_leave_nobody_out_have_the_usual_factor",
        ),
    ),
    *_in(
        "_reward/leakage.py",
        (
            "a quarter of known responses is enough to warn",
            "known.mean() > MAX_COMMON_RESPONSES",
            "known.mean() >= MAX_COMMON_RESPONSES",
            "test_leakage.py::test_more_than_a_quarter_of_known_responses_is_a_sign_of_shared_prompts",
        ),
        (
            "a response of 40 characters is short",
            "len(text) >= MIN_RESPONSE_LENGTH",
            "len(text) > MIN_RESPONSE_LENGTH",
            "test_leakage.py::test_a_response_of_40_characters_is_a_sign_of_its_prompt",
        ),
        (
            "one known prompt is enough to warn",
            "len(self.prompts) < 2",
            "len(self.prompts) < 1",
            "test_leakage.py::test_a_fit_on_one_prompt_leaves_no_other_to_split_by",
        ),
    ),
    *_in(
        "_ratings/graph.py",
        (
            "a tie is won by the first alone",
            "lost = (target < 1)",
            "lost = (target < 0.5)",
            "test_ratings.py::test_what_is_connected_and_what_is_separated",
        ),
    ),
    *_in(
        "_ratings/uncertainty.py",
        (
            "Bonferroni's method for Holm's",
            "(n - np.arange(n)) * p_value[order]",
            "n * p_value[order]",
            "test_ratings_uncertainty.py::test_holm_by_hand",
        ),
        (
            "the parameter of ties moves for what the margin told",
            "left = -first[j] - (factor[j, :j] * residual[:j]).sum(axis=0)",
            "left = -first[j]",
            "test_ratings_uncertainty.py::"
            "test_with_ties_the_covariance_is_that_of_fits_without_each_voter",
        ),
        (
            "two ways added up with what both have twice",
            "positive_part(covariance + others[0] - others[1])",
            "positive_part(covariance + others[0])",
            "test_ratings_two_ways.py::test_two_ways_add_up_less_what_both_have",
        ),
        (
            "what was told is compared on no side when it steps down",
            "np.maximum(rest, against, out=rest)",
            "rest = np.maximum(rest, 0.0)",
            "test_ratings_two_ways.py::test_steps_down_by_hand",
        ),
        (
            "sets of ranks of single comparisons",
            'told = self.adjusted(differences.p_value, "max-t") < level',
            "told = differences.p_value < level",
            "test_ratings_uncertainty.py::test_sets_of_ranks_follow_from_the_comparisons",
        ),
    ),
    *_in(
        "_ratings/both_bad.py",
        (
            "half the cross term of margin and badness",
            "by_tie, by_bad = (b - a) * tie / 2, (b - a) * bad / 2",
            "by_tie, by_bad = (b - a) * tie / 2, (b - a) * bad / 4",
            "test_ratings_both_bad.py::test_derivatives_are_those_of_finite_differences",
        ),
    ),
    *_in(
        "_reward/author_terms.py",
        (
            "the precision of authors that are known, not unknown",
            "precision[:n, :n] - cross @ np.linalg.solve(precision[n:, n:], cross.T)",
            "precision[:n, :n]",
            "test_reward_authors.py::test_standard_errors_know_that_authors_are_unknown",
        ),
    ),
    *_in(
        "_ratings/reports.py",
        (
            "Elo in natural logarithms",
            "400 / np.log(10)",
            "400.0",
            "test_ratings_uncertainty.py::test_a_table_is_sorted_and_anchored",
        ),
    ),
    *_in(
        "_reward/tie_losses.py",
        (
            "half the cross term of Davidson's model",
            "-(a - b) * tie / 2,",
            "-(a - b) * tie,",
            "test_loss_derivatives.py::test_gradient_and_hessian_product_are_central_differences",
        ),
    ),
    *_in(
        "_reward/uncertain_reward.py",
        (
            "scales of blocks dropped from the penalty of a fit",
            "problem.penalty / (model.C_ * scales**2)",
            "problem.penalty / model.C_",
            "test_uncertainty.py::test_model_chosen_by_cross_validation_keeps_its_penalty",
        ),
    ),
    *_in(
        "_reward/win_rate.py",
        (
            "weak prior of the win rate is strong",
            "WEAK_PENALTY = 1e-3",
            "WEAK_PENALTY = 1e-1",
            "test_jackknife.py::test_length_controlled_win_rate_of_three_groups_by_hand",
        ),
        (
            "weights dropped from the residuals of the win rate",
            "residual = weight[kept] * (label - expit(margin)) / root",
            "residual = (label - expit(margin)) / root",
            "test_jackknife.py::test_length_controlled_win_rate_of_three_groups_by_hand",
        ),
    ),
    *_in(
        "overoptimization.py",
        (
            "standard error of the fall without the last point",
            "float(np.hypot(peak[4], curve.gold_reward_se[-1]))",
            "float(peak[4])",
            "test_overoptimization.py::test_standard_error_of_the_fall_is_that_of_both_its_ends",
        ),
        (
            "slope by one step, not two",
            "/ (2.0 * step / objective.kl_coef)",
            "/ (step / objective.kl_coef)",
            "test_overoptimization.py::test_covariance_is_the_slope_of_gold",
        ),
        (
            "both tails in one of the bootstrap of gold",
            "tails = [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0]",
            "tails = [1.0 - confidence, confidence]",
            "test_overoptimization.py::test_the_middle_three_fifths_of_four_refits_reach_from_least_to_greatest",
        ),
        (
            "a peak at the last point",
            "bool(curve.gold_reward[best] > curve.gold_reward[-1])",
            "bool(curve.gold_reward[best] >= curve.gold_reward[-1])",
            "test_overoptimization.py::test_a_gold_reward_that_never_falls_has_no_peak_inside",
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
