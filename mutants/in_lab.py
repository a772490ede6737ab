"""Faults in the laboratory: problems, algorithms, and where they are said to rest."""

from mutants.plant import faults_in as _in

FAULTS = [
    *_in(
        "lab/_advantages/_arrays.py",
        (
            "whitening over all tokens but none less",
            "/ np.maximum(n_tokens - 1, 1)",
            "/ n_tokens",
            "test_lab_losses.py::TestAdvantages::test_whitening_is_over_tokens",
        ),
    ),
    *_in(
        "lab/_advantages/_gae.py",
        (
            "a critic that is not discounted",
            "rewards[..., t] + gamma * value - values[..., t]",
            "rewards[..., t] + value - values[..., t]",
            "test_lab_losses.py::TestAdvantages::test_gae_is_the_sum_of_its_steps",
        ),
        (
            "gaps between tokens end a response",
            "following = np.where(here, delta + gamma * lam * following, following)",
            "following = np.where(here, delta + gamma * lam * following, 0.0)",
            "test_lab_padding.py::test_the_token_after_a_gap_is_the_next",
        ),
    ),
    *_in(
        "lab/_advantages/_groups.py",
        (
            "deviation of the group without one less",
            "sum_within(apart**2, codes) / (sizes - 1)",
            "sum_within(apart**2, codes) / sizes",
            "test_lab_losses.py::TestAdvantages::test_groups_by_hand",
        ),
    ),
    *_in(
        "lab/_batch.py",
        (
            "means of responses weigh all tokens alike",
            "mask / (n_responses * np.maximum(mask.sum(axis=-1, keepdims=True), 1.0))",
            "mask / mask.sum(axis=(-2, -1), keepdims=True)",
            "test_lab_losses.py::TestPolicyLosses::test_weights_of_tokens_by_hand",
        ),
    ),
    *_in(
        "lab/_check.py",
        (
            "noise of drawn batches dropped",
            "error_se = np.sqrt(spread) / size",
            "error_se = np.sqrt(spread)",
            "test_lab_check.py::TestCalls::test_standard_errors_are_those_of_repetition",
        ),
        (
            "the errors of log-ratios in nats",
            "return error / max(size, SMALLEST_TILT)",
            "return error",
            "test_lab_check.py::TestVerdicts::test_the_error_of_log_ratios_by_hand",
        ),
        (
            "a reward and a length that are told apart by least norm",
            "np.linalg.matrix_rank(scaled, tol=1e-9) < len(used)",
            "np.linalg.matrix_rank(scaled, tol=1e-9) < 1",
            "test_lab_check.py::TestMeasures::"
            "test_no_weight_of_the_kl_where_it_cannot_be_told_from_the_length",
        ),
        (
            "bias of length with the reward's own in it",
            "fit_tilt(problem, rest.log_prob - equal.log_prob)",
            "fit_tilt(problem, rest.log_prob - problem.reference)",
            "test_lab_check.py::TestMeasures::test_no_price_of_a_token",
        ),
    ),
    *_in(
        "lab/_expected.py",
        (
            "radius of one epoch for all",
            "values = sampling.rate * sampling.epochs * values",
            "values = 1.0 * values",
            "test_lab_rest.py::TestStability::test_the_spectral_radius_is_the_rate_of_return",
        ),
    ),
    *_in(
        "lab/_losses/_clipped.py",
        (
            "the dual clip of what should rise",
            "bounded = (advantages < 0) & ",
            "bounded = ",
            "test_lab_losses.py::TestPolicyLosses::test_clip_by_hand",
        ),
        (
            "the ratio of a sequence is no mean",
            "mean = (log_prob - old_log_prob).sum(axis=-1, keepdims=True) / lengths",
            "mean = (log_prob - old_log_prob).sum(axis=-1, keepdims=True)",
            "test_lab_losses.py::TestPolicyLosses::test_the_ratio_of_a_sequence_is_a_geometric_mean",
        ),
    ),
    *_in(
        "lab/_losses/_kl.py",
        (
            "a ratio without a gradient of its own",
            "penalty, slope = ratio * penalty, ratio * (penalty + slope)",
            "penalty, slope = ratio * penalty, ratio * slope",
            "test_lab_losses.py::TestKL::test_expected_gradients_are_those_that_are_claimed",
        ),
    ),
    *_in(
        "lab/_run.py",
        (
            "documents of a run counted by groups",
            "size * np.arange(n_steps + 1)",
            "n_groups * np.arange(n_steps + 1)",
            "test_lab_run.py::test_documents_are_counted_and_gaps_are_those_of_the_policies",
        ),
        (
            "natural steps that are plain ones",
            "step = step / np.exp(log_prob)",
            "step = step / 1.0",
            "test_lab_run.py::test_a_step_by_hand",
        ),
    ),
    *_in(
        "lab/_losses/_dpo.py",
        (
            "IPO asks for twice the margin",
            "- 0.5 / beta",
            "- 1.0 / beta",
            "test_lab_preferences.py::TestPreferences::test_ipo_needs_no_bradley_terry",
        ),
    ),
    *_in(
        "lab/_preferences.py",
        (
            "pairs of two responses drawn in one order only",
            "weights = 2 * weights * np.where",
            "weights = weights * np.where",
            "test_lab_preferences.py::TestPreferences::test_online_pairs_are_as_often_as_the_policy_draws_them",
        ),
    ),
    *_in(
        "lab/_problem.py",
        (
            "groups as likely in any number of orders",
            "np.exp(orders + within[of_prompt[sets]].sum(axis=1))",
            "np.exp(within[of_prompt[sets]].sum(axis=1))",
            "test_lab_rest.py::TestExpectation::test_multisets_are_all_ordered_groups",
        ),
        (
            "padding is out of the gradient",
            "inside[..., 0] += np.where(self.mask, 0.0, gradient).sum(axis=-1)",
            "inside[..., 0] += 0.0",
            "test_lab_check.py::TestCalls::test_padding_shows_the_first_token_once_more",
        ),
    ),
    *_in(
        "lab/_rest_preferences.py",
        (
            "a repeller is where KTO rests",
            "not _is_stable(log_pushes, found.x)",
            "False",
            "test_lab_followed.py::TestKTO::test_where_mass_gathers_on_one_response",
        ),
        (
            "weights of desirable and undesirable exchanged",
            "desirable_weight * wins.sum(axis=1) - undesirable_weight * wins.sum(axis=0)",
            "undesirable_weight * wins.sum(axis=1) - desirable_weight * wins.sum(axis=0)",
            "test_lab_preferences.py::TestPreferences::test_kto_takes_all_mass_from_what_is_undesirable",
        ),
    ),
    *_in(
        "lab/_rest_rewards.py",
        (
            "an equation for any options",
            "set(algorithm.advantage_options) <= set(_ADVANTAGE_OPTIONS)",
            "True",
            "test_lab_followed.py::TestWithoutAnEquation::test_rewards",
        ),
        (
            "the group holds all of its responses but one",
            "held = 1 / group_size if",
            "held = 0.0 if",
            "test_lab_rest.py::TestKLInTheLoss::test_a_token_does_not_pay_for_later_tokens",
        ),
    ),
]
