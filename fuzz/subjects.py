"""What is called: every public class and function, with good arguments by their names."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator

import sklearn_codex
from fuzz.data import (
    COUNTS,
    DIFFERENCES,
    LABELS,
    PROMPTS,
    RECORDS,
    TEXTS,
    VOTES,
    N,
    documents,
    fitted,
    fitted_pipeline,
    groups,
    labels,
    ngram_model,
    numbers,
    pairs,
    pairs_of_vectors,
    rule,
)
from fuzz.values import ALWAYS, DRAWN, NEVER, OF_SUBJECT, VALUES, valid_parameter
from sklearn_codex import (
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    make_rlhf_pipeline,
)
from sklearn_codex.exact import (
    AdditiveObjective,
    CandidateObjective,
    EosObjective,
    NGramObjective,
)
from sklearn_codex.rules import Rule

MODULES = (
    *("exact", "features", "health", "inspection", "kl_control", "lab", "labels", "metrics"),
    *("model_selection", "overoptimization", "rules", "datasets"),
)
# These read files or the network, hold words only, or are named twice.
LEFT_OUT = {
    *(
        "audit_preferences",
        "fetch_hh_rlhf",
        "fetch_pandalm",
        "load_stdlib_code",
        "read_batches",
        "read_candidates",
        "read_preferences",
    ),
    *("load_model", "save_model", "Finding", "PreferenceReport", "KLController", "Rule"),
    "RewardExplanation",
    # What functions return or call with, and a loss planted with a fault.
    *("AlgorithmCheck", "AlgorithmRun", "Batch", "Mistake", "PreferenceBatch", "Setting"),
    *("LengthExplosionError", "LengthExplosionWarning", "get_preference_scorer", "check_rules"),
}
OF_PAIRS = {
    *("AnnotatorRewardModel", "BootstrapRewardEnsemble", "DPOPolicyOptimizer", "PairVectorizer"),
    *("PreferenceRewardModel", "PreferenceRewardModelCV", "RewardUncertainty"),
    "TiePreferenceModel",
}
OF_VOTES = {"ModelRatings"}
OF_RANKINGS = {"PlackettLuceModel"}
OF_RECORDS = {"RLHFPipeline"}
OF_POLICIES = {
    *("BestOfNSampler", "ExactPolicyOptimizer", "GRPOPolicyOptimizer"),
    *("PPOPolicyOptimizer", "RLOOPolicyOptimizer"),
}
OF_DOCUMENTS = {"predict", "predict_log_proba", "reward", "score_samples", "perplexity"}
SKIPPED_METHODS = {
    "to_arpa",
    "ngram_violations",
    "token_violations",
    "get_params",
    "set_params",
    "get_metadata_routing",
    "set_output",
}
# What rules are made with to read texts.
ON_TEXT = {"BannedNGrams": ("ngrams", ["a b", "<s> b"]), "Pattern": ("pattern", "a b")}
# What optimisers ask objectives about what they made themselves.
OF_OPTIMISERS = {
    "having",
    "sample",
    "sample_groups",
    "token_advantages",
    "explain_explosion",
    "cost_floor",
    "check_costs",
    "check_free",
    "project",
    *("can_avoid", "events_after", "flow", "knows", "moved", "of_ngrams", "of_tokens"),
    *("of_features", "place", "policy_at", "policy_gradient", "demonstrations_gradient"),
    *("curvature", "natural_step", "trust_region_scale", "context_values"),
    *("gap_to_reference", "one_token", "policy_model"),
}


@dataclass(frozen=True)
class Subject:
    """Something to call: ``draw(rng)`` gives good arguments by name, ``call(arguments)`` calls."""

    name: str
    draw: Callable[[np.random.RandomState], dict[str, Any]]
    call: Callable[[dict[str, Any]], Any]
    weight: float = 1.0


def good_arguments(rng, parameters, *, own, constraints=None, p=0.35):
    """Return good values of some parameters, of all that have to be given."""
    arguments = {}
    for name, parameter in parameters.items():
        if name in ("self", *NEVER) or parameter.kind in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        ):
            continue
        required = parameter.default is parameter.empty
        if not (required or name in ALWAYS or rng.rand() < p):
            continue
        if name in own:
            if own[name] is not None:
                arguments[name] = own[name](rng)
        elif name in VALUES:
            arguments[name] = VALUES[name](rng)
        elif constraints and name in constraints:
            value = valid_parameter(rng, constraints[name])
            if value is not None:
                arguments[name] = value
        elif not required:
            arguments[name] = parameter.default
        else:
            raise LookupError(f"no good value for the argument {name!r}")
    return arguments


def _data_of(rng, name, text):
    """Return good values of X, y and others of an estimator."""
    if name in OF_PAIRS:
        y = labels(rng)
        vectors = not text and name != "DPOPolicyOptimizer" and rng.rand() < 0.4
        draw = pairs_of_vectors if vectors else lambda rng: pairs(rng, text)
        return {"X": draw, "y": lambda rng: y}
    if name in OF_VOTES:
        y = labels(rng)
        own = dict.fromkeys(("topics", "topic_vectorizer", "anchor", "classes"))
        sides = {"model_a": lambda rng: "a", "model_b": lambda rng: "b"}
        own |= {"X": lambda rng: [*VOTES] if text else DIFFERENCES.copy(), "y": lambda rng: y}
        return own | sides if text else own | dict.fromkeys(("model_a", "model_b"), lambda rng: 1)
    if name in OF_RANKINGS:
        return {"X": lambda rng: documents(rng, text), "y": lambda rng: np.arange(N) % 4,
                "annotators": None}  # fmt: skip
    if name in OF_RECORDS:
        return {"X": lambda rng: list(RECORDS), "y": None}
    if name == "CandidatePolicy":
        rows = {"X": lambda rng: [*zip(PROMPTS, TEXTS, strict=True)], "groups": None}
        own = rows if text else {"X": lambda rng: COUNTS.copy()}
        once = np.where(LABELS == 1, 1.0, np.nan)
        return own | {
            "y": lambda rng: once if rng.rand() < 0.2 else numbers(rng), "clusters": groups,
            "reference_log_prob": lambda rng: np.log(rng.rand(N)), "predicted": numbers,
            "logged_prob": lambda rng: np.full(N, 0.5), "conservative": None,
        }  # fmt: skip
    if name == "KTOPolicyOptimizer":
        y = labels(rng)
        return {"X": lambda rng: documents(rng, text), "y": lambda rng: y}
    if name == "ResponseFeatures":
        return {"X": lambda rng: [*zip(PROMPTS, TEXTS, strict=True)] if text else list(TEXTS)}
    return {"X": lambda rng: documents(rng, text), "y": numbers}


def _init_of(rng, name, text):
    """Return good values of constructor parameters that need models of the same columns."""
    language = lambda rng: fitted("LM", text)  # noqa: E731
    reward = lambda rng: fitted("reward", text)  # noqa: E731
    own: dict[str, Any] = {"policy": language, "reward_model": reward}
    own["rules"] = None if text else rule
    if not text:
        own["control_length"] = None  # numbers have no length
    own["vectorizer"] = (lambda rng: TokenCounter("word")) if text and rng.rand() < 0.5 else None
    if name in ("BestOfNSampler", "ExactPolicyOptimizer") and text == "eos" and rng.rand() < 0.5:
        own["policy"], own["vectorizer"] = (lambda rng: FrozenEstimator(ngram_model())), None
    if name in OF_PAIRS and text and rng.rand() < 0.3:
        own["vectorizer"] = lambda rng: TfidfVectorizer(token_pattern=r"\S+")
    own["estimator"] = lambda rng: PreferenceRewardModel(position_bias=bool(rng.randint(2)))
    own |= dict.fromkeys(("penalty", "frequencies", "target_kl", "tokens", "n"))
    own["response_length" if text == "eos" else "max_length"] = None
    own["steps"] = lambda rng: make_rlhf_pipeline(
        UnigramLM(), *([SFTRefiner()] if rng.rand() < 0.5 else []), PreferenceRewardModel(),
        PPOPolicyOptimizer(max_iter=2, tol=0, random_state=0),
    ).steps  # fmt: skip
    return own


# What the laboratory asks problems about groups of its own.
OF_THE_LAB = {
    *("batch", "centred", "drawn_from", "exact_gradient", "groups", "having", "logit_gradient"),
    *("mass", "n_groups", "normalize", "opponent", "pull_back", "tilt", "token_log_prob"),
    *("token_values", "weight", "weight_of_kl"),
}


def _methods(cls):
    skipped = SKIPPED_METHODS
    if cls.__module__.startswith("sklearn_codex.lab."):
        skipped = skipped | OF_THE_LAB
    if issubclass(cls, (AdditiveObjective, CandidateObjective, EosObjective, NGramObjective)):
        skipped = skipped | OF_OPTIMISERS
    if cls.__name__ in ("DPOPolicyOptimizer", "KTOPolicyOptimizer"):
        skipped = skipped | {"fit_objective"}  # of rows of the objective: tests draw those
    return sorted(
        name
        for name, member in inspect.getmembers(cls)
        if inspect.isfunction(member)
        and member.__module__.startswith("sklearn_codex")
        and not name.startswith("_")
        and not (name.startswith("set_") and name.endswith("_request"))
        and name not in skipped
    )


def _estimator_subject(cls):
    name = cls.__name__
    methods = [m for m in _methods(cls) if m not in ("fit", "fit_transform", "partial_fit")]
    starts = [m for m in ("fit", "partial_fit", "fit_transform") if hasattr(cls, m)]

    def draw(rng):
        text = (False, True, "eos")[rng.choice(3, p=[0.5, 0.3, 0.2])]
        data = {**_data_of(rng, name, text), **OF_SUBJECT.get(name, {})}
        constraints = getattr(cls, "_parameter_constraints", None)
        own = {**_init_of(rng, name, text), **data}
        given = good_arguments(
            rng, inspect.signature(cls).parameters, own=own, constraints=constraints, p=0.2
        )
        for model in ("policy", "reward_model") if name in OF_POLICIES else ():
            given.setdefault(model, own[model](rng))
        arguments = {f"init.{key}": value for key, value in given.items()}
        start = starts[:1] if rng.rand() < 0.7 else starts[-1:]
        known = methods
        if name == "NGramFeatures" and text:  # whose columns depend on its parameters
            known = [m for m in methods if m not in ("inverse_transform", "decode")]
        called = [*start, *rng.choice(known, size=min(2, len(known)), replace=False)]
        for method in called:
            parameters = inspect.signature(getattr(cls, method)).parameters
            own = data | _data_of_method(name, method, text)
            given = good_arguments(rng, parameters, own=own)
            arguments |= {f"{method}.{key}": value for key, value in given.items()}
        arguments["_called"] = called
        return arguments

    return Subject(name, draw, lambda arguments: _call_methods(cls, arguments), weight=3.0)


def _data_of_method(name, method, text):
    """Return good values of what a method reads otherwise than `fit`."""
    own: dict[str, Any] = {}
    of_documents = OF_DOCUMENTS if name == "DPOPolicyOptimizer" else {"reward"}
    if method in of_documents and name in OF_PAIRS:
        own["X"] = lambda rng: documents(rng, text)
    if name in OF_RECORDS and method in OF_DOCUMENTS:
        own["X"] = lambda rng: documents(rng, True)
    if method not in ("fit", "partial_fit", "sample"):  # of as many texts as there are
        own["prompts"] = lambda rng: None
    if method == "topic_ratings":
        own["topics"] = lambda rng: list(TEXTS[:2])
    if method == "conservative_reward":
        own["reference"] = lambda rng: documents(rng, text)
    if method in ("inverse_transform", "decode"):
        own["X"] = lambda rng: rng.randint(0, 3, size=(2, 6 if text == "eos" else 5))
    return own


def _call_methods(cls, arguments):
    """Make an object, call its methods in turn, return it and what they returned."""
    subject = cls(**_of(arguments, "init"))
    return subject, {
        method: getattr(subject, method)(**_of(arguments, method))
        for method in arguments["_called"]
        if hasattr(subject, method)  # some are there only where a part of the whole has them
    }


def _of(arguments, part):
    return {
        name.split(".", 1)[1]: value
        for name, value in arguments.items()
        if name.startswith(f"{part}.")
    }


def _object_subject(cls):
    """Return a subject of a class that is no estimator: made, and asked one thing."""
    name, is_display = cls.__name__, cls.__name__.endswith("Display")
    methods = [m for m in _methods(cls) if m not in ("plot", "warn_if_length_explodes")]
    makers = [m for m in ("from_predictions", "from_estimator", "from_curve", "from_texts",
                          "from_sequences") if hasattr(cls, m)]  # fmt: skip
    if name == "OveroptimizationDisplay":
        makers = ["from_curve"]

    def draw(rng):
        own = dict(OF_SUBJECT.get(name, {}))
        if is_display and "estimator" not in own:
            own = _data_of_display(rng, name) | own
        maker = makers[rng.randint(len(makers))] if makers and rng.rand() < 0.8 else "init"
        if is_display:
            maker = makers[rng.randint(len(makers))]
        make = cls if maker == "init" else getattr(cls, maker)
        given = good_arguments(rng, inspect.signature(make).parameters, own=own)
        if is_display:
            given = {key: value for key, value in given.items() if key not in DRAWN}
        arguments = {f"{maker}.{key}": value for key, value in given.items()}
        asked = {"_called": []}
        if methods and not is_display:
            method = methods[rng.randint(len(methods))]
            if method not in makers:
                asked = _asked(rng, cls, method, own)
        return arguments | asked | {"_maker": maker}

    def call(arguments):
        maker = arguments["_maker"]
        make = cls if maker == "init" else getattr(cls, maker)
        subject = make(**_of(arguments, maker))
        return subject, {
            method: getattr(subject, method)(**_of(arguments, method))
            for method in arguments["_called"]
        }

    return Subject(name, draw, call, weight=0.3 if is_display else 1.0)


def _data_of_display(rng, name):
    """Return good values of what a display is made from."""
    text = rng.rand() < 0.5 or name == "RewardDistributionDisplay"
    return {
        "estimator": lambda rng: fitted("reward", text).estimator,
        "X": lambda rng: pairs(rng, text),
    }


def _asked(rng, cls, method, own):
    """Return good arguments of one method of an object; rules read texts as they are called."""
    arguments = {}
    parameters = inspect.signature(getattr(cls, method)).parameters
    if "rollouts" in parameters:
        method, parameters = "__call__", inspect.signature(cls.__call__).parameters
        own = own | {"documents": lambda rng: list(TEXTS)}
        parameter, value = ON_TEXT.get(cls.__name__, ("tokens", ["a", "b"]))
        arguments[f"init.{parameter}"] = value
    given = good_arguments(rng, parameters, own=own)
    arguments |= {f"{method}.{key}": value for key, value in given.items()}
    return arguments | {"_called": [method]}


def _scorer_subject(cls):
    name = cls.__name__

    def draw(rng):
        own = dict(OF_SUBJECT.get(name, {}))
        parameters = inspect.signature(cls).parameters
        given = good_arguments(rng, parameters, own=own)
        arguments = {f"init.{key}": value for key, value in given.items()}
        of_documents = name == "GoldRewardScorer"
        arguments["call.estimator"] = fitted("policy", False) if of_documents else fitted_pipeline()
        arguments["call.X"] = documents(rng, False) if of_documents else list(RECORDS)
        return arguments

    def call(arguments):
        scorer = cls(**_of(arguments, "init"))
        given = _of(arguments, "call")
        return scorer, {"call": scorer(given["estimator"], given["X"])}

    return Subject(name, draw, call)


def _function_subject(function):
    name = function.__name__
    own = OF_SUBJECT.get(name, {})
    parameters = inspect.signature(function).parameters
    constraints = getattr(function, "_skl_parameter_constraints", None)

    def draw(rng):
        if name == "make_rlhf_pipeline":
            return {"stage": UnigramLM()}
        return good_arguments(rng, parameters, own=own, constraints=constraints)

    def call(arguments):
        if name == "make_rlhf_pipeline":
            return function(arguments["stage"])
        return function(**arguments)

    return Subject(name, draw, call)


def subject_of(thing: Any) -> Subject:
    """Return how a public class or function is called."""
    if inspect.isfunction(thing):
        return _function_subject(thing)
    if thing.__name__ in ("GoldRewardScorer", "HeldOutRewardScorer"):
        return _scorer_subject(thing)
    if issubclass(thing, BaseEstimator) and not issubclass(thing, Rule):
        return _estimator_subject(thing)
    return _object_subject(thing)


def _public():
    """Return every public class and function of the package, but for ``LEFT_OUT``, by name."""
    modules = [sklearn_codex, *(importlib.import_module(f"sklearn_codex.{m}") for m in MODULES)]
    public = {
        id(thing): (name, thing)
        for module in modules
        for name, thing in ((name, getattr(module, name)) for name in module.__all__)
        if name not in LEFT_OUT and callable(thing)
    }
    # Two modules may have one name each.
    return [thing for _, thing in sorted(public.values(), key=lambda x: (x[0], x[1].__module__))]


def discover() -> list[Subject]:
    """Return how everything public is called."""
    return [subject_of(thing) for thing in _public()]


def methods_without_values() -> list[str]:
    """Return methods of public classes that cannot be called, as a value has no good one."""
    rng, missing = np.random.RandomState(0), []
    for cls in filter(inspect.isclass, _public()):
        name = cls.__name__
        own = _data_of(rng, name, True) if issubclass(cls, BaseEstimator) else {}
        own |= OF_SUBJECT.get(name, {})
        for method in _methods(cls):
            try:
                _asked(rng, cls, method, own | _data_of_method(name, method, True))
            except LookupError as error:
                missing.append(f"{name}.{method}: {error}")
    return missing
