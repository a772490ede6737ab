"""Whether it is only length, in words."""

from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._audit_verdicts import YES
from sklearn_codex.report._audit_words import between, change, interval, percent, within
from sklearn_codex.report._blocks import Note, Section, TableBlock


def length_section(audit):
    """Return the section on length."""
    units = Units.of(audit)
    question = "Is it only length?"
    length = audit["length"]
    if length is None:
        return Section(question, "All pairs are ties: there is nothing to explain.", [])
    test = length["longer_wins_test"]
    if test is None:
        return Section(question, "No: where one response is better, both have the same length.", [])
    if audit["too_small"]:
        return Section(
            question,
            _answer_of_few(audit["verdicts"]["longer wins"]["verdict"], test, length["n_pairs"]),
            [Note(audit["too_small"])],
        )
    blocks = [_both_kinds(length, audit["verdicts"]), _net_of_length(audit)]
    return Section(question, _answer(audit["verdicts"], length, units), blocks)


def _wins(which, test):
    """Say how often the longer response wins, or the shorter where that is the verdict."""
    if which == "shorter":
        turned = {"value": 1 - test["value"], "low": 1 - test["high"], "high": 1 - test["low"]}
        return f"the shorter response wins {within(turned)}"
    return f"the longer response wins {within(test)}"


def _answer_of_few(which, test, n_pairs):
    """Answer where the data are too few for a model, which does not keep length from showing."""
    where = f"where lengths differ ({test['n_pairs']:,} of {n_pairs:,} pairs)"
    if which in ("longer", "shorter"):
        return (
            f"Length is part of it: {_wins(which, test)} {where}. Whether there is more, the data "
            "are too few to say."
        )
    return f"The data are too few to say: {_wins(which, test)} {where}, and a coin 50 %."


def _answer(verdicts, length, units):
    test = length["longer_wins_test"]
    which = verdicts["longer wins"]["verdict"]
    seen = f"{_wins(which, test)} of the pairs"
    beyond = verdicts["beyond length"]["verdict"]
    if beyond not in ("more", "not asked") and verdicts["net of length"]["verdict"] in YES:
        beyond = "net"
    if verdicts["treats length"]["verdict"] in ("padding", "brevity"):
        return _follows_length(length, seen, beyond)
    if which in ("longer", "shorter"):
        return _ANSWERS.get(beyond, _ANSWERS["not shown"]).format(seen=seen, units=units)
    if which == "too few":
        return f"The data are too few to say: {seen}, and a coin 50 %."
    if beyond == "more":
        return (
            f"No, there is more: {seen}, and words say more than length. That length plays no part "
            "is not shown."
        )
    return (
        f"Not shown: {seen}, and a coin 50 %. On average over these {units.many} more than "
        f"{percent(max(test['high'], 1 - test['low']))} for one length is ruled out."
    )


def _follows_length(length, seen, beyond):
    """Answer where the best model is right in one kind of pair and wrong in the other."""
    longer, shorter = (percent(length[f"where_{which}"]["value"]) for which in _KINDS)
    more = _MORE.get(beyond, "")
    return (
        f"Largely: {seen}, and the best model follows length: it is right on {longer} where the "
        f"longer is better and on {shorter} where the shorter is{more}."
    )


_KINDS = ("longer", "shorter")
_MORE = {
    "more": ", though words say more than length alone",
    "net": ", though words predict net of length too",
}
_ANSWERS = {
    "more": "Not only, but length is part of it: {seen}, and words say more than length alone.",
    "net": "Not only, but length is part of it: {seen}, and words predict net of length too. That "
    "both together are right more often than length alone is not shown.",
    "not shown": "It may be: {seen}, and no model here is shown to do better than length alone.",
    "not asked": "Length is part of it: {seen}. On {units.never_seen} no model can be told from a "
    "coin.",
}
_TREATS = {
    "not asked": "As it cannot be told from a coin, this says nothing of the data.",
    "both": "it is right in both kinds of pair, so it sees more than length.",
    "padding": "it is right where the longer is better and wrong where the shorter is, so it would "
    "reward padding.",
    "brevity": "it is right where the shorter is better and wrong where the longer is, so it would "
    "reward brevity.",
    "not shown": "whether it is right in both kinds of pair, or follows length, is not shown.",
    "one kind": "there is one kind of pair only, so more than length cannot show.",
}


def _both_kinds(length, verdicts):
    rows = [
        (name, number, "none" if test is None else interval(test))
        for name, number, test in (
            ("the longer is better", length["n_longer_preferred"], length["where_longer"]),
            ("the shorter is better", length["n_shorter_preferred"], length["where_shorter"]),
        )
    ]
    verdict = verdicts["treats length"]["verdict"]
    joint = ". " if verdict == "not asked" else "; "
    return TableBlock(
        ("pairs where", "pairs", "accuracy of the best model"),
        rows,
        f"The best model prefers the longer response in {percent(length['model_prefers_longer'])} "
        f"of the pairs{joint}{_TREATS[verdict]}",
    )


def _net_of_length(audit):
    net, words = audit["length"]["words_net_of_length"], audit["prediction"]["models"]["words"]
    if net is None:
        return Note("Length tells every label, so nothing is left of a reward net of length.")
    verdict = audit["verdicts"]["net of length"]["verdict"]
    if verdict in YES:
        left = f"what is left of the reward still predicts. {_price(net, words['accuracy'])}"
    elif verdict == "not asked":
        left = "with length or without, it is not what is to be trained on."
    else:
        left = "that anything is left of this reward when length is taken out is not shown."
    return TableBlock(
        ("reward of word counts", "accuracy"),
        [("with length", interval(words["accuracy"])), ("net of length", interval(net))],
        f"Net of length the reward is right on {percent(net['value'])}: {left}",
    )


def _price(net, words):
    """Say what it costs to train net of length."""
    paid = between(net["change"], net, words)
    figures = f"{net['value']:.3f} instead of {words['value']:.3f}, {change(paid)}"
    if paid["value"] >= 0:
        return (
            f"Trained net of length (control_length=True), its accuracy is {figures}: no price is "
            "shown."
        )
    return (
        "The price of training it net of length (control_length=True) is an accuracy of "
        f"{figures}: worth it where length is not what is to be rewarded."
    )
