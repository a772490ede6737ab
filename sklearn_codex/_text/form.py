"""The form of a text, and what it shares with its prompt: a number each."""

import re
import string
from collections.abc import Callable
from functools import cached_property

import numpy as np

from sklearn_codex._text.scripts import find_words

_WORD = re.compile(r"\w+")
# Also the full stops, exclamation and question marks of scripts without blanks.
_SENTENCE_END = re.compile("[.!?]+(?=\\s|$)|[\u3002\uff01\uff1f\uff61\u104b\u17d4\u0f0d]+")
_PARAGRAPH_BREAK = re.compile(r"\n\s*\n")
_BULLET = re.compile(r"^[ \t]*(?:[-*+•‣][ \t]+|[・·][ \t]*)\S", re.MULTILINE)
_NUMBERED = re.compile(
    "^[ \\t]*(?:\\(?\\d{1,3}[.)][ \\t]|\uff08?\\d{1,3}[\u3001\uff0e\uff09])", re.MULTILINE
)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.MULTILINE)
_TABLE_ROW = re.compile(r"^[^\n|]*\|[^\n|]*\|", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_INLINE_CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
_FORMULA = re.compile(r"\$[^$\n]+\$|\\\(|\\\[")
_LINK = re.compile(r"https?://|www\.")
_QUOTE = re.compile(r"[\"“”«»「」『』]")
_DIGIT, _UPPER = re.compile(r"\d"), re.compile(r"[A-Z]")
_REFUSAL = re.compile(
    "\\b(?:sorry|apologi[sz]e|can ?not|can['\u2019]t|unable to|not able to|as an ai)\\b",
    re.IGNORECASE,
)
_STOP_WORDS = frozenset(
    _WORD.findall(
        "the a an of to in and or is are was were be for on with as at by it its this that i you "
        "your my we our from can how what which who do does not if"
    )
)
_FIRST_PERSON, _SECOND_PERSON = frozenset(["i", "me", "my"]), frozenset(["you", "your"])
_CLOSING = tuple(
    ".!?:;)]}\"'`*|>\u3002\uff01\uff1f\u2026\u201d\uff61\u104b\u17d4\u0f0d\uff09\u300d\u300f\u3011"
)
_TO_ASCII = str.maketrans("\uff1f\uff01\uff08\uff0c\u3001\u104a\uff1a", "?!(,,,:")
_DELETE_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Text:
    """A text and what its features are made of, each made once."""

    def __init__(self, text: str):
        self.text = text
        self.stripped = text.strip()
        self.words = find_words(text.lower())
        self.word_lengths = list(map(len, self.words))
        self.types = frozenset(self.words)
        self.trigrams = list(zip(self.words, self.words[1:], self.words[2:], strict=False))
        self.lines = [line for line in text.split("\n") if line.strip()]
        self.n_characters = len(text)
        self.marks = text if text.isascii() else text.translate(_TO_ASCII)

    @cached_property
    def trigram_types(self) -> frozenset:
        """Its different trigrams."""
        return frozenset(self.trigrams)

    @cached_property
    def n_sentences(self) -> int:
        """Where sentences end."""
        return len(_SENTENCE_END.findall(self.text))

    def count(self, pattern: re.Pattern, mark: str = "") -> float:
        """Return log(1 + matches) of a pattern that needs a mark."""
        return float(np.log1p(len(pattern.findall(self.text)))) if mark in self.text else 0.0

    def character_share(self, n: float) -> float:
        """Return the root of a share of characters; small shares differ more than great ones."""
        return float(np.sqrt(n / max(self.n_characters, 1)))

    def word_share(self, kept: frozenset) -> float:
        """Return the share of words that are in a set."""
        return sum(map(kept.__contains__, self.words)) / max(len(self.words), 1)


def _share_new(items: list) -> float:
    """Return the share of items that did not occur before; 1 where there are none."""
    return len(set(items)) / len(items) if items else 1.0


def _n_not_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


# Column -> what it is of a response. Counts are log(1 + count): bounded in effect, and a doubling
# counts the same whether from one or from ten.
RESPONSE_COLUMNS: dict[str, Callable[[Text], float]] = {
    "log_characters": lambda t: np.log1p(t.n_characters),
    "log_words": lambda t: np.log1p(len(t.words)),
    "empty": lambda t: float(not t.words),
    "sentences": lambda t: np.log1p(t.n_sentences),
    "words_per_sentence": lambda t: np.log((len(t.words) + 1) / (t.n_sentences + 1)),
    "word_length": lambda t: np.log((sum(t.word_lengths) + 1) / (len(t.words) + 1)),
    "lines": lambda t: np.log1p(len(t.lines)),
    "paragraphs": lambda t: np.log1p(len(_PARAGRAPH_BREAK.findall(t.stripped))),
    "bullets": lambda t: t.count(_BULLET),
    "numbered_items": lambda t: t.count(_NUMBERED),
    "headings": lambda t: t.count(_HEADING),
    "bold": lambda t: t.count(_BOLD),
    "code_fences": lambda t: np.log1p(t.text.count("```")),
    "inline_code": lambda t: t.count(_INLINE_CODE, "`"),
    "indented_lines": lambda t: sum(line[0] in " \t" for line in t.lines) / max(len(t.lines), 1),
    "table_rows": lambda t: t.count(_TABLE_ROW, "|"),
    "links": lambda t: t.count(_LINK),
    "formulas": lambda t: t.count(_FORMULA),
    "questions": lambda t: np.log1p(t.marks.count("?")),
    "exclamations": lambda t: np.log1p(t.marks.count("!")),
    "quotes": lambda t: t.count(_QUOTE),
    "parentheses": lambda t: np.log1p(t.marks.count("(")),
    "commas": lambda t: np.log1p(t.marks.count(",")),
    "comma_share": lambda t: t.character_share(t.marks.count(",")),
    "colon_share": lambda t: t.character_share(t.marks.count(":")),
    "type_token_ratio": lambda t: _share_new(t.words),
    "lexical_diversity": lambda t: (
        np.log1p(len(t.types)) / np.log1p(len(t.words)) if t.words else 1.0
    ),
    "new_trigrams": lambda t: len(t.trigram_types) / len(t.trigrams) if t.trigrams else 1.0,
    "new_lines": lambda t: _share_new(t.lines),
    "digit_share": lambda t: t.character_share(len(_DIGIT.findall(t.text))),
    "punctuation_share": lambda t: t.character_share(
        t.n_characters - len(t.text.translate(_DELETE_PUNCTUATION))
    ),
    "capital_share": lambda t: t.character_share(len(_UPPER.findall(t.text))),
    "space_share": lambda t: t.character_share(t.n_characters - sum(map(len, t.text.split()))),
    "not_ascii_share": lambda t: t.character_share(_n_not_ascii(t.text)),
    "stop_word_share": lambda t: t.word_share(_STOP_WORDS),
    "first_person_share": lambda t: t.word_share(_FIRST_PERSON),
    "second_person_share": lambda t: t.word_share(_SECOND_PERSON),
    "long_word_share": lambda t: sum(map((6).__lt__, t.word_lengths)) / max(len(t.words), 1),
    "refusals": lambda t: t.count(_REFUSAL),
    "ends_closed": lambda t: float(t.stripped.endswith(_CLOSING)),
    "starts_with_capital": lambda t: float(t.stripped[:1].isupper()),
}


def _trigram_copies(prompt: Text, response: Text) -> tuple[float, float]:
    """Return the shares of the response's trigrams that the prompt has, and the reverse."""
    known = prompt.trigram_types
    copied = sum(map(known.__contains__, response.trigrams))
    found = len(known & response.trigram_types)
    return copied / max(len(response.trigrams), 1), found / max(len(known), 1)


def _content(prompt: Text) -> frozenset:
    return prompt.types - _STOP_WORDS


# Column -> what it is of a response to a prompt.
OVERLAP_COLUMNS: dict[str, Callable[[Text, Text], float]] = {
    "words_from_prompt": lambda p, r: r.word_share(p.types),
    "prompt_words_used": lambda p, r: len(_content(p) & r.types) / max(len(_content(p)), 1),
    "trigrams_from_prompt": lambda p, r: _trigram_copies(p, r)[0],
    "prompt_trigrams_used": lambda p, r: _trigram_copies(p, r)[1],
    "begins_as_prompt": lambda p, r: float(
        bool(r.stripped) and r.stripped[:40].lower() in p.text.lower()
    ),
    "other_script": lambda p, r: abs(
        _n_not_ascii(p.text) / max(p.n_characters, 1)
        - _n_not_ascii(r.text) / max(r.n_characters, 1)
    ),
}
