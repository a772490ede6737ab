"""What a split leaks, in words."""

from sklearn_codex.report._audit_shown import named_texts, place
from sklearn_codex.report._blocks import Examples, Note, TableBlock

N_EXAMPLES = 5


def split_blocks(audit, units):
    """Return what is shown of leakage across the split."""
    leaks = audit["leakage"]
    if leaks is None:
        what = "pairs" if units.one == "pair" else "prompts"
        return [
            Note(
                f"No split was given, so none is searched for {what} and responses on both sides: "
                "name a column of parts or a file of held-out pairs with --split."
            )
        ]
    blocks: list = [_parts(leaks, units)]
    if leaks["n_leaking"]:
        blocks.append(_rows(leaks))
    return blocks


def _parts(leaks, units):
    n, of = leaks["n_leaking"], leaks["n_held_out"]
    kinds = ", ".join(f"{count:,} by the {kind}" for kind, count in leaks["kinds"].items() if count)
    again = f"split again by {units.one}, or " if units.are_known else ""
    shared = "its prompt, a similar one or a long response"
    unknown = ""
    if not leaks["has_prompts"]:
        shared = "its texts or a long response"
        unknown = " Whether prompts stand on both sides is not known, as there are none."
    meaning = (
        f"{n:,} of the {of:,} held-out pairs ({100 * n / of:.0f} %) stand in another part too, "
        f"{kinds}: what was learned by heart there counts as skill here, so {again}drop these "
        "pairs, before you believe an accuracy on this split."
        if n
        else f"None of the {of:,} held-out pairs shares {shared} with another part: no memory of "
        "these kinds helps an accuracy on this split."
    )
    return TableBlock(
        ("part of the split", "pairs", "that stand in another part too"),
        [(part["name"], part["n_pairs"], part["n_leaking"]) for part in leaks["parts"]],
        meaning + unknown,
        "Leakage across the split",
    )


def _rows(leaks):
    items = [
        (
            f"{place(row)} of {row['part']}: the {row['kind']} is "
            f"{row['other_where']} of {row['other_part']}",
            [
                *named_texts(row),
                *(
                    (f"{name} in {row['other_part']}", text)
                    for name, text in named_texts(row, "other_")
                ),
            ],
        )
        for row in leaks["rows"][:N_EXAMPLES]
    ]
    prompts = ", then the same prompt, a similar one," if leaks["has_prompts"] else ""
    other = "to another prompt" if leaks["has_prompts"] else "of another pair"
    meaning = (
        f"The worst first: the same pair{prompts} and a response of 40 or more characters {other}; "
        "the first hundred are in split_leaks.csv."
    )
    return Examples(items, meaning, "Pairs on both sides", "split_leaks.csv")
