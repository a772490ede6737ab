"""Pairs of text to differences of features, once for all that is fitted on them."""

from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from sklearn_codex._data.pairs import read_pairs
from sklearn_codex._data.vectorizers import FEATURES, as_ngram_features
from sklearn_codex._doc_links import link_estimators
from sklearn_codex._fits import whole_fit


@link_estimators
class PairVectorizer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Turns preference pairs of text into differences of features, phi(A) - phi(B).

    Reward models read text themselves, and in cross-validation or a search they read it again for
    every fold and candidate. This transformer does so once, before: each distinct response is
    vectorized one time, and the differences can be split, searched over and fitted as any matrix.

    Parameters
    ----------
    vectorizer : transformer, default=None
        Turns a response into its features phi; None means ``TokenCounter()``, and a
        :class:`NGramCounter` means :class:`NGramFeatures` of it. It is fitted on the distinct
        responses. One in :class:`~sklearn.frozen.FrozenEstimator` is used as it is.

    Attributes
    ----------
    vectorizer_ : transformer or None
        The fitted vectorizer; None where X was differences already.
    n_features_in_ : int
        V, the number of features of a response.
    feature_names_in_ : ndarray of shape (V,)
        Names of columns, where differences came as a data frame with string column names.

    See Also
    --------
    PreferenceRewardModelCV : Chooses C by prompt and reads each response once by itself.

    Notes
    -----
    The columns come from all pairs, those of later test folds included. With counts this changes no
    score: a token that no training pair has gets a weight of exactly 0, as if it had no column.
    What a vectorizer learns beyond columns, such as the idf weights of ``TfidfVectorizer`` or the
    tokens that ``min_count`` keeps, it learns here from all responses, though never from labels. To
    have that learned from the training folds alone, leave the text to the reward model, or put this
    transformer into a ``Pipeline``.

    Differences are arrays, whatever ``transform_output`` of ``sklearn.set_config`` says, since most
    are sparse. Their names are ``get_feature_names_out()``.

    Differences know no prompts: split by ``groups``, since no warning of shared prompts can be
    given.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.model_selection import GroupKFold, cross_val_score
    >>> from sklearn_codex import PairVectorizer, PreferenceRewardModel
    >>> pairs = [("be brief", "go on and on"), ("go on", "brief"), ("on and on", "be brief")] * 4
    >>> y, prompts = [1, 0, 0] * 4, [0] * 6 + [1] * 6
    >>> reader = PairVectorizer()
    >>> differences = reader.fit_transform(pairs)
    >>> differences.shape
    (12, 6)
    >>> model = PreferenceRewardModel(vectorizer=FrozenEstimator(reader.vectorizer_))
    >>> cross_val_score(model, differences, y, groups=prompts, cv=GroupKFold(2))
    array([1., 1.])
    >>> brief, long = model.fit(differences, y).reward(["be brief", "on and on"])
    >>> bool(brief > long)
    True
    """

    _parameter_constraints: dict = {"vectorizer": [FEATURES, None]}

    vectorizer_: Any

    def __init__(self, vectorizer=None):
        self.vectorizer = vectorizer

    def fit(self, X, y=None):
        """Learn the columns.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs: rows ``(response_a, response_b)`` or ``(prompt, response_a, response_b)``, a data
            frame with these columns, of texts or of vectors, an array of vectors phi(A), phi(B),
            their :class:`~sklearn_codex.ResponseIds`, or feature differences, which pass as they
            are.
        y : None
            Ignored, present for the scikit-learn API.

        Returns
        -------
        self : PairVectorizer

        Raises
        ------
        TypeError
            If X holds text that is not in pairs, or a missing one.
        """
        self.fit_transform(X)
        return self

    @whole_fit(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Learn the columns and return the differences, reading each distinct response once.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in :meth:`fit`.
        y : None
            Ignored, present for the scikit-learn API.

        Returns
        -------
        differences : csr_array or ndarray of shape (n_pairs, V)
            phi(A) - phi(B), sparse where the features are, and float32 where they are narrower
            than float64.
        """
        vectorizer = as_ngram_features(self.vectorizer)
        return read_pairs(self, X, reset=True, vectorizer=vectorizer).design.differences

    def transform(self, X):
        """Return the differences of features of pairs.

        Parameters
        ----------
        X : array-like of str (n_pairs, 2 or 3), or of numbers (n_pairs, 2, V) or (n_pairs, V)
            Pairs, as in :meth:`fit`.

        Returns
        -------
        differences : csr_array or ndarray of shape (n_pairs, V)
            phi(A) - phi(B), sparse where the features are, and float32 where they are narrower
            than float64.
        """
        check_is_fitted(self)
        return read_pairs(self, X, reset=False).design.differences

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of columns given as numbers; the vectorizer knows its own.

        Returns
        -------
        names : ndarray of str objects of shape (V,)
        """
        check_is_fitted(self)
        if self.vectorizer_ is not None:
            return self.vectorizer_.get_feature_names_out()
        return _check_feature_names_in(self, input_features)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
