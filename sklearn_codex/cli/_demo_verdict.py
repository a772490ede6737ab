"""What the demo has shown, in words: each follows from a test, or from what is known exactly."""

from typing import NamedTuple

import numpy as np

from sklearn_codex._verdicts import judge_mean
from sklearn_codex.report._numbers import number

_NEAR = 0.99  # share of what there was to gain that counts as the optimum


class Statement(NamedTuple):
    """A sentence, and whether it says what one hopes for; None where there was nothing to see."""

    holds: bool | None
    text: str


def judge_demo(figures, margins, prompts) -> list[Statement]:
    """Return what the figures of the demo say.

    Parameters
    ----------
    figures : dict
        Of the demo.
    margins : dict of ndarray of shape (n_pairs,)
        r(chosen) - r(rejected) of the held-out pairs, by the names in ``figures["reward"]``.
    prompts : list of str
        Prompt of each pair.
    """
    return [
        _judge_reward(figures["reward"], margins, prompts),
        _judge_optimum(figures["policy"]),
        _judge_safety(figures["policy"]),
    ]


def verdict_of(statements: list[Statement]) -> str:
    """Return all of them in one sentence."""
    found = [statement.holds for statement in statements]
    if all(found):
        return "the loop works, and every step of it was checked."
    if False not in found:
        return "the loop works; what is marked - could not be seen on so little."
    return "not all of it worked; see what is marked !."


def _judge_reward(reward, margins, prompts) -> Statement:
    """Say whether the reward is right on more pairs than length alone, at a level of 5 %."""
    credits = {name: (m > 0) + 0.5 * (m == 0) for name, m in margins.items()}
    groups = np.unique(np.array(prompts, dtype=object).astype(str), return_inverse=True)[1]
    more = judge_mean(
        credits["PreferenceRewardModel"] - credits["length only"], groups, bounds=(-1.0, 1.0)
    )
    model, length, annotator = (
        f"{100 * reward[name]['accuracy']:.1f} %"
        for name in ("PreferenceRewardModel", "length only", "the simulated annotator itself")
    )
    facts = (
        f"right on {model} of {more.n_pairs:,} pairs of prompts never seen; length alone on "
        f"{length}, the simulated annotator itself on {annotator}"
    )
    if more.is_above:
        return Statement(True, f"The reward model learned more than length: it is {facts}.")
    return Statement(
        False,
        f"That the reward model learned more than length is not shown (p = {more.p_value:.2g}): it "
        f"is {facts}. Read more modules.",
    )


def _judge_optimum(policy) -> Statement:
    gap = policy["objective/optimality_gap"]
    gaps = f"J* - J is {number(gap['after'])}, and was {number(gap['before'])} before"
    if policy["share_of_optimum"] >= _NEAR:
        return Statement(
            True, f"PPO found the best policy there is, which is known exactly: {gaps}."
        )
    return Statement(
        False,
        f"PPO stopped at {100 * policy['share_of_optimum']:.0f} % of what there was to gain: "
        f"{gaps}. It needs more iterations.",
    )


def _judge_safety(policy) -> Statement:
    rate = policy["rules/unsafe_code/rate"]
    before, after = (f"{100 * rate[side]:.2g} %" for side in ("before", "after"))
    if rate["after"] < rate["before"]:
        return Statement(
            True, f"The rule works: documents with eval or exec fell from {before} to {after}."
        )
    if rate["before"] == rate["after"] == 0:
        return Statement(
            None,
            "The rule had nothing to forbid: no document has eval or exec, before or after. Read "
            "more modules.",
        )
    return Statement(
        False, f"The rule changed nothing: documents with eval or exec are {after}, were {before}."
    )
