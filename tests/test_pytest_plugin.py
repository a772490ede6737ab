"""The plugin of pytest, in suites of others: what it brings, and that it costs nothing."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sklearn_codex import _pytest_plugin
from sklearn_codex.lab import CandidateProblem, problems

pytest_plugins = "pytester"
NAME = "sklearn_codex._pytest_plugin"
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
UPDATES = """
    import numpy as np

    def right(log_prob, batch):
        log_ratio = (batch.old_log_prob - batch.ref_log_prob) * batch.response_mask
        score = (batch.token_level_rewards - batch.kl_coef * log_ratio).sum(axis=1)
        advantage = score - score.mean()
        return -advantage[:, np.newaxis] * batch.response_mask / len(score)

    def wrong(log_prob, batch):
        score = batch.token_level_rewards.sum(axis=1)
        return -(score - score.mean())[:, np.newaxis] * batch.response_mask / len(score)
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """Return how to run somebody's suite, in a process of its own, with the plugin loaded."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(Path(_pytest_plugin.__file__).parents[1]))
    pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers")
    pytester.makepyfile(updates=UPDATES)

    def run(test, *options):
        pytester.makepyfile(test_it=test)
        return pytester.runpytest_subprocess("-p", NAME, *options)

    return run


def test_a_suite_of_three_lines(suite):
    result = suite(
        """
        from updates import right, wrong

        def test_right(assert_unbiased):
            assert assert_unbiased(right).passed

        def test_elsewhere(assert_unbiased):
            assert_unbiased(right, "lengths", group_size=3, tol=1e-4)

        def test_wrong(assert_unbiased):
            assert_unbiased(wrong)
        """
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: The update is biased (tol=0.001).*"])
    result.stdout.fnmatch_lines(["*reference*rests at*should be*"])
    # The failure is shown in the test, not in the plugin.
    result.stdout.no_fnmatch_line("*_pytest_plugin.py:*")


def test_the_whole_result_and_every_problem(suite):
    result = suite(
        """
        import pytest
        from updates import right, wrong

        def test_whole(check_algorithm):
            check = check_algorithm(wrong, "one-token", more_epochs=())
            assert len(check.settings) == 5
            assert not check.passed

        def test_each(rlhf_problem):
            assert len(rlhf_problem.rewards) > 1

        @pytest.mark.parametrize("rlhf_problem", ["bigram"], indirect=True)
        def test_one(assert_unbiased, rlhf_problem):
            assert rlhf_problem.name == "bigram"
            assert_unbiased("rloo", rlhf_problem, group_size=2)
        """,
        "-v",
    )
    result.assert_outcomes(passed=2 + len(_pytest_plugin.PROBLEMS))
    result.stdout.fnmatch_lines(["*test_each?shared-tokens?*"])


def test_an_argument_that_is_none_is_named(suite):
    result = suite(
        """
        def test_typo(assert_unbiased):
            assert_unbiased("rloo", probem="lengths")
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*TypeError: assert_unbiased takes no argument 'probem', but *Did you mean problem?"]
    )


def test_a_suite_that_asks_for_nothing_waits_for_nothing(suite):
    result = suite(
        """
        import sys

        def test_nothing():
            heavy = {"numpy", "scipy", "sklearn", "joblib", "narwhals", "sklearn_codex.lab"}
            assert "sklearn_codex._pytest_plugin" in sys.modules
            assert heavy.isdisjoint(sys.modules)
        """
    )
    result.assert_outcomes(passed=1)


def test_names_of_a_suite_come_first(suite):
    result = suite(
        """
        import pytest

        @pytest.fixture
        def check_algorithm():
            return 3

        def test_own(check_algorithm):
            assert check_algorithm == 3
        """
    )
    result.assert_outcomes(passed=1)


def test_loading_it_imports_nothing_but_itself():
    program = (
        "import pytest, sys; before = set(sys.modules);"
        f"import {NAME}; print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert run.stdout.split() == ["sklearn_codex", NAME]


def test_its_problems_are_those_of_rewards():
    of_rewards = [n for n, make in problems.items() if isinstance(make(), CandidateProblem)]
    assert list(_pytest_plugin.PROBLEMS) == of_rewards


def test_the_project_names_it():
    if not PYPROJECT.is_file():
        pytest.skip("no project beside the tests")
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    assert project["entry-points"] == {"pytest11": {"sklearn-codex": NAME}}
