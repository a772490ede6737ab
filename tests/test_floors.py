"""The floors: a room imports only from floors below its own, and from no extra."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import sklearn_codex

ROOT = Path(sklearn_codex.__file__).parent

# From the ground up. A room is a folder of the package, or a module beside the folders; a new one
# goes to the lowest floor above all that it imports.
FLOORS = [
    {  # what needs no other: numbers, bytes in and out, text as it is shown, data elsewhere
        "_categorical",
        "_checks",
        "_doc_links",
        "_fast_counts",
        "_few_groups",
        "_fits",
        "_output",
        "_partitions",
        "_plain",
        "_renames",
        "_rule_entries",
        "_stage",
        "_tables",
        "exceptions",
    },
    # maths, what text is made of, files as they are read, data as they are shown
    {
        "_bunch",
        "_conversations",
        "_files",
        "_labels",
        "_ngrams",
        "_persistence",
        "_rollouts",
        "_solve",
        "_text",
        "_verdicts",
        "kl_control",
    },
    {"_embedding", "_rule_amounts", "exact", "labels", "metrics", "text"},
    {"_layouts", "_ngram_counter", "_rule", "lab"},
    {"_ngram_features", "_pytest_plugin", "rules"},
    {"_data"},
    {"_language", "_pipeline", "datasets", "features"},
    {"_reward"},
    {"_policy", "_ratings", "health", "inspection"},
    {"overoptimization"},
    {"model_selection"},
    {"sklearn_codex"},  # the public names
    {"report"},  # what uses the public names only
    {"cli"},
    {"__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
EXTRAS = [
    "matplotlib",
    "rich",
    "skops",
    "pandas",
    "polars",
    "pyarrow",
    "zstandard",
    "datasets",
    "dask",
    "distributed",
    # Not torch itself: scipy asks it for its types once the name is in sys.modules, None or not.
    "transformers",
    "trl",
    "hypothesis",
    "pytest",
]


def module_of(path):
    parts = ["sklearn_codex", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def room_of(module):
    return [*module.split(".")[1:], "sklearn_codex"][0]


def executed(node):
    """Walk a syntax tree past the blocks that only type checkers read."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node = ast.Module(node.orelse, [])
        yield node
        if not isinstance(node, ast.expr):  # imports are statements
            waiting += ast.iter_child_nodes(node)


def imports_of(path):
    """Modules of the package that a file imports, anywhere in it but for type checkers."""
    for node in executed(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            members = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [member if member in MODULES else node.module for member in members]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "sklearn_codex")


ROOMS = sorted({room_of(module) for module in MODULES})


@cache
def all_imports():
    """Modules of the package that each of them imports."""
    return {module: set(imports_of(path)) for module, path in MODULES.items()}


def rooms_below(room):
    """Rooms that a room imports from."""
    inside = [module for module in MODULES if room_of(module) == room]
    return {room_of(name) for module in inside for name in all_imports()[module]} - {room}


def test_no_room_stands_on_two_floors():
    assert sum(map(len, FLOORS)) == len(FLOOR)


def test_every_room_with_a_floor_is_there():
    assert set(FLOOR) == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_from_floors_below(room):
    highest = max((FLOOR.get(below, -1) for below in rooms_below(room)), default=-1)
    assert room in FLOOR, f"{room} has no floor; the lowest it can have is {highest + 1}"
    above = {below for below in rooms_below(room) if FLOOR.get(below, -1) >= FLOOR[room]}
    assert above == set(), f"{room} is on floor {FLOOR[room]}"


def test_modules_do_not_import_each_other_in_a_circle():
    try:
        TopologicalSorter(all_imports()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_importing_the_package_needs_no_extra():
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in EXTRAS)
    public = [module for module in MODULES if not module.split(".")[-1].startswith("_")]
    program = f"import sys; {blocked}; import {', '.join(public)}"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_importing_the_package_pulls_in_no_extra():
    # scikit-learn itself imports pandas and rich where they are installed.
    program = (
        "import sys, sklearn.callback, sklearn.linear_model; before = set(sys.modules);"
        "import sklearn_codex;"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert set(run.stdout.split()) & set(EXTRAS) == set()
