"""Files survive processes that are killed, that meet, and that run out of space."""

import os
import signal
import subprocess
import sys
import time

import pytest

from sklearn_codex._output import write_text

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")

SIZE = 200_000
# Not through the package, whose imports take longer than what is tried here.
PROGRAM = """
import importlib.util, sys, types
root = {root!r}
package = types.ModuleType("sklearn_codex"); package.__path__ = [root]
sys.modules["sklearn_codex"] = package
from sklearn_codex._output import new_file, write_text, written_together
folder, letter, n_times = sys.argv[1], sys.argv[2], int(sys.argv[3])
text = letter * {size}
"""


def start(body, *arguments, **options):
    root = os.path.dirname(sys.modules["sklearn_codex"].__file__)
    program = PROGRAM.format(root=root, size=SIZE) + body
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def assert_whole(path):
    content = path.read_text()
    assert len(content) == SIZE
    assert len(set(content)) == 1
    return content[0]


WRITE_ONE = """
print("ready", flush=True)
for i in range(n_times):
    write_text(folder + "/a", text, overwrite=True, subject="put")
"""
WRITE_SET = """
print("ready", flush=True)
for i in range(n_times):
    with written_together(folder):
        for name in "abc":
            write_text(f"{folder}/{name}", text, overwrite=True, subject="put")
"""


@pytest.mark.parametrize("wait", [0, 0.002, 0.005, 0.01, 0.02, 0.05])
def test_a_killed_process_leaves_a_whole_file_and_its_leftovers_go(wait, tmp_path):
    path = tmp_path / "a"
    path.write_text("o" * SIZE)
    process = start(WRITE_ONE, tmp_path, "n", 100_000)
    process.stdout.readline()
    time.sleep(wait)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert assert_whole(path) in "on"
    write_text(path, "later", overwrite=True, subject="put")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_process_killed_while_it_writes_leaves_one_file_that_the_next_run_removes(tmp_path):
    body = """
with new_file(folder + "/a", overwrite=True, subject="put") as file:
    file.write(text.encode())
    file.flush()
    print("ready", flush=True)
    sys.stdin.read()
"""
    (tmp_path / "a").write_text("o" * SIZE)
    process = start(body, tmp_path, "n", 1, stdin=subprocess.PIPE)
    process.stdout.readline()
    write_text(tmp_path / "b", "", overwrite=True, subject="put")
    assert len(list(tmp_path.iterdir())) == 3  # it lives, so its file stays
    process.kill()
    process.communicate()
    assert assert_whole(tmp_path / "a") == "o"
    assert len(list(tmp_path.iterdir())) == 3
    write_text(tmp_path / "b", "", overwrite=True, subject="put")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_set_is_never_mixed_by_a_signal_before_its_end(sign, tmp_path):
    body = """
with written_together(folder):
    for name in "ab":
        write_text(f"{folder}/{name}", text, overwrite=True, subject="put")
    print("ready", flush=True)
    sys.stdin.read()
"""
    for name in "ab":
        (tmp_path / name).write_text("o" * SIZE)
    process = start(body, tmp_path, "n", 1, stdin=subprocess.PIPE)
    process.stdout.readline()
    process.send_signal(sign)
    process.communicate()
    assert {assert_whole(tmp_path / name) for name in "ab"} == {"o"}
    left = [file.name for file in tmp_path.iterdir() if file.name not in "ab"]
    assert len(left) == (2 if sign == signal.SIGKILL else 0)


@pytest.mark.parametrize(("body", "names"), [(WRITE_ONE, "a"), (WRITE_SET, "abc")])
def test_processes_that_write_one_file_at_once_leave_it_whole(body, names, tmp_path):
    processes = [start(body, tmp_path, letter, 60) for letter in "xyz"]
    while any(process.poll() is None for process in processes):
        there = (tmp_path / names[0]).exists()
        for name in names:
            try:
                assert assert_whole(tmp_path / name) in "xyz"
            except FileNotFoundError:  # as before the first set, or between two sets
                assert name != names[0] or not there
    for process in processes:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    assert len({assert_whole(tmp_path / name) for name in names}) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == list(names)


def test_of_processes_that_make_a_file_at_once_one_does(tmp_path):
    body = """
sys.stdin.readline()
for i in range(n_times):
    try:
        write_text(f"{folder}/{i}", text, overwrite=False, subject="put")
        print(i)
    except FileExistsError as error:
        assert "put does not replace" in str(error)
"""
    n = 40
    processes = [start(body, tmp_path, letter, n, stdin=subprocess.PIPE) for letter in "xyz"]
    made = {}
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process, letter in zip(processes, "xyz", strict=True):
        printed, errors = process.communicate()
        assert errors == ""
        for i in printed.split():
            assert i not in made
            made[i] = letter
    assert len(made) == n
    assert {i: assert_whole(tmp_path / i) for i in made} == made
    assert len(list(tmp_path.iterdir())) == n


def test_a_limit_of_space_leaves_the_old_files(tmp_path):
    body = """
import resource, signal
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with written_together():
        write_text(folder + "/a", "short", overwrite=True, subject="put")
        write_text(folder + "/b", text, overwrite=True, subject="put")
except OSError as error:
    print(error)
"""
    (tmp_path / "a").write_text("old")
    process = start(body, tmp_path, "n", 1)
    printed, errors = process.communicate()
    assert errors == ""
    assert printed.startswith(f"put cannot write '{tmp_path}/b': it is larger than a file may be")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_full_file_system_leaves_the_old_files(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(small)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system needs the right to mount one")
    try:
        (small / "a").write_text("o" * SIZE)
        process = start(WRITE_ONE, small, "n", 1)
        assert "put cannot write" in (errors := process.communicate()[1])
        assert f"'{small}/a': no space is left" in errors
        assert process.returncode == 1
        assert assert_whole(small / "a") == "o"
        assert [file.name for file in small.iterdir()] == ["a"]
    finally:
        subprocess.run(["umount", str(small)], check=True)
