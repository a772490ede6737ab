"""What tokens of policies over n-grams are credited with, by values of contexts, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
from ngram_problems import random_trie
from numpy.testing import assert_allclose
from sklearn.utils import Bunch

from sklearn_codex._policy.context_credit import (
    JudgedBatch,
    advantages_in_contexts,
    steadied,
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
        reward_coef=REWARD_COEF,
        token_reward=REWARD,
        of_features=lambda values: values,
        mean_of_next=lambda log_prob, values: np.array([np.exp(log_prob) @ values[:4]]),
        sum_to_come=lambda log_prob, values: values / np.exp(log_prob[EOS]),
    )
    assessed = Bunch(token_score=SCORE, shaped=SHAPED)
    return JudgedBatch(SimpleNamespace(objective=objective), POLICY, rollouts, assessed)


class Told:
    """Values of contexts that are told rewards of tokens, and give them back as advantages."""

    def __init__(self):
        self.values = np.zeros(1)

    def advantages(self, rollouts, rewards, known=None):
        self.rollouts, self.known = rollouts, known
        return rewards.copy()


def credited(credit, **settings):
    return advantages_in_contexts(Told(), judged(), credit=credit, **settings)


def test_what_tokens_do_not_explain_is_credited_to_the_last_one():
    # Documents are worth 3, 2 and 3 beyond their tokens.
    assert_allclose(credited("token"), [1, 4 + 3, 1, 2, 4 + 2, 4 + 3])


def test_a_reward_of_the_sequence_is_credited_to_all_its_tokens():
    # Less twice the rewards of tokens they have 0, 2 and 2, and documents 8 - 2, 9 - 4 and 7 - 2
    # beyond that, of which the mean is 16 / 3.
    beyond = np.array([6, 5, 5]) - 16 / 3
    own = np.array([0, 2, 0, 2, 2, 2])
    assert_allclose(credited("sequence"), own + np.repeat(beyond, [2, 3, 1]))


@pytest.mark.parametrize(("credit", "is_told"), [("token", True), ("sequence", False)])
def test_scores_of_all_tokens_are_told_where_tokens_are_credited_with_them(credit, is_told):
    values = Told()
    advantages_in_contexts(values, judged(), credit=credit, takes_known=True)
    assert (values.known is not None) == is_told
    if is_told:
        assert_allclose(values.known.scores, SCORE)
        # Under the policy that drew them: .3 * 1 + .2 * 2 + .1 * 0 + .4 * 4.
        assert_allclose(values.known.mean_of_next(SCORE), [2.3])
        # Of documents that end after four tokens in ten.
        assert_allclose(values.known.sum_to_come(np.array([1.0])), [2.5])
    advantages_in_contexts(values, judged(), credit=credit)
    assert values.known is None


class Half(LinearCritic):
    """A forecast that is trusted by half."""

    def trust(self, forecast, actual):
        self.asked = forecast, actual
        return 0.5


@pytest.mark.parametrize("credit", ["token", "sequence"])
def test_a_forecast_is_taken_off_what_it_is_a_forecast_of(credit):
    critic = Half(5)
    critic.token_value = np.array([1.0, -1.0, 0.0, 3.0, 0.0])
    advantages = credited(credit, critic=critic)
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


def test_noise_of_what_documents_tell_is_held_to_what_is_known():
    """Two thirds of 2 are 4/3; of arcs with 2 tokens and 1, 4/9 + 1/4 = 25/36 variances."""
    arcs, known = np.array([5, 0, 5]), np.array([1.0, 0.0, -1.0])
    rest = np.array([6.0, 1.0, 2.0])  # 2 above and below 4: the variance is 8
    share = np.sqrt(4 / 3 / (8 * 25 / 36))
    assert share < 1.0
    assert_allclose(steadied(known + rest, known, arcs), known + share * rest)
    # Of arcs of one token each all is noise: 4 / 3 of it, in a quarter of three arcs.
    once = np.array([0, 1, 2])
    rest = np.array([2.0, 4.0, -2.0])
    assert_allclose(steadied(known + rest, known, once), known + np.sqrt(4 / 3 / 6) * rest)
    for advantages in (known, known + 4.0, known + 0.1 * rest):  # nothing, no noise, little
        assert steadied(advantages, known, arcs) is advantages
    assert steadied(rest, None, arcs) is rest


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
