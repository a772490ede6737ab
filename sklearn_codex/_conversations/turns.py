"""Which turns two conversations share, and what a prompt and shared turns make together."""

from collections.abc import Iterable, Sequence

from sklearn_codex._conversations.roles import Message
from sklearn_codex._conversations.template import write_turn

Turns = list[Message]


def part_prompt(prompt: Turns, first: Turns, second: Turns) -> tuple[Turns, Turns, Turns]:
    """Return the turns before both responses, and those of each response.

    Parameters
    ----------
    prompt : list of Message
        Turns of the prompt column, empty where there is none.
    first, second : list of Message
        Turns of the responses, which may repeat the prompt or its last turns, or begin with turns
        of their own that they share.
    """
    cuts = [cut_prompt(turns, prompt) for turns in (first, second)]
    if not all(cuts):
        first, second = close_open(*_even_system(first, second))
        n_shared = count_shared(first, second)
        if n_shared:
            shared, first, second = first[:n_shared], first[n_shared:], second[n_shared:]
            if not any(holds(rest, prompt) for rest in (first, second)):
                shared = merge_turns(prompt, shared)
            return shared, first, second
    system = part_system(prompt)[0]
    rests = []
    for turns, cut in zip((first, second), cuts, strict=True):
        if cut is not None:
            system, turns = add_system(system, cut[0]), cut[1]
        rests.append(turns)
    first, second = close_open(*rests)
    n_shared = count_shared(first, second) if all(cuts) else 0
    before = system + part_system(prompt)[1] + first[:n_shared]
    return before, first[n_shared:], second[n_shared:]


def _even_system(first: Turns, second: Turns) -> tuple[Turns, Turns]:
    """Return two conversations, of which one lacks the system turn, so that both have it."""
    (system, one), (other_system, other) = part_system(first), part_system(second)
    if bool(system) == bool(other_system) or not (one and other and same_turn(one[0], other[0])):
        return first, second
    system = system or other_system
    return system + one, system + other


def same_turn(one: Message, other: Message) -> bool:
    """Tell equal turns: roles are equal, where both are known, and texts but for blanks."""
    if one.role != other.role and one.role and other.role:
        return False
    return one.content == other.content or one.content.split() == other.content.split()


def close_open(first: Turns, second: Turns) -> tuple[Turns, Turns]:
    """Return two conversations, an empty answer added where one ends before the answer."""
    if len(first) > len(second):
        second, first = close_open(second, first)
        return first, second
    asks = len(first) < len(second) and first and first[-1].role != "assistant"
    if asks and _stands_at(second, 0, first):
        first = [*first, Message("assistant", "")]
    return first, second


def count_shared(first: Sequence[Message], second: Sequence[Message]) -> int:
    """Count the leading turns of two conversations that are their prompt.

    They end before an answer: a shared turn of the assistant, after which both go on in other ways,
    belongs to the responses. A system turn alone, after which different questions come, is no
    prompt. Each conversation keeps at least one turn.
    """
    n_equal = 0
    for one, other in zip(first[:-1], second[:-1], strict=False):
        if not same_turn(one, other):
            break
        n_equal += 1
    n_shared = n_equal
    while n_shared and first[n_shared - 1].role == "assistant":
        n_shared -= 1
    asks = "user" in (first[n_equal].role, second[n_equal].role)
    if asks and all(turn.role in ("system", "assistant") for turn in first[:n_shared]):
        return 0
    return n_shared


def part_system(turns: Turns) -> tuple[Turns, Turns]:
    """Return the leading system turns of a conversation, and the others."""
    n_system = 0
    while n_system < len(turns) and turns[n_system].role == "system":
        n_system += 1
    return turns[:n_system], turns[n_system:]


def add_system(system: Turns, others: Turns) -> Turns:
    """Return system turns, those of another conversation added that are not among them."""
    new = [turn for turn in others if not any(same_turn(turn, known) for known in system)]
    return system + new


def merge_turns(prompt: Turns, shared: Turns) -> Turns:
    """Return the fuller of a prompt and the turns that both responses begin with.

    What they have in common stands once: one may hold the other, or go on where it ends. A prompt
    of one text may be all of the shared turns as text.
    """
    system, asked = part_system(prompt)
    shared_system, begun = part_system(shared)
    is_text = len(prompt) == 1 and not prompt[0].role
    if is_text and (holds(shared, prompt) or _is_text_of(prompt[0].content, shared)):
        return shared
    system = add_system(system, shared_system)
    if holds(begun, asked):
        return system + begun
    if holds(asked, begun):
        return system + asked
    return system + add_overlapping(asked, begun)


def add_overlapping(turns: Turns, others: Turns) -> Turns:
    """Return turns that go on with others; those with which both meet stand once."""
    return turns[: len(turns) - _count_overlap(turns, others)] + others


def cut_prompt(turns: Turns, prompt: Turns) -> tuple[Turns, Turns] | None:
    """Return the system turns of a response and what follows the prompt in it.

    None where it does not begin with the prompt, or with the last turns of it.
    """
    _, asked = part_system(prompt)
    system, said = part_system(turns)
    if not asked or not said:
        return None
    is_whole = len(asked) <= len(said) and _stands_at(said, 0, asked)
    n_repeated = len(asked) if is_whole else 0
    if not n_repeated and said[0].role != "assistant":
        n_repeated = _count_overlap(asked, said)
    if not n_repeated:
        return None
    return system, said[n_repeated:] or [Message("assistant", "")]


def _stands_at(turns: Turns, start: int, inner: Turns) -> bool:
    return all(same_turn(turns[start + i], turn) for i, turn in enumerate(inner))


def holds(turns: Turns, inner: Turns) -> bool:
    """Tell whether a conversation holds another one that is not empty."""
    return bool(inner) and len(inner) in _count_begun(turns, inner)


def _count_overlap(turns: Turns, others: Turns) -> int:
    """Count the last turns of one conversation with which another one begins."""
    return _count_begun(turns, others)[-1] if turns and others else 0


def _count_begun(turns: Turns, inner: Turns) -> list[int]:
    """Count, for each turn, how many first turns of another conversation end there.

    This is the search of Knuth, Morris and Pratt, which looks at each turn twice at most.
    """
    borders = [0] * len(inner)
    for end in range(1, len(inner)):
        borders[end] = _go_on(borders[end - 1], inner[end], inner, borders)
    counts, n_begun = [], 0
    for turn in turns:
        n_begun = _go_on(n_begun, turn, inner, borders)
        counts.append(n_begun)
    return counts


def _go_on(n_begun: int, turn: Message, inner: Turns, borders: list[int]) -> int:
    """Return how many first turns end at a turn, where they were some before it."""
    while n_begun and (n_begun == len(inner) or not same_turn(inner[n_begun], turn)):
        n_begun = borders[n_begun - 1]
    return n_begun + same_turn(inner[n_begun], turn)


def _is_text_of(text: str, turns: Turns) -> bool:
    """Tell whether a text is some last turns of a conversation, with or without their roles."""
    words = text.split()
    return any(
        _ends_as(words, map(str.split, written))
        for written in (
            [turn.content for turn in reversed(turns)],
            [write_turn(turn) for turn in reversed(turns)],
        )
    )


def _ends_as(words: list[str], parts: Iterable[list[str]]) -> bool:
    """Tell whether words are some parts, the last of which comes first."""
    end = len(words)
    for part in parts:
        start = end - len(part)
        if start < 0 or words[start:end] != part:
            return False
        end = start
        if end == 0:
            return True
    return False
