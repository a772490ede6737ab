"""How Sphinx builds the documentation; ``make docs`` runs it, without network."""

import sys
import warnings
from pathlib import Path

import matplotlib

import sklearn_codex
from sklearn_codex._doc_links import project_urls

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
matplotlib.use("agg")
# Examples end with plt.show(), which has no window to show here.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

project = "sklearn-codex"
author = "The sklearn-codex developers"
copyright = author
release = version = sklearn_codex.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "solutions",
]
exclude_patterns = ["_build", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
default_role = "literal"
nitpicky = True
# Other projects are named, not linked: no inventory is downloaded.
nitpick_ignore_regex = [
    (r"py:.*", r"(sklearn|numpy|scipy|pandas|joblib)\..*"),
    (r"py:.*", r"re|optional|array-like|mapping of .*"),
]

html_theme = "pydata_sphinx_theme"
html_title = "sklearn-codex"
# The theme asks for a mode, and says so in the console where there is none.
html_context = {"default_mode": "auto"}
# Addresses stand in pyproject.toml, [project.urls]; what has none is not linked.
html_baseurl = project_urls().get("Documentation", "")
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 5,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
if "Source" in project_urls():
    html_theme_options["icon_links"] = [
        {"name": "Source", "url": project_urls()["Source"], "icon": "fa-solid fa-code-branch"}
    ]
html_sidebars = {
    "index": [],
    "start": [],
    "check_your_algorithm": [],
    "from_trl": [],
    "training_metrics": [],
    "limits": [],
}

# Pages of sklearn_codex.lab.torch are made without the libraries of the extra lab, which are large.
autodoc_mock_imports = ["tokenizers", "torch", "transformers"]
autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"[\\/]plot_",
    "subsection_order": [
        "../examples/loop",
        "../examples/preferences",
        "../examples/lessons",
        "../examples/policies",
        "../examples/limits",
    ],
    "nested_sections": False,
    "within_subsection_order": "gallery_order.LoopOrder",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sklearn_codex",),
    "reference_url": {"sklearn_codex": None},
    "plot_gallery": True,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "image_scrapers": ("matplotlib",),
}


def _skip_foreign_members(app, what, name, obj, skip, options):
    """Leave out what base classes of scikit-learn and Python bring; api.rst says so once."""
    owner = getattr(obj, "__objclass__", obj)
    module = getattr(owner, "__module__", None) or ""
    is_request = name.startswith("set_") and name.endswith("_request")
    return True if module.startswith(("sklearn.", "builtins")) or is_request else None


def _resolve_top_level_name(app, env, node, contnode):
    """Resolve a bare name of the package's top level in the docstring of any module."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or target.partition(".")[0] not in sklearn_codex.__all__:
        return None
    return env.domains["py"].resolve_xref(
        env,
        node["refdoc"],
        app.builder,
        node["reftype"],
        f"sklearn_codex.{target}",
        node,
        contnode,
    )


def setup(app):
    app.connect("autodoc-skip-member", _skip_foreign_members)
    app.connect("missing-reference", _resolve_top_level_name)
