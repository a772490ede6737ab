"""Problems over n-gram policies small enough to write out, shared by the tests of their optimum."""

from itertools import product

import numpy as np
from scipy.special import logsumexp

from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.trie import build_trie
from sklearn_codex.exact import NGramObjective, arc_reward

N_TOKENS, EOS = 4, 3


def random_trie(seed, *, order=3, eos=EOS, n_tokens=N_TOKENS, n_documents=6, longest=7):
    """A trie of random documents, which has a start and misses most n-grams."""
    rng = np.random.default_rng(seed)
    n_body = n_tokens - (eos is not None)
    rows = rng.dirichlet(np.full(n_body, 0.5), n_body)
    documents = []
    for length in rng.integers(1, longest, n_documents):
        document = [int(rng.integers(n_body))]
        while len(document) < length:
            document.append(int(rng.choice(n_body, p=rows[document[-1]])))
        documents.append(document + [eos] * (eos is not None))
    starts = np.cumsum([0, *map(len, documents)])
    ids = np.concatenate(documents)
    return build_trie(ids, starts, n_tokens, order=order, eos=-1 if eos is None else eos)


def random_model(trie, seed, *, spread=1.0, stop=None):
    """A back-off model whose arcs and back-off weights are random, each row summing to one."""
    rng = np.random.default_rng([seed, 7])
    weights = np.exp(spread * rng.normal(size=trie.n_arcs))
    if stop is not None:
        weights[trie.arc_token == trie.eos] *= stop
    log_prob, backoff = np.empty(trie.n_arcs), np.zeros(trie.n_contexts)
    for context in range(trie.n_contexts):
        arcs = slice(trie.indptr[context], trie.indptr[context + 1])
        own = weights[arcs] / weights[arcs].sum()
        share = 1.0 if context == 0 else rng.uniform(0.3, 0.95)
        if context:
            left = 1.0 - np.exp(log_prob[trie.lower[arcs]]).sum()
            if left < 1e-12:  # every token of the shorter context is an arc
                share, backoff[context] = 1.0, np.log(rng.uniform(0.5, 2.0))
            else:
                backoff[context] = np.log((1.0 - share) / left)
        log_prob[arcs] = np.log(share * own)
    return BackoffModel(trie, log_prob, backoff)


def random_problem(seed, *, order=3, eos=EOS, n_tokens=N_TOKENS, scale=0.5, **settings):
    """A problem whose rewards are of n-grams of any length, and whose length does not explode."""
    rng = np.random.default_rng([seed, 11])
    trie = random_trie(seed, order=order, eos=eos, n_tokens=n_tokens)
    parameters = {
        "kl_coef": float(rng.uniform(0.5, 2.0)),
        "reward_coef": float(rng.uniform(0.3, 1.5)),
        "penalty": random_values(trie, seed + 1, low=0.0),
    } | settings
    reward = arc_reward(trie, scale * rng.normal(size=trie.n_arcs))
    return NGramObjective.of_model(random_model(trie, seed), reward, **parameters)


def random_values(trie, seed, *, low=None, of_backoffs=True):
    """Values of events, none of ends; not negative, and 0 for half of them, with a low of 0."""
    rng = np.random.default_rng([seed, 13])
    values = rng.normal(size=trie.n_events)
    if low is not None:
        values = np.abs(values) * rng.integers(0, 2, trie.n_events)
    values[trie.n_arcs + (trie.n_contexts - 1) * of_backoffs :] = 0.0
    return values


def random_policy(problem, seed, spread=1.0):
    return random_model(problem.trie, seed + 1000, spread=spread).event_log_prob


class Documents:
    """All documents up to a length, those that are cut there included, and their events."""

    def __init__(self, trie, length, *, context=None):
        self.trie = trie
        body = [t for t in range(trie.n_tokens) if t != trie.eos]
        documents = []
        if trie.eos >= 0:
            for n in range(length):
                documents += [(*inner, trie.eos) for inner in product(body, repeat=n)]
        self.n_ended = len(documents)
        documents += list(product(body, repeat=length))
        ids = np.concatenate([np.array(document, int) for document in documents])
        self.tokens = documents
        self.lengths = np.array([len(document) for document in documents])
        starts = np.append(0, np.cumsum(self.lengths))
        context = trie.first_context if context is None else context
        contexts = np.full(len(documents), context, np.int32)
        self.events = trie.events(ids, starts, contexts).toarray()
        self.ended = np.arange(len(documents)) < self.n_ended

    def sums(self, values):
        """Sums (n,) of values (E,), where no event makes 0 of an infinite one."""
        finite = np.where(np.isfinite(values), values, 0.0)
        total = self.events @ finite
        hit = (self.events[:, ~np.isfinite(values)] > 0).any(axis=1)
        return np.where(hit, -np.inf if np.isneginf(values).any() else np.inf, total)

    def log_prob(self, policy):
        return self.sums(policy)

    def value(self, problem, policy):
        """J by its definition."""
        own = self.log_prob(policy)
        drawn = own > -np.inf
        prob, own = np.exp(own[drawn]), own[drawn]
        gain = problem.reward_coef * self.sums(problem.token_reward)[drawn]
        gain -= problem.kl_coef * (own - self.sums(problem.reference_log_prob)[drawn])
        if problem.penalty is not None:
            gain -= problem.kl_coef * self.sums(problem.penalty)[drawn]
        gain -= problem.entropy_coef * own
        gain -= problem.missing_eos_penalty * ~self.ended[drawn]
        return prob @ gain

    def best_value(self, problem):
        """J of the best distribution over documents."""
        weights = self.sums(problem.exponent)
        weights -= problem.missing_eos_penalty * ~self.ended / problem.temperature
        return problem.temperature * logsumexp(weights)


def dense_rows(trie, weights):
    """Weights (C, V) of the next token, and the context after it (C, V), token by token."""
    arcs = {}
    for arc in range(trie.n_arcs):
        arcs[int(trie.arc_context[arc]), int(trie.arc_token[arc])] = arc
    table = np.empty((trie.n_contexts, trie.n_tokens))
    following = np.empty((trie.n_contexts, trie.n_tokens), int)
    for context in range(trie.n_contexts):
        for token in range(trie.n_tokens):
            at, total = context, 0.0
            while (at, token) not in arcs:
                total += weights[trie.n_arcs + at - 1]
                at = int(trie.suffix[at])
            arc = arcs[at, token]
            table[context, token] = total + weights[arc]
            following[context, token] = trie.next[arc]
    return table, following


def dense_matrix(trie, weights):
    """The weights (C, C) of steps between contexts, and (C,) of ending."""
    table, following = dense_rows(trie, weights)
    n = trie.n_contexts
    steps, ends = np.zeros((n, n)), np.zeros(n)
    for context in range(n):
        for token in range(trie.n_tokens):
            weight = np.exp(table[context, token])
            if following[context, token] < 0:
                ends[context] += weight
            else:
                steps[context, following[context, token]] += weight
    return steps, ends


def safe_problem(seed, factor=1.3, **settings):
    """A problem that has an optimum: where length explodes, at a higher ``kl_coef``."""
    problem = random_problem(seed, **settings)
    if problem.length_explodes:
        problem = problem.having(kl_coef=factor * problem.smallest_safe_kl_coef())
    return problem
