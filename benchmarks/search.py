"""A search over the policy of the whole loop, against the fits that it cannot do without.

    python benchmarks/search.py                  # 150 modules of the standard library, a minute
    python benchmarks/search.py --quick          # 20 modules
    python benchmarks/search.py --range 1 10     # other candidates

Ten candidates of `policy__kl_coef`, from 0.1 to 10, on one split; policies of small ones take
longer. Whatever the search does, it has to count the text and fit every stage once, and fit the
policy ten times: that is the unit of the table, measured in the same run. `RLHFPipeline` without
`memory` fits everything for each candidate;
with `memory` what does not change comes from the cache. A fresh cache each time. The scores of both
are checked to be the same. Figures are medians of processor time, by turns. Memory is the peak in a
process of its own, above that of the records.
"""

import argparse
import tempfile

import measure
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_codex import (
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex.datasets import load_stdlib_code
from sklearn_codex.model_selection import RecordKFold

KL_COEFS = []  # set by --range
CACHES = tempfile.TemporaryDirectory()


def make_loop(memory=None):
    return RLHFPipeline(
        [
            ("pretrain", UnigramLM(smoothing=0.1)),
            ("sft", SFTRefiner(prior_strength=1000)),
            ("reward", PreferenceRewardModel(C=0.3)),
            ("policy", PPOPolicyOptimizer(random_state=0)),
        ],
        vectorizer=TokenCounter("code", min_count=2),
        memory=memory,
    )


def search(records, split, memory):
    """Return the mean scores of the candidates."""
    grid = {"policy__kl_coef": KL_COEFS}
    found = GridSearchCV(make_loop(memory), grid, cv=[split], refit=False, error_score="raise")
    return found.fit(records).cv_results_["mean_test_score"]


def search_with_memory(records, split):
    """Search with a new cache, which stays until the end: to remove files is no part of it."""
    return search(records, split, tempfile.mkdtemp(dir=CACHES.name))


def search_without_memory(records, split):
    return search(records, split, None)


def fit_once(records, split):
    """One fit of the whole loop, by the pipeline."""
    return make_loop().fit([records[row] for row in split[0]])


def fit_policies(loop, records, split):
    """The ten policies alone, from models that are fitted and text that is counted."""
    train = [records[row] for row in split[0]]
    counts = loop.vectorizer_.transform(
        [record["completion"] for record in train if "completion" in record]
    )
    policy = loop.named_steps_.policy
    return [clone(policy).set_params(kl_coef=kl_coef).fit(counts) for kl_coef in KL_COEFS]


METHODS = {"with memory": search_with_memory, "without memory": search_without_memory}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="20 modules, one round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--range", nargs=2, type=float, default=[0.1, 10.0], metavar="KL_COEF")
    parser.add_argument("--peak-of", choices=list(METHODS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    return arguments


def main():
    arguments = parse_arguments()
    KL_COEFS[:] = np.geomspace(*arguments.range, 10).tolist()
    records = load_stdlib_code(n_modules=20 if arguments.quick else 150).records
    split = next(RecordKFold(5, shuffle=True, random_state=0).split(records))
    if arguments.peak_of:
        print(measure.peak_of(lambda: METHODS[arguments.peak_of](records, split)))
        return
    loop = fit_once(records, split)
    runs = {
        "one full fit": lambda: fit_once(records, split),
        "ten policy fits": lambda: fit_policies(loop, records, split),
        **{name: lambda run=run: run(records, split) for name, run in METHODS.items()},
    }
    seconds, results = measure.take_turns(runs, arguments.rounds)
    scores = [results[name] for name in METHODS]
    assert np.abs(scores[0] - scores[1]).max() < 1e-9
    unit = seconds["one full fit"] + seconds["ten policy fits"]
    measure.print_header(f"{len(records):,} records", "seconds", "of the unit", "peak memory")
    for name in runs:
        memory = None
        if name in METHODS:
            options = ["--peak-of", name, "--range", *arguments.range]
            memory = measure.peak_in_child(*options, *["--quick"] * arguments.quick)
        cells = f"{seconds[name]:.2f} s", f"{seconds[name] / unit:.2f}"
        measure.print_row(name, *cells, measure.show_memory(memory))


if __name__ == "__main__":
    main()
