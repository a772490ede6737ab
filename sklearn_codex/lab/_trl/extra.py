"""Modules that need the extra ``lab``, imported when they are used."""

import importlib
from typing import Any

__all__ = ["import_extra"]


def import_extra(name: str) -> Any:
    """Return a module that needs torch and transformers, or is one of them.

    Parameters
    ----------
    name : str
        Such as "torch", or a module of this package.

    Raises
    ------
    ImportError
        If a library is not installed, with how to install it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        library = (error.name or name).split(".")[0]
        raise ImportError(
            f"sklearn_codex.lab.torch needs the library {library}. Install what it needs with: "
            "pip install 'sklearn-codex[lab]'"
        ) from error
