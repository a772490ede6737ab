"""Algorithms: an advantage, a loss and the place of the KL, put together, as updates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import NOT_NEGATIVE, PROBABILITY, check_number
from sklearn_codex._checks.options import check_option
from sklearn_codex.lab._advantages._kl import shape_rewards
from sklearn_codex.lab._batch import Batch, aggregate, token_weights
from sklearn_codex.lab._losses._kl import kl_penalty
from sklearn_codex.lab._preferences import SOURCES, PreferenceBatch
from sklearn_codex.lab._registry import advantages, call_by_names, check_options, losses

_POLICY_LOSSES = ("policy_gradient", "ppo", "gspo", "cispo")


@dataclass(frozen=True)
class RewardAlgorithm:
    """An algorithm that learns from rewards, as a function of a batch.

    Parameters
    ----------
    advantage : str or callable
        Name in ``advantages``, or a function that is called by the names of its arguments, those of
        a :class:`Batch` and ``token_level_rewards``, as those of verl are. It returns advantages
        (n, T), or a pair of them and returns.
    loss : str or callable, default="policy_gradient"
        Name of a policy loss in ``losses``, or a function of ``old_log_prob``, ``log_prob``,
        ``advantages``, ``response_mask`` and ``loss_agg_mode``, in this order, that returns loss
        and gradient. Functions of others are called for one batch at a time, with a mask of 0 and
        1; those of tensors become such by ``sklearn_codex.lab.torch.from_torch``.
    loss_agg_mode : str, default="seq-mean-token-sum"
        How the loss, and a KL in it, is aggregated over tokens.
    kl_in : {"reward", "loss"}, default="reward"
        Where the KL from the reference is.
    kl_estimator : {"k1", "k2", "k3"}, default="k1"
        Estimate of the KL, see :func:`kl_penalty`.
    kl_corrected : bool, default=False
        Whether a KL in the loss is weighted by the ratio to the policy that drew the tokens.
    kl_coef : float, default=None
        Weight of the KL; None means that of the problem.
    advantage_options, loss_options : mapping, default={}
        Further arguments of the two functions.

    Raises
    ------
    ValueError
        If a field is none of those said, ``kl_coef`` is below 0, or a named function has no such
        option.

    Notes
    -----
    Called with log-probabilities (n, T) and a :class:`Batch`, or with stacks of both, it returns
    loss and gradient (n, T).

    Examples
    --------
    >>> from sklearn_codex.lab import algorithms, rest_point, problems
    >>> problem = problems["lengths"]()
    >>> gap = problem.objective.gap(rest_point(algorithms["rloo"], problem))
    >>> bool(gap < 1e-12)
    True

    An advantage of one's own, the reward less the median of the group:

    >>> import numpy as np
    >>> from sklearn_codex.lab import RewardAlgorithm, check_algorithm
    >>> def median_advantage(token_level_rewards, response_mask):
    ...     score = token_level_rewards.sum(axis=1)
    ...     return (score - np.median(score))[:, np.newaxis] * response_mask
    >>> check_algorithm(RewardAlgorithm(median_advantage), "one-token").passed
    True

    With the KL in the loss, it is not: the median holds the response itself.

    >>> in_loss = RewardAlgorithm(median_advantage, kl_in="loss", kl_estimator="k2")
    >>> check_algorithm(in_loss, "one-token").passed
    False
    """

    advantage: str | Callable[..., Any]
    loss: str | Callable[..., Any] = "policy_gradient"
    loss_agg_mode: str = "seq-mean-token-sum"
    kl_in: str = "reward"
    kl_estimator: str = "k1"
    kl_corrected: bool = False
    kl_coef: float | None = None
    advantage_options: Mapping[str, Any] = field(default_factory=dict)
    loss_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def takes_stacks(self) -> bool:
        """Whether it can be called with all batches at once."""
        return isinstance(self.advantage, str) and isinstance(self.loss, str)

    def __post_init__(self):
        for name, value, known in (
            ("advantage", self.advantage, tuple(advantages)),
            ("loss", self.loss, _POLICY_LOSSES),
            ("kl_in", self.kl_in, ("reward", "loss")),
            ("kl_estimator", self.kl_estimator, ("k1", "k2", "k3")),
        ):
            is_known = isinstance(value, str) and value in known
            if not is_known and not (callable(value) and name in ("advantage", "loss")):
                raise ValueError(
                    f"RewardAlgorithm needs {name}, one of {', '.join(known)}, got {value!r}."
                )
        token_weights(np.ones((1, 1)), self.loss_agg_mode)
        if self.kl_coef is not None:
            check_number(self.kl_coef, "kl_coef", subject="RewardAlgorithm", interval=NOT_NEGATIVE)
        for name, of, known_of in (
            ("advantage", self.advantage, advantages),
            ("loss", self.loss, losses),
        ):
            if isinstance(of, str):
                options = getattr(self, f"{name}_options")
                check_options("RewardAlgorithm", f"{name}_options", known_of[of], options)

    def having(self, **values: Any) -> "RewardAlgorithm":
        """Return the same algorithm with other values of some fields."""
        return replace(self, **values)

    def weight_of_kl(self, kl_coef: float) -> float:
        """Return the weight of the KL, on a problem that has one."""
        return kl_coef if self.kl_coef is None else self.kl_coef

    def __call__(self, log_prob: FloatArray, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Return loss (...) and gradient (..., n, T)."""
        kl_coef, mask = self.weight_of_kl(batch.kl_coef), batch.response_mask
        rewards = batch.token_level_rewards
        if self.kl_in == "reward":
            rewards = shape_rewards(
                rewards, batch.old_log_prob, batch.ref_log_prob, mask, kl_coef, self.kl_estimator
            )
        source = {name: getattr(batch, name) for name in ("index", "values", "reward_baselines")}
        shown = mask if self.takes_stacks else mask.astype(np.float64)
        source |= {"token_level_rewards": rewards, "response_mask": shown}
        of = self.advantage
        advantage = advantages[of] if isinstance(of, str) else of
        worth = call_by_names(advantage, source, self.advantage_options)
        worth = worth[0] if isinstance(worth, tuple) else worth
        policy_loss = losses[self.loss] if isinstance(self.loss, str) else self.loss
        loss, gradient = policy_loss(
            batch.old_log_prob, log_prob, worth, shown, self.loss_agg_mode, **self.loss_options
        )
        if self.kl_in == "loss":
            old = batch.old_log_prob if self.kl_corrected else None
            penalty, slope = kl_penalty(
                log_prob,
                batch.ref_log_prob,
                self.kl_estimator,
                old_log_prob=old,
                response_mask=mask,
            )
            cost, by_kl = aggregate(penalty, slope, mask, self.loss_agg_mode)
            loss, gradient = loss + kl_coef * cost, gradient + kl_coef * by_kl
        return loss, gradient


_ONE_PAIR = PreferenceBatch(
    log_prob=np.full((1, 2), -1.0),
    ref_log_prob=np.full((1, 2), -1.0),
    lengths=np.ones((1, 2), dtype=np.intp),
    preference=np.full(1, 0.5),
    kl=np.zeros(1),
    rows=np.array([[0, 1]], dtype=np.intp),
    policy_log_prob=np.full(2, -1.0),
    kl_coef=1.0,
)


@dataclass(frozen=True)
class PreferenceAlgorithm:
    """An algorithm that learns from preferences, as a function of a batch.

    Parameters
    ----------
    loss : str
        Name of a loss of preferences in ``losses``.
    source : {"data", "online", "self-play"}, default="data"
        Which pairs it learns from, see :class:`PreferenceProblem`.
    beta : float, default=None
        Its ``beta``; None means ``kl_coef`` of the problem.
    mixture_coef : float, default=0.0
        Of the opponent of self-play.
    options : mapping, default={}
        Further arguments of the loss, but ``beta``.

    Raises
    ------
    ValueError
        If there is no such loss, source or option, or one has a value that the loss refuses.

    Notes
    -----
    Called with log-probabilities (n, 2) of pairs and a :class:`PreferenceBatch`, or with stacks of
    both, it returns loss and gradient (n, 2).

    Examples
    --------
    >>> from sklearn_codex.lab import algorithms, problems, rest_point
    >>> problem = problems["two-sided"]()
    >>> best = rest_point(algorithms["dpo"], problem)
    """

    loss: str
    source: str = "data"
    beta: float | None = None
    mixture_coef: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)

    takes_stacks = True

    def __post_init__(self):
        known = [name for name in losses if name not in _POLICY_LOSSES]
        check_option(self.loss, known, "loss", subject="PreferenceAlgorithm")
        check_option(self.source, SOURCES, "source", subject="PreferenceAlgorithm")
        check_number(
            self.mixture_coef, "mixture_coef", subject="PreferenceAlgorithm", interval=PROBABILITY
        )
        if self.beta is not None:
            check_number(self.beta, "beta", subject="PreferenceAlgorithm", interval=NOT_NEGATIVE)
        check_options("PreferenceAlgorithm", "options", losses[self.loss], self.options)
        # The loss itself knows which values are valid.
        self(np.full((1, 2), -1.0), _ONE_PAIR)

    def having(self, **values: Any) -> "PreferenceAlgorithm":
        """Return the same algorithm with other values of some fields."""
        return replace(self, **values)

    def weight(self, kl_coef: float) -> float:
        """Return beta, on a problem that has a ``kl_coef``."""
        return kl_coef if self.beta is None else self.beta

    def __call__(
        self, log_prob: FloatArray, batch: PreferenceBatch
    ) -> tuple[FloatArray, FloatArray]:
        """Return loss (...) and gradient (..., n, 2)."""
        n_pairs = log_prob.shape[-2]
        source = {
            "policy_chosen_logps": log_prob[..., 0],
            "policy_rejected_logps": log_prob[..., 1],
            "ref_chosen_logps": batch.ref_log_prob[..., 0],
            "ref_rejected_logps": batch.ref_log_prob[..., 1],
            "chosen_lengths": batch.lengths[..., 0],
            "rejected_lengths": batch.lengths[..., 1],
            "policy_logps": log_prob[..., 0],
            "ref_logps": batch.ref_log_prob[..., 0],
            "preference": batch.preference,
            "kl": batch.kl,
        }
        options = dict(self.options)
        options.setdefault("beta", self.weight(batch.kl_coef))
        loss, *slopes = call_by_names(losses[self.loss], source, options)
        if len(slopes) == 1:
            slopes.append(np.zeros_like(slopes[0]))
        return loss.mean(axis=-1), np.stack(slopes, axis=-1) / n_pairs


def _of_rewards() -> dict[str, RewardAlgorithm]:
    centred = {"norm_adv_by_std_in_grpo": False}
    per_response, by_tokens = "seq-mean-token-mean", "token-mean"
    clip_higher = {"clip_ratio_low": 0.2, "clip_ratio_high": 0.28}
    grpo = RewardAlgorithm("grpo", "ppo", per_response, "loss", "k3")
    return {
        "reinforce": RewardAlgorithm("reinforce"),
        "remax": RewardAlgorithm("remax"),
        "rloo": RewardAlgorithm("rloo"),
        "reinforce_plus_plus": RewardAlgorithm("reinforce_plus_plus", "ppo", by_tokens),
        "reinforce_plus_plus_baseline": RewardAlgorithm(
            "reinforce_plus_plus_baseline", "ppo", by_tokens
        ),
        "ppo": RewardAlgorithm("gae", "ppo", "seq-mean-token-sum", advantage_options={"lam": 0.95}),
        "grpo": grpo,
        "grpo_corrected": grpo.having(kl_corrected=True),
        "grpo_no_std": grpo.having(kl_corrected=True, advantage_options=centred),
        "grpo_k2_in_loss": grpo.having(kl_estimator="k2"),
        "grpo_kl_in_reward": grpo.having(kl_in="reward", kl_estimator="k1"),
        "dr_grpo": RewardAlgorithm(
            "grpo", "ppo", "seq-mean-token-sum-norm", "loss", "k3", True, None, centred
        ),
        "dr_grpo_k1_in_loss": RewardAlgorithm(
            "grpo", "ppo", "seq-mean-token-sum-norm", "loss", "k1", False, None, centred
        ),
        "dr_grpo_kl_in_reward": RewardAlgorithm(
            "grpo", "ppo", "seq-mean-token-sum-norm", advantage_options=centred
        ),
        "dapo": RewardAlgorithm(
            "grpo", "ppo", by_tokens, "loss", "k3", True, loss_options=clip_higher
        ),
        "dapo_kl_in_reward": RewardAlgorithm("grpo", "ppo", by_tokens, loss_options=clip_higher),
        "gspo": RewardAlgorithm("grpo", "gspo", per_response, "loss", "k3", True),
        "gspo_kl_in_reward": RewardAlgorithm("grpo", "gspo", per_response),
        "cispo": RewardAlgorithm("grpo", "cispo", by_tokens, "loss", "k3", True),
        "cispo_kl_in_reward": RewardAlgorithm("grpo", "cispo", by_tokens),
    }


def _of_preferences() -> dict[str, PreferenceAlgorithm]:
    return {
        "dpo": PreferenceAlgorithm("dpo"),
        "dpo_label_smoothing": PreferenceAlgorithm("dpo", options={"label_smoothing": 0.1}),
        "online_dpo": PreferenceAlgorithm("dpo", "online"),
        "ipo": PreferenceAlgorithm("ipo"),
        "hinge": PreferenceAlgorithm("hinge"),
        "simpo": PreferenceAlgorithm("simpo", beta=2.0, options={"simpo_gamma": 0.0}),
        "simpo_margin": PreferenceAlgorithm("simpo", beta=2.0, options={"simpo_gamma": 0.5}),
        "cpo": PreferenceAlgorithm("cpo"),
        "orpo": PreferenceAlgorithm("orpo"),
        "kto": PreferenceAlgorithm("kto"),
        "self_play": PreferenceAlgorithm("nash_md", "self-play"),
        "nash_md": PreferenceAlgorithm("nash_md", "self-play", mixture_coef=0.5),
    }


algorithms: Mapping[str, RewardAlgorithm | PreferenceAlgorithm] = MappingProxyType(
    {**_of_rewards(), **_of_preferences()}
)
"""Algorithms as the field has them, by name; all are called alike, as updates of a batch."""
