"""What is called: every public class and function, with good arguments by their names."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions

import sklearn_codex
from sklearn_codex import (
    PairsWithLength,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    ResponseIds,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    make_rlhf_pipeline,
)
from sklearn_codex.exact import AdditiveObjective, CandidateObjective, EosObjective
from sklearn_codex.rules import BannedTokens, Pattern, Rule, TokenBudget
from sklearn_codex.sequential import BigramObjective, BigramReference

MODULES = (
    *("exact", "features", "health", "inspection", "kl_control", "labels", "metrics"),
    *("model_selection", "overoptimization", "rules", "sequential", "datasets"),
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
    *("LengthExplosionError", "LengthExplosionWarning", "get_preference_scorer", "check_rules"),
}
N, V = 8, 4
TEXTS = ["a b", "b c d", "a a", "d", "c b a", "b", "a d", "c c"]
OTHERS = ["b a", "c", "d d a", "a b c", "c", "d a", "b b", "a"]
VOTES = [("a", "b"), ("b", "c"), ("c", "a"), ("b", "a")] * 2
PROMPTS = ["p", "p", "q", "q", "r", "r", "s", "s"]
RNG = np.random.RandomState(0)
COUNTS = RNG.poisson(1.0, size=(N, V)) + 1.0
DIFFERENCES = np.round(RNG.normal(size=(N, V)), 1)
MANY = RNG.normal(size=(240, V))
LABELS = np.array([1, 0, 1, 1, 0, 0, 1, 0])
SOFT = np.array([0.9, 0.2, 0.5, 1.0, 0.0, 0.3, 0.7, 0.5])
LOG_P = np.log([0.4, 0.3, 0.2, 0.1])
RECORDS = [
    *({"text": text} for text in TEXTS[:3]),
    *({"prompt": p, "completion": text} for p, text in zip("pq", TEXTS, strict=False)),
    *({"prompt": p, "chosen": a, "rejected": b}
      for p, a, b in zip("pqrs", TEXTS, OTHERS, strict=False)),
]  # fmt: skip

OF_PAIRS = {
    *("AnnotatorRewardModel", "BootstrapRewardEnsemble", "DPOPolicyOptimizer", "PairVectorizer"),
    *("PreferenceRewardModel", "PreferenceRewardModelCV", "RewardUncertainty"),
    "TiePreferenceModel",
}
OF_VOTES = {"ModelRatings"}
OF_RANKINGS = {"PlackettLuceModel"}
OF_RECORDS = {"RLHFPipeline"}
OF_POLICIES = {
    *("BestOfNSampler", "ExactPolicyOptimizer", "PPOPolicyOptimizer", "RLOOPolicyOptimizer"),
}
OF_DOCUMENTS = {"predict", "predict_log_proba", "reward", "score_samples", "perplexity"}
SKIPPED_METHODS = {
    "to_arpa",
    "token_violations",
    "get_params",
    "set_params",
    "get_metadata_routing",
    "set_output",
}
# What optimisers ask objectives about what they made themselves.
OF_OPTIMISERS = {
    "having",
    "sample",
    "token_advantages",
    "explain_explosion",
    "cost_floor",
    "check_costs",
    "check_free",
    "project",
}


@dataclass(frozen=True)
class Subject:
    """Something to call: ``draw(rng)`` gives good arguments by name, ``call(arguments)`` calls."""

    name: str
    draw: Callable[[np.random.RandomState], dict[str, Any]]
    call: Callable[[dict[str, Any]], Any]
    weight: float = 1.0


@cache
def fitted(kind: str, text: Any):
    """Return a fitted model that others need, of text, of text with "eos", or of counts."""
    X = TEXTS if text else COUNTS
    if kind == "LM":
        counter = TokenCounter(eos_token="<eos>") if text == "eos" else None
        return FrozenEstimator(UnigramLM(vectorizer=counter).fit(X))
    data = [*zip(TEXTS, OTHERS, strict=True)] if text else DIFFERENCES
    vectorizer = FrozenEstimator(fitted("LM", text).estimator.vectorizer_) if text else None
    reward = FrozenEstimator(PreferenceRewardModel(vectorizer=vectorizer).fit(data, LABELS))
    if kind == "reward":
        return reward
    gold = reward if kind == "watched policy" else None
    return PPOPolicyOptimizer(
        policy=fitted("LM", text), reward_model=reward, gold_reward=gold, max_iter=2, tol=0,
        random_state=0,
    ).fit(X)  # fmt: skip


@cache
def fitted_pipeline():
    """Return a fitted pipeline."""
    return make_rlhf_pipeline(
        UnigramLM(),
        PreferenceRewardModel(),
        PPOPolicyOptimizer(max_iter=2, tol=0, random_state=0),
    ).fit(RECORDS)


def frame_of_pairs():
    """Return the pairs of text as a data frame."""
    return pd.DataFrame({"prompt": PROMPTS, "response_a": TEXTS, "response_b": OTHERS})


def documents(rng, text=None):
    """Return documents, as text or as counts."""
    if text is None:
        text = rng.rand() < 0.5
    if text:
        return list(TEXTS)
    forms = (COUNTS.copy, lambda: sp.csr_array(COUNTS),
             lambda: pd.DataFrame(COUNTS, columns=list("abcd")))  # fmt: skip
    return forms[rng.randint(3)]()


def pairs(rng, text=None):
    """Return pairs, as text or as differences."""
    if text is None:
        text = rng.rand() < 0.5
    if not text:
        forms = (DIFFERENCES.copy, lambda: sp.csr_array(DIFFERENCES),
                 lambda: pd.DataFrame(DIFFERENCES, columns=list("abcd")))  # fmt: skip
        return forms[rng.randint(3)]()
    forms = (
        lambda: [*zip(TEXTS, OTHERS, strict=True)],
        lambda: [*zip(PROMPTS, TEXTS, OTHERS, strict=True)],
        frame_of_pairs,
    )
    return forms[rng.randint(3)]()


def pairs_of_vectors(rng):
    """Return pairs of vectors, as an array of any width, as their ids, or with lengths."""
    vectors = np.stack([DIFFERENCES, -DIFFERENCES], axis=1)
    kind = (np.float64, np.float32, np.float16)[rng.randint(3)]
    forms = (
        lambda: vectors.astype(kind),
        lambda: vectors.tolist(),
        lambda: ResponseIds(rng.randint(N, size=(N, 2)), COUNTS.astype(kind)),
        lambda: PairsWithLength(vectors, np.arange(N)),
    )
    return forms[rng.randint(4)]()


def labels(rng):
    """Return labels of pairs: two classes, names of them, or probabilities."""
    forms = (
        LABELS.copy,
        SOFT.copy,
        lambda: LABELS.astype(bool),
        lambda: np.array(["lost", "won"])[LABELS].tolist(),
        lambda: LABELS.tolist(),
    )
    return forms[rng.choice(5, p=[0.5, 0.2, 0.1, 0.1, 0.1])]()


def groups(rng):
    """Return the prompt of each pair."""
    forms = (lambda: np.repeat(np.arange(4), 2), lambda: list(PROMPTS),
             lambda: [0, "a", 0, 1, 1, "b", "b", "a"])  # fmt: skip
    return forms[rng.randint(3)]()


def votes():
    """Return votes (6, 3) with a missing one."""
    return np.array([[1, 1, 0], [0, 0, 0], [1, np.nan, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1]])


def probabilities(rng):
    """Return predictions (n_pairs,)."""
    return np.round(rng.rand(N), 2)


def numbers(rng):
    """Return scores (n_pairs,)."""
    return np.round(rng.normal(size=N), 1)


def rule(rng):
    """Return a list of rules for policies of counts."""
    one = (
        BannedTokens([0]),
        TokenBudget([1], budget=1),
        Pattern("a"),
        BannedTokens([2], hard=True),
        BannedTokens([0], max_rate=0.3),
    )
    return [one[rng.randint(len(one))]]


def objective(rng):
    """Return an exact objective."""
    if rng.rand() < 0.5:
        return AdditiveObjective(LOG_P, np.array([1.0, 0, 0, -1]), length=3)
    return EosObjective(LOG_P, np.array([-1.0, 0, 0, 0]), eos=3, max_length=5)


def bigrams(rng):
    """Return a bigram reference."""
    return BigramReference.from_texts(TEXTS, prior_strength=float(rng.randint(3)))


def _log_prob(rng):
    p = rng.dirichlet(np.ones(V))
    return np.log(p)


# Good values by the name of an argument, wherever it stands.
VALUES: dict[str, Callable[[np.random.RandomState], Any]] = {
    "y": labels,
    "y_true": lambda rng: (LABELS.copy, SOFT.copy)[rng.randint(2)](),
    "y_prob": probabilities,
    "sample_weight": lambda rng: rng.randint(0, 3, size=N) + np.array([1.0, 1, *[0] * 6]),
    "weights": lambda rng: {"x": 1.0, "y": 2.0},
    "groups": groups,
    "annotators": groups,
    "random_state": lambda rng: 0,
    "confidence_level": lambda rng: 0.9,
    "confidence": lambda rng: 0.9,
    "n_resamples": lambda rng: 30,
    "n_samples": lambda rng: 3,
    "n_documents": lambda rng: 3,
    "max_length": lambda rng: 6,
    "response_length": lambda rng: 3,
    "length": lambda rng: 3,
    "n_bins": lambda rng: 3,
    "n": lambda rng: 3,
    "ns": lambda rng: np.array([1, 2, 3]),
    "k": lambda rng: 1.0,
    "margin": numbers,
    "gold": numbers,
    "score": numbers,
    "values": numbers,
    "reward_a": numbers,
    "reward_b": numbers,
    "rewards": numbers,
    "samples": numbers,
    "length_difference": lambda rng: rng.randint(-9, 9, size=N).astype(float),
    "slices": lambda rng: {"x": LABELS == 1, "y": LABELS == 0},
    "votes": lambda rng: votes(),
    "scores": lambda rng: rng.rand(5, 3),
    "counts": lambda rng: np.array([[2, 1], [0, 3], [3, 0], [1, 2]]),
    "correct": lambda rng: (LABELS == 1),
    "subset": lambda rng: list("xxyyxyxy"),
    "sections": lambda rng: {"one": ["x"], "two": ["y"]},
    "outcomes": lambda rng: SOFT.copy(),
    "share": lambda rng: 0.4,
    "metric_a": numbers,
    "metric_b": numbers,
    "labels": lambda rng: ["A", "B", "tie", "A"],
    "grades": lambda rng: np.array([1, 2, -1, 0, 3]),
    "convention": lambda rng: {"A": 1, "B": 0, "tie": 0.5},
    "names": lambda rng: list("xyz"),
    "reference_log_prob": _log_prob,
    "token_log_prob": _log_prob,
    "log_prob": _log_prob,
    "log_tilt": lambda rng: np.round(rng.normal(size=(3, V)), 1),
    "token_reward": lambda rng: np.round(rng.normal(size=V), 1),
    "penalty": lambda rng: np.array([0.0, 1, 0, 2]),
    "frequencies": lambda rng: np.array([0.1, 0.2, 0.3, 0.4]),
    "target_kl": lambda rng: 0.1,
    "kl_coefs": lambda rng: np.array([0.5, 1.0]),
    "eos": lambda rng: 3,
    "banned": lambda rng: [1],
    "tokens": lambda rng: [0, 1],
    "max_probability": lambda rng: 0.2,
    "costs": lambda rng: np.array([[1.0, 0, 0, 0]]),
    "budgets": lambda rng: np.array([0.5]),
    "n_columns": lambda rng: V,
    "position": lambda rng: 1,
    "objective": objective,
    "rules": rule,
    "coef": lambda rng: np.array([1.0, -1, 0]),
    "n_pairs": lambda rng: 6,
    "n_features": lambda rng: 3,
    "n_prompts": lambda rng: 3,
    "document_length": lambda rng: 4,
    "rankings": lambda rng: [["a", "b", "c"], ["d", "e"]],
    "prompts": lambda rng: ["p", "q"],
    "top": lambda rng: 1,
    "classes": lambda rng: [0, 1],
    "pattern": lambda rng: "a b",
    "target": lambda rng: 3.0,
    "horizon": lambda rng: 100,
    "kl": lambda rng: 1.0,
    "kl_coef": lambda rng: 0.5,
    "texts": lambda rng: list(TEXTS),
    "sequences": lambda rng: [[0, 1, 2], [3, 1], [2, 2]],
    "transition": lambda rng: (lambda P: P if rng.rand() < 0.5 else sp.csr_array(P))(
        rng.dirichlet(np.ones(V), size=V)),
    "initial": lambda rng: rng.dirichlet(np.ones(V)),
    "backoff": lambda rng: np.zeros(V),
    "unigram": lambda rng: np.full(V, 1 / V),
    "train_sizes": lambda rng: [0.5, 1.0],
    "bins": lambda rng: 3,
    "test_size": lambda rng: 0.5,
    "input_features": lambda rng: list("abcd"),
    "models": lambda rng: [fitted("reward", False).estimator],
    "gold_reward": lambda rng: fitted("reward", False),
    "vocabulary": lambda rng: list("abcd"),
    "tokenizer": lambda rng: ("whitespace", "word", "char", str.split)[rng.randint(4)],
    "Cs": lambda rng: (2, [0.1, 1.0])[rng.randint(2)],
    "cv": lambda rng: 2,
    "max_iter": lambda rng: 3,
    "n_rollouts": lambda rng: 8,
    "n_estimators": lambda rng: 2,
    "n_starts": lambda rng: 2,
    "pos_label": lambda rng: None,
    "split": lambda rng: ["train", "test"] * 4,
    "stage": lambda rng: None,
    "params": lambda rng: {},
}  # fmt: skip
# Given in every call, since the default takes long, or is random.
ALWAYS = {
    *("random_state", "n_resamples", "n_samples", "max_iter", "n_rollouts", "n_estimators", "Cs"),
    *("max_length", "cv", "n_starts", "bootstrap", "response_length", "n_pairs", "n_features"),
}
NEVER = {"input_features", "ax", "n_jobs", "verbose", "memory", "callbacks"}
# Of pictures, which matplotlib reads.
OF_TOKENS = {
    "values": lambda rng: rng.normal(size=V),
    "others": lambda rng: rng.normal(size=V),
    "marked": lambda rng: rng.rand(V) < 0.5,
    "n_points": lambda rng: 5,
    "max_rate": lambda rng: 0.1,
}


def lengths_of(texts):
    """Return a vector of two numbers for each text, as an embedder does."""
    return np.array([[len(text), text.count(" ")] for text in texts], dtype=float)


DRAWN = {"name", "unit", "score_name", "policy_name", "kl_scale", "line_kw", "hist_kw", "bar_kw"}
# Where an argument of that name is another thing.
OF_SUBJECT: dict[str, dict[str, Callable[[np.random.RandomState], Any]]] = {
    "wilson_interval": {"n": lambda rng: 10},
    "expected_max": {"n": lambda rng: 3},
    "best_of_n": {"rewards": lambda rng: np.array([1.0, 0, 2, 1])},
    "best_of_n_accuracy": {"best": lambda rng: [0, 1, 2, 0, 0], "sample_weight": None},
    "sectioned_accuracy": {"weights": lambda rng: {"one": 1.0, "two": 2.0}},
    "label_budget": {
        "estimator": lambda rng: PreferenceRewardModel(), "X": lambda rng: MANY.copy(),
        "y": lambda rng: (MANY[:, 0] > 0).astype(float), "groups": lambda rng: np.arange(240) // 2,
        "factors": lambda rng: [1.5], "n_repeats": lambda rng: 2, "n_test": lambda rng: 40,
        "ceiling": lambda rng: 0.9, "informative": lambda rng: False,
    },
    "CachedEmbedder": {"embedder": lambda rng: lengths_of, "X": lambda rng: list(TEXTS)},
    "side_slices": {
        "first": lambda rng: list("xxyyz"), "second": lambda rng: list("xyzxz"),
        "name": lambda rng: "side",
    },
    "quantile_slices": {"name": lambda rng: "value", "n_bins": lambda rng: 3},
    "grades_to_soft_labels": {"scale": None},
    "votes_to_soft_labels": {"prior_votes": lambda rng: 1.0},
    "annotator_accuracy": {"names": lambda rng: list("xyz")},
    "win_rate": {"pos_label": None},
    "paired_cluster_bootstrap": {"n_resamples": lambda rng: 30},
    "author_share": {
        "estimator": lambda rng: PreferenceRewardModel(), "X": lambda rng: DIFFERENCES.copy(),
        "authors": lambda rng: [*VOTES], "cv": lambda rng: 2,
    },
    "ResponseIds": {
        "ids": lambda rng: [[0, 1], [2, 1]], "features": lambda rng: COUNTS.copy(),
    },
    "PairsWithLength": {
        "pairs": lambda rng: DIFFERENCES.copy(), "length": lambda rng: np.arange(N) - 1.0,
    },
    "AdditiveObjective": OF_TOKENS,
    "EosObjective": OF_TOKENS,
    "CandidateObjective": OF_TOKENS | {
        "prompts": lambda rng: np.array([0, 0, 1, 1]), "features": lambda rng: np.eye(V),
        "prompt_prob": lambda rng: np.array([0.5, 0.5]), "target_kl": lambda rng: 0.01,
    },
    "off_policy_value": {
        "policy_prob": probabilities, "logged_prob": lambda rng: np.full(N, 0.5),
        "predicted": numbers, "predicted_value": numbers, "min_effective_size": lambda rng: 2,
    },
    "EnumeratedObjective": {
        "reward": lambda rng: lambda counts: np.asarray(counts)[:, 0], "length": lambda rng: 2,
    },
    "chance_constrained_optimum": {
        "objective": lambda rng: AdditiveObjective(LOG_P, np.array([1.0, 0, 0, 0]), length=3),
    },
    "BannedTokens": {"penalty": lambda rng: 1.0, "names": lambda rng: None},
    "TokenBudget": {"penalty": lambda rng: 1.0, "names": lambda rng: None},
    "Pattern": {"penalty": lambda rng: 1.0, "names": lambda rng: None},
    "BigramObjective": {
        "reference": bigrams,
        "token_reward": lambda rng: np.round(rng.normal(size=V + 1), 1),
        "log_tilt": lambda rng: np.round(rng.normal(size=(3, V + 1)), 1),
    },
    "constrained_optimum": {
        "objective": lambda rng: AdditiveObjective(LOG_P, np.array([1.0, 0, 0, 0]), length=3),
    },
    "ConservativeReward": {"models": lambda rng: [fitted("reward", False).estimator] * 2},
    "BestOfNSampler": {"n": lambda rng: 3, "n_rollouts": None},
    "TiePreferenceModel": {"y": lambda rng: np.array([1, 0, 0.5, 1, 0, 0.5, 1, 0])},
    "BigramReference": {"eos": lambda rng: None},
    "optimize_bigram_policy": {
        "objective": lambda rng: BigramObjective(
            bigrams(rng), np.arange(bigrams(rng).n_columns) * 1.0, 3),
        "n_rollouts": lambda rng: 16,
    },
    "overoptimization_curve": {
        "reference": lambda rng: fitted("LM", False), "proxy": lambda rng: fitted("reward", False),
        "gold": lambda rng: fitted("reward", False), "n_samples": lambda rng: 32,
        "max_length": None,
    },
    "training_curve": {"optimizer": lambda rng: fitted("watched policy", False)},
    "most_informative_pairs": {
        "model": lambda rng: _uncertain(), "X": lambda rng: pairs(rng, False),
    },
    "balance_positions": {"X": pairs},
    "record_train_test_split": {"X": lambda rng: list(RECORDS)},
    "RecordKFold": {"X": lambda rng: list(RECORDS), "y": None, "groups": None,
                    "n_splits": lambda rng: 2, "random_state": None},
    "check_preferences": {"model": None, "X": pairs, "y": lambda rng: SOFT.copy()},
    "convert_labels": {},
    "orient_pairs": {"y": lambda rng: SOFT.copy(), "X": pairs},
    "expand_soft_labels": {"y": lambda rng: SOFT.copy(), "X": pairs},
    "length_controlled_win_rate": {"y": lambda rng: SOFT.copy()},
    "preference_path": {"X": pairs},
    "GoldRewardScorer": {"estimator": lambda rng: fitted("policy", False)},
    "HeldOutRewardScorer": {"reward_model": lambda rng: PreferenceRewardModel()},
    "FrontierDisplay": {"estimator": lambda rng: fitted("policy", False), "n_samples":
                        lambda rng: 16, "best_of_n": lambda rng: [2]},
    "TokenShiftDisplay": {"estimator": lambda rng: fitted("policy", False),
                          "tokens": lambda rng: list("abcd")},
    "TrainingCurveDisplay": {"estimator": lambda rng: fitted("policy", False)},
    "OveroptimizationDisplay": {"curve": lambda rng: _curve(), "estimator": None},
    "RewardDistributionDisplay": {"X": lambda rng: pairs(rng, True)},
    "PromptLearningCurveDisplay": {
        "estimator": lambda rng: PreferenceRewardModel(), "X": pairs, "groups": groups,
    },
}  # fmt: skip


@cache
def _uncertain():
    return sklearn_codex.RewardUncertainty().fit(DIFFERENCES, LABELS)


@cache
def _curve():
    from sklearn_codex.overoptimization import overoptimization_curve

    return overoptimization_curve(
        fitted("LM", False), fitted("reward", False), fitted("reward", False), n_samples=32,
        random_state=0,
    )  # fmt: skip


def valid_parameter(rng, constraints):
    """Return a value that one of scikit-learn's declared constraints allows; None where none do."""
    found: list[Any] = []
    for constraint in constraints:
        if isinstance(constraint, (StrOptions, Options)):
            found += sorted(constraint.options, key=str)
        elif isinstance(constraint, str) and constraint == "boolean":
            found += [True, False]
        elif isinstance(constraint, Interval) and constraint.type in (Integral, Real):
            found += _within(constraint)
    return found[rng.randint(len(found))] if found else None


def _within(interval):
    low = -2 if interval.left is None else interval.left
    high = low + 4 if interval.right is None else interval.right
    if interval.type is Integral:
        return [int(low) + 1, int(low) + 2][: 2 if high > low + 1 else 1]
    high = low + 4 if not np.isfinite(high) else high
    return [low + share * (high - low) for share in (0.25, 0.5)]


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
    if name == "ResponseFeatures":
        return {"X": lambda rng: [*zip(PROMPTS, TEXTS, strict=True)] if text else list(TEXTS)}
    return {"X": lambda rng: documents(rng, text), "y": numbers}


def _init_of(rng, name, text):
    """Return good values of constructor parameters that need models of the same columns."""
    language = lambda rng: fitted("LM", text)  # noqa: E731
    reward = lambda rng: fitted("reward", text)  # noqa: E731
    own: dict[str, Any] = {"base": language, "policy": language, "reward_model": reward}
    own["rules"] = None if text else rule
    if not text:
        own["control_length"] = None  # numbers have no length
    own["vectorizer"] = (lambda rng: TokenCounter("word")) if text and rng.rand() < 0.5 else None
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


def _methods(cls):
    skipped = SKIPPED_METHODS
    if issubclass(cls, (AdditiveObjective, CandidateObjective, EosObjective)):
        skipped = skipped | OF_OPTIMISERS
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
        called = [*start, *rng.choice(methods, size=min(2, len(methods)), replace=False)]
        for method in called:
            parameters = inspect.signature(getattr(cls, method)).parameters
            of_method = dict(data)
            of_documents = OF_DOCUMENTS if name == "DPOPolicyOptimizer" else {"reward"}
            if method in of_documents and name in OF_PAIRS:
                of_method["X"] = lambda rng: documents(rng, text)
            if name in OF_RECORDS and method in OF_DOCUMENTS:
                of_method["X"] = lambda rng: documents(rng, True)
            if method == "topic_ratings":
                of_method["topics"] = lambda rng: list(TEXTS[:2])
            if method == "conservative_reward":
                of_method["reference"] = lambda rng: documents(rng, text)
            if method in ("inverse_transform", "decode"):
                of_method["X"] = lambda rng: rng.randint(0, 3, size=(2, 6 if text == "eos" else 5))
            given = good_arguments(rng, parameters, own=of_method)
            arguments |= {f"{method}.{key}": value for key, value in given.items()}
        arguments["_called"] = called
        return arguments

    return Subject(name, draw, lambda arguments: _call_methods(cls, arguments), weight=3.0)


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
    name = cls.__name__
    methods = [m for m in _methods(cls) if m not in ("plot", "warn_if_length_explodes")]
    makers = [m for m in ("from_predictions", "from_estimator", "from_curve", "from_texts",
                          "from_sequences") if hasattr(cls, m)]  # fmt: skip
    if name == "OveroptimizationDisplay":
        makers = ["from_curve"]

    def draw(rng):
        own = dict(OF_SUBJECT.get(name, {}))
        if name.endswith("Display") and "estimator" not in own:
            text = rng.rand() < 0.5 or name == "RewardDistributionDisplay"
            own["estimator"] = lambda rng: fitted("reward", text).estimator
            own.setdefault("X", lambda rng: pairs(rng, text))
        maker = makers[rng.randint(len(makers))] if makers and rng.rand() < 0.8 else "init"
        if name.endswith("Display"):
            maker = makers[rng.randint(len(makers))]
        make = cls if maker == "init" else getattr(cls, maker)
        given = good_arguments(rng, inspect.signature(make).parameters, own=own)
        if name.endswith("Display"):
            given = {key: value for key, value in given.items() if key not in DRAWN}
        arguments = {f"{maker}.{key}": value for key, value in given.items()}
        called = []
        if methods and not name.endswith("Display"):
            called = [methods[rng.randint(len(methods))]]
            if called[0] in makers:
                called = []
        for method in called:
            parameters = inspect.signature(getattr(cls, method)).parameters
            if "rollouts" in parameters:
                method, parameters = "__call__", inspect.signature(cls.__call__).parameters
                own["documents"] = lambda rng: list(TEXTS)
                own["tokens"] = lambda rng: ["a", "b"]
                arguments["init.tokens"] = ["a", "b"]
                if name == "Pattern":
                    arguments.pop("init.tokens")
                called = [method]
            given = good_arguments(rng, parameters, own=own)
            arguments |= {f"{method}.{key}": value for key, value in given.items()}
        arguments["_called"], arguments["_maker"] = called, maker
        return arguments

    def call(arguments):
        maker = arguments["_maker"]
        make = cls if maker == "init" else getattr(cls, maker)
        subject = make(**_of(arguments, maker))
        return subject, {
            method: getattr(subject, method)(**_of(arguments, method))
            for method in arguments["_called"]
        }

    return Subject(name, draw, call, weight=0.3 if name.endswith("Display") else 1.0)


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


def discover() -> list[Subject]:
    """Return every public class and function of the package, but for ``LEFT_OUT``, by name."""
    modules = [sklearn_codex, *(importlib.import_module(f"sklearn_codex.{m}") for m in MODULES)]
    public = {
        name: getattr(module, name)
        for module in modules
        for name in module.__all__
        if name not in LEFT_OUT and callable(getattr(module, name))
    }
    return [subject_of(public[name]) for name in sorted(public)]
