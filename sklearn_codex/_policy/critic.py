"""The critic of whole-document rewards: a linear forecast of them from token counts."""

from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray
from sklearn_codex._rollouts import Rollouts
from sklearn_codex._solve.conjugate_gradients import Preconditioner, conjugate_gradients

# Documents that are remembered, for each token of the vocabulary, and batches at least.
_KEPT_PER_TOKEN = 4
_KEPT_BATCHES = 4
# Occurrences of a token that its last value is worth.
_PRIOR = 0.1
_MAX_ROUNDS = 10
_ROUND_TOL = 1e-3


class LinearCritic:
    r"""Credits the reward of whole documents to their tokens, by least squares.

    Fitted on the documents drawn lately, which come from older policies, so its values are no more
    than a forecast. They are used as a control variate: whatever they are, the gradient keeps its
    expectation, and the better they are, the less noise it has.

    Parameters
    ----------
    n_columns : int
        V, the size of the vocabulary.

    Attributes
    ----------
    token_value : ndarray of shape (V,)
        What each token adds to the reward of a document, up to a constant.

    Notes
    -----
    The values v minimise

    .. math:: \sum_i (R_i - c - n_i \cdot v)^2 + \lambda \|v - v'\|^2

    over the token counts :math:`n_i` and rewards :math:`R_i` of the documents remembered, with a
    free constant c and the values v' before: what a token was worth is not forgotten when its
    documents are. A few rounds of conjugate gradients from v' are enough, as the next batch goes on
    from there.

    References
    ----------
    .. [1] Gu, S. et al. (2017). "Q-Prop: sample-efficient policy gradient with an off-policy
       critic." ICLR.
    .. [2] Peters, J. and Schaal, S. (2008). "Natural actor-critic." Neurocomputing 71, 1180-1190.
    """

    def __init__(self, n_columns: int):
        self.token_value = np.zeros(n_columns)
        self._batches: list[dict[str, np.ndarray]] = []

    def trust(self, forecast: FloatArray, actual: FloatArray) -> float:
        """Return the factor in [0, 1] that makes forecasts (n,) fit rewards (n,) not seen before.

        It is the one that leaves the least variance, so a useless critic is not used.
        """
        deviation = forecast - forecast.mean()
        energy = float(deviation @ deviation)
        return float(np.clip(deviation @ actual / energy, 0.0, 1.0)) if energy > 0 else 0.0

    def learn(self, rollouts: Rollouts, reward: FloatArray) -> None:
        """Learn from documents and their rewards (n_documents,)."""
        self._batches.append(
            {
                "tokens": rollouts.tokens.astype(np.int32),
                "lengths": rollouts.lengths.astype(np.int32),
                "reward": reward,
            }
        )
        sizes = [len(batch["reward"]) for batch in self._batches]
        while len(sizes) > _KEPT_BATCHES and sum(sizes[1:]) >= _KEPT_PER_TOKEN * len(
            self.token_value
        ):
            del self._batches[0], sizes[0]
        tokens, lengths, rewards = (
            np.concatenate([batch[name] for batch in self._batches])
            for name in ("tokens", "lengths", "reward")
        )
        # One entry for each occurrence: products with a matrix do not mind repeated columns.
        ends = np.concatenate([[0], np.cumsum(lengths)])
        counts = sparse.csr_array(
            (np.ones(len(tokens)), tokens, ends), shape=(len(lengths), len(self.token_value))
        )
        self.token_value = _go_on(counts, rewards, self.token_value)

    def forget(self) -> None:
        """Forget all documents, but not what they taught."""
        self._batches = []

    def state(self) -> dict[str, Any]:
        """Return what changes while it learns."""
        return {"token_value": self.token_value, "batches": list(self._batches)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state of :meth:`state`."""
        self.token_value, self._batches = state["token_value"], list(state["batches"])


def _go_on(counts, reward, value):
    """Return values (V,) nearer to least squares, by preconditioned conjugate gradients."""
    transposed = counts.T
    n_documents = len(reward)
    total = transposed @ np.ones(n_documents)
    # About the sum of squares of each column; its centring is left to the product.
    scale = total * (1.0 - total / counts.nnz) + _PRIOR

    def product(direction):
        fitted = counts @ direction
        fitted -= fitted.sum() / n_documents
        return transposed @ fitted + _PRIOR * direction, fitted

    missing = reward - counts @ value
    residual = transposed @ (missing - missing.mean())
    change, _ = conjugate_gradients(
        product, Preconditioner(scale), residual, tol=_ROUND_TOL, max_steps=_MAX_ROUNDS
    )
    return value + change
