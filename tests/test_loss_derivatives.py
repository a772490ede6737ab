"""Every loss of preferences, over every design: its derivatives are those of its value."""

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from sklearn_codex import _reward
from sklearn_codex._data.designs import DifferenceDesign, NuisanceDesign, PairDesign
from sklearn_codex._reward.annotator_loss import AnnotatorLoss, AnnotatorPrior
from sklearn_codex._reward.bradley_terry import BradleyTerryLoss
from sklearn_codex._reward.nuisance import length_columns
from sklearn_codex._reward.online import StreamLoss
from sklearn_codex._reward.plackett_luce import PlackettLuceLoss, arrange_rankings
from sklearn_codex._reward.tie_losses import DavidsonLoss, RaoKupperLoss

N_PAIRS, N_FEATURES = 30, 5
ROOMS = ["bradley_terry", "online", "tie_losses", "plackett_luce", "annotator_loss"]


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


class OfMargins:
    """A Bradley-Terry loss, which is told the margins, as a function of the weights alone."""

    def __init__(self, loss):
        self.loss = loss

    def value(self, w):
        return self.loss.value(w, self.loss.margins(w))

    def gradient(self, w):
        return self.loss.gradient(w, self.loss.margins(w))

    def product(self, w, direction):
        curvature = self.loss.curvature(self.loss.margins(w))
        return self.loss.hessian_product(curvature, direction)[0]

    def diagonal(self, w):
        return self.loss.hessian_diagonal(self.loss.curvature(self.loss.margins(w)))


class OfParameters:
    """Any other loss, whose curvature is an object."""

    def __init__(self, loss):
        self.loss = loss
        self.value, self.gradient = loss.value, loss.gradient

    def product(self, params, direction):
        return self.loss.curvature(params).product(direction)

    def diagonal(self, params):
        return self.loss.curvature(params).diagonal()


def bradley_terry(design, rng):
    penalty = rng.uniform(0, 2, N_FEATURES)
    target, weight = rng.uniform(size=N_PAIRS), rng.exponential(size=N_PAIRS)
    loss = BradleyTerryLoss(design, target, weight, C=1.7, penalty=penalty)
    return OfMargins(loss), rng.randn(N_FEATURES)


def stream(design, rng):
    root, mean = rng.randn(N_FEATURES, N_FEATURES), rng.randn(N_FEATURES)
    target, weight = rng.uniform(size=N_PAIRS), rng.exponential(size=N_PAIRS)
    loss = StreamLoss(design, target, weight, C=1.7, mean=mean, precision=root @ root.T)
    return OfMargins(loss), rng.randn(N_FEATURES)


def ties(loss_class):
    def make(design, rng):
        outcome, weight = rng.randint(3, size=N_PAIRS), rng.exponential(size=N_PAIRS)
        loss = loss_class(design, outcome, weight, C=1.7)
        return OfParameters(loss), np.append(rng.randn(N_FEATURES), 0.6)

    return make


def rankings(design, rng):
    relevance, codes = rng.randint(4, size=N_PAIRS).astype(float), rng.randint(7, size=N_PAIRS)
    codes = np.unique(codes, return_inverse=True)[1]
    order = arrange_rankings(relevance, codes, rng.exponential(size=N_PAIRS))
    return OfParameters(PlackettLuceLoss(design, order, C=1.7)), rng.randn(N_FEATURES)


def annotators(design, rng):
    """At targets equal to the probabilities, where Fisher's information is the Hessian."""
    who = np.concatenate([np.arange(3), rng.randint(3, size=N_PAIRS - 3)])
    weight = rng.exponential(size=N_PAIRS)
    prior = AnnotatorPrior(temperature_scale=0.5, flip_center=-2.0, flip_scale=1.5)
    loss = AnnotatorLoss(
        design, np.full(N_PAIRS, 0.5), who, weight, C=1.7, prior=prior, flip_rate=None
    )
    params = 0.5 * rng.randn(len(loss.center))
    precision, margin, rate = loss._eta(params)
    loss.target = np.exp(loss._log_prob(precision * margin, rate)[0])
    return OfParameters(loss), params


LOSSES = {
    BradleyTerryLoss: bradley_terry,
    StreamLoss: stream,
    DavidsonLoss: ties(DavidsonLoss),
    RaoKupperLoss: ties(RaoKupperLoss),
    PlackettLuceLoss: rankings,
    AnnotatorLoss: annotators,
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
    units, step = np.eye(len(params)), 1e-5
    numeric = [
        (loss.gradient(params + step * unit) - loss.gradient(params - step * unit)) / (2 * step)
        for unit in units
    ]
    hessian = np.array([loss.curvature(params).product(unit) for unit in units])
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
        if name.endswith("Loss") and inspect.isclass(value) and hasattr(value, "gradient")
    }
    of_preferences = {c for c in found if c.__module__.rpartition(".")[2] in ROOMS}
    abstract = {c for c in of_preferences if any(c in d.__mro__[1:] for d in found)}
    assert of_preferences - (abstract - set(LOSSES)) == set(LOSSES)


@pytest.mark.parametrize("make_design", DESIGNS, ids=lambda make: make.__name__[5:])
@pytest.mark.parametrize("loss_class", LOSSES, ids=lambda loss: loss.__name__)
def test_gradient_and_hessian_product_are_central_differences(loss_class, make_design):
    rng = np.random.RandomState(0)
    loss, params = LOSSES[loss_class](make_design(rng), rng)
    units, step = np.eye(len(params)), 1e-5

    def difference(function, direction):
        ahead, behind = (function(params + sign * step * direction) for sign in (1, -1))
        return (ahead - behind) / (2 * step)

    numeric = [difference(loss.value, unit) for unit in units]
    assert_allclose(loss.gradient(params), numeric, rtol=1e-6, atol=1e-6)
    hessian = np.array([loss.product(params, unit) for unit in units])
    assert_allclose(
        hessian, [difference(loss.gradient, unit) for unit in units], rtol=1e-6, atol=1e-6
    )
    assert_allclose(hessian, hessian.T, atol=1e-10)
    direction = rng.randn(len(params))
    assert_allclose(loss.product(params, direction), hessian @ direction)
    assert np.linalg.eigvalsh(hessian).min() > 0
    diagonal = loss.diagonal(params)
    if loss_class is PlackettLuceLoss:  # without what the mean of a choice takes off
        assert (diagonal >= np.diag(hessian)).all()
        return
    # That of annotators is without their mean, the others are exact.
    exact = np.ones(len(params), dtype=bool)
    exact[N_FEATURES:-1] = loss_class is not AnnotatorLoss
    assert_allclose(diagonal[exact], np.diag(hessian)[exact])
    assert (diagonal > 0).all()
