"""A prompt of several columns, such as a system prompt, a history and a question."""

from collections.abc import Iterable
from typing import Any

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.cells import as_turns, decode_cell, is_sequence
from sklearn_codex._conversations.messages import as_messages
from sklearn_codex._conversations.roles import Message
from sklearn_codex._conversations.transcripts import parse_transcript
from sklearn_codex._conversations.turns import Turns, add_overlapping


def gather_prompt(parts: Iterable[tuple[str, Any, str]], where: str) -> list[Message]:
    r"""Return the turns of a prompt whose parts stand in several columns.

    Parameters
    ----------
    parts : iterable of (str, object, str)
        For each part the role of text that has none, the value and its column, in the order of the
        conversation. A value is what ``as_messages`` reads, a transcript or text. Missing values
        and blank ones are left out, and turns that two parts share stand once. Where the role is
        "history", lists of texts are turns of user and assistant in turn, also as text in a cell,
        and text is of the user.
    where : str
        Which row, for messages of errors.

    Examples
    --------
    >>> from sklearn_codex._conversations.gathering import gather_prompt
    >>> from sklearn_codex._conversations.template import write_prompt
    >>> parts = [("system", "Rhyme.", "system"), ("history", [["Hi", "Bye"]], "history")]
    >>> write_prompt(gather_prompt([*parts, ("user", "Why?", "instruction")], "record 0"))
    'System: Rhyme.\n\nUser: Hi\n\nAssistant: Bye\n\nUser: Why?'
    """
    turns: Turns = []
    for role, value, column in parts:
        if is_sequence(value) or not is_missing(value):
            turns = add_overlapping(turns, _read_part(role, value, column, where))
    return turns


def _read_part(role: str, value: Any, column: str, where: str) -> Turns:
    if role == "history":
        texts = as_turns(value)
        if texts is not None:
            speakers = ("user", "assistant") * len(texts)
            return [
                Message(speaker, text)
                for speaker, text in zip(speakers, texts, strict=False)
                if text is not None
            ]
        decoded = decode_cell(value) if isinstance(value, str) else None
        value, role = value if decoded is None else decoded, "user"
    turns = as_messages(value, column, where)
    if turns is not None and len(turns) == 1 and turns[0].role in ("", "user"):
        return [turns[0]._replace(role=role)]  # the column says more than a message without a role
    if turns is None:
        turns = parse_transcript(value)
    if turns is None:
        turns = [Message(role, value)] if value.strip() else []
    return turns
