"""The same made-up pairs in layouts whose rows are not simply one pair each."""

from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.reader import PairReader

PAIRS = [
    ("Name a red fruit.", "A cherry is red.", "The sky is blue."),
    ("Name a green fruit.", "A lime.", "Fruit exists, and there is much of it."),
    ("How many legs has a spider?", "Eight.", "Six legs."),
    ("Say hello.", "Hello!", "No."),
]


def read(rows, **given):
    """Return the pairs of rows as a file of them has them."""
    placed = ((f"pairs.jsonl, line {line}", row) for line, row in enumerate(rows, 1))
    return PairReader(Given(**given), "pairs.jsonl").read(placed, source="pairs.jsonl")


def as_set(data):
    """Return prompt, better, worse and weight of each pair, whichever of the two stands first."""
    return sorted(
        (prompt, *((a, b) if y == 1 else (b, a)), round(float(weight), 9))
        for (prompt, a, b), y, weight in zip(data.X, data.y, data.sample_weight, strict=True)
        if y != 0.5
    )


def turn(position, *responses):
    """Return responses, and where each was, so that the better one is not always first."""
    order = [*range(position % len(responses), len(responses)), *range(position % len(responses))]
    return [responses[place] for place in order], order


def write_items(column, text, score, scores):
    def write(pairs):
        rows = []
        for position, (prompt, better, worse) in enumerate(pairs):
            texts, order = turn(position, better, worse)
            items = [
                {text: response, "model": "m", score: scores[place]}
                for response, place in zip(texts, order, strict=True)
            ]
            rows.append({"prompt": prompt, column: items})
        return rows

    return write


def write_parallel(column, score, scores, prompt_name="prompt"):
    def write(pairs):
        rows = []
        for position, (prompt, better, worse) in enumerate(pairs):
            texts, order = turn(position, better, worse)
            numbers = [scores[place] for place in order]
            rows.append({prompt_name: prompt, column: texts, score: numbers})
        return rows

    return write


def write_numbered(texts, score, scores, start=1):
    def write(pairs):
        rows = []
        for position, (prompt, better, worse) in enumerate(pairs):
            responses, order = turn(position, better, worse)
            row = {"prompt": prompt}
            for number, (response, place) in enumerate(zip(responses, order, strict=True), start):
                row |= {f"{texts}_{number}": response, f"{score}_{number}": scores[place]}
            rows.append(row)
        return rows

    return write


def write_ultrafeedback(pairs):
    def complete(response, rating):
        aspects = {"helpfulness": {"Rating": str(rating)}, "honesty": {"Rating": "N/A"}}
        return {
            "response": response,
            "model": "m",
            "annotations": aspects,
            "overall_score": rating,
            "fine-grained_score": float(rating),
        }

    rows = []
    for position, (prompt, better, worse) in enumerate(pairs):
        texts, order = turn(position, better, worse)
        completions = [complete(t, 5 - 3 * place) for t, place in zip(texts, order, strict=True)]
        rows.append({"source": "s", "instruction": prompt, "completions": completions})
    return rows


def write_lists(pairs):
    return [{"prompt": p, "chosen": [better], "rejected": [worse]} for p, better, worse in pairs]


def write_best_first(pairs):
    return [{"prompt": p, "ranked_responses": [better, worse]} for p, better, worse in pairs]


def write_best_index(pairs):
    rows = []
    for position, (prompt, better, worse) in enumerate(pairs):
        texts, order = turn(position, better, worse)
        rows.append({"prompt": prompt, "candidates": texts, "best_index": order.index(0)})
    return rows


def write_unpaired(response, label, labels):
    def write(pairs):
        first = [{"prompt": p, response: better, label: labels[0]} for p, better, _ in pairs]
        others = [{"prompt": p, response: worse, label: labels[1]} for p, _, worse in pairs]
        return first + others  # of one prompt not side by side

    return write


def write_helpsteer(pairs):
    others = {"correctness": 3, "coherence": 4, "complexity": 1, "verbosity": 1}
    rows = write_unpaired("response", "helpfulness", (4, 2))(pairs)
    return [row | others for row in rows]


def write_messages(pairs):
    rows = []
    for number, (prompt, better, worse) in enumerate(pairs):
        root = f"root {number}"
        rows.append(
            {
                "message_id": root,
                "parent_id": None,
                "text": prompt,
                "role": "prompter",
                "rank": None,
            }
        )
        for rank, text in ((1, worse), (0, better)):
            rows.append(
                {
                    "message_id": f"{root} {rank}",
                    "parent_id": root,
                    "text": text,
                    "role": "assistant",
                    "rank": rank,
                }
            )
    return rows


def write_trees(pairs):
    def reply(text, rank):
        return {"text": text, "role": "assistant", "rank": rank, "replies": []}

    return [
        {
            "message_tree_id": prompt,
            "prompt": {
                "text": prompt,
                "role": "prompter",
                "replies": [reply(worse, 1), reply(better, 0)],
            },
        }
        for prompt, better, worse in pairs
    ]


WRITERS = {
    "UltraFeedback": write_ultrafeedback,
    "Nectar": write_items("answers", "answer", "rank", (1.0, 2.0)),
    "Stack Exchange preferences": write_items("answers", "text", "pm_score", (7, -1)),
    "a list of responses with scores in outputs": write_items("outputs", "text", "reward", (2, 1)),
    "a list of responses with ratings": write_parallel("responses", "ratings", (5, 1.5)),
    "a list of responses with scores": write_parallel("candidates", "scores", (0.1, -2)),
    "a list of responses with ranks": write_parallel("completions", "ranks", (1, 2)),
    "distilabel": write_parallel("generations", "ratings", (5, 1), "input"),
    "numbered responses with scores": write_numbered("response", "score", (2, 1)),
    "numbered responses with ranks": write_numbered("answer", "rank", (1, 2), start=0),
    "lists of texts in chosen and rejected": write_lists,
    "responses in order in ranked_responses": write_best_first,
    "several responses and the best": write_best_index,
    "unpaired responses, desirable or not": write_unpaired("completion", "label", (True, False)),
    "responses with rating, one a row": write_unpaired("response", "rating", (4, 3)),
    "responses with rank, one a row": write_unpaired("output", "rank", (1, 3)),
    "HelpSteer": write_helpsteer,
    "OpenAssistant messages": write_messages,
    "OpenAssistant trees": write_trees,
}
