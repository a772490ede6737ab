r"""ARPA files, the format of KenLM and SRILM: n-grams with their probabilities and back-offs.

A file lists the n-grams of each length, a line each: the logarithm (base 10) of the probability of
the last token after the others, the tokens, and the logarithm of the back-off weight of the n-gram
as a context. ``<s>`` is the start of a document, never predicted, ``</s>`` its end, and ``<unk>``
(or ``<UNK>``) any token that is not listed.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._ngrams.lookup import find_keys
from sklearn_codex._ngrams.table import Ints, Level, NGramTable
from sklearn_codex._ngrams.trie import Trie

__all__ = [
    "ALSO_UNKNOWN", "END", "LONGEST", "START", "UNKNOWN", "read_arpa", "split_fields", "write_arpa",
]  # fmt: skip

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
ALSO_UNKNOWN = "<UNK>"  # Another spelling that files have.
LONGEST = 100  # Tokens of an n-gram that a model may have.
_NEVER = -99.0  # What files have for the logarithm of 0.
_TOLERANCE = 1e-2  # How far from 1 probabilities of a context, which are rounded, may sum to.
_MOST_DIGITS = 18  # Of how many n-grams there are.

# Fields stand between the blanks of ASCII: other white space is part of a token.
_BLANKS = " \t\n\r\v\f"
split_fields = re.compile(rf"[^{_BLANKS}]+").findall
# A number as C has it, in digits of ASCII; Python would take others.
_is_number = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf)", re.I
).fullmatch


class _Section(NamedTuple):
    """The n-grams of one length in a file.

    Attributes
    ----------
    tokens : ndarray of int (n, length)
        V stands for the start of a document.
    log_prob : ndarray of shape (n,)
        Natural logarithms; NaN where the n-gram is not listed, but is part of one that is.
    log_weight : ndarray of shape (n,)
    """

    tokens: Ints
    log_prob: FloatArray
    log_weight: FloatArray


def write_arpa(model: BackoffModel, names: np.ndarray) -> Iterator[str]:
    """Generate the lines of an ARPA file, with their ends.

    Parameters
    ----------
    model : BackoffModel
    names : ndarray of str objects (V,)
        Tokens as the file is to have them.
    """
    trie = model.trie
    arcs, _ = trie.spell(names)
    weights = model.backoff_log_weight / np.log(10)
    log_prob = model.arc_log_prob / np.log(10)
    yield "\\data\\\n"
    for length, (start, stop) in enumerate(trie.levels(), start=1):
        yield f"ngram {length}={stop - start + (length == 1)}\n"
    for length, (start, stop) in enumerate(trie.levels(), start=1):
        yield f"\n\\{length}-grams:\n"
        if length == 1:
            weight = weights[trie.start] if trie.start >= 0 else 0.0
            yield (
                f"{_NEVER:g}\t{START}" + (f"\t{_written(weight)}" if trie.order > 1 else "") + "\n"
            )
        of_arcs = np.zeros(stop - start, np.int32)
        named = np.flatnonzero((trie.arc_of_context >= start) & (trie.arc_of_context < stop))
        of_arcs[trie.arc_of_context[named] - start] = named
        for arc, context in zip(range(start, stop), of_arcs.tolist(), strict=True):
            line = f"{_written(log_prob[arc])}\t{arcs[arc]}"
            if length < trie.order:
                line += f"\t{_written(weights[context]) if context > 0 else 0}"
            yield line + "\n"
    yield "\n\\end\\\n"


def _written(value):
    """Return a logarithm as files have it, in which one number means 0 and no other does."""
    if value == -np.inf:
        return f"{_NEVER:g}"
    written = f"{value:.10g}"
    return written if float(written) != _NEVER else "-99.00000001"


def read_arpa(lines: Iterable[str], place: str) -> tuple[list[str], BackoffModel]:
    r"""Read an ARPA file.

    The probabilities of a context are scaled to sum to one, from which rounding keeps them. An
    n-gram whose prefix or suffix is not listed, as entropy pruning leaves some, brings them along,
    at what the file says of them otherwise.

    Parameters
    ----------
    lines : iterable of str
    place : str
        What errors call the file.

    Returns
    -------
    names : list of str (V,)
        The tokens, without the start of a document; ``<UNK>`` as ``<unk>``.
    model : BackoffModel
        The end of a document is ``</s>``, if that is a token.

    Raises
    ------
    ValueError
        If the file is not of this form, or its probabilities do not sum to one.
    """
    reader = _Reader(lines, place)
    sizes = reader.read_sizes()
    names, sections = reader.read_sections(sizes)
    complete = _complete(sections)
    levels, log_prob, log_weight = _by_levels(complete, names, place)
    table = NGramTable(len(names), tuple(levels))
    trie = Trie.of_table(table, eos=names.index(END) if END in names else -1)
    weights = np.zeros(trie.n_contexts)
    named = trie.arc_of_context >= 0
    weights[named] = log_weight[trie.arc_of_context[named]]
    if trie.start >= 0:
        weights[trie.start] = reader.start_weight
    model = BackoffModel(trie, _fill(trie, log_prob, weights), weights)
    return names, _normalize(model, names, place)


class _Reader:
    """Reads the sections of a file."""

    def __init__(self, lines: Iterable[str], place: str):
        self.place, self.number = place, 0
        self.lines = iter(lines)
        self.start_weight = 0.0

    def next_line(self) -> str | None:
        """Return the next line that is not blank, without its end; None behind the last."""
        for line in self.lines:
            self.number += 1
            if line := line.strip(_BLANKS):
                return line
        return None

    def error(self, what: str) -> ValueError:
        place = f"{self.place}, line {self.number}" if self.number else self.place
        return ValueError(
            f"{place}: {what} Is it an ARPA file, as KenLM's lmplz and "
            "SRILM's ngram-count write them, and whole?"
        )

    def read_sizes(self) -> list[int]:
        r"""Return how many n-grams of each length there are, by the section ``\data\``."""
        line = self.next_line()
        while line is not None and line != "\\data\\":
            line = self.next_line()
        if line is None:
            what = "there is no section \\data\\" if self.number else "the file is empty"
            raise self.error(f"{what}.")
        sizes: list[int] = []
        while (line := self.next_line()) is not None and line.startswith("ngram "):
            length, _, size = line.removeprefix("ngram ").partition("=")
            size = size.strip()
            is_size = size.isascii() and size.isdecimal() and len(size) <= _MOST_DIGITS
            if not is_size or length.strip() != str(len(sizes) + 1):
                raise self.error(
                    f"expected 'ngram {len(sizes) + 1}=' and a number, got {_shown(line)}."
                )
            sizes.append(int(size))
            if len(sizes) > LONGEST:
                raise ValueError(
                    f"{self.place}, line {self.number}: n-grams of {len(sizes)} tokens, and a "
                    f"model has {LONGEST} at most. Write one of lower order."
                )
        if not sizes:
            raise self.error("\\data\\ has no line 'ngram 1=' and a number.")
        self.line = line
        return sizes

    def read_sections(self, sizes: list[int]) -> tuple[list[str], list[_Section]]:
        """Return the tokens, and the n-grams of each length."""
        names: list[str] = []
        index: dict[str, int] = {}
        sections = []
        for length, size in enumerate(sizes, start=1):
            if self.line != f"\\{length}-grams:":
                raise self.error(f"expected '\\{length}-grams:', got {_shown(self.line)}.")
            rows = list(self._rows(length, len(sizes)))
            if len(rows) != size:
                raise self.error(f"\\data\\ says {size} {length}-grams, and there are {len(rows)}.")
            if length == 1:
                rows = self._take_start(rows)
                names = [row[1] for row in rows]
                index = {name: number for number, name in enumerate(names)}
                if not names or len(index) < len(names):
                    raise self.error("a token is listed twice, or there is none.")
                index[START] = len(names)
                names = self._fold_unknown(names)
            sections.append(self._section(rows, index, length))
        if self.line != "\\end\\":
            raise self.error(f"expected '\\end\\', got {_shown(self.line)}.")
        if (line := self.next_line()) is not None:
            raise self.error(f"expected nothing after '\\end\\', got {_shown(line)}.")
        return names, sections

    def _rows(self, length, order):
        """Yield the fields of n-grams: a logarithm, the tokens, a logarithm or 0."""
        while (line := self.next_line()) is not None and not line.startswith("\\"):
            fields: list[Any] = split_fields(line)
            if not length + 1 <= len(fields) <= length + 1 + (length < order):
                raise self.error(
                    f"expected a number, {length} tokens and a number, got {_shown(line)}."
                )
            if not all(map(_is_number, [fields[0], *fields[length + 1 :]])):
                raise self.error(f"expected numbers first and last, got {_shown(line)}.")
            fields[0] = float(fields[0])
            fields[length + 1 :] = [float(field) for field in fields[length + 1 :]] or [0.0]
            if not fields[0] < 1e-4 or not abs(fields[-1]) < np.inf:
                raise self.error(
                    f"{_shown(line)} has no logarithms of a probability and of a weight."
                )
            self._check_starts(fields[1 : length + 1], line, never=fields[0] == _NEVER)
            yield fields
        self.line = line

    def _check_starts(self, tokens, line, *, never):
        """Check that a start follows nothing but the end of the text before, as some files have."""
        for before, token in pairwise(tokens):
            if token == START and before != END and not never:
                raise self.error(
                    f"{START!r} is the start of a document, and follows a token in {_shown(line)}."
                )

    def _fold_unknown(self, names):
        """Return tokens in which what stands for all others has one spelling."""
        if {UNKNOWN, ALSO_UNKNOWN} <= set(names):
            raise self.error(
                f"{UNKNOWN} and {ALSO_UNKNOWN} are both 1-grams, and either means any token that "
                "is not listed. Leave one of them out."
            )
        return [UNKNOWN if name == ALSO_UNKNOWN else name for name in names]

    def _take_start(self, rows):
        starts = [row for row in rows if row[1] == START]
        if len(starts) > 1:
            raise self.error(f"the 1-gram {START!r} is listed twice.")
        if starts:
            self.start_weight = _natural(starts[0][2])
        return [row for row in rows if row[1] != START]

    def _section(self, rows, index, length):
        try:
            numbers = [index[token] for row in rows for token in row[1 : length + 1]]
        except KeyError as error:
            raise self.error(f"the {length}-grams have the token {error}, no 1-gram.") from None
        tokens = np.array(numbers, np.int64).reshape(-1, length)
        log10 = np.array([(row[0], row[-1]) for row in rows]).reshape(-1, 2)
        section = _Section(tokens, *map(_natural, log10.T))
        # The start is never predicted: what is left of it follows an end, or has no probability.
        is_ngram = ~(tokens[:, 1:] == index[START]).any(axis=1)
        return _Section(*(values[is_ngram] for values in section))


def _shown(line):
    """Return a line, or how it begins, as an error shows it."""
    if line is None:
        return "the end of the file"
    return repr(line) if len(line) <= 200 else f"{line[:200]!r}..."


def _natural(log10):
    return np.where(np.equal(log10, _NEVER), -np.inf, np.multiply(log10, np.log(10)))


def _complete(sections):
    """Return sections that hold the prefixes and suffixes of all n-grams, from long ones down."""
    sections = list(sections)
    for length in range(len(sections), 2, -1):
        tokens, below = sections[length - 1].tokens, sections[length - 2]
        parts = np.concatenate([below.tokens, tokens[:, :-1], tokens[:, 1:]])
        every, first = np.unique(parts, axis=0, return_index=True)
        missing = every[first >= len(below.tokens)]
        if len(missing):
            sections[length - 2] = _Section(
                np.concatenate([below.tokens, missing]),
                np.append(below.log_prob, np.full(len(missing), np.nan)),
                np.append(below.log_weight, np.zeros(len(missing))),
            )
    return sections


def _by_levels(sections, names, place):
    """Return levels of n-grams, and by arc their numbers (A,)."""
    n_tokens = len(names)
    levels: list[Level] = []
    log_prob, log_weight = [sections[0].log_prob], [sections[0].log_weight]
    for section in sections[1:]:
        prefix = section.tokens[:, 0]
        for level, token in zip(levels, section.tokens[:, 1:-1].T, strict=True):
            prefix = find_keys(level.keys, prefix * n_tokens + token)
        keys = prefix * n_tokens + section.tokens[:, -1]
        order = np.argsort(keys)
        again = order[1:][np.diff(keys[order]) == 0]
        if len(again):
            ngram = " ".join((*names, START)[token] for token in section.tokens[again[0]])
            raise ValueError(
                f"{place}: the {section.tokens.shape[1]}-gram {ngram!r} is listed twice. Is the "
                "file damaged, or made of several?"
            )
        levels.append(Level(keys[order], np.ones(len(keys), np.int64)))
        log_prob.append(section.log_prob[order])
        log_weight.append(section.log_weight[order])
    return levels, np.concatenate(log_prob), np.concatenate(log_weight)


def _fill(trie, log_prob, weights):
    """Return probabilities of arcs (A,), of those not listed what backing off gives."""
    for start, stop in trie.levels()[1:]:
        at = start + np.flatnonzero(np.isnan(log_prob[start:stop]))
        log_prob[at] = weights[trie.arc_context[at]] + log_prob[trie.lower[at]]
    return log_prob


def _normalize(model, names, place):
    """Return the model with all distributions scaled to sum to one, shorter contexts first."""
    trie = model.trie
    prob, weight = np.exp(model.arc_log_prob), np.exp(model.backoff_log_weight)
    for start, stop in trie.levels():
        contexts = np.unique(trie.arc_context[start:stop])
        if not len(contexts):
            break
        edges = trie.indptr[contexts] - start
        total = np.add.reduceat(prob[start:stop], edges)
        if start:
            lower = np.add.reduceat(prob[trie.lower[start:stop]], edges)
            total += weight[contexts] * (1.0 - lower)
        off = np.abs(total - 1.0)
        if not off.max() <= _TOLERANCE:
            context = int(contexts[np.argmax(off)])
            of = f"after {trie.spell(np.array(names, object))[1][context]!r}"
            raise ValueError(
                f"{place}: the probabilities {of if context else 'of single tokens'} sum to "
                f"{total[np.argmax(off)]:.6g}, not to 1. Is the file damaged, or one of scores "
                "that are no probabilities?"
            )
        prob[start:stop] /= total[trie.arc_context[start:stop] - contexts[0]]
        model.arc_log_prob[start:stop] -= np.log(total)[trie.arc_context[start:stop] - contexts[0]]
        if start:
            model.backoff_log_weight[contexts] -= np.log(total)
            weight[contexts] /= total
    return model
