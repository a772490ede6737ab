"""The command line: ``sklearn-codex COMMAND``, one module a command."""

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, default=None
        The words after the program's name; None means those of this process, and that it does
        nothing else.

    Returns
    -------
    code : int
        0 on success, also where the reader of a pipe wanted no more, 1 on an error (told in one
        line, with a traceback only under ``--debug``), 2 on a wrong command line, 130 when
        interrupted.
    """
    # Imported here: until a process of its own is ready for it, an interrupt is a traceback.
    if argv is None:
        from sklearn_codex.cli._process import run_alone

        return run_alone()
    from sklearn_codex.cli._main import run

    return run(argv)
