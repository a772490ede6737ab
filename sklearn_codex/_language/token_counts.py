"""The sufficient statistic of a categorical distribution: weighted token counts.

To go on with a fit is then an addition, and equal to one fit on everything.
"""

from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.corpora import Corpus


def forget_counts(model: Any) -> None:
    """Take away the statistic, so that the next documents define the columns."""
    for name in ("token_count_", "n_tokens_", "n_documents_"):
        vars(model).pop(name, None)


def add_counts(model: Any, corpus: Corpus) -> None:
    """Add a corpus to ``token_count_`` and what follows from it."""
    # First what may fail: columns are fixed by counts that were added.
    token_count, n_documents = corpus.sum()
    with np.errstate(over="ignore"):
        total = token_count + getattr(model, "token_count_", 0.0)
    check_total(total, subject=type(model).__name__)
    model.token_count_ = total
    model.n_documents_ = getattr(model, "n_documents_", 0.0) + n_documents
    model.n_tokens_ = float(total.sum())
    model.document_length_ = max(1, round(model.n_tokens_ / model.n_documents_))


def check_total(token_count: FloatArray, *, subject: str) -> None:
    """Check that counts (V,) add to a number that is a float."""
    with np.errstate(over="ignore"):
        total = float(np.sum(token_count))
    if not total < np.inf:
        raise ValueError(
            f"{subject} got counts of {np.max(token_count):.3g} for one token, whose sum is beyond "
            "the range of floats. Divide the counts, or the sample weights, by a constant."
        )
