"""What is explained: pairs with their vectors, texts, labels, margins, prompts and weights."""

from typing import Any, NamedTuple

import numpy as np

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.groups import encode_groups
from sklearn_codex._checks.matrices import check_numbers, is_sparse
from sklearn_codex._checks.numbers import check_weight
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._data.designs import PairDesign
from sklearn_codex._data.lengths import pairs_alone
from sklearn_codex._data.rows import FLOATS
from sklearn_codex._data.text_pairs import TextPairs, check_text_pairs
from sklearn_codex._data.vectorizers import (
    apply_vectorizer,
    fit_vectorizer,
    unwrap,
    wants_prompt,
)
from sklearn_codex._data.vectors import as_response_ids, check_pairs_of, holds_vectors
from sklearn_codex.inspection._pairs_data import preference_target, refuse_wordless

SUBJECT = "explain_reward"
FEWEST_PROMPTS = 20


class ExplainedPairs(NamedTuple):
    """Pairs as they are explained.

    Parameters
    ----------
    texts : TextPairs
        What is shown of them.
    vectors : ndarray of shape (n_pairs, d)
        Differences phi(A) - phi(B).
    target : ndarray of shape (n_pairs,) or None
        P(A preferred) - 1/2; None where labels are not asked for.
    margin : ndarray of shape (n_pairs,) or None
        Of the reward; None where there is none yet.
    groups : ndarray of int of shape (n_pairs,)
        Codes of prompts.
    weight : ndarray of shape (n_pairs,)
        What pairs weigh.
    rows : ndarray of int of shape (n_pairs,)
        Their places among all that were given, some of which may weigh nothing.
    """

    texts: TextPairs
    vectors: FloatArray
    target: Any
    margin: Any
    groups: IntArray
    weight: FloatArray
    rows: IntArray


def n_groups_of(groups):
    return len(np.unique(groups))


def read_explained(estimator, X, y, texts, embedder, groups, sample_weight) -> ExplainedPairs:
    """Return the pairs with all that is known of them before anything is learned."""
    if estimator is None and y is None:
        raise ValueError(
            f"{SUBJECT} got neither an estimator nor y, so nothing says what is preferred. Pass a "
            "fitted reward model, or the labels of the pairs, or both."
        )
    given = check_text_pairs(X, subject=SUBJECT)
    shown = given if texts is None else check_text_pairs(texts, subject=SUBJECT)
    if shown is None:
        raise ValueError(
            f"{SUBJECT} shows words, and vectors have none. Pass texts=, the rows (prompt, "
            "response_a, response_b) of the pairs."
        )
    refuse_wordless(shown, SUBJECT)
    margin = None if estimator is None else _margin_of(estimator, X)
    vectors = _differences(estimator, X, given, shown, embedder)
    n = len(shown.responses_a)
    if len(vectors) != n:
        raise ValueError(
            f"{SUBJECT} needs a row of texts for each pair, got {n} for {len(vectors)} pairs of "
            "vectors. Pass those of the same pairs, in order."
        )
    target = None if y is None else _check_target(estimator, y, n)
    if groups is not None:
        groups = encode_groups(groups, n)
    weight = check_weight(sample_weight, vectors)
    rows = np.flatnonzero(weight)
    if len(rows) < n:
        shown, vectors, weight = shown.take(rows), vectors[rows], weight[rows]
        target, margin, groups = (
            None if column is None else column[rows] for column in (target, margin, groups)
        )
    return ExplainedPairs(
        shown, vectors, target, margin, _check_groups(shown, groups), weight, rows
    )


def _check_target(estimator, y, n):
    if hasattr(estimator, "classes_"):
        target = preference_target(estimator, y, SUBJECT)
    else:
        target = check_soft_labels(y, name="y")
    if len(target) != n:
        raise ValueError(f"{SUBJECT} needs a label for each of {n} pairs in y, got {len(target)}.")
    return target - 0.5


def _margin_of(estimator, X):
    # The decision function of a model of ties has a column for each of three outcomes.
    names = ("reward_margin", "predict_margin", "decision_function")
    model = unwrap(estimator)
    name = next(name for name in names if hasattr(model, name))
    return np.asarray(getattr(model, name)(X), dtype=np.float64)


def _check_groups(texts, groups):
    if groups is None:
        if texts.prompts is None:
            raise ValueError(
                f"{SUBJECT} learns from half of the prompts and judges on the others, but there "
                "are none. Pass groups=, the prompt of each pair."
            )
        groups = [" ".join(prompt.split()) for prompt in texts.prompts]
    codes = encode_groups(groups, len(texts.responses_a))
    if n_groups_of(codes) < FEWEST_PROMPTS:
        raise ValueError(
            f"{SUBJECT} needs at least {FEWEST_PROMPTS} prompts, half of which judge what the "
            f"others give, got {n_groups_of(codes)}."
        )
    return codes


def _differences(estimator, X, given, shown, embedder):
    """Return the differences of dense vectors (n_pairs, d)."""
    if embedder is None and given is None:
        return _differences_of_numbers(pairs_alone(X))
    vectorizer = embedder
    if embedder is None:
        vectorizer = getattr(unwrap(estimator), "vectorizer_", None)
    if vectorizer is None:
        raise ValueError(
            f"{SUBJECT} looks for directions of vectors, and X is text. Pass embedder=, which "
            "makes vectors of it, or the vectors as X with texts=."
        )
    responses, a, b = (given or shown).unique_responses(with_prompts=wants_prompt(vectorizer))
    if embedder is None:
        features = apply_vectorizer(vectorizer, responses, subject=SUBJECT)
    else:
        _, features = fit_vectorizer(embedder, responses, subject=SUBJECT)
    if is_sparse(features):
        raise ValueError(
            f"{SUBJECT} looks for directions of dense vectors, but "
            f"{type(unwrap(vectorizer)).__name__} makes a sparse matrix of shape {features.shape}, "
            "whose columns have names: see coef_interval of RewardUncertainty for these, or pass "
            "embedder=."
        )
    features = check_numbers(
        features, subject=SUBJECT, name="the vectors", estimator=None, dtype=FLOATS
    )
    return PairDesign(features, a, b).differences


def _differences_of_numbers(X):
    if holds_vectors(X):
        pairs = check_pairs_of(as_response_ids(X, subject=SUBJECT), subject=SUBJECT)
        if not is_sparse(pairs.features):
            return PairDesign(pairs.features, *pairs.ids.T).differences
        X = pairs.features
    if is_sparse(X):
        raise ValueError(
            f"{SUBJECT} looks for directions of dense vectors, got a sparse matrix of shape "
            f"{X.shape}. Its columns have names: see coef_interval of RewardUncertainty, or pass "
            "embedder=."
        )
    return check_numbers(X, subject=SUBJECT, dtype=FLOATS)
