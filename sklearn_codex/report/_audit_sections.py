"""The audit in words: each verdict with the sentence that says what it means for a decision."""

from sklearn_codex.report._audit_sections_length import length_section
from sklearn_codex.report._audit_sections_policy import learned_section
from sklearn_codex.report._audit_sections_predict import predictable_section
from sklearn_codex.report._audit_sections_preferred import preferred_section
from sklearn_codex.report._audit_sections_sample import (
    ALL,
    LENGTH,
    MODELS,
    REWARD,
    TESTS,
    TO_DO,
    tell_sample,
)
from sklearn_codex.report._audit_sections_split import split_blocks
from sklearn_codex.report._audit_sections_tests import tests_section
from sklearn_codex.report._audit_words import percent
from sklearn_codex.report._blocks import Examples, Findings, Note, Section, TableBlock
from sklearn_codex.report._numbers import number

N_EXAMPLES = 10
N_ROWS = 8


def audit_sections(audit):
    """Return the sections of an audit, as from ``audit_preferences``, in reading order."""
    sections = [
        (_clean(audit), ALL),
        (predictable_section(audit), MODELS),
        (length_section(audit), LENGTH),
        (preferred_section(audit), REWARD),
        (learned_section(audit), REWARD),
        (_to_do(audit), TO_DO),
        (tests_section(audit), TESTS),
    ]
    return [tell_sample(section, audit, kind) for section, kind in sections]


def _clean(audit):
    findings = audit["health"]
    bad = [finding for finding in findings if finding["status"] == "look"]
    leaks = audit["leakage"] is not None and audit["leakage"]["n_leaking"] > 0
    sizes = audit["sizes"]
    n_bad = len(bad) + leaks
    what = "1 thing" if n_bad == 1 else f"{n_bad} things"
    answer = (
        f"{what} to look at before training."
        if n_bad
        else "None of the checks found a thing to mend."
    )
    if leaks:
        answer += " The split leaks: what it holds out is in part known before."
    order = {"look": 0, "note": 1, "ok": 2, "skipped": 3}
    items = [
        (finding["status"], _with_rows(finding))
        for finding in sorted(findings, key=lambda finding: order[finding["status"]])
    ]
    table = TableBlock(
        ("size", "number"),
        [
            ("pairs", sizes["n_pairs"]),
            ("independent prompts (similar ones joined)", sizes["n_groups"]),
            ("ties", sizes["n_ties"]),
            ("different responses", sizes["n_responses"]),
            ("characters of a response, median", sizes["characters"]),
        ],
        "The number of prompts, not that of pairs, says how much can be known: pairs of one prompt "
        "share what makes it special.",
    )
    meaning = (
        "Mend what is marked ! first: every figure below is computed from the data as they are."
        if bad
        else "What these checks do not look for they do not find: read some rows as well."
    )
    blocks = [table, Findings(items, meaning), *_worst_rows(findings), *split_blocks(audit)]
    return Section("Is it clean?", answer, blocks)


def _worst_rows(findings):
    """Show the worst rows of each finding to look at, if any."""
    items = [
        (
            f"Row {row['row']}: {finding['found']}",
            [*_texts(row), ("Label", f"{row['label']:g} (1 is A preferred, 0.5 a tie)")],
        )
        for finding in findings
        for row in finding["worst"]
    ]
    meaning = (
        "The first rows of each finding marked !, as they are: read them before you decide whether "
        "to drop, to relabel or to keep."
    )
    return [Examples(items, meaning, "The worst rows")] if items else []


def _texts(row, prefix=""):
    """Return the texts of a pair under their labels."""
    return [
        ("Prompt", row[f"{prefix}prompt"]),
        ("A", row[f"{prefix}response_a"]),
        ("B", row[f"{prefix}response_b"]),
    ]


def _with_rows(finding):
    """Return the text of a finding and its first rows."""
    rows = list(dict.fromkeys(finding["rows"]))
    if not rows:
        return finding["text"]
    name = ("row" if finding["leads_to_rows"] else "Row") + ("s" if len(rows) > 1 else "")
    shown = ", ".join(map(str, rows[:N_ROWS])) + (", …" if len(rows) > N_ROWS else ".")
    return f"{finding['text']} {name} {shown}"


def _to_do(audit):
    labels, pairs = audit["labels_to_check"], audit["pairs_to_label"]
    question = "Which labels to check, which pairs to label next?"
    blocks: list = []
    if labels is None:
        why = audit["too_small"] or "No model is good enough here to doubt a label."
        blocks.append(Note(why))
    elif not labels["rows"]:
        blocks.append(Note("The model contradicts no label, so it has none to show."))
    else:
        blocks.append(_labels(labels))
    if pairs is None or not pairs["rows"]:
        blocks.append(Note("Too few data to say which pair would teach more than another."))
    else:
        blocks.append(_next_pairs(pairs))
    return Section(question, _to_do_answer(labels, pairs), blocks)


def _to_do_answer(labels, pairs):
    if labels is None and pairs is None:
        return "The data are too few to say."
    n = 0 if labels is None else labels["n_flagged"]
    if n:
        which = "1 label is" if n == 1 else f"{number(n)} labels are"
        return f"{which} more likely wrong than right, by a small model: read them first."
    if labels is None:
        return "No label can be judged by these models; the most telling pairs are below."
    return (
        "No label is shown to be wrong; the least likely ones and the most telling pairs are below."
    )


def _labels(labels):
    items = [
        (
            f"Row {row['row']}: labelled {_preferred(row['label'])}, the model gives that "
            f"{_chance(row)}",
            _texts(row),
        )
        for row in labels["rows"][:N_EXAMPLES]
    ]
    meaning = (
        "These are the labels a model that never saw the prompt finds least likely; an hour of "
        "reading them tells whether it is the label or the model that errs. The first hundred are "
        "in labels_to_check.csv."
    )
    return Examples(items, meaning, "Labels to check")


def _preferred(label):
    return "A better" if label > 0.5 else "B better"


def _chance(row):
    chance = row["probability"] if row["label"] > 0.5 else 1 - row["probability"]
    return "under 1 %" if chance < 0.01 else percent(chance)


def _next_pairs(pairs):
    items = [
        (
            f"P(A preferred) = {row['probability']:.2f}, {row['information']:.2f} nats to learn",
            _texts(row),
        )
        for row in pairs["rows"][:N_EXAMPLES]
    ]
    which = (
        "Responses to one prompt that nobody has compared yet"
        if pairs["are_new"]
        else "Every two responses to one prompt are compared already; these pairs are worth a "
        "second annotator"
    )
    meaning = (
        f"{which}, chosen one after another for what a label would tell the reward, as if those "
        "before were labelled: labels spent here teach a reward of word counts most. The first "
        "hundred are in pairs_to_label.csv."
    )
    return Examples(items, meaning, "Pairs to label next")
