"""Functions of tensors as functions of numpy arrays, with gradients."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import zip_longest
from typing import Any

import numpy as np

from sklearn_codex.lab._trl.extra import import_extra

__all__ = ["from_torch"]


def from_torch(
    function: Callable[..., Any],
    *,
    wrt: str | int | None = None,
    arrays: Sequence[str] = ("index",),
) -> Callable[..., Any]:
    r"""Return a function of tensors as one of numpy arrays, with its gradient where one is wanted.

    Parameters
    ----------
    function : callable
        Takes tensors and returns tensors: an advantage, as those of verl,
        ``f(token_level_rewards, response_mask, index, ...)``, or a loss, as
        ``f(old_log_prob, log_prob, advantages, response_mask, ...)``.
    wrt : str or int, default=None
        The argument by which the gradient is taken, by name or by position. With it the function
        is a loss: its value is a scalar, or the first of several results, as of losses that return
        metrics, too. None means no gradient.
    arrays : sequence of str, default=("index",)
        Names of arguments that stay arrays, as the groups of verl's advantages. Names of none are
        passed over.

    Returns
    -------
    callable
        Takes what ``function`` takes, with arrays for tensors. Arrays of numbers and booleans
        become tensors of the same dtype; all else, such as strings, arrays of objects and settings,
        is handed on as it is. Without ``wrt`` it returns what ``function`` does, with arrays for
        tensors, of float32 for bfloat16, also in tuples, lists and dictionaries. With ``wrt`` it
        returns
        ``(value, gradient)``, a float and an array of the shape and dtype of that argument.

    Raises
    ------
    TypeError
        If ``function`` is no callable or has no such argument, or the argument is no array of
        floats; when called, also if the first result is no tensor.
    ValueError
        When called, if the loss is no scalar, or does not depend on the argument, as after
        ``detach``.
    ImportError
        If torch is not installed.

    Notes
    -----
    The gradient is that of autograd, so that what is detached counts as a constant; a loss that
    lacks a ``detach`` shows here. Arrays are copied: nothing that ``function`` does in place
    changes what was passed, or what was returned before.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.lab.torch import from_torch
    >>> def loss(log_prob, advantages, mask):
    ...     return -(log_prob * advantages * mask).sum() / mask.sum()
    >>> value, gradient = from_torch(loss, wrt="log_prob")(
    ...     np.log([[0.5, 0.25]]), np.array([[1.0, 2.0]]), np.array([[1.0, 1.0]])
    ... )
    >>> round(value, 3)
    1.733
    >>> gradient
    array([[-0.5, -1. ]])
    """
    if not callable(function):
        raise TypeError(f"from_torch needs a function of tensors, got a {type(function).__name__}.")
    names = list(_parameters_of(function))
    if wrt is not None:
        place, wanted = _find_argument(function, wrt)

    @wraps(function)
    def of_arrays(*args: Any, **kwargs: Any) -> Any:
        torch = import_extra("torch")
        tensors = [
            value if name in arrays else _to_tensor(torch, value)
            for name, value in zip_longest(names[: len(args)], args)
        ]
        named = {
            key: value if key in arrays else _to_tensor(torch, value)
            for key, value in kwargs.items()
        }
        if wrt is None:
            with torch.no_grad():
                return _to_arrays(torch, function(*tensors, **named))
        holder: Any = named if wanted in named else tensors
        key: Any = wanted if wanted in named else place
        if holder is tensors and (key is None or key >= len(tensors)):
            raise TypeError(
                f"{_name_of(function)} was called without {wrt!r}, by which from_torch takes the "
                "gradient. Pass it."
            )
        return _value_and_gradient(torch, function, tensors, named, holder, key)

    return of_arrays


def _value_and_gradient(torch, function, tensors, named, holder, key):
    at = holder[key]
    if not (torch.is_tensor(at) and at.is_floating_point()):
        raise TypeError(
            f"from_torch needs an array of floats to take the gradient of {_name_of(function)} by, "
            f"got a {type(at).__name__}{f' of {at.dtype}' if torch.is_tensor(at) else ''} as "
            f"{key!r}."
        )
    holder[key] = leaf = at.requires_grad_()
    with torch.enable_grad():
        result = function(*tensors, **named)
        loss = result[0] if isinstance(result, tuple | list) and result else result
        if not torch.is_tensor(loss):
            raise TypeError(
                f"from_torch needs a loss that is a tensor, got a {type(loss).__name__} from "
                f"{_name_of(function)}. Return the loss first, then metrics."
            )
        if loss.numel() != 1:
            raise ValueError(
                f"from_torch needs a scalar loss, got shape {tuple(loss.shape)} from "
                f"{_name_of(function)}. Take its mean or its sum, or leave out wrt."
            )
        gradient = None
        if loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss, leaf, allow_unused=True)
    if gradient is None:
        raise ValueError(
            f"from_torch found that the loss of {_name_of(function)} does not depend on {key!r}. "
            "Is it detached, or is another argument the one that is trained?"
        )
    return loss.item(), _to_array(gradient)


def _parameters_of(function):
    """Return the parameters of a function by name; none of one that does not tell, as in C."""
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {}


def _find_argument(function, wrt):
    """Return the place of an argument, None for one by keyword alone, and its name."""
    parameters = _parameters_of(function)
    names = list(parameters)
    if isinstance(wrt, int) and not isinstance(wrt, bool) and 0 <= wrt < len(names):
        return wrt, names[wrt]
    if isinstance(wrt, str) and wrt in names:
        by_keyword = parameters[wrt].kind is inspect.Parameter.KEYWORD_ONLY
        return (None if by_keyword else names.index(wrt)), wrt
    raise TypeError(
        f"from_torch needs wrt to be an argument of {_name_of(function)}, one of "
        f"{', '.join(names)}, or its place from 0, got {wrt!r}."
    )


def _name_of(function):
    return getattr(function, "__name__", type(function).__name__)


def _to_tensor(torch, value):
    """Return a tensor of an array of numbers, and anything else as it is."""
    is_numeric = isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf"
    if not is_numeric:
        return value
    # Tensors have neither negative strides nor another order of bytes.
    return torch.tensor(
        np.ascontiguousarray(value, value.dtype.newbyteorder("=")).reshape(value.shape)
    )


def _to_array(tensor):
    """Return a tensor as an array of its own; of bfloat16, which arrays have not, as float32."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy().copy()


def _to_arrays(torch, value):
    """Return arrays for tensors, also within tuples, lists and dictionaries."""
    if torch.is_tensor(value):
        return _to_array(value)
    if isinstance(value, Mapping):
        return {key: _to_arrays(torch, item) for key, item in value.items()}
    if hasattr(value, "_make"):
        return value._make(_to_arrays(torch, item) for item in value)
    if isinstance(value, tuple | list):
        return type(value)(_to_arrays(torch, item) for item in value)
    return value
