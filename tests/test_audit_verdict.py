"""The verdict on preference data: each reason where it holds, and where it does not."""

import copy

import numpy as np
import pytest
from audit_pairs import WORDS, oriented

from sklearn_codex.report._audit_answers import short_answers
from sklearn_codex.report._audit_decision import FIX, OPEN, RULES, STOP, TRAIN, decide
from sklearn_codex.report._audit_decision_words import (
    REASONS,
    SAYS,
    decision_block,
    give_reason,
    list_tasks,
)
from sklearn_codex.report._audit_effects import Droppable, find_droppable, try_dropping
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report._audit_short import short_lines
from sklearn_codex.report._blocks import Decision
from sklearn_codex.report._json import finite
from sklearn_codex.report.audit import compute_audit

TEST = {
    "value": 0.8, "low": 0.7, "high": 0.9, "null": 0.5, "p_value": 0.001, "level": 0.05,
    "detectable": 0.1, "n_pairs": 300, "n_groups": 60,
}  # fmt: skip


@pytest.fixture(scope="module")
def sound():
    """An audit of data to which nothing is to be said against."""
    return finite(compute_audit(oriented(n_prompts=40)))


def changed(audit, change):
    audit = copy.deepcopy(audit)
    change(audit)
    audit["decision"] = decide(audit)
    return audit


def item(kind, n_rows, verdict=None, **more):
    effect = None
    if verdict is not None:
        effect = {"verdict": verdict, "before": 0.7, "after": 0.74, **TEST, "value": 0.04}
        effect |= {"low": 0.01, "high": 0.07, "null": 0.0, "n_changed": 9}
    rows = list(range(n_rows))
    where = [f"line {row}" for row in rows]
    return {"kind": kind, "names": "", "n_rows": n_rows, "rows": rows, "where": where,
            "effect": effect, **more}  # fmt: skip


def says(question, verdict):
    return lambda audit: audit["verdicts"][question].update(verdict=verdict)


def both(*changes):
    return lambda audit: [change(audit) for change in changes]


def leaks(n_leaking, n_held_out=100):
    figures = {"n_leaking": n_leaking, "n_held_out": n_held_out, "rows": [{}] * n_leaking}
    return lambda audit: audit.update(leakage=figures)


def to_do(*items):
    return lambda audit: audit.update(to_do=list(items))


def flagged(n):
    return both(
        says("wrong labels", "some"), lambda audit: audit["labels_to_check"].update(n_flagged=n)
    )


def tastes(audit):
    kinds = [{"column": "style", "kind": "formal", "n_pairs": 50, "words": ["+good", "-bad"]}]
    audit["slices"]["tastes"] = {"n_candidates": 9, "p_value": 0.001, "kinds": kinds}
    audit["verdicts"]["within kinds"]["verdict"] = "some"


def vectors(verdict):
    figures = {"accuracy": {"value": 0.7, "low": 0.6, "high": 0.8}}
    found = {"models": {"embeddings": figures}}

    def change(audit):
        audit.update(embeddings=found)
        audit["verdicts"]["embeddings predict"] = {"verdict": verdict}

    return change


def without_prompts(audit):
    audit["prompts"].update(kept_together="pair", n_pairs_without=240, warning="No prompt.")
    audit["verdicts"]["predictable"]["verdict"] = "of pairs only"


def too_small(audit):
    audit.update(
        too_small="9 pairs are too few.", prediction=None, form=None, policy=None, slices=None
    )
    audit["verdicts"].pop("predictable")


def no_preference(audit):
    too_small(audit)
    audit["sizes"]["n_telling"] = 0


ONE_SIDED = both(says("longer wins", "longer"), says("net of length", "not shown"))
LONGER = says("longer wins", "longer")
# The reason, the verdict, what makes it hold, and what is just short of that.
BRANCHES = [
    ("no preference", STOP, no_preference, too_small, "too few"),
    ("too few", OPEN, too_small, lambda audit: None, "nothing against it"),
    ("embeddings alone", OPEN, both(says("predictable", "not shown"), vectors("yes")),
     both(says("predictable", "not shown"), vectors("not shown")), "nothing predictable"),
    ("within kinds", OPEN, both(says("predictable", "not shown"), tastes),
     both(says("predictable", "yes"), tastes), "nothing against it"),
    ("nothing predictable", STOP, says("predictable", "not shown"), says("predictable", "yes"),
     "nothing against it"),
    ("nothing shown", OPEN, says("predictable", "too few"), says("predictable", "not shown"),
     "nothing predictable"),
    ("no prompts", OPEN, without_prompts, both(without_prompts, says("predictable", "not shown")),
     "nothing predictable"),
    ("against scores", FIX, to_do(item("scores", 121)), to_do(item("scores", 11)),
     "nothing against it"),
    ("leakage", FIX, leaks(2), leaks(1), "nothing against it"),
    ("only length", STOP, both(ONE_SIDED, says("beyond length", "not shown")),
     both(ONE_SIDED, says("beyond length", "more")), "nothing against it"),
    # Something besides length predicts, if not more often than length alone.
    ("only length", STOP, both(ONE_SIDED, says("beyond length", "less")),
     both(LONGER, says("beyond length", "less"), says("net of length", "yes")),
     "nothing against it"),
    ("only length", STOP,
     both(ONE_SIDED, says("beyond length", "not shown"), says("treats length", "padding")),
     both(LONGER, says("beyond length", "not shown"), says("net of length", "yes"),
          says("treats length", "padding")), "padding"),
    ("length or more", OPEN, both(ONE_SIDED, says("beyond length", "too few")),
     both(says("longer wins", "not shown"), says("beyond length", "too few")),
     "nothing against it"),
    ("length or more", OPEN, both(ONE_SIDED, says("beyond length", "too few")),
     both(LONGER, says("beyond length", "too few"), says("net of length", "yes")),
     "nothing against it"),
    ("padding", FIX, says("treats length", "padding"), says("treats length", "both"),
     "nothing against it"),
    ("brevity", FIX, says("treats length", "brevity"), says("treats length", "not shown"),
     "nothing against it"),
    ("wrong labels", FIX, flagged(3), flagged(2), "nothing against it"),
    ("rows that harm", FIX, to_do(item("empty", 3, "raises")),
     to_do(item("empty", 3, "not shown")), "nothing against it"),
    ("many rows", FIX, to_do(item("repeats", 12, "not shown")),
     to_do(item("repeats", 12, "lowers")), "nothing against it"),
    ("many rows", FIX, to_do(item("repeats", 12)), to_do(item("repeats", 11)),
     "nothing against it"),
    ("nothing against it", TRAIN, lambda audit: None, leaks(50), "leakage"),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "verdict", "change", "short_of_it", "else_"), BRANCHES)
def test_each_reason_where_it_holds_and_where_it_does_not(
    reason, verdict, change, short_of_it, else_, sound
):
    audit = changed(sound, change)
    assert audit["decision"] == {"verdict": verdict, "reason": reason}
    assert give_reason(audit).endswith((".", "2)"))
    assert changed(sound, short_of_it)["decision"]["reason"] == else_


def test_every_reason_is_tried_and_has_its_words():
    assert [rule.reason for rule in RULES] == list(dict.fromkeys(row[0] for row in BRANCHES))
    assert set(REASONS) == {rule.reason for rule in RULES}
    assert set(SAYS) == {rule.verdict for rule in RULES}


def test_the_first_reason_is_the_one(sound):
    audit = changed(sound, both(leaks(50), flagged(90), says("predictable", "not shown")))
    assert audit["decision"] == {"verdict": STOP, "reason": "nothing predictable"}
    assert changed(sound, both(leaks(50), flagged(90)))["decision"]["reason"] == "leakage"


def coin(n_prompts=60, n_each=5, seed=0):
    rng = np.random.RandomState(seed)
    return [
        {
            "prompt": f"question {i} {WORDS[i % 9]}",
            "chosen": " ".join(rng.choice(WORDS, 9)),
            "rejected": " ".join(rng.choice(WORDS, 9)),
        }
        for i in range(n_prompts)
        for _ in range(n_each)
    ]


def longer_wins():
    rng = np.random.RandomState(0)
    rows = coin()
    for row in rows:
        long, short = (" ".join(rng.choice(WORDS, n)) for n in (rng.randint(20, 30), 6))
        turned = rng.uniform() < 0.1
        row.update(chosen=short if turned else long, rejected=long if turned else short)
    return rows


def answered_twice():
    return [*oriented(n_prompts=40), *oriented(n_prompts=40)[:60]]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (oriented(n_prompts=40), ["nothing against it"]),
        (oriented(n_prompts=2), ["too few"]),
        (oriented(with_prompt=False, n_prompts=40), ["no prompts"]),
        (coin(), ["nothing predictable", "nothing shown"]),
        (longer_wins(), ["only length", "length or more"]),
        (answered_twice(), ["many rows"]),
        ([{"prompt": "p", "response_a": "a", "response_b": "b", "label": "tie"}] * 3,
         ["no preference"]),
    ],
    ids=["sound", "few", "no prompts", "coin", "length", "twice", "ties"],
)  # fmt: skip
def test_data_made_for_a_reason_get_it(rows, reason):
    audit = finite(compute_audit(rows))
    assert audit["decision"]["reason"] in reason
    check_lines(short_lines(audit, audit_sections(audit), decision_block(audit)))


def check_lines(lines):
    """At most 25 lines of 80 characters, with the page and the blank before it."""
    assert len(lines) <= 23
    assert max(len(line) for _, line in lines) <= 80
    assert "\x1b" not in "".join(line for _, line in lines)


def test_the_terminal_shows_no_more_than_25_lines_whatever_there_is(sound):
    kinds = ("repeats", "contradictions", "identical", "empty", "truncated", "scores")
    names = "x" * 99
    items = [item(kind, 1000 + i, "lowers", names=names) for i, kind in enumerate(kinds)]
    audit = changed(sound, both(leaks(50), without_prompts, to_do(*items)))
    audit["source"] = "a name\x1b that is far too long for a line " * 4
    decision = Decision("Train on it", "good", "word " * 200, list_tasks(audit))
    assert len(decision.tasks) >= 8
    check_lines(short_lines(audit, audit_sections(sound), decision))


def test_no_action_of_its_own_is_cut_in_the_terminal(sound):
    kinds = ("repeats", "contradictions", "identical", "empty", "truncated", "wrong labels")
    audit = changed(sound, both(leaks(50), without_prompts, to_do(*(item(k, 9) for k in kinds))))
    audit["verdicts"]["more labels"] = {"verdict": "rising"}
    tasks = list_tasks(audit)
    assert len(tasks) == len(kinds) + 3
    tasks += list_tasks(changed(sound, too_small))
    tasks += list_tasks(changed(sound, says("predictable", "too few")))
    assert len(tasks) == len(kinds) + 5
    for task in tasks:
        lines = short_lines(audit, [], Decision("Train on it", "good", "", [task]))
        assert lines[-1][1].startswith(f"{task.action} ") or lines[-1][1] == task.action


def test_answers_have_a_word_and_a_colour(sound):
    answers = short_answers(sound)
    assert {name: (answer.word, answer.tone) for name, answer in answers.items()} == {
        "clean": ("clean", "good"),
        "predictable": ("yes", "good"),
        "length": ("no", "good"),
        "preferred": ("shown", "plain"),
        "learned": ("words", "plain"),
        "slices": (answers["slices"].word, answers["slices"].tone),
        "labels": ("not shown", "plain"),
        "tests": (answers["tests"].word, "plain"),
    }
    bad = changed(sound, both(says("predictable", "not shown"), leaks(3), flagged(4)))
    answers = short_answers(bad)
    assert (answers["clean"].word, answers["clean"].tone) == ("mend", "warn")
    assert (answers["predictable"].word, answers["predictable"].tone) == ("not shown", "bad")
    assert (answers["labels"].word, answers["labels"].line) == (
        "check", "4 are more likely wrong than right",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wins", "beyond", "treats", "word"),
    [
        ("longer", "more", "both", "partly"),
        ("longer", "not shown", "both", "maybe"),
        ("shorter", "too few", "not shown", "maybe"),
        ("longer", "more", "padding", "largely"),
        ("too few", "more", "both", "too few"),
        ("not shown", "more", "both", "no"),
        ("not shown", "not shown", "both", "not shown"),
    ],
)
def test_the_word_on_length(wins, beyond, treats, word, sound):
    change = both(
        says("longer wins", wins), says("beyond length", beyond), says("treats length", treats),
        says("net of length", "not shown"),
    )  # fmt: skip
    assert short_answers(changed(sound, change))["length"].word == word


def test_labels_that_are_not_judged_are_ranked_and_the_verdict_says_so(monkeypatch):
    """Labels whose errors a model's margins do not explain are listed, and none is claimed."""
    from sklearn_codex.health import _noise

    monkeypatch.setattr(_noise, "_misfit", lambda *args: 0.003)
    audit = finite(compute_audit(oriented(n_prompts=40, noise=0.1)))
    labels = audit["labels_to_check"]
    assert (labels["is_judged"], labels["n_flagged"]) == (False, 0)
    assert len(labels["rows"]) == min(labels["n_unlikely"], 100) > 5
    assert {row["p_wrong"] for row in labels["rows"]} == {None}
    # The labels a model contradicts most come first.
    assert all(row["probability"] < 0.5 for row in labels["rows"])
    chances = [row["probability"] for row in labels["rows"]]
    assert chances == sorted(chances)
    assert audit["verdicts"]["wrong labels"] == {"verdict": "not asked"}
    assert audit["decision"] == {"verdict": TRAIN, "reason": "nothing against it"}
    assert give_reason(audit).endswith("could not be judged: read the least likely ones.")
    answer = short_answers(audit)["labels"]
    assert (answer.word, answer.line[:24]) == ("unjudged", "a ranking, none judged; ")
    (text,) = [one["text"] for one in audit["health"] if "are not judged" in one["text"]]
    assert text.endswith("Read those it finds least likely, a ranking and no proof:")
    assert "better model" not in text
    section = audit_sections(audit)[6]
    assert section.answer.startswith("Single labels are not judged; a ranking of the least likely")
    assert "cannot tell how many labels are wrong" in section.blocks[0].meaning


def test_no_page_says_only_length_where_words_predict_net_of_it(sound):
    """Neither the verdict nor a section contradicts the test of the reward net of length."""
    change = both(LONGER, says("beyond length", "not shown"), says("net of length", "yes"))
    audit = changed(sound, change)
    assert short_answers(audit)["length"].word == "partly"
    sections = [
        " ".join([one.answer, *(getattr(block, "meaning", "") for block in one.blocks)])
        for one in audit_sections(audit)
    ]
    said = " ".join([give_reason(audit), *sections])
    assert "only length" not in said.lower()
    assert "More than length is not shown" not in said
    assert "words predict net of length too" in sections[2]
    assert "what is left of the reward still predicts" in sections[2]


class Kept:
    """Just what ``try_dropping`` needs of the audit, made once."""

    def __init__(self, rows):
        import sklearn_codex.report.audit as module

        made = {}
        learn, draw = module.predict.predict, module.draw_sample
        try:
            module.draw_sample = lambda data, most: made.setdefault("sample", draw(data, most))
            module.predict.predict = lambda data, step: made.setdefault("of", learn(data, step))
            compute_audit(rows)
        finally:
            module.predict.predict, module.draw_sample = learn, draw
        self.data, self.prediction = made["sample"][0], made["of"][0]


@pytest.fixture(scope="module")
def harmed():
    """Sound pairs, and more of other prompts whose labels are all the wrong way round."""
    rows = oriented(n_prompts=40, noise=0.0)
    wrong = oriented(n_prompts=52, noise=0.0, seed=1)
    for row in wrong:
        row["prompt"] = f"another {row['prompt']}"
        row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    return Kept([*rows, *wrong]), len(rows)


def test_rows_that_do_harm_are_shown_to_and_rows_by_chance_are_not(harmed):
    made, n_sound = harmed
    n = len(made.data.y)
    bad = Droppable("empty", np.arange(n_sound, n))
    some = Droppable("repeats", np.arange(0, 12))
    found = try_dropping(made.data, [some, bad], made.prediction)
    assert [item["kind"] for item in found] == ["empty", "repeats"]
    effect = found[0]["effect"]
    assert effect["verdict"] == "raises"
    assert effect["low"] > 0
    assert effect["value"] == pytest.approx(effect["after"] - effect["before"])
    assert effect["level"] == pytest.approx(0.025)
    assert found[1]["effect"]["verdict"] == "not shown"


def test_what_is_not_among_the_pairs_or_leaves_too_few_is_not_tested(harmed):
    made, _ = harmed
    n = len(made.data.y)
    items = [Droppable("empty", np.array([n + 5])), Droppable("repeats", np.arange(n - 40))]
    found = try_dropping(made.data, items, made.prediction)
    assert [item["effect"] for item in found] == [None, None]
    assert [item["n_rows"] for item in found] == [n - 40, 1]


def test_dropping_rows_by_chance_is_seldom_said_to_change_anything():
    """At 5 %: of 20 draws at most 3 in 99.8 of 100 runs of this test."""
    made = Kept(oriented(n_prompts=40, noise=0.25))
    rng = np.random.RandomState(0)
    n_told = 0
    for _ in range(20):
        rows = np.sort(rng.choice(len(made.data.y), 24, replace=False))
        (found,) = try_dropping(made.data, [Droppable("empty", rows)], made.prediction)
        n_told += found["effect"]["verdict"] != "not shown"
    assert n_told <= 3


def test_labels_that_may_be_wrong_are_dropped_without_a_look_at_those_that_judge():
    made = Kept(oriented(n_prompts=40, noise=0.2))
    data = made.data
    flagged = np.arange(0, len(data.y), 10)
    (found,) = try_dropping(data, [Droppable("wrong labels", flagged)], made.prediction)
    effect = found["effect"]
    # All labels judge, as they are, and both sides are judged by the same ones.
    assert effect["n_pairs"] == int(data.decided.sum())
    assert 0.5 < effect["before"] <= 1
    assert 0.5 < effect["after"] <= 1


def test_what_can_be_dropped_comes_from_the_checks():
    from sklearn_codex import check_preferences

    X = [("p", "a b", "c"), ("p", "c", "a b"), ("q", "x", "x"), ("r", "", "y"), ("p", "a b", "c")]
    report = check_preferences(X, [1, 0, 0.5, 1, 0], random_state=0)
    found = {item.kind: item.rows.tolist() for item in find_droppable(report)}
    assert found["identical"] == [2]
    assert found["empty"] == [3]
    assert found["contradictions"] == report.contradictions.row.tolist()
    sizes = [item.rows.size for item in find_droppable(report)]
    assert sizes == sorted(sizes, reverse=True)


def test_dropping_rows_that_change_no_prediction_has_no_interval(sound):
    """A second pair like another, far from all others, changes no side of any other prediction."""
    made = Kept(oriented(n_prompts=40, noise=0.0))
    (found,) = try_dropping(made.data, [Droppable("repeats", np.array([0]))], made.prediction)
    assert found["effect"]["n_changed"] == 0
    assert found["effect"]["value"] == 0.0
    assert all(found["effect"][name] is None for name in ("low", "high", "p_value"))
    (task,) = list_tasks(sound | {"to_do": [found | {"where": ["line 1"]}]})
    assert (task.effect, task.numbers) == ("no prediction changes", "")


@pytest.mark.parametrize(
    ("change", "action"),
    [
        (too_small, "Label more: 50 pairs, 10 prompts at least"),
        (says("predictable", "too few"), "Label more pairs, of new prompts"),
        (says("predictable", "not shown"), None),
        (no_preference, None),
    ],
    ids=["too few", "nothing shown", "nothing predictable", "no preference"],
)
def test_data_that_are_too_few_say_what_to_label(change, action, sound):
    tasks = [task.action for task in list_tasks(changed(sound, change))]
    assert [name for name in tasks if name.startswith("Label more")] == ([action] if action else [])


def test_a_policy_is_not_told_where_halves_do_not_agree(sound):
    def disagree(audit):
        audit["policy"]["gold"]["cautious_gold"] = -0.1

    answers = short_answers(changed(sound, disagree))
    assert (answers["learned"].word, answers["learned"].tone) == ("not told", "open")
    few = short_answers(changed(sound, says("words predict", "too few")))
    assert few["learned"].word == "too few"
    nothing = short_answers(changed(sound, says("words predict", "not shown")))
    assert nothing["learned"].word == "nothing"


def test_where_nothing_can_be_tested_no_test_is_counted(sound):
    answers = short_answers(changed(sound, lambda audit: audit["verdicts"].clear()))
    assert (answers["tests"].word, answers["tests"].line) == (
        "none",
        "nothing here could be tested",
    )


def test_checks_do_not_say_again_how_right_a_model_is(sound):
    assert not any("linear reward model is right" in found["text"] for found in sound["health"])
