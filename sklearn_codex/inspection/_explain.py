"""What a reward of vectors prefers, in words."""

from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, validate_params

from sklearn_codex._categorical import FloatArray, IntArray
from sklearn_codex._checks.groups import encode_groups
from sklearn_codex._checks.matrices import check_numbers, is_sparse
from sklearn_codex._checks.probabilities import check_soft_labels
from sklearn_codex._data.designs import PairDesign, length_columns, length_scale
from sklearn_codex._data.lengths import pairs_alone
from sklearn_codex._data.rows import FLOATS
from sklearn_codex._data.text_pairs import TextPairs, check_text_pairs
from sklearn_codex._data.vectorizers import (
    FEATURES,
    apply_vectorizer,
    fit_vectorizer,
    unwrap,
    wants_prompt,
)
from sklearn_codex._data.vectors import as_response_ids, check_pairs_of, holds_vectors
from sklearn_codex._reward.model_cv import PreferenceRewardModelCV
from sklearn_codex._reward.preset_design import preset_design
from sklearn_codex._verdicts import LEVEL
from sklearn_codex.inspection._directions import (
    choose_words,
    farthest_pairs,
    find_directions,
    judge_ratio,
    score_pairs,
    slopes,
    without,
    words_along,
)
from sklearn_codex.inspection._explained_share import (
    MAX_PAIRS,
    judge_share_explained,
    predict_margins,
)
from sklearn_codex.inspection._explanation import RewardExplanation
from sklearn_codex.inspection._pairs_data import preference_target, refuse_wordless
from sklearn_codex.metrics._slice_tests import adjust_for_many
from sklearn_codex.text import TokenCounter

SUBJECT = "explain_reward"
FEWEST_PROMPTS = 20
MAX_WORDS = 2000
MIN_RESPONSES = 3
COUNT = Interval(Integral, 1, None, closed="left")


class _Pairs(NamedTuple):
    """Pairs as they are explained.

    Parameters
    ----------
    texts : TextPairs
        What is shown of them.
    vectors : ndarray of shape (n_pairs, d)
        Differences phi(A) - phi(B).
    target : ndarray of shape (n_pairs,) or None
        P(A preferred) - 1/2; None where labels are not asked for.
    margin : ndarray of shape (n_pairs,) or None
        Of the reward; None where there is none yet.
    groups : ndarray of int of shape (n_pairs,)
        Codes of prompts.
    """

    texts: TextPairs
    vectors: FloatArray
    target: Any
    margin: Any
    groups: IntArray


@validate_params(
    {
        "estimator": [HasMethods("decision_function"), None],
        "X": "no_validation",
        "y": ["array-like", None],
        "texts": "no_validation",
        "embedder": [FEATURES, None],
        "groups": ["array-like", None],
        "n_directions": [COUNT],
        "control_length": ["boolean"],
        "level": [Interval(Real, 0, 1, closed="neither")],
        "n_words": [COUNT],
        "n_pairs": [COUNT],
        "name": [callable, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def explain_reward(
    estimator,
    X,
    y=None,
    *,
    texts=None,
    embedder=None,
    groups=None,
    n_directions=16,
    control_length=False,
    level=LEVEL,
    n_words=8,
    n_pairs=3,
    name=None,
    random_state=None,
):
    r"""Say in words what is preferred, where responses are vectors.

    A weight of an embedding means nothing by itself. Half of the prompts give directions along
    which few pairs differ much; the other half tells which of them are preferred, which words and
    pairs they are of, and how much of the reward words and form explain.

    Parameters
    ----------
    estimator : fitted reward model or None
        With ``reward_margin``, ``predict_margin`` or ``decision_function``, the margin of a pair;
        the first that is there is taken. None: a Bradley-Terry reward of the vectors is fitted to
        the pairs of the half that learns.
    X : array-like of shape (n_pairs, 2 or 3), (n_pairs, 2, d) or (n_pairs, d), or ResponseIds
        Pairs, as the estimator takes them: texts, vectors, or differences of vectors.
    y : array-like of shape (n_pairs,), default=None
        Labels of the classes of the estimator; without one, and where they are numbers in [0, 1],
        the probability that A is preferred. None: what the reward prefers is explained, instead of
        what labels do.
    texts : array-like of str of shape (n_pairs, 2) or (n_pairs, 3), or data frame, default=None
        The responses, and prompts, of pairs of vectors. None: X has them.
    embedder : transformer, default=None
        Makes the vectors of texts, such as a :class:`~sklearn_codex.features.CachedEmbedder`; one
        in ``FrozenEstimator`` is not fitted. None: the vectors of X, or what the vectorizer of the
        estimator makes of it.
    groups : array-like of shape (n_pairs,), default=None
        What belongs together. None means the prompts.
    n_directions : int, default=16
        Directions to look for. There are fewer where vectors have fewer dimensions, or half of the
        prompts not five pairs for each.
    control_length : bool, default=False
        Whether effects are those beside length: what the difference in characters, and its tanh,
        tell of the scores and of the preference is taken off first.
    level : float, default=0.05
        False discovery rate: of the directions called sure, a share of at most so many is expected
        to have no effect.
    n_words, n_pairs : int, default=8 and 3
        Words to each side, and pairs, to show of each direction.
    name : callable, default=None
        Called with the words and the pairs of each direction, returns its name. Words are a dict of
        two lists of str, ``more`` and ``less``; pairs a list of dict with ``prompt``, and with the
        texts of the responses that have ``more`` and ``less`` of it. None: the words that are sure.
    random_state : int, RandomState instance or None, default=None
        Draws the halves, where the search for directions begins, and signs of the tests of words.

    Returns
    -------
    explanation : RewardExplanation
        ``print`` it; a notebook shows it as a page. ``directions``, ``words``, ``pairs`` and
        ``shares`` are tables, ``plot`` draws the effects, ``to_frame`` and ``to_dict`` return all.

    Raises
    ------
    ValueError
        If there are fewer than 20 prompts, no texts, or none with a word, no labels and no
        estimator, or no dense vectors.
    TypeError
        If ``name`` does not return a str.

    See Also
    --------
    sklearn_codex.features.CachedEmbedder : Vectors of texts.
    sklearn_codex.RewardUncertainty : Weights of words and of form, with intervals.

    Notes
    -----
    Directions are independent components [1]_ of the differences of the vectors, which are the
    rotation of their principal components with the sparsest scores: what all responses to a prompt
    have in common cancels, and so does which one is A. In simulations they found concepts that few
    responses have more often than a dictionary by the lasso did. They look at no label; the sign is
    that of the effect in the half that learns, so more of a direction is mostly what is preferred.

    With scores s of the pairs of the other half, one standard deviation being 1 and none beyond 3,
    the effect is :math:`b = \sum s_i t_i / \sum s_i^2`, where t is P(A preferred) - 1/2, so that a
    response with a standard deviation more is preferred in a share of 1/2 + b; or, without y, the
    margin in nats. Standard errors, intervals and p-values are those by prompt of
    :func:`~sklearn_codex.metrics.paired_cluster_bootstrap`, for the mean of t / s with the weights
    s². The adjusted p-values are those of Benjamini and Hochberg [2]_.

    A word counts as there or not. Its correlation is that of the score with its difference, and its
    p-value is adjusted for all words of a direction, by random signs of prompts; words that may be
    chance are shown last, and marked.

    The share of the reward is of the squares of its margins, :math:`1 - \sum e^2 / \sum m^2`, by
    ridge regressions on the half that learns, of 2,000 pairs at most, judged on the other: on the
    form of :class:`~sklearn_codex.features.ResponseFeatures`, on the words and runs of characters
    of :func:`~sklearn_codex.features.preference_features`, on both, and on the directions.

    References
    ----------
    .. [1] Hyvärinen, A. and Oja, E. (2000). "Independent component analysis: algorithms and
       applications." Neural Networks 13(4-5), 411-430.
    .. [2] Benjamini, Y. and Hochberg, Y. (1995). "Controlling the false discovery rate: a practical
       and powerful approach to multiple testing." Journal of the Royal Statistical Society B 57(1),
       289-300.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_codex.inspection import explain_reward
    >>> rng = np.random.RandomState(0)
    >>> words = ["sorry", "indeed", "maybe", "thanks", "please"]
    >>> vectors = rng.standard_normal((5, 12))  # what an embedder has of each word
    >>> has = rng.uniform(size=(600, 2, 5)) < 0.15
    >>> texts = [
    ...     (f"prompt {i // 3}", *(" ".join(["So", *np.array(words)[side]]) for side in pair))
    ...     for i, pair in enumerate(has)
    ... ]
    >>> embeddings = has @ vectors + 0.1 * rng.standard_normal((600, 2, 12))
    >>> likes = (has[:, 0].astype(int) - has[:, 1]) @ [-3, 2, 0, 0, 0]
    >>> y = (rng.uniform(size=600) < 1 / (1 + np.exp(-likes))).astype(int)
    >>> explanation = explain_reward(
    ...     None, embeddings, y, texts=texts, n_directions=5, random_state=0
    ... )
    >>> sure = explanation.directions.is_sure
    >>> [name for name, is_sure in zip(explanation.directions.name, sure) if is_sure]
    ['less sorry', 'more indeed']
    """
    rng = check_random_state(random_state)
    pairs = _read(estimator, X, y, texts, embedder, groups)
    train, test = _halve(pairs.groups, rng)
    if estimator is None:
        pairs = pairs._replace(margin=_fit_margins(pairs, train))
    if not np.any(pairs.margin):
        raise ValueError(
            f"{SUBJECT} explains a reward, and this one is the same for both responses of each of "
            f"the {len(pairs.margin)} pairs. Fit it on pairs that differ."
        )
    directions = find_directions(pairs.vectors[train], n_directions, rng)
    learning = np.isin(np.arange(len(pairs.groups)), train)
    scores = score_pairs(pairs.vectors, learning, directions)
    target = pairs.margin if pairs.target is None else pairs.target
    sign, judged = _judge(pairs, scores, target, train, test, control_length, rng)
    scores = scores._replace(learned=scores.learned * sign, tested=scores.tested * sign)
    described = _describe(pairs, scores.tested, test, n_words, n_pairs, name, level, rng)
    shares = _explain_margins(pairs, scores, train, test, rng)
    return RewardExplanation.of(
        judged,
        described,
        shares,
        components=directions * sign[:, np.newaxis],
        level=level,
        unit="nats" if pairs.target is None else "P(preferred)",
        n_prompts=(_n_groups(pairs.groups[train]), _n_groups(pairs.groups[test])),
    )


def _n_groups(groups):
    return len(np.unique(groups))


def _read(estimator, X, y, texts, embedder, groups) -> _Pairs:
    """Return the pairs with all that is known of them before anything is learned."""
    if estimator is None and y is None:
        raise ValueError(
            f"{SUBJECT} got neither an estimator nor y, so nothing says what is preferred. Pass a "
            "fitted reward model, or the labels of the pairs, or both."
        )
    given = check_text_pairs(X, subject=SUBJECT)
    shown = given if texts is None else check_text_pairs(texts, subject=SUBJECT)
    if shown is None:
        raise ValueError(
            f"{SUBJECT} shows words, and vectors have none. Pass texts=, the rows (prompt, "
            "response_a, response_b) of the pairs."
        )
    refuse_wordless(shown, SUBJECT)
    margin = None if estimator is None else _margin_of(estimator, X)
    vectors = _differences(estimator, X, given, shown, embedder)
    n = len(shown.responses_a)
    if len(vectors) != n:
        raise ValueError(
            f"{SUBJECT} needs a row of texts for each pair, got {n} for {len(vectors)} pairs of "
            "vectors. Pass those of the same pairs, in order."
        )
    target = None if y is None else _check_target(estimator, y, n)
    return _Pairs(shown, vectors, target, margin, _check_groups(shown, groups, n))


def _check_target(estimator, y, n):
    if hasattr(estimator, "classes_"):
        target = preference_target(estimator, y, SUBJECT)
    else:
        target = check_soft_labels(y, name="y")
    if len(target) != n:
        raise ValueError(f"{SUBJECT} needs a label for each of {n} pairs in y, got {len(target)}.")
    return target - 0.5


def _margin_of(estimator, X):
    # The decision function of a model of ties has a column for each of three outcomes.
    names = ("reward_margin", "predict_margin", "decision_function")
    model = unwrap(estimator)
    name = next(name for name in names if hasattr(model, name))
    return np.asarray(getattr(model, name)(X), dtype=np.float64)


def _check_groups(texts, groups, n):
    if groups is None:
        if texts.prompts is None:
            raise ValueError(
                f"{SUBJECT} learns from half of the prompts and judges on the others, but there "
                "are none. Pass groups=, the prompt of each pair."
            )
        groups = [" ".join(prompt.split()) for prompt in texts.prompts]
    codes = encode_groups(groups, n)
    if _n_groups(codes) < FEWEST_PROMPTS:
        raise ValueError(
            f"{SUBJECT} needs at least {FEWEST_PROMPTS} prompts, half of which judge what the "
            f"others give, got {_n_groups(codes)}."
        )
    return codes


def _differences(estimator, X, given, shown, embedder):
    """Return the differences of dense vectors (n_pairs, d)."""
    if embedder is None and given is None:
        return _differences_of_numbers(pairs_alone(X))
    vectorizer = embedder
    if embedder is None:
        vectorizer = getattr(unwrap(estimator), "vectorizer_", None)
    if vectorizer is None:
        raise ValueError(
            f"{SUBJECT} looks for directions of vectors, and X is text. Pass embedder=, which "
            "makes vectors of it, or the vectors as X with texts=."
        )
    responses, a, b = (given or shown).unique_responses(with_prompts=wants_prompt(vectorizer))
    if embedder is None:
        features = apply_vectorizer(vectorizer, responses, subject=SUBJECT)
    else:
        _, features = fit_vectorizer(embedder, responses, subject=SUBJECT)
    if is_sparse(features):
        raise ValueError(
            f"{SUBJECT} looks for directions of dense vectors, but "
            f"{type(unwrap(vectorizer)).__name__} makes a sparse matrix of shape {features.shape}, "
            "whose columns have names: see coef_interval of RewardUncertainty for these, or pass "
            "embedder=."
        )
    features = check_numbers(
        features, subject=SUBJECT, name="the vectors", estimator=None, dtype=FLOATS
    )
    return PairDesign(features, a, b).differences


def _differences_of_numbers(X):
    if holds_vectors(X):
        pairs = check_pairs_of(as_response_ids(X, subject=SUBJECT), subject=SUBJECT)
        if not is_sparse(pairs.features):
            return PairDesign(pairs.features, *pairs.ids.T).differences
        X = pairs.features
    if is_sparse(X):
        raise ValueError(
            f"{SUBJECT} looks for directions of dense vectors, got a sparse matrix of shape "
            f"{X.shape}. Its columns have names: see coef_interval of RewardUncertainty, or pass "
            "embedder=."
        )
    return check_numbers(X, subject=SUBJECT, dtype=FLOATS)


def _halve(groups, rng):
    splitter = GroupShuffleSplit(1, test_size=0.5, random_state=rng)
    return next(splitter.split(groups, groups=groups))


def _fit_margins(pairs, train):
    """Return the margins (n_pairs,) of a reward of the vectors of some pairs."""
    turned = np.where(np.arange(len(train)) % 2, -1.0, 1.0)
    model = PreferenceRewardModelCV()
    D, y = pairs.vectors[train] * turned[:, np.newaxis], 0.5 + turned * pairs.target[train]
    model.fit(D, y, groups=pairs.groups[train])
    return model.decision_function(pairs.vectors)


def _judge(pairs, scores, target, train, test, control_length, rng):
    """Return the sign of each direction, and what is told of its effect."""
    learned, tested = scores
    known, asked = target[train, np.newaxis], target[test, np.newaxis]
    if control_length:
        longer = pairs.texts.length_difference()
        columns = length_columns(longer, length_scale(longer, np.ones(len(longer))))
        learned, known = (without(part, columns[train]) for part in (learned, known))
        tested, asked = (without(part, columns[test]) for part in (tested, asked))
    sign = np.where(slopes(learned, known[:, 0]) < 0, -1.0, 1.0)
    groups = pairs.groups[test]
    tests = [judge_ratio(s * asked[:, 0], s**2, groups, rng) for s in (tested * sign).T]
    adjusted = adjust_for_many([test["p_value"] for test in tests])
    of_reward = slopes(scores.tested * sign, pairs.margin[test])
    return sign, [
        {
            "effect": test.pop("value"),
            **test,
            "adjusted": float(p_value),
            "reward_effect": float(reward),
        }
        for test, p_value, reward in zip(tests, adjusted, of_reward, strict=True)
    ]


def _describe(pairs, scores, test, n_words, n_pairs, name, level, rng):
    """Return the name, the words and the pairs of each direction."""
    texts, groups = pairs.texts.take(test), np.unique(pairs.groups[test], return_inverse=True)[1]
    differences, names = _word_differences(texts)
    found = []
    for position, score in enumerate(scores.T):
        correlation, p_value = words_along(score, differences, groups, rng)
        more, less = choose_words(correlation, p_value, names, n_words, level)
        rows = farthest_pairs(score, groups, n_pairs)
        shown = [_show_pair(texts, row, score[row], test[row], pairs.target) for row in rows]
        words = {"more": [w["word"] for w in more], "less": [w["word"] for w in less]}
        title = _name_by_words(more, less, position) if name is None else name(words, shown)
        if not isinstance(title, str):
            raise TypeError(
                f"{SUBJECT} needs name to return a str, the name of a direction, got "
                f"{title!r:.60} for direction {position}."
            )
        found.append({"name": title, "more": more, "less": less, "pairs": shown})
    return found


def _word_differences(texts):
    """Return which words A alone has, less those B alone has (n_pairs, V), and the words."""
    responses, a, b = texts.unique_responses()
    counter = TokenCounter("script-word", lowercase=True, unk_token=None)
    has = sparse.csr_array(counter.fit_transform(responses))
    has.data[:] = 1.0
    names = counter.get_feature_names_out()
    n_responses = np.asarray(has.sum(axis=0)).reshape(-1)
    n_responses *= [any(map(str.isalnum, name)) for name in names]
    n_kept = min(MAX_WORDS, int(np.sum(n_responses >= MIN_RESPONSES)))
    columns = np.sort(np.argsort(-n_responses, kind="stable")[:n_kept])
    has = has[:, columns]
    return sparse.csr_array(has[a] - has[b]), names[columns]


def _show_pair(texts, row, score, position, target):
    sides = [texts.responses_a[row], texts.responses_b[row]]
    more, less = sides if score > 0 else sides[::-1]
    return {
        "prompt": "" if texts.prompts is None else texts.prompts[row],
        "more": more,
        "less": less,
        "score": float(abs(score)),
        "preferred": None if target is None else float(0.5 + np.sign(score) * target[position]),
        "row": int(position),
    }


def _name_by_words(more, less, position):
    """Return the sure words as a name, the strongest first; a number where there are none."""
    sides = {"more": more, "less": less}
    sure = {side: [word for word in words if word["is_sure"]][:3] for side, words in sides.items()}
    found = sorted(filter(sure.get, sure), key=lambda side: -abs(sure[side][0]["correlation"]))
    parts = [f"{side} {', '.join(word['word'] for word in sure[side])}" for side in found]
    return "; ".join(parts) if parts else f"direction {position}"


def _explain_margins(pairs, scores, train, test, rng):
    """Return the share of the reward that form, words, both and the directions explain."""
    margin, groups = pairs.margin, pairs.groups
    chosen = _some_pairs(groups, train, rng)
    responses, a, b = pairs.texts.unique_responses(with_prompts=True)
    design, form, _ = preset_design(responses, a, b)
    both = design[np.arange(len(groups))]
    along = np.empty((len(groups), scores.learned.shape[1]))
    # In the order of a mask, which is that of rows.
    along[np.sort(train)], along[np.sort(test)] = scores
    blocks = {"form": form, "words": both[:, : both.shape[1] - form.shape[1]]}
    blocks |= {"words and form": both, "directions": along}
    return [
        {
            "part": part,
            **judge_share_explained(
                margin[test],
                predict_margins(features, margin, groups, chosen, test),
                groups[test],
                rng,
            ),
        }
        for part, features in blocks.items()
    ]


def _some_pairs(groups, rows, rng):
    """Return rows of whole prompts, as many as the regression can learn from."""
    order = rng.permutation(np.unique(groups[rows]))
    sizes = np.bincount(groups[rows], minlength=int(groups.max()) + 1)[order]
    n_kept = max(2, int(np.searchsorted(np.cumsum(sizes), MAX_PAIRS, side="right")))
    return rows[np.isin(groups[rows], order[:n_kept])][:MAX_PAIRS]
