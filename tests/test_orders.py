import pytest
from ranked_layouts import as_set, read

TEXTS = ["x", "y", "z"]
NUMBERED = {"response_1": "x", "response_2": "y", "response_3": "z"}


def better_of(row):
    return {(a, b) for _, a, b, _ in as_set(read([{"prompt": "p"} | row]))}


@pytest.mark.parametrize(
    "row",
    [
        {"responses": TEXTS, "best_to_worst": [1, 2, 0]},
        {"responses": TEXTS, "best_to_worst": [2, 3, 1]},
        {"responses": TEXTS, "order": "2 3 1"},
        {"responses": TEXTS, "ranking": "B > C > A"},
        {"responses": TEXTS, "ranking": ["y", "z", "x"]},
        {"responses": TEXTS, "ranking": '["B", "C", "A"]'},
        {"responses": TEXTS, "ranks": [3, 1, 2]},
        NUMBERED | {"ranking": "2>3>1"},
        NUMBERED | {"preference": "response_2 > response_3 > response_1"},
        {"response_a": "x", "response_b": "y", "response_c": "z", "ranking": ["b", "c", "a"]},
        {"response_a": "x", "response_b": "y", "response_c": "z", "ranking": "BCA"},
        {"response_a": "x", "response_b": "y", "response_c": "z", "ranking": "b>c>a"},
        {"responses": TEXTS, "ranking": "bca"},
        {"responses": {"A": "x", "B": "y", "C": "z"}, "ranking": "BCA"},
        {"responses": TEXTS, "best_to_worst": "231"},
        {"responses": TEXTS, "best_to_worst": 231},
        NUMBERED | {"order": "120"},
    ],
)
def test_orders_that_say_the_same(row):
    assert better_of(row) == {("y", "z"), ("y", "x"), ("z", "x")}


@pytest.mark.parametrize("ranking", ["BA", "B>A", "b > a", [2, 1]])
def test_two_responses_in_an_order(ranking):
    assert better_of({"response_a": "x", "response_b": "y", "ranking": ranking}) == {("y", "x")}


@pytest.mark.parametrize("order", ["BA", "CAB", "ba"])
def test_the_order_in_which_responses_were_shown_is_no_label(order):
    row = dict(zip(("response_a", "response_b", "response_c"), TEXTS, strict=False))
    row = {name: row[name] for name in list(row)[: len(order)]}
    assert ("x", "y") in better_of(row | {"order": order, "winner": "a"})
    assert ("y", "x") in better_of(row | {"order": order, "winner": "b"})


def test_numbers_of_rows_are_no_order_of_two():
    row = {"prompt": "p", "response_1": "x", "response_2": "y", "label_1": 1, "label_2": 0}
    for order in (12, "21"):
        assert read([row | {"order": order}]).y.tolist() == [1]
        with pytest.raises(ValueError, match="no column that is known to say which is better"):
            read([{n: v for n, v in row.items() if "label" not in n} | {"order": order}])


def test_a_word_that_is_no_order_of_all_letters_is_none():
    row = {"prompt": "p", "responses": TEXTS}
    for ranking in ("ABD", "AAB", "bad", 213.5):
        with pytest.raises(ValueError, match="nothing that says which is better"):
            read([row | {"ranking": ranking}])
    for ranking in ("AB", "ABCD"):
        with pytest.raises(ValueError, match="which is no order of"):
            read([row | {"ranking": ranking}])
    with pytest.raises(ValueError, match=r"either the rank of each response.*or the responses in"):
        read([row | {"ranking": "231"}])


def test_equals_are_ties():
    data = read([{"prompt": "p", "responses": TEXTS, "ranking": "C > A = B"}])
    assert {(a, b) for _, a, b, _ in as_set(data)} == {("z", "x"), ("z", "y")}
    assert (data.y == 0.5).sum() == 1
    assert data.sample_weight.sum() == pytest.approx(1)


def test_numbers_that_can_only_be_ranks_are_ranks():
    row = {"prompt": "p", "responses": TEXTS, "ranking": [2, 1, 2]}
    data = read([row])
    assert {(a, b) for _, a, b, _ in as_set(data)} == {("y", "x"), ("y", "z")}
    assert "ranking was read as the rank of each response." in data.notes


def test_numbers_that_say_the_same_as_ranks_and_as_an_order_are_read():
    assert better_of({"responses": TEXTS, "ranking": [3, 2, 1]}) == {
        ("z", "y"), ("z", "x"), ("y", "x")
    }  # fmt: skip


def test_numbers_that_may_be_ranks_or_an_order_are_an_error_with_both_readings():
    row = {"prompt": "p", "responses": TEXTS, "ranking": [2, 3, 1]}
    with pytest.raises(
        ValueError, match=r"so that responses\[2\] is the best.*so that responses\[1\] is"
    ):
        read([row])


@pytest.mark.parametrize("order", [["y", "z"], "B > C > D", [1, 2, "many"], "A > A > B"])
def test_an_order_of_other_responses_is_refused(order):
    with pytest.raises(ValueError, match=r"line 1 has ranking = .*no order of \['responses\[0\]'"):
        read([{"prompt": "p", "responses": TEXTS, "ranking": order}])
