"""Fine-tuning against its formula, a general optimiser and the addition of counts."""

import numpy as np
import pytest
from assertions import assert_is_log_distribution, assert_same_distribution
from contract import RecordingCallback, assert_balanced
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score

from sklearn_codex import SFTRefiner, UnigramLM
from sklearn_codex._categorical import cross_entropy, kl_divergence

CORPUS = ["the cat sat on the mat", "a dog sat", "the dog ran on the road", "a cat ran"]
DEMONSTRATIONS = ["the dog sat", "the dog ran", "dog dog sat", "on the road", "the dog", "sat"]


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.fixture
def base(rng):
    return FrozenEstimator(UnigramLM(smoothing=0.3).fit(rng.poisson(3.0, size=(20, 7))))


@pytest.fixture
def demonstrations(rng):
    return rng.poisson([2.0, 1.0, 0.5, 0.5, 0.1, 0.0, 3.0], size=(9, 7)).astype(float)


@pytest.fixture
def text_base():
    return FrozenEstimator(UnigramLM().fit(CORPUS))


@pytest.mark.parametrize("strength", [0.5, 10, 1e6])
def test_is_the_documented_formula(base, demonstrations, strength):
    model = SFTRefiner(base, prior_strength=strength).fit(demonstrations)
    counts, prior = demonstrations.sum(axis=0), np.exp(base.token_log_prob_)
    expected = (counts + strength * prior) / (counts.sum() + strength)
    assert_allclose(np.exp(model.token_log_prob_), expected, rtol=1e-12)
    assert_is_log_distribution(model.token_log_prob_, 7)
    assert_array_equal(model.base_log_prob_, base.token_log_prob_)


@pytest.mark.parametrize("strength", [2.0, 40.0, 500.0])
def test_minimises_the_documented_loss(base, demonstrations, strength):
    counts, prior = demonstrations.sum(axis=0), np.exp(base.token_log_prob_)
    n_tokens = counts.sum()

    def loss(logits):
        log_prob = log_softmax(logits)
        gradient = (n_tokens + strength) * np.exp(log_prob) - counts - strength * prior
        value = n_tokens * cross_entropy(counts / n_tokens, log_prob)
        return value + strength * cross_entropy(prior, log_prob), gradient

    found = minimize(loss, np.zeros(7), jac=True, method="BFGS", options={"gtol": 1e-8})
    model = SFTRefiner(base, prior_strength=strength).fit(demonstrations)
    assert_allclose(np.exp(model.token_log_prob_), np.exp(log_softmax(found.x)), atol=1e-7)


def test_penalised_likelihood_is_the_same_up_to_a_constant(base, demonstrations, rng):
    strength, frequencies = 25.0, demonstrations.sum(axis=0) / demonstrations.sum()
    model = SFTRefiner(base, prior_strength=strength).fit(demonstrations)

    def penalised(log_prob):
        kl = kl_divergence(base.token_log_prob_, log_prob)
        return cross_entropy(frequencies, log_prob) + strength / model.n_tokens_ * kl

    best = penalised(model.token_log_prob_)
    for _ in range(200):
        step = rng.normal(scale=10.0 ** rng.uniform(-3, 0), size=7)
        assert penalised(log_softmax(model.token_log_prob_ + step)) >= best


def test_strength_of_the_pretraining_tokens_is_adding_the_counts():
    base = UnigramLM(smoothing=0).fit(CORPUS)
    model = SFTRefiner(FrozenEstimator(base), prior_strength=base.n_tokens_).fit(DEMONSTRATIONS)
    vectorizer = FrozenEstimator(base.vectorizer_)
    added = UnigramLM(smoothing=0, vectorizer=vectorizer).fit(CORPUS + DEMONSTRATIONS)
    assert_same_distribution(model.token_log_prob_, added.token_log_prob_)


def test_smoothed_base_is_adding_the_counts_at_its_total_weight():
    base = UnigramLM(smoothing=0.7).fit(CORPUS)
    strength = base.n_tokens_ + 0.7 * base.n_features_in_
    model = SFTRefiner(FrozenEstimator(base), prior_strength=strength).fit(DEMONSTRATIONS)
    base.partial_fit(DEMONSTRATIONS)
    assert_same_distribution(model.token_log_prob_, base.token_log_prob_)


def test_no_base_is_the_uniform_distribution(demonstrations):
    model = SFTRefiner(prior_strength=3.5).fit(demonstrations)
    smoothed = UnigramLM(smoothing=0.5).fit(demonstrations)
    assert_same_distribution(model.token_log_prob_, smoothed.token_log_prob_)
    assert_allclose(np.exp(model.base_log_prob_), np.full(7, 1 / 7))


def test_no_strength_forgets_the_base(base, demonstrations):
    model = SFTRefiner(base, prior_strength=0).fit(demonstrations)
    assert_allclose(
        np.exp(model.token_log_prob_), demonstrations.sum(axis=0) / demonstrations.sum()
    )
    with pytest.raises(ValueError, match="SFTRefiner with prior_strength=0 needs at least one"):
        SFTRefiner(base, prior_strength=0).fit(np.zeros((2, 7)))


def test_demonstrations_without_tokens_leave_the_base(base):
    model = SFTRefiner(base).fit(np.zeros((2, 7)))
    assert_same_distribution(model.token_log_prob_, base.token_log_prob_)


def test_what_the_base_finds_barely_possible_stays_possible():
    base = UnigramLM().fit([[1, 1]])
    base.token_log_prob_ = np.array([-2000.0, 0.0])
    model = SFTRefiner(FrozenEstimator(base), prior_strength=1).fit([[0, 3]])
    assert_allclose(model.token_log_prob_, [-2000 - np.log(4), 0])
    base.token_log_prob_ = np.array([-np.inf, 0.0])
    model.fit([[0, 3]])
    assert_array_equal(model.token_log_prob_, [-np.inf, 0])
    assert_allclose(np.exp(model.fit([[1, 3]]).token_log_prob_), [1 / 5, 4 / 5])


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=12),
    st.lists(st.integers(0, 12), max_size=4),
)
def test_partial_fit_on_any_batches_equals_one_fit(rows, cuts):
    rows = np.array(rows, dtype=float)
    base = FrozenEstimator(UnigramLM().fit([[5, 3, 1]]))
    model = SFTRefiner(base, prior_strength=10)
    for batch in np.split(rows, sorted(cut for cut in cuts if cut <= len(rows))):
        if len(batch):
            model.partial_fit(batch)
    assert_array_equal(
        model.token_log_prob_, SFTRefiner(base, prior_strength=10).fit(rows).token_log_prob_
    )


def test_partial_fit_on_text_equals_one_fit(text_base):
    model = SFTRefiner(text_base)
    for text in DEMONSTRATIONS:
        model.partial_fit([text])
    whole = SFTRefiner(text_base).fit(DEMONSTRATIONS)
    assert_array_equal(model.token_log_prob_, whole.token_log_prob_)
    assert model.document_length_ == whole.document_length_ == 2


def test_weight_is_repetition(base, demonstrations, rng):
    weight = rng.randint(0, 3, size=9)
    weighted = SFTRefiner(base).fit(demonstrations, sample_weight=weight)
    repeated = SFTRefiner(base).fit(np.repeat(demonstrations, weight, axis=0))
    assert_same_distribution(weighted.token_log_prob_, repeated.token_log_prob_)


def test_strength_moves_from_the_demonstrations_to_the_base(base, demonstrations):
    to_base, to_demonstrations = [], []
    frequencies = demonstrations.sum(axis=0) / demonstrations.sum()
    for strength in (1.0, 10.0, 100.0, 1e4, 1e8):
        model = SFTRefiner(base, prior_strength=strength).fit(demonstrations)
        to_base.append(kl_divergence(base.token_log_prob_, model.token_log_prob_))
        to_demonstrations.append(cross_entropy(frequencies, model.token_log_prob_))
    assert to_base == sorted(to_base, reverse=True)
    assert to_demonstrations == sorted(to_demonstrations)
    assert to_base[-1] < 1e-10


@pytest.mark.parametrize("strength", [-1, np.inf, "1"])
def test_strength_is_validated(strength):
    with pytest.raises(ValueError, match="The 'prior_strength' parameter of SFTRefiner must be"):
        SFTRefiner(prior_strength=strength).fit([[1]])


def test_cross_validates_from_raw_text_with_a_frozen_base(text_base):
    scores = cross_val_score(
        SFTRefiner(text_base, prior_strength=5), DEMONSTRATIONS, cv=3, error_score="raise"
    )
    expected = [
        SFTRefiner(text_base, prior_strength=5)
        .fit(DEMONSTRATIONS[:start] + DEMONSTRATIONS[start + 2 :])
        .score(DEMONSTRATIONS[start : start + 2])
        for start in (0, 2, 4)
    ]
    assert_allclose(scores, expected)


def test_strength_is_found_by_a_search_on_raw_text(text_base):
    search = GridSearchCV(
        SFTRefiner(text_base), {"prior_strength": [0, 1, 10, 1e6]}, cv=3, error_score="raise"
    )
    # Without a prior, a held-out token is impossible: its fold scores -inf.
    with np.errstate(invalid="ignore"), pytest.warns(UserWarning, match="non-finite"):
        search.fit(DEMONSTRATIONS)
    assert search.best_params_["prior_strength"] in (1, 10)
    assert search.best_estimator_.policy is text_base


def test_cross_validation_with_an_unfrozen_base_says_what_to_do():
    model = SFTRefiner(UnigramLM().fit(CORPUS))
    assert model.fit(DEMONSTRATIONS).n_tokens_ == 15
    with pytest.raises(NotFittedError, match=r"pass policy=FrozenEstimator\(fitted\)"):
        cross_val_score(model, DEMONSTRATIONS, cv=3, error_score="raise")


def test_refines_what_was_refined(text_base):
    first = SFTRefiner(text_base, prior_strength=8).fit(DEMONSTRATIONS[:3])
    second = SFTRefiner(FrozenEstimator(first), prior_strength=8 + first.n_tokens_)
    second.fit(DEMONSTRATIONS[3:])
    whole = SFTRefiner(text_base, prior_strength=8).fit(DEMONSTRATIONS)
    assert_same_distribution(second.token_log_prob_, whole.token_log_prob_)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_callbacks_see_one_task_begin_and_end(method, text_base):
    callback = RecordingCallback()
    getattr(SFTRefiner(text_base).set_callbacks(callback), method)(DEMONSTRATIONS)
    assert [event for event, *_ in callback.events] == ["setup", "begin", "end", "teardown"]
    assert callback.named("begin") == [["SFTRefiner", method]]
    assert_balanced(callback)
