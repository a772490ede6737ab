"""A fit that fails leaves the estimator as it was: unfitted, or with the fit before."""

import inspect
import sys
from copy import deepcopy
from itertools import count

import joblib
import numpy as np
import pytest
from contract import is_fitted
from sklearn.base import BaseEstimator, clone

import sklearn_codex
from sklearn_codex import (
    CandidatePolicy,
    DPOPolicyOptimizer,
    ExactPolicyOptimizer,
    KTOPolicyOptimizer,
    ModelRatings,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RLHFPipeline,
    RLOOPolicyOptimizer,
    TiePreferenceModel,
    TokenCounter,
    UnigramLM,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
TEXTS = ["the cat sat", "the dog sat on the cat", "a dog", "on the mat"]
PAIRS = [("the cat", "a dog"), ("a dog sat", "the cat sat"), ("cat", "dog"), ("dog", "mat cat")]
OTHERS = [("a b", "b"), ("a", "b a"), ("c", "a a"), ("b c", "c c")]
RECORDS = [
    *({"text": text} for text in TEXTS),
    *({"prompt": "say", "chosen": a, "rejected": b} for a, b in PAIRS),
]
VOTES = [("a", "b"), ("b", "c"), ("b", "c"), ("c", "b")]
LABELS = [0, 1, 1, 0]
FEW_STEPS = {
    "max_iter": 3, "tol": 0, "n_rollouts": 16, "n_estimators": 3, "cv": 2, "Cs": [0.1, 1.0],
    "random_state": 0,
}  # fmt: skip
N_INTERRUPTS = 15


def small(estimator_class):
    """An estimator that needs little work to be fitted."""
    if estimator_class is RLHFPipeline:
        stages = [UnigramLM(), PreferenceRewardModel(), PPOPolicyOptimizer(max_iter=1, tol=0)]
        return sklearn_codex.make_rlhf_pipeline(*stages)
    names = inspect.signature(estimator_class).parameters
    return estimator_class(**{name: FEW_STEPS[name] for name in FEW_STEPS if name in names})


def data_of(estimator):
    """Arguments of two fits."""
    if isinstance(estimator, RLHFPipeline):
        return (RECORDS,), (RECORDS[:-1],)
    if isinstance(estimator, ModelRatings):
        return (VOTES, LABELS), (VOTES[::-1], LABELS)
    if isinstance(estimator, KTOPolicyOptimizer):
        return (TEXTS, LABELS), ([a for a, _ in OTHERS], LABELS)
    if isinstance(estimator, CandidatePolicy):
        return tuple(([("say", a) for a in X], LABELS) for X in (TEXTS, TEXTS[::-1]))
    tags = estimator.__sklearn_tags__()
    of_pairs = (
        "Pair" in str(inspect.getdoc(type(estimator).fit)) or tags.classifier_tags is not None
    )
    if of_pairs:
        return (PAIRS, LABELS), (OTHERS, LABELS)
    return (TEXTS, [1.0, 0.0, 2.0, -1.0]), ([a for a, _ in OTHERS], [0.0, 1.0, 0.0, 0.0])


CASES = [
    pytest.param(value, method, id=f"{name}.{method}")
    for name in sklearn_codex.__all__
    if inspect.isclass(value := getattr(sklearn_codex, name)) and issubclass(value, BaseEstimator)
    for method in ("fit", "partial_fit", "fit_transform")
    if method in dir(value) and inspect.unwrap(getattr(value, method)).__module__ != "sklearn.base"
]


class Interrupt(KeyboardInterrupt):
    """An interrupt of these tests."""


def call_until(n_calls, method, *args):
    """Call a method; raise at a call of a function of the package; return how many there were."""
    seen = count(1)
    last = 0

    def watch(frame, event, _):
        nonlocal last
        # Nobody hears of what is raised where a generator is closed.
        is_generator = frame.f_code.co_flags & inspect.CO_GENERATOR
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("sklearn_codex") and not is_generator:
            last = next(seen)
            if last == n_calls:
                raise Interrupt

    sys.setprofile(watch)
    try:
        method(*args)
    finally:
        sys.setprofile(None)
    return last


@pytest.mark.filterwarnings("ignore:PlackettLuceModel got 4 rows without groups")
@pytest.mark.parametrize(("estimator_class", "method"), CASES)
def test_an_interrupt_anywhere_leaves_the_estimator_as_it_was(estimator_class, method):
    estimator = small(estimator_class)
    first, second = data_of(estimator)
    if method == "partial_fit":
        second = first
    earlier = "partial_fit" if method == "partial_fit" else "fit"
    fitted = getattr(clone(estimator), earlier)(*first)
    states = [(clone(estimator), first), (fitted, second)]
    for model, data in states:
        total = call_until(None, getattr(deepcopy(model), method), *data)
        before, had_fit = joblib.hash(vars(model)), is_fitted(model)
        # The very last calls are not made where something is remembered.
        for n_calls in np.unique(np.linspace(1, 0.95 * total, N_INTERRUPTS, dtype=int)):
            with pytest.raises(Interrupt, match=r"^$"):
                call_until(n_calls, getattr(model, method), *data)
            assert joblib.hash(vars(model)) == before, n_calls
            assert is_fitted(model) == had_fit


class FailsLate:
    """A reward that is good until it was asked some times."""

    def __init__(self, n_good, failure):
        self.n_left, self.failure = n_good, failure

    def __call__(self, documents):
        self.n_left -= 1
        if self.n_left == -1 and self.failure == "raises":
            raise RuntimeError("no more rewards")
        value = np.nan if self.n_left == -1 else 1.0
        return [value * len(set(text.split())) for text in documents]


class FailingCounter(TokenCounter):
    """Learns the columns, and counts nothing in them."""

    def transform(self, X, y=None):
        raise RuntimeError("no counts")

    fit_transform = transform


class InterruptsIteration:
    """A callback that interrupts the second iteration."""

    max_propagation_depth = None

    def __init__(self):
        self.n_ended, self.torn_down = 0, False

    def setup(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...

    def teardown(self, estimator, context):
        self.torn_down = True

    def on_fit_task_end(self, estimator, context):
        self.n_ended += 1
        if self.n_ended == 2:
            raise Interrupt


def assert_left_as_it_was(model, error, *data):
    """Make a fit fail, on an estimator that is not fitted and on one that was."""
    had_fit, before = is_fitted(model), dict(vars(model))
    with pytest.raises(error):
        model.fit(*data)
    assert is_fitted(model) == had_fit
    assert vars(model) == before


@pytest.mark.parametrize("failure", ["raises", "is nan"])
@pytest.mark.parametrize(
    "make",
    [
        lambda reward: PPOPolicyOptimizer(None, reward, max_iter=20, tol=0, random_state=0),
        lambda reward: RLOOPolicyOptimizer(None, reward, max_iter=20, tol=0, random_state=0),
        lambda reward: PPOPolicyOptimizer(gold_reward=reward, max_iter=20, tol=0, random_state=0),
    ],
    ids=["ppo", "rloo", "gold"],
)
def test_a_reward_that_fails_in_the_middle(make, failure):
    y = [1.0, 0.0, 2.0, -1.0]
    for n_good in (0, 1, 9):
        reward = FailsLate(n_good, failure)
        model = make(reward)
        assert_left_as_it_was(model, (RuntimeError, ValueError), TEXTS, y)
        model.fit(TEXTS, y)
        reward.n_left = n_good
        assert_left_as_it_was(model, (RuntimeError, ValueError), TEXTS, y)


@pytest.mark.parametrize("make", [PPOPolicyOptimizer, DPOPolicyOptimizer, PreferenceRewardModel])
def test_a_callback_that_interrupts_is_torn_down(make):
    first = data_of(small(make))[0]
    callback = InterruptsIteration()
    model = small(make).set_callbacks(callback)
    assert_left_as_it_was(model, Interrupt, *first)
    assert callback.torn_down
    model.set_callbacks().fit(*first)
    assert_left_as_it_was(model.set_callbacks(InterruptsIteration()), Interrupt, *first)


@pytest.mark.parametrize("make", [UnigramLM, PPOPolicyOptimizer, DPOPolicyOptimizer])
def test_a_vectorizer_that_cannot_transform(make):
    model = small(make)
    first, second = data_of(model)
    assert_left_as_it_was(small(make).set_params(vectorizer=FailingCounter()), RuntimeError, *first)
    model.fit(*first).set_params(vectorizer=FailingCounter())
    assert_left_as_it_was(model, RuntimeError, *second)


@pytest.mark.parametrize(
    ("make", "y"),
    [
        (PPOPolicyOptimizer, [1.0, np.nan, 0.0, 0.0]),
        (ExactPolicyOptimizer, [1.0]),
        (DPOPolicyOptimizer, [1, 1, 1, 1]),
        (PreferenceRewardModel, [0, 1, 2, 3]),
        (PreferenceRewardModelCV, [0, 1]),
        (TiePreferenceModel, [0, 1, np.nan, 1]),
    ],
)
def test_bad_labels_of_good_documents(make, y):
    model = small(make)
    first, second = data_of(model)
    assert_left_as_it_was(model, ValueError, first[0], y)
    assert_left_as_it_was(model.fit(*first), ValueError, second[0], y)


def test_training_goes_on_after_a_failed_fit_as_if_there_had_been_none():
    settings = {"max_iter": 4, "tol": 0, "random_state": 0, "warm_start": True, "n_rollouts": 16}
    reward = FailsLate(1000, "raises")
    one, other = (PPOPolicyOptimizer(None, reward, **settings).fit(TEXTS) for _ in range(2))
    reward.n_left = 3
    assert_left_as_it_was(one, RuntimeError, TEXTS)
    reward.n_left = 1000
    assert one.fit(TEXTS).history_ == other.fit(TEXTS).history_
    assert joblib.hash(one.training_state_) == joblib.hash(other.training_state_)
    assert one.n_iter_ == 8
