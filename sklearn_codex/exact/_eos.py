"""The optimum where documents end by themselves: length is a result, and it can explode."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval

from sklearn_codex._categorical import (
    FloatArray,
    close_kl,
    cross_entropy,
    entropy,
    exp_rest,
    expectation,
    log_mass,
    reference_kl,
    safe_log,
)
from sklearn_codex._checks.numbers import check_number
from sklearn_codex.exact._eos_length import (
    LengthExplosionError,
    LengthExplosionWarning,
    log_stop_go,
    log_sum_of_body,
    smallest_safe_kl_coef,
    truncated_length,
)
from sklearn_codex.exact._eos_search import (
    demonstrated_optimum,
    survival_gain,
    time_dependent_optimum,
    truncated_optimum,
)
from sklearn_codex.exact._settings import (
    below_best,
    check_demonstrations,
    in_nats,
    keep_checked,
    takes_policy,
)

# Sums over the positions of a document are taken one by one.
_MAX_LENGTH = Interval(Integral, 1, 10_000_000, closed="both")


@dataclass(frozen=True)
class EosObjective:
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

    reference_log_prob: FloatArray
    token_reward: FloatArray
    eos: int
    kl_coef: float = 1.0
    reward_coef: float = 1.0
    penalty: FloatArray | None = None
    sft_coef: float = 0.0
    frequencies: FloatArray | None = None
    max_length: int | None = None
    missing_eos_penalty: float = 0.0

    def __post_init__(self):
        keep_checked(self)
        self._check_ends(len(self.reference_log_prob))
        check_demonstrations(self, self._possible)

    def _check_ends(self, n_columns):
        """Check what decides where documents end."""
        eos = check_number(
            self.eos,
            "eos, a column",
            subject="EosObjective",
            interval=Interval(Integral, 0, n_columns, closed="left"),
        )
        object.__setattr__(self, "eos", eos)
        if self.max_length is not None:
            max_length = check_number(
                self.max_length,
                "max_length",
                subject="EosObjective",
                interval=_MAX_LENGTH,
                remedy="None means that documents are never cut.",
            )
            object.__setattr__(self, "max_length", max_length)
            return
        if np.isneginf(self.reference_log_prob[self.eos]):
            raise ValueError(
                "EosObjective without max_length needs a reference that can produce eos, got "
                f"log-probability -inf in column {self.eos}. Smooth the reference, or set "
                "max_length."
            )
        if self.missing_eos_penalty != 0:
            raise ValueError(
                "EosObjective needs max_length for a missing_eos_penalty, got "
                f"missing_eos_penalty={self.missing_eos_penalty} with max_length=None: no "
                "document is ever cut. Set max_length, or leave the penalty at 0."
            )

    @cached_property
    def _possible(self) -> NDArray[np.bool_]:
        """Which tokens (V,) a policy of finite value can produce."""
        possible = np.isfinite(self.reference_log_prob)
        return possible if self.penalty is None else possible & np.isfinite(self.penalty)

    def _in_nats(self, reward):
        return in_nats(reward, self.reward_coef, self.kl_coef, subject="EosObjective")

    def _weights(self, tokens, relative_reward):
        """Return log-weights (k,) of some tokens, given their rewards less any constant."""
        weights = self.reference_log_prob[tokens] + self._in_nats(relative_reward)
        return weights if self.penalty is None else weights - self.penalty[tokens]

    @cached_property
    def exponent(self) -> FloatArray:
        """Unnormalised log-weights x (V,) of the tilted reference."""
        exponent = np.full_like(self.reference_log_prob, -np.inf)
        possible = self._possible
        exponent[possible] = self._weights(possible, self.token_reward[possible])
        return exponent

    @cached_property
    def _body(self) -> tuple[FloatArray, float]:
        """Log-shares (V,) of the tokens that do not end a document, and log S.

        The reward of the best of them is taken out first, so that the shares keep the digits of
        ``reference_log_prob`` where kl_coef is small.
        """
        body = self._possible.copy()
        body[self.eos] = False
        shares = np.full_like(self.reference_log_prob, -np.inf)
        if not body.any():
            return shares, -np.inf
        relative, best = below_best(self.token_reward, self.reward_coef, body)
        weights = self._weights(body, relative[body])
        total = float(logsumexp(weights))
        shares[body] = weights - total
        continuation = total + float(self._in_nats(best))
        if abs(continuation) < 1.0:
            reference = self.reference_log_prob
            nats = self._weights(body, self.token_reward[body]) - reference[body]
            continuation = log_sum_of_body(
                reference[body], nats, reference[self.eos], self._log_mass
            )
        return shares, continuation

    @property
    def body_shares(self) -> FloatArray:
        """Log-probabilities (V,) of the best policy's tokens, given that they end no document."""
        return self._body[0]

    @property
    def log_continuation(self) -> float:
        """Logarithm of S, the weight with which the best policy continues a document."""
        return self._body[1]

    @cached_property
    def _log_mass(self) -> float:
        return log_mass(self.reference_log_prob)

    @property
    def length_explodes(self) -> bool:
        """Whether S >= 1: without a maximal length, no document would be long enough."""
        return self.log_continuation >= 0

    def warn_if_length_explodes(self, *, subject: str = "EosObjective", stacklevel: int = 2):
        """Warn with :class:`LengthExplosionWarning` if S >= 1, naming the smallest safe kl_coef."""
        if self.length_explodes:
            warnings.warn(
                self._explain_explosion(subject), LengthExplosionWarning, stacklevel=stacklevel + 1
            )

    def _explain_explosion(self, subject):
        with np.errstate(over="ignore"):
            weight = np.exp(self.log_continuation)
        safe = smallest_safe_kl_coef(
            self.reference_log_prob,
            self.token_reward,
            self.eos,
            reward_coef=self.reward_coef,
            penalty=self.penalty,
        )
        remedy = f"Set kl_coef above {safe:.6g}, the smallest safe value, or price length in it."
        if self.max_length is None:
            return (
                f"{subject} has no optimum at kl_coef={self.kl_coef:g}: a token that does not end "
                f"the document gains more than it costs (S = {weight:.6g} "
                f">= 1), so length explodes. {remedy}"
            )
        return (
            f"{subject} at kl_coef={self.kl_coef:g}: a token that does not end the document gains "
            f"more than it costs (S = {weight:.6g} >= 1), so only "
            f"max_length={self.max_length} keeps documents finite. {remedy}"
        )

    @cached_property
    def _optimum(self) -> FloatArray:
        if np.isneginf(self.log_continuation):
            return np.where(np.arange(len(self.exponent)) == self.eos, 0.0, -np.inf)
        if self.max_length is not None:
            return truncated_optimum(self)
        if self.length_explodes:
            raise LengthExplosionError(self._explain_explosion("EosObjective"))
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

    def time_dependent_optimum(self) -> Bunch:
        """Return the best policy that may look at the position, by backward recursion.

        Returns
        -------
        best : Bunch
            ``log_prob`` (max_length, V), the policy at each position; ``value``, its objective,
            which no policy exceeds; ``expected_length``, in tokens.

        Raises
        ------
        ValueError
            If there is no maximal length, or there are demonstrations.
        """
        return time_dependent_optimum(self)

    @takes_policy
    def expected_length(self, log_prob: FloatArray) -> float:
        """Return the expected tokens of a document, ``eos`` included."""
        return truncated_length(*log_stop_go(log_prob, self.eos), self.max_length)

    @takes_policy
    def missing_eos_rate(self, log_prob: FloatArray) -> float:
        """Return the share of documents that are cut before they end; 0 without maximal length."""
        if self.max_length is None:
            return 0.0
        return float(np.exp(self.max_length * log_stop_go(log_prob, self.eos)[1]))

    def _per_document(self, log_prob, per_token):
        """Return the expected sum over a document of what has this expectation per token."""
        return self.expected_length(log_prob) * per_token if per_token else 0.0

    @takes_policy
    def expected_reward(self, log_prob: FloatArray) -> float:
        """Return E[R], the unweighted expected reward of a document."""
        return self._per_document(log_prob, expectation(log_prob, self.token_reward))

    @takes_policy
    def expected_penalty(self, log_prob: FloatArray) -> float:
        """Return the expected rule penalty of a document, in nats."""
        if self.penalty is None:
            return 0.0
        return self._per_document(log_prob, expectation(log_prob, self.penalty))

    @takes_policy
    def kl(self, log_prob: FloatArray) -> float:
        """Return KL(policy || reference) of a document, in nats."""
        return self._per_document(log_prob, self._token_kl(log_prob))

    def _token_kl(self, log_prob):
        return reference_kl(log_prob, self.reference_log_prob, self._log_mass)

    @takes_policy
    def entropy(self, log_prob: FloatArray) -> float:
        """Return the entropy of a document, in nats."""
        return self._per_document(log_prob, entropy(log_prob))

    @takes_policy
    def sft_loss(self, log_prob: FloatArray) -> float:
        """Return CE(demonstrations, policy) in nats per token; 0 without demonstrations."""
        return 0.0 if self.frequencies is None else cross_entropy(self.frequencies, log_prob)

    @takes_policy
    def value(self, log_prob: FloatArray) -> float:
        """Return the objective J of a policy, given by its log-probabilities (V,)."""
        per_token = self.reward_coef * expectation(log_prob, self.token_reward)
        per_token -= self.kl_coef * self._token_kl(log_prob)
        if self.penalty is not None:
            per_token -= self.kl_coef * expectation(log_prob, self.penalty)
        value = self._per_document(log_prob, per_token)
        value -= self.missing_eos_penalty * self.missing_eos_rate(log_prob)
        if self.sft_coef > 0:
            value -= self.sft_coef * self.sft_loss(log_prob)
        return value

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
        gap = self.kl_coef * self.expected_length(log_prob) * kl
        if self.sft_coef > 0:
            assert self.frequencies is not None
            shown = self.frequencies > 0
            if np.any(np.isneginf(log_prob[shown])):
                return float("inf")
            log_ratio = log_prob[shown] - best[shown]
            gap += self.sft_coef * float(self.frequencies[shown] @ exp_rest(log_ratio))
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
            scores[support] += self.sft_coef / self.expected_length(log_prob) * (pull - 1.0)
        return scores
