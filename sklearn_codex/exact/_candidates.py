"""Policies over the candidate responses of prompts, and the best of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._categorical import (
    FloatArray,
    IntArray,
    close_kl,
    entropy,
    expectation,
    log_mass,
    normalize_log_within,
    reference_kl,
    root_mean_square,
    safe_log,
)
from sklearn_codex._checks.numbers import COUNT, check_number, check_values
from sklearn_codex._rollouts import Rollouts, sample_rollouts
from sklearn_codex.exact._candidate_checks import check_features, takes_choice
from sklearn_codex.exact._kl_target import find_kl_coef
from sklearn_codex.exact._objective import Objective
from sklearn_codex.exact._settings import (
    in_nats,
    keep_checked,
    reward_spread,
)
from sklearn_codex.exact._unigram import covariance_of_tokens

_TINY = np.finfo(np.float64).tiny
_SHARES_TOLERANCE = 1e-6
# By what part probabilities of prompts that are equal differ.
_SHARES_ROUNDING = 1e-8


@dataclass(frozen=True, repr=False)
class CandidateObjective(Objective):
    r"""The objective over policies that choose among the candidates of a prompt, and its optimum.

    What other objectives call a token is here a row: a candidate response of one prompt. A policy
    is the joint distribution of prompt and response; it chooses the response, never the prompt, so
    that each prompt keeps its probability. A document is one row.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (n_rows,)
        Log-probabilities of prompt and response under the reference; a row at ``-inf`` can never be
        chosen. Where rows were banned, the others need not sum to one: the KL is from the whole
        reference. It is kept with its prompts as often as ``prompt_prob`` says.
    token_reward : ndarray of shape (n_rows,)
        Reward of each row.
    prompts : ndarray of int of shape (n_rows,)
        The prompt of each row, from 0, each of them there.
    kl_coef : float, default=1.0
        Weight b > 0 of the KL divergence, per nat.
    reward_coef : float, default=1.0
        Weight of the reward.
    penalty : ndarray of shape (n_rows,), default=None
        Rule penalty c >= 0 of each row, in nats of KL; None means 0, ``inf`` is a ban.
    prompt_prob : ndarray of shape (n_prompts,), default=None
        How often each prompt comes up; None means what the reference says. Where probability is
        missing, as of banned rows, the reference has to have its prompts as often.
    features : array-like or sparse of shape (n_rows, n_features), default=None
        Features of rows. With them optimisers move in the log-linear policies alone,
        :math:`\pi(y|x) \propto ref(y|x)\, e^{\theta \cdot \phi(x, y)}`. The optimum is one of them
        where the reward is linear in the features.

    Raises
    ------
    ValueError
        If a shape does not fit, a number is NaN, infinite or out of its range, or a prompt has no
        candidate left.

    Notes
    -----
    With s(x), the probability of prompt x, rewards r, weights :math:`\rho` and b, and penalties c,

    .. math::

        J(\pi) = \sum_x s(x) \Bigl(\sum_y \pi(y|x) \bigl(\rho\, r(x, y) - b\, c(x, y)\bigr)
            - b\, KL(\pi(\cdot|x) \| ref(\cdot|x))\Bigr)

    is greatest, one prompt apart from the other, at
    :math:`\pi^*(y|x) \propto ref(y|x) \exp(\rho\, r(x, y) / b - c(x, y))`, and
    :math:`J^* - J(\pi) = b\, KL(\pi \| \pi^*)`. For :math:`r = w \cdot \phi` it is log-linear with
    :math:`\theta = \rho w / b`.

    References
    ----------
    .. [1] Korbak, T., Perez, E. and Buckley, C. (2022). "RL with KL penalties is better viewed as
       Bayesian inference." Findings of EMNLP 2022.

    Examples
    --------
    Two prompts, of two and of three candidates:

    >>> import numpy as np
    >>> from sklearn_codex.exact import CandidateObjective
    >>> problem = CandidateObjective(
    ...     np.log([0.25, 0.25, 0.1, 0.2, 0.2]), np.array([0.0, 1.0, 2.0, 0.0, 1.0]),
    ...     np.array([0, 0, 1, 1, 1]),
    ... )
    >>> np.exp(problem.optimum()).round(3)
    array([0.134, 0.366, 0.249, 0.067, 0.183])
    >>> problem.gap(problem.start) > problem.gap(problem.optimum())
    True
    """

    reference_log_prob: FloatArray
    token_reward: FloatArray
    prompts: IntArray
    kl_coef: float = 1.0
    reward_coef: float = 1.0
    penalty: FloatArray | None = None
    prompt_prob: FloatArray | None = None
    features: FloatArray | None = None

    length = 1
    # The rows of a prompt change nothing of those of others, and the optimum is a tilt.
    scores_are_advantages = has_every_optimum = True
    is_noisy = False

    def __post_init__(self):
        keep_checked(self)
        prompts = np.asarray(self.prompts)
        n_rows = len(self.reference_log_prob)
        if prompts.shape != (n_rows,) or prompts.dtype.kind not in "iu" or prompts.min() < 0:
            raise ValueError(
                f"CandidateObjective needs prompts, the number of the prompt of each of {n_rows} "
                f"rows from 0, got shape {prompts.shape} of dtype {prompts.dtype}. Use "
                "np.unique(names, return_inverse=True)[1]."
            )
        n_prompts = int(prompts.max()) + 1
        object.__setattr__(self, "prompts", prompts.astype(np.intp))
        object.__setattr__(self, "features", check_features(self.features, n_rows))
        left = np.bincount(prompts, self.possible, n_prompts)
        if not left.all():
            raise ValueError(
                "CandidateObjective needs for each prompt a candidate that the reference can "
                f"produce at a finite penalty, but prompt {int(np.argmin(left))} has none. Ban "
                "fewer, or leave the prompt out."
            )
        mass = log_mass(self.reference_log_prob)  # raises where they sum to more than 1
        own = np.bincount(prompts, np.exp(self.reference_log_prob), n_prompts).astype(np.float64)
        given: Any = own / own.sum() if self.prompt_prob is None else self.prompt_prob
        shares = check_values(
            given, "prompt_prob", subject="CandidateObjective", shape=(n_prompts,), low=_TINY
        )
        if abs(shares.sum() - 1.0) > _SHARES_TOLERANCE:
            raise ValueError(
                f"CandidateObjective needs prompt_prob that sum to 1, got {shares.sum():.6g}."
            )
        object.__setattr__(self, "prompt_prob", shares)
        object.__setattr__(self, "reference_log_prob", self._of_shares(own, mass))

    def _of_shares(self, own: FloatArray, mass: float) -> FloatArray:
        """Return the reference (n_rows,) with its prompts, that have ``own``, as often as said."""
        shares: Any = self.prompt_prob
        far = np.abs(own / shares - 1.0)
        if mass >= 0:
            is_said = (far <= _SHARES_ROUNDING).all()
            return self.reference_log_prob if is_said else self._of_prompts(self.reference_log_prob)
        # What is missing was banned, of prompts that come up as often as said.
        if (own <= shares * (1.0 + _SHARES_TOLERANCE)).all():
            return self.reference_log_prob
        prompt = int(np.argmax(own / shares))
        raise ValueError(
            "CandidateObjective needs prompt_prob that are those of the reference where its "
            f"probabilities do not sum to 1, as of banned rows: they sum to {own.sum():.6g}, and "
            f"those of prompt {prompt} to {own[prompt]:.6g}, of which prompt_prob is "
            f"{shares[prompt]:.6g}. Ban rows by penalty=inf instead, or weigh the rows of each "
            "prompt by its prompt_prob."
        )

    def having(self, **values: Any) -> Self:
        """Return the same objective with other values of some fields.

        Other ``prompt_prob`` leave the reference of each prompt as it is, banned rows included.
        """
        shares = values.get("prompt_prob")
        if shares is not None and "reference_log_prob" not in values:
            own: Any = self.prompt_prob
            shares = check_values(
                shares, "prompt_prob", subject="CandidateObjective", shape=own.shape, low=_TINY
            )
            moved = (safe_log(shares / shares.sum()) - safe_log(own))[self.prompts]
            values["reference_log_prob"] = self.reference_log_prob + moved
        return super().having(**values)

    def moved(self, log_prob: FloatArray, change: FloatArray) -> FloatArray:
        """Return the policy (n_rows,) with a change (n_rows,) of each logit within its prompt."""
        return self._of_prompts(log_prob + change)

    def _check_shares(self, log_prob: Any) -> None:
        """Raise where a policy (n_rows,) has other probabilities of prompts than there are."""
        shares: Any = self.prompt_prob
        found = np.bincount(self.prompts, np.exp(log_prob), len(shares))
        far = np.abs(found - shares)
        if not far.max() <= _SHARES_TOLERANCE:
            prompt = int(np.argmax(far))
            raise ValueError(
                "CandidateObjective needs log_prob, a policy over prompts and responses whose "
                "probabilities sum to prompt_prob over the rows of each prompt, got "
                f"{found[prompt]:.6g} for prompt {prompt}, which comes up with {shares[prompt]:.6g}"
                ". Normalise it: objective.moved(log_prob, 0)."
            )

    @cached_property
    def possible(self) -> NDArray[np.bool_]:
        """Which rows (n_rows,) a policy of finite value can choose."""
        possible = np.isfinite(self.reference_log_prob)
        return possible if self.penalty is None else possible & np.isfinite(self.penalty)

    @cached_property
    def _log_mass(self) -> float:
        return log_mass(self.reference_log_prob)

    @cached_property
    def _log_shares(self) -> FloatArray:
        """Logarithm (n_rows,) of the probability of the prompt of each row."""
        assert self.prompt_prob is not None
        return safe_log(self.prompt_prob)[self.prompts]

    def _of_prompts(self, log_weights) -> FloatArray:
        """Return the policy (n_rows,) that has these log-weights within each prompt."""
        return normalize_log_within(log_weights, self.prompts) + self._log_shares

    def _expectation_within(self, log_prob, values) -> FloatArray:
        """Return the expected value (n_prompts,) of the candidates of each prompt."""
        within = np.exp(normalize_log_within(log_prob, self.prompts))
        values = np.where(within > 0, values, 0.0)
        return np.bincount(self.prompts, within * values).astype(np.float64)

    @property
    def start(self) -> FloatArray:
        """The reference policy (n_rows,), given that no banned candidate is chosen."""
        return self._of_prompts(np.where(self.possible, self.reference_log_prob, -np.inf))

    @cached_property
    def _weighed(self) -> FloatArray:
        """Reward (n_rows,) less that of the best candidate of the prompt; -inf for the banned.

        In units in which more is better, so that near the best all digits are kept.
        """
        possible, prompts = self.possible, self.prompts[self.possible]
        reward = self.token_reward[possible] * np.sign(self.reward_coef)
        best = np.full(int(self.prompts.max()) + 1, -np.inf)
        np.maximum.at(best, prompts, reward)
        weighed = np.full(len(self.token_reward), -np.inf)
        weighed[possible] = reward - best[prompts]
        return weighed

    @cached_property
    def _gain(self) -> FloatArray:
        """What tilts the reference (n_rows,), at most 0, in nats."""
        possible = self.possible
        gain = np.full(len(self.token_reward), -np.inf)
        gain[possible] = in_nats(
            self._weighed[possible],
            abs(self.reward_coef),
            self.kl_coef,
            subject="CandidateObjective",
        )
        if self.penalty is not None:
            gain[possible] -= self.penalty[possible]
        return gain

    @cached_property
    def _optimum(self) -> FloatArray:
        return self._of_prompts(self.reference_log_prob + self._gain)

    def optimum(self) -> FloatArray:
        """Return the log-probabilities (n_rows,) of the one policy that maximises the objective."""
        return self._optimum.copy()

    @takes_choice
    def stiffness(self, log_prob: FloatArray) -> FloatArray:
        """Return what a unit of each logit (n_rows,) costs a row, which is ``kl_coef``."""
        return np.full_like(log_prob, self.kl_coef)

    def project(self, move: FloatArray, weight: FloatArray) -> FloatArray:
        """Return the direction (n_rows,) nearest to another that log-linear policies can move in.

        By weighted least squares within prompts. Any direction is one where there are no features.
        """
        if self.features is None:
            return move
        n_prompts = int(self.prompts.max()) + 1
        total = np.bincount(self.prompts, weight, n_prompts)
        root = np.sqrt(weight)

        def center(values):
            sums = np.bincount(self.prompts, weight * values, n_prompts)
            return values - (sums / total)[self.prompts]

        design = np.column_stack([center(column) for column in self.features.T])
        theta = np.linalg.lstsq(root[:, np.newaxis] * design, root * center(move), rcond=None)[0]
        return self.features @ theta

    def kl_coef_grid(self, n_points: int = 50) -> FloatArray:
        """Return falling ``kl_coef`` (n_points,) that cover the frontier, from near the reference.

        They go from 100 to 0.01 times the standard deviation of the weighted reward within prompts.
        """
        n_points = check_number(n_points, "n_points", subject=type(self).__name__, interval=COUNT)
        weighted = self.reward_coef * self.token_reward
        mean = self._expectation_within(self.start, weighted)
        scale = reward_spread(self.start, weighted - mean[self.prompts])
        return scale * np.geomspace(100.0, 0.01, n_points)

    def kl_coef_for_kl(self, target_kl: float) -> float:
        """Return the ``kl_coef`` whose optimum is ``target_kl`` nats from the reference.

        Parameters
        ----------
        target_kl : float
            KL(policy || reference), a mean over prompts, in nats.

        Returns
        -------
        kl_coef : float

        Raises
        ------
        ValueError
            If no optimum is that far: the least is what penalties and bans cost alone, the most
            what is left where only the best candidates are.
        """
        unmoved = np.zeros_like(self.token_reward)
        limits = self._kl_of_optimum(token_reward=unmoved), self._largest_kl()
        guess = float(self.kl_coef_grid(3)[1])
        return find_kl_coef(
            lambda kl_coef: self._kl_of_optimum(kl_coef=kl_coef), target_kl, limits, guess
        )

    def _kl_of_optimum(self, **changed: Any) -> float:
        """Return the KL of the optimum with other values of some fields."""
        objective = self.having(**changed)
        return objective.kl(objective.optimum())

    def _largest_kl(self) -> float:
        """Return the KL where only the candidates of greatest reward are left."""
        beaten = self._weighed < 0
        penalty = np.zeros_like(self.token_reward) if self.penalty is None else self.penalty
        return self._kl_of_optimum(
            token_reward=np.zeros_like(self.token_reward), penalty=np.where(beaten, np.inf, penalty)
        )

    @takes_choice
    def value(self, log_prob: FloatArray) -> float:
        """Return the objective J of a policy, given by its log-probabilities (n_rows,)."""
        cost = self.kl(log_prob) + self.expected_penalty(log_prob)
        return self.reward_coef * self.expected_reward(log_prob) - self.kl_coef * cost

    @takes_choice
    def gap(self, log_prob: FloatArray) -> float:
        """Return J* - J(policy) >= 0, how far a policy is from the best, without cancellation."""
        return self.kl_coef * close_kl(log_prob, self._optimum)

    @takes_choice
    def kl(self, log_prob: FloatArray) -> float:
        """Return KL(policy || reference), a mean over prompts, in nats."""
        return reference_kl(log_prob, self.reference_log_prob, self._log_mass)

    @takes_choice
    def entropy(self, log_prob: FloatArray) -> float:
        """Return the entropy of the response given its prompt, a mean over prompts, in nats."""
        assert self.prompt_prob is not None
        return entropy(log_prob) - entropy(safe_log(self.prompt_prob))

    def sft_loss(self, log_prob: FloatArray) -> float:
        """Return 0, as there are no demonstrations."""
        return 0.0

    @takes_choice
    def expected_length(self, log_prob: FloatArray) -> float:
        """Return 1: a document is a row."""
        return 1.0

    @takes_choice
    def expected_reward(self, log_prob: FloatArray) -> float:
        """Return E[r], unweighted, a mean over prompts."""
        return expectation(log_prob, self.token_reward)

    @takes_choice
    def expected_penalty(self, log_prob: FloatArray) -> float:
        """Return the expected rule penalty, in nats."""
        return 0.0 if self.penalty is None else expectation(log_prob, self.penalty)

    @takes_choice
    def expected_sum(self, log_prob: FloatArray, values: FloatArray) -> float:
        """Return the expected value (n_rows,) of a row."""
        return expectation(log_prob, values)

    @takes_choice
    def rate_of_any(self, log_prob: FloatArray, marked: np.ndarray) -> float:
        """Return the probability of the marked rows, a mask (n_rows,)."""
        return float(np.exp(log_prob[marked > 0]).sum())

    @takes_choice
    def moments(self, log_prob: FloatArray, values: FloatArray) -> tuple[float, float]:
        """Return mean and standard deviation of the value (n_rows,) of a row."""
        mean = expectation(log_prob, values)
        return mean, root_mean_square(values - mean, np.exp(log_prob))

    @takes_choice
    def covariance(self, log_prob: FloatArray, values: FloatArray, others: FloatArray) -> float:
        """Return the covariance of two values (n_rows,) of a row."""
        return covariance_of_tokens(np.exp(log_prob), values, others)

    def sample(
        self,
        log_prob: FloatArray,
        n_documents: int,
        rng: np.random.RandomState,
        *,
        names: np.ndarray | None = None,
        max_length: int | None = None,
    ) -> Rollouts:
        """Draw rows: prompts, with a response each, as documents of one token."""
        return sample_rollouts(log_prob, n_documents, rng, length=1, names=names)

    @property
    def is_log_linear(self) -> bool:
        """Whether policies move in directions of the features alone."""
        return self.features is not None

    @property
    def forks(self) -> IntArray:
        """The prompt (n_rows,) of each row."""
        return self.prompts

    def sample_groups(
        self,
        log_prob: FloatArray,
        n_groups: int,
        size: int,
        rng: np.random.RandomState,
        *,
        names: np.ndarray | None = None,
        max_length: int | None = None,
    ) -> Rollouts:
        """Draw rows, those of a group of the same prompt, as documents of one token."""
        shares: Any = self.prompt_prob
        asked = np.repeat(rng.choice(len(shares), n_groups, p=shares / shares.sum()), size)
        order = np.argsort(self.prompts, kind="stable")
        within = np.exp(normalize_log_within(log_prob, self.prompts))[order]
        # Prompt x has the numbers from x to x + 1.
        ends = np.cumsum(np.bincount(self.prompts))
        reached = np.cumsum(within)
        before = np.concatenate([[0.0], reached[ends - 1][:-1]])[self.prompts[order]]
        position = self.prompts[order] + np.minimum(reached - before, 1.0)
        last = np.flatnonzero(within > 0)
        position, order = position[last], order[last]
        is_end = np.append(np.diff(self.prompts[order]) > 0, True)
        position[is_end] = self.prompts[order][is_end] + 1.0
        drawn = asked + rng.random_sample(len(asked))
        rows = order[np.searchsorted(position, drawn, side="right")]
        return Rollouts(rows, np.ones(len(rows), dtype=np.intp), len(log_prob), names)

    @takes_choice
    def token_scores(self, log_prob: FloatArray) -> FloatArray:
        """Return the shaped reward (n_rows,) of each row: its score less that of its prompt, and J.

        What the rows of a prompt have in common is in no gradient, as prompts are not chosen.
        """
        drawn = np.isfinite(log_prob) & self.possible
        scores = np.zeros_like(log_prob)
        ratio = self.reference_log_prob[drawn] + self._gain[drawn] - log_prob[drawn]
        scores[drawn] = self.kl_coef * ratio
        mean = self._expectation_within(log_prob, scores)
        scores -= mean[self.prompts]
        return scores + self.value(log_prob)

    def token_advantages(
        self, log_prob: FloatArray, rollouts: Rollouts, scores: FloatArray, value: float
    ) -> FloatArray:
        """Return the score of each row drawn (n_documents,)."""
        return scores[rollouts.tokens]
