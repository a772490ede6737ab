"""What a reward of vectors prefers, in words."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, validate_params

from sklearn_codex._data.designs import length_columns, length_scale
from sklearn_codex._data.vectorizers import (
    FEATURES,
)
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
from sklearn_codex.inspection._explained_pairs import SUBJECT, n_groups_of, read_explained
from sklearn_codex.inspection._explained_share import (
    MAX_PAIRS,
    judge_share_explained,
    predict_margins,
)
from sklearn_codex.inspection._explanation import RewardExplanation
from sklearn_codex.metrics._slice_tests import adjust_for_many
from sklearn_codex.text import TokenCounter

MAX_WORDS = 2000
MIN_RESPONSES = 3
COUNT = Interval(Integral, 1, None, closed="left")


@validate_params(
    {
        "estimator": [HasMethods("decision_function"), None],
        "X": "no_validation",
        "y": ["array-like", None],
        "texts": "no_validation",
        "embedder": [FEATURES, None],
        "groups": ["array-like", None],
        "sample_weight": ["array-like", None],
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
    sample_weight=None,
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
    sample_weight : array-like of shape (n_pairs,), default=None
        Weights of pairs: one of 2 counts as the pair twice, one of 0 is left out. None means that
        all weigh 1.
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
        estimator, no dense vectors, or weights that are negative or all 0.
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
    margin in nats. With weights each pair has its own in both sums, and in all others. Standard
    errors, intervals and p-values are those by prompt of
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
    pairs = read_explained(estimator, X, y, texts, embedder, groups, sample_weight)
    train, test = _halve(pairs.groups, rng)
    if estimator is None:
        pairs = pairs._replace(margin=_fit_margins(pairs, train))
    if not np.any(pairs.margin):
        raise ValueError(
            f"{SUBJECT} explains a reward, and this one is the same for both responses of each of "
            f"the {len(pairs.margin)} pairs. Fit it on pairs that differ."
        )
    directions = find_directions(pairs.vectors[train], n_directions, rng, pairs.weight[train])
    learning = np.isin(np.arange(len(pairs.groups)), train)
    scores = score_pairs(pairs.vectors, learning, directions, pairs.weight)
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
        n_prompts=(n_groups_of(pairs.groups[train]), n_groups_of(pairs.groups[test])),
    )


def _halve(groups, rng):
    splitter = GroupShuffleSplit(1, test_size=0.5, random_state=rng)
    return next(splitter.split(groups, groups=groups))


def _fit_margins(pairs, train):
    """Return the margins (n_pairs,) of a reward of the vectors of some pairs."""
    turned = np.where(np.arange(len(train)) % 2, -1.0, 1.0)
    model = PreferenceRewardModelCV()
    D, y = pairs.vectors[train] * turned[:, np.newaxis], 0.5 + turned * pairs.target[train]
    model.fit(D, y, groups=pairs.groups[train], sample_weight=pairs.weight[train])
    return model.decision_function(pairs.vectors)


def _judge(pairs, scores, target, train, test, control_length, rng):
    """Return the sign of each direction, and what is told of its effect."""
    learned, tested = scores
    weight, w = pairs.weight[train], pairs.weight[test]
    known, asked = target[train, np.newaxis], target[test, np.newaxis]
    if control_length:
        longer = pairs.texts.length_difference()
        columns = length_columns(longer, length_scale(longer, pairs.weight))
        learned, known = (without(part, columns[train], weight) for part in (learned, known))
        tested, asked = (without(part, columns[test], w) for part in (tested, asked))
    sign = np.where(slopes(learned, known[:, 0], weight) < 0, -1.0, 1.0)
    groups = pairs.groups[test]
    tests = [judge_ratio(w * s * asked[:, 0], w * s**2, groups, rng) for s in (tested * sign).T]
    adjusted = adjust_for_many([test["p_value"] for test in tests])
    of_reward = slopes(scores.tested * sign, pairs.margin[test], w)
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
        correlation, p_value = words_along(score, differences, groups, rng, pairs.weight[test])
        more, less = choose_words(correlation, p_value, names, n_words, level)
        rows = farthest_pairs(score, groups, n_pairs)
        shown = [_show_pair(pairs, test[row], score[row]) for row in rows]
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


def _show_pair(pairs, position, score):
    texts, target = pairs.texts, pairs.target
    sides = [texts.responses_a[position], texts.responses_b[position]]
    more, less = sides if score > 0 else sides[::-1]
    return {
        "prompt": "" if texts.prompts is None else texts.prompts[position],
        "more": more,
        "less": less,
        "score": float(abs(score)),
        "preferred": None if target is None else float(0.5 + np.sign(score) * target[position]),
        "row": int(pairs.rows[position]),
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
                predict_margins(features, margin, groups, chosen, test, pairs.weight),
                groups[test],
                rng,
                pairs.weight[test],
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
