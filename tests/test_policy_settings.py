"""What "auto" means, as a table: parameters and a problem, and settings worked out by hand."""

import numpy as np
import pytest
from additive_problems import linear_reward
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PPOPolicyOptimizer, RLOOPolicyOptimizer
from sklearn_codex._policy.additivity import recognise
from sklearn_codex._policy.ppo import Clipping
from sklearn_codex._policy.problem import build_problem, unigram_objective
from sklearn_codex._policy.rloo import _FIXED
from sklearn_codex._policy.settings import resolve_settings
from sklearn_codex.kl_control import AdaptiveKLController
from sklearn_codex.rules import TokenBudget

PPO = PPOPolicyOptimizer().get_params()
RLOO = RLOOPolicyOptimizer().get_params() | _FIXED


def linear(counts):
    return counts @ np.arange(counts.shape[1])


def has_first(counts):
    return (np.asarray(counts[:, [0]].sum(axis=1)).ravel() > 0).astype(float)


def problem_of(n_columns, length, *, reward="adds", eos=None, max_rate=None):
    """A problem of V equally probable tokens; where documents end, they have V tokens on average.

    ``reward`` is "adds", where a linear model says so; "seems to add", where documents do;
    or "does not add".
    """
    model = FrozenEstimator(linear_reward(np.linspace(0.0, 1.0, n_columns)))
    source = {"adds": model, "seems to add": linear}.get(reward, has_first)
    rules = None if max_rate is None else TokenBudget([0, 1], budget=1, max_rate=max_rate)
    rng = np.random.RandomState(0)
    reference = np.full(n_columns, -np.log(n_columns))
    objective = unigram_objective(reference, length=length)
    if eos:
        objective = unigram_objective(reference, eos=0, max_length=length)
    problem = build_problem(
        objective, source, rng, names=None, rules=rules, normalize_reward=False, subject="Test"
    )
    return recognise(problem, rng, tracks_prices=True)


def settings_of(problem, parameters=PPO, **changes):
    return resolve_settings(parameters | changes, problem, subject="Test")


# V, L and what else there is of the problem; parameters; what the settings have to be.
TABLE = {
    # 10 V / L = 1000 tokens for each of 10; 0.2 L = 2 nats.
    "token credit": (
        (1000, 10, {}), {},
        {"n_rollouts": 1000, "credit": "token", "target_kl": 2.0, "tol": 1e-4, "has_critic": False,
         "learning_rate": 1.0, "schedule": "adaptive", "whitened": False, "grows": True,
         "n_epochs": 2, "n_minibatches": 2, "clipping": Clipping(0.2, None), "settles_at": 375},
    ),
    # 10 * 30 / 20 = 15 documents are less than 256; 0.2 * 20 = 4 nats are the most.
    "few tokens": ((30, 20, {}), {}, {"n_rollouts": 256, "target_kl": 4.0}),
    "long documents": ((30, 100, {}), {}, {"n_rollouts": 256, "target_kl": 4.0}),
    # ceil(10 * 1001 / 9) = ceil(1112.2).
    "rounded up": ((1001, 9, {}), {}, {"n_rollouts": 1113, "target_kl": pytest.approx(1.8)}),
    # A critic that sees no noise: max(4, ceil(V / 5), ceil(4 V / L)); 0.025 L nats.
    "critic": (
        (1000, 40, {}), {"credit": "sequence"},
        {"n_rollouts": 200, "credit": "sequence", "target_kl": 0.5, "tol": 1e-3,
         "has_critic": True, "learning_rate": 0.5},
    ),
    "critic, short documents": (
        (1000, 2, {}), {"credit": "sequence"}, {"n_rollouts": 2000, "target_kl": 0.05},
    ),
    "critic, tiny": ((5, 20, {}), {"credit": "sequence"}, {"n_rollouts": 4}),
    "critic, a part for each": (
        (5, 20, {}), {"credit": "sequence", "n_minibatches": 7}, {"n_rollouts": 7},
    ),
    # max(256, ceil(V / 4), ceil(5 V / L)).
    "no critic": (
        (1000, 10, {}), {"credit": "sequence", "critic": False},
        {"n_rollouts": 500, "has_critic": False},
    ),
    "no critic, large": (
        (2001, 100, {}), {"credit": "sequence", "critic": False}, {"n_rollouts": 501},
    ),
    # A kl_coef that moves leaves noise.
    "critic and controller": (
        (1000, 10, {}), {"credit": "sequence", "kl_controller": AdaptiveKLController(target=1.0)},
        {"n_rollouts": 500, "has_critic": True},
    ),
    # What only seems to add may be found not to.
    "seems to add": (
        (30, 10, {"reward": "seems to add"}), {},
        {"n_rollouts": 256, "credit": "sequence", "tol": 1e-3, "target_kl": 0.25,
         "has_critic": True, "learning_rate": 0.5},
    ),
    "does not add": (
        (2000, 10, {"reward": "does not add"}), {},
        {"n_rollouts": 1000, "credit": "sequence", "has_critic": True},
    ),
    # 8 / 0.002 documents for 8 that violate it, of at most 65,536 / L.
    "rate of a rule": (
        (30, 10, {"reward": "does not add", "max_rate": 0.002}), {}, {"n_rollouts": 4000},
    ),
    "rate of a rule, long": (
        (30, 32, {"reward": "does not add", "max_rate": 0.002}), {}, {"n_rollouts": 2048},
    ),
    "rate of a rule, rare": (
        (30, 2, {"reward": "does not add", "max_rate": 1e-4}), {}, {"n_rollouts": 8192},
    ),
    # The mean length of documents cut at 2 tokens: 1 + 3 / 4 where a quarter of tokens ends them.
    "ends by itself": (
        (4, 2, {"eos": True}), {},
        {"n_rollouts": 256, "credit": "token", "tol": 1e-3, "learning_rate": 1.0,
         "target_kl": pytest.approx(0.025 * 1.75), "has_critic": False},
    ),
    "ends by itself, sequence": (
        (4, 2, {"eos": True}), {"credit": "sequence"},
        {"n_rollouts": 256, "credit": "sequence", "has_critic": False, "learning_rate": 0.5},
    ),
    "adam": (
        (30, 10, {}), {"optimizer": "adam"},
        {"credit": "token", "learning_rate": 0.03, "schedule": "linear", "whitened": True,
         "tol": 1e-3, "has_critic": False},
    ),
    "adam, constant, sequence": (
        (30, 10, {}), {"optimizer": "adam", "lr_schedule": "constant", "credit": "sequence"},
        {"schedule": "constant", "has_critic": False, "n_rollouts": 256, "learning_rate": 0.03},
    ),
    "natural, constant": ((30, 10, {}), {"lr_schedule": "constant"}, {"schedule": "constant"}),
    "natural, linear": ((30, 10, {}), {"lr_schedule": "linear"}, {"schedule": "adaptive"}),
    "all given": (
        (30, 10, {}),
        {"n_rollouts": 7, "target_kl": None, "tol": 0.5, "learning_rate": 0.25, "max_iter": 9,
         "whiten_advantages": True, "clip_range": (0.1, 0.3), "dual_clip": 2.0, "n_epochs": 5,
         "n_minibatches": 7},
        {"n_rollouts": 7, "target_kl": None, "tol": 0.5, "learning_rate": 0.25, "max_iter": 9,
         "whitened": True, "clipping": Clipping((0.1, 0.3), 2.0), "n_epochs": 5,
         "n_minibatches": 7, "grows": False, "settles_at": 6},
    ),
    "no end": ((30, 10, {}), {"tol": 0}, {"tol": 0, "grows": False, "settles_at": None}),
}  # fmt: skip


@pytest.mark.parametrize(("problem", "parameters", "expected"), TABLE.values(), ids=TABLE)
def test_settings_of_parameters_and_problem(problem, parameters, expected):
    n_columns, length, kind = problem
    settings = settings_of(problem_of(n_columns, length, **kind), **parameters)
    assert {name: getattr(settings, name) for name in expected} == expected


def test_settings_of_rloo_are_those_of_whole_documents_in_one_pass():
    settings = settings_of(problem_of(2000, 10), RLOO)
    assert settings.leave_one_out
    assert (settings.credit, settings.has_critic) == ("sequence", False)
    assert (settings.n_epochs, settings.n_minibatches, settings.clipping) == (1, 1, None)
    assert (settings.n_rollouts, settings.target_kl, settings.tol) == (1000, 0.25, 1e-3)
    assert (settings.learning_rate, settings.max_iter, settings.whitened) == (0.5, 1000, False)
    assert not settings_of(problem_of(2000, 10)).leave_one_out


@pytest.mark.parametrize(
    ("reward", "changes", "message"),
    [
        ("does not add", {"credit": "token"}, "Test with credit='token' needs a reward and rules"),
        ("seems to add", {"credit": "token"}, "at least one that does not"),
        ("adds", {"n_rollouts": 3, "n_minibatches": 4}, "n_rollouts >= n_minibatches, got 3 and 4"),
        ("adds", {"clip_range": (0.1,)}, "Test: clip_range should be a number above 0 or a pair"),
        ("adds", {"dual_clip": 1.1}, "dual_clip should be above the clip range's upper end 1.2"),
    ],
)
def test_settings_that_cannot_be(reward, changes, message):
    with pytest.raises(ValueError, match=message):
        settings_of(problem_of(30, 10, reward=reward), **changes)


def test_what_other_optimisers_fix_are_parameters_of_ppo():
    assert set(_FIXED) - {"leave_one_out"} <= set(PPO)
    assert not set(_FIXED) & set(RLOOPolicyOptimizer().get_params())
