"""Files beside the package that say the same thing twice say it alike."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sklearn_codex

ROOT = Path(__file__).parents[1]
if not (ROOT / "pyproject.toml").is_file():
    pytest.skip("no project beside the tests", allow_module_level=True)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
spec = importlib.util.spec_from_file_location(
    "minimum_versions", ROOT / ".ci" / "minimum_versions.py"
)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


def test_the_citation_is_of_this_version_and_licence():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    found = dict(re.findall(r"^([\w-]+): (.+)$", text, re.MULTILINE))
    assert found["version"] == sklearn_codex.__version__
    assert found["license"] == PROJECT["license"]
    assert found["title"] == PROJECT["name"]
    assert found["abstract"] == PROJECT["description"]


def test_oldest_versions_are_of_the_core_and_of_extras_that_extras_name():
    project = {
        "dependencies": ["numpy>=1.26"],
        "optional-dependencies": {
            "plot": ["matplotlib>=3.8"],
            "all": ["sklearn-codex[plot]"],
            "test": ["sklearn-codex[all]", "pytest>=8", "numpy>=1.26"],
            "docs": ["sphinx>=8"],
        },
    }
    found = tool.minimum_versions(project)
    assert found == {"matplotlib": "3.8", "numpy": "1.26", "pytest": "8"}


@pytest.mark.parametrize(
    ("requirements", "message"),
    [
        (["numpy"], "'numpy' should name its oldest version"),
        (["numpy>=1.26,<3"], "should name its oldest version"),
        (["numpy>=1.26", "numpy>=2"], "numpy has two oldest versions"),
    ],
)
def test_requirements_without_one_oldest_version_are_refused(requirements, message):
    with pytest.raises(ValueError, match=message):
        tool.minimum_versions({"dependencies": requirements}, extras=())


def test_versions_of_one_extra_are_printed_alone():
    run = subprocess.run(
        [sys.executable, ROOT / ".ci" / "minimum_versions.py", "lab"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = dict(line.split("==") for line in run.stdout.splitlines())
    assert found.keys() >= {"torch", "transformers", "trl", "numpy"}
    assert "pytest" not in found
    assert "torch>=" + found["torch"] in PROJECT["optional-dependencies"]["lab"]


def test_no_test_of_the_lab_is_left_out_where_it_has_to_run():
    rule = (ROOT / "Makefile").read_text(encoding="utf-8").split("\ntest-lab:")[1].split("\n\n")[0]
    # Without the extra these tests are skipped, which is no failure.
    names = re.search(r'-c "import ([\w, ]+)"', rule)[1].split(", ")
    test = (ROOT / "tests" / "test_lab_torch.py").read_text(encoding="utf-8")
    assert names == ["torch", "transformers", "trl"]
    assert all(f'"{name}"' in test for name in names)
    (left_out,) = re.findall(r'-k "not (\w+)"', rule)
    assert len(re.findall(rf"def test_\w*{left_out}\(", test)) == 1


def test_every_requirement_of_the_project_has_an_oldest_version():
    found = tool.minimum_versions(PROJECT, extras=PROJECT["optional-dependencies"])
    assert {"numpy", "scipy", "scikit-learn", "matplotlib", "pytest", "sphinx"} <= found.keys()
