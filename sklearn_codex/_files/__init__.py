"""Files of records and texts, read one way by all functions and commands.

A path is a file or several (:mod:`~sklearn_codex._files.folders`), whose bytes are unpacked
(:mod:`~sklearn_codex._files.unpack`) and told by the first of them
(:mod:`~sklearn_codex._files.kinds`). Text becomes lines (:mod:`~sklearn_codex._files.lines`), lines
and tables become rows (:mod:`~sklearn_codex._files.rows`); tables in memory too
(:mod:`~sklearn_codex._files.tables`, with ``open_rows``, the one door for both). Errors begin with
``place``, what the caller calls the source, and name the line, record or row.
"""
