"""Who speaks: the names that roles have in data, folded to four."""

from typing import NamedTuple

_NAMES = {
    "system": "system developer 系统",
    "user": "user human prompter question questioner 用户 人类",
    "assistant": "assistant gpt bot model chatbot chatgpt ai answer claude bard bing 助手",
    "tool": "tool function observation ipython function_response tool_response",
}

ROLES = {name: role for role, names in _NAMES.items() for name in names.split()}
"""The role that each name means."""


class Message(NamedTuple):
    """One turn: its role, folded, its text, and whether that holds reasoning from a field apart.

    The role is "" where nothing says whose turn it is.
    """

    role: str
    content: str
    reasoning: bool = False


def fold_role(name: str) -> str:
    """Return "system", "user", "assistant" or "tool" for all their names, else the name itself.

    Examples
    --------
    >>> from sklearn_codex._conversations.roles import fold_role
    >>> fold_role("Human"), fold_role("gpt"), fold_role("Critic")
    ('user', 'assistant', 'critic')
    """
    name = name.strip().casefold()
    return ROLES.get(name, name)
