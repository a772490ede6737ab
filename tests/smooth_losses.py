"""Losses of the solver as functions of their parameters alone."""

import numpy as np


def value_of(loss):
    """Return the function of its value."""
    return lambda params: loss.at(params).value


def gradient_of(loss):
    """Return the function of its gradient."""
    return lambda params: loss.derivatives(loss.at(params))[0]


def value_and_gradient_of(loss):
    """Return the function of both, as scipy takes it with ``jac=True``."""
    return lambda params: (value_of(loss)(params), gradient_of(loss)(params))


def curvature_of(loss, params):
    """Return its curvature at some parameters."""
    return loss.derivatives(loss.at(params))[1]


def matrix_of(curvature, n_params):
    """Return a curvature (n_params, n_params), by its products."""
    return np.array([curvature.product(unit)[0] for unit in np.eye(n_params)])
