"""Old names of parameters and attributes: they work as before, and say what they became."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from sklearn_codex import (
    AnnotatorRewardModel,
    BootstrapRewardEnsemble,
    RewardUncertainty,
    RLHFPipeline,
    SFTRefiner,
    TiePreferenceModel,
    UnigramLM,
    load_model,
    save_model,
)

TEXTS = ["the cat sat", "the dog sat on the cat", "a bird flew"]
PAIRS = [("good", "bad"), ("bad", "good day"), ("good fine", "bad"), ("bad", "fine")] * 6
LABELS = [1, 0, 1, 0] * 6
BASE = FrozenEstimator(UnigramLM().fit(TEXTS))
FILES = Path(__file__).parent / "model_files"


@pytest.fixture(scope="module")
def refined():
    return SFTRefiner(BASE, prior_strength=5.0).fit(TEXTS[:2])


def test_a_parameter_under_its_old_name_is_the_new_one(refined):
    old = SFTRefiner(base=BASE, prior_strength=5.0)
    for model in (old, clone(old), SFTRefiner(prior_strength=5.0).set_params(base=BASE)):
        assert model.get_params()["base"] is BASE
        with pytest.warns(FutureWarning, match="base of SFTRefiner is called policy now"):
            model.fit(TEXTS[:2])
        assert_array_equal(model.token_log_prob_, refined.token_log_prob_)
    with pytest.raises(ValueError, match=r"SFTRefiner got both base and policy.*Leave out base"):
        SFTRefiner(BASE, base=BASE).fit(TEXTS)
    assert repr(SFTRefiner()) == "SFTRefiner()"


def test_who_does_not_use_an_old_name_hears_nothing_of_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(SFTRefiner(BASE)).fit(TEXTS)
        model = clone(RewardUncertainty()).fit(PAIRS, LABELS)
        save = clone(model).set_params(**model.get_params())
        assert hasattr(save.fit(PAIRS, LABELS), "estimator_")


def test_a_search_over_an_old_name():
    other = FrozenEstimator(UnigramLM().fit(["a cat"] * 3))
    search = GridSearchCV(SFTRefiner(), {"base": [BASE, other]}, cv=2)
    with pytest.warns(FutureWarning, match="called policy now"):
        search.fit(TEXTS)
    assert search.best_params_["base"] in (BASE, other)


def test_a_loop_does_not_fill_what_was_given_under_its_old_name():
    records = [{"text": text} for text in TEXTS] + [{"completion": text} for text in TEXTS]
    frozen = FrozenEstimator(BASE.vectorizer_)
    loop = RLHFPipeline(
        [("pretrain", UnigramLM(smoothing=9.0)), ("sft", SFTRefiner(base=BASE))], vectorizer=frozen
    )
    with pytest.warns(FutureWarning, match="called policy now"):
        loop.fit(records)
    assert_array_equal(loop["sft"].base_log_prob_, BASE.token_log_prob_)
    loop.set_params(sft__base="deprecated").fit(records)
    assert_array_equal(loop["sft"].base_log_prob_, loop["pretrain"].token_log_prob_)


@pytest.mark.parametrize("settings", [{}, {"C": 0.3}])
def test_a_tie_model_by_position_is_the_one_by_name(settings):
    pairs, labels = [*PAIRS, ("good", "fine")], [*LABELS, 0.5]
    with pytest.warns(FutureWarning, match="C first.*Pass tie_model='rao-kupper'"):
        old = TiePreferenceModel("rao-kupper", **settings)
    new = TiePreferenceModel(*settings.values(), tie_model="rao-kupper")
    assert old.get_params() == new.get_params()
    assert_array_equal(
        clone(old).fit(pairs, labels).predict_proba(pairs),
        new.fit(pairs, labels).predict_proba(pairs),
    )


def test_a_flip_rate_that_is_estimated_is_auto():
    with pytest.warns(FutureWarning, match="flip_rate='auto' now"):
        old = AnnotatorRewardModel(flip_rate="estimate").fit(PAIRS, LABELS)
    new = AnnotatorRewardModel(flip_rate="auto").fit(PAIRS, LABELS)
    assert_array_equal(old.coef_, new.coef_)
    assert repr(AnnotatorRewardModel()) == "AnnotatorRewardModel()"
    with pytest.raises(ValueError, match=r"a str among {'auto'}"):
        AnnotatorRewardModel(flip_rate="guess").fit(PAIRS, LABELS)


@pytest.mark.parametrize(
    "model", [RewardUncertainty(), BootstrapRewardEnsemble(n_estimators=3, random_state=0)]
)
def test_an_attribute_under_its_old_name_is_the_new_one(model):
    model = clone(model).fit(PAIRS, LABELS)
    with pytest.warns(FutureWarning, match="model_ is called estimator_ now"):
        assert model.model_ is model.estimator_


def test_files_with_old_names_are_loaded(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        uncertain = load_model(FILES / "renamed_uncertainty.skops")
        refined = load_model(FILES / "renamed_sft.skops")
        for model in (uncertain, refined):
            save_model(model, tmp_path / "again.skops", overwrite=True)
            assert repr(load_model(tmp_path / "again.skops")) == repr(model)
    again = RewardUncertainty().fit(PAIRS, LABELS)
    for found, expected in zip(
        uncertain.predict_margin(PAIRS, return_std=True),
        again.predict_margin(PAIRS, return_std=True),
        strict=True,
    ):
        assert_allclose(found, expected, rtol=1e-6)
    assert_allclose(refined.token_log_prob_, SFTRefiner(BASE).fit(TEXTS).token_log_prob_)
    assert refined.policy.token_log_prob_.shape == refined.token_log_prob_.shape


def test_the_confidence_in_outcomes_goes_with_what_is_predicted():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((120, 3)), rng.choice([0, 0.5, 1], 120)
    for tie_model in ("davidson", "rao-kupper"):
        model = TiePreferenceModel(tie_model=tie_model).fit(X, y)
        confidence = model.decision_function(X)
        assert_array_equal(model.classes_[confidence.argmax(axis=1)], model.predict(X))
        assert_allclose(np.exp(confidence).sum(axis=1), 1.0)
        two = TiePreferenceModel(tie_model=tie_model).fit(X, y > 0.4)
        assert_allclose(two.decision_function(X), two.predict_margin(X), atol=1e-12)
        assert_array_equal(two.predict(X), two.decision_function(X) > 0)
