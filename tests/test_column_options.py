"""Commands are told what columns hold, and answer in the terms of the command line."""

import argparse
import csv
import io
import json
import os
import threading

import numpy as np
import pytest

from sklearn_codex import load_model
from sklearn_codex._labels.conventions import convention_names
from sklearn_codex._layouts.given import Given, given_of, read_convention, write_convention
from sklearn_codex.cli import main
from sklearn_codex.datasets import read_preferences

WORDS = np.array(["the", "cat", "dog", "sat", "ran", "mat", "home", "fast"])
OPTIONS = ["--prompt", "question", "--response-a", "LEFT", "--response-b", "right"]
OPTIONS += ["--label", "Vote", "--convention", "1=a,2=b,0=tie"]


def make_votes(n=40):
    rng = np.random.RandomState(0)
    rows = []
    for i in range(n):
        vote = (1, 2, 0)[i % 3]
        texts = [" ".join(rng.choice(WORDS, 5)) + " please" * (vote == side) for side in (1, 2)]
        rows.append([f"q{i // 2}", *texts, vote, 1 + i % 2, f"ann{i % 3}", f"t{i // 8}"])
    return rows


@pytest.fixture(scope="module")
def votes(tmp_path_factory):
    path = tmp_path_factory.mktemp("votes") / "votes.csv"
    with path.open("w", newline="") as file:
        header = ["Question", "left", "right", "vote", "w", "who", "task"]
        csv.writer(file).writerows([header, *make_votes()])
    return str(path)


@pytest.fixture(scope="module")
def model(votes):
    out = votes.replace("votes.csv", "m.skops")
    figures = votes.replace("votes.csv", "f.json")
    assert main(["fit", votes, *OPTIONS, "--out", out, "--figures", figures]) == 0
    return out


def error_of(capsys, *words):
    """Return the one line of an error."""
    assert main([str(word) for word in words]) in (1, 2)
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    return captured.err


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def convert(path, *words):
    """Return the rows that ``convert`` writes as pairs."""
    out = f"{path}.jsonl"
    assert main(["convert", str(path), "--to", "pairs", "--out", out, *words]) == 0
    with open(out) as file:
        return [json.loads(line) for line in file]


def test_one_response_a_row_is_named(tmp_path, capsys):
    rows = [{"ask": "p", "txt": text, "val": val} for text, val in (("x", 1), ("y", 3), ("z", 3))]
    path = write_csv(tmp_path / "rated.csv", rows)
    found = convert(path, "--prompt", "ASK", "--response", "Txt", "--label", "val")
    better = {(r["response_a"], r["response_b"]) for r in found if r["label"] == 1}
    better |= {(r["response_b"], r["response_a"]) for r in found if r["label"] == 0}
    assert better == {("y", "x"), ("z", "x")}
    assert [r["label"] for r in found].count(0.5) == 1
    capsys.readouterr()
    assert "--response NAME and --label NAME" in error_of(capsys, "audit", path)
    error = error_of(capsys, "audit", path, "--response", "txt", "--chosen", "ask")
    assert "--response txt and --chosen ask do not go together" in error


def test_labels_of_several_people_are_named_with_commas(tmp_path, capsys):
    rows = [
        {"prompt": f"p{i}", "response_a": "x", "response_b": "y", "ann": a, "bob": b, "cid": c}
        for i, (a, b, c) in enumerate([("a", "b", "a"), ("b", "", "b"), ("tie", "a", "")])
    ]
    path = write_csv(tmp_path / "raters.csv", rows)
    found = convert(path, "--label", "ann,BOB, cid")
    assert [r["label"] for r in found] == pytest.approx([2 / 3, 0, 0.75])
    capsys.readouterr()
    error = error_of(capsys, "audit", path, "--label", "ann,bop")
    assert "no column 'ann,bop', which --label ann,bop names. 'bop' is no column." in error


def test_fit_and_score_read_named_columns(votes, model, capsys):
    data = read_preferences(
        votes, prompt="Question", response_a="left", response_b="right", label="vote",
        convention="one_two",
    )  # fmt: skip
    assert set(data.y) == {0, 0.5, 1}
    words = ["score", model, votes, *OPTIONS, "--weight", "w", "--annotator", "who", "--by", "task"]
    assert main(words) == 0
    captured = capsys.readouterr()
    figures = json.loads(captured.out)
    assert figures["preferences"]["n_pairs"] == 40
    assert figures["preferences"]["n_ties"] == 13
    read_as = figures["read_as"][votes]
    assert (read_as["n_rows"], read_as["n_groups"], read_as["n_annotators"]) == (40, 5, 3)
    assert captured.err.startswith(f"sklearn-codex: {votes} read as: ")
    assert "40 rows, 40 pairs" in captured.err
    margin = np.subtract(*(load_model(model).reward(data.X[:, side].tolist()) for side in (1, 2)))
    weight = [1, 2] * 20
    credit = 0.5 + (data.y - 0.5) * np.sign(margin)
    assert figures["preferences"]["accuracy"] == pytest.approx(np.average(credit, weights=weight))


def test_weights_count_in_a_fit(votes, tmp_path, capsys):
    rewards = []
    for name, words in (("plain", []), ("weighted", ["--weight", "w"])):
        out = str(tmp_path / name)
        assert main(["fit", votes, *OPTIONS, *words, "--out", out, "--test-size", "0"]) == 0
        rewards.append(load_model(out).reward(["please", "cat"]))
    assert not np.allclose(*rewards)
    capsys.readouterr()


def test_by_keeps_groups_on_one_side(votes, tmp_path, capsys):
    words = ["fit", votes, *OPTIONS, "--out", str(tmp_path / "m"), "--by", "task"]
    assert main(words) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["n_test"] == 8  # one task of five
    error = error_of(capsys, *words[:-1], "w", "--force", "--test-size", "0.9")
    assert "--test-size 0.9 holds out prompts" in error


def test_a_group_joins_prompts_that_share_it():
    from sklearn_codex.cli._models import _join

    records = [{"prompt": "a"}, {"prompt": " b"}, {"prompt": "b"}, {"prompt": "c"}, {}, {}]
    assert _join(records, [None] * 6) == [0, 1, 1, 2, 3, 4]
    assert _join(records, ["x", "x", None, "y", "y", None]) == [0, 0, 0, 1, 1, 2]


def test_reward_of_pairs_has_both(votes, model, capsys):
    words = [
        "reward",
        model,
        votes,
        *OPTIONS,
        "--weight",
        "w",
        "--annotator",
        "who",
        "--by",
        "task",
    ]
    assert main(words) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 40
    assert [row["label"] for row in rows[:3]] == [1, 0, 0.5]
    assert [row["sample_weight"] for row in rows[:2]] == [1, 2]
    assert [row["annotator"] for row in rows[:3]] == ["ann0", "ann1", "ann2"]
    assert [row["group"] for row in rows[::8]] == [0, 1, 2, 3, 4]
    reward = load_model(model).reward
    for row in rows:
        expected = reward([row["response_a"], row["response_b"]])
        assert [row["reward_a"], row["reward_b"]] == pytest.approx(expected)


def test_reward_of_chosen_and_rejected_keeps_their_names(model, tmp_path, capsys, monkeypatch):
    content = "prompt,chosen,rejected\nq,cat please,dog\nq,mat please,the\n"
    path = tmp_path / "p.csv"
    path.write_text(content)
    assert main(["reward", model, str(path)]) == 0
    printed = capsys.readouterr().out
    rows = [json.loads(line) for line in printed.splitlines()]
    assert [row["chosen"] for row in rows] == ["cat please", "mat please"]
    assert all(row["reward_chosen"] > row["reward_rejected"] for row in rows)
    monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": io.BytesIO(content.encode())}))
    assert main(["reward", model, "-"]) == 0
    captured = capsys.readouterr()
    assert captured.out == printed
    assert "standard input read as: " in captured.err
    assert main(["reward", model, str(path), "--column", "CHOSEN"]) == 0
    texts = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert texts == ["cat please", "mat please"]


@pytest.mark.parametrize(
    ("content", "n"), [("chosen,rejected\nplease,dog\n", 1), ("one\ntwo\n", 2)]
)
def test_reward_reads_a_pipe(content, n, model, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(content,), daemon=True)
    writer.start()
    assert main(["reward", model, str(pipe)]) == 0
    writer.join(10)
    assert len(capsys.readouterr().out.splitlines()) == n


def test_texts_are_no_pairs(model, tmp_path, capsys):
    path = tmp_path / "t.txt"
    path.write_text('Dear "cat, please\nchosen\n')
    assert main(["reward", model, str(path)]) == 0
    texts = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
    assert texts == ['Dear "cat, please', "chosen"]
    path.write_text("please")
    assert main(["reward", model, str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "please"
    path.write_text("prompt,chosen,rejected\n")
    assert f"{path} has a header and no record" in error_of(capsys, "reward", model, path)
    path.write_text("prompt,chosen,rejected\nq,only two\n")
    assert "line 2 should have 3 fields" in error_of(capsys, "reward", model, path)


def test_columns_of_the_audit(votes, tmp_path, capsys):
    for by in ("--by", "--groups"):
        words = ["audit", votes, *OPTIONS, by, "task", "--json", "--no-progress"]
        assert main(words) == 0
        sizes = json.loads(capsys.readouterr().out)["sizes"]
        assert (sizes["n_pairs"], sizes["n_groups"], sizes["n_ties"]) == (40, 5, 13)
    held_out = tmp_path / "held_out.csv"
    held_out.write_text("question,left,right,vote\nq0,a,b,1\nnew,a,b,2\n")
    assert main([*words, "--split", str(held_out)]) == 0
    assert json.loads(capsys.readouterr().out)["leakage"]["n_leaking"] == 1
    error = error_of(capsys, *words, "--split", "tsk")
    assert "--split tsk is neither a column of the data nor a file. Did you mean task?" in error


@pytest.mark.parametrize("command", ["audit", "fit", "score", "reward", "convert"])
def test_columns_that_are_not_there(command, votes, model, tmp_path, capsys):
    words = {
        "audit": ["audit", votes, "--no-progress", "--out", tmp_path / "a"],
        "fit": ["fit", "--preferences", votes, "--out", tmp_path / "m"],
        "score": ["score", model, "--preferences", votes],
        "reward": ["reward", model, votes],
        "convert": ["convert", votes, "--to", "pairs"],
    }[command]
    error = error_of(capsys, *words, *OPTIONS[:4], "--response-b", "rigth", *OPTIONS[6:])
    assert error.startswith(f"sklearn-codex: {votes}, line 2 has no column 'rigth', which")
    assert "--response-b rigth names. Did you mean 'right'?" in error
    error = error_of(capsys, *words, *OPTIONS[:-1], "1=a,2=b")
    assert f"{votes}, line 4: vote = 0 is not in the convention given" in error
    error = error_of(capsys, *words, *OPTIONS, "--weight", "task")
    assert f"{votes}, line 2 has task = 't0'. A weight is a number" in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["adit", "x"], "unknown command adit. Did you mean audit? There are: audit, "),
        (["audit", "x", "--lable", "y"], "audit: error: unknown option --lable. Did you mean --la"),
        (["sample", "m", "--order", "3"], "unknown option --order. See sklearn-codex sample --he"),
        (["audit", "--lable=y", "x"], "unknown option --lable. Did you mean --label?"),
        (["fit", "x", "--otu", "m"], "unknown option --otu. Did you mean --out?"),
        (["fit", "x", "--out", "m", "--tokenizer", "wrod"], "unknown --tokenizer wrod. Did you me"),
        (
            ["convert", "x", "--to", "parqet"],
            "unknown --to parqet. Did you mean parquet? There are",
        ),
        (["--versoin"], "sklearn-codex: error: unknown option --versoin. Did you mean --version?"),
        (["sample", "m", "-q"], "unknown option -q. See sklearn-codex sample --help."),
        (["info", "m", "n"], "unexpected argument n."),
        (
            ["audit", "x", "--convention", "-1=a"],
            "expected one argument. One that begins with - is",
        ),
        ([], "the following arguments are required: COMMAND. See sklearn-codex --help."),
    ],
)
def test_wrong_words_take_one_line(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("sklearn-codex")
    assert error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--C", "-2", "--C must be a float in the range (0.0, inf), got -2.0."),
        ("--kl-coef", "0", "--kl-coef must be a float"),
        ("--min-count", "0", "--min-count must be an int"),
        ("--test-size", "2", "--test-size is a share of the prompts, from 0 to below 1, got 2."),
    ],
)
def test_values_out_of_range_name_the_option(option, value, message, votes, tmp_path, capsys):
    texts = tmp_path / "t.txt"
    texts.write_text("the cat sat\nthe dog ran\n" * 4)
    words = ["fit", votes, *OPTIONS, "--corpus", texts, "--out", tmp_path / "m", option, value]
    assert message in error_of(capsys, *words)


def test_options_without_preferences_are_an_error(tmp_path, capsys):
    texts = tmp_path / "t.jsonl"
    texts.write_text('{"text": "the cat"}\n{"text": "the dog"}\n')
    for words in (["--label", "x"], ["--by", "task"], ["--convention", "index"]):
        error = error_of(capsys, "fit", texts, "--out", tmp_path / "m", *words)
        assert f"{texts} has no preferences, of which {' '.join(words)} tells something" in error


@pytest.mark.parametrize(
    ("word", "meanings"),
    [
        ("1=a,2=b,0=tie", {"1": 1, "2": 0, "0": 0.5}),
        ("1:1,2:0", {"1": 1, "2": 0}),
        (" yes = A , no = 0.25 ", {"yes": 1, "no": 0.25}),
        ("A=B=tie,A>B=a", {"A=B": 0.5, "A>B": 1}),
        ('{"a, b": "tie", "b": 0}', {"a, b": 0.5, "b": 0}),
        ("-1=b,1=a", {"-1": 0, "1": 1}),
    ],
)
def test_conventions_in_words(word, meanings):
    assert read_convention(word) == meanings
    assert read_convention(write_convention(meanings)) == meanings


@pytest.mark.parametrize("name", convention_names())
def test_conventions_by_name(name):
    assert read_convention(f" {name.upper()} ") == name
    assert read_convention("scale_5_1") == "scale_5_1"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("onetwo", r"--convention onetwo is no convention\. Did you mean one_two\? It is a name"),
        ("1=a,2", r"--convention 1=a,2 has '2', which is no label with its meaning"),
        ("=a", r"has '=a', which is no label"),
        ("1=a,2=x", r"has 'x' as a meaning. A label means a, b, tie, or a number from 0 to 1"),
        ("1=a,2=2", r"has '2' as a meaning"),
        ("1=a,1=b", r"two meanings of the label '1'"),
        ("", r"--convention '' is no convention"),
        ('{"a": 1', r"is no JSON object"),
    ],
)
def test_other_conventions_are_an_error(word, message):
    with pytest.raises(ValueError, match=message):
        read_convention(word)


def test_given_speaks_as_the_caller():
    command = Given(command=True)
    assert command.say("response_a", "left side") == "--response-a 'left side'"
    assert command.say("groups", "task") == "--by task"
    assert command.say("label", "-x") == "--label=-x"
    assert command.say("convention", {1: 1, 2: 0, "no one": 0.5}) == (
        "--convention '1=a,2=b,no one=tie'"
    )
    assert command.say("convention", {-1: 1}) == "--convention=-1=a"
    assert Given().say("response_a", "x") == 'response_a="x"'
    assert Given().say("convention", {1: 1.0}) == "convention={1: 1.0}"


def test_blank_names_are_an_error():
    arguments = argparse.Namespace(label=" ", by="task")
    with pytest.raises(ValueError, match="--label is the name of a column, got ' '"):
        given_of(arguments)
    given = given_of(argparse.Namespace(by="task", convention="index"))
    assert given == Given(groups="task", convention="index", command=True)


PYTHON = ("read_preferences", "sample_weight=", "convention=", 'label="', "pandas.", "RLHFPipeline")
PYTHON += ("record_train_test_split", "sklearn_codex.", "X[", "train_test", "balance_positions")
BAD_FILES = {
    "empty": "",
    "no-preference": "a,b\n1,2\n",
    "ragged": "prompt,chosen,rejected\na,b\n",
    "two-kinds": "chosen,rejected,response_a,response_b,label\nfine,dull,c,d,1\n",
    "label": "response_a,response_b,label\na,b,upper\n",
    "missing-label": "response_a,response_b,label\na,b,1\na,b,\n",
    "ambiguous": "response_0,response_1,choice\na,b,1\nb,a,0\n",
    "list": "[1, 2]",
    "number": "7",
    "damaged": '{"chosen": "a", "rejected": "b"}\n{"chosen": "a", "rej\n',
    "twice": '{"chosen": "a", "chosen": "b", "rejected": "c"}\n',
    "type": '{"chosen": 3, "rejected": "b"}\n',
    "null": '{"prompt": "p", "chosen": "a", "rejected": null}\n',
    "late": '{"chosen": "a", "rejected": "b"}\n{"chosen": "a", "rejected": null}\n',
    "messages": '{"chosen": [{"role": "user"}], "rejected": [{"role": "user"}]}\n',
    "one": '{"prompt": "p", "chosen": "a", "rejected": "b"}\n',
    "header": "prompt,chosen,rejected\n",
    "not-utf8": b"prompt,chosen,rejected\na,b,\xff\xfe\n",
    "gzip": b"\x1f\x8b\x08\x00 damaged",
    "weight": '{"chosen": "a", "rejected": "b", "sample_weight": -1}\n',
}


@pytest.mark.parametrize("command", ["audit", "fit", "preferences", "score", "convert"])
@pytest.mark.parametrize("name", BAD_FILES)
def test_errors_speak_of_the_file(name, command, model, tmp_path, capsys):
    path = tmp_path / f"{name}.x"
    content = BAD_FILES[name]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    words = {
        "audit": ["audit", path, "--json", "--no-progress"],
        "fit": ["fit", path, "--out", tmp_path / "m"],
        "preferences": ["fit", "--preferences", path, "--out", tmp_path / "m"],
        "score": ["score", model, path],
        "convert": ["convert", path, "--to", "trl"],
    }[command]
    code = main([str(word) for word in words])
    error = capsys.readouterr().err
    if name == "one" and command not in ("fit", "preferences"):
        assert code == 0
        return
    assert code == 1
    assert error.count("\n") == 1
    assert str(path) in error or "--test-size" in error
    assert not [word for word in PYTHON if word in error]
