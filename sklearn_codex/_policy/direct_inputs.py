"""What direct methods (DPO, KTO) read: counts in the columns of the policy they start from."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray, normalize_log
from sklearn_codex._data.designs import DifferenceDesign, PairDesign
from sklearn_codex._data.fitted_models import IncomingModel
from sklearn_codex._data.pairs import read_pairs
from sklearn_codex._data.vectorizers import token_names


@dataclass(frozen=True)
class PolicyPairs:
    """Pairs in the columns of a policy.

    Attributes
    ----------
    design : PairDesign or DifferenceDesign of shape (n_pairs, V)
        Turns values of columns into differences of documents.
    reference_log_prob : ndarray of shape (V,)
        The policy they start from.
    document_length : int
        Tokens of a document; 1 where they end by themselves.
    """

    design: PairDesign | DifferenceDesign
    reference_log_prob: FloatArray
    document_length: int


def read_policy_pairs(estimator: Any, X: Any, *, each_response: bool = False) -> PolicyPairs:
    """Return the pairs of a fit, and the reference in parameter ``policy``.

    Sets what :func:`read_pairs` sets.

    Parameters
    ----------
    estimator : estimator
        Who reads, with parameters ``policy`` and ``response_length``.
    X : pairs
        As :func:`read_pairs` takes them.
    each_response : bool, default=False
        Whether the reference has to be able to produce each response, and not only what differs.

    Raises
    ------
    NotFittedError
        If the policy is not fitted.
    ValueError
        If X does not fit the policy, or has what no document can be.
    """
    policy = IncomingModel(estimator, "policy")
    read = read_pairs(estimator, X, reset=True, vectorizer=policy.vectorizer)
    if read.text is not None:
        check_knows_words(estimator, policy, "pairs of text", "count differences")
    design = read.design
    reference = reference_of(estimator, policy.model, design.shape[1], "pairs")
    lengths, what = None, "pairs that differ in"
    occurs = design.column_squares(np.ones(design.shape[0])) > 0
    if isinstance(design, PairDesign):
        check_counts(estimator, design.features)
        counted = np.asarray(design.features.sum(axis=1)).ravel()
        lengths = np.stack([counted[design.a], counted[design.b]])
        if each_response:
            what = "responses with"
            occurs = design.rows.transposed_times(np.ones(design.rows.shape[0])) > 0
    check_producible(estimator, reference, occurs, what)
    return PolicyPairs(design, reference, document_length(estimator, policy.model, lengths))


def check_knows_words(estimator: Any, policy: IncomingModel, what: str, instead: str) -> None:
    """Check that text, called what it is, can be counted in the columns of a policy."""
    if policy.model is not None and policy.vectorizer is None:
        raise ValueError(
            f"{type(estimator).__name__} got {what}, but its policy was fitted on counts and knows "
            f"columns, no words. Pass {instead} of {policy.model.n_features_in_} columns, fit the "
            "policy on text, or give vectorizer=FrozenEstimator(fitted TokenCounter)."
        )


def reference_of(estimator: Any, policy: Any, n_columns: int, what: str) -> FloatArray:
    """Return the log-probabilities (V,) of a policy, None the uniform one, of counted documents."""
    if policy is None:
        return np.full(n_columns, -np.log(n_columns))
    names, policy_names = token_names(estimator), token_names(policy)
    differ = n_columns != len(policy.token_log_prob_)
    if not differ and names is not None and policy_names is not None:
        differ = not np.array_equal(names, policy_names)
    if differ:
        raise ValueError(
            f"{type(estimator).__name__} got {what} counted in {n_columns} columns that are not "
            f"the {len(policy.token_log_prob_)} of its policy ({type(policy).__name__}), in number "
            "or in name. Count them with the vectorizer of the policy."
        )
    return normalize_log(policy.token_log_prob_)


def check_counts(estimator: Any, features: Any) -> None:
    """Check that features (n, V) of responses are counts."""
    if features.min() < 0:
        raise ValueError(
            f"{type(estimator).__name__} got {features.min()} as a count of a response. Its policy "
            "is of tokens: give counts that are not negative, such as those of TokenCounter."
        )


def check_producible(estimator: Any, reference: FloatArray, occurs: np.ndarray, what: str) -> None:
    """Check that the reference can produce the columns, a mask (V,), that documents have."""
    lost = np.flatnonzero(np.isneginf(reference) & occurs)
    if lost.size:
        names = token_names(estimator)
        token = int(lost[0]) if names is None else str(names[lost[0]])
        raise ValueError(
            f"{type(estimator).__name__} got {what} {lost.size} token(s) which the reference "
            f"policy cannot produce, such as {token!r}, so their log-ratio is undefined. Smooth "
            "the reference, or leave these out."
        )


def document_length(estimator: Any, policy: Any, lengths: FloatArray | None) -> int:
    """Return the tokens of a document, from the best source there is.

    Parameters
    ----------
    estimator : estimator
        Who asks, with a parameter ``response_length``.
    policy : fitted language model or None
        The incoming policy.
    lengths : ndarray or None
        Tokens of documents, where they are known.
    """
    if estimator._eos_column() is not None:
        if estimator.response_length is not None:
            raise ValueError(
                f"{type(estimator).__name__} got response_length={estimator.response_length}, but "
                "the vocabulary has an end-of-sequence token, so documents end by themselves. "
                "Leave response_length at None."
            )
        return 1  # what it is follows from the policy
    if estimator.response_length is not None:
        return int(estimator.response_length)
    if policy is not None:
        return int(policy.document_length_)
    return 1 if lengths is None else max(1, round(float(np.mean(lengths))))
