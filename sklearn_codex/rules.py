"""Rule-based safety penalties: small picklable estimators that price a violation in nats.

A rule counts violations in a document; each one costs ``penalty`` nats of KL in the objective of
:class:`~sklearn_codex.PPOPolicyOptimizer`. A price of c nats on a token multiplies its odds under
the optimal policy by exp(-c). Rules that count tokens add over tokens, so the optimum with them
stays exact; others are learned from samples, as any reward.
"""

import re
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import Interval

from sklearn_codex._rule import Rule
from sklearn_codex._rule_amounts import check_violations
from sklearn_codex._rule_entries import (
    Entries,
    Vocabulary,
    as_list,
    check_names,
    columns_of,
    read_tokens,
)

__all__ = ["BannedNGrams", "BannedTokens", "Pattern", "Rule", "TokenBudget", "check_rules"]


class BannedTokens(Rule):
    """Each occurrence of a banned token is a violation; adds over tokens.

    Parameters
    ----------
    tokens : sequence of str or of int
        The banned tokens: names, or columns for policies fitted on counts. Of those that are not
        in the vocabulary, see Notes.
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

    Notes
    -----
    **Entries outside the vocabulary** of a policy fitted on text. An entry that is no token is
    split as the policy splits its texts; if that makes one token, it is meant. If the vocabulary
    has it in another spelling (other case, or several tokens, as ``os . system`` for
    ``os.system``), the fit raises where the rule is ``hard`` or has a ``max_rate``, and warns
    where it has a ``penalty``; so it does where the vocabulary has none of the entries. Other
    tokens outside it cannot occur.

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
        violations[columns_of(self.tokens, names, n_columns, subject="BannedTokens")] = 1.0
        return violations

    def _read_by(self, vocabulary):
        return read_tokens(self, vocabulary, "BannedNGrams([{!r}])")

    def _spelled(self):
        return _strings(self.tokens, "BannedTokens")

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
        of a document. What is between blanks and no token is split as the policy splits its texts,
        so that ``"os.system"`` is the same to one that splits code; see Notes.
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

    An n-gram with a token outside the vocabulary cannot occur. But where the vocabulary has it in
    another spelling, or has none of the n-grams, the fit raises if the rule is ``hard`` or has a
    ``max_rate``, and warns if it has a ``penalty``. Texts that the rule is called with are split
    at blanks.

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

    def _read_by(self, vocabulary):
        entries, read = Entries(), []
        for given in as_list(self.ngrams, "n-grams", "BannedNGrams"):
            start, parts = _split(given, vocabulary.known)
            check_names(parts, "BannedNGrams")
            tokens = vocabulary.read(parts)
            read.append(["<s>"] * start + tokens)
            if not parts or vocabulary.knows(tokens):
                entries.n_known += 1
                continue
            shown, near = " ".join(parts), vocabulary.nearest(tokens)
            if near is None:
                entries.absent.append(shown)
            else:
                entries.otherwise[shown] = near, "Write it so."
        return clone(self).set_params(ngrams=read), entries

    def _spelled(self):
        parted = [_split(given, ()) for given in as_list(self.ngrams, "n-grams", "BannedNGrams")]
        # What stands at the start of a text is more than its tokens.
        return [
            parts
            for start, parts in parted
            if parts and not start and all(isinstance(part, str) for part in parts)
        ]

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
        known = None if names is None else {name: column for column, name in enumerate(names)}
        rows = []
        for given in as_list(self.ngrams, "n-grams", "BannedNGrams"):
            has_start, tokens = _split(given, known or ())
            if not tokens:
                ngram = given.split() if isinstance(given, str) else list(given)
                raise ValueError(
                    f"BannedNGrams has the n-gram {ngram!r}, which has no token. Leave it out."
                )
            if known is None or not all(isinstance(token, str) for token in tokens):
                columns = list(columns_of(tokens, names, n_columns, subject="BannedNGrams"))
            else:
                columns = [known[token] for token in tokens if token in known]
            if len(columns) == len(tokens):
                rows.append([-2] * has_start + columns)
        rows = [list(row) for row in dict.fromkeys(map(tuple, rows))]
        width = max(map(len, rows), default=1)
        padded = [[-1] * (width - len(row)) + row for row in rows]
        return np.array(padded, dtype=np.intp).reshape(len(rows), width)


def _split(ngram, known):
    """Return whether an n-gram has the start of a document in front, and its tokens."""
    if isinstance(ngram, str):
        tokens = ngram.split()
    else:
        is_one = isinstance(ngram, Integral)
        tokens = as_list([ngram] if is_one else ngram, "tokens", "BannedNGrams")
    # What is no token may have an == of its own.
    has_start = bool(tokens) and isinstance(tokens[0], str) and tokens[0] == "<s>"
    has_start = has_start and "<s>" not in known
    return has_start, tokens[has_start:]


def _strings(tokens, subject):
    """Return the tokens that are str, each as an n-gram."""
    return [[token] for token in as_list(tokens, "tokens", subject) if isinstance(token, str)]


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

    Notes
    -----
    Of entries outside the vocabulary the fit says what it says of those of :class:`BannedTokens`.

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
        columns = columns_of(self.tokens, rollouts.names, rollouts.n_columns, subject="TokenBudget")
        counted[columns] = 1.0
        return np.maximum(rollouts.sum_over_tokens(counted) - self.budget, 0.0)

    def _read_by(self, vocabulary):
        return read_tokens(self, vocabulary, "Pattern(re.escape({!r}))")

    def _spelled(self):
        return _strings(self.tokens, "TokenBudget")


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

    def _read_by(self, vocabulary):
        entries = Entries(n_known=1)
        literal = re.sub(r"\\(\W)", r"\1", self.pattern)
        near = vocabulary.nearest(vocabulary.read(literal.split()))
        if near is not None and near != literal and not re.search(self.pattern, near):
            entries.otherwise[self.pattern] = near, "Write it so, with re.escape."
        return self, entries

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


def read_rules(
    rules, vocabulary: Vocabulary | None, *, subject: str, warn: bool = True
) -> list[tuple[str, Rule]]:
    """Return rules as :func:`check_rules` does, their entries as tokens of a vocabulary.

    Parameters
    ----------
    rules : see :func:`check_rules`
    vocabulary : Vocabulary or None
        Of the policy; None where it knows no names.
    subject : str
        The estimator that asks, for messages.
    warn : bool, default=True
        Whether to warn of entries that a rule with a penalty never finds.

    Raises
    ------
    ValueError
        As :func:`check_rules`; or if a rule that is hard, or has a ``max_rate``, never finds one.
    """
    checked = check_rules(rules, subject=subject)
    if vocabulary is None:
        return checked
    read = []
    for name, rule in checked:
        rule, entries = rule._read_by(vocabulary)
        kind = _KINDS.get(type(rule), "text")
        entries.tell(
            f"{subject} got the {'hard ' * rule.hard}rule {name!r}",
            kind,
            is_strict=rule._is_strict,
            warn=warn,
        )
        read.append((name, rule))
    return read


_KINDS: dict[type[Rule], str] = {
    BannedTokens: "token",
    TokenBudget: "token",
    BannedNGrams: "n-gram",
}


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
