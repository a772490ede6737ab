"""What trains policies over n-grams: shaped rewards, gradients, moves, documents drawn."""

from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex.exact._ngram_ascent import gradient, values_by_position
from sklearn_codex.exact._ngram_events import takes_events
from sklearn_codex.exact._ngram_flow import check_rows
from sklearn_codex.exact._ngram_kernel import ContextKernel
from sklearn_codex.exact._ngram_rollouts import NGramRollouts, sample_ngrams
from sklearn_codex.exact._ngram_search import moved
from sklearn_codex.exact._ngram_terms import NGramTerms
from sklearn_codex.exact._trust_region import largest_share

# Documents that are never cut by design are cut here when they are drawn.
_LONGEST_DRAWN = 100_000
# Uses of an event by a document that demonstrations are held against at least.
_RAREST = 1e-6

# Times as long as before, and tokens, that documents may get by one step; how often it is halved.
_LONGER, _SHORT, _MOST_HALVINGS = 8.0, 64.0, 30


class NGramTraining(NGramTerms):
    """What training asks of an ``NGramObjective``, see there."""

    @takes_events
    def stiffness(self, log_prob: FloatArray) -> FloatArray:
        """Return what a unit of each logit (E,) costs an event: temperature, demonstrations' pull.

        Where no document of the policy has an event, the pull is that of one in a million.
        """
        stiffness = np.full_like(log_prob, self.temperature)
        if self.frequencies is not None and self.sft_coef > 0:
            used = np.maximum(self.flow(log_prob).events, _RAREST)
            stiffness += self.sft_coef * self.frequencies / used
        return stiffness

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
        """Return the derivative (E,) of J, demonstrations apart, by the tilt of each event.

        See :meth:`moved`; ends have none.
        """
        return gradient(self, log_prob)

    def moved(self, log_prob: FloatArray, change: FloatArray) -> FloatArray:
        r"""Return the policy (E,) with changes (E,) of the logits of events, some maybe ``-inf``.

        :math:`\pi'(w|h) \propto \pi(w|h)\, e^{d}`, d being the sum of the changes of the arc that w
        is drawn by after h and of the contexts that are backed off from on the way.
        """
        return moved(self.trie, log_prob, change)

    # How policies move

    @property
    def sees_contexts(self) -> bool:
        """Whether what a policy draws depends on the tokens before, as it does."""
        return True

    @property
    def even(self) -> FloatArray | None:
        """None: documents of even tokens may hardly ever end."""
        return None

    @property
    def n_features(self) -> int:
        """The n-grams that a linear forecast of rewards counts, A."""
        return self.trie.n_arcs

    def of_features(self, values: FloatArray) -> FloatArray:
        """Return what events (E,) are given by values of n-grams (A,), of all that end in one."""
        return np.asarray(self.trie.cumulative @ values)

    @cached_property
    def n_parameters(self) -> int:
        """The effective number of arcs that documents of the reference use.

        It is the exponential of the entropy of their shares: most arcs of a large model hardly ever
        matter.
        """
        arcs = self.flow(self.start).arcs
        share = arcs[arcs > 0] / arcs.sum()
        return max(1, round(float(np.exp(-share @ np.log(share)))))

    def place(self, log_prob: FloatArray) -> FloatArray:
        """Return the logits (E,) of a policy, of which means are taken."""
        return log_prob

    def policy_at(self, place: FloatArray) -> FloatArray:
        """Return the policy (E,) that has these logits, each row divided by its sum."""
        return moved(self.trie, place, np.zeros_like(place))

    def policy_gradient(
        self, log_prob: FloatArray, rollouts: Any, weight: FloatArray
    ) -> FloatArray:
        """Return the gradient (E,) by the tilts of events of a sum of log-probabilities of tokens.

        The events of each token drawn, less those expected after its context, each with the weight
        (n_tokens,) of the token.
        """
        of_contexts = np.bincount(rollouts.contexts, weight, self.trie.n_contexts).astype(
            np.float64
        )
        return rollouts.sum_of_events(weight) - self.events_after(log_prob, of_contexts)

    def demonstrations_gradient(self, log_prob: FloatArray) -> FloatArray | None:
        """Return the derivative (E,) of -a CE(demonstrations, policy) by the tilt of each event.

        Events of a demonstration's token, less those expected after the contexts they are in.
        """
        if self.frequencies is None or self.sft_coef == 0:
            return None
        trie, frequencies = self.trie, self.frequencies
        n_weights = trie.n_arcs + trie.n_contexts - 1
        backed = np.append(0.0, frequencies[trie.n_arcs : n_weights])
        # Tokens before which a context is the longest one: not those that were backed off to it.
        visits = trie.sum_by_context(frequencies[: trie.n_arcs]) + backed
        visits -= np.bincount(trie.suffix[1:], backed[1:], trie.n_contexts)
        gradient = frequencies - self.events_after(log_prob, visits)
        gradient[n_weights:] = 0.0
        return self.sft_coef * gradient

    def curvature(self, log_prob: FloatArray) -> FloatArray:
        """Return what a unit of each logit (E,) costs a document, demonstrations included."""
        curvature = self.temperature * self.occurrences(log_prob)
        if self.frequencies is not None and self.sft_coef > 0:
            curvature += self.sft_coef * self.frequencies
        return curvature

    def natural_step(
        self,
        gradient: FloatArray,
        log_prob: FloatArray,
        rollouts: Any,
        *,
        occurrences: FloatArray,
        damping: float,
    ) -> FloatArray:
        r"""Return the step (E,) that explains the advantages that a gradient is made of.

        Arcs first, then back-offs, from short contexts to long ones, by what is left.

        Notes
        -----
        A natural gradient is the regression of advantages on the events of tokens, each less what
        is expected of it [1]_. Its equations are solved in stages here, none of which needs a
        matrix. With the gradient G and the number N of tokens by an arc or a longer one that ends
        with it (of an arc those drawn, or those expected if these are more), the step of arc a is

        .. math:: d_a = \frac{G_a + k\, d_{a'}}{N_a + k},

        shrunk by the damping k to that of the shorter arc a' [2]_, which is 0 for those of the
        root. Then each context takes :math:`R / (N + k)`, where N tokens back off from it and R is
        what the steps so far leave of its gradient.

        References
        ----------
        .. [1] Kakade, S. (2001). "A natural policy gradient." NeurIPS 14.
        .. [2] MacKay, D. J. C. and Peto, L. C. (1995). "A hierarchical Dirichlet language model."
           Natural Language Engineering 1(3), 289-308.
        """
        trie, step = self.trie, np.zeros_like(gradient)
        n_arcs, used = trie.n_arcs, np.maximum(rollouts.occurrences, occurrences)
        total, drawn = (trie.raw_counts(values) for values in (gradient, used))
        step[:n_arcs] = total / (drawn + damping)
        for low, high in trie.levels()[1:]:
            shorter = step[trie.lower[low:high]]
            step[low:high] += damping * shorter / (drawn[low:high] + damping)
        edges = np.searchsorted(trie.context_length, np.arange(1, trie.order + 1)).tolist()
        for low, high in pairwise(edges):
            explained = self.policy_gradient(log_prob, rollouts, rollouts.of_tokens(step))
            at = slice(n_arcs + low - 1, n_arcs + high - 1)
            step[at] = (gradient - explained)[at] / (used[at] + damping)
        return step

    def trust_region_scale(self, log_prob: FloatArray, step: FloatArray, target_kl: float) -> float:
        """Return the factor at most 1 that keeps a step (E,) in a trust region, by the exact KL.

        The KL is that of documents drawn before: few nats may make those drawn next endless, so
        these are held to eight times the length, where documents end by themselves.
        """
        flow = self.flow(log_prob)
        share = largest_share(lambda share: flow.kl(self.moved(log_prob, share * step)), target_kl)
        if self.max_length is None:
            longest = max(_LONGER * flow.length, _SHORT)
            for _ in range(_MOST_HALVINGS):
                if self.expected_length(self.moved(log_prob, share * step)) <= longest:
                    break
                share *= 0.5
        return share

    def context_values(self, log_prob: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """Return :meth:`values` (C,) and visits (C,); None where documents are cut."""
        if self.max_length is not None:
            return None
        return self.values(log_prob), self.flow(log_prob).visits

    @takes_events
    def events_after(self, log_prob: FloatArray, weight: FloatArray) -> FloatArray:
        """Return the expected events (E,) of one more token after contexts of weights (C,).

        Ends apart. The weights may be negative: a surrogate gradient is that of the events drawn,
        each with its advantage, less these with the sum of advantages in each context.
        """
        here = self.one_token(log_prob, weight)
        kernel, flow = here.kernel, here.flow
        prob = np.exp(kernel.arc_log_weight)
        # One factor may be beyond floats where both are not.
        of_entries = np.exp(kernel.entry_log_weight + kernel.arc_log_weight[kernel.entry_arc])
        entries = of_entries * flow[kernel.entry_row]
        arcs = prob * kernel.not_passed(flow, kernel.backoff() * flow)
        arcs += np.bincount(kernel.entry_arc, entries, len(arcs))
        backed = kernel.backoff() * here.rest * flow + kernel.passed(entries)
        return np.concatenate([arcs, backed[1:], np.zeros(len(backed) - 1)])

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
        left = len(to_come) - 1 - rollouts.positions
        return own + to_come[left - 1, rollouts.after] - to_come[left, rollouts.contexts]

    def sample(
        self,
        log_prob: FloatArray,
        n_documents: int,
        rng: np.random.RandomState,
        *,
        names: np.ndarray | None = None,
        max_length: int | None = None,
        contexts: IntArray | None = None,
    ) -> NGramRollouts:
        """Draw documents, cut at the smaller of the two maximal lengths.

        Each starts in its own of some contexts (n_documents,); None means as ``initial`` says.

        Raises
        ------
        ValueError
            If the policy does not sum to one after each context, or there would be more than 2**27
            tokens.
        """
        cuts = [cut for cut in (self.max_length, max_length) if cut is not None]
        assert self.initial is not None
        begins = np.flatnonzero(self.initial)
        if contexts is None and len(begins) > 1:
            contexts = rng.choice(begins, int(n_documents), p=self.initial[begins])
        elif contexts is None:
            contexts = np.full(int(n_documents), begins[0])
        model = self.policy_model(log_prob)
        self._check_sums(np.asarray(log_prob), contexts)
        return sample_ngrams(
            model,
            contexts,
            rng,
            max_length=min(cuts, default=_LONGEST_DRAWN),
            names=names,
        )

    def sample_groups(
        self,
        log_prob: FloatArray,
        n_groups: int,
        size: int,
        rng: np.random.RandomState,
        *,
        names: np.ndarray | None = None,
        max_length: int | None = None,
    ) -> NGramRollouts:
        """Draw documents, those of a group after the same context."""
        assert self.initial is not None
        begins = np.flatnonzero(self.initial)
        contexts = rng.choice(begins, n_groups, p=self.initial[begins])
        return self.sample(
            log_prob,
            n_groups * size,
            rng,
            names=names,
            max_length=max_length,
            contexts=np.repeat(contexts, size),
        )

    def _check_sums(self, log_prob, contexts):
        """Check that a policy sums to one after each context that documents may come to."""
        if log_prob.ndim > 1:
            self.flow(log_prob)
            return
        begins = np.zeros(self.trie.n_contexts, bool)
        begins[contexts] = True
        kernel = ContextKernel(self.trie, log_prob)
        check_rows(kernel, kernel.log_sums(), begins)

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
