"""What is said of prompts that were not found: which columns might have them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sklearn_codex._conversations.prefixes import FEWEST
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.words import flat_text, is_list, name_tokens, words

SAMPLE = 1000
"""How many values of a column are looked at."""
_SAME_START = 0.9
"""The part of pairs whose responses begin alike from which on that is said."""
_FEWEST = 4
_N_WORDS = 3
_N_CHARACTERS = 8
"""As many, of a script without blanks, say what three words say."""
_OF_PROMPTS = frozenset(
    words(
        """
    prompt question query instruction problem task request post conversation dialog dialogue
    topic q p session thread context input
    """
    )
)
_EXCHANGED = frozenset(words("swapped swap flipped flip reversed exchanged shuffled permuted"))
_KEYS = frozenset(
    words(
        """
    id idx index hash key uid uuid number no sha256 md5
    """
    )
)


def text_columns(others: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the columns that hold texts of several words, or lists that have such."""
    return [name for name, values in others.items() if _holds_text(values[:SAMPLE])]


def _holds_text(values: Iterable[Any]) -> bool:
    there = [value for value in values if isinstance(value, str) or is_list(value)]
    texts = [text for text in map(flat_text, there) if text]
    several = sum(
        len(text.split()) > 2 or (len(text) > 12 and not text.isascii()) for text in texts
    )
    return several * 2 > len(texts)


def group_columns(names: Iterable[str]) -> list[str]:
    """Return the columns that number the prompts by their names, such as prompt_id."""
    found = []
    for name in names:
        tokens = name_tokens(name)
        tokens = ["q", "id"] if tokens == ["qid"] else tokens
        if set(tokens) & _KEYS and set(tokens) & _OF_PROMPTS and set(tokens) <= _KEYS | _OF_PROMPTS:
            found.append(name)
    return found


def exchange_notes(others: Iterable[str], oriented: Sequence[bool]) -> list[str]:
    """Return a note on columns that may turn labels round, which nothing but their author knows."""
    if all(oriented):
        return []
    found = [name for name in others if not _EXCHANGED.isdisjoint(name_tokens(name))]
    if not found:
        return []
    return [
        f"{' and '.join(found)} is not read: if it says that responses were exchanged before they "
        "were judged, turn the label of those rows first."
    ]


def prompt_notes(
    prompts: Sequence[str], others: Mapping[str, Sequence[Any]], given: Given
) -> list[str]:
    """Return what a reader should know of pairs without prompts, or with the same one in all."""
    n, missing = len(prompts), sum(not prompt for prompt in prompts)
    if 0 < missing < n:
        which = "has" if missing == 1 else "have"
        own = "" if given.groups else ", and each of these counts as a prompt of its own"
        return [f"{missing} of {n} pairs {which} no prompt{own}."]
    is_one = n > 2 and len(set(prompts)) == 1 and not missing
    if not missing and not is_one:
        return []
    texts = [name for name in text_columns(others) if name != given.prompt]
    if is_one and not texts:
        return []
    if is_one:
        notes = [f"All {n} pairs have the same prompt."]
    elif given.groups:
        notes = ["No prompt was found."]
    else:
        notes = ["No prompt was found, so that each pair counts as a prompt of its own."]
    if texts:
        notes.append(
            f"Columns of text that are not used: {', '.join(texts)}. If one of them has the "
            f"prompt, say {given.say('prompt', texts[0])}."
        )
    keys = group_columns(others)
    if keys and not given.groups:
        notes.append(
            f"The name of {keys[0]} says which pairs belong together: "
            f"{given.say('groups', keys[0])} makes groups of them."
        )
    return notes


def cut_note(firsts: Sequence[str], cuts: Sequence[int]) -> list[str]:
    """Return a note on prompts that were taken out of responses, up to where ``cuts`` are."""
    n, end = sum(map(bool, cuts)), _end_of(firsts, cuts)
    return [
        f"What both responses begin with, up to {end!r}, was read as the prompt in {n} of "
        f"{len(cuts)} pairs."
    ]


def few_note(firsts: Sequence[str], cuts: Sequence[int] | None, given: Given) -> list[str]:
    """Return a note on such prompts in too few pairs to be taken out; none without them."""
    if cuts is None:
        return []
    return [
        f"Both responses begin with the same text up to {_end_of(firsts, cuts)!r}, as if each "
        f"began with its prompt. Of {FEWEST} pairs or more that would be read so, of {len(cuts)} "
        "nothing is taken out. Add the prompt as a column of its own, and say "
        f"{given.say('prompt', 'NAME')}."
    ]


def _end_of(firsts: Sequence[str], cuts: Sequence[int]) -> str:
    row = next(row for row, cut in enumerate(cuts) if cut)
    return firsts[row][: cuts[row]].split()[-1]


def same_start_note(firsts: Sequence[str], seconds: Sequence[str], given: Given) -> str:
    """Return what to do where responses seem to begin with the prompt, "" where they do not.

    That nearly all pairs begin with the same three words, other ones from pair to pair, tells that
    a prompt stands there, but not where it ends.

    Parameters
    ----------
    firsts, seconds : sequence of str of length n_pairs
        The responses of pairs without prompts.
    given : Given
    """
    differ = [pair for pair in zip(firsts, seconds, strict=True) if pair[0] != pair[1]]
    starts = [start for one, other in differ if (start := _same_start(one, other))]
    if len(differ) < _FEWEST or len(set(starts)) < 2 or len(starts) < _SAME_START * len(differ):
        return ""
    return (
        f"Both responses begin with the same words in {100 * len(starts) / len(differ):.0f} % of "
        "the pairs, as if each began with its prompt; where that ends is not told. Add the prompt "
        f"as a column of its own, and say {given.say('prompt', 'NAME')}."
    )


def _same_start(one: str, other: str) -> str:
    """Return the three words that two texts begin with, or as much of texts without blanks."""
    words = one.split(None, _N_WORDS)[:_N_WORDS]
    if len(words) == _N_WORDS and words == other.split(None, _N_WORDS)[:_N_WORDS]:
        return " ".join(words)
    start = one.strip()[:_N_CHARACTERS]
    is_long = sum(char > "\u2e80" for char in start) * 2 > _N_CHARACTERS
    return start if is_long and other.strip().startswith(start) else ""
