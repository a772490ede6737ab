"""What is said of labels: what they were read as, and why they cannot be read."""

from typing import NamedTuple

import numpy as np

from sklearn_codex._labels.column import LabelColumn
from sklearn_codex._labels.conventions import NUMBER_CONVENTIONS, Convention, Floats
from sklearn_codex._labels.words import read_words

_REASONS = {
    "index": ", counting from 0",
    "index_ties": ", counting from 0, and 2 being a tie",
    "one_two": ", counting from 1, and 0 being a tie",
    "probability": ", {value} being the probability that {first} is",
    "probability_second": ", {value} being the probability that {second} is",
    "percent": ", {value} being the percentage for {first}",
    "percent_second": ", {value} being the percentage for {second}",
    "boolean": ", true being for {first}",
    "boolean_second": ", true being for {second}",
    "sign": ", positive numbers being for {first}",
    "sign_second": ", positive numbers being for {second}",
    "strength": ", positive numbers being for {first}",
    "strength_second": ", positive numbers being for {second}",
}


class Reading(NamedTuple):
    """What each distinct label of a column means by one convention.

    Attributes
    ----------
    convention : str
    probability : ndarray of shape (n_distinct,)
        NaN where it has no meaning.
    strength : ndarray of shape (n_distinct,)
    """

    convention: str
    probability: Floats
    strength: Floats


def describe(reading: Reading, column: LabelColumn, *, weighted: bool) -> str:
    """Return in words how a column was read."""
    sides, name = column.sides, reading.convention
    how = "by the convention given" if name == "given" else f'as "{name}"'
    text = f"{column.name} read {how}: "
    if name in NUMBER_CONVENTIONS and "strength" not in name:
        meaning = NUMBER_CONVENTIONS[name]
        text += meaning.replace(" A", f" {sides.first}").replace(" B", f" {sides.second}")
        text = text.replace("(A", f"({sides.first}").replace("(B", f"({sides.second}")
    else:
        text += ", ".join(
            f"{column.show(int(i[0]))} means {meaning}"
            for p, meaning in ((1.0, sides.first), (0.0, sides.second), (0.5, "a tie"))
            if len(i := np.flatnonzero(reading.probability == p))
        )
    return text + (", weights by strength" if weighted else "")


def ambiguous(readings: list[Reading], column: LabelColumn) -> ValueError | None:
    """Return an error with two readings of the first label about which any disagree, if any."""
    first = readings[0]
    differ = [np.flatnonzero(first.probability != other.probability) for other in readings]
    others = [k for k, rows in enumerate(differ) if len(rows)]
    if not others:
        return None
    k = min(others, key=lambda k: differ[k][0])
    i = int(differ[k][0])
    one, other = (_clause(reading, column, i) for reading in (first, readings[k]))
    names = dict.fromkeys([first.convention, *(readings[k].convention for k in others)])
    say = [column.say("convention", name) for name in names]
    if sorted(label for label in column.folded if isinstance(label, float)) == [1, 2, 3]:
        say.append(f"{column.say('convention', {1: 1, 2: 0, 3: 0.5})} where 3 is a tie")
    return column.error(
        i,
        f"= {column.show(i)} can mean two things: {one}, or {other}. Say which: "
        f"{' or '.join(say)}.",
    )


def _clause(reading: Reading, column: LabelColumn, i: int) -> str:
    probability, sides = reading.probability[i], column.sides
    if probability == 0.5:
        meaning = "a tie"
    elif probability in (0, 1):
        meaning = f"that {sides.first if probability else sides.second} is better"
    else:
        meaning = f"that {sides.first} is better with probability {probability:.3g}"
    name = reading.convention
    if name.startswith("scale_"):
        best, worst = name.split("_")[1:]
        reason = f", {best} being best for {sides.first} and {worst} for {sides.second}"
    else:
        reason = _REASONS[name].format(value=column.show(i), first=sides.first, second=sides.second)
    return f'{meaning}{reason} (convention "{name}")'


def mixed(column: LabelColumn, i: int, word: int) -> ValueError:
    """Return an error about a number of unknown meaning where other rows have words."""
    example = _example_of(column, word)
    return column.error(
        i,
        f"= {column.show(i)} is a number, where other rows have words such as {column.show(word)}. "
        "Correct it, leave the row out, or say what each label means, such as "
        f"{column.say('convention', example | {column.labels[i]: 0.5})} where {column.show(i)} is "
        'a tie. A meaning of "drop" leaves its rows out.',
    )


def unknown_in(convention: Convention, column: LabelColumn, i: int) -> ValueError:
    """Return an error about a label that a convention does not have."""
    which = f'the convention "{convention.name}"' if convention.name else "the convention given"
    remedy = "say another convention" if convention.name else "add its meaning to the convention"
    return column.error(
        i, f"= {column.show(i)} is not in {which}, which has {convention.known}. Correct the "
        f"label, drop the row, or {remedy}.",
    )  # fmt: skip


def unknown_word(column: LabelColumn, i: int) -> ValueError:
    """Return an error about a word that names no response and no tie."""
    first, second = column.sides.first, column.sides.second
    if not isinstance(column.labels[i], str):
        return column.error(
            i,
            f"= {column.show(i)} is a {type(column.labels[i]).__name__}, but a label should be "
            f"text or a number. Write which of {first} and {second} is better.",
        )
    example = _example_of(column, i)
    sides = {1.0: f"for {first}", 0.0: f"for {second}"}
    meaning = sides.get(example[column.labels[i]], "a tie")
    return column.error(
        i, f"= {column.show(i)} names neither {first} nor {second}, nor a tie. Known by themselves "
        f'are {first}, {second}, "a", "b", "tie" and words like these. Say what each label means, '
        f"1 for {first}, 0 for {second} and 0.5 for a tie, such as "
        f"{column.say('convention', example)} where {column.show(i)} is {meaning}. A meaning of "
        '"drop" leaves its rows out.',
    )  # fmt: skip


def _example_of(column: LabelColumn, i: int) -> dict[str, float]:
    """Return what labels may mean: those that are known what they do, others what is left."""
    texts = [label for label in column.labels if isinstance(label, str)]
    said = {label: read_words(label, column.sides) for label in texts}
    known = {label: v.probability for label, v in said.items() if v and v.probability is not None}
    left = [meaning for meaning in (1, 0, 0.5) if meaning not in known.values()]
    unknown = [label for label in dict.fromkeys([column.labels[i], *texts]) if label not in known]
    guessed = dict(zip(unknown, left or [0.5], strict=False))
    return dict(sorted((known | guessed).items(), key=lambda entry: (1, 0, 0.5).index(entry[1])))


def unknown_number(column: LabelColumn, i: int) -> ValueError:
    """Return an error about a number that no convention has."""
    return column.error(
        i, f"= {column.show(i)} is not known as a label. Known are probabilities from 0 to 1, "
        "percentages, numbers of the better response, strengths and scales. Say what it means, "
        f"such as {column.say('convention', 'strength')} where positive numbers are for "
        f"{column.sides.first}.",
    )  # fmt: skip


def uncounted(column: LabelColumn, i: int) -> ValueError:
    """Return an error about "model_1" alone, which may count from 0 or from 1."""
    first, second = column.sides.first, column.sides.second
    label = column.labels[i]
    return column.error(
        i, f"= {column.show(i)} can mean two things: that {first} is better, counting from 1, or "
        f"that {second} is better, counting from 0. Say which: "
        f"{column.say('convention', {label: 1})} for {first}, or "
        f"{column.say('convention', {label: 0})} for {second}.",
    )  # fmt: skip
