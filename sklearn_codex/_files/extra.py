"""What needs a package of the extra ``io``, imported where a file asks for it."""

from importlib import import_module
from types import ModuleType


def import_extra(name: str, place: str, kind: str) -> ModuleType:
    """Return a module of the extra ``io``.

    Parameters
    ----------
    name : str
        Module, such as "pyarrow.parquet".
    place : str
        What the caller calls the file.
    kind : str
        What the file is, such as "Parquet".

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"{place} is {kind}, which {package} reads, and that cannot be imported ({error}). "
            'Install it: pip install "sklearn-codex[io]".'
        ) from error
