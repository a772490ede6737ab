"""The PPO loop: rollouts, shaped rewards, epochs of minibatches, and the record of each iteration.

The maths are in ``_ppo`` and ``exact``; this room only puts them in order.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray, cross_entropy
from sklearn_codex._policy_problem import PolicyProblem
from sklearn_codex._policy_updates import PolicyUpdate
from sklearn_codex._ppo import (
    Clipping,
    TokenAdvantages,
    approximate_kl,
    center,
    probability_ratio,
    whiten,
)
from sklearn_codex._rewards import DocumentReward
from sklearn_codex.exact import EosObjective
from sklearn_codex.exact._eos_length import log_stop_go, survival
from sklearn_codex.kl_control import KLController

# Epochs over one batch end when the policy has moved this many times target_kl, as in
# Stable-Baselines3.
_EARLY_STOP_FACTOR = 1.5
# Nats of a document, and share of the objective, at which a policy is the optimum up to rounding.
_NEGLIGIBLE_KL = 1e-12
_NEGLIGIBLE_SHARE = 1e-15
# Factor by which a controller may move kl_coef in all.
_KL_COEF_FACTOR = 1e8
# Largest change of a learned price in the first iterations, in nats or as a share of it.
_PRICE_STEP = 0.25


@dataclass(frozen=True)
class LoopSettings:
    """How a batch of rollouts becomes an update.

    Parameters
    ----------
    n_rollouts, n_epochs, n_minibatches : int
        Documents of a batch, passes over it and parts of a pass.
    clipping : Clipping or None
        The clipped surrogate; None means the plain policy gradient.
    target_kl : float or None
        Nats a document at 1.5 times which the epochs end.
    credit : {"token", "sequence"}
        Whether a token is credited with its own part of the reward or with its whole document's.
    whitened : bool
        Whether advantages are divided by their standard deviation.
    leave_one_out : bool
        Whether the baseline of a document is the mean of the others.
    """

    n_rollouts: int
    n_epochs: int
    n_minibatches: int
    clipping: Clipping | None
    target_kl: float | None
    credit: str
    whitened: bool
    leave_one_out: bool = False


@dataclass(frozen=True)
class Evaluation:
    """What is measured of each policy besides its objective.

    Parameters
    ----------
    gold : DocumentReward or None
        A second reward, recorded as ``gold/score``.
    frequencies : ndarray of shape (V,) or None
        Token frequencies of documents held out; ``eval/score`` is their log-likelihood per token.
    """

    gold: DocumentReward | None = None
    frequencies: FloatArray | None = None


@dataclass
class Trainer:
    """One run of policy optimisation on a :class:`PolicyProblem`, a batch of rollouts an iteration.

    The draws of batch k come from ``seed`` and k alone, so a run can go on where it stopped.

    Attributes
    ----------
    history : list of dict
        One record for each policy, the first of the reference.
    n_sequences : int
        Documents drawn.
    n_batches : int
        Batches drawn, one for each policy that was rolled out.
    start_gap : float
        Distance to the optimum where training began, infinite where it is not known exactly.
    log_prob, recorded_log_prob : ndarray of shape (V,)
        The policy that is updated next, and the one of the last record: they differ before the
        first update, where known penalties have moved the one.
    """

    problem: PolicyProblem
    update: PolicyUpdate
    settings: LoopSettings
    controller: KLController
    evaluation: Evaluation
    seed: int
    history: list[dict[str, Any]] = field(default_factory=list)
    n_sequences: int = 0
    n_batches: int = 0
    start_gap: float = np.inf

    def begin(self) -> None:
        """Record the reference policy and draw the first batch of the policy to be updated."""
        reference, start = self.problem.start, self.update.policy()
        self._set_start_gap()
        self._first_kl_coef = self.problem.objective.kl_coef
        self._roll_out(reference)
        self._record(_neutral_statistics())
        if not np.array_equal(start, reference):
            self._roll_out(start)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state of :meth:`state`, drawing again the batch it stood before."""
        self._set_start_gap()
        self.history = [dict(record) for record in state["history"]]
        self.n_sequences, self.n_batches = state["n_sequences"], state["n_batches"]
        self._first_kl_coef = self.problem.objective.kl_coef
        if self._first_kl_coef == state["first_kl_coef"]:
            self.problem = self.problem.with_kl_coef(state["kl_coef"])
        self.problem = self.problem.with_prices(state["prices"])
        self.update.objective = self.problem.objective
        self.update.restore(state["update"])
        self._roll_out(self.update.policy())
        self.recorded_log_prob = self.log_prob

    def _set_start_gap(self):
        # From the start where that is better than the reference: rule penalties can make that so
        # bad that a share of its distance says nothing.
        if self.problem.is_additive:
            policies = (self.problem.start, self.update.policy())
            self.start_gap = min(map(self.problem.objective.gap, policies))

    def state(self) -> dict[str, Any]:
        """Return all that :meth:`resume` needs, as numbers, lists and arrays."""
        return {
            "seed": self.seed,
            "history": [dict(record) for record in self.history],
            # Without the last batch, which is drawn again.
            "n_sequences": self.n_sequences - len(self.rollouts),
            "n_batches": self.n_batches - 1,
            "first_kl_coef": self._first_kl_coef,
            "kl_coef": self.problem.objective.kl_coef,
            "prices": {priced.name: priced.price for priced in self.problem.rules},
            "update": self.update.state(),
        }

    def iterate(self) -> None:
        """Update the policy on the current rollouts, adapt, then draw and record new ones."""
        statistics = self._update_on_batch()
        self._adapt()
        self._roll_out(self.update.policy())
        self._record(statistics)

    def negligible_gap(self) -> float:
        """Return the distance to the optimum that is lost in rounding."""
        value = abs(self.history[-1]["objective/value"])
        return max(_NEGLIGIBLE_KL * self.problem.temperature, _NEGLIGIBLE_SHARE * value)

    def _roll_out(self, log_prob):
        """Draw and judge a batch from a policy; its source also shuffles it later."""
        self.log_prob = log_prob
        self.n_batches += 1
        self._rng = np.random.RandomState([self.seed, self.n_batches, 0])
        self.rollouts = self.problem.sample(log_prob, self.settings.n_rollouts, self._rng)
        self.assessed = self.problem.assess(log_prob, self.rollouts)
        self.n_sequences += self.settings.n_rollouts

    def _adapt(self):
        """Let the controller set ``kl_coef``, and learn the prices of chance constraints."""
        objective = self.problem.objective
        kl = objective.kl(self.update.policy())
        kl_coef = self.controller.next_coef(objective.kl_coef, kl, self.settings.n_rollouts)
        # A target that no policy has would drive it to 0 or to infinity.
        low, high = self._first_kl_coef / _KL_COEF_FACTOR, self._first_kl_coef * _KL_COEF_FACTOR
        problem = self.problem.with_kl_coef(float(np.clip(kl_coef, low, high)))
        prices = {}
        for priced in problem.rules:
            if priced.is_learned:
                rate = float((self.assessed.violations[priced.name] > 0).mean())
                error = np.clip(rate / priced.rule.max_rate - 1.0, -1.0, 1.0)
                # In proportion to the price, as some rules take many nats to move. Steps that
                # shrink like 1 / sqrt(k) settle, however noisy the rate.
                step = _PRICE_STEP * max(1.0, priced.price) / np.sqrt(1 + len(self.history) / 10)
                prices[priced.name] = max(0.0, float(priced.price + step * error))
        self.problem = problem.with_prices(prices) if prices else problem
        self.update.objective = self.problem.objective

    def _advantages(self):
        """Return the advantage (n_tokens,) of each token drawn."""
        if self.settings.credit == "token":
            advantages = self._token_advantages()
        else:
            shaped = self.assessed.shaped
            if self.settings.leave_one_out:
                # r_i minus the mean of the others is n / (n - 1) times the centred reward.
                shaped = shaped * (len(shaped) / (len(shaped) - 1))
            advantages = np.repeat(shaped, self.rollouts.lengths)
        # Not centred before: whitening tells rounding from reward by the size of the reward.
        return whiten(advantages) if self.settings.whitened else center(advantages)

    def _token_advantages(self):
        """Return each token's own score, and what it does to the rest where documents can end.

        The mean score of the batch's documents estimates the value of a whole document. Without a
        maximal length it is that of what follows any token but the last, and it has no variance
        at the optimum.
        """
        rollouts, score = self.rollouts, self.assessed.token_score[self.rollouts.tokens]
        eos, value = self.problem.eos, float(self.assessed.shaped.mean())
        if eos is None:
            return score
        longest = self.problem.objective.max_length
        is_end = rollouts.tokens == eos
        if longest is None:
            return score + np.where(is_end, 0.0, value)
        values = self._values_to_go(value, longest)
        position = np.arange(len(score)) - np.repeat(rollouts.starts, rollouts.lengths)
        left = longest - position
        return score + np.where(is_end, 0.0, values[left - 1]) - values[left]

    def _values_to_go(self, value, longest):
        """Return the values (longest + 1,) of 0, 1, ... tokens left, given that of a document.

        With the share g of tokens that do not end it, v_k = m + g v_{k - 1} for one mean score m,
        and v_0 is minus the price of the cut: a geometric series.
        """
        cut = -self.problem.objective.missing_eos_penalty
        alive = survival(log_stop_go(self.log_prob, self.problem.eos)[1], longest + 1)
        # Expected tokens of 0, 1, ... left: 1 + g + g^2 + ...
        tokens = np.concatenate([[0.0], np.cumsum(alive[:-1])])
        mean = (value - alive[-1] * cut) / tokens[-1]
        return mean * tokens + alive * cut

    def _minibatches(self, advantages):
        """Yield the collected advantages of each minibatch of documents, shuffled."""
        rollouts, n_parts = self.rollouts, self.settings.n_minibatches
        if n_parts == 1:
            yield TokenAdvantages.collect(rollouts.tokens, advantages, rollouts.n_columns)
            return
        part = np.arange(len(rollouts)) % n_parts
        self._rng.shuffle(part)
        part_of_token = np.repeat(part, rollouts.lengths)
        for i in range(n_parts):
            chosen = np.flatnonzero(part_of_token == i)
            yield TokenAdvantages.collect(
                rollouts.tokens[chosen], advantages[chosen], rollouts.n_columns
            )

    def _update_on_batch(self):
        """Run the epochs of clipped-surrogate ascent; return the statistics of the update."""
        settings, old = self.settings, self.log_prob
        self.update.begin_batch(old)
        advantages = self._advantages()
        done = _UpdateStatistics(self.rollouts)
        for _ in range(settings.n_epochs):
            for batch in self._minibatches(advantages):
                current = self.update.policy() if done.n_steps else old
                kl = done.kl(old, current)
                if settings.target_kl is not None and kl > _EARLY_STOP_FACTOR * settings.target_kl:
                    return done.summary(kl, self.update.learning_rate)
                ratio = probability_ratio(current, old)
                done.add(batch, ratio, settings.clipping)
                gradient = batch.surrogate_gradient(ratio, np.exp(current), settings.clipping)
                self.update.step(gradient)
        kl = done.kl(old, self.update.policy())
        return done.summary(kl, self.update.learning_rate)

    def _record(self, statistics):
        """Append what is known of the current policy to the history."""
        problem, log_prob, assessed = self.problem, self.log_prob, self.assessed
        self.recorded_log_prob = log_prob
        exact = problem.evaluate(log_prob, self.rollouts, assessed)
        gap, gap_se = problem.certificate(log_prob, assessed)
        record = {
            "iteration": len(self.history),
            "episode": self.n_sequences,
            "objective/value": exact.objective,
            "objective/optimality_gap": gap,
            "objective/optimality_gap_se": gap_se,
            "objective/expected_reward": exact.expected_reward,
            "objective/kl_exact": exact.kl,
            "objective/kl_coef": problem.objective.kl_coef,
            "objective/entropy_exact": exact.entropy,
            "objective/length": exact.length,
            "objective/penalty": exact.penalty,
            "objective/sft_loss": exact.sft_loss,
            **self._sampled(),
            **statistics,
            "policy/entropy_avg": exact.entropy / exact.length,
        }
        for priced in problem.rules:
            record[f"rules/{priced.name}/rate"] = exact.rule_rates[priced.name]
            record[f"rules/{priced.name}/price"] = priced.price
        if self.evaluation.gold is not None:
            record["gold/score"] = self._gold_score()
        if self.evaluation.frequencies is not None:
            record["eval/score"] = -cross_entropy(self.evaluation.frequencies, log_prob)
        self.history.append(record)

    def _sampled(self):
        """Return the means over the documents drawn, under TRL's names."""
        problem, assessed, rollouts = self.problem, self.assessed, self.rollouts
        objective = problem.objective
        log_ratio = _finite_difference(self.log_prob, objective.reference_log_prob)
        kl = rollouts.sum_over_tokens(log_ratio)
        cost = sum(priced.cost(assessed.violations[priced.name]) for priced in problem.rules)
        non_score = -objective.kl_coef * (kl + cost)
        if isinstance(objective, EosObjective):
            non_score = non_score - objective.missing_eos_penalty * ~rollouts.ended
        scores = assessed.reward
        rlhf_reward = objective.reward_coef * (scores - problem.reward_mean) + non_score
        surprise = np.where(np.isneginf(self.log_prob), 0.0, -self.log_prob)
        k3 = approximate_kl(log_ratio, "k3")
        return {
            "objective/kl": float(kl.mean()),
            "objective/kl_k3": float(rollouts.sum_over_tokens(k3).mean()),
            "objective/entropy": float(rollouts.sum_over_tokens(surprise).mean()),
            "objective/scores": float(scores.mean()),
            "objective/scores_std": float(scores.std()),
            "objective/non_score_reward": float(non_score.mean()),
            "objective/rlhf_reward": float(rlhf_reward.mean()),
            "objective/shaped_reward_std": float(assessed.shaped.std()),
        }

    def _gold_score(self):
        """Return the expected gold reward of the policy, exact where it adds over tokens."""
        gold = self.evaluation.gold
        if gold.token_reward is None:
            return float(gold(self.rollouts).mean())
        length = self.problem.objective.expected_length(self.log_prob)
        prob = np.exp(self.log_prob)
        return gold.offset + length * float(prob @ gold.token_reward)


class _UpdateStatistics:
    """Collects what is logged of the steps on one batch."""

    def __init__(self, rollouts):
        occurrences = np.bincount(rollouts.tokens, minlength=rollouts.n_columns)
        self._drawn = np.flatnonzero(occurrences)
        self._share = occurrences[self._drawn] / len(rollouts.tokens)
        self._length = len(rollouts.tokens) / len(rollouts)
        self._rows: list[tuple[float, ...]] = []

    @property
    def n_steps(self):
        return len(self._rows)

    def kl(self, old, new):
        """Return the k3 estimate of KL(old || new) of a document, from the tokens of the batch."""
        log_ratio = old[self._drawn] - new[self._drawn]
        return self._length * float(self._share @ approximate_kl(log_ratio, "k3"))

    def add(self, batch, ratio, clipping):
        """Note one step on a minibatch, taken at these ratios (V,)."""
        beyond = ratio[self._drawn] - 1.0
        mean = float(self._share @ beyond)
        variance = float(self._share @ (beyond - mean) ** 2)
        loss = -batch.surrogate(ratio, clipping) / batch.n_tokens
        self._rows.append((loss, batch.clip_fraction(ratio, clipping), 1.0 + mean, variance))

    def summary(self, kl, learning_rate):
        """Return the statistics of one update under TRL's names."""
        loss, clip_fraction, mean, variance = np.mean(self._rows, axis=0).tolist()
        return {
            "policy/approxkl_avg": kl,
            "policy/clipfrac_avg": clip_fraction,
            "loss/policy_avg": loss,
            "val/ratio": mean,
            "val/ratio_var": variance,
            "policy/n_steps": self.n_steps,
            "lr": learning_rate,
        }


def _neutral_statistics():
    """Return the update statistics of a policy that was not updated yet."""
    return {
        "policy/approxkl_avg": 0.0,
        "policy/clipfrac_avg": 0.0,
        "loss/policy_avg": 0.0,
        "val/ratio": 1.0,
        "val/ratio_var": 0.0,
        "policy/n_steps": 0,
        "lr": 0.0,
    }


def _finite_difference(log_p, log_q):
    """Return log p - log q (V,), 0 where the first is ``-inf``: such tokens are never drawn."""
    difference = np.zeros_like(log_p)
    return np.subtract(log_p, log_q, out=difference, where=~np.isneginf(log_p))


class NoiseSchedule:
    """Tells when sampling noise, not distance, is what is left, and shrinks the step then.

    A reward that does not add over tokens leaves variance in the shaped reward at the optimum. The
    step then hovers around it at a distance of about
    eta / (2 - eta) * V_eff * Var(S) / (2 kl_coef N). When the standard deviation of S no longer
    falls, the learning rate is divided by a growing number, until that distance is below ``tol``
    times the improvement made so far. Training also ends when the certificate itself, with three
    standard errors, is below that: a reward that adds over tokens unknown to us gets there.
    """

    def __init__(self, trainer: Trainer, tol: float, first_rate: float):
        self._trainer = trainer
        self._tol = tol
        self._first_rate = first_rate
        self._window = max(20, -(-len(trainer.log_prob) // trainer.settings.n_rollouts))

    def converged(self) -> bool:
        """Adapt the learning rate after an iteration; return whether training may stop."""
        last = self._trainer.history[-1]
        certified = last["objective/optimality_gap"] + 3.0 * last["objective/optimality_gap_se"]
        enough = max(self._tol * self._improvement(), self._trainer.negligible_gap())
        return certified <= enough or (self._only_noise_is_left() and self._floor() <= enough)

    def _improvement(self):
        """Return what training has gained so far, from the mean of the last values."""
        history = self._trainer.history
        values = [record["objective/value"] for record in history[1:][-self._window :]]
        gained = np.mean(values) - history[1]["objective/value"]
        # Where the KL is dear, the gain drowns in the noise of the first value; it is then as large
        # as what the policy pays for its distance from the reference.
        paid = self._trainer.problem.objective.kl_coef * history[-1]["objective/kl_exact"]
        return float(max(gained, paid))

    def _only_noise_is_left(self):
        """Tell whether the deviation of the shaped reward no longer falls; shrink the step then."""
        history, window = self._trainer.history, self._window
        n = len(history) - 1
        start = self._trainer.update.decay_start
        if start is None:
            if n < 2 * window:
                return False
            stds = [record["objective/shaped_reward_std"] for record in history[-2 * window :]]
            before, after = np.median(stds[:window]), np.median(stds[window:])
            if 0 < after <= 0.95 * before:
                return False
            self._trainer.update.decay_start = start = n
        self._trainer.update.learning_rate = self._first_rate / (1.0 + 2.0 * (n - start) / window)
        return True

    def _floor(self):
        """Return the predicted distance to the best policy at which the step hovers."""
        trainer = self._trainer
        n, rate = trainer.settings.n_rollouts, trainer.update.learning_rate
        length = trainer.problem.objective.expected_length(trainer.log_prob)
        expected = n * length * np.exp(trainer.log_prob)
        damping = trainer.update.damping(length)
        effective = float(np.minimum(1.0, expected / damping).sum())
        variance = trainer.history[-1]["objective/shaped_reward_std"] ** 2
        floor = rate / (2.0 - rate) * effective * variance
        return floor / (2.0 * trainer.problem.temperature * n)
