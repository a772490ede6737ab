"""Print the oldest versions that pyproject.toml allows, as constraints for pip.

The core's and those of the extras `all` and `test`: what runs, and what tests it. Or those of the
extras that are named: `python .ci/minimum_versions.py lab`.
"""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
EXTRAS = ("all", "test")
OWN = re.compile(r"sklearn-codex\[([\w,]+)\]")
MINIMUM = re.compile(r"([\w.-]+)>=([\w.]+)")


def minimum_versions(project, extras=EXTRAS):
    """Return the oldest version allowed of each requirement, by name.

    Parameters
    ----------
    project : dict
        The table `project` of pyproject.toml.
    extras : sequence of str
        Extras beside the core; an extra may name others, as `sklearn-codex[plot]`.

    Raises
    ------
    ValueError
        If a requirement is not of the form `name>=version`, or two say different versions.
    """
    found = {}
    waiting = [*project["dependencies"]]
    for extra in extras:
        waiting += project["optional-dependencies"][extra]
    while waiting:
        requirement = waiting.pop()
        if own := OWN.fullmatch(requirement):
            for extra in own[1].split(","):
                waiting += project["optional-dependencies"][extra]
            continue
        minimum = MINIMUM.fullmatch(requirement)
        if minimum is None:
            raise ValueError(f"{requirement!r} should name its oldest version, as 'name>=1.2'.")
        name, version = minimum.groups()
        if found.setdefault(name, version) != version:
            raise ValueError(f"{name} has two oldest versions: {found[name]} and {version}.")
    return dict(sorted(found.items()))


def main():
    """Print one constraint a line."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    found = minimum_versions(project, sys.argv[1:] or EXTRAS)
    lines = [f"{name}=={version}\n" for name, version in found.items()]
    sys.stdout.write("".join(lines))


if __name__ == "__main__":
    main()
