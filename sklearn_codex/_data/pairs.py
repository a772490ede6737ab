"""The one place where pairs of responses become margins: text, vectors or feature differences.

Estimators that take pairs call :func:`read_pairs`; what they get is one operator, linear in the
weights, which is never densified and never widened as a whole.
"""

import reprlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from sklearn_codex._checks.frames import (
    column_names,
    column_values,
    first_values,
    holds_numbers,
    is_frame,
)
from sklearn_codex._checks.matrices import (
    as_csr,
    check_numbers,
    is_sparse,
    refuse_masked,
    validate_numbers,
)
from sklearn_codex._data.designs import DifferenceDesign, PairDesign
from sklearn_codex._data.fitted_models import unwrap
from sklearn_codex._data.lengths import PairsWithLength, pairs_alone
from sklearn_codex._data.responses import check_prompted_responses, stack_prompts
from sklearn_codex._data.rows import FLOATS
from sklearn_codex._data.vectorizers import (
    apply_vectorizer,
    count_ngrams,
    fit_vectorizer,
    keep_vectorizer_of_numbers,
    looks_back,
    wants_prompt,
)
from sklearn_codex._data.vectors import (
    ORIENTED_COLUMNS,
    PAIR_COLUMNS,
    as_response_ids,
    check_pairs_of,
    holds_column_of_vectors,
    holds_vectors,
    len_of,
    prompted_vectors,
    stack_column,
)
from sklearn_codex._partitions import is_collection
from sklearn_codex._text.inputs import as_objects, check_texts, refuse_collection


@dataclass(frozen=True)
class TextPairs:
    """Pairs of responses as text, each list of length n_pairs; ``prompts`` may be None."""

    prompts: list[str] | None
    responses_a: list[str]
    responses_b: list[str]

    def take(self, rows):
        """Return some of the pairs, by their positions."""
        responses = ([texts[row] for row in rows] for texts in (self.responses_a, self.responses_b))
        prompts = None if self.prompts is None else [self.prompts[row] for row in rows]
        return TextPairs(prompts, *responses)

    def length_difference(self):
        """Return how many characters A is longer than B (n_pairs,)."""
        lengths = [[len(text) for text in texts] for texts in (self.responses_a, self.responses_b)]
        return np.subtract(*np.array(lengths, dtype=np.float64))

    def unique_responses(self, *, with_prompts=False):
        """Return the distinct responses (m,), all A before other B, and indices a, b (n_pairs,).

        With prompts they are the distinct rows (prompt, response) (m, 2); pairs without prompts
        have the prompt ''.
        """
        sides: list[list] = [self.responses_a, self.responses_b]
        if with_prompts:
            prompts = [""] * len(sides[0]) if self.prompts is None else self.prompts
            sides = [list(zip(prompts, responses, strict=True)) for responses in sides]
        position: dict[Any, int] = {}
        a, b = (
            np.array([position.setdefault(item, len(position)) for item in side], dtype=np.intp)
            for side in sides
        )
        distinct = list(position)
        return (stack_prompts(*zip(*distinct, strict=True)) if with_prompts else distinct), a, b


def check_text_pairs(
    X: Any, *, subject: str, columns: tuple[str, str, str] = PAIR_COLUMNS
) -> TextPairs | None:
    """Tell pairs given as text from pairs given as vectors or feature differences.

    This function alone decides what a pair of texts is; numbers are left to scikit-learn's own
    validation.

    Parameters
    ----------
    X : array-like of shape (n_pairs, 2) or (n_pairs, 3), or data frame, or numeric matrix
        Text pairs are rows ``(response_a, response_b)`` or ``(prompt, response_a, response_b)``, or
        a data frame (pandas, polars, pyarrow) with these columns, in any order and among others.
    subject : str
        Who asks; error messages start with it.
    columns : tuple of str, default=("prompt", "response_a", "response_b")
        Names of the columns.

    Returns
    -------
    pairs : TextPairs or None
        The pairs, or None where X is to be read as numbers.

    Raises
    ------
    TypeError
        If X holds text, but not as pairs, or one of its cells is not a str.
    ValueError
        If X has no pair, too few or too many columns, or rows of different length.
    """
    X = pairs_alone(X)
    refuse_masked(X, subject)
    if sparse.issparse(X) or holds_vectors(X, columns):
        return None
    if is_collection(X):
        raise TypeError(refuse_collection(X, subject))
    if isinstance(X, (str, bytes)):
        raise TypeError(_expected(subject, columns) + f"got one text: {reprlib.repr(X)}.")
    if is_frame(X, subject):
        return _check_frame(X, subject, columns)
    if getattr(getattr(X, "dtype", None), "kind", "O") in "biufc":
        return None
    # Without dtype=object every text would be padded to the length of the longest.
    values = np.asarray(X) if hasattr(X, "dtype") else as_objects(X)
    if values.ndim == 0 and not isinstance(X, Number):
        raise TypeError(
            _expected(subject, columns) + f"got a {type(X).__name__}: {reprlib.repr(X)}. Pass a "
            "list of the rows, or a data frame."
        )
    if values.ndim == 1:
        values = _check_rows(values.tolist(), subject, columns)
    if values is not None and values.dtype.kind == "O":
        _refuse_messages(values, subject, columns)
    if values is None or not any(map(_is_text, values.flat)):
        return None
    if values.ndim != 2 or values.shape[1] not in (2, 3):
        form = f"{values.shape[1]} columns" if values.ndim == 2 else f"{values.ndim}-D"
        raise ValueError(_expected(subject, columns) + f"got text in {form}. Pass only these.")
    return _from_columns(values.T.tolist(), columns[-values.shape[1] :], subject)


def _expected(subject, columns):
    prompt, first, second = columns
    return (
        f"{subject} expected X to be pairs, rows of ({first}, {second}) or ({prompt}, {first}, "
        f"{second}), vectors (n_pairs, 2, n_features), or a 2-D matrix of feature differences, "
    )


def _is_text(value) -> bool:
    return isinstance(value, (str, bytes))


def _refuse_messages(values, subject, columns):
    """Raise where responses are lists of messages, which are no texts yet."""
    first = next(iter(values.flat), None)
    messages = first if isinstance(first, (list, tuple)) else [first]
    if any(isinstance(message, Mapping) and "content" in message for message in messages):
        raise TypeError(
            _expected(subject, columns) + f"but X[0] has messages: {reprlib.repr(values[0])}. "
            "Conversations become texts with sklearn_codex.read_preferences(records).X."
        )


def _check_rows(rows, subject, columns):
    """Return rows that made no 2-D array as objects (n_pairs, n_columns); None if no text."""
    for position, row in enumerate(rows):
        if isinstance(row, Mapping):
            raise TypeError(
                _expected(subject, columns) + f"but X[{position}] is a {type(row).__name__} with "
                f"keys {reprlib.repr(list(row))}. Pass pandas.DataFrame(X)."
            )
        if _is_text(row):
            raise TypeError(
                _expected(subject, columns) + f"but X[{position}] is one text: "
                f"{reprlib.repr(row)}. Single responses are for reward(documents)."
            )
    is_row = [isinstance(row, (Sequence, np.ndarray)) for row in rows]
    if not any(known and any(map(_is_text, row)) for known, row in zip(is_row, rows, strict=True)):
        return None
    for position, row in enumerate(rows):
        if not is_row[position] or len(row) != len(rows[0]):
            raise ValueError(
                _expected(subject, columns) + f"but X[{position}] is {reprlib.repr(row)}, while "
                f"X[0] is {reprlib.repr(rows[0])}. Give all rows the same number of texts."
            )
    return np.array([list(row) for row in rows], dtype=object)


def _check_frame(X, subject, columns):
    """Return the text pairs of a data frame by its column names; None if it holds numbers."""
    names = [str(name) for name in column_names(X)]
    _, first, second = columns
    if first in names and second in names:
        present = [name for name in columns if name in names]
        for name in present:
            if names.count(name) > 1:
                raise ValueError(
                    _expected(subject, columns) + f"got a data frame with {names.count(name)} "
                    f"columns {name!r}. Rename or drop all but one."
                )
        return _from_columns([column_values(X, name) for name in present], present, subject)
    if holds_numbers(X) or not (_holds_lists(X) or any(map(_is_text, as_objects(X).flat))):
        return None
    if {"chosen", "rejected"} <= set(names):
        remedy = (
            "Turn chosen and rejected into pairs of both orders with X, y = balance_positions(X)."
        )
    else:
        remedy = f"Rename the columns of the two responses to {first!r} and {second!r}."
    raise ValueError(_expected(subject, columns) + f"got a data frame of {names}. {remedy}")


def _holds_lists(X):
    """Return whether a cell in the first row of a data frame is a list, such as a vector."""
    names = column_names(X)
    first = first_values(X, names) if len(set(names)) == len(names) else []
    return any(isinstance(value, (list, tuple, np.ndarray)) for value in first)


def _from_columns(values, names, subject):
    """Check that every cell is a str; return the pairs of columns in the order of ``names``."""
    if not len(values[0]):
        raise ValueError(f"{subject} got 0 pairs in X. Pass at least one pair.")
    for name, column in zip(names, values, strict=True):
        for position, value in enumerate(column):
            if not isinstance(value, str):
                raise TypeError(
                    f"{subject} expected every {name} of X to be a str, but that of pair "
                    f"{position} is {reprlib.repr(value)}, of type {type(value).__name__}. Drop "
                    "pairs with a missing text, decode bytes; '' is an empty text."
                )
    prompts = values[0] if len(values) == 3 else None
    return TextPairs(prompts, values[-2], values[-1])


@dataclass(frozen=True)
class ReadPairs:
    """Pairs as an estimator reads them.

    Attributes
    ----------
    design : PairDesign or DifferenceDesign of shape (n_pairs, V)
        The operator that turns weights (V,) into margins (n_pairs,).
    text : TextPairs or None
        The pairs as text, None where they are numbers: they have the prompts and lengths that no
        weight depends on.
    length : ndarray of shape (n_pairs,) or None
        By how much A is longer, where it was given beside the pairs.
    known : TextPairs or None
        See :func:`known_pairs`.
    """

    design: PairDesign | DifferenceDesign
    text: TextPairs | None = None
    length: Any = None
    known: TextPairs | None = None


def known_pairs(X: Any, *, subject: str) -> TextPairs | None:
    """Return pairs by what they, and their prompts, are known again; None of other numbers.

    That is their text, and for vectors in a data frame with prompts the prompts and hashes.
    """
    pairs = check_text_pairs(X, subject=subject)
    return _known_vectors(pairs_alone(X), subject) if pairs is None else pairs


def _known_vectors(X, subject):
    columns = prompted_vectors(X, subject=subject)
    return None if columns is None else TextPairs(*columns)


def read_pairs(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    vectorizer: Any = None,
    after_prompts: bool = False,
) -> ReadPairs:
    """Read pairs given as text, as vectors, as ids of vectors, or as feature differences.

    Sets ``vectorizer_``, ``n_features_in_`` and, for data frames of differences,
    ``feature_names_in_`` of the estimator when ``reset`` is true; otherwise checks X against them.

    Parameters
    ----------
    estimator : estimator
        Who reads.
    X : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric (n_pairs, 2, V) or \
            (n_pairs, V), or ResponseIds of shape (n_pairs, 2, V)
        Pairs of texts, or of vectors phi(A), phi(B), or feature differences phi(A) - phi(B).
    reset : bool
        Whether this call defines the columns (in ``fit``) or has to meet them.
    vectorizer : transformer, default=None
        Turns a text into its features phi when ``reset`` is true; None means ``TokenCounter()``. It
        is fitted on the distinct responses, each once, or, where it :func:`wants_prompt`, on the
        distinct rows (prompt, response). One in ``FrozenEstimator`` is used as it is, and kept
        beside numbers, for text that comes later.
    after_prompts : bool, default=False
        Whether responses go on from their prompts, to a vectorizer that knows the order of tokens.
    """
    subject = type(estimator).__name__
    length = X.length if isinstance(X, PairsWithLength) else None
    X = pairs_alone(X)
    pairs = check_text_pairs(X, subject=subject)
    if pairs is not None:
        with_prompts = wants_prompt(vectorizer if reset else estimator.vectorizer_)
        responses, a, b = pairs.unique_responses(with_prompts=with_prompts)
        features = vectorize(estimator, responses, reset=reset, vectorizer=vectorizer)
        if after_prompts and pairs.prompts is not None and looks_back(estimator.vectorizer_):
            rows, a, b = pairs.unique_responses(with_prompts=True)
            features = unwrap(estimator.vectorizer_).transform_after(*map(list, rows.T))
        return ReadPairs(PairDesign(features, a, b), pairs, length, pairs)
    if not holds_vectors(X):
        differences = read_features(estimator, X, reset=reset, vectorizer=vectorizer)
        if reset:
            _warn_of_ids(X, differences, subject)
        return ReadPairs(DifferenceDesign(differences), None, length)
    given = as_response_ids(X, subject=subject)
    a, b = check_pairs_of(given, subject=subject).ids.T
    features = _meet_columns(estimator, given.features, reset=reset, vectorizer=vectorizer)
    design = PairDesign(features, a, b)
    if len_of(features) > 4 * len(a):  # most rows of the table are in no pair
        design = design.take(slice(None))
    return ReadPairs(design, None, length, _known_vectors(X, subject))


def _warn_of_ids(X, differences, subject):
    """Warn where two columns of differences look like the ids of two responses."""
    if differences.shape[1] != 2 or sparse.issparse(X):
        return
    values = np.asarray(X)
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() < 2:
        return
    n_distinct = len(np.unique(values))
    if n_distinct > len(values) and (values[:, 0] != values[:, 1]).all():
        warnings.warn(
            f"{subject} takes X of shape {values.shape}, whole numbers and none of them negative, "
            "as differences of 2 features. If they are the ids of two responses, pass "
            "sklearn_codex.ResponseIds(X, features), with the features of each response.",
            UserWarning,
            stacklevel=5,
        )


def _meet_columns(estimator, features, *, reset, vectorizer=None):
    """Set, or check, the columns by a table of features (m, V) that was validated; return it."""
    features = count_ngrams(vectorizer if reset else estimator.vectorizer_, features)
    validate_data(estimator, features, reset=reset, skip_check_array=True)
    if reset:
        keep_vectorizer_of_numbers(estimator, vectorizer)
    return features


@dataclass(frozen=True)
class ReadResponses:
    """Single responses, or candidates, as an estimator reads them.

    Attributes
    ----------
    design : DifferenceDesign of shape (n_documents, V)
        The operator that turns weights (V,) into rewards.
    shape : tuple of int
        How rewards are laid out: (n_documents,), or (n, k) for k candidates each.
    """

    design: DifferenceDesign
    shape: tuple[int, ...]

    def reward(self, weights: Any) -> Any:
        """Return the rewards, laid out as the responses."""
        return self.design.matvec(weights).reshape(self.shape)


def read_responses(estimator: Any, X: Any) -> ReadResponses:
    """Read single responses given as text, as features or as ids, or candidates as vectors.

    Unlike documents of a language model, a response may be empty and features negative. For a
    vectorizer that :func:`wants_prompt`, rows (prompt, response) are responses as well, and one
    alone has the prompt ''.

    Parameters
    ----------
    estimator : estimator
        Who reads; it is fitted.
    X : sequence of str, rows (prompt, response), array-like of shape (n_documents, V) or \
            (n, k, V), or ResponseIds
        The responses.
    """
    subject = type(estimator).__name__
    texts: Any = None
    if holds_vectors(X) or holds_column_of_vectors(X):
        pass
    elif wants_prompt(estimator.vectorizer_):
        columns = check_prompted_responses(X, subject=subject)
        texts = None if columns is None else stack_prompts(*columns)
    else:
        texts = check_texts(X, subject=subject)
    if texts is None:
        return read_vectors(estimator, X, reset=False)
    features = vectorize(estimator, texts, reset=False)
    return ReadResponses(DifferenceDesign(features), features.shape[:1])


def read_vectors(estimator: Any, X: Any, *, reset: bool, vectorizer: Any = None) -> ReadResponses:
    """Read single responses, or candidates, given as features or as ids; see :func:`read_pairs`."""
    if not holds_vectors(X):
        X = stack_column(X, subject=type(estimator).__name__)
        features = read_features(estimator, X, reset=reset, vectorizer=vectorizer)
        return ReadResponses(DifferenceDesign(features), features.shape[:1])
    given = as_response_ids(X, subject=type(estimator).__name__)
    features = _meet_columns(estimator, given.features, reset=reset, vectorizer=vectorizer)
    rows = DifferenceDesign(features).take(given.ids.ravel())
    return ReadResponses(rows, given.ids.shape)


def read_features(estimator: Any, X: Any, *, reset: bool, vectorizer: Any = None) -> Any:
    """Return a matrix of features, or of their differences (n, V), sparse as CSR.

    A frozen vectorizer is kept when ``reset`` is true. Narrow floats stay narrow.
    """
    X = count_ngrams(vectorizer if reset else estimator.vectorizer_, X)
    features = validate_numbers(estimator, X, reset=reset, dtype=FLOATS)
    if reset:
        keep_vectorizer_of_numbers(estimator, vectorizer)
    return as_csr(features) if sparse.issparse(features) else features


def vectorize(estimator: Any, texts: Any, *, reset: bool, vectorizer: Any = None) -> Any:
    """Return the features (n, V) of texts, sparse as CSR, dense as they come.

    A vectorizer is fitted first, and kept, when ``reset`` is true; None means ``TokenCounter()``.
    """
    subject = type(estimator).__name__
    if reset:
        estimator.vectorizer_, features = fit_vectorizer(vectorizer, texts, subject=subject)
    elif estimator.vectorizer_ is None:
        raise ValueError(
            f"{subject} was fitted on feature differences, so it knows columns and no words, "
            f"but got text. Pass a matrix of {estimator.n_features_in_} columns, or fit it on "
            "text, or give it vectorizer=FrozenEstimator(fitted TokenCounter)."
        )
    else:
        features = apply_vectorizer(estimator.vectorizer_, texts, subject=subject)
    features = check_numbers(
        features,
        subject=subject,
        name=f"X to {subject}, once vectorized,",
        texts=texts,
        estimator=None,
        dtype=FLOATS,
    )
    if reset:
        estimator.n_features_in_ = features.shape[1]
        vars(estimator).pop("feature_names_in_", None)
    elif features.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"{subject} was fitted on {estimator.n_features_in_} features, but its vectorizer, "
            f"{type(unwrap(estimator.vectorizer_)).__name__}, makes {features.shape[1]} of a text. "
            "Fit it on text, or on numbers of that vectorizer."
        )
    return as_csr(features) if sparse.issparse(features) else features


def balance_positions(X, random_state=None):
    """Turn pairs whose first response is the preferred one into pairs of both orders.

    Preference data often come as chosen and rejected, so that every label is 1. A classifier needs
    both classes, and a model that may look at the position must not find the answer there: half of
    the pairs, chosen at random, are swapped. A Bradley-Terry model without an intercept is
    antisymmetric, so this does not change what it learns.

    Parameters
    ----------
    X : data frame, array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or numeric \
            (n_pairs, 2, V) or (n_pairs, V), or ResponseIds of shape (n_pairs, 2, V)
        A data frame with the columns ``chosen``, ``rejected`` and perhaps ``prompt``; rows
        ``(chosen, rejected)`` or ``(prompt, chosen, rejected)`` of str; vectors phi(chosen),
        phi(rejected) or their ids; or feature differences phi(chosen) - phi(rejected), dense or
        sparse. Of pairs in :class:`PairsWithLength` the lengths turn too.
    random_state : int, RandomState instance or None, default=None
        Chooses the pairs to swap.

    Returns
    -------
    X : ndarray of object of shape (n_pairs, 2) or (n_pairs, 3), ResponseIds or matrix (n_pairs, V)
        Pairs (prompt, response_a, response_b) or differences phi(A) - phi(B), in the order given.
        Of vectors it is their ids in a table that shares their memory, ``numpy.asarray`` of which
        is the array (n_pairs, 2, V).
    y : ndarray of int of shape (n_pairs,)
        1 where A is preferred, 0 where the pair was swapped.

    Raises
    ------
    ValueError
        If X has a single pair, which cannot give two classes.

    Examples
    --------
    >>> from sklearn_codex import balance_positions
    >>> X, y = balance_positions([("good", "bad"), ("better", "worse")], random_state=0)
    >>> X.tolist(), y.tolist()
    ([['good', 'bad'], ['worse', 'better']], [1, 0])
    """
    subject = "balance_positions"
    if isinstance(X, PairsWithLength):
        balanced, y = balance_positions(X.pairs, random_state)
        return PairsWithLength(balanced, (2 * y - 1) * X.length), y
    pairs = check_text_pairs(X, subject=subject, columns=ORIENTED_COLUMNS)
    vectors = None
    if pairs is not None:
        n_pairs = len(pairs.responses_a)
    elif holds_vectors(X, ORIENTED_COLUMNS):
        vectors = as_response_ids(X, subject=subject, columns=ORIENTED_COLUMNS)
        n_pairs = len(check_pairs_of(vectors, subject=subject))
    else:
        X = check_numbers(X, subject=subject, dtype=FLOATS)
        n_pairs = X.shape[0]
    if n_pairs < 2:
        raise ValueError(f"{subject} needs at least 2 pairs to have both orders, got {n_pairs}.")
    y = np.ones(n_pairs, dtype=np.intp)
    y[check_random_state(random_state).permutation(n_pairs)[: n_pairs // 2]] = 0
    if vectors is not None:
        ids = np.where(y[:, None] == 1, vectors.ids, vectors.ids[:, ::-1])
        return vectors.with_ids(ids), y
    if pairs is None:
        sign = (2 * y - 1).astype(X.dtype)
        return (sparse.diags_array(sign) @ X if is_sparse(X) else sign[:, None] * X), y
    columns = [] if pairs.prompts is None else [pairs.prompts]
    balanced = np.array([*columns, pairs.responses_a, pairs.responses_b], dtype=object).T
    balanced[y == 0, -2:] = balanced[y == 0, :-3:-1]
    return balanced, y
