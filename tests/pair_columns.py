"""Made-up pairs as rows of columns of any name."""

ROWS = [
    ("What is two plus two?", "It is four.", "Five it is."),
    ("Name a colour, please.", "Red, I think.", "Loud is a colour."),
    ("What is two plus two?", "Maybe four?", "Six at least."),
]


def labelled(first, second, prompt="prompt", label="label", words=("a", "b"), **others):
    """Return rows of two responses, of which the first, the second and the first are better."""
    return [
        {prompt: p, first: a, second: b, label: words[i % 2], **others}
        for i, (p, a, b) in enumerate(ROWS)
    ]


def oriented(chosen="chosen", rejected="rejected", prompt="prompt", **others):
    """Return rows of which the first response is always better."""
    return [{prompt: p, chosen: a, rejected: b, **others} for p, a, b in ROWS]
