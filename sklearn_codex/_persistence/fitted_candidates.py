"""Whether an objective over candidates that a file held is one, and its policy of the same rows."""

from dataclasses import fields
from typing import Any

import numpy as np

from sklearn_codex._persistence.values import is_array, is_finite

__all__ = ["check_candidates", "check_policy_of_candidates", "is_of_candidates"]

# What numpy says to what is no array, or of another shape.
_ERRORS = (AttributeError, IndexError, OverflowError, TypeError, ValueError)


def check_candidates(objective: Any) -> None:
    """Check that the parts of an objective are those that making it of them gives."""
    names = [field.name for field in fields(objective)]
    if set(vars(objective)) != set(names):
        raise ValueError("an objective in it has other parts than its parameters")
    prompts = objective.prompts
    # Sums over prompts have as many places as the greatest of them says.
    if not is_array(prompts, "iu") or prompts.ndim != 1 or (prompts >= len(prompts)).any():
        raise ValueError("an objective in it has candidates of prompts that there are not")
    given = {name: getattr(objective, name) for name in names}
    try:
        made = type(objective)(**given)
    except _ERRORS as error:
        raise ValueError(f"an objective in it is none: {error}") from None
    for name, value in given.items():
        if not _is_same(value, getattr(made, name)):
            raise ValueError(f"an objective in it has {name} in another form than it keeps it")


def _is_same(value, made):
    if type(value) is not type(made):
        return False
    if not isinstance(made, np.ndarray):
        return value == made
    return value.dtype == made.dtype and np.array_equal(value, made)


def is_of_candidates(model: Any) -> bool:
    """Tell an optimiser of an objective over candidates."""
    return type(vars(model).get("_stated")).__name__ == "CandidateObjective"


def check_policy_of_candidates(model: Any) -> None:
    """Check what an optimiser keeps beside its objective, a number a candidate."""
    if not is_of_candidates(model):
        return
    name, stated = type(model).__name__, model._stated
    check_candidates(stated)
    n_rows = len(stated.token_reward)
    # What is learned from preferences has no reward model, and penalties in its reference.
    is_direct = not hasattr(model, "response_length_")
    length = model.document_length_ if is_direct else model.response_length_
    if model.n_features_in_ != n_rows or length != 1:
        raise ValueError(f"its {name} has not the candidates of its objective")
    reference = stated.reference_log_prob
    if is_direct:
        reference = stated.having(token_reward=np.zeros(n_rows)).optimum()
    kept: list[Any] = [("reference_log_prob_", model.reference_log_prob_, reference)]
    if not is_direct:
        reward: Any = getattr(model.reward_model_, "token_reward", None)
        kept.append(("reward_model_", reward, stated.token_reward))
    for what, value, own in kept:
        is_right = is_array(value, "f") and value.shape == own.shape
        if not is_right or not np.array_equal(value, own):
            raise ValueError(f"the attribute {what} of its {name} is not that of its objective")
    if not is_finite(getattr(model, "token_reward_", stated.token_reward)):
        raise ValueError(f"the attribute token_reward_ of its {name} has to be finite")
