"""What an update gives is read as it is, and kept apart from what it gives next."""

import numpy as np
import pytest

from sklearn_codex.lab import check_algorithm

ONCE = {"group_sizes": (), "learning_rates": (), "more_epochs": (), "group_size": 2}


def rloo(log_prob, batch):
    log_ratio = (batch.old_log_prob - batch.ref_log_prob) * batch.response_mask
    score = (batch.token_level_rewards - batch.kl_coef * log_ratio).sum(axis=1)
    advantage = score - (score.sum() - score) / (len(score) - 1)
    return -advantage[:, np.newaxis] * batch.response_mask / len(score)


def test_an_array_that_is_used_again():
    buffer = np.zeros((2, 1))

    def update(log_prob, batch):
        buffer[...] = rloo(log_prob, batch)
        return buffer

    check_algorithm(update, "one-token", **ONCE).assert_unbiased(gradient=True)


@pytest.mark.parametrize("stacks", [False, True])
def test_what_is_written_to_a_batch_stays_there(stacks):
    def update(log_prob, batch):
        gradient = rloo(log_prob, batch) if not stacks else np.zeros_like(log_prob)
        gradient = np.where(batch.response_mask, gradient, 1.0)
        assert not batch.index.any()
        for name in ("index", "response_mask", "log_prob", "policy_log_prob", "rows"):
            getattr(batch, name)[...] = 1
        return gradient

    update.takes_stacks = stacks
    check = check_algorithm(update, "lengths", **ONCE)
    # All of it is a token of the response in the mask that was written to.
    assert check.on_padding > 0.1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda x: np.ma.masked_array(x, x == 0), r"got a masked array of shape \(2, 1\)\."),
        (lambda x: (0.0, np.ma.masked_array(x, x == x)), r"got a tuple of float, masked \(2, 1\)"),
        (
            lambda x: [np.ma.masked_array(row, True) for row in x],
            r"a list of masked \(1,\), masked \(1,\)\. .* arrays filled",
        ),
        (lambda x: x.astype(str), r"got an array of shape \(2, 1\) of dtype <U32\."),
        (lambda x: (0.0, x.astype(str).astype(object)), r"tuple of float, object \(2, 1\)\."),
        (lambda x: x.astype(str).tolist(), r"got a list of list, list\."),
        (lambda x: x.astype("m8[s]"), r"of dtype timedelta64\[s\]\."),
    ],
)
def test_what_holds_no_plain_numbers_is_refused(change, match):
    with pytest.raises(ValueError, match=match):
        check_algorithm(lambda *given: change(rloo(*given)), "one-token", **ONCE)


@pytest.mark.parametrize("change", [np.ma.asarray, np.ndarray.tolist, lambda x: x.astype(object)])
def test_plain_numbers_in_any_dress(change):
    check_algorithm(lambda *given: change(rloo(*given)), "one-token", **ONCE).assert_unbiased()
