"""Modules, functions and documents cut from the standard library of the running interpreter."""

import ast
import os
import re
import sysconfig
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from sklearn_codex.datasets._function_body import parse

# Tests, programs of others, generated tables and files that differ between builds.
SKIPPED_DIRECTORIES = frozenset(
    {
        *("test", "tests", "idle_test", "idlelib", "lib2to3", "turtledemo"),
        *("site-packages", "dist-packages", "ensurepip", "lib-dynload", "__pycache__"),
        *("encodings", "pydoc_data"),
    }
)
SKIPPED_PREFIXES = ("config-", "_sysconfigdata", "test_")

MIN_DOCSTRING_WORDS, MAX_DOCSTRING_WORDS = 5, 120
MIN_BODY_LINES, MAX_BODY_LINES = 2, 30
MULTILINE_STRING = re.compile(r"\"{3}|'{3}|\\\n")

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (ast.ClassDef, *FUNCTIONS)
DOCUMENTED = (ast.Module, *DEFINITIONS)


@dataclass(frozen=True)
class Function:
    """A documented function that passed the quality filters."""

    source: str  # module:qualified name
    lines: range  # in its module, decorators included, counted from 1
    prompt: str
    body: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Module:
    """A module, read and parsed."""

    name: str
    lines: list[str]
    tree: ast.Module


def stdlib_directory() -> Path:
    """Return the directory of the sources of the standard library, checked to be there."""
    directory = Path(sysconfig.get_paths()["stdlib"])
    if not (directory / "os.py").is_file():
        raise FileNotFoundError(
            f"The sources of the standard library are not in {directory}, where sysconfig says "
            "they are: load_stdlib_code needs an interpreter installed with its .py files, not a "
            "frozen or zipped one."
        )
    return directory


def module_names(directory: Path) -> list[str]:
    """Return the paths of the modules below `directory`, with `/` on every system, sorted."""
    names = []
    for folder, folders, files in os.walk(directory):
        folders[:] = [f for f in folders if f not in SKIPPED_DIRECTORIES and _is_library(f)]
        below = Path(folder).relative_to(directory)
        names += [(below / f).as_posix() for f in files if f.endswith(".py") and _is_library(f)]
    return sorted(names)


def _is_library(name: str) -> bool:
    return not name.startswith(SKIPPED_PREFIXES)


def read_module(directory: Path, name: str) -> Module | None:
    """Read and parse a module; None for the few that are not text in their own encoding."""
    try:
        with tokenize.open(directory / name) as file:
            text = file.read()
        tree = parse(text)
    except (SyntaxError, UnicodeDecodeError):
        return None
    dotted = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return Module(dotted, text.split("\n"), tree)


def _first_line(node: ast.stmt | ast.expr) -> int:
    """First line of a statement, its decorators included."""
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _docstring(node: ast.AST) -> ast.expr | None:
    """Return the docstring of a module, a class or a function as a node."""
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        (first, *_) = node.body
        return first.value if isinstance(first, ast.Expr) else None
    return None


def iter_functions(module: Module) -> Iterator[Function]:
    """Yield the functions and methods of a module that pass the quality filters."""
    for statement in module.tree.body:
        owner = [statement.name] if isinstance(statement, ast.ClassDef) else []
        for node in statement.body if isinstance(statement, ast.ClassDef) else [statement]:
            if isinstance(node, FUNCTIONS) and (function := _read_function(module, node, owner)):
                yield function


def _read_function(
    module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef, owner: list[str]
) -> Function | None:
    """Cut a function into prompt and body, both dedented; None where a quality filter fails."""
    docstring = _docstring(node)
    if docstring is None or len(node.body) < 2 or node.name.startswith("test"):
        return None
    end, doc_end = node.end_lineno or 0, docstring.end_lineno or 0
    if node.body[1].lineno <= doc_end:
        return None
    words = len((ast.get_docstring(node) or "").split())
    prompt = textwrap.dedent("\n".join(module.lines[node.lineno - 1 : doc_end])).rstrip()
    body = textwrap.dedent("\n".join(module.lines[doc_end:end])).strip("\n").rstrip()
    if not MIN_DOCSTRING_WORDS <= words <= MAX_DOCSTRING_WORDS or not _is_usable(prompt, body):
        return None
    return Function(
        source=f"{module.name}:{'.'.join([*owner, node.name])}",
        lines=range(_first_line(node), end + 1),
        prompt=prompt,
        body=body,
        parameters=tuple(n.arg for n in ast.walk(node.args) if isinstance(n, ast.arg)),
    )


def _is_usable(prompt: str, body: str) -> bool:
    """Whether prompt and body have the form that the quality filters ask for."""
    n_lines = sum(1 for line in body.split("\n") if line.strip())
    if not MIN_BODY_LINES <= n_lines <= MAX_BODY_LINES:
        return False
    if not (prompt + body).isascii() or "\t" in prompt + body:
        return False
    if "NotImplemented" in body or MULTILINE_STRING.search(body):
        return False
    try:
        return bool(parse(prompt).body and parse(body).body)
    except SyntaxError:
        return False


def unique_functions(functions: Iterator[Function]) -> list[Function]:
    """Keep the first function of each prompt and of each body."""
    prompts: set[str] = set()
    bodies: set[str] = set()
    kept = []
    for function in functions:
        if function.prompt not in prompts and function.body not in bodies:
            kept.append(function)
        prompts.add(function.prompt)
        bodies.add(function.body)
    return kept


def iter_corpus(module: Module, taken: set[int]) -> Iterator[tuple[str, str]]:
    """Yield kind and text of the documents of a module, outside the lines already taken."""
    removed = set(taken)
    texts = []
    for node in _iter_statements(module.tree):
        docstring = _docstring(node)
        if not isinstance(node, DOCUMENTED) or docstring is None or docstring.lineno in taken:
            continue
        texts.append(ast.get_docstring(node) or "")
        lines = _lines(docstring)
        if len(node.body) > 1 and node.body[1].lineno not in lines:
            removed.update(lines)
    for lines in _iter_chunks(module.tree, removed):
        kept = (module.lines[line - 1] for line in lines if line not in removed)
        yield "code", "\n".join(kept).strip("\n").rstrip()
    yield from (("docstring", text) for text in texts)


def _iter_statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a module and all its statements in source order, without walking expressions."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            yield from _iter_statements(child)


def _iter_chunks(tree: ast.Module, removed: set[int]) -> Iterator[range]:
    """Yield the lines of each top-level definition and of each run of other statements."""
    start = 1
    for statement, following in zip_longest(tree.body, tree.body[1:]):
        defines = isinstance(statement, DEFINITIONS)
        if not defines and following and not isinstance(following, DEFINITIONS):
            continue
        lines = range(start, (statement.end_lineno or 0) + 1)
        start = lines.stop
        parts = statement.body if isinstance(statement, ast.ClassDef) else [statement]
        if not all(removed.issuperset(_lines(part)) for part in parts):
            yield lines


def _lines(node: ast.stmt | ast.expr) -> range:
    return range(_first_line(node), (node.end_lineno or 0) + 1)
