"""A command as a process: interrupted, with nobody who reads, with no space left."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

from sklearn_codex import UnigramLM, save_model
from sklearn_codex.cli._main import _COMMANDS
from sklearn_codex.cli._process import _HEAVY

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")

ENTRY = """
import sys
from sklearn_codex.cli import main
print("ready", flush=True)
sys.exit(main())
"""
SILENT_ENTRY = ENTRY.replace('print("ready", flush=True)', "")


def start(*words, program=ENTRY, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, words)], text=True, **options)


def assert_ends_quietly(process):
    with process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.skops"
    save_model(UnigramLM().fit(["a b c", "b c"]), path)
    return path


@pytest.mark.parametrize("wait", [0.05, 0.5])
def test_an_interrupt_while_modules_are_imported_is_one_line(wait, tmp_path):
    process = start("demo", "--out", tmp_path / "out", "--no-progress", "--modules", 1000)
    process.stdout.readline()
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors == "sklearn-codex: interrupted\n"
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_of_the_work_is_one_line_and_leaves_nothing(tmp_path):
    process = start("demo", "--out", tmp_path / "out", "--no-progress", "--modules", 5)
    while "Data" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors == "sklearn-codex: interrupted\n"
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sign", [signal.SIGTERM])
def test_a_request_to_end_leaves_nothing(sign, tmp_path):
    program = """
import sys
import sklearn_codex.cli._info as info
from sklearn_codex._output import new_file
def run(arguments):
    import time
    with new_file(arguments.model + ".new", overwrite=True, subject="put"):
        print("ready", flush=True)
        time.sleep(20)
info.run = run
from sklearn_codex.cli import main
sys.exit(main())
"""
    process = start("info", tmp_path / "m", program=program)
    process.stdout.readline()
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(sign)
    _, errors = process.communicate(timeout=60)
    assert errors == ""
    assert process.returncode == 128 + sign
    assert list(tmp_path.iterdir()) == []


HIDDEN = """
import sys
import sklearn_codex.cli._info as info
class Loud:
    def __del__(self):
        import os, signal; os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100): pass
def run(arguments):
    import time
    {how}
    time.sleep(20)
    return 0
info.run = run
from sklearn_codex.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "how",
    [
        "Loud()",
        "import os, signal\n    try: os.kill(os.getpid(), signal.SIGINT); time.sleep(5)\n"
        "    except BaseException as error: raise ImportError('numpy failed') from error",
    ],
)
def test_an_interrupt_that_a_library_swallows_is_an_interrupt(how, model):
    process = start("info", model, program=HIDDEN.format(how=how))
    _, errors = process.communicate(timeout=60)
    assert errors == "sklearn-codex: interrupted\n"
    assert process.returncode == 130


def test_a_reader_who_goes_does_not_stop_the_work(tmp_path):
    out = tmp_path / "out"
    process = start("demo", "--modules", 5, "--order", 1, "--out", out)
    while "Data" not in process.stdout.readline():
        assert process.poll() is None
    assert_ends_quietly(process)
    assert {"figures.json", "model.skops"} < {path.name for path in out.iterdir()}
    assert json.loads((out / "figures.json").read_text())["seed"] == 0


@pytest.mark.parametrize("words", [["sample", "-n", "20000"], ["--help"]])
def test_nobody_who_reads_is_no_error(words, model):
    words = [*words[:1], model, *words[1:]] if words[0] in ("sample", "info") else words
    assert_ends_quietly(start(*words, program=SILENT_ENTRY))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_full_standard_output_is_told_once(model):
    with open("/dev/full", "w") as full:
        process = start("info", model, program=SILENT_ENTRY, stdout=full)
        _, errors = process.communicate(timeout=60)
    assert errors == (
        "sklearn-codex: Standard output cannot be written: No space left on device.\n"
    )
    assert process.returncode == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_help_that_cannot_be_shown_is_told():
    with open("/dev/full", "w") as full:
        process = start("--help", program=SILENT_ENTRY, stdout=full)
        _, errors = process.communicate(timeout=60)
    assert errors.startswith("sklearn-codex: Standard output cannot be written")
    assert process.returncode == 1


def test_a_traceback_shows_no_controls():
    process = start("info", "no\x1b[31m.skops", "--debug", program=SILENT_ENTRY)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" in errors
    assert "\x1b" not in errors


def test_each_command_says_what_it_imports_before_its_work():
    for names in _HEAVY.values():
        assert all(find_spec(name) for name in names)
    assert [f"_{command}" for command in _HEAVY] == [
        command.__name__.rpartition(".")[2] for command in _COMMANDS
    ]


def test_rating_waits_for_nothing_of_model_files(tmp_path):
    votes = tmp_path / "votes.csv"
    votes.write_text("model_a,model_b,winner\nx,y,model_a\ny,x,model_a\nx,y,model_b\n")
    program = ENTRY.replace(
        "sys.exit(main())", 'print(main(), {"skops", "matplotlib"} & {*sys.modules})'
    )
    said, errors = start("rate", votes, program=program).communicate()
    assert said.splitlines()[-1] == "0 set()", errors
