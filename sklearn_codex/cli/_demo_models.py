"""The models of the demo: the loop at order 1, and at order n with a price of length."""

import tempfile

import numpy as np
from sklearn.base import clone

from sklearn_codex import (
    NGramCounter,
    NGramLM,
    PPOPolicyOptimizer,
    PreferenceRewardModel,
    RLHFPipeline,
    SFTRefiner,
    TokenCounter,
    UnigramLM,
)
from sklearn_codex.exact import LengthExplosionError, NGramObjective, arc_reward
from sklearn_codex.rules import BannedTokens

EOS = "</s>"
LENGTH = "length"  # the rule that prices it
_MIN_NGRAM_COUNT = 2
_KL_COEF = 1.5
# So near to the optimum, as a share of the way to it, PPO has found it.
_TOL = 0.01
_MAX_ITER = 30
_N_ROLLOUTS = 8192
# A price is found when length is that of the reference, to a share of it.
_SAME_LENGTH = 0.02
_HALVINGS = 30


def fit_demo(data, train, order, seed, callbacks=()):
    """Return the fitted pipeline of the demo.

    Parameters
    ----------
    data : Bunch
        From ``load_stdlib_code``.
    train : list of dict
        Records.
    order : int
        Of the models.
    seed : int
    callbacks : sequence of callback
        Hear of the fit.
    """
    if order == 1:
        return _fit(_of_words(data, seed), train, callbacks)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = _of_ngrams(data, order, seed).set_params(memory=folder)
        price, words = _price_length(clone(pipeline)[:3].fit(train), train)
        rules = [*pipeline["policy"].rules, BannedTokens(words, penalty=price, name=LENGTH)]
        # What is above the policy is in the cache.
        fitted = _fit(pipeline.set_params(policy__rules=rules), train, callbacks)
        return fitted.set_params(memory=None)


def _fit(pipeline, train, callbacks):
    return pipeline.set_callbacks(*callbacks).fit(train).set_callbacks()


def _unsafe(data):
    return BannedTokens(list(data.unsafe_tokens), name="unsafe_code")


def _of_words(data, seed):
    """Return the loop of order 1, unfitted."""
    policy = PPOPolicyOptimizer(rules=[_unsafe(data)], sft_coef=1.0, random_state=seed)
    return RLHFPipeline(
        [
            ("pretrain", UnigramLM(smoothing=0.1)),
            ("sft", SFTRefiner(prior_strength=20_000)),
            ("reward", PreferenceRewardModel(C=0.3)),
            ("policy", policy),
        ],
        vectorizer=TokenCounter("code", min_count=2),
    )


def _of_ngrams(data, order, seed):
    """Return the loop of a higher order, unfitted and without a price of length."""
    policy = PPOPolicyOptimizer(
        kl_coef=_KL_COEF,
        rules=[_unsafe(data)],
        n_rollouts=_N_ROLLOUTS,
        max_iter=_MAX_ITER,
        tol=_TOL,
        random_state=seed,
    )
    return RLHFPipeline(
        [
            ("pretrain", NGramLM(order)),
            ("sft", SFTRefiner()),
            ("reward", PreferenceRewardModel(C=0.3)),
            ("policy", policy),
        ],
        vectorizer=NGramCounter(
            order,
            tokenizer="code",
            min_count=2,
            min_ngram_count=_MIN_NGRAM_COUNT,
            eos_token=EOS,
        ),
    )


def _price_length(pipeline, train):
    """Return the price of a token, in nats, at which the best policy is as long as M1; and tokens.

    The reward pays for most tokens, as real code has them. Without a price a document could not be
    long enough.
    """
    sft, reward, counter = pipeline["sft"], pipeline["reward"], pipeline.vectorizer_
    prompts = counter.transform([row["prompt"] for row in train if "completion" in row])
    contexts = sft._distribution.contexts_after(prompts)
    trie = sft.trie_
    objective = NGramObjective.of_model(
        sft,
        arc_reward(sft, reward.coef_[0]),
        kl_coef=_KL_COEF,
        initial=np.bincount(contexts, minlength=trie.n_contexts) / len(contexts),
    )
    is_word = np.arange(trie.n_tokens) != counter.eos_index_
    price = _find_price(objective, objective.of_tokens(is_word.astype(float)))
    return price, counter.get_feature_names_out()[: trie.n_tokens][is_word].tolist()


def _find_price(objective, words):
    """Return the price of words at which the optimum is as long as the reference, by bisection."""
    wanted = objective.expected_length(objective.start)

    def length(price):
        priced = objective.having(penalty=price * words)
        try:
            return priced.expected_length(priced.optimum())
        except LengthExplosionError:
            return np.inf

    if length(0.0) <= wanted:
        return 0.0
    low, high = 0.0, 1.0
    while length(high) > wanted:
        low, high = high, 2.0 * high
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        found = length(middle)
        if abs(found - wanted) <= _SAME_LENGTH * wanted:
            return middle
        low, high = (middle, high) if found > wanted else (low, middle)
    return high
