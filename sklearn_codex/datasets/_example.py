"""Example preferences that come with the package, and the program that wrote them."""

import json
from importlib.resources import files
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.random import RandomState

from sklearn_codex._bunch import DataBunch
from sklearn_codex._output import new_file
from sklearn_codex.datasets._example_texts import (
    ASKED,
    CLOSINGS,
    HEDGES,
    PRAISE,
    REFUSALS,
    TOPICS,
)
from sklearn_codex.datasets._readers import read_preferences

FILE = "example_preferences.jsonl"
SEED = 20
DESCR = """\
Example preferences
===================

300 pairs of made-up responses to 100 made-up prompts, three to a prompt, with labels that are
**simulated**: no person and no language model was asked. They come with the package, so that each
command and each line of the documentation has something to run on.

:prompt: 25 household tasks, asked for in four ways
:response_a, response_b: by two of four simulated writers
:winner: a, b or tie
:model_a, model_b: the writers: amber gives examples, birch praises and goes on, cedar is brief,
    delta hedges and now and then refuses
:task: the way of asking: how-to, checklist, mistakes, child
:annotator: one of three simulated people

The simulated annotators like an example (1.6 in log-odds), each piece of advice (0.5) and dislike
hedging (1.2), praise (0.8) and refusals (2.5). Length has no part in it, though advice is words.
Nearly equal responses are ties, and one label in twenty is recorded the wrong way round.
"""

# Of each writer: the chance of a hedge, of praise, of an example, of a refusal; the mean number of
# pieces of advice and of closing sentences.
_WRITERS = {
    "amber": (0.05, 0.10, 0.85, 0.00, 2.6, 0.3),
    "birch": (0.15, 0.75, 0.40, 0.00, 2.8, 1.6),
    "cedar": (0.05, 0.05, 0.25, 0.02, 1.8, 0.1),
    "delta": (0.70, 0.10, 0.25, 0.12, 2.2, 0.8),
}
_WORTH = np.array([-1.2, -0.8, 1.6, -2.5, 0.5])  # of a hedge, praise, example, refusal, advice
_TIE = 0.35  # utilities, noise and all, that are nearer than this
_FLIPPED = 0.05
_ANNOTATORS = ("ann", "ben", "cho")


def load_example_preferences():
    """Load 300 made-up preference pairs that come with the package.

    **The labels are simulated**: no person and no language model was asked. Nothing is downloaded;
    ``sklearn-codex audit --example`` reads the same file.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        What :func:`read_preferences` returns for the file, with the columns ``model_a``,
        ``model_b`` and ``task``, and

        filename : str
            Path of the file, JSON lines.
        DESCR : str
            Description of the data, and of what the simulated annotators like.

    See Also
    --------
    make_preferences : Pairs whose reward weights are known, as many as you like.
    load_stdlib_code : Real code with simulated preferences.

    Examples
    --------
    >>> from sklearn_codex.datasets import load_example_preferences
    >>> data = load_example_preferences()
    >>> data.X.shape, len(set(data.groups))
    ((300, 3), 100)
    >>> print(data.X[0, 0])
    How do I descale a kettle?
    """
    path = example_path()
    data = read_preferences(path)
    return DataBunch(**{**data, "filename": str(path), "DESCR": DESCR})


def example_path() -> Path:
    """Return the path of the file."""
    return Path(str(files("sklearn_codex.datasets") / FILE))


def make_example(seed: int = SEED) -> list[dict[str, str]]:
    """Return the rows of the file, drawn anew."""
    rng = np.random.RandomState(seed)
    rows = []
    for topic in TOPICS:
        for kind, asked in ASKED.items():
            names = rng.permutation(list(_WRITERS))[:3]
            written = [_write(topic, *_WRITERS[name], rng) for name in names]
            for first, second in combinations(range(3), 2):
                a, b = (first, second) if rng.uniform() < 0.5 else (second, first)
                rows.append(
                    {
                        "prompt": asked.format(task=topic.task),
                        "response_a": written[a][0],
                        "response_b": written[b][0],
                        "winner": _judge(written[a][1] - written[b][1], rng),
                        "model_a": str(names[a]),
                        "model_b": str(names[b]),
                        "task": kind,
                        "annotator": str(rng.choice(_ANNOTATORS)),
                    }
                )
    return rows


def _write(topic, hedge, praise, example, refusal, advice, closing, rng: RandomState):
    """Return a response and what it is worth to an annotator."""
    hedges, praises, has_example, refuses = rng.uniform(size=4) < (hedge, praise, example, refusal)
    if refuses:
        return str(rng.choice(REFUSALS)), float(_WORTH[3])
    n_facts = int(np.clip(rng.poisson(advice - 1) + 1, 1, 4))
    facts = [topic.facts[i] for i in sorted(rng.permutation(4)[:n_facts])]
    parts = [
        *([rng.choice(PRAISE)] if praises else []),
        *([rng.choice(HEDGES)] if hedges else []),
        *facts,
        *([topic.example] if has_example else []),
        *rng.permutation(CLOSINGS)[: min(rng.poisson(closing), 4)],
    ]
    worth = float(_WORTH @ [hedges, praises, has_example, False, n_facts])
    return " ".join(map(str, parts)), worth


def _judge(difference: float, rng: RandomState) -> str:
    """Return whether a, b or neither is preferred, with logistic noise."""
    margin = difference + rng.logistic()
    flipped = rng.uniform() < _FLIPPED
    if abs(margin) < _TIE:
        return "tie"
    return "a" if (margin > 0) != flipped else "b"


def write_example() -> None:
    """Write the file of the package, as it is: ``python -m sklearn_codex.datasets._example``."""
    remedy = "Run it where the package is installed from a checkout."
    with new_file(example_path(), overwrite=True, subject="write_example", remedy=remedy) as file:
        file.write(example_bytes())


def example_bytes() -> bytes:
    """Return what the file holds."""
    return "".join(json.dumps(row) + "\n" for row in make_example()).encode()


if __name__ == "__main__":
    write_example()
