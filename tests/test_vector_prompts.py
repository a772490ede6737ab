"""Prompts beside vectors keep pairs together as those beside texts do, whatever names them."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sklearn_codex import PreferenceRewardModel, PreferenceRewardModelCV
from sklearn_codex.exceptions import LeakageWarning
from sklearn_codex.health import check_preferences

N = 40
PROMPTS = np.arange(N) // 4


def frame_of(prompts, name="prompt"):
    rng = np.random.RandomState(0)
    sides = {side: list(rng.randn(N, 3)) for side in ("response_a", "response_b")}
    return pd.DataFrame({name: pd.Series(list(prompts), dtype=object), **sides})


def labels_of(frame):
    return (np.stack(frame["response_a"])[:, 0] > 0).astype(int)


IDS = {
    "int": [int(p) for p in PROMPTS],
    "numpy": list(PROMPTS.astype(np.int64)),
    "float": [float(p) for p in PROMPTS],
    "tuple": [("chat", int(p)) for p in PROMPTS],
    "mixed": [int(p) if i % 2 else float(p) for i, p in enumerate(PROMPTS)],
    "date": list(pd.Timestamp("2024-01-01") + pd.to_timedelta(PROMPTS, unit="D")),
}


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_ids_of_prompts_split_as_their_texts_do(ids):
    named, told = frame_of(ids), frame_of(f"prompt {p:02d}" for p in PROMPTS)
    y = labels_of(named)
    by_id, by_text = (PreferenceRewardModelCV(cv=3).fit(X, y) for X in (named, told))
    np.testing.assert_array_equal(by_id.scores_, by_text.scores_)
    alone = PreferenceRewardModelCV(cv=3).fit(named.drop(columns="prompt"), y)
    assert not np.array_equal(by_id.scores_, alone.scores_)


def test_a_score_of_prompts_known_by_ids_is_warned_of():
    X = frame_of(PROMPTS.tolist())
    y = labels_of(X)
    model = PreferenceRewardModel().fit(X[::2], y[::2])
    with pytest.warns(LeakageWarning, match="prompts"):
        model.score(X[1::2], y[1::2])
    other = X[1::2].assign(prompt=[float(p) + 1000 for p in PROMPTS[1::2]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.score(other, y[1::2])


@pytest.mark.parametrize(
    "odd", [None, np.nan, pd.NA, pd.NaT, [{"role": "user", "content": "Why?"}]], ids=str
)
def test_a_prompt_that_is_none_is_named_as_for_texts(odd):
    vectors = frame_of(["Why?"] * 3 + [odd] + ["How?"] * (N - 4))
    texts = vectors.assign(response_a="good", response_b="bad")
    y = labels_of(vectors)
    for X in (vectors, texts):
        with pytest.raises(TypeError, match=r"expected every prompt of X .* pair 3 is"):
            PreferenceRewardModelCV().fit(X, y)
    with pytest.raises(TypeError, match="check_preferences expected every prompt"):
        check_preferences(vectors, y)


def test_only_the_column_called_prompt_has_prompts_in_vectors_and_in_texts():
    vectors = frame_of((f"prompt {p}" for p in PROMPTS), name="Prompt")
    texts = vectors.assign(
        response_a=[f"good {i}" for i in range(N)], response_b=[f"bad {i}" for i in range(N)]
    )
    y = labels_of(vectors)
    for X in (vectors, texts):
        both = (PreferenceRewardModelCV(cv=3).fit(frame, y) for frame in (X, X.iloc[:, 1:]))
        first, second = (model.scores_ for model in both)
        np.testing.assert_array_equal(first, second)
