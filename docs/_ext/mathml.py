"""Formulas as MathML: pages need neither a script from elsewhere nor LaTeX to build."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)

# Names of several letters are upright; as written in docstrings, each letter would be a variable.
_NAMES = re.compile(r"\\text\{[^}]*\}|(?<![\\A-Za-z])(KL|CE|ref|eos|SFT|RLHF)(?![A-Za-z])")


def _upright(match):
    return rf"\mathrm{{{match[1]}}}" if match[1] else match[0]


def _space_operator(match):
    return rf"\,\{match[1]}" + (match[2] or r"\,")


def _convert(source, node, *, block):
    # The converter knows \bigl and \bigr, but not \big, which leaves the side to the delimiter.
    source = re.sub(r"\\([bB]ig)(?=[\[(])", r"\\\1l", source)
    source = re.sub(r"\\([bB]ig)(?=[\])])", r"\\\1r", source)
    source = _NAMES.sub(_upright, source)
    # Without the space that TeX puts around an operator's name, "b log Z" runs together.
    source = re.sub(r"\\(log|exp)(?![A-Za-z])\s*(\(?)", _space_operator, source)
    try:
        return tex2mathml(source, as_block=block)
    except MathError as error:
        logger.warning("cannot convert the formula %r: %s", source, error, location=node)
        raise nodes.SkipNode from error


def _visit_inline(self, node):
    self.body.append(_convert(node.astext(), node, block=False))
    raise nodes.SkipNode


def _visit_block(self, node):
    formula = _convert(node.astext(), node, block=True)
    self.body.append(f'<div class="math">{formula}</div>')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
