"""What each fitted attribute of this package has to be, by its name, in a table."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.base import BaseEstimator

from sklearn_codex._persistence.values import is_array, is_finite, is_number, is_whole

_MAX_LOG_TOTAL = 1e-6


class Check(NamedTuple):
    """What an attribute has to be, in words and as a test ``holds(value, n_columns)``."""

    words: str
    holds: Callable[[Any, int | None], bool]

    def or_none(self) -> "Check":
        """Return the check that lets None pass, too."""
        return Check(f"{self.words}, or None", lambda v, n: v is None or self.holds(v, n))


def _is_log_distribution(value, n) -> bool:
    if not is_array(value, "f") or value.shape != (n,) or np.isnan(value).any():
        return False
    return bool((value <= _MAX_LOG_TOTAL).all()) and abs(logsumexp(value)) <= _MAX_LOG_TOTAL


def is_square(value) -> bool:
    """Tell a square matrix of finite numbers."""
    return is_finite(value) and value.ndim == 2 and value.shape[0] == value.shape[1]


_LOG_PROB = Check("the logarithms of {n} probabilities", _is_log_distribution)
PER_COLUMN = Check("{n} finite numbers", lambda v, n: is_finite(v) and v.shape == (n,))
_COUNTS = Check(
    "{n} finite numbers of at least 0",
    lambda v, n: is_finite(v) and v.shape == (n,) and (v >= 0).all(),
)
WEIGHTS = Check(
    "a matrix of finite numbers with {n} columns",
    lambda v, n: is_finite(v) and v.ndim == 2 and v.shape[1] == n and len(v) > 0,
)
_FINITE = Check("an array of finite numbers", lambda v, n: is_finite(v))
_VECTOR = Check("a vector of finite numbers", lambda v, n: is_finite(v) and v.ndim == 1)
_SQUARE = Check("a square matrix of finite numbers", lambda v, n: is_square(v))
_NUMBER = Check("a finite number", lambda v, n: is_number(v) and bool(np.isfinite(v)))
_FIGURE = Check("a number", lambda v, n: is_number(v))
_POSITIVE = Check("a finite number above 0", lambda v, n: _NUMBER.holds(v, n) and v > 0)
_WHOLE = Check("a whole number of at least 0", lambda v, n: is_whole(v))
_LENGTH = Check("a finite number of at least 0", lambda v, n: _NUMBER.holds(v, n) and v >= 0)
CLASSES = Check(
    "two or more labels in an array",
    lambda v, n: isinstance(v, np.ndarray) and v.ndim == 1 and len(v) >= 2,
)
_ARRAY = Check("an array", lambda v, n: isinstance(v, np.ndarray))
_OBJECTS = Check("an array of objects", lambda v, n: is_array(v, "O") and v.ndim == 1)
_LIST = Check("a list", lambda v, n: isinstance(v, list))
_DICT = Check("a dict", lambda v, n: isinstance(v, dict))
_SWITCH = Check("True or False", lambda v, n: isinstance(v, (bool, np.bool_)))
_MODEL = Check("an estimator", lambda v, n: is_model(v))
_TOKENS = Check(
    "an array of str",
    lambda v, n: is_array(v, "O") and v.ndim == 1 and all(isinstance(token, str) for token in v),
)
_FIGURES = Check(
    "numbers by names",
    lambda v, n: isinstance(v, dict) and all(map(is_number, v.values())),
)
_NAMES = Check("{n} names", lambda v, n: isinstance(v, np.ndarray) and v.shape == (n,))
_STEPS = Check(
    "a list of names and estimators",
    lambda v, n: isinstance(v, list) and all(map(is_step, v)),
)


def _instance(name: str) -> Check:
    return Check(f"a {name}", lambda v, n: type(v).__name__ == name)


def is_model(value) -> bool:
    """Tell an estimator."""
    return isinstance(value, BaseEstimator)


def is_step(value) -> bool:
    """Tell a named step of a pipeline."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and (value[1] is None or value[1] == "passthrough" or isinstance(value[1], BaseEstimator))
    )


# Fitted attributes of this package, by name: one name means one thing everywhere.
CHECKS: dict[str, Check] = {
    **dict.fromkeys(("token_log_prob_", "reference_log_prob_", "base_log_prob_"), _LOG_PROB),
    **dict.fromkeys(("optimal_log_prob_", "fixed_point_log_prob_"), _LOG_PROB.or_none()),
    "fixed_point_gap_": _FIGURE.or_none(),
    "token_reward_": PER_COLUMN.or_none(),
    **dict.fromkeys(("token_count_", "event_count_"), _COUNTS),
    "frequencies_": _COUNTS.or_none(),
    **dict.fromkeys(("coef_", "policy_coef_"), WEIGHTS),
    "_all_weights": Check("a matrix of finite numbers", lambda v, n: is_finite(v) and v.ndim == 2),
    "covariance_": _SQUARE.or_none(),
    "_precision": Check(
        "a vector or a square matrix of finite numbers, or None",
        lambda v, n: v is None or is_square(v) or (is_finite(v) and v.ndim == 1),
    ),
    "_precisions": Check(
        "a tuple of arrays of finite numbers, or None", lambda v, n: are_finite(v)
    ),
    **dict.fromkeys(("length_coef_", "author_coef_", "center_", "scale_", "Cs_"), _FINITE),
    "scores_": Check("an array of numbers", lambda v, n: is_array(v)),
    "temperatures_": _FINITE,
    "log_temperature_std_": _FINITE,
    "annotators_": Check("an array", lambda v, n: _ARRAY.holds(v, n) and v.ndim == 1),
    "authors_": _TOKENS,
    "block_scales_": Check("finite numbers, or None", lambda v, n: v is None or are_finite(v)),
    "classes_": CLASSES,
    "feature_names_in_": _NAMES,
    **dict.fromkeys(("kl_coef_", "C_", "_fitted_C", "reward_scale_"), _POSITIVE),
    **dict.fromkeys(("reward_mean_", "position_bias_"), _NUMBER),
    **dict.fromkeys(("tie_parameter_", "both_bad_odds_"), _LENGTH.or_none()),
    "_log_tie_parameter": Check("a number, or -inf", lambda v, n: is_number(v) and v < np.inf),
    "length_scale_": _POSITIVE.or_none(),
    **dict.fromkeys(("document_length_", "_mean_document_length"), _LENGTH),
    **dict.fromkeys(("n_documents_", "n_tokens_"), _LENGTH),
    **dict.fromkeys(("n_features_in_", "n_iter_", "n_groups_", "n_sequences_"), _WHOLE),
    **dict.fromkeys(("response_length_", "max_length_"), _LENGTH.or_none()),
    **dict.fromkeys(
        ("entropy_", "expected_length_", "expected_reward_", "kl_", "kl_bound_", "loss_"), _FIGURE
    ),
    **dict.fromkeys(("objective_", "optimality_gap_", "optimality_gap_se_", "penalty_"), _FIGURE),
    **dict.fromkeys(("objective_se_", "expected_reward_se_"), _FIGURE),
    **dict.fromkeys(("best_of_n_reward_", "best_of_n_reward_se_", "flip_rate_"), _FIGURE),
    **dict.fromkeys(("flip_logit_std_", "log_tie_parameter_std_"), _FIGURE.or_none()),
    **dict.fromkeys(("prior_strength_", "reference_point_"), _NUMBER),
    **dict.fromkeys(("rule_prices_", "rule_rates_"), _FIGURES),
    "history_": _LIST,
    "training_state_": _DICT,
    "_seed": _WHOLE,
    "steps_": _STEPS,
    **dict.fromkeys(("_length_of_text", "_length_given", "_has_groups"), _SWITCH),
    **dict.fromkeys(("n_choices_", "n_prompts_"), _WHOLE),
    "_meaning": _DICT,
    **dict.fromkeys(("style_coef_", "topic_mean_", "_weights"), _VECTOR),
    "topic_coef_": Check("a matrix of finite numbers", lambda v, n: is_finite(v) and v.ndim == 2),
    "topic_vectorizer_": _MODEL.or_none(),
    **dict.fromkeys(("_has_names", "_is_of_names", "_follows_prompts"), _SWITCH),
    **dict.fromkeys(("models_", "style_names_"), _OBJECTS),
    **dict.fromkeys(("ratings_", "separated_", "n_comparisons_", "_infinite"), _ARRAY),
    **dict.fromkeys(("_log_tie", "_log_bad"), _FIGURE.or_none()),
    "_group_names": _LIST.or_none(),
    "_votes": _DICT,
    "method_": Check("a name", lambda v, n: isinstance(v, str)),
    **dict.fromkeys(("vocabulary_", "_uncertainty"), _DICT.or_none()),
    **dict.fromkeys(("unk_index_", "eos_index_"), _WHOLE.or_none()),
    **dict.fromkeys(("_names", "_stream_types"), _TOKENS.or_none()),
    "_stream_ngrams": _LIST,
    **dict.fromkeys(("trie_", "_read_trie", "_trie"), _instance("Trie").or_none()),
    "_initial": _FINITE.or_none(),
    "_stated": Check(
        "an objective over candidates or n-grams",
        lambda v, n: type(v).__name__ in ("CandidateObjective", "NGramObjective"),
    ),
    **dict.fromkeys(("_backoff", "_base"), _instance("BackoffModel").or_none()),
    "discounts_": _FINITE.or_none(),
    "is_fallback_": _ARRAY.or_none(),
    "order_": _WHOLE,
    "_stream_totals": Check("whole numbers", lambda v, n: is_array(v, "iu") and v.ndim == 1),
    "vectorizer_": _MODEL.or_none(),
    "estimator_": _MODEL,
    "reward_model_": Check(
        "a model or a function",
        lambda v, n: callable(v) or v is None or is_model(v) or type(v).__name__ == "StatedReward",
    ),
    "_training_pairs": Check(
        "hashes of pairs, or None", lambda v, n: v is None or hasattr(v, "pairs")
    ),
    "_covariance": Check("a covariance", lambda v, n: hasattr(v, "precision")),
    "_sklearn_output_config": _DICT,
    "_vectorizer_key": Check("a digest, or None", lambda v, n: v is None or isinstance(v, str)),
}


def are_finite(value) -> bool:
    """Tell finite numbers, in an array or several, or None."""
    if value is None:
        return True
    values = value if isinstance(value, (list, tuple)) else [value]
    return all(
        is_finite(v) if isinstance(v, np.ndarray) else _NUMBER.holds(v, None) for v in values
    )
