"""What the models of the demo write: completions of functions that none of them has seen."""

import keyword
import re

N_PROMPTS = 4
_N_LINES = 3
_LONGEST = 60

# Marks before which, or behind which, code has no blank; tokens come with one between any two.
_NO_BLANK_BEFORE = re.compile(r" ([)\]},:;.])")
_NO_BLANK_BEHIND = re.compile(r"([(\[{.@~]|(?<!\*)(?<![\w)\]] )\*\*?) ")
_CALL = re.compile(r"\b(\w+) ([(\[])")


def as_code(text):
    """Return tokens with blanks between them as code is usually written, on one line."""
    text = _NO_BLANK_BEHIND.sub(r"\1", _NO_BLANK_BEFORE.sub(r"\1", text))
    return _CALL.sub(lambda m: m[0] if keyword.iskeyword(m[1]) else f"{m[1]}{m[2]}", text)


def held_out_prompts(train, test):
    """Return (header, first line) of held-out functions with neither in what models learned from.

    Parameters
    ----------
    train, test : list of dict
        Records of either side.
    """
    seen = {
        line.strip()
        for row in train
        for column in ("text", "prompt", "completion", "chosen", "rejected")
        for line in row.get(column, "").splitlines()
    }
    found = []
    for row in test:
        if "completion" not in row:
            continue
        header, first = (row[name].splitlines()[0].strip() for name in ("prompt", "completion"))
        is_short = max(len(header), len(first)) <= _LONGEST
        is_new = header not in seen and first not in seen
        if is_short and is_new and header.endswith("):") and first.endswith((":", ")")):
            found.append((header, first))
    return found[:N_PROMPTS]


def show_completions(console, models, prompts, seed):
    """Show what each model goes on with behind each prompt, side by side.

    Parameters
    ----------
    console : Console
    models : dict of str to fitted language model
        By what they are called.
    prompts : list of (str, str)
        Headers and first lines.
    seed : int
        Of all draws.

    Returns
    -------
    completions : list of dict
        The prompt and, by the names of models, what they wrote.
    """
    texts = [f"{header}\n    {first}" for header, first in prompts]
    drawn = {
        name: model.sample(1, random_state=seed, prompts=texts) for name, model in models.items()
    }
    rows = []
    for position, (header, first) in enumerate(prompts):
        written = {name: as_code(documents[position]) for name, documents in drawn.items()}
        console.line(f"{header} {first} …")
        console.beside(written, n_lines=_N_LINES)
        rows.append({"prompt": texts[position], **written})
    return rows
