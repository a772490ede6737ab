"""Fits of the whole loop: which stages are fitted, from what, and who hears of it."""

import sys
import types

import contract
import numpy as np
import pandas as pd
import pytest
import sklearn
from loops import RECORDS, make_loop, make_records
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score

from sklearn_codex._language.sft import SFTRefiner
from sklearn_codex._language.unigram_lm import UnigramLM
from sklearn_codex._pipeline.pipeline import RLHFPipeline
from sklearn_codex._policy.ppo_optimizer import PPOPolicyOptimizer
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex.model_selection import RecordKFold
from sklearn_codex.text import TokenCounter

# The stages that were fitted, as the counting stages below note it.
FITS: list[str] = []


class CountingLM(UnigramLM):
    def fit(self, X, y=None, sample_weight=None):
        FITS.append("pretrain")
        return super().fit(X, y, sample_weight)


class CountingSFT(SFTRefiner):
    def fit(self, X, y=None, sample_weight=None):
        FITS.append("sft")
        return super().fit(X, y, sample_weight)


class CountingReward(PreferenceRewardModel):
    def fit(self, X, y=None, sample_weight=None):
        FITS.append("reward")
        return super().fit(X, y, sample_weight)


class CountingPolicy(PPOPolicyOptimizer):
    def fit(self, X, y=None):
        FITS.append("policy")
        return super().fit(X, y)


class CountingVectorizer(TokenCounter):
    def fit_transform(self, X, y=None):
        FITS.append("vectorizer")
        return super().fit_transform(X, y)


@pytest.fixture(scope="module")
def fitted():
    return make_loop().fit(RECORDS)


def make_counting_loop(**params):
    return RLHFPipeline(
        [
            ("pretrain", CountingLM()),
            ("sft", CountingSFT(prior_strength=20.0)),
            ("reward", CountingReward()),
            ("policy", CountingPolicy(random_state=0)),
        ],
        vectorizer=CountingVectorizer(),
        **params,
    )


def count_fits(search):
    FITS.clear()
    search.fit(RECORDS)
    return {
        name: FITS.count(name) for name in ("vectorizer", "pretrain", "sft", "reward", "policy")
    }


def test_memory_fits_a_stage_once_a_fold(tmp_path):
    grid = {"policy__kl_coef": [1.0, 2.0, 4.0]}
    loop = make_counting_loop(memory=str(tmp_path))
    cached = GridSearchCV(loop, grid, cv=RecordKFold(3), error_score="raise")
    folds = 3 + 1  # the refit is one more set of data
    n_policies = 3 * 3  # the refit has the best policy of another set of data
    assert count_fits(cached) == {
        "vectorizer": folds, "pretrain": folds, "sft": folds, "reward": folds,
        "policy": n_policies + 1,
    }  # fmt: skip
    plain = GridSearchCV(make_counting_loop(), grid, cv=RecordKFold(3), error_score="raise")
    assert count_fits(plain) == dict.fromkeys(
        ("vectorizer", "pretrain", "sft", "reward", "policy"), n_policies + 1
    )
    for name in ("mean_test_score", "std_test_score"):
        assert_array_equal(cached.cv_results_[name], plain.cv_results_[name])
    assert set(count_fits(cached).values()) == {0}


def test_memory_fits_again_only_what_depends_on_a_change(tmp_path):
    loop = make_counting_loop(memory=str(tmp_path)).fit(RECORDS)
    FITS.clear()
    loop.set_params(sft__prior_strength=5.0).fit(RECORDS)
    assert FITS == ["sft", "policy"]
    FITS.clear()
    loop.fit(RECORDS, reward__sample_weight=np.linspace(1.0, 2.0, len(RECORDS)))
    assert FITS == ["reward", "policy"]
    FITS.clear()
    loop.fit(make_records(seed=1))
    assert FITS == ["vectorizer", "pretrain", "sft", "reward", "policy"]


def test_memory_refuses_a_function_without_a_name(tmp_path):
    loop = make_loop(memory=str(tmp_path))
    loop.set_params(policy__reward_model=lambda documents: [0.0] * len(documents))
    message = r"RLHFPipeline with memory.*no name to go by.*<lambda>.*memory=None"
    with pytest.raises(TypeError, match=message):
        loop.fit(RECORDS)
    loop.set_params(memory=None).fit(RECORDS)


RULE = """
from sklearn_codex.rules import Rule
class First(Rule):
    name, penalty = "first", 1.0
"""


@pytest.mark.parametrize(
    ("parameters", "before", "after", "fitted_again"),
    [
        (
            {"policy__reward_model": "score"},
            "def score(documents): return [document.count('cat') for document in documents]",
            "def score(documents): return [document.count('dog') for document in documents]",
            ["policy"],
        ),
        (
            {"policy__rules": "First()"},
            f"{RULE}    def violations(self, rollouts): return rollouts.counts[:, 0].toarray()",
            f"{RULE}    def violations(self, rollouts): return rollouts.counts[:, -1].toarray()",
            ["policy"],
        ),
        (
            {"vectorizer__tokenizer": "tokenize"},
            "import re\nWORD = re.compile('[a-z]+')\ndef tokenize(text): return WORD.findall(text)",
            "import re\nWORD = re.compile('[a-z]')\ndef tokenize(text): return WORD.findall(text)",
            ["vectorizer", "pretrain", "sft", "reward", "policy"],
        ),
    ],
    ids=["reward", "rule", "tokenizer"],
)
def test_memory_knows_a_function_that_changed(
    parameters, before, after, fitted_again, tmp_path, monkeypatch
):
    module = types.ModuleType("functions_of_a_user")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    loop = make_counting_loop(memory=str(tmp_path))

    def fit(code):
        exec(code, vars(module))
        values = {name: eval(value, vars(module)) for name, value in parameters.items()}
        FITS.clear()
        return loop.set_params(**values).fit(RECORDS)

    fit(before)
    assert len(FITS) == 5
    fit("# A comment is no change.\n" + before)
    assert FITS == []
    changed = fit(after)
    assert fitted_again == FITS
    afresh = clone(loop).set_params(memory=None).fit(RECORDS)
    assert_array_equal(changed["policy"].token_log_prob_, afresh["policy"].token_log_prob_)


def test_callbacks_hear_of_stages_from_the_cache(tmp_path):
    for n_tasks_of_policy in (2, 1):
        callback = contract.RecordingCallback()
        make_counting_loop(memory=str(tmp_path)).set_callbacks(callback).fit(RECORDS)
        contract.assert_balanced(callback)
        begun = callback.named("begin")
        stages = [names for names in begun if names[1] != "iteration"]
        assert len(stages) == 1 + 4
        assert ("iteration" in {task for _, task in begun}) == (n_tasks_of_policy == 2)
    assert [task for _, task in begun] == [
        "fit", "fit-pretrain", "fit-sft", "fit-reward", "fit-policy"
    ]  # fmt: skip


def test_callbacks_hear_of_stages_left_out(fitted):
    callback = contract.RecordingCallback()
    loop = make_loop(vectorizer=FrozenEstimator(fitted.vectorizer_)).set_params(
        pretrain=FrozenEstimator(fitted["pretrain"]), sft="passthrough"
    )
    loop.set_callbacks(callback).fit(RECORDS)
    contract.assert_balanced(callback)
    assert ["RLHFPipeline", "fit-pretrain"] in callback.named("begin")
    assert ["RLHFPipeline", "fit-sft"] in callback.named("begin")


@pytest.mark.parametrize("cv", [3, RecordKFold(3, shuffle=True, random_state=0)])
def test_grid_search(cv):
    grid = {"policy__kl_coef": [1.0, 4.0], "sft__prior_strength": [1.0, 100.0]}
    search = GridSearchCV(make_loop(), grid, cv=cv, error_score="raise").fit(RECORDS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_["policy"].kl_coef == search.best_params_["policy__kl_coef"]
    assert search.predict(["a"]).shape == (1,)
    frame = pd.DataFrame(RECORDS)
    again = GridSearchCV(make_loop(), grid, cv=cv, error_score="raise").fit(frame)
    assert_array_equal(again.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])


def test_callbacks_of_a_search_reach_the_stages():
    callback = contract.RecordingCallback()
    search = GridSearchCV(make_loop(), {"policy__kl_coef": [1.0, 4.0]}, cv=RecordKFold(2))
    search.set_callbacks(callback).fit(RECORDS)
    contract.assert_balanced(callback)
    assert callback.named("begin").count(["UnigramLM", "fit"]) == 2 * 2 + 1


def test_fold_without_a_kind_names_the_remedy():
    records = sorted(RECORDS, key=lambda record: "text" in record)
    with pytest.raises(ValueError, match=r"needs corpus records.*cv=RecordKFold"):
        cross_val_score(make_loop(), records, cv=3, error_score="raise")
    assert np.isfinite(cross_val_score(make_loop(), records, cv=RecordKFold(3))).all()


def test_sample_weight_is_sliced_by_kind():
    weight = np.arange(len(RECORDS), dtype=float) + 1
    loop = make_loop()[:2].fit(RECORDS, sample_weight=weight)
    assert loop["pretrain"].n_documents_ == weight[::3].sum()
    assert loop["sft"].n_documents_ == weight[1::3].sum()
    loop = make_loop()[:2].fit(RECORDS, sft__sample_weight=weight.tolist())
    assert loop["pretrain"].n_documents_ == len(RECORDS) / 3
    assert loop["sft"].n_documents_ == weight[1::3].sum()
    with pytest.raises(ValueError, match=r"unknown parameter 'other__sample_weight'.*'sft'"):
        loop.fit(RECORDS, other__sample_weight=weight)
    with pytest.raises(ValueError, match="unknown parameter 'groups'"):
        loop.fit(RECORDS, groups=weight)


def test_weight_of_zero_is_a_record_left_out():
    weight = np.ones(len(RECORDS))
    weight[[0, 1, 2, 5]] = 0
    keep = [record for record, w in zip(RECORDS, weight, strict=True) if w]
    loop = make_loop()[:3].fit(RECORDS, sample_weight=weight)
    # The words of the records left out are still in the vocabulary, hence the frozen vectorizer.
    without = make_loop(vectorizer=FrozenEstimator(loop.vectorizer_))[:3].fit(keep)
    for name, values in contract.learned_state(loop).items():
        assert_allclose(values, contract.learned_state(without)[name], rtol=1e-4, atol=1e-6)


def test_metadata_routing():
    weight = np.arange(len(RECORDS), dtype=float) + 1
    with sklearn.config_context(enable_metadata_routing=True):
        loop = RLHFPipeline(
            [
                ("pretrain", UnigramLM().set_fit_request(sample_weight=False)),
                ("sft", SFTRefiner().set_fit_request(sample_weight=True)),
            ]
        )
        assert "sft" in str(loop.get_metadata_routing())
        loop.fit(RECORDS, sample_weight=weight)
        assert loop["pretrain"].n_documents_ == len(RECORDS) / 3
        assert loop["sft"].n_documents_ == weight[1::3].sum()
        search = GridSearchCV(loop, {"sft__prior_strength": [1.0]}, cv=2, error_score="raise")
        search.fit(RECORDS, sample_weight=weight)
        assert search.best_estimator_["sft"].n_documents_ == weight[1::3].sum()
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
            make_loop()[:2].fit(RECORDS, sample_weight=weight)
        make_loop()[:2].fit(RECORDS)
