"""The floors: a room imports only from floors below its own, and from no extra."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import sklearn_codex

ROOT = Path(sklearn_codex.__file__).parent

# From the ground up. A room is a module or a folder; a new one goes to the lowest floor above all
# that it imports.
FLOORS = [
    {"_fast_counts", "_partitions"},  # text as bytes; data that are elsewhere
    {"_texts", "_tokenizers", "_vocabulary"},  # what text is made of
    {  # what needs no other
        "_categorical",
        "_conjugate_gradients",
        "_designs",
        "_doc_links",
        "_fit_monitor",
        "_persistence",
        "_soft_labels",
        "_stages",
        "_stored_stage",
        "exceptions",
        "kl_control",
        "text",
    },
    {  # maths, and the one room of each kind of data
        "_annotator_loss",
        "_bradley_terry",
        "_documents",
        "_newton",
        "_nuisance",
        "_plackett_luce",
        "_ppo",
        "_precision",
        "_preference_labels",
        "_records",
        "_responses",
        "_rollouts",
        "_tie_losses",
        "exact",
        "labels",
        "metrics",
    },
    {  # what models are made of
        "_conservative_reward",
        "_critic",
        "_dpo_loss",
        "_language_model",
        "_online",
        "_partitioned_loss",
        "_pairs",
        "_rewards",
        "_stage_composition",
        "_win_rate",
        "datasets",
        "features",
        "rules",
    },
    {
        "_dpo",
        "_leakage",
        "_pair_vectorizer",
        "_partitioned_pairs",
        "_pipeline_fit",
        "_gold_scorer",
        "_policy_problem",
        "_presets",
        "_sft",
        "_unigram_lm",
        "inspection",
    },
    {
        "_annotators",
        "_pipeline",
        "_policy_base",
        "_iteration_record",
        "_policy_updates",
        "_rankings",
        "_reward_base",
        "_tie_models",
    },
    {"_training"},
    {"_noise_schedule"},
    {"_policy_loop"},
    {"_best_of_n_sampler", "_exact_policy", "_policy", "_rloo"},
    {"_reward_model", "overoptimization"},
    {"_reward_model_cv", "_uncertain_reward", "health", "model_selection"},
    {"_reward_ensemble", "_uncertainty"},
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
    "dask",
    "distributed",
    "hypothesis",
    "pytest",
]


def module_of(path):
    parts = ["sklearn_codex", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def room_of(module):
    return [*module.split("."), "sklearn_codex"][1]


def executed(node):
    """Walk a syntax tree past the blocks that only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from executed(child)


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


IMPORTS = {module: set(imports_of(path)) for module, path in MODULES.items()}
ROOMS = sorted({room_of(module) for module in MODULES})


def rooms_below(room):
    """Rooms that a room imports from."""
    inside = [module for module in MODULES if room_of(module) == room]
    return {room_of(name) for module in inside for name in IMPORTS[module]} - {room}


def test_no_room_stands_on_two_floors():
    assert sum(map(len, FLOORS)) == len(FLOOR)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_from_floors_below(room):
    highest = max((FLOOR.get(below, -1) for below in rooms_below(room)), default=-1)
    assert room in FLOOR, f"{room} has no floor; the lowest it can have is {highest + 1}"
    above = {below for below in rooms_below(room) if FLOOR.get(below, -1) >= FLOOR[room]}
    assert above == set(), f"{room} is on floor {FLOOR[room]}"


def test_modules_do_not_import_each_other_in_a_circle():
    try:
        TopologicalSorter(IMPORTS).prepare()
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
