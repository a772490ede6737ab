"""Where in its file a pair stands, in words."""

import re

_NUMBERED = re.compile(r"(?P<before>.*?)(?P<unit>[^\W\d]+) (?P<number>\d+)")
N_SHOWN = 8
FROM = {"line": 1, "record": 0}
"""What the first one of a unit is called; of others, whether one is called 0 tells."""


def unit_of(places):
    """Return what places count, such as "line"; "row" where they do not say or differ."""
    units = {found["unit"] for found in map(_NUMBERED.fullmatch, places) if found}
    return units.pop() if len(units) == 1 else "row"


def first_number(places):
    """Return the number of the first one of what places count, None where nothing tells."""
    unit = unit_of(places)
    numbers = {found["number"] for found in map(_NUMBERED.fullmatch, places) if found}
    return FROM.get(unit, 0 if "0" in numbers else None)


def name_places(places, *, begins=True):
    """Return the first of some places in words, such as "Lines 3, 4, 17".

    Parameters
    ----------
    places : list of str
        Such as "line 3", or "part.jsonl, line 3" where there are several files.
    begins : bool, default=True
        Whether this is the beginning of a sentence.
    """
    distinct = list(dict.fromkeys(places))
    shown = distinct[:N_SHOWN]
    rest = ", …" if len(distinct) > N_SHOWN else ""
    found = [_NUMBERED.fullmatch(place) for place in shown]
    kinds = {(match["before"], match["unit"]) for match in found if match}
    if len(kinds) == 1 and all(found):
        before, unit = kinds.pop()
        plural = "s" if len(distinct) > 1 else ""
        text = f"{before}{unit}{plural} " + ", ".join(match["number"] for match in found if match)
        begins = begins and not before
    else:
        text, begins = "; ".join(shown), begins and not (found[0] and found[0]["before"])
    text += rest
    return text[:1].upper() + text[1:] if begins else text
