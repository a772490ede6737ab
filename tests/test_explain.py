"""``explain_reward``: planted concepts are found and named, chance is not, shares are right."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit
from scipy.stats import binom
from sklearn.preprocessing import FunctionTransformer

from sklearn_codex import (
    PairsWithLength,
    PreferenceRewardModel,
    ResponseIds,
    TiePreferenceModel,
    TokenCounter,
)
from sklearn_codex._data.text_pairs import TextPairs
from sklearn_codex._verdicts import LEVEL
from sklearn_codex.features import CachedEmbedder, ResponseFeatures
from sklearn_codex.inspection import RewardExplanation, explain_reward
from sklearn_codex.inspection import _explain as explain
from sklearn_codex.inspection._directions import (
    farthest_pairs,
    find_directions,
    judge_ratio,
    score_pairs,
    words_along,
)
from sklearn_codex.inspection._explained_pairs import ExplainedPairs
from sklearn_codex.inspection._explained_share import (
    ALPHAS,
    fit_ridge,
    judge_share_explained,
    predict_margins,
)

WORDS = np.array(["sorry", "indeed", "maybe", "thanks", "please"])
FALSE_ALARM = 1e-4
"""Probability that a simulation whose rate is the level fails here."""


def make_world(n_prompts=160, n_each=3, likes=(-3, 2, 0, 0, 0), noise=0.1, seed=0):
    """Return texts, vectors (n, 2, 12) and labels; a vector has a part for each word it has."""
    rng = np.random.RandomState(seed)
    parts = rng.standard_normal((len(WORDS), 12))
    n = n_prompts * n_each
    has = rng.uniform(size=(n, 2, len(WORDS))) < 0.15
    texts = [
        (f"prompt {i // n_each}", *(f"{i} {'ab'[j]} {' '.join(WORDS[has[i, j]])}" for j in (0, 1)))
        for i in range(n)
    ]
    vectors = has @ parts + noise * rng.standard_normal((n, 2, 12))
    margin = (has[:, 0].astype(float) - has[:, 1]) @ np.array(likes)
    return texts, vectors, (rng.uniform(size=n) < expit(margin)).astype(int)


TEXTS, VECTORS, Y = make_world()
GROUPS = np.unique([row[0] for row in TEXTS], return_inverse=True)[1]
OPTIONS = {"n_directions": 5, "random_state": 0}


@pytest.fixture(scope="module")
def explanation():
    return explain_reward(None, VECTORS, Y, texts=TEXTS, **OPTIONS)


def sure_names(explanation):
    """Return the strongest words of the directions that are sure."""
    table = explanation.directions
    return [
        title.split(";")[0]
        for title, is_sure in zip(table.name, table.is_sure, strict=True)
        if is_sure
    ]


def test_planted_concepts_are_found_and_named(explanation):
    table = explanation.directions
    sure = sure_names(explanation)
    assert sorted(sure) == ["less sorry", "more indeed"]
    assert np.all(table.effect[:2] > 0.1)
    assert np.all(table.low[:2] > 0)
    assert np.all(table.reward_effect[:2] > 0.3)
    words = pd.DataFrame(explanation.words)
    for direction, title in zip(table.direction[:2], sure, strict=True):
        side, word = title.split()
        of = words[(words.direction == direction) & (words.side == side)]
        assert of.word.tolist()[0] == word
        assert of.is_sure.tolist()[0]
        assert abs(of.correlation.tolist()[0]) > 0.9
    pairs = pd.DataFrame(explanation.pairs)
    of = pairs[pairs.direction == table.direction[sure.index("less sorry")]]
    assert all("sorry" in text for text in of.less)
    assert not any("sorry" in text for text in of.more)
    for _, pair in of.iterrows():
        prompt, a, b = TEXTS[pair.row]
        assert pair.prompt == prompt
        assert {pair.more, pair.less} == {a, b}
        assert pair.preferred == (Y[pair.row] if pair.more == a else 1 - Y[pair.row])


def test_all_five_concepts_are_directions(explanation):
    names = " ".join(explanation.directions.name)
    assert all(word in names for word in WORDS)


def test_the_half_that_judges_has_not_been_learned_from(explanation):
    assert explanation.n_prompts == (80, 80)
    train, _ = explain._halve(GROUPS, np.random.RandomState(0))
    assert not set(train) & set(explanation.pairs.row)


LIKES = {"coins": np.zeros(8), "three of eight": np.array([2.0, -2.0, 1.5, 0, 0, 0, 0, 0])}


def judge_simulation(likes, rng, n_prompts=60, n_each=3):
    """Return which directions are sure, and which have an effect on 20,000 other pairs."""
    parts = rng.standard_normal((8, 24))

    def draw(n_prompts):
        groups = np.repeat(np.arange(n_prompts), n_each)
        shape = (len(groups), 2, 8)
        has = (rng.uniform(size=shape) < 0.12) * rng.uniform(0.5, 1.5, size=shape)
        vectors = has @ parts + 0.3 * rng.standard_normal((*shape[:2], 24))
        codes = has[:, 0] - has[:, 1]
        # Prompts differ in how much a concept matters, so pairs of one go together.
        taste = (likes + 0.7 * (likes != 0) * rng.standard_normal((n_prompts, 8)))[groups]
        return vectors[:, 0] - vectors[:, 1], np.sum(codes * taste, axis=1), groups

    D, margin, groups = draw(n_prompts)
    target = (rng.uniform(size=len(D)) < expit(margin)) - 0.5
    train, test = explain._halve(groups, rng)
    directions = find_directions(D[train], 8, rng)
    weight = np.ones(len(D))
    scores = score_pairs(D, np.isin(np.arange(len(D)), train), directions, weight)
    rows = np.arange(len(D))
    pairs = ExplainedPairs(None, D, target, margin, groups, weight, rows)
    judged = explain._judge(pairs, scores, target, train, test, False, rng)[1]
    fresh, gold, of = draw(7000)
    along = score_pairs(
        fresh, np.ones(len(fresh), dtype=bool), directions, np.ones(len(fresh))
    ).learned
    values = along * (expit(gold) - 0.5)[:, np.newaxis]
    sums = np.array([np.bincount(of, column) for column in values.T])
    has_effect = np.abs(sums.sum(axis=1)) > 4 * np.sqrt(np.sum(sums**2, axis=1))
    return np.array([one["adjusted"] <= LEVEL for one in judged]), has_effect


@pytest.mark.slow
def test_coins_have_no_direction_in_19_of_20_simulations():
    rng, n = np.random.RandomState(0), 120
    n_seen = sum(judge_simulation(LIKES["coins"], rng)[0].any() for _ in range(n))
    assert n_seen <= binom.ppf(1 - FALSE_ALARM, n, LEVEL), n_seen


@pytest.mark.slow
def test_false_discovery_rate_is_below_the_level():
    rng, rates, found = np.random.RandomState(1), [], []
    for _ in range(60):
        sure, has_effect = judge_simulation(LIKES["three of eight"], rng, 120, 4)
        rates.append(np.sum(sure & ~has_effect) / max(sure.sum(), 1))
        found.append(np.mean(sure[has_effect]))
    error = np.std(rates) / np.sqrt(60)
    assert np.mean(rates) <= LEVEL + 3 * error
    assert np.nanmean(found) > 0.5  # and it does find them


def test_few_coins_have_no_direction():
    rng = np.random.RandomState(3)
    n_seen = sum(judge_simulation(LIKES["coins"], rng, 40, 2)[0].any() for _ in range(20))
    assert n_seen <= binom.ppf(1 - FALSE_ALARM, 20, LEVEL)


def test_standard_error_is_the_sandwich_by_hand():
    rng = np.random.RandomState(0)
    groups = rng.randint(30, size=200)
    s = rng.standard_normal(200)
    t = 0.3 * s + rng.standard_normal(30)[groups] * s + rng.standard_normal(200)
    test = judge_ratio(s * t, s**2, groups, rng)
    slope = np.linalg.lstsq(s[:, np.newaxis], t, rcond=None)[0][0]
    assert_allclose(test["value"], slope)
    bread, meat = s @ s, 0.0
    for group in range(30):  # its score, and the information without it
        mine = groups == group
        meat += ((s[mine] @ (t[mine] - slope * s[mine])) / (bread - s[mine] @ s[mine])) ** 2
    assert_allclose(test["std"], np.sqrt(29 / 30 * meat))
    plain = np.sqrt(np.sum((s * (t - slope * s)) ** 2)) / bread  # pairs as independent
    assert test["std"] > 1.2 * plain


def test_a_ratio_of_one_group_or_of_nothing_tells_nothing():
    one = judge_ratio(np.ones(3), np.ones(3), np.zeros(3, dtype=int), np.random.RandomState(0))
    assert (one["value"], one["p_value"], one["low"]) == (1.0, 1.0, -np.inf)
    none = judge_ratio(np.zeros(3), np.zeros(3), np.arange(3), np.random.RandomState(0))
    assert (none["value"], none["p_value"]) == (0.0, 1.0)


def test_directions_do_not_depend_on_which_response_is_a(explanation):
    turned = np.random.RandomState(5).uniform(size=len(Y)) < 0.5
    vectors = np.where(turned[:, None, None], VECTORS[:, ::-1], VECTORS)
    texts = [
        (p, b, a) if turn else (p, a, b) for (p, a, b), turn in zip(TEXTS, turned, strict=True)
    ]
    other = explain_reward(None, vectors, np.where(turned, 1 - Y, Y), texts=texts, **OPTIONS)
    assert other.directions.name == explanation.directions.name
    assert_allclose(other.directions.effect, explanation.directions.effect, rtol=1e-5)
    assert_allclose(other.shares.share, explanation.shares.share, rtol=1e-3)


def embedder_of(texts, vectors):
    of = {
        t: v
        for row, pair in zip(texts, vectors, strict=True)
        for t, v in zip(row[1:], pair, strict=True)
    }
    return CachedEmbedder(lambda batch: np.array([of[text] for text in batch]))


def test_equal_pairs_in_other_forms_are_explained_alike(explanation):
    table = np.concatenate([VECTORS[:, 1], VECTORS[:, 0]])
    ids = np.arange(len(Y))[:, np.newaxis] + [len(Y), 0]
    frame = pd.DataFrame({"response_a": list(VECTORS[:, 0]), "response_b": list(VECTORS[:, 1])})
    texts = pd.DataFrame(TEXTS, columns=["prompt", "response_a", "response_b"])
    embedder = embedder_of(TEXTS, VECTORS)
    groups = [row[0] for row in TEXTS]
    others = [
        explain_reward(None, ResponseIds(ids, table), Y, texts=texts, **OPTIONS),
        explain_reward(None, VECTORS[:, 0] - VECTORS[:, 1], Y, texts=TEXTS, **OPTIONS),
        explain_reward(None, frame, Y, texts=TEXTS, **OPTIONS),
        explain_reward(None, TEXTS, Y, embedder=embedder, **OPTIONS),
        explain_reward(
            None, VECTORS, Y, texts=[row[1:] for row in TEXTS], groups=groups, **OPTIONS
        ),
    ]
    for other in others:
        assert other.directions.name == explanation.directions.name
        for name in ("effect", "std", "low", "high", "p_value", "reward_effect"):
            assert_allclose(other.directions[name], explanation.directions[name], rtol=1e-6)
        assert other.words.word == explanation.words.word
    # The last has no prompts to show, so none in the features of form either.
    for other in others[:-1]:
        assert_allclose(other.shares.share, explanation.shares.share, rtol=1e-4)


def test_the_same_seed_gives_the_same_explanation(explanation):
    again = explain_reward(None, VECTORS, Y, texts=TEXTS, **OPTIONS)
    assert again.to_dict() == explanation.to_dict()


def test_without_labels_the_effect_is_of_the_reward():
    embedder = embedder_of(TEXTS, VECTORS)
    model = PreferenceRewardModel(vectorizer=embedder).fit(TEXTS, Y)
    alone = explain_reward(model, TEXTS, **OPTIONS)
    assert alone.unit == "nats"
    assert_allclose(alone.directions.effect, alone.directions.reward_effect)
    assert set(alone.pairs.preferred) == {None}
    both = explain_reward(model, TEXTS, Y, **OPTIONS)
    assert_allclose(
        np.sort(np.abs(both.directions.reward_effect)),
        np.sort(np.abs(alone.directions.reward_effect)),
    )
    # The reward of the caller, whatever vectors it reads itself.
    words = PreferenceRewardModel(vectorizer=TokenCounter(lowercase=True), C=0.1).fit(TEXTS, Y)
    of_words = explain_reward(words, TEXTS, embedder=embedder, **OPTIONS)
    margin = words.reward_margin(TEXTS)
    D = (VECTORS[:, 0] - VECTORS[:, 1]) @ of_words.components.T
    train, test = explain._halve(GROUPS, np.random.RandomState(0))
    D = np.clip(D / np.sqrt(np.mean(D[train] ** 2, axis=0)), -3, 3)[test]
    expected = margin[test] @ D / np.sum(D**2, axis=0)
    assert_allclose(of_words.directions.effect, expected[of_words.directions.direction])


def test_labels_may_be_soft_or_classes_of_the_estimator(explanation):
    model = PreferenceRewardModel().fit(VECTORS, np.where(Y == 1, "yes", "no"))
    named = explain_reward(model, VECTORS, np.where(Y == 1, "yes", "no"), texts=TEXTS, **OPTIONS)
    assert_allclose(named.directions.effect, explanation.directions.effect)
    soft = explain_reward(None, VECTORS, 0.25 + Y / 2, texts=TEXTS, **OPTIONS)
    assert_allclose(soft.directions.effect, explanation.directions.effect / 2)
    # Chosen before rejected, so that all labels are 1.
    chosen = np.where(Y[:, None, None] == 1, VECTORS, VECTORS[:, ::-1])
    rows = [(p, a, b) if y else (p, b, a) for (p, a, b), y in zip(TEXTS, Y, strict=True)]
    oriented = explain_reward(None, chosen, np.ones(len(Y)), texts=rows, **OPTIONS)
    assert_allclose(oriented.directions.effect, explanation.directions.effect, rtol=1e-5)


def test_length_can_be_taken_off():
    rng = np.random.RandomState(0)
    n = 600
    length = rng.geometric(0.02, size=(n, 2))
    texts = [(f"p{i // 2}", "word " * a, "word " * b) for i, (a, b) in enumerate(length)]
    vectors = np.stack([length / 50, *rng.standard_normal((3, n, 2))], axis=2)
    vectors[..., 0] += 0.2 * rng.standard_normal((n, 2))
    y = (rng.uniform(size=n) < expit((length[:, 0] - length[:, 1]) / 30)).astype(int)
    options = {"texts": texts, "n_directions": 4, "random_state": 0}
    free = explain_reward(None, vectors, y, **options)
    assert free.directions.is_sure.sum() == 1
    beside = explain_reward(None, vectors, y, control_length=True, **options)
    assert beside.directions.is_sure.sum() == 0
    place = list(beside.directions.direction).index(free.directions.direction[0])
    assert beside.directions.low[place] < 0 < beside.directions.high[place]


# Shares


FILLER = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]


def make_texts(n=500, seed=0):
    rng = np.random.RandomState(seed)

    def write():
        lines = [" ".join(rng.choice(FILLER, rng.randint(2, 9))) for _ in range(rng.randint(1, 5))]
        return rng.choice(["\n- ", ". ", "\n"]).join(lines) + rng.choice([".", "!", "?", ""])

    return [(f"question {i // 2}", write(), write()) for i in range(n)]


class Fixed:
    """A reward that is known."""

    def __init__(self, margin):
        self.margin_ = np.asarray(margin, dtype=float)

    def decision_function(self, X):
        return self.margin_


def shares_of(margin, texts, vectors):
    explanation = explain_reward(Fixed(margin), vectors, texts=texts, **OPTIONS)
    return {
        part: (share, low, high)
        for part, share, low, high in zip(*explanation.shares.values(), strict=True)
    }


def test_form_explains_a_reward_of_form_and_nothing_an_unrelated_one():
    texts, rng = make_texts(), np.random.RandomState(1)
    vectors = rng.standard_normal((len(texts), 2, 5))
    rows = np.array(texts, dtype=object)
    form = ResponseFeatures().fit(np.concatenate([rows[:, [0, 1]], rows[:, [0, 2]]]))
    weights = rng.standard_normal(len(form.get_feature_names_out()))
    margin = (form.transform(rows[:, [0, 1]]) - form.transform(rows[:, [0, 2]])) @ weights
    shares = shares_of(margin, texts, vectors)
    assert shares["form"][0] > 0.98
    assert shares["words and form"][0] > 0.9
    assert shares["directions"][1] < 0.05
    unrelated = shares_of(rng.standard_normal(len(texts)), texts, vectors)
    for part in ("form", "words", "words and form", "directions"):
        share, low, _ = unrelated[part]
        assert share < 0.05
        assert low <= 0.0
    of_vectors = shares_of((vectors[:, 0] - vectors[:, 1]) @ np.arange(5.0), texts, vectors)
    assert of_vectors["directions"][0] > 0.98  # but for what is clipped
    assert of_vectors["words and form"][0] < 0.05


def test_words_explain_a_reward_of_words(explanation):
    shares = dict(zip(explanation.shares.part, explanation.shares.share, strict=True))
    assert shares["words"] > 0.8
    assert shares["directions"] > 0.95
    assert np.all(np.asarray(explanation.shares.high) <= 1)


def test_penalty_has_the_least_error_on_prompts_left_out():
    rng = np.random.RandomState(0)
    groups = rng.randint(12, size=60)
    D = rng.standard_normal((60, 20))
    margin = D @ rng.standard_normal(20) + 4 * rng.standard_normal(60)
    size = np.trace(D @ D.T) / 60

    def ridge(rows, alpha):
        A = D[rows].T @ D[rows] + alpha * size * np.eye(20)
        return np.linalg.solve(A, D[rows].T @ margin[rows])

    errors = [
        sum(
            np.sum((margin[groups == g] - D[groups == g] @ ridge(groups != g, alpha)) ** 2)
            for g in range(12)
        )
        for alpha in ALPHAS
    ]
    best = ALPHAS[int(np.argmin(errors))]
    assert ALPHAS[0] < best < ALPHAS[-1]
    dual = fit_ridge(D @ D.T, margin, groups)
    assert_allclose(D.T @ dual, ridge(slice(None), best), rtol=1e-6)
    train, test = np.arange(40), np.arange(40, 60)
    expected = D[test] @ D[train].T @ fit_ridge(D[train] @ D[train].T, margin[train], groups[train])
    for features in (D, sparse.csr_array(D)):
        assert_allclose(
            predict_margins(features, margin, groups, train, test, np.ones(len(margin))), expected
        )


@pytest.mark.slow
def test_interval_of_a_share_covers():
    rng, n, n_in = np.random.RandomState(0), 300, 0
    for _ in range(n):
        groups = np.repeat(np.arange(60), 3)
        shared = rng.standard_normal(60)[groups]
        x = rng.standard_normal(180) + shared
        error = rng.standard_normal(180) + 0.7 * rng.standard_normal(60)[groups]
        # The regression predicts x; E e^2 = 1.49, E m^2 = 2 + 1.49.
        share = judge_share_explained(x + error, x, groups, rng, np.ones(len(x)))
        n_in += share["low"] <= 2 / 3.49 <= share["high"]
    assert 0.93 * n <= n_in + 3 * np.sqrt(n * 0.05 * 0.95)
    assert n_in <= 0.99 * n


# Words


def test_words_of_chance_are_sure_in_one_direction_of_twenty():
    rng, n_seen, n = np.random.RandomState(0), 0, 150
    for _ in range(n):
        groups = np.repeat(np.arange(40), 2)
        words = sparse.csr_array(rng.choice([-1.0, 0, 0, 1], size=(80, 30)))
        p_value = words_along(rng.laplace(size=80), words, groups, rng)[1]
        n_seen += p_value.min() <= LEVEL
    assert n_seen <= binom.ppf(1 - FALSE_ALARM, n, LEVEL), n_seen


def test_correlation_of_a_word_by_hand():
    words = sparse.csr_array([[1.0, 0.0], [-1.0, 1.0], [0.0, 1.0]])
    correlation, _ = words_along(
        np.array([2.0, -1.0, 1.0]), words, np.arange(3), np.random.RandomState(0)
    )
    assert_allclose(correlation, [3 / np.sqrt(6 * 2), 0.0])


def test_farthest_pairs_are_of_different_prompts():
    rows = farthest_pairs(np.array([0.1, -3.0, 2.5, 2.0, 0.0]), np.array([0, 1, 1, 2, 3]), 4)
    assert rows == [1, 3, 0]


def test_marks_are_no_words():
    texts = TextPairs(None, ["a , b", "a , c", "a ,"], ["c a", "a c", "c ,"])
    differences, names = explain._word_differences(texts)
    assert list(names) == ["a", "c"]
    assert differences.toarray().tolist() == [[0, -1], [0, 0], [1, -1]]


# The result


def test_a_callable_names_the_concepts():
    seen = []

    def name(words, pairs):
        seen.append((words, pairs))
        return f"concept {len(seen)}"

    made = explain_reward(None, VECTORS, Y, texts=TEXTS, name=name, n_words=2, n_pairs=1, **OPTIONS)
    assert sorted(made.directions.name) == [f"concept {i}" for i in range(1, 6)]
    words, (pair,) = seen[0]
    assert set(words) == {"more", "less"}
    assert all(isinstance(word, str) for side in words.values() for word in side)
    assert max(map(len, words.values())) <= 2
    assert {"prompt", "more", "less"} <= set(pair)
    with pytest.raises(TypeError, match=r"name to return a str.* got 3 for direction 0"):
        explain_reward(None, VECTORS, Y, texts=TEXTS, name=lambda words, pairs: 3, **OPTIONS)


def test_it_is_told_in_text_frames_and_json(explanation):
    said = str(explanation)
    assert said.startswith("2 of 5 directions have a preference beyond chance (false discovery")
    assert "less sorry" in said
    assert "maybe?" in said  # which may be chance there
    frame = explanation.to_frame()
    assert frame.is_sure.sum() == 2
    assert explanation.shares.part[0] == "form"
    figures = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert figures["directions"]["name"] == explanation.directions.name
    assert np.shape(figures["components"]) == (5, 12)
    with pytest.raises(ValueError, match=r"one of 'directions', 'words', 'pairs', .* got 'word'"):
        explanation.to_frame("word")


def test_html_shows_text_of_others_as_text():
    texts = [(p, f"{a} <b>x</b>", f"{b} <script>") for p, a, b in TEXTS]
    page = explain_reward(
        None, VECTORS, Y, texts=texts, name=lambda words, pairs: "<i>n</i>", **OPTIONS
    )._repr_html_()
    assert "&lt;i&gt;n&lt;/i&gt;" in page
    assert "<script>" not in page
    assert "<b>x</b>" not in page
    assert "<details>" in page


def test_nothing_sure_is_said_as_that():
    y = np.random.RandomState(0).randint(2, size=len(Y))
    made = explain_reward(None, VECTORS, y, texts=TEXTS, **OPTIONS)
    assert isinstance(made, RewardExplanation)
    said = str(made)
    assert said.startswith("0 of 5 directions have a preference beyond chance")
    assert said.count("may be chance") == 3
    assert "<details>" not in made._repr_html_()


def test_it_is_drawn(explanation):
    plt = pytest.importorskip("matplotlib.pyplot")
    drawn = explanation.plot(name="what is preferred", errorbar_kw={"lw": 2})
    assert drawn is explanation
    labels = [tick.get_text() for tick in drawn.ax_.get_yticklabels()]
    assert labels == explanation.directions.name
    assert "points" in drawn.ax_.get_xlabel()
    legend = [text.get_text() for text in drawn.ax_.get_legend().get_texts()]
    assert legend == ["sure", "may be chance"]
    plt.close(drawn.figure_)


# What is refused

ERRORS = {
    "nothing says what is preferred": ((None, VECTORS), {"texts": TEXTS}, "neither an estimator"),
    "no texts": ((None, VECTORS, Y), {}, r"shows words.*Pass texts="),
    "no embedder": ((None, TEXTS, Y), {}, r"X is text. Pass embedder="),
    "no prompts": ((None, VECTORS, Y), {"texts": [r[1:] for r in TEXTS]}, r"Pass groups="),
    "few prompts": (
        (None, VECTORS[:30], Y[:30]), {"texts": TEXTS[:30]}, "at least 20 prompts.* got 10",
    ),
    "a missing group": (
        (None, VECTORS, Y), {"texts": TEXTS, "groups": [None, *GROUPS[1:]]}, "groups should name",
    ),
    "other texts": ((None, VECTORS, Y), {"texts": TEXTS[1:]}, "got 479 for 480 pairs"),
    "other labels": ((None, VECTORS, Y[1:]), {"texts": TEXTS}, "each of 480 pairs in y, got 479"),
    "sparse": (
        (None, sparse.csr_array(VECTORS[:, 0]), Y), {"texts": TEXTS}, "dense vectors, got a sparse",
    ),
    "sparse ids": (
        (None, ResponseIds([[0, 1]] * 480, sparse.csr_array(np.eye(2))), Y), {"texts": TEXTS},
        "dense vectors, got a sparse",
    ),
    "counts": ((None, TEXTS, Y), {"embedder": TokenCounter()}, "TokenCounter makes a sparse"),
    "NaN": ((None, np.full_like(VECTORS, np.nan), Y), {"texts": TEXTS}, "NaN"),
    "equal rewards": ((Fixed(np.zeros(480)), VECTORS), {"texts": TEXTS}, "same for both responses"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_explained_is_refused(name):
    args, options, match = ERRORS[name]
    with pytest.raises(ValueError, match=match):
        explain_reward(*args, **options)


def test_vectors_that_do_not_differ_have_no_direction():
    texts, rng = make_texts(120), np.random.RandomState(0)
    equal = explain_reward(
        Fixed(rng.standard_normal(120)), np.ones((120, 2, 4)), texts=texts, random_state=0
    )
    assert equal.directions.name == []
    assert len(equal.to_frame()) == 0
    assert equal.plot() is equal
    assert "0 of 0 directions" in str(equal)
    assert equal._repr_html_()


def test_as_many_directions_as_vectors_have_dimensions():
    rng = np.random.RandomState(0)
    low = rng.standard_normal((300, 2)) @ rng.standard_normal((2, 9))
    assert find_directions(low, 6, rng).shape == (2, 9)
    assert find_directions(low[:9], 6, rng).shape == (1, 9)


def test_other_transformers_embed_too():
    of = embedder_of(TEXTS, VECTORS)
    function = FunctionTransformer(lambda texts: of.fit_transform(list(texts)))
    made = explain_reward(None, TEXTS, Y, embedder=function, **OPTIONS)
    assert made.directions.is_sure.sum() == 2


def test_lengths_beside_the_pairs_are_no_hindrance(explanation):
    for pairs in (VECTORS, VECTORS[:, 0] - VECTORS[:, 1]):
        known = PairsWithLength(pairs, length=np.ones(len(Y)))
        made = explain_reward(None, known, Y, texts=TEXTS, **OPTIONS)
        assert_allclose(made.directions.effect, explanation.directions.effect)


@pytest.mark.parametrize("sides", [("", ""), ("aa", "bb"), ("a  ", "b"), ("...", "!!!")], ids=str)
def test_texts_that_have_no_words_are_refused(sides):
    texts = [(row[0], *sides) for row in TEXTS]
    with pytest.raises(ValueError, match=r"explain_reward tells .* by words .* of the 480 pairs"):
        explain_reward(None, VECTORS, Y, texts=texts, **OPTIONS)


def test_a_model_of_ties_is_explained_by_its_margins():
    tied = np.where(np.random.RandomState(0).uniform(size=len(Y)) < 0.2, 0.5, Y)
    model = TiePreferenceModel().fit(VECTORS, tied)
    assert model.decision_function(VECTORS).shape[1] == 3
    by_ties = explain_reward(model, VECTORS, tied, texts=TEXTS, **OPTIONS)
    assert {"less sorry", "more indeed"} <= set(sure_names(by_ties))
    # Labels without ties are of its first and last class, none of which is the second.
    decided = explain_reward(model, VECTORS, Y, texts=TEXTS, **OPTIONS)
    plain = explain_reward(None, VECTORS, Y, texts=TEXTS, **OPTIONS)
    assert_allclose(decided.directions.effect, plain.directions.effect, rtol=1e-9)
