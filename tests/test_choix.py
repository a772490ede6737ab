"""Item-only data: choix finds the same strengths, by another algorithm.

I-LSR regularises a Markov chain, not the weights, so it is compared where neither penalty counts:
on data of items that all beat each other, with a penalty that is next to nothing.
"""

import choix
import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_codex import PlackettLuceModel, PreferenceRewardModel, stack_rankings

N_ITEMS, NO_PENALTY = 6, 1e8


def draw_rankings(n, sizes, seed):
    """Rankings by Gumbel noise, the best first."""
    rng = np.random.RandomState(seed)
    strength = np.linspace(-1, 1, N_ITEMS)
    rankings = []
    for _ in range(n):
        items = rng.permutation(N_ITEMS)[: rng.choice(sizes)]
        rankings.append(items[np.argsort(-strength[items] - rng.gumbel(size=len(items)))].tolist())
    return rankings


def assert_same_items(coef, expected):
    assert_allclose(coef - coef.mean(), expected - expected.mean(), atol=1e-5)


def fit_rankings(rankings, **options):
    rows = stack_rankings(rankings, **options)
    items = np.eye(N_ITEMS)[rows.X]
    return PlackettLuceModel(C=NO_PENALTY).fit(items, rows.y, groups=rows.groups).coef_[0]


@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_those_of_ilsr_and_of_mm(seed):
    wins = np.array(draw_rankings(300, [2], seed))
    differences = np.eye(N_ITEMS)[wins[:, 0]] - np.eye(N_ITEMS)[wins[:, 1]]
    turned = np.random.RandomState(seed).rand(300) < 0.5
    model = PreferenceRewardModel(C=NO_PENALTY)
    model.fit(np.where(turned[:, None], -differences, differences), ~turned)
    assert_same_items(model.coef_[0], choix.ilsr_pairwise(N_ITEMS, wins, tol=1e-12))
    assert_same_items(model.coef_[0], choix.mm_pairwise(N_ITEMS, wins, tol=1e-12, max_iter=10**5))
    assert_same_items(model.coef_[0], choix.opt_pairwise(N_ITEMS, wins, alpha=0, tol=1e-12))


@pytest.mark.parametrize("seed", range(3))
def test_rankings_are_those_of_ilsr(seed):
    rankings = draw_rankings(150, [2, 3, 6], seed)
    coef = fit_rankings(rankings)
    assert_same_items(coef, choix.ilsr_rankings(N_ITEMS, rankings, tol=1e-12))
    assert_same_items(coef, choix.opt_rankings(N_ITEMS, rankings, alpha=0, tol=1e-12))


@pytest.mark.parametrize("seed", range(3))
def test_choices_are_those_of_ilsr(seed):
    rankings = draw_rankings(200, [2, 4], seed)
    coef = fit_rankings(rankings, top=1)
    choices = [(best, others) for best, *others in rankings]
    assert_same_items(coef, choix.ilsr_top1(N_ITEMS, choices, tol=1e-12))
    assert_same_items(coef, choix.opt_top1(N_ITEMS, choices, alpha=0, tol=1e-12))
