"""What a policy is optimised for: reference, reward, rules and demonstrations put together."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray, root_mean_square
from sklearn_codex._checks.numbers import check_tokens_at_once
from sklearn_codex._policy.ngram_rewards import Linear, documents_of, trie_of_rollouts
from sklearn_codex._policy.priced_rule import (
    PricedRule,
    apply_bans,
    prepare_chance_constraints,
    price_rule,
)
from sklearn_codex._policy.rewards import DocumentReward, same_values
from sklearn_codex._policy.rule_prices import price_rules, with_penalty
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.exact import (
    AdditiveObjective,
    EosObjective,
)
from sklearn_codex.exact._objective import Objective
from sklearn_codex.rules import check_rules

_N_PROBES = 64
_N_MOMENTS = 4096
_LARGEST_TILT = 30.0
_PRICE_ROUNDS = 100
_SAME_PRICE = 1e-9


@dataclass(frozen=True)
class PolicyProblem:
    """All that is fixed within one iteration of training.

    Parameters
    ----------
    objective : Objective
        The part of the objective that adds over tokens; its ``token_reward`` is 0 where the reward
        does not, its ``reward_coef`` is in units of the normalised reward.
    reward : DocumentReward
        The reward of documents.
    rules : list of PricedRule
        The rules; the penalties of additive ones are in ``objective`` already.
    names : ndarray of shape (V,) or None
        Names of tokens.
    reward_mean : float
        What is subtracted from the reward in the objective.
    cut : int or None
        Tokens at which documents are cut if their reward turns out not to add.
    """

    objective: Objective
    reward: DocumentReward
    rules: list[PricedRule] = field(default_factory=list)
    names: np.ndarray | None = None
    reward_mean: float = 0.0
    cut: int | None = None

    @property
    def adds_reward(self) -> bool:
        """Whether the reward adds over tokens."""
        return self.reward.token_reward is not None

    @property
    def is_additive(self) -> bool:
        """Whether everything adds over tokens, so that the optimum is known."""
        return self.adds_reward and all(rule.token_violations is not None for rule in self.rules)

    @property
    def is_tested(self) -> bool:
        """Whether something adds over tokens as far as documents tell, and no further."""
        return self.reward.is_tested or any(rule.is_tested for rule in self.rules)

    @property
    def explodes(self) -> bool:
        """Whether all adds, and documents of n-grams are cut that would be longer and longer."""
        objective: Any = self.objective
        longest = objective.longest
        bounded = self.is_additive and objective.gap_is_bound and longest is not None
        return bounded and objective.outgrows(longest)

    @property
    def tracks_prices(self) -> bool:
        """Whether prices of chance constraints on tokens follow a reward that is being learned."""
        return any(rule.is_tracked for rule in self.rules)

    @property
    def start(self) -> FloatArray:
        """Log-probabilities (V,) of the reference policy, given that no token is banned."""
        return self.objective.start

    @property
    def temperature(self) -> float:
        """What a nat of the policy's own log-probability costs."""
        return self.objective.temperature

    def with_kl_coef(self, kl_coef: float) -> "PolicyProblem":
        """Return the problem at another weight of the KL, chance constraints priced anew."""
        if kl_coef == self.objective.kl_coef:
            return self
        problem = replace(self, objective=self.objective.having(kl_coef=kl_coef))
        return _price_chance_constraints(problem)

    def with_max_length(self, max_length: int) -> "PolicyProblem":
        """Return the problem with documents cut, chance constraints priced anew."""
        problem = replace(self, objective=self.objective.having(max_length=max_length))
        return _price_chance_constraints(problem)

    def with_prices(self, prices: dict[str, float]) -> "PolicyProblem":
        """Return the problem at other prices of the rules whose price changes in training."""
        rules = [
            replace(priced, price=prices.get(priced.name, priced.price))
            if priced.is_learned or priced.is_tracked
            else priced
            for priced in self.rules
        ]
        return _with_rules(self, rules)

    def with_rules(self, rules: list[PricedRule]) -> "PolicyProblem":
        """Return the problem with other rules, chance constraints priced anew."""
        return _price_chance_constraints(_with_rules(self, rules))

    def token_prices(self, token_reward: FloatArray) -> dict[str, float]:
        """Return the prices at which the best policy for a reward keeps chance constraints.

        A price of tokens moves their log odds by as much, so that each price is found from the
        policy at the others', in turn until none moves.
        """
        length = self.objective.length
        assert length is not None
        objective = self.objective.having(token_reward=token_reward, reward_coef=1.0)
        problem = replace(self, objective=objective)
        prices = {rule.name: rule.price for rule in self.rules if rule.is_tracked}
        for _ in range(_PRICE_ROUNDS):
            largest = 0.0
            for rule in self.rules:
                if rule.is_tracked:
                    policy = problem.with_prices(prices).objective.optimum()
                    change = rule.excess_log_odds(policy, length)
                    before = prices[rule.name]
                    prices[rule.name] = max(0.0, before + change)
                    largest = max(largest, abs(prices[rule.name] - before))
            if largest <= _SAME_PRICE * max(1.0, *prices.values()):
                break
        return prices

    def value_unpriced(self, log_prob: FloatArray) -> float:
        """Return J of a policy without what chance constraints on tokens cost, given the rest."""
        cost = np.zeros(len(log_prob))
        for rule in self.rules:
            if rule.token_violations is not None and rule.is_found:
                cost += rule.price * rule.token_violations
        expected = self.objective.expected_sum(log_prob, cost)
        return self.objective.value(log_prob) + self.objective.kl_coef * expected

    def reported_prices(self, log_prob: FloatArray) -> dict[str, float]:
        """Return the price of each rule as users see it."""
        length = self.objective.length
        return {rule.name: rule.reported_price(log_prob, length) for rule in self.rules}

    def when_additive(self, found: Linear | None, rules: list[PricedRule]) -> "PolicyProblem":
        """Return the problem with what was found to add over tokens, or found not to.

        Parameters
        ----------
        found : Linear or None
            Reward of each token (V,) and of the empty document, None where it does not add.
        rules : list of PricedRule
            The rules as they are then.
        """
        reward = self.reward.as_tested(found)
        known = np.zeros(len(self.start)) if found is None else found.weights
        objective = self.objective.having(token_reward=known)
        return replace(self, objective=objective, reward=reward).with_rules(rules)

    def without_tested(self) -> "PolicyProblem":
        """Return the problem where what only seemed to add over tokens does not."""
        rules = [
            replace(priced, token_violations=None, is_tested=False, is_tracked=False)
            if priced.is_tested
            else priced
            for priced in self.rules
        ]
        known = None if self.reward.is_tested else self.reward.token_reward
        if known is not None:
            return self.with_rules(rules)
        problem = self.when_additive(None, rules)
        return problem if self.cut is None else problem.with_max_length(self.cut)

    def sample(
        self, log_prob: FloatArray, n_documents: int, rng, *, max_length=None, group_size=1
    ) -> Rollouts:
        """Draw documents from a policy, those that end by themselves of ``max_length`` at most.

        Those of a group of ``group_size`` start alike.
        """
        names = self.names
        if group_size > 1:
            check_tokens_at_once(n_documents, 1, remedy="Draw fewer documents (n_rollouts).")
            return self.objective.sample_groups(
                log_prob, n_documents // group_size, group_size, rng, names=names,
                max_length=max_length,
            )  # fmt: skip
        return self.objective.sample(log_prob, n_documents, rng, names=names, max_length=max_length)

    def assess(self, log_prob: FloatArray, rollouts: Rollouts) -> Bunch:
        """Return the rewards, violations and shaped rewards of documents drawn from a policy.

        Returns
        -------
        assessed : Bunch
            ``reward`` (n,), as its model gives it; ``violations``, name to (n,); ``token_score``
            (V,), the shaped reward that adds over tokens; ``shaped`` (n,), the whole of it;
            ``rest`` (n,), its part that does not add; ``contradicted``, whether documents show that
            something does not add after all.
        """
        objective, contradicted = self.objective, False
        if self.reward.token_reward is None:
            reward = self.reward(rollouts)
        else:
            reward = rollouts.sum_over_tokens(self.reward.token_reward) + self.reward.offset
            if self.reward.is_tested:
                actual = self.reward(rollouts)
                contradicted = not same_values(actual, reward, self.reward.token_reward, rollouts)
                reward = actual
        token_score = objective.token_scores(log_prob)
        shaped, rest = rollouts.sum_over_tokens(token_score), np.zeros(len(rollouts))
        if not self.adds_reward:
            rest += objective.reward_coef * (reward - self.reward_mean)
        if objective.missing_eos_penalty:
            shaped -= objective.missing_eos_penalty * ~rollouts.ended
        violations = {}
        for priced in self.rules:
            if priced.token_violations is not None:
                amounts = rollouts.sum_over_tokens(priced.token_violations)
                if priced.is_tested:
                    actual = priced.judge(rollouts)
                    contradicted |= not np.array_equal(actual > 0, amounts > 0)
                    if not priced.is_found:
                        values = priced.token_violations
                        contradicted |= not same_values(actual, amounts, values, rollouts)
            else:
                amounts = priced.judge(rollouts)
                rest -= objective.kl_coef * priced.cost(amounts)
            violations[priced.name] = amounts
        return Bunch(
            reward=reward,
            violations=violations,
            token_score=token_score,
            shaped=shaped + rest,
            rest=rest,
            contradicted=bool(contradicted),
        )

    def evaluate(self, log_prob: FloatArray, rollouts: Rollouts, assessed: Bunch) -> Bunch:
        """Return the objective of a policy and its parts: exact where they add over tokens.

        Standard errors are those of the documents drawn, given all else, as the mean and the
        scale of a reward that is normalised.
        """
        objective = self.objective
        additive_reward = objective.expected_reward(log_prob) if self.adds_reward else 0.0
        if self.adds_reward:
            expected_reward = additive_reward + self.reward.offset
        else:
            expected_reward = float(assessed.reward.mean())
        additive_penalty = penalty = objective.expected_penalty(log_prob)
        rates = {}
        for priced in self.rules:
            amounts = assessed.violations[priced.name]
            if priced.token_violations is None:
                penalty += float(priced.cost(amounts).mean())
                rates[priced.name] = float((amounts > 0).mean())
            else:
                rates[priced.name] = objective.rate_of_any(log_prob, priced.token_violations > 0)
        kl, value = objective.kl(log_prob), objective.value(log_prob)
        if np.isfinite(value):
            # What does not add over tokens takes the place of what does.
            value += objective.reward_coef * (expected_reward - self.reward_mean - additive_reward)
            value -= objective.kl_coef * (penalty - additive_penalty)
        return Bunch(
            objective=value,
            objective_se=0.0 if self.is_additive else _standard_error(assessed.rest),
            expected_reward=expected_reward,
            expected_reward_se=0.0 if self.adds_reward else _standard_error(assessed.reward),
            kl=kl,
            penalty=penalty,
            sft_loss=objective.sft_loss(log_prob),
            entropy=objective.entropy(log_prob),
            length=objective.expected_length(log_prob),
            missing_eos_rate=objective.missing_eos_rate(log_prob),
            rule_rates=rates,
        )

    def certificate(
        self, log_prob: FloatArray, assessed: Bunch, *, by_value: bool = False
    ) -> tuple[float, float]:
        """Return J* - J(policy), or an estimate of an upper bound, and its standard error.

        With ``by_value`` as the difference of the two, which has lost digits where it is nearly 0,
        and needs no look at each position.

        Exact, with standard error 0, where everything adds over tokens. Else fresh documents of
        the policy with shaped rewards S give b log mean exp(S / b) - mean S, the distance to the
        best distribution over whole documents, which no unigram policy exceeds. The estimate is
        low where the policy never draws the documents that would be best.

        With demonstrations S holds their cross-entropy to first order, which is no less than what
        a step away gains, as it is concave: still a bound. Where documents end by themselves too,
        S holds it per token of the policy's expected length D, so a policy pi' of expected length
        D' counts it D' / D times: the bound holds for policies as long as this one, and is short
        by a (1 - D' / D) (sum_t f_t pi'_t / pi_t - 1) for another, with a = ``sft_coef`` and the
        frequencies f of the demonstrations; for a policy near this one that is of second order.
        """
        if self.is_additive:
            objective: Any = self.objective
            if by_value and objective.has_optimum:
                return max(0.0, objective.optimal_value() - objective.value(log_prob)), 0.0
            return objective.gap(log_prob), 0.0
        kl_coef = self.temperature
        shifted = assessed.shaped - assessed.shaped.max()
        weight = np.exp(shifted / kl_coef)
        weight_mean = weight.mean()
        gap = kl_coef * np.log(weight_mean) - shifted.mean()
        influence = kl_coef * weight / weight_mean - shifted
        return max(float(gap), 0.0), _standard_error(influence)


def _standard_error(values: FloatArray) -> float:
    """Return the standard error of a mean of documents (n,), nan of one."""
    n = len(values)
    return float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan


def unigram_objective(
    reference: FloatArray,
    *,
    length: int | None = None,
    eos: int | None = None,
    max_length: int | None = None,
    missing_eos_penalty: float = 0.0,
    entropy_coef: float = 0.0,
    **weights: Any,
) -> Objective:
    """Return the objective over policies of independent tokens, without a reward.

    Parameters
    ----------
    reference : ndarray of shape (V,)
        Log-probabilities of the reference policy.
    length, entropy_coef
        Where documents have a fixed length.
    eos, max_length, missing_eos_penalty
        Where documents end by themselves.
    **weights
        ``kl_coef``, ``reward_coef``, ``sft_coef``, ``frequencies``.
    """
    no_reward = np.zeros(len(reference))
    if eos is not None:
        weights |= {"max_length": max_length, "missing_eos_penalty": missing_eos_penalty}
        return EosObjective(reference, no_reward, eos, **weights)
    assert length is not None
    return AdditiveObjective(reference, no_reward, length, entropy_coef=entropy_coef, **weights)


def build_problem(
    objective: Objective,
    reward_source: Any,
    rng: np.random.RandomState,
    *,
    names: np.ndarray | None,
    rules: Any,
    normalize_reward: bool,
    subject: str,
) -> PolicyProblem:
    """Put an objective that knows neither reward nor rules yet together with both.

    Parameters
    ----------
    objective : Objective
        Reference, weights, demonstrations and how long documents are.
    reward_source : estimator or callable
        What scores documents.
    rng : RandomState
        Source of the documents on which a reward is probed and its moments are taken.
    names : ndarray of shape (V,) or None
        Names of tokens.
    rules : see :func:`~sklearn_codex.rules.check_rules`
        The rules.
    normalize_reward : bool
        Whether the reward enters with mean 0 and standard deviation 1 under the reference.
    subject : str
        The estimator that asks, for messages.
    """
    probe = objective.sample(objective.start, _N_PROBES, rng, names=names)
    n_tokens = probe.n_columns
    checked = [
        price_rule(name, rule, objective, names, n_tokens, subject)
        for name, rule in check_rules(rules, subject=subject)
    ]
    reward = DocumentReward(reward_source, probe, subject=subject, objective=objective)
    reward = _tried_further(reward, objective, probe, rng)
    objective, checked = apply_bans(objective, checked, subject)
    checked = prepare_chance_constraints(objective, checked, reward, subject)
    if reward.token_reward is not None:
        objective = objective.having(token_reward=reward.token_reward)
    problem = PolicyProblem(objective, reward, checked, names)
    if normalize_reward:
        problem = _normalize(problem, rng)
    return _price_chance_constraints(problem)


def _tried_further(reward, objective, probe, rng):
    """Return the reward, of n-grams only what explains documents of a better policy as well.

    That has the rewards of the next token, at half of their weight.
    """
    if reward.token_reward is None or trie_of_rollouts(probe) is None:
        return reward
    share = 0.5 * objective.reward_coef / objective.temperature
    tilt = np.clip(share * reward.token_reward, -_LARGEST_TILT, _LARGEST_TILT)
    policy = objective.moved(objective.start, tilt)
    longest = 2 * int(probe.lengths.max())
    rollouts = objective.sample(policy, _N_PROBES, rng, names=probe.names, max_length=longest)
    ended = rollouts.ended if objective.max_length is None else np.ones(len(rollouts), bool)
    if not ended.any() or reward.explains(documents_of(rollouts, ended)):
        return reward
    return reward.as_tested(None)


def _normalize(problem, rng):
    """Return the problem with a reward of mean 0 and standard deviation 1 under the reference."""
    objective = problem.objective
    token_reward = problem.reward.token_reward
    moments = None if token_reward is None else objective.moments(problem.start, token_reward)
    if moments is not None:
        mean, scale = moments[0] + problem.reward.offset, moments[1]
    else:
        rollouts = problem.sample(problem.start, _N_MOMENTS, rng)
        rewards = problem.reward(rollouts)
        mean = float(rewards.mean())
        scale = root_mean_square(rewards - mean, np.ones(len(rewards)))
    # A constant reward has no scale to give.
    scale = scale if scale > 1e-12 * abs(mean) else 1.0
    objective = objective.having(reward_coef=objective.reward_coef / scale)
    return replace(problem, objective=objective, reward_mean=mean)


def _price_chance_constraints(problem):
    """Return the problem with prices at which the best policy keeps its chance constraints."""
    rules, objective = price_rules(problem.objective, problem.rules)
    return replace(problem, rules=rules, objective=objective)


def _with_rules(problem, rules):
    """Return the problem with these rules, the penalties of additive ones in its objective."""
    return replace(problem, rules=list(rules), objective=with_penalty(problem.objective, rules))
