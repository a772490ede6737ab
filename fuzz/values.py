"""Good values of arguments, by their names and by the constraints that parameters declare."""

from collections.abc import Callable
from functools import cache
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils._param_validation import Interval, Options, StrOptions

import sklearn_codex
from fuzz import lab_values
from fuzz.data import (
    COUNTS,
    DIFFERENCES,
    LABELS,
    LOG_P,
    MANY,
    RECORDS,
    SOFT,
    TEXTS,
    VOTES,
    N,
    V,
    fitted,
    groups,
    labels,
    log_prob,
    ngram_model,
    numbers,
    objective,
    pairs,
    probabilities,
    rule,
    votes,
)
from sklearn_codex import (
    PreferenceRewardModel,
)
from sklearn_codex.exact import AdditiveObjective

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
    "reference_log_prob": log_prob,
    "token_log_prob": log_prob,
    "log_prob": log_prob,
    "token_reward": lambda rng: np.round(rng.normal(size=V), 1),
    "penalty": lambda rng: np.array([0.0, 1, 0, 2]),
    "frequencies": lambda rng: np.array([0.1, 0.2, 0.3, 0.4]),
    "target_kl": lambda rng: 0.1,
    "longest": lambda rng: 20,
    "kl_coefs": lambda rng: np.array([0.5, 1.0]),
    "eos": lambda rng: 3,
    "banned": lambda rng: [1],
    "tokens": lambda rng: [0, 1],
    "ngrams": lambda rng: [[0, 1], [2]],
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
    *("n_documents", *lab_values.QUICK),
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


def _of_events(rng, value):
    """Return a value of the arcs of bigrams (E,), 0 for other events."""
    trie = ngram_model().trie_
    return np.where(np.arange(trie.n_events) < trie.n_arcs, value, 0.0)


def _explained(rng):
    """Return the prompts and responses (40, 3) of as many prompts."""
    words = np.array(["oak", "elm", "fir", "ash", "yew"])
    texts = [" ".join(words[rng.randint(5, size=4)]) for _ in range(80)]
    return np.array([[f"ask {i}", texts[i], texts[40 + i]] for i in range(40)], dtype=object)


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
    "NGramObjective": {
        "reference_log_prob": lambda rng: ngram_model().backoff_model_.event_log_prob,
        "token_reward": lambda rng: _of_events(rng, -0.2), "trie": lambda rng: ngram_model().trie_,
        "penalty": lambda rng: _of_events(rng, 0.5),
        "frequencies": lambda rng: _of_events(rng, 0.1),
        "initial": None, "kl_coef": lambda rng: 2.0, "model": lambda rng: ngram_model(),
        "log_prob": lambda rng: ngram_model().backoff_model_.event_log_prob,
        **dict.fromkeys(("values", "others", "change"), lambda rng: _of_events(rng, 0.3)),
        "marked": lambda rng: _of_events(rng, 1.0) > 0, "n_points": lambda rng: 5,
        "max_rate": lambda rng: 0.1, "target_kl": lambda rng: 0.01, "kl_coefs": lambda rng: [2.0],
        "weight": lambda rng: np.ones(ngram_model().trie_.n_contexts),
        "of_contexts": lambda rng: rng.normal(size=ngram_model().trie_.n_contexts),
    },
    "arc_reward": {
        "model": lambda rng: ngram_model(),
        "ngram_reward": lambda rng: ({"a b": 1.0}, [0.5, 0.2])[rng.randint(2)],
    },
    "explain_reward": {
        "estimator": lambda rng: None, "X": lambda rng: rng.normal(size=(40, 2, 3)),
        "embedder": None,
        "y": lambda rng: np.arange(40) % 2, "texts": _explained, "groups": None,
        "n_directions": lambda rng: 2, "name": None,
    },
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
    "BannedNGrams": {"penalty": lambda rng: 1.0, "names": lambda rng: None},
    "BannedTokens": {"penalty": lambda rng: 1.0, "names": lambda rng: None},
    "TokenBudget": {"penalty": lambda rng: 1.0, "names": lambda rng: None},
    "Pattern": {"penalty": lambda rng: 1.0, "names": lambda rng: None},
    "bigram_model": {
        "transition": lambda rng: rng.dirichlet(np.ones(V), V),
        "initial": lambda rng: rng.dirichlet(np.ones(V)),
        "backoff": lambda rng: None, "unigram": lambda rng: None, "eos": lambda rng: None,
    },
    "constrained_optimum": {
        "objective": lambda rng: AdditiveObjective(LOG_P, np.array([1.0, 0, 0, 0]), length=3),
    },
    "ConservativeReward": {"models": lambda rng: [fitted("reward", False).estimator] * 2},
    "BestOfNSampler": {"n": lambda rng: 3, "n_rollouts": None},
    "TiePreferenceModel": {"y": lambda rng: np.array([1, 0, 0.5, 1, 0, 0.5, 1, 0])},
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
    **lab_values.OF_SUBJECT,
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
