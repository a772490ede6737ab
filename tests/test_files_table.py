"""The tables of the page on files say what is read and refused, as files that are written tell."""

import pytest
from data_files import COMPRESSIONS, CONTAINERS, FOLDERS, TABLES
from door import DOORS
from files_table import FOLDER, REFUSED, TABLE_FILES, escape, table

if not FOLDER.is_dir():
    pytest.skip("no documentation beside the tests", allow_module_level=True)


@pytest.mark.parametrize("name", TABLE_FILES)
def test_tables_are_as_they_are_written_anew(name):
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == TABLE_FILES[name](), f"run python tests/files_table.py to write {name} anew"
    assert f".. include:: {name}" in (FOLDER / "files.rst").read_text(encoding="utf-8")


def test_everything_is_in_the_tables():
    containers, layouts, refused = (
        (FOLDER / name).read_text(encoding="utf-8") for name in TABLE_FILES
    )
    assert "not read" not in containers
    for name in (*CONTAINERS, *FOLDERS, *TABLES, *list(COMPRESSIONS)[1:]):
        assert name in containers
    assert all(name in layouts for name in DOORS)
    assert all(f"   * - {what}\n" in refused for what in REFUSED)


def test_nothing_in_a_cell_is_markup():
    assert escape("a*b `c` |d| e_ f_g \\ h\ni") == r"a\*b \`c\` \|d\| e\_ f_g \\ h i"
    assert table(["a", "b"], [["c", "d"]], "1 2") == (
        ".. list-table::\n   :header-rows: 1\n   :widths: 1 2\n\n"
        "   * - a\n     - b\n   * - c\n     - d\n"
    )
