"""Training from iterators of files: the same as one fit, in memory that does not grow with them."""

import csv
import gc
import gzip
import json
import pickle
import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    PreferenceRewardModel,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    load_model,
    save_model,
)
from sklearn_codex.datasets import read_batches

WORDS = [f"w{i}" for i in range(200)]


def make_lines(n, seed=0, size=30):
    rng = np.random.RandomState(seed)
    return [" ".join(rng.choice(WORDS, size)) for _ in range(n)]


def write_files(folder, lines, n_files):
    paths = []
    for number, part in enumerate(np.array_split(np.array(lines, dtype=object), n_files)):
        paths.append(folder / f"{number:03}.txt")
        paths[-1].write_text("\n".join(part) + "\n", encoding="utf-8")
    return paths


def train(paths, pairs, batch_chars, read=read_batches):
    """The stages of the loop that learn from data, each from a stream."""
    counter = TokenCounter(min_count=2)
    for texts in read(paths, batch_chars=batch_chars):
        counter.partial_fit(texts)
    frozen = FrozenEstimator(counter)
    pretrained = UnigramLM(vectorizer=frozen)
    for texts in read(paths, batch_chars=batch_chars):
        pretrained.partial_fit(texts)
    refined = SFTRefiner(FrozenEstimator(pretrained))
    for texts in read(reversed(paths), batch_chars=batch_chars):
        refined.partial_fit(texts)
    reward = PreferenceRewardModel(C=0.1, vectorizer=frozen)
    columns = ("prompt", "response_a", "response_b", "label")
    for *rows, labels in read(pairs, columns, batch_chars=batch_chars):
        reward.partial_fit(list(zip(*rows, strict=True)), labels, classes=[0, 1])
    return counter, pretrained, refined, reward


def write_pairs(path, n, seed=1):
    first, second = make_lines(n, seed), make_lines(n, seed + 1)
    worth = dict(zip(WORDS, np.random.RandomState(0).normal(size=len(WORDS)), strict=True))
    rng = np.random.RandomState(seed)
    with path.open("w", encoding="utf-8") as file:
        for number, (a, b) in enumerate(zip(first, second, strict=True)):
            margin = sum(map(worth.get, a.split())) - sum(map(worth.get, b.split()))
            label = int(rng.rand() < 1 / (1 + np.exp(-margin)))
            row = {"prompt": f"p{number % 50}", "response_a": a, "response_b": b, "label": label}
            file.write(json.dumps(row) + "\n")
    return path


@pytest.mark.parametrize("batch_chars", [1, 5_000, 10**9])
def test_counts_of_a_stream_are_those_of_one_fit(tmp_path, batch_chars):
    lines = make_lines(300)
    paths = write_files(tmp_path, lines, 7)
    pairs = write_pairs(tmp_path / "pairs.jsonl", 20)
    counter, pretrained, refined, _ = train(paths, pairs, max(batch_chars, 100))
    whole = TokenCounter(min_count=2).fit(lines)
    assert list(counter.vocabulary_.items()) == list(whole.vocabulary_.items())
    once = UnigramLM(vectorizer=whole).fit(lines)
    assert_array_equal(pretrained.token_log_prob_, once.token_log_prob_)
    assert_array_equal(pretrained.token_count_, once.token_count_)
    assert pretrained.n_documents_ == 300
    again = SFTRefiner(FrozenEstimator(once)).fit(lines)
    assert_array_equal(refined.token_log_prob_, again.token_log_prob_)


def test_rewards_of_a_stream_are_close_to_those_of_one_fit(tmp_path):
    lines = make_lines(50)
    paths, pairs = write_files(tmp_path, lines, 2), write_pairs(tmp_path / "pairs.jsonl", 4000)
    counter, *_, reward = train(paths, pairs, 200_000)
    *rows, labels = next(
        read_batches(pairs, ["prompt", "response_a", "response_b", "label"], batch_chars=10**9)
    )
    once = PreferenceRewardModel(C=0.1, vectorizer=FrozenEstimator(counter))
    once.fit(list(zip(*rows, strict=True)), labels)
    assert np.corrcoef(reward.coef_[0], once.coef_[0])[0, 1] > 0.95


def read_and_collect(*args, **options):
    for batch in read_batches(*args, **options):
        gc.collect()  # what callbacks leave in cycles goes at any time, so here at once
        yield batch


def traced_peak(function):
    gc.freeze()  # a collection then looks at what the function makes and no more
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.unfreeze()


def test_memory_of_a_stream_does_not_grow(tmp_path):
    peaks = []
    for times in (1, 1, 6):  # the first also fills caches
        folder = tmp_path / f"{len(peaks)}"
        folder.mkdir()
        paths = write_files(folder, make_lines(300 * times), 3)
        pairs = write_pairs(folder / "pairs.jsonl", 200 * times)
        peaks.append(traced_peak(partial(train, paths, pairs, 20_000, read_and_collect)))
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size > 500_000
    assert peaks[2] - peaks[1] < 0.1 * size  # the check of leakage keeps 8 bytes a pair


@settings(deadline=None)
@given(st.lists(st.lists(st.text("ab \ud800é", max_size=9), min_size=1), min_size=1, max_size=5))
def test_a_counter_learns_batches_as_one_fit(batches):
    batches[0].append("seen")
    texts = [text for batch in batches for text in batch]
    for options in ({}, {"min_count": 2, "eos_token": "<eos>"}, {"max_features": 1}):
        counter = TokenCounter(**options)
        for batch in batches:
            counter.partial_fit(batch)
            counter = pickle.loads(pickle.dumps(counter))
        whole = TokenCounter(**options).fit(texts)
        assert list(counter.vocabulary_.items()) == list(whole.vocabulary_.items())
        assert_array_equal(counter.transform(texts).toarray(), whole.transform(texts).toarray())
        assert list(counter.fit(texts).vocabulary_) == list(whole.vocabulary_)
        assert vars(counter).keys() == vars(whole).keys()


def test_a_counter_of_a_stream_is_saved_and_goes_on(tmp_path):
    counter = TokenCounter(min_count=2).partial_fit(["a b \ud800", "b"])
    save_model(counter, tmp_path / "counter.skops")
    loaded = load_model(tmp_path / "counter.skops").partial_fit(["a \ud800"])
    assert list(loaded.vocabulary_) == ["<unk>", "a", "b", "\ud800"]


def test_a_counter_of_counts_has_nothing_to_add():
    counter = TokenCounter().partial_fit([[1, 2]]).partial_fit([[3, 0]])
    assert counter.n_features_in_ == 2
    with pytest.raises(ValueError, match="3 features, but TokenCounter is expecting 2"):
        counter.partial_fit([[1, 2, 3]])
    with pytest.raises(ValueError, match="did not keep how often each token occurs"):
        counter.partial_fit(["a"])
    with pytest.raises(ValueError, match="did not keep how often each token occurs"):
        TokenCounter().fit(["a"]).partial_fit(["b"])


def test_documents_of_plain_text(tmp_path):
    one, two = tmp_path / "one.txt", tmp_path / "two.txt.gz"
    one.write_bytes("\ufeffa b\r\n\n  \nc\u2028d\n".encode())
    two.write_bytes(gzip.compress(b"e\nf"))
    read = [text for batch in read_batches([one, two]) for text in batch]
    assert read == ["a b", "c\u2028d", "e", "f"]
    blank = tmp_path / "__init__.py"
    blank.write_text("\n")
    files = iter([blank, one, two])
    whole = [text for batch in read_batches(files, document="file") for text in batch]
    assert whole == ["a b\r\n\n  \nc\u2028d\n", "e\nf"]
    assert [len(batch) for batch in read_batches([one, two], batch_chars=2)] == [1, 1, 2]


def test_columns_of_records(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "a b", "label": 1}, {"label": 0, "text": "c"}, {"text": "", "label": 0.5}]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert list(read_batches(str(path), "text")) == [["a b", "c", ""]]
    assert list(read_batches([path], ("text", "label"))) == [(["a b", "c", ""], [1, 0, 0.5])]
    table = tmp_path / "rows.csv"
    table.write_text('text,label\n"a,\nb",1\n', encoding="utf-8")
    assert list(read_batches(table, ["label", "text"])) == [(["1"], ["a,\nb"])]


@pytest.mark.parametrize("value", [12345, [{"role": "user", "content": "a"}], None])
def test_what_is_no_text_counts_as_it_is_printed(tmp_path, value):
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{json.dumps({'x': value})}\n" * 2)
    assert list(read_batches(path, "x", batch_chars=len(str(value)))) == [[value], [value]]
    assert list(read_batches(path, "x", batch_chars=len(str(value)) + 1)) == [[value, value]]


def test_tables_read_in_turn_have_long_fields(tmp_path):
    field = "x" * 200_000  # more than a reader of CSV takes unless told to
    before = csv.field_size_limit()
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(f"text\n{field}\n{field}\n", encoding="utf-8")
    one, two = (
        read_batches(tmp_path / name, "text", batch_chars=1) for name in ("one.csv", "two.csv")
    )
    assert next(one) == next(two) == [field]
    assert csv.field_size_limit() == before
    assert list(one) == list(two) == [[field]]
    assert csv.field_size_limit() == before


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"\n \n")
    with pytest.raises(ValueError, match="read_batches found no row in the files"):
        list(read_batches(path))
    path.write_bytes(b"ok\n\xff\n")
    with pytest.raises(ValueError, match=r"read_batches: x.txt, line 2 is not UTF-8"):
        list(read_batches(path))
    path.write_bytes(b"text\rone\r")
    with pytest.raises(ValueError, match=r"x.txt, line 1 has 2 carriage returns and the file no"):
        list(read_batches(path, "text"))
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"x.txt is empty. A file of records has at least one"):
        list(read_batches(path, "text"))
    path.write_text('{"text": "a"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"x.txt, line 1 has no column 'body'. It has \['text'\]"):
        list(read_batches(path, "body"))
    with pytest.raises(ValueError, match="columns are those of records"):
        read_batches(path, "text", document="file")
    with pytest.raises(FileNotFoundError, match="none"):
        list(read_batches(tmp_path / "none"))


def test_all_paths_are_tried_before_the_first_is_read(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("a\nb\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    for last, error in ((tmp_path / "none", FileNotFoundError), (tmp_path / "empty", ValueError)):
        with pytest.raises(error, match=last.name):
            read_batches(iter([path, last]), batch_chars=1)


@pytest.mark.parametrize("columns", [[], ()])
def test_no_column_is_an_error(tmp_path, columns):
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="needs the name of a column at least, got columns="):
        read_batches(path, columns)
