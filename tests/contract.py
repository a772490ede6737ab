"""What every estimator of records promises: one function per promise.

scikit-learn's ``check_estimator`` has no checks for such an input. Each function takes ``make``,
which returns a new, unfitted and seeded estimator, and ``records``, a list of dicts.
"""

import copy
import pickle

import joblib
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

# The first that a stage has is what it learned.
_LEARNED = ("token_log_prob_", "arc_log_prob_", "coef_", "expected_reward_")
DOCUMENT_METHODS = ("predict", "score_samples", "perplexity", "reward")


class RecordingCallback:
    """Keeps the tasks that begin and end; propagates to every depth."""

    max_propagation_depth = None

    def __init__(self):
        self.events = []

    def setup(self, estimator, context):
        self.events.append(("setup", type(estimator).__name__, context.task_name))

    def teardown(self, estimator, context):
        self.events.append(("teardown", type(estimator).__name__, context.task_name))

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", type(estimator).__name__, context.task_name))

    def on_fit_task_end(self, estimator, context):
        self.events.append(("end", type(estimator).__name__, context.task_name))

    def named(self, event):
        return [names for kind, *names in self.events if kind == event]


class StopAtOnce(RecordingCallback):
    """Stops a fit after its first iteration."""

    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        return context.task_name == "iteration"


def is_fitted(estimator):
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def learned_state(estimator):
    """All learned numbers: an array for each stage that is not left out."""
    return {
        name: np.array(next(getattr(stage, own) for own in _LEARNED if hasattr(stage, own)))
        for name, stage in estimator.steps_
        if stage != "passthrough"
    }


def assert_same_bits(one, other):
    one, other = learned_state(one), learned_state(other)
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert values.dtype == np.float64
        assert_array_equal(values, other[name], err_msg=name)


def assert_balanced(callback):
    """Each task that begins ends, inner before outer, between one setup and one teardown."""
    assert callback.events[0][0] == "setup"
    assert callback.events[-1][0] == "teardown"
    assert len(callback.named("setup")) == len(callback.named("teardown")) == 1
    stack = []
    for event, *names in callback.events[1:-1]:
        if event == "begin":
            stack.append(names)
        else:
            assert stack.pop() == names
    assert not stack


def check_clone(make, records):
    """A clone has the parameters, is not fitted, and learns the same."""
    fitted = make().fit(records)
    copied = clone(fitted)
    assert is_fitted(fitted)
    assert not is_fitted(copied)
    assert repr(copied) == repr(make())
    assert_same_bits(copied.fit(records), fitted)


def check_nested_params(make, records):
    """Every parameter of every stage is read and set by its nested name."""
    estimator = make()
    params = estimator.get_params()
    for name, stage in estimator.steps:
        assert params[name] is stage
        for parameter, value in stage.get_params(deep=False).items():
            nested = f"{name}__{parameter}"
            assert params[nested] is value
            assert estimator.set_params(**{nested: value}) is estimator
            assert getattr(estimator.named_steps[name], parameter) is value


def check_pickles(make, records):
    """A fitted estimator comes back from a pickle with the same answers."""
    fitted = make().fit(records)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_same_bits(loaded, fitted)
    assert loaded.score(records) == fitted.score(records)
    assert_array_equal(loaded.predict(["a", "b"]), fitted.predict(["a", "b"]))


def check_fit_is_idempotent(make, records):
    """Fitting again, also after other records, leaves nothing of the earlier fit."""
    once = make().fit(records)
    other = make().fit([*records[:-1], {"text": "zebra yak xylophone"}])
    assert_same_bits(other.fit(records).fit(records), once)


def check_steps_left_unfitted(make, records):
    """The stages that the user gave are neither fitted nor changed."""
    estimator = make()
    before = joblib.hash(estimator.steps)
    steps = [stage for _, stage in estimator.steps]
    fitted = estimator.fit(records)
    assert joblib.hash(estimator.steps) == before
    for given, (_, stage) in zip(steps, fitted.steps, strict=True):
        assert given is stage
        assert not is_fitted(stage)
    assert all(is_fitted(stage) for _, stage in fitted.steps_)


def check_frozen_untouched(make, records):
    """A frozen stage and a frozen vectorizer come out as they went in, and are used as they are."""
    first = make().fit(records)
    name, model = first.steps_[0]
    before = joblib.hash(model)
    estimator = make().set_params(
        **{name: FrozenEstimator(model), "vectorizer": FrozenEstimator(first.vectorizer_)}
    )
    assert_same_bits(estimator.fit(records), first)
    assert estimator[name].estimator is model
    assert joblib.hash(model) == before


def check_callbacks_begin_and_end(make, records):
    """Each stage is one task of the whole, and every task that begins ends."""
    callback = RecordingCallback()
    estimator = make().set_callbacks(callback).fit(records)
    assert_balanced(callback)
    begun = callback.named("begin")
    assert begun[0] == [type(estimator).__name__, "fit"]
    for _, stage in estimator.steps:
        assert [type(stage).__name__, "fit"] in begun


def check_text_equals_counts(make, records):
    """Documents given as text, or as counts by the vectorizer, get the same answers."""
    fitted = make().fit(records)
    texts = [record["text"] for record in records if "text" in record]
    counts = fitted.vectorizer_.transform(texts)
    for method in DOCUMENT_METHODS:
        from_text, from_counts = (getattr(fitted, method)(X) for X in (texts, counts))
        if method == "predict":
            assert_array_equal(from_text, from_counts)
        else:
            assert_allclose(from_text, from_counts, rtol=1e-12)


def check_seeded(make, records):
    """The same seed gives the same bits, in ``fit`` and in ``sample``."""
    one, other = make().fit(records), make().fit(records)
    assert_same_bits(one, other)
    assert one.sample(3, random_state=0) == other.sample(3, random_state=0)
    assert one.sample(3, random_state=0) != other.sample(3, random_state=1)


def check_input_unchanged(make, records):
    """The records given are not written to."""
    given = copy.deepcopy(records)
    estimator = make().fit(given)
    estimator.score(given)
    estimator.predict(given)
    assert given == records


PROMISES = (
    check_clone,
    check_nested_params,
    check_pickles,
    check_fit_is_idempotent,
    check_steps_left_unfitted,
    check_frozen_untouched,
    check_callbacks_begin_and_end,
    check_text_equals_counts,
    check_seeded,
    check_input_unchanged,
)
