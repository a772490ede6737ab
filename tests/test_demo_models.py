"""What the demo at a higher order is made of: prompts, code on one line, and a price of length."""

import numpy as np
import pytest

from sklearn_codex import NGramCounter, NGramLM
from sklearn_codex.cli._demo_models import _SAME_LENGTH, _find_price
from sklearn_codex.cli._demo_samples import N_PROMPTS, as_code, held_out_prompts
from sklearn_codex.exact import LengthExplosionError, NGramObjective, arc_reward
from sklearn_codex.report._console import Console


@pytest.mark.parametrize(
    ("tokens", "code"),
    [
        ("self . data [ 0 ] . close ( )", "self.data[0].close()"),
        ("return ( a , b )", "return (a, b)"),
        ("if not x : return None", "if not x: return None"),
        ("f ( * args , ** kwargs )", "f(*args, **kwargs)"),
        ("a * b ** c", "a * b ** c"),
        ("x == { 'a' : 1 }", "x == {'a': 1}"),
        ("for i in [ 1 ]", "for i in [1]"),
        ("@ property", "@property"),
        ("", ""),
    ],
)
def test_tokens_are_shown_as_code(tokens, code):
    assert as_code(tokens) == code
    assert as_code(tokens).replace(" ", "") == tokens.replace(" ", "")


def test_prompts_are_of_functions_that_nothing_learned_from():
    train = [
        {"text": "def seen(a):\n    pass"},
        {"prompt": "def g(x):", "completion": "if known(x):\n    return 1"},
        {"prompt": "def h(x):", "chosen": "call(x)", "rejected": "call(y)"},
    ]
    new = {"prompt": 'def new(a):\n    """Doc."""', "completion": "for b in a:\n    print(b)"}
    test = [
        new,
        {"prompt": "def seen(a):", "completion": "for c in a:"},  # a header of the corpus
        {"prompt": "def other(a):", "completion": "if known(x):"},  # a line of a completion
        {"prompt": "def third(a):", "completion": "call(y)"},  # a line of a response
        {"prompt": "def fourth(a):", "completion": "a = 1"},  # not an end of a line to go on from
        {"prompt": f"def {'long' * 20}(a):", "completion": "if a:"},
        {"prompt": "def new(a):", "chosen": "if b:", "rejected": "if c:"},
    ]
    assert held_out_prompts(train, test) == [("def new(a):", "for b in a:")]
    many = [{**new, "prompt": f"def new{i}(a):"} for i in range(20)]
    assert len(held_out_prompts(train, many)) == N_PROMPTS


def make_objective(reward_of_a):
    counter = NGramCounter(order=2, unk_token=None, eos_token="</s>")
    model = NGramLM(smoothing="dirichlet", prior_strength=2.0, vectorizer=counter)
    model = model.fit(["a b a a", "b a", "b", "a a b"])
    objective = NGramObjective.of_model(model, arc_reward(model, {"a": reward_of_a}))
    is_word = np.arange(objective.trie.n_tokens) != model.vectorizer_.eos_index_
    return objective, objective.of_tokens(is_word.astype(float))


def test_at_its_price_length_is_that_of_the_reference():
    objective, words = make_objective(2.0)
    with pytest.raises(LengthExplosionError, match="no optimum"):
        objective.optimum()
    price = _find_price(objective, words)
    assert price > 0
    priced = objective.having(penalty=price * words)
    wanted = objective.expected_length(objective.start)
    assert priced.expected_length(priced.optimum()) == pytest.approx(wanted, rel=_SAME_LENGTH)


def test_length_has_no_price_where_the_reward_does_not_pay_for_it():
    assert _find_price(*make_objective(-0.5)) == 0.0


def test_texts_stand_side_by_side_in_the_width_there_is(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    Console().beside({"M0": "one two three " * 9, "M1": "short"}, n_lines=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(len(line) <= 40 for line in lines)
    assert lines[0].split() == ["M0", "M1"]
    assert lines[1].split()[-1] == "short"
    assert lines[2].rstrip().endswith("…")
