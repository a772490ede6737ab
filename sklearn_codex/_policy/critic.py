"""Critics: a forecast of whole-document rewards from token counts, and values of contexts."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray, IntArray, root_mean_square
from sklearn_codex._rollouts import Rollouts
from sklearn_codex._solve.conjugate_gradients import Preconditioner, conjugate_gradients

# Documents that are remembered, for each token of the vocabulary, and batches at least.
_KEPT_PER_TOKEN = 4
_KEPT_BATCHES = 4
# Tokens, or n-grams, of documents from which these are forgotten.
_MOST_KEPT = 2**23
# Occurrences of a token that its last value is worth.
_PRIOR = 0.1
_MAX_ROUNDS = 10
_ROUND_TOL = 1e-3
# Rounds in which values of contexts and their targets follow each other, and the share of the
# square of advantages that a round changes at which they end.
_MAX_SWEEPS, _SWEEP_TOL = 8, 1e-4
# How many times as long documents may be as the way that a sweep carries values on.
_MOST_SPANS = 5.0
# Documents that the last value of a position is worth.
_POSITION_PRIOR = 100.0


class LinearCritic:
    r"""Credits the reward of whole documents to their tokens, by least squares.

    Fitted on the documents drawn lately, which come from older policies, so its values are no more
    than a forecast. They are used as a control variate: whatever they are, the gradient keeps its
    expectation, and the better they are, the less noise it has.

    Parameters
    ----------
    n_columns : int
        V, the size of the vocabulary; of policies that see contexts, the n-grams.

    Attributes
    ----------
    token_value : ndarray of shape (V,)
        What each token, or n-gram, adds to the reward of a document, up to a constant.

    Notes
    -----
    The values v minimise

    .. math:: \sum_i (R_i - c - n_i \cdot v)^2 + \lambda \|v - v'\|^2

    over the token counts :math:`n_i` and rewards :math:`R_i` of the documents remembered, with a
    free constant c and the values v' before: what a token was worth is not forgotten when its
    documents are. A few rounds of conjugate gradients from v' are enough, as the next batch goes on
    from there.

    References
    ----------
    .. [1] Gu, S. et al. (2017). "Q-Prop: sample-efficient policy gradient with an off-policy
       critic." ICLR.
    .. [2] Peters, J. and Schaal, S. (2008). "Natural actor-critic." Neurocomputing 71, 1180-1190.
    """

    def __init__(self, n_columns: int):
        self.token_value = np.zeros(n_columns)
        self._batches: list[dict[str, np.ndarray]] = []

    def trust(self, forecast: FloatArray, actual: FloatArray) -> float:
        """Return the factor in [0, 1] that makes forecasts (n,) fit rewards (n,) not seen before.

        It is the one that leaves the least variance, so a useless critic is not used.
        """
        deviation = forecast - forecast.mean()
        energy = float(deviation @ deviation)
        return float(np.clip(deviation @ actual / energy, 0.0, 1.0)) if energy > 0 else 0.0

    def learn(self, rollouts: Rollouts, reward: FloatArray) -> None:
        """Learn from documents and their rewards (n_documents,)."""
        columns, sizes = rollouts.features
        self._batches.append(
            {
                "tokens": columns.astype(np.int32),
                "lengths": sizes.astype(np.int32),
                "reward": reward,
            }
        )
        self._drop_old_batches()
        tokens, lengths, rewards = (
            np.concatenate([batch[name] for batch in self._batches])
            for name in ("tokens", "lengths", "reward")
        )
        # One entry for each occurrence: products with a matrix do not mind repeated columns.
        ends = np.concatenate([[0], np.cumsum(lengths)])
        counts = sparse.csr_array(
            (np.ones(len(tokens)), tokens, ends), shape=(len(lengths), len(self.token_value))
        )
        self.token_value = _go_on(counts, rewards, self.token_value)

    def _drop_old_batches(self):
        sizes = [len(batch["reward"]) for batch in self._batches]
        entries = [len(batch["tokens"]) for batch in self._batches]
        enough = _KEPT_PER_TOKEN * len(self.token_value)
        while len(sizes) > _KEPT_BATCHES and (
            sum(sizes[1:]) >= enough or sum(entries) > _MOST_KEPT
        ):
            del self._batches[0], sizes[0], entries[0]

    def forget(self) -> None:
        """Forget all documents, but not what they taught."""
        self._batches = []

    def state(self) -> dict[str, Any]:
        """Return what changes while it learns."""
        return {"token_value": self.token_value, "batches": list(self._batches)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state of :meth:`state`."""
        self.token_value, self._batches = state["token_value"], list(state["batches"])


def _go_on(counts, reward, value):
    """Return values (V,) nearer to least squares, by preconditioned conjugate gradients."""
    transposed = counts.T
    n_documents = len(reward)
    total = transposed @ np.ones(n_documents)
    # About the sum of squares of each column; its centring is left to the product.
    scale = total * (1.0 - total / counts.nnz) + _PRIOR

    def product(direction):
        fitted = counts @ direction
        fitted -= fitted.sum() / n_documents
        return transposed @ fitted + _PRIOR * direction, fitted

    missing = reward - counts @ value
    residual = transposed @ (missing - missing.mean())
    change, _ = conjugate_gradients(
        product, Preconditioner(scale), residual, tol=_ROUND_TOL, max_steps=_MAX_ROUNDS
    )
    return value + change


@dataclass(frozen=True)
class KnownScores:
    """What each token earns, drawn or not, under the policy that documents were drawn from.

    Parameters
    ----------
    scores : ndarray of shape (E,)
        Of each event.
    mean_of_next : callable
        Takes values of events (E,), returns the expected sum (C,) of those of the next token.
    sum_to_come : callable
        Takes values of contexts (C,), returns the expected sum (C,) of all that are to come.
    """

    scores: FloatArray
    mean_of_next: Callable[[FloatArray], FloatArray]
    sum_to_come: Callable[[FloatArray], FloatArray]


class ContextCritic:
    r"""Values of contexts, learned from documents, and advantages of tokens by them.

    Parameters
    ----------
    trie : Trie
        The contexts.
    gae_lambda : float
        Decay of the credit for what is still to come, in [0, 1].
    sees_positions : bool, default=False
        Whether the value of a token's position is added to that of its context, as where documents
        are cut.

    Attributes
    ----------
    values : ndarray of shape (C,)
        Shaped reward that is expected to come after each context.
    position_values : ndarray of shape (longest + 1,)
        What is added after 0, 1, ... tokens of a document.

    Notes
    -----
    With rewards :math:`r_t` and values V of the contexts :math:`h_t` before tokens, 0 after the end
    of a document, generalised advantages [1]_ are

    .. math::

        A_t = \sum_k \lambda^k \delta_{t + k}, \quad
        \delta_t = r_t + V(h_{t + 1}) - V(h_t).

    The targets of values are :math:`A_t + V(h_t)`. From the values :math:`V_0` before the batch a
    context moves by the mean of what its targets are above them, shrunk as by one more visit to the
    change of the context without its first token, which learns from all longer ones; so a context
    that is rarely seen follows those that are like it. A context that others end with has a change
    of its own beside the one that these are shrunk to, and is shrunk to it like them: where tokens
    come after it and none of them, it may be worth something else. Targets follow values, in some
    rounds.

    What a token brings by itself, :math:`\delta_t`, is known of tokens that nobody drew as well,
    where scores are (:meth:`worth_of_events`), which is the policy gradient of all actions [3]_.
    The rest of its advantage, :math:`\lambda A_{t + 1}`, corrects the values. Values are then those
    of the expected next token, not of the one that was drawn [4]_, plus that rest where documents
    came, shrunk as by one more visit to 0,

    .. math::

        V(h) = \sum_w \pi(w | h) \big(r(h, w) + V(h w)\big)
               + \frac{s}{N_h + 1} \sum_{t: h_t = h} \lambda A_{t + 1},

    with the share s of it that is no noise (:func:`signal_share`): none, once values are right.
    A sweep of this carries values on by one token, and what documents tell by
    :math:`1 / (1 - \lambda)`. Where documents are several times as long, sweeps change less and
    less, long before values are right. What a sweep changes, F, is then to come from all contexts
    before, and values move by

    .. math:: (1 - s \lambda) (I - P)^{-1} F + s \lambda F

    with the steps P of the policy from context to context. That is Newton's step where the sums
    over documents are as expected and s is 0 or 1, and without what documents tell the exact
    evaluation of policy iteration [5]_. Where they tell something, it may lead away: a step after
    which a sweep would change no less is taken back, and sweeps are plain from there on.

    So a context that no document came to is worth what is known of it. Were it worth what others
    are, a step would take the most overrated of all contexts, whatever the documents say of those
    they came to.

    Where the policy is the best one, what is to come from a context is certain, so that with the
    right values every advantage is 0, whatever :math:`\lambda` is.

    References
    ----------
    .. [1] Schulman, J. et al. (2016). "High-dimensional continuous control using generalized
       advantage estimation." ICLR. arXiv:1506.02438.
    .. [2] MacKay, D. J. C. and Peto, L. C. (1995). "A hierarchical Dirichlet language model."
       Natural Language Engineering 1(3), 289-308 (shrinkage to the shorter context).
    .. [3] Ciosek, K. and Whiteson, S. (2020). "Expected policy gradients for reinforcement
       learning." JMLR 21(52), 1-51.
    .. [4] van Seijen, H. et al. (2009). "A theoretical and empirical analysis of Expected Sarsa."
       IEEE ADPRL, 177-184.
    .. [5] Bertsekas, D. P. and Ioffe, S. (1996). "Temporal differences-based policy iteration and
       applications in neuro-dynamic programming." LIDS-P-2349, MIT.
    """

    def __init__(self, trie: Any, gae_lambda: float, *, sees_positions: bool = False):
        self._trie, self._gae_lambda = trie, gae_lambda
        self._sees_positions = sees_positions
        self.values, self.position_values = np.zeros(trie.n_contexts), np.zeros(0)
        self._has_learned = False
        # The empty context is its own suffix.
        self._has_longer = np.zeros(trie.n_contexts, bool)
        self._has_longer[trie.suffix[1:]] = True

    def advantages(
        self, rollouts: Any, rewards: FloatArray, known: KnownScores | None = None
    ) -> FloatArray:
        """Learn from documents and the rewards (n_tokens,) of tokens; return their advantages.

        Also from the scores of tokens that nobody drew, where these are known.
        """
        n_positions = 1 + int(rollouts.lengths.max())
        missing = max(0, n_positions - len(self.position_values))
        self.position_values = np.append(self.position_values, np.zeros(missing))
        if known is None:
            self._learn_from_drawn(rollouts, rewards)
        else:
            self._learn_from_all(rollouts, rewards, known)
        return self._estimate(rollouts, rewards, self._gae_lambda)

    def _learn_from_drawn(self, rollouts, rewards):
        """Move values until they and their targets follow each other."""
        before = self.values, self.position_values
        own = self._values_at(rollouts)
        if not self._has_learned:
            # What is to come takes as many rounds as documents have tokens, but for lambda 1.
            self._learn(rollouts, before, self._estimate(rollouts, rewards, 1.0))
            self._has_learned = True
        for _ in range(_MAX_SWEEPS):
            last = self._values_at(rollouts)
            advantages = self._estimate(rollouts, rewards, self._gae_lambda)
            self._learn(rollouts, before, advantages + last - own)
            change = self._values_at(rollouts) - last
            if self._gae_lambda == 1.0 or change @ change <= _SWEEP_TOL * (advantages @ advantages):
                break

    def _learn_from_all(self, rollouts, rewards, known):
        """Take values of the expected next token, and what documents tell of those after it."""
        spans = (1.0 - self._gae_lambda) * len(rollouts.tokens) / len(rollouts.lengths)
        solves, before = spans > _MOST_SPANS, None
        for _ in range(_MAX_SWEEPS):
            decay = self._gae_lambda if self._has_learned else 1.0
            self._has_learned = True
            worth, last = self.worth_of_events(known.scores), self.values
            own = rollouts.of_draws(worth) - last[rollouts.contexts]
            later = self._estimate(rollouts, rewards, decay) - own
            total, visits = _sums(rollouts.contexts, later, len(last))
            share = signal_share(later, total, visits)
            change = known.mean_of_next(worth) + share * total / (visits + 1.0) - last
            if solves and before is not None and not change @ change < before[1] @ before[1]:
                solves, (last, change) = False, before
            before = last, change
            if solves:
                carried = share * decay
                change = (1.0 - carried) * known.sum_to_come(change) + carried * change
            self.values = last + change
            if change @ change <= _SWEEP_TOL * (self.values @ self.values):
                break

    @property
    def knows_all_contexts(self) -> bool:
        """Whether what is to come hangs on the context alone, not on the position too."""
        return not self._sees_positions

    def worth_of_events(self, scores: FloatArray) -> FloatArray | None:
        """Return what all events (E,) are worth by the scores (E,) of their own, drawn or not.

        To that of an arc the value of the context after it is added. None where values look at the
        position, which no event tells.
        """
        if self._sees_positions:
            return None
        worth, n_arcs = scores.copy(), self._trie.n_arcs
        worth[:n_arcs] += np.append(self.values, 0.0)[self._trie.next]
        worth[n_arcs + self._trie.n_contexts - 1 :] = 0.0
        return worth

    def _values_at(self, rollouts):
        """Return the value (n_tokens,) before each token."""
        return self.values[rollouts.contexts] + self.position_values[rollouts.positions]

    def _estimate(self, rollouts, rewards, gae_lambda):
        """Return the advantages (n_tokens,) by the values there are."""
        following = self.values[rollouts.after] + self.position_values[rollouts.positions + 1]
        following[rollouts.starts + rollouts.lengths - 1] = 0.0
        differences = rewards + following - self._values_at(rollouts)
        return discounted_sums(differences, rollouts.starts, rollouts.lengths, gae_lambda)

    def _learn(self, rollouts, before, above):
        """Move from values before by what targets (n_tokens,) are above them."""
        values, position_values = before
        if self._sees_positions:
            total, seen = _sums(rollouts.positions, above, len(position_values))
            change = total / (seen + _POSITION_PRIOR)
            self.position_values = position_values + change
            above = above - change[rollouts.positions]
        total, visits = _sums(rollouts.contexts, above, len(values))
        change = shrunk_means(self._trie, total, visits)
        inner = self._has_longer
        change[inner] = (total[inner] + change[inner]) / (visits[inner] + 1.0)
        self.values = values + change

    def quality(self, values: FloatArray, visits: FloatArray) -> dict[str, float]:
        """Return how far its values are from exact ones (C,), by visits (C,) to contexts.

        Returns
        -------
        quality : dict
            ``critic/error``, the root of the mean square difference, in units of the objective,
            and ``critic/explained_variance``, 1 less its share of the variance of exact values, at
            most 1; 1 where there is neither.
        """
        weight = visits / visits.sum()
        error = root_mean_square(self.values - values, weight)
        spread = root_mean_square(values - weight @ values, weight)
        explained = 1.0 - (error / spread) ** 2 if spread > 0 else float(error == 0)
        return {"critic/error": error, "critic/explained_variance": explained}

    def state(self) -> dict[str, Any]:
        """Return what changes while it learns."""
        return {
            "values": self.values,
            "position_values": self.position_values,
            "has_learned": self._has_learned,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state of :meth:`state`."""
        self.values, self.position_values = state["values"], state["position_values"]
        self._has_learned = state["has_learned"]


def _sums(places, values, n):
    """Return sums (n,) of values (n_tokens,) by place, and how many they are."""
    total = np.bincount(places, values, n).astype(np.float64)
    return total, np.bincount(places, minlength=n).astype(np.float64)


def signal_share(values: FloatArray, total: FloatArray, visits: FloatArray) -> float:
    r"""Return the share in [0, 1] of the means of contexts that is not the noise of their values.

    Of T values :math:`x_t` with means m over the visits N to K contexts it is [1]_

    .. math:: 1 - \frac{K}{T - K} \frac{\sum_t x_t^2 - \sum_h N_h m_h^2}{\sum_h N_h m_h^2},

    at least 0, and 0 where no context is visited twice.

    Parameters
    ----------
    values : ndarray of shape (n_tokens,)
    total, visits : ndarray of shape (C,)
        Their sums by context, and how many they are.

    References
    ----------
    .. [1] James, W. and Stein, C. (1961). "Estimation with quadratic loss." Proceedings of the
       Fourth Berkeley Symposium 1, 361-379 (the positive part, with the variance estimated).
    """
    n_seen, between = _between(total, visits)
    if n_seen == len(values) or between <= 0.0:
        return 0.0
    return max(0.0, 1.0 - n_seen * noise_variance(values, total, visits) / between)


def noise_variance(values: FloatArray, total: FloatArray, visits: FloatArray) -> float:
    """Return the variance of values (n_tokens,) within contexts, the mean square where all are new.

    Parameters
    ----------
    values : ndarray of shape (n_tokens,)
    total, visits : ndarray of shape (C,)
        Their sums by context, and how many they are.
    """
    (n_seen, between), square = _between(total, visits), float(values @ values)
    if n_seen == len(values):
        return square / len(values)
    return max(square - between, 0.0) / (len(values) - n_seen)


def _between(total, visits):
    """Return the contexts that are visited, and the sum of squares of their means by visit."""
    seen = visits > 0
    return int(seen.sum()), float(np.sum(total[seen] ** 2 / visits[seen]))


def shrunk_means(trie: Any, total: FloatArray, visits: FloatArray) -> FloatArray:
    r"""Return the means (C,) of contexts, each shrunk to that of the shorter one.

    With totals G and visits N, which count for all shorter contexts, too, the mean of h is
    :math:`(G + m(h')) / (N + 1)`, and that of the root :math:`G / (N + 1)`.

    Parameters
    ----------
    trie : Trie
        The contexts.
    total, visits : ndarray of shape (C,)
        Of the tokens before which each context is the longest one.
    """
    total, visits, suffix = total.copy(), visits.copy(), trie.suffix
    edges = np.searchsorted(trie.context_length, np.arange(trie.order + 1))
    for low, high in reversed(list(pairwise(edges[1:]))):
        total[:low] += np.bincount(suffix[low:high], total[low:high], low)
        visits[:low] += np.bincount(suffix[low:high], visits[low:high], low)
    means = total / (visits + 1.0)
    for low, high in pairwise(edges[1:]):
        means[low:high] += means[suffix[low:high]] / (visits[low:high] + 1.0)
    return means


def discounted_sums(
    values: FloatArray, starts: IntArray, lengths: IntArray, decay: float
) -> FloatArray:
    """Return the sums (n_tokens,) of values that follow in a document, decayed at each step.

    Parameters
    ----------
    values : ndarray of shape (n_tokens,)
        Of the tokens of all documents, one document after the other.
    starts, lengths : ndarray of int of shape (n_documents,)
        Where documents start, and their tokens.
    decay : float
        Factor of what follows, at each step.
    """
    sums = values.copy()
    if decay == 0.0:
        return sums
    by_length = np.argsort(-lengths, kind="stable")
    last, sizes = (starts + lengths - 1)[by_length], lengths[by_length]
    # How many documents have more than 1, 2, ... tokens.
    n_longer = np.searchsorted(-sizes, -np.arange(1, sizes[0]), side="left")
    for back, n in enumerate(n_longer.tolist(), start=1):
        at = last[:n] - back
        sums[at] += decay * sums[at + 1]
    return sums
