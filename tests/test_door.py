"""The same pairs, in any layout and any container, give the same arrays."""

import tempfile
from pathlib import Path

import pytest
from data_files import COMPRESSIONS, CONTAINERS, FOLDERS, TABLES, TEXT_ONLY
from door import DOORS, FILES, make_table, write_door
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from layout_rows import PAIRS, TIE, normalize

from sklearn_codex.datasets import read_preferences

CROSSED = ("unpaired", "responses with", "HelpSteer")
"""Layouts that pair each good response of a prompt with each bad one, named by how they begin."""
LISTS = "lists of texts in chosen and rejected"
SOFT = ("two responses and a label", "AlpacaEval")
"""Layouts whose labels may be probabilities."""
EXACT = [
    name
    for name, door in DOORS.items()
    if all(
        text in list(row.values())
        for row, pair in zip(door.write(PAIRS), PAIRS, strict=False)
        for text in pair[:3]
    )
    and not any(
        isinstance(value, list | dict) for row in door.write(PAIRS) for value in row.values()
    )
]
"""Layouts with a cell for each text, which is kept as it is; blanks around turns say nothing."""


def wanted(pairs):
    """Return what pairs say in the terms of ``normalize``, whatever blanks are in prompts."""
    numbers = {}
    groups = [numbers.setdefault(" ".join(pair[0].split()), len(numbers)) for pair in pairs]
    return normalize([pair[:3] for pair in pairs], [pair[3] for pair in pairs], groups)


def without_blanks(pairs):
    """Return pairs without the blanks around texts and within prompts, those of ties in order."""
    found = []
    for prompt, *texts, label, group in pairs:
        texts = [text.strip() for text in texts]
        texts = sorted(texts) if label == 0.5 else texts
        found.append((" ".join(prompt.split()), *texts, round(label, 9), group))
    return found


def read_back(name, pairs, place):
    """Return pairs that were written in a layout and read again, and whether each is oriented."""
    rows = DOORS[name].write(pairs)
    if place in TABLES:
        data = read_preferences(make_table(rows, place))
    else:
        with tempfile.TemporaryDirectory() as folder:
            data = read_preferences(write_door(rows, Path(folder) / "data", *place))
    assert data.layout.startswith(DOORS[name].called)
    assert data.oriented.all() == DOORS[name].oriented
    assert data.oriented.any() == DOORS[name].oriented
    return normalize(data.X, data.y, data.groups)


# PaddleNLP's cells are lists, as columns would be, of which a file of one object may consist.
@pytest.mark.parametrize("name", [name for name in DOORS if name != "PaddleNLP"])
def test_a_line_alone_in_a_file_is_a_record(name):
    """Its lists of messages hold no records, in whatever notation they are."""
    pair = [PAIRS[0]]
    assert read_back(name, pair, ("json lines", "none")) == read_back(
        name, pair, ("json list", "none")
    )


@pytest.mark.parametrize("name", DOORS)
def test_every_layout_in_every_container_says_the_same(name):
    """Each layout in each container and in each compression, not in all of both at once."""
    pairs = [*PAIRS, TIE] if DOORS[name].ties else PAIRS
    if name.startswith(CROSSED):
        pairs = [pair for i, pair in enumerate(pairs) if pair[0] not in {p for p, *_ in pairs[:i]}]
    turn, tried = list(DOORS).index(name), set()
    for i, container in enumerate([*CONTAINERS, *FOLDERS]):
        packed = [compression for held, compression in FILES if held == container]
        place = container, packed[(i + turn) % len(packed)]
        tried.add(place[1])
        if name == LISTS and container in TEXT_ONLY:  # which has no lists, but texts in brackets
            with pytest.raises(ValueError, match="can mean two things: one response in a list"):
                read_back(name, pairs, place)
            continue
        assert read_back(name, pairs, place) == wanted(pairs), place
    assert tried == set(COMPRESSIONS)
    for table in TABLES:
        assert read_back(name, pairs, table) == wanted(pairs), table


# Without what marks a role or a template (":", "<", "#", "[", "{"), as texts with those are
# conversations, and without "\r", which a line of a prompt in two columns ends with.
CHARACTERS = "aZé中文字ßกא5,;|.!?()&%='\"\\/~*-_ \t\n\u2028\x85\u0301\u200d\U0001f469\U0001f4bb"
WORDS = st.text(CHARACTERS, max_size=12)
# A letter first, so that there is a text.
PROMPTS = st.builds(lambda text, end: f"Q{text}{end}", WORDS, st.sampled_from(["?", " \n", ""]))
RESPONSES = st.builds(
    lambda blank, word, text: f"{blank}{word}{text}",
    st.sampled_from(["", "", " ", "\n\t"]),
    st.sampled_from(["one", "x", "Ünd", "是", "3", "null", "A"]),
    WORDS,
)


@st.composite
def _pairs(draw, name):
    labels = [1.0, 0.0, 0.5] if DOORS[name].ties else [1.0, 0.0]
    label = st.sampled_from([*labels, 0.7, 0.125] if name in SOFT else labels)
    prompts = draw(st.lists(PROMPTS, min_size=1, max_size=3))
    pairs = draw(
        st.lists(
            st.tuples(st.sampled_from(prompts), RESPONSES, RESPONSES, label),
            min_size=2,
            max_size=6,
        )
    )
    # Both labels, as from 1 alone nobody can tell what other labels would be.
    pairs = [(*pair[:3], float(1 - i)) for i, pair in enumerate(pairs[:2])] + pairs[2:]
    assume(all(one.strip() != other.strip() for _, one, other, _ in pairs))
    if name.startswith(CROSSED):
        pairs = [(f"{prompt} {i}", *rest) for i, (prompt, *rest) in enumerate(pairs)]
    return pairs


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_pairs_are_the_same_whatever_holds_them(data):
    name = data.draw(st.sampled_from(list(DOORS)), label="layout")
    place = data.draw(st.sampled_from([*FILES, *TABLES]), label="container")
    assume(name != LISTS or place[0] not in TEXT_ONLY)
    pairs = data.draw(_pairs(name), label="pairs")
    found = read_back(name, pairs, place)
    assert without_blanks(found) == without_blanks(wanted(pairs))
    if name in EXACT:
        assert [row[:3] for row in found] == [row[:3] for row in wanted(pairs)]


def test_some_layouts_keep_every_blank():
    assert {"chosen and rejected", "two responses and a label", "pos and neg"} <= set(EXACT)
    assert not {"HH-RLHF", "AlpacaFarm", "ms-swift"} & set(EXACT)
