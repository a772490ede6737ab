import io
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transcripts import LISTS, conversations

from sklearn_codex._conversations.cells import LITERAL_LIMIT, as_turns, decode_cell
from sklearn_codex._conversations.gathering import gather_prompt
from sklearn_codex._conversations.messages import as_messages
from sklearn_codex._conversations.roles import Message, fold_role
from sklearn_codex._conversations.template import join_input, write_prompt, write_response

HI, YES = Message("user", "Hi"), Message("assistant", "Yes?")
CALL = {"name": "look", "arguments": {"b": [1], "a": "é"}}
WRITTEN = '<tool_call>\n{"name": "look", "arguments": {"a": "é", "b": [1]}}\n</tool_call>'


def read(value):
    return as_messages(value, "chosen", "record 3")


@pytest.mark.parametrize("name", LISTS)
@settings(max_examples=40, deadline=None)
@given(turns=conversations())
def test_messages_come_back_from_every_kind_of_list(name, turns):
    assert read(LISTS[name](turns)) == turns


@pytest.mark.parametrize(
    "value",
    [
        [["Hi", "Yes?"]],
        np.array([["Hi", "Yes?"]]),
        [("user", "Hi"), ("ai", "Yes?")],
        [{"user": "Hi", "assistant": "Yes?"}],
        [{"human": "Hi", "gpt": "Yes?", "system": None}],
        {"question": "Hi", "answer": "Yes?"},
        [{"prompt": "Hi", "response": "Yes?"}],
        {"messages": [{"role": "USER", "content": "Hi"}, {"role": "bot", "content": "Yes?"}]},
        [{"role": "user", "content": "Hi", "name": "Ann"}, {"from": "gpt", "value": "Yes?"}],
        [{"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Hi"]}}, YES],
        {"from": ["human", "gpt"], "value": ["Hi", "Yes?"]},
        {"role": np.array(["user", "assistant"]), "content": np.array(["Hi", "Yes?"])},
        [HI, YES],
        [
            {"type": "human", "data": {"content": "Hi"}},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Yes?"}],
            },
        ],
        '[{"user": "Hi", "assistant": "Yes?"}]',
        '{"messages": [{"role": "user", "content": "Hi"}, {"from": "gpt", "value": "Yes?"}]}',
        "\n[{'role': 'user', 'content': 'Hi'} {'role': 'assistant', 'content': \"Yes?\"}]\n",
    ],
)
def test_conversations(value):
    assert read(value) == [HI, YES]


def test_a_bare_message_is_a_conversation():
    for message in (
        {"role": "assistant", "content": "Yes?"},
        {"from": "gpt", "value": "Yes?"},
        YES,
    ):
        assert read(message) == [YES]
    assert read('{"role": "assistant", "content": "Yes?"}') == [YES]
    assert read([]) == []


def test_system_turns_beside_the_list():
    value = {"system": "Rhyme.", "conversations": [{"from": "human", "value": "Hi"}]}
    assert read(value) == [Message("system", "Rhyme."), HI]
    turn = {"system": "Rhyme.", "user": "Hi", "assistant": "Yes?"}
    assert read([turn]) == [Message("system", "Rhyme."), HI, YES]


def test_cells_of_frames():
    rows = [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]]
    table = pytest.importorskip("pyarrow").table({"a": rows})
    assert read(pl.DataFrame({"a": rows})["a"].to_list()[0]) == [HI, YES]
    assert read(table.to_pandas()["a"][0]) == [HI, YES]
    written = pd.read_csv(io.StringIO(table.to_pandas().to_csv()))  # without commas
    assert "}\n {" in written["a"][0]
    assert read(written["a"][0]) == [HI, YES]


@pytest.mark.parametrize(
    "text",
    [
        "Hi",
        "",
        "[see below]",
        "[1, 2]",
        "{}",
        "[]",
        '["a", "b"]',
        '{"answer": 4}',
        '[["a", "b"]]',
        '[{"question": "a", "answer": "b"}]',
        '[{"from": "Rome", "to": "Bonn", "text": "2 h"}]',
        '[{"role": "user"}]',
        '{"user": "Ann"}',
        "[" * 100_000 + "]" * 100_000,
        "[" + "'\\" * 100_000 + "]",
        '{"role": "user", "role": "user", "content": "a"}',
        "[__import__('os').getcwd()]",
    ],
)
def test_text_that_holds_no_messages_stays_text(text):
    assert read(text) is None


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="[]{}'\",:\\ \na1N", max_size=30))
def test_any_text_is_text_or_messages(text):
    for told in (text, f"[{text}]", f"{{{text}}}"):
        assert read(told) is None


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        ("human HUMAN prompter user question", "user"),
        ("gpt Bot model chatbot ai assistant", "assistant"),
        ("system developer", "system"),
        ("function observation tool ipython", "tool"),
    ],
)
def test_roles_are_folded(value, roles):
    assert {fold_role(f" {name}") for name in value.split()} == {roles}
    assert fold_role("Critic ") == "critic"


@pytest.mark.parametrize(
    "message",
    [
        {"content": "Hm.", "tool_calls": [{"id": "1", "type": "function", "function": CALL}]},
        {"content": "Hm.", "tool_calls": [CALL]},
        {"content": "Hm.", "tool_calls": np.array([CALL], dtype=object)},
        {"content": "Hm.", "tool_calls": json.dumps([CALL])},
        {"content": "Hm.", "tool_calls": [{**CALL, "arguments": json.dumps(CALL["arguments"])}]},
        {"content": "Hm.", "tool_calls": [{**CALL, "arguments": {**CALL["arguments"], "c": None}}]},
        {"content": "Hm.", "function_call": CALL},
        {
            "content": [
                {"type": "text", "text": "Hm."},
                {"type": "tool_use", "id": "1", "name": "look", "input": CALL["arguments"]},
            ]
        },
    ],
)
def test_calls_of_tools_are_written_in_one_way(message):
    assert read([{"role": "assistant", **message}]) == [Message("assistant", f"Hm.\n{WRITTEN}")]


def test_calls_without_content():
    for content in (None, "", [], float("nan")):
        message = {"role": "assistant", "content": content, "tool_calls": [CALL]}
        assert read([message]) == [Message("assistant", WRITTEN)]
    assert read([{"role": "tool", "content": {"b": 1, "a": None}}]) == [Message("tool", '{"b": 1}')]
    result = [{"type": "tool_result", "content": [{"type": "text", "text": "4"}]}]
    assert read([{"role": "user", "content": result}]) == [Message("user", "4")]


@pytest.mark.parametrize(
    "message",
    [
        {"content": "4", "reasoning_content": "2 + 2"},
        {"content": "4", "reasoning": " 2 + 2\n", "reasoning_content": "2 + 2"},
        {"content": "4", "thinking": "2 + 2"},
        {"content": [{"type": "thinking", "thinking": "2 + 2"}, {"type": "text", "text": "4"}]},
        {"content": "<think>\n2 + 2\n</think>\n\n4", "reasoning": "2 + 2"},
    ],
)
def test_reasoning_is_kept_and_marked(message):
    text = "<think>\n2 + 2\n</think>\n\n4"
    assert read([{"role": "assistant", **message}]) == [Message("assistant", text, True)]
    assert read([{"role": "assistant", "content": text}]) == [Message("assistant", text, False)]


def test_blank_reasoning_is_none():
    for blank in ("", None, " \n"):
        message = {"role": "assistant", "content": "4", "reasoning_content": blank}
        assert read([message]) == [Message("assistant", "4", False)]


def test_content_parts_are_joined_by_a_newline():
    parts = [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}, "c"]
    assert read([{"role": "user", "content": parts}]) == [Message("user", "a\nb\nc")]
    assert read(parts[:2]) == [Message("", "a\nb")]
    assert read(json.dumps(parts[:2])) == [Message("", "a\nb")]


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (np.float64(3), TypeError, "record 3 should have text or messages .* got a float64"),
        (3, TypeError, "record 3 should have text or messages .* as chosen, got a int: 3"),
        (b"a", TypeError, "record 3 should have text .* got a bytes"),
        ({"answer": "a"}, TypeError, "record 3 should have text .* got a dict"),
        (["a"], TypeError, "record 3 should have messages of a str role .* as chosen, got 'a'"),
        ([{"role": "user", "content": None}], TypeError, "a str role and a str content"),
        ([{"content": "a"}], TypeError, "a str role and a str content"),
        ([["a", "b", "c"]], TypeError, "a str role and a str content"),
        ({"role": ["user"], "content": ["a", "b"]}, TypeError, "got a dict"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a"}}]}],
            ValueError,
            "record 3 has in chosen a part with 'image_url', of which text says nothing. .*leave",
        ),
        ([{"role": "user", "content": [{"type": "image"}]}], ValueError, "of type 'image'"),
        ([{"role": "user", "content": "a", "images": ["b"]}], ValueError, "with 'images'"),
        ([{"role": "user", "content": [3]}], ValueError, "content that is a int, 3"),
        ([{"role": "user", "content": [{"type": "text"}]}], ValueError, "a part without text"),
        (
            [{"role": "user", "content": "a", "value": "b"}],
            ValueError,
            "says two things, {'content': 'a', 'value': 'b'}",
        ),
        (
            [{"role": "assistant", "content": "a", "tool_calls": [{"arguments": {}}]}],
            ValueError,
            "a call of a tool without a name",
        ),
        (
            '[{"role": "user", "content": "cut o',
            ValueError,
            "record 3 has as chosen a text that begins as a list of messages, but is cut off",
        ),
        ("[{'role': 'user', 'content': 'it's'}]", ValueError, "cut off or damaged"),
    ],
)
def test_other_values_are_an_error(value, error, match):
    with pytest.raises(error, match=match) as caught:
        read(value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("record 3 ")


def test_deep_parts_are_an_error():
    part = {"type": "text", "text": "a"}
    for _ in range(3000):
        part = {"type": "tool_result", "content": [part]}
    with pytest.raises(ValueError, match="as chosen that are nested too deeply"):
        read([{"role": "tool", "content": [part]}])


@pytest.mark.parametrize(
    ("value", "turns"),
    [
        ('["a", null]', ["a", None]),
        ("['a', None]", ["a", None]),
        ("['a' 'b'\n \"it's\"]", ["a", "b", "it's"]),
        ("['a' None 'b']", ["a", None, "b"]),
        ("array(['a', 'b'], dtype=object)", None),
        (["a", "b"], ["a", "b"]),
        (np.array(["a", "b"]), ["a", "b"]),
        (("a",), ["a"]),
        ("[]", None),
        ("[1]", None),
        ("a", None),
        (3, None),
        (None, None),
    ],
)
def test_lists_of_turns(value, turns):
    assert as_turns(value) == turns


def test_decoding_is_bounded():
    assert decode_cell(f"['{'a' * LITERAL_LIMIT}']") is None
    assert decode_cell(f'["{"a" * LITERAL_LIMIT}"]') == ["a" * LITERAL_LIMIT]  # JSON takes its size
    assert decode_cell("[{'a': array([{'b': nan}], dtype=object)}]") == [{"a": [{"b": None}]}]
    assert decode_cell('[{"a": "array([ nan"} {"b": \'] [\'}]') == [
        {"a": "array([ nan"},
        {"b": "] ["},
    ]


def test_templates():
    system = Message("system", " Rhyme. ")
    assert write_prompt([]) == ""
    assert write_prompt([Message("", " Hi\n")]) == "Hi"
    assert write_prompt([system]) == "System: Rhyme."
    assert write_prompt([system, HI, YES]) == "System: Rhyme.\n\nUser: Hi\n\nAssistant: Yes?"
    assert write_prompt([Message("critic", "No"), Message("user", "")]) == "Critic: No\n\nUser:"
    assert write_response([YES]) == write_response([Message("user", "Yes? ")]) == "Yes?"
    assert write_response([YES, HI]) == "Yes?\n\nUser: Hi"
    assert write_response([HI, YES]) == "User: Hi\n\nAssistant: Yes?"
    assert write_response([]) == write_response([Message("assistant", "")]) == ""
    assert join_input("a", None) == "a"
    assert join_input(" ", "b") == "b"


def gather(*parts):
    return gather_prompt([(role, value, "column") for role, value in parts], "record 3")


@pytest.mark.parametrize(
    "history",
    [
        [["Hi", "Yes?"]],
        '[["Hi", "Yes?"]]',
        "[['Hi', 'Yes?']]",
        ["Hi", "Yes?"],
        '["Hi", "Yes?"]',
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}],
        "\n\nHuman: Hi\n\nAssistant: Yes?",
        [["Hi", "Yes?"], ["No", None]],
    ],
)
def test_prompts_of_several_columns(history):
    parts = [("system", "Rhyme."), ("history", history), ("user", "No")]
    assert gather(*parts) == [Message("system", "Rhyme."), HI, YES, Message("user", "No")]


def test_missing_parts_of_prompts_are_left_out():
    assert gather(("system", None), ("history", []), ("user", "Hi"), ("user", " ")) == [HI]
    assert gather(("system", float("nan")), ("history", "Hi")) == [HI]
    with pytest.raises(TypeError, match=r"record 3 should have text or messages .* as column"):
        gather(("user", 3))
