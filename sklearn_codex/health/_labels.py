"""Labels: ties, position, length, and those that a model of the other prompts finds unlikely."""

import numpy as np
from scipy import sparse
from scipy.stats import binomtest
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.utils import Bunch, check_random_state

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex.health._data import PreferenceData
from sklearn_codex.health._noise import Noise, estimate_noise
from sklearn_codex.health._report import Finding, count, percent, points
from sklearn_codex.labels import orient_pairs
from sklearn_codex.metrics._tables import Table
from sklearn_codex.text import TokenCounter

SECTION = "Labels"

ALPHA = 1e-3
"""False-alarm rate of each test: one clean data set in a thousand."""
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
    text = f"{count(n_ties, 'tie')} ({percent(n_ties / len(data))}), {count(n_soft, 'soft label')}."
    if not n_soft:
        text = f"{count(n_ties, 'tie')} ({percent(n_ties / len(data))}): half a point each way."
    return [Finding(SECTION, "note", text)], tables


def check_position(data: PreferenceData):
    """Tell how often the first response is preferred; ``position`` is as in ``measure_share``."""
    n_decided = int(data.decided.sum())
    result = measure_share(int((data.y > 0.5).sum()), n_decided)
    if result is None:
        text = f"{count(n_decided, 'decided pair')}, too few to tell whether A is favoured."
        return [Finding(SECTION, "skipped", text)], {"position": None}
    tables = {"position": result}
    if result.share in (0, 1):
        text = (
            f"{'A' if result.share else 'B'} is preferred in every pair. A classifier needs both "
            "classes: read_preferences, given chosen and rejected, puts them first in turn."
        )
        return [Finding(SECTION, "look", text)], tables
    text = f"A is preferred in {_interval(result)}"
    if result.p_value >= ALPHA:
        return [Finding(SECTION, "ok", f"{text}: no sign of a preference for a position.")], tables
    text += (
        ", not in half of them. If A and B were not in random order, exchange them in every other "
        "row, with the label; if they were, the judges favour a position."
    )
    return [Finding(SECTION, "look", text)], tables


def check_length(data: PreferenceData):
    """Tell how often the longer response is preferred; ``length`` is as in ``measure_share``."""
    if not data.is_text:
        return [], {"length": None}
    n_words = np.array([len(text.split()) for text in data.responses])
    difference = n_words[data.a] - n_words[data.b]  # (n_pairs,)
    used = data.decided & (difference != 0)
    longer_won = (difference > 0) == (data.y > 0.5)
    result = measure_share(int(longer_won[used].sum()), int(used.sum()))
    if result is None:
        text = "Too few decided pairs differ in length to tell whether the longer response wins."
        return [Finding(SECTION, "skipped", text)], {"length": None}
    text = f"The longer response is preferred in {_interval(result)}"
    if result.p_value >= ALPHA:
        text += ": no sign of a preference for length."
        return [Finding(SECTION, "ok", text)], {"length": result}
    text += (
        f". A reward model has to beat {percent(max(result.share, 1 - result.share))} to have "
        f"learned more than 'the {'longer' if result.share > 0.5 else 'shorter'} one wins'."
    )
    return [Finding(SECTION, "note", text)], {"length": result}


def measure_share(n_hits: int, n_trials: int):
    """Return a share and the test of 1/2; None for fewer than 20 trials.

    Returns
    -------
    result : Bunch or None
        ``n_pairs``, ``share``, the ends ``low`` and ``high`` of its 95% interval (Wilson), and the
        ``p_value`` of 1/2 (exact binomial). Both take pairs as independent.
    """
    if n_trials < FEWEST_TRIALS:
        return None
    test = binomtest(n_hits, n_trials)
    ends = test.proportion_ci(0.95, method="wilson")
    return Bunch(
        n_pairs=n_trials,
        share=n_hits / n_trials,
        low=float(ends.low),
        high=float(ends.high),
        p_value=float(test.pvalue),
    )


def _interval(result) -> str:
    return (
        f"{percent(result.share)} of {count(result.n_pairs, 'pair')} (95%: {percent(result.low)} "
        f"to {percent(result.high)})"
    )


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
    margins = cross_fit(data, units, model, random_state)
    decided = data.decided
    margins, y, units = margins[decided], data.y[decided], units[decided]
    noise = estimate_noise(margins, y, units)
    accuracy, se = _grouped_accuracy(margins, y, units)
    name = "A linear reward model" if model is None else type(model).__name__
    findings, flagged = _judge_model(name, data.unit, accuracy, se, noise)
    worst = np.lexsort((np.where(y > 0.5, margins, -margins), -noise.p_wrong))
    found = Table(
        row=np.flatnonzero(decided)[worst],
        label=y[worst],
        probability=noise.probability[worst],
        p_wrong=noise.p_wrong[worst],
        flagged=flagged[worst],
    )
    predictability = Bunch(
        accuracy=accuracy, se=se, flip_rate=noise.flip_rate, p_value=noise.p_value
    )
    findings += _judge_labels(found, noise, accuracy > 0.5 + 3 * se)
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


def _grouped_accuracy(margins, y, units) -> tuple[float, float]:
    """Return the accuracy and its standard error where groups err together."""
    right = 0.5 + 0.5 * np.sign(margins) * np.sign(y - 0.5)
    accuracy = float(right.mean())
    per_group = np.bincount(units, right - accuracy)
    return accuracy, float(np.sqrt(np.sum(per_group**2))) / len(y)


def _judge_model(name, unit, accuracy, se, noise: Noise):
    """Say how well labels are predicted; return the finding and which labels are flagged."""
    skilled = accuracy > 0.5 + 3 * se
    text = (
        f"{name} is right on {percent(accuracy)} (±{points(1.96 * se)} points) of the labels of "
        f"{unit}s it was not fitted on"
    )
    flagged = (noise.p_wrong > 0.5) & (noise.p_value < ALPHA) & skilled
    if skilled:
        return [Finding(SECTION, "note", f"{text}.", table="predictability")], flagged
    text += ", no better than a coin, so it cannot judge single labels. Pass a better model=."
    return [Finding(SECTION, "skipped", text)], flagged


def _judge_labels(found, noise: Noise, skilled) -> list[Finding]:
    if not skilled:
        return []
    rows = found.row[found.flagged]
    if not rows.size:
        text = (
            "No sign of wrong labels beyond the doubt the model has anyway (p = "
            f"{noise.p_value:.2g}). The labels it finds least likely:"
        )
        return [Finding(SECTION, "ok", text, found.row, "wrong_labels")]
    n_right = float(np.sum(1 - found.p_wrong[found.flagged]))
    text = (
        f"{count(rows.size, 'label')} ({percent(rows.size / found.row.size)}) "
        f"{'is' if rows.size == 1 else 'are'} more likely wrong than right; about {n_right:.0f} of "
        f"these should be right after all. In all, about {percent(noise.flip_rate)} of the labels "
        f"are estimated to be wrong (p = {noise.p_value:.1g}); the others cannot be told from "
        "honest doubt. Read the worst first."
    )
    return [Finding(SECTION, "look", text, rows, "wrong_labels")]
