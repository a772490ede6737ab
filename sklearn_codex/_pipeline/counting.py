"""Text to counts for a pipeline: by which vectorizer, after which prompts, and what is cached."""

import warnings
from hashlib import sha256

import joblib
import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_memory

from sklearn_codex._checks.matrices import as_csr
from sklearn_codex._data.documents import check_counted, count_texts
from sklearn_codex._data.fitted_models import freeze
from sklearn_codex._data.vectorizers import fit_vectorizer, trie_of, unwrap
from sklearn_codex._pipeline.composition import is_learning, is_passthrough
from sklearn_codex._pipeline.stored_stage import call_cached
from sklearn_codex.text import TokenCounter

TEXTS_AT_ONCE = 64
SUBJECT = "RLHFPipeline"


def choose_vectorizer(pipeline):
    """Return the vectorizer: the one given, else what the first stage that says wants.

    A frozen language model that all begins with is of its own vocabulary, so its vectorizer stays
    as it is.
    """
    if pipeline.vectorizer is not None:
        return pipeline.vectorizer
    stages = [stage for _, stage in pipeline.steps if not is_passthrough(stage)]
    first = unwrap(stages[0]) if stages and not is_learning(stages[0]) else None
    own = getattr(first, "vectorizer_", None)
    if own is not None and hasattr(first, "perplexity"):
        return freeze(own)
    for _, stage in pipeline.steps:
        if is_learning(stage) and hasattr(stage, "_default_counter"):
            return stage._default_counter()
    return TokenCounter()


def reads_prompts(vectorizer):
    """Tell a vectorizer that can count a document as what goes on from a prompt."""
    return hasattr(unwrap(vectorizer), "transform_after")


def counts_in_context(vectorizer):
    """Tell a fitted vectorizer to whose counts it makes a difference what a document is after."""
    # Of n-grams in any form, events or features.
    trie = getattr(unwrap(vectorizer), "trie_", None)
    return reads_prompts(vectorizer) and trie is not None and trie.order > 1


def count_documents(vectorizer, texts, prompts, *, subject, counts=None):
    """Return the counts (n, n_columns) of texts, after their prompts where that can be counted.

    Parameters
    ----------
    vectorizer : fitted transformer
    texts : list of str of length n
    prompts : list of str or None of length n
        What each goes on from; None is the start of a document.
    subject : str
        Who counts, for messages.
    counts : csr_array of shape (n, n_columns), default=None
        The counts of the texts by themselves, where they are there already.
    """
    in_context = counts_in_context(vectorizer) and any(prompts)
    if counts is None and in_context:
        return unwrap(vectorizer).transform_after([prompt or "" for prompt in prompts], texts)
    if counts is None:
        return count_texts(vectorizer, texts, subject=subject)
    if not in_context:
        return counts
    after = np.array([prompt is not None for prompt in prompts])
    rows = [np.flatnonzero(~after), np.flatnonzero(after)]
    before, going_on = ([column[row] for row in rows[1]] for column in (prompts, texts))
    parts = [counts[rows[0]], unwrap(vectorizer).transform_after(before, going_on)]
    order = np.argsort(np.concatenate(rows))
    return as_csr(sparse.vstack(parts, format="csr")[order])


def documents_after_prompts(model, texts, prompts):
    """Return documents for a fitted model, after their prompts where it looks at these.

    Parameters
    ----------
    model : estimator
        Fitted; may have ``vectorizer_``.
    texts : list of str of length n
    prompts : list of str or None of length n
        None and blank are no prompt.

    Returns
    -------
    documents : list of str or csr_array of shape (n, n_columns)
        Counts by the model's vectorizer where prompts make a difference to them.
    """
    vectorizer = getattr(model, "vectorizer_", None)
    if not counts_in_context(vectorizer):
        return texts
    return count_documents(vectorizer, texts, prompts, subject=type(model).__name__)


def check_no_empty(vectorizer, counts, texts, *, subject, name="text"):
    """Raise where a document (a row of ``counts``) has no token."""
    trie = trie_of(vectorizer)
    # An empty document ends in a context, too.
    tokens = counts if trie is None else counts[:, : trie.n_arcs]
    empty = np.flatnonzero(tokens.sum(axis=1) == 0)
    if empty.size:
        raise ValueError(
            f"{subject} got {empty.size} {name}(s) without a token, such as "
            f"{texts[empty[0]]!r:.60}. Leave out such records, or count with unk_token or "
            "eos_token set, so that each has at least one token."
        )


def caches(memory):
    """Tell a memory that keeps results from one that does nothing."""
    return not (hasattr(memory, "location") and memory.location is None)


def hash_texts(texts):
    """Return a digest (str) of texts in order, many times faster than one of their pickles."""
    digest = sha256()
    # Not all at once: a single emoji would widen every character of one long str.
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        some = "".join(texts[start : start + TEXTS_AT_ONCE])
        digest.update(some.encode("utf-8", "surrogatepass"))
    # Where each begins: "ab", "c" is not "a", "bc".
    digest.update(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts)).data)
    return digest.hexdigest()


def hash_documents(vectorizer, texts, prompts):
    """Return a digest (str) of texts, and of their prompts where these make a difference."""
    if not (reads_prompts(vectorizer) and any(prompts)):
        return hash_texts(texts)
    return hash_texts([*texts, *(prompt or "" for prompt in prompts)])


def fit_and_count(key, vectorizer, texts, prompts, work):
    """Fit a vectorizer and count; ``key`` stands for all of it where results are cached."""
    work.begin()
    vectorizer, counts = fit_vectorizer(vectorizer, texts, subject=SUBJECT)
    counts = check_counted(counts, subject=SUBJECT)
    counts = count_documents(vectorizer, texts, prompts, subject=SUBJECT, counts=counts)
    return work.end((vectorizer, counts))


def _transform(key, vectorizer, texts, prompts, work):
    """Count; ``key`` stands for all of it where results are cached."""
    work.begin()
    return work.end(count_documents(vectorizer, texts, prompts, subject=SUBJECT))


def count_again(pipeline, texts, prompts):
    """Return the counts (n, V) of documents by a fitted pipeline, from the cache where it has one.

    The candidates of a search score the same rows, one after the other.
    """
    vectorizer, memory = pipeline.vectorizer_, open_memory(pipeline)
    if not caches(memory) or pipeline._vectorizer_key is None:
        return count_documents(vectorizer, texts, prompts, subject=SUBJECT)
    digest = hash_documents(vectorizer, texts, prompts)
    counts, _ = call_cached(
        memory,
        _transform,
        {
            "key": joblib.hash((pipeline._vectorizer_key, digest)),
            "vectorizer": vectorizer,
            "texts": texts,
            "prompts": prompts,
        },
        ignore=["vectorizer", "texts", "prompts"],
        shared={},
        subject=type(pipeline).__name__,
    )
    return counts


def open_memory(pipeline):
    """Return the memory of a pipeline, one that does nothing where its folder cannot be made."""
    try:
        return check_memory(pipeline.memory)
    except OSError as error:
        warnings.warn(
            f"{type(pipeline).__name__} cannot cache in memory={pipeline.memory!r}: "
            f"{error.strerror or error}. It goes on without a cache.",
            RuntimeWarning,
            stacklevel=2,
        )
        return check_memory(None)
