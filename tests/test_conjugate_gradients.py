"""When conjugate gradients stop."""

import numpy as np
import pytest

from sklearn_codex._solve.conjugate_gradients import Preconditioner, conjugate_gradients


@pytest.mark.parametrize("tol", [0.3, 1e-2, 1e-5])
def test_the_norm_of_the_residual_is_the_share_asked_for(tol):
    rng = np.random.default_rng(0)
    root = rng.standard_normal((40, 40))
    matrix, right = root @ root.T + np.eye(40), rng.standard_normal(40)
    scale = np.diag(matrix)
    solution, image = conjugate_gradients(
        lambda direction: (matrix @ direction, direction), Preconditioner(scale), right, tol=tol
    )
    residual = right - matrix @ solution
    share = np.sqrt((residual @ (residual / scale)) / (right @ (right / scale)))
    assert share <= tol
    np.testing.assert_allclose(image, solution)
