"""Faults in what learns policies from preferences alone: tilts, losses, gaps."""

from mutants.plant import faults_in as _in

FAULTS = [
    *_in(
        "_policy/candidate_tilt.py",
        (
            "covariance of candidates off by the KL's weight",
            "-self.tilt.sum_over_tilts(spread) / self.tilt.kl_coef",
            "-self.tilt.sum_over_tilts(spread)",
            "test_tilts.py::test_second_derivatives_are_those_of_first",
        ),
    ),
    *_in(
        "_policy/ngram_tilt.py",
        (
            "normalisers of n-grams next to 0 without their digits",
            "max(initial=0.0) > _SMALL:",
            "max(initial=0.0) >= 0.0:",
            "test_tilts.py::test_rewards_of_all_families_are_the_same",
        ),
    ),
    *_in(
        "_policy/kto_rest.py",
        (
            "steps that fail again and again get no shorter than before",
            "factor ** max(1, n_failed - _OFTEN) * shift",
            "factor * shift",
            "test_kto_rest.py::test_next_to_no_kl_coef_leaves_the_best_token",
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
        "_policy/kto_points.py",
        (
            "reference point of KTO without the KL's weight",
            "return self.kl_coef * self.kl(policy)",
            "return self.kl(policy)",
            "test_kto.py::test_it_rests_where_gradient_descent_rests",
        ),
    ),
    *_in(
        "_policy/kto_loss.py",
        (
            "curvature of KTO's loss turned round",
            "slope * (bad - good)",
            "slope * (good - bad)",
            "test_kto.py::test_the_loss_by_hand",
        ),
        (
            "weights of KTO's kinds exchanged",
            "slope = (down - up) * good * bad",
            "slope = (up - down) * good * bad",
            "test_kto.py::test_the_loss_by_hand",
        ),
        (
            "reference point of KTO added to the reward",
            "matvec(policy.reward) - reference_point",
            "matvec(policy.reward) + reference_point",
            "test_kto.py::test_it_rests_where_gradient_descent_rests",
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
]
