"""Results in a cache: what they share with others left out, and never worth a fit.

A stage is stored without the models from above, which whoever looks it up has. A cache that cannot
be read or written costs time and a warning, not the fit.
"""

import hashlib
import io
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class _Pickler(pickle.Pickler):
    def __init__(self, file, shared):
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._names = {id(value): name for name, value in shared.items()}

    def persistent_id(self, obj):
        return self._names.get(id(obj))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, shared):
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, pid):
        return self._shared[pid]


class Stored:
    """Holds a result, such as a fitted stage, and is pickled without what it shares.

    A policy holds the policy and the reward model that it came from, and each of them the
    vectorizer. Stored with every stage, and with every candidate of a search, they would take most
    of the time and space of the cache.

    Parameters
    ----------
    result : object
        Such as the fitted stage.
    shared : mapping of str to object
        What the result refers to, by names that mean the same to whoever opens it.
    """

    def __init__(self, result: Any, shared: Mapping[str, Any]):
        self._result = result
        self._shared = dict(shared)

    def __getstate__(self):
        file = io.BytesIO()
        _Pickler(file, self._shared).dump(self._result)
        data = file.getvalue()
        return {"data": data, "sha256": hashlib.sha256(data).hexdigest()}

    def __setstate__(self, state):
        if hashlib.sha256(state["data"]).hexdigest() != state["sha256"]:
            raise ValueError("The cached result is damaged.")
        self._result = None
        self._data = state["data"]

    def open(self, shared: Mapping[str, Any]) -> Any:
        """Return the result, with these objects in the places of those it was stored without."""
        if self._result is None:
            self._result = _Unpickler(io.BytesIO(self._data), shared).load()
        return self._result


class Work:
    """Tells how far a computation has come, to whoever called the cache around it.

    Parameters
    ----------
    shared : mapping of str to object
        As for :class:`Stored`.

    Attributes
    ----------
    is_begun : bool
        Whether the function was called, since the cache had no result.
    result : Stored or None
        What it returned.
    """

    def __init__(self, shared: Mapping[str, Any]):
        self._shared = shared
        self.is_begun = False
        self.result: Stored | None = None

    def begin(self) -> None:
        """Note that the function was called."""
        self.is_begun = True

    def end(self, result: Any) -> Stored:
        """Note and return what it returns."""
        self.result = Stored(result, self._shared)
        return self.result


def call_cached(
    memory: Any,
    function: Callable[..., Stored],
    arguments: Mapping[str, Any],
    *,
    ignore: Sequence[str],
    shared: Mapping[str, Any],
    subject: str,
) -> tuple[Any, bool]:
    """Return the result of a function, from a cache where it is there, and whether it was not.

    Parameters
    ----------
    memory : object with the joblib.Memory interface
        The cache.
    function : callable
        Takes the arguments and ``work``, on which it calls ``begin`` first and ``end`` last.
    arguments : mapping of str to object
        By name.
    ignore : sequence of str
        Names of arguments that do not tell results apart.
    shared : mapping of str to object
        As for :class:`Stored`.
    subject : str
        Whose cache it is, for the warning.

    Warns
    -----
    RuntimeWarning
        If the cache could not be read or written. The result is right all the same.
    """
    work = Work(shared)
    try:
        stored = memory.cache(function, ignore=[*ignore, "work"])(**arguments, work=work)
        return stored.open(shared), work.is_begun
    except Exception as error:
        if work.is_begun and work.result is None:
            raise  # it is the function's own
        what = "write" if work.is_begun else "read"
        warnings.warn(
            f"{subject} could not {what} its cache in memory="
            f"{getattr(memory, 'location', memory)!r} ({type(error).__name__}: {error}) and goes "
            "on without it.",
            RuntimeWarning,
            stacklevel=2,
        )
    stored = work.result or function(**arguments, work=work)
    return stored.open(shared), True
