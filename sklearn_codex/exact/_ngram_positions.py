"""Policies over n-grams that look at the position, and what they come to far from the end."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import check_tokens_at_once
from sklearn_codex.exact._ngram_ascent import gradient_at
from sklearn_codex.exact._ngram_events import takes_policies
from sklearn_codex.exact._ngram_flow import PolicyFlow
from sklearn_codex.exact._ngram_kernel import ContextKernel
from sklearn_codex.exact._ngram_length import NGramLength
from sklearn_codex.exact._ngram_search import best_events, time_dependent_optimum
from sklearn_codex.exact._ngram_solve import long_run_weight
from sklearn_codex.exact._ngram_terms import mean_of_next


class NGramPositions(NGramLength):
    """What an ``NGramObjective`` with a maximal length says position by position, see there."""

    def _best_by_position(self):
        return time_dependent_optimum(self)

    def infinite_horizon_optimum(self) -> FloatArray:
        r"""Return the policy (E,) that the best of all comes to far from the end of documents.

        Where documents that are never cut stay finite, it is the best policy of these. Else, and
        without ``eos``, no document ends by itself in the long run, and it is the reference tilted
        by :math:`e^{x} v` with the Perron vector v of :math:`K = P\, diag(e^x)`: the policy of
        the greatest gain per token [1]_. A long document gains :math:`\tau \log \lambda` with
        each further token, :math:`\lambda` being :meth:`spectral_radius`.

        Warns
        -----
        ConvergenceWarning
            If there is no such policy, as contexts of the best rewards are never reached again from
            others.

        References
        ----------
        .. [1] Todorov, E. (2009). "Efficient computation of optimal actions." PNAS 106(28),
           11478-11483.
        """
        if self._never_cut is not None:
            return self._never_cut.optimum()
        # Without an end, what is taken out of each token makes no difference.
        kernel, _ = self.relative_kernel
        log_weight, change = long_run_weight(kernel, self._where_length_is_decided)
        if change > 0:
            warnings.warn(
                f"{type(self).__name__} found no policy for infinitely long documents: its weights "
                f"still change by {change:.2g} nats a token, as some contexts may never lead back "
                "to others. Smooth the reference, or use time_dependent_optimum(), which always "
                "exists.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return best_events(kernel, kernel.after(log_weight, -np.inf), self.start)

    @takes_policies
    def marginals(self, log_prob: FloatArray) -> FloatArray:
        """Return the probabilities (max_length, V) that documents have each token at each position.

        Raises
        ------
        ValueError
            If there is no maximal length.
        """
        length, trie = self._n_positions("marginals"), self.trie
        marginals = np.zeros((length, trie.n_tokens))
        for row, step in zip(marginals, self.flow(log_prob).steps(length), strict=False):
            row += np.bincount(trie.arc_token, step.arcs, trie.n_tokens)
        return marginals

    @takes_policies
    def state_values(self, log_prob: FloatArray) -> FloatArray:
        """Return the objective (max_length, C) still to come in each context before each token.

        Demonstrations apart. It is ``-inf`` where the policy may come to what has an infinite
        penalty, or the reference cannot do.

        Raises
        ------
        ValueError
            If there is no maximal length.
        """
        length = self._n_positions("state_values")
        policy = np.broadcast_to(log_prob, (length, self.trie.n_events))
        values = self._values_of_possible(policy)
        values[self._may_do_the_impossible(policy)] = -np.inf
        return values

    def _values_of_possible(self, policy):
        """Return what is still to come (max_length, C), of what is impossible nothing."""
        length, n_contexts = len(policy), self.trie.n_contexts
        values = np.empty((length + 1, n_contexts))
        values[-1] = -self.missing_eos_penalty
        for position in reversed(range(length)):
            step = PolicyFlow(self.trie, policy[position], np.zeros(n_contexts), 1)
            scores = self.token_scores(policy[position])
            values[position] = mean_of_next(step, scores) + step.operator.dot(values[position + 1])
        return values[:-1]

    def _may_do_the_impossible(self, policy):
        """Return where (max_length, C) documents may go on with events that are not possible.

        Some of their tokens are none then of the policy without these events, or lead there.
        """
        may = np.zeros((len(policy) + 1, self.trie.n_contexts), bool)
        arcs = slice(self.trie.n_arcs)
        for position in reversed(range(len(policy))):
            spared = np.where(self.possible, policy[position], -np.inf)
            if not may[position + 1].any() and np.array_equal(spared, policy[position]):
                continue
            n_tokens = ContextKernel(self.trie, policy[position]).n_tokens(
                policy[position][arcs] > -np.inf
            )
            goes_well = (spared[arcs] > -np.inf) & np.append(~may[position + 1], True)[
                self.trie.next
            ]
            may[position] = ContextKernel(self.trie, spared).n_tokens(goes_well) < n_tokens
        return may[:-1]

    @takes_policies
    def gradient_by_position(self, log_prob: FloatArray) -> FloatArray:
        """Return the derivative (max_length, E) of J by the tilts of events at each position.

        Demonstrations apart. That of a policy that is one for all positions, :meth:`gradient`, is
        the sum over positions.

        Raises
        ------
        ValueError
            If there is no maximal length.
        """
        length = self._n_positions("gradient_by_position")
        last = np.full((1, self.trie.n_contexts), -self.missing_eos_penalty)
        policy = np.broadcast_to(log_prob, (length, self.trie.n_events))
        values = np.vstack([self._values_of_possible(policy), last])
        gradient = np.zeros((length, self.trie.n_events))
        for position, step in enumerate(self.flow(log_prob).steps(length)):
            scores = self.token_scores(step.log_prob)
            columns = (step.visits, values[position], values[position + 1])
            visits, here, after = (column[:, np.newaxis] for column in columns)
            gradient[position] = gradient_at(step, visits, scores, here, after)
        return gradient

    def _n_positions(self, method):
        if self.max_length is None:
            raise ValueError(
                f"{type(self).__name__}.{method} needs max_length, got None: documents may have "
                "any number of positions. Set max_length."
            )
        remedy = "Set a smaller max_length."
        check_tokens_at_once(self.max_length, self.trie.n_contexts, remedy=remedy)
        return self.max_length
