"""How the file was read, in words: what stands above all answers."""

from sklearn_codex._plain import plain
from sklearn_codex.report._audit_words import listed
from sklearn_codex.report._blocks import Box, Facts, Note
from sklearn_codex.report._plural import count

ROLES = {
    "prompt": "Prompt",
    "responses": "Responses",
    "label": "Label",
    "others": "Also read",
    "looked_at": "Looked at",
    "unused": "Not used",
}


def reading_blocks(audit):
    """Return what is said of an audit before its answers: a warning first, then how it was read."""
    reading, prompts = audit["read"], audit["prompts"]
    blocks: list = [] if prompts["warning"] is None else [Box(prompts["warning"])]
    notes = [(f"Note{'s' * (len(reading['notes']) > 1)}:", reading["notes"])]
    items = [*_columns(reading, _columns_of_kinds(audit)), *notes, ("Weights:", _weights(reading))]
    items.append(("Places:", [_places(reading)]))
    facts = Facts([(name, list(map(plain, lines))) for name, lines in items if lines])
    return [*blocks, Note(f"Read as: {_sizes(reading)}."), facts]


def _sizes(reading):
    rows, pairs = count(reading["n_rows"], reading["unit"]), count(reading["n_pairs"], "pair")
    return f"{plain(reading['layout'])}; {rows}, {pairs}"


def _columns_of_kinds(audit):
    """Return the columns by which pairs are compared, or who wrote their responses."""
    slices = audit["slices"]
    if slices is None:
        return []
    return [
        name
        for found in (*slices["cuts"], slices["authors"])
        if found is not None
        for name in found["columns"]
    ]


def _columns(reading, of_kinds):
    """Return the columns by what they are for, those by which pairs are compared looked at."""
    unused = [name for name in reading["unused"] if name not in of_kinds]
    looked_at = [*reading["looked_at"], *(n for n in reading["unused"] if n in of_kinds)]
    columns = reading["columns"] | {"looked_at": looked_at, "unused": unused}
    return [
        (f"{name}:", [listed(columns[role])]) for role, name in ROLES.items() if columns.get(role)
    ]


def _weights(reading):
    if reading["weight"] is None:
        return []
    return [
        f"Pairs have weights, {reading['weight']:,.6g} together: models and shares go by them; "
        "numbers of pairs, and the checks of the data, count each pair once."
    ]


def _places(reading):
    unit, first = reading["unit"], reading["first"]
    if first is None:
        return f"Pairs are named by their {unit} in the file."
    where = "the file" if unit == "line" else "the data"
    return f"Pairs are named by their {unit} in {where}, counted from {first}."
