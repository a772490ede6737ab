"""What a model file may hold: an explicit list of types, none of which runs what it is given.

A class is trusted if it is listed, never because it can be reached: a module has all that it
imports as attributes, ``partial`` and ``FunctionType`` among them.
"""

from functools import cache
from inspect import isclass
from typing import NamedTuple

from sklearn import model_selection
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils import all_estimators

_PACKAGE = "sklearn_codex"

# Classes of this package by the names that files know them by, and where they stand. A class that
# moves gets another module here and keeps its name, so that older files still load.
OWN_TYPES = {
    "AdaptiveKLController": "kl_control",
    "AnnotatorRewardModel": "_reward.annotators",
    "BackoffModel": "_ngrams.backoff",
    "BannedNGrams": "rules",
    "BannedTokens": "rules",
    "BestOfNSampler": "_policy.best_of_n_sampler",
    "BootstrapRewardEnsemble": "_reward.ensemble",
    "BorderedPrecision": "_solve.precision",
    "CandidateObjective": "exact._candidates",
    "CandidatePolicy": "_policy.candidates",
    "ConservativeReward": "_reward.conservative",
    "DPOPolicyOptimizer": "_policy.dpo",
    "DensePrecision": "_solve.precision",
    "DualPrecision": "_solve.precision",
    "ExactPolicyOptimizer": "_policy.exact_optimizer",
    "FixedKLController": "kl_control",
    "GRPOPolicyOptimizer": "_policy.grpo",
    "GroupMoves": "_reward.jackknife",
    "HeldRows": "_solve.precision",
    "KTOPolicyOptimizer": "_policy.kto",
    "MatrixPrecision": "_solve.precision",
    "ModelRatings": "_ratings.model",
    "NGramCounter": "_ngram_counter",
    "NGramFeatures": "_ngram_features",
    "NGramLM": "_language.ngram_lm",
    "NGramObjective": "exact._ngram",
    "PPOPolicyOptimizer": "_policy.ppo_optimizer",
    "PairVectorizer": "_reward.pair_vectorizer",
    "Pattern": "rules",
    "PlackettLuceModel": "_reward.rankings",
    "PreferenceRewardModel": "_reward.model",
    "PreferenceRewardModelCV": "_reward.model_cv",
    "RLHFPipeline": "_pipeline.pipeline",
    "RLOOPolicyOptimizer": "_policy.rloo",
    "RecordKFold": "model_selection._splitters",
    "ResponseFeatures": "features",
    "RewardLowerBound": "_reward.uncertainty",
    "RewardUncertainty": "_reward.uncertainty",
    "RowScorer": "metrics._row_scorers",
    "SFTRefiner": "_language.sft",
    "StatedReward": "_policy.stated_objective",
    "TiePreferenceModel": "_reward.tie_models",
    "TokenBudget": "rules",
    "TokenCounter": "text",
    "TrainingPairs": "_reward.leakage",
    "Trie": "_ngrams.trie",
    "UnigramLM": "_language.unigram_lm",
    "UnitRows": "_embedding.unit_rows",
    "WeightCovariance": "_solve.precision",
    "_MarginScorer": "metrics._scorers",
    "_ProbabilityScorer": "metrics._scorers",
}

# Functions of this package that vectorizers and scorers call, as files name them: none may move.
_OWN_FUNCTIONS = {
    f"{_PACKAGE}.{room}.{name}"
    for room, names in {
        "_text.scripts": ["split_words"],
        "metrics._calibration": ["expected_calibration_error"],
        "metrics._preferences": [
            *("kendall_correlation", "preference_accuracy", "preference_auc"),
            *("preference_brier_loss", "preference_log_loss", "spearman_correlation"),
        ],
        "metrics._row_scorers": [
            *("score_best_of_n", "score_length_correlation", "score_outcomes"),
            *("score_sections", "score_shorter_preferred"),
        ],
    }.items()
    for name in names
}

# Public estimators and splitters of these modules. Not here: trees, neighbours and support vectors,
# whose compiled code reads memory at indices that come from the file.
_SKLEARN_FAMILIES = (
    "calibration",
    "compose",
    "decomposition",
    "dummy",
    "feature_extraction.text",
    "feature_selection",
    "frozen",
    "isotonic",
    "kernel_approximation",
    "linear_model",
    "model_selection",
    "naive_bayes",
    "neural_network",
    "pipeline",
    "preprocessing",
)
_SKLEARN_PARTS = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.model_selection._split._CVIterableWrapper",
)
_SKLEARN_CALLERS = {"sklearn.preprocessing._function_transformer.FunctionTransformer"}

DICTS = {"builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"}
# Types of which a file may hold the type itself: of keys, of numbers in an array.
KEY_TYPES = {"builtins.str", "builtins.int", "builtins.float"}
NUMPY_SCALARS = {
    f"numpy.{name}"
    for name in (
        *("bool", "str_", "float16", "float32", "float64", "complex128"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    )
}
PLAIN_TYPES = KEY_TYPES | NUMPY_SCALARS | {"builtins.bool"}


class Trust(NamedTuple):
    """What may be made when a file is loaded, by ``module.name``."""

    objects: frozenset[str]
    functions: frozenset[str]
    users: frozenset[str]


def trust(users=()) -> Trust:
    """Return what is trusted: the lists of this room and what a user adds, as types or names."""
    names = frozenset(_name_of_trusted(item) for item in users)
    objects = frozenset(own_names()) | _sklearn_names()
    return Trust(objects, _score_functions() | _OWN_FUNCTIONS, names)


def trusted_types() -> tuple[str, ...]:
    """Return all types of this package and of scikit-learn that a model file may hold.

    These are the names that ``skops`` knows types by, for tools that load its files themselves:
    ``skops.io.load(path, trusted=trusted_types())``, or mlflow's ``skops_trusted_types``. Such
    tools do without the checks of :func:`~sklearn_codex.load_model` on sizes and contents.

    Returns
    -------
    names : tuple of str
        As ``module.name``, sorted.

    Examples
    --------
    >>> from sklearn_codex import trusted_types
    >>> "sklearn_codex.text.TokenCounter" in trusted_types()
    True
    """
    lists = trust()
    return tuple(sorted(lists.objects | lists.functions | DICTS - {"builtins.dict"}))


def own_names() -> list[str]:
    """Return the classes of this package, as ``module.name``."""
    return [f"{_PACKAGE}.{module}.{name}" for name, module in OWN_TYPES.items()]


def place_of(module: str, name: str) -> tuple[str, str]:
    """Return where a class named in a file stands; one of this package is known by its name."""
    if module.partition(".")[0] == _PACKAGE and name in OWN_TYPES:
        return f"{_PACKAGE}.{OWN_TYPES[name]}", name
    return module, name


def file_name_of(module: str, name: str) -> tuple[str, str]:
    """Return how a file names a class, the inverse of :func:`place_of`."""
    if name in OWN_TYPES and module == f"{_PACKAGE}.{OWN_TYPES[name]}":
        return _PACKAGE, name
    return module, name


@cache
def _sklearn_names() -> frozenset[str]:
    public = vars(model_selection).values()  # some names of __all__ are errors
    splitters = [value for value in public if isclass(value) and hasattr(value, "get_n_splits")]
    classes = [value for _, value in all_estimators()] + splitters
    families = tuple(f"sklearn.{name}." for name in _SKLEARN_FAMILIES)
    names = {f"{value.__module__}.{value.__qualname__}" for value in classes}
    names = {name for name in names if name.startswith(families)} - _SKLEARN_CALLERS
    return frozenset(_SKLEARN_PARTS) | names


@cache
def _score_functions() -> frozenset[str]:
    """Return what scorers that have a name in scikit-learn call."""
    scorers = [get_scorer(name) for name in get_scorer_names()]
    functions = [getattr(scorer, "_score_func", None) for scorer in scorers]
    return frozenset(f"{f.__module__}.{f.__qualname__}" for f in functions if f is not None)


def _name_of_trusted(item) -> str:
    if isinstance(item, str):
        if "." in item:
            return item
        raise ValueError(
            f"trusted has {item!r}, which names no module. Name types as module.name, as the error "
            "of load_model does, or pass the types themselves."
        )
    if not hasattr(item, "__module__") or not hasattr(item, "__name__"):
        raise TypeError(
            f"trusted expected types, functions or names, got {type(item).__name__}: {item!r}."
        )
    return f"{item.__module__}.{item.__name__}"
