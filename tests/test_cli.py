"""The command line as a user meets it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from sklearn_codex import load_model
from sklearn_codex.cli import main
from sklearn_codex.cli._demo_files import DEMO


@pytest.fixture(scope="module", params=[1, 3], ids=["order 1", "order 3"])
def demo(request, tmp_path_factory):
    """Run a small demo once; return its folder and what it printed."""
    out = tmp_path_factory.mktemp("demo") / "codex-demo"
    words = ["demo", "--modules", "10", "--order", str(request.param), "--out", str(out)]
    run = subprocess.run(
        [sys.executable, "-m", "sklearn_codex", *words],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return out, run.stdout


def test_demo_shows_every_stage(demo):
    _, printed = demo
    for part in (
        "Data",
        "M0",
        "M1",
        "R ",
        "M2",
        "perplexity",
        "log-loss",
        "optimality gap",
        "L_SFT",
        "L_RLHF: minus the",
    ):
        assert part in printed
    assert "simulated" in printed


def test_demo_writes_a_model_that_predicts_and_all_figures(demo):
    out, _ = demo
    figures = json.loads((out / "figures.json").read_text())
    loop = load_model(out / "model.skops")
    policy = loop.named_steps_.policy
    assert figures["policy"]["objective/kl_exact"]["after"] == pytest.approx(policy.kl_)
    if figures["order"] == 1:
        assert np.exp(policy.token_log_prob_).sum() == pytest.approx(1.0)
    else:
        assert policy.trie_.order == figures["order"] == 3
    assert np.exp(policy.predict_log_proba(["def f(x):"])).sum() == pytest.approx(1.0)
    assert loop.predict(["def f(x):"]).shape == (1,)
    assert {path.name for path in out.iterdir()} == set(DEMO.names)


def test_demo_figures_say_what_the_stages_are_for(demo):
    figures = json.loads((demo[0] / "figures.json").read_text())
    assert figures["sft"]["test"]["after"] < figures["sft"]["test"]["before"]
    reward = figures["reward"]
    annotator = reward["the simulated annotator itself"]["accuracy"]
    assert reward["length only"]["accuracy"] < reward["PreferenceRewardModel"]["accuracy"]
    assert reward["PreferenceRewardModel"]["accuracy"] < annotator
    policy = figures["policy"]
    assert policy["objective/value"]["after"] > policy["objective/value"]["before"]
    assert policy["rules/unsafe_code/rate"]["after"] < policy["rules/unsafe_code/rate"]["before"]
    # Of n-grams it stops where it is as near as the verdict asks for.
    assert (0.999 if figures["order"] == 1 else 0.99) <= policy["share_of_optimum"] <= 1.0
    assert figures["objective"]["M2"]["total"] < figures["objective"]["M1"]["total"]


def test_demo_at_a_higher_order_shows_what_order_buys(demo):
    out, printed = demo
    figures = json.loads((out / "figures.json").read_text())
    if figures["order"] == 1:
        assert "What order buys" not in printed
        assert "completions" not in figures
        return
    by_order = figures["pretrain"]["perplexity_by_order"]
    assert list(by_order) == ["1", "2", "3"]
    assert by_order["3"] == pytest.approx(figures["pretrain"]["perplexity_test"])
    assert by_order["1"] > 2 * by_order["3"]
    lengths = figures["policy"]["objective/length"]
    assert lengths["after"] == pytest.approx(lengths["before"], rel=0.5)
    assert figures["policy"]["price_of_a_token"] > 0
    loop = load_model(out / "model.skops")
    for row in figures["completions"]:
        assert set(row) == {"prompt", "M0", "M1", "M2"}
        assert row["prompt"].splitlines()[0] in printed
    assert len(figures["completions"]) > 0
    assert loop.memory is None


def test_demo_seed_reproduces_every_figure(demo, tmp_path, capsys):
    again = tmp_path / "again"
    first = json.loads((demo[0] / "figures.json").read_text())
    words = ["demo", "--modules", "10", "--out", str(again), "--no-progress"]
    words += ["--order", str(first["order"])]
    assert main(words) == 0
    assert json.loads((again / "figures.json").read_text()) == first
    assert main([*words, "--seed", "1"]) == 0
    assert json.loads((again / "figures.json").read_text()) != first
    capsys.readouterr()


def test_demo_leaves_an_existing_folder_alone(tmp_path, capsys):
    kept = tmp_path / "notes.txt"
    kept.write_text("mine")
    assert main(["demo", "--out", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "exists" in captured.err
    assert "--force" in captured.err
    assert captured.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (
        main(
            [
                "demo",
                "--out",
                str(tmp_path),
                "--modules",
                "5",
                "--no-progress",
                "--order",
                "1",
                "--force",
            ]
        )
        == 0
    )
    assert kept.read_text() == "mine"
    capsys.readouterr()


def test_errors_take_one_line_and_debug_shows_the_traceback(tmp_path, capsys):
    words = ["demo", "--modules", "0", "--out", str(tmp_path / "new"), "--no-progress"]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("sklearn-codex: ")
    assert "n_modules" in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="n_modules"):
        main([*words, "--debug"])


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["--version"], 0), (["no"], 2)])
def test_exit_codes_of_the_command_line(words, code, capsys):
    assert main(words) == code
    capsys.readouterr()
