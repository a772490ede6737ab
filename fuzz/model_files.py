"""Model files made by an attacker, and true ones changed at random: none runs code or is believed.

A crafted file tries to run code that leaves a flag; it has to be refused by a ValueError that names
the file, and leave none. A changed file may load, and then its model has to work.
"""

import copy
import io
import json
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from fuzz.crafted_models import crafted_files
from fuzz.outcomes import Outcomes, is_clear_error
from sklearn_codex import (
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    RewardUncertainty,
    UnigramLM,
    load_model,
    save_model,
)
from sklearn_codex._plain import plain

TEXTS = ["the cat sat", "the dog sat on the cat", "a bird flew"]
PAIRS = [("the cat", "a dog"), ("a dog sat", "the cat sat"), ("cat", "dog"), ("dog", "mat cat")]
_HOSTILE = [
    *(None, True, -1, 0, 3, 10**9, 1e308, float("nan"), float("inf"), "", "x", "\x1b[2J", [], {}),
    *("__class__", "code", "builtins", "os", "system", "TypeNode", "ObjectNode", "ListNode"),
    *("numpy.ndarray", "UnigramLM", "schema.json", "[" * 500),
]


def run(n_cases: int, seed: int) -> Outcomes:
    """Try crafted files, all of them before any changed one."""
    outcomes = Outcomes()
    with tempfile.TemporaryDirectory() as folder:
        path, flag = Path(folder) / "model.skops", Path(folder) / "flag"
        crafted = crafted_files(str(flag))
        for name, data in crafted[:n_cases]:
            path.write_bytes(data)
            outcomes.try_case(
                f"crafted: {name}", lambda: load_model(path), check=_refuse, is_clear=_names(path)
            )
            if flag.exists():
                outcomes.others.append(f"crafted: {name}: CODE WAS RUN")
                flag.unlink()
    return try_changed(n_cases - len(crafted), seed, outcomes)


def try_changed(n_cases: int, seed: int, outcomes: Outcomes | None = None) -> Outcomes:
    """Try true files with something in them changed at random."""
    outcomes = outcomes or Outcomes()
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skops"
        for number in range(n_cases):
            change, data = _changed(rng)
            path.write_bytes(data)
            _try_changed(outcomes, f"changed {number}: {change}", path)
    return outcomes


def _refuse(model: Any) -> None:
    raise AssertionError(f"it was loaded as a {type(model).__name__}")


def _names(path: Path):
    """Return the test that an error is a ValueError of one line that names the file."""
    return lambda error: (
        isinstance(error, ValueError) and str(path) in str(error) and plain(error) == str(error)
    )


def _try_changed(outcomes: Outcomes, description: str, path: Path) -> None:
    loaded: list[Any] = []
    outcomes.try_case(
        description, lambda: load_model(path), check=loaded.append, is_clear=_names(path)
    )
    if loaded:
        outcomes.results -= 1
        outcomes.try_case(description, lambda: _use(loaded[0]), is_clear=is_clear_error)


def _use(model: Any) -> None:
    """Call what a model of any kind has."""
    for name in ("score_samples", "predict", "reward", "decision_function", "transform"):
        if hasattr(model, name):
            is_of_pairs = name != "reward" and hasattr(model, "coef_")
            getattr(model, name)(PAIRS if is_of_pairs else TEXTS)
    if hasattr(model, "sample"):
        model.sample(2, random_state=0)


@cache
def _true_files() -> list[tuple[dict[str, Any], dict[str, bytes]]]:
    """Return the schema and the members of model files as they should be."""
    base, reward = UnigramLM().fit(TEXTS), PreferenceRewardModel().fit(PAIRS, [0, 1, 0, 1])
    ppo = PPOPolicyOptimizer(FrozenEstimator(base), max_iter=2, tol=0, random_state=0)
    sandwich = RewardUncertainty(FrozenEstimator(reward), kind="sandwich", method="dual")
    models = [base, reward, ppo.fit(TEXTS, [0.0, 1.0, 2.0])]
    models.append(sandwich.fit(PAIRS, [0, 1, 0, 1]))
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            path = Path(folder) / "model.skops"
            save_model(model, path, overwrite=True)
            with zipfile.ZipFile(path) as archive:
                members = {name: archive.read(name) for name in archive.namelist()}
            files.append((json.loads(members.pop("schema.json")), members))
    return files


def _changed(rng: np.random.Generator) -> tuple[str, bytes]:
    schema, members = copy.deepcopy(_true_files()[rng.integers(len(_true_files()))])
    change = rng.choice(["bytes", "member", "leaf", "part"])
    if change == "member":
        name = sorted(members)[rng.integers(len(members))]
        members[name] = _garble(members[name], rng)
    elif change != "bytes":
        parts = [part for part in _parts_of(schema) if part]
        part = parts[rng.integers(len(parts))]
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        key = keys[rng.integers(len(keys))]
        if change == "leaf":
            part[key] = _HOSTILE[rng.integers(len(_HOSTILE))]
        elif rng.random() < 0.5:
            del part[key]
        else:
            part[key] = copy.deepcopy(parts[rng.integers(len(parts))])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr("schema.json", json.dumps(schema))
    data = file.getvalue()
    return str(change), _garble(data, rng) if change == "bytes" else data


def _parts_of(value: Any) -> list[Any]:
    """Return all dicts and lists in a schema."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    own = [value] if isinstance(value, (dict, list)) else []
    return own + [part for item in inside for part in _parts_of(item)]


def _garble(data: bytes, rng: np.random.Generator) -> bytes:
    """Change a few bytes, or cut some off."""
    garbled = bytearray(data)
    if rng.random() < 0.3:
        return bytes(garbled[: rng.integers(len(garbled))])
    for position in rng.integers(len(garbled), size=rng.integers(1, 6)):
        garbled[position] = rng.integers(256)
    return bytes(garbled)
