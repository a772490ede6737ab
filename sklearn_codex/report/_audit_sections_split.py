"""What a split leaks, in words."""

from sklearn_codex.report._blocks import Examples, Note, TableBlock

N_EXAMPLES = 5


def split_blocks(audit):
    """Return what is shown of leakage across the split."""
    leaks = audit["leakage"]
    if leaks is None:
        return [
            Note(
                "No split was given, so none is searched for prompts and responses on both sides: "
                "name a column of parts or a file of held-out pairs with --split."
            )
        ]
    blocks: list = [_parts(leaks)]
    if leaks["n_leaking"]:
        blocks.append(_rows(leaks))
    return blocks


def _parts(leaks):
    n, of = leaks["n_leaking"], leaks["n_held_out"]
    kinds = ", ".join(f"{count:,} by the {kind}" for kind, count in leaks["kinds"].items() if count)
    meaning = (
        f"{n:,} of the {of:,} held-out pairs ({100 * n / of:.0f} %) stand in another part too, "
        f"{kinds}: what was learned by heart there counts as skill here, so split again by prompt, "
        "or drop these rows, before you believe an accuracy on this split."
        if n
        else f"None of the {of:,} held-out pairs shares its prompt, a similar one or a long "
        "response with another part: no memory of these kinds helps an accuracy on this split."
    )
    return TableBlock(
        ("part of the split", "pairs", "that stand in another part too"),
        [(part["name"], part["n_pairs"], part["n_leaking"]) for part in leaks["parts"]],
        meaning,
        "Leakage across the split",
    )


def _rows(leaks):
    items = [
        (
            f"Row {row['row']} of {row['part']}: the {row['kind']} is row {row['other_row']} of "
            f"{row['other_part']}",
            [
                ("Prompt", row["prompt"]),
                ("A", row["response_a"]),
                ("B", row["response_b"]),
                (f"Prompt in {row['other_part']}", row["other_prompt"]),
                (f"A in {row['other_part']}", row["other_response_a"]),
                (f"B in {row['other_part']}", row["other_response_b"]),
            ],
        )
        for row in leaks["rows"][:N_EXAMPLES]
    ]
    meaning = (
        "The worst first: the same pair, then the same prompt, a similar one, and a response of 40 "
        "or more characters to another prompt; the first hundred are in split_leaks.csv."
    )
    return Examples(items, meaning, "Pairs on both sides")
