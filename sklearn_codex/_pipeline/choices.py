"""Policies over candidates as stages: what they are given of records, and what is asked of them."""

import numpy as np
from sklearn.utils.metadata_routing import _routing_enabled

from sklearn_codex._data.records import check_records


def rows_of_candidates(records, params, *, subject):
    """Return rows (prompt, response), scores or None, and the parameters of a fit on candidates.

    The records say which rows belong together. Groups that a search routes are for its splitter.
    """
    given = {"groups", "reference_log_prob"} & {*params}
    if given and not _routing_enabled():
        raise ValueError(
            f"{subject} takes of records of candidates which belong together, those of one record, "
            f"and their logprobs, got {', '.join(sorted(given))} for a stage. Leave it out."
        )
    rows = records.candidate_arrays(subject=subject)
    metadata = {"groups": rows.groups, "reference_log_prob": rows.reference_log_prob}
    return rows.X, rows.y, {**params, **metadata}


def _read(X, method, subject, *, alone):
    """Return the candidates of records as rows, of which there are some; ``alone``: of all."""
    records = check_records(X, subject=subject)
    rows = records.rows("candidates")
    if not len(rows):
        raise ValueError(
            f"{subject}.{method} needs candidates records, as its last stage chooses among them, "
            f"and X has none: {records.describe()}. Add records with the columns responses (and "
            "prompt, scores, logprobs, optional). In cross-validation use cv=RecordKFold() "
            "(sklearn_codex.model_selection)."
        )
    if alone and len(rows) < len(records):
        other = int(np.flatnonzero(records.kind != "candidates")[0])
        raise ValueError(
            f"{subject}.{method} returns the best candidate of each record, but record {other} is "
            f"a {records.kind[other]} record. Pass the records that have responses alone."
        )
    return records.candidate_arrays(subject=subject)


def best_responses(policy, X, *, subject):
    """Return the text (n_records,) of the best candidate of each record."""
    rows = _read(X, "predict", subject, alone=True)
    is_best = policy.predict(rows.X, groups=rows.groups, reference_log_prob=rows.reference_log_prob)
    return rows.X[is_best, 1]


def value_of_choices(policy, X, *, subject):
    """Return the value of the choices of a policy under the scores in X, or its objective."""
    rows = _read(X, "score", subject, alone=False)
    return policy.score(
        rows.X, rows.y, groups=rows.groups, reference_log_prob=rows.reference_log_prob
    )
