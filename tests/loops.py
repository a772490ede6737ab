"""Records small enough for tests, and the whole loop on them."""

import numpy as np

from sklearn_codex._language.sft import SFTRefiner
from sklearn_codex._language.unigram_lm import UnigramLM
from sklearn_codex._pipeline.pipeline import RLHFPipeline
from sklearn_codex._policy.ppo_optimizer import PPOPolicyOptimizer
from sklearn_codex._reward.model import PreferenceRewardModel


def make_records(n=12, seed=0):
    rng = np.random.RandomState(seed)

    def text(words, size=6):
        return " ".join(rng.choice(words.split(), size))

    records = []
    for i in range(n):
        records.append({"text": text("the a cat dog sat ran on mat good bad")})
        records.append({"prompt": f"prompt {i}", "completion": text("the cat sat on mat good")})
        pair = {"chosen": text("the cat good good dog"), "rejected": text("the cat bad bad dog")}
        records.append({"prompt": f"prompt {(i + 1) % n}", **pair})
    return records


RECORDS = make_records()


def make_loop(**params):
    return RLHFPipeline(
        [
            ("pretrain", UnigramLM()),
            ("sft", SFTRefiner(prior_strength=20.0)),
            ("reward", PreferenceRewardModel()),
            ("policy", PPOPolicyOptimizer(kl_coef=2.0, random_state=0)),
        ],
        **params,
    )
