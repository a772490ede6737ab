import copy
import re

import contract
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from loops import RECORDS, make_loop, make_records
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from sklearn_codex._categorical import kl_divergence
from sklearn_codex._language.sft import SFTRefiner
from sklearn_codex._language.unigram_lm import UnigramLM
from sklearn_codex._pipeline.pipeline import RLHFPipeline, make_rlhf_pipeline
from sklearn_codex._policy.ppo_optimizer import PPOPolicyOptimizer
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex._stage import Stage
from sklearn_codex.kl_control import AdaptiveKLController
from sklearn_codex.text import TokenCounter


class LookingStage(BaseEstimator):
    """Keeps what the pipeline gives it."""

    rlhf_stage = Stage(reads=("preference", "corpus"), provides="policy", fills={"base": "policy"})

    def __init__(self, base=None, vectorizer=None):
        self.base = base
        self.vectorizer = vectorizer

    def fit(self, X, y=None, extra=None):
        self.X_, self.y_, self.extra_ = X, y, extra
        return self


@pytest.fixture(scope="module")
def fitted():
    return make_loop().fit(RECORDS)


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
def test_contract(promise):
    promise(make_loop, make_records())


@pytest.mark.parametrize("promise", contract.PROMISES, ids=lambda promise: promise.__name__)
def test_contract_with_memory(promise, tmp_path):
    promise(lambda: make_loop(memory=joblib.Memory(tmp_path, verbose=0)), make_records())


def test_loop_equals_stages_by_hand(fitted):
    corpus, demonstrations, pairs = (RECORDS[kind::3] for kind in range(3))
    chosen, rejected = ([pair[side] for pair in pairs] for side in ("chosen", "rejected"))
    counter = TokenCounter().fit(
        [r["text"] for r in corpus] + [r["completion"] for r in demonstrations] + chosen + rejected
    )
    words = FrozenEstimator(counter)
    completions = [record["completion"] for record in demonstrations]
    m0 = UnigramLM(vectorizer=words).fit([record["text"] for record in corpus])
    m1 = SFTRefiner(FrozenEstimator(m0), prior_strength=20.0).fit(completions)
    reward = PreferenceRewardModel(vectorizer=words)
    reward.fit(
        [(a, b) if i % 2 == 0 else (b, a) for i, (a, b) in enumerate(zip(chosen, rejected))],  # noqa: B905
        [1, 0] * (len(pairs) // 2),
    )
    m2 = PPOPolicyOptimizer(
        FrozenEstimator(m1), FrozenEstimator(reward), kl_coef=2.0, random_state=0
    ).fit(completions)
    assert_array_equal(fitted.vectorizer_.get_feature_names_out(), counter.get_feature_names_out())
    assert_array_equal(fitted["pretrain"].token_log_prob_, m0.token_log_prob_)
    assert_array_equal(fitted["sft"].token_log_prob_, m1.token_log_prob_)
    assert_allclose(fitted["reward"].coef_, reward.coef_, rtol=1e-6, atol=1e-9)
    assert_allclose(fitted["policy"].token_log_prob_, m2.token_log_prob_, rtol=1e-4)
    assert_allclose(fitted["policy"].reference_log_prob_, m1.token_log_prob_, rtol=1e-12)


def test_loop_learns_what_is_preferred(fitted):
    good, bad = fitted.reward(["good", "bad"])
    assert good > bad
    names = fitted.vectorizer_.get_feature_names_out().tolist()
    before, after = fitted["sft"].token_log_prob_, fitted["policy"].token_log_prob_
    assert after[names.index("good")] > before[names.index("good")]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_equal_dicts(fitted, frame):
    X = frame([{**dict.fromkeys(("text", "prompt", "completion", "chosen", "rejected")), **record}
               for record in RECORDS])  # fmt: skip
    from_frame = make_loop().fit(X)
    contract.assert_same_bits(from_frame, fitted)
    assert from_frame.score(X) == fitted.score(RECORDS)
    assert_array_equal(from_frame.score_samples(X), fitted.score_samples(RECORDS))


def test_stages_see_counts_and_differences():
    loop = RLHFPipeline([("look", LookingStage())]).fit(RECORDS)
    stage = loop["look"]
    pairs = RECORDS[2::3]
    chosen, rejected = (
        loop.vectorizer_.transform([pair[side] for pair in pairs]).toarray()
        for side in ("chosen", "rejected")
    )
    sign = np.resize([1, -1], len(pairs))[:, None]
    assert stage.X_.format == "csr"
    assert_array_equal(stage.X_.toarray(), sign * (chosen - rejected))
    assert_array_equal(stage.y_, sign.ravel() > 0)
    assert stage.base is None
    assert stage.vectorizer.estimator is loop.vectorizer_


def test_stage_reads_first_kind_that_there_is():
    corpus = RECORDS[::3]
    stage = RLHFPipeline([("look", LookingStage())]).fit(corpus)["look"]
    assert stage.y_ is None
    assert stage.X_.shape[0] == len(corpus)


def test_models_come_down_frozen_unless_given(fitted):
    base = fitted["sft"].policy
    assert isinstance(base, FrozenEstimator)
    assert base.estimator is fitted["pretrain"]
    assert fitted["policy"].policy.estimator is fitted["sft"]
    assert fitted["policy"].reward_model.estimator is fitted["reward"]
    own = FrozenEstimator(fitted["sft"])
    loop = make_loop(vectorizer=FrozenEstimator(fitted.vectorizer_)).set_params(sft__policy=own)
    assert loop.fit(RECORDS)["sft"].policy is own


def test_stages_repeat():
    loop = make_rlhf_pipeline(
        UnigramLM(),
        PreferenceRewardModel(),
        PPOPolicyOptimizer(kl_coef=2.0, random_state=0),
        PreferenceRewardModel(C=0.1),
        PPOPolicyOptimizer(kl_coef=2.0, random_state=0),
    ).fit(RECORDS)
    names = [name for name, _ in loop.steps]
    assert names[1:] == [
        "preferencerewardmodel-1",
        "ppopolicyoptimizer-1",
        "preferencerewardmodel-2",
        "ppopolicyoptimizer-2",
    ]
    first, last = loop[names[2]], loop[names[4]]
    assert_allclose(last.reference_log_prob_, first.token_log_prob_, rtol=1e-12)
    assert last.reward_model.estimator is loop[names[3]]
    assert_array_equal(loop.reward(["good"]), loop[names[3]].reward(["good"]))


@pytest.mark.parametrize("absent", ["passthrough", None])
def test_passthrough_leaves_a_stage_out(absent):
    loop = make_loop().set_params(sft=absent).fit(RECORDS)
    assert loop["sft"] == "passthrough"
    assert loop["policy"].policy.estimator is loop["pretrain"]
    assert "sft: passthrough" in loop._sk_visual_block_().names
    without = RLHFPipeline([step for step in make_loop().steps if step[0] != "sft"]).fit(RECORDS)
    assert loop.score(RECORDS) == without.score(RECORDS)


def test_indexing_and_slicing(fitted):
    loop = make_loop()
    assert len(loop) == 4
    assert loop[0] is loop["pretrain"] is loop.named_steps.pretrain
    assert fitted[-1] is fitted["policy"] is fitted.named_steps_.policy
    assert fitted.named_steps.policy is fitted.steps[-1][1]
    assert not contract.is_fitted(loop[:2])
    until_sft = fitted[:2]
    assert contract.is_fitted(until_sft)
    assert until_sft.perplexity(["the cat"]) == fitted["sft"].perplexity(["the cat"])
    assert not hasattr(until_sft, "reward")
    assert not hasattr(fitted[2:3], "predict")
    contract.assert_same_bits(clone(until_sft).fit(RECORDS), until_sft)
    with pytest.raises(ValueError, match="has a step of 1, got -1"):
        fitted[::-1]
    with pytest.raises(KeyError, match="other"):
        fitted["other"]


def test_objective_is_its_formula(fitted):
    policy = fitted["policy"]
    completions = [record["completion"] for record in RECORDS[1::3]]
    parts = fitted.objective(RECORDS)
    assert_allclose(parts.sft_loss, np.log(policy.perplexity(completions)), rtol=1e-12)
    assert_allclose(parts.rlhf_loss, -policy.expected_reward_, rtol=1e-9)
    assert_allclose(parts.omega, policy.kl_ + policy.penalty_, rtol=1e-9)
    assert (parts.alpha, parts.beta, parts.gamma) == (0.0, 1.0, 2.0)
    total = parts.alpha * parts.sft_loss + parts.beta * parts.rlhf_loss + parts.gamma * parts.omega
    assert_allclose(parts.total, total, rtol=1e-12)
    assert fitted.score(RECORDS) == -parts.total


def test_objective_of_earlier_policies(fitted):
    m0, m1, m2 = (fitted.objective(RECORDS, stage=name) for name in ("pretrain", "sft", "policy"))
    assert m2 == fitted.objective(RECORDS)
    assert m1.omega == 0.0
    policy = fitted["policy"]
    kl = kl_divergence(fitted["pretrain"].token_log_prob_, policy.reference_log_prob_)
    assert_allclose(m0.omega, policy.response_length_ * kl, rtol=1e-9)
    assert m1.sft_loss < m0.sft_loss
    assert m2.rlhf_loss < m1.rlhf_loss
    assert m2.total < m1.total
    with pytest.raises(ValueError, match=r"no policy of a stage 'reward'.*'pretrain', 'sft'"):
        fitted.objective(RECORDS, stage="reward")


def test_objective_weighs_sft():
    loop = make_loop().set_params(policy__sft_coef=3.0).fit(RECORDS)
    parts = loop.objective(RECORDS)
    assert parts.alpha == 3.0
    assert_allclose(-parts.total, loop["policy"].objective_, rtol=1e-9)


def test_objective_weighs_a_normalised_reward_as_the_policy_did():
    loop = make_loop().set_params(policy__normalize_reward=True).fit(RECORDS)
    parts, policy = loop.objective(RECORDS), loop["policy"]
    assert policy.reward_scale_ != 1.0
    # The objective of the policy counts the reward from its mean, a constant.
    constant = parts.beta * policy.reward_mean_
    assert_allclose(-parts.total, policy.objective_ + constant)


@pytest.mark.parametrize(
    "params",
    [
        {"policy__entropy_coef": 0.7},
        {"policy__entropy_coef": 0.7, "policy__normalize_reward": True},
        {
            "vectorizer": TokenCounter(eos_token="<eos>"),
            "policy__max_length": 5,
            "policy__missing_eos_penalty": 3.0,
            "policy__sft_coef": 0.5,
        },
        {
            "policy__entropy_coef": 0.3,
            "policy__kl_controller": AdaptiveKLController(target=1.0, horizon=500),
        },
    ],
    ids=["entropy", "entropy, normalised", "missing eos", "adaptive KL"],
)
def test_objective_is_what_the_policy_stage_maximised(params):
    loop = make_loop().set_params(**params).fit(RECORDS)
    parts, policy = loop.objective(RECORDS), loop["policy"]
    assert parts.gamma == policy.kl_coef_
    assert (policy.kl_coef_ != policy.kl_coef) == ("policy__kl_controller" in params)
    constant = parts.beta * policy.reward_mean_
    # Also of a policy that is not the optimised one.
    for stage, log_prob in (("policy", None), ("pretrain", loop["pretrain"].token_log_prob_)):
        expected = policy.evaluate(log_prob).objective + constant
        assert_allclose(-loop.objective(RECORDS, stage=stage).total, expected, rtol=1e-9)
    assert parts.total < loop.objective(RECORDS, stage="pretrain").total
    weighted = (parts.alpha * parts.sft_loss, parts.beta * parts.rlhf_loss)
    assert_allclose(parts.total, sum(weighted) + parts.gamma * parts.omega, rtol=1e-12)


def test_objective_of_corpus_where_there_are_no_demonstrations(fitted):
    corpus, pairs = RECORDS[::3], RECORDS[2::3]
    texts = [record["text"] for record in corpus]
    parts = fitted.objective(corpus + pairs)
    assert_allclose(parts.sft_loss, np.log(fitted["policy"].perplexity(texts)), rtol=1e-12)
    with pytest.raises(ValueError, match=r"needs demonstration or corpus .* 0 corpus, 0 demonst"):
        fitted.objective(pairs)


def test_objective_without_policy_optimisation(fitted):
    parts = fitted[:2].objective(RECORDS)
    assert (parts.alpha, parts.beta, parts.gamma) == (1.0, 0.0, 0.0)
    assert parts.total == parts.sft_loss == fitted.objective(RECORDS, stage="sft").sft_loss


def test_impossible_completion_has_no_finite_loss_but_may_weigh_nothing():
    loop = make_loop().set_params(pretrain__smoothing=0.0, sft__prior_strength=1.0).fit(RECORDS)
    held_out = [{"completion": "never seen"}]
    parts = loop.objective(held_out)
    assert parts.sft_loss == np.inf
    assert np.isfinite(parts.total)


def test_methods_take_one_document_a_record(fitted):
    records = RECORDS[:3]
    texts = [records[0]["text"], records[1]["completion"], records[2]["chosen"]]
    assert_array_equal(fitted.score_samples(records), fitted.score_samples(texts))
    assert_array_equal(fitted.reward(records), fitted.reward(texts))
    assert fitted.perplexity(records) == fitted.perplexity(texts)
    assert fitted.predict(records).shape == (3,)


def test_methods_refuse_what_is_no_document(fitted):
    with pytest.raises(TypeError, match=r"RLHFPipeline .* got a .*str"):
        fitted.predict("text")
    with pytest.raises(ValueError, match=r"RLHFPipeline got 1 text.* without a token, such as ' '"):
        fitted.score_samples(["a", " "])
    with pytest.raises(ValueError, match="features"):
        fitted.reward(np.eye(2))


def test_unfitted_loop_says_so():
    loop = make_loop()
    assert hasattr(loop, "predict")
    for method in ("predict", "score_samples", "perplexity", "reward", "objective"):
        with pytest.raises(NotFittedError, match="RLHFPipeline"):
            getattr(loop, method)(RECORDS)
    with pytest.raises(NotFittedError, match="RLHFPipeline"):
        loop.sample()


@pytest.mark.parametrize(
    ("kind", "step", "columns"),
    [
        ("corpus", r"'pretrain' \(UnigramLM\) needs corpus", "columns text"),
        ("demonstration", r"'sft' \(SFTRefiner\) needs demonstration", "columns completion"),
        ("preference", r"'reward' \(PreferenceRewardModel\) needs pref", "chosen, rejected or re"),
    ],
)
def test_missing_kind_names_stage_and_columns(kind, step, columns):
    position = ["corpus", "demonstration", "preference"].index(kind)
    records = [record for i, record in enumerate(RECORDS) if i % 3 != position]
    with pytest.raises(ValueError, match=f"{step}.* 0 {kind}.*{columns}.*RecordKFold"):
        make_loop().fit(records)


@pytest.mark.parametrize(
    ("steps", "error", "match"),
    [
        ([], ValueError, "needs steps, a non-empty list"),
        ([UnigramLM()], ValueError, "needs steps, a non-empty list"),
        ([("a", UnigramLM()), ("a", SFTRefiner())], ValueError, "not unique"),
        ([("a__b", UnigramLM())], ValueError, "must not contain __"),
        ([("memory", UnigramLM())], ValueError, "conflict with constructor"),
        ([("a", UnigramLM)], TypeError, "estimator instance"),
        ([("a", StandardScaler())], TypeError, r"step 'a' \(StandardScaler\) is not a stage"),
        ([("a", FrozenEstimator(UnigramLM()))], NotFittedError, "a=FrozenEstimator"),
        ([("a", UnigramLM(vectorizer=TokenCounter()))], ValueError, "leave a__vectorizer at None"),
        (
            [("m0", UnigramLM()), ("ppo", PPOPolicyOptimizer()), ("r", PreferenceRewardModel())],
            ValueError,
            r"'ppo' \(PPOPolicyOptimizer\) needs a reward.*set ppo__reward_model",
        ),
    ],
)
def test_wrong_steps_fail_before_anything_is_fitted(steps, error, match):
    loop = RLHFPipeline(steps)
    with pytest.raises(error, match=match):
        loop.fit(RECORDS)
    assert not hasattr(loop, "vectorizer_")


def test_documents_are_not_records():
    with pytest.raises(TypeError, match="RLHFPipeline expected X to be records"):
        make_loop().fit(["a text", "another"])


def test_record_without_a_token():
    with pytest.raises(ValueError, match=r"1 demonstration.* without a token, such as ''"):
        make_loop().fit([*RECORDS, {"completion": ""}])
    loop = make_loop().fit([*RECORDS, {"chosen": "good", "rejected": ""}])
    assert_array_equal(loop.reward([""]), [0.0])


def test_any_vectorizer():
    loop = make_loop(vectorizer=CountVectorizer()).fit(RECORDS)
    assert "cat" in loop.vectorizer_.get_feature_names_out()
    assert "a" not in loop.vectorizer_.get_feature_names_out()
    assert loop.reward(["good"]) > loop.reward(["bad"])


def test_vectorizer_with_end_of_sequence():
    loop = make_loop(vectorizer=TokenCounter(eos_token="<eos>"))[:2].fit(RECORDS)
    samples = loop.sample(20, random_state=0)
    assert len({len(text.split()) for text in samples}) > 1
    assert all("<eos>" not in text for text in samples)


def test_frozen_stage_needs_no_records(fitted):
    loop = RLHFPipeline(
        [("pretrain", FrozenEstimator(fitted["pretrain"])), ("sft", SFTRefiner())],
        vectorizer=FrozenEstimator(fitted.vectorizer_),
    ).fit(RECORDS[1::3])
    assert_array_equal(loop["sft"].base_log_prob_, fitted["pretrain"].token_log_prob_)


def test_other_metadata_passes_as_it_is():
    stage = RLHFPipeline([("look", LookingStage())]).fit(RECORDS, look__extra="x")["look"]
    assert stage.extra_ == "x"


def test_verbose_prints_time_of_each_stage(capsys):
    make_loop(verbose=True).set_params(sft="passthrough").fit(RECORDS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert re.match(r"\[RLHFPipeline\] .*\(step 1 of 4\) Processing pretrain, total=", lines[0])


def test_diagram(fitted):
    block = make_loop().set_params(sft=None)._sk_visual_block_()
    assert block.kind == "serial"
    assert list(block.names) == [
        "pretrain: UnigramLM",
        "sft: passthrough",
        "reward: PreferenceRewardModel",
        "policy: PPOPolicyOptimizer",
    ]
    html = fitted._repr_html_()
    assert all(type(stage).__name__ in html for _, stage in fitted.steps)


def test_tags_say_what_x_is():
    tags = get_tags(make_loop())
    assert tags.input_tags.dict
    assert not tags.input_tags.two_d_array
    assert not tags.target_tags.required


def test_wrong_parameters():
    with pytest.raises(ValueError, match="'verbose' parameter of RLHFPipeline"):
        make_loop(verbose="yes").fit(RECORDS)
    with pytest.raises(ValueError, match="Invalid parameter 'other' for estimator SFTRefiner"):
        make_loop().set_params(sft__other=1)


def test_fit_that_fails_keeps_the_earlier_fit(fitted):
    loop = copy.deepcopy(fitted)
    with pytest.raises(ValueError, match="needs preference"):
        loop.fit([record for record in RECORDS if "chosen" not in record])
    contract.assert_same_bits(loop, fitted)
