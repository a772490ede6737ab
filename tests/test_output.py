"""Files are written whole or not at all, where they were meant to be, and several together."""

import ast
import errno
import json
import os
import stat
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

import sklearn_codex
from sklearn_codex._output import (
    check_folder,
    check_outputs,
    new_file,
    write_text,
    written_together,
)
from sklearn_codex._output._file import _NamedRaw

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def put(path, text, *, overwrite=True):
    write_text(path, text, overwrite=overwrite, subject="put")


def put_together(*paths, folder=None, then=lambda: None):
    with written_together(folder):
        for path in paths:
            put(path, "new")
        then()


def fail(error):
    raise error


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def leave_temporary(folder, name="0123456789abcdef"):
    path = folder / f".sklearn-codex-{name}.part"
    path.write_text("half a fi")
    return path


@contextmanager
def full_disk(monkeypatch):
    def write(self, data):
        with self._named_errors():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(_NamedRaw, "write", write)
        yield


def test_a_file_is_there_when_the_block_ends(tmp_path):
    path = tmp_path / "a.bin"
    with new_file(str(path), overwrite=False, subject="put") as file:
        file.write(b"12345")
        file.seek(0)
        assert file.read(2) == b"12"
        file.write(b"x")
        assert not path.exists()
    assert path.read_bytes() == b"12x45"
    assert names(tmp_path) == ["a.bin"]


def test_an_archive_can_be_written_and_closed(tmp_path):
    for path in (tmp_path / "a.zip", tmp_path / "b.zip"):
        with new_file(path, overwrite=False, subject="put") as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("one", "1")
            file.close()
        with zipfile.ZipFile(path) as archive:
            assert archive.read("one") == b"1"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt("no")])
def test_nothing_changes_where_the_block_fails(error, tmp_path):
    path = tmp_path / "a"
    path.write_text("old")

    def write():
        with new_file(path, overwrite=True, subject="put") as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error), match="no"):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_an_existing_file_is_replaced_only_where_that_is_meant(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(
        FileExistsError, match=r"put does not replace the existing file '.*a'\. Choose another"
    ):
        put(path, "new", overwrite=False)
    assert path.read_text() == "old"
    put(path, "new")
    assert path.read_text() == "new"


def test_a_file_that_came_to_be_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "a"

    def write():
        with new_file(path, overwrite=False, subject="put"):
            path.write_text("theirs")

    with pytest.raises(FileExistsError, match="put does not replace"):
        write()
    assert path.read_text() == "theirs"
    assert names(tmp_path) == ["a"]


def test_lone_surrogates_are_written_as_escapes(tmp_path):
    put(tmp_path / "a", "é\ud800")
    assert (tmp_path / "a").read_bytes() == "é\\ud800".encode()


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_has_the_mode_that_the_umask_leaves(umask, tmp_path):
    before = os.umask(umask)
    try:
        put(tmp_path / "a", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_replaced_file_keeps_its_mode(mode, tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(mode)
    put(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_links_stay_and_their_targets_are_replaced(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "target").write_text("old")
    (tmp_path / "link").symlink_to("folder/target")
    (tmp_path / "chain").symlink_to(tmp_path / "link")
    (tmp_path / "hanging").symlink_to(folder / "fresh")
    with pytest.raises(FileExistsError, match=r"'.*link'"):
        put(tmp_path / "link", "new", overwrite=False)
    put(tmp_path / "link", "new")
    assert (folder / "target").read_text() == "new"
    put(tmp_path / "chain", "newer")
    assert (folder / "target").read_text() == "newer"
    put(tmp_path / "hanging", "made", overwrite=False)
    assert (folder / "fresh").read_text() == "made"
    assert all((tmp_path / name).is_symlink() for name in ("link", "chain", "hanging"))
    assert names(folder) == ["fresh", "target"]


def test_a_path_through_a_linked_folder_and_back(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    put(f"{tmp_path}/link/../x", "1")  # the system goes to a/, not to where the link stands
    assert (tmp_path / "a" / "x").read_text() == "1"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: p / "none" / "a", FileNotFoundError, r"there is no folder '.*none'"),
        (lambda p: p, IsADirectoryError, "it is a folder. Name a file."),
        (lambda p: p / "file" / "a", NotADirectoryError, "'.*file' is no folder"),
        (lambda p: p / "circle", OSError, "symbolic links lead in a circle"),
        (lambda p: p / ("a" * 300), OSError, "the name is too long. Choose a shorter one"),
        (lambda p: p / "lost", FileNotFoundError, "there is no folder '.*nowhere'"),
        (lambda p: f"{p}/new/", FileNotFoundError, "there is no folder"),
        (lambda p: f"{p}/a\0b", ValueError, "it is no path"),
    ],
)
def test_errors_name_the_path_that_was_given(make, error, message, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "lost").symlink_to("nowhere/a")
    path = make(tmp_path)
    before = names(tmp_path)
    with pytest.raises(error, match=r"^put cannot write '.*" + message) as caught:
        put(path, "x")
    assert repr(str(path)) in str(caught.value)
    with pytest.raises(error, match=r"--out cannot write .*" + message):
        check_outputs({"--out": path}, overwrite=True)
    assert names(tmp_path) == before


@pytest.mark.skipif(IS_ROOT, reason="root may write everywhere")
def test_permission_is_told_of_the_path_that_was_given(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o444)
    with pytest.raises(PermissionError, match=r"put cannot write '.*a': permission is denied"):
        put(tmp_path / "a", "new")
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError, match=r"put cannot write '.*b': permission is denied"):
        put(tmp_path / "b", "new")
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("name", ["EROFS", "EDQUOT", "EACCES", "EIO"])
def test_errors_of_the_system_are_told_of_the_path_that_was_given(name, tmp_path, monkeypatch):
    code = getattr(errno, name)

    def refuse(*args):
        raise OSError(code, os.strerror(code), "a temporary name")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match=r"put cannot write '.*a': ") as caught:
        put(tmp_path / "a", "x")
    assert caught.value.errno == code
    assert "temporary" not in str(caught.value)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("old")
    with (
        full_disk(monkeypatch),
        pytest.raises(OSError, match=r"put cannot write '.*a': no space is left") as caught,
    ):
        put(path, "new" * 10_000)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_the_null_device_is_written_through(tmp_path):
    (tmp_path / "null").symlink_to(os.devnull)
    put(tmp_path / "null", "gone", overwrite=False)
    assert (tmp_path / "null").is_symlink()
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    check_outputs({"--out": os.devnull, "--figures": os.devnull}, overwrite=False)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_device_is_named(tmp_path):
    with pytest.raises(OSError, match="put cannot write '/dev/full': no space is left"):
        put("/dev/full", "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_written_through(tmp_path):
    fifo, link, read = tmp_path / "fifo", tmp_path / "link", []
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    for path, overwrite in ((fifo, False), (link, True)):
        thread = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
        thread.start()
        with (
            new_file(path, overwrite=overwrite, subject="put") as file,
            zipfile.ZipFile(file, "w") as archive,
        ):
            archive.writestr("one", "1")
        thread.join()
        assert read.pop().startswith(b"PK")
        assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert link.is_symlink()


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no /proc")
@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_an_open_descriptor_is_written_to_as_it_stands(form, tmp_path):
    with open(tmp_path / "log", "w+b", buffering=0) as log:
        log.write(b"before ")
        path = Path(form.format(log.fileno()))
        if form == "link":
            path = tmp_path / form
            path.symlink_to(f"/proc/self/fd/{log.fileno()}")
        put(path, "written", overwrite=False)
        log.write(b" after")
    assert (tmp_path / "log").read_bytes() == b"before written after"
    assert set(names(tmp_path)) <= {"log", "link"}


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no /proc")
def test_a_pipe_whose_reader_has_gone_wants_no_more():
    reading, writing = os.pipe()
    os.close(reading)
    put(f"/dev/fd/{writing}", "x" * 100_000)
    os.close(writing)


def same_paths(tmp_path):
    path = tmp_path / "x"
    yield path, tmp_path / "." / "x", False
    yield path, f"{tmp_path}/y/../x", False
    yield path, tmp_path / "link", False
    yield path, tmp_path / "linked" / "x", False
    yield path, tmp_path / "hard", True


def test_two_outputs_need_two_files(tmp_path):
    (tmp_path / "y").mkdir()
    (tmp_path / "link").symlink_to("x")
    (tmp_path / "linked").symlink_to(tmp_path)
    for one, other, exists in same_paths(tmp_path):
        if exists:
            one.write_text("")
            os.link(one, other)
        with pytest.raises(ValueError, match=r"--figures is to write '.*', which is the file of"):
            check_outputs({"--out": one, "--figures": other}, overwrite=True)
        with pytest.raises(ValueError, match=r"is the file of RECORDS too"):
            check_outputs({"--out": one}, {"RECORDS": other}, overwrite=True)
    check_outputs({"--out": tmp_path / "x", "--figures": tmp_path / "z"}, overwrite=True)


def test_leftovers_of_dead_processes_are_removed_and_nothing_else(tmp_path):
    dead = leave_temporary(tmp_path)
    kept = [".sklearn-codex-0123.part", "a.part", ".sklearn-codex-0123456789abcdef.part.txt"]
    for name in kept:
        (tmp_path / name).write_text("mine")
    folder = tmp_path / ".sklearn-codex-0000000000000000.part"
    folder.mkdir()
    link = tmp_path / ".sklearn-codex-1111111111111111.part"
    link.symlink_to("a.part")
    with new_file(tmp_path / "b", overwrite=False, subject="put") as living:
        assert not dead.exists()
        living.write(b"1")
        put(tmp_path / "c", "2")
    assert names(tmp_path) == sorted([*kept, folder.name, link.name, "b", "c"])
    assert (tmp_path / "b").read_text() == "1"


def test_files_written_together_come_together(tmp_path):
    (tmp_path / "a").write_text("old")
    with written_together():
        put(tmp_path / "a", "new")
        put(tmp_path / "b", "new")
        assert (tmp_path / "a").read_text() == "old"
        assert not (tmp_path / "b").exists()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new", "b": "new"}


def test_files_written_together_stay_as_they_were_where_one_cannot_be(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o640)
    (tmp_path / "stale").write_text("old")
    (tmp_path / "a_link").symlink_to("a")

    def fail_late():
        put(tmp_path / "a_link", "new")
        put(tmp_path / "b", "new")
        put(tmp_path / "made" / "c", "new")
        put(tmp_path / "d", "new")
        (tmp_path / "d").mkdir()  # after the file was complete

    with (
        pytest.raises(OSError, match=r"put cannot write '.*d': it is a folder"),
        written_together(tmp_path / "made", stale=("c",)),
    ):
        fail_late()
    (tmp_path / "d").rmdir()
    assert names(tmp_path) == ["a", "a_link", "stale"]
    assert (tmp_path / "a").read_text() == "old"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    with pytest.raises(ValueError, match="no more"):
        put_together(tmp_path / "a", then=lambda: fail(ValueError("no more")))
    assert names(tmp_path) == ["a", "a_link", "stale"]
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_what_is_written_through_comes_last(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError, match="'/dev/full': no space"):
        put_together("/dev/full", tmp_path / "a", tmp_path / "b")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_folder_comes_with_its_files(tmp_path):
    out = tmp_path / "deep" / "out"
    with pytest.raises(ValueError, match="oh"):
        put_together(out / "a", folder=out, then=lambda: fail(ValueError("oh")))
    assert names(tmp_path) == []
    with written_together(out):
        put(out / "a", "1")
        assert not out.exists()
    assert names(out) == ["a"]
    assert names(tmp_path) == ["deep"]
    with pytest.raises(FileNotFoundError, match="no folder"), written_together(out):
        put(tmp_path / "elsewhere" / "a", "1")


def test_files_of_an_earlier_run_do_not_stay_beside_those_of_a_new_one(tmp_path):
    for name in ("report", "labels", "mine"):
        (tmp_path / name).write_text("old")
    with written_together(tmp_path, stale=("report", "labels", "pairs")):
        put(tmp_path / "report", "new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "report": "new",
        "mine": "old",
    }


def test_folders_are_checked_before_the_work(tmp_path):
    def check(folder, inputs=None, overwrite=True):
        check_folder(
            folder, ["a", "b"], inputs, overwrite=overwrite, subject="--out", remedy="Pass --force."
        )

    check(tmp_path / "new")
    check(tmp_path)
    with pytest.raises(FileExistsError, match=r"The folder '.*' exists\. Pass --force\."):
        check(tmp_path, overwrite=False)
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match=r"--out cannot write into '.*file': it is a file"):
        check(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match=r"--out cannot write '.*a'"):
        check(tmp_path / "file" / "out")
    (tmp_path / "b").mkdir()
    with pytest.raises(IsADirectoryError, match=r"--out cannot write '.*b': it is a folder"):
        check(tmp_path)
    with pytest.raises(ValueError, match="the file of PREFS too"):
        check(tmp_path / "b", {"PREFS": tmp_path / "b" / "a"})


def test_file_systems_without_links_or_locks_will_do(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr("fcntl.flock", refuse)
    put(tmp_path / "a", "1", overwrite=False)
    with pytest.raises(FileExistsError, match="does not replace"):
        put(tmp_path / "a", "2", overwrite=False)
    with pytest.raises(OSError, match="a folder"):
        put_together(tmp_path / "a", tmp_path / "b", then=(tmp_path / "b").mkdir)
    assert (tmp_path / "a").read_text() == "1"
    leftover = leave_temporary(tmp_path)
    put(tmp_path / "c", json.dumps(1))
    assert leftover.exists()  # nobody can tell whether its process lives


WRITES = {
    "write_text",
    "write_bytes",
    "replace",
    "mkstemp",
    "NamedTemporaryFile",
    "savefig",
    "to_csv",
}
# The writer itself; a copy of standard input to be read, in a folder of its own; the terminal.
MAY_WRITE = {"_output", "cli/_options.py"}
MAY_SHOW = {"report/_terminal.py"}


def calls_of(path):
    """Yield what a module calls, as written: ``os.replace``, ``open``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def opens_to_write(node):
    mode = [*(arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)), "r"][0]
    modes = [keyword.value.value for keyword in node.keywords if keyword.arg == "mode"]
    return bool(set("wax+") & set((modes or [mode])[0]))


def test_nothing_is_written_or_shown_but_by_the_rooms_for_it():
    root = Path(sklearn_codex.__file__).parent
    for path in root.rglob("*.py"):
        place = path.relative_to(root).as_posix()
        if place.partition("/")[0] in MAY_WRITE or place in MAY_WRITE | MAY_SHOW:
            continue
        for name, node in calls_of(path):
            owner, _, method = name.rpartition(".")
            wrote = method in WRITES and owner and (method != "replace" or owner == "os")
            wrote = wrote or (name in ("open", "io.open") and opens_to_write(node))
            shown = name in ("print", "sys.stdout.write", "sys.stderr.write")
            assert not wrote, f"{place}:{node.lineno} writes by {name}"
            assert not shown, f"{place}:{node.lineno} shows by {name}"
