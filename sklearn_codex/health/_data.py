"""Preference data as the checks see it: codes of prompts, responses and pairs."""

import reprlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from sklearn_codex._categorical import BoolArray, FloatArray, IntArray
from sklearn_codex._checks.groups import check_groups
from sklearn_codex._checks.matrices import as_csr, check_numbers
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._data.lengths import pairs_alone
from sklearn_codex._data.text_pairs import check_text_pairs
from sklearn_codex._data.vectors import (
    as_response_ids,
    check_pairs_of,
    holds_vectors,
    prompted_vectors,
)


@dataclass(frozen=True)
class PreferenceData:
    """Checked pairs.

    Parameters
    ----------
    y : ndarray of shape (n_pairs,)
        Probability that A is preferred.
    pair : ndarray of int of shape (n_pairs,)
        Code of the prompt and the two responses, whichever of them is A.
    forward : ndarray of bool of shape (n_pairs,)
        Which of its two orders a pair has.
    identical : ndarray of bool of shape (n_pairs,)
        Whether A equals B.
    context : ndarray of int of shape (n_pairs,)
        Code of what pairs must share to be comparable: the prompt where there are prompts, else
        the given group, else nothing.
    groups : ndarray of int of shape (n_pairs,) or None
        Code of what must not be torn apart by a split: the given groups, else the prompts.
    prompts : list of str or None
        Prompt of each pair.
    responses : list of str
        The distinct responses; empty where X is a matrix.
    a, b : ndarray of int of shape (n_pairs,)
        Which responses each pair compares; empty where X is a matrix.
    differences : ndarray or CSR array of shape (n_pairs, V) or None
        X where it is a matrix.
    """

    y: FloatArray
    pair: IntArray
    forward: BoolArray
    identical: BoolArray
    context: IntArray
    groups: IntArray | None
    prompts: list[str] | None
    responses: list[str]
    a: IntArray
    b: IntArray
    differences: Any = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def is_text(self) -> bool:
        """Whether the responses are known, not only the differences of their features."""
        return self.differences is None

    @property
    def decided(self) -> BoolArray:
        """Whether each pair (n_pairs,) has a preference, not a tie."""
        return self.y != 0.5

    @property
    def unit(self) -> str:
        """What the groups are called."""
        if self.groups is None:
            return "pair"
        return "prompt" if self.groups is self.context and self.prompts is not None else "group"

    @property
    def context_unit(self) -> str | None:
        """What pairs must share to be comparable, None where that is nothing."""
        if self.prompts is not None:
            return "prompt"
        return None if self.groups is None else "group"

    @property
    def units(self) -> IntArray:
        """Groups (n_pairs,) where there are any, else each pair on its own."""
        return np.arange(len(self)) if self.groups is None else self.groups

    def to_array(self):
        """Return the pairs as text (n_pairs, 2 or 3), or their differences (n_pairs, V)."""
        if not self.is_text:
            return self.differences
        responses = np.array([*self.responses, None], dtype=object)[:-1]
        columns = [responses[self.a], responses[self.b]]
        if self.prompts is not None:
            columns.insert(0, np.array([*self.prompts, None], dtype=object)[:-1])
        return np.column_stack(columns)


def check_data(X, y, groups, *, subject: str) -> PreferenceData:
    """Validate pairs, labels and groups; see ``check_preferences`` for their forms."""
    pairs = check_text_pairs(X, subject=subject)
    if pairs is None:
        X = pairs_alone(X)
        if holds_vectors(X):
            X, prompts = _differences_of_vectors(X, subject)
            groups = prompts if groups is None else groups
        return _check_differences(X, y, groups, subject)
    n_pairs = len(pairs.responses_a)
    y = _check_labels(y, n_pairs)
    prompts = pairs.prompts
    if prompts is not None and not any(prompt.strip() for prompt in prompts):
        prompts = None
    of_prompt = None
    if prompts is not None:
        of_prompt = code(" ".join(p.split()) or i for i, p in enumerate(prompts))
    given = _check_groups(groups, n_pairs)
    context = next((c for c in (of_prompt, given) if c is not None), np.zeros(n_pairs, np.intp))
    responses, a, b = pairs.unique_responses()
    keys = zip(prompts or context.tolist(), np.minimum(a, b), np.maximum(a, b), strict=True)
    return PreferenceData(
        y=y,
        pair=code(keys),
        forward=a <= b,
        identical=a == b,
        context=context,
        groups=of_prompt if given is None else given,
        prompts=prompts,
        responses=responses,
        a=a,
        b=b,
    )


def _differences_of_vectors(X, subject):
    """Return differences (n_pairs, V) of pairs of vectors, and their prompts, None without."""
    known = prompted_vectors(X, subject=subject)
    vectors = check_pairs_of(as_response_ids(X, subject=subject), subject=subject)
    first, second = vectors.ids.T
    # In floats as wide as those of a fit, so that no difference is rounded away.
    features = check_numbers(vectors.features, subject=subject)
    return features[first] - features[second], None if known is None else known[0]


def _check_differences(X, y, groups, subject) -> PreferenceData:
    differences = check_numbers(X, subject=subject)
    y = _check_labels(y, differences.shape[0])
    given = _check_groups(groups, len(y))
    context = np.zeros(len(y), np.intp) if given is None else given
    rows = as_csr(differences)
    keys, forward = [], []
    for i, group in enumerate(context.tolist()):
        entries = slice(rows.indptr[i], rows.indptr[i + 1])
        columns, values = rows.indices[entries].tobytes(), rows.data[entries]
        one, other = values.tobytes(), (-values).tobytes()
        keys.append((group, columns, min(one, other)))
        forward.append(one <= other)
    none = np.zeros(0, np.intp)
    return PreferenceData(
        y=y,
        pair=code(keys),
        forward=np.array(forward),
        identical=np.diff(rows.indptr) == 0,
        context=context,
        groups=given,
        prompts=None,
        responses=[],
        a=none,
        b=none,
        differences=differences,
    )


def _check_labels(y, n_pairs) -> FloatArray:
    labels = check_soft_labels(y, name="y")
    check_consistent_length(labels, np.empty(n_pairs))
    return labels


def check_oriented(oriented, n_pairs: int) -> BoolArray:
    """Return which pairs (n_pairs,) have no position, given as booleans; none of them for None.

    Raises
    ------
    ValueError
        If it is not one True or False a pair.
    """
    if oriented is None:
        return np.zeros(n_pairs, dtype=bool)
    values = np.asarray(oriented)
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"oriented should hold True or False for each pair, got {reprlib.repr(oriented)}. Pass "
            "that of read_preferences."
        )
    check_consistent_length(values, np.empty(n_pairs))
    return values.astype(bool)


def _check_groups(groups, n_pairs) -> IntArray | None:
    if groups is None:
        return None
    return code(check_groups(groups, n_pairs).tolist())


def code(keys: Iterable[Hashable]) -> IntArray:
    """Return the index (n,) of each key in the order in which they first occur."""
    index: dict[Hashable, int] = {}
    return np.array([index.setdefault(key, len(index)) for key in keys], dtype=np.intp)


def first_rows(codes: np.ndarray) -> IntArray:
    """Return the first row (n_codes,) of each code."""
    return np.unique(codes, return_index=True)[1]
