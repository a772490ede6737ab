"""A digest of code changes with what functions do, and with nothing else."""

import functools
import pickle
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import sklearn_codex
from sklearn_codex import PPOPolicyOptimizer, UnigramLM
from sklearn_codex._pipeline.code_hash import hash_code

BASE = """
import functools
import re

WORDS = ("cat", "dog")
WORD = re.compile("[a-z]+")
SEEN = []

def is_word(text):
    return text in WORDS

def doubled(function):
    @functools.wraps(function)
    def inner(text):
        return 2 * function(text)
    return inner

@doubled
def decorated(text):
    return len(text)

@functools.lru_cache
def cached(text):
    return is_word(text)

def split(text, *, least=1):
    SEEN.append(text)
    found = {word for word in WORD.findall(text) if word not in {"a", "the"}}
    return [word for word in found if is_word(word) and len(word) >= least]

class Rule:
    limit = 3
    def cost(self, text):
        return self.size(text) > self.limit
    def size(self, text):
        return len(split(text))
    @property
    def name(self):
        return "rule"
    @functools.cached_property
    def kept(self):
        return 1

class Strict(Rule):
    pass
"""


def digests(source, monkeypatch):
    """Return the digest of each function and object that a module of this source has."""
    module = type(sys)("code_of_a_user")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(source, vars(module))
    parts = {
        "is_word": module.is_word,
        "decorated": module.decorated,
        "cached": module.cached,
        "partial": functools.partial(module.is_word, "cat"),
        "split": module.split,
        "Rule": module.Rule(),
        "Strict": {"rule": [module.Strict()]},
        "method": module.Strict().cost,
    }
    return {name: hash_code(part) for name, part in parts.items()}


OF_WORDS = {"is_word", "cached", "partial", "split", "Rule", "Strict", "method"}
OF_SPLIT = {"split", "Rule", "Strict", "method"}
OF_RULE = {"Rule", "Strict", "method"}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("return text in WORDS", "return text not in WORDS", OF_WORDS),
        ('("cat", "dog")', '("cat", "cow")', OF_WORDS),
        ('"[a-z]+"', '"[a-z]"', OF_SPLIT),
        ("least=1", "least=2", OF_SPLIT),
        ('{"a", "the"}', '{"a", "an"}', OF_SPLIT),
        ("return len(text)", "return 1 + len(text)", {"decorated"}),
        ("return 2 * function", "return 3 * function", {"decorated"}),
        ("limit = 3", "limit = 4", OF_RULE),
        ("return len(split(text))", "return 1", OF_RULE),
        ('return "rule"', 'return "other"', OF_RULE),
        ("        return 1\n", "        return 2\n", OF_RULE),
        (
            "class Strict(Rule):\n    pass",
            "class Strict(Rule):\n    limit = 9",
            {"Strict", "method"},
        ),
        # What is no change of the code, or is documented as not looked into.
        ("\nWORDS", "\n\n# A comment.\nWORDS", set()),
        ("SEEN = []", "SEEN = [1]", set()),
    ],
)
def test_digest_changes_with_the_code(old, new, changed, monkeypatch):
    assert BASE.count(old) == 1
    before, after = digests(BASE, monkeypatch), digests(BASE.replace(old, new), monkeypatch)
    assert {name for name in before if before[name] != after[name]} == changed


def test_digest_is_the_same_in_another_process(tmp_path):
    (tmp_path / "code_of_a_user.py").write_text(BASE)
    command = textwrap.dedent("""
        import code_of_a_user as user
        from sklearn_codex._pipeline.code_hash import hash_code
        print(hash_code(user.split, user.Strict(), user.cached, user.decorated))
    """)
    folders = f"{tmp_path}:{Path(sklearn_codex.__file__).parents[1]}"
    found = {
        subprocess.run(
            [sys.executable, "-c", command],
            env={"PYTHONPATH": folders, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in "123"
    }  # fmt: skip
    assert len(found) == 1


@pytest.mark.parametrize("n", [10, 100_000])
def test_data_of_any_size_beside_code(n):
    # A pickler hands over the buffers of large arrays, not bytes.
    data = [np.arange(n), np.arange(n).astype(str), {"texts": ["a" * n, b"a" * n]}]
    assert hash_code(data) == hash_code() != hash_code(fibonacci) == hash_code(fibonacci, data)


def test_installed_code_is_known_by_its_name():
    nothing = hash_code()
    assert hash_code(UnigramLM(), PPOPolicyOptimizer, textwrap.dedent, functools.partial(len)) == (
        nothing
    )
    assert hash_code(test_installed_code_is_known_by_its_name) != nothing


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def test_function_that_calls_itself():
    assert hash_code(fibonacci) == hash_code(fibonacci)


def in_turn(function):
    lock = threading.Lock()
    if function is None:
        later = 0

    @functools.wraps(function)
    def inner(text, own=threading.Lock()):  # noqa: B008
        with lock, own:
            return function(text) + (later if text is None else 0)

    return inner


@in_turn
def count(text):
    return len(text)


def test_what_belongs_to_this_process_alone_is_left_out():
    # A lock has no value to be hashed, and a cell may still be empty.
    before = hash_code(count)
    assert before != hash_code()
    count.__closure__[count.__code__.co_freevars.index("lock")].cell_contents = threading.Lock()
    assert hash_code(count) == before
    count.__closure__[count.__code__.co_freevars.index("function")].cell_contents = fibonacci
    assert hash_code(count) != before


def make_shout(key=[lambda text: text.upper()]):  # noqa: B006
    return key[0]


def test_default_without_a_name_is_refused():
    with pytest.raises(pickle.PicklingError, match="<lambda>"):
        hash_code(make_shout)


@pytest.mark.parametrize("value", ["1.0", "True", "'1'", "b'1'", "(1,)", "re.compile('1')", "..."])
def test_constants_differ_by_type(value, monkeypatch):
    one, other = (BASE.replace('("cat", "dog")', number) for number in ("1", value))
    assert digests(one, monkeypatch)["is_word"] != digests(other, monkeypatch)["is_word"]
