"""Entries of rules as users spell them: found by the policy's own tokens, or told, never silent."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator

from sklearn_codex import (
    CandidatePolicy,
    ExactPolicyOptimizer,
    NGramCounter,
    NGramLM,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    RLOOPolicyOptimizer,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex._data.vectorizers import splitter_of
from sklearn_codex._rule_entries import Vocabulary
from sklearn_codex.rules import BannedNGrams, BannedTokens, Pattern, Rule, TokenBudget, read_rules

CODE = ["import os os.system(x)", "x = os.path.join(a, b)", "def f(x): return os.system(x)"] * 4
SPELLED = "os . system"
ENTRIES = ["os.system", "os. system", SPELLED, ["os.system"], ["os", ".", "system"]]


@pytest.fixture(scope="module")
def ngrams():
    counter = NGramCounter(order=3, tokenizer="code", eos_token="</s>")
    return NGramLM(vectorizer=counter).fit(CODE)


@pytest.fixture(scope="module")
def unigrams():
    return UnigramLM(vectorizer=TokenCounter("code", eos_token="</s>")).fit(CODE)


def policy_of(model, rules, kind=ExactPolicyOptimizer, **settings):
    vectorizer = FrozenEstimator(model.vectorizer_)
    reward = PreferenceRewardModel(vectorizer=vectorizer).fit([("x", "b"), ("b", "x")], [1, 0])
    settings = {"kl_coef": 3.0} | settings
    return kind(FrozenEstimator(model), FrozenEstimator(reward), rules=rules, **settings).fit(CODE)


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_a_banned_ngram_is_split_as_the_policy_splits(ngrams, entry):
    texts = policy_of(ngrams, BannedNGrams([entry], hard=True)).sample(3000, random_state=0)
    assert not any(SPELLED in text for text in texts)
    rare = policy_of(ngrams, BannedNGrams([entry], max_rate=0.1))
    assert rare.rule_rates_["banned_ngrams"] == pytest.approx(0.1, abs=1e-6)
    texts = rare.sample(20_000, random_state=0)
    assert np.mean([SPELLED in text for text in texts]) == pytest.approx(0.1, abs=0.01)
    priced, spelled = (
        policy_of(ngrams, BannedNGrams([given], penalty=1.5)) for given in (entry, SPELLED)
    )
    assert priced.rule_rates_ == spelled.rule_rates_
    assert priced.rules.get_params()["ngrams"] == [entry]


@pytest.mark.parametrize("kind", [ExactPolicyOptimizer, PPOPolicyOptimizer, RLOOPolicyOptimizer])
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda **given: BannedTokens(["x", "os.system"], **given), SPELLED),
        (lambda **given: BannedTokens(["OS"], **given), "os"),
        (lambda **given: BannedNGrams(["OS . system", "x"], **given), SPELLED),
        (lambda **given: BannedNGrams([["<s>", "Import", "os"]], **given), "import os"),
        (lambda **given: TokenBudget(["os.system"], **given), SPELLED),
        (lambda **given: Pattern(r"os\.system", **given), SPELLED),
    ],
    ids=["several tokens", "case", "case of an n-gram", "after the start", "budget", "pattern"],
)
def test_what_is_spelled_otherwise_is_told(ngrams, unigrams, make, told, kind):
    settings = {} if kind is ExactPolicyOptimizer else {"max_iter": 1, "random_state": 0}
    rules = [make(max_rate=0.01)]
    if isinstance(rules[0], BannedTokens | BannedNGrams):
        rules.append(make(hard=True))
    for model in (ngrams, unigrams):
        for rule in rules:
            with pytest.raises(ValueError, match=rf"{kind.__name__} got the .*'{told}'"):
                policy_of(model, rule, kind, **settings)
    if not isinstance(rules[0], TokenBudget | Pattern):
        with pytest.warns(UserWarning, match=rf"never be found: the vocabulary has '{told}'"):
            policy = policy_of(unigrams, make(penalty=1.0), ExactPolicyOptimizer)
        policy.evaluate()  # once is enough


def test_rules_of_which_the_vocabulary_has_nothing_are_told(ngrams):
    for make in (BannedTokens, BannedNGrams):
        with pytest.raises(ValueError, match=r"hard rule .* \['exec'\], of which .* has none"):
            policy_of(ngrams, make(["exec"], hard=True))
        with pytest.warns(UserWarning, match="has none, so it changes nothing. Leave the rule"):
            policy_of(ngrams, make(["exec"]))
        # Beside others it cannot occur, and an empty list says what it means where it has a price;
        # where it has to be kept there is nothing to keep.
        policy_of(ngrams, make(["exec", "join"], hard=True))
        policy_of(ngrams, make([]))
        for strict in ({"hard": True}, {"max_rate": 0.1}):
            with pytest.raises(ValueError, match=r"with an empty list, so there is nothing to"):
                policy_of(ngrams, make([], **strict))


def test_names_of_counts_are_told_without_a_tokenizer():
    pandas = pytest.importorskip("pandas")
    counts = pandas.DataFrame([[1, 1, 1, 0], [2, 1, 1, 1]], columns=["os", ".", "system", "x"])
    model = UnigramLM().fit(counts)
    rule = BannedTokens(["os.system"], hard=True)
    with pytest.raises(ValueError, match=r"'os\.system', which .* has 'os \. system'. Use Banned"):
        ExactPolicyOptimizer(FrozenEstimator(model), rules=rule).fit(counts, [0.0, 1.0])


def test_a_counter_of_lower_case_reads_entries_in_it():
    counter = TokenCounter(lowercase=True, unk_token=None).fit(["Eval x", "x y"])
    vocabulary = Vocabulary(counter.get_feature_names_out(), splitter_of(counter))
    for rule in (BannedTokens(["EVAL"], hard=True), BannedNGrams(["EVAL X"], hard=True)):
        [(_, read)] = read_rules(rule, vocabulary, subject="S")
        assert read.get_params().get("tokens", read.get_params().get("ngrams")) in (
            ["eval"],
            [["eval", "x"]],
        )
    foreign = CountVectorizer().fit(["os.system now"])
    vocabulary = Vocabulary(foreign.get_feature_names_out(), splitter_of(foreign))
    [(_, read)] = read_rules(BannedNGrams(["os.system"]), vocabulary, subject="S")
    assert read.ngrams == [["os", "system"]]
    own = type("Own", (Rule,), {"penalty": 1.0, "name": "own"})()
    assert read_rules(own, vocabulary, subject="S") == [("own", own)]


def test_texts_that_have_an_entry_but_not_between_blanks_are_told():
    texts = ["os.system('ls')", "a"]
    for rule in (BannedNGrams(["os.system"]), BannedTokens(["os.system"]), BannedNGrams(["f("])):
        with pytest.warns(UserWarning, match=r"does not find '.*' in .*what is between blanks"):
            assert_array_equal(rule([*texts, "f(x)"]), [0, 0, 0])
    with pytest.raises(ValueError, match=r"does not find 'os\.system' in \"os\.system\('ls'\)\""):
        BannedNGrams(["os.system"], hard=True)(texts)
    assert_array_equal(BannedNGrams(["os . system"])(["x os . system", "os"]), [1, 0])
    assert_array_equal(BannedTokens(["os.system"])(["x os.system", "my_os.systems"]), [1, 0])


def test_candidates_that_have_an_entry_but_not_between_blanks_are_told():
    rows = np.array([("q", "yes, please."), ("q", "yes"), ("q", "please do")], dtype=object)

    class Flat:
        def predict(self, X):
            return np.zeros(len(X))

    def fitted(**given):
        return CandidatePolicy(Flat(), rules=BannedTokens(["please"], **given)).fit(rows)

    with pytest.raises(ValueError, match=r"does not find 'please' in 'yes, please\.'"):
        fitted(hard=True)
    with pytest.warns(UserWarning, match="use Pattern, which reads the text as it is"):
        fitted(penalty=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy = CandidatePolicy(Flat(), rules=Pattern(r"\bplease\b", penalty=2.0)).fit(rows)
    prob = np.exp([-2.0, 0.0, -2.0])
    assert_allclose(np.exp(policy.predict_log_proba(rows)[:, 1]), prob / prob.sum())
