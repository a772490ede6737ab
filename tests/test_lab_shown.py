"""Checks of algorithms: what is refused, and how results are shown."""

import pickle
import re
import warnings
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_lab_check import FEWER, QUICK, rloo

from sklearn_codex import lab
from sklearn_codex.exact import CandidateObjective
from sklearn_codex.lab import (
    algorithms,
    check_algorithm,
    make_candidates,
    mistakes,
    problems,
    rest_point,
    run_algorithm,
)


class TestRefusals:
    @pytest.mark.parametrize(
        "out", [
            None, 1.0, "a", np.zeros(3), np.full((4, 4), np.nan), (0.0, np.zeros(5)), (1, 2, 3),
            np.full((4, 4), np.inf), [0.0, np.zeros((4, 4))], (0.0, np.zeros((4, 4)), {}),
        ],
    )  # fmt: skip
    def test_what_is_no_update(self, out):
        with pytest.raises(ValueError, match=r"An update should return the gradient .* \(4, 4\)"):
            check_algorithm(lambda log_prob, batch: out)

    def test_complex_gradients_are_refused_without_a_warning(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for update, match in (
                (lambda x, batch: -x * 1j, r"got an array of shape \(4, 4\) of dtype complex128"),
                (lambda x, batch: (0.0, -x * 1j), r"got a tuple of float, complex \(4, 4\)"),
            ):
                with pytest.raises(ValueError, match=match):
                    check_algorithm(update)

    @pytest.mark.parametrize(
        ("call", "match"),
        [
            (lambda: check_algorithm("rloo", probem="lengths"),
             "^check_algorithm takes no argument 'probem', but update, problem, .* mean problem"),
            (lambda: check_algorithm("rloo", kl_coef=0.1), r"pass make_candidates\(kl_coef=...\)"),
            (lambda: run_algorithm("rloo", n_document=1), "^run_algorithm .* mean n_documents"),
            (lambda: check_algorithm(),
             "^check_algorithm: missing a required argument: 'update'. It takes update, problem"),
            (lambda: check_algorithm("rloo", "lengths", 4),
             "^check_algorithm: too many positional arguments. .* by name alone, group_size, "),
            (lambda: run_algorithm(n_documents=1), "^run_algorithm: missing a .*: 'update'"),
            (lambda: problems["one-token"](kl_coef=0.1),
             r'^problems\["one-token"\] takes no argument, got kl_coef. .*replace\(problem'),
            (lambda: problems["two-sided"](0.1), r'^problems\["two-sided"\] takes no .* got 0.1'),
        ],
    )  # fmt: skip
    def test_arguments_that_are_none(self, call, match):
        with pytest.raises(TypeError, match=match):
            call()

    def test_another_kl_coef_as_the_message_says(self):
        for name in ("lengths", "two-sided"):
            problem = problems[name]()
            other = replace(problem, objective=problem.objective.having(kl_coef=0.1))
            assert other.kl_coef == 0.1

    @pytest.mark.parametrize("share", [0.2, 0.05])
    def test_shares_of_prompts(self, share):
        match = f"needs prompt_prob that sum to 1, .* sum to {0.9 + share:.6g}. Divide"
        with pytest.raises(ValueError, match=match):
            make_candidates(n_prompts=2, prompt_prob=[0.9, share])

    def test_updates_that_are_none(self):
        rng = np.random.RandomState(0)
        with pytest.raises(ValueError, match="something else for the same batches a second time"):
            check_algorithm(lambda x, batch: rloo(x, batch) * rng.uniform(), **QUICK)
        calls = iter(range(10**6))

        def both(log_prob, batch):
            return batch.policy_log_prob if next(calls) % 2 else 0 * log_prob

        with pytest.raises(ValueError, match="a gradient for some and a new policy for others"):
            check_algorithm(both, **QUICK)
        with pytest.raises(ValueError, match=r"got a tuple of float, \(4, 4\), dict"):
            check_algorithm(lambda x, batch: (0.0, 0 * x, {}), **QUICK)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"group_sizes": (2.7,)}, "each of group_sizes >= 1, an integer, got 2.7"),
            ({"learning_rates": (-1,)}, "each of learning_rates > 0, got -1"),
            ({"learning_rates": (np.nan,)}, "each of learning_rates > 0, got nan"),
            ({"more_epochs": (0,)}, "each of more_epochs >= 1, an integer, got 0"),
        ],
    )
    def test_further_settings(self, options, match):
        with pytest.raises(ValueError, match=match):
            check_algorithm(rloo, "one-token", **options)

    def test_problems_that_say_nothing(self):
        with pytest.raises(ValueError, match=r"needs n_samples=None on preferences, got 200"):
            check_algorithm("dpo", "two-sided", n_samples=200)
        with pytest.raises(ValueError, match="two responses to a prompt, got one to each"):
            check_algorithm("rloo", make_candidates([3]))
        objective = CandidateObjective(
            [np.log(0.5), -np.inf, np.log(0.5)], np.arange(3.0), np.zeros(3, dtype=int), kl_coef=0.5
        )
        problem = lab.CandidateProblem(objective, np.array([[1], [2], [3]]))
        for call in (check_algorithm, rest_point):
            with pytest.raises(ValueError, match="leaves every response possible, got -inf at row"):
                call("rloo", problem)

    def test_groups_that_are_too_many_have_no_measures(self):
        many = make_candidates(np.ones(8, dtype=int))
        check = check_algorithm("rloo", many, group_size=2, group_sizes=(3, 12), **FEWER)
        assert check.settings[1].distance < 1e-9
        assert np.isnan(check.settings[2].distance)
        assert np.isnan(check.settings[2].gradient_error)
        assert str(check).splitlines()[-1].split()[:4] == ["12", "1", "1", "-"]

    @pytest.mark.parametrize("tol", ["a", np.inf, 2, 0, 1, -1e-3, np.nan])
    def test_tolerances(self, tol):
        check = check_algorithm(rloo, "one-token", **QUICK)
        with pytest.raises(ValueError, match="assert_unbiased needs tol from 0 to 1, got"):
            check.assert_unbiased(tol)

    def test_checks_and_problems_are_themselves(self):
        check = check_algorithm(rloo, "one-token", **QUICK)
        assert len({check, check.problem, check}) == 2
        assert problems["one-token"]() != problems["one-token"]()

    def test_targets(self):
        with pytest.raises(ValueError, match=r"needs target, .* shape \(5,\), got shape \(3,\)"):
            check_algorithm(rloo, target=np.log([0.5, 0.25, 0.25]))
        with pytest.raises(ValueError, match="needs target, the policy to rest at"):
            check_algorithm(algorithms["ipo"], "intransitive")
        with pytest.raises(ValueError, match="'update' parameter of check_algorithm must be a"):
            check_algorithm("rlo")
        with pytest.raises(ValueError, match="got PreferenceAlgorithm and CandidateProblem"):
            check_algorithm("dpo")
        with pytest.raises(ValueError, match="got RewardAlgorithm and PreferenceProblem"):
            check_algorithm("rloo", "two-sided")
        with pytest.raises(AttributeError, match="no attribute 'bias'"):
            check_algorithm(rloo, "one-token", **QUICK).bias  # noqa: B018


class TestShown:
    def test_table(self):
        check = check_algorithm(rloo, **QUICK)
        text = str(check)
        assert text.startswith("AlgorithmCheck on standard. It rests where it should.\n")
        rows = text.splitlines()
        assert len({len(row) for row in rows[2:8]}) == 1
        assert "0.3219" in rows[7]
        assert re.search(r"\s4\s+1\s+1\s+0.0000\s+0.0000\s+0.500", text)
        drawn = str(check_algorithm(rloo, n_samples=100, **QUICK))
        assert " - " in drawn

    def test_html_is_escaped(self):
        problem = make_candidates([1, 1], name="<script>\x1b[2J")
        check = check_algorithm(rloo, problem, **QUICK)
        page = check._repr_html_()
        assert "<script>" not in page
        assert "&lt;script&gt;" in page
        for text in (page, str(check)):
            assert "\x1b" not in text

    def test_plot(self):
        mpl.use("agg")
        check = check_algorithm(rloo, **QUICK)
        ax = check.plot()
        heights = [patch.get_height() for patch in ax.patches]
        expected = [check.problem.reference, check.target, check.log_prob]
        assert_allclose(heights, np.exp(np.concatenate(expected)))
        assert check.plot(ax=ax) is ax

    @pytest.mark.parametrize("n_prompts", [1, 2, 3])
    def test_a_picture_holds_all_of_its_words(self, n_prompts):
        mpl.use("agg")
        problem = make_candidates(n_prompts=n_prompts)
        ax = check_algorithm("grpo_kl_in_reward", problem, **QUICK).plot()
        ax.figure.canvas.draw()
        words = [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels()]
        for text in words:
            box = text.get_window_extent()
            assert ax.figure.bbox.x0 <= box.x0 < box.x1 <= ax.figure.bbox.x1, text
            assert ax.figure.bbox.y0 <= box.y0 < box.y1 <= ax.figure.bbox.y1, text
        labels = [label.get_text() for label in ax.get_xticklabels()]
        assert len(labels) == 5 * n_prompts
        assert [label.startswith("prompt 0") for label in labels] == [
            n_prompts > 1 and x == 0 for x in problem.prompts
        ]

    def test_one_line_for_each(self):
        check = check_algorithm("grpo", "one-token", **QUICK)
        assert repr(check) == f"AlgorithmCheck(grpo on one-token, passed=False: {check.verdict})"
        mine = check_algorithm(rloo, make_candidates([1, 1], name="a\nb"), **QUICK)
        assert repr(mine).startswith("AlgorithmCheck(rloo on ")
        assert "\n" not in repr(mine)
        run = run_algorithm("rloo", "one-token", n_documents=640, random_state=0)
        assert repr(run).startswith("AlgorithmRun(10 steps, 640 documents, gap ")
        assert len(repr(run)) < 80

    def test_nothing_warns(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_algorithm(mistakes["k3_in_reward"], "one-token", learning_rates=(10.0,))

    def test_it_is_pickled(self):
        check = check_algorithm("rloo", "one-token", **QUICK)
        assert str(pickle.loads(pickle.dumps(check))) == str(check)

    def test_no_rest(self):
        def circle(log_prob, batch):
            # From all sides to a circle of radius 1 beside the reference, and round and round.
            x = batch.policy_log_prob[:2] - batch.policy_log_prob[2] - [0.3, -1.0]
            step = (1 - np.linalg.norm(x)) * x + np.array([-x[1], x[0]])
            return batch.policy_log_prob + 0.01 * np.append(step, 0.0)

        check = check_algorithm(circle, "one-token", **QUICK)
        assert not check.is_found
        assert "came to no rest" in check.verdict
        lost = check_algorithm(mistakes["k3_in_reward"], "one-token", **QUICK)
        assert "but loses responses" in lost.verdict

    def test_words_of_a_mistake(self):
        for mistake in mistakes.values():
            assert mistake.what.endswith(".")
