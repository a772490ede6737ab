"""Every loss of preferences, over every design: its derivatives are those of its value."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from smooth_losses import curvature_of, gradient_of, matrix_of, value_of

from sklearn_codex import _reward
from sklearn_codex._data.designs import DifferenceDesign, NuisanceDesign, PairDesign, length_columns
from sklearn_codex._reward.annotator_loss import AnnotatorLoss, AnnotatorPrior
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss
from sklearn_codex._reward.plackett_luce import PlackettLuceLoss, arrange_rankings
from sklearn_codex._reward.tie_losses import DavidsonLoss, RaoKupperLoss

N_PAIRS, N_FEATURES = 30, 5
ROOMS = ["bradley_terry", "tie_losses", "plackett_luce", "annotator_loss"]


def make_differences(rng):
    return DifferenceDesign(rng.randn(N_PAIRS, N_FEATURES))


def make_sparse_differences(rng):
    return DifferenceDesign(
        sparse.csr_array(rng.poisson(0.5, (N_PAIRS, N_FEATURES)) - rng.poisson(0.5, N_FEATURES))
    )


def make_pairs(rng):
    features = sparse.csr_array(rng.poisson(0.7, (12, N_FEATURES)).astype(float))
    return PairDesign(features, *rng.randint(12, size=(2, N_PAIRS)))


def make_nuisances(rng):
    difference = rng.randn(N_PAIRS)
    columns = np.column_stack([np.ones(N_PAIRS), length_columns(difference, 1.3)])
    design = PairDesign(rng.poisson(0.7, (12, 2)).astype(float), *rng.randint(12, size=(2, 30)))
    return NuisanceDesign(design, columns)


DESIGNS = [make_differences, make_sparse_differences, make_pairs, make_nuisances]


def bradley_terry(design, rng):
    penalty = rng.uniform(0, 2, N_FEATURES)
    target, weight = rng.uniform(size=N_PAIRS), rng.exponential(size=N_PAIRS)
    loss = BradleyTerryLoss(design, target, weight, C=1.7, penalty=penalty)
    return loss, rng.randn(N_FEATURES)


def stream(design, rng):
    root, mean = rng.randn(N_FEATURES, N_FEATURES), rng.randn(N_FEATURES)
    target, weight = rng.uniform(size=N_PAIRS), rng.exponential(size=N_PAIRS)
    loss = BradleyTerryLoss(design, target, weight, C=1.7, mean=mean, penalty=root @ root.T)
    return loss, rng.randn(N_FEATURES)


def ties(loss_class):
    def make(design, rng):
        outcome, weight = rng.randint(3, size=N_PAIRS), rng.exponential(size=N_PAIRS)
        loss = loss_class(design, outcome, weight, C=1.7)
        return loss, np.append(rng.randn(N_FEATURES), 0.6)

    return make


def rankings(design, rng):
    relevance, codes = rng.randint(4, size=N_PAIRS).astype(float), rng.randint(7, size=N_PAIRS)
    codes = np.unique(codes, return_inverse=True)[1]
    order = arrange_rankings(relevance, codes, rng.exponential(size=N_PAIRS))
    return PlackettLuceLoss(design, order, C=1.7), rng.randn(N_FEATURES)


def annotators(design, rng):
    """At targets equal to the probabilities, where Fisher's information is the Hessian."""
    who = np.concatenate([np.arange(3), rng.randint(3, size=N_PAIRS - 3)])
    weight = rng.exponential(size=N_PAIRS)
    prior = AnnotatorPrior(temperature_scale=0.5, flip_center=-2.0, flip_scale=1.5)
    loss = AnnotatorLoss(
        design, np.full(N_PAIRS, 0.5), who, weight, C=1.7, prior=prior, flip_rate=None
    )
    params = 0.5 * rng.randn(len(loss.center))
    log_prob_a, _ = loss.at(params).kept[1]
    loss.target = np.exp(log_prob_a)
    return loss, params


LOSSES = {
    "bradley_terry": (BradleyTerryLoss, bradley_terry),
    "stream": (BradleyTerryLoss, stream),
    "davidson": (DavidsonLoss, ties(DavidsonLoss)),
    "rao_kupper": (RaoKupperLoss, ties(RaoKupperLoss)),
    "rankings": (PlackettLuceLoss, rankings),
    "annotators": (AnnotatorLoss, annotators),
}


@pytest.mark.parametrize("flip_rate", [None, 0.1, 0.0])
@pytest.mark.parametrize("make_design", DESIGNS, ids=lambda make: make.__name__[5:])
def test_hessian_of_annotators_at_any_labels(make_design, flip_rate):
    rng = np.random.RandomState(0)
    who = np.concatenate([np.arange(3), rng.randint(3, size=N_PAIRS - 3)])
    prior = AnnotatorPrior(temperature_scale=0.5, flip_center=-2.0, flip_scale=1.5)
    loss = AnnotatorLoss(
        make_design(rng),
        rng.randint(2, size=N_PAIRS).astype(float),
        who,
        rng.exponential(size=N_PAIRS),
        C=1.7,
        prior=prior,
        flip_rate=flip_rate,
    )
    loss.is_near = True
    params = 0.5 * rng.randn(len(loss.center))
    gradient = gradient_of(loss)
    units, step = np.eye(len(params)), 1e-5
    numeric = [
        (gradient(params + step * unit) - gradient(params - step * unit)) / (2 * step)
        for unit in units
    ]
    hessian = matrix_of(curvature_of(loss, params), len(params))
    assert_allclose(hessian, numeric, rtol=1e-6, atol=1e-6)
    assert_allclose(hessian, hessian.T, atol=1e-10)


def test_no_loss_is_left_out():
    rooms = {
        info.name: importlib.import_module(f"sklearn_codex._reward.{info.name}")
        for info in pkgutil.iter_modules(_reward.__path__)
    }
    found = {
        value
        for room in rooms.values()
        for name, value in vars(room).items()
        if name.endswith("Loss") and inspect.isclass(value) and hasattr(value, "derivatives")
    }
    of_preferences = {c for c in found if c.__module__.rpartition(".")[2] in ROOMS}
    abstract = {c for c in of_preferences if any(c in d.__mro__[1:] for d in found)}
    tested = {loss_class for loss_class, _ in LOSSES.values()}
    assert of_preferences - (abstract - tested) == tested


@pytest.mark.parametrize("make_design", DESIGNS, ids=lambda make: make.__name__[5:])
@pytest.mark.parametrize("name", LOSSES)
def test_gradient_and_hessian_product_are_central_differences(name, make_design):
    rng = np.random.RandomState(0)
    loss_class, make = LOSSES[name]
    loss, params = make(make_design(rng), rng)
    point = loss.at(params)
    gradient, curvature = loss.derivatives(point)
    units, step = np.eye(len(params)), 1e-5

    def difference(function, direction):
        ahead, behind = (function(params + sign * step * direction) for sign in (1, -1))
        return (ahead - behind) / (2 * step)

    numeric = [difference(value_of(loss), unit) for unit in units]
    assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-6)
    hessian = matrix_of(curvature, len(params))
    assert_allclose(
        hessian, [difference(gradient_of(loss), unit) for unit in units], rtol=1e-6, atol=1e-6
    )
    assert_allclose(hessian, hessian.T, atol=1e-10)
    direction = rng.randn(len(params))
    product, image = curvature.product(direction)
    assert_allclose(product, hessian @ direction)
    assert_allclose(image, loss.at(direction).margins)
    # Margins move along with the parameters.
    there = loss.at(params + 0.3 * direction)
    assert_allclose(point.margins + 0.3 * image, there.margins)
    assert loss.at(there.weights, there.margins).value == there.value
    assert np.linalg.eigvalsh(hessian).min() > 0
    diagonal = curvature.diagonal()
    if loss_class is PlackettLuceLoss:  # without what the mean of a choice takes off
        assert (diagonal >= np.diag(hessian)).all()
        return
    # That of annotators is without their mean, the others are exact.
    exact = np.ones(len(params), dtype=bool)
    exact[N_FEATURES:-1] = loss_class is not AnnotatorLoss
    assert_allclose(diagonal[exact], np.diag(hessian)[exact])
    assert (diagonal > 0).all()
