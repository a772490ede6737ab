"""Where commands write, and what they leave alone."""

import csv
import json
import os
import stat

import pytest

from sklearn_codex import load_model
from sklearn_codex.cli import main
from sklearn_codex.report import _audit_run

ROWS = [{"text": "a b c"}, {"text": "b c"}, {"completion": "c a"}]
ROWS += [{"chosen": f"a b{'b' * i}", "rejected": "c"} for i in range(4)]


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    words = [str(folder / "r.jsonl"), "--out", str(folder / "m.skops"), "--test-size", "0"]
    assert main(["fit", *words, "--min-count", "1", "--figures", str(folder / "f.json")]) == 0
    return folder / "m.skops"


def fit(records, *words):
    return main(["fit", str(records), "--test-size", "0", "--min-count", "1", *map(str, words)])


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("form", ["{0}", "{1}/./m", "{1}/link"])
def test_the_model_and_its_figures_are_two_files(form, records, tmp_path, capsys):
    out = tmp_path / "m"
    (tmp_path / "link").symlink_to("m")
    before = snapshot(tmp_path)
    assert fit(records, "--out", out, "--figures", form.format(out, tmp_path)) == 1
    assert "which is the file of --out too" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("output", ["--out", "--figures"])
def test_records_are_not_replaced_by_what_is_made_of_them(output, records, tmp_path, capsys):
    words = {"--out": tmp_path / "m", "--figures": tmp_path / "f", output: records}
    before = snapshot(tmp_path)
    assert fit(records, "--force", *(word for item in words.items() for word in item)) == 1
    error = capsys.readouterr().err
    assert f"{output} is to write '{records}', which is the file of RECORDS too." in error
    assert snapshot(tmp_path) == before


def test_models_are_not_replaced_by_what_they_write(model, tmp_path, capsys):
    texts = tmp_path / "t.txt"
    texts.write_text("a b\n")
    for words in (
        ["sample", model],
        ["reward", model, texts],
        ["score", model, "--texts", texts],
        ["frontier", model],
    ):
        before = model.read_bytes()
        assert main([*map(str, words), "--out", str(model), "--force"]) == 1
        assert "the file of MODEL too" in capsys.readouterr().err
        assert model.read_bytes() == before
    assert main(["reward", str(model), str(texts), "--out", str(texts), "--force"]) == 1
    assert texts.read_text() == "a b\n"
    capsys.readouterr()


def test_force_writes_through_devices_and_links(model, tmp_path, capsys):
    (tmp_path / "target").write_text("old")
    (tmp_path / "target").chmod(0o640)
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "null").symlink_to(os.devnull)
    for path in (os.devnull, tmp_path / "null", tmp_path / "link"):
        assert main(["sample", str(model), "--out", str(path), "--force"]) == 0
    assert main(["sample", str(model), "--out", os.devnull]) == 0  # where nothing is replaced
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert (tmp_path / "null").is_symlink()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() != "old"
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o640
    capsys.readouterr()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("none/s.txt", "there is no folder '{0}/none'. Make it, or choose another path."),
        (".", "it is a folder. Name a file."),
        ("r.jsonl/s.txt", "'{0}/r.jsonl' is no folder."),
        ("n" * 300, "the name is too long."),
    ],
)
def test_errors_name_what_was_named(place, message, model, records, tmp_path, capsys):
    path = f"{tmp_path}/{place}"
    for words in (["sample", str(model)], ["frontier", str(model)]):
        assert main([*words, "--out", path]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"sklearn-codex: --out cannot write '{path}': ")
        assert message.format(tmp_path) in error
        assert error.count("\n") == 1
    assert fit(records, "--out", tmp_path / "m.skops", "--figures", path) == 1
    assert f"--figures cannot write '{path}'" in capsys.readouterr().err
    assert snapshot(tmp_path) == {"r.jsonl": records.read_bytes()}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_device_is_named(model, capsys):
    assert main(["sample", str(model), "--out", "/dev/full"]) == 1
    assert "--out cannot write '/dev/full': no space is left" in capsys.readouterr().err


def test_a_fit_writes_what_it_was_asked_for(records, tmp_path, capsys):
    assert fit(records, "--out", tmp_path / "m.skops", "--figures", tmp_path / "f.json") == 0
    assert set(snapshot(tmp_path)) == {"r.jsonl", "m.skops", "f.json"}
    assert json.loads((tmp_path / "f.json").read_text())["n_train"] == len(ROWS)
    assert next(iter(load_model(tmp_path / "m.skops").named_steps_)) == "pretrain"
    capsys.readouterr()


def fake_audit(tmp_path, monkeypatch):
    """Let the command audit at once: a row for each list, and a report in a word."""
    rows = [{"row": 0, "prompt": "=1+1", "label": 1.0}]
    audit = {name: {"rows": rows} for name in _audit_run.LISTS}
    audit |= {"source": "p.jsonl", "seed": 0, "health": []}
    monkeypatch.setattr(_audit_run, "compute_audit", lambda *args, **options: dict(audit))
    monkeypatch.setattr(_audit_run, "audit_sections", lambda audit: [])
    monkeypatch.setattr(_audit_run, "decision_block", lambda audit: None)
    monkeypatch.setattr(_audit_run, "short_lines", lambda *parts: [("text", "all is well")])
    monkeypatch.setattr(_audit_run, "render", lambda *parts, **lists: "page")
    prefs = tmp_path / "p.jsonl"
    prefs.write_text("{}\n")
    return audit, ["audit", str(prefs), "--no-progress"]


def test_an_audit_leaves_no_list_of_an_earlier_one(tmp_path, capsys, monkeypatch):
    audit, words = fake_audit(tmp_path, monkeypatch)
    out = tmp_path / "deep" / "out"
    assert main([*words, "--out", str(out)]) == 0
    assert set(snapshot(out)) == set(_audit_run.AUDIT.names)
    with open(out / "split_leaks.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row == {"prompt": "'=1+1", "label": "1.0", "quoted": "prompt"}
    (out / "mine.csv").write_text("mine")
    audit["leakage"], audit["labels_to_check"] = None, {"rows": []}
    monkeypatch.setattr(_audit_run, "compute_audit", lambda *args, **options: dict(audit))
    assert main([*words, "--out", str(out)]) == 0
    names = {"report.html", "audit.json", "pairs_to_label.csv", "mine.csv", "made_by_audit.json"}
    assert set(snapshot(out)) == names
    capsys.readouterr()


def test_an_audit_that_cannot_be_written_whole_changes_nothing(tmp_path, capsys, monkeypatch):
    _, words = fake_audit(tmp_path, monkeypatch)
    out = tmp_path / "out"
    assert main([*words, "--out", str(out)]) == 0
    before = snapshot(out)

    def fail(rows):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(_audit_run, "render", lambda *parts, **lists: "another page")
    monkeypatch.setattr(_audit_run, "as_csv", fail)
    assert main([*words, "--out", str(out), "--force"]) == 1
    assert main([*words, "--out", str(tmp_path / "new")]) == 1
    assert snapshot(out) == before
    assert not (tmp_path / "new").exists()
    capsys.readouterr()


def test_an_audit_does_not_replace_what_it_reads(tmp_path, capsys, monkeypatch):
    _, words = fake_audit(tmp_path, monkeypatch)
    out = tmp_path / "out"
    assert main([*words, "--out", str(out)]) == 0
    before = snapshot(out)
    for given in (
        ["audit", str(out / "labels_to_check.csv")],
        [*words, "--split", str(out / "split_leaks.csv")],
        [*words, "--reference", str(out / "report.html")],
    ):
        assert main([*given, "--no-progress", "--out", str(out), "--force"]) == 1
        assert "is to write" in capsys.readouterr().err
        assert snapshot(out) == before
    (out / "audit.json").unlink()
    (out / "audit.json").mkdir()
    assert main([*words, "--out", str(out), "--force"]) == 1
    assert f"--out cannot write '{out}/audit.json': it is a folder" in capsys.readouterr().err
    assert main([*words, "--out", str(out / "report.html")]) == 1
    assert "it is a file. Name a folder." in capsys.readouterr().err
