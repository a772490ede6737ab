"""Pictures and tables of the page: equal digits, room for labels, room for wide tables."""

import re

import pytest

from sklearn_codex.report._blocks import Histogram, Section, TableBlock
from sklearn_codex.report._html import page
from sklearn_codex.report._svg import RIGHT, tick_labels, ticks_of
from sklearn_codex.report._svg_plots import histogram


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0.55, 0.6, 0.65], ["0.55", "0.60", "0.65"]),
        ([-0.5, 0.0, 0.5, 1.0], ["-0.5", "0.0", "0.5", "1.0"]),
        ([0, 50, 100], ["0", "50", "100"]),
        ([0, 5000, 10_000], ["0", "5,000", "10,000"]),
    ],
)
def test_numbers_beside_an_axis_have_equal_digits(ticks, labels):
    assert tick_labels(ticks) == labels


def test_powers_of_ten_are_shown_as_they_are():
    assert tick_labels([0.01, 1.0, 1000.0], log=True) == ["0.01", "1", "1,000"]


def test_the_last_number_of_an_axis_has_room():
    # Of 15 pixels each, a digit being about 0.6 of it wide; the middle of it is on the axis' end.
    longest = max(len(label) for label in tick_labels(ticks_of(-0.0096, 0.0093)))
    assert longest * 15 * 0.6 / 2 <= RIGHT + 4


@pytest.mark.parametrize("counts", [(3, 6, 1), (0, 1, 0), (7, 100, 99)])
def test_the_name_of_a_mark_stands_above_the_bars(counts):
    marks = [(1.5, "undecided")]
    plot = Histogram(
        "t", "x", "y", [0, 1, 2, 3], [("s", counts)], "m", TableBlock((), []), marks=marks
    )
    svg = histogram(plot)
    name = float(re.search(r'<text [^>]*y="([^"]+)">undecided', svg)[1])
    tops = [float(y) for y in re.findall(r'<rect class="bar[^>]* y="([^"]+)"', svg)]
    assert tops
    assert min(tops) > name + 3


@pytest.mark.parametrize(("n_columns", "is_wide"), [(3, False), (5, False), (6, True)])
def test_tables_of_many_columns_may_take_the_margin(n_columns, is_wide):
    table = TableBlock(tuple("abcdefgh"[:n_columns]), [("1",) * n_columns], "")
    html = page("t", "s", [Section("q", "a", [table])], "f")
    assert ('class="scroll wide"' in html) == is_wide
