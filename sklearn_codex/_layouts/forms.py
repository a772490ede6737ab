"""Which two responses a row has and what tells the better one, by names or by the caller."""

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._labels.conventions import SCORE_CONVENTIONS
from sklearn_codex._labels.sides import read_sides
from sklearn_codex._labels.words import read_words
from sklearn_codex._layouts.base import Columns, Form, Layout, fold, fold_all
from sklearn_codex._layouts.columns import make_layout
from sklearn_codex._layouts.given import PAIR_ROLES, Given
from sklearn_codex._layouts.guess import (
    counts_rows,
    label_of,
    measured_of,
    say_all,
    say_guess,
    texts_of,
)
from sklearn_codex._layouts.pairs import PairNames, find_lone, find_pairs, find_series
from sklearn_codex._layouts.prompts import ASKED, names_prompt
from sklearn_codex._layouts.scores import sign_of
from sklearn_codex._layouts.verdicts import Verdict, find_verdicts, model_columns, verdict_with
from sklearn_codex._layouts.words import LABELS, is_textlike, name_tokens

ORIENTED_ROLES = ("chosen", "rejected")
LABELLED_ROLES = ("response_a", "response_b", "label")


class Found(NamedTuple):
    """Two responses and what tells which is better; None where the first is."""

    pair: PairNames
    verdict: Verdict | None

    @property
    def form(self) -> Form:
        """The same as a form."""
        first, second, oriented = self.pair
        if self.verdict is None:
            return Form(first, second, oriented=oriented)
        return Form(first, second, self.verdict.columns[0] if self.verdict.kind == "label" else "")

    def describe(self) -> str:
        """Return the columns in words."""
        words = f"{self.pair.first} and {self.pair.second}"
        return (
            words if self.verdict is None else f"{words} with {' and '.join(self.verdict.columns)}"
        )


def find_columns(
    columns: Columns, row: Mapping[str, Any], given: Given, where: str
) -> Layout | None:
    """Return the layout that the names of the columns, or the caller, tell; None if they do not.

    Raises
    ------
    ValueError
        If they tell several.
    """
    if given.names_pair:
        found = _given_form(columns, row, given, where)
    else:
        pairs = find_pairs(columns, row, series=False)
        forms = _find_forms(columns, row, pairs)
        if len(forms) > 1:
            raise ValueError(_several(forms, given, where))
        if not forms:
            return None
        found = forms[0]
        if given.convention in (*SCORE_CONVENTIONS,) and found.verdict is not None:
            label = found.verdict.columns[0]
            verdict = _verdict_with(label, found.pair, columns, row, given, where)
            found = found._replace(verdict=verdict)
    layout = make_layout(
        _name_of(found, row), columns, row, given, where, found.form, found.verdict
    )
    if found.verdict is None:
        layout.notes += _unused_labels(columns, row, found, layout.used)
    return layout


def _find_forms(columns: Columns, row: Mapping[str, Any], pairs: list[PairNames]) -> list[Found]:
    oriented = [
        Found(pair, None)
        for pair in pairs
        if pair.oriented and not _names_sides(pair, pairs, columns, row)
    ]
    taken = {name for found in oriented for name in found.pair[:2]}
    rest = {name: column for name, column in columns.items() if column not in taken}
    return oriented + [
        Found(pair, verdict)
        for pair in pairs
        if not pair.oriented
        for verdict in find_verdicts(pair.first, pair.second, rest, row)
    ]


def _names_sides(pair: PairNames, pairs: list[PairNames], columns: Columns, row) -> bool:
    """Return whether winner and loser, say, are no texts but name two other responses."""
    values = {str(row[name]).strip().casefold() for name in pair[:2]}
    for first, second, oriented in pairs:
        if not oriented and len(values) == 2:
            models = model_columns(first, second, columns)
            names = {str(row[name]).strip().casefold() for name in models or ()}
            sides = read_sides(first, second)
            said = [read_words(value, sides) for value in values]
            if values == names or {verdict and verdict.probability for verdict in said} == {0, 1}:
                return True
    return False


def _given_form(columns: Columns, row: Mapping[str, Any], given: Given, where: str) -> Found:
    named = {
        role: columns.get(fold(name))
        for role, name in given.columns().items()
        if role in PAIR_ROLES
    }
    if given.labels:
        named["label"] = next((columns[n] for n in map(fold, given.labels) if n in columns), None)
        names = fold_all(row)
        voted = [names[name] for name in map(fold, given.labels) if name in names]
        columns = {name: column for name, column in columns.items() if column not in voted}
    _check_named(named, given, where)
    oriented = "chosen" in named or "rejected" in named
    roles = ORIENTED_ROLES if oriented else LABELLED_ROLES
    pairs = _pairs_of(columns, row, {role: name for role, name in named.items() if name}, oriented)
    if len(pairs) > 1:
        raise ValueError(_several([Found(pair, None) for pair in pairs], given, where))
    if not pairs:
        if roles == LABELLED_ROLES and set(named) == {"label"}:
            _refuse_label(columns, row, given, where)
        missing = [role for role in roles[:2] if role not in named]
        raise ValueError(
            f"{where} has no column that is known to be {' or '.join(missing)}. It has "
            f"{list(columns.values())}. Say which it is: "
            f"{' and '.join(given.say(role, 'NAME') for role in missing)}."
        )
    pair = pairs[0]
    if oriented:
        return Found(pair, None)
    if given.labels:
        note = f"Each label is the mean of the votes of a row: {', '.join(voted)}."
        return Found(pair, Verdict(tuple(voted), "votes", note=note))
    if "label" in named:
        return Found(pair, _verdict_with(str(named["label"]), pair, columns, row, given, where))
    verdicts = find_verdicts(pair.first, pair.second, columns, row)
    if len(verdicts) > 1:
        raise ValueError(_several([Found(pair, verdict) for verdict in verdicts], given, where))
    if not verdicts:
        raise ValueError(_no_label(pair, columns, row, given, where))
    return Found(pair, verdicts[0])


def _verdict_with(
    label: str, pair: PairNames, columns: Columns, row: Mapping[str, Any], given: Given, where: str
) -> Verdict:
    return verdict_with(label, *pair[:2], columns, row, lambda name: sign_of(name, given, where))


def _refuse_label(columns: Columns, row: Mapping[str, Any], given: Given, where: str) -> None:
    """Raise where the caller names a label, and the names of responses say which is better."""
    for pair in find_pairs(columns, row, series=False):
        if pair.oriented:
            raise ValueError(
                f"{where} has {pair.first} and {pair.second}, so that {pair.first} is the better "
                f"response and {given.say('label', str(given.label))} has no meaning. Leave it "
                "out, or say which columns the two responses are: "
                f"{given.say('response_a', 'NAME')} and {given.say('response_b', 'NAME')}."
            )


def _check_named(named: Mapping[str, str | None], given: Given, where: str) -> None:
    """Raise where what the caller names does not go together, or a row lacks it."""
    both = [
        next((role for role in roles if role in named), None)
        for roles in (ORIENTED_ROLES, LABELLED_ROLES)
    ]
    if None not in both:
        raise ValueError(
            f"{given.say(str(both[0]), str(named[str(both[0])]))} and "
            f"{given.say(str(both[1]), str(named[str(both[1])]))} do not go together: chosen and "
            "rejected need no label, and two responses with a label have other names. Say either "
            f"{given.say('chosen', 'NAME')} and {given.say('rejected', 'NAME')}, or "
            f"{given.say('response_a', 'NAME')}, {given.say('response_b', 'NAME')} and "
            f"{given.say('label', 'NAME')}."
        )
    for role, name in named.items():
        if name is None:
            column = dict(given.said())[role]
            raise ValueError(
                f"{where} has no value in {_listed(column)}, which {given.say(role, column)} "
                "names. Fill it in, or leave the row out."
            )


def _listed(names: Any) -> str:
    return names if isinstance(names, str) else ", ".join(names)


def _pairs_of(columns, row, named: Mapping[str, str], oriented: bool) -> list[PairNames]:
    """Return the pairs that have the columns that the caller names."""
    one, other = ORIENTED_ROLES if oriented else LABELLED_ROLES[:2]
    if one in named and other in named:
        return [PairNames(named[one], named[other], oriented)]
    rest = {key: name for key, name in columns.items() if name != named.get("label")}
    if one not in named and other not in named:
        return [pair for pair in find_pairs(rest, row, series=False) if not pair.oriented]
    name = named.get(one) or named[other]
    pairs = find_pairs(rest, row, named=name)
    at = 0 if one in named else 1
    # A column that the caller calls chosen is the chosen one, whatever its name says.
    other_of = {pair.second if pair.first == name else pair.first: pair for pair in pairs}
    likely = [other for other, pair in other_of.items() if pair.oriented == oriented]
    found = likely or list(other_of)
    if not found:
        loose = [pair for pair in find_pairs(rest, row, series=False) if pair.oriented == oriented]
        ends = [(pair.first, pair.second) for pair in loose if name not in pair]
        found = [pair[1 - at] for pair in ends]
    if at == 0:
        return [PairNames(name, other, oriented) for other in found]
    return [PairNames(other, name, oriented) for other in found]


def _several(forms: list[Found], given: Given, where: str) -> str:
    one, other = forms[:2]
    pairs = one.pair[:2] != other.pair[:2]
    remedies = []
    for found in (one, other):
        first = given.say(
            "chosen" if found.verdict is None and found.pair.oriented else "response_a",
            found.pair.first,
        )
        label = [] if found.verdict is None else [given.say("label", found.verdict.columns[0])]
        remedies.append(first if pairs or not label else label[0])
    more = f" There are {len(forms)} in all." if len(forms) > 2 else ""
    return (
        f"{where} has two kinds of preference: {one.describe()}, and {other.describe()}.{more} Say "
        f"which is meant: {remedies[0]} or {remedies[1]}."
    )


def _no_label(
    pair: PairNames, columns: Columns, row: Mapping[str, Any], given: Given, where: str
) -> str:
    blank = [str(name) for name in row if is_missing(row[name])]
    rest = [column for column in columns.values() if column not in pair[:2]]
    known = {"_".join(name_tokens(column)): column for column in rest if not counts_rows(column)}
    close = [known[n] for n in known if difflib.get_close_matches(n, LABELS, 1, 0.75)]
    meant = f" Did you mean {close[0]!r}?" if close else f" The others are {rest}."
    meant += f" There is no value in {', '.join(blank)}." if blank else ""
    return (
        f"{where} has two responses, {pair.first} and {pair.second}, and no column that is known "
        f"to say which is better.{meant} Say which one does: "
        f"{given.say('label', close[0] if close else 'NAME')}.{_guessed(row, given, pair)}"
    )


def _guessed(row: Mapping[str, Any], given: Given, pair: PairNames) -> str:
    """Return a sentence with all options, where a label can be guessed by what columns hold."""
    label = label_of(row, *pair[:2])
    if not label and (both := measured_of(row, *pair[:2])):
        return (
            f" If {both[0]} and {both[1]} do, say {given.say('label', both[0])} and "
            f"{given.say('convention', 'lower')} where the smaller is the better, "
            f"{given.say('convention', 'higher')} where the greater is."
        )
    return f" By what they hold it may be {say_all(row, given, *pair[:2])}." if label else ""


def _no_value(row: Mapping[str, Any], given: Given, where: str) -> str:
    """Return which value a row lacks that its other columns ask for, "" if none."""
    columns = {fold(name): str(name) for name in row}
    for pair in find_pairs(columns, series=False):
        needed = [*pair[:2]]
        if not pair.oriented:
            needed += [name for key, name in columns.items() if key in LABELS][:1]
        missing = [name for name in needed if is_missing(row[name])]
        if missing:
            return (
                f"{where} has no value in {' and '.join(missing)}. Fill it in, or leave the row "
                "out."
            )
    return ""


def explain(columns: Columns, row: Mapping[str, Any], given: Given, where: str) -> str:
    """Return why a row has no preference, and what would help."""
    missing = _no_value(row, given, where)
    if missing:
        return missing
    pairs = [pair for pair in find_pairs(columns, series=False) if not pair.oriented]
    other = next((name for pair in pairs for name in pair[:2] if not is_textlike(row[name])), None)
    if other is not None:
        return (
            f"{where} should have text or messages as {other}, got a {type(row[other]).__name__}: "
            f"{row[other]!r:.60}. Make it a str, or say which columns are the responses: "
            f"{given.say('response_a', 'NAME')} and {given.say('response_b', 'NAME')}."
        )
    if pairs:
        return _no_label(pairs[0], columns, row, given, where)
    for why in (_many_responses, _named_by_label, _lone_response, _loose_responses):
        told = why(columns, row, given, where)
        if told:
            return told
    if _are_records(row):
        first = next(iter(row))
        return (
            f"{where} has no preference, but seems to hold {len(row)} records by name, such as "
            f"{first!r}, each with {list(row[first])}. Write each on a line of its own: "
            "jq -c '.[]' FILE > NEW."
        )
    return (
        f"{where} has no preference. It has {list(row)}. A row needs either chosen and rejected, "
        "or response_a, response_b and label. Say which columns these are where they have other "
        f"names: {given.say('chosen', 'NAME')} and {given.say('rejected', 'NAME')}, or "
        f"{given.say('response_a', 'NAME')}, {given.say('response_b', 'NAME')} and "
        f"{given.say('label', 'NAME')}, or, with one response a row, "
        f"{given.say('response', 'NAME')} and {given.say('label', 'NAME')}; the prompt with "
        f"{given.say('prompt', 'NAME')}.{say_guess(row, given)}"
    )


def _are_records(row: Mapping[str, Any]) -> bool:
    """Return whether all values of a row are objects of the same names, as rows are."""
    names = [set(value) if isinstance(value, Mapping) else set() for value in row.values()]
    return len(names) > 1 and len(names[0]) > 1 and all(one == names[0] for one in names)


def _many_responses(columns, row, given: Given, where: str) -> str:
    """Say so where there are more than two responses and nothing that rates them."""
    series = find_series(columns)
    if not series:
        return ""
    return (
        f"{where} has {len(series)} responses, {', '.join(series)}, and nothing that is known "
        "to rate or rank them. Say which two are meant and where the label is: "
        f"{given.say('response_a', series[0])}, {given.say('response_b', series[1])} and "
        f"{given.say('label', 'NAME')}."
    )


def _named_by_label(columns, row, given: Given, where: str) -> str:
    """Say so where a label has the name of another column, which then holds a response."""
    for label in (column for name, column in columns.items() if name in LABELS):
        value = row[label]
        named = columns.get(fold(value)) if isinstance(value, str) else None
        if named is None or named == label:
            continue
        rest = [name for name in columns.values() if name not in (label, named)]
        texts = [name for name in rest if fold(name) not in ASKED and is_textlike(row[name])]
        other = texts[0] if len(texts) == 1 else "NAME"
        return (
            f"{where} has {label} = {value!r}, which is the name of another column. If that and "
            f"{'one more' if other == 'NAME' else other} hold the responses, say "
            f"{given.say('response_a', named)}, {given.say('response_b', other)} and "
            f"{given.say('label', label)}."
        )
    return ""


def _lone_response(columns, row, given: Given, where: str) -> str:
    """Say so where there is one response only, and which column may have the other."""
    lone = find_lone(columns)
    if lone is None:
        return ""
    if lone.close is not None:
        return (
            f"{where} has {lone.name} and no {lone.words[0]}. Did you mean {lone.close!r}? Rename "
            f"it, or say {_say_lone(lone.name, lone.close, lone.words[0], given)}."
        )
    texts = [name for name in texts_of(row) if not names_prompt(name)][-2:]
    if len(texts) == 2 and lone.name not in texts_of(row):
        return _say_loose(texts[0], texts[1], row, given, where, label=lone.name)
    return (
        f"{where} has {lone.name} and no {lone.words[0]}. It has {list(row)}. A pair needs both; "
        "say which column has the other response: "
        f"{_say_lone(lone.name, 'NAME', lone.words[0], given)}."
    )


def _loose_responses(columns, row, given: Given, where: str) -> str:
    """Name two columns of text that differ in one word, though none that is known for responses."""
    loose = [
        pair
        for column in columns.values()
        for pair in find_pairs(columns, row, named=column)
        if all(isinstance(row[name], str) and len(row[name]) > 1 for name in pair[:2])
        and not any(_says_which(name) for name in pair[:2])
    ]
    if not loose:
        return ""
    first, second, oriented = loose[0]
    return _say_loose(first, second, row, given, where, oriented=oriented)


def _says_which(name: str) -> bool:
    """Return whether the words of a name are those of labels, as those of g1_winner are."""
    return not {*LABELS, "vote"}.isdisjoint(name_tokens(name)[-1:])


def _say_loose(first: str, second: str, row, given: Given, where: str, **said: Any) -> str:
    return (
        f"{where} has no columns that are known to hold two responses. It has {list(row)}. If "
        f"{first} and {second} do, say {say_all(row, given, first, second, **said)}."
    )


def _say_lone(name: str, close: str, wanted: str, given: Given) -> str:
    """Return how a caller names both responses, of which one is not known by its name."""
    probe = find_pairs({fold(name): name, fold(wanted): wanted}, named=name)
    if not probe:
        return given.say("chosen", close)
    pair = probe[0]
    role = (ORIENTED_ROLES if pair.oriented else LABELLED_ROLES)[1 - pair.index(name)]
    other = (ORIENTED_ROLES if pair.oriented else LABELLED_ROLES)[pair.index(name)]
    return f"{given.say(other, name)} and {given.say(role, close)}"


def _unused_labels(columns, row, found: Found, used: frozenset[str]) -> list[str]:
    """Return a note on a label that a file of chosen and rejected has as well."""
    first, second, _ = found.pair
    rest = {name: column for name, column in columns.items() if column not in used}
    names = [
        verdict.columns[0]
        for verdict in find_verdicts(first, second, rest, row)
        if verdict.kind == "label"
    ]
    if not names:
        return []
    return [f"{first} is the better response of every row; {' and '.join(names)} is not used."]


def _name_of(found: Found, row: Mapping[str, Any]) -> str:
    first, second, oriented = found.pair
    if not oriented:
        return "two responses and a label" if found.verdict and found.verdict.kind == "label" else {
            "votes": "two responses and votes",
            "scores": "two responses and their scores",
        }.get(found.verdict.kind if found.verdict else "", "two responses and a label")  # fmt: skip
    if {fold(first), fold(second)} != {"chosen", "rejected"}:
        return "chosen and rejected"
    value = row[first]
    if isinstance(value, str) and "\n\nHuman:" in value and "\n\nAssistant:" in value:
        return "HH-RLHF"
    return "TRL preference"
