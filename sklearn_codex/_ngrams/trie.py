"""A trie of contexts, and which of its arcs a document uses.

A *context* is what a token is predicted from, up to ``order - 1`` tokens before it, and an *arc* a
token that is known to follow a context. Both are closed under suffixes: without its first token a
context is one, too, and has the same arcs and more. They are closed under prefixes as well. The
*root* is the empty context, and every token is an arc of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from sklearn_codex._categorical import FloatArray
from sklearn_codex._ngrams.builder import Builder
from sklearn_codex._ngrams.lookup import KeyTable, find_keys
from sklearn_codex._ngrams.matrices import count_pairs, stack_rows
from sklearn_codex._ngrams.table import Ints, Level, NGramTable, count_ngrams, part_documents
from sklearn_codex._ngrams.walks import Walk

__all__ = ["Trie", "Walk", "build_trie"]

_CHUNK = 1 << 16  # Tokens of documents to be looked up at a time, in the cache of a core.
_SEARCHES = 4
_FEW_ARCS = 1 << 12
# A look into tables takes a while however few are wanted: searching for so few is faster. Arcs up
# to which keys are kept for that, in 8 MB.
_FEW_WANTED, _MOST_KEYS = 512, 1 << 20


@dataclass(frozen=True, repr=False)
class Trie:
    """Contexts 0 to C - 1, by length, and arcs 0 to A - 1, by context and token.

    Attributes
    ----------
    n_tokens : int
        V; arc t is token t after the root.
    order : int
        Tokens of the longest n-gram there may be, a context and the token after it.
    eos : int
        The end-of-sequence token, after which nothing is predicted; -1 where there is none.
    start : int
        The context at the start of a document, one of length 1; -1 where there is none.
    indptr : ndarray of int (C + 1,)
        The arcs of context c are those from ``indptr[c]`` to ``indptr[c + 1] - 1``.
    arc_token : ndarray of int (A,)
    lower : ndarray of int (A,)
        The arc of the same token after the next shorter context; -1 for those of the root.
    next : ndarray of int (A,)
        The longest context that holds after the arc; -1 after the end of the document.
    suffix : ndarray of int (C,)
        Each context without its first token; -1 for the root.
    context_length : ndarray of int (C,)
    arc_of_context : ndarray of int (C,)
        The arc that a context, as an n-gram, is; -1 for the root and the start.
    """

    n_tokens: int
    order: int
    eos: int
    start: int
    indptr: Ints
    arc_token: Ints
    lower: Ints
    next: Ints
    suffix: Ints
    context_length: Ints
    arc_of_context: Ints

    @classmethod
    def of_root(cls, n_tokens: int, *, eos: int = -1) -> "Trie":
        """Return the trie of order 1, whose arcs are the tokens."""
        return cls.of_table(NGramTable(n_tokens, ()), eos=eos)

    @classmethod
    def of_table(cls, table: NGramTable, *, eos: int = -1) -> "Trie":
        """Return the trie of the n-grams of a table, which holds the parts of each."""
        builder = Builder(table.n_tokens, int(eos))
        for level in table.levels:
            builder.add_level(level)
        order = len(table.levels) + 1
        return cls(n_tokens=table.n_tokens, order=order, eos=int(eos), **builder.finish())

    def is_sound(self) -> bool:
        """Return whether the arrays are those that :meth:`of_table` makes of their n-grams.

        What comes from a file may be anything: other errors than False are of numpy's indices.
        """
        if not 0 < self.n_tokens <= len(self.arc_token) or self.arc_token.min() < 0:
            return False
        levels, n_below = [], 0
        for length, (start, stop) in enumerate(self.levels()):
            if length:
                prefix = self.arc_of_context[self.arc_context[start:stop]].astype(np.int64)
                prefix = np.where(prefix < 0, self.n_tokens, prefix - n_below)
                keys = prefix * self.n_tokens + self.arc_token[start:stop]
                if len(keys) and (keys[0] < 0 or np.diff(keys).min(initial=1) < 1):
                    return False
                levels.append(Level(keys, np.ones(len(keys), int)))
                n_below = start
        again = Trie.of_table(NGramTable(self.n_tokens, tuple(levels)), eos=self.eos)
        return all(
            np.array_equal(getattr(again, name), getattr(self, name))
            for name in self.__dataclass_fields__
        )

    def __repr__(self):
        return f"<Trie of order {self.order}: {self.n_tokens} tokens, {self.n_arcs} n-grams>"

    @property
    def n_contexts(self) -> int:
        """C, the number of contexts."""
        return len(self.suffix)

    @property
    def n_arcs(self) -> int:
        """A, the number of arcs."""
        return len(self.arc_token)

    @property
    def n_events(self) -> int:
        """E = A + 2 (C - 1), the number of columns of :meth:`events`."""
        return self.n_arcs + 2 * (self.n_contexts - 1)

    @property
    def first_context(self) -> int:
        """The context of a document's first token."""
        return max(self.start, 0)

    @cached_property
    def arc_context(self) -> Ints:
        """The context (A,) of each arc."""
        return self.spread(np.arange(self.n_contexts, dtype=np.int32))

    def spread(self, values: Any) -> Any:
        """Return for each arc (A,) the value (C,) of its context."""
        return np.repeat(values, np.diff(self.indptr))

    @cached_property
    def context_of_arc(self) -> Ints:
        """The context (A + 1,) that an arc is as an n-gram; -1 where it is none, and at last."""
        contexts = np.full(self.n_arcs + 1, -1, np.int32)
        named = np.flatnonzero(self.arc_of_context >= 0)
        contexts[self.arc_of_context[named]] = named
        return contexts

    @cached_property
    def context_indptr(self) -> Ints:
        """Where the contexts of each length start (order + 1,), and where the last end."""
        return np.searchsorted(self.context_length, np.arange(self.order + 1))

    @cached_property
    def level_indptr(self) -> Ints:
        """Where the arcs of each length start (order + 1,), and where the last end."""
        return self.indptr[self.context_indptr]

    def contexts_of(self, arcs: Ints) -> Ints:
        """Return the contexts (n,) of few arcs (n,), as :attr:`arc_context` has them for all."""
        return np.searchsorted(self.indptr, arcs, side="right") - 1

    @cached_property
    def _keys(self):
        keys = self.spread(np.arange(self.n_contexts))
        keys *= self.n_tokens
        keys += self.arc_token
        return keys

    @cached_property
    def _table(self):
        table = KeyTable(self._keys, (self.n_contexts * int(self.n_tokens)).bit_length())
        if self.n_arcs > _MOST_KEYS:
            vars(self).pop("_keys")
        return table

    def __getstate__(self):
        return {name: vars(self)[name] for name in self.__dataclass_fields__}

    def __setstate__(self, state):
        vars(self).update(state)

    def __deepcopy__(self, memo):
        return self  # Nothing in it changes.

    def find(self, contexts: Ints, tokens: Ints) -> Ints:
        """Return the arcs (n,) of tokens (n,) after contexts (n,); -1 where there is none."""
        wanted = contexts.astype(np.int64)
        wanted *= self.n_tokens
        wanted += tokens
        if len(wanted) <= _FEW_WANTED and "_keys" in vars(self):
            return find_keys(self._keys, wanted)
        is_worth_it = "_table" in vars(self) or self._is_worth_a_table(len(wanted))
        return self._table.find(wanted) if is_worth_it else find_keys(self._keys, wanted)

    def prepare(self, n_wanted: int) -> None:
        """Make what :meth:`find` is fast by, if so many are asked for, some at a time."""
        if self._is_worth_a_table(n_wanted):
            _ = self._table

    def _is_worth_a_table(self, n_wanted):
        # To make one takes as long as to search for so many; in few arcs searching is fast.
        return self.n_arcs > _FEW_ARCS and n_wanted > self.n_arcs // _SEARCHES

    def shorten(self, contexts: Ints, length: int) -> Ints:
        """Return the suffixes (n,) of a length of contexts (n,); -1 where one is shorter."""
        contexts = np.array(contexts)
        while True:
            if not len(long := np.flatnonzero(self.context_length[contexts] > length)):
                break
            contexts[long] = self.suffix[contexts[long]]
        contexts[self.context_length[contexts] < length] = -1
        return contexts

    def walk(self, ids: Ints, starts: Ints, contexts: Ints | None = None) -> Walk:
        """Follow documents from arc to arc.

        Parameters
        ----------
        ids : ndarray of int (n,)
            The tokens of all documents, one document after the other. The end-of-sequence token
            is the last one of a document, if it is there.
        starts : ndarray of int (n_documents + 1,)
            Where the tokens of each document start, and where those of the last end.
        contexts : ndarray of int (n_documents,) or None, default=None
            The context at the start of each; None for documents that start there.
        """
        n_documents = len(starts) - 1
        if contexts is None:
            contexts = np.full(n_documents, self.first_context, np.int32)
        has_tokens = np.diff(starts) > 0
        first = starts[:-1][has_tokens]
        arcs: Ints = np.array(ids, np.int32)
        longest = np.zeros(len(ids), np.int32)
        context = np.full(len(ids), -1, np.int32)
        at: Ints = np.arange(len(ids))
        found: Ints = arcs
        for length, n_shorter in enumerate(self.context_indptr[1:-1].tolist(), 1):
            # What was found, of so many tokens, is the context of the next one if it is a context.
            context[:] = -1
            goes_on = slice(None, np.searchsorted(at, len(ids) - 1))
            context[at[goes_on] + 1] = self.next.take(found[goes_on])
            context[first] = self.shorten(contexts[has_tokens], length)
            at = np.flatnonzero(context >= n_shorter)
            own = context.take(at)
            longest[at] = own
            found = self.find(own, ids.take(at))
            is_known = np.flatnonzero(found >= 0)
            at, found = at.take(is_known), found.take(is_known)
            arcs[at] = found
        return Walk(arcs, longest, self._ends(ids, starts, contexts, arcs, longest))

    def _ends(self, ids, starts, contexts, arcs, longest):
        ends = np.array(contexts, np.int32)
        has_tokens = np.diff(starts) > 0
        last = starts[1:][has_tokens] - 1
        before = self.contexts_of(arcs[last]) if longest is None else longest[last]
        ends[has_tokens] = np.where(ids[last] == self.eos, before, self.next[arcs[last]])
        return ends

    def events(self, ids: Ints, starts: Ints, contexts: Ints | None = None) -> sparse.csr_array:
        """Count what documents use, so that their likelihoods are linear in the counts.

        Parameters are those of :meth:`walk`.

        Returns
        -------
        events : csr_array of float64 (n_documents, E)
            Canonical. Columns are the A arcs, then for contexts 1 to C - 1 how often each is backed
            off from, then whether the document ends in it.
        """
        return stack_rows(
            self.count_events(walk, starts)
            for walk, starts in self.walk_in_chunks(ids, starts, contexts)
        )

    def events_of_arcs(self, ids: Ints, starts: Ints, arcs: Ints) -> sparse.csr_array:
        """Do :meth:`events` where the arcs (n,) are known, as of documents the trie is made of.

        These back off nowhere.
        """
        parts = []
        for first, end in part_documents(starts, _CHUNK):
            place, own = slice(starts[first], starts[end]), starts[first : end + 1] - starts[first]
            contexts = np.full(end - first, self.first_context, np.int32)
            ends = self._ends(ids[place], own, contexts, arcs[place], None)
            parts.append(self._count(arcs[place], ends, own))
        return stack_rows(parts)

    def walk_in_chunks(
        self, ids: Ints, starts: Ints, contexts: Ints | None = None
    ) -> Iterator[tuple[Walk, Ints]]:
        """Do :meth:`walk` for some documents at a time; yield also their own ``starts``."""
        self.prepare(len(ids) * (self.order - 1))
        for first, end in part_documents(starts, _CHUNK):
            own = starts[first : end + 1] - starts[first]
            some = None if contexts is None else contexts[first:end]
            yield self.walk(ids[starts[first] : starts[end]], own, some), own

    def count_events(self, walk: Walk, starts: Ints) -> sparse.csr_array:
        """Return the :meth:`events` of documents that were followed."""
        return self._count(walk.arcs, walk.ends, starts, self.backed_off(walk))

    def _count(self, arcs, ends, starts, backed_off=()):
        rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        ended = np.flatnonzero(ends > 0)
        columns, owners = [arcs], [rows]
        for at, passed in backed_off:
            columns.append(passed + (self.n_arcs - 1))
            owners.append(rows[at])
        columns.append(ends[ended] + (self.n_arcs + self.n_contexts - 2))
        owners.append(ended)
        return count_pairs(owners, columns, (len(starts) - 1, self.n_events))

    def backed_off(self, walk: Walk) -> Iterator[tuple[Ints, Ints]]:
        """Yield tokens (k,), as positions, and contexts (k,) they were predicted by backing off.

        A token is yielded once for each context that is passed.
        """
        # The arcs of a context come behind those of all shorter ones.
        at = np.flatnonzero(walk.arcs < self.indptr.take(walk.contexts))
        context, arcs = walk.contexts[at], walk.arcs[at]
        while len(at):
            yield at, context
            context = self.suffix[context]
            on = np.flatnonzero(arcs < self.indptr[context])
            at, context, arcs = at[on], context[on], arcs[on]

    def raw_counts(self, events: FloatArray) -> FloatArray:
        """Return how often each n-gram occurs (A,), as itself or in a longer one.

        Parameters
        ----------
        events : ndarray of shape (E,)
            A sum of rows of :meth:`events`.
        """
        counts = np.array(events[: self.n_arcs], np.float64)
        for start, stop in reversed(self.levels()[1:]):
            # Arcs of one level all lie on the level below, which has its own sum by then.
            counts += np.bincount(self.lower[start:stop], counts[start:stop], minlength=self.n_arcs)
        return counts

    def sum_by_context(self, values: FloatArray) -> FloatArray:
        """Return the sum (C,) of a value (A,) over the arcs of each context."""
        return np.add.reduceat(values, self.indptr[:-1])

    def levels(self) -> list[tuple[int, int]]:
        """Return for each length from 1 where its arcs start, and where they end."""
        edges = self.level_indptr.tolist()
        return list(pairwise(edges))

    @cached_property
    def cumulative(self) -> sparse.csr_array:
        """The map (E, A) from events to counts of n-grams: one counts for all its suffixes."""
        owners: list[Ints] = [np.arange(self.n_arcs)]
        columns: list[Ints] = [np.arange(self.n_arcs)]
        while len(owners[-1]):
            shorter = self.lower[columns[-1]]
            has_shorter = shorter >= 0
            owners.append(owners[-1][has_shorter])
            columns.append(shorter[has_shorter])
        return count_pairs(owners, columns, (self.n_events, self.n_arcs))

    def truncate(self, order: int) -> "Trie":
        """Return the trie of the n-grams of at most ``order`` tokens."""
        n_contexts = int(np.searchsorted(self.context_length, order))
        n_arcs = int(self.indptr[n_contexts])
        following = self.next[:n_arcs]
        while True:
            long = np.flatnonzero(following >= n_contexts)
            if not len(long):
                break
            following = np.array(following)
            following[long] = self.suffix[following[long]]
        return Trie(
            self.n_tokens,
            order,
            self.eos,
            self.start if self.start < n_contexts else -1,
            self.indptr[: n_contexts + 1],
            self.arc_token[:n_arcs],
            self.lower[:n_arcs],
            following,
            self.suffix[:n_contexts],
            self.context_length[:n_contexts],
            self.arc_of_context[:n_contexts],
        )

    def projection(self, smaller: "Trie", numbers: Ints | None = None) -> sparse.csr_array:
        """Return the map (E, E') from events to those of the same documents in a smaller trie.

        Parameters
        ----------
        smaller : Trie
            Of some n-grams of this one.
        numbers : ndarray of int (A,) or None, default=None
            The arcs of the smaller trie that those of this one are, -1 for none; None if it is
            truncated.
        """
        if numbers is None:
            numbers = np.where(np.arange(self.n_arcs) < smaller.n_arcs, np.arange(self.n_arcs), -1)
        known = self._known_contexts(smaller, numbers)
        arcs = np.arange(self.n_arcs)
        while (lost := np.flatnonzero(numbers[arcs] < 0)).size:
            arcs[lost] = self.lower[arcs[lost]]
        used = Walk(numbers[arcs], known[self.arc_context], np.empty(0, int))
        rows: list[Ints] = [np.arange(self.n_arcs)]
        columns: list[Ints] = [used.arcs]
        for at, passed in smaller.backed_off(used):
            rows.append(at)
            columns.append(passed + (smaller.n_arcs - 1))
        contexts = np.arange(1, self.n_contexts)
        n_back, n_back_smaller = self.n_contexts - 1, smaller.n_contexts - 1
        same = contexts[smaller.context_length[known[1:]] == self.context_length[1:]]
        rows.append(self.n_arcs - 1 + same)
        columns.append(smaller.n_arcs - 1 + known[same])
        ended = contexts[known[1:] > 0]
        rows.append(self.n_arcs + n_back - 1 + ended)
        columns.append(smaller.n_arcs + n_back_smaller - 1 + known[ended])
        return count_pairs(rows, columns, (self.n_events, smaller.n_events))

    def _known_contexts(self, smaller, numbers):
        """Return the longest suffix (C,) of each context that a smaller trie has."""
        known = np.zeros(self.n_contexts, np.int64)
        if self.start >= 0:
            known[self.start] = smaller.first_context
        for context_length in range(1, self.order):
            own = np.flatnonzero(self.context_length == context_length)
            own = own[own != self.start]
            arcs = numbers[self.arc_of_context[own]]
            same = smaller.context_of_arc[arcs]  # that of arc -1, the last, is -1
            known[own] = np.where(same >= 0, same, known[self.suffix[own]])
        return known

    def spell(self, names: np.ndarray) -> tuple[list[str], list[str]]:
        """Return all arcs and all contexts as text, tokens joined by a space.

        The start of a document is ``<s>``, in parentheses where that is a token.

        Parameters
        ----------
        names : ndarray of str objects (V,)
            The tokens.
        """
        first = "<s>"
        while first in names:
            first = f"({first})"
        arcs: list[str] = []
        contexts = [""]
        tokens = names[self.arc_token].tolist()
        for length, (start, stop) in enumerate(self.levels()):
            own = np.arange(*self.context_indptr[length : length + 2])
            if length:
                contexts += [
                    first if arc < 0 else arcs[arc] for arc in self.arc_of_context[own].tolist()
                ]
            owners = np.repeat(own, self.indptr[own + 1] - self.indptr[own]).tolist()
            of_level = zip(owners, tokens[start:stop], strict=True)
            arcs += [f"{contexts[owner]} {token}" if owner else token for owner, token in of_level]
        return arcs, contexts

    @cached_property
    def token_map(self) -> sparse.csr_array:
        """The map (E, V) from events to counts of tokens."""
        shape = (self.n_events, self.n_tokens)
        return count_pairs([np.arange(self.n_arcs)], [self.arc_token], shape)

    def ngrams(self, arcs: Ints) -> Ints:
        """Return the tokens (n, order) of arcs as n-grams, behind -1 where they are shorter.

        What begins with the start of a document has -2 for it.
        """
        tokens = np.full((len(arcs), self.order), -1, np.int32)
        at, arcs = np.arange(len(arcs)), np.asarray(arcs)
        for column in reversed(range(self.order)):
            tokens[at, column] = self.arc_token[arcs]
            contexts = self.arc_context[arcs]
            if column and self.start >= 0:
                tokens[at[contexts == self.start], column - 1] = -2
            arcs = self.arc_of_context[contexts]
            at, arcs = at[arcs >= 0], arcs[arcs >= 0]
        return tokens


def build_trie(
    ids: Ints,
    starts: Ints,
    n_tokens: int,
    *,
    order: int,
    eos: int = -1,
    min_count: int = 1,
    max_ngrams: int | None = None,
) -> Trie:
    """Return the trie of the n-grams of documents; parameters are as elsewhere here."""
    table, _ = count_ngrams(ids, starts, n_tokens, order)
    return Trie.of_table(table.prune(min_count=min_count, max_ngrams=max_ngrams), eos=eos)
