"""What tokens of policies over n-grams are credited with, by values of contexts, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from ngram_problems import random_trie
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils import Bunch
from sklearn_codex._policy.restarts import Restarts

from sklearn_codex._policy.context_credit import (
    JudgedBatch,
    advantages_in_contexts,
    worth_of_events,
)
from sklearn_codex._policy.critic import ContextCritic, LinearCritic
from sklearn_codex.exact._ngram_rollouts import NGramRollouts

# One context, whose events are its tokens: two words, the end, and a fourth that is not drawn.
TRIE = random_trie(0, order=1)
EOS = TRIE.eos
SCORE = np.array([1.0, 2.0, 0.0, 4.0, 0.0])  # of three words, the end, and documents that are cut
REWARD = np.array([0.5, 0.0, 0.0, 1.0, 0.0])
REWARD_COEF = 2.0
SHAPED = np.array([8.0, 9.0, 7.0])


def documents(*tokens):
    rows = np.concatenate(tokens)
    lengths = np.array([len(row) for row in tokens])
    return NGramRollouts(rows, lengths, TRIE.n_tokens, None, EOS, TRIE, rows, np.zeros_like(rows))


BATCH = documents([0, EOS], [0, 1, EOS], [EOS])  # scores add up to 5, 7 and 4
POLICY = np.log([0.3, 0.2, 0.1, 0.4])


def judged(rollouts=BATCH):
    objective = SimpleNamespace(
        reward_coef=REWARD_COEF, token_reward=REWARD, of_features=lambda values: values
    )
    assessed = Bunch(token_score=SCORE, shaped=SHAPED)
    return JudgedBatch(SimpleNamespace(objective=objective), POLICY, rollouts, assessed)


class Told:
    """Values of contexts that are told rewards of tokens, and give them back as advantages."""

    def __init__(self):
        self.values = np.zeros(1)

    def advantages(self, rollouts, rewards):
        self.rollouts = rollouts
        return rewards.copy()


def credited(credit, **settings):
    values = Told()
    advantages, n_drawn = advantages_in_contexts(
        values, judged(), credit=credit, rng=np.random.RandomState(0), **settings
    )
    return advantages, n_drawn, values.rollouts


def test_what_tokens_do_not_explain_is_credited_to_the_last_one():
    advantages, n_drawn, _ = credited("token")
    # Documents are worth 3, 2 and 3 beyond their tokens.
    assert_allclose(advantages, [1, 4 + 3, 1, 2, 4 + 2, 4 + 3])
    assert n_drawn == 0


def test_a_reward_of_the_sequence_is_credited_to_all_its_tokens():
    advantages, n_drawn, _ = credited("sequence")
    # Less twice the rewards of tokens they have 0, 2 and 2, and documents 8 - 2, 9 - 4 and 7 - 2
    # beyond that, of which the mean is 16 / 3.
    beyond = np.array([6, 5, 5]) - 16 / 3
    own = np.array([0, 2, 0, 2, 2, 2])
    assert_allclose(advantages, own + np.repeat(beyond, [2, 3, 1]))
    assert n_drawn == 0


class Half(LinearCritic):
    """A forecast that is trusted by half."""

    def trust(self, forecast, actual):
        self.asked = forecast, actual
        return 0.5


@pytest.mark.parametrize("credit", ["token", "sequence"])
def test_a_forecast_is_taken_off_what_it_is_a_forecast_of(credit):
    critic = Half(5)
    critic.token_value = np.array([1.0, -1.0, 0.0, 3.0, 0.0])
    advantages = credited(credit, critic=critic)[0]
    forecast = np.array([1, 3, 1, -1, 3, 3.0])  # 4, 3 and 3 of documents
    assert_allclose(critic.asked[0], [4, 3, 3])
    if credit == "token":
        assert_allclose(critic.asked[1], [3, 2, 3])
        last = np.array([0, 3 - 2, 0, 0, 2 - 1.5, 3 - 1.5])
        assert_allclose(advantages, [1, 4, 1, 2, 4, 4] + 0.5 * forecast + last)
    else:
        assert_allclose(critic.asked[1], [6, 5, 5])
        beyond = np.array([6 - 2, 5 - 1.5, 5 - 1.5])
        own = [0, 2, 0, 2, 2, 2] + 0.5 * forecast
        assert_allclose(advantages, own + np.repeat(beyond - beyond.mean(), [2, 3, 1]))


class Elsewhere:
    """Restarts that draw documents given."""

    def __init__(self, others):
        self.others = others

    def draw(self, objective, log_prob, n_documents, rng):
        self.told = log_prob, n_documents
        return self.others


def test_documents_that_begin_anew_teach_values_and_are_credited_with_nothing():
    restarts = Elsewhere(documents([1, 1, EOS], [0, EOS]))
    advantages, n_drawn, rollouts = credited("token", restarts=restarts)
    assert_allclose(advantages, [1, 4 + 3, 1, 2, 4 + 2, 4 + 3])
    assert n_drawn == 2
    assert restarts.told[0] is POLICY
    assert restarts.told[1] == 3
    assert_array_equal(rollouts.tokens, [0, EOS, 0, 1, EOS, EOS, 1, 1, EOS, 0, EOS])
    # They have the scores of their tokens, as values are told.
    values, batch = ContextCritic(TRIE, 1.0), judged()
    advantages_in_contexts(
        values, batch, credit="token", restarts=restarts, rng=np.random.RandomState(0)
    )
    # What is to come, and one visit more than those of eleven tokens.
    to_come = [8, 7, 9, 8, 6, 7, 8, 6, 4, 5, 4]
    assert_allclose(values.values, sum(to_come) / 12)
    assert credited("token", restarts=Elsewhere(None))[1] == 0


def test_a_token_is_worth_its_score_and_the_context_after_it():
    values = ContextCritic(TRIE, 1.0)
    values.values = np.array([10.0])
    worth, known = worth_of_events(values, judged())
    # After the end nothing comes, and a document that was cut has no token.
    assert_allclose(worth, [11, 12, 10, 4, 0])
    difference = np.array([1, -6, 1, 2, -6, -6])
    assert_allclose(known, difference - difference.mean())
    seen = ContextCritic(TRIE, 1.0, sees_positions=True)
    assert worth_of_events(seen, judged()) == (None, None)


def test_what_a_token_brings_is_beyond_the_value_before_it():
    rollouts = SimpleNamespace(
        contexts=np.array([0, 1, 1]), of_draws=lambda values: values[[2, 0, 2]]
    )
    values = SimpleNamespace(
        values=np.array([1.0, 3.0]), worth_of_events=lambda scores: 10.0 * scores
    )
    worth, known = worth_of_events(values, judged(rollouts))
    assert_allclose(worth, 10.0 * SCORE)
    # 0 - 1, 10 - 3 and 0 - 3 are 1 on average.
    assert_allclose(known, [-2.0, 6.0, -4.0])


# Where documents begin anew


class Flow:
    """An objective of four contexts, which the reference comes to 4, 1, 0 and 16 times."""

    start = np.log([0.5, 0.5])

    def flow(self, log_prob):
        assert log_prob is self.start
        return SimpleNamespace(visits=np.array([4.0, 1.0, -1e-18, 16.0]))

    def sample(self, log_prob, n_documents, rng, *, contexts):
        return log_prob, n_documents, contexts


def test_documents_begin_in_proportion_to_the_root_of_visits():
    objective = Flow()
    restarts, policy = Restarts(objective), np.log([0.9, 0.1])
    assert_allclose(restarts.share, [2 / 7, 1 / 7, 0, 4 / 7])
    drawn, n_documents, contexts = restarts.draw(objective, policy, 9, np.random.RandomState(3))
    assert drawn is policy
    assert (n_documents, len(contexts)) == (3, 3)  # one to four, or a part of four
    expected = np.random.RandomState(3).choice(4, 3, p=restarts.share)
    assert_array_equal(contexts, expected)
    assert restarts.draw(objective, Flow.start.copy(), 9, None) is None


# How values of contexts are learned


def learned(rewards, gae_lambda, *, before=None, **settings):
    """A critic that saw one document of tokens of these rewards, all after the one context."""
    critic = ContextCritic(TRIE, gae_lambda, **settings)
    if before is not None:
        state = {"values": np.array([before]), "position_values": np.zeros(0), "has_learned": True}
        critic.restore(state)
    row = np.append(np.zeros(len(rewards) - 1, dtype=int), EOS)
    advantages = critic.advantages(documents(row), np.array(rewards, dtype=float))
    return critic, advantages


@pytest.mark.parametrize("gae_lambda", [0.0, 1.0])
def test_a_first_batch_tells_what_is_to_come_however_far(gae_lambda):
    # 1 + 2 + ... + 20 over 21, where values of the next context leave it.
    assert_allclose(learned(np.ones(20), gae_lambda)[0].values, 10.0)


def test_values_and_their_targets_follow_each_other():
    # From V = 9 / 3 on, the targets are 1 + V and 4: V = (5 + V) / 3.
    critic, advantages = learned([1, 4], 0.0)
    assert_allclose(critic.values, 2.5, atol=0.01)
    assert_allclose(advantages, [1.0, 4.0 - critic.values[0]])
    # From V = 6 on, they are above it by 1 + V - 6 and 4 - 6: V = 6 + (V - 7) / 3.
    assert_allclose(learned([1, 4], 0.0, before=6.0)[0].values, 5.5, atol=0.01)


def test_positions_have_a_part_of_their_own():
    # 5 and 4 are to come, of which a position that was seen once takes one part of 101.
    critic, advantages = learned([1, 4], 1.0, sees_positions=True)
    assert_allclose(critic.position_values, [5 / 101, 4 / 101, 0.0])
    assert_allclose(critic.values, 9 * (100 / 101) / 3)
    assert_allclose(advantages, [5, 4] - critic.values - critic.position_values[:2])


def test_the_quality_of_values_is_their_error_by_visits():
    critic = ContextCritic(TRIE, 1.0)
    critic.values = np.array([1.0, 3.0])
    quality = critic.quality(np.array([0.0, 1.0]), np.array([3.0, 1.0]))
    # The mean of the exact ones is 1/4.
    assert_allclose(quality["critic/error"], np.sqrt(0.75 * 1 + 0.25 * 4))
    variance = 0.75 * 0.25**2 + 0.25 * 0.75**2
    assert_allclose(quality["critic/explained_variance"], 1 - 1.75 / variance)
    assert critic.quality(np.ones(2), np.ones(2))["critic/explained_variance"] == 0.0
    critic.values = np.ones(2)
    assert critic.quality(np.ones(2), np.ones(2))["critic/explained_variance"] == 1.0
