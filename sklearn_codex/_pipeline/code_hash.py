"""A digest of what functions and classes do, for caches that would know them by name alone."""

import os
import pickle
import re
import sys
import sysconfig
from collections.abc import Iterator
from functools import cached_property, partial, partialmethod
from hashlib import sha256
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import joblib

# Code of these folders, and below them, comes anew with a version only.
_INSTALLED = tuple(
    str(folder) + os.sep
    for folder in (sysconfig.get_path("stdlib"), Path(__file__).resolve().parents[1])
)
_PACKAGES = re.compile(r"[\\/](site|dist)-packages[\\/]")
_CONSTANTS = (type(None), type(...), bool, int, float, complex, str, bytes)


def hash_code(*parts: Any) -> str:
    """Return a digest (str) of the functions and classes that objects refer to.

    Of a function these are its bytecode, default values and closure, the constants (str, numbers,
    tuples of them, compiled patterns) among the global variables that it names, and so on for the
    functions and classes that it names; of a class its methods, constants and bases. Not looked
    into are other global variables, modules, values that cannot be pickled, such as locks, and the
    code of the standard library, of installed packages and of this one.

    Parameters
    ----------
    *parts : objects that can be pickled
        What is searched, with all that belongs to it.

    Raises
    ------
    pickle.PicklingError
        If a default value or a closure has a function without a name.
    """
    seen: dict[int, Any] = {}
    digests = set()
    queue = _code_in(parts)
    while queue:
        found = queue.pop()
        if id(found) in seen or _is_installed(found):
            continue
        seen[id(found)] = found
        described, used = (_read_class if isinstance(found, type) else _read_function)(found)
        queue += used
        name = f"{found.__module__}.{found.__qualname__}"
        digests.add(sha256(f"{name} {described}".encode("utf-8", "backslashreplace")).hexdigest())
    return sha256("".join(sorted(digests)).encode()).hexdigest()


class _Finder(pickle.Pickler):
    """Finds the functions and classes that a pickle would refer to by name."""

    def __init__(self):
        super().__init__(self, protocol=pickle.HIGHEST_PROTOCOL)
        self.found: list[Any] = []

    def write(self, data):
        """Take the pickle itself, which nobody needs."""
        return memoryview(data).nbytes  # of large arrays it is given the buffer itself

    def reducer_override(self, obj):
        """Look at an object, and leave it to be pickled as ever."""
        self.found += _own_code(obj)
        return NotImplemented


def _code_in(value):
    finder = _Finder()
    finder.dump(value)
    return finder.found


def _own_code(value) -> list[Any]:
    """Return the function or the class that a value is, also below decorators and descriptors."""
    if isinstance(value, property):
        return [part for part in (value.fget, value.fset, value.fdel) if part is not None]
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, (partial, partialmethod, cached_property)):
        value = value.func
    if isinstance(value, type):
        return [value]
    return [part for part in (value, unwrap(value)) if isinstance(part, FunctionType)]


def _is_installed(found):
    if isinstance(found, FunctionType):
        file = found.__code__.co_filename
    else:
        file = getattr(sys.modules.get(found.__module__), "__file__", "")
        if not file:  # built in, or typed at a prompt
            return found.__module__.partition(".")[0] in sys.stdlib_module_names
    return file.startswith(("<frozen ", *_INSTALLED)) or _PACKAGES.search(file) is not None


def _read_class(cls):
    """Return what a class is, and the functions and classes that make it."""
    members = sorted(vars(cls).items())
    # Not __doc__, nor __firstlineno__, but what its author named.
    constants = [(name, _constant(value)) for name, value in members if not name.startswith("__")]
    return repr(constants), [*cls.__bases__, *(c for _, v in members for c in _own_code(v))]


def _read_function(function):
    """Return what a function does, and the functions and classes that it uses."""
    code = function.__code__
    values = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    used, constants, hashed = [], [], []
    for cell in function.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:  # nothing was assigned yet
            continue
        own = _own_code(content)
        used += own
        # A function within a function has no name to be hashed by, but it has code.
        values += [] if own else [content]
    for value in values:
        try:
            hashed.append(joblib.hash(value))
            used += _code_in(value)
        except TypeError:  # a lock or another thing of this process alone
            hashed.append(type(value).__qualname__)
    for name in sorted(_names(code)):
        value = function.__globals__.get(name)
        used += _own_code(value)
        constants.append((name, _constant(value)))
    return repr((_describe(code), hashed, constants)), used


def _names(code: CodeType) -> set[str]:
    """Return the names that code looks up, and those of the functions within it."""
    return set(code.co_names).union(*(_names(inner) for inner in _inner(code)))


def _inner(code: CodeType) -> Iterator[CodeType]:
    return (value for value in code.co_consts if isinstance(value, CodeType))


def _describe(code: CodeType) -> tuple:
    """Return what code does, without where it stands."""
    return (
        code.co_code,
        [_describe(v) if isinstance(v, CodeType) else _constant(v) for v in code.co_consts],
        code.co_names,
        (code.co_varnames, code.co_freevars, code.co_cellvars),
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
    )


def _constant(value) -> str | None:
    """Return what stands for a value that cannot change, None for other values."""
    if isinstance(value, re.Pattern):
        return f"pattern {value.pattern!r} {value.flags}"
    if isinstance(value, (tuple, frozenset)):
        parts = [_constant(part) for part in value]
        if any(part is None for part in parts):
            return None
        # The order of a set is not the same in another process.
        ordered = sorted(map(str, parts)) if isinstance(value, frozenset) else parts
        return f"{type(value).__name__} {ordered}"
    return f"{type(value).__name__} {value!r}" if isinstance(value, _CONSTANTS) else None
