"""What DPO reads: pairs in the columns of its policy, and labels."""

from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.designs import PairDesign, thinned
from sklearn_codex._data.documents import warn_without_prompts
from sklearn_codex._data.fitted_models import IncomingModel
from sklearn_codex._data.pairs import check_text_pairs
from sklearn_codex._data.vectorizers import looks_back, token_names
from sklearn_codex._policy.candidate_family import StatedPairs
from sklearn_codex._policy.direct import read_policy_pairs


def read_design(
    estimator: Any, X: Any, prompts: Any, sample_weight: FloatArray, *, each_response: bool
) -> Any:
    """Return the design of pairs in the columns of the policy; set what the policy is made of.

    Parameters
    ----------
    estimator : DirectPolicyMixin
        Who reads.
    X, prompts
        As of ``fit``.
    sample_weight : ndarray of shape (n_pairs,)
        How often each pair counts, for how long documents are and where they start.
    each_response : bool
        Whether the reference has to be able to produce each response, and not only what differs.
    """
    subject = type(estimator).__name__
    if isinstance(X, StatedPairs):
        of_candidates = estimator._keep_objective(X, sample_weight)
        estimator._check_support(of_candidates)
        return of_candidates
    policy = IncomingModel(estimator, "policy")
    inner = policy.model
    read = read_policy_pairs(
        estimator, X, reset=True, vectorizer=policy.vectorizer, prompts=prompts
    )
    design, pairs = thinned(read.design), read.text
    check_consistent_length(design, sample_weight)
    if inner is not None and policy.vectorizer is None and pairs is not None:
        raise ValueError(
            f"{subject} got pairs of text, but its policy was fitted on counts and knows "
            f"columns, no words. Pass count differences of {inner.n_features_in_} columns, "
            "fit the policy on text, or give vectorizer=FrozenEstimator(fitted TokenCounter)."
        )
    if isinstance(design, PairDesign) and design.features.min() < 0:
        raise ValueError(
            f"{subject} got {design.features.min()} as a count of a response. Its policy is of "
            "tokens: give counts that are not negative, such as those of TokenCounter."
        )
    if policy.read_trie is None and hasattr(inner, "token_log_prob_"):
        _check_columns(estimator, inner, design.shape[1])
    starts = prompts if pairs is None else pairs.prompts
    estimator._keep_reference(policy, design.shape[1], starts, sample_weight)
    design = estimator._in_columns_of_policy(design)
    responses = None
    if isinstance(design, PairDesign):
        responses = design.features[np.append(design.a, design.b)]
        if each_response:
            _check_producible(estimator, design)
    estimator._check_support(design)
    estimator.document_length_ = estimator._length_of(
        responses, inner, np.append(sample_weight, sample_weight)
    )
    return design


def _check_columns(estimator, policy, n_columns):
    """Check that the pairs are counted in the columns of the policy."""
    names, policy_names = token_names(estimator), token_names(policy)
    differ = n_columns != len(policy.token_log_prob_)
    if not differ and names is not None and policy_names is not None:
        differ = not np.array_equal(names, policy_names)
    if differ:
        raise ValueError(
            f"{type(estimator).__name__} got pairs counted in {n_columns} columns that are not the "
            f"{len(policy.token_log_prob_)} of its policy ({type(policy).__name__}), in number "
            "or in name. Count them with the vectorizer of the policy."
        )


def _check_producible(estimator, design):
    """Check that the reference can produce each response, whose likelihood is to be taken."""
    occurs = design.rows.transposed_times(np.ones(design.rows.shape[0])) > 0
    lost = np.flatnonzero(np.isneginf(estimator.reference_log_prob_) & occurs)
    if lost.size:
        family = estimator._family
        name = family.column_name(int(lost[0]), token_names(estimator))
        raise ValueError(
            f'{type(estimator).__name__} with loss="{estimator.loss}" got responses with '
            f"{lost.size} {family.column_kind} which the reference policy cannot produce, such as "
            f"{name!r}, so that they have no likelihood. Smooth the reference, or leave these "
            "pairs out."
        )


def warn_of_forgotten_prompts(estimator: Any, X: Any, prompts: Any) -> None:
    """Warn where the pairs of a fit had prompts, and pairs to be scored have none."""
    if prompts is not None or estimator._initial is None or not looks_back(estimator.vectorizer_):
        return
    subject = type(estimator).__name__
    pairs = check_text_pairs(X, subject=subject)
    if pairs is None or pairs.prompts is not None:
        return
    warn_without_prompts(
        subject,
        f"{len(pairs.responses_a)} pairs",
        "responses",
        "prompts, or rows (prompt, response_a, response_b)",
    )
