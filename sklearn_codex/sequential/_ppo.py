"""PPO for a policy that sees the last token: rollouts, GAE, a clipped surrogate, natural steps."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._policy.ppo import (
    NEGLIGIBLE_KL,
    Clipping,
    approximate_kl,
    clipped_surrogate,
    probability_ratio,
    surrogate_slope,
)
from sklearn_codex._policy.settings import check_clipping
from sklearn_codex.exact._trust_region import trust_region_scale
from sklearn_codex.sequential._kernel import TiltedKernel
from sklearn_codex.sequential._objective import BigramObjective

_MIN_ROLLOUTS, _ROLLOUTS_PER_TOKEN = 256, 4
# Occurrences that damp the step of a token: those seen less often move less than told.
_DAMPING = 1.0


@validate_params(
    {
        "objective": [BigramObjective],
        "n_rollouts": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "clip_range": [Interval(Real, 0, None, closed="neither"), tuple],
        "target_kl": [Interval(Real, 0, None, closed="neither"), None],
        "gae_lambda": [Interval(Real, 0, 1, closed="both")],
        "critic": [StrOptions({"normalizer", "table"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def optimize_bigram_policy(
    objective: BigramObjective,
    *,
    n_rollouts: int | str = "auto",
    n_epochs: int = 2,
    clip_range: float | tuple[float, float] = 0.2,
    target_kl: float | None = 1.0,
    gae_lambda: float = 0.95,
    critic: str = "normalizer",
    learning_rate: float = 1.0,
    max_iter: int = 200,
    tol: float = 1e-4,
    random_state: Any = None,
) -> Bunch:
    r"""Optimise a policy that sees the last token by PPO, from rollouts alone.

    The policy is a tilt of the reference at each position, as in :class:`BigramObjective`. This is
    a function and no estimator: the estimators of this package take token counts as well as texts,
    and counts do not tell which token follows which.

    Parameters
    ----------
    objective : BigramObjective
        The reference, the rewards of tokens, the length of documents and ``kl_coef``.
    n_rollouts : int or "auto", default="auto"
        Documents drawn an iteration; "auto" means four for each token of the vocabulary, at
        least 256.
    n_epochs : int, default=2
        Passes over each batch; the step is divided among them.
    clip_range : float or (float, float), default=0.2
        How far the probability ratio may leave 1 before the surrogate is clipped; a pair is (below,
        above).
    target_kl : float or None, default=1.0
        Trust region: nats that the distribution of a document may move in one iteration.
    gae_lambda : float, default=0.95
        Decay of generalised advantage estimation: 1 credits a token with all that follows, 0 with
        its own reward and what the critic expects next.
    critic : {"normalizer", "table"}, default="normalizer"
        Where the values of states come from. "table" learns V_h(s) from returns, the textbook form;
        states that were not met stay at 0. "normalizer" reads them off the policy: at the optimum
        the value is b log Z_h(s) but for a constant of the position, also of states never met.
    learning_rate : float, default=1.0
        Share of the way to the solution of a batch that is moved.
    max_iter : int, default=200
        Iterations at most.
    tol : float, default=1e-4
        Stop when the distance to the optimum, which is exact, is at most this share of that of the
        reference. 0 means until they are equal, or ``max_iter`` iterations.
    random_state : int, RandomState instance or None, default=None
        Source of all draws; the same seed gives the same bits.

    Returns
    -------
    result : Bunch
        - log_tilt : ndarray of shape (H, V), the policy
        - value, gap, kl, expected_reward : float, exact
        - n_iter : int, iterations run
        - n_sequences : int, documents learned from
        - history : list of dict, one record an iteration, the first of the reference:
          ``iteration``, ``episode`` (documents so far), ``objective/value``,
          ``objective/optimality_gap``, ``objective/kl_exact`` and ``objective/expected_reward``,
          exact; ``objective/shaped_reward_std`` over the documents drawn from the policy;
          ``policy/approxkl_avg`` (k3, nats a document), ``policy/clipfrac_avg`` and
          ``loss/policy_avg`` of the update that led to it

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` was reached before ``tol``.

    See Also
    --------
    BigramObjective.optimum : What it converges to.
    PPOPolicyOptimizer : The estimator, for policies that are one distribution over tokens.

    Notes
    -----
    The KL sits in the reward: token t after s earns
    :math:`r = w_t - b \log(\pi_h(t|s) / P(t|s)) = w_t - b \phi_{ht} + b \log Z_h(s)`. With values
    V, the advantage of GAE [1]_ is the sum of :math:`\lambda^k \delta_{h+k}` over
    :math:`\delta_h = r_h + V_{h+1}(t) - V_h(s)`, less its mean at the position. A step moves
    :math:`\phi_{ht}` by the gradient of the clipped surrogate over b times the expected occurrences
    of t at h in the batch (and one more): a natural step with the diagonal of the Fisher matrix,
    scaled into the trust region.

    At the optimum the shaped reward of a document is J* for certain. With values
    :math:`V_h(s) = b \log Z_h(s)`, each :math:`\delta_h` is :math:`w_t - b \phi_{ht} +
    b \log Z_{h+1}(t)`, which at the optimum is the same for every token: all advantages vanish, so
    that neither sampling nor any lambda leaves an error, and a constant step converges.

    References
    ----------
    .. [1] Schulman, J. et al. (2016). "High-dimensional continuous control using generalized
       advantage estimation." ICLR. arXiv:1506.02438.
    .. [2] Schulman, J. et al. (2017). "Proximal policy optimization algorithms." arXiv:1707.06347.
    .. [3] Nachum, O. et al. (2017). "Bridging the gap between value and policy based reinforcement
       learning." NeurIPS 30. arXiv:1702.08892 (values read off the policy).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.sequential import (
    ...     BigramObjective, BigramReference, optimize_bigram_policy
    ... )
    >>> transition = np.array([[0.4, 0.1, 0.5], [0.3, 0.6, 0.1], [0.05, 0.05, 0.9]])
    >>> reference = BigramReference(transition, initial=[0.5, 0.5, 0.0])
    >>> problem = BigramObjective(reference, np.array([1.0, 0.8, 0.0]), length=10, kl_coef=0.5)
    >>> result = optimize_bigram_policy(problem, random_state=0)
    >>> bool(result.gap <= 1e-4 * problem.gap(np.zeros(3)))
    True
    """
    clipping = check_clipping(clip_range, None, "optimize_bigram_policy")
    if n_rollouts == "auto":
        n_rollouts = max(_MIN_ROLLOUTS, _ROLLOUTS_PER_TOKEN * objective.reference.n_columns)
    rng = check_random_state(random_state)
    steps = _Steps(n_epochs, clipping, target_kl, learning_rate)
    shape = (objective.length, objective.reference.n_columns)
    log_tilt, table = np.zeros(shape), np.zeros(shape) if critic == "table" else None
    statistics = {"policy/approxkl_avg": 0.0, "policy/clipfrac_avg": 0.0, "loss/policy_avg": 0.0}
    history: list[dict[str, float]] = []
    # Where all policies of the reference's support are worth the same, only rounding is left.
    enough = 0.0
    if tol > 0:
        enough = max(tol * objective.gap(log_tilt), NEGLIGIBLE_KL * objective.kl_coef)
    for iteration in range(max_iter + 1):
        batch = _Batch.draw(objective, log_tilt, int(n_rollouts), rng)
        record = {"iteration": iteration, "episode": iteration * int(n_rollouts)}
        history.append(record | _exact_figures(objective, log_tilt) | statistics)
        history[-1]["objective/shaped_reward_std"] = float(batch.reward.sum(axis=1).std())
        if iteration == max_iter or history[-1]["objective/optimality_gap"] <= enough:
            break
        advantages = generalized_advantages(batch.reward, batch.values(table), gae_lambda)
        if table is not None:
            batch.teach(table, advantages)
        log_tilt, statistics = steps.take(batch, advantages - advantages.mean(axis=0))
    last = history[-1]
    if tol > 0 and last["objective/optimality_gap"] > enough:
        warnings.warn(
            f"optimize_bigram_policy stopped at max_iter={max_iter} before it was within tol={tol} "
            f"of the optimum: the gap is {last['objective/optimality_gap']:.3g}. Increase max_iter "
            "or n_rollouts, or set tol=0 for a fixed number of iterations.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Bunch(
        log_tilt=log_tilt,
        value=last["objective/value"],
        gap=last["objective/optimality_gap"],
        kl=last["objective/kl_exact"],
        expected_reward=last["objective/expected_reward"],
        n_iter=iteration,
        n_sequences=iteration * int(n_rollouts),
        history=history,
    )


def _exact_figures(objective, log_tilt):
    """Return what is known exactly of a policy, under TRL's names."""
    reward, kl = objective.expected_reward(log_tilt), objective.kl(log_tilt)
    return {
        "objective/value": reward - objective.kl_coef * kl,
        "objective/optimality_gap": objective.gap(log_tilt),
        "objective/kl_exact": kl,
        "objective/expected_reward": reward,
    }


def generalized_advantages(
    rewards: FloatArray, values: FloatArray, gae_lambda: float
) -> FloatArray:
    """Return the advantages (n, H) of generalised advantage estimation, without discount.

    Parameters
    ----------
    rewards : ndarray of shape (n, H)
        Reward of each step.
    values : ndarray of shape (n, H + 1)
        Value of the state before each step, and of the one after the last.
    gae_lambda : float
        Decay from 0, the temporal difference, to 1, the return less the value.
    """
    advantages = rewards + np.diff(values, axis=1)
    for step in reversed(range(rewards.shape[1] - 1)):
        advantages[:, step] += gae_lambda * advantages[:, step + 1]
    return advantages


@dataclass(frozen=True)
class _Batch:
    """Documents drawn from one policy.

    Parameters
    ----------
    objective : BigramObjective
    log_tilt : ndarray of shape (H, V)
        The policy.
    policies : list of TiltedKernel (H,)
        The same at each position.
    marginals : ndarray of shape (H, V)
        Probabilities of tokens at each position.
    tokens, states : ndarray of int of shape (n, H)
        Each token and the state it was drawn in: the last token, 0 for the first.
    """

    objective: BigramObjective
    log_tilt: FloatArray
    policies: list[TiltedKernel]
    marginals: FloatArray
    tokens: IntArray
    states: IntArray

    @classmethod
    def draw(cls, objective, log_tilt, n_rollouts, rng):
        tokens = objective.sample(log_tilt, n_rollouts, rng)
        states = np.hstack([np.zeros((n_rollouts, 1), dtype=np.intp), tokens[:, :-1]])
        policies = objective._policies(log_tilt)
        return cls(objective, log_tilt, policies, objective.marginals(log_tilt), tokens, states)

    @cached_property
    def log_norm(self) -> FloatArray:
        """Log Z (n, H) of the states."""
        return _look_up([policy.log_norm for policy in self.policies], self.states)

    @cached_property
    def log_ratio(self) -> FloatArray:
        """Log-ratio (n, H) of each token to the reference."""
        return _look_up(self.log_tilt, self.tokens) - self.log_norm

    @cached_property
    def reward(self) -> FloatArray:
        """Reward (n, H) of each token, less the price of its log-ratio."""
        return self.objective.token_reward[self.tokens] - self.objective.kl_coef * self.log_ratio

    def values(self, table: FloatArray | None) -> FloatArray:
        """Return the values (n, H + 1) in a table (H, V); without one those the policy implies."""
        kl_coef = self.objective.kl_coef
        values = kl_coef * self.log_norm if table is None else _look_up(table, self.states)
        return np.hstack([values, np.zeros((len(values), 1))])

    def teach(self, table: FloatArray, advantages: FloatArray) -> None:
        """Move a table (H, V) of values to the mean returns of this batch, damped by one visit."""
        for states, advantage, row in zip(self.states.T, advantages.T, table, strict=True):
            visits = np.bincount(states, minlength=len(row))
            row += np.bincount(states, advantage, minlength=len(row)) / (visits + 1.0)


@dataclass(frozen=True)
class _Steps:
    """Damped natural steps along the clipped surrogate of a batch."""

    n_epochs: int
    clipping: Clipping
    target_kl: float | None
    learning_rate: float

    def take(self, batch: _Batch, advantages: FloatArray) -> tuple[FloatArray, dict[str, float]]:
        """Return the log-tilt (H, V) after all epochs, and what is logged of them."""
        log_tilt, policies = batch.log_tilt, batch.policies
        ratio = np.ones_like(advantages)
        logged = []
        for _ in range(self.n_epochs):
            slope = surrogate_slope(ratio, advantages, self.clipping)
            log_tilt = log_tilt + self._step(batch, policies, slope)
            policies = batch.objective._policies(log_tilt)
            log_norm = _look_up([policy.log_norm for policy in policies], batch.states)
            log_ratio = _look_up(log_tilt, batch.tokens) - log_norm
            ratio = probability_ratio(log_ratio, batch.log_ratio)
            clipped = surrogate_slope(ratio, advantages, self.clipping) != ratio * advantages
            loss = -clipped_surrogate(ratio, advantages, self.clipping).mean()
            logged.append((loss, clipped.mean()))
        loss, clip_fraction = np.mean(logged, axis=0).tolist()
        moved = approximate_kl(batch.log_ratio - log_ratio).sum(axis=1)
        return log_tilt, {
            "policy/approxkl_avg": float(moved.mean()),
            "policy/clipfrac_avg": clip_fraction,
            "loss/policy_avg": loss,
        }

    def _step(self, batch, policies, slope):
        """Return the step (H, V) of one epoch from the slope (n, H) of each token's log-ratio."""
        gradient = surrogate_gradient(policies, batch.tokens, batch.states, slope)
        rate = self.learning_rate / (batch.objective.kl_coef * self.n_epochs)
        step = rate * gradient / (len(slope) * batch.marginals + _DAMPING)
        # A constant on a position changes no policy. Without it, the variance of steps over all
        # positions bounds what they do to a document.
        step -= (batch.marginals * step).sum(axis=1, keepdims=True)
        if self.target_kl is None:
            return step
        length, target_kl = len(step), self.target_kl / self.n_epochs**2
        prob = batch.marginals.ravel() / length
        return step * trust_region_scale(step.ravel(), prob, length, target_kl)


def surrogate_gradient(
    policies: list[TiltedKernel], tokens: IntArray, states: IntArray, slope: FloatArray
) -> FloatArray:
    """Return the gradient (H, V) by the log-tilts of a sum over drawn tokens.

    Parameters
    ----------
    policies : list of TiltedKernel (H,)
        The policy of each position.
    tokens, states : ndarray of int of shape (n, H)
        What was drawn, in which states.
    slope : ndarray of shape (n, H)
        Derivative of the sum by the log-probability of each drawn token.
    """
    gradient = []
    for policy, token, state, weight in zip(policies, tokens.T, states.T, slope.T, strict=True):
        per_state = np.bincount(state, weight, minlength=len(policy.log_norm))
        expected = policy.push(per_state.astype(np.float64))
        gradient.append(np.bincount(token, weight, minlength=len(expected)) - expected)
    return np.array(gradient)


def _look_up(rows, columns):
    """Return the entry (n, H) of row h, of H rows, in each column (n, H)."""
    return np.stack([row[column] for row, column in zip(rows, columns.T, strict=True)], axis=1)
