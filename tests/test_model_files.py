"""Hostile model files: nothing of them runs, and whatever is wrong with one is told."""

import copy
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from numpy.testing import assert_allclose, assert_array_equal
from saved_models import saved_models
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfVectorizer,
)
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

import sklearn_codex
from fuzz import model_files
from fuzz.crafted_models import crafted_files, rebuilt_function, write_flag
from fuzz.nodes import (
    Members,
    call,
    mapping,
    node,
    npy,
    object_of,
    pack,
    plain,
    sequence,
    type_of,
    unigram,
)
from sklearn_codex import (
    PairVectorizer,
    PreferenceRewardModel,
    TokenCounter,
    UnigramLM,
    load_model,
    save_model,
    trusted_types,
)
from sklearn_codex._persistence.archive import MAX_MEMBERS
from sklearn_codex._persistence.files import FORMAT
from sklearn_codex._persistence.fitted import _NEEDED, check_fitted
from sklearn_codex._persistence.trust import OWN_TYPES, own_names


def _loaded(data, tmp_path, **options):
    path = tmp_path / "model.skops"
    path.write_bytes(data)
    return load_model(path, **options)


def test_crafted_files_run_nothing_and_are_refused():
    outcomes = model_files.run(len(crafted_files("flag")), seed=0)
    assert outcomes.others == []
    assert outcomes.clear_errors == len(outcomes) > 200


def test_changed_files_load_as_models_that_work_or_not_at_all():
    outcomes = model_files.try_changed(150, seed=1)
    assert outcomes.others == []
    assert outcomes.results > 10


def test_what_crafted_files_are_made_of_loads_without_the_attack(tmp_path):
    assert _loaded(pack(unigram()), tmp_path).get_params() == UnigramLM().get_params()


@pytest.mark.parametrize("part", ["exec", "bytecode"])
def test_attacks_are_live_where_types_are_trusted(part, tmp_path):
    # The same files run code in a reader that trusts what they hold, so the tests above can fail.
    flag, path, members = tmp_path / "flag", tmp_path / "evil.skops", Members()
    if part == "exec":
        value = call("builtins.exec", plain(write_flag(str(flag))))
    else:
        function = rebuilt_function(str(flag), members, "types")
        value = mapping({"key": plain(1)}, sequence("list", function))
    path.write_bytes(pack(sequence("list", value), members.content))
    with pytest.raises(ValueError, match="load_model"):
        load_model(path)
    assert not flag.exists()
    skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))
    assert flag.exists()


def test_every_listed_type_is_the_class_of_that_name_and_place():
    for place in own_names():
        module, _, name = place.rpartition(".")
        found = vars(sys.modules.get(module) or __import__(module, fromlist=[name]))[name]
        assert isinstance(found, type)
        assert (found.__module__, found.__qualname__) == (module, name)


def test_every_public_estimator_rule_and_controller_is_listed():
    modules = (sklearn_codex, sklearn_codex.rules, sklearn_codex.kl_control)
    values = [getattr(module, name) for module in modules for name in module.__all__]
    public = {v.__name__ for v in values if isinstance(v, type) and hasattr(v, "get_params")}
    assert public - {"Rule", "KLController"} <= set(OWN_TYPES)


def test_no_listed_type_of_this_package_is_a_pickler_or_function():
    names = {name.rpartition(".")[2] for name in trusted_types()}
    assert names & {"FunctionType", "partial", "Path", "StoredStage", "Memory", "eval"} == set()
    assert "FunctionTransformer" not in names


def test_other_tools_read_our_files_with_the_exported_list(tmp_path):
    model = UnigramLM().fit(["a b", "b"])
    data = skops.io.dumps(model)
    again = skops.io.loads(data, trusted=trusted_types())
    assert_allclose(again.token_log_prob_, model.token_log_prob_)


def test_own_types_load_where_they_are_named(tmp_path):
    path = tmp_path / "model.skops"
    counter = TokenCounter(str.split).fit(["a b"])
    with pytest.raises(ValueError, match="TokenCounter"):
        save_model(counter, path)
    model = UnigramLM().fit(["a b"])
    model.note_ = Note("kept")
    with pytest.raises(ValueError, match=r"would not trust test_model_files\.Note in it"):
        save_model(model, path)
    assert not path.exists()
    save_model(model, path, trusted=[Note])
    with pytest.raises(ValueError, match=r"does not trust test_model_files\.Note"):
        load_model(path)
    for trusted in ([Note], ["test_model_files.Note"]):
        assert load_model(path, trusted=trusted).note_.text == "kept"


class Note:
    """A type of a user's own."""

    def __init__(self, text):
        self.text = text


def shout(text):
    return text.upper().split()


def test_a_tokenizer_of_ones_own_loads_where_it_is_named(tmp_path):
    path = tmp_path / "counter.skops"
    counter = TokenCounter(shout).fit(["a b"])
    with pytest.raises(ValueError, match=r"would not trust test_model_files\.shout"):
        save_model(counter, path)
    save_model(counter, path, trusted=[shout])
    assert load_model(path, trusted=[shout]).transform(["A b"]).sum() == 2


@pytest.mark.parametrize(
    ("trusted", "error", "message"),
    [(["Note"], ValueError, "names no module"), ([3], TypeError, "types, functions or names")],
)
def test_trusted_is_checked(trusted, error, message, tmp_path):
    with pytest.raises(error, match=message):
        load_model(tmp_path / "none.skops", trusted=trusted)


def test_limits_are_those_stated(tmp_path):
    path = tmp_path / "model.skops"
    save_model(UnigramLM().fit(["a b"]), path)
    size = path.stat().st_size
    with pytest.raises(ValueError, match=f"more than max_size={size - 1:,}"):
        load_model(path, max_size=size - 1)
    with pytest.raises(ValueError, match="unpacks to"):
        load_model(path, max_size=size)
    assert load_model(path, max_size=20 * size).n_features_in_ == 3
    assert f"{MAX_MEMBERS:,} members" in load_model.__doc__


def test_names_of_a_file_cannot_write_to_the_terminal(tmp_path):
    with pytest.raises(ValueError, match="does not trust") as caught:
        _loaded(pack(object_of("os\x1b[2J.\u202esystem\n", x=plain(1))), tmp_path)
    assert str(caught.value).isprintable()


def test_private_places_of_classes_may_change(tmp_path):
    # Format 0 named classes by where they stood; a class is known by its name.
    old = object_of("sklearn_codex._gone.UnigramLM", smoothing=plain(0.5), vectorizer=plain(None))
    assert _loaded(pack(old), tmp_path).smoothing == 0.5
    save_model(UnigramLM().fit(["a b"]), tmp_path / "new.skops")
    with zipfile.ZipFile(tmp_path / "new.skops") as archive:
        schema = json.loads(archive.read("schema.json"))
    assert (schema["__module__"], schema["__class__"]) == ("sklearn_codex", "UnigramLM")
    assert schema["sklearn_codex_format"] == 1
    assert schema["sklearn_codex_version"] == sklearn_codex.__version__
    assert "sklearn_codex._" not in json.dumps(schema)


def test_a_file_that_changes_while_it_is_read_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "model.skops"
    save_model(UnigramLM(smoothing=0.5).fit(["a b"]), path)
    loads = skops.io.loads

    def swap(data, trusted):
        path.write_bytes(pack(call("builtins.exec", plain("1"))))
        return loads(data, trusted=trusted)

    monkeypatch.setattr(skops.io, "loads", swap)
    assert load_model(path).smoothing == 0.5


def test_info_refuses_a_hostile_file_without_running_it(tmp_path):
    flag, path = tmp_path / "flag", tmp_path / "evil.skops"
    value = call("builtins.exec", plain(write_flag(str(flag))))
    path.write_bytes(pack(unigram(note_=value)))
    run = subprocess.run(
        [sys.executable, "-m", "sklearn_codex", "info", str(path)], capture_output=True, text=True
    )
    assert run.returncode != 0
    assert "does not trust builtins.exec" in run.stderr
    assert "Traceback" not in run.stderr
    assert not flag.exists()


def test_one_object_in_two_places_stays_one(tmp_path):
    model = UnigramLM().fit(["a b"])
    model.first_ = model.second_ = np.arange(3)
    save_model(model, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    assert loaded.first_ is loaded.second_


def _pipeline(**parameters):
    steps = sequence("list", sequence("tuple", plain("lm"), unigram()))
    rest = {"steps": steps, "transform_input": plain(None), "verbose": plain(False)}
    return object_of("sklearn.pipeline.Pipeline", **rest | parameters)


def test_parts_of_one_id_are_the_same_parts(tmp_path):
    # A dict is harmless by itself; as the attributes of a pipeline it would give it a folder of
    # pickles, and attributes and keys of other kinds than are allowed there.
    harmless, kept = _pipeline(memory=plain(None)), _pipeline(memory=plain(str(tmp_path)))
    harmless["content"]["__id__"] = 7
    kept["content"]["__id__"] = 7
    data = pack(unigram(note_=sequence("list", kept["content"], harmless)))
    with pytest.raises(ValueError, match="gives one id, 7, to different objects"):
        _loaded(data, tmp_path)
    types = [
        {**sequence("list", kind), "__id__": 8} for kind in (plain(1), type_of("builtins.str"))
    ]
    data = pack(unigram(note_=sequence("list", types[0], mapping({"a": plain(1)}, types[1]))))
    with pytest.raises(ValueError, match="gives one id, 8, to different objects"):
        _loaded(data, tmp_path)
    members = Members()
    arrays = [members.array(npy(np.arange(n, 3 + n))) for n in range(2)]
    data = [
        pack(unigram(note_=sequence("list", *({**a, "__id__": 9} for a in pair))), members.content)
        for pair in (arrays, arrays[:1] * 2)
    ]
    with pytest.raises(ValueError, match="gives one id, 9, to different objects"):
        _loaded(data[0], tmp_path)
    first, second = _loaded(data[1], tmp_path).note_
    assert first is second


def test_a_memory_is_left_out_and_none_comes_in(tmp_path):
    model = Pipeline([("lm", UnigramLM())], memory=str(tmp_path))
    assert _loaded(skops.io.dumps(model), tmp_path).memory is None
    with pytest.raises(ValueError, match="its Pipeline has a memory, which is a folder of pickles"):
        check_fitted([model])


@pytest.mark.parametrize("kind", [CountVectorizer, TfidfVectorizer, HashingVectorizer])
@pytest.mark.parametrize("texts", ["filename", "file"])
def test_texts_are_never_names_of_files_to_read(kind, texts, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("word other")
    vectorizer = kind(input=texts)
    with pytest.raises(ValueError, match=rf"takes texts for files to read \(input='{texts}'\)"):
        save_model(vectorizer, tmp_path / "model.skops")
    model = PreferenceRewardModel(vectorizer=kind(input=texts))
    with pytest.raises(ValueError, match="takes texts for files to read"):
        _loaded(skops.io.dumps(model), tmp_path)


@pytest.mark.parametrize("name", sorted(saved_models()))
def test_fitted_models_without_what_their_methods_read_are_refused(name):
    model = saved_models()[name]
    kind = type(model).__name__
    needed = [attribute for names, kinds in _NEEDED for attribute in names if kind in kinds]
    for attribute in needed:
        broken = copy.copy(model)
        vars(broken).pop(attribute)
        with pytest.raises(ValueError, match=f"its {kind} is fitted, but has no .* {attribute}$"):
            check_fitted(broken)


@pytest.mark.parametrize(
    ("name", "attribute"),
    [
        ("sft", "token_log_prob_"),
        ("sft of n-grams", "_backoff"),
        ("sft of n-grams", "event_count_"),
    ],
)
def test_refined_models_need_what_their_base_is_of(name, attribute):
    broken = copy.copy(saved_models()[name])
    vars(broken).pop(attribute)
    with pytest.raises(ValueError, match=f"its SFTRefiner is fitted, but has no .* {attribute}$"):
        check_fitted(broken)


@pytest.mark.parametrize(
    "change",
    [
        lambda trie: {"lower": trie.lower[::-1]},
        lambda trie: {"next": trie.next + 1},
        lambda trie: {"indptr": trie.indptr[:-1]},
        lambda trie: {"arc_token": trie.arc_token * 10},
        lambda trie: {"suffix": trie.suffix - 10**6},
        lambda trie: {"n_tokens": 10**9},
        lambda trie: {"start": 0},
        lambda trie: {"order": 2},
        lambda trie: {"arc_of_context": None},
    ],
)
def test_tries_that_do_not_fit_together_are_refused(change):
    counter = copy.copy(saved_models()["stream of n-grams"])
    counter.trie_ = copy.copy(counter.trie_)
    vars(counter.trie_).update(change(counter.trie_))
    with pytest.raises(ValueError, match="trie in it do not fit together"):
        check_fitted(counter)


def test_back_off_models_that_are_no_distributions_are_refused():
    model = copy.copy(saved_models()["n-gram model"])
    inner = model._backoff
    for arcs, weights in (
        (inner.arc_log_prob + 0.1, inner.backoff_log_weight),
        (inner.arc_log_prob[:-1], inner.backoff_log_weight),
        (inner.arc_log_prob * np.nan, inner.backoff_log_weight),
        (inner.arc_log_prob, inner.backoff_log_weight - 1),
    ):
        model._backoff = type(inner)(inner.trie, arcs, weights)
        with pytest.raises(ValueError, match="probabilities of a back-off model in it are none"):
            check_fitted(model)


@pytest.mark.parametrize("column", [-1, 3, 10**30, 1e308, None, "x", True, 0])
def test_vocabularies_that_do_not_number_columns_are_refused(column):
    vectorizer = TfidfVectorizer().fit(["aa bb cc"])
    check_fitted(vectorizer)
    vectorizer.vocabulary_["bb"] = column
    with pytest.raises(ValueError, match="vocabulary_ of its TfidfVectorizer does not number"):
        check_fitted(PairVectorizer(vectorizer))


def test_weights_of_other_columns_and_frozen_nothings_are_refused():
    vectorizer = TfidfVectorizer().fit(["aa bb cc"])
    vectorizer._tfidf.idf_ = np.ones(2)
    with pytest.raises(ValueError, match="its TfidfVectorizer has not 3 finite idf_"):
        check_fitted(vectorizer)
    with pytest.raises(ValueError, match="its FrozenEstimator holds no estimator"):
        check_fitted(FrozenEstimator(3))


@pytest.mark.parametrize("value", ["x", 3, None, [1], {"a": 1}, np.ones(2), {1}])
def test_files_of_no_model_are_refused(value, tmp_path):
    with pytest.raises(ValueError, match=f"it holds a {type(value).__name__}, and no model"):
        save_model(value, tmp_path / "model.skops")
    with pytest.raises(ValueError, match=r"model.skops.*, and no model"):
        _loaded(skops.io.dumps(value), tmp_path)


def test_frozen_sets_are_kept(tmp_path):
    model = UnigramLM().fit(["a b"])
    model.note_ = frozenset({"a", "b"})
    save_model(model, tmp_path / "model.skops")
    assert load_model(tmp_path / "model.skops").note_ == {"a", "b"}


def test_bytes_need_to_be_trusted(tmp_path):
    members = Members()
    data = pack(unigram(note_=members.raw(b"abc")), members.content)
    with pytest.raises(ValueError, match=r"does not trust builtins\.bytes"):
        _loaded(data, tmp_path)
    assert _loaded(data, tmp_path, trusted=["builtins.bytes"]).note_ == b"abc"


def test_trust_of_a_type_is_not_trust_of_what_it_holds(tmp_path):
    inner = call("builtins.exec", plain("1"))
    data = pack(
        unigram(note_=node("ObjectNode", "test_model_files.Note", content=mapping({"x": inner})))
    )
    with pytest.raises(ValueError, match=r"does not trust builtins\.exec in"):
        _loaded(data, tmp_path, trusted=[Note])


def test_files_of_every_format_load_as_one_model():
    # Written by the same fit, by the versions that wrote each format.
    folder = Path(__file__).parent / "model_files"
    loops = [load_model(path) for path in sorted(folder.glob("format_*.skops"))]
    assert len(loops) == FORMAT + 1
    for loop in loops[1:]:
        assert_array_equal(loop.reward(["the cat", "a dog"]), loops[0].reward(["the cat", "a dog"]))
        assert_array_equal(loop.score_samples(["the mat"]), loops[0].score_samples(["the mat"]))
        assert loop.sample(3, random_state=0) == loops[0].sample(3, random_state=0)
    for policy in (loop["ppopolicyoptimizer"] for loop in loops):
        assert_allclose(policy.evaluate().objective, policy.objective_)  # by the seed of the fit


def _fit_keys(node):
    """Give each dict in a tree as many types of keys as it has keys."""
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    for value in inside:
        _fit_keys(value)
    if isinstance(node, dict) and node.get("__loader__") == "DictNode":
        types = node["key_types"]["content"]
        node["key_types"]["content"] = (types * len(node["content"]))[: len(node["content"])]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ties", lambda state: state["_meaning"]["content"].update({"0.5": plain(7)}), "outcomes"),
        ("ppo, logged", lambda state: state.pop("training_state_"), "no attribute training_state_"),
        ("ppo, logged", lambda state: state.update(_seed=plain(-1)), "_seed of its PPO"),
        ("best of n", lambda state: state.pop("_seed"), "no attribute _seed"),
        ("reward, length", lambda state: state.pop("_length_of_text"), "_length_of_text"),
        ("by hand", lambda state: state["steps"]["content"].append(plain(3)), "steps of its Pipe"),
    ],
)
def test_state_that_no_fit_gives_is_refused(name, change, message, tmp_path):
    path = tmp_path / "model.skops"
    save_model(saved_models()[name], path)
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    schema = json.loads(members.pop("schema.json"))
    change(schema["content"]["content"])
    _fit_keys(schema)
    with pytest.raises(ValueError, match=message):
        _loaded(pack(schema, members), tmp_path)
