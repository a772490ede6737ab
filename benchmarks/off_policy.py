"""How often 95% intervals of off-policy values cover, and how often a value is refused.

    python benchmarks/off_policy.py                     # about five minutes
    python benchmarks/off_policy.py --replications 100  # a look
    python benchmarks/off_policy.py --rst               # the table of the guide

Each prompt has four candidates, an effect of its own and as many logged choices as said, by a
logging policy that knows nothing of quality; the policy that is valued tilts by quality, more with
a larger tilt. Outcomes are numbers or clicks. "dr" has predictions that are wrong. A cell is the
share of values given, in percent, whose interval has the truth in it; of 1,000 its standard error
is .7 near 95. The last column is the share of replications whose value was refused.
"""

import argparse
import os
import warnings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
from scipy.special import expit, softmax

from sklearn_codex.exceptions import OverlapWarning
from sklearn_codex.metrics import off_policy_value

N_CANDIDATES = 4
METHODS = ("ips", "snips", "dr")
SETTINGS = [
    (outcome, tilt, n_prompts, each)
    for outcome in ("numbers", "clicks")
    for tilt in (0.5, 1.5)
    for n_prompts, each in ((50, 4), (200, 1), (200, 4), (1000, 1))
]


def draw(outcome, tilt, n_prompts, rng):
    """Return logging policy, policy and expected outcomes (n_prompts, N_CANDIDATES)."""
    quality, habit = rng.standard_normal((2, n_prompts, N_CANDIDATES))
    logging = softmax(0.7 * habit, axis=1)
    policy = softmax(tilt * quality + 0.3 * habit, axis=1)
    mean = quality + rng.standard_normal((n_prompts, 1))
    return logging, policy, expit(mean) if outcome == "clicks" else mean


def estimates(outcome, tilt, n_prompts, each, rng):
    """Return the estimate of each method from one log."""
    logging, policy, mean = draw(outcome, tilt, n_prompts, rng)
    groups = np.repeat(np.arange(n_prompts), each)
    below = np.cumsum(logging, axis=1)[groups] < rng.random((len(groups), 1))
    chosen = np.minimum(below.sum(axis=1), N_CANDIDATES - 1)
    expected = mean[groups, chosen]
    noise = rng.random(len(groups)) if outcome == "clicks" else rng.standard_normal(len(groups))
    seen = (noise < expected).astype(float) if outcome == "clicks" else expected + noise
    model = mean + 0.5 * np.sin(3 * mean)
    value = (policy * model).sum(axis=1)[groups]
    given = seen, policy[groups, chosen], logging[groups, chosen], groups
    more = {"dr": {"predicted": model[groups, chosen], "predicted_value": value}}
    return [off_policy_value(*given, method=m, **more.get(m, {})) for m in METHODS]


def coverage(setting, n_replications):
    """Return the coverage of each method, in percent, and the share refused."""
    _, policy, mean = draw(*setting[:2], 400_000, np.random.default_rng(99))
    truth = (policy * mean).sum(axis=1).mean()
    rng = np.random.default_rng(1)
    covered, n_given = np.zeros(len(METHODS)), 0
    for _ in range(n_replications):
        found = estimates(*setting, rng)
        if not found[0].refused:  # as for all methods, which have the same weights
            n_given += 1
            covered += [estimate.low <= truth <= estimate.high for estimate in found]
    return 100 * covered / max(n_given, 1), 100 * (1 - n_given / n_replications)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--rst", action="store_true")
    arguments = parser.parse_args()
    names = ("outcome", "tilt", "prompts", "choices of each", *METHODS, "refused")
    rule = " ".join("=" * max(7, len(name)) for name in names)
    shown = " ".join(f"{name:<{max(7, len(name))}}" for name in names)
    print(*([rule, shown, rule] if arguments.rst else [shown]), sep="\n")
    for setting in SETTINGS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OverlapWarning)
            percent, refused = coverage(setting, arguments.replications)
        cells = [*map(str, setting), *(f"{value:.1f}" for value in percent), f"{refused:.0f} %"]
        widths = [max(7, len(name)) for name in names]
        row = " ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
        print(row, flush=True)
    if arguments.rst:
        print(rule)


if __name__ == "__main__":
    main()
