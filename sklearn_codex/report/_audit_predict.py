"""How well preferences are predicted on prompts never seen."""

import numpy as np
from scipy.special import expit
from sklearn.utils import check_random_state

from sklearn_codex import PreferenceRewardModelCV
from sklearn_codex._verdicts import (
    CROSS_FITTED,
    judge_mean,
    judge_share,
    judge_slope,
)
from sklearn_codex.metrics import preference_auc, reliability_table
from sklearn_codex.model_selection._budget import summarise
from sklearn_codex.report._audit_data import (
    LARGE,
    TOL,
    cross_fit,
    cross_fit_draws,
    fit_differences,
    weights_of,
)
from sklearn_codex.report._audit_progress import within

N_RESAMPLES_AUC = 1000
N_BINS = 10
N_DRAWS_GAPS = 1999
MIN_PAIRS_CALIBRATION = 200
MIN_GROUPS_CURVE = 40
CS_OF_COUNTS = (1e-4, 1e-3, 1e-2, 1e-1)
SHARES_LEARNED = (0.125, 0.25, 0.5, 1.0)
N_LEARNED = 2
"""Draws of the parts of a learning curve, of which half are learned from twice, as two parts."""
FACTORS = (2.0, 4.0)
"""Times the prompts there are, for which the accuracy is predicted."""
MODELS = ("length only", "words", "preset")


def choose_C(data):
    """Return the penalty of token counts, by cross-validation that keeps groups together."""
    search = PreferenceRewardModelCV(Cs=CS_OF_COUNTS, cv=3, tol=TOL)
    return fit_differences(search, data, data.words, groups=data.groups).C_


def credits(y, margin):
    """Return 1 where the margin has the sign of the label, 0 where not, half for a tie of it.

    Of margins (n_draws, n_pairs), by draw of the folds, it is the mean over the draws.
    """
    return np.atleast_2d(_credits_of_draws(y, margin)).mean(axis=0)


def _credits_of_draws(y, margin):
    return 0.5 + 0.5 * np.sign(y - 0.5) * np.sign(margin)


def losses(y, margin):
    """Return the log-loss of each pair in nats."""
    return y * np.logaddexp(0, -margin) + (1 - y) * np.logaddexp(0, margin)


def noise_of_folds(data, credit, rows):
    """Return the variance of a mean credit by which folds are drawn.

    Parameters
    ----------
    data : AuditData
        The pairs.
    credit : ndarray of shape (n_draws, n_pairs)
        Of each draw of the folds; one draw does not tell, and counts as none.
    rows : ndarray of bool of shape (n_pairs,)
        Which of the pairs are meant.
    """
    if credit.ndim < 2 or len(credit) < 2:
        return 0.0
    means = np.average(credit[:, rows], axis=1, weights=weights_of(data, rows))
    return float(np.var(means, ddof=1)) / len(credit)


def accuracy(data, margin, rows=None):
    """Return the accuracy on pairs that are no tie, held against a coin's.

    Of margins (n_draws, n_pairs), by draw of the folds, it is the mean of those of the draws, whose
    noise is in the interval and in the test.
    """
    rows = data.decided if rows is None else rows & data.decided
    noise = noise_of_folds(data, _credits_of_draws(data.y, margin), rows)
    test = judge_share(
        credits(data.y[rows], margin[..., rows]),
        data.groups[rows],
        inflation=CROSS_FITTED,
        extra_variance=noise,
        weights=weights_of(data, rows),
    )
    return test._asdict()


def gain(data, credit, other, rows, extra_variance=0.0):
    """Return the mean difference of two credits on some pairs, held against none."""
    test = judge_mean(
        (credit - other)[rows],
        data.groups[rows],
        bounds=(-1.0, 1.0),
        inflation=CROSS_FITTED,
        extra_variance=extra_variance,
        weights=weights_of(data, rows),
    )
    return test._asdict()


def judge(data, draws):
    """Return accuracy, log-loss and AUC of margins of groups never seen, with 95% intervals.

    ``draws`` has margins (n_draws, n_pairs) by draw of the folds; log-loss and AUC are of the mean.
    """
    margin = draws.mean(axis=0)
    loss = judge_mean(
        losses(data.y, margin),
        data.groups,
        null=float(np.log(2)),
        inflation=CROSS_FITTED,
        weights=weights_of(data),
    )
    return {
        "accuracy": accuracy(data, draws),
        "log_loss": loss._asdict(),
        "auc": _auc(data, margin),
    }


def _auc(data, margin):
    """Return the area, each pair in both orders, so that it does not depend on which is A."""
    y, score = np.concatenate([data.y, 1 - data.y]), np.concatenate([margin, -margin])
    rank = np.unique(score, return_inverse=True)[1].reshape(-1)
    weight = weights_of(data)
    weight = np.ones(len(data.y)) if weight is None else weight
    rng = check_random_state(data.seed)
    draws = []
    for _ in range(N_RESAMPLES_AUC):
        drawn = np.bincount(rng.randint(data.n_groups, size=data.n_groups), minlength=data.n_groups)
        draws.append(ranked_auc(y, rank, np.tile(drawn[data.groups] * weight, 2)))
    value = preference_auc(y, score, sample_weight=np.tile(weight, 2))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    # Of the folds, as for the accuracy.
    low, high = value + np.sqrt(CROSS_FITTED) * (np.array([low, high]) - value)
    return {"value": value, "low": max(0.0, float(low)), "high": min(1.0, float(high))}


def ranked_auc(y, rank, weight):
    """Return what ``preference_auc`` does of margins given by their ranks from 0, in one pass.

    NaN where no pair has a weight, or all have one class.
    """
    preferred, other = np.bincount(rank, weight * y), np.bincount(rank, weight * (1 - y))
    below = np.cumsum(other) - other / 2
    area = preferred.sum() * other.sum()
    return float(preferred @ below / area) if area > 0 else float("nan")


def predict(data, step):
    """Return the figures of each model, and of each the held-out margins by draw of the folds.

    An accuracy is the mean over the draws, what else is said of a model that of its mean margin.
    """
    C = choose_C(data)
    draws = {}
    step("length only")
    draws["length only"] = cross_fit_draws(data, data.length)
    step("words")
    draws["words"] = cross_fit_draws(data, data.words, C=C)
    step("features")
    data.advance = step.advance
    _ = data.preset
    step("preset")
    draws["preset"] = cross_fit_draws(data, data.preset, advance=step.advance)
    figures = {name: judge(data, draws[name]) for name in MODELS}
    # By the measure that says whether there is anything; the simpler one of two that are equal.
    rank = {name: figures[name]["accuracy"]["value"] for name in MODELS}
    best = max(MODELS, key=rank.__getitem__)
    beyond = max(MODELS[1:], key=rank.__getitem__)
    return {
        "models": figures,
        "C_of_words": C,
        "n_draws_of_folds": len(draws[best]),
        "best": best,
        "beyond_length": beyond,
        "gain_over_length": gain_of_draws(data, draws[beyond], draws["length only"]),
        "calibration": calibrate(data, draws[best].mean(axis=0)),
    }, draws


def gain_of_draws(data, draws, others):
    """Return the gain in accuracy of one model over another, with the noise of their folds."""
    change = _credits_of_draws(data.y, draws) - _credits_of_draws(data.y, others)
    return gain(
        data,
        credits(data.y, draws),
        credits(data.y, others),
        data.decided,
        extra_variance=noise_of_folds(data, change, data.decided),
    )


def calibrate(data, margin, inflation=CROSS_FITTED):
    """Return the calibration curve and the test of its slope, None for a data set too small.

    Parameters
    ----------
    data : AuditData
        The pairs.
    margin : ndarray of shape (n_pairs,)
        Log-odds that A is preferred.
    inflation : float, default=2.0
        Of the variance, as margins are cross-fitted; 1 for margins that are given.
    """
    y, groups = data.y, data.groups
    if len(y) < MIN_PAIRS_CALIBRATION:
        return None
    # Turned so that the model prefers A: the curve is one of "the response the model prefers".
    turned = margin < 0
    label, prob = np.where(turned, 1 - y, y), expit(np.abs(margin))
    weight = weights_of(data)
    table = reliability_table(label, prob, n_bins=N_BINS, strategy="quantile", sample_weight=weight)
    gap = table.observed - table.predicted
    slope = judge_slope(margin, y, groups, inflation=inflation, weights=weight)
    bins = np.searchsorted(table.high[:-1], prob)
    weight = np.ones(len(y)) if weight is None else weight
    total = np.bincount(bins, weight)
    chance = np.sqrt(np.bincount(bins, weight**2 * prob * (1 - prob))) / total
    residual = weight * (label - prob - gap[bins])
    variance = np.bincount(bins, weight**2 * prob * (1 - prob), len(total))
    rng = check_random_state(data.seed)
    return {
        "predicted": table.predicted.tolist(),
        "observed": table.observed.tolist(),
        "standard_error": _standard_errors(residual, bins, groups, table, total),
        "n": table.n.tolist(),
        "error": float(table.weight @ np.abs(gap)),
        # The mean absolute value of a normal variable: the gaps of independent pairs if calibrated.
        "error_by_chance": float(table.weight @ chance * np.sqrt(2 / np.pi)),
        "error_p_value": _judge_gaps(
            weight * (label - prob), bins, groups, variance, inflation, rng
        ),
        "slope": slope._asdict(),
        "farthest": max(_shift(margin, end, weight) for end in (slope.low, slope.high)),
    }


def _standard_errors(residual, bins, groups, table, total):
    """Return those of observed less predicted in each bin, where prompts err together.

    ``residual`` and the ``total`` of each bin are weighted.
    """
    errors = []
    for position, independent in enumerate(table.standard_error.tolist()):
        rows = bins == position
        sums = np.bincount(groups[rows], residual[rows])
        n_groups = len(np.unique(groups[rows]))
        together = np.sqrt(n_groups / max(n_groups - 1, 1) * (sums @ sums)) / total[position]
        errors.append(max(independent, float(together)))
    return errors


def _judge_gaps(residual, bins, groups, variance, inflation, rng):
    """Return the p-value of the mean gap of bins, where probabilities are calibrated.

    A multiplier bootstrap: the residuals of each prompt, which err together, are multiplied by one
    normal number, so that the sums of bins are normal with the covariance of those by prompt, and
    no less than the ``variance`` of independent labels of these probabilities.
    """
    n_bins = len(variance)
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    n_cells = n_bins * (codes.max() + 1)
    sums = np.bincount(codes * n_bins + bins, residual, n_cells).reshape(-1, n_bins)
    covariance = sums.T @ sums
    covariance += np.diag(np.maximum(0.0, variance - np.diag(covariance)))
    values, vectors = np.linalg.eigh(inflation * covariance)
    root = np.sqrt(np.maximum(values, 0.0))[:, np.newaxis] * vectors.T
    chance = np.abs(rng.normal(size=(N_DRAWS_GAPS, n_bins)) @ root).sum(axis=1)
    n_as_large = int(np.sum(chance >= np.abs(sums.sum(axis=0)).sum()))
    return (1 + n_as_large) / (1 + N_DRAWS_GAPS)


def _shift(margin, slope, weight):
    """Return by how much probabilities change on average if log-odds are multiplied."""
    steep = np.clip(slope, -1e6, 1e6)
    changes = np.abs(expit(steep * margin) - expit(margin))
    return float(np.average(changes, weights=weight))


def learn(data, margin_of_all, D, C, advance=lambda share: None, ceiling=None):
    """Return accuracy by the number of prompts learned from, None for a data set too small.

    ``ceiling`` is the accuracy that annotators allow, None where that is unknown.
    """
    if len(data.decided_groups) < MIN_GROUPS_CURVE:
        return None
    # Of a large data set a part says enough, and the models of a part cost most of the time.
    folds = data.folds[:2] if len(data.y) > LARGE else data.folds
    rows = np.isin(np.arange(len(data.y)), np.concatenate([test for _, test in folds]))
    sizes = np.array(SHARES_LEARNED) * data.n_groups * (1 - 1 / len(data.folds))
    draws = [
        _learn_once(data, D, C, folds, n, within(advance, n / N_LEARNED, (n + 1) / N_LEARNED))
        for n in range(N_LEARNED)
    ]
    whole = np.nan_to_num(np.atleast_2d(margin_of_all)[0])
    margins = np.array([[*draw[:3], whole] for draw in draws])
    correct = np.array([[credits(data.y, margin) for margin in draw] for draw in draws])
    extra = [_variance_of_draws(data, two - one, folds) for *_, two, one in correct]
    of_half = correct[:, 2:].mean(axis=(0, 1))  # one half and the other
    of_parts = [*correct[:, :2].mean(axis=0), of_half]
    # Of the whole the folds are those of the headline; what they draw is in the inflation.
    points = [
        {**_accuracy_of(data, credit, rows), "n_groups": round(size)}
        for credit, size in zip(of_parts, sizes[:3], strict=True)
    ]
    points.append({**accuracy(data, margin_of_all, rows), "n_groups": round(sizes[3])})
    return {
        "points": points,
        "n_folds": len(folds),
        "of_folds": len(data.folds),
        "last_doubling": gain(
            data,
            credits(data.y, margin_of_all),
            of_half,
            rows & data.decided,
            extra_variance=float(np.mean(extra)),
        ),
        "budget": _budget(data, margins[:, :, rows], sizes, rows, ceiling),
    }


def _learn_once(data, D, C, folds, n_draw, advance):
    """Return margins (4, n_pairs) of parts that are drawn: three sizes, and the other half."""
    parts = [
        _Share(data, share, n_draw, is_rest=is_rest)
        for share, is_rest in ((0.125, False), (0.25, False), (0.5, False), (0.5, True))
    ]
    margins = []
    for n_done, choose in enumerate(parts):
        here = within(advance, n_done / len(parts), (n_done + 1) / len(parts))
        margin = cross_fit(data, D, C=C, folds=folds, choose=choose, advance=here)
        margins.append(np.nan_to_num(margin))
    return np.array(margins)


def _accuracy_of(data, credit, rows):
    rows = rows & data.decided
    weights = weights_of(data, rows)
    return judge_share(
        credit[rows], data.groups[rows], inflation=CROSS_FITTED, weights=weights
    )._asdict()


def _budget(data, margins, sizes, rows, ceiling):
    """Return what more prompts would bring, as from ``label_budget``, as plain figures."""
    args = (margins, sizes, data.y[rows], data.groups[rows])
    options = {"weight": weights_of(data, rows), "n_prompts": data.n_groups, "factors": FACTORS}
    budget = summarise(*args, **options, ceiling=ceiling, rng=check_random_state(data.seed))
    if ceiling is not None and budget.measured[-1]["accuracy"] >= ceiling:
        # What is above it already is not of these votes, so they say nothing of what is to come.
        return _budget(data, margins, sizes, rows, None)
    return {"now": budget.now, "predicted": budget.predicted, "ceiling": ceiling}


def _variance_of_draws(data, difference, folds):
    """Return the variance of a gain by which prompts are drawn to learn from.

    Two halves of a training side differ by twice the variance of one, so their mean has a
    quarter of their squared difference; the whole, twice as large, has half as much again.
    """
    per_fold = [test[data.decided[test]] for _, test in folds]
    means = [
        np.average(difference[rows], weights=weights_of(data, rows))
        for rows in per_fold
        if rows.size
    ]
    return 1.5 * float(np.mean(np.square(means))) / 4


class _Share:
    """Chooses the rows of a share of the groups of a training side; larger shares hold smaller."""

    def __init__(self, data, share, n_draw=0, *, is_rest=False):
        self._groups, self._share, self._is_rest = data.groups, share, is_rest
        rng = check_random_state(data.seed)
        for _ in range(n_draw + 1):
            self._order = rng.permutation(data.decided_groups)

    def __call__(self, train):
        here = self._order[np.isin(self._order, self._groups[train])]
        n_kept = max(2, round(self._share * len(here)))
        kept = here[n_kept:] if self._is_rest else here[:n_kept]
        return train[np.isin(self._groups[train], kept)]


def penalty_of(name, C):
    """Return the C of a kind of model, where that of words is given."""
    return C if name == "words" else 1.0
