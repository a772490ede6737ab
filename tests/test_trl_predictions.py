"""Where the benchmark says that trainers of TRL rest, against other computations."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, log_expit, logit

from sklearn_codex import KTOPolicyOptimizer
from sklearn_codex.exact import CandidateObjective
from sklearn_codex.lab.torch import CandidateTask

PATH = Path(__file__).parents[1] / "benchmarks" / "trl_predictions.py"
if not PATH.is_file():
    pytest.skip("no benchmarks beside the tests", allow_module_level=True)
_spec = importlib.util.spec_from_file_location("trl_predictions", PATH)
predict = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(predict)

PLAIN = {"scale": "none", "per_token": False, "kl": "token"}


def make_task(reference, reward, answers=None, kl_coef=0.5):
    rows = np.zeros(len(reference), dtype=int)
    objective = CandidateObjective(np.log(reference), np.array(reward), rows, kl_coef=kl_coef)
    return CandidateTask(objective, answers)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("scale", ["none", "group"])
def test_advantages_are_means_over_ordered_groups(size, scale):
    prob, reward = np.array([0.5, 0.3, 0.2]), np.array([1.0, -0.5, 0.2])
    total, mass = np.zeros(3), np.zeros(3)
    for group in itertools.product(range(3), repeat=size):
        own = reward[list(group)]
        advantage = own - own.mean()
        if scale == "group":
            advantage = advantage / (own.std(ddof=1) + 1e-4)
        chance = prob[list(group)].prod()
        total[group[0]] += chance * advantage[0]
        mass[group[0]] += chance
    found = predict.group_advantages(prob, reward, size, scale)
    np.testing.assert_allclose(found, total / mass, atol=1e-12)


@pytest.mark.parametrize("difference", [0.01, 1.0, 50.0])
def test_two_answers_in_pairs_move_by_the_same_whatever_the_reward(difference):
    # A pair that differs has advantages of +-1 / sqrt(2), so log-odds rise by that over b.
    task = make_task([0.7, 0.3], [difference, 0.0])
    rest = predict.group_rest(task, size=2, beta=0.5, **{**PLAIN, "scale": "group"})
    share = difference / (difference + np.sqrt(2) * 1e-4)  # what TRL adds to the deviation
    expected = expit(logit(0.7) + share * np.sqrt(0.5) / 0.5)
    assert np.exp(rest[0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [2, 3, 8])
def test_centred_rewards_rest_at_a_greater_kl_coef(size):
    task = make_task([0.2, 0.5, 0.3], [1.0, 0.0, -1.0], ["a", "b b", "c c c"])
    rest = predict.group_rest(task, size=size, beta=0.5, **PLAIN)
    best = task.objective.having(kl_coef=0.5 * size / (size - 1)).optimum()
    np.testing.assert_allclose(rest, best, atol=1e-6)


def test_a_mean_over_tokens_prices_them():
    task = make_task([0.2, 0.5, 0.3], [1.0, 0.0, -1.0], ["a", "b b", "c c c"])
    rest = predict.group_rest(task, size=4, beta=0.5, **{**PLAIN, "per_token": True})
    prob = np.exp(rest)
    advantage = 0.75 * (task.objective.token_reward - prob @ task.objective.token_reward)
    push = advantage - 0.5 * (rest - task.objective.start)
    # What is left is the same for each token of an answer, <eos> included.
    np.testing.assert_allclose(push / task.lengths, np.full(3, (push / task.lengths)[0]), atol=1e-6)


def test_the_classic_form_solves_its_own_equation():
    task = make_task([0.2, 0.5, 0.3], [1.0, 0.0, -1.0])
    rest = predict.group_rest(task, size=4, beta=0.9, **{**PLAIN, "kl": "none"})
    prob, reference = np.exp(rest), np.exp(task.objective.start)
    advantage = 0.75 * (task.objective.token_reward - prob @ task.objective.token_reward)
    np.testing.assert_allclose(prob, reference / (1 - advantage / 0.9), atol=1e-6)


def test_a_kl_of_tokens_does_not_see_what_a_first_token_leads_to():
    # "a" is followed by a choice that the reward tilts; its price is left out of choosing "a".
    task = make_task([0.25, 0.25, 0.5], [1.0, -1.0, 0.0], ["a x", "a y", "b"])
    rest = predict.group_rest(task, size=4, beta=0.75, **PLAIN)
    prob = np.exp(rest)
    # (G - 1) / G of the rewards at b = 3 / 4: as rewards at b = 1, an exact tilt after "a".
    assert prob[0] / prob[1] == pytest.approx(np.exp(2.0), rel=1e-5)
    mean = np.tanh(1.0)  # the reward of "a" then, without its divergence
    assert (prob[0] + prob[1]) / prob[2] == pytest.approx(np.exp(mean), rel=1e-5)
    best = np.exp(task.objective.having(kl_coef=1.0).optimum())
    assert (best[0] + best[1]) / best[2] == pytest.approx(np.cosh(1.0))


def test_the_gain_divides_the_kl_coef():
    task = make_task([0.2, 0.5, 0.3], [1.0, 0.0, -1.0])
    rest = predict.group_rest(task, size=4, beta=0.5, gain=0.2, **PLAIN)
    best = task.objective.having(kl_coef=0.5 / 0.2 * 4 / 3).optimum()
    np.testing.assert_allclose(rest, best, atol=1e-6)


def test_the_loss_of_pairs_is_that_of_each_record():
    task = make_task([0.2, 0.5, 0.3], [1.0, 0.0, -1.0], ["a", "b b", "c c c"])
    records = task.preference_records(40, random_state=0)
    counts = predict.pair_counts(task, records)
    policy = np.log([0.4, 0.4, 0.2])
    shift = policy - task.objective.start
    losses = []
    for record in records:
        rows = [task.row("p0", record[key]) for key in ("chosen", "rejected")]
        losses.append(-log_expit(0.5 * (shift[rows[0]] - shift[rows[1]])))
    found = predict.pair_loss(task, counts, "sigmoid", 0.5, policy)
    assert found == pytest.approx(np.mean(losses))


def test_the_least_loss_of_two_answers_is_the_log_odds_of_the_records():
    task = make_task([0.7, 0.3], [0.5, 0.0])
    records = task.preference_records(100, random_state=0)
    counts = predict.pair_counts(task, records)
    policy, rests = predict.minimise(
        task, lambda log_prob: predict.pair_loss(task, counts, "sigmoid", 0.5, log_prob)
    )
    assert rests
    expected = np.log(counts[0, 1] / counts[1, 0]) / 0.5 + logit(0.7)
    assert policy[0] - policy[1] == pytest.approx(expected, abs=1e-4)


def test_a_loss_without_a_least_value_is_told():
    task = make_task([0.5, 0.5], [0.0, 0.0])
    counts = np.array([[0.0, 10.0], [0.0, 0.0]])
    _, rests = predict.minimise(
        task, lambda log_prob: predict.pair_loss(task, counts, "sigmoid", 0.5, log_prob)
    )
    assert not rests


def test_losses_at_the_reference_by_hand():
    task = make_task([0.5, 0.5], [0.0, 0.0], ["a", "b b"])
    counts = np.array([[0.0, 3.0], [1.0, 0.0]])
    half = np.log([0.5, 0.5])
    expected = {
        "sigmoid": np.log(2),
        "hinge": 1.0,
        "ipo": 1.0,
        "nca_pair": 2 * np.log(2),
        "robust": np.log(2),
        "bco_pair": 2 * np.log(2),
        "sppo_hard": 2.0,
        "apo_zero": 1.0,
        "apo_down": 1.0,
        "sigmoid_norm": np.log(2),
        "discopop": (np.log(2) + 1) / 2,
        "aot": np.log(2),
        "aot_unpaired": np.log(2),
        "sft": np.log(2) / 2.25,
    }
    for name, value in expected.items():
        assert predict.pair_loss(task, counts, name, 0.5, half) == pytest.approx(value), name


def test_kto_as_trainers_have_it_rests_where_apo_zero_does():
    # Their reference point is 0, so that of a finite rest point the estimator tells as much. All
    # answers are desirable more often than not: nothing balances the others.
    task = make_task([0.2, 0.5, 0.3], [1.0, 0.0, -1.0])
    counts = np.array([[1.0, 3.0, 4.0], [9.0, 7.0, 6.0]])
    policy, rests = predict.minimise(task, lambda p: predict.kto_loss(task, counts, 0.5, p))
    assert rests
    fitted = KTOPolicyOptimizer(loss="apo_zero_unpaired", kl_coef=0.5, C=np.inf, tol=1e-11)
    rows, labels = np.tile(np.arange(3), 2), np.repeat([0, 1], 3)
    fitted.fit_objective(task.objective, rows, labels, counts.ravel())
    np.testing.assert_allclose(np.exp(policy), np.exp(fitted.token_log_prob_), atol=1e-5)
