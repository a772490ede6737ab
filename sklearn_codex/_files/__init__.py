"""Files of records and texts, read one way by all functions and commands.

Bytes become lines of text (:mod:`~sklearn_codex._files.lines`), lines become rows
(:mod:`~sklearn_codex._files.rows`). Errors begin with ``place``, what the caller calls the file,
and name the line of the file.
"""
