import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import check_cv

from sklearn_codex._data.records import check_records
from sklearn_codex.model_selection import RecordKFold, record_train_test_split

MAKE = {
    "d": lambda prompt: {"prompt": prompt, "completion": "c"},
    "p": lambda prompt: {"prompt": prompt, "chosen": "c", "rejected": "d"},
    "c": lambda prompt: {"prompt": prompt, "responses": ["c", "d"]},
}


def make_records(prompts, n_corpus=5):
    """Records from strings: "dpp" is a prompt with a demonstration and two preferences."""
    records = [{"text": "a"} for _ in range(n_corpus)]
    for position, kinds in enumerate(prompts):
        records += [MAKE[kind](f"prompt {position}") for kind in kinds]
    return records


RECORDS = make_records(["dp", "ddp", "d", "d", "p", "pppp", "dp", "p", "d"])


def read(records):
    return check_records(records, subject="test")


def assert_sides_are_apart(records, train, test):
    """Every kind on both sides, no prompt on both, each record on one."""
    assert sorted([*train, *test]) == list(range(len(records)))
    checked = read(records)
    assert set(checked.kind[train]) == set(checked.kind[test]) == set(checked.kind)
    prompts = [{checked.prompt[row] for row in side} - {None} for side in (train, test)]
    assert not prompts[0] & prompts[1]


@pytest.mark.parametrize("params", [{}, {"shuffle": True, "random_state": 0}])
@pytest.mark.parametrize("n_splits", [2, 3, 5])
def test_every_kind_in_every_fold_and_prompts_apart(n_splits, params):
    splitter = RecordKFold(n_splits, **params)
    splits = list(splitter.split(RECORDS))
    assert len(splits) == splitter.get_n_splits(RECORDS) == n_splits
    for train, test in splits:
        assert_sides_are_apart(RECORDS, train, test)
    tests = np.concatenate([test for _, test in splits])
    assert sorted(tests) == list(range(len(RECORDS)))


@settings(max_examples=150, deadline=None)
@given(
    prompts=st.lists(st.text("dp", min_size=1, max_size=6), max_size=12),
    n_splits=st.integers(2, 4),
    seed=st.integers(0, 9),
)
def test_promise_holds_as_soon_as_there_are_prompts_enough(prompts, n_splits, seed):
    records = make_records(prompts)
    splitter = RecordKFold(n_splits, shuffle=True, random_state=seed)
    n_prompts = [sum(kind in kinds for kinds in prompts) for kind in "dp"]
    if any(0 < n < n_splits for n in n_prompts):
        with pytest.raises(ValueError, match="different prompts"):
            next(splitter.split(records))
        return
    numbers = []
    for train, test in splitter.split(records):
        assert_sides_are_apart(records, train, test)
        kind, prompt = read(records).kind, np.array(read(records).prompt, dtype=object)
        numbers.append([len(set(prompt[test][kind[test] == k])) for k in set(kind) - {"corpus"}])
    assert not np.ptp(np.array(numbers), axis=0).max(initial=0) > 1


@settings(max_examples=150, deadline=None)
@given(
    prompts=st.lists(st.text("dp", min_size=1, max_size=6), max_size=12),
    test_size=st.floats(0.05, 0.95),
    seed=st.integers(0, 9),
)
@example(["d", "d"], 0.95, 0)  # 1.9 of 2 prompts
def test_train_test_split_keeps_kinds_and_prompts(prompts, test_size, seed):
    records = [{**record, "id": i} for i, record in enumerate(make_records(prompts))]
    if any(sum(kind in kinds for kinds in prompts) == 1 for kind in "dp"):
        with pytest.raises(ValueError, match=r"at least 2 different prompts of each kind, got 1"):
            record_train_test_split(records, test_size=test_size, random_state=seed)
        return
    train, test = record_train_test_split(records, test_size=test_size, random_state=seed)
    sides = [[record["id"] for record in side] for side in (train, test)]
    assert_sides_are_apart(records, *sides)


@settings(max_examples=150, deadline=None)
@given(
    prompts=st.lists(st.sampled_from(["dpc", "d", "pp", "c", "dpcc"]), max_size=14),
    n_splits=st.integers(2, 4),
    seed=st.integers(0, 9),
)
def test_three_kinds_that_share_all_prompts_or_none_are_in_every_fold(prompts, n_splits, seed):
    records = make_records(prompts)
    splitter = RecordKFold(n_splits, shuffle=True, random_state=seed)
    n_prompts = [sum(kind in kinds for kinds in prompts) for kind in "dpc"]
    if any(0 < n < n_splits for n in n_prompts):
        with pytest.raises(ValueError, match="different prompts"):
            next(splitter.split(records))
        return
    numbers = []
    for train, test in splitter.split(records):
        assert_sides_are_apart(records, train, test)
        kind, prompt = read(records).kind, np.array(read(records).prompt, dtype=object)
        numbers.append([len(set(prompt[test][kind[test] == k])) for k in set(kind) - {"corpus"}])
    assert not np.ptp(np.array(numbers), axis=0).max(initial=0) > 1


@settings(max_examples=150, deadline=None)
@given(
    prompts=st.lists(st.text("dpc", min_size=1, max_size=4), min_size=1, max_size=12),
    seed=st.integers(0, 9),
)
def test_three_kinds_are_on_each_side_or_it_is_an_error(prompts, seed):
    records = [{**record, "id": i} for i, record in enumerate(make_records(prompts))]
    few = any(sum(kind in kinds for kinds in prompts) == 1 for kind in "dpc")
    splits, said = [], []
    for split in (
        lambda: RecordKFold(2, shuffle=True, random_state=seed).split(records),
        lambda: [record_train_test_split(records, test_size=0.3, random_state=seed)],
    ):
        try:
            splits += [[[records[i]["id"] for i in side] if isinstance(side, np.ndarray)
                        else [record["id"] for record in side] for side in sides]
                       for sides in split()]  # fmt: skip
        except ValueError as error:
            said.append(str(error))
    words = "different prompts" if few else "share their prompts with records"
    assert all(words in message for message in said)
    assert len(said) == 2 or not few
    for train, test in splits:
        assert_sides_are_apart(records, train, test)


def test_kinds_that_share_prompts_so_that_a_side_lacks_one_are_refused():
    records = make_records(["dp", "pc", "dc"])
    with pytest.raises(ValueError, match="preference records share their prompts with records of"):
        next(RecordKFold(2).split(records))
    with pytest.raises(ValueError, match=r"record_train_test_split .* share their prompts"):
        record_train_test_split(records, random_state=0)
    assert len(list(RecordKFold(2).split(records + make_records(["dpc"] * 3, 0)[2:]))) == 2


def test_shares_follow_test_size():
    records = make_records(["dp"] * 40 + ["d"] * 20 + ["pp"] * 60, n_corpus=100)
    _, test = record_train_test_split(records, test_size=0.2, random_state=0)
    kind = read(test).kind
    assert [(kind == k).sum() for k in ("corpus", "demonstration", "preference")] == [20, 12, 32]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_train_test_split_keeps_the_container(frame):
    X = frame([{**dict.fromkeys(("text", "prompt", "completion", "chosen", "rejected")), **record}
               for record in RECORDS])  # fmt: skip
    train, test = record_train_test_split(X, random_state=0)
    assert type(train) is type(test) is frame
    expected = record_train_test_split(RECORDS, random_state=0)
    assert [len(train), len(test)] == [len(side) for side in expected]
    assert read(test).prompt == read(expected[1]).prompt


def test_larger_prompts_go_to_smaller_folds():
    records = make_records(["d" * n for n in (6, 5, 4, 3, 2, 1)], n_corpus=0)
    sizes = [len(test) for _, test in RecordKFold(2).split(records)]
    assert sorted(sizes) == [10, 11]


def test_prompts_that_differ_by_blanks_are_one():
    records = [MAKE["d"]("a  b"), MAKE["d"]("a b\n"), MAKE["d"]("c")]
    for _, test in RecordKFold(2).split(records):
        assert test.tolist() in ([0, 1], [2])


def test_folds_depend_on_seed_alone():
    def folds(**params):
        return [test.tolist() for _, test in RecordKFold(3, **params).split(RECORDS)]

    assert folds() == folds()
    assert folds(shuffle=True, random_state=0) == folds(shuffle=True, random_state=0)
    assert folds(shuffle=True, random_state=0) != folds(shuffle=True, random_state=1)


def test_too_few_prompts_name_the_kind():
    records = make_records(["d", "d", "d", "pp", "p"])
    match = r"RecordKFold\(n_splits=3\) .* at least 3 different prompts .* got 2 in 3 preference"
    with pytest.raises(ValueError, match=match):
        next(RecordKFold(3).split(records))
    with pytest.raises(ValueError, match="at least 3 texts of each kind, got 2 in 2 corpus"):
        next(RecordKFold(3).split(make_records(["d"] * 3, n_corpus=2)))


def test_kinds_that_are_not_there_are_not_missed():
    assert len(list(RecordKFold(2).split(make_records(["d", "d"], n_corpus=0)))) == 2


def test_scikit_learn_takes_it_as_cv():
    splitter = RecordKFold(3)
    assert check_cv(splitter) is splitter
    assert repr(splitter) == "RecordKFold(n_splits=3, random_state=None, shuffle=False)"


def test_groups_are_ignored_with_a_warning():
    with pytest.warns(UserWarning, match="RecordKFold ignores groups"):
        list(RecordKFold(2).split(RECORDS, groups=range(len(RECORDS))))


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ({"n_splits": 1}, ValueError, "at least 2, got 1"),
        ({"n_splits": 2.5}, ValueError, "got 2.5"),
        ({"shuffle": "yes"}, TypeError, "got 'yes'"),
        ({"random_state": 0}, ValueError, "no effect with shuffle=False"),
    ],
)
def test_wrong_parameters(params, error, match):
    with pytest.raises(error, match=match):
        RecordKFold(**params)


def test_wrong_test_size():
    with pytest.raises(ValueError, match="'test_size' parameter"):
        record_train_test_split(RECORDS, test_size=1.5)
