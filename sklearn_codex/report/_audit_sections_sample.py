"""What was computed on a sample of the pairs, in words."""

from dataclasses import replace

from sklearn_codex.report._audit_units import Units
from sklearn_codex.report._blocks import Note

ALL = "all"
MODELS, LENGTH, REWARD, TO_DO, TESTS = "models", "length", "reward", "to do", "tests"


def tell_sample(section, audit, kind):
    """Return a section that begins with what of it was computed on a sample, if anything was."""
    sampled = audit["sampled"]
    if sampled is None:
        return section
    sentence = _SENTENCES[kind](sampled, Units.of(audit))
    return replace(section, blocks=[Note(sentence), *section.blocks])


def describe_sample(sampled):
    """Return how many of how many pairs models learned from."""
    return f"{sampled['n_pairs']:,} of {sampled['of_pairs']:,} pairs"


def _all(sampled, units):
    return f"Sizes, checks and leakage are of all {sampled['of_pairs']:,} pairs."


def _models(sampled, units):
    return (
        f"Computed on {describe_sample(sampled)}, {_drawn(sampled, units)}. "
        f"The interval of the best accuracy is ±{_points(sampled['half_width'])} points instead of "
        f"{'at best' if sampled['n_groups_in_part'] else 'about'} "
        f"±{_points(sampled['half_width_of_all'])}; what models would learn from more "
        f"{units.many}, the learning curve tells as far as it goes. Votes of annotators are of all "
        "pairs. --max-pairs 0 computes on all, which takes longer and more memory."
    )


def _drawn(sampled, units):
    if not units.are_known:
        return units.drawn
    drawn = f"{units.drawn} ({sampled['n_groups']:,} of {units.count(sampled['of_groups'])})"
    n = sampled["n_groups_in_part"]
    if n:
        has = f"{units.one} has" if n == 1 else f"{units.many} have"
        drawn += (
            f"; {n:,} {has} too many pairs to be drawn whole, and the same share of these "
            "was drawn as of the others"
        )
    return drawn


def _length(sampled, units):
    return (
        f"How often the longer response wins is of all {sampled['of_pairs']:,} pairs; what is said "
        f"of models is computed on {describe_sample(sampled)}, {units.drawn}, and so are the "
        "numbers of pairs beside it."
    )


def _reward(sampled, units):
    return (
        f"Computed on {describe_sample(sampled)}, {units.drawn}: numbers of pairs are of the "
        "sample, intervals are wider than those of all pairs would be, and what only all pairs "
        "would show is missed."
    )


def _to_do(sampled, units):
    return (
        f"Labels were checked on all {sampled['of_pairs']:,} pairs. Pairs to label are "
        f"from {describe_sample(sampled)}, {units.drawn}, from which their reward was "
        "learned."
    )


def _tests(sampled, units):
    return (
        "Tests of the position, of length alone and of wrong labels are of all "
        f"{sampled['of_pairs']:,} pairs, the others of {describe_sample(sampled)}, {units.drawn}."
    )


def _points(share):
    return f"{100 * share:.1f}"


_SENTENCES = {
    ALL: _all,
    MODELS: _models,
    LENGTH: _length,
    REWARD: _reward,
    TO_DO: _to_do,
    TESTS: _tests,
}
