"""ARPA files that are odd: n-grams twice, folders, white space and small numbers."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sklearn_codex import NGramCounter, NGramLM
from sklearn_codex._ngrams.backoff import BackoffModel

TEXTS = ["a b c", "b a", "c a b", "a a b"]
FILE = """
\\data\\
ngram 1=4
ngram 2=2
ngram 3=1

\\1-grams:
-0.30103 </s>
-99 <s> -0.30103
-0.60206 a -0.1
-0.60206 b 0

\\2-grams:
-0.30103 <s> a 0
-0.30103 a b -0.30103

\\3-grams:
-0.30103 a b a

\\end\\
"""


@pytest.mark.parametrize(
    ("ngram", "length"),
    [("a b -0.30103\n", 2), ("-0.30103 a b a\n", 3)],
    ids=["shorter", "longest"],
)
def test_no_ngram_of_an_arpa_file_is_listed_twice(tmp_path, ngram, length):
    # A second line would stay possible where the first is banned.
    path = tmp_path / "model.arpa"
    (line,) = [line for line in FILE.splitlines(keepends=True) if line.endswith(ngram)]
    size = int(FILE.split(f"ngram {length}=")[1].split()[0])
    text = FILE.replace(f"ngram {length}={size}", f"ngram {length}={size + 1}")
    path.write_text(text.replace(line, 2 * line))
    with pytest.raises(ValueError, match=f"the {length}-gram 'a b( a)?' is listed twice"):
        NGramLM.from_arpa(path)


def test_arpa_files_of_more_tokens_than_a_model_has(tmp_path):
    path = tmp_path / "model.arpa"
    path.write_text("\\data\\\n" + "".join(f"ngram {n}=1\n" for n in range(1, 102)))
    with pytest.raises(ValueError, match=r"line 102: n-grams of 101 tokens, and a model has 100"):
        NGramLM.from_arpa(path)


def test_a_folder_is_no_arpa_file(tmp_path):
    for split in ("train", "test"):
        (tmp_path / f"{split}.arpa").write_text(FILE)
    with pytest.raises(IsADirectoryError, match=r"NGramLM\.from_arpa: .* is a folder\. Name"):
        NGramLM.from_arpa(tmp_path)


def test_fields_of_arpa_files_stand_between_blanks_of_ascii(tmp_path):
    # A no-break space, a line separator and an information separator are part of tokens.
    path, tokens = tmp_path / "model.arpa", ["a\xa0b", "c\u2028d", "e\x1cf"]
    model = NGramLM(2, vectorizer=NGramCounter(2, tokenizer=lambda text: text.split(" ")))
    model.fit([" ".join(tokens), " ".join(tokens[::-1])]).to_arpa(path)
    read = NGramLM.from_arpa(path, tokenizer=lambda text: text.split(" "))
    assert set(tokens) <= set(read.vectorizer_.get_feature_names_out())
    text = [" ".join(tokens * 2)]
    assert_allclose(read.score_samples(text), model.score_samples(text), atol=1e-8)


def test_small_probabilities_of_arpa_files_stay_above_zero(tmp_path):
    # -99 is 0 in such files: others, above and below it, are what they say.
    for log10, written in ((-150.0, "-150"), (-99.0, "-99.00000001"), (-np.inf, "-99")):
        log_prob = np.array([0.0, log10 * np.log(10)])
        model = NGramLM(1, smoothing="dirichlet", vectorizer=NGramCounter(1, unk_token=None))
        model.fit(["a b"])
        model._backoff = BackoffModel(model.trie_, log_prob, np.zeros(1))
        path = tmp_path / "model.arpa"
        model.to_arpa(path, overwrite=True)
        assert f"{written}\tb\n" in path.read_text()
        read = NGramLM.from_arpa(path).arc_log_prob_
        assert_allclose(read, log_prob, atol=1e-7)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-0.60206 a", "-0.602_06 a", "line 10: expected numbers first and last, got '-0.602_06"),
        ("-0.60206 a", "-\uff10.60206 a", "line 10: expected numbers first and last"),
        ("a -0.1", "a -0.\u0661", "line 10: expected numbers first and last"),
        ("ngram 2=2", "ngram 2=\uff12", "line 4: expected 'ngram 2=' and a number"),
        (
            "-0.30103 a b -0.30103",
            "-3 a <s> 0",
            "line 15: '<s>' is the start of a document, and follows",
        ),
        ("-0.30103 a b a", "-3 a b <s>", "line 18: '<s>' is the start of a document, and follows"),
        ("-0.30103 a b a", "-3 <s> <s> a", "line 18: '<s>' is the start of a document"),
        (
            "\\end\\\n",
            "\\end\\\n\nmore\n",
            r"line 22: expected nothing after '\\end\\', got 'more",
        ),
        (
            "\\end\\\n",
            "\\end\\\n" + FILE,
            r"line 22: expected nothing after '\\end\\', got '",
        ),
    ],
)
def test_what_no_arpa_file_has_is_refused_with_its_line(tmp_path, old, new, message):
    path = tmp_path / "model.arpa"
    assert old in FILE
    numbered = FILE.lstrip("\n")
    path.write_text("\n" + numbered.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        NGramLM.from_arpa(path)


@pytest.mark.parametrize("ngram", ["-99 a <s>", "-3 </s> <s>"])
def test_starts_that_are_never_drawn_are_passed_over(tmp_path, ngram):
    path, other = tmp_path / "model.arpa", tmp_path / "other.arpa"
    # Weights that make probabilities sum to 1.
    file = FILE.replace("<s> -0.30103", "<s> -0.1760913").replace("a -0.1\n", "a -0.1760913\n")
    file = file.replace("a b -0.30103", "a b -0.1760913")
    path.write_text(file)
    more = file.replace("ngram 2=2", "ngram 2=3").replace("\n\\3-grams", f"{ngram} 0\n\n\\3-grams")
    other.write_text(more)
    texts = ["a b", "b a a"]
    scores = [NGramLM.from_arpa(file).score_samples(texts) for file in (path, other)]
    assert_allclose(*scores, rtol=0)


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(codec=None), min_size=1, max_size=3))
@example("\0")
@example("a\ud800")
@example("\x1a")
@example("\ufeff")
@example("\\end\\")
@example("-1")
@example("\x85")
@example("<s>")
def test_any_token_comes_back_from_an_arpa_file_or_is_refused_whole(token):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.arpa"
        counter = NGramCounter(1, tokenizer=lambda text: text.split("|"), unk_token=None)
        model = NGramLM(1, vectorizer=counter).fit([f"{token}|b", "b"])
        names = sorted(model.vectorizer_.get_feature_names_out()[:3])
        refused = None
        try:
            model.to_arpa(path)
        except ValueError as error:
            refused = str(error)
        if refused is not None:
            assert f"cannot write {token!r}" in refused or "|" in token
            assert not list(Path(folder).iterdir())
            return
        read = NGramLM.from_arpa(path, tokenizer=counter.tokenizer)
        assert sorted(read.vectorizer_.get_feature_names_out()[:3]) == names
        assert_allclose(read.score_samples([token]), model.score_samples([token]), atol=1e-8)


def test_unk_in_capitals_is_the_unknown_token(tmp_path):
    path, capital = tmp_path / "m.arpa", tmp_path / "capital.arpa"
    model = NGramLM(2, vectorizer=NGramCounter(2, min_count=2)).fit(["a b c", "b a", "d b"])
    written = model.to_arpa(path) and path.read_text()
    capital.write_text(written.replace("<unk>", "<UNK>"))
    read = NGramLM.from_arpa(capital)
    assert read.vectorizer.unk_token == "<unk>"
    texts = ["a zz b", "q"]
    expected = NGramLM.from_arpa(path).score_samples(texts)
    assert np.array_equal(read.score_samples(texts), expected)
    line = next(line for line in written.splitlines() if line.split("\t")[1:2] == ["<unk>"])
    size = len(model.vectorizer_.vocabulary_) + 1
    both = written.replace(line, f"{line}\n{line.replace('<unk>', '<UNK>')}", 1)
    capital.write_text(both.replace(f"ngram 1={size}", f"ngram 1={size + 1}"))
    with pytest.raises(ValueError, match="<unk> and <UNK> are both 1-grams, and either means any"):
        NGramLM.from_arpa(capital)


def test_a_token_that_would_be_read_as_unknown_is_not_written(tmp_path):
    model = NGramLM(2, vectorizer=NGramCounter(2, tokenizer="whitespace")).fit(["a <UNK> b"])
    with pytest.raises(ValueError, match="a token of its own called <UNK>"):
        model.to_arpa(tmp_path / "m.arpa")
