"""What a fit on a dask collection means, without a cluster: equal to the local fit, or an error."""

import pickle
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from partition_tasks import with_size
from sklearn.base import clone
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator

import sklearn_codex
from sklearn_codex import (
    AnnotatorRewardModel,
    BootstrapRewardEnsemble,
    NGramCounter,
    NGramLM,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RewardUncertainty,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    _partitions,
    check_preferences,
)
from sklearn_codex._data.corpora import read_corpus
from sklearn_codex._data.vectorizers import token_names
from sklearn_codex._reward.partitioned_pairs import read_problem
from sklearn_codex.exceptions import SeparationWarning
from sklearn_codex.features import ResponseFeatures
from sklearn_codex.metrics import preference_scorers

REASON = "needs dask: pip install 'sklearn-codex[distributed]'"
dask = pytest.importorskip("dask", reason=REASON)
db = pytest.importorskip("dask.bag", reason=REASON)
da = pytest.importorskip("dask.array", reason=REASON)

WORDS = ["the", "a", "cat", "dog", "on", "mat", "good", "x9", "Émile", "<unk>"]


@pytest.fixture(autouse=True)
def one_process():
    with dask.config.set(scheduler="sync"):
        yield


def make_texts(n, seed=0):
    rng = np.random.RandomState(seed)
    return [" ".join(rng.choice(WORDS, rng.randint(1, 9))) for _ in range(n)]


TEXTS = make_texts(40)
COUNTS = TokenCounter().fit_transform(TEXTS)
N, V = COUNTS.shape
PAIRS = list(zip(make_texts(90, seed=1), make_texts(90, seed=2), strict=True))
RNG = np.random.RandomState(3)
LABELS = RNG.randint(0, 2, 90)
DIFFERENCES = RNG.normal(size=(90, 6))
WEIGHTS = RNG.randint(0, 3, 90)


def sizes(array, *keep):
    """An array of blocks of these numbers of rows, which dask is not told."""
    blocks = da.from_array(array, chunks=(10, *array.shape[1:]))
    kept = iter(keep)
    parts = [
        da.from_delayed(
            dask.delayed(with_size)(part, next(kept, 10)),
            shape=(np.nan, *array.shape[1:]),
            meta=array[:0],
        )
        for part in blocks.to_delayed().ravel()
    ]
    return da.concatenate(parts)


def as_blocks(counts, *ends):
    """A dask array of CSR blocks."""
    parts = [counts[start:end] for start, end in zip((0, *ends), (*ends, N), strict=True)]
    meta = sp.csr_array((0, V))
    return da.concatenate(
        [da.from_delayed(dask.delayed(part), shape=part.shape, meta=meta) for part in parts]
    )


COUNT_ARRAYS = {
    "dense": lambda: da.from_array(COUNTS.toarray(), chunks=(7, V)),
    "columns in chunks": lambda: da.from_array(COUNTS.toarray(), chunks=(7, 4)),
    "integers": lambda: da.from_array(COUNTS.toarray().astype(int), chunks=(N, V)),
    "csr": lambda: as_blocks(COUNTS, 3, 20),
    "unknown sizes": lambda: sizes(COUNTS.toarray()),
    "empty blocks": lambda: as_blocks(COUNTS, 0, 20, 20),
    "counted lazily": lambda: TokenCounter().fit(TEXTS).transform(db.from_sequence(TEXTS)),
}


def assert_same_counts(one, other):
    assert_array_equal(one.token_count_, other.token_count_)
    assert_array_equal(one.token_log_prob_, other.token_log_prob_)
    assert_array_equal(token_names(one), token_names(other))
    for name in ("n_tokens_", "n_documents_", "document_length_", "n_features_in_"):
        assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize("kind", COUNT_ARRAYS)
def test_arrays_of_counts(kind):
    lazy, local = COUNT_ARRAYS[kind](), UnigramLM().fit(COUNTS)
    model = UnigramLM().fit(lazy)
    assert_same_counts(model, local)
    assert model.score(lazy) == local.score(COUNTS)
    assert model.perplexity(lazy) == local.perplexity(COUNTS)
    for method in ("score_samples", "predict", "predict_log_proba"):
        rows = getattr(model, method)(lazy)
        assert_array_equal(rows.compute(), getattr(local, method)(COUNTS))
        assert rows.dtype == getattr(local, method)(COUNTS).dtype
    assert_same_counts(
        SFTRefiner(prior_strength=9).fit(lazy), SFTRefiner(prior_strength=9).fit(COUNTS)
    )
    passed = TokenCounter().fit(lazy).transform(lazy)
    assert_array_equal(passed.compute().toarray(), COUNTS.toarray())


@pytest.mark.parametrize("kind", ["memory", "bag", "array of text", "counts", "array of counts"])
def test_a_corpus_adds_up_wherever_it_is(kind):
    texts, counts = ["a b", "b", "b b a"], np.array([[0, 1, 1], [0, 0, 1], [0, 1, 2]])
    X = {
        "memory": texts,
        "bag": db.from_sequence(texts, npartitions=2),
        "array of text": da.from_array(np.array(texts, dtype=object), chunks=1),
        "counts": counts,
        "array of counts": da.from_array(counts, chunks=(2, 1)),
    }[kind]
    model = UnigramLM()  # <unk>, a, b
    token_count, weight = read_corpus(model, X, [2, 0, 3], reset=True).sum()
    assert_array_equal(token_count, [0, 5, 8])
    assert (weight, model.n_features_in_) == (5, 3)
    assert (token_names(model) is None) == ("counts" in kind)
    assert_array_equal(read_corpus(model, X, reset=False).sum()[0], [0, 2, 4])


@pytest.mark.parametrize("options", [
    {}, {"eos_token": "<eos>", "min_count": 9, "min_ngram_count": 3}, {"max_ngrams": 5},
])  # fmt: skip
def test_models_of_ngrams_are_the_same_bits(options):
    bag = db.from_sequence(TEXTS, npartitions=5)
    counter = NGramCounter(3, **options)
    local, lazy = clone(counter).fit(TEXTS), clone(counter).fit(bag)
    names = local.get_feature_names_out()
    assert_array_equal(lazy.get_feature_names_out(), names)
    assert vars(lazy).keys() == vars(local).keys()
    assert (lazy.transform(bag).compute() != local.transform(TEXTS)).nnz == 0
    assert clone(counter).fit_transform(bag).compute().shape == (N, len(names))
    model, remote = (NGramLM(vectorizer=counter).fit(X) for X in (TEXTS, bag))
    assert_array_equal(remote.arc_log_prob_, model.arc_log_prob_)
    assert remote.score(bag) == model.score(TEXTS)
    assert_array_equal(remote.predict(bag).compute(), model.predict(TEXTS))
    assert_array_equal(remote.predict_log_proba(bag).compute(), model.predict_log_proba(TEXTS))
    base = FrozenEstimator(model)
    refined = SFTRefiner(base).fit(bag)
    assert_array_equal(refined.arc_log_prob_, SFTRefiner(base).fit(TEXTS).arc_log_prob_)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_scores_are_the_same_bits_of_any_parts_in_any_order(order, weighted):
    model = NGramLM(order).fit(TEXTS[:20])
    rng = np.random.RandomState(order)
    shuffled = rng.permutation(N)
    weight = np.where(rng.rand(N) < 0.2, 0.0, np.exp(rng.normal(0, 9, N))) if weighted else None
    apart = db.concat([db.from_sequence([text]) for text in TEXTS])
    holed = db.from_sequence(["", *TEXTS, ""], npartitions=30).filter(bool)
    corpora = {
        "text": (TEXTS, weight),
        "array": (np.array(TEXTS, dtype=object), weight),
        "counts": (model.vectorizer_.transform(TEXTS), weight),
        "shuffled": ([TEXTS[i] for i in shuffled], weight if weight is None else weight[shuffled]),
        "bag": (db.from_sequence(TEXTS, npartitions=7), weight),
        "one partition": (db.from_sequence(TEXTS, npartitions=1), weight),
        "each document apart": (apart, weight),
        "empty partitions": (holed, weight),
        "lazy counts": (
            model.vectorizer_.transform(db.from_sequence(TEXTS, npartitions=5)),
            weight,
        ),
    }
    if weighted:
        parts = {"npartitions": 9}
        corpora["weights in a bag"] = (
            db.from_sequence(TEXTS, **parts), db.from_sequence(weight.tolist(), **parts)
        )  # fmt: skip
    lengths = [len(text.split()) for text in TEXTS]
    weight = np.ones(N) if weight is None else weight
    products = zip(weight, model.score_samples(TEXTS), lengths, strict=True)
    sums = np.sum([[Fraction(w * ll), Fraction(w * n)] for w, ll, n in products], axis=0)
    expected = float(sums[0] / sums[1])
    scores = {name: model.score(X, sample_weight=weight) for name, (X, weight) in corpora.items()}
    assert scores == dict.fromkeys(corpora, expected)
    perplexities = {model.perplexity(*case) for case in corpora.values()}
    assert perplexities == {float(np.exp(-expected))}


def test_bags_with_empty_partitions():
    bag = db.from_sequence(["", *TEXTS], npartitions=9).filter(bool)
    bag = db.concat([bag.filter(lambda text: text == "none such"), bag])
    assert_same_counts(UnigramLM().fit(bag), UnigramLM().fit(TEXTS))
    assert_array_equal(
        TokenCounter("code", lowercase=True).fit_transform(bag).compute().toarray(),
        TokenCounter("code", lowercase=True).fit_transform(TEXTS).toarray(),
    )


def test_arrays_of_text():
    texts = da.from_array(np.array(TEXTS, dtype=object), chunks=9)
    assert_same_counts(UnigramLM().fit(texts), UnigramLM().fit(TEXTS))
    pairs = da.from_array(np.array(PAIRS, dtype=object), chunks=(20, 1))
    assert_agree(pairs, da.from_array(LABELS, chunks=30))


@pytest.mark.parametrize("kind", ["memory", "bag", "array", "number"])
def test_weights_of_documents(kind):
    weights = RNG.randint(0, 3, N)
    given = {
        "memory": weights.tolist(),
        "bag": db.from_sequence(weights, npartitions=5),
        "array": da.from_array(weights, chunks=8),
        "number": 2,
    }[kind]
    expected = 2 * np.ones(N) if kind == "number" else weights
    bag = db.from_sequence(TEXTS, npartitions=5)
    model = UnigramLM().fit(bag, sample_weight=given)
    local = UnigramLM().fit(TEXTS, sample_weight=expected)
    assert_same_counts(model, local)
    assert model.score(bag, sample_weight=given) == local.score(TEXTS, sample_weight=expected)


def test_partial_fit_mixes_memory_and_collections():
    counter = FrozenEstimator(TokenCounter().fit(TEXTS))
    model = UnigramLM(vectorizer=counter).partial_fit(TEXTS[:5])
    model.partial_fit(db.from_sequence(TEXTS[5:30], npartitions=2)).partial_fit(TEXTS[30:])
    assert_same_counts(model, UnigramLM().fit(TEXTS))
    base = FrozenEstimator(model)
    refined = SFTRefiner(base).partial_fit(db.from_sequence(TEXTS[:9])).partial_fit(TEXTS[9:12])
    assert_same_counts(refined, SFTRefiner(base).fit(TEXTS[:12]))


@pytest.mark.parametrize("options", [
    {}, {"vocabulary": ["cat", "the"]}, {"eos_token": "<eos>", "unk_token": None}, {"min_count": 9},
    {"max_features": 3, "min_count": 2}, {"tokenizer": str.split}, {"lowercase": True},
])  # fmt: skip
def test_vocabularies(options):
    bag = db.from_sequence(TEXTS, npartitions=6)
    local, lazy = TokenCounter(**options).fit(TEXTS), TokenCounter(**options).fit(bag)
    assert list(lazy.vocabulary_.items()) == list(local.vocabulary_.items())
    assert vars(lazy).keys() == vars(local).keys()
    assert (lazy.unk_index_, lazy.eos_index_) == (local.unk_index_, local.eos_index_)


def local_pairs(X):
    return X.compute() if hasattr(X, "compute") else X


def assert_agree(X, y, sample_weight=None, **params):
    """Fit lazily and in memory; return the lazy model."""
    model = PreferenceRewardModel(**params).fit(X, y, sample_weight)
    given = [local_pairs(values) for values in (X, y, sample_weight)]
    local = PreferenceRewardModel(**params).fit(*given)
    assert_allclose(model._weights(), local._weights(), rtol=0, atol=1e-9)
    assert_allclose(model._precision, local._precision, rtol=1e-9)
    assert_array_equal(model.classes_, local.classes_)
    assert_array_equal(token_names(model), token_names(local))
    assert vars(model).keys() == vars(local).keys()
    for ours, theirs in zip(model.history_, local.history_, strict=True):
        assert list(ours) == list(theirs)
        assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-6, atol=1e-9)
    assert_allclose(model.score(X, y, sample_weight), local.score(*given), rtol=1e-12)
    for method in ("decision_function", "predict_proba", "predict_log_proba", "reward_margin"):
        rows = getattr(model, method)(X).compute()
        assert_allclose(rows, getattr(local, method)(given[0]), rtol=1e-7, atol=1e-9)
    assert_array_equal(model.predict(X).compute(), local.predict(given[0]))
    return model


BAG = db.from_sequence(PAIRS, npartitions=4)
SOFT = np.round(RNG.rand(90), 1)
LABEL_KINDS = {
    "memory": LABELS,
    "bag": db.from_sequence(LABELS, npartitions=4),
    "words": np.array(["lost", "won"])[LABELS],
    "sorted": np.sort(LABELS),
    "soft": SOFT,
    "soft, some partitions hard": np.where(np.arange(90) < 50, LABELS, SOFT),
}


@pytest.mark.parametrize("kind", LABEL_KINDS)
def test_labels_of_pairs(kind):
    assert_agree(BAG, LABEL_KINDS[kind])


@pytest.mark.parametrize("options", [
    {"position_bias": True}, {"control_length": True, "C": 0.1}, {"C": 1e-3},
    {"position_bias": True, "control_length": True, "C": 0.01},
])  # fmt: skip
@pytest.mark.parametrize("weighted", [False, True])
def test_options_of_reward_models(options, weighted):
    weights = WEIGHTS * (np.arange(90) >= 30) if weighted else None  # a partition without weight
    assert_agree(BAG, LABELS, weights, **options)
    counted = FrozenEstimator(TokenCounter(vocabulary=list("abcde")).fit(["a"]))
    arrays = da.from_array(DIFFERENCES, chunks=(25, 3))
    assert_agree(arrays, LABELS, weights, vectorizer=counted, **options)
    assert_agree(BAG, np.maximum(SOFT, 0.1), weights, **options)  # no label is 0


@pytest.mark.parametrize("X", [
    da.from_array(DIFFERENCES, chunks=(40, 2)),
    sizes(DIFFERENCES),
    da.from_array(np.round(DIFFERENCES), chunks=(30, 6)).map_blocks(sp.csr_array),
], ids=["dense", "unknown sizes", "csr"])  # fmt: skip
def test_differences(X):
    labels = da.from_array(LABELS, chunks=45) if not np.isnan(X.shape[0]) else sizes(LABELS)
    assert_agree(X, labels)


def test_many_columns_have_a_diagonal_precision():
    X = RNG.normal(size=(90, 130))
    model = assert_agree(da.from_array(X, chunks=(40, 130)), LABELS)
    assert model._precision.shape == (130,)


def test_vectorizers_of_pairs():
    prompted = BAG.map(lambda pair: (f"about {pair[0][:3]}", *pair))
    form = FrozenEstimator(ResponseFeatures().fit(np.array([["p", "a b"], ["q", "c"]], object)))
    for vectorizer in (form, HashingVectorizer(n_features=64, norm=None, alternate_sign=False)):
        assert_agree(prompted, LABELS, vectorizer=vectorizer)
    counter = FrozenEstimator(TokenCounter("word", min_count=20).fit(make_texts(90, seed=1)))
    model = assert_agree(BAG, LABELS, vectorizer=counter)
    assert_array_equal(model.reward(db.from_sequence(TEXTS)).compute(), model.reward(TEXTS))


@pytest.mark.parametrize(
    "model",
    [
        PreferenceRewardModelCV([0.1], cv=2),
        AnnotatorRewardModel(flip_rate=0.1),
        RewardUncertainty(),
        BootstrapRewardEnsemble(n_estimators=2, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_all_models_of_pairs_answer_for_partitions(model):
    model.fit(PAIRS, LABELS)
    for method in ("decision_function", "predict_proba", "predict"):
        ours, theirs = getattr(model, method)(BAG).compute(), getattr(model, method)(PAIRS)
        assert_allclose(ours, theirs, rtol=1e-12)
    assert model.score(BAG, LABELS, WEIGHTS) == pytest.approx(model.score(PAIRS, LABELS, WEIGHTS))


def test_scorers_take_partitions_and_know_no_leakage_of_theirs():
    prompted = [(f"about {pair[0][:3]}", *pair) for pair in PAIRS]
    model = PreferenceRewardModel().fit(prompted[:60], LABELS[:60])
    rest = db.from_sequence(prompted[30:], npartitions=2)
    for score in preference_scorers.values():
        assert np.isfinite(score(model, rest, LABELS[30:]))


def test_estimators_do_not_ask_whether_data_are_in_partitions():
    for path in Path(sklearn_codex.__file__).parent.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert not ("BaseEstimator" in source and "is_collection" in source), path


def test_warm_start():
    model = PreferenceRewardModel(warm_start=True).fit(BAG, LABELS)
    again = model.fit(BAG, LABELS)
    assert again.n_iter_ == 0


def test_labels_told_by_position_alone_are_warned_of():
    counted = FrozenEstimator(TokenCounter(unk_token=None, vocabulary=["a"]).fit(["a"]))
    X = da.from_array(np.vstack([np.ones((6, 1)), -np.ones((6, 1))]), chunks=4)
    with pytest.warns(SeparationWarning, match="position and length alone tell every label"):
        PreferenceRewardModel(control_length=True, C=1e-6, vectorizer=counted).fit(
            X, np.repeat([1, 0], 6)
        )
    with pytest.raises(ValueError, match=r"numbers do not tell.*PairsWithLength"):
        PreferenceRewardModel(control_length=True).fit(X, np.repeat([1, 0], 6))


def test_the_loss_of_partitions_is_that_of_memory_and_each_point_one_pass(monkeypatch):
    computed = []

    def compute(*lazy):
        computed.append(lazy)
        return dask.compute(*lazy)

    monkeypatch.setattr(_partitions, "_compute", compute)
    lazy = da.from_array(DIFFERENCES, chunks=(25, 6))
    losses = []
    for X in (DIFFERENCES, lazy):
        model = PreferenceRewardModel(position_bias=True)
        losses.append(read_problem(model, X, LABELS, WEIGHTS).make_loss(0.3))
    weights, direction = RNG.normal(size=(2, 7))
    computed.clear()
    here, there = (loss.at(weights) for loss in losses)
    (gradient, curvature), (sums, bends) = (
        loss.derivatives(point) for loss, point in zip(losses, (here, there), strict=True)
    )
    assert there.value == pytest.approx(here.value)
    assert losses[1].describe(there) == pytest.approx(losses[0].describe(here))
    assert_allclose(sums, gradient)
    assert_allclose(bends.diagonal(), curvature.diagonal())
    assert_allclose(bends.add_to(np.ones(7)), curvature.add_to(np.ones(7)))
    assert len(computed) == 1
    assert_allclose(bends.product(direction)[0], curvature.product(direction)[0])
    assert len(computed) == 2
    assert_allclose(bends.add_to(np.eye(7)), curvature.add_to(np.eye(7)))
    assert len(computed) == 3


def sent_to_client(monkeypatch, fit):
    """The bytes of everything that is computed for the client during a fit."""
    sent = []

    def compute(*lazy):
        results = dask.compute(*lazy)
        sent.append(len(pickle.dumps(results)))
        return results

    monkeypatch.setattr(_partitions, "_compute", compute)
    fit()
    monkeypatch.undo()
    return max(sent)


@pytest.mark.parametrize("kind", ["text", "pairs"])
def test_what_comes_to_the_client_does_not_grow_with_the_data(monkeypatch, kind):
    def fit(n):
        if kind == "text":
            UnigramLM().fit(db.from_sequence(TEXTS * n, npartitions=8))
        else:
            bag = db.from_sequence(list(zip(PAIRS, LABELS, strict=True)) * n, npartitions=8)
            PreferenceRewardModel().fit(bag.pluck(0), bag.pluck(1))

    few, many = (sent_to_client(monkeypatch, partial(fit, n)) for n in (1, 20))
    assert many < few + 100  # the sums are larger numbers


TEXT_BAG = db.from_sequence(TEXTS, npartitions=3)
UNKNOWN_COLUMNS = da.from_delayed(dask.delayed(np.eye(2)), shape=(2, np.nan), meta=np.empty((0, 0)))
ERRORS = {
    "no document": (UnigramLM(), (TEXT_BAG.filter(lambda text: False),), ValueError,
        r"TokenCounter got 0 documents"),
    "no row": (UnigramLM(), (as_blocks(COUNTS[:0]),), ValueError, "UnigramLM got 0 documents"),
    "no token": (UnigramLM(), (db.from_sequence(["  ", ""]),), ValueError, "found no tokens"),
    "empty document": (UnigramLM(), (db.from_sequence([*TEXTS, ""]),), ValueError,
        r"1 document\(s\) without a token"),
    "bytes": (UnigramLM(), (db.from_sequence([b"a"]),), TypeError, r"X\[0\] is b'a', of type by"),
    "numbers in a bag": (TokenCounter(), (db.from_sequence([1]),), TypeError,
        "expected a dask bag to hold str, got 1"),
    "negative counts": (UnigramLM(), (da.from_array(-COUNTS.toarray()),), ValueError, "Negative"),
    "negative counts of a counter": (TokenCounter(), (da.from_array(-COUNTS.toarray()),),
        ValueError, "Negative values in data passed to X in TokenCounter"),
    "missing counts of a counter": (TokenCounter(), (da.from_array(np.full((2, 3), np.nan)),),
        ValueError, "X contains NaN"),
    "no counts for a counter": (TokenCounter(), (da.zeros((0, 3)),), ValueError, "got 0 documents"),
    **{
        f"unknown columns, {type(model).__name__}": (model, (UNKNOWN_COLUMNS, [1, 0]), ValueError,
            rf"{type(model).__name__} needs a dask array whose number of columns is known, got one "
            r"of shape \(2, nan\). Call X.compute_chunk_sizes\(\) first")
        for model in (TokenCounter(), UnigramLM(), SFTRefiner(), PreferenceRewardModel())
    },
    "a number for a bag": (UnigramLM(), (TEXT_BAG, None, [1.0]), ValueError,
        "UnigramLM got 1 values of sample_weight for 40 rows of X"),
    "weights of other partitions": (UnigramLM(), (TEXT_BAG, None, db.from_sequence([1] * 40)),
        ValueError, "UnigramLM got sample_weight of 40 partitions for X of 3"),
    "no weight": (UnigramLM(), (TEXT_BAG, None, np.zeros(40)), ValueError, "at least one non-zero"),
    "a vectorizer to fit": (UnigramLM(vectorizer=TfidfVectorizer()), (TEXT_BAG,), ValueError,
        "UnigramLM cannot fit the vectorizer TfidfVectorizer on a dask collection"),
    "a base of counts": (SFTRefiner(FrozenEstimator(UnigramLM().fit(COUNTS))), (TEXT_BAG,),
        ValueError, "its policy was fitted on counts"),
    "a delayed object": (UnigramLM(), (dask.delayed(TEXTS),), TypeError,
        "takes dask bags and arrays, got a dask Delayed"),
    "the preset": (PreferenceRewardModel(vectorizer="preference"), (BAG, LABELS), ValueError,
        "cannot fit the vectorizer .* on a dask collection"),
    "min_count of pairs": (PreferenceRewardModel(vectorizer=TokenCounter(min_count=2)),
        (BAG, LABELS), ValueError, "cannot choose the vocabulary of a dask collection of pairs"),
    "one class": (PreferenceRewardModel(), (BAG, np.ones(90)), ValueError, "needs pairs of two"),
    "one class that counts": (PreferenceRewardModel(), (BAG, LABELS, LABELS), ValueError,
        "needs pairs of two classes"),
    "three classes": (PreferenceRewardModel(), (BAG, np.arange(90) % 3), ValueError,
        "Only binary classification"),
    "no labels": (PreferenceRewardModel(), (BAG, None), ValueError, "requires y to be passed"),
    "single responses": (PreferenceRewardModel(), (TEXT_BAG, LABELS[:40]), TypeError,
        "Single responses are for reward"),
    "no pair": (PreferenceRewardModel(), (BAG.filter(lambda pair: False), BAG.filter(bool)),
        ValueError, "got 0"),
    "weightless pairs": (PreferenceRewardModel(), (BAG, LABELS, np.zeros(90)), ValueError,
        "at least one non-zero"),
    "a policy": (PPOPolicyOptimizer(), (TEXT_BAG, np.ones(N)), TypeError,
        r"PPOPolicyOptimizer needs its data in memory here, got a dask Bag. Pass X.compute\(\)"),
    "a search of C": (PreferenceRewardModelCV(), (BAG, LABELS), TypeError, "in memory here"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    model, arguments, kind, message = ERRORS[case]
    with pytest.raises(kind, match=message):
        model.fit(*arguments)


def test_unknown_numbers_of_rows_and_column_blocks():
    array = sizes(COUNTS.toarray(), 10, 0, 5, 10)
    blocks = array.rechunk({1: 4})
    assert np.isnan(blocks.shape[0])
    expected = UnigramLM().fit(array.compute())
    assert_same_counts(UnigramLM().fit(array), expected)
    assert_same_counts(UnigramLM().fit(blocks), expected)
    assert TokenCounter().fit(blocks).n_features_in_ == V


@pytest.mark.parametrize("asked", ["pandas", "polars"])
@pytest.mark.parametrize("kind", ["bag", "array"])
def test_collections_become_counts_whatever_output_is_set(kind, asked):
    X = TEXT_BAG if kind == "bag" else da.from_array(COUNTS.toarray(), chunks=(10, V))
    with sklearn.config_context(transform_output=asked):
        counts = [TokenCounter().fit(X).transform(X), TokenCounter().fit_transform(X)]
        for given in counts:
            assert_array_equal(given.compute().toarray(), COUNTS.toarray())


def test_a_first_batch_that_fails_fixes_no_columns():
    model = UnigramLM()
    with pytest.raises(ValueError, match="Negative"):
        model.partial_fit(TEXT_BAG, sample_weight=-np.ones(N))
    assert_same_counts(model.partial_fit(["other words"]), UnigramLM().fit(["other words"]))


def test_errors_beside_fits():
    with pytest.raises(TypeError, match="in memory here, got a dask Array"):
        PreferenceRewardModel().partial_fit(da.from_array(DIFFERENCES), LABELS)
    with pytest.raises(TypeError, match="in memory here, got a dask Bag"):
        check_preferences(BAG, LABELS)
    model = UnigramLM().fit(COUNTS)
    with pytest.raises(ValueError, match=r"positive weight, got 30 document\(s\) with none"):
        model.score(sizes(np.zeros((30, V))))
    with pytest.raises(TypeError, match="ResponseFeatures needs its data in memory here"):
        ResponseFeatures().fit(da.from_array(np.array(PAIRS, dtype=object), chunks=20))
    with pytest.raises(TypeError, match="taken by fit and transform of TokenCounter"):
        TokenCounter().partial_fit(TEXT_BAG)
    with pytest.raises(ValueError, match="knows columns and no words"):
        model.score(TEXT_BAG)
    with pytest.raises(ValueError, match=r"has 3 features, but UnigramLM is expecting 10"):
        model.score(da.from_array(np.ones((4, 3))))


def test_labels_of_a_partition_without_rows_are_refused():
    pairs = [("a b", "b"), ("b", "a b"), ("c", "a")]
    rows = db.from_sequence(pairs, npartitions=3).filter(lambda pair: pair[0] != "b")
    labels = db.from_sequence([1, 0, 1], npartitions=3)
    with pytest.raises(ValueError, match="A partition of X has 0 rows and 1 labels"):
        PreferenceRewardModel().fit(rows, labels)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("options", [{}, {"position_bias": True}])
def test_pairs_of_vectors(options, kind):
    vectors = np.random.RandomState(4).standard_normal((60, 2, 3)).astype(kind)
    y = np.random.RandomState(5).randint(2, size=60)
    # Blocks of columns, and of sides, are put together again.
    lazy = da.from_array(vectors, chunks=(25, 1, 2))
    expected = PreferenceRewardModel(tol=1e-10, **options).fit(vectors, y)
    fitted = PreferenceRewardModel(tol=1e-10, **options).fit(lazy, y)
    assert_allclose(fitted.coef_, expected.coef_, rtol=1e-6)
    for method in ("decision_function", "predict", "predict_proba", "reward"):
        answer = getattr(fitted, method)(lazy)
        assert answer.shape == getattr(fitted, method)(vectors).shape
        assert_allclose(answer.compute(), getattr(fitted, method)(vectors), rtol=1e-6)
    assert fitted.score(lazy, da.from_array(y, chunks=(25,))) == fitted.score(vectors, y)
    with pytest.raises(ValueError, match=r"pairs of vectors of shape \(n_pairs, 2, n_features\)"):
        PreferenceRewardModel().fit(lazy[:, [0, 1, 1]], y)


def test_lengths_of_pairs_of_counts():
    counts = np.random.RandomState(6).poisson(1.0, (40, 2, V))
    y = np.random.RandomState(7).randint(2, size=40)
    words = FrozenEstimator(TokenCounter().fit(TEXTS))
    make = partial(PreferenceRewardModel, control_length=True, vectorizer=words, tol=1e-10)
    expected, fitted = (
        make().fit(counts, y),
        make().fit(da.from_array(counts, chunks=(15, 2, -1)), y),
    )
    assert_allclose(fitted.length_coef_, expected.length_coef_, rtol=1e-6)
    assert fitted.length_scale_ == pytest.approx(expected.length_scale_)
