"""What is said of prompts that were not found: which columns might have them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.words import flat_text, is_list, name_tokens, words

SAMPLE = 1000
"""How many values of a column are looked at."""
_OF_PROMPTS = frozenset(
    words(
        """
    prompt question query instruction problem task request post conversation dialog dialogue
    topic q p session thread context input
    """
    )
)
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
