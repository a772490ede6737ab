"""What could be dropped, and what that would change on prompts never seen."""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import GroupKFold

from sklearn_codex._reward.held_out import as_design
from sklearn_codex._verdicts import CROSS_FITTED, LEVEL, Judgement, judge_mean
from sklearn_codex.report._audit_data import cross_fit, weights_of
from sklearn_codex.report._audit_predict import credits, penalty_of
from sklearn_codex.report._audit_progress import within
from sklearn_codex.report._audit_sample import draw_rows

MOST_ITEMS = 6
MOST_PAIRS = 4000
"""Of more pairs than this, so many are drawn by prompt: each item is one more cross-fit."""
FEWEST_LEFT = 50
"""Of fewer pairs that stay nothing is said, as of data that are too few."""
INNER_FOLDS = 3
WRONG = "wrong labels"


@dataclass(frozen=True)
class Droppable:
    """Rows that could be dropped, for one reason.

    Parameters
    ----------
    kind : str
        The reason, such as "repeats".
    rows : ndarray of int
        Positions in the data, each once.
    names : str, default=""
        Of columns, where the reason is one of columns.
    """

    kind: str
    rows: np.ndarray
    names: str = ""


def find_droppable(report, scores=()):
    """Return what checks found that can be dropped, the most rows first, at most six.

    Parameters
    ----------
    report : PreferenceReport
        Of the pairs.
    scores : list of ScoreFinding, default=()
        Columns of scores, compared with the labels.
    """
    kinds = {
        "contradictions": report.contradictions,
        "repeats": report.duplicates,
        "identical": report.identical,
        "empty": report.empty,
        "truncated": report.truncated,
    }
    found = [(kind, table.row, "") for kind, table in kinds.items() if table is not None]
    wrong = report.wrong_labels
    if wrong is not None:
        found.append((WRONG, wrong.row[wrong.flagged], ""))
    for column in scores:
        names = " and ".join(name for name in (column.better, column.worse) if name)
        found.append(("scores", np.asarray(column.contradicting, dtype=np.intp), names))
    items = [Droppable(kind, np.unique(rows), names) for kind, rows, names in found if len(rows)]
    return sorted(items, key=lambda item: -item.rows.size)[:MOST_ITEMS]


def try_dropping(data, items, prediction, advance=lambda share: None):
    """Return what each item is about and what dropping its rows changes, in the order to do it.

    The best model is fitted again without the rows, by the same folds, and both are judged on the
    same pairs of prompts that neither has seen: those that stay. Labels that a model finds wrong
    are found anew without the prompts that are judged, and all labels are judged by, as they are.

    Parameters
    ----------
    data : AuditData
        The pairs that models learn from, which may be a sample.
    items : list of Droppable
        As from ``find_droppable``.
    prediction : dict
        As from ``predict``, of the same pairs.
    advance : callable, default=None
        Called with the share that is done.

    Returns
    -------
    to_do : list of dict
        ``kind``, ``names``, ``n_rows``, the first ``where``, and the ``effect``: None where it
        cannot be told, else the fields of a test of the difference in accuracy, at 5 % for all
        items together, and its ``verdict``: "raises", "lowers" or "not shown"; where no prediction
        changes there is no interval and no p-value. What raises the accuracy comes first, the most
        first, then the most rows, then what lowers it.
    """
    if not items:
        return []
    fitted = _Refits(data, prediction, LEVEL / len(items))
    to_do = []
    for position, item in enumerate(items):
        here = within(advance, position / len(items), (position + 1) / len(items))
        effect = fitted.without(item, here)
        to_do.append(describe_item(item) | {"effect": effect})
    return sorted(to_do, key=_order)


def describe_item(item):
    """Return an item as plain figures, its effect not known."""
    return {
        "kind": item.kind,
        "names": item.names,
        "n_rows": int(item.rows.size),
        "rows": item.rows.tolist(),
        "effect": None,
    }


def _order(item):
    effect = item["effect"]
    verdict = None if effect is None else effect["verdict"]
    rank = 1 if verdict is None else {"raises": 0, "lowers": 2}.get(verdict, 1)
    return rank, -effect["value"] if rank == 0 else 0.0, -item["n_rows"]


class _Refits:
    """Cross-fits of the best model, with all rows and without some."""

    def __init__(self, data, prediction, level):
        self._data, self._level = data, level
        best = prediction["best"]
        self._C = penalty_of(best, prediction["C_of_words"])
        self._D = as_design(
            {"length only": data.length, "words": data.words, "preset": data.preset}[best]
        )
        self._folds = _bounded_folds(data)
        self._judged = np.zeros(len(data.y), dtype=bool)
        self._judged[np.concatenate([test for _, test in self._folds])] = True
        self._with_all = self._fit()

    def _fit(self, choose=None, folds=None, advance=lambda share: None):
        return cross_fit(
            self._data,
            self._D,
            C=self._C,
            folds=self._folds if folds is None else folds,
            choose=choose,
            advance=advance,
        )

    def without(self, item, advance):
        """Return the test of what the accuracy changes, None where it cannot be told."""
        data = self._data
        is_dropped = np.isin(data.row_numbers, item.rows)
        learned = self._judged & data.decided
        n_dropped = int((is_dropped & learned).sum())
        if not n_dropped or int(learned.sum()) - n_dropped < FEWEST_LEFT:
            return None
        if item.kind == WRONG:
            share = n_dropped / int(learned.sum())
            rows, choose = learned, lambda train: self._drop_unlikely(train, share)
        else:
            rows, choose = learned & ~is_dropped, lambda train: train[~is_dropped[train]]
        margin = self._fit(choose, advance=advance)
        before, after = (credits(data.y, one)[rows] for one in (self._with_all, margin))
        n_changed = int((before != after).sum())
        test = judge_mean(
            after - before,
            data.groups[rows],
            bounds=(-1.0, 1.0),
            inflation=CROSS_FITTED,
            weights=weights_of(data, rows),
            level=self._level,
        )
        before, after = (
            float(np.average(one, weights=weights_of(data, rows))) for one in (before, after)
        )
        facts = {"before": before, "after": after, "n_changed": n_changed}
        told = {} if n_changed else dict.fromkeys(("low", "high", "p_value", "detectable"))
        return {"verdict": _verdict(test), **facts, **_plain(test), **told}

    def _drop_unlikely(self, train, share):
        """Return a training side without the labels that models of its other prompts deny most."""
        data = self._data
        n_folds = min(INNER_FOLDS, len(np.unique(data.groups[train])))
        splitter = GroupKFold(n_folds, shuffle=True, random_state=data.seed)
        sides = splitter.split(train, None, data.groups[train])
        folds = [(train[one], train[other]) for one, other in sides]
        margin = self._fit(folds=folds)[train]
        agreement = np.where(data.decided[train], np.sign(data.y[train] - 0.5) * margin, np.inf)
        n_dropped = min(round(share * int(data.decided[train].sum())), int((agreement < 0).sum()))
        order = np.argsort(agreement, kind="stable")
        return np.sort(train[order[n_dropped:]])


def _plain(test):
    return {name: value.item() if isinstance(value, np.generic) else value
            for name, value in test._asdict().items()}  # fmt: skip


def _verdict(test: Judgement):
    return "raises" if test.is_above else "lowers" if test.is_below else "not shown"


def _bounded_folds(data):
    """Return the folds, of some prompts only where there are very many pairs."""
    if len(data.y) <= MOST_PAIRS:
        return data.folds
    kept = np.zeros(len(data.y), dtype=bool)
    kept[draw_rows(data.groups, MOST_PAIRS, data.seed)[0]] = True
    return [(train[kept[train]], test[kept[test]]) for train, test in data.folds]
