"""Files become lines, lines become rows: by hand-worked cases."""

import gzip
import io
import itertools

import pytest

from sklearn_codex._files.folders import open_parts
from sklearn_codex._files.lines import (
    decode_lines,
    find_first,
    place_of,
    read_lines,
    without_end,
)
from sklearn_codex._files.rows import header_of, parse_rows, read_rows
from sklearn_codex._layouts.given import Given
from sklearn_codex.cli._inputs import read_texts
from sklearn_codex.cli._preferences import read_mixed
from sklearn_codex.datasets import read_batches, read_preferences

# What str.splitlines takes for the end of a line, and a file does not: VT, FF, FS, GS, RS, NEL, LS
# and PS, and a carriage return that no newline follows.
INNER = "\v\f\x1c\x1d\x1e\x85\u2028\u2029\r"


def test_bytes_are_unpacked_by_what_they_are(tmp_path):
    path = tmp_path / "a.txt"
    for content in (b"a\nb", gzip.compress(b"a\nb"), gzip.compress(b"a\n") + gzip.compress(b"b")):
        path.write_bytes(content)
        assert [part.stream.read() for part in open_parts(path, "It")] == [b"a\nb"]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", ["\n"]),
        (b"a", ["a"]),
        (b"a\r\nb\n", ["a\r\n", "b\n"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb", ["a\n", "\ufeffb"]),
        (f"a{INNER}b\nc".encode(), [f"a{INNER}b\n", "c"]),
    ],
)
def test_lines_end_with_a_newline_alone(content, lines, tmp_path):
    assert list(decode_lines(io.BufferedReader(io.BytesIO(content)), "It")) == lines
    (tmp_path / "data").write_bytes(content)
    assert list(read_lines(tmp_path / "data", "It")) == lines


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("a\n", "a"),
        ("a\r\n", "a"),
        ("a\r", "a\r"),
        ("a", "a"),
        ("a\u2028\n", "a\u2028"),
        ("\n", ""),
    ],
)
def test_the_end_of_a_line_is_taken_off(line, text):
    assert without_end(line) == text


def test_the_first_line_is_seen_and_not_lost():
    first, lines = find_first(iter(["\n", " \r\n", "a\n", "b"]))
    assert (first, list(lines)) == ("a\n", ["\n", " \r\n", "a\n", "b"])
    first, lines = find_first(iter(["\n"]))
    assert (first, list(lines)) == ("", ["\n"])
    first, lines = find_first(map(str, itertools.count()))  # no more than it needs
    assert next(lines) == first == "0"


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("a,b\n", ["a", "b"]),
        ("a\tb;c\r\n", ["a", "b;c"]),
        ("a;b", ["a", "b"]),
        ('"a,b","c"\n', ["a,b", "c"]),
        ("a\n", ["a"]),
        ("\n", []),
        ("a\rb\n", []),
        ("x" * 200_000, ["x" * 200_000]),
    ],
)
def test_the_names_of_a_header(line, names):
    assert header_of(line) == names


ROWS = [
    ('{"a": "x\u2028y"}\n\n{"a": "z"}', [("It, line 1", "x\u2028y"), ("It, line 3", "z")]),
    (' [{"a": 1},\n{"a": 2}]', [("It, record 0", 1), ("It, record 1", 2)]),
    (f"a,b\nx{INNER[:-1]}y,1\n", [("It, line 2", f"x{INNER[:-1]}y")]),
    ('\na\tb\n"x\n\ny"\t1\n\nz\t2\n', [("It, line 3", "x\n\ny"), ("It, line 7", "z")]),
    ('a;b\r\n"x\r\ny";1\r\n', [("It, line 2", "x\r\ny")]),
    ("sep=;\r\na;b;;\r\nx, y;1;;\r\n", [("It, line 3", "x, y")]),  # as spreadsheets write
    ('"sep=|"\n\na|b\nx;y|1\n', [("It, line 4", "x;y")]),
]


@pytest.mark.parametrize(("content", "expected"), ROWS)
def test_rows_know_the_line_of_the_file(content, expected, tmp_path):
    lines = [line + "\n" for line in content.split("\n")]
    assert [(where, row["a"]) for where, row in parse_rows(iter(lines), "It")] == expected
    path = tmp_path / "data"
    path.write_bytes(content.encode())
    assert [(where, row["a"]) for where, row in read_rows(path, "It")] == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n{"a"\n', r"It, line 2 is not one JSON record: Expecting .* \(character 6\)\."),
        ("[{},\n{}\n{}]", "It, line 3 is not JSON: Expecting ',' delimiter"),
        ("\n\na,b,a\n", "It, line 3 should name each column once, got 'a' 2 times"),
        ("a,b\n\n1\n", "It, line 3 should have 2 fields"),
        ("a,b\n1\r2,3\n", "It, line 2 begins a row that is not CSV"),
    ],
)
def test_errors_name_the_line_of_the_file(content, message, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(content.encode())
    with pytest.raises(ValueError, match=message):
        list(read_rows(path, "It"))


def read_pairs_of_command(path):
    return read_mixed(path, Given(command=True))


def test_a_function_and_a_command_call_a_file_by_their_own_terms(tmp_path):
    path = tmp_path / "data"
    path.write_text('{"chosen": "a", "rejected": "b"}\n{"chosen"\n')
    assert place_of(path, "It") == "It: data"
    assert place_of("/dev/fd/63", "It") == "It: /dev/fd/63"
    assert place_of("folder/*", "It") == "It: folder/*"
    with pytest.raises(ValueError, match=r"^read_preferences: data, line 2 is not one JSON"):
        read_preferences(path)
    for read in (read_pairs_of_command, lambda path: read_texts(path, "chosen")):
        with pytest.raises(ValueError, match=f"^{path}, line 2 is not one JSON record"):
            read(str(path))


CONTAINERS = {
    "lines": '{{"chosen": "{0}", "rejected": "b"}}\n',
    "crlf": '{{"chosen": "{0}", "rejected": "b"}}\r\n',
    "list": '[{{"chosen": "{0}", "rejected": "b"}}]',
    "csv": "chosen,rejected\n{0},b\n",
    "tsv": "chosen\trejected\r\n{0}\tb\r\n",
    "semicolons": "chosen;rejected\n{0};b\n",
    "bom": "\ufeffchosen,rejected\n{0},b\n",
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("text", ["x\u2028y\x85z", "long " * 40_000])
def test_all_readers_read_the_same(container, pack, text, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(pack(CONTAINERS[container].format(text).encode()))
    assert [row for _, row in read_rows(path, "It")] == [{"chosen": text, "rejected": "b"}]
    assert read_texts(str(path), "chosen") == [text]
    assert list(read_batches(path, "chosen")) == [[text]]
    assert read_preferences(path).X[0, 1] == text


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (f"one{INNER}one\ntwo\r\n \n\nthree, four", [f"one{INNER}one", "two", "three, four"]),
        ("id\tresponse\n1\ta, b\n", ["a, b"]),
        ("id;output\n1;a\n", ["a"]),
        ('"id","text"\n"1","a\nb"\n', ["a\nb"]),
        ("text\na\nb\n", ["a", "b"]),
        ("the text; said he\n", ["the text; said he"]),
        ("x" * 200_000 + "\n", ["x" * 200_000]),
    ],
)
def test_texts_are_lines_or_a_column(content, texts, tmp_path):
    path = tmp_path / "texts"
    path.write_bytes(content.encode())
    assert read_texts(str(path)) == texts


def test_texts_without_a_column_are_told_by_line(tmp_path):
    path = tmp_path / "texts"
    path.write_text('{"text": "a"}\n\n{"other": "a"}\n')
    with pytest.raises(ValueError, match=r"texts, line 3 has no text in one of text, comp"):
        read_texts(str(path))
    path.write_text("text\n")
    with pytest.raises(ValueError, match="texts is empty: one text a line is needed"):
        read_texts(str(path))
