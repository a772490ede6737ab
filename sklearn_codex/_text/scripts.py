"""Text of scripts that put no blanks between words: its units, and pairs of units.

Which scripts these are is the table `_SCRIPTS`: Han, kana and Bopomofo, and the scripts that the
Unicode line breaking algorithm (UAX #14) says need a dictionary to find words, class SA; and
Tibetan, whose blanks are those of phrases. The ranges are those of Unicode's Blocks.txt. Which
characters of a block are letters and which are marks is what :mod:`unicodedata` says.

A *unit* is a letter with the marks behind it, letters that a virama stacks below it included; in
Tibetan it is a syllable, which a tsheg ends. A *run* is units in a row, in composed form (NFC).
Half-width kana are made full-width, as they are the same letters; selectors of variants and
joiners, which choose between pictures of one letter, are left out.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from operator import add

__all__ = ["build_script_splitter", "find_words", "has_unspaced", "is_unspaced", "split_words"]

# First and last code point of blocks, in their order.
_SCRIPTS = {
    "Thai": [(0x0E00, 0x0E7F)],
    "Lao": [(0x0E80, 0x0EFF)],
    "Tibetan": [(0x0F00, 0x0FFF)],
    "Myanmar": [(0x1000, 0x109F), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F), (0x116D0, 0x116FF)],
    "Khmer": [(0x1780, 0x17FF)],
    "Tai Le, New Tai Lue": [(0x1950, 0x19DF)],
    "Tai Tham": [(0x1A20, 0x1AAF)],
    "Tai Viet": [(0xAA80, 0xAADF)],
    "Ahom": [(0x11700, 0x1174F)],
    # Iteration marks, numerals and kana marks among CJK symbols; to the extensions of ideographs.
    "Han, kana, Bopomofo": [
        (0x3005, 0x3007), (0x3021, 0x3029), (0x3031, 0x3035), (0x3038, 0x303C), (0x3041, 0x312F),
        (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
        (0xFF66, 0xFF9F), (0x16FE0, 0x16FFF), (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFF),
    ],
}  # fmt: skip
# Large blocks, of ideographs only.
_IDEOGRAPHS = {(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0x20000, 0x3FFFF)}
# Vowels that Unicode has as letters and its text segmentation (UAX #29) as marks; the half-width
# sound marks of kana, which compose with the letter before once that is full-width.
_LIKE_MARKS = "\u0e33\u0eb3\uff9e\uff9f"
_VIRAMAS = "\u1039\u17d2\u1a60"  # a letter behind one stands below the letter before
_TSHEG = "\u0f0b"
_TSHEGS = f"{_TSHEG}\u0f0c"
_VARIANTS = "\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"
_MORE_MARKS = f"\u0300-\u036f\u302a-\u302f\u3099\u309a{_VARIANTS}"
# Nobody sees them; they say where a word may end, or may not.
_UNSEEN = "\u200b\u2060\ufeff"
# Punctuation of CJK and of full width, which like that of the scripts stands by itself.
_FULL_WIDTH = [
    (0x3001, 0x3004), (0x3008, 0x3020), (0x3030, 0x3030), (0x303D, 0x303F), (0xFE30, 0xFE4F),
    (0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65),
]  # fmt: skip
_WORD = re.compile(r"\w+")
_WORD_OR_MARK = re.compile(r"\w+|[^\w\s]")

Splitter = Callable[[str], list[str]]


def _as_class(codes: Iterable[int]) -> str:
    """Write code points as the inside of a character class, ranges joined."""
    ranges: list[list[int]] = []
    for code in sorted(set(codes)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(low)}-{chr(high)}" for low, high in ranges)


@cache
def _classes() -> tuple[str, str, str, str]:
    """Return the insides of character classes: letters, Tibetan letters, marks, punctuation."""
    letters: list[int] = []
    tibetan: list[int] = []
    marks: list[int] = []
    punctuation = [code for low, high in _FULL_WIDTH for code in range(low, high + 1)]
    for script, blocks in _SCRIPTS.items():
        for low, high in blocks:
            if (low, high) in _IDEOGRAPHS:
                continue
            for code in range(low, high + 1):
                kind = unicodedata.category(chr(code))
                if kind[0] == "M" or chr(code) in _LIKE_MARKS:
                    marks.append(code)
                elif kind[0] == "L" or kind == "Nl":
                    (tibetan if script == "Tibetan" else letters).append(code)
                elif kind[0] in "PS" and chr(code) not in _TSHEGS:
                    punctuation.append(code)
    ideographs = "".join(f"{chr(low)}-{chr(high)}" for low, high in sorted(_IDEOGRAPHS))
    return (
        _as_class(letters) + ideographs,
        _as_class(tibetan),
        _as_class(marks) + _MORE_MARKS,
        _as_class(punctuation),
    )


class _Patterns:
    """The compiled expressions, made when text outside ASCII first comes."""

    def __init__(self):
        letters, tibetan, marks, punctuation = _classes()
        syllable = f"[{tibetan}][{tibetan}{marks}]*"
        self.letter = re.compile(f"[{letters}{tibetan}]")
        self.mark = re.compile(f"[{punctuation}]")
        # Where none of these stands, a unit is a character: marks, what has another composed form.
        self.changing = re.compile(f"[{marks}\uff66-\uff9f\uf900-\ufaff\U0002f800-\U0002fa1f]")
        self.variant = re.compile(f"[{_VARIANTS}]+")
        self.half_width = re.compile("[\uff66-\uff9f]+")
        self.syllable = re.compile(syllable)
        self.unit = re.compile(f"[{letters}][{marks}]*(?:(?<=[{_VIRAMAS}])[{letters}][{marks}]*)*")
        self._run = f"[{letters}](?:{{}}[{letters}{marks}])*"
        self._others = (
            f"(?P<syllables>{syllable}(?:[{_TSHEGS}]+{syllable})*)[{_TSHEGS}]*"
            f"|(?P<mark>[{punctuation}])"
            f"|[{_UNSEEN}]"
            f"|(?P<rest>[^{letters}{tibetan}{punctuation}{_UNSEEN}]+)"
        )

    def parts(self, literals: list[str]) -> re.Pattern[str]:
        """Return what a chunk is made of; of special tokens the first that matches is taken."""
        special = "|".join(map(re.escape, literals))
        if not special:
            return re.compile(f"(?P<run>{self._run.format('')})|{self._others}")
        run = self._run.format(f"(?!{special})")
        return re.compile(f"(?P<special>{special})|(?P<run>{run})|{self._others}")


_patterns = cache(_Patterns)


def has_unspaced(text: str) -> bool:
    """Tell whether a text has a letter of a script that puts no blanks between words."""
    return not text.isascii() and _patterns().letter.search(text) is not None


def is_unspaced(token: str) -> bool:
    """Tell whether a token is of such a script, or a mark of theirs, which no blanks surround."""
    return not token.isascii() and (
        has_unspaced(token) or _patterns().mark.fullmatch(token) is not None
    )


def _compose(run: str) -> str:
    """Write the letters of a run in one way: composed, full-width, no variants chosen."""
    patterns = _patterns()
    run = patterns.half_width.sub(lambda found: unicodedata.normalize("NFKC", found[0]), run)
    return unicodedata.normalize("NFC", patterns.variant.sub("", run))


def _units(run: str) -> list[str]:
    return _patterns().unit.findall(_compose(run))


def _with_pairs(units: list[str], between: str) -> list[str]:
    """Return units with the pair of each two in a row between them; two alone are a pair only."""
    pairs = list(map(add, [unit + between for unit in units] if between else units, units[1:]))
    if len(units) == 2:
        return pairs
    tokens = [""] * (len(units) + len(pairs))
    tokens[::2], tokens[1::2] = units, pairs
    return tokens


def _only_units(units: list[str], between: str) -> list[str]:
    return units


def build_script_splitter(
    base: Splitter, literals: Iterable[str] = (), *, pairs: bool = True
) -> Splitter:
    """Build a tokenizer that splits runs of scripts without blanks, and the rest as `base` does.

    Parameters
    ----------
    base : callable: str -> list of str
        Splits at blanks at least.
    literals : iterable of str, default=()
        Special tokens. One that holds letters of such scripts is one token wherever a token may
        start; all others are for `base` to know.
    pairs : bool, default=True
        Whether to return pairs of units in a row, too.

    Returns
    -------
    split : callable: str -> list of str
        Equal to `base` for text without a letter of such a script. Tokens joined by a space split
        into the same tokens again, if those of `base` do.
    """
    own = sorted(filter(has_unspaced, literals), key=len, reverse=True)
    finish = _with_pairs if pairs else _only_units
    parts = cache(lambda: _patterns().parts(own))

    def split_chunk(chunk, find_units):
        tokens: list[str] = []
        for found in parts().finditer(chunk):
            kind = found.lastgroup
            if kind == "run":
                tokens += finish(find_units(found[kind]), "")
            elif kind == "syllables":
                tokens += finish(_patterns().syllable.findall(_compose(found[kind])), _TSHEG)
            elif kind == "rest":
                tokens += base(found[kind])
            elif kind:
                tokens.append(found[kind])
        return tokens

    def split(text):
        if not has_unspaced(text):
            return base(text)
        find_units = _units if _patterns().changing.search(text) else list
        tokens: list[str] = []
        for chunk in text.split():
            tokens += split_chunk(chunk, find_units) if has_unspaced(chunk) else base(chunk)
        return tokens

    return split


_split_words = build_script_splitter(_WORD_OR_MARK.findall, pairs=False)


def split_words(text: str) -> list[str]:
    r"""Split a text into words and punctuation, runs of scripts without blanks into their units.

    Parameters
    ----------
    text : str

    Returns
    -------
    words : list of str
        Those of the regular expression ``\w+|[^\w\s]`` where no such script occurs.
    """
    return _split_words(text)


def find_words(text: str) -> list[str]:
    r"""Return the words of a text, units where a script puts no blanks between words.

    Parameters
    ----------
    text : str

    Returns
    -------
    words : list of str
        Those of the regular expression ``\w+`` where no such script occurs.
    """
    if not has_unspaced(text):
        return _WORD.findall(text)
    return [token for token in _split_words(text) if _WORD.match(token)]
