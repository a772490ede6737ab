"""Rewards that do not add over tokens: exact answers on small vocabularies, by enumeration."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import comb, log2
from numbers import Integral

import numpy as np
from scipy.special import gammaln, logsumexp
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, InvalidParameterError

from sklearn_codex._categorical import FloatArray, log_mass, normalize_log, reference_kl, safe_log
from sklearn_codex._checks.numbers import COUNT, NOT_NEGATIVE, as_floats, check_number
from sklearn_codex.exact._settings import below_best, in_nats, keep_checked, takes_policy

_MAX_DOCUMENTS = 2_000_000
_MAX_ENTRIES = 20_000_000
# Length of a number of documents that is still written out.
_MAX_BITS = 10_000
_STARTS = Interval(Integral, 0, 100_000, closed="both")
# A token rarer than this is as good as absent, and its logarithm can be multiplied by counts.
_RAREST = -650.0


def enumerate_counts(n_columns: int, length: int) -> FloatArray:
    """Return the counts of every document of a given length, up to the order of its tokens.

    Parameters
    ----------
    n_columns : int
        V, the size of the vocabulary.
    length : int
        Tokens of a document, L.

    Returns
    -------
    counts : ndarray of shape (C(V + L - 1, L), V)
        All vectors of non-negative integers that sum to L, the first column varying slowest.

    Raises
    ------
    ValueError
        If there are more than 2 million of them, or 20 million numbers in them; or a size is no
        integer.

    Examples
    --------
    >>> from sklearn_codex.exact import enumerate_counts
    >>> enumerate_counts(2, 3)
    array([[0., 3.],
           [1., 2.],
           [2., 1.],
           [3., 0.]])
    """
    is_count = isinstance(n_columns, Integral) and isinstance(length, Integral)
    if not is_count or n_columns < 1 or length < 0:
        raise InvalidParameterError(
            "enumerate_counts needs integers n_columns >= 1 and length >= 0, got "
            f"n_columns={n_columns!r:.60} and length={length!r:.60}."
        )
    n_columns, length = int(n_columns), int(length)
    # As vast a number as it may be is not computed, only its logarithm.
    smaller = min(n_columns - 1, length)
    is_vast = smaller > _MAX_ENTRIES or smaller * log2(1 + (n_columns + length) // 2) > _MAX_BITS
    n_documents = 0 if is_vast else comb(n_columns + length - 1, smaller)
    if is_vast or n_documents > _MAX_DOCUMENTS or n_documents * n_columns > _MAX_ENTRIES:
        raise ValueError(
            f"enumerate_counts of {n_columns} columns and {length} tokens would list "
            f"{'far too many' if is_vast else n_documents} "
            f"documents, more than {min(_MAX_DOCUMENTS, _MAX_ENTRIES // n_columns)}. Use a smaller "
            "vocabulary or shorter documents, or estimate by sampling."
        )
    counts = np.zeros((n_documents, n_columns))
    left = np.array([length])
    rows = np.ones(1, dtype=np.intp)  # documents that begin with each prefix
    for column in range(n_columns - 1):
        prefix = np.repeat(np.arange(len(left)), left + 1)
        starts = np.cumsum(left + 1) - (left + 1)
        count = np.arange(len(prefix)) - starts[prefix]
        left = left[prefix] - count
        others = n_columns - column - 1
        rows = np.array([comb(others + k - 1, k) for k in range(length + 1)])[left]
        counts[:, column] = np.repeat(count, rows)
    counts[:, -1] = length - counts[:, :-1].sum(axis=1)
    return counts


@dataclass(frozen=True)
class EnumeratedObjective:
    r"""The objective of policy optimisation for any reward of the token counts, by enumeration.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (V,)
        Log-probabilities of the reference policy. A token at ``-inf`` can never be produced.
    reward : callable
        Takes counts (n_documents, V) and returns rewards (n_documents,).
    length : int
        Tokens of a document, L.
    kl_coef : float, default=1.0
        Weight b > 0 of the KL divergence, per nat of a document.
    reward_coef : float, default=1.0
        Weight of the reward.

    Attributes
    ----------
    counts : ndarray of shape (n_documents, V)
        The token counts of every document that the reference can produce.
    rewards : ndarray of shape (n_documents,)
        Their rewards.

    Raises
    ------
    ValueError
        If a number is NaN, infinite or out of its range, or there are too many documents, see
        :func:`enumerate_counts`.

    Notes
    -----
    The best distribution over whole documents is the tilt :math:`ref(y) \exp(\rho R(y) / b) / Z`,
    with :math:`J_{tilt} = b \log Z`. A unigram policy is a product over tokens and cannot reach it:
    :math:`J_{tilt} - J(\pi) = b\, KL(\pi \| tilt)`. The best product satisfies the mean-field
    equations

    .. math::

        \log \pi_t = \log ref_t + \rho q_t(\pi) / b - c, \quad q_t(\pi) = E_\pi[R \mid y_1 = t],

    and so may other products, local maxima or saddles: :meth:`optimum` starts from several places.
    The marginals of the tilt are a different, worse policy.

    References
    ----------
    .. [1] Korbak, T., Perez, E. and Buckley, C. (2022). "RL with KL penalties is better viewed as
       Bayesian inference." Findings of EMNLP 2022.
    .. [2] Wainwright, M. J. and Jordan, M. I. (2008). "Graphical models, exponential families, and
       variational inference", chapter 5. Foundations and Trends in Machine Learning 1(1-2).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.exact import EnumeratedObjective
    >>> problem = EnumeratedObjective(
    ...     np.log([0.5, 0.3, 0.2]), lambda counts: 1.0 * (counts[:, 2] > 0), length=3
    ... )
    >>> result = problem.optimum()
    >>> np.exp(result.log_prob).round(3), bool(result.residual < 1e-9)
    (array([0.442, 0.265, 0.292]), True)
    >>> bool(result.value < problem.tilt_value)
    True
    """

    reference_log_prob: FloatArray
    reward: Callable[[FloatArray], FloatArray]
    length: int
    kl_coef: float = 1.0
    reward_coef: float = 1.0
    counts: FloatArray = field(init=False, repr=False)
    rewards: FloatArray = field(init=False, repr=False)

    def __post_init__(self):
        keep_checked(self)
        if not callable(self.reward):
            raise TypeError(
                "EnumeratedObjective needs reward, a function of counts (n, V), got a "
                f"{type(self.reward).__name__}: {self.reward!r:.60}."
            )
        support = np.isfinite(self.reference_log_prob)
        possible = enumerate_counts(int(support.sum()), self.length)
        counts = np.zeros((len(possible), len(support)))
        counts[:, support] = possible
        rewards = as_floats(self.reward(counts), "rewards", subject="EnumeratedObjective")
        if rewards.shape != (len(counts),) or not np.isfinite(rewards).all():
            raise ValueError(
                "EnumeratedObjective needs one finite reward for each of "
                f"{len(counts)} documents, got shape {rewards.shape}"
                + ("." if rewards.shape != (len(counts),) else " with some that are not finite.")
            )
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "rewards", rewards)

    @cached_property
    def _log_orders(self):
        """Logarithm (n_documents,) of the number of orders of each document's tokens."""
        return gammaln(self.length + 1) - gammaln(self.counts + 1).sum(axis=1)

    @cached_property
    def _tilt(self):
        """Log-probabilities (n_documents,) of the tilt, and the logarithm of its normaliser."""
        # Of what is best, in nats, the digits of the reference are not lost in the rest.
        relative, best = below_best(
            self.rewards, self.reward_coef, np.ones(len(self.rewards), dtype=bool)
        )
        weights = self.log_probabilities(self.reference_log_prob) + self._in_nats(relative)
        total = float(logsumexp(weights))
        return weights - total, total + float(self._in_nats(best))

    def _in_nats(self, reward, kl_coef=None):
        kl_coef = self.kl_coef if kl_coef is None else kl_coef
        return in_nats(reward, self.reward_coef, kl_coef, subject="EnumeratedObjective")

    @property
    def tilt_value(self) -> float:
        """J of the best distribution over whole documents, which no policy exceeds."""
        return self.kl_coef * self._tilt[1]

    @property
    def tilt_marginals(self) -> FloatArray:
        """Log-probabilities (V,) of the tokens of documents drawn from the tilt."""
        return safe_log(np.exp(self._tilt[0]) @ self.counts / self.length)

    @takes_policy
    def log_probabilities(self, log_prob: FloatArray) -> FloatArray:
        """Return the log-probability (n_documents,) of each document's counts under a policy."""
        return self._log_orders + self.counts @ np.maximum(log_prob, _RAREST)

    def _probabilities(self, log_prob):
        """Return the probability (n_documents,) of each document's counts under a policy."""
        prob = np.exp(self.log_probabilities(log_prob))
        absent = np.isneginf(log_prob)
        if absent.any():
            prob[self.counts[:, absent].any(axis=1)] = 0.0
        return prob

    @takes_policy
    def expected_reward(self, log_prob: FloatArray) -> float:
        """Return E[R], the unweighted expected reward of a document."""
        return float(self._probabilities(log_prob) @ self.rewards)

    @takes_policy
    def kl(self, log_prob: FloatArray) -> float:
        """Return KL(policy || reference) of a document, in nats."""
        return self.length * reference_kl(log_prob, self.reference_log_prob, self._log_mass)

    @cached_property
    def _log_mass(self) -> float:
        return log_mass(self.reference_log_prob)

    @takes_policy
    def value(self, log_prob: FloatArray) -> float:
        """Return the objective J of a policy, given by its log-probabilities (V,)."""
        reward = self.reward_coef * self.expected_reward(log_prob)
        return reward - self.kl_coef * self.kl(log_prob)

    @takes_policy
    def token_values(self, log_prob: FloatArray) -> FloatArray:
        """Return q (V,), the expected reward of a document that has the token in one place.

        It is 0 for tokens that the reference cannot produce.
        """
        log_prob = np.maximum(log_prob, _RAREST)
        weights = np.exp(self.log_probabilities(log_prob)) * self.rewards
        values = weights @ self.counts / (self.length * np.exp(log_prob))
        return np.where(np.isfinite(self.reference_log_prob), values, 0.0)

    @takes_policy
    def gradient(self, log_prob: FloatArray) -> FloatArray:
        """Return the gradient (V,) of J with respect to the logits of the policy."""
        prob = np.exp(log_prob)
        score = np.zeros_like(prob)
        drawn = prob > 0
        score[drawn] = self.reward_coef * self.token_values(log_prob)[drawn]
        score[drawn] -= self.kl_coef * (log_prob[drawn] - self.reference_log_prob[drawn])
        return self.length * prob * (score - prob @ score)

    @takes_policy
    def mean_field_step(self, log_prob: FloatArray) -> FloatArray:
        """Return the policy (V,) that the mean-field equations give for the values of another."""
        return self._step(log_prob, self.kl_coef)

    def _step(self, log_prob, kl_coef):
        relative, _ = below_best(
            self.token_values(log_prob), self.reward_coef, np.isfinite(self.reference_log_prob)
        )
        return normalize_log(self.reference_log_prob + self._in_nats(relative, kl_coef))

    @takes_policy
    def gap_to_tilt(self, log_prob: FloatArray) -> float:
        """Return J_tilt - J(policy) >= 0, a bound of how far a policy is from the best product."""
        prob = self._probabilities(log_prob)
        drawn = prob > 0
        log_ratio = self.log_probabilities(log_prob)[drawn] - self._tilt[0][drawn]
        return self.kl_coef * max(0.0, float(prob[drawn] @ log_ratio))

    def optimum(
        self, *, n_starts: int = 10, tol: float = 1e-11, max_iter: int = 20_000, random_state=0
    ) -> Bunch:
        """Return the best product policy found, by damped mean-field steps from several starts.

        Parameters
        ----------
        n_starts : int, default=10
            Random starts, besides the reference (with ``kl_coef`` annealed down to its value) and
            the marginals of the tilt.
        tol : float, default=1e-11
            Residual at which the best one is done.
        max_iter : int, default=20000
            Steps at most for the best one, a tenth for each start.
        random_state : int, RandomState instance or None, default=0
            Source of the random starts.

        Returns
        -------
        result : Bunch
            ``log_prob`` (V,); ``value``, its J; ``residual``, the greatest difference of
            log-probabilities that a full mean-field step makes; ``gap_to_tilt``, which bounds how
            much better any other policy can be; ``start_values``, J from each start.

        Raises
        ------
        ValueError
            If a parameter is out of its range.
        """
        subject = "EnumeratedObjective.optimum"
        n_starts = check_number(n_starts, "n_starts", subject=subject, interval=_STARTS)
        tol = check_number(tol, "tol", subject=subject, interval=NOT_NEGATIVE)
        max_iter = check_number(max_iter, "max_iter", subject=subject, interval=COUNT)
        rng = check_random_state(random_state)
        reference, support = self.reference_log_prob, np.isfinite(self.reference_log_prob)
        annealed = reference
        for factor in 2.0 ** np.arange(5, 0, -1):
            annealed = self._iterate(annealed, factor * self.kl_coef, 1e-4, max_iter // 10)[0]
        starts = [annealed, reference, self.tilt_marginals]
        for _ in range(n_starts):
            random = np.full(len(reference), -np.inf)
            random[support] = safe_log(rng.dirichlet(np.full(support.sum(), 0.5)))
            starts.append(random)
        ends = [self._iterate(start, self.kl_coef, 1e-5, max_iter // 10)[0] for start in starts]
        values = np.array([self.value(end) for end in ends])
        best, residual = self._iterate(ends[int(values.argmax())], self.kl_coef, tol, max_iter)
        return Bunch(
            log_prob=best,
            value=self.value(best),
            residual=residual,
            gap_to_tilt=self.gap_to_tilt(best),
            start_values=values,
        )

    def _iterate(self, log_prob, kl_coef, tol, max_iter):
        """Take damped mean-field steps; return the policy and its residual."""
        share, previous = 0.5, np.inf
        support = np.isfinite(self.reference_log_prob)
        log_prob = np.where(support, np.maximum(log_prob, _RAREST), -np.inf)
        for _ in range(max(max_iter, 1)):
            step = self._step(log_prob, kl_coef)
            residual = float(np.abs(step[support] - log_prob[support]).max())
            if residual <= tol:
                break
            # Steps that overshoot oscillate, and the residual grows.
            if residual > previous:
                share = max(0.8 * share, 0.01)
            previous = residual
            mixed = log_prob[support] + share * (step[support] - log_prob[support])
            log_prob = np.full_like(log_prob, -np.inf)
            log_prob[support] = normalize_log(mixed)
        return log_prob, residual
