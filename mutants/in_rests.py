"""Faults in where KTO and GRPO rest, and in how that is found."""

from mutants.plant import faults_in as _in

FAULTS = [
    *_in(
        "_policy/kto_field.py",
        (
            "the field does not know that the reference point moves",
            "self.field.loss.bent(self.point, along, self._own_along(along)) / scale",
            "self.field.loss.bent(self.point, along) / scale",
            "test_kto_rest.py::test_the_field_bends_as_its_derivative_says",
        ),
        (
            "the reference point of the field is that of the reference",
            "self.loss.point(weights, policy, self.own.at(policy))",
            "self.loss.point(weights, policy, 0.0)",
            "test_kto.py::test_it_rests_where_gradient_descent_rests",
        ),
        (
            "a force is measured on the scale of all documents",
            "np.linalg.norm(force * (self.scale / self._scales))",
            "np.linalg.norm(force)",
            "test_kto_rest.py::test_forces_and_steps_are_measured_on_the_scale_of_their_columns",
        ),
        (
            "a step is measured as a force is",
            "np.linalg.norm(step * (self._scales / self.scale))",
            "np.linalg.norm(step * (self.scale / self._scales))",
            "test_kto_rest.py::test_forces_and_steps_are_measured_on_the_scale_of_their_columns",
        ),
        (
            "the force at a place is that of weights",
            "return self.point.gradient / self.field.scale",
            "return self.point.gradient",
            "test_kto_rest.py::test_the_field_bends_as_its_derivative_says",
        ),
    ),
    *_in(
        "_policy/kto_points.py",
        (
            "the reference point moves without the KL's weight",
            "gradient = self.kl_coef * self.kl_gradient(policy)",
            "gradient = self.kl_gradient(policy)",
            "test_kto_rest.py::test_the_field_bends_as_its_derivative_says",
        ),
        (
            "reference points of prompts move without the KL's weight",
            "policy.reward * policy.jvp(direction) / policy.tilt.kl_coef",
            "policy.reward * policy.jvp(direction)",
            "test_candidate_kto.py::test_the_reference_point_moves_as_its_derivative_says",
        ),
        (
            "candidates of a prompt count alike in its reference point",
            "np.bincount(policy.tilt.prompts, policy.prob * values, policy.tilt.n_prompts)",
            "np.bincount(policy.tilt.prompts, values, policy.tilt.n_prompts)",
            "test_candidate_kto.py::test_it_rests_where_gradient_descent_rests",
        ),
    ),
    *_in(
        "_policy/kto_rest.py",
        (
            "a search goes to rest points that repel",
            "least = _least_shift(rates) if is_true else 0.0",
            "least = 0.0",
            "test_kto_rest.py::test_it_comes_to_rest_at_a_place_that_attracts",
        ),
        (
            "rest points that repel are not told",
            "rates.real.max() > _REPELS * np.abs(rates).max())",
            "rates.real.max() > np.abs(rates).max())",
            "test_kto_rest.py::test_a_rest_point_that_repels_is_said_to_be_one",
        ),
        (
            "a search ends where it is, not where it was nearest",
            "if self._best.norm < self._here.norm:",
            "if False:",
            "test_kto_rest.py::test_a_search_begins_anew_where_it_was_nearest",
        ),
        (
            "rates of eigenvalues turned round",
            "rates = shift - krylov.eigenvalues",
            "rates = krylov.eigenvalues - shift",
            "test_kto_rest.py::test_it_comes_to_rest_at_a_place_that_attracts",
        ),
        (
            "policies that go round a rest point come nearer to it",
            "bound = np.abs(apart) ** 2 / (2 * apart.real)",
            "bound = 0.0 * np.abs(apart)",
            "test_kto_rest.py::test_the_least_shift_by_hand",
        ),
        (
            "columns that rest are told to fall",
            "lowest[steps < -_FAR]",
            "lowest[steps < _FAR]",
            "test_kto_rest.py::test_columns_that_fall_are_those_of_long_steps",
        ),
    ),
    *_in(
        "_solve/arnoldi.py",
        (
            "vectors are made orthogonal once",
            "for _ in range(2):  # once more",
            "for _ in range(1):  # once more",
            "test_kto_rest.py::test_a_basis_stays_orthonormal_where_images_are_all_but_alike",
        ),
        (
            "what rounding left is all that is known of the operator",
            "self._hessenberg[: k + 1, k] += shares",
            "self._hessenberg[: k + 1, k] = shares",
            "test_kto_rest.py::test_arnoldi_solves_and_sees_where_eigenvalues_begin",
        ),
        (
            "the residual is not one of the right side",
            "residual <= tol * krylov.length:",
            "residual <= tol:",
            "test_kto_rest.py::test_a_system_is_solved_to_a_part_of_its_right_side",
        ),
        (
            "products beyond floats are solved for",
            "if not np.isfinite(matrix).all():",
            "if False:",
            "test_kto_rest.py::test_a_system_is_solved_to_a_part_of_its_right_side",
        ),
        (
            "a basis that nothing is beyond of grows on",
            "self.is_whole = not left > _NOTHING * size or",
            "self.is_whole =",
            "test_kto_rest.py::test_arnoldi_solves_and_sees_where_eigenvalues_begin",
        ),
        (
            "eigenvalues are those of the first vectors",
            "_SHOW = 120",
            "_SHOW = 12",
            "test_kto_rest.py::test_arnoldi_solves_and_sees_where_eigenvalues_begin",
        ),
    ),
    *_in(
        "_policy/group_rest.py",
        (
            "penalties forgotten where groups rest",
            "self._worth = reward - objective.kl_coef * cost",
            "self._worth = reward - 0.0 * cost",
            "test_grpo.py::test_penalties_and_bans_hold_candidates",
        ),
        (
            "penalties where groups rest without the KL's weight",
            "self._worth = reward - objective.kl_coef * cost",
            "self._worth = reward - cost",
            "test_grpo.py::test_penalties_and_bans_hold_candidates",
        ),
        (
            "the reward's weight forgotten where groups rest",
            "reward = objective.reward_coef * objective.token_reward[self._possible]",
            "reward = objective.token_reward[self._possible]",
            "test_grpo.py::test_nothing_moves_documents_where_they_rest",
        ),
        (
            "the KL of the loss the other way round",
            '"reverse" if groups.is_corrected else "forward"',
            '"forward" if groups.is_corrected else "reverse"',
            "test_grpo.py::test_candidates_rest_where_the_laboratory_says",
        ),
        (
            "starts of documents become as likely as they are good",
            "solve(within, rows) + (reference - within)",
            "solve(within, rows)",
            "test_grpo.py::test_candidates_rest_where_the_laboratory_says",
        ),
        (
            "the deviation of the batch is that of the reference",
            "found = brentq(excess, before, float(deviation), rtol=1e-13)",
            "found = first",
            "test_grpo.py::test_the_deviation_of_the_batch_is_that_of_the_policy_where_it_rests",
        ),
        (
            "what is added to the deviation of a batch forgotten",
            "return self._tilted(share / (found + EPSILON))",
            "return self._tilted(share / found)",
            "test_grpo.py::test_the_deviation_of_the_batch_is_that_of_the_policy_where_it_rests",
        ),
        (
            "rewards that differ by rounding are two",
            "digits = 12 - int(",
            "digits = 40 - int(",
            "test_grpo.py::test_rewards_that_differ_by_rounding_are_listed_once",
        ),
        (
            "documents that are cut rest at the optimum where the KL is in the reward",
            "return None if objective.is_noisy else objective.optimum()",
            "return objective.optimum()",
            "test_grpo.py::test_it_is_not_known_where_there_is_no_equation",
        ),
    ),
]
