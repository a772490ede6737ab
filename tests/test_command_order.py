"""Models of n-grams from the command line: fit --order, sample --prompt, info, score."""

import json

import numpy as np
import pytest
from test_commands import make_records, write

from sklearn_codex import load_model
from sklearn_codex.cli import main
from sklearn_codex.cli._inputs import read_texts
from sklearn_codex.exact import LengthExplosionWarning


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Fit the whole loop of order 3 once; return the model file and its folder."""
    folder = tmp_path_factory.mktemp("order")
    records = write(folder / "records.jsonl", make_records())
    words = ["fit", records, "--order", "3", "--out", str(folder / "m.skops")]
    assert main([*words, "--figures", str(folder / "f.json"), "--test-size", "0"]) == 0
    return str(folder / "m.skops"), folder


def test_fit_makes_models_of_the_order(fitted):
    loop = load_model(fitted[0])
    assert [loop[name].trie_.order for name in ("pretrain", "sft", "policy")] == [3, 3, 3]
    assert loop["pretrain"].smoothing == "kneser-ney"
    assert loop.vectorizer_.eos_index_ is not None
    assert loop.memory is None
    assert loop["policy"].optimality_gap_ == 0.0
    figures = json.loads((fitted[1] / "f.json").read_text())
    demonstrations = [row for row in make_records() if "completion" in row]
    # Figures are of completions behind their prompts.
    assert figures["perplexity"] == pytest.approx(loop.perplexity(demonstrations))
    margins = [
        loop.reward([{"prompt": r["prompt"], "completion": r[side]} for r in make_records()[40:]])
        for side in ("chosen", "rejected")
    ]
    expected = np.mean(margins[0] > margins[1])
    assert figures["preferences"]["accuracy"] == pytest.approx(expected)


def test_score_repeats_the_figures_of_fit(fitted, capsys):
    assert main(["score", fitted[0], str(fitted[1] / "records.jsonl")]) == 0
    scores = json.loads(capsys.readouterr().out)
    figures = json.loads((fitted[1] / "f.json").read_text())
    assert scores == {name: figures[name] for name in scores}


def test_sample_goes_on_from_prompts(fitted, tmp_path, capsys):
    loop = load_model(fitted[0])
    words = ["sample", fitted[0], "-n", "2", "--seed", "3"]
    assert main([*words, "--prompt", "the cat", "--prompt", "a dog", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    prompts = ["the cat", "a dog"]
    assert [row["prompt"] for row in rows] == ["the cat", "the cat", "a dog", "a dog"]
    assert [row["text"] for row in rows] == loop.sample(2, 3, prompts=prompts)
    assert main([*words, "--prompt", "the cat", "--stage", "sft"]) == 0
    drawn = loop["sft"].sample(2, 3, prompts=["the cat"])
    assert capsys.readouterr().out.splitlines() == [" ".join(text.split()) for text in drawn]
    lines = tmp_path / "prompts.txt"
    lines.write_text("the cat\n\na dog\n")
    table = write(tmp_path / "prompts.jsonl", [{"prompt": prompt, "x": 1} for prompt in prompts])
    for file in (str(lines), table):
        assert main([*words, "--prompts", file, "--json"]) == 0
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows


def test_prompts_of_records_are_their_column(tmp_path):
    file = write(tmp_path / "held_out.jsonl", [{"prompt": "p", "completion": "c"}])
    assert read_texts(file, columns=("prompt", "text")) == ["p"]
    other = write(tmp_path / "other.jsonl", [{"completion": "c"}])
    with pytest.raises(ValueError, match="no text in one of prompt, text"):
        read_texts(other, columns=("prompt", "text"))


def test_info_tells_the_order(fitted, capsys):
    assert main(["info", fitted[0]]) == 0
    assert "of order 3" in " ".join(capsys.readouterr().out.split())
    assert main(["info", fitted[0], "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    loop = load_model(fitted[0])
    assert facts["order"] == 3
    assert facts["vocabulary"] == loop.vectorizer_.trie_.n_tokens
    assert facts["stages"]["sft"]["figures"]["n_ngrams"] == loop["sft"].trie_.n_arcs


def test_frontier_of_n_grams(fitted, capsys):
    assert main(["frontier", fitted[0], "--points", "3"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    table = np.array([row.split(",") for row in rows], dtype=float)
    assert (np.diff(table, axis=0) * [-1, 1, 1] >= 0).all()


def make_paid_by_length():
    """Return records whose longer responses are preferred."""
    rows = [row for row in make_records() if "chosen" not in row]
    pairs = [("cat " * (3 + i % 4) + "sat", "cat sat") for i in range(40)]
    return rows + [
        {"prompt": f"p{i}", "chosen": a, "rejected": b} for i, (a, b) in enumerate(pairs)
    ]


@pytest.mark.filterwarnings("error::sklearn_codex.exact.LengthExplosionWarning")
def test_length_stays_finite_unless_told_otherwise(tmp_path, capsys):
    records = write(tmp_path / "r.jsonl", make_paid_by_length())
    words = ["fit", records, "--order", "2", "--C", "10", "--test-size", "0"]
    assert issubclass(LengthExplosionWarning, UserWarning)
    assert main([*words, "--kl-coef", "0.1", "--out", str(tmp_path / "a.skops")]) == 1
    error = capsys.readouterr().err
    assert "--kl-coef 0.1 is too small: the reward pays for length" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "a.skops").exists()
    assert main([*words, "--out", str(tmp_path / "m.skops")]) == 0
    capsys.readouterr()
    policy = load_model(tmp_path / "m.skops")["policy"]
    safe = float(error.split("Set it above ")[1].split(",")[0])
    assert policy.kl_coef_ == pytest.approx(2 * safe, rel=1e-3)
    assert policy.max_length_ is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--order", "0"], "--order must be an int in the range [1, 100], got 0."),
        (["--min-ngram-count", "2"], "--min-ngram-count 2 is of n-grams, which --order 1 has none"),
        (["--order", "2", "--smoothing", "nothing"], "--smoothing must be"),
        (["--smoothing", "nothing"], "--smoothing must be"),
        (["--order", "2", "--min-ngram-count", "0"], "--min-ngram-count must be"),
    ],
)
def test_errors_of_fit_are_in_its_own_words(words, message, tmp_path, capsys):
    records = write(tmp_path / "r.jsonl", make_records())
    assert main(["fit", records, "--out", str(tmp_path / "m.skops"), *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_options_of_n_grams_reach_the_models(tmp_path, capsys):
    records = write(tmp_path / "r.jsonl", [row for row in make_records() if "chosen" not in row])
    words = ["fit", records, "--out", str(tmp_path / "m.skops"), "--min-count", "1"]
    words += ["--order", "2", "--smoothing", "witten-bell", "--min-ngram-count", "3"]
    assert main(words) == 0
    loop = load_model(tmp_path / "m.skops")
    assert [name for name, _ in loop.steps_] == ["pretrain", "sft"]
    assert loop["pretrain"].smoothing == "witten-bell"
    assert loop.vectorizer_.min_ngram_count == 3
    assert main([*words, "--smoothing", "0.5", "--force"]) == 0
    assert load_model(tmp_path / "m.skops")["pretrain"].smoothing == 0.5
    capsys.readouterr()


def test_a_model_of_order_1_takes_no_prompts(tmp_path, capsys):
    records = write(tmp_path / "r.jsonl", make_records())
    assert main(["fit", records, "--out", str(tmp_path / "m.skops")]) == 0
    capsys.readouterr()
    assert main(["sample", str(tmp_path / "m.skops"), "--prompt", "the cat"]) == 1
    assert "of order 1 writes the same after every prompt" in capsys.readouterr().err


def test_rewards_of_pairs_are_of_responses_after_their_prompts(fitted, tmp_path, capsys):
    rows = [row for row in make_records() if "chosen" in row][:5]
    assert main(["reward", fitted[0], write(tmp_path / "p.jsonl", rows)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    loop = load_model(fitted[0])
    for side in ("chosen", "rejected"):
        records = [{"prompt": row["prompt"], "completion": row[side]} for row in rows]
        assert [row[f"reward_{side}"] for row in found] == pytest.approx(loop.reward(records))
