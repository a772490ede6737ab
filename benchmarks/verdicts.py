"""How often whole audits say what does not hold, and what does.

    python benchmarks/verdicts.py [data sets a row] [kinds of data]

Data of five kinds, in which the truth is known, are audited at three sizes. A sentence that does
not hold should be seen in at most 5 % of the data sets; one that holds, the more often the more
data there are.
"""

import sys
import time

import numpy as np

from sklearn_codex._verdicts import judge_share
from sklearn_codex.report.audit import compute_audit

SIZES = ((15, 8), (60, 5), (200, 5))  # prompts, pairs of each
WORDS = np.array([f"{'abcdefghij'[i % 10] * (1 + i % 7)}{i}" for i in range(80)])

# Kind of data: sentences that do not hold.
NO_MODEL = {
    "predictable": ("yes",),
    "words predict": ("yes",),
    "beyond length": ("more", "less"),
    "treats length": ("both", "padding", "brevity"),
    "net of length": ("yes",),
    "more labels": ("rising", "flat"),
    "calibrated": ("close", "too sure", "too careful"),
    "wrong labels": ("some",),
}
NO_LIST = {"form": ("some",), "tokens": ("some",)}
NO_ORDER = {"position": ("A", "B")}
NO_LENGTH = {"longer wins": ("longer", "shorter")}
FALSE = {
    "coin": NO_MODEL | NO_LIST | NO_ORDER | NO_LENGTH,
    "coin of prompts": NO_MODEL | NO_LIST | NO_ORDER | NO_LENGTH,
    "length": NO_ORDER
    | {
        "longer wins": ("shorter",),
        "beyond length": ("more",),
        "treats length": ("both", "brevity"),
        "net of length": ("yes",),
        "wrong labels": ("some",),
    },
    "brevity": NO_ORDER
    | {
        "longer wins": ("longer",),
        "beyond length": ("more",),
        "treats length": ("both", "padding"),
        "net of length": ("yes",),
        "wrong labels": ("some",),
    },
    "words": NO_ORDER
    | NO_LENGTH
    | {
        "beyond length": ("less",),
        "treats length": ("padding", "brevity"),
        "wrong labels": ("some",),
    },
}
TRUE = {
    "length": {"longer wins": ("longer",), "predictable": ("yes",), "treats length": ("padding",)},
    "brevity": {
        "longer wins": ("shorter",),
        "predictable": ("yes",),
        "treats length": ("brevity",),
    },
    "words": {
        "predictable": ("yes",),
        "words predict": ("yes",),
        "tokens": ("some",),
        "beyond length": ("more",),
        "treats length": ("both",),
        "net of length": ("yes",),
    },
}


def make_rows(kind, n_prompts, n_each, seed):
    """Return pairs of random text and labels of a kind."""
    rng = np.random.RandomState(seed)
    rows = []
    for prompt in range(n_prompts):
        side = rng.choice([-1, 1])
        for _ in range(n_each):
            a, b = (write(rng) for _ in range(2))
            longer = len(a) - len(b)
            logit = {
                "coin": 0.0,
                # All pairs of a prompt go one way, which way is a coin.
                "coin of prompts": 3.0 * side * np.sign(longer),
                "length": longer / 60,
                "brevity": -longer / 60,
                "words": 4.0 * (a.lower().count("good") - b.lower().count("good")),
            }[kind]
            label = int(rng.uniform() < 1 / (1 + np.exp(-logit)))
            rows.append(
                {
                    "prompt": f"{WORDS[prompt % 80]} number {prompt}",
                    "response_a": a,
                    "response_b": b,
                    "label": label,
                }
            )
    return rows


def write(rng):
    """Return a response: sentences of random words, the word "good" in half of them."""
    words = rng.choice(WORDS, rng.randint(5, 40)).tolist()
    words[0] = "good" if rng.uniform() < 0.5 else "poor"
    text = " ".join(words)
    return text.capitalize() + "." if rng.uniform() < 0.5 else text


def measure(kind, size, n_sets):
    """Return the share of the data sets with each verdict."""
    counts: dict = {}
    for seed in range(n_sets):
        verdicts = compute_audit(make_rows(kind, *size, seed))["verdicts"]
        for question, found in verdicts.items():
            key = question, found["verdict"]
            counts[key] = counts.get(key, 0) + 1
    return {key: count / n_sets for key, count in counts.items()}


def main():
    n_sets = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    sizes = [f"{prompts} x {each}" for prompts, each in SIZES]
    print(f"{n_sets} data sets a row; prompts x pairs of each")
    print(
        f"{'data':16}{'question':16}{'verdict':13}{'holds':7}" + "".join(f"{s:>9}" for s in sizes)
    )
    start = time.perf_counter()
    for kind in sys.argv[2:] or FALSE:
        rates = [measure(kind, size, n_sets) for size in SIZES]
        for holds, table in (("no", FALSE[kind]), ("yes", TRUE.get(kind, {}))):
            for question, verdicts in table.items():
                for verdict in verdicts:
                    row = [rate.get((question, verdict), 0.0) for rate in rates]
                    print(
                        f"{kind:16}{question:16}{verdict:13}{holds:7}"
                        + "".join(f"{100 * value:8.1f}%" for value in row),
                        flush=True,
                    )
    print(f"{time.perf_counter() - start:.0f} s")
    bound = judge_share(np.zeros(n_sets), np.arange(n_sets)).high
    print(f"A sentence seen in none of {n_sets} data sets has a rate below {100 * bound:.1f} %.")


if __name__ == "__main__":
    main()
