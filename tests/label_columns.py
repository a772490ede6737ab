"""Columns of labels, resolved beside columns of responses that are called this or that."""

from sklearn_codex._labels.resolve import resolve_labels

LETTERS = ("response_a", "response_b")
FROM_0 = ("response_0", "response_1")
FROM_1 = ("output_1", "output_2")
NAMES = ("gpt_answer", "claude_answer")
PLACES = ("left", "right")


def line(row):
    return f"prefs.csv, line {row + 2}"


def resolve(values, column, responses, **options):
    first, second = responses
    return resolve_labels(values, line, column=column, first=first, second=second, **options)
