"""What entries of a rule are to a vocabulary: its tokens, these spelled otherwise, or nothing."""

import re
import reprlib
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone

__all__ = [
    "Entries",
    "Vocabulary",
    "as_list",
    "check_names",
    "check_spelling",
    "columns_of",
    "read_tokens",
]

# What most tokenizers split at most.
_PIECES = re.compile(r"\w+|[^\w\s]")


def as_list(items: Any, what: str, subject: str) -> list:
    """Return a sequence of tokens or n-grams as a list."""
    if isinstance(items, str | bytes):
        raise TypeError(f"{subject} needs a list of {what}, got {items!r}. Pass [{items!r}].")
    try:
        return list(items)
    except (TypeError, AttributeError):
        raise TypeError(
            f"{subject} needs a list of {what}, got a {type(items).__name__}: {items!r:.60}."
        ) from None


def columns_of(tokens: Any, names: Any, n_columns: int, *, subject: str) -> np.ndarray:
    """Return the columns of tokens given by name, or by column where names are unknown."""
    tokens = as_list(tokens, "tokens", subject)
    if names is not None:
        check_names(tokens, subject)
        return np.flatnonzero(np.isin(np.asarray(names, dtype=str), np.array(tokens, dtype=str)))
    if not all(isinstance(token, Integral) and 0 <= int(token) < n_columns for token in tokens):
        raise ValueError(
            f"{subject} has tokens {reprlib.repr(tokens)}, but the policy was fitted on counts and "
            f"knows only columns. Give columns, integers from 0 to {n_columns - 1}, or fit the "
            "policy on text."
        )
    return np.array(tokens, dtype=np.intp)


def check_names(tokens: list, subject: str) -> None:
    """Raise where tokens, of a policy that knows its own by name, are not all names."""
    if not all(isinstance(token, str) for token in tokens):
        raise TypeError(
            f"{subject} has tokens {reprlib.repr(tokens)}, but the policy knows its tokens by "
            "name. Give names, all of them str."
        )


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a policy, and how it splits a text into them.

    Parameters
    ----------
    names : ndarray of str of shape (V,)
        The tokens.
    split : callable: str -> list of str, or None
        How text is split; None where that is not known.
    """

    names: np.ndarray
    split: Callable[[str], Iterable[str]] | None = None

    @cached_property
    def known(self) -> set[str]:
        """The tokens."""
        return set(map(str, self.names))

    @cached_property
    def _folded(self) -> dict[str, str]:
        """The first token of each spelling without case."""
        return {name.casefold(): name for name in reversed(list(map(str, self.names)))}

    def read(self, parts: Iterable[str]) -> list[str]:
        """Return the tokens that parts of an entry are, those that are none split as text is."""
        tokens: list[str] = []
        for part in parts:
            if part in self.known or self.split is None:
                tokens.append(part)
            else:
                tokens += self.split(part)
        return tokens

    def knows(self, tokens: list[str]) -> bool:
        """Return whether there are tokens, all of them known."""
        return bool(tokens) and self.known.issuperset(tokens)

    def nearest(self, tokens: list[str]) -> str | None:
        """Return known tokens, joined, that differ by case or by where they are split; or None."""
        found: list[str | None] = []
        for token in tokens:
            pieces = [token] if token.casefold() in self._folded else _PIECES.findall(token)
            found += [
                piece if piece in self.known else self._folded.get(piece.casefold())
                for piece in pieces
            ]
        known = [piece for piece in found if piece is not None]
        return " ".join(known) if known and len(known) == len(found) else None


@dataclass
class Entries:
    """What the entries of one rule are to a vocabulary.

    Attributes
    ----------
    n_known : int
        How many there are that a document of the policy may have.
    absent : list of str
        Those of which it has nothing.
    otherwise : dict of str to (str, str)
        Those that it has in another spelling, with this and the remedy.
    """

    n_known: int = 0
    absent: list = field(default_factory=list)
    otherwise: dict = field(default_factory=dict)

    def tell(self, subject: str, kind: str, *, is_strict: bool, warn: bool = True) -> None:
        """Raise, or warn, where the rule says nothing of what its entries mean.

        Parameters
        ----------
        subject : str
            Who got the rule, and the rule.
        kind : str
            What an entry is.
        is_strict : bool
            Whether the rule is to be kept, so that this is an error.
        warn : bool, default=True
            Whether to warn where it is not.
        """
        if self.otherwise:
            entry, (spelling, remedy) = next(iter(self.otherwise.items()))
            message = (
                f"{subject} with {entry!r}, which is no {kind} of the policy and so would "
                f"never be found: the vocabulary has {spelling!r}. {remedy}"
            )
        elif self.absent and not self.n_known:
            message = (
                f"{subject} with {reprlib.repr(self.absent)}, of which the vocabulary of the "
                "policy has none, so it changes nothing. Leave the rule out, or fit the policy on "
                "text that has them."
            )
        elif is_strict and not (self.n_known or self.absent):
            message = (
                f"{subject} with an empty list, so there is nothing to keep. Name a {kind}, or "
                "leave the rule out."
            )
        else:
            return
        if is_strict:
            raise ValueError(message)
        if warn:
            warnings.warn(message, UserWarning, stacklevel=2)


def read_tokens(rule: Any, vocabulary: Vocabulary, remedy: str) -> tuple[Any, Entries]:
    """Return a rule of single tokens in those of a vocabulary, and what they are to that.

    Parameters
    ----------
    rule : Rule
        With ``tokens``.
    vocabulary : Vocabulary
    remedy : str
        What to use for several tokens, which are to be filled in.
    """
    entries, read = Entries(), []
    tokens = as_list(rule.tokens, "tokens", type(rule).__name__)
    check_names(tokens, type(rule).__name__)
    for token in tokens:
        found = vocabulary.read([token])
        is_known = len(found) == 1 and vocabulary.knows(found)
        read.append(found[0] if is_known else token)
        near = None if is_known else vocabulary.nearest(found)
        if is_known:
            entries.n_known += 1
        elif near is None:
            entries.absent.append(str(token))
        else:
            use = f"Use {remedy.format(near)}" if " " in near else "Write it so"
            entries.otherwise[str(token)] = near, use + "."
    return clone(rule).set_params(tokens=read), entries


def check_spelling(rule: Any, texts: list[str], *, words: bool) -> None:
    """Raise, or warn, where texts have an entry of a rule that is not found between blanks.

    Parameters
    ----------
    rule : Rule
    texts : list of str (n_documents,)
        Whose tokens are between blanks.
    words : bool
        Whether to look for each text that has an entry, but not between blanks; else only for
        entries of several pieces that are in no text between blanks.
    """
    found = _find_in_texts(rule._spelled(), texts, words)
    if found is None:
        return
    entry, text = " ".join(found[0]), found[1]
    message = (
        f"{type(rule).__name__} {rule.name!r} does not find {entry!r} in {text!r:.80}: tokens of a "
        "text are what is between blanks. Put blanks between its tokens, or use Pattern, which "
        "reads the text as it is."
    )
    if rule._is_strict:
        raise ValueError(message)
    warnings.warn(message, UserWarning, stacklevel=4)


def _find_in_texts(entries, texts, words):
    """Return an entry (n_tokens,) and a text that has it, but not between blanks; or None."""
    for tokens in entries:
        pieces = [piece for token in tokens for piece in _PIECES.findall(token)]
        if not pieces or not (words or len(pieces) > len(tokens)):
            continue
        between = r"\s+".join(map(re.escape, tokens))
        spaced = re.compile(rf"(?<!\S){between}(?!\S)")
        without = [text for text in texts if not spaced.search(text)]
        if not words and len(without) < len(texts):
            continue
        first, last = (r"\b" if end[0].isalnum() else "" for end in (pieces[0], pieces[-1]))
        loose = re.compile(first + r"\s*".join(map(re.escape, pieces)) + last)
        for text in without:
            if loose.search(text):
                return tokens, text
    return None
