"""Updates whose numbers are small, great or rounded: told by what they say, not by their size."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_codex.lab import algorithms, check_algorithm, make_candidates, mistakes, rest_point
from sklearn_codex.lab._check import _radius
from sklearn_codex.lab._expected import Rest, Sampling, find_rest
from sklearn_codex.lab._precision import rounding_of
from sklearn_codex.lab._result import AlgorithmCheck, Setting

ONCE = {"group_sizes": (), "learning_rates": (), "more_epochs": (), "group_size": 2}
MEASURES = ("distance", "tilt_error", "gradient_error", "noise", "kl_coef", "length_bias")


class Changed:
    """An update whose gradient is changed by a function."""

    takes_stacks = True

    def __init__(self, update, change):
        self.update, self.change, self.n_calls = update, change, 0

    def __call__(self, log_prob, batch):
        self.n_calls += 1
        return self.change(self.update(log_prob, batch)[1])


def rounded_inside(log_prob, batch):
    """Return RLOO's gradient, from log-probabilities in half precision."""
    old, ref = (
        x.astype(np.float16).astype(float) for x in (batch.old_log_prob, batch.ref_log_prob)
    )
    return algorithms["rloo"](log_prob, replace(batch, old_log_prob=old, ref_log_prob=ref))


rounded_inside.takes_stacks = True


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_the_scale_of_a_gradient_is_free(scale):
    problem = make_candidates([1, 2, 2], random_state=2)
    plain = check_algorithm("rloo", problem, **ONCE)
    update = Changed(algorithms["rloo"], lambda out: scale * out)
    check = check_algorithm(update, problem, **ONCE)
    for name in MEASURES:
        assert_allclose(getattr(check, name), getattr(plain, name), rtol=1e-7, atol=1e-9)
    drawn = [check_algorithm(x, problem, n_samples=200, **ONCE) for x in (update, "rloo")]
    assert_allclose(drawn[0].gradient_error_limit, drawn[1].gradient_error_limit)
    half = Changed(algorithms["rloo"].having(kl_coef=0.25), lambda out: scale * out)
    check = check_algorithm(half, problem, **ONCE)
    assert not check.passed
    assert_allclose(check.kl_coef, 0.25)
    assert_allclose(rest_point(half, problem, group_size=2), check.log_prob, atol=1e-7)
    # The step has the size that it has: 1 is no step, and a great one leaves its rest.
    found = check_algorithm(update, problem, learning_rate=1 / scale, **ONCE).spectral_radius
    assert_allclose(found, plain.spectral_radius, rtol=1e-7)


def test_a_vast_radius_is_shown_by_its_power():
    update = Changed(algorithms["rloo"], lambda out: 1e200 * out)
    check = check_algorithm(update, "one-token", **ONCE)
    assert max(map(len, str(check).splitlines()[6:])) < 110
    assert f"{check.spectral_radius:.3g}" in str(check).splitlines()[-1]


def test_rounding_by_hand():
    problem = make_candidates([1, 1, 2], random_state=1)
    rest = problem.objective.optimum()
    smooth = problem.exact_gradient
    assert rounding_of(smooth, problem, rest) == 0
    # What is rounded to multiples of q is off by as much as -q/2 to q/2.
    for q in (1e-5, 1e-3):
        found = rounding_of(lambda at, q=q: q * np.round(smooth(at) / q), problem, rest)
        assert 0.25 < found / (q / np.sqrt(12)) < 4
    # On its side of a jump it is smooth.
    assert rounding_of(lambda at: np.sign(smooth(at)) * np.exp(at), problem, rest) == 0


def test_what_is_rounded_is_followed_as_far_as_its_digits_go():
    problem = make_candidates([1, 1, 2], random_state=1)
    update = Changed(lambda *given: (0.0, rounded_inside(*given)[1]), lambda out: out)
    rest = find_rest(update, problem, Sampling(2))
    assert rest.is_found
    assert 1e-6 < rest.rounding < 1e-2
    assert rest.residual < 30 * rest.rounding
    # Another 7,000 were to find a jump that is rounding.
    assert update.n_calls < 2000
    check = check_algorithm(update, problem, **ONCE)
    assert f"It is rounded, by about {check.rounding:.1g} of its greatest force" in check.verdict
    assert np.isnan(check.spectral_radius)
    assert check_algorithm("rloo", problem, **ONCE).rounding == 0


def test_an_error_that_is_rounding_is_told_as_such():
    coarse = Changed(algorithms["rloo"], lambda out: np.round(out, 2))
    check = check_algorithm(coarse, **ONCE)
    assert not check.passed
    assert check.distance < 0.01
    assert 1e-5 < check.rounding < 1e-2
    assert "It is rounded, by about " in check.verdict
    wrong = check_algorithm(mistakes["own_reward_in_baseline"], **ONCE)
    assert wrong.rounding == 0
    assert "rounded" not in wrong.verdict


def test_what_jumps_and_is_rounded_jumps():
    problem = make_candidates([1, 1, 2], random_state=1)
    for residual, rounding, radius in (
        (0.1, 1e-4, np.inf),
        (0.001, 1e-4, np.nan),
        (0, 1e-4, np.nan),
    ):
        rest = Rest(problem.objective.optimum(), True, True, residual, rounding)
        assert_allclose(_radius(algorithms["rloo"], problem, rest, Sampling(2)), radius)


def test_jumps_that_are_close_are_not_told_to_be_rounding_alone():
    problem = make_candidates([1, 1, 2], random_state=1)
    rest = problem.objective.optimum()

    def clipped(at):
        # Jumps of many sizes, as groups of many probabilities lose their gradient.
        borders = np.arange(1, 200)[:, np.newaxis]
        return (np.sign(np.sin(borders * 97.0 * at)) / borders**2).sum(axis=0)

    found = rounding_of(clipped, problem, rest)
    assert found > 0
    setting = Setting(2, 1.0, 1, rounding=found, is_found=True, distance=0.1, tilt_error=0.1)
    check = AlgorithmCheck(problem, rest, rest, (setting,))
    assert "or jumps by that all about, as at clips" in check.verdict
