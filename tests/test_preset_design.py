"""Runs of characters as integers, and the preset as differences of pairs, are what they replace."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from sklearn_codex._fast_counts import _ngrams, count_ngrams, count_word_ngrams
from sklearn_codex._reward.preset_design import preset_design
from sklearn_codex._text.scripts import split_words
from sklearn_codex.features import preference_features

LETTERS = list("ab c\n\tÄßİ漢字\U0001f600\ud800.  ")


def draw_texts(rng, n, longest=12):
    return ["".join(rng.choice(LETTERS, rng.randint(longest))) for _ in range(n)]


@pytest.mark.parametrize(("low", "high"), [(3, 5), (1, 2), (2, 2), (1, 1)])
@pytest.mark.parametrize("min_df", [1, 2])
def test_runs_of_words_are_counted_as_scikit_learn_does(low, high, min_df, monkeypatch):
    rng = np.random.RandomState(0)
    monkeypatch.setattr(_ngrams, "_CHUNK_SIZE", 20)
    monkeypatch.setattr(_ngrams, "_MOST_KEPT", 30)
    words = ["a", "A", "ab", "a_", "\x01", "!", "漢字", "Äb", "สวัสดี", "\U0001f600", " ", "\n", ""]
    peer = CountVectorizer(
        tokenizer=split_words, token_pattern=None, ngram_range=(low, high), min_df=min_df
    )
    n_empty = 0
    for _ in range(40):
        texts = [" ".join(rng.choice(words, rng.randint(30))) for _ in range(rng.randint(1, 12))]
        counts = count_word_ngrams(texts, split_words, low, high, min_df)
        try:
            wanted = peer.fit_transform(texts)
        except ValueError:  # no run of so many texts
            assert counts.shape == (len(texts), 0)
            n_empty += 1
            continue
        assert counts.shape == wanted.shape
        assert (counts.astype(np.int64) != wanted).nnz == 0
        assert counts.has_sorted_indices
    assert n_empty < 20


@pytest.mark.parametrize(("low", "high"), [(3, 5), (1, 2), (2, 2), (1, 1)])
@pytest.mark.parametrize("min_df", [1, 2])
@pytest.mark.parametrize("most_kept", [0, 40, 2**24])
def test_runs_of_characters_are_counted_as_scikit_learn_does(
    low, high, min_df, most_kept, monkeypatch
):
    rng = np.random.RandomState(0)
    monkeypatch.setattr(_ngrams, "_CHUNK_SIZE", 20)
    monkeypatch.setattr(_ngrams, "_MOST_KEPT", most_kept)
    n_empty = 0
    for _ in range(40):
        texts = draw_texts(rng, rng.randint(1, 12), 30)
        counts = count_ngrams(texts, low, high, min_df)
        peer = CountVectorizer(analyzer="char", ngram_range=(low, high), min_df=min_df)
        try:
            wanted = peer.fit_transform(texts)
        except ValueError:  # no run of so many texts
            assert counts.shape == (len(texts), 0)
            n_empty += 1
            continue
        assert counts.shape == wanted.shape
        assert (counts.astype(np.int64) != wanted).nnz == 0
        assert counts.has_sorted_indices
    assert n_empty < 20


def test_many_runs_of_one_kind_and_too_many_letters():
    assert count_ngrams(["a" * 70_005], 3, 5, 1).toarray().tolist() == [[70_003, 70_002, 70_001]]
    letters = "".join(chr(0x4E00 + i) for i in range(6300))
    assert count_ngrams([letters], 3, 5, 1) is None
    assert count_ngrams([letters], 1, 2, 1).nnz == 6300 + 6299


def draw_responses(kind, rng):
    if kind == "of one character":
        return [[f"p{i % 4}", "abcdefgh"[i % 8]] for i in range(20)]
    prompts = draw_texts(rng, 6, 20)
    words = ["So", "it is", "漢字", "no.", "\n- yes", "x" * 5]
    if kind == "of many letters":
        words += ["".join(chr(0x4E00 + 10 * i + k) for k in range(10)) for i in range(640)]
    return [
        [prompts[rng.randint(6)], " ".join(rng.choice(words, rng.randint(1, 9)))]
        for _ in range(1100)
    ]


@pytest.mark.parametrize("kind", ["plain", "of many letters", "of one character"])
def test_differences_are_those_of_the_preset(kind):
    rng = np.random.RandomState(1)
    responses = np.array(draw_responses(kind, rng), dtype=object)
    a, b = rng.randint(len(responses), size=(2, 700))
    features = preference_features()
    if kind == "of one character":
        features.set_params(words__min_df=1, characters__min_df=1)
        responses[0, 1] = "one, two three"
    Z = sparse.csr_array(features.fit_transform(responses))
    columns = features.output_indices_["form"]
    names = features.get_feature_names_out()[columns]
    heard = []
    design, form, form_names = preset_design(responses, a, b, heard.append)
    assert abs(design.differences - (Z[a] - Z[b])).max() < 1e-12
    wanted = (Z[a] - Z[b])[:, columns].toarray() / features.transformer_weights["form"]
    np.testing.assert_allclose(form, wanted, atol=1e-12)
    assert [name.split("__")[-1] for name in names] == form_names.tolist()
    if kind != "of one character":  # which begins twice
        assert heard == sorted(heard)
    assert 0 <= heard[0] <= heard[-1] <= 1
