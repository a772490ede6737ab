"""Thirty prompts of ten pairs: what only memory of a prompt tells is not said of new ones."""

import json

import numpy as np
import pytest
from door import DOORS
from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from sklearn_codex import PreferenceRewardModel
from sklearn_codex.datasets import read_preferences
from sklearn_codex.exceptions import LeakageWarning
from sklearn_codex.report.audit import compute_audit

N_PROMPTS, N_EACH = 30, 10


def make_pairs(seed=0):
    """Return pairs whose better response has words that its prompt alone has in better ones.

    The words are made up for each prompt and side, so that nothing within them is the same in
    other prompts; 92 % of the pairs are the right way round.
    """
    rng = np.random.RandomState(seed)

    def word():
        return "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.randint(6, 10)))

    common, pairs = [word() for _ in range(40)], []
    for number in range(N_PROMPTS):
        prompt = f"Ask {word()} {number}?"
        own = [[word() for _ in range(6)] for _ in ("good", "bad")]
        for position in range(N_EACH):
            texts = [
                " ".join(rng.permutation([*rng.choice(common, 8), *rng.choice(words, 3)]))
                for words in own
            ]
            label = float(position % 2)
            is_first = (label == 1) == (rng.uniform() < 0.92)
            pairs.append((prompt, *(texts if is_first else texts[::-1]), label))
    return pairs


PAIRS = make_pairs()


def accuracies(data):
    """Return the accuracy on pairs not seen, of prompts that were seen, and of others."""
    model, by_prompt = PreferenceRewardModel(), GroupKFold(5)
    by_row = KFold(5, shuffle=True, random_state=0)
    with pytest.warns(LeakageWarning, match="Split by prompt"):
        memory = cross_val_score(model, data.X, data.y, cv=by_row).mean()
    return memory, cross_val_score(model, data.X, data.y, groups=data.groups, cv=by_prompt).mean()


def test_memory_of_a_prompt_tells_nothing_of_others():
    data = read_preferences(DOORS["two responses and a label"].write(PAIRS))
    memory, truth = accuracies(data)
    assert memory > 0.8
    assert 0.4 < truth < 0.6


@pytest.mark.parametrize("name", DOORS)
def test_every_layout_has_the_thirty_prompts(name):
    data = read_preferences(DOORS[name].write(PAIRS))
    prompts = [" ".join(prompt.split()) for prompt in data.X[:, 0]]
    assert set(prompts) == {pair[0] for pair in PAIRS}
    assert len(set(zip(prompts, data.groups.tolist(), strict=True))) == N_PROMPTS
    # Of unpaired ones each good one is compared with each bad one, of rated ones each with each.
    assert set(np.bincount(data.groups)) <= {N_EACH, N_EACH**2, N_EACH * (2 * N_EACH - 1)}


@pytest.mark.parametrize(
    "name",
    [
        "TRL, implicit prompt",
        "HH-RLHF",
        "LLaMA-Factory, alpaca",
        "Chatbot Arena, 55k",
        "UltraFeedback",
        "OpenAssistant trees",
    ],
)
def test_the_audit_says_what_is_true_of_new_prompts(name):
    audit = compute_audit(DOORS[name].write(PAIRS))
    assert audit["sizes"]["n_groups"] == N_PROMPTS
    assert audit["prompts"]["kept_together"] == "prompt"
    for model in audit["prediction"]["models"].values():
        assert 0.35 < model["accuracy"]["value"] < 0.65
        assert model["accuracy"]["low"] < 0.5


def _oriented(write):
    return [write(p, *((a, b) if y == 1 else (b, a))) for p, a, b, y in PAIRS]


NO_PROMPTS = {
    "no prompt": (lambda p, a, b: {"chosen": a, "rejected": b}, "Every column is in use: add one"),
    "in both responses": (
        lambda p, a, b: {"chosen": f"{p} {a}", "rejected": f"{p} {b}"},
        "Both responses begin with the same words in 100 % of the pairs",
    ),
    "an odd name": (lambda p, a, b: {"xyz": p, "chosen": a, "rejected": b}, "'xyz'"),
}


@pytest.mark.parametrize("case", NO_PROMPTS)
def test_the_audit_says_first_that_there_are_no_prompts(case):
    write, remedy = NO_PROMPTS[case]
    audit = compute_audit(_oriented(write))
    assert audit["prompts"]["kept_together"] == "pair"
    assert audit["prompts"]["warning"].startswith("No prompt was found, so nothing tells which")
    assert remedy in audit["prompts"]["warning"]
    assert "prompts never seen" not in json.dumps(audit, default=str)
