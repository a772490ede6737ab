"""Rules with their prices, and what is settled of them before training begins."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from sklearn_codex._categorical import FloatArray
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.exact import ban_tokens, chance_budget
from sklearn_codex.rules import Rule, check_violations


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
        documents by :math:`L (1 - p)^{L - 1} dp`.
        """
        if self.token_violations is None or self.rule.max_rate is None or not self.is_tracked:
            return self.price
        assert length is not None
        p = min(float(np.exp(log_prob[self.token_violations > 0]).sum()), 1.0)
        # It is beyond any bound where hardly a document is without.
        least = np.finfo(np.float64).tiny ** (0.5 / length)
        return float(self.price / max(1.0 - p, least) ** (length - 1))


def apply_bans(reference, rules, frequencies, subject):
    """Return the reference without hard-banned tokens, and the rules with these at no price.

    The reference is not normalised again: the KL is still measured from the whole of it, so that a
    ban costs -log P(allowed) nats a token.
    """
    banned = np.zeros(len(reference), dtype=bool)
    kept = []
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
            priced = replace(priced, price=0.0)
        kept.append(priced)
    if banned.any():
        ban_tokens(reference, banned)  # raises where nothing would be left
        reference = np.where(banned, -np.inf, reference)
    return reference, kept


def prepare_chance_constraints(reference, rules, reward, subject):
    """Return the rules with chance constraints that count documents, learned where not all adds."""
    adds = reward.token_reward is not None
    adds = adds and all(priced.token_violations is not None for priced in rules)
    prepared = []
    for priced in rules:
        if priced.rule.max_rate is not None:
            marked = None
            if priced.token_violations is not None:
                marked = (priced.token_violations > 0).astype(np.float64)
                if np.all(marked[np.isfinite(reference)]):
                    raise ValueError(
                        f"{subject}: no policy keeps rule {priced.name!r} (max_rate="
                        f"{priced.rule.max_rate}), since every token the reference policy can "
                        "produce violates it. Take out some of its tokens."
                    )
            priced = replace(priced, token_violations=marked if adds else None, price=0.0)
        prepared.append(priced)
    return prepared
