"""The command rate: what it reads, what it prints and writes, and what it refuses."""

import csv
import io
import json

import numpy as np
import pytest

from sklearn_codex import ModelRatings
from sklearn_codex.cli import main

NAMES = ["ant", "bee", "cat"]


def draw(n=240, seed=0):
    """Votes as (a, b, y, voter, prompt)."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        a, b = rng.choice(3, size=2, replace=False)
        y = rng.choice([1.0, 0.5, 0.0], p=[0.5, 0.2, 0.3] if a < b else [0.3, 0.2, 0.5])
        rows.append((NAMES[a], NAMES[b], y, int(rng.integers(20)), int(rng.integers(30))))
    return rows


VOTES = draw()


def expected(ties="half", groups=3, **options):
    X = [row[:2] for row in VOTES]
    y = [row[2] for row in VOTES]
    model = ModelRatings(ties, random_state=0, **options)
    return model.fit(X, y, groups=None if groups is None else [row[groups] for row in VOTES])


def write_csv(path, header, rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n")
    return str(path)


@pytest.fixture
def arena(tmp_path):
    words = {1.0: "model_a", 0.5: "tie", 0.0: "model_b"}
    rows = [(a, b, words[y], f"w{who}", f"p{prompt}") for a, b, y, who, prompt in VOTES]
    return write_csv(
        tmp_path / "arena.csv", ("model_a", "model_b", "winner", "judge", "prompt"), rows
    )


def rate(capsys, *words, out):
    assert main(["rate", *map(str, words), "--out", str(out), "--force"]) == 0
    shown = capsys.readouterr()
    if str(out).endswith(".json"):
        return json.loads(out.read_text()), shown
    return list(csv.DictReader(io.StringIO(out.read_text()))), shown


def ratings_of(found):
    return {row["model"]: (row["rating"], row["std"], row["rank_high"]) for row in found["ratings"]}


def test_votes_without_responses_are_rated_by_who_gave_them(arena, capsys, tmp_path):
    found, shown = rate(capsys, arena, out=tmp_path / "r.json")
    table = expected().table()
    assert [row["model"] for row in found["ratings"]] == table["model"].tolist()
    for name in ("rating", "std", "low", "high", "rank_low", "rank_high", "n"):
        assert [row[name] for row in found["ratings"]] == pytest.approx(table[name].tolist())
    assert found["groups"] == "annotator"
    assert found["n_groups"] == 20
    assert "3 models, 240 votes" in shown.out
    assert "20 annotators" in shown.out
    assert "read as: two responses and a label; 240 rows" in shown.err
    first = shown.out.splitlines()[4].split()
    assert first[0] == table["model"][0]
    assert first[1] == f"{table['rating'][0]:.2f}"


@pytest.mark.parametrize("ties", ["davidson", "rao-kupper"])
def test_ties_scale_anchor_and_level(arena, capsys, tmp_path, ties):
    words = ("--ties", ties, "--scale", "elo", "--anchor", "bee=1200", "--level", "0.8")
    found, shown = rate(capsys, arena, *words, "--position", out=tmp_path / "r.json")
    model = expected(ties, position_bias=True, confidence_level=0.8)
    table = model.table(scale="elo", anchor=("bee", 1200))
    assert [row["low"] for row in found["ratings"]] == pytest.approx(table["low"].tolist())
    assert found["tie_parameter"] == pytest.approx(model.tie_parameter_)
    assert found["position_bias"] == pytest.approx(model.position_bias_)
    theta = model.tie_parameter_
    share = theta / (2 + theta) if ties == "davidson" else (theta - 1) / (theta + 1)
    assert f"Parameter of ties: {theta:.3f}, {share:.0%} of votes on two models of" in shown.out


def test_groups_are_what_by_says_else_annotators_else_prompts(arena, capsys, tmp_path):
    found, shown = rate(capsys, arena, "--by", "prompt", out=tmp_path / "r.json")
    assert found["n_groups"] == 30
    assert "Groups: 30 of prompt." in shown.out
    stds = [row["std"] for row in found["ratings"]]
    assert stds == pytest.approx(expected(groups=4).table()["std"].tolist())
    rows = [(a, b, y, prompt) for a, b, y, _, prompt in VOTES]
    path = write_csv(tmp_path / "v.csv", ("model_a", "model_b", "label", "prompt"), rows)
    found, _ = rate(capsys, path, out=tmp_path / "r.json")
    assert (found["groups"], found["n_groups"]) == ("prompt", 30)
    path = write_csv(tmp_path / "w.csv", ("model_a", "model_b", "label"), [r[:3] for r in rows])
    found, shown = rate(capsys, path, out=tmp_path / "r.json")
    assert (found["groups"], found["n_groups"]) == ("row", 240)


@pytest.mark.parametrize(
    ("said", "groups", "n_groups", "note"),
    [
        (lambda who, prompt: ("ann", prompt), "prompt", 30, "of one annotator, so"),
        (lambda who, prompt: (who, "p"), "annotator", 20, None),
        (lambda who, prompt: ("ann", "p"), "vote", 240, "of one annotator and one prompt, so"),
    ],
)
def test_one_annotator_or_one_prompt_is_rated_by_what_there_is_more_of(
    capsys, tmp_path, said, groups, n_groups, note
):
    rows = [(a, b, y, *said(who, prompt)) for a, b, y, who, prompt in VOTES]
    header = ("model_a", "model_b", "label", "annotator", "prompt")
    path = write_csv(tmp_path / "v.csv", header, rows)
    found, shown = rate(capsys, path, out=tmp_path / "r.json")
    assert (found["groups"], found["n_groups"]) == (groups, n_groups)
    assert (note is None and "All votes are" not in shown.err) or note in shown.err
    ways = [name for name, i in (("annotator", 3), ("prompt", 4)) if len({r[i] for r in rows}) == 1]
    for by in (*ways, "annotator,prompt"):
        assert main(["rate", str(path), "--by", by]) == 1
        one = by if by in ways else ways[0]
        assert f"--by {one} needs several groups, since" in capsys.readouterr().err


def test_lists_of_votes_are_a_vote_each(capsys, tmp_path):
    cells = {}
    for a, b, y, who, _ in VOTES:
        cells.setdefault((a, b), []).append((y, who))
    lines = [
        {"left": a, "right": b, "label": np.mean([y for y, _ in votes]), "prompt": "p",
         "votes": [y for y, _ in votes], "workers": [who for _, who in votes]}
        for (a, b), votes in cells.items()
    ]  # fmt: skip
    path = tmp_path / "crowd.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    sides = ("--model-a", "left", "--model-b", "right", "--label", "label")
    words = (*sides, "--votes", "votes", "--annotator", "workers", "--ties", "davidson")
    found, shown = rate(capsys, path, *words, out=tmp_path / "r.json")
    table = expected("davidson").table()
    for name in ("rating", "std"):
        assert [row[name] for row in found["ratings"]] == pytest.approx(
            table[name].tolist(), rel=1e-5
        )
    assert "240 votes of the lists in votes" in shown.err
    assert main(["rate", str(path), *sides, "--annotator", "workers"]) == 1
    assert "Name the column of the votes" in capsys.readouterr().err
    assert main(["rate", str(path), *sides, "--ties", "davidson"]) == 1
    assert "labels are between" in capsys.readouterr().err


def test_groups_of_two_ways(arena, capsys, tmp_path):
    X, y = [row[:2] for row in VOTES], [row[2] for row in VOTES]
    model = ModelRatings(random_state=0).fit(X, y, groups=[row[3:][::-1] for row in VOTES])
    for by in ("prompt,judge", "prompt, annotator", "judge,prompt"):
        found, shown = rate(capsys, arena, "--by", by, out=tmp_path / "r.json")
        stds = [row["std"] for row in found["ratings"]]
        assert stds == pytest.approx(model.table()["std"].tolist())
        assert found["n_groups"] == 20
    assert "Groups: 20 of judge, 30 of prompt." in shown.out
    _, shown = rate(capsys, arena, out=tmp_path / "r.json")
    assert "20 annotators; for votes on one prompt as dependent too, --by prompt,annotator" in (
        shown.out
    )


BAD = [*VOTES, *[(a, b, -1.0, who, p) for a, b, _, who, p in VOTES[:60]]]
SAID = {1.0: "model_a", 0.5: "tie", 0.0: "model_b", -1.0: "tie (bothbad)"}


def both_bad_file(tmp_path, kind):
    """Votes as one label, as one-hot columns, or in lists."""
    header = ("model_a", "model_b", "judge", "prompt")
    rows = [(a, b, f"w{who}", f"p{prompt}") for a, b, _, who, prompt in BAD]
    if kind == "label":
        rows = [(*row, SAID[vote[2]]) for row, vote in zip(rows, BAD, strict=True)]
        return write_csv(tmp_path / "v.csv", (*header, "winner"), rows), ()
    if kind == "one-hot":
        names = ("winner_model_a", "winner_tie", "winner_model_b", "winner_tie (bothbad)")
        rows = [
            (*row, *(int(vote[2] == value) for value in (1.0, 0.5, 0.0, -1.0)))
            for row, vote in zip(rows, BAD, strict=True)
        ]
        return write_csv(tmp_path / "v.csv", (*header, *names), rows), ()
    lines = [
        {"model_a": row[0], "model_b": row[1], "label": max(vote[2], 0.5), "judge": [row[2]],
         "prompt": row[3], "votes": [SAID[vote[2]]]}
        for row, vote in zip(rows, BAD, strict=True)
    ]  # fmt: skip
    path = tmp_path / "v.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path), ("--votes", "votes", "--annotator", "judge")


@pytest.mark.parametrize("kind", ["label", "one-hot", "lists"])
def test_both_bad_is_read_from_labels_columns_and_lists(capsys, tmp_path, kind):
    path, words = both_bad_file(tmp_path, kind)
    found, shown = rate(capsys, path, *words, "--ties", "both-bad", out=tmp_path / "r.json")
    y = [SAID[row[2]] for row in BAD]
    model = ModelRatings("both-bad", random_state=0)
    model.fit([row[:2] for row in BAD], y, groups=[row[3] for row in BAD])
    table = model.table()
    assert [row["low"] for row in found["ratings"]] == pytest.approx(table["low"].tolist())
    assert found["both_bad_odds"] == pytest.approx(model.both_bad_odds_)
    odds = model.both_bad_odds_
    share = odds / (2 + model.tie_parameter_ + odds)
    assert f"against a win of one: {odds:.3f}, {share:.0%} of votes on such two" in shown.out
    found, shown = rate(capsys, path, *words, "--ties", "davidson", out=tmp_path / "r.json")
    assert found["both_bad_odds"] is None
    assert "60 of the ties say that both are bad; --ties both-bad makes" in shown.err


def test_both_bad_without_such_votes_is_told(arena, capsys):
    assert main(["rate", arena, "--ties", "both-bad"]) == 1
    assert "and there are none. Use --ties davidson" in capsys.readouterr().err


def test_ratings_by_topic(capsys, tmp_path):
    rows = [(*row[:3], "code" if i % 3 else "verse") for i, row in enumerate(VOTES)]
    path = write_csv(tmp_path / "t.csv", ("model_a", "model_b", "label", "kind"), rows)
    found, shown = rate(capsys, path, "--topics", "kind", "--scale", "elo", out=tmp_path / "r.json")
    X = [[*row[:2], float(row[3] == "code"), float(row[3] == "verse")] for row in rows]
    model = ModelRatings(topics=[2, 3]).fit(X, [row[2] for row in rows])
    expected = 1000 + 400 / np.log(10) * model.topic_ratings(np.eye(2))
    for topic, ratings in zip(("code", "verse"), expected, strict=True):
        by_name = dict(zip(model.models_, ratings, strict=True))
        assert found["topics"][topic] == pytest.approx(by_name, abs=0.1)
        best = max(by_name, key=by_name.get)
        assert f"  {topic}: {best} {by_name[best]:.0f}, " in shown.out
    for words, message in ((["--topics", "label"], "no column label of --topics"),
                           (["--topics", "sort"], "no column sort of --topics")):  # fmt: skip
        assert main(["rate", path, *words]) == 1
        assert message in capsys.readouterr().err


def test_lists_of_votes_that_are_not_read_are_told(capsys, tmp_path):
    lines = [
        {"model_a": a, "model_b": b, "label": y, "votes": [y, y], "workers": [1, 2]}
        for a, b, y, *_ in VOTES
    ]
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, shown = rate(capsys, path, out=tmp_path / "r.json")
    assert "with --votes votes --annotator workers each counts by itself" in shown.err


def test_chosen_and_rejected_models(capsys, tmp_path):
    rows = [(a, b, "x", "y") if y == 1 else (b, a, "x", "y") for a, b, y, *_ in VOTES if y != 0.5]
    header = ("chosen_model", "rejected_model", "chosen", "rejected")
    found, _ = rate(capsys, write_csv(tmp_path / "c.csv", header, rows), out=tmp_path / "r.json")
    model = ModelRatings().fit([row[:2] for row in rows], np.ones(len(rows)))
    by_name = dict(zip(model.models_, model.ratings_, strict=True))
    for name, (rating, *_) in ratings_of(found).items():
        assert rating == pytest.approx(by_name[name], abs=1e-6)


def test_style_is_a_difference_that_ratings_are_net_of(capsys, tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        (
            a,
            b,
            y,
            "x" * rng.integers(1, 50),
            "x" * rng.integers(1, 50),
            *rng.normal(size=2).round(3),
        )
        for a, b, y, *_ in VOTES
    ]
    header = ("model_a", "model_b", "label", "response_a", "response_b", "bold_a", "bold_b")
    path = write_csv(tmp_path / "s.csv", header, rows)
    found, shown = rate(capsys, path, "--style", "length,bold", out=tmp_path / "r.json")
    style = [(np.log1p(len(r[3])) - np.log1p(len(r[4])), r[5] - r[6]) for r in rows]
    X = [[*row[:2], *more] for row, more in zip(rows, style, strict=True)]
    model = ModelRatings().fit(X, [row[2] for row in rows])
    assert found["style"] == pytest.approx(model.style_coef_.tolist(), abs=1e-6)
    assert f"length {model.style_coef_[0]:.3f}, bold {model.style_coef_[1]:.3f}" in shown.out
    for words, message in (
        (("--style", "italic"), "no column italic of --style"),
        (("--style", "response_a"), "which takes numbers"),
    ):
        assert main(["rate", path, *words]) == 1
        assert message in capsys.readouterr().err


def test_a_table_for_a_spreadsheet(arena, capsys, tmp_path):
    rows, _ = rate(capsys, arena, out=tmp_path / "r.csv")
    assert [row["model"] for row in rows] == expected().table()["model"].tolist()
    assert main(["rate", arena, "--out", str(tmp_path / "r.csv")]) == 1
    assert "--force" in capsys.readouterr().err


def test_controls_in_names_of_models_are_marks_in_a_table(capsys, tmp_path):
    rows = [("\x1b[31mred", "b", "a"), ("\x1b[31mred", "b", "b")] * 5
    path = write_csv(tmp_path / "v.csv", ("model_a", "model_b", "winner"), rows)
    assert main(["rate", path, "--out", str(tmp_path / "r.csv")]) == 0
    written = (tmp_path / "r.csv").read_text(encoding="utf-8")
    assert "\x1b" not in written + capsys.readouterr().out
    assert "␛[31mred" in written
    assert main(["rate", path, "--out", str(tmp_path / "r.json")]) == 0
    names = [row["model"] for row in json.loads((tmp_path / "r.json").read_text())["ratings"]]
    assert sorted(names) == ["\x1b[31mred", "b"]


@pytest.mark.parametrize("ties", ["davidson", "rao-kupper"])
def test_ties_only_are_told_with_what_to_do(capsys, tmp_path, ties):
    path = write_csv(tmp_path / "v.csv", ("model_a", "model_b", "winner"), [("m", "n", "tie")] * 6)
    assert main(["rate", path, "--ties", ties]) == 1
    said = capsys.readouterr().err
    assert "got ties only" in said
    assert "collect votes that do, or choose ties='half'" in said
    assert "balance_positions" not in said


def test_a_model_against_itself_is_left_out_and_told(capsys, tmp_path):
    rows = [(a, b, y) for a, b, y, *_ in VOTES] + [("ant", "ant", 1)]
    path = write_csv(tmp_path / "v.csv", ("model_a", "model_b", "label"), rows)
    found, shown = rate(capsys, path, out=tmp_path / "r.json")
    assert found["n_votes"] == 240
    assert "1 vote on a model against itself was left out" in shown.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model-a", "left", "--model-b", "right"], "no column left of --model-a"),
        (["--model-a", "model_a"], "--model-b is missing"),
        (["--votes", "vote"], "no column vote of --votes"),
        (["--anchor", "bee"], "--anchor must be a model and its rating"),
        (["--anchor", "wasp=3"], "knows no model 'wasp'"),
        (["--level", "95"], "--level must be between 0 and 1"),
        (["--out", "r.txt"], "--out must end with .csv or .json"),
    ],
)
def test_what_cannot_be_is_told_in_the_words_of_the_command(arena, capsys, words, message):
    assert main(["rate", arena, *words]) == 1
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_a_file_without_models_is_told(capsys, tmp_path):
    path = write_csv(tmp_path / "p.csv", ("prompt", "chosen", "rejected"), [("p", "x", "y")])
    assert main(["rate", path]) == 1
    assert "no columns that name two models" in capsys.readouterr().err


@pytest.mark.parametrize("rating", ["nan", "inf", "-inf"])
def test_an_anchor_is_a_finite_rating(tmp_path, rating, capsys):
    votes = tmp_path / "votes.csv"
    votes.write_text("model_a,model_b,winner\n" + "m,n,model_a\nm,n,model_b\n" * 4)
    assert main(["rate", str(votes), "--anchor", f"m={rating}"]) == 1
    assert "--anchor must be a model and its rating" in capsys.readouterr().err
