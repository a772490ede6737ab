"""Features of responses: their form and overlap with the prompt, embeddings, and the preset.

Features of the prompt alone cancel in the difference of two rewards; what a response has in common
with its prompt does not, so :class:`ResponseFeatures` looks at both.
"""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from sklearn_codex._categorical import FloatArray
from sklearn_codex._checks.numbers import NOT_NEGATIVE, check_number
from sklearn_codex._data.responses import check_prompted_responses
from sklearn_codex._data.vectorizers import FEATURES
from sklearn_codex._embedding.embedder import CachedEmbedder
from sklearn_codex._embedding.products import PromptProducts
from sklearn_codex._embedding.unit_rows import UnitRows
from sklearn_codex._fits import whole_fit
from sklearn_codex._text.form import OVERLAP_COLUMNS, RESPONSE_COLUMNS, Text
from sklearn_codex._text.scripts import split_words

__all__ = ["CachedEmbedder", "ResponseFeatures", "preference_features"]

# A standardised log length beyond this, either way, is long or short.
_HINGE = 0.5
_HINGE_COLUMNS = ("short", "long")


class ResponseFeatures(TransformerMixin, BaseEstimator):
    r"""Length, structure, vocabulary and prompt overlap of responses, standardised and clipped.

    A small dense matrix of named columns that says how a response is written. All columns are
    deterministic functions of the text, and none can be made large by a strange response.

    Parameters
    ----------
    clip : float, default=3.0
        Greatest absolute value of a column, in standard deviations.

    Attributes
    ----------
    center_ : ndarray of shape (n_columns,)
        Mean of each column over the training responses, between their quantiles 0.01 and 0.99.
    scale_ : ndarray of shape (n_columns,)
        Standard deviation in the same sense; 0 where the column is constant, which is then 0
        everywhere. ``short`` and ``long`` have no part in it.

    See Also
    --------
    preference_features : The preset that has these beside words and characters.

    Notes
    -----
    A raw column f with training values :math:`f_i` becomes

    .. math::
        z = \operatorname{clip}((f - m) / s, -c, c),

    where m and s are the mean and the standard deviation of the :math:`f_i` after they are clipped
    to their quantiles 0.01 and 0.99, so that outliers do not set the scale, and c is ``clip``.

    Columns, where "count" is log(1 + matches) and "share" of characters is its square root. In
    scripts that put no blanks between words, such as Chinese, a word is a character with its marks,
    and marks of full width count as the ones of ASCII:

    - length: ``log_characters``, ``log_words`` (log of 1 + number), ``empty`` (no word),
      ``sentences`` (count), ``words_per_sentence`` and ``word_length`` (logs), ``short`` and
      ``long`` (by how much the standardised ``log_characters`` is below -0.5 or above 0.5, so that
      the effect of length may bend);
    - structure: ``lines``, ``paragraphs``, ``bullets``, ``numbered_items``, ``headings``, ``bold``,
      ``code_fences``, ``inline_code``, ``table_rows``, ``links``, ``formulas`` (counts),
      ``indented_lines`` (share of lines), ``ends_closed`` (by a mark that ends a sentence, a
      bracket or code, so not truncated), ``starts_with_capital``;
    - punctuation: ``questions``, ``exclamations``, ``quotes``, ``parentheses``, ``commas``
      (counts), ``comma_share``, ``colon_share``, ``punctuation_share``, ``digit_share``,
      ``capital_share``, ``space_share``, ``not_ascii_share`` (shares of characters);
    - vocabulary: ``type_token_ratio``, ``lexical_diversity`` (log types over log words),
      ``new_trigrams`` and ``new_lines`` (share not seen before in the response, low where it
      repeats itself), ``stop_word_share``, ``first_person_share``, ``second_person_share``,
      ``long_word_share`` (more than 6 letters) of words, ``refusals`` (count of "sorry", "cannot"
      and the like). Word lists are English; elsewhere these columns are constant and so 0;
    - prompt: ``words_from_prompt`` (share of the response's words that the prompt has),
      ``prompt_words_used`` (share of the prompt's content words that the response has),
      ``trigrams_from_prompt``, ``prompt_trigrams_used`` (the same of three words in a row),
      ``begins_as_prompt`` (the first 40 characters stand in the prompt), ``other_script``
      (difference of the shares of non-ASCII characters). Without a prompt, or with an empty one,
      these are 0, the mean.

    Examples
    --------
    >>> from sklearn_codex.features import ResponseFeatures
    >>> responses = ["Yes.", "No, I am sorry.", "- first\n- second", "See `f(x)`:\n\n    y = f(x)"]
    >>> features = ResponseFeatures().fit(responses)
    >>> Z = features.transform(responses)
    >>> column = list(features.get_feature_names_out()).index("bullets")
    >>> Z[:, column].round(1)
    array([-0.6, -0.6,  1.8, -0.6])
    """

    _parameter_constraints: dict = {"clip": [Interval(Real, 0, None, closed="neither")]}

    wants_prompt = True

    def __init__(self, *, clip=3.0):
        self.clip = clip

    @whole_fit(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the centre and the scale of each column.

        Parameters
        ----------
        X : sequence of str (n_responses,), or array-like of str of shape (n_responses, 2)
            Responses, or rows ``(prompt, response)``.
        y : None
            Ignored.

        Returns
        -------
        self : ResponseFeatures

        Raises
        ------
        TypeError
            If X is not text.
        ValueError
            If there is no response, or rows have another number of columns.
        """
        self._standardise(self._measure(X))
        return self

    @whole_fit(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Fit and transform, measuring each response once.

        Parameters
        ----------
        X : sequence of str (n_responses,), or array-like of str of shape (n_responses, 2)
            Responses, or rows ``(prompt, response)``.
        y : None
            Ignored.

        Returns
        -------
        Z : ndarray of shape (n_responses, n_columns)
        """
        raw = self._measure(X)
        self._standardise(raw)
        return self._scale(raw)

    def transform(self, X):
        """Return the standardised columns of responses.

        Parameters
        ----------
        X : sequence of str (n_responses,), or array-like of str of shape (n_responses, 2)
            Responses, or rows ``(prompt, response)``.

        Returns
        -------
        Z : ndarray of shape (n_responses, n_columns)
            In [-clip, clip].
        """
        check_is_fitted(self)
        return self._scale(self._measure(X))

    def _measure(self, X) -> FloatArray:
        """Return the raw columns (n_responses, n_raw), NaN where there is no prompt."""
        columns = check_prompted_responses(X, subject=type(self).__name__)
        if columns is None:
            raise TypeError(
                f"{type(self).__name__} expected responses as text or rows (prompt, response) of "
                "text, got numbers."
            )
        prompts, responses = columns
        raw = np.full((len(responses), len(RESPONSE_COLUMNS) + len(OVERLAP_COLUMNS)), np.nan)
        read: dict[str, Text] = {}
        for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
            text = Text(response)
            n = len(RESPONSE_COLUMNS)
            raw[row, :n] = [measure(text) for measure in RESPONSE_COLUMNS.values()]
            if prompt.strip():
                if prompt not in read:
                    read[prompt] = Text(prompt)
                raw[row, n:] = [compare(read[prompt], text) for compare in OVERLAP_COLUMNS.values()]
        return raw

    def _standardise(self, raw: FloatArray) -> None:
        """Set the centre and the scale; a column without a value gets 0 and 0."""
        known = ~np.isnan(raw).all(axis=0)
        self.center_, self.scale_ = np.zeros(raw.shape[1]), np.zeros(raw.shape[1])
        values = raw[:, known]
        low, high = np.nanquantile(values, [0.01, 0.99], axis=0)
        values = np.clip(values, low, high)
        scale = np.nanstd(values, axis=0)
        self.center_[known] = np.nanmean(values, axis=0)
        # A constant column has a deviation of rounding errors only.
        tolerance = 1e-9 * (1 + np.abs(self.center_[known]))
        self.scale_[known] = np.where(scale > tolerance, scale, 0.0)

    def _scale(self, raw: FloatArray) -> FloatArray:
        """Return the standardised columns and the hinges of length, clipped."""
        scale = np.where(self.scale_ > 0, self.scale_, np.inf)
        Z = np.clip((raw - self.center_) / scale, -self.clip, self.clip)
        Z[np.isnan(Z)] = 0.0
        length = Z[:, list(RESPONSE_COLUMNS).index("log_characters")]
        short, long = np.maximum(-length - _HINGE, 0), np.maximum(length - _HINGE, 0)
        return np.column_stack([Z, short, long])

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str of shape (n_columns,)
        """
        names = [*RESPONSE_COLUMNS, *OVERLAP_COLUMNS, *_HINGE_COLUMNS]
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


def preference_features(
    embedder=None,
    *,
    word_weight=1.0,
    character_weight=1.0,
    form_weight=0.15,
    embedding_weight=1.0,
    product_weight=0.0,
):
    """Return the preset of features of responses: words, character n-grams and ResponseFeatures.

    What ``PreferenceRewardModel(vectorizer="preference")`` uses. A response that is one of a pair
    for a prompt becomes a sparse row of three blocks, whose scales let one penalty suit them all.

    Parameters
    ----------
    embedder : transformer, default=None
        Adds a block of embeddings, those of the response alone: a :class:`CachedEmbedder`, or any
        other transformer of texts.
    word_weight, character_weight : float, default=1.0
        Norm of the block of words and pairs of words, and of that of characters, in every row.
    form_weight : float, default=0.15
        Standard deviation of the columns of :class:`ResponseFeatures`.
    embedding_weight : float, default=1.0
        Norm of the embedding in every row.
    product_weight : float, default=0.0
        Norm, in every row that has a prompt, of a block ``products``: of each coordinate of the
        embedding, that of the prompt times that of the response. It tells responses to the point
        from others. Prompts are embedded too; give ``memory`` to a :class:`CachedEmbedder`, so that
        both blocks share what is embedded. 0 leaves the block out.

    Returns
    -------
    vectorizer : ColumnTransformer
        Reads rows ``(prompt, response)``. Its parts are called ``words``, ``characters``,
        ``form`` and, with an embedder, ``embedding`` and ``products``, so
        ``set_params(words__min_df=5, transformer_weights=...)`` adapts it.

    Raises
    ------
    TypeError
        If the embedder is no transformer, as a class is none, or a function without a wrapper.
    ValueError
        If a weight is negative, NaN or infinite.

    Notes
    -----
    Words (also punctuation marks; characters in scripts that put no blanks between words) in ones
    and twos, and runs of 3 to 5 characters, are weighted by
    sublinear tf-idf; those in a single training response are left out. Rows of both blocks have
    norm 1, so how long a response is stands in ``ResponseFeatures`` alone, whose nearly 50 columns
    of standard deviation 0.15 have a norm of about 1. Statistics are those of the responses in
    ``fit``, each counted once.

    Examples
    --------
    >>> from sklearn_codex import PreferenceRewardModel
    >>> from sklearn_codex.features import preference_features
    >>> pairs = [("How?", "So: do it.", "No."), ("Why?", "no no", "Because it is so.")]
    >>> model = PreferenceRewardModel(vectorizer=preference_features()).fit(pairs, [1, 0])
    >>> model.predict([("When?", "no", "It is so.")])
    array([0])
    """
    weights = {
        name: check_number(weight, name, subject="preference_features", interval=NOT_NEGATIVE)
        for name, weight in (
            ("word_weight", word_weight),
            ("character_weight", character_weight),
            ("form_weight", form_weight),
            ("embedding_weight", embedding_weight),
            ("product_weight", product_weight),
        )
    }
    if embedder is not None and not FEATURES.is_satisfied_by(embedder):
        raise TypeError(
            "preference_features needs a transformer of texts as embedder, got "
            f"{type(embedder).__name__} {embedder!r:.60}. Make an instance of a class; wrap a "
            "function or a model with encode: sklearn_codex.features.CachedEmbedder(embedder)."
        )
    if embedder is None and product_weight:
        raise ValueError(
            f"preference_features got product_weight={product_weight!r} but no embedder. Pass one, "
            "or leave product_weight at 0."
        )
    words = TfidfVectorizer(
        tokenizer=split_words, token_pattern=None, ngram_range=(1, 2), sublinear_tf=True, min_df=2
    )
    characters = TfidfVectorizer(analyzer="char", ngram_range=(3, 5), sublinear_tf=True, min_df=2)
    blocks = [
        ("words", words, 1, "word_weight"),
        ("characters", characters, 1, "character_weight"),
        ("form", ResponseFeatures(), [0, 1], "form_weight"),
    ]
    if embedder is not None:
        blocks.append(("embedding", make_pipeline(embedder, UnitRows()), 1, "embedding_weight"))
    if product_weight:
        blocks.append(("products", PromptProducts(embedder), [0, 1], "product_weight"))
    return ColumnTransformer(
        [block[:3] for block in blocks],
        transformer_weights={name: weights[weight] for name, *_, weight in blocks},
        sparse_threshold=1.0,
    )
