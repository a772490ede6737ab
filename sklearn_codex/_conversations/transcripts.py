r"""Transcripts, conversations that are one text with marks between the turns, taken apart."""

from collections.abc import Iterator

from sklearn_codex._conversations.formats import FIRST, FORMATS, OPENING, Format
from sklearn_codex._conversations.roles import Message, fold_role

_LONGEST_END = 64  # characters of one mark that closes a turn, and more


def parse_transcript(text: str) -> list[Message] | None:
    r"""Return the turns of a transcript, None where a text is none.

    Parameters
    ----------
    text : str
        A transcript begins with a mark of ``formats.FORMATS``, past blanks and tokens that begin a
        text, or with a preamble that such transcripts have, which becomes a system turn. The blanks
        around a turn are cut off, and a last turn of the assistant that is empty, where an answer
        is asked for, is left out.

    Examples
    --------
    >>> from sklearn_codex._conversations.transcripts import parse_transcript
    >>> parse_transcript("\n\nHuman: Hi\n\nAssistant:")
    [Message(role='user', content='Hi', reasoning=False)]
    >>> parse_transcript("He said: \n\nHuman: Hi\n\nAssistant: Yes")
    """
    parsed = parse(text)
    return None if parsed is None else close(parsed[1])


def parse(text: str) -> tuple[Format, list[Message]] | None:
    """Return the notation of a transcript and its turns, the last one as it is."""
    for form, turns in _readings(text):
        if form.is_marked or _has_both(turns):
            return form, turns
    return None


def parse_question(text: str) -> tuple[Format, list[Message]] | None:
    """Return the same of a text that is known to be a prompt, so that it needs no answer in it."""
    for form, turns in _readings(text):
        if turns[-1].role == "user" and {turn.role for turn in turns} <= {"system", "user"}:
            return form, turns
    return None


def _readings(text: str) -> Iterator[tuple[Format, list[Message]]]:
    """Generate the notations that a text begins in, and its turns in each."""
    if not FIRST.match(text):
        return
    opening = OPENING.match(text)
    text = text[opening.end() :] if opening else text
    n_blank = len(text) - len(text.lstrip())
    text = ("\n\n" if text.count("\n", 0, n_blank) > 1 else "") + text[n_blank:]
    for form in FORMATS:
        if form.begins.match(text):
            turns = parse_as(form, text)
            if turns is not None:
                yield form, turns


def close(turns: list[Message]) -> list[Message]:
    """Return turns without a last one of the assistant that is empty, unless it is the only one."""
    if len(turns) > 1 and turns[-1].role == "assistant" and not turns[-1].content:
        return turns[:-1]
    return turns


def strip_end(form: Format, text: str) -> str:
    """Return a text without blanks around it and the marks that close a turn."""
    text = text.strip()
    while text[-1:] in form.last:  # only the last characters, as a search of all takes long
        end = form.ends.search(text, max(0, len(text) - _LONGEST_END))
        if end is None:
            return text
        text = text[: end.start()].rstrip()
    return text


def _has_both(turns: list[Message]) -> bool:
    return {"user", "assistant"} <= {turn.role for turn in turns}


def parse_as(form: Format, text: str) -> list[Message] | None:
    """Return the turns of a text in a notation that is known, None where it is not in it."""
    marks = list(form.turn.finditer(text))
    if not marks:
        return None
    preamble = text[: marks[0].start()].strip()
    if preamble and not form.preamble.match(preamble):
        return None
    turns = [Message("system", preamble)] if preamble else []
    stops = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, stop in zip(marks, stops, strict=True):
        content = strip_end(form, text[mark.end() : stop])
        role = form.roles.get(mark["role"])
        if role == "+" and turns:
            turns[-1] = _extend(turns[-1], content)
        elif content or role is None or stop == len(text):
            turns.append(Message(fold_role(role or mark["role"]), content))
        if content and (mark.groupdict().get("channel") or "").strip() == "analysis":
            turns[-1] = Message(turns[-1].role, f"<think>\n{content}\n</think>\n", reasoning=True)
    return _join_thoughts(turns) or None


def _extend(turn: Message, content: str) -> Message:
    return turn._replace(content="\n".join(filter(None, (turn.content, content))))


def _join_thoughts(turns: list[Message]) -> list[Message]:
    """Return turns, each thought joined with the answer that follows."""
    joined: list[Message] = []
    for turn in turns:
        if joined and joined[-1].reasoning and turn.role == joined[-1].role:
            joined[-1] = _extend(joined[-1], turn.content)
        else:
            joined.append(turn)
    return joined
