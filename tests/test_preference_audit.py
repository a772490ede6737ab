"""The audit and the report of the checks as results of Python: shown, written, and as frames."""

import json
import re
import sys
import webbrowser

import numpy as np
import pytest
from audit_pairs import labelled, oriented, write

import sklearn_codex
from sklearn_codex import audit_preferences, check_preferences, read_preferences
from sklearn_codex._checks.frames import as_frame
from sklearn_codex._tables import as_columns
from sklearn_codex.cli import main
from sklearn_codex.report import _audit_run
from sklearn_codex.report._numbers import equal_digits
from sklearn_codex.report._responses import draw_response, draw_two, preview

HOSTILE = "<script>alert(1)</script>\x1b"


@pytest.fixture(scope="module")
def rows():
    rows = oriented(n_prompts=24)
    rows[0]["chosen"] += HOSTILE
    return [{**row, "task": f"task {i // 12}"} for i, row in enumerate(rows)]


@pytest.fixture(scope="module")
def audit(rows):
    return audit_preferences([*rows, *rows[:20]])


def test_the_verdict_comes_with_its_reason_and_what_to_do(audit):
    assert audit.verdict == "fix these first"
    assert audit.reason.startswith("20 pairs repeat an earlier one")
    (item,) = audit.to_do
    assert (item["kind"], item["n_rows"], len(item["where"])) == ("repeats", 20, 20)
    assert item["effect"]["verdict"] in ("raises", "lowers", "not shown")
    assert audit.answers[1].tests["predictable"] == audit.figures["verdicts"]["predictable"]
    assert all(answer.word and answer.answer for answer in audit.answers)


def test_all_figures_are_json_and_made_on_a_day(audit):
    back = json.loads(json.dumps(audit.to_dict(), allow_nan=False))
    assert back["decision"] == {"verdict": "fix these first", "reason": "many rows"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", back["date"])
    assert back["date"][:10] in audit.to_html()


def test_a_notebook_and_a_terminal_show_it_in_few_lines(audit):
    lines = repr(audit).splitlines()
    assert lines[0] == "FIX THESE FIRST"
    assert len(lines) <= 23
    html = audit._repr_html_()
    assert "Fix these first" in html
    assert html.count("<tr>") == len(audit.answers) + 2
    assert "<script" not in html


def test_frames_are_data_frames_or_lists(audit, monkeypatch):
    pd = pytest.importorskip("pandas")
    frames = audit.frames
    assert {"answers", "to_do", "tests", "health", "models", "tokens", "lengths"} <= set(frames)
    assert all(isinstance(frame, pd.DataFrame) for frame in frames.values())
    assert frames["models"].model.tolist() == ["length only", "words", "preset"]
    best = audit.figures["prediction"]["models"]["words"]["accuracy"]
    assert frames["models"].accuracy_low[1] == best["low"]
    assert frames["lengths"][["preferred", "other"]].sum().tolist() == [164, 164]
    assert frames["to_do"].effect_verdict[0] == audit.to_do[0]["effect"]["verdict"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    plain = audit.frames
    assert plain["models"]["model"] == ["length only", "words", "preset"]
    assert type(plain["models"]) is dict


def test_the_page_is_written_whole_and_never_over_another(audit, tmp_path):
    path = tmp_path / "page.html"
    html = audit.to_html(path)
    assert path.read_text(encoding="utf-8") == html
    assert "&lt;script&gt;alert(1)" in html
    assert HOSTILE not in html
    with pytest.raises(FileExistsError, match="to_html does not replace the existing file"):
        audit.to_html(path)
    audit.to_html(path, overwrite=True)
    with pytest.raises(ValueError, match=r"got path='figures\.json'\. End it in \.html"):
        audit.to_html("figures.json")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    # Nothing lies beside it, so nothing is linked to.
    assert "labels_to_check.csv</a>" not in html


def test_a_path_a_table_and_what_was_read_are_one_to_the_audit(tmp_path):
    rows = labelled(n_prompts=4, n_each=3)
    path = write(tmp_path / "prefs.jsonl", rows)
    found = [audit_preferences(data).to_dict() for data in (path, rows, read_preferences(path))]
    for audit in found:
        for name in ("source", "date", "read"):
            audit.pop(name)
        for item in audit["health"]:
            item.pop("where")
            item.pop("worst")
    assert found[0] == found[2]
    assert found[0]["decision"] == found[1]["decision"] == {
        "verdict": "cannot be decided", "reason": "too few",
    }  # fmt: skip


def test_columns_can_be_given(rows):
    renamed = [{"ask": r["prompt"], "good": r["chosen"], "bad": r["rejected"], "t": r["task"]}
               for r in rows[:12]]  # fmt: skip
    audit = audit_preferences(renamed, prompt="ask", chosen="good", rejected="bad", groups="t")
    assert audit.figures["prompts"]["column"] == "t"
    assert audit.figures["sizes"]["n_groups"] == 1
    data = read_preferences(rows[:24])
    assert audit_preferences(data, groups="task").figures["sizes"]["n_groups"] == 2


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"chosn": "x"}, TypeError, "audit_preferences has no argument 'chosn'. Columns are given"),
        ({"random_state": None}, TypeError, "needs random_state as an integer, got None"),
        ({"random_state": True}, TypeError, "needs random_state as an integer, got True"),
        ({"random_state": -1}, ValueError, "needs random_state from 0 to 2"),
        ({"max_pairs": -1}, ValueError, "audit_preferences needs max_pairs >= 0"),
    ],
)
def test_errors_name_the_argument(given, error, match, rows):
    with pytest.raises(error, match=match):
        audit_preferences(rows[:6], **given)


def test_columns_of_what_was_read_are_refused(rows):
    data = read_preferences(rows[:6])
    with pytest.raises(ValueError, match="got label= for data that have been read already"):
        audit_preferences(data, label="x")
    with pytest.raises(ValueError, match="got groups='none', which is no column of the data"):
        audit_preferences(data, groups="none")


def test_a_report_of_the_checks_is_a_table_a_frame_and_json(monkeypatch):
    pd = pytest.importorskip("pandas")
    X = [(f"<b>{i % 3}", "a b", "c") for i in range(12)]
    report = check_preferences(X, [1, 0] * 6, random_state=0)
    html = report._repr_html_()
    assert html.count("<tr>") == len(report.findings) + 1
    assert report._title() in html
    frame = report.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame.text.tolist() == [finding.text for finding in report.findings]
    assert report.to_frame("duplicates").row.tolist() == report.duplicates.row.tolist()
    with pytest.raises(ValueError, match=r"name of a table, one of 'findings', .* got 'duplicate'"):
        report.to_frame("duplicate")
    back = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert back["sizes"]["n_pairs"] == 12
    assert back["duplicates"]["row"] == report.duplicates.row.tolist()
    assert len(back["findings"]) == len(report.findings)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert report.to_frame()["kind"] == [finding.kind for finding in report.findings]


def test_columns_of_rows_that_lack_some():
    assert as_columns([{"a": 1}, {"b": 2}]) == {"a": [1, None], "b": [None, 2]}
    assert as_columns([]) == {}
    assert list(as_frame({"a": np.arange(2)})["a"]) == [0, 1]


def test_columns_of_numbers_have_equal_digits():
    assert equal_digits([("a", 0.5, 3), ("b", 0.1234, 1200)]) == [
        ["a", "0.5000", "3"], ["b", "0.1234", "1,200"],
    ]  # fmt: skip
    assert equal_digits([(1.5,), ("none",)]) == [["1.5"], ["none"]]
    assert equal_digits([]) == []


def test_words_that_differ_are_marked_and_code_has_its_font():
    one, other = draw_two("the cat sat down", "the dog sat down")
    assert one == "the <ins>cat</ins> sat down"
    assert other == "the <ins>dog</ins> sat down"
    assert draw_two("<b>", "wholly other words")[0] == "&lt;b&gt;"
    assert draw_two("", "x") == ("<em>(empty)</em>", "x")
    code = draw_response("Look:\n```python\nx = '<'\n```\ndone")
    assert code.startswith("Look:\n<code>```python")
    assert code.endswith("```</code>\ndone")
    assert draw_response("def f(x):\n    return x").startswith("<code>")
    assert "<code>" not in draw_response("A line.\nAnother one.")
    assert draw_response("a" * 1300).endswith(" … (100 more characters)")
    assert preview("a\n b " * 40, 10) == "a b a b a…"


def test_long_texts_are_compared_by_their_words():
    one = " ".join(f"w{i}" for i in range(500))
    marked, _ = draw_two(f"{one} end", f"{one} fin")
    assert marked.count("<ins>") == 0  # beyond what is shown
    marked, other = draw_two(f"first {one[:900]}", f"last {one[:900]}")
    assert marked.startswith("<ins>first</ins> w0")
    assert other.startswith("<ins>last</ins> w0")


def fake(tmp_path, monkeypatch):
    """Let the command audit at once."""
    prefs = write(tmp_path / "prefs.jsonl", labelled(n_prompts=2, n_each=2))
    figures = audit_preferences(prefs).to_dict()
    monkeypatch.setattr(_audit_run, "compute_audit", lambda *args, **options: dict(figures))
    return ["audit", str(prefs), "--no-progress"]


def test_the_command_opens_the_page_if_asked(tmp_path, monkeypatch, capsys):
    words = fake(tmp_path, monkeypatch)
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)) or len(opened) < 2)
    out = tmp_path / "out"
    assert main([*words, "--out", str(out), "--open"]) == 0
    assert opened == [(out / "report.html").as_uri()]
    assert "Opened" in capsys.readouterr().out
    assert main([*words, "--out", str(out), "--open", "--force"]) == 0
    assert "No browser was found" in capsys.readouterr().out
    assert main([*words, "--json", "--open"]) == 1
    assert "--open shows the page in the folder of --out" in capsys.readouterr().err


def test_the_command_prints_25_lines_and_all_of_it_if_asked(tmp_path, monkeypatch, capsys):
    words = fake(tmp_path, monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--out", "out"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "CANNOT BE DECIDED YET"
    assert len(printed) <= 25
    assert max(map(len, printed)) <= 80
    assert "out/report.html" in " ".join(printed)
    assert main([*words, "--out", "out", "--force", "--full"]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 25


@pytest.mark.parametrize("name", ["report.html", "figures.JSON", "list.csv"])
def test_a_folder_that_is_called_as_a_file_is_refused_before_the_work(name, tmp_path, monkeypatch,
                                                                       capsys):  # fmt: skip
    def work(*args, **options):
        raise AssertionError("there was work before the check")

    words = fake(tmp_path, monkeypatch)
    monkeypatch.setattr(_audit_run, "compute_audit", work)
    assert main([*words, "--out", str(tmp_path / name)]) == 1
    assert f"--out is a folder, got '{tmp_path / name}', which ends as" in capsys.readouterr().err
    (tmp_path / name).mkdir()  # such a folder is one
    with pytest.raises(AssertionError, match="there was work before the check"):
        main([*words, "--out", str(tmp_path / name), "--force", "--debug"])


def test_the_result_is_public_and_costs_nothing_before():
    assert sklearn_codex.audit_preferences is audit_preferences
    assert "report.preferences" in sklearn_codex._HOMES["audit_preferences"]
