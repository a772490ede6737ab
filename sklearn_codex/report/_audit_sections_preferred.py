"""What is preferred, in words."""

from sklearn_codex._plain import plain
from sklearn_codex.report._audit_answers import ONE_LENGTH
from sklearn_codex.report._audit_shown import place
from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._audit_verdicts import YES
from sklearn_codex.report._audit_words import RARE, TOO_FEW
from sklearn_codex.report._blocks import Examples, Interval, Intervals, Note, Section, TableBlock
from sklearn_codex.report._numbers import number

CHANCE = "The list may be chance throughout: take nothing from it before there are more labels."
N_NAMED = 3
FORM = {
    "log_characters": "length in characters",
    "log_words": "length in words",
    "type_token_ratio": "different words",
    "lexical_diversity": "lexical diversity",
    "trigrams_from_prompt": "phrases copied from the prompt",
    "prompt_trigrams_used": "phrases of the prompt taken up",
    "words_from_prompt": "words from the prompt",
    "prompt_words_used": "words of the prompt taken up",
    "begins_as_prompt": "beginning like the prompt",
    "new_trigrams": "phrases not repeated",
    "new_lines": "lines not repeated",
    "short": "being very short",
    "long": "being very long",
    "ends_closed": "ending as a sentence does",
    "starts_with_capital": "beginning with a capital",
    "empty": "being empty",
}


def preferred_section(audit):
    """Return the section on what is preferred."""
    units = Units.of(audit)
    question = "What is preferred?"
    if audit["too_small"]:
        return Section(question, TOO_FEW, [Note(audit["too_small"])])
    form, tokens = audit["form"], audit["tokens"]
    is_predictable = audit["verdicts"]["predictable"]["verdict"] in YES
    answer = _preferred_answer(form, tokens, audit["verdicts"])
    return Section(
        question,
        answer,
        [
            _weights(
                form,
                "Form, per standard deviation",
                "property",
                "Read the list as a policy would: whatever is in favour here will be done more, "
                "wanted or not.",
            ),
            _weights(
                tokens,
                "Tokens, per occurrence",
                "token",
                "A token that cannot have been meant is what a policy will abuse first: ban it "
                "or take it out of the features." + _stands_for_length(audit["verdicts"]),
            ),
            _shown(audit["examples"], is_predictable, units),
        ],
    )


def _preferred_answer(form, tokens, verdicts):
    of_form = of_words = ""
    if verdicts["form"]["verdict"] == "some":
        of_form = _certain(form, _readable, "in favour: ", "against: ")
    if verdicts["tokens"]["verdict"] == "some":
        of_words = _certain(tokens, _quoted, "more of ", "less of ")
    if not of_form:
        of_form = (
            f"nothing beyond chance is shown: {form['n_sure']} of {form['n_candidates']} "
            f"properties {_has(form['n_sure'])} an interval without 0, none when all are tested "
            "together"
        )
    return f"Of their form, {of_form}. Of their words, {of_words or 'nothing beyond chance'}."


def _certain(figures, show, *labels):
    """Name the first weights that are beyond chance, in favour and against."""
    sides = zip(labels, ("for", "against"), strict=True)
    names = {
        label: [show(row["name"]) for row in figures[side] if row["is_certain"]]
        for label, side in sides
    }
    return "; ".join(f"{label}{', '.join(n[:N_NAMED])}" for label, n in names.items() if n)


def _quoted(token):
    return f"“{plain(RARE.get(token, token))}”"


def _stands_for_length(verdicts):
    """Say that words may stand for length, where one length wins and no more than that is shown."""
    wins = verdicts["longer wins"]["verdict"]
    if wins not in ONE_LENGTH or verdicts["beyond length"]["verdict"] == "more":
        return ""
    return (
        f" Here the {wins} response wins, and more than length is not shown: a longer one has more "
        "of nearly every token, so a token of this list may stand for length and nothing else."
    )


def _readable(name):
    return FORM.get(name, name.replace("_", " "))


def _weights(figures, title, what, meaning):
    rows = figures["for"] + figures["against"][::-1]
    if not rows:
        return Note(f"{title}: of {figures['n_candidates']} no weight has an interval without 0.")
    sure, among, certain = (figures[name] for name in ("n_sure", "n_candidates", "n_certain"))
    beyond = f"{certain:,} {'is' if certain == 1 else 'are'}" if certain else "none is"
    table = TableBlock(
        (what, "log-odds, 95% interval", "pairs that differ", "beyond chance"),
        [
            (
                _name(row, what),
                _signed(row),
                row["n_pairs"],
                "yes" if row["is_certain"] else "not shown",
            )
            for row in rows
        ],
    )
    return Intervals(
        title,
        "log-odds of being preferred",
        [
            Interval(
                _name(row, what),
                row["weight"],
                row["low"],
                row["high"],
                row["is_certain"],
                f"{_signed(row)}, {row['n_pairs']:,} pairs, "
                f"{'beyond chance' if row['is_certain'] else 'not beyond chance'}",
            )
            for row in rows
        ],
        f"{sure:,} of {among:,} {_has(sure)} an interval without 0, as about "
        f"{number(0.05 * among, 2)} would by chance; tested all together, {beyond} beyond chance "
        f"(filled dots on the page). {meaning if certain else CHANCE}",
        table,
    )


def _has(n):
    return "has" if n == 1 else "have"


def _name(row, what):
    return _readable(row["name"]) if what == "property" else RARE.get(row["name"], row["name"])


def _signed(row):
    """Return a weight and its interval, with digits enough to see that 0 is not in it."""
    nearest = min(abs(row["low"]), abs(row["high"]))
    digits = next((n for n in (3, 4, 5) if nearest >= 0.5 * 10**-n), 6)
    weight, low, high = (f"{row[name]:+.{digits}f}" for name in ("weight", "low", "high"))
    return f"{weight} [{low}, {high}]"


def _shown(examples, is_predictable, units):
    if not is_predictable:
        return Note("No model can be told from a coin, so no pair shows what is preferred.")
    if not examples:
        return Note("No held-out pair is predicted rightly, so none shows what is preferred.")
    items = [
        (
            f"{place(row)}: preferred with probability {row['probability']:.2f}",
            _named_texts(row),
        )
        for row in examples
    ]
    meaning = (
        f"The clearest cases of the best model, which had not seen their {units.many}: if the "
        "difference you see is not the one you want to pay for, stop here."
        if units.are_known
        else "The clearest cases of the best model, which was not fitted on them: if the "
        "difference you see is not the one you want to pay for, stop here."
    )
    return Examples(items, meaning, "Pairs that show it")


def _named_texts(row):
    """Return the texts of an example: chosen and rejected keep their names."""
    names = ("Chosen", "Rejected") if row["is_chosen"] else ("Preferred", "Not preferred")
    prompt = [("Prompt", row["prompt"])] if row["prompt"].strip() else []
    return [*prompt, (names[0], row["chosen"]), (names[1], row["rejected"])]
