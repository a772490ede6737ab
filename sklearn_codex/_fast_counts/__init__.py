"""Text to token counts, in numpy alone and without a dict of tokens.

Splitting texts into `str` objects and looking each up in a dict costs some 300 ns a token. Here
tokens stay bytes, every step works on arrays, and only the distinct ones become `str`:

1. Texts are joined to chunks that fit the cache of a core, and encoded.
2. Comparing all bytes of a chunk at once tells blanks, word characters and others, and so where
   tokens start and end (`_scan`). Where that does not decide, the rule's own regular expression
   is asked for the few places in question: the rule is never reimplemented by halves. What a
   tokenizer of the user's own returned is joined to lines, a few thousand tokens at a time, while
   they are in the cache; where a token holds a newline itself, lengths tell the lines apart.
3. A token of one byte is its own number. The bytes of others become a key of 64 bits (`_types`),
   and equal keys are grouped by a table of slots, without sorting and without following chains.
   Up to 7 bytes the key is the token, so nothing is left to compare; the spelling of longer ones
   is compared, so a clash of hashes cannot go unnoticed: two words of 8 bytes each up to 15 bytes,
   which most tokens are, and lists of words beyond. The three kinds never meet until the end.
4. The types of each chunk are merged with those of the chunks before, by the same grouping.
5. At the end types are sorted by code point: by their first two bytes, by six more, ties by eight
   more each, where scipy sorts the groups as the rows of a sparse matrix. They are spelled in that
   order and become `str` in one call of `split` (`_names`). The counts of each chunk are turned to
   columns and back to rows, which sorts them by counting (`_rows`). How often a type occurs in all
   is added up when asked for.

What is kept of a chunk are its distinct tokens and a few bytes for each count, so memory grows
with the matrix and the vocabulary, not with the text. Chunks, hashes and slots decide nothing that
can be seen in the result.

Where the vocabulary is known, and only the order of tokens is asked for, nothing is grouped: the
keys of its names are in a table (`_tables`), which those of all tokens are looked up in
(`_numbering`).

Runs of characters and of words (`_ngrams`) are counted in another way, as integers.
"""

from sklearn_codex._fast_counts._arrays import joined_ranges
from sklearn_codex._fast_counts._counting import FastCounts, end_lines, sort_strings
from sklearn_codex._fast_counts._ngrams import count_ngrams, count_word_ngrams
from sklearn_codex._fast_counts._numbering import HashClash, TokenNumbers, number_texts
from sklearn_codex._fast_counts._tables import KeyTable, find_keys
from sklearn_codex._fast_counts._types import Slots

__all__ = [
    "FastCounts", "HashClash", "KeyTable", "Slots", "TokenNumbers", "count_ngrams",
    "count_word_ngrams", "end_lines", "find_keys", "joined_ranges", "number_texts", "sort_strings",
]  # fmt: skip
