"""The solver by itself: conjugate gradients, the Newton loop and its line search."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_codex._solve.conjugate_gradients import Preconditioner, conjugate_gradients
from sklearn_codex._solve.newton import Point, SmoothLoss, gradient_norm, minimise, solve


class Matrix:
    """H = D' diag(h) D as a curvature."""

    def __init__(self, design, by_margin):
        self.design, self.by_margin = design, by_margin
        self.n_products = 0

    def full(self):
        return self.design.T @ np.diag(self.by_margin) @ self.design

    def product(self, direction):
        self.n_products += 1
        image = self.design @ direction
        return self.design.T @ (self.by_margin * image), image

    def diagonal(self):
        return np.diag(self.full())


class SumOfLogs(SmoothLoss):
    """f(w) = sum of w_j - a_j log w_j, whose minimum is a, where all w are positive."""

    def __init__(self, a):
        self.a = np.array(a)
        self.tried = []

    def at(self, weights, margins=None):
        margins = weights.copy() if margins is None else margins
        assert_allclose(margins, weights)
        self.tried.append(weights)
        inside = (weights > 0).all()
        value = float(np.sum(weights - self.a * np.log(weights))) if inside else np.inf
        return Point(weights, margins, value)

    def derivatives(self, point):
        w = point.weights
        return 1 - self.a / w, Matrix(np.eye(len(w)), self.a / w**2)


def draw_matrix(rng, n=12):
    return Matrix(rng.standard_normal((30, n)) * np.logspace(-2, 2, n), rng.uniform(1, 2, 30))


def test_conjugate_gradients_solve_and_return_what_was_computed_on_the_way():
    rng = np.random.default_rng(0)
    matrix, right = draw_matrix(rng), rng.standard_normal(12)
    preconditioner = Preconditioner(matrix.diagonal())
    solution, image = conjugate_gradients(matrix.product, preconditioner, right, tol=1e-12)
    assert_allclose(solution, np.linalg.solve(matrix.full(), right), rtol=1e-9)
    assert_allclose(image, matrix.design @ solution, rtol=1e-9)
    assert_allclose(solve(matrix, right), solution, rtol=1e-7)


@pytest.mark.parametrize("most", [0, 64])
def test_small_curvatures_are_solved_whole_and_others_by_conjugate_gradients(most, monkeypatch):
    monkeypatch.setattr("sklearn_codex._solve.newton.MAX_WHOLE", most)
    rng = np.random.default_rng(3)
    matrix = draw_matrix(rng)
    for shape in ((12,), (12, 1), (12, 3)):
        right = rng.standard_normal(shape)
        solution = solve(matrix, right, tol=1e-12)
        assert solution.shape == shape
        assert_allclose(solution, np.linalg.solve(matrix.full(), right), rtol=1e-7)


@pytest.mark.parametrize("max_steps", [1, 3])
def test_conjugate_gradients_end_after_some_steps_at_the_best_of_their_space(max_steps):
    rng = np.random.default_rng(1)
    matrix, right = draw_matrix(rng), rng.standard_normal(12)
    diagonal, full = matrix.diagonal(), matrix.full()
    found, _ = conjugate_gradients(
        matrix.product, Preconditioner(diagonal), right, tol=0, max_steps=max_steps
    )
    assert matrix.n_products == max_steps
    powers = [np.linalg.matrix_power(full / diagonal[:, np.newaxis], k) for k in range(max_steps)]
    space = np.column_stack([power @ (right / diagonal) for power in powers])
    best = space @ np.linalg.solve(space.T @ full @ space, space.T @ right)
    assert_allclose(found, best, rtol=1e-6, atol=1e-12)


def test_a_step_out_of_the_domain_is_halved():
    # From w the step is w - w^2 / a, so from 8 with a = 1 it goes to -48: 0.5, 0.25 and 0.125 of
    # it lead to -20, -6 and 1.
    loss = SumOfLogs([1.0])
    state = minimise(loss, np.array([8.0]), tol=1e-10, max_iter=50)
    assert [float(w[0]) for w in loss.tried[:5]] == [8.0, -48.0, -20.0, -6.0, 1.0]
    assert state.converged
    assert_allclose(state.point.weights, [1.0])


def test_the_minimum_does_not_depend_on_the_start():
    a = [0.3, 1.0, 7.0]
    for start in ([1.0, 1.0, 1.0], [20.0, 0.01, 3.0], a):
        state = minimise(SumOfLogs(a), np.array(start), tol=1e-10, max_iter=100)
        assert state.converged
        assert_allclose(state.point.weights, a, rtol=1e-8)
        assert_allclose(state.curvature.diagonal(), 1 / np.array(a), rtol=1e-8)


def test_tolerance_is_relative_to_the_reference():
    loss = SumOfLogs([1.0, 2.0])
    near = np.array([1.001, 2.001])
    norm = gradient_norm(loss, near)
    # |g_j| / sqrt(h_j) is |w_j - a_j| / sqrt(a_j), wherever w is.
    assert norm == pytest.approx(np.sqrt(1e-6 + 1e-6 / 2))
    assert minimise(loss, near, tol=1e-2, max_iter=9).iteration > 0
    far = minimise(loss, near, tol=1e-2, max_iter=9, reference=200 * norm)
    assert (far.iteration, far.gradient_norm) == (0, pytest.approx(1 / 200))
    assert far.converged


def test_a_callback_sees_every_state_and_may_end_the_fit():
    states = []
    end = minimise(
        SumOfLogs([3.0]),
        np.array([1.0]),
        tol=1e-10,
        max_iter=50,
        callback=lambda state: states.append(state) or state.iteration == 2,
    )
    assert [state.iteration for state in states] == [0, 1, 2]
    assert end is states[-1]
    assert not end.converged
