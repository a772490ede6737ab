"""Votes that depend on each other in two ways, by voter and by prompt; steps down."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from sklearn_codex import ModelRatings
from sklearn_codex._ratings.uncertainty import positive_part, step_down

NAMES = np.array(["ant", "bee", "cat", "dog"], dtype=object)


def draw_crossed(seed, n=500, n_voters=25, n_prompts=25, spread=1.0):
    """Votes of people and on prompts, each with a taste of its own."""
    rng = np.random.default_rng(seed)
    voter, prompt = rng.integers(n_voters, size=n), rng.integers(n_prompts, size=n)
    taste = rng.normal(size=(n_voters, 4))[voter] + rng.normal(size=(n_prompts, 4))[prompt]
    taste *= spread
    a = rng.integers(4, size=n)
    b = (a + rng.integers(1, 4, size=n)) % 4
    rows = np.arange(n)
    y = (rng.uniform(size=n) < expit(taste[rows, a] - taste[rows, b])).astype(float)
    return np.column_stack([NAMES[a], NAMES[b]]), y, voter, prompt


def covariance_by_hand(model, X, y, codes):
    """The jackknife of Newton steps, by one way."""
    place = {name: i for i, name in enumerate(model.models_)}
    ends = np.array([[place[name] for name in row] for row in X])
    design = np.eye(4)[ends[:, 0]] - np.eye(4)[ends[:, 1]]
    p = expit(design @ model.ratings_)
    curved = (p * (1 - p))[:, None] * design
    information = design.T @ curved + model.alpha * np.eye(4)
    moves = []
    for group in np.unique(codes):
        here = codes == group
        left = information - design[here].T @ curved[here]
        moves.append(np.linalg.solve(left, design[here].T @ (y - p)[here]))
    moves = np.array(moves) - np.mean(moves, axis=1)[:, None]
    return (1 - 1 / len(moves)) * moves.T @ moves


def test_two_ways_add_up_less_what_both_have():
    X, y, voter, prompt = draw_crossed(0)
    model = ModelRatings(alpha=0.1, random_state=0)
    model.fit(X, y, groups=np.column_stack([voter, prompt]))
    one, other, both = (
        covariance_by_hand(model, X, y, codes) for codes in (voter, prompt, 1000 * voter + prompt)
    )
    assert np.linalg.eigvalsh(one + other - both)[1] > 0  # one is 0, of what all share
    assert_allclose(model.covariance_, one + other - both, rtol=1e-6, atol=1e-10)
    assert np.diag(model.covariance_).min() > max(np.diag(one).max(), np.diag(other).max())
    assert model.n_groups_ == 25
    turned = ModelRatings(alpha=0.1).fit(X, y, groups=np.column_stack([prompt, voter]))
    assert_allclose(model.covariance_, turned.covariance_, rtol=1e-8, atol=1e-12)


def test_a_way_within_the_other_adds_nothing():
    X, y, voter, _ = draw_crossed(1, n=300)
    session = 2 * voter + np.arange(300) % 2
    by_voter = ModelRatings().fit(X, y, groups=voter)
    for other in (session, voter):
        model = ModelRatings().fit(X, y, groups=np.column_stack([voter, other]))
        assert_allclose(model.covariance_, by_voter.covariance_, rtol=1e-8, atol=1e-12)


def test_a_covariance_is_made_one_by_its_positive_part():
    matrix = np.array([[2.0, 0, 0], [0, -1.0, 0], [0, 0, 1.0]])
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    expected = turn @ np.diag([2.0, 0, 1]) @ turn.T
    assert_allclose(positive_part(turn @ matrix @ turn.T), expected, atol=1e-12)
    # Few votes, so that the difference of the three is no covariance.
    X, y, voter, prompt = draw_crossed(5, n=30, n_voters=6, n_prompts=6)
    model = ModelRatings(alpha=0.5).fit(X, y, groups=np.column_stack([voter, prompt]))
    assert np.linalg.eigvalsh(model.covariance_).min() > -1e-10


def test_intervals_hold_where_votes_depend_in_two_ways():
    # 50 draws of 4 ratings; those by one way alone hold less often than they say.
    held = {"both": [], "voter": []}
    for seed in range(50):
        X, y, voter, prompt = draw_crossed(seed)
        for name, groups in (("both", np.column_stack([voter, prompt])), ("voter", voter)):
            low, high = ModelRatings().fit(X, y, groups=groups).rating_interval().T
            held[name].append((low <= 0) & (high >= 0))
    assert 0.88 <= np.mean(held["both"]) <= 0.99
    assert np.mean(held["voter"]) < np.mean(held["both"]) - 0.05


def test_two_ways_in_frames_lists_and_batches():
    X, y, voter, prompt = draw_crossed(2, n=200)
    voter = np.array([f"w{i}" for i in voter], dtype=object)
    pairs = list(zip(voter.tolist(), prompt.tolist(), strict=True))
    expected = ModelRatings().fit(X, y, groups=pairs)
    frame = pd.DataFrame({"voter": voter, "prompt": prompt})
    found = ModelRatings().fit(X, y, groups=frame)
    assert_array_equal(found.covariance_, expected.covariance_)
    batches = ModelRatings()
    for part in (slice(0, 90), slice(90, 200)):
        batches.partial_fit(X[part], y[part], groups=frame[part])
    order = np.argsort(batches.models_)
    assert_allclose(
        batches.covariance_[np.ix_(order, order)], expected.covariance_, rtol=1e-6, atol=1e-12
    )
    with pytest.raises(ValueError, match=r"as many ways\. The first batch came with groups of two"):
        batches.partial_fit(X, y, groups=voter)
    with pytest.raises(ValueError, match=r"shape \(200,\), or \(200, 2\) .*got \(2, 200\)"):
        ModelRatings().fit(X, y, groups=[voter, prompt])
    with pytest.raises(ValueError, match="1 of 200 are missing"):
        ModelRatings().fit(X, y, groups=frame.assign(voter=[None, *voter[1:]]))


def test_steps_down_by_hand():
    # Four draws of three ratios. Of the first p-value the greatest of all counts on either side, of
    # the second no longer the side of the first that was rejected, and so on.
    draws = np.array([[3.0, 0.5, -0.5, -3.5], [0.0, 2.0, -0.5, 1.0], [0.5, 0.0, 1.5, 0.0]])
    # Greatest from the j-th on, and against: 3, 2, 1.5, 3.5; .5, 2, 1.5, 3.5; .5, 0, 1.5, 3.5.
    found = step_down(np.array([2.5, 1.8, 1.0]), [draws[:, :3], draws[:, 3:]])
    assert_allclose(found, [(1 + 2) / 5, (1 + 2) / 5, (1 + 2) / 5])
    found = step_down(np.array([1.2, 1.0, 0.1]), [draws])
    assert_allclose(found, [1.0, 1.0, 1.0])
    found = step_down(np.array([4.0, 1.8, 1.6]), [draws])
    assert_allclose(found, [1 / 5, 3 / 5, 3 / 5])


def test_what_is_sure_leaves_less_to_compare():
    X, y, *_ = draw_crossed(3, n=400)
    X = np.vstack([X, np.repeat([("top", "ant"), ("top", "cat")], 60, axis=0)])
    y = np.append(y, np.arange(120) % 5 > 0).astype(float)
    model = ModelRatings(random_state=0).fit(X, y)
    uncertainty = model._find_uncertainty()
    known, (one, other) = uncertainty.differences(), np.triu_indices(5, 1)
    single = known.p_value
    greatest = uncertainty.greatest
    distance = np.abs(known.value[one, other] / known.std[one, other])
    at_once = 1 - np.searchsorted(greatest, distance) / len(greatest)
    stepped = uncertainty.adjusted(single, "max-t")[one, other]
    order = np.argsort(single[one, other])
    assert (np.diff(stepped[order]) >= 0).all()
    assert stepped[order[0]] == pytest.approx(at_once[order[0]], abs=2e-3)
    assert (stepped <= at_once + 5e-3).all()
    assert (stepped < at_once - 0.01).any()
