"""A score of pairs whose prompts were in the fit is warned of, once, where the score is made."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
)

from sklearn_codex import (
    AnnotatorRewardModel,
    BootstrapRewardEnsemble,
    PlackettLuceModel,
    PreferenceRewardModel,
    PreferenceRewardModelCV,
    RewardUncertainty,
    TiePreferenceModel,
    load_model,
    save_model,
    stack_rankings,
)
from sklearn_codex._data.text_pairs import TextPairs
from sklearn_codex._reward import leakage as _leakage
from sklearn_codex.datasets import make_preferences
from sklearn_codex.exceptions import LeakageWarning
from sklearn_codex.metrics import get_preference_scorer, preference_scorers

MODELS = [
    PreferenceRewardModel(C=0.1),
    PreferenceRewardModelCV([0.1], cv=2),
    TiePreferenceModel(C=0.1),
    AnnotatorRewardModel(C=0.1),
    RewardUncertainty(PreferenceRewardModel(C=0.1)),
    BootstrapRewardEnsemble(PreferenceRewardModel(C=0.1), 2, random_state=0),
]
FOLDS = KFold(4, shuffle=True, random_state=0)


def name_of(model):
    return type(model).__name__


@pytest.fixture(autouse=True)
def nothing_seen_before(monkeypatch):
    monkeypatch.setattr(_leakage, "_known_splits", _leakage._KnownSplits())


@pytest.fixture(scope="module")
def data():
    """Six pairs for each of 16 prompts, of four long responses; labels by coin."""
    rng = np.random.RandomState(0)
    pairs = []
    for prompt in range(16):
        texts = [" ".join(f"w{i}" for i in rng.randint(200, size=12)) for _ in range(4)]
        pairs += [
            (f"prompt {prompt}", texts[i], texts[j]) for i in range(4) for j in range(i + 1, 4)
        ]
    return np.array(pairs, dtype=object), rng.randint(2, size=96)


def n_warnings(call):
    """Count warnings of leakage; any other is an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", LeakageWarning)
        call()
    return len(caught)


# Without prompts PreferenceRewardModelCV warns of its own folds besides.
CASES = [
    pytest.param(model, with_prompts, id=f"{name_of(model)}-{with_prompts}")
    for model in MODELS
    for with_prompts in (True, False)
    if with_prompts or not isinstance(model, PreferenceRewardModelCV)
]


@pytest.mark.parametrize(("model", "with_prompts"), CASES)
def test_folds_without_groups_warn_once_and_with_groups_not(model, with_prompts, data):
    X, y = data[0] if with_prompts else data[0][:, 1:], data[1]
    assert n_warnings(lambda: cross_val_score(model, X, y, cv=FOLDS)) == 1
    groups = data[0][:, 0]
    grouped = GroupKFold(4)
    assert n_warnings(lambda: cross_val_score(model, X, y, cv=grouped, groups=groups)) == 0
    # Another cross-validation of the same data is warned of again.
    assert n_warnings(lambda: cross_val_score(model, X, y, cv=FOLDS)) == 1


SCORERS = {
    **preference_scorers,
    "subsets": get_preference_scorer("sectioned_accuracy", subset=lambda X: X[:, 0] < "prompt 5"),
    "length": get_preference_scorer("shorter_preferred_accuracy"),
}
OF_SCIKIT_LEARN = {
    "accuracy": "accuracy",
    "log loss": "neg_log_loss",
    "AUC": "roc_auc",
    "own function": make_scorer(lambda y, p: np.mean(y == p)),
}


@pytest.mark.parametrize("name", SCORERS)
def test_scorers_of_this_package_warn_once(name, data):
    scores = []

    def run():
        scores.extend(
            cross_val_score(PreferenceRewardModel(C=0.1), *data, cv=FOLDS, scoring=SCORERS[name])
        )

    assert n_warnings(run) == 1
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", OF_SCIKIT_LEARN)
def test_scorers_of_scikit_learn_ask_for_predictions_and_hear_nothing(name, data):
    model, options = PreferenceRewardModel(C=0.1), {"cv": FOLDS, "scoring": OF_SCIKIT_LEARN[name]}
    assert n_warnings(lambda: cross_val_score(model, *data, **options)) == 0


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_scorers_know_every_model_of_pairs(model, data):
    scorer = preference_scorers["neg_preference_log_loss"]
    X, y = data
    model.fit(X[::2], y[::2])
    assert n_warnings(lambda: scorer(model, X[::2], y[::2])) == 0
    assert n_warnings(lambda: scorer(model, X[1::2], y[1::2])) == 1
    assert n_warnings(lambda: scorer(model, X[1::2], y[1::2])) == 0


def test_a_frozen_model_is_warned_of_and_other_estimators_are_no_matter(data):
    X, y = data
    scorer = preference_scorers["preference_accuracy"]
    model = FrozenEstimator(PreferenceRewardModel(C=0.1).fit(X[::2], y[::2]))
    assert n_warnings(lambda: scorer(model, X[1::2], y[1::2])) == 1
    lengths = np.array([[len(a) - len(b)] for _, a, b in X])
    assert (
        n_warnings(lambda: cross_val_score(LogisticRegression(), lengths, y, scoring=scorer)) == 0
    )


@pytest.mark.parametrize(
    "run",
    [
        lambda model, X, y: GridSearchCV(model, {"C": [0.1, 1.0, 3.0]}, cv=FOLDS).fit(X, y),
        lambda model, X, y: learning_curve(model, X, y, cv=FOLDS, train_sizes=[0.4, 0.7, 1.0]),
        lambda model, X, y: cross_validate(model, X, y, cv=FOLDS, return_train_score=True),
        lambda model, X, y: cross_validate(model, X, y, cv=FOLDS, scoring=preference_scorers),
        lambda model, X, y: cross_val_score(model, X, y),
        lambda model, X, y: cross_val_score(model, X, y, cv=ShuffleSplit(5, random_state=0)),
        lambda model, X, y: cross_val_score(
            model, X, y, cv=RepeatedKFold(n_splits=3, n_repeats=3, random_state=0)
        ),
    ],
    ids=["search", "learning curve", "train scores", "many", "default", "shuffle", "repeated"],
)
def test_every_tool_warns_once(run, data):
    assert n_warnings(lambda: run(PreferenceRewardModel(C=0.1), *data)) == 1


def test_groups_are_silent_in_every_tool(data):
    X, y = data
    groups, cv = X[:, 0], GroupKFold(4)
    model = PreferenceRewardModel(C=0.1)

    def run():
        GridSearchCV(model, {"C": [0.1, 1.0]}, cv=cv).fit(X, y, groups=groups)
        learning_curve(model, X, y, groups=groups, cv=cv, train_sizes=[0.5, 1.0])
        cross_validate(model, X, y, groups=groups, cv=cv, scoring=preference_scorers)

    assert n_warnings(run) == 0


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_to_predict_is_no_mistake_and_to_score_is_one(model, data):
    train, test, y_train, y_test = train_test_split(*data, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(train, y_train)
        model.predict(test)
        model.predict_proba(test)
        model.score(train, y_train)
    with pytest.warns(LeakageWarning, match="Split by prompt") as caught:
        model.score(test, y_test)
    assert caught[0].filename == __file__
    assert n_warnings(lambda: model.score(test, y_test)) == 0


def test_predictions_of_folds_are_not_warned_of_and_importances_are(data):
    X, y = data
    model = PreferenceRewardModel(C=0.1)
    assert n_warnings(lambda: cross_val_predict(model, X, y, cv=FOLDS)) == 0
    train, test = next(FOLDS.split(X))
    model.fit(X[train], y[train])
    assert n_warnings(lambda: permutation_importance(model, X[test], y[test], n_repeats=2)) == 1


def test_two_processes_warn_at_most_once_each(data, tmp_path):
    np.save(tmp_path / "pairs.npy", data[0])
    np.save(tmp_path / "y.npy", data[1])
    program = """
import sys, numpy as np
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn_codex import PreferenceRewardModel
X, y = np.load(sys.argv[1] + "/pairs.npy", allow_pickle=True), np.load(sys.argv[1] + "/y.npy")
model, grid = PreferenceRewardModel(), {"C": [0.1, 1.0, 10.0]}
groups = X[:, 0] if sys.argv[2] == "group" else None
cv = GroupKFold(4) if sys.argv[2] == "group" else KFold(4, shuffle=True, random_state=0)
if __name__ == "__main__":
    GridSearchCV(model, grid, cv=cv, n_jobs=2).fit(X, y, groups=groups)
"""
    counts = []
    for way in ("plain", "group"):
        run = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), way],
            check=True,
            capture_output=True,
            text=True,
        )
        counts.append(run.stderr.count("LeakageWarning: "))
    assert 1 <= counts[0] <= 2
    assert counts[1] == 0


@pytest.mark.parametrize("model", MODELS[2:4], ids=name_of)
def test_model_files_remember_the_prompts(model, data, tmp_path):
    X, y = data
    model.fit(X[::2], y[::2])
    save_model(model, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    with pytest.warns(LeakageWarning, match="stood in its training pairs"):
        loaded.score(X[1::2], y[1::2])


@pytest.fixture(scope="module")
def rankings():
    """Four rankings of three long responses for each of 16 prompts, drawn from five."""
    rng = np.random.RandomState(0)
    lists, prompts = [], []
    for prompt in range(16):
        texts = [" ".join(f"w{i}" for i in rng.randint(200, size=12)) for _ in range(5)]
        for _ in range(4):
            lists.append([texts[i] for i in rng.permutation(5)[:3]])
            prompts.append(f"prompt {prompt}")
    return lists, prompts


def rows_of(rankings, *, prompted):
    lists, prompts = rankings
    rows = stack_rankings(lists, prompts=prompts if prompted else None)
    X = np.array(rows.X, dtype=object)
    return X, rows.y, rows.groups, np.repeat(prompts, 3)


@pytest.mark.parametrize("prompted", [True, False])
def test_rankings_of_known_prompts_are_warned_of(rankings, prompted):
    X, y, groups, prompts = rows_of(rankings, prompted=prompted)
    by_ranking, by_prompt = ({"groups": each, "cv": GroupKFold(4)} for each in (groups, prompts))

    def run(split, **options):
        with config_context(enable_metadata_routing=True):
            model = PlackettLuceModel(C=0.1).set_fit_request(groups="rankings")
            model.set_score_request(groups="rankings")
            params = {"groups": split["groups"], "rankings": groups}
            cross_validate(model, X, y, cv=split["cv"], params=params, **options)

    # A prompt has rankings on both sides of the first split, and none in the second.
    assert n_warnings(lambda: run(by_ranking)) == 1
    assert n_warnings(lambda: run(by_ranking, return_train_score=True)) == 1
    assert n_warnings(lambda: run(by_prompt, return_train_score=True)) == 0


def test_scores_of_rankings_warn_and_predictions_do_not(rankings):
    X, y, groups, _ = rows_of(rankings, prompted=True)
    is_test = groups % 4 == 0  # one ranking of each prompt
    train, test = ((X[rows], y[rows], groups[rows]) for rows in (~is_test, is_test))
    model = PlackettLuceModel(C=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(train[0], train[1], groups=train[2])
        model.predict(test[0])
        model.predict_choice(test[0], test[2])
        model.score(train[0], train[1], groups=train[2])
    message = "PlackettLuceModel scores rankings whose prompts.*Split by prompt"
    with pytest.warns(LeakageWarning, match=message) as caught:
        model.score(test[0], test[1], groups=test[2])
    assert caught[0].filename == __file__
    assert n_warnings(lambda: model.score(test[0], test[1], groups=test[2])) == 0


def test_the_scorer_of_rankings_warns_and_one_of_predicted_rewards_does_not(rankings):
    X, y, _, prompts = rows_of(rankings, prompted=True)
    model = PlackettLuceModel(C=0.1)
    best_of_n = get_preference_scorer("best_of_n_accuracy")

    def run(scoring, **split):
        return n_warnings(lambda: cross_val_score(model, X, y, scoring=scoring, **split))

    assert run(best_of_n, cv=FOLDS) == 1
    assert run(best_of_n, cv=GroupKFold(4), groups=prompts) == 0
    assert run("neg_mean_squared_error", cv=FOLDS) == 0


def test_rankings_of_numbers_have_no_identity():
    rng = np.random.RandomState(0)
    X, y, groups = rng.randn(60, 3), rng.randn(60), np.repeat(np.arange(20), 3)
    model = PlackettLuceModel().fit(X[:30], y[:30], groups=groups[:30])
    assert n_warnings(lambda: model.score(X[:45], y[:45], groups=groups[:45])) == 0


def test_what_a_member_of_an_ensemble_learns_later_the_others_have_not_seen():
    data = make_preferences(120, n_features=5, n_prompts=40, text=True, random_state=0)
    first, later = np.arange(120) < 60, np.arange(120) >= 60
    ensemble = BootstrapRewardEnsemble(n_estimators=2, random_state=0)
    ensemble.fit(data.X[first], data.y[first], groups=data.groups[first])
    learner, other = ensemble.estimators_
    learner.partial_fit(data.X[later], data.y[later])
    # Pairs of one's own fit are no leakage, new ones of known prompts are.
    with warnings.catch_warnings():
        warnings.simplefilter("error", LeakageWarning)
        learner.score(data.X[later], data.y[later])
    with pytest.warns(LeakageWarning, match="stood in its training pairs"):
        other.score(data.X[later], data.y[later])


def unprompted(*pairs):
    return TextPairs(None, [a for a, _ in pairs], [b for _, b in pairs])


def long(name, n_characters=60):
    return name.ljust(n_characters, ".")


@pytest.mark.parametrize(("n_characters", "told"), [(39, False), (40, True)])
def test_a_response_of_40_characters_is_a_sign_of_its_prompt(n_characters, told):
    a, b, c = (long(name, n_characters) for name in "abc")
    known = _leakage.TrainingPairs(unprompted((a, b)))
    assert known.shares_prompts(unprompted((a, c))) is told


@pytest.mark.parametrize(("n_known", "told"), [(0, False), (1, False), (2, True)])
def test_more_than_a_quarter_of_known_responses_is_a_sign_of_shared_prompts(n_known, told):
    known = _leakage.TrainingPairs(unprompted((long("a"), long("b")), (long("c"), long("d"))))
    # Four responses in two new pairs.
    new = [long(name) for name in ("a", "c")[:n_known]] + [long(name) for name in "wxyz"[n_known:]]
    assert known.shares_prompts(unprompted((new[0], new[2]), (new[1], new[3]))) is told


def test_a_fit_on_one_prompt_leaves_no_other_to_split_by():
    for prompts, told in ((["p", "p"], False), (["p", "q"], True)):
        known = _leakage.TrainingPairs(TextPairs(prompts, ["a", "c"], ["b", "d"]))
        assert known.shares_prompts(TextPairs(["p"], ["e"], ["f"])) is told
