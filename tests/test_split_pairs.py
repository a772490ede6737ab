from time import process_time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transcripts import LISTS, NO_SYSTEM, TURN_TEXT, WRITERS, conversations

from sklearn_codex._conversations.messages import as_messages
from sklearn_codex._conversations.prefixes import (
    cut_prefix,
    repeats_prompt,
    shared_prefix_marker,
)
from sklearn_codex._conversations.roles import Message
from sklearn_codex._conversations.split import Split, is_plain, split_pair
from sklearn_codex._conversations.template import write_prompt
from sklearn_codex._conversations.turns import add_overlapping, merge_turns, part_system
from sklearn_codex._data.records import check_records
from sklearn_codex.datasets import read_preferences

COLUMNS = ("prompt", "chosen", "rejected")


def split(prompt, first, second, **options):
    return split_pair(prompt, first, second, COLUMNS, "record 3", **options)


def said(*turns):
    """Return messages, each written as "user: text"."""
    pairs = [turn.split(": ", 1) for turn in turns]
    return [{"role": role, "content": content} for role, content in pairs]


def answer(text):
    return Message("assistant", text)


NOTATIONS = {
    **{
        f"list {name}": lambda turns, ask, write=write: write(turns)
        for name, write in LISTS.items()
    },
    **{f"text {name}": write for name, write in WRITERS.items()},
}


@settings(max_examples=60, deadline=None)
@given(
    asked=conversations(answered=False),
    pair=st.lists(TURN_TEXT, min_size=2, max_size=2),
    blank=st.sampled_from(["", " ", "\n"]),
)
def test_every_notation_of_a_pair_gives_the_same(asked, pair, blank):
    for name, write in NOTATIONS.items():
        no_system = name.removeprefix("text ") in NO_SYSTEM
        check_notation(write, part_system(asked)[1] if no_system else asked, pair, blank)


def check_notation(write, asked, pair, blank):
    """Check that a pair that is written in one notation, in whatever way, gives the same."""
    one, two = ([*asked, answer(text)] for text in pair)
    trailing = [*asked[:-1], asked[-1]._replace(content=asked[-1].content + blank), two[-1]]
    expected = Split(write_prompt(asked), *pair)
    assert split(None, write(one, False), write(trailing, False)) == expected
    for stated in (write(asked, True), write(asked, False), LISTS["messages"](asked)):
        assert split(stated, write(one, False), write(trailing, False)) == expected
    for stated in (write(asked, True), LISTS["messages"](asked)):
        assert split(stated, *pair) == expected
        assert split(stated, *map(LISTS["messages"], ([answer(text)] for text in pair))) == expected
    # A prompt of the last turn, and one that lacks the system turn.
    last = asked[-1].content
    assert split(last, write(one, False), write(trailing, False)) == expected
    no_system = LISTS["messages"]([turn for turn in asked if turn.role != "system"])
    assert split(no_system, write(one, False), write(two, False)) == expected


@settings(max_examples=200, deadline=None)
@given(asked=conversations(answered=False), one=conversations(False), two=conversations(False))
def test_longer_answers_keep_their_roles(asked, one, two):
    one, two = one[1:], two[1:]  # they begin with an answer
    assume(one[0] != two[0])
    expected = split(LISTS["messages"](asked), LISTS["messages"](one), LISTS["messages"](two))
    assert expected.prompt == write_prompt(asked)
    assert expected.first.startswith(one[0].content)
    assert expected.first.count("\n\nUser: ") == len(one) // 2
    for write in (LISTS["sharegpt"], lambda turns: WRITERS["ChatML"](turns, False)):
        assert split(None, write(asked + one), write(asked + two)) == expected


@settings(max_examples=300, deadline=None)
@given(st.text(), st.text(), st.text())
def test_ordinary_text_stays_as_it_is(prompt, first, second):
    assume(
        all(map(is_plain, (prompt, first, second))) and cut_prefix(prompt, first, second) is None
    )
    shown = prompt if prompt.strip() else None
    assert split(prompt, first, second) == Split(shown, first, second)
    assert split(None, first, second) == Split(None, first, second)


ASKED = "User: a\n\nAssistant: b\n\nUser: c"
BOTH = said("system: s", "user: a", "assistant: b", "user: c")
TALK = BOTH[1:]
YES, NO = said("assistant: yes"), said("assistant: no")


@pytest.mark.parametrize(
    ("prompt", "first", "second", "expected"),
    [
        # No prompt: what both begin with, up to the last turn that is not of the assistant.
        (None, BOTH + YES, BOTH + NO, (f"System: s\n\n{ASKED}", "yes", "no")),
        (None, TALK + YES, TALK + YES, (ASKED, "yes", "yes")),
        (None, TALK + YES, BOTH + NO, (f"System: s\n\n{ASKED}", "yes", "no")),
        (None, YES, NO, (None, "yes", "no")),
        (None, YES[0], NO[0], (None, "yes", "no")),
        (None, TALK + YES, TALK, (ASKED, "yes", "")),
        (None, TALK[:2], TALK + YES, ("a", "b", "b\n\nUser: c\n\nAssistant: yes")),
        (
            None,
            said("user: a", "assistant: b", "user: c") + YES,
            said("user: a", "assistant: b", "user: d") + NO,
            ("a", "b\n\nUser: c\n\nAssistant: yes", "b\n\nUser: d\n\nAssistant: no"),
        ),
        (
            None,
            said("system: s", "user: a") + YES,
            said("system: s", "user: b") + NO,
            (
                None,
                "System: s\n\nUser: a\n\nAssistant: yes",
                "System: s\n\nUser: b\n\nAssistant: no",
            ),
        ),
        (None, said("system: s") + YES, said("system: s") + NO, ("System: s", "yes", "no")),
        (None, "yes", NO, (None, "yes", "no")),
        # A prompt that responses repeat, wholly or in part.
        ("c", TALK + YES, TALK + NO, (ASKED, "yes", "no")),
        ("a", TALK + YES, TALK + NO, (ASKED, "yes", "no")),
        (" a\n", said("user: a") + YES, NO, ("a", "yes", "no")),
        (" a\n", said("user: a") + YES, "no", ("a", "yes", "no")),
        ("s", BOTH + YES, BOTH + NO, (f"System: s\n\n{ASKED}", "yes", "no")),
        ("a\nb\nc", TALK + YES, TALK + NO, (ASKED, "yes", "no")),
        (ASKED, TALK + YES, TALK + NO, (ASKED, "yes", "no")),
        (BOTH, TALK + YES, TALK + NO, (f"System: s\n\n{ASKED}", "yes", "no")),
        (TALK, BOTH + YES, NO, (f"System: s\n\n{ASKED}", "yes", "no")),
        (TALK, said("user: c") + YES, said("user: c") + NO, (ASKED, "yes", "no")),
        (TALK, TALK, TALK + NO, (ASKED, "", "no")),
        ([], TALK + YES, TALK + NO, (ASKED, "yes", "no")),
        (" ", "yes", "no", (None, "yes", "no")),
        # One that they do not: both are kept.
        ("p", TALK + YES, TALK + NO, (f"User: p\n\n{ASKED}", "yes", "no")),
        (said("system: p"), TALK + YES, TALK + NO, (f"System: p\n\n{ASKED}", "yes", "no")),
        # Answers that go on, or are begun in the prompt.
        ("\n\nHuman: a\n\nAssistant:", "yes\n\nHuman: b", "no", ("a", "yes\n\nUser: b", "no")),
        ("\n\nHuman: a\n\nAssistant: It", "is", "was", ("User: a\n\nAssistant: It", "is", "was")),
        ("<s>[INST] a [/INST]", "yes</s>", " no </s>", ("a", "yes", "no")),
        ("\n\nHuman: a", "\n\nAssistant: yes", "\n\nAssistant: no", ("a", "yes", "no")),
        ("<|im_start|>user\na<|im_end|>", "yes<|im_end|>", "no", ("a", "yes", "no")),
        # Text that looks like a transcript beside text that does not.
        (None, "User: a\nAssistant: b", "no", (None, "User: a\nAssistant: b", "no")),
        ("p", "User: a\nAssistant: b", "no", ("p", "User: a\nAssistant: b", "no")),
        # Calls of tools belong to the prompt where both responses follow them.
        (
            None,
            said("user: a", "assistant: look", "tool: 4") + YES,
            said("user: a", "assistant: look", "tool: 4") + NO,
            ("User: a\n\nAssistant: look\n\nTool: 4", "yes", "no"),
        ),
    ],
)
def test_pairs(prompt, first, second, expected):
    assert split(prompt, first, second) == Split(*expected)
    shown, *answers = expected
    assert split(prompt, second, first) == Split(shown, *answers[::-1])


@pytest.mark.parametrize(
    ("first", "second", "error", "match"),
    [
        (
            TALK + YES,
            "no",
            ValueError,
            "record 3 has as chosen a conversation of 4 messages that begins with the role 'user', "
            "and as rejected text, 'no', so that nothing tells .* into prompt.",
        ),
        ("no", TALK + YES, ValueError, "has as rejected a conversation .* as chosen text, 'no'"),
        (
            [],
            "no",
            TypeError,
            r"record 3 should have text .* as chosen, got a list: \[\], which is",
        ),
        ("no", 3, TypeError, "record 3 should have text or messages .* as rejected, got a int: 3"),
        (
            "no",
            None,
            TypeError,
            "record 3 should have text or messages .* as rejected, got a NoneT",
        ),
    ],
)
def test_responses_that_do_not_go_together(first, second, error, match):
    with pytest.raises(error, match=match) as caught:
        split(None, first, second)
    assert "\n" not in str(caught.value)


def test_reasoning_is_told():
    thought = [{"role": "assistant", "content": "yes", "reasoning_content": "Hm."}]
    expected = Split("a", "<think>\nHm.\n</think>\n\nyes", "no", True)
    assert split(said("user: a"), thought, NO) == split("a", thought, NO) == expected
    assert split("a", "<think>\nHm.\n</think>\n\nyes", "no") == expected._replace(reasoning=False)
    before = said("user: a") + thought + said("user: b")
    assert split(before, YES, NO).reasoning


@pytest.mark.parametrize(
    ("prompt", "first", "second", "cut"),
    [
        ("Is it 4?", "Is it 4? Yes.", " Is it 4?\nNo.", ("Yes.", "No.")),
        ("One is larger than\n", "One is larger than 0", "One is larger than 2", ("0", "2")),
        ("Hi", "Hi\n\nYes", "Hi\nNo", ("Yes", "No")),
        ("Hi", "Hi! Yes", "Hi, no", None),
        ("Is it 4?", "Is it 4? Yes.", "No.", None),
        ("Is it 4?", "Is it 4?", "Is it 4? No.", None),  # nothing would be left of the first
        ("One is larger tha", "One is larger than", "One is larger that", None),
        ("天" * 16, "天" * 16 + "好", "天" * 16 + "坏", ("好", "坏")),
        ("What is it?", "What is it?\n\nAssistant: A", "What is it?\n\nAssistant: B", ("A", "B")),
    ],
)  # fmt: skip
def test_prompts_that_text_repeats(prompt, first, second, cut):
    assert cut_prefix(prompt, first, second) == cut
    assert split(prompt, first, second) == Split(prompt, *(cut or (first, second)))
    assert split(prompt, first, second, repeats=None) == Split(prompt, first, second)


def test_files_whose_responses_repeat_their_prompts():
    prompts = [f"p{row}" for row in range(20)]
    good, bad = ([f"{prompt} {word}" for prompt in prompts] for word in ("yes", "no"))
    assert repeats_prompt(prompts, good, bad)
    assert repeats_prompt([*prompts, None], [*good, "x"], [*bad, "y"])
    assert not repeats_prompt(prompts[:7], good[:7], bad[:7])
    assert not repeats_prompt(prompts, ["yes"] * 2 + good[2:], bad)
    assert split("p1", "p1 yes", "p1 no") == Split("p1", "p1 yes", "p1 no")
    assert split("p1", "p1 yes", "p1 no", repeats=True) == Split("p1", "yes", "no")


WORDS = ("the", "a", "rain", "sun", "moves", "over", "under", "hill", "sea", "slowly")
MARKERS = ("\n\nTL;DR:", "\nAnswer:", "\n### Response:\n", " ASSISTANT:", "\n[/INST]", "\nA:")


@settings(max_examples=60, deadline=None)
@given(
    marker=st.sampled_from(MARKERS),
    seed=st.integers(0, 2**32 - 1),
    n_rows=st.integers(8, 30),
    shared=st.sampled_from(["", "The ", " I think "]),
    equal=st.booleans(),
)
def test_prompts_before_a_marker_are_found(marker, seed, n_rows, shared, equal):
    rng = np.random.RandomState(seed)
    prompts = [f"Q: {row} {' '.join(rng.choice(WORDS, 6))}{marker}" for row in range(n_rows)]
    good, bad = (
        [f"{prompt} {shared}{word} {' '.join(rng.choice(WORDS, 4))}" for prompt in prompts]
        for word in ("yes", "no")
    )
    if equal:  # a pair that says nothing of where the prompt ends
        prompts, good, bad = [*prompts, prompts[0]], [*good, good[0]], [*bad, good[0]]
    assert shared_prefix_marker(good, bad) == [
        len(prompt.rstrip("\n")) + marker.endswith("\n") for prompt in prompts
    ]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), start=st.sampled_from(["I think", "Answer: it", "Sure:\n", ""])
)
def test_responses_that_begin_alike_have_no_prompt(seed, start):
    rng = np.random.RandomState(seed)
    pairs = [[f"{start} {' '.join(rng.choice(WORDS, 9))}" for _ in "ab"] for _ in range(20)]
    assert shared_prefix_marker(*zip(*pairs, strict=True)) is None


def test_markers_of_few_rows_or_far_from_the_answer_are_none():
    posts = [f"POST: {row} {' '.join(WORDS)} {' '.join(WORDS)}." for row in range(20)]
    assert shared_prefix_marker([p + " Yes" for p in posts], [p + " No" for p in posts]) is None
    asked = [f"{row}?\nAnswer:" for row in range(20)]
    good, bad = ([f"{question} {word}" for question in asked] for word in ("yes", "no"))
    assert shared_prefix_marker(good, bad) == list(map(len, asked))
    assert shared_prefix_marker(good[:7], bad[:7]) is None
    assert shared_prefix_marker(good, good) is None
    assert shared_prefix_marker([*good, "x"], [*bad, "y"]) == [*map(len, asked), 0]
    assert shared_prefix_marker(good[:10] + ["x"] * 10, bad[:10] + ["y"] * 10) is None
    assert shared_prefix_marker(["Q?\nAnswer: yes"] * 20, ["Q?\nAnswer: no"] * 20) is None


@settings(max_examples=60, deadline=None)
@given(
    asked=conversations(answered=False),
    pair=st.lists(TURN_TEXT, min_size=2, max_size=2),
    name=st.sampled_from(list(NOTATIONS)),
)
def test_records_and_readers_read_the_same(asked, pair, name):
    if name.removeprefix("text ") in NO_SYSTEM:
        asked = part_system(asked)[1]
    one, two = (NOTATIONS[name]([*asked, answer(text)], False) for text in pair)
    rows = [
        {"chosen": one, "rejected": two},
        {"prompt": write_prompt(asked), "chosen": pair[0], "rejected": pair[1]},
        {"prompt": NOTATIONS[name](asked, True), "chosen": pair[0], "rejected": pair[1]},
        {"prompt": None, "chosen": one, "rejected": two, "tools": [{"type": "function"}]},
    ]
    records, data = check_records(rows, subject="Reader"), read_preferences(rows)
    assert list(map(list, zip(records.prompt, records.text, records.other, strict=True))) == [
        [write_prompt(asked), *(pair if row % 2 == 0 else pair[::-1])] for row in range(4)
    ]
    assert data.X.tolist() == list(
        map(list, zip(records.prompt, records.text, records.other, strict=True))
    )
    assert data.groups.tolist() == [0] * 4
    demonstrations = check_records([{"completion": one}], subject="Reader")
    assert (demonstrations.prompt, demonstrations.text) == ([write_prompt(asked)], [pair[0]])


MARKS = (
    "<|im_start|>", "user\n", "<|im_end|>", "[INST]", "[/INST]", "<<SYS>>", "\n\nHuman:", "Human: ",
    "\n\nAssistant:", "\nAssistant: ", "USER:", " ASSISTANT:", "### Instruction:", "### Response:",
    "<|user|>", "<|assistant|>", "</s>", "<s>", "You are ", "\n", " ", "a", "[{", "}]",
    "'role': 'user'", '"content": ', "{", "<start_of_turn>", "<|start|>", "<|message|>",
    "<|channel|>analysis", "None", "'",
)  # fmt: skip
MARKED_TEXT = st.lists(st.sampled_from(MARKS), max_size=9).map("".join)
KEYS = ("role", "content", "from", "value", "text", "type", "tool_calls", "parts", "user",
        "assistant", "messages", "name", "reasoning", "system", "data")  # fmt: skip
NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["user", "gpt", "text", "a", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
        | st.lists(inner, max_size=2).map(tuple)
    ),
    max_leaves=12,
)


FEW_TURNS = st.lists(
    st.sampled_from([Message(role, text) for role in ("user", "assistant") for text in "ab"]),
    max_size=7,
)


@settings(max_examples=300, deadline=None)
@given(turns=FEW_TURNS, others=FEW_TURNS)
def test_turns_that_two_conversations_share_stand_once(turns, others):
    overlaps = [
        n for n in range(min(len(turns), len(others)) + 1) if turns[len(turns) - n :] == others[:n]
    ]
    assert add_overlapping(turns, others) == turns + others[max(overlaps) :]
    if any(turns[i : i + len(others)] == others for i in range(len(turns))):
        assert merge_turns(others, turns) == merge_turns(turns, others) == turns


@settings(max_examples=400, deadline=None)
@given(prompt=MARKED_TEXT | NESTED, first=MARKED_TEXT | NESTED, second=MARKED_TEXT | NESTED)
def test_anything_is_read_or_refused_in_one_line(prompt, first, second):
    try:
        found = split(prompt, first, second)
    except (TypeError, ValueError) as error:
        message = str(error)
    else:
        assert found.prompt is None or found.prompt.strip()
        assert split(prompt, second, first)[1:3] == (found.second, found.first)
        same = split(prompt, first, first)
        assert same.first == same.second
        return
    assert message.startswith(("record 3 has ", "record 3 should "))
    assert "\n" not in message
    assert any(f" {column}" in message for column in COLUMNS)


def test_long_conversations_take_no_longer_than_their_length():
    turns = said("user: a", "assistant: b") * 5000 + said("user: c")
    text = write_prompt(as_messages(turns, "prompt", "record 3"))
    start = process_time()
    for prompt in (None, "c", "d", turns, text, text + " d"):
        found = split(prompt, turns + YES, turns + NO)
        assert (found.first, found.second) == ("yes", "no")
        assert found.prompt.endswith(text)
    assert process_time() - start < 20
