import gzip
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import cohen_kappa_score

from sklearn_codex.metrics import (
    annotator_accuracy,
    count_votes,
    fleiss_kappa,
    pairwise_agreement,
    wilson_interval,
)

PANDALM = Path(__file__).parents[2] / "shared" / "data" / "pandalm.jsonl.gz"


def simulate_votes(n=300, n_annotators=5, accuracy=0.8, missing=0.0, seed=0):
    rng = np.random.RandomState(seed)
    truth = rng.randint(3, size=n)
    right = rng.uniform(size=(n, n_annotators)) < accuracy
    wrong = (truth[:, np.newaxis] + rng.randint(1, 3, size=(n, n_annotators))) % 3
    votes = np.where(right, truth[:, np.newaxis], wrong).astype(float)
    votes[rng.uniform(size=votes.shape) < missing] = np.nan
    return votes


def kappa_by_counting_pairs_of_votes(votes):
    """Fleiss' kappa from its meaning: how often two votes on a pair agree, against any two."""
    agreements = []
    everything = []
    for row in votes:
        given = [vote for vote in row if not np.isnan(vote)]
        if len(given) < 2:
            continue
        everything += given
        agreements.append(np.mean([a == b for a, b in combinations(given, 2)]))
    chance = np.mean(np.equal.outer(everything, everything))
    return (np.mean(agreements) - chance) / (1 - chance)


@pytest.mark.parametrize("missing", [0.0, 0.4, 0.8])
def test_fleiss_kappa_by_counting_pairs_of_votes(missing):
    votes = simulate_votes(missing=missing)
    expected = kappa_by_counting_pairs_of_votes(votes)
    assert fleiss_kappa(count_votes(votes).counts) == pytest.approx(expected)


def test_fleiss_kappa_of_a_table_in_many_textbooks():
    # Ten subjects, 14 raters, five categories; 0.210 is what is printed with it.
    counts = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), min_size=2, max_size=15))
def test_kappa_knows_neither_the_order_of_annotators_nor_that_of_categories(votes):
    counts = count_votes(votes).counts
    if counts.shape[1] == 1:
        with pytest.warns(UndefinedMetricWarning, match="all votes are for one category"):
            assert np.isnan(fleiss_kappa(counts))
        return
    kappa = fleiss_kappa(counts)
    assert kappa <= 1
    assert fleiss_kappa(counts[:, ::-1]) == pytest.approx(kappa)
    shuffled = count_votes([row[::-1] for row in votes]).counts
    assert fleiss_kappa(shuffled) == pytest.approx(kappa)


def test_kappa_of_full_agreement_and_of_chance():
    assert fleiss_kappa([[3, 0], [0, 3], [3, 0]]) == 1
    random = np.random.RandomState(0).randint(2, size=(5000, 4))
    assert fleiss_kappa(count_votes(random).counts) == pytest.approx(0, abs=0.02)


def test_counts_of_votes_of_any_kind():
    result = count_votes([["a", "tie", None], ["b", "b", np.nan], 3 * [pd.NA]])
    assert result.categories == ["a", "b", "tie"]
    assert result.counts.tolist() == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]
    mixed = count_votes(np.array([[1, "tie"], [1, 1]], dtype=object))
    assert mixed.categories == [1, "tie"]


def test_annotators_are_measured_against_the_others():
    votes = [["a", "a", "a"], ["a", "b", "b"], ["a", "b", "tie"], ["b", "b", None]]
    table = annotator_accuracy(votes, names=["x", "y", "z"])
    # The others of x agree on the first two pairs and are one on the last, where z has no vote.
    assert table.n.tolist() == [3, 2, 1]
    assert table.accuracy.tolist() == pytest.approx([2 / 3, 1, 1])
    assert (table.low[0], table.high[0]) == wilson_interval(table.accuracy[0], 3)
    assert list(table.annotator) == ["x", "y", "z"]


def test_annotator_accuracy_by_brute_force():
    votes = simulate_votes(80, missing=0.3)
    table = annotator_accuracy(votes)
    for j in range(votes.shape[1]):
        points = []
        for row in votes:
            others = [vote for i, vote in enumerate(row) if i != j and not np.isnan(vote)]
            leading = [
                vote for vote in set(others) if others.count(vote) == max(map(others.count, others))
            ]
            if not np.isnan(row[j]) and len(leading) == 1:
                points.append(row[j] == leading[0])
        assert table.n[j] == len(points)
        assert table.accuracy[j] == pytest.approx(np.mean(points))


def test_a_bad_annotator_is_found():
    votes = simulate_votes(500, accuracy=0.9)
    votes[:, 2] = simulate_votes(500, accuracy=0.4, seed=0)[:, 2]
    table = annotator_accuracy(votes)
    assert np.argmin(table.accuracy) == 2
    assert table.high[2] < table.low[np.arange(5) != 2].min()


def test_an_annotator_without_votes_has_no_accuracy():
    table = annotator_accuracy([[1, 1, np.nan], [0, 0, np.nan]])
    assert table.n.tolist() == [2, 2, 0]
    assert np.isnan(table.accuracy[2])


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_pairwise_kappa_equals_scikit_learn(missing):
    votes = simulate_votes(100, missing=missing)
    result = pairwise_agreement(votes)
    expected = []
    for i, j in combinations(range(5), 2):
        both = ~np.isnan(votes[:, [i, j]]).any(axis=1)
        kappa = cohen_kappa_score(votes[both, i].astype(int), votes[both, j].astype(int))
        expected.append(kappa)
        assert result.kappa[i, j] == result.kappa[j, i] == pytest.approx(kappa)
        assert result.agreement[i, j] == np.mean(votes[both, i] == votes[both, j])
        assert result.n[i, j] == both.sum()
    assert result.mean_kappa == pytest.approx(np.mean(expected))


def test_agreement_of_annotators_who_never_met_is_not_defined():
    result = pairwise_agreement([[1, np.nan], [np.nan, 0]])
    assert np.isnan([result.mean_agreement, result.mean_kappa]).all()
    assert result.n.tolist() == [[1, 0], [0, 1]]


def test_kappa_takes_what_count_votes_returns():
    votes = [["a", "a", "b"], ["b", "b", None], ["a", "b", "a"]]
    counted = count_votes(votes)
    assert fleiss_kappa(counted) == fleiss_kappa(counted.counts)
    with pytest.raises(ValueError, match=r"count_votes\(votes\)\.counts"):
        fleiss_kappa(votes)


def test_agreement_errors():
    with pytest.raises(ValueError, match=r"\(n_pairs, n_annotators\), got \(2,\)"):
        count_votes([1, 0])
    with pytest.raises(ValueError, match="votes hold no vote"):
        annotator_accuracy([[None, None]])
    with pytest.raises(ValueError, match="No pair has two votes"):
        fleiss_kappa([[1, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"whole, non-negative .* Votes become counts by"):
        fleiss_kappa([[0.5, 1.5]])
    with pytest.raises(ValueError, match="names should name 2 annotators, got 1"):
        annotator_accuracy([[1, 0]], names=["x"])


@pytest.mark.skipif(not PANDALM.exists(), reason=f"needs real data: {PANDALM.name} is missing")
def test_annotators_of_pandalm_agree():
    with gzip.open(PANDALM, "rt", encoding="utf-8") as file:
        votes = [json.loads(line)["annotators"] for line in file]
    accuracy = annotator_accuracy(votes).accuracy
    assert accuracy.min() == pytest.approx(0.94, abs=0.01)
    assert accuracy.max() == pytest.approx(0.96, abs=0.01)
    kappa = fleiss_kappa(count_votes(votes).counts)
    assert kappa == pytest.approx(kappa_by_counting_pairs_of_votes(np.array(votes)))
