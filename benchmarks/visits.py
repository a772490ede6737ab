"""How much of the house one fit walks through: files, functions, and steps between base and class.

    python benchmarks/visits.py             # counts
    python benchmarks/visits.py --list ppo  # and what is visited

A function is visited if it is called at all; functions without a name do not count. A switch is a
call from one file of an estimator's own classes into another of them, where one who follows the fit
by reading turns pages. Of a class, its ancestors are counted, and those of this package.
"""

import argparse
import sys
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.frozen import FrozenEstimator

import sklearn_codex
from sklearn_codex import (
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    make_rlhf_pipeline,
)

PACKAGE = Path(sklearn_codex.__file__).parent


def visited(call):
    """Return the calls of named functions of the package as (file, function), in order."""
    calls = []

    def see(frame, event, _):
        code = frame.f_code
        if (
            event == "call"
            and code.co_filename.startswith(str(PACKAGE))
            and "<" not in code.co_name
        ):
            calls.append((str(Path(code.co_filename).relative_to(PACKAGE)), code.co_qualname))

    sys.setprofile(see)
    try:
        call()
    finally:
        sys.setprofile(None)
    return calls


def files_of(*classes):
    """Return the files in which classes and their ancestors of this package stand."""
    modules = {base.__module__ for each in classes for base in each.__mro__}
    return {str(Path(*name.split(".")[1:])) + ".py" for name in modules if "codex" in name}


def n_switches(calls, files):
    """Count calls from one of some files into another of them."""
    among = [file for file, _ in calls if file in files]
    return sum(before != after for before, after in pairwise(among))


def fits():
    """Return a small fit of each kind, by name, and the class that it is of."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(30)]
    texts = [" ".join(rng.choice(words, rng.integers(3, 12))) for _ in range(180)]
    documents, pairs = texts[:60], list(zip(texts[60:120], texts[120:], strict=True))
    y = rng.integers(0, 2, 60)
    language = UnigramLM(vectorizer=TokenCounter()).fit(documents)
    first, second = (language.vectorizer_.transform(side) for side in zip(*pairs, strict=True))
    reward = FrozenEstimator(PreferenceRewardModel().fit(first - second, y))
    policy = PPOPolicyOptimizer(FrozenEstimator(language), reward, max_iter=1, random_state=0)
    stages = UnigramLM(), SFTRefiner(), PreferenceRewardModel()
    last = PPOPolicyOptimizer(max_iter=1, random_state=0)
    pipeline = make_rlhf_pipeline(*stages, last, vectorizer=TokenCounter())
    records = [{"text": text} for text in documents]
    records += [{"prompt": "p", "completion": text} for text in documents[:20]]
    for i, (a, b) in enumerate(pairs):
        records.append({"prompt": str(i), "chosen": a, "rejected": b})
    model = PreferenceRewardModel(vectorizer=TokenCounter())
    return {
        "reward": (lambda: model.fit(pairs, y), PreferenceRewardModel),
        "pipeline": (lambda: pipeline.fit(records), type(pipeline)),
        "ppo": (lambda: policy.fit(documents), PPOPolicyOptimizer),
    }


def main():
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", default="", metavar="FIT", help="list what one of them visits")
    listed = parser.parse_args().list
    warnings.simplefilter("ignore")
    print(f"{'fit':9} {'files':>5} {'functions':>9} {'switches':>8}")
    for name, (fit, kind) in fits().items():
        calls = visited(fit)
        n_files, n_functions = len({file for file, _ in calls}), len(set(calls))
        print(f"{name:9} {n_files:5} {n_functions:9} {n_switches(calls, files_of(kind)):8}")
        if name == listed:
            print(*(f"    {file}  {function}" for file, function in sorted(set(calls))), sep="\n")
    print(f"\n{'class':24} ancestors  own")
    for name in sklearn_codex.__all__:
        each = getattr(sklearn_codex, name)
        if isinstance(each, type):
            own = sum(base.__module__.startswith("sklearn_codex") for base in each.__mro__)
            print(f"{name:24} {len(each.__mro__):9} {own:4}")


if __name__ == "__main__":
    main()
