"""Labels: ties, position, length, and those that a model of the other prompts finds unlikely."""

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.utils import Bunch, check_random_state

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex._tables import Table
from sklearn_codex._verdicts import CROSS_FITTED, LEVEL, WRONG_LABEL_LEVEL, Judgement, judge_share
from sklearn_codex.health._data import PreferenceData
from sklearn_codex.health._noise import Noise, estimate_noise
from sklearn_codex.health._report import Finding, Status, count, percent
from sklearn_codex.labels import orient_pairs
from sklearn_codex.text import TokenCounter

SECTION = "Labels"

ENOUGH = 0.2
"""Data that would miss a share of 70% in more than one case of five are too few to tell."""
FEWEST_TRIALS = 20
FEWEST_PAIRS, FEWEST_GROUPS = 100, 10
"""Below either the labels are not judged by a model."""
N_FOLDS = 5
DEFAULT_C = 0.03
"""Of the default model; on log counts it was near the best on human and on simulated labels."""


def check_ties(data: PreferenceData):
    """Count ties and soft labels; ``ties`` has their ``row`` and ``label``."""
    rows = np.flatnonzero((data.y > 0) & (data.y < 1))
    tie = ~data.decided[rows]
    n_ties, n_soft = int(tie.sum()), int((~tie).sum())
    tables = {"ties": Table(row=rows, label=data.y[rows])}
    if not rows.size:
        return [Finding(SECTION, "ok", "All labels are 0 or 1, no tie, none soft.")], tables
    if n_ties == len(data):
        text = "All labels are ties: nothing says which response is better, so no reward can learn."
        return [Finding(SECTION, "look", text)], tables
    text = f"{count(n_ties, 'tie')} ({percent(n_ties / len(data))}), {count(n_soft, 'soft label')}."
    if not n_soft:
        text = f"{count(n_ties, 'tie')} ({percent(n_ties / len(data))}): half a point each way."
    return [Finding(SECTION, "note", text)], tables


def check_position(data: PreferenceData, units: IntArray):
    """Tell how often the first response is preferred; ``position`` is as in ``measure_share``."""
    n_decided = int(data.decided.sum())
    if n_decided < FEWEST_TRIALS:
        text = f"{count(n_decided, 'decided pair')}, too few to tell whether A is favoured."
        return [Finding(SECTION, "skipped", text)], {"position": None}
    test = judge_share((data.y > 0.5)[data.decided].astype(float), units[data.decided])
    tables = {"position": measure_share(test)}
    if test.value in (0, 1):
        text = (
            f"{'A' if test.value else 'B'} is preferred in every pair. A classifier needs both "
            "classes: read_preferences, given chosen and rejected, puts them first in turn."
        )
        return [Finding(SECTION, "look", text)], tables
    text = f"A is preferred in {_interval(test)}"
    verdict = test.pick("A", "B", ENOUGH)
    if verdict in ("not shown", "too few"):
        return [_not_told(data, test, text)], tables
    text += (
        f", not in half of them (p = {test.p_value:.1g}). If A and B were not in random order, "
        "exchange them in every other row, with the label; if they were, the judges favour a "
        "position."
    )
    return [Finding(SECTION, "look", text)], tables


def check_length(data: PreferenceData, units: IntArray):
    """Tell how often the longer response is preferred; ``length`` is as in ``measure_share``."""
    if not data.is_text:
        return [], {"length": None}
    n_characters = np.array([len(text) for text in data.responses])
    difference = n_characters[data.a] - n_characters[data.b]  # (n_pairs,)
    used = data.decided & (difference != 0)
    if int(used.sum()) < FEWEST_TRIALS:
        text = "Too few decided pairs differ in length to tell whether the longer response wins."
        return [Finding(SECTION, "skipped", text)], {"length": None}
    longer_won = ((difference > 0) == (data.y > 0.5)).astype(float)
    test = judge_share(longer_won[used], units[used])
    tables = {"length": measure_share(test)}
    text = f"The longer response is preferred in {_interval(test)}"
    verdict = test.pick("longer", "shorter", ENOUGH)
    if verdict in ("not shown", "too few"):
        return [_not_told(data, test, text)], tables
    text += (
        f", not in half of them (p = {test.p_value:.1g}). A reward model has to beat "
        f"{percent(max(test.value, 1 - test.value))} to have learned more than 'the {verdict} one "
        "wins'."
    )
    return [Finding(SECTION, "note", text)], tables


def measure_share(test: Judgement) -> Bunch:
    """Return a share and the test of 1/2 under the names that reports have.

    Returns
    -------
    result : Bunch
        ``n_pairs``, ``n_groups``, ``share``, the ends ``low`` and ``high`` of its 95% interval, the
        ``p_value`` of 1/2, and how far from 1/2 a share is ``detectable``; all by group.
    """
    return Bunch(
        n_pairs=test.n_pairs,
        n_groups=test.n_groups,
        share=test.value,
        low=test.low,
        high=test.high,
        p_value=test.p_value,
        detectable=test.detectable,
    )


def _interval(test: Judgement) -> str:
    return (
        f"{percent(test.value)} of {count(test.n_pairs, 'pair')} (95%: {percent(test.low)} "
        f"to {percent(test.high)})"
    )


def _not_told(data, test: Judgement, text: str) -> Finding:
    """Say that a share is not told from one half, and what would have been."""
    if test.detectable > ENOUGH:
        of = "" if test.n_groups == test.n_pairs else f" of {count(test.n_groups, data.unit)}"
        return Finding(SECTION, "skipped", f"{text}: too few{of} to tell it from one half.")
    text += (
        f", not told from one half (p = {test.p_value:.2g}); {percent(0.5 + test.detectable)} "
        "would be, in four of five data sets of this kind."
    )
    return Finding(SECTION, "ok", text)


def check_wrong_labels(data: PreferenceData, joined, model, random_state):
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
    n_decided, n_units = int(data.decided.sum()), np.unique(units[data.decided]).size
    if n_decided < FEWEST_PAIRS or n_units < FEWEST_GROUPS:
        text = (
            f"Single labels are not judged: that takes {FEWEST_PAIRS} decided pairs of "
            f"{FEWEST_GROUPS} {data.unit}s, here {n_decided} of {n_units}."
        )
        return [Finding(SECTION, "skipped", text)], nothing
    if model is None and not _has_features(data):
        text = "Single labels are not judged: the responses have no word in which they differ."
        return [Finding(SECTION, "skipped", text)], nothing
    margins = cross_fit(data, units, model, random_state)
    decided = data.decided
    margins, y, units = margins[decided], data.y[decided], units[decided]
    noise = estimate_noise(margins, y, units)
    right = 0.5 + 0.5 * np.sign(margins) * np.sign(y - 0.5)
    skill = judge_share(right, units, inflation=CROSS_FITTED)
    name = "A linear reward model" if model is None else type(model).__name__
    flagged = (noise.p_wrong > 0.5) & (noise.p_value < WRONG_LABEL_LEVEL) & skill.is_above
    worst = np.lexsort((np.where(y > 0.5, margins, -margins), -noise.p_wrong))
    found = Table(
        row=np.flatnonzero(decided)[worst],
        label=y[worst],
        probability=noise.probability[worst],
        p_wrong=noise.p_wrong[worst],
        flagged=flagged[worst],
    )
    predictability = Bunch(
        accuracy=skill.value,
        se=_grouped_error(right, units),
        low=skill.low,
        high=skill.high,
        is_predictable=skill.is_above,
        flip_rate=noise.flip_rate,
        p_value=noise.p_value,
    )
    findings = [_judge_model(name, data.unit, skill)]
    if skill.is_above:
        findings.append(_judge_labels(found, noise))
    return findings, {"wrong_labels": found, "predictability": predictability}


def cross_fit(data: PreferenceData, units: IntArray, model, random_state) -> FloatArray:
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
    for train, test in folds.split(pairs, target, units):
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
        features = TokenCounter("word").fit_transform(data.responses).log1p()
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


def _judge_model(name, unit, skill: Judgement) -> Finding:
    """Say how well labels are predicted."""
    text = (
        f"{name} is right on {percent(skill.value)} (95%: {percent(skill.low)} to "
        f"{percent(skill.high)}) of the labels of {unit}s it was not fitted on"
    )
    if skill.is_above:
        return Finding(SECTION, "note", f"{text}.", table="predictability")
    text += ", not told from a coin, so it cannot judge single labels. Pass a better model=."
    return Finding(SECTION, "skipped", text)


def _judge_labels(found, noise: Noise) -> Finding:
    rows = found.row[found.flagged]
    if rows.size:
        n_right = float(np.sum(1 - found.p_wrong[found.flagged]))
        text = (
            f"{count(rows.size, 'label')} ({percent(rows.size / found.row.size)}) "
            f"{'is' if rows.size == 1 else 'are'} more likely wrong than right; about "
            f"{n_right:.0f} of these should be right after all. In all, about "
            f"{percent(noise.flip_rate)} of the labels are estimated to be wrong (p = "
            f"{noise.p_value:.1g}), if what the model misses is not what people go by; the others "
            "cannot be told from honest doubt. Read the worst first."
        )
        return Finding(SECTION, "look", text, rows, "wrong_labels")
    status: Status = "note" if noise.p_value < LEVEL else "ok"
    at = f"p = {noise.p_value:.2g}, and a label is accused below {WRONG_LABEL_LEVEL:g} only"
    if noise.p_value < WRONG_LABEL_LEVEL:
        text = (
            f"About {percent(noise.flip_rate)} of the labels are estimated to be wrong (p = "
            f"{noise.p_value:.1g}), but none is more likely wrong than right."
        )
    elif noise.p_value < LEVEL:
        text = f"A hint of wrong labels, too weak to accuse one ({at})."
    else:
        text = f"No evidence of wrong labels beyond the doubt that the model has anyway ({at})."
    text += " The labels it finds least likely:"
    return Finding(SECTION, status, text, found.row, "wrong_labels")
