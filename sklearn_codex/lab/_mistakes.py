"""Updates that are wrong in ways that were seen in the wild, for tests to catch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from sklearn_codex._categorical import FloatArray
from sklearn_codex.lab._advantages._groups import grpo_advantage, rloo_advantage
from sklearn_codex.lab._advantages._kl import shape_rewards
from sklearn_codex.lab._batch import Batch, aggregate
from sklearn_codex.lab._losses._clipped import policy_gradient_loss
from sklearn_codex.lab._losses._kl import kl_penalty

_SUM = "seq-mean-token-sum"
_Step = Callable[[FloatArray, Batch], FloatArray]


@dataclass(frozen=True)
class Mistake:
    """An update with one fault: RLOO, but for that.

    The KL is in the reward or, as k2, in the loss; both are right where nothing else is wrong and
    one token of a response is uncertain.

    Attributes
    ----------
    what : str
        The fault, in words.
    step : callable
        ``(log_prob, batch)`` to the gradient of the loss.
    """

    what: str
    step: _Step

    takes_stacks = True

    def __call__(self, log_prob: FloatArray, batch: Batch) -> FloatArray:
        """Return the gradient (..., n, T)."""
        return self.step(log_prob, batch)


def _log_ratio(batch: Batch) -> FloatArray:
    return np.where(batch.response_mask, batch.old_log_prob - batch.ref_log_prob, 0.0)


def _shaped(batch: Batch, estimator: str = "k1") -> FloatArray:
    return shape_rewards(
        batch.token_level_rewards,
        batch.old_log_prob,
        batch.ref_log_prob,
        batch.response_mask,
        batch.kl_coef,
        estimator,
    )


def _worth(batch: Batch, rewards: FloatArray) -> FloatArray:
    return rloo_advantage(rewards, batch.response_mask, batch.index)[0]


def _ascend(log_prob, batch, worth, mask=None, mode=_SUM):
    mask = batch.response_mask if mask is None else mask
    return policy_gradient_loss(batch.old_log_prob, log_prob, worth, mask, mode)[1]


def _with_rewards(log_prob, batch, rewards):
    return _ascend(log_prob, batch, _worth(batch, rewards))


def _with_kl(log_prob, batch, by_reward, estimator, *, corrected=True):
    """Add the gradient of a KL in the loss."""
    old = batch.old_log_prob if corrected else None
    kl = kl_penalty(log_prob, batch.ref_log_prob, estimator, old_log_prob=old)
    return by_reward + batch.kl_coef * aggregate(*kl, batch.response_mask, _SUM)[1]


def _k1_in_loss(log_prob, batch):
    plain = _with_rewards(log_prob, batch, batch.token_level_rewards)
    return _with_kl(log_prob, batch, plain, "k1", corrected=False)


def _k3_in_loss(log_prob, batch):
    plain = _with_rewards(log_prob, batch, batch.token_level_rewards)
    return _with_kl(log_prob, batch, plain, "k3", corrected=False)


def _k3_in_reward(log_prob, batch):
    return _with_rewards(log_prob, batch, _shaped(batch, "k3"))


def _kl_sign(log_prob, batch):
    return _with_rewards(
        log_prob, batch, batch.token_level_rewards + batch.kl_coef * _log_ratio(batch)
    )


def _kl_to_old_policy(log_prob, batch):
    """Take the policy that drew for the reference, so that the KL is 0."""
    return _with_rewards(log_prob, batch, batch.token_level_rewards)


def _kl_mean_of_tokens(log_prob, batch):
    lengths = batch.response_mask.sum(axis=-1, keepdims=True)
    cost = batch.kl_coef * _log_ratio(batch) / lengths
    return _with_rewards(log_prob, batch, batch.token_level_rewards - cost)


def _kl_of_last_token(log_prob, batch):
    places = np.arange(batch.response_mask.shape[-1])
    is_last = places == batch.response_mask.sum(axis=-1, keepdims=True) - 1
    cost = np.where(is_last, batch.kl_coef * _log_ratio(batch), 0.0)
    return _with_rewards(log_prob, batch, batch.token_level_rewards - cost)


def _reward_at_every_token(log_prob, batch):
    score = batch.token_level_rewards.sum(axis=-1, keepdims=True)
    cost = batch.kl_coef * _log_ratio(batch)
    return _with_rewards(log_prob, batch, np.where(batch.response_mask, score, 0.0) - cost)


def _mask_off_by_one(log_prob, batch):
    shorter = np.zeros_like(batch.response_mask)
    shorter[..., :-1] = batch.response_mask[..., 1:]
    return _ascend(log_prob, batch, _worth(batch, _shaped(batch)), shorter)


def _padding_in_loss(log_prob, batch):
    worth = _worth(batch, batch.token_level_rewards)[..., :1] * np.ones(batch.response_mask.shape)
    by_reward = _ascend(log_prob, batch, worth, np.ones_like(batch.response_mask))
    return _with_kl(log_prob, batch, by_reward, "k2", corrected=False)


def _missing_stop_gradient(log_prob, batch):
    """Multiply the ratio and the log-probability, and differentiate both."""
    worth = _worth(batch, _shaped(batch))
    ratio = np.exp(log_prob - batch.old_log_prob)
    slopes = -worth * ratio * (1.0 + log_prob)
    return aggregate(slopes, slopes, batch.response_mask, _SUM)[1]


def _reward_by_length(log_prob, batch):
    """Divide what the reward does by the length of the response, and not what the KL does."""
    worth = _worth(batch, batch.token_level_rewards)
    by_reward = _ascend(log_prob, batch, worth, mode="seq-mean-token-mean")
    return _with_kl(log_prob, batch, by_reward, "k2", corrected=False)


def _stale_log_probs(log_prob, batch):
    """Weight by the ratio to the log-probabilities of the start of training."""
    worth = _worth(batch, batch.token_level_rewards)
    log_ratio = np.where(batch.response_mask, log_prob - batch.ref_log_prob, 0.0)
    by_reward = _ascend(log_prob, batch, worth * np.exp(log_ratio))
    return _with_kl(log_prob, batch, by_reward, "k2", corrected=False)


def _own_reward_in_baseline(log_prob, batch):
    worth, _ = grpo_advantage(
        batch.token_level_rewards, batch.response_mask, batch.index, norm_adv_by_std_in_grpo=False
    )
    return _with_kl(log_prob, batch, _ascend(log_prob, batch, worth), "k2", corrected=False)


def _std_of_reward_alone(log_prob, batch):
    worth, _ = grpo_advantage(batch.token_level_rewards, batch.response_mask, batch.index)
    return _with_kl(log_prob, batch, _ascend(log_prob, batch, worth), "k2", corrected=False)


_MISTAKES: dict[str, tuple[str, _Step]] = {
    "k1_in_loss": (
        "The KL is k1 in the loss, whose expected gradient is 0.",
        _k1_in_loss,
    ),
    "k3_in_loss": ("The KL is k3 in the loss, which descends KL(ref || pi).", _k3_in_loss),
    "k3_in_reward": ("The KL is k3 in the reward, where only k1 is right.", _k3_in_reward),
    "kl_sign": ("The KL is added to the reward.", _kl_sign),
    "kl_to_old_policy": ("The KL is from the policy that drew the batch.", _kl_to_old_policy),
    "kl_mean_of_tokens": ("The KL is a mean over the tokens of a response.", _kl_mean_of_tokens),
    "kl_of_last_token": ("The KL is that of the last token alone.", _kl_of_last_token),
    "reward_at_every_token": ("Each token gets the whole reward.", _reward_at_every_token),
    "mask_off_by_one": ("The mask is shifted, and the last token not trained.", _mask_off_by_one),
    "padding_in_loss": ("Padding has an advantage and is in the loss.", _padding_in_loss),
    "missing_stop_gradient": (
        "The gradient goes through the weight of the log-probability too.",
        _missing_stop_gradient,
    ),
    "reward_by_length": ("The loss of the reward is divided by the length.", _reward_by_length),
    "stale_log_probs": ("The ratio is to log-probabilities of the start.", _stale_log_probs),
    "own_reward_in_baseline": (
        "The baseline holds the response itself, and the KL is in the loss.",
        _own_reward_in_baseline,
    ),
    "std_of_reward_alone": (
        "The reward is divided by its deviation and the KL is not.",
        _std_of_reward_alone,
    ),
}
mistakes: Mapping[str, Mistake] = MappingProxyType(
    {name: Mistake(what, step) for name, (what, step) in _MISTAKES.items()}
)
"""Updates with one fault each, by name, for tests of a test."""
