"""Fits on a real cluster of two worker processes: equal to local ones, also if a worker is killed.

What partitions mean, without a cluster, is in ``test_partitions.py``.
"""

import os
import signal
import threading
import time
from functools import partial

import joblib
import numpy as np
import pytest
from loops import RECORDS, make_loop
from numpy.testing import assert_allclose, assert_array_equal
from partition_tasks import die_once
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sklearn_codex import PreferenceRewardModel, SFTRefiner, TokenCounter, UnigramLM
from sklearn_codex._data.vectorizers import token_names
from sklearn_codex.model_selection import RecordKFold

REASON = "needs dask and distributed: pip install 'sklearn-codex[distributed]'"
distributed = pytest.importorskip("distributed", reason=REASON)
db = pytest.importorskip("dask.bag", reason=REASON)
da = pytest.importorskip("dask.array", reason=REASON)

WORDS = np.array(
    ["the", "a", "cat", "dog", "sat", "ran", "on", "mat", "good", "bad", "x9", "zebra", "Émile"],
    dtype=object,
)


def make_texts(n, seed=0):
    rng = np.random.RandomState(seed)
    return [" ".join(rng.choice(WORDS, rng.randint(2, 9))) for _ in range(n)]


TEXTS = make_texts(60)
PAIRS = list(zip(make_texts(120, seed=1), make_texts(120, seed=2), strict=True))
LABELS = np.random.RandomState(3).randint(0, 2, 120)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        host="127.0.0.1",
        local_directory=str(tmp_path_factory.mktemp("workers")),
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(autouse=True)
def two_workers(client):
    client.wait_for_workers(2, timeout=60)
    return client


def pids(client):
    return set(client.run(os.getpid).values())


class Killer(threading.Thread):
    """Waits for the process that wrote its id to a file, and kills it."""

    def __init__(self, marker):
        super().__init__(daemon=True)
        self.marker = marker
        self.pid = None

    def run(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.marker.exists() and self.marker.read_text().endswith("\n"):
                self.pid = int(self.marker.read_text())
                os.kill(self.pid, signal.SIGKILL)
                return
            time.sleep(0.01)


def fit_while_killed(client, tmp_path, model, collection):
    """Fit while the worker of whatever partition is read first is killed in the middle of it."""
    marker = tmp_path / "first"
    doomed = partial(die_once, marker=str(marker))
    is_bag = hasattr(collection, "pluck")
    if is_bag:
        collection = collection.map(doomed)
    else:  # with meta, or dask would try the function here
        collection = collection.map_blocks(doomed, meta=np.empty((0, 0)))
    before = pids(client)
    killer = Killer(marker)
    killer.start()
    model.fit(collection)
    killer.join(60)
    assert killer.pid in before
    assert killer.pid not in pids(client)
    return model


def assert_same_counts(one, other):
    assert_array_equal(one.token_count_, other.token_count_)
    assert_array_equal(one.token_log_prob_, other.token_log_prob_)
    assert_array_equal(token_names(one), token_names(other))
    assert (one.n_documents_, one.document_length_) == (other.n_documents_, other.document_length_)


def test_language_models_are_the_same_bits():
    bag = db.from_sequence(TEXTS, npartitions=5)
    local, remote = UnigramLM(0.5).fit(TEXTS), UnigramLM(0.5).fit(bag)
    assert_same_counts(remote, local)
    assert remote.score(bag) == local.score(TEXTS)
    assert_array_equal(remote.score_samples(bag).compute(), local.score_samples(TEXTS))
    base = FrozenEstimator(local)
    refined = SFTRefiner(base).fit(db.from_sequence(TEXTS[:20], npartitions=3))
    assert_same_counts(refined, SFTRefiner(base).fit(TEXTS[:20]))


def test_counts_are_the_same_bits():
    bag = db.from_sequence(TEXTS, npartitions=5)
    options = {"min_count": 10, "max_features": 8, "eos_token": "<eos>", "lowercase": True}
    local, remote = TokenCounter(**options).fit(TEXTS), TokenCounter(**options).fit(bag)
    assert list(remote.vocabulary_.items()) == list(local.vocabulary_.items())
    counts = remote.transform(bag)
    assert np.isnan(counts.shape[0])
    assert_array_equal(counts.compute().toarray(), local.transform(TEXTS).toarray())


@pytest.mark.parametrize("options", [{}, {"position_bias": True, "control_length": True}])
def test_reward_models_agree(options):
    local = PreferenceRewardModel(0.1, **options).fit(PAIRS, LABELS)
    bag = db.from_sequence(zip(PAIRS, LABELS, strict=True), npartitions=4)
    remote = PreferenceRewardModel(0.1, **options).fit(bag.pluck(0), bag.pluck(1))
    assert_allclose(remote._weights(), local._weights(), rtol=0, atol=1e-10)
    assert_array_equal(token_names(remote), token_names(local))
    assert remote.score(bag.pluck(0), bag.pluck(1)) == local.score(PAIRS, LABELS)


@pytest.mark.parametrize("kind", ["text", "counts"])
def test_a_worker_killed_while_it_counts_changes_nothing(client, tmp_path, kind):
    counts = TokenCounter().fit_transform(TEXTS).toarray()
    data = TEXTS if kind == "text" else counts
    lazy = db.from_sequence(TEXTS, npartitions=6) if kind == "text" else da.from_array(counts, 10)
    assert_same_counts(fit_while_killed(client, tmp_path, UnigramLM(), lazy), UnigramLM().fit(data))


class KillBetweenSteps:
    """Kills a worker that holds pairs when the solver has made its first step."""

    max_propagation_depth = None

    def __init__(self, client):
        self.client = client
        self.n_iterations = 0
        self.lost = ()
        self.pid = None

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.n_iterations += context.task_name == "iteration"
        if self.n_iterations == 2 and self.pid is None:
            held = {worker: keys for worker, keys in self.client.has_what().items() if keys}
            worker, self.lost = max(held.items(), key=lambda item: len(item[1]))
            self.pid = self.client.run(os.getpid, workers=[worker])[worker]
            os.kill(self.pid, signal.SIGKILL)


def test_a_worker_killed_between_newton_steps_changes_nothing(client):
    bag = db.from_sequence(PAIRS, npartitions=6)
    undisturbed = PreferenceRewardModel().fit(bag, LABELS)
    callback = KillBetweenSteps(client)
    model = PreferenceRewardModel().set_callbacks(callback).fit(bag, LABELS)
    assert len(callback.lost) > 0
    assert callback.pid not in pids(client)
    assert callback.n_iterations > 2
    assert_array_equal(model.coef_, undisturbed.coef_)
    local = PreferenceRewardModel().fit(PAIRS, LABELS)
    assert_allclose(model.coef_, local.coef_, rtol=0, atol=1e-10)


def score_of(loop, X, y=None):
    return loop.score(X)


def process_of(loop, X, y=None):
    return os.getpid()


def test_grid_search_of_the_whole_loop_by_joblib(client):
    grid = {"policy__kl_coef": [1.0, 4.0], "sft__prior_strength": [1.0, 100.0]}
    scoring = {"score": score_of, "process": process_of}
    search = GridSearchCV(
        make_loop(), grid, cv=RecordKFold(2), error_score="raise", scoring=scoring, refit="score"
    )
    expected = search.fit(RECORDS).cv_results_["mean_test_score"]
    with joblib.parallel_config("dask"):
        search.fit(RECORDS)
    results = search.cv_results_
    assert_array_equal(results["mean_test_score"], expected)
    processes = [results[f"split{fold}_test_process"] for fold in range(2)]
    assert os.getpid() not in np.ravel(processes)
