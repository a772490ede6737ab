"""Whether columns of scores agree with what is preferred."""

from collections.abc import Iterable, Mapping

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._labels.scores import ScoreFinding, compare_scores
from sklearn_codex._layouts.base import Form


def compare_with_scores(
    columns: Mapping[str, np.ndarray],
    forms: Iterable[tuple[Form, list[int]]],
    probability: FloatArray,
) -> list[ScoreFinding]:
    """Compare the scores that pairs of each form have with their labels.

    Parameters
    ----------
    columns : mapping of str to ndarray of shape (n_pairs,)
        The columns that are not read.
    forms : iterable of (Form, list of int)
        Forms with the pairs that have them.
    probability : ndarray of shape (n_pairs,)
        That the first response, as the file has them, is preferred.

    Returns
    -------
    findings : list of ScoreFinding
        ``contradicting`` are positions of pairs.
    """
    findings = []
    for form, of_form in forms:
        rows = np.asarray(of_form)
        found = compare_scores(
            {name: values[rows] for name, values in columns.items()},
            probability[rows],
            first=form.first,
            second=form.second,
            oriented=form.oriented,
        )
        findings += [entry._replace(contradicting=rows[entry.contradicting]) for entry in found]
    return findings
