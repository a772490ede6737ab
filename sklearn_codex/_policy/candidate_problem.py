"""What is maximised over candidates: rewards, rules and the reference put together."""

from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_consistent_length
from sklearn.utils.validation import _check_y

from sklearn_codex._categorical import FloatArray, normalize_log_within
from sklearn_codex._checks.matrices import check_frame
from sklearn_codex._checks.numbers import as_floats, check_values
from sklearn_codex._policy.candidate_rows import CandidateRows
from sklearn_codex._policy.priced_rule import PricedRule
from sklearn_codex._policy.rule_prices import price_rules, with_penalty
from sklearn_codex.exact import CandidateObjective, best_of_n, best_of_n_kl_bound
from sklearn_codex.exact._kl_target import find_kl_coef
from sklearn_codex.rules import check_rules

# Times a kl_coef, which is as good as infinite then, or as 0 where prices are still floats.
_FAR = 1e9


def check_row_rewards(y: Any, n_rows: int, subject: str) -> FloatArray:
    """Return one finite reward a row (n_rows,)."""
    y = as_floats(check_frame(y, subject), "y, the rewards of rows", subject=subject)
    y = _check_y(y, y_numeric=True, estimator=subject)
    check_consistent_length(np.empty(n_rows), y)
    return y


def judge_rules(
    rules: Any, rows: CandidateRows, prices: dict[str, float], *, subject: str
) -> list[PricedRule]:
    """Return rules with their violations by the responses, at prices that were found, or their own.

    Raises
    ------
    TypeError
        If there are rules, which read text, and rows are numbers.
    """
    judged = []
    for name, rule in check_rules(rules, subject=subject):
        if rows.texts is None:
            raise TypeError(
                f"{subject} got rule {name!r}, which reads responses as text, but rows of numbers. "
                "Pass rows of text, or ban rows by reference_log_prob=-inf."
            )
        violations = rule._judge(rows.texts[1], words=True)
        if rule.max_rate is not None:
            violations = (violations > 0).astype(np.float64)
        price = 0.0 if rule.hard or rule.max_rate is not None else rule.penalty
        price = price if rule.hard else prices.get(name, price)
        judged.append(PricedRule(name, rule, violations, price))
    return judged


def candidate_objective(
    rows: CandidateRows,
    reward: FloatArray,
    rules: list[PricedRule],
    kl_coef: float,
    *,
    subject: str,
) -> CandidateObjective:
    """Return the objective of rows with their rewards (n_rows,), penalties and bans.

    Raises
    ------
    ValueError
        If hard rules ban all candidates of a prompt.
    """
    reference = rows.reference.copy()
    for priced in rules:
        if priced.rule.hard:
            reference[_violations(priced) > 0] = -np.inf
    left = np.bincount(rows.prompts, np.isfinite(reference), rows.n_prompts)
    if not left.all():
        prompt = int(np.argmin(left))
        row = int(np.flatnonzero(rows.prompts == prompt)[0])
        raise ValueError(
            f"{subject}: the hard rules ban all {np.sum(rows.prompts == prompt)} candidates of the "
            f"prompt of row {row}. Add a response that is always allowed, or leave the prompt out."
        )
    objective = CandidateObjective(
        reference,
        reward,
        rows.prompts,
        kl_coef=float(kl_coef),
        prompt_prob=np.full(rows.n_prompts, 1.0 / rows.n_prompts),
    )
    return with_penalty(objective, rules)


def settle(
    objective: CandidateObjective,
    rules: list[PricedRule],
    target_kl: float | None,
    *,
    subject: str,
) -> tuple[CandidateObjective, list[PricedRule]]:
    """Find the prices of chance constraints, and the ``kl_coef`` of a target.

    Returns
    -------
    objective : CandidateObjective
        With both.
    rules : list of PricedRule
        At their prices.

    Raises
    ------
    ValueError
        If no policy keeps the chance constraints, or has the target.
    """
    _check_chances(objective, rules, subject)

    def priced_at(kl_coef):
        at = objective.having(kl_coef=kl_coef)
        priced, priced_objective = price_rules(at, rules)
        return priced_objective, priced

    def kl_at(kl_coef):
        at = priced_at(kl_coef)[0]
        return at.kl(at.optimum())

    kl_coef = objective.kl_coef
    if target_kl is not None and any(priced.rule.max_rate is not None for priced in rules):
        guess = float(objective.kl_coef_grid(3)[1])
        limits = kl_at(guess * _FAR), kl_at(guess / _FAR)
        kl_coef = find_kl_coef(kl_at, target_kl, limits, guess)
    elif target_kl is not None:
        kl_coef = objective.kl_coef_for_kl(target_kl)
    objective, rules = priced_at(kl_coef)
    _check_rates(objective, rules, subject)
    return objective, rules


def rule_rates(objective: CandidateObjective, log_prob: FloatArray, rules) -> dict[str, float]:
    """Return the share of responses of a policy that violate each rule."""
    return {rule.name: objective.rate_of_any(log_prob, _violations(rule)) for rule in rules}


def _violations(priced: PricedRule) -> FloatArray:
    assert priced.token_violations is not None
    return priced.token_violations


def _check_chances(objective, rules, subject):
    """Raise where prompts of which all candidates violate a rule are more than it allows."""
    shares = objective.prompt_prob
    for priced in rules:
        if priced.rule.max_rate is None:
            continue
        keeps = objective.possible & (_violations(priced) == 0)
        without = np.bincount(objective.prompts, keeps, len(shares)) == 0
        least = float(shares[without].sum())
        if least >= priced.rule.max_rate:
            raise ValueError(
                f"{subject}: no policy keeps rule {priced.name!r} (max_rate="
                f"{priced.rule.max_rate:g}), since all candidates violate it in {least:.3g} of the "
                "prompts. Add responses that keep it, or raise max_rate."
            )


def _check_rates(objective, rules, subject):
    """Raise where chance constraints that each can be kept cannot be kept together."""
    rates = rule_rates(objective, objective.optimum(), rules)
    for priced in rules:
        most = priced.rule.max_rate
        if most is not None and rates[priced.name] > most * (1 + 1e-6):
            raise ValueError(
                f"{subject}: no policy keeps rule {priced.name!r} (max_rate={most:g}) together "
                f"with the others, its rate is {rates[priced.name]:.3g}. Raise a max_rate."
            )


def frontier_of(objective: CandidateObjective, gold: FloatArray | None, kl_coefs: Any) -> Bunch:
    """Return KL, entropy and rewards of the optimum at each ``kl_coef``, by falling ones."""
    if kl_coefs is None:
        kl_coefs = objective.kl_coef_grid()
    grid = np.sort(check_values(kl_coefs, "kl_coefs", subject="frontier"))[::-1]
    if not grid.size:
        raise ValueError("frontier needs at least one of kl_coefs.")
    points = []
    for kl_coef in grid.tolist():
        at = objective.having(kl_coef=kl_coef)
        best = at.optimum()
        point = {"kl_coef": kl_coef, "kl": at.kl(best), "entropy": at.entropy(best)}
        point["expected_reward"] = at.expected_reward(best)
        if gold is not None:
            point["gold_reward"] = at.expected_sum(best, gold)
        points.append(point)
    return Bunch(**{name: np.array([point[name] for point in points]) for name in points[0]})


def best_of_ns(objective: CandidateObjective, ns: Any) -> Bunch:
    """Return KL and reward of the best of n draws from the reference, for several n."""
    draws, prompts = np.atleast_1d(ns), objective.prompts
    within = normalize_log_within(objective.start, prompts)
    ends = np.cumsum(np.bincount(prompts))[:-1]
    of_prompt = np.split(np.argsort(prompts, kind="stable"), ends)
    found = [
        [best_of_n(within[own], objective.token_reward[own], n) for own in of_prompt]
        for n in draws.tolist()
    ]
    shares: Any = objective.prompt_prob

    def mean(name):
        return np.array([shares @ [result[name] for result in row] for row in found])

    return Bunch(
        n=draws,
        kl=mean("kl"),
        expected_reward=mean("expected_reward"),
        kl_bound=np.asarray(best_of_n_kl_bound(draws)),
    )
