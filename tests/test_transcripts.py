from time import process_time

import pytest
from hypothesis import given, settings
from transcripts import NO_SYSTEM, TURN_TEXT, WRITERS, conversations

from sklearn_codex._conversations.formats import FORMATS
from sklearn_codex._conversations.roles import Message
from sklearn_codex._conversations.template import write_prompt, write_response
from sklearn_codex._conversations.transcripts import parse, parse_transcript

N = 100_000
HI, YES = Message("user", "Hi"), Message("assistant", "Yes?")


def test_every_notation_has_a_writer_here():
    assert [form.name for form in FORMATS if form.name not in WRITERS] == []


@pytest.mark.parametrize("name", WRITERS)
def test_notations_are_told(name):
    parsed = parse(WRITERS[name]([HI, YES], False))
    assert parsed is not None
    assert parsed[1] == [HI, YES]
    if name in {form.name for form in FORMATS}:
        assert parsed[0].name == name


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40, deadline=None)
@given(turns=conversations())
def test_turns_come_back_from_every_notation(name, turns):
    if name in NO_SYSTEM and turns[0].role == "system":
        turns = turns[1:]
    assert parse_transcript(WRITERS[name](turns, False)) == turns
    if len(turns) > 2:
        assert parse_transcript(WRITERS[name](turns[:-1], True)) == turns[:-1]


@settings(max_examples=100, deadline=None)
@given(turns=conversations())
def test_what_is_written_is_read_and_written_as_it_was(turns):
    text = write_prompt(turns)
    assert write_prompt(parse_transcript(text)) == text
    assert write_response(turns[-1:]) == turns[-1].content
    assert write_prompt([Message("user", f" {text}\n")]) == text


@settings(max_examples=300, deadline=None)
@given(text=TURN_TEXT)
def test_ordinary_text_is_no_transcript(text):
    for told in (text, f"{text} Human: {text}\n\nAssistant: {text}", f"{text}\n\nUSER: ASSISTANT:"):
        assert parse_transcript(told) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1] a source",
        "<div>USER: a ASSISTANT: b</div>",
        "Human: the species",
        "A: the first answer",
        "### Response:\nNo instruction before it.",
        "### Input: a\n\n### Response: b",
        "You are told to write USER: as it is.",
        "Below is an instruction of mine.",
        "#### Instruction: a\n#### Response: b",
        "He wrote:\n\nHuman: a\n\nAssistant: b",
        "ChatML is <|im_start|>user\nHi<|im_end|>",
    ],
)
def test_text_that_mentions_marks_is_no_transcript(text):
    assert parse_transcript(text) is None


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        (
            "A chat between two. USER: Hi ASSISTANT: Yes?</s>",
            [("system", "A chat between two."), HI, YES],
        ),
        (
            "Below is an instruction.\n\n### Instruction:\na\n\n### Input:\nb\n\n### Response:",
            [("system", "Below is an instruction."), ("user", "a\nb")],
        ),
        (
            "### Instruction:\na\n\n### Input:\n\n\n### Response:\nb",
            [("user", "a"), ("assistant", "b")],
        ),
        ("BEGINNING OF CONVERSATION: USER: Hi ASSISTANT:Yes?", [HI, YES]),
        (" \n<s> <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", [HI]),
        ("<|im_start|>assistant\n", [("assistant", "")]),
        ("[gMASK]<sop><|user|>\nHi<|assistant|>\nYes?<|endoftext|><|endoftext|>", [HI, YES]),
        ("\n\nHuman: Hi\n\nAssistant:\n\nHuman: ?", [HI, ("assistant", ""), ("user", "?")]),
        (
            "\n\nHuman: Hi\n\nAssistant: Yes?\nHuman: no turn",
            [HI, ("assistant", "Yes?\nHuman: no turn")],
        ),
        ("<|user|>\nHi<|end|>\n<|tool|>\n3<|end|>", [HI, ("tool", "3")]),
        ("用户\uff1aHi\n助手\uff1aYes?", [HI, YES]),
        (
            "<|start|>user<|message|>Hi<|end|><|start|>assistant<|channel|>analysis<|message|>Hm"
            "<|end|><|start|>assistant<|channel|>final<|message|>Yes?<|return|>",
            [HI, Message("assistant", "<think>\nHm\n</think>\n\nYes?", True)],
        ),
    ],
)
def test_transcripts(text, turns):
    assert parse_transcript(text) == [Message(*turn) for turn in turns]


def test_open_turns_are_kept_where_asked_for():
    assert parse("\n\nHuman: Hi\n\nAssistant:")[1] == [HI, Message("assistant", "")]


@pytest.mark.parametrize(
    "text",
    [
        "### Instruction: a" + " " * N + "b",
        "### Instruction: a" + "\n" * N + "b",
        "\n\nHuman: a" + "\n" * N + "b",
        "\n\nHuman: a" + "\n \n" * N + "b",
        "\n\nH: a" + "\n\t" * N + "b",
        "Human: a" + "\n" * N + "b",
        "Human: a" + " \n" * N + "\nHuman",
        " " * N + "[a",
        "\n" * N + "You are a",
        "<|start|>" + "a" * N,
        "<|im_start|>" * N,
        "<|im_start|>" + " " * N,
        "<|user|>a" + "</s> " * N,
        "<s>" * N,
        "[INST]" * N,
        "A chat between" + " USER:" * N,
        "You are" + "\nHuman:" * N,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_long_text_takes_no_longer_than_its_length(text):
    start = process_time()
    parse_transcript(text)
    assert process_time() - start < 5
