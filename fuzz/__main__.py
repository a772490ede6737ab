"""Run every fuzzer and print what became of its cases: ``python -m fuzz [--part N] [--seed N]``."""

import argparse
import importlib
import subprocess
import sys
import time

# Each module has run(n_cases, seed) -> Outcomes.
FUZZERS = {"calls": 10_000, "files": 2_000, "containers": 2_000, "model_files": 1_000}


def main() -> int:
    """Print a table; the exit status is 1 where a case gave neither a result nor a clear error."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(FUZZERS)} (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--part", type=int, default=1, metavar="N", help="one case of N")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(FUZZERS):
        parser.error(f"no fuzzer {', '.join(sorted(unknown))}; there are {', '.join(FUZZERS)}")
    if arguments.alone:
        return _run(*arguments.names, arguments.part, arguments.seed)
    print(f"{'fuzzer':<12}{'cases':>8}{'results':>9}{'clear errors':>14}{'others':>8}{'s':>7}")
    # Each in a process of its own: a crash is an outcome too.
    alone = [sys.executable, "-m", "fuzz", "--alone"]
    alone += ["--seed", str(arguments.seed), "--part", str(arguments.part)]
    codes = [
        subprocess.run([*alone, name], check=False).returncode
        for name in arguments.names or FUZZERS
    ]
    for name, code in zip(arguments.names or FUZZERS, codes, strict=True):
        if code not in (0, 1):
            print(f"{name}: the process ended with status {code}")
    return int(any(codes))


def _run(name: str, part: int, seed: int) -> int:
    start = time.perf_counter()
    outcomes = importlib.import_module(f"fuzz.{name}").run(-(-FUZZERS[name] // part), seed)
    print(
        f"{name:<12}{len(outcomes):>8}{outcomes.results:>9}{outcomes.clear_errors:>14}"
        f"{len(outcomes.others):>8}{time.perf_counter() - start:>7.0f}",
        flush=True,
    )
    for description in outcomes.others[:50]:
        print(f"  {description}")
    return int(bool(outcomes.others))


if __name__ == "__main__":
    sys.exit(main())
