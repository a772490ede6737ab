"""A tokenizer of whole words, for tables."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

__all__ = ["word_tokenizer"]


def word_tokenizer(words: Sequence[str]) -> Any:
    """Return a fast tokenizer that reads words between blanks.

    Parameters
    ----------
    words : sequence of str
        All words: the first is for padding, the second ends a text. No other is known, and text
        that has one raises.

    Returns
    -------
    PreTrainedTokenizerFast
        Pads on the left, as for generation; what is decoded has a blank between words.
    """
    numbers = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(numbers))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pad, eos = words[:2]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, eos_token=eos, padding_side="left"
    )
