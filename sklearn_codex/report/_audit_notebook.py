"""How far an audit is, in the cell of a notebook, by the display that the notebook has already."""

import sys
import time
from contextlib import contextmanager
from importlib import import_module

from sklearn_codex.report._audit_progress import Estimate, show_seconds
from sklearn_codex.report._escape import html

# Seconds between two pictures of one step: each is a message to the browser.
PAUSE = 0.25


def is_notebook():
    """Whether Python runs behind a notebook, which shows more than text."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


@contextmanager
def shown_in_notebook(wanted):
    """Yield what hears of an audit and shows it in the cell, None where that is no notebook."""
    if not (wanted and is_notebook()):
        yield None
        return
    line = _Line()
    try:
        yield line.estimate
    except BaseException:
        line.show(f"Stopped at: {line.estimate.name}, after {line.seconds}.")
        raise
    line.show(f"Audited in {line.seconds}.")


class _Line:
    """One line of a cell, which is drawn anew as the audit goes on."""

    def __init__(self):
        self.estimate = Estimate()
        self.estimate.changed = self._change
        self._start = self._drawn = time.monotonic()
        self._step = self.estimate.name
        display = import_module("IPython.display").display
        self._handle = display(self._picture(self._said), raw=True, display_id=True)

    @property
    def seconds(self):
        """The time since the beginning, as minutes and seconds."""
        return show_seconds(time.monotonic() - self._start)

    @property
    def _said(self):
        parts = (self.estimate.name, self.seconds, self.estimate.say_time_left())
        return ", ".join(part for part in parts if part)

    def _change(self):
        now = time.monotonic()
        if self.estimate.name == self._step and now - self._drawn < PAUSE:
            return
        self._step, self._drawn = self.estimate.name, now
        self._handle.update(self._picture(self._said), raw=True)

    def show(self, text):
        """Say something in place of how far it is."""
        self._handle.update({"text/plain": text, "text/html": html(text)}, raw=True)

    def _picture(self, text):
        bar = f'<progress max="1" value="{self.estimate.share:.3f}"></progress>'
        return {
            "text/plain": f"{100 * self.estimate.share:.0f} % {text}",
            "text/html": f"{bar} {html(text)}",
        }
