"""Pairs as an example shows them: where they stand, and their texts under the names they have."""

from sklearn_codex.report._audit_places import name_places

NAMES = {
    "prompt": "Prompt",
    "chosen": "Chosen",
    "rejected": "Rejected",
    "response_a": "A",
    "response_b": "B",
}


def named_texts(row, prefix=""):
    """Return the texts of a pair under their labels; a pair without a prompt has none."""
    texts = [
        (label, row[f"{prefix}{name}"]) for name, label in NAMES.items() if f"{prefix}{name}" in row
    ]
    return [(label, text) for label, text in texts if label != "Prompt" or text.strip()]


def unnamed_texts(row):
    """Return the texts of two responses that nobody has compared: neither is the first."""
    return [
        ("Prompt", row["prompt"]),
        ("One", row["response_a"]),
        ("The other", row["response_b"]),
    ]


def place(row):
    """Return where a pair stands, at the beginning of a sentence."""
    return name_places([row["where"]])
