"""Training on data ten times larger than the memory given to the process, by `partial_fit`.

    python benchmarks/out_of_core.py                       # 32 MB of memory, 320 MB of data
    python benchmarks/out_of_core.py --limit 48 --times 1 2

The data are a corpus and demonstrations (plain text, a document a line) and preference pairs (JSON
lines), made of lines of the standard library, with labels drawn from a known reward. For each size,
one process trains TokenCounter -> UnigramLM -> SFTRefiner -> PreferenceRewardModel by `partial_fit`
from `read_batches`, another by one `fit` each on everything. The first one is limited: after its
imports it sets RLIMIT_AS, its address space, to what it has then and `--limit` MB more, so that
any allocation beyond that fails. The same limit is then given to the one-fit process. Memory is the
peak of the resident set (VmHWM) above what the process had after its imports.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from itertools import islice
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
from sklearn.frozen import FrozenEstimator

from sklearn_codex import PreferenceRewardModel, SFTRefiner, TokenCounter, UnigramLM
from sklearn_codex.datasets import read_batches

MB = 2**20
PAIR = ("prompt", "response_a", "response_b", "label")
SHARES = {"corpus.txt": 0.6, "demonstrations.txt": 0.15, "pairs.jsonl": 0.25}
N_LINES = 100_000
BATCH_CHARS = MB // 2


def stdlib_lines():
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if "site-packages" not in path.parts:
            text = path.read_bytes().decode("utf-8", "replace")
            yield from (line.strip() for line in text.splitlines() if len(line.strip()) > 10)


def write_data(folder, n_bytes):
    """Write the three files, together of this size, and 1,000 pairs more that nobody trains on."""
    lines = np.array(list(islice(stdlib_lines(), N_LINES)), dtype=object)
    worth = dict(zip(lines, np.random.RandomState(0).normal(size=len(lines)), strict=True))
    for seed, (name, share) in enumerate({**SHARES, "test.jsonl": None}.items(), start=1):
        rng = np.random.RandomState(seed)
        write = write_pair if name.endswith("jsonl") else write_document
        with open(folder / name, "w", encoding="utf-8") as file:
            number = 0
            while file.tell() < share * n_bytes if share else number < 1000:
                number += 1
                file.write(write(lines, worth, rng, number) + "\n")


def write_document(lines, worth, rng, number):
    return " ".join(lines[rng.randint(len(lines), size=rng.randint(2, 30))])


def write_pair(lines, worth, rng, number):
    chosen = [lines[rng.randint(len(lines), size=rng.randint(15, 30))] for _ in "ab"]
    # The reward is that of the tokens: one of them, "self", is what is liked.
    counts = [sum(line.count("self") for line in texts) for texts in chosen]
    noise = sum(worth[line] for line in chosen[0]) - sum(worth[line] for line in chosen[1])
    margin = counts[0] - counts[1] + 0.1 * noise
    label = int(rng.rand() < 1 / (1 + np.exp(-margin)))
    texts = [f"prompt {number}", *(" ".join(texts) for texts in chosen)]
    return json.dumps(dict(zip(PAIR, [*texts, label], strict=True)))


def train_by_parts(folder):
    counter = TokenCounter("code", min_count=2)
    for texts in read_batches(folder / "corpus.txt", batch_chars=BATCH_CHARS):
        counter.partial_fit(texts)
    frozen = FrozenEstimator(counter)
    pretrained = UnigramLM(vectorizer=frozen)
    for texts in read_batches(folder / "corpus.txt", batch_chars=BATCH_CHARS):
        pretrained.partial_fit(texts)
    refined = SFTRefiner(FrozenEstimator(pretrained))
    for texts in read_batches(folder / "demonstrations.txt", batch_chars=BATCH_CHARS):
        refined.partial_fit(texts)
    reward = PreferenceRewardModel(C=0.01, vectorizer=frozen)
    for *pairs, labels in read_batches(folder / "pairs.jsonl", PAIR, batch_chars=BATCH_CHARS):
        reward.partial_fit(list(zip(*pairs, strict=True)), labels, classes=[0, 1])
    return counter, pretrained, refined, reward


def read_all(path, columns=None):
    return next(read_batches(path, columns, batch_chars=sys.maxsize))


def train_at_once(folder):
    corpus = read_all(folder / "corpus.txt")
    counter = TokenCounter("code", min_count=2).fit(corpus)
    frozen = FrozenEstimator(counter)
    pretrained = UnigramLM(vectorizer=frozen).fit(corpus)
    del corpus
    refined = SFTRefiner(FrozenEstimator(pretrained)).fit(read_all(folder / "demonstrations.txt"))
    *pairs, labels = read_all(folder / "pairs.jsonl", PAIR)
    reward = PreferenceRewardModel(C=0.01, vectorizer=frozen)
    return counter, pretrained, refined, reward.fit(list(zip(*pairs, strict=True)), labels)


def status(name):
    """A line of /proc/self/status in bytes: VmSize, VmRSS, VmHWM."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise ValueError(name)


def child(folder, how, limit):
    """Train in this process, write what was learned, print what it took."""
    before = status("VmRSS")
    if limit:
        ceiling = status("VmSize") + limit * MB
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    start = time.process_time()
    models = train_by_parts(folder) if how == "parts" else train_at_once(folder)
    seconds = time.process_time() - start
    peak = status("VmHWM") - before
    resource.setrlimit(resource.RLIMIT_AS, (resource.getrlimit(resource.RLIMIT_AS)[1],) * 2)
    counter, pretrained, refined, reward = models
    *pairs, labels = read_all(folder / "test.jsonl", PAIR)
    accuracy = reward.score(list(zip(*pairs, strict=True)), labels)
    np.savez(
        folder / f"{how}.npz",
        names=np.array("\n".join(counter.get_feature_names_out())),
        pretrained=pretrained.token_count_,
        refined=refined.token_count_,
        log_prob=refined.token_log_prob_,
    )
    print(json.dumps({"seconds": seconds, "peak": peak / MB, "accuracy": accuracy}))


def run(folder, how, limit):
    """Train in a process of its own; None where memory was not enough."""
    command = [sys.executable, __file__, "--child", str(folder), how, str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        if "MemoryError" in done.stderr or "Unable to allocate" in done.stderr:
            return None
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def same(folder):
    with np.load(folder / "parts.npz") as parts, np.load(folder / "once.npz") as once:
        return all(np.array_equal(parts[name], once[name]) for name in parts.files)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=32, help="MB given beyond the imports")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 3, 10])
    options = parser.parse_args()
    print(
        "| data, MB | of the limit | partial_fit, peak MB | one fit, peak MB | one fit, limited "
        "| same vocabulary, counts, probabilities | reward accuracy, partial_fit / one fit "
        "| processor time, partial_fit / one fit |\n" + "|---" * 8 + "|"
    )
    for times in options.times:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_data(folder, times * options.limit * MB)
            size = sum((folder / name).stat().st_size for name in SHARES) / MB
            parts = run(folder, "parts", options.limit)
            if parts is None:
                sys.exit(f"partial_fit needs more than {options.limit} MB: the limit is too small")
            limited = run(folder, "once", options.limit)
            once = run(folder, "once", 0)
            print(
                f"| {size:.0f} | {times}x | {parts['peak']:.0f} | {once['peak']:.0f} "
                f"| {'enough' if limited else 'out of memory'} | {'yes' if same(folder) else 'NO'} "
                f"| {parts['accuracy']:.3f} / {once['accuracy']:.3f} "
                f"| {parts['seconds']:.0f} / {once['seconds']:.0f} s |",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main()
