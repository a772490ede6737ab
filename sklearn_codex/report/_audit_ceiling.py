r"""How far a model can agree with labels that are the majority of votes.

An annotator who is drawn at random votes for A of pair i with a probability p_i, which nobody
knows. The label is the majority of k votes, so that the best model, which knows on which side of
1/2 each p_i is, agrees with it with a probability, where there is a majority, of

.. math::
    C = \frac{E\,P(\mathrm{Bin}(k, \max(p, 1 - p)) > k / 2)}{E\,P(\mathrm{Bin}(k, p) \ne k / 2)}.

Votes show :math:`E\,2 p (1 - p)`, the probability that two annotators of a pair disagree: the share
of the two by two votes of a pair that do is an estimate of it without bias. Of all distributions of
p with that mean the greatest and the least C are those of two points, as C is a quotient of linear
functions of the distribution under one linear condition; they are found on a grid. The least is of
pairs that are either clear or a coin, the greatest of pairs that are all as doubtful.
"""

import numpy as np
from scipy.stats import binom

from sklearn_codex._verdicts import judge_mean
from sklearn_codex.metrics import annotator_accuracy

TIES = ("0.5", "both", "draw", "equal", "neither", "same", "tie", "tied")
N_GRID = 201


def human_ceiling(columns, groups=None):
    """Return how far annotators agree, None where no column has the votes of several of them.

    Parameters
    ----------
    columns : mapping of str to sequence
        Of the file.
    groups : ndarray of shape (n_pairs,), default=None
        What belongs together; None means each pair on its own.

    Returns
    -------
    ceiling : dict or None
        Name of the ``column``; ``n_annotators`` of most pairs; ``agreement`` of one annotator with
        the majority of the others, ``by_annotator`` too, None where lists differ in length; and
        ``of_majority``, what the best model of majorities can reach, see ``bound_agreement``, None
        where votes are not for one of two responses or a tie.
    """
    for name, values in columns.items():
        votes = [value for value in values if isinstance(value, (list, tuple))]
        if len(votes) < len(values) or not len(values):
            continue
        agreement, by_annotator = _agree_with_others(votes)
        for_one, for_other = _count_sides(votes)
        of_majority = bound_agreement(for_one, for_other, groups)
        if agreement is None and of_majority is None:
            continue
        return {
            "column": name,
            "n_annotators": int(np.median([len(vote) for vote in votes])),
            "agreement": agreement,
            "by_annotator": by_annotator,
            "of_majority": of_majority,
        }
    return None


def greatest_of(ceiling):
    """Return the accuracy that votes leave possible, noise and all; None where that is unknown."""
    bounds = None if ceiling is None else ceiling["of_majority"]
    return None if bounds is None else bounds["high"]


def _agree_with_others(votes):
    """Return how often one annotator agrees with the others, on average and each."""
    if len(votes[0]) < 3 or any(len(vote) != len(votes[0]) for vote in votes):
        return None, None
    table = annotator_accuracy(votes)
    if not (compared := table.n > 0).any():  # no others ever have a majority
        return None, None
    mean = float(np.average(table.accuracy[compared], weights=table.n[compared]))
    return mean, np.asarray(table.accuracy).tolist()


def _count_sides(votes):
    """Return the votes for one response and for the other (n_pairs,), None, None if unclear."""
    names = [[_name(vote) for vote in of_pair if _is_vote(vote)] for of_pair in votes]
    sides = sorted({name for of_pair in names for name in of_pair} - set(TIES))
    if not 1 <= len(sides) <= 2:
        return None, None
    return tuple(
        np.array([sum(name == side for name in of_pair) for of_pair in names])
        for side in [*sides, None][:2]
    )


def _is_vote(vote):
    return vote is not None and vote == vote  # no NaN


def _name(vote):
    if isinstance(vote, (bool, int, float, np.number)):
        return f"{float(vote):g}"
    return str(vote).strip().casefold()


def bound_agreement(for_one, for_other, groups=None):
    """Return the agreement with majorities of votes that the best model can reach.

    Parameters
    ----------
    for_one, for_other : ndarray of int of shape (n_pairs,)
        Votes for each of the two responses; None where they are not known.
    groups : ndarray of shape (n_pairs,), default=None
        What belongs together; None means each pair on its own.

    Returns
    -------
    bounds : dict or None
        ``least`` and ``greatest``, between which it is if the votes disagree as often as here;
        ``low`` and ``high``, with the noise of 95% of which pairs and whom one asked; the
        ``disagreement`` of two annotators of a pair. None where no pair has two votes.
    """
    if for_one is None:
        return None
    n_votes = for_one + for_other
    several = n_votes >= 2
    if not several.any():
        return None
    groups = np.arange(len(n_votes)) if groups is None else np.asarray(groups)
    k = n_votes[several]
    disagree = 2.0 * (for_one * for_other)[several] / (k * (k - 1))
    test = judge_mean(disagree, groups[several], null=0.5, bounds=(0.0, 1.0))
    sizes, numbers = np.unique(n_votes[n_votes > 0], return_counts=True)
    ends = [
        _bound(rate, sizes, numbers / numbers.sum()) for rate in (test.value, test.low, test.high)
    ]
    return {
        "least": ends[0][0],
        "greatest": ends[0][1],
        "low": min(end[0] for end in ends),
        "high": max(end[1] for end in ends),
        "disagreement": test.value,
        "n_pairs": test.n_pairs,
        "n_groups": test.n_groups,
    }


def _bound(disagreement, sizes, shares):
    """Return the least and the greatest agreement, given how often two annotators disagree."""
    # No probability of two alike makes them disagree more often than coins do.
    mean = min(disagreement / 2, 0.25)
    below = np.linspace(0.0, mean, N_GRID)[:, np.newaxis]  # values of p (1 - p)
    above = np.linspace(mean, 0.25, N_GRID)
    span = above - below
    share = np.divide(above - mean, span, out=np.ones_like(span), where=span > 0)
    right, clear = (
        share * of_below + (1 - share) * of_above
        for of_below, of_above in zip(
            _majority(below, sizes, shares), _majority(above, sizes, shares), strict=True
        )
    )
    reached = right / clear
    return float(reached.min()), float(reached.max())


def _majority(doubt, sizes, shares):
    """Return the probability of a majority on the likelier side, and of any majority."""
    p = 0.5 + np.sqrt(np.maximum(0.25 - doubt, 0.0))
    right = sum(w * binom.sf(k // 2, k, p) for k, w in zip(sizes, shares, strict=True))
    no_majority = sum(
        w * binom.pmf(k // 2, k, p) for k, w in zip(sizes, shares, strict=True) if k % 2 == 0
    )
    return right, 1 - no_majority
