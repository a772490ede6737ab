"""The demo as a newcomer meets it: what it says and writes, and that it can be run again."""

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest

from sklearn_codex import load_model
from sklearn_codex.cli import main
from sklearn_codex.cli._demo_files import DEMO, PICTURE
from sklearn_codex.cli._demo_verdict import judge_demo, verdict_of

SMALL = ["demo", "--modules", "5", "--no-progress", "--order", "1"]


@pytest.fixture(scope="module", params=["1", "3"], ids=["order 1", "order 3"])
def demo(request, tmp_path_factory):
    """Run a small demo once; return its folder and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    words = ["demo", "--modules", "10", "--order", request.param]
    run = subprocess.run(
        [sys.executable, "-m", "sklearn_codex", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return folder / "codex-demo", run.stdout


def test_the_demo_says_what_it_does_before_it_works(tmp_path, monkeypatch, capsys):
    from sklearn_codex.cli import _demo

    def stop(arguments):
        raise RuntimeError("work")

    monkeypatch.setattr(_demo, "run", stop)
    assert main([*SMALL, "--out", str(tmp_path / "new")]) == 1
    said = capsys.readouterr().out
    for word in ("M0", "M1", "R ", "M2", "Nothing is downloaded", "simulated", "new"):
        assert word in said
    assert "5 modules" in " ".join(said.split())


def test_the_demo_ends_with_a_verdict_a_picture_and_commands_that_run(demo, monkeypatch, capsys):
    out, said = demo
    monkeypatch.chdir(out.parent)
    end = said[said.index("Verdict") :]
    assert "PPO found the best policy there is" in end
    assert "codex-demo/frontier.png" in end
    assert (out / PICTURE).read_bytes().startswith(b"\x89PNG")
    commands = [line.strip() for line in end.splitlines() if line.startswith("  sklearn-codex ")]
    assert len(commands) == 6
    for command in commands[:-1]:
        words = shlex.split(command)[1:]
        quiet = [
            "--out",
            str(out.parent / "audit" / words[1].removesuffix(".jsonl")),
            "--no-progress",
        ]
        assert main([*words, *(quiet if words[0] == "audit" else [])]) == 0, command
        capsys.readouterr()
    assert commands[-1] == "sklearn-codex audit YOUR_FILE"


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


def test_the_demo_can_be_run_again(tmp_path, monkeypatch, capsys):
    out = tmp_path / "d"
    assert main([*SMALL, "--out", str(out)]) == 0
    first = json.loads((out / "figures.json").read_text("utf-8"))
    (out / "notes.txt").write_text("mine")
    assert main([*SMALL, "--out", str(out), "--seed", "1"]) == 0
    assert json.loads((out / "figures.json").read_text("utf-8")) != first
    assert (out / "notes.txt").read_text() == "mine"
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    capsys.readouterr()
    assert main([*SMALL, "--out", str(out)]) == 0
    assert "matplotlib is missing (the extra plot)" in " ".join(capsys.readouterr().out.split())
    assert not (out / PICTURE).exists()  # it would be of the last run


def figures_of(credits, share=1.0, rates=(0.01, 0.001)):
    names = ("PreferenceRewardModel", "length only", "the simulated annotator itself")
    return {
        "reward": {
            name: {"accuracy": float(np.mean(margin > 0))}
            for name, margin in zip(names, credits, strict=True)
        },
        "policy": {
            "objective/optimality_gap": {"before": 4.0, "after": 4 * (1 - share)},
            "share_of_optimum": share,
            "rules/unsafe_code/rate": dict(zip(("before", "after"), rates, strict=True)),
        },
    }


def judge(p_model, seed, n=200, **options):
    rng = np.random.RandomState(seed)
    credits = [np.where(rng.uniform(size=n) < p, 1.0, -1.0) for p in (p_model, 0.5, 0.9)]
    figures = figures_of(credits, **options)
    margins = dict(zip(figures["reward"], credits, strict=True))
    return judge_demo(figures, margins, [f"p{i // 2}" for i in range(n)])


def test_the_verdict_follows_the_figures():
    good = judge(0.8, 0)
    assert [statement.holds for statement in good] == [True, True, True]
    assert verdict_of(good).startswith("the loop works")
    for statements, position, said in (
        (judge(0.5, 1), 0, "is not shown (p = "),
        (judge(0.8, 0, share=0.5), 1, "PPO stopped at 50 % of what there was to gain"),
        (judge(0.8, 0, rates=(0.01, 0.01)), 2, "The rule changed nothing"),
    ):
        assert [s.holds for s in statements] == [i != position for i in range(3)]
        assert said in statements[position].text
        assert verdict_of(statements) == "not all of it worked; see what is marked !."


def test_a_rule_with_nothing_to_forbid_is_no_failure():
    statements = judge(0.8, 0, rates=(0.0, 0.0))
    assert [statement.holds for statement in statements] == [True, True, None]
    assert "had nothing to forbid" in statements[2].text
    assert verdict_of(statements).startswith("the loop works; what is marked -")
    assert verdict_of([*statements, *judge(0.8, 0, share=0.5)]).startswith("not all of it worked")
    # It has then done harm.
    assert judge(0.8, 0, rates=(0.0, 0.1))[2].holds is False


def test_a_reward_of_coins_is_seldom_said_to_have_learned():
    # One side of a test at 5 %.
    said = sum(judge(0.5, seed)[0].holds for seed in range(400))
    assert said <= 20
