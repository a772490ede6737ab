"""What would not fit into memory is refused before it is drawn, or drawn without being written."""

import numpy as np
import pytest
from assertions import assert_frequencies_agree

from sklearn_codex import (
    BestOfNSampler,
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    GRPOPolicyOptimizer,
    KTOPolicyOptimizer,
    NGramCounter,
    PPOPolicyOptimizer,
    RLOOPolicyOptimizer,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex._rollouts import sample_rollouts

COUNTS = np.array([[1e10, 2e10], [3e10, 1e10]])
REFUSAL = r"Drawing .* documents of .* tokens would hold .* than the limit of 134,217,728\. "


@pytest.mark.parametrize(
    "estimator",
    [
        ExactPolicyOptimizer(),
        GRPOPolicyOptimizer(),
        PPOPolicyOptimizer(),
        RLOOPolicyOptimizer(),
        BestOfNSampler(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_optimisers_say_that_documents_are_too_long_to_draw(estimator):
    with pytest.raises(ValueError, match=REFUSAL + "Set a smaller response_length"):
        estimator.fit(COUNTS, [1.0, 2.0])
    with pytest.raises(ValueError, match=REFUSAL):
        estimator.set_params(response_length=10**18).fit([[1.0, 2.0], [2.0, 0.0]], [1.0, 2.0])
    estimator.set_params(response_length=3).fit(COUNTS / 1e10, [1.0, 2.0])


@pytest.mark.parametrize("n_samples", [10**12, 10**30, np.int64(2) ** 60])
def test_models_say_that_samples_are_too_many(n_samples):
    texts = ["a b", "b b a"]
    sampler = BestOfNSampler(reward_model=lambda documents: np.ones(len(documents)))
    ends = UnigramLM(vectorizer=TokenCounter(eos_token="<eos>"))
    for model in (UnigramLM(), ends, sampler):
        with pytest.raises(ValueError, match=REFUSAL):
            model.fit(texts).sample(n_samples)
    with pytest.raises(ValueError, match="n_rollouts"):
        BestOfNSampler(reward_model=sampler.reward_model, n=10**18).fit(texts)


def test_long_documents_of_counts_are_drawn_as_counts():
    model = UnigramLM(smoothing=0.0).fit(COUNTS)
    drawn = model.sample(50, random_state=0)
    assert drawn.shape == (50, 2)
    assert (drawn.sum(axis=1) == model.document_length_).all()
    # A draw of 35 thousand millions is within a few of 1e5 of its mean.
    assert np.abs(drawn.toarray() - 0.5e10 * np.array([4.0, 3.0])).max() < 1e6
    assert not np.array_equal(drawn.toarray()[0], drawn.toarray()[1])
    small = UnigramLM(smoothing=0.0).fit([[4.0, 3.0]]).sample(1000, random_state=0)
    assert_frequencies_agree(small.sum(axis=0), [4 / 7, 3 / 7])


def test_documents_that_hardly_end_are_refused_by_what_they_would_hold():
    log_prob = np.array([-1e5, 0.0])
    with pytest.raises(ValueError, match=REFUSAL + r".*smaller max_length"):
        sample_rollouts(log_prob, 10, np.random.RandomState(0), length=10**30, eos=0)
    rollouts = sample_rollouts(
        np.log([0.5, 0.5]), 10, np.random.RandomState(0), length=10**30, eos=0
    )
    assert rollouts.ended.all()


BY_PREFERENCES = [DPOPolicyOptimizer, KTOPolicyOptimizer]
BY_REWARDS = [ExactPolicyOptimizer, GRPOPolicyOptimizer, PPOPolicyOptimizer, RLOOPolicyOptimizer]
TEXTS = {KTOPolicyOptimizer: ["a b", "b"], DPOPolicyOptimizer: [("a b", "b"), ("b", "a")]}


@pytest.mark.parametrize("make", BY_PREFERENCES + BY_REWARDS)
def test_ngrams_say_that_documents_are_too_long_to_go_through(make):
    texts, counter = TEXTS.get(make, ["a b", "b"]), NGramCounter(2)
    one_by_one = r"=1000000000, and goes through the .* at most 10,000,000 of them\. Decrease "
    with pytest.raises(ValueError, match=f"^{make.__name__} got response_length{one_by_one}resp"):
        make(vectorizer=counter, response_length=10**9).fit(texts, [1, 0])
    if make in BY_REWARDS:
        for ends in (NGramCounter(2, eos_token="<eos>"), TokenCounter(eos_token="<eos>")):
            with pytest.raises(ValueError, match=f"^{make.__name__} got max_length{one_by_one}max"):
                make(vectorizer=ends, max_length=10**9).fit(texts, [1, 0])


@pytest.mark.parametrize("make", [*BY_PREFERENCES, *BY_REWARDS, BestOfNSampler])
def test_lengths_that_no_integer_holds_are_refused(make):
    rule = rf"'response_length' parameter of {make.__name__} must be an int in the range \[1, 92233"
    with pytest.raises(ValueError, match=rule):
        make(response_length=10**400).fit(TEXTS.get(make, ["a b", "b"]), [1, 0])
