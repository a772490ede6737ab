"""The only way to standard output and standard error: what is shown there holds no controls."""

import os
import sys
from contextlib import contextmanager, suppress

from sklearn_codex._plain import plain, show_controls


def show(text):
    """Write text to standard output, controls as visible marks."""
    with standard_output():
        sys.stdout.write(show_controls(text))
        sys.stdout.flush()


def tell(text):
    """Write one line to standard error, controls as visible marks."""
    tell_lines(plain(text) + "\n")


def tell_lines(text):
    """Write text to standard error, controls as visible marks."""
    with suppress(OSError, ValueError):
        sys.stderr.write(show_controls(text))
        sys.stderr.flush()


@contextmanager
def standard_output():
    """Go on quietly where the reader of standard output has gone; name it where it is full."""
    try:
        yield
    except BrokenPipeError:
        silence(sys.stdout)
    except OSError as error:
        silence(sys.stdout)
        raise OSError(f"Standard output cannot be written: {error.strerror or error}.") from error


def silence(stream):
    """Let all that is still written to a stream, also at the end of the process, go nowhere."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
