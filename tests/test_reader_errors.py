"""Files of records that are broken, odd or no files."""

import gzip
import json
import os
import threading

import numpy as np
import pandas as pd
import pytest

from sklearn_codex import PreferenceRewardModel, make_rlhf_pipeline
from sklearn_codex._layouts.given import Given
from sklearn_codex.cli._inputs import read_texts
from sklearn_codex.cli._preferences import read_mixed
from sklearn_codex.datasets import read_batches, read_preferences
from sklearn_codex.datasets._readers import read_given

PAIR = {"chosen": "a", "rejected": "b"}


def read_all_ways(path):
    """Yield each way to read a file of records."""
    yield lambda: read_preferences(path)
    yield lambda: list(read_batches(path, "chosen"))
    yield lambda: read_mixed(str(path), Given(command=True)).pairs
    yield lambda: read_texts(str(path), "chosen")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "recursion"),
        (b'{"chosen": ' + b"[" * 100_000, "recursion"),
        (b'{"chosen": ' + b"9" * 5000 + b"}", "4300"),
        (json.dumps([PAIR]).encode("utf-16-be"), "UTF-16BE without a byte order mark"),
        (b"chosen,rejected\n\xe9,b\n", r"byte 0xe9.* iconv -f CP1252 -t UTF-8 .*data"),
        (gzip.compress(json.dumps(PAIR).encode(), mtime=0)[:-3], "cut off or damaged"),
        (gzip.compress(json.dumps(PAIR).encode(), mtime=0)[:12], "cut off or damaged"),
        (b"\x1f\x8bnonsense", "cut off or damaged"),
        (gzip.compress(json.dumps(PAIR).encode(), mtime=0) + b"rest", "cut off or damaged"),
        (b"chosen,chosen\na,b\n", "name each column once"),
        (b'chosen,rejected\n"a,b\n', "double quote"),
        (b"chosen,rejected\na\n", "should have 2 fields"),
        (b"", "is empty"),
    ],
)
def test_damaged_files_are_told_by_every_reader(content, message, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(content)
    for read in read_all_ways(path):
        with pytest.raises(ValueError, match=message) as caught:
            read()
        assert "data" in str(caught.value)


def test_folders_are_told_by_every_reader(tmp_path):
    for read in read_all_ways(tmp_path):
        with pytest.raises(ValueError, match=f"{tmp_path.name} is a folder without a file of data"):
            read()


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no device without an end")
def test_a_device_without_an_end_is_not_read():
    for read in read_all_ways("/dev/zero"):
        with pytest.raises(ValueError, match="zero is a device"):
            read()
    with pytest.raises(ValueError, match="null is empty"):
        read_preferences(os.devnull)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pipe_is_read_once(pack, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = pack("".join(json.dumps(PAIR) + "\n" for _ in range(5000)).encode())
    for read, n in zip(read_all_ways(path), (5000, 1, 5000, 5000), strict=True):
        thread = threading.Thread(target=path.write_bytes, args=[content])
        thread.start()
        result = read()
        assert len(getattr(result, "y", result)) == n
        thread.join()


@pytest.mark.parametrize("label", [10**400, -(10**400), float("inf"), float("-inf"), 1e308])
def test_labels_without_bounds_are_told(label):
    row = {"response_a": "a", "response_b": "b", "label": label}
    with pytest.raises(ValueError, match=r"label = .* is not known as a label. Known are"):
        read_preferences([row])


def test_other_columns_hold_what_they_held():
    values = {
        "vast": [10**400, 1, 0.5],
        "lists": [[1, 2], [3, 4], [5, 6]],
        "deep": [[[[1]]], [[[2]]], [[[3]]]],
        "mixed": [1, "a", None],
        "arrays": [np.zeros(2), np.ones(2), np.ones(2)],
    }
    rows = [{**PAIR, **{name: column[i] for name, column in values.items()}} for i in range(3)]
    columns = read_preferences(rows).columns
    for name, column in values.items():
        assert columns[name].shape == (3,)
        assert all(one is other for one, other in zip(columns[name], column, strict=True))


@pytest.mark.parametrize("path", [3, b"a", None, ["a"]])
def test_what_is_no_path_is_told(path, tmp_path):
    (tmp_path / "a").write_text("a\n")
    with pytest.raises(TypeError, match=r"read_batches reads files, got a .* among the paths"):
        read_batches([tmp_path / "a", path])


def test_columns_that_stand_twice_in_a_frame_are_told():
    frame = pd.DataFrame([["a", "b", "c"]], columns=["chosen", "rejected", "chosen"])
    for read in (read_preferences, make_rlhf_pipeline(PreferenceRewardModel()).fit):
        with pytest.raises(ValueError, match=r"2 columns of the name 'chosen'\. Rename or drop"):
            read(frame)


def test_names_of_files_show_no_controls(tmp_path):
    path = tmp_path / "a\x1b[31m\u202eb"
    path.write_text("x,y\n1\n")
    for read in (lambda: read_preferences(path), lambda: list(read_batches(path, "x"))):
        with pytest.raises(ValueError, match=r"a\u241b\[31m\[U\+202E\]b"):
            read()


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("pregunta", "respuesta_a", "respuesta_b", "ganador"), "do, say {}."),
        (("Frage", "Antwort A", "Antwort B", "Gewinner"), "do, say {}."),
        (("问题", "回答1", "回答2", "偏好"), "By what they hold it may be {}."),
        (("вопрос", "один", "другой", "выбор"), "By what they hold it may be {}."),
    ],
)
def test_headers_of_other_languages_are_told_with_all_options_at_once(names, options):
    """What the error says is read, once it is said."""
    texts = ("What is two?", "It is the number 2.", "I do not know that.")
    rows = [dict(zip(names, (*texts, label), strict=True)) for label in ("a", "b")]
    said = dict(zip(("prompt", "response_a", "response_b", "label"), names, strict=True))
    for command, between in ((True, " "), (False, "")):
        given = Given(command=command)
        with pytest.raises(ValueError, match=r"It has|The others are") as caught:
            read_given(rows, given, "")
        words = [given.say(role, name) for role, name in said.items()]
        if command:
            assert str(caught.value).endswith(options.format(between.join(words)))
        assert all(word in str(caught.value) for word in words)
    data = read_given(rows, Given(**said), "")
    assert data.X.tolist() == [list(texts)] * 2
    assert data.y.tolist() == [1, 0]


def test_of_two_texts_without_a_label_the_better_is_not_guessed():
    texts = {"eins": "It is the number 2.", "zwei": "I do not know that."}
    asked = {"frage": "What is two?"}
    with pytest.raises(ValueError, match="If eins is the better and zwei the worse") as caught:
        read_preferences([asked | texts])
    assert 'chosen="eins" and rejected="zwei", prompt="frage".' in str(caught.value)
    with pytest.raises(ValueError, match="By what they hold it may be") as caught:
        read_preferences([asked | texts | {"wer": "ja!"}])
    assert 'response_a="eins" and response_b="zwei", label="NAME"' in str(caught.value)
