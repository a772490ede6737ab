"""What is asked of policies over n-grams: other policies, best of n, logged rewards, pictures."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from ngram_policy_problems import (
    REWARDS,
    TEXTS,
    frozen,
    language_model,
    token_reward_model,
    z_score,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

from sklearn_codex import (
    BestOfNSampler,
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    NGramCounter,
    NGramLM,
    PPOPolicyOptimizer,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    load_model,
    save_model,
)
from sklearn_codex._ngrams.backoff import BackoffModel
from sklearn_codex._persistence.fitted import check_fitted
from sklearn_codex._policy.ngram_tilt import NGramTilt
from sklearn_codex._rollouts import Rollouts
from sklearn_codex.exact import NGramObjective, arc_reward
from sklearn_codex.overoptimization import GoldRewardScorer, overoptimization_curve


@pytest.fixture(scope="module")
def policy():
    return ExactPolicyOptimizer(frozen(), kl_coef=0.7, random_state=0).fit(TEXTS, REWARDS)


@pytest.fixture(scope="module")
def objective(policy):
    return NGramObjective.of_model(language_model(), policy.token_reward_, kl_coef=0.7)


# Other policies


def test_policies_to_evaluate_come_in_many_forms(policy, objective):
    lower = language_model(2, counted=3)
    events = lower.backoff_model_.on(policy.trie_).event_log_prob
    found = [policy.evaluate(given) for given in (lower, lower.backoff_model_, events)]
    assert found[0].objective == found[1].objective == found[2].objective
    assert_allclose(
        found[0].objective, objective.value(events) + policy.reward_model_.intercept_, rtol=1e-9
    )
    unigram = UnigramLM(vectorizer=TokenCounter(eos_token="<eos>")).fit(TEXTS)
    root = BackoffModel.of_tokens(unigram.token_log_prob_)
    assert policy.evaluate(unigram).kl == policy.evaluate(root).kl
    # A unigram model has the same distribution after every context.
    rows = root.on(policy.trie_).next_log_prob(np.arange(policy.trie_.n_contexts))
    assert_allclose(rows, np.tile(unigram.token_log_prob_, (len(rows), 1)), rtol=1e-12)
    expected_length = 1.0 / np.exp(unigram.token_log_prob_[unigram.vectorizer_.eos_index_])
    assert_allclose(policy.evaluate(unigram).length, expected_length, rtol=1e-9)


def test_policies_of_other_n_grams_are_refused(policy):
    with pytest.raises(ValueError, match=r"takes models of the n-grams .* model of order 4"):
        policy.evaluate(language_model(4))
    other = NGramLM(vectorizer=NGramCounter(3, eos_token="<eos>")).fit(TEXTS[:30])
    with pytest.raises(ValueError, match=r"takes models of the n-grams .* Fit it with"):
        policy.evaluate(other)
    with pytest.raises(ValueError, match=r"other tokens to evaluate: 3 where its own are 6"):
        policy.evaluate(UnigramLM().fit(["x y"]))
    names = [name.upper() for name in policy.vectorizer_.get_feature_names_out()[2:6]]
    with pytest.raises(ValueError, match=r"other tokens .* the first difference is column 2, 'A'"):
        policy.evaluate(UnigramLM(vectorizer=TokenCounter(eos_token="<eos>")).fit(names))
    events = policy.backoff_model_.event_log_prob
    with pytest.raises(ValueError, match=r"evaluate needs log_prob, logarithms of the events"):
        policy.evaluate(events[:-1])
    changed = events.copy()
    changed[0] -= 1.0
    with pytest.raises(ValueError, match=r"sum to 1 after each context, got 0\.9.* context 0"):
        policy.evaluate(changed)
    single = ExactPolicyOptimizer(vectorizer=TokenCounter(eos_token="<eos>")).fit(TEXTS, REWARDS)
    with pytest.raises(ValueError, match=r"policy of single tokens, got one of n-grams of 3"):
        single.evaluate(policy)
    assert single.evaluate(single).objective == single.evaluate().objective


# Logged rewards


def test_value_from_logged_documents_is_that_of_the_policy(policy):
    # Documents of the reference, rewards as the model has them: within 4 standard errors.
    logged = [text or "a" for text in language_model().sample(4000, random_state=1)]
    rewards = policy.reward_model_.predict(policy.vectorizer_.transform(logged))
    found = policy.off_policy_value(logged, rewards)
    weights = np.exp(policy.score_samples(logged) - language_model().score_samples(logged))
    assert_allclose(found.value, weights @ rewards / weights.sum(), rtol=1e-9)
    assert_allclose(found.effective_sample_size, weights.sum() ** 2 / (weights @ weights))
    assert abs(found.value - policy.expected_reward_) < 4 * found.standard_error + 0.02
    assert policy.score(logged, rewards) == found.value


def test_logged_documents_follow_their_prompts(policy):
    prompts = ["a", "c b"] * 30
    counter = policy.vectorizer_
    counts = counter.transform_after(prompts, TEXTS[:60])
    found = policy.off_policy_value(TEXTS[:60], REWARDS[:60], prompts=prompts)
    assert found.value == policy.off_policy_value(counts, REWARDS[:60]).value
    with pytest.raises(ValueError, match="prompts, which come before documents that are text"):
        policy.off_policy_value(counts, REWARDS[:60], prompts=prompts)
    with pytest.raises(ValueError, match="needs a prompt, a str, for each of 60"):
        policy.score(TEXTS[:60], REWARDS[:60], prompts=prompts[:-1])


# What rose and fell


def test_shifts_add_up_to_that_of_the_length(policy, objective):
    shift = policy.token_shift(10**6)
    rows = shift.risen + shift.fallen
    reference = language_model().backoff_model_.event_log_prob
    longer = policy.expected_length_ - objective.expected_length(reference)
    assert_allclose(sum(change for _, _, change in rows), longer, atol=1e-9)
    names = policy.vectorizer_.get_feature_names_out().tolist()
    own = objective.occurrences(policy.backoff_model_.event_log_prob)
    before = objective.occurrences(reference)
    name, log_ratio, change = shift.risen[0]
    arc = names.index(name)
    assert arc == np.argmax((own - before)[: policy.trie_.n_arcs])
    assert_allclose((log_ratio, change), (np.log(own[arc] / before[arc]), own[arc] - before[arc]))
    assert [row[2] for row in shift.fallen] == sorted(row[2] for row in shift.fallen)
    assert "a b" in " ".join(name for name, _, _ in policy.token_shift(3).risen)


# Best of n


def test_best_of_n_of_n_grams_is_refit_to_what_is_likeliest():
    sampler = BestOfNSampler(
        frozen(), n=4, n_rollouts=64, prior_strength=2.5, kl_coef=0.7, random_state=0
    ).fit(TEXTS, REWARDS)
    # The same documents, ranked by hand, and 2.5 tokens of the reference in each context.
    problem = sampler._build_problem()
    rng = np.random.RandomState([sampler._seed, 2])
    rollouts = problem.objective.sample(problem.start, 64, rng, names=problem.names)
    rewards = problem.reward(rollouts)
    order = np.argsort(rewards, kind="stable")
    chances = np.zeros(64)
    for rank, document in enumerate(order):  # subsets of 4 of which it is the maximum
        chances[document] = np.prod([(rank - j) / (63 - j) for j in range(3)]) * 4 / 64
    chances = np.array([chances[rewards == own].mean() for own in rewards])
    weights = 64 / 4 * chances
    model = frozen().estimator.backoff_model_
    trie = model.trie
    events = rollouts.events.T @ weights
    for context in range(trie.n_contexts):
        prob = np.exp(model.next_log_prob(np.array([context]))[0])
        for token in range(trie.n_tokens):
            events[uses(trie, context, token)] += 2.5 * prob[token]
    found = BackoffModel(trie, sampler.arc_log_prob_, sampler.backoff_log_weight_).event_log_prob
    tilt = NGramTilt(trie, found, 1.0)
    start = NGramTilt(trie, model.event_log_prob, 1.0)
    for direction in np.random.default_rng(0).normal(size=(20, trie.n_arcs)):
        slope, first = (
            events @ (own.at(1e-4 * direction).log_prob - own.at(-1e-4 * direction).log_prob)
            for own in (tilt, start)
        )
        assert abs(slope) < 1e-4 * max(abs(first), 1e-3)  # concave, so greatest
    assert_allclose(sampler.best_of_n_reward_, chances @ rewards, rtol=1e-12)


def uses(trie, context, token):
    """Return the events of drawing a token after a context."""
    arcs = np.flatnonzero((trie.arc_context == context) & (trie.arc_token == token))
    if arcs.size:
        return [arcs[0]]
    return [trie.n_arcs + context - 1, *uses(trie, trie.suffix[context], token)]


@pytest.mark.parametrize("n", [1, 4])
def test_the_policy_nearest_to_the_best_of_n_is_no_farther_than_these(n):
    # One of n documents is as the reference; 7 parameters and 20,000 documents leave about 4e-4.
    sampler = BestOfNSampler(
        frozen(), n=n, n_rollouts=20_000, prior_strength=0.0, random_state=1
    ).fit(TEXTS, REWARDS)
    assert sampler.kl_ < sampler.kl_bound_ + 5e-3


def test_best_of_one_is_the_reference():
    sampler = BestOfNSampler(frozen(), n=1, prior_strength=1e9, random_state=0)
    sampler.fit(TEXTS, REWARDS)
    assert_allclose(sampler.kl_, 0.0, atol=1e-9)
    assert_allclose(sampler.kl_bound_, 0.0, atol=1e-15)


def test_best_of_n_documents_have_its_reward():
    # The mean of 3,000 documents and that of the fit, within 4 standard errors of both.
    sampler = BestOfNSampler(frozen(), n=4, n_rollouts=4096, random_state=0).fit(TEXTS, REWARDS)
    counts = sampler.vectorizer_.transform(sampler.sample(3000, random_state=1))
    drawn = sampler.reward_model_.predict(counts)
    error = np.hypot(drawn.std() / np.sqrt(3000), sampler.best_of_n_reward_se_)
    assert abs(drawn.mean() - sampler.best_of_n_reward_) < 4 * error
    # The refit policy has nearly the reward, at a KL of less than best of n may have.
    assert sampler.kl_ < sampler.kl_bound_
    assert abs(sampler.expected_reward_ - sampler.best_of_n_reward_) < 0.1
    best = ExactPolicyOptimizer(frozen(), kl_coef=1.0).fit(TEXTS, REWARDS)
    assert sampler.objective_ < best.objective_
    assert_allclose(best.objective_ - sampler.objective_, sampler.optimality_gap_, rtol=1e-6)


def test_documents_compete_with_those_of_the_same_prompt():
    # A reward that knows the first token: documents after "a" never beat those after "c".
    reward = FrozenEstimator(token_reward_model())
    prompts = ["a", "c", "c", "c"]
    sampler = BestOfNSampler(frozen(), reward, n=3, n_rollouts=2000, random_state=0)
    sampler.fit(TEXTS, prompts=prompts)
    alone = [
        BestOfNSampler(frozen(), reward, n=3, n_rollouts=4096, random_state=1).fit(
            TEXTS, prompts=[prompt]
        )
        for prompt in ("a", "c")
    ]
    expected = 0.25 * alone[0].best_of_n_reward_ + 0.75 * alone[1].best_of_n_reward_
    error = np.hypot(0.25 * alone[0].best_of_n_reward_se_, 0.75 * alone[1].best_of_n_reward_se_)
    assert abs(sampler.best_of_n_reward_ - expected) < 4 * np.hypot(
        error, sampler.best_of_n_reward_se_
    )
    assert sampler.n_sequences_ == 2000 + 2
    drawn = sampler.sample(400, random_state=2, prompts=["a", "c"])
    assert len(drawn) == 800
    model = token_reward_model()
    counter = sampler.vectorizer_
    for part, own in ((drawn[:400], alone[0]), (drawn[400:], alone[1])):
        tokens = counter.transform(part) @ sampler.trie_.token_map
        assert abs(z_score(model.predict(tokens)[:, np.newaxis], own.best_of_n_reward_)[0]) < 4.5


def test_winners_of_contexts_count_as_often_as_these_by_hand():
    # The first two documents share a quarter, the third has the rest: of 3 documents drawn that
    # makes .375, .375 and 2.25 winners, beside 4 tokens of the prior.
    rollouts = Rollouts(np.arange(3), np.ones(3, dtype=int), 3)
    reference = np.log([0.2, 0.3, 0.5])
    refit = BestOfNSampler(n=1, prior_strength=4.0)._refit(
        rollouts, np.arange(3.0), reference, [2], [0.25, 0.75]
    )
    assert_allclose(np.exp(refit), np.array([1.175, 1.575, 4.25]) / 7.0)


def test_few_rollouts_are_more_where_there_are_many_prompts():
    sampler = BestOfNSampler(frozen(), n=4, n_rollouts=8, random_state=0)
    sampler.fit(TEXTS, REWARDS, prompts=["a", "b", "c"])
    assert sampler.n_sequences_ == 3 * 16 + 2
    assert np.isfinite(sampler.best_of_n_reward_se_)


# Objectives that are stated


def test_optimum_of_a_stated_objective_reads_events(policy, objective, tmp_path):
    stated = ExactPolicyOptimizer().fit_objective(objective)
    assert_allclose(stated.arc_log_prob_, policy.arc_log_prob_, rtol=1e-9)
    assert stated.n_features_in_ == objective.trie.n_events
    counts = policy.vectorizer_.transform(TEXTS)
    assert_allclose(stated.score_samples(counts), policy.score_samples(TEXTS), rtol=1e-9)
    assert stated.sample(3, random_state=0).shape == (3, objective.trie.n_tokens)
    save_model(stated, tmp_path / "stated.skops")
    loaded = load_model(tmp_path / "stated.skops")
    for again in (loaded, pickle.loads(pickle.dumps(stated))):
        assert again.evaluate().objective == stated.evaluate().objective
        assert_array_equal(again.score_samples(counts), stated.score_samples(counts))
    following = ExactPolicyOptimizer(
        FrozenEstimator(stated), FrozenEstimator(Ridge().fit(np.eye(6), np.zeros(6)))
    ).fit(counts)
    assert_allclose(following.objective_, 0.0, atol=1e-12)
    with pytest.raises(ValueError, match="fitted on counts and knows columns"):
        ExactPolicyOptimizer(FrozenEstimator(stated)).fit(TEXTS, REWARDS)


def test_stated_documents_without_an_end():
    model = language_model(eos=None)
    reward = arc_reward(model, {"a b": 1.0, "c": -0.5})
    problem = NGramObjective.of_model(model, reward, max_length=4, kl_coef=0.7)
    stated = ExactPolicyOptimizer().fit_objective(problem)
    assert stated.response_length_ == stated.document_length_ == 4
    assert_allclose(stated.objective_, problem.value(problem.optimum()), rtol=1e-9)
    assert stated.sample(3, random_state=0).sum() == 12


# Model files


def test_steep_policies_are_kept(tmp_path):
    # Back-off weights beyond what sums of probabilities can be told from in floats.
    rng = np.random.RandomState(0)
    words, share = np.array([f"w{i}" for i in range(30)]), 1.0 / np.arange(1, 31)
    texts = [
        " ".join(rng.choice(words, size=rng.randint(1, 12), p=share / share.sum()))
        for _ in range(300)
    ]
    model = NGramLM(vectorizer=NGramCounter(eos_token="<eos>")).fit(texts)
    reward = arc_reward(model.trie_, rng.normal(size=model.trie_.n_arcs) - 3.0)
    problem = NGramObjective.of_model(model, reward, kl_coef=0.03)
    steep = ExactPolicyOptimizer().fit_objective(problem)
    assert steep.backoff_log_weight_.max() > 40
    save_model(steep, tmp_path / "steep.skops")
    loaded = load_model(tmp_path / "steep.skops")
    counts = model.vectorizer_.transform(texts)
    assert_array_equal(loaded.score_samples(counts), steep.score_samples(counts))
    steep.backoff_log_weight_[np.argmax(steep.backoff_log_weight_)] += 1.0
    with pytest.raises(ValueError, match="probabilities of a back-off model in it are none"):
        check_fitted(steep)


@pytest.mark.parametrize(
    ("attribute", "change", "message"),
    [
        ("reference_log_prob_", lambda value: value[:-1], "has to be .* numbers"),
        ("reference_log_prob_", lambda value: value + 0.1, "of a back-off model in it are none"),
        ("optimal_log_prob_", lambda value: value * np.nan, "of a back-off model in it are none"),
        ("token_reward_", lambda value: value[1:], "token_reward_ of its Exact.* numbers"),
        ("token_reward_", lambda value: value / 0.0, "has to be finite"),
        ("_initial", lambda value: value * 2, "do not start in its contexts"),
        ("_trie", lambda value: None, "has not the n-grams of its policy"),
        ("_trie", lambda value: language_model(2).trie_, "has not the n-grams of its policy"),
        ("_read_trie", lambda value: language_model(2).trie_, "has not the columns of its trie"),
        ("_backoff", lambda value: None, "has not the n-grams of its policy"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_damaged_policies_are_refused(attribute, change, message):
    good = ExactPolicyOptimizer(frozen(), kl_coef=2.0).fit(TEXTS, REWARDS, prompts=["a", "b"])
    check_fitted(good)
    bad = copy.copy(good)
    setattr(bad, attribute, change(getattr(good, attribute)))
    with pytest.raises(ValueError, match=message):
        check_fitted(bad)


def test_damaged_objectives_are_refused(objective):
    stated = ExactPolicyOptimizer().fit_objective(objective)
    bad = copy.copy(stated)
    bad._stated = copy.copy(objective)
    vars(bad._stated)["kl_coef"] = -1.0
    with pytest.raises(ValueError, match=r"an objective in it is none: .*kl_coef"):
        check_fitted(bad)
    bad = copy.copy(stated)
    bad.reward_model_ = copy.copy(bad.reward_model_)
    bad.reward_model_.token_reward = "much"
    with pytest.raises(ValueError, match="reward of an objective in it is no vector"):
        check_fitted(bad)


# What takes them


def test_preferences_alone_train_policies_of_n_grams(policy):
    for model in (language_model(), policy):
        direct = DPOPolicyOptimizer(FrozenEstimator(model)).fit([("a b", "c"), ("c", "a")], [1, 0])
        assert direct.trie_ is model.trie_
        assert_array_equal(direct.reference_log_prob_, model.backoff_model_.event_log_prob)


def test_gold_reward_of_a_policy_of_n_grams(policy):
    gold = FrozenEstimator(token_reward_model())
    found = GoldRewardScorer(gold, kl_coef=0.3)(policy)
    tokens = policy._build_objective().occurrences(policy._policy_log_prob) @ policy.trie_.token_map
    model = token_reward_model()
    expected = tokens @ model.coef_ + model.intercept_ - 0.3 * policy.kl_
    assert_allclose(found, expected, rtol=1e-9)

    def length(texts):
        return [len(text.split()) for text in texts]

    drawn = GoldRewardScorer(length, n_samples=2000)(policy)
    assert abs(drawn - (policy.expected_length_ - 1)) < 0.3  # its end has no word


def test_overoptimization_of_n_grams(policy):
    proxy = FrozenEstimator(token_reward_model())
    gold = Ridge(alpha=1e-12).fit(np.eye(6), np.arange(6.0) - 4.0)
    curve = overoptimization_curve(language_model(), proxy, gold, kl_coefs=[4.0, 1.0])
    reward = language_model().trie_.token_map @ token_reward_model().coef_
    problem = NGramObjective.of_model(language_model(), reward, kl_coef=1.0)
    best = problem.optimum()
    assert_allclose(curve.kl[1], problem.kl(best), rtol=1e-9)
    events = problem.occurrences(best)
    expected = events @ language_model().trie_.token_map @ gold.coef_ + gold.intercept_
    assert_allclose(curve.gold_reward[1], expected, rtol=1e-9)
    for model in (language_model(eos=None),):
        with pytest.raises(ValueError, match="of n-grams where documents end by themselves"):
            overoptimization_curve(model, FrozenEstimator(token_reward_model(None)), gold)


def test_pictures_of_policies_of_n_grams(policy):
    plt = pytest.importorskip("matplotlib.pyplot")
    from sklearn_codex.inspection import FrontierDisplay, TokenShiftDisplay

    sampler = BestOfNSampler(frozen(), n=4, kl_coef=0.7, random_state=0).fit(TEXTS, REWARDS)
    display = FrontierDisplay.from_estimator(
        policy, policies={"best of 4": sampler, "reference": language_model()}, kl_coefs=[2.0, 0.7]
    )
    assert_allclose(display.kl, policy.frontier([2.0, 0.7]).kl)
    assert_allclose(display.policies["best of 4"], (sampler.kl_, sampler.expected_reward_))
    assert_allclose(display.policies["reference"][0], 0.0, atol=1e-12)
    with pytest.raises(ValueError, match="BestOfNSampler whose policy is of n-grams"):
        FrontierDisplay.from_estimator(sampler)
    with pytest.raises(ValueError, match=r"single tokens\. Fit a BestOfNSampler"):
        FrontierDisplay.from_estimator(policy, best_of_n=[2])
    shown = TokenShiftDisplay.from_estimator(policy, n=2)
    shift = policy.token_shift(2)
    names = [name for name, _, _ in [*shift.risen, *reversed(shift.fallen)]]
    assert shown.tokens.tolist() == names
    assert "per 100 documents" in shown.ax_.get_xlabel()
    plt.close("all")


# Bad input


def test_columns_that_are_not_those_of_the_policy():
    counts = language_model().vectorizer_.transform(TEXTS)
    with pytest.raises(ValueError, match="frozen vectorizer knows"):
        ExactPolicyOptimizer(frozen()).fit(np.ones((3, 6)), [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match=r"documents of 6 columns, but its policy \(NGramLM\)"):
        ExactPolicyOptimizer(frozen(), vectorizer=TokenCounter(eos_token="<eos>")).fit(
            TEXTS, REWARDS
        )
    unigram = UnigramLM().fit(np.ones((2, counts.shape[1])))
    counter = FrozenEstimator(language_model().vectorizer_)
    for kind in (ExactPolicyOptimizer, SFTRefiner):
        model = kind(FrozenEstimator(unigram), vectorizer=counter)
        with pytest.raises(ValueError, match=r"counted in n-grams, but .* single tokens"):
            model.fit(counts, REWARDS)
    model = ExactPolicyOptimizer(frozen()).fit(TEXTS, REWARDS)
    with pytest.raises(ValueError, match=r"X has 6 features, but ExactPolicyOptimizer is expect"):
        model.score_samples(np.ones((2, 6)))


def test_prompts_of_the_wrong_type():
    model = ExactPolicyOptimizer(frozen(), kl_coef=2.0)
    with pytest.raises(TypeError, match="prompts of ExactPolicyOptimizer expected"):
        model.fit(TEXTS, REWARDS, prompts="a b")
    with pytest.raises(TypeError, match="prompts of ExactPolicyOptimizer expected"):
        model.fit(TEXTS, REWARDS, prompts=["a", None])
    with pytest.raises(ValueError, match="got 0 documents"):
        model.fit(TEXTS, REWARDS, prompts=[])
    with pytest.raises(ValueError, match="features"):
        model.fit(TEXTS, REWARDS, prompts=np.ones((2, 3)))
    assert not hasattr(model, "vectorizer_")


def test_demonstrations_of_n_grams_have_a_policy_and_a_bound():
    with pytest.warns(ConvergenceWarning, match=r"optimality_gap_=.*Refine the policy") as record:
        policy = ExactPolicyOptimizer(frozen(), kl_coef=2.0, sft_coef=0.5).fit(TEXTS, REWARDS)
    assert len(record) == 1
    assert policy.optimal_log_prob_ is None
    problem = policy._build_problem()
    objective = problem.objective
    found = policy.backoff_model_.event_log_prob
    assert policy.optimality_gap_ == objective.gap(found) > 0
    # No step along the gradient gains, and no policy that PPO finds is better.
    slope = objective.gradient(found) + objective.demonstrations_gradient(found)
    gain = objective.value(found) - objective.value(objective.start)
    assert np.abs(slope).max() < 1e-4 * gain
    settings = {"kl_coef": 2.0, "sft_coef": 0.5, "max_iter": 12, "tol": 0, "random_state": 0}
    searched = PPOPolicyOptimizer(frozen(), **settings)
    searched.fit(TEXTS, REWARDS)
    assert searched.objective_ <= policy.objective_ + 1e-9
    with pytest.raises(
        ValueError, match=r"frontier knows the best .* sft_coef=0\.5.*set sft_coef=0"
    ):
        policy.frontier([2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # next to nothing may be missing
        ExactPolicyOptimizer(frozen(), kl_coef=2.0, sft_coef=1e-6).fit(TEXTS, REWARDS)


def test_lengths_that_are_of_other_documents():
    with pytest.raises(ValueError, match="response_length=3, but the vocabulary has an end"):
        ExactPolicyOptimizer(frozen(), response_length=3).fit(TEXTS, REWARDS)
    with pytest.raises(ValueError, match=r"max_length=3 .* the vocabulary has no end"):
        ExactPolicyOptimizer(frozen(eos=None), max_length=3).fit(TEXTS, REWARDS)
