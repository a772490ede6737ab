"""What the audit says, and how often it says what does not hold."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom
from sklearn.utils import Bunch

from sklearn_codex._verdicts import CROSS_FITTED, GIVEN, judge_mean, judge_share
from sklearn_codex.health._judgements import check_length, check_position
from sklearn_codex.report import _audit_length
from sklearn_codex.report import _audit_predict as predict
from sklearn_codex.report import _audit_verdicts as rules
from sklearn_codex.report._audit_run import finite, render
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report._audit_sections_tests import tests_section as section_of_tests
from sklearn_codex.report.audit import compute_audit

_spec = importlib.util.spec_from_file_location(
    "verdicts_benchmark", Path(__file__).parents[1] / "benchmarks" / "verdicts.py"
)
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)

N, N_EACH = 300, 5
N_SETS = 300
MOST_FALSE = binom.ppf(1 - 1e-4, N_SETS, 0.05)
"""More false sentences than this are chance in one of ten thousand such simulations."""


def pairs(y, length=None):
    """Return what the rules need of pairs."""
    y = np.asarray(y, dtype=float)
    return Bunch(
        y=y,
        groups=np.arange(len(y)) // N_EACH,
        decided=y != 0.5,
        length_difference=length,
        seed=0,
    )


def coins(rng):
    return rng.randint(2, size=N).astype(float)


def count(simulate, n_sets=N_SETS):
    """Return how often each verdict is reached."""
    rng = np.random.RandomState(0)
    found: dict = {}
    for _ in range(n_sets):
        verdict = simulate(rng)
        found[verdict] = found.get(verdict, 0) + 1
    return found


def assert_rare(found, *false):
    for verdict in false:
        assert found.get(verdict, 0) <= MOST_FALSE, found


# From figures to verdicts: what does not hold is rarely said, and what holds is said.


def skill(data, margin):
    return rules._skill({"accuracy": predict.accuracy(data, margin)}, "a model")["verdict"]


def longer(data):
    return rules._longer(_audit_length.judge_longer(data))["verdict"]


def treats(data, margin):
    direction = np.sign(data.y - 0.5) * np.sign(data.length_difference)
    return rules._treats(
        {
            "where_longer": _audit_length._accuracy_where(data, margin, direction > 0),
            "where_shorter": _audit_length._accuracy_where(data, margin, direction < 0),
        }
    )["verdict"]


def calibrated(data, margin):
    figures = predict.calibrate(data, margin, inflation=GIVEN)
    return rules._calibrated(figures)["verdict"]


def beyond(data, margin):
    gain = predict.gain(
        data,
        predict.credits(data.y, margin),
        predict.credits(data.y, data.length_difference),
        data.decided,
    )
    return rules._beyond({"gain_over_length": gain})["verdict"]


def labels_by(rng, logit):
    return (rng.uniform(size=len(logit)) < expit(logit)).astype(float)


@pytest.mark.slow
def test_labels_by_coin_are_rarely_called_anything():
    def simulate(judge):
        return count(lambda rng: judge(pairs(coins(rng), rng.normal(size=N)), rng.normal(size=N)))

    assert_rare(simulate(skill), "yes")
    assert_rare(simulate(treats), "both", "padding", "brevity")
    assert_rare(simulate(beyond), "more", "less")
    assert_rare(simulate(lambda data, _: longer(data)), "longer", "shorter")


@pytest.mark.slow
def test_a_position_and_a_length_are_rarely_favoured_by_coins():
    responses = ["x" * (1 + i % 7) for i in range(2 * N)]

    def simulate(check):
        def run(rng):
            y = coins(rng)
            data = Bunch(
                y=y, decided=y != 0.5, unit="prompt", is_text=True, responses=responses,
                a=np.arange(N), b=N + rng.permutation(N),
            )  # fmt: skip
            data["__len__"] = N
            return check(data, np.arange(N) // N_EACH)[0][0].status

        return count(run)

    assert_rare(simulate(check_position), "look", "skipped")
    assert_rare(simulate(check_length), "note", "skipped")


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 1000])
def test_calibrated_predictions_are_rarely_sent_to_recalibration(n):
    def simulate(rng):
        margin = rng.normal(size=n)
        return calibrated(pairs(labels_by(rng, margin)), margin)

    def simulate_wrong(rng):
        margin = 2.5 * rng.normal(size=n)
        return calibrated(pairs(labels_by(rng, margin / 2.5)), margin)

    found = count(simulate, 200)
    assert_rare(found, "too sure", "too careful", "uneven")
    if n == 1000:
        assert found["close"] > 100
    wrong = count(simulate_wrong, 50)
    assert wrong["too sure"] > 45
    assert "close" not in wrong


@pytest.mark.parametrize("inflation", [GIVEN, 2.0])
def test_gaps_of_bins_are_told_by_prompt_as_seldom_as_said(inflation):
    """Calibrated probabilities, of prompts that err together: all labels of one go one way."""
    rng = np.random.RandomState(0)
    n_told = 0
    for _ in range(200):
        margin = np.repeat(rng.normal(scale=1.5, size=120), N_EACH)
        y = np.repeat(labels_by(rng, margin[::N_EACH]), N_EACH)
        figures = predict.calibrate(pairs(y), margin, inflation=inflation)
        n_told += figures["error_p_value"] < 0.05
    assert n_told <= binom.ppf(1 - 1e-4, 200, 0.05)


def test_gaps_that_a_slope_does_not_see_are_not_called_close():
    """Predicted .79 where .96 is observed, and as much too sure elsewhere: the slope is 1."""
    rng = np.random.RandomState(0)
    found = []
    for _ in range(20):
        margin = rng.choice([-1, 1], 1800) * rng.choice([0.4, 1.3, 2.5], 1800)
        true = np.select([abs(margin) < 1, abs(margin) < 2], [0.5, 0.95], 0.87)
        y = np.where(rng.uniform(size=1800) < true, margin > 0, margin < 0).astype(float)
        figures = predict.calibrate(pairs(y), margin)
        found.append(rules._calibrated(figures)["verdict"])
        assert figures["error_p_value"] < 0.01
    assert "close" not in found
    assert "uneven" in found


@pytest.mark.slow
def test_labels_by_length_rarely_have_more_in_them():
    def noisy(rng, sign):
        length = rng.normal(size=N)
        return pairs(labels_by(rng, 1.5 * sign * length), length), sign * length

    for sign, which in ((1, "padding"), (-1, "brevity")):
        for noise in (0.3, 1.0):

            def margin_of(rng, sign=sign, noise=noise):
                data, margin = noisy(rng, sign)
                return data, margin + noise * rng.normal(size=N)

            found = count(lambda rng, draw=margin_of: treats(*draw(rng)))
            assert_rare(found, "both", "padding" if which == "brevity" else "brevity")
            if noise < 1:
                assert found[which] > 0.9 * N_SETS
            if sign > 0:
                assert_rare(count(lambda rng, draw=margin_of: beyond(*draw(rng))), "more")
        wins = count(lambda rng, sign=sign: longer(noisy(rng, sign)[0]), 50)
        assert wins == {"longer" if sign > 0 else "shorter": 50}


@pytest.mark.slow
def test_content_is_seen_beside_length():
    def draw(rng):
        content, length = rng.normal(size=(2, N))
        return pairs(labels_by(rng, 3 * content + length), length), 3 * content + length

    assert count(lambda rng: skill(*draw(rng)), 50) == {"yes": 50}
    assert count(lambda rng: beyond(*draw(rng)), 50)["more"] > 45
    assert count(lambda rng: treats(*draw(rng)), 50)["both"] > 45


def curve_of(test, foreseen=0.0):
    return {"last_doubling": test, "budget": {"predicted": [{"gain_high": foreseen}]}}


@pytest.mark.slow
def test_a_learning_curve_is_rarely_called_what_it_is_not():
    """The half-trained models err by the prompts they got, which no prompt of the test shows."""

    def simulate(gain):
        def run(rng):
            groups = np.arange(2000) // N_EACH
            draws = rng.normal(0, 0.02, 2)  # accuracy lost by which prompts were drawn
            full = rng.uniform(size=2000) < 0.7
            one, two = (
                np.where(rng.uniform(size=2000) < 0.8, full, rng.uniform(size=2000) < 0.7)
                & (rng.uniform(size=2000) > (gain + draw) / 0.7)
                for draw in draws
            )
            data = Bunch(
                y=np.ones(2000), groups=groups, decided=np.ones(2000, bool),
                folds=[(None, np.flatnonzero(groups % 5 == fold)) for fold in range(5)],
            )  # fmt: skip
            extra = predict._variance_of_draws(data, one * 1.0 - two * 1.0, data.folds)
            test = predict.gain(
                data, full * 1.0, (one * 1.0 + two) / 2, data.decided, extra_variance=extra
            )
            return rules._more_labels(curve_of(test))["verdict"]

        return count(run, 200)

    assert_rare(simulate(0.0), "rising")
    assert_rare(simulate(rules.WORTH), "flat")
    assert simulate(0.15)["rising"] > 150


# From verdicts to sentences: each branch.


@pytest.fixture(scope="module")
def audit():
    return finite(compute_audit(benchmark.make_rows("words", 60, 5, 0)))


def sentences(audit, position, **verdicts):
    """Return the texts of a section where some verdicts are replaced."""
    replaced = {name.replace("_", " "): {"verdict": key} for name, key in verdicts.items()}
    section = audit_sections(audit | {"verdicts": audit["verdicts"] | replaced})[position]
    parts = [section.answer]
    for block in section.blocks:
        parts += [getattr(block, name) for name in ("text", "meaning") if hasattr(block, name)]
    return "\n".join(parts)


NO_NET = {"net_of_length": "not shown"}
BY_LENGTH = {"longer_wins": "longer", **NO_NET}
UNLEARNED = {
    "predictable": "not shown",
    "words_predict": "not shown",
    "beyond_length": "not asked",
    "treats_length": "not asked",
    "net_of_length": "not asked",
    "more_labels": "not asked",
    "calibrated": "not asked",
}


@pytest.mark.parametrize(
    ("position", "verdicts", "said", "not_said"),
    [
        (1, {"predictable": "yes"}, "Yes: a model of", "Not shown"),
        (1, UNLEARNED, "is ruled out for models of this kind", "Yes: "),
        (1, UNLEARNED, "No model here can be told from a coin", "can pay"),
        (1, UNLEARNED | {"predictable": "too few"}, "The data are too few to say: the best", "Yes"),
        (1, {"beyond_length": "more"}, "there is more in the labels than length", "not shown"),
        (1, {**NO_NET, "beyond_length": "less"}, "Length alone does better than", "can pay"),
        (1, {**NO_NET, "beyond_length": "not shown"}, "More than length is not shown", "can pay"),
        (1, {**NO_NET, "beyond_length": "too few"}, "cannot be told from so few", "can pay"),
        (1, {"beyond_length": "not shown"}, "Still there is more in the", "More than"),
        (1, {"beyond_length": "less"}, "alone does better than", "do not learn"),
        (1, {"more_labels": "rising"}, "more labels would help", "cannot be told"),
        (1, {"more_labels": "flat"}, "a better model helps more", "would help"),
        (1, {"more_labels": "unclear"}, "whether more labels help cannot be told", "would help"),
        (1, UNLEARNED, "nothing is said of more labels", "would help"),
        (1, {"calibrated": "close"}, "can be read as they are, to within 5", "must be"),
        (1, {"calibrated": "too sure"}, "is too sure, and its probabilities must be", "careful"),
        (1, {"calibrated": "too careful"}, "is too careful, and its probabilities must", "sure"),
        (1, {"calibrated": "uneven"}, "in a way that one slope does not mend", "as they are"),
        (1, {"calibrated": "close"}, "by no more than chance makes", "must be recalibrated"),
        (1, {"calibrated": "unclear"}, "do not tell whether", "must be recalibrated"),
        (1, {"calibrated": "too sure"}, ", level 0.05)", "do not tell"),
        (1, UNLEARNED, "probabilities are not to be read at all", "must be recalibrated"),
        (2, {"longer_wins": "longer"}, "but length is part of it: the longer", "shorter r"),
        (2, {"longer_wins": "shorter"}, "is part of it: the shorter", "the longer response w"),
        (2, BY_LENGTH | {"beyond_length": "not shown"}, "It may be: ", "Not o"),
        (2, BY_LENGTH | {"beyond_length": "less"}, "It may be: the longer", "Not o"),
        (2, {"longer_wins": "longer", "beyond_length": "too few"}, "Not only, but", "It may be"),
        (2, {"treats_length": "padding", "beyond_length": "less"}, "predict net of", "say more"),
        (2, UNLEARNED | {"longer_wins": "longer"}, "no model can be told from a coin", "Not only"),
        (2, {"longer_wins": "not shown"}, "No, there is more", "part of it"),
        (2, UNLEARNED | {"longer_wins": "not shown"}, "for one length is ruled out", "part of it"),
        (2, {"longer_wins": "too few"}, "The data are too few to say: the longer", "ruled out"),
        (2, {"treats_length": "both"}, "it sees more than length", "would reward"),
        (2, {"treats_length": "padding"}, "so it would reward padding", "sees more"),
        (2, {"treats_length": "padding"}, "the best model follows length: it is right on", "Not o"),
        (2, {"treats_length": "brevity", "beyond_length": "more"}, "though words say more", "No, "),
        (2, NO_NET | {"treats_length": "brevity", "beyond_length": "less"}, "Largely", "though"),
        (2, {"treats_length": "brevity"}, "so it would reward brevity", "sees more"),
        (2, {"treats_length": "not shown"}, "or follows length, is not shown", "would reward"),
        (2, {"treats_length": "one kind"}, "one kind of pair only", "would reward"),
        (2, UNLEARNED, "this says nothing of the data", "would reward"),
        (2, {"net_of_length": "yes"}, "still predicts. The price", "when length is taken out"),
        (2, {"net_of_length": "not shown"}, "taken out is not shown", "still predicts"),
        (2, UNLEARNED, "it is not what is to be trained on", "still predicts"),
        (3, {"form": "none shown"}, "nothing beyond chance is shown", "in favour"),
        (3, UNLEARNED, "no pair shows what is preferred", "The clearest cases"),
        (4, {"words_predict": "yes"}, "of the prompts", "Nothing that can be relied on"),
        (4, UNLEARNED, "Nothing that can be relied on", "start above it"),
        (4, UNLEARNED, "Nothing that can be relied on", "is not told here"),
        (4, {"words_predict": "not shown"}, "a policy is not told here", "start above it"),
    ],
)  # fmt: skip
def test_each_verdict_has_its_sentence(audit, position, verdicts, said, not_said):
    text = sentences(audit, position, **verdicts)
    assert said.lower() in text.lower()
    assert not_said not in text


def test_sentences_for_form_name_what_is_certain_only(audit):
    row = {"weight": 1.0, "low": 0.5, "high": 1.5, "n_pairs": 30, "p_value": 0.01}
    form = audit["form"] | {
        "for": [
            {**row, "name": "a", "is_certain": True},
            {**row, "name": "b", "is_certain": False},
        ],
        "against": [],
        "n_certain": 1,
    }
    text = sentences(audit | {"form": form}, 3, form="some")
    assert "Of their form, in favour: a." in text
    assert "tested all together, 1 is beyond chance" in text


def test_words_are_named_beside_form_where_they_are_certain(audit):
    row = {"weight": 1.0, "low": 0.5, "high": 1.5, "n_pairs": 30, "p_value": 0.01}
    certain, unsure = {**row, "name": "\x1b,", "is_certain": True}, {**row, "is_certain": False}
    tokens = {"for": [certain, unsure | {"name": "b"}], "against": [], "n_certain": 1}
    changed = audit | {"tokens": audit["tokens"] | tokens}
    text = sentences(changed, 3, form="none shown", tokens="some")
    assert "Of their form, nothing beyond chance is shown" in text
    assert "Of their words, more of “␛,”." in text
    text = sentences(changed, 3, form="none shown", tokens="none shown")
    assert "Of their words, nothing beyond chance." in text


@pytest.mark.parametrize(("gain", "said"), [(0.0049, "no price is shown"), (-0.02, "The price of")])
def test_what_a_reward_net_of_length_costs_is_called_a_price_where_it_costs(audit, gain, said):
    words = audit["prediction"]["models"]["words"]["accuracy"]
    ends = {"value": gain, "low": gain - 0.03, "high": gain + 0.03}
    net = words | {"value": words["value"] + gain, "change": ends}
    changed = audit | {"length": audit["length"] | {"words_net_of_length": net}}
    text = sentences(changed, 2, net_of_length="yes")
    assert said in text
    shown = round(net["value"], 3) - round(words["value"], 3)
    assert f"{net['value']:.3f} instead of {words['value']:.3f}, {100 * shown:+.1f} points" in text


def test_length_that_tells_every_label_leaves_nothing(audit):
    length = audit["length"] | {"words_net_of_length": None}
    assert "Length tells every label" in sentences(audit | {"length": length}, 2)


def test_tests_are_listed_with_what_they_rest_on(audit):
    (table,) = section_of_tests(audit).blocks
    rows = {row[0]: row for row in table.rows}
    found = audit["verdicts"]["predictable"]
    row = rows["accuracy of the best model"]
    assert row[1].startswith(f"{found['value']:.3f} [")
    assert row[2:] == ("0.5", "< .001", f"{found['n_groups']}", "yes")
    for verdict in audit["verdicts"].values():
        assert ("figure" in verdict and "level" in verdict) or verdict["verdict"] in (
            "not asked", "one kind", "nothing left",
        )  # fmt: skip


def test_verdict_and_shown_interval_never_contradict(audit):
    for verdict in audit["verdicts"].values():
        if "value" in verdict:
            inside = verdict["low"] <= verdict["null"] <= verdict["high"]
            assert inside == (verdict["p_value"] >= verdict["level"])


def test_one_figure_answers_one_question(audit):
    """What stands in two places is the same number there."""
    models, length = audit["prediction"]["models"], audit["length"]
    best = models[audit["prediction"]["best"]]["accuracy"]
    *_, half, last = audit["learning_curve"]["points"]
    brought = audit["learning_curve"]["last_doubling"]["value"]
    assert brought == pytest.approx(last["value"] - half["value"])
    assert last["value"] == best["value"] == pytest.approx(length["accuracy"])
    assert length["accuracy_interval"] == [best["low"], best["high"]]
    (found,) = (f["text"] for f in audit["health"] if f["text"].startswith("The longer response"))
    assert f"{100 * length['longer_wins']:.0f}% of" in found


def test_learning_curve_of_a_part_says_so(monkeypatch):
    monkeypatch.setattr(predict, "LARGE", 100)
    part = finite(compute_audit(benchmark.make_rows("words", 60, 5, 0)))
    assert (part["learning_curve"]["n_folds"], part["learning_curve"]["of_folds"]) == (2, 5)
    assert "The curve is of 2 of the 5 parts of the prompts" in sentences(part, 1)
    assert part["learning_curve"]["last_doubling"]["n_groups"] == 24


@pytest.mark.parametrize(
    ("value", "low", "high", "p_value", "verdict"),
    [
        (0.03, 0.01, 0.05, 0.001, "rising"),
        (0.0, -0.01, 0.019, 0.9, "flat"),
        (0.0, -0.03, 0.03, 0.9, "unclear"),
        (-0.05, -0.08, -0.02, 0.001, "flat"),
    ],
)
def test_rule_of_the_learning_curve(value, low, high, p_value, verdict):
    test = judge_mean(np.zeros(9), np.arange(9))._replace(
        value=value, low=low, high=high, p_value=p_value
    )
    assert rules._more_labels(curve_of(test._asdict()))["verdict"] == verdict
    if verdict == "flat":  # not where more is foreseen
        rising = curve_of(test._asdict(), foreseen=0.03)
        assert rules._more_labels(rising)["verdict"] == "unclear"


def test_too_few_is_what_would_miss_much():
    test = judge_share(np.tile([0.0, 1.0], 20), np.arange(40), inflation=CROSS_FITTED)
    assert test.pick("yes", "no", 0.2) == "too few"
    many = judge_share(np.tile([0.0, 1.0], 200), np.arange(400), inflation=CROSS_FITTED)
    assert many.pick("yes", "no", 0.2) == "not shown"


@pytest.mark.parametrize(
    ("low", "high", "below", "verdict"),
    [
        (0.35, 0.69, "no", "not shown"),
        (0.45, 0.71, "no", "too few"),
        (0.29, 0.6, "no", "too few"),
        (0.29, 0.6, None, "not shown"),
        (0.45, 0.71, None, "too few"),
    ],
)
def test_not_shown_is_what_is_ruled_out(low, high, below, verdict):
    """Whoever would see .7 in four of five data sets still misses it in one of five."""
    test = judge_share(np.tile([0.0, 1.0], 200), np.arange(400), inflation=CROSS_FITTED)
    assert test.detectable < 0.2
    assert test._replace(low=low, high=high).pick("yes", below, 0.2) == verdict


def test_a_share_that_is_enough_is_hardly_ever_not_shown():
    """Of 54 pairs, which detect .7 in four data sets of five: at 5 %, and no more."""
    groups, rng = np.arange(54), np.random.RandomState(0)
    shares = (rng.uniform(size=(N_SETS, 54)) < 0.7).astype(float)
    tests = [judge_share(share, groups) for share in shares]
    assert all(test.detectable <= 0.2 for test in tests)
    assert_rare(
        {"not shown": [t.pick("yes", "no", 0.2) for t in tests].count("not shown")}, "not shown"
    )


# Whole audits.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "size", "n_sets"),
    [("coin", (12, 6), 8), ("coin of prompts", (40, 4), 5), ("length", (25, 4), 5)],
)
def test_whole_audits_rarely_say_what_does_not_hold(kind, size, n_sets):
    rates = benchmark.measure(kind, size, n_sets)
    for question, verdicts in benchmark.FALSE[kind].items():
        for verdict in verdicts:
            # More than 2 of 5, or 3 of 8, are chance in about one of a thousand.
            assert rates.get((question, verdict), 0) * n_sets <= n_sets // 5 + 2, question
    for question, verdicts in benchmark.TRUE.get(kind, {}).items():
        assert sum(rates.get((question, verdict), 0) for verdict in verdicts) >= 0.5, question


def test_whole_audit_sees_what_is_there(audit):
    found = {question: verdict["verdict"] for question, verdict in audit["verdicts"].items()}
    for question, (verdict,) in benchmark.TRUE["words"].items():
        if question != "treats length":  # takes more pairs
            assert found[question] == verdict, question


WORDS = [f"word{i}" for i in range(30)]
REFUSAL = "I cannot help with that."
# What a row of random text and a random label is turned into.
DEGENERATE = {
    "ties": lambda i, a, b, y: (a, b, 0.5),
    "all but one are ties": lambda i, a, b, y: (a, b, 0.5 if i else 1),
    "one prompt": lambda i, a, b, y: (a, b, y),
    "40 pairs": lambda i, a, b, y: (a, b, y),
    "identical": lambda i, a, b, y: (a, a, y),
    "all A": lambda i, a, b, y: (a, b, 1),
    "empty": lambda i, a, b, y: ("", "", y),
    "blank": lambda i, a, b, y: (" " * (i % 3), "", y),
    "one response": lambda i, a, b, y: (REFUSAL, b, 1),
    "two responses": lambda i, a, b, y: (REFUSAL, "Yes.", y),
    "same words": lambda i, a, b, y: (a, " ".join(reversed(a.split())), y),
    "no word twice": lambda i, a, b, y: (f"{i}a" * 3, f"{i}b" * 4, y),
    "40 pairs, length tells": lambda i, a, b, y: (f"{a} {b} and more", WORDS[i % 30], 1),
    "length tells": lambda i, a, b, y: (f"{a} {b} and more", WORDS[i % 30], 1),
}


def degenerate(kind):
    rng = np.random.RandomState(0)
    rows = []
    for i in range(40 if kind.startswith("40 pairs") else 100):
        a, b = (" ".join(rng.choice(WORDS, rng.randint(3, 15))) for _ in range(2))
        a, b, label = DEGENERATE[kind](i, a, b, int(rng.randint(2)))
        prompt = "one prompt" if kind == "one prompt" else f"question {i} {WORDS[i % 30]}"
        rows.append({"prompt": prompt, "response_a": a, "response_b": b, "label": label})
    return rows


TOO_FEW = "too few to say"


@pytest.mark.parametrize(
    ("kind", "position", "said"),
    [
        ("ties", 0, "1 thing to look at before training"),
        ("ties", 2, "All pairs are ties"),
        ("ties", 7, "Nothing here could be tested"),
        ("all but one are ties", 2, f"{TOO_FEW}: the longer response wins"),
        ("one prompt", 1, TOO_FEW),
        ("40 pairs", 1, TOO_FEW),
        ("40 pairs, length tells", 2, "Length is part of it: the longer response wins 100 %"),
        ("identical", 1, TOO_FEW),
        ("identical", 2, "both have the same length"),
        ("all A", 1, "Not shown"),
        ("empty", 1, TOO_FEW),
        ("blank", 1, TOO_FEW),
        ("one response", 0, "2 things to look at"),
        ("one response", 1, "Yes: a model of"),
        ("two responses", 1, "Not shown"),
        ("same words", 2, "both have the same length"),
        ("no word twice", 4, "Nothing that can be relied on"),
        ("length tells", 2, "It may be: the longer response wins 100 %"),
    ],
)
def test_degenerate_data_have_a_true_answer(kind, position, said):
    audit = finite(compute_audit(degenerate(kind)))
    assert said in audit_sections(audit)[position].answer
    page = render(audit)
    assert "No cleaning is needed" not in page
    if kind == "ties":
        assert "All labels are ties: nothing says which response is better" in page
        assert "so there is no preference to learn or to judge a model by" in page
        assert "pairs with a preference between" not in page
    if kind == "all A":
        assert "A is preferred in every pair" in page
    if kind == "one prompt":
        assert "How a model does elsewhere cannot be measured" in page
        assert "an accuracy is known to" not in page
        assert "of 1 prompt: too few to tell it from one half" in page or "too few of 1" in page
