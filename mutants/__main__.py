"""Plant every fault in the package, one at a time: ``python -m mutants [WORD ...]``.

It prints the test that caught it. The exit status is 1 where one survived, where a fault no longer
fits the source, or where the tests fail without any.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from mutants.faults import FAULTS
from mutants.plant import run, start_server, try_fault


def main() -> int:
    """Print a table, a line a fault."""
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__.split(":")[0])
    parser.add_argument("words", nargs="*", help="in names or rooms of faults (default: all)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="default: %(default)s")
    arguments = parser.parse_args()
    words = arguments.words or [""]
    chosen = [f for f in FAULTS if any(word in f"{f.room} {f.name}" for word in words)]
    if not chosen:
        parser.error(f"no fault has {' or '.join(words)} in its name or room")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        start_server(folder)
        with ThreadPoolExecutor(arguments.jobs) as pool:
            survived = _try_all(chosen, pool, arguments.jobs)
    seconds = time.perf_counter() - start
    if survived is None:
        return 1
    print(f"{len(chosen) - survived} of {len(chosen)} faults caught, in {seconds:.0f} s")
    return int(survived > 0)


def _try_all(faults, pool, n_jobs) -> int | None:
    """Return how many faults survived, or None where tests fail without any."""
    tests = sorted({fault.test for fault in faults})
    parts = [tests[job::n_jobs] for job in range(min(n_jobs, len(tests)))]
    for outcome in pool.map(run, parts):
        if not outcome.passed:
            print(f"Without any fault: {outcome.text}")
            return None
    print(f"{len(tests)} tests pass without a fault", flush=True)
    return _table(faults, pool.map(try_fault, faults))


def _table(faults, outcomes) -> int:
    """Print outcomes as they come; return how many faults survived."""
    widths = [max(len(getattr(fault, name)) for fault in faults) for name in ("room", "name")]
    print(f"{'room':{widths[0]}}  {'fault':{widths[1]}}  caught by")
    survived = 0
    for fault, outcome in zip(faults, outcomes, strict=True):
        survived += not outcome.caught
        print(f"{fault.room:{widths[0]}}  {fault.name:{widths[1]}}  {outcome.text}", flush=True)
    return survived


if __name__ == "__main__":
    sys.exit(main())
