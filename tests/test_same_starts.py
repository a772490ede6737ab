"""Prompts that stand nowhere but at the beginning of both responses are pointed at."""

import pytest
from audit_pairs import write

from sklearn_codex._layouts.given import Given
from sklearn_codex.datasets import read_preferences
from sklearn_codex.report.audit import compute_audit

STARTS = [f"What is {number} plus one? Well," for number in range(10)]


@pytest.mark.parametrize("starts", [STARTS, [f"{i}月の晴れの日には何を、" for i in range(10)]])
def test_prompts_that_only_stand_in_the_responses_are_pointed_at(starts, tmp_path):
    rows = [{"chosen": f"{s} yes {i} {i}", "rejected": f"{s} no"} for i, s in enumerate(starts)]
    rows[3]["rejected"] = "No, never in all my life"
    note = "Both responses begin with the same words in 90 % of the pairs, as if each began with"
    told = [note in text for text in read_preferences(rows).notes]
    assert sum(told) == 1
    path = write(tmp_path / "pairs.jsonl", rows)
    audit = compute_audit(path, given=Given(command=True))
    assert note in audit["prompts"]["warning"]
    assert "as a column of its own, and say --prompt NAME." in audit["prompts"]["warning"]
    assert not any(note in text for text in audit["read"]["notes"])


@pytest.mark.parametrize(
    "rows",
    [
        [(f"Sure, here is {i}", f"Sure, here is {i + 1}") for i in range(10)],  # one start
        [(f"It is {i} now", f"It was {i} then") for i in range(10)],  # two words
        [(f"In {i} days yes", f"In {i} days no") for i in range(8)] + [("a", "b"), ("c", "d")],
        [(f"In {i} days yes", f"In {i} days no") for i in range(3)],  # few pairs
        [(f"In {i} days yes", f"In {i} days yes") for i in range(10)],  # no pair that differs
    ],
)
def test_words_that_many_responses_begin_with_are_no_prompt(rows):
    notes = read_preferences([{"chosen": one, "rejected": other} for one, other in rows]).notes
    assert not any("the same words" in note for note in notes)
