"""What two classes of text say of themselves, where the greater one is to mean that A is better."""

from enum import Enum

from sklearn_codex._labels.conventions import NO, YES
from sklearn_codex._labels.infer import LOSES, WINS
from sklearn_codex._labels.sides import read_sides
from sklearn_codex._labels.words import Verdict, read_words

_USUAL = read_sides("response_a", "response_b")
_FOR_A = WINS | {*YES, "true", "good", "accepted", "positive", "pos", "1"}
_AGAINST_A = LOSES | {*NO, "false", "bad", "loss", "negative", "neg", "0", "-1"}
# Two classes of any classifier, by which nobody means responses: scikit-learn checks with these.
_SPELLED = ("one", "two")


class Order(Enum):
    """What two classes say."""

    PLAIN = "the greater one speaks for A, as no and yes"
    NAMES = "which response is better, or a tie"
    REVERSED = "the lesser one speaks for A, as chosen and rejected"
    UNKNOWN = "nothing that is known"


def read_order(lesser: str, greater: str) -> Order:
    """Return what two classes of text say, of which the first is before the second in order."""
    folded = lesser.strip().casefold(), greater.strip().casefold()
    said = [_speaks_for_a(label) for label in folded]
    if None not in said and said[0] != said[1]:
        return Order.PLAIN if said[1] else Order.REVERSED
    if folded == _SPELLED:
        return Order.UNKNOWN
    if read_sides(lesser.strip(), greater.strip()).style != "other":
        return Order.NAMES
    one, other = (read_words(label, _USUAL) for label in (lesser, greater))
    if one is None or other is None:
        return Order.UNKNOWN
    sided = None not in (one.probability, other.probability)
    meanings = _meanings(one, other)
    return Order.NAMES if sided or meanings[0] != meanings[1] else Order.UNKNOWN


def guess_meanings(lesser: str, greater: str) -> tuple[float, float]:
    """Return the probabilities that A is better which two classes seem to say, where they do."""
    if read_order(lesser, greater) is Order.REVERSED:
        return 1.0, 0.0
    one, other = (read_words(label, _USUAL) for label in (lesser, greater))
    if one is None or other is None:  # as player_a and player_b, told apart by their markers
        turned = read_sides(lesser.strip(), greater.strip()).turned
        return (0.0, 1.0) if turned else (1.0, 0.0)
    return _meanings(one, other)


def _meanings(one: Verdict, other: Verdict) -> tuple[float, float]:
    """Return what two verdicts say, numbers counting from 1 where one of them is 2."""
    numbers = [verdict.number for verdict in (one, other) if verdict.number is not None]
    start = 1 if 2 in numbers else min(numbers, default=0)
    return _probability(one, start), _probability(other, start)


def _probability(verdict: Verdict, start: int) -> float:
    if verdict.probability is not None:
        return verdict.probability
    return float(verdict.number == start)


def _speaks_for_a(label: str) -> bool | None:
    if label in _FOR_A:
        return True
    return False if label in _AGAINST_A else None
