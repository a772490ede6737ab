"""Responses that end as their prompt asks them to, not because they were cut off."""

import re

_EDGES = " \t\"'`*_.,:;!?()[]{}<>\u201c\u201d\u2018\u2019\u3002\u300c\u300d"
_QUOTED = re.compile(
    r"[\"\u201c`]([^\"\u201c\u201d`\n]{1,80})[\"\u201d`]"
    r"|(?<!\w)['\u2018]([^'\u2018\u2019\n]{1,80})['\u2019](?!\w)"
    r"|\*\*([^*\n]{1,80})\*\*"
)
_DEMANDED = re.compile(
    r"\b(?P<how>(?:answer|begin|close|conclude|end|finish|output|print|reply|respond|return|say|write)"
    r"\b[^.\n\"]{0,60}?(?:\bwith\b|\bas\b|\bby\b|\beither\b|\bword\b|\bexactly\b|:)"
    r"(?:\s+(?:exactly|only|just|either|the|words?|phrase|string|line|letters?|numbers?|of|a|one))*)"
    r"[:\s]+(?P<what>[^.\n]{1,80})",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"\b(?:answer|begin|choose|classify|close|conclude|end|finish|format|label|output|pick|print"
    r"|reply|respond|return|say|write)\b",
    re.IGNORECASE,
)
_LITERALLY = re.compile(r"\b(?:exactly|letters?|phrase|string|words?)\b", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"[<\[{(]|\.\.\.|\u2026|_{2,}")
_ALTERNATIVES = re.compile(r"\s*(?:,|/|\bor\b|\band\b)\s*")
_ANSWER = re.compile(
    r".*\b(?:answer|choice|conclusion|label|option|rating|result|score|solution|total|verdict)\b"
    r"[^.!?]{0,40}?(?:\bis\b|\bare\b|[:=])\s*(?P<answer>\S+(?:\s+\S+){0,11})$",
    re.IGNORECASE,
)
MOST_BEHIND = 4
"""Words of an answer behind the words that a prompt asks to put before it."""
MOST_OF_ANSWER = 3
"""Words of an answer that are no list of numbers or letters."""


def ends_on_answer(text: str, prompt: str) -> bool:
    """Tell whether a response ends on an answer that its prompt demands.

    It does if its last words are words that the prompt quotes or tells it to end with; if they
    follow such words, or "the answer is", and look like an answer: a number, a letter, a word in
    capitals, or what the prompt has; or if the last word is made like a sample in the prompt, as
    DDDDD is like KKKKK.

    Parameters
    ----------
    text : str
        A response that is not blank.
    prompt : str
        What it answers; blank where that is not known.
    """
    last = text.rstrip().splitlines()[-1].strip()
    words = _words(last)
    if not words:
        return False
    found = _ANSWER.match(last)
    if found and _is_answer(found["answer"].split(), prompt):
        return True
    return _is_like_sample(last.split()[-1], prompt) or any(
        _follows(words, demanded) for demanded in _demands(prompt)
    )


def _words(text):
    return [word for part in text.casefold().split() if (word := part.strip(_EDGES))]


def _is_marked(word):
    """Tell whether a word looks like an answer: a number, a letter or a word in capitals."""
    word = word.strip(_EDGES)
    letters = [character for character in word if character.isalpha()]
    return any(map(str.isdigit, word)) or (bool(letters) and all(map(str.isupper, letters)))


def _is_answer(tokens, prompt):
    """Tell whether what stands behind "the answer is" looks like one."""
    if all(map(_is_marked, tokens)):
        return True
    if len(tokens) > MOST_OF_ANSWER:
        return False
    return _is_marked(tokens[-1]) or _holds(_words(prompt), _words(" ".join(tokens)))


def _is_like_sample(word, prompt):
    """Tell whether a word is one letter repeated as often as one is in a word of the prompt."""
    word = word.strip(_EDGES)
    samples = {sample.strip(_EDGES) for sample in prompt.split()} if _repeats(word) else ()
    return any(_repeats(sample) and len(sample) == len(word) for sample in samples)


def _repeats(word):
    return len(word) > 2 and word.isalpha() and len(set(word)) == 1


def _demands(prompt):
    """Yield the words that a prompt quotes or tells a response to end with, and what is open."""
    quoted = [
        next(filter(None, span))
        for line in prompt.splitlines()
        if _ASKS.search(line)
        for span in _QUOTED.findall(line)
    ]
    for text in [*quoted, *_told(prompt)]:
        literal, *rest = _PLACEHOLDER.split(text, maxsplit=1)
        if rest:
            yield _words(literal), True
            continue
        yield _words(text), text.rstrip().endswith(":")
        for part in _ALTERNATIVES.split(text):
            yield _words(part), False


def _told(prompt):
    """Yield words that a prompt tells a response to have, not only what they are to be about."""
    for found in _DEMANDED.finditer(prompt):
        text = found["what"]
        parts = list(filter(None, _ALTERNATIVES.split(text)))
        if (
            _LITERALLY.search(found["how"])
            or (len(parts) > 1 and all(len(part.split()) == 1 for part in parts))
            or all(map(_is_marked, text.split()))
            or _PLACEHOLDER.search(text)
        ):
            yield text


def _follows(words, demanded):
    """Tell whether a line ends with demanded words, or with few behind them where that is open."""
    wanted, is_open = demanded
    if not wanted:
        return False
    most = MOST_BEHIND if is_open else 0
    return any(
        words[end - len(wanted) : end] == wanted
        for end in range(max(len(wanted), len(words) - most), len(words) + 1)
    )


def _holds(words, wanted):
    n = len(wanted)
    return bool(n) and any(words[i : i + n] == wanted for i in range(len(words) - n + 1))
