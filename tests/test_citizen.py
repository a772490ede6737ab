"""scikit-learn's settings and tools around every public estimator, found by discovery."""

import warnings
from functools import partial
from inspect import signature

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csc_array, csr_array, csr_matrix, issparse
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    check_cv,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.metadata_routing import get_routing_for_object
from test_common import CANDIDATES, DEFAULT, OF_PAIRS, PAIRS, TEXTS, VOTES, name_of

from sklearn_codex import (
    AnnotatorRewardModel,
    ModelRatings,
    PlackettLuceModel,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    ResponseIds,
    TiePreferenceModel,
    TokenCounter,
    UnigramLM,
    load_model,
    save_model,
)
from sklearn_codex._reward.preset_design import preset_design
from sklearn_codex.datasets import make_preferences
from sklearn_codex.exceptions import LeakageWarning
from sklearn_codex.features import ResponseFeatures
from sklearn_codex.metrics import (
    get_preference_scorer,
    preference_accuracy,
    preference_scorers,
)
from sklearn_codex.metrics._row_scorers import ROW_SCORERS

Y = np.array([0, 1, 0, 1])
CLASSIFIERS = [estimator_class for estimator_class in DEFAULT if is_classifier(estimator_class())]


def text_of(estimator_class):
    """Text that an estimator reads."""
    name = estimator_class.__name__
    if name.startswith(OF_PAIRS):
        return PAIRS
    return {"ModelRatings": VOTES, "CandidatePolicy": CANDIDATES}.get(name, TEXTS)


@pytest.mark.parametrize("estimator_class", CLASSIFIERS, ids=name_of)
def test_classifiers_score_accuracy(estimator_class):
    X, y = text_of(estimator_class) * 3, np.tile(Y, 3)
    y[:2] = 1 - y[:2]
    model = estimator_class().fit(X, y)
    assert model.score(X, y) == pytest.approx(np.mean(model.predict(X) == y))
    weight = np.arange(1.0, 13.0)
    expected = np.average(model.predict(X) == y, weights=weight)
    assert model.score(X, y, sample_weight=weight) == pytest.approx(expected)


@pytest.mark.parametrize("ties", [False, True])
def test_a_search_over_models_of_pairs_compares_like_with_like(ties):
    data = make_preferences(300, n_features=5, n_prompts=60, random_state=0)
    y = np.where(ties & (np.arange(300) % 4 == 0), 0.5, data.y)
    other = TiePreferenceModel(tie_model="rao-kupper")
    models = [PreferenceRewardModel(), TiePreferenceModel(), other]
    models += [] if ties else [AnnotatorRewardModel()]
    search = GridSearchCV(Pipeline([("model", models[0])]), {"model": models}, refit=False)
    results = search.fit(data.X, y).cv_results_
    folds = np.array([results[f"split{fold}_test_score"] for fold in range(5)]).T
    splits = list(check_cv(5, y, classifier=True).split(y, y))
    for model, scores in zip(models, folds, strict=True):
        for (train, test), score in zip(splits, scores, strict=True):
            margin = model.fit(data.X[train], y[train]).reward(data.X[test])
            assert score == pytest.approx(preference_accuracy(y[test], margin))
    # All models order these pairs alike, so no score sets one apart.
    assert np.ptp(folds.mean(axis=1)) < 0.02


def test_the_log_loss_of_three_outcomes_is_a_scorer():
    X = np.array([[1.0], [-2.0], [0.5], [0.0]])
    y, weight = np.array([1, 0, 0.5, 0.5]), np.array([1.0, 2.0, 3.0, 0.0])
    model = TiePreferenceModel(C=10.0).fit(X, y)
    chosen = model.predict_log_proba(X)[np.arange(4), [2, 0, 1, 1]]
    scorer = get_preference_scorer("neg_outcome_log_loss")
    assert scorer(model, X, y) == pytest.approx(chosen.mean())
    assert scorer(model, X, y, sample_weight=weight) == pytest.approx(chosen[:3] @ [1, 2, 3] / 6)
    search = GridSearchCV(TiePreferenceModel(), {"C": [1e-4, 1.0]}, scoring=scorer, cv=2)
    assert np.isfinite(search.fit(np.tile(X, (6, 1)), np.tile(y, 6)).best_score_)
    certain = TiePreferenceModel().fit(X[:2], y[:2])
    assert scorer(certain, X, y) == -np.inf
    assert np.isfinite(scorer(certain, X, y, sample_weight=[1, 1, 0, 0]))
    with pytest.raises(ValueError, match=r"got the labels \[2\.0\] in y, but .* \[0\.0, 0\.5, 1"):
        scorer(model, X, [1, 0, 2, 0.5])


def test_numbers_without_groups_are_not_one_ranking_silently():
    X, y = np.random.RandomState(0).randn(40, 3), np.tile([0, 1], 20)
    taken = r"PlackettLuceModel got {} rows without groups: it takes them as one ranking.*groups="
    with pytest.warns(UserWarning, match=taken.format(40)) as caught:
        model = PlackettLuceModel().fit(X, y)
    assert caught[0].filename == __file__
    assert_allclose(model.coef_, PlackettLuceModel().fit(X, y, groups=np.zeros(40)).coef_)
    with pytest.warns(UserWarning, match=taken.format(30)) as caught:
        cross_val_score(PlackettLuceModel(), X, y, groups=np.arange(40) // 2, cv=GroupKFold(4))
    assert len(caught) == 4
    with pytest.warns(UserWarning, match=taken.format(3)):
        PlackettLuceModel().fit(["good", "fair", "bad"], [2, 1, 0])
    PlackettLuceModel().fit(X[:2], y[:2])  # can be but one ranking


def test_rows_with_prompts_are_not_scored_as_one_ranking_of_their_counts():
    rows = [("say", "good day"), ("say", "bad"), ("tell", "fine day"), ("tell", "bad day")]
    model = PlackettLuceModel().fit(rows, [1, 0, 1, 0])
    counts = model.vectorizer_.transform([response for _, response in rows])
    with pytest.raises(ValueError, match="was fitted with groups and is scored without"):
        model.score(counts, [1, 0, 1, 0])
    expected = model.score(counts, [1, 0, 1, 0], groups=[0, 0, 1, 1])
    assert model.score(rows, [1, 0, 1, 0]) == pytest.approx(expected)
    assert model.score(rows, [1, 0, 1, 0], groups=[0, 0, 1, 1]) == pytest.approx(expected)


@pytest.mark.parametrize("estimator_class", CLASSIFIERS, ids=name_of)
def test_calibration_by_temperature_keeps_antisymmetry(estimator_class):
    data = make_preferences(200, n_features=6, n_prompts=40, random_state=0)
    # Most of the preferred responses come first.
    first = np.where((data.y == 0) & (np.arange(200) % 4 > 0), -1, 1)
    X, y = first[:, None] * data.X, np.where(first < 0, 1, data.y)

    def asymmetry(method):
        model = CalibratedClassifierCV(estimator_class(), method=method, cv=3).fit(X, y)
        return np.abs(model.predict_proba(X) - model.predict_proba(-X)[:, ::-1]).max()

    assert asymmetry("temperature") < 1e-12
    assert asymmetry("sigmoid") > 0.3  # as the guide says


@pytest.mark.parametrize("estimator_class", CLASSIFIERS, ids=name_of)
def test_a_calibrated_and_searched_model_is_saved_and_loaded(estimator_class, tmp_path):
    pytest.importorskip("skops")
    data = make_preferences(60, n_features=4, n_prompts=12, random_state=0)
    model = GridSearchCV(
        CalibratedClassifierCV(estimator_class(), cv=2),
        {"method": ["temperature"]},
        cv=list(GroupKFold(2).split(data.X, data.y, data.groups)),
        scoring=get_preference_scorer("neg_preference_log_loss"),
    ).fit(data.X, data.y)
    save_model(model, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    assert_array_equal(loaded.predict_proba(data.X), model.predict_proba(data.X))
    assert loaded.score(data.X, data.y) == model.score(data.X, data.y)


@pytest.mark.parametrize("name", [*preference_scorers, *ROW_SCORERS])
def test_a_search_by_any_scorer_of_metrics_is_saved_and_loaded(name, tmp_path):
    pytest.importorskip("skops")
    options = {"sectioned_accuracy": {"subset": "kind"}}.get(name, {})
    scorer = get_preference_scorer(name, **options)
    X, y = np.random.RandomState(0).randn(12, 2), np.arange(12) % 2
    search = GridSearchCV(PreferenceRewardModel(), {"C": [1.0]}, cv=2).fit(X, y)
    search.set_params(scoring=scorer)
    search.scorer_ = scorer
    save_model(search, tmp_path / "model.skops")
    assert repr(load_model(tmp_path / "model.skops").scorer_) == repr(scorer)


# What tells which rows belong together, beside X and y. It cannot be left out without a change.
TIES_OF_ROWS = {"groups", "annotators", "authors", "reference_log_prob"}


def test_what_ties_rows_together_is_asked_for_by_default():
    asking = set()
    for estimator_class in DEFAULT:
        request = get_routing_for_object(estimator_class())
        for method in ("fit", "partial_fit", "score", "predict", "predict_proba"):
            if not hasattr(estimator_class, method):
                continue
            taken = set(signature(getattr(estimator_class, method)).parameters) & TIES_OF_ROWS
            asking |= {(estimator_class.__name__, method)} if taken else set()
            asked = getattr(request, method).requests
            assert {name for name in taken if asked[name] is not True} == set(), method
    assert {("PreferenceRewardModelCV", "fit"), ("ModelRatings", "partial_fit")} <= asking


def test_a_cross_validation_keeps_the_groups_of_one_inside_it():
    data = make_preferences(240, n_features=8, n_prompts=12, random_state=0)
    model = PreferenceRewardModelCV(Cs=[1e-3, 1e-1, 10.0])
    with sklearn.config_context(enable_metadata_routing=True):
        results = cross_validate(
            model,
            data.X,
            data.y,
            params={"groups": data.groups},
            cv=GroupKFold(3),
            return_estimator=True,
        )
    splits = GroupKFold(3).split(data.X, data.y, data.groups)
    for fitted, (train, _) in zip(results["estimator"], splits, strict=True):
        X, y, groups = data.X[train], data.y[train], data.groups[train]
        assert_allclose(fitted.scores_, clone(model).fit(X, y, groups=groups).scores_)
        assert not np.allclose(fitted.scores_, clone(model).fit(X, y).scores_)


METHODS = ("decision_function", "predict", "predict_proba", "reward", "score", "transform")


def answers(model, X):
    """What a model says of text."""
    for method in METHODS:
        if hasattr(model, method):
            of_documents = method == "reward" or hasattr(model, "perplexity")
            args = (TEXTS,) if of_documents and method != "score" else (X,)
            args += (Y,) if method == "score" else ()
            yield _dense(getattr(model, method)(*args))


@pytest.mark.filterwarnings("ignore:(Plackett|Candidate).* rows without groups")
@pytest.mark.parametrize("estimator_class", [*DEFAULT, ResponseFeatures], ids=name_of)
def test_text_is_read_alike_whatever_output_is_set(estimator_class):
    X, params = text_of(estimator_class), signature(estimator_class).parameters
    short = {"random_state": 0, "max_iter": 20, "tol": 0.1, "n_estimators": 2}
    make = partial(estimator_class, **{name: short[name] for name in short.keys() & params})
    plain = make().fit(X, Y)
    expected = list(answers(plain, X))
    for output in ("pandas", "polars"):
        with sklearn.config_context(transform_output=output):
            for model in (plain, make().fit(X, Y)):
                for answer, default in zip(answers(model, X), expected, strict=True):
                    assert_array_equal(answer, default)


def _dense(answer):
    return answer.toarray() if issparse(answer) else np.asarray(answer)


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_presets_topics_and_dense_vectorizers_are_read_whatever_output_is_set(output):
    pairs = [("say", a, b) for a, b in PAIRS]
    dense = make_pipeline(TfidfVectorizer(), TruncatedSVD(2, random_state=0))
    topical = ModelRatings(topics=2, topic_vectorizer=dense)
    votes = np.array([[*vote, text] for vote, text in zip(VOTES, TEXTS, strict=True)])
    fits = [
        lambda: PreferenceRewardModel(vectorizer="preference").fit(pairs * 2, [*Y, *Y]).coef_,
        lambda: PreferenceRewardModel(vectorizer=dense).fit(pairs, Y).coef_,
        lambda: topical.fit(votes, Y).topic_ratings(TEXTS),
        lambda: preset_design(np.array(pairs)[:, :2], [0, 1], [2, 3]).design.differences.toarray(),
    ]
    expected = [fit() for fit in fits]
    with sklearn.config_context(transform_output=output):
        for fit, answer in zip(fits, expected, strict=True):
            assert_array_equal(fit(), answer)


@pytest.mark.parametrize("kind", [np.array, pd.array, pd.Series, tuple, iter])
@pytest.mark.parametrize("n_texts", [3, 15_000], ids=["few", "many"])
def test_a_tokenizer_may_return_an_array(kind, n_texts):
    texts = ["the cat", "a the dog", "a"] * (n_texts // 3)
    listed = TokenCounter(str.split).fit_transform(texts)
    counter = TokenCounter(lambda text: kind(text.split()))
    assert (counter.fit_transform(texts) != listed).nnz == 0
    assert (counter.transform(texts) != listed).nnz == 0


OF_REWARDS = [e for e in CLASSIFIERS if e.__name__.startswith(OF_PAIRS)]
LINEAR = [e for e in OF_REWARDS if hasattr(e, "intercept_") and is_classifier(e())]


@pytest.mark.parametrize("estimator_class", CLASSIFIERS, ids=name_of)
def test_log_probabilities_are_those_of_probabilities(estimator_class):
    X = np.random.RandomState(0).randn(40, 3)
    model = estimator_class().fit(X, X[:, 0] - X[:, 1] + 0.3 > 0)
    assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
    assert np.isfinite(model.predict_log_proba(1e3 * X)).all()


def test_log_probabilities_of_annotators_who_flip():
    X = np.random.RandomState(0).randn(60, 2)
    model = AnnotatorRewardModel(flip_rate=0.1).fit(X, X[:, 0] > 0)
    assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))
    assert_allclose(model.predict_log_proba(1e6 * X).min(), np.log(0.1))


@pytest.mark.filterwarnings("ignore:Plackett.* rows without groups")
@pytest.mark.parametrize("estimator_class", [*OF_REWARDS, PlackettLuceModel], ids=name_of)
def test_every_linear_reward_names_its_top_features(estimator_class):
    X = pd.DataFrame(np.random.RandomState(0).randn(40, 3), columns=["one", "two", "three"])
    model = estimator_class().fit(X, (X["one"] - 2 * X["two"] > 0).astype(int))
    top = model.top_features(1)
    one, two, _ = model.reward(
        pd.DataFrame(np.eye(3), columns=X.columns)
    )  # the weights, by the reward of single features
    assert top.in_favor == [("one", pytest.approx(one))]
    assert top.against == [("two", pytest.approx(two))]


@pytest.mark.parametrize("estimator_class", LINEAR, ids=name_of)
def test_margins_are_those_of_coef_and_intercept(estimator_class):
    X = np.random.RandomState(0).randn(60, 3)
    model = estimator_class()
    with pytest.raises(AttributeError, match="is not fitted"):
        model.intercept_  # noqa: B018
    inner = model
    if "estimator" in model.get_params(deep=False):
        inner = PreferenceRewardModel()
        model.set_params(estimator=inner)
    if "position_bias" in inner.get_params():
        inner.set_params(position_bias=True)
    model.fit(X, X[:, 0] - X[:, 1] + 0.5 * X[:, 2] ** 2 > 0.2)
    assert model.intercept_.shape == (1,)
    assert (model.intercept_[0] != 0) == ("position_bias" in inner.get_params())
    coef = getattr(model, "estimator_", model).coef_[0]
    assert_allclose(model.decision_function(X), X @ coef + model.intercept_[0])


def test_the_reward_of_rankings_is_that_of_coef_and_intercept():
    X = np.random.RandomState(0).randn(60, 3)
    model = PlackettLuceModel()
    with pytest.raises(AttributeError, match="is not fitted"):
        model.intercept_  # noqa: B018
    model.fit(X, X[:, 0] ** 3, groups=np.arange(60) // 3)
    assert_allclose(model.reward(X), X @ model.coef_[0] + model.intercept_[0])


def test_pyarrow_tables_and_arrays_are_read_as_frames_and_arrays():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"response_a": [a for a, _ in PAIRS], "response_b": [b for _, b in PAIRS]})
    expected = cross_val_score(PreferenceRewardModel(), np.array(PAIRS), Y, cv=2)
    for y in (Y, pa.array(Y), pa.chunked_array([Y[:2], Y[2:]])):
        assert_array_equal(cross_val_score(PreferenceRewardModel(), table, y, cv=2), expected)
    model, weight = PreferenceRewardModel(), [1.0, 2.0, 3.0, 4.0]
    told = clone(model).fit(table, pa.array(Y), sample_weight=pa.array(weight))
    assert_array_equal(told.coef_, model.fit(PAIRS, Y, sample_weight=weight).coef_)
    texts = UnigramLM().fit(pa.chunked_array([TEXTS[:2], TEXTS[2:]]))
    assert_array_equal(texts.token_log_prob_, UnigramLM().fit(TEXTS).token_log_prob_)


@pytest.mark.filterwarnings("ignore:(Plackett|Candidate).* rows without groups")
@pytest.mark.parametrize("make", [csr_array, csr_matrix, csc_array], ids=name_of)
@pytest.mark.parametrize("estimator_class", DEFAULT, ids=name_of)
def test_sparse_input_that_cannot_be_written_to_is_read(estimator_class, make):
    X = make(np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    X.data[0] = 0.0  # is stored
    seeded = {"random_state": 0} if "random_state" in signature(estimator_class).parameters else {}
    written = estimator_class(**seeded).fit(X.copy(), Y)
    before = X.toarray()
    for values in (X.data, X.indices, X.indptr):
        values.flags.writeable = False
    model = estimator_class(**seeded).fit(X, Y)
    assert_array_equal(getattr(model, "coef_", 0.0), getattr(written, "coef_", 0.0))
    for method in ("predict", "score", "transform"):
        if hasattr(model, method):
            getattr(model, method)(*((X, Y) if method == "score" else (X,)))
    assert_array_equal(X.toarray(), before)


@pytest.mark.filterwarnings("ignore:(Plackett|Candidate).* rows without groups")
@pytest.mark.parametrize("estimator_class", DEFAULT, ids=name_of)
def test_sparse_input_that_joblib_maps_from_a_file_is_read(estimator_class, tmp_path):
    X = csr_array(np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    joblib.dump(X, tmp_path / "X")
    mapped = joblib.load(tmp_path / "X", mmap_mode="r")
    assert isinstance(mapped.data, np.memmap)
    seeded = {"random_state": 0} if "random_state" in signature(estimator_class).parameters else {}
    model, expected = (estimator_class(**seeded).fit(given, Y) for given in (mapped, X))
    for method in ("predict", "score", "transform"):
        if hasattr(model, method):
            one, other = (
                _dense(getattr(fitted, method)(*((given, Y) if method == "score" else (given,))))
                for fitted, given in ((model, mapped), (expected, X))
            )
            assert_array_equal(one, other)


@pytest.mark.parametrize("form", ["array", "ids"])
def test_a_search_over_vectors_says_when_it_has_lost_their_prompts(form):
    # Each prompt has three responses, of which each is in two pairs.
    rng = np.random.RandomState(0)
    table = rng.standard_normal((60, 4))
    ids = np.array([(3 * p + i, 3 * p + j) for i, j in ((0, 1), (1, 2), (2, 0)) for p in range(20)])
    X = ResponseIds(ids, table) if form == "ids" else table[ids]
    groups, y = np.tile(np.arange(20), 3), rng.randint(2, size=60)
    model = PreferenceRewardModelCV([0.1, 1.0], cv=3)
    with pytest.warns(LeakageWarning, match="same prompts, or responses, on both sides.*by prompt"):
        model.fit(X, y)
    with pytest.warns(LeakageWarning, match="same prompts, or responses"):
        cross_validate(model, X, y, groups=groups, cv=GroupKFold(2))
    frame = pd.DataFrame({"prompt": [f"p {g}" for g in groups]})
    frame["response_a"], frame["response_b"] = list(table[ids[:, 0]]), list(table[ids[:, 1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error", LeakageWarning)
        expected = clone(model).fit(X, y, groups=groups)
        # Which need no routing, as a frame has its prompts with it.
        kept = cross_validate(
            model, frame, y, groups=groups, cv=GroupKFold(2), return_estimator=True
        )
        assert_allclose(clone(model).fit(frame, y).scores_, expected.scores_)
        model.fit(table[ids][:20], y[:20])  # no response twice
    splits = GroupKFold(2).split(ids, y, groups)
    for fitted, (train, _) in zip(kept["estimator"], splits, strict=True):
        alone = clone(model).fit(table[ids[train]], y[train], groups=groups[train])
        assert_allclose(fitted.scores_, alone.scores_)
