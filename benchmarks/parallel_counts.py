"""Whether more workers pay for counting texts that are in memory: threads, processes, one fit.

    python benchmarks/parallel_counts.py                    # 31 MB of files
    python benchmarks/parallel_counts.py --copies 6 --rounds 3      # about 200 MB

`TokenCounter("code").fit` of a list of texts against the same of a dask bag in as many partitions
as workers, by dask's schedulers of threads and of processes, which move texts and vocabularies as
any `n_jobs` would. The vocabularies are checked to be the same. Wall time says what a user waits,
on a machine that is otherwise idle; processor time, of all processes, what it costs.
"""

import argparse
import os
import resource
import statistics
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import dask.bag
from text_counts import load

from sklearn_codex import TokenCounter


def processor_time():
    """Seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(scheduler, n_workers, texts):
    """Return the vocabulary, wall and processor seconds."""
    start, used = time.perf_counter(), processor_time()
    if scheduler == "one fit":
        counter = TokenCounter("code").fit(texts)
    else:
        with dask.config.set(scheduler=scheduler, num_workers=n_workers):
            counter = TokenCounter("code").fit(dask.bag.from_sequence(texts, npartitions=n_workers))
    seconds = time.perf_counter() - start, processor_time() - used
    return counter.get_feature_names_out(), *seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    texts = load("files", options.copies)
    methods = ("one fit", "threads", "processes")
    taken = {method: [] for method in methods}
    for _ in range(options.rounds + 1):  # the first is discarded
        names = {}
        for method in methods:
            names[method], *seconds = run(method, options.workers, texts)
            taken[method].append(seconds)
        if any(list(names[method]) != list(names["one fit"]) for method in methods):
            sys.exit("the vocabularies differ")
    size = sum(map(len, texts)) / 1e6
    print(f"{size:.0f} million characters, {options.workers} workers\n")
    print("| | wall time, of one fit | processor time, of one fit |\n|---|---|---|")
    for method in methods[1:]:
        ratios = [
            statistics.median(
                mine[which] / one[which]
                for mine, one in zip(taken[method][1:], taken["one fit"][1:], strict=True)
            )
            for which in (0, 1)
        ]
        print(f"| {method} | {ratios[0]:.2f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    main()
