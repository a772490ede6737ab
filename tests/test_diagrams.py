"""Diagrams of estimators that hold fitted models fit a cell: each of those is one box."""

import re

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    BootstrapRewardEnsemble,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)

TEXTS = ["a b c", "b c", "a a"]


@pytest.fixture(scope="module")
def deep():
    """Return a policy whose models hold models that hold vectorizers, all fitted."""
    counter = FrozenEstimator(TokenCounter().fit(TEXTS))
    base = UnigramLM(vectorizer=counter).fit(TEXTS)
    tuned = SFTRefiner(FrozenEstimator(base), vectorizer=counter).fit(TEXTS)
    reward = PreferenceRewardModel(vectorizer=counter).fit([("a", "b"), ("b", "a")], [1, 0])
    return PPOPolicyOptimizer(
        FrozenEstimator(FrozenEstimator(tuned)), FrozenEstimator(reward), random_state=0
    ).fit(TEXTS)


def test_frozen_models_are_boxes_in_a_column(deep):
    block = deep._sk_visual_block_()
    assert block.kind == "serial"
    shown = [child._sk_visual_block_() for child in block.estimators]
    assert [(child.kind, child.names) for child in shown] == [
        ("single", "policy: SFTRefiner, frozen"),
        ("single", "reward_model: PreferenceRewardModel, frozen"),
    ]
    html = deep._repr_html_()
    assert 'class="sk-parallel"' not in html
    names = re.findall(r"<div><div>([^<]+)</div>", html)
    assert names == ["PPOPolicyOptimizer", *(child.names for child in shown)]
    assert "prior_strength" in html  # the parameters of what is in a box


def test_estimators_without_frozen_ones_are_drawn_as_ever():
    single = UnigramLM()._sk_visual_block_()
    assert (single.kind, single.names) == ("single", "UnigramLM")
    block = BootstrapRewardEnsemble(PreferenceRewardModel())._sk_visual_block_()
    assert (block.kind, block.names) == ("parallel", ["estimator: PreferenceRewardModel"])
    assert "PreferenceRewardModel" in BootstrapRewardEnsemble(PreferenceRewardModel())._repr_html_()


def test_the_depth_does_not_change_the_width(deep):
    widths = []
    model = UnigramLM(vectorizer=TokenCounter()).fit(TEXTS)
    for _ in range(4):
        model = SFTRefiner(FrozenEstimator(model)).fit(TEXTS)
        widths.append(model._repr_html_().count('<div class="sk-item'))
    assert np.ptp(widths) == 0
