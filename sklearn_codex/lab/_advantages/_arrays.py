"""What every family of advantages reads and returns."""

import numpy as np
from numpy.typing import ArrayLike

from sklearn_codex._categorical import BoolArray, FloatArray, IntArray
from sklearn_codex._checks.numbers import as_array, shown
from sklearn_codex.lab._batch import sum_within
from sklearn_codex.lab._numbers import read_mask, read_numbers


def read_rewards(
    token_level_rewards: ArrayLike, response_mask: ArrayLike, subject: str
) -> tuple[FloatArray, BoolArray]:
    """Return rewards (..., n, T), 0 at padding, and the mask, of one shape.

    Raises
    ------
    ValueError
        If their shapes differ.
    """
    mask = read_mask(response_mask, subject)
    rewards = read_numbers(token_level_rewards, "token_level_rewards", subject, mask)
    if rewards.ndim < 2 or rewards.shape != mask.shape:
        raise ValueError(
            f"{subject} needs token_level_rewards and response_mask of one shape (n_responses, "
            f"n_tokens), got {rewards.shape} and {mask.shape}."
        )
    return rewards, mask


def group_sizes(index: ArrayLike, n_responses: int, subject: str) -> tuple[IntArray, FloatArray]:
    """Return the group (n,) of each response, and how many (n,) it has.

    Raises
    ------
    ValueError
        If there is not one for each response, or a group has a single response.
    """
    names = as_array(index, "index", subject=subject)
    if names.shape != (n_responses,):
        raise ValueError(
            f"{subject} needs index, the group of each of {n_responses} responses, got shape "
            f"{names.shape}."
        )
    try:
        codes = np.unique(names, return_inverse=True)[1].reshape(-1)
    except TypeError:
        raise ValueError(
            f"{subject} needs index, groups of one kind that can be told apart, such as integers "
            f"or strings, got {shown(names.tolist())}."
        ) from None
    sizes = sum_within(np.ones(n_responses), codes)
    if (sizes < 2).any():
        place = int(np.argmax(sizes < 2))
        raise ValueError(
            f"{subject} compares the responses of a group, but group {names.tolist()[place]!r} has "
            "a single one. Draw at least two for each prompt."
        )
    return codes, sizes


def on_tokens(values: FloatArray, mask: BoolArray) -> FloatArray:
    """Return the value (..., n) of each response at all of its tokens (..., n, T)."""
    return np.where(mask, values[..., np.newaxis], 0.0)


def rewards_to_go(rewards: FloatArray, gamma: float = 1.0) -> FloatArray:
    """Return the discounted sum (..., n, T) of the rewards from each token on."""
    returns = np.zeros_like(rewards)
    to_go = np.zeros(rewards.shape[:-1])
    for t in reversed(range(rewards.shape[-1])):
        to_go = rewards[..., t] + gamma * to_go
        returns[..., t] = to_go
    return returns


def whiten(values: FloatArray, mask: BoolArray, epsilon: float = 1e-8) -> FloatArray:
    """Return values (..., n, T) with mean 0 and variance 1 over the tokens of a batch."""
    n_tokens = np.maximum(mask.sum(axis=(-2, -1), keepdims=True), 1)
    mean = np.where(mask, values, 0.0).sum(axis=(-2, -1), keepdims=True) / n_tokens
    apart = np.where(mask, values - mean, 0.0)
    # As trainers do, with one token less.
    variance = (apart**2).sum(axis=(-2, -1), keepdims=True) / np.maximum(n_tokens - 1, 1)
    return apart / np.sqrt(variance + epsilon)
