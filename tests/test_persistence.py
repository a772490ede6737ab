"""Model files: written whole, loaded without running code."""

import pickle
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    PPOPolicyOptimizer,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    load_model,
    save_model,
)

TEXTS = ["the cat sat", "the dog sat on the cat", "a bird\u00e9 flew"]


def _models():
    base = UnigramLM().fit(TEXTS)
    yield TokenCounter("code", eos_token="<eos>").fit(TEXTS)
    yield base
    yield SFTRefiner(FrozenEstimator(base)).fit(TEXTS)
    yield PPOPolicyOptimizer(FrozenEstimator(base), random_state=0).fit(TEXTS, [1.0, 0.0, 2.0])


@pytest.mark.parametrize("model", list(_models()), ids=lambda model: type(model).__name__)
def test_loaded_model_gives_the_same_bits(model, tmp_path):
    path = tmp_path / "model.skops"
    save_model(model, path)
    loaded = load_model(path)
    if hasattr(model, "transform"):
        assert (model.transform(TEXTS) != loaded.transform(TEXTS)).nnz == 0
    else:
        np.testing.assert_array_equal(model.score_samples(TEXTS), loaded.score_samples(TEXTS))
        assert model.sample(2, random_state=0) == loaded.sample(2, random_state=0)


def test_any_token_survives_pickle_and_model_files(tmp_path):
    words = ["\ud83d\ude00", "\U0001f600", "\ud83d", '"', "\\u0041", "caf\u00e9", "a\x00b"]
    counter = TokenCounter().fit([" ".join(words)])
    save_model(counter, tmp_path / "counter.skops")
    for copy in (pickle.loads(pickle.dumps(counter)), load_model(tmp_path / "counter.skops")):
        assert copy.vocabulary_ == counter.vocabulary_
        assert set(words) <= set(copy.vocabulary_)


def test_existing_file_is_kept_unless_overwritten(tmp_path):
    path = tmp_path / "model.skops"
    save_model(UnigramLM().fit(TEXTS), path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save_model(UnigramLM().fit(TEXTS[:1]), path)
    assert path.read_bytes() == before
    save_model(UnigramLM().fit(TEXTS[:1]), path, overwrite=True)
    assert path.read_bytes() != before


def test_failed_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "model.skops"
    save_model(UnigramLM().fit(TEXTS), path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(skops.io, "dump", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(UnigramLM().fit(TEXTS), path, overwrite=True)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.skops"]


class _Foreign:
    """A type that a model file must not bring to life."""


def test_foreign_types_are_refused_by_name(tmp_path):
    path = tmp_path / "model.skops"
    model = UnigramLM().fit(TEXTS)
    model.extra_ = _Foreign()
    save_model(model, path)
    with pytest.raises(ValueError, match=r"does not trust .*_Foreign"):
        load_model(path)


def test_what_is_no_model_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="found no file"):
        load_model(tmp_path / "none.skops")
    path = tmp_path / "text.skops"
    path.write_text("hello")
    with pytest.raises(ValueError, match="no model file"):
        load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "hello")
    with pytest.raises(ValueError, match="no model file"):
        load_model(path)
