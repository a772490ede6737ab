"""Records of candidates, and a policy over them as a stage of the loop."""

import copy

import contract
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from loops import RECORDS
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score

from sklearn_codex import (
    CandidatePolicy,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    RewardUncertainty,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    load_model,
    make_rlhf_pipeline,
    save_model,
)
from sklearn_codex._data.records import check_records, is_records
from sklearn_codex.datasets import read_candidates
from sklearn_codex.model_selection import RecordKFold, record_scorers, record_train_test_split
from sklearn_codex.rules import Pattern

WORTH = {"good": 2.0, "fine": 1.0, "poor": -1.0, "bad": -2.0, "so": 0.0, "it": 0.0}


def worth(text):
    return sum(WORTH[word] for word in text.split())


def make_candidates(n=18, seed=0):
    """A preference and candidates of each of n prompts; of some candidates, three."""
    rng = np.random.default_rng(seed)
    records = []
    for i in range(n):
        said = [" ".join(rng.choice([*WORTH], 4)) for _ in range(5 + i % 2)]
        chosen, rejected = sorted(said[:2], key=worth, reverse=True)
        records.append({"prompt": f"q {i}", "chosen": chosen, "rejected": rejected})
        records.append(
            {
                "prompt": f"q {i}",
                "responses": said[2:],
                "scores": [worth(text) for text in said[2:]],
            }
        )
    return records


MIXED = make_candidates()
CANDIDATES = MIXED[1::2]
PAIRS = MIXED[::2]
ROWS = read_candidates(CANDIDATES)


def without(records, *columns):
    return [{k: v for k, v in record.items() if k not in columns} for record in records]


def make_loop(**params):
    return RLHFPipeline(
        [("reward", PreferenceRewardModel()), ("policy", CandidatePolicy(kl_coef=0.5))], **params
    )


@pytest.fixture(scope="module")
def fitted():
    return make_loop().fit(MIXED)


# What a record of candidates is


def read(X):
    return check_records(X, subject="Reader")


def test_a_record_of_candidates_is_read_as_the_reader_of_files_reads_it():
    records = read(MIXED)
    assert records.describe() == "0 corpus, 0 demonstration, 18 preference, 18 candidates"
    rows = records.candidate_arrays(subject="Reader")
    assert_array_equal(rows.X, ROWS.X)
    assert_array_equal(rows.y, ROWS.y)
    assert_array_equal(rows.groups, ROWS.groups)
    assert rows.reference_log_prob is None
    assert is_records(CANDIDATES)
    weighed = read([{**CANDIDATES[0], "logprobs": [-1.0, -np.inf, 0], "sample_weight": 2}])
    arrays = weighed.candidate_arrays(subject="Reader")
    assert_array_equal(arrays.reference_log_prob, [-1.0, -np.inf, 0.0])
    assert weighed.weight == [2.0]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_of_candidates_equal_dicts(frame, fitted):
    names = ("prompt", "chosen", "rejected", "responses", "scores")
    X = frame([{**dict.fromkeys(names), **record} for record in MIXED])
    assert is_records(X)
    again = make_loop().fit(X)
    contract.assert_same_bits(again, fitted)
    assert again.score(X) == fitted.score(MIXED)


def test_conversations_are_candidates_of_the_prompt_that_they_share():
    def talk(answer):
        return [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]

    rows = read([{"responses": [talk("a"), talk("b")]}]).candidate_arrays(subject="Reader")
    assert rows.X.tolist() == [["q", "a"], ["q", "b"]]
    other = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "c"}]
    with pytest.raises(ValueError, match="record 0 has responses to 2 different prompts"):
        read([{"responses": [talk("a"), other]}])


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"responses": "one"}, TypeError, "a list of responses, .* got a str: 'one'"),
        ({"responses": []}, ValueError, "an empty list of responses. Leave the record out"),
        ({"responses": ["a", None]}, ValueError, r"no text as responses\[1\]"),
        ({"responses": ["a", 3]}, TypeError, r"messages .* as responses\[1\], got a int: 3"),
        (
            {"responses": [{"role": "assistant", "content": "a"}]},
            TypeError,
            "each of them text or messages, got one conversation",
        ),
        ({"scores": [1.0]}, ValueError, r"a list of 3 scores, one for each .* got \[1.0\]"),
        ({"scores": 1.0}, ValueError, "a list of 3 scores"),
        ({"scores": [1, 0, "good"]}, ValueError, r"finite number as scores\[2\], got 'good'"),
        ({"scores": [1, 10**400, 0]}, ValueError, r"finite number as scores\[1\]"),
        ({"scores": [-np.inf, 1, 0]}, ValueError, r"finite number as scores\[0\], got -inf"),
        ({"logprobs": [0, 0, np.nan]}, ValueError, r"finite number as logprobs\[2\], got nan"),
        ({"logprobs": [-np.inf] * 3}, ValueError, "-inf alone, .* Leave the record out"),
        ({"text": "b"}, ValueError, "record 1 is of several kinds.*candidates: responses"),
        ({"label": 1}, ValueError, "record 1 is of several kinds"),
    ],
)
def test_candidates_that_make_no_record_say_so(changed, error, words):
    with pytest.raises(error, match=f"record 1 .*{words}" if "record" not in words else words):
        read([CANDIDATES[1], {**CANDIDATES[0], **changed}])


@pytest.mark.parametrize("name", ["scores", "logprobs"])
def test_numbers_of_some_records_only_are_refused(name):
    some = [{**CANDIDATES[0], name: [0.0, 0.5, 1.0]}, *without(CANDIDATES[1:], name)]
    with pytest.raises(ValueError, match=f"candidates record 0 has {name}, and record 1 has none"):
        make_loop().fit([*some, *PAIRS])


def test_candidates_are_no_single_document(fitted):
    with pytest.raises(ValueError, match=r"Record 1 holds candidates.*Pass its responses as texts"):
        fitted.reward(MIXED)
    assert len(fitted.reward(PAIRS)) == len(PAIRS)


# The stage


# All but the one that asks for the single document of each record.
PROMISES = [own for own in contract.PROMISES if own is not contract.check_input_unchanged]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("cached", [False, True])
def test_contract(promise, cached, tmp_path):
    memory = joblib.Memory(tmp_path, verbose=0) if cached else None
    promise(
        lambda: RLHFPipeline(
            [
                ("reward", PreferenceRewardModel()),
                ("choice", CandidatePolicy()),
                # The last, so that it answers what the promises ask of documents.
                ("pretrain", UnigramLM()),
            ],
            memory=memory,
        ),
        [*RECORDS, *MIXED],
    )


def test_the_stage_is_the_policy_by_the_reward_from_above(fitted):
    assert fitted["policy"].reward_model.estimator is fitted["reward"]
    by_hand = CandidatePolicy(FrozenEstimator(fitted["reward"]), kl_coef=0.5)
    by_hand.fit(ROWS.X, groups=ROWS.groups)
    expected = by_hand.predict_choice(ROWS.X, groups=ROWS.groups)
    policy = fitted["policy"]
    assert_array_equal(policy.predict_choice(ROWS.X, groups=ROWS.groups), expected)
    best = ROWS.X[by_hand.predict(ROWS.X, groups=ROWS.groups), 1]
    assert_array_equal(fitted.predict(CANDIDATES), best)
    assert_allclose(fitted.score(MIXED), expected @ ROWS.y / len(CANDIDATES))
    bare = without(CANDIDATES, "scores")
    parts = by_hand.evaluate(ROWS.X, groups=ROWS.groups)
    assert_allclose(fitted.score(bare), parts.objective)
    # Records of one response each have nothing to choose, and may have no prompt.
    assert fitted.predict([{"responses": ["bad"]}, {"responses": ["so"]}]).tolist() == ["bad", "so"]


def test_records_are_not_written_to():
    given = copy.deepcopy(MIXED)
    loop = make_loop().fit(given)
    loop.score(given)
    loop.predict(given[1::2])
    assert given == MIXED


def test_the_reference_comes_from_the_records():
    rng = np.random.default_rng(1)
    weighed = [
        {**record, "logprobs": rng.normal(size=len(record["responses"])).tolist()}
        for record in CANDIDATES
    ]
    weighed[0]["logprobs"][0] = -np.inf
    loop = make_loop().fit([*PAIRS, *weighed])
    log_prob = np.concatenate([record["logprobs"] for record in weighed])
    by_hand = CandidatePolicy(FrozenEstimator(loop["reward"]), kl_coef=0.5)
    by_hand.fit(ROWS.X, groups=ROWS.groups, reference_log_prob=log_prob)
    assert loop["policy"].kl_ == by_hand.kl_
    expected = by_hand.score(ROWS.X, ROWS.y, groups=ROWS.groups, reference_log_prob=log_prob)
    assert loop.score(weighed) == expected
    assert loop.predict(weighed)[0] != CANDIDATES[0]["responses"][0] or worth(
        CANDIDATES[0]["responses"][0]
    ) == max(CANDIDATES[0]["scores"][1:])


def test_scores_teach_the_reward_where_none_comes_from_above():
    loop = make_rlhf_pipeline(CandidatePolicy(kl_coef=0.5, alpha=0.1)).fit(CANDIDATES)
    counter = TokenCounter().fit(
        [record["responses"][0] for record in CANDIDATES]
        + [text for record in CANDIDATES for text in record["responses"][1:]]
    )
    by_hand = CandidatePolicy(kl_coef=0.5, alpha=0.1, vectorizer=FrozenEstimator(counter))
    by_hand.fit(ROWS.X, ROWS.y, groups=ROWS.groups)
    assert_allclose(loop[0].coef_, by_hand.coef_)
    names = loop.vectorizer_.get_feature_names_out().tolist()
    weights = dict(zip(names, loop[0].coef_[0], strict=True))
    assert weights["good"] > weights["fine"] > weights["poor"] > weights["bad"]
    assert loop.score(CANDIDATES) > np.mean(ROWS.y)


def test_rules_read_the_responses():
    ruled = make_loop().set_params(policy__rules=Pattern(r"\bso\b", max_rate=0.3)).fit(MIXED)
    free = make_loop().fit(MIXED)
    marked = np.array(["so" in text.split() for text in ROWS.X[:, 1]])
    choice = free["policy"].predict_choice(ROWS.X, groups=ROWS.groups)
    assert choice[marked].sum() / len(CANDIDATES) > 0.3
    assert_allclose(ruled["policy"].rule_rates_["pattern"], 0.3, rtol=1e-6)


def test_a_language_model_above_or_below_keeps_its_own_methods():
    stages = [
        UnigramLM(),
        SFTRefiner(prior_strength=5),
        PreferenceRewardModel(),
        PPOPolicyOptimizer(max_iter=3, tol=0, random_state=0),
    ]
    loop = make_rlhf_pipeline(*stages, CandidatePolicy()).fit([*RECORDS, *MIXED])
    assert_array_equal(loop.predict(CANDIDATES), ROWS.X[loop[-1].predict(ROWS.X, ROWS.groups), 1])
    assert loop.score(MIXED) == loop[-1].score(ROWS.X, ROWS.y, groups=ROWS.groups)
    assert loop.objective(RECORDS) == loop[:-1].objective(RECORDS)
    assert np.isfinite(loop.score_samples(["good cat"])).all()
    assert len(loop.sample(2, random_state=0)) == 2
    assert loop[-2].policy.estimator is loop[1]
    first = make_rlhf_pipeline(PreferenceRewardModel(), CandidatePolicy(), *stages[:2])
    first.fit([*RECORDS, *MIXED])
    assert first.predict(["good"]).shape == (1,)
    assert first[-1].policy.estimator is first[-2]
    for name in ("sample", "perplexity", "score_samples", "objective"):
        assert not hasattr(make_loop(), name)


def test_a_frozen_policy_is_a_stage(fitted):
    frozen = FrozenEstimator(fitted["policy"])
    loop = RLHFPipeline([("reward", PreferenceRewardModel()), ("policy", frozen)]).fit(PAIRS)
    assert_array_equal(loop.predict(CANDIDATES), fitted.predict(CANDIDATES))


def test_a_search_keeps_prompts_together_and_scores_by_gold_rewards():
    grid = {"policy__kl_coef": [0.1, 1.0, 10.0]}
    splitter = RecordKFold(3)
    search = GridSearchCV(make_loop(), grid, cv=splitter, error_score="raise").fit(MIXED)
    expected = []
    for kl_coef in grid["policy__kl_coef"]:
        folds = []
        for train, test in splitter.split(MIXED):
            prompts = [{MIXED[row]["prompt"] for row in side} for side in (train, test)]
            assert not prompts[0] & prompts[1]
            loop = make_loop().set_params(policy__kl_coef=kl_coef)
            folds.append(loop.fit([MIXED[row] for row in train]).score([MIXED[r] for r in test]))
        expected.append(np.mean(folds))
    assert_allclose(search.cv_results_["mean_test_score"], expected)
    assert search.predict(CANDIDATES[:2]).shape == (2,)
    assert np.isfinite(
        cross_val_score(
            make_loop(), MIXED, cv=splitter, scoring=record_scorers["preference_accuracy"]
        )
    ).all()


def test_groups_of_a_routed_search_are_for_its_splitter():
    groups = [record["prompt"] for record in MIXED]
    grid = {"policy__kl_coef": [0.1, 1.0]}
    plain = GridSearchCV(make_loop(), grid, cv=list(GroupKFold(3).split(MIXED, groups=groups)))
    with sklearn.config_context(enable_metadata_routing=True):
        routed = GridSearchCV(make_loop(), grid, cv=GroupKFold(3), error_score="raise")
        routed.fit(MIXED, groups=groups)
        assert "groups" in str(make_loop().get_metadata_routing())
    scores = [search.cv_results_["mean_test_score"] for search in (plain.fit(MIXED), routed)]
    assert_array_equal(*scores)
    with pytest.raises(ValueError, match=r"of one record.* got groups for a stage. Leave it out"):
        make_loop().fit(MIXED, policy__groups=groups)


FITS: list[str] = []


class CountingReward(PreferenceRewardModel):
    def fit(self, X, y=None, sample_weight=None):
        FITS.append("reward")
        return super().fit(X, y, sample_weight)


class CountingPolicy(CandidatePolicy):
    def fit(self, X, y=None, groups=None, reference_log_prob=None):
        FITS.append("policy")
        return super().fit(X, y, groups, reference_log_prob)


def fits_of(loop, X):
    FITS.clear()
    loop.fit(X)
    return FITS[:]


def test_memory_fits_again_only_what_depends_on_a_change(tmp_path):
    loop = RLHFPipeline(
        [("reward", CountingReward()), ("policy", CountingPolicy())], memory=str(tmp_path)
    )
    assert fits_of(loop, MIXED) == ["reward", "policy"]
    expected = loop.predict(CANDIDATES)
    assert fits_of(clone(loop), MIXED) == []
    assert_array_equal(loop.predict(CANDIDATES), expected)
    loop.set_params(policy__kl_coef=0.1)
    assert fits_of(loop, MIXED) == ["policy"]
    # What is known of the candidates is what they are fitted on.
    weighed = [{**r, "logprobs": [0.0, 0.0, -1.0]} if "responses" in r and len(r["responses"]) == 3
               else {**r, **({"logprobs": [0.0] * 4} if "responses" in r else {})}
               for r in MIXED]  # fmt: skip
    assert "policy" in fits_of(loop, weighed)
    asked = [{**r, "prompt": "!" + r["prompt"]} if "responses" in r else r for r in MIXED]
    assert "policy" in fits_of(loop, asked)


def test_files_keep_the_loop(fitted, tmp_path):
    learned = make_rlhf_pipeline(CandidatePolicy()).fit(CANDIDATES)
    for loop in (fitted, learned):
        save_model(loop, tmp_path / "loop.skops", overwrite=True)
        loaded = load_model(tmp_path / "loop.skops")
        assert_array_equal(loaded.predict(CANDIDATES), loop.predict(CANDIDATES))
        assert loaded.score(MIXED) == loop.score(MIXED)


def test_diagram_and_parameters(fitted):
    assert list(make_loop()._sk_visual_block_().names) == [
        "reward: PreferenceRewardModel",
        "policy: CandidatePolicy",
    ]
    assert "CandidatePolicy" in fitted._repr_html_()
    assert clone(fitted).get_params()["policy__kl_coef"] == 0.5
    named = make_rlhf_pipeline(PreferenceRewardModel(), CandidatePolicy())
    assert [name for name, _ in named.steps] == ["preferencerewardmodel", "candidatepolicy"]


# Errors


def test_missing_and_wrong_kinds_say_what_is_needed(fitted):
    with pytest.raises(
        ValueError,
        match=r"'policy' \(CandidatePolicy\) needs candidates .* 18 preference.*"
        r"columns responses \(and prompt, scores, logprobs, optional\).*RecordKFold",
    ):
        make_loop().fit(PAIRS)
    with pytest.raises(ValueError, match=r"'reward' .* needs preference .* 18 candidates"):
        make_loop().fit(CANDIDATES)
    with pytest.raises(ValueError, match=r"score needs candidates records.*18 preference"):
        fitted.score(PAIRS)
    with pytest.raises(ValueError, match="predict needs candidates records"):
        fitted.predict(PAIRS)
    with pytest.raises(ValueError, match="best candidate of each record, but record 0 is a pref"):
        fitted.predict(MIXED)
    with pytest.raises(TypeError, match="RLHFPipeline expected X to be records"):
        fitted.predict(["good"])


def test_a_policy_needs_a_reward_or_scores():
    loop = make_rlhf_pipeline(CandidatePolicy())
    message = r"'candidatepolicy' .* needs a reward.*or give all candidates scores to learn from"
    with pytest.raises(ValueError, match=message):
        loop.fit(without(CANDIDATES, "scores"))
    assert not hasattr(loop, "vectorizer_")
    given = make_rlhf_pipeline(CandidatePolicy(lambda X: [len(text) for text in X]))
    assert given.fit(without(CANDIDATES, "scores"))[-1].kl_ > 0


def test_weights_are_refused_as_the_policy_takes_none():
    weighed = [{**record, "sample_weight": 2.0} for record in CANDIDATES]
    with pytest.raises(ValueError, match="CandidatePolicy takes no sample_weight"):
        make_loop().fit([*PAIRS, *weighed])


def test_unfitted_and_failed_fits(fitted):
    for method in ("predict", "score"):
        with pytest.raises(NotFittedError, match="RLHFPipeline"):
            getattr(make_loop(), method)(CANDIDATES)
    loop = copy.deepcopy(fitted)
    with pytest.raises(ValueError, match="needs candidates"):
        loop.fit(PAIRS)
    assert_array_equal(loop.predict(CANDIDATES), fitted.predict(CANDIDATES))


def test_splits_keep_candidates_with_their_prompts():
    train, test = record_train_test_split(MIXED, test_size=0.3, random_state=0)
    for side, size in ((train, 26), (test, 10)):
        assert len(side) == size
        assert {record["prompt"] for record in side if "responses" in record} == {
            record["prompt"] for record in side if "chosen" in record
        }


def test_a_conservative_policy_of_a_pipeline_has_its_own_reward_model():
    records = make_candidates()
    with pytest.raises(ValueError, match="in an RLHFPipeline to the CandidatePolicy itself"):
        make_rlhf_pipeline(PreferenceRewardModel(), CandidatePolicy(conservative=1.0)).fit(records)
    pairs = [(r["prompt"], r["chosen"], r["rejected"]) for r in records if "chosen" in r]
    flipped = [(p, b, a) for p, a, b in pairs]
    sure = RewardUncertainty(PreferenceRewardModel()).fit(
        pairs[::2] + flipped[1::2], [1] * len(pairs[::2]) + [0] * len(flipped[1::2])
    )
    alone = CandidatePolicy(FrozenEstimator(sure), conservative=1.0)
    candidates = read_candidates([r for r in records if "responses" in r])
    expected = clone(alone).fit(candidates.X, groups=candidates.groups).expected_reward_
    for stages in ([alone], [PreferenceRewardModel(), alone]):
        fitted = make_rlhf_pipeline(*map(clone, stages)).fit(records)
        assert_allclose(fitted[-1].expected_reward_, expected)
