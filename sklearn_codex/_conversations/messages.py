"""Conversations as data hold them, lists of messages of any kind, read into one kind."""

import re
import reprlib
from collections.abc import Mapping
from typing import Any, NoReturn

from sklearn_codex._conversations.cells import begins_quoted, decode_cell, is_sequence
from sklearn_codex._conversations.contents import (
    CALL_KEYS,
    PART_TYPES,
    REASONING_KEYS,
    given,
    write_content,
    write_result,
)
from sklearn_codex._conversations.roles import ROLES, Message, fold_role

ROLE_KEYS = ("role", "from", "speaker", "author", "sender", "type")
CONTENT_KEYS = ("content", "value", "text", "message", "parts", "utterance")
_USUAL_KEYS = (("role", "content"), ("from", "value"))
LIST_KEYS = ("messages", "conversations", "conversation", "turns", "contents")
USER_KEYS = ("user", "human", "prompt", "question", "query", "instruction")
ASSISTANT_KEYS = ("assistant", "gpt", "bot", "model", "response", "answer", "output")

_BEGINS_AS_MESSAGES = re.compile(
    r"""\s*\[\s*\{\s*(['"])(?:role|from|content|value)\1\s*:\s*(['"\[]|None|null)"""
)


def as_messages(value: Any, column: str, where: str) -> list[Message] | None:
    r"""Return the messages of a conversation, None where the value is text and no conversation.

    Parameters
    ----------
    value : object
        Text; a list, tuple or array of messages: dicts with a role (``role``, ``from``,
        ``speaker``, ``author``, ``sender``, or ``type`` where it names one) and a content
        (``content``, ``value``, ``text``, ``message``, ``parts``, ``utterance``), dicts of a turn
        each, ``{"user": ..., "assistant": ...}``, pairs ``[question, answer]``, or content parts;
        one message alone; a dict of such a list under ``messages`` or ``conversations``, or of
        columns, ``{"role": [...], "content": [...]}``; a text
        that holds a list of messages as JSON or as the repr of Python or numpy.
    column : str
        Where the value stands, for messages of errors.
    where : str
        Which row, for messages of errors, which begin with it.

    Returns
    -------
    messages : list of Message or None
        Empty where the list is.

    Raises
    ------
    TypeError
        If the value is neither text nor messages.
    ValueError
        If a message holds what is no text, such as an image, or says two things, or a text begins
        as a list of messages and is none.

    Examples
    --------
    >>> from sklearn_codex._conversations.messages import as_messages
    >>> as_messages([{"from": "human", "value": "Hi"}], "chosen", "record 0")
    [Message(role='user', content='Hi', reasoning=False)]
    >>> as_messages("Hi", "chosen", "record 0")
    """
    try:
        if isinstance(value, str):
            return _read_cell(value, column, where)
        return _Reader(column, where).read(value)
    except RecursionError:
        raise ValueError(f"{where} has messages as {column} that are nested too deeply.") from None


def _read_cell(text: str, column: str, where: str) -> list[Message] | None:
    """Return the messages that a text holds as a list."""
    if text.lstrip()[:1] not in ("[", "{") and not begins_quoted(text):
        return None
    found = decode_cell(text)
    if _surely_messages(found):
        return _Reader(column, where).read(found)
    if found is None and _BEGINS_AS_MESSAGES.match(text):
        raise ValueError(
            f"{where} has as {column} a text that begins as a list of messages, but is cut off or "
            f"damaged: {reprlib.repr(text)}. Write the cell anew; text that is meant so goes into "
            "one message, [{'role': 'assistant', 'content': ...}]."
        )
    return None


def _surely_messages(found: Any) -> bool:
    """Tell messages from an answer that is JSON by chance, such as a list of questions."""
    if isinstance(found, Mapping):
        inner = given(found, *LIST_KEYS)
        return _surely_messages(inner) if is_sequence(inner) else _surely_message(found)
    if not is_sequence(found) or not len(found):
        return False
    return all(map(_surely_message, found)) or all(_kind(item) == "part" for item in found)


def _surely_message(item: Any) -> bool:
    kind = _kind(item)
    if kind == "turn":
        names = ("user", "human"), ("assistant", "gpt", "bot")
        return all(given(item, *keys) is not None for keys in names)
    if kind != "message":
        return False
    return {"role", "content"} <= set(item) or fold_role(_role_of(item) or "") in _FOLDED


_FOLDED = set(ROLES.values())


def _role_of(item: Mapping) -> str | None:
    """Return what a message says of its role."""
    for key in ROLE_KEYS:
        role = given(item, key)
        if isinstance(role, Mapping):
            role = given(role, "role", "name")
        if isinstance(role, str) and role.strip() and (key != "type" or fold_role(role) in _FOLDED):
            return role
    return None


def _kind(item: Any) -> str | None:
    """Tell a message, a turn of question and answer, and a content part."""
    if isinstance(item, Message):
        return "message"
    if not isinstance(item, Mapping):
        return None
    if item.get("type") in PART_TYPES and given(item, "role", "from") is None:
        return "part"
    if _role_of(item) is not None:
        keys = (*CONTENT_KEYS, *CALL_KEYS, *REASONING_KEYS, "refusal", "data")
        return "message" if given(item, *keys) is not None else None
    if _is_turn(item):
        return "turn"
    return None


def _is_turn(item: Mapping) -> bool:
    asked, said = given(item, *USER_KEYS), given(item, *ASSISTANT_KEYS)
    return isinstance(asked, str) and isinstance(said, str)


def _read_usual(items: Any) -> list[Message]:
    """Return messages of a role and a text and nothing else, as most are; [] for others."""
    messages = []
    for item in items:
        if type(item) is not dict or len(item) != 2:
            return []
        for keys in _USUAL_KEYS:
            role, content = map(item.get, keys)
            if type(role) is str and type(content) is str and role and not role.isspace():
                messages.append(Message(fold_role(role), content))
                break
        else:
            return []
    return messages


def _rows_of_columns(value: Mapping) -> list[dict] | None:
    """Return messages that are given by columns, a list of roles and one of contents."""
    has_lists = value and all(map(is_sequence, value.values()))
    if not has_lists or not any(key in value for key in ROLE_KEYS):
        return None
    if len({len(column) for column in value.values()}) > 1:
        return None
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]


class _Reader:
    """Reads the messages of one value; it knows where that stands."""

    def __init__(self, column: str, where: str):
        self.column = column
        self.where = where

    def read(self, value: Any) -> list[Message]:
        if isinstance(value, Message):
            return [value]
        if isinstance(value, Mapping):
            return self._read_mapping(value)
        if not is_sequence(value):
            self._refuse_value(value)
        usual = _read_usual(value)
        if usual:
            return usual
        items = [item.tolist() if hasattr(item, "tolist") else item for item in value]
        pairs = self._read_pairs(items)
        if pairs is not None:
            return pairs
        if items and all(_kind(item) == "part" for item in items):
            return [self._message("", {}, items)]
        return [message for item in items for message in self._read_item(item)]

    def _read_mapping(self, value: Mapping) -> list[Message]:
        inner = given(value, *LIST_KEYS)
        if is_sequence(inner):
            system = given(value, "system", "system_prompt")
            before = [Message("system", system)] if isinstance(system, str) and system else []
            return before + self.read(inner)
        rows = _rows_of_columns(value)
        if rows is not None:
            return self.read(rows)
        if _kind(value) is None and is_sequence(parts := given(value, "parts")):
            return [self._message("", value, parts)]  # of no role, as Gemini writes one answer
        if _kind(value) is None:
            self._refuse_value(value)
        return self.read([value])

    def _read_pairs(self, items: list) -> list[Message] | None:
        """Return the messages of pairs, of question and answer or of role and content."""
        if not items or not all(
            is_sequence(item)
            and len(item) == 2
            and not isinstance(item, Message)
            and all(text is None or isinstance(text, str) for text in item)
            for item in items
        ):
            return None
        if all(isinstance(role, str) and fold_role(role) in _FOLDED for role, _ in items):
            return [Message(fold_role(role), text or "") for role, text in items]
        return [
            Message(role, text)
            for pair in items
            for role, text in zip(("user", "assistant"), pair, strict=True)
            if text is not None
        ]

    def _read_item(self, item: Any) -> list[Message]:
        kind = _kind(item)
        if isinstance(item, Message):
            return [item]
        if kind == "message":
            return [self._read_message(item)]
        if kind == "turn":
            return self._read_turn(item)
        raise TypeError(
            f"{self.where} should have messages of a str role and a str content as {self.column}, "
            f"got {reprlib.repr(item)}. Leave out messages without text."
        )

    def _read_message(self, item: Mapping) -> Message:
        inner = item.get("data")
        if isinstance(inner, Mapping) and given(item, *CONTENT_KEYS) is None:
            item = {**item, **inner}
        contents = [item[key] for key in CONTENT_KEYS if given(item, key) is not None]
        texts = {content for content in contents if isinstance(content, str)}
        if len(texts) > 1:
            shown = {key: item[key] for key in CONTENT_KEYS if isinstance(item.get(key), str)}
            self._refuse(f"a message that says two things, {reprlib.repr(shown)}")
        content = contents[0] if contents else given(item, "refusal")
        role = fold_role(_role_of(item) or "")
        if role == "tool" and content is not None and not isinstance(content, str):
            content = write_result(content)
        return self._message(role, item, content)

    def _read_turn(self, item: Mapping) -> list[Message]:
        system, asked, said = (
            given(item, *keys) for keys in (("system",), USER_KEYS, ASSISTANT_KEYS)
        )
        turns = [("system", system), ("user", asked), ("assistant", said)]
        return [self._message(role, {}, text) for role, text in turns if text is not None]

    def _message(self, role: str, item: Mapping, content: Any) -> Message:
        text, reasoning = write_content(item, content, self._refuse)
        return Message(role, text, reasoning)

    def _refuse(self, what: str) -> NoReturn:
        raise ValueError(
            f"{self.where} has in {self.column} {what}. Only text is read: leave the row out, or "
            "put text in its place."
        )

    def _refuse_value(self, value: Any) -> NoReturn:
        raise TypeError(
            f"{self.where} should have text or messages [{{'role': ..., 'content': ...}}] as "
            f"{self.column}, got a {type(value).__name__}: {reprlib.repr(value)}. Make it text, "
            "or leave the column out."
        )
