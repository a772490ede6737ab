"""A cache that fails costs time and a warning, never a fit."""

import errno
import os
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
from joblib._store_backends import FileSystemStoreBackend
from sklearn.base import clone

from sklearn_codex import (
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    UnigramLM,
    make_rlhf_pipeline,
)
from sklearn_codex._pipeline.counting import hash_texts

RECORDS = [{"text": f"a b {'c' * (i % 3 + 1)}"} for i in range(8)]
RECORDS += [{"chosen": "a b", "rejected": f"c {'cc' * (i % 2)}"} for i in range(6)]


def make_loop(memory=None):
    policy = PPOPolicyOptimizer(max_iter=2, tol=0, random_state=0)
    return make_rlhf_pipeline(UnigramLM(), PreferenceRewardModel(), policy, memory=memory)


@pytest.fixture(scope="module")
def expected():
    return make_loop().fit(RECORDS)[-1].token_log_prob_


def assert_fits(loop, expected):
    loop.fit(RECORDS)
    np.testing.assert_array_equal(loop[-1].token_log_prob_, expected)
    assert np.isfinite(loop.score(RECORDS))


def fail(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def _no_functions_known(monkeypatch):
    """Let joblib look into the cache for the code of a function, as a new process does."""
    monkeypatch.setattr("joblib.memory._FUNCTION_HASHES", {})


@pytest.mark.parametrize(
    ("method", "warning"),
    [
        ("store_cached_func_code", r"could not read its cache in memory='.*No space left"),
        ("create_location", r"could not read its cache in memory='.*No space left"),
        ("contains_item", r"could not read its cache in memory='.*No space left"),
        ("_concurrency_safe_write", "could not read its cache in memory='.*No space left"),
        ("dump_item", r"could not write its cache in memory='.*No space left"),
        ("get_cached_func_code", None),  # joblib writes it again,
        ("load_item", None),  # and logs that it computes a result again
    ],
)
def test_a_full_or_broken_cache_does_not_stop_a_fit(
    method, warning, tmp_path, expected, monkeypatch
):
    loop = make_loop(str(tmp_path))
    if method == "load_item":
        clone(loop).fit(RECORDS)
    monkeypatch.setattr(FileSystemStoreBackend, method, fail)
    with pytest.warns(RuntimeWarning, match=warning) if warning else nullcontext():
        assert_fits(loop, expected)


@pytest.mark.filterwarnings("ignore:Unable to write")
def test_a_limit_of_space_does_not_stop_a_fit(tmp_path, expected):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.warns(RuntimeWarning, match=r"could not (read|write) its cache in memory='.*"):
            assert_fits(make_loop(str(tmp_path)), expected)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_fits(make_loop(str(tmp_path)), expected)


def test_a_folder_that_cannot_be_made_does_not_stop_a_fit(tmp_path, expected):
    (tmp_path / "file").write_text("x")
    with pytest.warns(RuntimeWarning, match=r"cannot cache in memory='.*file': .* without a cache"):
        assert_fits(make_loop(str(tmp_path / "file")), expected)


def damage(content, how):
    middle = len(content) // 2
    return {
        "empty": b"",
        "cut": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "other": b"nonsense",
    }[how]


@pytest.mark.parametrize("how", ["empty", "cut", "flipped", "other"])
@pytest.mark.parametrize("name", ["output.pkl", "metadata.json", "func_code.py"])
def test_damaged_entries_are_made_again(name, how, tmp_path, expected, monkeypatch):
    assert_fits(make_loop(str(tmp_path)), expected)
    paths = list(tmp_path.rglob(name))
    assert len(paths) >= 3
    for path in paths:
        path.write_bytes(damage(path.read_bytes(), how))
    monkeypatch.setattr("joblib.memory._FUNCTION_HASHES", {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_fits(make_loop(str(tmp_path)), expected)
    # What was damaged has been replaced, or is left out without harm.
    assert_fits(make_loop(str(tmp_path)), expected)


def test_an_error_of_a_stage_is_not_one_of_the_cache(tmp_path):
    loop = make_loop(str(tmp_path)).set_params(unigramlm__smoothing=-1.0)
    with pytest.raises(ValueError, match="'smoothing' parameter of UnigramLM"):
        loop.fit(RECORDS)


def test_texts_are_known_by_where_each_begins_too():
    one, other, more = (["ab", "c"], ["a", "bc"], ["ab", "c", ""])
    assert len({hash_texts(texts) for texts in (one, other, more)}) == 3
    many = [f"text {i}" for i in range(200)]
    assert hash_texts(many) != hash_texts([*many[:150], *many[151:], many[150]])
