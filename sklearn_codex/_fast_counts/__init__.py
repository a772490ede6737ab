"""Text to token counts by the built-in tokenizers, in numpy alone and without a dict of tokens.

Splitting texts into `str` objects and looking each up in a dict costs some 300 ns a token. Here
tokens stay bytes, every step works on arrays, and only the distinct ones become `str`:

1. Texts are joined to chunks that fit the cache of a core, and encoded.
2. Comparing all bytes of a chunk at once tells blanks, word characters and others, and so where
   tokens start and end (`_scan`). Where that does not decide, the rule's own regular expression
   is asked for the few places in question: the rule is never reimplemented by halves.
3. The bytes of a token become a key of 64 bits (`_types`). Equal keys are grouped by a table of
   slots, without sorting and without following chains. Up to 7 bytes the key is the token; the
   spelling of longer ones is compared, so a clash of hashes cannot go unnoticed.
4. The types of each chunk are merged with those of the chunks before, by the same grouping.
5. At the end types are decoded and sorted by code point, and the counts of each chunk brought to
   the order of rows and columns by two counting sorts (`_rows`).

What is kept of a chunk are its distinct tokens and a few bytes for each count, so memory grows
with the matrix and the vocabulary, not with the text. Chunks, hashes and slots decide nothing that
can be seen in the result.
"""

from sklearn_codex._fast_counts._counting import FastCounts

__all__ = ["FastCounts"]
