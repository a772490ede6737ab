"""Text from data, models and file names never acts on a terminal, a page or a spreadsheet."""

import base64
import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
import warnings
from importlib.resources import files

import pytest

from sklearn_codex import (
    PreferenceRewardModel,
    TokenCounter,
    UnigramLM,
    make_rlhf_pipeline,
    save_model,
)
from sklearn_codex._plain import plain, show_controls
from sklearn_codex.cli import main
from sklearn_codex.report._blocks import (
    Chart,
    Decision,
    Examples,
    Findings,
    Histogram,
    Interval,
    Intervals,
    Note,
    Section,
    Series,
    TableBlock,
    Task,
)
from sklearn_codex.report._console import Console
from sklearn_codex.report._csv import as_csv
from sklearn_codex.report._escape import html
from sklearn_codex.report._html import page
from sklearn_codex.report._json import json_text

# Colours, a title, a link, an empty screen; the same by C1; order turned; lines broken; no width.
HOSTILE = [
    "\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\link", "\x1b[2J", "\x9b31m",
    "\x9d0;t\x9c", "\x08\x08", "a\rb", "a\x00b", "\x7f", "\x85", "\u202egnp.exe", "\u2066x\u2069",
    "\u061c\u200e\u200f", "a\u2028b\u2029c", "\u200bz\u2060\ufeff", "\U000e0041\U000e0042", "\xad",
    "\ud800",
]  # fmt: skip
ALL = " ".join(HOSTILE)
# Written independently of the table of the package: by category, joiners and visible signs aside.
HARMLESS = set("\n\t\u200c\u200d") | set(map(chr, range(0x600, 0x606)))


def acts(text):
    return {
        char
        for char in text
        if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and char not in HARMLESS
    }


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def model(tmp_path):
    words = [word.replace(" ", "") for word in HOSTILE if word != "\ud800"]
    counter = TokenCounter(tokenizer="whitespace", unk_token=f"<{HOSTILE[0]}>")
    loop = make_rlhf_pipeline(UnigramLM(), PreferenceRewardModel(), vectorizer=counter)
    rows = [{"text": f"{word} a b"} for word in words]
    rows += [{"chosen": f"{word} a", "rejected": "a b"} for word in words[:6]]
    path = tmp_path / "m.skops"
    save_model(loop.fit(rows), path)
    return str(path)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_acts_becomes_a_mark(text):
    assert acts(text)
    assert acts(show_controls(text)) == set()
    assert "\n" not in plain(text)


def test_scripts_and_emoji_stay_as_they_are():
    persian = "\u0646\u0645\u06cc\u200c\u062f\u0627\u0646\u0645"
    coder = "\U0001f469\u200d\U0001f4bb"
    for text in (
        "na\u00efve",
        persian,
        coder,
        "\u2764\ufe0f",
        "\u05e9\u05dc\u05d5\u05dd",
        "a\tb\nc",
    ):
        assert show_controls(text) == text


def test_json_is_printable_and_means_the_same():
    value = {ALL: [ALL, float("nan"), float("inf"), 1.5, (2, "\x7f")]}
    text = json_text(value)
    assert acts(text) == set()
    assert text.isascii()
    assert json.loads(text) == {ALL: [ALL, None, None, 1.5, [2, "\x7f"]]}


@pytest.mark.parametrize("terminal", [True, False])
def test_a_console_shows_controls_as_marks(terminal, monkeypatch):
    out = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("TERM", "dumb")  # no colours of our own, which are escape sequences too
    monkeypatch.setenv("COLUMNS", "4000")
    console = Console()
    console.title(ALL, ALL)
    console.table([ALL, ":smile:"], [(ALL, 1.0), ("[bold]x[/bold]", 2.0)])
    for method in (console.note, console.lead, console.heading, console.line):
        method(ALL)
    console.item("!", ALL, strong=True)
    console.sample(ALL, ALL)
    assert acts(out.getvalue()) == set()
    assert "\u241b[31mred" in out.getvalue()
    assert ":smile:" in out.getvalue()
    assert "[bold]x[/bold]" in out.getvalue()


@pytest.mark.parametrize(
    "words",
    [["info"], ["sample", "-n", "50"], ["sample", "--json", "-n", "50"], ["info", "--json"]],
)
def test_commands_show_controls_of_a_model_as_marks(words, model, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "4000")
    assert main([words[0], model, *words[1:]]) == 0
    printed = capsys.readouterr().out
    assert acts(printed) == set()
    assert "red" in printed


def test_samples_in_files_keep_every_character(model, tmp_path, capsys):
    assert main(["sample", model, "-n", "50", "--out", str(tmp_path / "s.txt")]) == 0
    assert main(["sample", model, "-n", "50", "--json"]) == 0
    lines = (tmp_path / "s.txt").read_text(encoding="utf-8").split("\n")
    assert "\x1b[31mred" in " ".join(lines)
    texts = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert [" ".join(text.split()) for text in texts] == lines[:-1]


@pytest.mark.skipif(os.name != "posix", reason="such names of files are of POSIX")
def test_errors_show_controls_of_paths_columns_and_values_as_marks(model, tmp_path, capsys):
    hostile = "\x1b[31m\u202e"
    records = tmp_path / f"r{hostile}.jsonl"
    contents = [
        json.dumps({hostile: hostile}),
        json.dumps({"response_a": "a", "response_b": "b", "label": hostile}),
        f'{{"text": "{hostile}" "x"}}',
        f"{hostile},{hostile}\n1,2\n",
        f"prompt,chosen,rejected\n{hostile}\n",
        hostile,
    ]
    for content in contents:
        records.write_text(content, encoding="utf-8")
        for words in (
            ["audit", str(records), "--out", str(tmp_path / f"out{hostile}"), "--no-progress"],
            ["audit", str(records), "--out", str(tmp_path / f"out{hostile}.html")],
            ["fit", str(records), "--out", str(tmp_path / "fit.skops")],
            ["score", model, str(records)],
            ["reward", model, str(records), "--column", hostile],
            ["info", str(records)],
            ["sample", model, "--stage", hostile],
            ["info", str(tmp_path / hostile)],
            ["sample", model, "--out", str(tmp_path / hostile / "x")],
            [hostile],
            ["info", model, hostile],
            ["sample", model, "-n", hostile],
        ):
            assert main(words) in (0, 1, 2)
            captured = capsys.readouterr()
            assert acts(captured.out + captured.err) == set()


def test_warnings_are_one_line_without_controls(model, capsys, monkeypatch):
    def warn(*args):  # as the warnings module does where nobody records them
        message = RuntimeWarning(f"odd\nvalue {HOSTILE[0]}")
        sys.stderr.write(warnings.formatwarning(message, RuntimeWarning, "file", 1))
        raise ValueError("no")

    monkeypatch.setattr("sklearn_codex.cli._info.open_model", warn)
    assert main(["info", model]) == 1
    errors = capsys.readouterr().err
    assert errors == "sklearn-codex: RuntimeWarning: odd value \u241b[31mred\nsklearn-codex: no\n"
    assert warnings.formatwarning.__module__ == "warnings"


def own_script():
    return files("sklearn_codex.report").joinpath("report.js").read_text(encoding="utf-8")


def test_no_text_leaves_its_place_on_the_page():
    text = f"{ALL}<script>\"'&</script>\u05d0"
    table = TableBlock((text, text), [(text, 1.0), (text, text)], text, text)
    chart = Chart(text, text, text, [Series(text, [1.0, 2.0], [1.0, 2.0])], text, table,
                  marks=[(1.5, text)])  # fmt: skip
    sides = [("Prompt", text), ("Chosen", text), ("Rejected", f"{text} more")]
    blocks = [table, chart, Findings([("look", text)], text),
              Examples([(text, [(text, text)]), (text, sides)], text, text, "list.csv"), Note(text),
              Intervals(text, text, [Interval(text, 1.0, 0.5, 2.0, True, text)], text, table),
              Histogram(text, text, text, [0.0, 1.0, 2.0], [(text, [1, 2]), (text, [2, 1])], text,
                        table, marks=[(1.0, text)])]  # fmt: skip
    decision = Decision(text, "bad", text, [Task(text, 3, text, text, "raises", text)])
    section = Section(text, text, blocks, text, "good", text, text)
    shown = page(text, text, [section], text, [decision], glossary=text, lists={"list.csv"})
    assert acts(shown) == set()
    # Its own script alone, which its hash allows.
    scripts = re.findall(r"<script(.*?)>(.*?)</script>", shown, flags=re.DOTALL)
    assert [inside for _, inside in scripts] == [own_script()]
    assert shown.count("<script") == 1
    digest = base64.b64encode(hashlib.sha256(own_script().encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in shown
    # In an attribute as elsewhere: quotes are escaped wherever the text stands.
    body = shown.partition("</style>")[2]
    assert body.count(html(text)) >= 20
    cells = re.findall(r"<td.*?</td>", body, flags=re.DOTALL)
    assert cells
    assert all("<bdi>" in cell for cell in cells)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals to make")
def test_a_terminal_that_is_named_as_a_file_is_one(model, tmp_path, capsys):
    seen, terminal = os.openpty()
    path = os.ttyname(terminal)
    (tmp_path / "link").symlink_to(path)
    for out in (path, str(tmp_path / "link")):
        assert main(["sample", model, "-n", "5", "--out", out]) == 0
        assert acts(os.read(seen, 100_000).decode().replace("\r\n", "\n")) == set()
    records = tmp_path / "r.jsonl"
    records.write_text('{"text": "a b"}\n')
    assert main(["fit", str(records), "--out", path]) == 1
    assert "cannot go to standard output" in capsys.readouterr().err
    os.close(seen)
    os.close(terminal)


FORMULAS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", '"=1', "'=1", "\ufeff=1",
    "\uff1d1", "\uff0b1+1", "\uff0d1+1", "\uff20x", "-- no", "- a list", "\u200b=1", "\x00=1",
    "=cmd|'/C calc'!A0", "\tx", "+44 20 7946 0000", "-", "=",
]  # fmt: skip
DATA = ["-1.5", "+3", "-1e5", "12 %", "5-3", "a=b", "", "x", "-.5", "\u20131", "1+1", "100%", "-7%"]


def test_cells_that_a_spreadsheet_would_run_are_quoted_and_can_be_had_back():
    rows = [{"row": -i, "text": text, "p": -0.5} for i, text in enumerate([*FORMULAS, *DATA])]
    written = as_csv(rows)
    back = list(csv.DictReader(io.StringIO(written, newline="")))
    for row, read in zip(rows, back, strict=True):
        assert float(read["row"]) == row["row"]
        assert float(read["p"]) == -0.5
        names = read["quoted"].split()
        assert names == (["text"] if row["text"] in FORMULAS else [])
        assert read["text"].startswith("'") or not names
        assert read["text"].removeprefix("'" if names else "") == row["text"]


def test_standard_output_of_another_encoding_shows_escapes(model, tmp_path):
    loop = make_rlhf_pipeline(UnigramLM(), vectorizer=TokenCounter(unk_token=None))
    save_model(loop.fit([{"text": "caf\u00e9 \u4e2d"}]), tmp_path / "e.skops")
    run = subprocess.run(
        [sys.executable, "-m", "sklearn_codex", "sample", str(tmp_path / "e.skops")],
        capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True,
    )  # fmt: skip
    assert b"caf\\xe9" in run.stdout
