"""Updates that rest at the optimum and leave tokens of responses out of the gradient."""

import numpy as np
import pytest

from sklearn_codex.lab import algorithms, check_algorithm, make_candidates, mistakes, problems

ONCE = {"group_sizes": (), "learning_rates": (), "more_epochs": (), "group_size": 2}
MAKES = [([1, 2], 2, True), ([1, 3, 2], 1, False)]


@pytest.mark.parametrize(("lengths", "n_prompts", "shared_first"), MAKES)
def test_what_is_left_out_does_not_pass(lengths, n_prompts, shared_first):
    problem = make_candidates(lengths, n_prompts=n_prompts, shared_first=shared_first)
    check = check_algorithm(mistakes["mask_off_by_one"], problem, **ONCE)
    # Nothing but the gradient tells it: at most one token of a fork is left out.
    assert max(check.distance, check.tilt_error, check.on_padding) < 1e-6
    assert not check.passed
    assert "But tokens are left out: " in check.verdict
    with pytest.raises(AssertionError, match="never have a gradient"):
        check.assert_unbiased()


def test_the_share_by_hand():
    # Of each prompt, the first of three tokens that are not sure is the last of its response.
    check = check_algorithm(mistakes["mask_off_by_one"], "prompts", **ONCE)
    assert check.untrained == 1 / 3
    # Two are the last, and one other is not sure, the first that two share.
    problem = make_candidates([1, 2, 2], shared_first=True)
    check = check_algorithm(mistakes["mask_off_by_one"], problem, **ONCE)
    assert check.untrained == 3 / 5


@pytest.mark.parametrize("name", ["remax", "dr_grpo_kl_in_reward"])
def test_right_ones_leave_none_out(name):
    for problem in ("shared-tokens", make_candidates([1, 1], reward_scale=0.01)):
        check = check_algorithm(algorithms[name], problem, **ONCE)
        assert check.untrained == 0
        assert check.passed


def test_a_sure_token_needs_no_gradient():
    check = check_algorithm(mistakes["mask_off_by_one"], make_candidates([2, 2, 3]), **ONCE)
    assert check.untrained == 0
    check.assert_unbiased(gradient=True)


@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("by_length", [False, True])
def test_a_baseline_that_is_the_score_of_a_response(greedy, by_length):
    problem = problems["prompts"]()

    def update(log_prob, batch):
        policy = batch.policy_log_prob
        scores = problem.rewards - problem.kl_coef * (policy - problem.reference)
        of_prompt = np.flatnonzero(problem.prompts == problem.prompts[batch.rows[0]])
        chosen = of_prompt[np.argmax(policy[of_prompt]) if greedy else 0]
        worth = (scores[batch.rows] - scores[chosen])[:, np.newaxis] / len(batch)
        lengths = batch.response_mask.sum(axis=1, keepdims=True)
        return -worth * batch.response_mask / (lengths if by_length else 1)

    check = check_algorithm(update, problem, **ONCE)
    # Without its token the gradient is exact; only by lengths it is not, as if it was forgotten.
    assert check.untrained == (0 if greedy else 1 / 3)
    assert check.passed == (greedy or not by_length)
