"""Arguments that are one of a few words refuse anything else in the same way."""

import re

import numpy as np
import pandas as pd
import pytest

from sklearn_codex import lab
from sklearn_codex._checks.options import check_option
from sklearn_codex.inspection import OveroptimizationDisplay, PromptLearningCurveDisplay
from sklearn_codex.metrics import get_preference_scorer

ONE = np.zeros((1, 1))
MASK = np.ones((1, 1), dtype=bool)
NOT_A_WORD = [
    3, None, "", "no", b"k1", ["k1"], {"k1": 1}, {"k1"}, object(), np.array(["k1", "k2"]),
    np.array(["k1"]), pd.DataFrame({"k1": ["k1", "k1"]}), float("nan"),
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_A_WORD, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("estimator", lambda v: lab.kl_penalty(ONE, ONE, v)),
        ("estimator", lambda v: lab.shape_rewards(ONE, ONE, ONE, MASK, 1.0, v)),
        ("loss_agg_mode", lambda v: lab.ppo_loss(ONE, ONE, ONE, MASK, v)),
        ("source", lambda v: lab.PreferenceAlgorithm("dpo", source=v)),
        ("loss", lambda v: lab.PreferenceAlgorithm(v)),
        ("the name of a scorer", get_preference_scorer),
        (
            "kl_scale",
            lambda v: OveroptimizationDisplay(kl=[0], proxy_reward=[0], gold_reward=[0]).plot(
                kl_scale=v
            ),
        ),
        (
            "score_type",
            lambda v: PromptLearningCurveDisplay(
                n_prompts=[1], train_scores=[[0.0]], test_scores=[[0.0]]
            ).plot(score_type=v),
        ),
    ],
)
def test_what_is_no_word_of_the_list_is_refused(name, call, value):
    with pytest.raises(ValueError, match=rf"needs {name}, one of '.*', got ") as error:
        call(value)
    assert "\n\n" not in str(error.value)


@pytest.mark.parametrize("value", ["max-t", None])
def test_words_of_the_list_are_taken(value):
    assert check_option(value, ("max-t", None), "correction", subject="f") == value


def test_the_message_names_subject_rule_and_value():
    said = re.escape("f needs correction, one of 'max-t', None, got ''.")
    with pytest.raises(TypeError, match=said):
        check_option("", ("max-t", None), "correction", subject="f")
