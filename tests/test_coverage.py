"""How often intervals cover, a short run of ``benchmarks/coverage.py``."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom

ROOT = Path(__file__).parents[1]
N = 300
# What covers 95.5% fails once in 100,000 runs of a test.
RARE, EXPECTED = 1e-5, 0.955


@pytest.fixture(scope="module")
def benchmark():
    path = ROOT / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LEAST, MOST = (100 * binom.ppf(q, N, EXPECTED) / N for q in (RARE, 1 - RARE))


@pytest.mark.slow
@pytest.mark.parametrize("clustering", ["none", "strong"])
@pytest.mark.parametrize(
    "name",
    [
        "sandwich, weights",
        "sandwich, position",
        "length-controlled win rate",
        "length coefficient",
        "win rate",
        "paired difference",
    ],
)
def test_intervals_of_ten_prompts_cover(benchmark, name, clustering):
    share, without = benchmark.coverage(name, 10, clustering, replications=N)
    assert without < 5
    assert share >= LEAST


@pytest.mark.slow
def test_intervals_of_unequal_prompts_with_weights_cover(benchmark):
    setting = {"equal": False, "weighted": True, "labels": "ties"}
    for name in ("sandwich, weights", "win rate"):
        share, _ = benchmark.coverage(name, 10, "strong", replications=N, **setting)
        assert share >= LEAST


@pytest.mark.slow
def test_intervals_of_soft_labels_are_not_too_wide(benchmark):
    for name in ("sandwich, weights", "win rate"):
        share, _ = benchmark.coverage(name, 20, "none", replications=N, labels="soft")
        assert LEAST <= share <= MOST < 100


@pytest.mark.slow
def test_laplace_does_not_know_of_prompts(benchmark):
    share, _ = benchmark.coverage("Laplace, weights", 20, "strong", replications=50)
    assert share < 80


def test_labels_of_the_simulation_have_their_probability(benchmark):
    rng = np.random.RandomState(0)
    for labels in ("hard", "ties", "soft"):
        for clustering in ("none", "strong"):
            data = benchmark.draw(rng, 4000, clustering, labels=labels)
            probability = np.linspace(0.05, 0.95, len(data.groups))
            assert_allclose(np.mean(data.label(probability) - probability), 0, atol=0.03)
