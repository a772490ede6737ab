"""How often the audit says that a kind of pair differs, where none does and where one does.

    python benchmarks/slices.py [data sets a row]

Each data set has a column of the pair, a column of each prompt, a column of each side and topics of
prompts. Labels are coins, coins of whole prompts, or follow a word in all pairs alike; at last they
follow it in the pairs of one kind alone, or one of three models is better. That kinds differ and
that models do are two questions, each at the level of 5 %. The reward is the one of word counts,
cross-fitted.
"""

import sys
import time

import numpy as np
from verdicts import WORDS, write

from sklearn_codex import read_preferences
from sklearn_codex._layouts.given import Given
from sklearn_codex._verdicts import judge_share
from sklearn_codex.report._audit_authors import find_authors
from sklearn_codex.report._audit_columns import find_cuts
from sklearn_codex.report._audit_data import AuditData, cross_fit
from sklearn_codex.report._audit_slices import audit_slices

SIZES = ((60, 5), (200, 5))  # prompts, pairs of each
KINDS = ("coin", "coin of prompts", "words", "words in one kind", "models")
AUTHORS = ("model", "rating")
PLANTED = {"words in one kind": {("level", "accuracy")}, "models": {AUTHORS}}


def make_rows(kind, n_prompts, n_each, seed):
    """Return pairs of random text with columns that say nothing, but for the last two kinds."""
    rng = np.random.RandomState(seed)
    rows = []
    for prompt in range(n_prompts):
        side = rng.choice([-1, 1])
        of_prompt = str(rng.choice(["news", "sport", "film"]))
        words = " ".join(rng.choice(WORDS[(prompt % 3) * 25 :][:25], 5))
        for _ in range(n_each):
            a, b = (write(rng) for _ in range(2))
            good = a.lower().count("good") - b.lower().count("good")
            of_pair = str(rng.choice(["hard", "easy"]))
            model_a, model_b = (str(rng.choice(list("xyz"))) for _ in range(2))
            logit = {
                "coin": 0.0,
                "coin of prompts": 3.0 * side * np.sign(len(a) - len(b)),
                "words": 2.0 * good,
                "words in one kind": 4.0 * good * (of_pair == "easy"),
                "models": 1.0 * ((model_a == "x") - (model_b == "x")),
            }[kind]
            label = float(rng.uniform() < 1 / (1 + np.exp(-logit)))
            rows.append(
                {
                    "prompt": f"{words} number {prompt}",
                    "response_a": a,
                    "response_b": b,
                    "label": 0.5 if rng.uniform() < 0.1 else label,
                    "level": of_pair,
                    "source": of_prompt,
                    "model_a": model_a,
                    "model_b": model_b,
                }
            )
    return rows


def differences(rows):
    """Return what is said to differ: pairs of a cut and a measure."""
    pairs = read_preferences(rows)
    data = AuditData(pairs, pairs.groups, 0)
    margin = cross_fit(data, data.words, C=0.01)
    figures = audit_slices(data, margin, find_cuts(pairs, Given()), find_authors(pairs))
    authors = {AUTHORS} if figures["authors"]["n_differing"] else set()
    return authors | {
        (cut["name"], name)
        for cut in figures["cuts"]
        for row in cut["rows"]
        for name, test in row["tests"].items()
        if test["differs"]
    }


def main():
    n_sets = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    start = time.perf_counter()
    print(f"{n_sets} data sets a row; prompts x pairs of each")
    for kind in KINDS:
        for size in SIZES:
            found = [differences(make_rows(kind, *size, seed)) for seed in range(n_sets)]
            planted = PLANTED.get(kind, set())
            n_false = sum(bool(one - planted - {AUTHORS}) for one in found)
            n_authors = sum(AUTHORS in one - planted for one in found)
            n_true = sum(bool(one & planted) for one in found)
            seen = f"  planted {100 * n_true / n_sets:5.1f}%" if planted else ""
            print(
                f"{kind:20}{size[0]:4} x {size[1]}  false: "
                f"any kind {100 * n_false / n_sets:5.1f}%, models "
                f"{100 * n_authors / n_sets:5.1f}%{seen}",
                flush=True,
            )
    print(f"{time.perf_counter() - start:.0f} s")
    bound = judge_share(np.zeros(n_sets), np.arange(n_sets)).high
    print(f"What is said in none of {n_sets} data sets has a rate below {100 * bound:.1f} %.")


if __name__ == "__main__":
    main()
