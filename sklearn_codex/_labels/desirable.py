"""What a label says of one response alone: that it is desirable, or that it is not."""

from typing import Any

from sklearn_codex._labels.conventions import NO, YES

_YES = frozenset((
    *YES, "true", "1", "1.0", "desirable", "good", "chosen", "accepted", "preferred",
    "positive", "pos", "up", "like", "liked", "thumbs_up", "thumbsup", "👍", "upvote", "correct",
    "accept", "acceptable", "approve", "approved", "helpful", "safe", "keep", "pass", "passed"
))  # fmt: skip
_NO = frozenset((
    *NO, "false", "0", "0.0", "-1", "-1.0", "undesirable", "bad", "rejected",
    "negative", "neg", "down", "dislike", "disliked", "thumbs_down", "thumbsdown", "👎",
    "downvote", "incorrect", "wrong",
    "reject", "unacceptable", "disapprove", "disapproved", "unhelpful", "unsafe", "discard", "fail",
    "failed"
))  # fmt: skip


def says_desirable(label: Any) -> bool | None:
    """Return what a label says of a response, None where it says neither.

    Examples
    --------
    >>> from sklearn_codex._labels.desirable import says_desirable
    >>> says_desirable("Thumbs up"), says_desirable(0), says_desirable("maybe")
    (True, False, None)
    """
    said = "_".join(str(label).casefold().split())
    return True if said in _YES else False if said in _NO else None
