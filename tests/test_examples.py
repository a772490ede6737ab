"""Every example runs, as a user would run it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))


# As in pyproject.toml: old releases of matplotlib call names that pyparsing has renamed.
FILTERS = ["error"] + [
    f"ignore::DeprecationWarning:matplotlib.{module}"
    for module in ("_fontconfig_pattern", "_mathtext")
]


def _run(code_or_file, tmp_path):
    return subprocess.run(
        [sys.executable, *(f"-W{rule}" for rule in FILTERS), code_or_file],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_prints(path, tmp_path):
    run = _run(str(path), tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def test_first_lines_of_the_readme_run(tmp_path):
    blocks = (ROOT / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    assert blocks
    for i, block in enumerate(blocks):
        file = tmp_path / f"block_{i}.py"
        file.write_text(block.split("```")[0], encoding="utf-8")
        run = _run(str(file), tmp_path)
        assert run.returncode == 0, run.stderr
