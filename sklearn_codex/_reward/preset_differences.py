"""The preset of features, as differences of pairs, in as little memory as these take themselves."""

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from sklearn_codex._checks.frames import as_arrays
from sklearn_codex._fast_counts import count_ngrams
from sklearn_codex.features import preference_features

CHUNK_PAIRS = 512


@as_arrays
def preset_differences(responses, a, b, advance=lambda share: None):
    """Return what the preset has of A less what it has of B, and of that the form.

    The numbers are those of ``preference_features().fit_transform(responses)``, whose columns of
    characters alone would be held three times over.

    Parameters
    ----------
    responses : ndarray of str of shape (n_responses, 2)
        Prompts and responses.
    a, b : ndarray of int of shape (n_pairs,)
        Which responses each pair compares.
    advance : callable, default=None
        Called with the share that is done.

    Returns
    -------
    differences : csr_array of shape (n_pairs, n_columns)
    form : ndarray of shape (n_pairs, n_form)
        Of the columns of form, without their weight in the preset.
    names : ndarray of str of shape (n_form,)
    """
    preset = preference_features()
    try:
        words, characters = _count_text(preset, responses[:, 1], advance)
    except ValueError:  # no word, or no three characters, in two responses
        preset.set_params(words__min_df=1, characters__min_df=1)
        words, characters = _count_text(preset, responses[:, 1], advance)
    advance(0.5)
    measure = _parts(preset)["form"]
    form = preset.transformer_weights["form"] * measure.fit_transform(responses)
    advance(0.9)
    rows = _Rows(preset, words, characters, form)
    differences = _subtract(rows, a, b, lambda share: advance(0.9 + 0.1 * share))
    of_form = (form[a] - form[b]) / preset.transformer_weights["form"]
    return differences, of_form, measure.get_feature_names_out()


def _parts(preset):
    return {name: transformer for name, transformer, _ in preset.transformers}


def _count_text(preset, texts, advance):
    """Return the weighted words, and the counts of characters; ValueError where there are none."""
    parts = _parts(preset)
    words = parts["words"].fit_transform(texts)
    words.sort_indices()
    advance(0.2)
    characters = parts["characters"]
    low, high = characters.ngram_range
    counts = count_ngrams(
        texts, low, high, characters.min_df, lambda share: advance(0.2 + 0.3 * share)
    )
    if counts is None:  # of many scripts at once
        names = ("analyzer", "ngram_range", "min_df")
        counter = CountVectorizer(**{name: getattr(characters, name) for name in names})
        counts = counter.fit_transform(texts)
    if not counts.shape[1]:
        raise ValueError("No run of characters stands in as many responses as it has to.")
    return words, counts


class _Rows:
    """The rows of the preset, made when they are asked for."""

    def __init__(self, preset, words, counts, form):
        self._weights = preset.transformer_weights
        self._words, self._counts, self._form = words, counts, form
        options = _parts(preset)["characters"].get_params()
        names = ("norm", "use_idf", "smooth_idf", "sublinear_tf")
        self._tfidf = TfidfTransformer(**{name: options[name] for name in names}).fit(counts)
        self.sizes = np.diff(words.indptr) + np.diff(counts.indptr) + form.shape[1]
        self.n_columns = words.shape[1] + counts.shape[1] + form.shape[1]

    def take(self, rows):
        """Return rows (n, n_columns)."""
        counts = self._counts[rows].astype(np.float64)
        characters = self._tfidf.transform(counts, copy=False)
        words = self._weights["words"] * self._words[rows]
        blocks = [words, self._weights["characters"] * characters, self._form[rows]]
        return sparse.csr_array(sparse.hstack(list(map(sparse.csr_array, blocks)), format="csr"))


def _subtract(features, a, b, advance):
    """Return rows a less rows b, written to where they stay."""
    ends = np.zeros(len(a) + 1, dtype=np.int64)
    most = int(features.sizes[a].sum() + features.sizes[b].sum())
    # What is not written to takes no memory.
    indices, data = np.empty(most, dtype=np.int32), np.empty(most)
    for start in range(0, len(a), CHUNK_PAIRS):
        advance(start / len(a))
        chunk = slice(start, start + CHUNK_PAIRS)
        part = sparse.csr_array(features.take(a[chunk]) - features.take(b[chunk]))
        first = ends[start]
        ends[start + 1 : start + 1 + part.shape[0]] = first + part.indptr[1:]
        indices[first : first + part.nnz], data[first : first + part.nnz] = part.indices, part.data
    n = ends[-1]
    ends = ends.astype(np.int32) if n < 2**31 else ends
    return sparse.csr_array((data[:n], indices[:n], ends), shape=(len(a), features.n_columns))
