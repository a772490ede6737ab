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
        assert topic in first and topic in second
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
