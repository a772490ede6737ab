"""Where pairs differ from the others, in words."""

from sklearn_codex._plain import plain
from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._audit_words import interval, listed, percent
from sklearn_codex.report._blocks import Note, Section, TableBlock
from sklearn_codex.report._plural import count

N_SAID = 3
QUESTION = "Are some kinds of pair different?"


def slices_section(audit):
    """Return the section on slices of the pairs."""
    units, slices = Units.of(audit), audit["slices"]
    if slices is None:
        return Section(QUESTION, "The data are too few to say.", [Note(audit["too_small"])])
    cuts = slices["cuts"]
    if not cuts:
        return Section(
            QUESTION,
            "There is nothing to tell kinds by.",
            [
                Note(f"No column has few values, and there are too few {units.many} for topics."),
                *_authors(slices),
            ],
        )
    blocks: list = []
    for cut in cuts:
        if cut["rows"]:
            blocks.append(_table(cut, units))
        if cut["sides"]:
            blocks.append(_sides(cut))
    blocks += _authors(slices)
    small = _small(slices, units)
    if small:
        blocks.append(Note(small))
    if slices["n_tests"]:
        blocks.append(Note(_how(slices, units)))
    tastes = slices["tastes"]
    if tastes is not None and tastes["kinds"]:
        return Section(QUESTION, _within(tastes["kinds"]), [_words(tastes), *blocks])
    return Section(QUESTION, _answer(slices), blocks)


def _within(kinds):
    names = [f"{plain(kind['column'])} {plain(kind['kind'])}" for kind in kinds]
    return (
        f"Yes: within {listed(names, N_SAID)} some words are preferred, or not, beyond chance, "
        "which in all pairs together is not shown."
    )


def _words(tastes):
    """Return the words that are preferred (+) or not (-) within a kind."""
    return TableBlock(
        ("kind of pair", "pairs", "words beyond chance"),
        [
            (
                f"{plain(kind['column'])}: {plain(kind['kind'])}",
                f"{kind['n_pairs']:,}",
                listed(kind["words"]),
            )
            for kind in tastes["kinds"]
        ],
        "Words that preferred responses of the kind have more of (+), or less (-), than the "
        f"others: {tastes['n_candidates']:,} words of kinds, tested all together against labels "
        "turned by a coin. Of tastes that differ each takes a reward model of its own.",
    )


def _answer(slices):
    found = _differences(slices)
    n = slices["n_slices"]
    if not n or not slices["n_tests"]:
        return "Not asked: no kind of pair that the columns or topics tell apart has pairs enough."
    if not found:
        return (
            f"Not shown: none of {count(n, 'kind')} of pair differs from the other pairs by more "
            "than chance."
        )
    said = "; ".join(_say(*difference) for difference in found[:N_SAID])
    said = said[0].upper() + said[1:]
    n_differing = slices["n_differing"]
    verb = "differs" if n_differing == 1 else "differ"
    return f"Yes, {n_differing:,} of {count(n, 'kind')} {verb} from the other pairs. {said}."


def _differences(slices):
    """Return the surest difference of each cut and measure: what is predicted comes first."""
    found = []
    for cut in slices["cuts"]:
        for measure in _SAYS:
            tests = [
                (row["tests"][measure]["p_value"], number)
                for number, row in enumerate(cut["rows"])
                if measure in row["tests"] and row["tests"][measure]["differs"]
            ]
            if tests:
                row = cut["rows"][min(tests)[1]]
                found.append((cut, row, measure, row["tests"][measure]))
    order = list(_SAYS)
    return sorted(found, key=lambda entry: (order.index(entry[2]), entry[3]["p_value"]))


_SAYS = {
    "accuracy": "the best model is right on {inside} of the pairs, elsewhere on {outside}",
    "longer_wins": "the longer response wins {inside} of the pairs, elsewhere {outside}",
    "ties": "{inside} of the pairs are ties, elsewhere {outside}",
}


def _say(cut, row, measure, test):
    figures = {name: _percent(test[name], test) for name in ("inside", "outside")}
    return f"{_where(cut, row)} {_SAYS[measure].format(**figures)}"


def _percent(share, test):
    """Return a share in percent, with a digit more where two would otherwise look alike."""
    is_close = percent(test["inside"]) == percent(test["outside"])
    return f"{100 * share:.1f} %" if is_close else percent(share)


def _where(cut, row):
    name, value = plain(cut["name"]), plain(row["slice"])
    if cut["kind"] == "topics":
        return f"on prompts about “{value}”"
    side = " on either side" if cut["kind"] == "sides" and not row["is_same"] else ""
    return f"where {name} is {value}{side}"


_HEADERS = {
    "accuracy": "accuracy",
    "log_loss": "log-loss",
    "longer_wins": "longer wins",
    "ties": "ties",
}


def _table(cut, units):
    names = [name for name in _HEADERS if any(row[name] is not None for row in cut["rows"])]
    if not any(row["ties"]["value"] for row in cut["rows"]):
        names.remove("ties")
    header = (cut["name"], "pairs", units.many, *(_HEADERS[name] for name in names))
    rows = [
        (
            row["slice"],
            row["n_pairs"],
            row["n_groups"],
            *(_cell(row, name) for name in names),
        )
        for row in cut["rows"]
    ]
    return TableBlock(header, rows, _meaning(cut), _title(cut))


def _title(cut):
    return {"column": "By {}", "sides": "By {}, on either side", "topics": "By {}"}[
        cut["kind"]
    ].format(plain(cut["name"]))


def _meaning(cut):
    if cut["kind"] == "topics":
        return (
            "Topics are clusters of the words of prompts, named by words that many prompts of the "
            "cluster have and few others. They are found without the labels."
        )
    if cut["kind"] == "sides":
        return (
            f"A pair counts where either response has the value, in {listed(cut['columns'])}, so "
            "most pairs are in two rows; the others are those in which neither has it."
        )
    return ""


def _cell(row, name):
    """Return a figure with its interval, and an arrow where it differs from the other pairs."""
    if row[name] is None:
        return "none"
    test = row["tests"].get(name)
    arrow = ""
    if test is not None and test["differs"]:
        arrow = " ↑" if test["value"] > 0 else " ↓"
    return f"{interval(row[name], 2)}{arrow}"


def _sides(cut):
    """Return the table of how labels and model treat what one side alone has."""
    rows = [
        (
            row["value"],
            row["n_pairs"],
            *(
                "none" if row[name] is None else interval(row[name], 2)
                for name in ("better", "prefers", "where_better", "where_worse")
            ),
        )
        for row in cut["sides"]
    ]
    header = (
        f"{cut['name']} of one side alone",
        "pairs",
        "labels prefer it",
        "model prefers it",
        "accuracy, better has it",
        "accuracy, worse has it",
    )
    meaning = (
        "A model of content is as right where the better response has the value as where the "
        "worse one has; one that follows the value is right in the one kind and wrong in the "
        "other. As far as labels prefer the value as often as the model does, it learned that from "
        "them."
    )
    return TableBlock(header, rows, meaning, f"Which side has it: {plain(cut['name'])}")


def _authors(slices):
    """Say that the authors of responses differ, and what rates them, where that is sure."""
    authors = slices["authors"]
    if authors is None or not authors["n_differing"]:
        return []
    many, n = f"{authors['name']}s", authors["n_differing"]
    differ = "differs" if n == 1 else "differ"
    return [
        Note(
            f"{count(authors['n_authors'], authors['name'])}, in "
            f"{' and '.join(map(plain, authors['columns']))}: {n:,} of the "
            f"{authors['n_tests']:,} pairs of {many} {differ} by more than chance, all tested "
            f"together at the level of {percent(authors['level'])}; the surest is that "
            f"{plain(authors['better'])} is preferred to {plain(authors['worse'])}. Their "
            "ratings, with intervals and ranks: sklearn-codex rate, or ModelRatings. How much of a "
            "reward is who wrote it: author_share."
        )
    ]


def _small(slices, units):
    parts = [
        f"{plain(cut['name'])} {cut['n_too_small']:,}"
        for cut in slices["cuts"]
        if cut["n_too_small"]
    ]
    if not parts:
        return ""
    fewer = f"{slices['min_pairs']} pairs"
    if units.are_known:
        fewer += f" or {slices['min_groups']} {units.many}, unequal ones counted as fewer,"
    return f"Too small to be shown, with fewer than {fewer}: {listed(parts)}.".replace(",:", ":")


def _how(slices, units):
    together = f", added up by {units.one}" if units.are_known else ""
    return (
        f"Each kind is held against the other pairs in accuracy, in how often the longer response "
        f"wins and in ties{together}: {count(slices['n_tests'], 'test')}. Of the differences that "
        f"are said to be there at most {percent(slices['level'])} are expected to be chance, and "
        "where there is none, nothing is said in 19 of 20 data sets; ↑ and ↓ mark them. Intervals, "
        "95%, are of each figure by itself."
    )
