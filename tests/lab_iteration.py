"""Expected updates of the laboratory the long way: ordered tuples, and steps that are iterated."""

import itertools

import numpy as np
from numpy.testing import assert_allclose
from scipy.special import logsumexp

from sklearn_codex.lab._expected import Sampling, expected_move
from sklearn_codex.lab._table import Groups


def jacobian(problem, log_prob, step=1e-6):
    """Return derivatives (n_rows, n_rows, n_tokens) of log-probabilities of tokens by logits."""
    eye = step * np.eye(len(log_prob))

    def tokens(logits):
        return problem.token_log_prob(problem.normalize(logits))

    return np.stack([(tokens(log_prob + row) - tokens(log_prob - row)) / (2 * step) for row in eye])


def ordered_move(update, problem, log_prob, group_size):
    """Return the expected ascent by logits, over all ordered groups, one at a time."""
    by_logits, ascent = jacobian(problem, log_prob), np.zeros(len(log_prob))
    for prompt, share in enumerate(problem.shares):
        rows = np.flatnonzero(problem.prompts == prompt)
        for group in itertools.product(rows, repeat=group_size):
            group = np.array(group)
            weight = share * np.prod(np.exp(log_prob[group]) / share)
            stack = problem.batch(
                Groups(group[np.newaxis], np.ones(1), True), log_prob[np.newaxis], log_prob
            )
            batch = stack.at(0)
            _, gradient = update(batch.log_prob, batch)
            ascent -= weight * np.einsum("kit,it->k", by_logits[:, group], gradient)
    return ascent


def iterate(update, problem, group_size=4, *, rate=None, start=None, n_steps=6000, tol=1e-11):
    """Return where natural gradient steps of the expected update come to rest."""
    log_prob = problem.reference if start is None else start
    sampling = Sampling(group_size)
    rate = 0.5 if rate is None else rate
    for _ in range(n_steps):
        move = expected_move(update, problem, log_prob, sampling).mean
        step = rate * problem.centred(move / np.exp(log_prob), np.exp(log_prob))
        log_prob = problem.normalize(log_prob + np.clip(step, -1.0, 1.0))
        if np.abs(step).max() < tol:
            break
    return log_prob


def mean_advantages(problem, log_prob, group_size, score):
    """Return a(y; policy) of a prompt's responses: mean score of the first over ordered others.

    ``score`` maps rewards (G,) of a group to the advantage of its first response.
    """
    prob, rewards = np.exp(log_prob), problem.rewards
    worth = np.zeros(len(prob))
    for others in itertools.product(range(len(prob)), repeat=group_size - 1):
        weight = np.prod(prob[list(others)])
        for row in range(len(prob)):
            worth[row] += weight * score(rewards[[row, *others]])
    return worth


def centred(rewards):
    return rewards[0] - rewards.mean()


def standardised(rewards):
    return (rewards[0] - rewards.mean()) / (rewards.std(ddof=1) + 1e-6)


def check_log_prob(found, expected, atol=1e-7):
    assert_allclose(np.exp(found), np.exp(expected), atol=atol)


def tilted(problem, gain):
    gain = problem.reference + gain
    return gain - logsumexp(gain)
