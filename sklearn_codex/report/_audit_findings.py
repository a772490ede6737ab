"""What the checks of the data found, in the words of the audit.

Most is said as ``check_preferences`` says it. What that says of arguments of Python is said here of
files and their columns, from the same facts.
"""

from sklearn_codex._plain import plain
from sklearn_codex.report._audit_words import percent_of_few
from sklearn_codex.report._plural import count

N_WORST = 2


def describe_findings(data, report, units, scores=()):
    """Return the findings of a report as plain figures.

    Parameters
    ----------
    data : AuditData
        The pairs.
    report : PreferenceReport
        Of the same pairs, without a split: what stands on both sides of one is told elsewhere.
    units : Units
        What the audit keeps together.
    scores : list of ScoreFinding, default=()
        Columns of scores, compared with the labels.

    Returns
    -------
    findings : list of dict
        Each has the fields of ``FIGURES``, ``where`` the places of the ``rows`` in the file and
        these their positions from 0, and for the page what was ``found``, without what it
        means, and whether the text ``leads_to_rows``.
    """
    described = [
        _describe(data, finding, _say(finding, units))
        for finding in report.findings
        if finding.kind != "no split" and not _is_answered_elsewhere(finding)
    ]
    return described + [_describe_scores(data, found) for found in scores]


def _is_answered_elsewhere(finding):
    """Whether it is how right a model is, which the audit answers once, by its own models."""
    return finding.kind == "skill" and finding.facts["is_shown"]


FIGURES = ("section", "status", "text", "where", "rows", "worst")
"""What ``audit.json`` has of a finding."""


def _describe(data, finding, text):
    """Return a finding, with the worst of its rows as they are where it is one to look at."""
    worst = list(dict.fromkeys(finding.rows.tolist()))[:N_WORST]
    # Wrong labels have a list of their own.
    status = "look" if finding.kind == "no groups" else finding.status
    shown = status == "look" and finding.kind != "wrong labels"
    return {
        "section": finding.section,
        "status": status,
        "text": text,
        "where": [data.where[row] for row in finding.rows],
        "rows": finding.rows.tolist(),
        "worst": [data.pair(row) for row in worst if shown],
        "found": finding.found,
        "leads_to_rows": finding.leads_to_rows,
    }


def _describe_scores(data, scores):
    """Return what columns of scores say of the labels, as a finding."""
    rows, n = scores.contradicting, scores.n_compared
    number = f"{len(rows):,}" if len(rows) else "none"
    found = f"{_lower(scores)} in {number} of {n:,} pairs"
    if len(rows):
        found += f" ({percent_of_few(len(rows) / n)})"
    if scores.n_equal:
        found += f", equal in {scores.n_equal:,}"
    return {
        "section": "Labels",
        "status": "look" if len(rows) else "ok",
        "text": f"{found}.{_MEANS[(len(rows) > 0) + (len(rows) > n / 2)]}",
        "where": [data.where[row] for row in rows],
        "rows": rows.tolist(),
        "worst": [data.pair(row) for row in rows[:N_WORST].tolist()],
        "found": found,
        "leads_to_rows": False,
    }


def _lower(scores):
    better, worse = plain(scores.better), plain(scores.worse or "")
    if not worse:
        return f"{better} is negative"
    if scores.turns:
        return f"The preferred response has the lower of {better} and {worse}"
    return f"{better} is lower than {worse}"


_MEANS = (
    "",
    " Label and score contradict each other there: read some before you train on either.",
    " Label and score contradict each other in most: is a column, or the label, read the wrong way "
    "round?",
)


def _say(finding, units):
    """Return the sentences of a finding for readers of files."""
    are_joined = units.one == "prompt"
    if finding.kind == "no groups":
        return (
            f"{finding.found}. If some of them share a prompt, what is said of pairs not seen is "
            "too good."
        )
    if finding.kind == "no positions":
        return _say_positions(**finding.facts)
    if finding.kind == "no prompts":
        return "Similar prompts are not looked for: no pair has a prompt."
    if finding.kind == "one side":
        return (
            f"{finding.found}. A classifier needs both classes: columns chosen and rejected, which "
            "are put first in turn, give it both."
        )
    if finding.kind == "skill":
        return (
            "Single labels are not judged: the linear reward model that would judge them cannot "
            "be told from a coin."
        )
    if finding.kind == "labels not judged":
        return f"{finding.found}. Read those it finds least likely, a ranking and no proof:"
    if finding.kind == "spelling" and finding.facts["n"]:
        joined = _JOINED if are_joined else _APART
        return f"{finding.found}. A split by prompt puts the two on different sides: {joined}."
    if finding.kind == "wording" and finding.facts["n"]:
        n_groups, n_joined = finding.facts["n_groups"], finding.facts["n_joined"]
        joined = f"{_JOINED}, {n_groups:,} groups into {n_joined:,}" if are_joined else _APART
        return (
            f"{finding.found}. If they are one task, a split by prompt is too easy on a model: "
            f"{joined}."
        )
    if finding.kind == "continued":
        n_groups, n_joined = finding.facts["n_groups"], finding.facts["n_joined"]
        joined = f"{_JOINED}, {n_groups:,} groups into {n_joined:,}" if are_joined else _APART
        return f"{finding.found}. A split by prompt puts the two on different sides: {joined}."
    return finding.text


def _say_positions(n_without, n_with):
    if not n_with:
        return (
            "The file does not tell which response was shown first, only which is the better one: "
            "whether a position is favoured cannot be known."
        )
    return (
        f"The file does not tell which response was shown first in {count(n_without, 'pair')}, "
        "only which is the better one: whether a position is favoured is looked for in the other "
        f"{n_with:,}."
    )


_JOINED = "they are joined here"
_APART = "give them one group, as here the given ones are kept"
