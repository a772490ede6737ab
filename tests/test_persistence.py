"""Model files: written whole, read back the same, refused where they could not be."""

import pickle
import zipfile

import numpy as np
import pytest
from saved_models import PAIRS, RECORDS, TEXTS, TOPICS, VOTES, saved_models
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingRegressor

from sklearn_codex import (
    CandidatePolicy,
    PPOPolicyOptimizer,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    load_model,
    make_rlhf_pipeline,
    save_model,
)
from sklearn_codex._ngram_counter import NGramCounter
from sklearn_codex._ngram_features import NGramFeatures
from sklearn_codex._persistence.attributes import CHECKS


class Unfit(BaseEstimator):
    """An estimator of a user's own."""


NAMES = list(saved_models())


def answers(model):
    """What the methods of a model return, for texts, pairs or counts, whichever it takes."""
    inputs = [
        TEXTS,
        PAIRS,
        VOTES,
        TOPICS,
        np.eye(getattr(model, "n_features_in_", None) or 1, dtype=int),
    ]
    found = {}
    for method in ("transform", "score_samples", "predict", "decision_function", "reward"):
        for number, X in enumerate(inputs):
            try:
                answer = getattr(model, method)(X)
            except (AttributeError, TypeError, ValueError):
                continue
            found[method, number] = answer
    if isinstance(model, CandidatePolicy):
        found["sample"] = model.sample(PAIRS, n_samples=2, random_state=0)
    elif hasattr(model, "sample"):
        found["sample"] = model.sample(2, random_state=0)
    return {key: v.toarray() if hasattr(v, "toarray") else v for key, v in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_loaded_model_gives_the_same_bits(name, tmp_path):
    model = saved_models()[name]
    save_model(model, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    expected, found = answers(model), answers(loaded)
    assert expected.keys() == found.keys() != set()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=str(key))


@pytest.mark.parametrize("name", NAMES)
def test_every_fitted_attribute_is_checked_on_loading(name):
    model = saved_models()[name]
    if type(model).__module__.startswith("sklearn_codex") and hasattr(model, "get_params"):
        assert vars(model).keys() - model.get_params(deep=False).keys() <= CHECKS.keys()


def test_a_model_goes_on_from_a_file(tmp_path):
    path = tmp_path / "model.skops"
    model = PPOPolicyOptimizer(max_iter=2, tol=0, warm_start=True, random_state=0)
    rewards = [0.0, 1.0, 2.0]
    model.fit(TEXTS, rewards)
    save_model(model, path)
    np.testing.assert_array_equal(
        load_model(path).fit(TEXTS, rewards).token_log_prob_,
        model.fit(TEXTS, rewards).token_log_prob_,
    )


def test_a_cache_stays_where_it_is(tmp_path):
    stages = [UnigramLM(), SFTRefiner()]
    loop = make_rlhf_pipeline(*stages, memory=str(tmp_path / "cache")).fit(RECORDS)
    save_model(loop, tmp_path / "model.skops")
    assert loop.memory == str(tmp_path / "cache")
    assert load_model(tmp_path / "model.skops").memory is None


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (TokenCounter(lambda text: text.split()).fit(TEXTS), "would not trust"),
        (Unfit(), "would not trust test_persistence.Unfit"),
        (UnigramLM(vectorizer=HistGradientBoostingRegressor()), "HistGradientBoostingRegressor"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(model, reason, tmp_path):
    with pytest.raises(ValueError, match=f"save_model does not write this .*{reason}"):
        save_model(model, tmp_path / "model.skops")
    assert list(tmp_path.iterdir()) == []


def test_metadata_requests_are_told_when_saving(tmp_path):
    with config_context(enable_metadata_routing=True):
        model = UnigramLM().set_fit_request(sample_weight=True).fit(TEXTS)
        with pytest.raises(ValueError, match="asks for metadata"):
            save_model(model, tmp_path / "model.skops")
    assert list(tmp_path.iterdir()) == []


def test_dicts_whose_keys_would_change_are_not_saved(tmp_path):
    model = UnigramLM().fit(TEXTS)
    model.note_ = {True: 1, False: 2}
    with pytest.raises(ValueError, match="keys of bool"):
        save_model(model, tmp_path / "model.skops")
    model.note_ = {1: 1, "1": 2}
    with pytest.raises(ValueError, match="other keys than it says"):
        save_model(model, tmp_path / "model.skops")


def test_any_token_survives_pickle_and_model_files(tmp_path):
    words = ["\ud83d\ude00", "\U0001f600", "\ud83d", '"', "\\u0041", "caf\u00e9", "a\x00b"]
    counter = TokenCounter().fit([" ".join(words)])
    save_model(counter, tmp_path / "counter.skops")
    for copy in (pickle.loads(pickle.dumps(counter)), load_model(tmp_path / "counter.skops")):
        assert copy.vocabulary_ == counter.vocabulary_
        assert set(words) <= set(copy.vocabulary_)


def test_existing_file_is_kept_unless_overwritten(tmp_path):
    path = tmp_path / "model.skops"
    save_model(UnigramLM().fit(TEXTS), path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save_model(UnigramLM().fit(TEXTS[:1]), path)
    assert path.read_bytes() == before
    save_model(UnigramLM().fit(TEXTS[:1]), path, overwrite=True)
    assert path.read_bytes() != before


def test_what_is_no_model_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="found no file"):
        load_model(tmp_path / "none.skops")
    path = tmp_path / "text.skops"
    path.write_text("hello")
    with pytest.raises(ValueError, match=r"cannot read .*text\.skops.*no zip archive"):
        load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "hello")
    with pytest.raises(ValueError, match=r"no schema\.json"):
        load_model(path)


@pytest.mark.parametrize("kind", [NGramCounter, NGramFeatures])
def test_counters_that_know_pairs_of_letters_as_tokens_are_of_an_earlier_version(
    kind, tmp_path, monkeypatch
):
    path, texts = tmp_path / "model.skops", ["我爱自然 hello", "他爱自然"]
    with monkeypatch.context() as earlier:
        earlier.setattr(NGramCounter, "_rule", property(lambda self: self.tokenizer))
        save_model(kind(2).fit(texts), path)
    with pytest.raises(ValueError, match=r"its NGram\w+ knows '他爱' as one token"):
        load_model(path)
    # Those that are given are kept, and those of now.
    for counter in (kind(2), kind(2, vocabulary=["我爱", "我"]), kind(2, tokenizer="whitespace")):
        save_model(counter.fit(texts), path, overwrite=True)
        loaded = load_model(path)
        assert (loaded.transform(texts) != counter.transform(texts)).nnz == 0
