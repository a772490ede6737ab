"""Layouts in which the better response is always in one column."""

from layout_rows import Entry, assistant, better_first, split_input, talk, transcript, user

ORIENTED = {
    "chosen and rejected": Entry(
        "TRL preference",
        better_first(lambda p, good, bad, i: {"prompt": p, "chosen": good, "rejected": bad}),
        oriented=True,
    ),
    "TRL, conversational": Entry(
        "TRL preference",
        better_first(
            lambda p, good, bad, i: {
                "prompt": [user(p)],
                "chosen": [assistant(good)],
                "rejected": [assistant(bad)],
            }
        ),
        oriented=True,
    ),
    "TRL, implicit prompt": Entry(
        "TRL preference",
        better_first(lambda p, good, bad, i: {"chosen": talk(p, good), "rejected": talk(p, bad)}),
        oriented=True,
    ),
    "TRL, tools": Entry(
        "TRL preference",
        better_first(
            lambda p, good, bad, i: {
                "prompt": [user(p)],
                "chosen": [assistant(good)],
                "rejected": [assistant(bad)],
                "tools": [{"type": "function", "function": {"name": "look_up"}}],
            }
        ),
        oriented=True,
    ),
    "HH-RLHF": Entry(
        "HH-RLHF",
        better_first(
            lambda p, good, bad, i: {
                "chosen": transcript(p, good),
                "rejected": transcript(p, bad),
            }
        ),
        oriented=True,
    ),
    "UltraFeedback, binarized": Entry(
        "UltraFeedback",
        better_first(
            lambda p, good, bad, i: {
                "prompt": p,
                "prompt_id": f"{len(p):064x}",
                "chosen": talk(p, good),
                "rejected": talk(p, bad),
                "messages": talk(p, good),
                "score_chosen": 8.5,
                "score_rejected": 4.0,
            }
        ),
        oriented=True,
    ),
    "UltraFeedback, cleaned": Entry(
        "UltraFeedback",
        better_first(
            lambda p, good, bad, i: {
                "source": "made up",
                "prompt": p,
                "chosen": talk(p, good),
                "chosen-rating": 4.5,
                "chosen-model": "m1",
                "rejected": talk(p, bad),
                "rejected-rating": 2.0,
                "rejected-model": "m2",
            }
        ),
        oriented=True,
    ),
    "Skywork": Entry(
        "Skywork",
        better_first(
            lambda p, good, bad, i: {
                "chosen": talk(p, good),
                "rejected": talk(p, bad),
                "source": "made up",
            }
        ),
        oriented=True,
    ),
    "RLHFlow": Entry(
        "RLHFlow",
        better_first(
            lambda p, good, bad, i: {
                "rejected": talk(p, bad),
                "rejected_score": 1.0,
                "chosen_score": 3.0,
                "chosen": talk(p, good),
            }
        ),
        oriented=True,
    ),
    "Tulu preference mixture": Entry(
        "Tulu preference mixture",
        better_first(
            lambda p, good, bad, i: {
                "id": f"x_{i}",
                "source": "made up",
                "prompt": p,
                "chosen": talk(p, good),
                "rejected": talk(p, bad),
                "chosen_model": "m1",
                "rejected_model": "m2",
            }
        ),
        oriented=True,
    ),
    "Argilla": Entry(
        "Argilla",
        better_first(
            lambda p, good, bad, i: {
                "instruction": p,
                "chosen_response": good,
                "rejected_response": bad,
            }
        ),
        oriented=True,
    ),
    "Orca DPO": Entry(
        "Orca DPO",
        better_first(
            lambda p, good, bad, i: {
                "system": "",
                "question": p,
                "chosen": good,
                "rejected": bad,
            }
        ),
        oriented=True,
    ),
    "axolotl": Entry(
        "axolotl",
        better_first(
            lambda p, good, bad, i: {
                "messages": [user(p)],
                "chosen": assistant(good),
                "rejected": assistant(bad),
            }
        ),
        oriented=True,
    ),
    "LLaMA-Factory, alpaca": Entry(
        "LLaMA-Factory alpaca",
        better_first(
            lambda p, good, bad, i: {
                **split_input(p),
                "chosen": good,
                "rejected": bad,
                "history": [],
                "system": "",
            }
        ),
        oriented=True,
    ),
    "LLaMA-Factory, sharegpt": Entry(
        "LLaMA-Factory sharegpt",
        better_first(
            lambda p, good, bad, i: {
                "conversations": [{"from": "human", "value": p}],
                "chosen": {"from": "gpt", "value": good},
                "rejected": {"from": "gpt", "value": bad},
            }
        ),
        oriented=True,
    ),
    "ms-swift": Entry(
        "ms-swift",
        better_first(lambda p, good, bad, i: {"messages": talk(p, good), "rejected_response": bad}),
        oriented=True,
    ),
    "ms-swift, rejected messages": Entry(
        "ms-swift",
        better_first(
            lambda p, good, bad, i: {
                "messages": talk(p, good),
                "rejected_messages": talk(p, bad),
            }
        ),
        oriented=True,
    ),
    "ms-swift, query and response": Entry(
        "ms-swift",
        better_first(
            lambda p, good, bad, i: {"query": p, "response": good, "rejected_response": bad}
        ),
        oriented=True,
    ),
    "Stack Exchange paired": Entry(
        "Stack Exchange paired",
        better_first(
            lambda p, good, bad, i: {
                "qid": i,
                "question": p,
                "response_j": good,
                "response_k": bad,
            }
        ),
        oriented=True,
    ),
    "pos and neg": Entry(
        "chosen and rejected",
        better_first(lambda p, good, bad, i: {"prompt": p, "pos": good, "neg": bad}),
        oriented=True,
    ),
    "y_w and y_l": Entry(
        "chosen and rejected",
        better_first(lambda p, good, bad, i: {"x": i, "prompt": p, "y_w": good, "y_l": bad}),
        oriented=True,
    ),
    "UltraInteract": Entry(
        "UltraInteract",
        better_first(
            lambda p, good, bad, i: {
                "id": f"x_{i}",
                "task": "Puzzle",
                "trajectory": [{"from": "user", "value": p}],
                "chosen": good,
                "rejected": bad,
            }
        ),
        oriented=True,
    ),
    "OpenAI preferences": Entry(
        "OpenAI preferences",
        better_first(
            lambda p, good, bad, i: {
                "input": {"messages": [user(p)], "parallel_tool_calls": True},
                "preferred_output": [assistant(good)],
                "non_preferred_output": [assistant(bad)],
            }
        ),
        oriented=True,
    ),
    "chosen and rejected within a column": Entry(
        "rows within a column: TRL preference",
        better_first(lambda p, a, b, i: {"prompt": p, "responses": {"chosen": a, "rejected": b}}),
        oriented=True,
    ),
    "contents of Gemini": Entry(
        "TRL preference",
        better_first(
            lambda p, a, b, i: {
                "contents": [{"role": "user", "parts": [{"text": p}]}],
                "chosen": [{"role": "model", "parts": [{"text": a}]}],
                "rejected": [{"role": "model", "parts": [{"text": b}]}],
            }
        ),
        oriented=True,
    ),
}
