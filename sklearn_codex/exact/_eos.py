"""The optimum where documents end by themselves: length is a result, and it can explode."""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from sklearn_codex._categorical import FloatArray, close_kl, safe_log
from sklearn_codex._rollouts import Rollouts, sample_rollouts
from sklearn_codex.exact._chance import any_token_rate
from sklearn_codex.exact._eos_length import (
    LengthExplosionError,
    LengthExplosionWarning,
    log_stop_go,
    smallest_safe_kl_coef,
    survival,
)
from sklearn_codex.exact._eos_search import (
    demonstrated_optimum,
    survival_gain,
    time_dependent_optimum,
    truncated_optimum,
)
from sklearn_codex.exact._eos_terms import EosTerms
from sklearn_codex.exact._settings import takes_policy
from sklearn_codex.exact._unigram import covariance_of_tokens

# Documents that are never cut by design are cut here when they are drawn, far beyond any mean
# length at which training is of use.
_LONGEST_DRAWN = 100_000


@dataclass(frozen=True, repr=False)
class EosObjective(EosTerms):
    r"""The objective of policy optimisation over documents that end by themselves.

    A document is a sequence of independent tokens of the policy pi that ends with its first
    ``eos``, so its length is geometric. Reward and penalties add over tokens, ``eos`` included.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (V,)
        Log-probabilities of the reference policy. A token at ``-inf`` can never be produced.
    token_reward : ndarray of shape (V,)
        Reward w_t of each token; the reward of a document is the sum over its tokens.
    eos : int
        Column of the end-of-sequence token.
    kl_coef : float, default=1.0
        Weight b > 0 of the KL divergence, per nat of a document.
    reward_coef : float, default=1.0
        Weight of the reward.
    penalty : ndarray of shape (V,), default=None
        Rule penalty c_t >= 0 of each token, in nats of KL; None means 0.
    sft_coef : float, default=0.0
        Weight a of the demonstrations' cross-entropy, per nat a token.
    frequencies : ndarray of shape (V,), default=None
        Token frequencies f of the demonstrations, ``eos`` included, needed where ``sft_coef`` > 0.
    max_length : int, default=None
        Tokens, ``eos`` included, at which a document is cut, at most 10 million; None means never.
    missing_eos_penalty : float, default=0.0
        What the objective loses for a document that was cut, m. It is not multiplied by
        ``reward_coef`` and needs ``max_length``.

    Raises
    ------
    ValueError
        If shapes, ``eos`` or a coefficient do not fit, or no policy has a finite value.

    Notes
    -----
    Let p = pi(eos), M the maximal length and
    :math:`x_t = \log ref_t + \rho w_t / b - c_t`. By Wald's identity

    .. math::

        J(\pi) = D(p)\, b \sum_t \pi_t (x_t - \log \pi_t) - a\, CE(f, \pi) - m (1 - p)^M,
        \quad D(p) = E[length] = (1 - (1 - p)^M) / p.

    *Without a maximal length*, let :math:`S = \sum_{t \ne eos} \exp(x_t)`. If S < 1 and a = 0,
    :math:`\pi^*_t = \exp(x_t)`, not normalised, :math:`\pi^*_{eos} = 1 - S`,
    :math:`J^* = b \log(\exp(x_{eos}) / (1 - S))` and
    :math:`J^* - J(\pi) = b\, E_\pi[length]\, KL(\pi \| \pi^*)`. If S >= 1 there is no optimum. With
    demonstrations, :math:`\log \pi_t - k f_t / \pi_t = x_t - k` with k = a p / b, solved by the
    Wright omega function for each p; p is the root at which the probabilities sum to one.

    *With a maximal length* there always is a best policy. :meth:`optimum` is the best one that does
    not look at the position, as no unigram model can: tokens other than ``eos`` keep the shape
    above and p is found by a search in one dimension, over all local maxima on a grid of odds.
    With demonstrations too, each of its hundred points solves an additive problem: a second for
    1,000 tokens, where the other cases take milliseconds.
    :meth:`time_dependent_optimum` is the best of all.

    In every case, with :math:`g_t = b (x_t - \log \pi^*_t)` and v_k the value of :math:`\pi^*` with
    k tokens left, :meth:`gap` is computed from terms that vanish to second order,

    .. math::

        J^* - J(\pi) = b D(p) KL(\pi \| \pi^*) + a \sum_t f_t (r_t - 1 - \log r_t)
            - \sum_{i<M} \big((1-p)^i - (1-p^*)^i\big)
              \Big(\sum_t (\pi_t - \pi^*_t) g_t + (p^* - p) v_{M-i-1}\Big)

    with :math:`r_t = \pi_t / \pi^*_t`, by the performance-difference lemma [1]_ and stationarity.

    References
    ----------
    .. [1] Kakade, S. and Langford, J. (2002). "Approximately optimal approximate reinforcement
       learning." ICML 2002.
    .. [2] Todorov, E. (2006). "Linearly-solvable Markov decision problems." NeurIPS 19.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import EosObjective
    >>> problem = EosObjective(np.log([0.7, 0.2, 0.1]), np.array([0.1, -1.0, 0.0]), eos=2)
    >>> np.exp(problem.optimum()).round(3)
    array([0.774, 0.074, 0.153])
    >>> round(problem.expected_length(problem.optimum()), 2)
    6.54
    >>> problem = EosObjective(np.log([0.7, 0.2, 0.1]), np.array([1.0, 0.0, 0.0]), eos=2)
    >>> problem.optimum()
    Traceback (most recent call last):
    ...
    sklearn_codex.exact._eos_length.LengthExplosionError: EosObjective has no optimum...
    """

    def warn_if_length_explodes(self, *, subject: str = "EosObjective", stacklevel: int = 2):
        """Warn with :class:`LengthExplosionWarning` if S >= 1, naming the smallest safe kl_coef."""
        if self.length_explodes:
            warnings.warn(
                self.explain_explosion(subject), LengthExplosionWarning, stacklevel=stacklevel + 1
            )

    def _safe_kl_coef(self):
        return smallest_safe_kl_coef(
            self.reference_log_prob,
            self.token_reward,
            self.eos,
            reward_coef=self.reward_coef,
            penalty=self.penalty,
        )

    def _what_explodes(self):
        with np.errstate(over="ignore"):
            weight = np.exp(self.log_continuation)
        return (
            "a token that does not end the document gains more than it costs "
            f"(S = {weight:.6g} >= 1)"
        )

    @cached_property
    def _optimum(self) -> FloatArray:
        if np.isneginf(self.log_continuation):
            return np.where(np.arange(len(self.exponent)) == self.eos, 0.0, -np.inf)
        if self.max_length is not None:
            return truncated_optimum(self)
        if self.length_explodes:
            raise LengthExplosionError(self.explain_explosion("EosObjective"))
        if self.sft_coef > 0:
            return demonstrated_optimum(self)
        optimum = self.exponent.copy()
        optimum[self.eos] = np.log(-np.expm1(self.log_continuation))
        return optimum

    def optimum(self) -> FloatArray:
        """Return the log-probabilities (V,) of the best policy that is one for all positions.

        Raises
        ------
        LengthExplosionError
            If S >= 1 and there is no maximal length; the message names the smallest safe kl_coef.
        """
        return self._optimum.copy()

    def _best_by_position(self):
        return time_dependent_optimum(self)

    @takes_policy
    def gap(self, log_prob: FloatArray) -> float:
        """Return J* - J(policy) >= 0 without cancellation, where J* is that of :meth:`optimum`.

        Raises
        ------
        LengthExplosionError
            If there is no optimum.
        """
        best = self._optimum
        kl = close_kl(log_prob, best)
        if kl == 0:
            return 0.0
        gap = self.kl_coef * self._tokens(log_prob) * kl
        gap += self._demonstrations_gap(log_prob, best)
        if np.isinf(gap) or (self.max_length is None and self.sft_coef == 0):
            return gap
        return max(0.0, gap - survival_gain(self, log_prob, best))

    @takes_policy
    def token_scores(self, log_prob: FloatArray) -> FloatArray:
        r"""Return the shaped reward (V,) of each token.

        The score of token t is
        :math:`b (x_t - \log \pi_t) + (a / D) (f_t / \pi_t - 1)`. The policy gradient of its sum
        over a document, minus ``missing_eos_penalty`` where the document was cut, is the gradient
        of the objective. Without a maximal length the sum is the same for every document at the
        optimum (J*, where there are no demonstrations): the sampled gradient has no variance there.
        """
        support = np.isfinite(log_prob) & np.isfinite(self.exponent)
        scores = np.zeros_like(log_prob)
        scores[support] = self.kl_coef * (self.exponent[support] - log_prob[support])
        if self.sft_coef > 0:
            assert self.frequencies is not None
            # Far below the demonstrations the pull is infinite: a probability may underflow.
            with np.errstate(over="ignore"):
                pull = np.exp(safe_log(self.frequencies[support]) - log_prob[support])
            scores[support] += self.sft_coef / self._tokens(log_prob) * (pull - 1.0)
        return scores

    def token_advantages(
        self, log_prob: FloatArray, rollouts: Rollouts, scores: FloatArray, value: float
    ) -> FloatArray:
        """Return each token's own score, and what it does to what is still to come (n_tokens,).

        The mean shaped reward of documents estimates the value of a whole document. Without a
        maximal length it is that of what follows any token but the last, and it has no variance
        at the optimum.
        """
        score, is_end = scores[rollouts.tokens], rollouts.tokens == self.eos
        if self.max_length is None:
            return score + np.where(is_end, 0.0, value)
        values = self._values_to_go(log_prob, value)
        position = np.arange(len(score)) - np.repeat(rollouts.starts, rollouts.lengths)
        left = self.max_length - position
        return score + np.where(is_end, 0.0, values[left - 1]) - values[left]

    def _values_to_go(self, log_prob, value):
        """Return the values (max_length + 1,) of 0, 1, ... tokens left, given that of a document.

        With the share g of tokens that do not end it, v_k = m + g v_{k - 1} for one mean score m,
        and v_0 is minus the price of the cut: a geometric series.
        """
        assert self.max_length is not None
        alive = survival(log_stop_go(log_prob, self.eos)[1], self.max_length + 1)
        # Expected tokens of 0, 1, ... left: 1 + g + g^2 + ...
        tokens = np.concatenate([[0.0], np.cumsum(alive[:-1])])
        cut = -self.missing_eos_penalty
        mean = (value - alive[-1] * cut) / tokens[-1]
        return mean * tokens + alive * cut

    def sample(
        self,
        log_prob: FloatArray,
        n_documents: int,
        rng: np.random.RandomState,
        *,
        names: np.ndarray | None = None,
        max_length: int | None = None,
    ) -> Rollouts:
        """Draw documents, cut at the smaller of the two maximal lengths."""
        cuts = [cut for cut in (self.max_length, max_length) if cut is not None]
        length = min(cuts, default=_LONGEST_DRAWN)
        return sample_rollouts(log_prob, n_documents, rng, length=length, eos=self.eos, names=names)

    @takes_policy
    def rate_of_any(self, log_prob: FloatArray, marked: np.ndarray) -> float:
        """Return the share of documents with any of the marked tokens (V,), also where tiny.

        ``eos`` counts as none of them. A document has none if it ends, or is cut, before the first:
        a race.
        """
        prob, marked = np.exp(log_prob), marked > 0
        marked[self.eos] = False
        hit, stop = float(prob[marked].sum()), float(prob[self.eos])
        if hit + stop == 0:
            return 0.0
        rate = hit / (hit + stop)
        if self.max_length is not None:
            rate *= any_token_rate(min(hit + stop, 1.0), self.max_length)
        return rate

    @takes_policy
    def covariance(self, log_prob: FloatArray, values: FloatArray, others: FloatArray) -> float:
        """Return the covariance over documents of two sums, of values (V,) and of others (V,).

        The number of tokens is random and shared by both; nan where documents are cut. ``eos``
        adds nothing, as every document has one.
        """
        if self.max_length is not None:
            return float("nan")
        body = np.exp(log_prob)
        stop = float(body[self.eos])
        body[self.eos] = 0.0
        go = float(body.sum())
        if go == 0:
            return 0.0
        body /= go
        # Before the end come K tokens, K geometric with mean go / stop and variance go / stop^2.
        inside = go / stop * covariance_of_tokens(body, values, others)
        return inside + go / stop**2 * float(body @ values) * float(body @ others)

    def cost_floor(self, cost: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the cost (n_constraints,) of ending at once, and the costs but for ``eos``."""
        extra = cost.copy()
        extra[:, self.eos] = 0.0
        return cost[:, self.eos], extra

    def check_free(self, extra: FloatArray) -> None:
        """Check that documents of tokens without cost stay finite: no budget restrains them."""
        is_free = extra.max(axis=0) == 0
        is_free[self.eos] = False
        content = float(logsumexp(self.exponent[is_free])) if is_free.any() else -np.inf
        if content >= 0:
            raise LengthExplosionError(
                "constrained_optimum: tokens without cost alone make length explode (S = "
                f"{np.exp(content):.6g} >= 1), so no budget bounds it. Give them a cost, or raise "
                f"kl_coef={self.kl_coef:g}."
            )
