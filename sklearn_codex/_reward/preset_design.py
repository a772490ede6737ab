"""The preset of features as the design of pairs, in little time and memory."""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.frames import as_arrays
from sklearn_codex._data.designs import PairDesign
from sklearn_codex._data.rows import SparseColumns
from sklearn_codex._fast_counts import count_ngrams, count_word_ngrams
from sklearn_codex.features import preference_features


class PresetDesign(NamedTuple):
    """What the preset has of pairs.

    Attributes
    ----------
    design : PairDesign of shape (n_pairs, n_columns)
        Of all columns.
    form : ndarray of shape (n_pairs, n_form)
        Differences of the columns of form, without their weight in the preset.
    names : ndarray of str of shape (n_form,)
        Of the columns of form.
    """

    design: PairDesign
    form: FloatArray
    names: FloatArray


@as_arrays
def preset_design(responses, a, b, advance=lambda share: None):
    """Return the preset's features of responses, as the design of their pairs.

    The numbers are those of ``preference_features().fit_transform(responses)``, counted in half of
    the time, and held by columns, by which folds are fitted in half of the time.

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
    preset : PresetDesign
    """
    preset = preference_features()
    parts = {name: transformer for name, transformer, _ in preset.transformers}
    try:
        counts = _count_text(parts, responses[:, 1], advance)
    except ValueError:  # no word, or no three characters, in two responses
        preset.set_params(words__min_df=1, characters__min_df=1)
        counts = _count_text(parts, responses[:, 1], advance)
    advance(0.5)
    form = parts["form"].fit_transform(responses)
    advance(0.9)
    weights = preset.transformer_weights
    blocks = []
    for name in ("words", "characters"):
        block = sparse.csc_array(_weigh(parts[name], counts.pop(name)))
        block.data *= weights[name]
        blocks.append(block)
    blocks.append(sparse.csc_array(weights["form"] * form))
    features = SparseColumns(sparse.csc_array(sparse.hstack(blocks, format="csc")))
    a, b = np.asarray(a), np.asarray(b)
    names = parts["form"].get_feature_names_out()
    return PresetDesign(PairDesign(features, a, b), form[a] - form[b], names)


def _count_text(parts, texts, advance):
    """Return the counts of words and of characters; ValueError where there are none."""
    words, characters = parts["words"], parts["characters"]
    low, high = words.ngram_range
    counts = {"words": count_word_ngrams(texts, words.tokenizer, low, high, words.min_df)}
    advance(0.2)
    low, high = characters.ngram_range
    counts["characters"] = count_ngrams(
        texts, low, high, characters.min_df, lambda share: advance(0.2 + 0.3 * share)
    )
    for name, part in parts.items():
        if name in counts and counts[name] is None:  # of many scripts at once
            names = ("analyzer", "tokenizer", "token_pattern", "ngram_range", "min_df")
            counter = CountVectorizer(**{option: getattr(part, option) for option in names})
            counts[name] = counter.fit_transform(texts)
        if name in counts and not counts[name].shape[1]:
            raise ValueError(f"No run of {name} stands in as many responses as it has to.")
    return counts


def _weigh(part, counts):
    """Return counts weighted as a part of the preset does (n_responses, n_runs)."""
    names = ("norm", "use_idf", "smooth_idf", "sublinear_tf")
    options = part.get_params()
    counts = counts.astype(np.float64)
    weigh = TfidfTransformer(**{name: options[name] for name in names}).fit(counts)
    return weigh.transform(counts, copy=False)
