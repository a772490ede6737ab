"""Whether to train on the data: one verdict with one reason, the first rule that holds.

The rules are asked in order of ``RULES``. Each looks at verdicts that tests have reached, or at
counts; none at an accuracy of its own.
"""

from collections.abc import Callable
from typing import NamedTuple

from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._audit_verdicts import YES, shows_more_than_length

TRAIN, FIX, STOP, OPEN = "train", "fix these first", "do not train on this", "cannot be decided"
MANY_LEAKS = 0.01
"""Of the held-out pairs; fewer hardly move an accuracy, and are in the list of what to do."""
MANY_WRONG = 0.01
"""Of the labels."""
MANY_ROWS = 0.05
"""Of the pairs, for one reason to drop them."""
ONE_LENGTH = ("longer", "shorter")
NO_MORE = ("not shown", "less")


class Rule(NamedTuple):
    """A reason, the verdict that follows from it, and whether it holds of an audit."""

    reason: str
    verdict: str
    holds: Callable[[dict], bool]


def _verdict(audit, question):
    return audit["verdicts"].get(question, {"verdict": "not asked"})["verdict"]


def _is_one_length(audit):
    """Whether one length wins, and no test shows that something else predicts."""
    return _verdict(audit, "longer wins") in ONE_LENGTH and not shows_more_than_length(
        audit["verdicts"]
    )


def _is_against_scores(audit):
    return any(
        item["kind"] == "scores" and item["n_rows"] > audit["sizes"]["n_pairs"] / 2
        for item in audit["to_do"]
    )


def _is_within_kinds(audit):
    is_predictable = _verdict(audit, "predictable") in YES
    return not is_predictable and _verdict(audit, "within kinds") == "some"


def _leaks(audit):
    leaks = audit["leakage"]
    return leaks is not None and leaks["n_leaking"] > MANY_LEAKS * leaks["n_held_out"]


def _has_wrong_labels(audit):
    labels = audit["labels_to_check"]
    few = MANY_WRONG * audit["sizes"]["n_pairs"]
    return (
        _verdict(audit, "wrong labels") == "some"
        and labels is not None
        and labels["n_flagged"] > few
    )


def _gains(audit):
    return any(effect_of(item) == "raises" for item in audit["to_do"])


def _has_many_rows(audit):
    return heaviest(audit) is not None


def heaviest(audit):
    """Return the item of most rows that are a large share of all, None without such a one."""
    least = MANY_ROWS * audit["sizes"]["n_pairs"]
    items = [
        item for item in audit["to_do"] if item["n_rows"] >= least and effect_of(item) != "lowers"
    ]
    return max(items, key=lambda item: item["n_rows"], default=None)


def effect_of(item):
    """Return the verdict on an item, "not tested" where there is none."""
    return "not tested" if item["effect"] is None else item["effect"]["verdict"]


def _is_of_embeddings(audit):
    """Whether embeddings predict what words do not."""
    is_predictable = _verdict(audit, "predictable") in YES
    return not is_predictable and _verdict(audit, "embeddings predict") in YES


RULES = (
    Rule("no preference", STOP, lambda audit: not audit["sizes"]["n_telling"]),
    Rule("too few", OPEN, lambda audit: audit["too_small"] is not None),
    Rule("embeddings alone", OPEN, _is_of_embeddings),
    Rule("within kinds", OPEN, _is_within_kinds),
    Rule("nothing predictable", STOP, lambda audit: _verdict(audit, "predictable") == "not shown"),
    Rule("nothing shown", OPEN, lambda audit: _verdict(audit, "predictable") not in YES),
    Rule("no prompts", OPEN, lambda audit: not Units.of(audit).are_known),
    Rule("against scores", FIX, _is_against_scores),
    Rule("leakage", FIX, _leaks),
    Rule(
        "only length",
        STOP,
        lambda audit: _is_one_length(audit) and _verdict(audit, "beyond length") in NO_MORE,
    ),
    Rule("length or more", OPEN, _is_one_length),
    Rule("padding", FIX, lambda audit: _verdict(audit, "treats length") == "padding"),
    Rule("brevity", FIX, lambda audit: _verdict(audit, "treats length") == "brevity"),
    Rule("wrong labels", FIX, _has_wrong_labels),
    Rule("rows that harm", FIX, _gains),
    Rule("many rows", FIX, _has_many_rows),
    Rule("nothing against it", TRAIN, lambda audit: True),
)


def decide(audit):
    """Return the ``verdict`` and the ``reason`` of the first rule that holds of an audit."""
    rule = next(rule for rule in RULES if rule.holds(audit))
    return {"verdict": rule.verdict, "reason": rule.reason}
