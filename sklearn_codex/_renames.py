"""Old names of parameters and attributes, which stay for a release and say what they became."""

import warnings
from collections.abc import Mapping
from typing import Any

from sklearn.utils import deprecated

DEPRECATED = "deprecated"
"""The default of a parameter under its old name: nobody gave it."""


def _is_given(value: Any) -> bool:
    return not (isinstance(value, str) and value == DEPRECATED)


def current_parameters(estimator: Any) -> dict[str, Any]:
    """Return the parameters of an estimator, those given under an old name under the new one.

    The class says in ``_renamed_parameters`` what old names became.
    """
    parameters = estimator.get_params(deep=False)
    for old, new in getattr(type(estimator), "_renamed_parameters", {}).items():
        value = parameters.pop(old)
        if _is_given(value):
            parameters[new] = value
    return parameters


def take_renamed(estimator: Any, name: str) -> Any:
    """Return the value of a parameter, which may have been given under its old name.

    Raises
    ------
    ValueError
        If it was given under both.

    Warns
    -----
    FutureWarning
        If it was given under the old one.
    """
    value = getattr(estimator, name)
    for old, new in getattr(type(estimator), "_renamed_parameters", {}).items():
        given = getattr(estimator, old)
        if new != name or not _is_given(given):
            continue
        subject = type(estimator).__name__
        if value is not None:
            raise ValueError(
                f"{subject} got both {old} and {name}, which is what {old} became. Leave out {old}."
            )
        warnings.warn(
            f"The parameter {old} of {subject} is called {name} now, and goes away under its old "
            f"name. Pass {name}=.",
            FutureWarning,
            stacklevel=2,
        )
        return given
    return value


def renamed_attribute(old: str, new: str) -> Any:
    """Return the property that gives an attribute under its old name, with a FutureWarning."""

    def read(self):
        return getattr(self, new)

    read.__name__, read.__doc__ = old, f"{new}, under its old name."
    return deprecated(f"The attribute {old} is called {new} now.")(property(read))


def rename_state(state: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """Return the state of a model, as a file has it, with what has an old name under the new."""
    return {renamed.get(name, name): value for name, value in state.items()}
