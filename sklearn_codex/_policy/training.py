"""The PPO loop: rollouts, shaped rewards, epochs of minibatches, and the record of each iteration.

The maths are in ``ppo`` and ``exact``; this room only puts them in order.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray, cross_entropy
from sklearn_codex._policy.adaptation import (
    learn_prices,
    next_kl_coef,
    tracked_prices,
    with_learned_prices,
)
from sklearn_codex._policy.context_credit import (
    JudgedBatch,
    advantages_in_contexts,
    steadied,
    worth_of_events,
)
from sklearn_codex._policy.critic import ContextCritic, LinearCritic
from sklearn_codex._policy.iteration_record import (
    Evaluation,
    UpdateStatistics,
    neutral_statistics,
    sampled_figures,
)
from sklearn_codex._policy.local_gap import Drift, in_unit_of_gain, scaled_gradient
from sklearn_codex._policy.ppo import (
    NEGLIGIBLE_KL,
    PlacedAdvantages,
    TokenAdvantages,
    center,
    probability_ratio,
    surrogate_slope,
    whiten,
)
from sklearn_codex._policy.prices import LearnedPrice
from sklearn_codex._policy.problem import PolicyProblem
from sklearn_codex._policy.settings import Settings
from sklearn_codex._policy.updates import DualUpdate, LogitUpdate, PolicyUpdate
from sklearn_codex.kl_control import FixedKLController, KLController

# Epochs over one batch end when the policy has moved this many times target_kl, as in
# Stable-Baselines3.
_EARLY_STOP_FACTOR = 1.5
# Share of the objective at which a policy is the optimum up to rounding.
_NEGLIGIBLE_SHARE = 1e-15
# Steps after which batches grow that might have grown before.
_STEPS_OF_A_SIZE = 8


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
    others : list of ndarray of shape (V,)
        Policies that training from other places led to.
    learned : dict of str to LearnedPrice
        What is known of the prices of chance constraints that are learned.
    log_prob, recorded_log_prob : ndarray of shape (V,)
        The policy that is updated next, and the one of the last record: they differ before the
        first update, where known penalties have moved the one.
    """

    problem: PolicyProblem
    update: PolicyUpdate
    settings: Settings
    controller: KLController
    evaluation: Evaluation
    seed: int
    critic: LinearCritic | None = None
    values: ContextCritic | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    n_sequences: int = 0
    n_batches: int = 0
    start_gap: float = np.inf
    contradicted: bool = False
    is_stuck: bool = False  # It ended as the last steps gained no more.
    prices_rest: bool = True
    others: list[FloatArray] = field(default_factory=list)
    learned: dict[str, LearnedPrice] = field(default_factory=dict)
    log_prob: FloatArray = field(init=False)
    recorded_log_prob: FloatArray = field(init=False)
    drift: Drift = field(default_factory=Drift)

    def begin(self) -> None:
        """Record the reference policy and draw the first batch of the policy to be updated."""
        reference, start = self.problem.start, self.update.policy()
        self._set_start_gap()
        self._first_kl_coef = self.problem.objective.kl_coef
        self._roll_out(reference)
        self._record(neutral_statistics())
        if not np.array_equal(start, reference):
            self._roll_out(start)

    def begin_at_update(self) -> None:
        """Draw the first batch of the policy to be updated, which is not the reference."""
        self._first_kl_coef = self.problem.objective.kl_coef
        self._roll_out(self.update.policy())
        self._record(neutral_statistics())

    def restart(self) -> None:
        """Go on from an update that was moved, at its first rate."""
        self.update.restart()
        self.drift.restart()
        if self.critic is not None:
            self.critic.forget()
        self._roll_out(self.update.policy())

    def grow_batch(self) -> None:
        """Draw twice as many documents a batch from the next one on, up to some thousands."""
        self._set_batch_size(self.settings.n_grown(self._next_length()))

    def _next_length(self):
        return self.problem.objective.expected_length(self.update.policy())

    def _set_batch_size(self, n_rollouts):
        self.settings = replace(self.settings, n_rollouts=n_rollouts)
        self.update.batch_size = n_rollouts

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a state of :meth:`state`, drawing again the batch it stood before."""
        self._set_start_gap()
        self.history = [dict(record) for record in state["history"]]
        self.n_sequences, self.n_batches = state["n_sequences"], state["n_batches"]
        self._first_kl_coef = self.problem.objective.kl_coef
        if self._first_kl_coef == state["first_kl_coef"]:
            self.problem = self.problem.with_kl_coef(state["kl_coef"])
        self.problem = self.problem.with_prices(state["prices"])
        for name, before in state["learned"].items():
            self.learned[name] = LearnedPrice.of(before)
        self._set_problem(with_learned_prices(self.problem, self.learned))
        self.update.restore(state["update"])
        self.drift.restore(state["drift"])
        if self.settings.grows or self.settings.shrinks:
            self._set_batch_size(state["n_rollouts"])
        if self.critic is not None and state["critic"] is not None:
            self.critic.restore(state["critic"])
        if self.values is not None and state.get("values") is not None:
            self.values.restore(state["values"])
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
            "history": [dict(record) for record in self.history],
            # Without the last batch, which is drawn again.
            "n_sequences": self.n_sequences - len(self.rollouts),
            "n_batches": self.n_batches - 1,
            "first_kl_coef": self._first_kl_coef,
            "kl_coef": self.problem.objective.kl_coef,
            "contradicted": self.contradicted,
            "n_rollouts": self.settings.n_rollouts,
            "drift": self.drift.state(),
            "learned": {name: price.state() for name, price in self.learned.items()},
            "prices": {priced.name: priced.price for priced in self.problem.rules},
            "update": self.update.state(),
            "critic": None if self.critic is None else self.critic.state(),
            "values": None if self.values is None else self.values.state(),
        }

    def iterate(self) -> None:
        """Update the policy on the current rollouts, adapt, then draw and record new ones."""
        statistics = self._update_on_batch()
        if self.critic is not None:
            self._teach(self.critic)
        self._adapt()
        self._grow_if_it_fell()
        if self.settings.shrinks or self.settings.grows:
            self._set_batch_size(self.settings.n_shrunk(self._next_length()))
        self._roll_out(self.update.policy())
        self._record(statistics)

    def _grow_if_it_fell(self):
        """Draw more documents where a step led to no better policy, or there were many of few."""
        grows = self._takes_worth and self.settings.grows and not self.adapts
        values = [-np.inf, *(record["objective/value"] for record in self.history[-2:])]
        if grows and (values[-1] <= values[-2] or len(self.history) % _STEPS_OF_A_SIZE == 0):
            self.grow_batch()

    def negligible_gap(self) -> float:
        """Return the distance to the optimum that is lost in rounding."""
        value = abs(self.history[-1]["objective/value"])
        return max(NEGLIGIBLE_KL * self.problem.temperature, _NEGLIGIBLE_SHARE * value)

    def value_of(self, log_prob: FloatArray, n_documents: int, rng) -> tuple[float, float]:
        """Return J of a policy and its standard error, from fresh documents."""
        self.n_sequences += n_documents
        rollouts = self.problem.sample(log_prob, n_documents, rng)
        assessed = self.problem.assess(log_prob, rollouts)
        value = self.problem.evaluate(log_prob, rollouts, assessed).objective
        # The KL is exact, so what is left is the noise of reward and rules.
        return value, float(assessed.rest.std(ddof=1) / np.sqrt(n_documents))

    def settle(self) -> None:
        """Move the policy to the mean of where it hovered since its batches last agreed."""
        if self.drift.n > 1:
            self.update.move_to(self.problem.objective.policy_at(self.drift.mean_place()))
            if self.problem.tracks_prices and isinstance(self.update, DualUpdate):
                prices = self.problem.token_prices(self.update.learned_reward)
                self._set_problem(self.problem.with_prices(prices))
            self.log_prob = self.recorded_log_prob = self.update.policy()

    def _roll_out(self, log_prob):
        """Draw and judge a batch from a policy; its source also shuffles it later."""
        self.log_prob = log_prob
        self.n_batches += 1
        # RandomState(seed) would ask the system for entropy first, and draw at half the speed.
        self._rng = np.random.RandomState(np.random.SFC64([self.seed, self.n_batches]))
        settings = self.settings
        self.rollouts = self.problem.sample(
            log_prob, settings.n_rollouts, self._rng, group_size=settings.group_size
        )
        self.assessed = self.problem.assess(log_prob, self.rollouts)
        if self.assessed.contradicted:
            self._set_problem(self.problem.without_tested())
            self.contradicted, self.start_gap = True, np.inf
            self.assessed = self.problem.assess(log_prob, self.rollouts)
        self.n_sequences += len(self.rollouts)

    def _set_problem(self, problem):
        self.problem, self.update.objective = problem, problem.objective

    def _adapt(self):
        """Let the controller set ``kl_coef``, and learn the prices of chance constraints."""
        if self.adapts:
            self._adapt_kl_coef()
            self._adapt_prices()
        if self.problem.tracks_prices and isinstance(self.update, DualUpdate):
            prices, self.prices_rest = tracked_prices(self.problem, self.update.learned_reward)
            self._set_problem(self.problem.with_prices(prices))

    @property
    def adapts(self):
        """Whether anything of the problem changes between batches."""
        return self.moves_kl_coef or any(priced.is_learned for priced in self.problem.rules)

    @property
    def moves_kl_coef(self):
        """Whether a controller changes the weight of the KL."""
        return type(self.controller) is not FixedKLController

    def _adapt_kl_coef(self):
        kl_coef = next_kl_coef(
            self.controller, self.problem.objective, self.update.policy(),
            first=self._first_kl_coef, n_documents=self.settings.n_rollouts,
        )  # fmt: skip
        self._set_problem(self.problem.with_kl_coef(kl_coef))

    def _adapt_prices(self):
        """Learn the prices of chance constraints that nobody can compute."""
        settles_at = self.settings.settles_at
        settles = settles_at is not None and len(self.history) >= settles_at
        learn_prices(self.problem, self.learned, self.assessed.violations, settles=settles)
        self._set_problem(with_learned_prices(self.problem, self.learned))

    def _advantages(self, known=None):
        """Return the advantage (n_tokens,) of each token drawn, beyond a known one (V,)."""
        if self.settings.groups is not None:
            return self.settings.groups.token_advantages(
                self.problem, self.assessed, self.rollouts, self._expected_length
            )
        if self.settings.credit == "token":
            advantages = self.problem.objective.token_advantages(
                self.log_prob,
                self.rollouts,
                self.assessed.token_score,
                float(self.assessed.shaped.mean()),
            )
        else:
            shaped = self.assessed.shaped
            if known is not None:
                shaped = shaped - self.rollouts.sum_over_tokens(known)
            if self.settings.leave_one_out:
                # r_i minus the mean of the others is n / (n - 1) times the centred reward.
                shaped = shaped * (len(shaped) / (len(shaped) - 1))
            advantages = np.repeat(shaped, self.rollouts.lengths)
        return self._centred(advantages)

    def _centred(self, advantages):
        # Not centred before: whitening tells rounding from reward by the size of the reward.
        return whiten(advantages) if self.settings.whitened else center(advantages)

    @property
    def _takes_worth(self):
        """Whether a step takes what n-grams that nobody drew are worth.

        Not where that is not known, and one without damping would not rest where the pull of
        demonstrations does, whose step has some.
        """
        knows = self.settings.credit == "token" and not self.settings.whitened
        knows &= self.values is not None and self.values.knows_all_contexts
        knows &= self.problem.objective.sft_coef == 0
        return knows and isinstance(self.update, LogitUpdate)

    def _credit_in_contexts(self, values):
        """Return the advantages (n_tokens,) by values of contexts, and what is known of events.

        That is what all of these (E,) bring by themselves, and its part of the advantages, or None.
        """
        batch = JudgedBatch(self.problem, self.log_prob, self.rollouts, self.assessed)
        advantages = advantages_in_contexts(
            values, batch, credit=self.settings.credit, critic=self.critic,
            takes_known=self._takes_worth,
        )  # fmt: skip
        advantages = self._centred(advantages)
        if not self._takes_worth:
            return advantages, None, None
        worth, known = worth_of_events(values, batch)
        return steadied(advantages, known, batch.rollouts.arcs), worth, known

    def _known_advantages(self):
        """Return the advantage (V,) of each token that the critic is trusted to know, or None."""
        if self.critic is None or not isinstance(self.update, DualUpdate):
            return None
        difference = self.critic.token_value - self.update.learned_reward
        forecast = self.rollouts.sum_over_tokens(difference)
        trust = self.critic.trust(forecast, self.assessed.shaped)
        if trust == 0.0:
            return None
        return trust * (difference - np.exp(self.log_prob) @ difference)

    def _teach(self, critic):
        """Show a critic what each document earned, apart from the KL and what else is known."""
        objective, assessed = self.problem.objective, self.assessed
        known = assessed.token_score - objective.reward_coef * objective.token_reward
        critic.learn(self.rollouts, assessed.shaped - self.rollouts.sum_over_tokens(known))

    def _collector(self):
        """Return a function that collects the advantages of chosen occurrences by token.

        And a known one (V,) beyond which they are, or None.
        """
        rollouts, settings = self.rollouts, self.settings
        if self.values is not None:
            advantages, worth, known = self._credit_in_contexts(self.values)
            return lambda chosen: PlacedAdvantages(chosen, advantages, known), worth
        known = self._known_advantages()
        own = settings.credit == "token" and self.problem.objective.scores_are_advantages
        if own and not settings.whitened:
            score, occurrences = self.assessed.token_score, rollouts.occurrences
            of_kind = score - occurrences @ score / len(rollouts.tokens)

            def collect(chosen):
                drawn = np.bincount(rollouts.tokens[chosen], minlength=rollouts.n_columns)
                return TokenAdvantages.of_kinds(drawn.astype(np.float64), of_kind)

            return collect, known
        advantages = self._advantages(known)
        if rollouts.knows_places:
            return lambda chosen: PlacedAdvantages(chosen, advantages), known

        def collect_drawn(chosen):
            tokens = rollouts.tokens[chosen]
            return TokenAdvantages.collect(tokens, advantages[chosen], rollouts.n_columns)

        return collect_drawn, known

    def _minibatches(self, collect):
        """Yield what ``collect`` makes of each minibatch of documents, shuffled."""
        rollouts, n_parts = self.rollouts, self.settings.n_minibatches
        if n_parts == 1:
            yield collect(slice(None))
            return
        part = np.arange(len(rollouts)) % n_parts
        self._rng.shuffle(part)
        part_of_token = np.repeat(part, rollouts.lengths)
        for i in range(n_parts):
            yield collect(part_of_token == i)

    def _update_on_batch(self):
        """Run the epochs of clipped-surrogate ascent; return the statistics of the update."""
        settings, update, old, rollouts = self.settings, self.update, self.log_prob, self.rollouts
        update.begin_batch(old, rollouts)
        collect, known = self._collector()
        done, drawn_old = UpdateStatistics(rollouts), rollouts.of_draws(old)
        for _ in range(settings.n_epochs):
            for batch in self._minibatches(collect):
                current = update.policy() if done.n_steps else old
                drawn = rollouts.of_draws(current)
                kl = done.kl(drawn_old, drawn) if done.n_steps else 0.0
                if settings.target_kl is not None and kl > _EARLY_STOP_FACTOR * settings.target_kl:
                    return done.summary(kl, update.learning_rate)
                ratio = probability_ratio(drawn, drawn_old)
                gradient = self._gradient(batch, ratio, current)
                if known is not None and isinstance(update, DualUpdate):
                    expected = np.exp(old) * batch.n_tokens
                    done.add(batch.plus(known, expected), ratio, settings.clipping)
                    update.step(gradient, surrogate_slope(ratio, known, settings.clipping))
                else:
                    done.add(batch, ratio, settings.clipping)
                    update.step(gradient, known)
        kl = done.kl(drawn_old, rollouts.of_draws(update.policy()))
        return done.summary(kl, update.learning_rate)

    def _gradient(self, batch, ratio, log_prob):
        """Return the gradient (V,) by the logits of what a minibatch, its share of J, gains."""
        objective, settings = self.problem.objective, self.settings
        slopes = batch.slopes(ratio, settings.clipping)
        if settings.groups is not None and settings.groups.kl_in == "loss":
            slopes = slopes - objective.kl_coef * settings.groups.kl_slopes(
                self.rollouts, self._expected_length, log_prob, self._reference, self.log_prob
            )
        gradient = objective.policy_gradient(log_prob, self.rollouts, slopes)
        shown = objective.demonstrations_gradient(log_prob)
        if shown is not None:
            gradient += len(self.rollouts) / settings.n_minibatches * shown
        return gradient

    @cached_property
    def _reference(self):
        return self.problem.start

    @property
    def _expected_length(self):
        return self.history[-1]["objective/length"]

    def _drift_of_groups(self):
        """Return the gradient (V,) that the batch gives a policy, in the unit of a gain."""
        log_prob, (collect, _) = self.log_prob, self._collector()
        batch = collect(slice(None))
        ratio = np.ones_like(self.rollouts.of_draws(log_prob))
        gradient = self._gradient(batch, ratio, log_prob) / len(self.rollouts)
        return in_unit_of_gain(self.problem, log_prob, gradient)

    def _record(self, statistics):
        """Append what is known of the current policy to the history."""
        problem, log_prob, assessed = self.problem, self.log_prob, self.assessed
        self.recorded_log_prob = log_prob
        exact = problem.evaluate(log_prob, self.rollouts, assessed)
        gap, gap_se = problem.certificate(log_prob, assessed, by_value=problem.explodes)
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
            **sampled_figures(problem, log_prob, self.rollouts, assessed),
            **statistics,
            "policy/entropy_avg": exact.entropy / exact.length,
        }
        prices = problem.reported_prices(log_prob)
        for priced in problem.rules:
            record[f"rules/{priced.name}/rate"] = exact.rule_rates[priced.name]
            record[f"rules/{priced.name}/price"] = prices[priced.name]
        if self.values is not None and problem.is_additive:
            exact_values = problem.objective.context_values(log_prob)
            if exact_values is not None:
                record |= self.values.quality(*exact_values)
        if self.evaluation.gold is not None:
            record["gold/score"] = self._expected(self.evaluation.gold)
        if self.evaluation.frequencies is not None:
            record["eval/score"] = -cross_entropy(self.evaluation.frequencies, log_prob)
        self.history.append(record)
        if self.settings.groups is not None:
            place = problem.objective.place(log_prob)
            self.drift.add(self._drift_of_groups(), len(self.rollouts), place)
        elif not problem.is_additive or problem.objective.is_noisy:
            gradient = scaled_gradient(problem, log_prob, self.rollouts, assessed.shaped)
            self.drift.add(gradient, len(self.rollouts), problem.objective.place(log_prob))

    def _expected(self, gold):
        """Return the expected gold reward of the policy, exact where it adds over tokens."""
        if gold.token_reward is None:
            return float(gold(self.rollouts).mean())
        return gold.offset + self.problem.objective.expected_sum(self.log_prob, gold.token_reward)
