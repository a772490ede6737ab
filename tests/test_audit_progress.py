"""The audit as it goes on: how far it is, how long it will take, and interrupts at any time."""

import json
import os
import signal
import subprocess
import sys
import time
from types import ModuleType, SimpleNamespace

import pytest

from sklearn_codex.report._audit_progress import (
    RATES,
    STEPS,
    Estimate,
    Steps,
    as_steps,
    show_seconds,
    within,
)
from sklearn_codex.report.audit import compute_audit
from sklearn_codex.report.preferences import audit_preferences

ROWS = [
    {"prompt": f"question {i % 60}", "chosen": f"good so w{i} b{i % 7}", "rejected": f"so w{i} k"}
    for i in range(240)
]
FILES = ["audit.json", "labels_to_check.csv", "pairs_to_label.csv", "report.html"]
PROGRAM = """
import sys, time
import sklearn_codex.report._audit_progress as progress
import sklearn_codex.report._audit_run as run
progress.FIRST = 0.0
{patch}
from sklearn_codex.cli import main
print("ready", flush=True)
sys.exit(main())
"""
# A place where the process tells that it is there, and stays.
STOP = """
def stop():
    print("there", flush=True)
    time.sleep(30)
"""
AT_STEP = (
    STOP
    + """
begin = progress.Estimate.__call__
def paused(self, name):
    begin(self, name)
    if name == {step!r}:
        stop()
progress.Estimate.__call__ = paused
"""
)
AT_FILE = (
    STOP
    + """
from contextlib import contextmanager
import sklearn_codex._output._own_files as own
new_file = own.new_file
@contextmanager
def paused(path, **options):
    if path.name == {file!r} and {before}:
        stop()
    with new_file(path, **options) as file:
        yield file
    if path.name == {file!r} and not {before}:
        stop()
own.new_file = paused
"""
)
on_posix = pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Recorder(Steps):
    def __init__(self):
        super().__init__(lambda name: self.seen.append((name, 0.0)))
        self.seen, self.sizes = [], []

    def advance(self, share):
        self.seen.append((self.seen[-1][0], share))

    def know_size(self, n_pairs, n_learned):
        self.sizes.append((n_pairs, n_learned))


def test_long_steps_tell_how_far_they_are():
    recorder = Recorder()
    compute_audit(ROWS, max_pairs=200, step=recorder)
    assert recorder.sizes == [(240, 200)]
    assert tuple(dict.fromkeys(name for name, _ in recorder.seen)) == STEPS
    for step, least in (("health", 6), ("features", 5), ("preset", 3)):
        shares = [share for name, share in recorder.seen if name == step]
        assert len(shares) >= least
        assert shares == sorted(shares)
        assert 0.5 <= shares[-1] <= 1.0


def test_the_end_is_foretold_where_steps_take_what_they_are_known_to_take():
    clock = Clock()
    estimate = Estimate(clock)
    speed, n_pairs, n_learned = 3.0, 100_000, 20_000
    seconds = {name: speed * (n_pairs * a + n_learned * b) for name, (a, b) in RATES.items()}
    total, shares = sum(seconds.values()), []
    for name in STEPS:
        estimate(name)
        for part in (0.25, 0.5, 0.75, 1.0):
            clock.now += seconds[name] / 4
            estimate.advance(part)
            shares.append(estimate.share)
            if estimate.end is not None:
                assert estimate.end == pytest.approx(total)
        if name == "read":
            assert estimate.say_time_left() == ""
            estimate.know_size(n_pairs, n_learned)
            assert estimate.say_time_left() == f"about {show_seconds(total - clock.now)} left"
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert estimate.say_time_left() == "about 0:00 left"


def test_no_end_is_foretold_before_the_speed_is_known():
    clock = Clock()
    estimate = Estimate(clock)
    estimate.know_size(1000, 1000)
    clock.now = 1.0
    estimate("health")
    assert estimate.say_time_left() == ""
    clock.now = 3.0
    estimate.advance(0.5)
    assert estimate.say_time_left().startswith("about ")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (600, "10:00"), (3661, "1:01:01")],
)
def test_seconds_are_shown_as_minutes(seconds, shown):
    assert show_seconds(seconds) == shown


def test_a_function_of_names_is_enough_to_hear_of_steps():
    names = []
    steps = as_steps(names.append)
    steps("read")
    steps.advance(0.5)
    steps.know_size(1, 1)
    assert names == ["read"]
    assert as_steps(steps) is steps
    heard = []
    within(heard.append, 0.2, 0.6)(0.5)
    assert heard == [pytest.approx(0.4)]


def start(folder, patch="", *words, **options):
    prefs = folder / "prefs.jsonl"
    prefs.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    words = ("audit", prefs, "--out", folder / "out", *words)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    program = PROGRAM.format(patch=patch)
    return subprocess.Popen([sys.executable, "-c", program, *map(str, words)], **options)


def read_terminal(*words, folder):
    """Return what the command shows on a terminal as its standard error."""
    mine, other = os.openpty()
    process = start(folder, "", *words, stderr=other, stdout=subprocess.DEVNULL)
    os.close(other)
    shown = b""
    while True:
        try:
            part = os.read(mine, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(mine)
    assert process.wait(timeout=60) == 0
    return shown.decode("utf-8", "replace")


@on_posix
def test_a_terminal_shows_the_step_and_the_time_left(tmp_path):
    shown = read_terminal(folder=tmp_path)
    assert "learning curve" in shown
    assert "about 0:0" in shown
    assert " left" in shown
    assert read_terminal("--no-progress", "--force", folder=tmp_path) == ""


@on_posix
def test_no_terminal_no_progress(tmp_path):
    process = start(tmp_path)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


def interrupt(process, wait=0.0):
    """Interrupt a process where it says that it is, and return how it ended."""
    for line in process.stdout:
        if line == "there\n":
            break
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors == "sklearn-codex: interrupted\n"
    assert process.returncode == 130


@on_posix
@pytest.mark.parametrize("step", ["read", "features", "pairs to label"])
def test_an_interrupted_step_leaves_nothing(step, tmp_path):
    patch = AT_STEP.format(step=step).replace("{", "{{").replace("}", "}}")
    interrupt(start(tmp_path, patch))
    assert [path.name for path in tmp_path.iterdir()] == ["prefs.jsonl"]


@on_posix
@pytest.mark.parametrize(("file", "before"), [(FILES[0], True), (FILES[3], False)])
def test_an_interrupt_while_files_are_written_leaves_the_old_ones(file, before, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in FILES:
        (out / name).write_text("old")
    (out / "mine.txt").write_text("mine")
    interrupt(start(tmp_path, AT_FILE.format(file=file, before=before), "--force"))
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "mine.txt"])
    assert {(out / name).read_text() for name in FILES} == {"old"}


@on_posix
def test_an_interrupt_while_the_first_files_are_written_leaves_none(tmp_path):
    interrupt(start(tmp_path, AT_FILE.format(file="audit.json", before=False)))
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in left] == ["prefs.jsonl"]


@on_posix
@pytest.mark.parametrize("wait", [0.5, 1.5, 2.5])
def test_interrupts_at_any_time_leave_all_files_or_none(wait, tmp_path):
    process = start(tmp_path)
    process.stdout.readline()
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    found = sorted(path.name for path in tmp_path.glob("out/*"))
    # No model judges single labels of these, and no list of them is written.
    files = sorted({*FILES, "made_by_audit.json"} - {"labels_to_check.csv"})
    assert process.returncode in (0, 130)
    assert errors in ("", "sklearn-codex: interrupted\n")
    assert found in ([], files)
    if process.returncode == 0:
        assert found == files


class Cell:
    """What a notebook has for a library: a shell with a kernel, and displays that can change."""

    def __init__(self, monkeypatch, has_kernel=True):
        self.shown = []
        shell = SimpleNamespace(kernel=None) if has_kernel else object()
        modules = {
            "IPython": {"get_ipython": lambda: shell},
            "IPython.display": {"display": self.display},
        }
        for name, holds in modules.items():
            module = ModuleType(name)
            vars(module).update(holds)
            monkeypatch.setitem(sys.modules, name, module)

    def display(self, data, *, raw, display_id):
        assert raw
        assert display_id
        self.shown.append(data)
        return self

    def update(self, data, *, raw):
        assert raw
        self.shown.append(data)


def test_a_notebook_shows_each_step_and_the_time_it_took(monkeypatch, capsys):
    cell = Cell(monkeypatch)
    monkeypatch.setattr("sklearn_codex.report._audit_progress.FIRST", 0.0)
    audit = audit_preferences(ROWS, random_state=1)
    texts = [data["text/plain"] for data in cell.shown]
    for step in STEPS:
        assert any(f" % {step}, " in text for text in texts), step
    shares = [int(text.partition(" %")[0]) for text in texts[:-1]]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert any(" left" in text for text in texts)
    assert texts[-1].startswith("Audited in 0:")
    assert '<progress max="1" value="0.000"></progress> read' in cell.shown[0]["text/html"]
    assert capsys.readouterr() == ("", "")
    # It changes nothing, and can be left out.
    n_shown = len(cell.shown)
    again = audit_preferences(ROWS, random_state=1, progress=False)
    assert len(cell.shown) == n_shown
    assert {**again.to_dict(), "date": ""} == {**audit.to_dict(), "date": ""}


def test_a_cell_says_where_an_audit_stopped(monkeypatch):
    cell = Cell(monkeypatch)
    with pytest.raises(ValueError, match="no preference"):
        audit_preferences([{"prompt": "p"}])
    assert cell.shown[-1]["text/plain"].startswith("Stopped at: read, after 0:0")


def test_a_shell_without_a_notebook_and_none_show_nothing(monkeypatch, capsys):
    cell = Cell(monkeypatch, has_kernel=False)
    audit_preferences(ROWS[:20])
    monkeypatch.delitem(sys.modules, "IPython")
    audit_preferences(ROWS[:20])
    assert cell.shown == []
    assert capsys.readouterr() == ("", "")
