"""What an error asks for is done, as a reader of it would, and then the file is read as meant."""

import ast
import json
import re

import pytest

from sklearn_codex import read_preferences

FIRST_IS_BETTER = (True, False, False, True)


def rows_of(make):
    """Return rows of make(prompt, first, second, whether the first is the better one)."""
    rows = []
    for i, first_is_better in enumerate(FIRST_IS_BETTER):
        good, bad = f"A good reply on topic {i} it is", f"A bad reply on topic {i} it is"
        pair = (good, bad) if first_is_better else (bad, good)
        rows.append(make(f"What of topic {i} do I need?", *pair, first_is_better))
    return rows


def options_in(message):
    """Return what an error says to pass."""
    found = re.findall(r'\b([a-z_]+)="([^"]*)"', message)
    mappings = re.findall(r"\bconvention=(\{[^}]*\})", message)
    said = {name: value for name, value in found if value != "NAME"}
    return said | ({"convention": ast.literal_eval(mappings[0])} if mappings else {})


def assert_read(data):
    assert data.n == len(FIRST_IS_BETTER)
    for (prompt, first, second), y in zip(data.X, data.y, strict=True):
        topic = re.search(r"topic \d", prompt)[0]
        assert topic in first
        assert topic in second
        assert (y > 0.5) == ("good" in first)


BY_ONE_REMEDY = {
    "a preferred version": lambda p, x, y, a: {
        "customer_message": p,
        "bot_reply_v1": x,
        "bot_reply_v2": y,
        "preferred_version": "v1" if a else "v2",
    },
    "control and treatment": lambda p, x, y, a: {
        "query": p,
        "control_response": x,
        "treatment_response": y,
        "preferred": "control" if a else "treatment",
    },
    "ranks beside unknown names": lambda p, x, y, a: {
        "src": p,
        "mt1": x,
        "mt2": y,
        "rank1": 1 if a else 2,
        "rank2": 2 if a else 1,
    },
    "scores by the names of models": lambda p, x, y, a: {
        "prompt": p,
        "gpt-9": x,
        "our-model": y,
        "gpt-9_score": 5 if a else 2,
        "our-model_score": 2 if a else 5,
    },
    "a question as the label": lambda p, x, y, a: {
        "Prompt": p,
        "Completion 1": x,
        "Completion 2": y,
        "Which completion is better?": f"Completion {2 - a} is much better",
    },
    "a rate of wins": lambda p, x, y, a: {
        "prompt": p,
        "response_a": x,
        "response_b": y,
        "a_win_rate": 0.9 if a else 0.2,
    },
    "numbers of which less is better": lambda p, x, y, a: {
        "prompt": p,
        "response_a": x,
        "response_b": y,
        "loss_a": 1.5 if a else 2.5,
        "loss_b": 2.5 if a else 1.5,
    },
}


@pytest.mark.parametrize("name", BY_ONE_REMEDY)
def test_what_an_error_asks_for_is_all_that_is_needed(name):
    rows = rows_of(BY_ONE_REMEDY[name])
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read_preferences(rows)
    said = options_in(str(caught.value))
    if name.startswith("numbers"):
        assert '"lower" where the smaller' in str(caught.value)
        said["convention"] = "lower"
    assert_read(read_preferences(rows, **said))


@pytest.mark.parametrize("column", ["latency_a", "latency_b"])
def test_a_number_of_each_response_needs_a_direction(column):
    rows = rows_of(
        lambda p, x, y, a: {
            "prompt": p,
            "response_a": x,
            "response_b": y,
            "latency_a": 1 if a else 3,
            "latency_b": 3 if a else 1,
        }
    )
    with pytest.raises(ValueError, match="nothing tells whether the greater or the smaller"):
        read_preferences(rows, label=column)
    assert_read(read_preferences(rows, label=column, convention="lower"))


@pytest.mark.parametrize("column", ["rank1", "rank2"])
def test_ranks_without_a_mark_before_the_number_are_ranks(column):
    rows = rows_of(BY_ONE_REMEDY["ranks beside unknown names"])
    data = read_preferences(rows, response_a="mt1", response_b="mt2", label=column)
    assert_read(data)
    assert any("the smaller belongs to the better" in note for note in data.notes)


@pytest.mark.parametrize(
    "row",
    [
        {"src": "Ein Satz, der lang ist", "mt": "A sentence that is long", "annotators": 2},
        {"question_id": 1, "g1_winner": "model_1", "g2_winner": "tie"},
        {"tstamp": 1.0, "models": ["m", "n"], "states": [{"roles": ["a"]}, {"roles": ["a"]}]},
        {
            "opening_prompt": "What is it that you want?",
            "conversation_history": [{"role": "user", "content": "What?"}],
            "conversation_turns": 1,
        },
    ],
)
def test_what_cannot_be_responses_is_not_guessed_to_be(row):
    with pytest.raises(ValueError, match="has no preference") as caught:
        read_preferences([row])
    assert options_in(str(caught.value)) == {}


def test_what_numbers_rows_is_not_named_as_a_label():
    rows = [{"question_id": 7, "question": "What?", "answer": "So", "n_tokens": 1, "stance": 2.5}]
    with pytest.raises(ValueError, match='say label="stance"'):
        read_preferences(rows)


def test_a_winner_is_a_desirable_response():
    rows = rows_of(lambda p, x, y, a: [(p, x, int(a)), (p, y, int(not a))])
    rows = [
        {"question_id": i, "question": p, "answer": text, "is_winner": won}
        for i, pair in enumerate(rows)
        for p, text, won in pair
    ]
    assert_read(read_preferences(rows))


@pytest.mark.parametrize("column", ["title", "text", "input", "context"])
def test_a_prompt_in_transcripts_comes_before_columns_that_may_be_one(column):
    rows = rows_of(
        lambda p, x, y, a: {
            column: "Of the helpful kind",
            "chosen": f"\n\nHuman: {p}\n\nAssistant: {x if a else y}",
            "rejected": f"\n\nHuman: {p}\n\nAssistant: {y if a else x}",
        }
    )
    data = read_preferences(rows)
    assert_read(data)
    assert len(set(data.groups)) == len(rows)


def test_answers_with_marks_of_turns_leave_the_prompt_where_it_is():
    rows = rows_of(
        lambda p, x, y, a: {
            "context": p,
            "chosen": f"Human: Hello\n\nAssistant: {x if a else y}",
            "rejected": f"Human: Good day\n\nAssistant: {y if a else x}",
        }
    )
    assert_read(read_preferences(rows))


FOLDERS = {
    "*train*": ("train-0.jsonl", "test-0.jsonl"),
    "train": ("train/a.jsonl", "test/a.jsonl"),
    "*/*train*": ("data/train-0.jsonl", "data/test-0.jsonl"),
    "**/*train*": ("one/train.jsonl", "two/deep/train.jsonl", "one/test.jsonl"),
}


@pytest.mark.parametrize("way", FOLDERS)
def test_the_split_that_an_error_names_is_there(way, tmp_path):
    for name in FOLDERS[way]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        chosen = "train" if "train" in name else "test"
        path.write_text(json.dumps({"prompt": name, "chosen": chosen, "rejected": "no"}) + "\n")
    with pytest.raises(ValueError, match="holds several splits") as caught:
        read_preferences(tmp_path)
    named = re.search(r"such as (.+)\.$", str(caught.value))[1]
    assert named == f"{tmp_path}/{way}"
    data = read_preferences(named)
    assert data.n == sum("train" in name for name in FOLDERS[way])
    assert "test" not in data.X.ravel().tolist()


def test_what_trainers_write_beside_data_is_left_out(tmp_path):
    (tmp_path / "prefs.jsonl").write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n')
    for name in ("config.json", "trainer_state.json", "tokenizer_config.json", "eval_results.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    assert read_preferences(tmp_path).n == 1


def test_a_number_among_labels_in_words_is_told_as_one():
    rows = rows_of(
        lambda p, x, y, a: {
            "prompt": p,
            "response_a": x,
            "response_b": y,
            "winner": "A" if a else "B",
        }
    )
    total = {"prompt": "TOTAL", "response_a": "", "response_b": "", "winner": 6}
    with pytest.raises(ValueError, match="= 6 is a number, where other rows have words") as caught:
        read_preferences([*rows, total])
    said = options_in(str(caught.value))
    assert said["convention"] == {"A": 1.0, "B": 0.0, 6: 0.5}
    assert_read(read_preferences([*rows, total], convention={"A": 1, "B": 0, "6": "drop"}))


def test_ticked_boxes_of_each_response_are_marks():
    rows = rows_of(
        lambda p, x, y, a: {
            "Input.prompt": p,
            "Input.text_a": x,
            "Input.text_b": y,
            "Answer.choice.a": str(a).lower(),
            "Answer.choice.b": str(not a).lower(),
        }
    )
    assert_read(read_preferences(rows))


def conversation(prompt, response):
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]


@pytest.mark.parametrize("said", [{}, {"label": "chosen_model_name"}])
def test_the_name_of_a_model_tells_the_better_conversation(said):
    rows = rows_of(
        lambda p, x, y, a: {
            "conversation_a": conversation(p, x),
            "conversation_b": conversation(p, y),
            "model_a_name": "owl",
            "model_b_name": "elk",
            "chosen_model_name": "owl" if a else "elk",
        }
    )
    assert_read(read_preferences(rows, **said))


def rated_by(users):
    """Return ratings of two responses to one prompt, by each of some users in a scale of theirs."""
    return [
        {
            "user_prompt": "What?",
            "model_response": f"{text} {user}",
            "score": score,
            "user_id": user,
        }
        for user, scores in users.items()
        for text, score in zip(("good", "bad"), scores, strict=False)
    ]


def test_users_who_rated_several_responses_are_not_compared_with_each_other():
    data = read_preferences(rated_by({"ann": (90, 60), "bob": (40, 10)}))
    assert data.n == 2
    for _, first, second in data.X:
        assert first.split()[1] == second.split()[1]
    assert ((data.y == 1) == ["good" in first for first in data.X[:, 1]]).all()
    assert any("whom user_id names" in note for note in data.notes)
    # Of users with one rating each all are compared, as nothing else could be.
    assert read_preferences(rated_by({"ann": (90,), "bob": (40,), "cem": (50,)})).n == 3


def test_a_name_in_one_word_with_a_capital_is_that_of_a_prompt():
    rows = rows_of(
        lambda p, x, y, a: {
            "inputText": p,
            "preferred": x if a else y,
            "dispreferred": y if a else x,
        }
    )
    data = read_preferences(rows)
    assert_read(data)
    assert data.roles["prompt"] == ["inputText"]


def test_records_by_name_are_told(tmp_path):
    record = {"prompt": "p", "chosen": "a", "rejected": "b"}
    path = tmp_path / "records.json"
    path.write_text(json.dumps({"item-1": record, "item-2": record}))
    with pytest.raises(ValueError, match=r"2 records by name.*jq -c '\.\[\]' FILE > NEW"):
        read_preferences(path)
