"""Whether what a file held fits together: shapes, finite numbers, parameters.

Each fitted attribute of this package has a row in the table of ``attributes``, so a model that
passes can be used without its methods failing on their own state, or reading memory that is not
theirs.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.random import RandomState
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklearn_codex._persistence.attributes import (
    CHECKS,
    CLASSES,
    PER_COLUMN,
    WEIGHTS,
    are_finite,
    is_model,
    is_square,
    is_step,
)
from sklearn_codex._persistence.fitted_candidates import (
    check_candidates,
    check_policy_of_candidates,
    is_of_candidates,
)
from sklearn_codex._persistence.fitted_ngrams import (
    check_ngram_model,
    check_ngrams,
    check_objective,
)
from sklearn_codex._persistence.fitted_ratings import RATING_STATE, check_ratings
from sklearn_codex._persistence.values import is_array, is_finite, is_whole

_PACKAGE = "sklearn_codex"
_MERSENNE_TWISTER_WORDS = 624


_REWARD_MODELS = ("PreferenceRewardModel", "PreferenceRewardModelCV")
_WEIGHTED = (
    *_REWARD_MODELS,
    *("AnnotatorRewardModel", "BootstrapRewardEnsemble", "PlackettLuceModel"),
    *("RewardUncertainty", "TiePreferenceModel"),
)
_DRAWING = ("GRPOPolicyOptimizer", "PPOPolicyOptimizer", "RLOOPolicyOptimizer")
_SAMPLERS = ("BestOfNSampler", "ExactPolicyOptimizer", *_DRAWING)
_DIRECT = ("DPOPolicyOptimizer", "KTOPolicyOptimizer")
_NGRAM_COUNTERS = ("NGramCounter", "NGramFeatures")
_COUNTERS = ("TokenCounter", *_NGRAM_COUNTERS)
_POLICIES = (*_DIRECT, *_SAMPLERS)
_LANGUAGE_MODELS = ("UnigramLM", "SFTRefiner", *_POLICIES)
# What models that may be of n-grams have where they are.
_OF_ANY_ORDER = {
    "SFTRefiner": ("_backoff", "event_count_"),
    **dict.fromkeys(_POLICIES, ("_backoff", "_trie")),
}
# Of policies of n-grams these are in the columns of the policy, and checked with its n-grams.
_OF_POLICIES = (
    *("reference_log_prob_", "optimal_log_prob_", "fixed_point_log_prob_"),
    *("token_reward_", "frequencies_"),
)
# Fitted attributes that methods read without asking for them, and the classes that have them.
_NEEDED = (
    (("_names", "n_features_in_", "unk_index_", "eos_index_"), _COUNTERS),
    (("trie_", "order_"), _NGRAM_COUNTERS),
    (("document_length_", "vectorizer_", "n_features_in_", "_backoff", "_read_trie"), ("NGramLM",)),
    (("center_", "scale_"), ("ResponseFeatures",)),
    (("steps_", "vectorizer_"), ("RLHFPipeline",)),
    (("n_features_in_", "vectorizer_"), ("PairVectorizer", *_LANGUAGE_MODELS, *_WEIGHTED)),
    (("document_length_",), _LANGUAGE_MODELS),
    (("token_log_prob_",), ("UnigramLM",)),
    (("reference_log_prob_",), _POLICIES),
    (("token_reward_",), _DIRECT),
    (("reference_point_",), ("KTOPolicyOptimizer",)),
    (("_seed",), _SAMPLERS),
    (("training_state_",), _DRAWING),
    (("coef_",), _WEIGHTED),
    (("position_bias_", "length_coef_", "length_scale_"), _REWARD_MODELS),
    (("estimator_", "method_", "_covariance"), ("RewardUncertainty",)),
    (("estimator_", "_all_weights", "_precisions"), ("BootstrapRewardEnsemble",)),
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
    apart: tuple[str, ...] = _OF_POLICIES if vars(model).get("_read_trie") is not None else ()
    if is_of_candidates(model):
        apart += (
            "reference_log_prob_",
        )  # which need not have all candidates, and is checked there
    for attribute, value in vars(model).items():
        if attribute in members and callable(getattr(type(model), attribute)):
            raise ValueError(f"its {name} has an attribute in the place of the method {attribute}")
        check = CHECKS.get(attribute)
        if check is None or attribute in apart:
            continue
        if not check.holds(value, n_columns):
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
    if name in _OF_ANY_ORDER:
        is_of_ngrams = vars(model).get("_read_trie") is not None
        needed += _OF_ANY_ORDER[name] if is_of_ngrams else ("token_log_prob_",)
    lacking = [attribute for attribute in needed if attribute not in own]
    if lacking:
        raise ValueError(f"its {name} is fitted, but has no attribute {lacking[0]}")


def _check_sklearn_parts(model: BaseEstimator, name: str) -> None:
    """Check what scikit-learn's methods take from their own fits without looking."""
    if isinstance(model, FrozenEstimator) and not is_model(model.estimator):
        raise ValueError("its FrozenEstimator holds no estimator")
    if isinstance(model, CountVectorizer) and hasattr(model, "vocabulary_"):
        columns = model.vocabulary_
        numbers: list[Any] = list(columns.values()) if isinstance(columns, dict) else [None]
        if not all(map(is_whole, numbers)) or sorted(numbers) != list(range(len(numbers))):
            raise ValueError(f"the vocabulary_ of its {name} does not number its columns")
        weights = getattr(getattr(model, "_tfidf", None), "idf_", None)
        if weights is not None and not PER_COLUMN.holds(weights, len(numbers)):
            raise ValueError(f"its {name} has not {len(numbers)} finite idf_ for its vocabulary_")
    if type(model).__module__.partition(".")[0] != _PACKAGE:
        _check_sklearn_fit(model, name)


def _check_sklearn_fit(model: BaseEstimator, name: str) -> None:
    """Check steps, classes and weights of an estimator of scikit-learn."""
    steps = getattr(model, "steps", None) if isinstance(model, Pipeline) else []
    if not isinstance(steps, (list, tuple)) or not all(map(is_step, steps)):
        raise ValueError(f"the steps of its {name} are no names and estimators")
    classes, weights = vars(model).get("classes_"), vars(model).get("coef_")
    if classes is not None and not (isinstance(classes, np.ndarray) and classes.ndim == 1):
        raise ValueError(f"the classes_ of its {name} are no labels in an array")
    if weights is None or not type(model).__module__.startswith("sklearn.linear_model."):
        return
    n_columns = getattr(model, "n_features_in_", None)
    if classes is None:  # of a regressor
        is_right = PER_COLUMN.holds(weights, n_columns) or WEIGHTS.holds(weights, n_columns)
    else:
        n_rows = 1 if len(classes) == 2 else len(classes)
        is_right = WEIGHTS.holds(weights, n_columns) and len(weights) == n_rows
    if not is_right:
        raise ValueError(f"the coef_ of its {name} do not fit its columns and classes")


def _check_calibrated(part) -> None:
    """Check a part of a calibrated classifier, which is no estimator itself."""
    calibrators = getattr(part, "calibrators", None)
    if (
        not is_model(getattr(part, "estimator", None))
        or not isinstance(calibrators, list)
        or not all(map(is_model, calibrators))
        or not CLASSES.holds(getattr(part, "classes", None), None)
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
    _check_in_a_row(counter)


def _check_in_a_row(counter) -> None:
    """Check that learned tokens are those that text has now: once pairs of letters were some."""
    token = counter._find_pair() if hasattr(counter, "_names") else None
    if token is not None:
        raise ValueError(
            f"its {type(counter).__name__} knows {token!r} as one token, as an earlier version "
            "did; n-grams are of characters in a row now, so that texts would have other columns "
            "than those it was fitted on"
        )


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


def _check_policy(model) -> None:
    check_ngram_model(model)
    check_policy_of_candidates(model)


def _check_stated_reward(reward) -> None:
    if not is_finite(getattr(reward, "token_reward", None)) or reward.token_reward.ndim != 1:
        raise ValueError("the reward of an objective in it is no vector of finite numbers")


def _check_lower_bound(reward) -> None:
    center = getattr(reward, "_center", None)
    if not is_model(getattr(reward, "model", None)) or not are_finite(center):
        raise ValueError("its RewardLowerBound has no model, or no center of finite numbers")


def _check_precision(precision) -> None:
    factor = getattr(precision, "_factor", None)
    if not isinstance(factor, tuple) or len(factor) != 2 or not is_square(factor[0]):
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
    **dict.fromkeys(_NGRAM_COUNTERS, _check_ngram_counter),
    "NGramLM": check_ngram_model,
    "SFTRefiner": check_ngram_model,
    **dict.fromkeys(_POLICIES, _check_policy),
    "CandidateObjective": check_candidates,
    "NGramObjective": check_objective,
    "StatedReward": _check_stated_reward,
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
