"""Documents that begin where the policy does not come any more, to learn what is to come there."""

from dataclasses import replace
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray

# Documents that begin anew, as a share of those of a batch.
_SHARE = 0.25


class Restarts:
    r"""Documents that begin in contexts of the reference, from which values are learned.

    Where a low price of the KL soon leaves but a few documents, a policy no longer comes to the
    contexts of the best ones, and what is to come after these is never learned. The value of a
    context is that of the policy from there on, however a document got there. So some documents
    begin in contexts that the reference comes to, which is a restart distribution [1]_, and show
    values nothing else would. They are credited with nothing: the gradient is still that of
    documents of the policy.

    Parameters
    ----------
    objective : NGramObjective
        What draws documents.

    Attributes
    ----------
    share : ndarray of shape (C,)
        Probability of each context: in proportion to the root of the expected visits of the
        reference, between the contexts that come often and all of them.

    References
    ----------
    .. [1] Kakade, S. and Langford, J. (2002). "Approximately optimal approximate reinforcement
       learning." ICML, 267-274.
    """

    def __init__(self, objective: Any):
        self._start = objective.start
        weight = np.sqrt(np.maximum(objective.flow(self._start).visits, 0.0))
        self.share: FloatArray = weight / weight.sum()

    def draw(
        self, objective: Any, log_prob: FloatArray, n_documents: int, rng: np.random.RandomState
    ) -> Any:
        """Return documents of a policy that begin anew, beside a batch of it.

        None of the reference, whose own documents come to these contexts.

        Parameters
        ----------
        objective : NGramObjective
            What draws.
        log_prob : ndarray of shape (E,)
            The policy.
        n_documents : int
            Documents of the batch, four to one of these.
        rng : RandomState
            Source of the draws.
        """
        if np.array_equal(log_prob, self._start):
            return None
        n_drawn = int(np.ceil(_SHARE * n_documents))
        contexts = rng.choice(len(self.share), n_drawn, p=self.share)
        return objective.sample(log_prob, n_drawn, rng, contexts=contexts)


def beside(rollouts: Any, others: Any) -> Any:
    """Return the documents of a batch and others after them, of the same trie."""
    parts = {
        name: np.concatenate([getattr(rollouts, name), getattr(others, name)])
        for name in ("tokens", "lengths", "arcs", "contexts")
    }
    return replace(rollouts, **parts)
