"""The path of a reward model over the strength of its penalty."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_codex._reward.bradley_terry import fit_weights
from sklearn_codex._reward.model import PreferenceRewardModel
from sklearn_codex._reward.presets import VECTORIZER_CONSTRAINTS

# 1e-4 suits raw counts, 100 tf-idf.
GRID = (-4, 2)
MOST_CS = 10_000


def check_Cs(Cs):
    """Return the values of C, ascending."""
    if isinstance(Cs, Integral):
        if int(Cs) > MOST_CS:
            raise ValueError(f"Cs should be at most {MOST_CS} values, got {Cs}.")
        return np.logspace(*GRID, Cs)
    try:
        values = np.unique(np.asarray(Cs, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty(0)
    if len(values) == 0 or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"Cs should be a number of values or positive numbers, got {Cs!r:.60}.")
    return values


@validate_params(
    {
        "X": "no_validation",
        "y": "no_validation",
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "sample_weight": ["array-like", None],
        "vectorizer": VECTORIZER_CONSTRAINTS,
        "position_bias": ["boolean"],
        "control_length": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def preference_path(
    X,
    y,
    *,
    Cs=10,
    sample_weight=None,
    vectorizer=None,
    position_bias=False,
    control_length=False,
    tol=1e-8,
    max_iter=100,
):
    """Fit a reward model for every value of C, in one pass over the text.

    Parameters
    ----------
    X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
        Pairs, as in :meth:`PreferenceRewardModel.fit`.
    y : array-like of shape (n_pairs,)
        Labels, as there.
    Cs : int or array-like of float, default=10
        Values of C; a number of them means as many from 1e-4 to 100, evenly in their logarithm.
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs.
    vectorizer, position_bias, control_length, tol, max_iter
        As in :class:`PreferenceRewardModel`.

    Returns
    -------
    path : Bunch
        ``Cs`` (n_Cs,), ascending; ``coefs`` (n_Cs, V); ``position_bias`` (n_Cs,); ``length_coef``
        (n_Cs, 2); ``loss`` (n_Cs,), mean log-loss in nats; ``n_iter`` (n_Cs,); ``converged``
        (n_Cs,), whether within ``max_iter`` steps; ``vectorizer``, the fitted one, None for
        differences.

    Notes
    -----
    Each fit starts from the one at the C below, and ends at the same optimum as one from zero.

    Examples
    --------
    >>> from sklearn_codex import preference_path
    >>> from sklearn_codex.datasets import make_preferences
    >>> data = make_preferences(200, n_features=8, random_state=0)
    >>> path = preference_path(data.X, data.y, Cs=[0.01, 1.0])
    >>> path.coefs.shape, bool(path.loss[0] > path.loss[1])
    ((2, 8), True)
    """
    model = PreferenceRewardModel(
        vectorizer=vectorizer, position_bias=position_bias, control_length=control_length
    )
    problem = model._read(X, y, sample_weight)
    model._require_both_preferred(problem)
    Cs = check_Cs(Cs)
    start, parts, ends = None, [], []
    every = problem.make_loss(1.0)
    for C in Cs:
        loss = every.with_C(C)
        state = fit_weights(loss, start, tol=tol, max_iter=max_iter)
        start = state.point.weights
        parts.append(model._attributes_of(start))
        ends.append((loss.describe(state.point)["loss"], state.iteration, state.converged))
    losses, n_iter, converged = map(np.array, zip(*ends, strict=True))
    return Bunch(
        Cs=Cs,
        coefs=np.vstack([part["coef_"] for part in parts]),
        position_bias=np.array([part["position_bias_"] for part in parts]),
        length_coef=np.vstack([part["length_coef_"] for part in parts]),
        loss=losses,
        n_iter=n_iter,
        converged=converged,
        vectorizer=model.vectorizer_,
    )
