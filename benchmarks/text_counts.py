"""Processor time and peak memory from text to counts, against scikit-learn's vectorizers.

    python benchmarks/text_counts.py                          # all, about three minutes
    python benchmarks/text_counts.py --corpora lines --rules code --rounds 3
    python benchmarks/text_counts.py --corpora files --copies 6      # about 200 MB

The corpus is the standard library, as files, paragraphs (between blank lines) and lines. A round
is `fit_transform` and `get_feature_names_out`; the rounds of the methods take turns, and a figure
is the median of theirs. CountVectorizer is given the same rule (`str.split` or our own regular
expression), no lower case; all cells and names are checked to be the same. HashingVectorizer has
no names. "callable" is `text.split()` as a function of the user's, out of the last line's mean.
Memory is the peak in a process of its own, above that of the corpus.
"""

import argparse
import os
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer

from sklearn_codex import TokenCounter
from sklearn_codex._text.tokenizers import build_splitter

CORPORA = ("files", "paras", "lines")
RULES = ("whitespace", "word", "code", "callable")
METHODS = ("TokenCounter", "CountVectorizer", "HashingVectorizer")


def split_at_blanks(text):
    """Split as a cheap tokenizer of the user's own would: what is measured is the counting."""
    return text.split()


def load(corpus, n_copies):
    root = Path(sysconfig.get_paths()["stdlib"])
    texts = []
    for path in sorted(root.rglob("*.py")):
        if "site-packages" not in path.parts:
            try:
                texts.append(path.read_bytes().decode("utf-8"))
            except UnicodeDecodeError:  # some test files
                continue
    # In every copy, names with an underscore are new.
    texts += [text.replace("_", f"_{copy}_") for copy in range(1, n_copies) for text in texts]
    if corpus == "files":
        return texts
    separator = "\n\n" if corpus == "paras" else "\n"
    return [part for text in texts for part in text.split(separator) if part.strip()]


def run(method, rule, texts):
    """Counts, and names or None."""
    is_callable = rule == "callable"
    if method == "TokenCounter":
        model = TokenCounter(split_at_blanks if is_callable else rule, unk_token=None)
        return model.fit_transform(texts), model.get_feature_names_out()
    analyzer = split_at_blanks if is_callable else build_splitter(rule, ())
    if method == "CountVectorizer":
        model = CountVectorizer(analyzer=analyzer)
        return model.fit_transform(texts), model.get_feature_names_out()
    return HashingVectorizer(analyzer=analyzer, norm=None).fit_transform(texts), None


def measure_seconds(rule, texts, n_rounds):
    seconds = {method: [] for method in METHODS}
    for n_round in range(n_rounds + 1):  # The first warms up.
        results = {}
        for method in METHODS:
            start = time.process_time()
            results[method] = run(method, rule, texts)
            seconds[method].append(time.process_time() - start)
            if n_round or method == "HashingVectorizer":
                del results[method]
        if not n_round:
            (ours, our_names), (theirs, names) = results.values()
            assert np.array_equal(our_names, names)
            assert ours.shape == theirs.shape
            assert (ours != theirs).nnz == 0
    return {method: statistics.median(values[1:]) for method, values in seconds.items()}


def measure_memory(arguments, corpus, rule, method):
    """Peak of a process of its own, in MB."""
    command = [sys.executable, __file__, "--peak-of", method, "--corpora", corpus]
    command += ["--rules", rule, "--copies", str(arguments.copies)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peak():
    """Peak of this process so far, in MB; Linux only (ru_maxrss starts with that of the parent)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=CORPORA)
    parser.add_argument("--rules", nargs="+", choices=RULES, default=RULES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=1, help="size of the corpus, times 32 MB")
    parser.add_argument("--peak-of", choices=METHODS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    if arguments.peak_of:
        texts = load(arguments.corpora[0], arguments.copies)
        before = peak()
        _ = run(arguments.peak_of, arguments.rules[0], texts)
        print(peak() - before)
        return
    print("| corpus | rule | MB/s | CountVectorizer | HashingVectorizer | memory | ...Hashing |")
    print("|---|---|---|---|---|---|---|")
    ratios = []
    for corpus in arguments.corpora:
        texts = load(corpus, arguments.copies)
        size = sum(map(len, texts)) / 1e6
        for rule in arguments.rules:
            seconds = measure_seconds(rule, texts, arguments.rounds)
            ours = seconds["TokenCounter"]
            memory = [measure_memory(arguments, corpus, rule, method) for method in METHODS]
            ratio = seconds["CountVectorizer"] / ours
            if rule != "callable":
                ratios.append(ratio)
            cells = [
                f"{corpus}, {len(texts):,}",
                rule,
                f"{size / ours:.0f}",
                f"{ratio:.1f}x slower",
                f"{seconds['HashingVectorizer'] / ours:.1f}x slower",
                f"{memory[0]:.0f} MB, {memory[0] / memory[1]:.2f} of CountVectorizer's",
                f"{memory[2]:.0f} MB",
            ]
            print("|", " | ".join(cells), "|", flush=True)
    if ratios:
        print(
            f"\nCountVectorizer, built-in rules: {statistics.geometric_mean(ratios):.1f}x slower "
            f"(geometric mean), {min(ratios):.1f}x at least."
        )


if __name__ == "__main__":
    main()
