import pytest
from ranked_layouts import read

PAIR = {"prompt": "p", "response_a": "x", "response_b": "y"}


@pytest.mark.parametrize(
    ("votes", "share"),
    [
        ({"votes_a": 3, "votes_b": 1}, 0.75),
        ({"n_votes_a": "1", "n_votes_b": "4"}, 0.2),
        ({"a_wins": 2, "b_wins": 0, "ties": 2}, 0.75),
        ({"votes_a": 0, "votes_b": 2}, 0.0),
    ],
)
def test_the_share_of_votes_is_the_label(votes, share):
    data = read([PAIR | votes])
    assert data.y.tolist() == [share]
    assert data.sample_weight.tolist() == [1.0]
    assert not data.oriented.any()
    assert any("A row weighs 1 whatever the number of its votes" in note for note in data.notes)


def test_votes_can_weigh():
    rows = [
        PAIR | {"votes_a": 3, "votes_b": 1, "n": 4},
        PAIR | {"votes_a": 1, "votes_b": 0, "n": 1},
    ]
    assert read(rows, weight="n").sample_weight.tolist() == [4.0, 1.0]


def test_rows_without_a_vote_are_counted():
    rows = [PAIR | {"votes_a": 0, "votes_b": 0}, PAIR | {"votes_a": 0, "votes_b": 1}]
    data = read(rows)
    assert data.n == 1
    assert "Without a vote, so without a pair: 1 row." in data.notes


def test_negative_votes_are_refused():
    with pytest.raises(ValueError, match="line 1 has -1 and 2 votes"):
        read([PAIR | {"votes_a": -1, "votes_b": 2}])


@pytest.mark.parametrize(
    ("votes", "who"),
    [
        ({"annotations": [{"user": "u", "label": "A"}, {"user": "v", "label": "B"}]}, "uv"),
        ({"annotations": '[{"rater": "u", "choice": "a"}, {"rater": "v", "choice": "b"}]'}, "uv"),
        ({"votes": {"u": "A", "v": "B"}}, "uv"),
        ({"votes": ["A", "B"]}, [None, None]),
        ({"winner": ["model_a", "model_b"]}, [None, None]),
    ],
)  # fmt: skip
def test_votes_one_by_one_are_pairs_with_their_annotators(votes, who):
    data = read([PAIR | votes])
    assert data.y.tolist() == [1.0, 0.0]
    assert data.annotator.tolist() == list(who)
    assert data.sample_weight.tolist() == [1.0, 1.0]
    assert any(note.startswith("Each of 2 votes of 1 row in ") for note in data.notes)


def test_votes_without_a_label_are_refused():
    rows = [PAIR | {"votes": [{"label": "A"}]}, PAIR | {"votes": [{"mood": "good"}]}]
    with pytest.raises(
        ValueError, match=r"line 2 has no label in votes\[0\], which has \['mood'\]"
    ):
        read(rows)
