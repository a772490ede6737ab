"""How many pairs, prompts and responses there are."""

import math

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex.health._data import PreferenceData
from sklearn_codex.health._report import Finding, find

FEW_PROMPTS = 30


def check_sizes(data: PreferenceData):
    """Count pairs, prompts and responses.

    Returns
    -------
    findings : list of Finding
    tables : dict
        ``sizes``: ``n_pairs``, ``n_groups`` (prompts, unless groups are given; None without
        either), ``pairs_per_group`` (n_groups,), ``n_responses`` (None where X is a matrix).
    """
    n_pairs = len(data)
    per_group = None if data.groups is None else np.bincount(data.groups)
    sizes = Bunch(
        n_pairs=n_pairs,
        n_groups=None if per_group is None else per_group.size,
        pairs_per_group=per_group,
        n_responses=len(data.responses) if data.is_text else None,
    )
    spread = None
    if per_group is not None:
        spread = int(per_group.min()), float(np.median(per_group)), int(per_group.max())
    findings = [
        find(
            "sizes",
            "note",
            n_pairs=n_pairs,
            n_groups=sizes.n_groups,
            per_group=spread,
            n_responses=sizes.n_responses,
            unit=data.unit,
        )
    ]
    if per_group is None:
        findings.append(find("no groups", "note"))
    findings.append(_judge_size(data.unit, n_pairs, np.unique(data.units).size))
    return findings, {"sizes": sizes}


def _judge_size(unit, n_pairs, n_groups) -> Finding:
    """Tell how well an accuracy can be known: as from independent pairs, or from one per group."""
    low, high = (1.96 * 0.5 / math.sqrt(n) for n in (n_pairs, n_groups))
    are_few = n_groups < FEW_PROMPTS
    return find(
        "precision",
        "look" if are_few else "note",
        n_groups=n_groups,
        unit=unit,
        low=low,
        high=high,
        are_few=are_few,
    )
