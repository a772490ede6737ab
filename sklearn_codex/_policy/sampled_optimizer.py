"""The loop of policy optimisers that draw documents: PPO and its relatives share it."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from sklearn_codex._categorical import normalize_log
from sklearn_codex._data.documents import read_documents
from sklearn_codex._data.vectorizers import token_names
from sklearn_codex._fits import whole_fit
from sklearn_codex._policy.additivity import recognise
from sklearn_codex._policy.audit import Audit
from sklearn_codex._policy.certificate import gain_over, tilt_gap
from sklearn_codex._policy.critic import LinearCritic
from sklearn_codex._policy.local_gap import left_to_gain
from sklearn_codex._policy.noise_schedule import NoiseSchedule
from sklearn_codex._policy.optimizer import PolicyOptimizerMixin, _frequencies
from sklearn_codex._policy.ppo import Clipping
from sklearn_codex._policy.rewards import DocumentReward
from sklearn_codex._policy.training import Evaluation, LoopSettings, Trainer
from sklearn_codex._policy.updates import AdamUpdate, DualUpdate, LogitUpdate, PolicyUpdate
from sklearn_codex.exact import AdditiveObjective
from sklearn_codex.kl_control import FixedKLController, KLController

# Documents of a batch at least, whatever the vocabulary.
_SMALLEST_BATCH = 256
_SMALLEST_BATCH_WITHOUT_NOISE = 4
# Tokens of a batch at least, for each token of the vocabulary: a policy that moves far before it
# has seen most tokens never sees the others again. A critic remembers earlier batches, and a token
# that is credited with its own score makes good use of many.
_TOKENS_PER_COLUMN = {"critic": 4, "sequence": 5, "token": 10}
# Documents of a batch that violate a rule, where its price is learned from them, if that takes a
# batch of no more documents and tokens than this.
_VIOLATING, _MOST_FOR_RATES, _MOST_TOKENS_FOR_RATES = 8.0, 8192, 65_536
# Nats that the distribution of a document may move in one iteration: at most, and for each of its
# tokens. A token's own score has no noise, so that steps may be larger.
_TRUST_REGION = {"token": (4.0, 0.2), "sequence": (0.5, 0.025)}

# Shares of the way to the optimum. Where no noise is left at the optimum, more costs little.
_TOLERANCE, _TOLERANCE_WITH_NOISE = 1e-4, 1e-3

# Documents of each policy that the distance to the optimum, or to the start, is told from.
_N_CERTIFIED = 4096

PROBLEM_CONSTRAINTS: dict = {
    "policy": [HasMethods(["predict_log_proba"]), None],
    "reward_model": [HasMethods(["reward"]), HasMethods(["predict"]), callable, None],
    "kl_coef": [Interval(Real, 0, None, closed="neither")],
    "reward_coef": [Interval(Real, 0, None, closed="left")],
    "sft_coef": [Interval(Real, 0, None, closed="left")],
    "rules": "no_validation",
    "response_length": [Interval(Integral, 1, None, closed="left"), None],
    "max_length": [Interval(Integral, 1, None, closed="left"), None],
    "missing_eos_penalty": [Interval(Real, 0, None, closed="left")],
    "entropy_coef": [Interval(Real, 0, None, closed="left")],
    "normalize_reward": ["boolean"],
    "vectorizer": [HasMethods(["fit", "transform"]), None],
    "random_state": ["random_state"],
}


class SampledPolicyOptimizer(CallbackSupportMixin, PolicyOptimizerMixin, BaseEstimator):
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

    @whole_fit(
        # policy and reward_model are fitted models, whose parameters were validated by their fit
        prefer_skip_nested_validation=True
    )
    def fit(self, X, y=None, *, X_val=None):
        """Optimise the policy.

        Parameters
        ----------
        X : sequence of str or array-like of shape (n_documents, V)
            Documents: they give the response length, the vocabulary where there is no incoming
            policy, the demonstrations where ``sft_coef`` > 0, and, with ``y``, the logged
            responses.
        y : array-like of shape (n_documents,), default=None
            Logged rewards of the documents; used, and needed, where ``reward_model`` is None.
        X_val : sequence of str or array-like of shape (n_val_documents, V), default=None
            Documents held out: ``eval/score`` in ``history_`` is their log-likelihood per token.

        Returns
        -------
        self : estimator

        Raises
        ------
        NotFittedError
            If ``policy`` or ``reward_model`` is not fitted.
        ValueError
            If there is neither a reward model nor logged rewards, or X does not fit the policy.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` was reached before ``tol``, no more was gained than noise, a rule is
            broken far more or less often than its ``max_rate``, or its price has not come to rest.
        LengthExplosionWarning
            If documents end by themselves and no policy is best, as none is long enough.
        """
        state = self._resumed_state()
        if state is None:
            self._draw_seed()
            self._prepare(X, y)
        else:
            self._prepare_again(X, y)
        trainer = self._build_trainer(self._problem(state), X_val)
        tol = self._tolerance(trainer)
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        best = _BestIterate(self.select_by, type(self).__name__, state)
        if state is None:
            trainer.begin()
        else:
            trainer.resume(state)
        best.see(trainer)
        if state is None:
            # Only now, as it takes documents of its own.
            problem = self._recognise(trainer.problem)
            if problem is not trainer.problem:
                trainer = self._build_trainer(problem, X_val)
                trainer.begin()
        converged = self._train(trainer, best, context, X, y, tol)
        self.training_state_ = trainer.state() | best.state()
        self.history_ = trainer.history
        self.n_iter_ = len(trainer.history) - 1
        converged, left = self._conclude(trainer, best, tol, converged)
        self._warn_if_cut(trainer.problem.objective)
        if tol > 0:
            learned = trainer.learned.items()
            moving = [name for name, price in learned if not price.has_come_to_rest()]
            self._warn_if_violated(trainer.problem, moving)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        if not converged and tol > 0:
            warnings.warn(
                f"{type(self).__name__} stopped at max_iter={self.max_iter} before it was within "
                f"tol={tol} of the optimum: optimality_gap_ is {self.optimality_gap_:.3g}.{left} "
                "Increase max_iter or n_rollouts, or set tol=0 for a fixed number of iterations.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _conclude(self, trainer, best, tol, converged):
        """Set the fitted attributes; tell whether ``tol`` is reached, and how far it is if not."""
        problem, adds, left = trainer.problem, trainer.problem.is_additive, ""
        if tol > 0 and not adds and best.is_last:
            if self.optimizer == "natural" and not trainer.moves_kl_coef:
                trainer.settle()
                best.see(trainer)
            gain, error = self._gain_over_start(trainer, best)
            if not converged:
                converged, left = self._is_close(trainer, tol, tol * (gain - 2.0 * error))
                left = f" It gained {gain:.3g}, and {left} is left near it."
        problem, n_drawn = self._finish(problem, best.log_prob)
        if not problem.is_additive:
            even = normalize_log(np.where(np.isfinite(problem.start), 0.0, -np.inf))
            others = [problem.start, even, *trainer.others]
            rng = np.random.RandomState([self._seed(), 7])
            gap, error = tilt_gap(problem, best.log_prob, others, _N_CERTIFIED, rng)
            self.optimality_gap_, self.optimality_gap_se_ = gap, error
            n_drawn += _N_CERTIFIED * (1 + len(others))
        self.n_sequences_ = trainer.n_sequences + n_drawn
        # What evaluate needs of the policy that is kept.
        self.training_state_["prices"] = {rule.name: rule.price for rule in problem.rules}
        self.training_state_["contradicted"] |= problem.is_additive != adds
        return converged and problem.is_additive == adds, left

    def _is_close(self, trainer, tol, enough):
        """Tell whether fresh documents prove what training could not, and what they show."""
        rng = np.random.RandomState([self._seed(), 9])
        gap, error, n_drawn = left_to_gain(trainer.problem, trainer.log_prob, enough, rng)
        trainer.n_sequences += n_drawn
        left = f"{max(gap, 0.0):.2g} +- {2.0 * error:.1g}"
        if gap + 2.0 * error > enough:
            return False, left
        return Audit(trainer, NoiseSchedule(trainer, tol, 1.0), tol).passes(), left

    def _gain_over_start(self, trainer, best):
        """Return the gain over the start, and its error; keep the start where there is none."""
        problem = trainer.problem
        rng = np.random.RandomState([self._seed(), 8])
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
                stacklevel=4,
            )
        return gain, error

    def _prepare_again(self, X, y):
        """Prepare to go on, which needs the columns that training began with."""
        before = self.n_features_in_, token_names(self)
        self._prepare(X, y)
        if before[0] != self.n_features_in_ or not np.array_equal(before[1], token_names(self)):
            raise ValueError(
                f"{type(self).__name__} with warm_start=True goes on from a policy of {before[0]} "
                f"tokens, but got documents that make {self.n_features_in_} tokens or other ones. "
                "Give policy=FrozenEstimator(fitted language model), so that they stay the same, "
                "or set warm_start=False."
            )

    def _resumed_state(self):
        """Return the state to go on from, None to begin."""
        state = getattr(self, "training_state_", None) if self.warm_start else None
        return state if state is not None and "history" in state else None

    def _build_problem(self, *, warn=True):
        """Return the problem, with what adds over tokens though nobody said so."""
        return self._recognise(super()._build_problem(warn=warn))

    def _problem(self, state):
        """Return the problem to begin with, or to go on with from a state."""
        return super()._build_problem() if state is None else self._build_problem()

    def _recognise(self, problem):
        return recognise(
            problem,
            np.random.RandomState([self._seed(), 3]),
            tracks_prices=self.optimizer == "natural",
            tries=not self.training_state_.get("contradicted", False),
        )

    def _loop_settings(self, **common) -> LoopSettings:
        """Return how a batch becomes an update; each optimiser says so."""
        raise TypeError(f"{type(self).__name__} defines no _loop_settings.")

    def _build_trainer(self, problem, X_val):
        """Return the trainer with all "auto" settings resolved."""
        subject = type(self).__name__
        credit, adds = self.credit, problem.is_additive and not problem.is_tested
        if credit == "auto":
            credit = "token" if adds else "sequence"
        if credit == "token" and not adds:
            raise ValueError(
                f"{subject} with credit='token' needs a reward and rules that add over tokens, got "
                "at least one that does not. Use credit='sequence' or 'auto'."
            )
        has_critic = self._has_critic(problem, credit)
        settings = self._loop_settings(
            n_rollouts=self._batch_size(problem, credit, has_critic),
            target_kl=self._trust_region(problem, credit),
            credit=credit,
        )
        controller = FixedKLController()
        if self.kl_controller is not None:
            controller = clone(self.kl_controller)
            controller._validate_params()
        return Trainer(
            problem,
            self._build_update(problem, settings),
            settings,
            controller,
            self._build_evaluation(problem, X_val),
            self._seed(),
            LinearCritic(len(self.reference_log_prob_)) if has_critic else None,
            grows=self.n_rollouts == "auto" and self.tol != 0,
            settles_at=None if self.tol == 0 else 3 * self.max_iter // 4,
        )

    def _has_critic(self, problem, credit):
        """Tell whether a critic credits whole documents to tokens; each optimiser may say so."""
        return False

    def _batch_size(self, problem, credit, has_critic):
        """Return the documents of a batch."""
        if self.n_rollouts != "auto":
            return self.n_rollouts
        n_columns = len(self.reference_log_prob_)
        length = problem.objective.expected_length(problem.start)
        adds = problem.is_additive and not problem.is_tested
        if has_critic and adds and self.kl_controller is None:
            # It needs a few V documents in all, over the iterations that the trust region takes,
            # and sees no noise in them.
            fewest, kind = max(_SMALLEST_BATCH_WITHOUT_NOISE, -(-n_columns // 5)), "critic"
        else:
            # What a document tells of its tokens is one number with sequence credit.
            fewest, kind = _SMALLEST_BATCH, credit
            if credit == "sequence":
                fewest = max(fewest, -(-n_columns // 4))
            rates = [rule.rule.max_rate for rule in problem.rules if rule.is_learned]
            if rates:
                # Enough that some violate a rule at its largest rate.
                most = min(_MOST_FOR_RATES, int(_MOST_TOKENS_FOR_RATES / length))
                fewest = max(fewest, min(int(_VIOLATING / min(rates)), most))
        return max(fewest, int(np.ceil(_TOKENS_PER_COLUMN[kind] * n_columns / length)))

    def _trust_region(self, problem, credit):
        """Return the nats that a document's distribution may move in one iteration, or None."""
        if self.target_kl != "auto":
            return self.target_kl
        ends_itself = problem.eos is not None
        most, per_token = _TRUST_REGION["sequence" if ends_itself else credit]
        return min(most, per_token * problem.objective.expected_length(problem.start))

    def _tolerance(self, trainer):
        """Return the share of the way to the optimum at which training may stop."""
        if self.tol != "auto":
            return self.tol
        credited = trainer.settings.credit == "token" and trainer.problem.eos is None
        has_noise = not credited or self.optimizer == "adam"
        return _TOLERANCE_WITH_NOISE if has_noise else _TOLERANCE

    def _build_update(self, problem, settings) -> PolicyUpdate:
        objective, rate = problem.objective, self._first_rate(settings.credit)
        if self.optimizer == "adam":
            return AdamUpdate(
                objective,
                batch_size=settings.n_rollouts / settings.n_minibatches,
                learning_rate=rate,
                n_batches=None if self.lr_schedule == "constant" else self.max_iter,
            )
        update = DualUpdate if isinstance(objective, AdditiveObjective) else LogitUpdate
        return update(
            objective,
            batch_size=settings.n_rollouts,
            learning_rate=rate,
            damping=1.0 if settings.credit == "token" else 0.0,
            damping_per_token=0.0 if settings.credit == "token" else 0.5 * rate,
            n_epochs=settings.n_epochs,
            n_minibatches=settings.n_minibatches,
            target_kl=settings.target_kl,
        )

    def _first_rate(self, credit):
        if self.learning_rate != "auto":
            return self.learning_rate
        if self.optimizer == "adam":
            return 0.03
        return 1.0 if credit == "token" else 0.5

    def _build_evaluation(self, problem, X_val):
        """Return what is measured besides the objective."""
        gold, frequencies = None, None
        if self.gold_reward is not None:
            rng = np.random.RandomState([self._seed(), 2])
            probe = problem.sample(problem.start, 64, rng)
            gold = DocumentReward(self.gold_reward, probe, subject=type(self).__name__)
        if X_val is not None:
            counts = read_documents(self, X_val, reset=False)
            frequencies = _frequencies(counts, f"{type(self).__name__} with X_val")
        return Evaluation(gold, frequencies)

    def _train(self, trainer, best, context, X, y, tol):
        """Iterate until converged, stopped or out of iterations; tell whether it was not the last.

        ``best`` is shown each iterate.
        """
        has_converged = self._stopping_rule(trainer, tol)
        for _ in range(self.max_iter):
            task = context.subcontext(task_name="iteration")
            task.call_on_fit_task_begin(estimator=self, X=X, y=y)
            trainer.iterate()
            best.see(trainer)
            converged = has_converged() and tol > 0
            stop = task.call_on_fit_task_end(
                estimator=self,
                X=X,
                y=y,
                reconstruction_attributes=lambda: self._snapshot(trainer),
            )
            if converged or stop:
                return True
        return trainer.adapts

    def _snapshot(self, trainer):
        """Return the attributes this estimator would have if training stopped here."""
        return {
            **self._results(trainer.problem, trainer.log_prob, trainer.rollouts, trainer.assessed),
            "history_": list(trainer.history),
            "n_iter_": len(trainer.history) - 1,
            "n_sequences_": trainer.n_sequences,
        }

    def _stopping_rule(self, trainer, tol):
        """Return a function that tells after each iteration whether training may stop."""
        is_cut = (
            trainer.problem.eos is not None and trainer.problem.objective.max_length is not None
        )
        shrinks = self.optimizer == "natural" and self.lr_schedule != "constant"
        noise = NoiseSchedule(trainer, tol, self._first_rate(trainer.settings.credit))
        audit = Audit(trainer, noise, tol)

        def close_enough():
            problem = trainer.problem
            if problem.is_additive:
                if shrinks and is_cut and not trainer.adapts:
                    # Where documents are cut, the shaped reward keeps variance at the optimum.
                    noise.converged()
                return not trainer.adapts and self._is_close_to_optimum(trainer, tol)
            if not shrinks or trainer.moves_kl_coef:
                return False
            converged = noise.converged()
            if tol == 0 or trainer.adapts:
                return False
            late = 3 * len(trainer.history) > self.max_iter
            if (converged or late or trainer.update.decay_start) and audit.scouts():
                return False
            return converged and trainer.prices_rest and audit.passes()

        return close_enough

    def _is_close_to_optimum(self, trainer, tol):
        """Tell whether the optimum, which is known, is reached up to a share of the way."""
        problem, gap = trainer.problem, trainer.history[-1]["objective/optimality_gap"]
        if gap > max(tol * trainer.start_gap, trainer.negligible_gap()):
            return False
        if not problem.tracks_prices:
            return True
        if not trainer.prices_rest:
            return False
        # At its price a chance constraint is worth as much a little above as a little below.
        prices = problem.token_prices(
            problem.objective.reward_coef * problem.objective.token_reward
        )
        best = problem.with_prices(prices).objective.optimum()
        missing, whole = (
            abs(problem.value_unpriced(best) - problem.value_unpriced(policy))
            for policy in (trainer.recorded_log_prob, problem.start)
        )
        return missing <= max(tol * whole, trainer.negligible_gap())


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


def check_clipping(clip_range, dual_clip, subject):
    """Return the clipping of validated parameters.

    Raises
    ------
    ValueError
        If a pair is not two numbers above 0, or ``dual_clip`` is not above the band.
    """
    pair = clip_range if isinstance(clip_range, tuple) else (clip_range, clip_range)
    if len(pair) != 2 or not all(isinstance(part, Real) and part > 0 for part in pair):
        raise ValueError(
            f"{subject}: clip_range should be a number above 0 or a pair (below, above) of "
            f"numbers above 0, got {clip_range!r}."
        )
    clipping = Clipping(clip_range, dual_clip)
    if dual_clip is not None and dual_clip <= clipping.high:
        raise ValueError(
            f"{subject}: dual_clip should be above the clip range's upper end {clipping.high:g}, "
            f"got {dual_clip}."
        )
    return clipping
