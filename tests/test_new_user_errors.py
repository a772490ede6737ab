"""What a new user is told: errors and warnings that name what to do instead."""

import json

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

import sklearn_codex
from sklearn_codex import (
    CandidatePolicy,
    ModelRatings,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    ResponseIds,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
    save_model,
)
from sklearn_codex.cli import main
from sklearn_codex.exact import AdditiveObjective
from sklearn_codex.features import CachedEmbedder, preference_features
from sklearn_codex.inspection import explain_reward

PAIRS, Y = [("p", "good a", "bad"), ("q", "bad", "good a")] * 3, [1, 0] * 3
GROUPS = np.repeat([0, 1, 2, 3], 3)
ROWS = np.random.RandomState(0).randn(12, 2)


def embed(texts):
    return np.array([[len(text), text.count("a")] for text in texts], dtype=float)


def test_no_file_keeps_a_stated_objective_over_tokens(tmp_path):
    pytest.importorskip("skops")
    problem = AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.arange(3.0), length=2)
    optimizer = PPOPolicyOptimizer(random_state=0).fit_objective(problem)
    with pytest.raises(ValueError, match=r"fit_objective optimised.*Save its token_log_prob_"):
        save_model(optimizer, tmp_path / "model.skops")


def test_parameters_of_an_old_name_are_set_under_the_new_one():
    refiner = SFTRefiner(FrozenEstimator(UnigramLM().fit(["a b", "b"])))
    with pytest.raises(ValueError, match=r"base of SFTRefiner is called policy.*policy__smoothing"):
        refiner.set_params(base__smoothing=1.0)
    assert SFTRefiner(UnigramLM()).set_params(policy__smoothing=0.5).policy.smoothing == 0.5
    given = SFTRefiner().set_params(base=UnigramLM(), base__smoothing=0.5)
    assert given.base.smoothing == 0.5


def test_doubly_robust_values_ask_for_predictions_alone():
    policy = CandidatePolicy(lambda X: X[:, 0], kl_coef=0.5).fit(ROWS, groups=GROUPS)
    with pytest.raises(ValueError, match=r"needs predicted, the pred") as caught:
        policy.off_policy_value(ROWS, ROWS[:, 0], np.full(12, 1 / 3), GROUPS, method="dr")
    assert "predicted_value" not in str(caught.value)


def test_groups_of_a_search_are_to_be_routed():
    search = GridSearchCV(CandidatePolicy(lambda X: X[:, 0]), {"kl_coef": [0.5]}, cv=2)
    routing = r"enable_metadata_routing=True.*set_fit_request\(groups=True\)\.set_score_request"
    with pytest.raises(ValueError, match=routing):
        search.estimator.fit(ROWS)
    with pytest.warns(UserWarning, match=routing):
        CandidatePolicy().fit(ROWS, ROWS[:, 0])


def test_functions_that_embed_are_to_be_wrapped():
    with pytest.raises(TypeError, match=r"transformer of texts as embedder.*CachedEmbedder\("):
        preference_features(embed)
    with pytest.raises(ValueError, match=r"'fit' and 'transform' \(a function.*CachedEmbedder"):
        PreferenceRewardModel(vectorizer=embed).fit(PAIRS, Y)
    model = PreferenceRewardModel(vectorizer=preference_features(CachedEmbedder(embed)))
    assert model.fit(PAIRS, Y).score(PAIRS, Y) == 1.0


TAKERS = [
    value
    for value in (getattr(sklearn_codex, name) for name in sklearn_codex.__all__)
    if isinstance(value, type)
    and {"vectorizer", "topic_vectorizer"} & set(getattr(value, "_parameter_constraints", {}))
]


@pytest.mark.parametrize("taker", TAKERS, ids=lambda taker: taker.__name__)
@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        (TokenCounter, r"TokenCounter\(\) and not TokenCounter\).*Got <class"),
        (embed, r"function.*FunctionTransformer\(function\).*Got <function embed"),
    ],
    ids=["class", "function"],
)
def test_a_vectorizer_is_an_instance(taker, given, remedy):
    name = next(n for n in ("vectorizer", "topic_vectorizer") if n in taker._parameter_constraints)
    estimator = taker([]) if taker is RLHFPipeline else taker()
    estimator.set_params(**{name: given})
    rule = rf"The '{name}' parameter of {taker.__name__} must be .*'fit' and 'transform' \("
    with pytest.raises(ValueError, match=rule + ".*" + remedy):
        estimator.fit(["good a", "bad"], [1, 0])


def test_all_that_take_a_vectorizer_are_held_to_it():
    names = {taker.__name__ for taker in TAKERS}
    assert {
        "UnigramLM",
        "NGramLM",
        "SFTRefiner",
        "RLOOPolicyOptimizer",
        "DPOPolicyOptimizer",
        "KTOPolicyOptimizer",
    } <= names
    assert {"RLOOPolicyOptimizer", "BestOfNSampler", "RLHFPipeline", "ModelRatings"} <= names


def test_an_embedder_is_an_instance():
    with pytest.raises(TypeError, match=r"got type <class.*Make an instance"):
        preference_features(TokenCounter)
    with pytest.raises(TypeError, match=r"the class TokenCounter\. Pass .*TokenCounter\(\.\.\.\)"):
        CachedEmbedder(TokenCounter).fit(["a"])
    model = PreferenceRewardModel().fit(PAIRS, Y)
    with pytest.raises(ValueError, match=r"'embedder' parameter of explain_reward.*and not Token"):
        explain_reward(model, PAIRS, Y, embedder=TokenCounter)


def test_an_embedder_that_gives_one_vector_is_told():
    model = PreferenceRewardModel(vectorizer=CachedEmbedder(lambda texts: np.ones(3)))
    with pytest.raises(ValueError, match=r"2 texts.*shape \(3,\).*shape \(2, d\)"):
        model.fit(PAIRS, Y)


def not_a_number_of_bad(texts):
    return np.array([[np.nan if "bad" in text else 1.0, 2.0] for text in texts])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_placed(value):
    vectors = np.random.RandomState(0).randn(6, 2, 2)
    vectors[2, 1, 0] = vectors[4, 1, 1] = value
    table = vectors.reshape(12, 2)
    ids = np.arange(12).reshape(6, 2)
    for X, place in (
        (vectors, r"2 of 12 rows .*first X\[2, 1\]"),
        (vectors[:, 0] - vectors[:, 1], r"2 of 6 rows .*first row 2"),
    ):
        with pytest.raises(ValueError, match=place) as caught:
            PreferenceRewardModel().fit(X, Y)
        assert "HistGradientBoosting" not in str(caught.value)
    with pytest.raises(ValueError, match=r"2 of 12 rows .*first row 5"):
        ResponseIds(ids, table)
    embedder = CachedEmbedder(not_a_number_of_bad)
    with pytest.raises(ValueError, match=r"1 of 2 rows .*first that of 'bad'"):
        PreferenceRewardModel(vectorizer=embedder).fit(PAIRS, Y)


def test_ids_without_vectors_are_asked_about():
    ids = np.arange(10, 22).reshape(6, 2)
    with pytest.warns(UserWarning, match=r"differences of 2 features.*ResponseIds\(X, features\)"):
        PreferenceRewardModel().fit(ids, Y)
    model = PreferenceRewardModel()
    model.fit(ids - 16, Y)  # differences, some of them negative
    model.fit(ids.astype(float), Y)
    model.fit(ids % 2, Y)


def test_probabilities_for_log_probabilities_are_asked_about():
    policy = CandidatePolicy(lambda X: X[:, 0])
    probability = np.full(12, 1 / 3)
    with pytest.warns(UserWarning, match=r"seem to be probabilities.*numpy\.log"):
        policy.fit(ROWS, groups=GROUPS, reference_log_prob=probability)
    policy.fit(ROWS, groups=GROUPS, reference_log_prob=np.log(probability))


def test_unknown_models_are_told_those_that_are_known():
    model = ModelRatings().fit([("x", "y"), ("y", "x")], [1, 1])
    with pytest.raises(ValueError, match=r"no model 'foo'.*fitted on 'x', 'y'"):
        model.table(anchor=("foo", 3.0))


def test_models_of_vectors_are_told_in_the_shell(tmp_path, monkeypatch, capsys):
    pytest.importorskip("skops")
    monkeypatch.chdir(tmp_path)
    rows = [
        {"prompt": f"q{i}", "chosen": f"good answer {i}", "rejected": f"bad {i}"} for i in range(40)
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    vectors = np.random.RandomState(0).randn(40, 2, 4).astype(np.float32)
    vectors[:, 0, 0] += 1
    np.save("v.npy", vectors)
    words = "fit --preferences p.jsonl --embeddings v.npy --out m.skops"
    assert main(words.split()) == 0
    capsys.readouterr()
    assert main(["info", "m.skops"]) == 0
    shown = capsys.readouterr().out
    assert "4 features" in shown
    assert "tokens of vocabulary" not in shown
    assert main(["info", "m.skops", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["features"] == 4
    assert facts["vocabulary"] is None
    assert facts["stages"]["model"]["figures"]["C"] > 0
    for command in ("score", "reward"):
        assert main([command, "m.skops", "p.jsonl"]) != 0
        assert "was fitted on vectors" in capsys.readouterr().err
