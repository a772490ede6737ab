"""Models of n-grams from the command line: fit --order, sample --prompt, info, score."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from test_commands import make_records, write

from sklearn_codex import (
    ExactPolicyOptimizer,
    NGramLM,
    RLOOPolicyOptimizer,
    load_model,
    save_model,
)
from sklearn_codex.cli import main
from sklearn_codex.cli._inputs import read_texts
from sklearn_codex.cli._models import frontier_of
from sklearn_codex.exact import LengthExplosionWarning
from sklearn_codex.rules import BannedTokens, Pattern


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
    # Of several prompts each line says which.
    assert main([*words, "--prompt", "the  cat", "--prompt", "a dog"]) == 0
    told = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert told == [[row["prompt"], row["text"]] for row in rows]
    lines = tmp_path / "prompts.txt"
    lines.write_text("the cat\n\na dog\n")
    table = write(tmp_path / "prompts.jsonl", [{"prompt": prompt, "x": 1} for prompt in prompts])
    for file in (str(lines), table):
        assert main([*words, "--prompts", file, "--json"]) == 0
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows


def test_prompts_of_a_file_are_one_column(fitted, tmp_path, capsys):
    words = ["sample", fitted[0], "-n", "1", "--json", "--prompts"]
    rows = [{"text": "a dog"}, {"prompt": "the cat", "text": "sat"}, {"text": "on"}]
    assert main([*words, write(tmp_path / "mixed.jsonl", rows)]) == 0
    said = capsys.readouterr()
    assert [json.loads(line)["prompt"] for line in said.out.splitlines()] == ["the cat"]
    assert "Records without prompt, left out: 2 of 3." in said.err
    assert main([*words, write(tmp_path / "texts.jsonl", rows[::2])]) == 0
    said = capsys.readouterr()
    assert [json.loads(line)["prompt"] for line in said.out.splitlines()] == ["a dog", "on"]
    assert said.err == ""


def test_sample_tells_of_documents_without_a_token(tmp_path, capsys):
    rows = [{"text": "a b"}] * 50 + [{"text": "b a"}]
    file = write(tmp_path / "r.jsonl", rows)
    out = str(tmp_path / "m.skops")
    words = ["--order", "2", "--test-size", "0", "--min-count", "1", "--tokenizer", "whitespace"]
    assert main(["fit", file, "--out", out, "--prior-strength", "1", *words]) == 0
    capsys.readouterr()
    assert main(["sample", out, "-n", "9", "--prompt", "a b"]) == 0
    said = capsys.readouterr()
    n_empty = said.out.split("\n")[:9].count("")
    assert n_empty > 0
    assert f"lines have no text: {n_empty} of 9" in said.err
    assert main(["sample", out, "-n", "9", "--prompt", "a b", "--json"]) == 0
    assert capsys.readouterr().err == ""


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
    # Neither old names of parameters, nor those without a use.
    assert facts["stages"]["sft"]["parameters"] == {"prior_strength": loop["sft"].prior_strength}
    assert facts["stages"]["pretrain"]["parameters"] == {"order": 3, "smoothing": "kneser-ney"}


def test_info_tells_the_strength_of_a_dirichlet_prior(tmp_path, capsys):
    base = NGramLM(2, smoothing="dirichlet", prior_strength=3).fit(["a b", "b a"])
    save_model(base, tmp_path / "base.skops")
    assert main(["info", str(tmp_path / "base.skops"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["stages"]["model"]["parameters"]
    assert shown == {"order": 2, "smoothing": "dirichlet", "prior_strength": 3}


def test_frontier_of_n_grams(fitted, capsys):
    assert main(["frontier", fitted[0], "--points", "3"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "kl_coef,kl,expected_reward"
    table = np.array([row.split(",") for row in rows], dtype=float)
    assert (np.diff(table, axis=0) * [-1, 1, 1] >= 0).all()


@pytest.fixture(scope="module")
def above_policy(fitted):
    """What a policy of the loop is fitted on: the reference, the reward, demonstrations."""
    loop = load_model(fitted[0])
    rows = [row for row in make_records() if "completion" in row]
    data = {"X": [row["completion"] for row in rows], "prompts": [row["prompt"] for row in rows]}
    return FrozenEstimator(loop["sft"]), FrozenEstimator(loop["reward"]), data


@pytest.mark.parametrize("reward_coef", [1.0, 2.5])
def test_frontier_of_n_grams_prices_the_rules(above_policy, reward_coef):
    """Each point is a fit of its own whose rules cost as much reward as in the first."""
    policy, reward, data = above_policy
    settings = {"reward_coef": reward_coef, "kl_coef": 0.7}

    def fit(penalty, **changed):
        rules = [BannedTokens(["cat", "sat"], penalty=penalty)]
        model = ExactPolicyOptimizer(policy, reward, rules=rules, **settings | changed)
        return model.fit(**data)

    fitted_policy = fit(0.4)
    columns = frontier_of(fitted_policy, 4)
    assert list(columns) == ["kl_coef", "kl", "expected_reward", "expected_reward_less_rules"]
    for kl_coef, kl, expected, less_rules in zip(*columns.values(), strict=True):
        # A penalty is in nats, which cost kl_coef each.
        other = fit(0.4 * 0.7 / kl_coef, kl_coef=kl_coef)
        found = other.evaluate(other)
        assert kl == pytest.approx(other.kl_, rel=1e-6, abs=1e-9)
        assert expected == pytest.approx(other.expected_reward_, rel=1e-6)
        in_reward = found.penalty * kl_coef / reward_coef
        assert less_rules == pytest.approx(expected - in_reward, rel=1e-6)
    # Concave, with slope kl_coef / reward_coef: no step up is steeper than at its beginning.
    slopes = np.diff(columns["expected_reward_less_rules"]) / np.diff(columns["kl"])
    kl_coef = np.array(columns["kl_coef"]) / reward_coef
    assert (slopes <= kl_coef[:-1] * (1 + 1e-6)).all()
    assert (slopes >= kl_coef[1:] * (1 - 1e-6)).all()


def test_frontier_of_n_grams_keeps_bounds_and_refuses_what_it_cannot_price(above_policy):
    policy, reward, data = above_policy
    rules = [BannedTokens(["cat"], max_rate=0.2)]
    bounded = ExactPolicyOptimizer(policy, reward, rules=rules).fit(**data)
    columns = frontier_of(bounded, 3)
    for kl_coef, kl in zip(columns["kl_coef"], columns["kl"], strict=True):
        other = clone(bounded).set_params(kl_coef=kl_coef).fit(**data)
        assert kl == pytest.approx(other.kl_, rel=1e-5, abs=1e-8)
    assert columns["expected_reward_less_rules"] == pytest.approx(columns["expected_reward"])
    long = Pattern("cat.*cat", name="long")
    sampled = RLOOPolicyOptimizer(policy, reward, rules=[long], max_iter=1, tol=0)
    with pytest.raises(ValueError, match=r"so do rules, which \['long'\] do not"):
        frontier_of(sampled.fit(**data), 3)


def test_the_strength_of_the_prior_is_chosen_by_demonstrations_not_seen(tmp_path, capsys):
    """With a base of something else the prior has to be weak, with one of the same it may stay."""
    rng = np.random.RandomState(0)

    def say(words, n):
        return [" ".join(rng.permutation(words)) for _ in range(n)]

    here, there = say(["a", "b", "c"], 60), say(["b", "c", "d"], 60)
    chosen = {}
    for name, texts in (("same", say(["b", "c", "d"], 2000)), ("other", here)):
        rows = [{"text": text} for text in texts]
        rows += [{"prompt": f"p{i}", "completion": text} for i, text in enumerate(there)]
        words = ["fit", write(tmp_path / "r.jsonl", rows), "--order", "2", "--test-size", "0"]
        assert main([*words, "--out", str(tmp_path / "m.skops"), "--force"]) == 0
        chosen[name] = json.loads(capsys.readouterr().out)["prior_strength"]
        loop = load_model(tmp_path / "m.skops")
        assert loop["sft"].prior_strength == chosen[name]
    assert chosen["other"] < 100 <= chosen["same"]


def test_the_strength_of_the_prior_is_what_it_was_where_nothing_is_chosen(tmp_path, capsys):
    rows = [row for row in make_records() if "chosen" not in row]
    one = [{"text": "the cat sat"}, {"text": "a dog"}, {"prompt": "p", "completion": "the cat"}]
    for records, words, expected in (
        (rows, [], 1000.0),
        (rows, ["--order", "2", "--prior-strength", "7"], 7.0),
        (one, ["--order", "2"], 1000.0),
    ):
        file = write(tmp_path / "r.jsonl", records)
        out = ["--out", str(tmp_path / "m.skops"), "--force", "--test-size", "0"]
        assert main(["fit", file, *out, "--min-count", "1", *words]) == 0
        assert load_model(tmp_path / "m.skops")["sft"].prior_strength == expected
    assert main(["fit", file, *out, "--prior-strength", "strong"]) == 2
    assert "--prior-strength: a number of tokens or auto, got 'strong'" in capsys.readouterr().err


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
        (["--smoothing", "kneser-ney"], "has none of. Pass a number, or --order 2 or more."),
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


def test_rewards_of_a_file_of_both_kinds(fitted, capsys):
    """Texts first, preferences behind them: the error says what reads either."""
    file = str(fitted[1] / "records.jsonl")
    assert main(["reward", fitted[0], file]) == 1
    error = capsys.readouterr().err
    rows = make_records()
    line = next(at for at, row in enumerate(rows, start=1) if "chosen" in row)
    assert f"records.jsonl, line {line} is a preference, with ['prompt', 'chosen'" in error
    assert "score the file whole" in error
    assert main(["score", fitted[0], file]) == 0
    own = write(fitted[1] / "pairs.jsonl", [row for row in rows if "chosen" in row])
    assert main(["reward", fitted[0], own]) == 0
    capsys.readouterr()


def test_rewards_of_pairs_are_of_responses_after_their_prompts(fitted, tmp_path, capsys):
    rows = [row for row in make_records() if "chosen" in row][:5]
    assert main(["reward", fitted[0], write(tmp_path / "p.jsonl", rows)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    loop = load_model(fitted[0])
    for side in ("chosen", "rejected"):
        records = [{"prompt": row["prompt"], "completion": row[side]} for row in rows]
        assert [row[f"reward_{side}"] for row in found] == pytest.approx(loop.reward(records))
