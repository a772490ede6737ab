"""Which columns say how good a response is, and in which direction."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sklearn_codex._labels.conventions import SCORE_CONVENTIONS
from sklearn_codex._labels.scores import names_fault
from sklearn_codex._labels.sides import split_camel
from sklearn_codex._layouts.base import fold
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.words import BESIDE, PEOPLE, RESPONSES, name_tokens

RANKS = frozenset(("rank", "ranking"))
SCORES = frozenset((
    "rating", "score", "reward", "star", "point", "upvote", "like", "karma", "utility",
    "goodness", "preference_score"
))  # fmt: skip
# What is rated where no single number says how good a response is as a whole. Not among them is
# what is not the better the more of it there is, such as complexity, verbosity and toxicity.
ASPECTS = frozenset((
    "helpfulness", "helpful", "quality", "correctness", "harmlessness", "honesty", "truthfulness",
    "instruction_following", "safety", "accuracy", "relevance", "fluency", "faithfulness",
    "factuality", "usefulness", "coherence"
))  # fmt: skip
_WHOLE = frozenset(("overall", "mean", "average", "avg", "final", "total"))
_COUNTS = frozenset(("n", "num", "number", "count", "max", "min", "chosen", "rejected", "margin"))
_OTHER = frozenset((
    "length", "complexity", "verbosity", "reason", "rationale", "confidence", "difficulty"
))  # fmt: skip
"""Words for what is neither the better nor the worse the more of it there is."""
_RATERS = frozenset(
    ("fine", "grained", "rm", "pm", "gpt", "gpt3", "gpt4", "gpt4o", "llm", "armorm", "user",
     "crowd", "community", "proxy", "gold", "true", "predicted", "raw", "normalized", "normalised",
     "norm", "weighted", "combined", "aggregate", "aggregated", "absolute", "scalar", "preference",
     "evaluation", "eval", "openai", "claude")
)  # fmt: skip
_BESIDE_SCORES = (
    SCORES | ASPECTS | _WHOLE | RESPONSES | BESIDE | PEOPLE | _RATERS
    | {word for aspect in ASPECTS for word in aspect.split("_")}
)  # fmt: skip
"""What may stand beside the word for a score: what is rated, by whom, and that it is the whole."""
_GREATER = SCORES | _WHOLE | {"elo"} | {word for name in ASPECTS for word in name.split("_")}
TEXTS = ("response", "answer", "completion", "text", "content", "output", "generation", "summary",
         "reply", "message", "body", "candidate", "conversation", "generated_text",
         "response_text", "answer_text")  # fmt: skip
"""Names of the text of a response in a list of responses, the first one that it has."""


class Score(NamedTuple):
    """A column, or a key of responses, by which these are put in order; sign -1 for ranks."""

    name: str
    sign: float

    @property
    def rule(self) -> str:
        """A sentence on what is better."""
        which = "greatest" if self.sign > 0 else "smallest"
        return f"Of {self.name} the {which} is the best."


def singular(name: str) -> str:
    """Return a folded name without the ending of a plural."""
    return name.removesuffix("s") if name not in ("helpfulness",) else name


def _words(name: str) -> list[str]:
    """Return the words of a name; a number at the end of one is a word, but in "gpt4"."""
    parts = fold(split_camel(name)).replace(".", "_").split("_")
    return [word for part in parts for word in ([part] if part in _RATERS else name_tokens(part))]


@lru_cache(maxsize=4096)
def names_rank(name: str) -> bool:
    """Return whether a name says that the smallest number is the best."""
    words = [singular(word) for word in _words(name)]
    return not RANKS.isdisjoint(words[:1] + words[-1:]) and SCORES.isdisjoint(words)


@lru_cache(maxsize=4096)
def names_score(name: str) -> bool:
    """Return whether a name says that it holds how good responses are as a whole."""
    words = [singular(word) for word in _words(name)]
    if not (_COUNTS | _OTHER).isdisjoint(words):
        return False
    if names_fault(_words(name)) and not names_rank(name):
        return False
    # Of scores.quality the last word tells what is rated.
    first = [] if "." in name else words[:1]
    ends = {*first, *words[-1:], "_".join(words)}
    rest = {word for word in words if word not in _WHOLE}
    whole = len(rest) < len(words) and rest <= RESPONSES | SCORES
    return names_rank(name) or (_says_no_more(name) and (not ends.isdisjoint(SCORES) or whole))


def _says_no_more(name: str) -> bool:
    """Return whether all words beside that for a score are known to leave more the better.

    Of spam_score or score_std nobody knows, so the caller has to say it.
    """
    words = (singular(word) for word in _words(name.rsplit(".", 1)[-1]))
    return all(word in _BESIDE_SCORES or word.isdecimal() for word in words)


@lru_cache(maxsize=4096)
def names_aspect(name: str) -> bool:
    """Return whether a name says that it holds how good responses are in one respect."""
    words = _words(name)
    while words and singular(words[-1]) in SCORES:
        words = words[:-1]
    while words and singular(words[0]) in SCORES:
        words = words[1:]
    return "_".join(words) in ASPECTS


def score_of(name: str, given: Given, where: str) -> Score:
    """Return the score that is in a column of this name, the better the greater it is, or not.

    Raises
    ------
    ValueError
        If the name is that of a fault, and the caller does not say which is better.
    """
    if given.convention in (*SCORE_CONVENTIONS,):  # it may be a mapping
        return Score(name, 1.0 if given.convention == "higher" else -1.0)
    if not names_rank(name) and names_fault(_words(name)):
        raise ValueError(
            f"{where} has {name}, which seems to be greater where a response is worse. Say "
            f"{given.say('convention', 'lower')} where the smaller is the better, "
            f"{given.say('convention', 'higher')} where the greater is."
        )
    return Score(name, -1.0 if names_rank(name) else 1.0)


def sign_of(name: str, given: Given, where: str) -> float:
    """Return 1, or -1 where the smaller number is the better, for a number of each of two.

    Raises
    ------
    ValueError
        If the name does not say which, as that of latency_a, and neither does the caller.
    """
    if given.convention in (*SCORE_CONVENTIONS,) or names_rank(name) or names_fault(_words(name)):
        return score_of(name, given, where).sign
    if not _GREATER.isdisjoint(map(singular, _words(name))):
        return 1.0
    raise ValueError(
        f"{where} has {name}, a number of each response, of which nothing tells whether the "
        f"greater or the smaller is the better. Say {given.say('convention', 'higher')} or "
        f"{given.say('convention', 'lower')}."
    )


def pick_score(names: Iterable[Any], given: Given, where: str, within: str = "") -> Score | None:
    """Return the one score among names, None if there is none.

    Parameters
    ----------
    names : iterable of str
        Columns, or keys of the responses in a list.
    given : Given
        What the caller says; its label is the score.
    where : str
        Where the row is.
    within : str, default=""
        The column that has the keys.

    Raises
    ------
    ValueError
        If there are several, and none of them for the whole.
    """
    names = [str(name) for name in names]
    if given.label is not None:
        asked = fold(given.label).removeprefix(f"{fold(within)}." if within else "")
        return next((score_of(name, given, where) for name in names if fold(name) == asked), None)
    found = [name for name in names if names_score(name)]
    whole = [name for name in found if not _WHOLE.isdisjoint(_words(name))]
    found = whole if len(whole) == 1 else found or [name for name in names if names_aspect(name)]
    if len(found) > 1:
        one, other = (f"{within}.{name}" if within else name for name in found[:2])
        raise ValueError(
            f"{where} rates its responses by {' and by '.join(found)}, of which none is said to be "
            f"for the whole. Say which is meant: {given.say('label', one)} or "
            f"{given.say('label', other)}."
        )
    return score_of(found[0], given, where) if found else None


def text_key(item: Mapping[str, Any]) -> str | None:
    """Return the key of the text of a response, None if none of its names says so."""
    return _text_key(tuple(item))


@lru_cache(maxsize=4096)
def _text_key(keys: tuple[str, ...]) -> str | None:
    names = {fold(key): key for key in keys}
    return next((names[name] for name in TEXTS if name in names), None)


def asks_for_columns(given: Given) -> bool:
    """Return whether the caller names two responses as columns of their own."""
    named = given.columns()
    return not {"chosen", "rejected", "response_a", "response_b"}.isdisjoint(named)
