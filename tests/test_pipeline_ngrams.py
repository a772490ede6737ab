"""The loop on models of n-grams: which counter there is, and what prompts do."""

import contract
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sklearn_codex import (
    BestOfNSampler,
    CandidatePolicy,
    ExactPolicyOptimizer,
    NGramCounter,
    NGramLM,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    load_model,
    save_model,
)
from sklearn_codex._stage import Stage
from sklearn_codex.model_selection import HeldOutRewardScorer, RecordKFold, record_scorers
from sklearn_codex.overoptimization import GoldRewardScorer

COMPLETIONS = ["dog sat", "mat is good", "cat sat on the mat", "good dog", "sat there"]
PROMPTS = ["the big", "on the", None, "a very", "the cat"]
PAIRS = [
    {"prompt": "the big", "chosen": "good dog", "rejected": "bad dog sat"},
    {"chosen": "cat sat", "rejected": "dog sat on"},
    {"prompt": "on the", "chosen": "good mat", "rejected": "bad mat"},
]


def make_ngram_records():
    texts = ["the big dog sat on the mat", "a very good dog", "the cat sat there", "on the big mat"]
    records = [{"text": text} for text in texts]
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        before = {} if prompt is None else {"prompt": prompt}
        records.append({**before, "completion": completion})
    return records + PAIRS


RECORDS = make_ngram_records()
ALL_TEXTS = [
    *(record["text"] for record in RECORDS[:4]), *COMPLETIONS,
    *(pair[side] for side in ("chosen", "rejected") for pair in PAIRS),
]  # fmt: skip
BEFORE = [prompt or "" for prompt in PROMPTS]


def make_models(order=3, **params):
    steps = [("pretrain", NGramLM(order)), ("sft", SFTRefiner(prior_strength=2.0))]
    return RLHFPipeline(steps, **params)


def make_loop(**params):
    policy = PPOPolicyOptimizer(kl_coef=2.0, max_iter=3, tol=0, n_rollouts=64, random_state=0)
    steps = [*make_models().steps, ("reward", PreferenceRewardModel()), ("policy", policy)]
    return RLHFPipeline(steps, **params)


class LookingPolicy(BaseEstimator):
    """Keeps what the pipeline gives it."""

    rlhf_stage = Stage(
        reads=("demonstration", "corpus"),
        provides="policy",
        fills={"policy": "policy"},
        starts_after_prompts=True,
    )

    def __init__(self, policy=None, vectorizer=None):
        self.policy = policy
        self.vectorizer = vectorizer

    def fit(self, X, y=None, prompts=None):
        self.X_, self.prompts_ = X, prompts
        return self


class LookingReward(LookingPolicy):
    rlhf_stage = Stage(reads=("preference",), provides="reward")

    def fit(self, X, y=None, prompts="none given"):
        self.X_, self.y_, self.prompts_ = X, y, prompts
        return self


@pytest.fixture(scope="module")
def fitted():
    return make_models().fit(RECORDS)


@pytest.mark.parametrize("order", [1, 3])
def test_a_frozen_first_model_brings_its_vectorizer(order):
    counter = NGramCounter(order, eos_token="</s>")
    pretrained = NGramLM(order, vectorizer=counter).fit(ALL_TEXTS)
    names = pretrained.vectorizer_.get_feature_names_out()
    steps = [("pretrain", FrozenEstimator(pretrained)), ("sft", SFTRefiner(prior_strength=2.0))]
    loop = RLHFPipeline(steps).fit(RECORDS)
    assert_array_equal(loop.vectorizer_.get_feature_names_out(), names)
    given = RLHFPipeline(steps, vectorizer=FrozenEstimator(pretrained.vectorizer_)).fit(RECORDS)
    assert loop.score(RECORDS) == given.score(RECORDS)
    assert loop.vectorizer is None
    after = RLHFPipeline([("left out", "passthrough"), *steps]).fit(RECORDS)
    assert_array_equal(after.vectorizer_.get_feature_names_out(), names)


def test_a_frozen_first_unigram_model_brings_its_vectorizer():
    pretrained = UnigramLM(vectorizer=TokenCounter(eos_token="</s>")).fit(ALL_TEXTS)
    steps = [("pretrain", FrozenEstimator(pretrained)), ("sft", SFTRefiner())]
    loop = RLHFPipeline(steps).fit(RECORDS)
    assert loop.vectorizer_.get_feature_names_out().tolist() == (
        pretrained.vectorizer_.get_feature_names_out().tolist()
    )
    # A frozen model of another kind says nothing of what the first that learns counts.
    reward = PreferenceRewardModel(vectorizer=NGramCounter(2)).fit([("a", "b"), ("b", "a")], [1, 0])
    steps = [("reward", FrozenEstimator(reward)), *make_models(3).steps]
    assert RLHFPipeline(steps).fit(RECORDS).vectorizer_.order_ == 3


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
def test_contract(promise):
    promise(make_loop, make_ngram_records())


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_first_stage_says_what_counts(order):
    loop = make_models(order).fit(RECORDS)
    given = make_models(order, vectorizer=NGramCounter(order)).fit(RECORDS)
    assert type(loop.vectorizer_) is NGramCounter
    assert loop.vectorizer_.order_ == loop["pretrain"].order_ == order
    assert_array_equal(
        loop.vectorizer_.get_feature_names_out(), given.vectorizer_.get_feature_names_out()
    )
    assert loop.score(RECORDS) == given.score(RECORDS)
    assert loop.vectorizer is None


def test_other_first_stages_count_single_tokens():
    loop = RLHFPipeline([("pretrain", UnigramLM()), ("sft", SFTRefiner())]).fit(RECORDS)
    assert type(loop.vectorizer_) is TokenCounter
    left_out = make_models().set_params(pretrain="passthrough").fit(RECORDS)
    assert type(left_out.vectorizer_) is TokenCounter
    later = RLHFPipeline([("reward", LookingReward()), *make_models(2).steps]).fit(RECORDS)
    assert later.vectorizer_.order_ == 2


def test_loop_equals_stages_by_hand(fitted):
    counter = NGramCounter(3).fit(ALL_TEXTS)
    base = NGramLM(vectorizer=FrozenEstimator(counter)).fit(ALL_TEXTS[:4])
    refined = SFTRefiner(FrozenEstimator(base), prior_strength=2.0)
    refined.fit(COMPLETIONS, prompts=BEFORE)
    assert_array_equal(fitted["pretrain"].arc_log_prob_, base.arc_log_prob_)
    for name in ("event_count_", "arc_log_prob_", "backoff_log_weight_"):
        assert_array_equal(getattr(fitted["sft"], name), getattr(refined, name))
    # A prompt makes a difference.
    assert (fitted["sft"].arc_log_prob_ != refined.fit(COMPLETIONS).arc_log_prob_).any()


def test_demonstrations_are_judged_after_their_prompts(fitted):
    counts = fitted.vectorizer_.transform_after(BEFORE, COMPLETIONS)
    assert_allclose(fitted.score(RECORDS), fitted["sft"].score(counts), rtol=1e-12)
    base = fitted.objective(RECORDS, stage="pretrain")
    assert_allclose(-base.total, fitted["pretrain"].score(counts), rtol=1e-12)
    shown = RECORDS[4:9]
    likelihood = fitted["sft"].score_samples(counts)
    assert_array_equal(fitted.score_samples(shown), likelihood)
    assert_allclose(fitted.perplexity(shown), fitted["sft"].perplexity(counts), rtol=1e-12)
    # By hand: log p("dog" | "the big") + log p("sat" | "big dog"), and no more.
    columns = fitted.vectorizer_.vocabulary_
    big, dog = (fitted["sft"].predict_log_proba([text])[0] for text in ("the big", "the big dog"))
    assert_allclose(likelihood[0], big[columns["dog"]] + dog[columns["sat"]], rtol=1e-12)
    # Text alone starts a document.
    assert likelihood[0] != fitted.score_samples(COMPLETIONS)[0]
    assert_array_equal(likelihood[2], fitted.score_samples(COMPLETIONS)[2])


def test_what_comes_next_comes_after_a_prompt(fitted):
    one = [{"prompt": "on the", "completion": "big"}]
    assert fitted.predict(one).tolist() == fitted.predict(["on the big"]).tolist()


def test_pairs_are_differences_of_responses_after_their_prompt():
    loop = RLHFPipeline([*make_models().steps, ("look", LookingReward())]).fit(RECORDS)
    before = [pair.get("prompt", "") for pair in PAIRS]
    chosen, rejected = (
        loop.vectorizer_.transform_after(before, [pair[side] for pair in PAIRS]).toarray()
        for side in ("chosen", "rejected")
    )
    sign = np.array([[1], [-1], [1]])
    assert_array_equal(loop["look"].X_.toarray(), sign * (chosen - rejected))
    assert loop["look"].prompts_ == "none given"


def test_policies_start_after_the_prompts_of_what_they_read():
    loop = RLHFPipeline([*make_models().steps, ("look", LookingPolicy())]).fit(RECORDS)
    assert loop["look"].prompts_ == BEFORE
    counts = loop.vectorizer_.transform_after(BEFORE, COMPLETIONS).toarray()
    assert_array_equal(loop["look"].X_.toarray(), counts)
    given = clone(loop).fit(RECORDS, look__prompts=["a"])
    assert given["look"].prompts_ == ["a"]
    # Sliced to what the stage reads, as any parameter.
    given = clone(loop).fit(RECORDS, look__prompts=[str(row) for row in range(len(RECORDS))])
    assert given["look"].prompts_ == [str(row) for row in range(4, 9)]
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(loop)
        routed["look"].set_fit_request(prompts=True)
        routed["sft"].set_fit_request(prompts=False)
        assert routed.fit(RECORDS, prompts=["a"])["look"].prompts_ == ["a"]


@pytest.mark.parametrize(
    ("steps", "records"),
    [
        ([("pretrain", UnigramLM())], RECORDS),  # no order of tokens
        ([("pretrain", NGramLM(1))], RECORDS),
        ([("pretrain", NGramLM())], [r for r in RECORDS if "completion" not in r]),
    ],
)
def test_policies_are_given_no_prompts_that_make_no_difference(steps, records):
    loop = RLHFPipeline([*steps, ("look", LookingPolicy())]).fit(records)
    assert loop["look"].prompts_ is None


def test_documents_go_on_from_prompts(fitted):
    prompts = ["on the", "very good"]
    drawn = fitted.sample(3, 0, prompts=prompts)
    assert drawn == fitted["sft"].sample(3, 0, prompts=prompts)
    assert len(drawn) == 6
    assert fitted.sample(3, 0) == fitted["sft"].sample(3, 0)
    loop = RLHFPipeline([("pretrain", UnigramLM())]).fit(RECORDS)
    with pytest.raises(ValueError, match=r"single tokens \(UnigramLM\).*pretrain an NGramLM"):
        loop.sample(prompts=prompts)


def test_stages_of_single_tokens_refuse_ngrams():
    loop = RLHFPipeline([("pretrain", UnigramLM())], vectorizer=NGramCounter(2))
    with pytest.raises(ValueError, match=r"UnigramLM is a model of single tokens.*NGramLM"):
        loop.fit(RECORDS)
    with pytest.raises(ValueError, match=r"UnigramLM is a model of single tokens.*NGramLM"):
        RLHFPipeline([("a", UnigramLM()), ("b", NGramLM(2))]).fit(RECORDS)
    with pytest.warns(UserWarning, match="is a model of order 1, as its vectorizer"):
        make_models(vectorizer=TokenCounter()).fit(RECORDS)


def test_a_document_without_a_token_is_told(fitted):
    with pytest.raises(ValueError, match=r"1 demonstration.* without a token, such as ''"):
        make_models().fit([*RECORDS, {"prompt": "the", "completion": ""}])
    with pytest.raises(ValueError, match=r"1 text.* without a token"):
        fitted.score_samples(["a", " "])


def test_weights_are_repetitions_after_prompts_too():
    weighted = [{**r, "sample_weight": 2.0} if i == 4 else r for i, r in enumerate(RECORDS)]
    vectorizer = FrozenEstimator(NGramCounter(3).fit(ALL_TEXTS))
    loop = make_models(vectorizer=vectorizer)
    twice = clone(loop).fit([*RECORDS, RECORDS[4]])
    assert_allclose(clone(loop).fit(weighted)["sft"].arc_log_prob_, twice["sft"].arc_log_prob_)


def test_slices_are_loops(fitted):
    base = fitted[:1]
    assert base.sample(2, 0, prompts=["on the"]) == fitted["pretrain"].sample(
        2, 0, prompts=["on the"]
    )
    counts = fitted.vectorizer_.transform_after(BEFORE, COMPLETIONS)
    assert_allclose(base.score(RECORDS), fitted["pretrain"].score(counts), rtol=1e-12)
    contract.assert_same_bits(clone(base).fit(RECORDS), base)


def test_a_cache_knows_prompts(tmp_path):
    cached = make_models(memory=str(tmp_path)).fit(RECORDS)
    contract.assert_same_bits(cached, make_models().fit(RECORDS))
    assert cached.score(RECORDS) == make_models().fit(RECORDS).score(RECORDS)
    others = [{**r, "prompt": "sat on"} if "completion" in r else r for r in RECORDS]
    assert cached.score(others) == make_models().fit(RECORDS).score(others)
    again, afresh = clone(cached).fit(others), make_models().fit(others)
    assert_array_equal(again["sft"].arc_log_prob_, afresh["sft"].arc_log_prob_)
    assert (again["sft"].arc_log_prob_ != cached["sft"].arc_log_prob_).any()
    assert again.score(others) == afresh.score(others)


def test_a_cache_of_single_tokens_has_prompts_that_differ_at_once(tmp_path):
    loop = RLHFPipeline([("pretrain", UnigramLM())], memory=str(tmp_path)).fit(RECORDS)
    others = [{**r, "prompt": "sat on"} if "completion" in r else r for r in RECORDS]
    assert clone(loop).fit(others)._vectorizer_key == loop._vectorizer_key


@pytest.mark.parametrize(
    ("grid", "params"),
    [
        ({"pretrain__order": [1, 2, 3]}, {}),
        ({"vectorizer__order": [1, 2, 3]}, {"vectorizer": NGramCounter()}),
        (
            {"vectorizer__order": [2, 3], "pretrain__order": [1, 2]},
            {"vectorizer": NGramCounter(eos_token="</s>")},
        ),
    ],
)
def test_searches_over_the_order(grid, params, tmp_path):
    for memory in (None, str(tmp_path)):
        loop = make_models(memory=memory, **params)
        search = GridSearchCV(loop, grid, cv=RecordKFold(2), error_score="raise").fit(RECORDS)
        scores = search.cv_results_["mean_test_score"]
        for params_, score in zip(search.cv_results_["params"], scores, strict=True):
            by_hand = [
                clone(loop).set_params(**params_, memory=None)
                .fit([RECORDS[row] for row in train]).score([RECORDS[row] for row in test])
                for train, test in RecordKFold(2).split(RECORDS)
            ]  # fmt: skip
            assert_allclose(score, np.mean(by_hand), rtol=1e-12)
        orders = {params_.get("pretrain__order", 3) for params_ in search.cv_results_["params"]}
        assert len(set(scores)) >= len(orders)


@pytest.fixture(scope="module")
def whole():
    """The whole loop, whose documents end by themselves."""
    return make_loop(vectorizer=NGramCounter(3, eos_token="</s>")).fit(RECORDS)


def test_the_loop_at_order_n_with_nothing_else_changed():
    steps = [
        ("pretrain", NGramLM()),
        ("sft", SFTRefiner()),
        ("reward", PreferenceRewardModel()),
        ("policy", PPOPolicyOptimizer(random_state=0)),
    ]
    loop = RLHFPipeline(steps).fit(RECORDS)
    assert [loop[name].trie_.order for name in ("pretrain", "sft", "policy")] == [3, 3, 3]
    good, bad = loop.reward(["good", "bad"])
    assert good > bad
    before, after = loop.objective(RECORDS, stage="sft"), loop.objective(RECORDS)
    assert after.rlhf_loss < before.rlhf_loss
    assert after.total < before.total
    assert len(loop.sample(2, 0, prompts=["on the", "the"])) == 4


def test_policy_equals_the_stage_by_hand(whole):
    pairs = [(pair["chosen"], pair["rejected"]) for pair in PAIRS]
    before = [pair.get("prompt", "") for pair in PAIRS]
    counts = [
        whole.vectorizer_.transform_after(before, [pair[side] for pair in pairs]) for side in (0, 1)
    ]
    sign = np.array([[1.0], [-1.0], [1.0]])
    reward = PreferenceRewardModel(vectorizer=FrozenEstimator(whole.vectorizer_))
    reward.fit((counts[0] - counts[1]).multiply(sign).tocsr(), [1, 0, 1])
    assert_allclose(whole["reward"].coef_, reward.coef_, rtol=1e-6, atol=1e-9)
    policy = clone(make_loop()["policy"]).set_params(
        policy=FrozenEstimator(whole["sft"]), reward_model=FrozenEstimator(whole["reward"])
    )
    policy.fit(COMPLETIONS, prompts=BEFORE)
    assert_allclose(whole["policy"].arc_log_prob_, policy.arc_log_prob_, rtol=1e-6)
    # Where documents start makes a difference.
    other = clone(policy).fit(COMPLETIONS)
    assert not np.allclose(other.expected_length_, policy.expected_length_, rtol=1e-6)


def test_rewards_are_of_responses_after_their_prompts(whole):
    record = {"prompt": "the big", "completion": "dog sat"}
    counts = whole.vectorizer_.transform_after(["the big"], ["dog sat"])
    assert_allclose(whole.reward([record]), whole["reward"].reward(counts), rtol=1e-12)


@pytest.mark.parametrize("stage", ["pretrain", "sft", "policy"])
def test_objective_is_what_the_policy_stage_maximised(whole, stage):
    policy, parts = whole["policy"], whole.objective(RECORDS, stage=stage)
    expected = policy.evaluate(None if stage == "policy" else whole[stage])
    assert_allclose(-parts.total, expected.objective, rtol=1e-9)
    assert_allclose(parts.omega, expected.kl + expected.penalty, rtol=1e-9, atol=1e-12)
    counts = whole.vectorizer_.transform_after(BEFORE, COMPLETIONS)
    assert_allclose(np.exp(parts.sft_loss), whole[stage].perplexity(counts), rtol=1e-12)


def test_a_model_file_holds_the_loop(whole, tmp_path):
    save_model(whole, tmp_path / "loop.skops")
    loaded = load_model(tmp_path / "loop.skops")
    contract.assert_same_bits(loaded, whole)
    assert loaded.score(RECORDS) == whole.score(RECORDS)
    assert loaded.sample(2, 0, prompts=["the"]) == whole.sample(2, 0, prompts=["the"])


def test_a_cache_of_the_whole_loop(tmp_path):
    cached = [make_loop(memory=str(tmp_path)).fit(RECORDS) for _ in range(2)]
    for loop in cached:
        contract.assert_same_bits(loop, make_loop().fit(RECORDS))
        assert loop.score(RECORDS) == make_loop().fit(RECORDS).score(RECORDS)
    assert cached[1]["policy"].policy.estimator is cached[1]["sft"]


@pytest.mark.parametrize("policy", [ExactPolicyOptimizer(kl_coef=3.0), BestOfNSampler(n=4)])
def test_other_policies_take_the_place_of_ppo(policy):
    loop = make_loop(vectorizer=NGramCounter(3, eos_token="</s>"))
    loop.set_params(policy=policy.set_params(random_state=0)).fit(RECORDS)
    assert loop["policy"].trie_.order == 3
    assert np.isfinite(loop.score(RECORDS))
    by_hand = clone(policy).set_params(
        policy=FrozenEstimator(loop["sft"]), reward_model=FrozenEstimator(loop["reward"])
    )
    by_hand.fit(COMPLETIONS, prompts=BEFORE)
    assert_allclose(loop["policy"].arc_log_prob_, by_hand.arc_log_prob_, rtol=1e-9)


def test_orders_differ_between_counter_and_models():
    loop = make_loop(vectorizer=NGramCounter(3, eos_token="</s>"))
    loop.set_params(pretrain__order=2).fit(RECORDS)
    assert [loop[name].trie_.order for name in ("pretrain", "sft", "policy")] == [2, 2, 2]
    assert loop["reward"].n_features_in_ == loop.vectorizer_.trie_.n_arcs
    parts = loop.objective(RECORDS, stage="sft")
    assert_allclose(-parts.total, loop["policy"].evaluate(loop["sft"]).objective, rtol=1e-9)


def test_scorers_of_records_are_of_what_follows_prompts(whole):
    counts = whole.vectorizer_.transform_after(BEFORE, COMPLETIONS)
    found = record_scorers["demonstration_log_likelihood"](whole, RECORDS)
    assert_allclose(found, -np.log(whole["policy"].perplexity(counts)), rtol=1e-12)
    before = [pair.get("prompt", "") for pair in PAIRS]
    chosen, rejected = (
        whole["reward"].reward(
            whole.vectorizer_.transform_after(before, [pair[side] for pair in PAIRS])
        )
        for side in ("chosen", "rejected")
    )
    loss = np.logaddexp(0.0, rejected - chosen).mean()
    assert_allclose(record_scorers["neg_preference_log_loss"](whole, RECORDS), -loss, rtol=1e-9)


def test_the_gold_reward_learns_from_responses_after_their_prompts(whole):
    before = [pair.get("prompt", "") for pair in PAIRS]
    counts = [
        whole.vectorizer_.transform_after(before, [pair[side] for pair in PAIRS])
        for side in ("chosen", "rejected")
    ]
    gold = PreferenceRewardModel(vectorizer=FrozenEstimator(whole.vectorizer_))
    sign = np.array([[1.0], [-1.0], [1.0]])
    gold.fit((counts[0] - counts[1]).multiply(sign).tocsr(), [1, 0, 1])
    scorer = HeldOutRewardScorer(kl_coef=0.5)
    found = scorer(whole, RECORDS)
    assert found == pytest.approx(GoldRewardScorer(gold, kl_coef=0.5)(whole["policy"]), rel=1e-6)
    without = [{k: v for k, v in record.items() if k != "prompt"} for record in PAIRS]
    assert scorer(whole, without) != pytest.approx(found, rel=1e-3)


def test_candidates_are_rewarded_after_their_prompts():
    own = {"prompt": "on the", "responses": ["cat sat", "bad mat", "good mat"]}
    alone = {"responses": ["cat sat", "bad mat"]}
    steps = [*make_models().steps, ("reward", PreferenceRewardModel()), ("c", CandidatePolicy())]
    loop = RLHFPipeline(steps).fit([*RECORDS, own, alone])
    texts = [*own["responses"], *alone["responses"]]
    counts = loop.vectorizer_.transform_after(["on the"] * 3 + [""] * 2, texts)
    reward = loop["reward"].reward(counts)
    assert reward[0] != reward[3]
    expected = np.exp(reward[:3]) / np.exp(reward[:3]).sum()
    rows = np.array([("on the", text) for text in own["responses"]], dtype=object)
    assert_allclose(loop["c"].predict_proba(rows)[:, 1], expected, rtol=1e-6)
