"""Designs with far more columns than rows, turned into fewer columns with the same margins.

A penalty that is the same for all columns of a block knows only the products of its rows, so that
any columns with these products make the same fit of the same rows, and the same predictions.
"""

from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._data.designs import DifferenceDesign, NuisanceDesign, PairDesign

# Products of more rows take longer to turn, and more room, than many fits do.
MAX_ROWS = 4096
# Columns for each row from which on it is quicker.
LEAST_COLUMNS = 4
# Rows whose products with all others are made at one time, and columns that are told from none.
CHUNK_ROWS = 512
NEGLIGIBLE = 1e-12


def turn(design: Any, blocks: list[IntArray]) -> tuple[Any, IntArray]:
    """Return a design with the same margins, and for each of its columns one of the same penalty.

    Parameters
    ----------
    design : PairDesign, DifferenceDesign or NuisanceDesign of shape (n_pairs, V + k)
        What to turn; dense ones, and those of few columns or of many rows, stay as they are.
    blocks : list of ndarray of int
        Columns of rewards that have one penalty; each of the V stands in one block.

    Returns
    -------
    design : PairDesign, DifferenceDesign or NuisanceDesign of shape (n_pairs, r + k)
        Dense, where it was turned.
    source : ndarray of int of shape (r + k,)
        Columns of ``design`` whose penalty the columns of the new one have.
    """
    if isinstance(design, NuisanceDesign):
        own, source = turn(design.design, blocks)
        n = design.design.shape[1]
        nuisances = np.arange(n, design.shape[1])
        return NuisanceDesign(own, design.columns), np.concatenate([source, nuisances])
    n_rows, n_columns = design.rows.shape
    if design.is_dense or n_rows > MAX_ROWS or n_columns < LEAST_COLUMNS * n_rows:
        return design, np.arange(n_columns)
    matrix = sparse.csc_array(design.rows.matrix)
    parts, sources = [], []
    for columns in blocks:
        part = sparse.csr_array(matrix[:, columns])
        if len(columns) <= n_rows:
            parts.append(part.toarray())
            sources.append(columns)
        else:
            parts.append(_turn_rows(part))
            sources.append(np.full(parts[-1].shape[1], columns[0]))
    rows = np.hstack(parts)
    source = np.concatenate(sources)
    if isinstance(design, DifferenceDesign):
        return DifferenceDesign(rows), source
    return PairDesign(rows, design.a, design.b).to_solve(), source


def _turn_rows(matrix: Any) -> FloatArray:
    """Return rows (n, r), r <= n, whose products are those of the rows of a csr_array (n, V)."""
    n_rows = matrix.shape[0]
    products = np.empty((n_rows, n_rows))
    transposed = sparse.csr_array(matrix.T)
    for start in range(0, n_rows, CHUNK_ROWS):
        here = slice(start, start + CHUNK_ROWS)
        products[here] = (matrix[here] @ transposed).toarray()
    values, vectors = np.linalg.eigh(products)
    kept = values > NEGLIGIBLE * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])
