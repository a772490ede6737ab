r"""A preference parted into its prompt and two responses, whatever notation each came in.

One rule for all notations: everything becomes turns, the turns of the prompt column and those with
which both responses begin become the prompt, and what is left of each response is written by the
one template. Text without marks is a turn of the user in a prompt and one of the assistant in a
response, and stays as it is.
"""

import reprlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from sklearn_codex._conversations.cells import begins_quoted, is_sequence
from sklearn_codex._conversations.formats import FIRST, Format
from sklearn_codex._conversations.messages import as_messages
from sklearn_codex._conversations.prefixes import cut_prefix
from sklearn_codex._conversations.roles import Message
from sklearn_codex._conversations.template import write_prompt, write_response
from sklearn_codex._conversations.transcripts import close, parse, parse_question, strip_end
from sklearn_codex._conversations.turns import (
    Turns,
    cut_prompt,
    holds,
    part_prompt,
    part_system,
)


class Split(NamedTuple):
    """A preference in text.

    Parameters
    ----------
    prompt : str or None
        None where there is none.
    first, second : str
        The responses, without the prompt.
    reasoning : bool
        Whether reasoning from a field apart, such as ``reasoning_content``, stands in it.
    """

    prompt: str | None
    first: str
    second: str
    reasoning: bool = False


class _Value(NamedTuple):
    """A value as it was read: its turns, None for text without marks, and its notation."""

    turns: Turns | None
    text: str = ""
    form: Format | None = None

    def as_turns(self, role: str) -> Turns:
        """Return the turns; of text one turn of a role, of a blank prompt none."""
        if self.turns is not None:
            return self.turns
        return [Message(role, self.text)] if role or self.text.strip() else []


def split_pair(
    prompt: Any,
    first: Any,
    second: Any,
    columns: Sequence[str],
    where: str,
    *,
    repeats: bool | None = False,
) -> Split:
    r"""Return the prompt and the two responses of a preference as text.

    Parameters
    ----------
    prompt : object
        Text, a transcript, messages in any form that ``as_messages`` reads, or None. Responses may
        repeat it, or only its last turns.
    first, second : object
        The two responses, alone or after the prompt.
    columns : sequence of three str
        What prompt, first and second are called, for messages of errors.
    where : str
        Which row, for messages of errors.
    repeats : bool or None, default=False
        Whether responses that are text without marks repeat the prompt in the rows of the file, as
        ``prefixes.repeats_prompt`` tells. Else a short prompt, such as "Hello", with which both
        begin is cut off only where it ends a line or a question. None never cuts such text.

    Returns
    -------
    split : Split
        Equal for all notations of the same preference. Without a prompt, the turns with which both
        responses begin are the prompt, up to the last that is not of the assistant.

    Raises
    ------
    TypeError
        If a value is neither text nor messages.
    ValueError
        If a value holds what is no text, or one response holds messages of several turns and the
        other is text, where no prompt tells where the answer begins.

    Examples
    --------
    >>> from sklearn_codex._conversations.split import split_pair
    >>> columns, start = ("prompt", "chosen", "rejected"), "\n\nHuman: Hi\n\nAssistant:"
    >>> split_pair(None, start + " Yes?", start + " No.", columns, "record 0")
    Split(prompt='Hi', first='Yes?', second='No.', reasoning=False)
    >>> split_pair([{"role": "user", "content": "Hi"}], "Yes?", "No.", columns, "record 0")
    Split(prompt='Hi', first='Yes?', second='No.', reasoning=False)
    """
    if is_plain(first) and is_plain(second) and (prompt is None or is_plain(prompt)):
        return _split_text(prompt, first, second, repeats)
    asked = _read_prompt(prompt, columns[0], where)
    one = _read_response(first, columns[1], where, asked)
    two = _read_response(second, columns[2], where, asked)
    one, two = _agree(asked, one, two, columns, where)
    if one.turns is None and two.turns is None and _is_one_text(asked):
        text = asked.text if asked.turns is None else write_prompt(asked.turns)
        return _split_text(text, one.text, two.text, repeats)
    before, said, other = part_prompt(
        close(asked.as_turns("")), one.as_turns("assistant"), two.as_turns("assistant")
    )
    _check_begun(said, other, columns, where)
    reasoning = any(turn.reasoning for turns in (before, said, other) for turn in turns)
    return Split(
        write_prompt(before) or None, write_response(said), write_response(other), reasoning
    )


def prompt_text(prompt: Any, column: str, where: str) -> str:
    """Return a prompt as text, as ``split_pair`` does where no response adds to it."""
    if is_plain(prompt):
        return prompt
    asked = _read_prompt(prompt, column, where)
    return asked.text if asked.turns is None else write_prompt(close(asked.turns))


def is_plain(value: Any) -> bool:
    """Tell text that begins with no mark of a conversation, at once."""
    if type(value) is not str or FIRST.match(value):
        return False
    return not (value.lstrip().startswith("{") or begins_quoted(value))


def _read(value: Any, column: str, where: str) -> _Value:
    turns = as_messages(value, column, where)
    if turns is not None:
        return _Value(turns)
    parsed = parse(value)
    return _Value(None, value) if parsed is None else _Value(parsed[1], value, parsed[0])


def _read_prompt(prompt: Any, column: str, where: str) -> _Value:
    """Return a prompt as read; one that is not there is a blank text."""
    if prompt is None or (is_sequence(prompt) and len(prompt) == 0):
        return _Value(None)
    value = _read(prompt, column, where)
    if value.turns is None and (parsed := parse_question(value.text)):
        return _Value(parsed[1], value.text, parsed[0])
    return value


def _read_response(response: Any, column: str, where: str, asked: _Value) -> _Value:
    """Return a response as read; what goes on with a transcript is read in its notation.

    Text that looks like a conversation is one where it repeats the prompt or begins with the mark
    of the assistant, else an answer that has such marks in it.
    """
    value = _read(response, column, where)
    is_text = value.form is not None or _is_lone_question(response, value.turns)
    if is_text and not _goes_on(value.turns or [], close(asked.as_turns(""))):
        text = response if isinstance(response, str) else value.text
        return _Value([Message("assistant", text)] if asked.form else None, text)
    if value.turns is not None:
        if not value.turns:
            raise TypeError(
                f"{where} should have text or messages [{{'role': ..., 'content': ...}}] as "
                f"{column}, got a {type(response).__name__}: {reprlib.repr(response)}, which is "
                "empty. Leave the row out."
            )
        return value
    if asked.form is None or asked.turns is None:
        return value
    ends_openly = asked.text[-1:].isspace() or asked.text.endswith((":", "\uff1a", ">", "]"))
    whole = parse(asked.text + ("" if ends_openly else "\n") + value.text)
    before = close(asked.turns)
    if len(before) < len(asked.turns) and whole and whole[1][: len(before)] == before:
        said = whole[1][len(before) :]
        repeats_mark = len(said) > 1 and not said[0].content and said[1].role == "assistant"
        return _Value(said[1:] if repeats_mark else said)
    return _Value([Message("assistant", strip_end(asked.form, value.text))])


def _is_lone_question(response: Any, turns: Turns | None) -> bool:
    """Tell text that is the JSON of one message, of which no answer would consist."""
    return (
        isinstance(response, str)
        and turns is not None
        and len(turns) == 1
        and turns[0].role not in ("assistant", "")
    )


def _goes_on(turns: Turns, asked: Turns) -> bool:
    """Tell whether a conversation goes on from a prompt, of which it may hold the whole."""
    said, asked = part_system(turns)[1], part_system(asked)[1]
    if not asked or not said:
        return True
    is_answer = said[0].role == "assistant"
    return is_answer or cut_prompt(turns, asked) is not None or holds(said, asked)


def _agree(
    asked: _Value, one: _Value, two: _Value, columns: Sequence[str], where: str
) -> tuple[_Value, _Value]:
    """Return both responses in kinds that go together, or raise where they do not."""
    if (one.turns is None) == (two.turns is None):
        return one, two
    talk, text = (two, one) if one.turns is None else (one, two)
    name, other = columns[1:] if talk is one else (columns[2], columns[1])
    turns = talk.as_turns("assistant")
    said = part_system(turns)[1]
    begins_with_answer = said and said[0].role in ("assistant", "")
    if len(turns) == 1 or begins_with_answer or cut_prompt(turns, close(asked.as_turns(""))):
        return one, two
    if talk.form is not None:  # a text that looks like a transcript beside one that does not
        return one._replace(turns=None), two._replace(turns=None)
    raise ValueError(
        f"{where} has as {name} a conversation of {len(turns)} messages that begins with the role "
        f"{turns[0].role!r}, and as {other} text, {reprlib.repr(text.text)}, so that nothing tells "
        "where the answer begins. Write both in one way, or put the messages before the answer "
        f"into {columns[0]}."
    )


def _check_begun(said: Turns, other: Turns, columns: Sequence[str], where: str) -> None:
    """Raise where one response is an answer, and the other begins with another question."""
    begun = [part_system(turns)[1] for turns in (said, other)]
    for at, (turns, others) in enumerate((begun, begun[::-1])):
        answers = bool(others) and others[0].role == "assistant"
        if answers and len(turns) > 1 and turns[0].role == "user":
            raise ValueError(
                f"{where} has as {columns[1 + at]} the answer to another question, "
                f"{reprlib.repr(turns[0].content)}, than as {columns[2 - at]}. A pair takes two "
                "answers to one prompt; leave the row out."
            )


def _is_one_text(asked: _Value) -> bool:
    """Tell a prompt without roles but that of the user."""
    turns = asked.as_turns("")
    if not turns:
        return True
    one = len(turns) == 1 and turns[0].role in ("user", "") and not turns[0].reasoning
    return one and asked.form is None


def _split_text(prompt: str | None, first: str, second: str, repeats: bool | None) -> Split:
    """Split text without marks, which stays as it is."""
    if prompt is None or not prompt.strip():
        return Split(None, first, second)
    cut = None if repeats is None else cut_prefix(prompt, first, second, is_sure=repeats)
    return Split(prompt, *(cut or (first, second)))
