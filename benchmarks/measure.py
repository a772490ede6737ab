"""What the benchmarks measure alike: processor time by turns, and the peak memory of one method.

Import this before numpy: it pins numerical libraries to one thread.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import contextlib
import ctypes
import gc
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

MEGABYTE = 2**20


def take_turns(methods, n_rounds, *, long=float("inf")):
    """Return the median processor seconds and the last result of each of some functions.

    In every round each runs once, so that a busy machine slows them alike. What took ``long``
    seconds or more is not run again.
    """
    seconds, results = {name: [] for name in methods}, {}
    for _ in range(n_rounds):
        for name, run in methods.items():
            if seconds[name] and seconds[name][0] >= long:
                continue
            start = time.process_time()
            results[name] = run()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}, results


def peak_of(run):
    """Return by how many MB a function raises the memory of this process; Linux only."""
    # What preparing the data has freed would be used again and not be seen, so give it back, and
    # begin the peak anew.
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library than that of GNU
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return (_status("VmHWM") - before) / MEGABYTE


def _status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def peak_in_child(*arguments):
    """Return the MB that this script prints when run with these arguments, None off Linux."""
    if sys.platform != "linux":
        return None
    command = [sys.executable, sys.argv[0], *map(str, arguments)]
    child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(child.stdout.split()[-1])


def show_memory(megabytes):
    """Return a cell of a table."""
    return "-" if megabytes is None else f"{megabytes:.0f} MB"


def read_library(n_files=None):
    """Return the sources of the standard library, without installed packages."""
    texts = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if len(texts) == n_files:
            break
        if "site-packages" not in path.parts:
            try:
                texts.append(path.read_bytes().decode("utf-8"))
            except UnicodeDecodeError:  # some test files
                continue
    return texts


def print_row(*cells):
    """Print a row of a table in Markdown."""
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def print_header(*names):
    """Print the head of a table in Markdown."""
    print_row(*names)
    print("|" + "---|" * len(names), flush=True)
