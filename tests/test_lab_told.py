"""Weights of the KL at which wrong ones rest at the optimum, or have its gradient: refused."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_codex.lab import (
    algorithms,
    check_algorithm,
    make_candidates,
    make_preferences,
    mistakes,
)
from sklearn_codex.lab._check import _gradient_error, _policies
from sklearn_codex.lab._expected import Sampling
from sklearn_codex.lab._told import error_of_half_kl

ONCE = {"group_sizes": (), "learning_rates": (), "more_epochs": (), "group_size": 2}


def half_of(problem):
    return algorithms["rloo"].having(kl_coef=problem.kl_coef / 2)


@pytest.mark.parametrize("kl_coef", [500.0, 2e3, 1e7])
def test_a_vast_weight_of_the_kl_is_told_or_refused(kl_coef):
    problem = make_candidates([1, 1, 2], kl_coef=kl_coef)
    wrong = [half_of(problem), mistakes["k3_in_loss"], mistakes["kl_sign"]]
    if kl_coef > 1e3:
        hidden = "half the KL" if kl_coef > 1e6 else r"KL\(reference \|\| policy\)"
        with pytest.raises(ValueError, match=f"nats, so that {hidden} would rest") as caught:
            check_algorithm("rloo", problem, **ONCE)
        enough = float(re.search(r"a kl_coef of (\S+) or somewhat less", str(caught.value))[1])
        problem = make_candidates([1, 1, 2], kl_coef=enough)
        wrong[0] = half_of(problem)
    check_algorithm("rloo", problem, **ONCE).assert_unbiased()
    assert not any(check_algorithm(update, problem, **ONCE).passed for update in wrong)


def test_where_nothing_is_to_be_learned_nothing_can_be_told():
    for problem in (make_candidates([1, 1], reward_scale=0.0), make_candidates(kl_coef=1e18)):
        with pytest.raises(ValueError, match="Make it with rewards that differ, and a kl_coef of"):
            check_algorithm("rloo", problem, **ONCE)
        with pytest.raises(ValueError, match="Make it with rewards that differ, and a kl_coef of"):
            check_algorithm("rloo", problem, n_samples=10, **ONCE)
    with pytest.raises(ValueError, match="is the reference but for 0 nats, so that half the KL"):
        check_algorithm("dpo", make_preferences(3, flip_rate=0.5), **ONCE)


@pytest.mark.parametrize("kl_coef", [0.005, 4e3])
def test_drawn_batches_of_a_weight_that_does_not_show_are_refused(kl_coef):
    problem = make_candidates([1, 1, 2], kl_coef=kl_coef)
    with pytest.raises(ValueError, match="at which the KL shows in the gradient") as caught:
        check_algorithm("rloo", problem, n_samples=10, **ONCE)
    enough = float(re.search(r"a kl_coef of (\S+) or (more|less), nearer", str(caught.value))[1])
    check = check_algorithm("rloo", make_candidates([1, 1, 2], kl_coef=enough), n_samples=10)
    # That is enough for as many batches as one wants, of which ten are none.
    assert check.half_kl_error > 3e-3
    assert not check.passed


def test_the_error_of_half_the_kl_is_that_of_an_update_with_half():
    problem = make_candidates([1, 2, 2], kl_coef=0.3, random_state=1)
    found = error_of_half_kl(problem, _policies(problem, 0))
    assert_allclose(found, _gradient_error(half_of(problem), problem, Sampling(2))[0], rtol=1e-9)


def test_half_the_kl_does_not_pass_by_chance():
    n_right = 0
    for seed in range(3):
        problem = make_candidates([1, 1, 2], kl_coef=0.4, random_state=seed)
        drawn = {**ONCE, "n_samples": 3000, "random_state": seed, "group_size": 4}
        assert not check_algorithm(half_of(problem), problem, **drawn).passed
        n_right += check_algorithm("rloo", problem, **drawn).passed
    assert n_right
    check = check_algorithm("rloo", problem, n_samples=300, **ONCE)
    assert "cannot tell whether" in check.verdict
    assert f"and half the KL would be {check.half_kl_error:.3f}. Draw more" in check.verdict
    assert np.isnan(check_algorithm("rloo", "one-token", **ONCE).half_kl_error)
