"""Simulated preference pairs whose reward weights, biases and noise are known."""

from numbers import Integral, Real

import numpy as np
from numpy.random import RandomState
from scipy import sparse as sp
from scipy.special import expit
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_codex._bunch import DataBunch
from sklearn_codex._checks.numbers import check_tokens_at_once, check_values

MARGIN_SCALE = 2.0
_MOST_FEATURES = 10_000_000
_MOST_DENSE = 2**28

DESCR = """\
Simulated preferences
=====================

Pairs of random documents, compared by a simulated annotator with known weights, biases and noise.
**No person and no language model was asked**: every response and every label is drawn by
`sklearn_codex.datasets.make_preferences`, whose documentation has the formulas.
"""


def _check_coef(coef, n_features: int) -> np.ndarray:
    coef = np.array(check_values(coef, "coef", subject="make_preferences"))
    if coef.shape != (n_features,):
        raise ValueError(
            f"coef must have one weight for each of the n_features={n_features} tokens, shape "
            f"({n_features},); got shape {coef.shape}."
        )
    return coef


def _check_size(n_pairs, n_features, document_length, *, dense):
    """Check that what is drawn fits into memory."""
    remedy = "Set a smaller n_pairs or document_length."
    check_tokens_at_once(2 * int(n_pairs), np.ceil(document_length), remedy=remedy)
    if dense and int(n_pairs) * int(n_features) > _MOST_DENSE:
        raise ValueError(
            f"make_preferences with n_pairs={n_pairs} and n_features={n_features} would hold more "
            f"than {_MOST_DENSE:,} numbers in a dense matrix. Pass sparse=True."
        )


def _zipf(n_features: int) -> np.ndarray:
    """Token probabilities (V,) proportional to 1 / rank."""
    weights = 1.0 / np.arange(1, n_features + 1)
    return weights / weights.sum()


def _draw_coef(token_prob: np.ndarray, document_length: float, rng: RandomState) -> np.ndarray:
    """Draw weights (V,) of mean zero under the tokens, scaled to margins of a known spread.

    With mean zero the reward does not depend on length, and the margin of two documents of mean
    length L has variance 2 L E[w^2].
    """
    coef = np.asarray(rng.standard_normal(token_prob.shape[0]))
    coef -= np.sum(token_prob * coef)
    spread = np.sqrt(2.0 * document_length * np.sum(token_prob * coef**2))
    return coef * (MARGIN_SCALE / spread) if spread > 0 else coef


def _count_difference(tokens: np.ndarray, lengths: np.ndarray, n_features: int) -> sp.csr_array:
    """Return n_A - n_B (n_pairs, V) of the documents that follow each other in `tokens`.

    `lengths` (2, n_pairs) has the lengths of all documents A, then those of all documents B.
    """
    pair = np.tile(np.arange(lengths.shape[1]), 2)
    sign = np.repeat([1.0, -1.0], lengths.sum(axis=1))
    coordinates = (np.repeat(pair, lengths.ravel()), tokens)
    difference = sp.coo_array((sign, coordinates), shape=(lengths.shape[1], n_features)).tocsr()
    difference.eliminate_zeros()
    return difference


def _names(letter: str, n: int) -> np.ndarray:
    """Return `n` names padded with zeros, so that their order as text is that of their index."""
    width = len(str(n - 1))
    return np.array([f"{letter}{i:0{width}d}" for i in range(n)], dtype=object)


def _margins(reward, lengths, temperature, position_bias, length_bias) -> np.ndarray:
    """Return the margins (n_pairs,) of pairs from the rewards of A less those of B."""
    with np.errstate(over="ignore", invalid="ignore"):
        bias = float(length_bias) * (lengths[0] - lengths[1]) + position_bias
        margin = (reward + bias) / temperature
    if not np.isfinite(margin).all():
        raise ValueError(
            "make_preferences needs margins that are floats, got "
            f"{margin[~np.isfinite(margin)][0]} at temperature={temperature:.3g}, "
            f"length_bias={length_bias:.3g} and position_bias={position_bias:.3g}. Raise the "
            "temperature, or scale coef and the biases down."
        )
    return margin


def _write_pairs(
    tokens: np.ndarray, lengths: np.ndarray, feature_names: np.ndarray, prompts: np.ndarray
) -> np.ndarray:
    """Return prompt, response A and response B as text, an object array (n_pairs, 3)."""
    documents = np.split(feature_names[tokens], np.cumsum(lengths)[:-1])
    texts = np.array([" ".join(document) for document in documents], dtype=object)
    return np.column_stack([prompts, *texts.reshape(lengths.shape)])


@validate_params(
    {
        "n_pairs": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, _MOST_FEATURES, closed="both")],
        "n_prompts": [Interval(Integral, 1, None, closed="left"), None],
        "document_length": [Interval(Real, 1, None, closed="left")],
        "coef": ["array-like", None],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "position_bias": [Interval(Real, None, None, closed="neither")],
        "length_bias": [Interval(Real, None, None, closed="neither")],
        "flip_rate": [Interval(Real, 0, 1, closed="both")],
        "text": ["boolean"],
        "sparse": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_preferences(
    n_pairs=1000,
    *,
    n_features=50,
    n_prompts=None,
    document_length=20,
    coef=None,
    temperature=1.0,
    position_bias=0.0,
    length_bias=0.0,
    flip_rate=0.0,
    text=False,
    sparse=False,
    random_state=None,
):
    r"""Simulate preference pairs from a Bradley-Terry model whose weights are known.

    Parameters
    ----------
    n_pairs : int, default=1000
        Number of pairs.
    n_features : int, default=50
        Size V of the vocabulary, at most 10 million.
    n_prompts : int or None, default=None
        Number of prompts, given to the pairs in turn; None gives every pair its own. A prompt has
        no effect on the responses or on the preference, so grouping by it changes nothing.
    document_length : float, default=20
        Mean length of a response, in tokens, at least 1.
    coef : array-like of shape (n_features,), default=None
        True weights w of the tokens. None draws them from a normal distribution, then centres and
        scales them, see Notes.
    temperature : float, default=1.0
        Noise of the annotator, positive.
    position_bias : float, default=0.0
        Utility of standing first.
    length_bias : float, default=0.0
        Utility of one more token.
    flip_rate : float, default=0.0
        Probability with which a label is recorded the wrong way round, in [0, 1].
    text : bool, default=False
        Whether `X` is text or counts. The draws are the same.
    sparse : bool, default=False
        Whether the matrix of counts is a CSR array; no effect with `text=True`.
    random_state : int, RandomState instance or None, default=None
        Draws everything; an int gives the same pairs at each call.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the attributes:

        X : ndarray or CSR array of shape (n_pairs, n_features), or ndarray of shape (n_pairs, 3)
            The differences of counts, n_A - n_B. With `text=True` an object array of str with the
            columns prompt, response A and response B, whose tokens are separated by spaces.
        y : ndarray of shape (n_pairs,)
            The recorded preference: 1 where A is preferred, 0 where B is.
        groups : ndarray of shape (n_pairs,)
            Index of the prompt of each pair.
        coef : ndarray of shape (n_features,)
            The true weights w.
        margin : ndarray of shape (n_pairs,)
            The argument of the sigmoid below, in nats of log-odds.
        probability : ndarray of shape (n_pairs,)
            P(A preferred), before any label is flipped.
        clean_label : ndarray of shape (n_pairs,)
            The preference before any label is flipped.
        lengths : ndarray of shape (n_pairs, 2)
            Lengths of A and B, in tokens.
        token_prob : ndarray of shape (n_features,)
            The distribution of the tokens of all responses.
        feature_names : ndarray of shape (n_features,)
            The tokens in the order of the columns, which is also their order as text.
        temperature, position_bias, length_bias, flip_rate : float
            The parameters.
        DESCR : str
            Description of the data.

    Raises
    ------
    ValueError
        If a parameter is out of its range, there would be more than 2**27 tokens, or margins are no
        floats.

    See Also
    --------
    load_stdlib_code : Real code with simulated preferences.

    Notes
    -----
    The lengths are 1 plus Poisson of mean `document_length` - 1 and the tokens are independent with
    probability proportional to 1 / rank [2]_. With n the vector of counts and len its sum [1]_,

    .. math::

        P(A \text{ preferred}) = \sigma\left(\frac{w \cdot (n_A - n_B) + \text{length\_bias}
        \cdot (\text{len}_A - \text{len}_B) + \text{position\_bias}}{\text{temperature}}\right).

    A label drawn with this probability is then flipped with probability `flip_rate` = e, so that A
    is recorded as preferred with probability (1 - e) P + e (1 - P), and for e < 1/2 no rule is
    right on more than 1 - e of the labels in expectation.

    Weights that are drawn have mean zero under `token_prob`, so `length_bias` is all that length
    explains, and are scaled so that w . (n_A - n_B) has standard deviation 2. A logistic regression
    of `y` on `X` estimates (w + `length_bias`) / `temperature`, with the intercept
    `position_bias` / `temperature`: the length difference is the sum of a row of `X`, so counts
    alone do not tell a length bias from an equal weight on all tokens.

    References
    ----------
    .. [1] R. A. Bradley and M. E. Terry, "Rank Analysis of Incomplete Block Designs: I. The Method
       of Paired Comparisons", Biometrika 39 (3/4), 1952.
    .. [2] G. K. Zipf, "Human Behavior and the Principle of Least Effort", Addison-Wesley, 1949.

    Examples
    --------
    >>> from sklearn_codex.datasets import make_preferences
    >>> data = make_preferences(200, n_features=12, random_state=0)
    >>> data.X.shape, data.y.shape
    ((200, 12), (200,))
    >>> prompt, response_a, response_b = make_preferences(
    ...     200, n_features=12, document_length=3, text=True, random_state=0
    ... ).X[0]
    >>> prompt, set(response_a.split()) <= set(data.feature_names)
    ('p000', True)
    """
    _check_size(n_pairs, n_features, document_length, dense=not (text or sparse))
    rng = check_random_state(random_state)
    n_pairs = int(n_pairs)  # bool is an int, but no shape
    token_prob = _zipf(n_features)
    if coef is None:
        coef = _draw_coef(token_prob, document_length, rng)
    else:
        coef = _check_coef(coef, n_features)
    lengths = 1 + rng.poisson(document_length - 1, size=(2, n_pairs))
    tokens = rng.choice(n_features, size=lengths.sum(), p=token_prob)
    difference = _count_difference(tokens, lengths, n_features)
    margin = _margins(difference @ coef, lengths, temperature, position_bias, length_bias)
    clean_label = (rng.uniform(size=n_pairs) < expit(margin)).astype(np.int64)
    flipped = rng.uniform(size=n_pairs) < flip_rate
    groups = np.arange(n_pairs) % min(n_prompts or n_pairs, n_pairs)
    feature_names = _names("t", n_features)
    X: np.ndarray | sp.csr_array
    if text:
        X = _write_pairs(tokens, lengths, feature_names, _names("p", groups.max() + 1)[groups])
    else:
        X = difference if sparse else difference.toarray()
    return DataBunch(
        X=X,
        y=np.where(flipped, 1 - clean_label, clean_label),
        groups=groups,
        coef=coef,
        margin=margin,
        probability=expit(margin),
        clean_label=clean_label,
        lengths=lengths.T,
        token_prob=token_prob,
        feature_names=feature_names,
        temperature=temperature,
        position_bias=position_bias,
        length_bias=length_bias,
        flip_rate=flip_rate,
        DESCR=DESCR,
    )
