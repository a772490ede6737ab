"""How often whole audits say what does not hold, and what does.

    python benchmarks/verdicts.py [data sets a row] [kinds of data] [prompts x pairs, ...]
    python benchmarks/verdicts.py [data sets a row] rules

Data of nine kinds, in which the truth is known, are audited at three sizes, or at those given,
such as 15x8. A sentence that does not hold should be seen in at most 5 % of the data sets; one that
holds, the more often the more data there are. "!" marks what a rate of 5 % gives in fewer than one
row of a hundred. "on the whole" is the verdict on all of an audit. "rules" are single verdicts on
simulated figures, many data sets in seconds.
"""

import sys
import time

import numpy as np
from scipy.special import expit
from scipy.stats import binom
from sklearn.utils import Bunch

from sklearn_codex._verdicts import GIVEN, LEVEL, judge_share
from sklearn_codex.report._audit_ceiling import bound_agreement
from sklearn_codex.report._audit_decision import FIX, STOP, TRAIN
from sklearn_codex.report._audit_predict import calibrate
from sklearn_codex.report._audit_run import finite
from sklearn_codex.report._audit_sections_policy import learned_section
from sklearn_codex.report._audit_verdicts import _calibrated
from sklearn_codex.report.audit import compute_audit

SIZES = ((15, 8), (60, 5), (200, 5))  # prompts, pairs of each
WORDS = np.array([f"{'abcdefghij'[i % 10] * (1 + i % 7)}{i}" for i in range(80)])

PROMISES = (
    "Not beyond about",
    "still rises at",
    "Go no farther",
    "No fall up to",
    "start above it",
)
"""What is said where a KL is called one to go to."""

# Kind of data: sentences that do not hold.
NO_MODEL = {
    "on the whole": (TRAIN, FIX),
    "a KL": ("promised",),
    "predictable": ("yes",),
    "words predict": ("yes",),
    "beyond length": ("more", "less"),
    "treats length": ("both", "padding", "brevity"),
    "net of length": ("yes",),
    "more labels": ("rising", "flat"),
    "calibrated": ("close", "too sure", "too careful", "uneven"),
    "wrong labels": ("some",),
}
NO_LIST = {"form": ("some",), "tokens": ("some",)}
NO_ORDER = {"position": ("A", "B")}
NO_LENGTH = {"longer wins": ("longer", "shorter")}
WRONG_REASONS = ("wrong labels", "rows that harm", "many rows")
"""To mend first, where no label is wrong and no row is bad."""
ONLY_LENGTH = {"on the whole": (TRAIN,), "reason": WRONG_REASONS}
SOUND = {"on the whole": (STOP, FIX)}
FALSE = {
    "coin": NO_MODEL | NO_LIST | NO_ORDER | NO_LENGTH,
    "coin of prompts": NO_MODEL | NO_LIST | NO_ORDER | NO_LENGTH,
    "length": NO_ORDER
    | ONLY_LENGTH
    | {
        "longer wins": ("shorter",),
        "beyond length": ("more",),
        "treats length": ("both", "brevity"),
        "net of length": ("yes",),
        "wrong labels": ("some",),
    },
    "brevity": NO_ORDER
    | ONLY_LENGTH
    | {
        "longer wins": ("longer",),
        "beyond length": ("more",),
        "treats length": ("both", "padding"),
        "net of length": ("yes",),
        "wrong labels": ("some",),
    },
    "words": NO_ORDER
    | NO_LENGTH
    | SOUND
    | {
        "beyond length": ("less",),
        "treats length": ("padding", "brevity"),
        "wrong labels": ("some",),
    },
    "length and words": NO_ORDER
    | {
        "on the whole": (STOP,),
        "reason": WRONG_REASONS,
        "longer wins": ("shorter",),
        "beyond length": ("less",),
        "treats length": ("brevity",),
        "wrong labels": ("some",),
    },
    # The longer is better in half of the prompts, the shorter in the others.
    "opposite": NO_MODEL | NO_LIST | NO_ORDER | NO_LENGTH,
    # One "good" is good, more of it no better: the learned reward promises more for more.
    "saturating": NO_ORDER
    | NO_LENGTH
    | SOUND
    | {"the gain": ("all real",), "wrong labels": ("some",)},
    # A refusal, chosen wherever it stands, in three of ten pairs; the others are coins. As it is
    # short, length alone is right on .64, where no model can be on more than .65, and a learned
    # reward is right to be said to reward brevity in the others.
    "refusal": NO_ORDER
    | {"reason": WRONG_REASONS, "the gain": ("all real",), "wrong labels": ("some",)},
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
    "length and words": {
        "longer wins": ("longer",),
        "predictable": ("yes",),
        "beyond length": ("more",),
    },
    "saturating": {"predictable": ("yes",), "words predict": ("yes",)},
    "refusal": {"predictable": ("yes",), "words predict": ("yes",)},
}
RIGHT = dict.fromkeys(("words", "length and words", "saturating"), TRAIN)
"""Verdicts on the whole that data of a kind deserve where they are enough; else ``STOP``."""


def make_rows(kind, n_prompts, n_each, seed):
    """Return pairs of random text and labels of a kind."""
    rng = np.random.RandomState(seed)
    rows = []
    for prompt in range(n_prompts):
        side = rng.choice([-1, 1])
        for _ in range(n_each):
            a, b = (write(rng) for _ in range(2))
            if kind == "saturating":
                more = (rng.randint(9) if rng.uniform() < 0.5 else 0 for _ in range(2))
                a, b = (f"{t} {' '.join(['good'] * n)}" for t, n in zip((a, b), more, strict=True))
            if kind == "refusal" and rng.uniform() < 0.3:
                a, b = (REFUSAL, b) if rng.uniform() < 0.5 else (a, REFUSAL)
            longer = len(a) - len(b)
            logit = {
                "coin": 0.0,
                # All pairs of a prompt go one way, which way is a coin.
                "coin of prompts": 3.0 * side * np.sign(longer),
                "length": longer / 60,
                "brevity": -longer / 60,
                "words": 4.0 * (has_good(a) - has_good(b)),
                "length and words": longer / 60 + 4.0 * (has_good(a) - has_good(b)),
                "opposite": (-1) ** prompt * longer / 60,
                "saturating": 4.0 * (has_good(a) - has_good(b)),
                "refusal": 50.0 * ((a == REFUSAL) - (b == REFUSAL)),
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


REFUSAL = "I am sorry that I cannot help with that."


def has_good(text):
    return "good" in text.lower()


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
        audit = finite(compute_audit(make_rows(kind, *size, seed)))
        verdicts = audit["verdicts"] | promises(audit)
        verdicts["on the whole"] = audit["decision"]
        verdicts["reason"] = {"verdict": audit["decision"]["reason"]}
        for question, found in verdicts.items():
            key = question, found["verdict"]
            counts[key] = counts.get(key, 0) + 1
    return {key: count / n_sets for key, count in counts.items()}


def promises(audit):
    """Return what the section on the policy promises, as verdicts."""
    section = learned_section(audit)
    said = [section.answer]
    for block in section.blocks:
        said += [getattr(block, name, "") for name in ("text", "meaning")]
    text = " ".join(said)
    kl = "promised" if any(words in text for words in PROMISES) else "not promised"
    real = "100 % of the promised" in text or "is real, the true" in text
    return {"a KL": {"verdict": kl}, "the gain": {"verdict": "all real" if real else "not told"}}


def print_kind(kind, rates, n_sets):
    """Print how often each sentence is seen, of rates by size."""
    true = {"on the whole": (RIGHT.get(kind, STOP),)} | TRUE.get(kind, {})
    for holds, table in (("no", FALSE[kind]), ("yes", true)):
        for question, verdicts in table.items():
            for verdict in verdicts:
                row = [rate.get((question, verdict), 0.0) for rate in rates]
                cells = (f"{100 * r:7.1f}%{mark(r, n_sets) if holds == 'no' else ' '}" for r in row)
                print(f"{kind:17}{question:16}{verdict:21}{holds:7}{''.join(cells)}", flush=True)


def mark(rate, n_sets):
    """Return "!" where a rate of 5 % gives so many in fewer than one row of a hundred."""
    return "!" if binom.sf(round(rate * n_sets) - 1, n_sets, LEVEL) < 0.01 else " "


def miscalibrated(rng, n_pairs, slope):
    """Return the verdict on probabilities whose log-odds are right times a slope."""
    margin = rng.normal(size=n_pairs)
    y = (rng.uniform(size=n_pairs) < expit(slope * margin)).astype(float)
    data = Bunch(y=y, groups=np.arange(n_pairs) // 5, decided=y != 0.5, seed=0)
    return _calibrated(calibrate(data, margin, inflation=GIVEN))["verdict"]


def missed_ceiling(rng, draw, n_votes):
    """Tell whether the interval of the ceiling misses the truth of p as they are drawn."""
    p = draw(rng, 20_000)
    best = np.maximum(p, 1 - p)
    right, none = binom.sf(n_votes // 2, n_votes, best), binom.pmf(n_votes / 2, n_votes, p)
    truth = right.sum() / (1 - none).sum()
    votes = rng.binomial(n_votes, draw(rng, 150))
    found = bound_agreement(votes, n_votes - votes, np.arange(150) // 3)
    return not found["low"] - 1e-3 <= truth <= found["high"] + 1e-3


VOTERS = {
    "beta": lambda rng, n: rng.beta(0.6, 0.6, n),
    "doubtful": lambda rng, n: rng.choice([0.3, 0.7], n),
    "clear or a coin": lambda rng, n: rng.choice([0.0, 0.5, 1.0], n),
}


def measure_rules(n_sets):
    """Print how often single verdicts are false."""
    rng = np.random.RandomState(0)
    for n_pairs in (200, 1000):
        for slope in (1.0, 0.5, 2.0):
            found = [miscalibrated(rng, n_pairs, slope) for _ in range(n_sets)]
            shares = {name: f"{100 * found.count(name) / n_sets:.1f}%" for name in sorted({*found})}
            print(f"calibration, {n_pairs} pairs, true slope {slope}: {shares}")
    for name, draw in VOTERS.items():
        for n_votes in (2, 3, 5):
            missed = np.mean([missed_ceiling(rng, draw, n_votes) for _ in range(n_sets)])
            print(f"ceiling, {n_votes} votes, {name}: missed in {100 * missed:.1f}%")


def main():
    n_sets = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    if "rules" in sys.argv[2:]:
        return measure_rules(n_sets)
    given = [tuple(map(int, name.split("x"))) for name in sys.argv[2:] if name not in FALSE]
    kinds = [name for name in sys.argv[2:] if name in FALSE]
    measured = given or SIZES
    sizes = [f"{prompts} x {each}" for prompts, each in measured]
    print(f"{n_sets} data sets a row; prompts x pairs of each")
    columns = "".join(f"{size:>9}" for size in sizes)
    print(f"{'data':17}{'question':16}{'verdict':21}{'holds':7}{columns}")
    start = time.perf_counter()
    for kind in kinds or FALSE:
        print_kind(kind, [measure(kind, size, n_sets) for size in measured], n_sets)
    print(f"{time.perf_counter() - start:.0f} s")
    bound = judge_share(np.zeros(n_sets), np.arange(n_sets)).high
    print(f"A sentence seen in none of {n_sets} data sets has a rate below {100 * bound:.1f} %.")


if __name__ == "__main__":
    main()
