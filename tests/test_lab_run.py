"""Runs on drawn documents: what they count, what they go by, and where they end."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax

from sklearn_codex import lab
from sklearn_codex.lab import algorithms, problems, run_algorithm

SMALL = {"n_documents": 24, "group_size": 2, "n_groups": 3, "learning_rate": 0.7}


def test_documents_are_counted_and_gaps_are_those_of_the_policies():
    problem = problems["lengths"]()
    run = run_algorithm("rloo", problem, random_state=0, **SMALL)
    assert_array_equal(run.documents, [0, 6, 12, 18, 24])
    assert run.gaps[0] == problem.objective.gap(problem.reference)
    assert run.gaps[-1] == problem.objective.gap(run.log_prob)
    assert_allclose(np.exp(run.log_prob).sum(), 1.0)
    # A batch is drawn whole, also where it is more than was asked for.
    assert run_algorithm("rloo", **{**SMALL, "n_documents": 1}).documents[-1] == 6


@pytest.mark.parametrize("natural", [False, True])
def test_a_step_by_hand(natural):
    problem = problems["one-token"]()
    seen = []

    def update(log_prob, batch):
        seen.append(batch.rows)
        worth = problem.rewards[batch.rows] - problem.rewards.mean()
        return -worth[:, np.newaxis] * batch.response_mask / 2

    run = run_algorithm(
        update, problem, random_state=1, **{**SMALL, "n_documents": 6, "natural": natural}
    )
    drawn = np.concatenate(seen)
    assert drawn.shape == (6,)
    prob = np.exp(problem.reference)
    worth = (problem.rewards - problem.rewards.mean())[drawn]
    # The gradient of log pi(y) by logits is 1 at y, less all probabilities.
    ascent = np.bincount(drawn, worth / 6, 3) - worth.mean() * prob
    step = np.clip(0.7 * ascent / prob, -0.5, 0.5) if natural else 0.7 * ascent
    assert_allclose(run.log_prob, log_softmax(problem.reference + step))


def test_steps_on_one_batch_draw_once():
    calls = []

    def update(log_prob, batch):
        calls.append((batch.rows.tolist(), float(np.abs(log_prob - batch.old_log_prob).max())))
        return -1.0 * batch.response_mask * np.arange(1.0, 3.0)[:, np.newaxis]

    run = run_algorithm(update, "one-token", random_state=0, epochs=2,
                        **{**SMALL, "n_documents": 6})  # fmt: skip
    assert run.documents[-1] == 6
    assert [rows for rows, _ in calls[:3]] == [rows for rows, _ in calls[3:]]
    assert all(apart == 0 for _, apart in calls[:3])
    assert all(apart > 0 for _, apart in calls[3:])


def test_a_policy_that_is_returned_is_taken():
    problem = problems["one-token"]()
    wanted = np.log([0.2, 0.5, 0.3])
    run = run_algorithm(lambda log_prob, batch: wanted, problem, **SMALL)
    assert_allclose(run.log_prob, wanted)


def test_seeds_decide():
    one, same, other = (run_algorithm("rloo", random_state=s, **SMALL).gaps for s in (3, 3, 4))
    assert_array_equal(one, same)
    assert (one[1:] != other[1:]).all()


@pytest.mark.parametrize("name", ["standard", "bigram", "prompts"])
def test_leave_one_out_arrives_at_the_optimum(name):
    problem = problems[name]()
    run = run_algorithm(
        "rloo", problem, n_documents=12_800, natural=True, learning_rate=0.4, random_state=7
    )
    assert run.gaps[-1] < 1e-9 * run.gaps[0]


def test_it_stays_in_the_floats():
    run = run_algorithm(
        algorithms["rloo"].having(kl_coef=0.0), "one-token", learning_rate=1e6, random_state=0,
        n_documents=640,
    )  # fmt: skip
    assert np.isfinite(run.log_prob).all()
    assert np.isfinite(run.gaps).all()


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match=r"problem of rewards.* preferences of 'two-sided'"):
        run_algorithm("rloo", "two-sided")
    with pytest.raises(ValueError, match="An update should return the gradient"):
        run_algorithm(lambda log_prob, batch: None, n_documents=1)
    assert isinstance(run_algorithm("ppo", n_documents=1), lab.AlgorithmRun)
