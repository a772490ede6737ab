"""Ties, soft labels and weights in the records of a pipeline."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from sklearn_codex import (
    DPOPolicyOptimizer,
    PreferenceRewardModel,
    TokenCounter,
    UnigramLM,
    make_rlhf_pipeline,
)
from sklearn_codex._stage import Stage
from sklearn_codex.labels import expand_soft_labels
from sklearn_codex.model_selection import HeldOutRewardScorer, record_scorers

PAIRS = [("good day", "bad day"), ("bad", "good"), ("good bad", "day"), ("fine", "bad good")]
LABELS = [1, 0.25, 0.5, 0]
WEIGHTS = [1, 2, 0.5, 3]


def make_records(labels=LABELS, weights=None):
    rows = [
        {"prompt": f"p{i}", "response_a": a, "response_b": b, "label": label}
        for i, ((a, b), label) in enumerate(zip(PAIRS, labels, strict=True))
    ]
    if weights is not None:
        rows = [{**row, "sample_weight": w} for row, w in zip(rows, weights, strict=True)]
    return rows


class HardReward(BaseEstimator):
    """A stage that knows two classes only."""

    rlhf_stage = Stage(reads=("preference",), provides="reward")

    def fit(self, X, y, sample_weight=None, name=None):
        assert y.dtype.kind == "i"
        self.name_ = name
        self.model_ = LogisticRegression(fit_intercept=False, tol=1e-10).fit(X, y, sample_weight)
        self.coef_ = self.model_.coef_
        return self


class NoWeights(BaseEstimator):
    rlhf_stage = Stage(reads=("preference",), provides="reward")

    def fit(self, X, y):
        return self


def halves(labels=LABELS, weights=None):
    """Write every pair as two of either class, with their weights apart."""
    rows = expand_soft_labels(
        np.array(PAIRS, dtype=object), np.array(labels, float), sample_weight=weights
    )
    pairs = [
        {"prompt": f"p{i}", "response_a": a, "response_b": b, "label": int(label)}
        for i, (a, b), label in zip(rows.index, rows.X, rows.y, strict=True)
    ]
    return pairs, rows.sample_weight


@pytest.mark.parametrize("make", [PreferenceRewardModel, DPOPolicyOptimizer])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_soft_pair_is_two_weighted_ones(make, weights):
    soft = make_rlhf_pipeline(make()).fit(make_records(weights=weights))
    pairs, weight = halves(weights=weights)
    hard = make_rlhf_pipeline(make()).fit(pairs, sample_weight=weight)
    np.testing.assert_allclose(soft[0].coef_, hard[0].coef_, atol=1e-6)
    assert np.abs(soft[0].coef_).max() > 0.05


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_stage_of_two_classes_gets_weighted_halves(weights):
    soft = make_rlhf_pipeline(HardReward()).fit(make_records(weights=weights))
    exact = make_rlhf_pipeline(PreferenceRewardModel()).fit(make_records(weights=weights))
    np.testing.assert_allclose(soft[0].coef_, exact[0].coef_, atol=1e-5)


def test_other_metadata_is_repeated_with_the_halves():
    loop = make_rlhf_pipeline(HardReward())
    loop.fit(make_records(), hardreward__name=np.array(list("abcd")))
    assert loop[0].name_.tolist() == list("abbccd")


def test_a_stage_without_weights_takes_no_ties():
    with pytest.raises(ValueError, match=r"NoWeights takes no sample_weight, .* ties and soft"):
        make_rlhf_pipeline(NoWeights()).fit(make_records())
    with pytest.raises(ValueError, match=r"NoWeights .* cannot be fitted on records with a sample"):
        make_rlhf_pipeline(NoWeights()).fit(make_records([1, 0, 1, 0], WEIGHTS))
    make_rlhf_pipeline(NoWeights()).fit(make_records([1, 0, 1, 0]))


def test_weights_of_texts_count_texts():
    texts = ["a b", "b", "c a"]
    weighted = [{"text": t, "sample_weight": w} for t, w in zip(texts, (3, 0, 2), strict=True)]
    one = make_rlhf_pipeline(UnigramLM(), vectorizer=TokenCounter("whitespace")).fit(weighted)
    two = make_rlhf_pipeline(UnigramLM(), vectorizer=TokenCounter("whitespace"))
    two.fit([{"text": text} for text in texts], sample_weight=[3, 0, 2])
    np.testing.assert_array_equal(one[0].token_log_prob_, two[0].token_log_prob_)


def test_weights_are_given_once():
    loop = make_rlhf_pipeline(PreferenceRewardModel())
    with pytest.raises(ValueError, match="got weights twice, as sample_weight of fit and in"):
        loop.fit(make_records(weights=WEIGHTS), sample_weight=np.ones(4))


def test_scorers_of_records_know_ties_and_weights():
    loop = make_rlhf_pipeline(PreferenceRewardModel()).fit(make_records())
    for score in record_scorers.values():
        if score is record_scorers["demonstration_log_likelihood"]:
            continue
        pairs, weight = halves(weights=WEIGHTS)
        expanded = [{**p, "sample_weight": w} for p, w in zip(pairs, weight, strict=True)]
        assert score(loop, make_records(weights=WEIGHTS)) == pytest.approx(score(loop, expanded))


def test_the_gold_reward_is_fitted_on_ties_and_weights():
    from sklearn_codex import ExactPolicyOptimizer

    texts = [{"text": "good bad day fine"}]
    loop = make_rlhf_pipeline(UnigramLM(), PreferenceRewardModel(), ExactPolicyOptimizer())
    loop.fit(texts + make_records())
    pairs, weight = halves(weights=WEIGHTS)
    expanded = [{**p, "sample_weight": w} for p, w in zip(pairs, weight, strict=True)]
    scorer = HeldOutRewardScorer()
    found = scorer(loop, make_records(weights=WEIGHTS))
    assert found == pytest.approx(scorer(loop, expanded), rel=1e-5)
    assert abs(found) > 1e-3
    assert found != pytest.approx(scorer(loop, make_records()), rel=1e-3)
