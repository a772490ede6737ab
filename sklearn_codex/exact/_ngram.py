"""The optimum over policies that see the tokens before: back-off models of any order."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_number
from sklearn_codex._fits import caller_level
from sklearn_codex.exact._additive import AdditiveObjective
from sklearn_codex.exact._eos import EosObjective
from sklearn_codex.exact._eos_length import LengthExplosionError
from sklearn_codex.exact._ngram_ascent import Ascent, climb, stationary_optimum
from sklearn_codex.exact._ngram_events import takes_policies
from sklearn_codex.exact._ngram_kernel import ContextKernel
from sklearn_codex.exact._ngram_models import trie_of_model
from sklearn_codex.exact._ngram_positions import NGramPositions
from sklearn_codex.exact._ngram_search import (
    Worth,
    best_events,
    best_value,
    gap_by_position,
    value_by_position,
    weighted,
)

_EPS = np.finfo(np.float64).eps
# Nats that a document that is cut loses, from which on the best policy is followed up to many, by
# which factor and in steps that gain how many nats; beyond the last all are one.
_MILD, _LESS, _NEAR, _HARSHEST = 10.0, 4.0, 1e-3, 1e12


@dataclass(frozen=True, repr=False)
class NGramObjective(NGramPositions):
    r"""The objective of policy optimisation over back-off n-gram models, and its optimum.

    A document is drawn token by token, each given the longest context of the trie that the tokens
    before it end with, until ``eos``. What other objectives call a token is here an *event*: an arc
    used, a context backed off from, the context that a document ends in. A policy is the vector of
    their log-probabilities (E,), in which that of a document is linear in its event counts; those
    of ends are 0. Rewards and penalties add over events. A trie of order 1 has its tokens as
    events, and everything is as in :class:`EosObjective`.

    Parameters
    ----------
    reference_log_prob : ndarray of shape (E,)
        The reference policy, ``event_log_prob`` of a back-off model. An arc at ``-inf`` is banned:
        the token after its context, which no back-off replaces.
    token_reward : ndarray of shape (E,)
        Reward of each event, see :func:`arc_reward`; 0 for ends.
    trie : Trie
        The contexts and arcs of the reference.
    kl_coef : float, default=1.0
        Weight b > 0 of the KL divergence, per nat of a document.
    reward_coef : float, default=1.0
        Weight of the reward.
    penalty : ndarray of shape (E,), default=None
        Rule penalty c >= 0 of each event, in nats of KL; None means 0, ``inf`` is a ban.
    sft_coef : float, default=0.0
        Weight a of the demonstrations' cross-entropy, per nat a token. With it, there is no exact
        optimum but for order 1, and :meth:`gap` is a bound.
    frequencies : ndarray of shape (E,), default=None
        Events of the demonstrations per token, needed where ``sft_coef`` > 0.
    max_length : int, default=None
        Tokens, ``eos`` included, at which a document is cut; None means never. A trie without an
        end-of-sequence token needs it, and has documents of this length.
    missing_eos_penalty : float, default=0.0
        What the objective loses for a document that was cut, m.
    entropy_coef : float, default=0.0
        Weight of the entropy of a document, in nats.
    initial : ndarray of shape (C,), default=None
        How often documents start in each context, as after prompts; None means the start of a
        document.

    Raises
    ------
    ValueError
        If shapes or numbers do not fit, or no document can end.

    See Also
    --------
    EosObjective : The same for policies of independent tokens.
    bigram_model : A reference of order 2 from the probabilities of the next token.

    Notes
    -----
    With the temperature :math:`\tau`, kl_coef and entropy_coef together, and exponents
    :math:`x_e = (b \log ref_e + \rho w_e - b c_e) / \tau` of events, the weight of all documents
    that begin in context h is, with h' the context without its first token and z = 1 after the
    end,

    .. math::

        g(h, w) &= e^{x(h, w)} z(next(h, w)) \\
        z(h) &= \sum_{w \in h} g(h, w) + e^{x(h)} \Big(z(h') - \sum_{w \in h} g(h', w)\Big),

    one linear equation a context [1]_ [2]_. The optimum is in the family: its arcs have
    :math:`g(h, w) / z(h)`, its back-off weights are :math:`e^{x(h)} z(h') / z(h)`. Then
    :math:`J^* = \tau \log z(start)` and :math:`J^* - J(\pi) = \tau\, KL(\pi \| \pi^*)`, which
    :meth:`gap` computes without cancellation. There is a solution where the spectral radius of the
    equation is below 1; else length explodes.

    The equation is solved by BiCGSTAB after a pass from short contexts to long ones, which takes
    up to a few hundred products of A terms, then by Newton's method in the logarithms to rounding;
    what is left is checked. Expected events of a policy follow from the transposed equation, to a
    relative residual of 1e-10 or less.

    *With a maximal length* the best policy of all looks at the position
    (:meth:`time_dependent_optimum`), and :meth:`gap` is the distance to it: an upper bound of what
    is left to gain by policies that do not. :meth:`optimum` then is the best of these that
    quasi-Newton steps find, not more than a local maximum, followed from a small
    ``missing_eos_penalty`` where that is large. Of order 1 both are exact, and those
    of :class:`EosObjective`, or, without ``eos``, of :class:`AdditiveObjective`. Values,
    divergences, expectations, :meth:`marginals` and :meth:`sample` take policies that look at the
    position too, as arrays (max_length, E). Far from the end the best of them hardly changes
    (:meth:`infinite_horizon_optimum`).

    *With demonstrations* (order 2 and more) the gap is bounded by that of the objective without
    them, and a times what their cross-entropy could gain by itself. The best policy of
    :meth:`best_found` is a local maximum.

    References
    ----------
    .. [1] Todorov, E. (2006). "Linearly-solvable Markov decision problems." NeurIPS 19.
    .. [2] Chen, S. F. and Goodman, J. (1999). "An empirical study of smoothing techniques for
       language modeling." Computer Speech and Language 13(4), 359-394.

    Examples
    --------
    Two tokens and ``eos``, where a reward for "b" after "a" teaches the policy to write "a" first:

    >>> import numpy as np
    >>> from sklearn_codex import NGramCounter, NGramLM
    >>> from sklearn_codex.exact import NGramObjective, arc_reward
    >>> counter = NGramCounter(order=2, unk_token=None, eos_token="</s>")
    >>> model = NGramLM(smoothing="dirichlet", prior_strength=2.0, vectorizer=counter)
    >>> model = model.fit(["a b", "b a", "b"])
    >>> problem = NGramObjective.of_model(model, arc_reward(model, {"a b": 1.0}))
    >>> best = problem.policy_model(problem.optimum())
    >>> first = np.array([problem.trie.first_context])
    >>> for policy in (model.backoff_model_, best):  # </s>, a, b at the start of a document
    ...     np.exp(policy.next_log_prob(first)).round(3)
    array([[0.147, 0.307, 0.547]])
    array([[0.079, 0.445, 0.475]])
    >>> round(problem.gap(problem.start), 4) == round(
    ...     problem.value(problem.optimum()) - problem.value(problem.start), 4
    ... )
    True
    """

    @classmethod
    def of_model(
        cls, model: Any, token_reward: ArrayLike | None = None, **settings: Any
    ) -> "NGramObjective":
        """Return the objective whose reference is a back-off model.

        Parameters
        ----------
        model : NGramLM or SFTRefiner, fitted, or BackoffModel
        token_reward : array-like of shape (E,), default=None
            Reward of each event, see :func:`arc_reward`; None means 0.
        **settings
            Other parameters.

        Raises
        ------
        TypeError
            If it is no model of n-grams.
        """
        trie = trie_of_model(model, subject="NGramObjective.of_model")
        backoff = getattr(model, "backoff_model_", model)
        reward: Any = np.zeros(trie.n_events) if token_reward is None else token_reward
        return cls(backoff.event_log_prob, reward, trie, **settings)

    @property
    def is_noisy(self) -> bool:
        """Whether documents are cut or demonstrations pull: else it is the tilted reference."""
        return self.max_length is not None or self.sft_coef > 0

    @property
    def gap_is_bound(self) -> bool:
        """Whether :meth:`gap` is only an upper bound: the best policy may look at the position."""
        return self.is_noisy and self._of_one_context is None

    @property
    def has_optimum(self) -> bool:
        """Whether the best policy is known: not with demonstrations, of order 2 and more."""
        return self.sft_coef == 0 or self._of_one_context is not None

    @cached_property
    def start(self) -> FloatArray:
        """The reference policy (E,), rows that lost tokens by a ban normalised again."""
        kernel = ContextKernel(self.trie, self.reference_log_prob)
        sums = kernel.log_sums()
        if self._reference_mass is None and np.isfinite(sums).all():
            return self.reference_log_prob
        # Where nothing is possible, documents are not let in.
        goes_on = np.isfinite(sums)
        while True:
            log_after = np.where(np.append(goes_on, True)[self.trie.next], 0.0, -np.inf)
            still = np.isfinite(kernel.log_sums(log_after))
            if np.array_equal(still, goes_on):
                return best_events(kernel, log_after, self.reference_log_prob)
            goes_on = still

    # The optimum

    @cached_property
    def _of_one_context(self) -> EosObjective | AdditiveObjective | None:
        """The same objective of order 1 where that has more answers, else None."""
        trie = self.trie
        is_more = self.max_length is not None or self.sft_coef > 0
        if trie.n_contexts > 1 or not is_more:
            return None
        given = {
            name: getattr(self, name)
            for name in ("kl_coef", "reward_coef", "penalty", "sft_coef", "frequencies")
        }
        reference, reward = self.reference_log_prob, self.token_reward
        if trie.eos < 0:
            assert self.max_length is not None
            return AdditiveObjective(
                reference, reward, self.max_length, entropy_coef=self.entropy_coef, **given
            )
        if self.entropy_coef > 0:
            return None
        given["max_length"], given["missing_eos_penalty"] = (
            self.max_length,
            self.missing_eos_penalty,
        )
        return EosObjective(reference, reward, trie.eos, **given)

    @cached_property
    def _tilted(self) -> FloatArray:
        """The best policy (E,) of documents that are never cut, without demonstrations."""
        return best_events(self.kernel, self.kernel.after(self._log_worth), self.start)

    @cached_property
    def _optimum(self) -> Ascent:
        one = self._of_one_context
        if one is not None:
            return Ascent(one.optimum())
        if self.sft_coef > 0:
            raise ValueError(
                f"{type(self).__name__} has no exact optimum with demonstrations, got sft_coef="
                f"{self.sft_coef:g}: no back-off model solves its equations. Leave them out and "
                "refine the reference by them (SFTRefiner), or take best_found(), and gap, which "
                "bounds what is left."
            )
        if self.max_length is None:
            return Ascent(self._tilted)
        starts = [self.start, self._at_half_length()]
        if self._never_cut is not None:
            starts.append(self._never_cut.optimum())
        return stationary_optimum(self, starts, self.optimal_value(), self._at_lower_penalty())

    def _at_lower_penalty(self):
        """Return the best policy where documents that are cut lose less; None where it is little.

        Where they lose much, the way up from elsewhere leads to documents that end at once.
        """
        unit = self.temperature
        least, most = _MILD * unit, min(self.missing_eos_penalty / _LESS, _HARSHEST * unit)
        if self.trie.eos < 0 or self.missing_eos_penalty <= least:
            return None
        policy = self.having(missing_eos_penalty=least)._optimum.policy
        penalty = _LESS * least
        while penalty <= most:
            there = self.having(missing_eos_penalty=penalty)
            policy, penalty = climb(there, policy, _NEAR * unit).policy, _LESS * penalty
        return policy

    def _at_half_length(self):
        """Return what the best policy of documents that are cut does half way."""
        assert self.max_length is not None
        return self._worth_by_position.best(self.max_length // 2 + 1, self.start)

    @cached_property
    def _worth_by_position(self) -> Worth:
        return Worth.of(self)

    def optimum(self) -> FloatArray:
        """Return the log-probabilities (E,) of the best policy.

        With a maximal length the best that is found of those that are the same at all positions.

        Raises
        ------
        LengthExplosionError
            If there is none, as the spectral radius is 1 or more and documents are never cut; the
            message names the smallest safe kl_coef.
        ValueError
            If there are demonstrations, of order 2 and more.

        Warns
        -----
        ConvergenceWarning
            If the search for it ran out of steps.
        """
        return self._reached(self._optimum)

    def best_found(self) -> FloatArray:
        """Return the log-probabilities (E,) of the best policy that is found.

        Of :meth:`optimum`, where that knows one. With demonstrations, of order 2 and more, where
        quasi-Newton steps end, from the reference and from the best policy without demonstrations:
        a local maximum, which :meth:`gap` says how much may be missing of.

        Raises
        ------
        LengthExplosionError
            If there is none without demonstrations.

        Warns
        -----
        ConvergenceWarning
            If the search for it ran out of steps.
        """
        return self._reached(self._optimum if self.has_optimum else self._found_with_demonstrations)

    def _reached(self, ascent):
        """Return the policy (E,) that a search ended at; warn where it was not at its end."""
        if ascent.left > 0:
            warnings.warn(
                f"{type(self).__name__} with max_length={self.max_length}, missing_eos_penalty="
                f"{self.missing_eos_penalty:g} and kl_coef={self.kl_coef:g} ran out of steps on "
                f"the way to the best policy: the next was to gain {ascent.left:.3g}, and gap() "
                "bounds what is missing. Raise kl_coef, or scale the reward, the penalties of "
                "rules and missing_eos_penalty down.",
                ConvergenceWarning,
                stacklevel=caller_level(),
            )
        return ascent.policy.copy()

    @cached_property
    def _found_with_demonstrations(self):
        without = self.having(sft_coef=0.0)._optimum.policy
        bound = self.value(without) + self.gap(without)
        ends = [stationary_optimum(self, [start], bound) for start in (self.start, without)]
        return max(ends, key=lambda end: self.value(end.policy))

    def optimal_value(self) -> float:
        """Return J*, the greatest value of all policies, those that look at the position too.

        Raises
        ------
        LengthExplosionError
            If there is none.
        ValueError
            If there are demonstrations.
        """
        if self.sft_coef > 0:
            return self.value(self._optimum.policy)
        assert self.initial is not None
        if self.max_length is not None:
            return value_by_position(self, self._worth_by_position)
        nats = weighted(self.initial, self._log_worth)
        return best_value(self, nats, lambda flow: self.temperature * flow.kl(self._tilted))

    @takes_policies
    def gap(self, log_prob: FloatArray) -> float:
        """Return J* - J(policy) >= 0, how far a policy is from the best, without cancellation.

        With a maximal length, or demonstrations, and order 2 or more: an upper bound of it. For a
        policy that looks at the position J* is the value of :meth:`time_dependent_optimum`.

        Raises
        ------
        LengthExplosionError
            If there is no optimum.
        """
        one = self._of_one_context
        if one is not None and log_prob.ndim == 1:
            return one.gap(log_prob)
        flow = self.flow(log_prob)
        if self.max_length is not None:
            gap = gap_by_position(self, flow, self._worth_by_position)
        else:
            gap = self.temperature * flow.kl(self._tilted)
        return gap + self._demonstrations_gap(log_prob)

    def _demonstrations_gap(self, log_prob):
        """Return what the cross-entropy of demonstrations is above the least of the family."""
        if self.sft_coef == 0:
            return 0.0
        assert self.frequencies is not None
        return self.sft_coef * max(0.0, self.sft_loss(log_prob) - self._least_loss)

    @cached_property
    def _least_loss(self):
        """A bound of the least cross-entropy of demonstrations, from below.

        After a context that nothing backs off to, they are at least as random as the arcs used
        there and whether it backs off. What is backed off to may be certain given where from.
        """
        trie, frequencies = self.trie, self.frequencies
        assert frequencies is not None
        arcs = frequencies[: trie.n_arcs]
        backed = np.append(0.0, frequencies[trie.n_arcs : self._n_weights])
        total = trie.sum_by_context(arcs) + backed
        total[trie.suffix[backed > 0]] = 0.0
        of_arcs = total[trie.arc_context]
        at, down = (arcs > 0) & (of_arcs > 0), (backed > 0) & (total > 0)
        loss = -arcs[at] @ np.log(arcs[at] / of_arcs[at])
        return float(loss - backed[down] @ np.log(backed[down] / total[down]))

    def kl_coef_for_kl(self, target_kl: float) -> float:
        """Return the ``kl_coef`` whose optimum is ``target_kl`` nats a document from the reference.

        Parameters
        ----------
        target_kl : float
            KL(policy || reference) of a document, in nats.

        Raises
        ------
        ValueError
            If no optimum is that far between 1e-6 and 1e6 times the spread of rewards, or the
            smallest safe ``kl_coef``.
        """
        subject = type(self).__name__
        target = check_number(target_kl, "target_kl", subject=subject)
        scale = self._reward_scale()
        lowest = max(1e-6 * scale, self._smallest_kl_coef() * (1.0 + 1e-6))

        def excess(log_kl_coef):
            objective = self.having(kl_coef=float(np.exp(log_kl_coef)))
            return objective.kl(objective.optimum()) - target

        low, high = np.log(lowest), np.log(max(1e6 * scale, 10.0 * lowest))
        place = min(np.log(scale) if lowest < scale else low + 0.5, high)
        least, most = excess(high), -np.inf
        while least < 0 and (most := excess(place)) < 0 and place > low:
            place = max(low, place - 1.0)
        if least >= 0 or most < 0:
            raise ValueError(
                f"{subject}.kl_coef_for_kl: target_kl should be above {max(least + target, 0):.6g}"
                f" and below {excess(low) + target:.6g}, the nats of the optima that there are, "
                f"got {target:.6g}."
            )
        return float(np.exp(brentq(excess, place, high, xtol=1e-13, rtol=4 * _EPS)))

    # Constraints on the expected costs of a document

    def cost_floor(self, cost: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the cost (n_constraints,) of the cheapest end, and costs (n, E) but for that.

        Raises
        ------
        ValueError
            If there are no documents whose only cost is that of their end.
        """
        ends = np.flatnonzero(self.kernel.ends)
        possible = ends[self.possible[ends]]
        floor, extra = cost[:, possible].min(axis=1), cost.copy()
        extra[:, ends] = np.maximum(cost[:, ends] - floor[:, np.newaxis], 0.0)
        assert self.initial is not None
        for row, costly in enumerate(extra > 0):
            free = ContextKernel(self.trie, np.where(costly, -np.inf, self.exponent))
            if not free.can_end()[self.initial > 0].all():
                raise ValueError(
                    "constrained_optimum needs documents of an NGramObjective that cost no more "
                    f"than their end, but all have n-grams of constraint {row}. Give it costs of "
                    "fewer n-grams."
                )
        return floor, extra

    def check_costs(self, cost: FloatArray) -> None:
        """Check that the dual of costs (n_constraints, E) is exact."""
        super().check_costs(cost)
        if cost[:, self._n_weights :].any():
            raise ValueError(
                "constrained_optimum takes costs of 0 for the contexts that documents of an "
                "NGramObjective end in."
            )

    def check_free(self, extra: FloatArray) -> None:
        """Check that documents without cost stay finite: no budget restrains them."""
        free = self.exponent.copy()
        free[extra.max(axis=0) > 0] = -np.inf
        try:
            self._desirability(ContextKernel(self.trie, free))
        except LengthExplosionError:
            raise LengthExplosionError(
                "constrained_optimum: n-grams without cost alone make length explode, so no budget "
                f"bounds it. Give them a cost, or raise kl_coef={self.kl_coef:g}."
            ) from None
