"""The PPO loop: rollouts, shaped rewards, epochs of minibatches, and the record of each iteration.

The maths are in ``_ppo`` and ``exact``; this room only puts them in order.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._categorical import FloatArray
from sklearn_codex._policy_updates import AdamUpdate, NaturalUpdate
from sklearn_codex._ppo import TokenAdvantages, approximate_kl, center, probability_ratio, whiten
from sklearn_codex._rewards import DocumentReward
from sklearn_codex._rollouts import Rollouts, sample_rollouts
from sklearn_codex.exact import AdditiveObjective
from sklearn_codex.rules import Rule

# Epochs over one batch end when the policy has moved this many times target_kl, as in
# Stable-Baselines3.
_EARLY_STOP_FACTOR = 1.5
# Nats of a document at which a policy is the optimum up to rounding.
NEGLIGIBLE_KL = 1e-12


@dataclass(frozen=True)
class PricedRule:
    """A rule, and its violations (V,) per token where they add over tokens."""

    name: str
    rule: Rule
    token_violations: FloatArray | None


@dataclass(frozen=True)
class PolicyProblem:
    """All that is fixed while a policy is trained.

    Parameters
    ----------
    objective : AdditiveObjective
        The part of the objective that adds over tokens; its ``token_reward`` is 0 where the reward
        does not.
    reward : DocumentReward
        The reward of documents.
    rules : list of PricedRule
        The rules; the penalties of additive ones are in ``objective`` already.
    names : ndarray of shape (V,) or None
        Names of tokens.
    """

    objective: AdditiveObjective
    reward: DocumentReward
    rules: list[PricedRule]
    names: np.ndarray | None

    @property
    def adds_reward(self) -> bool:
        """Whether the reward adds over tokens."""
        return self.reward.token_reward is not None

    @property
    def is_additive(self) -> bool:
        """Whether everything adds over tokens, so that the optimum is known."""
        return self.adds_reward and all(rule.token_violations is not None for rule in self.rules)

    def sample(self, log_prob: FloatArray, n_documents: int, rng) -> Rollouts:
        """Draw documents from a policy."""
        return sample_rollouts(
            log_prob, n_documents, rng, length=self.objective.length, names=self.names
        )

    def assess(self, log_prob: FloatArray, rollouts: Rollouts) -> Bunch:
        """Return the rewards, violations and shaped rewards of documents drawn from a policy.

        Returns
        -------
        assessed : Bunch
            ``reward`` (n,), unweighted; ``violations``, name to (n,); ``token_score`` (V,), the
            shaped reward that adds over tokens; ``shaped`` (n,), the whole shaped reward.
        """
        objective = self.objective
        if self.reward.token_reward is not None:
            reward = rollouts.sum_over_tokens(self.reward.token_reward) + self.reward.offset
        else:
            reward = self.reward(rollouts)
        token_score = objective.token_scores(log_prob)
        shaped = rollouts.sum_over_tokens(token_score)
        if not self.adds_reward:
            shaped += objective.reward_coef * reward
        violations = {}
        for priced in self.rules:
            if priced.token_violations is not None:
                amounts = rollouts.sum_over_tokens(priced.token_violations)
            else:
                amounts = priced.rule.violations(rollouts)
                shaped -= objective.kl_coef * priced.rule.penalty * amounts
            violations[priced.name] = amounts
        return Bunch(reward=reward, violations=violations, token_score=token_score, shaped=shaped)

    def evaluate(self, log_prob: FloatArray, rollouts: Rollouts, assessed: Bunch) -> Bunch:
        """Return the objective of a policy and its parts: exact where they add over tokens."""
        objective = self.objective
        if self.adds_reward:
            expected_reward = objective.expected_reward(log_prob) + self.reward.offset
        else:
            expected_reward = float(assessed.reward.mean())
        penalty = objective.expected_penalty(log_prob)
        rates = {}
        for priced in self.rules:
            amounts = assessed.violations[priced.name]
            if priced.token_violations is None:
                penalty += priced.rule.penalty * float(amounts.mean())
                rates[priced.name] = float((amounts > 0).mean())
            else:
                rates[priced.name] = _rate_of_any(
                    log_prob[priced.token_violations > 0], objective.length
                )
        kl = objective.kl(log_prob)
        value = objective.reward_coef * expected_reward - objective.kl_coef * (kl + penalty)
        sft_loss = objective.sft_loss(log_prob)
        if objective.sft_coef > 0:
            value -= objective.sft_coef * sft_loss
        return Bunch(
            objective=value,
            expected_reward=expected_reward,
            kl=kl,
            penalty=penalty,
            sft_loss=sft_loss,
            entropy=objective.entropy(log_prob),
            rule_rates=rates,
        )

    def certificate(self, log_prob: FloatArray, assessed: Bunch) -> tuple[float, float]:
        """Return an upper bound of J* - J(policy) and its standard error; exact where additive.

        For any other reward, fresh documents of the policy with shaped rewards S give
        b log mean exp(S / b) - mean S, the distance to the best distribution over whole documents,
        which no unigram policy exceeds.
        """
        if self.is_additive:
            return self.objective.gap(log_prob), 0.0
        kl_coef = self.objective.kl_coef
        shifted = assessed.shaped - assessed.shaped.max()
        weight = np.exp(shifted / kl_coef)
        weight_mean = weight.mean()
        gap = kl_coef * np.log(weight_mean) - shifted.mean()
        influence = kl_coef * weight / weight_mean - shifted
        return max(0.0, float(gap)), float(influence.std(ddof=1) / np.sqrt(len(influence)))


@dataclass
class Trainer:
    """One run of PPO on a :class:`PolicyProblem`, one batch of rollouts an iteration."""

    problem: PolicyProblem
    update: NaturalUpdate | AdamUpdate
    rng: np.random.RandomState
    n_rollouts: int
    n_epochs: int
    n_minibatches: int
    clip_range: float | tuple[float, float]
    target_kl: float | None
    credit: str
    whitened: bool

    def __post_init__(self):
        self.n_sequences = 0
        self.history: list[dict[str, Any]] = []
        reference = self.problem.objective.reference_log_prob
        self._roll_out(reference)
        self._record(_neutral_statistics())
        if not np.array_equal(self.update.policy(), reference):
            self._roll_out(self.update.policy())

    def iterate(self) -> None:
        """Update the policy on the current rollouts, then draw and record new ones."""
        statistics = self._update_on_batch()
        self._roll_out(self.update.policy())
        self._record(statistics)

    def _roll_out(self, log_prob):
        self.log_prob = log_prob
        self.rollouts = self.problem.sample(self.log_prob, self.n_rollouts, self.rng)
        self.assessed = self.problem.assess(self.log_prob, self.rollouts)
        self.n_sequences += self.n_rollouts

    def _advantages(self):
        """Return the advantage (n_tokens,) of each token drawn."""
        normalize = whiten if self.whitened else center
        if self.credit == "token":
            return normalize(self.assessed.token_score[self.rollouts.tokens])
        return np.repeat(normalize(self.assessed.shaped), self.rollouts.lengths)

    def _minibatches(self, advantages):
        """Yield the collected advantages of each minibatch of documents, shuffled."""
        rollouts = self.rollouts
        if self.n_minibatches == 1:
            yield TokenAdvantages.collect(rollouts.tokens, advantages, rollouts.n_columns)
            return
        order = self.rng.permutation(len(rollouts))
        document = np.repeat(np.arange(len(rollouts)), rollouts.lengths)
        for chosen in np.array_split(order, self.n_minibatches):
            inside = np.zeros(len(rollouts), dtype=bool)
            inside[chosen] = True
            mask = inside[document]
            yield TokenAdvantages.collect(
                rollouts.tokens[mask], advantages[mask], rollouts.n_columns
            )

    def _update_on_batch(self):
        """Run the epochs of clipped-surrogate ascent; return the statistics of the update."""
        old, advantages = self.log_prob, self._advantages()
        occurrences = np.bincount(self.rollouts.tokens, minlength=self.rollouts.n_columns)
        share = occurrences / len(self.rollouts)
        losses, clipped, ratios = [], [], []
        kl, n_steps = 0.0, 0
        for _ in range(self.n_epochs):
            for batch in self._minibatches(advantages):
                current = self.update.policy() if n_steps else old
                ratio = probability_ratio(current, old)
                kl = _batch_kl(old, current, share)
                if self.target_kl is not None and kl > _EARLY_STOP_FACTOR * self.target_kl:
                    return _statistics(losses, clipped, ratios, kl, n_steps, self.update)
                losses.append(-batch.surrogate(ratio, self.clip_range) / batch.n_tokens)
                clipped.append(batch.clip_fraction(ratio, self.clip_range))
                ratios.append(_ratio_moments(ratio, occurrences))
                gradient = batch.surrogate_gradient(ratio, np.exp(current), self.clip_range)
                self.update.step(gradient, old)
                n_steps += 1
        kl = _batch_kl(old, self.update.policy(), share)
        return _statistics(losses, clipped, ratios, kl, n_steps, self.update)

    def _record(self, statistics):
        """Append what is known of the current policy to the history."""
        problem, log_prob, assessed = self.problem, self.log_prob, self.assessed
        objective = problem.objective
        exact = problem.evaluate(log_prob, self.rollouts, assessed)
        gap, gap_se = problem.certificate(log_prob, assessed)
        log_ratio = _finite_difference(log_prob, objective.reference_log_prob)
        sampled_kl = self.rollouts.sum_over_tokens(log_ratio)
        sampled_penalty = sum(
            priced.rule.penalty * assessed.violations[priced.name] for priced in problem.rules
        )
        non_score = -objective.kl_coef * (sampled_kl + sampled_penalty)
        scores = assessed.reward
        surprise = np.where(np.isneginf(log_prob), 0.0, -log_prob)
        record = {
            "iteration": len(self.history),
            "episode": self.n_sequences,
            "objective/value": exact.objective,
            "objective/optimality_gap": gap,
            "objective/optimality_gap_se": gap_se,
            "objective/expected_reward": exact.expected_reward,
            "objective/kl_exact": exact.kl,
            "objective/entropy_exact": exact.entropy,
            "objective/penalty": exact.penalty,
            "objective/sft_loss": exact.sft_loss,
            "objective/kl": float(sampled_kl.mean()),
            "objective/kl_k3": float(
                self.rollouts.sum_over_tokens(approximate_kl(log_ratio, "k3")).mean()
            ),
            "objective/entropy": float(self.rollouts.sum_over_tokens(surprise).mean()),
            "objective/scores": float(scores.mean()),
            "objective/scores_std": float(scores.std()),
            "objective/non_score_reward": float(non_score.mean()),
            "objective/rlhf_reward": float((objective.reward_coef * scores + non_score).mean()),
            "objective/shaped_reward_std": float(assessed.shaped.std()),
            **statistics,
            "policy/entropy_avg": exact.entropy / objective.length,
        }
        for name, rate in exact.rule_rates.items():
            record[f"rules/{name}/rate"] = rate
        self.history.append(record)


def _rate_of_any(log_prob, length):
    """Return the share of documents that have any of some tokens, also where it is tiny."""
    p = min(float(np.exp(log_prob).sum()), 1.0)
    return 1.0 if p == 1.0 else float(-np.expm1(length * np.log1p(-p)))


def _batch_kl(old, new, share):
    """Return the k3 estimate of KL(old || new) of a document, from the tokens of a batch."""
    drawn = share > 0
    return float(share[drawn] @ approximate_kl(old[drawn] - new[drawn], "k3"))


def _finite_difference(log_p, log_q):
    """Return log p - log q (V,), 0 where both are ``-inf``: such tokens are never drawn."""
    difference = np.zeros_like(log_p)
    return np.subtract(log_p, log_q, out=difference, where=log_p != log_q)


def _ratio_moments(ratio, occurrences):
    """Return mean and variance of the ratio over the tokens of a batch."""
    total = occurrences.sum()
    mean = float(ratio @ occurrences) / total
    return mean, float((ratio - mean) ** 2 @ occurrences) / total


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


def _statistics(losses, clipped, ratios, kl, n_steps, update):
    """Return the statistics of one update under TRL's names."""
    means, variances = zip(*ratios, strict=True)
    return {
        "policy/approxkl_avg": kl,
        "policy/clipfrac_avg": float(np.mean(clipped)),
        "loss/policy_avg": float(np.mean(losses)),
        "val/ratio": float(np.mean(means)),
        "val/ratio_var": float(np.mean(variances)),
        "policy/n_steps": n_steps,
        "lr": update.learning_rate,
    }


class NoiseSchedule:
    """Tells when sampling noise, not distance, is what is left, and shrinks the step then.

    A reward that does not add over tokens leaves variance in the shaped reward at the optimum. The
    step then hovers around it at a distance of about
    eta / (2 - eta) * V_eff * Var(S) / (2 kl_coef N). When the standard deviation of S no longer
    falls, the learning rate is divided by a growing number, until that distance is below ``tol``
    times the improvement made so far. Training also ends when the certificate itself, with three
    standard errors, is below that: a reward that adds over tokens unknown to us gets there.
    """

    def __init__(self, trainer: Trainer, tol: float):
        self._trainer = trainer
        self._tol = tol
        self._first_rate = trainer.update.learning_rate
        start = trainer.problem.evaluate(trainer.log_prob, trainer.rollouts, trainer.assessed)
        self._first_value = start.objective
        n_columns = len(trainer.log_prob)
        self._window = max(20, -(-n_columns // trainer.n_rollouts))
        self._start: int | None = None

    def converged(self, damping: float) -> bool:
        """Adapt the learning rate after an iteration; return whether training may stop."""
        last = self._trainer.history[-1]
        certified = last["objective/optimality_gap"] + 3.0 * last["objective/optimality_gap_se"]
        enough = max(
            self._tol * self._improvement(),
            NEGLIGIBLE_KL * self._trainer.problem.objective.kl_coef,
        )
        return certified <= enough or (
            self._only_noise_is_left() and self._floor(damping) <= enough
        )

    def _improvement(self):
        """Return what training has gained so far, from the mean of the last values."""
        history = self._trainer.history
        recent = np.mean([record["objective/value"] for record in history[1:][-self._window :]])
        # Where the KL is dear, the gain drowns in the noise of the first value; it is then as large
        # as what the policy pays for its distance from the reference.
        paid = self._trainer.problem.objective.kl_coef * history[-1]["objective/kl_exact"]
        return float(max(recent - self._first_value, paid))

    def _only_noise_is_left(self):
        """Tell whether the deviation of the shaped reward no longer falls; shrink the step then."""
        history, window = self._trainer.history, self._window
        n = len(history) - 1
        if self._start is None:
            if n < 2 * window:
                return False
            stds = [record["objective/shaped_reward_std"] for record in history[-2 * window :]]
            before, after = np.median(stds[:window]), np.median(stds[window:])
            if 0 < after <= 0.95 * before:
                return False
            self._start = n
        rate = self._first_rate / (1.0 + 2.0 * (n - self._start) / window)
        self._trainer.update.learning_rate = rate
        return True

    def _floor(self, damping):
        """Return the predicted distance to the best policy at which the step hovers."""
        trainer = self._trainer
        objective, rate = trainer.problem.objective, trainer.update.learning_rate
        expected = trainer.n_rollouts * objective.length * np.exp(trainer.log_prob)
        effective = float(np.minimum(1.0, expected / damping).sum())
        variance = trainer.history[-1]["objective/shaped_reward_std"] ** 2
        floor = rate / (2.0 - rate) * effective * variance
        return floor / (2.0 * objective.kl_coef * trainer.n_rollouts)
