"""Responses that end on the answer they were asked for, and conversations that go on."""

import numpy as np
import pytest

from sklearn_codex.health import check_preferences
from sklearn_codex.health._endings import ends_on_answer
from sklearn_codex.health._prompts import find_continued
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report.audit import compute_audit

LETTERS = (
    "If you cannot tell, take a guess. Then repeat the letter five times in one string. For "
    "example, if the answer is K, then write KKKKK."
)
OPTIONS = "Which planet is the largest?\n(A) Venus\n(B) Jupiter"


@pytest.mark.parametrize(
    ("end", "prompt"),
    [
        ("So, after all of that, we write DDDDD", LETTERS),
        ("Therefore the largest of them, and the answer, is B", OPTIONS),
        ("After adding them up the result is 42", "What is 17 + 25?"),
        ("So the final answer is: Jupiter", OPTIONS),
        ("I have checked all of it twice, over and out", 'End with the words "over and out".'),
        ("As far as anyone can tell, it is no", "Is it so? Answer with yes or no."),
        ("To sum up what was said, Verdict: not guilty", "Finish with 'Verdict: <your verdict>'"),
        ("The numbers are sorted, so that the answer is 5, 16, 6, 10, 3", "Sort the numbers."),
        ("Here is the line that was asked for DONE", "Finish with the word DONE."),
        ("That is what the data say, and so on: positive", "Reply with **positive** or **neg**"),
    ],
)
def test_an_answer_that_the_prompt_demands_is_an_end(end, prompt):
    assert ends_on_answer(f"First we think about it.\n{end}", prompt)


@pytest.mark.parametrize(
    ("end", "prompt"),
    [
        ("So after all of that we would have to", LETTERS),
        ("The largest of the planets is the one that", OPTIONS),
        ("The answer is that the", OPTIONS),
        ("They were built by the", 'End with the words "over and out".'),
        ("I think that it has to be and", "Is it so? Answer with yes or no."),
        ("The last thing we have to say is", "Finish with the word DONE."),
        ("Then they went to see the work of the NASA", LETTERS),
        ("Verdict: not guilty of the first, and then it goes on", "Finish with 'Verdict: <v>'"),
        ("In the next year there were other", ""),
        ("People have long thought about freedom", 'What does "freedom" mean to you?'),
        ("I will have to extract the name", "Find the vendor. Reply with only the name."),
        ("Upgrade what you have today with the 100W", "Describe a 100W charger for my page."),
    ],
)  # fmt: skip
def test_a_sentence_without_its_end_is_none(end, prompt):
    assert not ends_on_answer(f"First we think about it.\n{end}", prompt)


def long_answers(end_of, prompt_of, n=60):
    words = [f"word{i}" for i in range(40)]
    rng = np.random.RandomState(0)
    X = []
    for i in range(n):
        texts = [" ".join([*rng.choice(words, 35 + (7 * i) % 60), "end."]) for _ in range(2)]
        X.append([prompt_of(i), f"{texts[0]}\n{end_of(i)}" if i < 8 else texts[0], texts[1]])
    return np.array(X, dtype=object), np.arange(n) % 2


def test_answer_strings_are_not_cut_off_and_cut_sentences_are():
    def truncated(end_of):
        X, y = long_answers(end_of, lambda i: f"Question {i}. {LETTERS}")
        return check_preferences(X, y).truncated

    assert not truncated(lambda i: f"So by all of this we have {'ABCDEFGH'[i] * 5}").row.size
    cut = truncated(lambda i: "So by all of this we have the")
    assert cut.row.tolist() == list(range(8))
    assert set(cut.reason) == {"within a sentence"}


TALK = (
    "How do I bake a loaf of bread?",
    "User: How do I bake a loaf of bread?\n\nAssistant: With flour.\n\nUser: How much?",
    "User: How do I bake a loaf of bread?\n\nAssistant: With flour.\n\nUser: How much?\n\n"
    "Assistant: A pound.\n\nUser: And then what?",
    "Human: How do I bake a loaf of BREAD?\n\nAssistant: With flour.\n\nHuman: Which?",
    "How do I bake a loaf of bread? User: no, a cake",
    "User: Hi\n\nAssistant: Hello.\n\nUser: How old is the moon?",
    "Hi",
    "User: How do I bake a cake?\n\nAssistant: With flour.\n\nUser: How much?",
)


def test_conversations_are_joined_with_what_they_continue():
    beginning, continuing = find_continued(list(TALK))
    assert beginning.tolist() == [0, 1, 0]
    assert continuing.tolist() == [1, 2, 3]
    none = find_continued([TALK[0], TALK[4], f"{TALK[0]}\nUse rye."])
    assert not none[0].size


def talks(n):
    rng = np.random.RandomState(0)
    topics = [f"topic{i} of kind{i % 7}" for i in range(n)]
    rows = []
    for i, topic in enumerate(topics):
        first = f"What do you know about {topic}?"
        longer = [
            {"role": "user", "content": first},
            {"role": "assistant", "content": " ".join(f"fact{i}of{j}" for j in range(12))},
            {"role": "user", "content": "Then tell me."},
        ]
        for prompt in (first, longer) if i % 2 else (first, first):
            a, b = (" ".join(rng.choice(["some", "other", "words"], 8)) for _ in range(2))
            rows.append({"prompt": prompt, "chosen": a, "rejected": f"{b} {i}"})
    return rows


def test_an_audit_counts_a_conversation_and_its_beginning_as_one_prompt():
    audit = compute_audit(talks(40))
    assert audit["sizes"]["n_groups"] == 40
    (found,) = (f["text"] for f in audit["health"] if "continue" in f["text"])
    assert found.startswith("20 prompts are conversations that continue another prompt")
    assert "60 groups into 40" in found
    size = audit_sections(audit)[0].blocks[0].rows[1]
    assert size == (
        "independent prompts (similar ones joined, and conversations that continue another)", 40
    )  # fmt: skip
    alone = compute_audit([row for row in talks(40) if isinstance(row["prompt"], str)])
    assert not any("continue" in finding["text"] for finding in alone["health"])
