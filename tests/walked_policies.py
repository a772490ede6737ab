"""Tilted policies over n-grams, token by token in plain python: what fast code is held against."""

import math

import numpy as np


class WalkedPolicy:
    """A reference tilted by weights of n-grams, normalised over all tokens after each context.

    N-grams are tuples of tokens, -2 in front being the start of a document.
    """

    def __init__(self, trie, reference, weights, kl_coef):
        grams = [tuple(t for t in row if t != -1) for row in trie.ngrams(np.arange(trie.n_arcs))]
        assert len(set(grams)) == trie.n_arcs
        self.n_tokens, self.order, self.kl_coef = trie.n_tokens, trie.order, kl_coef
        self.log_prob = dict(zip(grams, reference[: trie.n_arcs], strict=True))
        self.weights = dict(zip(grams, weights, strict=True))
        self.backoff, self.number = {}, {(): 0}
        for context in range(1, trie.n_contexts):
            arc = trie.arc_of_context[context]
            gram = (-2,) if arc < 0 else grams[arc]
            self.number[gram] = context
            self.backoff[gram] = reference[trie.n_arcs + context - 1]
        self.has_start, self.eos = trie.start >= 0, trie.eos

    def context_after(self, tokens):
        """The longest known context at the end of tokens, the start among them where it counts."""
        context = tuple(tokens)[max(0, len(tokens) - self.order + 1) :]
        while context not in self.number:
            context = context[1:]
        return context

    def begin(self):
        return (-2,) if self.has_start else ()

    def reference(self, context, token):
        """Log-probability of a token, and the n-gram that draws it."""
        total = 0.0
        while (*context, token) not in self.log_prob:
            total += self.backoff[context]
            context = context[1:]
        return total + self.log_prob[(*context, token)], (*context, token)

    def tilted(self, context, token):
        """Logarithm of the weight of a token, before it is divided by that of all."""
        log_prob, gram = self.reference(context, token)
        tilt = sum(self.weights[gram[n:]] for n in range(len(gram)) if gram[n:] in self.weights)
        return log_prob + tilt / self.kl_coef

    def row(self, context):
        """Log-probabilities of all tokens after a context."""
        weights = [self.tilted(context, token) for token in range(self.n_tokens)]
        total = math.log(math.fsum(map(math.exp, weights)))
        return [weight - total for weight in weights]

    def log_ratio(self, document, before=()):
        """The log-ratio of a document to the reference, after tokens before it."""
        history, total = [*self.begin(), *before], 0.0
        for token in document:
            context = self.context_after(history)
            total += self.row(context)[token] - self.reference(context, token)[0]
            history.append(token)
        return total

    def reward(self, document, before=()):
        return self.kl_coef * self.log_ratio(document, before)
