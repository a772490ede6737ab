"""The objective of a policy that sees the last token, its optimum and what simpler tilts lose."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from sklearn_codex._categorical import FloatArray, IntArray, safe_log
from sklearn_codex._checks.numbers import (
    COUNT,
    POSITIVE,
    as_floats,
    check_number,
    check_tokens_at_once,
    check_values,
)
from sklearn_codex.exact._settings import below_best, in_nats
from sklearn_codex.sequential._kernel import TiltedKernel
from sklearn_codex.sequential._reference import BigramReference

# Differences of logits up to which a divergence is computed from terms of second order.
_CLOSE = 1.0
_POWER_TOL = 1e-13
_MAX_POWER = 10_000
# Nats of which floats keep less than three digits of a logarithm's fraction.
_UNRESOLVED = 1e12


@dataclass(frozen=True)
class BigramObjective:
    r"""The objective of policy optimisation where the policy sees the last token.

    A document has H tokens. Policies are *time tilts* of the reference: at position h, after token
    s, token t has probability :math:`\pi_h(t|s) = P(t|s) e^{\phi_{ht}} / Z_h(s)`. The tilts
    :math:`\phi` (H, V) are enough to hold the best of all policies over documents, so H V numbers
    stand for H V² probabilities. Whatever is computed is exact and takes a few products of P with
    a vector at each position, also where P is sparse and backs off.

    Parameters
    ----------
    reference : BigramReference
        P, and the probabilities of the first token, which is tilted like all others.
    token_reward : ndarray of shape (V,)
        Reward w_t of each token; the reward of a document is the sum over its tokens.
    length : int
        Tokens of a document, H.
    kl_coef : float, default=1.0
        Weight b > 0 of the KL divergence, per nat of a document.

    Raises
    ------
    ValueError
        If a shape or a value does not fit.

    See Also
    --------
    sklearn_codex.exact.AdditiveObjective : The same where no token depends on another.
    optimize_bigram_policy : PPO, held against it.

    Notes
    -----
    Over documents, the objective is
    :math:`J(\pi) = E_\pi[\sum_h w_{t_h}] - b\, KL(\pi \| ref)`. With the desirability
    :math:`z_h = e^{V_h / b}` of a last token, where V is the value of what is to come, Bellman's
    equation is linear [1]_ [2]_:

    .. math::

        z_h = P\,(e^{w/b} \circ z_{h+1}), \quad z_H = 1, \qquad
        \phi^*_{ht} = w_t / b + \log z_{h+1}(t), \qquad J^* = b \log z_0,

    so the optimum takes one product with a vector at each position. The optimal policy over
    documents is the reference tilted by :math:`e^{R/b}`, hence
    :math:`J^* - J(\pi) = b\, KL(\pi \| \pi^*)`, which :meth:`gap` computes without cancellation.
    With the value :math:`q_{ht} = w_t - b \phi_{ht} + V_{h+1}(t)` of a token, the gradient is

    .. math::

        \frac{\partial J}{\partial \phi_{ht}}
            = \sum_s d_h(s)\, \pi_h(t|s) \Big(q_{ht} - \sum_u \pi_h(u|s)\, q_{hu}\Big)

    with the distribution d_h of the last token. It vanishes where q_h is constant.

    A tilt of shape (V,) is the same at every position. In general none of these is optimal, since
    a token is worth what it leads to, and near the end that is less.

    References
    ----------
    .. [1] Todorov, E. (2006). "Linearly-solvable Markov decision problems." NeurIPS 19.
    .. [2] Todorov, E. (2009). "Efficient computation of optimal actions." PNAS 106(28),
       11478-11483.

    Examples
    --------
    The first token pays most, but leads to the last one, which pays nothing and is hard to leave:

    >>> import numpy as np
    >>> from sklearn_codex.sequential import BigramObjective, BigramReference
    >>> transition = np.array([[0.4, 0.1, 0.5], [0.3, 0.6, 0.1], [0.05, 0.05, 0.9]])
    >>> reference = BigramReference(transition, initial=[0.5, 0.5, 0.0])
    >>> problem = BigramObjective(reference, np.array([1.0, 0.8, 0.0]), length=10, kl_coef=0.5)
    >>> best = problem.optimum()
    >>> round(problem.value(best), 6) == round(problem.optimal_value(), 6)
    True
    >>> np.exp(problem.log_policy(best, position=5)[0]).round(2)
    array([0.73, 0.24, 0.03])
    >>> whole = problem.gap(np.zeros(3))
    >>> for tilt in (problem.stationary_tilt(), problem.myopic_tilt()):
    ...     print(f"{1 - problem.gap(tilt) / whole:.3f}")
    0.984
    0.853
    """

    reference: BigramReference
    token_reward: FloatArray
    length: int
    kl_coef: float = 1.0

    def __post_init__(self):
        subject = "BigramObjective"
        if not isinstance(self.reference, BigramReference):
            raise TypeError(
                f"{subject} needs a BigramReference as reference, got "
                f"{type(self.reference).__name__}. Make one with BigramReference.from_texts."
            )
        n_columns = self.reference.n_columns
        checked = {
            "token_reward": check_values(
                self.token_reward,
                "token_reward",
                subject=subject,
                shape=(n_columns,),
                remedy="To ban a token, leave it out of the reference.",
            ),
            "length": check_number(self.length, "length", subject=subject, interval=COUNT),
            "kl_coef": check_number(
                self.kl_coef,
                "kl_coef",
                subject=subject,
                interval=POSITIVE,
                remedy=(
                    "Without the KL term the optimum follows the best path alone; make kl_coef "
                    "small instead."
                ),
            ),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        check_tokens_at_once(self.length, n_columns, remedy="Set a smaller length.")

    @cached_property
    def _relative_tilt(self) -> tuple[FloatArray, float]:
        """The tilt (V,) that looks one token ahead, less that of the best token; its reward."""
        everywhere = np.ones(len(self.token_reward), dtype=bool)
        relative, best = below_best(self.token_reward, 1.0, everywhere)
        return in_nats(relative, 1.0, self.kl_coef, subject="BigramObjective"), best

    @cached_property
    def _solved(self) -> tuple[FloatArray, float]:
        """The optimal tilt (H, V), unnormalised, and J*.

        The greatest value to come is taken out at each position: it is the same for every token,
        and vast where kl_coef is small.
        """
        myopic, best_reward = self._relative_tilt
        log_tilt = np.empty((self.length, len(myopic)))
        to_come, taken_out = np.zeros(len(myopic)), 0.0
        for position in reversed(range(self.length)):
            log_tilt[position] = myopic + to_come
            # log z, the value to come in units of kl_coef
            log_z = self._tilted(log_tilt, position).log_norm
            self._check_resolved(log_z)
            taken_out += log_z.max()
            to_come = log_z - log_z.max()
        return log_tilt, self.length * best_reward + self.kl_coef * float(taken_out)

    def _check_resolved(self, log_z):
        if np.ptp(log_z) > _UNRESOLVED:
            raise ValueError(
                f"BigramObjective with kl_coef={self.kl_coef:g} has states whose values differ by "
                f"{np.ptp(log_z):.3g} nats, as they cannot reach the same tokens: floats would "
                "lose the reference. Raise kl_coef, or smooth the reference."
            )

    def optimum(self) -> FloatArray:
        """Return the log-tilt (H, V) of the best policy; the greatest of each position is 0."""
        log_tilt = self._solved[0]
        return log_tilt - log_tilt.max(axis=1, keepdims=True)

    def optimal_value(self) -> float:
        """Return J*, the greatest value of the objective."""
        return self._solved[1]

    def myopic_tilt(self) -> FloatArray:
        """Return the log-tilt (V,) of the policy that looks one token ahead, w / b."""
        return in_nats(self.token_reward, 1.0, self.kl_coef, subject="BigramObjective")

    def stationary_tilt(self) -> FloatArray:
        r"""Return the log-tilt (V,) that is optimal far from the end of long documents.

        It is :math:`w / b + \log z` with the Perron vector z of :math:`M = P\, diag(e^{w/b})`, by
        power iteration on M and the identity. A document of the optimum gains b log(lambda) with
        each further token, lambda being the Perron value. For long documents, and a reference in
        which every token leads back to every other, it is close to the best of the tilts that are
        the same at every position; for short ones even :meth:`myopic_tilt` may be better.

        Warns
        -----
        ConvergenceWarning
            If there is no such tilt, as tokens that lead to the best rewards are never reached
            again from others, or if it takes too long to be found.
        """
        myopic = self._relative_tilt[0]
        log_z = np.zeros(len(myopic))
        for _ in range(_MAX_POWER):
            moved = TiltedKernel(self.reference.kernel, myopic + log_z).log_norm
            # The identity keeps cycles from swinging for ever, and has the same vectors.
            moved = np.logaddexp(moved - moved.max(), log_z)
            moved -= moved.max()
            change = np.abs(moved - log_z).max()
            log_z = moved
            if change <= _POWER_TOL * max(1.0, np.abs(log_z).max()):
                break
        else:
            warnings.warn(
                f"BigramObjective found no stationary tilt in {_MAX_POWER} iterations: it still "
                f"changes by {change:.2g} nats. Some tokens may never lead back to others; smooth "
                "the reference, or use optimum(), which always exists.",
                ConvergenceWarning,
                stacklevel=2,
            )
        log_tilt = myopic + log_z
        return log_tilt - log_tilt.max()

    def expected_reward(self, log_tilt: ArrayLike) -> float:
        """Return E[R] of a document under a log-tilt (H, V) or (V,)."""
        return float(self.marginals(log_tilt).sum(axis=0) @ self.token_reward)

    def kl(self, log_tilt: ArrayLike) -> float:
        """Return KL(policy || reference) of a document, in nats."""
        return self._path_kl(log_tilt, np.zeros(self.reference.n_columns))

    def value(self, log_tilt: ArrayLike) -> float:
        """Return the objective J of the policy of a log-tilt (H, V) or (V,)."""
        return self.expected_reward(log_tilt) - self.kl_coef * self.kl(log_tilt)

    def gap(self, log_tilt: ArrayLike) -> float:
        """Return J* - J(policy) >= 0, how far a policy is from the best, without cancellation."""
        return self.kl_coef * self._path_kl(log_tilt, self._solved[0])

    def marginals(self, log_tilt: ArrayLike) -> FloatArray:
        """Return the probabilities (H, V) of the tokens at each position of a document."""
        return np.array([policy.push(states) for policy, states in self._forward(log_tilt)])

    def state_values(self, log_tilt: ArrayLike) -> FloatArray:
        """Return V_h(s) (H, V), the objective still to come at position h after token s.

        The first token has no last one: the first row is J itself throughout.
        """
        log_tilt = self._check_tilt(log_tilt)
        values = np.zeros((self.length + 1, self.reference.n_columns))
        for position in reversed(range(self.length)):
            policy = self._tilted(log_tilt, position)
            worth = self.token_reward - self.kl_coef * log_tilt[position] + values[position + 1]
            values[position] = policy.expect(worth) + self.kl_coef * policy.log_norm
        return values[:-1]

    def gradient(self, log_tilt: ArrayLike) -> FloatArray:
        """Return the derivative (H, V) of J by each log-tilt of a policy."""
        log_tilt = self._check_tilt(log_tilt)
        to_come = np.vstack([self.state_values(log_tilt)[1:], np.zeros(self.reference.n_columns)])
        worth = self.token_reward - self.kl_coef * log_tilt + to_come
        gradient = np.empty_like(log_tilt)
        for position, (policy, states) in enumerate(self._forward(log_tilt)):
            # Without its mean the worth cancels less.
            row = worth[position] - policy.push(states) @ worth[position]
            gradient[position] = policy.push(states) * row - policy.push(
                states * policy.expect(row)
            )
        return gradient

    def log_policy(self, log_tilt: ArrayLike, position: int) -> FloatArray:
        """Return log-probabilities (V, V) of the next token given the last, at one position.

        At position 0 there is no last token and all rows are the same. For vocabularies of teaching
        size: it writes out what no other method needs.
        """
        n_columns = self.reference.n_columns
        position = check_number(
            position,
            "a position",
            subject="BigramObjective.log_policy",
            interval=Interval(Integral, 0, self.length, closed="left"),
        )
        states = np.arange(n_columns) if position else np.zeros(n_columns, dtype=np.intp)
        policy = self._tilted(self._check_tilt(log_tilt), position)
        return safe_log(policy.rows(states).toarray())

    def sample(
        self,
        log_tilt: ArrayLike,
        n_documents: int,
        random_state: int | np.random.RandomState | None = None,
    ) -> IntArray:
        """Draw documents of a policy.

        Parameters
        ----------
        log_tilt : array-like of shape (H, V) or (V,)
            The policy.
        n_documents : int
            How many documents.
        random_state : int, RandomState instance or None, default=None
            Source of all draws.

        Returns
        -------
        tokens : ndarray of int of shape (n_documents, H)
            Columns of the tokens, in order.

        Raises
        ------
        ValueError
            If there would be more than 2**27 tokens.
        """
        n_documents = check_number(
            n_documents, "n_documents", subject="BigramObjective.sample", interval=COUNT
        )
        check_tokens_at_once(n_documents, self.length, remedy="Draw fewer documents.")
        rng = check_random_state(random_state)
        log_tilt = self._check_tilt(log_tilt)
        tokens = np.empty((n_documents, self.length), dtype=np.intp)
        last = np.zeros(n_documents, dtype=np.intp)
        for position in range(self.length):
            tokens[:, position] = last = self._tilted(log_tilt, position).sample(last, rng)
        return tokens

    def _check_tilt(self, given: ArrayLike) -> FloatArray:
        log_tilt = as_floats(given, "log-tilts", subject="BigramObjective")
        shape = (self.length, self.reference.n_columns)
        if log_tilt.shape not in (shape, shape[1:]):
            raise ValueError(
                f"BigramObjective needs a log-tilt of shape {shape}, or {shape[1:]} for the same "
                f"at every position, got {log_tilt.shape}."
            )
        if not np.isfinite(log_tilt).all():
            raise ValueError(
                "BigramObjective needs finite log-tilts, got "
                f"{log_tilt[~np.isfinite(log_tilt)][0]}. To all but ban a token, tilt it by -1000."
            )
        return np.broadcast_to(log_tilt, shape)

    def _tilted(self, log_tilt, position) -> TiltedKernel:
        """Return the policy of one position of a checked tilt; the first has one state."""
        kernel = self.reference.kernel if position else self.reference.first
        return TiltedKernel(kernel, log_tilt[position])

    def _policies(self, log_tilt: ArrayLike) -> list[TiltedKernel]:
        """Return the policy of each position, as products with it are computed."""
        log_tilt = self._check_tilt(log_tilt)
        return [self._tilted(log_tilt, position) for position in range(self.length)]

    def _forward(self, log_tilt) -> Iterator[tuple[TiltedKernel, FloatArray]]:
        """Yield the policy of each position and the distribution of the last token before it."""
        log_tilt, states = self._check_tilt(log_tilt), np.ones(1)
        for position in range(self.length):
            policy = self._tilted(log_tilt, position)
            yield policy, states
            states = policy.push(states)

    def _path_kl(self, log_tilt, other) -> float:
        """Return KL(policy || other policy) of a document, in nats."""
        other = self._check_tilt(other)
        difference = self._check_tilt(log_tilt) - other
        total = 0.0
        for position, (policy, states) in enumerate(self._forward(log_tilt)):
            row = difference[position] - policy.push(states) @ difference[position]
            if np.abs(row).max() <= _CLOSE:
                # With A = E[expm1(-row)], KL = log(1 + A) + E[row], of terms of first order.
                down = np.expm1(-row)
                first = policy.expect(down)
                divergence = np.log1p(first) - first + policy.expect(down + row)
            else:
                norm = self._tilted(other, position).log_norm
                divergence = policy.expect(difference[position]) - (policy.log_norm - norm)
            total += float(states @ np.maximum(divergence, 0.0))
        return total
