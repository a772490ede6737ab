"""From rows to preference pairs: which layout of columns a file has, and what its rows say.

A :class:`~sklearn_codex._layouts.base.Layout` turns rows into comparisons; a new one is one class
or one entry of :mod:`~sklearn_codex._layouts.registry`. Texts, labels and groups are the same work
for all of them, in :mod:`~sklearn_codex._layouts.reader`.
"""
