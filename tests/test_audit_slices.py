"""Kinds of pair in the audit: which columns make them, topics, and what is said of them."""

import copy
import json
import re

import numpy as np
import pytest

from sklearn_codex import read_preferences
from sklearn_codex._layouts.given import Given
from sklearn_codex.cli import main
from sklearn_codex.cli._audit import _names_of
from sklearn_codex.report._audit_answers import short_answers
from sklearn_codex.report._audit_columns import find_cuts
from sklearn_codex.report._audit_data import AuditData
from sklearn_codex.report._audit_decision import OPEN
from sklearn_codex.report._audit_decision_words import give_reason, list_tasks
from sklearn_codex.report._audit_run import finite, render
from sklearn_codex.report._audit_sections_slices import slices_section
from sklearn_codex.report._audit_slices import audit_slices
from sklearn_codex.report._audit_tastes import audit_tastes
from sklearn_codex.report._audit_topics import find_topics
from sklearn_codex.report.audit import compute_audit

GARDEN = np.array([
    "rose", "tulip", "soil", "shovel", "water", "hedge", "seed", "bloom", "compost", "rake",
    "lawn", "mulch", "ivy", "moss", "fern", "oak", "prune", "weed", "vine", "pond",
])  # fmt: skip
KITCHEN = np.array([
    "flour", "oven", "butter", "whisk", "sugar", "dough", "pan", "salt", "yeast", "knead",
    "stew", "broth", "fry", "grill", "basil", "cumin", "onion", "garlic", "simmer", "roast",
])  # fmt: skip
FILLER = np.array([
    "alpha", "beta", "gamma", "delta", "zeta", "eta", "theta", "iota", "kappa", "lambda",
])  # fmt: skip


def write(rng, extra=()):
    return " ".join([*rng.choice(FILLER, 8), *extra])


def make_rows(n_prompts=60, n_each=5):
    """The word good wins in easy pairs, a coin in hard ones; in the garden many are ties."""
    rng = np.random.RandomState(0)
    rows = []
    for prompt in range(n_prompts):
        is_garden = prompt % 2 == 0
        words = rng.choice(GARDEN if is_garden else KITCHEN, 6)
        for _ in range(n_each):
            is_hard = rng.uniform() < 0.5
            good, bad = write(rng, ["good"]), write(rng, ["bad"])
            label = float(rng.uniform() < (0.5 if is_hard else 0.98))
            if rng.uniform() < (0.5 if is_garden else 0.02):
                label = 0.5
            styles = rng.choice(["plain", "rich"], 2).tolist()
            turn = rng.uniform() < 0.5
            rows.append(
                {
                    "prompt": f"{' '.join(words)} {prompt}",
                    "response_a": bad if turn else good,
                    "response_b": good if turn else bad,
                    "label": 1 - label if turn else label,
                    "level <b>": "hard" if is_hard else "easy",
                    "style_a": styles[0],
                    "style_b": styles[1],
                    "id": len(rows),
                    "tags": [1, 2],
                    "rare": "seldom" if len(rows) < 5 else "often",
                }
            )
    return rows


@pytest.fixture(scope="module")
def audit():
    return finite(compute_audit(make_rows()))


def cut_of(audit, name):
    return next(cut for cut in audit["slices"]["cuts"] if cut["name"] == name)


def test_planted_differences_are_said_and_others_are_not(audit):
    slices = audit["slices"]
    assert [cut["name"] for cut in slices["cuts"]] == ["level <b>", "style", "topic of the prompt"]
    differing = {
        (cut["name"], row["slice"], measure, test["value"] > 0)
        for cut in slices["cuts"]
        for row in cut["rows"]
        for measure, test in row["tests"].items()
        if test["differs"]
    }
    ties = {entry for entry in differing if entry[2] == "ties"}
    assert differing - ties == {
        ("level <b>", "hard", "accuracy", False),
        ("level <b>", "easy", "accuracy", True),
    }
    assert len(ties) >= 2
    for cut, topic, _, are_more in ties:
        assert cut == "topic of the prompt"
        assert set(topic.split(", ")) <= set(GARDEN if are_more else KITCHEN)
    assert slices["n_differing"] == 2 + len(ties)
    assert audit["verdicts"]["slices"]["verdict"] == "some"
    section = slices_section(audit)
    assert section.answer.startswith(f"Yes, {2 + len(ties)} of {slices['n_slices']} kinds differ")
    assert re.search(r"Where level <b> is (hard|easy) the best model is right on", section.answer)
    assert "of the pairs are ties, elsewhere" in section.answer
    assert "style" not in section.answer


def test_figures_of_a_kind_are_those_of_its_pairs(audit):
    rows = make_rows()
    (hard,) = (row for row in cut_of(audit, "level <b>")["rows"] if row["slice"] == "hard")
    own = [row for row in rows if row["level <b>"] == "hard"]
    assert hard["n_pairs"] == len(own)
    assert hard["ties"]["value"] == pytest.approx(np.mean([r["label"] == 0.5 for r in own]))
    test = hard["tests"]["accuracy"]
    assert test["inside"] == hard["accuracy"]["value"]
    assert test["value"] == pytest.approx(test["inside"] - test["outside"])


def test_which_side_has_a_style_is_told_of_labels_and_model(audit):
    style = cut_of(audit, "style")
    assert style["columns"] == ["style_a", "style_b"]
    rows = make_rows()
    (rich,) = (row for row in style["sides"] if row["value"] == "rich")
    own = [r for r in rows if (r["style_a"] == "rich") != (r["style_b"] == "rich")]
    own = [r for r in own if r["label"] != 0.5]
    won = [(r["style_a"] == "rich") == (r["label"] > 0.5) for r in own]
    assert rich["n_pairs"] == len(own)
    assert rich["better"]["value"] == pytest.approx(np.mean(won))
    n_better = rich["where_better"]["n_pairs"]
    assert n_better == sum(won)
    of_both = rich["where_better"]["value"] * n_better
    of_both += rich["where_worse"]["value"] * (len(own) - n_better)
    prefers_rich = rich["where_better"]["value"] * n_better
    prefers_rich += (1 - rich["where_worse"]["value"]) * (len(own) - n_better)
    assert rich["prefers"]["value"] == pytest.approx(prefers_rich / len(own))
    assert of_both > len(own) / 2
    assert "the same on both sides" in [row["slice"] for row in style["rows"]]


def test_the_page_shows_kinds_with_markup_as_text(audit):
    html = render(audit)
    assert "Are some kinds of pair different?" in html
    assert "level &lt;b&gt;" in html
    assert "level <b>" not in html
    json.dumps(audit["slices"], allow_nan=False)


@pytest.mark.parametrize("is_known", [True, False])
def test_without_a_difference_none_is_said(audit, is_known):
    slices = json.loads(json.dumps(audit["slices"]))
    for cut in slices["cuts"]:
        for row in cut["rows"]:
            for test in row["tests"].values():
                test["differs"] = False
    slices["n_differing"] = 0
    if not is_known:
        slices |= {"n_slices": 0, "n_tests": 0}
        for cut in slices["cuts"]:
            cut |= {"rows": [], "sides": None, "n_too_small": 2}
    answer = slices_section({**audit, "slices": slices}).answer
    expected = "Not shown: none of" if is_known else "Not asked: no kind of pair"
    assert answer.startswith(expected)


def test_kinds_that_are_too_small_are_counted():
    rows = [row | {"id": row["id"] // 25} for row in make_rows()]
    audit = finite(compute_audit(rows, slices=["id", "rare"]))
    assert [cut["name"] for cut in audit["slices"]["cuts"]][:2] == ["id", "rare"]
    small = {cut["name"]: cut["n_too_small"] for cut in audit["slices"]["cuts"]}
    assert small["id"] == 12  # 25 pairs each, of five prompts
    assert small["rare"] == 1
    (note,) = (
        b.text for b in slices_section(audit).blocks if "Too small" in getattr(b, "text", "")
    )
    assert "id 12" in note
    assert "rare 1" in note


# Which columns.


def names_of_cuts(rows, named=None, **columns):
    pairs = read_preferences(rows, **columns)
    return {cut.name: cut for cut in find_cuts(pairs, Given(command=True), named)}


def pairs_with(n=80, **columns):
    """Pairs with more columns, each given as a function of the row's number."""
    texts = {"prompt": "p{}", "response_a": "a b {}", "response_b": "c {}"}
    return [
        {name: text.format(i // 2) for name, text in texts.items()}
        | {"label": i % 2}
        | {name: of(i) for name, of in columns.items()}
        for i in range(n)
    ]


def test_columns_of_few_values_are_found():
    rows = pairs_with(
        few=lambda i: i % 3,
        one=lambda i: "x",
        many=lambda i: f"v{i % 30}",
        lists=lambda i: [i % 2],
        gaps=lambda i: [None, "u", "w", ""][i % 4],
        true=lambda i: i % 2 == 0,
        seldom=lambda i: i // 79,
    )
    cuts = names_of_cuts(rows)
    assert list(cuts) == ["few", "gaps", "true"]
    parts, n_few = cuts["gaps"].slices()
    assert [(part.name, part.inside.sum(), part.outside.sum()) for part in parts] == [
        ("u", 20, 20),
        ("w", 20, 20),
    ]
    assert n_few == 0
    assert [part.name for part in cuts["true"].slices()[0]] == ["no", "yes"]


def test_a_named_column_of_many_numbers_is_cut_into_quarters():
    cuts = names_of_cuts(pairs_with(score=lambda i: i / 10), named=["Score"])
    parts, n_few = cuts["score"].slices()
    assert [part.inside.sum() for part in parts] == [20, 20, 20, 20]
    assert n_few == 0


def test_columns_of_two_sides_are_one():
    rows = pairs_with(model_a=lambda i: "xyz"[i % 3], model_b=lambda i: "zxz"[i % 3])
    for named in (None, ["model_a"], ["model"], ["model_b", "model_a"]):
        cuts = names_of_cuts(rows, named)
        assert list(cuts) == ["model"]
    cut = cuts["model"]
    assert cut.has_sides
    parts = {part.name: part for part in cut.slices()[0]}
    assert list(parts) == ["x", "z", "y", "the same on both sides"]
    assert parts["x"].inside.tolist() == [i % 3 != 2 for i in range(80)]
    assert parts["the same on both sides"].inside.tolist() == [i % 3 == 2 for i in range(80)]


def test_numbered_columns_are_sides_where_responses_are_numbered():
    more = {"topic_1": lambda i: i % 2, "topic_2": lambda i: i % 3}
    rows = pairs_with(**more)
    assert list(names_of_cuts(rows)) == ["topic_1", "topic_2"]
    numbered = [
        {name.replace("_a", "_1").replace("_b", "_2"): value for name, value in row.items()}
        | {"label": "tie" if row["label"] else "response_1"}
        for row in rows
    ]
    assert list(names_of_cuts(numbered)) == ["topic"]


def test_what_the_chosen_one_has_is_of_the_side_that_it_stands_on():
    rows = [
        {"prompt": f"p{i}", "chosen": f"good {i}", "rejected": f"bad {i}"}
        | {"chosen_model": "x" if i % 2 else "y", "rejected_model": "w"}
        for i in range(80)
    ]
    pairs = read_preferences(rows)
    (cut,) = find_cuts(pairs, Given())
    assert cut.has_sides
    of_better = np.where(pairs.y > 0.5, *cut.values)
    assert of_better.tolist() == ["x" if i % 2 else "y" for i in range(80)]
    assert 0 < (pairs.y > 0.5).sum() < 80


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("kinds", r"has no column 'kinds', which --slices kinds names.*Did you mean kind\?"),
        ("tags", r"column 'tags', which --slices tags names, holds lists\. Name one"),
        ("one", r"column 'one', .* has one value only, 'x', .* Leave it out"),
        ("none", r"column 'none', .* has no value, so there are no parts"),
    ],
)
def test_errors_of_named_columns(named, message):
    rows = pairs_with(
        kind=lambda i: i % 2, tags=lambda i: [i], one=lambda i: "x", none=lambda i: None
    )
    with pytest.raises(ValueError, match=message):
        names_of_cuts(rows, [named])


def test_names_on_the_command_line_may_have_commas_in_quotes():
    assert _names_of("a, b") == ["a", "b"]
    assert _names_of('"a,b",c') == ["a,b", "c"]
    assert _names_of(None) is None
    for word in ("", "a,,b"):
        with pytest.raises(ValueError, match="--slices has names of columns"):
            _names_of(word)


def test_several_columns_to_keep_together_lead_to_slices(tmp_path, capsys):
    path = tmp_path / "prefs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in make_rows(2)), encoding="utf-8")
    assert main(["audit", str(path), "--by", "style_a,rare", "--json"]) != 0
    assert "sklearn-codex audit --slices style_a,rare compares" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"slices=\['style_a', 'rare'\] of an audit compares"):
        read_preferences(str(path), groups="style_a,rare")


# Topics.


def test_topics_are_the_planted_ones_and_named_by_their_words():
    rng = np.random.RandomState(1)
    prompts = [
        f"please {' '.join(rng.choice(GARDEN if i % 2 else KITCHEN, 6))} now" for i in range(50)
    ]
    topics = find_topics([*prompts, *prompts, "", "!?"], 0)
    names = [set(topics[:50][side::2]) for side in (0, 1)]
    assert [len(of_side) for of_side in names] == [1, 1]
    assert set(names[0].pop().split(", ")) <= set(KITCHEN)
    assert set(names[1].pop().split(", ")) <= set(GARDEN)
    assert topics[:50].tolist() == topics[50:100].tolist()
    assert topics[100:].tolist() == [None, None]
    assert find_topics(prompts, 0).tolist() == topics[:50].tolist()


def test_few_prompts_have_no_topics():
    assert find_topics([f"{GARDEN[i % 10]} {i}" for i in range(39)] * 5, 0) is None
    assert find_topics([""] * 100, 0) is None
    assert find_topics([f"{i}" for i in range(100)], 0) is None


def rows_of_annotators(n_prompts=60, names=("ann", "bob", "liar"), who="annotator"):
    """Each says of every prompt which of two is good; one of them says the opposite."""
    return [
        {
            "prompt": f"what of {prompt}",
            "response_a": f"good {prompt} {name}",
            "response_b": f"bad {prompt} {name}",
            "winner": "b" if name == "liar" else "a",
            who: name,
        }
        for prompt in range(n_prompts)
        for name in names
    ]


def cuts_of(rows, named=None, **columns):
    return find_cuts(read_preferences(rows, **columns), Given(), named)


@pytest.mark.parametrize("named", [None, ["Annotator"]])
def test_annotators_are_kinds_of_pair(named):
    assert not read_preferences(rows_of_annotators()).columns
    (cut,) = cuts_of(rows_of_annotators(), named)
    assert (cut.name, cut.levels()) == ("annotator", {"ann": 60, "bob": 60, "liar": 60})


def test_annotators_are_kinds_once_and_where_they_are_few():
    (cut,) = cuts_of(rows_of_annotators(who="seen by"), annotator="seen by")
    assert cut.name == "seen by"
    assert cuts_of(rows_of_annotators(30, [str(n) for n in range(21)])) == []
    assert cuts_of(rows_of_annotators(names=["ann"])) == []


def test_an_annotator_who_says_the_opposite_differs():
    pairs = read_preferences(rows_of_annotators())
    data = AuditData(pairs, pairs.groups, 0)
    found = audit_slices(data, np.ones(pairs.n), find_cuts(pairs, Given()))
    (cut,) = (cut for cut in found["cuts"] if cut["name"] == "annotator")
    rows = {row["slice"]: row for row in cut["rows"]}
    assert {name: row["accuracy"]["value"] for name, row in rows.items()} == {
        "ann": 1.0, "bob": 1.0, "liar": 0.0,
    }  # fmt: skip
    assert rows["liar"]["tests"]["accuracy"]["differs"]


def opposite_tastes(seed=0, is_coin=False, n_prompts=60):
    """The word good wins in one half of the prompts, and loses in the other."""
    rng = np.random.RandomState(seed)
    rows = []
    for prompt in range(n_prompts):
        style = ("formal", "casual")[prompt % 2]
        for _ in range(3):
            label = rng.randint(2) if is_coin else int(style == "formal")
            texts = write(rng, ["good"]), write(rng, ["bad"])
            row = {"prompt": f"what of {prompt}", "style": style}
            if rng.uniform() < 0.5:
                texts, label = texts[::-1], 1 - label
            row |= {"response_a": texts[0], "response_b": texts[1], "label": label}
            rows.append(row)
    return rows


def tastes_of(rows):
    pairs = read_preferences(rows)
    return audit_tastes(AuditData(pairs, pairs.groups, 0), find_cuts(pairs, Given()))


def test_opposite_tastes_of_two_kinds_are_told():
    found = {kind["kind"]: kind for kind in tastes_of(opposite_tastes())["kinds"]}
    assert set(found["formal"]["words"][:2]) == {"+good", "-bad"}
    assert set(found["casual"]["words"][:2]) == {"-good", "+bad"}
    assert found["formal"]["n_pairs"] == found["casual"]["n_pairs"] == 90


def test_labels_by_coin_have_a_taste_within_a_kind_seldom():
    found = [tastes_of(opposite_tastes(seed, is_coin=True))["kinds"] for seed in range(40)]
    assert sum(map(bool, found)) <= 5  # of 40 at 5 %: more in 1.4 % of such draws


def test_there_is_no_taste_within_kinds_without_kinds():
    rows = [{k: v for k, v in row.items() if k != "style"} for row in opposite_tastes()]
    assert tastes_of(rows) is None


def test_kinds_with_opposite_tastes_are_not_given_up():
    audit = finite(compute_audit(opposite_tastes(n_prompts=120)))
    assert audit["verdicts"]["predictable"]["verdict"] != "yes"
    assert audit["decision"] == {"verdict": OPEN, "reason": "within kinds"}
    assert "where style is" in give_reason(audit)
    (task,) = [task for task in list_tasks(audit) if task.action.endswith("alone")]
    assert (task.action, task.n_rows) == ("Audit the pairs of each style alone", 360)
    assert short_answers(audit)["slices"].word == "differ"
    page = render(audit)
    assert "style: formal" in page
    assert "+good" in page


def test_a_few_prompts_with_most_pairs_are_said_to_be_why(audit):
    few = copy.deepcopy(audit)
    few["decision"]["reason"] = "nothing shown"
    figure = few["prediction"]["models"][few["prediction"]["best"]]["accuracy"]
    assert give_reason(few).startswith("Too few data")
    figure.update(low=0.0, high=1.0)
    assert "similar ones joined, hold most of the pairs" in give_reason(few)
    few["prompts"].update(kept_together="group", column="task")
    assert give_reason(few).startswith("A few groups hold most of the pairs")
