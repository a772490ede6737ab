"""Where the prompt of a row is: the one column, or several that belong together."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._conversations.cells import as_turns, decode_cell
from sklearn_codex._conversations.gathering import gather_prompt
from sklearn_codex._conversations.messages import as_messages
from sklearn_codex._conversations.template import join_input
from sklearn_codex._labels.sides import split_camel
from sklearn_codex._layouts.base import Columns, fold
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.words import (
    flat_text,
    is_list,
    is_textlike,
    lines_of,
    name_tokens,
    words,
)

ASKED = words(
    """
    prompt instruction question query user_prompt user_input user_query user_question
    user_message user_request user_instruction input_prompt input_text text_prompt prompt_text
    question_text instruction_text problem problem_statement request task_description text_input
    model_input 问题 指令 提示 提示词
    """
)
"""Names of what is asked; of two that a file has, the text of one has to be in the other."""
CONVERSATIONS = words(
    """
    messages message conversations conversation dialogue dialog chat trajectory turns contents
    """
)
"""Names of all turns, perhaps with an answer."""
HISTORY = words(
    """
    history chat_history conversation_history dialogue_history dialog_history message_history
    previous_turns previous_messages past_turns
    """
)
SYSTEM = words(
    """
    system system_prompt system_message system_instruction system_instructions sys_prompt
    systeminstruction systemprompt systemmessage
    """
)
GIVEN = words(
    """
    input inputs context document passage background article post source_text paragraph
    """
)
"""Names of what a prompt is asked about, and of the prompt itself where nothing else is one."""
TITLES = ("title", "post_title")
WEAK = words(
    """
    text body content selftext task user human utterance sentence src src_text title x
    """
)
"""Names that may be the prompt where no other is, if their values look like one."""

_HEADS = frozenset(
    words(
        """
    prompt instruction question query request problem
    """
    )
)
_BESIDE = frozenset(
    words(
        """
    user human text full original orig initial input the content str string body raw formatted
    final first data fields statement test description message model en zh english chinese
    """
    )
)


class PromptColumns(NamedTuple):
    """The columns, as they are in the file, that make the prompt; "" for one there is not.

    ``main`` is what is asked, ``extra`` what it is asked about, ``history`` the turns before, and
    ``system`` what stands before all of them. The texts of the columns ``within`` are in that of
    ``main``; a row where they are not is an error.
    """

    main: str = ""
    extra: str = ""
    history: str = ""
    system: str = ""
    within: tuple[str, ...] = ()
    said: str = ""
    """What the caller could write to say which column is meant."""

    @property
    def used(self) -> frozenset[str]:
        """The columns."""
        return frozenset(self[:4]) - {""}

    def describe(self) -> str:
        """Return a sentence on how the prompt is made, "" for one column of a known name."""
        parts = [name for name in (self.system, self.history, self.main, self.extra) if name]
        if len(parts) > 1:
            return f"The prompt is {', '.join(parts[:-1])} and {parts[-1]}, joined."
        if self.main and fold(split_camel(self.main)) not in (
            *ASKED,
            *HISTORY,
            *CONVERSATIONS,
            *GIVEN[:2],
        ):
            return f"The prompt is {self.main}."
        return ""

    def read(self, row: Mapping[str, Any], where: str = "") -> Any:
        """Return the prompt of a row: None, the value of its one column, or messages."""
        values = [unwrap(row.get(name)) if name else None for name in self[:4]]
        main, extra, history, system = (None if _is_blank(value) else value for value in values)
        main = self._join(main, extra, where)
        self._check_within(row, main, where)
        if history is None and system is None:
            return main
        if main is None and history is None:
            return None
        parts = [
            ("system", system, self.system),
            ("history", history, self.history),
            ("user", main, self.main),
        ]
        return gather_prompt(parts, where)

    def _join(self, main: Any, extra: Any, where: str) -> Any:
        """Return what is asked and what it is about; not twice, where the one holds the other."""
        if main is None or extra is None:
            return extra if main is None else main
        texts = as_turns(extra)
        if texts is not None:
            extra = "\n".join(text for text in texts if text)
        always = fold(self.extra) == "input" and "instruction" in name_tokens(self.main)
        if not always and _holds_lines(main, extra):
            return main
        if not always and _holds_lines(extra, main):
            return extra
        if isinstance(main, str) and isinstance(extra, str):
            return join_input(main, extra)
        parts = [("user", extra, self.extra), ("user", main, self.main)]
        return gather_prompt(parts, where)

    def _check_within(self, row, main, where):
        for name in self.within:
            if not _holds(main, row.get(name)):
                raise ValueError(
                    f"{where} has two texts that could be the prompt: {name} is not within "
                    f"{self.main}, as it is in the rows before. Say which is meant: {self.said}."
                )


def unwrap(value: Any) -> Any:
    """Return the text of a dict that has nothing else to say, such as {"text": ..., "policy": ...}.

    Messages, and dicts without a text, stay as they are. So does text that is JSON, which may be
    what was written, unless it names one of its fields the full text.
    """
    found = value
    keys: tuple[str, ...] = ("full_text", "text", "content")
    if isinstance(value, str) and value[:1] == "{" and value.rstrip()[-1:] == "}":
        found, keys = decode_cell(value), keys[:1]
    if isinstance(found, Mapping) and found.get("role") is None and found.get("from") is None:
        for key in keys:
            if isinstance(found.get(key), str):
                return found[key]
    return value


def _holds_lines(value: Any, other: Any) -> bool:
    """Return whether the text of one value is whole lines of another, perhaps after a heading.

    A word that happens to stand in a passage is not: what is asked is not all of it.
    """
    lines = "\n".join(lines_of(other))
    text = "\n".join(lines_of(value))
    return bool(re.search(rf"(?:^|: ){re.escape(lines)}$", text, re.MULTILINE))


def _is_blank(value: Any) -> bool:
    if is_list(value):
        return len(value) == 0
    return is_missing(value) or (isinstance(value, str) and value.strip() in ("", "[]"))


def find_prompt(
    columns: Columns,
    given: Given,
    where: str,
    row: Mapping[str, Any] | None = None,
    *,
    whole: bool = False,
) -> PromptColumns:
    """Return the columns of the prompt; none of them where no name tells.

    Parameters
    ----------
    columns : mapping
        Columns that hold nothing else.
    given : Given
    where : str
    row : mapping, default=None
        A row, to tell columns that hold a prompt from others of the name.
    whole : bool, default=False
        Whether the responses are conversations from their first turn, so that columns that hold
        conversations say nothing new.

    Raises
    ------
    ValueError
        If several columns could be the prompt.
    """
    if given.prompt is not None:
        return PromptColumns(columns.get(fold(given.prompt), ""))
    columns = {fold(split_camel(column)): column for column in columns.values()}  # inputText
    if row is not None:
        columns = {
            name: column
            for name, column in columns.items()
            if name == "prompt" or is_textlike(row[column])
        }
    turns = [] if whole else _pick(CONVERSATIONS, columns)
    asked = _pick(ASKED, columns) or _compounds(columns)
    main, within = _choose(asked[:1] if row is None else asked, row, given, where)
    system = next(iter(_pick(SYSTEM, columns)), "")
    history = next(iter(_pick(HISTORY, columns)), "")
    if turns and (main or history) and row is not None:
        return _beside_turns(main, within, turns[0], system, row, given, where)
    about = _pick(GIVEN, columns)
    if not main and turns:
        return PromptColumns(turns[0], system=system)
    if not main and not about and not whole:
        main, history = history, ""
    if main:
        extra, more = _choose(about, row, given, where)
        within += more
        return PromptColumns(main, extra, history, system, within, _say(main, within, given))
    return _from_weak(columns, about, history, system, row, given, where, whole)


def _say(main: str, within: Iterable[str], given: Given) -> str:
    return " or ".join(given.say("prompt", name) for name in (main, *within))


def _pick(names: Iterable[str], columns: Columns) -> list[str]:
    return [columns[name] for name in names if name in columns]


def _compounds(columns: Columns) -> list[str]:
    """Return columns such as original_question, that are named by words for a prompt only."""
    found = []
    for column in columns.values():
        tokens = {token.removesuffix("s") for token in name_tokens(column)}
        if tokens & _HEADS and tokens <= _HEADS | _BESIDE:
            found.append(column)
    return found


def names_prompt(name: str) -> bool:
    """Return whether a column such as opening_prompt or src has to do with what is asked."""
    known = (*ASKED, *HISTORY, *SYSTEM, *GIVEN, *TITLES, *_SOURCES)
    return fold(name) in known or not _HEADS.isdisjoint(name_tokens(name))


_SOURCES = ("src", "source", "src_text", "x", "opening_message", "opening_msg")
"""Names of what is translated or answered, which in other files are no prompts."""


def _choose(names, row, given: Given, where: str) -> tuple[str, tuple[str, ...]]:
    """Return the one of several columns whose text holds those of the others, and the others."""
    if len(names) < 2 or row is None:
        return (names[0] if names else ""), ()
    texts = {name: _text_in(row[name]) for name in names if not _is_blank(row[name])}
    if not texts:
        return names[0], tuple(names[1:])
    main = max(texts, key=lambda name: len(texts[name]))
    apart = [name for name in texts if not _holds(row[main], row[name])]
    if apart:
        raise ValueError(
            f"{where} has several columns that could be the prompt: {', '.join(names)}. "
            f"{main} is {_shorten(texts[main])} and {apart[0]} is {_shorten(texts[apart[0]])}. "
            f"Say which is meant: {_say(names[0], names[1:], given)}."
        )
    return main, tuple(name for name in names if name != main)


_FEW = 3
"""Words from which on a text does not stand in another by chance."""
_NO_BLANKS = r"\u2e80-\U0003ffff"
"""Scripts whose words have no blanks between them, so that a word may begin anywhere."""
_WORD = rf"[^\W{_NO_BLANKS}]"


def _holds(value: Any, part: Any) -> bool:
    """Return whether the text of one value is in that of another, so that it says nothing more.

    It has to be whole words there, and a word or two a whole line, a quotation, or what follows a
    colon: "art" is in "start", and in a question about art, and is no question.
    """
    text, inner = _text_in(value), _text_in(part)
    if inner in ("", text) or inner not in text:
        return inner in ("", text)
    if _holds_lines(_decoded(value), _decoded(part)):
        return True
    if len(inner.split()) < _FEW and not re.search(f"[{_NO_BLANKS}]", inner):
        before, after = "[\"'\u2018\u201c:([>] ?", "(?=[\"'\u2019\u201d)\\]<.!?]|$)"
    else:
        before = f"(?<!{_WORD})" if re.match(_WORD, inner) else ""
        after = f"(?!{_WORD})" if re.search(rf"{_WORD}\Z", inner) else ""
    return re.search(before + re.escape(inner) + after, text) is not None


def _decoded(value: Any) -> Any:
    """Return the lists or dicts that a cell holds as text, else the value."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        return decode_cell(value) or value
    return value


def _text_in(value: Any) -> str:
    """Return the texts of a value, also where a cell holds lists or dicts of them."""
    return flat_text(_decoded(value))


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _beside_turns(main, within, turns, system, row, given: Given, where) -> PromptColumns:
    """Return the prompt where a file has a column of what is asked and one of all turns."""
    if not main:
        return PromptColumns(turns, system=system)
    messages = as_messages(row[turns], turns, where)
    texts = [turn.content for turn in messages] if messages else [row[turns]]
    if not any(_holds(text, row[main]) for text in texts):
        raise ValueError(
            f"{where} has several columns that could be the prompt: {main} and {turns}, and the "
            f"turns of {turns} do not have the text of {main}. Say which is meant: "
            f"{_say(main, [turns], given)}."
        )
    if messages and messages[-1].role != "assistant":
        return PromptColumns(turns, system=system, within=(main,), said=_say(turns, [main], given))
    return PromptColumns(main, system=system, within=within, said=_say(main, [turns], given))


def _from_weak(columns, about, history, system, row, given, where, whole) -> PromptColumns:
    """Return the prompt from columns that hold one only where no other does."""
    titles = _pick(TITLES, columns)
    about = about or [name for name in _pick(WEAK, columns) if name not in titles]
    about = [] if whole else [name for name in about if _looks_like_prompt(row, name)]
    about = [name for name in about if not _is_person(row, name, given, where)]
    if not about and titles and not whole and _looks_like_prompt(row, titles[0]):
        about, titles = titles, []
    main, within = _choose(about, row, given, where)
    if not main:
        return PromptColumns(system=system) if whole else PromptColumns()
    said = _say(main, within, given)
    if titles and history == "":
        return PromptColumns(titles[0], main, "", system, within, said)
    return PromptColumns(main, "", history, system, within, said)


_PEOPLE = ("user", "human")
"""Names in WEAK under which files have what a person asked, or who that is."""
_FEWEST_ASKED = 4
"""Words from which on a text is no name of a person."""


def _is_person(row: Mapping[str, Any] | None, name: str, given: Given, where: str) -> bool:
    """Return whether a column such as user says who somebody is, not what was asked.

    Raises
    ------
    ValueError
        If its text can be either.
    """
    if fold(name) not in _PEOPLE or row is None or not isinstance(row[name], str):
        return False
    text = row[name].strip()
    if fold(name) == fold(given.annotator or ""):
        return True
    if _is_asked(text) or (text.isascii() and not re.search(r"\s", text)):
        return not _is_asked(text)
    raise ValueError(
        f"{where} has {name} = {text!r:.60}, which can be what was asked or who gave the label. "
        f"Say which: {given.say('prompt', name)} or {given.say('annotator', name)}."
    )


def _is_asked(text: str) -> bool:
    """Tell what a person asks by its length, its lines and how it ends."""
    return (
        len(text.split()) >= _FEWEST_ASKED
        or "\n" in text
        or text.endswith((*"?.!:", *"\uff1f\u3002\uff01\uff1a"))
        or (not text.isascii() and len(text) > 12)
    )


def _looks_like_prompt(row: Mapping[str, Any] | None, name: str) -> bool:
    """Tell a text from the name of a kind, such as "math"."""
    if row is None or not isinstance(row[name], str) or fold(name) == "input":
        return True
    text = row[name].strip()
    return len(text.split()) > 1 or not text.isascii() or text.endswith("?")
