import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklearn_codex._data import records as _records
from sklearn_codex._data.records import check_records, is_records

ROWS = [
    {"text": "a corpus text"},
    {"prompt": "p", "completion": "c"},
    {"completion": "d"},
    {"prompt": "p", "chosen": "good", "rejected": "bad"},
    {"prompt": "q", "chosen": "better", "rejected": "worse"},
    {"prompt": "q", "response_a": "x", "response_b": "y", "label": 0},
]


def read(X):
    return check_records(X, subject="Reader")


def test_each_text_has_the_prompt_of_its_record():
    records = read([*ROWS, {"prompt": "r", "responses": ["1", "2", "3"]}, {"responses": ["4"]}])
    assert dict(zip(records.all_texts(), records.all_prompts(), strict=True)) == {
        "a corpus text": None, "c": "p", "d": None, "good": "p", "bad": "p", "better": "q",
        "worse": "q", "x": "q", "y": "q", "1": "r", "2": "r", "3": "r", "4": None,
    }  # fmt: skip


def test_row_decides_kind():
    records = read(ROWS)
    assert len(records) == 6
    assert records.kind.tolist() == ["corpus"] + ["demonstration"] * 2 + ["preference"] * 3
    assert records.prompt == [None, "p", None, "p", "q", "q"]
    assert records.rows("demonstration").tolist() == [1, 2]
    assert records.describe() == "1 corpus, 2 demonstration, 3 preference"


def test_chosen_takes_both_sides_in_turn():
    records = read(ROWS)
    assert records.text[3:] == ["good", "worse", "x"]
    assert records.other[3:] == ["bad", "better", "y"]
    assert records.label.tolist() == [-1, -1, -1, 1, 0, 0]


@pytest.mark.parametrize("label", [0, 1])
def test_labels_that_are_all_the_same_are_balanced(label):
    rows = [{"response_a": f"a{i}", "response_b": f"b{i}", "label": label} for i in range(3)]
    records = read(rows)
    assert records.label.tolist() == [label, 1 - label, label]
    assert records.text == ["a0", "b1", "a2"]
    assert records.other == ["b0", "a1", "b2"]
    assert records.documents() == [f"{'ba'[label]}{i}" for i in range(3)]


def test_document_of_preference_is_preferred_response():
    documents = read(ROWS).documents()
    assert documents == ["a corpus text", "c", "d", "good", "better", "y"]


@pytest.mark.parametrize(
    "make",
    [
        tuple,
        lambda rows: np.array(rows, dtype=object),
        pd.DataFrame,
        lambda rows: pd.DataFrame(rows).convert_dtypes(),
        lambda rows: pd.Series(rows, index=range(10, 16)),
        lambda rows: pl.DataFrame(rows, infer_schema_length=None),
    ],
    ids=["tuple", "array", "pandas", "pandas-NA", "series", "polars"],
)
def test_containers_are_equal(make):
    expected, got = read(ROWS), read(make(ROWS))
    for name in ("kind", "label"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    assert (got.text, got.other, got.prompt) == (expected.text, expected.other, expected.prompt)


def test_absent_and_foreign_columns_do_not_count():
    row = {"text": "a", "completion": None, "chosen": float("nan"), "source": "web", "label": pd.NA}
    assert read([row]).kind.tolist() == ["corpus"]


def test_blank_prompt_is_no_prompt():
    assert read([{"prompt": " \n", "completion": "c"}]).prompt == [None]


def test_conversation_equals_its_text():
    said = [{"role": "assistant", "content": "c"}]
    asked = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    text = "System: s\n\nUser: u"
    records = read(
        [
            {"prompt": asked, "completion": said},
            {"prompt": text, "completion": "c"},
            {"completion": asked + said},
            {"prompt": asked[1:], "completion": said},
        ]
    )
    assert records.prompt == [text, text, text, "u"]
    assert records.text == ["c"] * 4


def test_conversations_without_prompt_share_their_beginning():
    asked = {"role": "user", "content": "u"}
    chosen = [asked, {"role": "assistant", "content": "good"}]
    rejected = [asked, {"role": "assistant", "content": "bad"}]
    records = read(
        [{"chosen": chosen, "rejected": rejected}, {"chosen": chosen, "rejected": chosen}]
    )
    assert records.prompt == ["u", "u"]
    assert records.text == ["good", "good"]
    assert records.other == ["bad", "good"]


def test_conversations_in_frames():
    messages = [{"role": "assistant", "content": "c"}, {"role": "assistant", "content": "d"}]
    assert read(pl.DataFrame({"completion": [messages]})).text == ["c\n\nAssistant: d"]
    # Parquet files give arrays.
    cell = np.empty(1, dtype=object)
    cell[0] = np.array(messages, dtype=object)
    assert read(pd.DataFrame({"completion": cell})).text == ["c\n\nAssistant: d"]
    assert is_records(pd.DataFrame({"completion": cell}))


@pytest.mark.parametrize("label", [1, 1.0, True, np.int8(1), np.float32(1), np.True_])
def test_label_one_prefers_a(label):
    records = read([{"response_a": "a", "response_b": "b", "label": label}])
    assert records.label.tolist() == [1]


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"prompt": "p"}, r"record 1 is of no kind. It has \['prompt'\].*corpus: text"),
        ({"text": None}, r"record 1 is of no kind. It has \[\]"),
        ({"text": "a", "completion": "b"}, "record 1 is of several kinds"),
        ({"text": "a", "label": 1}, "record 1 is of several kinds"),
        ({"completion": "a", "label": 1, "response_a": "b"}, "record 1 is of several kinds"),
        ({"completion": "a", "label": 1, "rejected": "b"}, "record 1 is of several kinds"),
        (
            {"completion": "a", "label": 4.5},
            r"false or 0 .*got 4\.5\. Leave the label",
        ),
        ({"completion": "a", "label": "good"}, "or a probability between, got 'good'"),
        ({"label": True}, "incomplete preference, without response_a, response_b"),
        ({"chosen": "a"}, "record 1 is an incomplete preference, without rejected"),
        ({"response_a": "a", "label": 1}, "incomplete preference, without response_b"),
    ],
)
def test_unclear_kind_is_an_error(row, match):
    with pytest.raises(ValueError, match=match):
        read([ROWS[0], row])


@pytest.mark.parametrize(
    ("label", "match"),
    [
        (1.5, r"should have label 1 .* 0.5 \(a tie\) or a probability between, got 1.5"),
        (2, "should have label 1 .* got 2"),
        ("A", "should have label 1 .* got 'A'"),
        (-1, "should have label 1 .* got -1"),
    ],
)
def test_other_labels_than_probabilities_are_an_error(label, match):
    with pytest.raises(ValueError, match=match):
        read([{"response_a": "a", "response_b": "b", "label": label}])


def test_ties_and_soft_labels_are_kept():
    soft = [{"response_a": "a", "response_b": "b", "label": p} for p in (0.5, 0.25, 0.75, 1, 0)]
    records = read(soft)
    assert records.label.tolist() == [0.5, 0.25, 0.75, 1, 0]
    assert records.documents() == ["a", "b", "a", "a", "b"]
    assert records.labels(np.arange(5)).dtype.kind == "f"
    assert records.labels(np.array([3, 4])).tolist() == [1, 0]
    assert records.labels(np.array([3, 4])).dtype.kind == "i"


def test_ties_alone_are_records():
    records = read([{"response_a": "a", "response_b": "b", "label": 0.5}] * 2)
    assert records.label.tolist() == [0.5, 0.5]


def test_records_may_have_weights():
    rows = [dict(row, sample_weight=weight) for row, weight in zip(ROWS, range(6), strict=True)]
    assert read(rows).weight.tolist() == [0, 1, 2, 3, 4, 5]
    assert read(ROWS).weight.tolist() == [1] * 6
    assert read([ROWS[0], {**ROWS[1], "sample_weight": None}]).weight.tolist() == [1, 1]


@pytest.mark.parametrize("weight", [-1, float("inf"), "2", 10**400])
def test_other_weights_are_an_error(weight):
    with pytest.raises(ValueError, match=r"record 0 .* number of at least 0 as sample_weight"):
        read([{"text": "a", "sample_weight": weight}])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (3, "text or messages .* as text, got a int: 3"),
        (b"a", "text or messages .* as text, got a bytes"),
        ([], "text or messages .* as text, got a list"),
        (["a"], "messages of a str role and a str content as text, got 'a'"),
        ([{"role": "user", "content": None}], "a str role and a str content"),
        ([{"content": "a"}], "a str role and a str content"),
    ],
)
def test_other_values_than_text_are_an_error(text, match):
    with pytest.raises(TypeError, match=match):
        read([{"text": text}])


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        ({"text": ["a"]}, TypeError, "Reader expected X to be records, .* got a dict"),
        ("text", TypeError, "got a str: 'text'"),
        (iter(ROWS), TypeError, "got a list_iterator"),
        (None, TypeError, "got a NoneType"),
        (["a", "b"], TypeError, r"but X\[0\] is a str: 'a'"),
        (np.eye(2), TypeError, r"but X\[0\] is a ndarray"),
        ([], ValueError, "Reader got 0 records"),
        (pd.DataFrame({"text": []}), ValueError, "Reader got 0 records"),
    ],
)
def test_other_containers_are_an_error(X, error, match):
    with pytest.raises(error, match=match):
        read(X)


def test_records_are_told_from_documents():
    assert is_records(ROWS)
    assert is_records(np.array(ROWS, dtype=object))
    assert is_records(pd.DataFrame(ROWS))
    assert is_records(pl.DataFrame(ROWS, infer_schema_length=None))
    assert not is_records(["a", "b"])
    assert not is_records(np.eye(2))
    assert not is_records(np.array(["a"]))
    assert not is_records([])
    # A count matrix with a column for the word "text".
    assert not is_records(pd.DataFrame({"text": [1, 0], "a": [0, 2]}))
    assert not is_records(pl.DataFrame({"text": [1, 0], "a": [0, 2]}))


def test_rows_read_by_column_equal_rows_read_one_by_one(monkeypatch):
    rows = [{"text": "a b"}, {"prompt": " ", "completion": "c"}, {"completion": "", "other": 1}]
    rows += [{"prompt": f"p{i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(5)]
    rows = [rows[i] for i in np.random.RandomState(0).permutation(len(rows))]
    by_column = check_records(rows, subject="x")
    assert _records._read_plain_rows(rows) is not None
    monkeypatch.setattr(_records, "_read_plain_rows", lambda rows: None)
    one_by_one = check_records(rows, subject="x")
    for column, values in vars(one_by_one).items():
        found = getattr(by_column, column)
        assert type(found) is type(values)
        assert getattr(found, "dtype", None) == getattr(values, "dtype", None)
        assert list(found) == list(values)
