"""Whether pairs to be scored share prompts with the pairs a model was fitted on."""

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._data.text_pairs import TextPairs
from sklearn_codex._data.vectors import name_vectors
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
        hashed = HashedPairs(TextPairs(None, [], []) if pairs is None else pairs)
        shared, is_sign = hashed.signs
        self.pairs = np.unique(hashed.pairs)
        self.prompts = np.unique(shared[is_sign])
        self.warned = False

    def add(self, pairs: TextPairs | None) -> None:
        """Remember more pairs."""
        more = TrainingPairs(pairs)
        self.pairs, self.prompts = (
            np.union1d(self.pairs, more.pairs),
            np.union1d(self.prompts, more.prompts),
        )

    def shares_prompts(self, pairs: TextPairs | None) -> bool:
        """Return whether a pair is new while its prompt (or a response of it) is not.

        Pairs that were in the fit are no sign: they are scored to learn the training score. Where
        all training pairs have one prompt there is nothing to split by.
        """
        if pairs is None or len(self.prompts) < 2:
            return False
        hashed = HashedPairs(pairs)
        shared, is_sign = hashed.signs
        is_known = np.isin(shared, self.prompts)
        if not is_known[is_sign].any():
            return False
        is_new = ~np.isin(hashed.pairs, self.pairs)
        known = is_known[is_new][is_sign[is_new]]
        if pairs.prompts is not None or not known.size:
            return bool(known.any())
        return bool(known.mean() > MAX_COMMON_RESPONSES)


def warn_of_scored_rows(
    model: Any, read: Callable[[], TextPairs | None], *, stacklevel: int
) -> None:
    """Warn, once for a model and for a cross-validation, of a score of new rows of known prompts.

    Called where a score is made, by ``score`` and, as the method ``_warn_if_scored(X)`` of a model,
    by the scorers of ``metrics``: to predict for a known prompt is no mistake.

    Parameters
    ----------
    model : estimator
        It remembers its training pairs as ``_training_pairs``.
    read : callable
        Returns the rows as pairs of text, None for numbers; called only where some are known.
    stacklevel : int
        Of the caller, as for ``warnings.warn``.
    """
    known = getattr(model, "_training_pairs", None)
    if known is None or known.warned or not len(known.prompts):
        return
    pairs = read()
    if pairs is None or not known.shares_prompts(pairs):
        return
    known.warned = True
    subject, candidate = type(model).__name__, repr(model.get_params())
    unit = getattr(model, "_unit_of_rows", "pairs")
    test = np.unique(HashedPairs(pairs).pairs)
    if _known_splits.is_new(known.pairs, test, subject=subject, candidate=candidate):
        warn_of_leakage(
            f"{subject} scores {unit} whose prompts, or responses, stood in its training {unit} "
            "too, so the score measures memory.",
            stacklevel=stacklevel + 1,
        )


class _KnownSplits:
    """Tells the folds of one cross-validation, search or learning curve from those of another.

    Python shows a warning once for a place in the code, but scikit-learn runs every fold with fresh
    filters. What the folds have in common is the data on both sides, of which a learning curve
    takes a part; where the same split comes again for the same parameters, another one has begun.
    """

    def __init__(self):
        # Of each subject all pairs of its last split, and its training sides so far.
        self.last: dict[str, tuple[Hashes, set[tuple[int, str]]]] = {}

    def is_new(self, train: Hashes, test: Hashes, *, subject: str, candidate: str) -> bool:
        """Return whether a split is not one more fold of the data that a model saw last."""
        data, split = np.union1d(train, test), (hash(train.tobytes()), candidate)
        known, splits = self.last.get(subject, (data[:0], set()))
        both = np.union1d(data, known)
        is_part = len(both) == max(len(data), len(known))
        is_new = not splits or split in splits or not is_part
        self.last[subject] = (data, {split}) if is_new else (both, splits | {split})
        return is_new


_known_splits = _KnownSplits()


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


def vectors_as_pairs(X: Any, *, subject: str) -> TextPairs | None:
    """Return pairs of vectors by names of these, as one that recurs tells pairs of one prompt."""
    named = name_vectors(X, subject=subject)
    return None if named is None else TextPairs(None, *named)


class HashedPairs:
    """Hashes of pairs, by which they are known again, each made when it is asked for."""

    def __init__(self, pairs: TextPairs):
        self._texts = pairs

    @cached_property
    def _responses(self) -> Hashes:
        """Of both responses (n_pairs, 2)."""
        return np.stack([_hash(self._texts.responses_a), _hash(self._texts.responses_b)], axis=1)

    @cached_property
    def pairs(self) -> Hashes:
        """Of each pair without its order (n_pairs,)."""
        prompts = self._texts.prompts
        of_prompts = _hash([""] * len(self._responses) if prompts is None else prompts)
        least, greatest = self._responses.min(axis=1), self._responses.max(axis=1)
        return _mix(_mix(_mix(of_prompts) + least) + greatest)

    @cached_property
    def signs(self) -> tuple[Hashes, NDArray[np.bool_]]:
        """Of what pairs of one prompt share, and whether to share it tells anything (n_pairs, k).

        That is the prompt, or, where there are none, the responses; a blank prompt or a short
        response tells nothing.
        """
        texts = self._texts
        if texts.prompts is not None:
            is_sign = np.array([bool(prompt.strip()) for prompt in texts.prompts], dtype=bool)
            return _hash(texts.prompts)[:, np.newaxis], is_sign[:, np.newaxis]
        sides = (texts.responses_a, texts.responses_b)
        is_long = [[len(text) >= MIN_RESPONSE_LENGTH for text in side] for side in sides]
        # Mixed, so that no response is taken for a prompt.
        return _mix(self._responses), np.array(is_long, dtype=bool).T


def _hash(texts: Sequence[str]) -> Hashes:
    """Return 64-bit hashes (n_texts,), the same in every process. A text is read once."""
    digests = {
        text: blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for text in dict.fromkeys(texts)
    }
    return np.frombuffer(b"".join([digests[text] for text in texts]), dtype=np.uint64)


def _mix(hashes: Hashes) -> Hashes:
    """Return hashes of hashes, modulo 2^64: the last step of SplitMix64, one to one."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
    return hashes ^ (hashes >> np.uint64(31))
