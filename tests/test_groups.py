"""Groups: whatever takes them takes names and numbers, and says where one is missing."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from sklearn_codex import (
    BootstrapRewardEnsemble,
    PlackettLuceModel,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RewardUncertainty,
    check_preferences,
)
from sklearn_codex._checks.groups import check_groups, encode_groups
from sklearn_codex._reward.win_rate import length_controlled_win_rate
from sklearn_codex.inspection import LengthBiasDisplay, PromptLearningCurveDisplay
from sklearn_codex.metrics import (
    accuracy_by_slice,
    get_preference_scorer,
    length_audit,
    paired_cluster_bootstrap,
    win_rate,
)

RNG = np.random.RandomState(0)
N = 40
X, Y = RNG.normal(size=(N, 3)), (np.arange(N) % 2).astype(int)
LENGTH = RNG.normal(size=N)
GROUPS = np.repeat([f"prompt {i}" for i in range(10)], 4).astype(object)


def score_best_of_n(groups):
    scorer = get_preference_scorer("best_of_n_accuracy", groups=lambda X: groups)
    return scorer(PlackettLuceModel().fit(X, LENGTH, groups=np.arange(N) // 4), X, LENGTH)


TAKE_GROUPS = {
    "win_rate": lambda groups: win_rate(Y, groups),
    "paired_cluster_bootstrap": lambda groups: paired_cluster_bootstrap(Y, 1 - Y, groups),
    "accuracy_by_slice": lambda groups: accuracy_by_slice(Y, LENGTH, Y > 0, groups=groups),
    "length_audit": lambda groups: length_audit(Y, None, LENGTH, groups=groups),
    "best_of_n_accuracy": score_best_of_n,
    "length_controlled_win_rate": lambda groups: length_controlled_win_rate(
        Y, LENGTH, groups=groups
    ),
    "PreferenceRewardModelCV": lambda groups: PreferenceRewardModelCV(Cs=[1.0, 2.0]).fit(
        X, Y, groups=groups
    ),
    "RewardUncertainty": lambda groups: RewardUncertainty().fit(X, Y, groups=groups),
    "BootstrapRewardEnsemble": lambda groups: BootstrapRewardEnsemble(n_estimators=2).fit(
        X, Y, groups=groups
    ),
    "PlackettLuceModel": lambda groups: PlackettLuceModel().fit(X, LENGTH, groups=groups),
    "check_preferences": lambda groups: check_preferences(X, Y, groups=groups),
    "LengthBiasDisplay": lambda groups: LengthBiasDisplay.from_predictions(
        Y, LENGTH, LENGTH, groups=groups
    ),
    "PromptLearningCurveDisplay": lambda groups: PromptLearningCurveDisplay.from_estimator(
        PreferenceRewardModel(), X, Y, groups=groups, cv=2, train_sizes=[0.5]
    ),
}


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("name", TAKE_GROUPS)
def test_missing_group_is_refused_with_its_place(name, missing):
    groups = GROUPS.copy()
    groups[[3, 7]] = missing
    message = (
        r"groups should name the group of each (pair|response), such as its prompt, but 2 of 40 "
        rf"are missing, the first, {missing}, at position 3\. Drop these (pair|response)s, or give"
    )
    with pytest.raises(ValueError, match=message):
        TAKE_GROUPS[name](groups)


@pytest.mark.parametrize(
    "groups",
    [
        ["a", np.nan, "b"],
        ["a", None, "b"],
        ("a", float("nan"), 3),
        [1, None, 2],
        np.array(["2020-01-01", "NaT", "2021-01-01"], dtype="datetime64[D]"),
        pd.Series(pd.to_datetime(["2020-01-01", None, "2021-01-01"])),
        pd.Series([pd.Timestamp(0), pd.NaT, "b"], dtype=object),
        pd.Series(["a", None, "b"]),
    ],
)
def test_missing_group_is_found_in_what_has_no_place_for_it(groups):
    with pytest.raises(ValueError, match=r"1 of 3 are missing, the first, .*, at position 1"):
        check_groups(groups, 3)


def test_names_and_numbers_that_look_alike_are_two_groups():
    assert_array_equal(encode_groups([1, "1", 2, "2"], 4), [0, 1, 2, 3])
    assert_array_equal(encode_groups(("b", "a", "b"), 3), [1, 0, 1])


@pytest.mark.parametrize("name", TAKE_GROUPS)
def test_groups_may_be_lists_and_series(name, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for container in (list, pd.Series, pl.Series):
        groups = container(GROUPS.tolist())
        assert_array_equal(encode_groups(groups, 40), encode_groups(GROUPS, 40))
        TAKE_GROUPS[name](groups)


@pytest.mark.parametrize("name", TAKE_GROUPS)
def test_one_group_a_row(name):
    with pytest.raises(ValueError, match=r"40 (pair|response)s, got 39|inconsistent.*40, 39\]"):
        TAKE_GROUPS[name](GROUPS[1:])


def test_codes_are_in_the_order_of_groups_or_as_they_come():
    assert_array_equal(encode_groups(["b", "a", "b", "c"], 4), [1, 0, 1, 2])
    assert_array_equal(encode_groups([3, 1, 2], 3), [2, 0, 1])
    # Names and numbers have no order.
    assert_array_equal(encode_groups(np.array(["b", 1, "a", 1], dtype=object), 4), [0, 1, 2, 1])


def test_column_of_groups_is_a_row_of_them_and_a_table_is_not():
    assert_array_equal(check_groups(np.array([[1], [2]]), 2), [1, 2])
    with pytest.raises(ValueError, match=r"shape \(n_responses,\), got \(2, 2\)"):
        check_groups([[1, 2], [3, 4]], 2, unit="response")
