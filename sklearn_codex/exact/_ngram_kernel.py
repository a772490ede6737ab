"""Weights of the next token over a trie of contexts: their sums, and the operator they make."""

from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray, safe_log
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.table import Ints
from sklearn_codex._ngrams.trie import Trie

# Where backing off multiplies by more than this, what is left of the shorter context would lose as
# many digits: the tokens it is left to are written out.
LOG_STEEP = np.log(1e3)
# Entries that may be written out.
_MOST_WRITTEN = 30_000_000


class ContextKernel:
    r"""Weights of the next token after each context, in the form of a back-off model.

    They need not be probabilities: :math:`q(w|h) = e^{x(h, w)}` where (h, w) is an arc, else
    :math:`e^{x(h)} q(w|h')` with the context h' without the first token of h. The sum over tokens
    of a value G of the arc used is, the shortest contexts first,

    .. math::

        Z(h) = \sum_{w \in h} e^{x(h, w)} G(h, w)
            + e^{x(h)} \Big(Z(h') - \sum_{w \in h} e^{x(h', w)} G(h', w)\Big).

    Where the difference cancels, the tokens that are no arcs of a context are written out.

    Parameters
    ----------
    trie : Trie
    event_log_weight : ndarray of shape (E,)
        x of arcs, of backing off from contexts 1, ..., and 0 for the ends.
    """

    def __init__(self, trie: Trie, event_log_weight: FloatArray):
        self.trie = trie
        self.arc_log_weight = event_log_weight[: trie.n_arcs]
        self.backoff_log_weight = np.append(
            -np.inf, event_log_weight[trie.n_arcs : trie.n_arcs + trie.n_contexts - 1]
        )
        self.written: Ints = np.zeros(0, np.int64)
        self.is_written = np.zeros(trie.n_contexts, bool)
        self.write_out(self.written)

    @cached_property
    def levels(self) -> list[tuple[int, int, int, int]]:
        """Where the contexts of each length start and end, and their arcs."""
        trie = self.trie
        edges = np.searchsorted(trie.context_length, np.arange(trie.order + 1)).tolist()
        both = zip(pairwise(edges), trie.levels(), strict=True)
        return [(*contexts, *arcs) for contexts, arcs in both if contexts[1] > contexts[0]]

    @cached_property
    def ends(self) -> np.ndarray:
        """Which arcs (A,) end a document."""
        return self.trie.next < 0

    @cached_property
    def lower(self) -> Ints:
        """The arc (A,) of the same token after the shorter context; of the root itself."""
        return np.where(self.trie.lower < 0, np.arange(self.trie.n_arcs), self.trie.lower)

    def after(self, values: FloatArray, end: float = 0.0) -> FloatArray:
        """Return the value (A,) of what follows each arc, of values (C,) and one of the end."""
        return np.append(values, end)[self.trie.next]

    def backoff(self) -> FloatArray:
        """Return what contexts multiply by (C,), 0 for the root and where they are written out."""
        return np.exp(np.where(self.is_written, -np.inf, self.backoff_log_weight))

    def not_passed(self, flow: FloatArray, passed: FloatArray) -> FloatArray:
        """Return for each arc (A,) what of a flow (C,) through its context may use it.

        That is all but what was passed on to it by longer contexts (C,) with an arc of the same
        token.
        """
        longer, owner = slice(self.trie.n_tokens, None), self.trie.arc_context
        of_longer = passed[owner[longer]]
        return flow[owner] - np.bincount(self.lower[longer], of_longer, self.trie.n_arcs)

    def drop(self, weights: FloatArray, down: FloatArray) -> FloatArray:
        """Return weights (C,) with what longer contexts pass on, by what they multiply by (C,)."""
        flow, suffix = weights.copy(), self.trie.suffix
        for low, high, _, _ in reversed(self.levels[1:]):
            flow[:low] += np.bincount(suffix[low:high], down[low:high] * flow[low:high], low)
        return flow

    # Sums over tokens

    def log_sums(self, log_values: FloatArray | None = None) -> FloatArray:
        """Return log Z (C,) of the logarithms (A,) of values of arcs, 0 where None are given.

        Contexts whose sum would lose digits are written out from then on.
        """
        return np.add(*self.log_sum_parts(log_values))

    def log_sum_parts(self, log_values: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Return :meth:`log_sums` as two terms (C,), the greatest weight and the rest.

        Where weights are vast, their sum would lose the digits of the rest.
        """
        weights = self.arc_log_weight if log_values is None else self.arc_log_weight + log_values
        while True:
            top, rest = self._log_sum_parts(weights)
            steep = np.flatnonzero(self.log_backoff_share(top, rest) > LOG_STEEP)
            steep = steep[~self.is_written[steep]]
            if not len(steep):
                return top, rest
            self.write_out(steep)

    def log_backoff_share(self, top: FloatArray, rest: FloatArray) -> FloatArray:
        """Return the back-off weights (C,) of the policy that has these sums."""
        suffix = self.trie.suffix
        down = self.backoff_log_weight + top[suffix] - top + rest[suffix]
        with np.errstate(invalid="ignore"):
            return np.where(np.isneginf(down), -np.inf, down - rest)

    def _log_sum_parts(self, weights):
        tops, rests = np.empty(self.trie.n_contexts), np.empty(self.trie.n_contexts)
        written = self._log_sums_written(weights)
        context, indptr = self.trie.arc_context, self.trie.indptr
        backoff = self.backoff_log_weight
        for low, high, start, stop in self.levels:
            arcs, first = slice(start, stop), indptr[low:high] - start
            of_arc = context[arcs] - low
            own = weights[arcs]
            top = np.maximum.reduceat(own, first)
            if low:
                suffix = self.trie.suffix[low:high]
                down = backoff[low:high] + tops[suffix]
                top = np.maximum(top, down + rests[suffix])
            top = np.where(np.isneginf(top), 0.0, top)
            terms = np.exp(own - top[of_arc])
            if low:
                passed = backoff[low:high] - top
                # At most 1, but for contexts that are about to be written out.
                terms -= np.exp(np.minimum(weights[self.lower[arcs]] + passed[of_arc], 0.0))
            total = np.add.reduceat(terms, first)
            if low:
                total += np.exp(down - top + rests[suffix])
            tops[low:high], rests[low:high] = top, safe_log(np.maximum(total, 0.0))
            if len(self.written):
                inside = slice(*np.searchsorted(self.written, [low, high]))
                tops[self.written[inside]] = written[0][inside]
                rests[self.written[inside]] = written[1][inside]
        return tops, rests

    # Contexts that are written out: all their tokens are entries, by the arc that is used

    def write_out(self, more: Ints) -> None:
        """Write out these contexts, too."""
        trie = self.trie
        self.is_written[more] = True
        contexts: Ints = np.flatnonzero(self.is_written)
        self.written = contexts
        rows: list[Ints] = [np.zeros(0, np.int64)]
        arcs: list[Ints] = [np.zeros(0, np.int64)]
        row: Ints = np.arange(len(contexts))
        longer: Ints = contexts
        model = BackoffModel(trie, self.arc_log_weight, self.backoff_log_weight)
        is_open = self.backoff_log_weight > -np.inf
        n_entries = 0
        while (on := np.flatnonzero(is_open[longer])).size:
            row, longer = row[on], longer[on]
            shorter: Ints = trie.suffix[longer]
            n_arcs = trie.indptr[shorter + 1] - trie.indptr[shorter]
            n_entries += int(n_arcs.sum(dtype=np.int64))
            if n_entries > _MOST_WRITTEN:
                raise ValueError(
                    f"{len(contexts)} contexts of n-grams give nearly all their weight to tokens "
                    "that they have no arc for, more than can be written out: the rewards or bans "
                    "of their n-grams are too strong. Raise kl_coef, or lower the order."
                )
            found, sizes = model.arcs_of(shorter)
            owner = np.repeat(np.arange(len(row)), sizes)
            is_new = trie.find(longer[owner], trie.arc_token[found]) < 0
            # Also what is banned: a divergence counts what another policy gives to it.
            rows.append(row[owner[is_new]])
            arcs.append(found[is_new])
            longer = shorter
        row = np.concatenate(rows)
        order = np.argsort(row, kind="stable")
        self.entry_row = contexts[row[order]]
        self.entry_arc = np.concatenate(arcs)[order]
        self.entry_log_weight = self.along(self.backoff_log_weight)

    def along(self, values: FloatArray) -> FloatArray:
        """Return the sum of values (C,) of the contexts that each written entry backs off from."""
        total = np.zeros(len(self.entry_arc))
        goal = self.trie.arc_context[self.entry_arc]
        at: Ints = np.arange(len(goal))
        context: Ints = self.entry_row
        while len(at):
            total[at] += values[context]
            context = self.trie.suffix[context]
            on = np.flatnonzero(context != goal[at])
            at, context = at[on], context[on]
        return total

    def passed(self, weights: FloatArray) -> FloatArray:
        """Return the sum (C,) of weights of written entries by what they back off from."""
        total = np.zeros(self.trie.n_contexts)
        goal = self.trie.arc_context[self.entry_arc]
        at: Ints = np.arange(len(goal))
        context: Ints = self.entry_row
        while len(at):
            total += np.bincount(context, weights[at], len(total))
            context = self.trie.suffix[context]
            on = np.flatnonzero(context != goal[at])
            at, context = at[on], context[on]
        return total

    def _log_sums_written(self, weights):
        """Return log Z of the contexts that are written out, as two terms."""
        if not len(self.written):
            return np.zeros(0), np.zeros(0)
        model = BackoffModel(self.trie, self.arc_log_weight, self.backoff_log_weight)
        own, sizes = model.arcs_of(self.written)
        place = np.searchsorted(self.written, self.entry_row)
        of_row = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), place])
        terms = np.concatenate([weights[own], weights[self.entry_arc] + self.entry_log_weight])
        top = np.full(len(self.written), -np.inf)
        np.maximum.at(top, of_row, terms)
        top = np.where(np.isneginf(top), 0.0, top)
        return top, safe_log(np.bincount(of_row, np.exp(terms - top[of_row]), len(top)))

    # What can be

    def can_end(self) -> np.ndarray:
        """Return from which contexts (C,) a document can end by itself."""
        possible, alive = self.arc_log_weight > -np.inf, np.zeros(self.trie.n_contexts, bool)
        while True:
            found = self._count(possible & np.append(alive, True)[self.trie.next])[0] > 0
            if np.array_equal(found, alive):
                return alive
            alive = found

    def can_reach(self, contexts: np.ndarray) -> np.ndarray:
        """Return which contexts (C,) follow from others, a mask (C,), themselves included.

        Those that are backed off to count as well.
        """
        visited = self.can_visit(contexts)
        is_open = self.backs_off_for(self.arc_log_weight > -np.inf)
        reached: np.ndarray = self.drop(visited.astype(float), is_open.astype(float)) > 0
        return reached

    def can_visit(self, contexts: np.ndarray) -> np.ndarray:
        """Return which contexts (C,) are the longest ones before a token, from others (C,) on."""
        possible, visited = self.arc_log_weight > -np.inf, contexts
        while True:
            following = self.trie.next[possible & self.can_use(visited)]
            found = visited.copy()
            found[following[following >= 0]] = True
            if np.array_equal(found, visited):
                return found
            visited = found

    def can_use(self, visited: np.ndarray) -> np.ndarray:
        """Return which arcs (A,) are those of a token after any of the contexts (C,).

        By counts, which are exact where a flow less what is passed on is rounding.
        """
        is_open = (self.backoff_log_weight > -np.inf).astype(float)
        flow = self.drop(visited.astype(float), is_open)
        # Numbers of contexts, at most: those from which a context is backed off to.
        used: np.ndarray = self.not_passed(flow, is_open * flow) > 0.5
        return used

    def n_tokens(self, good: np.ndarray) -> np.ndarray:
        """Return how many tokens (C,) after each context use an arc of a mask (A,)."""
        found: np.ndarray = self._count(good)[0]
        return found

    def backs_off_for(self, good: np.ndarray) -> np.ndarray:
        """Return which contexts (C,) back off for tokens that use an arc of a mask (A,)."""
        found: np.ndarray = self._count(good)[1] > 0
        return found

    def _count(self, good):
        """Return how many tokens (C,) after each context use an arc of a mask (A,).

        And how many of them (C,) it backs off for.
        """
        numbers = good.astype(np.int64)
        counts = np.add.reduceat(numbers, self.trie.indptr[:-1])
        lower = np.add.reduceat(numbers[self.lower], self.trie.indptr[:-1])
        rest, is_open = np.zeros_like(counts), self.backoff_log_weight > -np.inf
        for low, high, _, _ in self.levels[1:]:
            left = counts[self.trie.suffix[low:high]] - lower[low:high]
            rest[low:high] = np.where(is_open[low:high], left, 0)
            counts[low:high] += rest[low:high]
        return counts, rest

    # The operator

    def operator(
        self, column_log: FloatArray, row_log: tuple[FloatArray, FloatArray] | None = None
    ) -> "ContextOperator":
        r"""Return the operator :math:`K y(h) = e^{-row(h)} \sum_w q(w|h) e^{column(n)} y(n)`.

        n is the context that follows; ends are no part of it. Rows are the sum of two terms, None
        for 0. With those of ``log_sum_parts(after(column))``, a row of K sums to at most 1.
        """
        zeros = np.zeros(self.trie.n_contexts)
        return ContextOperator(self, column_log, row_log or (zeros, zeros))


class ContextOperator:
    """A step from context to context, by a sparse product and one pass through the levels.

    Attributes
    ----------
    ends : ndarray of shape (C,)
        What a step from each context to the end weighs.
    """

    def __init__(
        self,
        kernel: ContextKernel,
        column_log: FloatArray,
        row_log: tuple[FloatArray, FloatArray],
    ):
        self.kernel, trie = kernel, kernel.trie
        top, rest = (np.where(np.isfinite(part), part, 0.0) for part in row_log)
        values = kernel.arc_log_weight + kernel.after(column_log)
        backoff = np.where(kernel.is_written, -np.inf, kernel.backoff_log_weight)
        of_arc = trie.arc_context
        own = np.exp(values - top[of_arc] - rest[of_arc])
        lower = -np.exp(values[kernel.lower] + (backoff - top)[of_arc] - rest[of_arc])
        self.down = np.exp(backoff + top[trie.suffix] - top + rest[trie.suffix] - rest)
        of_entry = kernel.entry_row
        entries = np.exp(
            values[kernel.entry_arc] + kernel.entry_log_weight - top[of_entry] - rest[of_entry]
        )
        self.ends = self.lift(self._of_ends(own, lower, entries))
        self.matrix = self._assemble(own, lower, entries)

    def _of_ends(self, own, lower, entries):
        kernel = self.kernel
        total = np.where(kernel.ends, own, 0.0) + np.where(kernel.ends[kernel.lower], lower, 0.0)
        ends = kernel.trie.sum_by_context(total)
        if len(entries):
            at = kernel.ends[kernel.entry_arc]
            ends += np.bincount(kernel.entry_row[at], entries[at], len(ends))
        return ends

    def _assemble(self, own, lower, entries):
        kernel, trie = self.kernel, self.kernel.trie
        n_contexts = trie.n_contexts
        following = np.where(kernel.ends, 0, trie.next)
        data = np.empty((trie.n_arcs, 2))
        data[:, 0] = np.where(kernel.ends, 0.0, own)
        data[:, 1] = np.where(kernel.ends[kernel.lower], 0.0, lower)
        columns = np.empty((trie.n_arcs, 2), np.int32)
        columns[:, 0], columns[:, 1] = following, following[kernel.lower]
        shape = (n_contexts, n_contexts)
        indptr = (2 * trie.indptr.astype(np.int64)).astype(np.int32)
        matrix = sparse.csr_array((data.ravel(), columns.ravel(), indptr), shape=shape)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        if len(entries):
            at = ~kernel.ends[kernel.entry_arc]
            where = (kernel.entry_row[at], following[kernel.entry_arc[at]])
            matrix = matrix + sparse.coo_array((entries[at], where), shape=shape).tocsr()
        return sparse.csr_array(matrix)

    @cached_property
    def _transposed(self):
        return sparse.csr_array(self.matrix.T)

    def lift(self, values: FloatArray) -> FloatArray:
        """Return values (C,) with what each context has from the shorter ones, in place."""
        suffix, down = self.kernel.trie.suffix, self.down
        for low, high, _, _ in self.kernel.levels[1:]:
            values[low:high] += down[low:high] * values[suffix[low:high]]
        return values

    def drop(self, weights: FloatArray) -> FloatArray:
        """Return weights (C,) with what each context has from longer ones that back off to it."""
        return self.kernel.drop(weights, self.down)

    def dot(self, values: FloatArray) -> FloatArray:
        """Return K y (C,)."""
        return self.lift(self.matrix @ values)

    def transposed_dot(self, weights: FloatArray) -> FloatArray:
        """Return K' d (C,)."""
        return self._transposed @ self.drop(weights)

    def written_whole(self) -> sparse.csc_array:
        """Return the matrix of I - K before the pass through the levels: (I - S) (I - K)."""
        n = len(self.down)
        at = np.flatnonzero(self.down)
        steps = sparse.coo_array((self.down[at], (at, self.kernel.trie.suffix[at])), shape=(n, n))
        return sparse.csc_array(sparse.eye_array(n) - steps.tocsr() - self.matrix)
