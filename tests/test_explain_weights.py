"""``explain_reward`` with weights: one of 2 is the pair twice, one of 0 is no pair."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit

from sklearn_codex.inspection import _explain as explain
from sklearn_codex.inspection import explain_reward
from sklearn_codex.inspection._directions import find_directions, slopes, without, words_along
from sklearn_codex.inspection._explained_share import fit_ridge, predict_margins

WORDS = np.array(["sorry", "indeed", "maybe", "thanks", "please"])
N_PROMPTS, N_EACH = 60, 3
N = N_PROMPTS * N_EACH
OPTIONS = {"n_directions": 4, "random_state": 0}


class Known:
    """A reward of vectors whose weights are known."""

    def decision_function(self, X):
        return (X[:, 0] - X[:, 1]) @ np.linspace(-1, 2, X.shape[-1])


def make_pairs(seed=4):
    """Return texts, vectors (N, 2, 9) and labels (N,)."""
    rng = np.random.RandomState(seed)
    has = rng.uniform(size=(N, 2, len(WORDS))) < 0.25
    texts = [
        (f"prompt {i // N_EACH}", *(f"{i}{'ab'[j]} {' '.join(WORDS[has[i, j]])}" for j in (0, 1)))
        for i in range(N)
    ]
    parts = rng.standard_normal((len(WORDS), 9))
    vectors = has @ parts + 0.1 * rng.standard_normal((N, 2, 9))
    margin = (has[:, 0].astype(float) - has[:, 1]) @ [-2.0, 1.0, 0.0, 0.0, 0.5]
    return texts, vectors, (rng.uniform(size=N) < expit(margin)).astype(int)


TEXTS, VECTORS, Y = make_pairs()
GROUPS = np.repeat(np.arange(N_PROMPTS), N_EACH)
TIMES = np.random.RandomState(11).randint(1, 4, size=N)


def at(rows):
    """Return X, y and texts of some of the pairs."""
    return VECTORS[rows], Y[rows], [TEXTS[row] for row in rows]


def assert_same(one, other, rtol=1e-6):
    """Check what does not depend on how many rows a weight is spread over."""
    assert_allclose(one.components, other.components, rtol=rtol, atol=1e-8)
    assert one.directions.name == other.directions.name
    for name in ("effect", "std", "reward_effect"):
        assert_allclose(one.directions[name], other.directions[name], rtol=rtol, atol=1e-9)
    assert one.words.word == other.words.word
    assert_allclose(one.words.correlation, other.words.correlation, rtol=rtol)
    assert_allclose(one.words.p_value, other.words.p_value)
    assert_allclose(one.shares.share, other.shares.share, rtol=1e-5)


@pytest.mark.parametrize("control_length", [False, True])
def test_a_weight_of_two_is_the_pair_twice(control_length):
    options = {**OPTIONS, "control_length": control_length}
    X, y, texts = at(np.repeat(np.arange(N), TIMES))
    twice = explain_reward(Known(), X, y, texts=texts, **options)
    weighted = explain_reward(Known(), VECTORS, Y, texts=TEXTS, sample_weight=TIMES, **options)
    assert_same(weighted, twice)
    plain = explain_reward(Known(), VECTORS, Y, texts=TEXTS, **options)
    assert np.abs(np.sort(plain.directions.effect) - np.sort(twice.directions.effect)).max() > 1e-3


def test_a_reward_that_is_fitted_here_has_the_weights_too():
    X, y, texts = at(np.repeat(np.arange(N), 2))
    twice = explain_reward(None, X, y, texts=texts, **OPTIONS)
    weighted = explain_reward(
        None, VECTORS, Y, texts=TEXTS, sample_weight=np.full(N, 2.0), **OPTIONS
    )
    assert_allclose(weighted.directions.reward_effect, twice.directions.reward_effect, rtol=1e-4)
    plain = explain_reward(None, VECTORS, Y, texts=TEXTS, **OPTIONS)
    change = weighted.directions.reward_effect - plain.directions.reward_effect
    assert np.abs(change).max() > 1e-3  # twice as many pairs say more against the penalty


def test_a_weight_of_zero_is_no_pair():
    weight = np.random.RandomState(2).uniform(0.5, 2.0, size=N)
    weight[GROUPS % 3 == 0] = 0.0
    weight[GROUPS % 3 == 1] *= np.tile([1.0, 0.0, 1.0], N_PROMPTS // 3)
    rows = np.flatnonzero(weight)
    X, y, texts = at(rows)
    without_them = explain_reward(
        Known(), X, y, texts=texts, groups=GROUPS[rows], sample_weight=weight[rows], **OPTIONS
    )
    weighted = explain_reward(
        Known(), VECTORS, Y, texts=TEXTS, groups=GROUPS, sample_weight=weight, **OPTIONS
    )
    assert_same(weighted, without_them)
    assert_allclose(weighted.directions.p_value, without_them.directions.p_value)
    assert weighted.n_prompts == (20, 20)
    assert [rows[row] for row in without_them.pairs.row] == list(weighted.pairs.row)


def test_effects_by_hand():
    weight = np.random.RandomState(3).uniform(0.2, 3.0, size=N)
    explanation = explain_reward(
        Known(), VECTORS, Y, texts=TEXTS, groups=GROUPS, sample_weight=weight, **OPTIONS
    )
    train, test = explain._halve(GROUPS, np.random.RandomState(0))
    table = explanation.directions
    s = (VECTORS[:, 0] - VECTORS[:, 1]) @ explanation.components[list(table.direction)].T
    mean_square = weight[train] @ s[train] ** 2 / weight[train].sum()
    s = np.clip(s / np.sqrt(mean_square), -3, 3)[test]
    w, t, m = weight[test], Y[test] - 0.5, Known().decision_function(VECTORS)[test]
    assert_allclose(table.effect, (w * t) @ s / (w @ s**2))
    assert_allclose(table.reward_effect, (w * m) @ s / (w @ s**2))


def test_slopes_and_what_is_taken_off_by_hand():
    score, target = np.array([[1.0], [2.0], [-1.0]]), np.array([3.0, 1.0, 0.0])
    assert_allclose(slopes(score, target, np.array([2.0, 1.0, 4.0])), (2 * 3 + 2) / (2 + 4 + 4))
    # The fit through 0 of (1, 4) on (1, 1) with the weights (3, 1) is 7 / 4.
    rest = without(np.array([[1.0], [4.0]]), np.ones((2, 1)), np.array([3.0, 1.0]))
    assert_allclose(rest, [[1 - 7 / 4], [4 - 7 / 4]])


def test_correlation_of_a_word_by_hand():
    score, word = np.array([1.0, 2.0, -1.0]), sparse.csr_array([[1.0], [-1.0], [0.0]])
    found, _ = words_along(
        score, word, np.arange(3), np.random.RandomState(0), np.array([2.0, 1.0, 3.0])
    )
    assert_allclose(found, [(2 * 1 - 2) / np.sqrt((2 + 4 + 3) * (2 + 1))], atol=1e-12)
    found, _ = words_along(
        score, word, np.arange(3), np.random.RandomState(0), np.array([2.0, 0.5, 3.0])
    )
    assert_allclose(found, [(2 - 1) / np.sqrt((2 + 2 + 3) * 2.5)])


def test_directions_are_of_weighted_pairs():
    rng = np.random.RandomState(8)
    D = rng.laplace(size=(80, 5)) @ rng.standard_normal((5, 5))
    times = rng.randint(1, 5, size=80)
    weighted = find_directions(D, 3, np.random.RandomState(1), times.astype(float))
    repeated = find_directions(np.repeat(D, times, axis=0), 3, np.random.RandomState(1))
    assert_allclose(weighted, repeated, rtol=1e-6)
    assert_allclose(weighted, find_directions(D, 3, np.random.RandomState(1), 7.0 * times))
    scores = D @ weighted.T
    assert_allclose(times @ scores**2 / times.sum(), 1.0)
    assert np.abs(find_directions(D, 3, np.random.RandomState(1)) - weighted).max() > 0.01


def test_regression_minimises_weighted_squares():
    rng = np.random.RandomState(9)
    D, margin, groups = rng.standard_normal((40, 3)), rng.standard_normal(40), np.arange(40) // 2
    times = rng.randint(1, 4, size=40)
    train, test = np.arange(0, 30), np.arange(30, 40)
    found = predict_margins(D, margin, groups, train, test, times.astype(float))
    rows = np.repeat(train, times[train])
    dual = fit_ridge(D[rows] @ D[rows].T, margin[rows], groups[rows])
    assert_allclose(found, D[test] @ D[rows].T @ dual)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.full(N, -1.0), "Negative values in data passed to `sample_weight`"),
        (np.zeros(N), "least one element non-zero|all zero|at least one"),
        (np.ones(N - 1), "sample_weight.shape"),
    ],
)
def test_weights_that_are_none(weight, message):
    with pytest.raises(ValueError, match=message):
        explain_reward(Known(), VECTORS, Y, texts=TEXTS, sample_weight=weight, **OPTIONS)


def test_too_few_prompts_have_a_weight():
    with pytest.raises(ValueError, match="at least 20 prompts"):
        explain_reward(
            Known(), VECTORS, Y, texts=TEXTS, sample_weight=1.0 * (GROUPS < 19), **OPTIONS
        )
