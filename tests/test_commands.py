"""The commands that fit a model file and ask it questions."""

import gzip
import io
import json
import sys

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from sklearn_codex import PreferenceRewardModel, load_model
from sklearn_codex._persistence.files import _import_skops_io
from sklearn_codex.cli import main
from sklearn_codex.cli._inputs import read_texts
from sklearn_codex.inspection._plotting import check_matplotlib
from sklearn_codex.report._console import Console

COMMANDS = [
    "audit",
    "convert",
    "fit",
    "score",
    "sample",
    "reward",
    "rerank",
    "rate",
    "frontier",
    "info",
    "demo",
]


def make_records():
    rng = np.random.RandomState(0)
    words = np.array(["the", "cat", "dog", "sat", "ran", "mat", "home", "fast"])

    def words_of(n):
        return " ".join(rng.choice(words, n))

    rows = [{"text": words_of(20)} for _ in range(20)]
    rows += [{"prompt": f"p{i}", "completion": words_of(8)} for i in range(20)]
    rows += [
        {"prompt": f"p{i}", "chosen": f"{words_of(6)} please", "rejected": f"{words_of(6)} never"}
        for i in range(40)
    ]
    return rows


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Fit a whole loop once; return the model file and its folder."""
    folder = tmp_path_factory.mktemp("commands")
    records = write(folder / "records.jsonl", make_records())
    words = ["fit", records, "--out", str(folder / "m.skops"), "--figures", str(folder / "f.json")]
    assert main(words) == 0
    return str(folder / "m.skops"), folder


@pytest.fixture(scope="module")
def reward_only(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reward")
    rows = [row for row in make_records() if "chosen" in row]
    prefs = folder / "prefs.jsonl.gz"
    prefs.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    words = ["fit", "--preferences", str(prefs), "--out", str(folder / "r.skops")]
    assert main([*words, "--figures", str(folder / "f.json")]) == 0
    return str(folder / "r.skops")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command, capsys):
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"sklearn-codex {command}" in printed.split("examples:")[1]


@pytest.mark.parametrize(
    "command", ["convert", "fit", "score", "sample", "reward", "rerank", "frontier", "info"]
)
def test_missing_arguments_are_a_wrong_command_line(command, capsys):
    assert main([command]) == 2
    assert "required" in capsys.readouterr().err


def test_fit_writes_a_loop_and_held_out_figures(fitted):
    model, folder = fitted
    loop = load_model(model)
    assert list(loop.named_steps_) == ["pretrain", "sft", "reward", "policy"]
    figures = json.loads((folder / "f.json").read_text())
    assert figures["n_train"] + figures["n_test"] == len(make_records())
    assert figures["preferences"]["accuracy"] == 1.0
    assert figures["perplexity"] > 1
    assert figures["objective"]["rlhf_loss"] == pytest.approx(
        -loop.named_steps_.policy.expected_reward_
    )


def test_fit_takes_a_file_a_kind(tmp_path, capsys):
    rows = make_records()
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(row["text"] + "\n" for row in rows if "text" in row))
    demonstrations = write(tmp_path / "d.jsonl", [row for row in rows if "completion" in row])
    preferences = write(tmp_path / "p.jsonl", [row for row in rows if "chosen" in row])
    words = ["fit", "--corpus", str(corpus), "--demonstrations", demonstrations]
    words += ["--preferences", preferences, "--out", str(tmp_path / "m.skops")]
    assert main([*words, "--tokenizer", "whitespace", "--test-size", "0"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["n_train"], figures["n_test"], figures["held_out"]) == (80, 0, False)


def as_conversation(row):
    def say(answer):
        return [
            {"role": "user", "content": row["prompt"]},
            {"role": "assistant", "content": answer},
        ]

    return {"chosen": say(row["chosen"]), "rejected": say(row["rejected"])}


def test_fit_reads_conversations_as_text(fitted, tmp_path, capsys):
    rows = [as_conversation(row) if "chosen" in row else row for row in make_records()]
    records = write(tmp_path / "records.jsonl", rows)
    assert main(["fit", records, "--out", str(tmp_path / "m.skops")]) == 0
    captured = capsys.readouterr()
    figures, expected = json.loads(captured.out), json.loads((fitted[1] / "f.json").read_text())
    counts = {"n_texts": 20, "n_demonstrations": 20, "n_rows": 40, "n_pairs": 40, "n_ties": 0}
    assert figures["read_as"][records].items() >= counts.items()
    assert figures.pop("read_as") != expected.pop("read_as")
    assert figures == expected
    lines = captured.err.splitlines()
    assert lines[0] == f"sklearn-codex: {records} read as: 20 texts, 20 demonstrations."
    assert "40 rows, 40 pairs" in lines[1]


def test_fit_learns_from_ties_soft_labels_and_weights(tmp_path, capsys):
    pairs = [("good day", "bad day", 1, 1), ("good", "day", 0.5, 4), ("bad day", "good", 0.2, 0.5)]
    pairs *= 2
    names = ("response_a", "response_b", "label", "sample_weight")
    rows = [dict(zip(names, pair, strict=True)) for pair in pairs]
    records = write(tmp_path / "r.jsonl", rows)
    for option in ([records], ["--preferences", records]):
        words = ["fit", *option, "--out", str(tmp_path / "m"), "--test-size", "0", "--force"]
        assert main([*words, "--min-count", "1", "--C", "1"]) == 0
        figures = json.loads(capsys.readouterr().out)
        assert (figures["preferences"]["n_pairs"], figures["preferences"]["n_ties"]) == (6, 2)
        reward = load_model(tmp_path / "m").named_steps_.reward
        X = np.array([row[:2] for row in pairs], dtype=object)
        vectorizer = FrozenEstimator(load_model(tmp_path / "m").vectorizer_)
        expected = PreferenceRewardModel(vectorizer=vectorizer).fit(
            X, [row[2] for row in pairs], sample_weight=[row[3] for row in pairs]
        )
        np.testing.assert_allclose(reward.coef_, expected.coef_, atol=1e-6)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"words": "a"},
            "line 2 has no preference. It has ['words']. A row needs either chosen an",
        ),
        ({"words": "a"}, "A text has the column text, a demonstration completion (and prompt)."),
        ({"text": "a", "completion": "b"}, "line 2 is of several kinds. It has ['text', 'completi"),
        ({"text": "a", "chosen": "b", "rejected": "c"}, "line 2 is of several kinds"),
        ({"completion": 3}, "line 2"),
        (
            {"completion": "a", "sample_weight": -1},
            "line 2 should have a number of at least 0 as s",
        ),
    ],
)
def test_rows_that_are_no_record_are_named(row, message, tmp_path, capsys):
    records = write(tmp_path / "r.jsonl", [{"text": "a b"}, row])
    assert main(["fit", records, "--out", str(tmp_path / "m")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"sklearn-codex: {records}, line 2 ")
    assert message in error
    assert error.count("\n") == 1


def test_texts_that_can_be_a_tree_are_said_to_be_texts(tmp_path, capsys):
    rows = [
        {"message_id": f"{i}", "parent_id": None, "role": "prompter", "text": "the cat sat"}
        for i in range(4)
    ]
    records = write(tmp_path / "r.jsonl", rows)
    words = ["--out", str(tmp_path / "m"), "--min-count", "1"]
    assert main(["fit", records, *words]) == 1
    error = capsys.readouterr().err
    assert f"{records}, line 1 can be a corpus record, with the column text, and a pref" in error
    assert "Say which: --corpus FILE or --preferences FILE." in error
    assert main(["fit", "--corpus", records, *words]) == 0
    read_as = json.loads(capsys.readouterr().out)["read_as"]
    assert read_as == {records: {"n_texts": 4}}
    # A text may well have a score.
    scored = write(tmp_path / "s.jsonl", [{"text": "the cat", "score": i} for i in range(4)])
    assert main(["fit", scored, *words, "--force"]) == 0
    assert json.loads(capsys.readouterr().out)["read_as"] == {scored: {"n_texts": 4}}


def test_demonstrations_are_no_preferences(tmp_path, capsys):
    rows = write(tmp_path / "r.jsonl", [{"completion": "a"}, {"completion": "b", "label": True}])
    assert main(["fit", "--demonstrations", rows, "--out", str(tmp_path / "m")]) == 1
    error = capsys.readouterr().err
    assert f"{rows}, line 2 is no demonstration, which has completion" in error
    assert "--preferences" in error


def test_empty_cells_of_a_table_of_all_kinds_do_not_count(tmp_path, capsys):
    table = tmp_path / "r.csv"
    table.write_text(
        "text,prompt,completion,chosen,rejected,sample_weight\n"
        "the cat,,,,,2\nthe dog,,,,,1\n,p,a dog,,,1\n,q,a cat,,,1\n"
        ",p,,the cat,a dog,3\n,q,,the dog,a mat,1\n,r,,a cat,the mat,1\n"
    )
    assert main(["fit", str(table), "--out", str(tmp_path / "m"), "--min-count", "1"]) == 0
    read_as = json.loads(capsys.readouterr().out)["read_as"][str(table)]
    assert (read_as["n_texts"], read_as["n_demonstrations"], read_as["n_pairs"]) == (2, 2, 3)


@pytest.mark.parametrize("option", [(), ("--demonstrations",)])
def test_rows_without_a_value_are_left_out_with_a_word(option, tmp_path, capsys):
    table = tmp_path / "r.csv"
    table.write_text("prompt,completion\n" + "p,the cat\nq,a dog\nr,the dog\ns,a cat\n,\n, \n")
    words = [*option, str(table), "--out", str(tmp_path / "m"), "--min-count", "1"]
    assert main(["fit", *words]) == 0
    out, told = capsys.readouterr()
    assert "4 demonstrations. 2 rows without any value, left out." in told
    counts = {"n_demonstrations": 4, "n_blank": 2}
    assert json.loads(out)["read_as"][str(table)].items() >= counts.items()


def test_one_pair_is_too_few_for_a_reward(tmp_path, capsys):
    records = write(tmp_path / "r.jsonl", [{"chosen": "a", "rejected": "b"}])
    words = ["fit", records, "--out", str(tmp_path / "m"), "--min-count", "1"]
    assert main(words) == 1
    assert "--test-size 0.25 holds out prompts of every kind" in capsys.readouterr().err
    assert main([*words, "--test-size", "0"]) == 1
    assert "One pair is left to fit the reward on" in capsys.readouterr().err


def test_fit_replaces_a_model_only_by_force(fitted, capsys):
    model, folder = fitted
    before = load_model(model).named_steps_.reward.C
    words = ["fit", str(folder / "records.jsonl"), "--out", model, "--C", "1"]
    assert main(words) == 1
    assert "--force" in capsys.readouterr().err
    assert before == load_model(model).named_steps_.reward.C
    other = ["--out", str(folder / "other.skops"), "--figures", str(folder / "f.json")]
    assert main([*words[:2], *other]) == 1
    assert not (folder / "other.skops").exists()
    capsys.readouterr()


def test_score_repeats_the_figures_of_fit_on_the_same_records(tmp_path, capsys):
    records = write(tmp_path / "r.jsonl", make_records())
    model = str(tmp_path / "m.skops")
    assert main(["fit", records, "--out", model, "--test-size", "0"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert main(["score", model, records]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores == {name: figures[name] for name in scores}


def test_score_of_preferences_alone(fitted, tmp_path, capsys):
    prefs = write(
        tmp_path / "p.jsonl",
        [
            {"response_a": "please", "response_b": "never", "label": 0.9},
            {"response_a": "please", "response_b": "never", "label": 0.5},
        ],
    )
    assert main(["score", fitted[0], "--preferences", prefs]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["preferences"]["n_pairs"] == 2
    assert scores["preferences"]["n_ties"] == 1
    assert scores["preferences"]["accuracy"] == pytest.approx((0.9 + 0.5) / 2)


def test_sample_writes_lines_that_a_seed_repeats(fitted, capsys):
    words = ["sample", fitted[0], "-n", "3", "--seed", "4"]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert first.count("\n") == 3
    assert main([*words, "--json"]) == 0
    lines = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert lines == first.splitlines()
    assert main([*words, "--stage", "pretrain"]) == 0
    assert capsys.readouterr().out != first


def test_reward_keeps_the_order_of_the_file(fitted, tmp_path, capsys, monkeypatch):
    texts = tmp_path / "t.txt"
    texts.write_text("the cat never\nthe cat please\n")
    assert main(["reward", fitted[0], str(texts)]) == 0
    printed = capsys.readouterr().out
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [row["text"] for row in rows] == ["the cat never", "the cat please"]
    assert rows[0]["reward"] < rows[1]["reward"]
    stdin = type("Stdin", (), {"buffer": io.BytesIO(texts.read_bytes())})
    monkeypatch.setattr("sys.stdin", stdin)
    out = tmp_path / "scored.jsonl"
    assert main(["reward", fitted[0], "-", "--out", str(out)]) == 0
    assert out.read_text() == printed
    assert main(["reward", fitted[0], str(texts), "--out", str(out)]) == 1
    capsys.readouterr()


def test_a_line_of_the_file_is_a_response(fitted, tmp_path, monkeypatch, capsys):
    texts = [
        "please\u2028never",
        "never\x85please\v",
        "a\x0cb\x1c",
        "please\rnever",
        "\u2029please",
    ]
    path = tmp_path / "lines.txt"
    path.write_bytes("\n".join(texts).encode())
    assert main(["reward", fitted[0], str(path)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.split("\n") if line]
    assert [row["text"] for row in rows] == texts
    assert main(["score", fitted[0], "--texts", str(path)]) == 0
    capsys.readouterr()
    stdin = type("Stdin", (), {"buffer": io.BytesIO(b"[1]")})
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["score", fitted[0], "-"]) == 1
    assert "standard input, record 0 should be a JSON record" in capsys.readouterr().err


def test_frontier_rises_as_kl_coef_falls(fitted, capsys):
    assert main(["frontier", fitted[0], "--points", "5"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "kl_coef,kl,expected_reward"
    table = np.array([row.split(",") for row in rows], dtype=float)
    assert table.shape == (5, 3)
    assert (np.diff(table, axis=0) * [-1, 1, 1] >= 0).all()
    assert main(["frontier", fitted[0], "--points", "5", "--json"]) == 0
    columns = json.loads(capsys.readouterr().out)
    assert np.allclose(np.column_stack(list(columns.values())), table, rtol=1e-6)


def test_frontier_of_a_searched_policy_is_that_of_its_reward(tmp_path, capsys):
    from sklearn_codex import (
        PPOPolicyOptimizer,
        PreferenceRewardModel,
        SFTRefiner,
        make_rlhf_pipeline,
        save_model,
    )

    policy = PPOPolicyOptimizer(max_iter=1, tol=0, random_state=0)
    loop = make_rlhf_pipeline(SFTRefiner(), PreferenceRewardModel(), policy).fit(make_records())
    save_model(loop, tmp_path / "ppo.skops")
    assert main(["frontier", str(tmp_path / "ppo.skops"), "--json"]) == 0
    columns = json.loads(capsys.readouterr().out)
    assert len(columns["kl"]) == 50
    assert np.all(np.diff(columns["expected_reward"]) >= 0)


def test_info_tells_the_stages(fitted, capsys):
    assert main(["info", fitted[0]]) == 0
    printed = capsys.readouterr().out
    assert "PreferenceRewardModel" in printed
    assert "please" in printed
    assert main(["info", fitted[0], "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert list(facts["stages"]) == ["pretrain", "sft", "reward", "policy"]
    assert facts["stages"]["reward"]["tokens"]["in favour"][0] == "please"
    assert facts["stages"]["policy"]["figures"]["optimality_gap"] == 0.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "{reward}"], "writes nothing"),
        (["frontier", "{reward}"], "takes a language model and a reward"),
        (["sample", "{loop}", "--stage", "sleep"], "no stage 'sleep'"),
        (["sample", "{loop}", "-n", "0"], "at least 1"),
        (["frontier", "{loop}", "--points", "1"], "at least 2"),
        (["info", "nothing.skops"], "found no file"),
        (["reward", "{loop}", "{loop}"], "is a model file of skops"),
        (["score", "{loop}"], "needs records"),
        (["fit", "--out", "x.skops"], "needs records"),
    ],
)
def test_errors_take_one_line(words, message, fitted, reward_only, capsys):
    words = [word.format(loop=fitted[0], reward=reward_only) for word in words]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("sklearn-codex: ")
    assert error.count("\n") == 1
    assert message in error


def test_a_model_of_another_package_is_refused(tmp_path, capsys):
    skops_io = pytest.importorskip("skops.io")
    path = tmp_path / "ridge.skops"
    skops_io.dump(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), path)
    for command in ("info", "sample", "frontier"):
        assert main([command, str(path)]) == 1
        error = capsys.readouterr().err
        assert "ridge.skops holds a Ridge, no model of sklearn-codex" in error
        assert error.count("\n") == 1


EXTRAS = {
    "rich": (Console, "console.py", "The command line needs the library rich"),
    "skops": (_import_skops_io, "io.py", "Model files need the library skops"),
    "matplotlib": (lambda: check_matplotlib("It"), "__init__.py", "It needs matplotlib, which is"),
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_only_a_missing_extra_is_said_to_be_missing(extra, tmp_path, monkeypatch):
    use, module, message = EXTRAS[extra]
    for name in [name for name in sys.modules if name.partition(".")[0] == extra]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(ImportError, match=message):
        use()
    monkeypatch.delitem(sys.modules, extra)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / extra).mkdir()
    (tmp_path / extra / "__init__.py").write_text("")
    for code, real in (
        ("import a_library_it_needs", "No module named 'a_library_it_needs'"),
        ("from os import no_such_name", "cannot import name 'no_such_name'"),
    ):
        (tmp_path / extra / module).write_text(code)
        with pytest.raises(ImportError, match=real):
            use()


def test_a_missing_file_is_named_without_its_number(tmp_path, capsys):
    assert main(["audit", str(tmp_path / "none.jsonl"), "--no-progress"]) == 1
    assert "none.jsonl: No such file or directory." in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_the_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"]) == 0
    described = capsys.readouterr().out.split("\n\n")[1]
    assert len(described) > 40
    assert max(map(len, described.splitlines())) < 80


def test_records_that_allow_no_stage_are_named(tmp_path, capsys):
    records = write(tmp_path / "r.jsonl", [{"words": "a b"}, {"words": "c"}])
    assert main(["fit", records, "--out", str(tmp_path / "m.skops"), "--test-size", "0"]) == 1
    assert "['words']" in capsys.readouterr().err
    assert not (tmp_path / "m.skops").exists()


def test_texts_come_from_lines_records_and_tables(tmp_path):
    path = tmp_path / "texts"
    path.write_bytes(gzip.compress(b"one\n\ntwo, three\n"))
    assert read_texts(str(path)) == ["one", "two, three"]
    path.write_text('{"text": "a\\nb"}\n{"completion": "c"}\n')
    assert read_texts(str(path)) == ["a\nb", "c"]
    path.write_text('[{"answer": "x"}]')
    assert read_texts(str(path), "answer") == ["x"]
    path.write_text('id,response\n1,"a\nb"\n')
    assert read_texts(str(path)) == ["a\nb"]
    with pytest.raises(ValueError, match="no text in --column answer"):
        read_texts(str(path), "answer")
    path.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        read_texts(str(path))
    path.write_text('{"text": "a"}\n{"text"\n')
    with pytest.raises(ValueError, match="line 2 is not one JSON record"):
        read_texts(str(path))
