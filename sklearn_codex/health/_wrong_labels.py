"""Labels that a model of the other prompts finds unlikely."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.model_selection import GroupKFold
from sklearn.utils import Bunch, check_random_state

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._data.designs import PairDesign, as_columns
from sklearn_codex._reward.held_out import as_design, margins_without
from sklearn_codex._reward.preset_design import preset_design
from sklearn_codex._tables import Table
from sklearn_codex._verdicts import CROSS_FITTED, WRONG_LABEL_LEVEL, Judgement, judge_share
from sklearn_codex.exceptions import RareTokensWarning
from sklearn_codex.health._data import PreferenceData
from sklearn_codex.health._noise import Noise, estimate_noise
from sklearn_codex.health._report import Finding, find
from sklearn_codex.labels import orient_pairs
from sklearn_codex.text import TokenCounter

FEWEST_PAIRS, FEWEST_GROUPS = 100, 10
"""Below either the labels are not judged by a model."""
N_FOLDS = 5
MAX_PRESET = 20_000  # pairs
"""Of more, words are counted; the preset's runs of characters take minutes and gigabytes."""
C_OF_TEXT = 1.0
"""Of the preset, and of words by tf-idf."""
C_OF_COUNTS = 0.03
"""On log counts near the best on human and on simulated labels."""
TOL = 1e-3


def check_wrong_labels(
    data: PreferenceData,
    joined,
    model,
    random_state,
    advance: Callable = lambda share: None,
    preset: Callable | None = None,
):
    """Find labels that a model, fitted without their groups, finds more likely wrong than right.

    Returns
    -------
    findings : list of Finding
    tables : dict
        ``wrong_labels``, one row for each decided pair, least likely label first: ``row``,
        ``label``, cross-fitted ``probability`` that A is preferred, ``p_wrong``, and whether it is
        ``flagged``. None where the labels are not judged. ``predictability``: ``accuracy`` on
        groups not seen, its standard error ``se``, ``is_calibrated``, ``flip_rate`` with its
        interval and ``p_value``; or None.
    """
    nothing = {"wrong_labels": None, "predictability": None}
    units = np.arange(len(data)) if joined is None else joined
    if np.unique(units[data.decided]).size < N_FOLDS:  # all prompts are alike
        units = data.units
    skipped = _say_why_not(data, units, model)
    if skipped is not None:
        return [skipped], nothing
    margins = cross_fit(data, units, model, random_state, advance, preset)
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
        is_calibrated=noise.misfit >= WRONG_LABEL_LEVEL,
        flip_rate=noise.flip_rate,
        flip_low=noise.low,
        flip_high=noise.high,
        p_value=noise.p_value,
        n_pairs=skill.n_pairs,
        n_groups=skill.n_groups,
    )
    is_judge = skill.is_above and predictability.is_calibrated
    found = _table(np.flatnonzero(decided), margins, y, noise, is_judge)
    findings = [_judge_model(model, data.unit, skill)]
    if is_judge:
        findings.append(_judge_labels(found, noise))
    elif skill.is_above:
        level = WRONG_LABEL_LEVEL
        facts = {"p_value": noise.misfit, "level": level}
        findings.append(find("labels not judged", "skipped", found.row, "wrong_labels", **facts))
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


def _table(rows, margins, y, noise: Noise, is_judge) -> Table:
    """Return the decided pairs, the least likely label first."""
    is_shown = is_judge and noise.p_value < WRONG_LABEL_LEVEL
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
    preset: Callable | None = None,
) -> FloatArray:
    """Return the margin (n_pairs,) of each pair by a model fitted without its group.

    Of the default models it is the one whose margins have the smaller log-loss.
    """
    seed = check_random_state(random_state).randint(2**31 - 1)
    if model is not None:
        return _cross_fit(data, units, data.to_array(), model, seed, advance)
    made = []
    designs, C = _default_designs(data, preset)
    for n, design in enumerate(designs):
        here = partial(_advance_of, advance, n, len(designs))
        made.append(_cross_fit_default(data, units, design, C, seed, here))
    return min(made, key=lambda margins: _log_loss(margins, data))


def _advance_of(advance, n, of, share):
    advance((n + share) / of)


def _log_loss(margins, data) -> float:
    y = data.y[data.decided]
    given = np.where(y > 0.5, 1, -1) * margins[data.decided]
    return float(np.mean(np.logaddexp(0, -given)))


def _cross_fit_default(data, units, design, C, seed, advance) -> FloatArray:
    """Return the margins (n_pairs,) by linear models of the other folds of groups."""
    target = (data.y > 0.5).astype(np.float64)
    margins = np.zeros(len(data))
    for train, test in _folds(target, units, seed, advance):
        rows = train[data.decided[train]]
        margins[test] = margins_without(design, target, rows, test, C=C, tol=TOL)
    return margins


def _folds(target, units, seed, advance):
    folds = GroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    for n_done, fold in enumerate(folds.split(target, target, units)):
        advance((n_done + 1) / (N_FOLDS + 1))  # the features take about as long as a fold
        yield fold


def _cross_fit(data, units, pairs, model, seed, advance) -> FloatArray:
    """Return the margins (n_pairs,) by clones of a model of the other folds of groups."""
    a_wins = data.y > 0.5
    # Without both classes there is no classifier; another order of A and B is no other preference.
    turned = np.zeros(len(data), dtype=bool)
    if min(a_wins[data.decided].mean(), 1 - a_wins[data.decided].mean()) < 0.1:
        turned[1::2] = True
        pairs = orient_pairs(pairs, ~turned).X  # exchanges the pairs that are turned
    target = (a_wins ^ turned).astype(int)
    margins = np.zeros(len(data))
    for train, test in _folds(target, units, seed, advance):
        train = train[data.decided[train]]
        fitted = clone(model).fit(pairs[train], target[train])
        margins[test] = _margins(fitted, pairs[test])
    return np.where(turned, -margins, margins)


def _has_features(data: PreferenceData) -> bool:
    """Tell whether the default model has something to go by."""
    if data.is_text:
        return bool((~data.identical).any()) and any(map(str.strip, data.responses))
    return bool((~data.identical).any())


def _default_designs(data: PreferenceData, preset: Callable | None):
    """Return designs of pairs on scales for which one penalty is fair, and it.

    Of text they are the preset, and words by tf-idf, which have less to be misled by.
    """
    if data.is_text and len(data) <= MAX_PRESET:
        with suppress(ValueError):  # no text has three characters or a word
            made = [_preset(data) if preset is None else preset()]
            with suppress(ValueError):
                made.append(_design(data, TfidfTransformer().fit_transform(_count(data))))
            return made, C_OF_TEXT
    if data.is_text:
        return [_design(data, _count(data).log1p())], C_OF_COUNTS
    differences = sparse.csr_array(data.differences)
    n_used = np.bincount(differences.indices, minlength=differences.shape[1])
    squares = np.bincount(differences.indices, differences.data**2, differences.shape[1])
    scale = np.sqrt(squares / np.maximum(n_used, 1))
    scaled = differences.multiply(1 / np.where(scale > 0, scale, 1))
    return [as_design(sparse.csr_array(scaled))], C_OF_COUNTS


def _count(data: PreferenceData):
    with warnings.catch_warnings():  # whether words tell anything is what is asked here
        warnings.simplefilter("ignore", RareTokensWarning)
        return TokenCounter("script-word").fit_transform(data.responses)


def _design(data: PreferenceData, features):
    return as_columns(PairDesign(sparse.csr_array(features), data.a, data.b))


def _preset(data: PreferenceData):
    """Return the preset's design of the pairs, each response to a prompt read once."""
    prompts = [""] * len(data) if data.prompts is None else data.prompts
    index: dict[tuple[str, str], int] = {}
    a, b = (
        np.array(
            [
                index.setdefault((prompt, data.responses[side]), len(index))
                for prompt, side in zip(prompts, sides, strict=True)
            ]
        )
        for sides in (data.a, data.b)
    )
    return preset_design(np.array(list(index), dtype=object), a, b).design


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
    estimate = {
        "n_labels": found.row.size,
        "flip_rate": noise.flip_rate,
        "low": noise.low,
        "high": noise.high,
        "p_value": noise.p_value,
        "level": WRONG_LABEL_LEVEL,
    }
    if rows.size:
        n_right = float(np.sum(1 - found.p_wrong[found.flagged]))
        counts = {"n": rows.size, "n_right": n_right}
        return find("wrong labels", "look", rows, "wrong_labels", **counts, **estimate)
    # No tick: that none is shown does not mean that there is none.
    return find("unlikely labels", "note", found.row, "wrong_labels", **estimate)
