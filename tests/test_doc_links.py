"""Links from HTML diagrams to the documentation."""

import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from loops import make_loop
from sklearn.base import BaseEstimator

import sklearn_codex
from sklearn_codex import PPOPolicyOptimizer, PreferenceRewardModel, UnigramLM, _doc_links

BASE = "https://docs.example/codex"


def _nothing_installed(name):
    raise PackageNotFoundError(name)


@pytest.fixture(autouse=True)
def _no_address(monkeypatch):
    monkeypatch.delenv(_doc_links.VARIABLE, raising=False)
    monkeypatch.setattr(_doc_links, "metadata", _nothing_installed)
    _doc_links.project_urls.cache_clear()
    yield
    _doc_links.project_urls.cache_clear()


def pages(estimator):
    return set(re.findall(r'href="([^"#]+)', estimator._repr_html_()))


def test_without_an_address_no_link_is_shown():
    assert UnigramLM()._get_doc_link() == ""
    assert pages(make_loop()) == set()


@pytest.mark.parametrize("base", [BASE, f"{BASE}/"])
def test_all_stages_of_a_pipeline_link_to_their_pages(monkeypatch, base):
    monkeypatch.setenv(_doc_links.VARIABLE, base)
    loop = make_loop()
    names = ["RLHFPipeline", *(type(stage).__name__ for _, stage in loop.steps)]
    assert len(names) == 5
    assert pages(loop) == {f"{BASE}/generated/sklearn_codex.{name}.html" for name in names}
    assert 'href="' in PPOPolicyOptimizer()._repr_html_()


def test_an_address_in_the_metadata_is_used_and_the_variable_wins(monkeypatch):
    class Metadata:
        def get_all(self, name):
            assert name == "Project-URL"
            return ["Source, https://src.example", "Documentation, https://meta.example"]

    monkeypatch.setattr(_doc_links, "metadata", lambda name: Metadata())
    page = "generated/sklearn_codex.UnigramLM.html"
    assert UnigramLM()._get_doc_link() == f"https://meta.example/{page}"
    monkeypatch.setenv(_doc_links.VARIABLE, BASE)
    assert UnigramLM()._get_doc_link() == f"{BASE}/{page}"


def test_subclasses_elsewhere_have_no_page_here(monkeypatch):
    monkeypatch.setenv(_doc_links.VARIABLE, BASE)

    class Mine(PreferenceRewardModel):
        pass

    assert Mine()._get_doc_link() == ""


def test_every_class_of_the_top_level_links_to_a_page_that_sphinx_writes(monkeypatch):
    monkeypatch.setenv(_doc_links.VARIABLE, BASE)
    reference = (Path(__file__).parents[1] / "docs" / "api.rst").read_text("utf-8")
    folder = re.search(r":toctree: (\w+)", reference)[1]
    values = [getattr(sklearn_codex, name) for name in sklearn_codex.__all__]
    classes = [value for value in values if isinstance(value, type)]
    classes = [value for value in classes if issubclass(value, BaseEstimator)]  # what has a diagram
    assert PreferenceRewardModel in classes
    for value in classes:
        page = f"{BASE}/{folder}/sklearn_codex.{value.__name__}.html"
        assert value._get_doc_link(value.__new__(value)) == page
