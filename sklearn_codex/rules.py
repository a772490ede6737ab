"""Rule-based safety penalties: small picklable estimators that price a violation in nats.

A rule counts violations in a document; each one costs ``penalty`` nats of KL in the objective of
:class:`~sklearn_codex.PPOPolicyOptimizer`. A price of c nats on a token multiplies its odds under
the optimal policy by exp(-c). Rules that count tokens add over tokens, so the optimum with them
stays exact; others are learned from samples, as any reward.
"""

import re
import reprlib
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from sklearn_codex._categorical import FloatArray
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.text import check_texts

__all__ = ["BannedTokens", "Pattern", "Rule", "TokenBudget", "check_rules"]


class Rule(BaseEstimator):
    """Base of all rules: a name, a price, and a count of violations per document.

    A new rule defines ``__init__`` and :meth:`violations`; it may define :meth:`token_violations`
    where its violations add over tokens. With ``max_rate`` the rule is a chance constraint: at most
    this share of documents may violate it, and its price is found, not given. With ``hard`` no
    document may.
    """

    name: str
    penalty: float
    max_rate: float | None = None
    hard: bool = False

    _parameter_constraints: dict = {
        "penalty": [Interval(Real, 0, None, closed="left")],
        "name": [str],
        "max_rate": [Interval(Real, 0, 1, closed="neither"), None],
        "hard": ["boolean"],
    }

    def violations(self, rollouts: Rollouts) -> FloatArray:
        """Return the number of violations (n_documents,) in each document."""
        raise TypeError(f"{type(self).__name__} defines no violations(rollouts).")

    def token_violations(self, names: np.ndarray | None, n_columns: int) -> FloatArray | None:
        """Return the violations (V,) of each token, or None where they do not add over tokens."""
        return None

    def __call__(self, documents: Sequence[str]) -> FloatArray:
        """Return the violations (n_documents,) of texts whose tokens are separated by spaces."""
        self._validate_params()
        texts = check_texts(documents, subject=type(self).__name__)
        if texts is None:
            raise TypeError(
                f"{type(self).__name__} expected texts, a sequence of str, got a "
                f"{type(documents).__name__} of numbers. Turn counts into texts with "
                "TokenCounter.decode."
            )
        words = [text.split() for text in texts]
        names, tokens = np.unique(
            np.array([word for row in words for word in row], dtype=str), return_inverse=True
        )
        lengths = np.array([len(row) for row in words])
        counts = np.zeros(len(words))
        full = lengths > 0
        if full.any():
            rollouts = Rollouts(tokens.ravel(), lengths[full], len(names), names.astype(object))
            counts[full] = check_violations(self.violations(rollouts), self.name, rollouts)
        return counts


def _columns_of(tokens, names, n_columns, *, subject):
    """Return the columns of tokens given by name, or by column where names are unknown."""
    if isinstance(tokens, str | bytes):
        raise TypeError(f"{subject} needs a list of tokens, got {tokens!r}. Pass [{tokens!r}].")
    try:
        tokens = list(tokens)
    except (TypeError, AttributeError):
        raise TypeError(
            f"{subject} needs a list of tokens, got a {type(tokens).__name__}: {tokens!r:.60}."
        ) from None
    if names is not None:
        if not all(isinstance(token, str) for token in tokens):
            raise TypeError(
                f"{subject} has tokens {reprlib.repr(tokens)}, but the policy knows its tokens by "
                "name. Give names, all of them str."
            )
        return np.flatnonzero(np.isin(np.asarray(names, dtype=str), np.array(tokens, dtype=str)))
    if not all(isinstance(token, Integral) and 0 <= int(token) < n_columns for token in tokens):
        raise ValueError(
            f"{subject} has tokens {reprlib.repr(tokens)}, but the policy was fitted on counts and "
            f"knows only columns. Give columns, integers from 0 to {n_columns - 1}, or fit the "
            "policy on text."
        )
    return np.array(tokens, dtype=np.intp)


class BannedTokens(Rule):
    """Each occurrence of a banned token is a violation; adds over tokens.

    Parameters
    ----------
    tokens : sequence of str or of int
        The banned tokens: names, or columns for policies fitted on counts. Tokens outside the
        vocabulary cannot occur and are ignored.
    penalty : float, default=5.0
        Price of one occurrence, in nats: the optimal policy's odds of the token shrink by
        exp(-penalty).
    hard : bool, default=False
        Whether the tokens are banned outright: the policy then never produces them, at the least
        possible KL.
    max_rate : float, default=None
        Largest share of documents that may have any of the tokens, a chance constraint; the price
        is then found (where reward and rules add over tokens) or learned during training, and
        ``penalty`` is not used.
    name : str, default="banned_tokens"
        What the rule is called in ``history_``.

    Examples
    --------
    >>> from sklearn_codex.rules import BannedTokens
    >>> BannedTokens(["eval", "exec"])(["eval ( eval ( x ) )", "print ( x )"])
    array([2., 0.])
    """

    def __init__(self, tokens, *, penalty=5.0, hard=False, max_rate=None, name="banned_tokens"):
        self.tokens = tokens
        self.penalty = penalty
        self.hard = hard
        self.max_rate = max_rate
        self.name = name

    def token_violations(self, names, n_columns):
        """Return 1 for banned tokens and 0 for others, (V,)."""
        violations = np.zeros(n_columns)
        violations[_columns_of(self.tokens, names, n_columns, subject="BannedTokens")] = 1.0
        return violations

    def violations(self, rollouts):
        """Return the occurrences (n_documents,) of banned tokens."""
        return rollouts.sum_over_tokens(self.token_violations(rollouts.names, rollouts.n_columns))


class TokenBudget(Rule):
    """Each occurrence of some tokens beyond a budget per document is a violation.

    Parameters
    ----------
    tokens : sequence of str or of int
        The tokens counted: names, or columns for policies fitted on counts.
    budget : float, default=0
        Occurrences a document may have.
    penalty : float, default=1.0
        Price of each occurrence beyond it, in nats.
    max_rate : float, default=None
        Largest share of documents that may violate the rule, a chance constraint; the price is then
        learned during training and ``penalty`` is not used.
    name : str, default="token_budget"
        What the rule is called in ``history_``.

    Examples
    --------
    >>> from sklearn_codex.rules import TokenBudget
    >>> TokenBudget(["very"], budget=1)(["very very very good", "very good"])
    array([2., 0.])
    """

    _parameter_constraints: dict = {
        **Rule._parameter_constraints,
        "budget": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, tokens, *, budget=0, penalty=1.0, max_rate=None, name="token_budget"):
        self.tokens = tokens
        self.budget = budget
        self.penalty = penalty
        self.max_rate = max_rate
        self.name = name

    def violations(self, rollouts):
        """Return the occurrences (n_documents,) beyond the budget."""
        counted = np.zeros(rollouts.n_columns)
        columns = _columns_of(
            self.tokens, rollouts.names, rollouts.n_columns, subject="TokenBudget"
        )
        counted[columns] = 1.0
        return np.maximum(rollouts.sum_over_tokens(counted) - self.budget, 0.0)


class Pattern(Rule):
    r"""Each match of a regular expression in the text of a document is a violation.

    Parameters
    ----------
    pattern : str
        A regular expression of :mod:`re`, searched in the text: tokens in the order drawn, joined
        by a space.
    penalty : float, default=1.0
        Price of one match, in nats.
    max_rate : float, default=None
        Largest share of documents that may violate the rule, a chance constraint; the price is then
        learned during training and ``penalty`` is not used.
    name : str, default="pattern"
        What the rule is called in ``history_``.

    Examples
    --------
    >>> from sklearn_codex.rules import Pattern
    >>> Pattern(r"except\s*:")(["try : pass except : pass", "try : pass except OSError : pass"])
    array([1., 0.])
    """

    _parameter_constraints: dict = {**Rule._parameter_constraints, "pattern": [str]}

    def __init__(self, pattern, *, penalty=1.0, max_rate=None, name="pattern"):
        self.pattern = pattern
        self.penalty = penalty
        self.max_rate = max_rate
        self.name = name

    def violations(self, rollouts):
        """Return the matches (n_documents,) in each document."""
        try:
            find = re.compile(self.pattern).finditer
        except re.error as error:
            raise ValueError(
                f"Rule {self.name!r} has the pattern {self.pattern!r}, which is no regular "
                f"expression: {error}."
            ) from None
        return np.array([sum(1 for _ in find(text)) for text in rollouts.texts], dtype=np.float64)


class _CallableRule(Rule):
    """A user's function of documents as a rule: what it returns is the penalty, in nats."""

    def __init__(self, function, *, penalty=1.0, name="rule"):
        self.function = function
        self.penalty = penalty
        self.name = name

    def violations(self, rollouts):
        documents = rollouts.counts if rollouts.names is None else rollouts.texts
        return check_violations(self.function(documents), self.name, rollouts)


def check_violations(amounts, name: str, rollouts: Rollouts) -> FloatArray:
    """Return what a rule said of documents as violations (n_documents,), or say what is wrong.

    Raises
    ------
    ValueError
        If they are not one finite number >= 0 for each document.
    """
    return _check_amounts(amounts, f"Rule {name!r}", (len(rollouts),), "documents")


def token_violations(
    rule: Rule, name: str, names: np.ndarray | None, n_columns: int
) -> FloatArray | None:
    """Return the violations (V,) of each token, checked, or None where they do not add over tokens.

    Raises
    ------
    ValueError
        If they are not one finite number >= 0 for each token.
    """
    amounts = rule.token_violations(names, n_columns)
    if amounts is None:
        return None
    return _check_amounts(amounts, f"Rule {name!r} (token_violations)", (n_columns,), "tokens")


def _check_amounts(amounts, subject, shape, unit):
    """Return violations as floats of a shape, finite and not negative."""
    try:
        amounts = np.asarray(amounts, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{subject} should return one number for each of {shape[0]} {unit}, got "
            f"{type(amounts).__name__}: {error}."
        ) from error
    valid = (amounts >= 0) & np.isfinite(amounts)
    if amounts.shape != shape or not valid.all():
        raise ValueError(
            f"{subject} should return one finite penalty >= 0 for each of {shape[0]} {unit}, got "
            f"shape {amounts.shape}" + (f" with {amounts[~valid][0]}." if not valid.all() else ".")
        )
    return amounts


def check_rules(rules, *, subject: str) -> list[tuple[str, Rule]]:
    """Return rules as a list of (name, rule) with distinct names.

    Parameters
    ----------
    rules : None, Rule, callable, or list of these or of (name, rule) tuples
        As given to an estimator. A callable takes documents (texts where words are known, else
        counts) and returns a penalty >= 0 in nats for each.
    subject : str
        The estimator that asks, for messages.

    Raises
    ------
    TypeError
        If an entry is none of these.
    ValueError
        If two rules have one name, or a rule has an invalid parameter.
    """
    if rules is None:
        return []
    entries = rules if isinstance(rules, list | tuple) else [rules]
    checked = []
    for entry in entries:
        is_named = isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)
        name, rule = entry if is_named else (None, entry)
        if not isinstance(rule, Rule):
            if not callable(rule) or isinstance(rule, type):
                raise TypeError(
                    f"{subject} needs a list of rules that are sklearn_codex.rules.Rule objects, "
                    "callables documents -> penalties, or (name, rule) tuples of these, got "
                    f"{type(rule).__name__}: {rule!r:.60}."
                )
            rule = _CallableRule(rule, name=getattr(rule, "__name__", type(rule).__name__))
        rule._validate_params()
        if rule.hard and rule.max_rate is not None:
            raise ValueError(
                f"{subject} got rule {rule.name!r} with hard=True and max_rate={rule.max_rate}. A "
                "hard rule is never violated; leave max_rate at None."
            )
        checked.append((rule.name if name is None else name, rule))
    names = [name for name, _ in checked]
    if len(set(names)) < len(names):
        raise ValueError(
            f"{subject} needs rules of distinct names, got {names}. Give each one its name=, or "
            "pass (name, rule) tuples."
        )
    return checked
