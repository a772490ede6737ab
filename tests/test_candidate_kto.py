"""KTO of policies over candidates: where it rests, by other computations and by the laboratory."""

import numpy as np
import pytest
from candidates import JUDGED as ROWS
from candidates import JUDGEMENTS as LABELS
from candidates import PROMPTS, stated
from numpy.testing import assert_allclose
from scipy.special import expit, log_softmax
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex import KTOPolicyOptimizer
from sklearn_codex._policy.candidate_tilt import CandidateTilt
from sklearn_codex._policy.kto_points import PromptPoint
from sklearn_codex.exact import CandidateObjective
from sklearn_codex.lab import PreferenceProblem, algorithms, problems, rest_point


def ratios_of(problem, weights):
    """Log-ratios to the reference and their KL, prompt by prompt, each row's own."""
    tilts = weights if problem.features is None else problem.features @ weights
    ratio, kl = np.empty(9), np.empty(9)
    for prompt in range(3):
        own = prompt == PROMPTS
        before = log_softmax(problem.reference_log_prob[own])
        after = log_softmax(before + tilts[own] / problem.kl_coef)
        ratio[own] = after - before
        kl[own] = np.exp(after) @ (after - before)
    return ratio, kl


def loss_at(problem, weights, z, targets, weight, *, C, D=1.0, U=1.0):
    """By its definition, the reference points of rows given."""
    margin = (problem.kl_coef * ratios_of(problem, weights)[0] - z)[ROWS]
    losses = D * targets * expit(-margin) + U * (1 - targets) * expit(margin)
    return weight @ losses + 0.5 / C * weights @ weights


def descend(problem, targets, weight, *, C, D=1.0, U=1.0):
    """Where gradient descent rests, slopes by differences, with z that of each policy."""
    w = np.zeros(9 if problem.features is None else problem.features.shape[1])
    step, eye = 1e-5, np.eye(len(w))
    for _ in range(3000):
        z = problem.kl_coef * ratios_of(problem, w)[1]
        slope = np.array([
            loss_at(problem, w + step * d, z, targets, weight, C=C, D=D, U=U)
            - loss_at(problem, w - step * d, z, targets, weight, C=C, D=D, U=U)
            for d in eye
        ]) / (2 * step)  # fmt: skip
        w = w - 0.5 * slope
        if np.abs(slope).max() < 1e-9:
            break
    return w


@pytest.mark.parametrize("log_linear", [False, True])
def test_it_rests_where_gradient_descent_rests(log_linear):
    problem = stated(1, log_linear=log_linear)
    targets = np.where(np.arange(len(ROWS)) % 3, LABELS, 0.3)
    weight = np.random.default_rng(1).exponential(size=len(ROWS))
    fitted = KTOPolicyOptimizer(
        kl_coef=0.6, C=1.5, desirable_weight=1.4, undesirable_weight=0.8, tol=1e-11
    ).fit_objective(problem, ROWS, targets, weight)
    w = descend(problem, targets, weight, C=1.5, D=1.4, U=0.8)
    ratio, kl = ratios_of(problem, w)
    assert_allclose(fitted.token_reward_, 0.6 * ratio, atol=1e-6)
    assert fitted.fixed_point_gap_ <= 1e-10
    # Each row is measured from the KL of its own prompt.
    assert_allclose(fitted.margin(np.eye(9)), 0.6 * (ratio - kl), atol=1e-6)
    shares = problem.prompt_prob[PROMPTS] / np.bincount(PROMPTS)[PROMPTS]
    assert_allclose(fitted.reference_point_, 0.6 * (shares @ kl), atol=1e-6)
    loss = loss_at(problem, w, 0.6 * kl, targets, weight, C=1.5, D=1.4, U=0.8)
    assert fitted.history_[-1]["objective"] == pytest.approx(loss, rel=1e-8)
    assert fitted.optimality_gap_ == problem.gap(fitted.token_log_prob_)
    probability = np.where(LABELS, expit(0.6 * (ratio - kl))[ROWS], expit(0.6 * (kl - ratio))[ROWS])
    assert fitted.score(np.eye(9)[ROWS], LABELS) == pytest.approx(probability.mean(), abs=1e-6)


def test_prompts_do_not_touch_where_each_candidate_has_its_weight():
    problem = stated(2)
    together = KTOPolicyOptimizer(kl_coef=0.6, tol=1e-11).fit_objective(problem, ROWS, LABELS)
    for prompt in range(3):
        own, asked = np.flatnonzero(prompt == PROMPTS), prompt == PROMPTS[ROWS]
        alone = CandidateObjective(
            log_softmax(problem.reference_log_prob[own]), np.zeros(len(own)),
            np.zeros(len(own), int), kl_coef=0.6,
        )  # fmt: skip
        fitted = KTOPolicyOptimizer(kl_coef=0.6, tol=1e-11)
        fitted.fit_objective(alone, ROWS[asked] - own[0], LABELS[asked])
        assert_allclose(fitted.token_reward_, together.token_reward_[own], atol=1e-8)


def two_prompts():
    """Two unpaired problems of the laboratory as one of two prompts."""
    one = problems["unpaired"]()
    other = one.wins[::-1, ::-1].T
    wins = np.zeros((8, 8))
    wins[:4, :4], wins[4:, 4:] = one.wins, other
    reference = np.log(0.5 * np.concatenate([np.exp(one.reference), [0.4, 0.3, 0.2, 0.1]]))
    objective = CandidateObjective(
        reference, np.zeros(8), np.repeat([0, 1], 4), kl_coef=one.kl_coef
    )
    return PreferenceProblem(objective, wins, np.ones(8, int))


@pytest.mark.parametrize("make", [problems["unpaired"], two_prompts], ids=["one", "two"])
@pytest.mark.parametrize("beta", [0.5, 1.0])
@pytest.mark.parametrize("weights", [{}, {"desirable_weight": 1.3, "undesirable_weight": 0.8}])
def test_it_reaches_the_rest_point_of_the_laboratory(make, beta, weights):
    problem = make()
    expected = np.exp(rest_point(algorithms["kto"].having(beta=beta, options=weights), problem))
    n_rows = len(expected)
    rows, labels = np.tile(np.arange(n_rows), 2), np.repeat([1, 0], n_rows)
    counts = np.concatenate([problem.wins.sum(axis=1), problem.wins.sum(axis=0)])
    fitted = KTOPolicyOptimizer(kl_coef=beta, C=np.inf, tol=1e-10, **weights)
    with pytest.warns(ConvergenceWarning, match=r"nothing holds \d candidate\(s\) or more"):
        fitted.fit_objective(problem.objective.having(kl_coef=beta), rows, labels, counts)
    assert_allclose(np.exp(fitted.token_log_prob_), expected, atol=1e-5)
    assert np.minimum(np.exp(fitted.token_log_prob_), expected).sum() > 0.999


def test_the_reference_point_moves_as_its_derivative_says():
    rng = np.random.default_rng(4)
    tilt = CandidateTilt(PROMPTS, np.log(rng.dirichlet(np.ones(9))), 0.7, rng.normal(size=(9, 3)))
    own, (weights, direction) = PromptPoint(PROMPTS[ROWS]), rng.normal(size=(2, 3))
    step = 1e-6
    ahead, behind = (own.at(tilt.at(weights + sign * step * direction)) for sign in (1, -1))
    along = own.along(tilt.at(weights))(direction)
    assert_allclose(along, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-9)


def test_apo_zero_measures_from_zero():
    problem = stated(6)
    fitted = KTOPolicyOptimizer(loss="apo_zero_unpaired", kl_coef=0.6, tol=1e-11)
    fitted.fit_objective(problem, ROWS, LABELS)
    assert fitted.reference_point_ == 0.0
    assert_allclose(fitted.margin(np.eye(9)), fitted.token_reward_)
    # The weights are minus the gradient, of rewards by their Jacobian.
    slope = np.bincount(
        ROWS, np.where(LABELS, -1, 1) * expit(fitted.token_reward_[ROWS])
        * expit(-fitted.token_reward_[ROWS]), 9,
    )  # fmt: skip
    prob = np.exp(fitted.token_log_prob_) / problem.prompt_prob[PROMPTS]
    w = -(slope - prob * np.bincount(PROMPTS, slope)[PROMPTS])
    assert_allclose(0.6 * ratios_of(problem, w)[0], fitted.token_reward_, atol=1e-8)


def test_many_prompts_with_features():
    rng = np.random.default_rng(7)
    n_prompts, n_rows = 300, 1200
    features = rng.normal(size=(n_rows, 20))
    objective = CandidateObjective(
        np.log(np.full(n_rows, 1 / n_rows)), features @ np.full(20, 0.3),
        np.arange(n_rows) % n_prompts, kl_coef=0.5, features=features,
    )  # fmt: skip
    y = rng.random(n_rows) < expit(objective.token_reward)
    fitted = KTOPolicyOptimizer(kl_coef=0.5, C=0.1).fit_objective(objective, np.arange(n_rows), y)
    assert fitted.fixed_point_gap_ <= 1e-8
    assert fitted.optimality_gap_ < 0.5 * objective.gap(objective.start)
