"""Updates to which it matters which response of a batch comes first."""

import numpy as np
import pytest
from lab_iteration import ordered_move

from sklearn_codex.lab import algorithms, check_algorithm, problems, rest_point
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


def more_kl_unless_sorted(log_prob, batch):
    """Return RLOO's gradient, and at the reference whatever the order."""
    extra = 0.0 if (np.diff(batch.rows) >= 0).all() else 2 * batch.kl_coef
    log_ratio = (batch.old_log_prob - batch.ref_log_prob) * batch.response_mask
    score = shaped(batch) - extra * log_ratio.sum(axis=1)
    return spread(batch, score - score.mean()) * len(score) / (len(score) - 1)


def other_ratio_unless_sorted(log_prob, batch):
    """Return RLOO's gradient while the policy is the one that drew, whatever the order."""
    ratio = np.exp((log_prob - batch.old_log_prob) * (np.diff(batch.rows) >= 0).all())
    score = shaped(batch)
    return spread(batch, score - score.mean()) * len(score) / (len(score) - 1) * ratio


@pytest.mark.parametrize("name", ["standard", "one-token", "prompts"])
@pytest.mark.parametrize("update", [earlier, neighbour, first_alone])
def test_what_is_right_in_all_orders_passes(update, name):
    check = check_algorithm(update, name, group_size=3, **ONCE)
    assert check.passed
    check.assert_unbiased(gradient=True)


def test_what_is_right_in_one_order_does_not_pass():
    assert not check_algorithm(right_if_sorted, **ONCE).passed


def test_an_order_that_matters_away_from_the_reference_alone_is_seen():
    check = check_algorithm(more_kl_unless_sorted, "one-token", group_size=3, **ONCE)
    assert check.problem.is_ordered
    assert check.kl_coef > 1.1 * check.problem.kl_coef
    # What a later step on a batch does has no rest of its own to be known by.
    problem = problems["one-token"]()
    assert as_it_is_listed(other_ratio_unless_sorted, problem, Sampling(2)).is_ordered


@pytest.mark.parametrize("update", [earlier, first_alone])
def test_the_rest_point_is_that_of_all_orders(update):
    problem = problems["one-token"]()
    found = rest_point(update, problem, group_size=3)
    np.testing.assert_allclose(np.exp(found), np.exp(problem.objective.optimum()), atol=1e-7)


def test_what_is_at_random_away_from_the_reference_alone_is_refused():
    rng = np.random.RandomState(0)

    def update(log_prob, batch):
        kept = rng.rand(*log_prob.shape) > 0.1
        log_ratio = (batch.old_log_prob - batch.ref_log_prob) * batch.response_mask * kept
        score = (batch.token_level_rewards - batch.kl_coef * log_ratio).sum(axis=1)
        return spread(batch, score - score.mean())

    for follow in (check_algorithm, rest_point):
        with pytest.raises(ValueError, match="a function of its batch, but gave something else"):
            follow(update, "one-token")


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
