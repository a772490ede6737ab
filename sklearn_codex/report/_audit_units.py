"""What belongs together, in words: prompts, the groups of a column, or nothing but the pairs.

Every sentence on data that a model has not seen takes its noun from here, so that none speaks of
prompts where no prompt was found.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Units:
    """The words for what the audit keeps together.

    Parameters
    ----------
    one : {"prompt", "group", "pair"}
        What a unit is called.
    column : str, default=""
        Column that says what belongs together, where the caller names one.
    n_without : int, default=0
        Pairs without a prompt, where others have one.
    n_pairs : int, default=0
        All pairs.
    """

    one: str = "prompt"
    column: str = ""
    n_without: int = 0
    n_pairs: int = 0

    @classmethod
    def of(cls, audit):
        """Return the words for an audit, as from ``audit_preferences``."""
        prompts = audit["prompts"]
        is_part = prompts["kept_together"] == "prompt"
        return cls(
            prompts["kept_together"],
            prompts["column"] or "",
            prompts["n_pairs_without"] if is_part else 0,
            audit["sizes"]["n_pairs"],
        )

    @property
    def are_known(self):
        """Whether there is something that keeps pairs together."""
        return self.one != "pair"

    @property
    def many(self):
        """Several of them."""
        return f"{self.one}s"

    @property
    def never_seen(self):
        """Those that a model was not fitted on."""
        return f"{self.many} never seen"

    @property
    def independent(self):
        """How the number of them is labelled in a table."""
        if self.one == "prompt":
            return (
                "independent prompts (similar ones joined, and conversations that continue another)"
            )
        return f"groups ({self.column})" if self.are_known else "pairs, taken to be independent"

    @property
    def drawn(self):
        """How a sample of them is drawn."""
        return f"drawn by {self.one}" if self.are_known else "drawn at random"

    def count(self, n):
        """Return a number of them that are independent of each other."""
        if self.one == "prompt":
            return f"{n:,} independent prompt{'' if n == 1 else 's'}"
        return f"{n:,} {self.one if n == 1 else self.many}"

    @property
    def caveat(self):
        """What makes every figure on data not seen too good; "" where nothing is known to."""
        if not self.are_known:
            return "pairs of one prompt may stand on both sides, so this can be far too high"
        if self.n_without:
            return (
                f"{self.n_without:,} of {self.n_pairs:,} pairs have no prompt and count as one "
                "each, which can make this too high"
            )
        return ""

    def qualify(self, sentence):
        """Return a sentence that ends with a full stop, with the caveat behind it."""
        if not self.caveat:
            return sentence
        return f"{sentence.removesuffix('.')}; {self.caveat}."


PROMPTS = Units()
"""Words for data that have prompts, which are kept together."""
