"""Limits of the audit."""

MAX_PAIRS = 20_000
"""Models learn from a sample of more pairs than this. Of so many the interval of an accuracy is
about ±1 point, and the features of their responses fit into 2 GB."""
