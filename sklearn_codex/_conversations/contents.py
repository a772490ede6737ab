"""What a message says: text, content parts, calls of tools and reasoning, as one text."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.cells import is_sequence

REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
CALL_KEYS = ("tool_calls", "function_call")
TEXT_TYPES = ("text", "input_text", "output_text")
PART_TYPES = (
    *TEXT_TYPES, "thinking", "reasoning", "redacted_thinking", "refusal", "tool_use", "tool_call",
    "function_call", "tool_result", "image", "image_url", "input_image", "input_audio", "audio",
    "video", "video_url", "file", "input_file", "document",
)  # fmt: skip
"""Types of content parts; those not of text are refused by name."""

_MEDIA_KEYS = ("image", "images", "image_url", "audio", "audios", "input_audio", "video", "videos",
               "file")  # fmt: skip
_ARGUMENT_KEYS = ("arguments", "input", "parameters", "args")

Refuse = Callable[[str], NoReturn]


def given(mapping: Mapping, *keys: str) -> Any:
    """Return the first value that is there under one of the keys, None if none is."""
    for key in keys:
        value = mapping.get(key)
        if value is not None and (isinstance(value, str) or not _is_nothing(value)):
            return value
    return None


def _is_nothing(value: Any) -> bool:
    return not is_sequence(value) and is_missing(value)


def write_content(message: Mapping, content: Any, refuse: Refuse) -> tuple[str, bool]:
    r"""Return the text of a message, and whether reasoning from a field apart is in it.

    Reasoning comes first, as "<think>\n...\n</think>\n\n", then the content, its parts joined by a
    newline, then each call of a tool, as "<tool_call>\n{...}\n</tool_call>", the JSON of its name
    and of its arguments with their keys sorted.
    """
    _refuse_media(message, refuse)
    thoughts = [given(message, key) for key in REASONING_KEYS]
    thoughts = [thought for thought in thoughts if isinstance(thought, str)]
    texts: list[str] = []
    for part in content if is_sequence(content) else [content]:
        for kind, text in _read_part(part, refuse):
            (thoughts if kind == "reasoning" else texts).append(text)
    calls = [given(message, key) for key in CALL_KEYS]
    texts += [write_call(call, refuse) for value in calls for call in _calls_of(value)]
    text = texts[0] if len(texts) == 1 else "\n".join(text for text in texts if text.strip())
    thoughts = [thought for thought in dict.fromkeys(map(str.strip, thoughts)) if thought]
    told = [thought for thought in thoughts if thought not in text]
    if told:
        text = "<think>\n" + "\n".join(told) + "\n</think>\n\n" + text
    return text, bool(thoughts)


def write_call(call: Any, refuse: Refuse) -> str:
    """Return the call of a tool in the one way in which it is written."""
    function = given(call, "function") if isinstance(call, Mapping) else None
    function = function if isinstance(function, Mapping) else call
    name = given(function, "name", "tool_name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        refuse(f"a call of a tool without a name, {call!r:.80}")
    arguments = given(function, *_ARGUMENT_KEYS)
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):  # what is no JSON is written as it is
            arguments = json.loads(arguments)
    arguments = {} if arguments is None else _plain_json(arguments)
    shown = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False, default=str)
    return f"<tool_call>\n{shown}\n</tool_call>"


def write_result(content: Any) -> Any:
    """Return what a tool gave: content parts as they are, other values than text as JSON."""
    parts = content if is_sequence(content) else [content]
    if all(isinstance(part, str) or _is_part(part) for part in parts):
        return content
    return json.dumps(_plain_json(content), ensure_ascii=False, default=str)


def _is_part(part: Any) -> bool:
    return isinstance(part, Mapping) and (
        given(part, "type") in PART_TYPES or given(part, "content_type") is not None
    )


def _plain_json(value: Any) -> Any:
    """Return what JSON can write, keys sorted, without those of no value, which tables fill in."""
    if isinstance(value, Mapping):
        items = sorted((str(key), item) for key, item in value.items() if item is not None)
        return {key: _plain_json(item) for key, item in items}
    if is_sequence(value):
        return [_plain_json(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def _calls_of(value: Any) -> list:
    """Return the calls that a field of a message holds, also as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return [value] if value.strip() else []
    if value is None:
        return []
    return list(value) if is_sequence(value) else [value]


def _read_part(part: Any, refuse: Refuse) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) of a content part: kind is "text" or "reasoning"."""
    if part is None:
        return
    if isinstance(part, str):
        yield "text", part
        return
    if not isinstance(part, Mapping):
        refuse(f"content that is a {type(part).__name__}, {part!r:.80}")
    _refuse_media(part, refuse)
    kind = given(part, "type", "content_type")
    if kind in ("thinking", "reasoning", "redacted_thinking"):
        texts, said = (
            "reasoning",
            given(part, "thinking", "reasoning", "text", "content", "summary"),
        )
    elif kind in ("tool_use", "tool_call", "function_call"):
        texts, said = "text", write_call(part, refuse)
    elif kind in (*TEXT_TYPES, "refusal", "tool_result", None):
        texts, said = "text", given(part, "text", "refusal", "content", "value", "parts")
    else:
        refuse(f"a part of type {kind!r}, of which text says nothing")
    if said is None and kind != "redacted_thinking":
        refuse(f"a part without text, {dict(part)!r:.80}")
    for inner in said if is_sequence(said) else [said]:
        for _, text in _read_part(inner, refuse):
            yield texts, text


def _refuse_media(mapping: Mapping, refuse: Refuse) -> None:
    for key in _MEDIA_KEYS:
        value = given(mapping, key)
        if value is not None and not (hasattr(value, "__len__") and len(value) == 0):
            refuse(f"a part with {key!r}, of which text says nothing")
