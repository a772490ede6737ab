"""Labels in words: which of two responses a verdict is for, and by how much."""

import re
from typing import NamedTuple

from sklearn_codex._labels.sides import Sides, split_camel, tokens_of

_FIRST = {"a", "first", "1st", "left"}
_SECOND = {"b", "second", "2nd", "right"}
_TIE = {
    "tie", "tied", "ties", "draw", "equal", "equally", "equals", "same", "both", "neither",
    "indifferent", "similar", "similarly", "even", "bothbad", "bothgood",
}  # fmt: skip
_SLIGHT = {"slightly", "marginally", "somewhat", "bit", "little"}
_STRONG = {
    "much", "significantly", "far", "strongly", "clearly", "definitely", "substantially",
    "considerably", "lot",
}  # fmt: skip
# What says neither which response nor how much.
NOUNS = {
    "model", "response", "output", "answer", "completion", "assistant", "option", "candidate",
    "text", "image", "summary", "conversation", "choice", "side", "system", "reply", "generation",
    "story", "translation", "version", "variant", "solution", "code", "chatbot", "bot",
}  # fmt: skip
_VERDICTS = {
    "better", "best", "wins", "win", "won", "winner", "preferred", "prefer", "prefers", "chosen",
    "choose", "by", "selected", "favored", "favoured", "superior", "is", "was", "the", "i",
    "overall",
}  # fmt: skip
_OF_TIES = {
    "good", "bad", "are", "of", "them", "nor", "and", "or", "about", "no", "preference",
    "difference", "quality", "responses", "answers", "models", "outputs", "roughly", "almost",
    "nearly", "as", "it", "s",
}  # fmt: skip
_STEPS = re.compile(r"\b(" + "|".join(sorted(_SLIGHT | _STRONG | {"moderately"})) + r")\b ?")
_THAN = re.compile(
    r"\s+(?:(?:is|was) )?(?:better than|superior to|preferred (?:over|to)|beats|over)\s+"
)
_PHRASES = re.compile(r"\ba (bit|little|lot|tie|draw)\b")
_NO_PREFERENCE = re.compile(r"no (clear )?(preference|difference)")
_BRACKETS = re.compile(r"\[\[\s*([^\[\]]+?)\s*\]\]")
_COMPARED = re.compile(r"([^<>=≻≺~≈]+)(>{1,3}|≻{1,3}|<{1,3}|≺{1,3}|={1,2}|~|≈)([^<>=≻≺~≈]+)")
_GREATER, _LESS = ">≻", "<≺"


class Verdict(NamedTuple):
    """What a label in words says.

    Attributes
    ----------
    probability : float or None
        That the first response is preferred; None where it depends on `number`.
    strength : float
        By how much, in the steps of the words; 0 where no step is named.
    number : int or None
        The number of the better response, 0, 1 or 2, which may count from 0 or from 1.
    """

    probability: float | None
    strength: float = 0.0
    number: int | None = None


def read_words(label: str, sides: Sides) -> Verdict | None:
    """Return what a label says, None where it says neither response nor a tie."""
    bare = _verdict_in(" ".join(label.split()))
    if bare.casefold() in (sides.first.casefold(), sides.second.casefold()):
        return Verdict(float(bare.casefold() == sides.first.casefold()))
    bare = _PHRASES.sub(r"\1", split_camel(bare).replace("_", " ").casefold())
    steps = set(_STEPS.findall(bare))
    bare = _STEPS.sub("", bare)
    compared = _COMPARED.fullmatch(_THAN.sub(">", bare))
    if _is_tie(tokens_of(bare), bare, sides):
        return Verdict(0.5)
    if compared:
        verdict = _read_comparison(compared[1], compared[2], compared[3], sides)
    else:
        verdict = _read_side(tokens_of(bare), sides)
    if verdict is None or (steps & _SLIGHT and steps & _STRONG):
        return None
    if steps:
        step = 1.0 if steps & _SLIGHT else 3.0 if steps & _STRONG else 2.0
        return verdict._replace(strength=step)
    return verdict if _COMPARED.fullmatch(bare) else verdict._replace(strength=0.0)


def says_both_bad(label: str) -> bool:
    """Return whether a label, or the name of a column, says that both responses are bad."""
    tokens = set(tokens_of(label))
    return "bothbad" in tokens or {"both", "bad"} <= tokens or {"neither", "good"} <= tokens


def _verdict_in(label: str) -> str:
    """Return what a judge wrote in double brackets, where it wrote one thing in them."""
    found = set(_BRACKETS.findall(label))
    return found.pop().strip() if len(found) == 1 else label.strip(" .!:'\"()[]*")


def _is_tie(tokens: list[str], label: str, sides: Sides) -> bool:
    if tokens == ["c"] and "c" not in sides.markers:
        return True
    named = [_side_of(token, sides) for token in tokens]
    sides_named = {side for side in named if side is not None}
    says_tie = bool(_TIE.intersection(tokens)) and len(sides_named) != 1
    if not says_tie and not _NO_PREFERENCE.fullmatch(label):
        return False
    allowed = _TIE | _OF_TIES | NOUNS | _VERDICTS | sides.shared | {"clear"}
    return all(side is not None or t in allowed for t, side in zip(tokens, named, strict=True))


def _read_side(tokens: list[str], sides: Sides) -> Verdict | None:
    """Return the one side that the words name, None if there are other words or other sides."""
    noise = NOUNS | _VERDICTS | sides.shared
    joined = "".join(tokens)
    if joined in sides.markers and "" not in sides.markers:
        return Verdict(float(joined == sides.markers[0]))
    named = [token for token in tokens if token not in noise or token in sides.markers]
    if len(named) == 2 and named[1] in ("st", "nd"):  # the number of "1st" is a token of its own
        named = ["".join(named)]
    if len(named) != 1:
        return None
    side = _side_of(named[0], sides)
    if side is not None:
        return Verdict(side)
    return Verdict(None, number=int(named[0])) if named[0] in ("0", "1", "2") else None


def _side_of(token: str, sides: Sides) -> float | None:
    """Return 1 for the first side, 0 for the second, None for what names none by itself."""
    if token in sides.markers:
        return float(token == sides.markers[0])
    if token in _FIRST | _SECOND and not sides.turned:  # of columns b and a, which is "left"?
        return float(token in _FIRST)
    return None


def _read_comparison(one: str, sign: str, other: str, sides: Sides) -> Verdict | None:
    """Return what "a>b" says."""
    left, right = (_read_side(tokens_of(side), sides) for side in (one, other))
    if left is None or right is None:
        return None
    better = left.probability
    if better is None or right.probability is None:
        if left.number is None or right.number is None:
            return None
        if {left.number, right.number} not in ({0, 1}, {1, 2}):
            return None
        better = float(left.number < right.number)
    elif better == right.probability:
        return None
    if sign[0] in _GREATER:
        return Verdict(better, float(len(sign)))
    if sign[0] in _LESS:
        return Verdict(1 - better, float(len(sign)))
    return Verdict(0.5)
