"""Ratings of models: formulas by hand and by peers, what is connected, batches, words of errors."""

import re

import choix
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score

from sklearn_codex import ModelRatings, TiePreferenceModel
from sklearn_codex._ratings.graph import find_connections
from sklearn_codex.exceptions import SeparationWarning
from sklearn_codex.metrics import preference_scorers

NAMES = np.array(["ant", "bee", "cat", "dog", "elk"], dtype=object)


def draw_votes(n, seed=0, *, ties=0.0, n_models=5):
    """Names (n, 2) and votes, of which a part are ties."""
    rng = np.random.default_rng(seed)
    theta = np.linspace(-1, 1, n_models)
    a = rng.integers(n_models, size=n)
    b = (a + rng.integers(1, n_models, size=n)) % n_models
    y = (rng.uniform(size=n) < expit(theta[a] - theta[b])).astype(float)
    y[rng.uniform(size=n) < ties] = 0.5
    return np.column_stack([NAMES[a], NAMES[b]]), y


def indicators(X, models):
    """Differences of one column a model."""
    place = {name: i for i, name in enumerate(models)}
    codes = np.array([[place[name] for name in row] for row in X])
    return np.eye(len(models))[codes[:, 0]] - np.eye(len(models))[codes[:, 1]]


def test_two_models_are_rated_by_the_odds_of_their_wins():
    X = [("a", "b")] * 3
    model = ModelRatings(alpha=0).fit(X, [1, 0.5, 0], sample_weight=[5, 2, 1])
    # 5 + 1 won against 1 + 1 lost.
    assert_allclose(model.ratings_, [np.log(3) / 2, -np.log(3) / 2], rtol=1e-8)
    assert_allclose(model.predict_proba([("a", "b"), ("b", "a")])[:, 1], [0.75, 0.25])
    assert_array_equal(model.n_comparisons_, [8, 8])


@pytest.mark.parametrize("ties", ["davidson", "rao-kupper"])
def test_models_of_ties_solve_their_equations_for_two_models(ties):
    won, tied, lost = 6.0, 3.0, 2.0
    X = [("a", "b")] * 3
    model = ModelRatings(ties, alpha=0).fit(X, [1, 0.5, 0], sample_weight=[won, tied, lost])
    # Two parameters for two free shares, so that the fit has the shares themselves.
    assert_allclose(
        model.predict_proba([("a", "b")])[0], np.array([lost, tied, won]) / 11, rtol=1e-6
    )
    if ties == "davidson":
        assert model.ratings_ @ [1, -1] == pytest.approx(np.log(won / lost))
        assert model.tie_parameter_ == pytest.approx(tied / np.sqrt(won * lost))
    else:
        up, down = won / (tied + lost), lost / (tied + won)
        assert model.ratings_ @ [1, -1] == pytest.approx(np.log(up / down) / 2)
        assert model.tie_parameter_ == pytest.approx(1 / np.sqrt(up * down))


def test_the_loss_of_the_docstring_is_what_is_least():
    X, y = draw_votes(60, 1, ties=0.2)
    rng = np.random.default_rng(2)
    style, topic = rng.normal(size=(60, 1)), rng.normal(size=(60, 1))
    weight = rng.uniform(0.5, 2, size=60)
    rows = np.column_stack([X, style, topic]).astype(object)
    model = ModelRatings(alpha=0.3, topics=3, topic_alpha=0.7, position_bias=True, tol=1e-10)
    model.fit(rows, y, sample_weight=weight)
    design = indicators(X, model.models_)
    centred = topic - np.average(topic, weights=weight, axis=0)

    def loss(w):
        theta, gamma, beta, delta = w[:5], w[5:10], w[10], w[11]
        m = design @ theta + (design @ gamma) * centred[:, 0] + beta * style[:, 0] + delta
        return (
            -weight @ (y * log_expit(m) + (1 - y) * log_expit(-m))
            + 0.15 * theta @ theta
            + 0.35 * gamma @ gamma
        )

    best = minimize(loss, np.zeros(12), options={"gtol": 1e-9}).x
    assert_allclose(model.ratings_, best[:5], atol=1e-5)
    assert_allclose(model.topic_coef_[:, 0], best[5:10], atol=1e-5)
    assert_allclose([model.style_coef_[0], model.position_bias_], best[10:], atol=1e-5)
    margin = design @ best[:5] + (design @ best[5:10]) * centred[:, 0]
    margin += best[10] * style[:, 0] + best[11]
    assert_allclose(model.decision_function(rows), margin, atol=1e-4)
    assert_array_equal(model.style_names_, [2])


@pytest.mark.parametrize("seed", range(3))
def test_ratings_are_those_of_choix_and_of_logistic_regression(seed):
    X, y = draw_votes(400, seed)
    model = ModelRatings(alpha=0).fit(X, y)
    codes = np.searchsorted(NAMES.astype(str), X.astype(str))
    wins = np.where(y[:, None] == 1, codes, codes[:, ::-1])
    theirs = choix.opt_pairwise(5, wins, alpha=0, tol=1e-12)
    assert_allclose(model.ratings_, theirs - theirs.mean(), atol=1e-6)
    regression = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=10_000)
    theirs = regression.fit(indicators(X, NAMES), y).coef_[0]
    assert_allclose(model.ratings_, theirs - theirs.mean(), atol=1e-5)


@pytest.mark.parametrize("ties", ["davidson", "rao-kupper"])
def test_models_of_ties_are_those_of_the_reward_model(ties):
    X, y = draw_votes(300, 3, ties=0.3)
    model = ModelRatings(ties, alpha=0.5).fit(X, y)
    same = TiePreferenceModel(tie_model=ties, C=2.0).fit(indicators(X, NAMES), y)
    assert_allclose(model.ratings_, same.coef_[0], atol=1e-6)
    assert model.tie_parameter_ == pytest.approx(same.tie_parameter_)
    assert_allclose(
        model.predict_proba(X[:9]), same.predict_proba(indicators(X[:9], NAMES)), atol=1e-6
    )


def test_names_frames_and_differences_are_one_and_the_same():
    X, y = draw_votes(200, 4)
    expected = ModelRatings(alpha=0).fit(X, y)
    frame = pd.DataFrame(X, columns=["model_a", "model_b"])
    numbers = frame.replace({name: i for i, name in enumerate(NAMES)})
    for other in (frame, numbers.astype(int), X.tolist(), X.astype(str), indicators(X, NAMES)):
        model = ModelRatings(alpha=0).fit(other, y)
        assert_allclose(model.ratings_, expected.ratings_, atol=1e-7)
        assert_allclose(model.rating_std_, expected.rating_std_, atol=1e-7)
        assert_allclose(model.decision_function(other), expected.decision_function(X), atol=1e-6)
    model = ModelRatings(alpha=0).fit(sparse.csr_array(indicators(X, NAMES)), y)
    assert_allclose(model.ratings_, expected.ratings_, atol=1e-7)


def test_words_are_votes_and_both_bad_is_a_tie():
    X, y = draw_votes(90, 5, ties=0.3)
    words = np.array(["model_b", "tie (bothbad)", "model_a"])[(2 * y).astype(int)]
    expected = ModelRatings().fit(X, y)
    model = ModelRatings().fit(X, words)
    assert_allclose(model.ratings_, expected.ratings_)
    assert model.classes_.tolist() == ["a", "b"]
    assert_allclose(model.predict_proba(X)[:, 0], expected.predict_proba(X)[:, 1])
    assert model.score(X, words) == pytest.approx(expected.score(X, y))
    davidson = ModelRatings("davidson").fit(X, words)
    assert davidson.classes_.tolist() == ["a", "b", "tie"]
    assert_allclose(
        davidson.predict_proba(X)[:, [1, 2, 0]],
        ModelRatings("davidson").fit(X, y).predict_proba(X),
        atol=1e-8,
    )


def test_rows_of_winner_and_loser_need_no_other_class():
    X, y = draw_votes(200, 6)
    expected = ModelRatings(alpha=0).fit(X, y)
    won = np.where(y[:, None] == 1, X, X[:, ::-1])
    for ties in ("half", "davidson"):
        model = ModelRatings(ties, alpha=0).fit(won, np.ones(200))
        assert_allclose(model.ratings_, expected.ratings_, atol=1e-6)
    with pytest.raises(ValueError, match="two classes"):
        ModelRatings(position_bias=True).fit(won, np.ones(200))


def test_a_weight_of_two_is_the_vote_twice_and_of_zero_none():
    X, y = draw_votes(80, 7, ties=0.2)
    weight = np.random.default_rng(1).integers(3, size=80)
    for ties in ("half", "davidson", "rao-kupper"):
        one = ModelRatings(ties).fit(X, y, sample_weight=weight)
        many = ModelRatings(ties).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
        assert_allclose(one.ratings_, many.ratings_, atol=1e-6)
        groups = np.arange(80)
        one = ModelRatings(ties).fit(X, y, sample_weight=weight, groups=groups)
        many.fit(np.repeat(X, weight, 0), np.repeat(y, weight), groups=np.repeat(groups, weight))
        assert_allclose(one.covariance_, many.covariance_, atol=1e-6)


@pytest.mark.parametrize("ties", ["half", "davidson"])
@pytest.mark.parametrize("with_groups", [False, True])
def test_batches_give_what_all_at_once_gives(ties, with_groups):
    X, y = draw_votes(300, 8, ties=0.2)
    X[:100][X[:100] == "elk"] = "ant"  # comes later
    keep = X[:, 0] != X[:, 1]
    X, y = X[keep], y[keep]
    groups = np.random.default_rng(0).integers(20, size=len(y)) if with_groups else None
    whole = ModelRatings(ties, random_state=0).fit(X, y, groups=groups)
    model = ModelRatings(ties, random_state=0)
    for part in np.array_split(np.arange(len(y)), 4):
        model.partial_fit(X[part], y[part], groups=None if groups is None else groups[part])
    order = np.argsort(model.models_)
    assert_array_equal(model.models_[order], whole.models_)
    assert_allclose(model.ratings_[order], whole.ratings_, atol=1e-6)
    assert_allclose(model.rating_std_[order], whole.rating_std_, atol=1e-6)
    assert_array_equal(model.classes_, whole.classes_)
    assert model.n_groups_ == whole.n_groups_


def test_a_stream_of_names_is_kept_in_as_many_rows_as_kinds_of_votes():
    X, y = draw_votes(3000, 9)
    model = ModelRatings()
    for part in np.array_split(np.arange(3000), 10):
        model.partial_fit(X[part], y[part])
    assert len(model._votes["target"]) <= 5 * 4 * 2
    assert model._votes["count"].sum() == 3000


def test_batches_of_differences_and_of_style():
    X, y = draw_votes(120, 10)
    rows = np.column_stack([X, np.random.default_rng(0).normal(size=120)]).astype(object)
    for data in (rows, indicators(X, NAMES) * 1.5):
        whole = ModelRatings().fit(data, y)
        model = ModelRatings().partial_fit(data[:50], y[:50]).partial_fit(data[50:], y[50:])
        assert_allclose(model.ratings_, whole.ratings_, atol=1e-6)
        assert_allclose(model.style_coef_, whole.style_coef_, atol=1e-6)
        assert_allclose(model.rating_std_, whole.rating_std_, atol=1e-6)


def test_what_is_connected_and_what_is_separated():
    a, b = np.array([0, 1, 2, 3, 4]), np.array([1, 2, 0, 0, 0])
    target = np.array([1.0, 1, 1, 1, 0])
    found = find_connections(a, b, target, np.ones(5), 6)
    assert found.n_components == 2
    assert_array_equal(found.infinite, [0, 0, 0, np.inf, -np.inf, np.nan])
    tied = find_connections(a, b, np.where(a == 3, 0.5, target), np.ones(5), 5)
    assert_array_equal(tied.infinite, [0, 0, 0, 0, -np.inf])


def test_models_that_nothing_connects_are_told_by_name():
    X = [("a", "b"), ("b", "a"), ("y", "z"), ("z", "y"), ("y", "z")]
    y = [1, 1, 1, 1, 1]
    with pytest.raises(ValueError, match=r"2 sets of models.*'a', 'b'; 'y', 'z'\. Their ratings"):
        ModelRatings(alpha=0).fit(X, y)
    with pytest.warns(UserWarning, match=r"mean rating of each is 0 comes from alpha=0\.001"):
        model = ModelRatings(random_state=0).fit(X, y)
    assert model.ratings_[:2].sum() == pytest.approx(0, abs=1e-9)
    assert model.separated_.sum() == 2
    assert_array_equal(model.rank_sets_[model.separated_], [[1, 4], [1, 4]])


def test_a_model_that_wins_all_is_infinite_or_said_to_be_made_finite():
    X, y = draw_votes(200, 11)
    X = np.vstack([X, [("top", name) for name in NAMES]])
    y = np.append(y, np.ones(5))
    expected = ModelRatings(alpha=0).fit(X[:200], y[:200])
    with pytest.warns(SeparationWarning, match="'top' has lost nothing to the others.*infinite,"):
        model = ModelRatings(alpha=0, random_state=0).fit(X, y)
    assert model.ratings_[-1] == np.inf
    assert_allclose(model.ratings_[:-1], expected.ratings_, atol=1e-5)
    assert_allclose(model.rating_std_[:-1], expected.rating_std_, rtol=0.02)
    assert model.rating_std_[-1] == np.inf
    assert_array_equal(model.rank_sets_[-1], [1, 6])
    assert model.table()["model"][0] == "top"
    assert model.predict_proba([("top", "ant")])[0, 1] > 1 - 1e-6
    assert not np.isnan(model.comparisons()["low"]).any()
    with pytest.warns(SeparationWarning, match=r"finite by alpha=0\.1 only"):
        model = ModelRatings(alpha=0.1).fit(X, y)
    assert np.isfinite(model.ratings_).all()
    assert model.separated_.tolist() == [False] * 5 + [True]


@pytest.mark.parametrize("ties", ["half", "davidson"])
def test_of_models_that_all_won_or_lost_all_none_is_sure(ties):
    X, y = [("a", "b")] * 5, [1] * 5
    with pytest.warns(SeparationWarning, match="'a' has lost nothing.*'b' has won nothing"):
        model = ModelRatings(ties, alpha=0.5, random_state=0).fit(X, y)
    assert model.separated_.all()
    assert model.ratings_.sum() == pytest.approx(0, abs=1e-9)
    assert model.ratings_[0] > 0
    table = model.table()
    assert (table["std"] == np.inf).all()
    assert (table["low"] == -np.inf).all()
    assert (table["high"] == np.inf).all()
    assert_array_equal(model.rating_interval(), [[-np.inf, np.inf]] * 2)
    assert_array_equal(model.rank_sets_, [[1, 2]] * 2)
    with pytest.warns(SeparationWarning, match="they are infinite"):
        model = ModelRatings(ties, alpha=0).fit(X, y)
    assert_array_equal(model.ratings_, [np.inf, -np.inf])
    with pytest.warns(SeparationWarning, match="of 'b' nothing tells by how much"):
        model = ModelRatings(ties, random_state=0).fit([("a", "b"), ("b", "c")], [1, 1])
    assert (model.rating_std_ == np.inf).all()


def test_unknown_models_are_errors_or_average():
    X, y = draw_votes(100, 12)
    model = ModelRatings().fit(X, y)
    with pytest.raises(ValueError, match=r"no model 'bees'\. Did you mean bee"):
        model.predict([("ant", "bees")])
    model.set_params(handle_unknown="average")
    assert_allclose(model.decision_function([("ant", "new")]), model.ratings_[:1])


def test_topics_turn_the_order_of_models():
    rng = np.random.default_rng(13)
    prompts = np.array(["write code", "write verse"])[rng.integers(2, size=600)]
    side = rng.integers(2, size=600)
    X = np.where(side[:, None] == 1, [["poet", "coder"]], [["coder", "poet"]]).astype(object)
    good = np.where(prompts == "write code", "coder", "poet")
    y = np.where(rng.uniform(size=600) < 0.8, X[:, 0] == good, X[:, 0] != good).astype(float)
    frame = pd.DataFrame({"model_a": X[:, 0], "model_b": X[:, 1], "prompt": prompts})
    model = ModelRatings(topics="prompt", topic_vectorizer=CountVectorizer())
    model.fit(frame, y)
    assert model.topic_coef_.shape == (2, 3)
    asked = pd.DataFrame({"model_a": ["poet"] * 2, "model_b": ["coder"] * 2})
    proba = model.predict_proba(asked.assign(prompt=["write code", "write verse"]))[:, 1]
    assert_allclose(proba, [0.2, 0.8], atol=0.06)
    by_topic = model.topic_ratings(["write code", "write verse"])
    assert_allclose(expit(by_topic @ [-1, 1]), proba)
    with pytest.raises(ValueError, match="partial_fit cannot be used with topics"):
        clone(model).partial_fit(frame, y)


def test_held_out_log_loss_by_group_and_score():
    X, y = draw_votes(600, 14)
    groups = np.arange(600) // 6
    cv = GroupKFold(5)
    loss = cross_val_score(
        ModelRatings(), X, y, groups=groups, cv=cv,
        scoring=preference_scorers["neg_preference_log_loss"],
    )  # fmt: skip
    assert -np.log(2) < loss.mean() < -0.4
    assert 0.6 < cross_val_score(ModelRatings(), X, y, groups=groups, cv=cv).mean() < 0.9
    model = ModelRatings().fit(X, y)
    assert model.score([("elk", "ant"), ("ant", "elk")], [1, 1]) == 0.5
    assert model.score([("elk", "ant"), ("elk", "ant")], [1, 0.5]) == 0.75


@pytest.mark.parametrize(
    ("X", "y", "options", "message"),
    [
        ([("a", "a")], [1], {}, "1 row.* model with itself, the first, 'a', at position 0"),
        ([("a", "b"), ("a", None)], [1, 0], {}, "name of a model.*got None at position 1"),
        ([("a", "b"), ("", "b")], [1, 0], {}, "got '' at position 1"),
        ([("a", "b", "long"), ("b", "a", "x")], [1, 0], {}, "has the text 'long'"),
        ([("a", "b", np.nan), ("b", "a", 1)], [1, 0], {}, "finite numbers in the column 2"),
        ([("a",), ("b",)], [1, 0], {}, "got 1 column"),
        (np.array([[0, 1], [1, 2], [2, 0]]), [1, 0, 1], {}, "numbers of two models"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), [1], {}, "Rename the columns"),
        ([("a", "b")] * 2, [1, 0.3], {"ties": "davidson"}, "continuous"),
        ([("a", "b")] * 2, [0.5, 0.5], {"ties": "davidson"}, "got ties only"),
        ([("a", "b")] * 2, [1, 0], {"topics": "task"}, "needs the column 'task' of topics"),
        (np.eye(3), [1, 0, 1], {"topics": 2}, "topics needs names"),
    ],
)
def test_what_is_no_vote_is_told(X, y, options, message):
    with pytest.raises(ValueError, match=message):
        ModelRatings(**options).fit(X, y)


def test_other_columns_than_in_fit_are_told():
    X, y = draw_votes(50, 15)
    rows = pd.DataFrame(X, columns=["model_a", "model_b"]).assign(length=1.0 * np.arange(50))
    model = ModelRatings().fit(rows, y)
    with pytest.raises(ValueError, match=re.escape("['length'] of style beside the models")):
        model.predict(rows.drop(columns="length"))
    with pytest.raises(ValueError, match="got a matrix of numbers"):
        model.predict(np.eye(3))
    with pytest.raises(ValueError, match="got names of models"):
        ModelRatings().fit(indicators(X, NAMES), y).predict(X)
    with pytest.raises(ValueError, match="groups with each batch or with none"):
        model.partial_fit(rows, y, groups=np.arange(50))
    reordered = rows[["length", "model_b", "model_a"]]
    assert_allclose(model.decision_function(reordered), model.decision_function(rows))
