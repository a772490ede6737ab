"""The audit as a command runs it: progress, the terminal, the page and the lists."""

import time
import webbrowser
from contextlib import contextmanager
from pathlib import Path

from sklearn_codex import __version__
from sklearn_codex._output import OwnFiles
from sklearn_codex._plain import plain
from sklearn_codex.report._audit_decision_words import decision_block
from sklearn_codex.report._audit_findings import FIGURES
from sklearn_codex.report._audit_limits import MAX_PAIRS
from sklearn_codex.report._audit_page import render
from sklearn_codex.report._audit_progress import Estimate
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report._audit_sections_reading import reading_blocks
from sklearn_codex.report._audit_short import short_lines
from sklearn_codex.report._audit_terminal import print_sections, print_short
from sklearn_codex.report._console import Console, rich_console
from sklearn_codex.report._csv import as_csv
from sklearn_codex.report._json import finite, json_text
from sklearn_codex.report._terminal import show
from sklearn_codex.report.audit import compute_audit
from sklearn_codex.report.preferences import now

LISTS = {
    "leakage": "split_leaks.csv",
    "labels_to_check": "labels_to_check.csv",
    "pairs_to_label": "pairs_to_label.csv",
}
ENDINGS = (".html", ".htm", ".json", ".jsonl", ".csv", ".pdf", ".gz")
# The page last, which leads to the others.
AUDIT = OwnFiles("audit", (*LISTS.values(), "audit.json", "report.html"), __version__)


def run_audit(
    source,
    *,
    name=None,
    given=None,
    groups=None,
    split=None,
    slices=None,
    reference=None,
    embeddings=None,
    max_pairs=MAX_PAIRS,
    inputs=None,
    out=None,
    force=False,
    as_json=False,
    full=False,
    open_page=False,
    seed=0,
    progress=True,
):
    """Audit preferences, show the answers and write them to a folder.

    Parameters
    ----------
    source : str or path-like
        File of preferences.
    name : str, default=None
        What the report calls it; None means the name of the file.
    given : Given, default=None
        What the caller says of columns and labels.
    groups : str, default=None
        Column of what belongs together, as ``given`` has it too.
    split : str or path-like, default=None
        Column that names the part of each pair, or file of held-out pairs; None means the column
        ``split``, if there is one.
    slices : list of str, default=None
        Columns whose values cut the pairs into kinds that are compared; None means those of few
        values.
    reference : list of str, default=None
        Texts of the policy to be trained; None means the responses.
    embeddings : path-like, default=None
        An .npy file of the vectors of the responses.
    max_pairs : int or None, default=20000
        About as many pairs are drawn for models to learn from where there are more; 0 and None mean
        all.
    inputs : mapping of str to path, default=None
        Files that are read, by what names them; none of them may be in the folder's files.
    out : path-like, default=None
        Folder to write to; None writes nothing.
    force : bool, default=False
        Whether to write to any existing folder, and replace files with the names of the report's
        that are not as an audit left them. Other files are left alone in any case.
    as_json : bool, default=False
        Whether to print the figures as JSON instead of the answers.
    full : bool, default=False
        Whether to show all that is on the page, instead of the verdict, the answers and what to do.
    open_page : bool, default=False
        Whether to open the page in a browser; needs ``out``.
    seed : int, default=0
        Reproduces every figure.
    progress : bool, default=True
        Whether to show a progress bar, on standard error.

    Returns
    -------
    audit : dict
        What ``audit.json`` holds.

    Raises
    ------
    FileExistsError
        If ``force`` is false and the folder holds something else than a report. Nothing has been
        computed then.
    """
    out = None if out is None else Path(out)
    if open_page and out is None:
        raise ValueError(
            "--open shows the page in the folder of --out, which is not given. Give it."
        )
    replaced = frozenset[str]() if out is None else _check_folder(out, inputs, force)
    console = None if as_json else Console()
    start = time.perf_counter()
    with _progress(progress) as step:
        audit = finite(
            compute_audit(
                source,
                given=given,
                groups=groups,
                split=split,
                slices=slices,
                reference=reference,
                embeddings=embeddings,
                max_pairs=max_pairs,
                seed=seed,
                step=step,
                place=name,
            )
        )
    audit |= {"source": name or audit["source"], "date": now()}
    sections = audit_sections(audit)
    audit["health"] = [{name: found[name] for name in FIGURES} for found in audit["health"]]
    if out is not None:
        # Before anything is shown: a reader who closes the pipe early keeps the report.
        _write(out, audit, sections, replaced)
    if console is None:
        show(json_text(audit, indent=2) + "\n")
        return audit
    _print(console, audit, sections, full)
    if out is not None:
        seconds = time.perf_counter() - start
        _tell_page(console, out / "report.html", seconds, open_page)
    return audit


def _print(console, audit, sections, full):
    """Print all that is on the page, or the answers alone."""
    if full:
        print_sections(console, sections, [decision_block(audit), *reading_blocks(audit)])
    else:
        print_short(console, short_lines(audit, sections, decision_block(audit)))


def _tell_page(console, path, seconds, open_page):
    """Say where the page is, and open it if that is wanted and can be done."""
    if open_page and webbrowser.open(path.resolve().as_uri()):
        console.line(f"Opened {path} ({seconds:.0f} s).")
    elif open_page:
        console.line(f"No browser was found: open {path} yourself ({seconds:.0f} s).")
    else:
        console.line(f"Wrote {path}, open it in a browser ({seconds:.0f} s).")


def _check_folder(out, inputs, force):
    """Return the files to replace in a folder; raise where it is called what a file would be."""
    if out.suffix.lower() in ENDINGS and not out.exists():
        raise ValueError(
            f"--out is a folder, got {plain(str(out))!r}, which ends as a file does. Name a "
            "folder; the page in it is report.html."
        )
    return AUDIT.check(out, inputs, force=force)


@contextmanager
def _progress(shown):
    """Yield what hears of the audit as it goes on, and shows how far it is."""
    if not shown:
        yield None
        return
    console = rich_console(stderr=True)
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    estimate = Estimate()

    class TimeLeft(ProgressColumn):
        def render(self, task):
            return Text(estimate.say_time_left())

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeLeft())
    # In a file a bar is noise.
    shown = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("read", total=1.0)

        def show():
            description = f"{estimate.name:22}"
            # A step that is over before the next frame is drawn is seen all the same.
            is_new = description != bar.tasks[task].description
            bar.update(task, description=description, completed=estimate.share, refresh=is_new)

        estimate.changed = show
        yield estimate


def _of_list(row):
    """Return a row for readers, who find it by its place in the file."""
    return {name: value for name, value in row.items() if name not in ("row", "other_row")}


def _write(out, audit, sections, replaced):
    lists = {
        file: audit[name]["rows"]
        for name, file in LISTS.items()
        if audit[name] is not None and audit[name]["rows"]
    }
    contents = {
        **{file: as_csv(list(map(_of_list, rows))) for file, rows in lists.items()},
        "audit.json": json_text(audit, indent=2) + "\n",
        "report.html": render(audit, sections, lists=lists),
    }
    AUDIT.write(
        out,
        {name: text.encode("utf-8", errors="backslashreplace") for name, text in contents.items()},
        replaced,
    )
