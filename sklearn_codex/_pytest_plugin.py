"""A plugin of pytest: an algorithm of RLHF held against exact answers, in three lines of a test.

pytest loads it wherever the package is installed, so it imports nothing but pytest before one of
its fixtures is asked for.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sklearn_codex.lab import AlgorithmCheck, CandidateProblem, PreferenceProblem

# Those of sklearn_codex.lab.problems that are of rewards, known without importing it.
PROBLEMS = ("standard", "lengths", "one-token", "shared-tokens", "prompts", "unigram", "bigram")
_ONE_SETTING = {"group_sizes": (), "learning_rates": (), "more_epochs": ()}


@pytest.fixture(scope="session")
def check_algorithm() -> Callable[..., "AlgorithmCheck"]:
    """sklearn_codex.lab.check_algorithm: measures an update on a problem whose answer is known."""
    from sklearn_codex.lab import check_algorithm as function

    return function


@pytest.fixture(scope="session")
def assert_unbiased() -> Callable[..., "AlgorithmCheck"]:
    """Fail, with a table, unless an update rests at the RLHF optimum of a problem.

    ``assert_unbiased(update, problem="standard", tol=1e-3, gradient=False, **settings)``, with the
    settings of sklearn_codex.lab.check_algorithm; returns its result. With ``gradient=True`` its
    expected gradient has to be the exact one, too.
    """
    from inspect import signature

    from sklearn_codex.lab import check_algorithm as function
    from sklearn_codex.lab._named import check_names

    def check(
        update: Any,
        problem: Any = "standard",
        tol: float = 1e-3,
        *,
        gradient: bool = False,
        **settings: Any,
    ) -> "AlgorithmCheck":
        __tracebackhide__ = True
        settable = [n for n in signature(function).parameters if n not in ("update", "problem")]
        own = ("update", "problem", "tol", "gradient")
        check_names("assert_unbiased", (*own, *settable), settings)
        # Only the first setting decides, and each takes its time.
        found = function(update, problem, **{**_ONE_SETTING, **settings})
        found.assert_unbiased(tol, gradient=gradient)
        return found

    return check


@pytest.fixture(params=PROBLEMS)
def rlhf_problem(request: pytest.FixtureRequest) -> "CandidateProblem | PreferenceProblem":
    """Return a problem of rewards; a test that asks for it runs once on each there is."""
    from sklearn_codex.lab import problems

    return problems[request.param]()
