import pytest
from ranked_layouts import read

PAIR = {"prompt": "p", "response_a": "x", "response_b": "y"}


@pytest.mark.parametrize(
    ("votes", "who"),
    [
        ({"annotations": [{"user": "u", "label": "A"}, {"user": "v", "label": "B"}]}, "uv"),
        ({"annotations": '[{"rater": "u", "choice": "a"}, {"rater": "v", "choice": "b"}]'}, "uv"),
        ({"winner": [{"judge": "u", "vote": "A"}, {"judge": "v", "vote": "B"}]}, "uv"),
    ],
)  # fmt: skip
def test_votes_one_by_one_are_pairs_with_their_annotators(votes, who):
    data = read([PAIR | votes])
    assert data.y.tolist() == [1.0, 0.0]
    assert data.annotator.tolist() == list(who)
    assert data.sample_weight.tolist() == [0.5, 0.5]
    assert any(note.startswith("2 votes of 1 row in ") for note in data.notes)


def test_votes_without_a_label_are_refused():
    rows = [PAIR | {"votes": [{"label": "A", "user": "u"}]}, PAIR | {"votes": [{"mood": "good"}]}]
    with pytest.raises(
        ValueError, match=r"line 2 has no label in votes\[0\], which has \['mood'\]"
    ):
        read(rows)
