"""What is said beside the results of a call, to whom watches."""

import sys
from contextlib import suppress


def tell(line: str) -> None:
    """Write a line to standard error, if there is one that is open."""
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
