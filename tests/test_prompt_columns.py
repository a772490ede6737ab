"""Where the prompt of a row is, by the names of its columns."""

import json
import re

import pytest
from pair_columns import ROWS, labelled, oriented

from sklearn_codex._layouts.given import Given
from sklearn_codex.datasets import read_preferences
from sklearn_codex.datasets._readers import read_given


@pytest.mark.parametrize(
    "prompt",
    [
        *[
            "prompt",
            "instruction",
            "question",
            "query",
            "history",
            "input",
            "context",
            "user_prompt",
            "user_input",
            "problem",
            "request",
            "post",
            "article",
            "document",
            "passage",
            "prompt_text",
            "text_prompt",
            "input_text",
            "Question",
            "original_prompt",
            "orig_instruction",
            "full_question",
            "prompts",
            "text",
        ],
        "User Prompt",
        "userPrompt",
        "Input.prompt",
        "data.question",
        "task",
        "title",
    ],
)
def test_prompts_under_every_common_name(prompt):
    for rows in (oriented(prompt=prompt, source="the web", id=3), labelled("a", "b", prompt)):
        data = read_preferences(rows)
        assert data.X[:, 0].tolist() == [row[0] for row in ROWS]
        assert data.groups.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "name", ["source", "category", "id", "prompt_id", "model", "ground_truth", "reference_answer",
             "prompt_template", "task_type", "notes", "rationale"],
)  # fmt: skip
def test_what_is_no_prompt(name):
    data = read_preferences(oriented(prompt=name))
    assert data.X[:, 0].tolist() == ["", "", ""]
    assert data.groups.tolist() == [0, 1, 2]
    assert list(data.columns) == data.unused_text == [name]
    assert data.notes[0] == "No prompt was found, so that each pair counts as a prompt of its own."
    assert f'If one of them has the prompt, say prompt="{name}".' in data.notes[1]
    command = read_given(oriented(prompt=name), Given(command=True), "")
    assert f"say --prompt {name}." in command.notes[1]


@pytest.mark.parametrize("name", ["task", "context", "text", "title"])
def test_names_of_kinds_are_no_prompts(name):
    rows = [{name: "math", "chosen": a, "rejected": b} for _, a, b in ROWS]
    data = read_preferences(rows)
    assert data.groups.tolist() == [0, 1, 2]
    assert data.unused_text == []
    assert data.notes == ["No prompt was found, so that each pair counts as a prompt of its own."]


@pytest.mark.parametrize("key", ["prompt_id", "question_id", "Prompt ID", "qid", "promptIdx"])
def test_keys_of_prompts_are_said(key):
    rows = [{key: i % 2, "chosen": a, "rejected": b} for i, (_, a, b) in enumerate(ROWS)]
    data = read_preferences(rows)
    assert data.unused_keys == [key]
    assert f'groups="{key}" makes groups of them.' in data.notes[-1]
    assert read_preferences(rows, groups=key).groups.tolist() == [0, 1, 0]
    assert read_preferences(rows, groups=key).notes == ["No prompt was found."]


def test_pairs_without_the_prompt_that_others_have_are_counted():
    rows = oriented(prompt="question", text="words that could be one")
    rows[1]["question"] = None
    data = read_preferences(rows)
    assert data.X[:, 0].tolist() == [ROWS[0][0], "", ROWS[2][0]]
    assert data.groups.tolist() == [0, 1, 0]
    assert list(data.columns) == ["text"]
    assert data.notes == [
        "1 of 3 pairs has no prompt, and each of these counts as a prompt of its own."
    ]
    given = read_preferences(rows, prompt="question")
    assert given.X.tolist() == data.X.tolist()


def test_one_prompt_of_all_pairs_is_said():
    rows = [{"prompt": "Answer the question.", "q_text": p, "chosen": a, "rejected": b}
            for p, a, b in ROWS]  # fmt: skip
    data = read_preferences(rows)
    assert data.notes[0] == "All 3 pairs have the same prompt."
    assert "Columns of text that are not used: q_text." in data.notes[1]
    assert read_preferences(rows, prompt="q_text").notes == ["The prompt is q_text."]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"instruction": "Say it.", "input": "Now."}, "Say it.\nNow."),
        ({"instruction": "Say it.", "input": " "}, "Say it."),
        ({"instruction": "Say it.", "input": None}, "Say it."),
        ({"instruction": "", "input": "Now."}, "Now."),
        ({"instruction": "Say it now.", "input": "now"}, "Say it now.\nnow"),
        ({"question": "Who is it?", "context": "An owl called."}, "Who is it?\nAn owl called."),
        ({"question": "Who?", "prompt": "Owls call.\nWho?\n"}, "Owls call.\nWho?\n"),
        ({"prompt": "An owl called. Who is it?", "context": "An owl called."},
         "An owl called. Who is it?\nAn owl called."),
        ({"title": "Owls", "post": "Who has heard one?"}, "Owls\nWho has heard one?"),
        ({"system": "Be brief.", "question": "Who?"}, "System: Be brief.\n\nUser: Who?"),
        ({"system_prompt": "", "question": "Who?"}, "Who?"),
        ({"history": [["Hi", "Hello"]], "query": "Who?"},
         "User: Hi\n\nAssistant: Hello\n\nUser: Who?"),
        ({"history": "Human: Hi\n\nAssistant: Hello", "query": "Who?"},
         "User: Hi\n\nAssistant: Hello\n\nUser: Who?"),
        ({"history": "An owl called.", "query": "Who?"},
         "User: An owl called.\n\nUser: Who?"),
        ({"chat_history": [{"role": "user", "content": "Hi"},
                           {"role": "assistant", "content": "Hello"}], "prompt": "Who?"},
         "User: Hi\n\nAssistant: Hello\n\nUser: Who?"),
        ({"system": "Be brief.", "conversations": [{"from": "human", "value": "Who?"}]},
         "System: Be brief.\n\nUser: Who?"),
        ({"prompt": "Who?", "messages": [{"role": "user", "content": "Who?"},
                                         {"role": "assistant", "content": "An owl."}]}, "Who?"),
        ({"prompt": "Who?", "messages": [{"role": "system", "content": "Be brief."},
                                         {"role": "user", "content": "Who?"}]},
         "System: Be brief.\n\nUser: Who?"),
    ],
)  # fmt: skip
def test_columns_that_make_one_prompt(columns, expected):
    data = read_preferences([{**columns, "chosen": "An owl.", "rejected": "A crow."}])
    assert data.X.tolist() == [[expected, "An owl.", "A crow."]]


def test_prompts_of_several_columns_are_said():
    data = read_preferences(oriented(prompt="question", context="In a book."))
    assert data.notes == ["The prompt is question and context, joined."]
    alone = read_preferences(oriented(prompt="question", context="In a book."), prompt="Question")
    assert alone.X[:, 0].tolist() == [row[0] for row in ROWS]
    assert list(alone.columns) == ["context"]


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        (
            {"prompt": "Answer it.", "question": "Who?"},
            "prompt is 'Answer it.' and question is 'Who\\?'",
        ),
        ({"query": "Who is it?", "question": "Who?"}, "question, query"),
        (
            {"prompt": "Hi", "messages": [{"role": "user", "content": "Who?"}]},
            "prompt and messages",
        ),
        ({"text": "One thing.", "body": "Another thing."}, "text, body"),
    ],
)
def test_two_prompts_are_refused(columns, match):
    with pytest.raises(ValueError, match="record 0 has several columns that could be") as caught:
        read_preferences([{**columns, "chosen": "x", "rejected": "y"}])
    assert re.search(match, str(caught.value))
    for name in columns:
        assert f'prompt="{name}"' in str(caught.value)
        read_preferences([{**columns, "chosen": "x", "rejected": "y"}], prompt=name)


def test_a_prompt_that_leaves_the_other_in_one_row_is_refused():
    rows = oriented(prompt="question")
    rows = [{**row, "prompt": f"Q: {row['question']}"} for row in rows]
    assert read_preferences(rows).X[0, 0] == "Q: What is two plus two?"
    rows[2]["prompt"] = "Q: Something else"
    with pytest.raises(ValueError, match="record 2 has two texts that could be the prompt: quest"):
        read_preferences(rows)


def test_prompts_that_end_with_another_answer_are_said():
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    rows = [{"messages": turns, "response_a": "x", "response_b": "y", "label": "a"}]
    data = read_preferences(rows)
    assert data.X[0, 0] == "User: Hi\n\nAssistant: Hello"
    assert "1 prompts in messages end with an answer that is neither" in data.notes[0]
    rows[0]["response_b"] = "Hello "
    data = read_preferences(rows)
    assert data.X[0, 0] == "Hi"
    assert not any("prompts in messages" in note for note in data.notes)


def test_prompts_that_begin_blank_are_not_lost():
    rows = oriented(prompt="question", prompt_text="")
    assert read_preferences(rows).X[:, 0].tolist() == [row[0] for row in ROWS]
    rows[2]["prompt_text"] = "Something else"
    with pytest.raises(
        ValueError, match="record 2 has two texts that could be the prompt: prompt_"
    ):
        read_preferences(rows)
    rows = oriented(prompt="instruction", input="", context="In a book.")
    assert read_preferences(rows).X[2, 0] == f"{ROWS[2][0]}\nIn a book."
    rows[2]["input"] = "Something else"
    with pytest.raises(ValueError, match="record 2 has two texts that could be the prompt: input"):
        read_preferences(rows)


def test_turns_in_a_cell_hold_a_prompt_of_several_lines():
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": 'One "line"\nmore'}]
    row = {"prompt": 'One "line"\nmore', "messages": json.dumps(turns), "chosen": "x"}
    data = read_preferences([{**row, "rejected": "y"}] * 2)
    assert data.X[0, 0] == 'System: s\n\nUser: One "line"\nmore'


@pytest.mark.parametrize(
    ("prompt", "beside"),
    [
        ("Start the engine.", "art"),
        ("Tell me about cats and dogs, please.", "cats"),
        ("Which is best, yes or no?", "yes"),
        ("Unanswerable questions of tart art", "tart art"),
    ],
)
def test_a_word_that_stands_in_a_prompt_by_chance_is_no_repetition_of_it(prompt, beside):
    row = labelled("response_a", "response_b")[0] | {"prompt": prompt, "question": beside}
    with pytest.raises(ValueError, match="several columns that could be the prompt"):
        read_preferences([row])
    first = row | {"prompt": "Say: Is it art? Now.", "question": "Is it art?"}
    with pytest.raises(ValueError, match=r"record 1 .* question is not within prompt"):
        read_preferences([first, row])
    assert read_preferences([row], prompt="prompt").X[0, 0] == prompt


@pytest.mark.parametrize(
    ("prompt", "beside"),
    [
        ("Answer the question What is light? now", "What is light?"),
        ("Question: Why?\nAnswer:", "Why?"),
        ("Why?\nThink first.", "Why?"),
        ('Say "cats" in French.', "cats"),
        ("请回答什么是光的问题", "什么是光"),
        ("cats", "cats"),
    ],
)
def test_a_question_within_its_prompt_is_a_repetition(prompt, beside):
    row = labelled("response_a", "response_b")[0] | {"prompt": prompt, "question": beside}
    data = read_preferences([row])
    assert data.X[0, 0] == prompt
    assert list(data.columns) == ["question"]


@pytest.mark.parametrize("prompt", ["hi", "user", "assistant", "This is it. It"])
def test_a_prompt_is_looked_for_in_each_turn(prompt):
    turns = [{"role": "user", "content": "What is this?"}]
    turns += [{"role": "assistant", "content": "This is it."}, {"role": "user", "content": "It is"}]
    row = labelled("response_a", "response_b")[0] | {"prompt": prompt, "messages": turns}
    with pytest.raises(ValueError, match="do not have the text of prompt"):
        read_preferences([row])
    asked = read_preferences([row | {"prompt": "What is this?"}]).X[0, 0]
    assert asked == "User: What is this?\n\nAssistant: This is it.\n\nUser: It is"


@pytest.mark.parametrize("make", [labelled, oriented])
@pytest.mark.parametrize("text", ["Name a colour of the sky", "Why?", "Tell jokes.", "One\nTwo"])
def test_what_a_user_asked_is_the_prompt(make, text):
    names = ("response_a", "response_b") if make is labelled else ("chosen", "rejected")
    rows = [row | {"prompt": None, "user": text} for row in make(*names)]
    data = read_preferences(rows)
    assert set(data.X[:, 0]) == {text}
    assert "The prompt is user." in data.notes


@pytest.mark.parametrize("name", ["u17", "ann@example.org", "Ann"])
def test_who_a_user_is_is_no_prompt(name):
    rows = [row | {"prompt": None, "user": name} for row in labelled("response_a", "response_b")]
    data = read_preferences(rows)
    assert set(data.X[:, 0]) == {""}
    assert set(data.columns["user"]) == {name}


@pytest.mark.parametrize("name", ["Ann Lee", "Tell jokes", "用户一"])
def test_a_user_that_is_a_name_or_a_prompt_is_refused(name):
    rows = [row | {"prompt": None, "user": name} for row in labelled("response_a", "response_b")]
    match = r'can be what was asked or who .* prompt="user" or annotator="user"'
    with pytest.raises(ValueError, match=match):
        read_preferences(rows)
    assert set(read_preferences(rows, prompt="user").X[:, 0]) == {name}
    data = read_preferences(rows, annotator="user")
    assert (set(data.X[:, 0]), set(data.annotator)) == ({""}, {name})
    beside = [row | {"user": name} for row in labelled("response_a", "response_b")]
    assert set(read_preferences(beside).columns["user"]) == {name}


def parts(text, role="user"):
    return {"role": role, "parts": [{"text": text}]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x", "y"),
        ([parts("x", "model")], [parts("y", "model")]),
        (parts("x", "model"), parts("y", "model")),
        ({"parts": [{"text": "x"}]}, {"parts": [{"text": "y"}]}),
        (json.dumps([parts("x", "model")]), json.dumps([parts("y", "model")])),
        (
            {"contents": [parts("p"), parts("x", "model")]},
            {"contents": [parts("p"), parts("y", "model")]},
        ),
    ],
)
@pytest.mark.parametrize(
    "contents", [[parts("p")], [{"role": "user", "parts": ["p"]}], json.dumps([parts("p")]), "p"]
)
def test_contents_of_gemini(one, other, contents):
    data = read_preferences([{"contents": contents, "chosen": one, "rejected": other}])
    assert data.X.tolist() == [["p", "x", "y"]]


@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
@pytest.mark.parametrize("role", [{}, {"role": "system"}, {"role": "user"}])
def test_a_system_instruction_of_gemini(name, role):
    system = role | {"parts": [{"text": "Rhyme."}]}
    row = {name: system, "contents": [parts("p")], "chosen": "x", "rejected": "y"}
    assert read_preferences([row]).X[0, 0] == "System: Rhyme.\n\nUser: p"
