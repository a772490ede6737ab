"""Tokens to text that is split into the same tokens again."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import numpy as np

from sklearn_codex._text.scripts import has_unspaced, is_unspaced
from sklearn_codex._text.tokenizers import build_splitter, is_in_a_row

__all__ = ["TokenNames", "Touching", "Writing", "find_writing", "writing_of_rule"]

# What stands for a character that is unknown; one character to most functions that split.
_UNKNOWN = "\ufffd"


@dataclass
class Writing:
    """How tokens are written as text, so that the text is split into them again.

    Parameters
    ----------
    joiner : str, default=" "
        What stands between two tokens.
    respelled : dict of str to str
        Tokens that are written in another way.
    broken : str, default=""
        Whose tokenizer splits no such text into its tokens; empty where all is well.
    touching : Touching, default=None
        Which tokens have nothing between them, whatever stands between others.
    """

    joiner: str = " "
    respelled: dict[str, str] = field(default_factory=dict)
    broken: str = ""
    touching: "Touching | None" = None

    def write(self, documents: Iterable[list[str]]) -> list[str]:
        """Return documents of tokens as texts; the first time warn of those that differ."""
        if self.broken:
            between = "a space" if self.joiner else "nothing"
            warnings.warn(
                f"{self.broken} has a tokenizer that splits text into other tokens than those the "
                f"text is written of, here joined by {between}, so what is drawn or decoded counts "
                "as something else. Pass a tokenizer whose tokens, joined by nothing or by a "
                "space, it splits into the same tokens, such as list or str.split.",
                UserWarning,
                stacklevel=2,
            )
            self.broken = ""
        if self.touching is not None:
            return list(map(self.touching.join, documents))
        if not self.respelled:
            return list(map(self.joiner.join, documents))
        spell = self.respelled.get
        return [self.joiner.join(spell(token, token) for token in row) for row in documents]


@dataclass
class Touching:
    """Tokens in a row of scripts without blanks, and their marks: no blank is between them.

    Unless it parts them: a letter may take up the one behind it.

    Parameters
    ----------
    rule : str
        A built-in tokenizer whose tokens are in a row.
    touch : dict of (str, str) to bool
        Whether two tokens are split into the same again where nothing stands between them.
    """

    rule: str
    touch: dict[tuple[str, str], bool] = field(default_factory=dict)

    def join(self, tokens: list[str]) -> str:
        """Return a document of tokens as text."""
        pieces = tokens[:1]
        for pair in pairwise(tokens):
            touches = self.touch.get(pair)
            if touches is None:
                touches = self.touch[pair] = self._may_touch(pair)
            pieces += pair[1:] if touches else (" ", pair[1])
        return "".join(pieces)

    def _may_touch(self, pair):
        are_unspaced = all(map(is_unspaced, pair))
        return are_unspaced and build_splitter(self.rule, ())("".join(pair)) == list(pair)


def find_writing(
    names: Iterable[str],
    split: Callable[[str], list[str]],
    *,
    unk: str | None = None,
    eos: str | None = None,
    subject: str = "",
) -> Writing:
    """Find what joins tokens so that the text is split into them again: nothing, or a space.

    The tokens of the vocabulary in a row, twice, are tried without anything between them, then
    with spaces; then those alone that are one token by themselves. Where all of these fail, tokens
    are joined by nothing if any of them holds a blank, as one that splits at blanks would not, and
    by a space otherwise.

    Parameters
    ----------
    names : iterable of str (V,)
        The tokens.
    split : callable: str -> list of str
    unk, eos : str or None
        Special tokens. Where the first is not given back as one token, and U+FFFD is, it is
        written as that.
    subject : str, default=""
        Who is to be named in a warning where nothing gives the tokens back. If empty they are
        joined by a space there.
    """
    names = list(names)
    own = [name for name in names if name not in (unk, eos)]
    if not own:
        return Writing()
    joiner, is_whole = _joiner_of(own, split), True
    if joiner is None and not subject:
        return Writing()
    if joiner is None:
        alone = [name for name in own if _gives_back([name], "", split)]
        joiner, is_whole = _joiner_of(alone, split) if alone else None, False
    if joiner is None:
        joiner = "" if any(name.split() != [name] for name in own) else " "
    respelled = {}
    if unk is not None and _UNKNOWN not in names:
        around = [[own[0], token, own[0]] for token in (unk, _UNKNOWN)]
        if [_gives_back(row, joiner, split) for row in around] == [False, True]:
            respelled = {unk: _UNKNOWN}
    return Writing(joiner, respelled, "" if is_whole else subject)


def writing_of_rule(rule: str, names: Iterable[str], literals: Iterable[str]) -> Writing:
    """Return how tokens of a built-in tokenizer are written: by spaces.

    Without any where a rule for tokens in a row knows scripts that have none; not where a special
    token is of such a script, which tokens in a row might spell.
    """
    knows = is_in_a_row(rule) and any(map(has_unspaced, names))
    if not knows or any(map(has_unspaced, literals)):
        return Writing()
    return Writing(touching=Touching(rule))


def _joiner_of(tokens: list[str], split: Callable[[str], list[str]]) -> str | None:
    return next((joiner for joiner in ("", " ") if _gives_back(2 * tokens, joiner, split)), None)


def _gives_back(tokens: list[str], joiner: str, split: Callable[[str], list[str]]) -> bool:
    """Return whether tokens that are joined are split into the same tokens."""
    try:
        return split(joiner.join(tokens)) == tokens
    except Exception:  # a function of the user may know its own texts only
        return False


class TokenNames(np.ndarray):
    """Names (V,) of tokens that know how they are written as text, in parts and copies, too."""

    _find: Callable[[], Writing] | None

    @classmethod
    def of(cls, names, find: Callable[[], Writing]) -> "TokenNames":
        """Return names (V,) that are written as a function says, which is asked once, or never."""
        named = np.asarray(names, dtype=object).view(cls)
        named._find = cache(find)
        return named

    @property
    def writing(self) -> Writing:
        """How the tokens are written."""
        return Writing() if self._find is None else self._find()

    def __array_finalize__(self, obj):
        """Keep what the array it is made of knows."""
        self._find = getattr(obj, "_find", None)

    def __reduce__(self):
        """Be copied whole, to another process, too."""
        return _written, (np.asarray(self), self.writing)


def _written(names, writing):
    return TokenNames.of(names, lambda: writing)
