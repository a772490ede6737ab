"""Texts that are no records: what each is, told by how it begins, and what makes records of it."""

import re
import reprlib
from typing import NamedTuple

from sklearn_codex._files.kinds import UTF8_BOM

_AS_JSON = "write its rows as JSON lines, Parquet or CSV"
_YAML = (
    "python -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)' "
    "< FILE > NEW"
)


class _Text(NamedTuple):
    """A kind of text that holds no records, and the way to make of it one that does.

    Attributes
    ----------
    begins : pattern
        What it begins with, past blanks.
    name, remedy : str
    """

    begins: re.Pattern
    name: str
    remedy: str


def _text(pattern: str, name: str, remedy: str, flags: int = re.IGNORECASE) -> _Text:
    return _Text(re.compile(pattern, flags), name, remedy)


_COMMENTS = r"(?:#[^\n]*\n\s*)*"
_KEY = r"[\"']?[\w-]+(?: [\w-]+)?[\"']?:"
_HYPHENS = r"[ \t]*(?::?-{2,}:?|:-:?|-:)[ \t]*"
_RULE = rf"[ \t]*\|?{_HYPHENS}(?:\|{_HYPHENS})*\|?[ \t]*\r?(?:\n|\Z)"
_STAMP = r"\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d"
_GET = "get the data themselves"
_JSON_ALONE = "leave nothing but the list or the objects in it, as JSON"

_TEXTS = (
    _text(r"<stata_dta>", "a Stata file", "save it as CSV"),
    _text(r"<\?xml", "XML", f"{_GET}, or {_AS_JSON}"),
    _text(
        r"<(!doctype|!--|html|head|body|title|table|div|p|meta|script|center|h\d|svg)\b[^\n,;\t]*>?"
        r"|<!--",
        "a web page", f"{_GET}, or {_AS_JSON}",
    ),
    _text(r"<([a-z][\w:.-]*)(\s[^<>]*)?>\s*<[a-z!]", "XML", f"{_GET}, or {_AS_JSON}"),
    _text(r"[^\n|]*\|[^\n]*\n" + _RULE, "a Markdown table",
          "save it as CSV: without the line of hyphens, and without bars at both ends of lines"),
    _text(r"#{1,6} [^\n]*\n(?s:.*?)\n[ \t]*\|[^\n]*\n" + _RULE, "a Markdown document",
          "save its table as CSV in a file of its own"),
    _text(_COMMENTS + r"(?:---[^\n]*\n\s*)?" + _COMMENTS + r"-[ \t]+" + _KEY + r"(?:\s|$)",
          "YAML", f"write it as JSON: {_YAML}"),
    _text(_COMMENTS + r"---[ \t]*\r?\n(?!.*\|)", "YAML", f"write it as JSON: {_YAML}"),
    _text(_COMMENTS + _KEY + r"[ \t]*\r?\n[ \t]*(?:-[ \t]|" + _KEY + ")", "YAML",
          f"write it as JSON: {_YAML}"),
    _text(_COMMENTS + _KEY + r"[ \t]+[^\n,;\t|]*\n" + _KEY + r"[ \t]",
          "YAML, or lines of names and values", f"if it is YAML, write it as JSON: {_YAML}"),
    _text(_COMMENTS + r"\[\[?[a-z_][\w. -]*\]\]?[ \t]*(?:#[^\n]*)?\r?\n"
          r"(?:\s|#[^\n]*\n)*[\w.-]+[ \t]*=",
          "TOML or an INI file", _AS_JSON),
    _text(_COMMENTS + r"[\w.-]+[ \t]*=[ \t]*[\"'][^\n]*\n\s*(?:\[|[\w.-]+[ \t]*=)",
          "TOML or an INI file", _AS_JSON),
    _text(rf"{_STAMP}[^\n]*\b(?:debug|info|warning|warn|error|critical|fatal|trace)\b", "a log",
          "name the file of the data"),
    _text(r"(?:debug|info|warning|error|critical):[\w.]+:", "a log", "name the file of the data"),
    _text(r"(?:const|let|var)\s+\w+\s*=|export\s+(?:default|const|let|var)\b"
          r"|(?:module\.exports|exports\.\w+|window\.\w+)\s*=", "JavaScript", _JSON_ALONE, 0),
    _text(r"[\w.$]+\(\s*[\[{]", "JavaScript around JSON", _JSON_ALONE),
    _text(r"//|/\*", "JSON or JavaScript with comments", "take the comments out, as JSON has none"),
    _text(r"#[^\n]*\n\s*[\[{]\s*[\"'{]", "JSON after a comment",
          "take the lines that begin with # out, as JSON has none"),
    _text(r"[A-Za-z_]\w*[ \t]*=[ \t]*[\[{]|#!.*python|from [\w.]+ import "
          r"|import [\w.]+(?: as \w+)?\r?\n\s*(?:import |from |\w[\w.]*[ \t]*[=(])", "Python code",
          "run it, and write the rows: json.dump(rows, open('data.json', 'w'))", 0),
    _text(r"(?:insert into|create table|drop table|begin transaction)\b", "a dump of SQL",
          "load it, and write the table as CSV"),
    _text(r"(?:data|event|id): ?(?:\{|[^\n,]*\ndata: ?\{)", "a stream of events",
          "take the word in front of each record away: sed -n 's/^data: *//p' FILE > NEW"),
    _text(r"\{\\rtf", "a document in RTF", "save it as plain text, CSV or JSON lines"),
    _text(r"\"[\[{]+[ \t]*(?:\\[\"nrt]|[\]}])", "JSON written as text within JSON",
          "take it out: jq -c 'fromjson' FILE > NEW"),
    _text(r"\\documentclass|%!PS", "a document and no data", "name the file of the data"),
)  # fmt: skip


def check_foreign(head: bytes, place: str) -> None:
    """Raise where the first bytes of a text say that it is of a kind without records.

    Texts, one a line, may begin so; who reads records asks.

    Raises
    ------
    ValueError
        With what it is, and what makes a file of it that is read.
    """
    start = head.removeprefix(UTF8_BOM).decode("utf-8", "replace").lstrip()
    for text in _TEXTS:
        if text.begins.match(start):
            raise ValueError(f"{place} is {text.name}, no file of records: {text.remedy}.")


_OF_ANSWERS = {
    "error", "errors", "message", "detail", "status", "code", "statusCode", "status_code", "type",
    "documentation_url", "title", "success", "request_id", "requestId", "timestamp", "path",
}  # fmt: skip


def check_answer(value: dict, place: str) -> None:
    """Raise where the one object of a file is what a server says of an error, or a notebook."""
    if {"cells", "nbformat"} <= value.keys():
        raise ValueError(
            f"{place} is a Jupyter notebook, no file of records: run it, and write the rows from "
            "within, e.g. df.to_json('data.jsonl', orient='records', lines=True)."
        )
    if value.keys() <= _OF_ANSWERS and value.keys() & {"error", "errors", "message", "detail"}:
        raise ValueError(
            f"{place} is what a server said of an error and not the data, {reprlib.repr(value)}: "
            "get them again."
        )


_PYTHON = re.compile(r"'|(?:None|True|False|nan|array|datetime)\b|\(")
_LITERAL = re.compile(r"[A-Za-z_$][\w$]*\s*:")
_EVALUATE = (
    "python -c 'import ast, json, sys; print(json.dumps(ast.literal_eval(sys.stdin.read())))'",
    "python -c 'import ast, json, sys; [print(json.dumps(ast.literal_eval(line))) for line in "
    "sys.stdin]'",
)
"""What makes JSON of Python's repr: of one over several lines, of one on each."""


def why_not_json(text: str, position: int) -> str:
    """Return what stands where JSON cannot go on, and what to do; "" where that is not known.

    Parameters
    ----------
    text : str
        Some of a file.
    position : int
        Where its reader stopped.
    """
    rest, before = text[position:].lstrip(), text[:position].rstrip()
    if rest.startswith(("//", "/*", "#")):
        return "JSON has no comments: take them out."
    if rest.startswith("\ufeff"):
        return (
            "A byte order mark stands there, as where files were joined. Take it out: "
            "sed 's/\\xEF\\xBB\\xBF//g' FILE > NEW."
        )
    if text.startswith("\x1e", position):
        return "The records have separators: jq -c --seq . FILE > NEW takes them out."
    ends = ("}", "]")
    if (before.endswith(",") and rest.startswith(ends)) or (
        rest.startswith(",") and rest[1:].lstrip().startswith(ends)
    ):
        return "JSON has no comma after the last value: take it out."
    if rest.startswith(",") and before.endswith("}"):
        return (
            "Commas stand between the records: put [ before the first and ] after the last, which "
            "has none."
        )
    if before.endswith("}") and rest.startswith("{"):
        return "Several records stand on one line: jq -c . FILE > NEW writes each on its own."
    if _PYTHON.match(rest):
        program = _EVALUATE["\n" not in text[:position]]
        return (
            "This is Python's notation and not JSON, which json.dumps writes. Of what is at hand, "
            f"{program} < FILE > NEW makes it."
        )
    if _LITERAL.match(rest):
        return "A name stands without quotes, as in JavaScript: put it in double quotes."
    return ""
