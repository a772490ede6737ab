"""A fault in the source as it is imported, and what tests say of it."""

import contextlib
import io
import multiprocessing
import os
import sys
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
# The tests named take seconds; a fault may make a loop that never ends.
_LONGEST = 300
# What all tests import takes seconds: once, and each process begins as a copy of one that has it.
_NEEDED_BY_ALL = [
    "pytest", "pandas", "scipy.optimize", "scipy.stats", "scipy.sparse.linalg", "sklearn.compose",
    "sklearn.feature_extraction.text", "sklearn.linear_model", "sklearn.model_selection",
    "sklearn.utils.estimator_checks",
]  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One change of the source.

    Parameters
    ----------
    name : str
        What is wrong with it.
    path : str
        File, from the folder of the package.
    before, after : str
        The text as it is, once in the file, and as the fault has it.
    test : str
        Id of the test that fails with it, from the folder of tests: ``test_x.py::test_y``.
    """

    name: str
    path: str
    before: str
    after: str
    test: str

    @property
    def room(self) -> str:
        """The file without its suffix."""
        return self.path.removesuffix(".py")

    @property
    def file(self) -> Path:
        """Where it stands."""
        return ROOT / "sklearn_codex" / self.path

    @property
    def fits(self) -> bool:
        """Whether the text that it changes is once in its file."""
        return self.file.is_file() and self._read().count(self.before) == 1

    def source(self) -> str:
        """Return the text of its file with the fault."""
        return self._read().replace(self.before, self.after)

    def _read(self):
        return self.file.read_text(encoding="utf-8")


def faults_in(path: str, *faults: tuple[str, str, str, str]) -> list[Fault]:
    """Return faults of one file from (name, before, after, test)."""
    return [Fault(name, path, before, after, test) for name, before, after, test in faults]


class Outcome(NamedTuple):
    """What tests said."""

    passed: bool
    caught: bool
    text: str


def start_server(folder: str) -> None:
    """Prepare the process of which all others are copies; what tests leave goes to a folder."""
    # A process that was copied has one thread.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    os.environ |= {"HYPOTHESIS_STORAGE_DIRECTORY": folder, "PYTEST_DEBUG_TEMPROOT": folder}
    multiprocessing.set_start_method("forkserver")
    multiprocessing.set_forkserver_preload(_NEEDED_BY_ALL)


def try_fault(fault: Fault) -> Outcome:
    """Return what its test says of a fault."""
    if not fault.fits:
        return Outcome(False, False, "TEXT IS NOT ONCE in the source")
    return run((fault.test,), fault)


def run(tests, fault: Fault | None = None) -> Outcome:
    """Run tests in a process of their own until one fails; with a fault for so long only."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_run_tests, args=(tests, fault, theirs))
    process.start()
    theirs.close()
    try:
        if not ours.poll(None if fault is None else _LONGEST):
            return Outcome(False, True, f"does not end within {_LONGEST} s")
        code, failed, output, is_planted = ours.recv()
    except EOFError:
        return Outcome(False, False, "THE PROCESS ENDED")
    finally:
        process.kill()
        process.join()
    if code == 0 and is_planted:
        return Outcome(True, False, "SURVIVED")
    if code == 0:
        return Outcome(False, False, "THE TEST DOES NOT IMPORT IT")
    if code != 1 or failed is None:
        return Outcome(False, False, f"THE TEST DID NOT RUN\n{output}")
    return Outcome(False, True, failed.removeprefix("tests/test_"))


class _FirstFailure:
    """A plugin of pytest that remembers which test failed."""

    test: str | None = None

    def pytest_runtest_logreport(self, report):
        """See the report of a test."""
        if report.failed and report.when == "call":
            self.test = report.nodeid


def _run_tests(tests, fault, connection):
    """Import the package with the fault and run tests; send what became of them."""
    import pytest

    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    planted = [] if fault is None else _plant(fault)
    # Where it rewrites assertions, pytest compiles the package by itself: its entry point is of it.
    options = ["-x", "-q", "--tb=short", "--assert=plain"]
    options += ["-p", "no:cacheprovider", "-p", "no:xdist"]
    output, first = io.StringIO(), _FirstFailure()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = pytest.main([*options, *(f"tests/{test}" for test in tests)], plugins=[first])
    is_planted = fault is None or bool(planted)
    connection.send((int(code), first.test, output.getvalue(), is_planted))


def _plant(fault):
    """Let the file of the fault be imported with it; no file is written.

    Returns a list of the modules that were imported so, which grows.
    """
    read, place, source = SourceFileLoader.get_code, str(fault.file), fault.source()
    planted: list[str] = []

    def get_code(self, fullname):
        if self.path == place:
            planted.append(fullname)
            return compile(source, place, "exec", dont_inherit=True)
        return read(self, fullname)

    SourceFileLoader.get_code = get_code
    return planted
