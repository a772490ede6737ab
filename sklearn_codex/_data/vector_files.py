"""Vectors that stand beside pairs: a row or two a pair, in the order in which pairs were read."""

from os import PathLike

import numpy as np

from sklearn_codex._data.vectors import ResponseIds, as_response_ids, check_pairs_of
from sklearn_codex._plain import plain

CHOSEN_FIRST, A_FIRST = "chosen before rejected", "A before B"


def load_vectors(path: str | PathLike, name: str):
    """Return the array of an .npy file, which stays on disk.

    Parameters
    ----------
    path : str or path-like
        A file of ``numpy.save``, read without pickles.
    name : str
        What errors call it.

    Raises
    ------
    ValueError
        If it is none, or holds objects or several arrays.
    """
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or error.errno is not None:
            raise
        raise ValueError(_no_array(name)) from error
    except (ValueError, EOFError) as error:
        raise ValueError(_no_array(name)) from error
    if not isinstance(vectors, np.ndarray):
        vectors.close()
        raise ValueError(f"{name} holds several arrays. Save the one of the vectors by numpy.save.")
    return vectors


def _no_array(name):
    return f"{name} is no file of numpy.save, or holds objects, which are not read. Save floats."


def vectors_beside(vectors, pairs, *, name: str, place: str, as_read: bool = False):
    """Return vectors of the responses of pairs as they were read (n_pairs, 2, d), by their ids.

    Parameters
    ----------
    vectors : array of shape (n_pairs, 2, d) or (2 n_pairs, d), or ResponseIds
        Of both responses of the first row, then of the next, in the order in which the file has the
        two: chosen before rejected, or A before B.
    pairs : Bunch
        The pairs as they were read.
    name, place : str
        What errors call the vectors, and where the pairs are from.
    as_read : bool, default=False
        Whether the two of a pair are in the order of what was read, A before B also where they were
        chosen and rejected; else they are in that of the file, whichever is A once read.

    Raises
    ------
    ValueError
        If they are no floats, or not of as many pairs as there are.
    """
    n = pairs.n
    if not as_read and pairs.n_rows != n:
        raise ValueError(
            f"{place} has {n} pairs in {pairs.n_rows} rows, so {name} does not tell which vectors "
            f"belong to which. Make a file of a pair a row, sklearn-codex convert {plain(place)} "
            "--to pairs, and vectors of its responses."
        )
    order = "response A before B" if as_read else _order_of(pairs)
    if isinstance(vectors, ResponseIds):
        vectors = check_pairs_of(vectors, subject=name)
        _check_number(vectors.shape, ((n, 2),), n, name, place, order)
        found = vectors
    else:
        vectors = _check_floats(vectors, n, name, place)
        _check_number(vectors.shape, ((n, 2), (2 * n,)), n, name, place, order)
        found = as_response_ids(vectors.reshape(n, 2, -1), subject=name)
    if as_read:
        return found
    # The reader has exchanged every second pair of chosen and rejected.
    turned = (np.asarray(pairs.oriented) & (np.asarray(pairs.y) < 0.5))[:, np.newaxis]
    return found.with_ids(np.where(turned, found.ids[:, ::-1], found.ids))


def _order_of(pairs):
    """Say in which order the file has the two responses of a pair."""
    is_oriented = np.asarray(pairs.oriented)
    if not is_oriented.size or 0 < is_oriented.sum() < is_oriented.size:
        return f"in the order in which the file has the two: {CHOSEN_FIRST}, or {A_FIRST}"
    return CHOSEN_FIRST if is_oriented.all() else A_FIRST


def _check_floats(vectors, n, name, place):
    vectors = vectors if isinstance(vectors, np.ndarray) else np.asarray(vectors)
    if vectors.dtype.kind != "f" or vectors.ndim not in (2, 3) or 0 in vectors.shape:
        raise ValueError(
            f"{name} holds {vectors.dtype} of shape {vectors.shape}, not vectors: floats of shape "
            f"({n}, 2, d) or ({2 * n}, d) for the {n} pairs of {place}."
        )
    return vectors


def _check_number(shape, known, n, name, place, order):
    if shape[:-1] not in known:
        raise ValueError(
            f"{name} holds vectors of shape {shape}, but {place} was read as {n} pairs, so "
            f"({n}, 2, d) or ({2 * n}, d) is needed: the vectors of both responses of each pair, "
            f"{order}."
        )
