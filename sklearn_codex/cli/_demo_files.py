"""The files of the demo."""

from sklearn_codex import __version__
from sklearn_codex._output import OwnFiles

MODEL, FIGURES, PICTURE = "model.skops", "figures.json", "frontier.png"
PREFERENCES, HELD_OUT = "preferences.jsonl", "held_out.jsonl"
DEMO = OwnFiles("demo", (PREFERENCES, HELD_OUT, FIGURES, PICTURE, MODEL), __version__)
