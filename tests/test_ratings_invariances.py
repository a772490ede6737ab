"""Ratings do not know which side a model is on, what it is called, or how votes come in."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.model_selection import GridSearchCV, GroupKFold

from sklearn_codex import ModelRatings
from sklearn_codex.metrics import preference_scorers

NAMES = np.array(list("abcdef"))
N = 600
TIES = ("half", "davidson", "rao-kupper", "both-bad")
TURNED = {"a": "b", "b": "a", "tie": "tie", "both_bad": "both_bad"}


@pytest.fixture(scope="module")
def votes():
    """Return codes of two models (n, 2), votes in words and the voters."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=len(NAMES))
    a = rng.integers(len(NAMES), size=N)
    codes = np.column_stack([a, (a + 1 + rng.integers(len(NAMES) - 1, size=N)) % len(NAMES)])
    wins = rng.uniform(size=N) < expit(true[codes[:, 0]] - true[codes[:, 1]])
    said = np.where(wins, "a", "b").astype(object)
    said[rng.uniform(size=N) < 0.2] = "tie"
    said[(said == "tie") & (rng.uniform(size=N) < 0.4)] = "both_bad"
    return codes, said, rng.integers(30, size=N)


def fitted(ties, position_bias, X, y, groups, **options):
    model = ModelRatings(ties, position_bias=position_bias, random_state=0)
    return model.fit(X, y, groups=groups, **options)


def assert_same_ratings(one, other, order=slice(None), position=1.0):
    assert_allclose(other.ratings_[order], one.ratings_, atol=1e-9)
    assert_allclose(other.rating_std_[order], one.rating_std_, atol=1e-9)
    assert_array_equal(other.rank_sets_[order], one.rank_sets_)
    assert position * other.position_bias_ == pytest.approx(one.position_bias_, abs=1e-9)
    for name in ("tie_parameter_", "both_bad_odds_"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=1e-9)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("position_bias", [False, True])
def test_sides_order_names_repetition_and_batches_change_no_rating(votes, ties, position_bias):
    codes, y, groups = votes
    X, rng = NAMES[codes], np.random.default_rng(1)
    fit = lambda *data, **options: fitted(ties, position_bias, *data, **options)  # noqa: E731
    model = fit(X, y, groups)
    assert np.ptp(model.ratings_) > 0.5

    turned = np.array([TURNED[vote] for vote in y], dtype=object)
    assert_same_ratings(model, fit(X[:, ::-1], turned, groups), position=-1.0)

    order = rng.permutation(N)
    assert_same_ratings(model, fit(X[order], y[order], groups[order]))

    renamed = rng.permutation(len(NAMES))
    assert_same_ratings(model, fit(NAMES[renamed][codes], y, groups), order=renamed)

    weight = rng.integers(3, size=N)
    rows = np.repeat(np.arange(N), weight)
    weighted = fit(X, y, groups, sample_weight=weight)
    assert_same_ratings(fit(X[rows], y[rows], groups[rows]), weighted)

    stream = ModelRatings(ties, position_bias=position_bias, random_state=0)
    for batch in np.array_split(np.arange(N), 7):
        stream.partial_fit(X[batch], y[batch], groups=groups[batch])
    assert_same_ratings(model, stream)


def test_tables_of_all_libraries_are_one(votes):
    codes, y, groups = votes
    frame = pd.DataFrame(NAMES[codes], columns=["model_a", "model_b"])
    frame["length"] = np.random.default_rng(2).normal(size=N)
    model = fitted("half", False, frame, y, groups)
    assert_same_ratings(
        model,
        fitted("half", False, pl.from_pandas(frame), pl.Series(y.tolist()), pl.Series(groups)),
    )
    assert_same_ratings(
        model,
        fitted("half", False, pa.Table.from_pandas(frame), pa.array(y.tolist()), pa.array(groups)),
    )


def test_a_search_chooses_the_penalty_by_votes_that_were_held_out(votes):
    codes, y, groups = votes
    search = GridSearchCV(
        ModelRatings(random_state=0),
        {"alpha": [0.001, 1e6]},
        cv=GroupKFold(3),
        scoring=preference_scorers["neg_preference_log_loss"],
    ).fit(NAMES[codes], y == "a", groups=groups)
    assert search.best_params_ == {"alpha": 0.001}
    at_chance = search.cv_results_["mean_test_score"][1]
    assert at_chance == pytest.approx(-np.log(2), abs=1e-3)
    assert search.best_score_ > at_chance
    assert search.best_estimator_.ratings_.shape == (len(NAMES),)
