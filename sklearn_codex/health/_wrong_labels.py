"""Labels that a model of the other prompts finds unlikely."""

import warnings
from collections.abc import Callable

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.utils import Bunch, check_random_state

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex._tables import Table
from sklearn_codex._verdicts import CROSS_FITTED, LEVEL, WRONG_LABEL_LEVEL, Judgement, judge_share
from sklearn_codex.exceptions import RareTokensWarning
from sklearn_codex.health._data import PreferenceData
from sklearn_codex.health._noise import Noise, estimate_noise
from sklearn_codex.health._report import Finding, Status, find
from sklearn_codex.labels import orient_pairs
from sklearn_codex.text import TokenCounter

FEWEST_PAIRS, FEWEST_GROUPS = 100, 10
"""Below either the labels are not judged by a model."""
N_FOLDS = 5
DEFAULT_C = 0.03
"""Of the default model; on log counts it was near the best on human and on simulated labels."""


def check_wrong_labels(
    data: PreferenceData, joined, model, random_state, advance: Callable = lambda share: None
):
    """Find labels that a model, fitted without their groups, finds more likely wrong than right.

    Returns
    -------
    findings : list of Finding
    tables : dict
        ``wrong_labels``, one row for each decided pair, least likely label first: ``row``,
        ``label``, cross-fitted ``probability`` that A is preferred, ``p_wrong``, and whether it is
        ``flagged``. None where the labels are not judged. ``predictability``: ``accuracy`` on
        groups not seen, its standard error ``se``, ``flip_rate`` and its ``p_value``; or None.
    """
    nothing = {"wrong_labels": None, "predictability": None}
    units = np.arange(len(data)) if joined is None else joined
    if np.unique(units[data.decided]).size < N_FOLDS:  # all prompts are alike
        units = data.units
    skipped = _say_why_not(data, units, model)
    if skipped is not None:
        return [skipped], nothing
    margins = cross_fit(data, units, model, random_state, advance)
    decided = data.decided
    margins, y, units = margins[decided], data.y[decided], units[decided]
    noise = estimate_noise(margins, y, units)
    right = 0.5 + 0.5 * np.sign(margins) * np.sign(y - 0.5)
    skill = judge_share(right, units, inflation=CROSS_FITTED)
    predictability = Bunch(
        accuracy=skill.value,
        se=_grouped_error(right, units),
        low=skill.low,
        high=skill.high,
        is_predictable=skill.is_above,
        flip_rate=noise.flip_rate,
        p_value=noise.p_value,
    )
    found = _table(np.flatnonzero(decided), margins, y, noise, skill.is_above)
    findings = [_judge_model(model, data.unit, skill)]
    if skill.is_above:
        findings.append(_judge_labels(found, noise))
    return findings, {"wrong_labels": found, "predictability": predictability}


def _say_why_not(data, units, model) -> Finding | None:
    """Return why labels are not judged, None where they can be."""
    n_pairs, n_groups = int(data.decided.sum()), np.unique(units[data.decided]).size
    if n_pairs < FEWEST_PAIRS or n_groups < FEWEST_GROUPS:
        return find(
            "few labels",
            "skipped",
            n_pairs=n_pairs,
            n_groups=n_groups,
            fewest_pairs=FEWEST_PAIRS,
            fewest_groups=FEWEST_GROUPS,
            unit=data.unit,
        )
    if model is None and not _has_features(data):
        return find("no words", "skipped")
    return None


def _table(rows, margins, y, noise: Noise, is_predictable) -> Table:
    """Return the decided pairs, the least likely label first."""
    is_shown = is_predictable and noise.p_value < WRONG_LABEL_LEVEL
    worst = np.lexsort((np.where(y > 0.5, margins, -margins), -noise.p_wrong))
    return Table(
        row=rows[worst],
        label=y[worst],
        probability=noise.probability[worst],
        p_wrong=noise.p_wrong[worst],
        flagged=(noise.p_wrong[worst] > 0.5) & is_shown,
    )


def cross_fit(
    data: PreferenceData,
    units: IntArray,
    model,
    random_state,
    advance: Callable = lambda share: None,
) -> FloatArray:
    """Return the margin (n_pairs,) of each pair by a model fitted without its group."""
    if model is None:
        model, pairs = PreferenceRewardModel(C=DEFAULT_C, tol=1e-4), _default_features(data)
    else:
        pairs = data.to_array()
    a_wins = data.y > 0.5
    # Without both classes there is no classifier; another order of A and B is no other preference.
    turned = np.zeros(len(data), dtype=bool)
    if min(a_wins[data.decided].mean(), 1 - a_wins[data.decided].mean()) < 0.1:
        turned[1::2] = True
        pairs = orient_pairs(pairs, ~turned).X  # exchanges the pairs that are turned
    target = (a_wins ^ turned).astype(int)
    margins = np.zeros(len(data))
    rng = check_random_state(random_state)
    folds = GroupKFold(N_FOLDS, shuffle=True, random_state=rng.randint(2**31 - 1))
    for n_done, (train, test) in enumerate(folds.split(pairs, target, units)):
        advance((n_done + 1) / (N_FOLDS + 1))  # the features take about as long as a fold
        train = train[data.decided[train]]
        fitted = clone(model).fit(pairs[train], target[train])
        margins[test] = _margins(fitted, pairs[test])
    return np.where(turned, -margins, margins)


def _has_features(data: PreferenceData) -> bool:
    """Tell whether the default model has something to go by."""
    if data.is_text:
        return bool((~data.identical).any()) and any(map(str.strip, data.responses))
    return bool((~data.identical).any())


def _default_features(data: PreferenceData):
    """Return feature differences (n_pairs, V) on scales for which one penalty is fair."""
    if data.is_text:
        with warnings.catch_warnings():  # whether words tell anything is what is asked here
            warnings.simplefilter("ignore", RareTokensWarning)
            features = TokenCounter("script-word").fit_transform(data.responses).log1p()
        return sparse.csr_array(features[data.a] - features[data.b])
    differences = sparse.csr_array(data.differences)
    n_used = np.bincount(differences.indices, minlength=differences.shape[1])
    squares = np.bincount(differences.indices, differences.data**2, differences.shape[1])
    scale = np.sqrt(squares / np.maximum(n_used, 1))
    return sparse.csr_array(differences.multiply(1 / np.where(scale > 0, scale, 1)))


def _margins(model, pairs) -> FloatArray:
    """Return the log-odds (n_pairs,) that A is preferred."""
    if hasattr(model, "predict_proba"):
        probability = np.clip(model.predict_proba(pairs)[:, 1], 1e-12, 1 - 1e-12)
        return np.log(probability) - np.log1p(-probability)
    return model.decision_function(pairs)


def _grouped_error(right, units) -> float:
    """Return the standard error of an accuracy where groups err together."""
    per_group = np.bincount(units, right - right.mean())
    return float(np.sqrt(np.sum(per_group**2))) / len(right)


def _judge_model(model, unit, skill: Judgement) -> Finding:
    """Say how well labels are predicted."""
    return find(
        "skill",
        "note" if skill.is_above else "skipped",
        table="predictability",
        name="A linear reward model" if model is None else type(model).__name__,
        accuracy=skill.value,
        low=skill.low,
        high=skill.high,
        is_shown=skill.is_above,
        unit=unit,
    )


def _judge_labels(found, noise: Noise) -> Finding:
    rows = found.row[found.flagged]
    estimate = {"flip_rate": noise.flip_rate, "p_value": noise.p_value}
    if rows.size:
        n_right = float(np.sum(1 - found.p_wrong[found.flagged]))
        counts = {"n": rows.size, "n_labels": found.row.size, "n_right": n_right}
        return find("wrong labels", "look", rows, "wrong_labels", **counts, **estimate)
    status: Status = "note" if noise.p_value < LEVEL else "ok"
    levels = {"level": LEVEL, "accused_below": WRONG_LABEL_LEVEL}
    return find("unlikely labels", status, found.row, "wrong_labels", **estimate, **levels)
