"""Names of arguments that a function does not have, told with those that it has."""

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., Any])
# Arguments of makers of problems that are looked for where a problem is used.
_OF_PROBLEMS = ("kl_coef", "lengths", "n_prompts", "prompt_prob", "reward_scale")


def check_names(subject: str, known: Iterable[str], given: Iterable[str]) -> None:
    """Raise TypeError where an argument is none of those that there are."""
    known = list(known)
    unknown = [name for name in given if name not in known]
    if not unknown:
        return
    close = get_close_matches(unknown[0], known, n=1)
    remedy = f" Did you mean {close[0]}?" if close else ""
    if unknown[0] in _OF_PROBLEMS:
        remedy = f" It is part of the problem: pass make_candidates({unknown[0]}=...)."
    raise TypeError(f"{subject} takes no argument {unknown[0]!r}, but {', '.join(known)}.{remedy}")


def names_arguments(function: _Function) -> _Function:
    """Return a function that names itself, and its arguments, where it is given others or too few.

    What wraps it to validate its arguments says no name.
    """
    signature = inspect.signature(function)
    known = signature.parameters
    by_name = [n for n, p in known.items() if p.kind is inspect.Parameter.KEYWORD_ONLY]

    @wraps(function)
    def named(*args: Any, **options: Any) -> Any:
        check_names(function.__name__, known, options)
        try:
            signature.bind(*args, **options)
        except TypeError as error:
            by_place = ", ".join(name for name in known if name not in by_name)
            raise TypeError(
                f"{function.__name__}: {error}. It takes {by_place} and, by name alone, "
                f"{', '.join(by_name)}."
            ) from None
        return function(*args, **options)

    return cast(_Function, named)
