"""Policies that are optimised against a reward: PPO and what checks it."""
