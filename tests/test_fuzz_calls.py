"""A small part of the fuzzer of calls, and what it is made of."""

import inspect

import numpy as np
import pytest

import sklearn_codex

pytest.importorskip("matplotlib").use("Agg")
pytest.importorskip("pandas")
pytest.importorskip("polars")
calls = pytest.importorskip("fuzz.calls", reason="fuzzers are beside the tests, not installed")
from fuzz.mutations import mutate  # noqa: E402
from fuzz.outcomes import Outcomes, is_worded  # noqa: E402
from fuzz.subjects import LEFT_OUT, discover, methods_without_values  # noqa: E402

SUBJECTS = discover()


def test_calls_give_results_or_clear_errors():
    outcomes = calls.run(300, seed=0)
    assert outcomes.others == []
    assert outcomes.results > 90
    assert outcomes.clear_errors > 90


def test_everything_public_is_called():
    public = {name for name in sklearn_codex.__all__ if name not in LEFT_OUT}
    assert public <= {subject.name for subject in SUBJECTS}


def test_every_method_has_good_arguments():
    """They are drawn by chance, some of them seldom."""
    assert methods_without_values() == []


@pytest.mark.parametrize("subject", SUBJECTS, ids=[subject.name for subject in SUBJECTS])
@pytest.mark.filterwarnings("ignore")
def test_good_arguments_are_good(subject):
    errors = []
    for seed in range(6):
        arguments = subject.draw(np.random.RandomState(seed))
        try:
            calls._call_and_check(subject, arguments, [], again=seed == 0)
        except ValueError as error:
            errors.append(error)
        else:
            return
    raise errors[0]


def test_a_case_is_drawn_by_its_numbers_alone():
    for case in range(20):
        one, other = (calls.describe(*calls.draw_case(3, case)[:3]) for _ in range(2))
        assert one.split(" at 0x")[0] == other.split(" at 0x")[0]


def test_mutations_leave_what_they_are_given():
    rng = np.random.RandomState(0)
    array, text, table = np.ones((3, 2)), ["a", "b"], {"a": 1}
    for value, copy in ((array, array.copy()), (text, [*text]), (table, {**table})):
        for _ in range(100):
            mutate(rng, value)
        np.testing.assert_array_equal(value, copy) if value is array else None
        assert value is array or value == copy


def outcome_of(call, check=lambda result: None):
    outcomes = Outcomes()
    outcomes.try_case("it", call, check=check, is_clear=is_worded, seconds=1.0)
    return outcomes


def test_what_an_outcome_is():
    assert outcome_of(lambda: 1).results == 1
    assert outcome_of(lambda: sklearn_codex.UnigramLM().fit([])).clear_errors == 1
    for call in (lambda: [][1], lambda: np.ones(2) + np.ones(3), lambda: inspect.signature(3)):
        assert len(outcome_of(call).others) == 1
    never = outcome_of(lambda: [None for _ in iter(int, 1)])
    assert "no end after 1 s" in never.others[0]


def test_wrong_results_are_found():
    class Broken:
        token_log_prob_ = np.log([0.5, 0.6])

    with pytest.raises(AssertionError, match="sums to"):
        calls._check_distributions(Broken(), {})
    with pytest.raises(AssertionError, match="NaN in f"):
        calls._check_no_nan("f", {"score": np.nan})
    assert calls._check_no_nan("spearman_correlation", np.nan) is None


def test_what_is_written_to_and_what_differs_is_found():
    def write(arguments):
        arguments["X"][0] = 1.0

    draws = iter(range(10))
    for call, message in ((write, "is changed"), (lambda _: next(draws), "another result")):
        subject = calls.Subject("f", lambda rng: {}, call)
        with pytest.raises(AssertionError, match=message):
            calls._call_and_check(subject, {"X": np.zeros(2)}, [], again=True)
