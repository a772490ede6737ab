"""How often documents of fixed length have any of some tokens, and how often they may."""

import numpy as np

from sklearn_codex._checks.numbers import COUNT, PROBABILITY, check_number


def any_token_rate(probability: float, length: int) -> float:
    """Return 1 - (1 - p)^length, the share of documents with any token of total probability p."""
    p = min(probability, 1.0)
    return 1.0 if p == 1.0 else float(-np.expm1(length * np.log1p(-p)))


def chance_budget(max_probability: float, length: int) -> float:
    r"""Return the expected occurrences of a token set that a chance constraint allows.

    A document of L independent tokens has any token of a set B with probability
    :math:`1 - (1 - p_B)^L`, so this is at most :math:`\delta` exactly where the expected number of
    its occurrences :math:`L p_B` is at most :math:`L (1 - (1 - \delta)^{1/L})`.

    Parameters
    ----------
    max_probability : float
        Largest share of documents with any of the tokens, from 0 to 1.
    length : int
        Tokens of a document, L.

    Returns
    -------
    budget : float
        For :func:`constrained_optimum`, with costs 1 for the tokens of the set and 0 for others.

    Raises
    ------
    ValueError
        If the probability is not one, or the length is no integer of at least 1.

    Examples
    --------
    >>> from sklearn_codex.exact import chance_budget
    >>> round(chance_budget(0.01, length=20), 6)
    0.010048
    """
    length = check_number(length, "length", subject="chance_budget", interval=COUNT)
    max_probability = check_number(
        max_probability, "max_probability", subject="chance_budget", interval=PROBABILITY
    )
    if max_probability == 1:
        return float(length)
    return float(-length * np.expm1(np.log1p(-max_probability) / length))
