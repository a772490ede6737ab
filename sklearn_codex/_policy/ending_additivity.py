"""Whether a reward of documents that end by themselves adds over tokens or n-grams, told by trying.

What all documents have, such as a constant, is an offset: no policy changes it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import lsmr

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy.ngram_rewards import (
    Linear,
    as_rollouts,
    trie_of_rollouts,
)
from sklearn_codex._policy.problem import PolicyProblem
from sklearn_codex._rollouts import Rollouts

# Documents of each kind that values have to explain.
_N_DRAWN, _N_EVEN, _N_FEW_TOKENS, _N_SAME_TOKEN, _N_PAIRED = 256, 1024, 512, 512, 256
_N_CUT = 4
# N-grams whose values are asked for: each is shown in documents of its own.
_MOST_NGRAMS = 1 << 13
# By how much documents are longer than those drawn, and tokens of the longest.
_LONGER, _LONGEST = 4, 512
_SHORT = 8
_LARGEST_TILT = 30.0
# A value of so small a share of the greatest reward is rounding of the solver.
_ROUNDING = 1e-11
_EPS, _MAX_STEPS = 1e-15, 2000
# Difference that is rounding, as a share of a document's reward, and of the largest of all.
_SAME, _LOST = 1e-8, 64 * np.finfo(np.float64).eps

Score = Callable[[Rollouts], FloatArray]


def find_values_where_documents_end(
    score: Score, problem: PolicyProblem, rng: np.random.RandomState
) -> Linear | None:
    """Return what tokens or n-grams add to the score of any document that ends, or None.

    Values come by least squares from documents that show each token and, of policies over n-grams,
    each n-gram twice or more, and some that are cut, where documents are; those of n-grams where
    values of tokens do not explain them. They then have to explain documents of all kinds: the
    empty one, some that are many times longer than those drawn, of tokens drawn evenly, of two or
    three tokens, of one, with each token after each other one, of n-grams, and of the policies half
    way and all the way to what is best if the score is the reward.

    Parameters
    ----------
    score : callable
        Takes rollouts, returns (n_documents,).
    problem : PolicyProblem
        Reference and weights.
    rng : RandomState
        Source of the documents.
    """
    drawn = problem.sample(problem.start, _N_DRAWN, rng)
    if drawn.eos is None:
        return None
    trials = _Trials(problem, drawn, rng)
    if not len(trials.possible):
        return None
    trie = trials.trie
    shown = [drawn, *trials.of_tokens(), *trials.of_ngrams(), *trials.cut()]
    rewards = [score(rollouts) for rollouts in shown]
    # What all documents have that are shown is no reward of the end.
    eos = trials.eos if all(rollouts.ended.all() for rollouts in shown) else None
    found = _solve(rewards, [rollouts.counts for rollouts in shown], eos)
    if trie is not None:
        found = Linear(trie.token_map @ found.weights, found.offset)
        if not _explains(found, rewards, shown, 0.0) and trie.n_arcs <= _MOST_NGRAMS:
            events: list[Any] = [rollouts.events for rollouts in shown]  # type: ignore[attr-defined]
            found = _solve(rewards, [each @ trie.cumulative for each in events], eos)
            found = Linear(trie.cumulative @ found.weights, found.offset)
    if not _explains(found, rewards, shown, 0.0):
        return None
    least, others = _usual(found, rewards), trials.others(found)
    agree = (_explains(found, [score(each)], [each], least) for each in others)
    return found if all(agree) else None


def _solve(rewards, counts, eos):
    """Return values of columns that are nearest to explaining rewards of documents by counts.

    That of the end, ``eos``, is part of the offset, as all have it; None where some are cut.
    """
    actual = np.concatenate(rewards)
    counts = sparse.csr_array(sparse.vstack(counts))
    design = sparse.csr_array(sparse.hstack([counts, sparse.csr_array(np.ones((len(actual), 1)))]))
    scale = np.sqrt(design.multiply(design).sum(axis=0))
    scale[scale == 0] = 1.0
    # So that nothing is to be found of a constant.
    origin = float(actual[0])
    scaled = design @ sparse.diags_array(1.0 / scale)
    solved = (
        lsmr(scaled, actual - origin, atol=_EPS, btol=_EPS, conlim=0, maxiter=_MAX_STEPS)[0] / scale
    )
    solved[np.abs(solved) <= _ROUNDING * np.abs(actual).max()] = 0.0
    weights, offset = solved[:-1], origin + float(solved[-1])
    if eos is not None:
        offset += float(weights[eos])
        weights[eos] = 0.0
    return Linear(weights, offset)


def _explains(found, rewards, batches, least):
    """Return whether values of a policy's columns explain the rewards of batches of documents.

    Up to rounding of the rewards of each document, the offset apart, and of ``least`` where all are
    smaller: values may be any where they cancel, and a vast reward of a few documents says nothing
    of the others but for what floats lose.
    """
    actual = np.concatenate(rewards)
    predicted = np.concatenate([batch.sum_over_tokens(found.weights) for batch in batches])
    lost = _LOST * max(np.abs(actual).max(), abs(found.offset))
    size = np.maximum(np.abs(actual - found.offset), max(_usual(found, rewards), least))
    tolerated = np.maximum(_SAME * size, lost)
    return bool(np.all(np.abs(actual - (predicted + found.offset)) <= tolerated))


def _usual(found, rewards):
    """Return the median distance of rewards from the offset, of those that have any."""
    actual = np.concatenate(rewards)
    size = np.abs(actual - found.offset)
    differs = size > _LOST * max(np.abs(actual).max(), abs(found.offset))
    return float(np.median(size[differs])) if differs.any() else 0.0


class _Trials:
    """Documents that a reference can draw, of all kinds.

    Parameters
    ----------
    problem : PolicyProblem
        With documents that end by themselves.
    drawn : Rollouts
        Some of the reference.
    rng : RandomState
        Source of the documents.
    """

    def __init__(self, problem: PolicyProblem, drawn: Rollouts, rng: np.random.RandomState):
        self.problem, self.drawn, self.rng = problem, drawn, rng
        assert drawn.eos is not None
        self.eos, self.trie = drawn.eos, trie_of_rollouts(drawn)
        is_possible = np.isfinite(problem.start[: drawn.n_columns])
        is_possible[self.eos] = False
        self.possible = np.flatnonzero(is_possible)
        self.longest = min(_LONGER * int(drawn.lengths.max()), _LONGEST)

    def of_tokens(self) -> list[Rollouts]:
        """Return the empty document, and two of each token."""
        single = self.possible[:, np.newaxis]
        return self._make([[], *single, *np.hstack([single, self._draw((len(single), 2))])])

    def cut(self) -> list[Rollouts]:
        """Return documents of even tokens that are cut before their end, unless that is far off."""
        longest = self.problem.objective.max_length
        if longest is None or longest > _LONGEST:
            return []
        return self._make(self._draw((_N_CUT, longest)))

    def of_ngrams(self) -> list[Rollouts]:
        """Return documents of n-grams, by themselves and among other tokens, and even ones."""
        if self.trie is None:
            return []
        arcs = np.arange(self.trie.n_arcs)
        if len(arcs) > _MOST_NGRAMS:
            arcs = self.rng.choice(arcs, _MOST_NGRAMS, replace=False)
        rows = [row[(row >= 0) & (row != self.eos)] for row in self.trie.ngrams(arcs)]
        among = self._draw((len(rows), 2))
        placed = [
            np.insert(row, [0, len(row)], pair) for row, pair in zip(rows, among, strict=True)
        ]
        behind = [np.append(pair, row) for row, pair in zip(rows, among, strict=True)]
        return self._make([*rows, *placed, *behind, *self._even(_SHORT)])

    def others(self, found: Linear) -> Iterator[Rollouts]:
        """Yield documents of all kinds, and those of policies that are good for what was found."""
        yield from self._make([*self._even(_SHORT), *self._even(self.longest)])
        yield from self.of_ngrams()
        few = self._draw((_N_FEW_TOKENS, 3))
        places = [
            self.rng.randint(2 + i % 2, size=n) for i, n in enumerate(self._lengths(len(few)))
        ]
        yield from self._make([row[place] for row, place in zip(few, places, strict=True)])
        same = self._some(_N_SAME_TOKEN)
        lengths = self._lengths(len(same))
        yield from self._make([np.repeat(one, n) for one, n in zip(same, lengths, strict=True)])
        yield from self._make(self._paired())
        yield from self._of_better_policies(found)

    def _draw(self, shape):
        return self.possible[self.rng.randint(len(self.possible), size=shape)]

    def _some(self, n):
        """Return all tokens, or some of more than n."""
        if len(self.possible) <= n:
            return self.possible
        return self.rng.choice(self.possible, n, replace=False)

    def _lengths(self, n):
        """Return lengths (n,) of which each second one is small."""
        lengths = self.rng.randint(self.longest + 1, size=n)
        lengths[::2] %= _SHORT
        return lengths

    def _even(self, longest):
        """Return documents of tokens drawn evenly, none longer than so many."""
        return [self._draw(n) for n in self.rng.randint(longest + 1, size=_N_EVEN)]

    def _paired(self):
        """Return documents with each token before and after each other one, or some of many."""
        others = self._some(_N_PAIRED)
        return [
            np.stack([np.full(len(others), one), others], axis=1).ravel()
            for one in self._some(_N_PAIRED)
        ]

    def _of_better_policies(self, found):
        objective = self.problem.objective
        for share in (0.5, 1.0):
            tilt = share * objective.reward_coef / objective.temperature * found.weights
            policy = objective.moved(
                self.problem.start, np.clip(tilt, -_LARGEST_TILT, _LARGEST_TILT)
            )
            drawn = self.problem.sample(policy, _N_DRAWN, self.rng, max_length=self.longest)
            ends = drawn.starts + drawn.lengths - drawn.ended
            bounds = zip(drawn.starts, ends, strict=True)
            # Those that are cut are documents that end there.
            yield from self._make([drawn.tokens[start:end] for start, end in bounds])

    def _make(self, documents) -> list[Rollouts]:
        """Return a batch of those documents that the reference can draw, each ended or cut."""
        longest = self.problem.objective.max_length
        rows = [np.append(row, self.eos).astype(np.intp)[:longest] for row in documents]
        begins = self._begins(len(rows))
        made = self._rollouts(rows, begins)
        is_possible = np.isfinite(made.sum_over_tokens(self.problem.start))
        if is_possible.all():
            return [made]
        kept = np.flatnonzero(is_possible)
        return [self._rollouts([rows[i] for i in kept], begins[kept])] if len(kept) else []

    def _rollouts(self, rows, begins):
        if self.trie is not None:
            return as_rollouts(rows, self.drawn, begins)
        lengths = np.array([len(row) for row in rows])
        drawn = self.drawn
        return Rollouts(np.concatenate(rows), lengths, drawn.n_columns, drawn.names, drawn.eos)

    def _begins(self, n):
        """Return the contexts (n,) that documents go on from."""
        initial = getattr(self.problem.objective, "initial", None)
        if initial is None:
            return np.full(n, 0 if self.trie is None else self.trie.first_context)
        return self.rng.choice(np.flatnonzero(initial), n)
