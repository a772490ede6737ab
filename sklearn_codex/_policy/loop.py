"""The loop of policy optimisers that draw documents: PPO and its relatives share it."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from sklearn_codex._policy.base import PolicyOptimizerMixin, _frequencies
from sklearn_codex._policy.critic import LinearCritic
from sklearn_codex._policy.noise_schedule import NoiseSchedule
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
# Nats that the distribution of a document may move in one iteration: at most, and for each of its
# tokens. A token's own score has no noise, so that steps may be larger.
_TRUST_REGION = {"token": (4.0, 0.2), "sequence": (0.5, 0.025)}

# Shares of the way to the optimum. Where no noise is left at the optimum, more costs little.
_TOLERANCE, _TOLERANCE_WITH_NOISE = 1e-4, 1e-3

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

    @_fit_context(
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
            If ``max_iter`` was reached before ``tol``, or a rule is broken far more often than its
            ``max_rate``.
        LengthExplosionWarning
            If documents end by themselves and no policy is best, as none is long enough.
        """
        state = self._resumed_state()
        if state is None:
            self._draw_seed()
            self._prepare(X, y)
        else:
            self._prepare_again(X, y)
        trainer = self._build_trainer(X_val)
        tol = self._tolerance(trainer)
        context = self._init_callback_context(max_subtasks=self.max_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        if state is None:
            trainer.begin()
        else:
            trainer.resume(state)
        best = _BestIterate(self.select_by, type(self).__name__, state)
        best.see(trainer)
        converged = self._train(trainer, best, context, X, y, tol)
        self.training_state_ = trainer.state() | best.state()
        self.history_ = trainer.history
        self.n_iter_ = len(trainer.history) - 1
        n_drawn = self._finish(trainer.problem, best.log_prob)
        self.n_sequences_ = trainer.n_sequences + n_drawn
        self._warn_if_cut(trainer.problem.objective)
        if tol > 0:
            self._warn_if_violated(trainer.problem)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        if not converged and tol > 0:
            warnings.warn(
                f"{type(self).__name__} stopped at max_iter={self.max_iter} before it was within "
                f"tol={tol} of the optimum: optimality_gap_ is {self.optimality_gap_:.3g}. "
                "Increase max_iter or n_rollouts, or set tol=0 for a fixed number of iterations.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _prepare_again(self, X, y):
        """Prepare to go on, which needs the columns that training began with."""
        before = self.n_features_in_, self._token_names()
        self._prepare(X, y)
        if before[0] != self.n_features_in_ or not np.array_equal(before[1], self._token_names()):
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

    def _loop_settings(self, **common) -> LoopSettings:
        """Return how a batch becomes an update; each optimiser says so."""
        raise TypeError(f"{type(self).__name__} defines no _loop_settings.")

    def _build_trainer(self, X_val):
        """Return the trainer with all "auto" settings resolved."""
        problem, subject = self._build_problem(), type(self).__name__
        credit = self.credit
        if credit == "auto":
            credit = "token" if problem.is_additive else "sequence"
        if credit == "token" and not problem.is_additive:
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
        if has_critic and problem.is_additive and self.kl_controller is None:
            # It needs a few V documents in all, over the iterations that the trust region takes,
            # and sees no noise in them.
            fewest, kind = max(_SMALLEST_BATCH_WITHOUT_NOISE, -(-n_columns // 5)), "critic"
        else:
            # What a document tells of its tokens is one number with sequence credit.
            fewest, kind = _SMALLEST_BATCH, credit
            if credit == "sequence":
                fewest = max(fewest, -(-n_columns // 4))
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
            counts = self._check_documents(X_val, reset=False)
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
        return has_converged is _never

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
        problem = trainer.problem
        if trainer.adapts:
            return _never
        if not problem.is_additive:
            if self.optimizer == "adam" or self.lr_schedule == "constant":
                return _never
            rate = self._first_rate(trainer.settings.credit)
            return NoiseSchedule(trainer, tol, rate).converged
        noise = None
        is_cut = problem.eos is not None and problem.objective.max_length is not None
        if is_cut and self.optimizer == "natural" and self.lr_schedule != "constant":
            # Where documents are cut, the shaped reward keeps variance at the optimum.
            noise = NoiseSchedule(trainer, tol, self._first_rate(trainer.settings.credit))

        def close_enough():
            if noise is not None:
                noise.converged()
            gap = trainer.history[-1]["objective/optimality_gap"]
            return gap <= max(tol * trainer.start_gap, trainer.negligible_gap())

        return close_enough


def _never():
    """Tell that training goes on to its last iteration."""
    return False


class _BestIterate:
    """Keeps the last policy, or the one with the greatest value of a key of the history."""

    def __init__(self, key, subject, state=None):
        self._key, self._subject = key, subject
        self.log_prob, self._value = None, -np.inf
        if state is not None and state["best_by"] == key:
            self.log_prob, self._value = state["best_log_prob"], state["best_value"]

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
