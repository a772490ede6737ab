"""What comes into a policy optimiser, checked: parameters, lengths, demonstrations, rewards."""

import warnings
from numbers import Real

import numpy as np
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval

from sklearn_codex._checks.matrices import check_frame
from sklearn_codex._checks.numbers import LENGTH
from sklearn_codex._data.vectorizers import COUNTER
from sklearn_codex._fits import caller_level
from sklearn_codex.exact import LengthExplosionWarning
from sklearn_codex.exact._eos_length import MOST_PENALTY

# What the parameters of all optimisers that state a problem may be.
PROBLEM_CONSTRAINTS: dict = {
    "policy": [HasMethods(["predict_log_proba"]), None],
    "reward_model": [HasMethods(["reward"]), HasMethods(["predict"]), callable, None],
    "kl_coef": [Interval(Real, 0, None, closed="neither")],
    "reward_coef": [Interval(Real, 0, None, closed="left")],
    "sft_coef": [Interval(Real, 0, None, closed="left")],
    "rules": "no_validation",
    "response_length": [LENGTH, None],
    "max_length": [LENGTH, None],
    "missing_eos_penalty": [Interval(Real, 0, MOST_PENALTY, closed="both")],
    "entropy_coef": [Interval(Real, 0, None, closed="left")],
    "normalize_reward": ["boolean"],
    "vectorizer": [COUNTER, None],
    "random_state": ["random_state"],
}


def check_length_parameters(parameters, eos, of_ngrams, subject):
    """Check that the parameters of length are those of the kind of documents there are."""
    if eos is None:
        if parameters["max_length"] is not None or parameters["missing_eos_penalty"]:
            raise ValueError(
                f"{subject} got max_length={parameters['max_length']} and missing_eos_penalty="
                f"{parameters['missing_eos_penalty']}, but the vocabulary has no end-of-sequence "
                "token, so all documents have response_length tokens. Count with "
                "TokenCounter(eos_token='<eos>'), or leave them out."
            )
    elif parameters["response_length"] is not None:
        raise ValueError(
            f"{subject} got response_length={parameters['response_length']}, but the vocabulary "
            "has an end-of-sequence token, so documents end by themselves. Set max_length to cut "
            "them, or leave response_length at None."
        )
    elif parameters["entropy_coef"] and not of_ngrams:
        raise ValueError(
            f"{subject} got entropy_coef={parameters['entropy_coef']}, which is defined for "
            "documents of fixed length only. Leave it at 0, or count without eos_token."
        )


def warn_of_explosion(objective, cut, subject):
    """Warn that no policy is best, naming the smallest safe kl_coef and where documents are cut."""
    why = objective.explain_explosion(subject)
    if not objective.length_explodes:
        why = (
            f"{subject} at kl_coef={objective.kl_coef:g} has an optimum whose documents are "
            f"{objective.length_if_not_cut:.3g} tokens long on average, more than can be drawn. "
            f"Length explodes at {objective._safe_kl_coef():.6g}: raise kl_coef further above "
            "that, or price length in the reward."
        )
    warnings.warn(
        f"{why} Documents are cut at {cut} tokens instead; set max_length to choose.",
        LengthExplosionWarning,
        stacklevel=caller_level(),
    )


def find_frequencies(documents, subject, family):
    """Return what a token of documents (n, V) uses (V,): of n-grams, its events (E,)."""
    total = family.count_tokens(documents)
    if not total > 0:
        raise ValueError(
            f"{subject} needs demonstrations of at least one token, got {documents.shape[0]} "
            "document(s) with none."
        )
    return documents.sum(axis=0) / total


def check_rewards(y, counts, subject):
    """Return logged rewards (n_documents,) as floats."""
    y = check_array(check_frame(y, subject), ensure_2d=False, dtype=np.float64, input_name="y")
    if y.ndim != 1:
        raise ValueError(
            f"{subject}: y should be a 1d array of one logged reward per document, got an array of "
            f"shape {y.shape} instead."
        )
    check_consistent_length(counts, y)
    return y
