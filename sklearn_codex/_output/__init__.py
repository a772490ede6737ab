"""Files as they are written: whole or not at all, and several together."""

from sklearn_codex._output._own_files import OwnFiles
from sklearn_codex._output._paths import is_terminal
from sklearn_codex._output._writer import (
    CHOOSE_OR_OVERWRITE,
    check_folder,
    check_outputs,
    new_file,
    write_text,
    written_together,
)

__all__ = [
    "CHOOSE_OR_OVERWRITE",
    "OwnFiles",
    "check_folder",
    "check_outputs",
    "is_terminal",
    "new_file",
    "write_text",
    "written_together",
]
