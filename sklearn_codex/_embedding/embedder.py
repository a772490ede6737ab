"""A transformer of texts into vectors, by any model, that embeds each text once."""

import reprlib
import time
from numbers import Integral
from os import PathLike

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_feature_names_in

from sklearn_codex._checks.frames import is_frame
from sklearn_codex._checks.matrices import check_numbers, is_sparse, validate_numbers
from sklearn_codex._embedding.store import FLOATS, VectorStore
from sklearn_codex._fits import whole_fit
from sklearn_codex._output._standard_error import tell
from sklearn_codex._plain import plain
from sklearn_codex._text.inputs import check_texts

SECONDS_BETWEEN_LINES = 5.0
# Vectors of one model differ by less between machines, batches and precisions; those of two models
# by about their length.
SAME = 0.05
_NARROW_LAST = tuple(np.dtype(name) for name in reversed(FLOATS))


def _name_of(embedder):
    """Return what an embedder is called: the name of a function, else that of its class."""
    return getattr(embedder, "__name__", None) or type(embedder).__name__


def _shape_of_numbers(values):
    """Return the shape of an array of numbers, or of what makes one; None of anything else."""
    if is_frame(values):
        return tuple(values.shape)
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError):
        return None
    return array.shape if array.dtype.kind in "biufc" and array.ndim else None


def _agree(made, kept):
    """Return whether two vectors may be those that one model made of one text."""
    if len(made) != len(kept):
        return False
    made, kept = np.float64(made), np.float64(kept)
    largest = np.abs(kept).max() or 1.0  # so that no square is beyond floats
    return np.linalg.norm((made - kept) / largest) <= SAME * np.linalg.norm(kept / largest)


class CachedEmbedder(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Turns texts into vectors by a given model, in batches, each distinct text once.

    The model is used as it is, neither fitted nor copied: ``clone`` shares it. With ``memory`` its
    vectors are kept on disk, so that a text is embedded once for all fits, folds and sessions.

    Parameters
    ----------
    embedder : callable, or object with ``encode`` or ``transform``
        Takes a list of str and returns an array (n, d) of floats: a function, a model of
        sentence-transformers (``encode``), or a fitted transformer.
    memory : str or path-like, default=None
        Folder in which vectors are kept, one SQLite file for each ``name``. None keeps none.
    name : str, default=None
        Identity of the embedder in ``memory``, where it is needed: the name and version of its
        weights, and what else decides the vectors, such as an instruction put before the texts.
    batch_size : int, default=32
        Texts that are given to the embedder at once; those of a batch are about equally long. After
        each batch its vectors are kept.
    verbose : bool, default=False
        Whether to say on standard error, every few seconds, how far it is.

    Attributes
    ----------
    n_features_out_ : int
        d, after ``fit``, which is needed for names of columns only.

    See Also
    --------
    sklearn_codex.features.preference_features : Joins embeddings with words and form.
    sklearn_codex.ResponseIds : Pairs of vectors that were made elsewhere.

    Notes
    -----
    Whether ``embedder`` is the model that ``name`` says is checked in each call that finds a text
    in ``memory``: the shortest of them, of those whose vectors are not 0, is embedded again, and
    the two vectors have to agree within 5 % of their length. Files hold digests of texts and
    numbers; nothing in them is executed.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex import PreferenceRewardModel
    >>> from sklearn_codex.features import CachedEmbedder
    >>> def embed(texts):  # stands for a model
    ...     return np.array([[text.count("a"), text.count("b")] for text in texts], dtype=float)
    >>> embedder = CachedEmbedder(embed)
    >>> embedder.transform(["aab", "b"])
    array([[2., 1.],
           [0., 1.]])
    >>> pairs = [("aa", "b"), ("b", "a"), ("ab", "bb")]
    >>> model = PreferenceRewardModel(vectorizer=embedder).fit(pairs, [1, 0, 1])
    >>> good, bad = model.reward(["aaa", "bbb"])
    >>> bool(good > bad)
    True
    """

    _parameter_constraints: dict = {
        "embedder": [callable, HasMethods("encode"), HasMethods("transform")],
        "memory": [str, PathLike, None],
        "name": [str, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["boolean"],
    }

    def __init__(self, embedder, *, memory=None, name=None, batch_size=32, verbose=False):
        self.embedder = embedder
        self.memory = memory
        self.name = name
        self.batch_size = batch_size
        self.verbose = verbose

    def __sklearn_clone__(self):
        return type(self)(**self.get_params())

    def __sklearn_is_fitted__(self):
        return True

    def get_params(self, deep=True):
        """Return the parameters; those of the embedder, which is used as it is, are its own.

        Parameters
        ----------
        deep : bool, default=True
            Ignored.

        Returns
        -------
        params : dict
        """
        return super().get_params(deep=False)

    def fit(self, X, y=None):
        """Embed the texts, to learn how many columns there are.

        Parameters
        ----------
        X : sequence of str (n_texts,), or array-like of shape (n_texts, d)
            Texts, or vectors.
        y : None
            Ignored, present for the scikit-learn API.

        Returns
        -------
        self : CachedEmbedder
        """
        self.fit_transform(X)
        return self

    @whole_fit(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Return the vectors of texts, and know the columns from now on.

        Parameters
        ----------
        X : sequence of str (n_texts,), or array-like of shape (n_texts, d)
            Texts, or vectors.
        y : None
            Ignored, present for the scikit-learn API.

        Returns
        -------
        vectors : ndarray of shape (n_texts, d)
        """
        self._validate_params()
        texts = check_texts(X, subject=type(self).__name__)
        if texts is None:
            vectors = self._read_vectors(X, reset=True)
        else:
            for columns in ("n_features_in_", "feature_names_in_"):
                self.__dict__.pop(columns, None)
            vectors = self._transform_texts(texts)
        self.n_features_out_ = vectors.shape[1]
        return vectors

    def transform(self, X):
        """Return the vectors of texts; vectors, which are what it makes, as they are.

        Parameters
        ----------
        X : sequence of str (n_texts,), or array-like of shape (n_texts, d)
            Texts, or vectors.

        Returns
        -------
        vectors : ndarray of shape (n_texts, d)
            In the floats that the embedder gives.

        Raises
        ------
        TypeError
            If X is neither text nor numbers, or the embedder returns no dense numbers.
        ValueError
            If the embedder returns another number of vectors than of texts, vectors that are not
            finite, or others than those that ``memory`` has of the same ``name``; or if ``memory``
            is given without ``name``.
        """
        self._validate_params()
        texts = check_texts(X, subject=type(self).__name__)
        if texts is None:
            return self._read_vectors(X, reset=False)
        return self._transform_texts(texts)

    def _read_vectors(self, X, reset):
        types = list(_NARROW_LAST)
        return validate_numbers(self, X, reset=reset, accept_sparse=False, dtype=types)

    def _transform_texts(self, texts):
        subject = type(self).__name__
        if isinstance(self.embedder, str):  # which has an ``encode``
            raise TypeError(
                f"{subject} needs the embedder itself, which takes texts and returns vectors, got "
                f"embedder={self.embedder!r:.60}. Load the model and pass it."
            )
        if isinstance(self.embedder, type):  # which is callable
            name = self.embedder.__name__
            raise TypeError(
                f"{subject} needs the embedder itself, which takes texts and returns vectors, got "
                f"the class {name}. Pass an instance of it, {name}(...)."
            )
        if is_frame(self.embedder):  # which has a ``transform``
            raise TypeError(
                f"{subject} needs an embedder, which takes texts and returns vectors, got a "
                f"{type(self.embedder).__name__}. Pass vectors that are known as X."
            )
        position: dict[str, int] = {}
        rows = [position.setdefault(text, len(position)) for text in texts]
        store = self._open_store(subject)
        known = {} if store is None else store.get(list(position))
        if known:
            self._check_same(known, subject)
        missing = [text for text in position if text not in known]
        known |= self._embed_all(missing, store, subject)
        vectors = [known[text] for text in position]
        if len({len(vector) for vector in vectors}) > 1:
            raise ValueError(
                f"{subject} got vectors of {sorted({len(vector) for vector in vectors})} numbers "
                "from its embedder. All texts need as many."
            )
        if getattr(self, "n_features_in_", len(vectors[0])) != len(vectors[0]):
            raise ValueError(
                f"{subject} was fitted on vectors of {self.n_features_in_} numbers, and its "
                f"embedder makes {len(vectors[0])} of a text. Fit it on text, or on vectors of its "
                "own."
            )
        return np.stack(vectors)[rows]

    def _open_store(self, subject):
        if self.memory is None:
            return None
        if self.name is None:
            raise ValueError(
                f"{subject} got memory={str(self.memory)!r} and name=None, but vectors of two "
                "embedders must not be mixed. Give name=, such as the name and version of the "
                "weights."
            )
        return VectorStore(self.memory, self.name, subject=subject)

    def _check_same(self, known, subject):
        """Raise where the embedder does not make the vector that is known of a text."""
        # A vector of 0, as of '', is the same of many models.
        telling = [text for text, vector in known.items() if vector.any()] or known
        text = min(telling, key=lambda text: (len(text), text))
        if not _agree(self._embed([text], subject)[0], known[text]):
            raise ValueError(
                f"{subject} has in {str(self.memory)!r} another vector of {text!r:.60} than the "
                f"one that its embedder makes now, so it is not the one that was called "
                f"{self.name!r}. Give another embedder another name."
            )

    def _embed_all(self, texts, store, subject):
        """Return the vectors (d,) of texts by text, made in batches and kept."""
        made: dict[str, np.ndarray] = {}
        ordered = sorted(texts, key=len)  # padded to the longest of a batch
        told = time.monotonic()
        for start in range(0, len(ordered), self.batch_size):
            batch = ordered[start : start + self.batch_size]
            vectors = self._embed(batch, subject)
            if store is not None:
                store.put(batch, vectors)
            made.update(zip(batch, vectors, strict=True))
            if self.verbose and time.monotonic() - told >= SECONDS_BETWEEN_LINES:
                told = time.monotonic()
                self._tell(len(made), len(ordered), subject)
        if self.verbose:
            self._tell(len(made), len(ordered), subject)
        return made

    def _tell(self, n_made, n_texts, subject):
        name = "" if self.name is None else f" by {plain(self.name)}"
        tell(f"{subject}: embedded {n_made:,} of {n_texts:,} new texts{name}")

    def _embed(self, texts, subject):
        """Return what the embedder makes of a batch (n, d), once it is what it should be."""
        names = ("transform", "encode")
        method = next((name for name in names if hasattr(self.embedder, name)), None)
        embed = self.embedder if method is None else getattr(self.embedder, method)
        vectors = embed(texts)
        if is_sparse(vectors):
            raise TypeError(
                f"{subject} keeps dense vectors, but its embedder returned a sparse matrix of "
                f"shape {vectors.shape}. Give such a transformer as vectorizer itself."
            )
        shape = _shape_of_numbers(vectors)
        if shape is None or len(shape) != 2:
            raise (TypeError if shape is None else ValueError)(
                f"{subject} gave its embedder, {_name_of(self.embedder)}, {len(texts)} texts and "
                f"got {'no numbers' if shape is None else f'an array of shape {shape}'}, "
                f"{reprlib.repr(vectors)}, of type {type(vectors).__name__}. Expected 2D array "
                f"of floats, a row for each text: shape ({len(texts)}, d)."
            )
        vectors = check_numbers(
            vectors,
            subject=subject,
            name="the vectors of its embedder",
            texts=texts,
            estimator=None,
            dtype=list(_NARROW_LAST),
        )
        if len(vectors) != len(texts):
            raise ValueError(
                f"{subject} gave its embedder {len(texts)} texts and got {len(vectors)} vectors. "
                "It has to return one for each text, in order."
            )
        return vectors

    @available_if(lambda self: hasattr(self, "n_features_out_"))
    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns, embedding0 and so on, once fitted.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of vectors given as a data frame, which are checked.

        Returns
        -------
        names : ndarray of str objects of shape (d,)
        """
        if hasattr(self, "feature_names_in_"):
            return _check_feature_names_in(self, input_features)
        names = [f"embedding{column}" for column in range(self.n_features_out_)]
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags
