"""``save_model`` and ``load_model``."""

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

from sklearn_codex._output import new_file
from sklearn_codex._persistence.archive import MAX_SIZE, Archive, read_archive, write_archive
from sklearn_codex._persistence.fitted import check_fitted
from sklearn_codex._persistence.schema import ForeignTypesError, audit, drop_memory, rename
from sklearn_codex._persistence.trust import DICTS, file_name_of, place_of, trust
from sklearn_codex._plain import plain

_PACKAGE = __name__.partition(".")[0]
# The format that save_model writes. Files without one, of the first versions, are of format 0.
FORMAT = 1
_FORMAT_KEY, _VERSION_KEY = "sklearn_codex_format", "sklearn_codex_version"
_OLDEST_PROTOCOL = 2
_MAX_NAMES, _MAX_NAME = 5, 120


def _import_skops_io():
    try:
        import skops.io
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "skops":  # but something that skops imports
            raise
        raise ImportError(
            "Model files need the library skops. Install it with: pip install 'sklearn-codex[io]'"
        ) from None
    return skops.io


# What an optimiser holds of an objective that is stated.
_STATED = f"{_PACKAGE}.exact."


def save_model(model, path, *, overwrite=False, trusted=()):
    """Write a fitted model to a file that :func:`load_model` reads without running code.

    What is written was read back before: a model that could not be loaded is not saved.

    Parameters
    ----------
    model : estimator
        A fitted estimator of this package, or one of scikit-learn that holds some.
    path : str or path-like
        The file, by convention ``*.skops``.
    overwrite : bool, default=False
        Whether an existing file may be replaced. It is replaced whole or not at all.
    trusted : sequence of types, functions or str, default=()
        What of your own the model holds and :func:`load_model` will be told to trust as well: a
        tokenizer, a reward, a rule.

    Raises
    ------
    ImportError
        If skops is not installed.
    FileExistsError
        If the file exists and ``overwrite`` is false.
    OSError
        If the file cannot be written. What was there before is still there.
    ValueError
        If the model holds what no model file keeps, such as a lambda or an objective of
        ``fit_objective`` that is neither over n-grams nor over candidates, or what ``load_model``
        would not trust. Nothing is written then.

    Notes
    -----
    A ``memory`` (the cache of :class:`~sklearn_codex.RLHFPipeline` and of scikit-learn's
    pipelines) is a place on this machine, full of pickles: it is left out, and None when loaded.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sklearn_codex import UnigramLM, load_model, save_model
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.skops"
    >>> save_model(UnigramLM().fit(["a b", "b"]), path)
    >>> load_model(path).predict(["a"])
    array(['b'], dtype=...)
    """
    skops_io = _import_skops_io()
    data = _pack(skops_io, model, trust(trusted))
    with new_file(path, overwrite=overwrite, subject="save_model") as file:
        file.write(data)


def load_model(path, *, trusted=(), max_size=MAX_SIZE):
    """Read a model file without running code, and check what it held.

    Every type in the file has to be on an explicit list (:func:`trusted_types`) or among yours.
    Then the model is made, and parameters, shapes and numbers are checked.

    Parameters
    ----------
    path : str or path-like
        A file of :func:`save_model`.
    trusted : sequence of types, functions or str, default=()
        Types and functions of your own that the file may hold, as they are or as ``module.name``.
        Loading may run their code: name only what you know, from files of people you trust.
    max_size : int, default=1073741824
        Bytes that the file may have and unpack to. It may have 50,000 members.

    Returns
    -------
    model : estimator

    Raises
    ------
    ImportError
        If skops is not installed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no model file, is damaged, was written by a later version, is larger than
        allowed, or holds a type that is not trusted, of which nothing has been run then.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from sklearn_codex import TokenCounter, load_model, save_model
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "counter.skops"
    >>> save_model(TokenCounter().fit(["a b", "b"]), path)
    >>> load_model(path)
    TokenCounter()
    """
    skops_io = _import_skops_io()
    path = Path(path)
    lists = trust(trusted)
    if not path.is_file():
        raise FileNotFoundError(f"load_model found no file {str(path)!r}.")
    with path.open("rb") as file:
        data = file.read(max_size + 1)
    try:
        return _unpack(skops_io, data, lists, max_size=max_size)
    except ForeignTypesError as error:
        raise ValueError(
            f"load_model does not trust {_join(error.names)} in {str(path)!r}, and nothing of the "
            "file was run. If you know who made it, and what these are, pass them as trusted=[...]."
        ) from None
    except Exception as error:  # of whatever kind a file of whatever content leads to
        raise ValueError(
            f"load_model cannot read {str(path)!r}: {_reason(error)}. Is it a file of save_model? "
            "One of an earlier version may have to be fitted and saved again."
        ) from None


def _pack(skops_io, model, lists) -> bytes:
    """Return the bytes of a model file, after reading them back."""
    subject = type(model).__name__
    written = io.BytesIO()
    try:
        skops_io.dump(model, written)
        archive = read_archive(written.getvalue(), max_size=2**63)
    except RecursionError:
        raise ValueError(
            f"save_model cannot write this {subject}: it holds itself, nests too deeply, or asks "
            "for metadata (set_fit_request and the like), which model files do not keep."
        ) from None
    except Exception as error:
        raise ValueError(f"save_model cannot write this {subject}: {_reason(error)}.") from error
    drop_memory(archive.schema)
    rename(archive.schema, file_name_of)
    archive.schema.update({_FORMAT_KEY: FORMAT, _VERSION_KEY: _version()})
    packed = io.BytesIO()
    write_archive(archive, packed)
    try:
        _unpack(skops_io, packed.getvalue(), lists, max_size=2**63)
    except ForeignTypesError as error:
        if any(name.startswith(_STATED) for name in error.names):
            raise ValueError(
                f"save_model does not write this {subject}, which fit_objective optimised: of "
                "objectives that are stated, model files keep those over candidates and n-grams. "
                "Save its token_log_prob_, as with numpy.save, and state the objective again; one "
                "that fit made of documents is kept."
            ) from None
        raise ValueError(
            f"save_model does not write this {subject}, as load_model would not trust "
            f"{_join(error.names)} in it. Leave that out (of a search, save best_estimator_), or "
            "name it in trusted=[...] here and when loading."
        ) from None
    except Exception as error:
        raise ValueError(
            f"save_model does not write this {subject}, as it could not be loaded again: "
            f"{_reason(error)}. Functions need a name in a module, and models what their fit gave "
            "them."
        ) from error
    return packed.getvalue()


def _unpack(skops_io, data: bytes, lists, *, max_size: int) -> Any:
    """Return the model in the bytes of a file, which are read once: nobody can change them."""
    archive = read_archive(data, max_size=max_size)
    _check_format(archive)
    rename(archive.schema, place_of)
    drop_memory(archive.schema)
    audit(archive, lists, max_size=max_size)
    plain = io.BytesIO()
    write_archive(archive, plain, compression=zipfile.ZIP_STORED)
    plain_types = {"numpy.dtype", "builtins.frozenset"} | DICTS
    names = lists.objects | lists.functions | lists.users | plain_types
    model = skops_io.loads(plain.getvalue(), trusted=sorted(names))
    if type(model).__module__.partition(".")[0] in ("builtins", "numpy"):
        raise ValueError(f"it holds a {type(model).__name__}, and no model")
    check_fitted(model)
    return model


def _check_format(archive: Archive) -> None:
    schema = archive.schema
    written = schema.pop(_FORMAT_KEY, 0)
    version = schema.pop(_VERSION_KEY, "unknown")
    if type(written) is not int or written < 0:
        raise ValueError(f"its format is {written!r}, no number of one")
    if written > FORMAT:
        raise ValueError(
            f"it is of format {written}, of version {version} of sklearn-codex, and this one, "
            f"{_version()}, reads up to format {FORMAT}; install a later version"
        )
    protocol = schema.get("protocol")
    if type(protocol) is not int or protocol < _OLDEST_PROTOCOL:
        raise ValueError(f"its protocol is {protocol!r}, none that save_model writes")


def _version() -> str:
    return sys.modules[_PACKAGE].__version__


def _join(names) -> str:
    shown = [_short(name, _MAX_NAME) for name in sorted(names)[:_MAX_NAMES]]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    if isinstance(error, RecursionError):
        return "it nests objects too deeply"
    return _short(str(error) or type(error).__name__, 300).rstrip(".")


def _short(text: str, width: int) -> str:
    """Return text of a file as a terminal may show it, on one line."""
    shown = plain(text)
    return shown if len(shown) <= width else shown[: width - 3] + "..."
