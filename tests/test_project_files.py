"""Files beside the package that say the same thing twice say it alike."""

import importlib.util
import re
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


def test_every_requirement_of_the_project_has_an_oldest_version():
    found = tool.minimum_versions(PROJECT, extras=PROJECT["optional-dependencies"])
    assert {"numpy", "scipy", "scikit-learn", "matplotlib", "pytest", "sphinx"} <= found.keys()
