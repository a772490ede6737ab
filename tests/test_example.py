"""The example that comes with the package: its file, what reads it, and the command on it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from sklearn_codex import PreferenceRewardModel
from sklearn_codex.cli import main
from sklearn_codex.datasets import load_example_preferences
from sklearn_codex.datasets._example import _WRITERS, example_bytes, example_path, make_example
from sklearn_codex.datasets._example_texts import ASKED, TOPICS


@pytest.fixture(scope="module")
def data():
    return load_example_preferences()


def test_the_file_is_what_the_program_writes():
    assert example_path().read_bytes() == example_bytes()
    assert make_example(1) != make_example(2)


def test_the_file_is_read_as_it_is_meant(data):
    rows = make_example()
    assert data.X.tolist() == [[r["prompt"], r["response_a"], r["response_b"]] for r in rows]
    assert data.y.tolist() == [{"a": 1.0, "b": 0.0, "tie": 0.5}[r["winner"]] for r in rows]
    assert np.bincount(data.groups).tolist() == [3] * len(TOPICS) * len(ASKED)
    assert sorted(data.columns) == ["model_a", "model_b", "task"]
    assert set(data.columns["task"]) == set(ASKED)
    assert set(data.columns["model_a"]) | set(data.columns["model_b"]) == set(_WRITERS)
    assert set(data.annotator) == {"ann", "ben", "cho"}
    assert data.filename == str(example_path())
    assert "simulated" in data.DESCR


def test_what_annotators_like_can_be_learned(data):
    model = PreferenceRewardModel(C=0.1).fit(data.X[:150], data.y[:150])
    decided = data.y[150:] != 0.5
    assert model.score(data.X[150:][decided], data.y[150:][decided]) > 0.65
    plain, example = "Rinse it three times.", "Rinse it three times. For example, it was clean."
    assert model.predict_margin([("How?", example, plain)])[0] > 0


def test_audit_of_the_example(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "--example", "--no-progress", "--json"]) == 0
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert figures["source"] == "the example"
    assert figures["sizes"]["n_pairs"] == 300
    assert str(example_path()) in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required: PREFS, or --example to try it. See sklearn-codex audit --help."),
        (["--example", "x.csv"], "--example stands in place of PREFS, got x.csv too."),
    ],
)
def test_audit_needs_one_source(words, said, capsys):
    assert main(["audit", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sklearn-codex audit: error: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], ["audit", "--help"], ["demo", "--help"]])
def test_help_waits_for_nothing_heavy(words):
    program = (
        "import sys; from sklearn_codex.cli import main; main(sys.argv[1:]);"
        "print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, *words], check=True, capture_output=True, text=True
    )
    loaded = set(run.stderr.split())
    heavy = {"numpy", "scipy", "sklearn", "joblib", "narwhals", "rich"}
    assert loaded.isdisjoint(heavy)
    ours = {name.split(".")[1] for name in loaded if name.startswith("sklearn_codex.")}
    assert ours <= {"cli", "report", "_output", "_plain"}
