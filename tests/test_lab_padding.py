"""What stands at padding has no say: not in a value, not in a gradient, whatever it is."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_codex import lab
from sklearn_codex.lab import algorithms, check_algorithm, make_documents, problems

# At the end, at the beginning, in between, and none.
MASK = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1]], dtype=bool)
INDEX = np.array([0, 0, 1, 1])
JUNK = [np.nan, np.inf, -np.inf, 1e308, -1e308]
# Of tokens; losses of pairs are given sums.
TOKEN_LOSSES = [
    name for name, f in lab.losses.items() if "advantages" in inspect.signature(f).parameters
]
OF_REWARDS = [name for name, a in algorithms.items() if isinstance(a, lab.RewardAlgorithm)]
IN_BATCH = (
    "log_prob", "old_log_prob", "ref_log_prob", "token_level_rewards", "values",
)  # fmt: skip


def drawn(seed):
    rng = np.random.RandomState(seed)
    old, new, ref = -1 - rng.exponential(size=(3, *MASK.shape))
    return {
        "old_log_prob": old,
        "log_prob": old + 0.3 * (new - old),
        "ref_log_prob": ref,
        "token_level_rewards": rng.standard_normal(MASK.shape),
        "values": rng.standard_normal(MASK.shape),
        "advantages": np.repeat(rng.standard_normal((4, 1)), 4, axis=1),
        "reward_baselines": rng.standard_normal(4),
        "response_mask": MASK,
        "index": INDEX,
        "kl_coef": 0.7,
        "estimator": "k3",
    }


def with_junk(arguments, junk):
    return {
        name: np.where(MASK, value, junk)
        if np.shape(value) == MASK.shape and name != "response_mask"
        else value
        for name, value in arguments.items()
    }


def call(function, arguments):
    names = [name for name in inspect.signature(function).parameters if name in arguments]
    found = function(**{name: arguments[name] for name in names})
    return found if isinstance(found, tuple) else (found,)


FUNCTIONS = {
    **{f"{name}_loss": lab.losses[name] for name in TOKEN_LOSSES},
    **{f"{name}_advantage": function for name, function in lab.advantages.items()},
    "shape_rewards": lab.shape_rewards,
    "kl_penalty": lab.kl_penalty,
}


def test_these_are_all_that_read_tokens():
    assert TOKEN_LOSSES == ["policy_gradient", "ppo", "gspo", "cispo"]
    of_tokens = {
        getattr(lab, name).__name__
        for name in lab.__all__
        if inspect.isfunction(getattr(lab, name))
        and "response_mask" in inspect.signature(getattr(lab, name)).parameters
    }
    assert of_tokens == {function.__name__ for function in FUNCTIONS.values()}


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_tokens_do_not_see_padding(name, junk):
    arguments = drawn(11)
    plain = call(FUNCTIONS[name], with_junk(arguments, 0.0))
    found = call(FUNCTIONS[name], with_junk(arguments, junk))
    for one, other in zip(found, plain, strict=True):
        assert_array_equal(one, other)
        if np.shape(one) == MASK.shape:
            assert (one[~MASK] == 0).all()
            assert (one[MASK] != 0).any()


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("corrected", [False, True])
def test_a_masked_kl_is_that_of_its_tokens(estimator, corrected):
    arguments = drawn(12)
    old = arguments["old_log_prob"] if corrected else None
    given = (arguments["log_prob"], arguments["ref_log_prob"], estimator)
    whole = lab.kl_penalty(*given, old_log_prob=old)
    masked = lab.kl_penalty(*given, old_log_prob=old, response_mask=MASK)
    for one, other in zip(masked, whole, strict=True):
        assert_allclose(one, np.where(MASK, other, 0.0))


def test_shapes_of_a_kl_have_to_agree():
    with pytest.raises(ValueError, match=r"of one shape .* got \(1, 2\), \(1, 3\)"):
        lab.kl_penalty(np.zeros((1, 2)), np.zeros((1, 2)), response_mask=np.ones((1, 3), bool))
    with pytest.raises(ValueError, match=r"shape_rewards needs .* got \(1, 2\) and \(1, 3\)"):
        lab.shape_rewards(*np.zeros((3, 1, 2)), np.ones((1, 3), bool), 0.5)


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("name", OF_REWARDS)
def test_algorithms_do_not_see_padding(name, junk):
    problem = problems["standard"]()
    groups = problem.groups(problem.reference, 3)
    policy = problem.normalize(problem.reference + np.array([0.2, -0.1, 0.3, -0.4, 0.1]))
    batch = problem.batch(groups, np.tile(policy, (len(groups.rows), 1)), problem.reference)
    spoiled = replace(
        batch,
        **{key: np.where(batch.response_mask, getattr(batch, key), junk) for key in IN_BATCH},
    )
    loss, gradient = algorithms[name](batch.log_prob, batch)
    found, of_spoiled = algorithms[name](spoiled.log_prob, spoiled)
    assert_array_equal(found, loss)
    assert_array_equal(of_spoiled, gradient)
    assert (gradient[~batch.response_mask] == 0).all()


def test_a_batch_of_padding_has_no_advantage():
    for name, function in lab.advantages.items():
        arguments = {**drawn(1), "response_mask": np.zeros_like(MASK)}
        assert (call(function, arguments)[0] == 0).all(), name


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (0.9, 0.6)])
def test_the_token_after_a_gap_is_the_next(gamma, lam):
    rng = np.random.RandomState(5)
    rewards, values = rng.standard_normal((2, 1, 3))
    plain = lab.gae_advantage(rewards, values, np.ones((1, 3), bool), gamma, lam)
    mask = np.array([[False, True, False, False, True, True, False]])
    wide = np.full((2, 1, 7), np.nan)
    wide[:, mask] = rewards[0], values[0]
    found = lab.gae_advantage(*wide, mask, gamma, lam)
    for one, other in zip(found, plain, strict=True):
        assert_array_equal(one[mask], other[0])
        assert (one[~mask] == 0).all()


def test_a_critic_says_something_at_padding_too():
    problem = problems["standard"]()
    groups = problem.groups(problem.reference, 2)
    policies = np.tile(problem.reference, (len(groups.rows), 1))
    batch = problem.batch(groups, policies, problem.reference)
    values = problem.token_values(problem.reference)[batch.rows]
    assert_array_equal(batch.values[batch.response_mask], values[batch.response_mask])
    first = np.broadcast_to(values[..., :1], values.shape)
    assert_array_equal(batch.values[~batch.response_mask], first[~batch.response_mask])


def test_a_critic_that_forgets_its_mask_is_seen():
    def forgetful(log_prob, batch):
        rewards = lab.shape_rewards(
            batch.token_level_rewards, batch.old_log_prob, batch.ref_log_prob,
            batch.response_mask, batch.kl_coef,
        )  # fmt: skip
        following = np.append(batch.values[:, 1:], np.zeros((len(batch), 1)), axis=1)
        advantages = rewards + following - batch.values
        return -advantages * batch.response_mask / len(batch)

    settings = {"group_sizes": (), "learning_rates": (), "more_epochs": (), "group_size": 1}
    assert not check_algorithm(forgetful, **settings).passed
    # Where documents are equally long there is nothing to forget.
    equal = make_documents(np.log([0.7, 0.3]), [-0.2, 0.6], 3)
    assert check_algorithm(forgetful, equal, **settings).passed


def bad_calls():
    one, mask = np.zeros((1, 2)), np.ones((1, 2), bool)
    pair = [[-1.0]] * 4
    preferences = problems["two-sided"]()
    return [
        (lambda: lab.ppo_loss(one, np.full((1, 2), np.nan), one, mask),
         "ppo_loss needs log_prob that are finite.* got nan. Leave padding to the mask"),
        (lambda: lab.ppo_loss(one, one, one, mask, clip_ratio=np.nan), "clip_ratio, got nan"),
        (lambda: lab.gspo_loss(one, one, one, mask, clip_ratio_low="a"), "clip_ratio_low"),
        (lambda: lab.ppo_loss(one, one, one, mask, 3), "needs loss_agg_mode, one of.*got 3"),
        (lambda: lab.ppo_loss(one, one, one, ["a", "b"]), "response_mask, an array of numbers"),
        (lambda: lab.gae_advantage(one, one, mask, lam=1.5), "lam from 0.0 to 1.0|lam from 0 to 1"),
        (lambda: lab.gae_advantage(one, np.zeros((1, 3)), mask), r"values of the shape \(1, 2\)"),
        (lambda: lab.remax_advantage(one, [1.0, 2.0], mask), r"reward_baselines of shape \(1,\)"),
        (lambda: lab.rloo_advantage(np.zeros((2, 1)), np.ones((2, 1)), np.array([1, "a"], object)),
         "index, groups of one kind"),
        (lambda: lab.grpo_advantage(one, mask, [0], epsilon=0.0), "single one|epsilon > 0"),
        (lambda: lab.dpo_loss(*pair[:3], [[np.inf]]), "ref_rejected_logps that are finite"),
        (lambda: lab.kto_loss(*pair, 0.0, desirable_weight=-1), "desirable_weight >= 0"),
        (lambda: lab.simpo_loss([-1.0], [-1.0], [1], [0]), "rejected_lengths of at least 1, got 0"),
        (lambda: lab.bradley_terry_scores("two-sided"), "needs a PreferenceProblem"),
        (lambda: lab.bradley_terry_scores(preferences, 2.0), "label_smoothing from 0"),
        (lambda: lab.expected_advantage("one-token", np.zeros(3), 2), "needs a CandidateProblem"),
        (lambda: lab.expected_advantage(problems["one-token"](), np.zeros((3, 1)), 2),
         r"log_prob of shape \(3,\)|log_prob"),
        (lambda: lab.CandidateProblem(3.0, [[1]]), "CandidateProblem needs objective"),
        (lambda: lab.PreferenceProblem(3.0, [[1]], [1]), "PreferenceProblem needs objective"),
        (lambda: lab.PreferenceAlgorithm("dpo", options=None), "needs options, a mapping"),
        (lambda: lab.PreferenceAlgorithm(["dpo"]), "needs loss, one of"),
        (lambda: lab.RewardAlgorithm(["rloo"]), "needs advantage, one of"),
    ]  # fmt: skip


@pytest.mark.parametrize("place", range(len(bad_calls())))
def test_what_is_no_number_of_a_token_is_told(place):
    call_it, message = bad_calls()[place]
    with pytest.raises(ValueError, match=message):
        call_it()


def test_ratios_stay_in_the_floats():
    old, new = np.full((1, 2), -5000.0), np.full((1, 2), -1.0)
    for name in TOKEN_LOSSES:
        worth = np.array([[0.0, 0.0]])
        loss, gradient = lab.losses[name](old, new, worth, np.ones((1, 2), bool))
        assert loss == 0
        assert (gradient == 0).all()
