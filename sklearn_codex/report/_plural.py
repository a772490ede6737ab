"""Numbers with their nouns."""


def count(n, noun):
    """Return a number with its noun."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
