"""Lessons: solutions are there, are right and are folded; sixty lines are sixty, and arrive."""

import ast
import importlib.util
import itertools
import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from sklearn_codex.lab import check_algorithm, ppo_loss, problems

plt = pytest.importorskip("matplotlib.pyplot")
ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "examples" / "lessons").glob("plot_step_*.py"))
SIXTY = ROOT / "examples" / "policies" / "plot_ppo_in_sixty_lines.py"
if not SIXTY.is_file():
    pytest.skip("no examples beside the tests", allow_module_level=True)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


folding = load(ROOT / "docs" / "_ext" / "solutions.py")


def cells(path):
    """Cells of an example as the gallery parts them: text where comments follow the mark."""
    found = re.split(r"^# %%\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return [re.sub(r"\A(#.*\n)+", "", cell).strip() for cell in found]


def solutions(path):
    return [cell for cell in cells(path) if folding.is_solution(cell)]


def solved(number):
    """Return what a lesson has after its solution has run, without what only it draws."""
    (path,) = (path for path in LESSONS if path.stem.startswith(f"plot_step_{number}"))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # Runs and pictures are for readers, and run in test_examples.py.
    left_out = (
        *("run_algorithm(", "train(", "plt.", "ax.", "runs", "shares", "print(", "learned"),
    )
    kept = [
        node
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.Import, ast.ImportFrom))
        or not any(word in ast.unparse(node) for word in left_out)
    ]
    names = {"__name__": "lesson"}
    exec(compile(ast.Module(kept, []), str(path), "exec"), names)
    return names


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_step_has_one_exercise_and_one_solution_that_asserts(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n# Exercise\n# --------\n") == 1
    (solution,) = solutions(path)
    assert re.search(r"^ *assert ", solution, re.MULTILINE)
    assert text.index("# Exercise") < text.index("# Solution")
    # Each measures, and says so in a heading.
    assert text.count("# Measure: ") >= 2


def test_there_are_five_steps_and_each_leads_to_the_next():
    assert [path.stem.split("_")[2] for path in LESSONS] == list("12345")
    for path, following in itertools.pairwise(LESSONS):
        assert f"_lessons_{following.name}>" in path.read_text(encoding="utf-8")


def test_the_first_solution_has_the_same_step_and_more_noise():
    names = solved(1)
    np.testing.assert_allclose(names["graded_step"], names["exact"], atol=1e-12)
    assert names["graded_noise"] > 10 * names["noise"]


def test_the_second_solution_is_short_by_one_in_the_group_size():
    found = solved(2)["factors"]
    assert found == pytest.approx({2: 1 / 2, 4: 3 / 4, 8: 7 / 8})


def test_the_third_solution_rests_at_the_optimum():
    names = solved(3)
    assert names["biased"].kl_coef == pytest.approx(0.5 * 3 / 2, abs=1e-6)
    assert names["right"].passed
    # On a problem of another kl_coef, reference and reward, too.
    settings = {"group_size": 2, "group_sizes": (), "learning_rates": (), "more_epochs": ()}
    one_token = problems["one-token"]()
    other = type(one_token)(one_token.objective.having(kl_coef=0.8), one_token.tokens)
    assert check_algorithm(names["mended"], other, **settings).passed
    assert not check_algorithm(names["kl_in_loss"], other, **settings).passed


@pytest.mark.parametrize("clip", [0.1, 0.3])
def test_the_fourth_solution_is_the_gradient_of_the_clipped_surrogate(clip):
    clipped = solved(4)["clipped"]
    rng = np.random.RandomState(17)
    old, new, worth = *-rng.exponential(size=(2, 30, 3)), rng.standard_normal((30, 3))
    _, gradient = ppo_loss(
        old, new, worth, np.ones((30, 3), bool), "seq-mean-token-sum", clip_ratio=clip
    )
    np.testing.assert_allclose(-clipped(old, new, worth, clip) / 30, gradient)
    assert 0.2 < (gradient == 0).mean() < 0.8


def test_the_fifth_solution_needs_a_right_critic_or_all_that_was_observed():
    names = solved(5)
    assert {key: check.passed for key, check in names["checks"].items()} == {
        (True, 1.0): True, (True, 0.5): True, (False, 1.0): True, (False, 0.5): False,
    }  # fmt: skip
    # The values and the optimum of the lesson, computed in another way.
    worth, best, best_worth = (names[name] for name in ("worth", "best", "best_worth"))
    np.testing.assert_allclose(worth(best), best_worth, atol=1e-9)
    rng = np.random.RandomState(0)
    for _ in range(20):
        near = best + 0.1 * np.where(np.isfinite(best), rng.standard_normal(best.shape), 0.0)
        assert (worth(names["log_softmax"](near, axis=1)) <= best_worth + 1e-12).all()


def test_solutions_are_told_and_folded_in_notebooks():
    assert folding.is_solution("# Solution\n\n\nx = 1")
    assert not folding.is_solution("# Solutions are below\nx = 1")
    assert not folding.is_solution("x = 1\n# Solution")
    cell = {"cell_type": "code", "metadata": {"collapsed": False}, "source": ["# Solution\n", "x"]}
    text = {"cell_type": "markdown", "metadata": {}, "source": ["# Solution"]}
    other = {**cell, "source": ["x"]}
    notebook = {"cells": [text, cell, other], "nbformat": 4}
    before = json.dumps(notebook)
    folded = folding.fold_notebook(notebook)
    assert folded["cells"][0] == text
    assert folded["cells"][2] == other
    hidden = {"collapsed": False, "jupyter": {"source_hidden": True}, "tags": ["solution"]}
    assert folded["cells"][1] == {**cell, "metadata": hidden}
    assert folded["nbformat"] == 4
    assert json.dumps(notebook) == before


# PPO in sixty lines


def algorithm_of_sixty_lines():
    text = SIXTY.read_text(encoding="utf-8")
    return text.split("# The algorithm\n")[1].split("# %%\n")[0]


def test_sixty_lines_are_sixty():
    lines = [line.strip() for line in algorithm_of_sixty_lines().splitlines()]
    code = [line for line in lines if line and not line.startswith("#")]
    assert 30 < len(code) <= 60


def test_sixty_lines_use_numpy_alone():
    tree = ast.parse(SIXTY.read_text(encoding="utf-8"))
    algorithm = ast.unparse(ast.parse(algorithm_of_sixty_lines()))
    assert "np." in algorithm
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    used = {node.id for node in ast.walk(ast.parse(algorithm)) if isinstance(node, ast.Name)}
    assert used & imported == {"np"}


def test_sixty_lines_arrive_at_all_but_a_hundred_thousandth(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    names = runpy.run_path(str(SIXTY))
    assert names["gaps"][-1] < 1e-5 * names["gaps"][0]


@pytest.mark.parametrize("name", ["check_your_algorithm", "tutorials/teaching"])
def test_sixty_lines_are_linked(name):
    page = (ROOT / "docs" / f"{name}.rst").read_text(encoding="utf-8")
    assert "plot_ppo_in_sixty_lines.py" in page
