"""Updates to which it matters which response of a batch comes first."""

import numpy as np
import pytest
from lab_iteration import ordered_move

from sklearn_codex.lab import algorithms, check_algorithm, problems
from sklearn_codex.lab._expected import Sampling, expected_move
from sklearn_codex.lab._order import as_it_is_listed

ONCE = {"group_sizes": (), "learning_rates": (), "more_epochs": ()}


def shaped(batch):
    log_ratio = (batch.old_log_prob - batch.ref_log_prob) * batch.response_mask
    return (batch.token_level_rewards - batch.kl_coef * log_ratio).sum(axis=1)


def spread(batch, advantage):
    return -advantage[:, np.newaxis] * batch.response_mask / len(advantage)


def earlier(log_prob, batch):
    """The baseline of a response is the mean of those before it, which is unbiased."""
    score = shaped(batch)
    before = np.cumsum(score)[:-1] / np.arange(1, len(score))
    return spread(batch, score - np.append(0.0, before))


def neighbour(log_prob, batch):
    score = shaped(batch)
    return spread(batch, score - np.roll(score, 1))


def first_alone(log_prob, batch):
    score = shaped(batch)
    return spread(batch, len(score) * score * (np.arange(len(score)) == 0))


def right_if_sorted(log_prob, batch):
    score = shaped(batch)
    sign = 1.0 if (np.diff(batch.rows) >= 0).all() else -1.0
    return sign * spread(batch, score - score.mean())


@pytest.mark.parametrize("name", ["standard", "one-token", "prompts"])
@pytest.mark.parametrize("update", [earlier, neighbour, first_alone])
def test_what_is_right_in_all_orders_passes(update, name):
    check = check_algorithm(update, name, group_size=3, **ONCE)
    assert check.passed
    check.assert_unbiased(gradient=True)


def test_what_is_right_in_one_order_does_not_pass():
    assert not check_algorithm(right_if_sorted, **ONCE).passed


@pytest.mark.parametrize("update", [earlier, right_if_sorted])
def test_the_expected_update_is_that_of_all_orders(update):
    problem = problems["standard"]()
    log_prob = problem.normalize(problem.reference + np.cos(np.arange(len(problem.reference))))
    listed = as_it_is_listed(update, problem, Sampling(3))
    assert listed.n_groups(3) == len(problem.reference) ** 3
    move = expected_move(update, listed, log_prob, Sampling(3)).mean
    with_loss = ordered_move(lambda *given: (0.0, update(*given)), problem, log_prob, 3)
    np.testing.assert_allclose(move, with_loss, atol=1e-7)


def test_others_are_listed_once():
    problem = problems["standard"]()
    assert as_it_is_listed(algorithms["rloo"], problem, Sampling()) is problem
    drawn = Sampling(n_samples=10)
    assert as_it_is_listed(earlier, problem, drawn) is problem
    two_sided = problems["two-sided"]()
    assert as_it_is_listed(algorithms["dpo"], two_sided, Sampling()) is two_sided


def test_too_many_orders_are_refused():
    with pytest.raises(ValueError, match=r"at most 2,000 groups, but .* each order counted\. Pass"):
        check_algorithm(earlier, group_size=6, **ONCE)
