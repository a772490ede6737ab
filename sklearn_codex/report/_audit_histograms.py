"""How long responses are, and how far models lean to the label."""

import numpy as np

MOST_BINS = 30


def describe_lengths(data):
    """Return how many preferred and other responses have a length, in bins of its logarithm.

    Parameters
    ----------
    data : AuditData
        The pairs.

    Returns
    -------
    histogram : dict or None
        ``edges`` (n_bins + 1) in characters and the counts (n_bins) of those ``preferred`` and
        ``other``; None where no pair has a winner.
    """
    if not data.decided.any():
        return None
    characters = np.array([len(text) for text in data.responses[:, 1]], dtype=float)
    a, b = characters[data.a][data.decided], characters[data.b][data.decided]
    a_wins = data.y[data.decided] > 0.5
    preferred, other = np.where(a_wins, a, b), np.where(a_wins, b, a)
    edges = _log_edges(preferred, other)
    return {
        "edges": edges.tolist(),
        "preferred": np.histogram(preferred, edges)[0].tolist(),
        "other": np.histogram(other, edges)[0].tolist(),
    }


def _log_edges(*lengths):
    """Return edges in whole characters that are about equally far apart in logarithms."""
    low = min(float(values.min()) for values in lengths)
    high = max(float(values.max()) for values in lengths)
    edges = np.geomspace(max(low, 1.0), high + 1.0, MOST_BINS + 1)
    return np.unique(np.concatenate([[np.floor(low)], np.round(edges[1:-1]), [high + 1.0]]))


def describe_margins(data, margin):
    """Return how many labels have a margin, in nats of log-odds towards the label.

    Parameters
    ----------
    data : AuditData
        The pairs.
    margin : ndarray of shape (n_pairs,)
        Log-odds that A is preferred, by models that have not seen the pair.

    Returns
    -------
    histogram : dict
        ``edges`` (n_bins + 1), of which one is 0, and ``counts`` (n_bins). The first and last bin
        hold what is farther out than 99 of 100 margins.
    """
    towards = (np.sign(data.y - 0.5) * margin)[data.decided]
    reach = float(np.quantile(np.abs(towards), 0.99)) or 1.0
    edges = np.linspace(-reach, reach, MOST_BINS + 1)
    counts = np.histogram(np.clip(towards, -reach, reach), edges)[0]
    return {"edges": edges.tolist(), "counts": counts.tolist()}
