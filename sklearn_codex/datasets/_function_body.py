"""The source of one function body, with its syntax tree and exact character positions."""

import ast
import re
import warnings
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import NamedTuple

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FORMATTED_STRINGS: tuple[type[ast.expr], ...] = tuple(
    getattr(ast, name) for name in ("JoinedStr", "TemplateStr") if hasattr(ast, name)
)
Located = ast.stmt | ast.expr | ast.ExceptHandler


def parse(text: str) -> ast.Module:
    """Parse code without the warnings that old sources give, such as invalid escape sequences."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


class Edit(NamedTuple):
    """Replace the characters from `start` up to `end` by `text`."""

    start: int
    end: int
    text: str


class FunctionBody:
    """A dedented function body that can be edited in place.

    Parameters
    ----------
    text : str
        The statements of the body, at no indentation.
    parameters : collection of str, default=()
        The names of the parameters of the function, which are local variables from the start.
    """

    def __init__(self, text: str, parameters: Collection[str] = ()) -> None:
        self.text = text.rstrip()
        self.parameters = frozenset(parameters)
        self.tree = parse(self.text)
        self._lines = self.text.split("\n")
        self._line_starts = [0]
        for line in self._lines:
            self._line_starts.append(self._line_starts[-1] + len(line) + 1)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes with reliable positions: Python 3.11 misplaces those inside f-strings."""
        found: list[ast.AST] = list(self.tree.body)
        for node in found:
            if not isinstance(node, FORMATTED_STRINGS):
                found.extend(ast.iter_child_nodes(node))
        return found

    @cached_property
    def blocks(self) -> list[list[ast.stmt]]:
        """The statement lists of the function itself, without those of inner scopes."""
        found = [self.tree.body]
        for block in found:
            for statement in block:
                found.extend(_inner_blocks(statement))
        return found

    @property
    def statements(self) -> list[ast.stmt]:
        """The statements of `blocks`, in the order of the blocks."""
        return [statement for block in self.blocks for statement in block]

    @cached_property
    def words(self) -> frozenset[str]:
        """The parameters and every word of the body, those of comments and strings included."""
        return self.parameters | frozenset(re.findall(r"[^\W\d]\w*", self.text))

    @cached_property
    def local_names(self) -> list[str]:
        """Variables bound by an assignment of this body whose every use is a plain name."""
        targets = [t for s in self.statements if isinstance(s, ast.Assign) for t in s.targets]
        names = dict.fromkeys(target.id for target in targets if isinstance(target, ast.Name))
        return [name for name in names if name not in self.parameters | self._pinned_names()]

    def _pinned_names(self) -> frozenset[str]:
        """Names bound or used where a rename of `Name` nodes does not reach."""
        pinned: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.AnnAssign, *FORMATTED_STRINGS)):
                pinned.update(n.id for n in ast.walk(node) if isinstance(n, ast.Name))
            elif isinstance(node, ast.alias):
                pinned.add((node.asname or node.name).partition(".")[0])
            elif isinstance(node, (ast.Global, ast.Nonlocal)):
                pinned.update(node.names)
            else:
                values = (getattr(node, field, None) for field in ("name", "arg", "rest"))
                pinned.update(value for value in values if isinstance(value, str))
        return frozenset(pinned)

    def span(self, node: Located) -> tuple[int, int]:
        """Return the first and the one-past-last character of a node."""
        end = self._position(node.end_lineno or 0, node.end_col_offset or 0)
        return self._position(node.lineno, node.col_offset), end

    def _position(self, line: int, byte_column: int) -> int:
        """Turn a line and a column of the syntax tree, which counts UTF-8 bytes, to characters."""
        before = self._lines[line - 1].encode()[:byte_column]
        return self._line_starts[line - 1] + len(before.decode())

    def line_span(self, statement: ast.stmt) -> tuple[int, int] | None:
        """Return the span of the whole lines of a statement, None where it shares one of them."""
        start, end = self.span(statement)
        line_start = self.text.rfind("\n", 0, start) + 1
        line_end = (self.text + "\n").index("\n", end)
        rest = self.text[end:line_end].strip()
        if self.text[line_start:start].strip() or (rest and not rest.startswith("#")):
            return None
        return line_start, line_end

    def source(self, node: Located) -> str:
        """Return the characters of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def edited(self, edits: list[Edit]) -> str:
        """Return the text after edits that do not overlap."""
        text = self.text
        for edit in sorted(edits, reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        return text.rstrip()


def _inner_blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    if isinstance(statement, SCOPES):
        return
    for field in ("body", "orelse", "finalbody"):
        if block := getattr(statement, field, None):
            yield block
    for part in getattr(statement, "handlers", getattr(statement, "cases", ())):
        yield part.body
