"""Data sets show what they hold in a few lines, whatever they hold."""

import copy
import pickle
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.utils import Bunch

from sklearn_codex._bunch import DataBunch
from sklearn_codex.datasets import load_stdlib_code, make_preferences, read_preferences

ROWS = [
    {"prompt": f"question {i}", "chosen": "yes " * 200, "rejected": "no", "source": "a"}
    for i in range(300)
]
SETS = {
    "read_preferences": lambda: read_preferences(ROWS),
    "load_stdlib_code": lambda: load_stdlib_code(n_modules=3),
    "make_preferences": lambda: make_preferences(500, text=True, random_state=0),
    "counts": lambda: make_preferences(500, sparse=True, random_state=0),
}


@pytest.mark.parametrize("name", SETS)
def test_data_sets_fit_a_cell(name):
    data = SETS[name]()
    assert isinstance(data, Bunch)
    lines = repr(data).splitlines()
    assert len(lines) == len(data) + 2
    assert max(map(len, lines)) < 160
    for key in data:
        assert sum(line.startswith(f"    {key}: ") for line in lines) == 1
    assert len(data._repr_html_()) < 200 * len(data) + 200


def test_what_is_short_is_shown_and_what_is_long_is_counted():
    data = DataBunch(
        X=np.zeros((3, 2)), n=3, zero=np.array(1.5), none=None, name="file.csv", text="ab " * 100,
        many=list(range(40)), few=["x", "y"], empty=[], columns={f"c{i}": 1 for i in range(10)},
    )  # fmt: skip
    assert repr(data).splitlines()[1:-1] == [
        "    X: ndarray of shape (3, 2), float64,",
        "    n: 3,",
        "    zero: 1.5,",
        "    none: None,",
        "    name: 'file.csv',",
        f"    text: '{' '.join(['ab'] * 20)}'... (300 chars),",
        "    many: list of 40,",
        "    few: ['x', 'y'],",
        "    empty: [],",
        "    columns: dict of c0, c1, c2, c3, c4, c5, c6, c7 and 2 more,",
    ]
    assert repr(DataBunch()) == "Bunch()"


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text.append(data)


def test_markup_and_controls_in_data_are_text():
    hostile = "<script>alert(1)</script>\x1b[31m\u202e"
    page = Reader()
    data = DataBunch(source=hostile, columns={hostile: 1}, **{hostile: 2})
    page.feed(data._repr_html_())
    assert page.tags == {"table", "caption", "tbody", "tr", "th", "td"}
    shown = "".join(page.text)
    assert shown.count("<script>") == 3
    assert "\x1b" not in shown + repr(data)
    assert "\u202e" not in shown + repr(data)


@pytest.mark.parametrize("again", [lambda d: pickle.loads(pickle.dumps(d)), copy.deepcopy])
def test_copies_are_the_same(again):
    data = make_preferences(5, random_state=0)
    data.mine = 1
    found = again(data)
    assert type(found) is type(data)
    assert found.mine == 1
    assert repr(found) == repr(data)
