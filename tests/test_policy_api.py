"""Policy optimisers among the other estimators: composition, evaluation, errors."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from additive_problems import LENGTH, LinearCallable, ZipfProblem, total_variation
from numpy.testing import assert_allclose, assert_array_equal
from policy_problems import TEXTS, Enumeration, Saturating, fitted, optimizer, small_problem
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_codex import PPOPolicyOptimizer, UnigramLM
from sklearn_codex.exact import AdditiveObjective
from sklearn_codex.rules import BannedTokens, TokenBudget


@pytest.fixture(scope="module")
def text_models():
    policy = UnigramLM().fit(TEXTS)
    counts = policy.vectorizer_.transform(TEXTS)
    reward = Ridge().fit(counts, [1.0, -1.0, 0.0, 2.0, -2.0])
    return SimpleNamespace(
        policy=FrozenEstimator(policy), reward_model=FrozenEstimator(reward), counts=counts
    )


@pytest.mark.parametrize(
    "settings", [{}, {"sft_coef": 1.0}, {"rules": BannedTokens(["bad"])}], ids=str
)
def test_text_equals_counts(text_models, settings):
    models = [optimizer(text_models, random_state=0, **settings) for _ in range(2)]
    for model, X in zip(models, (TEXTS, text_models.counts), strict=True):
        model.fit(X)
    assert_array_equal(models[0].token_log_prob_, models[1].token_log_prob_)
    assert models[0].history_ == models[1].history_
    assert models[0].score(TEXTS) == models[1].score(text_models.counts)
    assert models[0].sample(3, random_state=0) == models[1].sample(3, random_state=0)


def test_without_a_policy_it_pretrains_one():
    reward = LinearCallable(np.arange(5.0))
    X = np.random.RandomState(0).poisson(2.0, size=(9, 5)) + 1.0
    model = PPOPolicyOptimizer(None, reward, random_state=0).fit(X)
    assert_allclose(model.reference_log_prob_, UnigramLM().fit(X).token_log_prob_, atol=1e-14)
    text = PPOPolicyOptimizer(
        reward_model=lambda documents: [d.split().count("cat") for d in documents], random_state=0
    ).fit(TEXTS)
    assert text.predict(["anything"]) == ["cat"]
    assert text.response_length_ == round(sum(len(t.split()) for t in TEXTS) / len(TEXTS))


def test_optimised_policy_is_the_reference_of_the_next(text_models):
    first = optimizer(text_models, random_state=0).fit(TEXTS)
    second = PPOPolicyOptimizer(
        FrozenEstimator(first), text_models.reward_model, random_state=0, tol=1e-8
    ).fit(TEXTS)
    assert_allclose(second.reference_log_prob_, first.token_log_prob_, atol=1e-12)
    # Two tilts by R / kl_coef are one by twice that.
    once = optimizer(text_models, kl_coef=0.5).fit(TEXTS)
    assert total_variation(second.optimal_log_prob_, once.optimal_log_prob_) < 0.05


def test_cross_validation_and_grid_search_from_raw_text(text_models):
    texts = np.array(TEXTS * 3)
    scores = cross_val_score(optimizer(text_models, random_state=0), texts, cv=3)
    assert np.all(np.isfinite(scores))
    search = GridSearchCV(
        optimizer(text_models, random_state=0), {"kl_coef": [0.3, 1.0, 10.0]}, cv=3
    ).fit(texts)
    # The score is the objective, and a KL that is never negative only takes from it.
    assert search.best_params_ == {"kl_coef": 0.3}
    assert search.best_estimator_.reference_log_prob_.shape == text_models.counts.shape[1:]


def test_clone_and_pickle(text_models):
    model = optimizer(text_models, random_state=0, kl_coef=0.7).fit(TEXTS)
    copied = clone(model)
    assert copied.get_params()["kl_coef"] == 0.7
    assert not hasattr(copied, "token_log_prob_")
    assert_array_equal(copied.fit(TEXTS).token_log_prob_, model.token_log_prob_)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.history_ == model.history_
    assert loaded.score(TEXTS) == model.score(TEXTS)
    assert loaded.evaluate() == model.evaluate()


def test_inputs_are_not_written_to(text_models):
    before = pickle.dumps((text_models.policy, text_models.reward_model))
    X = text_models.counts.copy()
    optimizer(text_models, random_state=0, sft_coef=1.0).fit(X)
    assert pickle.dumps((text_models.policy, text_models.reward_model)) == before
    assert (text_models.counts != X).nnz == 0


def test_evaluate_any_policy():
    problem = ZipfProblem(50, 0)
    rules = BannedTokens([0], penalty=1.0)
    model = fitted(problem, rules=rules)
    own = model.evaluate()
    assert own.objective == model.objective_
    assert own.kl == model.kl_
    assert own.rule_rates == model.rule_rates_
    penalty = np.eye(50)[0]
    objective = problem.objective(penalty=penalty)
    reference = model.evaluate(model.reference_log_prob_)
    assert_allclose(reference.objective, objective.value(model.reference_log_prob_))
    assert reference.kl == 0
    best = model.evaluate(model.optimal_log_prob_)
    assert_allclose(best.objective - own.objective, model.optimality_gap_, rtol=1e-6)
    with pytest.raises(ValueError, match=r"log_prob should have the shape \(50,\).*got \(49,\)"):
        model.evaluate(np.zeros(49))
    with pytest.raises(ValueError, match=r"probabilities that sum to 1, got a sum of 50"):
        model.evaluate(np.zeros(50))
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        optimizer(problem).evaluate()


def test_evaluate_a_policy_that_the_reference_excludes():
    problem = ZipfProblem(20, 0)
    model = fitted(problem, rules=BannedTokens([1], hard=True))
    worst = model.evaluate(model.reference_log_prob_)
    assert worst.kl == np.inf
    assert worst.objective == -np.inf
    assert np.isfinite(worst.expected_reward)


def test_evaluate_by_sampling_agrees_with_enumeration():
    model = fitted(small_problem(Saturating()), max_iter=5, tol=0)
    everything = Enumeration(model.reference_log_prob_, 3, Saturating(), 1.0)
    found = model.evaluate(model.reference_log_prob_, n_samples=50_000, random_state=1)
    error = everything.reward.std() / np.sqrt(50_000) + 0.02
    assert abs(found.objective - everything.value(model.reference_log_prob_)) < 4 * error


def test_token_shift(text_models):
    model = optimizer(text_models, random_state=0).fit(TEXTS)
    shift = model.token_shift(2)
    change = np.exp(model.token_log_prob_) - np.exp(model.reference_log_prob_)
    names = model.vectorizer_.get_feature_names_out()
    assert shift.risen[0][0] == names[np.argmax(change)]
    assert shift.fallen[0][0] == names[np.argmin(change)]
    for kind, sign in (("risen", 1), ("fallen", -1)):
        changes = [sign * row[2] for row in shift[kind]]
        assert changes == sorted(changes, reverse=True)
        assert all(sign * row[1] > 0 for row in shift[kind])
        assert len(changes) == 2
    columns = fitted(ZipfProblem(50, 0)).token_shift(3)
    assert all(isinstance(row[0], int) for row in columns.risen + columns.fallen)
    still = fitted(ZipfProblem(50, 0), reward_coef=0.0).token_shift(3)
    assert max([abs(row[2]) for row in still.risen + still.fallen], default=0) < 1e-12


def test_needs_a_reward():
    with pytest.raises(ValueError, match=r"requires y to be passed.*Pass y, one reward per"):
        PPOPolicyOptimizer().fit(TEXTS)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[5, 2\]"):
        PPOPolicyOptimizer().fit(TEXTS, [1.0, 2.0])
    with pytest.raises(ValueError, match=r"y should be a 1d array.*got an array of shape \(5, 2\)"):
        PPOPolicyOptimizer().fit(TEXTS, np.ones((5, 2)))


def test_needs_fitted_models(text_models):
    with pytest.raises(NotFittedError, match=r"needs a fitted policy, got an unfitted UnigramLM"):
        PPOPolicyOptimizer(UnigramLM(), len).fit(TEXTS)
    with pytest.raises(NotFittedError, match=r"needs a fitted reward_model, got an unfitted Ridge"):
        PPOPolicyOptimizer(text_models.policy, Ridge()).fit(TEXTS)
    classifier = LogisticRegression().fit(text_models.counts, [0, 1, 0, 1, 0])
    with pytest.raises(TypeError, match=r"got the classifier LogisticRegression"):
        PPOPolicyOptimizer(text_models.policy, FrozenEstimator(classifier)).fit(TEXTS)


def test_columns_have_to_be_those_of_the_policy():
    problem = ZipfProblem(50, 0)
    with pytest.raises(ValueError, match=r"documents of 49 columns, but its policy.*has 50"):
        optimizer(problem).fit(np.ones((2, 49)))
    with pytest.raises(ValueError, match=r"got text, but its policy was fitted on counts"):
        optimizer(problem).fit(TEXTS)


def test_token_credit_needs_a_reward_that_adds():
    problem = ZipfProblem(50, 0)
    with pytest.raises(ValueError, match=r"credit='token' needs a reward and rules that add"):
        fitted(problem, credit="token", reward_model=LinearCallable(problem.weights))
    with pytest.raises(ValueError, match=r"credit='token' needs a reward and rules that add"):
        fitted(problem, credit="token", rules=TokenBudget([0]))


@pytest.mark.parametrize("clip_range", [(0.1,), (0.1, 0.2, 0.3), (-0.1, 0.2), (0.1, "a"), (0, 1)])
def test_a_wrong_clip_range_is_named(clip_range):
    with pytest.raises(ValueError, match=r"clip_range should be a number above 0 or a pair"):
        fitted(ZipfProblem(50, 0), clip_range=clip_range)


def test_more_minibatches_than_documents():
    with pytest.raises(ValueError, match=r"n_rollouts >= n_minibatches, got 2 and 5"):
        fitted(ZipfProblem(50, 0), n_rollouts=2, n_minibatches=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("kl_coef", 0.0), ("sft_coef", -1.0), ("clip_range", 0.0), ("tol", -1.0), ("credit", "word")],
)
def test_parameters_are_validated(name, value):
    with pytest.raises(InvalidParameterError, match=rf"The '{name}' parameter of PPOPolicy"):
        fitted(ZipfProblem(50, 0), **{name: value})


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (lambda counts: np.zeros((counts.shape[0], 2)), r"one reward for each document"),
        (lambda counts: np.full(counts.shape[0], np.nan), r"needs finite rewards.*returned nan"),
    ],
)
def test_rewards_are_checked(reward, message):
    with pytest.raises(ValueError, match=message):
        fitted(ZipfProblem(50, 0), reward_model=reward)


def test_a_reference_that_cannot_produce_the_demonstrations():
    problem = ZipfProblem(5, 0)
    problem.policy = FrozenEstimator(UnigramLM(smoothing=0).fit(np.array([[1.0, 1, 1, 1, 0]])))
    problem.X = np.ones((1, 5))
    with pytest.raises(ValueError, match=r"demonstrations use token 4, which the reference"):
        fitted(problem, sft_coef=1.0)


def test_objective_is_that_of_the_exact_room():
    problem = ZipfProblem(50, 0)
    model = fitted(problem)
    objective = AdditiveObjective(problem.reference_log_prob, problem.weights, length=LENGTH)
    assert_allclose(model.entropy_, objective.entropy(model.token_log_prob_))
    assert_allclose(model.kl_, objective.kl(model.token_log_prob_))
    assert_allclose(model.expected_reward_, objective.expected_reward(model.token_log_prob_))
