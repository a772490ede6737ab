"""Which columns of the data cut the pairs into parts: of the pair, or of each of its two sides."""

from collections import Counter
from dataclasses import dataclass
from numbers import Real

import numpy as np

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import fold
from sklearn_codex._layouts.words import LABELLED, ORIENTED, name_tokens, replace
from sklearn_codex._plain import did_you_mean, plain
from sklearn_codex.metrics import quantile_slices
from sklearn_codex.metrics._compare_slices import MIN_PAIRS, Slice

MOST_VALUES = 20
"""Columns of more values are sliced where the caller names them."""
N_BINS = 4
ANNOTATOR = "annotator"
"""What the column of who gave the label is called here."""


@dataclass(frozen=True)
class Cut:
    """What cuts the pairs into parts.

    Parameters
    ----------
    name : str
        What it is called.
    kind : {"column", "sides", "topics"}
        Of the pair, of each side, of the prompt.
    columns : tuple of str
        Columns of the data that it is from.
    values : tuple of ndarray of shape (n_pairs,)
        One array, or those of A and of B; None is unknown.
    has_sides : bool, default=False
        Whether it is known which of the two values is that of A.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    has_sides: bool = False

    def take(self, rows):
        """Return the same of some of the pairs."""
        values = tuple(value[rows] for value in self.values)
        return Cut(self.name, self.kind, self.columns, values, self.has_sides)

    def levels(self):
        """Return the number of pairs with each value, on either side.

        Numbers are in their order, other values by how frequent they are.
        """
        counts: Counter = Counter()
        for of_pair in zip(*self.values, strict=True):
            counts.update({value for value in of_pair if value is not None})
        if all(map(_is_number, counts)):
            return {value: counts[value] for value in sorted(counts)}
        return dict(sorted(counts.items(), key=lambda entry: (-entry[1], str(entry[0]))))

    def slices(self):
        """Return the slices that have pairs enough, and the number of values with fewer."""
        levels = self.levels()
        if self.kind == "column" and len(levels) > MOST_VALUES and all(map(_is_number, levels)):
            return self._bins(), 0
        known = np.logical_and.reduce([_known(values) for values in self.values])
        found = []
        for level, n_pairs in levels.items():
            if n_pairs < MIN_PAIRS:
                continue
            inside = np.logical_or.reduce([values == level for values in self.values])
            if (outside := known & ~inside).any():  # else it is no kind, but all pairs
                found.append(Slice(show_value(level), inside, outside))
        if self.kind == "sides":
            same = known & (self.values[0] == self.values[1])
            found.append(Slice(SAME, same, known & ~same))
        return found, sum(n_pairs < MIN_PAIRS for n_pairs in levels.values())

    def _bins(self):
        """Return quarters of a column of many numbers."""
        known = _known(self.values[0])
        bins = quantile_slices(self.values[0][known].astype(float), N_BINS, name="")
        found = []
        for name, mask in bins.items():
            inside = np.zeros(len(known), dtype=bool)
            inside[known] = mask
            found.append(Slice(name.strip(), inside, known & ~inside))
        return found


SAME = "the same on both sides"


def show_value(value):
    """Return a value as it is shown; whole numbers without a point."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return f"{value:g}" if _is_number(value) else str(value)


def find_cuts(pairs, given, named=None):
    """Return what the columns of the data cut the pairs by.

    Parameters
    ----------
    pairs : Bunch
        As from :func:`sklearn_codex.datasets.read_preferences`.
    given : Given
        What the caller says of columns.
    named : sequence of str, default=None
        Columns to look at. None means those of 2 to 20 values, two of which have pairs enough,
        the annotators among them.

    Returns
    -------
    cuts : list of Cut
        Two columns that say one thing of both sides, such as model_a and model_b, are one.

    Raises
    ------
    ValueError
        If a column is named that is not there, has one value only, or holds lists.
    """
    of_side, alone = find_sides(pairs)
    if named is not None:
        return _named_cuts(pairs, given, list(named), of_side, alone)
    scores = {name for found in pairs.scores for name in (found.better, found.worse)}
    cuts = [
        cut
        for cut in (*of_side.values(), *alone.values())
        if not scores & set(cut.columns) and _is_short(cut)
    ]
    order = [ANNOTATOR, *pairs.columns]
    return sorted(cuts, key=lambda cut: order.index(cut.columns[0]))


def _is_short(cut):
    """Whether a column has few values, two of which have pairs enough."""
    if any(_holds_lists(values) for values in cut.values):
        return False
    levels = cut.levels()
    enough = sum(n_pairs >= MIN_PAIRS for n_pairs in levels.values())
    return 2 <= len(levels) <= MOST_VALUES and enough >= 2


def _named_cuts(pairs, given, named, of_side, alone):
    cuts: dict[tuple[str, ...], Cut] = {}
    # A column before what two columns have in common in their names.
    every = [*alone.values(), *of_side.values()]
    for name in named:
        cut = next((cut for cut in every if _is_called(cut, name)), None)
        said = f"--slices {name}" if given.command else f'slices=["{name}"]'
        place = plain(str(pairs.source))
        if cut is None:
            names = f"{list(pairs.columns)}" if pairs.columns else "none but those of the pairs"
            raise ValueError(
                f"{place} has no column {name!r}, which {said} names, beside those of the pairs."
                f"{did_you_mean(name, pairs.columns)} The columns are {names}."
            )
        if any(_holds_lists(values) for values in cut.values):
            raise ValueError(
                f"{place}: the column {name!r}, which {said} names, holds lists. Name one with a "
                "word or a number for each pair."
            )
        levels = cut.levels()
        if len(levels) < 2:
            what = f"one value only, {next(iter(levels))!r}" if levels else "no value"
            raise ValueError(
                f"{place}: the column {name!r}, which {said} names, has {what}, so there are no "
                "parts to compare. Leave it out."
            )
        cuts[cut.columns] = cut
    return list(cuts.values())


def _is_called(cut, name):
    """Whether a caller means a cut; case, blanks and hyphens do not matter."""
    return fold(name) in {fold(one) for one in (cut.name, *cut.columns)}


def find_sides(pairs):
    """Return the cuts of pairs of columns by name, and those of the other columns.

    Who gave the label is one of these, whatever the column is called.
    """
    clean = {name: _clean(values) for name, values in pairs.columns.items()}
    of_tokens = {tuple(name_tokens(name)): name for name in clean}
    found: dict[str, Cut] = {}
    used: set[str] = set()
    for words, is_oriented in ((ORIENTED, True), (LABELLED, False)):
        for one, other in words:
            for tokens, name in of_tokens.items():
                for counterpart, rest in replace(list(tokens), one, other):
                    match = of_tokens.get(counterpart)
                    if match is None or not rest or {name, match} & used:
                        continue
                    if one[0].isdigit() and not _are_sides(pairs, one, other):
                        continue  # topic_1 and topic_2 may be two topics of the prompt
                    title = "_".join(rest)
                    title = title if title not in found else name
                    values = clean[name], clean[match]
                    found[title] = _cut_of_sides(pairs, title, (name, match), values, is_oriented)
                    used |= {name, match}
    alone = {
        name: Cut(name, "column", (name,), (values,))
        for name, values in clean.items()
        if name not in used
    }
    who = _clean(pairs.annotator)
    if _known(who).any() and ANNOTATOR not in clean and not _is_among(who, clean.values()):
        alone[ANNOTATOR] = Cut(ANNOTATOR, "column", (ANNOTATOR,), (who,))
    return found, alone


def _is_among(values, others):
    """Whether a column has these values, as that of an annotator who was named has."""
    return any(not _holds_lists(other) and other.tolist() == values.tolist() for other in others)


def _are_sides(pairs, one, other):
    """Whether the columns of the responses have these words too."""
    tokens = [
        token
        for name in (pairs.get("roles") or {}).get("responses", [])
        for token in name_tokens(name)
    ]
    return one[0] in tokens and other[0] in tokens


def _cut_of_sides(pairs, title, names, values, is_oriented):
    """Return a cut whose values are those of A and of B, where it is known which are."""
    first, second = values
    if is_oriented:  # the better one first
        turned, knows = pairs.y < 0.5, bool((pairs.y != 0.5).all())
        if not knows:
            return Cut(title, "sides", names, values)
        values = np.where(turned, second, first), np.where(turned, first, second)
        return Cut(title, "sides", names, values, has_sides=True)
    return Cut(title, "sides", names, values, has_sides=not pairs.oriented.any())


def _clean(values):
    """Return the values of a column as objects, None for what is missing or empty."""
    found = np.empty(len(values), dtype=object)
    for row, value in enumerate(values.tolist()):
        is_empty = is_missing(value) or (isinstance(value, str) and not value.strip())
        found[row] = None if is_empty else value
    return found


def _known(values):
    return np.array([value is not None for value in values.tolist()], dtype=bool)


def _holds_lists(values):
    return any(isinstance(value, (list, tuple, dict, set, np.ndarray)) for value in values.tolist())


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
