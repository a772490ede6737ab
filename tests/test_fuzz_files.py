"""A part of the fuzzer of data files and commands; ``make fuzz`` runs all of it."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fuzz import containers, files
from fuzz.hostile_files import PAIRS, change_bytes, change_records, make_records, write_records
from fuzz.outcomes import Outcomes


def test_files_and_commands_end_in_results_or_clear_errors(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    outcomes = files.run(250, seed=0)
    assert not any(tmp_path.iterdir())  # --out with a name alone is in the folder of the case
    assert outcomes.others == []
    assert outcomes.results >= 50
    assert outcomes.clear_errors >= 50
    assert len(outcomes) == 250 + 1  # and a whole audit


def test_damaged_containers_end_in_results_or_errors_of_one_line():
    outcomes = containers.run(250, seed=1)
    assert outcomes.others == []
    assert outcomes.results >= 50
    assert outcomes.clear_errors >= 50
    assert len(outcomes) == 250


def test_the_files_are_the_same_for_a_seed_and_differ_between_seeds():
    def make(seed):
        rng = np.random.default_rng(seed)
        records = [change_records(rng, make_records(rng, PAIRS)) for _ in range(20)]
        return [change_bytes(rng, write_records(rng, rows)) for rows in records]

    assert make(0) == make(0)
    assert make(0) != make(1)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda words: sys.stdout.write("\x1b[31m") and 0, "a terminal got"),
        (lambda words: 3, "exit status 3"),
        (lambda words: 1, "told ''"),
    ],
)
def test_what_a_command_must_not_do_is_found(broken, message, monkeypatch, tmp_path):
    outcomes, place = Outcomes(), files._Place(tmp_path)
    monkeypatch.setattr(files, "main", broken)
    outcomes.try_case("a command", lambda: files._run_command(["info"], place))
    assert message in outcomes.others[0]


def test_outputs_named_without_a_folder_are_in_that_of_the_case(monkeypatch, tmp_path):
    place = files._Place(tmp_path)
    monkeypatch.setattr(files, "main", lambda words: Path("out").write_text("x") and 0)
    files._run_command_there(["info"], place)
    assert (place.folder / "out").exists()


def test_files_that_a_command_must_not_leave_are_found(monkeypatch, tmp_path):
    outcomes, place = Outcomes(), files._Place(tmp_path)
    for name, code, message in ((".sklearn-codex-0.part", 0, "left"), ("out", 2, "changed")):

        def leave(words, name=name, code=code):
            (place.folder / name).write_text("x")
            return code

        monkeypatch.setattr(files, "main", leave)
        outcomes.try_case("a command", lambda: files._run_command(["info"], place))
        place.clear()
        assert message in outcomes.others[-1]
    assert len(outcomes.others) == 2
