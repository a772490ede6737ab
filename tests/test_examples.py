"""Every example runs, without a warning."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import sklearn

from sklearn_codex.cli import main

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").rglob("plot_*.py"))


def _run(file, tmp_path, monkeypatch, capsys):
    """Run a file as the main program of this process, which has its imports; return its output."""
    import matplotlib
    from matplotlib import pyplot

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(file)])
    with matplotlib.rc_context({"backend": "agg"}), sklearn.config_context():
        try:
            runpy.run_path(str(file), run_name="__main__")
        finally:
            pyplot.close("all")
    return capsys.readouterr().out


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_prints(path, tmp_path, monkeypatch, capsys):
    assert _run(path, tmp_path, monkeypatch, capsys).strip()


def test_first_lines_of_the_readme_run(tmp_path, monkeypatch, capsys):
    blocks = (ROOT / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    assert blocks
    for i, block in enumerate(blocks):
        file = tmp_path / f"block_{i}.py"
        file.write_text(block.split("```")[0], encoding="utf-8")
        _run(file, tmp_path, monkeypatch, capsys)


def _commands():
    """Return the words of what README and guide say to run, in their order."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("each line of these runs as it is:\n")[1].split("\n## ")[0]
    guide = (ROOT / "docs" / "guide" / "command_line.rst").read_text(encoding="utf-8")
    more = guide.split("these are for the other commands:\n")[1].split("\n.. list-table")[0]
    lines = [line.strip().removeprefix("$ ") for line in (block + more).splitlines()]
    lines = [
        shlex.split(line, comments=True) for line in lines if line.startswith("sklearn-codex ")
    ]
    return [list(words) for words in dict.fromkeys(tuple(line[1:]) for line in lines)]


@pytest.mark.slow
def test_commands_of_the_readme_and_the_guide_run_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = _commands()
    assert {words[0] for words in commands} >= {"audit", "demo", "fit", "convert", "frontier"}
    for words in commands:
        # The whole demo is in test_demo_figures.py.
        smaller = ["--modules", "8"] if words == ["demo"] else []
        assert main([*words, *smaller]) == 0, (words, capsys.readouterr().err)
    assert (tmp_path / "codex-audit" / "report.html").is_file()
    assert (tmp_path / "codex-demo" / "frontier.png").is_file()


@pytest.mark.parametrize("name", ["README.md", "docs/index.rst", "docs/start.rst"])
def test_install_lines_work_without_a_release(name):
    page = (ROOT / name).read_text(encoding="utf-8")
    assert 'python -m pip install ".[all]"' in page
    assert re.search(r"no\s+release", page, re.IGNORECASE)
    assert "pip install sklearn-codex" not in page
    assert 'pip install "sklearn-codex[all]"' not in page
