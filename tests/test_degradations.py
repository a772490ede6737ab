"""Every kind of degradation, by code it applies to and code it leaves alone."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_codex.datasets._degradations import DEGRADATIONS
from sklearn_codex.datasets._function_body import FunctionBody

# For each kind: a body it applies to, one of the results, and a body it leaves alone.
EXAMPLES = {
    "swapped_comparison": ("if a < b:\n    c()", "if a > b:\n    c()", "return a + b"),
    "swapped_arithmetic": ("x += a", "x -= a", 'return "%s" % a'),
    "swapped_connective": ("return a and b", "return a or b", "return a & b"),
    "negated_condition": ("if not a:\n    b()", "if a:\n    b()", "return not a"),
    "off_by_one": ("return a[0]", "return a[1]", "return a[True], 0x10, 1.0"),
    "flipped_flag": ("return True", "return False", "return 1"),
    "equals_none": ("return a is not None", "return a != None", "return a is b"),
    "type_equality": (
        "return isinstance(a, int)",
        "return type(a) == int",
        "return isinstance(a, (int, str))",
    ),
    "dropped_return": ("return a(b)", "a(b)", "a = b\nreturn"),
    "dropped_branch": (
        "if a:\n    b()\nelse:\n    c()\nd()",
        "if a:\n    b()\nd()",
        "if a:\n    b()",
    ),
    "dropped_call": ("a.clear()\nreturn a", "return a", "a.clear()"),
    "unfinished": ("a = b\nreturn a", "a = b\nraise NotImplementedError", "return a"),
    "removed_guard": (
        "if a:\n    raise ValueError(a)\nreturn b",
        "return b",
        "if a:\n    b()\nreturn b",
    ),
    "assert_validation": (
        "if not a:\n    raise ValueError(a)\nreturn b",
        "assert a\nreturn b",
        "if a:\n    return b",
    ),
    "bare_except": (
        "try:\n    a()\nexcept (KeyError, OSError) as error:\n    b()",
        "try:\n    a()\nexcept:\n    b()",
        "try:\n    a()\nexcept KeyError as error:\n    b(error)",
    ),
    "swallowed_exception": (
        "try:\n    a()\nexcept KeyError:\n    b()\n    c()",
        "try:\n    a()\nexcept KeyError:\n    pass",
        "try:\n    a()\nexcept KeyError:\n    pass",
    ),
    "blanket_except": (
        "a()\n\nreturn b",
        "try:\n    a()\n\n    return b\nexcept Exception:\n    pass",
        'return """a\nb"""',
    ),
    "mutable_default": (
        "a = []\nreturn a",
        'a = globals().setdefault("a", [])\nreturn a',
        "a = [b]\nreturn a",
    ),
    "shadowed_builtin": (
        "a = b.list\nreturn a, id, input, max, min, next, object, str, sum, type",
        "dict = b.list\nreturn dict, id, input, max, min, next, object, str, sum, type",
        "self.a = b\nreturn self.a",
    ),
    "global_state": ("a = b\nreturn a", "global a\na = b\nreturn a", "self.a = b"),
    "dead_code": ("a = b\nreturn a", "a = b\nreturn a\na = b", "global a\na = b\nreturn a"),
    "debug_print": ("a = b\nreturn a", 'a = b\nprint("DEBUG", a)\nreturn a', "return a"),
    "unsafe_eval": ("return int(a)", "return eval(a)", "return 'a'"),
    "unsafe_exec": ("a.b = c", 'exec("a.b = c")', "a.b = 'c'"),
    "hardcoded_secret": ("return a", 'token = "changeme"\nreturn a', None),
}


def _results(name, text, parameters=()):
    body = FunctionBody(text, parameters)
    return {DEGRADATIONS[name].apply(body, np.random.RandomState(seed)) for seed in range(30)}


def test_every_degradation_has_an_example():
    assert set(EXAMPLES) == set(DEGRADATIONS)
    assert len(DEGRADATIONS) >= 10


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradation_applies_where_it_should(name):
    text, degraded, _ = EXAMPLES[name]
    assert degraded in _results(name, text)


@pytest.mark.parametrize("name", [name for name in DEGRADATIONS if EXAMPLES[name][2]])
def test_degradation_leaves_other_code_alone(name):
    assert _results(name, EXAMPLES[name][2]) == {None}


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradation_has_a_cost_and_a_description(name):
    assert DEGRADATIONS[name].severity > 0
    assert DEGRADATIONS[name].description.endswith(".")


@pytest.mark.parametrize("name", ["shadowed_builtin", "global_state"])
def test_parameters_are_not_taken_for_local_variables(name):
    assert _results(name, "a = a or b\nreturn a", parameters=["a"]) == {None}


@pytest.mark.parametrize(
    "text",
    [
        "a = b\nreturn f'{a}'",
        "import a\na = b",
        "a = b\ndef c(a):\n    return a",
        "a: int = b\na = c",
        "try:\n    a = b\nexcept KeyError as a:\n    pass",
    ],
)
def test_a_name_that_a_rename_cannot_follow_is_kept(text):
    assert _results("shadowed_builtin", text) == {None}


def test_edits_count_characters_where_syntax_trees_count_bytes():
    assert _results("swapped_arithmetic", "é = 'ü', größe + b  # ß + ß") == {
        "é = 'ü', größe - b  # ß + ß"
    }


def test_an_operator_is_not_looked_for_in_comments():
    assert _results("swapped_comparison", "return (a  # <\n        < b)") == {None}


def test_degrading_is_deterministic_and_leaves_the_global_random_state_alone():
    body = FunctionBody("a = 1\nb = 2\nreturn a[3]")
    state = np.random.get_state()[1].copy()
    draws = [DEGRADATIONS["off_by_one"].apply(body, np.random.RandomState(5)) for _ in range(2)]
    assert draws[0] == draws[1]
    assert_array_equal(np.random.get_state()[1], state)
