"""The house stays one to walk through: files of a few pages, bodies of one."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST_FILE, LONGEST_BODY = 500, 40
# What is longer, and how long it is at the most. An entry may shrink and go; none may come.
LONG_FILES: dict[str, int] = {}
LONG_BODIES = {"sklearn_codex/exact/_eos_length.py::smallest_safe_kl_coef": 43}

PACKAGE = sorted((ROOT / "sklearn_codex").rglob("*.py"))
BESIDE = [path for folder in ("fuzz", "mutants") for path in sorted((ROOT / folder).rglob("*.py"))]
if not PACKAGE:
    pytest.skip("the source is not beside these tests", allow_module_level=True)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def bodies_of(path):
    """Yield the functions of a file and the lines of their bodies, docstrings apart."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node, clean=False) else node.body
            if body:
                decorators = getattr(body[0], "decorator_list", [])
                first = min(part.lineno for part in (body[0], *decorators))
                yield f"{name_of(path)}::{node.name}", node.end_lineno - first + 1


def long_files():
    files = [*PACKAGE, *BESIDE]
    sizes = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    return {name: size for name, size in sizes.items() if size > LONGEST_FILE}


def long_bodies():
    sizes = [body for path in [*PACKAGE, *BESIDE] for body in bodies_of(path)]
    return {name: size for name, size in sizes if size > LONGEST_BODY}


@pytest.mark.parametrize(
    ("find", "allowed"),
    [(long_files, LONG_FILES), (long_bodies, LONG_BODIES)],
    ids=["files", "bodies"],
)
def test_none_is_longer_than_a_reader_likes(find, allowed):
    found = find()
    grown = {name: size for name, size in found.items() if size > allowed.get(name, 0)}
    assert not grown, f"part these by job: {grown}"
    shrunk = sorted(allowed.keys() - found.keys())
    assert not shrunk, f"short enough now, so take them out of the list: {shrunk}"


def test_bodies_are_measured_without_docstrings(tmp_path):
    path = tmp_path / "module.py"
    lines = ["def f():", '    """Say."""', "    def g():", "        return 1", "    return g", ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "ROOT", tmp_path)
        assert dict(bodies_of(path)) == {"module.py::f": 3, "module.py::g": 1}
