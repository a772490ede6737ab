"""The floors: a room imports only from floors below its own, and from no extra."""

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import sklearn_codex

ROOT = Path(sklearn_codex.__file__).parent

# Folders of rooms of one family; their modules stand on floors of their own.
FAMILIES = {"_data", "_language", "_loop", "_policy", "_reward"}
# From the ground up. A room is a module or a folder; a new one goes to the lowest floor above all
# that it imports.
FLOORS = [
    FAMILIES,
    # bytes in and out, text as it is shown, checks of numbers; data that are elsewhere
    {"_checks", "_fast_counts", "_data.partitions", "_output", "_plain"},
    {"_data.texts", "_data.tokenizers", "_data.vocabulary"},  # what text is made of
    {  # what needs no other
        "_categorical",
        "_reward.conjugate_gradients",
        "_data.designs",
        "_data.matrices",
        "_doc_links",
        "_few_groups",
        "_reward.fit_monitor",
        "_persistence",
        "_soft_labels",
        "_loop.code_hash",
        "_loop.stages",
        "_loop.stored_stage",
        "exceptions",
        "kl_control",
    },
    {"_data.groups", "text"},
    {  # maths, and the one room of each kind of data
        "_reward.annotator_loss",
        "_reward.bradley_terry",
        "_data.documents",
        "_reward.newton",
        "_reward.nuisance",
        "_reward.plackett_luce",
        "_policy.ppo",
        "_reward.precision",
        "_reward.labels",
        "_data.records",
        "_data.responses",
        "_verdicts",
        "_policy.rollouts",
        "_reward.tie_losses",
        "exact",
        "labels",
        "metrics",
    },
    {  # what models are made of
        "_reward.conservative",
        "_reward.jackknife",
        "_policy.critic",
        "_policy.prices",
        "_policy.dpo_loss",
        "_language.base",
        "_reward.online",
        "_reward.pair_classifier",
        "_reward.partitioned_loss",
        "_data.pairs",
        "_policy.rewards",
        "_loop.composition",
        "datasets",
        "features",
        "rules",
    },
    {
        "_policy.dpo",
        "_policy.priced_rule",
        "_reward.leakage",
        "_reward.win_rate",
        "_reward.pair_vectorizer",
        "_reward.partitioned_pairs",
        "_loop.pipeline_fit",
        "_reward.presets",
        "_language.sft",
        "_language.unigram_lm",
        "inspection",
    },
    {"_policy.gold_scorer", "_policy.problem"},
    {
        "_reward.annotators",
        "_loop.pipeline",
        "_policy.additivity",
        "_policy.base",
        "_policy.certificate",
        "_policy.iteration_record",
        "_policy.local_gap",
        "_policy.updates",
        "_reward.rankings",
        "_reward.base",
        "_reward.tie_models",
    },
    {"_policy.training"},
    {"_policy.noise_schedule"},
    {"_policy.audit"},
    {"_policy.loop"},
    {
        "_policy.best_of_n_sampler",
        "_policy.exact_optimizer",
        "_policy.ppo_optimizer",
        "_policy.rloo",
        "sequential",
    },
    {"_reward.model", "overoptimization"},
    {"_reward.model_cv", "_reward.uncertain_reward", "health", "model_selection"},
    {"_reward.ensemble", "_reward.uncertainty"},
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
    parts = [*module.split(".")[1:], "sklearn_codex"]
    return ".".join(parts[:2]) if parts[0] in FAMILIES and len(parts) > 2 else parts[0]


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
