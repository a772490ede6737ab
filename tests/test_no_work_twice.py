"""No work is done twice: text is split once, a stage is fitted once; counted, not timed."""

import pickle

import numpy as np
import pytest
from loops import make_records
from numpy.testing import assert_allclose
from pair_columns import labelled
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_codex import (
    PairVectorizer,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex._layouts import pairs
from sklearn_codex._pipeline.counting import hash_texts
from sklearn_codex.datasets import read_preferences
from sklearn_codex.model_selection import RecordKFold

RECORDS = make_records(30)
KL_COEFS = np.geomspace(1.0, 10.0, 10).tolist()
# Texts that were split, and stages that were fitted, since the last `start_counting`.
SPLIT: list[str] = []
FITTED: list[str] = []


def split(text):
    SPLIT.append(text)
    return text.split()


class CountedLM(UnigramLM):
    def fit(self, X, y=None, sample_weight=None):
        FITTED.append("pretrain")
        return super().fit(X, y, sample_weight)


class CountedSFT(SFTRefiner):
    def fit(self, X, y=None, sample_weight=None):
        FITTED.append("sft")
        return super().fit(X, y, sample_weight)


class CountedReward(PreferenceRewardModel):
    def fit(self, X, y=None, sample_weight=None):
        FITTED.append("reward")
        return super().fit(X, y, sample_weight)


class CountedPolicy(PPOPolicyOptimizer):
    def fit(self, X, y=None):
        FITTED.append("policy")
        return super().fit(X, y)


@pytest.fixture(autouse=True)
def start_counting():
    SPLIT.clear()
    FITTED.clear()


def make_loop(memory=None):
    return RLHFPipeline(
        [
            ("pretrain", CountedLM()),
            ("sft", CountedSFT(prior_strength=20.0)),
            ("reward", CountedReward()),
            ("policy", CountedPolicy(max_iter=3, tol=0, random_state=0)),
        ],
        vectorizer=TokenCounter(split),
        memory=memory,
    )


def search_policies(memory, n_folds):
    folds = list(RecordKFold(n_folds, shuffle=True, random_state=0).split(RECORDS))
    grid = {"policy__kl_coef": KL_COEFS}
    search = GridSearchCV(make_loop(memory), grid, cv=folds, refit=False, error_score="raise")
    return search.fit(RECORDS), folds


def texts_of(rows, columns):
    return sorted(RECORDS[row][name] for row in rows for name in columns if name in RECORDS[row])


TRAINED_ON = ("text", "completion", "chosen", "rejected")


def test_a_fit_splits_every_text_once():
    make_loop().fit(RECORDS)
    assert sorted(SPLIT) == texts_of(range(len(RECORDS)), TRAINED_ON)
    assert FITTED == ["pretrain", "sft", "reward", "policy"]


@pytest.mark.parametrize("n_folds", [2, 3])
def test_a_search_over_policies_costs_one_loop_and_its_policies_in_each_fold(tmp_path, n_folds):
    search, folds = search_policies(str(tmp_path), n_folds)
    scored_on = ("completion",)  # the only rows that a score reads
    split_once = [
        text
        for train, test in folds
        for text in [*texts_of(train, TRAINED_ON), *texts_of(test, scored_on)]
    ]
    assert sorted(SPLIT) == sorted(split_once)
    assert {name: FITTED.count(name) for name in set(FITTED)} == {
        "pretrain": n_folds, "sft": n_folds, "reward": n_folds, "policy": 10 * n_folds,
    }  # fmt: skip
    cached = search.cv_results_["mean_test_score"]
    SPLIT.clear()
    again, _ = search_policies(str(tmp_path), n_folds)
    assert SPLIT == []
    plain, _ = search_policies(None, n_folds)
    assert len(SPLIT) == 10 * len(split_once)
    for other in (again, plain):
        assert_allclose(other.cv_results_["mean_test_score"], cached, rtol=1e-12)
    assert len(set(cached)) == 10


def test_cached_counts_are_of_the_vectorizer_and_the_rows_that_are_scored(tmp_path):
    loop = make_loop(str(tmp_path)).fit(RECORDS)
    fresh = make_loop().fit(RECORDS)
    for rows in (RECORDS[:20], RECORDS[20:40], RECORDS[:20]):
        assert loop.score(rows) == pytest.approx(fresh.score(rows), rel=1e-12)
        assert loop[:2].score(rows) == pytest.approx(fresh[:2].score(rows), rel=1e-12)
    loop.set_params(vectorizer=TokenCounter(split, min_count=3)).fit(RECORDS)
    fresh.set_params(vectorizer=TokenCounter(split, min_count=3)).fit(RECORDS)
    assert loop.score(RECORDS[:20]) == pytest.approx(fresh.score(RECORDS[:20]), rel=1e-12)


def test_stages_of_a_cache_refer_to_the_models_above_them(tmp_path):
    loops = [make_loop(str(tmp_path)).fit(RECORDS) for _ in range(2)]
    FITTED.clear()
    for loop in [*loops, make_loop().fit(RECORDS)]:
        assert loop["sft"].policy.estimator is loop["pretrain"]
        assert loop["policy"].policy.estimator is loop["sft"]
        assert loop["policy"].reward_model.estimator is loop["reward"]
        for stage in loop:
            assert stage.vectorizer_.estimator is loop.vectorizer_
    assert loops[0]["sft"] is not loops[1]["sft"]
    copy = pickle.loads(pickle.dumps(loops[1]))
    assert copy.score(RECORDS) == loops[0].score(RECORDS)
    stored = max(path.stat().st_size for path in tmp_path.rglob("output.pkl"))
    assert stored < len(pickle.dumps(loops[0]["policy"]))


def test_texts_are_told_apart_by_their_digests():
    lists = [
        [], [""], ["", ""], ["ab", "c"], ["a", "bc"], ["abc"], ["c", "ab"], ["a\x00", "b"],
        ["a", "\x00b"], ["\ud800"], ["é"], ["e\u0301"],
    ]  # fmt: skip
    assert len({hash_texts(texts) for texts in lists}) == len(lists)
    assert hash_texts(["ab", "c"]) == hash_texts(["ab", "c"])


@pytest.fixture(scope="module")
def preferences():
    """Pairs (prompt, A, B) that share responses within a prompt, labels, and prompts."""
    rng = np.random.RandomState(0)
    words = np.array(list("abcdefghij"))
    texts = [[" ".join(rng.choice(words, 8)) for _ in range(4)] for _ in range(40)]
    pairs = [
        (f"prompt {i}", group[0], response)
        for i, group in enumerate(texts)
        for response in group[1:]
    ]
    y = [int(a.count("a") + rng.normal() > b.count("a")) for _, a, b in pairs]
    return np.array(pairs, dtype=object), np.array(y), np.array([pair[0] for pair in pairs])


def distinct(pairs):
    return sorted({*pairs[:, 1], *pairs[:, 2]})


def test_pairs_are_vectorized_once_for_a_cross_validation_and_a_search(preferences):
    pairs, y, prompts = preferences
    reader = PairVectorizer(TokenCounter(split))
    differences = reader.fit_transform(pairs)
    model = PreferenceRewardModel(C=0.1, vectorizer=FrozenEstimator(reader.vectorizer_))
    cv = GroupKFold(5)
    scores = cross_val_score(model, differences, y, groups=prompts, cv=cv, scoring="neg_log_loss")
    search = GridSearchCV(model, {"C": [0.01, 0.1, 1.0]}, cv=cv, scoring="neg_log_loss")
    search.fit(differences, y, groups=prompts)
    assert sorted(SPLIT) == distinct(pairs)
    assert len(SPLIT) < 2 * len(pairs)

    SPLIT.clear()
    of_text = PreferenceRewardModel(C=0.1, vectorizer=TokenCounter(split))
    in_folds = cross_val_score(of_text, pairs, y, groups=prompts, cv=cv, scoring="neg_log_loss")
    assert_allclose(scores, in_folds, rtol=1e-6)
    # Each fold reads its pairs for the fit and for the score: five times in all.
    assert sorted(SPLIT) == sorted(distinct(pairs) * 5)
    assert_allclose(scores.mean(), search.cv_results_["mean_test_score"][1], rtol=1e-6)
    SPLIT.clear()
    own = PreferenceRewardModelCV([0.1], vectorizer=TokenCounter(split), cv=cv)
    own.fit(pairs, y, groups=prompts)
    assert sorted(SPLIT) == distinct(pairs)
    assert_allclose(own.scores_[:, 0], scores, atol=1e-3)


def test_differences_are_those_of_the_features(preferences):
    pairs, _, _ = preferences
    reader = PairVectorizer()
    differences = reader.fit_transform(pairs)
    counts = [reader.vectorizer_.transform(list(column)) for column in pairs[:, 1:].T]
    assert (differences != counts[0] - counts[1]).nnz == 0
    assert (reader.transform(pairs[:7]) != differences[:7]).nnz == 0
    assert (PairVectorizer().fit(pairs).transform(pairs[:, 1:]) != differences).nnz == 0
    names = reader.get_feature_names_out()
    assert names.tolist() == reader.vectorizer_.get_feature_names_out().tolist()


def test_a_model_of_differences_knows_the_words_of_their_reader(preferences):
    pairs, y, _ = preferences
    reader = PairVectorizer()
    differences = reader.fit_transform(pairs)
    frozen = FrozenEstimator(reader.vectorizer_)
    model = PreferenceRewardModel(vectorizer=frozen).fit(differences, y)
    direct = PreferenceRewardModel().fit(pairs, y)
    texts = list(pairs[:5, 1])
    assert_allclose(model.reward(texts), direct.reward(texts), rtol=1e-5, atol=1e-8)
    assert_allclose(
        make_pipeline(PairVectorizer(), PreferenceRewardModel()).fit(pairs, y).predict_proba(pairs),
        direct.predict_proba(pairs), rtol=1e-5,
    )  # fmt: skip
    with pytest.raises(TypeError, match="PairVectorizer expected X to be pairs"):
        PairVectorizer().fit(texts)


def test_names_are_compared_once_for_rows_of_the_same_columns(monkeypatch):
    n_calls = {"looks": 0}

    def count(*args, **kwargs):
        n_calls["looks"] += 1
        return replace(*args, **kwargs)

    replace = pairs.replace
    monkeypatch.setattr(pairs, "replace", count)
    kinds = [{"note": 1}, {}, {"source": 2, "note": 3}, {"split": 1}]
    rows = [
        row | kind | {"prompt": f"Ask number {i}."}
        for i, kind in enumerate(kinds * 5)
        for row in labelled("response_a", "response_b")
    ]
    pairs.pairs_of_names.cache_clear()
    expected = read_preferences(rows)
    first = n_calls["looks"]
    # Each set of columns is looked at in some subsets, of which no finder looks at one again.
    assert 0 < pairs.pairs_of_names.cache_info().misses <= 3 * len(kinds)
    assert pairs.pairs_of_names.cache_info().hits > 2 * pairs.pairs_of_names.cache_info().misses
    again = read_preferences(rows)
    assert n_calls["looks"] == first
    assert (again.X == expected.X).all()
    # Of names, only words that they have are tried, not all that are known.
    assert first <= 3 * len(kinds) * 2 * len(rows[0])
