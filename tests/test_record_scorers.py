"""Scorers of the loop on records: what they measure, and that they choose."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_validate

from sklearn_codex import (
    ExactPolicyOptimizer,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    RewardUncertainty,
    RLHFPipeline,
    SFTRefiner,
    UnigramLM,
    balance_positions,
)
from sklearn_codex.exact import AdditiveObjective
from sklearn_codex.metrics import preference_accuracy, preference_log_loss
from sklearn_codex.model_selection import HeldOutRewardScorer, RecordKFold, record_scorers

WORDS = ["good", "fine", "day", "bad", "rain", "mud"]
WORTH = np.array([2.0, 1.0, 0.5, -2.0, -1.0, -0.5])


def make_records(n_preferences=60, seed=0):
    """Records whose preferences are drawn from a Bradley-Terry model of the worth of words."""
    rng = np.random.RandomState(seed)

    def draw():
        words = rng.randint(len(WORDS), size=6)
        return " ".join(WORDS[word] for word in words), WORTH[words].sum()

    records = [{"text": draw()[0]} for _ in range(20)]
    records += [{"prompt": f"d{i}", "completion": draw()[0]} for i in range(12)]
    for i in range(n_preferences):
        (a, worth_a), (b, worth_b) = draw(), draw()
        chosen, rejected = (a, b) if rng.uniform() < expit(worth_a - worth_b) else (b, a)
        records.append({"prompt": f"p{i}", "chosen": chosen, "rejected": rejected})
    return records


def make_loop(policy=None):
    policy = ExactPolicyOptimizer() if policy is None else policy
    steps = [("pretrain", UnigramLM()), ("sft", SFTRefiner()), ("reward", PreferenceRewardModel())]
    return RLHFPipeline([*steps, ("policy", policy)])


@pytest.fixture(scope="module")
def records():
    return make_records()


@pytest.fixture(scope="module")
def held_out():
    return make_records(seed=1)


@pytest.fixture(scope="module")
def loop(records):
    return make_loop().fit(records)


def test_preference_scorers_judge_the_reward_on_the_preferences_given(loop, held_out):
    pairs = [(r["chosen"], r["rejected"]) for r in held_out if "chosen" in r]
    chosen, rejected = (loop.reward(list(side)) for side in zip(*pairs, strict=True))
    label = np.ones(len(pairs))
    accuracy = preference_accuracy(label, chosen - rejected)
    loss = preference_log_loss(label, expit(chosen - rejected))
    assert record_scorers["preference_accuracy"](loop, held_out) == pytest.approx(accuracy)
    assert record_scorers["neg_preference_log_loss"](loop, held_out) == pytest.approx(-loss)
    assert accuracy > 0.7


def test_demonstration_scorer_is_the_likelihood_per_token(loop, held_out):
    completions = [r["completion"] for r in held_out if "completion" in r]
    n_tokens = sum(len(text.split()) for text in completions)
    expected = loop.score_samples(completions).sum() / n_tokens
    assert record_scorers["demonstration_log_likelihood"](loop, held_out) == pytest.approx(expected)


def test_scorers_serve_cross_validation_of_several_metrics(records):
    results = cross_validate(make_loop(), records, cv=RecordKFold(3), scoring=record_scorers)
    for name in record_scorers:
        assert np.isfinite(results[f"test_{name}"]).all()


def test_score_is_the_objective_with_a_reward_of_the_fold(loop, held_out):
    gold = PreferenceRewardModel(C=0.1, vectorizer=FrozenEstimator(loop.vectorizer_))
    pairs = np.array([[r["chosen"], r["rejected"]] for r in held_out if "chosen" in r])
    # The orientation of a pair does not change what a Bradley-Terry model learns.
    labels = np.arange(len(pairs)) % 2
    pairs[labels == 0] = pairs[labels == 0][:, ::-1]
    gold.fit(pairs, labels)
    policy = loop.named_steps_.policy
    objective = AdditiveObjective(
        policy.reference_log_prob_, gold.coef_[0], length=policy.response_length_, kl_coef=0.7
    )
    scorer = HeldOutRewardScorer(PreferenceRewardModel(C=0.1), kl_coef=0.7)
    assert scorer(loop, held_out) == pytest.approx(
        objective.value(policy.token_log_prob_), rel=1e-6
    )


def test_a_gold_reward_may_be_a_model_around_a_reward_model(loop, held_out):
    model = PreferenceRewardModel(C=0.1)
    plain = HeldOutRewardScorer(model, kl_coef=0.7)(loop, held_out)
    around = HeldOutRewardScorer(RewardUncertainty(model), kl_coef=0.7)(loop, held_out)
    assert around == pytest.approx(plain, rel=1e-6)


def test_a_gold_reward_that_does_not_add_is_a_mean_over_documents(loop, held_out):
    model = PreferenceRewardModel(C=0.1, vectorizer=CountVectorizer(binary=True))
    scores = [HeldOutRewardScorer(model, random_state=seed)(loop, held_out) for seed in range(4)]
    pairs = [(r["chosen"], r["rejected"]) for r in held_out if "chosen" in r]
    gold = model.fit(*balance_positions(pairs, random_state=0))
    rewards = gold.reward(loop.sample(20_000, random_state=0))
    error = rewards.std() / np.sqrt(4096)
    assert np.ptp(scores) > 0
    assert np.mean(scores) == pytest.approx(rewards.mean(), abs=4 * error)


@pytest.mark.parametrize("kl_coef", [0.5, 2.0])
def test_with_the_optimised_reward_as_gold_the_best_kl_coef_is_the_price(records, kl_coef):
    # Trained and scored on the same preferences, both rewards are the same model.
    everything = [(np.arange(len(records)), np.arange(len(records)))]
    search = GridSearchCV(
        make_loop(),
        {"policy__kl_coef": [0.25, 0.5, 1.0, 2.0, 4.0]},
        scoring=HeldOutRewardScorer(kl_coef=kl_coef),
        cv=everything,
    ).fit(records)
    assert search.best_params_ == {"policy__kl_coef": kl_coef}


def test_held_out_reward_prefers_a_smaller_kl_where_preferences_are_few():
    # With 12 noisy preferences the reward overstates; the score of the loop cannot know.
    gains = []
    for seed in range(5):
        few, many = make_records(12, seed=seed), make_records(400, seed=100 + seed)
        scorer = HeldOutRewardScorer(kl_coef=1.0)
        scores = [
            scorer(make_loop(ExactPolicyOptimizer(kl_coef=kl_coef)).fit(few), many)
            for kl_coef in (0.02, 1.0)
        ]
        gains.append(scores[1] - scores[0])
    assert min(gains) > 0


def test_ppo_and_the_exact_policy_score_alike(records, held_out):
    scorer = HeldOutRewardScorer(kl_coef=1.0)
    scores = [
        scorer(make_loop(policy).fit(records), held_out)
        for policy in (ExactPolicyOptimizer(), PPOPolicyOptimizer(random_state=0))
    ]
    assert scores[1] == pytest.approx(scores[0], rel=1e-2)


@pytest.mark.parametrize("name", ["preference_accuracy", "neg_preference_log_loss"])
def test_records_without_preferences_are_an_error(loop, name):
    with pytest.raises(ValueError, match=f"{name} needs preference records, and X has none: 1 cor"):
        record_scorers[name](loop, [{"text": "good"}])


def test_records_without_demonstrations_are_an_error(loop):
    with pytest.raises(ValueError, match="needs demonstration records"):
        record_scorers["demonstration_log_likelihood"](loop, [{"text": "good"}])


def test_a_loop_without_optimised_policy_is_an_error(loop, held_out):
    with pytest.raises(TypeError, match=r"policy optimiser.*got RLHFPipeline"):
        HeldOutRewardScorer()(loop[:3], held_out)
    with pytest.raises(TypeError, match="got UnigramLM"):
        HeldOutRewardScorer()(loop.named_steps_.pretrain, held_out)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        *(("kl_coef", value) for value in (-1.0, np.inf, np.nan, "1", None)),
        *(("n_samples", value) for value in (0, -5, 2.5, "many", None)),
        *(("random_state", value) for value in (-1, 2**32, 0.5, np.random.RandomState(0))),
        *(("reward_model", value) for value in ("model", len)),
    ],
)
def test_parameters_are_checked_when_they_are_given(parameter, value):
    message = f"The '{parameter}' parameter of HeldOutRewardScorer must be"
    with pytest.raises(ValueError, match=message):
        HeldOutRewardScorer(**{parameter: value})


def test_repr_shows_the_options():
    assert "kl_coef=2.0" in repr(HeldOutRewardScorer(kl_coef=2.0))
