"""Whether what a file held fits together: shapes, finite numbers, parameters.

Each fitted attribute of this package has a row in a table here, so a model that passes can be used
without its methods failing on their own state, or reading memory that is not theirs.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.random import RandomState
from scipy.special import logsumexp
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklearn_codex._persistence.fitted_ngrams import check_ngram_model, check_ngrams
from sklearn_codex._persistence.fitted_ratings import RATING_STATE, check_ratings
from sklearn_codex._persistence.values import is_array, is_finite, is_number, is_whole

_PACKAGE = "sklearn_codex"
_MAX_LOG_TOTAL = 1e-6
_MERSENNE_TWISTER_WORDS = 624


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


def _is_square(value) -> bool:
    return is_finite(value) and value.ndim == 2 and value.shape[0] == value.shape[1]


_LOG_PROB = Check("the logarithms of {n} probabilities", _is_log_distribution)
_PER_COLUMN = Check("{n} finite numbers", lambda v, n: is_finite(v) and v.shape == (n,))
_COUNTS = Check(
    "{n} finite numbers of at least 0",
    lambda v, n: is_finite(v) and v.shape == (n,) and (v >= 0).all(),
)
_WEIGHTS = Check(
    "a matrix of finite numbers with {n} columns",
    lambda v, n: is_finite(v) and v.ndim == 2 and v.shape[1] == n and len(v) > 0,
)
_FINITE = Check("an array of finite numbers", lambda v, n: is_finite(v))
_VECTOR = Check("a vector of finite numbers", lambda v, n: is_finite(v) and v.ndim == 1)
_SQUARE = Check("a square matrix of finite numbers", lambda v, n: _is_square(v))
_NUMBER = Check("a finite number", lambda v, n: is_number(v) and bool(np.isfinite(v)))
_FIGURE = Check("a number", lambda v, n: is_number(v))
_POSITIVE = Check("a finite number above 0", lambda v, n: _NUMBER.holds(v, n) and v > 0)
_WHOLE = Check("a whole number of at least 0", lambda v, n: is_whole(v))
_LENGTH = Check("a finite number of at least 0", lambda v, n: _NUMBER.holds(v, n) and v >= 0)
_CLASSES = Check(
    "two or more labels in an array",
    lambda v, n: isinstance(v, np.ndarray) and v.ndim == 1 and len(v) >= 2,
)
_ARRAY = Check("an array", lambda v, n: isinstance(v, np.ndarray))
_OBJECTS = Check("an array of objects", lambda v, n: is_array(v, "O") and v.ndim == 1)
_LIST = Check("a list", lambda v, n: isinstance(v, list))
_DICT = Check("a dict", lambda v, n: isinstance(v, dict))
_SWITCH = Check("True or False", lambda v, n: isinstance(v, (bool, np.bool_)))
_MODEL = Check("an estimator", lambda v, n: _is_model(v))
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
    lambda v, n: isinstance(v, list) and all(map(_is_step, v)),
)


def _instance(name: str) -> Check:
    return Check(f"a {name}", lambda v, n: type(v).__name__ == name)


def _is_model(value) -> bool:
    return isinstance(value, BaseEstimator)


def _is_step(value) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and (value[1] is None or value[1] == "passthrough" or isinstance(value[1], BaseEstimator))
    )


# Fitted attributes of this package, by name: one name means one thing everywhere.
CHECKS: dict[str, Check] = {
    **dict.fromkeys(("token_log_prob_", "reference_log_prob_", "base_log_prob_"), _LOG_PROB),
    "optimal_log_prob_": _LOG_PROB.or_none(),
    "token_reward_": _PER_COLUMN.or_none(),
    **dict.fromkeys(("token_count_", "event_count_"), _COUNTS),
    "frequencies_": _COUNTS.or_none(),
    **dict.fromkeys(("coef_", "policy_coef_"), _WEIGHTS),
    "_all_weights": Check("a matrix of finite numbers", lambda v, n: is_finite(v) and v.ndim == 2),
    "covariance_": _SQUARE.or_none(),
    "_precision": Check(
        "a vector or a square matrix of finite numbers, or None",
        lambda v, n: v is None or _is_square(v) or (is_finite(v) and v.ndim == 1),
    ),
    "_precisions": Check(
        "a tuple of arrays of finite numbers, or None", lambda v, n: _are_finite(v)
    ),
    **dict.fromkeys(("length_coef_", "author_coef_", "center_", "scale_", "Cs_"), _FINITE),
    "scores_": Check("an array of numbers", lambda v, n: is_array(v)),
    "temperatures_": _FINITE,
    "log_temperature_std_": _FINITE,
    "annotators_": Check("an array", lambda v, n: _ARRAY.holds(v, n) and v.ndim == 1),
    "authors_": _TOKENS,
    "block_scales_": Check("finite numbers, or None", lambda v, n: v is None or _are_finite(v)),
    "classes_": _CLASSES,
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
    **dict.fromkeys(("best_of_n_reward_", "best_of_n_reward_se_", "flip_rate_"), _FIGURE),
    **dict.fromkeys(("flip_logit_std_", "log_tie_parameter_std_"), _FIGURE.or_none()),
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
    **dict.fromkeys(("_has_names", "_is_of_names"), _SWITCH),
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
    "trie_": _instance("Trie").or_none(),
    "_read_trie": _instance("Trie").or_none(),
    **dict.fromkeys(("_backoff", "_base"), _instance("BackoffModel").or_none()),
    "discounts_": _FINITE.or_none(),
    "is_fallback_": _ARRAY.or_none(),
    "order_": _WHOLE,
    "_stream_totals": Check("whole numbers", lambda v, n: is_array(v, "iu") and v.ndim == 1),
    "vectorizer_": _MODEL.or_none(),
    "model_": _MODEL,
    "reward_model_": Check(
        "a model or a function", lambda v, n: callable(v) or v is None or _is_model(v)
    ),
    "_training_pairs": Check(
        "hashes of pairs, or None", lambda v, n: v is None or hasattr(v, "pairs")
    ),
    "_covariance": Check("a covariance", lambda v, n: hasattr(v, "precision")),
    "_sklearn_output_config": _DICT,
    "_vectorizer_key": Check("a digest, or None", lambda v, n: v is None or isinstance(v, str)),
}


def _are_finite(value) -> bool:
    if value is None:
        return True
    values = value if isinstance(value, (list, tuple)) else [value]
    return all(
        is_finite(v) if isinstance(v, np.ndarray) else _NUMBER.holds(v, None) for v in values
    )


_REWARD_MODELS = ("PreferenceRewardModel", "PreferenceRewardModelCV")
_WEIGHTED = (
    *_REWARD_MODELS,
    *("AnnotatorRewardModel", "BootstrapRewardEnsemble", "PlackettLuceModel"),
    *("RewardUncertainty", "TiePreferenceModel"),
)
_SAMPLERS = ("BestOfNSampler", "ExactPolicyOptimizer", "PPOPolicyOptimizer", "RLOOPolicyOptimizer")
_COUNTERS = ("TokenCounter", "NGramCounter")
_LANGUAGE_MODELS = ("UnigramLM", "SFTRefiner", "DPOPolicyOptimizer", *_SAMPLERS)
# Fitted attributes that methods read without asking for them, and the classes that have them.
_NEEDED = (
    (("_names", "n_features_in_", "unk_index_", "eos_index_"), _COUNTERS),
    (("trie_", "order_"), ("NGramCounter",)),
    (("document_length_", "vectorizer_", "n_features_in_", "_backoff", "_read_trie"), ("NGramLM",)),
    (("center_", "scale_"), ("ResponseFeatures",)),
    (("steps_", "vectorizer_"), ("RLHFPipeline",)),
    (("n_features_in_", "vectorizer_"), ("PairVectorizer", *_LANGUAGE_MODELS, *_WEIGHTED)),
    (("document_length_",), _LANGUAGE_MODELS),
    (("token_log_prob_",), ("UnigramLM", "DPOPolicyOptimizer", *_SAMPLERS)),
    (("reference_log_prob_",), ("DPOPolicyOptimizer", *_SAMPLERS)),
    (("_seed",), _SAMPLERS),
    (("training_state_",), ("PPOPolicyOptimizer", "RLOOPolicyOptimizer")),
    (("coef_",), _WEIGHTED),
    (("position_bias_", "length_coef_", "length_scale_"), _REWARD_MODELS),
    (("model_", "method_", "_covariance"), ("RewardUncertainty",)),
    (("model_", "_all_weights", "_precisions"), ("BootstrapRewardEnsemble",)),
    (("_meaning", "_log_tie_parameter"), ("TiePreferenceModel",)),
    (("annotators_", "temperatures_"), ("AnnotatorRewardModel",)),
    (
        ("kl_coef_", "reward_model_", "rule_prices_", "vectorizer_", "_has_groups"),
        ("CandidatePolicy",),
    ),
    (
        RATING_STATE,
        ("ModelRatings",),
    ),
)


def check_fitted(root: Any) -> None:
    """Raise where a loaded object, or one that it holds, has a state that no fit gives.

    Raises
    ------
    ValueError
        With what is wrong, as a clause to follow the name of a file.
    """
    for value in _held_by(root):
        if isinstance(value, BaseEstimator):
            _check_estimator(value)
        elif isinstance(value, RandomState):
            _check_random_state(value)
        elif type(value).__module__.partition(".")[0] in (_PACKAGE, "sklearn"):
            _PARTS.get(type(value).__name__, _nothing)(value)


def _held_by(root: Any) -> Iterator[Any]:
    """Yield an object and all that it holds, each once."""
    stack, seen = [root], set()
    while stack:
        value = stack.pop()
        if id(value) in seen or isinstance(value, (str, int, float, type(None))):
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, (list, tuple)):
            stack += value
        elif isinstance(value, np.ndarray):
            stack += value.ravel().tolist() if value.dtype.hasobject else []
        elif not isinstance(value, type):
            stack += getattr(value, "__dict__", {}).values()


def _check_estimator(model: BaseEstimator) -> None:
    name, members = type(model).__name__, dir(type(model))
    parameters = model._get_param_names()
    missing = [parameter for parameter in parameters if not hasattr(model, parameter)]
    if missing:
        raise ValueError(f"its {name} has no parameter {missing[0]}")
    _check_parameters(model, name)
    _check_no_files(model, name)
    _check_complete(model, name)
    _check_sklearn_parts(model, name)
    if type(model).__module__.partition(".")[0] != _PACKAGE:
        return
    n_columns = getattr(model, "n_features_in_", None)
    for attribute, value in vars(model).items():
        if attribute in members and callable(getattr(type(model), attribute)):
            raise ValueError(f"its {name} has an attribute in the place of the method {attribute}")
        check = CHECKS.get(attribute)
        if check is not None and not check.holds(value, n_columns):
            raise ValueError(
                f"the attribute {attribute} of its {name} has to be "
                f"{check.words.format(n=n_columns)}"
            )
    _check_vectorizer(model, name, n_columns)
    _PARTS.get(name, _nothing)(model)


def _check_parameters(model: BaseEstimator, name: str) -> None:
    if not hasattr(model, "_parameter_constraints"):
        return
    try:
        model._validate_params()
    except (TypeError, ValueError) as error:
        raise ValueError(f"its {name} has a wrong parameter: {error}") from None


def _check_complete(model: BaseEstimator, name: str) -> None:
    """Check that a fitted model has what its methods read without asking."""
    if type(model).__module__.partition(".")[0] != _PACKAGE:
        return
    own = set(vars(model)) - set(model._get_param_names())
    if not any(attribute.endswith("_") and attribute in CHECKS for attribute in own):
        return  # not fitted
    needed = [attribute for names, kinds in _NEEDED for attribute in names if name in kinds]
    if getattr(model, "control_length", False):
        needed.append("_length_of_text")
    if name == "SFTRefiner":
        is_of_ngrams = vars(model).get("_read_trie") is not None
        needed += ["_backoff", "event_count_"] if is_of_ngrams else ["token_log_prob_"]
    lacking = [attribute for attribute in needed if attribute not in own]
    if lacking:
        raise ValueError(f"its {name} is fitted, but has no attribute {lacking[0]}")


def _check_sklearn_parts(model: BaseEstimator, name: str) -> None:
    """Check what scikit-learn's methods take from their own fits without looking."""
    if isinstance(model, FrozenEstimator) and not _is_model(model.estimator):
        raise ValueError("its FrozenEstimator holds no estimator")
    if isinstance(model, CountVectorizer) and hasattr(model, "vocabulary_"):
        columns = model.vocabulary_
        numbers: list[Any] = list(columns.values()) if isinstance(columns, dict) else [None]
        if not all(map(is_whole, numbers)) or sorted(numbers) != list(range(len(numbers))):
            raise ValueError(f"the vocabulary_ of its {name} does not number its columns")
        weights = getattr(getattr(model, "_tfidf", None), "idf_", None)
        if weights is not None and not _PER_COLUMN.holds(weights, len(numbers)):
            raise ValueError(f"its {name} has not {len(numbers)} finite idf_ for its vocabulary_")
    if type(model).__module__.partition(".")[0] != _PACKAGE:
        _check_sklearn_fit(model, name)


def _check_sklearn_fit(model: BaseEstimator, name: str) -> None:
    """Check steps, classes and weights of an estimator of scikit-learn."""
    steps = getattr(model, "steps", None) if isinstance(model, Pipeline) else []
    if not isinstance(steps, (list, tuple)) or not all(map(_is_step, steps)):
        raise ValueError(f"the steps of its {name} are no names and estimators")
    classes, weights = vars(model).get("classes_"), vars(model).get("coef_")
    if classes is not None and not (isinstance(classes, np.ndarray) and classes.ndim == 1):
        raise ValueError(f"the classes_ of its {name} are no labels in an array")
    if weights is None or not type(model).__module__.startswith("sklearn.linear_model."):
        return
    n_columns = getattr(model, "n_features_in_", None)
    if classes is None:  # of a regressor
        is_right = _PER_COLUMN.holds(weights, n_columns) or _WEIGHTS.holds(weights, n_columns)
    else:
        n_rows = 1 if len(classes) == 2 else len(classes)
        is_right = _WEIGHTS.holds(weights, n_columns) and len(weights) == n_rows
    if not is_right:
        raise ValueError(f"the coef_ of its {name} do not fit its columns and classes")


def _check_calibrated(part) -> None:
    """Check a part of a calibrated classifier, which is no estimator itself."""
    calibrators = getattr(part, "calibrators", None)
    if (
        not _is_model(getattr(part, "estimator", None))
        or not isinstance(calibrators, list)
        or not all(map(_is_model, calibrators))
        or not _CLASSES.holds(getattr(part, "classes", None), None)
        or getattr(part, "method", None) not in ("sigmoid", "isotonic", "temperature")
    ):
        raise ValueError("a calibrated classifier in it lacks an estimator or its calibrators")


def _check_no_files(model: BaseEstimator, name: str) -> None:
    """Check that a model touches no file that its own file names, or a text that it is given."""
    package = type(model).__module__.partition(".")[0]
    if package in (_PACKAGE, "sklearn") and getattr(model, "memory", None) is not None:
        raise ValueError(f"its {name} has a memory, which is a folder of pickles")
    if package == "sklearn" and getattr(model, "input", "content") != "content":
        raise ValueError(f"its {name} takes texts for files to read (input={model.input!r})")


def _check_vectorizer(model, name, n_columns) -> None:
    vectorizer = getattr(model, "vectorizer_", None)
    while isinstance(vectorizer, FrozenEstimator):
        vectorizer = vectorizer.estimator
    columns = getattr(vectorizer, "n_features_in_", None)
    if type(vectorizer).__name__ in _COUNTERS and n_columns is not None and columns != n_columns:
        raise ValueError(
            f"its {name} has n_features_in_={n_columns} for a vectorizer of {columns} columns"
        )


def _check_token_counter(counter) -> None:
    trie = getattr(counter, "trie_", None)
    n_columns = trie.n_tokens if trie is not None else getattr(counter, "n_features_in_", None)
    names = getattr(counter, "_names", None)
    types, totals = getattr(counter, "_stream_types", ()), getattr(counter, "_stream_totals", ())
    if len(types) != len(totals):
        raise ValueError(f"its TokenCounter has {len(totals)} totals of {len(types)} tokens")
    if n_columns is None or names is None:
        return
    tokens = names.tolist()
    if len(tokens) != n_columns:
        raise ValueError(f"its TokenCounter has not {n_columns} tokens for {n_columns} columns")
    if len(set(tokens)) < len(tokens):
        raise ValueError("its TokenCounter has one token in two columns")
    for special in ("unk", "eos"):
        token, index = (
            getattr(counter, f"{special}_token"),
            getattr(counter, f"{special}_index_", None),
        )
        if index is not None and not (
            is_whole(index) and index < n_columns and tokens[index] == token
        ):
            raise ValueError(
                f"the attribute {special}_index_ of its TokenCounter is not of {token!r}"
            )


def _check_training_pairs(pairs) -> None:
    for name in ("pairs", "prompts"):
        value = getattr(pairs, name, None)
        if value is None or not is_array(value, "u") or value.ndim != 1:
            raise ValueError("what its model remembers of its training pairs is no array of hashes")


def _check_held_rows(rows) -> None:
    try:
        matrix = rows.matrix()
        if rows._is_sparse:
            matrix.check_format(full_check=True)
        held = matrix.data if rows._is_sparse else matrix
        is_right = is_finite(held) and matrix.shape == tuple(rows._shape)
    except (AttributeError, IndexError, TypeError, ValueError):
        is_right = False
    if not is_right:
        raise ValueError("the rows of a covariance in it do not fit together")


def _check_group_moves(groups) -> None:
    """Check the groups of a sandwich, whose rows have been checked."""
    try:
        sizes, scores, rows = groups._sizes, groups._scores.matrix(), groups._rows.matrix()
        is_right = (
            is_array(sizes, "iu")
            and sizes.shape == (scores.shape[0],)
            and bool((sizes >= 1).all())
            and rows.shape == (int(sizes.sum()), scores.shape[1])
            and bool((np.diff(sizes) >= 0).all())
            and isinstance(groups.factor, float)
            and np.isfinite(groups.factor)
        )
    except (AttributeError, IndexError, TypeError, ValueError):
        is_right = False
    if not is_right:
        raise ValueError("the groups of a covariance in it do not fit together")


def _check_ngram_counter(counter) -> None:
    check_ngrams(counter)
    _check_token_counter(counter)


def _check_outcomes(model) -> None:
    """Check which class means which outcome: 0, a tie, 1, and both bad where that is one."""
    meaning, classes = getattr(model, "_meaning", None), getattr(model, "classes_", None)
    if meaning is None or classes is None:
        return
    outcomes = sorted(meaning.values()) if all(map(is_whole, meaning.values())) else []
    known = range(3 if getattr(model, "_log_bad", None) is None else 4)
    is_right = (
        len(outcomes) >= 2 and set(outcomes) <= {*known} and len(set(outcomes)) == len(outcomes)
    )
    if not is_right or set(meaning) != set(classes.tolist()):
        raise ValueError(
            f"the classes of its {type(model).__name__} are not of the outcomes it knows"
        )


def _check_model_ratings(model) -> None:
    check_ratings(model)
    _check_outcomes(model)


def _check_candidate_policy(policy) -> None:
    if getattr(policy, "reward_model_", policy) is None and not hasattr(policy, "coef_"):
        raise ValueError("its CandidatePolicy has neither a reward model nor the coef_ of one")


def _check_lower_bound(reward) -> None:
    center = getattr(reward, "_center", None)
    if not _is_model(getattr(reward, "model", None)) or not _are_finite(center):
        raise ValueError("its RewardLowerBound has no model, or no center of finite numbers")


def _check_precision(precision) -> None:
    factor = getattr(precision, "_factor", None)
    if not isinstance(factor, tuple) or len(factor) != 2 or not _is_square(factor[0]):
        raise ValueError(
            "a covariance in it has no factor that is a square matrix of finite numbers"
        )


def _check_random_state(random_state: RandomState) -> None:
    """Check a state: numpy reads its words at a position that comes with it."""
    state = random_state.get_state(legacy=False)
    position = state["state"].get("pos", 0)
    if not 0 <= position <= _MERSENNE_TWISTER_WORDS:
        raise ValueError(f"a random state in it is at the position {position}")


def _nothing(value) -> None:
    pass


_PARTS: dict[str, Callable[[Any], None]] = {
    "TokenCounter": _check_token_counter,
    "NGramCounter": _check_ngram_counter,
    "NGramLM": check_ngram_model,
    "SFTRefiner": check_ngram_model,
    "TrainingPairs": _check_training_pairs,
    "GroupMoves": _check_group_moves,
    "HeldRows": _check_held_rows,
    "TiePreferenceModel": _check_outcomes,
    "ModelRatings": _check_model_ratings,
    "_CalibratedClassifier": _check_calibrated,
    "CandidatePolicy": _check_candidate_policy,
    "RewardLowerBound": _check_lower_bound,
    **dict.fromkeys(
        ("MatrixPrecision", "DensePrecision", "DualPrecision", "BorderedPrecision"),
        _check_precision,
    ),
}
