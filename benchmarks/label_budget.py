"""How often the intervals of label_budget hold what more prompts bring.

    python benchmarks/label_budget.py [back-tests a set] [sets]

A part of the prompts of a set is known, a fourth of those that a model may learn from, or a half
where labels of a fourth are not told from a coin's, of which nothing is foreseen; what is predicted
for up to four times as many is held against models of so many, on prompts held out, whose number is
told (`n_test`). At least 85 of 100 intervals should hold it.
"""

import gzip
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from sklearn_codex import PreferenceRewardModel
from sklearn_codex.datasets import make_preferences
from sklearn_codex.features import preference_features
from sklearn_codex.model_selection import label_budget

DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETS = ("pandalm", "rmbench_code", "alpaca_eval", "simulated")
KNOWN_SHARES, MOST_PROMPTS = (0.25, 0.5), 240


def load(name):
    """Return differences of features, labels and prompts of a set, None where it is missing."""
    if name == "simulated":
        data = make_preferences(3000, n_prompts=600, temperature=0.7, random_state=0)
        return data.X / np.sqrt(20), data.y, data.groups
    path = DATA / f"{name}.jsonl.gz"
    if not path.exists():
        print(f"{name} is skipped: {path} is missing.")
        return None
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    prompts = np.unique([row["prompt"] for row in rows], return_inverse=True)[1]
    if prompts.max() >= MOST_PROMPTS:
        rows = [row for row, prompt in zip(rows, prompts, strict=True) if prompt < MOST_PROMPTS]
        prompts = prompts[prompts < MOST_PROMPTS]
    texts = [(row["prompt"], row[side]) for side in ("response_a", "response_b") for row in rows]
    preset = preference_features().set_params(characters__min_df=10)
    features = preset.fit_transform(texts).tocsr()
    y = np.array([row["label"] for row in rows], dtype=float)
    turned = np.random.RandomState(0).uniform(size=len(y)) < 0.5  # chosen ones may all be A
    D = features[: len(y)] - features[len(y) :]
    D = D.multiply(np.where(turned, -1.0, 1.0)[:, np.newaxis]).tocsr()
    return D, np.where(turned, 1 - y, y), prompts


def back_test(D, y, prompts, seed):
    """Return the rows of one back-test: factor, whether each interval holds, its half width."""
    rng = np.random.RandomState(seed)
    order = rng.permutation(np.unique(prompts))
    n_test = max(len(order) // 4, 40)
    test, rest = order[:n_test], order[n_test:]
    model = PreferenceRewardModel(tol=1e-3)
    for share in KNOWN_SHARES:
        known = rest[: max(round(len(rest) * share), 50)]
        rows = np.isin(prompts, known)
        factors = [f for f in (1.5, 2.0, 3.0, 4.0) if f * len(known) <= len(rest)]
        budget = label_budget(
            model, D[rows], y[rows], prompts[rows], factors=factors, n_repeats=2, n_test=n_test,
            random_state=seed,
        )  # fmt: skip
        if budget.predicted is not None:
            break
    else:
        return []
    held_out = np.flatnonzero(np.isin(prompts, test))
    found = []
    for told in budget.predicted:
        train = np.isin(prompts, rest[: told["n_prompts"]]) & (y != 0.5)
        margins = model.fit(D[train], (y[train] > 0.5).astype(int)).decision_function(D[held_out])
        truth, decided = y[held_out], y[held_out] != 0.5
        accuracy = np.mean((margins > 0)[decided] == (truth > 0.5)[decided])
        loss = np.mean(truth * np.logaddexp(0, -margins) + (1 - truth) * np.logaddexp(0, margins))
        found.append(
            (
                told["factor"],
                told["accuracy_low"] <= accuracy <= told["accuracy_high"],
                told["log_loss_low"] <= loss <= told["log_loss_high"],
                (told["accuracy_high"] - told["accuracy_low"]) / 2,
                (told["log_loss_high"] - told["log_loss_low"]) / 2,
                accuracy - told["accuracy"],
                loss - told["log_loss"],
            )
        )
    return found


def main():
    """Print the coverage by set and factor."""
    n_tests = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    start = time.perf_counter()
    print(f"{n_tests} back-tests a set; intervals of 95%, of errors on prompts held out")
    print("set            factor   n  covers: accuracy  nats   half widths    mean error")
    everything = []
    for name in sys.argv[2:] or SETS:
        data = load(name)
        if data is None:
            continue
        found = [back_test(*data, seed) for seed in range(n_tests)]
        rows = [row for one in found for row in one]
        everything += rows
        print(f"{name}: something is foreseen in {sum(map(bool, found))} of {n_tests}", flush=True)
        for factor in sorted({row[0] for row in rows}):
            here = np.array([row for row in rows if row[0] == factor], dtype=float)
            mean = here.mean(axis=0)
            print(
                f"{name:15}{factor:6g}{len(here):5}{mean[1]:17.2f}{mean[2]:7.2f}"
                f"{mean[3]:9.3f} {mean[4]:.3f} {mean[5]:+8.3f} {mean[6]:+.3f}",
                flush=True,
            )
    if everything:
        covers = np.mean(np.array(everything, dtype=float)[:, 1:3], axis=0)
        print(f"all: {covers[0]:.2f} of accuracies, {covers[1]:.2f} of log-losses")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
