"""Texts from files: plain lines, JSON lines, a JSON list, CSV, gzipped or not."""

import json

COLUMNS = ("text", "completion", "response", "output")


def read_content(path: str) -> str:
    """Return the text of a file, unpacked."""
    from sklearn_codex.datasets._files import read_lines

    return "".join(read_lines(path, path))


def read_records(path: str) -> list[dict]:
    """Return the records of a file of JSON lines, a JSON list or CSV."""
    return _parse_records(read_content(path), path)


def _parse_records(content: str, path: str) -> list[dict]:
    start = content.lstrip()[:1]
    if not start:
        raise ValueError(f"{path} is empty.")
    if start == "[":
        records = _parse_json(content, f"{path}")
    elif start == "{":
        records = [
            _parse_json(line, f"{path}, line {number},")
            for number, line in enumerate(content.splitlines(), start=1)
            if line.strip()
        ]
    else:
        from sklearn_codex.datasets._files import parse_csv

        return [row for _, row in parse_csv(content.splitlines(keepends=True), path)]
    if not all(isinstance(record, dict) for record in records):
        raise ValueError(f"{path} should hold JSON records with named columns.")
    return records


def _parse_json(content, where):
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}.") from None


def read_texts(path: str, column: str | None = None) -> list[str]:
    """Return the texts of a file: a column of its records, or its lines.

    Parameters
    ----------
    path : str
        JSON records or CSV whose header has the column are records; anything else is one text a
        line, blank lines left out.
    column : str, default=None
        Name of the column; None looks for "text", "completion", "response" and "output".
    """
    content = read_content(path)
    if column is None and content.lstrip()[:1] not in ("{", "["):
        header = content.splitlines()[0] if content.strip() else ""
        if not set(header.split(",")) & set(COLUMNS):
            return _lines(content, path)
    texts = []
    for number, record in enumerate(_parse_records(content, path), start=1):
        name = column or next((name for name in COLUMNS if name in record), None)
        if name is None or not isinstance(record.get(name), str):
            wanted = repr(column) if column else f"one of {', '.join(COLUMNS)}"
            raise ValueError(
                f"{path}, record {number} has no text in {wanted}. It has {list(record)}. Name "
                "the column so, or pass plain text, one a line."
            )
        texts.append(record[name])
    return texts


def _lines(content, path):
    texts = [line for line in content.splitlines() if line.strip()]
    if not texts:
        raise ValueError(f"{path} is empty: one text a line is needed.")
    return texts
