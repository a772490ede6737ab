"""What KTO reads: documents in the columns of its policy, each judged by itself."""

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.designs import DifferenceDesign
from sklearn_codex._data.documents import check_prompts, count_after, read_documents
from sklearn_codex._data.fitted_models import IncomingModel
from sklearn_codex._data.vectorizers import token_names
from sklearn_codex._policy.candidate_family import StatedRows
from sklearn_codex._text.inputs import check_texts


def read_design(
    estimator: Any, X: Any, prompts: Any, sample_weight: FloatArray
) -> DifferenceDesign:
    """Return documents in the columns of the policy; set what the policy is made of.

    Parameters
    ----------
    estimator : DirectPolicyMixin
        Who reads.
    X, prompts
        As of ``fit``.
    sample_weight : ndarray of shape (n_documents,)
        How often each document counts, for how long documents are and where they start.
    """
    if isinstance(X, StatedRows):
        of_candidates = estimator._keep_objective(X, sample_weight)
        _check_producible(estimator, of_candidates, sample_weight)
        return of_candidates
    policy = IncomingModel(estimator, "policy")
    counts = read_documents(estimator, X, reset=True, vectorizer=policy.vectorizer)
    check_consistent_length(counts, sample_weight)
    policy.check_columns()
    if prompts is not None and policy.read_trie is not None:
        if check_texts(X, subject=type(estimator).__name__) is not None:
            prompts = check_prompts(estimator, X, prompts)
        counts = count_after(estimator, prompts, X, counts)
    estimator._keep_reference(policy, counts.shape[1], prompts, sample_weight)
    design = estimator._in_columns_of_policy(DifferenceDesign(counts))
    _check_producible(estimator, design, sample_weight)
    estimator.document_length_ = estimator._length_of(
        design.differences, policy.model, sample_weight
    )
    return design


def _check_producible(estimator, design, weight):
    """Check that the reference can produce all that documents of some weight have."""
    impossible = np.isneginf(estimator.reference_log_prob_)
    lost = np.flatnonzero(impossible & (design.rmatvec((weight > 0).astype(float)) > 0))
    if lost.size:
        raise ValueError(
            f"{type(estimator).__name__} got documents with {lost.size} "
            f"{estimator._family.column_kind} which the reference policy cannot produce, such as "
            f"{column_name(estimator, lost[0])!r}, so their log-ratio is undefined. Smooth the "
            "reference, or leave these documents out."
        )


def column_name(estimator: Any, column: int) -> int | str:
    """Return the name of a column of the policy, or its number."""
    return estimator._family.column_name(int(column), token_names(estimator))
