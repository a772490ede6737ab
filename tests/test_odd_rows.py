"""Rows that somebody changed at random are read, or refused in one line that names the place."""

import copy
import random

import pytest
from ranked_layouts import PAIRS, WRITERS, read

JUNK = [
    None, "", [], {}, "x", 5, -1, 0.5, True, float("nan"), ["a"], [["a"]], {"a": 1}, [None],
    {"text": "z", "score": 1}, [{"role": "user", "content": "h"}], ["a", None], "[1, 2]",
    "{'a': 1}", [1, 2, 3], b"x", "[[", 10**400, [{"rank": 1, "value": "x"}],
    {"value": 1, "user_id": 2}, {"rank": [1], "value": [2]},
]  # fmt: skip
NAMES = ["label", "score", "rank", "text", "prompt", "responses", "data", "fields", "ranking"]


def submitted(value):
    return {"user_id": "u", "status": "submitted", "value": value}


def write_each(make):
    return lambda pairs: [make(*pair) for pair in pairs]


TOOLS = {
    "records": write_each(
        lambda prompt, x, y: {
            "fields": {"prompt": prompt, "response_1": x, "response_2": y},
            "responses": {"preference": [submitted("response_1")]},
        }
    ),
    "questions": write_each(
        lambda prompt, x, y: {
            "prompt": prompt,
            "response_1": x,
            "response_2": y,
            "ranking": [
                submitted([{"rank": 1, "value": "response_1"}, {"rank": 2, "value": "response_2"}])
            ],
        }
    ),
    "flat questions": write_each(
        lambda prompt, x, y: {
            "prompt": prompt,
            "response_1": x,
            "response_2": y,
            "question.responses": ["response_1"],
            "question.responses.users": ["u"],
            "question.responses.status": ["submitted"],
        }
    ),
    "tasks": write_each(
        lambda prompt, x, y: {
            "id": 1,
            "data": {"prompt": prompt, "answer1": x, "answer2": y},
            "annotations": [{"completed_by": 1, "result": [{"value": {"selected": "left"}}]}],
        }
    ),
    "wrapped": write_each(
        lambda prompt, x, y: {"data": {"prompt": prompt, "chosen": x, "rejected": y}}
    ),
    "votes": write_each(
        lambda prompt, x, y: {
            "prompt": prompt,
            "response_a": x,
            "response_b": y,
            "annotations": [{"user": "u", "label": "A"}, {"user": "v", "label": "B"}],
        }
    ),
    "order": write_each(
        lambda prompt, x, y: {"prompt": prompt, "responses": [x, y, "k"], "ranking": "A > B = C"}
    ),
}


def mutate(value, rng):
    """Return a value of which one part, at any depth, is another one."""
    if rng.random() < 0.25 or not isinstance(value, (dict, list)) or not value:
        return copy.deepcopy(rng.choice(JUNK))
    kind = rng.random()
    if isinstance(value, dict):
        value, key = dict(value), rng.choice(list(value))
        if kind < 0.2:
            del value[key]
        elif kind < 0.3:
            value[rng.choice(NAMES)] = value.pop(key)
        else:
            value[key] = mutate(value[key], rng)
        return value
    value, position = list(value), rng.randrange(len(value))
    if kind < 0.15:
        del value[position]
    elif kind < 0.25:
        value.append(copy.deepcopy(value[position]))
    else:
        value[position] = mutate(value[position], rng)
    return value


@pytest.mark.parametrize("name", [*WRITERS, *TOOLS])
def test_odd_rows_are_read_or_refused_with_their_place(name):
    rng = random.Random(name)
    n_read, refusals = 0, []
    for _ in range(40):
        rows = copy.deepcopy((WRITERS | TOOLS)[name](PAIRS))
        position = rng.randrange(len(rows))
        row = mutate(rows[position], rng)
        rows[position] = row if isinstance(row, dict) else {"prompt": row}
        try:
            data = read(rows, label=rng.choice([None] * 8 + ["label", "ranking", "answers.rank"]))
        except (TypeError, ValueError) as error:
            refusals.append(str(error))
        else:
            n_read += 1
            assert data.n == len(data.y) == len(data.where) == len(data.sample_weight)
            assert (data.sample_weight > 0).all()
    assert n_read > 0
    assert len(refusals) > 0
    assert [text for text in refusals if "\n" in text or not text.startswith("pairs.jsonl")] == []
