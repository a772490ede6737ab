"""The data: real code cut as documented, and simulations that obey their formula."""

import ast
import copy
import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import issparse
from scipy.special import expit
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score

from sklearn_codex.datasets import load_stdlib_code, make_preferences
from sklearn_codex.datasets._degradations import DEGRADATIONS
from sklearn_codex.datasets._function_body import parse
from sklearn_codex.datasets._stdlib_sources import (
    Module,
    iter_corpus,
    iter_functions,
    module_names,
    stdlib_directory,
)

TOKEN = r"[^\W\d]\w*|\d+|[^\w\s]"


@pytest.fixture(scope="module")
def code():
    return load_stdlib_code(n_modules=40)


def _digest(data):
    return hashlib.sha256(json.dumps([data.records, data.preference_truth]).encode()).hexdigest()


def _sides(data):
    """Yield record, truth, real body and degraded body of every pair."""
    for record, truth in zip(data.preferences, data.preference_truth, strict=True):
        other = {"chosen": "rejected", "rejected": "chosen"}[truth["original"]]
        yield record, truth, record[truth["original"]], record[other]


def _tokens(text):
    return CountVectorizer(token_pattern=TOKEN, lowercase=False).build_analyzer()(text)


def test_records_have_the_columns_of_their_kind(code):
    assert {tuple(r) for r in code.corpus} == {("text",)}
    assert {tuple(r) for r in code.demonstrations} == {("prompt", "completion")}
    assert {tuple(r) for r in code.preferences} == {("prompt", "chosen", "rejected")}
    assert code.records == [*code.corpus, *code.demonstrations, *code.preferences]
    assert all(v.strip() for r in code.records for v in r.values())
    assert len(code.corpus_kind) == len(code.corpus)
    assert set(code.corpus_kind) == {"code", "docstring"}
    assert len(code.demonstration_source) == len(code.demonstrations) > 50
    assert len(code.preference_truth) == len(code.preferences) > 200


def test_everything_that_is_code_parses(code):
    for record, kind in zip(code.corpus, code.corpus_kind, strict=True):
        assert kind == "docstring" or parse(record["text"])
    for record in code.demonstrations:
        assert parse(record["completion"]).body
    for record in code.preferences:
        assert parse(record["chosen"]).body
        assert parse(record["rejected"]).body


def test_prompt_and_body_make_a_function_that_compiles(code):
    pairs = [(r["prompt"], r["completion"]) for r in code.demonstrations]
    pairs += [(r["prompt"], r[side]) for r in code.preferences for side in ("chosen", "rejected")]
    assert len(pairs) > 100
    for prompt, body in pairs:
        method = textwrap.indent(f"{prompt}\n{textwrap.indent(body, '    ')}", "    ")
        compile(parse(f"class _:\n{method}"), "<data>", "exec", dont_inherit=True)


def test_demonstrations_pass_the_documented_filters(code):
    for record in code.demonstrations:
        (function,) = parse(record["prompt"]).body
        assert isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        assert 5 <= len(ast.get_docstring(function).split()) <= 120
        lines = [line for line in record["completion"].split("\n") if line.strip()]
        assert 2 <= len(lines) <= 30
        assert not any(line.startswith(" ") for line in lines[:1])
        assert record["completion"].isascii()
        assert "NotImplemented" not in record["completion"]
        assert ast.get_docstring(function, clean=False) not in record["completion"]


def test_prompts_are_unique_and_no_kind_leaks_into_another(code):
    shown = [r["prompt"] for r in code.demonstrations]
    compared = {r["prompt"] for r in code.preferences}
    assert len(set(shown)) == len(shown)
    assert not set(shown) & compared
    text = "\n".join(r["text"] for r in code.corpus)
    bodies = [r["completion"] for r in code.demonstrations]
    assert not any(body in text for body in bodies if body.count("\n") > 3)


def test_pairs_of_one_prompt_share_the_real_body_and_differ_in_the_flaw(code):
    real, flaws, kinds = {}, Counter(), Counter()
    for record, truth, original, degraded in _sides(code):
        assert original != degraded
        assert real.setdefault(record["prompt"], original) == original
        flaws[record["prompt"], degraded] += 1
        kinds[record["prompt"], truth["degradation"]] += 1
    assert set(flaws.values()) == set(kinds.values()) == {1}
    assert max(Counter(r["prompt"] for r in code.preferences).values()) == 4


def test_degradations_are_balanced_and_change_length_both_ways(code):
    counts = Counter(truth["degradation"] for truth in code.preference_truth)
    assert set(counts) == set(DEGRADATIONS)
    assert max(counts.values()) <= 0.1 * len(code.preferences)
    signs = [
        np.sign(len(_tokens(real)) - len(_tokens(degraded))) for *_, real, degraded in _sides(code)
    ]
    assert min(Counter(signs).values()) > 0.2 * len(signs)


def test_truth_holds_the_documented_probability():
    data = load_stdlib_code(n_modules=10, temperature=2.0, length_bias=0.1)
    for _, truth, real, degraded in _sides(data):
        severity = data.degradations[truth["degradation"]]["severity"]
        extra = len(_tokens(real)) - len(_tokens(degraded))
        assert truth["severity"] == severity
        assert_allclose(truth["probability"], expit((severity + 0.1 * extra) / 2.0))


def test_the_annotator_prefers_the_real_body_as_often_as_the_truth_says(code):
    p = np.array([truth["probability"] for truth in code.preference_truth])
    real = np.array([truth["original"] == "chosen" for truth in code.preference_truth])
    for low, high in [(0.5, 0.8), (0.8, 0.95), (0.95, 1.0)]:
        inside = (p >= low) & (p < high)
        error = np.sqrt(np.sum(p[inside] * (1 - p[inside]))) / inside.sum()
        assert abs(real[inside].mean() - p[inside].mean()) < 4 * error


def test_a_cold_annotator_never_errs():
    data = load_stdlib_code(n_modules=5, temperature=0.01)
    assert {truth["original"] for truth in data.preference_truth} == {"chosen"}


def test_same_seed_same_data_in_fresh_objects():
    state = np.random.get_state()[1].copy()
    first, second = load_stdlib_code(n_modules=8), load_stdlib_code(n_modules=8)
    assert_array_equal(np.random.get_state()[1], state)
    assert dict(first) == dict(second)
    untouched = copy.deepcopy(dict(second))
    first.records[0]["text"] = ""
    first.degradations["unsafe_eval"]["severity"] = -1
    assert dict(second) == untouched == dict(load_stdlib_code(n_modules=8))
    assert _digest(load_stdlib_code(n_modules=8, random_state=1)) != _digest(second)


def test_data_does_not_depend_on_the_hash_seed():
    program = (
        "import hashlib, json; from sklearn_codex.datasets import load_stdlib_code;"
        "d = load_stdlib_code(n_modules=8); text = json.dumps([d.records, d.preference_truth]);"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == _digest(load_stdlib_code(n_modules=8))


def test_size_parameters_cap_what_they_name():
    data = load_stdlib_code(n_modules=10, n_demonstrations=7, n_preferences=11, pairs_per_prompt=3)
    assert len(data.demonstrations) == 7
    assert len(data.preferences) == 11
    assert max(Counter(r["prompt"] for r in data.preferences).values()) == 3
    empty = load_stdlib_code(n_modules=3, n_demonstrations=0, n_preferences=0)
    assert empty.records == empty.corpus


def test_no_test_module_and_no_installed_package_is_read(code):
    names = module_names(stdlib_directory())
    assert names == sorted(names)
    parts = {part for name in names for part in name.split("/")}
    assert not parts & {"test", "tests", "idle_test", "site-packages", "dist-packages"}
    assert not any(part.startswith("test_") for part in parts)
    assert {"json/decoder.py", "textwrap.py"} <= set(names)
    sources = code.demonstration_source + [t["source"] for t in code.preference_truth]
    assert not any(source.split(":")[1].split(".")[-1].startswith("test") for source in sources)


def test_a_missing_library_is_a_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(FileNotFoundError, match=r"sources of the standard library are not in"):
        load_stdlib_code(n_modules=1)


def test_the_description_says_that_labels_are_simulated(code):
    assert "SIMULATED: no person compared" in code.DESCR
    assert f"{len(code.preferences)} pairs" in code.DESCR
    assert all(f"- {name} (" in code.DESCR for name in code.degradations)
    assert set(code.unsafe_tokens) == {"eval", "exec"}
    assert code.python_version == sys.version.split()[0]


MODULE = '''\
"""The module."""

import os

# About the class.
class A:
    """The class."""

    @property
    def taken(self):
        """Give one of five words."""
        a = 1
        return a

    def only_documented(self):
        """Say nothing."""

LAST = os
'''


def _module(text):
    return Module("module", text.split("\n"), ast.parse(text))


def test_functions_are_cut_into_prompt_and_body():
    (function,) = iter_functions(_module(MODULE))
    assert function.source == "module:A.taken"
    assert function.prompt == 'def taken(self):\n    """Give one of five words."""'
    assert function.body == "a = 1\nreturn a"
    assert function.parameters == ("self",)
    assert function.lines == range(9, 14)


def test_the_corpus_is_the_rest():
    assert list(iter_corpus(_module(MODULE), taken=set(range(9, 14)))) == [
        ("code", "import os"),
        (
            "code",
            "# About the class.\nclass A:\n\n\n    def only_documented(self):\n"
            '        """Say nothing."""',
        ),
        ("code", "LAST = os"),
        ("docstring", "The module."),
        ("docstring", "The class."),
        ("docstring", "Say nothing."),
    ]


def test_a_class_with_nothing_left_is_no_document():
    text = 'class A:\n    """Doc."""\n    def b(self): return 1\n'
    assert list(iter_corpus(_module(text), taken={3})) == [("docstring", "Doc.")]


def test_a_bag_of_tokens_learns_more_than_length():
    data = load_stdlib_code(n_modules=100)
    counter = CountVectorizer(token_pattern=TOKEN, lowercase=False)
    counter.fit(r[side] for r in data.preferences for side in ("chosen", "rejected"))
    chosen, rejected = (
        counter.transform([r[side] for r in data.preferences]) for side in ("chosen", "rejected")
    )
    y = np.arange(len(data.preferences)) % 2
    X = (chosen - rejected).multiply(2 * y[:, None] - 1).tocsr()
    groups = np.unique([r["prompt"] for r in data.preferences], return_inverse=True)[1]
    options = {"groups": groups, "cv": GroupKFold(3)}
    model = LogisticRegression(C=0.3, fit_intercept=False, max_iter=500)
    learned = cross_val_score(model, X, y, **options).mean()
    length = cross_val_score(model, np.asarray(X.sum(axis=1)).reshape(-1, 1), y, **options).mean()
    assert learned > 0.72
    assert learned > max(length, 1 - length) + 0.12


def test_make_preferences_shapes_and_truth():
    data = make_preferences(30, n_features=7, n_prompts=4, random_state=0)
    assert data.X.shape == (30, 7)
    assert set(data.y) <= {0, 1}
    assert_array_equal(data.groups, np.arange(30) % 4)
    assert data.lengths.shape == (30, 2)
    assert data.lengths.min() >= 1
    assert_array_equal(data.X.sum(axis=1), data.lengths[:, 0] - data.lengths[:, 1])
    assert_allclose(data.token_prob.sum(), 1)
    assert_array_equal(data.y, data.clean_label)
    assert "No person" in data.DESCR


def test_make_preferences_obeys_its_formula():
    data = make_preferences(
        50, temperature=0.5, position_bias=0.3, length_bias=-0.2, random_state=0
    )
    extra = data.lengths[:, 0] - data.lengths[:, 1]
    margin = (data.X @ data.coef - 0.2 * extra + 0.3) / 0.5
    assert_allclose(data.margin, margin)
    assert_allclose(data.probability, expit(margin))


def test_make_preferences_text_equals_counts():
    options = {"n_features": 120, "n_prompts": 11, "random_state": 3}
    text, counts = make_preferences(40, text=True, **options), make_preferences(40, **options)
    assert text.X.shape == (40, 3)
    assert all(type(value) is str for value in text.X.ravel())
    counter = CountVectorizer(vocabulary=text.feature_names, token_pattern=r"\S+")
    difference = counter.transform(text.X[:, 1]) - counter.transform(text.X[:, 2])
    assert_array_equal(difference.toarray(), counts.X)
    assert_array_equal(text.y, counts.y)
    assert sorted(text.feature_names) == list(text.feature_names)
    assert_array_equal(np.unique(text.X[:, 0], return_inverse=True)[1], text.groups)


def test_make_preferences_sparse_equals_dense():
    dense, csr = (make_preferences(40, sparse=s, random_state=0) for s in (False, True))
    assert issparse(csr.X)
    assert csr.X.format == "csr"
    assert csr.X.nnz == np.count_nonzero(dense.X)
    assert_array_equal(csr.X.toarray(), dense.X)


def test_make_preferences_same_seed_same_data():
    first, second, other = (make_preferences(40, random_state=s) for s in (0, 0, 1))
    assert_array_equal(first.X, second.X)
    assert_array_equal(first.y, second.y)
    assert not np.array_equal(first.X, other.X)


def test_drawn_weights_ignore_length_and_have_the_documented_spread():
    data = make_preferences(20_000, random_state=0)
    assert_allclose(data.token_prob @ data.coef, 0, atol=1e-12)
    assert_allclose(np.std(data.X @ data.coef), 2.0, rtol=0.03)


def test_own_weights_are_used_and_checked():
    weights = [1.0, -1.0, 0.0]
    data = make_preferences(10, n_features=3, coef=weights, random_state=0)
    assert_array_equal(data.coef, weights)
    with pytest.raises(ValueError, match=r"n_features=4 tokens, shape \(4,\); got shape \(3,\)"):
        make_preferences(10, n_features=4, coef=weights)


def test_tokens_follow_zipf():
    data = make_preferences(5_000, n_features=10, text=True, random_state=0)
    counts = Counter(token for text in data.X[:, 1:].ravel() for token in text.split())
    total = sum(counts.values())
    frequency = np.array([counts[name] / total for name in data.feature_names])
    error = np.sqrt(data.token_prob * (1 - data.token_prob) / total)
    assert np.all(np.abs(frequency - data.token_prob) < 4 * error)


def test_win_rate_in_bins_is_the_probability():
    data = make_preferences(40_000, position_bias=0.4, length_bias=0.05, random_state=0)
    bins = np.digitize(data.probability, np.linspace(0, 1, 11)[1:-1])
    for b in range(10):
        p, y = data.probability[bins == b], data.y[bins == b]
        assert abs(y.mean() - p.mean()) < 4 * np.sqrt(np.sum(p * (1 - p))) / p.size


def test_logistic_regression_recovers_the_weights_as_pairs_grow():
    errors = []
    for n_pairs in (500, 5_000, 50_000):
        data = make_preferences(n_pairs, n_features=10, temperature=0.5, random_state=0)
        model = LogisticRegression(C=1e4, fit_intercept=False).fit(data.X, data.y)
        errors.append(np.abs(model.coef_[0] * data.temperature - data.coef).max())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05


def test_position_bias_is_the_intercept_and_length_bias_adds_to_the_weights():
    data = make_preferences(
        50_000, n_features=10, position_bias=0.8, length_bias=0.3, temperature=2.0, random_state=0
    )
    model = LogisticRegression(C=1e4).fit(data.X, data.y)
    assert_allclose(model.intercept_[0], 0.8 / 2.0, atol=0.05)
    assert_allclose(model.coef_[0], (data.coef + 0.3) / 2.0, atol=0.05)


@pytest.mark.parametrize("flip_rate", [0.0, 0.1, 0.3, 1.0])
def test_flips_cap_the_accuracy_of_the_truth(flip_rate):
    data = make_preferences(20_000, temperature=1e-6, flip_rate=flip_rate, random_state=0)
    assert_array_equal(data.clean_label[data.margin != 0], data.margin[data.margin != 0] > 0)
    accuracy = np.mean(data.y == data.clean_label)
    assert abs(accuracy - (1 - flip_rate)) <= 4 * np.sqrt(flip_rate * (1 - flip_rate) / 20_000)


@pytest.mark.parametrize(
    ("function", "parameters", "name"),
    [
        (load_stdlib_code, {"n_modules": 0}, "n_modules"),
        (load_stdlib_code, {"temperature": 0.0}, "temperature"),
        (load_stdlib_code, {"pairs_per_prompt": 0}, "pairs_per_prompt"),
        (make_preferences, {"flip_rate": 1.5}, "flip_rate"),
        (make_preferences, {"n_pairs": 0}, "n_pairs"),
        (make_preferences, {"document_length": 0.5}, "document_length"),
    ],
)
def test_a_wrong_parameter_is_named(function, parameters, name):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of {function.__name__}"):
        function(**parameters)
