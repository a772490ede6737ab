"""The public names are there when they are asked for, and cost nothing before."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import sklearn_codex


def imported_for_type_checkers():
    tree = ast.parse(Path(sklearn_codex.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: node.module.removeprefix("sklearn_codex.")
        for node in block.body
        if node.module != "typing"
        for alias in node.names
    }


def test_type_checkers_see_what_is_imported():
    assert imported_for_type_checkers() == sklearn_codex._HOMES
    assert sorted(sklearn_codex._HOMES) == sorted(sklearn_codex.__all__)
    assert set(sklearn_codex.__all__) <= set(dir(sklearn_codex))


@pytest.mark.parametrize("name", sklearn_codex.__all__)
def test_every_public_name_is_there(name):
    value = getattr(sklearn_codex, name)
    assert value.__name__ == name
    assert value is getattr(sklearn_codex, name)
    if inspect.isclass(value) and issubclass(value, BaseEstimator):
        assert value._doc_link_module == "sklearn_codex"


def test_public_modules_are_there_without_an_import_of_their_own():
    public = {
        path.name.removesuffix(".py")
        for path in Path(sklearn_codex.__file__).parent.iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or path.is_dir())
    }
    assert public - {"cli", "report"} == sklearn_codex._MODULES
    program = f"import sklearn_codex; {[f'sklearn_codex.{n}' for n in sklearn_codex._MODULES]}"
    program = program.replace("'", "")
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_name_is_told():
    with pytest.raises(AttributeError, match="module 'sklearn_codex' has no attribute 'PPO'"):
        sklearn_codex.PPO  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'PPO'"):
        exec("from sklearn_codex import PPO")


def test_the_command_line_answers_before_scikit_learn_is_there():
    program = (
        "import sys; from sklearn_codex.cli import main; code = main(['--help']);"
        "sys.exit(code or 'numpy' in sys.modules or 'sklearn' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
