"""What a process of its own needs around a command: signals, streams, the last words."""

import os
import signal
import sys

from sklearn_codex.cli._exit import INTERRUPTED, INTERRUPTED_CODE

# What commands import, and the libraries that these import late.
_MODELS = (
    "sklearn_codex._persistence.files",
    "sklearn_codex.cli._models",
    "sklearn_codex.cli._preferences",
    "skops.io",
)
_HEAVY = {
    "audit": ("sklearn_codex.report._audit_run", "rich.console"),
    "convert": ("sklearn_codex.cli._preferences", "sklearn_codex.cli._written"),
    "fit": _MODELS,
    "score": _MODELS,
    "sample": _MODELS,
    "reward": _MODELS,
    "rerank": (*_MODELS, "sklearn_codex.cli._candidates"),
    "rate": (
        "sklearn_codex.cli._preferences",
        "sklearn_codex.cli._rate_votes",
        "sklearn_codex._ratings.model",
    ),
    "frontier": _MODELS,
    "info": (*_MODELS, "rich.console"),
    "demo": ("sklearn_codex.cli._demo_run", "rich.console", "skops.io"),
}


def run_alone() -> int:
    """Run the command of this process's words, and return its exit code.

    An interrupt ends it with one line and the status 130: while modules are imported at once, since
    an exception would come out of whatever module is being made, and nothing is there to be cleaned
    up; later by the exception, which removes temporary files.
    """
    signal.signal(signal.SIGINT, _leave)
    from sklearn_codex.cli._main import run
    from sklearn_codex.report._terminal import silence, tell, tell_lines

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = run(None, _prepare)
    except KeyboardInterrupt:
        tell(INTERRUPTED)
        code = INTERRUPTED_CODE
    except Exception:  # --debug
        import traceback

        tell_lines(traceback.format_exc())
        code = 1
    signal.signal(signal.SIGINT, _leave)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done, and the exit code is known
    return code


def _prepare(command):
    """Import what a command takes long to import; after that an interrupt is an exception."""
    from contextlib import suppress
    from importlib import import_module

    for name in _HEAVY[command]:
        with suppress(ImportError):  # who needs it says how to install it
            import_module(name)
    if hasattr(signal, "pthread_kill"):
        sys.unraisablehook = _redeliver
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _leave(*_):
    try:
        os.write(2, f"{INTERRUPTED}\n".encode())
    finally:
        os._exit(INTERRUPTED_CODE)


def _end(number, _):
    """End with the status of a shell for a process that this signal has ended, but tidily."""
    sys.exit(128 + number)


def _redeliver(unraisable):
    """Repeat an interrupt that came where nothing can be raised, such as in a ``__del__``."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        from threading import Timer, main_thread

        Timer(0.01, signal.pthread_kill, [main_thread().ident, signal.SIGINT]).start()
    else:
        sys.__unraisablehook__(unraisable)
