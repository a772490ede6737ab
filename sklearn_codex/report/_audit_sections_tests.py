"""The tests behind the sentences, in words."""

from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._audit_words import interval, shown_gains
from sklearn_codex.report._blocks import Note, Section, TableBlock


def tests_section(audit):
    """Return the section on how sure the sentences above are."""
    units = Units.of(audit)
    gains = shown_gains(audit)
    rows = [
        _cells(verdict | ({"value": gains[name]["value"]} if name in gains else {}))
        for name, verdict in audit["verdicts"].items()
        if verdict["verdict"] != "not asked" and "p_value" in verdict
    ]
    question = "How sure are these answers?"
    answer = (
        "Each is tested at the level of 5 %: it is wrong in at most one of twenty data sets in "
        "which it does not hold. What is not shown may still be there."
    )
    if not units.are_known:
        answer = (
            "Each is tested at the level of 5 % as if pairs were independent, which without "
            "prompts nobody knows: pairs of one prompt make intervals too short and p too small."
        )
    if not rows:
        return Section(question, "Nothing here could be tested.", [Note("No pair has a winner.")])
    together = (
        f"By {units.one}: what pairs of one {units.one} say is added up before it is tested. "
        if units.are_known
        else ""
    )
    whole = f"whole {units.many}" if units.are_known else "pairs"
    table = TableBlock(
        ("what is tested", "figure, 95% interval", "by chance", "p", units.many, "verdict"),
        rows,
        f"{together}Intervals of models hold the noise of the folds: each two {units.many} are "
        "used twice, to learn from and to be judged. Nothing is said to be there unless p is below "
        ".05, and for wrong labels below .01; data that are too few would have missed even a "
        f"large effect. Weights are tested all together, against the labels of {whole} turned "
        "by a coin.",
    )
    return Section(question, answer, [table])


def _cells(verdict):
    p_value = verdict["p_value"]
    shown = "< .001" if p_value < 0.001 else f"{p_value:.3f}".lstrip("0")
    if "value" not in verdict:
        return verdict["figure"], "", "", shown, "", verdict["verdict"]
    return (
        verdict["figure"],
        interval(verdict),
        f"{verdict['null']:g}",
        shown,
        f"{verdict['n_groups']:,}",
        verdict["verdict"],
    )
