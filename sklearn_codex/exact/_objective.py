"""The one interface by which optimisers know what they optimise."""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray, IntArray, normalize_log
from sklearn_codex._checks.numbers import check_values
from sklearn_codex._plain import show_fields
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.exact._settings import changed
from sklearn_codex.exact._trust_region import trust_region_scale


class Objective(ABC):
    r"""What is optimised over one family of policies, as far as it adds over tokens.

    Optimisers, prices and certificates ask an objective what they need of documents and policies,
    and never of what kind it is: a new family of policies is one more class. It is a frozen
    dataclass with the fields below. A policy, ``log_prob``, is an array of log-probabilities (V,)
    of what documents are made of, its *tokens*; those that it never draws are at ``-inf``.

    Attributes
    ----------
    reference_log_prob : ndarray of shape (V,)
        The reference policy; what is banned is at ``-inf``, and the rest is not normalised again.
    token_reward : ndarray of shape (V,)
        Reward of each token; 0 where the reward does not add.
    kl_coef : float
        Weight of the KL from the reference, per nat of a document.
    reward_coef : float
        Weight of the reward.
    penalty : ndarray of shape (V,) or None
        Rule penalty of each token, in nats of KL.
    sft_coef : float
        Weight of the demonstrations' cross-entropy, per nat a token.
    frequencies : ndarray of shape (V,) or None
        Token frequencies of the demonstrations.
    length : int or None
        Tokens of every document, of which each can be exchanged for any other; None in all other
        cases.
    max_length : int or None
        Tokens at which a document is cut that has not ended by itself; None where none is.
    missing_eos_penalty : float
        What a document that was cut loses.

    Notes
    -----
    The *shaped reward* of a document is the sum of its :meth:`token_scores`, less
    ``missing_eos_penalty`` where it was cut. Its policy gradient is that of J and, without
    demonstrations, its mean over documents of the policy is J.
    """

    reference_log_prob: FloatArray
    token_reward: FloatArray
    kl_coef: float
    reward_coef: float
    penalty: FloatArray | None = None
    sft_coef: float = 0.0
    frequencies: FloatArray | None = None
    length: int | None = None
    max_length: int | None = None
    missing_eos_penalty: float = 0.0

    def __repr__(self):
        return show_fields(self)

    def having(self, **values: Any) -> Self:
        """Return the same objective with other values of some fields, which alone are checked."""
        return changed(self, values)

    # What kind of problem it is

    @property
    def temperature(self) -> float:
        """What a nat of the policy's own log-probability costs."""
        return self.kl_coef

    @property
    def longest(self) -> int | None:
        """Tokens of the longest document, None where there is no bound."""
        return self.length if self.max_length is None else self.max_length

    @property
    def length_explodes(self) -> bool:
        """Whether, without a bound, no document would be long enough."""
        return False

    def explain_explosion(self, subject: str) -> str:
        """Return in words why, where length explodes, and what helps."""
        return ""

    def _smallest_kl_coef(self) -> float:
        """Return the ``kl_coef`` above which there is an optimum."""
        return 0.0

    @property
    def scores_are_advantages(self) -> bool:
        """Whether the score of a token is its advantage, as it changes nothing else."""
        return False

    @property
    def is_noisy(self) -> bool:
        """Whether the shaped reward of documents varies at the optimum, demonstrations apart.

        It does not where the optimum is the best distribution over whole documents, the tilted
        reference.
        """
        return True

    @property
    def has_optimum(self) -> bool:
        """Whether :meth:`optimum` knows the best policy."""
        return True

    @property
    def gap_is_bound(self) -> bool:
        """Whether :meth:`gap` may stay above 0 at the best policy of the family."""
        return False

    @property
    def has_every_optimum(self) -> bool:
        """Whether there is one best policy for every token reward.

        Then a token reward that is learned stands for a policy.
        """
        return False

    @property
    def is_log_linear(self) -> bool:
        """Whether policies move in some directions only, see :meth:`project`."""
        return False

    @property
    def forks(self) -> IntArray:
        """What each token (V,) is a choice after, numbered from 0: here they all share a start."""
        return np.zeros(len(self.reference_log_prob), dtype=np.intp)

    # Policies

    def of_tokens(self, values: FloatArray) -> FloatArray:
        """Return what documents are made of (V,) by the values of the tokens they are read as."""
        return values

    def knows(self, ngrams: IntArray) -> NDArray[np.bool_]:
        """Return which n-grams (n,) documents are seen to have by what they are made of.

        Parameters
        ----------
        ngrams : ndarray of int of shape (n, k)
            Their tokens, behind -1 where they are shorter, -2 being the start of a document.
        """
        return np.all(ngrams[:, :-1] == -1, axis=1)

    def of_ngrams(self, ngrams: IntArray, amounts: FloatArray) -> FloatArray:
        """Return what documents are made of (V,) by amounts (n,) of n-grams that it ends with.

        Parameters
        ----------
        ngrams : ndarray of int of shape (n, k)
            As of :meth:`knows`, all of them known.
        amounts : ndarray of shape (n,)
            Amounts of these.
        """
        total = np.zeros(len(self.reference_log_prob))
        np.add.at(total, ngrams[:, -1], amounts)
        return total

    def can_avoid(self, marked: NDArray[np.bool_]) -> bool:
        """Return whether the reference draws documents without any marked token, a mask (V,)."""
        return not np.all(marked[np.isfinite(self.reference_log_prob)])

    @property
    def n_features(self) -> int:
        """What a linear forecast of rewards counts, see ``Rollouts.features``."""
        return len(self.reference_log_prob)

    def of_features(self, values: FloatArray) -> FloatArray:
        """Return what a linear forecast gives the columns of a policy (V,)."""
        return values

    @property
    @abstractmethod
    def start(self) -> FloatArray:
        """The reference policy (V,), given that nothing that is banned is produced."""

    @property
    def even(self) -> FloatArray | None:
        """The policy (V,) that draws all that the reference can as often, None where there is none.

        Its documents may have what those of the reference hardly ever do.
        """
        return normalize_log(np.where(np.isfinite(self.start), 0.0, -np.inf))

    @abstractmethod
    def optimum(self) -> FloatArray:
        """Return the policy (V,) that maximises the objective."""

    def best_found(self) -> FloatArray:
        """Return the best policy (V,) that is known: :meth:`optimum`, where there is one."""
        return self.optimum()

    @abstractmethod
    def stiffness(self, log_prob: FloatArray) -> FloatArray:
        """Return what a unit of each logit (V,) costs a token, in units of the objective."""

    def project(self, move: FloatArray, weight: FloatArray) -> FloatArray:
        """Return the direction (V,) nearest to another in which policies of the family can move.

        Parameters
        ----------
        move : ndarray of shape (V,)
            Change of a learned token reward, or of logits.
        weight : ndarray of shape (V,)
            What a squared difference of each token counts, above 0.
        """
        return move

    def moved(self, log_prob: FloatArray, change: FloatArray) -> FloatArray:
        """Return the policy (V,) with a change (V,) of each logit; it may be ``-inf``."""
        return normalize_log(log_prob + change)

    def occurrences(self, log_prob: FloatArray, n_documents: float = 1.0) -> FloatArray:
        """Return the expected occurrences (V,) of each token in so many documents of a policy."""
        return n_documents * self.expected_length(log_prob) * np.exp(log_prob)

    # How training moves them

    @property
    def sees_contexts(self) -> bool:
        """Whether what a policy draws depends on the tokens before."""
        return False

    @property
    def n_parameters(self) -> int:
        """Numbers of a policy that documents have much to do with."""
        return len(self.reference_log_prob)

    def place(self, log_prob: FloatArray) -> FloatArray:
        """Return where a policy is, as numbers (V,) of which means are taken."""
        return np.exp(log_prob)

    def policy_at(self, place: FloatArray) -> FloatArray:
        """Return the policy (V,) at a mean of places (V,)."""
        with np.errstate(divide="ignore"):
            return normalize_log(np.log(place))

    def policy_gradient(
        self, log_prob: FloatArray, rollouts: Rollouts, weight: FloatArray
    ) -> FloatArray:
        """Return the gradient (V,) by the logits of a sum of log-probabilities of what was drawn.

        Parameters
        ----------
        log_prob : ndarray of shape (V,)
            The policy.
        rollouts : Rollouts
            Documents, of any policy.
        weight : ndarray of shape (n_draws,)
            What each draw counts in the sum, see ``Rollouts.collect``.
        """
        return weight - np.exp(log_prob) * weight.sum()

    def demonstrations_gradient(self, log_prob: FloatArray) -> FloatArray | None:
        """Return the gradient (V,) by the logits of what demonstrations add to J.

        None where they are in :meth:`token_scores`, or there are none.
        """
        return None

    def curvature(self, log_prob: FloatArray) -> FloatArray:
        """Return what a unit of each logit (V,) costs a document, twice, to second order."""
        return self.temperature * self.occurrences(log_prob)

    def natural_step(
        self,
        gradient: FloatArray,
        log_prob: FloatArray,
        rollouts: Rollouts | None,
        *,
        occurrences: FloatArray,
        damping: float,
    ) -> FloatArray:
        """Return the step (V,) in units of reward that a gradient summed over documents asks for.

        It is linear in the gradient.

        Parameters
        ----------
        gradient : ndarray of shape (V,)
            Gradient by the logits.
        log_prob : ndarray of shape (V,)
            The policy that the documents were drawn from.
        rollouts : Rollouts or None
            The documents; None will do where tokens are drawn independently.
        occurrences : ndarray of shape (V,)
            What is expected of them, :meth:`occurrences` of as many.
        damping : float
            Occurrences added to those of each token, so that rare ones move slowly.
        """
        return gradient / (occurrences + damping)

    def context_values(self, log_prob: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """Return the shaped reward to come (C,) from contexts, and visits (C,) of a document.

        None where policies see no contexts, or what is to come depends on more than these.
        """
        return None

    def trust_region_scale(self, log_prob: FloatArray, step: FloatArray, target_kl: float) -> float:
        """Return the factor at most 1 that keeps a step (V,) of the logits in a trust region.

        Parameters
        ----------
        log_prob : ndarray of shape (V,)
            The policy that is moved.
        step : ndarray of shape (V,)
            Change of each logit.
        target_kl : float
            Nats that a document's distribution may move.
        """
        return trust_region_scale(step, np.exp(log_prob), self.expected_length(log_prob), target_kl)

    @abstractmethod
    def kl_coef_grid(self, n_points: int = 50) -> FloatArray:
        """Return falling ``kl_coef`` (n_points,) whose optima go from the reference to far off."""

    def frontier(self, kl_coefs: ArrayLike | None = None) -> Bunch:
        """Return the best expected reward at each KL, one optimum for each ``kl_coef``.

        Parameters
        ----------
        kl_coefs : array-like of shape (n_points,), default=None
            Weights of the KL; None means :meth:`kl_coef_grid`.

        Returns
        -------
        frontier : Bunch
            ``kl_coef``, ``kl`` (nats per document) and ``expected_reward`` (per document), arrays
            of shape (n_points,), by falling ``kl_coef``.
        """
        subject = type(self).__name__
        given = self.kl_coef_grid() if kl_coefs is None else kl_coefs
        grid = np.sort(check_values(given, "kl_coefs", subject=subject))[::-1]
        if not grid.size:
            raise ValueError(f"{subject} needs kl_coefs, at least one, got none.")
        kl, reward = np.empty_like(grid), np.empty_like(grid)
        for i, kl_coef in enumerate(grid):
            problem = self.having(kl_coef=float(kl_coef))
            best = problem.optimum()
            kl[i], reward[i] = problem.kl(best), problem.expected_reward(best)
        return Bunch(kl_coef=grid, kl=kl, expected_reward=reward)

    # The value of a policy, and its parts, for a document

    @abstractmethod
    def value(self, log_prob: FloatArray) -> float:
        """Return the objective J."""

    @abstractmethod
    def gap(self, log_prob: FloatArray) -> float:
        """Return J* - J >= 0, without cancellation."""

    @abstractmethod
    def kl(self, log_prob: FloatArray) -> float:
        """Return KL(policy || reference), in nats."""

    @abstractmethod
    def entropy(self, log_prob: FloatArray) -> float:
        """Return the entropy, in nats."""

    @abstractmethod
    def sft_loss(self, log_prob: FloatArray) -> float:
        """Return CE(demonstrations, policy) in nats per token; 0 without demonstrations."""

    @abstractmethod
    def expected_length(self, log_prob: FloatArray) -> float:
        """Return the expected tokens."""

    @abstractmethod
    def expected_reward(self, log_prob: FloatArray) -> float:
        """Return E[R], unweighted."""

    @abstractmethod
    def expected_penalty(self, log_prob: FloatArray) -> float:
        """Return the expected rule penalty, in nats."""

    @abstractmethod
    def expected_sum(self, log_prob: FloatArray, values: FloatArray) -> float:
        """Return the expected sum of values (V,) of its tokens."""

    @abstractmethod
    def rate_of_any(self, log_prob: FloatArray, marked: np.ndarray) -> float:
        """Return the share of documents that have any of the marked tokens, a mask (V,)."""

    def missing_eos_rate(self, log_prob: FloatArray) -> float:
        """Return the share of documents that are cut before they end."""
        return 0.0

    def moments(self, log_prob: FloatArray, values: FloatArray) -> tuple[float, float] | None:
        """Return mean and standard deviation of the sum of values (V,) of a document's tokens.

        None where they are taken from documents.
        """
        return None

    def covariance(self, log_prob: FloatArray, values: FloatArray, others: FloatArray) -> float:
        """Return the covariance over documents of two sums, of values (V,) and of others (V,).

        NaN where only documents tell.
        """
        return float("nan")

    def chance_budget(self, max_rate: float) -> float | None:
        """Return the expected marked tokens of a document at which ``max_rate`` have any.

        None where that depends on the policy.
        """
        return None

    # Documents

    @abstractmethod
    def sample(
        self,
        log_prob: FloatArray,
        n_documents: int,
        rng: np.random.RandomState,
        *,
        names: np.ndarray | None = None,
        max_length: int | None = None,
    ) -> Rollouts:
        """Draw documents of a policy.

        Parameters
        ----------
        log_prob : ndarray of shape (V,)
            The policy.
        n_documents : int
            How many documents.
        rng : RandomState
            Source of all draws.
        names : ndarray of shape (V,), default=None
            Names of tokens.
        max_length : int, default=None
            Tokens at which a document is cut that ends by itself, if the objective's own does not
            come first; None means far beyond any mean length at which training is of use.
        """

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
        """Draw documents (n_groups * size,) of a policy, those of a group after the same start.

        Parameters
        ----------
        log_prob : ndarray of shape (V,)
            The policy.
        n_groups, size : int
            How many groups, and of how many documents each, one group after the other.
        rng, names, max_length
            As of :meth:`sample`.
        """
        return self.sample(log_prob, n_groups * size, rng, names=names, max_length=max_length)

    @abstractmethod
    def token_scores(self, log_prob: FloatArray) -> FloatArray:
        """Return the shaped reward (V,) of each token, whose policy gradient is that of J."""

    @abstractmethod
    def token_advantages(
        self, log_prob: FloatArray, rollouts: Rollouts, scores: FloatArray, value: float
    ) -> FloatArray:
        """Return what each token drawn (n_tokens,) adds to the shaped reward that is expected.

        Up to a constant.

        Parameters
        ----------
        log_prob : ndarray of shape (V,)
            The policy.
        rollouts : Rollouts
            Documents drawn from it.
        scores : ndarray of shape (V,)
            Its :meth:`token_scores`.
        value : float
            Mean shaped reward of the documents.
        """
