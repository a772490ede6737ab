"""Model files that are loaded without running code."""

import importlib
import os
import tempfile
import zipfile
from pathlib import Path

_PACKAGE = __name__.partition(".")[0]


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


def save_model(model, path, *, overwrite=False):
    """Write a fitted model to a file that :func:`load_model` reads without running code.

    Parameters
    ----------
    model : estimator
        A fitted estimator of this package or of scikit-learn. Functions of your own (a callable
        reward model, a callable tokenizer) can be written, but not loaded again.
    path : str or path-like
        The file, by convention ``*.skops``.
    overwrite : bool, default=False
        Whether an existing file may be replaced. It is replaced whole or not at all.

    Raises
    ------
    ImportError
        If skops is not installed.
    FileExistsError
        If the file exists and ``overwrite`` is false.

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
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"save_model does not replace the existing file {str(path)!r}. Choose another path or "
            "pass overwrite=True."
        )
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    try:
        skops_io.dump(model, temporary, compression=zipfile.ZIP_DEFLATED)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load_model(path):
    """Read a model file, trusting no types but those of this package, scikit-learn and numpy.

    Parameters
    ----------
    path : str or path-like
        A file of :func:`save_model`.

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
        If the file is no model file, or holds a type that is not trusted. Nothing has been run
        then: to load such a file all the same, use ``skops.io.load`` with the types you trust.
    """
    skops_io = _import_skops_io()
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"load_model found no file {str(path)!r}.")
    try:
        unknown = skops_io.get_untrusted_types(file=path)
    except Exception as error:
        raise ValueError(
            f"load_model cannot read {str(path)!r}: it is no model file of save_model ({error})."
        ) from None
    ours = [name for name in unknown if _is_ours(name)]
    foreign = sorted(set(unknown) - set(ours))
    if foreign:
        raise ValueError(
            f"load_model does not trust {', '.join(foreign)} in {str(path)!r}, and nothing of the "
            "file was run. Load it with skops.io.load(path, trusted=[...]) if you know it is safe."
        )
    return skops_io.load(path, trusted=ours)


def _umask():
    """Return the file mode mask of this process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _is_ours(name):
    """Whether a type is a class defined in this package."""
    module, _, attribute = name.rpartition(".")
    if module != _PACKAGE and not module.startswith(f"{_PACKAGE}."):
        return False
    try:
        return isinstance(getattr(importlib.import_module(module), attribute), type)
    except (ImportError, AttributeError):
        return False
