"""The page of an audit."""

from sklearn_codex import __version__
from sklearn_codex.report._audit_decision_words import NAT, decision_block
from sklearn_codex.report._audit_sections import audit_sections
from sklearn_codex.report._audit_sections_reading import reading_blocks
from sklearn_codex.report._audit_sections_sample import describe_sample
from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._html import page


def render(audit, sections=None, *, lists=()):
    """Return the report of an audit as a page that links to the lists beside it."""
    sections = audit_sections(audit) if sections is None else sections
    sizes, units, sampled = audit["sizes"], Units.of(audit), audit["sampled"]
    known = units.count(sizes["n_groups"]) if units.are_known else "no prompts"
    intervals = (
        f"know that pairs {'share prompts' if units.one == 'prompt' else 'are in groups'}"
        if units.are_known
        else "take pairs to be independent, which without prompts nobody knows"
    )
    models = "" if sampled is None else f"; models are of {describe_sample(sampled)}"
    return page(
        f"Audit of {audit['source']}",
        f"{sizes['n_pairs']:,} preference pairs, {known}{models}{_date(audit)}",
        sections,
        f"sklearn-codex {__version__}, seed {audit['seed']}. All models are linear and small: what "
        "they find is there; what they miss a larger model may find. Intervals are 95% and "
        f"{intervals}.",
        [decision_block(audit), *reading_blocks(audit)],
        glossary=NAT,
        lists=lists,
    )


def _date(audit):
    """Return when an audit was made, "" where it does not say."""
    date = audit.get("date")
    return f". Made on {date[:10]} at {date[11:16]} UTC" if date else ""
