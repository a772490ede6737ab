"""The audit as a result of Python: to look at in a notebook, to write, and to compute with."""

from collections.abc import Mapping
from datetime import UTC, datetime
from os import PathLike, fspath
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_codex._checks.frames import as_frame
from sklearn_codex._layouts.given import ROLES, Given
from sklearn_codex._output import write_text
from sklearn_codex._plain import plain
from sklearn_codex._tables import as_columns
from sklearn_codex.report._audit_decision_words import decision_block
from sklearn_codex.report._audit_limits import MAX_PAIRS
from sklearn_codex.report._audit_notebook import shown_in_notebook
from sklearn_codex.report._audit_page import render
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report._audit_short import short_html, short_text
from sklearn_codex.report._audit_tables import tables_of
from sklearn_codex.report._json import finite
from sklearn_codex.report.audit import compute_audit

__all__ = ["PreferenceAudit", "audit_preferences"]

PAGES = (".html", ".htm")
SAID = (*ROLES, "convention")


class PreferenceAudit:
    """What an audit of preferences found; a notebook shows the verdict and the answers.

    Attributes
    ----------
    verdict : str
        "train", "fix these first", "do not train on this" or "cannot be decided".
    reason : str
        Why, in a sentence.
    answers : list of Bunch
        Each question with its `question`, `answer`, `word`, and the `tests` behind it by name.
    to_do : list of dict
        What could be dropped: `kind`, `n_rows`, `rows` (positions from 0), `where` and the
        `effect` on the accuracy on prompts never seen, or None where it cannot be told.
    figures : dict
        Every number that the sentences are made of, as ``audit.json`` of the command has them.
    """

    def __init__(self, figures: dict[str, Any]):
        self.figures = figures
        self._sections = audit_sections(figures)
        self._decision = decision_block(figures)
        self.verdict = figures["decision"]["verdict"]
        self.reason = self._decision.reason
        self.to_do = figures["to_do"]
        self.answers = [
            Bunch(
                question=section.question,
                word=section.word,
                answer=section.answer,
                tests={
                    name: figures["verdicts"][name]
                    for name in section.rests_on
                    if name in figures["verdicts"]
                },
            )
            for section in self._sections
        ]

    @property
    def frames(self) -> dict[str, Any]:
        """Data frames by name, such as "answers", "to_do", "tests", "models" or "form".

        Only those of which the data carry something; dicts of lists where pandas is not installed.
        """
        tables = {"answers": as_columns([_answer_row(answer) for answer in self.answers])}
        return {name: as_frame(table) for name, table in (tables | tables_of(self.figures)).items()}

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as numbers, text and lists, which can be written as JSON."""
        return finite(self.figures)

    def to_html(self, path: str | PathLike | None = None, *, overwrite: bool = False) -> str:
        """Return the whole page, one HTML document that needs nothing but itself.

        Parameters
        ----------
        path : str or path-like, default=None
            File to write it to, whose name ends in .html or .htm. None writes nothing.
        overwrite : bool, default=False
            Whether an existing file may be replaced.

        Returns
        -------
        html : str

        Raises
        ------
        ValueError
            If `path` has another ending.
        FileExistsError
            If there is such a file and `overwrite` is false.
        """
        if path is not None and not str(fspath(path)).lower().endswith(PAGES):
            raise ValueError(
                f"to_html writes a page, got path={plain(str(fspath(path)))!r}. End it in .html; "
                "to_dict has the figures and frames the tables."
            )
        html = render(self.figures, self._sections)
        if path is not None:
            write_text(path, html, overwrite=overwrite, subject="to_html")
        return html

    def __repr__(self):
        return short_text(self.figures, self._sections, self._decision)

    def _repr_html_(self):
        return short_html(self.figures, self._sections, self._decision)


def _answer_row(answer):
    return {"question": answer.question, "word": answer.word, "answer": answer.answer,
            "tests": ", ".join(answer.tests)}  # fmt: skip


def audit_preferences(
    data,
    *,
    split=None,
    slices=None,
    reference=None,
    embeddings=None,
    max_pairs=MAX_PAIRS,
    random_state=0,
    progress=True,
    **columns,
):
    """Tell whether to train on preference data, why, and what to mend first.

    What ``sklearn-codex audit`` prints and writes, as a result of Python.

    Parameters
    ----------
    data : str, path-like, DataFrame, list of dict, or Bunch
        As for :func:`~sklearn_codex.datasets.read_preferences`, or what it returned.
    split : str or path-like, default=None
        Column that names the part of each pair, such as "train" and "test", or a file of held-out
        pairs, to be searched for what stands on both sides. None means the column ``split``, if
        there is one.
    slices : list of str, default=None
        Columns whose values cut the pairs into kinds that are compared, such as ``["hardness",
        "model"]``; one of two columns of the two sides, such as model_a and model_b, and what they
        have in common, "model", stand for both. None means those of 2 to 20 values. A named column
        of more than 20 numbers is cut into quarters. Topics of prompts are compared in any case.
        What must not be torn apart by a split is `groups`, ``--by`` of the command.
    reference : list of str, default=None
        Texts that the policy to be trained writes; None means the responses.
    embeddings : array of shape (n_pairs, 2, d) or (2 n_pairs, d), ResponseIds or path, default=None
        Vectors of the responses, or the .npy file of them, as floats, to be asked whether they
        predict better than words do, alone and beside them. Both of the first row, then of the
        next, in the order in which the file has the two responses: chosen before rejected, or A
        before B. Of what ``read_preferences`` returned it is always A before B.
    max_pairs : int or None, default=20000
        Of more pairs than this, models learn from a sample of about so many, drawn by prompt; 0 and
        None mean all.
    random_state : int, default=0
        Reproduces every figure.
    progress : bool, default=True
        Whether the cell of a notebook shows how far it is. Elsewhere nothing is shown.
    **columns : str or list of str
        What columns hold, as for :func:`~sklearn_codex.datasets.read_preferences`: `prompt`,
        `chosen`, `rejected`, `response_a`, `response_b`, `label`, `response`, `weight`,
        `annotator`, `groups` and `convention`. `groups` names the column of what belongs together,
        such as the task that several prompts ask for, and takes the place of the prompts, similar
        ones joined, in all folds and intervals. Of what was read already, only `groups`.

    Returns
    -------
    audit : PreferenceAudit
        A notebook shows it; ``print`` it for the same in text. ``verdict``, ``reason``,
        ``answers``, ``to_do``, ``figures`` and ``frames`` have what it rests on, ``to_html`` writes
        the page and ``to_dict`` returns all of it.

    See Also
    --------
    check_preferences : The checks of the data alone, on arrays.
    sklearn_codex.datasets.read_preferences : How files and tables are read.

    Notes
    -----
    The verdict is the first rule that holds: nothing to learn or too few pairs; no model that can
    be told from a coin on prompts never seen; no prompts; labels against the scores in most pairs;
    a split of whose held-out pairs more than 1 % leak; nothing shown beyond length where one length
    wins; a model that follows length; more than 1 % of the labels wrong; rows without which the
    accuracy rises; one reason to drop 5 % of the pairs or more. Else it is "train".

    Each item of ``to_do`` is tried: the best model is fitted again without its rows, on the same
    folds, and both are judged on the same pairs of prompts that neither has seen. The items
    together are tested at the level of 5 %.

    Examples
    --------
    >>> from sklearn_codex import audit_preferences
    >>> from sklearn_codex.datasets import make_preferences
    >>> simulated = make_preferences(300, n_prompts=60, text=True, random_state=0)
    >>> rows = [
    ...     {"prompt": prompt, "response_a": a, "response_b": b, "label": label}
    ...     for (prompt, a, b), label in zip(simulated.X, simulated.y.tolist())
    ... ]
    >>> audit = audit_preferences(rows)
    >>> audit.verdict
    'train'
    >>> audit.answers[1].word, sorted(audit.answers[1].tests)
    ('yes', ['calibrated', 'more labels', 'predictable', 'words predict'])
    """
    given = _given(columns)
    if isinstance(data, Bunch):
        data = _regroup(data, given)
    seed = _check_seed(random_state)
    with shown_in_notebook(progress) as step:
        figures = compute_audit(
            data,
            given=given,
            split=split,
            slices=slices,
            reference=reference,
            embeddings=embeddings,
            max_pairs=max_pairs,
            seed=seed,
            step=step,
        )
    return PreferenceAudit(finite(figures) | {"date": now()})


def now():
    """Return the time to the second, as ISO 8601 has it, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _check_seed(random_state):
    if isinstance(random_state, (bool, np.bool_)) or not isinstance(
        random_state, (int, np.integer)
    ):
        raise TypeError(
            f"audit_preferences needs random_state as an integer, got {random_state!r}. One seed "
            "draws the folds, the sample and the halves, so that an audit can be repeated."
        )
    if not 0 <= random_state < 2**32:
        raise ValueError(
            f"audit_preferences needs random_state from 0 to 2**32 - 1, got {random_state}."
        )
    return int(random_state)


def _given(columns: Mapping[str, Any]) -> Given:
    unknown = [name for name in columns if name not in SAID]
    if unknown:
        raise TypeError(
            f"audit_preferences has no argument {unknown[0]!r}. Columns are given as "
            f"{', '.join(SAID)}."
        )
    return Given(**columns)


def _regroup(pairs, given):
    """Return pairs that were read already, kept together by a column of them if one is given."""
    said = [name for name, _ in given.said() if name != "groups"]
    if said:
        raise ValueError(
            f"audit_preferences got {said[0]}= for data that have been read already. Give it to "
            "read_preferences, or pass the path or the table."
        )
    if given.groups is None:
        return pairs
    if given.groups not in pairs.columns:
        raise ValueError(
            f"audit_preferences got groups={given.groups!r}, which is no column of the data. The "
            f"columns are {sorted(pairs.columns)}."
        )
    names = [repr(value) for value in pairs.columns[given.groups]]
    return Bunch(**{**pairs, "groups": np.unique(names, return_inverse=True)[1].reshape(-1)})
