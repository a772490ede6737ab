"""The reference points of KTO: what the reward of a document is measured from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._policy.tilts import TiltPoint


class OwnPoint(Protocol):
    """The reference point of a policy."""

    def at(self, policy: Any) -> float | FloatArray:
        """Return z, of all documents or of each (n_documents,)."""

    def along(self, policy: Any) -> Callable[[FloatArray], float | FloatArray]:
        """Return the derivative of z along directions (n_weights,)."""


class NoPoint:
    """A reference point of 0, whatever the policy: the reward under the reference."""

    def at(self, policy: TiltPoint) -> float:
        """Return 0."""
        return 0.0

    def along(self, policy: TiltPoint) -> Callable[[FloatArray], float]:
        """Return that it does not move."""
        return lambda direction: 0.0


@dataclass(frozen=True)
class DocumentPoint:
    """b KL(policy || reference) of a document, for all documents.

    Parameters
    ----------
    kl_coef : float
        b.
    kl : callable
        The KL of a tilted policy.
    kl_gradient : callable
        Its gradient (n_weights,) by the weights.
    """

    kl_coef: float
    kl: Callable[[Any], float]
    kl_gradient: Callable[[Any], FloatArray]

    def at(self, policy: TiltPoint) -> float:
        """Return b KL."""
        return self.kl_coef * self.kl(policy)

    def along(self, policy: TiltPoint) -> Callable[[FloatArray], float]:
        """Return the derivative of b KL along directions (n_weights,)."""
        gradient = self.kl_coef * self.kl_gradient(policy)
        return lambda direction: float(gradient @ direction)


@dataclass(frozen=True)
class PromptPoint:
    """b KL(policy || reference) of the candidates of a prompt, for the documents of that prompt.

    Parameters
    ----------
    of_document : ndarray of int of shape (n_documents,)
        The prompt of each document.
    """

    of_document: IntArray

    def at(self, policy: Any) -> FloatArray:
        """Return b KL (n_documents,), the mean reward under the policy."""
        return self.of_prompts(policy, policy.reward)[self.of_document]

    def along(self, policy: Any) -> Callable[[FloatArray], FloatArray]:
        """Return the derivative (n_documents,) of b KL along directions (n_weights,)."""

        def moved(direction: FloatArray) -> FloatArray:
            # Rewards move by no more than their mean does, which is not at all.
            pulled = policy.reward * policy.jvp(direction) / policy.tilt.kl_coef
            return self.of_prompts(policy, pulled)[self.of_document]

        return moved

    @staticmethod
    def of_prompts(policy: Any, values: FloatArray) -> FloatArray:
        """Return the mean (n_prompts,) under the policy of values (n_rows,) of candidates."""
        sums = np.bincount(policy.tilt.prompts, policy.prob * values, policy.tilt.n_prompts)
        return sums.astype(np.float64)
