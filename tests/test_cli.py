"""The command line as a user meets it."""

import pytest

from sklearn_codex.cli import main


def test_demo_leaves_an_existing_folder_alone(tmp_path, capsys):
    kept = tmp_path / "notes.txt"
    kept.write_text("mine")
    assert main(["demo", "--out", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "exists" in captured.err
    assert "--force" in captured.err
    assert captured.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (
        main(
            [
                "demo",
                "--out",
                str(tmp_path),
                "--modules",
                "5",
                "--no-progress",
                "--order",
                "1",
                "--force",
            ]
        )
        == 0
    )
    assert kept.read_text() == "mine"
    capsys.readouterr()


def test_errors_take_one_line_and_debug_shows_the_traceback(tmp_path, capsys):
    words = ["demo", "--modules", "0", "--out", str(tmp_path / "new"), "--no-progress"]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("sklearn-codex: ")
    assert "n_modules" in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="n_modules"):
        main([*words, "--debug"])


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["--version"], 0), (["no"], 2)])
def test_exit_codes_of_the_command_line(words, code, capsys):
    assert main(words) == code
    capsys.readouterr()
