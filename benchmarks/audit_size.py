"""How long `sklearn-codex audit`, reading and fitting take on large files, and how much memory.

Made-up pairs: words drawn by Zipf's law, each prompt with pairs of its own, and labels by a planted
taste for some words and, weakly, for length. Each command runs in a process of its own, whose peak
memory is what the system counted of it.

    python benchmarks/audit_size.py                               # 20,000 and 200,000 pairs
    python benchmarks/audit_size.py --pairs 200000 --commands audit
    python benchmarks/audit_size.py --pairs 200000 --steps        # what takes how long
    python benchmarks/audit_size.py --pairs 200000 --write pairs.jsonl   # the pairs only
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import print_header, print_row, show_memory
from scipy.special import expit

N_WORDS, N_LIKED, WORDS_OF_RESPONSE = 20_000, 300, 66
PAIRS_PER_PROMPT = 20 / 3
COMMANDS = ["read_preferences", "fit --preferences", "audit"]
SHARE_OF_TIES, SHARE_OF_COPIES = 0.03, 0.02
RUN = "import sys; from sklearn_codex.cli import main; sys.exit(main(sys.argv[1:]))"
READ = "import sys; from sklearn_codex import read_preferences; read_preferences(sys.argv[1])"
STEPS = """
import sys, time
from sklearn_codex.report.audit import compute_audit
start, name = time.perf_counter(), "imports"
def step(next_name):
    global start, name
    now = time.perf_counter()
    print(f"{now - start:8.1f} s  {name}", flush=True)
    start, name = now, next_name
compute_audit(sys.argv[1], max_pairs=int(sys.argv[2]), step=step)
step("")
"""


def make_words(rng):
    """Return made-up words, the frequent ones short, and the probability of each."""
    syllables = [c + v + e for c in "bdfgklmnprstvz" for v in "aeiou" for e in ("", "n", "r", "s")]
    words = list(syllables[:60])
    seen = set(words)
    while len(words) < N_WORDS:
        n_syllables = 2 + int(len(words) > 1000) + rng.randint(2)
        word = "".join(syllables[i] for i in rng.randint(len(syllables), size=n_syllables))
        if word not in seen:
            seen.add(word)
            words.append(word)
    weight = 1 / (10.0 + np.arange(N_WORDS))
    return np.array(words, dtype=object), weight / weight.sum()


def write_text(words, ends):
    """Return words as sentences that end where ``ends`` says, some of them as paragraphs."""
    parts = []
    sentence = []
    for word, end in zip(words, ends, strict=True):
        sentence.append(word)
        if end < 0.08:
            mark = ".\n\n" if end < 0.005 else ".\n- " if end < 0.008 else ". "
            parts.append(" ".join(sentence).capitalize() + mark)
            sentence = []
    return ("".join(parts) + " ".join(sentence or ["sa"]).capitalize() + ".").strip()


def write_prompts(words, steps, n, rng):
    """Return prompts, some of which are earlier ones with another word or in capitals."""
    task = " ".join(words[200:205])
    prompts = []
    for size in rng.randint(4, 20, n):
        if prompts and rng.uniform() < SHARE_OF_COPIES:
            other = prompts[rng.randint(len(prompts))]
            prompts.append(other.upper() if rng.uniform() < 0.2 else f"{other} {words[size]}")
            continue
        drawn = words[np.searchsorted(steps[:-1], rng.uniform(size=size))]
        text = write_text(drawn, np.ones(size))[:-1] + "?"
        prompts.append(f"{task}: {text}" if rng.uniform() < 0.3 else text)
    return prompts


def write_pairs(path, n_pairs, seed):
    """Write pairs as JSON lines."""
    rng = np.random.RandomState(seed)
    words, probability = make_words(rng)
    taste = np.zeros(N_WORDS)
    taste[rng.choice(2000, N_LIKED, replace=False)] = rng.normal(0, 0.5, N_LIKED)
    steps = np.cumsum(probability)
    n_prompts = max(1, round(n_pairs / PAIRS_PER_PROMPT))
    prompts = write_prompts(words, steps, n_prompts, rng)
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(n_pairs):
            texts, values = [], []
            for size in np.maximum(5, rng.gamma(6, WORDS_OF_RESPONSE / 6, 2)).astype(int):
                drawn = np.searchsorted(steps[:-1], rng.uniform(size=size))
                texts.append(write_text(words[drawn], rng.uniform(size=size)))
                values.append(taste[drawn].sum() + 0.004 * size)
            label = float(rng.uniform() < expit(values[0] - values[1]))
            if rng.uniform() < SHARE_OF_TIES:
                label = 0.5
            row = {"prompt": prompts[rng.randint(n_prompts)], "response_a": texts[0]}
            file.write(json.dumps(row | {"response_b": texts[1], "label": label}) + "\n")


def measure(program, *words, shown=False):
    """Run a program in a process; return its seconds, those of its processors, and peak MB."""
    command = [sys.executable, "-c", program, *map(str, words)]
    # As a user runs it, not on one thread as the other benchmarks.
    environment = {name: value for name, value in os.environ.items() if "_NUM_THREADS" not in name}
    output = None if shown else subprocess.DEVNULL
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=output, env=environment) as child:
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} ended with {child.returncode}.")
    kilobytes = used.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, kilobytes / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[20_000, 200_000], metavar="N")
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    parser.add_argument("--max-pairs", type=int, default=20_000, help="as of audit")
    parser.add_argument("--steps", action="store_true", help="show the seconds of each step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", metavar="FILE", help="write the pairs there, and do no more")
    arguments = parser.parse_args()
    if arguments.write:
        write_pairs(arguments.write, arguments.pairs[-1], arguments.seed)
        return
    print_header("pairs", "file", "command", "seconds", "of processors", "peak memory")
    for n_pairs in arguments.pairs:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pairs.jsonl"
            write_pairs(path, n_pairs, arguments.seed)
            size = f"{path.stat().st_size / 1e6:.0f} MB"
            if arguments.steps:
                measure(STEPS, path, arguments.max_pairs, shown=True)
                continue
            for name, program, words in runs(Path(folder), path, arguments):
                wall, processors, peak = measure(program, *words)
                print_row(f"{n_pairs:,}", size, name, f"{wall:.0f} s", f"{processors:.0f} s",
                          show_memory(peak))  # fmt: skip


def runs(folder, path, arguments):
    """Return the name, the program and the words of each command to run."""
    audit = ["audit", path, "--out", folder / "report", "--no-progress"]
    every = {
        "read_preferences": (READ, [path]),
        "fit --preferences": (RUN, ["fit", "--preferences", path, "--out", folder / "m.skops"]),
        "audit": (RUN, [*audit, "--max-pairs", arguments.max_pairs]),
    }
    return [(name, *every[name]) for name in arguments.commands]


if __name__ == "__main__":
    main()
