"""The loop of policy optimisers that draw documents: PPO and its relatives share it."""

import warnings
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from sklearn_codex._data.vectorizers import token_names
from sklearn_codex._fits import caller_level, whole_fit
from sklearn_codex._policy.additivity import recognise
from sklearn_codex._policy.audit import Audit
from sklearn_codex._policy.certificate import gain_over, tilt_gap
from sklearn_codex._policy.critic import ContextCritic, LinearCritic
from sklearn_codex._policy.inputs import PROBLEM_CONSTRAINTS, find_frequencies
from sklearn_codex._policy.iteration_record import Evaluation
from sklearn_codex._policy.local_gap import left_to_gain, slope_gains
from sklearn_codex._policy.noise_schedule import NoiseSchedule, apart_from_cuts, is_better_settled
from sklearn_codex._policy.optimizer import N_EVALUATION
from sklearn_codex._policy.rewards import DocumentReward
from sklearn_codex._policy.settings import resolve_settings
from sklearn_codex._policy.stated_objective import ObjectiveFitMixin
from sklearn_codex._policy.training import Trainer
from sklearn_codex._policy.updates import AdamUpdate, DualUpdate, LogitUpdate, PolicyUpdate
from sklearn_codex.exact import LengthExplosionWarning
from sklearn_codex.kl_control import FixedKLController, KLController

# Share of documents that are cut from which it is worth a warning.
_CUT_RATE = 0.01
# Times max_rate from which a chance constraint is not kept.
_FAR_BEYOND = 1.25
# Documents of each policy that the distance to the optimum, or to the start, is told from.
_N_CERTIFIED = 4096
# Tokens of the best documents, on average, up to which some hundred of them a batch take seconds.
_LONGEST_DRAWN = 5000


class SampledPolicyOptimizer(CallbackSupportMixin, ObjectiveFitMixin, BaseEstimator):
    """Base of the optimisers that draw documents from the policy they improve."""

    _parameter_constraints: dict = {
        **PROBLEM_CONSTRAINTS,
        "n_rollouts": [Interval(Integral, 2, None, closed="left"), StrOptions({"auto"})],
        "target_kl": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"}), None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "optimizer": [StrOptions({"natural", "adam"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "lr_schedule": [StrOptions({"auto", "constant", "linear"})],
        "credit": [StrOptions({"auto", "token", "sequence"})],
        "kl_controller": [KLController, None],
        "gold_reward": [HasMethods(["reward"]), HasMethods(["predict"]), callable, None],
        "select_by": [str, None],
        "warm_start": ["boolean"],
    }

    # policy and reward_model are fitted models, whose parameters were validated by their fit
    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, X_val=None, prompts=None):
        """Optimise the policy.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents: they give the response length, the vocabulary where there is no incoming
            policy, the demonstrations where there is a ``sft_coef`` > 0, and, with ``y``, the
            logged responses.
        y : array-like of shape (n_documents,), default=None
            Logged rewards of the documents; used, and needed, where ``reward_model`` is None.
        X_val : sequence of str or array-like of shape (n_val_documents, V), default=None
            Documents held out: ``eval/score`` in ``history_`` is their log-likelihood per token.
        prompts : sequence of str, default=None
            What documents of a policy over n-grams are written after, each prompt as often as any
            other; a group of documents has one. Where X is text and there are as many, each is
            counted after its own; counts are taken as they are, as
            ``NGramCounter.transform_after`` makes them. A policy of independent tokens takes no
            notice of prompts.

        Returns
        -------
        self : estimator
            The optimiser, fitted.

        Raises
        ------
        NotFittedError
            If ``policy`` or ``reward_model`` is not fitted.
        ValueError
            If there is neither a reward model nor logged rewards, X does not fit the policy, or the
            problem has what the optimiser knows nothing of: of GRPO a rule with a ``max_rate``.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` was reached before ``tol``; and, where the optimum is what is sought,
            if no more was gained than noise, a rule is broken far more or less often than its
            ``max_rate``, or its price has not come to rest.
        LengthExplosionWarning
            If documents end by themselves and no policy is best, as none is long enough, or if
            they became longer and longer.
        """
        state = self._begin(X, y, prompts)
        problem = self._build_problem()
        self._check_problem(problem)
        settings = resolve_settings(
            self.get_params(deep=False) | self._fixed_settings(),
            problem,
            subject=type(self).__name__,
        )
        trainer = self._make_trainer(problem, settings, X_val)
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        best, converged = self._train(trainer, state, context, X, y)
        self._conclude(trainer, best, converged)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _check_problem(self, problem):
        """Raise where a problem has what the optimiser knows nothing of."""

    def _fixed_settings(self):
        """Return settings that are no parameters of the optimiser, by the names PPO has."""
        return {}

    def _begin(self, X, y, prompts=None):
        """Prepare to optimise; return the state of training to go on from, None to begin."""
        state = getattr(self, "training_state_", None) if self.warm_start else None
        if state is None:
            self.training_state_: dict[str, Any] = {}
            self._prepare(X, y, prompts=prompts)
            return None
        before = self.n_features_in_, token_names(self)
        self._prepare(X, y, prompts=prompts, seed=self._seed)
        if before[0] != self.n_features_in_ or not np.array_equal(before[1], token_names(self)):
            raise ValueError(self._explain_other_columns(before[0]))
        return state

    def _explain_other_columns(self, n_before):
        columns = "tokens" if self._read_trie is None else "columns of n-grams"
        got = f"documents that make {self.n_features_in_} {columns} or other ones"
        remedy = "Give policy=FrozenEstimator(fitted language model), so that they stay the same,"
        if self.policy is not None:
            got = f"a policy of {self.n_features_in_} or other ones"
            remedy = "Give the policy that it began with, or another of the same ones,"
        return (
            f"{type(self).__name__} with warm_start=True goes on from a policy of {n_before} "
            f"{columns}, but got {got}. {remedy} or set warm_start=False."
        )

    def _recognise(self, problem):
        return recognise(
            problem,
            np.random.RandomState([self._seed, 3]),
            tracks_prices=self.optimizer == "natural",
            tries=not self.training_state_.get("contradicted", False),
        )

    def _is_endless(self, objective):
        """Tell whether the best documents are longer than can be drawn."""
        return objective.length_if_not_cut > _LONGEST_DRAWN

    def _make_trainer(self, problem, settings, X_val):
        """Return what trains a policy, and measures what else was asked for."""
        controller = FixedKLController()
        if self.kl_controller is not None:
            controller = clone(self.kl_controller)
            controller._validate_params()
        gold, frequencies = None, None
        if self.gold_reward is not None:
            rng = np.random.RandomState([self._seed, 2])
            probe = problem.sample(problem.start, 64, rng)
            gold = DocumentReward(
                self.gold_reward, probe, subject=type(self).__name__, objective=problem.objective
            )
        if X_val is not None:
            documents = self._read_after(X_val, None)
            frequencies = find_frequencies(
                documents, f"{type(self).__name__} with X_val", self._family
            )
        return Trainer(
            problem,
            _make_update(problem.objective, settings),
            settings,
            controller,
            Evaluation(gold, frequencies),
            self._seed,
            LinearCritic(problem.objective.n_features) if settings.has_critic else None,
            _make_values(problem.objective, settings.gae_lambda),
        )

    def _train(self, trainer, state, context, X, y):
        """Iterate until converged, stopped or out of iterations.

        Returns
        -------
        best : _BestIterate
            The policy that is kept.
        converged : bool
            Whether the iterations did not run out.
        """
        best = _BestIterate(self.select_by, type(self).__name__, state)
        if state is None:
            trainer.begin()
        else:
            trainer.resume(state)
        best.see(trainer)
        has_converged = self._make_schedule(trainer)
        for _ in range(self.max_iter):
            task = context.subcontext(task_name="iteration")
            task.call_on_fit_task_begin(estimator=self, X=X, y=y)
            trainer.iterate()
            best.see(trainer)
            converged = has_converged()
            stop = task.call_on_fit_task_end(
                estimator=self,
                X=X,
                y=y,
                reconstruction_attributes=lambda: self._snapshot(trainer),
            )
            if converged or stop:
                return best, True
        return best, trainer.adapts

    def _make_schedule(self, trainer):
        """Return what adapts the step after an iteration, and tells whether training may stop."""
        noise = NoiseSchedule(trainer)
        return partial(_has_converged, trainer, noise, Audit(trainer, noise))

    def _snapshot(self, trainer):
        """Return the attributes this estimator would have if training stopped here."""
        return {
            **self._results(trainer.problem, trainer.log_prob, trainer.rollouts, trainer.assessed),
            "history_": list(trainer.history),
            "n_iter_": len(trainer.history) - 1,
            "n_sequences_": trainer.n_sequences,
        }

    def _conclude(self, trainer, best, converged):
        """Set the fitted attributes; warn where they are not those of a policy that is best."""
        self._keep_state(trainer, best)
        problem, tol, left = trainer.problem, trainer.settings.tol, ""
        adds = problem.is_additive
        if tol > 0 and best.is_last and is_better_settled(trainer):
            best.settle(trainer)
        if tol > 0 and not adds and best.is_last:
            if self.optimizer == "natural" and not trainer.moves_kl_coef:
                best.settle(trainer)
            gain, error = self._gain_over_start(trainer, best)
            if not converged:
                converged, left = self._is_close(trainer, tol * (gain - 2.0 * error))
                gain = gain if abs(gain) > trainer.negligible_gap() else 0.0
                left = f" It gained {gain:.3g}, and {left} is left near it."
        problem = self._keep(trainer, best)
        self._warn_if_cut(trainer.problem.objective)
        if tol == 0:
            return
        self._warn_if_violated(trainer)
        if trainer.is_stuck or not (converged and problem.is_additive == adds):
            if adds and trainer.problem.objective.gap_is_bound:
                near = slope_gains(trainer.problem, best.log_prob)
                left = f" It is a bound that need not get to 0: {near:.2g} is left to gain near it."
            gap = f"optimality_gap_ is {self.optimality_gap_:.3g}.{left}"
            self._warn_of_max_iter(tol, f"the optimum: {gap}", is_stuck=trainer.is_stuck)

    def _warn_of_max_iter(self, tol, goal, *, is_stuck=False):
        """Warn that training ended before it was near a goal, described up to a full stop."""
        gained = f"iteration {self.n_iter_}, as the last ones gained no more,"
        warnings.warn(
            f"{type(self).__name__} stopped at "
            f"{gained if is_stuck else f'max_iter={self.max_iter}'} before it was within tol={tol} "
            f"of {goal} Increase max_iter or n_rollouts, or set tol=0 for a fixed number of steps.",
            ConvergenceWarning,
            stacklevel=caller_level(),
        )

    def _keep_state(self, trainer, best):
        """Set what training went through, and what it goes on from."""
        self.training_state_ = trainer.state() | best.state()
        self.history_ = trainer.history
        self.n_iter_ = len(trainer.history) - 1

    def _keep(self, trainer, best):
        """Set the fitted attributes of the best policy; return the problem that it solves."""
        adds = trainer.problem.is_additive
        problem, n_drawn = self._finish(trainer.problem, best.log_prob)
        self.n_sequences_ = trainer.n_sequences + n_drawn
        if not problem.is_additive:
            self._estimate_gap(problem, best.log_prob, trainer.others)
        # What evaluate needs of the policy that is kept.
        self.training_state_["prices"] = {rule.name: rule.price for rule in problem.rules}
        self.training_state_["contradicted"] |= problem.is_additive != adds
        return problem

    def _estimate_gap(self, problem, log_prob, others):
        """Bound the distance to the optimum by documents of all policies that are known."""
        even = problem.objective.even
        others = [problem.start, *([] if even is None else [even]), *others]
        rng = np.random.RandomState([self._seed, 7])
        gap, error = tilt_gap(problem, log_prob, others, _N_CERTIFIED, rng)
        self.optimality_gap_, self.optimality_gap_se_ = gap, error
        self.n_sequences_ += _N_CERTIFIED * (1 + len(others))

    def _is_close(self, trainer, enough):
        """Tell whether fresh documents prove what training could not, and what they show."""
        rng = np.random.RandomState([self._seed, 9])
        gap, error, n_drawn = left_to_gain(trainer.problem, trainer.log_prob, enough, rng)
        trainer.n_sequences += n_drawn
        # Rounding is nothing to gain.
        least = trainer.negligible_gap()
        left = f"{gap if gap > least else 0.0:.2g} +- {error and 2.0 * max(error, least):.1g}"
        if gap + 2.0 * error > enough:
            return False, left
        return Audit(trainer, NoiseSchedule(trainer)).passes(), left

    def _gain_over_start(self, trainer, best):
        """Return the gain over the start, and its error; keep the start where there is none."""
        problem = trainer.problem
        rng = np.random.RandomState([self._seed, 8])
        gain, error = gain_over(problem, best.log_prob, problem.start, _N_CERTIFIED, rng)
        trainer.n_sequences += 2 * _N_CERTIFIED
        if gain <= 2.0 * error + 10.0 * trainer.negligible_gap():
            if gain <= 0:
                best.log_prob = problem.start
            warnings.warn(
                f"{type(self).__name__} gained {max(gain, 0.0):.3g} over the policy it began with, "
                f"no more than the noise of {2.0 * error:.3g}. Either nothing can be gained at "
                f"kl_coef={problem.objective.kl_coef:.3g}, or the documents that would be best are "
                "too rare to be drawn: raise n_rollouts, or begin with a policy that draws them.",
                ConvergenceWarning,
                stacklevel=caller_level(),
            )
        return gain, error

    def _warn_if_cut(self, objective):
        """Warn where a reward that does not add over tokens made documents as long as it could."""
        if self.max_length is not None or not getattr(objective, "can_end", True):
            return
        rate = objective.missing_eos_rate(self._policy_log_prob)
        if self.token_reward_ is None and rate > _CUT_RATE:
            warnings.warn(
                f"{type(self).__name__}: {rate:.0%} of the documents of the optimised policy are "
                f"cut at {objective.max_length} tokens, as the reward pays for length. Raise "
                f"kl_coef={self.kl_coef_:g}, price length in the reward, or set max_length to "
                "choose.",
                LengthExplosionWarning,
                stacklevel=caller_level(),
            )

    def _warn_if_violated(self, trainer):
        """Warn where a learned price does not keep its chance constraint, or still moves."""
        learned = trainer.learned.items()
        moving = [name for name, price in learned if not price.has_come_to_rest()]
        for priced in trainer.problem.rules:
            if not (priced.is_learned or priced.is_tracked):
                continue
            rate, most = self.rule_rates_[priced.name], priced.rule.max_rate
            price = self.rule_prices_[priced.name]
            noise = 3.0 * np.sqrt(rate * (1.0 - rate) / N_EVALUATION)
            too_low = price > 0 and rate + noise + 3.0 / N_EVALUATION < most / _FAR_BEYOND
            why = None
            if rate - noise > _FAR_BEYOND * most:
                why = "violate"
            elif too_low or priced.name in moving:
                why = "only violate" if too_low else "violate"
            if why is not None:
                warnings.warn(
                    f"{type(self).__name__}: {rate:.1%} of the documents of the optimised policy "
                    f"{why} rule {priced.name!r}, whose max_rate is {most:.3g}, at a price of "
                    f"{price:.3g} nats that has not come to rest. Increase max_iter; if the price "
                    "rises for ever, no policy keeps the rule. tol=0 asks for no warning.",
                    ConvergenceWarning,
                    stacklevel=caller_level(),
                )


def _make_values(objective, gae_lambda):
    """Return what learns values of contexts, None where there are none or nobody asks for them."""
    if gae_lambda is None:
        return None
    is_cut = objective.max_length is not None
    return ContextCritic(objective.trie, gae_lambda, sees_positions=is_cut)


def _make_update(objective, settings) -> PolicyUpdate:
    """Return the rule by which a policy moves."""
    rate = settings.learning_rate
    if settings.optimizer == "adam":
        return AdamUpdate(
            objective,
            batch_size=settings.n_rollouts / settings.n_minibatches,
            learning_rate=rate,
            n_batches=settings.max_iter if settings.schedule == "linear" else None,
        )
    update = DualUpdate if objective.has_every_optimum else LogitUpdate
    return update(
        objective,
        batch_size=settings.n_rollouts,
        learning_rate=rate,
        damping=1.0 if settings.credit == "token" else 0.0,
        damping_per_token=0.0 if settings.credit == "token" else 0.5 * rate,
        n_epochs=settings.n_epochs,
        n_minibatches=settings.n_minibatches,
        target_kl=settings.target_kl,
        stays_near_reference=settings.groups is not None and settings.groups.stays_near_reference,
    )


def _has_converged(trainer, noise, audit):
    """Adapt the step after an iteration; tell whether training may stop."""
    problem, settings = trainer.problem, trainer.settings
    shrinks = settings.schedule == "adaptive"
    if problem.is_additive:
        hovers = shrinks and problem.objective.is_noisy and not trainer.adapts and noise.converged()
        if settings.tol == 0 or trainer.adapts:
            return False
        # Steps that do not shrink do not hover by themselves: what is left there tells alone.
        rests = problem.objective.gap_is_bound and (hovers or problem.explodes or not shrinks)
        is_near = (rests and noise.leaves_no_slope()) or _is_close_to_optimum(trainer)
        trainer.is_stuck = not is_near and noise.gains_no_more()
        return is_near or trainer.is_stuck
    if not shrinks or trainer.moves_kl_coef:
        return False
    converged = noise.converged()
    if settings.tol == 0 or trainer.adapts:
        return False
    late = 3 * len(trainer.history) > settings.max_iter
    if (converged or late or trainer.update.decay_start) and audit.scouts():
        return False
    return converged and trainer.prices_rest and audit.passes()


def _is_close_to_optimum(trainer):
    """Tell whether the optimum, which is known, is reached up to a share of the way."""
    problem, gap = trainer.problem, trainer.history[-1]["objective/optimality_gap"]
    whole = apart_from_cuts(trainer, trainer.start_gap)
    # A share of what is infinite says nothing.
    enough = trainer.settings.tol * whole if np.isfinite(whole) else 0.0
    if not np.isfinite(gap) or gap > max(enough, trainer.negligible_gap()):
        return False
    if not problem.tracks_prices:
        return True
    if not trainer.prices_rest:
        return False
    # At its price a chance constraint is worth as much a little above as a little below.
    prices = problem.token_prices(problem.objective.reward_coef * problem.objective.token_reward)
    best = problem.with_prices(prices).objective.optimum()
    missing, whole = (
        abs(problem.value_unpriced(best) - problem.value_unpriced(policy))
        for policy in (trainer.recorded_log_prob, problem.start)
    )
    enough = trainer.settings.tol * whole if np.isfinite(whole) else 0.0
    return bool(np.isfinite(missing)) and missing <= max(enough, trainer.negligible_gap())


class _BestIterate:
    """Keeps the last policy, or the one with the greatest value of a key of the history."""

    def __init__(self, key, subject, state=None):
        self._key, self._subject = key, subject
        self.log_prob, self._value = None, -np.inf
        if state is not None and state["best_by"] == key:
            self.log_prob, self._value = state["best_log_prob"], state["best_value"]

    @property
    def is_last(self):
        """Whether the last policy is kept, whatever it is worth."""
        return self._key is None

    def settle(self, trainer):
        """Keep the middle of where the last policies hover."""
        trainer.settle()
        self.see(trainer)

    def see(self, trainer):
        if self._key is None:
            self.log_prob = trainer.recorded_log_prob
            return
        record = trainer.history[-1]
        if self._key not in record:
            raise ValueError(
                f"{self._subject} got select_by={self._key!r}, which history_ does not record. Use "
                f"one of {sorted(record)}; 'gold/score' needs gold_reward, 'eval/score' X_val."
            )
        if self.log_prob is None or record[self._key] > self._value:
            self.log_prob, self._value = trainer.recorded_log_prob, record[self._key]

    def state(self):
        return {
            "best_by": self._key,
            "best_log_prob": self.log_prob,
            "best_value": float(self._value),
        }
