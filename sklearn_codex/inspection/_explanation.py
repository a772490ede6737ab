"""What is preferred, in words: the result of ``explain_reward``, to read and to draw."""

from html import escape
from typing import Any

import numpy as np

from sklearn_codex._checks.frames import as_frame
from sklearn_codex._checks.options import check_option
from sklearn_codex._plain import plain
from sklearn_codex._tables import Table, as_plain
from sklearn_codex.inspection._plotting import (
    BLUE,
    GREY,
    check_axes,
    finish,
    merge_style,
)

TABLES = {
    "directions": (
        "direction", "name", "effect", "std", "low", "high", "p_value", "adjusted", "is_sure",
        "reward_effect",
    ),
    "words": ("direction", "side", "word", "correlation", "p_value", "is_sure"),
    "pairs": ("direction", "prompt", "more", "less", "score", "preferred", "row"),
    "shares": ("part", "share", "low", "high"),
}  # fmt: skip
LONGEST_TEXT = 160
LONGEST_NAME = 40
UNITS = {
    "P(preferred)": "Preferred more often, points per standard deviation",
    "nats": "Reward margin, nats per standard deviation",
}


class RewardExplanation:
    """What a reward of vectors prefers; ``print`` it, a notebook shows it as a page.

    Made by :func:`explain_reward`.

    Attributes
    ----------
    directions : Table
        A row a direction, the surest first: ``direction`` (number of it), ``name``, the ``effect``
        of one standard deviation more of it, its standard error ``std`` and the ends ``low`` and
        ``high`` of its 95% interval by prompt, ``p_value``, ``adjusted`` for all directions,
        ``is_sure``, and ``reward_effect``, what the reward adds for it in nats.
    words : Table
        A row a word of a direction: ``direction``, ``side`` ("more" or "less"), ``word``,
        ``correlation``, ``p_value`` (adjusted for all words of the direction) and ``is_sure``.
    pairs : Table
        A row a pair: ``direction``, ``prompt``, the responses with ``more`` and with ``less`` of
        it, ``score`` (standard deviations between them), ``preferred``, the probability that the
        first is, None without labels, and ``row``, the position of the pair.
    shares : Table
        ``part`` ("form", "words", "words and form" or "directions"), the ``share`` of the reward
        that it explains on held-out prompts, and the ends ``low`` and ``high`` of its 95% interval.
        Below 0 is worse than no regression.
    components : ndarray of shape (n_directions, d)
        The directions, in the order of their numbers: a difference of vectors times one is its
        score, before it is scaled and clipped.
    level : float
        False discovery rate of what is sure.
    unit : {"P(preferred)", "nats"}
        Of effects: by how much more often than one half a response is preferred, or its margin.
    n_prompts : tuple of int
        Prompts that were learned from, and prompts that judged.
    ax_, figure_ : Axes and Figure
        Once drawn.
    """

    def __init__(
        self, *, directions, words, pairs, shares, components, level, unit, n_prompts
    ):  # fmt: skip
        self.directions = directions
        self.words = words
        self.pairs = pairs
        self.shares = shares
        self.components = components
        self.level = level
        self.unit = unit
        self.n_prompts = n_prompts

    @classmethod
    def of(cls, judged, described, shares, *, level, **options):
        """Return the explanation of what was found, as lists of dict by direction."""
        order = np.argsort([found["p_value"] for found in judged], kind="stable").tolist()
        rows = [
            {
                "direction": place,
                "name": described[place]["name"],
                **judged[place],
                "is_sure": judged[place]["adjusted"] <= level,
            }
            for place in order
        ]
        words = [
            {"direction": place, "side": side, **word}
            for place in order
            for side in ("more", "less")
            for word in described[place][side]
        ]
        pairs = [
            {"direction": place, **pair} for place in order for pair in described[place]["pairs"]
        ]
        tables = zip(TABLES, (rows, words, pairs, shares), strict=True)
        made = {name: _table(table, TABLES[name]) for name, table in tables}
        return cls(**made, level=level, **options)

    def to_frame(self, name="directions"):
        """Return a table as a data frame.

        Parameters
        ----------
        name : {"directions", "words", "pairs", "shares"}, default="directions"
            Which.

        Returns
        -------
        frame : pandas.DataFrame, or dict of list
            The latter where pandas is not installed.
        """
        check_option(name, TABLES, "the name of a table", subject="to_frame")
        return as_frame(getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as numbers, text and lists, which JSON can hold."""
        names = (*TABLES, "components", "level", "unit", "n_prompts")
        return {name: as_plain(getattr(self, name)) for name in names}

    def plot(self, ax=None, *, name=None, errorbar_kw=None):
        """Draw the effect of each direction with its 95% interval, the surest on top.

        Parameters
        ----------
        ax : Axes, default=None
            Where to draw; None means a new figure, as high as the directions need.
        name : str, default=None
            Title.
        errorbar_kw : dict, default=None
            Keywords of the intervals.

        Returns
        -------
        explanation : RewardExplanation
            With ``ax_`` and ``figure_``. Effects that are sure have full marks.
        """
        n = len(self.directions.name)
        ax = check_axes(ax, f"{type(self).__name__}.plot", height=1.2 + 0.28 * max(n, 4))
        scale = 100.0 if self.unit == "P(preferred)" else 1.0
        effect, low, high = (
            scale * np.asarray(self.directions[key], dtype=float)
            for key in ("effect", "low", "high")
        )
        ends = np.clip([low, high], *_limits(effect, low, high))
        for sure, label in ((True, "sure"), (False, "may be chance")):
            rows = np.flatnonzero(np.asarray(self.directions.is_sure, dtype=bool) == sure)
            color = BLUE if sure else GREY
            style = {"fmt": "o", "color": color, "capsize": 2, "label": label}
            style["markerfacecolor"] = color if sure else "white"
            if rows.size:
                lengths = [effect[rows] - ends[0, rows], ends[1, rows] - effect[rows]]
                style = {**style, **merge_style({}, errorbar_kw)}
                ax.errorbar(effect[rows], rows, xerr=np.maximum(lengths, 0.0), **style)
        ax.set_yticks(np.arange(n), [_cut(title, LONGEST_NAME) for title in self.directions.name])
        for tick in ax.get_yticklabels():
            tick.set(parse_math=False, fontsize="small")
        ax.set_ylim(n - 0.4, -0.6)
        ax.axvline(0, color=GREY, linewidth=0.8)
        finish(ax, xlabel=UNITS[self.unit])
        ax.grid(visible=False, axis="y")
        if name is not None:
            ax.set_title(name, fontsize="medium")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def __str__(self):
        lines = [self._title(), ""]
        for row in self._sure() or range(min(3, len(self.directions.name))):
            lines += self._say(row)
        return "\n".join([*lines, "", *self._say_shares()])

    __repr__ = __str__

    def _repr_html_(self):
        head = ("", "effect, 95% interval", "more of it", "less of it")
        cells = "".join(f'<th style="text-align:left">{cell}</th>' for cell in head)
        rows = "".join(self._html_row(row) for row in range(len(self.directions.name)))
        shares = "".join(f"<li>{escape(line.strip())}</li>" for line in self._say_shares()[1:])
        return (
            f"<p><b>{escape(self._title())}</b></p><table><thead><tr>{cells}</tr></thead>"
            f"<tbody>{rows}</tbody></table>{self._html_pairs()}"
            f"<p>{escape(self._say_shares()[0])}</p><ul>{shares}</ul>"
        )

    def _title(self):
        n_sure, n = len(self._sure()), len(self.directions.name)
        whose = "a preference" if self.unit == "P(preferred)" else "an effect on the reward"
        verb = "has" if n_sure == 1 else "have"
        return (
            f"{n_sure} of {n} directions {verb} {whose} beyond chance (false discovery rate "
            f"{self.level:.0%}, judged on {self.n_prompts[1]:,} prompts; {self.n_prompts[0]:,} "
            "others gave the directions)"
        )

    def _sure(self):
        return np.flatnonzero(self.directions.is_sure).tolist()

    def _say(self, row):
        """Return a direction in lines."""
        words = self._words_of(self.directions.direction[row])
        said = [f"{_cut(self.directions.name[row], LONGEST_TEXT)}: {self._effect(row)}"]
        for side in ("more", "less"):
            if words[side]:
                said.append(f"    {side}: {', '.join(words[side])}")
        return said

    def _effect(self, row):
        effect, low, high = (self.directions[key][row] for key in ("effect", "low", "high"))
        if self.unit == "nats":
            text = f"{effect:+.2f} nats ({low:+.2f} to {high:+.2f})"
        else:
            text = f"{100 * effect:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
        return text if self.directions.is_sure[row] else f"{text}, may be chance"

    def _words_of(self, direction):
        """Return the words of both sides, those that may be chance with a question mark."""
        table = self.words
        found: dict[str, list[str]] = {"more": [], "less": []}
        for place, number in enumerate(table.direction):
            if number == direction:
                mark = "" if table.is_sure[place] else "?"
                found[table.side[place]].append(f"{plain(table.word[place])}{mark}")
        return found

    def _say_shares(self):
        head = f"Share of the reward explained on {self.n_prompts[1]:,} prompts not learned from:"
        table = self.shares
        return [
            head,
            *(
                f"    {part}: {100 * share:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
                for part, share, low, high in zip(
                    table.part, table.share, table.low, table.high, strict=True
                )
            ),
        ]

    def _html_row(self, row):
        words = self._words_of(self.directions.direction[row])
        weight = "bold" if self.directions.is_sure[row] else "normal"
        cells = [
            _cut(self.directions.name[row], LONGEST_TEXT),
            self._effect(row),
            ", ".join(words["more"]),
            ", ".join(words["less"]),
        ]
        begin = f'<td style="text-align:left;font-weight:{weight}">'
        return f"<tr>{''.join(f'{begin}{escape(cell)}</td>' for cell in cells)}</tr>"

    def _html_pairs(self):
        """Return the pairs of the directions that are sure, folded."""
        parts = []
        for row in self._sure():
            number, items = self.directions.direction[row], []
            for place, of in enumerate(self.pairs.direction):
                if of == number:
                    more, less = (
                        _cut(self.pairs[s][place], LONGEST_TEXT) for s in ("more", "less")
                    )
                    items.append(
                        f"<li><b>more:</b> {escape(more)}<br><b>less:</b> {escape(less)}</li>"
                    )
            title = escape(_cut(self.directions.name[row], LONGEST_TEXT))
            parts.append(f"<details><summary>{title}</summary><ul>{''.join(items)}</ul></details>")
        return "".join(parts)


def _limits(effect, low, high):
    """Return how far intervals are drawn, where some have no end."""
    ends = np.concatenate([effect, low[np.isfinite(low)], high[np.isfinite(high)], [0.0]])
    reach = float(np.ptp(ends)) or 1.0
    return ends.min() - 0.1 * reach, ends.max() + 0.1 * reach


def _cut(text, longest):
    text = plain(text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _table(rows, names):
    """Return rows as a Table, numbers and truth values as arrays."""
    numeric = (int, float, np.integer, np.floating, np.bool_)  # also bool, which is an int
    columns = {name: [row[name] for row in rows] for name in names}
    return Table(
        **{
            name: np.array(values)
            if values and all(isinstance(value, numeric) for value in values)
            else values
            for name, values in columns.items()
        }
    )
