"""What a finding says, from its facts: one function a kind of finding.

Each returns what was found, a sentence without its full stop, and what that means for users of
Python, whole sentences or "".
"""

from collections.abc import Callable

from sklearn_codex._verdicts import digits_to_tell
from sklearn_codex.health._noise import MAX_FLIP_RATE

SMALL = 0.1
"""A share below this is shown in percent with a digit after the point."""


def count(n: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def percent(share: float, digits: int = 0) -> str:
    """Return a share in percent, with a digit after the point, or more, where it is small."""
    return f"{100 * share:.{max(digits, int(share < SMALL))}f}%"


def half_width(share: float) -> str:
    """Return the half width of an interval of a share, in percentage points."""
    return f"{100 * share:.0f}" if share >= 0.01 else f"{100 * share:.1f}"


def _verb(n: int, one: str, many: str) -> str:
    return one if n == 1 else many


def _always(found: str):
    return lambda: (found, "")


def _sizes(n_pairs, n_groups, per_group, n_responses, unit):
    found = count(n_pairs, "pair")
    if per_group is not None:
        low, median, high = per_group
        each = f"{low}" if low == high else f"{low} to {high} (median {median:g})"
        found += f" of {count(n_groups, unit)}, {each} of each"
    if n_responses is not None:
        found += f", {n_responses:,} different responses"
    return found, ""


def _precision(n_groups, unit, low, high, are_few):
    alone = f"{count(n_groups, unit)} can say little about others"
    if n_groups == 1:  # there is nothing to cross-validate by
        return f"How a model does elsewhere cannot be measured: {alone}", ""
    ends = [half_width(low), half_width(high)]
    width = " to ".join(dict.fromkeys(ends))
    found = (
        f"Cross-validated on all of it, an accuracy is known to about ±{width} points (95%); "
        "smaller differences between models may be chance"
    )
    return found, f"{alone}." if are_few else ""


def _some_prompts(n, n_pairs, unit):
    return (
        f"{count(n, 'pair')} of {n_pairs:,} {_verb(n, 'has', 'have')} no prompt",
        "Each is taken to be a prompt of its own; if some share one, what is said of prompts is "
        "too good."
        if unit == "prompt"
        else "",
    )


def _spelling(n):
    if not n:
        return "No two prompts differ in case, spaces or punctuation only", ""
    return (
        f"{count(n, 'prompt')} {_verb(n, 'is', 'are')} the same as another but for case, spaces "
        "and punctuation",
        "A split by prompt puts the two on different sides: pass groups=report.groups.",
    )


def _wording(n, share, n_groups, n_joined):
    if not n:
        return f"No two prompts share {percent(share)} or more of their wording", ""
    return (
        f"{n:,} times two prompts share {percent(share)} or more of their wording, as those of one "
        "task or one template do",
        "If they are one task, a split by prompt is too easy on a model: report.groups joins them, "
        f"{n_groups:,} groups into {n_joined:,}.",
    )


def _continued(n, n_groups, n_joined):
    return (
        f"{count(n, 'prompt')} {_verb(n, 'is a conversation', 'are conversations')} that "
        f"{_verb(n, 'continues', 'continue')} another prompt",
        "A split by prompt puts the two on different sides: report.groups joins them, "
        f"{n_groups:,} groups into {n_joined:,}.",
    )


def _one_part(part):
    return f"The split has one part only, {part!r}", ""


def _split(n, n_pairs, share, unit):
    if not n:
        return f"No {unit} stands in two parts of the split", ""
    return (
        f"{count(n, unit)} {_verb(n, 'stands', 'stand')} in two parts of the split, with "
        f"{count(n_pairs, 'pair')} ({percent(share)})",
        "What was learned by heart there counts as skill here: split by prompt, as GroupKFold "
        "does.",
    )


def _similar_in_split(n, unit):
    return (
        f"{count(n, unit)} more {_verb(n, 'has', 'have')} a similar prompt in another part of the "
        "split",
        "Split by report.groups.",
    )


def _repeats(n, share, n_swapped, is_text):
    what, many = ("pair", "pairs") if is_text else ("row of X", "rows of X")
    if not n:
        return f"No {what} occurs twice", ""
    found = (
        f"{count(n, what, many)} ({percent(share)}) {_verb(n, 'repeats', 'repeat')} an earlier one"
    )
    if n_swapped is not None:
        which = f"{n_swapped or 'none'} of them "
        if n == 1:
            which = "" if n_swapped else "not "
        found += f", {which}with A and B exchanged"
    if not is_text:
        return found, "Different texts can have the same feature difference."
    return (
        found,
        "Each copy weighs as much as a pair of its own: drop it, or, where several annotators "
        "judged the pair, give it their mean as a soft label.",
    )


def _contradictions(n_pairs, n_rows):
    if not n_pairs:
        return "No pair has both labels", ""
    return (
        f"{count(n_rows, 'pair')} have opposite labels on {count(n_pairs, 'comparison')} that "
        f"{_verb(n_pairs, 'occurs', 'occur')} more than once",
        "No model can be right on both: relabel them, or give each comparison once with the mean "
        "as a soft label.",
    )


def _identical(n, share, n_decided, is_text):
    if not n:
        return "No pair compares a response with itself", ""
    what = "two identical responses" if is_text else "a difference of 0 in all features"
    found = f"{count(n, 'pair')} ({percent(share)}) {_verb(n, 'has', 'have')} {what}"
    if n_decided:
        which = "" if n == 1 else f"{n_decided:,} of them "
        found += f", {which}with a preference, which can only be noise"
    return found, "They teach nothing: drop them."


def _empty(n):
    if not n:
        return "No response is empty", ""
    return f"{count(n, 'response')} {_verb(n, 'is', 'are')} empty", "Was an answer lost?"


def _truncated(n, share, reasons):
    if not n:
        return "No response looks cut off", ""
    kinds = ", ".join(f"{reason} ({number:,})" for reason, number in reasons.items())
    return (
        f"{count(n, 'response')} ({percent(share)}) may be cut off, ending {kinds}",
        "A model may learn the cut instead of the preference.",
    )


def _everywhere(n_pairs, share, n_prompts, share_for, unit):
    return (
        f"One response stands in {count(n_pairs, 'pair')} ({percent(share)}) of {n_prompts:,} "
        f"{unit}s, and {percent(share_for)} of their labels are for it",
        "What is learned may be no more than how to tell this one.",
    )


def _cycles(n_prompts, n_triples, n_circular, rare, are_many, unit="prompt"):
    if not n_prompts:
        if n_triples is None:
            return "No circle of preferences", ""
        if not n_triples:
            found = "No circle of preferences; no three responses are all compared with each other"
            return found, ""
        return f"No circle of preferences in {count(n_triples, 'triple')} of responses", ""
    who = (
        "There is"
        if unit is None
        else f"{count(n_prompts, unit)} {_verb(n_prompts, 'has', 'have')}"
    )
    found = f"{who} a circle of preferences (a > b > c > a), which no reward can follow"
    if n_triples:
        found += (
            f": {n_circular:,} of {n_triples:,} triples of responses "
            f"({percent(n_circular / n_triples)}; labels by coin would give 25%)"
        )
    if are_many:
        return (
            found,
            f"More than {percent(rare)}, and not by chance: the labels follow no single taste.",
        )
    return found, f"A few are noise: more than {percent(rare)} are not shown."


def _components(n_apart, n_contexts, n_parts, unit):
    overall = "" if unit is None else f"Over all {unit}s there are {count(n_parts, 'part')}."
    if not n_apart:
        within = "All" if unit is None else f"Within each {unit} all"
        return f"{within} responses are connected by comparisons", overall
    if unit is None:
        found = f"The responses fall apart into {n_parts:,} parts that are not compared"
    else:
        found = (
            f"In {n_apart:,} of {count(n_contexts, unit)} the responses fall apart into parts that "
            "are not compared with each other"
        )
    meaning = "A ranking of the responses is then undetermined; a reward of features is not."
    return found, f"{overall} {meaning}".lstrip()


def _ties(n_pairs, n_ties, n_soft):
    if not n_ties + n_soft:
        return "All labels are 0 or 1, no tie, none soft", ""
    if n_ties == n_pairs:
        found = "All labels are ties: nothing says which response is better, so no reward can learn"
        return found, ""
    ties = f"{count(n_ties, 'tie')} ({percent(n_ties / n_pairs)})"
    return (
        f"{ties}, {count(n_soft, 'soft label')}" if n_soft else f"{ties}: half a point each way",
        "",
    )


def _few_decided(n_pairs):
    return f"{count(n_pairs, 'decided pair')}, too few to tell whether A is favoured", ""


def _one_side(side):
    return (
        f"{side} is preferred in every pair",
        "A classifier needs both classes: read_preferences, given chosen and rejected, puts them "
        "first in turn.",
    )


def _no_positions(n_without, n_with):
    why = "which response was shown first is not known"
    if not n_with:
        return f"Whether a position is favoured is not checked: {why}", _SHOWN_FIRST
    return (
        f"Of {count(n_without, 'pair')} {why}, so whether a position is favoured is checked in the "
        f"other {n_with:,} only",
        _SHOWN_FIRST,
    )


_SHOWN_FIRST = "Chosen and rejected responses do not tell."


def _position(measured, verdict, unit):
    found = f"A is preferred in {_interval(measured)}{_told(measured, verdict, unit)}"
    if verdict not in ("A", "B"):
        return found, ""
    return (
        found,
        "If A and B were not in random order, exchange them in every other row, with the label; if "
        "they were, the judges favour a position.",
    )


def _length(measured, verdict, unit):
    found = (
        f"The longer response is preferred in {_interval(measured)}{_told(measured, verdict, unit)}"
    )
    if verdict not in ("longer", "shorter"):
        return found, ""
    return (
        found,
        f"A reward model has to beat {percent(max(measured.share, 1 - measured.share))} to have "
        f"learned more than 'the {verdict} one wins'.",
    )


def _interval(measured):
    low, high = measured.low, measured.high
    more = digits_to_tell(low, high, 0.5, 2) - 2
    return (
        f"{percent(measured.share, more)} of {count(measured.n_pairs, 'pair')} (95%: "
        f"{percent(low, more)} to {percent(high, more)})"
    )


def _told(measured, verdict, unit):
    """Say whether a share is told from one half, and if not, what would have been."""
    if verdict == "too few":
        is_alone = measured.n_groups == measured.n_pairs
        of = "" if is_alone else f" of {count(measured.n_groups, unit)}"
        return f": too few{of} to tell it from one half"
    if verdict == "not shown":
        return (
            f", not told from one half (p = {measured.p_value:.2g}); "
            f"{percent(0.5 + measured.detectable)} would be, in four of five data sets of this kind"
        )
    return f", not in half of them (p = {measured.p_value:.1g})"


def _few_labels(n_pairs, n_groups, fewest_pairs, fewest_groups, unit):
    found = (
        f"Single labels are not judged: that takes {fewest_pairs} decided pairs of "
        f"{fewest_groups} {unit}s, here {n_pairs} of {n_groups}"
    )
    return found, ""


def _skill(name, accuracy, low, high, is_shown, unit):
    found = (
        f"{name} is right on {percent(accuracy)} (95%: {percent(low)} to {percent(high)}) of the "
        f"labels of {unit}s it was not fitted on"
    )
    if is_shown:
        return found, ""
    found += ", not told from a coin, so it cannot judge single labels"
    return found, "Pass a better model=."


def _wrong_labels(n, n_labels, n_right, flip_rate, low, high, p_value, level):
    return (
        f"{count(n, 'label')} ({percent(n / n_labels)}) {_verb(n, 'is', 'are')} more likely wrong "
        f"than right; about {n_right:.0f} of these should be right after all",
        f"{_say_rate(n_labels, flip_rate, low, high)} (p = {p_value:.2g} of none, tested at the "
        f"level of {level:g}); the others cannot be told from honest doubt. Read the worst first.",
    )


def _say_rate(n_labels, flip_rate, low, high):
    return (
        f"In all, about {flip_rate * n_labels:.0f} of {count(n_labels, 'label')} are estimated to "
        f"be wrong (95%: {low * n_labels:.0f} to {high * n_labels:.0f})"
    )


def _unlikely_labels(n_labels, flip_rate, low, high, p_value, level):
    at = f"p = {p_value:.2g}, tested at the level of {level:g}"
    if p_value < level:
        found = f"{_say_rate(n_labels, flip_rate, low, high)}, none of them more likely than not"
        return f"{found} ({at})", "The labels the model finds least likely:"
    found = f"No label is shown to be wrong: honest doubt explains the unlikely ones as well ({at})"
    return (
        found,
        f"{say_most_wrong(n_labels, high)}. The least likely ones, a ranking and no proof:",
    )


def say_most_wrong(n_labels, high):
    """Say how many labels can be wrong where no number of them is told from none."""
    most = f"{high * n_labels:,.0f} of {count(n_labels, 'label')}"
    if high >= MAX_FLIP_RATE:  # where the interval was cut
        return f"How many are wrong is not told: {most}, or more, may be (95%)"
    return f"At most {most} are wrong (95%)"


def _labels_not_judged(p_value, level):
    return (
        f"Single labels are not judged: the errors of the model do not follow its margins (p = "
        f"{p_value:.2g}, tested at the level of {level:g})",
        "Pass a better model=, or read those it finds least likely, a ranking and no proof:",
    )


SECTIONS: dict[str, dict[str, Callable[..., tuple[str, str]]]] = {
    "Size": {
        "sizes": _sizes,
        "no groups": lambda: (
            "There are no prompts and no groups, so pairs are taken to be independent",
            "If some share a prompt, what is said of pairs not seen is too good: pass groups=.",
        ),
        "precision": _precision,
    },
    "Pairs": {"repeats": _repeats, "contradictions": _contradictions},
    "Responses": {
        "identical": _identical,
        "no responses": _always("Responses are not checked: X holds feature differences, no text"),
        "empty": _empty,
        "truncated": _truncated,
        "everywhere": _everywhere,
    },
    "Comparisons": {
        "no comparisons": _always(
            "Circles and connections are not checked: X holds feature differences, no text"
        ),
        "cycles": _cycles,
        "components": _components,
    },
    "Prompts": {
        "no prompts": _always("Similar prompts are not looked for: X has no prompts"),
        "some prompts": _some_prompts,
        "spelling": _spelling,
        "wording": _wording,
        "continued": _continued,
        "no split": _always(
            "Whether prompts stand in training and in test data is not checked: pass split="
        ),
        "split without groups": _always(
            "The split is not checked: there are no prompts and no groups"
        ),
        "one part": _one_part,
        "split": _split,
        "similar in split": _similar_in_split,
    },
    "Labels": {
        "ties": _ties,
        "few decided": _few_decided,
        "one side": _one_side,
        "position": _position,
        "no positions": _no_positions,
        "few lengths": _always(
            "Too few decided pairs differ in length to tell whether the longer response wins"
        ),
        "length": _length,
        "few labels": _few_labels,
        "no words": _always(
            "Single labels are not judged: the responses have no word in which they differ"
        ),
        "skill": _skill,
        "wrong labels": _wrong_labels,
        "unlikely labels": _unlikely_labels,
        "labels not judged": _labels_not_judged,
    },
}
"""The function of each kind of finding, under the heading that the finding stands under."""
