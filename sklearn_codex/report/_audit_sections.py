"""The audit in words: each verdict with the sentence that says what it means for a decision."""

from dataclasses import asdict, replace

from sklearn_codex.health._words import say_most_wrong
from sklearn_codex.report._audit_answers import short_answers
from sklearn_codex.report._audit_places import name_places
from sklearn_codex.report._audit_sections_histograms import lengths_block, margins_block
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
from sklearn_codex.report._audit_sections_slices import slices_section
from sklearn_codex.report._audit_sections_split import split_blocks
from sklearn_codex.report._audit_sections_tests import tests_section
from sklearn_codex.report._audit_shown import named_texts, place, unnamed_texts
from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._audit_words import change, percent, turned
from sklearn_codex.report._blocks import Examples, Findings, Note, Section, TableBlock
from sklearn_codex.report._numbers import number

N_EXAMPLES = 10


def audit_sections(audit):
    """Return the sections of an audit, as from ``audit_preferences``, in reading order."""
    units, answers = Units.of(audit), short_answers(audit)
    histograms = {"length": lengths_block(audit), "predictable": margins_block(audit, units)}
    sections = [
        ("clean", _clean(audit, units), ALL),
        ("predictable", predictable_section(audit), MODELS),
        ("length", length_section(audit), LENGTH),
        ("preferred", preferred_section(audit), REWARD),
        ("learned", learned_section(audit), REWARD),
        ("slices", slices_section(audit), REWARD),
        ("labels", _to_do(audit, units), TO_DO),
        ("tests", tests_section(audit), TESTS),
    ]
    return [
        replace(
            tell_sample(_add(section, histograms.get(name, [])), audit, kind),
            **asdict(answers[name]),
        )
        for name, section, kind in sections
    ]


def _add(section, blocks):
    return replace(section, blocks=[*section.blocks, *blocks])


def _clean(audit, units):
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
            (units.independent, sizes["n_groups"]),
            ("ties", sizes["n_ties"]),
            ("different responses", sizes["n_responses"]),
            ("characters of a response, median", round(sizes["characters"])),
        ],
        f"The number of {units.many}, not that of pairs, says how much can be known: pairs of one "
        f"{units.one} share what makes it special."
        if units.are_known
        else "How much can be known is not told: without prompts nothing says how many of the "
        "pairs are independent.",
    )
    meaning = (
        "Mend what is marked ! first: every figure below is computed from the data as they are."
        if bad
        else "What these checks do not look for they do not find: read some rows as well."
    )
    blocks = [table, Findings(items, meaning), *_worst_rows(findings), *split_blocks(audit, units)]
    return Section("Is it clean?", answer, blocks)


def _worst_rows(findings):
    """Show the worst rows of each finding to look at, if any."""
    items = [
        (
            f"{place(row)}: {finding['found']}",
            [*named_texts(row), *_label(row)],
        )
        for finding in findings
        for row in finding["worst"]
    ]
    meaning = (
        "The first pairs of each finding marked !, as they are: read them before you decide "
        "whether to drop, to relabel or to keep."
    )
    return [Examples(items, meaning, "The worst pairs")] if items else []


def _label(row):
    """Return the label of a pair under what it is called, nothing where the names tell it."""
    if "chosen" in row and row["label"] == 1:
        return []
    first = "the chosen one" if "chosen" in row else "A"
    return [("Label", f"{row['label']:g} (1 is {first} preferred, 0.5 a tie)")]


def _with_rows(finding):
    """Return the text of a finding and where its first rows are."""
    if not finding["where"]:
        return finding["text"]
    places = name_places(finding["where"], begins=not finding["leads_to_rows"])
    return f"{finding['text']} {places}{'' if places.endswith('…') else '.'}"


def _to_do(audit, units):
    labels, pairs = audit["labels_to_check"], audit["pairs_to_label"]
    question = "Which labels to check, which pairs to label next?"
    blocks: list = []
    if labels is None:
        why = audit["too_small"] or "No model is good enough here to doubt a label."
        blocks.append(Note(why))
    elif not labels["rows"]:
        blocks.append(Note("The model contradicts no label, so it has none to show."))
    else:
        blocks.append(_labels(labels, audit["verdicts"]["wrong labels"], units))
    if pairs is None or not pairs["rows"]:
        blocks.append(Note("Too few data to say which pair would teach more than another."))
    else:
        blocks.append(_next_pairs(pairs, units))
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
    if not labels["is_judged"]:
        return (
            "Single labels are not judged; a ranking of the least likely ones and the most telling "
            "pairs are below."
        )
    return (
        "No label is shown to be wrong; the least likely ones and the most telling pairs are below."
    )


def _labels(labels, rate, units):
    items = [
        (
            f"{place(row)}: {_preferred(row)}, the model gives that {_chance(row)}",
            named_texts(row),
        )
        for row in labels["rows"][:N_EXAMPLES]
    ]
    meaning = (
        f"These are the labels a model that never saw the {units.one} finds least likely; an "
        "hour of reading them tells whether it is the label or the model that errs. "
        f"{_listed(labels)} in labels_to_check.csv.{_say_rate(labels, rate)}"
    )
    return Examples(items, meaning, "Labels to check", "labels_to_check.csv")


def _say_rate(labels, rate):
    """Say what a list is where none of its labels is more likely wrong than right: a ranking."""
    if labels["n_flagged"]:
        return ""
    if not labels["is_judged"]:
        return (
            " It is a ranking and no proof: the errors of the model do not follow its margins, so "
            "that it cannot tell how many labels are wrong."
        )
    if rate["p_value"] >= rate["level"]:
        most = say_most_wrong(rate["n_pairs"], rate["high"])
        return (
            " It is a ranking: honest doubt explains the unlikely ones as well, so that none is "
            f"shown to be wrong. {most}."
        )
    value, low, high = (f"{rate[name] * rate['n_pairs']:,.0f}" for name in ("value", "low", "high"))
    return (
        f" It is a ranking: about {value} of all {rate['n_pairs']:,} labels are estimated to be "
        f"wrong (95%: {low} to {high}), but none is more likely wrong than right."
    )


def _listed(labels):
    """Say which of the labels are listed, up to the verb."""
    n, n_unlikely = len(labels["rows"]), labels["n_unlikely"]
    if n == n_unlikely:
        return "All that it contradicts are"
    which = f"The first {number(n)} of {number(n_unlikely)} that it contradicts"
    if labels["n_flagged"]:
        which += ", all that are more likely wrong than right among them,"
    return f"{which} are"


def _preferred(row):
    if "chosen" in row:
        return "chosen over rejected"
    return "labelled A better" if row["label"] > 0.5 else "labelled B better"


def _chance(row):
    chance = row["probability"] if row["label"] > 0.5 else 1 - row["probability"]
    return "under 1 %" if chance < 0.01 else percent(chance)


def _next_pairs(pairs, units):
    items = [
        (
            f"{_named(row)} = {row['probability']:.2f}, {row['information']:.2f} nats to learn",
            named_texts(row) if "where" in row else unnamed_texts(row),
        )
        for row in pairs["rows"][:N_EXAMPLES]
    ]
    if pairs["are_new"]:
        which = "Responses to one prompt that nobody has compared yet"
    elif pairs["has_prompts"]:
        which = (
            "Every two responses to one prompt are compared already; these pairs are worth a "
            "second annotator"
        )
    else:
        which = (
            "Without prompts nothing tells which responses could be compared; these pairs of the "
            "file are worth a second annotator"
        )
    meaning = (
        f"{which}, chosen one after another for what a label would tell the reward, as if those "
        "before were labelled: by its own account they teach a reward of word counts most."
        f"{_tried(pairs['tried'])} The first hundred are in pairs_to_label.csv."
    )
    return Examples(items, meaning, "Pairs to label next", "pairs_to_label.csv")


def _tried(tried):
    """Say whether pairs that are chosen so taught more than others, where it was tried."""
    if tried is None:
        return ""
    gain = tried["accuracy"]
    n = f"{tried['n_new_pairs']:,}"
    if gain["low"] > 0:
        return f" Tried out here, {n} of them brought {change(gain)} more than {n} at random."
    if gain["high"] < 0:
        return (
            f" Tried out here, {n} of them brought {change(turned(gain))} less than {n} at random: "
            "label at random."
        )
    return (
        f" Tried out here, that {n} of them bring more than {n} at random is not shown: "
        f"{change(gain)} in accuracy."
    )


def _named(row):
    """Return what the probability of a pair is of, behind where it stands if it is in the file."""
    if "where" not in row:
        return "P(one preferred to the other)"
    return f"{place(row)}: P({'chosen' if 'chosen' in row else 'A'} preferred)"
