"""Scores as labels, and scores beside labels: whether they agree."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._categorical import IntArray
from sklearn_codex._labels.column import Where, find_distinct, where_of
from sklearn_codex._labels.conventions import Floats, as_numbers, fold
from sklearn_codex._labels.resolve import Resolved
from sklearn_codex._labels.sides import Sides, compare_names, read_sides, tokens_of
from sklearn_codex._plain import plain

_SCORES = {
    "score", "scores", "rating", "ratings", "reward", "rewards", "grade", "grades", "points",
    "quality", "utility", "helpfulness", "upvotes", "votes", "likes", "elo", "overall", "margin",
    "logit", "logits",
}  # fmt: skip
_MOST_ALIKE = 60
"""How many columns of scores may differ in one place, such as those of aspects."""
_MARGINS = {"margin", "diff", "difference", "gap", "delta"}
# Greater where a response is worse.
FAULTS = {
    "loss", "nll", "ppl", "perplexity", "error", "errors", "rank", "toxicity", "toxic", "harm",
    "harmful", "harmfulness", "unsafe", "severity", "penalty", "cost", "risk", "violation",
    "violations", "flag", "flags", "flagged", "offensive", "hate", "abuse", "abusive", "spam",
    "bias", "biased", "distance", "position", "mistakes", "wer", "cer",
    "bug", "bugs", "hallucination", "hallucinations", "downvotes", "dislikes",
}  # fmt: skip
_NEGATED = {"no", "non", "not", "without"}
_ORIENTED = {
    ("chosen", "rejected"), ("chosen", "reject"), ("accepted", "rejected"),
    ("preferred", "dispreferred"), ("winner", "loser"), ("win", "lose"), ("w", "l"),
    ("better", "worse"), ("best", "worst"), ("positive", "negative"), ("pos", "neg"),
}  # fmt: skip


def resolve_scores(
    first_scores: Sequence[Any], second_scores: Sequence[Any], wheres: Where,
    *, columns: tuple[str, str] = ("the first score", "the second score"),
) -> Resolved:  # fmt: skip
    """Return which of two responses has the greater score; equal ones are a tie.

    Parameters
    ----------
    first_scores, second_scores : sequence of shape (n,)
        Numbers, greater where the response is better.
    wheres : sequence of str (n,), or callable
        Where each row stands.
    columns : tuple of str
        What the two are called.

    Raises
    ------
    ValueError
        If a score is missing or is no number.
    """
    numbers = []
    for name, scores in zip(columns, (first_scores, second_scores), strict=True):
        values = as_scores(scores)
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"{where_of(wheres, row)}: {plain(name)} = {scores[row]!r:.60} is no number, but "
                "the better response is that with the greater score. Drop the row, or name a "
                "column of labels."
            )
        numbers.append(values)
    read_as = (
        f"the greater of {plain(columns[0])} and {plain(columns[1])} is better, equal ones are a "
        "tie"
    )
    return Resolved(0.5 + 0.5 * np.sign(numbers[0] - numbers[1]), None, "scores", read_as)


def as_scores(values: Sequence[Any]) -> Floats:
    """Return values as numbers, also those written as text; NaN for all else."""
    distinct, codes = find_distinct(values.tolist() if isinstance(values, np.ndarray) else values)
    return as_numbers([fold(value) for value in distinct])[codes]


class ScoreFinding(NamedTuple):
    """Two columns of scores, or one of margins, compared with the labels.

    Attributes
    ----------
    better : str
        The column of what is preferred; that of margins; of the first response, if `turns`.
    worse : str or None
        The other column; None for margins.
    turns : bool
        Whether the columns are those of the first and second response, not of chosen and rejected.
    n_compared : int
        Pairs with a preference that have both scores.
    n_equal : int
        Those of equal scores.
    contradicting : ndarray of int
        The rows in which the preferred response has the lower score.
    """

    better: str
    worse: str | None
    turns: bool
    n_compared: int
    n_equal: int
    contradicting: IntArray


def compare_scores(
    columns: Mapping[str, Sequence[Any]],
    probability: NDArray,
    *,
    first: str,
    second: str,
    oriented: bool,
) -> list[ScoreFinding]:
    """Compare columns of scores with what is preferred.

    Parameters
    ----------
    columns : mapping of str to sequence of shape (n,)
        The columns that are neither text nor label. Which of them hold scores shows in their names.
    probability : ndarray of shape (n,)
        That the first response is preferred; not read of scores of chosen and rejected.
    first, second : str
        The names of the columns of the two responses.
    oriented : bool
        Whether these are the preferred and the other: chosen and rejected.

    Returns
    -------
    findings : list of ScoreFinding
        One for each two columns, or column of margins, of which a pair could be compared.
    """
    findings = []
    for one, other, turns in find_score_columns(list(columns), first, second, oriented=oriented):
        difference = as_scores(columns[one])
        if other is not None:
            difference = difference - as_scores(columns[other])
        if turns:
            difference = difference * np.sign(np.asarray(probability, float) - 0.5)
            difference[np.asarray(probability) == 0.5] = np.nan
        n_compared = int(np.isfinite(difference).sum())
        if n_compared:
            n_equal, contradicting = int((difference == 0).sum()), np.flatnonzero(difference < 0)
            findings.append(ScoreFinding(one, other, turns, n_compared, n_equal, contradicting))
    return findings


def find_score_columns(
    names: list[str], first: str, second: str, *, oriented: bool
) -> list[tuple[str, str | None, bool]]:
    """Return columns of scores: of the preferred and the other, of margins, of first and second."""
    sides = read_sides(first, second)
    found: list[tuple[str, str | None, bool]] = []
    scores = [name for name in names if _is_score(tokens_of(name))]
    kin = Counter(tuple(_without_number(tokens_of(name))) for name in scores)
    for one, other in _alike(scores):
        for better, worse in ((one, other), (other, one)):
            markers, shared = compare_names(better, worse)
            if not shared:
                continue
            if markers in _ORIENTED or (oriented and markers == sides.markers):
                found.append((better, worse, False))
            elif oriented or _are_of_many(shared, markers, kin):
                continue
            elif _are_of_sides(markers, sides):
                found.append((better, worse, True))
    margins = [name for name in names if _is_margin(tokens_of(name))] if oriented else []
    return found + [(name, None, False) for name in margins]


def _alike(names: list[str]) -> list[tuple[str, str]]:
    """Return the pairs of names, in their order, that are one but for one run of words.

    Names are put together by what is left of them without a run, so that of names that have
    little in common, however many, not each is compared with each. Of many that differ in one
    place only, as in a number, no two tell the responses apart.
    """
    families: dict[tuple[str, ...], dict[str, int]] = {}
    for position, name in enumerate(names):
        tokens = tokens_of(name)
        for start in range(len(tokens)):
            for end in range(start + 1, len(tokens) + 1):
                key = (*tokens[:start], "", *tokens[end:])
                if len(key) > 1:
                    families.setdefault(key, {})[name] = position
    pairs = {
        (family[one], family[other]): (one, other)
        for family in families.values()
        if len(family) <= _MOST_ALIKE
        for one, other in combinations(family, 2)
    }
    return [pairs[key] for key in sorted(pairs)]


def _is_score(tokens: list[str]) -> bool:
    return bool(_SCORES.intersection(tokens)) and not names_fault(tokens)


def names_fault(tokens: Iterable[str]) -> bool:
    """Return whether the words of a name say that what it counts is greater where it is worse."""
    return not FAULTS.isdisjoint(tokens) and _NEGATED.isdisjoint(tokens)


def _are_of_sides(markers: tuple[str, str], sides: Sides) -> bool:
    """Return whether two scores are told apart as the responses are, or by letters."""
    if sides.turned:
        return markers == sides.markers
    return markers in (sides.markers, ("a", "b"))


def _are_of_many(shared: list[str], markers: tuple[str, str], kin: Counter) -> bool:
    """Return whether there is a third column of the kind: those of annotators 1, 2 and 3."""
    return markers[0].isdecimal() and kin[tuple(shared)] > 2


def _without_number(tokens: list[str]) -> list[str]:
    return [token for token in tokens if not token.isdecimal()]


def _is_margin(tokens: list[str]) -> bool:
    return "margin" in tokens or bool(_MARGINS & set(tokens) and _SCORES & set(tokens))


def words_of(finding: ScoreFinding, wheres: Where) -> str:
    """Return a finding in words: "score_chosen is lower than score_rejected in 25 % of ..."."""
    n = finding.n_compared
    better = plain(finding.better)
    if finding.worse is None:
        fact = f"{better} is negative"
    elif finding.turns:
        fact = f"the preferred response has the lower of {better} and {plain(finding.worse)}"
    else:
        fact = f"{better} is lower than {plain(finding.worse)}"
    n_wrong = len(finding.contradicting)
    if not n_wrong:
        return f"{fact} in none of {n:,} pairs"
    share = 100 * n_wrong / n
    percent = f"{share:.0f} %" if share >= 1 else f"{n_wrong:,}"
    first = where_of(wheres, int(finding.contradicting[0]))
    return f"{fact} in {percent} of {n:,} pairs (first: {first})"
