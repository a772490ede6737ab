"""Files that hold no records: texts of other kinds, what is nearly JSON, and what is empty."""

import io
import json

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from data_files import COMPRESSIONS

from sklearn_codex._files.rows import read_rows
from sklearn_codex.cli._inputs import read_texts
from sklearn_codex.datasets import read_preferences

FOREIGN = {
    "page": ("<!DOCTYPE html>\n<p>", "a web page", "get the data"),
    "page in lower case": ("<html><body><table>", "a web page", "get the data"),
    "title": ("<title>Error</title>\n<p>x", "a web page", "get the data"),
    "remark": ("<!-- made -->\n<table>\n<tr>", "a web page", "get the data"),
    "frame": ('<table border="1" class="dataframe">\n  <thead>', "a web page", "get the data"),
    "xml": ('<?xml version="1.0"?>\n<a>', "XML", "get the data"),
    "bare xml": ("<rows><row prompt='a'/></rows>", "XML", "get the data"),
    "yaml": ("- prompt: q\n  chosen: a\n", "YAML", "as JSON: python -c"),
    "yaml document": ("---\n- prompt: q\n", "YAML", "as JSON"),
    "yaml key": ("data:\n  - prompt: q\n", "YAML", "as JSON"),
    "yaml remark": ("# made\n- prompt: q\n", "YAML", "as JSON"),
    "yaml lines": ("prompt: q\nchosen: a\n", "YAML, or lines of", "as JSON"),
    "markdown": ("| chosen | rejected |\n|---|:-:|\n| a | b |\n", "a Markdown table", "CSV"),
    "bare markdown": ("chosen | rejected\n--- | ---\na | b\n", "a Markdown table", "as CSV"),
    "markdown text": ("# Data\n\n| chosen |\n|---|\n| a |\n", "a Markdown doc", "as CSV"),
    "toml": ("[[rows]]\nprompt = 'a'\n", "TOML or an INI file", "JSON lines"),
    "toml value": ('title = "x"\n[data]\nprompt = "a"\n', "TOML or an INI file", "JSON lines"),
    "ini": ("[section]\nkey=value\n", "TOML or an INI file", "JSON lines"),
    "log": ("2024-01-01 12:00:00,123 INFO start\n", "a log", "name the file of the data"),
    "log in brackets": ("[2024-01-01 12:00:00] ERROR x\n", "a log", "name the file of the data"),
    "logging": ("INFO:root:hello\nWARNING:root:x\n", "a log", "name the file of the data"),
    "javascript": ('const data = [{"prompt": "a"}];\n', "JavaScript", "leave nothing but the list"),
    "module": ('module.exports = [{"prompt": "a"}];\n', "JavaScript", "leave nothing but"),
    "jsonp": ('callback([{"prompt": "a"}]);', "JavaScript around JSON", "leave nothing but"),
    "remark before json": ('// made\n[{"prompt": "a"}]', "JSON or JavaScript with", "take the com"),
    "hash before json": ('# made\n{"prompt": "a"}\n', "JSON after a comment", "begin with #"),
    "python": ("rows = [{'prompt': 'a'}]\n", "Python code", r"json\.dump\(rows"),
    "imports": ("import json\n\ndata = json.load(x)\n", "Python code", "run it"),
    "sql": ("INSERT INTO prefs (prompt, chosen) VALUES ('a', 'b');\n", "a dump of SQL", "as CSV"),
    "events": ('data: {"prompt": "a"}\n\n', "a stream of events", "sed"),
    "rtf": ("{\\rtf1\\ansi hello}", "a document in RTF", "as plain text"),
    "json in json": (json.dumps(json.dumps({"prompt": "a"})) + "\n", "JSON written as text", "jq"),
    "json list in json": (json.dumps(json.dumps([{"a": "b"}])), "JSON written as text", "jq"),
    "stata": ("<stata_dta><header>", "a Stata file", "as CSV"),
    "notebook": ('{"cells": [], "metadata": {}, "nbformat": 4}', "a Jupyter notebook", "run it"),
    "answer": ('{"error": "Repository not found"}', "what a server said", "again"),
    "answer in parts": ('{"detail": "x", "status": 404}', "what a server said", "again"),
}  # fmt: skip
"""Texts that hold no records: what each is called, and what helps."""


@pytest.mark.parametrize("case", FOREIGN)
def test_texts_of_other_kinds_are_named_and_none_is_read(case, tmp_path):
    content, name, remedy = FOREIGN[case]
    for mark, folder in ((b"", "plain"), (b"\xef\xbb\xbf\n", "marked")):
        path = tmp_path / folder
        path.write_bytes(mark + content.encode())
        with pytest.raises(ValueError, match=f"{folder} is {name}.*{remedy}") as caught:
            read_preferences(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["<!DOCTYPE html>\n<p>", "- name: x\n- name: y", "# One\n| a |"]
)
def test_texts_of_other_kinds_may_be_lines_of_text(content, tmp_path):
    (tmp_path / "data").write_text(content)
    assert read_texts(str(tmp_path / "data")) == content.split("\n")
    with pytest.raises(ValueError, match=r"has no|is a web page|is YAML|has a header"):
        read_texts(str(tmp_path / "data"), "name")


@pytest.mark.parametrize(
    "header",
    [
        "prompt|chosen|rejected", "# prompt,chosen,rejected", "<prompt>,chosen,rejected",
        "let,prompt,chosen,rejected", "import,prompt,chosen,rejected", "data: x,chosen,rejected",
        "prompt:,chosen,rejected", "- prompt,chosen,rejected", "from,chosen,rejected",
        "info,chosen,rejected", '"2024-01-01 12:00:00",chosen,rejected',
    ],
)  # fmt: skip
def test_headers_that_look_a_little_like_other_kinds_are_headers(header, tmp_path):
    delimiter = "|" if "|" in header else ","
    row = delimiter.join(["---" if i == 0 else f"t{i}" for i in range(header.count(delimiter) + 1)])
    (tmp_path / "data").write_text(f"{header}\n{row}\n")
    assert len(list(read_rows(tmp_path / "data", "It"))) == 1


NOT_JSON = {
    "python": ("{'prompt': 'a'}\n{'prompt': 'b'}\n", "for line in sys.stdin"),
    "python list": ("[\n    {'prompt': 'a'}]\n", r"literal_eval\(sys.stdin.read"),
    "None": ('[{"prompt": None}]', "Python's notation"),
    "names": ("[{prompt: 'a'}]", "without quotes, as in JavaScript"),
    "comma in object": ('{"a": 1,}\n{"a": 1,}\n', "no comma after the last value"),
    "comma in list": ('[{"a": 1},\n]', "no comma after the last value"),
    "remark": ('[\n// one\n{"a": 1}]', "JSON has no comments"),
    "remark behind": ('[\n{"a": 1} /* one */]', "JSON has no comments"),
    "commas": ('{"a": 1},\n{"a": 2},\n', r"put \[ before the first"),
    "commas between": ('{"a": 1},\n{"a": 2}', r"put \[ before the first"),
    "one line": ('{"a": 1}{"a": 2}', "jq -c . FILE > NEW"),
    "one line with blanks": ('{"a": 1} {"a": 2}\n{"a": 3}', "jq -c . FILE > NEW"),
    "marks": ('{"a": 1}\n\ufeff{"a": 2}', r"sed 's/\\xEF\\xBB\\xBF//g'"),
    "separators": ('{"a": 1}\n\x1e{"a": 2}\n', "jq -c --seq"),
    "rows without names": ('[["a", "b"], ["c", "d"]]', "as an object, such as"),
}


@pytest.mark.parametrize("case", NOT_JSON)
def test_what_is_nearly_json_is_told_with_what_is_to_be_changed(case, tmp_path):
    content, remedy = NOT_JSON[case]
    (tmp_path / "data").write_text(content, newline="")
    with pytest.raises(ValueError, match=rf"It, (line|record) .*{remedy}") as caught:
        list(read_rows(tmp_path / "data", "It"))
    assert "\n" not in str(caught.value)


def _empty_table(write):
    file = io.BytesIO()
    write(pa.table({"chosen": pa.array([], pa.string())}), file)
    return file.getvalue()


EMPTY = {
    "nothing": (b"", "It is empty"),
    "blanks": (b" \n\n", "It is empty"),
    "mark": (b"\xef\xbb\xbf", "It is empty"),
    "list": (b"[]", r"It holds '\[\]' and no record"),
    "list of lines": (b"[\n]\n", "It holds .* and no record"),
    "rows under a key": (b'{"data": []}', "It holds .* and no record"),
    "columns": (b'{"chosen": [], "rejected": []}', "It holds .* and no record"),
    "header": (b"chosen,rejected\n", "It has a header and no record: .* 'chosen,rejected'"),
    "delimiter": (b"sep=;\n", "It has a header and no record: .* 'sep=;'"),
    "one line": (b"Not Found", "It has a header and no record: .* 'Not Found'"),
    "parquet": (_empty_table(pa.parquet.write_table), "It is Parquet of no row"),
    "arrow": (_empty_table(pa.feather.write_feather), "It is Arrow of no row"),
}


@pytest.mark.parametrize("case", EMPTY)
@pytest.mark.parametrize("compression", ["none", "gzip", "zip"])
def test_what_holds_no_record_is_told_as_it_is(case, compression, tmp_path):
    content, message = EMPTY[case]
    (tmp_path / "data").write_bytes(COMPRESSIONS[compression](content))
    with pytest.raises(ValueError, match=message):
        list(read_rows(tmp_path / "data", "It"))


def test_empty_files_among_others_are_passed_over_unless_all_are_empty(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("chosen,rejected\n")
    with pytest.raises(ValueError, match="holds 2 files and no record in any of them"):
        read_preferences(tmp_path)
    (tmp_path / "b.csv").write_text("chosen,rejected\nx,y\n")
    assert read_preferences(tmp_path).n == 1


@pytest.mark.parametrize("rows", ["{}\n", "[{}]", '{"chosen": "a", "rejected": "b"}\n{}\n'])
def test_records_without_a_name_are_empty(rows, tmp_path):
    (tmp_path / "data").write_text(rows)
    with pytest.raises(ValueError, match="it is an empty record"):
        read_preferences(tmp_path / "data")
