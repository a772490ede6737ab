"""What trains policies over n-grams: shaped rewards, gradients, moves, documents drawn."""

from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex.exact._ngram_rollouts import NGramRollouts, sample_ngrams
from sklearn_codex.exact._ngram_search import gradient, moved, values_by_position
from sklearn_codex.exact._ngram_terms import NGramTerms, takes_events

# Documents that are never cut by design are cut here when they are drawn.
_LONGEST_DRAWN = 100_000


class NGramTraining(NGramTerms):
    """What training asks of an ``NGramObjective``, see there."""

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

    @takes_events
    def events_after(self, log_prob: FloatArray, weight: FloatArray) -> FloatArray:
        """Return the expected events (E,) of one more token after contexts of weights (C,).

        Ends apart. The weights may be negative: a surrogate gradient is that of the events drawn,
        each with its advantage, less these with the sum of advantages in each context.
        """
        here = self.flow(log_prob).at_visits(weight)
        kernel, flow = here.kernel, here.flow
        prob = np.exp(kernel.arc_log_weight)
        entries = np.exp(kernel.entry_log_weight) * prob[kernel.entry_arc] * flow[kernel.entry_row]
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
        position = np.arange(len(own)) - np.repeat(rollouts.starts, rollouts.lengths)
        left = len(to_come) - 1 - position
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
        """
        cuts = [cut for cut in (self.max_length, max_length) if cut is not None]
        assert self.initial is not None
        begins = np.flatnonzero(self.initial)
        if contexts is None and len(begins) > 1:
            contexts = rng.choice(begins, int(n_documents), p=self.initial[begins])
        elif contexts is None:
            contexts = np.full(int(n_documents), begins[0])
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
