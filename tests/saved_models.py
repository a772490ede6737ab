"""Fitted models of every kind that a model file may hold."""

from functools import cache

import numpy as np
from numpy.random import RandomState
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_codex import (
    AnnotatorRewardModel,
    BestOfNSampler,
    BootstrapRewardEnsemble,
    CandidatePolicy,
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    GRPOPolicyOptimizer,
    KTOPolicyOptimizer,
    ModelRatings,
    NGramCounter,
    NGramFeatures,
    NGramLM,
    PairVectorizer,
    PlackettLuceModel,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RewardUncertainty,
    RLOOPolicyOptimizer,
    SFTRefiner,
    TiePreferenceModel,
    TokenCounter,
    UnigramLM,
    make_rlhf_pipeline,
    stack_rankings,
)
from sklearn_codex.exact import CandidateObjective, NGramObjective
from sklearn_codex.features import ResponseFeatures
from sklearn_codex.kl_control import AdaptiveKLController, FixedKLController
from sklearn_codex.overoptimization import ConservativeReward
from sklearn_codex.rules import BannedNGrams, BannedTokens, Pattern, TokenBudget

TEXTS = ["the cat sat", "the dog sat on the cat", "a bird\u00e9 flew"]
WORDS = ["the", "cat", "sat", "dog", "on", "mat", "a", "bird", "flew", "home"]
_RNG = np.random.default_rng(0)
PAIRS = [tuple(" ".join(_RNG.choice(WORDS, 6)) for _ in "ab") for _ in range(24)]
LABELS = np.array([a.count("a") > b.count("a") for a, b in PAIRS], int)
LABELS[:2] = 0, 1
VOTES = [(a, b) for a in "abc" for b in "abc" if a != b] * 4
TOPICS = [
    [*vote, text, i % 3] for i, (vote, (text, _)) in enumerate(zip(VOTES, PAIRS, strict=True))
]
PROMPTS = np.repeat(np.arange(8), 3)
RECORDS = [
    *({"text": text} for text in TEXTS),
    *({"prompt": "say", "completion": text} for text in TEXTS),
    *({"prompt": f"p{i}", "chosen": a, "rejected": b} for i, (a, b) in enumerate(PAIRS)),
]


def _language_models():
    base = UnigramLM().fit(TEXTS)
    yield "counter", TokenCounter("code", eos_token="<eos>").fit(TEXTS)
    yield "stream of counts", TokenCounter().partial_fit(TEXTS).partial_fit(["a b"])
    yield "counter of counts", TokenCounter().fit(np.eye(3, dtype=int))
    yield "unigram", base
    yield "unigram of counts", UnigramLM().fit(np.array([[1, 2, 0], [0, 1, 1]]))
    yield "n-grams", NGramCounter(2, eos_token="<eos>", min_ngram_count=2).fit(TEXTS)
    yield "stream of n-grams", NGramCounter().partial_fit(TEXTS).partial_fit(["a b"])
    yield "n-grams of counts", NGramCounter().fit(np.eye(3, dtype=int))
    yield "n-gram features", NGramFeatures(2, eos_token="<eos>").fit(TEXTS)
    yield "n-gram model", NGramLM(3).fit(TEXTS)
    yield "n-gram model of lower order", NGramLM(2, vectorizer=NGramCounter(3)).fit(TEXTS)
    yield "n-gram model of counts", NGramLM(smoothing=0.5).fit(np.array([[1, 2, 0], [0, 1, 1]]))
    ngrams = NGramLM(2, vectorizer=NGramCounter(3)).fit(TEXTS)
    yield "sft of n-grams", SFTRefiner(FrozenEstimator(ngrams)).fit(TEXTS)
    yield from _policies_of_ngrams(ngrams)
    yield "sft", SFTRefiner(FrozenEstimator(base)).fit(TEXTS)


def _policies_of_ngrams(lower):
    model = FrozenEstimator(NGramLM(vectorizer=NGramCounter(eos_token="<eos>")).fit(TEXTS))
    rewards = [1.0, -1.0, 0.5]
    exact = ExactPolicyOptimizer(model, kl_coef=2.0).fit(TEXTS, rewards, prompts=["the", "a"])
    yield "exact n-grams", exact
    yield "best of n-grams", BestOfNSampler(model, n=2, n_rollouts=8).fit(TEXTS, rewards)
    yield (
        "exact n-grams of lower order",
        ExactPolicyOptimizer(FrozenEstimator(lower)).fit(TEXTS, rewards),
    )
    objective = NGramObjective.of_model(model, kl_coef=2.0).having(token_reward=exact.token_reward_)
    yield "stated n-grams", ExactPolicyOptimizer().fit_objective(objective)


def _reward_models():
    reward = PreferenceRewardModel().fit(PAIRS, LABELS)
    tfidf = PreferenceRewardModel(vectorizer=TfidfVectorizer()).fit(PAIRS, LABELS)
    yield "reward", reward
    yield "reward of differences", PreferenceRewardModel().fit(_RNG.normal(size=(24, 3)), LABELS)
    yield (
        "reward, length",
        PreferenceRewardModel(control_length=True, position_bias=True).fit(PAIRS, LABELS),
    )
    yield "reward, authors", PreferenceRewardModel().fit(PAIRS, LABELS, authors=VOTES)
    yield (
        "reward, preset",
        PreferenceRewardModel(vectorizer="preference").fit(PAIRS * 2, [*LABELS] * 2),
    )
    yield "reward, tf-idf", tfidf
    ngrams = NGramCounter(2)
    yield "reward, n-grams", PreferenceRewardModel(vectorizer=ngrams).fit(PAIRS, LABELS)
    yield (
        "reward, stream",
        PreferenceRewardModel(vectorizer=FrozenEstimator(reward.vectorizer_)).partial_fit(
            PAIRS, LABELS, classes=[0, 1]
        ),
    )
    yield "reward, cv", PreferenceRewardModelCV(Cs=3, cv=2).fit(PAIRS, LABELS)
    yield "ratings", ModelRatings(position_bias=True).fit(VOTES, LABELS, groups=PROMPTS)
    yield "ratings of ties", ModelRatings("davidson").fit(VOTES, [0, 0.5, 1] * 8)
    words = ["a", "tie", "b", "both_bad"] * 6
    yield "ratings of both bad", ModelRatings("both-bad").fit(VOTES, words)
    two_ways = np.column_stack([PROMPTS, np.arange(24) % 5])
    yield "ratings by two ways", ModelRatings().fit(VOTES, LABELS, groups=two_ways)
    yield "ratings of differences", ModelRatings().fit(_RNG.normal(size=(24, 3)), LABELS)
    yield (
        "ratings by topic",
        ModelRatings(topics=2, topic_vectorizer=TfidfVectorizer()).fit(TOPICS, LABELS),
    )
    yield "ties", TiePreferenceModel().fit(PAIRS, [0, 0.5, 1] * 8)
    rows = stack_rankings([["the cat", "a dog", "home"], ["a bird", "on the mat"]])
    yield "rankings", PlackettLuceModel().fit(rows.X, rows.y, groups=rows.groups)
    yield "annotators", AnnotatorRewardModel().fit(PAIRS, LABELS, annotators=["x", "y"] * 12)
    yield "vectorizer", PairVectorizer().fit(PAIRS)
    yield "features", ResponseFeatures().fit(TEXTS)
    yield "features, frames", ResponseFeatures().set_output(transform="pandas").fit(TEXTS)
    for method in ("dense", "dual", "low_rank"):
        yield f"uncertainty, {method}", RewardUncertainty(reward, method=method).fit(PAIRS, LABELS)
    yield (
        "uncertainty, sandwich",
        RewardUncertainty(kind="sandwich").fit(PAIRS, LABELS, groups=PROMPTS),
    )
    yield (
        "uncertainty, length",
        RewardUncertainty(PreferenceRewardModel(control_length=True), method="dual").fit(
            PAIRS, LABELS
        ),
    )
    yield "ensemble", BootstrapRewardEnsemble(n_estimators=3, random_state=0).fit(PAIRS, LABELS)
    yield (
        "lower bound",
        RewardUncertainty(kind="sandwich")
        .fit(PAIRS, LABELS, groups=PROMPTS)
        .conservative_reward(reference=TEXTS),
    )
    yield "conservative", ConservativeReward([FrozenEstimator(reward), FrozenEstimator(tfidf)])


def _policies():
    base = FrozenEstimator(UnigramLM().fit(TEXTS))
    reward = FrozenEstimator(PreferenceRewardModel().fit(PAIRS, LABELS))
    short = {"max_iter": 3, "tol": 0, "random_state": 0}
    yield "ppo, logged", PPOPolicyOptimizer(base, **short).fit(TEXTS, [1.0, 0.0, 2.0])
    rules = [BannedTokens(["dog"]), TokenBudget(["cat"], budget=1), Pattern("mat", max_rate=0.2)]
    rules.append(BannedNGrams(["cat sat", "<s> dog"]))
    yield "ppo, rules", PPOPolicyOptimizer(base, reward, rules=rules, **short).fit(TEXTS)
    hard = [BannedTokens(["dog"], hard=True)]
    yield "ppo, ban", PPOPolicyOptimizer(base, reward, rules=hard, **short).fit(TEXTS)
    yield "ppo, demonstrations", PPOPolicyOptimizer(base, reward, sft_coef=0.5, **short).fit(TEXTS)
    for controller in (AdaptiveKLController(1.0), FixedKLController()):
        name = f"ppo, {type(controller).__name__}"
        yield name, PPOPolicyOptimizer(base, reward, kl_controller=controller, **short).fit(TEXTS)
    eos = UnigramLM(vectorizer=TokenCounter(eos_token="<eos>")).fit(TEXTS)
    ending = PPOPolicyOptimizer(FrozenEstimator(eos), reward, max_length=9, **short)
    yield "ppo, eos", ending.fit(TEXTS)
    seeded = PPOPolicyOptimizer(base, max_iter=2, tol=0, random_state=RandomState(3))
    yield "ppo, random state", seeded.fit(TEXTS, [1.0, 0.0, 2.0])
    ridge = make_pipeline(StandardScaler(with_mean=False), Ridge())
    counts = UnigramLM().fit(TEXTS).vectorizer_.transform(TEXTS)
    ridge.fit(counts, [0.0, 1.0, 2.0])
    yield "ppo, regressor", PPOPolicyOptimizer(base, FrozenEstimator(ridge), **short).fit(counts)
    yield "grpo", GRPOPolicyOptimizer(base, reward, **short).fit(TEXTS)
    yield "rloo", RLOOPolicyOptimizer(base, reward, **short).fit(TEXTS)
    yield "exact", ExactPolicyOptimizer(base, reward).fit(TEXTS)
    yield "exact, eos", ExactPolicyOptimizer(FrozenEstimator(eos), reward, max_length=9).fit(TEXTS)
    yield "best of n", BestOfNSampler(base, reward, random_state=0).fit(TEXTS)
    rows = [("say", text) for text in TEXTS]
    yield "candidates", CandidatePolicy(reward, rules=Pattern("mat", penalty=2.0)).fit(rows)
    yield "candidates, learned", CandidatePolicy().fit(rows, [1.0, 0.0, 2.0])
    chosen = CandidateObjective(
        np.log([0.1, 0.2, 0.3, 0.15, 0.25]), np.arange(5.0), np.array([0, 1, 0, 1, 1])
    ).having(penalty=np.array([0.0, np.inf, 0.5, 0.0, 0.0]), features=np.eye(5)[:, :3])
    yield "stated candidates", ExactPolicyOptimizer().fit_objective(chosen)
    yield "stated candidates, grpo", GRPOPolicyOptimizer(**short).fit_objective(chosen)
    judged = KTOPolicyOptimizer().fit_objective(chosen, [0, 2, 3, 4], [1, 0, 0, 1])
    yield "stated candidates, kto", judged
    yield "stated candidates, dpo", DPOPolicyOptimizer().fit_objective(chosen, [(0, 2)] * 2, [1, 0])
    yield "dpo", DPOPolicyOptimizer().fit(PAIRS, LABELS)
    ordered = FrozenEstimator(NGramLM(2, vectorizer=NGramCounter(2, eos_token="</s>")).fit(TEXTS))
    yield "dpo, n-grams", DPOPolicyOptimizer(ordered).fit(PAIRS, LABELS)
    yield "kto", KTOPolicyOptimizer().fit(TEXTS, np.arange(len(TEXTS)) % 2)
    stages = [UnigramLM(), SFTRefiner(), PreferenceRewardModel(), PPOPolicyOptimizer(**short)]
    yield "loop", make_rlhf_pipeline(*stages).fit(RECORDS)
    yield "loop, left out", make_rlhf_pipeline(stages[0], "passthrough", stages[2]).fit(RECORDS)


def _of_scikit_learn():
    search = GridSearchCV(PreferenceRewardModel(), {"C": [0.1, 1]}, cv=2)
    yield "search", search.fit(PAIRS, LABELS)
    scored = GridSearchCV(PreferenceRewardModel(), {"C": [0.1, 1]}, cv=2, scoring="neg_log_loss")
    yield "search, scorer", scored.fit(PAIRS, LABELS)
    for method in ("sigmoid", "isotonic", "temperature"):
        model = CalibratedClassifierCV(PreferenceRewardModel(), method=method, cv=2)
        yield f"calibrated, {method}", model.fit(PAIRS, LABELS)
    by_hand = make_pipeline(PairVectorizer(), LogisticRegression(fit_intercept=False))
    yield "by hand", by_hand.fit(PAIRS, LABELS)


@cache
def saved_models():
    """Return fitted models by names."""
    parts = (_language_models(), _reward_models(), _policies(), _of_scikit_learn())
    return {name: model for part in parts for name, model in part}
