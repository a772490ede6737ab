"""Faults in the maths, in what comes in, in labels, rules and solvers."""

from mutants.plant import faults_in as _in

FAULTS = [
    *_in(
        "_categorical.py",
        (
            "normalisers of tilts next to 0 without their digits",
            "np.log1p(np.maximum(change, -0.5))",
            "np.log(1.0 + np.maximum(change, -0.5))",
            "test_tilts.py::test_policies_and_rewards_have_all_digits_at_any_strength",
        ),
        (
            "tilted policies that are not normalised where tilts are vast",
            "own = tilts - _of_each(_greatest(np.where(possible, tilts, -np.inf), codes), codes)",
            "own = 1.0 * tilts",
            "test_tilts.py::test_policies_and_rewards_have_all_digits_at_any_strength",
        ),
        (
            "a term of the series of exp(x) - 1 - x dropped",
            "for divisor in (5, 4, 3):",
            "for divisor in (5, 4):",
            "test_categorical.py::test_close_kl_keeps_its_digits_where_kl_divergence_loses_them",
        ),
        (
            "mass outside the policy dropped from the close KL",
            "float(terms.sum()) + outside",
            "float(terms.sum())",
            "test_categorical.py::test_close_kl_of_any_two_distributions",
        ),
        (
            "what a sum rounds is added back once",
            "while rest := math.fsum(listed + rounding):",
            "if rest := math.fsum(listed + rounding):",
            "test_categorical.py::test_exact_sums_are_those_of_fractions",
        ),
        (
            "an infinite sum has no sign",
            "        return rounded\n",
            "        return abs(rounded)\n",
            "test_categorical.py::test_exact_sums_are_those_of_fractions",
        ),
        (
            "weights dropped from root_mean_square",
            "(values / largest) ** 2, weights=weight)",
            "(values / largest) ** 2)",
            "test_extreme_fits.py::test_root_mean_squares_scale",
        ),
        (
            "nats of a ban dropped from the reference KL",
            "reference - mass) - mass",
            "reference - mass)",
            "test_policy_constraints.py::test_a_ban_reaches_the_constrained_optimum_and_is_priced_in_nats",
        ),
        (
            "rounding of the mass is taken for a ban",
            "_MASS_ROUNDING = 1e-8",
            "_MASS_ROUNDING = 1e-20",
            "test_exact.py::test_frontier_of_a_constant_reward_is_the_reference",
        ),
    ),
    *_in(
        "_checks/groups.py",
        (
            "NaN groups pass",
            "if is_missing(value)]",
            "if value is None]",
            "test_groups.py::test_missing_group_is_refused_with_its_place",
        ),
    ),
    *_in(
        "_checks/matrices.py",
        (
            "a column index one past the end passes",
            "indices.max() < end):",
            "indices.max() <= end):",
            "test_matrices.py::test_what_is_malformed_is_told",
        ),
    ),
    *_in(
        "_checks/positions.py",
        (
            "a row one past the end passes",
            "(items < 0) | (items >= n_rows)",
            "(items < 0) | (items > n_rows)",
            "test_candidate_direct.py::test_what_is_no_row_is_said",
        ),
    ),
    *_in(
        "_checks/numbers.py",
        (
            "one token more than the limit is drawn",
            "if n_tokens > MOST_TOKENS:\n        sizes",
            "if n_tokens >= 2 * MOST_TOKENS:\n        sizes",
            "test_call_errors.py::test_limits_of_sizes_weights_and_logarithms_are_where_they_say",
        ),
        (
            "log-probabilities far above 0 pass",
            "LOG_TOLERANCE = 1e-3",
            "LOG_TOLERANCE = 1e-1",
            "test_call_errors.py::test_limits_of_sizes_weights_and_logarithms_are_where_they_say",
        ),
        (
            "vast weights pass",
            "low <= largest <= high)",
            "low <= largest)",
            "test_call_errors.py::test_limits_of_sizes_weights_and_logarithms_are_where_they_say",
        ),
        (
            "infinite values pass where they may not",
            "(array <= largest)",
            "(array <= np.inf)",
            "test_call_errors.py::test_message",
        ),
    ),
    *_in(
        "_few_groups.py",
        (
            "share of groups dropped in the critical value",
            "return quantile * np.sqrt((1 - 1 / n_effective) / (1 - 1 / n_groups))",
            "return quantile",
            "test_jackknife.py::test_mean_of_three_groups_by_hand",
        ),
        (
            "(G - 1) / G dropped from the jackknife",
            "return (1 - 1 / len(moves)) * (moves**2)",
            "return (moves**2)",
            "test_jackknife.py::test_length_coefficient_of_three_groups_by_hand",
        ),
        (
            "one group may tell all",
            "return np.maximum(number, 2.0)",
            "return number",
            "test_jackknife.py::test_groups_that_tell_alike_are_their_number_in_effect",
        ),
        (
            "degrees of freedom are groups",
            "/ 2, n_effective - 1)",
            "/ 2, n_effective)",
            "test_jackknife.py::test_degrees_of_freedom_of_balanced_groups_are_one_less_than_groups",
        ),
        (
            "five groups are few",
            "if n_groups < FEWEST_GROUPS:",
            "if n_groups <= FEWEST_GROUPS:",
            "test_jackknife.py::test_length_that_tells_every_label_leaves_the_win_rate_open",
        ),
    ),
    *_in(
        "_labels/conventions.py",
        (
            "mean grade over all pairs",
            "weight[decided] = known / mean",
            "weight[decided] = known / strength.mean()",
            "test_labels.py::test_grades_weigh_one_on_average_in_any_unit",
        ),
        (
            "scales are turned",
            "np.sign(worst - best)",
            "np.sign(best - worst)",
            "test_label_columns.py::test_strengths_are_those_of_grades",
        ),
    ),
    *_in(
        "_labels/infer.py",
        (
            "numbers of the better response are probabilities",
            'return [*counted, "index", "probability"]',
            'return [*counted, "probability"]',
            "test_label_columns.py::test_numbers_that_can_mean_two_things",
        ),
    ),
    *_in(
        "_labels/resolve.py",
        (
            "2 and 1 are read as 1 and 2",
            "in _OF_STYLE[labels.sides.style]:\n        probability = 1 - probability",
            "in _OF_STYLE[labels.sides.style]:\n        probability = 0 + probability",
            "test_label_columns.py::test_numbers_that_can_mean_but_one_thing",
        ),
    ),
    *_in(
        "_labels/scores.py",
        (
            "equal scores contradict a label",
            "np.flatnonzero(difference < 0)",
            "np.flatnonzero(difference <= 0)",
            "test_score_columns.py::test_each_pair_is_counted_once",
        ),
    ),
    *_in(
        "_ngrams/backoff.py",
        (
            "the policy of a position is that of the next",
            "self.later[position - 1] if position else self",
            "self.later[position - 2] if position else self",
            "test_exact_ngram_positions.py::test_samples_have_the_probabilities_of_the_policy",
        ),
        (
            "a token may be drawn that was backed off from",
            "self.trie.find(from_left[was_left], tokens) >= 0",
            "np.zeros(len(tokens), bool)",
            "test_ngrams.py::test_draws_have_the_frequencies_of_the_model",
        ),
        (
            "longer n-grams take the probability of a token, not of the shorter ones",
            "log_prob[start:stop] = log_prob[trie.lower[start:stop]]",
            "log_prob[start:stop] = log_prob[trie.arc_token[start:stop]]",
            "test_ngram_policies.py::test_every_other_policy_is_worse_by_its_divergence",
        ),
    ),
    *_in(
        "_ngrams/scoring.py",
        (
            "backing off costs nothing where text is scored",
            "total[at] += more",
            "total[at] += 0.0 * more",
            "test_ngram_scoring.py::test_a_score_is_a_sum_by_hand",
        ),
    ),
    *_in(
        "_ngrams/smoothing.py",
        (
            "one discount for counts of 2 and more",
            "np.arange(4), [0.0, *off]",
            "np.arange(4), [0.0, *off[:2], off[1]]",
            "test_ngrams.py::test_kneser_ney_by_dicts",
        ),
        (
            "shorter n-grams count as often as they occur",
            "np.minimum(raw[longer], 1.0), trie.n_arcs)\n    counts",
            "raw[longer], trie.n_arcs)\n    counts",
            "test_ngrams.py::test_kneser_ney_by_dicts",
        ),
        (
            "types count half in Witten-Bell",
            "other + types",
            "other + types / 2",
            "test_ngram_lm.py::test_formulas_of_the_notes",
        ),
    ),
    *_in(
        "_ngrams/trie.py",
        (
            "of a truncated trie a long context goes on",
            "following[long] = self.suffix[following[long]]",
            "following[long] = 0",
            "test_ngrams.py::test_projection_is_the_count_of_a_lower_order",
        ),
    ),
    *_in(
        "_rollouts.py",
        (
            "a document that ends with its last token is cut",
            "drawn <= max_length\n",
            "drawn < max_length\n",
            "test_rollouts.py::test_with_an_end_lengths_are_geometric_and_cut",
        ),
        (
            "occurrences drawn are of tokens, not documents",
            "self.occurrences[tokens] / len(self)",
            "self.occurrences[tokens] / len(self.tokens)",
            "test_policy_value.py::test_rewards_and_penalties_of_three_documents_by_hand",
        ),
    ),
    *_in(
        "_solve/conjugate_gradients.py",
        (
            "tolerance of conjugate gradients is not squared",
            "target = tol**2 * energy",
            "target = tol * energy",
            "test_conjugate_gradients.py::test_the_norm_of_the_residual_is_the_share_asked_for",
        ),
    ),
    *_in(
        "_solve/newton.py",
        (
            "scale dropped from standard errors",
            "np.sqrt(scale * np.maximum(variances, 0.0))",
            "np.sqrt(np.maximum(variances, 0.0))",
            "test_tie_models.py::test_interval_of_davidsons_tie_is_that_of_the_curvature_by_differences",
        ),
        (
            "confidence of one side",
            "norm.ppf((1 + level) / 2)",
            "norm.ppf(level)",
            "test_tie_models.py::test_interval_of_davidsons_tie_is_that_of_the_curvature_by_differences",
        ),
    ),
    *_in(
        "_solve/precision.py",
        (
            "unit diagonal of the dual dropped",
            "kernel[np.diag_indices_from(kernel)] += 1.0",
            "kernel[np.diag_indices_from(kernel)] += 1.001",
            "test_uncertainty.py::test_laplace_is_the_documented_formula",
        ),
    ),
    *_in(
        "_verdicts.py",
        (
            "extra variance of a mean is of the sum",
            "n**2 * extra_variance",
            "n * extra_variance",
            "test_verdicts.py::test_extra_variance_is_that_of_the_mean",
        ),
        (
            "z squared over 2 in Wilson's interval of a verdict",
            "(1 - share) + z2 / 4)",
            "(1 - share) + z2 / 2)",
            "test_verdicts.py::test_interval_where_all_agree_is_wilsons",
        ),
        (
            "power dropped from what is detectable",
            "float((z + norm.ppf(POWER)) * math",
            "float(z * math",
            "test_verdicts.py::test_statistic_is_that_of_the_formula",
        ),
        (
            "sixteen groups are not enumerated",
            "if sums.size <= MOST_FLIPPED:",
            "if sums.size < MOST_FLIPPED:",
            "test_verdicts.py::test_sixteen_groups_are_enumerated_and_seventeen_are_not",
        ),
        (
            "ties of flips do not count",
            ">= distance - 1e-9 * np.abs(sums).sum()",
            ">= distance + 1e-9 * np.abs(sums).sum()",
            "test_verdicts.py::test_few_groups_are_enumerated",
        ),
        (
            "no one more in the p-value of columns",
            "reached / (1 + n_flips)",
            "reached / n_flips",
            "test_verdicts.py::test_columns_are_held_against_all_flips",
        ),
        (
            "enough data are too few",
            "max(self.detectable, farthest) <= enough",
            "max(self.detectable, farthest) > enough",
            "test_audit_verdicts.py::test_too_few_is_what_would_miss_much",
        ),
        (
            "a slope that is not rejected is left out of its interval",
            "low, high = min(low, 1.0), max(high, 1.0)",
            "low, high = min(low, 1.0), high",
            "test_verdicts.py::test_slope_that_few_groups_do_not_reject_is_in_its_interval",
        ),
        (
            "inflation dropped from the slope",
            "return sums, self._inflation * max(",
            "return sums, max(",
            "test_verdicts.py::test_slope_of_a_model_that_was_cross_fitted_by_hand",
        ),
        (
            "power dropped from the slope that is detectable",
            "reach = (z + norm.ppf(POWER)) * math.sqrt(variance) / information",
            "reach = z * math.sqrt(variance) / information",
            "test_verdicts.py::test_slope_of_a_model_that_was_cross_fitted_by_hand",
        ),
    ),
    *_in(
        "kl_control.py",
        (
            "a fall of the KL is not clipped",
            "np.clip(kl / target - 1.0, -_LARGEST_ERROR, _LARGEST_ERROR)",
            "np.clip(kl / target - 1.0, None, _LARGEST_ERROR)",
            "test_policy_controls.py::test_adaptive_controller_is_its_formula_and_stays_positive",
        ),
        (
            "kl_coef may fall below 0",
            "max(1.0 + error * n_documents / horizon, _LARGEST_ERROR)",
            "1.0 + error * n_documents / horizon",
            "test_policy_controls.py::test_adaptive_controller_never_falls_by_more_than_four_fifths_at_once",
        ),
    ),
    *_in(
        "labels.py",
        (
            "a vote of the prior is two",
            "values.sum(axis=1) + prior_votes / 2)",
            "values.sum(axis=1) + prior_votes)",
            "test_labels.py::test_votes",
        ),
        (
            "rows of soft labels are turned",
            "y=1 - kept % 2",
            "y=kept % 2",
            "test_labels.py::test_rows_of_any_container",
        ),
        (
            "weight dropped from expanded rows",
            "(weight[:, np.newaxis] * np.column_stack([label, 1 - label]))",
            "(np.column_stack([label, 1 - label]))",
            "test_labels.py::test_rows_of_any_container",
        ),
    ),
    *_in(
        "rules.py",
        (
            "the budget is not taken off",
            "np.maximum(rollouts.sum_over_tokens(counted) - self.budget, 0.0)",
            "np.maximum(rollouts.sum_over_tokens(counted), 0.0)",
            "test_rules.py::test_examples",
        ),
        (
            "an n-gram that begins in the prompt does not count",
            "rollouts.before(width).ravel()",
            "Rollouts.before(rollouts, width).ravel()",
            "test_ngram_rules.py::test_ngrams_that_begin_in_the_prompt_count",
        ),
    ),
    *_in(
        "_rule_entries.py",
        (
            "a column one past the end is a token",
            "0 <= int(token) < n_columns",
            "0 <= int(token) <= n_columns",
            "test_rules.py::test_tokens_are_names_or_columns_as_the_policy_has_them",
        ),
    ),
]
