"""Topics of prompts: clusters of their words, named by the words that tell most."""

import warnings

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfTransformer
from sklearn.preprocessing import normalize

from sklearn_codex import TokenCounter
from sklearn_codex._checks.frames import as_arrays
from sklearn_codex.exceptions import RareTokensWarning

MIN_PROMPTS = 40
PROMPTS_A_TOPIC = 20
MOST_TOPICS = 8
N_COMPONENTS = 30
N_WORDS = 3
MOST_CHARACTERS = 2000
"""Of a prompt: what it is about is said in the beginning, and some are whole books."""
MOST_WORDS = 2000
COMMON = 0.25
"""Words in a greater share of the prompts tell no topic, nor do those of English grammar."""


def find_topics(prompts, seed):
    """Return the topic of each prompt by name, None for prompts without a word.

    Parameters
    ----------
    prompts : sequence of str
        One a pair; the same prompt may occur often, and then has one topic.
    seed : int
        Of the clusters.

    Returns
    -------
    topics : ndarray of str of shape (n_pairs,) or None
        None where there are fewer than 40 different prompts, or nothing to cluster them by.
    """
    texts = list(dict.fromkeys(text for text in prompts if text.strip()))
    if len(texts) < MIN_PROMPTS:
        return None
    counts, words = _count([text[:MOST_CHARACTERS] for text in texts])
    has_words = np.diff(counts.indptr) > 0
    if counts.shape[1] < 2 or has_words.sum() < MIN_PROMPTS:
        return None
    codes = np.full(len(texts), -1)
    codes[has_words] = _cluster(counts[has_words], seed)
    present = sparse.csc_array(counts > 0, dtype=float)
    names = _name(present, codes, words)
    topic_of = {
        text: None if code < 0 else names[code]
        for text, code in zip(texts, codes.tolist(), strict=True)
    }
    return np.array([topic_of.get(text) for text in prompts], dtype=object)


def _count(texts):
    """Return the counts (n_prompts, V) of words that some prompts have, and these words."""
    # A word of one or two prompts joins no others.
    options = {"lowercase": True, "min_count": 3, "max_features": MOST_WORDS}
    counter = TokenCounter("script-word", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RareTokensWarning)
        counts = sparse.csr_array(counter.fit_transform(texts))
    words = np.asarray(counter.get_feature_names_out(), dtype=object)
    share = np.asarray((counts > 0).mean(axis=0)).reshape(-1)
    tells = (share <= COMMON) & np.array([_may_tell(word) for word in words], dtype=bool)
    return counts[:, tells], words[tells]


def _may_tell(word):
    """Whether a word may be of a topic: written with letters, and no word of English grammar."""
    if len(word) == 1 and word.isascii():
        return False
    return word[0] != "<" and any(map(str.isalpha, word)) and word not in ENGLISH_STOP_WORDS


@as_arrays
def _cluster(counts, seed):
    """Return the cluster of each prompt, by the directions in which prompts differ most."""
    n_topics = int(np.clip(counts.shape[0] // PROMPTS_A_TOPIC, 2, MOST_TOPICS))
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    n_components = min(N_COMPONENTS, counts.shape[1] - 1)
    places = TruncatedSVD(n_components, random_state=seed).fit_transform(weighted)
    with warnings.catch_warnings():  # fewer different prompts than clusters
        warnings.simplefilter("ignore", ConvergenceWarning)
        return KMeans(n_topics, n_init=5, random_state=seed).fit_predict(normalize(places))


def _name(present, codes, words):
    """Return a name for each cluster: words that many of its prompts have, and few others."""
    names: dict[int, str] = {}
    share_of_all = np.asarray(present.mean(axis=0)).reshape(-1)
    for code in np.unique(codes[codes >= 0]).tolist():
        share = np.asarray(present[codes == code].mean(axis=0)).reshape(-1)
        telling = share * np.log(np.maximum(share, 1e-12) / np.maximum(share_of_all, 1e-12))
        best = np.argsort(-telling, kind="stable")[:N_WORDS]
        name = ", ".join(words[best])
        names[code] = f"{name} ({code + 1})" if name in names.values() else name
    return names
