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

__all__ = ["BannedNGrams", "BannedTokens", "Pattern", "Rule", "TokenBudget", "check_rules"]


class Rule(BaseEstimator):
    """Base of all rules: a name, a price, and a count of violations per document.

    A new rule defines ``__init__`` and :meth:`violations`; it may define :meth:`token_violations`
    where its violations add over tokens, or :meth:`ngram_violations` where they add over n-grams.
    With ``max_rate`` the rule is a chance constraint: at most
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

    def ngram_violations(
        self, names: np.ndarray | None, n_columns: int
    ) -> tuple[np.ndarray, FloatArray] | None:
        """Return n-grams (n, k) and the violations (n,) that each occurrence of one is, or None.

        N-grams are their tokens, behind -1 where they are shorter; -2 is the start of a document.
        None where violations do not add over n-grams, or :meth:`token_violations` says all.
        """
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


def _as_list(items, what, subject):
    """Return a sequence of tokens or n-grams as a list."""
    if isinstance(items, str | bytes):
        raise TypeError(f"{subject} needs a list of {what}, got {items!r}. Pass [{items!r}].")
    try:
        return list(items)
    except (TypeError, AttributeError):
        raise TypeError(
            f"{subject} needs a list of {what}, got a {type(items).__name__}: {items!r:.60}."
        ) from None


def _columns_of(tokens, names, n_columns, *, subject):
    """Return the columns of tokens given by name, or by column where names are unknown."""
    tokens = _as_list(tokens, "tokens", subject)
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


class BannedNGrams(Rule):
    """Each occurrence of a banned n-gram, of tokens one after the other, is a violation.

    Parameters
    ----------
    ngrams : sequence of str, or of sequences of str or of int
        The banned n-grams: tokens joined by a blank, as ``"os . system"``, or a list of them; of
        columns for policies fitted on counts. ``<s>`` in front, where it is no token, is the start
        of a document. N-grams with a token outside the vocabulary cannot occur and are ignored.
    penalty : float, default=5.0
        Price of one occurrence, in nats. Occurrences may overlap.
    hard : bool, default=False
        Whether the policy never produces them, at the least possible KL. It has to be one over
        n-grams that knows each of them.
    max_rate : float, default=None
        Largest share of documents that may have any of the n-grams, a chance constraint; the price
        is then found (where reward and rules add over what the policy is made of) or learned
        during training, and ``penalty`` is not used.
    name : str, default="banned_ngrams"
        What the rule is called in ``history_``.

    See Also
    --------
    BannedTokens : The same of single tokens.
    Pattern : Any pattern of text.

    Notes
    -----
    Violations add over the n-grams of a policy that knows all those banned, and the optimum with
    them is exact: each n-gram of the policy that ends with a banned one has its price. The policy
    may be able to write other n-grams too, by backing off to shorter ones: violations then are
    counted in whole documents, and nothing can be said for certain.

    Texts do not say how they end: in those that the rule is called with, no n-gram with the
    end-of-sequence token is found, which documents of a policy do have.

    In a document that goes on from a prompt, an n-gram counts that began in it, as far as the
    policy looks back.

    Examples
    --------
    >>> from sklearn_codex.rules import BannedNGrams
    >>> BannedNGrams(["os . system", "<s> eval"])(["eval ( os . system )", "os . path . system"])
    array([2., 0.])
    """

    def __init__(self, ngrams, *, penalty=5.0, hard=False, max_rate=None, name="banned_ngrams"):
        self.ngrams = ngrams
        self.penalty = penalty
        self.hard = hard
        self.max_rate = max_rate
        self.name = name

    def token_violations(self, names, n_columns):
        """Return 1 for banned tokens and 0 for others (V,); None where n-grams are longer."""
        rows = self._rows(names, n_columns)
        if np.any(rows[:, :-1] != -1):
            return None
        violations = np.zeros(n_columns)
        violations[rows[:, -1]] = 1.0
        return violations

    def ngram_violations(self, names, n_columns):
        """Return the banned n-grams (n, k) that can occur, and 1 (n,) for each."""
        rows = self._rows(names, n_columns)
        return rows, np.ones(len(rows))

    def violations(self, rollouts):
        """Return the occurrences (n_documents,) of banned n-grams."""
        rows = self._rows(rollouts.names, rollouts.n_columns)
        width = rows.shape[1] - 1
        # As many tokens in front of each document as an n-gram has before its last.
        places = np.arange(len(rollouts.tokens))
        owners = np.repeat(np.arange(len(rollouts)), rollouts.lengths)
        places += width * (owners + 1)
        tokens = np.insert(
            rollouts.tokens,
            np.repeat(rollouts.starts, width),
            rollouts.before(width).ravel() if width else [],
        )
        total = np.zeros(len(rollouts))
        for row in rows:
            at, ngram = np.arange(len(places)), row[row != -1]
            for back, token in enumerate(ngram[::-1]):
                at = at[tokens[places[at] - back] == token]
            total += np.bincount(owners[at], minlength=len(rollouts))
        return total

    def _rows(self, names, n_columns):
        """Return the n-grams (n, k) that can occur, behind -1 where they are shorter."""
        ngrams = [_split(ngram) for ngram in _as_list(self.ngrams, "n-grams", "BannedNGrams")]
        known = None if names is None else {name: column for column, name in enumerate(names)}
        rows = []
        for ngram in ngrams:
            has_start = ngram[:1] == ["<s>"] and not (known and "<s>" in known)
            tokens = ngram[1:] if has_start else ngram
            if not tokens:
                raise ValueError(
                    f"BannedNGrams has the n-gram {ngram!r}, which has no token. Leave it out."
                )
            if known is None or not all(isinstance(token, str) for token in tokens):
                columns = list(_columns_of(tokens, names, n_columns, subject="BannedNGrams"))
            else:
                columns = [known[token] for token in tokens if token in known]
            if len(columns) == len(tokens):
                rows.append([-2] * has_start + columns)
        rows = [list(row) for row in dict.fromkeys(map(tuple, rows))]
        width = max(map(len, rows), default=1)
        padded = [[-1] * (width - len(row)) + row for row in rows]
        return np.array(padded, dtype=np.intp).reshape(len(rows), width)


def _split(ngram):
    """Return the tokens of an n-gram."""
    if isinstance(ngram, str):
        return ngram.split()
    return _as_list([ngram] if isinstance(ngram, Integral) else ngram, "tokens", "BannedNGrams")


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


def ngram_violations(
    rule: Rule, name: str, names: np.ndarray | None, n_columns: int
) -> tuple[np.ndarray, FloatArray] | None:
    """Return n-grams (n, k) and the violations (n,) that each is, checked; see :class:`Rule`.

    Raises
    ------
    ValueError
        If the violations are not one finite number >= 0 for each n-gram.
    """
    found = rule.ngram_violations(names, n_columns)
    if found is None:
        return None
    rows = np.asarray(found[0])
    subject = f"Rule {name!r} (ngram_violations)"
    return rows, _check_amounts(found[1], subject, (len(rows),), "n-grams")


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
