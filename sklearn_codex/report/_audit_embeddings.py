"""Whether embeddings predict preferences where words fail, or better than they do.

Folds, pairs and measures are those of the other models. A reward of embeddings alone has its
penalty chosen by prompt, within what each fold learns from; beside the preset it is a block of
norm 1 a response, as those of words and characters are, with the penalty of the preset.
"""

from os import PathLike

import numpy as np
from scipy import sparse

from sklearn_codex import PreferenceRewardModelCV
from sklearn_codex._checks.matrices import is_sparse
from sklearn_codex._data.designs import PairDesign
from sklearn_codex._data.vector_files import load_vectors, vectors_beside
from sklearn_codex._embedding.unit_rows import unit_rows
from sklearn_codex.report._audit_data import TOL, cross_fit_draws, fit_differences
from sklearn_codex.report._audit_predict import gain_of_draws, judge, penalty_of
from sklearn_codex.report._audit_progress import within

CS = (1e-2, 1e-1, 1.0, 10.0, 100.0)
N_FOLDS = 3
ALONE, BESIDE = "embeddings", "embeddings and preset"


def read_vectors(embeddings, pairs, *, name, place, as_read):
    """Return the vectors of pairs by their ids, None where there are none.

    ``embeddings`` is a path of an .npy file or an array; else as ``vectors_beside``.
    """
    if embeddings is None:
        return None
    if isinstance(embeddings, (str, PathLike)):
        embeddings = load_vectors(embeddings, name)
    return vectors_beside(embeddings, pairs, name=name, place=place, as_read=as_read)


def compare_embeddings(data, draws, advance=lambda share: None):
    """Return how well embeddings predict, alone and beside the preset, and what they gain on it.

    Parameters
    ----------
    data : AuditData
        The pairs, with their ``vectors``.
    draws : ndarray of shape (n_draws, n_pairs)
        Held-out margins of the preset, by draw of the folds.
    advance : callable
        Called with the share that is done.

    Returns
    -------
    figures : dict or None
        ``n_features``; ``models`` and ``gains`` over the preset in accuracy, of "embeddings" and
        "embeddings and preset"; None without vectors.
    """
    if data.vectors is None:
        return None
    alone, beside = differences_of_vectors(data.vectors)
    preset = data.preset[np.arange(len(data.y))]
    both = sparse.csr_array(sparse.hstack([preset, sparse.csr_array(beside)]))
    found = {
        ALONE: cross_fit_chosen(data, alone, within(advance, 0.0, 0.5)),
        BESIDE: cross_fit_draws(
            data, both, C=penalty_of("preset", None), advance=within(advance, 0.5, 1.0)
        ),
    }
    return {"n_features": data.vectors.shape[-1], **judge_draws(data, found, draws)}


def judge_draws(data, found, draws):
    """Return figures of margins by draw of the folds, and their gains over other margins."""
    return {
        "models": {name: judge(data, margins) for name, margins in found.items()},
        "gains": {name: gain_of_draws(data, margins, draws) for name, margins in found.items()},
    }


def differences_of_vectors(vectors):
    """Return differences of vectors (n_pairs, d), scaled so that rows have norm 1 on average.

    Those of vectors of norm 1 are the second.
    """
    a, b = vectors.ids.T
    features = vectors.features
    features = features.toarray() if is_sparse(features) else features
    features = np.asarray(features, dtype=np.float64)
    # The greatest numbers are divided out before any square, which may be beyond floats.
    alone = divide_out(PairDesign(divide_out(features), a, b).differences)
    size = np.sqrt(np.mean(np.sum(alone**2, axis=1)))
    unit = PairDesign(unit_rows(features), a, b).differences
    return alone / (size if size > 0 else 1.0), unit


def divide_out(values):
    """Return values over the greatest magnitude of them, zeros as they are."""
    largest = np.max(np.abs(values), initial=0.0)
    return values / (largest if largest > 0 else 1.0)


def cross_fit_chosen(data, D, advance=lambda share: None):
    """Return margins (n_draws, n_pairs), the penalty chosen within what each fold learns from."""
    margins = np.empty((len(data.draws_of_folds), len(data.y)))
    for n_done, (margin, folds) in enumerate(zip(margins, data.draws_of_folds, strict=True)):
        for n_folds_done, (train, test) in enumerate(folds):
            advance((n_done + n_folds_done / len(folds)) / len(margins))
            n_folds = min(N_FOLDS, len(np.unique(data.groups[train])))
            model = PreferenceRewardModelCV(Cs=CS, cv=n_folds, tol=TOL)
            fit_differences(model, data, D, train, groups=data.groups[train])
            margin[test] = model.decision_function(D[test])
    return margins
