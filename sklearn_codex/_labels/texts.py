"""Labels that are the text of the better response itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_codex._labels.conventions import Floats


def sides_of_texts(
    labels: Sequence[Any], firsts: Sequence[str], seconds: Sequence[str]
) -> Floats | None:
    """Return which response each label is the text of, None where not all labels are one.

    Parameters
    ----------
    labels : sequence of shape (n,)
    firsts, seconds : sequence of str of length n
        The responses.

    Returns
    -------
    first_is_better : ndarray of shape (n,) or None
        1 where a label is the first response and 0 where it is the second; 0.5 where both responses
        have one text, which says nothing.

    Examples
    --------
    >>> from sklearn_codex._labels.texts import sides_of_texts
    >>> sides_of_texts(["Yes.", "No."], ["Yes.", "Yes."], ["No.", "No."]).tolist()
    [1.0, 0.0]
    >>> sides_of_texts(["Yes.", "a"], ["Yes.", "Yes."], ["No.", "No."])
    """
    found = np.full(len(labels), 0.5)
    for row, (label, *texts) in enumerate(zip(labels, firsts, seconds, strict=True)):
        said = " ".join(str(label).split())
        first, second = (" ".join(text.split()) for text in texts)
        if said not in (first, second):
            return None
        if first != second:
            found[row] = said == first
    return found if (found != 0.5).any() else None
