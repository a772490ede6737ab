"""Embedders of text as vectorizers: frozen, nameless, cached on disk, united with the preset."""

import pickle
import sqlite3
import warnings
from multiprocessing import get_context

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from sklearn_codex import (
    BootstrapRewardEnsemble,
    PairVectorizer,
    PlackettLuceModel,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RewardUncertainty,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex._embedding.products import PromptProducts
from sklearn_codex.features import CachedEmbedder, preference_features

WORDS = ["sun", "moon", "star", "cloud", "rain", "wind", "snow", "leaf", "tree", "root", "stone"]
RNG = np.random.RandomState(0)
RESPONSES = [" ".join(RNG.choice(WORDS, size=size)) for size in RNG.randint(2, 12, size=40)]
PAIRS = [(f"ask {i % 9}", *(RESPONSES[j] for j in RNG.randint(40, size=2))) for i in range(60)]
Y = np.array([int(a.count("s") > b.count("s")) for _, a, b in PAIRS])
DISTINCT = {text for _, *both in PAIRS for text in both}


def embed(texts):
    """Return shares of letters and the root of the length: vectors that differ as texts do."""
    shares = [[text.count(c) / max(len(text), 1) for c in "aemnorstuwy"] for text in texts]
    return np.column_stack([shares, np.sqrt([len(text) for text in texts]) / 5])


class Counting:
    """An embedder that remembers what it was given."""

    def __init__(self, function=embed):
        self.function = function
        self.batches = []

    @property
    def texts(self):
        return [text for batch in self.batches for text in batch]

    def __call__(self, texts):
        self.batches.append(list(texts))
        return self.function(texts)


class Embedder(TransformerMixin, BaseEstimator):
    """The least that a transformer of texts can be: nothing to fit, no names."""

    def fit(self, texts, y=None):
        return self

    def transform(self, texts):
        return embed(texts)


NAMELESS = {
    "embedder": Embedder(),
    "hash": HashingVectorizer(n_features=32, norm=None),
    "cached": CachedEmbedder(embed),
}
MODELS = {
    "PreferenceRewardModel": PreferenceRewardModel,
    "PreferenceRewardModelCV": lambda **options: PreferenceRewardModelCV(Cs=[0.1, 1.0], **options),
    "RewardUncertainty": lambda **options: RewardUncertainty(PreferenceRewardModel(**options)),
    "BootstrapRewardEnsemble": lambda **options: BootstrapRewardEnsemble(
        PreferenceRewardModel(**options), n_estimators=2, random_state=0
    ),
}


def differences(vectorizer):
    return PairVectorizer(vectorizer).fit_transform(PAIRS)


@pytest.mark.parametrize("name", NAMELESS)
@pytest.mark.parametrize("model", MODELS)
def test_a_frozen_vectorizer_without_names_stays_beside_numbers_and_reads_text(model, name):
    frozen = FrozenEstimator(NAMELESS[name])
    with_groups = model in ("PreferenceRewardModelCV", "BootstrapRewardEnsemble")
    groups = {"groups": [pair[0] for pair in PAIRS]} if with_groups else {}
    on_numbers = MODELS[model](vectorizer=frozen).fit(differences(frozen), Y, **groups)
    on_text = MODELS[model](vectorizer=frozen).fit(PAIRS, Y, **groups)
    assert_allclose(on_numbers.reward(RESPONSES), on_text.reward(RESPONSES), rtol=1e-6, atol=1e-9)
    assert_allclose(on_numbers.predict_proba(PAIRS), on_text.predict_proba(PAIRS), rtol=1e-6)


def test_rankings_keep_a_frozen_embedder_too():
    rows = [(prompt, text) for prompt, *both in PAIRS for text in both]
    groups = np.repeat(np.arange(len(PAIRS)), 2)
    scores = np.column_stack([Y, 1 - Y]).ravel()
    frozen = FrozenEstimator(Embedder())
    model = PlackettLuceModel(vectorizer=frozen).fit(
        embed([text for _, text in rows]), scores, groups=groups
    )
    assert_allclose(model.reward(["sun moon"]), model.reward(embed(["sun moon"])), rtol=1e-12)


def test_a_frozen_embedder_of_other_numbers_is_told_when_it_reads():
    model = PreferenceRewardModel(vectorizer=FrozenEstimator(Embedder()))
    model.fit(RNG.randn(20, 5), np.arange(20) % 2)
    with pytest.raises(ValueError, match=r"fitted on 5 features.*Embedder, makes 12 of a text"):
        model.reward(["sun"])


def test_an_unfitted_frozen_vectorizer_is_refused():
    with pytest.raises(NotFittedError, match=r"vectorizer is not fitted"):
        PreferenceRewardModel(vectorizer=FrozenEstimator(TfidfVectorizer())).fit(PAIRS, Y)


@pytest.mark.parametrize("vectorizer", [TokenCounter(), "preference", CachedEmbedder(embed)])
def test_a_vectorizer_beside_numbers_is_not_ignored_in_silence(vectorizer):
    X = RNG.randn(20, 5)
    named = "ColumnTransformer" if vectorizer == "preference" else type(vectorizer).__name__
    for numbers in (X, np.stack([X, -X], axis=1)):
        with pytest.warns(UserWarning, match=rf"got numbers as X, so vectorizer={named}.*not used"):
            model = PreferenceRewardModel(vectorizer=vectorizer).fit(numbers, np.arange(20) % 2)
        assert model.vectorizer_ is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.predict(numbers)


def test_counts_beside_a_vectorizer_warn_as_well():
    with pytest.warns(UserWarning, match="UnigramLM got numbers as X, so vectorizer=TokenCounter"):
        UnigramLM(vectorizer=TokenCounter()).fit([[1, 2], [0, 1]])


class Short(Embedder):
    def __init__(self, lost=1):
        self.lost = lost

    def transform(self, texts):
        made = embed(texts)
        return made[: len(made) - self.lost]


@pytest.mark.parametrize("frozen", [True, False])
def test_the_number_of_rows_is_checked(frozen):
    wrap = FrozenEstimator if frozen else lambda vectorizer: vectorizer
    model = PreferenceRewardModel(vectorizer=wrap(Short()))
    n = len(DISTINCT)
    with pytest.raises(ValueError, match=rf"gave {n} distinct texts.*Short, and got {n - 1} rows"):
        model.fit(PAIRS, Y)
    model.set_params(vectorizer=wrap(Short(0))).fit(PAIRS, Y)
    (model.vectorizer_.estimator if frozen else model.vectorizer_).lost = 1
    with pytest.raises(ValueError, match=r"gave 3 distinct texts.*Short, and got 2 rows"):
        model.reward(["a", "b", "c"])
    with pytest.raises(ValueError, match=r"UnigramLM gave 2 distinct texts.*Short, and got 1 rows"):
        UnigramLM(vectorizer=wrap(Short())).fit(["a", "b"])


@pytest.mark.parametrize("kind", ["callable", "encode", "transform"])
def test_embedders_of_every_kind(kind):
    class Model:
        def encode(self, texts):
            return embed(texts).tolist()

    embedder = {"callable": embed, "encode": Model(), "transform": Embedder()}[kind]
    made = CachedEmbedder(embedder, batch_size=3).transform(RESPONSES)
    assert_allclose(made, embed(RESPONSES), rtol=1e-15)


def test_each_distinct_text_is_embedded_once_a_fit_in_batches():
    counting = Counting()
    model = PreferenceRewardModel(vectorizer=CachedEmbedder(counting, batch_size=8)).fit(PAIRS, Y)
    assert sorted(counting.texts) == sorted(DISTINCT)
    assert max(map(len, counting.batches)) == 8
    assert_allclose(
        model.coef_, PreferenceRewardModel(vectorizer=Embedder()).fit(PAIRS, Y).coef_, rtol=1e-10
    )
    counting.batches.clear()
    # The same response to two prompts is one text, though it is two rows of the preset.
    asked_twice = [(prompt + "!", a, b) for prompt, a, b in PAIRS] + PAIRS
    PreferenceRewardModel(vectorizer=preference_features(CachedEmbedder(counting))).fit(
        asked_twice, np.tile(Y, 2)
    )
    assert sorted(counting.texts) == sorted(DISTINCT)


def test_each_distinct_text_is_embedded_once_ever_with_a_memory(tmp_path):
    first, second = Counting(), Counting()
    embedder = CachedEmbedder(first, memory=tmp_path / "new" / "folder", name="m")
    model = PreferenceRewardModel(vectorizer=embedder)
    prompts = np.array([pair[0] for pair in PAIRS])
    scores = cross_val_score(model, np.array(PAIRS), Y, groups=prompts, cv=GroupKFold(3))
    expected = cross_val_score(
        PreferenceRewardModel(vectorizer=Embedder()),
        np.array(PAIRS), Y, groups=prompts, cv=GroupKFold(3),
    )  # fmt: skip
    assert_allclose(scores, expected, rtol=1e-12)
    # One text, the shortest that is known, shows in a call that the embedder is the same.
    probes = [batch[0] for batch in first.batches if len(batch) == 1]
    assert len(first.texts) - len(DISTINCT) <= len(probes) <= 6
    again = CachedEmbedder(second, memory=tmp_path / "new" / "folder", name="m")
    assert_array_equal(again.transform(RESPONSES[::-1]), embed(RESPONSES[::-1]))
    assert set(second.texts) - DISTINCT == set(RESPONSES) - DISTINCT
    assert len(second.texts) == 1 + len(set(RESPONSES) - DISTINCT)


def test_what_was_embedded_before_an_interrupt_is_kept(tmp_path):
    class Interrupted(Counting):
        def __call__(self, texts):
            if len(self.batches) == 2:
                raise KeyboardInterrupt("by hand")
            return super().__call__(texts)

    texts = [f"text {i}" for i in range(10)]
    with pytest.raises(KeyboardInterrupt, match="by hand"):
        CachedEmbedder(Interrupted(), memory=tmp_path, name="m", batch_size=3).transform(texts)
    rest = Counting()
    made = CachedEmbedder(rest, memory=tmp_path, name="m", batch_size=3).transform(texts)
    assert_array_equal(made, embed(texts))
    assert len(rest.texts) == 1 + 4


def test_memory_keeps_floats_as_narrow_as_they_are_and_odd_text(tmp_path):
    texts = ["", "a\x00b", "\ud800", "é", "e\u0301", "a " * 10_000]
    narrow = CachedEmbedder(lambda t: embed(t).astype(np.float16), memory=tmp_path, name="16")
    first = narrow.transform(texts)
    assert first.dtype == np.float16
    assert_array_equal(narrow.transform(texts[::-1])[::-1], first)
    assert narrow.transform(texts).dtype == np.float16


def test_vectors_of_two_embedders_are_not_mixed(tmp_path):
    CachedEmbedder(embed, memory=tmp_path, name="m").transform(RESPONSES)
    other = CachedEmbedder(lambda texts: embed(texts)[:, ::-1], memory=tmp_path, name="m")
    with pytest.raises(ValueError, match=r"another vector of .* was called 'm'. Give another"):
        other.transform(RESPONSES)
    shorter = CachedEmbedder(lambda texts: embed(texts)[:, :3], memory=tmp_path, name="m")
    with pytest.raises(ValueError, match=r"another vector of"):
        shorter.transform(RESPONSES)
    with pytest.raises(ValueError, match=r"vectors of 12 numbers, float64.*now makes 3, float64"):
        shorter.transform(["not seen before"])
    named = CachedEmbedder(other.embedder, memory=tmp_path, name="n")
    assert_array_equal(named.transform(RESPONSES), embed(RESPONSES)[:, ::-1])
    with pytest.raises(ValueError, match=r"memory=.* and name=None.*must not be mixed"):
        CachedEmbedder(embed, memory=tmp_path).transform(["a"])


def test_rounding_of_another_machine_is_the_same_embedder(tmp_path):
    kept = CachedEmbedder(embed, memory=tmp_path, name="m").transform(RESPONSES)
    near = CachedEmbedder(lambda texts: embed(texts) * 1.001, memory=tmp_path, name="m")
    assert_array_equal(near.transform(RESPONSES), kept)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"no database at all" * 100),
        lambda path: execute(path, "DROP TABLE vectors; CREATE TABLE vectors (x)"),
        lambda path: execute(path, "UPDATE embedder SET dtype = 'O'"),
        lambda path: execute(path, "UPDATE embedder SET n_features = 'many'"),
        lambda path: execute(path, "UPDATE embedder SET name = 'other'"),
        lambda path: execute(path, "UPDATE vectors SET vector = x'00'"),
        lambda path: execute(path, "UPDATE vectors SET vector = 'text'"),
    ],
)
def test_a_damaged_memory_is_one_error_that_names_the_file(tmp_path, damage):
    embedder = CachedEmbedder(embed, memory=tmp_path, name="m")
    embedder.transform(RESPONSES)
    (path,) = tmp_path.glob("*.sqlite3")
    damage(path)
    with pytest.raises(ValueError, match=rf"{path.name}"):
        embedder.transform(RESPONSES)


def execute(path, script):
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


def _embed_in_a_process(folder):
    return CachedEmbedder(embed, memory=folder, name="m", batch_size=1).transform(RESPONSES)


def test_processes_share_a_memory(tmp_path):
    with get_context("spawn").Pool(2) as pool:
        results = pool.map(_embed_in_a_process, [tmp_path] * 2)
    for made in results:
        assert_array_equal(made, embed(RESPONSES))


@pytest.mark.parametrize(
    ("embedder", "error", "match"),
    [
        (lambda t: embed(t)[1:], ValueError, r"gave its embedder 2 texts and got 1 vectors"),
        (lambda t: embed(t)[0], ValueError, r"Expected 2D array"),
        (lambda t: np.full((len(t), 2), np.nan), ValueError, r"NaN"),
        (HashingVectorizer(), TypeError, r"dense vectors.*sparse matrix"),
        (lambda t: np.ones((1, len(t[0]))), ValueError, r"vectors of \[1, 2\] numbers"),
    ],
)
def test_what_an_embedder_returns_is_checked(embedder, error, match):
    size = 1 if "numbers" in match else 32
    with pytest.raises(error, match=match):
        CachedEmbedder(embedder, batch_size=size).transform(["a", "bb"])


def test_parameters_and_texts_are_checked():
    with pytest.raises(ValueError, match="The 'batch_size' parameter of CachedEmbedder"):
        CachedEmbedder(embed, batch_size=0).transform(["a"])
    with pytest.raises(ValueError, match="The 'embedder' parameter of CachedEmbedder"):
        CachedEmbedder(3).fit_transform(["a"])
    with pytest.raises(TypeError, match=r"needs the embedder itself.*got embedder='minilm'"):
        CachedEmbedder("minilm").transform(["a"])
    with pytest.raises(TypeError, match="CachedEmbedder"):
        CachedEmbedder(embed).transform([["a", "b"]])
    with pytest.raises(ValueError, match="NaN"):
        CachedEmbedder(embed).transform([[1.0, np.nan]])


def test_a_clone_shares_the_embedder_and_nothing_is_fitted_in_it():
    counting = Counting()
    embedder = CachedEmbedder(counting, batch_size=7, verbose=True)
    copy = clone(embedder)
    assert copy is not embedder
    assert copy.embedder is counting
    assert copy.batch_size == 7
    assert clone(PreferenceRewardModel(vectorizer=embedder)).vectorizer.embedder is counting
    assert not hasattr(embedder, "get_feature_names_out")
    assert embedder.fit(["a"]).get_feature_names_out().tolist()[-1] == "embedding11"
    before = dict(vars(embedder))
    embedder.transform(["a", "b"])
    assert vars(embedder) == before
    fitted = pickle.loads(pickle.dumps(CachedEmbedder(embed).fit(["a"])))
    assert_array_equal(fitted.transform(["ab"]), embed(["ab"]))


def test_progress_is_told_on_standard_error(capsys, tmp_path):
    embedder = CachedEmbedder(embed, verbose=True, memory=tmp_path, name="m\x1b[1m")
    embedder.transform(["a", "b", "a"])
    out, err = capsys.readouterr()
    assert out == ""
    assert "CachedEmbedder: embedded 2 of 2 new texts by m" in err
    assert "\x1b" not in err
    CachedEmbedder(embed).transform(["a"])
    assert capsys.readouterr() == ("", "")


def test_the_union_has_the_preset_and_embeddings_of_norm_one():
    rows = np.array([(prompt, a) for prompt, a, _ in PAIRS], dtype=object)
    union = preference_features(CachedEmbedder(embed), embedding_weight=0.5)
    made = union.fit_transform(rows)
    preset = preference_features().fit_transform(rows)
    width = preset.shape[1]
    assert abs(made[:, :width] - preset).max() == 0
    vectors = embed(rows[:, 1])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert_allclose(made[:, width:].toarray(), 0.5 * unit, rtol=1e-12)
    assert union.get_feature_names_out()[-1] == "embedding__embedding11"


def test_the_union_takes_any_transformer_of_texts_and_names_what_it_can():
    model = PreferenceRewardModel(vectorizer=preference_features(Embedder())).fit(PAIRS, Y)
    assert model.top_features(1).in_favor[0][0].startswith("x")
    named = PreferenceRewardModel(vectorizer=preference_features(CachedEmbedder(embed)))
    names = [name for name, _ in named.fit(PAIRS, Y).top_features(10**6).in_favor]
    assert any(name.startswith("embedding__") for name in names)
    assert_allclose(named.coef_, model.coef_, rtol=1e-6, atol=1e-9)
    with pytest.raises(ValueError, match="embedding_weight"):
        preference_features(Embedder(), embedding_weight=-1)


def test_products_are_those_of_the_coordinates_of_prompt_and_response():
    rows = np.array([(prompt, a) for prompt, a, _ in PAIRS] + [("", "alone")], dtype=object)
    union = preference_features(CachedEmbedder(embed), product_weight=0.5)
    made = union.fit_transform(rows).toarray()
    known = preference_features(CachedEmbedder(embed)).fit_transform(rows).toarray()
    width = known.shape[1]
    assert_allclose(made[:, :width], known)
    for row, (prompt, response) in zip(made[:, width:], rows, strict=True):
        product = embed([prompt])[0] * embed([response])[0] * bool(prompt)
        assert_allclose(row, 0.5 * product / max(np.linalg.norm(product), 1e-300), atol=1e-12)
    assert union.get_feature_names_out()[-1] == "products__embedding11"
    sparse_made = PromptProducts(HashingVectorizer(n_features=8)).fit_transform(rows)
    assert_allclose(np.linalg.norm(sparse_made, axis=1), np.any(sparse_made, axis=1))
    with pytest.raises(ValueError, match=r"product_weight=1\.0 but no embedder"):
        preference_features(product_weight=1.0)
    with pytest.raises(
        TypeError, match=r"needs rows \(prompt, response\) of text, got values of shape \(3, 3\)"
    ):
        PromptProducts(CachedEmbedder(embed)).fit(np.eye(3))


def test_a_response_to_the_point_is_told_by_products_alone():
    # Which response is better depends on the prompt, so no reward of responses alone tells it.
    def embed_colours(texts):
        return np.array([[1.0 * ("red" in t), 1.0 * ("blue" in t), 0.3] for t in texts])

    pairs = [("Say red.", "red", "blue"), ("Say blue.", "red", "blue")] * 20
    y = np.array([1, 0] * 20)
    columns = [("e", CachedEmbedder(embed_colours), 1)]
    alone = PreferenceRewardModel(vectorizer=ColumnTransformer(columns)).fit(pairs, y)
    assert_allclose(alone.predict_proba(pairs), 0.5)
    columns.append(("products", PromptProducts(CachedEmbedder(embed_colours)), [0, 1]))
    both = PreferenceRewardModel(vectorizer=ColumnTransformer(columns)).fit(pairs, y)
    assert (both.predict(pairs) == y).all()
    turned = [(prompt, b, a) for prompt, a, b in pairs]
    assert_allclose(both.decision_function(turned), -both.decision_function(pairs))


def test_how_much_of_the_embedding_is_kept_is_chosen_by_itself():
    rng = np.random.RandomState(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), 6)) for _ in range(120)]
    pairs = [(f"prompt {i % 15}", texts[i], texts[-1 - i]) for i in range(60)]
    y = rng.randint(2, size=60)
    options = {"Cs": [0.1, 1.0], "cv": 3, "tol": 1e-3}
    model = PreferenceRewardModelCV(vectorizer=preference_features(Embedder()), **options)
    model.fit(pairs, y)
    names = ["form", "embedding", "words", "characters"]
    assert list(model.block_scales_) == names
    tried = clone(model).set_params(block_scales={name: [0.2, 1] for name in names})
    assert tried.fit(pairs, y).block_scales_ == model.block_scales_
    assert_allclose(tried.coef_, model.coef_)
    blocks = [("form", HashingVectorizer(n_features=4), 1)]  # another transformer with that name
    other = PreferenceRewardModelCV(vectorizer=ColumnTransformer(blocks), **options).fit(pairs, y)
    assert other.block_scales_ is None


def test_vectors_pass_as_they_are_so_that_no_check_of_the_contract_is_skipped():
    results = check_estimator(CachedEmbedder(embed), on_skip=None, on_fail=None)
    others = {r["check_name"]: r["status"] for r in results if r["status"] != "passed"}
    assert others == {"check_array_api_input": "skipped"}  # needs SCIPY_ARRAY_API
    assert len(results) > 40
    vectors = embed(RESPONSES)
    embedder = CachedEmbedder(embed).fit(vectors)
    assert_array_equal(embedder.transform(RESPONSES), embedder.transform(vectors))
    with pytest.raises(ValueError, match=r"vectors of 5 numbers, and its embedder makes 12 of a"):
        CachedEmbedder(embed).fit(vectors[:, :5]).transform(RESPONSES)


def test_a_vector_of_zeros_does_not_tell_that_the_embedder_is_the_same(tmp_path):
    texts = ["", "red", "a longer text"]
    CachedEmbedder(lambda t: embed(t) * 1e200, memory=tmp_path, name="m").transform(texts)

    def other(texts):
        return embed(texts)[:, ::-1] * 1e200

    assert not embed([""]).any()
    with pytest.raises(ValueError, match=r"another vector of 'red' than"):
        CachedEmbedder(other, memory=tmp_path, name="m").transform(texts)
    with pytest.raises(ValueError, match=r"another vector of '' than"):
        CachedEmbedder(lambda t: embed(t) + 1, memory=tmp_path, name="m").transform([""])


ODD_VECTORS = {
    "1-D": (lambda n: np.ones(n), r"shape \(2,\)"),
    "3-D": (lambda n: np.ones((n, 1, 2)), r"shape \(2, 1, 2\)"),
    "None": (lambda n: None, "no numbers, None, of type NoneType"),
    "text": (lambda n: ["x"] * n, r"no numbers, \['x', 'x'\], of type list"),
    "number": (lambda n: 1.0, "no numbers, 1.0"),
    "ragged": (lambda n: [[1.0], [1.0, 2.0]], "no numbers, "),
}


@pytest.mark.parametrize(("make", "said"), ODD_VECTORS.values(), ids=ODD_VECTORS)
def test_what_an_embedder_has_to_return_is_said_with_its_name(make, said):
    def my_model(texts):
        return make(len(texts))

    match = rf"its embedder, my_model, 2 texts and got.*{said}.*a row for each text"
    with pytest.raises(ValueError if "shape" in said else TypeError, match=match):
        CachedEmbedder(my_model).transform(["a", "b"])


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        *((np.float16, size) for size in (1e-3, 1.0, 1e3)),
        *((np.float32, size) for size in (1e-30, 1.0, 1e30)),
        *((np.float64, size) for size in (1e-200, 1.0, 1e200)),
    ],
)
def test_the_norms_of_embeddings_and_products_are_1_whatever_their_size(kind, size):
    union = preference_features(
        CachedEmbedder(lambda texts: (embed(texts) * size).astype(kind)), product_weight=1.0
    )
    rows = np.array([(prompt, a) for prompt, a, _ in PAIRS], dtype=object)
    made = union.fit_transform(rows).toarray()
    for block in ("embedding", "products"):
        vectors = made[:, union.output_indices_[block]]
        assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    model = PreferenceRewardModel(vectorizer=union).fit(PAIRS, Y)
    plain = PreferenceRewardModel(vectorizer=preference_features(CachedEmbedder(embed))).fit(
        PAIRS, Y
    )
    assert model.coef_.shape[1] == plain.coef_.shape[1] + 12
    assert np.isfinite(model.coef_).all()
