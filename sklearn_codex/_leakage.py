"""Whether pairs to be scored share prompts with the pairs a model was fitted on."""

import warnings
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._pairs import TextPairs
from sklearn_codex.exceptions import LeakageWarning

# Without prompts, a response that stands on both sides is the sign of a shared prompt, unless it is
# so short that two prompts may well have it in common.
MIN_RESPONSE_LENGTH = 40
# A few answers serve several prompts; a share of this size comes from splitting prompts only.
MAX_COMMON_RESPONSES = 0.25

Hashes = NDArray[np.uint64]


class TrainingPairs:
    """What a model remembers of its training pairs: 8 bytes a pair and a prompt, no text.

    Parameters
    ----------
    pairs : TextPairs or None
        None where pairs were differences, which have no identity.
    """

    def __init__(self, pairs: TextPairs | None):
        self.pairs = _hash([] if pairs is None else _identities(pairs))
        self.prompts = _hash([] if pairs is None else _prompts(pairs))
        self.warned = False

    def add(self, pairs: TextPairs | None) -> None:
        """Remember more pairs."""
        more = TrainingPairs(pairs)
        self.pairs = np.union1d(self.pairs, more.pairs)
        self.prompts = np.union1d(self.prompts, more.prompts)

    def shares_prompts(self, pairs: TextPairs | None) -> bool:
        """Return whether a pair is new while its prompt (or a response of it) is not.

        Pairs that were in the fit are no sign: they are scored to learn the training score. Where
        all training pairs have one prompt there is nothing to split by.
        """
        if pairs is None or len(self.prompts) < 2:
            return False
        is_new = ~np.isin(_hash(_identities(pairs), unique=False), self.pairs)
        new = pairs.take(np.flatnonzero(is_new))
        known = np.isin(_hash(_prompts(new), unique=False), self.prompts)
        if pairs.prompts is not None or not known.size:
            return bool(known.any())
        return bool(known.mean() > MAX_COMMON_RESPONSES)

    def warn_if_shared(self, pairs: TextPairs | None, *, subject: str, stacklevel: int) -> None:
        """Warn, once for a model and for a cross-validation, of new pairs of known prompts."""
        if self.warned or pairs is None or not self.shares_prompts(pairs):
            return
        self.warned = True
        if not _known_splits.is_new(self.pairs, _hash(_identities(pairs))):
            return
        warn_of_leakage(
            f"{subject} scores pairs whose prompts, or responses, stood in its training pairs too, "
            "so the score measures memory.",
            stacklevel=stacklevel + 1,
        )


class _KnownSplits:
    """Tells the folds of one cross-validation from those of another.

    Python shows a warning once for a place in the code, but scikit-learn runs every fold with fresh
    filters. What the folds of one cross-validation have in common is the data on both sides; where
    the same split comes again, another one has begun.
    """

    def __init__(self):
        self.data = None
        self.splits = set()

    def is_new(self, train: Hashes, test: Hashes) -> bool:
        """Return whether a split is not one more fold of the data last seen."""
        data, split = _digest(np.union1d(train, test)), _digest(train)
        is_new = data != self.data or split in self.splits
        if is_new:
            self.data, self.splits = data, set()
        self.splits.add(split)
        return is_new


_known_splits = _KnownSplits()


def _digest(hashes: Hashes) -> bytes:
    return blake2b(hashes.tobytes(), digest_size=8).digest()


def warn_of_leakage(finding: str, *, stacklevel: int) -> None:
    """Warn of a split that does not keep prompts together, and say what to do."""
    warnings.warn(
        f"{finding} Split by prompt: cross_val_score(..., groups=prompts, cv=GroupKFold()). Where "
        "this is meant, filter sklearn_codex.exceptions.LeakageWarning.",
        LeakageWarning,
        stacklevel=stacklevel + 1,
    )


def shared_prompts(pairs: TextPairs) -> NDArray[np.intp]:
    """Return the group of each pair (n_pairs,): its prompt, an empty prompt being its own group."""
    position: dict[object, int] = {}
    prompts = pairs.prompts or [""] * len(pairs.responses_a)
    keys = [prompt if prompt.strip() else row for row, prompt in enumerate(prompts)]
    return np.array([position.setdefault(key, len(position)) for key in keys], dtype=np.intp)


def _identities(pairs: TextPairs) -> Iterable[tuple[str, ...]]:
    """Return each pair without its order."""
    prompts = pairs.prompts or [""] * len(pairs.responses_a)
    rows = zip(prompts, pairs.responses_a, pairs.responses_b, strict=True)
    return ((prompt, *sorted(responses)) for prompt, *responses in rows)


def _prompts(pairs: TextPairs) -> Iterable[tuple[str, ...]]:
    """Return what pairs of one prompt share: the prompt, or, where there is none, a response."""
    if pairs.prompts is not None:
        return ((prompt,) for prompt in pairs.prompts if prompt.strip())
    responses = [*pairs.responses_a, *pairs.responses_b]
    return (("", text) for text in responses if len(text) >= MIN_RESPONSE_LENGTH)


def _hash(items: Iterable[tuple[str, ...]], *, unique: bool = True) -> Hashes:
    """Return 64-bit hashes, the same in every process, distinct and sorted where ``unique``."""
    digests = [
        blake2b("\x1f".join(item).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for item in items
    ]
    hashes = np.frombuffer(b"".join(digests), dtype=np.uint64)
    return np.unique(hashes) if unique else hashes
