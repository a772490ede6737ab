import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_codex import PreferenceRewardModel, PreferenceRewardModelCV
from sklearn_codex._data.responses import check_prompted_responses
from sklearn_codex._data.vectorizers import wants_prompt
from sklearn_codex.features import ResponseFeatures, preference_features

WORDS = ["sun", "moon", "star", "cloud", "rain", "wind", "snow", "leaf", "tree", "root", "stone"]


def make_responses(n=60, seed=0):
    rng = np.random.RandomState(seed)
    texts = [" ".join(rng.choice(WORDS, size=size)) + "." for size in rng.randint(1, 40, size=n)]
    texts[0] = (
        "# Title\n\n- one **bold**\n- two\n\n1. first\n2. second\n\n```\nx = 1\n```\nWhy? `f`!"
    )
    return texts


def raw_columns(text, prompt=""):
    """Columns before standardisation, by name."""
    features = ResponseFeatures()
    names = features.get_feature_names_out()
    raw = features._measure([(prompt, text)])[0]
    return dict(zip(names, raw, strict=False))


def column(features, Z, name):
    return Z[:, list(features.get_feature_names_out()).index(name)]


def test_each_structure_is_counted():
    raw = raw_columns(make_responses()[0])
    counts = {
        "bullets": 2,
        "numbered_items": 2,
        "headings": 1,
        "bold": 1,
        "code_fences": 2,
        "inline_code": 1,
        "questions": 1,
        "exclamations": 1,
        "table_rows": 0,
        "links": 0,
    }
    for name, n in counts.items():
        assert raw[name] == pytest.approx(np.log1p(n)), name
    assert raw["empty"] == 0
    assert raw["paragraphs"] == pytest.approx(np.log1p(3))


@pytest.mark.parametrize(
    ("name", "more", "less"),
    [
        ("log_characters", "a longer answer", "short"),
        ("empty", " \n", "word"),
        ("sentences", "One. Two! Three?", "One two three"),
        ("sentences", "\u4e00\u3002\u4e8c\u3002", "\u4e00\u4e8c"),
        ("words_per_sentence", "one two three four five six.", "One. Two. Three."),
        ("word_length", "considerable exaggeration", "a b c d"),
        ("indented_lines", "def f():\n    return 1", "def f()\nreturn"),
        ("table_rows", "| a | b |\n| 1 | 2 |", "a or b"),
        ("links", "see https://example.org", "see the site"),
        ("formulas", "so $x = 1$", "so x is 1"),
        ("type_token_ratio", "all words differ here", "no no no no"),
        ("lexical_diversity", "all words differ here", "no no no no"),
        ("new_trigrams", "a b c d e f g h", "a b c a b c a b c"),
        ("new_lines", "one\ntwo\nthree", "one\none\none"),
        ("digit_share", "12 34", "ab cd"),
        ("punctuation_share", "a; b, c!", "a b c"),
        ("capital_share", "NO WAY", "no way"),
        ("not_ascii_share", "\u00fcber \u00e4", "uber a"),
        ("stop_word_share", "it is in the", "sun moon star"),
        ("first_person_share", "I and my dog", "you and a dog"),
        ("second_person_share", "you and your dog", "me and a dog"),
        ("long_word_share", "considerable exaggeration", "a b c d"),
        ("refusals", "I'm sorry, I cannot do it", "Here it is"),
        ("refusals", "I can\u2019t", "I can"),
        ("ends_closed", "It is done.", "It is done and then"),
        ("starts_with_capital", "Yes", "yes"),
        ("quotes", 'He said "no"', "He said no"),
        ("commas", "a, b, c", "a b c"),
        ("comma_share", "a, b, c", "a b c"),
        ("colon_share", "so: this", "so this"),
        ("parentheses", "f(x) (y)", "f x y"),
        ("space_share", "a b c d", "abcd"),
        ("lines", "a\nb\nc", "a b c"),
    ],
)
def test_columns_of_a_response_tell_texts_apart(name, more, less):
    assert raw_columns(more)[name] > raw_columns(less)[name]


@pytest.mark.parametrize(
    ("name", "more", "less"),
    [
        ("words_from_prompt", "name three rivers", "Nile Amazon Rhine"),
        ("prompt_words_used", "Three rivers: the Nile and two more", "Nile"),
        ("trigrams_from_prompt", "name three big rivers", "three rivers name"),
        ("prompt_trigrams_used", "name three big rivers now", "rivers"),
        ("begins_as_prompt", "Name three", "The Nile"),
        ("other_script", "\u4e00\u4e8c\u4e09", "Nile"),
    ],
)
def test_columns_of_a_response_and_its_prompt_tell_texts_apart(name, more, less):
    prompt = "Name three big rivers of the world."
    assert raw_columns(more, prompt)[name] > raw_columns(less, prompt)[name]
    assert np.isnan(raw_columns(more)[name])  # without a prompt there is no value


def test_columns_are_standardised_and_clipped():
    texts = make_responses()
    features = ResponseFeatures(clip=2.0)
    Z = features.fit_transform(texts)
    assert Z.shape == (60, len(features.get_feature_names_out()))
    assert np.isfinite(Z).all()
    assert np.abs(Z).max() <= 2
    raw = np.log1p([len(text) for text in texts])
    winsorised = np.clip(raw, *np.quantile(raw, [0.01, 0.99]))
    expected = np.clip((raw - winsorised.mean()) / winsorised.std(), -2, 2)
    length = column(features, Z, "log_characters")
    assert_allclose(length, expected)
    assert_allclose(column(features, Z, "short"), np.maximum(-length - 0.5, 0))
    assert_allclose(column(features, Z, "long"), np.maximum(length - 0.5, 0))
    assert_array_equal(Z, clone(features).fit(texts).transform(texts))


def test_constant_columns_are_zero():
    texts = ["sun moon", "moon star", "leaf tree"]
    features = ResponseFeatures().fit(texts)
    Z = features.transform(["# a\n- b\n```c```", *texts])
    assert_array_equal(column(features, Z, "headings"), 0)
    one = ResponseFeatures().fit_transform(["alone"])
    assert_array_equal(one, 0)


def test_one_strange_response_moves_no_scale_and_gets_no_great_value():
    texts = make_responses(200)
    strange = "\u00a7%$ " * 200_000
    features, with_strange = (
        ResponseFeatures().fit(texts),
        ResponseFeatures().fit([*texts, strange]),
    )
    assert np.abs(features.transform([strange])).max() <= 3
    Z, moved = features.transform(texts), with_strange.transform(texts)
    varying = (features.scale_ > 0.05)[:41]
    ratio = with_strange.scale_[:41][varying] / features.scale_[:41][varying]
    assert ratio.max() < 1.35
    assert np.corrcoef(Z[:, 0], moved[:, 0])[0, 1] > 0.99


def test_no_prompt_is_the_mean_of_prompts():
    rows = [("name a river", "the river Nile"), ("name a hill", "no"), ("why", "name a hill")]
    features = ResponseFeatures().fit(rows)
    overlap = [n for n in features.get_feature_names_out() if "prompt" in n or "script" in n]
    Z = features.transform(["the river Nile", "no"])
    assert all((column(features, Z, name) == 0).all() for name in overlap)
    assert_array_equal(Z, features.transform([("", "the river Nile"), (" ", "no")]))
    frame = pd.DataFrame(rows, columns=["prompt", "response"])
    assert_array_equal(features.transform(frame), features.transform(rows))


def test_features_clone_pickle_and_name_their_columns():
    texts = make_responses()
    features = ResponseFeatures(clip=2.5).fit(texts)
    loaded = pickle.loads(pickle.dumps(features))
    assert_array_equal(loaded.transform(texts), features.transform(texts))
    assert clone(features).get_params() == {"clip": 2.5}
    documented = ResponseFeatures.__doc__
    names = features.get_feature_names_out()
    assert len(set(names)) == len(names)
    assert all(f"``{name}``" in documented for name in names)
    named = make_pipeline(ResponseFeatures()).set_output(transform="pandas").fit_transform(texts)
    assert list(named.columns) == list(names)


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        ([[1.0, 2.0]], TypeError, "expected responses as text"),
        ("one text", TypeError, "1-D sequence of str"),
        ([("prompt", None)], TypeError, "every document must be a str"),
        ([("a", "b", "c")], TypeError, "strings in 2-D"),
        ([], ValueError, "0 documents"),
    ],
)
def test_input_errors(X, error, match):
    with pytest.raises(error, match=match):
        ResponseFeatures().fit(X)


def test_parameter_errors():
    with pytest.raises(ValueError, match="'clip' parameter of ResponseFeatures"):
        ResponseFeatures(clip=0).fit(["a"])


def test_prompted_responses_are_told_from_numbers():
    assert check_prompted_responses([("p", "r")], subject="s") == (["p"], ["r"])
    assert check_prompted_responses(["r"], subject="s") == ([""], ["r"])
    assert check_prompted_responses(np.ones((2, 2)), subject="s") is None
    assert check_prompted_responses([[1, 2], [3, 4]], subject="s") is None


class PromptEcho(TransformerMixin, BaseEstimator):
    """Whether the response is its prompt; keeps what it was given."""

    wants_prompt = True

    def fit(self, X, y=None):
        self.given_ = X
        return self

    def transform(self, X):
        return np.array([[float(prompt == response)] for prompt, response in X])


@pytest.mark.parametrize(
    ("vectorizer", "expected"),
    [
        (None, False),
        (CountVectorizer(), False),
        (ResponseFeatures(), True),
        (FrozenEstimator(ResponseFeatures()), True),
        (make_pipeline(ResponseFeatures(), StandardScaler()), True),
        (make_pipeline(CountVectorizer()), False),
        (ColumnTransformer([("words", CountVectorizer(), 1)]), True),
        (FeatureUnion([("a", ResponseFeatures()), ("b", PromptEcho())]), True),
        (FeatureUnion([("a", CountVectorizer()), ("b", "drop")]), False),
        (preference_features(), True),
    ],
)
def test_who_wants_the_prompt(vectorizer, expected):
    assert wants_prompt(vectorizer) is expected


def test_a_union_of_both_kinds_says_what_to_use():
    union = FeatureUnion([("words", CountVectorizer()), ("form", ResponseFeatures())])
    pairs = [("p", "a b", "b c"), ("p", "a c", "b d")]
    with pytest.raises(ValueError, match=r"\['ResponseFeatures'\].*ColumnTransformer"):
        PreferenceRewardModel(vectorizer=union).fit(pairs, [0, 1])


def test_each_prompt_and_response_is_vectorized_once():
    pairs = [("p", "x", "y"), ("p", "y", "p"), ("q", "x", "y"), ("p", "p", "x")]
    model = PreferenceRewardModel(vectorizer=PromptEcho()).fit(pairs, [1, 0, 1, 1])
    seen = [tuple(row) for row in model.vectorizer_.given_]
    assert sorted(seen) == [("p", "p"), ("p", "x"), ("p", "y"), ("q", "x"), ("q", "y")]
    assert model.coef_[0, 0] > 0
    assert_allclose(model.decision_function([("z", "z", "a")]), model.coef_[0])
    assert_allclose(model.reward([("z", "z"), ("z", "a")]), [model.coef_[0, 0], 0])
    assert_array_equal(model.reward(["a"]), [0])
    assert_array_equal(model.reward([[2.0]]), 2 * model.coef_[0])


def test_pairs_without_prompts_have_the_empty_one():
    model = PreferenceRewardModel(vectorizer=PromptEcho()).fit([("", "a"), ("b", "")], [1, 0])
    assert set(model.vectorizer_.given_[:, 0]) == {""}
    assert_allclose(model.decision_function([("", "a")]), model.coef_[0])


def make_preferences_of_form(n=240, seed=0):
    """Pairs where lists, and answers that use the prompt's words, are preferred."""
    rng = np.random.RandomState(seed)
    pairs, margin = [], []
    for i in range(n):
        asked = rng.choice(WORDS, size=3, replace=False)
        prompt = f"{i % 40}: tell of " + " and ".join(asked)
        responses, rewards = [], []
        for _ in range(2):
            lists, overlap = rng.randint(2), rng.randint(2)
            words = list(rng.choice(WORDS, size=8)) + (list(asked) if overlap else [])
            responses.append(("\n- " if lists else " ").join(["", *words] if lists else words))
            rewards.append(1.5 * lists + 1.5 * overlap)
        pairs.append((prompt, *responses))
        margin.append(rewards[0] - rewards[1])
    y = (rng.rand(n) < 1 / (1 + np.exp(-2 * np.array(margin)))).astype(int)
    return pairs, y, np.array(margin)


def test_preset_by_name_is_the_function():
    pairs, y, _ = make_preferences_of_form(80)
    by_name = PreferenceRewardModel(vectorizer="preference").fit(pairs, y)
    by_function = PreferenceRewardModel(vectorizer=preference_features()).fit(pairs, y)
    assert_array_equal(by_name.coef_, by_function.coef_)
    assert clone(by_name).vectorizer == "preference"
    names = by_name.vectorizer_.get_feature_names_out()
    assert {name.split("__")[0] for name in names} == {"words", "characters", "form"}
    assert by_name.top_features(3).in_favor[0][0] in set(names)


def test_preset_blocks_have_the_scales_they_promise():
    pairs, _, _ = make_preferences_of_form(80)
    rows = np.array([(p, r) for p, a, b in pairs for r in (a, b)], dtype=object)
    vectorizer = preference_features(word_weight=0.5)
    X = vectorizer.fit_transform(rows)
    blocks = vectorizer.output_indices_
    norms = {
        name: np.sqrt(X[:, blocks[name]].power(2).sum(axis=1)) for name in ("words", "characters")
    }
    assert_allclose(norms["words"], 0.5)
    assert_allclose(norms["characters"], 1.0)
    spread = X[:, blocks["form"]].toarray().std(axis=0)
    assert 0.13 < np.median(spread[spread > 0]) < 0.17


def test_preset_learns_form_and_overlap_on_prompts_never_seen():
    pairs, y, _ = make_preferences_of_form(400)
    test_pairs, _, margin = make_preferences_of_form(200, seed=1)
    test_pairs = [("new " + p, a, b) for p, a, b in test_pairs]
    model = PreferenceRewardModelCV(vectorizer="preference", Cs=[0.1, 1.0, 10.0]).fit(pairs, y)
    decided = margin != 0
    right = (model.decision_function(test_pairs) > 0) == (margin > 0)
    assert right[decided].mean() > 0.9


def test_one_gibberish_response_moves_predictions_little():
    pairs, y, _ = make_preferences_of_form(200)
    strange = "\u00a7%$#! " * 50_000
    clean = PreferenceRewardModel(vectorizer="preference").fit(pairs, y)
    dirty = PreferenceRewardModel(vectorizer="preference").fit(
        [*pairs, ("0: tell of", strange, "sun moon star")], [*y, 1]
    )
    change = dirty.decision_function(pairs) - clean.decision_function(pairs)
    assert np.abs(change).max() < 0.5
    assert np.abs(clean.decision_function([("q", strange, "sun")])).max() < 10


def test_preset_takes_reward_of_texts_and_of_rows():
    pairs, y, _ = make_preferences_of_form(80)
    model = PreferenceRewardModel(vectorizer="preference").fit(pairs, y)
    prompt, a, b = pairs[0]
    with_prompt = model.reward([(prompt, a), (prompt, b)])
    assert_allclose(with_prompt[0] - with_prompt[1], model.decision_function(pairs[:1])[0])
    assert model.reward([a, b]).shape == (2,)


def test_two_column_pairs_and_short_data_have_a_preset_too():
    pairs = [("good good day", "bad day"), ("bad one", "good one"), ("a good day", "a bad day")]
    model = PreferenceRewardModel(vectorizer="preference").fit(pairs, [1, 0, 1])
    assert model.predict([("good day", "bad day")])[0] == 1


def test_pipeline_as_a_vectorizer():
    pairs, y, margin = make_preferences_of_form(200)
    form = Pipeline([("form", ResponseFeatures()), ("scale", StandardScaler())])
    model = PreferenceRewardModel(vectorizer=form).fit(pairs, y)
    assert np.corrcoef(model.decision_function(pairs), margin)[0, 1] > 0.8
    words = TfidfVectorizer()
    both = ColumnTransformer([("words", words, 1), ("form", form, [0, 1])])
    assert PreferenceRewardModel(vectorizer=both).fit(pairs, y).score(pairs, y) > 0.7
