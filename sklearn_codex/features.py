"""Features of responses: their form and overlap with the prompt, embeddings, and the preset.

Features of the prompt alone cancel in the difference of two rewards; what a response has in common
with its prompt does not, so :class:`ResponseFeatures` looks at both.
"""

import re
import string
from collections.abc import Callable
from functools import cached_property
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
from sklearn_codex._text.scripts import find_words, split_words

__all__ = ["CachedEmbedder", "ResponseFeatures", "preference_features"]

_WORD = re.compile(r"\w+")
# Also the full stops, exclamation and question marks of scripts without blanks.
_SENTENCE_END = re.compile("[.!?]+(?=\\s|$)|[\u3002\uff01\uff1f\uff61\u104b\u17d4\u0f0d]+")
_PARAGRAPH_BREAK = re.compile(r"\n\s*\n")
_BULLET = re.compile(r"^[ \t]*(?:[-*+•‣][ \t]+|[・·][ \t]*)\S", re.MULTILINE)
_NUMBERED = re.compile(
    "^[ \\t]*(?:\\(?\\d{1,3}[.)][ \\t]|\uff08?\\d{1,3}[\u3001\uff0e\uff09])", re.MULTILINE
)
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.MULTILINE)
_TABLE_ROW = re.compile(r"^[^\n|]*\|[^\n|]*\|", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
_INLINE_CODE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
_FORMULA = re.compile(r"\$[^$\n]+\$|\\\(|\\\[")
_LINK = re.compile(r"https?://|www\.")
_QUOTE = re.compile(r"[\"“”«»「」『』]")
_DIGIT, _UPPER = re.compile(r"\d"), re.compile(r"[A-Z]")
_REFUSAL = re.compile(
    "\\b(?:sorry|apologi[sz]e|can ?not|can['\u2019]t|unable to|not able to|as an ai)\\b",
    re.IGNORECASE,
)
_STOP_WORDS = frozenset(
    _WORD.findall(
        "the a an of to in and or is are was were be for on with as at by it its this that i you "
        "your my we our from can how what which who do does not if"
    )
)
_FIRST_PERSON, _SECOND_PERSON = frozenset(["i", "me", "my"]), frozenset(["you", "your"])
_CLOSING = tuple(
    ".!?:;)]}\"'`*|>\u3002\uff01\uff1f\u2026\u201d\uff61\u104b\u17d4\u0f0d\uff09\u300d\u300f\u3011"
)
_TO_ASCII = str.maketrans("\uff1f\uff01\uff08\uff0c\u3001\u104a\uff1a", "?!(,,,:")
_DELETE_PUNCTUATION = str.maketrans("", "", string.punctuation)
# A standardised log length beyond this, either way, is long or short.
_HINGE = 0.5


class _Text:
    """A text and what its features are made of, each made once."""

    def __init__(self, text: str):
        self.text = text
        self.stripped = text.strip()
        self.words = find_words(text.lower())
        self.word_lengths = list(map(len, self.words))
        self.types = frozenset(self.words)
        self.trigrams = list(zip(self.words, self.words[1:], self.words[2:], strict=False))
        self.lines = [line for line in text.split("\n") if line.strip()]
        self.n_characters = len(text)
        self.marks = text if text.isascii() else text.translate(_TO_ASCII)

    @cached_property
    def trigram_types(self) -> frozenset:
        """Its different trigrams."""
        return frozenset(self.trigrams)

    @cached_property
    def n_sentences(self) -> int:
        """Where sentences end."""
        return len(_SENTENCE_END.findall(self.text))

    def count(self, pattern: re.Pattern, mark: str = "") -> float:
        """Return log(1 + matches) of a pattern that needs a mark."""
        return float(np.log1p(len(pattern.findall(self.text)))) if mark in self.text else 0.0

    def character_share(self, n: float) -> float:
        """Return the root of a share of characters; small shares differ more than great ones."""
        return float(np.sqrt(n / max(self.n_characters, 1)))

    def word_share(self, kept: frozenset) -> float:
        """Return the share of words that are in a set."""
        return sum(map(kept.__contains__, self.words)) / max(len(self.words), 1)


def _share_new(items: list) -> float:
    """Return the share of items that did not occur before; 1 where there are none."""
    return len(set(items)) / len(items) if items else 1.0


def _n_not_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


# Column -> what it is of a response. Counts are log(1 + count): bounded in effect, and a doubling
# counts the same whether from one or from ten.
_RESPONSE_COLUMNS: dict[str, Callable[[_Text], float]] = {
    "log_characters": lambda t: np.log1p(t.n_characters),
    "log_words": lambda t: np.log1p(len(t.words)),
    "empty": lambda t: float(not t.words),
    "sentences": lambda t: np.log1p(t.n_sentences),
    "words_per_sentence": lambda t: np.log((len(t.words) + 1) / (t.n_sentences + 1)),
    "word_length": lambda t: np.log((sum(t.word_lengths) + 1) / (len(t.words) + 1)),
    "lines": lambda t: np.log1p(len(t.lines)),
    "paragraphs": lambda t: np.log1p(len(_PARAGRAPH_BREAK.findall(t.stripped))),
    "bullets": lambda t: t.count(_BULLET),
    "numbered_items": lambda t: t.count(_NUMBERED),
    "headings": lambda t: t.count(_HEADING),
    "bold": lambda t: t.count(_BOLD),
    "code_fences": lambda t: np.log1p(t.text.count("```")),
    "inline_code": lambda t: t.count(_INLINE_CODE, "`"),
    "indented_lines": lambda t: sum(line[0] in " \t" for line in t.lines) / max(len(t.lines), 1),
    "table_rows": lambda t: t.count(_TABLE_ROW, "|"),
    "links": lambda t: t.count(_LINK),
    "formulas": lambda t: t.count(_FORMULA),
    "questions": lambda t: np.log1p(t.marks.count("?")),
    "exclamations": lambda t: np.log1p(t.marks.count("!")),
    "quotes": lambda t: t.count(_QUOTE),
    "parentheses": lambda t: np.log1p(t.marks.count("(")),
    "commas": lambda t: np.log1p(t.marks.count(",")),
    "comma_share": lambda t: t.character_share(t.marks.count(",")),
    "colon_share": lambda t: t.character_share(t.marks.count(":")),
    "type_token_ratio": lambda t: _share_new(t.words),
    "lexical_diversity": lambda t: (
        np.log1p(len(t.types)) / np.log1p(len(t.words)) if t.words else 1.0
    ),
    "new_trigrams": lambda t: len(t.trigram_types) / len(t.trigrams) if t.trigrams else 1.0,
    "new_lines": lambda t: _share_new(t.lines),
    "digit_share": lambda t: t.character_share(len(_DIGIT.findall(t.text))),
    "punctuation_share": lambda t: t.character_share(
        t.n_characters - len(t.text.translate(_DELETE_PUNCTUATION))
    ),
    "capital_share": lambda t: t.character_share(len(_UPPER.findall(t.text))),
    "space_share": lambda t: t.character_share(t.n_characters - sum(map(len, t.text.split()))),
    "not_ascii_share": lambda t: t.character_share(_n_not_ascii(t.text)),
    "stop_word_share": lambda t: t.word_share(_STOP_WORDS),
    "first_person_share": lambda t: t.word_share(_FIRST_PERSON),
    "second_person_share": lambda t: t.word_share(_SECOND_PERSON),
    "long_word_share": lambda t: sum(map((6).__lt__, t.word_lengths)) / max(len(t.words), 1),
    "refusals": lambda t: t.count(_REFUSAL),
    "ends_closed": lambda t: float(t.stripped.endswith(_CLOSING)),
    "starts_with_capital": lambda t: float(t.stripped[:1].isupper()),
}


def _trigram_copies(prompt: _Text, response: _Text) -> tuple[float, float]:
    """Return the shares of the response's trigrams that the prompt has, and the reverse."""
    known = prompt.trigram_types
    copied = sum(map(known.__contains__, response.trigrams))
    found = len(known & response.trigram_types)
    return copied / max(len(response.trigrams), 1), found / max(len(known), 1)


def _content(prompt: _Text) -> frozenset:
    return prompt.types - _STOP_WORDS


# Column -> what it is of a response to a prompt.
_OVERLAP_COLUMNS: dict[str, Callable[[_Text, _Text], float]] = {
    "words_from_prompt": lambda p, r: r.word_share(p.types),
    "prompt_words_used": lambda p, r: len(_content(p) & r.types) / max(len(_content(p)), 1),
    "trigrams_from_prompt": lambda p, r: _trigram_copies(p, r)[0],
    "prompt_trigrams_used": lambda p, r: _trigram_copies(p, r)[1],
    "begins_as_prompt": lambda p, r: float(
        bool(r.stripped) and r.stripped[:40].lower() in p.text.lower()
    ),
    "other_script": lambda p, r: abs(
        _n_not_ascii(p.text) / max(p.n_characters, 1)
        - _n_not_ascii(r.text) / max(r.n_characters, 1)
    ),
}
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
        raw = np.full((len(responses), len(_RESPONSE_COLUMNS) + len(_OVERLAP_COLUMNS)), np.nan)
        read: dict[str, _Text] = {}
        for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
            text = _Text(response)
            n = len(_RESPONSE_COLUMNS)
            raw[row, :n] = [measure(text) for measure in _RESPONSE_COLUMNS.values()]
            if prompt.strip():
                if prompt not in read:
                    read[prompt] = _Text(prompt)
                raw[row, n:] = [
                    compare(read[prompt], text) for compare in _OVERLAP_COLUMNS.values()
                ]
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
        length = Z[:, list(_RESPONSE_COLUMNS).index("log_characters")]
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
        names = [*_RESPONSE_COLUMNS, *_OVERLAP_COLUMNS, *_HINGE_COLUMNS]
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
