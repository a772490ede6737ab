"""Vectors, folds and texts at the edges: they count as they are, or an error says what is wrong."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from sklearn_codex import (
    BootstrapRewardEnsemble,
    PairVectorizer,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    ResponseIds,
)

N = 30
RNG = np.random.RandomState(0)
VECTORS = RNG.randn(N, 2, 3)
Y = (RNG.uniform(size=N) < 0.5).astype(int)
FRAME = pd.DataFrame({"response_a": list(VECTORS[:, 0]), "response_b": list(VECTORS[:, 1])})
ROWS = np.arange(N)


def frame_with(first):
    return FRAME.assign(response_a=[first, *VECTORS[1:, 0]])


def lists_with(first):
    rows = VECTORS.tolist()
    rows[0][0] = first
    return rows


@pytest.mark.parametrize("make", [frame_with, lists_with])
@pytest.mark.parametrize(
    ("first", "said"),
    [
        (None, r"every row of X to be 2 vectors of 3 numbers.*X\[0\] is .None"),
        ([None, 1.0, 2.0], r"vectors of numbers in X\[0\], got \[None"),
        ([1.0, 2.0], r"every row of X to be 2 vectors of"),
    ],
)
def test_a_first_vector_that_is_none_is_named(make, first, said):
    with pytest.raises(ValueError, match=said):
        PreferenceRewardModel().fit(make(first), Y)


def test_objects_that_are_numbers_are_the_numbers():
    expected = PreferenceRewardModel().fit(VECTORS, Y).coef_
    objects = [VECTORS.astype(object), frame_with(VECTORS[0, 0].astype(object))]
    for X in objects:
        assert_allclose(PreferenceRewardModel().fit(X, Y).coef_, expected)


@pytest.mark.parametrize("names", [["response_a"], ["chosen", "rejected"]])
def test_frames_of_vectors_under_other_names_are_refused(names):
    X = FRAME.iloc[:, : len(names)].set_axis(names, axis=1)
    with pytest.raises(ValueError, match=rf"got a data frame of .*'{names[0]}'.*(Rename|Turn)"):
        PreferenceRewardModel().fit(X, Y)


def test_masks_are_not_ignored():
    masked = np.ma.masked_array(VECTORS, VECTORS > 1)
    for X in (masked, masked[:, 0]):
        with pytest.raises(ValueError, match=r"got a masked array as X with \d+ masked values"):
            PreferenceRewardModel().fit(X, Y)
    with pytest.raises(ValueError, match="ResponseIds got a masked array"):
        ResponseIds([[0, 1]], masked[:, 0])
    with pytest.raises(ValueError, match="got a masked array as y with 1 masked values"):
        PreferenceRewardModel().fit(VECTORS, np.ma.masked_array(Y, ROWS == 3))
    ones = np.ones(N)
    for name in ("sample_weight", "groups"):
        given = {name: np.ma.masked_array(ones, ROWS == 3)}
        said = rf"^{name} is a masked array with 1 masked values.*{name}\.filled"
        with pytest.raises(ValueError, match=said):
            PreferenceRewardModelCV([1.0]).fit(VECTORS, Y, **given)
    known = np.ma.masked_array(ones, ROWS < 0)
    assert_allclose(
        PreferenceRewardModel().fit(VECTORS, Y, sample_weight=known).coef_,
        PreferenceRewardModel().fit(VECTORS, Y).coef_,
    )
    whole = np.ma.masked_array(VECTORS, np.zeros(VECTORS.shape, dtype=bool))
    assert_allclose(
        PreferenceRewardModel().fit(whole, Y).coef_, PreferenceRewardModel().fit(VECTORS, Y).coef_
    )


@pytest.mark.filterwarnings("error")
def test_differences_that_float32_cannot_hold_are_float64():
    great = np.zeros((4, 2, 2), dtype=np.float32)
    great[2] = [[3e38, 1], [-3e38, 1]]
    made = PairVectorizer().fit_transform(great)
    assert_allclose(made[2], [6e38, 0], rtol=1e-6)
    assert PairVectorizer().fit_transform(great / 4).dtype == np.float32
    with pytest.raises(ValueError, match=r"beyond the range of floats in pairs 0 to 3\. Divide"):
        PairVectorizer().fit_transform(great.astype(np.float64) * 5e269)


SPLITS = {
    "none": ([], "cv has no split"),
    "no test": ([(ROWS, ROWS[:0])], r"the test side of split 0 of cv has shape \(0,\)"),
    "no train": ([(ROWS[:0], ROWS)], r"the train side of split 0 of cv has shape \(0,\)"),
    "from the end": ([(ROWS[:9], np.array([12, -1, -3]))], r"side of split 0 of cv has \[-1, -3\]"),
    "outside": ([(ROWS[:9], ROWS[9:] + 9)], r"0 to 29, but the test side of split 0 of cv has"),
    "floats": ([(ROWS[:9] / 2, ROWS[9:])], r"integers .*, but the train side of split 0"),
}


@pytest.mark.parametrize(("cv", "said"), SPLITS.values(), ids=SPLITS)
def test_splits_that_are_none_of_the_pairs_are_named(cv, said):
    with pytest.raises(ValueError, match=f"PreferenceRewardModelCV .*{said}"):
        PreferenceRewardModelCV(cv=cv).fit(VECTORS, Y)


def test_masks_are_splits_and_one_group_is_none():
    by_mask, by_rows = (
        PreferenceRewardModelCV(cv=[split]).fit(VECTORS, Y).scores_
        for split in ((ROWS < 20, ROWS >= 20), (ROWS[:20], ROWS[20:]))
    )
    assert_allclose(by_mask, by_rows)
    with pytest.raises(ValueError, match="got one group for all 30 pairs"):
        PreferenceRewardModelCV().fit(VECTORS, Y, groups=["all"] * N)


@pytest.mark.parametrize("k", [np.nan, np.inf, -1, "a", None])
def test_a_conservative_reward_is_checked_when_it_is_asked_for(k):
    ensemble = BootstrapRewardEnsemble(n_estimators=3, random_state=0).fit(VECTORS, Y)
    with pytest.raises(ValueError, match=f"k >= 0 .* k={k!r}"):
        ensemble.conservative_reward(k)


@pytest.mark.parametrize("texts", [("a", "b", "c", "d"), ("", "", "", "")])
def test_texts_without_common_terms_are_named_with_a_remedy(texts):
    pairs = [texts[:2], texts[2:]]
    with pytest.raises(
        ValueError, match=r"PreferenceRewardModel gave .* no term .*words__min_df=1"
    ):
        PreferenceRewardModel(vectorizer="preference").fit(pairs, [1, 0])
