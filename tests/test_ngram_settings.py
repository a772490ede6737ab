"""Settings of models of n-grams that say less or more than they seem to, and who is told so."""

import warnings

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    CandidatePolicy,
    GRPOPolicyOptimizer,
    NGramCounter,
    NGramLM,
    PPOPolicyOptimizer,
    SFTRefiner,
    UnigramLM,
)

TEXTS = ["the cat sat", "the dog sat on the cat", "a dog sat on the mat"]


@pytest.mark.parametrize(("order", "counted"), [(5, 3), (4, 1)])
def test_counter_of_lower_order_is_told(order, counted):
    model = NGramLM(order, vectorizer=NGramCounter(counted, eos_token="</s>"))
    message = (
        rf"order={order}\) is a model of order {counted}, .* set vectorizer__order along with it"
    )
    with pytest.warns(UserWarning, match=message):
        model.fit(TEXTS)
    assert model.order_ == counted


@pytest.mark.parametrize(
    ("model", "texts"),
    [
        (NGramLM(5), ["a b"]),  # no longer n-grams are there
        (NGramLM(2, vectorizer=NGramCounter(3)), TEXTS),
        (NGramLM(vectorizer=NGramCounter(2)), TEXTS),  # as a search over orders does
        (NGramLM(3, vectorizer=NGramCounter(3, min_ngram_count=3)), TEXTS),
        (NGramLM(3), [[1, 2]]),
        (NGramLM(1, vectorizer=CountVectorizer()), TEXTS),
    ],
)
def test_counter_of_the_order_is_not(model, texts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(texts)


def test_counts_without_order_are_not_called_single_tokens():
    model = NGramLM(vectorizer=CountVectorizer(ngram_range=(1, 2)))
    with pytest.warns(UserWarning, match="CountVectorizer, does not tell in which order"):
        model.fit(TEXTS)


class TestPromptsOfASFTRefiner:
    policy = FrozenEstimator(NGramLM(2).fit(TEXTS))
    told = "SFTRefiner was fitted with prompts, but its score got 2 completions without"

    @pytest.mark.parametrize("score", ["score", "perplexity"])
    def test_forgotten_prompts_are_told(self, score):
        model = SFTRefiner(self.policy).fit(["mat", "cat"], prompts=["on the", "a dog sat on the"])
        with pytest.warns(UserWarning, match=self.told):
            getattr(model, score)(["mat", "cat"])

    def test_fit_of_batches(self):
        model = (
            SFTRefiner(self.policy).partial_fit(["mat"], prompts=["on the"]).partial_fit(["cat"])
        )
        with pytest.warns(UserWarning, match=self.told):
            model.score(["mat", "cat"])

    def test_others_are_not(self):
        prompts = ["on the", "a dog sat on the"]
        model = SFTRefiner(self.policy).fit(["mat", "cat"], prompts=prompts)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.score(["mat", "cat"], prompts=prompts)
            model.score(model.vectorizer_.estimator.transform_after(prompts, ["mat", "cat"]))
            model.fit(["mat", "cat"]).score(["mat", "cat"])
            words = SFTRefiner(FrozenEstimator(UnigramLM().fit(TEXTS)))
            words.fit(["mat", "cat"], prompts=prompts).score(["mat", "cat"])


@pytest.mark.parametrize("optimizer", [PPOPolicyOptimizer, GRPOPolicyOptimizer])
def test_objective_may_be_stated_twice_in_one_way(optimizer):
    X, groups = np.array([[0.0], [1.0], [2.0], [0.0]]), [0, 0, 1, 1]
    policy = CandidatePolicy(lambda X: X[:, 0], kl_coef=0.7).fit(X, groups=groups)
    problem = policy.objective(X, groups=groups)
    plain = optimizer(random_state=0).fit_objective(problem)
    same = optimizer(kl_coef=0.7, random_state=0).fit_objective(problem)
    np.testing.assert_array_equal(same.token_log_prob_, plain.token_log_prob_)
    with pytest.raises(ValueError, match=r"kl_coef=0.6, .* or state the same there"):
        optimizer(kl_coef=0.6).fit_objective(problem)


@pytest.mark.parametrize("model", [NGramLM(3), NGramLM(1), UnigramLM(), SFTRefiner()])
def test_after_nothing_and_after_blanks_comes_the_same(model):
    model.fit(TEXTS)
    assert len(set(model.predict(["", " ", "\n\t"]).tolist())) == 1
    rows = model.predict_log_proba(["", " ", "\n\t"])
    np.testing.assert_array_equal(rows[1:], rows[:2])
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1)
    with pytest.raises(ValueError, match="without a token, the first at position 1"):
        model.score_samples(["a", " "])


@pytest.mark.parametrize("value", [True, False, np.True_])
@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (NGramLM, "smoothing"),
        (NGramLM, "prior_strength"),
        (UnigramLM, "smoothing"),
        (SFTRefiner, "prior_strength"),
    ],
)
def test_amounts_are_no_switches(estimator, name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of {estimator.__name__} must be"):
        estimator(**{name: value}).fit(TEXTS)


def test_file_without_ends_does_not_say_how_long_documents_are(tmp_path):
    path = tmp_path / "model.arpa"
    model = NGramLM(2).fit(TEXTS)
    model.to_arpa(path)
    read = NGramLM.from_arpa(path)
    with pytest.warns(UserWarning, match="without </s>, .* Set document_length_"):
        drawn = read.sample(5, random_state=0)
    assert {len(text.split()) for text in drawn} == {1}
    read.document_length_ = model.document_length_
    assert read.sample(5, random_state=0) == model.sample(5, random_state=0)
    ending = NGramLM(2, vectorizer=NGramCounter(2, eos_token="</s>")).fit(TEXTS)
    ending.to_arpa(path, overwrite=True)
    NGramLM.from_arpa(path).sample(5, random_state=0)
