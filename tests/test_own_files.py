"""Files that a command makes are known again by it, and no run is mixed with another one."""

import os
import signal
from functools import partial
from unittest import mock

import pytest

from sklearn_codex._output import OwnFiles
from sklearn_codex.cli import main
from sklearn_codex.cli._demo_files import DEMO
from sklearn_codex.report._audit_run import AUDIT

SETS = pytest.mark.parametrize("files", [DEMO, AUDIT], ids=["demo", "audit"])
FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes of POSIX")
RENAMES = ("rename", "replace", "link", "unlink", "makedirs")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Leave out to wait for the disk, of which nothing is tried here."""
    monkeypatch.setattr("sklearn_codex._output._file.sync", lambda descriptor: None)


def snapshot(folder):
    """Return what is in a folder by its names, but for what is not finished."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.startswith(".sklearn-codex-")
    }


def made(files, out, **contents):
    contents = {files.files[0]: b"first", files.files[-1]: b"page", **contents}
    files.write(out, contents, files.check(out, force=False))
    return out


@SETS
def test_own_files_are_replaced_and_no_others(files, tmp_path):
    out = made(files, tmp_path / "d")
    (out / "notes.txt").write_text("mine")
    made(files, out, **{files.files[1]: b"second"})
    assert (out / files.files[1]).read_bytes() == b"second"
    made(files, out)
    names = {"notes.txt", files.manifest, files.files[0], files.files[-1]}
    assert set(snapshot(out)) == names


@SETS
@pytest.mark.parametrize("position", [0, 1, -1])
def test_a_file_that_was_changed_or_came_from_elsewhere_is_refused(files, position, tmp_path):
    out, name = made(files, tmp_path / "d"), files.files[position]
    (out / name).write_bytes(b"mine")
    before = snapshot(out)
    message = f"{name}': the file was not made by the {files.maker}, or was changed since.*--force"
    with pytest.raises(FileExistsError, match=message):
        files.check(out, force=False)
    assert snapshot(out) == before
    replaced = files.check(out, force=True)
    assert replaced == set(before)
    files.write(out, {files.files[0]: b"new"}, replaced)
    assert set(snapshot(out)) == {files.manifest, files.files[0]}


@pytest.mark.parametrize("command", [["demo", "--modules", "5"], ["audit", "--example"]])
def test_a_command_says_so_before_it_works(command, tmp_path, capsys):
    files = DEMO if command[0] == "demo" else AUDIT
    out = made(files, tmp_path / "d")
    (out / files.files[-1]).write_bytes(b"mine")
    assert main([*command, "--no-progress", "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"was not made by the {files.maker}, or was changed since." in captured.err
    assert captured.err.splitlines()[-1].startswith("sklearn-codex: --out cannot write ")
    assert (out / files.files[-1]).read_bytes() == b"mine"


@SETS
@pytest.mark.parametrize(
    "manifest",
    [
        None, "", "[]", "{}", '{"made_by": "me", "files": {}}', '{"made_by": "sklearn-codex %s"}',
        '{"made_by": "sklearn-codex %s", "files": []}', "\udce9",
        '{"made_by": "sklearn-codex %s", "files": {"model.skops": 1, "../x": "y"}}',
    ],
)  # fmt: skip
def test_without_a_manifest_nothing_is_its_own(files, manifest, tmp_path):
    (tmp_path / files.files[-1]).write_bytes(b"mine")
    if manifest is not None:
        text = manifest.replace("%s", files.maker)
        (tmp_path / files.manifest).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(FileExistsError, match="pass --force to replace"):
        files.check(tmp_path, force=False)


@SETS
def test_a_manifest_of_another_command_makes_nothing_its_own(files, tmp_path):
    other = AUDIT if files is DEMO else DEMO
    made(other, tmp_path)
    with pytest.raises(FileExistsError, match=r"exists\. Choose another one with --out"):
        files.check(tmp_path, force=False)
    files.write(tmp_path, {files.files[0]: b"x"}, files.check(tmp_path, force=True))
    made(other, tmp_path)  # its own are as they were
    made(files, tmp_path)


def test_an_empty_folder_and_none_are_written_to(tmp_path):
    assert DEMO.check(tmp_path, force=False) == frozenset()
    assert DEMO.check(tmp_path / "new", force=False) == frozenset()
    (tmp_path / ".sklearn-codex-0123456789abcdef.part").write_text("of a process that was killed")
    assert DEMO.check(tmp_path, force=False) == frozenset()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists"):
        DEMO.check(tmp_path, force=False)


FILES = OwnFiles("test", ("list.csv", "gone.csv", "new.csv", "page.html"), "1")
OLD = {"list.csv": b"old", "gone.csv": b"old", "page.html": b"old"}
NEW = {"list.csv": b"new", "new.csv": b"new", "page.html": b"new"}


def counted(die, limit):
    """Return stand-ins for what changes names, of which one dies before it begins."""
    n_steps = 0

    def wrap(change):
        def step(*paths, **options):
            nonlocal n_steps
            n_steps += 1
            if n_steps == limit:
                die()
            change(*paths, **options)

        return step

    return {name: wrap(getattr(os, name)) for name in RENAMES}


def states(folder):
    """Return the sets, by their manifests, that a folder may hold in part."""
    whole = []
    for number, contents in enumerate((OLD, NEW)):
        sample = folder / f"sample{number}"
        FILES.write(sample, contents, frozenset())
        whole.append(snapshot(sample))
    return whole


def part_of(found, whole):
    """Return which of the sets the files of a folder are a part of; it has to be one."""
    (which,) = (i for i, files in enumerate(whole) if found.items() <= files.items())
    return which


def write_and_die(out, limit):
    """Return whether a process that writes the new set was killed before it was through."""
    if not (pid := os.fork()):
        kill = partial(os.kill, os.getpid(), signal.SIGKILL)
        with mock.patch.multiple(os, **counted(kill, limit)):
            FILES.write(out, NEW, FILES.check(out, force=False))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


@FORK
def test_a_kill_between_any_two_steps_mixes_no_two_sets(tmp_path):
    """Each step that changes names is the last one once; the next run then goes on by itself."""
    whole, ends, killed, limit = states(tmp_path), [], True, 0
    while killed:
        limit += 1
        out = tmp_path / f"out{limit}"
        FILES.write(out, OLD, frozenset())
        (out / "notes.txt").write_bytes(b"mine")
        killed = write_and_die(out, limit)
        found = snapshot(out)
        assert found.pop("notes.txt") == b"mine"
        assert FILES.manifest in found
        which = part_of(found, whole)
        if "page.html" in found:
            assert found == whole[which]
        ends.append((which, len(found)))
        FILES.write(out, NEW, FILES.check(out, force=False))
        assert snapshot(out) == {**whole[1], "notes.txt": b"mine"}
        assert len(list(out.iterdir())) == len(whole[1]) + 1  # and nothing is left over
    assert ends[0] == (0, 4)
    assert ends[-1] == (1, 4)
    assert ends == sorted(ends, key=lambda end: (end[0], end[1] if end[0] else -end[1]))
    assert {(0, 3), (0, 2), (0, 1), (1, 1), (1, 2), (1, 3)} <= set(ends)


def test_an_interrupt_between_any_two_steps_changes_nothing(tmp_path):
    whole, done, limit = states(tmp_path), False, 0

    def interrupt():
        raise KeyboardInterrupt

    while not done:
        limit += 1
        out = tmp_path / f"out{limit}"
        FILES.write(out, OLD, frozenset())
        replaced = FILES.check(out, force=False)
        try:
            with mock.patch.multiple(os, **counted(interrupt, limit)):
                FILES.write(out, NEW, replaced)
            done = True
        except KeyboardInterrupt:
            assert snapshot(out) in whole
        assert not done or snapshot(out) == whole[1]
    assert limit > 10


@FORK
def test_the_first_set_of_a_folder_that_is_killed_is_known_again(tmp_path):
    whole, ends, killed, limit = states(tmp_path)[1], set(), True, 0
    while killed:
        limit += 1
        out = tmp_path / "deep" / f"out{limit}"
        killed = write_and_die(out, limit)
        found = snapshot(out) if out.exists() else {}
        assert found.items() <= whole.items()
        assert "page.html" not in found or found == whole
        ends.add(len(found))
        FILES.write(out, NEW, FILES.check(out, force=False))
        assert snapshot(out) == whole
    assert ends == {0, 1, 2, 3, 4}
