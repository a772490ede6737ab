"""The problem of ``policy.py`` for Stable-Baselines3, imported only where it is installed."""

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv


class Documents(VecEnv):
    """Documents written token by token, rewarded at their end: reward less the sampled KL.

    ``log_policy`` (V,) is the policy whose KL is charged; the trainer keeps it up to date.
    """

    def __init__(self, problem, length, n_envs):
        space = gymnasium.spaces.Discrete(len(problem.reference))
        super().__init__(n_envs, gymnasium.spaces.Box(0.0, 1.0, (1,)), space)
        self.problem, self.length = problem, length
        self.state = np.ones((n_envs, 1), dtype=np.float32)
        self.log_policy = problem.reference.copy()

    def reset(self):
        self.at, self.shaped = 0, np.zeros(self.num_envs)
        return self.state

    def step_async(self, actions):
        self.actions = actions

    def step_wait(self):
        ratio = self.log_policy[self.actions] - self.problem.reference[self.actions]
        self.shaped += self.problem.weights[self.actions] - ratio
        self.at += 1
        is_end = self.at == self.length
        done = np.full(self.num_envs, is_end)
        if not is_end:
            return self.state, np.zeros(self.num_envs, dtype=np.float32), done, [{}] * self.num_envs
        reward = self.shaped.astype(np.float32)
        self.reset()
        return self.state, reward, done, [{"terminal_observation": row} for row in self.state]

    def close(self):
        pass

    def get_attr(self, name, indices=None):
        return [None] * self.num_envs

    def set_attr(self, name, value, indices=None):
        pass

    def env_method(self, name, *arguments, indices=None, **named):
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper, indices=None):
        return [False] * self.num_envs


class Follow(BaseCallback):
    """Calls a function with the steps so far before each rollout; stops where it says so."""

    def __init__(self, note):
        super().__init__()
        self.note, self.done = note, False

    def _on_rollout_start(self):
        self.done = self.note(self.num_timesteps)

    def _on_step(self):
        return not self.done


def logits_of(model):
    """Return the logits (V,) of a policy with one state."""
    with torch.no_grad():
        features = model.policy.extract_features(torch.ones(1, 1))
        latent = model.policy.mlp_extractor.forward_actor(features)
        return model.policy.action_net(latent)[0].double().numpy()
