"""What an algorithm is given: responses drawn, token by token, with rewards and groups."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._categorical import BoolArray, FloatArray, IntArray
from sklearn_codex._checks.numbers import as_floats
from sklearn_codex._checks.options import check_option

_OF_REWARDS = (
    "old_log_prob", "response_mask", "token_level_rewards", "values", "reward_baselines", "index",
)  # fmt: skip
_OF_PREFERENCES = ("lengths", "preference", "kl")


def no_field(kind: str, name: str) -> str:
    """Return the message where a batch of a kind has no such attribute, and which problem has."""
    message = f"{kind!r} object has no attribute {name!r}"
    if kind == "PreferenceBatch" and name in _OF_REWARDS:
        message += (
            ": the problem is one of preferences. Give an update of rewards a problem of rewards, "
            'such as "standard".'
        )
    elif kind == "Batch" and name in _OF_PREFERENCES:
        message += (
            ": the problem is one of rewards. Give an update of pairs one of preferences, such as "
            '"two-sided".'
        )
    return message


@dataclass(frozen=True, eq=False)
class Batch:
    """Responses drawn from a policy, as trainers hold them: one row a response, one column a token.

    Where all batches that can be drawn are held at once, every array but ``index`` has one more
    axis in front.

    Attributes
    ----------
    log_prob : ndarray of shape (n_responses, n_tokens)
        Log-probabilities of the tokens under the policy as it is now. At padding stands what a
        model that goes on predicting would give, the value of the first token once more, so that
        an algorithm that forgets its mask is seen to.
    old_log_prob : ndarray of shape (n_responses, n_tokens)
        The same under the policy that drew the responses.
    ref_log_prob : ndarray of shape (n_responses, n_tokens)
        The same under the reference.
    response_mask : ndarray of bool of shape (n_responses, n_tokens)
        Whether a place holds a token of the response, else it is padding.
    token_level_rewards : ndarray of shape (n_responses, n_tokens)
        The reward of a response at its last token, and 0 elsewhere.
    values : ndarray of shape (n_responses, n_tokens)
        What a perfect critic says before each token: the expected reward to come, less
        ``kl_coef`` times the KL to come. At padding stands the value before the first token once
        more, as a critic says something there, too.
    reward_baselines : ndarray of shape (n_responses,)
        Reward of the most probable response to the same prompt.
    index : ndarray of int of shape (n_responses,)
        The group of each response, from 0: those of one group answer the same prompt.
    rows : ndarray of int of shape (n_responses,)
        Which row of the problem each response is.
    policy_log_prob : ndarray of shape (n_rows,)
        The whole policy as it is now, for what returns a new one.
    kl_coef : float
        Weight of the KL from the reference that the problem asks for.
    """

    log_prob: FloatArray
    old_log_prob: FloatArray
    ref_log_prob: FloatArray
    response_mask: BoolArray
    token_level_rewards: FloatArray
    values: FloatArray
    reward_baselines: FloatArray
    index: IntArray
    rows: IntArray
    policy_log_prob: FloatArray
    kl_coef: float

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(no_field("Batch", name))

    def __len__(self) -> int:
        return len(self.index)

    def at(self, place: int) -> "Batch":
        """Return one of the batches that are held at once."""
        stacked = (
            "log_prob", "old_log_prob", "ref_log_prob", "response_mask", "token_level_rewards",
            "values", "reward_baselines", "rows", "policy_log_prob",
        )  # fmt: skip
        own = {name: getattr(self, name)[place] for name in stacked}
        return replace(self, index=self.index.copy(), **own)


def sum_within(values: FloatArray, index: IntArray) -> FloatArray:
    """Return for each response the sum (..., n) of values (..., n) over its group."""
    same = (index[:, np.newaxis] == index).astype(np.float64)
    return values @ same


LOSS_AGG_MODES = (
    "token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm",
)  # fmt: skip


def token_weights(response_mask: NDArray, loss_agg_mode: str) -> FloatArray:
    """Return the weight (..., n, T) of each token in a loss that is aggregated over tokens.

    Parameters
    ----------
    response_mask : ndarray of bool of shape (..., n, T)
        Which places hold tokens.
    loss_agg_mode : str
        - "token-mean": the mean over all tokens of the batch
        - "seq-mean-token-sum": the mean over responses of the sum over their tokens
        - "seq-mean-token-mean": the mean over responses of the mean over their tokens
        - "seq-mean-token-sum-norm": the mean over responses of the sum, over T

        A response that is all padding counts as a response, with a loss of 0.

    Raises
    ------
    ValueError
        If the mode is none of these.
    """
    mask = as_floats(response_mask, "response_mask", subject="A policy loss")
    n_responses, n_tokens = mask.shape[-2:]
    mode = check_option(loss_agg_mode, LOSS_AGG_MODES, "loss_agg_mode", subject="A policy loss")
    if mode == "token-mean":
        return mask / np.maximum(mask.sum(axis=(-2, -1), keepdims=True), 1)
    if mode == "seq-mean-token-sum":
        return mask / n_responses
    if mode == "seq-mean-token-mean":
        return mask / (n_responses * np.maximum(mask.sum(axis=-1, keepdims=True), 1.0))
    return mask / (n_responses * n_tokens)


def aggregate(
    losses: FloatArray, slopes: FloatArray, response_mask: NDArray, loss_agg_mode: str
) -> tuple[FloatArray, FloatArray]:
    """Return the loss (...,) of a batch and its gradient (..., n, T), from those of tokens."""
    weights = token_weights(response_mask, loss_agg_mode)
    # Padding may hold anything, also what is no number.
    losses, slopes = np.where(weights > 0, losses, 0.0), np.where(weights > 0, slopes, 0.0)
    return (weights * losses).sum(axis=(-2, -1)), weights * slopes
