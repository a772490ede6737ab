"""Updates that rest at the optimum and leave tokens of responses out of the gradient."""

import numpy as np
import pytest

from sklearn_codex.lab import algorithms, check_algorithm, make_candidates, mistakes, problems
from sklearn_codex.lab._check import _policies
from sklearn_codex.lab._expected import Sampling
from sklearn_codex.lab._untrained import share_untrained

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


def shaped(batch):
    log_ratio = (batch.old_log_prob - batch.ref_log_prob) * batch.response_mask
    return (batch.token_level_rewards - batch.kl_coef * log_ratio).sum(axis=-1)


def spread(advantage, batch):
    return -advantage[..., np.newaxis] * batch.response_mask / batch.rows.shape[-1]


def positive_alone(log_prob, batch):
    score = shaped(batch)
    return spread(np.maximum(score - score.mean(axis=-1, keepdims=True), 0), batch)


def below_the_best(log_prob, batch):
    score = shaped(batch)
    return spread(score - score.max(axis=-1, keepdims=True), batch)


def below_the_mean_at_each_place(log_prob, batch):
    mask = batch.response_mask
    score = shaped(batch)[..., np.newaxis] * mask
    n_there = np.maximum(mask.sum(axis=-2, keepdims=True), 1)
    return -(score - score.sum(axis=-2, keepdims=True) / n_there) * mask


def negative_of_tokens(log_prob, batch):
    log_ratio = (batch.old_log_prob - batch.ref_log_prob) * batch.response_mask
    reward = batch.token_level_rewards - batch.kl_coef * log_ratio
    to_go = np.flip(np.cumsum(np.flip(reward, axis=-1), axis=-1), axis=-1)
    return -np.minimum(to_go - batch.values, 0) * batch.response_mask


def cut_and_shifted(log_prob, batch):
    """Return plain gradients, 0 in the last column of a batch that is cut to its longest."""
    longest = batch.response_mask.sum(axis=-1).max(axis=-1)[..., np.newaxis, np.newaxis]
    place = np.arange(log_prob.shape[-1])
    return spread(shaped(batch), batch) * ((place < longest - 1) | (longest == 1))


def _share(update, problem):
    update.takes_stacks = True
    near = _policies(problem, 0)
    return share_untrained(update, problem, Sampling(2), near)


@pytest.mark.parametrize(
    "update",
    [positive_alone, below_the_best, below_the_mean_at_each_place, negative_of_tokens],
)
def test_what_rests_by_right_leaves_no_token_out(update):
    for seed in range(4):
        problem = make_candidates(
            [2, 3, 2, 3], n_prompts=2, shared_first=True, kl_coef=0.3, random_state=seed
        )
        assert _share(update, problem) == 0
    assert _share(update, problems["standard"]()) == 0


def test_a_mask_that_is_shifted_once_a_batch_is_cut():
    # Of two at the second place of "shared-tokens", when no response of the batch is longer; the
    # third goes on, and the last tokens of "lengths" are sure.
    assert _share(cut_and_shifted, problems["shared-tokens"]()) == 2 / 7
    # Only one is left without a companion, and seen by what others get that are alone.
    assert _share(cut_and_shifted, problems["standard"]()) == 1 / 7
    assert _share(cut_and_shifted, problems["lengths"]()) == 0
    check = check_algorithm(cut_and_shifted, "shared-tokens", **ONCE)
    assert not check.passed
    assert "or in those whose longest response has one length." in check.verdict
