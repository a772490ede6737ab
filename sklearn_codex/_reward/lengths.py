"""By how much response A of each pair is longer, from what says so, or a refusal."""

from typing import Any, Literal, NamedTuple

from sklearn_codex._categorical import FloatArray
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.pairs import ReadPairs
from sklearn_codex._data.vectorizers import token_columns
from sklearn_codex.text import TokenCounter

Source = Literal["text", "given lengths", "counts"]


class Lengths(NamedTuple):
    """Length differences.

    Attributes
    ----------
    difference : ndarray of shape (n_pairs,)
        By how much A is longer.
    source : {"text", "given lengths", "counts"}
        Characters of text, lengths given beside pairs, or tokens of counts.
    """

    difference: FloatArray
    source: Source


def count_tokens_of(model: Any) -> None:
    """Raise where the numbers that a model takes are not known to be counts of tokens."""
    if isinstance(unwrap(model.vectorizer_), TokenCounter):
        return
    raise ValueError(
        f"{type(model).__name__} with control_length=True needs lengths, and numbers do not tell "
        "them unless they are counts of tokens, in the columns of vectorizer=FrozenEstimator("
        "fitted TokenCounter). Pass PairsWithLength(X, length), or text; reward and reward_margin "
        "of a fitted model need no lengths."
    )


def lengths_of(model: Any, read: ReadPairs) -> Lengths:
    """Return by how much A is longer: as given, in characters of text, or in tokens counted."""
    if read.length is not None:
        return Lengths(read.length, "given lengths")
    if read.text is not None:
        return Lengths(read.text.length_difference(), "text")
    count_tokens_of(model)
    tokens = token_columns(model.vectorizer_, read.design.shape[1])
    return Lengths(read.design.matvec(tokens), "counts")


def keep_source(model: Any, source: Source) -> None:
    """Remember of which kind the lengths of a fit are."""
    model._length_of_text = source == "text"
    model._length_given = source == "given lengths"


def check_source(model: Any, source: Source) -> None:
    """Raise where lengths are not of the kind of those of the fit."""
    fitted: Source = "text" if model._length_of_text else "counts"
    if getattr(model, "_length_given", False):
        fitted = "given lengths"
    if source == fitted:
        return
    remedy = "PairsWithLength(X, length)" if fitted == "given lengths" else fitted
    raise ValueError(
        f"{type(model).__name__} with control_length=True was fitted on {fitted} and got {source}: "
        f"lengths of one are not those of the other. Pass {remedy}, or ask for reward_margin, "
        "where length has no part."
    )
