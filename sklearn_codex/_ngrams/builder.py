"""From the n-grams of a table to the arrays of a trie, one length after the other."""

from typing import Any

import numpy as np

from sklearn_codex._ngrams.lookup import find_keys
from sklearn_codex._ngrams.table import Ints, Level

__all__ = ["Builder"]


class Builder:
    """Adds the n-grams of one length after those of another."""

    def __init__(self, n_tokens: int, eos: int):
        self.n_tokens, self.eos = n_tokens, eos
        tokens = np.arange(n_tokens, dtype=np.int32)
        self.owner, self.token = np.zeros(n_tokens, np.int32), tokens  # of the last level
        self.offset = 0  # arcs before the last level
        self.start = -1
        self.n_contexts, self.n_arcs = 1, n_tokens
        none = np.array([-1], np.int32)
        self.suffix, self.arc_of_context = [none], [none]
        self.indptr = [np.array([0, n_tokens])]
        self.arc_token, self.lower = [tokens], [np.full(n_tokens, -1, np.int32)]
        self.context_of_arc = np.zeros(0, np.int32)

    def add_level(self, level: Level) -> None:
        """Add the n-grams of a level."""
        keys = level.keys
        # Arrays of all n-grams are as narrow as they can be: their room takes most of the time.
        prefix = keys // self.n_tokens
        token = (keys - prefix * self.n_tokens).astype(np.int32)
        is_new = np.ones(len(keys), bool)
        np.not_equal(prefix[1:], prefix[:-1], out=is_new[1:])
        first = np.flatnonzero(is_new)
        prefixes = prefix[first]  # of the contexts, in order
        n_before = self.n_contexts
        contexts = np.arange(n_before, n_before + len(prefixes), dtype=np.int32)
        owner = np.cumsum(is_new, dtype=np.int32)
        owner += np.int32(n_before - 1)
        is_root = n_before == 1
        suffix, arc_of_context = self._place_contexts(prefixes, is_root)
        lower: Ints
        if is_root:
            lower = token
        elif level.lower is not None:
            lower = level.lower + self.offset
        else:
            below = self.owner.astype(np.int64) * self.n_tokens + self.token
            shorter = suffix[owner - n_before].astype(np.int64)
            lower = find_keys(below, shorter * self.n_tokens + token)
            if np.any(lower < 0):
                raise ValueError("An n-gram without its first token is not in the table.")
            lower = lower + self.offset
        known = np.full(self.n_arcs, -1, np.int32)
        known[: len(self.context_of_arc)] = self.context_of_arc
        named = arc_of_context >= 0
        known[arc_of_context[named]] = contexts[named]
        self.context_of_arc = known
        self.offset = self.n_arcs
        self.owner, self.token = owner, token
        self.suffix.append(suffix)
        self.arc_of_context.append(arc_of_context)
        self.indptr.append(self.n_arcs + np.append(first[1:], len(keys))[: len(first)])
        self.arc_token.append(token)
        self.lower.append(lower.astype(np.int32, copy=False))
        self.n_contexts += len(prefixes)
        self.n_arcs += len(keys)

    def _place_contexts(self, prefixes, is_root):
        """Return the suffix and the arc of contexts whose prefixes are on the last level."""
        if not is_root:
            arcs = self.offset + prefixes
            return self.context_of_arc[self.lower[-1][prefixes]], arcs
        is_start = prefixes == self.n_tokens
        if is_start.any():
            self.start = self.n_contexts + len(prefixes) - 1
        return np.zeros(len(prefixes), np.int32), np.where(is_start, -1, prefixes)

    def finish(self) -> dict[str, Any]:
        """Return the fields of the trie that follow from the n-grams."""
        sizes = [len(contexts) for contexts in self.suffix]
        context_length = np.repeat(np.arange(len(sizes), dtype=np.int8), sizes)
        lower, arc_token = np.concatenate(self.lower), np.concatenate(self.arc_token)
        following = np.full(self.n_arcs, -1, np.int32)
        following[: len(self.context_of_arc)] = self.context_of_arc
        start = 0
        for size in map(len, self.arc_token):
            level = slice(start, start + size)
            ends = np.flatnonzero(following[level] < 0)
            following[start + ends] = following[lower[start + ends]] if start else 0
            start += size
        following[arc_token == self.eos] = -1
        arrays = {
            "indptr": np.concatenate(self.indptr),
            "arc_token": arc_token,
            "lower": lower,
            "next": following,
            "suffix": np.concatenate(self.suffix),
            "arc_of_context": np.concatenate(self.arc_of_context),
        }
        fields = {name: values.astype(np.int32, copy=False) for name, values in arrays.items()}
        return {**fields, "start": self.start, "context_length": context_length}
