"""The two registries: advantages and losses by the names people use."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sklearn_codex.lab._advantages._gae import gae_advantage
from sklearn_codex.lab._advantages._groups import grpo_advantage, rloo_advantage
from sklearn_codex.lab._advantages._reinforce import reinforce_advantage, remax_advantage
from sklearn_codex.lab._advantages._reinforce_plus_plus import (
    reinforce_plus_plus_advantage,
    reinforce_plus_plus_baseline_advantage,
)
from sklearn_codex.lab._losses._clipped import (
    cispo_loss,
    gspo_loss,
    policy_gradient_loss,
    ppo_loss,
)
from sklearn_codex.lab._losses._dpo import dpo_loss, hinge_loss, ipo_loss
from sklearn_codex.lab._losses._kto import kto_loss
from sklearn_codex.lab._losses._nash import nash_md_loss
from sklearn_codex.lab._losses._reference_free import cpo_loss, orpo_loss, simpo_loss

advantages: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "reinforce": reinforce_advantage,
        "remax": remax_advantage,
        "rloo": rloo_advantage,
        "grpo": grpo_advantage,
        "reinforce_plus_plus": reinforce_plus_plus_advantage,
        "reinforce_plus_plus_baseline": reinforce_plus_plus_baseline_advantage,
        "gae": gae_advantage,
    }
)
"""Advantages by name: rewards of tokens, and what else each needs, to what a token is worth."""

losses: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "policy_gradient": policy_gradient_loss,
        "ppo": ppo_loss,
        "gspo": gspo_loss,
        "cispo": cispo_loss,
        "dpo": dpo_loss,
        "ipo": ipo_loss,
        "hinge": hinge_loss,
        "simpo": simpo_loss,
        "cpo": cpo_loss,
        "orpo": orpo_loss,
        "kto": kto_loss,
        "nash_md": nash_md_loss,
    }
)
"""Losses by name, each with its gradient: of tokens with advantages, and of preferences."""


def check_options(subject: str, name: str, function: Callable[..., Any], options: Mapping) -> None:
    """Raise ValueError where options are no keyword arguments of a function."""
    parameters = inspect.signature(function).parameters.values()
    fields = ("beta", "loss_agg_mode")
    known = [p.name for p in parameters if p.default is not p.empty and p.name not in fields]
    if not isinstance(options, Mapping):
        raise ValueError(f"{subject} needs {name}, a mapping, got {options!r:.60}.")
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ValueError(
            f"{subject} needs {name} that its function has, {', '.join(known) or 'none here'}, got "
            f"{unknown[0]!r}."
        )


def call_by_names(function: Callable[..., Any], source: Mapping[str, Any], options: Mapping) -> Any:
    """Call a function with those of some named values that it has parameters for."""
    names = inspect.signature(function).parameters
    return function(**{name: source[name] for name in names if name in source} | dict(options))
