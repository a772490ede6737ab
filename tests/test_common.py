"""scikit-learn's own contract, and the docstrings, for all public estimators by discovery."""

import ast
import inspect
import re
from unittest import SkipTest

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

import sklearn_codex
import sklearn_codex.exact

TEXTS = ["the cat sat", "the dog sat on the cat", "a dog", "on the mat"]
PAIRS = [("the cat", "a dog"), ("a dog sat", "the cat sat"), ("cat", "dog"), ("dog", "mat cat")]
RECORDS = [
    *({"text": text} for text in TEXTS),
    *({"prompt": "say", "completion": text} for text in TEXTS),
    *({"prompt": "say", "chosen": a, "rejected": b} for a, b in PAIRS),
]
VOTES = [("two", "one"), ("two", "three"), ("one", "three"), ("one", "two")]
# How the names of estimators of pairs begin.
OF_PAIRS = (
    "AnnotatorRewardModel",
    "BootstrapRewardEnsemble",
    "DPOPolicyOptimizer",
    "PairVectorizer",
    "PreferenceRewardModel",
    "RewardUncertainty",
    "TiePreferenceModel",
)
# Of single tokens or of n-grams, as their vectorizers count.
OF_ANY_ORDER = {
    *("BestOfNSampler", "DPOPolicyOptimizer", "ExactPolicyOptimizer", "KTOPolicyOptimizer"),
    "SFTRefiner",
}
# Of prompts with their candidates, and the warnings of rows that belong to no prompt.
CANDIDATES = [("say", text) for text in TEXTS[:2]] + [("tell", text) for text in TEXTS[2:]]
pytestmark = pytest.mark.filterwarnings("ignore:(Candidate|Plackett).* rows without groups")
# Needs SCIPY_ARRAY_API to be set before scipy is imported.
MAY_SKIP = {"check_array_api_input"}

PUBLIC = [
    value
    for name in sklearn_codex.__all__
    if inspect.isclass(value := getattr(sklearn_codex, name)) and issubclass(value, BaseEstimator)
]


def required_arguments(estimator_class):
    parameters = list(inspect.signature(estimator_class.__init__).parameters.values())[1:]
    return [parameter.name for parameter in parameters if parameter.default is parameter.empty]


DEFAULT = [estimator_class for estimator_class in PUBLIC if not required_arguments(estimator_class)]
NOT_DEFAULT = {"RLHFPipeline"}  # has a contract of its own, for records


def name_of(value):
    return value.__name__


def test_discovery_leaves_no_estimator_out():
    names = {estimator_class.__name__ for estimator_class in PUBLIC}
    assert {"TokenCounter", "UnigramLM", "SFTRefiner", "PPOPolicyOptimizer"} <= names
    assert {e.__name__ for e in set(PUBLIC) - set(DEFAULT)} <= NOT_DEFAULT


@parametrize_with_checks([estimator_class() for estimator_class in DEFAULT])
def test_scikit_learn_contract_without_a_skip_or_a_failure_that_is_expected(estimator, check):
    may_skip = SkipTest if check.func.__name__ in MAY_SKIP else ()
    try:
        check(estimator)
    except may_skip as skip:
        pytest.skip(str(skip))
    except SkipTest as skip:
        pytest.fail(f"The contract is not checked: {skip}")


@pytest.mark.parametrize("estimator_class", DEFAULT, ids=name_of)
def test_the_contract_has_many_checks(estimator_class):
    assert len(list(estimator_checks_generator(estimator_class()))) > 40


def sections(docstring):
    """Split a numpydoc docstring into its sections: title -> text."""
    parts = re.split(r"^(\w[\w ]*)\n-+\n", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def described(section):
    """Names that a section describes, each with a type and a text: name -> text."""
    entries = re.split(r"^([\w*][\w*, ]*) : .+\n", section, flags=re.MULTILINE)
    return {
        name: text
        for names, text in zip(entries[1::2], entries[2::2], strict=True)
        for name in names.split(", ")
    }


def fitted_examples(estimator_class):
    """The estimator fitted in every way that gives it other attributes."""
    if estimator_class.__name__ == "RLHFPipeline":
        stages = [
            sklearn_codex.UnigramLM(),
            sklearn_codex.PreferenceRewardModel(),
            sklearn_codex.PPOPolicyOptimizer(max_iter=2, tol=0, random_state=0),
        ]
        return [sklearn_codex.make_rlhf_pipeline(*stages).fit(RECORDS)]
    y = np.array([0, 1, 0, 1])
    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc"))
    text = PAIRS if estimator_class.__name__.startswith(OF_PAIRS) else TEXTS
    if estimator_class.__name__ == "ModelRatings":
        text = VOTES
    if estimator_class.__name__ == "CandidatePolicy":
        text = CANDIDATES
    fitted = [estimator_class().fit(X, y) for X in (text, frame)]
    if estimator_class.__name__ in OF_ANY_ORDER:
        ngrams = sklearn_codex.NGramCounter(2)
        fitted.append(estimator_class(vectorizer=ngrams).fit(text, y))
    if estimator_class.__name__ == "KTOPolicyOptimizer":
        reward, prompts = np.array([0.0, 1.0]), np.zeros(2, int)
        problem = sklearn_codex.exact.CandidateObjective(np.log([0.5, 0.5]), reward, prompts)
        fitted.append(estimator_class().fit_objective(problem, [0, 1, 1, 0], y))
    return fitted


@pytest.mark.parametrize("estimator_class", PUBLIC, ids=name_of)
def test_every_parameter_is_documented(estimator_class):
    documented = described(sections(estimator_class.__doc__)["Parameters"])
    assert list(documented) == list(inspect.signature(estimator_class).parameters)
    assert all(text.strip() for text in documented.values())


@pytest.mark.parametrize("estimator_class", PUBLIC, ids=name_of)
def test_defaults_are_documented(estimator_class):
    section = sections(estimator_class.__doc__)["Parameters"]
    for name, parameter in inspect.signature(estimator_class).parameters.items():
        if parameter.default is not parameter.empty:
            line = re.search(rf"^{name} : (.+)$", section, flags=re.MULTILINE)[1]
            default = re.search(r"default=(.+)$", line)
            assert default, f"{name} has no default in its docstring"
            assert ast.literal_eval(default[1]) == parameter.default, name


@pytest.mark.parametrize("estimator_class", PUBLIC, ids=name_of)
def test_every_fitted_attribute_is_documented_and_there(estimator_class):
    documented = described(sections(estimator_class.__doc__)["Attributes"])
    fitted = [
        {name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")}
        for estimator in fitted_examples(estimator_class)
    ]
    assert set().union(*fitted) <= set(documented)
    for name in documented:
        assert any(hasattr(e, name) for e in fitted_examples(estimator_class)), name


@pytest.mark.parametrize("estimator_class", PUBLIC, ids=name_of)
def test_every_public_method_is_documented(estimator_class):
    for name, method in inspect.getmembers(estimator_class, inspect.isfunction):
        if name.startswith("_") or not method.__module__.startswith("sklearn_codex"):
            continue
        parameters = [p for p in inspect.signature(method).parameters if p != "self"]
        documented = described(sections(method.__doc__).get("Parameters", ""))
        assert [p.lstrip("*") for p in documented] == parameters, name
        assert "Returns" in sections(method.__doc__), name
