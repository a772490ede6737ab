"""Faults in metrics and their intervals."""

from mutants.plant import faults_in as _in

FAULTS = [
    *_in(
        "metrics/_agreement.py",
        (
            "n - 1 votes dropped from Fleiss' kappa",
            "/ (n_votes * (n_votes - 1))",
            "/ (n_votes * n_votes)",
            "test_agreement.py::test_fleiss_kappa_by_counting_pairs_of_votes",
        ),
        (
            "own vote counts in the consensus",
            "others = counts - (votes_of_one[:, np.newaxis] == np.arange(len(categories)))",
            "others = counts",
            "test_agreement.py::test_annotators_are_measured_against_the_others",
        ),
    ),
    *_in(
        "metrics/_calibration.py",
        (
            "n / (n - 1) dropped in reliability_table",
            " * n / np.maximum(n - 1, 1)",
            "",
            "test_calibration.py::test_standard_error_of_three_weighted_pairs_by_hand",
        ),
        (
            "a quantile up to rounding is the next one",
            "wanted - 1e-12",
            "wanted + 1e-12",
            "test_calibration.py::test_reliability_is_the_calibration_curve_of_scikit_learn",
        ),
        (
            "root dropped in the debiased square error",
            "return float(np.sqrt(max(0.0, table.weight @ (gap**2 - chance**2))))",
            "return float(max(0.0, table.weight @ (gap**2 - chance**2)))",
            "test_calibration.py::test_debiased_ece_is_nearer_the_truth_whether_calibrated_or_not",
        ),
    ),
    *_in(
        "metrics/_grouped_mean.py",
        (
            "share of groups dropped in the p-value of a mean",
            "ratio = abs(self.mean) / (share * self.standard_error)",
            "ratio = abs(self.mean) / self.standard_error",
            "test_jackknife.py::test_mean_of_three_groups_by_hand",
        ),
        (
            "both tails in one of the bootstrap",
            "rank = int((1 - confidence_level) / 2 * n_signs + 1e-9)",
            "rank = int((1 - confidence_level) * n_signs + 1e-9)",
            "test_jackknife.py::test_interval_of_a_difference_is_the_wider_of_two",
        ),
        (
            "p-value of groups that all agree is half",
            "else 2.0 ** (1 - self.n_groups)",
            "else 2.0 ** (-self.n_groups)",
            "test_jackknife.py::test_groups_that_all_agree_have_the_p_value_of_their_signs",
        ),
    ),
    *_in(
        "metrics/_intervals.py",
        (
            "one degree of freedom more for independent pairs",
            "freedom = n_effective - 1",
            "freedom = n_effective",
            "test_metric_slices.py::test_soft_outcomes_of_independent_pairs_vary_as_all_of_them_do",
        ),
        (
            "the narrower interval of a share",
            "*min(ends, key=lambda end: end[1] - end[0])",
            "*max(ends, key=lambda end: end[1] - end[0])",
            "test_metric_slices.py::test_win_rate_of_independent_pairs_is_wilsons",
        ),
    ),
    *_in(
        "metrics/_length.py",
        (
            "weights dropped from the information of length",
            "np.bincount(codes, weight * length**2 * prob * (1 - prob))",
            "np.bincount(codes, length**2 * prob * (1 - prob))",
            "test_jackknife.py::test_a_weight_of_two_is_the_pair_twice_in_its_group",
        ),
        (
            "weights dropped from the moves of length",
            "np.bincount(codes, weight * length * (label - prob))",
            "np.bincount(codes, length * (label - prob))",
            "test_jackknife.py::test_a_weight_of_two_is_the_pair_twice_in_its_group",
        ),
    ),
    *_in(
        "metrics/_off_policy.py",
        (
            "rows are as many as their weights say, not groups",
            "share.sum() ** 2 / (share @ share)",
            "weight.sum() ** 2 / (weight @ weight)",
            "test_off_policy.py::test_values_by_hand",
        ),
        (
            "weights dropped from how many groups tell",
            "np.bincount(codes, scaled**2)",
            "np.bincount(codes)",
            "test_off_policy.py::test_values_by_hand",
        ),
        (
            "doubly robust without its correction",
            "baseline + weight * (outcome - correction)",
            "baseline + weight * outcome",
            "test_off_policy.py::test_values_by_hand",
        ),
    ),
    *_in(
        "metrics/_preferences.py",
        (
            "chance of soft ranks counts equal ones whole",
            "(np.cumsum(totals) - totals / 2)",
            "np.cumsum(totals)",
            "test_metrics.py::test_exchanging_a_and_b_changes_nothing",
        ),
        (
            "weights dropped from the area under the curve",
            "ranks[kept], sample_weight=row_weight[kept]",
            "ranks[kept]",
            "test_metrics.py::test_equals_scikit_learn_on_hard_labels",
        ),
        (
            "variance of soft labels dropped from the Brier loss",
            " + label * (1 - label)\n",
            "\n",
            "test_metrics.py::test_equals_scikit_learn_on_the_weighted_rows_of_soft_labels",
        ),
    ),
    *_in(
        "metrics/_row_scorers.py",
        (
            "a negative correlation with length is good",
            "return -abs(audit.margin_length_correlation)",
            "return -audit.margin_length_correlation",
            "test_row_scorers.py::test_lengths_are_those_of_the_audit",
        ),
        (
            "weight of a prompt is that of its first response",
            "np.nanmean(weight, axis=1)",
            "weight[:, 0]",
            "test_row_scorers.py::test_a_prompt_weighs_the_mean_of_its_responses",
        ),
    ),
    *_in(
        "metrics/_slices.py",
        (
            "ties share no credit in best_of_n_accuracy",
            "(top & is_best).sum(axis=1) / top.sum(axis=1)",
            "(top & is_best).any(axis=1).astype(float)",
            "test_metric_slices.py::test_best_of_n_shares_a_point_among_ties",
        ),
        (
            "weights of sections dropped",
            "by_section.accuracy, weights=section_weight",
            "by_section.accuracy",
            "test_metric_slices.py::test_sections_average_pairs_and_the_overall_number_averages_sections",
        ),
    ),
]
