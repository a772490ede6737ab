"""What is told where n-grams of a reward, of names or of a file are not those of the model."""

import pathlib

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    ExactPolicyOptimizer,
    NGramCounter,
    NGramFeatures,
    NGramLM,
    PreferenceRewardModel,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex.exact import arc_reward

TEXTS = ["the cat sat", "the dog sat on the cat", "a dog sat on the mat"] * 3
GOOD, BAD = "sat on the mat", "sat on the cat"
RECORDS = [
    *({"text": text} for text in TEXTS),
    {"prompt": "the cat", "completion": "sat on the mat"},
    {"prompt": "a dog", "completion": "sat"},
    *({"prompt": p, "chosen": GOOD, "rejected": BAD} for p in ("a cat", "the dog")),
]


def counter(order=3):
    return NGramCounter(order=order, eos_token="</s>")


def loop():
    steps = [
        ("pretrain", NGramLM(order=3)),
        ("sft", SFTRefiner(prior_strength=10)),
        ("reward", PreferenceRewardModel()),
        ("policy", ExactPolicyOptimizer(kl_coef=3.0)),
    ]
    return RLHFPipeline(steps, vectorizer=counter())


@pytest.mark.parametrize(
    ("params", "longest", "order"),
    [({"vectorizer__order": 4}, 4, 3), ({"pretrain__order": 2}, 3, 2)],
    ids=str,
)
def test_orders_that_differ_are_named_with_the_remedy(params, longest, order):
    told = (
        rf"but the reward does not: it weighs n-grams of {longest} tokens, as '.*', and the policy "
        rf"is of order {order}\. Give all one order, NGramLM\(order={longest}\) and NGramCounter"
    )
    with pytest.raises(ValueError, match=told):
        loop().set_params(**params).fit(RECORDS)
    both = {"vectorizer__order": longest, "pretrain__order": longest}
    assert loop().set_params(**both).fit(RECORDS)["policy"].optimality_gap_ == 0.0


def test_an_ngram_that_is_none_of_the_policy_is_named_with_the_remedy():
    model = NGramLM(vectorizer=counter()).fit(TEXTS)
    pairs = [("mat dog", "dog"), ("the mat dog", "the mat"), ("sat on", "on sat")]
    own = PreferenceRewardModel(vectorizer=counter()).fit(pairs, [1, 1, 0])
    policy = ExactPolicyOptimizer(FrozenEstimator(model), FrozenEstimator(own), kl_coef=9.0)
    with pytest.raises(
        ValueError, match=r"it adds over n-grams, of which '(.*)' is none of"
    ) as told:
        policy.fit(TEXTS)
    named = str(told.value).split("of which '")[1].split("'")[0]
    assert named in own.vectorizer_.get_feature_names_out()
    assert named not in model.vectorizer_.get_feature_names_out()
    assert "PreferenceRewardModel(vectorizer=FrozenEstimator(policy.vectorizer_))" in str(
        told.value
    )
    # The remedy works.
    same = FrozenEstimator(model.vectorizer_)
    fitted = PreferenceRewardModel(vectorizer=same).fit(pairs, [1, 1, 0])
    policy.set_params(reward_model=FrozenEstimator(fitted)).fit(TEXTS)
    assert policy.optimality_gap_ == 0.0


def test_ngrams_of_its_own_see_nothing_of_prompts_which_is_told():
    model = NGramLM(vectorizer=counter()).fit(TEXTS)
    pairs = [(TEXTS[0], TEXTS[2]), (TEXTS[2], TEXTS[1])]
    own = PreferenceRewardModel(vectorizer=counter(2)).fit(pairs, [1, 0])
    policy = ExactPolicyOptimizer(FrozenEstimator(model), FrozenEstimator(own), kl_coef=9.0)
    with pytest.raises(ValueError, match="documents go on from prompts, of which a model of n-gr"):
        policy.fit(TEXTS, prompts=["the dog"])


def test_the_start_of_a_document_has_a_name_of_its_own():
    texts = ["<s> a b", "a <s> a", "b a"]
    for kind in (NGramCounter, NGramFeatures):
        names = kind(order=2, tokenizer="whitespace").fit(texts).get_feature_names_out().tolist()
        assert len(set(names)) == len(names)
        assert {"<s> a", "(<s>) a", "(<s>) <s>"} <= set(names)
    plain = NGramCounter(order=2).fit(["a b"]).get_feature_names_out()
    assert "<s> a" in plain
    assert not any("(<s>)" in name for name in plain)


def test_arc_reward_says_which_names_are_ngrams():
    model = NGramLM(2, vectorizer=counter(2)).fit(["a b", "b a"])
    n = model.trie_.n_arcs
    names = model.vectorizer_.get_feature_names_out()
    for name in (names[n], names[-1], "z"):
        with pytest.raises(ValueError, match=rf"no n-gram .*names_out\(\)\[:{n}\]; names behind"):
            arc_reward(model, {name: 1.0})
    assert np.any(arc_reward(model, {names[n - 1]: 1.0}))


def test_a_fit_on_the_vocabulary_of_a_file_warns_of_what_it_drops(tmp_path: pathlib.Path):
    path = tmp_path / "m.arpa"
    NGramLM(2, vectorizer=NGramCounter(2, unk_token=None)).fit(["a b", "b a a"]).to_arpa(path)
    read = NGramLM.from_arpa(path)
    with pytest.warns(
        UserWarning, match=r"leaves out 2 of 4 tokens of the text, 50.0%, as 'c': its"
    ):
        read.fit(["a b c d"])
    assert read.fit(["a b"]).vectorizer_.get_feature_names_out()[:2].tolist() == ["a", "b"]
    NGramLM(2, vectorizer=counter(2)).fit(["a b", "b a a"]).to_arpa(path, overwrite=True)
    NGramLM.from_arpa(path).fit(["a b c d"])  # has <unk>


CLOSED = {"unk_token": None, "eos_token": "</s>"}
LEFT_OUT = r"NGramLM leaves out 3 of 5 tokens of the text, 60.0%, as 'zz': its vocabulary has no"


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", ["score", "perplexity", "score_samples", "predict"])
def test_scores_warn_of_tokens_that_a_closed_vocabulary_leaves_out(tmp_path, order, name):
    path = tmp_path / "n.arpa"
    known = ["a b", "b a", "a a b"]
    NGramLM(order, vectorizer=NGramCounter(order, **CLOSED)).fit(known).to_arpa(path)
    ask = getattr(NGramLM.from_arpa(path), name)
    same = ask(["a b"])  # what is known, and special tokens, are not told of
    if (order, name) == (1, "predict"):  # no document makes a difference
        assert np.array_equal(ask(["a zz zz zz b"]), same)
        return
    with pytest.warns(UserWarning, match=LEFT_OUT) as told:
        assert np.array_equal(ask(["a zz zz zz b"]), same)
    assert len(told) == 1
    assert told[0].filename == __file__


def test_closed_vocabularies_warn_of_prompts_and_of_single_tokens():
    model = NGramLM(2, vectorizer=NGramCounter(2, **CLOSED)).fit(["a b", "b a"])
    for ask in (model.score, model.predict):
        with pytest.warns(UserWarning, match="leaves out 1 of 2 tokens of the text, 50.0%, as 'q'"):
            ask(["b"], prompts=["a q"])
    with pytest.warns(UserWarning, match="leaves out 1 of 2 tokens"):
        model.sample(1, random_state=0, prompts=["a q"])
    single = UnigramLM(vectorizer=TokenCounter(unk_token=None)).fit(["a b"])
    for ask in (single.score, single.score_samples, single.perplexity):
        with pytest.warns(UserWarning, match="UnigramLM leaves out 1 of 2 tokens"):
            ask(["a q"])
        ask(["a"])


@pytest.mark.parametrize("size", [1, 2000])  # in Python, and by bytes
def test_a_closed_vocabulary_scores_long_and_short_text_alike(size):
    known = ["a b", "b a", "a a b"]
    model = NGramLM(2, vectorizer=NGramCounter(2, tokenizer="whitespace", **CLOSED)).fit(known)
    with pytest.warns(UserWarning, match=f"leaves out {2 * size} of {4 * size} tokens"):
        scores = model.score_samples(["a zz b q"] * size)
    assert np.array_equal(scores, np.repeat(model.score_samples(["a b"]), size))


def test_numbers_in_a_row_are_told_what_documents_are():
    for ask in (NGramLM(2).fit, UnigramLM().fit, TokenCounter().fit):
        with pytest.raises(ValueError, match=r"expected a 2-D matrix of numbers, got a 1-D l"):
            ask([1, 2])
