"""The optimum of the regularised objective where everything adds over tokens."""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import wrightomega
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex._categorical import (
    FloatArray,
    close_kl,
    normalize_log,
    root_mean_square,
    safe_log,
)
from sklearn_codex._rollouts import Rollouts, sample_rollouts
from sklearn_codex.exact._chance import any_token_rate, chance_budget
from sklearn_codex.exact._settings import (
    below_best,
    check_demonstrations,
    in_nats,
    keep_checked,
    takes_policy,
)
from sklearn_codex.exact._unigram import UnigramObjective, covariance_of_tokens

_EPS = np.finfo(np.float64).eps
# Newton steps at most; about ten are needed.
_MAX_NEWTON = 200


@dataclass(frozen=True, repr=False)
class AdditiveObjective(UnigramObjective):
    r"""The objective of policy optimisation over documents of fixed length, and its optimum.

    A document is ``length`` independent tokens of the policy pi. Reward and penalties add over
    tokens, so everything is a sum over the vocabulary.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (V,)
        Log-probabilities of the reference policy. A token at ``-inf`` can never be produced; where
        tokens were banned, the others need not sum to one: the KL is from the whole reference.
    token_reward : ndarray of shape (V,)
        Reward w_t of each token; the reward of a document is the sum over its tokens.
    length : int, default=1
        Tokens of a document, L.
    kl_coef : float, default=1.0
        Weight b > 0 of the KL divergence, per nat of a document.
    reward_coef : float, default=1.0
        Weight of the reward.
    penalty : ndarray of shape (V,), default=None
        Rule penalty c_t >= 0 of each token, in nats of KL; None means 0, ``inf`` is a ban.
    sft_coef : float, default=0.0
        Weight a of the demonstrations' cross-entropy, per nat a token.
    frequencies : ndarray of shape (V,), default=None
        Token frequencies f of the demonstrations, needed where ``sft_coef`` > 0.
    entropy_coef : float, default=0.0
        Weight h >= 0 of the entropy of a document, in nats.

    Raises
    ------
    ValueError
        If a shape does not fit, a number is NaN, infinite or out of its range, or no policy has a
        finite value.

    Notes
    -----
    .. math::

        J(\pi) = \rho L \sum_t \pi_t w_t - a\, CE(f, \pi)
                  - b L \big(KL(\pi \| ref) + \sum_t \pi_t c_t\big) + h L H(\pi)

    With the temperature :math:`\tau = b + h` and the exponent
    :math:`x_t = (b \log ref_t + \rho w_t - b c_t) / \tau`, the optimum without demonstrations is
    the tilted reference :math:`\pi^*_t \propto \exp(x_t)`, which is
    :math:`ref_t \exp(\rho w_t / b - c_t)` where h = 0. With demonstrations, stationarity gives
    :math:`\pi^*_t = k_t / \omega(\log k_t - z_t)` with :math:`k_t = a f_t / (\tau L)`,
    :math:`z_t = x_t - \lambda`, the Wright omega function and the one :math:`\lambda` at which the
    probabilities sum to one. In both cases

    .. math::

        J^* - J(\pi) = \tau L\, KL(\pi \| \pi^*)
            + a \sum_t f_t \big(\pi_t/\pi^*_t - 1 - \log(\pi_t/\pi^*_t)\big),

    a sum of terms that are never negative, which is how :meth:`gap` computes it.

    References
    ----------
    .. [1] Korbak, T., Perez, E. and Buckley, C. (2022). "RL with KL penalties is better viewed as
       Bayesian inference." Findings of EMNLP 2022.
    .. [2] Corless, R. M. and Jeffrey, D. J. (2002). "The Wright omega function." AISC 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import AdditiveObjective
    >>> problem = AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), length=4)
    >>> optimum = problem.optimum()
    >>> np.exp(optimum).round(3)
    array([0.179, 0.292, 0.529])
    >>> problem.gap(problem.reference_log_prob) > problem.gap(optimum)
    True
    """

    reference_log_prob: FloatArray
    token_reward: FloatArray
    length: int = 1
    kl_coef: float = 1.0
    reward_coef: float = 1.0
    penalty: FloatArray | None = None
    sft_coef: float = 0.0
    frequencies: FloatArray | None = None
    entropy_coef: float = 0.0

    # Tokens change nothing of each other, and without demonstrations the optimum is a tilt.
    scores_are_advantages = has_every_optimum = True
    is_noisy = False

    def __post_init__(self):
        keep_checked(self)
        if not self.temperature < np.inf:
            raise ValueError(
                "AdditiveObjective needs a finite kl_coef + entropy_coef, got "
                f"{self.kl_coef} + {self.entropy_coef}. Scale all coefficients down."
            )
        if not self.possible.any():
            raise ValueError(
                "AdditiveObjective needs a token that the reference can produce at a finite "
                f"penalty, got none of {len(self.possible)}. Ban fewer."
            )
        check_demonstrations(self, self.possible)

    @cached_property
    def _relative_reward(self) -> tuple[FloatArray, float]:
        """Token rewards (V,) less that of the best token, and the latter."""
        return below_best(self.token_reward, self.reward_coef, self.possible)

    @cached_property
    def exponent(self) -> FloatArray:
        """Unnormalised log-weights x (V,) of the optimum without demonstrations.

        The weighted reward of the best token is taken out of all, so that those that are left keep
        the digits of ``reference_log_prob`` where kl_coef is small.
        """
        possible = self.possible
        share = self.kl_coef / self.temperature
        exponent = np.full_like(self.reference_log_prob, -np.inf)
        exponent[possible] = share * self.reference_log_prob[possible] + in_nats(
            self._relative_reward[0][possible],
            self.reward_coef,
            self.temperature,
            subject="AdditiveObjective",
        )
        if self.penalty is not None:
            exponent[possible] -= share * self.penalty[possible]
        return exponent

    @property
    def temperature(self) -> float:
        """What a nat of the policy's own log-probability costs, b + h."""
        return self.kl_coef + self.entropy_coef

    @cached_property
    def _optimum(self) -> FloatArray:
        tilt = normalize_log(self.exponent)
        if self.sft_coef == 0:
            return tilt
        assert self.frequencies is not None
        log_k = safe_log(self.frequencies) + (
            np.log(self.sft_coef) - np.log(self.temperature) - np.log(self.length)
        )
        # A token outside the reference has no demonstration: its z and omega are -inf and 0.
        start = log_k - np.where(np.isneginf(tilt), 0.0, tilt)
        shift = 0.0
        for _ in range(_MAX_NEWTON):
            omega = wrightomega(start + shift)
            log_policy = log_ratio_to_omega(log_k, tilt - shift, omega)
            top = log_policy.max()
            weight = np.exp(log_policy - top)
            total = weight.sum()
            log_total = top + np.log(total)
            # The logarithm of the sum is convex in the shift and falls, and at 0 it is not below 0,
            # as the tilt alone sums to one: Newton's steps go up to its root, never beyond it.
            step = log_total * total / float(weight @ (1.0 / (1.0 + omega)))
            if step <= _EPS * max(shift, 1.0):
                break
            shift += step
        else:
            warnings.warn(
                f"AdditiveObjective: the optimum with demonstrations was not found in {_MAX_NEWTON}"
                f" steps; the logarithm of its sum is {log_total:.3g}, not 0. Raise "
                f"kl_coef={self.kl_coef:g} or scale the rewards.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return normalize_log(log_policy)

    def optimum(self) -> FloatArray:
        """Return the log-probabilities (V,) of the one policy that maximises the objective."""
        return self._optimum.copy()

    def _tokens(self, log_prob):
        return float(self.length)

    @takes_policy
    def value(self, log_prob: FloatArray) -> float:
        """Return the objective J of a policy, given by its log-probabilities (V,)."""
        value = self.reward_coef * self.expected_reward(log_prob)
        value -= self.kl_coef * (self.kl(log_prob) + self.expected_penalty(log_prob))
        if self.sft_coef > 0:
            value -= self.sft_coef * self.sft_loss(log_prob)
        if self.entropy_coef > 0:
            value += self.entropy_coef * self.entropy(log_prob)
        return value

    @takes_policy
    def gap(self, log_prob: FloatArray) -> float:
        """Return J* - J(policy) >= 0, how far a policy is from the best, without cancellation."""
        best = self._optimum
        gap = self.temperature * self.length * close_kl(log_prob, best)
        return gap + self._demonstrations_gap(log_prob, best)

    @takes_policy
    def token_scores(self, log_prob: FloatArray) -> FloatArray:
        r"""Return the shaped reward (V,) of each token: constant over tokens at the optimum.

        The score of token t is
        :math:`\tau (x_t - \log \pi_t) + (a / L) f_t / \pi_t`; the policy gradient of its sum over a
        document is the gradient of the objective, and since the score is constant at the optimum,
        so is its sum: the sampled gradient has no variance there.
        """
        support = np.isfinite(log_prob) & self.possible
        scores = np.zeros_like(log_prob)
        np.subtract(self.exponent, log_prob, out=scores, where=support)
        scores *= self.temperature
        scores[support] += self.reward_coef * self._relative_reward[1]
        if self.sft_coef > 0:
            assert self.frequencies is not None
            shown = support & (self.frequencies > 0)
            # Far below the demonstrations the pull is infinite: a probability may underflow.
            with np.errstate(over="ignore"):
                pull = np.exp(np.log(self.frequencies[shown]) - log_prob[shown])
            scores[shown] += self.sft_coef / self.length * pull
        return scores

    def token_advantages(
        self, log_prob: FloatArray, rollouts: Rollouts, scores: FloatArray, value: float
    ) -> FloatArray:
        """Return the score of each token drawn (n_tokens,), as tokens change no others."""
        return scores[rollouts.tokens]

    def sample(
        self,
        log_prob: FloatArray,
        n_documents: int,
        rng: np.random.RandomState,
        *,
        names: np.ndarray | None = None,
        max_length: int | None = None,
    ) -> Rollouts:
        """Draw documents, all of ``length`` tokens whatever ``max_length`` says."""
        return sample_rollouts(log_prob, n_documents, rng, length=self.length, names=names)

    @takes_policy
    def rate_of_any(self, log_prob: FloatArray, marked: np.ndarray) -> float:
        """Return the share of documents with any of the marked tokens (V,), also where tiny."""
        return any_token_rate(float(np.exp(log_prob)[marked > 0].sum()), self.length)

    def chance_budget(self, max_rate: float) -> float:
        """Return the expected marked tokens at which a share ``max_rate`` of documents has any."""
        return chance_budget(max_rate, self.length)

    @takes_policy
    def moments(self, log_prob: FloatArray, values: FloatArray) -> tuple[float, float]:
        """Return mean and standard deviation of the sum of values (V,) of a document's tokens."""
        prob = np.exp(log_prob)
        mean = float(prob @ values)
        deviation = root_mean_square(values - mean, prob)
        return self.length * mean, deviation * float(np.sqrt(self.length))

    @takes_policy
    def covariance(self, log_prob: FloatArray, values: FloatArray, others: FloatArray) -> float:
        """Return the covariance over documents of two sums, of values (V,) and of others (V,)."""
        return self.length * covariance_of_tokens(np.exp(log_prob), values, others)

    def cost_floor(self, cost: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the cost (n_constraints,) of the cheapest tokens, and the costs beyond theirs."""
        lowest = cost[:, self.possible].min(axis=1)
        return self.length * lowest, cost - lowest[:, np.newaxis]


def log_ratio_to_omega(log_k: FloatArray, z: FloatArray, omega: FloatArray) -> FloatArray:
    """Return log(k / omega) with omega = omega(log k - z), also where k = 0 or log k - z is vast.

    The Wright omega function has omega + log omega = log k - z, so it is z + omega, in which a vast
    omega would cancel.
    """
    result = z + omega
    vast = omega > 1.0
    result[vast] = log_k[vast] - np.log(omega[vast])
    return result
