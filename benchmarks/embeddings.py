"""Processor time of a reward head on dense embeddings, against scikit-learn at equal objective.

    python benchmarks/embeddings.py                    # 20,000 pairs of 1,024 features: minutes
    python benchmarks/embeddings.py --pairs 4000 --features 384 --rounds 1
    python benchmarks/embeddings.py --solvers lbfgs    # against the one that was the quickest

Embeddings are drawn at random with the falling spectrum that those of text have, of mean length 1.
Every solver of LogisticRegression gets the differences, in the floats of the vectors, and the
loosest `tol` of a grid that brings the objective within 1e-6 of its least value, and the quickest
of them is the peer; ours gets the loosest `tol` too. Of two ratios the first is from the same
input, so that the time of the peer includes to form the differences; for the second it is given
them, in float64. The cross-validation is of 10 values of C and 5 folds; it is held against one fit
at C = 1. Uncertainty is held against the same formula in numpy. All in one run, by turns, one
thread; only the ratios mean anything.
"""

import argparse
import contextlib
import ctypes
import warnings

import measure
import numpy as np
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from sklearn_codex import (
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    ResponseIds,
    RewardUncertainty,
)

GAP = 1e-6
TOLS = [1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8]
SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky")
STRENGTHS = (0.01, 1.0, 100.0)


def draw(n_pairs, n_features):
    """Return embeddings of pairs (n_pairs, 2, d), and labels."""
    rng = np.random.RandomState(0)
    turn = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
    vectors = rng.standard_normal((2 * n_pairs, n_features)) * np.arange(1, n_features + 1) ** -0.5
    vectors = vectors @ turn
    vectors /= np.linalg.norm(vectors, axis=1).mean()
    vectors = vectors.reshape(n_pairs, 2, n_features)
    margin = (vectors[:, 0] - vectors[:, 1]) @ (4 * rng.standard_normal(n_features))
    return vectors, (rng.uniform(size=n_pairs) < expit(margin)).astype(int)


def objective(D, y, weights, C):
    """Return the penalised log-loss."""
    side = (2 * y - 1) * (D @ weights)
    return C * np.logaddexp(0, -side).sum() + 0.5 * weights @ weights


def loosest(fit, D, y, C, least):
    """Return the loosest tolerance at which ``fit(tol)`` is near enough the least objective."""
    near = (tol for tol in TOLS if objective(D, y, fit(tol), C) <= least * (1 + GAP))
    return next(near, None)


def keep_memory():
    """Have freed memory used again: new pages take a system more, or less, time than the sums."""
    with contextlib.suppress(OSError, AttributeError):  # another C library than that of GNU
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(-4, 0)  # no allocation is a mapping of its own
        mallopt(-1, 2**31 - 1)  # none is given back


def peer_of(D, y, C, least, given, solvers):
    """Return the quickest solver of the peer that comes near enough, and a fit by it.

    It gets differences in given floats.
    """
    fits = {}
    for solver in solvers:

        def fit(tol, X=given, solver=solver):
            options = {"solver": solver, "tol": tol, "max_iter": 5000}
            return LogisticRegression(C=C, fit_intercept=False, **options).fit(X, y).coef_[0]

        tol = loosest(fit, D, y, C, least)
        if tol is not None:
            fits[f"{solver}, tol={tol:g}"] = lambda X=given, fit=fit, tol=tol: fit(tol, X)
    seconds, _ = measure.take_turns(fits, 1)
    name = min(seconds, key=seconds.get)
    return name, fits[name]


def compare_fits(vectors, y, n_rounds, solvers):
    """Print seconds of a fit by C and by form, against the quickest solver of the peer."""
    D = vectors[:, 0] - vectors[:, 1]
    narrow = vectors.astype(np.float32)
    forms = {
        "differences": (D, lambda: D),
        "(n, 2, d)": (vectors, lambda: vectors[:, 0] - vectors[:, 1]),
        "(n, 2, d) float32": (narrow, lambda: narrow[:, 0] - narrow[:, 1]),
        "ids": (ids := shuffled(vectors), lambda: np.subtract(*ids.features[ids.ids.T])),
    }
    print("\n| C | peer, seconds | " + " | ".join(forms) + " |")
    print("|---|---|" + "---|" * len(forms))
    for C in STRENGTHS:
        least = objective(D, y, PreferenceRewardModel(C).fit(D, y).coef_[0], C)

        def fit(tol, X=D, C=C):
            return PreferenceRewardModel(C, tol=tol).fit(X, y).coef_[0]

        tol = loosest(fit, D, y, C, least)
        peers = {
            kind: peer_of(D, y, C, least, D.astype(kind, copy=False), solvers)
            for kind in (np.float64, np.float32)
        }
        name, peer = peers[np.float64]
        methods = {"ready": peer}
        for form, (X, make) in forms.items():
            own = peers[X.dtype.type][1]
            methods[form] = lambda X=X, fit=fit, tol=tol: fit(tol, X)
            methods["peer", form] = lambda make=make, own=own: own(make())
        seconds, _ = measure.take_turns(methods, n_rounds)
        ratios = " | ".join(
            f"{seconds[form] / seconds['peer', form]:.2f}, {seconds[form] / seconds['ready']:.2f}"
            for form in forms
        )
        print(f"| {C:g} | {seconds['ready']:.2f} ({name}) | {ratios} |", flush=True)


def shuffled(vectors):
    """Return the same pairs as ids into a table in another order."""
    n_responses = 2 * len(vectors)
    order = np.random.RandomState(1).permutation(n_responses)
    place = np.empty(n_responses, dtype=int)
    place[order] = np.arange(n_responses)
    return ResponseIds(place.reshape(-1, 2), vectors.reshape(n_responses, -1)[order])


def compare_searches(vectors, y, n_rounds):
    """Print the fits that a cross-validation costs."""
    D = vectors[:, 0] - vectors[:, 1]
    methods = {
        "fit": lambda: PreferenceRewardModel().fit(D, y),
        "CV": lambda: PreferenceRewardModelCV(cv=5).fit(D, y),
    }
    seconds, results = measure.take_turns(methods, n_rounds)
    print(
        f"\nA cross-validation of 10 values of C and 5 folds takes {seconds['CV']:.1f} s, "
        f"{seconds['CV'] / seconds['fit']:.1f} fits at C = 1; it chose C = {results['CV'].C_:.3g}."
    )


def compare_uncertainty(vectors, y, n_rounds):
    """Print seconds of standard errors of 2,000 pairs against the formula in numpy."""
    D, y = (vectors[:2000, 0] - vectors[:2000, 1]), y[:2000]
    model = PreferenceRewardModel().fit(D, y)

    def by_hand():
        p = expit(D @ model.coef_[0])
        information = (D.T * (p * (1 - p))) @ D
        information[np.diag_indices_from(information)] += 1.0
        covariance = np.linalg.inv(information)
        return np.sqrt(np.einsum("ij,jk,ik->i", D, covariance, D, optimize=True))

    def ours():
        fitted = RewardUncertainty(FrozenEstimator(model)).fit(D, y)
        return fitted.predict_margin(D, return_std=True)[1]

    seconds, std = measure.take_turns({"ours": ours, "numpy": by_hand}, n_rounds)
    np.testing.assert_allclose(std["ours"], std["numpy"], rtol=1e-6)
    print(
        f"\nStandard errors of {len(D)} margins take {seconds['ours']:.2f} s, "
        f"{seconds['ours'] / seconds['numpy']:.2f} of the formula in numpy."
    )


def main():
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=SOLVERS)
    arguments = parser.parse_args()
    keep_memory()
    vectors, y = draw(arguments.pairs, arguments.features)
    print(f"{arguments.pairs} pairs of {arguments.features} features, one thread, processor time")
    compare_fits(vectors, y, arguments.rounds, arguments.solvers)
    compare_searches(vectors, y, arguments.rounds)
    compare_uncertainty(vectors, y, arguments.rounds)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()
