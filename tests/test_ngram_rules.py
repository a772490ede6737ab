"""Rules on policies over n-grams: bans, prices that add over arcs, chance constraints."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_codex import NGramCounter, NGramLM, PPOPolicyOptimizer, UnigramLM
from sklearn_codex._policy.problem import build_problem
from sklearn_codex._rollouts import sample_rollouts
from sklearn_codex.exact import AdditiveObjective, NGramObjective, arc_reward
from sklearn_codex.rules import BannedNGrams, BannedTokens, Pattern, Rule, TokenBudget

END = "</s>"
RNG = np.random.default_rng(3)
TEXTS = [" ".join(RNG.choice(list("abc"), RNG.integers(1, 6))) for _ in range(60)]
REWARD = {"a b": 0.8, "c": -0.4, "<s> c": 0.6, "b c a": 0.7}
ENDLESS = ("a", "b", "c")


@pytest.fixture(scope="module")
def policy():
    counter = NGramCounter(3, eos_token=END, unk_token=None)
    return NGramLM(3, vectorizer=counter).fit(TEXTS)


def ngram_reward(texts):
    """Not linear, to policies, as nobody says so: the reward of documents."""
    return np.zeros(len(texts))


def problem_of(policy, rules, *, reward=REWARD, **settings):
    """The problem of an n-gram policy, of a reward that adds unless it is a function."""
    settings = {"kl_coef": 0.7, "reward_coef": 0.5} | settings
    objective = NGramObjective.of_model(policy, **settings)
    names = policy.vectorizer_.get_feature_names_out()[: objective.trie.n_tokens]
    source = reward if callable(reward) else Linear(arc_reward(policy, reward))
    rng = np.random.RandomState(0)
    return build_problem(
        objective, source, rng, names=names, rules=rules, normalize_reward=False, subject="PPO"
    )


class Linear:
    """A model of the events of a policy, by their weights."""

    def __init__(self, weights):
        self.coef_, self.n_features_in_ = weights, len(weights)

    def predict(self, X):
        return X @ self.coef_


def draw(problem, n=400, seed=1, log_prob=None):
    start = problem.start if log_prob is None else log_prob
    return problem.sample(start, n, np.random.RandomState(seed))


def occurrences(tokens, ngrams, before=("<s>",)):
    """How often n-grams occur in a document, those that begin before it among them."""
    line = [*before, *tokens]
    return sum(
        line[stop - len(ngram) : stop] == ngram
        for stop in range(len(before) + 1, len(line) + 1)
        for ngram in (given.split() for given in ngrams)
        if len(ngram) <= stop
    )


def tokens_of(rollouts):
    names = np.asarray(rollouts.names)[rollouts.tokens]
    ends = rollouts.starts + rollouts.lengths
    return [names[i:j].tolist() for i, j in zip(rollouts.starts, ends, strict=True)]


@pytest.mark.parametrize(
    "ngrams",
    [
        ["a b"],
        ["a a"],
        ["b", "a b", "c a b"],
        ["<s> a", "<s> a b"],
        ["a </s>"],
        ["z a"],
        ["a b c a b"],
    ],
    ids=str,
)
def test_violations_are_occurrences(policy, ngrams):
    rule = BannedNGrams(ngrams)
    expected = [occurrences(text.split(), ngrams) for text in TEXTS]
    if END not in "".join(ngrams):
        assert_array_equal(rule(TEXTS), expected)
        assert_array_equal(BannedNGrams([ngram.split() for ngram in ngrams])(TEXTS), expected)
    rollouts = draw(problem_of(policy, None))
    expected = [occurrences(tokens, ngrams) for tokens in tokens_of(rollouts)]
    assert_array_equal(rule.violations(rollouts), expected)
    names = np.array(["a", "b", "c"], dtype=object)
    plain = sample_rollouts(
        np.log([0.4, 0.3, 0.3]), 200, np.random.RandomState(0), length=6, names=names
    )
    expected = [occurrences(tokens, ngrams) for tokens in tokens_of(plain)]
    assert_array_equal(rule.violations(plain), expected)


def test_ngrams_of_columns(policy):
    plain = sample_rollouts(np.log([0.4, 0.3, 0.3]), 200, np.random.RandomState(0), length=6)
    named = sample_rollouts(
        np.log([0.4, 0.3, 0.3]),
        200,
        np.random.RandomState(0),
        length=6,
        names=np.array(["a", "b", "c"], dtype=object),
    )
    by_column = BannedNGrams([(0, 1), ["<s>", 2], 0]).violations(plain)
    assert_array_equal(by_column, BannedNGrams(["a b", "<s> c", "a"]).violations(named))


def test_rules_of_tokens_and_of_text_read_ngram_documents(policy):
    rollouts = draw(problem_of(policy, None))
    for rule in (BannedTokens(["a", "c"]), TokenBudget(["a"], budget=1), Pattern("a b|c$")):
        assert_array_equal(rule.violations(rollouts), rule(rollouts.texts))


@pytest.mark.parametrize(
    "rule",
    [
        BannedTokens(["a"], penalty=0.9),
        BannedNGrams(["a"], penalty=0.9),
        BannedNGrams(["a b", "b", "<s> c", "a </s>"], penalty=1.7),
    ],
    ids=["token", "one token", "n-grams"],
)
def test_price_adds_over_arcs(policy, rule):
    problem = problem_of(policy, [rule])
    assert problem.is_additive
    rollouts = draw(problem)
    violations = rule.violations(rollouts)
    assert violations.max() > 1
    objective = problem.objective
    assert_allclose(rollouts.sum_over_tokens(objective.penalty), rule.penalty * violations)
    assert_allclose(rollouts.sum_over_tokens(problem.rules[0].token_violations), violations)
    best = objective.optimum()
    # The best distribution over documents: p exp((reward_coef R - kl_coef penalty V) / kl_coef).
    reward = rollouts.events @ objective.token_reward
    tilted = policy.score_samples(rollouts.events) + 0.5 / 0.7 * reward - rule.penalty * violations
    assert_allclose(rollouts.events @ best, tilted - objective.value(best) / 0.7, atol=1e-9)


class Weighed(Rule):
    """A rule of one's own: n-grams, and how much each violates."""

    def __init__(self, amounts, penalty=0.5, name="weighed"):
        self.amounts, self.penalty, self.name = amounts, penalty, name

    def ngram_violations(self, names, n_columns):
        column = {name: place for place, name in enumerate(names)}
        rows = [[column[token] for token in ngram.split()] for ngram in self.amounts]
        width = max(map(len, rows))
        padded = [[-1] * (width - len(row)) + row for row in rows]
        return np.array(padded), list(self.amounts.values())

    def violations(self, rollouts):
        amounts = self.amounts.items()
        return sum(w * BannedNGrams([ngram]).violations(rollouts) for ngram, w in amounts)


def test_rules_of_ones_own_say_what_ngrams_violate(policy):
    rule = Weighed({"b": 0.25, "a b": 3.0, "c a": 1.5})
    problem = problem_of(policy, [rule])
    rollouts = draw(problem)
    assert_allclose(
        rollouts.sum_over_tokens(problem.objective.penalty), 0.5 * rule.violations(rollouts)
    )
    of_tokens = AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.zeros(3), 4)
    names = np.array(ENDLESS, dtype=object)
    for amounts, penalty in (({"b": 0.25, "c": 3.0}, [0.0, 0.125, 1.5]), ({"a b": 1.0}, None)):
        built = build_problem(
            of_tokens,
            ngram_reward,
            np.random.RandomState(0),
            names=names,
            rules=[Weighed(amounts)],
            normalize_reward=False,
            subject="PPO",
        )
        if penalty is None:
            assert built.rules[0].token_violations is None
        else:
            assert_allclose(built.objective.penalty, penalty)
    with pytest.raises(
        ValueError, match=r"'weighed' \(ngram_violations\) should return one finite penalty >= 0"
    ):
        problem_of(policy, [Weighed({"a b": -1.0})])


def test_price_of_each_arc_by_hand():
    counter = NGramCounter(3, eos_token=END, unk_token=None)
    policy = NGramLM(3, vectorizer=counter).fit(["a b a", "b b", "a b b"])
    rule = BannedNGrams(["a b", "b b", "<s> b", "a b b", "c a"], penalty=2.0)
    problem = problem_of(policy, [rule], reward={})
    prices = zip(policy.vectorizer_.get_feature_names_out(), problem.objective.penalty, strict=True)
    assert {name: price for name, price in prices if price} == {
        "a b": 2.0,
        "b b": 2.0,
        "<s> b": 2.0,
        "a b b": 4.0,  # also ends with b b
        "<s> a b": 2.0,
        "<s> b b": 2.0,
    }


@pytest.mark.parametrize("ngrams", [["a b"], ["b", "<s> c"], ["c a </s>", "a a"]], ids=str)
def test_hard_bans_are_never_written(policy, ngrams):
    rule = BannedNGrams(ngrams, hard=True)
    problem = problem_of(policy, [rule])
    objective, best = problem.objective, problem.objective.optimum()
    rollouts = draw(problem, 2000, log_prob=best)
    assert not rule.violations(rollouts).any()
    assert objective.rate_of_any(best, problem.rules[0].token_violations > 0) == 0.0
    assert rule.violations(draw(problem_of(policy, None), 2000)).any()
    # Without a reward it is the reference given that there are none, of all documents.
    plain = problem_of(policy, [rule], reward={}, kl_coef=0.7)
    best, rollouts = plain.objective.optimum(), draw(plain)
    log_share = rollouts.events @ (best - policy.backoff_model_.event_log_prob.clip(-700))
    assert_allclose(log_share, plain.objective.kl(best), atol=1e-9)
    violating = rule.violations(draw(problem_of(policy, None), 40_000)) > 0
    assert np.exp(-log_share[0]) == pytest.approx(1 - violating.mean(), abs=0.01)


def test_hard_bans_of_tokens(policy):
    problem = problem_of(policy, [BannedTokens(["b"], hard=True)])
    texts = draw(problem, 500, log_prob=problem.objective.optimum()).texts
    assert not any("b" in text.split() for text in texts)


def test_bans_that_no_policy_keeps_are_refused(policy):
    short = NGramLM(2, vectorizer=NGramCounter(2, eos_token=END, unk_token=None)).fit(["a b", "c"])
    with pytest.raises(
        ValueError,
        match=r"hard rule 'banned_ngrams' of the n-gram 'a b c', which the .* does not know as "
        r"one.*order=3 or more",
    ):
        problem_of(short, [BannedNGrams(["z", "a b c"], hard=True)], reward={"c": 0.3})
    with pytest.raises(ValueError, match=r"n-gram '<s> b', which"):
        problem_of(short, [BannedNGrams(["<s> b"], hard=True)], reward={"c": 0.3})
    with pytest.raises(ValueError, match=r"no policy keeps the hard rules \['banned_ngrams'\]"):
        problem_of(
            short, [BannedNGrams(["<s> a", "<s> c", "b", "</s>"], hard=True)], reward={"c": 0.3}
        )
    with pytest.raises(ValueError, match=r"hard rule 'pattern' \(Hard\), which does not add"):
        problem_of(short, [type("Hard", (Pattern,), {"hard": True})("a b")], reward={"c": 0.3})
    frequencies = np.zeros(policy.trie_.n_events)
    frequencies[: policy.trie_.n_arcs] = 1.0 / policy.trie_.n_arcs
    with pytest.raises(ValueError, match="demonstrations that use tokens the hard rule"):
        problem_of(
            policy, [BannedNGrams(["a b"], hard=True)], sft_coef=0.1, frequencies=frequencies
        )
    of_tokens = AdditiveObjective(np.log([0.5, 0.3, 0.2]), np.zeros(3), 4)
    names = np.array(ENDLESS, dtype=object)
    with pytest.raises(ValueError, match=r"hard rule 'banned_ngrams' of the n-gram 'a b', which"):
        build_problem(
            of_tokens,
            ngram_reward,
            np.random.RandomState(0),
            names=names,
            rules=[BannedNGrams(["a b"], hard=True)],
            normalize_reward=False,
            subject="PPO",
        )


def test_what_the_policy_does_not_know_goes_by_whole_documents():
    short = NGramLM(2, vectorizer=NGramCounter(2, eos_token=END, unk_token=None)).fit(
        ["a b", "c b a"]
    )
    for rule in (BannedNGrams(["a b a"]), BannedNGrams(["c a"], max_rate=0.1)):
        problem = problem_of(short, [rule], reward={"c": 0.3})
        assert problem.adds_reward
        assert not problem.is_additive
        rollouts = draw(problem)
        assessed = problem.assess(problem.start, rollouts)
        assert_array_equal(assessed.violations["banned_ngrams"], rule(rollouts.texts))
    rule = BannedNGrams(["a b"], max_rate=0.1)
    assert problem_of(short, [rule], reward=ngram_reward).rules[0].is_learned


@pytest.mark.parametrize("max_rate", [0.2, 0.05])
@pytest.mark.parametrize(
    "rule", [BannedNGrams(["a b"]), BannedNGrams(["a </s>", "<s> c"]), BannedTokens(["b"])], ids=str
)
def test_chance_constraints_are_just_kept(policy, rule, max_rate):
    rule.set_params(max_rate=max_rate)
    problem = problem_of(policy, [rule])
    objective, priced = problem.objective, problem.rules[0]
    best = objective.optimum()
    assert priced.price > 0
    assert max_rate - 1e-6 <= objective.rate_of_any(best, priced.token_violations > 0) <= max_rate
    n = 40_000
    violating = rule.violations(draw(problem, n, log_prob=best)) > 0
    error = np.sqrt(max_rate * (1 - max_rate) / n)
    assert violating.mean() == pytest.approx(max_rate, abs=4.5 * error)
    free = problem_of(policy, [rule.set_params(max_rate=0.999)])
    assert free.rules[0].price == 0.0
    # A price a little lower, and so a policy of greater value, breaks it.
    cheaper = objective.having(penalty=0.999 * objective.penalty).optimum()
    assert objective.rate_of_any(cheaper, priced.token_violations > 0) > max_rate


def test_chance_constraints_together_and_with_a_cut(policy):
    rules = [
        BannedNGrams(["a b"], max_rate=0.1),
        BannedTokens(["c"], max_rate=0.3, name="c"),
        BannedNGrams(["b a"], penalty=0.4, name="b a"),
    ]
    problem = problem_of(policy, rules)
    best = problem.objective.optimum()
    for priced, rate in zip(problem.rules, (0.1, 0.3), strict=False):
        found = problem.objective.rate_of_any(best, priced.token_violations > 0)
        assert rate - 1e-6 <= found <= rate + 1e-7
        assert priced.price > 0
    cut = problem_of(policy, rules[:1], max_length=3)
    rate = cut.objective.rate_of_any(cut.objective.optimum(), cut.rules[0].token_violations > 0)
    assert rate == pytest.approx(0.1, abs=1e-6)


def test_constraints_that_no_policy_keeps_are_refused():
    counter = NGramCounter(2, eos_token=END, unk_token=None)
    policy = NGramLM(2, vectorizer=counter).fit(["", "a", "b a"])
    rules = [
        BannedNGrams(["<s> </s>"], hard=True),
        BannedTokens(["a", "b"], max_rate=0.3),
    ]
    with pytest.raises(
        ValueError, match=r"PPO: no policy keeps rule 'banned_tokens' \(max_rate=0.3"
    ):
        problem_of(policy, rules, reward={})
    with pytest.raises(ValueError, match=r"PPO: no policy keeps rule 'banned_tokens'"):
        problem_of(policy, [BannedTokens([END], max_rate=0.3)], reward={})
    trie = policy.trie_
    initial = np.zeros(trie.n_contexts)
    initial[[trie.start, trie.context_of_arc[1]]] = 0.4, 0.6  # at the start, and after "a"
    with pytest.raises(ValueError, match=r"No price keeps rule 'banned_tokens' \(max_rate=0.3"):
        problem_of(policy, rules, reward={}, initial=initial)
    rules[1].set_params(max_rate=0.5)
    problem = problem_of(policy, rules, reward={}, initial=initial)
    marked = problem.rules[1].token_violations > 0
    rate = problem.objective.rate_of_any(problem.objective.optimum(), marked)
    assert rate == pytest.approx(0.5, abs=1e-6)


def test_ngrams_that_begin_in_the_prompt_count(policy):
    trie = policy.trie_
    prompts = ["b a", "c"]
    counter = policy.vectorizer_
    columns = [counter._columns_of_tokens(prompt.split()) for prompt in prompts]
    walk = trie.walk(np.concatenate(columns), np.array([0, 2, 3]))
    contexts, initial = trie.next[walk.arcs[[1, 2]]], np.zeros(trie.n_contexts)
    initial[contexts] = 0.5
    ngrams = ["a b", "<s> c", "b a c"]
    problem = problem_of(policy, [BannedNGrams(ngrams)], initial=initial)
    rollouts = draw(problem)
    before = {contexts[0]: ["b", "a"], contexts[1]: ["<s>", "c"]}
    begins = [before[context] for context in rollouts.contexts[rollouts.starts]]
    expected = [
        occurrences(tokens, ngrams, known)
        for tokens, known in zip(tokens_of(rollouts), begins, strict=True)
    ]
    assert_array_equal(BannedNGrams(ngrams).violations(rollouts), expected)
    summed = rollouts.sum_over_tokens(problem.rules[0].token_violations)
    assert_allclose(summed, expected)
    hard = problem_of(policy, [BannedNGrams(["a b"], hard=True)], initial=initial)
    rollouts = draw(hard, log_prob=hard.objective.optimum())
    first = np.asarray(rollouts.names)[rollouts.tokens[rollouts.starts]]
    after_a = rollouts.contexts[rollouts.starts] == contexts[0]
    assert after_a.any()
    assert not (first[after_a] == "b").any()


def test_order_one_is_as_tokens():
    counter = NGramCounter(1, eos_token=END, unk_token=None)
    one = NGramLM(1, vectorizer=counter).fit(TEXTS)
    rules = [BannedNGrams(["a"], max_rate=0.2), BannedTokens(["b"], penalty=0.3)]
    problem = problem_of(one, rules, reward={"b": 0.2})
    best = problem.objective.optimum()
    violations = problem.rules[0].token_violations
    assert problem.objective.rate_of_any(best, violations > 0) == pytest.approx(0.2, abs=1e-6)
    rollouts = draw(problem)
    assert_array_equal(rollouts.before(2), np.tile([-1, -2], (len(rollouts), 1)))
    assert_array_equal(rules[0].violations(rollouts), rollouts.sum_over_tokens(violations))


@pytest.mark.parametrize(
    ("ngrams", "error", "message"),
    [
        ("a b", TypeError, r"needs a list of n-grams, got 'a b'. Pass \['a b'\]"),
        (3, TypeError, "needs a list of n-grams, got a int"),
        (["<s>"], ValueError, r"n-gram \['<s>'\], which has no token"),
        (["a", ""], ValueError, "has the n-gram"),
        ([[]], ValueError, "has no token"),
        ([("a", 3)], TypeError, "knows its tokens by name"),
    ],
    ids=str,
)
def test_invalid_ngrams_are_told(ngrams, error, message):
    with pytest.raises(error, match=message):
        BannedNGrams(ngrams)(["a b"])


def test_columns_that_are_none_are_told():
    plain = sample_rollouts(np.log([0.5, 0.5]), 3, np.random.RandomState(0), length=2)
    with pytest.raises(ValueError, match="integers from 0 to 1"):
        BannedNGrams([[0, 2]]).violations(plain)
    with pytest.raises(ValueError, match="knows only columns"):
        BannedNGrams(["a b"]).violations(plain)


def test_on_policies_of_tokens_they_are_priced_by_documents():
    base = UnigramLM().fit(["a b c"] * 3)
    rule = BannedNGrams(["a b"], penalty=3.0)
    model = PPOPolicyOptimizer(
        base,
        lambda texts: np.zeros(len(texts)),
        rules=[rule],
        response_length=3,
        max_iter=30,
        random_state=0,
    )
    with pytest.warns():
        model.fit(["a b c"])
    before = rule(base.sample(2000, random_state=0)).mean()
    assert rule(model.sample(2000, random_state=0)).mean() < 0.8 * before
