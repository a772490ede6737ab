"""Texts that are hard to tokenize, and what all tests of counting share."""

import token

import numpy as np
import scipy.sparse as sp
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from sklearn_codex._text.tokenizers import build_splitter
from sklearn_codex.text import TokenCounter

quick = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
thorough = settings(quick, max_examples=200)
BUILT_IN = ["whitespace", "code", "word"]
OPERATORS = sorted(op for op in token.EXACT_TOKEN_TYPES if len(op) > 1)

# Blanks of str.split that are easy to forget, characters that change length in lower case, a lone
# surrogate, a combining mark, and what looks like a number or a special token but is none.
FRAGMENTS = [
    *OPERATORS, *"\x00\x1c\x85\u2028\u00a0\ufeff \n\t", "İ", "ß", "Σ", "ΑΣ", "e\u0301", "²", "٣٤",
    "\ud800", "👩\u200d💻", "\u200d", "<unk>", "<eos>", "<UNK>", "unk", "chunk", "<unk", "0xff",
    "0x", "1_000", "1__0", "1.5e-3", "1e", ".5", "5.", "1..2", "2j", "x1", "_", "naïve", "don't",
    "'", '"', "#",
]  # fmt: skip

texts = st.one_of(
    st.text(st.characters(), max_size=30),
    st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join),
    st.lists(st.sampled_from(FRAGMENTS), max_size=25).map(" ".join),
)

corpora = st.lists(texts, min_size=1, max_size=6)
special_tokens = st.one_of(
    st.sampled_from(["<unk>", "unk", "UNK", "[UNK]", "=", "**", "1", "0x", "x=1", "<", "İ"]),
    st.text(st.characters(), min_size=1, max_size=4).filter(lambda text: text.split() == [text]),
)


def split_text(text, tokenizer, **params):
    """Tokens in the order of the text, which counts have lost."""
    return build_splitter(tokenizer, TokenCounter(**params)._special_literals())(text)


def split_by_comma(text):
    return (part for part in text.split(","))


def assert_canonical(counts, shape):
    assert isinstance(counts, sp.csr_array)
    assert counts.shape == shape
    assert counts.dtype == np.float64
    assert counts.indices.dtype == counts.indptr.dtype == np.int32
    fresh = sp.csr_array((counts.data, counts.indices, counts.indptr), shape=shape)
    assert fresh.has_canonical_format  # recomputed, not the flag the result brings along
    assert counts.data.all()


def has_tokens(corpus, tokenizer="whitespace", **params):
    return any(split_text(text, tokenizer, **params) for text in corpus)
