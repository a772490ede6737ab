r"""The notations of transcripts: how a turn begins and ends, one entry each.

To read one more notation, add an entry to ``FORMATS``, and how a conversation looks in it to
``tests/test_transcripts.py``. A text is tried where ``FIRST`` matches, so what begins in a new way
goes there as well.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

OPENING = re.compile(
    r"(?:\s*(?:\ufeff|<s>|<bos>|<BOS_TOKEN>|<\|begin_of_text\|>|<\|endoftext\|>|<\|startoftext\|>"
    r"|\[gMASK\]|<sop>|BEGINNING OF CONVERSATION:))*"
)
"""What may stand before the first turn and says nothing."""

_CLOSED = r"</s>|<s>|<\|endoftext\|>|<\|end_of_text\|>|<eos>"
_WORDS = r"Human|User|Assistant|AI|Bot|System|Tool|用户|人类|助手|系统"
_COLON = r"[ ]?[:\uff1a]"
# The line breaks are part of it, since a search for what begins with one character is fast.
_PARAGRAPH = r"\n(?:[ ]|\r)?\n[ \t]*"
_NEXT_LINE = rf"\n[ \t]*(?:{_WORDS}){_COLON}"
_NAMES_AT_LINES = rf"\s*(?:{_WORDS}){_COLON}(?:(?!{_NEXT_LINE})[\s\S])*(?<!\n){_NEXT_LINE}"
_PREAMBLES = "Below is an? |A chat between|The following |You are |A conversation between"


@dataclass(frozen=True)
class Format:
    """One notation of transcripts.

    Parameters
    ----------
    name : str
        What it is called.
    turn : re.Pattern
        The beginning of a turn, with the role in the group "role".
    begins : re.Pattern
        The beginning of a text in this notation.
    preamble : re.Pattern
        The beginning of text that may stand before the first turn and is a system turn.
    ends : re.Pattern
        What closes a turn, at its end.
    roles : mapping of str to str
        What marks mean that are no names of roles. A turn of the role "+" goes on with the one
        before. A turn of such a mark that is empty and not the last is left out.
    is_marked : bool
        Whether one mark is enough to know the notation; else a turn of the user and one of the
        assistant are needed.
    """

    name: str
    turn: re.Pattern[str]
    begins: re.Pattern[str]
    preamble: re.Pattern[str]
    ends: re.Pattern[str]
    roles: Mapping[str, str] = field(default_factory=dict)
    is_marked: bool = True
    last: frozenset[str] = frozenset()
    """The characters that what closes a turn ends with."""


def _format(
    name, turn, ends="", *, preamble=r"(?!)", roles=None, is_marked=True, unless=r"(?!)"
) -> Format:
    preamble = preamble.replace(" ", "[ ]")
    closed = "|".join(filter(None, (ends, _CLOSED)))
    return Format(
        name,
        turn=re.compile(turn, re.VERBOSE),
        begins=re.compile(rf"(?!{unless})\s*?(?:{turn}|{preamble})", re.VERBOSE),
        preamble=re.compile(preamble),
        ends=re.compile(rf"\s*(?:(?:{closed})\s*)+\Z"),
        roles=roles or {},
        is_marked=is_marked,
        last=frozenset(mark[-1] for mark in re.split(r"(?<!\\)\|", closed)),
    )


FORMATS = (
    _format(
        "ChatML",
        r"<\|im_start\|>\s*(?P<role>[\w.-]+)(?:[ ][^\n<]*)?(?:\s*<\|im_sep\|>|[ \t]*(?:\n|\Z))",
        r"<\|im_end\|>",
    ),
    _format(
        "Llama 3 and 4",
        r"""<\|(?:start_header_id|header_start)\|>\s*(?P<role>[\w.-]+)\s*
        <\|(?:end_header_id|header_end)\|>""",
        r"<\|eot_id\|>|<\|eom_id\|>|<\|eot\|>|<\|eom\|>",
    ),
    _format(
        "Llama 2 and Mistral",
        r"""(?P<role>\[/?INST\]|<<SYS>>|<</SYS>>|\[/?SYSTEM_PROMPT\]|\[/?AVAILABLE_TOOLS\]
        |\[TOOL_CALLS\]|\[/?TOOL_RESULTS\])""",
        roles={
            "[INST]": "user",
            "[/INST]": "assistant",
            "<<SYS>>": "system",
            "<</SYS>>": "user",
            "[SYSTEM_PROMPT]": "system",
            "[/SYSTEM_PROMPT]": "user",
            "[AVAILABLE_TOOLS]": "system",
            "[/AVAILABLE_TOOLS]": "user",
            "[TOOL_CALLS]": "assistant",
            "[TOOL_RESULTS]": "tool",
            "[/TOOL_RESULTS]": "assistant",
        },
    ),
    _format("Gemma", r"<start_of_turn>\s*(?P<role>\w+)[ \t]*(?:\n|\Z)", r"<end_of_turn>"),
    _format(
        "Command R",
        r"<\|START_OF_TURN_TOKEN\|>\s*<\|(?P<role>\w+?)_TOKEN\|>",
        r"<\|END_OF_TURN_TOKEN\|>",
    ),
    _format("Granite", r"<\|start_of_role\|>\s*(?P<role>\w+)\s*<\|end_of_role\|>"),
    _format(
        "Harmony",
        r"""<\|start\|>\s*(?P<role>[\w.]++)[^<]*+(?:<\|channel\|>(?P<channel>[^<]*))?
        (?:<\|constrain\|>[^<]*)?<\|message\|>""",
        r"<\|end\|>|<\|return\|>|<\|call\|>",
    ),
    _format(
        "Kimi",
        r"<\|im_(?:user|assistant|system|tool)\|>\s*(?P<role>\w+)\s*<\|im_middle\|>",
        r"<\|im_end\|>",
    ),
    _format(
        "DeepSeek",
        r"<\uff5c(?P<role>begin▁of▁sentence|User|Assistant|System)\uff5c>:?",
        r"<\uff5cend▁of▁sentence\uff5c>",
        roles={"begin▁of▁sentence": "system"},
    ),
    _format(
        "role tokens, as of Zephyr, Phi, Tulu and GLM",
        r"""<\|(?P<role>(?i:user|human|prompter|prompt|assistant|bot|answer|system|tool|observation
        |function))\|>:?""",
        r"<\|end\|>|<\|im_end\|>|<eoh>|<eoa>|<\|eot_id\|>",
        roles={"prompt": "user"},
    ),
    _format("OpenChat", r"GPT4[ ]Correct[ ](?P<role>User|Assistant):", r"<\|end_of_turn\|>"),
    _format(
        "names in brackets",
        r"<(?P<role>(?i:human|user|bot|assistant|system|gpt))>:",
        is_marked=False,
    ),
    _format(
        "headings, as of Alpaca and Guanaco",
        r"""(?<!\#)\#\#\#[ ]*(?P<role>Instruction|Input|Response|Human|User|Assistant|System)
        [ ]*(?::|(?=\n)|\Z)""",
        r"### *End",
        roles={"Instruction": "user", "Input": "+", "Response": "assistant"},
        preamble=_PREAMBLES,
        is_marked=False,
    ),
    _format(
        "Vicuna",
        r"(?:\A|(?<=\s)|(?<=</s>))(?P<role>USER|ASSISTANT|SYSTEM|GPT):",
        preamble=_PREAMBLES,
        is_marked=False,
    ),
    _format("HH-RLHF", rf"{_PARAGRAPH}(?P<role>Human|Assistant)[ ]?:"),
    _format(
        "names at paragraphs",
        rf"(?:\A\s*|{_PARAGRAPH})(?P<role>{_WORDS}){_COLON}",
        unless=_NAMES_AT_LINES,
        preamble=_PREAMBLES,
        is_marked=False,
    ),
    _format(
        "names at lines",
        rf"(?:\A\s*|(?<=\n)[ \t]*)(?P<role>{_WORDS}){_COLON}",
        preamble=_PREAMBLES,
        is_marked=False,
    ),
    _format(
        "Phi 2",
        r"(?:\A\s*|(?<=\n)[ \t]*)(?P<role>Instruct|Output):",
        roles={"Instruct": "user", "Output": "assistant"},
        is_marked=False,
    ),
    _format(
        "letters",
        rf"{_PARAGRAPH}(?P<role>[HA]):",
        roles={"H": "user", "A": "assistant"},
        is_marked=False,
    ),
)
"""The notations in the order in which they are tried."""

FIRST = re.compile(
    rf"\s*(?:[<\[\#\ufeff]|{_PREAMBLES}|GPT4[ ]Correct|BEGINNING OF|Instruct:"
    rf"|(?:{_WORDS}|USER|ASSISTANT|SYSTEM|GPT|H|A){_COLON})"
)
"""What all transcripts begin with, told at once."""
