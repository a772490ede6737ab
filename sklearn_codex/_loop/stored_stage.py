"""A fitted stage in a cache: without the models from above, which whoever looks it up has."""

import io
import pickle
from collections.abc import Mapping
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


class StoredStage:
    """Holds a fitted stage, and is pickled as the stage without what it shares.

    A policy holds the policy and the reward model that it came from, and each of them the
    vectorizer. Stored with every stage, and with every candidate of a search, they would take most
    of the time and space of the cache.

    Parameters
    ----------
    stage : estimator
        The fitted stage.
    shared : mapping of str to object
        What the stage refers to, by names that mean the same to whoever opens it.
    """

    def __init__(self, stage: Any, shared: Mapping[str, Any]):
        self._stage = stage
        self._shared = dict(shared)

    def __getstate__(self):
        file = io.BytesIO()
        _Pickler(file, self._shared).dump(self._stage)
        return {"data": file.getvalue()}

    def __setstate__(self, state):
        self._stage = None
        self._data = state["data"]

    def open(self, shared: Mapping[str, Any]) -> Any:
        """Return the stage, with these objects in the places of those it was stored without."""
        if self._stage is None:
            self._stage = _Unpickler(io.BytesIO(self._data), shared).load()
        return self._stage
