"""The one way in which conversations are written as text, whatever they were read from."""

from collections.abc import Sequence

from sklearn_codex._conversations.roles import Message


def write_prompt(messages: Sequence[Message]) -> str:
    r"""Return a prompt as text: one user turn is its content, several turns have their roles.

    Examples
    --------
    >>> from sklearn_codex._conversations.roles import Message
    >>> from sklearn_codex._conversations.template import write_prompt
    >>> write_prompt([Message("user", "Hi ")])
    'Hi'
    >>> write_prompt([Message("system", "Be brief."), Message("user", "Hi")])
    'System: Be brief.\n\nUser: Hi'
    """
    if len(messages) == 1 and messages[0].role in ("user", ""):
        return messages[0].content.strip()
    return "\n\n".join(map(write_turn, messages))


def write_response(messages: Sequence[Message]) -> str:
    r"""Return a response as text: its first turn without the role of the assistant, others with.

    A single turn is its content, whoever speaks.

    Examples
    --------
    >>> from sklearn_codex._conversations.roles import Message
    >>> from sklearn_codex._conversations.template import write_response
    >>> write_response([Message("assistant", "Yes?"), Message("user", "No.")])
    'Yes?\n\nUser: No.'
    """
    if len(messages) == 1 or (messages and messages[0].role in ("assistant", "")):
        turns = [messages[0].content.strip(), *map(write_turn, messages[1:])]
        return "\n\n".join(turns).strip()
    return "\n\n".join(map(write_turn, messages))


def join_input(instruction: str, given: str | None) -> str:
    r"""Return an instruction and its input, joined by a newline.

    Examples
    --------
    >>> from sklearn_codex._conversations.template import join_input
    >>> join_input("Translate.", "Bonjour"), join_input("Translate.", " ")
    ('Translate.\nBonjour', 'Translate.')
    """
    if given is None or not given.strip():
        return instruction
    return f"{instruction.strip()}\n{given.strip()}" if instruction.strip() else given


def write_turn(message: Message) -> str:
    """Return a turn with its role."""
    role = message.role or "user"
    return f"{role[:1].upper()}{role[1:]}: {message.content.strip()}".rstrip()
