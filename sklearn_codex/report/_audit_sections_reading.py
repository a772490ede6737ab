"""How the file was read, in words: what stands above all answers."""

from sklearn_codex._plain import plain
from sklearn_codex.report._audit_words import listed
from sklearn_codex.report._blocks import Box, Note
from sklearn_codex.report._plural import count

ROLES = {"prompt": "Prompt", "responses": "Responses", "label": "Label", "others": "Also read"}


def reading_blocks(audit):
    """Return what is said of an audit before its answers: a warning first, then how it was read."""
    reading, prompts = audit["read"], audit["prompts"]
    blocks: list = [] if prompts["warning"] is None else [Box(prompts["warning"])]
    sentences = [
        f"Read as: {_sizes(reading)}.",
        _columns(reading),
        *map(plain, reading["notes"]),
        _weights(reading),
        _places(reading),
    ]
    return [*blocks, Note(" ".join(filter(None, sentences)))]


def _sizes(reading):
    rows, pairs = count(reading["n_rows"], reading["unit"]), count(reading["n_pairs"], "pair")
    return f"{plain(reading['layout'])}; {rows}, {pairs}"


def _columns(reading):
    parts = []
    for role, name in ROLES.items():
        columns = reading["columns"].get(role, [])
        if columns:
            parts.append(f"{name}: {listed(columns)}.")
    if reading["looked_at"]:
        parts.append(f"Also looked at: {listed(reading['looked_at'])}.")
    if reading["unused"]:
        parts.append(f"Not used: {listed(reading['unused'])}.")
    return " ".join(parts)


def _weights(reading):
    if reading["weight"] is None:
        return ""
    return (
        f"Pairs have weights, {reading['weight']:,.6g} together: models and shares go by them; "
        "numbers of pairs, and the checks of the data, count each pair once."
    )


def _places(reading):
    unit, first = reading["unit"], reading["first"]
    if first is None:
        return f"Pairs are named by their {unit} in the file."
    where = "the file" if unit == "line" else "the data"
    return f"Pairs are named by their {unit} in {where}, counted from {first}."
