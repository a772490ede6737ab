"""Trees of messages, whose sibling replies are ranked, such as those of OpenAssistant."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from sklearn_codex._checks.frames import is_missing
from sklearn_codex._layouts.base import Columns, Comparison, Layout, fold, fold_all
from sklearn_codex._layouts.cells import as_number, decode, present
from sklearn_codex._layouts.given import Given
from sklearn_codex._layouts.pairs import find_pairs
from sklearn_codex._layouts.ranking import Candidate, counted, oriented_form, plural, rank_pairs
from sklearn_codex._layouts.scores import Score, asks_for_columns, names_score, pick_score

Row = Mapping[str, Any]
IDS = ("message_id", "comment_id", "post_id", "node_id", "id")
PARENTS = ("parent_id", "parent_message_id", "parent", "reply_to", "in_reply_to")
TEXTS = ("text", "body", "content", "message")
REPLIES = ("replies", "children")
_ROLES = {"prompter": "user", "human": "user", "gpt": "assistant", "bot": "assistant"}


class _Message(NamedTuple):
    id: str
    parent: str | None
    key: str  # of the text
    text: Any
    role: str | None
    rank: float | None  # the greater, the better
    deleted: bool
    where: str
    row: Row


class _Keys(NamedTuple):
    """What the parts of a message are called, as they are in the file; "" for one there is not."""

    id: str
    parent: str
    text: str
    role: str
    deleted: str
    score: Score | None

    @property
    def used(self) -> frozenset[str]:
        """The names."""
        names = {self.id, self.parent, self.text, self.role, self.deleted}
        return frozenset(names | ({self.score.name} if self.score else set())) - {""}

    def read(self, row: Row, where: str, parent: str | None) -> _Message:
        """Return the message of a row, or of a node of a tree."""
        text = row.get(self.text)
        if is_missing(text):
            raise ValueError(f"{where} has no {self.text}. Fill it in, or leave the message out.")
        score = None
        if self.score is not None:
            score = as_number(row.get(self.score.name), self.score.name, where)
            score = None if score is None else self.score.sign * score
        role = row.get(self.role) if self.role else None
        return _Message(
            _as_id(row.get(self.id, "")),
            parent,
            self.text,
            text,
            None if is_missing(role) else _ROLES.get(fold(role), fold(role)),
            score,
            fold(row.get(self.deleted, "")) in ("true", "1", "1.0") if self.deleted else False,
            where,
            row,
        )


def _as_id(value: Any) -> str:
    """Return an id as text; a column of whole numbers of which one is missing has floats."""
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value)


def _find_keys(names: Columns, given: Given, where: str) -> _Keys:
    def first(candidates: Iterable[str]) -> str:
        return next((names[name] for name in candidates if name in names), "")

    asked = given.label is not None or any(names_score(name) for name in names)
    score = pick_score(names.values(), given, where) if asked else None
    return _Keys(
        first(IDS), first(PARENTS), first(TEXTS), first(("role",)), first(("deleted",)), score
    )


class _Forest:
    """Messages, and what they became."""

    def __init__(self) -> None:
        self.messages: dict[str, _Message] = {}
        self.n_deleted = self.n_orphans = self.n_unranked = self.n_rankings = self.n_pairs = 0
        self.n_ties = 0

    def add(self, message: _Message) -> None:
        """Add a message, once."""
        known = self.messages.setdefault(message.id, message)
        if known is not message:
            raise ValueError(
                f"{message.where} has the same id as {known.where.rsplit(', ', 1)[-1]}: "
                f"{message.id!r:.60}. Keep one of them."
            )

    def pairs(self) -> Iterator[Comparison]:
        """Generate the pairs of sibling replies."""
        siblings: dict[str, list[_Message]] = defaultdict(list)
        for message in self.messages.values():
            if message.parent is not None:
                siblings[message.parent].append(message)
        rooted = self._rooted()
        for parent, replies in siblings.items():
            if parent not in rooted:
                self.n_orphans += len(replies)
            elif self.messages[parent].role != "assistant" or replies[0].role is None:
                yield from self._compare(parent, replies)

    def _compare(self, parent: str, replies: list[_Message]) -> Iterator[Comparison]:
        kept = [reply for reply in replies if not reply.deleted]
        self.n_deleted += len(replies) - len(kept)
        ranked = [reply for reply in kept if reply.rank is not None]
        if len(kept) > 1:
            self.n_unranked += len(kept) - len(ranked)
        if len(ranked) < 2:
            return
        self.n_rankings += 1
        path = self._path(parent)
        by_name = {f"{reply.id}": reply for reply in ranked}
        candidates = [
            Candidate(reply.id, _turn(reply, len(path)), float(reply.rank or 0)) for reply in ranked
        ]
        for pair in rank_pairs(candidates, path, ranked[0].where):
            first, second = by_name[pair.form.first], by_name[pair.form.second]
            self.n_pairs += 1
            self.n_ties += pair.label == 0.5
            where = first.where
            if second.where != where:
                where = f"{where} with {second.where.rsplit(', ', 1)[-1].rsplit(': ', 1)[-1]}"
            form = oriented_form(first.key, second.key)
            yield pair._replace(form=form, where=where, row=first.row)

    def _rooted(self) -> set[str]:
        """Return the ids of messages whose root is there.

        Raises
        ------
        ValueError
            If a message is above itself.
        """
        rooted: dict[str | None, bool] = {None: True}
        for start in self.messages:
            climbed: dict[str, None] = {}
            at: str | None = start
            while at not in rooted and at in self.messages:
                if at in climbed:
                    raise ValueError(
                        f"{self.messages[at].where} is a reply to itself: "
                        f"{' -> '.join([*list(climbed)[:4], at])}. Correct the ids of the parents."
                    )
                climbed[at] = None
                at = self.messages[at].parent
            rooted.update(dict.fromkeys(climbed, rooted.get(at, False)))
        return {at for at, known in rooted.items() if known and at is not None}

    def _path(self, at: str | None) -> list[dict[str, Any]]:
        """Return the turns from the root to a message."""
        above = []
        while at is not None:
            above.append(self.messages[at])
            at = above[-1].parent
        return [_turn(message, depth) for depth, message in enumerate(reversed(above))]

    def notes(self) -> list[str]:
        """Return what to say of how messages became pairs."""
        places, messages = plural(self.n_rankings, "place"), plural(len(self.messages), "message")
        notes = [
            f"{places} among {messages} with several ranked replies became "
            f"{plural(self.n_pairs, 'pair')}; those of one place weigh 1 together. The prompt of a "
            "pair is the conversation above it."
        ]
        if not self.n_rankings:
            notes = [f"No message of {len(self.messages):,} has two replies with a rank."]
        return notes + counted(
            ("Ties, of equal ratings", self.n_ties, "pair"),
            ("Left out, deleted", self.n_deleted, "reply"),
            ("Left out, without a rank beside others", self.n_unranked, "reply"),
            ("Left out, below a message that is not there", self.n_orphans, "reply"),
        )


def _turn(message: _Message, depth: int) -> dict[str, Any]:
    role = message.role or ("assistant" if depth % 2 else "user")
    return {"role": role, "content": message.text}


class TreeLayout(Layout):
    """Messages as rows, each with the id of the one it replies to, or trees as rows.

    Parameters
    ----------
    name : str
        As in :class:`Layout`.
    used : frozenset of str
        The columns of a message that are read.
    root : str
        The column of the first message of a tree, "" where rows are messages.
    given : Given
        What the caller says, of which the label is the rank or the score.
    """

    across_rows = True

    def __init__(self, name: str, used: frozenset[str], root: str, given: Given):
        super().__init__(name, used)
        self.root, self.given = root, given
        self.forest = _Forest()
        self._known: dict[tuple, _Keys] = {}  # messages need not all have the same keys

    def covers(self, other: Layout) -> bool:
        """Return whether both read messages, or trees in the same column."""
        return isinstance(other, TreeLayout) and self.root == other.root

    def _keys_of(self, message: Row, where: str) -> _Keys:
        found = tuple(message)
        if found not in self._known:
            self._known[found] = _find_keys(fold_all(found), self.given, where)
        return self._known[found]

    def read(self, row: Row, where: str) -> Iterable[Comparison]:
        """Keep the messages of a row until all are known."""
        if self.root:
            self._read_tree(row, where)
            return ()
        keys = self._keys_of(row, where)
        parent = row.get(keys.parent)
        parent = None if is_missing(parent) or parent in ("", "None", "null") else _as_id(parent)
        if is_missing(row.get(keys.id)):
            raise ValueError(f"{where} has no {keys.id or 'id'}. Every message needs one.")
        self.forest.add(keys.read(row, where, parent))
        return ()

    def _read_tree(self, row: Row, where: str) -> None:
        n_before = len(self.forest.messages)
        stack: list[tuple[Any, str | None]] = [(decode(row.get(self.root)), None)]
        while stack:
            node, parent = stack.pop()
            if not isinstance(node, Mapping):
                raise ValueError(
                    f"{where} has {node!r:.60} in its tree, which is no message. Write a dict with "
                    "text and replies."
                )
            node = present(node)
            keys = self._keys_of(node, where)
            message = keys.read(node, where, parent)
            number = f"{where}, message {len(self.forest.messages) - n_before}"
            message = message._replace(id=_as_id(node.get(keys.id, number)), row=row)
            self.forest.add(message)
            replies = next((key for key in node if fold(key) in REPLIES), None)
            children = decode(node[replies]) if replies else []
            if not isinstance(children, list):
                raise ValueError(
                    f"{where} has {replies} = {children!r:.60}. Write a list of messages."
                )
            stack.extend((decode(child), message.id) for child in reversed(children))

    def finish(self) -> Iterator[Comparison]:
        """Generate the pairs of all trees."""
        if self.forest.messages:
            yield from self.forest.pairs()
            self.notes.extend(self.forest.notes())


def find_tree(columns: Columns, row: Row, given: Given, where: str) -> Layout | None:
    """Return the layout of messages or trees as rows."""
    if asks_for_columns(given) or find_pairs(columns):
        return None
    for name, column in columns.items():
        if _is_tree(decode(row[column])):
            known = "OpenAssistant trees" if name == "prompt" else f"trees of messages in {column}"
            return TreeLayout(known, frozenset({column}), column, given)
    names = fold_all(row)  # also without a value: the first message has no parent
    is_known = {"message_id", "text", "role"} <= names.keys()
    if not is_known and any(names.keys().isdisjoint(part) for part in (IDS, PARENTS, TEXTS)):
        return None
    keys = _find_keys(names, given, where)
    if not is_known and keys.score is None:
        return None
    known = "OpenAssistant messages" if is_known else "messages with parents"
    return TreeLayout(known, keys.used, "", given)


def _is_tree(node: Any) -> bool:
    names = {fold(key) for key in node} if isinstance(node, Mapping) else set()
    return not names.isdisjoint(REPLIES) and not names.isdisjoint(TEXTS)


FINDERS: tuple[Callable, ...] = (find_tree,)
