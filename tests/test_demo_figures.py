"""The figures of the demo are those that are kept, for versions of Python whose sources it read."""

import json
import platform
import sysconfig
from hashlib import blake2b
from pathlib import Path

import pytest

from sklearn_codex.cli import main

KEPT = Path(__file__).parent / "demo_figures.json"
# What differs between builds of one version, or is left out of some, and is not read either.
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "idlelib", "lib2to3"}
LEFT_OUT |= {"turtledemo", "ensurepip", "__pycache__", "tkinter"}


def digest_of_sources():
    """Digest of the standard library, by which kept figures are found: the corpus of the demo."""
    root = Path(sysconfig.get_paths()["stdlib"])
    digest = blake2b(digest_size=16)
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if LEFT_OUT.isdisjoint(parts) and not parts[0].startswith(("config-", "_sysconfigdata")):
            digest.update("/".join(parts).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def leaves(figures, name=""):
    """Yield each single figure with the path of its keys."""
    if isinstance(figures, dict):
        for key, value in figures.items():
            yield from leaves(value, f"{name} > {key}" if name else key)
    else:
        yield name, figures


@pytest.mark.slow
@pytest.mark.parametrize("order", ["1", "3"])
def test_figures_of_the_demo_are_those_kept(order, tmp_path, capsys):
    kept = json.loads(KEPT.read_text(encoding="utf-8"))[order]
    sources = digest_of_sources()
    if sources not in kept:
        versions = ", ".join(entry["python_version"] for entry in kept.values())
        pytest.skip(
            f"figures are kept for the standard library of Python {versions}; this one is of "
            f"{platform.python_version()}, digest {sources}"
        )
    out = tmp_path / "demo"
    words = ["demo", "--seed", "0", "--order", order, "--out", str(out), "--no-progress"]
    assert main(words) == 0
    capsys.readouterr()
    found = json.loads((out / "figures.json").read_text(encoding="utf-8"))
    expected = dict(leaves(kept[sources]))
    # The gap to the optimum is a difference of numbers near 10, so it has an error of its own.
    assert dict(leaves(found)) == {
        name: pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value
        for name, value in expected.items()
    }
