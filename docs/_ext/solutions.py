"""Solutions of exercises are folded: on pages behind a click, in notebooks as hidden input.

A solution is a cell of an example whose first line is ``# Solution``.
"""

import json
from pathlib import Path

MARK = "# Solution"


def is_solution(code):
    """Whether the first line of a cell says that it is one."""
    return code.lstrip().partition("\n")[0].rstrip() == MARK


def fold_notebook(notebook):
    """Return a notebook, as read from JSON, with the input of its solutions hidden."""
    cells = []
    for cell in notebook["cells"]:
        code = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
        if is_solution(code):
            hidden = {**cell["metadata"], "jupyter": {"source_hidden": True}, "tags": ["solution"]}
            cell = {**cell, "metadata": hidden}
        cells.append(cell)
    return {**notebook, "cells": cells}


def _fold_notebooks(app):
    for directory in _as_list(app.config.sphinx_gallery_conf["gallery_dirs"]):
        for path in sorted(Path(app.srcdir, directory).rglob("*.ipynb")):
            notebook = json.loads(path.read_text(encoding="utf-8"))
            folded = fold_notebook(notebook)
            if folded != notebook:
                path.write_text(json.dumps(folded, indent=1) + "\n", encoding="utf-8")


def _as_list(value):
    return [value] if isinstance(value, str) else value


def _fold_pages(app, doctree):
    from docutils import nodes

    for block in list(doctree.findall(nodes.literal_block)):
        if is_solution(block.astext()):
            begin = '<details class="solution"><summary>Solution</summary>'
            around = [nodes.raw("", html, format="html") for html in (begin, "</details>")]
            place = block.parent.index(block)
            block.parent[place : place + 1] = [around[0], block, around[1]]


def setup(app):
    # After the gallery has written its notebooks.
    app.connect("builder-inited", _fold_notebooks, priority=900)
    app.connect("doctree-read", _fold_pages)
    return {"parallel_read_safe": True}
