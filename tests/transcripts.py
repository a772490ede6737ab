"""Conversations written in every notation of transcripts, and as lists of every kind."""

import json

import numpy as np
from hypothesis import strategies as st

from sklearn_codex._conversations.roles import Message

TURN_TEXT = st.text(
    alphabet=st.sampled_from("abcXYZ 019.,!?'\"\n\\{}()你好é🙂"), min_size=1, max_size=25
).filter(lambda text: text.strip() == text)


@st.composite
def conversations(draw, system=None, answered=True):
    """Draw a system turn or none, and turns of user and assistant; the last is of either."""
    system = draw(st.booleans()) if system is None else system
    turns = [Message("system", draw(TURN_TEXT))] if system else []
    for _ in range(draw(st.integers(1, 3))):
        turns += [Message("user", draw(TURN_TEXT)), Message("assistant", draw(TURN_TEXT))]
    return turns if answered else turns[:-1]


def tokens(start, end, names=None):
    """Return a writer of turns between tokens."""

    def write(turns, ask):
        names_ = names or {}
        text = "".join(
            start.format(names_.get(turn.role, turn.role)) + turn.content + end for turn in turns
        )
        return text + start.format(names_.get("assistant", "assistant")) if ask else text

    return write


def words(user, assistant, join="\n\n", lead="", system="System"):
    """Return a writer of turns behind names."""
    names = {"user": user, "assistant": assistant, "system": system}

    def write(turns, ask):
        text = lead + join.join(f"{names[turn.role]}: {turn.content}" for turn in turns)
        return f"{text}{join}{assistant}:" if ask else text

    return write


def write_llama2(turns, ask):
    text, system = "", ""
    for turn in turns:
        if turn.role == "system":
            system = f"<<SYS>>\n{turn.content}\n<</SYS>>\n\n"
        elif turn.role == "user":
            text += f"<s>[INST] {system}{turn.content} [/INST]"
            system = ""
        else:
            text += f" {turn.content} </s>"
    return text


def write_mistral(turns, ask):
    marks = {"system": "[SYSTEM_PROMPT]{}[/SYSTEM_PROMPT]", "user": "[INST]{}[/INST]"}
    return "<s>" + "".join(marks.get(t.role, "{}</s>").format(t.content) for t in turns)


def write_deepseek(turns, ask):
    marks = {
        "system": "{}",
        "user": "<\uff5cUser\uff5c>{}",
        "assistant": "<\uff5cAssistant\uff5c>{}<\uff5cend▁of▁sentence\uff5c>",
    }
    text = "".join(marks[turn.role].format(turn.content) for turn in turns)
    return "<\uff5cbegin▁of▁sentence\uff5c>" + text + ("<\uff5cAssistant\uff5c>" if ask else "")


def write_guanaco(turns, ask):
    return words("### Human", "### Assistant", "", system="### System")(turns, ask)


def write_vicuna(turns, ask):
    return words("USER", "ASSISTANT", " ", system="SYSTEM")(turns, ask)


CHATML = tokens("<|im_start|>{}\n", "<|im_end|>\n")

WRITERS = {
    "ChatML": CHATML,
    "ChatML of Phi 4": tokens("<|im_start|>{}<|im_sep|>", "<|im_end|>"),
    "Llama 3 and 4": tokens("<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>"),
    "Llama 3 begun": lambda turns, ask: "<|begin_of_text|>" + WRITERS["Llama 3 and 4"](turns, ask),
    "Llama 4": tokens("<|header_start|>{}<|header_end|>\n\n", "<|eot|>"),
    "Llama 2 and Mistral": write_llama2,
    "Mistral": write_mistral,
    "Gemma": tokens("<start_of_turn>{}\n", "<end_of_turn>\n", {"assistant": "model"}),
    "Command R": tokens(
        "<|START_OF_TURN_TOKEN|><|{}_TOKEN|>",
        "<|END_OF_TURN_TOKEN|>",
        {"user": "USER", "assistant": "CHATBOT", "system": "SYSTEM"},
    ),
    "Granite": tokens("<|start_of_role|>{}<|end_of_role|>", "<|end_of_text|>\n"),
    "Harmony": tokens("<|start|>{}<|message|>", "<|end|>"),
    "Kimi": tokens("<|im_user|>{}<|im_middle|>", "<|im_end|>"),
    "DeepSeek": write_deepseek,
    "role tokens, as of Zephyr, Phi, Tulu and GLM": tokens("<|{}|>\n", "</s>\n"),
    "Phi 3": tokens("<|{}|>\n", "<|end|>\n"),
    "Tulu": tokens("<|{}|>\n", "\n"),
    "OpenChat": words("GPT4 Correct User", "GPT4 Correct Assistant", "<|end_of_turn|>"),
    "names in brackets": words("<human>", "<bot>", "\n", system="<system>"),
    "headings, as of Alpaca and Guanaco": words(
        "### Instruction", "### Response", system="### System"
    ),
    "Guanaco": write_guanaco,
    "Vicuna": write_vicuna,
    "HH-RLHF": words("Human", "Assistant", lead="\n\n"),
    "names at paragraphs": words("User", "Assistant"),
    "names at lines": words("Human", "AI", "\n"),
    "Phi 2": words("Instruct", "Output", "\n"),
    "letters": words("H", "A", lead="\n\n"),
}
"""A writer of each notation, the first of each under the name of its ``Format``."""

NO_SYSTEM = {"OpenChat", "HH-RLHF", "Phi 2", "letters"}


def dicts(role="role", content="content", names=None):
    return lambda turns: [
        {role: (names or {}).get(turn.role, turn.role), content: turn.content} for turn in turns
    ]


def write_array(turns):
    array = np.empty(len(turns), dtype=object)
    array[:] = dicts()(turns)
    return array


def write_parts(turns):
    return [
        {"role": turn.role, "content": [{"type": "text", "text": turn.content, "image": None}]}
        for turn in turns
    ]


LISTS = {
    "messages": dicts(),
    "tuple": lambda turns: tuple(dicts()(turns)),
    "array": write_array,
    "sharegpt": dicts("from", "value", {"user": "human", "assistant": "gpt"}),
    "speaker": dicts("speaker", "text", {"user": "Human", "assistant": "ChatGPT"}),
    "author": dicts("author", "message"),
    "oasst": dicts("role", "text", {"user": "prompter"}),
    "langchain": dicts("type", "content", {"user": "human", "assistant": "ai"}),
    "gemini": lambda turns: [{"role": t.role, "parts": [{"text": t.content}]} for t in turns],
    "parts": write_parts,
    "inside": lambda turns: {"conversations": dicts()(turns)},
    "json": lambda turns: json.dumps(dicts()(turns)),
    "json-indented": lambda turns: json.dumps(dicts()(turns), indent=1, ensure_ascii=False),
    "json-sharegpt": lambda turns: json.dumps(LISTS["sharegpt"](turns)),
    "json-parts": lambda turns: json.dumps(write_parts(turns)),
    "repr": lambda turns: repr(dicts()(turns)),
    "repr-array": lambda turns: str(write_array(turns)),
    "repr-array-parts": lambda turns: str(
        [{**turn, "content": np.array(turn["content"])} for turn in write_parts(turns)]
    ),
}
"""A writer of each kind of list of messages, and of text that holds one."""
