"""Rewards of documents: which sources add over tokens, with which weights, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge, TweedieRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVR

from sklearn_codex import PreferenceRewardModel, TokenCounter, UnigramLM
from sklearn_codex._policy.rewards import DocumentReward
from sklearn_codex._rollouts import sample_rollouts

NAMES = np.array(["a", "b", "c", "d", "e"], dtype=object)
WEIGHTS = np.array([1.0, -2.0, 0.0, 0.5, 3.0])
OFFSET = 0.75


def draw(n=64, seed=0, names=NAMES, length=6):
    rng = np.random.RandomState(seed)
    log_prob = np.log([0.3, 0.1, 0.25, 0.15, 0.2])
    return sample_rollouts(log_prob, n, rng, length=length, names=names)


@pytest.fixture
def counts():
    return draw(200, seed=1).counts


@pytest.fixture
def logged(counts):
    return counts @ WEIGHTS + OFFSET


def reward_of(source, probe=None):
    return DocumentReward(source, draw() if probe is None else probe, subject="Asker")


def test_linear_regression_on_counts_adds_over_tokens(counts):
    X = np.random.RandomState(0).poisson(2.0, size=(50, 5)).astype(float)
    model = Ridge(alpha=1e-8).fit(X, X @ WEIGHTS + OFFSET)
    reward = reward_of(FrozenEstimator(model))
    assert_allclose(reward.token_reward, WEIGHTS, atol=1e-6)
    assert_allclose(reward.offset, OFFSET, atol=1e-6)
    rollouts = draw(seed=5)
    assert_allclose(rollouts.sum_over_tokens(reward.token_reward) + reward.offset, reward(rollouts))
    assert_allclose(reward(rollouts), model.predict(rollouts.counts))


@pytest.mark.parametrize(
    "model",
    [PoissonRegressor(alpha=1e-3), TweedieRegressor(power=0, link="log")],
    ids=["Poisson", "log link"],
)
def test_linear_predictor_with_a_link_does_not_add_over_tokens(model, counts, logged):
    model.fit(counts, np.exp(0.2 * logged))
    assert hasattr(model, "coef_")
    reward = reward_of(model)
    assert reward.token_reward is None
    assert_allclose(reward(draw()), model.predict(draw().counts))


def test_reward_model_adds_over_tokens():
    pairs = [("a a b", "c d"), ("e", "b b"), ("c", "a e"), ("d d", "e a")] * 3
    model = PreferenceRewardModel(vectorizer=TokenCounter(unk_token=None))
    model.fit(pairs, [1, 0, 1, 0] * 3)
    reward = reward_of(FrozenEstimator(model))
    assert_allclose(reward.token_reward, model.coef_[0], atol=1e-12)
    assert_allclose(reward.offset, 0, atol=1e-12)
    assert_allclose(reward(draw()), model.reward(draw().texts))


def test_reward_model_with_another_vocabulary_is_read_by_the_names_of_tokens():
    counter = TokenCounter(vocabulary=["e", "d", "zebra", "b", "a"])
    model = PreferenceRewardModel(vectorizer=counter).fit([("a a", "b"), ("d", "e")], [1, 0])
    reward = reward_of(model)
    weight = dict(zip(model.vectorizer_.get_feature_names_out(), model.coef_[0], strict=True))
    weight["c"] = weight["<unk>"]
    assert_allclose(reward.token_reward, [weight[name] for name in NAMES], atol=1e-12)


def test_rare_bigrams_are_not_taken_for_additive():
    # No document drawn has the one bigram that the model knows.
    names = np.array([f"t{column}" for column in range(2000)], dtype=object)
    rng = np.random.RandomState(0)
    probe = sample_rollouts(np.full(2000, -np.log(2000)), 64, rng, length=6, names=names)
    assert not any("t3 t7" in text for text in probe.texts)
    vectorizer = CountVectorizer(vocabulary=["t3", "t7", "t3 t7"], ngram_range=(1, 2))
    model = PreferenceRewardModel(vectorizer=vectorizer)
    model.fit([("t3 t7", "t7 t3"), ("t7", "t3")], [1, 0])
    assert model.reward(["t3 t7"]) - model.reward(["t7 t3"]) > 0.1
    assert reward_of(model, probe).token_reward is None
    vectorizer = CountVectorizer(vocabulary=["t3", "t7"])
    model = PreferenceRewardModel(vectorizer=vectorizer).fit([("t3", "t7")] * 2, [1, 0])
    assert reward_of(model, probe).token_reward is not None


def test_end_of_sequence_is_a_token_of_its_own():
    names = np.array(["<eos>", "a", "b"], dtype=object)
    log_prob = np.log([0.4, 0.3, 0.3])
    probe = sample_rollouts(log_prob, 64, np.random.RandomState(0), length=50, eos=0, names=names)
    model = Ridge(alpha=1e-10).fit(probe.counts, probe.counts @ [3.0, 1.0, -1.0] + 2)
    reward = reward_of(model, probe)
    predicted = probe.sum_over_tokens(reward.token_reward) + reward.offset
    assert_allclose(predicted, model.predict(probe.counts), atol=1e-7)


def test_pipeline_on_text_does_not_add_over_tokens():
    texts = draw(100, seed=1).texts
    model = make_pipeline(TfidfVectorizer(token_pattern=r"\w"), Ridge())
    model.fit(texts, [text.count("a") for text in texts])
    reward = reward_of(FrozenEstimator(model))
    assert reward.token_reward is None
    assert_allclose(reward(draw()), model.predict(draw().texts))


def test_pipeline_with_a_vocabulary_of_the_same_size_is_given_text():
    counter = TokenCounter(vocabulary=["<unk>", "d", "c", "b", "a"])
    texts = draw(100, seed=1).texts
    model = make_pipeline(counter, Ridge()).fit(texts, [text.count("a") for text in texts])
    assert model.n_features_in_ == 5
    assert_allclose(reward_of(model)(draw()), model.predict(draw().texts))


def test_reward_model_whose_vectorizer_names_nothing_is_given_text():
    def upper(texts):
        return [text.upper() for text in texts]

    vectorizer = make_pipeline(FunctionTransformer(upper), TokenCounter(unk_token=None))
    model = PreferenceRewardModel(vectorizer=vectorizer)
    model.fit([("a b", "c"), ("d", "e")], [1, 0])
    assert model.n_features_in_ == 5
    assert_allclose(reward_of(model)(draw()), model.reward(draw().texts))


def test_data_frame_names_are_compared_and_then_do_not_warn(counts, logged):
    frame = pd.DataFrame(counts.toarray(), columns=NAMES)
    reward = reward_of(Ridge(alpha=1e-8).fit(frame, logged))
    assert_allclose(reward(draw()), draw().counts @ WEIGHTS + OFFSET, atol=1e-5)
    other = Ridge().fit(frame[NAMES[::-1]], logged)
    with pytest.raises(ValueError, match=r"5 columns, .* \(Ridge\) .* are named otherwise"):
        reward_of(other)
    assert reward_of(other, draw(names=None)).token_reward is not None


def test_columns_have_to_be_as_many(counts, logged):
    model = Ridge().fit(counts[:, :4], logged)
    with pytest.raises(ValueError, match=r"policy of 5 columns, .* \(Ridge\) .* are 4 in number"):
        reward_of(model)


def test_regressor_that_refuses_sparse_input_gets_dense(counts, logged):
    model = HistGradientBoostingRegressor(max_iter=3).fit(counts.toarray(), logged)
    with pytest.raises(TypeError, match="dense data is required"):
        model.predict(counts)
    reward = reward_of(FrozenEstimator(model))
    assert reward.token_reward is None
    assert_allclose(reward(draw()), model.predict(draw().counts.toarray()))


def test_regressor_that_takes_sparse_input_gets_no_dense(counts, logged, monkeypatch):
    rbf = SVR().fit(sparse.csr_matrix(counts), logged)  # takes 32-bit indices only
    monkeypatch.setattr(sparse.csr_array, "toarray", None)
    monkeypatch.setattr(sparse.csr_matrix, "toarray", None)
    assert reward_of(rbf)(draw()).shape == (64,)
    linear = SVR(kernel="linear").fit(sparse.csr_matrix(counts), logged)
    assert reward_of(linear).token_reward is not None


def test_function_is_given_texts_where_words_are_known_and_else_counts():
    def length(texts):
        assert all(isinstance(text, str) for text in texts)
        return [len(text.split()) for text in texts]

    reward = reward_of(length)
    assert reward.token_reward is None
    assert_array_equal(reward(draw()), np.full(64, 6))
    unnamed = draw(names=None)
    assert_allclose(reward_of(lambda X: X @ WEIGHTS, unnamed)(unnamed), unnamed.counts @ WEIGHTS)


def test_object_with_a_reward_method_needs_no_fit():
    class Counter:
        def reward(self, documents):
            return np.array([text.count("a") for text in documents])

    assert_array_equal(reward_of(Counter())(draw()), draw().counts.toarray()[:, 0])


def test_a_model_of_another_library_needs_no_tags(counts):
    class Foreign:
        n_features_in_ = 5

        def predict(self, X):
            return X @ WEIGHTS

    documents = draw(200, seed=1)
    reward = DocumentReward(Foreign(), draw(), subject="PPO")
    assert_allclose(reward(documents), counts @ WEIGHTS)


def test_unfitted_model_says_how_to_freeze():
    for model in (Ridge(), PreferenceRewardModel(), FrozenEstimator(Ridge())):
        with pytest.raises(NotFittedError, match=r"Asker needs a fitted reward_model.*Frozen"):
            reward_of(model)


def test_classifier_is_refused_with_the_remedy(counts):
    model = LogisticRegression().fit(counts, np.arange(200) % 2)
    for source in (model, FrozenEstimator(model), make_pipeline(model)):
        with pytest.raises(TypeError, match=r"Asker needs .* got the classifier .*predict_proba"):
            reward_of(source)


def test_what_gives_no_reward_is_refused():
    with pytest.raises(TypeError, match=r"reward\(documents\) or predict.*callable, got int"):
        reward_of(3)
    with pytest.raises(TypeError, match=r"reward_model \(UnigramLM\) returned .* not numeric"):
        reward_of(UnigramLM().fit(draw().texts))(draw())


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.zeros((64, 1)), r"shape \(64,\); its reward_model \(function\) returned .*\(64, 1\)"),
        (np.zeros(63), r"returned shape \(63,\)"),
        (0.0, r"returned shape \(\)"),
        ([np.nan] * 2 + [0.0] * 62, "finite .* returned nan for 2 of 64 documents"),
        ([0.0] * 63 + [-np.inf], "returned -inf for 1 of 64"),
    ],
)
def test_rewards_are_one_finite_number_a_document(returned, message):
    with pytest.raises(ValueError, match=message):
        reward_of(lambda documents: returned)(draw())


def test_any_reward_of_documents_of_one_token_adds_over_tokens(counts):
    model = PoissonRegressor().fit(counts, np.arange(200) % 3)
    probe = draw(length=1)
    reward = reward_of(model, probe)
    predicted = probe.sum_over_tokens(reward.token_reward) + reward.offset
    assert_allclose(predicted, model.predict(probe.counts))


def test_dense_regressors_are_given_as_many_documents_as_fit_into_memory(monkeypatch):
    class Dense(SVR):
        sizes = []

        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.input_tags.sparse = False
            return tags

        def predict(self, X):
            self.sizes.append(X.shape[0])
            return super().predict(X)

    X = np.random.RandomState(0).poisson(2.0, size=(50, 5)).astype(float)
    model = Dense(kernel="linear").fit(X, X @ WEIGHTS + OFFSET)
    whole = reward_of(model)
    monkeypatch.setattr("sklearn_codex._policy.rewards._DENSE_NUMBERS", 37)
    model.sizes.clear()
    parts = reward_of(model)
    assert max(model.sizes) == 7
    assert_allclose(parts.token_reward, whole.token_reward)
    assert_allclose(parts(draw()), whole(draw()))
    monkeypatch.setattr("sklearn_codex._policy.rewards._DENSE_NUMBERS", 1)
    assert_allclose(parts(draw()), whole(draw()))
