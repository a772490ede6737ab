import choix
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import approx_fprime
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from smooth_losses import gradient_of, matrix_of, value_of

from sklearn_codex import PPOPolicyOptimizer
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex._reward.plackett_luce import PlackettLuceLoss, arrange_rankings
from sklearn_codex._reward.rankings import PlackettLuceModel, stack_rankings
from sklearn_codex.text import TokenCounter

COEF = np.linspace(-1, 1, 5)


@pytest.mark.filterwarnings("ignore:PlackettLuceModel got .* rows without groups")
@parametrize_with_checks([PlackettLuceModel()])
def test_contract_of_scikit_learn(estimator, check):
    check(estimator)


def draw_rankings(rng, n_groups=60, sizes=(2, 3, 5), coef=COEF):
    """Responses, their relevance and their group; orders are drawn by Gumbel noise."""
    size = rng.choice(sizes, size=n_groups)
    groups = np.repeat(np.arange(n_groups), size)
    X = rng.randn(len(groups), len(coef))
    return X, X @ coef + rng.gumbel(size=len(groups)), groups


def log_loss(coef, X, y, groups):
    """-log P of all choices by the documented formula, one at a time."""
    total = 0.0
    for group in np.unique(groups):
        utility, relevance = X[groups == group] @ coef, y[groups == group]
        for i in np.flatnonzero(relevance > relevance.min()):
            total += np.log(np.exp(utility[relevance <= relevance[i]]).sum()) - utility[i]
    return total


@pytest.fixture
def rankings():
    return draw_rankings(np.random.RandomState(0))


@pytest.mark.parametrize("levels", [None, 2, 3])
def test_value_is_the_documented_formula(rankings, levels):
    X, y, groups = rankings
    if levels is not None:
        y = np.random.RandomState(1).randint(levels, size=len(y)).astype(float)
    order = np.random.RandomState(2).permutation(len(y))
    X, y, groups = X[order], y[order], groups[order]
    loss = PlackettLuceLoss(DifferenceDesign(X), arrange_rankings(y, groups), C=1.7)
    coef = np.random.RandomState(3).randn(5)
    expected = 1.7 * log_loss(coef, X, y, groups) + 0.5 * coef @ coef
    gradient, curvature = loss.derivatives(loss.at(coef))
    assert loss.at(coef).value == pytest.approx(expected, rel=1e-12)
    assert_allclose(gradient, approx_fprime(coef, value_of(loss), 1e-7), rtol=1e-4)
    products = matrix_of(curvature, 5)
    assert_allclose(products, approx_fprime(coef, gradient_of(loss), 1e-6), rtol=1e-4, atol=1e-4)
    assert_allclose(products, products.T)
    assert (curvature.diagonal() >= np.diag(products)).all()


def test_choices_are_counted_where_they_are_made():
    y = np.array([3.0, 1.0, 1.0, 2.0, 2.0, 5.0, 0.0])
    found = arrange_rankings(y, np.array([0, 0, 0, 0, 0, 1, 1]))
    assert found.rows[found.present].tolist() == [0, 5, 3, 6, 4, 1, 2]
    assert_array_equal(found.choices.T, [[1, 2, 0, 0, 0], [1, 0, 0, 0, 0]])
    assert found.n_choices == 4


def test_losses_are_exact_where_exponentials_are_not():
    design = DifferenceDesign(np.array([[900.0], [0.0], [-900.0]]))
    loss = PlackettLuceLoss(design, arrange_rankings(np.array([0.0, 1.0, 2.0]), np.zeros(3, int)))
    assert loss.log_loss(design.matvec(np.ones(1))) == pytest.approx(1800 + 900)
    assert_allclose(gradient_of(loss)(np.ones(1)), [1800 + 900 + 1])


def items(data):
    """One column for each item, the rows in the order of the rankings."""
    rows = stack_rankings(data)
    return np.eye(np.max(rows.X) + 1)[rows.X], rows.y, rows.groups


def assert_same_items(model, expected):
    """Items are known up to a constant, which the penalty sets to a mean of 0."""
    assert_allclose(model.coef_[0], expected - expected.mean(), atol=2e-5)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 2.0])
def test_items_are_those_of_choix(alpha):
    rng = np.random.RandomState(0)
    data = [tuple(rng.permutation(6)[: rng.randint(2, 7)]) for _ in range(40)]
    X, y, groups = items(data)
    model = PlackettLuceModel(C=1 / (2 * alpha)).fit(X, y, groups=groups)
    assert_same_items(model, choix.opt_rankings(6, data, alpha=alpha, tol=1e-10))


@pytest.mark.parametrize("alpha", [0.1, 2.0])
def test_best_of_k_is_that_of_choix(alpha):
    rng = np.random.RandomState(1)
    data = [tuple(rng.permutation(6)[: rng.randint(2, 7)]) for _ in range(60)]
    X, y, groups = items(data)
    best = [y[groups == group].max() for group in groups]
    model = PlackettLuceModel(C=1 / (2 * alpha)).fit(X, y == np.array(best), groups=groups)
    expected = choix.opt_top1(6, [(one[0], one[1:]) for one in data], alpha=alpha, tol=1e-10)
    assert_same_items(model, expected)
    assert model.n_choices_ == 60


def test_groups_of_two_are_pairs():
    X, y, groups = draw_rankings(np.random.RandomState(0), sizes=(2,))
    model = PlackettLuceModel(C=0.3).fit(X, y, groups=groups)
    differences, first = X[::2] - X[1::2], (y[::2] > y[1::2]).astype(int)
    pairs = PreferenceRewardModel(C=0.3).fit(differences, first)
    assert_allclose(model.coef_, pairs.coef_, rtol=1e-6)
    assert model.loss_ == pytest.approx(pairs.loss_)
    chosen = np.where(first == 1, 1, -1) * pairs.decision_function(differences)
    assert model.score(X, y, groups=groups) == pytest.approx(np.mean(np.log(expit(chosen))))


def test_order_of_rows_and_names_of_groups_do_not_matter(rankings):
    X, y, groups = rankings
    order = np.random.RandomState(1).permutation(len(y))
    names = np.array([f"set {group}" for group in groups])
    model = PlackettLuceModel().fit(X, y, groups=groups)
    shuffled = PlackettLuceModel().fit(sparse.csr_array(X[order]), y[order], groups=names[order])
    assert_allclose(shuffled.coef_, model.coef_, rtol=1e-8)
    assert_allclose(
        shuffled.predict_choice(X[order], groups[order]), model.predict_choice(X, groups)[order]
    )
    assert_allclose(np.bincount(groups, model.predict_choice(X, groups)), 1.0)


def test_text_has_the_reward_of_its_counts():
    data = [["good good day", "day", "bad day"], ["good", ""], ["fine day", "bad"]]
    rows = stack_rankings(data)
    model = PlackettLuceModel().fit(rows.X, rows.y, groups=rows.groups)
    counts = TokenCounter().fit(rows.X).transform(rows.X)
    counted = PlackettLuceModel().fit(counts, rows.y, groups=rows.groups)
    assert_allclose(model.coef_, counted.coef_)
    assert_allclose(model.predict(rows.X), counted.reward(counts))
    policy = PPOPolicyOptimizer(reward_model=model, max_iter=2, tol=0, random_state=0)
    assert np.isfinite(policy.fit(["good day", "bad day"]).expected_reward_)


def test_cross_validation_hands_groups_to_fit_and_score(rankings):
    X, y, groups = rankings
    with sklearn.config_context(enable_metadata_routing=True):
        model = PlackettLuceModel().set_fit_request(groups=True).set_score_request(groups=True)
        scores = cross_val_score(model, X, y, params={"groups": groups}, cv=GroupKFold(3))
    splits = GroupKFold(3).split(X, y, groups)
    expected = [
        PlackettLuceModel()
        .fit(X[train], y[train], groups=groups[train])
        .score(X[test], y[test], groups=groups[test])
        for train, test in splits
    ]
    assert_allclose(scores, expected)


@pytest.mark.parametrize(
    ("y", "groups"), [([1, 1, 1], None), ([1, 2, 3], [0, 1, 2]), ([1, 1, 0], [0, 0, 1])]
)
def test_no_choice_is_an_error(y, groups):
    with pytest.raises(ValueError, match="no group has two different y"):
        PlackettLuceModel().fit(np.eye(3), y, groups=groups)


def test_rankings_that_are_none_are_errors():
    with pytest.raises(TypeError, match="position 1 is 'good'"):
        stack_rankings([["a", "b"], "good"])
    with pytest.raises(ValueError, match=r"sizes \[2, 0\]"):
        stack_rankings([["a", "b"], []])


def test_too_few_steps_are_warned_of(rankings):
    X, y, groups = rankings
    with pytest.warns(ConvergenceWarning, match="PlackettLuceModel did not converge"):
        PlackettLuceModel(max_iter=1, tol=1e-12).fit(X, y, groups=groups)


def test_prompts_are_the_groups_of_text():
    rankings = [["good", "bad"], ["good day", "fine", "bad day"]]
    rows = stack_rankings(rankings, prompts=["say", "greet"])
    assert rows.X[:3] == [("say", "good"), ("say", "bad"), ("greet", "good day")]
    plain = stack_rankings(rankings)
    expected = PlackettLuceModel().fit(plain.X, plain.y, groups=plain.groups)
    for X in (rows.X, np.array(rows.X, dtype=object), pd.DataFrame(rows.X)):
        model = PlackettLuceModel().fit(X, rows.y)
        assert_allclose(model.coef_, expected.coef_)
        assert model.score(X, rows.y) == pytest.approx(
            expected.score(plain.X, plain.y, groups=plain.groups)
        )
        assert_allclose(model.predict_choice(X), expected.predict_choice(plain.X, plain.groups))
        assert_allclose(model.reward(plain.X), model.reward(X))


def test_cross_validation_by_prompt_needs_no_routing():
    rng = np.random.RandomState(0)
    words = np.array(["awful", "poor", "fair", "fine", "superb"])
    ranks = [np.argsort(-np.arange(5) - 2 * rng.gumbel(size=5))[:3] for _ in range(60)]
    rows = stack_rankings(
        [words[rank].tolist() for rank in ranks], prompts=[f"prompt {i}" for i in range(60)]
    )
    X = np.array(rows.X, dtype=object)
    scores = cross_val_score(PlackettLuceModel(), X, rows.y, groups=X[:, 0], cv=GroupKFold(4))
    assert scores.mean() > -np.log(6) / 2  # that of orders at random, for each of two choices
    folds = GroupKFold(4).split(X, groups=X[:, 0])
    train, test = next(folds)
    model = PlackettLuceModel().fit(X[train], rows.y[train], groups=rows.groups[train])
    assert scores[0] == pytest.approx(model.score(X[test], rows.y[test], groups=rows.groups[test]))


def test_a_score_without_the_groups_of_fit_is_an_error(rankings):
    X, y, groups = rankings
    model = PlackettLuceModel().fit(X, y, groups=groups)
    with pytest.raises(ValueError, match="fitted with groups and is scored without"):
        model.score(X, y)
    one = X[groups == 0], y[groups == 0]
    assert model.score(*one, groups=np.zeros(len(one[1]))) < 0
    with pytest.warns(UserWarning, match="scored without"):
        scores = cross_val_score(model, X, y, params={"groups": groups}, cv=3)
    assert np.isnan(scores).all()


def test_prompts_split_and_rankings_fit_by_routing(rankings):
    X, y, groups = rankings
    prompts = groups // 3
    with sklearn.config_context(enable_metadata_routing=True):
        model = PlackettLuceModel().set_fit_request(groups="rankings")
        model.set_score_request(groups="rankings")
        scores = cross_val_score(
            model, X, y, params={"groups": prompts, "rankings": groups}, cv=GroupKFold(3)
        )
    train, test = next(GroupKFold(3).split(X, y, prompts))
    fitted = PlackettLuceModel().fit(X[train], y[train], groups=groups[train])
    assert scores[0] == pytest.approx(fitted.score(X[test], y[test], groups=groups[test]))


def test_a_weight_of_two_is_the_ranking_twice_and_of_zero_no_ranking(rankings):
    X, y, groups = rankings
    times = np.random.RandomState(1).randint(3, size=60)
    model = PlackettLuceModel().fit(X, y, sample_weight=times[groups], groups=groups)
    rows = [np.flatnonzero(groups == group) for group in np.repeat(np.arange(60), times)]
    copies = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    rows = np.concatenate(rows)
    repeated = PlackettLuceModel().fit(X[rows], y[rows], groups=copies)
    assert_allclose(model.coef_, repeated.coef_, rtol=1e-7)
    assert model.loss_ == pytest.approx(repeated.loss_)
    assert model.n_choices_ == sum(np.sum(groups == g) - 1 for g in np.flatnonzero(times))
    assert model.score(X, y, times[groups], groups) == pytest.approx(
        repeated.score(X[rows], y[rows], groups=copies)
    )


def test_a_weight_of_two_is_the_response_twice(rankings):
    X, y, groups = rankings
    y = np.random.RandomState(2).randint(3, size=len(y))
    times = np.random.RandomState(3).randint(3, size=len(y))
    model = PlackettLuceModel().fit(X, y, sample_weight=times, groups=groups)
    repeated = PlackettLuceModel().fit(
        np.repeat(X, times, axis=0), np.repeat(y, times), groups=np.repeat(groups, times)
    )
    assert_allclose(model.coef_, repeated.coef_, rtol=1e-7)


def test_weighted_value_is_the_documented_formula(rankings):
    X, y, groups = rankings
    weight = np.random.RandomState(1).exponential(size=len(y))
    loss = PlackettLuceLoss(DifferenceDesign(X), arrange_rankings(y, groups, weight), C=1.7)
    coef, expected = np.random.RandomState(3).randn(5), 0.0
    for group in range(60):
        rows = np.flatnonzero(groups == group)
        utility, s = X[rows] @ coef, weight[rows] / weight[rows].mean()
        for i, row in enumerate(rows):
            if y[row] > y[rows].min():
                below = y[rows] <= y[row]
                chance = np.exp(utility[i]) / np.sum(s[below] * np.exp(utility[below]))
                expected -= weight[row] * np.log(chance)
    assert loss.at(coef).value == pytest.approx(1.7 * expected + 0.5 * coef @ coef, rel=1e-12)


@pytest.mark.parametrize("top", [1, 2, 7])
def test_only_the_first_of_a_ranking_may_be_known(top):
    rankings = [list("abcde"), list("xyz"), ["only"]]
    rows = stack_rankings(rankings, top=top)
    for group, ranking in enumerate(rankings):
        y = rows.y[rows.groups == group]
        known = min(top, len(ranking) - 1)
        assert (np.diff(y[: known + 1]) < 0).all()
        assert (y[known:] == 0).all()
    with pytest.raises(ValueError, match="at least 1, or None, got 0"):
        stack_rankings(rankings, top=0)
    with pytest.raises(ValueError, match="needs one prompt a ranking"):
        stack_rankings(rankings, prompts=["one"])
