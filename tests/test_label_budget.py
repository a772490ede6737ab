"""What more labelled prompts would bring."""

import numpy as np
import pytest

from sklearn_codex import PreferenceRewardModel
from sklearn_codex.datasets import make_preferences
from sklearn_codex.model_selection import label_budget
from sklearn_codex.model_selection._budget_curve import CurveErrors, fit_curve, predict_errors
from sklearn_codex.model_selection._budget_informative import compare_choices
from sklearn_codex.report._audit_sections import _tried

MODEL = PreferenceRewardModel(tol=1e-3)


def simulate(n_pairs=300, n_prompts=100, **params):
    data = make_preferences(n_pairs, n_prompts=n_prompts, random_state=0, **params)
    return data.X, data.y, data.groups


def plan(*data, **options):
    return label_budget(MODEL, *data, **{"n_repeats": 2, "random_state": 0} | options)


@pytest.fixture(scope="module")
def budget():
    return plan(*simulate(), factors=[2, 4])


def test_curves_are_those_of_their_formula():
    n = np.array([10.0, 20.0, 40.0, 80.0])
    a, b, c = np.array([0.2, 0.3]), np.array([0.5, 1.0]), np.array([0.5, 0.75])
    errors = a[:, np.newaxis] + b[:, np.newaxis] * n ** -c[:, np.newaxis]
    found = fit_curve(n, errors, n, c, 0.0)
    np.testing.assert_allclose(found, (a, b), rtol=1e-9)
    # With a floor above a, the curve of that floor that is nearest.
    floor_a, floor_b = fit_curve(n, errors[:1], np.ones(4), c[:1], 0.25)
    x = n**-0.5
    assert floor_a[0] == 0.25
    assert floor_b[0] == pytest.approx(x @ (errors[0] - 0.25) / (x @ x))
    rising = fit_curve(n, np.array([[0.1, 0.2, 0.3, 0.4]]), np.ones(4), np.array([0.5]), 0.0)
    assert rising[0][0] == pytest.approx(0.25)  # an error that grows is noise about one that stays
    assert rising[1][0] == 0


def test_more_prompts_bring_less_and_less(budget):
    assert [size["n_prompts"] for size in budget.measured] == [10, 20, 40, 80]
    accuracies = [budget.measured[-1], budget.now, *budget.predicted]
    values = [step["accuracy"] for step in accuracies]
    assert values == sorted(values)
    assert budget.is_predictable
    double, four = budget.predicted
    assert (double["n_prompts"], double["n_new_pairs"]) == (200, 300)
    assert (four["n_prompts"], four["n_new_pairs"]) == (400, 900)
    for step in (double, four):
        assert step["accuracy_low"] < step["accuracy"] < step["accuracy_high"]
        assert step["log_loss_low"] < step["log_loss"] < step["log_loss_high"]
        assert step["gain"] == pytest.approx(step["accuracy"] - budget.now["accuracy"])
        assert step["pairs_per_point"] * 100 * step["gain"] == pytest.approx(step["n_new_pairs"])
    assert double["pairs_per_point"] < four["pairs_per_point"]


def test_more_labels_bring_what_was_foreseen():
    X, y, groups = simulate(1600, 400)
    known, test = groups < 100, groups >= 250
    budget = plan(X[known], y[known], groups[known], factors=[2], n_test=150)
    (told,) = budget.predicted
    model = MODEL.fit(X[groups < 200], y[groups < 200])
    accuracy = model.score(X[test], y[test])
    assert told["accuracy_low"] < accuracy < told["accuracy_high"]


def test_a_check_on_few_prompts_adds_their_chance(budget):
    checked = plan(*simulate(), factors=[2], n_test=20).predicted[0]
    double = budget.predicted[0]
    wider = checked["accuracy_high"] - checked["accuracy_low"]
    assert wider > 1.2 * (double["accuracy_high"] - double["accuracy_low"])


def test_annotators_bound_what_is_foreseen(budget):
    best = budget.measured[-1]["accuracy"]
    bounded = plan(*simulate(), factors=[2, 4], ceiling=best + 0.005)
    for step, free in zip(bounded.predicted, budget.predicted, strict=True):
        assert step["accuracy_high"] <= best + 0.005 + 1e-12
        assert step["accuracy"] <= min(free["accuracy"], best + 0.005)


def test_nothing_is_foreseen_of_coins():
    X, _, groups = simulate()
    y = np.random.RandomState(1).randint(2, size=300)
    budget = plan(X, y, groups)
    assert not budget.is_predictable
    assert budget.predicted is None
    assert budget.now is None


def test_intervals_hold_the_chance_of_prompts_and_of_repeats():
    rng = np.random.RandomState(0)
    n = np.array([10.0, 20.0, 40.0, 80.0])
    right = rng.uniform(size=(1, 1, 100)) + np.zeros((2, 4, 100))
    options = {"floor": 0.0, "n_test": None}

    def width(totals):
        curve = CurveErrors(n, totals, np.ones(totals.shape[2]))
        found = predict_errors(curve, [160], **options, rng=np.random.RandomState(0))
        return float((found.high - found.low)[0])

    narrow = width(np.tile(right, (1, 1, 4)))
    assert width(right) == pytest.approx(2 * narrow, rel=0.2)
    noisy = right + np.array([-0.1, 0.1])[:, np.newaxis, np.newaxis]
    assert width(noisy) > 1.2 * width(right)


def test_informative_pairs_are_tried_out():
    X, y, groups = simulate(240, 60, n_features=20)
    tried = plan(X, y, groups, informative=True).informative
    assert tried["n_new_pairs"] == 48
    assert tried["nats"]["low"] < tried["nats"]["value"] < tried["nats"]["high"]
    assert plan(X, y, groups).informative is None


def test_a_choice_needs_labels_of_both_kinds_and_has_an_end():
    X, y, groups = simulate(240, 60, n_features=20)
    options = {"n_folds": 5, "n_repeats": 1}
    tried = compare_choices(MODEL, X, y, groups, **options, most=10, rng=np.random.RandomState(0))
    assert tried["n_new_pairs"] == 10
    # Nothing tells what to choose where the first labels are one, so it is by chance.
    few = np.where(np.arange(240) < 4, y, 1.0)
    tried = compare_choices(MODEL, X, few, groups, **options, rng=np.random.RandomState(0))
    assert tried["accuracy"]["low"] <= 0 <= tried["accuracy"]["high"]


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.02, 0.01, 0.03), "48 of them brought +2.0 points (+1.0 to +3.0) more than 48 at"),
        ((-0.02, -0.03, -0.01), "brought +2.0 points (+1.0 to +3.0) less than 48 at random: label"),
        ((0.01, -0.01, 0.03), "is not shown: +1.0 points (-1.0 to +3.0) in accuracy"),
    ],
)
def test_what_a_choice_brought_is_said(ends, said):
    gain = dict(zip(("value", "low", "high"), ends, strict=True))
    assert said in _tried({"n_new_pairs": 48, "accuracy": gain})
    assert _tried(None) == ""


def test_a_seed_repeats_it(budget):
    assert plan(*simulate(), factors=[2, 4]) == budget


def test_prompts_of_text_are_groups():
    data = make_preferences(200, n_prompts=50, text=True, random_state=0)
    one, other = plan(data.X, data.y), plan(data.X, data.y, data.X[:, 0])
    assert one == other
    assert one.n_prompts == 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": [2, 5]}, r"at most 4 times the prompts there are, got \[2\.0, 5\.0\]"),
        ({"factors": [1]}, r"more than 1 and at most 4 .* got \[1\.0\]"),
        ({"ceiling": 0.4}, "'ceiling' parameter of label_budget .* Got 0.4"),
        ({"groups": None}, r"X has none\. Pass groups="),
        ({"groups": np.arange(300) % 39}, "needs 40 prompts with a preference .* got 39"),
    ],
)
def test_label_budget_errors(options, message):
    X, y, groups = simulate()
    with pytest.raises(ValueError, match=message):
        label_budget(MODEL, X, y, **{"groups": groups} | options)
