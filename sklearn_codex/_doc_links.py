"""The HTML diagrams of notebooks: how they are laid out, and links to the documentation.

An estimator that holds fitted models shows each of them as one box, in a column: what a frozen
model was made of, down to its vectorizer, would be wider than any cell.

The documentation has no public address of its own. Whoever builds it (``make docs``) and puts it
somewhere says so in the environment variable ``SKLEARN_CODEX_DOCS``, or as ``Documentation`` in the
table ``[project.urls]`` of pyproject.toml, where all addresses of the project stand and from where
they come to the package's metadata. Without either there are no links.
"""

import os
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata

from sklearn.frozen import FrozenEstimator
from sklearn.utils._repr_html.estimator import _VisualBlock

VARIABLE = "SKLEARN_CODEX_DOCS"
DISTRIBUTION = "sklearn-codex"


def link_estimators(cls):
    """Decorate a public class, or a mixin of some, whose diagrams are to link to their pages."""
    cls._doc_link_module = "sklearn_codex"
    cls._doc_link_template = "{page}"
    cls._doc_link_url_param_generator = _find_page
    if not hasattr(cls, "_sk_visual_block_"):
        cls._sk_visual_block_ = _lay_out
    return cls


def _lay_out(estimator):
    """Return how an estimator is drawn: frozen models in it as one box each."""
    held = {
        name: value
        for name, value in estimator.get_params(deep=False).items()
        if hasattr(value, "fit") and hasattr(value, "get_params") and not isinstance(value, type)
    }
    if not held:
        name = type(estimator).__name__
        return _VisualBlock("single", estimator, names=name, name_details=str(estimator))
    names = [f"{name}: {type(value).__name__}" for name, value in held.items()]
    details = [str(value) for value in held.values()]
    if not any(isinstance(value, FrozenEstimator) for value in held.values()):
        return _VisualBlock("parallel", list(held.values()), names=names, name_details=details)
    drawn = [
        _FrozenBox(name, value) if isinstance(value, FrozenEstimator) else value
        for name, value in held.items()
    ]
    return _VisualBlock("serial", drawn, names=names, name_details=details)


class _FrozenBox:
    """What scikit-learn draws of a frozen model: one box with its name and its parameters."""

    def __init__(self, name, frozen):
        while isinstance(frozen, FrozenEstimator):
            frozen = frozen.estimator
        self._name, self._model = name, frozen

    def _sk_visual_block_(self):
        name = f"{self._name}: {type(self._model).__name__}, frozen"
        return _VisualBlock("single", self, names=name, name_details=str(self._model))

    def __getattr__(self, name):
        if name in ("_get_params_html", "_get_fitted_attr_html", "_get_doc_link"):
            return getattr(self._model, name)
        raise AttributeError(name)


def _find_page(estimator):
    """Return the address of the page of an estimator's class, "" where there is none."""
    base = os.environ.get(VARIABLE) or project_urls().get("Documentation")
    if not base:
        return {"page": ""}
    return {"page": f"{base.rstrip('/')}/generated/sklearn_codex.{type(estimator).__name__}.html"}


@cache
def project_urls():
    """Return the addresses that the installed package names, by their labels."""
    try:
        urls = metadata(DISTRIBUTION).get_all("Project-URL") or []
    except PackageNotFoundError:
        return {}
    return dict(url.split(", ", 1) for url in urls if ", " in url)
