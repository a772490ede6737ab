"""Files from the network: whole and with the right checksum, or not at all."""

import hashlib
import time
import warnings
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from sklearn_codex._output import new_file

TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 2**16
# Of a busy or restarting host; any other status will be the same the next time.
_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}


class NetworkError(OSError):
    """The network failed, or what came is not what was published."""


def get_file(url: str, path: Path, sha256: str, *, n_retries: int, delay: float) -> None:
    """Download a file, replacing one that is there.

    Parameters
    ----------
    url : str
        Its address.
    path : Path
        Where it is to be.
    sha256 : str
        The checksum it must have.
    n_retries : int
        How many times to try again where a connection fails, is reset, stands still for ``TIMEOUT``
        seconds or ends early, or the host is busy.
    delay : float
        Seconds before the first of these; each next wait is twice as long.

    Raises
    ------
    NetworkError
        If it could not be had. There is nothing of it on the disk then.
    OSError
        If it could not be written.
    """
    for n_tries in range(n_retries + 1):
        try:
            _try_once(url, path, sha256)
            return
        except NetworkError as error:
            if n_tries == n_retries or not _may_pass(error.__cause__):
                raise
            wait = delay * 2**n_tries
            warnings.warn(
                f"Retry downloading from url: {url} in {wait:g} s, since: {error}", stacklevel=2
            )
            time.sleep(wait)


def _try_once(url: str, path: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    with new_file(path, overwrite=True, subject="The download") as file:
        for chunk in _read(url):
            digest.update(chunk)
            file.write(chunk)
        if digest.hexdigest() != sha256:
            raise NetworkError(
                f"The SHA256 checksum of {path.name} ({digest.hexdigest()}) differs from expected "
                f"({sha256})."
            )


def _read(url: str) -> Iterator[bytes]:
    """Generate what an address has; all that goes wrong is a NetworkError."""
    try:
        with urlopen(url, timeout=TIMEOUT) as response:
            expected = response.headers.get("Content-Length")
            n_read = 0
            while chunk := response.read(_CHUNK):
                n_read += len(chunk)
                yield chunk
            if expected is not None and n_read < int(expected):
                raise ConnectionError(
                    f"retrieval incomplete: got only {n_read} out of {expected} bytes"
                )
    except (OSError, HTTPException, ValueError) as error:
        raise NetworkError(f"{error or type(error).__name__}.") from error


def _may_pass(cause: BaseException | None) -> bool:
    """Whether another try may succeed; a checksum, which has no cause, will be as wrong again."""
    if isinstance(cause, HTTPError):
        return cause.code in _MAY_PASS
    return isinstance(cause, OSError | HTTPException)
