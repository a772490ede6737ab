"""Faults in language models, reward models, ratings and what is asked of them."""

from mutants.plant import faults_in as _in

FAULTS = [
    *_in(
        "_language/model.py",
        (
            "likelihood of a document, not of a token",
            "log_likelihood / n_tokens / Fraction(SCALE)",
            "log_likelihood / Fraction(SCALE)",
            "test_unigram_lm.py::test_likelihood_is_that_of_the_sequence_of_tokens",
        ),
        (
            "documents without a weight have to be possible",
            "counted = np.flatnonzero(weight)",
            "counted = np.arange(len(weight))",
            "test_unigram_lm.py::test_without_smoothing_what_was_not_seen_cannot_be",
        ),
        (
            "weights dropped from likelihoods",
            "[weight[counted] * values[counted] for values in",
            "[values[counted] for values in",
            "test_partitions.py::test_scores_are_the_same_bits_of_any_parts_in_any_order",
        ),
        (
            "likelihoods added up with rounding",
            "return exact_sum(products[0]), exact_sum(products[1])",
            "return Fraction(products[0].sum()), Fraction(products[1].sum())",
            "test_partitions.py::test_scores_are_the_same_bits_of_any_parts_in_any_order",
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
]
