"""``vectorizer="preference"`` means the same features to every model of responses."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone

from sklearn_codex import (
    AnnotatorRewardModel,
    PlackettLuceModel,
    PreferenceRewardModel,
    TiePreferenceModel,
    stack_rankings,
)
from sklearn_codex.features import preference_features

OF_PAIRS = [PreferenceRewardModel(), TiePreferenceModel(), AnnotatorRewardModel()]
PAIRS = [
    ("Name a colour.", "Red is a colour.", "No."),
    ("Name a colour.", "I cannot.", "A colour is blue, for example."),
    ("What is 2 + 2?", "2 + 2 is 4.", "Maybe."),
    ("What is 2 + 2?", "Ask somebody else", "It is 4."),
]
LABELS = np.array([1, 0, 1, 0])


def name_of(model):
    return type(model).__name__


@pytest.mark.parametrize("model", OF_PAIRS, ids=name_of)
def test_the_name_is_the_transformer(model):
    named = clone(model).set_params(vectorizer="preference").fit(PAIRS, LABELS)
    given = clone(model).set_params(vectorizer=preference_features()).fit(PAIRS, LABELS)
    assert_allclose(named.coef_, given.coef_)
    assert np.abs(named.coef_).max() > 0
    rows = [(prompt, response) for prompt, response, _ in PAIRS]
    others = [(prompt, response) for prompt, _, response in PAIRS]
    margin = named.reward(rows) - named.reward(others)
    assert ((margin > 0) == LABELS).all()
    assert named.get_params()["vectorizer"] == "preference"


def test_rankings_read_prompts_too():
    rankings = [
        [(p, one), (p, other)][:: 1 if y else -1]
        for (p, one, other), y in zip(PAIRS, LABELS, strict=True)
    ]
    rows = stack_rankings(rankings)
    named = PlackettLuceModel(vectorizer="preference").fit(rows.X, rows.y, groups=rows.groups)
    given = PlackettLuceModel(vectorizer=preference_features())
    given.fit(rows.X, rows.y, groups=rows.groups)
    assert_allclose(named.coef_, given.coef_)
    assert (named.predict_choice(rows.X, rows.groups)[rows.y == 1] > 0.5).all()


@pytest.mark.parametrize("model", [*OF_PAIRS, PlackettLuceModel()], ids=name_of)
def test_any_other_name_is_an_error(model):
    with pytest.raises(ValueError, match=r"'vectorizer' parameter of .*among \{'preference'\}"):
        clone(model).set_params(vectorizer="words").fit(np.eye(4), LABELS)
