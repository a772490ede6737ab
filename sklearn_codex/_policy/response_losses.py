"""SimPO, CPO and ORPO: losses of how likely both responses of a pair are, without a reference."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.designs import PairDesign
from sklearn_codex._reward.bradley_terry import pair_losses

# A response that is certain would have infinite odds, whose squares are to be finite.
_LEAST = 1e-100


class LogLikelihoods:
    """The operator from the rewards of columns to what they add to the log-likelihoods of pairs.

    Parameters
    ----------
    pairs : PairDesign of shape (n_pairs, n_columns)
        Counts of the responses.
    kl_coef : float
        b of the rewards.

    Notes
    -----
    A column's log-probability is that of the reference plus its reward over b, so a document's is
    linear in the rewards, too.
    """

    def __init__(self, pairs: PairDesign, kl_coef: float):
        self._pairs, self._kl_coef = pairs, kl_coef
        self.shape = pairs.shape

    def matvec(self, rewards: FloatArray) -> FloatArray:
        """Return the log-ratios (2, n_pairs) of A and of B by rewards (n_columns,)."""
        of_responses = self._pairs.rows.times(rewards) / self._kl_coef
        return np.stack([of_responses[self._pairs.a], of_responses[self._pairs.b]])

    def rmatvec(self, slopes: FloatArray) -> FloatArray:
        """Return slopes (n_columns,) by rewards from those (2, n_pairs) by log-likelihoods."""
        return self._pairs.rows.transposed_times(self._collect(slopes)) / self._kl_coef

    def column_squares(self, curvature: FloatArray) -> FloatArray:
        """Return about the curvature of columns (n_columns,), from that (2, 2, n_pairs) of pairs.

        A curvature of each pair (n_pairs,) counts for both responses.
        """
        if curvature.ndim == 1:
            curvature = np.stack([curvature, curvature])
        else:
            curvature = np.maximum(np.stack([curvature[0, 0], curvature[1, 1]]), 0.0)
        return (
            self._pairs.rows.column_squares(self._collect(curvature))
            / self._kl_coef
            / self._kl_coef
        )

    def _collect(self, values):
        """Return the sum for each response of what it has in pairs (2, n_pairs)."""
        n_responses = self._pairs.rows.shape[0]
        of_a = np.bincount(self._pairs.a, values[0], n_responses)
        return of_a + np.bincount(self._pairs.b, values[1], n_responses)


def log_likelihoods(pairs: PairDesign, log_prob: FloatArray) -> FloatArray:
    """Return log-likelihoods (2, n_pairs) under a policy that can draw the responses."""
    return LogLikelihoods(pairs, 1.0).matvec(np.where(np.isneginf(log_prob), 0.0, log_prob))


def response_lengths(pairs: PairDesign, is_token: FloatArray) -> FloatArray:
    """Return the tokens (2, n_pairs) of the responses; columns (n_columns,) stand for so many."""
    return LogLikelihoods(pairs, 1.0).matvec(is_token)


@dataclass(frozen=True)
class ResponseLoss:
    r"""A loss of pairs by the log-likelihoods l of both responses, of n tokens.

    Parameters
    ----------
    score : callable
        What it compares, :math:`\phi(l, n)`, and two derivatives by l.
    gamma : float, default=0.0
        Margin that is asked for.
    odds_weight : float, default=1.0
        Weight of the comparison.
    likelihood_weight : float, default=0.0
        Weight a of the cross-entropy of what is preferred, a mean over its tokens.

    Notes
    -----
    With the margin :math:`m = \phi(l_A, n_A) - \phi(l_B, n_B)`, where A is preferred

    .. math:: -\lambda \log \sigma(m - \gamma) - a\, l_A / n_A,

    and the same with A and B exchanged where B is; of both by their probabilities.
    """

    score: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray, FloatArray]]
    gamma: float = 0.0
    odds_weight: float = 1.0
    likelihood_weight: float = 0.0

    def margin(self, log_likelihood: FloatArray, lengths: FloatArray) -> FloatArray:
        """Return the margin m (n_pairs,): the log-odds that A is preferred."""
        score = self.score(log_likelihood, lengths)[0]
        return score[0] - score[1]

    def of_pair(
        self, log_likelihood: FloatArray, target: FloatArray, *, lengths: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return losses (n_pairs,), slopes (2, n_pairs), curvatures (2, 2, n_pairs)."""
        score, slope, curvature = self.score(log_likelihood, lengths)
        loss, by_margin, bend = self._compare(score[0] - score[1], target)
        sign = np.array([[1.0], [-1.0]])
        share = self.likelihood_weight * np.stack([target, 1 - target]) / lengths
        slopes = sign * by_margin * slope - share
        curvatures = bend * (sign * slope)[:, np.newaxis] * (sign * slope)
        for i in (0, 1):
            curvatures[i, i] += sign[i] * by_margin * curvature[i]
        return loss - np.sum(share * log_likelihood, axis=0), slopes, curvatures

    def _compare(self, margin, target):
        """Return -p log sigma(m - g) - (1 - p) log sigma(-m - g) and two derivatives by m."""
        ahead, behind, one = margin - self.gamma, -margin - self.gamma, np.ones_like(margin)
        value = target * pair_losses(ahead, one) + (1 - target) * pair_losses(behind, one)
        slope = (1 - target) * expit(-behind) - target * expit(-ahead)
        bend = target * expit(ahead) * expit(-ahead) + (1 - target) * expit(behind) * expit(-behind)
        return tuple(self.odds_weight * part for part in (value, slope, bend))


def mean_score(beta: float):
    """Return the score b l / n of SimPO."""

    def score(log_likelihood, lengths):
        slope = beta / lengths
        return slope * log_likelihood, slope, np.zeros_like(slope)

    return score


def sum_score(beta: float):
    """Return the score b l of CPO."""

    def score(log_likelihood, lengths):
        slope = np.full_like(log_likelihood, beta)
        return beta * log_likelihood, slope, np.zeros_like(slope)

    return score


def log_odds(log_likelihood: FloatArray, lengths: FloatArray):
    """Return the log-odds of the mean probability of a token, and two derivatives, of ORPO."""
    mean = np.minimum(log_likelihood / lengths, -_LEAST)
    rest = -np.expm1(mean)
    slope = 1 / (rest * lengths)
    return mean - np.log(rest), slope, np.exp(mean) / (rest * lengths) ** 2


def simpo(beta: float, simpo_gamma: float = 0.5) -> ResponseLoss:
    """Return the loss of SimPO."""
    return ResponseLoss(mean_score(beta), gamma=simpo_gamma)


def cpo(beta: float, cpo_alpha: float = 1.0) -> ResponseLoss:
    """Return the loss of CPO."""
    return ResponseLoss(sum_score(beta), likelihood_weight=cpo_alpha)


def orpo(beta: float) -> ResponseLoss:
    """Return the loss of ORPO."""
    return ResponseLoss(log_odds, odds_weight=beta, likelihood_weight=1.0)


RESPONSE_LOSSES: dict[str, Callable[..., ResponseLoss]] = {
    "simpo": simpo,
    "cpo": cpo,
    "orpo": orpo,
}
# The parameter that only one loss has, and what it is where it is not set.
OPTIONS: dict[str, tuple[str, float]] = {"simpo_gamma": ("simpo", 0.5), "cpo_alpha": ("cpo", 1.0)}
