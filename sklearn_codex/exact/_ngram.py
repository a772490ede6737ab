"""The optimum over policies that see the tokens before: back-off models of any order."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_number, check_values
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.trie import Trie
from sklearn_codex.exact._additive import AdditiveObjective
from sklearn_codex.exact._eos import EosObjective
from sklearn_codex.exact._eos_length import LengthExplosionError
from sklearn_codex.exact._ngram_kernel import ContextKernel
from sklearn_codex.exact._ngram_rollouts import NGramRollouts, sample_ngrams
from sklearn_codex.exact._ngram_search import (
    best_events,
    gap_by_position,
    gradient,
    log_worth,
    stationary_optimum,
    time_dependent_optimum,
    values_by_position,
    weighted,
)
from sklearn_codex.exact._ngram_solve import log_desirability, log_spectral_radius
from sklearn_codex.exact._ngram_terms import NGramTerms, takes_events

_EPS = np.finfo(np.float64).eps
# Documents that are never cut by design are cut here when they are drawn.
_LONGEST_DRAWN = 100_000
# The spread of rewards, in units of kl_coef, up to which a smallest safe kl_coef is looked for.
_WIDEST = 1e4
# Times a price at which only the cheapest documents are left.
_DEAR = 1e7


def arc_reward(trie: Trie, ngram_reward: ArrayLike) -> FloatArray:
    """Return the reward of each event (E,) of a trie from that of each n-gram.

    An n-gram that ends at a token counts, and so do those that it ends with: a trigram for its
    bigram and its token.

    Parameters
    ----------
    trie : Trie
        Its arcs, as n-grams, are those that have a reward.
    ngram_reward : array-like of shape (A,), or (k,) of the first k arcs
        Reward of each; what is left out, as all but V tokens may be, is 0.

    Raises
    ------
    ValueError
        If there are more rewards than arcs, or one is not finite.
    """
    reward = check_values(ngram_reward, "ngram_reward", subject="arc_reward")
    if len(reward) > trie.n_arcs:
        raise ValueError(
            f"arc_reward needs at most one reward for each of {trie.n_arcs} arcs, got "
            f"{len(reward)}."
        )
    total = np.zeros(trie.n_events)
    total[: len(reward)] = reward
    for start, stop in trie.levels()[1:]:
        total[start:stop] += total[trie.lower[start:stop]]
    return total


@dataclass(frozen=True)
class NGramObjective(NGramTerms):
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
    natural-gradient steps find, not more than a local maximum. Of order 1 both are exact, and those
    of :class:`EosObjective`, or, without ``eos``, of :class:`AdditiveObjective`.

    *With demonstrations* (order 2 and more) the gap is bounded by that of the objective without
    them, and a times what their cross-entropy could gain by itself.

    References
    ----------
    .. [1] Todorov, E. (2006). "Linearly-solvable Markov decision problems." NeurIPS 19.
    .. [2] Chen, S. F. and Goodman, J. (1999). "An empirical study of smoothing techniques for
       language modeling." Computer Speech and Language 13(4), 359-394.

    Examples
    --------
    Two tokens and ``eos``, where a reward for "b" after "a" teaches the policy to write "a" first:

    >>> import numpy as np
    >>> from sklearn_codex._ngrams.smoothing import dirichlet
    >>> from sklearn_codex._ngrams.trie import build_trie
    >>> from sklearn_codex.exact import NGramObjective, arc_reward
    >>> ids, starts = np.array([0, 1, 2, 1, 0, 2, 1, 2]), np.array([0, 3, 6, 8])
    >>> trie = build_trie(ids, starts, 3, order=2, eos=2)
    >>> model = dirichlet(trie, trie.events(ids, starts).sum(axis=0), 2.0)
    >>> reward = np.zeros(trie.n_arcs)
    >>> reward[trie.find(trie.next[[0]], np.array([1]))] = 1.0  # of "a b"
    >>> problem = NGramObjective.of_model(model, arc_reward(trie, reward))
    >>> best = problem.policy_model(problem.optimum())
    >>> first = np.array([trie.first_context])
    >>> np.exp(model.next_log_prob(first)).round(3), np.exp(best.next_log_prob(first)).round(3)
    (array([[0.307, 0.547, 0.147]]), array([[0.445, 0.475, 0.079]]))
    >>> round(problem.gap(problem.start), 4) == round(
    ...     problem.value(problem.optimum()) - problem.value(problem.start), 4
    ... )
    True
    """

    @classmethod
    def of_model(
        cls, model: BackoffModel, token_reward: ArrayLike | None = None, **settings: Any
    ) -> "NGramObjective":
        """Return the objective whose reference is a back-off model.

        Parameters
        ----------
        model : BackoffModel
        token_reward : array-like of shape (E,), default=None
            Reward of each event; None means 0.
        **settings
            Other parameters.
        """
        reward: Any = np.zeros(model.trie.n_events) if token_reward is None else token_reward
        return cls(model.event_log_prob, reward, model.trie, **settings)

    @property
    def is_noisy(self) -> bool:
        """Whether documents are cut: else the optimum is the tilted reference."""
        return self.max_length is not None

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
    def _log_worth_if_any(self) -> FloatArray | None:
        try:
            return self._desirability(self.kernel)
        except LengthExplosionError:
            return None

    def _desirability(self, kernel):
        """Return the log-weights (C,) of all documents of a kernel, by contexts they begin in."""
        assert self.initial is not None
        return log_desirability(
            kernel, kernel.can_reach(self.initial > 0), lambda: self._worth_of_reference(kernel)
        )

    def _worth_of_reference(self, kernel):
        """Return what the reference, given that documents end, has of a kernel (C,), in nats."""
        trie = self.trie
        weights = np.concatenate(
            [kernel.arc_log_weight, kernel.backoff_log_weight[1:], np.zeros(trie.n_contexts - 1)]
        )
        possible = ContextKernel(trie, np.where(weights > -np.inf, self.reference_log_prob, -np.inf))
        everywhere = np.ones(trie.n_contexts, bool)
        worth = log_desirability(possible, everywhere, lambda: np.zeros(trie.n_contexts))
        policy = best_events(possible, possible.after(worth), self.start)
        used = np.isfinite(policy) & np.isfinite(weights)
        scores = np.zeros_like(policy)
        scores[used] = weights[used] - policy[used]
        return self.values_of(policy, scores)

    @property
    def _log_worth(self) -> FloatArray:
        """Logarithm z (C,) of the weight of the documents that begin in each context."""
        worth = self._log_worth_if_any
        if worth is None:
            raise LengthExplosionError(self.explain_explosion(type(self).__name__))
        return worth

    @cached_property
    def _tilted(self) -> FloatArray:
        """The best policy (E,) of documents that are never cut, without demonstrations."""
        return best_events(self.kernel, self.kernel.after(self._log_worth), self.start)

    @cached_property
    def _optimum(self) -> FloatArray:
        one = self._of_one_context
        if one is not None:
            return one.optimum()
        if self.sft_coef > 0:
            raise ValueError(
                f"{type(self).__name__} has no exact optimum with demonstrations, got sft_coef="
                f"{self.sft_coef:g}: no back-off model solves its equations. Leave them out and "
                "refine the reference by them (SFTRefiner), or see gap, which bounds what is left."
            )
        if self.max_length is None:
            return self._tilted
        starts = [self.start, self._at_half_length()]
        if not self.length_explodes:
            starts.append(self.having(max_length=None, missing_eos_penalty=0.0).optimum())
        return stationary_optimum(self, starts)

    def _at_half_length(self):
        """Return what the best policy of documents that are cut does half way."""
        assert self.max_length is not None
        worth = self._worth_by_position[self.max_length // 2]
        return best_events(self.kernel, self.kernel.after(worth), self.start)

    @cached_property
    def _worth_by_position(self) -> FloatArray:
        return log_worth(self)

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
        """
        return self._optimum.copy()

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
            return self.value(self._optimum)
        assert self.initial is not None
        worth = self._log_worth if self.max_length is None else self._worth_by_position[-1]
        return self.temperature * weighted(self.initial, worth)

    def time_dependent_optimum(self) -> Bunch:
        """Return the best policy that may look at the position, by backward recursion.

        Returns
        -------
        best : Bunch
            ``log_prob`` (max_length, E), the policy at each position; ``value``, its objective,
            which no policy exceeds; ``expected_length``, in tokens.

        Raises
        ------
        ValueError
            If there is no maximal length, or there are demonstrations.
        """
        return time_dependent_optimum(self)

    @takes_events
    def gap(self, log_prob: FloatArray) -> float:
        """Return J* - J(policy) >= 0, how far a policy is from the best, without cancellation.

        With a maximal length, or demonstrations, and order 2 or more: an upper bound of it.

        Raises
        ------
        LengthExplosionError
            If there is no optimum.
        """
        one = self._of_one_context
        if one is not None:
            return one.gap(log_prob)
        flow = self.flow(log_prob)
        if self.max_length is not None:
            gap = gap_by_position(self, flow)
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
        arcs = frequencies[: trie.n_arcs]
        backed = np.append(0.0, frequencies[trie.n_arcs : self._n_weights])
        total = trie.sum_by_context(arcs) + backed
        total[trie.suffix[backed > 0]] = 0.0
        of_arcs = total[trie.arc_context]
        at, down = (arcs > 0) & (of_arcs > 0), (backed > 0) & (total > 0)
        loss = -arcs[at] @ np.log(arcs[at] / of_arcs[at])
        return float(loss - backed[down] @ np.log(backed[down] / total[down]))

    # Length

    @cached_property
    def _where_length_is_decided(self):
        """Contexts (C,) that documents get to, and from which they can end."""
        assert self.initial is not None
        reached = self.kernel.can_reach(self.initial > 0)
        return reached & self.kernel.can_end()

    @property
    def length_explodes(self) -> bool:
        """Whether, without a maximal length, no document would be long enough."""
        return self.trie.eos >= 0 and self._log_worth_if_any is None

    def spectral_radius(self) -> float:
        """Return by what a long document gains in weight with one token more; below 1 if safe."""
        with np.errstate(over="ignore"):
            return float(
                np.exp(log_spectral_radius(self.kernel, self._where_length_is_decided)[0])
            )

    def smallest_safe_kl_coef(self) -> float:
        r"""Return the ``kl_coef`` above which documents that end by themselves stay finite.

        The logarithm of the spectral radius is convex in 1 / kl_coef, and below 0 where that is 0,
        so it has one root at most. 0 where none is found up to 10,000 over the spread of rewards,
        infinite where the reference itself does not end.
        """
        among, vector = self._where_length_is_decided, None
        scale = self._reward_scale()

        def log_radius(inverse):
            nonlocal vector
            changed = self.having(kl_coef=scale / inverse, max_length=None, missing_eos_penalty=0.0)
            found, vector = log_spectral_radius(changed.kernel, among, vector)
            return found

        low, high = 1e-9, 1.0
        if not log_radius(low) < 0:
            return float("inf")
        while log_radius(high) < 0:
            low, high = high, 2.0 * high
            if high > _WIDEST:
                return 0.0
        return scale / float(brentq(log_radius, low, high, xtol=1e-300, rtol=1e-13))

    def _smallest_kl_coef(self):
        return self.smallest_safe_kl_coef() if self.max_length is None else 0.0

    def explain_explosion(self, subject: str) -> str:
        """Return in words why no document is long enough where length explodes, and what helps."""
        safe, radius = self.smallest_safe_kl_coef(), self.spectral_radius()
        remedy = f"Set kl_coef above {safe:.6g}, the smallest safe value, or price length in it."
        begins = f"{subject} has no optimum" if self.max_length is None else subject
        ends = (
            "so length explodes."
            if self.max_length is None
            else f"so only max_length={self.max_length} keeps documents finite."
        )
        return (
            f"{begins} at kl_coef={self.kl_coef:g}: a token more gains a long document more than "
            f"it costs (spectral radius {radius:.6g} >= 1), {ends} {remedy}"
        )

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
        lowest = max(1e-6 * scale, self._smallest_kl_coef() * (1.0 + 1e-9))

        def excess(log_kl_coef):
            objective = self.having(kl_coef=float(np.exp(log_kl_coef)))
            return objective.kl(objective.optimum()) - target

        low, high = np.log(lowest), np.log(max(1e6 * scale, 10.0 * lowest))
        place = min(np.log(scale) if lowest < scale else low + 0.5, high)
        least, most = excess(high), None
        while least < 0 and (most := excess(place)) < 0 and place > low:
            place = max(low, place - 1.0)
        if least >= 0 or most < 0:
            raise ValueError(
                f"{subject}.kl_coef_for_kl: target_kl should be above {max(least + target, 0):.6g}"
                f" and below {(excess(low)) + target:.6g}, the nats of the optima that there are, "
                f"got {target:.6g}."
            )
        return float(np.exp(brentq(excess, place, high, xtol=1e-13, rtol=4 * _EPS)))

    # Training

    @takes_events
    def stiffness(self, log_prob: FloatArray) -> FloatArray:
        """Return what a unit of each logit (E,) costs an event: the temperature."""
        return np.full_like(log_prob, self.temperature)

    @takes_events
    def token_scores(self, log_prob: FloatArray) -> FloatArray:
        r"""Return the shaped reward :math:`\tau (x_e - \log \pi_e)` (E,) of each event.

        Its sum over a document, less ``missing_eos_penalty`` where that was cut, has the policy
        gradient of J without demonstrations, and J as its mean. At the optimum it is J* for every
        document that is not cut.
        """
        support = np.isfinite(log_prob) & np.isfinite(self.exponent)
        scores = np.zeros_like(log_prob)
        scores[support] = self.temperature * (self.exponent[support] - log_prob[support])
        return scores

    @takes_events
    def gradient(self, log_prob: FloatArray) -> FloatArray:
        """Return the derivative (A,) of J, demonstrations apart, by the tilt of each arc.

        A tilt of arc (h, w) by :math:`d` changes the logit of w in every context in which w is
        drawn by that arc, see :meth:`moved`.
        """
        return gradient(self, log_prob)

    def moved(self, log_prob: FloatArray, change: FloatArray) -> FloatArray:
        r"""Return the policy (E,) whose next token w has the logit of its arc changed.

        :math:`\pi'(w|h) \propto \pi(w|h)\, e^{d(a)}` with the arc a that w is drawn by after h:
        changes (A,) of logits, or (E,) of which the rest is not used.
        """
        kernel = ContextKernel(self.trie, log_prob)
        return best_events(kernel, change[: self.trie.n_arcs], log_prob)

    def arcs_after(self, log_prob: FloatArray, weight: FloatArray) -> FloatArray:
        """Return the arcs (A,) that a token drawn after contexts of some weights (C,) uses."""
        kernel = self.flow(log_prob).kernel
        operator = self.flow(log_prob).operator
        flow = operator.drop(weight)
        longer = slice(self.trie.n_tokens, None)
        owner = self.trie.arc_context
        passed = kernel.backoff() * flow
        used = flow[owner] - np.bincount(
            kernel.lower[longer], passed[owner[longer]], self.trie.n_arcs
        )
        entries = np.exp(kernel.entry_log_weight) * flow[kernel.entry_row]
        used += np.bincount(kernel.entry_arc, entries, self.trie.n_arcs)
        return np.exp(kernel.arc_log_weight) * used

    def token_advantages(
        self,
        log_prob: FloatArray,
        rollouts: Any,
        scores: FloatArray,
        value: float,
    ) -> FloatArray:
        """Return what each token drawn (n_tokens,) adds to what is expected, by exact values."""
        own = rollouts.of_tokens(scores)
        if self.max_length is None:
            values = np.append(self.values_of(log_prob, scores), 0.0)
            return own + values[rollouts.after] - values[rollouts.contexts]
        to_come = values_by_position(self, self.flow(log_prob), scores)
        to_come = np.column_stack([to_come, np.zeros(len(to_come))])  # of the end
        position = np.arange(len(own)) - np.repeat(rollouts.starts, rollouts.lengths)
        left = self.max_length - position
        return own + to_come[left - 1, rollouts.after] - to_come[left, rollouts.contexts]

    def sample(
        self,
        log_prob: FloatArray,
        n_documents: int,
        rng: np.random.RandomState,
        *,
        names: np.ndarray | None = None,
        max_length: int | None = None,
    ) -> NGramRollouts:
        """Draw documents, cut at the smaller of the two maximal lengths."""
        cuts = [cut for cut in (self.max_length, max_length) if cut is not None]
        assert self.initial is not None
        begins = np.flatnonzero(self.initial)
        contexts = np.full(int(n_documents), begins[0])
        if len(begins) > 1:
            contexts = rng.choice(begins, int(n_documents), p=self.initial[begins])
        return sample_ngrams(
            self.policy_model(log_prob),
            contexts,
            rng,
            max_length=min(cuts, default=_LONGEST_DRAWN),
            names=names,
        )

    @takes_events
    def covariance(self, log_prob: FloatArray, values: FloatArray, others: FloatArray) -> float:
        """Return the covariance over documents of two sums, of values (E,) and of others (E,).

        By the law of total variance, token by token; nan where documents are cut, or where values
        are not of arcs alone.
        """
        n_arcs = self.trie.n_arcs
        if self.max_length is not None or values[n_arcs:].any() or others[n_arcs:].any():
            return float("nan")
        flow = self.flow(log_prob)
        assert self.initial is not None
        first, second = (self.values_of(log_prob, given) for given in (values, others))
        begin = [self.initial @ expected for expected in (first, second)]
        after = [
            given[:n_arcs] + flow.kernel.after(expected)
            for given, expected in ((values, first), (others, second))
        ]
        total = float(flow.arcs @ (after[0] * after[1])) - float(flow.visits @ (first * second))
        return total + float(self.initial @ ((first - begin[0]) * (second - begin[1])))

    def moments(self, log_prob: FloatArray, values: FloatArray) -> tuple[float, float] | None:
        """Return mean and standard deviation of the sum of values (E,) of a document's events.

        None where documents are cut, or values are not of arcs alone.
        """
        variance = self.covariance(log_prob, values, values)
        if np.isnan(variance):
            return None
        return self.expected_sum(log_prob, values), float(np.sqrt(max(variance, 0.0)))

    # Constraints on the expected costs of a document

    def cost_floor(self, cost: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the cost (n_constraints,) of the cheapest documents, and costs (n, E)."""
        return np.array([self._least_cost(row) for row in cost]), cost.copy()

    def _least_cost(self, cost):
        largest = float(np.abs(cost).max())
        if largest == 0:
            return 0.0
        reference = self.start.copy()
        reference[~self.possible] = -np.inf
        free = np.where(cost > 0, -np.inf, reference)
        kernel = ContextKernel(self.trie, free)
        assert self.initial is not None
        if kernel.can_end()[self.initial > 0].all():
            return 0.0
        dear = self.having(
            reference_log_prob=reference,
            token_reward=-cost / largest,
            reward_coef=1.0,
            penalty=None,
            kl_coef=1.0 / _DEAR,
            entropy_coef=0.0,
        )
        return self.flow(dear.optimum()).expected(cost)

    def check_costs(self, cost: FloatArray) -> None:
        """Check that the dual of costs (n_constraints, E) is exact."""
        if self.max_length is not None or self.sft_coef > 0:
            raise ValueError(
                "constrained_optimum takes an NGramObjective without max_length and sft_coef, got "
                f"max_length={self.max_length} and sft_coef={self.sft_coef}: its "
                "stationary policies have no convex dual then. Leave them out."
            )
        if len(cost) > 1 or cost.min() < 0:
            raise ValueError(
                "constrained_optimum takes one constraint with costs >= 0 for an NGramObjective, "
                f"got {len(cost)} with smallest cost {cost.min():.6g}."
            )
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
