"""Answers that look like data or like conversations stay the text that they are."""

import json

import pytest

from sklearn_codex.datasets import read_preferences


def read(*rows):
    """Return the prompts and, better first, the responses of rows of prompt, chosen, rejected."""
    names = ("prompt", "chosen", "rejected")
    data = read_preferences([dict(zip(names, row, strict=True)) for row in rows])
    return [
        (prompt, *((a, b) if y else (b, a)))
        for (prompt, a, b), y in zip(data.X.tolist(), data.y, strict=True)
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"name": "a", "content": "same"}', '{"name": "b", "content": "same"}'),
        ('{"text": "in"}', '{"text": "in", "a": 1}'),
        ("{'content': 'in'}", "plain"),
        ('{"role": "user", "content": "q"}', '{"role": "user", "content": "r"}'),
        ('{"role": "user", "content": "q"}', "plain"),
        ("[INST] is a tag", "  indented code"),
        ("<s>[INST] hi", "<s>[INST] ho"),
        ("[INST] hi [/INST] yo", "[INST] hi [/INST] hm"),
        ("User: hi\nAssistant: yo", "User: hi\nAssistant: hm"),
        ("User: hi\nAssistant: yo", "no"),
        ("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyo<|im_end|>", "no"),
    ],
)
def test_answers_stay_whole_whatever_stands_beside_them(one, other):
    """No answer is cut, in either place, nor does the prompt grow by what it begins with."""
    assert read(("Write it.", one, other)) == [("Write it.", one, other)]
    assert read(("Write it.", other, one)) == [("Write it.", other, one)]
    messages = [{"role": "user", "content": "Write it."}]
    ((prompt, said, _),) = read((messages, one, "no answer"))
    assert (prompt, said) == ("Write it.", one)


def test_prompts_that_are_json_stay_apart():
    """Two prompts that differ outside of their text are two."""
    prompts = ['{"id": 1, "text": "same"}', '{"id": 2, "text": "same"}']
    assert [row[0] for row in read(*((p, "u", "v") for p in prompts))] == prompts


@pytest.mark.parametrize("prompt", ["Human: Capital?", "Capital?", "User: Capital?"])
def test_a_prompt_is_read_in_one_way_whatever_answers_it(prompt):
    """The mark of the user falls off a prompt, also where no response repeats it."""
    repeated = tuple(f"Human: Capital?\n\nAssistant: {a}" for a in ("Paris.", "Rome."))
    rows = read((prompt, *repeated), (prompt, "Paris.", "Rome."))
    assert rows == [("Capital?", "Paris.", "Rome.")] * 2


def test_a_conversation_that_holds_the_prompt_is_one():
    """Turns before the prompt, and turns after it, are read as turns."""
    talk = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Capital?\n\nAssistant: "
    ((prompt, *said),) = read(("Capital?", talk + "Paris.", talk + "Rome."))
    assert prompt == "User: Hi\n\nAssistant: Yes?\n\nUser: Capital?"
    assert said == ["Paris.", "Rome."]


def test_a_part_of_the_prompt_is_left_out_only_where_it_stands_as_lines():
    """A question that is a word of its passage is asked; a passage in the question stands once."""
    rows = [
        ("bird", "a bird sang"),
        ("sang", "a bird sang"),
        ("Text: It rained.\nWhy?", "It rained."),
    ]
    data = read_preferences(
        [{"question": q, "context": c, "chosen": "u", "rejected": "v"} for q, c in rows]
    )
    joined = ["bird\na bird sang", "sang\na bird sang", "Text: It rained.\nWhy?"]
    assert data.X[:, 0].tolist() == joined


@pytest.mark.parametrize(
    "other",
    [
        [{"role": "user", "content": "Write."}],
        [{"from": "human", "value": "Write."}],
        [{"role": "user", "content": "Write.", "name": None}],
        "Write. ",
        '[{"role": "user", "content": "Write."}]',
        "Human: Write.",
    ],
)
def test_responses_of_one_prompt_meet_whatever_notation_it_is_in(other):
    """Rows of one response each are put together by the prompt as it is read."""
    rows = [
        {"prompt": "Write.", "response": "u", "score": 1},
        {"prompt": other, "response": "v", "score": 0},
    ]
    assert read_preferences(rows).X.tolist() == [["Write.", "u", "v"]]


@pytest.mark.parametrize(
    ("one", "other", "meaning"),
    [
        ('["a", "b"]', '["a", "c"]', "a list of 2 responses"),
        ("['a']", "['b']", "one response in a list"),
    ],
)
def test_lists_written_as_text_are_refused_until_the_caller_says_what_they_are(one, other, meaning):
    """They may be one answer each, or several; columns that are named have one answer each."""
    row = {"prompt": "p", "chosen": one, "rejected": other}
    with pytest.raises(ValueError, match=f'{meaning}, .*, or one .*chosen="chosen" and rejected="'):
        read_preferences([row])
    data = read_preferences([row], chosen="chosen", rejected="rejected")
    assert data.X.tolist() == [["p", one, other]]
    lists = {"prompt": "p", "chosen": json.loads(one.replace("'", '"')), "rejected": ["c"]}
    data = read_preferences([lists])
    assert data.X[:, 1:].tolist() == [["a", "c"], ["c", "b"]][: data.n]
    said = [[{"role": "assistant", "content": text}] for text in (one, other)]
    for write in (list, json.dumps, repr):
        messages = {"prompt": "p", "chosen": write(said[0]), "rejected": write(said[1])}
        assert read_preferences([messages]).X.tolist() == [["p", one, other]]


@pytest.mark.parametrize("text", ['["a", "b"]', "['a']"])
def test_text_in_brackets_among_lists_is_refused_and_among_texts_a_text(text):
    lists = {"prompt": "p", "chosen": ["x", "y"], "rejected": ["z"]}
    with pytest.raises(ValueError, match=r"record 1 has chosen = .*, or one response in brackets"):
        read_preferences([lists, {**lists, "chosen": text}])
    texts = {"prompt": "p", "chosen": "x", "rejected": "z"}
    data = read_preferences([texts, {**texts, "chosen": text, "rejected": text[:-1] + " ]"}])
    assert data.X[1].tolist() == ["p", text[:-1] + " ]", text]
