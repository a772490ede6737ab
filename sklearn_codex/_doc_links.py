"""Links from the HTML diagrams of notebooks to the documentation, where it has an address.

The documentation has no public address of its own. Whoever builds it (``make docs``) and puts it
somewhere says so in the environment variable ``SKLEARN_CODEX_DOCS``, or as ``Documentation`` in the
table ``[project.urls]`` of pyproject.toml, where all addresses of the project stand and from where
they come to the package's metadata. Without either there are no links.
"""

import os
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata

VARIABLE = "SKLEARN_CODEX_DOCS"
DISTRIBUTION = "sklearn-codex"


def link_estimators(cls):
    """Decorate a public class, or a mixin of some, whose diagrams are to link to their pages."""
    cls._doc_link_module = "sklearn_codex"
    cls._doc_link_template = "{page}"
    cls._doc_link_url_param_generator = _find_page
    return cls


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
