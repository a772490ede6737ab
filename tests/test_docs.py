"""The documentation is whole: names, metrics and code blocks. Building it is ``make docs``."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

import sklearn_codex
from sklearn_codex import (
    GRPOPolicyOptimizer,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    UnigramLM,
)
from sklearn_codex.rules import BannedTokens, TokenBudget

DOCS = Path(__file__).parents[1] / "docs"
if not DOCS.is_dir():
    pytest.skip("no documentation beside the tests", allow_module_level=True)

PAGES = sorted(
    path
    for folder in (DOCS, DOCS / "guide", DOCS / "tutorials")
    for path in folder.glob("*.rst")
    if path.name != "sg_execution_times.rst"
)
# Characters that the column of a page shows; more have to be scrolled to.
CODE_WIDTH = 84
# The command line is documented by its own --help.
WITHOUT_REFERENCE = {"sklearn_codex.__main__", "sklearn_codex.cli", "sklearn_codex.report"}


def _public_modules():
    found = pkgutil.iter_modules(sklearn_codex.__path__, "sklearn_codex.")
    names = ["sklearn_codex", *(info.name for info in found)]
    return [name for name in names if "._" not in name and name not in WITHOUT_REFERENCE]


@pytest.mark.parametrize("name", _public_modules())
def test_public_names_are_in_the_api_reference(name):
    listed = re.findall(
        r"^   (sklearn_codex[\w.]*)$", (DOCS / "api.rst").read_text("utf-8"), re.MULTILINE
    )
    assert name in listed, f"list the module {name} in docs/api.rst"
    # The page of a module lists its __all__; a name gets there with a docstring only.
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} needs a docstring, its line in docs/api.rst"
    assert hasattr(module, "__all__"), f"{name} should say in __all__ what is public"
    for public in module.__all__:
        value = getattr(module, public)
        assert not callable(value) or value.__doc__, f"{name}.{public} needs a docstring"


def _history_keys_of_policies():
    X = np.array([[3, 1, 0], [1, 1, 2]])
    reference = UnigramLM().fit(X)
    rules = [BannedTokens([2]), TokenBudget([1], budget=1)]
    rewards = (lambda counts: np.sqrt(counts[:, [0]].toarray().ravel()), None)
    for reward_model in rewards:
        for optimizer in ("natural", "adam"):
            for options in ({}, {"rules": rules, "sft_coef": 1.0}):
                policy = PPOPolicyOptimizer(
                    FrozenEstimator(reference),
                    reward_model,
                    optimizer=optimizer,
                    max_iter=2,
                    tol=0,
                    gold_reward=lambda counts: np.ones(counts.shape[0]),
                    random_state=0,
                    **options,
                ).fit(X, [1.0, 0.0], X_val=X)
                yield from policy.history_[0].keys() | policy.history_[-1].keys()
    grouped = GRPOPolicyOptimizer(
        FrozenEstimator(reference), num_generations=2, max_iter=2, tol=0, random_state=0
    ).fit(X, [1.0, 0.0])
    yield from grouped.history_[0].keys() | grouped.history_[-1].keys()


def test_every_recorded_metric_is_defined():
    page = (DOCS / "training_metrics.rst").read_text(encoding="utf-8")
    policies, rewards = page.split("\nReward model\n------------\n")
    model = PreferenceRewardModel().fit([[1.0, 0.0], [0.0, 1.0]], [1, 0])
    for section, keys in (
        (policies, set(_history_keys_of_policies())),
        (rewards, {key for record in model.history_ for key in record}),
    ):
        defined = set(re.findall(r"^``([^`]+)``\n   \S", section, re.MULTILINE))
        recorded = {re.sub("^rules/.*/", "rules/<name>/", key) for key in keys}
        assert recorded == defined, (
            f"docs/training_metrics.rst should also define {sorted(recorded - defined)} and no "
            f"longer define {sorted(defined - recorded)}"
        )


def _examples(page):
    """Return the doctests and the ``python`` blocks of a page, in order, as doctest examples."""
    text = page.read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_examples(text)
    for block in re.finditer(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text, re.MULTILINE):
        source = re.sub(r"^   ", "", block[1], flags=re.MULTILINE)
        line = text.count("\n", 0, block.start())
        statement = f"exec({source!r})\n"
        examples.append(doctest.Example(statement, "...\n", lineno=line))
    return sorted(examples, key=lambda example: example.lineno)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_on_the_page_fits_its_column(page):
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"^(?:>>>|\.\.\.(?= )).*", text, re.MULTILINE)
    for block in re.findall(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text, re.MULTILINE):
        lines += [line.removeprefix("   ") for line in block.splitlines()]
    assert [line for line in lines if len(line) > CODE_WIDTH] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_on_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    test = doctest.DocTest(_examples(page), {}, page.name, str(page), 0, None)
    report = []
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    result = runner.run(test, out=report.append)
    assert result.failed == 0, "".join(report)


def test_figures_on_the_pages_have_an_example():
    files = (DOCS.parent / "examples").rglob("plot_*.py")
    stems = {f"{path.parent.name}_{path.stem}" for path in files}
    for page in PAGES:
        used = re.findall(r"sphx_glr_auto_examples_(\w+)\.py", page.read_text("utf-8"))
        for folder, stem in re.findall(
            r"auto_examples/(\w+)/images/sphx_glr_(plot_\w+?)_\d+\.png", page.read_text("utf-8")
        ):
            used.append(f"{folder}_{stem}")
        assert set(used) <= stems, page.name


def test_pictures_are_there_small_and_described():
    root = DOCS.parent
    shown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", (root / "README.md").read_text("utf-8"))
    pictures = [(text, root / path) for text, path in shown]
    for page in PAGES:
        for path, options in re.findall(
            r"^\.\. figure:: /(_static/\S+)\n((?:   :.*\n)+)", page.read_text("utf-8"), re.MULTILINE
        ):
            pictures.append((re.search(r":alt: (.*)", options)[1], DOCS / path))
    drawn = (DOCS / "make_pictures.py").read_text("utf-8")
    assert len(pictures) >= 7
    for text, path in pictures:
        assert len(text) > 20, path
        assert 1_000 < path.stat().st_size < 150_000, path
        assert path.name in drawn, f"{path.name} is drawn by no command"
