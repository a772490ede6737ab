"""The tables of the page on files: each line is what became of files that were written and read.

``python tests/files_table.py`` writes them anew.
"""

import json
import re
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # where it is run as a script

from data_files import COMPRESSIONS, CONTAINERS, FOLDERS, TABLES
from door import DOORS, FILES, make_table, write_door
from layout_rows import PAIRS, expected, normalize
from test_damaged_containers import BROKEN, KINDS

from sklearn_codex._files.rows import read_rows
from sklearn_codex._layouts.given import Given
from sklearn_codex.datasets import read_preferences
from sklearn_codex.datasets._readers import read_given

FOLDER = Path(__file__).parents[1] / "docs" / "guide"
# Of several pairs of a prompt some layouts would make more.
ONE_EACH = [PAIRS[i] for i in (0, 2, 3)]
ROWS = [{"prompt": "Ask 1", "chosen": f"yes, {i}", "rejected": 'a "no"; x'} for i in range(3)]


def table(head, lines, widths):
    """Return a list-table of reStructuredText."""
    parts = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for line in [head, *lines]:
        parts += [
            f"   {mark} {cell}".rstrip() for mark, cell in zip(_marks(line), line, strict=True)
        ]
    return "\n".join(parts) + "\n"


def _marks(line):
    return ["* -"] + ["  -"] * (len(line) - 1)


def literal(text):
    """Return text as a literal, in which only blanks at the ends and backquotes matter."""
    return f"``{text.strip().replace('``', '')}``"


def escape(text):
    """Return text in which nothing is markup."""
    return re.sub(r"([\\*`|]|_\b)", r"\\\1", text.replace("\n", " "))


def without_blanks(pairs):
    """Return pairs without the blanks within prompts, which stand in two columns of some files."""
    return [(" ".join(prompt.split()), *rest) for prompt, *rest in pairs]


def containers():
    """Return a line for containers: which, how they may be packed, how errors name a row."""
    alike = {}
    for container in [*CONTAINERS, *FOLDERS]:
        packed, place = [], ""
        for compression in (packed for held, packed in FILES if held == container):
            with tempfile.TemporaryDirectory() as name, chdir(name):
                source = write_door(ROWS, Path("data"), container, compression)
                found = list(read_rows(source, "It"))
            if [dict(row) for _, row in found] == ROWS:
                packed.append(compression)
                place = found[2][0].removeprefix("It, ")
        alike.setdefault((_all_of(packed), literal(place)), []).append(container)
    for kind in TABLES:
        alike.setdefault(("nothing, as it is in memory", _place_in(kind)), []).append(kind)
    lines = [["; ".join(names), *same] for same, names in alike.items()]
    return table(["what holds the rows", "packed by", "the third row is"], lines, "40 38 22")


def _all_of(packed):
    if packed == list(COMPRESSIONS):
        return "; ".join(["nothing", *packed[1:]])
    return "nothing" if packed == ["none"] else "; ".join(packed) or "not read"


def _place_in(kind):
    data = read_preferences(make_table(ROWS, kind))
    return literal(data.where[2]) if data.n == len(ROWS) else "not read"


def layouts():
    """Return a line for each layout: its columns, and what is said of how they were read."""
    lines = []
    for name, door in DOORS.items():
        rows = door.write(ONE_EACH)
        data = read_preferences(rows)
        if without_blanks(normalize(data.X, data.y, data.groups)) != without_blanks(
            expected(ONE_EACH)
        ):
            raise AssertionError(f"{name} is not read as it was written")
        names = ", ".join(map(literal, dict.fromkeys(key for row in rows for key in row)))
        lines.append([_title(name, data.layout), names, _prompt_of(data), _how_of(data)])
    return table(["layout", "columns", "prompt", "what is better"], lines, "20 30 15 35")


def _title(name, called):
    return called if called == name else f"{called} ({name})"


def _prompt_of(data):
    return ", ".join(map(literal, data.roles["prompt"])) or "within the others"


def _how_of(data):
    """Return what notes say of the better response, or the places of those that have none."""
    notes = [note for note in data.notes if not note.startswith("The prompt is ")]
    if notes:
        return " ".join(map(escape, notes))
    names = [literal(name) for name in data.roles["responses"] or data.roles["others"]]
    if data.oriented.all():
        return f"{names[0]} has the better one."
    return f"{', '.join(map(literal, data.roles['others']))} tell."


def refusals():
    """Return a line for each file that is refused: what it is, and the error."""
    lines = []
    for what, content in REFUSED.items():
        with tempfile.TemporaryDirectory() as name, chdir(name):
            content = content(Path(name, "made")) if callable(content) else content
            Path("data.jsonl").write_bytes(content)
            lines.append([what, escape(_error_of("data.jsonl"))])
    return table(["file", "error"], lines, "25 75")


def _error_of(path):
    try:
        read_given(path, Given(command=True), "")
    except (TypeError, ValueError) as error:
        return str(error)
    raise AssertionError(f"{path} was read: {Path(path).read_bytes()!r:.200}")


def _rows(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


TWO = {"prompt": "Ask", "response_1": "One.", "response_2": "Two."}
REFUSED = {
    "a pickle": KINDS["pickle"][0],
    "a file of PyTorch": KINDS["torch"][0],
    "an SQLite database": KINDS["sqlite"][0],
    "an Excel workbook": KINDS["excel"][0],
    "a PDF document": KINDS["pdf"][0],
    "a tar archive": KINDS["tar"][0],
    "an array of numpy": KINDS["numpy"][0],
    "encrypted Parquet": KINDS["encrypted"][0],
    "a pointer of Git LFS": KINDS["lfs"][0],
    "a web page": b"<!DOCTYPE html>\n<p>",
    "a Markdown table": b"| chosen | rejected |\n|---|---|\n| One. | Two. |\n",
    "YAML": b"- chosen: One.\n  rejected: Two.\n",
    "TOML": b"[[rows]]\nchosen = 'One.'\n",
    "JavaScript": b'const rows = [{"chosen": "One."}];\n',
    "JSON with comments": b'[\n// the first\n{"chosen": "One.", "rejected": "Two."}]\n',
    "Python's repr of rows": b"{'chosen': 'One.', 'rejected': 'Two.'}\n",
    "records with commas between lines": b'{"chosen": "One."},\n{"chosen": "Two."}\n',
    "records without a line end between": b'{"chosen": "One."}{"chosen": "Two."}\n',
    "a log": b"2024-01-01 12:00:00 INFO start\n",
    "what a server says of an error": b'{"error": "Not found"}\n',
    "an empty list": b"[]\n",
    "packed three times": KINDS["thrice"][0],
    "Latin-1": BROKEN["latin"][0],
    "a byte 0": BROKEN["byte 0"][0],
    "half of an emoji": b'{"chosen": "One.", "rejected": "Two \\ud83d"}\n',
    "a JSON key twice": b'{"chosen": "One.", "rejected": "Two.", "chosen": "Three."}\n',
    "a number on a line": _rows({"chosen": "One.", "rejected": "Two."}) + b"3\n",
    "a JSON line that is cut off": b'{"chosen": "One.", "reje\n',
    "a CSV row with a field too many": b"chosen,rejected\nOne,Two\nOne, or so,Two\n",
    "a CSV row with a quote left open": b'chosen,rejected\nOne,"Two\n',
    "no record": b"prompt,chosen,rejected\n",
    "a response and no label": _rows({"prompt": "Ask", "completion": "One."}),
    "two responses and no label": _rows(TWO),
    "one response is missing": _rows(
        {"chosen": "One.", "rejected": "Two."}, {"chosen": "One.", "rejected": None}
    ),
    "unpaired, one response a prompt": _rows(
        {"prompt": "Ask", "completion": "One.", "label": True},
        {"prompt": "Ask more", "completion": "Two.", "label": False},
    ),
    "0 and 1 beside columns of other numbers": _rows(
        {**TWO, "label": 0}, {**TWO, "prompt": "Ask more", "label": 1}
    ),
    "a label that ends in _id": _rows(
        {**TWO, "best_id": 0}, {**TWO, "prompt": "Ask more", "best_id": 1}
    ),
    "lists that are written as text": b"prompt,chosen,rejected\nAsk,['One.'],['Two.']\n",
    "names of another language": _rows(
        {"frage": "Ask of this", "gut": "One of them.", "anders": "Two of them.", "wahl": "a"}
    ),
    "two columns of prompts": _rows(
        {"question": "Ask", "instruction": "Tell", "chosen": "One.", "rejected": "Two."}
    ),
    "a number for a text": _rows({"prompt": "Ask", "chosen": "One.", "rejected": 2}),
    "a rating that is no number": _rows(
        {"prompt": "Ask", "responses": ["One.", "Two."], "ratings": ["good", 1]}
    ),
}
"""Files that are refused: the bytes, or a function that makes them, given a path."""

TABLE_FILES = {
    "files_containers.inc": containers,
    "files_layouts.inc": layouts,
    "files_refused.inc": refusals,
}


def main():
    """Write the tables."""
    for name, make in TABLE_FILES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
