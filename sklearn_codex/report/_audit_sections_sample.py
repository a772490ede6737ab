"""What was computed on a sample of the pairs, in words."""

from dataclasses import replace

from sklearn_codex.report._blocks import Note

ALL = "all"
MODELS, LENGTH, REWARD, TO_DO, TESTS = "models", "length", "reward", "to do", "tests"


def tell_sample(section, audit, kind):
    """Return a section that begins with what of it was computed on a sample, if anything was."""
    sampled = audit["sampled"]
    if sampled is None:
        return section
    return replace(section, blocks=[Note(_SENTENCES[kind](sampled)), *section.blocks])


def describe_sample(sampled):
    """Return how many of how many pairs models learned from."""
    return f"{sampled['n_pairs']:,} of {sampled['of_pairs']:,} pairs"


def _all(sampled):
    return f"Sizes, checks and leakage are of all {sampled['of_pairs']:,} pairs."


def _models(sampled):
    return (
        f"Computed on {describe_sample(sampled)}, {_drawn(sampled)}. "
        f"The interval of the best accuracy is ±{_points(sampled['half_width'])} points instead of "
        f"{'at best' if sampled['n_groups_in_part'] else 'about'} "
        f"±{_points(sampled['half_width_of_all'])}; what models would learn from more prompts, the "
        "learning curve tells as far as it goes. Votes of annotators are of all pairs. "
        "--max-pairs 0 computes on all, which takes longer and more memory."
    )


def _drawn(sampled):
    drawn = (
        f"drawn by prompt ({sampled['n_groups']:,} of {sampled['of_groups']:,} independent prompts)"
    )
    n = sampled["n_groups_in_part"]
    if n:
        has = "prompt has" if n == 1 else "prompts have"
        drawn += (
            f"; {n:,} {has} too many pairs to be drawn whole, and the same share of these "
            "was drawn as of the others"
        )
    return drawn


def _length(sampled):
    return (
        f"How often the longer response wins is of all {sampled['of_pairs']:,} pairs; what is said "
        f"of models is computed on {describe_sample(sampled)}, drawn by prompt, and so are the "
        "numbers of pairs beside it."
    )


def _reward(sampled):
    return (
        f"Computed on {describe_sample(sampled)}, drawn by prompt: numbers of pairs are of the "
        "sample, intervals are wider than those of all pairs would be, and what only all pairs "
        "would show is missed."
    )


def _to_do(sampled):
    return (
        f"Labels were checked on all {sampled['of_pairs']:,} pairs. Pairs to label are of the "
        f"prompts of {describe_sample(sampled)}, drawn by prompt, from which their reward was "
        "learned."
    )


def _tests(sampled):
    return (
        "Tests of the position, of length alone and of wrong labels are of all "
        f"{sampled['of_pairs']:,} pairs, the others of {describe_sample(sampled)}, drawn by prompt."
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
