"""Whether pairs to be scored share prompts with the pairs a model was fitted on."""

import sys
import warnings
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_codex._data.pairs import TextPairs
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
        hashed = _hash_pairs(TextPairs(None, [], []) if pairs is None else pairs)
        self.pairs = np.unique(hashed.pairs)
        self.prompts = np.unique(hashed.shared[hashed.is_sign])
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
        hashed = _hash_pairs(pairs)
        is_new = ~np.isin(hashed.pairs, self.pairs)
        known = np.isin(hashed.shared[is_new][hashed.is_sign[is_new]], self.prompts)
        if pairs.prompts is not None or not known.size:
            return bool(known.any())
        return bool(known.mean() > MAX_COMMON_RESPONSES)

    def warn_if_shared(self, pairs: TextPairs | None, *, model: Any, stacklevel: int) -> None:
        """Warn, once for a model and for a cross-validation, of new pairs of known prompts."""
        if self.warned or pairs is None or not self.shares_prompts(pairs):
            return
        self.warned = True
        subject, candidate = type(model).__name__, repr(model.get_params())
        unit = getattr(model, "_unit_of_rows", "pairs")
        if not _known_splits.is_new(
            self.pairs, np.unique(_hash_pairs(pairs).pairs), subject=subject, candidate=candidate
        ):
            return
        warn_of_leakage(
            f"{subject} scores {unit} whose prompts, or responses, stood in its training {unit} "
            "too, so the score measures memory.",
            stacklevel=stacklevel + 1,
        )


def warn_of_scored_pairs(model: Any, pairs: TextPairs | None, *, scored: bool) -> None:
    """Warn where a model is scored on pairs that share prompts with those of its fit.

    Parameters
    ----------
    model : estimator
        It remembers its training pairs as ``_training_pairs``.
    pairs : TextPairs or None
        What it is asked about; None for differences.
    scored : bool
        Whether this is for a score. If not, it may still be that a scorer of scikit-learn asks,
        which measures memory as much; to predict for a known prompt is no mistake.
    """
    known = getattr(model, "_training_pairs", None)
    if known is not None and pairs is not None and (scored or _is_called_by_scorer()):
        known.warn_if_shared(pairs, model=model, stacklevel=4)


def _is_called_by_scorer() -> bool:
    """Return whether a scorer of scikit-learn is among the callers."""
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module == "sklearn.metrics._scorer":
            return True
        # A scorer that is any function.
        if module == "sklearn.model_selection._validation" and frame.f_code.co_name == "_score":
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


class _KnownSplits:
    """Tells the folds of one cross-validation, search or learning curve from those of another.

    Python shows a warning once for a place in the code, but scikit-learn runs every fold with fresh
    filters. What the folds have in common is the data on both sides, of which a learning curve
    takes a part; where the same split comes again for the same parameters, another one has begun.
    """

    def __init__(self):
        self.data = {}  # subject: all pairs seen
        self.splits = {}  # subject: the training sides seen, with their parameters

    def is_new(self, train: Hashes, test: Hashes, *, subject: str, candidate: str) -> bool:
        """Return whether a split is not one more fold of the data that a model saw last."""
        data, known = np.union1d(train, test), self.data.get(subject)
        split = (_digest(train), candidate)
        is_new = known is None or split in self.splits[subject] or not _are_nested(data, known)
        if is_new:
            self.data[subject], self.splits[subject] = data, set()
        elif len(data) > len(known):
            self.data[subject] = data
        self.splits[subject].add(split)
        return is_new


_known_splits = _KnownSplits()


def _are_nested(one: Hashes, other: Hashes) -> bool:
    """Return whether all hashes of one are in the other, either way round."""
    few, many = sorted((one, other), key=len)
    return bool(np.isin(few, many).all())


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


class HashedPairs(NamedTuple):
    """Hashes of pairs, by which they are known again.

    Attributes
    ----------
    pairs : ndarray of uint64 of shape (n_pairs,)
        Of each pair without its order.
    shared : ndarray of uint64 of shape (n_pairs, 1) or (n_pairs, 2)
        Of what pairs of one prompt share: the prompt, or, where there are none, the responses.
    is_sign : ndarray of bool, of the shape of ``shared``
        Whether to share this tells anything; a blank prompt or a short response does not.
    """

    pairs: Hashes
    shared: Hashes
    is_sign: NDArray[np.bool_]


def _hash_pairs(pairs: TextPairs) -> HashedPairs:
    n_pairs = len(pairs.responses_a)
    texts = [*pairs.responses_a, *pairs.responses_b]
    responses = _hash(texts).reshape(2, n_pairs).T  # (n_pairs, 2)
    if pairs.prompts is None:
        prompts = _hash([""] * n_pairs)
        # Mixed, so that no response is taken for a prompt.
        shared = _mix(responses)
        is_long = np.array([len(text) >= MIN_RESPONSE_LENGTH for text in texts], dtype=bool)
        is_sign = is_long.reshape(2, n_pairs).T
    else:
        prompts = _hash(pairs.prompts)
        shared = prompts.reshape(n_pairs, 1)
        is_sign = np.array([bool(prompt.strip()) for prompt in pairs.prompts], dtype=bool)
        is_sign = is_sign.reshape(n_pairs, 1)
    least, greatest = responses.min(axis=1), responses.max(axis=1)
    return HashedPairs(_mix(_mix(_mix(prompts) + least) + greatest), shared, is_sign)


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
