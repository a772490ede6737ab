"""Vectors of the responses of a file of pairs, and the reward that ``fit`` learns from them."""

import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from sklearn_codex import PreferenceRewardModel, PreferenceRewardModelCV
from sklearn_codex._data.rows import DenseRows, blocks_of
from sklearn_codex._data.vector_files import load_vectors, vectors_beside
from sklearn_codex._plain import plain
from sklearn_codex.cli._models import figures_of_margins


def read_embeddings(path: str, pairs, place: str):
    """Return the vectors (n_pairs, 2, d) of the responses of pairs as they were read, by their ids.

    Parameters
    ----------
    path : str
        An .npy file of an array (n_pairs, 2, d), or (2 n_pairs, d): both responses of the first
        row, then of the next, in the order in which the file has the two responses: chosen before
        rejected, or A before B.
    pairs : Bunch
        The pairs as they were read.
    place : str
        What errors call the file of the pairs.

    Raises
    ------
    ValueError
        If the file is no array of floats, or not of as many pairs as there are.
    """
    name = f"--embeddings {plain(path)}"
    return vectors_beside(load_vectors(path, name), pairs, name=name, place=place)


def fit_reward_of_vectors(vectors, pairs, *, C, test_size, seed):
    """Fit a reward on pairs of vectors; return it, and its figures on held-out prompts.

    Parameters
    ----------
    vectors : ResponseIds of shape (n_pairs, 2, d)
    pairs : Bunch
        Their labels, weights and groups.
    C : float or None
        Inverse strength of the penalty; None chooses it by prompt.
    test_size : float
        Share of the groups held out for the figures; 0 fits and judges on all pairs.
    seed : int
        Draws the groups.

    Returns
    -------
    model : PreferenceRewardModel or PreferenceRewardModelCV
    figures : dict

    Raises
    ------
    ValueError
        If there are no prompts to hold out, or both vectors of every pair are equal.
    """
    if not 0 <= test_size < 1:
        raise ValueError(
            f"--test-size is a share of the prompts, from 0 to below 1, got {test_size:g}."
        )
    if test_size and len(np.unique(pairs.groups)) < 2:
        raise ValueError(
            f"--test-size {test_size:g} holds out prompts, and the {pairs.n} pairs have one prompt "
            "or group only. Add others, or pass --test-size 0 to judge the fit on its own records."
        )
    train = test = np.arange(pairs.n)
    if test_size:
        splitter = GroupShuffleSplit(1, test_size=test_size, random_state=seed)
        train, test = next(splitter.split(train, groups=pairs.groups))
    _check_differ(vectors)
    y, weight = np.asarray(pairs.y, dtype=np.float64), np.asarray(pairs.sample_weight)
    if C is None:
        model = PreferenceRewardModelCV()
        model.fit(vectors[train], y[train], weight[train], pairs.groups[train])
    else:
        model = PreferenceRewardModel(C=C).fit(vectors[train], y[train], weight[train])
    figures = {
        "n_train": len(train),
        "n_test": len(test) if test_size else 0,
        "held_out": bool(test_size),
        "n_features": model.n_features_in_,
        "C": model.C_ if C is None else C,
        "preferences": figures_of_margins(
            y[test], model.decision_function(vectors[test]), weight[test]
        ),
    }
    return model, figures


def _check_differ(vectors):
    """Raise where both vectors of every pair are equal: of these no reward can be learned."""
    a, b = vectors.ids.T
    features = DenseRows(np.asarray(vectors.features))
    parts = blocks_of(len(a), vectors.shape[-1])  # read until the first that differs
    if not any(np.any(features[a[here]] != features[b[here]]) for here in parts):
        raise ValueError(
            f"--embeddings has the same vector for both responses of each of the {len(a)} pairs, "
            "so no reward can be learned. Save the vectors of the responses, not of the prompts, "
            "both of the first pair, then of the next."
        )
