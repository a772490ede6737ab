"""Rules with their prices, and what is settled of them before training begins."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from sklearn_codex._categorical import FloatArray
from sklearn_codex._rollouts import Rollouts
from sklearn_codex._rule_amounts import check_violations, ngram_violations, token_violations
from sklearn_codex.exact import chance_budget
from sklearn_codex.exact._objective import Objective
from sklearn_codex.rules import Rule


@dataclass(frozen=True)
class PricedRule:
    """A rule with its price in nats.

    Parameters
    ----------
    name : str
        What it is called in the history.
    rule : Rule
        The rule.
    token_violations : ndarray of shape (V,) or None
        Violations of each token, where they add over tokens.
    price : float
        Nats of KL that a violation costs; where the price of a chance constraint is learned, that a
        violating document costs.
    amount_price : float
        Nats that each violation costs besides, where hardly a document is without and so the price
        of a violating document says nothing.
    is_tested : bool
        Whether ``token_violations`` were found by trying documents, not declared by the rule.
    is_tracked : bool
        Whether the price of a chance constraint on tokens follows the reward that is learned; it is
        reported as that of a document then.
    """

    name: str
    rule: Rule
    token_violations: FloatArray | None
    price: float
    amount_price: float = 0.0
    is_tested: bool = False
    is_tracked: bool = False

    @property
    def is_learned(self) -> bool:
        """Whether the price is learned while the policy is trained."""
        return self.rule.max_rate is not None and self.token_violations is None

    @property
    def is_found(self) -> bool:
        """Whether the price follows from what is known, or learned, of each token."""
        return self.rule.max_rate is not None and self.token_violations is not None

    def cost(self, violations: FloatArray) -> FloatArray:
        """Return the nats (n_documents,) that documents with these violations cost."""
        amounts = np.asarray(violations, dtype=np.float64)
        if self.is_learned:
            return self.price * (amounts > 0) + self.amount_price * amounts
        return self.price * amounts

    def judge(self, rollouts: Rollouts) -> FloatArray:
        """Return the violations (n_documents,) of documents, by the rule itself."""
        return check_violations(self.rule.violations(rollouts), self.name, rollouts)

    def excess_log_odds(self, log_prob: FloatArray, length: int) -> float:
        """Return the log odds of the tokens less those at which documents have the largest rate."""
        assert self.token_violations is not None
        assert self.rule.max_rate is not None
        marked = self.token_violations > 0
        own = float(logsumexp(log_prob[marked])) - float(logsumexp(log_prob[~marked]))
        most = chance_budget(self.rule.max_rate, length) / length
        excess = own - float(np.log(most) - np.log1p(-most))
        return excess if np.isfinite(excess) else 0.0

    def reported_price(self, log_prob: FloatArray, length: int | None) -> float:
        r"""Return the price in the unit of ``rule_prices_``.

        A price of :math:`\lambda` nats a token moves the policy as much as one of
        :math:`\lambda / (1 - p)^{L - 1}` nats a violating document, with p the total probability of
        the tokens: L tokens change the expected number of violations by L dp, and the share of
        documents by :math:`L (1 - p)^{L - 1} dp`. What a hard rule bans has no price that buys it.
        """
        if self.rule.hard:
            return np.inf
        if self.token_violations is None or self.rule.max_rate is None or not self.is_tracked:
            return self.price
        assert length is not None
        p = min(float(np.exp(log_prob[self.token_violations > 0]).sum()), 1.0)
        # It is beyond any bound where hardly a document is without.
        least = np.finfo(np.float64).tiny ** (0.5 / length)
        return float(self.price / max(1.0 - p, least) ** (length - 1))


def price_rule(
    name: str, rule: Rule, objective: Objective, names: np.ndarray | None, n_tokens: int, subject
) -> PricedRule:
    """Return a rule with its violations by what the policy is made of, where they add over it.

    Parameters
    ----------
    name : str
        What it is called.
    rule : Rule
        The rule.
    objective : Objective
        Of policies of a family, whose columns are what documents are made of.
    names : ndarray of shape (V,) or None
        Names of tokens.
    n_tokens : int
        V.
    subject : str
        The estimator that asks, for messages.

    Raises
    ------
    ValueError
        If no document may have an n-gram that the policy does not know as one.
    """
    stated = getattr(rule, "column_violations", None)
    if stated is not None:
        return PricedRule(name, rule, stated, rule.penalty)
    amounts = token_violations(rule, name, names, n_tokens)
    if amounts is not None:
        return PricedRule(name, rule, objective.of_tokens(amounts), rule.penalty)
    found = ngram_violations(rule, name, names, n_tokens)
    if found is None:
        return PricedRule(name, rule, None, rule.penalty)
    ngrams, amounts = found
    is_known = objective.knows(ngrams)
    if is_known.all():
        return PricedRule(name, rule, objective.of_ngrams(ngrams, amounts), rule.penalty)
    if rule.hard:
        unknown = ngrams[int(np.flatnonzero(~is_known)[0])]
        raise ValueError(
            f"{subject} got the hard rule {name!r} of the n-gram {_spell(unknown, names)}, which "
            "the policy may write by backing off but does not know as one, so it cannot keep the "
            f"rule for certain. Fit the policy (NGramLM) with order={np.sum(unknown != -1)} or "
            "more on text that has it, or use max_rate, or hard=False and a penalty."
        )
    return PricedRule(name, rule, None, rule.penalty)


def _spell(ngram, names):
    """Return an n-gram (k,) as a user gave it."""
    tokens = ["<s>" if token == -2 else token for token in ngram.tolist() if token != -1]
    if names is None:
        return tokens
    return repr(" ".join(token if token == "<s>" else str(names[token]) for token in tokens))


def apply_bans(objective, rules, subject):
    """Return the objective without what hard rules ban, and the rules with these at no price.

    The reference is not normalised again: the KL is still measured from the whole of it, so that a
    ban costs -log P(allowed) nats a token.
    """
    reference, frequencies = objective.reference_log_prob, objective.frequencies
    banned = np.zeros(len(reference), dtype=bool)
    kept, names = [], []
    for priced in rules:
        if priced.rule.hard:
            if priced.token_violations is None:
                raise ValueError(
                    f"{subject} got the hard rule {priced.name!r} ({type(priced.rule).__name__}), "
                    "which does not add over tokens, so no policy of independent tokens can keep "
                    "it for certain. Use max_rate, or BannedTokens(..., hard=True)."
                )
            own = priced.token_violations > 0
            if frequencies is not None and np.any(frequencies[own] > 0):
                raise ValueError(
                    f"{subject} got demonstrations that use tokens the hard rule {priced.name!r} "
                    "bans. Leave such documents out, or set sft_coef=0."
                )
            banned |= own
            names.append(priced.name)
            priced = replace(priced, price=0.0)
        kept.append(priced)
    if not banned.any():
        return objective, kept
    if not objective.can_avoid(banned):
        raise ValueError(
            f"{subject}: no policy keeps the hard rules {names}, since all that the reference "
            "policy can produce violates them. Ban fewer tokens, or smooth the reference."
        )
    return objective.having(reference_log_prob=np.where(banned, -np.inf, reference)), kept


def prepare_chance_constraints(objective, rules, reward, subject):
    """Return the rules with chance constraints that count documents, learned where not all adds."""
    adds = reward.token_reward is not None
    adds = adds and all(priced.token_violations is not None for priced in rules)
    prepared = []
    for priced in rules:
        if priced.rule.max_rate is not None:
            marked = None
            if priced.token_violations is not None:
                marked = (priced.token_violations > 0).astype(np.float64)
                if not objective.can_avoid(marked > 0):
                    raise ValueError(
                        f"{subject}: no policy keeps rule {priced.name!r} (max_rate="
                        f"{priced.rule.max_rate}), since all that the reference policy can "
                        "produce violates it. Take out some of its tokens."
                    )
            priced = replace(priced, token_violations=marked if adds else None, price=0.0)
        prepared.append(priced)
    _check_together(objective, rules, subject)
    return prepared


def _check_together(objective, rules, subject):
    """Check that not all documents violate one of some rules whose rates add up to less than 1."""
    some = [rule for rule in rules if rule.rule.max_rate is not None]
    some = [rule for rule in some if rule.token_violations is not None]

    def contradict(rules):
        total = sum(rule.rule.max_rate for rule in rules)
        if len(rules) < 2 or total >= 1.0:
            return False
        return not objective.can_avoid(
            np.any([rule.token_violations > 0 for rule in rules], axis=0)
        )

    if not contradict(some):
        return
    for rule in list(some):
        rest = [other for other in some if other is not rule]
        some = rest if contradict(rest) else some
    names = [rule.name for rule in some]
    rates = [rule.rule.max_rate for rule in some]
    raise ValueError(
        f"{subject}: no policy keeps the rules {names} together (max_rate={rates}), since all that "
        "the reference policy can produce violates at least one of them, and the rates add up to "
        f"{sum(rates):.3g} < 1. Allow more, or take out some of their tokens."
    )
