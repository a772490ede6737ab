"""The picture of the demo at a higher order: what could be had at each KL, and the way of PPO."""

import numpy as np

from sklearn_codex.inspection import FrontierDisplay

_N_POINTS = 16
_FARTHEST = 30.0  # times the kl_coef of the fit, where the policy is almost the reference


def draw_frontier(policy, ax):
    """Draw the best expected reward, less what tokens cost, at each KL, and PPO's iterations.

    Parameters
    ----------
    policy : PPOPolicyOptimizer
        Fitted on n-grams, with rules that add over them.
    ax : Axes
    """
    kl_coef, history = policy.kl_coef_, policy.history_
    objective = policy._build_problem(warn=False).objective
    # What the reward of a document has beside the sum over its tokens.
    offset = history[0]["objective/value"] - objective.value(objective.start)
    rows = []
    for weight in np.geomspace(_FARTHEST * kl_coef, kl_coef, _N_POINTS).tolist():
        # Tokens cost what they do in the fit, in units of reward.
        penalty = objective.penalty * kl_coef / weight
        at = objective.having(kl_coef=weight, penalty=penalty)
        best = at.optimum()
        rows.append((kl := at.kl(best), at.value(best) + weight * kl + offset))
    kl, reward = np.array([(0.0, history[0]["objective/value"]), *rows]).T
    display = FrontierDisplay(kl=kl, expected_reward=reward).plot(ax)
    path = [(row["objective/kl_exact"], row["objective/value"]) for row in history]
    x, y = np.array([(kl, value + kl_coef * kl) for kl, value in path]).T
    ax.plot(x, y, marker="o", markersize=3.5, linestyle=":", color="0.4", label="PPO, iterations")
    ax.legend()
    ax.set_ylabel("Expected reward, less the price of length\n(per document)")
    display.ax_.set_title("What could be had at each KL, exactly, and the way of PPO")
