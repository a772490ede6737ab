"""One set of made-up pairs, written in every layout of one pair a row.

``LAYOUTS`` is the table that tests and documentation go through: each entry has the name that a
report gives, and writes pairs as the rows of a file.
"""

import json

from layout_rows import (
    PAIRS,
    Entry,
    Pair,
    assistant,
    each,
    expected,
    normalize,
    pick,
    split_input,
    talk,
    user,
)
from oriented_layouts import ORIENTED

__all__ = ["LAYOUTS", "PAIRS", "Entry", "Pair", "assistant", "expected", "normalize", "user"]

LABELLED = {
    "two responses and a label": Entry(
        "two responses and a label",
        each(
            lambda p, a, b, y: {
                "prompt": p,
                "response_a": a,
                "response_b": b,
                "label": y,
            }
        ),
    ),
    "SHP": Entry(
        "SHP",
        each(
            lambda p, a, b, y: {
                "post_id": str(len(p)),
                "history": p,
                "human_ref_A": a,
                "human_ref_B": b,
                "labels": int(y),
                "score_A": 3 + y,
                "score_B": 4 - y,
            }
        ),
        ties=False,
    ),
    "PKU-SafeRLHF": Entry(
        "PKU-SafeRLHF",
        each(
            lambda p, a, b, y: {
                "prompt": p,
                "response_0": a,
                "response_1": b,
                "is_response_0_safe": True,
                "is_response_1_safe": False,
                "better_response_id": pick(0, 1)(y),
                "safer_response_id": 0,
            }
        ),
        ties=False,
    ),
    "HelpSteer2 preference": Entry(
        "HelpSteer2 preference",
        each(
            lambda p, a, b, y: {
                "split": "train",
                "prompt": p,
                "response_1": a,
                "response_2": b,
                "preference_strength": pick(-2, 2, 0)(y),
                "preference_statement": "Made up.",
            }
        ),
    ),
    "HelpSteer3": Entry(
        "HelpSteer3",
        each(
            lambda p, a, b, y: {
                "domain": "general",
                "language": "english",
                "context": [user(p)],
                "response1": a,
                "response2": b,
                "overall_preference": pick(-1, 1, 0)(y),
                "individual_preference": [{"score": 3, "reasoning": "Made up."}],
            }
        ),
    ),
    "OpenAI TL;DR": Entry(
        "OpenAI TL;DR",
        each(
            lambda p, a, b, y: {
                "info": {
                    "id": "t3",
                    "post": p.partition("\n")[2] or None,
                    "title": p.partition("\n")[0],
                    "subreddit": "made_up",
                    "article": None,
                },
                "summaries": [
                    {"text": a, "policy": "m1", "note": None},
                    {"text": b, "policy": "m2", "note": None},
                ],
                "choice": pick(0, 1)(y),
                "worker": "w1",
            }
        ),
        ties=False,
    ),
    "WebGPT": Entry(
        "WebGPT",
        each(
            lambda p, a, b, y: {
                "question": {"dataset": "made up", "id": "1", "full_text": p},
                "quotes_0": {"title": ["t"], "extract": ["e"]},
                "answer_0": a,
                "score_0": y - 0.5,
                "quotes_1": {"title": ["t"], "extract": ["e"]},
                "answer_1": b,
                "score_1": 0.5 - y,
            }
        ),
    ),
    "Chatbot Arena, 33k": Entry(
        "Chatbot Arena",
        each(
            lambda p, a, b, y: {
                "question_id": "q",
                "model_a": "m1",
                "model_b": "m2",
                "winner": pick("model_a", "model_b", "tie (bothbad)")(y),
                "judge": "arena_user_1",
                "conversation_a": talk(p, a),
                "conversation_b": talk(p, b),
                "turn": 1,
                "anony": True,
                "language": "English",
            }
        ),
    ),
    "Chatbot Arena, 55k": Entry(
        "Chatbot Arena",
        each(
            lambda p, a, b, y: {
                "id": 1,
                "model_a": "m1",
                "model_b": "m2",
                "prompt": json.dumps([p]),
                "response_a": json.dumps([a]),
                "response_b": json.dumps([b]),
                "winner_model_a": int(y == 1),
                "winner_model_b": int(y == 0),
                "winner_tie": int(y == 0.5),
            }
        ),
    ),
    "Chatbot Arena, 100k": Entry(
        "Chatbot Arena",
        each(
            lambda p, a, b, y: {
                "question_id": "q",
                "model_a": "m1",
                "model_b": "m2",
                "conversation_a": talk(p, a),
                "conversation_b": talk(p, b),
                "winner_model_a": int(y == 1),
                "winner_model_b": int(y == 0),
                "winner_tie": int(y == 0.5),
            }
        ),
    ),
    "Chatbot Arena, 140k": Entry(
        "Chatbot Arena",
        each(
            lambda p, a, b, y: {
                "id": "x",
                "model_a": "m1",
                "model_b": "m2",
                "winner": pick("model_a", "model_b", "both_bad")(y),
                "evaluation_session_id": "s",
                "conversation_a": [
                    {"role": "user", "content": [{"type": "text", "text": p}]},
                    {"role": "assistant", "content": [{"type": "text", "text": a}]},
                ],
                "conversation_b": [
                    {"role": "user", "content": [{"type": "text", "text": p}]},
                    {"role": "assistant", "content": [{"type": "text", "text": b}]},
                ],
                "full_conversation": [{"user": "made up"}],
            }
        ),
    ),
    "MT-bench judgments": Entry(
        "MT-bench judgments",
        each(
            lambda p, a, b, y: {
                "question_id": 81,
                "model_a": "m1",
                "model_b": "m2",
                "winner": pick("model_a", "model_b", "tie")(y),
                "judge": "expert_1",
                "conversation_a": [*talk(p, a), *talk("And then?", "Nothing.")],
                "conversation_b": [*talk(p, b), *talk("And then?", "All of it.")],
                "turn": 1,
            }
        ),
    ),
    "AlpacaFarm": Entry(
        "AlpacaFarm",
        each(
            lambda p, a, b, y: {
                **split_input(p),
                "output_1": a,
                "output_2": b,
                "preference": pick(1, 2, 0)(y),
                "raw_preference": 1,
            }
        ),
    ),
    "AlpacaEval": Entry(
        "AlpacaEval",
        each(
            lambda p, a, b, y: {
                "instruction": p,
                "output_1": a,
                "generator_1": "m1",
                "output_2": b,
                "generator_2": "m2",
                "annotator": "judge",
                "preference": 2 - y,
            }
        ),
    ),
    "PandaLM": Entry(
        "PandaLM",
        each(
            lambda p, a, b, y: {
                "idx": 1,
                "cmp_key": "m1_m2",
                **split_input(p),
                "response1": a,
                "response2": b,
                "annotator1": pick(1, 2, 0)(y),
                "annotator2": pick(1, 2, 1)(y),
                "annotator3": pick(1, 2, 2)(y),
            }
        ),
    ),
    "JudgeLM": Entry(
        "JudgeLM",
        each(
            lambda p, a, b, y: {
                "question_id": 1,
                "score": [5 + y, 6 - y],
                "question_body": p,
                "answer1_body": a,
                "answer2_body": b,
                "answer1_model_id": "m1",
                "answer2_model_id": "m2",
            }
        ),
    ),
    "Prometheus preference": Entry(
        "Prometheus preference",
        each(
            lambda p, a, b, y: {
                "orig_instruction": p,
                "orig_response_A": a,
                "orig_response_B": b,
                "orig_preference": pick("A", "B")(y),
                "instruction": "Be a judge of the following.",
                "output": "So the overall result is as it is.",
            }
        ),
        ties=False,
    ),
    "OffsetBias": Entry(
        "OffsetBias",
        each(
            lambda p, a, b, y: {
                "instruction": p,
                "output_1": a,
                "output_2": b,
                "label": pick(1, 2)(y),
            }
        ),
        ties=False,
    ),
    "LLMBar": Entry(
        "LLMBar",
        each(
            lambda p, a, b, y: {
                "input": p,
                "output_1": a,
                "output_2": b,
                "label": pick(1, 2)(y),
            }
        ),
        ties=False,
    ),
    "Prodigy": Entry(
        "Prodigy",
        each(
            lambda p, a, b, y: {
                "text": p,
                "options": [{"id": "x", "text": a}, {"id": "y", "text": b}],
                "accept": pick(["x"], ["y"], ["x", "y"])(y),
                "answer": "accept",
            }
        ),
    ),
    "Label Studio": Entry(
        "Label Studio: two responses and a label",
        each(
            lambda p, a, b, y: {
                "id": 1,
                "data": {"prompt": p, "answer1": a, "answer2": b},
                "annotations": [
                    {
                        "completed_by": 7,
                        "was_cancelled": False,
                        "result": [{"type": "pairwise", "value": {"selected": side}}],
                    }
                    for side in [pick("left", "right")(y)]
                ],
            }
        ),
        ties=False,
    ),
    "PaddleNLP": Entry(
        "PaddleNLP",
        each(
            lambda p, a, b, y: {
                "src": [p],
                "tgt": [],
                "response": [a, b],
                "sort": pick([1, 0], [0, 1], [1, 1])(y),
            }
        ),
    ),
    "annotators as rows": Entry(
        "two responses and a label",
        each(
            lambda p, a, b, y: {
                "question": p,
                "answer_1": a,
                "answer_2": b,
                "annotator_id": "w1",
                "winner": pick("answer_1", "answer_2", "tie")(y),
            }
        ),
    ),
    "votes in a list": Entry(
        "two responses and votes",
        each(
            lambda p, a, b, y: {
                "question": p,
                "answer_a": a,
                "answer_b": b,
                "votes": pick(["A", "A"], ["B", "B", "B"], ["A", "B"])(y),
            }
        ),
    ),
    "votes by annotator": Entry(
        "two responses and votes",
        each(
            lambda p, a, b, y: {
                "question": p,
                "answer_a": a,
                "answer_b": b,
                "annotations": pick(
                    {"w1": "A", "w2": "A"}, {"w1": "B", "w2": None}, {"w1": "tie", "w2": "tie"}
                )(y),
            }
        ),
    ),
    "votes counted": Entry(
        "two responses and a label",
        each(
            lambda p, a, b, y: {
                "prompt": p,
                "response_a": a,
                "response_b": b,
                "votes_a": pick(3, 0, 2)(y),
                "votes_b": pick(0, 5, 2)(y),
            }
        ),
    ),
    "votes counted in a cell": Entry(
        "two responses and a label",
        each(
            lambda p, a, b, y: {
                "prompt": p,
                "response_a": a,
                "response_b": b,
                "votes": {"A": pick(3, 0, 2)(y), "B": pick(0, 5, 2)(y)},
            }
        ),
    ),
    "a mark for each response": Entry(
        "two responses and a label",
        each(
            lambda p, a, b, y: {
                "prompt": p,
                "response_0": a,
                "response_1": b,
                "label_0": y,
                "label_1": 1 - y,
            }
        ),
    ),
    "two responses within a column": Entry(
        "rows within a column: two responses and a label",
        each(
            lambda p, a, b, y: {
                "prompt": p,
                "pair": {"a": {"text": a, "model": "crow"}, "b": {"text": b, "model": "owl"}},
                "winner": pick("a", "b", "tie")(y),
            }
        ),
    ),
    "two responses and their scores": Entry(
        "two responses and their scores",
        each(
            lambda p, a, b, y: {
                "prompt": p,
                "response_a": a,
                "response_b": b,
                "score_a": 2 + y,
                "score_b": 3 - y,
            }
        ),
    ),
    "model names as labels": Entry(
        "two responses and a label",
        each(
            lambda p, a, b, y: {
                "prompt": p,
                "model_a": "crow",
                "model_b": "owl",
                "model_a_response": a,
                "model_b_response": b,
                "winner": pick("crow", "owl", "tie")(y),
            }
        ),
    ),
}
"""Layouts of two responses and what tells the better one."""

LAYOUTS = ORIENTED | LABELLED
"""Layouts of one pair a row."""
