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


def refuse_old_nested(estimator: Any, parameters: Mapping[str, Any]) -> None:
    """Raise where ``base__x`` is set of what is under the new name, so that there is no base.

    Raises
    ------
    ValueError
        If a parameter under its old name, which nobody gave, is to have parameters set.
    """
    for old, new in type(estimator)._renamed_parameters.items():
        if _is_given(parameters.get(old, getattr(estimator, old))):
            continue
        for name in parameters:
            if name.startswith(f"{old}__"):
                raise ValueError(
                    f"The parameter {old} of {type(estimator).__name__} is called {new} now, and "
                    f"was not given, so {name} cannot be set. Set {new}{name[len(old) :]}."
                )


def renamed_attribute(old: str, new: str) -> Any:
    """Return the property that gives an attribute under its old name, with a FutureWarning."""

    def read(self):
        return getattr(self, new)

    read.__name__, read.__doc__ = old, f"The attribute ``{new}``, under its old name."
    return deprecated(f"The attribute {old} is called {new} now.")(property(read))


def rename_state(state: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """Return the state of a model, as a file has it, with what has an old name under the new."""
    return {renamed.get(name, name): value for name, value in state.items()}
